//! Access rules: what they name must exist.

use super::Checker;
use crate::documents::{Access, Provider, ProviderAccess, ProviderSelector};

impl Checker<'_> {
    pub(super) fn access(&mut self, at: &str, access: Option<&Access>) {
        let Some(access) = access else { return };
        for (number, entry) in access.providers.iter().enumerate() {
            let at = format!("{at}.providers[{number}]");
            if self.selector(&format!("{at}.provider"), &entry.provider) {
                self.provider_keys(&at, entry);
            }
        }
        for (number, denied) in access.denied_providers.iter().enumerate() {
            self.selector(&format!("{at}.denied_providers[{number}]"), denied);
        }
    }

    fn selector(&mut self, path: &str, selector: &ProviderSelector) -> bool {
        let exists = selector.0 == "*" || self.selected(selector).next().is_some();
        if !exists {
            let message = format!(
                "there is no provider `{}`; write its exact name or `*`",
                selector.0
            );
            self.add(path, message);
        }
        exists
    }

    fn provider_keys(&mut self, at: &str, entry: &ProviderAccess) {
        for (number, selector) in entry.provider_keys.iter().enumerate() {
            let mut providers = self.selected(&entry.provider);
            let exists = selector.0 == "*"
                || providers
                    .any(|provider| provider.keys.iter().any(|key| selector.covers(&key.name)));
            drop(providers);
            if !exists {
                let path = format!("{at}.provider_keys[{number}]");
                let provider = &entry.provider.0;
                let message = format!(
                    "provider `{provider}` has no key `{}`; write its exact name or `*`",
                    selector.0
                );
                self.add(path, message);
            }
        }
    }

    fn selected<'s>(
        &'s self,
        selector: &'s ProviderSelector,
    ) -> impl Iterator<Item = &'s Provider> {
        self.documents
            .providers
            .values()
            .filter(|provider| selector.covers(&provider.name))
    }
}

//! Quotas: what they say by themselves, and whether what they stand at is there.

use super::{Checker, Node};
use crate::documents::Scope;
use crate::quota::check::problems;
use crate::quota::{MAX_QUOTAS, Quota};

impl Checker<'_> {
    pub(super) fn quotas(&mut self) {
        let documents = self.documents;
        let quotas = &documents.quotas;
        let named = quotas
            .iter()
            .map(|(id, it)| (Node::Quota(*id), it.name.as_str()));
        self.labels("quota", named);
        if quotas.len() > MAX_QUOTAS {
            let message = format!(
                "a mesh has at most {MAX_QUOTAS} quotas; use `each_member` or `member_cap` for limits that many share"
            );
            self.add("quotas", message);
        }
        for quota in quotas.values() {
            self.quota(quota);
        }
    }

    fn quota(&mut self, quota: &Quota) {
        let at = self.at(Node::Quota(quota.id));
        // Zones are known to the service alone, which checks them when a quota is written.
        for problem in problems(&quota.rules, &|_| true) {
            self.add(format!("{at}.{}", problem.field), problem.message);
        }
        let documents = self.documents;
        let missing = match quota.rules.node.scope() {
            Scope::Global => None,
            Scope::Customer(id) => (!documents.customers.contains_key(&id)).then_some("customer"),
            Scope::Team(id) => (!documents.teams.contains_key(&id)).then_some("team"),
            Scope::User(id) => (!documents.users.contains_key(&id)).then_some("user"),
            Scope::Key(id) => (!documents.keys.contains_key(&id)).then_some("key"),
        };
        if let Some(kind) = missing {
            self.add(format!("{at}.node"), format!("there is no such {kind}"));
        }
        for (number, name) in quota.rules.providers.iter().enumerate() {
            if !documents
                .providers
                .values()
                .any(|provider| provider.name == *name)
            {
                let path = format!("{at}.providers[{number}]");
                self.add(path, format!("there is no provider `{name}`"));
            }
        }
    }
}

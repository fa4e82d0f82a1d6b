//! Whether a key may use a model at a provider.
//!
//! Every level above a key may have a rule, and all of them must allow. Within a rule a denial beats any
//! permission, and what is not listed is not allowed.
//!
//! A pattern is held against the provider's own name for the model and against `provider/model`. A denial is
//! also held against the name behind the last slash, so that `gpt-*` denies `openai/gpt-5` at a reseller.

use crate::compiled::CompiledProvider;
use crate::documents::{Access, ProviderAccess};
use crate::pattern::{MAX_PATTERN_BYTES, ModelPattern};

/// What stands against using a model at a provider; the later, the closer it was to being allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// No rule lists the provider, or one denies it.
    Provider,
    /// The provider may be used, this model may not.
    Model,
    /// None of the provider's keys may be used, or it has none that works.
    ProviderKey,
}

/// A model at a provider, with its names prepared for matching.
///
/// An empty model stands for a request that names none: it is allowed only where no rule asks about models.
#[derive(Debug)]
pub(crate) struct ModelAt<'a> {
    provider: &'a str,
    model: &'a str,
    full: String,
}

impl<'a> ModelAt<'a> {
    pub(crate) fn new(provider: &'a str, model: &'a str) -> Self {
        Self {
            provider,
            model,
            full: format!("{provider}/{model}"),
        }
    }

    fn is_allowed_by(&self, patterns: &[ModelPattern]) -> bool {
        patterns.iter().any(|pattern| {
            pattern.is_any()
                || (!self.model.is_empty()
                    && (pattern.matches(self.model) || pattern.matches(&self.full)))
        })
    }

    fn is_denied_by(&self, patterns: &[ModelPattern]) -> bool {
        if self.model.is_empty() {
            return !patterns.is_empty();
        }
        let tail = self.model.rsplit('/').next().unwrap_or(self.model);
        patterns.iter().any(|pattern| {
            pattern.matches(self.model) || pattern.matches(&self.full) || pattern.matches(tail)
        })
    }

    /// Returns the entries of `rule` that allow the model; never empty.
    pub(crate) fn allowed_by<'r>(
        &self,
        rule: &'r Access,
    ) -> Result<Vec<&'r ProviderAccess>, Denial> {
        if rule
            .denied_providers
            .iter()
            .any(|denied| denied.covers(self.provider))
        {
            return Err(Denial::Provider);
        }
        let entries = rule
            .providers
            .iter()
            .filter(|entry| entry.provider.covers(self.provider));
        let entries = entries.collect::<Vec<_>>();
        if entries.is_empty() {
            return Err(Denial::Provider);
        }
        if self.full.len() > MAX_PATTERN_BYTES {
            // No denial could be seen to cover it.
            return Err(Denial::Model);
        }
        if self.is_denied_by(&rule.denied_models)
            || entries
                .iter()
                .any(|entry| self.is_denied_by(&entry.denied_models))
        {
            return Err(Denial::Model);
        }
        let allowing = entries
            .into_iter()
            .filter(|entry| self.is_allowed_by(&entry.models));
        let allowing = allowing.collect::<Vec<_>>();
        if allowing.is_empty() {
            Err(Denial::Model)
        } else {
            Ok(allowing)
        }
    }
}

/// Checks that every rule in `access` allows `model` at the provider called `provider`.
///
/// No rules allow everything: that is unkeyed traffic where the mesh admits it.
///
/// # Errors
/// The [`Denial`] of the first rule that does not allow it.
pub fn check(access: &[Access], provider: &str, model: &str) -> Result<(), Denial> {
    let asked = ModelAt::new(provider, model);
    access
        .iter()
        .try_for_each(|rule| asked.allowed_by(rule).map(|_| ()))
}

/// Returns which of the provider's keys may be used for `model` under every rule, by their place in its list.
///
/// # Errors
/// The [`Denial`] of the first rule that does not allow it; [`Denial::ProviderKey`] when no key is left.
pub(crate) fn provider_keys(
    access: &[Access],
    provider: &CompiledProvider,
    model: &str,
) -> Result<Vec<usize>, Denial> {
    let asked = ModelAt::new(&provider.name, model);
    let mut usable = (0..provider.keys.len()).collect::<Vec<_>>();
    for rule in access {
        let entries = asked.allowed_by(rule)?;
        usable.retain(|at| {
            provider.keys.get(*at).is_some_and(|key| {
                let mut selectors = entries.iter().flat_map(|entry| &entry.provider_keys);
                selectors.any(|selector| selector.covers(&key.name))
            })
        });
    }
    if usable.is_empty() {
        Err(Denial::ProviderKey)
    } else {
        Ok(usable)
    }
}

#[cfg(test)]
mod tests;

//! Which guardrails look at an exchange, and at which of its texts.

use sha2::{Digest as _, Sha256};

use super::{CompiledGuardrail, GuardScope, GuardrailRules, TextRole};
use crate::compiled::Principal;
use crate::ids::{ExchangeId, GuardrailId};
use crate::pattern::ModelPattern;
use crate::surface::Surface;

/// Which way one text travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    Request,
    Response,
}

/// An exchange, as far as scopes ask about it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub principal: &'a Principal,
    pub surface: Surface,
    /// The model that was asked for; empty where none was named.
    pub asked_model: &'a str,
    /// Where the request may go.
    pub targets: &'a [GuardTarget<'a>],
    pub exchange: ExchangeId,
}

/// A place where a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardTarget<'a> {
    pub provider: &'a str,
    /// The provider's name for the model; empty where none was named.
    pub model: &'a str,
}

/// Whether `guardrail` looks at an exchange at all, in whichever direction.
///
/// The same exchange always gets the same answer, on every worker and in both directions.
pub fn applies(guardrail: &CompiledGuardrail, subject: &Subject<'_>) -> bool {
    guardrail.rules.scope.covers(subject) && guardrail.is_sampled(subject.exchange)
}

impl CompiledGuardrail {
    /// Whether the exchange is in the share that is looked at; drawn by the ids alone, so that every worker and
    /// both directions agree.
    pub fn is_sampled(&self, exchange: ExchangeId) -> bool {
        is_sampled(self.rules.sampling, self.id, exchange)
    }
}

impl GuardrailRules {
    /// Whether texts of this role are judged on this way, in an exchange to which the guardrail
    /// [`applies`](applies()).
    pub fn judges(&self, way: Way, role: TextRole) -> bool {
        let is_covered = match way {
            Way::Request => self.direction.covers_requests(),
            Way::Response => self.direction.covers_responses(),
        };
        is_covered && self.scope.covers_role(role)
    }
}

impl GuardScope {
    /// Whether `subject` is inside, roles and sampling apart.
    ///
    /// A request that names no model is inside every list of models, because it may reach any of them.
    pub fn covers(&self, subject: &Subject<'_>) -> bool {
        self.covers_principal(subject.principal)
            && self.covers_surface(subject.surface)
            && self.covers_models_of(subject)
            && self.covers_providers_of(subject)
    }

    /// Whether the list of surfaces is empty or names `surface`.
    pub fn covers_surface(&self, surface: Surface) -> bool {
        self.surfaces.is_empty() || self.surfaces.contains(&surface)
    }

    /// Whether the list of roles is empty or names `role`.
    pub fn covers_role(&self, role: TextRole) -> bool {
        self.roles.is_empty() || self.roles.contains(&role)
    }

    /// Whether `principal` is in one of the four lists of principals, or all of them are empty.
    pub fn covers_principal(&self, principal: &Principal) -> bool {
        let is_for_all = self.customers.is_empty()
            && self.teams.is_empty()
            && self.users.is_empty()
            && self.keys.is_empty();
        is_for_all
            || principal
                .customer
                .is_some_and(|id| self.customers.contains(&id))
            || principal.team.is_some_and(|id| self.teams.contains(&id))
            || principal.user.is_some_and(|id| self.users.contains(&id))
            || principal.key.is_some_and(|id| self.keys.contains(&id))
    }

    /// Whether the list of models is empty, or one of the exchange's models is in it or unknown.
    pub(crate) fn covers_models_of(&self, subject: &Subject<'_>) -> bool {
        let names = subject.targets.iter().map(|target| target.model);
        let mut names = core::iter::once(subject.asked_model).chain(names);
        self.models.is_empty()
            || names
                .any(|name| name.is_empty() || self.models.iter().any(|model| matches(model, name)))
    }

    /// Whether the list of providers is empty, or the exchange may go to one in it.
    pub(crate) fn covers_providers_of(&self, subject: &Subject<'_>) -> bool {
        let mut targets = subject.targets.iter();
        self.providers.is_empty()
            || targets.any(|target| self.providers.iter().any(|name| name == target.provider))
    }
}

/// A pattern is held against the whole name and against what stands behind the last slash, so that `gpt-*` also
/// covers `openai/gpt-5` at a reseller.
fn matches(pattern: &ModelPattern, name: &str) -> bool {
    let tail = name.rsplit('/').next().unwrap_or(name);
    pattern.matches(name) || pattern.matches(tail)
}

fn is_sampled(sampling: u16, guardrail: GuardrailId, exchange: ExchangeId) -> bool {
    if sampling >= GuardrailRules::SAMPLE_ALL {
        return true;
    }
    let mut digest = Sha256::new();
    digest.update(guardrail.into_bytes());
    digest.update(exchange.into_bytes());
    let drawn = digest.finalize();
    let drawn = drawn
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    drawn % u64::from(GuardrailRules::SAMPLE_ALL) < u64::from(sampling)
}

#[cfg(test)]
mod tests;

//! Quotas in sentences.

use crate::check::Problem;
use crate::compile::principal_of;
use crate::documents::{Documents, KeyState, Scope};
use crate::quota::covering::Target;
use crate::quota::{Mode, Payer, Quota, QuotaIndex, QuotaNode, Unit};

/// Says what each quota does, in the order in which they would be named in a refusal.
pub fn explain(documents: &Documents) -> Vec<String> {
    let mut quotas: Vec<&Quota> = documents.quotas.values().collect();
    quotas.sort_by_key(|quota| (quota.rules.node.level(), &quota.name));
    quotas
        .into_iter()
        .map(|quota| {
            let owner = owner(quota.rules.node, name(documents, quota.rules.node.scope()));
            format!("`{}`: {}", quota.name, quota.rules.describe(&owner))
        })
        .collect()
}

/// Says what may surprise: keys that can use what no limit of money or tokens that covers them counts.
pub fn warnings(documents: &Documents) -> Vec<Problem> {
    let opaque = documents
        .keys
        .values()
        .filter(|key| key.state != KeyState::Revoked && !key.opaque_paths.is_empty());
    let mut opaque = opaque.peekable();
    if opaque.peek().is_none() {
        return Vec::new();
    }
    let limits = documents.quotas.values().filter(|quota| {
        let counts_use = match quota.rules.unit {
            Unit::MicroUsd | Unit::InputTokens | Unit::OutputTokens | Unit::TotalTokens => true,
            Unit::Requests | Unit::Concurrent => false,
        };
        counts_use && quota.rules.mode != Mode::Soft
    });
    let limits = QuotaIndex::new(limits.cloned().map(for_any_target));
    let warned = opaque.filter_map(|key| {
        let principal = principal_of(documents, key);
        let payer = Payer {
            principal: &principal,
            session: "",
            agent: "",
        };
        let covering = limits.covering(&payer, &[ANY_TARGET]);
        let mut names: Vec<_> = covering
            .iter()
            .map(|it| format!("`{}`", it.quota.name))
            .collect();
        names.sort();
        names.dedup();
        let path = format!("keys[{}].opaque_paths", key.name);
        let message = format!(
            "what is used on these paths is not known, so {} {} it; limit `requests` there too",
            names.join(", "),
            if names.len() == 1 {
                "does not count"
            } else {
                "do not count"
            },
        );
        (!names.is_empty()).then(|| Problem::new(path, message))
    });
    warned.collect()
}

/// A target that is covered by every quota that was made [`for_any_target`].
pub const ANY_TARGET: Target<'static> = Target {
    provider: "",
    model: "",
};

/// Returns the quota as if it were for all models and providers, to find whom it covers at all.
pub fn for_any_target(mut quota: Quota) -> Quota {
    quota.rules.models.clear();
    quota.rules.providers.clear();
    quota
}

/// Returns what people call that at which a quota stands, as in "team `core`"; `name` is that of the customer, team,
/// user or key.
pub fn owner(node: QuotaNode, name: Option<&str>) -> String {
    let kind = match node.scope() {
        Scope::Global => return "the organisation".to_owned(),
        Scope::Customer(_) => "customer",
        Scope::Team(_) => "team",
        Scope::User(_) => "user",
        Scope::Key(_) => "key",
    };
    format!("{kind} `{}`", name.unwrap_or("?"))
}

fn name(documents: &Documents, scope: Scope) -> Option<&str> {
    match scope {
        Scope::Global => None,
        Scope::Customer(id) => documents.customers.get(&id).map(|it| it.name.as_str()),
        Scope::Team(id) => documents.teams.get(&id).map(|it| it.name.as_str()),
        Scope::User(id) => documents.users.get(&id).map(|it| it.name.as_str()),
        Scope::Key(id) => documents.keys.get(&id).map(|it| it.name.as_str()),
    }
}

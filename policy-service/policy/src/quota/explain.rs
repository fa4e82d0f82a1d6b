//! Quotas in sentences.

use crate::documents::{Documents, Scope};
use crate::quota::{Quota, QuotaNode};

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

//! Quotas as filters enforce them: few stand in the mesh, those of single users and keys stand with the keys, so that a
//! filter never holds more of a hundred thousand than the keys it meets.

use std::collections::{BTreeMap, BTreeSet};

use crate::compiled::{PriceTable, Principal};
use crate::documents::Documents;
use crate::ids::{KeyId, UserId};
use crate::price::PriceBook;
use crate::quota::{Quota, QuotaNode, Unit};

/// Returns the quotas that stand in the mesh.
pub(super) fn of_all(documents: &Documents) -> Vec<Quota> {
    let in_mesh = enabled(documents)
        .filter(|quota| !matches!(quota.rules.node, QuotaNode::User(_) | QuotaNode::Key(_)));
    in_mesh.map(trimmed).collect()
}

/// Returns the prices of every provider's table, if money is counted at all.
pub(super) fn prices(documents: &Documents) -> Vec<PriceTable> {
    if !enabled(documents).any(|quota| quota.rules.unit == Unit::MicroUsd) {
        return Vec::new();
    }
    let providers = documents.providers.values();
    let tables: BTreeSet<_> = providers.map(|it| it.price_table.as_str()).collect();
    let on_unknown = documents.settings.on_unknown_price;
    let compiled = |table| PriceBook::embedded().compiled(table, on_unknown, &documents.prices);
    tables.into_iter().map(compiled).collect()
}

/// The quotas of single users and keys.
pub(super) struct OfPeople<'d> {
    users: BTreeMap<UserId, Vec<&'d Quota>>,
    keys: BTreeMap<KeyId, Vec<&'d Quota>>,
}

impl<'d> OfPeople<'d> {
    pub(super) fn new(documents: &'d Documents) -> Self {
        let mut found = Self {
            users: BTreeMap::new(),
            keys: BTreeMap::new(),
        };
        for quota in enabled(documents) {
            match quota.rules.node {
                QuotaNode::User(id) => found.users.entry(id).or_default().push(quota),
                QuotaNode::Key(id) => found.keys.entry(id).or_default().push(quota),
                QuotaNode::Organisation
                | QuotaNode::Customer(_)
                | QuotaNode::Team(_)
                | QuotaNode::EachMember(_)
                | QuotaNode::EachSession(_)
                | QuotaNode::EachAgent(_) => {}
            }
        }
        found
    }

    /// Returns those that cover a principal, by id.
    pub(super) fn of(&self, principal: &Principal) -> Vec<Quota> {
        let user = principal.user.and_then(|id| self.users.get(&id));
        let key = principal.key.and_then(|id| self.keys.get(&id));
        let mut quotas: Vec<_> = user
            .into_iter()
            .chain(key)
            .flatten()
            .map(|quota| trimmed(quota))
            .collect();
        quotas.sort_by_key(|quota| quota.id);
        quotas
    }
}

fn enabled(documents: &Documents) -> impl Iterator<Item = &Quota> {
    documents
        .quotas
        .values()
        .filter(|quota| quota.rules.enabled)
}

/// A quota without what is the ledger's business alone, so that a raise does not change what filters enforce.
fn trimmed(quota: &Quota) -> Quota {
    let mut quota = quota.clone();
    quota.rules.raises.clear();
    quota.rules.alerts.clear();
    quota
}

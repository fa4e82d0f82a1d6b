//! Which accounts an exchange is charged to.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::compiled::Principal;
use crate::documents::Scope;
use crate::ids::{KeyId, QuotaId, UserId};
use crate::quota::{Level, Quota, QuotaNode};

/// One thing that is counted: a quota, or one member's part of it.
///
/// Wire form: 16 bytes. A quota that is not counted by member has the id of the quota.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId([u8; 16]);

impl AccountId {
    /// Returns the account of one member of `quota`, or of all of it.
    pub fn of(quota: QuotaId, member: &Member<'_>) -> Self {
        let (tag, bytes): (u8, &[u8]) = match member {
            Member::Everyone => return Self(quota.into_bytes()),
            Member::User(id) => (1, &id.into_bytes()),
            Member::Key(id) => (2, &id.into_bytes()),
            Member::Session { id, .. } => (3, id.as_bytes()),
            Member::Agent { id, .. } => (4, id.as_bytes()),
        };
        let key = match member {
            Member::Session { key, .. } | Member::Agent { key, .. } => *key,
            Member::Everyone | Member::User(_) | Member::Key(_) => None,
        };
        let digest = Sha256::new()
            .chain_update(b"weir quota member")
            .chain_update(quota.into_bytes())
            .chain_update([tag])
            .chain_update(key.map_or([0; 16], KeyId::into_bytes))
            .chain_update(bytes)
            .finalize();
        let mut id = [0; 16];
        id.iter_mut().zip(digest).for_each(|(at, byte)| *at = byte);
        Self(id)
    }

    /// Wraps the 16 bytes of an id as they travel.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes of the id, as they travel.
    pub const fn into_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({self})")
    }
}

/// Whose part of a quota is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member<'a> {
    Everyone,
    User(UserId),
    Key(KeyId),
    /// Clients choose these ids, so they are told apart by key: nobody can use up another's session.
    Session {
        key: Option<KeyId>,
        id: &'a str,
    },
    Agent {
        key: Option<KeyId>,
        id: &'a str,
    },
}

/// For whom an exchange runs.
#[derive(Clone, Copy, Debug)]
pub struct Payer<'a> {
    pub principal: &'a Principal,
    /// The client's own session id; empty when it sent none.
    pub session: &'a str,
    /// The client's own agent id; empty when it sent none.
    pub agent: &'a str,
}

/// A provider and the model's name there.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub provider: &'a str,
    pub model: &'a str,
}

/// An account that an exchange is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged<'q> {
    pub quota: &'q Quota,
    pub account: AccountId,
    pub level: Level,
    pub part: Part,
}

/// What limits the account: the quota's limit or its cap for one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Limit,
    MemberCap,
}

/// Returns the accounts of all quotas that cover an exchange which may go to `targets`, lowest level first, then by
/// id of the quota. A quota for some models or providers covers an exchange if it covers one of its targets: what is
/// held there is given back when another target answered.
pub fn covering<'q>(
    quotas: impl IntoIterator<Item = &'q Quota>,
    payer: &Payer<'_>,
    targets: &[Target<'_>],
) -> Vec<Charged<'q>> {
    let mut found: Vec<Charged<'q>> = Vec::new();
    for quota in quotas {
        if !quota.rules.enabled || !targets.iter().any(|target| quota.covers_target(target)) {
            continue;
        }
        let Some(member) = member(quota.rules.node, payer) else {
            continue;
        };
        found.push(Charged {
            quota,
            account: AccountId::of(quota.id, &member),
            level: quota.rules.node.level(),
            part: Part::Limit,
        });
        let capped = quota.rules.member_cap.and_then(|_| person(payer));
        if let Some(member) = capped {
            found.push(Charged {
                quota,
                account: AccountId::of(quota.id, &member),
                level: Level::User,
                part: Part::MemberCap,
            });
        }
    }
    found.sort_by_key(|charged| (charged.level, charged.quota.id, charged.account));
    found
}

/// Quotas by what they stand at, so that an exchange looks at its own few of a hundred thousand.
#[derive(Clone, Debug, Default)]
pub struct QuotaIndex {
    /// By id.
    quotas: Vec<Quota>,
    /// Places in `quotas`.
    by_scope: BTreeMap<Scope, Vec<usize>>,
}

impl QuotaIndex {
    /// Puts quotas in order; those that are switched off are left out.
    pub fn new(quotas: impl IntoIterator<Item = Quota>) -> Self {
        let enabled = quotas.into_iter().filter(|quota| quota.rules.enabled);
        let mut quotas: Vec<Quota> = enabled.collect();
        quotas.sort_by_key(|quota| quota.id);
        let mut by_scope: BTreeMap<Scope, Vec<usize>> = BTreeMap::new();
        for (place, quota) in quotas.iter().enumerate() {
            let places = by_scope.entry(quota.rules.node.scope()).or_default();
            places.push(place);
        }
        Self { quotas, by_scope }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.quotas.is_empty()
    }

    /// Returns the quotas, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Quota> {
        self.quotas.iter()
    }

    /// Returns the quota with this id.
    pub fn get(&self, id: QuotaId) -> Option<&Quota> {
        let place = self
            .quotas
            .binary_search_by_key(&id, |quota| quota.id)
            .ok()?;
        self.quotas.get(place)
    }

    /// Returns what [`covering`] returns for all quotas.
    pub fn covering(&self, payer: &Payer<'_>, targets: &[Target<'_>]) -> Vec<Charged<'_>> {
        self.covering_with(&[], payer, targets)
    }

    /// [`covering`](Self::covering) with the payer's own quotas, which stand elsewhere.
    pub fn covering_with<'q>(
        &'q self,
        own: &'q [Quota],
        payer: &Payer<'_>,
        targets: &[Target<'_>],
    ) -> Vec<Charged<'q>> {
        let principal = payer.principal;
        let scopes = [
            Some(Scope::Global),
            principal.customer.map(Scope::Customer),
            principal.team.map(Scope::Team),
            principal.user.map(Scope::User),
            principal.key.map(Scope::Key),
        ];
        let found = scopes
            .iter()
            .flatten()
            .filter_map(|scope| self.by_scope.get(scope))
            .flatten()
            .filter_map(|place| self.quotas.get(*place));
        covering(found.chain(own), payer, targets)
    }
}

impl QuotaNode {
    /// Returns who is covered by a quota at the node, whoever its members are.
    pub const fn scope(self) -> Scope {
        match self {
            Self::Organisation => Scope::Global,
            Self::Customer(id) => Scope::Customer(id),
            Self::Team(id) | Self::EachMember(id) => Scope::Team(id),
            Self::User(id) => Scope::User(id),
            Self::Key(id) => Scope::Key(id),
            Self::EachSession(scope) | Self::EachAgent(scope) => scope,
        }
    }
}

impl Quota {
    /// Whether use at `target` is charged to the quota.
    pub fn covers_target(&self, target: &Target<'_>) -> bool {
        let models = &self.rules.models;
        let providers = &self.rules.providers;
        (models.is_empty() || models.iter().any(|pattern| pattern.matches(target.model)))
            && (providers.is_empty() || providers.iter().any(|name| name == target.provider))
    }
}

/// Returns whose part of a quota at `node` the payer uses; `None` when the quota is not for this payer.
fn member<'a>(node: QuotaNode, payer: &Payer<'a>) -> Option<Member<'a>> {
    let principal = payer.principal;
    let everyone = |covered: bool| covered.then_some(Member::Everyone);
    match node {
        QuotaNode::Organisation => everyone(true),
        QuotaNode::Customer(id) => everyone(principal.customer == Some(id)),
        QuotaNode::Team(id) => everyone(principal.team == Some(id)),
        QuotaNode::User(id) => everyone(principal.user == Some(id)),
        QuotaNode::Key(id) => everyone(principal.key == Some(id)),
        QuotaNode::EachMember(id) if principal.team == Some(id) => person(payer),
        QuotaNode::EachMember(_) => None,
        QuotaNode::EachSession(scope) if in_scope(scope, principal) => {
            let (key_id, id) = (principal.key, payer.session);
            let session = (!id.is_empty()).then_some(Member::Session { key: key_id, id });
            session.or_else(|| key(payer))
        }
        QuotaNode::EachAgent(scope) if in_scope(scope, principal) => {
            let (key_id, id) = (principal.key, payer.agent);
            let agent = (!id.is_empty()).then_some(Member::Agent { key: key_id, id });
            agent.or_else(|| key(payer))
        }
        QuotaNode::EachSession(_) | QuotaNode::EachAgent(_) => None,
    }
}

fn person<'a>(payer: &Payer<'a>) -> Option<Member<'a>> {
    payer
        .principal
        .user
        .map(Member::User)
        .or_else(|| key(payer))
}

/// Those without a key are one member together: whoever leaves the id out must not be free of the limit.
fn key<'a>(payer: &Payer<'a>) -> Option<Member<'a>> {
    let unkeyed = Member::Session { key: None, id: "" };
    Some(payer.principal.key.map_or(unkeyed, Member::Key))
}

fn in_scope(scope: Scope, principal: &Principal) -> bool {
    match scope {
        Scope::Global => true,
        Scope::Customer(id) => principal.customer == Some(id),
        Scope::Team(id) => principal.team == Some(id),
        Scope::User(id) => principal.user == Some(id),
        Scope::Key(id) => principal.key == Some(id),
    }
}

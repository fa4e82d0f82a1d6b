//! How quotas stand, by the ledger.

use policy::check::Problem;
use policy::documents::Owner;
use policy::ids::{KeyId, QuotaId, UserId};
use policy::quota::covering::Part;
use policy::quota::lease::Ask;
use policy::quota::{AccountId, Member, Quota, QuotaNode};
use policy::units::Timestamp;

use super::not_found;
use crate::clock;
use crate::ledger::Used;
use crate::ledger::ledgers::Ledgers;
use crate::operations::authority::{Caller, Object, Resource, Right};
use crate::operations::views::{HistoryView, UsageView, UsedWindowView};
use crate::operations::{ObjectKind, OperationError};
use crate::store::{self, Effect, Store};

/// Whose part of a quota is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaMember {
    User(UserId),
    /// Its user, if it has one.
    Key(KeyId),
    /// A client's session, told apart by key.
    Session {
        key: Option<KeyId>,
        id: String,
    },
    /// A client's agent, told apart by key.
    Agent {
        key: Option<KeyId>,
        id: String,
    },
}

/// Returns how a quota, or one member's part of it, stands.
///
/// # Errors
/// [`OperationError`] when there is none with this id, it is not counted by that member, the caller may not, or the
/// store or the ledger fails.
pub async fn usage(
    store: &Store,
    ledgers: &Ledgers,
    caller: &Caller,
    id: QuotaId,
    member: Option<&QuotaMember>,
) -> Result<UsageView, OperationError> {
    caller.permit(Resource::Quotas, Right::View)?;
    let account = find(store, id, member).await?;
    let figures = ledgers.look(vec![account.ask()]).await?;
    let used = figures.first().map(|it| it.used).unwrap_or_default();
    account.view(used, clock::now())
}

/// Returns what was used in each window that began since a moment, as far as the ledger keeps it.
///
/// # Errors
/// As [`usage`].
pub async fn history(
    store: &Store,
    ledgers: &Ledgers,
    caller: &Caller,
    id: QuotaId,
    member: Option<&QuotaMember>,
    since: Timestamp,
) -> Result<HistoryView, OperationError> {
    caller.permit(Resource::Quotas, Right::View)?;
    let account = find(store, id, member).await?;
    let windows = ledgers.history(id, account.account, since).await?;
    Ok(HistoryView {
        quota: id,
        unit: account.quota.rules.unit,
        items: windows.into_iter().map(UsedWindowView::from).collect(),
    })
}

/// Clears what was spent in the present window; what is leased stays. Returns how it stands then.
///
/// # Errors
/// As [`usage`].
pub async fn reset(
    store: &Store,
    ledgers: &Ledgers,
    caller: &Caller,
    id: QuotaId,
    member: Option<&QuotaMember>,
) -> Result<UsageView, OperationError> {
    let permit = caller.permit(Resource::Quotas, Right::Update)?;
    let account = find(store, id, member).await?;
    let figures = ledgers.look(vec![account.ask()]).await?;
    let cleared = figures.first().map(|it| it.used).unwrap_or_default();
    let rest = Used {
        held: cleared.held,
        ..Used::default()
    };
    let now = clock::now();
    let (before, after) = (account.view(cleared, now)?, account.view(rest, now)?);
    let object = Object::new(ObjectKind::Quota, id, account.quota.name.as_str());
    let event = permit.event("reset", object, Some(&before), Some(&after))?;
    // The ledger is a database of its own: rather an event of a reset that failed than a reset without its event.
    let change = store.change().await?;
    change.commit(&[event], Effect::Nothing).await?;
    ledgers.reset(vec![account.ask()]).await?;
    Ok(after)
}

/// One thing that is counted.
struct Account {
    quota: Quota,
    account: AccountId,
    part: Part,
    /// Whose part it is, for people.
    member: Option<String>,
}

impl Account {
    fn ask(&self) -> Ask {
        Ask {
            quota: self.quota.id,
            part: self.part,
            account: self.account,
            need: 0,
            want: 0,
        }
    }

    fn view(&self, used: Used, now: Timestamp) -> Result<UsageView, OperationError> {
        Ok(UsageView::new(
            &self.quota,
            (self.part, self.member.as_deref()),
            used,
            now,
        )?)
    }
}

async fn find(
    store: &Store,
    id: QuotaId,
    member: Option<&QuotaMember>,
) -> Result<Account, OperationError> {
    let mut reading = store.read().await?;
    let found = store::quotas::get(&mut reading, id).await?;
    let quota = found.ok_or_else(|| not_found(id))?.quota;
    let person = match member {
        Some(QuotaMember::Key(id)) => {
            let key = store::keys::get(&mut reading, *id).await?;
            match key.map(|key| key.owner) {
                Some(Owner::User(user)) => Some(Member::User(user)),
                Some(Owner::Team(_) | Owner::Customer(_)) | None => Some(Member::Key(*id)),
            }
        }
        Some(QuotaMember::User(id)) => Some(Member::User(*id)),
        Some(QuotaMember::Session { .. } | QuotaMember::Agent { .. }) | None => None,
    };
    let (part, member) = part(&quota, member, person).map_err(|message| {
        let problems = vec![Problem::new("member", message)];
        OperationError::Invalid { problems }
    })?;
    let account = AccountId::of(quota.id, &member);
    let member = named(&member);
    Ok(Account {
        quota,
        account,
        part,
        member,
    })
}

/// Returns what names a member in the audit log.
fn named(member: &Member<'_>) -> Option<String> {
    let of = |kind: &str, id: &str, key: Option<KeyId>| match key {
        Some(key) => format!("{kind}:{id} of key:{key}"),
        None => format!("{kind}:{id}"),
    };
    match *member {
        Member::Everyone => None,
        Member::User(id) => Some(format!("user:{id}")),
        Member::Key(id) => Some(format!("key:{id}")),
        Member::Session { key, id } => Some(of("session", id, key)),
        Member::Agent { key, id } => Some(of("agent", id, key)),
    }
}

/// Returns whose part of a quota is meant, or what should have been asked; `person` is who counts as a member.
fn part<'m>(
    quota: &Quota,
    member: Option<&'m QuotaMember>,
    person: Option<Member<'m>>,
) -> Result<(Part, Member<'m>), &'static str> {
    let is_capped = quota.rules.member_cap.is_some();
    match (quota.rules.node, member) {
        (QuotaNode::EachMember(_), _) => person.map(|person| (Part::Limit, person)).ok_or(
            "is missing: the quota is counted by member; give `member=user:ID` or `member=key:ID`",
        ),
        (QuotaNode::EachSession(_), Some(QuotaMember::Session { key, id })) => {
            Ok((Part::Limit, Member::Session { key: *key, id }))
        }
        (QuotaNode::EachAgent(_), Some(QuotaMember::Agent { key, id })) => {
            Ok((Part::Limit, Member::Agent { key: *key, id }))
        }
        // Requests without a session or an agent are counted by their key.
        (QuotaNode::EachSession(_) | QuotaNode::EachAgent(_), Some(QuotaMember::Key(id))) => {
            Ok((Part::Limit, Member::Key(*id)))
        }
        (QuotaNode::EachSession(_), _) => Err(
            "is missing: the quota is counted by session; give `session=ID&key=ID`, or `member=key:ID`",
        ),
        (QuotaNode::EachAgent(_), _) => Err(
            "is missing: the quota is counted by agent; give `agent=ID&key=ID`, or `member=key:ID`",
        ),
        (_, None) => Ok((Part::Limit, Member::Everyone)),
        (_, Some(_)) if is_capped => person
            .map(|person| (Part::MemberCap, person))
            .ok_or("must be `user:ID` or `key:ID`: the quota has a cap for each of these"),
        (_, Some(_)) => Err("must be left out: the quota counts everything together"),
    }
}

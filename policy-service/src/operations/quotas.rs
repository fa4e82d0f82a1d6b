//! Quotas.

mod own;
mod usage;

use policy::check::{Node, Problem};
use policy::documents::Scope;
use policy::ids::QuotaId;
use policy::quota::check::problems;
use policy::quota::{MAX_QUOTAS, Quota, QuotaDraft, Raise};
use uuid::Uuid;

use super::authority::{Caller, Object, Permit, Resource, Right};
use super::consistency::{Reach, Surroundings};
use super::fields::{Problems, RaiseFields};
use super::views::QuotaView;
use super::{ObjectKind, OperationError};
use crate::clock;
use crate::ledger::window::zone_is_known;
use crate::store::quotas::NamedQuota;
use crate::store::{self, Change, Effect, Store, StoreError};

pub use own::{KeyRefusal, Presented, own};
pub use usage::{QuotaMember, history, reset, usage};

/// The place of a zone in a quota.
const ZONE: &str = "window.calendar.zone";

/// Lists quotas by name: at most `limit` after the one named `after`.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(
    store: &Store,
    caller: &Caller,
    after: &str,
    limit: u32,
) -> Result<Vec<QuotaView>, OperationError> {
    caller.permit(Resource::Quotas, Right::View)?;
    let page = store::quotas::page(&mut *store.read().await?, after, limit).await?;
    Ok(page.into_iter().map(QuotaView::from).collect())
}

/// Returns the quota of this name, if there is one.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn named(
    store: &Store,
    caller: &Caller,
    name: &str,
) -> Result<Option<QuotaView>, OperationError> {
    caller.permit(Resource::Quotas, Right::View)?;
    let found = store::quotas::named(&mut *store.read().await?, name).await?;
    Ok(found.map(QuotaView::from))
}

/// Returns one quota.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn get(store: &Store, caller: &Caller, id: QuotaId) -> Result<QuotaView, OperationError> {
    caller.permit(Resource::Quotas, Right::View)?;
    let found = store::quotas::get(&mut *store.read().await?, id).await?;
    found.map(QuotaView::from).ok_or_else(|| not_found(id))
}

/// Adds a quota.
///
/// # Errors
/// [`OperationError`] when the fields make no quota, the caller may not or the store fails.
pub async fn create(
    store: &Store,
    caller: &Caller,
    draft: QuotaDraft,
) -> Result<QuotaView, OperationError> {
    let permit = caller.permit(Resource::Quotas, Right::Create)?;
    let new = draft.into_new();
    let (name, rules) = new.map_err(|problems| OperationError::Invalid { problems })?;
    let id = QuotaId::new(Uuid::now_v7());
    let quota = Quota { id, name, rules };
    let mut change = store.change().await?;
    let count = store::quotas::count(change.connection()).await?;
    if usize::try_from(count).unwrap_or(usize::MAX) >= MAX_QUOTAS {
        return Err(OperationError::WrongState {
            because: "a mesh has at most 200,000 quotas; use `each_member` or `member_cap` for limits that many share",
        });
    }
    check(&mut change, &quota).await?;
    let inserted = store::quotas::insert(change.connection(), &quota, clock::now()).await;
    inserted.map_err(name_taken)?;
    written(change, permit, "create", None, id).await
}

/// Changes a quota. What it counts stays, and so do node and unit: what was used is kept under its id.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the fields make no sense, the caller may not or the store
/// fails.
pub async fn update(
    store: &Store,
    caller: &Caller,
    id: QuotaId,
    draft: QuotaDraft,
) -> Result<QuotaView, OperationError> {
    let permit = caller.permit(Resource::Quotas, Right::Update)?;
    let mut change = store.change().await?;
    let old = read(&mut change, id).await?;
    let mut quota = old.quota.clone();
    let mut stays = Problems::default();
    if draft.node.is_some_and(|node| node != quota.rules.node) {
        stays.add(
            "node",
            "stays what it is, like what was used at it; make another quota",
        );
    }
    if draft.unit.is_some_and(|unit| unit != quota.rules.unit) {
        stays.add(
            "unit",
            "stays what it is, like what was used of it; make another quota",
        );
    }
    stays.refuse_any()?;
    quota.name = draft.name.clone().unwrap_or(quota.name);
    draft.change(&mut quota.rules);
    change_to(change, permit, "update", old, &quota).await
}

/// Adds to the limit of a quota for a time. Raises that have ended are forgotten.
///
/// # Errors
/// As [`update`].
pub async fn raise(
    store: &Store,
    caller: &Caller,
    id: QuotaId,
    fields: RaiseFields,
) -> Result<QuotaView, OperationError> {
    let permit = caller.permit(Resource::Quotas, Right::Update)?;
    let now = clock::now();
    let mut problems = Problems::default();
    let amount = problems.need("amount", fields.amount);
    let until = problems.need("until_ms", fields.until_ms);
    if amount == Some(0) {
        problems.add("amount", "is 0, which raises nothing");
    }
    if until.is_some_and(|until| until <= now) {
        problems.add(
            "until_ms",
            "must lie in the future, in milliseconds since 1970",
        );
    }
    let (amount, until) = problems.complete(amount.zip(until))?;
    let mut change = store.change().await?;
    let old = read(&mut change, id).await?;
    let mut quota = old.quota.clone();
    quota.rules.raises.retain(|raise| raise.until > now);
    quota.rules.raises.push(Raise { amount, until });
    change_to(change, permit, "raise", old, &quota).await
}

/// Deletes a quota. What was used of it is forgotten with its windows.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn delete(store: &Store, caller: &Caller, id: QuotaId) -> Result<(), OperationError> {
    let permit = caller.permit(Resource::Quotas, Right::Delete)?;
    let mut change = store.change().await?;
    let quota = read(&mut change, id).await?;
    store::quotas::delete(change.connection(), id).await?;
    let object = Object::new(ObjectKind::Quota, id, quota.quota.name.as_str());
    let before = QuotaView::from(quota);
    let event = permit.event("delete", object, Some(&before), None)?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(())
}

async fn change_to(
    mut change: Change,
    permit: Permit<'_>,
    verb: &'static str,
    old: NamedQuota,
    quota: &Quota,
) -> Result<QuotaView, OperationError> {
    if old.quota == *quota {
        return Ok(old.into());
    }
    check(&mut change, quota).await?;
    let updated = store::quotas::update(change.connection(), quota).await;
    updated.map_err(name_taken)?;
    written(change, permit, verb, Some(old.into()), quota.id).await
}

/// Commits a quota that was written, and returns what is shown of it.
async fn written(
    mut change: Change,
    permit: Permit<'_>,
    verb: &'static str,
    before: Option<QuotaView>,
    id: QuotaId,
) -> Result<QuotaView, OperationError> {
    let after = QuotaView::from(read(&mut change, id).await?);
    let object = Object::new(ObjectKind::Quota, id, after.name.as_str());
    let event = permit.event(verb, object, before.as_ref(), Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Checks the quota alone among the other documents; its name is unique in the database.
async fn check(change: &mut Change, quota: &Quota) -> Result<(), OperationError> {
    let mut surroundings = Surroundings::read(change, Reach::AllButKeys).await?;
    let documents = &mut surroundings.documents;
    if let Scope::Key(id) = quota.rules.node.scope() {
        let key = store::keys::get(change.connection(), id).await?;
        documents.keys.extend(key.map(|key| (key.id, key)));
    }
    documents.quotas.insert(quota.id, quota.clone());
    let checked = surroundings.check(Node::Quota(quota.id), ObjectKind::Quota, &quota.name);
    let zones = problems(&quota.rules, &zone_is_known).into_iter();
    let zones = zones.filter(|problem| problem.field == ZONE);
    let zones: Vec<_> = zones
        .map(|problem| Problem::new(problem.field, problem.message))
        .collect();
    match checked {
        Ok(()) if zones.is_empty() => Ok(()),
        Ok(()) => Err(OperationError::Invalid { problems: zones }),
        Err(OperationError::Invalid { mut problems }) => {
            problems.extend(zones);
            Err(OperationError::Invalid { problems })
        }
        Err(other) => Err(other),
    }
}

fn name_taken(error: StoreError) -> OperationError {
    if let StoreError::NameTaken { name, .. } = error {
        let kind = ObjectKind::Quota;
        return OperationError::NameTaken { kind, name };
    }
    error.into()
}

async fn read(change: &mut Change, id: QuotaId) -> Result<NamedQuota, OperationError> {
    store::quotas::get(change.connection(), id)
        .await?
        .ok_or_else(|| not_found(id))
}

fn not_found(id: QuotaId) -> OperationError {
    OperationError::NotFound {
        kind: ObjectKind::Quota,
        id: id.to_string(),
    }
}

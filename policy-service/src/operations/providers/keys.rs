//! A provider's own keys.

use policy::documents::{Provider, ProviderKey};
use policy::ids::{ProviderId, ProviderKeyId};
use policy::units::Timestamp;

use super::super::authority::{Caller, Object, Permit, Resource, Right};
use super::super::consistency::{Reach, Surroundings};
use super::super::fields::{Problems, ProviderKeyFields};
use super::super::views::{ProviderKeyView, ProviderView};
use super::super::{ObjectKind, OperationError};
use super::{check, fill, read, view};
use crate::clock;
use crate::store::audit::AuditEvent;
use crate::store::{self, Change, Effect, Store};

/// Gives a provider another key.
///
/// # Errors
/// [`OperationError`] when there is no such provider, the fields make no key, the caller may not or the store
/// fails.
pub async fn add_key(
    store: &Store,
    caller: &Caller,
    provider: ProviderId,
    fields: ProviderKeyFields,
) -> Result<ProviderKeyView, OperationError> {
    let permit = caller.permit(Resource::Providers, Right::Update)?;
    let mut problems = Problems::default();
    let key = fill::new_key(&mut problems, "", fields);
    let key = problems.complete(key)?;
    let mut change = store.change().await?;
    let mut provider = read(&mut change, provider).await?;
    free_key_name(&provider, &key)?;
    provider.keys.push(key.clone());
    check_whole(&mut change, &provider, key.id, Reach::AllButKeys).await?;
    let master_key = change.master_key().clone();
    let connection = change.connection();
    store::providers::insert_key(connection, &master_key, provider.id, &key, clock::now()).await?;
    let object = object(&provider, &key);
    let after = key_view(&mut change, provider, key.id).await?;
    let event = permit.event("create", object, None, Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Changes a key of a provider, or puts it back into use.
///
/// # Errors
/// [`OperationError`] when there is no such key, the fields make no sense, its name is changed and needed
/// elsewhere, the caller may not or the store fails.
pub async fn update_key(
    store: &Store,
    caller: &Caller,
    provider: ProviderId,
    id: ProviderKeyId,
    fields: ProviderKeyFields,
) -> Result<ProviderKeyView, OperationError> {
    let permit = caller.permit(Resource::Providers, Right::Update)?;
    let mut problems = Problems::default();
    if let Some(state) = fields.state {
        fill::check_state(&mut problems, "state", state);
    }
    problems.refuse_any()?;
    let mut change = store.change().await?;
    let mut provider = read(&mut change, provider).await?;
    let before = key_view(&mut change, provider.clone(), id).await?;
    let Some(key) = provider.keys.iter_mut().find(|key| key.id == id) else {
        return Err(not_found(id));
    };
    let has_new_secret = fields
        .secret
        .as_ref()
        .is_some_and(|secret| *secret != key.secret);
    let ProviderKeyFields {
        name,
        secret,
        weight,
        state,
    } = fields;
    fill::replace(&mut key.name, name);
    fill::replace(&mut key.secret, secret);
    fill::replace(&mut key.weight, weight);
    fill::replace(&mut key.state, state);
    let key = key.clone();
    free_key_name(&provider, &key)?;
    check_whole(&mut change, &provider, id, Reach::All).await?;
    let master_key = change.master_key().clone();
    store::providers::update_key(change.connection(), &master_key, &key, clock::now()).await?;
    store::key_probes::forget(change.connection(), id).await?;
    let object = object(&provider, &key);
    let after = key_view(&mut change, provider, id).await?;
    let verb = if has_new_secret {
        "replace_secret"
    } else {
        "update"
    };
    let event = permit.event(verb, object, Some(&before), Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Deletes a key of a provider that no access rule names.
///
/// # Errors
/// [`OperationError`] when there is no such key, an access rule names it, the caller may not or the store fails.
pub async fn delete_key(
    store: &Store,
    caller: &Caller,
    provider: ProviderId,
    id: ProviderKeyId,
) -> Result<(), OperationError> {
    let permit = caller.permit(Resource::Providers, Right::Update)?;
    let mut change = store.change().await?;
    let mut provider = read(&mut change, provider).await?;
    let before = key_view(&mut change, provider.clone(), id).await?;
    let Some(at) = provider.keys.iter().position(|key| key.id == id) else {
        return Err(not_found(id));
    };
    let key = provider.keys.remove(at);
    let mut surroundings = Surroundings::read(&mut change, Reach::All).await?;
    surroundings
        .documents
        .providers
        .insert(provider.id, provider.clone());
    surroundings.check_without(ObjectKind::ProviderKey, &key.name)?;
    store::providers::delete_key(change.connection(), id).await?;
    let event = permit.event("delete", object(&provider, &key), Some(&before), None)?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(())
}

/// Takes a key out of use that the provider answered with `status`; nothing happens when it is already.
///
/// # Errors
/// [`OperationError`] when the store fails.
pub async fn mark_key_bad(
    store: &Store,
    id: ProviderKeyId,
    status: u16,
) -> Result<(), OperationError> {
    let caller = Caller::filters();
    let permit = caller.permit(Resource::Providers, Right::Update)?;
    let mut change = store.change().await?;
    if let Some(event) = mark_bad(&mut change, permit, id, status, clock::now()).await? {
        change.commit(&[event], Effect::Policy).await?;
    }
    Ok(())
}

/// [`mark_key_bad`] within a change; returns the event to be appended, if something changed.
pub(super) async fn mark_bad(
    change: &mut Change,
    permit: Permit<'_>,
    id: ProviderKeyId,
    status: u16,
    since: Timestamp,
) -> Result<Option<AuditEvent>, OperationError> {
    let marked = mark(change, permit, id, Mark::Bad { status }, since).await?;
    if let Some((provider, key, event)) = marked {
        tracing::warn!(%provider, provider_key = %key, status, "provider key refused");
        return Ok(Some(event));
    }
    Ok(None)
}

/// Puts a key into use again that works, if it was out of use because it did not.
pub(super) async fn mark_working(
    change: &mut Change,
    permit: Permit<'_>,
    id: ProviderKeyId,
    since: Timestamp,
) -> Result<Option<AuditEvent>, OperationError> {
    let marked = mark(change, permit, id, Mark::Working, since).await?;
    Ok(marked.map(|(_, _, event)| event))
}

/// What an answer of its provider makes of a key.
#[derive(Clone, Copy)]
enum Mark {
    Bad { status: u16 },
    Working,
}

/// Marks a key; returns the names of its provider and its own with the event, if something changed.
async fn mark(
    change: &mut Change,
    permit: Permit<'_>,
    id: ProviderKeyId,
    mark: Mark,
    since: Timestamp,
) -> Result<Option<(String, String, AuditEvent)>, OperationError> {
    let history = store::providers::key_history(change.connection()).await?;
    // What was answered before the key was changed says nothing about the key as it is.
    let Some(history) = history
        .get(&id)
        .filter(|history| history.state_changed <= since)
    else {
        return Ok(None);
    };
    let provider = read(change, history.provider).await?;
    let before = key_view(change, provider.clone(), id).await?;
    let (db, now) = (change.connection(), clock::now());
    let (verb, is_news) = match mark {
        Mark::Bad { status } => {
            let is_news = store::providers::mark_bad(db, id, status, now).await?;
            ("mark_bad", is_news)
        }
        Mark::Working => {
            let is_news = store::providers::mark_working(db, id, now).await?;
            ("mark_working", is_news)
        }
    };
    let found = provider.keys.iter().find(|key| key.id == id);
    let Some(key) = found.filter(|_| is_news) else {
        return Ok(None);
    };
    let object = object(&provider, key);
    let names = (provider.name.clone(), key.name.clone());
    let provider = read(change, provider.id).await?;
    let after = key_view(change, provider, id).await?;
    let event = permit.event(verb, object, Some(&before), Some(&after))?;
    Ok(Some((names.0, names.1, event)))
}

/// Checks the provider; what is wrong with the key itself is placed as in its own request body.
async fn check_whole(
    change: &mut Change,
    provider: &Provider,
    id: ProviderKeyId,
    reach: Reach,
) -> Result<(), OperationError> {
    let mut surroundings = Surroundings::read(change, reach).await?;
    let at = provider
        .keys
        .iter()
        .position(|key| key.id == id)
        .unwrap_or_default();
    match check(&mut surroundings, provider) {
        Err(OperationError::Invalid { mut problems }) => {
            let prefix = format!("keys[{at}].");
            for problem in &mut problems {
                if let Some(field) = problem.path.strip_prefix(&prefix) {
                    problem.path = field.to_owned();
                }
            }
            Err(OperationError::Invalid { problems })
        }
        checked => checked,
    }
}

fn free_key_name(provider: &Provider, key: &ProviderKey) -> Result<(), OperationError> {
    let is_same = |other: &ProviderKey| other.name.to_lowercase() == key.name.to_lowercase();
    if provider
        .keys
        .iter()
        .any(|other| other.id != key.id && is_same(other))
    {
        return Err(OperationError::NameTaken {
            kind: ObjectKind::ProviderKey,
            name: key.name.clone(),
        });
    }
    Ok(())
}

async fn key_view(
    change: &mut Change,
    provider: Provider,
    id: ProviderKeyId,
) -> Result<ProviderKeyView, OperationError> {
    let ProviderView { keys, .. } = view(change, provider).await?;
    keys.into_iter()
        .find(|key| key.id == id)
        .ok_or_else(|| not_found(id))
}

fn object(provider: &Provider, key: &ProviderKey) -> Object {
    Object::new(
        ObjectKind::ProviderKey,
        key.id,
        format!("{}/{}", provider.name, key.name),
    )
}

fn not_found(id: ProviderKeyId) -> OperationError {
    OperationError::NotFound {
        kind: ObjectKind::ProviderKey,
        id: id.to_string(),
    }
}

//! Virtual keys.

use policy::check::Node;
use policy::documents::{Access, KeyState, Owner, Scope, Subscription, VirtualKey};
use policy::ids::KeyId;
use policy::key::VirtualKeySecret;
use policy::units::Timestamp;
use uuid::Uuid;

use super::authority::{Caller, Object, Resource, Right};
use super::consistency::{Reach, Surroundings};
use super::fields::{KeyFields, Problems};
use super::views::KeyView;
use super::{ObjectKind, OperationError, random_bytes};
use crate::clock;
use crate::store::{self, Change, Effect, Store, StoreError};

/// A key with its secret, at the one moment it is known.
#[derive(Clone, Debug)]
pub struct CreatedKey {
    pub key: KeyView,
    pub secret: VirtualKeySecret,
}

/// Lists all keys by name.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(store: &Store, caller: &Caller) -> Result<Vec<KeyView>, OperationError> {
    caller.permit(Resource::Keys, Right::View)?;
    let all = store::keys::list(&mut *store.read().await?).await?;
    Ok(all.into_iter().map(KeyView::from).collect())
}

/// Returns one key.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn get(store: &Store, caller: &Caller, id: KeyId) -> Result<KeyView, OperationError> {
    caller.permit(Resource::Keys, Right::View)?;
    let found = store::keys::get(&mut *store.read().await?, id).await?;
    found.map(KeyView::from).ok_or_else(|| not_found(id))
}

/// Makes a key.
///
/// # Errors
/// [`OperationError`] when the fields make no key, the caller may not or the store fails.
pub async fn create(
    store: &Store,
    caller: &Caller,
    fields: KeyFields,
) -> Result<CreatedKey, OperationError> {
    let permit = caller.permit(Resource::Keys, Right::Create)?;
    let now = clock::now();
    let mut problems = Problems::default();
    problems.need("name", fields.name.as_ref());
    let owner = problems.need("owner", fields.owner);
    check_expiry(&mut problems, &fields, now);
    let owner = problems.complete(owner)?;
    let secret = VirtualKeySecret::from_bytes(random_bytes()?);
    let mut key = new_key(owner, &secret);
    apply(fields, &mut key);
    let mut change = store.change().await?;
    check(&mut change, &key).await?;
    let inserted = store::keys::insert(change.connection(), &key, now).await;
    inserted.map_err(name_taken)?;
    let object = Object::new(ObjectKind::Key, key.id, key.name.as_str());
    let view = KeyView::from(key);
    let event = permit.event("create", object, None, Some(&view))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(CreatedKey { key: view, secret })
}

/// Changes a key.
///
/// # Errors
/// [`OperationError`] when there is none with this id, it is revoked, the fields make no sense, the caller may
/// not or the store fails.
pub async fn update(
    store: &Store,
    caller: &Caller,
    id: KeyId,
    fields: KeyFields,
) -> Result<KeyView, OperationError> {
    let permit = caller.permit(Resource::Keys, Right::Update)?;
    let mut problems = Problems::default();
    check_expiry(&mut problems, &fields, clock::now());
    problems.refuse_any()?;
    let mut change = store.change().await?;
    let mut key = read(&mut change, id).await?;
    if key.state == KeyState::Revoked
        && fields.state.is_some_and(|state| state != KeyState::Revoked)
    {
        return Err(OperationError::WrongState {
            because: "the key is revoked, and that is for good; make a new one",
        });
    }
    let before = KeyView::from(key.clone());
    apply(fields, &mut key);
    let after = KeyView::from(key.clone());
    if after == before {
        return Ok(after);
    }
    check(&mut change, &key).await?;
    store::keys::update(change.connection(), &key)
        .await
        .map_err(name_taken)?;
    let verb = if before.state == after.state {
        "update"
    } else {
        state_verb(after.state)
    };
    let object = Object::new(ObjectKind::Key, id, key.name);
    let event = permit.event(verb, object, Some(&before), Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Ends a key for good.
///
/// # Errors
/// As [`update`].
pub async fn revoke(store: &Store, caller: &Caller, id: KeyId) -> Result<KeyView, OperationError> {
    let fields = KeyFields {
        state: Some(KeyState::Revoked),
        ..KeyFields::default()
    };
    update(store, caller, id, fields).await
}

/// Gives a key a new secret; the old one ends at once.
///
/// # Errors
/// [`OperationError`] when there is none with this id, it is revoked, the caller may not or the store fails.
pub async fn rotate(
    store: &Store,
    caller: &Caller,
    id: KeyId,
) -> Result<CreatedKey, OperationError> {
    let permit = caller.permit(Resource::Keys, Right::Update)?;
    let mut change = store.change().await?;
    let mut key = read(&mut change, id).await?;
    if key.state == KeyState::Revoked {
        return Err(OperationError::WrongState {
            because: "the key is revoked, and that is for good; make a new one",
        });
    }
    let secret = VirtualKeySecret::from_bytes(random_bytes()?);
    key.hash = secret.hash();
    store::keys::update(change.connection(), &key).await?;
    let object = Object::new(ObjectKind::Key, id, key.name.as_str());
    let view = KeyView::from(key);
    let event = permit.event("rotate", object, Some(&view), Some(&view))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(CreatedKey { key: view, secret })
}

/// Deletes a key that nothing refers to. Its exchanges stay, without its name.
///
/// # Errors
/// [`OperationError`] when there is none with this id, a route is scoped to it, the caller may not or the store
/// fails.
pub async fn delete(store: &Store, caller: &Caller, id: KeyId) -> Result<(), OperationError> {
    let permit = caller.permit(Resource::Keys, Right::Delete)?;
    let mut change = store.change().await?;
    let key = read(&mut change, id).await?;
    let mut surroundings = Surroundings::read(&mut change, Reach::Around(Scope::Key(id))).await?;
    surroundings.documents.keys.remove(&id);
    surroundings.check_without(ObjectKind::Key, &key.name)?;
    store::keys::delete(change.connection(), id).await?;
    let object = Object::new(ObjectKind::Key, id, key.name.as_str());
    let event = permit.event("delete", object, Some(&KeyView::from(key)), None)?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(())
}

fn new_key(owner: Owner, secret: &VirtualKeySecret) -> VirtualKey {
    VirtualKey {
        id: KeyId::new(Uuid::now_v7()),
        name: String::new(),
        hash: secret.hash(),
        owner,
        environment: String::new(),
        state: KeyState::Active,
        expires_at: None,
        access: Access::default(),
        subscription: Subscription::default(),
        opaque_paths: Vec::new(),
        on_revoke: None,
    }
}

fn apply(fields: KeyFields, key: &mut VirtualKey) {
    let KeyFields {
        name,
        owner,
        environment,
        state,
        expires_at_ms,
        access,
        subscription,
        opaque_paths,
        on_revoke,
    } = fields;
    key.name = name.unwrap_or_else(|| key.name.clone());
    key.owner = owner.unwrap_or(key.owner);
    key.environment = environment.unwrap_or_else(|| key.environment.clone());
    key.state = state.unwrap_or(key.state);
    key.expires_at = expires_at_ms.unwrap_or(key.expires_at);
    key.access = access.unwrap_or_else(|| key.access.clone());
    key.subscription = subscription.unwrap_or(key.subscription);
    key.opaque_paths = opaque_paths.unwrap_or_else(|| key.opaque_paths.clone());
    key.on_revoke = on_revoke.unwrap_or(key.on_revoke);
}

fn check_expiry(problems: &mut Problems, fields: &KeyFields, now: Timestamp) {
    if let Some(Some(at)) = fields.expires_at_ms
        && at <= now
    {
        problems.add(
            "expires_at_ms",
            "must lie in the future, in milliseconds since 1970",
        );
    }
}

/// Checks the key alone among the other documents; its name and hash are unique in the database.
async fn check(change: &mut Change, key: &VirtualKey) -> Result<(), OperationError> {
    let mut surroundings = Surroundings::read(change, Reach::AllButKeys).await?;
    surroundings
        .documents
        .routes
        .retain(|_, route| !matches!(route.scope, Scope::Key(_)));
    surroundings.documents.keys.insert(key.id, key.clone());
    surroundings.check(Node::Key(key.id), ObjectKind::Key, &key.name)
}

fn name_taken(error: StoreError) -> OperationError {
    match error {
        StoreError::NameTaken { name, .. } => OperationError::NameTaken {
            kind: ObjectKind::Key,
            name,
        },
        other @ (StoreError::Open { .. }
        | StoreError::Migrate { .. }
        | StoreError::WrongMasterKey { .. }
        | StoreError::Database { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Seal { .. }
        | StoreError::Vault
        | StoreError::SealWebhook
        | StoreError::Interrupted { .. }) => other.into(),
    }
}

const fn state_verb(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "activate",
        KeyState::Inactive => "deactivate",
        KeyState::Revoked => "revoke",
    }
}

async fn read(change: &mut Change, id: KeyId) -> Result<VirtualKey, OperationError> {
    store::keys::get(change.connection(), id)
        .await?
        .ok_or_else(|| not_found(id))
}

fn not_found(id: KeyId) -> OperationError {
    OperationError::NotFound {
        kind: ObjectKind::Key,
        id: id.to_string(),
    }
}

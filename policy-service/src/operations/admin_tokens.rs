//! Administrative access tokens: 256 random bits, of which only the SHA-256 is kept.

use policy::ids::AdminTokenId;
use policy::secret::Secret;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::authority::{Caller, Object, Resource, Right};
use super::fields::{AdminTokenFields, Problems};
use super::views::AdminTokenView;
use super::{AdminTokenSecret, ObjectKind, OperationError, random_bytes};
use crate::clock;
use crate::store::admin_tokens::{self as tokens, AdminToken};
use crate::store::{Effect, Store, StoreError};

/// What every admin token starts with.
const PREFIX: &str = "weir-admin-";
/// Longest name of a token.
const MAX_NAME_BYTES: usize = 128;

/// A token with its secret, at the one moment it is known.
#[derive(Clone, Debug)]
pub struct CreatedAdminToken {
    pub token: AdminTokenView,
    pub secret: AdminTokenSecret,
}

/// Makes the first admin token when there has never been one.
///
/// # Errors
/// [`OperationError`] when the store fails.
pub async fn bootstrap(store: &Store) -> Result<Option<AdminTokenSecret>, OperationError> {
    if !tokens::list(&mut *store.read().await?).await?.is_empty() {
        return Ok(None);
    }
    let fields = AdminTokenFields {
        name: Some("first".to_owned()),
    };
    let created = create(store, &Caller::system("first start"), fields).await?;
    Ok(Some(created.secret))
}

/// Finds out who presents a token.
///
/// # Errors
/// [`OperationError::Unauthenticated`] when nobody does or the token is revoked; others when the store fails.
pub async fn authenticate(store: &Store, token: &str) -> Result<Caller, OperationError> {
    let found = tokens::find(&mut *store.read().await?, &hash(token)).await?;
    match found {
        Some(AdminToken {
            id,
            name,
            revoked_at: None,
            ..
        }) => Ok(Caller::admin_token(id, name)),
        Some(_) | None => Err(OperationError::Unauthenticated),
    }
}

/// Lists all tokens by name, revoked ones too.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(store: &Store, caller: &Caller) -> Result<Vec<AdminTokenView>, OperationError> {
    caller.permit(Resource::AdminTokens, Right::View)?;
    let all = tokens::list(&mut *store.read().await?).await?;
    Ok(all.into_iter().map(AdminTokenView::from).collect())
}

/// Makes a token.
///
/// # Errors
/// [`OperationError`] when the name cannot be used, the caller may not or the store fails.
pub async fn create(
    store: &Store,
    caller: &Caller,
    fields: AdminTokenFields,
) -> Result<CreatedAdminToken, OperationError> {
    let permit = caller.permit(Resource::AdminTokens, Right::Create)?;
    let mut problems = Problems::default();
    let name = problems.need("name", fields.name);
    if let Some(name) = &name {
        let is_name = (1..=MAX_NAME_BYTES).contains(&name.len())
            && name.trim() == name
            && !name.chars().any(char::is_control);
        if !is_name {
            problems.add(
                "name",
                "must have 1 to 128 bytes, no white space around it and no control characters",
            );
        }
    }
    let name = problems.complete(name)?;
    let secret = Secret::new(format!("{PREFIX}{}", hex::encode(random_bytes()?)));
    let token = AdminToken {
        id: AdminTokenId::new(Uuid::now_v7()),
        name,
        created_at: clock::now(),
        revoked_at: None,
    };
    let mut change = store.change().await?;
    match tokens::insert(change.connection(), &token, &hash(secret.expose())).await {
        Err(StoreError::NameTaken { name, .. }) => {
            return Err(OperationError::NameTaken {
                kind: ObjectKind::AdminToken,
                name,
            });
        }
        inserted => inserted?,
    }
    let object = Object::new(ObjectKind::AdminToken, token.id, token.name.as_str());
    let view = AdminTokenView::from(token);
    let event = permit.event("create", object, None, Some(&view))?;
    change.commit(&[event], Effect::Nothing).await?;
    Ok(CreatedAdminToken {
        token: view,
        secret: AdminTokenSecret(secret),
    })
}

/// Ends a token for good, unless it is the last.
///
/// # Errors
/// [`OperationError`] when there is none with this id, it is the last, the caller may not or the store fails.
pub async fn revoke(
    store: &Store,
    caller: &Caller,
    id: AdminTokenId,
) -> Result<AdminTokenView, OperationError> {
    let permit = caller.permit(Resource::AdminTokens, Right::Delete)?;
    let mut change = store.change().await?;
    let all = tokens::list(change.connection()).await?;
    let Some(token) = all.iter().find(|token| token.id == id).cloned() else {
        return Err(OperationError::NotFound {
            kind: ObjectKind::AdminToken,
            id: id.to_string(),
        });
    };
    if token.revoked_at.is_some() {
        return Ok(token.into());
    }
    if !all
        .iter()
        .any(|other| other.id != id && other.revoked_at.is_none())
    {
        return Err(OperationError::WrongState {
            because: "this is the last admin token; make another one before it is revoked",
        });
    }
    let now = clock::now();
    tokens::revoke(change.connection(), id, now).await?;
    let before = AdminTokenView::from(token);
    let after = AdminTokenView {
        revoked_ms: Some(now),
        ..before.clone()
    };
    let object = Object::new(ObjectKind::AdminToken, id, after.name.as_str());
    let event = permit.event("revoke", object, Some(&before), Some(&after))?;
    change.commit(&[event], Effect::Nothing).await?;
    Ok(after)
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

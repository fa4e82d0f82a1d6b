//! Virtual keys.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, PageQuery, cut};
use super::request::{Fields, Parameters, id};
use crate::operations::fields::KeyFields;
use crate::operations::keys::{self, CreatedKey};
use crate::operations::views::KeyView;
use crate::operations::{Caller, ObjectKind};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(rotate))
        .routes(routes!(revoke))
}

/// A key with its secret.
#[derive(Debug, Serialize, ToSchema)]
struct NewKeyView {
    key: KeyView,
    /// Shown this once; only its hash is kept.
    secret: String,
}

impl From<CreatedKey> for NewKeyView {
    fn from(created: CreatedKey) -> Self {
        Self {
            secret: created.secret.expose().to_owned(),
            key: created.key,
        }
    }
}

/// List keys.
#[utoipa::path(
    get,
    path = "/api/v1/keys",
    tag = "keys",
    operation_id = "list_keys",
    params(PageQuery),
    responses((status = 200, body = Page<KeyView>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<KeyView>>, ApiError> {
    let all = keys::list(&shared.store, &caller).await?;
    Ok(Json(cut(all, |key| key.name.clone(), &query)?))
}

/// Make a key; its secret is shown this once.
#[utoipa::path(
    post,
    path = "/api/v1/keys",
    tag = "keys",
    operation_id = "create_key",
    request_body = KeyFields,
    responses((status = 201, body = NewKeyView), (status = "default", body = ErrorBody))
)]
async fn create(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<KeyFields>,
) -> Result<(StatusCode, Json<NewKeyView>), ApiError> {
    let created = keys::create(&shared.store, &caller, fields).await?;
    Ok((StatusCode::CREATED, Json(created.into())))
}

/// Show a key.
#[utoipa::path(
    get,
    path = "/api/v1/keys/{id}",
    tag = "keys",
    operation_id = "get_key",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = KeyView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<KeyView>, ApiError> {
    let id = id(ObjectKind::Key, &name)?;
    Ok(Json(keys::get(&shared.store, &caller, id).await?))
}

/// Change fields of a key.
#[utoipa::path(
    patch,
    path = "/api/v1/keys/{id}",
    tag = "keys",
    operation_id = "update_key",
    params(("id" = uuid::Uuid, Path)),
    request_body = KeyFields,
    responses((status = 200, body = KeyView), (status = "default", body = ErrorBody))
)]
async fn update(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Fields(fields): Fields<KeyFields>,
) -> Result<Json<KeyView>, ApiError> {
    let id = id(ObjectKind::Key, &name)?;
    Ok(Json(
        keys::update(&shared.store, &caller, id, fields).await?,
    ))
}

/// Delete a key that nothing refers to.
#[utoipa::path(
    delete,
    path = "/api/v1/keys/{id}",
    tag = "keys",
    operation_id = "delete_key",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = ErrorBody))
)]
async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(ObjectKind::Key, &name)?;
    keys::delete(&shared.store, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a key a new secret; the old one ends at once.
#[utoipa::path(
    post,
    path = "/api/v1/keys/{id}/rotate",
    tag = "keys",
    operation_id = "rotate_key",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = NewKeyView), (status = "default", body = ErrorBody))
)]
async fn rotate(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<NewKeyView>, ApiError> {
    let id = id(ObjectKind::Key, &name)?;
    Ok(Json(keys::rotate(&shared.store, &caller, id).await?.into()))
}

/// End a key for good.
#[utoipa::path(
    post,
    path = "/api/v1/keys/{id}/revoke",
    tag = "keys",
    operation_id = "revoke_key",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = KeyView), (status = "default", body = ErrorBody))
)]
async fn revoke(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<KeyView>, ApiError> {
    let id = id(ObjectKind::Key, &name)?;
    Ok(Json(keys::revoke(&shared.store, &caller, id).await?))
}

//! Providers.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, PageQuery, cut};
use super::request::{Fields, Parameters, id};
use crate::operations::fields::{ProviderFields, ProviderKeyFields};
use crate::operations::views::{ProviderKeyView, ProviderView};
use crate::operations::{Caller, ObjectKind, providers};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(add_key))
        .routes(routes!(update_key, delete_key))
}

/// List providers.
#[utoipa::path(
    get,
    path = "/api/v1/providers",
    tag = "providers",
    operation_id = "list_providers",
    params(PageQuery),
    responses((status = 200, body = Page<ProviderView>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<ProviderView>>, ApiError> {
    let all = providers::list(&shared.store, &caller).await?;
    Ok(Json(cut(all, |provider| provider.name.clone(), &query)?))
}

/// Add a provider, with keys if the body holds some.
#[utoipa::path(
    post,
    path = "/api/v1/providers",
    tag = "providers",
    operation_id = "create_provider",
    request_body = ProviderFields,
    responses((status = 201, body = ProviderView), (status = "default", body = ErrorBody))
)]
async fn create(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<ProviderFields>,
) -> Result<(StatusCode, Json<ProviderView>), ApiError> {
    let provider = providers::create(&shared.store, &caller, fields).await?;
    Ok((StatusCode::CREATED, Json(provider)))
}

/// Show a provider.
#[utoipa::path(
    get,
    path = "/api/v1/providers/{id}",
    tag = "providers",
    operation_id = "get_provider",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = ProviderView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<ProviderView>, ApiError> {
    let id = id(ObjectKind::Provider, &name)?;
    Ok(Json(providers::get(&shared.store, &caller, id).await?))
}

/// Change fields of a provider; its keys have addresses of their own.
#[utoipa::path(
    patch,
    path = "/api/v1/providers/{id}",
    tag = "providers",
    operation_id = "update_provider",
    params(("id" = uuid::Uuid, Path)),
    request_body = ProviderFields,
    responses((status = 200, body = ProviderView), (status = "default", body = ErrorBody))
)]
async fn update(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Fields(fields): Fields<ProviderFields>,
) -> Result<Json<ProviderView>, ApiError> {
    let id = id(ObjectKind::Provider, &name)?;
    Ok(Json(
        providers::update(&shared.store, &caller, id, fields).await?,
    ))
}

/// Delete a provider that nothing refers to, and its keys.
#[utoipa::path(
    delete,
    path = "/api/v1/providers/{id}",
    tag = "providers",
    operation_id = "delete_provider",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = ErrorBody))
)]
async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(ObjectKind::Provider, &name)?;
    providers::delete(&shared.store, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a provider another key.
#[utoipa::path(
    post,
    path = "/api/v1/providers/{id}/keys",
    tag = "providers",
    operation_id = "add_provider_key",
    params(("id" = uuid::Uuid, Path)),
    request_body = ProviderKeyFields,
    responses((status = 201, body = ProviderKeyView), (status = "default", body = ErrorBody))
)]
async fn add_key(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Fields(fields): Fields<ProviderKeyFields>,
) -> Result<(StatusCode, Json<ProviderKeyView>), ApiError> {
    let id = id(ObjectKind::Provider, &name)?;
    let key = providers::add_key(&shared.store, &caller, id, fields).await?;
    Ok((StatusCode::CREATED, Json(key)))
}

/// Change fields of a provider's key, or put it back into use.
#[utoipa::path(
    patch,
    path = "/api/v1/providers/{id}/keys/{key_id}",
    tag = "providers",
    operation_id = "update_provider_key",
    params(("id" = uuid::Uuid, Path), ("key_id" = uuid::Uuid, Path)),
    request_body = ProviderKeyFields,
    responses((status = 200, body = ProviderKeyView), (status = "default", body = ErrorBody))
)]
async fn update_key(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path((provider, key)): Path<(String, String)>,
    Fields(fields): Fields<ProviderKeyFields>,
) -> Result<Json<ProviderKeyView>, ApiError> {
    let provider = id(ObjectKind::Provider, &provider)?;
    let key = id(ObjectKind::ProviderKey, &key)?;
    Ok(Json(
        providers::update_key(&shared.store, &caller, provider, key, fields).await?,
    ))
}

/// Delete a provider's key that no access rule names.
#[utoipa::path(
    delete,
    path = "/api/v1/providers/{id}/keys/{key_id}",
    tag = "providers",
    operation_id = "delete_provider_key",
    params(("id" = uuid::Uuid, Path), ("key_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = ErrorBody))
)]
async fn delete_key(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path((provider, key)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let provider = id(ObjectKind::Provider, &provider)?;
    let key = id(ObjectKind::ProviderKey, &key)?;
    providers::delete_key(&shared.store, &caller, provider, key).await?;
    Ok(StatusCode::NO_CONTENT)
}

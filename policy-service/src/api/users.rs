//! Users.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, PageQuery, cut};
use super::request::{Fields, Parameters, id};
use crate::operations::fields::UserFields;
use crate::operations::views::UserView;
use crate::operations::{Caller, ObjectKind, users};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
}

/// List users.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    tag = "users",
    operation_id = "list_users",
    params(PageQuery),
    responses((status = 200, body = Page<UserView>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<UserView>>, ApiError> {
    let all = users::list(&shared.store, &caller).await?;
    Ok(Json(cut(all, |user| user.name.clone(), &query)?))
}

/// Add a user.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    tag = "users",
    operation_id = "create_user",
    request_body = UserFields,
    responses((status = 201, body = UserView), (status = "default", body = ErrorBody))
)]
async fn create(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<UserFields>,
) -> Result<(StatusCode, Json<UserView>), ApiError> {
    let user = users::create(&shared.store, &caller, fields).await?;
    Ok((StatusCode::CREATED, Json(user)))
}

/// Show a user.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}",
    tag = "users",
    operation_id = "get_user",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = UserView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<UserView>, ApiError> {
    let id = id(ObjectKind::User, &name)?;
    Ok(Json(users::get(&shared.store, &caller, id).await?))
}

/// Change fields of a user.
#[utoipa::path(
    patch,
    path = "/api/v1/users/{id}",
    tag = "users",
    operation_id = "update_user",
    params(("id" = uuid::Uuid, Path)),
    request_body = UserFields,
    responses((status = 200, body = UserView), (status = "default", body = ErrorBody))
)]
async fn update(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Fields(fields): Fields<UserFields>,
) -> Result<Json<UserView>, ApiError> {
    let id = id(ObjectKind::User, &name)?;
    Ok(Json(
        users::update(&shared.store, &caller, id, fields).await?,
    ))
}

/// Delete a user that nothing refers to.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}",
    tag = "users",
    operation_id = "delete_user",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = ErrorBody))
)]
async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(ObjectKind::User, &name)?;
    users::delete(&shared.store, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Routes.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, PageQuery, cut};
use super::request::{Fields, Parameters, id};
use crate::operations::fields::RouteFields;
use crate::operations::views::RouteView;
use crate::operations::{Caller, ObjectKind, routes};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
}

/// List routes.
#[utoipa::path(
    get,
    path = "/api/v1/routes",
    tag = "routes",
    operation_id = "list_routes",
    params(PageQuery),
    responses((status = 200, body = Page<RouteView>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<RouteView>>, ApiError> {
    let all = routes::list(&shared.store, &caller).await?;
    Ok(Json(cut(
        all,
        |route| format!("{} {}", route.alias, route.id),
        &query,
    )?))
}

/// Add a route.
#[utoipa::path(
    post,
    path = "/api/v1/routes",
    tag = "routes",
    operation_id = "create_route",
    request_body = RouteFields,
    responses((status = 201, body = RouteView), (status = "default", body = ErrorBody))
)]
async fn create(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<RouteFields>,
) -> Result<(StatusCode, Json<RouteView>), ApiError> {
    let route = routes::create(&shared.store, &caller, fields).await?;
    Ok((StatusCode::CREATED, Json(route)))
}

/// Show a route.
#[utoipa::path(
    get,
    path = "/api/v1/routes/{id}",
    tag = "routes",
    operation_id = "get_route",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = RouteView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<RouteView>, ApiError> {
    let id = id(ObjectKind::Route, &name)?;
    Ok(Json(routes::get(&shared.store, &caller, id).await?))
}

/// Change fields of a route.
#[utoipa::path(
    patch,
    path = "/api/v1/routes/{id}",
    tag = "routes",
    operation_id = "update_route",
    params(("id" = uuid::Uuid, Path)),
    request_body = RouteFields,
    responses((status = 200, body = RouteView), (status = "default", body = ErrorBody))
)]
async fn update(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Fields(fields): Fields<RouteFields>,
) -> Result<Json<RouteView>, ApiError> {
    let id = id(ObjectKind::Route, &name)?;
    Ok(Json(
        routes::update(&shared.store, &caller, id, fields).await?,
    ))
}

/// Delete a route.
#[utoipa::path(
    delete,
    path = "/api/v1/routes/{id}",
    tag = "routes",
    operation_id = "delete_route",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = ErrorBody))
)]
async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(ObjectKind::Route, &name)?;
    routes::delete(&shared.store, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Teams.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, PageQuery, cut};
use super::request::{Fields, Parameters, id};
use crate::operations::fields::TeamFields;
use crate::operations::views::TeamView;
use crate::operations::{Caller, ObjectKind, teams};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
}

/// List teams.
#[utoipa::path(
    get,
    path = "/api/v1/teams",
    tag = "teams",
    operation_id = "list_teams",
    params(PageQuery),
    responses((status = 200, body = Page<TeamView>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<TeamView>>, ApiError> {
    let all = teams::list(&shared.store, &caller).await?;
    Ok(Json(cut(all, |team| team.name.clone(), &query)?))
}

/// Add a team.
#[utoipa::path(
    post,
    path = "/api/v1/teams",
    tag = "teams",
    operation_id = "create_team",
    request_body = TeamFields,
    responses((status = 201, body = TeamView), (status = "default", body = ErrorBody))
)]
async fn create(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<TeamFields>,
) -> Result<(StatusCode, Json<TeamView>), ApiError> {
    let team = teams::create(&shared.store, &caller, fields).await?;
    Ok((StatusCode::CREATED, Json(team)))
}

/// Show a team.
#[utoipa::path(
    get,
    path = "/api/v1/teams/{id}",
    tag = "teams",
    operation_id = "get_team",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = TeamView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<TeamView>, ApiError> {
    let id = id(ObjectKind::Team, &name)?;
    Ok(Json(teams::get(&shared.store, &caller, id).await?))
}

/// Change fields of a team.
#[utoipa::path(
    patch,
    path = "/api/v1/teams/{id}",
    tag = "teams",
    operation_id = "update_team",
    params(("id" = uuid::Uuid, Path)),
    request_body = TeamFields,
    responses((status = 200, body = TeamView), (status = "default", body = ErrorBody))
)]
async fn update(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Fields(fields): Fields<TeamFields>,
) -> Result<Json<TeamView>, ApiError> {
    let id = id(ObjectKind::Team, &name)?;
    Ok(Json(
        teams::update(&shared.store, &caller, id, fields).await?,
    ))
}

/// Delete a team that nothing refers to.
#[utoipa::path(
    delete,
    path = "/api/v1/teams/{id}",
    tag = "teams",
    operation_id = "delete_team",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = ErrorBody))
)]
async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(ObjectKind::Team, &name)?;
    teams::delete(&shared.store, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

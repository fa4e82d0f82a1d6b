//! Files of detection rules.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, PageQuery, cut};
use super::request::{Fields, LARGE_BODY_BYTES, Parameters, id};
use crate::operations::fields::RuleFileFields;
use crate::operations::views::{RuleFileItem, RuleFileView};
use crate::operations::{Caller, ObjectKind, rule_files};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
}

/// List rule files.
#[utoipa::path(
    get,
    path = "/api/v1/rule-files",
    tag = "guardrails",
    operation_id = "list_rule_files",
    params(PageQuery),
    responses((status = 200, body = Page<RuleFileItem>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<RuleFileItem>>, ApiError> {
    let all = rule_files::list(&shared.store, &caller).await?;
    Ok(Json(cut(all, |one| one.name.clone(), &query)?))
}

/// Add a rule file.
#[utoipa::path(
    post,
    path = "/api/v1/rule-files",
    tag = "guardrails",
    operation_id = "create_rule_file",
    request_body = RuleFileFields,
    responses((status = 201, body = RuleFileView), (status = "default", body = ErrorBody))
)]
async fn create(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<RuleFileFields, LARGE_BODY_BYTES>,
) -> Result<(StatusCode, Json<RuleFileView>), ApiError> {
    let made = rule_files::create(&shared.store, &caller, fields).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Show a rule file.
#[utoipa::path(
    get,
    path = "/api/v1/rule-files/{id}",
    tag = "guardrails",
    operation_id = "get_rule_file",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = RuleFileView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<RuleFileView>, ApiError> {
    let id = id(ObjectKind::RuleFile, &name)?;
    Ok(Json(rule_files::get(&shared.store, &caller, id).await?))
}

/// Change fields of a rule file.
#[utoipa::path(
    patch,
    path = "/api/v1/rule-files/{id}",
    tag = "guardrails",
    operation_id = "update_rule_file",
    params(("id" = uuid::Uuid, Path)),
    request_body = RuleFileFields,
    responses((status = 200, body = RuleFileView), (status = "default", body = ErrorBody))
)]
async fn update(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Fields(fields): Fields<RuleFileFields, LARGE_BODY_BYTES>,
) -> Result<Json<RuleFileView>, ApiError> {
    let id = id(ObjectKind::RuleFile, &name)?;
    Ok(Json(
        rule_files::update(&shared.store, &caller, id, fields).await?,
    ))
}

/// Delete a rule file.
#[utoipa::path(
    delete,
    path = "/api/v1/rule-files/{id}",
    tag = "guardrails",
    operation_id = "delete_rule_file",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = ErrorBody))
)]
async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(ObjectKind::RuleFile, &name)?;
    rule_files::delete(&shared.store, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

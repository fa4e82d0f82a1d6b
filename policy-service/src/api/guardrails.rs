//! Guardrails.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use policy::guardrail::GuardrailDraft;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, PageQuery, cut};
use super::request::{Fields, LARGE_BODY_BYTES, Parameters, id};
use crate::operations::fields::EvaluationFields;
use crate::operations::schema;
use crate::operations::views::{EvaluationView, GuardrailView};
use crate::operations::{Caller, ObjectKind, evaluation, guardrails};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(evaluate))
}

/// List guardrails.
#[utoipa::path(
    get,
    path = "/api/v1/guardrails",
    tag = "guardrails",
    operation_id = "list_guardrails",
    params(PageQuery),
    responses((status = 200, body = Page<GuardrailView>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<GuardrailView>>, ApiError> {
    let all = guardrails::list(&shared.store, &caller).await?;
    Ok(Json(cut(all, |one| one.name.clone(), &query)?))
}

/// Add a guardrail.
#[utoipa::path(
    post,
    path = "/api/v1/guardrails",
    tag = "guardrails",
    operation_id = "create_guardrail",
    request_body = schema::guardrails::GuardrailFields,
    responses((status = 201, body = GuardrailView), (status = "default", body = ErrorBody))
)]
async fn create(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<GuardrailDraft>,
) -> Result<(StatusCode, Json<GuardrailView>), ApiError> {
    let made = guardrails::create(&shared.store, &caller, fields).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Show a guardrail.
#[utoipa::path(
    get,
    path = "/api/v1/guardrails/{id}",
    tag = "guardrails",
    operation_id = "get_guardrail",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = GuardrailView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<GuardrailView>, ApiError> {
    let id = id(ObjectKind::Guardrail, &name)?;
    Ok(Json(guardrails::get(&shared.store, &caller, id).await?))
}

/// Change fields of a guardrail.
#[utoipa::path(
    patch,
    path = "/api/v1/guardrails/{id}",
    tag = "guardrails",
    operation_id = "update_guardrail",
    params(("id" = uuid::Uuid, Path)),
    request_body = schema::guardrails::GuardrailFields,
    responses((status = 200, body = GuardrailView), (status = "default", body = ErrorBody))
)]
async fn update(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Fields(fields): Fields<GuardrailDraft>,
) -> Result<Json<GuardrailView>, ApiError> {
    let id = id(ObjectKind::Guardrail, &name)?;
    Ok(Json(
        guardrails::update(&shared.store, &caller, id, fields).await?,
    ))
}

/// Delete a guardrail.
#[utoipa::path(
    delete,
    path = "/api/v1/guardrails/{id}",
    tag = "guardrails",
    operation_id = "delete_guardrail",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = ErrorBody))
)]
async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(ObjectKind::Guardrail, &name)?;
    guardrails::delete(&shared.store, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Try guardrails on a body; nothing is sent or recorded.
#[utoipa::path(
    post,
    path = "/api/v1/guardrails/evaluate",
    tag = "guardrails",
    operation_id = "evaluate_guardrails",
    request_body = EvaluationFields,
    responses((status = 200, body = EvaluationView), (status = "default", body = ErrorBody))
)]
async fn evaluate(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<EvaluationFields, LARGE_BODY_BYTES>,
) -> Result<Json<EvaluationView>, ApiError> {
    let evaluated = evaluation::evaluate(&shared.store, &caller, fields).await?;
    Ok(Json(evaluated))
}

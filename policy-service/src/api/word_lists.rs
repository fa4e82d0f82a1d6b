//! Lists of words and phrases.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, PageQuery, cut};
use super::request::{Fields, LARGE_BODY_BYTES, Parameters, id};
use crate::operations::fields::WordListFields;
use crate::operations::views::{WordListItem, WordListView};
use crate::operations::{Caller, ObjectKind, word_lists};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
}

/// List word lists.
#[utoipa::path(
    get,
    path = "/api/v1/word-lists",
    tag = "guardrails",
    operation_id = "list_word_lists",
    params(PageQuery),
    responses((status = 200, body = Page<WordListItem>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<WordListItem>>, ApiError> {
    let all = word_lists::list(&shared.store, &caller).await?;
    Ok(Json(cut(all, |one| one.name.clone(), &query)?))
}

/// Add a word list.
#[utoipa::path(
    post,
    path = "/api/v1/word-lists",
    tag = "guardrails",
    operation_id = "create_word_list",
    request_body = WordListFields,
    responses((status = 201, body = WordListView), (status = "default", body = ErrorBody))
)]
async fn create(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<WordListFields, LARGE_BODY_BYTES>,
) -> Result<(StatusCode, Json<WordListView>), ApiError> {
    let made = word_lists::create(&shared.store, &caller, fields).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Show a word list.
#[utoipa::path(
    get,
    path = "/api/v1/word-lists/{id}",
    tag = "guardrails",
    operation_id = "get_word_list",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = WordListView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<WordListView>, ApiError> {
    let id = id(ObjectKind::WordList, &name)?;
    Ok(Json(word_lists::get(&shared.store, &caller, id).await?))
}

/// Change fields of a word list.
#[utoipa::path(
    patch,
    path = "/api/v1/word-lists/{id}",
    tag = "guardrails",
    operation_id = "update_word_list",
    params(("id" = uuid::Uuid, Path)),
    request_body = WordListFields,
    responses((status = 200, body = WordListView), (status = "default", body = ErrorBody))
)]
async fn update(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Fields(fields): Fields<WordListFields, LARGE_BODY_BYTES>,
) -> Result<Json<WordListView>, ApiError> {
    let id = id(ObjectKind::WordList, &name)?;
    Ok(Json(
        word_lists::update(&shared.store, &caller, id, fields).await?,
    ))
}

/// Delete a word list.
#[utoipa::path(
    delete,
    path = "/api/v1/word-lists/{id}",
    tag = "guardrails",
    operation_id = "delete_word_list",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = ErrorBody))
)]
async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(ObjectKind::WordList, &name)?;
    word_lists::delete(&shared.store, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

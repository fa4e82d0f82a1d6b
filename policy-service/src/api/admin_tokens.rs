//! Admin tokens.

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
use crate::operations::fields::AdminTokenFields;
use crate::operations::views::AdminTokenView;
use crate::operations::{Caller, ObjectKind, admin_tokens};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
}

/// An admin token with its secret.
#[derive(Debug, Serialize, ToSchema)]
struct NewAdminTokenView {
    token: AdminTokenView,
    /// Shown this once; only its hash is kept.
    secret: String,
}

/// List admin tokens, revoked ones too.
#[utoipa::path(
    get,
    path = "/api/v1/admin-tokens",
    tag = "admin tokens",
    operation_id = "list_admin_tokens",
    params(PageQuery),
    responses((status = 200, body = Page<AdminTokenView>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<AdminTokenView>>, ApiError> {
    let all = admin_tokens::list(&shared.store, &caller).await?;
    Ok(Json(cut(all, |token| token.name.clone(), &query)?))
}

/// Make an admin token; its secret is shown this once.
#[utoipa::path(
    post,
    path = "/api/v1/admin-tokens",
    tag = "admin tokens",
    operation_id = "create_admin_token",
    request_body = AdminTokenFields,
    responses((status = 201, body = NewAdminTokenView), (status = "default", body = ErrorBody))
)]
async fn create(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<AdminTokenFields>,
) -> Result<(StatusCode, Json<NewAdminTokenView>), ApiError> {
    let created = admin_tokens::create(&shared.store, &caller, fields).await?;
    let secret = created.secret.expose().to_owned();
    Ok((
        StatusCode::CREATED,
        Json(NewAdminTokenView {
            token: created.token,
            secret,
        }),
    ))
}

/// End an admin token for good, unless it is the last.
#[utoipa::path(
    post,
    path = "/api/v1/admin-tokens/{id}/revoke",
    tag = "admin tokens",
    operation_id = "revoke_admin_token",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = AdminTokenView), (status = "default", body = ErrorBody))
)]
async fn revoke(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<AdminTokenView>, ApiError> {
    let id = id(ObjectKind::AdminToken, &name)?;
    Ok(Json(
        admin_tokens::revoke(&shared.store, &caller, id).await?,
    ))
}

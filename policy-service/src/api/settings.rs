//! Mesh-wide settings.

use axum::extract::State;
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::request::Fields;
use crate::operations::fields::SettingsFields;
use crate::operations::views::SettingsView;
use crate::operations::{Caller, settings};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(get, update))
}

/// Show the settings.
#[utoipa::path(
    get,
    path = "/api/v1/settings",
    tag = "settings",
    operation_id = "get_settings",
    responses((status = 200, body = SettingsView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<SettingsView>, ApiError> {
    Ok(Json(settings::get(&shared.store, &caller).await?))
}

/// Change settings.
#[utoipa::path(
    patch,
    path = "/api/v1/settings",
    tag = "settings",
    operation_id = "update_settings",
    request_body = SettingsFields,
    responses((status = 200, body = SettingsView), (status = "default", body = ErrorBody))
)]
async fn update(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<SettingsFields>,
) -> Result<Json<SettingsView>, ApiError> {
    Ok(Json(
        settings::update(&shared.store, &caller, fields).await?,
    ))
}

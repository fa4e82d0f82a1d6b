//! The running mesh.

use axum::extract::State;
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use crate::operations::mesh::MeshView;
use crate::operations::{Caller, mesh};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(get))
}

/// Show what is enforced where: policy and cluster versions, and every filter that reports.
#[utoipa::path(
    get,
    path = "/api/v1/mesh",
    tag = "mesh",
    operation_id = "get_mesh",
    responses((status = 200, body = MeshView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<MeshView>, ApiError> {
    let readiness = shared.readiness.as_ref().ok_or(ApiError::NoSuchPath)?;
    Ok(Json(mesh::status(readiness, &caller).await?))
}

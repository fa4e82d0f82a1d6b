//! The running mesh: what is enforced where.

use serde::Serialize;
use utoipa::ToSchema;

use super::OperationError;
use super::authority::{Caller, Resource, Right};
use crate::mesh::Status;
use crate::readiness::{Readiness, State};

/// The state of the mesh.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MeshView {
    pub readiness: State,
    #[serde(flatten)]
    pub status: Status,
}

/// Returns the state of the mesh.
///
/// # Errors
/// [`OperationError`] when the caller may not.
pub fn status(readiness: &Readiness, caller: &Caller) -> Result<MeshView, OperationError> {
    caller.permit(Resource::Mesh, Right::View)?;
    Ok(MeshView {
        readiness: readiness.state(),
        status: readiness.control().status(),
    })
}

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
    /// The version of the stored documents, which grows with each change of policy. A change is published, and proven,
    /// once `policy.documents_version` and `readiness.proven_documents_version` have reached what this was after it.
    pub documents_version: u64,
    pub readiness: State,
    #[serde(flatten)]
    pub status: Status,
}

/// Returns the state of the mesh.
///
/// # Errors
/// [`OperationError`] when the caller may not, or the database cannot be read.
pub async fn status(readiness: &Readiness, caller: &Caller) -> Result<MeshView, OperationError> {
    caller.permit(Resource::Mesh, Right::View)?;
    let documents_version = readiness.control().store().version().await?;
    Ok(MeshView {
        documents_version,
        readiness: readiness.state(),
        status: readiness.control().status(),
    })
}

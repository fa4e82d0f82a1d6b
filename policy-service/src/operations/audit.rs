//! The administrative audit log.

use super::OperationError;
use super::authority::{Caller, Resource, Right};
use super::views::AuditEventView;
use crate::store::{self, Store};

pub use crate::store::audit::AuditFilter;

/// Lists events, newest first.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(
    store: &Store,
    caller: &Caller,
    filter: &AuditFilter,
    limit: u32,
) -> Result<Vec<AuditEventView>, OperationError> {
    caller.permit(Resource::AuditLog, Right::View)?;
    let events = store::audit::list(&mut *store.read().await?, filter, limit).await?;
    Ok(events.into_iter().map(AuditEventView::from).collect())
}

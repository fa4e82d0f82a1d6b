//! What happened by itself: thresholds of quotas that were passed.

use super::OperationError;
use super::authority::{Caller, Resource, Right};
use super::views::EventView;
use crate::store::{self, Store};

pub use crate::store::events::EventFilter;

/// Lists events, newest first.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(
    store: &Store,
    caller: &Caller,
    filter: &EventFilter,
    limit: u32,
) -> Result<Vec<EventView>, OperationError> {
    caller.permit(Resource::AuditLog, Right::View)?;
    let events = store::events::list(&mut *store.read().await?, filter, limit).await?;
    Ok(events.into_iter().map(EventView::from).collect())
}

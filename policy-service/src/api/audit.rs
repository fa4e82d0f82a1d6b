//! The administrative audit log.

use axum::extract::State;
use axum::{Extension, Json};
use policy::units::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, bad_cursor, limit};
use super::request::{Parameters, Parsed};
use crate::operations::Caller;
use crate::operations::audit::{self, AuditFilter};
use crate::operations::views::AuditEventView;

const USUAL_ITEMS: u32 = 100;
const MAX_ITEMS: u32 = 1_000;

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// As in `key.rotate`.
    action: Option<String>,
    /// As in `key`.
    object_kind: Option<String>,
    object_id: Option<String>,
    /// At this time or later.
    #[param(value_type = Option<u64>)]
    from_ms: Option<Parsed<u64>>,
    /// Before this time.
    #[param(value_type = Option<u64>)]
    to_ms: Option<Parsed<u64>>,
    /// Most events to return, at most 1,000. Default 100.
    #[param(value_type = Option<u32>)]
    limit: Option<Parsed<u32>>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List events, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/audit-events",
    tag = "audit log",
    operation_id = "list_audit_events",
    params(AuditQuery),
    responses((status = 200, body = Page<AuditEventView>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<AuditQuery>,
) -> Result<Json<Page<AuditEventView>>, ApiError> {
    let limit = limit(query.limit, USUAL_ITEMS, MAX_ITEMS)?;
    let before_seq = match &query.cursor {
        Some(cursor) => Some(cursor.parse().ok().ok_or_else(bad_cursor)?),
        None => None,
    };
    let filter = AuditFilter {
        before_seq,
        action: query.action,
        object_kind: query.object_kind,
        object_id: query.object_id,
        from: query.from_ms.map(|Parsed(ms)| Timestamp::from_millis(ms)),
        to: query.to_ms.map(|Parsed(ms)| Timestamp::from_millis(ms)),
    };
    let items = audit::list(&shared.store, &caller, &filter, limit).await?;
    let is_full = u32::try_from(items.len()).is_ok_and(|count| count == limit);
    let next_cursor = items
        .last()
        .filter(|_| is_full)
        .map(|event| event.seq.to_string());
    Ok(Json(Page { items, next_cursor }))
}

//! What happened by itself.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, bad_cursor, limit};
use super::request::{Parameters, Parsed};
use crate::operations::Caller;
use crate::operations::events::{self, EventFilter};
use crate::operations::views::EventView;

const USUAL_ITEMS: u32 = 100;
const MAX_ITEMS: u32 = 1_000;

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventQuery {
    /// As in `quota.threshold`.
    kind: Option<String>,
    /// The quota's id, for its thresholds.
    #[param(value_type = Option<Uuid>)]
    subject_id: Option<Parsed<Uuid>>,
    /// Most events to return, at most 1,000. Default 100.
    #[param(value_type = Option<u32>)]
    limit: Option<Parsed<u32>>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List events, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "events",
    operation_id = "list_events",
    params(EventQuery),
    responses((status = 200, body = Page<EventView>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<EventQuery>,
) -> Result<Json<Page<EventView>>, ApiError> {
    let limit = limit(query.limit, USUAL_ITEMS, MAX_ITEMS)?;
    let before_seq = match &query.cursor {
        Some(cursor) => Some(cursor.parse().ok().ok_or_else(bad_cursor)?),
        None => None,
    };
    let filter = EventFilter {
        before_seq,
        kind: query.kind,
        subject: query.subject_id.map(|Parsed(id)| id),
    };
    let items = events::list(&shared.store, &caller, &filter, limit).await?;
    let is_full = u32::try_from(items.len()).is_ok_and(|count| count == limit);
    let next_cursor = items
        .last()
        .filter(|_| is_full)
        .map(|event| event.seq.to_string());
    Ok(Json(Page { items, next_cursor }))
}

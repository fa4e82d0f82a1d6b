//! The administrative audit log: appended to, never changed.

use policy::ids::{AdminTokenId, AuditEventId};
use policy::units::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use crate::store::columns::{Columns, document, failed, signed};
use crate::store::{CorruptError, StoreError};

const OBJECT: &str = "audit event";

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// Whoever holds an administrative token.
    AdminToken { id: AdminTokenId, name: String },
    /// A part of the service itself.
    System { part: String },
}

/// What was done, by whom, to what. Summaries never hold a secret.
#[derive(Clone, Debug)]
pub(crate) struct AuditEvent {
    pub(crate) id: AuditEventId,
    pub(crate) at: Timestamp,
    pub(crate) actor: Actor,
    /// `team.create`, `key.rotate`…
    pub(crate) action: String,
    pub(crate) object_kind: String,
    /// The object's id, or its name where it has none.
    pub(crate) object_id: String,
    pub(crate) object_name: String,
    pub(crate) before: Option<serde_json::Value>,
    pub(crate) after: Option<serde_json::Value>,
    pub(crate) request_id: Option<String>,
}

/// An event with its place in the log.
#[derive(Clone, Debug)]
pub(crate) struct StoredAuditEvent {
    pub(crate) seq: u64,
    pub(crate) event: AuditEvent,
}

/// Which events to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Events before this place only.
    pub before_seq: Option<u64>,
    pub action: Option<String>,
    pub object_kind: Option<String>,
    pub object_id: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

pub(super) async fn append(
    db: &mut SqliteConnection,
    event: &AuditEvent,
) -> Result<(), StoreError> {
    let (kind, actor_id, actor_name) = match &event.actor {
        Actor::AdminToken { id, name } => ("admin_token", Some(id.uuid()), name),
        Actor::System { part } => ("system", None, part),
    };
    sqlx::query(
        "INSERT INTO audit_events (id, at_ms, actor_kind, actor_id, actor_name, action, object_kind, \
         object_id, object_name, before, after, request_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(event.id.uuid())
    .bind(signed(event.at.as_millis()))
    .bind(kind)
    .bind(actor_id)
    .bind(actor_name)
    .bind(&event.action)
    .bind(&event.object_kind)
    .bind(&event.object_id)
    .bind(&event.object_name)
    .bind(event.before.as_ref().map(|summary| document(OBJECT, summary)).transpose()?)
    .bind(event.after.as_ref().map(|summary| document(OBJECT, summary)).transpose()?)
    .bind(&event.request_id)
    .execute(db)
    .await
    .map_err(failed("append an audit event"))?;
    Ok(())
}

pub(crate) async fn list(
    db: &mut SqliteConnection,
    filter: &AuditFilter,
    limit: u32,
) -> Result<Vec<StoredAuditEvent>, StoreError> {
    let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
        "SELECT seq, id, at_ms, actor_kind, actor_id, actor_name, action, object_kind, object_id, \
         object_name, before, after, request_id FROM audit_events WHERE 1 = 1",
    );
    if let Some(seq) = filter.before_seq {
        query.push(" AND seq < ").push_bind(signed(seq));
    }
    if let Some(action) = &filter.action {
        query.push(" AND action = ").push_bind(action.clone());
    }
    if let Some(kind) = &filter.object_kind {
        query.push(" AND object_kind = ").push_bind(kind.clone());
    }
    if let Some(id) = &filter.object_id {
        query.push(" AND object_id = ").push_bind(id.clone());
    }
    if let Some(from) = filter.from {
        query
            .push(" AND at_ms >= ")
            .push_bind(signed(from.as_millis()));
    }
    if let Some(to) = filter.to {
        query
            .push(" AND at_ms < ")
            .push_bind(signed(to.as_millis()));
    }
    query
        .push(" ORDER BY seq DESC LIMIT ")
        .push_bind(i64::from(limit));
    let rows = query
        .build()
        .fetch_all(db)
        .await
        .map_err(failed("list audit events"))?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<StoredAuditEvent, StoreError> {
    let columns = Columns::new(row, OBJECT);
    let kind: String = columns.get("actor_kind")?;
    let name: String = columns.get("actor_name")?;
    let id: Option<Uuid> = columns.get("actor_id")?;
    let actor = match (kind.as_str(), id) {
        ("admin_token", Some(id)) => Actor::AdminToken {
            id: AdminTokenId::new(id),
            name,
        },
        ("system", None) => Actor::System { part: name },
        _ => return Err(columns.corrupt(CorruptError::Value("an actor is of no known kind"))),
    };
    let event = AuditEvent {
        id: columns.id("id", AuditEventId::new)?,
        at: Timestamp::from_millis(columns.number("at_ms")?),
        actor,
        action: columns.get("action")?,
        object_kind: columns.get("object_kind")?,
        object_id: columns.get("object_id")?,
        object_name: columns.get("object_name")?,
        before: columns.optional_document("before")?,
        after: columns.optional_document("after")?,
        request_id: columns.get("request_id")?,
    };
    Ok(StoredAuditEvent {
        seq: columns.number("seq")?,
        event,
    })
}

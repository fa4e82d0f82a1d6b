//! What happened by itself, and the webhook that is told of it.

use policy::secret::Secret;
use policy::units::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use uuid::Uuid;

use crate::store::columns::{Columns, document, failed, signed};
use crate::store::{MasterKey, StoreError};

const OBJECT: &str = "event";
/// What the webhook's secret is bound to: it opens nowhere else.
const WEBHOOK: &[u8] = b"alert webhook";

/// Where events are posted.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(crate) url: String,
    /// `whsec_` and base64, as both sides write it.
    pub(crate) secret: Secret,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    /// As in `quota.threshold`.
    pub(crate) kind: String,
    pub(crate) subject: Option<Uuid>,
    pub(crate) data: serde_json::Value,
    pub(crate) delivery: String,
    pub(crate) tries: u32,
}

/// An event with its place in the log.
#[derive(Clone, Debug)]
pub(crate) struct StoredEvent {
    pub(crate) seq: u64,
    pub(crate) event: Event,
}

/// Which events to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Events before this place only.
    pub before_seq: Option<u64>,
    pub kind: Option<String>,
    pub subject: Option<Uuid>,
}

pub(crate) async fn webhook(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
) -> Result<Option<Webhook>, StoreError> {
    let row = sqlx::query(
        "SELECT alert_webhook_url, alert_webhook_sealed_secret FROM settings WHERE one = 1",
    );
    let row = row
        .fetch_one(db)
        .await
        .map_err(failed("read the alert webhook"))?;
    let columns = Columns::new(&row, "settings row");
    let url: Option<String> = columns.get("alert_webhook_url")?;
    let sealed: Option<Vec<u8>> = columns.get("alert_webhook_sealed_secret")?;
    let (Some(url), Some(sealed)) = (url, sealed) else {
        return Ok(None);
    };
    let secret = master_key
        .unseal_bytes(WEBHOOK, &sealed)
        .and_then(|plain| String::from_utf8(plain).ok())
        .ok_or(StoreError::SealWebhook)?;
    Ok(Some(Webhook {
        url,
        secret: Secret::new(secret),
    }))
}

pub(crate) async fn set_webhook(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
    webhook: Option<&Webhook>,
) -> Result<(), StoreError> {
    let seal = |webhook: &Webhook| {
        let plain = webhook.secret.expose().as_bytes();
        let sealed = master_key.seal_bytes(WEBHOOK, plain);
        sealed.ok_or(StoreError::SealWebhook)
    };
    let sealed = webhook.map(seal).transpose()?;
    sqlx::query(
        "UPDATE settings SET alert_webhook_url = $1, alert_webhook_sealed_secret = $2 WHERE one = 1",
    )
    .bind(webhook.map(|webhook| webhook.url.as_str()))
    .bind(sealed)
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("change the alert webhook"))
}

/// Appends an event; it waits to be delivered if there is a webhook.
pub(crate) async fn append(db: &mut SqliteConnection, event: &Event) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO events (id, at_ms, kind, subject_id, data, delivery) SELECT $1, $2, $3, $4, $5, \
         CASE WHEN alert_webhook_url IS NULL THEN 'none' ELSE 'pending' END FROM settings WHERE one = 1",
    )
    .bind(event.id)
    .bind(signed(event.at.as_millis()))
    .bind(&event.kind)
    .bind(event.subject)
    .bind(document(OBJECT, &event.data)?)
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("append an event"))
}

/// Takes the next event that is due for delivery; nobody else takes it before `until`.
pub(crate) async fn take_due(
    db: &mut SqliteConnection,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<StoredEvent>, StoreError> {
    let row = sqlx::query(
        "UPDATE events SET tries = tries + 1, next_try_ms = $2 WHERE seq = (SELECT seq FROM events \
         WHERE delivery = 'pending' AND next_try_ms <= $1 ORDER BY next_try_ms, seq LIMIT 1) RETURNING *",
    )
    .bind(signed(now.as_millis()))
    .bind(signed(until.as_millis()))
    .fetch_optional(db)
    .await
    .map_err(failed("take an event to deliver"))?;
    row.as_ref().map(read).transpose()
}

/// Notes how a delivery went: `delivered`, `failed`, or `pending` until the next try.
pub(crate) async fn note_delivery(
    db: &mut SqliteConnection,
    seq: u64,
    delivery: &str,
    next_try: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE events SET delivery = $2, next_try_ms = $3 WHERE seq = $1")
        .bind(signed(seq))
        .bind(delivery)
        .bind(signed(next_try.as_millis()))
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("note a delivery"))
}

/// Returns when the next event is due; `None` when none waits.
pub(crate) async fn next_due(db: &mut SqliteConnection) -> Result<Option<Timestamp>, StoreError> {
    let row = sqlx::query("SELECT MIN(next_try_ms) AS due FROM events WHERE delivery = 'pending'");
    let row = row.fetch_one(db).await.map_err(failed("look for events"))?;
    let due: Option<i64> = row.try_get("due").map_err(failed("look for events"))?;
    let due = due.map(|due| Timestamp::from_millis(u64::try_from(due).unwrap_or_default()));
    Ok(due)
}

pub(crate) async fn list(
    db: &mut SqliteConnection,
    filter: &EventFilter,
    limit: u32,
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("SELECT * FROM events WHERE 1 = 1");
    if let Some(seq) = filter.before_seq {
        query.push(" AND seq < ").push_bind(signed(seq));
    }
    if let Some(kind) = &filter.kind {
        query.push(" AND kind = ").push_bind(kind.clone());
    }
    if let Some(subject) = filter.subject {
        query.push(" AND subject_id = ").push_bind(subject);
    }
    query
        .push(" ORDER BY seq DESC LIMIT ")
        .push_bind(i64::from(limit));
    let rows = query
        .build()
        .fetch_all(db)
        .await
        .map_err(failed("list events"))?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<StoredEvent, StoreError> {
    let columns = Columns::new(row, OBJECT);
    let event = Event {
        id: columns.get("id")?,
        at: Timestamp::from_millis(columns.number("at_ms")?),
        kind: columns.get("kind")?,
        subject: columns.get("subject_id")?,
        data: columns.document("data")?,
        delivery: columns.get("delivery")?,
        tries: columns.narrow("tries")?,
    };
    Ok(StoredEvent {
        seq: columns.number("seq")?,
        event,
    })
}

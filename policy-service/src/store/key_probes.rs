//! Provider keys that are in doubt, and the probes that are to tell.

use policy::ids::ProviderKeyId;
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::store::StoreError;
use crate::store::columns::{Columns, failed, signed};

const OBJECT: &str = "provider key probe";

/// A key that is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) key: ProviderKeyId,
    /// The answer that made it doubtful.
    pub(crate) because_status: u16,
    /// When the last probe left; zero before the first.
    pub(crate) sent: Timestamp,
    /// Probes without a verdict, one after the other.
    pub(crate) unanswered: u64,
    pub(crate) alerted: Timestamp,
}

/// Notes that a provider refused the key, so that a probe is wanted.
pub(crate) async fn want(
    db: &mut SqliteConnection,
    key: ProviderKeyId,
    status: u16,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO provider_key_probes (key_id, because_status, since_ms, wanted) VALUES ($1, $2, $3, 1) \
         ON CONFLICT (key_id) DO UPDATE SET because_status = $2, since_ms = $3, wanted = 1 \
         WHERE provider_key_probes.wanted = 0",
    )
    .bind(key.uuid())
    .bind(i64::from(status))
    .bind(signed(now.as_millis()))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("want a probe of a provider key"))
}

/// Returns the keys whose probe is due: wanted, and none has left since `before`.
pub(crate) async fn due(
    db: &mut SqliteConnection,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<Doubt>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM provider_key_probes WHERE wanted = 1 AND sent_ms <= $1 ORDER BY sent_ms LIMIT $2",
    )
    .bind(signed(before.as_millis()))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(failed("look for due probes"))?;
    rows.iter().map(read).collect()
}

/// Notes that a probe leaves.
pub(crate) async fn sent(
    db: &mut SqliteConnection,
    key: ProviderKeyId,
    probe: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE provider_key_probes SET sent_ms = $2, probe_id = $3, unanswered = unanswered + 1 WHERE key_id = $1",
    )
    .bind(key.uuid())
    .bind(signed(now.as_millis()))
    .bind(probe)
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("note a probe of a provider key"))
}

/// Takes the answer to the last probe of a key; `None` when this is not the last one's, or it was answered before.
pub(crate) async fn answered(
    db: &mut SqliteConnection,
    probe: Uuid,
) -> Result<Option<Doubt>, StoreError> {
    let row = sqlx::query(
        "UPDATE provider_key_probes SET probe_id = NULL WHERE probe_id = $1 RETURNING *",
    )
    .bind(probe)
    .fetch_optional(db)
    .await
    .map_err(failed("take the answer to a probe"))?;
    row.as_ref().map(read).transpose()
}

/// Notes a verdict; `wanted` says whether the key is to be asked for again.
pub(crate) async fn decided(
    db: &mut SqliteConnection,
    key: ProviderKeyId,
    wanted: bool,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE provider_key_probes SET wanted = $2, unanswered = 0 WHERE key_id = $1")
        .bind(key.uuid())
        .bind(i64::from(wanted))
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("note the verdict of a probe"))
}

/// Notes that somebody was told of the key.
pub(crate) async fn alerted(
    db: &mut SqliteConnection,
    key: ProviderKeyId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE provider_key_probes SET alerted_ms = $2 WHERE key_id = $1")
        .bind(key.uuid())
        .bind(signed(now.as_millis()))
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("note an alert about a provider key"))
}

/// Forgets what was in doubt: an administrator changed the key.
pub(crate) async fn forget(
    db: &mut SqliteConnection,
    key: ProviderKeyId,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM provider_key_probes WHERE key_id = $1")
        .bind(key.uuid())
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("forget the probes of a provider key"))
}

fn read(row: &SqliteRow) -> Result<Doubt, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(Doubt {
        key: columns.id("key_id", ProviderKeyId::new)?,
        because_status: columns.narrow("because_status")?,
        sent: Timestamp::from_millis(columns.number("sent_ms")?),
        unanswered: columns.number("unanswered")?,
        alerted: Timestamp::from_millis(columns.number("alerted_ms")?),
    })
}

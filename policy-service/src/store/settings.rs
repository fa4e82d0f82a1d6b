//! Mesh-wide settings: one row.

use policy::documents::Settings;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

use crate::store::StoreError;
use crate::store::columns::{Columns, document, failed, signed, word};

const OBJECT: &str = "settings row";

pub(crate) async fn get(db: &mut SqliteConnection) -> Result<Settings, StoreError> {
    let row = sqlx::query(
        "SELECT inference_auth, on_unknown_price, on_record_overflow, body_cap_bytes, \
         snapshot_max_age_ms, hosts, max_attempts, vault_ttl_ms, max_running_per_key, on_revoke, \
         outbound_addresses, cors_origins FROM settings WHERE one = 1",
    )
    .fetch_one(db)
    .await
    .map_err(failed("read the settings"))?;
    let columns = Columns::new(&row, OBJECT);
    Ok(Settings {
        inference_auth: columns.word("inference_auth")?,
        on_unknown_price: columns.word("on_unknown_price")?,
        on_record_overflow: columns.word("on_record_overflow")?,
        body_cap_bytes: columns.number("body_cap_bytes")?,
        snapshot_max_age_ms: columns.number("snapshot_max_age_ms")?,
        hosts: columns.document("hosts")?,
        max_attempts: columns.narrow("max_attempts")?,
        vault_ttl_ms: columns.number("vault_ttl_ms")?,
        max_running_per_key: columns.narrow("max_running_per_key")?,
        on_revoke: columns.word("on_revoke")?,
        outbound_addresses: columns.word("outbound_addresses")?,
        cors_origins: columns.document("cors_origins")?,
    })
}

/// Writes the defaults where there are no settings yet.
pub(crate) async fn insert_defaults(db: &mut SqliteConnection) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO settings (one, inference_auth, on_unknown_price, on_record_overflow, body_cap_bytes, \
         snapshot_max_age_ms, hosts, max_attempts, vault_ttl_ms, max_running_per_key, on_revoke, \
         outbound_addresses, cors_origins) \
         VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (one) DO NOTHING",
    );
    let done = bind(query, &Settings::default())?.execute(db).await;
    done.map(drop).map_err(failed("write the default settings"))
}

pub(crate) async fn update(
    db: &mut SqliteConnection,
    settings: &Settings,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "UPDATE settings SET inference_auth = $1, on_unknown_price = $2, on_record_overflow = $3, \
         body_cap_bytes = $4, snapshot_max_age_ms = $5, hosts = $6, max_attempts = $7, \
         vault_ttl_ms = $8, max_running_per_key = $9, on_revoke = $10, outbound_addresses = $11, \
         cors_origins = $12 WHERE one = 1",
    );
    bind(query, settings)?
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("change the settings"))
}

type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

fn bind<'q>(query: Bound<'q>, settings: &Settings) -> Result<Bound<'q>, StoreError> {
    Ok(query
        .bind(word(OBJECT, &settings.inference_auth)?)
        .bind(word(OBJECT, &settings.on_unknown_price)?)
        .bind(word(OBJECT, &settings.on_record_overflow)?)
        .bind(signed(settings.body_cap_bytes))
        .bind(signed(settings.snapshot_max_age_ms))
        .bind(document(OBJECT, &settings.hosts)?)
        .bind(i64::from(settings.max_attempts))
        .bind(signed(settings.vault_ttl_ms))
        .bind(i64::from(settings.max_running_per_key))
        .bind(word(OBJECT, &settings.on_revoke)?)
        .bind(word(OBJECT, &settings.outbound_addresses)?)
        .bind(document(OBJECT, &settings.cors_origins)?))
}

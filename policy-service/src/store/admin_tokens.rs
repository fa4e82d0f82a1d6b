//! Administrative access tokens, as hashes.

use policy::ids::AdminTokenId;
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, failed, signed, write_failed};

const OBJECT: &str = "admin token";

/// An administrative token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminToken {
    pub(crate) id: AdminTokenId,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) revoked_at: Option<Timestamp>,
}

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<AdminToken>, StoreError> {
    let rows =
        sqlx::query("SELECT id, name, created_ms, revoked_ms FROM admin_tokens ORDER BY name");
    rows.fetch_all(db)
        .await
        .map_err(failed("list admin tokens"))?
        .iter()
        .map(read)
        .collect()
}

/// Finds the token with this SHA-256, revoked ones too.
pub(crate) async fn find(
    db: &mut SqliteConnection,
    hash: &[u8; 32],
) -> Result<Option<AdminToken>, StoreError> {
    let row =
        sqlx::query("SELECT id, name, created_ms, revoked_ms FROM admin_tokens WHERE hash = $1");
    let row = row
        .bind(hash.as_slice())
        .fetch_optional(db)
        .await
        .map_err(failed("find an admin token"))?;
    row.as_ref().map(read).transpose()
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    token: &AdminToken,
    hash: &[u8; 32],
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO admin_tokens (id, name, hash, created_ms) VALUES ($1, $2, $3, $4)")
        .bind(token.id.uuid())
        .bind(&token.name)
        .bind(hash.as_slice())
        .bind(signed(token.created_at.as_millis()))
        .execute(db)
        .await
        .map_err(write_failed("add an admin token", OBJECT, &token.name))?;
    Ok(())
}

pub(crate) async fn revoke(
    db: &mut SqliteConnection,
    id: AdminTokenId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE admin_tokens SET revoked_ms = $2 WHERE id = $1 AND revoked_ms IS NULL")
        .bind(id.uuid())
        .bind(signed(now.as_millis()))
        .execute(db)
        .await
        .map_err(failed("revoke an admin token"))?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<AdminToken, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(AdminToken {
        id: columns.id("id", AdminTokenId::new)?,
        name: columns.get("name")?,
        created_at: Timestamp::from_millis(columns.number("created_ms")?),
        revoked_at: columns
            .optional_number("revoked_ms")?
            .map(Timestamp::from_millis),
    })
}

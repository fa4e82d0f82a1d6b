//! Guardrails.

use policy::guardrail::Guardrail;
use policy::ids::GuardrailId;
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, document, failed, signed, write_failed};

const OBJECT: &str = "guardrail";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<Guardrail>, StoreError> {
    let rows = sqlx::query("SELECT id, name, rules FROM guardrails ORDER BY LOWER(name)");
    rows.fetch_all(db)
        .await
        .map_err(failed("list guardrails"))?
        .iter()
        .map(read)
        .collect()
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    id: GuardrailId,
) -> Result<Option<Guardrail>, StoreError> {
    let row = sqlx::query("SELECT id, name, rules FROM guardrails WHERE id = $1")
        .bind(id.uuid())
        .fetch_optional(db)
        .await
        .map_err(failed("read a guardrail"))?;
    row.as_ref().map(read).transpose()
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    guardrail: &Guardrail,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = "INSERT INTO guardrails (id, name, rules, created_ms) VALUES ($1, $2, $3, $4)";
    let done = sqlx::query(query)
        .bind(guardrail.id.uuid())
        .bind(&guardrail.name)
        .bind(document(OBJECT, &guardrail.rules)?)
        .bind(signed(now.as_millis()))
        .execute(db)
        .await;
    done.map(drop)
        .map_err(write_failed("add a guardrail", OBJECT, &guardrail.name))
}

pub(crate) async fn update(
    db: &mut SqliteConnection,
    guardrail: &Guardrail,
) -> Result<(), StoreError> {
    let done = sqlx::query("UPDATE guardrails SET name = $2, rules = $3 WHERE id = $1")
        .bind(guardrail.id.uuid())
        .bind(&guardrail.name)
        .bind(document(OBJECT, &guardrail.rules)?)
        .execute(db)
        .await;
    done.map(drop)
        .map_err(write_failed("change a guardrail", OBJECT, &guardrail.name))
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: GuardrailId) -> Result<(), StoreError> {
    let deleted = sqlx::query("DELETE FROM guardrails WHERE id = $1")
        .bind(id.uuid())
        .execute(db)
        .await;
    deleted.map(drop).map_err(failed("delete a guardrail"))
}

fn read(row: &SqliteRow) -> Result<Guardrail, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(Guardrail {
        id: columns.id("id", GuardrailId::new)?,
        name: columns.get("name")?,
        rules: columns.document("rules")?,
    })
}

//! Guardrails.

use policy::guardrail::Guardrail;
use policy::ids::GuardrailId;
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, all, document, one, run, signed, write};

const OBJECT: &str = "guardrail";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<Guardrail>, StoreError> {
    let query = sqlx::query("SELECT id, name, rules FROM guardrails ORDER BY LOWER(name)");
    all(db, "list guardrails", query, read).await
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    id: GuardrailId,
) -> Result<Option<Guardrail>, StoreError> {
    let query = sqlx::query("SELECT id, name, rules FROM guardrails WHERE id = $1");
    one(db, "read a guardrail", query.bind(id.uuid()), read).await
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    guardrail: &Guardrail,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query =
        sqlx::query("INSERT INTO guardrails (id, name, rules, created_ms) VALUES ($1, $2, $3, $4)")
            .bind(guardrail.id.uuid())
            .bind(&guardrail.name)
            .bind(document(OBJECT, &guardrail.rules)?)
            .bind(signed(now.as_millis()));
    write(db, "add a guardrail", (OBJECT, &guardrail.name), query).await
}

pub(crate) async fn update(
    db: &mut SqliteConnection,
    guardrail: &Guardrail,
) -> Result<(), StoreError> {
    let query = sqlx::query("UPDATE guardrails SET name = $2, rules = $3 WHERE id = $1")
        .bind(guardrail.id.uuid())
        .bind(&guardrail.name)
        .bind(document(OBJECT, &guardrail.rules)?);
    write(db, "change a guardrail", (OBJECT, &guardrail.name), query).await
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: GuardrailId) -> Result<(), StoreError> {
    let query = sqlx::query("DELETE FROM guardrails WHERE id = $1");
    run(db, "delete a guardrail", query.bind(id.uuid())).await
}

fn read(row: &SqliteRow) -> Result<Guardrail, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(Guardrail {
        id: columns.id("id", GuardrailId::new)?,
        name: columns.get("name")?,
        rules: columns.document("rules")?,
    })
}

//! Files of detection rules.

use policy::guardrail::RuleFile;
use policy::ids::RuleFileId;
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, all, one, run, signed, write};

const OBJECT: &str = "rule file";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<RuleFile>, StoreError> {
    let query = sqlx::query("SELECT id, name, source FROM rule_files ORDER BY LOWER(name)");
    all(db, "list rule files", query, read).await
}

/// Lists them without what they hold, which can be much.
pub(crate) async fn names(db: &mut SqliteConnection) -> Result<Vec<RuleFile>, StoreError> {
    let query = sqlx::query("SELECT id, name FROM rule_files ORDER BY LOWER(name)");
    let empty = |row: &SqliteRow| {
        let columns = Columns::new(row, OBJECT);
        Ok(RuleFile {
            id: columns.id("id", RuleFileId::new)?,
            name: columns.get("name")?,
            source: String::new(),
        })
    };
    all(db, "list the names of rule files", query, empty).await
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    id: RuleFileId,
) -> Result<Option<RuleFile>, StoreError> {
    let query = sqlx::query("SELECT id, name, source FROM rule_files WHERE id = $1");
    one(db, "read a rule file", query.bind(id.uuid()), read).await
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    new: &RuleFile,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO rule_files (id, name, source, created_ms) VALUES ($1, $2, $3, $4)",
    )
    .bind(new.id.uuid())
    .bind(&new.name)
    .bind(&new.source)
    .bind(signed(now.as_millis()));
    write(db, "add a rule file", (OBJECT, &new.name), query).await
}

pub(crate) async fn update(
    db: &mut SqliteConnection,
    changed: &RuleFile,
) -> Result<(), StoreError> {
    let query = sqlx::query("UPDATE rule_files SET name = $2, source = $3 WHERE id = $1")
        .bind(changed.id.uuid())
        .bind(&changed.name)
        .bind(&changed.source);
    write(db, "change a rule file", (OBJECT, &changed.name), query).await
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: RuleFileId) -> Result<(), StoreError> {
    let query = sqlx::query("DELETE FROM rule_files WHERE id = $1");
    run(db, "delete a rule file", query.bind(id.uuid())).await
}

fn read(row: &SqliteRow) -> Result<RuleFile, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(RuleFile {
        id: columns.id("id", RuleFileId::new)?,
        name: columns.get("name")?,
        source: columns.get("source")?,
    })
}

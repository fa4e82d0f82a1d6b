//! Files of detection rules.

use policy::guardrail::RuleFile;
use policy::ids::RuleFileId;
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, failed, signed, write_failed};

const OBJECT: &str = "rule file";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<RuleFile>, StoreError> {
    let rows = sqlx::query("SELECT id, name, source FROM rule_files ORDER BY LOWER(name)");
    rows.fetch_all(db)
        .await
        .map_err(failed("list rule files"))?
        .iter()
        .map(read)
        .collect()
}

/// Lists them without what they hold, which can be much.
pub(crate) async fn names(db: &mut SqliteConnection) -> Result<Vec<RuleFile>, StoreError> {
    let rows = sqlx::query("SELECT id, name FROM rule_files ORDER BY LOWER(name)");
    let rows = rows
        .fetch_all(db)
        .await
        .map_err(failed("list the names of rule files"))?;
    let empty = |row| {
        let columns = Columns::new(row, OBJECT);
        Ok(RuleFile {
            id: columns.id("id", RuleFileId::new)?,
            name: columns.get("name")?,
            source: String::new(),
        })
    };
    rows.iter().map(empty).collect()
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    id: RuleFileId,
) -> Result<Option<RuleFile>, StoreError> {
    let row = sqlx::query("SELECT id, name, source FROM rule_files WHERE id = $1")
        .bind(id.uuid())
        .fetch_optional(db)
        .await
        .map_err(failed("read a rule file"))?;
    row.as_ref().map(read).transpose()
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    new: &RuleFile,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = "INSERT INTO rule_files (id, name, source, created_ms) VALUES ($1, $2, $3, $4)";
    let done = sqlx::query(query)
        .bind(new.id.uuid())
        .bind(&new.name)
        .bind(&new.source)
        .bind(signed(now.as_millis()))
        .execute(db)
        .await;
    done.map(drop)
        .map_err(write_failed("add a rule file", OBJECT, &new.name))
}

pub(crate) async fn update(
    db: &mut SqliteConnection,
    changed: &RuleFile,
) -> Result<(), StoreError> {
    let done = sqlx::query("UPDATE rule_files SET name = $2, source = $3 WHERE id = $1")
        .bind(changed.id.uuid())
        .bind(&changed.name)
        .bind(&changed.source)
        .execute(db)
        .await;
    done.map(drop)
        .map_err(write_failed("change a rule file", OBJECT, &changed.name))
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: RuleFileId) -> Result<(), StoreError> {
    let deleted = sqlx::query("DELETE FROM rule_files WHERE id = $1")
        .bind(id.uuid())
        .execute(db)
        .await;
    deleted.map(drop).map_err(failed("delete a rule file"))
}

fn read(row: &SqliteRow) -> Result<RuleFile, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(RuleFile {
        id: columns.id("id", RuleFileId::new)?,
        name: columns.get("name")?,
        source: columns.get("source")?,
    })
}

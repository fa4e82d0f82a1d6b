//! Lists of words and phrases.

use policy::guardrail::WordList;
use policy::ids::WordListId;
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, document, failed, signed, write_failed};

const OBJECT: &str = "word list";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<WordList>, StoreError> {
    let rows = sqlx::query("SELECT id, name, words FROM word_lists ORDER BY LOWER(name)");
    rows.fetch_all(db)
        .await
        .map_err(failed("list word lists"))?
        .iter()
        .map(read)
        .collect()
}

/// Lists them without what they hold, which can be much.
pub(crate) async fn names(db: &mut SqliteConnection) -> Result<Vec<WordList>, StoreError> {
    let rows = sqlx::query("SELECT id, name FROM word_lists ORDER BY LOWER(name)");
    let rows = rows
        .fetch_all(db)
        .await
        .map_err(failed("list the names of word lists"))?;
    let empty = |row| {
        let columns = Columns::new(row, OBJECT);
        Ok(WordList {
            id: columns.id("id", WordListId::new)?,
            name: columns.get("name")?,
            words: Vec::new(),
        })
    };
    rows.iter().map(empty).collect()
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    id: WordListId,
) -> Result<Option<WordList>, StoreError> {
    let row = sqlx::query("SELECT id, name, words FROM word_lists WHERE id = $1")
        .bind(id.uuid())
        .fetch_optional(db)
        .await
        .map_err(failed("read a word list"))?;
    row.as_ref().map(read).transpose()
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    new: &WordList,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = "INSERT INTO word_lists (id, name, words, created_ms) VALUES ($1, $2, $3, $4)";
    let done = sqlx::query(query)
        .bind(new.id.uuid())
        .bind(&new.name)
        .bind(document(OBJECT, &new.words)?)
        .bind(signed(now.as_millis()))
        .execute(db)
        .await;
    done.map(drop)
        .map_err(write_failed("add a word list", OBJECT, &new.name))
}

pub(crate) async fn update(
    db: &mut SqliteConnection,
    changed: &WordList,
) -> Result<(), StoreError> {
    let done = sqlx::query("UPDATE word_lists SET name = $2, words = $3 WHERE id = $1")
        .bind(changed.id.uuid())
        .bind(&changed.name)
        .bind(document(OBJECT, &changed.words)?)
        .execute(db)
        .await;
    done.map(drop)
        .map_err(write_failed("change a word list", OBJECT, &changed.name))
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: WordListId) -> Result<(), StoreError> {
    let deleted = sqlx::query("DELETE FROM word_lists WHERE id = $1")
        .bind(id.uuid())
        .execute(db)
        .await;
    deleted.map(drop).map_err(failed("delete a word list"))
}

fn read(row: &SqliteRow) -> Result<WordList, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(WordList {
        id: columns.id("id", WordListId::new)?,
        name: columns.get("name")?,
        words: columns.document("words")?,
    })
}

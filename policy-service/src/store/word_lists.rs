//! Lists of words and phrases.

use policy::guardrail::WordList;
use policy::ids::WordListId;
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, all, document, one, run, signed, write};

const OBJECT: &str = "word list";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<WordList>, StoreError> {
    let query = sqlx::query("SELECT id, name, words FROM word_lists ORDER BY LOWER(name)");
    all(db, "list word lists", query, read).await
}

/// Lists them without what they hold, which can be much.
pub(crate) async fn names(db: &mut SqliteConnection) -> Result<Vec<WordList>, StoreError> {
    let query = sqlx::query("SELECT id, name FROM word_lists ORDER BY LOWER(name)");
    let empty = |row: &SqliteRow| {
        let columns = Columns::new(row, OBJECT);
        Ok(WordList {
            id: columns.id("id", WordListId::new)?,
            name: columns.get("name")?,
            words: Vec::new(),
        })
    };
    all(db, "list the names of word lists", query, empty).await
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    id: WordListId,
) -> Result<Option<WordList>, StoreError> {
    let query = sqlx::query("SELECT id, name, words FROM word_lists WHERE id = $1");
    one(db, "read a word list", query.bind(id.uuid()), read).await
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    new: &WordList,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query =
        sqlx::query("INSERT INTO word_lists (id, name, words, created_ms) VALUES ($1, $2, $3, $4)")
            .bind(new.id.uuid())
            .bind(&new.name)
            .bind(document(OBJECT, &new.words)?)
            .bind(signed(now.as_millis()));
    write(db, "add a word list", (OBJECT, &new.name), query).await
}

pub(crate) async fn update(
    db: &mut SqliteConnection,
    changed: &WordList,
) -> Result<(), StoreError> {
    let query = sqlx::query("UPDATE word_lists SET name = $2, words = $3 WHERE id = $1")
        .bind(changed.id.uuid())
        .bind(&changed.name)
        .bind(document(OBJECT, &changed.words)?);
    write(db, "change a word list", (OBJECT, &changed.name), query).await
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: WordListId) -> Result<(), StoreError> {
    let query = sqlx::query("DELETE FROM word_lists WHERE id = $1");
    run(db, "delete a word list", query.bind(id.uuid())).await
}

fn read(row: &SqliteRow) -> Result<WordList, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(WordList {
        id: columns.id("id", WordListId::new)?,
        name: columns.get("name")?,
        words: columns.document("words")?,
    })
}

//! How values stand in columns: enums as their words, lists and rules as JSON, ids as 16 bytes, counts as
//! signed 64-bit integers.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{ColumnIndex, Decode, Row, Sqlite, SqliteConnection, Type};
use uuid::Uuid;

use crate::store::{CorruptError, StoreError};

/// Reads the columns of one row of `object`.
#[derive(Debug)]
pub(super) struct Columns<'r> {
    row: &'r SqliteRow,
    object: &'static str,
}

impl<'r> Columns<'r> {
    pub(super) fn new(row: &'r SqliteRow, object: &'static str) -> Self {
        Self { row, object }
    }

    pub(super) fn corrupt(&self, source: impl Into<CorruptError>) -> StoreError {
        StoreError::Corrupt {
            object: self.object,
            source: source.into(),
        }
    }

    pub(super) fn get<T>(&self, column: &str) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite>,
        for<'c> &'c str: ColumnIndex<SqliteRow>,
    {
        self.row
            .try_get(column)
            .map_err(|error| self.corrupt(error))
    }

    /// A count, a size, a time.
    pub(super) fn number(&self, column: &str) -> Result<u64, StoreError> {
        Ok(unsigned(self.get(column)?))
    }

    pub(super) fn optional_number(&self, column: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.get::<Option<i64>>(column)?.map(unsigned))
    }

    /// A number of a narrower type.
    pub(super) fn narrow<T: TryFrom<i64>>(&self, column: &str) -> Result<T, StoreError> {
        let value: i64 = self.get(column)?;
        T::try_from(value)
            .ok()
            .ok_or_else(|| self.corrupt(CorruptError::Value("a number is out of range")))
    }

    pub(super) fn id<T>(&self, column: &str, wrap: fn(Uuid) -> T) -> Result<T, StoreError> {
        Ok(wrap(self.get(column)?))
    }

    pub(super) fn optional_id<T>(
        &self,
        column: &str,
        wrap: fn(Uuid) -> T,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.get::<Option<Uuid>>(column)?.map(wrap))
    }

    /// A stored word of an enum.
    pub(super) fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        let word = serde_json::Value::String(self.get(column)?);
        serde_json::from_value(word).map_err(|error| self.corrupt(error))
    }

    pub(super) fn optional_word<T: DeserializeOwned>(
        &self,
        column: &str,
    ) -> Result<Option<T>, StoreError> {
        match self.get::<Option<String>>(column)? {
            Some(_) => self.word(column).map(Some),
            None => Ok(None),
        }
    }

    /// A stored JSON document.
    pub(super) fn document<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        let text: String = self.get(column)?;
        serde_json::from_str(&text).map_err(|error| self.corrupt(error))
    }

    pub(super) fn optional_document<T: DeserializeOwned>(
        &self,
        column: &str,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| self.corrupt(error))
    }
}

/// The word under which a variant without fields is stored: the one it has in JSON.
pub(super) fn word<T: Serialize>(object: &'static str, value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(_) => Err(StoreError::Corrupt {
            object,
            source: CorruptError::Value("a value that must be one word is not"),
        }),
        Err(error) => Err(StoreError::Corrupt {
            object,
            source: error.into(),
        }),
    }
}

/// The JSON text under which a value is stored.
pub(super) fn document<T: Serialize>(
    object: &'static str,
    value: &T,
) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt {
        object,
        source: error.into(),
    })
}

/// The JSON text under which a value is stored, if there is one.
pub(super) fn optional_document<T: Serialize>(
    object: &'static str,
    value: Option<&T>,
) -> Result<Option<String>, StoreError> {
    value.map(|value| document(object, value)).transpose()
}

/// A stored count; negative ones are never written.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The largest count that can be stored stands for all above it.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A statement with its values.
pub(super) type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Returns what every row that a statement finds stands for.
pub(super) async fn all<T>(
    db: &mut SqliteConnection,
    doing: &'static str,
    query: Bound<'_>,
    read: fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let rows = query.fetch_all(db).await.map_err(failed(doing))?;
    rows.iter().map(read).collect()
}

/// Returns what the one row that a statement finds stands for.
pub(super) async fn one<T>(
    db: &mut SqliteConnection,
    doing: &'static str,
    query: Bound<'_>,
    read: fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let row = query.fetch_optional(db).await.map_err(failed(doing))?;
    row.as_ref().map(read).transpose()
}

/// Writes an object; a unique violation means that `name` is taken.
pub(super) async fn write(
    db: &mut SqliteConnection,
    doing: &'static str,
    (object, name): (&'static str, &str),
    query: Bound<'_>,
) -> Result<(), StoreError> {
    let done = query.execute(db).await;
    done.map(drop).map_err(write_failed(doing, object, name))
}

/// Runs a statement that finds nothing.
pub(super) async fn run(
    db: &mut SqliteConnection,
    doing: &'static str,
    query: Bound<'_>,
) -> Result<(), StoreError> {
    query.execute(db).await.map(drop).map_err(failed(doing))
}

/// Turns a unique violation into [`StoreError::NameTaken`].
pub(super) fn write_failed(
    doing: &'static str,
    object: &'static str,
    name: &str,
) -> impl FnOnce(sqlx::Error) -> StoreError {
    let name = name.to_owned();
    move |source| match source.as_database_error() {
        Some(error) if error.is_unique_violation() => StoreError::NameTaken { object, name },
        Some(_) | None => StoreError::Database { doing, source },
    }
}

/// A failed statement.
pub(super) fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { doing, source }
}

//! Items of responses that exchanges created, known by marks.

use std::collections::BTreeSet;

use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::WholeExchange;
use super::write::ROWS;
use crate::store::StoreError;
use crate::store::columns::failed;

/// What stands for an item and its owner: a keyed hash that filters make, the same in every process of a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ItemMark([u8; 16]);

impl ItemMark {
    /// Reads a mark as filters tell it; `None` if it is none.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// Writes the items of exchanges that have none stored.
pub(super) async fn write(
    db: &mut SqliteConnection,
    fresh: &[&WholeExchange],
) -> Result<(), StoreError> {
    let rows: Vec<_> = fresh
        .iter()
        .flat_map(|it| it.items.iter().map(move |mark| (mark, it.exchange.id)))
        .collect();
    for chunk in rows.chunks(ROWS) {
        let mut query: QueryBuilder<Sqlite> =
            QueryBuilder::new("INSERT INTO stateful_items (mark, exchange_id) ");
        query.push_values(chunk, |mut row, (mark, exchange)| {
            row.push_bind(mark.0.to_vec()).push_bind(exchange.uuid());
        });
        query.push(" ON CONFLICT (mark, exchange_id) DO NOTHING");
        query
            .build()
            .persistent(false)
            .execute(&mut *db)
            .await
            .map_err(failed("write created items"))?;
    }
    Ok(())
}

/// Whether all of `items` were created for the owner that their marks are made of.
pub(super) async fn all_known(
    db: &mut SqliteConnection,
    items: &BTreeSet<ItemMark>,
) -> Result<bool, StoreError> {
    let items: Vec<_> = items.iter().collect();
    for chunk in items.chunks(ROWS) {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            "SELECT COUNT(DISTINCT mark) AS found FROM stateful_items WHERE mark IN (",
        );
        let mut marks = query.separated(", ");
        for mark in chunk {
            marks.push_bind(mark.0.to_vec());
        }
        query.push(")");
        let row = query.build().persistent(false).fetch_one(&mut *db).await;
        let row = row.map_err(failed("look created items up"))?;
        let found: i64 = row
            .try_get("found")
            .map_err(failed("look created items up"))?;
        if usize::try_from(found) != Ok(chunk.len()) {
            return Ok(false);
        }
    }
    Ok(true)
}

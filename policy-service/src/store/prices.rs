//! Prices of the administrator's own.

use policy::documents::OnUnknownPrice;
use policy::pattern::ModelPattern;
use policy::price::PriceOverride;
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, document, failed, signed};

const OBJECT: &str = "price override";

/// What prices follow from, besides the book.
#[derive(Clone, Debug)]
pub(crate) struct Pricing {
    /// The policy's version that they belong to.
    pub(crate) version: u64,
    pub(crate) overrides: Vec<PriceOverride>,
    pub(crate) on_unknown: OnUnknownPrice,
}

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<PriceOverride>, StoreError> {
    let rows = sqlx::query(
        "SELECT price_table, model, rates FROM price_overrides ORDER BY price_table, model",
    );
    rows.fetch_all(db)
        .await
        .map_err(failed("list prices"))?
        .iter()
        .map(read)
        .collect()
}

/// Writes an override in the place of one for the same table and model.
pub(crate) async fn put(
    db: &mut SqliteConnection,
    price: &PriceOverride,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO price_overrides (price_table, model, rates, changed_ms) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (price_table, model) DO UPDATE SET rates = excluded.rates, \
         changed_ms = excluded.changed_ms",
    )
    .bind(&price.table)
    .bind(price.model.as_str())
    .bind(document(OBJECT, &price.rates)?)
    .bind(signed(now.as_millis()))
    .execute(db)
    .await
    .map_err(failed("write a price"))?;
    Ok(())
}

pub(crate) async fn delete(
    db: &mut SqliteConnection,
    table: &str,
    model: &ModelPattern,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM price_overrides WHERE price_table = $1 AND model = $2")
        .bind(table)
        .bind(model.as_str())
        .execute(db)
        .await
        .map_err(failed("delete a price"))?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<PriceOverride, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(PriceOverride {
        table: columns.get("price_table")?,
        model: columns.word("model")?,
        rates: columns.document("rates")?,
    })
}

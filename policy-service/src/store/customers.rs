//! Customers.

use policy::documents::Customer;
use policy::ids::CustomerId;
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, document, failed, signed, write_failed};

const OBJECT: &str = "customer";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<Customer>, StoreError> {
    let rows = sqlx::query("SELECT id, name, access FROM customers ORDER BY name")
        .fetch_all(db)
        .await;
    rows.map_err(failed("list customers"))?
        .iter()
        .map(read)
        .collect()
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    id: CustomerId,
) -> Result<Option<Customer>, StoreError> {
    let row = sqlx::query("SELECT id, name, access FROM customers WHERE id = $1").bind(id.uuid());
    row.fetch_optional(db)
        .await
        .map_err(failed("read a customer"))?
        .as_ref()
        .map(read)
        .transpose()
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    customer: &Customer,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO customers (id, name, access, created_ms) VALUES ($1, $2, $3, $4)")
        .bind(customer.id.uuid())
        .bind(&customer.name)
        .bind(
            customer
                .access
                .as_ref()
                .map(|access| document(OBJECT, access))
                .transpose()?,
        )
        .bind(signed(now.as_millis()))
        .execute(db)
        .await
        .map_err(write_failed("add a customer", OBJECT, &customer.name))?;
    Ok(())
}

pub(crate) async fn update(
    db: &mut SqliteConnection,
    customer: &Customer,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE customers SET name = $2, access = $3 WHERE id = $1")
        .bind(customer.id.uuid())
        .bind(&customer.name)
        .bind(
            customer
                .access
                .as_ref()
                .map(|access| document(OBJECT, access))
                .transpose()?,
        )
        .execute(db)
        .await
        .map_err(write_failed("change a customer", OBJECT, &customer.name))?;
    Ok(())
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: CustomerId) -> Result<(), StoreError> {
    let deleted = sqlx::query("DELETE FROM customers WHERE id = $1")
        .bind(id.uuid())
        .execute(db)
        .await;
    deleted.map(drop).map_err(failed("delete a customer"))
}

fn read(row: &SqliteRow) -> Result<Customer, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(Customer {
        id: columns.id("id", CustomerId::new)?,
        name: columns.get("name")?,
        access: columns.optional_document("access")?,
    })
}

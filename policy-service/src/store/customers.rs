//! Customers.

use policy::documents::Customer;
use policy::ids::CustomerId;
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, all, one, optional_document, run, signed, write};

const OBJECT: &str = "customer";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<Customer>, StoreError> {
    let query = sqlx::query("SELECT id, name, access FROM customers ORDER BY name");
    all(db, "list customers", query, read).await
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    id: CustomerId,
) -> Result<Option<Customer>, StoreError> {
    let query = sqlx::query("SELECT id, name, access FROM customers WHERE id = $1");
    one(db, "read a customer", query.bind(id.uuid()), read).await
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    customer: &Customer,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query =
        sqlx::query("INSERT INTO customers (id, name, access, created_ms) VALUES ($1, $2, $3, $4)")
            .bind(customer.id.uuid())
            .bind(&customer.name)
            .bind(optional_document(OBJECT, customer.access.as_ref())?)
            .bind(signed(now.as_millis()));
    write(db, "add a customer", (OBJECT, &customer.name), query).await
}

pub(crate) async fn update(
    db: &mut SqliteConnection,
    customer: &Customer,
) -> Result<(), StoreError> {
    let query = sqlx::query("UPDATE customers SET name = $2, access = $3 WHERE id = $1")
        .bind(customer.id.uuid())
        .bind(&customer.name)
        .bind(optional_document(OBJECT, customer.access.as_ref())?);
    write(db, "change a customer", (OBJECT, &customer.name), query).await
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: CustomerId) -> Result<(), StoreError> {
    let query = sqlx::query("DELETE FROM customers WHERE id = $1");
    run(db, "delete a customer", query.bind(id.uuid())).await
}

fn read(row: &SqliteRow) -> Result<Customer, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(Customer {
        id: columns.id("id", CustomerId::new)?,
        name: columns.get("name")?,
        access: columns.optional_document("access")?,
    })
}

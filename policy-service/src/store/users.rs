//! Users.

use policy::documents::User;
use policy::ids::{CustomerId, TeamId, UserId};
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, all, one, optional_document, run, signed, write};

const OBJECT: &str = "user";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<User>, StoreError> {
    let query =
        sqlx::query("SELECT id, name, team_id, customer_id, access FROM users ORDER BY name");
    all(db, "list users", query, read).await
}

pub(crate) async fn get(db: &mut SqliteConnection, id: UserId) -> Result<Option<User>, StoreError> {
    let query =
        sqlx::query("SELECT id, name, team_id, customer_id, access FROM users WHERE id = $1");
    one(db, "read a user", query.bind(id.uuid()), read).await
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    user: &User,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO users (id, name, team_id, customer_id, access, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(user.id.uuid())
    .bind(&user.name)
    .bind(user.team.map(TeamId::uuid))
    .bind(user.customer.map(CustomerId::uuid))
    .bind(optional_document(OBJECT, user.access.as_ref())?)
    .bind(signed(now.as_millis()));
    write(db, "add a user", (OBJECT, &user.name), query).await
}

pub(crate) async fn update(db: &mut SqliteConnection, user: &User) -> Result<(), StoreError> {
    let query = sqlx::query(
        "UPDATE users SET name = $2, team_id = $3, customer_id = $4, access = $5 WHERE id = $1",
    )
    .bind(user.id.uuid())
    .bind(&user.name)
    .bind(user.team.map(TeamId::uuid))
    .bind(user.customer.map(CustomerId::uuid))
    .bind(optional_document(OBJECT, user.access.as_ref())?);
    write(db, "change a user", (OBJECT, &user.name), query).await
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: UserId) -> Result<(), StoreError> {
    let query = sqlx::query("DELETE FROM users WHERE id = $1");
    run(db, "delete a user", query.bind(id.uuid())).await
}

fn read(row: &SqliteRow) -> Result<User, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(User {
        id: columns.id("id", UserId::new)?,
        name: columns.get("name")?,
        team: columns.optional_id("team_id", TeamId::new)?,
        customer: columns.optional_id("customer_id", CustomerId::new)?,
        access: columns.optional_document("access")?,
    })
}

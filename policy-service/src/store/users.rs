//! Users.

use policy::documents::User;
use policy::ids::{CustomerId, TeamId, UserId};
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, document, failed, signed, write_failed};

const OBJECT: &str = "user";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<User>, StoreError> {
    let rows =
        sqlx::query("SELECT id, name, team_id, customer_id, access FROM users ORDER BY name");
    rows.fetch_all(db)
        .await
        .map_err(failed("list users"))?
        .iter()
        .map(read)
        .collect()
}

pub(crate) async fn get(db: &mut SqliteConnection, id: UserId) -> Result<Option<User>, StoreError> {
    let row = sqlx::query("SELECT id, name, team_id, customer_id, access FROM users WHERE id = $1");
    let row = row
        .bind(id.uuid())
        .fetch_optional(db)
        .await
        .map_err(failed("read a user"))?;
    row.as_ref().map(read).transpose()
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    user: &User,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO users (id, name, team_id, customer_id, access, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(user.id.uuid())
    .bind(&user.name)
    .bind(user.team.map(TeamId::uuid))
    .bind(user.customer.map(CustomerId::uuid))
    .bind(
        user.access
            .as_ref()
            .map(|access| document(OBJECT, access))
            .transpose()?,
    )
    .bind(signed(now.as_millis()))
    .execute(db)
    .await
    .map_err(write_failed("add a user", OBJECT, &user.name))?;
    Ok(())
}

pub(crate) async fn update(db: &mut SqliteConnection, user: &User) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE users SET name = $2, team_id = $3, customer_id = $4, access = $5 WHERE id = $1",
    )
    .bind(user.id.uuid())
    .bind(&user.name)
    .bind(user.team.map(TeamId::uuid))
    .bind(user.customer.map(CustomerId::uuid))
    .bind(
        user.access
            .as_ref()
            .map(|access| document(OBJECT, access))
            .transpose()?,
    )
    .execute(db)
    .await
    .map_err(write_failed("change a user", OBJECT, &user.name))?;
    Ok(())
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: UserId) -> Result<(), StoreError> {
    let deleted = sqlx::query("DELETE FROM users WHERE id = $1")
        .bind(id.uuid())
        .execute(db)
        .await;
    deleted.map(drop).map_err(failed("delete a user"))
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

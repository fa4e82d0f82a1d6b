//! Teams.

use policy::documents::Team;
use policy::ids::{CustomerId, TeamId};
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, all, one, optional_document, run, signed, write};

const OBJECT: &str = "team";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<Team>, StoreError> {
    let query = sqlx::query("SELECT id, name, customer_id, access FROM teams ORDER BY name");
    all(db, "list teams", query, read).await
}

pub(crate) async fn get(db: &mut SqliteConnection, id: TeamId) -> Result<Option<Team>, StoreError> {
    let query = sqlx::query("SELECT id, name, customer_id, access FROM teams WHERE id = $1");
    one(db, "read a team", query.bind(id.uuid()), read).await
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    team: &Team,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO teams (id, name, customer_id, access, created_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(team.id.uuid())
    .bind(&team.name)
    .bind(team.customer.map(CustomerId::uuid))
    .bind(optional_document(OBJECT, team.access.as_ref())?)
    .bind(signed(now.as_millis()));
    write(db, "add a team", (OBJECT, &team.name), query).await
}

pub(crate) async fn update(db: &mut SqliteConnection, team: &Team) -> Result<(), StoreError> {
    let query =
        sqlx::query("UPDATE teams SET name = $2, customer_id = $3, access = $4 WHERE id = $1")
            .bind(team.id.uuid())
            .bind(&team.name)
            .bind(team.customer.map(CustomerId::uuid))
            .bind(optional_document(OBJECT, team.access.as_ref())?);
    write(db, "change a team", (OBJECT, &team.name), query).await
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: TeamId) -> Result<(), StoreError> {
    let query = sqlx::query("DELETE FROM teams WHERE id = $1");
    run(db, "delete a team", query.bind(id.uuid())).await
}

fn read(row: &SqliteRow) -> Result<Team, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(Team {
        id: columns.id("id", TeamId::new)?,
        name: columns.get("name")?,
        customer: columns.optional_id("customer_id", CustomerId::new)?,
        access: columns.optional_document("access")?,
    })
}

//! Teams.

use policy::documents::Team;
use policy::ids::{CustomerId, TeamId};
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::columns::{Columns, document, failed, signed, write_failed};

const OBJECT: &str = "team";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<Team>, StoreError> {
    let rows = sqlx::query("SELECT id, name, customer_id, access FROM teams ORDER BY name")
        .fetch_all(db)
        .await;
    rows.map_err(failed("list teams"))?
        .iter()
        .map(read)
        .collect()
}

pub(crate) async fn get(db: &mut SqliteConnection, id: TeamId) -> Result<Option<Team>, StoreError> {
    let row = sqlx::query("SELECT id, name, customer_id, access FROM teams WHERE id = $1")
        .bind(id.uuid());
    row.fetch_optional(db)
        .await
        .map_err(failed("read a team"))?
        .as_ref()
        .map(read)
        .transpose()
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    team: &Team,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO teams (id, name, customer_id, access, created_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(team.id.uuid())
    .bind(&team.name)
    .bind(team.customer.map(CustomerId::uuid))
    .bind(
        team.access
            .as_ref()
            .map(|access| document(OBJECT, access))
            .transpose()?,
    )
    .bind(signed(now.as_millis()))
    .execute(db)
    .await
    .map_err(write_failed("add a team", OBJECT, &team.name))?;
    Ok(())
}

pub(crate) async fn update(db: &mut SqliteConnection, team: &Team) -> Result<(), StoreError> {
    sqlx::query("UPDATE teams SET name = $2, customer_id = $3, access = $4 WHERE id = $1")
        .bind(team.id.uuid())
        .bind(&team.name)
        .bind(team.customer.map(CustomerId::uuid))
        .bind(
            team.access
                .as_ref()
                .map(|access| document(OBJECT, access))
                .transpose()?,
        )
        .execute(db)
        .await
        .map_err(write_failed("change a team", OBJECT, &team.name))?;
    Ok(())
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: TeamId) -> Result<(), StoreError> {
    let deleted = sqlx::query("DELETE FROM teams WHERE id = $1")
        .bind(id.uuid())
        .execute(db)
        .await;
    deleted.map(drop).map_err(failed("delete a team"))
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

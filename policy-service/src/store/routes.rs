//! Routes.

use policy::documents::{Route, Scope};
use policy::ids::{CustomerId, KeyId, RouteId, TeamId, UserId};
use policy::units::Timestamp;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, SqliteConnection};

use crate::store::StoreError;
use crate::store::columns::{Columns, document, failed, signed, write_failed};

const OBJECT: &str = "route";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<Route>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, customer_id, team_id, user_id, key_id, alias, targets FROM routes ORDER BY scope, alias",
    );
    rows.fetch_all(db)
        .await
        .map_err(failed("list routes"))?
        .iter()
        .map(read)
        .collect()
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    id: RouteId,
) -> Result<Option<Route>, StoreError> {
    let row = sqlx::query(
        "SELECT id, customer_id, team_id, user_id, key_id, alias, targets FROM routes WHERE id = $1",
    );
    let row = row
        .bind(id.uuid())
        .fetch_optional(db)
        .await
        .map_err(failed("read a route"))?;
    row.as_ref().map(read).transpose()
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    route: &Route,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO routes (id, scope, customer_id, team_id, user_id, key_id, alias, targets, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    );
    let query = bind(query, route)?.bind(signed(now.as_millis()));
    query
        .execute(db)
        .await
        .map_err(write_failed("add a route", OBJECT, route.alias.as_str()))?;
    Ok(())
}

pub(crate) async fn update(db: &mut SqliteConnection, route: &Route) -> Result<(), StoreError> {
    let query = sqlx::query(
        "UPDATE routes SET scope = $2, customer_id = $3, team_id = $4, user_id = $5, key_id = $6, \
         alias = $7, targets = $8 WHERE id = $1",
    );
    let done = bind(query, route)?.execute(db).await;
    done.map(drop)
        .map_err(write_failed("change a route", OBJECT, route.alias.as_str()))
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: RouteId) -> Result<(), StoreError> {
    let deleted = sqlx::query("DELETE FROM routes WHERE id = $1")
        .bind(id.uuid())
        .execute(db)
        .await;
    deleted.map(drop).map_err(failed("delete a route"))
}

type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

fn bind<'q>(query: Bound<'q>, route: &'q Route) -> Result<Bound<'q>, StoreError> {
    let (scope, customer, team, user, key) = match route.scope {
        Scope::Global => ("global".to_owned(), None, None, None, None),
        Scope::Customer(id) => (format!("customer:{id}"), Some(id.uuid()), None, None, None),
        Scope::Team(id) => (format!("team:{id}"), None, Some(id.uuid()), None, None),
        Scope::User(id) => (format!("user:{id}"), None, None, Some(id.uuid()), None),
        Scope::Key(id) => (format!("key:{id}"), None, None, None, Some(id.uuid())),
    };
    Ok(query
        .bind(route.id.uuid())
        .bind(scope)
        .bind(customer)
        .bind(team)
        .bind(user)
        .bind(key)
        .bind(route.alias.as_str())
        .bind(document(OBJECT, &route.targets)?))
}

fn read(row: &SqliteRow) -> Result<Route, StoreError> {
    let columns = Columns::new(row, OBJECT);
    let customer = columns
        .optional_id("customer_id", CustomerId::new)?
        .map(Scope::Customer);
    let team = columns
        .optional_id("team_id", TeamId::new)?
        .map(Scope::Team);
    let user = columns
        .optional_id("user_id", UserId::new)?
        .map(Scope::User);
    let key = columns.optional_id("key_id", KeyId::new)?.map(Scope::Key);
    Ok(Route {
        id: columns.id("id", RouteId::new)?,
        scope: customer.or(team).or(user).or(key).unwrap_or(Scope::Global),
        alias: columns.word("alias")?,
        targets: columns.document("targets")?,
    })
}

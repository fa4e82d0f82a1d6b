//! Quotas.

use policy::compiled::Principal;
use policy::documents::Scope;
use policy::ids::QuotaId;
use policy::quota::Quota;
use policy::units::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::store::StoreError;
use crate::store::columns::{
    Bound, Columns, all, document, failed, one, run, signed, unsigned, write,
};

const OBJECT: &str = "quota";
const SOME: i64 = 100;
/// What SQLite takes for no limit.
const ALL: i64 = -1;

/// A quota, and the name of the customer, team, user or key that it stands at.
#[derive(Clone, Debug)]
pub(crate) struct NamedQuota {
    pub(crate) quota: Quota,
    pub(crate) owner: Option<String>,
}

macro_rules! select_named {
    ($rest:literal) => {
        concat!(
            "SELECT q.id, q.name, q.rules, COALESCE(c.name, t.name, u.name, k.name) AS owner FROM quotas q \
             LEFT JOIN customers c ON c.id = q.customer_id LEFT JOIN teams t ON t.id = q.team_id \
             LEFT JOIN users u ON u.id = q.user_id LEFT JOIN virtual_keys k ON k.id = q.key_id ",
            $rest
        )
    };
}

/// Lists all of them.
pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<Quota>, StoreError> {
    listed(db, sqlx::query("SELECT id, name, rules FROM quotas")).await
}

/// Lists at most `limit` by name, those after `after` only.
pub(crate) async fn page(
    db: &mut SqliteConnection,
    after: &str,
    limit: u32,
) -> Result<Vec<NamedQuota>, StoreError> {
    let query = sqlx::query(select_named!(
        "WHERE LOWER(q.name) > LOWER($1) ORDER BY LOWER(q.name) LIMIT $2"
    ));
    all(db, "list quotas", query.bind(after).bind(limit), read_named).await
}

/// Returns the one of this name.
pub(crate) async fn named(
    db: &mut SqliteConnection,
    name: &str,
) -> Result<Option<NamedQuota>, StoreError> {
    let query = sqlx::query(select_named!("WHERE LOWER(q.name) = LOWER($1)"));
    one(db, "find a quota", query.bind(name), read_named).await
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    id: QuotaId,
) -> Result<Option<NamedQuota>, StoreError> {
    let query = sqlx::query(select_named!("WHERE q.id = $1"));
    one(db, "read a quota", query.bind(id.uuid()), read_named).await
}

/// Counts all of them.
pub(crate) async fn count(db: &mut SqliteConnection) -> Result<u64, StoreError> {
    let counted = sqlx::query_scalar("SELECT COUNT(*) FROM quotas").fetch_one(db);
    let count: i64 = counted.await.map_err(failed("count quotas"))?;
    Ok(unsigned(count))
}

/// Lists those that stand at one customer, team, user or key; the first hundred, which is enough to know that some do.
pub(crate) async fn some_at(
    db: &mut SqliteConnection,
    scope: Scope,
) -> Result<Vec<Quota>, StoreError> {
    at_any(db, ids(scope), SOME).await
}

/// Lists those that stand at a principal or above it.
pub(crate) async fn around(
    db: &mut SqliteConnection,
    principal: &Principal,
) -> Result<Vec<Quota>, StoreError> {
    let mut quotas = of_everything(db).await?;
    let ids = Ids {
        customer: principal.customer.map(|id| id.uuid()),
        team: principal.team.map(|id| id.uuid()),
        user: principal.user.map(|id| id.uuid()),
        key: principal.key.map(|id| id.uuid()),
    };
    quotas.extend(at_any(db, ids, ALL).await?);
    Ok(quotas)
}

/// Lists those that name providers.
pub(crate) async fn that_name_providers(
    db: &mut SqliteConnection,
) -> Result<Vec<Quota>, StoreError> {
    let query = "SELECT id, name, rules FROM quotas WHERE names_providers";
    listed(db, sqlx::query(query)).await
}

async fn of_everything(db: &mut SqliteConnection) -> Result<Vec<Quota>, StoreError> {
    let query = "SELECT id, name, rules FROM quotas \
         WHERE customer_id IS NULL AND team_id IS NULL AND user_id IS NULL AND key_id IS NULL";
    listed(db, sqlx::query(query)).await
}

async fn at_any(db: &mut SqliteConnection, ids: Ids, limit: i64) -> Result<Vec<Quota>, StoreError> {
    let query = sqlx::query(
        "SELECT id, name, rules FROM quotas \
         WHERE customer_id = $1 OR team_id = $2 OR user_id = $3 OR key_id = $4 LIMIT $5",
    );
    listed(db, ids.bind(query).bind(limit)).await
}

async fn listed(db: &mut SqliteConnection, query: Bound<'_>) -> Result<Vec<Quota>, StoreError> {
    all(db, "list quotas", query, read).await
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    quota: &Quota,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO quotas (customer_id, team_id, user_id, key_id, id, name, names_providers, rules, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    );
    let query = bind(query, quota)?.bind(signed(now.as_millis()));
    write(db, "add a quota", (OBJECT, &quota.name), query).await
}

pub(crate) async fn update(db: &mut SqliteConnection, quota: &Quota) -> Result<(), StoreError> {
    let query = sqlx::query(
        "UPDATE quotas SET customer_id = $1, team_id = $2, user_id = $3, key_id = $4, name = $6, \
         names_providers = $7, rules = $8 WHERE id = $5",
    );
    let query = bind(query, quota)?;
    write(db, "change a quota", (OBJECT, &quota.name), query).await
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: QuotaId) -> Result<(), StoreError> {
    let query = sqlx::query("DELETE FROM quotas WHERE id = $1");
    run(db, "delete a quota", query.bind(id.uuid())).await
}

/// What is stood at, as the first four parameters.
#[derive(Clone, Copy, Debug, Default)]
struct Ids {
    customer: Option<Uuid>,
    team: Option<Uuid>,
    user: Option<Uuid>,
    key: Option<Uuid>,
}

impl Ids {
    fn bind(self, query: Bound<'_>) -> Bound<'_> {
        query
            .bind(self.customer)
            .bind(self.team)
            .bind(self.user)
            .bind(self.key)
    }
}

fn ids(scope: Scope) -> Ids {
    let mut ids = Ids::default();
    match scope {
        Scope::Global => {}
        Scope::Customer(id) => ids.customer = Some(id.uuid()),
        Scope::Team(id) => ids.team = Some(id.uuid()),
        Scope::User(id) => ids.user = Some(id.uuid()),
        Scope::Key(id) => ids.key = Some(id.uuid()),
    }
    ids
}

fn bind<'q>(query: Bound<'q>, quota: &'q Quota) -> Result<Bound<'q>, StoreError> {
    Ok(ids(quota.rules.node.scope())
        .bind(query)
        .bind(quota.id.uuid())
        .bind(&quota.name)
        .bind(!quota.rules.providers.is_empty())
        .bind(document(OBJECT, &quota.rules)?))
}

fn read_named(row: &SqliteRow) -> Result<NamedQuota, StoreError> {
    Ok(NamedQuota {
        quota: read(row)?,
        owner: Columns::new(row, OBJECT).get("owner")?,
    })
}

fn read(row: &SqliteRow) -> Result<Quota, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(Quota {
        id: columns.id("id", QuotaId::new)?,
        name: columns.get("name")?,
        rules: columns.document("rules")?,
    })
}

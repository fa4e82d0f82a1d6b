//! Virtual keys, without their secrets.

use policy::documents::{Owner, VirtualKey};
use policy::ids::{CustomerId, KeyId, TeamId, UserId};
use policy::key::KeyHash;
use policy::units::Timestamp;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, SqliteConnection};

use crate::store::columns::{Columns, document, failed, signed, word, write_failed};
use crate::store::{CorruptError, StoreError};

const OBJECT: &str = "virtual key";

const SELECT_ALL: &str = "SELECT id, name, hash, user_id, team_id, customer_id, environment, state, \
    expires_at_ms, access, subscription, opaque_paths, on_revoke FROM virtual_keys ORDER BY name";
const SELECT_ONE: &str = "SELECT id, name, hash, user_id, team_id, customer_id, environment, state, \
    expires_at_ms, access, subscription, opaque_paths, on_revoke FROM virtual_keys WHERE id = $1";

const SELECT_BY_HASH: &str = "SELECT id, name, hash, user_id, team_id, customer_id, environment, state, \
    expires_at_ms, access, subscription, opaque_paths, on_revoke FROM virtual_keys WHERE hash = $1";

pub(crate) async fn list(db: &mut SqliteConnection) -> Result<Vec<VirtualKey>, StoreError> {
    let rows = sqlx::query(SELECT_ALL)
        .fetch_all(db)
        .await
        .map_err(failed("list virtual keys"))?;
    rows.iter().map(read).collect()
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    id: KeyId,
) -> Result<Option<VirtualKey>, StoreError> {
    let row = sqlx::query(SELECT_ONE)
        .bind(id.uuid())
        .fetch_optional(db)
        .await;
    row.map_err(failed("read a virtual key"))?
        .as_ref()
        .map(read)
        .transpose()
}

/// Returns the key whose secret has this hash.
pub(crate) async fn find(
    db: &mut SqliteConnection,
    hash: &KeyHash,
) -> Result<Option<VirtualKey>, StoreError> {
    let row = sqlx::query(SELECT_BY_HASH).bind(hash.as_bytes().as_slice());
    let row = row.fetch_optional(db).await;
    row.map_err(failed("find a virtual key"))?
        .as_ref()
        .map(read)
        .transpose()
}

pub(crate) async fn insert(
    db: &mut SqliteConnection,
    key: &VirtualKey,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO virtual_keys (id, name, hash, user_id, team_id, customer_id, environment, state, \
         expires_at_ms, access, subscription, opaque_paths, on_revoke, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    );
    let query = bind(query, key)?.bind(signed(now.as_millis()));
    query
        .execute(db)
        .await
        .map_err(write_failed("add a virtual key", OBJECT, &key.name))?;
    Ok(())
}

pub(crate) async fn update(db: &mut SqliteConnection, key: &VirtualKey) -> Result<(), StoreError> {
    let query = sqlx::query(
        "UPDATE virtual_keys SET name = $2, hash = $3, user_id = $4, team_id = $5, customer_id = $6, \
         environment = $7, state = $8, expires_at_ms = $9, access = $10, subscription = $11, \
         opaque_paths = $12, on_revoke = $13 WHERE id = $1",
    );
    let done = bind(query, key)?.execute(db).await;
    done.map(drop)
        .map_err(write_failed("change a virtual key", OBJECT, &key.name))
}

pub(crate) async fn delete(db: &mut SqliteConnection, id: KeyId) -> Result<(), StoreError> {
    let deleted = sqlx::query("DELETE FROM virtual_keys WHERE id = $1")
        .bind(id.uuid())
        .execute(db)
        .await;
    deleted.map(drop).map_err(failed("delete a virtual key"))
}

type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

fn bind<'q>(query: Bound<'q>, key: &'q VirtualKey) -> Result<Bound<'q>, StoreError> {
    let (user, team, customer) = match key.owner {
        Owner::User(id) => (Some(id.uuid()), None, None),
        Owner::Team(id) => (None, Some(id.uuid()), None),
        Owner::Customer(id) => (None, None, Some(id.uuid())),
    };
    Ok(query
        .bind(key.id.uuid())
        .bind(&key.name)
        .bind(key.hash.as_bytes().as_slice())
        .bind(user)
        .bind(team)
        .bind(customer)
        .bind(&key.environment)
        .bind(word(OBJECT, &key.state)?)
        .bind(key.expires_at.map(|at| signed(at.as_millis())))
        .bind(document(OBJECT, &key.access)?)
        .bind(word(OBJECT, &key.subscription)?)
        .bind(document(OBJECT, &key.opaque_paths)?)
        .bind(key.on_revoke.map(|it| word(OBJECT, &it)).transpose()?))
}

fn read(row: &SqliteRow) -> Result<VirtualKey, StoreError> {
    let columns = Columns::new(row, OBJECT);
    let hash: Vec<u8> = columns.get("hash")?;
    let wrong_length = |_| columns.corrupt(CorruptError::Value("a hash is not 32 bytes long"));
    let user = columns
        .optional_id("user_id", UserId::new)?
        .map(Owner::User);
    let team = columns
        .optional_id("team_id", TeamId::new)?
        .map(Owner::Team);
    let customer = columns
        .optional_id("customer_id", CustomerId::new)?
        .map(Owner::Customer);
    Ok(VirtualKey {
        id: columns.id("id", KeyId::new)?,
        name: columns.get("name")?,
        hash: KeyHash::new(hash.try_into().map_err(wrong_length)?),
        owner: user
            .or(team)
            .or(customer)
            .ok_or_else(|| columns.corrupt(CorruptError::Value("a key belongs to nobody")))?,
        environment: columns.get("environment")?,
        state: columns.word("state")?,
        expires_at: columns
            .optional_number("expires_at_ms")?
            .map(Timestamp::from_millis),
        access: columns.document("access")?,
        subscription: columns.word("subscription")?,
        opaque_paths: columns.document("opaque_paths")?,
        on_revoke: columns.optional_word("on_revoke")?,
    })
}

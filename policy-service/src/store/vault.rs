//! Values that tokens stand for, by tenant and session, sealed under the master key.

use core::fmt;
use std::collections::BTreeSet;

use policy::units::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::store::columns::{Columns, failed, signed};
use crate::store::{MasterKey, StoreError};

const OBJECT: &str = "vault entry";

/// Rows of one statement.
const ROWS: usize = 200;
/// Rows that one statement deletes, so that records never wait long for it.
const SWEPT_AT_ONCE: u32 = 2_000;
/// Tokens of one session; whoever makes more restores them from its own memory only.
const MAX_OF_SESSION: u64 = 20_000;

/// A value that was found in somebody's text. `Debug` is redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(Vec<u8>);

impl Value {
    /// Wraps `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes; each call site is a place to review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(…)")
    }
}

/// Whose tokens: nothing of one scope is ever told to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct VaultScope {
    /// Never empty.
    pub tenant: Vec<u8>,
    pub session: String,
}

/// A token and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultEntry {
    pub token: String,
    pub kind: String,
    pub value: Value,
    pub last_used: Timestamp,
}

/// Stores the entries of one scope that are new and marks the others as used; returns how many did not fit.
pub(crate) async fn put(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
    scope: &VaultScope,
    entries: &[VaultEntry],
) -> Result<usize, StoreError> {
    let mut held = count(db, scope).await?;
    let mut left_out = 0;
    for chunk in entries.chunks(ROWS) {
        let tokens: Vec<&str> = chunk.iter().map(|entry| entry.token.as_str()).collect();
        let known = known(db, scope, &tokens).await?;
        let mut rows = Vec::with_capacity(chunk.len());
        let mut seen = BTreeSet::new();
        for entry in chunk {
            if !seen.insert(entry.token.as_str()) {
                continue;
            }
            if !known.contains(&entry.token) {
                if held >= MAX_OF_SESSION {
                    left_out += 1;
                    continue;
                }
                held += 1;
            }
            let bound_to = bound_to(scope, &entry.token, &entry.kind);
            let sealed = master_key
                .seal_bytes(&bound_to, entry.value.expose())
                .ok_or(StoreError::Vault)?;
            rows.push((entry, sealed));
        }
        if rows.is_empty() {
            continue;
        }
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            "INSERT INTO vault_entries (tenant, session, token, kind, sealed_value, created_ms, \
             last_used_ms) ",
        );
        query.push_values(rows, |mut row, (entry, sealed)| {
            let at = signed(entry.last_used.as_millis());
            row.push_bind(scope.tenant.clone())
                .push_bind(scope.session.clone())
                .push_bind(entry.token.clone())
                .push_bind(entry.kind.clone())
                .push_bind(sealed)
                .push_bind(at)
                .push_bind(at);
        });
        // The first value of a token stays: the same token is only ever made from the same value.
        query.push(
            " ON CONFLICT (tenant, session, token) DO UPDATE SET last_used_ms = excluded.last_used_ms \
             WHERE excluded.last_used_ms > vault_entries.last_used_ms",
        );
        query
            .build()
            .persistent(false)
            .execute(&mut *db)
            .await
            .map_err(failed("write vault entries"))?;
    }
    Ok(left_out)
}

async fn count(db: &mut SqliteConnection, scope: &VaultScope) -> Result<u64, StoreError> {
    let held: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM vault_entries WHERE tenant = $1 AND session = $2")
            .bind(scope.tenant.as_slice())
            .bind(&scope.session)
            .fetch_one(db)
            .await
            .map_err(failed("count vault entries"))?;
    Ok(super::columns::unsigned(held))
}

async fn known(
    db: &mut SqliteConnection,
    scope: &VaultScope,
    tokens: &[&str],
) -> Result<BTreeSet<String>, StoreError> {
    let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("SELECT token FROM vault_entries");
    push_scope(&mut query, scope);
    push_tokens(&mut query, tokens.iter().copied());
    let rows = query
        .build_query_scalar()
        .persistent(false)
        .fetch_all(db)
        .await
        .map_err(failed("look tokens up"))?;
    Ok(rows.into_iter().collect())
}

/// Returns the entries for `tokens` that were used after `since`.
pub(crate) async fn find(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
    scope: &VaultScope,
    tokens: &[String],
    since: Timestamp,
) -> Result<Vec<VaultEntry>, StoreError> {
    let mut found = Vec::new();
    for chunk in tokens.chunks(ROWS) {
        let mut query = select(scope, since);
        push_tokens(&mut query, chunk.iter().map(String::as_str));
        query.push(" ORDER BY token");
        found.extend(fetch(db, master_key, scope, query).await?);
    }
    Ok(found)
}

/// Returns the entries of a scope that were used after `since`, those used last first.
pub(crate) async fn list(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
    scope: &VaultScope,
    since: Timestamp,
    limit: u32,
) -> Result<Vec<VaultEntry>, StoreError> {
    let mut query = select(scope, since);
    query
        .push(" ORDER BY last_used_ms DESC, token LIMIT ")
        .push_bind(i64::from(limit));
    fetch(db, master_key, scope, query).await
}

fn select(scope: &VaultScope, since: Timestamp) -> QueryBuilder<Sqlite> {
    let mut query =
        QueryBuilder::new("SELECT token, kind, sealed_value, last_used_ms FROM vault_entries");
    push_scope(&mut query, scope);
    query
        .push(" AND last_used_ms > ")
        .push_bind(signed(since.as_millis()));
    query
}

fn push_scope(query: &mut QueryBuilder<Sqlite>, scope: &VaultScope) {
    query
        .push(" WHERE tenant = ")
        .push_bind(scope.tenant.clone());
    query
        .push(" AND session = ")
        .push_bind(scope.session.clone());
}

fn push_tokens<'t>(query: &mut QueryBuilder<Sqlite>, tokens: impl Iterator<Item = &'t str>) {
    query.push(" AND token IN (");
    let mut list = query.separated(", ");
    for token in tokens {
        list.push_bind(token.to_owned());
    }
    query.push(")");
}

async fn fetch(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
    scope: &VaultScope,
    mut query: QueryBuilder<Sqlite>,
) -> Result<Vec<VaultEntry>, StoreError> {
    let rows = query
        .build()
        .persistent(false)
        .fetch_all(db)
        .await
        .map_err(failed("read vault entries"))?;
    rows.iter()
        .map(|row| read(row, master_key, scope))
        .collect()
}

fn read(
    row: &SqliteRow,
    master_key: &MasterKey,
    scope: &VaultScope,
) -> Result<VaultEntry, StoreError> {
    let columns = Columns::new(row, OBJECT);
    let (token, kind): (String, String) = (columns.get("token")?, columns.get("kind")?);
    let sealed: Vec<u8> = columns.get("sealed_value")?;
    let value = master_key
        .unseal_bytes(&bound_to(scope, &token, &kind), &sealed)
        .ok_or(StoreError::Vault)?;
    Ok(VaultEntry {
        token,
        kind,
        value: Value::new(value),
        last_used: Timestamp::from_millis(columns.number("last_used_ms")?),
    })
}

/// Marks entries as used at `now`.
pub(crate) async fn touch(
    db: &mut SqliteConnection,
    scope: &VaultScope,
    tokens: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    for chunk in tokens.chunks(ROWS) {
        let mut query: QueryBuilder<Sqlite> =
            QueryBuilder::new("UPDATE vault_entries SET last_used_ms = ");
        query.push_bind(signed(now.as_millis()));
        push_scope(&mut query, scope);
        push_tokens(&mut query, chunk.iter().map(String::as_str));
        query
            .build()
            .persistent(false)
            .execute(&mut *db)
            .await
            .map_err(failed("mark vault entries as used"))?;
    }
    Ok(())
}

/// Deletes some of the entries last used at `until` or earlier; returns whether there may be more.
pub(crate) async fn sweep(db: &mut SqliteConnection, until: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "DELETE FROM vault_entries WHERE (tenant, session, token) IN \
         (SELECT tenant, session, token FROM vault_entries WHERE last_used_ms <= $1 LIMIT $2)",
    )
    .bind(signed(until.as_millis()))
    .bind(i64::from(SWEPT_AT_ONCE))
    .execute(db)
    .await
    .map_err(failed("delete old vault entries"))?;
    Ok(done.rows_affected() >= u64::from(SWEPT_AT_ONCE))
}

/// What a sealed value is bound to: moved to another row it does not open.
fn bound_to(scope: &VaultScope, token: &str, kind: &str) -> Vec<u8> {
    let mut bound = b"weir vault entry".to_vec();
    let parts: [&[u8]; 4] = [
        &scope.tenant,
        scope.session.as_bytes(),
        token.as_bytes(),
        kind.as_bytes(),
    ];
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        bound.extend(length.to_be_bytes());
        bound.extend(part);
    }
    bound
}

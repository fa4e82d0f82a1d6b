//! Providers and their credentials; secrets are sealed on the way in and unsealed on the way out.

use std::collections::BTreeMap;

use policy::documents::{BaseUrl, Provider, ProviderKey};
use policy::ids::{ProviderId, ProviderKeyId};
use policy::units::Timestamp;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, SqliteConnection};

use crate::store::columns::{Columns, document, failed, signed, word, write_failed};
use crate::store::{MasterKey, StoreError};

const OBJECT: &str = "provider";
const KEY_OBJECT: &str = "provider key";

const SELECT_ALL: &str = "SELECT id, name, dialect, tls, host, port, path, auth, path_style, hosts, models, \
    listed_models, stream_usage, price_table, stream_header_timeout_ms, whole_header_timeout_ms, \
    idle_timeout_ms, pass_request_headers, pass_response_headers, set_request_headers, on_no_answer \
    FROM providers ORDER BY name";
const SELECT_ONE: &str = "SELECT id, name, dialect, tls, host, port, path, auth, path_style, hosts, models, \
    listed_models, stream_usage, price_table, stream_header_timeout_ms, whole_header_timeout_ms, \
    idle_timeout_ms, pass_request_headers, pass_response_headers, set_request_headers, on_no_answer \
    FROM providers WHERE id = $1";

/// What the database knows about a credential beyond the policy document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyHistory {
    pub(crate) provider: ProviderId,
    pub(crate) state_changed: Timestamp,
    /// The status that made it bad.
    pub(crate) bad_status: Option<u16>,
    /// Why a probe is wanted.
    pub(crate) doubt: Option<KeyDoubt>,
}

/// The answer for which a probe of a key is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyDoubt {
    pub(crate) status: u16,
    pub(crate) since: Timestamp,
    /// When the last probe was handed out.
    pub(crate) probed: Option<Timestamp>,
}

pub(crate) async fn list(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
) -> Result<Vec<Provider>, StoreError> {
    let rows = sqlx::query(SELECT_ALL)
        .fetch_all(&mut *db)
        .await
        .map_err(failed("list providers"))?;
    let mut providers: Vec<_> = rows.iter().map(read).collect::<Result<_, _>>()?;
    let rows = sqlx::query(
        "SELECT id, provider_id, name, sealed_secret, weight, state FROM provider_keys ORDER BY name",
    )
    .fetch_all(db)
    .await
    .map_err(failed("list provider keys"))?;
    let mut keys: BTreeMap<ProviderId, Vec<ProviderKey>> = BTreeMap::new();
    for row in &rows {
        let (provider, key) = read_key(row, master_key)?;
        keys.entry(provider).or_default().push(key);
    }
    for provider in &mut providers {
        provider.keys = keys.remove(&provider.id).unwrap_or_default();
    }
    Ok(providers)
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
    id: ProviderId,
) -> Result<Option<Provider>, StoreError> {
    let row = sqlx::query(SELECT_ONE)
        .bind(id.uuid())
        .fetch_optional(&mut *db)
        .await;
    let Some(row) = row.map_err(failed("read a provider"))? else {
        return Ok(None);
    };
    let mut provider = read(&row)?;
    let rows = sqlx::query(
        "SELECT id, provider_id, name, sealed_secret, weight, state FROM provider_keys \
         WHERE provider_id = $1 ORDER BY name",
    )
    .bind(id.uuid())
    .fetch_all(db)
    .await
    .map_err(failed("list provider keys"))?;
    for row in &rows {
        provider.keys.push(read_key(row, master_key)?.1);
    }
    Ok(Some(provider))
}

/// Adds a provider without its keys.
pub(crate) async fn insert(
    db: &mut SqliteConnection,
    provider: &Provider,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO providers (id, name, dialect, tls, host, port, path, auth, path_style, hosts, models, \
         listed_models, stream_usage, price_table, stream_header_timeout_ms, whole_header_timeout_ms, \
         idle_timeout_ms, pass_request_headers, pass_response_headers, set_request_headers, on_no_answer, \
         created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)",
    );
    let query = bind(query, provider)?.bind(signed(now.as_millis()));
    query
        .execute(db)
        .await
        .map_err(write_failed("add a provider", OBJECT, &provider.name))?;
    Ok(())
}

/// Changes a provider; its keys stay as they are.
pub(crate) async fn update(
    db: &mut SqliteConnection,
    provider: &Provider,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "UPDATE providers SET name = $2, dialect = $3, tls = $4, host = $5, port = $6, path = $7, \
         auth = $8, path_style = $9, hosts = $10, models = $11, listed_models = $12, stream_usage = $13, \
         price_table = $14, stream_header_timeout_ms = $15, whole_header_timeout_ms = $16, \
         idle_timeout_ms = $17, pass_request_headers = $18, pass_response_headers = $19, \
         set_request_headers = $20, on_no_answer = $21 WHERE id = $1",
    );
    let done = bind(query, provider)?.execute(db).await;
    done.map(drop)
        .map_err(write_failed("change a provider", OBJECT, &provider.name))
}

/// Deletes a provider and its keys.
pub(crate) async fn delete(db: &mut SqliteConnection, id: ProviderId) -> Result<(), StoreError> {
    let keys = sqlx::query("DELETE FROM provider_keys WHERE provider_id = $1").bind(id.uuid());
    keys.execute(&mut *db)
        .await
        .map_err(failed("delete provider keys"))?;
    let deleted = sqlx::query("DELETE FROM providers WHERE id = $1")
        .bind(id.uuid())
        .execute(db)
        .await;
    deleted.map(drop).map_err(failed("delete a provider"))
}

pub(crate) async fn insert_key(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
    provider: ProviderId,
    key: &ProviderKey,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO provider_keys (id, provider_id, name, sealed_secret, weight, state, state_changed_ms, \
         created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
    )
    .bind(key.id.uuid())
    .bind(provider.uuid())
    .bind(&key.name)
    .bind(master_key.seal(key.id, &key.secret)?)
    .bind(i64::from(key.weight))
    .bind(word(KEY_OBJECT, &key.state)?)
    .bind(signed(now.as_millis()))
    .execute(db)
    .await
    .map_err(write_failed("add a provider key", KEY_OBJECT, &key.name))?;
    Ok(())
}

/// Changes a provider key; what its state was before is forgotten.
pub(crate) async fn update_key(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
    key: &ProviderKey,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE provider_keys SET name = $2, sealed_secret = $3, weight = $4, \
         bad_status = CASE WHEN $5 = 'bad' THEN bad_status ELSE NULL END, state = $5, \
         state_changed_ms = $6 WHERE id = $1",
    )
    .bind(key.id.uuid())
    .bind(&key.name)
    .bind(master_key.seal(key.id, &key.secret)?)
    .bind(i64::from(key.weight))
    .bind(word(KEY_OBJECT, &key.state)?)
    .bind(signed(now.as_millis()))
    .execute(db)
    .await
    .map_err(write_failed("change a provider key", KEY_OBJECT, &key.name))?;
    Ok(())
}

/// Takes an active key out of use; whether there was one.
pub(crate) async fn mark_bad(
    db: &mut SqliteConnection,
    id: ProviderKeyId,
    status: u16,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE provider_keys SET state = 'bad', bad_status = $2, state_changed_ms = $3 \
         WHERE id = $1 AND state = 'active'",
    )
    .bind(id.uuid())
    .bind(i64::from(status))
    .bind(signed(now.as_millis()))
    .execute(db)
    .await
    .map_err(failed("mark a provider key as bad"))?;
    Ok(done.rows_affected() > 0)
}

/// Puts a bad key into use again; whether there was one.
pub(crate) async fn mark_working(
    db: &mut SqliteConnection,
    id: ProviderKeyId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE provider_keys SET state = 'active', bad_status = NULL, state_changed_ms = $2 \
         WHERE id = $1 AND state = 'bad'",
    )
    .bind(id.uuid())
    .bind(signed(now.as_millis()))
    .execute(db)
    .await
    .map_err(failed("mark a provider key as working"))?;
    Ok(done.rows_affected() > 0)
}

pub(crate) async fn delete_key(
    db: &mut SqliteConnection,
    id: ProviderKeyId,
) -> Result<(), StoreError> {
    let deleted = sqlx::query("DELETE FROM provider_keys WHERE id = $1")
        .bind(id.uuid())
        .execute(db)
        .await;
    deleted.map(drop).map_err(failed("delete a provider key"))
}

pub(crate) async fn key_history(
    db: &mut SqliteConnection,
) -> Result<BTreeMap<ProviderKeyId, KeyHistory>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, provider_id, state_changed_ms, bad_status, because_status, since_ms, sent_ms \
         FROM provider_keys LEFT JOIN provider_key_probes ON key_id = id AND wanted = 1",
    );
    let rows = rows
        .fetch_all(db)
        .await
        .map_err(failed("read the history of provider keys"))?;
    rows.iter()
        .map(|row| {
            let columns = Columns::new(row, KEY_OBJECT);
            let status = columns.optional_number("bad_status")?;
            let history = KeyHistory {
                provider: columns.id("provider_id", ProviderId::new)?,
                state_changed: Timestamp::from_millis(columns.number("state_changed_ms")?),
                bad_status: status.and_then(|status| u16::try_from(status).ok()),
                doubt: doubt(&columns)?,
            };
            Ok((columns.id("id", ProviderKeyId::new)?, history))
        })
        .collect()
}

fn doubt(columns: &Columns<'_>) -> Result<Option<KeyDoubt>, StoreError> {
    let (Some(status), Some(since), Some(sent)) = (
        columns.optional_number("because_status")?,
        columns.optional_number("since_ms")?,
        columns.optional_number("sent_ms")?,
    ) else {
        return Ok(None);
    };
    Ok(Some(KeyDoubt {
        status: u16::try_from(status).unwrap_or_default(),
        since: Timestamp::from_millis(since),
        probed: (sent != 0).then(|| Timestamp::from_millis(sent)),
    }))
}

type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

fn bind<'q>(query: Bound<'q>, provider: &'q Provider) -> Result<Bound<'q>, StoreError> {
    Ok(query
        .bind(provider.id.uuid())
        .bind(&provider.name)
        .bind(word(OBJECT, &provider.dialect)?)
        .bind(word(OBJECT, &provider.base_url.tls)?)
        .bind(&provider.base_url.host)
        .bind(i64::from(provider.base_url.port))
        .bind(&provider.base_url.path)
        .bind(word(OBJECT, &provider.auth)?)
        .bind(document(OBJECT, &provider.path_style)?)
        .bind(document(OBJECT, &provider.hosts)?)
        .bind(document(OBJECT, &provider.models)?)
        .bind(document(OBJECT, &provider.listed_models)?)
        .bind(word(OBJECT, &provider.stream_usage)?)
        .bind(&provider.price_table)
        .bind(signed(provider.stream_header_timeout_ms))
        .bind(signed(provider.whole_header_timeout_ms))
        .bind(provider.idle_timeout_ms.map(signed))
        .bind(document(OBJECT, &provider.pass_request_headers)?)
        .bind(document(OBJECT, &provider.pass_response_headers)?)
        .bind(document(OBJECT, &provider.set_request_headers)?)
        .bind(word(OBJECT, &provider.on_no_answer)?))
}

fn read(row: &SqliteRow) -> Result<Provider, StoreError> {
    let columns = Columns::new(row, OBJECT);
    Ok(Provider {
        id: columns.id("id", ProviderId::new)?,
        name: columns.get("name")?,
        dialect: columns.word("dialect")?,
        base_url: BaseUrl {
            tls: columns.word("tls")?,
            host: columns.get("host")?,
            port: columns.narrow("port")?,
            path: columns.get("path")?,
        },
        auth: columns.word("auth")?,
        path_style: columns.document("path_style")?,
        hosts: columns.document("hosts")?,
        models: columns.document("models")?,
        listed_models: columns.document("listed_models")?,
        keys: Vec::new(),
        stream_usage: columns.word("stream_usage")?,
        price_table: columns.get("price_table")?,
        stream_header_timeout_ms: columns.number("stream_header_timeout_ms")?,
        whole_header_timeout_ms: columns.number("whole_header_timeout_ms")?,
        idle_timeout_ms: columns.optional_number("idle_timeout_ms")?,
        pass_request_headers: columns.document("pass_request_headers")?,
        pass_response_headers: columns.document("pass_response_headers")?,
        set_request_headers: columns.document("set_request_headers")?,
        on_no_answer: columns.word("on_no_answer")?,
    })
}

fn read_key(
    row: &SqliteRow,
    master_key: &MasterKey,
) -> Result<(ProviderId, ProviderKey), StoreError> {
    let columns = Columns::new(row, KEY_OBJECT);
    let id = columns.id("id", ProviderKeyId::new)?;
    let sealed: Vec<u8> = columns.get("sealed_secret")?;
    let key = ProviderKey {
        id,
        name: columns.get("name")?,
        secret: master_key.unseal(id, &sealed)?,
        weight: columns.narrow("weight")?,
        state: columns.word("state")?,
    };
    Ok((columns.id("provider_id", ProviderId::new)?, key))
}

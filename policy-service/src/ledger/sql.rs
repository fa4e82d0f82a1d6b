//! Books in SQLite and PostgreSQL: the same statements on both.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::time::Duration;

use policy::ids::{ExchangeId, GrantId, HolderId};
use policy::quota::AccountId;
use policy::quota::lease::Sureness;
use policy::units::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};
use uuid::Uuid;

use super::books::{Account, Attempt, AttemptKey, Books, Bucket, Lease, Settled};
use super::codec::{Unreadable, decode, encode};
use super::shelf::{Committed, Shelf, ShelfError, Shelved};
use super::statements::{list, runs, tuples};

/// How long a statement waits for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements that are kept prepared: a few for each power of two.
const PREPARED: usize = 512;
/// Rows that are forgotten at a time, so that no batch waits long behind it.
const FORGOTTEN_AT_ONCE: i64 = 2_000;

/// Books in a file of their own, so that grants never wait for policy changes or records.
#[derive(Debug)]
pub(crate) struct SqliteShelf {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
}

impl SqliteShelf {
    /// Opens the file at `path`, makes it when there is none, and brings its schema up to date.
    pub(crate) async fn open(path: &std::path::Path) -> Shelved<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What was granted or charged must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(PREPARED);
        let mut connection = options.connect().await.map_err(failed("open"))?;
        sqlx::migrate!("./migrations/ledger/sqlite")
            .run(&mut connection)
            .await?;
        Ok(Self {
            options,
            connection: Some(connection),
        })
    }
}

/// Books that several replicas of the service keep together. They take turns, a batch each.
#[derive(Debug)]
pub(crate) struct PostgresShelf {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

impl PostgresShelf {
    /// Connects to the database at `url` and brings its schema up to date.
    pub(crate) async fn open(url: &str) -> Shelved<Self> {
        let options = PgConnectOptions::from_str(url).map_err(failed("read its address"))?;
        // Plans are kept from when tables were small, and every statement goes by a key: without this a table that
        // has grown would be read from end to end until its statistics are made.
        let options = options
            .options([("enable_seqscan", "off")])
            .statement_cache_capacity(PREPARED);
        let mut connection = options.connect().await.map_err(failed("open"))?;
        sqlx::migrate!("./migrations/ledger/postgres")
            .run(&mut connection)
            .await?;
        Ok(Self {
            options,
            connection: Some(connection),
        })
    }
}

fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> ShelfError {
    move |source| ShelfError::Sql { doing, source }
}

/// Databases count in signed numbers; no amount or time comes near their end.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn time(number: i64) -> Timestamp {
    Timestamp::from_millis(unsigned(number))
}

const LEASE_COLUMNS: &str = "id, holder, exchange_id, granted_ms, expires_ms, parts";
const RUNNING_COLUMNS: &str = "exchange_id, attempt, holder, admitted_ms, reported_ms, holds";

const UPSERT_BUCKETS: &str = "ON CONFLICT (account, start_ms) DO UPDATE SET spent = excluded.spent, \
     held = excluded.held, debt = excluded.debt, alerted = excluded.alerted, until_ms = excluded.until_ms";
const UPSERT_LEASES: &str =
    "ON CONFLICT (id) DO UPDATE SET expires_ms = excluded.expires_ms, parts = excluded.parts";
const UPSERT_SETTLEMENTS: &str = "ON CONFLICT (exchange_id, attempt) DO UPDATE SET \
     sureness = excluded.sureness, settled_ms = excluded.settled_ms, charges = excluded.charges";
const UPSERT_RUNNING: &str = "ON CONFLICT (exchange_id, attempt) DO UPDATE SET holder = excluded.holder, \
     admitted_ms = excluded.admitted_ms, reported_ms = excluded.reported_ms, holds = excluded.holds";

fn sureness_number(sureness: Sureness) -> i64 {
    match sureness {
        Sureness::Presumed => 0,
        Sureness::Estimated => 1,
        Sureness::Exact => 2,
    }
}

fn sureness(number: i64) -> Result<Sureness, Unreadable> {
    match number {
        0 => Ok(Sureness::Presumed),
        1 => Ok(Sureness::Estimated),
        2 => Ok(Sureness::Exact),
        _ => Err(Unreadable("settlements")),
    }
}

fn uuid(bytes: &[u8]) -> Result<Uuid, Unreadable> {
    <[u8; 16]>::try_from(bytes)
        .map(Uuid::from_bytes)
        .ok()
        .ok_or(Unreadable("ids"))
}

/// Both databases speak the same statements, but their types have nothing in common.
macro_rules! sql_shelf {
    ($shelf:ty, $connection:ty, $row:ty, $begin:expr) => {
        impl $shelf {
            async fn connected(&mut self) -> Shelved<&mut $connection> {
                if self.connection.is_none() {
                    let connected = self.options.connect().await;
                    self.connection = Some(connected.map_err(failed("connect"))?);
                }
                let lost = || failed("connect")(sqlx::Error::PoolClosed);
                self.connection.as_mut().ok_or_else(lost)
            }

            pub(super) async fn run(
                &mut self,
                doing: &'static str,
                sql: &'static str,
            ) -> Shelved<()> {
                let connection = self.connected().await?;
                let ran = sqlx::raw_sql(sql).execute(connection).await;
                ran.map(|_| ()).map_err(failed(doing))
            }

            /// Runs `sql`, in which `{}` stands for a list of ids, for all of `ids`.
            async fn by_ids(
                &mut self,
                doing: &'static str,
                sql: &str,
                ids: &[[u8; 16]],
            ) -> Shelved<Vec<$row>> {
                let mut rows = Vec::new();
                for run in runs(ids) {
                    let sql = sql.replace("{}", &list(run.len()));
                    let mut query = sqlx::query(AssertSqlSafe(sql));
                    for id in run {
                        query = query.bind(id.to_vec());
                    }
                    let connection = self.connected().await?;
                    rows.extend(query.fetch_all(connection).await.map_err(failed(doing))?);
                }
                Ok(rows)
            }

            async fn leases_where(
                &mut self,
                condition: &str,
                ids: &[[u8; 16]],
            ) -> Shelved<BTreeMap<GrantId, Lease>> {
                let sql = format!("SELECT {LEASE_COLUMNS} FROM quota_leases WHERE {condition}");
                let rows = self.by_ids("read leases", &sql, ids).await?;
                rows.iter().map(Self::lease).collect()
            }

            async fn running_where(
                &mut self,
                condition: &str,
                ids: &[[u8; 16]],
            ) -> Shelved<BTreeMap<AttemptKey, Attempt>> {
                let sql = format!("SELECT {RUNNING_COLUMNS} FROM quota_running WHERE {condition}");
                let rows = self.by_ids("read what runs", &sql, ids).await?;
                rows.iter().map(Self::attempt).collect()
            }

            fn number(row: &$row, column: &str) -> Shelved<i64> {
                row.try_get(column).map_err(failed("read a number"))
            }

            fn id(row: &$row, column: &str) -> Shelved<Uuid> {
                let bytes: &[u8] = row.try_get(column).map_err(failed("read an id"))?;
                Ok(uuid(bytes)?)
            }

            fn records<R: super::codec::Record>(row: &$row, column: &str) -> Shelved<Vec<R>> {
                let bytes: &[u8] = row.try_get(column).map_err(failed("read a list"))?;
                Ok(decode(bytes)?)
            }

            fn attempt_key(row: &$row) -> Shelved<AttemptKey> {
                let attempt = u32::try_from(Self::number(row, "attempt")?);
                let attempt = attempt.ok().ok_or(Unreadable("attempts"))?;
                Ok((ExchangeId::new(Self::id(row, "exchange_id")?), attempt))
            }

            fn lease(row: &$row) -> Shelved<(GrantId, Lease)> {
                let lease = Lease {
                    holder: HolderId::new(Self::id(row, "holder")?),
                    exchange: ExchangeId::new(Self::id(row, "exchange_id")?),
                    granted: time(Self::number(row, "granted_ms")?),
                    expires: time(Self::number(row, "expires_ms")?),
                    parts: Self::records(row, "parts")?,
                };
                Ok((GrantId::new(Self::id(row, "id")?), lease))
            }

            fn attempt(row: &$row) -> Shelved<(AttemptKey, Attempt)> {
                let attempt = Attempt {
                    holder: HolderId::new(Self::id(row, "holder")?),
                    admitted: time(Self::number(row, "admitted_ms")?),
                    reported: time(Self::number(row, "reported_ms")?),
                    holds: Self::records(row, "holds")?,
                };
                Ok((Self::attempt_key(row)?, attempt))
            }

            async fn write_buckets(&mut self, books: &Books) -> Shelved<()> {
                let changed: Vec<_> = books.changed.buckets.iter().copied().collect();
                for run in runs(&changed) {
                    let sql = format!(
                        "INSERT INTO quota_buckets \
                         (account, start_ms, spent, held, debt, alerted, until_ms) \
                         VALUES {} {UPSERT_BUCKETS}",
                        tuples(run.len(), 7)
                    );
                    let mut query = sqlx::query(AssertSqlSafe(sql));
                    for (account, start) in run {
                        let buckets = books.accounts.get(account).map(|it| &it.buckets);
                        let bucket = buckets.and_then(|it| it.get(start)).copied();
                        let bucket = bucket.unwrap_or_default();
                        query = query
                            .bind(account.into_bytes().to_vec())
                            .bind(signed(*start))
                            .bind(signed(bucket.spent))
                            .bind(signed(bucket.held))
                            .bind(signed(bucket.debt))
                            .bind(i64::from(bucket.alerted))
                            .bind(signed(bucket.until.as_millis()));
                    }
                    let connection = self.connected().await?;
                    query.execute(connection).await.map_err(failed("write buckets"))?;
                }
                Ok(())
            }

            async fn write_resets(&mut self, books: &Books) -> Shelved<()> {
                for account in &books.changed.resets {
                    let reset = books.accounts.get(account).map_or(0, |it| it.reset.as_millis());
                    let connection = self.connected().await?;
                    sqlx::query(
                        "INSERT INTO quota_resets (account, reset_ms) VALUES ($1, $2) \
                         ON CONFLICT (account) DO UPDATE SET reset_ms = excluded.reset_ms",
                    )
                    .bind(account.into_bytes().to_vec())
                    .bind(signed(reset))
                    .execute(connection)
                    .await
                    .map_err(failed("write a reset"))?;
                }
                Ok(())
            }

            async fn write_leases(&mut self, books: &Books) -> Shelved<()> {
                let mut written = Vec::new();
                let mut ended = Vec::new();
                for id in books.changed.leases.keys() {
                    match books.leases.get(id) {
                        Some(lease) => written.push((*id, lease)),
                        None => ended.push(id.into_bytes()),
                    }
                }
                for run in runs(&written) {
                    let sql = format!(
                        "INSERT INTO quota_leases ({LEASE_COLUMNS}) VALUES {} {UPSERT_LEASES}",
                        tuples(run.len(), 6)
                    );
                    let mut query = sqlx::query(AssertSqlSafe(sql));
                    for (id, lease) in run {
                        query = query
                            .bind(id.into_bytes().to_vec())
                            .bind(lease.holder.into_bytes().to_vec())
                            .bind(lease.exchange.into_bytes().to_vec())
                            .bind(signed(lease.granted.as_millis()))
                            .bind(signed(lease.expires.as_millis()))
                            .bind(encode(&lease.parts));
                    }
                    let connection = self.connected().await?;
                    query.execute(connection).await.map_err(failed("write leases"))?;
                }
                let sql = "DELETE FROM quota_leases WHERE id IN ({})";
                self.by_ids("end leases", sql, &ended).await.map(|_| ())
            }

            async fn write_settlements(&mut self, books: &Books) -> Shelved<()> {
                let changed = books.changed.settled.iter();
                let changed = changed.filter_map(|key| Some((*key, books.settled.get(key)?)));
                let changed: Vec<_> = changed.collect();
                for run in runs(&changed) {
                    let sql = format!(
                        "INSERT INTO quota_settlements \
                         (exchange_id, attempt, sureness, settled_ms, charges) \
                         VALUES {} {UPSERT_SETTLEMENTS}",
                        tuples(run.len(), 5)
                    );
                    let mut query = sqlx::query(AssertSqlSafe(sql));
                    for ((exchange, attempt), settled) in run {
                        query = query
                            .bind(exchange.into_bytes().to_vec())
                            .bind(i64::from(*attempt))
                            .bind(sureness_number(settled.sureness))
                            .bind(signed(settled.at.as_millis()))
                            .bind(encode(&settled.charges));
                    }
                    let connection = self.connected().await?;
                    query.execute(connection).await.map_err(failed("write settlements"))?;
                }
                Ok(())
            }

            async fn write_running(&mut self, books: &Books) -> Shelved<()> {
                let mut written = Vec::new();
                let mut ended = Vec::new();
                for key in books.changed.running.keys() {
                    match books.running.get(key) {
                        Some(attempt) => written.push((*key, attempt)),
                        None => ended.push(*key),
                    }
                }
                for run in runs(&written) {
                    let sql = format!(
                        "INSERT INTO quota_running ({RUNNING_COLUMNS}) VALUES {} {UPSERT_RUNNING}",
                        tuples(run.len(), 6)
                    );
                    let mut query = sqlx::query(AssertSqlSafe(sql));
                    for ((exchange, attempt), running) in run {
                        query = query
                            .bind(exchange.into_bytes().to_vec())
                            .bind(i64::from(*attempt))
                            .bind(running.holder.into_bytes().to_vec())
                            .bind(signed(running.admitted.as_millis()))
                            .bind(signed(running.reported.as_millis()))
                            .bind(encode(&running.holds));
                    }
                    let connection = self.connected().await?;
                    query.execute(connection).await.map_err(failed("write what runs"))?;
                }
                for run in runs(&ended) {
                    let sql = format!(
                        "DELETE FROM quota_running WHERE (exchange_id, attempt) IN (VALUES {})",
                        tuples(run.len(), 2)
                    );
                    let mut query = sqlx::query(AssertSqlSafe(sql));
                    for (exchange, attempt) in run {
                        query = query.bind(exchange.into_bytes().to_vec()).bind(i64::from(*attempt));
                    }
                    let connection = self.connected().await?;
                    query.execute(connection).await.map_err(failed("end what ran"))?;
                }
                Ok(())
            }
        }

        impl Shelf for $shelf {
            async fn begin(&mut self, _now: Timestamp) -> Shelved<()> {
                self.run("begin", $begin).await
            }

            async fn leases(&mut self, ids: &[GrantId]) -> Shelved<BTreeMap<GrantId, Lease>> {
                let ids: Vec<_> = ids.iter().map(|id| id.into_bytes()).collect();
                self.leases_where("id IN ({})", &ids).await
            }

            async fn leases_of(
                &mut self,
                holders: &[HolderId],
            ) -> Shelved<BTreeMap<GrantId, Lease>> {
                let ids: Vec<_> = holders.iter().map(|id| id.into_bytes()).collect();
                self.leases_where("holder IN ({})", &ids).await
            }

            async fn expired(
                &mut self,
                now: Timestamp,
                at_most: u32,
            ) -> Shelved<BTreeMap<GrantId, Lease>> {
                let sql = format!(
                    "SELECT {LEASE_COLUMNS} FROM quota_leases WHERE expires_ms <= $1 \
                     ORDER BY expires_ms LIMIT $2"
                );
                let query = sqlx::query(AssertSqlSafe(sql))
                    .bind(signed(now.as_millis()))
                    .bind(i64::from(at_most));
                let connection = self.connected().await?;
                let rows = query.fetch_all(connection).await.map_err(failed("find old leases"))?;
                rows.iter().map(Self::lease).collect()
            }

            async fn running(
                &mut self,
                exchanges: &[ExchangeId],
            ) -> Shelved<BTreeMap<AttemptKey, Attempt>> {
                let ids: Vec<_> = exchanges.iter().map(|id| id.into_bytes()).collect();
                self.running_where("exchange_id IN ({})", &ids).await
            }

            async fn running_of(
                &mut self,
                holders: &[HolderId],
            ) -> Shelved<BTreeMap<AttemptKey, Attempt>> {
                let ids: Vec<_> = holders.iter().map(|id| id.into_bytes()).collect();
                self.running_where("holder IN ({})", &ids).await
            }

            async fn settled(
                &mut self,
                exchanges: &[ExchangeId],
            ) -> Shelved<BTreeMap<AttemptKey, Settled>> {
                let ids: Vec<_> = exchanges.iter().map(|id| id.into_bytes()).collect();
                let sql = "SELECT exchange_id, attempt, sureness, settled_ms, charges \
                           FROM quota_settlements WHERE exchange_id IN ({})";
                let rows = self.by_ids("read settlements", sql, &ids).await?;
                let read = rows.iter().map(|row| {
                    let settled = Settled {
                        sureness: sureness(Self::number(row, "sureness")?)?,
                        at: time(Self::number(row, "settled_ms")?),
                        charges: Self::records(row, "charges")?,
                    };
                    Ok((Self::attempt_key(row)?, settled))
                });
                read.collect()
            }

            async fn accounts(
                &mut self,
                from: &BTreeMap<AccountId, u64>,
            ) -> Shelved<BTreeMap<AccountId, Account>> {
                let mut accounts: BTreeMap<AccountId, Account> =
                    from.keys().map(|id| (*id, Account::default())).collect();
                // Two ranges for each account: its first bucket apart, and those from a given one on.
                let mut ranges = Vec::with_capacity(from.len() * 2);
                for (account, since) in from {
                    ranges.push((*account, 0, 0));
                    ranges.push((*account, signed((*since).max(1)), i64::MAX));
                }
                for run in runs(&ranges) {
                    let sql = format!(
                        "SELECT b.account, b.start_ms, b.spent, b.held, b.debt, b.alerted, b.until_ms, \
                         COALESCE(r.reset_ms, 0) AS reset_ms \
                         FROM (VALUES {}) AS w CROSS JOIN quota_buckets b \
                         LEFT JOIN quota_resets r ON r.account = b.account \
                         WHERE b.account = w.column1 \
                         AND b.start_ms >= w.column2 AND b.start_ms <= w.column3",
                        tuples(run.len(), 3)
                    );
                    let mut query = sqlx::query(AssertSqlSafe(sql));
                    for (account, first, last) in run {
                        query = query.bind(account.into_bytes().to_vec()).bind(*first).bind(*last);
                    }
                    let connection = self.connected().await?;
                    let rows = query.fetch_all(connection).await.map_err(failed("read buckets"))?;
                    for row in &rows {
                        let id = AccountId::from_bytes(Self::id(row, "account")?.into_bytes());
                        let start = unsigned(Self::number(row, "start_ms")?);
                        let bucket = Bucket {
                            spent: unsigned(Self::number(row, "spent")?),
                            held: unsigned(Self::number(row, "held")?),
                            debt: unsigned(Self::number(row, "debt")?),
                            alerted: u16::try_from(Self::number(row, "alerted")?).unwrap_or(u16::MAX),
                            until: time(Self::number(row, "until_ms")?),
                        };
                        let account = accounts.entry(id).or_default();
                        account.reset = time(Self::number(row, "reset_ms")?);
                        account.buckets.insert(start, bucket);
                    }
                }
                Ok(accounts)
            }

            async fn commit(&mut self, books: &Books) -> Shelved<Committed> {
                self.write_buckets(books).await?;
                self.write_resets(books).await?;
                self.write_leases(books).await?;
                self.write_settlements(books).await?;
                self.write_running(books).await?;
                self.run("commit", "COMMIT").await?;
                Ok(Committed::Done)
            }

            async fn roll_back(&mut self) {
                // A connection that cannot even roll back is given up, and the transaction with it.
                if self.connection.is_some() && self.run("roll back", "ROLLBACK").await.is_err() {
                    self.connection = None;
                }
            }

            async fn forget(&mut self, now: Timestamp, settled_before: Timestamp) -> Shelved<()> {
                let old_buckets = "DELETE FROM quota_buckets WHERE (account, start_ms) IN \
                     (SELECT account, start_ms FROM quota_buckets \
                      WHERE until_ms <= $1 AND held = 0 LIMIT $2)";
                let old_settlements = "DELETE FROM quota_settlements WHERE (exchange_id, attempt) IN \
                     (SELECT exchange_id, attempt FROM quota_settlements \
                      WHERE settled_ms <= $1 LIMIT $2)";
                for (sql, until) in [(old_buckets, now), (old_settlements, settled_before)] {
                    let query = sqlx::query(sql)
                        .bind(signed(until.as_millis()))
                        .bind(FORGOTTEN_AT_ONCE);
                    let connection = self.connected().await?;
                    query.execute(connection).await.map_err(failed("forget what is old"))?;
                }
                Ok(())
            }
        }
    };
}

sql_shelf!(
    SqliteShelf,
    SqliteConnection,
    sqlx::sqlite::SqliteRow,
    "BEGIN IMMEDIATE"
);
// The number is what all replicas take turns on: "weirquot" in ASCII.
sql_shelf!(
    PostgresShelf,
    PgConnection,
    sqlx::postgres::PgRow,
    "BEGIN; SELECT pg_advisory_xact_lock(8603398603411910516)"
);

//! Books in Redis, for short windows that many replicas share. Redis keeps them in memory: what is here may be lost
//! with it, and then windows begin anew; money is never here.
//!
//! All values stand under one hash tag, so that a cluster keeps them together:
//!
//! ```text
//! {weir}:version        counts commits; a commit that read another version conflicts
//! {weir}:a:<account>    hash: start of a bucket → its numbers; `reset` → when it was reset
//! {weir}:l:<grant>      a lease
//! {weir}:x              sorted set: grants by expiry
//! {weir}:h:<holder>     set: the holder's grants
//! {weir}:s:<exchange>   hash: attempt → settlement
//! {weir}:r:<exchange>   hash: attempt → what runs
//! {weir}:e:<holder>     set: exchanges that ran there
//! ```

use std::collections::BTreeMap;

use policy::ids::{ExchangeId, GrantId, HolderId};
use policy::quota::AccountId;
use policy::quota::lease::Sureness;
use policy::units::Timestamp;
use redis::aio::MultiplexedConnection;
use redis::{Client, FromRedisValue, Pipeline, Script, ToRedisArgs};
use uuid::Uuid;

use super::books::{Account, Attempt, AttemptKey, Books, Bucket, Lease, Settled};
use super::codec::{Unreadable, decode, encode};
use super::shelf::{Committed, Shelf, ShelfError, Shelved};

const VERSION: &str = "{weir}:version";
const BY_EXPIRY: &str = "{weir}:x";
/// How long accounts and indices live that nobody touches.
const IDLE_SECS: u64 = 2 * 86_400;
/// How long settlements are known: what comes later is charged to parts of windows that no longer count.
const SETTLEMENTS_SECS: u64 = 3_600;

/// Runs all commands, or none if the version is another. Each command stands behind the number of its words.
const COMMIT: &str = r"
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
    return 0
end
local at = 2
while at <= #ARGV do
    local words = tonumber(ARGV[at])
    redis.call(unpack(ARGV, at + 1, at + words))
    at = at + words + 1
end
redis.call('INCR', KEYS[1])
return 1
";

/// Books in Redis.
pub(crate) struct RedisShelf {
    client: Client,
    connection: Option<MultiplexedConnection>,
    commit: Script,
    now: Timestamp,
    /// The version that the batch reads.
    version: u64,
    /// Buckets that were read and are past their time.
    old: Vec<(AccountId, u64)>,
}

impl std::fmt::Debug for RedisShelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisShelf")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl RedisShelf {
    /// Connects to the Redis at `url`.
    pub(crate) async fn open(url: &str) -> Shelved<Self> {
        let client = Client::open(url).map_err(failed("read its address"))?;
        let mut shelf = Self {
            client,
            connection: None,
            commit: Script::new(COMMIT),
            now: Timestamp::default(),
            version: 0,
            old: Vec::new(),
        };
        shelf.connected().await?;
        Ok(shelf)
    }

    async fn connected(&mut self) -> Shelved<&mut MultiplexedConnection> {
        if self.connection.is_none() {
            let connected = self.client.get_multiplexed_async_connection().await;
            self.connection = Some(connected.map_err(failed("connect"))?);
        }
        let lost = || redis::RedisError::from((redis::ErrorKind::Io, "the connection is gone"));
        self.connection
            .as_mut()
            .ok_or_else(|| failed("connect")(lost()))
    }

    async fn query<T: FromRedisValue>(
        &mut self,
        doing: &'static str,
        pipe: &Pipeline,
    ) -> Shelved<T> {
        let connection = self.connected().await?;
        pipe.query_async(connection).await.map_err(failed(doing))
    }

    /// Runs one command for each id and returns the answers in order.
    async fn each<T: FromRedisValue>(
        &mut self,
        doing: &'static str,
        command: &str,
        keys: impl Iterator<Item = String>,
    ) -> Shelved<Vec<T>> {
        let mut pipe = redis::pipe();
        let mut count = 0;
        for key in keys {
            pipe.cmd(command).arg(key);
            count += 1;
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        self.query(doing, &pipe).await
    }
}

fn failed(doing: &'static str) -> impl Fn(redis::RedisError) -> ShelfError {
    move |source| ShelfError::Redis { doing, source }
}

fn key(kind: char, id: Uuid) -> String {
    format!("{{weir}}:{kind}:{}", id.simple())
}

fn account_key(account: AccountId) -> String {
    format!("{{weir}}:a:{account}")
}

/// Commands in the form that [`COMMIT`] takes.
#[derive(Default)]
struct Commands(Vec<Vec<u8>>);

impl Commands {
    fn add(&mut self, words: &[&dyn Word]) {
        self.0.push(words.len().to_string().into_bytes());
        self.0.extend(words.iter().map(|word| word.bytes()));
    }
}

/// A word of a command.
trait Word {
    fn bytes(&self) -> Vec<u8>;
}

impl Word for &str {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Word for String {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Word for Vec<u8> {
    fn bytes(&self) -> Vec<u8> {
        self.clone()
    }
}

impl Word for u64 {
    fn bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

fn bucket_value(bucket: &Bucket) -> String {
    let Bucket {
        spent,
        held,
        debt,
        alerted,
        until,
    } = bucket;
    format!("{spent}:{held}:{debt}:{alerted}:{}", until.as_millis())
}

fn bucket(value: &[u8]) -> Result<Bucket, Unreadable> {
    let unreadable = || Unreadable("buckets");
    let text = str::from_utf8(value).ok().ok_or_else(unreadable)?;
    let mut numbers = text.split(':').map(str::parse::<u64>);
    let mut number = || numbers.next().and_then(Result::ok).ok_or_else(unreadable);
    Ok(Bucket {
        spent: number()?,
        held: number()?,
        debt: number()?,
        alerted: u16::try_from(number()?).unwrap_or(u16::MAX),
        until: Timestamp::from_millis(number()?),
    })
}

fn lease_value(lease: &Lease) -> Vec<u8> {
    let mut value = Vec::with_capacity(48 + lease.parts.len() * 50);
    value.extend(lease.holder.into_bytes());
    value.extend(lease.exchange.into_bytes());
    value.extend(lease.granted.as_millis().to_be_bytes());
    value.extend(lease.expires.as_millis().to_be_bytes());
    value.extend(encode(&lease.parts));
    value
}

fn lease(value: &[u8]) -> Result<Lease, Unreadable> {
    let mut from = Fields(value, "leases");
    Ok(Lease {
        holder: HolderId::new(from.id()?),
        exchange: ExchangeId::new(from.id()?),
        granted: from.time()?,
        expires: from.time()?,
        parts: decode(from.0)?,
    })
}

fn settled_value(settled: &Settled) -> Vec<u8> {
    let mut value = Vec::new();
    value.push(match settled.sureness {
        Sureness::Presumed => 0,
        Sureness::Estimated => 1,
        Sureness::Exact => 2,
    });
    value.extend(settled.at.as_millis().to_be_bytes());
    value.extend(encode(&settled.charges));
    value
}

fn settled(value: &[u8]) -> Result<Settled, Unreadable> {
    let (sureness, rest) = value.split_first().ok_or(Unreadable("settlements"))?;
    let mut from = Fields(rest, "settlements");
    Ok(Settled {
        sureness: match sureness {
            0 => Sureness::Presumed,
            1 => Sureness::Estimated,
            2 => Sureness::Exact,
            _ => return Err(Unreadable("settlements")),
        },
        at: from.time()?,
        charges: decode(from.0)?,
    })
}

fn attempt_value(attempt: &Attempt) -> Vec<u8> {
    let mut value = Vec::new();
    value.extend(attempt.holder.into_bytes());
    value.extend(attempt.admitted.as_millis().to_be_bytes());
    value.extend(attempt.reported.as_millis().to_be_bytes());
    value.extend(encode(&attempt.holds));
    value
}

fn attempt(value: &[u8]) -> Result<Attempt, Unreadable> {
    let mut from = Fields(value, "what runs");
    Ok(Attempt {
        holder: HolderId::new(from.id()?),
        admitted: from.time()?,
        reported: from.time()?,
        holds: decode(from.0)?,
    })
}

/// Fields of fixed size at the beginning of a value.
struct Fields<'a>(&'a [u8], &'static str);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or(Unreadable(self.1))?;
        self.0 = rest;
        Ok(*array)
    }

    fn id(&mut self) -> Result<Uuid, Unreadable> {
        self.array().map(Uuid::from_bytes)
    }

    fn time(&mut self) -> Result<Timestamp, Unreadable> {
        self.array()
            .map(|it| Timestamp::from_millis(u64::from_be_bytes(it)))
    }
}

/// Members of a set of ids.
fn ids(members: Vec<Vec<u8>>) -> Result<Vec<Uuid>, Unreadable> {
    let id = |bytes: Vec<u8>| <[u8; 16]>::try_from(bytes).ok().map(Uuid::from_bytes);
    members
        .into_iter()
        .map(|it| id(it).ok_or(Unreadable("ids")))
        .collect()
}

impl RedisShelf {
    async fn read_by_attempt<T>(
        &mut self,
        kind: char,
        exchanges: &[ExchangeId],
        read: fn(&[u8]) -> Result<T, Unreadable>,
    ) -> Shelved<BTreeMap<AttemptKey, T>> {
        let keys = exchanges.iter().map(|id| key(kind, id.uuid()));
        let found: Vec<BTreeMap<u32, Vec<u8>>> =
            self.each("read attempts", "HGETALL", keys).await?;
        let mut attempts = BTreeMap::new();
        for (exchange, by_attempt) in exchanges.iter().zip(found) {
            for (attempt, value) in by_attempt {
                attempts.insert((*exchange, attempt), read(&value)?);
            }
        }
        Ok(attempts)
    }

    async fn members(&mut self, kind: char, holders: &[HolderId]) -> Shelved<Vec<Uuid>> {
        let keys = holders.iter().map(|id| key(kind, id.uuid()));
        let found: Vec<Vec<Vec<u8>>> = self.each("read a holder", "SMEMBERS", keys).await?;
        Ok(ids(found.into_iter().flatten().collect())?)
    }

    fn write_accounts(&self, books: &Books, commands: &mut Commands) {
        for (account, start) in &books.changed.buckets {
            let buckets = books.accounts.get(account).map(|it| &it.buckets);
            let Some(bucket) = buckets.and_then(|it| it.get(start)) else {
                continue;
            };
            let name = account_key(*account);
            commands.add(&[&"HSET", &name, start, &bucket_value(bucket)]);
        }
        let mut touched: Vec<_> = books.changed.buckets.iter().map(|it| it.0).collect();
        touched.dedup();
        for account in touched {
            commands.add(&[&"EXPIRE", &account_key(account), &IDLE_SECS]);
        }
        for account in &books.changed.resets {
            let reset = books
                .accounts
                .get(account)
                .map_or(0, |it| it.reset.as_millis());
            commands.add(&[&"HSET", &account_key(*account), &"reset", &reset]);
        }
        for (account, start) in &self.old {
            if !books.changed.buckets.contains(&(*account, *start)) {
                commands.add(&[&"HDEL", &account_key(*account), start]);
            }
        }
    }

    fn write_leases(books: &Books, commands: &mut Commands) {
        for (id, holder) in &books.changed.leases {
            let member = id.into_bytes().to_vec();
            let of_holder = key('h', holder.uuid());
            let name = key('l', id.uuid());
            match books.leases.get(id) {
                Some(lease) => {
                    let expires = lease.expires.as_millis();
                    commands.add(&[&"SET", &name, &lease_value(lease)]);
                    commands.add(&[&"ZADD", &BY_EXPIRY, &expires, &member]);
                    commands.add(&[&"SADD", &of_holder, &member]);
                }
                None => {
                    commands.add(&[&"DEL", &name]);
                    commands.add(&[&"ZREM", &BY_EXPIRY, &member]);
                    commands.add(&[&"SREM", &of_holder, &member]);
                }
            }
        }
    }

    fn write_attempts(books: &Books, commands: &mut Commands) {
        for key_of in &books.changed.settled {
            let Some(settled) = books.settled.get(key_of) else {
                continue;
            };
            let (exchange, attempt) = key_of;
            let name = key('s', exchange.uuid());
            commands.add(&[
                &"HSET",
                &name,
                &u64::from(*attempt),
                &settled_value(settled),
            ]);
            commands.add(&[&"EXPIRE", &name, &SETTLEMENTS_SECS]);
        }
        for (key_of, holder) in &books.changed.running {
            let (exchange, attempt) = key_of;
            let name = key('r', exchange.uuid());
            let of_holder = key('e', holder.uuid());
            let member = exchange.into_bytes().to_vec();
            let number = u64::from(*attempt);
            match books.running.get(key_of) {
                Some(running) => {
                    commands.add(&[&"HSET", &name, &number, &attempt_value(running)]);
                    commands.add(&[&"EXPIRE", &name, &IDLE_SECS]);
                    commands.add(&[&"SADD", &of_holder, &member]);
                    commands.add(&[&"EXPIRE", &of_holder, &IDLE_SECS]);
                }
                None => {
                    commands.add(&[&"HDEL", &name, &number]);
                    commands.add(&[&"SREM", &of_holder, &member]);
                }
            }
        }
    }
}

impl Shelf for RedisShelf {
    async fn begin(&mut self, now: Timestamp) -> Shelved<()> {
        self.now = now;
        self.old.clear();
        let mut pipe = redis::pipe();
        pipe.cmd("GET").arg(VERSION);
        let (version,): (Option<u64>,) = self.query("begin", &pipe).await?;
        self.version = version.unwrap_or(0);
        Ok(())
    }

    async fn leases(&mut self, ids: &[GrantId]) -> Shelved<BTreeMap<GrantId, Lease>> {
        let keys = ids.iter().map(|id| key('l', id.uuid()));
        let found: Vec<Option<Vec<u8>>> = self.each("read leases", "GET", keys).await?;
        let mut leases = BTreeMap::new();
        for (id, value) in ids.iter().zip(found) {
            if let Some(value) = value {
                leases.insert(*id, lease(&value)?);
            }
        }
        Ok(leases)
    }

    async fn leases_of(&mut self, holders: &[HolderId]) -> Shelved<BTreeMap<GrantId, Lease>> {
        let grants = self.members('h', holders).await?;
        let grants: Vec<_> = grants.into_iter().map(GrantId::new).collect();
        self.leases(&grants).await
    }

    async fn expired(&mut self, now: Timestamp, at_most: u32) -> Shelved<BTreeMap<GrantId, Lease>> {
        let mut pipe = redis::pipe();
        pipe.cmd("ZRANGEBYSCORE")
            .arg(BY_EXPIRY)
            .arg("-inf")
            .arg(now.as_millis());
        pipe.arg("LIMIT").arg(0).arg(at_most);
        let (members,): (Vec<Vec<u8>>,) = self.query("find old leases", &pipe).await?;
        let grants: Vec<_> = ids(members)?.into_iter().map(GrantId::new).collect();
        self.leases(&grants).await
    }

    async fn running(
        &mut self,
        exchanges: &[ExchangeId],
    ) -> Shelved<BTreeMap<AttemptKey, Attempt>> {
        self.read_by_attempt('r', exchanges, attempt).await
    }

    async fn running_of(&mut self, holders: &[HolderId]) -> Shelved<BTreeMap<AttemptKey, Attempt>> {
        let exchanges = self.members('e', holders).await?;
        let exchanges: Vec<_> = exchanges.into_iter().map(ExchangeId::new).collect();
        self.running(&exchanges).await
    }

    async fn settled(
        &mut self,
        exchanges: &[ExchangeId],
    ) -> Shelved<BTreeMap<AttemptKey, Settled>> {
        self.read_by_attempt('s', exchanges, settled).await
    }

    async fn accounts(
        &mut self,
        from: &BTreeMap<AccountId, u64>,
    ) -> Shelved<BTreeMap<AccountId, Account>> {
        let keys = from.keys().map(|id| account_key(*id));
        let found: Vec<BTreeMap<String, Vec<u8>>> =
            self.each("read accounts", "HGETALL", keys).await?;
        let mut accounts = BTreeMap::new();
        for ((id, since), fields) in from.iter().zip(found) {
            let mut account = Account::default();
            for (field, value) in fields {
                if field == "reset" {
                    let text = str::from_utf8(&value).ok().and_then(|it| it.parse().ok());
                    account.reset = Timestamp::from_millis(text.ok_or(Unreadable("resets"))?);
                    continue;
                }
                let start: u64 = field.parse().ok().ok_or(Unreadable("buckets"))?;
                let bucket = bucket(&value)?;
                if start != 0 && bucket.until <= self.now && bucket.held == 0 {
                    self.old.push((*id, start));
                }
                if start == 0 || start >= *since {
                    account.buckets.insert(start, bucket);
                }
            }
            accounts.insert(*id, account);
        }
        Ok(accounts)
    }

    async fn commit(&mut self, books: &Books) -> Shelved<Committed> {
        let mut commands = Commands::default();
        self.write_accounts(books, &mut commands);
        Self::write_leases(books, &mut commands);
        Self::write_attempts(books, &mut commands);
        let mut call = self.commit.prepare_invoke();
        call.key(VERSION).arg(self.version);
        for word in &commands.0 {
            call.arg(Bytes(word));
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => return Ok(Committed::Conflict),
        };
        let done: u8 = call
            .invoke_async(connection)
            .await
            .map_err(failed("commit"))?;
        Ok(if done == 1 {
            Committed::Done
        } else {
            Committed::Conflict
        })
    }

    async fn roll_back(&mut self) {}

    async fn forget(&mut self, _now: Timestamp, _settled_before: Timestamp) -> Shelved<()> {
        // Old parts of windows go away with the next batch that reads them, and all the rest expires.
        Ok(())
    }
}

/// One argument of bytes; a slice of numbers would be many arguments.
struct Bytes<'a>(&'a [u8]);

impl ToRedisArgs for Bytes<'_> {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        out.write_arg(self.0);
    }
}

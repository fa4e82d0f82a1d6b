//! Where books are kept. A store reads and writes rows; what they mean is decided by [`entries`](super::entries).

use std::collections::BTreeMap;
use std::future::Future;

use policy::ids::{ExchangeId, GrantId, HolderId};
use policy::quota::AccountId;
use policy::units::Timestamp;

use super::books::{Account, Attempt, AttemptKey, Books, Lease, Settled};
use super::codec::Unreadable;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The database failed.
    #[error("the ledger's database failed to {doing}")]
    Sql {
        doing: &'static str,
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("the ledger's schema could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Redis failed.
    #[error("redis failed to {doing}")]
    Redis {
        doing: &'static str,
        source: redis::RedisError,
    },
    /// A stored value does not say what it must.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Other writers were faster each time.
    #[error("the ledger was changed by others at each of {attempts} attempts")]
    Conflict { attempts: u32 },
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    Done,
    /// Another writer was faster: nothing was written, and what was read is stale.
    Conflict,
}

/// Result of reading or writing.
pub(crate) type Shelved<T> = Result<T, ShelfError>;

/// A store of books. One batch at a time: begin, read, commit or roll back. Nobody else changes what a batch reads
/// before it is committed, or else the commit conflicts.
pub(crate) trait Shelf: Send + 'static {
    fn begin(&mut self, now: Timestamp) -> impl Future<Output = Shelved<()>> + Send;

    fn leases(
        &mut self,
        ids: &[GrantId],
    ) -> impl Future<Output = Shelved<BTreeMap<GrantId, Lease>>> + Send;

    fn leases_of(
        &mut self,
        holders: &[HolderId],
    ) -> impl Future<Output = Shelved<BTreeMap<GrantId, Lease>>> + Send;

    /// Leases that expired at `now`, the oldest first.
    fn expired(
        &mut self,
        now: Timestamp,
        at_most: u32,
    ) -> impl Future<Output = Shelved<BTreeMap<GrantId, Lease>>> + Send;

    fn running(
        &mut self,
        exchanges: &[ExchangeId],
    ) -> impl Future<Output = Shelved<BTreeMap<AttemptKey, Attempt>>> + Send;

    fn running_of(
        &mut self,
        holders: &[HolderId],
    ) -> impl Future<Output = Shelved<BTreeMap<AttemptKey, Attempt>>> + Send;

    fn settled(
        &mut self,
        exchanges: &[ExchangeId],
    ) -> impl Future<Output = Shelved<BTreeMap<AttemptKey, Settled>>> + Send;

    /// Accounts with their buckets from a given one on, and bucket 0.
    fn accounts(
        &mut self,
        from: &BTreeMap<AccountId, u64>,
    ) -> impl Future<Output = Shelved<BTreeMap<AccountId, Account>>> + Send;

    /// Writes what changed, durably as far as the store is.
    fn commit(&mut self, books: &Books) -> impl Future<Output = Shelved<Committed>> + Send;

    /// Ends a batch that wrote nothing, whatever state the store is in.
    fn roll_back(&mut self) -> impl Future<Output = ()> + Send;

    /// Forgets what nobody needs: buckets after their time, settlements from before `settled_before`.
    fn forget(
        &mut self,
        now: Timestamp,
        settled_before: Timestamp,
    ) -> impl Future<Output = Shelved<()>> + Send;
}

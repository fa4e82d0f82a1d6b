//! The ledger of quotas: who may use how much, who has used how much, and what is leased to filters.
//!
//! ```text
//!  Ledger (handle) ──queue──▶ keeper task: batch ──▶ entries (pure) over books
//!                                           │
//!                                           └──▶ shelf: SQLite | PostgreSQL | Redis, one transaction a batch
//! ```
//!
//! Entries are decided by the same pure code whatever keeps the books. What was answered is as durable as the store:
//! an entry is answered after its batch was committed. Knows quotas and time zones; knows neither prices nor wires.

pub(crate) mod batch;
pub mod books;
pub(crate) mod codec;
pub mod entries;
pub mod ledgers;
pub mod notices;
pub mod opening;
pub(crate) mod redis;
pub mod shelf;
pub(crate) mod sql;
pub(crate) mod statements;
pub mod tally;
pub mod terms;
pub mod window;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use policy::ids::HolderId;
use policy::quota::AccountId;
use policy::quota::check::MAX_LIMIT;
use policy::quota::lease::{Ask, GrantAnswer, GrantRequest, Progress, Return, Settlement};
use policy::units::Timestamp;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{error, warn};

use self::batch::{Answer, Batch, Entry, Owners};
use self::entries::LeaseTimes;
use self::shelf::{Shelf, ShelfError};
use self::tally::{Tally, Units};
use self::window::WindowError;

pub use self::batch::{Alert, Figures};
pub use self::books::{Bucket, Used};
pub use self::codec::Unreadable;
pub use self::entries::Kept;
pub use self::tally::Counts;
pub use self::terms::Quotas;

/// Entries that may wait; more wait at the caller's.
const QUEUE: usize = 4_096;
/// Entries of one batch at most: a batch must not keep its callers waiting.
const BATCH: usize = 512;
/// How often leases are looked at that may have expired.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Batches of expired leases that are ended in one sweep.
const SWEEPS: u32 = 16;
/// How often old rows are forgotten, in sweeps.
const FORGET_EVERY: u32 = 30;
/// How often leases are counted, in sweeps, and how many at most.
const COUNT_EVERY: u32 = 5;
const COUNTED: u32 = 20_000;
/// For how long attempts may be reported, and reported again: three days.
const SETTLEMENTS_KEPT_MS: u64 = 3 * 86_400_000;
/// Accounts of one request at most.
const MAX_ASKS: usize = 64;
/// Alerts that wait for whoever sends them on.
const ALERTS: usize = 1_024;

/// Why the ledger did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store failed; nothing was changed, or all of it was and asking again is harmless.
    #[error("the ledger could not be read or written")]
    Store {
        #[source]
        source: Arc<ShelfError>,
    },
    /// A quota's window cannot be computed.
    #[error("a window cannot be computed")]
    Window {
        #[source]
        source: Arc<WindowError>,
    },
    /// The caller asks for what cannot be meant.
    #[error("{0}")]
    Invalid(&'static str),
    /// The service is shutting down.
    #[error("the ledger is closed")]
    Closed,
}

impl LedgerError {
    /// Whether the same call may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store { .. } | Self::Closed => true,
            Self::Window { .. } | Self::Invalid(_) => false,
        }
    }
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a ledger is kept.
#[derive(Clone)]
pub struct LedgerOptions {
    /// All quotas, as policy changes.
    pub quotas: watch::Receiver<Arc<Quotas>>,
    pub times: LeaseTimes,
    pub clock: Clock,
    /// Where thresholds are told; ledgers that are used as one share it.
    pub alerts: broadcast::Sender<Alert>,
}

impl fmt::Debug for LedgerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerOptions")
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

impl LedgerOptions {
    /// Keeps the ledger of `quotas` by the machine's clock.
    pub fn new(quotas: watch::Receiver<Arc<Quotas>>) -> Self {
        Self {
            quotas,
            times: LeaseTimes::default(),
            clock: Arc::new(crate::clock::now),
            alerts: broadcast::channel(ALERTS).0,
        }
    }
}

/// A ledger. Cheap to clone; all clones are one. It closes when the last is dropped, after what was asked is answered.
#[derive(Clone, Debug)]
pub struct Ledger {
    jobs: mpsc::Sender<Job>,
    alerts: broadcast::Sender<Alert>,
    tally: Tally,
}

#[derive(Debug)]
struct Job {
    entry: Entry,
    reply: oneshot::Sender<Result<Answer, LedgerError>>,
}

impl Ledger {
    /// Keeps the ledger in a file of its own.
    ///
    /// # Errors
    /// [`ShelfError`] when the file cannot be used.
    pub async fn sqlite(path: &Path, options: LedgerOptions) -> Result<Self, ShelfError> {
        Ok(Self::start(sql::SqliteShelf::open(path).await?, options))
    }

    /// Keeps the ledger in a PostgreSQL database, together with other replicas.
    ///
    /// # Errors
    /// [`ShelfError`] when the database cannot be used.
    pub async fn postgres(url: &str, options: LedgerOptions) -> Result<Self, ShelfError> {
        Ok(Self::start(sql::PostgresShelf::open(url).await?, options))
    }

    /// Keeps the ledger in Redis, together with other replicas; for what is forgotten after minutes anyway.
    ///
    /// # Errors
    /// [`ShelfError`] when Redis cannot be used.
    pub async fn redis(url: &str, options: LedgerOptions) -> Result<Self, ShelfError> {
        Ok(Self::start(redis::RedisShelf::open(url).await?, options))
    }

    pub(crate) fn start<S: Shelf>(shelf: S, options: LedgerOptions) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let alerts = options.alerts.clone();
        let tally = Tally::default();
        let keeper = Keeper {
            shelf,
            options,
            owners: Owners::default(),
            tally: tally.clone(),
        };
        tokio::spawn(keeper.keep(queue));
        Self {
            jobs,
            alerts,
            tally,
        }
    }

    /// Leases slices of all accounts that are asked for, or says why not. Asking again with the same grant is
    /// harmless. Who does not get the answer gives the grant back by its id.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing is known to be granted then.
    pub async fn grant(&self, request: GrantRequest) -> Result<GrantAnswer, LedgerError> {
        check_asks(&request.asks)?;
        match self.ask(Entry::Grant(request)).await? {
            Answer::Grant(answer) => Ok(answer),
            Answer::Progress(_)
            | Answer::Figures(_)
            | Answer::History(_)
            | Answer::Ended(_)
            | Answer::Done => Err(LedgerError::Closed),
        }
    }

    /// Charges what attempts used; each once, however often it is told.
    ///
    /// # Errors
    /// [`LedgerError`]; tell it again then.
    pub async fn settle(&self, mut settlements: Vec<Settlement>) -> Result<(), LedgerError> {
        // One absurd count must not keep the others from being charged.
        for charge in settlements.iter_mut().flat_map(|it| &mut it.charges) {
            charge.amount = charge.amount.min(MAX_LIMIT);
        }
        self.ask(Entry::Settle(settlements)).await.map(|_| ())
    }

    /// Keeps a holder's leases, and notes what runs.
    ///
    /// # Errors
    /// [`LedgerError`]; leases run on until they expire.
    pub async fn progress(&self, progress: Progress) -> Result<Kept, LedgerError> {
        match self.ask(Entry::Progress(progress)).await? {
            Answer::Progress(kept) => Ok(kept),
            Answer::Grant(_)
            | Answer::Figures(_)
            | Answer::History(_)
            | Answer::Ended(_)
            | Answer::Done => Err(LedgerError::Closed),
        }
    }

    /// Takes back what a holder does not need; more than there is, is all there is. Not to be repeated: the amount
    /// would be taken twice, and what was not taken back expires anyway.
    ///
    /// # Errors
    /// [`LedgerError`]; what was not taken back expires.
    pub async fn give_back(&self, back: Return) -> Result<(), LedgerError> {
        self.ask(Entry::Return(back)).await.map(|_| ())
    }

    /// Ends the leases of a holder that is known to be gone, as if they had expired.
    ///
    /// # Errors
    /// [`LedgerError`]; they expire then.
    pub async fn lost(&self, holder: HolderId) -> Result<u64, LedgerError> {
        self.ended(Entry::Lost(holder)).await
    }

    /// Ends leases that have expired; the keeper does that by itself every second.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn sweep(&self) -> Result<u64, LedgerError> {
        self.ended(Entry::Sweep).await
    }

    /// Clears what was spent of accounts in their present windows; returns what that was. The caller writes the audit
    /// event.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing was cleared then.
    pub async fn reset(&self, asks: Vec<Ask>) -> Result<Vec<Figures>, LedgerError> {
        self.figures(Entry::Reset(asks)).await
    }

    /// Returns how accounts stand.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn look(&self, asks: Vec<Ask>) -> Result<Vec<Figures>, LedgerError> {
        self.figures(Entry::Look(asks)).await
    }

    /// Returns what an account used in each of its windows that began since a moment, as far as they are kept: two
    /// years of calendar windows, the present parts of rolling ones.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn history(
        &self,
        account: AccountId,
        since: Timestamp,
    ) -> Result<Vec<(Timestamp, Bucket)>, LedgerError> {
        match self.ask(Entry::History(account, since)).await? {
            Answer::History(buckets) => Ok(buckets),
            Answer::Grant(_)
            | Answer::Progress(_)
            | Answer::Figures(_)
            | Answer::Ended(_)
            | Answer::Done => Err(LedgerError::Closed),
        }
    }

    /// Tells thresholds that are passed from now on.
    pub fn alerts(&self) -> broadcast::Receiver<Alert> {
        self.alerts.subscribe()
    }

    /// Returns what this process did, and what is leased.
    pub fn counts(&self) -> Counts {
        self.tally.counts()
    }

    async fn figures(&self, entry: Entry) -> Result<Vec<Figures>, LedgerError> {
        match self.ask(entry).await? {
            Answer::Figures(figures) => Ok(figures),
            Answer::Grant(_)
            | Answer::Progress(_)
            | Answer::History(_)
            | Answer::Ended(_)
            | Answer::Done => Err(LedgerError::Closed),
        }
    }

    async fn ended(&self, entry: Entry) -> Result<u64, LedgerError> {
        match self.ask(entry).await? {
            Answer::Ended(count) => Ok(count),
            Answer::Grant(_)
            | Answer::Progress(_)
            | Answer::Figures(_)
            | Answer::History(_)
            | Answer::Done => Err(LedgerError::Closed),
        }
    }

    async fn ask(&self, entry: Entry) -> Result<Answer, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let closed = |_| LedgerError::Closed;
        self.jobs
            .send(Job { entry, reply })
            .await
            .map_err(|_closed| LedgerError::Closed)?;
        answer.await.map_err(closed)?
    }
}

fn check_asks(asks: &[Ask]) -> Result<(), LedgerError> {
    if asks.len() > MAX_ASKS {
        return Err(LedgerError::Invalid(
            "a request is charged to at most 64 accounts",
        ));
    }
    let mut accounts: Vec<_> = asks.iter().map(|ask| ask.account).collect();
    accounts.sort_unstable();
    if accounts
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a == b))
    {
        return Err(LedgerError::Invalid("an account is asked for twice"));
    }
    if asks.iter().any(|ask| ask.need > MAX_LIMIT) {
        return Err(LedgerError::Invalid("more is asked for than any limit"));
    }
    Ok(())
}

/// The task that alone changes the books of this process.
struct Keeper<S> {
    shelf: S,
    options: LedgerOptions,
    owners: Owners,
    tally: Tally,
}

impl<S: Shelf> Keeper<S> {
    async fn keep(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut sweeps = tokio::time::interval(SWEEP_EVERY);
        sweeps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut swept: u32 = 0;
        // Whoever has leases could not keep them while the ledger was closed.
        let first_sweep = Instant::now() + Duration::from_millis(self.options.times.lease_ms);
        let mut jobs = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                // Under load the queue is never empty; expiry must not wait for it.
                biased;
                _ = sweeps.tick() => {
                    swept = swept.wrapping_add(1);
                    if Instant::now() >= first_sweep {
                        self.sweep(swept.is_multiple_of(FORGET_EVERY)).await;
                    }
                    if swept.is_multiple_of(COUNT_EVERY) {
                        self.count_leases().await;
                    }
                }
                received = queue.recv_many(&mut jobs, BATCH) => {
                    if received == 0 {
                        return;
                    }
                    self.decide(&mut jobs).await;
                }
            }
        }
    }

    async fn decide(&mut self, jobs: &mut Vec<Job>) {
        let (entries, replies): (Vec<_>, Vec<_>) =
            jobs.drain(..).map(|job| (job.entry, job.reply)).unzip();
        match self.batch(&entries).await {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    // Who asked may be gone; what was granted to them expires.
                    reply.send(answer).ok();
                }
            }
            Err(failure) => {
                let failure = Arc::new(failure);
                error!(failure = %crate::mesh::chain(&failure), "a batch of the ledger failed");
                for reply in replies {
                    let source = Arc::clone(&failure);
                    reply.send(Err(LedgerError::Store { source })).ok();
                }
            }
        }
    }

    async fn batch(
        &mut self,
        entries: &[Entry],
    ) -> Result<Vec<Result<Answer, LedgerError>>, ShelfError> {
        let quotas = self.options.quotas.borrow().clone();
        let batch = Batch {
            quotas: &quotas,
            now: (self.options.clock)(),
            times: self.options.times,
        };
        let began = Instant::now();
        let ran = batch::run(&mut self.shelf, &batch, &mut self.owners, entries).await;
        let outcome = ran.inspect_err(|_| self.tally.note_failure())?;
        let units = Units {
            owners: &self.owners,
            quotas: &quotas,
        };
        self.tally.note(entries, &outcome, &units, began.elapsed());
        for alert in outcome.alerts {
            // Nobody may be listening.
            self.options.alerts.send(alert).ok();
        }
        let answers = outcome.answers.into_iter().map(|answer| {
            answer.map_err(|source| LedgerError::Window {
                source: Arc::new(source),
            })
        });
        Ok(answers.collect())
    }

    /// Counts what is leased, for metrics.
    async fn count_leases(&mut self) {
        let now = (self.options.clock)();
        let leases = match self.shelf.begin(now).await {
            Ok(()) => self.shelf.expired(window::NEVER, COUNTED).await,
            Err(failure) => Err(failure),
        };
        self.shelf.roll_back().await;
        match leases {
            Ok(leases) => {
                let units = Units {
                    owners: &self.owners,
                    quotas: &self.options.quotas.borrow().clone(),
                };
                self.tally.note_leases(leases.values(), &units);
            }
            Err(failure) => {
                warn!(failure = %crate::mesh::chain(&failure), "leases were not counted");
            }
        }
    }

    async fn sweep(&mut self, forget: bool) {
        // As many times as there is something to end, so that a fleet that vanished is cleared within seconds.
        for _ in 0..SWEEPS {
            match self.batch(&[Entry::Sweep]).await.as_deref() {
                Ok([Ok(Answer::Ended(count))]) if *count > 0 => {}
                Ok(_) => break,
                Err(failure) => {
                    warn!(failure = %crate::mesh::chain(failure), "expired leases were not ended");
                    return;
                }
            }
        }
        if forget {
            let now = (self.options.clock)();
            let settled_before =
                Timestamp::from_millis(now.as_millis().saturating_sub(SETTLEMENTS_KEPT_MS));
            if let Err(failure) = self.shelf.forget(now, settled_before).await {
                warn!(failure = %crate::mesh::chain(&failure), "old rows were not forgotten");
                self.shelf.roll_back().await;
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! A ledger over any store, with a clock that tests move, and short words for what is asked of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use policy::ids::{ExchangeId, GrantId, HolderId, QuotaId};
use policy::quota::covering::Part;
use policy::quota::lease::*;
use policy::quota::{
    AccountId, CalendarWindow, Member, Period, Quota, QuotaNode, QuotaRules, QuotaWindow, Unit,
};
use policy::units::Timestamp;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::sync::watch;
use uuid::Uuid;

use crate::ledger::{Figures, Ledger, LedgerOptions, Quotas, Used};

/// 2026-11-21T12:00:00Z, a Saturday.
pub(super) const NOON: u64 = 1_795_262_400_000;

/// A store to be tested; each ledger has a fresh one.
#[derive(Debug)]
pub(super) struct Bench {
    store: Store,
    made: AtomicU64,
}

#[derive(Debug)]
enum Store {
    Sqlite(PathBuf),
    Postgres(String),
    Redis(String),
}

impl Bench {
    pub(super) fn sqlite(folder: &Path) -> Self {
        Self::of(Store::Sqlite(folder.to_path_buf()))
    }

    pub(super) fn postgres(url: &str) -> Self {
        Self::of(Store::Postgres(url.to_owned()))
    }

    pub(super) fn redis(url: &str) -> Self {
        Self::of(Store::Redis(url.to_owned()))
    }

    fn of(store: Store) -> Self {
        Self {
            store,
            made: AtomicU64::new(0),
        }
    }

    /// A ledger over a store without any entry.
    pub(super) async fn fresh(&self, quotas: impl IntoIterator<Item = Quota>) -> Desk {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let place = match &self.store {
            Store::Sqlite(folder) => folder.join(format!("{number}.db")).display().to_string(),
            Store::Postgres(url) => {
                let mut admin = sqlx::PgConnection::connect(url).await.unwrap();
                let create = AssertSqlSafe(format!("CREATE SCHEMA t{number}"));
                sqlx::raw_sql(create).execute(&mut admin).await.unwrap();
                format!("{url}?options[search_path]=t{number}")
            }
            Store::Redis(url) => {
                let client = redis::Client::open(url.as_str()).unwrap();
                let mut connection = client.get_multiplexed_async_connection().await.unwrap();
                redis::cmd("FLUSHALL")
                    .exec_async(&mut connection)
                    .await
                    .unwrap();
                url.clone()
            }
        };
        let clock = Arc::new(AtomicU64::new(NOON));
        let (quotas, seen) = watch::channel(Arc::new(Quotas::new(quotas)));
        let mut desk = Desk {
            ledger: None,
            place,
            clock,
            quotas,
            seen,
        };
        desk.ledger = Some(self.open(&desk).await);
        desk
    }

    /// One more ledger over the store of `desk`: another replica, or the same after a restart.
    pub(super) async fn open(&self, desk: &Desk) -> Ledger {
        let clock = Arc::clone(&desk.clock);
        let options = LedgerOptions {
            clock: Arc::new(move || Timestamp::from_millis(clock.load(Ordering::Relaxed))),
            ..LedgerOptions::new(desk.seen.clone())
        };
        match &self.store {
            Store::Sqlite(_) => Ledger::sqlite(Path::new(&desk.place), options).await,
            Store::Postgres(_) => Ledger::postgres(&desk.place, options).await,
            Store::Redis(_) => Ledger::redis(&desk.place, options).await,
        }
        .unwrap()
    }
}

/// A ledger and what steers it.
#[derive(Debug)]
pub(super) struct Desk {
    ledger: Option<Ledger>,
    place: String,
    clock: Arc<AtomicU64>,
    quotas: watch::Sender<Arc<Quotas>>,
    seen: watch::Receiver<Arc<Quotas>>,
}

impl Desk {
    pub(super) fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().unwrap()
    }

    pub(super) fn put(&mut self, ledger: Ledger) {
        self.ledger = Some(ledger);
    }

    pub(super) fn quotas(&self) -> watch::Receiver<Arc<Quotas>> {
        self.seen.clone()
    }

    pub(super) fn set(&self, quotas: impl IntoIterator<Item = Quota>) {
        self.quotas.send_replace(Arc::new(Quotas::new(quotas)));
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::Relaxed))
    }

    pub(super) fn go_to(&self, now: u64) {
        self.clock.store(now, Ordering::Relaxed);
    }

    pub(super) fn pass(&self, millis: u64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    pub(super) async fn grant(&self, id: u128, asks: Vec<Ask>) -> GrantAnswer {
        self.ledger().grant(request(id, asks)).await.unwrap()
    }

    /// Grants what is known to fit.
    #[track_caller]
    pub(super) fn granted(
        &self,
        id: u128,
        asks: Vec<Ask>,
    ) -> impl Future<Output = Granted> + use<'_> {
        let caller = std::panic::Location::caller();
        async move {
            match self.grant(id, asks).await {
                GrantAnswer::Granted(granted) => granted,
                GrantAnswer::Refused(refusal) => panic!("refused at {caller}: {refusal:?}"),
            }
        }
    }

    /// Is refused what is known not to fit.
    #[track_caller]
    pub(super) fn refused(
        &self,
        id: u128,
        asks: Vec<Ask>,
    ) -> impl Future<Output = Refusal> + use<'_> {
        let caller = std::panic::Location::caller();
        async move {
            match self.grant(id, asks).await {
                GrantAnswer::Granted(granted) => panic!("granted at {caller}: {granted:?}"),
                GrantAnswer::Refused(refusal) => refusal,
            }
        }
    }

    pub(super) async fn settle(&self, settlement: Settlement) {
        self.ledger().settle(vec![settlement]).await.unwrap();
    }

    pub(super) async fn used(&self, ask: Ask) -> Used {
        self.figures(ask).await.used
    }

    pub(super) async fn figures(&self, ask: Ask) -> Figures {
        self.ledger().look(vec![ask]).await.unwrap()[0]
    }

    /// Spends at once: a grant of exactly `amount`, and its settlement.
    pub(super) async fn spend(&self, id: u128, ask_for: Ask) {
        let amount = ask_for.need;
        let granted = self.granted(id, vec![ask_for]).await;
        let settlement = settlement(id, self.now(), &granted, amount);
        self.settle(settlement).await;
    }
}

pub(super) fn quota(number: u128, rules: QuotaRules) -> Quota {
    Quota {
        id: quota_id(number),
        name: format!("q{number}"),
        rules,
    }
}

pub(super) fn quota_id(number: u128) -> QuotaId {
    QuotaId::new(Uuid::from_u128(number))
}

pub(super) fn account(number: u128) -> AccountId {
    AccountId::of(quota_id(number), &Member::Everyone)
}

pub(super) fn grant_id(number: u128) -> GrantId {
    GrantId::new(Uuid::from_u128(number))
}

pub(super) fn exchange_id(number: u128) -> ExchangeId {
    ExchangeId::new(Uuid::from_u128(number))
}

pub(super) fn holder() -> HolderId {
    HolderId::new(Uuid::from_u128(0xe))
}

pub(super) fn calendar(every: Period, zone: &str) -> Option<QuotaWindow> {
    Some(QuotaWindow::Calendar(CalendarWindow {
        every,
        zone: zone.to_owned(),
        first_month: 1,
    }))
}

pub(super) fn rolling(duration_ms: u64) -> Option<QuotaWindow> {
    Some(QuotaWindow::Rolling { duration_ms })
}

/// A hard limit on tokens of the organisation, by day.
pub(super) fn daily(limit: u64) -> QuotaRules {
    QuotaRules::new(
        QuotaNode::Organisation,
        Unit::TotalTokens,
        limit,
        calendar(Period::Day, "UTC"),
    )
}

/// Asks for exactly `need` of the whole of a quota.
pub(super) fn ask(quota: u128, need: u64) -> Ask {
    asks_up_to(quota, need, need)
}

pub(super) fn asks_up_to(quota: u128, need: u64, want: u64) -> Ask {
    Ask {
        quota: quota_id(quota),
        part: Part::Limit,
        account: account(quota),
        need,
        want,
    }
}

/// The request of exchange `id`, under a grant of the same number.
pub(super) fn request(id: u128, asks: Vec<Ask>) -> GrantRequest {
    GrantRequest {
        grant: grant_id(id),
        holder: holder(),
        exchange: exchange_id(id),
        asks,
    }
}

/// Settles `amount` on each slice of a grant that was made for exchange `id`.
pub(super) fn settlement(
    id: u128,
    admitted: Timestamp,
    granted: &Granted,
    amount: u64,
) -> Settlement {
    let taken = |slice: &Slice| Taken {
        grant: granted.grant,
        account: slice.account,
        amount: slice.amount,
    };
    Settlement {
        exchange: exchange_id(id),
        attempt: 1,
        admitted,
        sureness: Sureness::Exact,
        charges: granted
            .slices
            .iter()
            .map(|slice| charge(slice, amount))
            .collect(),
        taken: granted.slices.iter().map(taken).collect(),
        closes: true,
    }
}

pub(super) fn charge(slice: &Slice, amount: u64) -> Charge {
    Charge {
        account: slice.account,
        window: slice.window,
        amount,
        debt: 0,
    }
}

pub(super) fn used(spent: u64, held: u64) -> Used {
    Used {
        spent,
        held,
        debt: 0,
    }
}

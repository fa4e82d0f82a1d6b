//! How many grants a second the ledger answers, and how fast, on one of its stores.
//!
//! `cargo bench -p weir --bench ledger -- sqlite postgres redis`: as many as it can, from 64 callers.
//! `cargo bench -p weir --bench ledger -- paced`: at a rate that is offered.
//! `cargo bench -p weir --bench ledger -- many`: what 100,000 quotas cost.
//!
//! Each grant leases slices of five accounts, the same five for all: the hottest rows there can be. Each is settled,
//! as in service. The load comes from the same process, and the servers run on the same cores.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench measures time and ends by a panic when something fails"
)]

mod many;
mod paced;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use policy::ids::{ExchangeId, GrantId, HolderId, QuotaId};
use policy::quota::covering::Part;
use policy::quota::lease::{
    Ask, Charge, GrantAnswer, GrantRequest, Granted, Settlement, Sureness, Taken,
};
use policy::quota::{
    AccountId, CalendarWindow, Member, Period, Quota, QuotaNode, QuotaRules, QuotaWindow, Unit,
};
use policy::units::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;
use weir::ledger::{Ledger, LedgerOptions, Quotas};
use weir_databases::Server;

const LEVELS: u128 = 5;
const CALLERS: u64 = 64;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(5);
const LIMIT: u64 = 1_000_000_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Grants,
    GrantsAndSettlements,
}

fn quotas(is_hot: bool) -> Arc<Quotas> {
    let month = QuotaWindow::Calendar(CalendarWindow {
        every: Period::Month,
        zone: "Europe/Berlin".to_owned(),
        first_month: 1,
    });
    let (unit, window) = if is_hot {
        let duration_ms = 60_000;
        (Unit::TotalTokens, QuotaWindow::Rolling { duration_ms })
    } else {
        (Unit::MicroUsd, month)
    };
    let quota = |number| Quota {
        id: QuotaId::new(Uuid::from_u128(number)),
        name: format!("level-{number}"),
        rules: QuotaRules::new(QuotaNode::Organisation, unit, LIMIT, Some(window.clone())),
    };
    Arc::new(Quotas::new((1..=LEVELS).map(quota)))
}

fn asks() -> Vec<Ask> {
    let ask = |number| {
        let quota = QuotaId::new(Uuid::from_u128(number));
        Ask {
            quota,
            part: Part::Limit,
            account: AccountId::of(quota, &Member::Everyone),
            need: 100,
            want: 1_000,
        }
    };
    (1..=LEVELS).map(ask).collect()
}

fn settlement(request: &GrantRequest, granted: &Granted) -> Settlement {
    let charge = |slice: &policy::quota::lease::Slice| Charge {
        account: slice.account,
        window: slice.window,
        amount: 70,
        debt: 0,
    };
    let taken = |slice: &policy::quota::lease::Slice| Taken {
        grant: granted.grant,
        account: slice.account,
        amount: slice.amount,
    };
    Settlement {
        exchange: request.exchange,
        attempt: 1,
        admitted: Timestamp::from_millis(granted.expires.as_millis() - 15_000),
        sureness: Sureness::Exact,
        charges: granted.slices.iter().map(charge).collect(),
        taken: granted.slices.iter().map(taken).collect(),
        closes: true,
    }
}

/// Asks for one grant; returns it with what it was asked for.
async fn ask_one(ledger: &Ledger, ids: &AtomicU64) -> (GrantRequest, Granted) {
    let id = Uuid::from_u128(u128::from(ids.fetch_add(1, Ordering::Relaxed)) | 1 << 100);
    let request = GrantRequest {
        grant: GrantId::new(id),
        holder: HolderId::new(Uuid::from_u128(1)),
        exchange: ExchangeId::new(id),
        asks: asks(),
    };
    match ledger.grant(request.clone()).await.unwrap() {
        GrantAnswer::Granted(granted) => (request, granted),
        GrantAnswer::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

/// Asks for one grant and settles it in the background.
async fn ask_and_settle(ledger: &Ledger, ids: &AtomicU64) {
    let (request, granted) = ask_one(ledger, ids).await;
    let ledger = ledger.clone();
    SETTLING.fetch_add(1, Ordering::SeqCst);
    tokio::spawn(async move {
        let settlements = vec![settlement(&request, &granted)];
        ledger.settle(settlements).await.unwrap();
        SETTLING.fetch_sub(1, Ordering::SeqCst);
    });
}

/// Settlements that are not answered yet.
static SETTLING: AtomicU64 = AtomicU64::new(0);

/// Fails a fast ledger that lost something.
async fn sums_are_right(ledger: &Ledger, granted: u64, each: u64) {
    while SETTLING.load(Ordering::SeqCst) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for account in ledger.look(asks()).await.unwrap() {
        let used = account.used;
        assert_eq!(used.spent + used.held, granted * each, "{account:?}");
    }
}

/// One caller after another asks again as soon as it is answered; returns how long each grant took, once warm.
async fn call(ledger: Ledger, load: Load, ids: Arc<AtomicU64>) -> Vec<Duration> {
    let begun = Instant::now();
    let mut took = Vec::new();
    while begun.elapsed() < WARM_UP + MEASURED {
        let asked = Instant::now();
        let (request, granted) = ask_one(&ledger, &ids).await;
        if begun.elapsed() > WARM_UP {
            took.push(asked.elapsed());
        }
        if load == Load::GrantsAndSettlements {
            ledger
                .settle(vec![settlement(&request, &granted)])
                .await
                .unwrap();
        }
    }
    took
}

async fn measure(name: &str, load: Load, ledger: Ledger) {
    let ids = Arc::new(AtomicU64::new(1));
    let callers = (0..CALLERS).map(|_| tokio::spawn(call(ledger.clone(), load, Arc::clone(&ids))));
    let mut took = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        took.extend(caller.await.unwrap());
    }
    let each = match load {
        Load::Grants => 1_000,
        Load::GrantsAndSettlements => 70,
    };
    sums_are_right(&ledger, ids.load(Ordering::Relaxed) - 1, each).await;
    print(name, &format!("{load:?}"), took);
}

fn print(name: &str, load: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 1_000).min(took.len() - 1)].as_micros();
    let rate = took.len() as u64 / MEASURED.as_secs();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| {name} | {load} | {rate} | {} | {:.1} | {:.1} | {:.1} |",
        rate * u64::try_from(LEVELS).unwrap(),
        at(500) as f64 / 1_000.0,
        at(990) as f64 / 1_000.0,
        at(999) as f64 / 1_000.0,
    )
    .unwrap();
}

fn options(is_hot: bool) -> LedgerOptions {
    LedgerOptions::new(watch::channel(quotas(is_hot)).1)
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with('-'))
        .collect();
    let has = |name: &str| asked.iter().any(|it| it == name);
    let wants = |name: &str| asked.is_empty() || has(name);
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let header = "| store | load | grants/s | slices/s | p50 ms | p99 ms | p99.9 ms |\n|---|---|---|---|---|---|---|";
    let mut out = std::io::stdout().lock();
    writeln!(out, "{header}").unwrap();
    drop(out);
    if has("many") {
        many::measure(folder.path()).await;
        return;
    }
    if has("paced") {
        pace(folder.path()).await;
        return;
    }
    let loads = [Load::Grants, Load::GrantsAndSettlements];
    if wants("sqlite") {
        for load in loads {
            let path = folder.path().join(format!("{load:?}.db"));
            measure(
                "SQLite",
                load,
                Ledger::sqlite(&path, options(false)).await.unwrap(),
            )
            .await;
        }
    }
    if wants("postgres") {
        for load in loads {
            let server = Server::postgres(&folder.path().join(format!("{load:?}"))).unwrap();
            let ledger = Ledger::postgres(server.url(), options(false))
                .await
                .unwrap();
            measure("PostgreSQL", load, ledger).await;
        }
    }
    if wants("redis") {
        for load in loads {
            let server = Server::redis(&folder.path().join(format!("redis-{load:?}"))).unwrap();
            let ledger = Ledger::redis(server.url(), options(true)).await.unwrap();
            measure("Redis", load, ledger).await;
        }
    }
}

/// The target is 5,000 slices a second in a database, which are 1,000 grants of five, and 20,000 in Redis.
async fn pace(folder: &Path) {
    for rate in [1_000, 2_000, 5_000] {
        let path = folder.join(format!("paced-{rate}.db"));
        let ledger = Ledger::sqlite(&path, options(false)).await.unwrap();
        paced::measure("SQLite", rate, ledger).await;
    }
    for rate in [1_000, 2_000] {
        let server = Server::postgres(&folder.join(format!("paced-{rate}"))).unwrap();
        let ledger = Ledger::postgres(server.url(), options(false))
            .await
            .unwrap();
        paced::measure("PostgreSQL", rate, ledger).await;
    }
    for rate in [1_000, 4_000] {
        let server = Server::redis(&folder.join(format!("paced-redis-{rate}"))).unwrap();
        let ledger = Ledger::redis(server.url(), options(true)).await.unwrap();
        paced::measure("Redis", rate, ledger).await;
    }
}

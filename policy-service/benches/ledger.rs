//! How many grants a second the ledger answers, and how fast, on one of its stores.
//!
//! `cargo bench -p weir --bench ledger -- sqlite postgres redis`
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

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
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

/// One caller after another asks again as soon as it is answered; returns how long each grant took, once warm.
async fn call(ledger: Ledger, load: Load, ids: Arc<AtomicU64>) -> Vec<Duration> {
    let begun = Instant::now();
    let mut took = Vec::new();
    while begun.elapsed() < WARM_UP + MEASURED {
        let id = Uuid::from_u128(u128::from(ids.fetch_add(1, Ordering::Relaxed)) | 1 << 100);
        let request = GrantRequest {
            grant: GrantId::new(id),
            holder: HolderId::new(Uuid::from_u128(1)),
            exchange: ExchangeId::new(id),
            asks: asks(),
        };
        let asked = Instant::now();
        let answer = ledger.grant(request.clone()).await.unwrap();
        let GrantAnswer::Granted(granted) = answer else {
            panic!("refused: {answer:?}");
        };
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
    // A fast ledger that lost something fails.
    let figures = ledger.look(asks()).await.unwrap();
    let granted = ids.load(Ordering::Relaxed) - 1;
    for account in figures {
        let used = account.used;
        let want = match load {
            Load::Grants => granted * 1_000,
            Load::GrantsAndSettlements => granted * 70,
        };
        assert_eq!(used.spent + used.held, want, "{account:?}");
    }
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 1_000).min(took.len() - 1)].as_micros();
    let rate = took.len() as u64 / MEASURED.as_secs();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| {name} | {load:?} | {rate} | {} | {:.1} | {:.1} | {:.1} |",
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
    let wants = |name: &str| asked.is_empty() || asked.iter().any(|it| it == name);
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let header = "| store | load | grants/s | slices/s | p50 ms | p99 ms | p99.9 ms |\n|---|---|---|---|---|---|---|";
    let mut out = std::io::stdout().lock();
    writeln!(out, "{header}").unwrap();
    drop(out);
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

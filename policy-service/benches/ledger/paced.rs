//! A ledger at a rate that somebody else sets: grants come when they come, whether or not the ones before are
//! answered. What a grant took counts from when it was due, so that a slow moment is not left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use weir::ledger::Ledger;

use super::{MEASURED, WARM_UP, ask_and_settle, print, sums_are_right};

/// Offers `rate` grants a second, each settled, and prints how long the grants took.
pub(crate) async fn measure(name: &str, rate: u64, ledger: Ledger) {
    let ids = Arc::new(AtomicU64::new(1));
    let (took, mut measured) = mpsc::unbounded_channel();
    let begun = Instant::now();
    let total = rate * (WARM_UP + MEASURED).as_secs();
    let mut pulse = tokio::time::interval(Duration::from_millis(1));
    let mut offered = 0;
    while offered < total {
        pulse.tick().await;
        let due = u64::try_from(begun.elapsed().as_micros()).unwrap() * rate / 1_000_000;
        while offered < due.min(total) {
            let at = begun + Duration::from_micros(offered * 1_000_000 / rate);
            offered += 1;
            let (ledger, ids, took) = (ledger.clone(), Arc::clone(&ids), took.clone());
            tokio::spawn(async move {
                ask_and_settle(&ledger, &ids).await;
                if at > begun + WARM_UP {
                    took.send(at.elapsed()).unwrap();
                }
            });
        }
    }
    drop(took);
    let mut all = Vec::new();
    while let Some(one) = measured.recv().await {
        all.push(one);
    }
    let done = begun.elapsed();
    sums_are_right(&ledger, ids.load(Ordering::Relaxed) - 1, 70).await;
    let late = done.saturating_sub(WARM_UP + MEASURED).as_millis();
    print(
        name,
        &format!("{rate}/s offered, {late} ms late at the end"),
        all,
    );
}

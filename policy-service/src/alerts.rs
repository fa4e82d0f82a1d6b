//! Alerts of the ledger: each becomes an event in the store, and is posted to the webhook if one is set.
//!
//! ```text
//! ledger ──alert──▶ recorded (events) ──due──▶ delivered (webhook), again later if that failed
//! ```
//!
//! Recording waits for nothing but the store, so alerts never wait for a webhook. What waits for delivery stands in
//! the store: it outlives a restart, and replicas on one store take turns.

mod webhook;

use std::time::Duration;

use policy::units::Timestamp;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::clock;
use crate::ledger::Alert;
use crate::ledger::opening::Opened;
use crate::store::events::{self, Event, StoredEvent};
use crate::store::settings;
use crate::store::{Store, StoreError};

pub(crate) use webhook::{MAX_SECRET_BYTES, MIN_SECRET_BYTES, key_of};

/// The kind of event that an alert becomes.
const THRESHOLD: &str = "quota.threshold";
/// How long after a failed try the next one follows; after the last the event is given up.
const PAUSES: [Duration; 9] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(5 * 60 * 60),
    Duration::from_secs(10 * 60 * 60),
    Duration::from_secs(24 * 60 * 60),
];
/// For how long an event is one deliverer's; longer than a try takes.
const TAKEN_FOR: Duration = Duration::from_secs(60);
/// How often events are looked for that another replica left behind.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Records alerts and delivers them until `stop` is true.
pub(crate) async fn run(store: Store, ledger: Opened, mut stop: watch::Receiver<bool>) {
    let (nudge, nudged) = watch::channel(());
    let recording = record(&store, ledger.alerts.subscribe(), &ledger, &nudge);
    let delivering = deliver(&store, nudged);
    tokio::select! {
        () = recording => {}
        () = delivering => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn record(
    store: &Store,
    mut alerts: broadcast::Receiver<Alert>,
    ledger: &Opened,
    nudge: &watch::Sender<()>,
) {
    loop {
        let alert = match alerts.recv().await {
            Ok(alert) => alert,
            Err(RecvError::Lagged(missed)) => {
                error!(missed, "alerts of quotas came faster than they were stored");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let event = event(&alert, ledger);
        info!(quota = %alert.quota, percent = alert.percent, "a quota passed a threshold");
        match append(store, &event).await {
            Ok(()) => {
                nudge.send_replace(());
            }
            Err(failure) => {
                let failure = crate::mesh::chain(&failure);
                error!(%failure, quota = %alert.quota, percent = alert.percent, "an alert was not stored");
            }
        }
    }
}

async fn append(store: &Store, event: &Event) -> Result<(), StoreError> {
    let mut change = store.change().await?;
    events::append(change.connection(), event).await?;
    change.commit(&[], crate::store::Effect::Nothing).await?;
    Ok(())
}

fn event(alert: &Alert, ledger: &Opened) -> Event {
    let quotas = ledger.quotas.borrow();
    let quota = quotas.get(alert.quota);
    Event {
        id: Uuid::now_v7(),
        at: clock::now(),
        kind: THRESHOLD.to_owned(),
        subject: Some(alert.quota.uuid()),
        data: json!({
            "quota_id": alert.quota,
            "quota": quota.map(|quota| quota.name.as_str()),
            "level": quota.map(|quota| quota.rules.node.level().name()),
            "unit": quota.map(|quota| quota.rules.unit),
            "account_id": alert.account.to_string(),
            "percent": alert.percent,
            "spent": alert.spent,
            "limit": alert.limit,
            // A rolling window has no beginning.
            "window_start_ms": (alert.window.start_ms > 0).then_some(alert.window.start_ms),
        }),
        delivery: String::new(),
        tries: 0,
    }
}

async fn deliver(store: &Store, mut nudged: watch::Receiver<()>) {
    loop {
        nudged.mark_unchanged();
        let pause = match deliver_due(store).await {
            Ok(pause) => pause,
            Err(failure) => {
                let failure = crate::mesh::chain(&failure);
                error!(%failure, "events are not read or written, and so not delivered");
                LOOK_EVERY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = nudged.changed() => if changed.is_err() { return },
        }
    }
}

/// Delivers what is due; returns when to look again.
async fn deliver_due(store: &Store) -> Result<Duration, StoreError> {
    loop {
        let now = clock::now();
        let due = events::next_due(&mut *store.read().await?).await?;
        let wait = due.map(|due| Duration::from_millis(due.millis_since(now)));
        match wait {
            Some(Duration::ZERO) => {}
            Some(wait) => return Ok(wait.min(LOOK_EVERY)),
            None => return Ok(LOOK_EVERY),
        }
        let mut change = store.change().await?;
        let until = after(now, TAKEN_FOR);
        let taken = events::take_due(change.connection(), now, until).await?;
        change.commit(&[], crate::store::Effect::Nothing).await?;
        if let Some(taken) = taken {
            deliver_one(store, &taken).await?;
        }
    }
}

async fn deliver_one(store: &Store, stored: &StoredEvent) -> Result<(), StoreError> {
    let mut reading = store.read().await?;
    let webhook = events::webhook(&mut reading, store.master_key()).await?;
    let addresses = settings::get(&mut reading).await?.outbound_addresses;
    drop(reading);
    let tried = match &webhook {
        Some(webhook) => webhook::post(webhook, &stored.event, clock::now(), addresses).await,
        // It was taken away since.
        None => return note(store, stored, "none", Timestamp::default()).await,
    };
    let id = stored.event.id;
    let Err(failure) = tried else {
        debug!(%id, "an event was delivered");
        return note(store, stored, "delivered", Timestamp::default()).await;
    };
    let failure = crate::mesh::chain(&failure);
    let pause = usize::try_from(stored.event.tries.saturating_sub(1))
        .ok()
        .and_then(|tried| PAUSES.get(tried));
    match pause {
        Some(pause) => {
            warn!(%id, tries = stored.event.tries, %failure, "an event was not delivered and will be tried again");
            note(store, stored, "pending", after(clock::now(), *pause)).await
        }
        None => {
            error!(%id, tries = stored.event.tries, %failure, "an event was not delivered and is given up");
            note(store, stored, "failed", Timestamp::default()).await
        }
    }
}

async fn note(
    store: &Store,
    stored: &StoredEvent,
    delivery: &str,
    next_try: Timestamp,
) -> Result<(), StoreError> {
    let mut change = store.change().await?;
    events::note_delivery(change.connection(), stored.seq, delivery, next_try).await?;
    change.commit(&[], crate::store::Effect::Nothing).await?;
    Ok(())
}

fn after(now: Timestamp, pause: Duration) -> Timestamp {
    let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_add(pause))
}

#[cfg(test)]
mod tests;

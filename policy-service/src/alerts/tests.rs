//! Alerts, from the ledger to a receiver on loopback.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use policy::ids::{ExchangeId, GrantId, HolderId, QuotaId};
use policy::quota::covering::Part;
use policy::quota::lease::{Ask, Charge, GrantAnswer, GrantRequest, Settlement, Sureness, Taken};
use policy::quota::{
    AccountId, CalendarWindow, Member, Period, Quota, QuotaNode, QuotaRules, QuotaWindow, Unit,
};
use policy::secret::Secret;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::ledger::Quotas;
use crate::ledger::opening::Places;
use crate::operations::fields::{AlertWebhookFields, SettingsFields};
use crate::operations::{Caller, OperationError, settings};
use crate::store::MasterKey;
use crate::store::events::EventFilter;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

type Post = (HeaderMap, String);

/// Takes posts; answers 500 to the first `failing`.
async fn receiver(failing: usize) -> (String, mpsc::Receiver<Post>) {
    let (sender, posts) = mpsc::channel(16);
    let left = Arc::new(std::sync::atomic::AtomicUsize::new(failing));
    let take = move |State(sender): State<mpsc::Sender<Post>>, headers: HeaderMap, body: String| {
        let left = Arc::clone(&left);
        async move {
            use std::sync::atomic::Ordering::SeqCst;
            sender.send((headers, body)).await.unwrap();
            match left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => StatusCode::INTERNAL_SERVER_ERROR,
                Err(_) => StatusCode::NO_CONTENT,
            }
        }
    };
    let app = Router::new().route("/hook", post(take)).with_state(sender);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, posts)
}

/// A store and a ledger of one quota that tells three thresholds.
struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    stop: watch::Sender<bool>,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let master_key = MasterKey::from_bytes([1; 32]);
        let path = folder.path().join("weir.db");
        Self {
            store: Store::open(&path, &master_key).await.unwrap(),
            folder,
            stop: watch::Sender::new(false),
        }
    }

    /// Opens the ledger, and tells its alerts on.
    async fn open(&self) -> Opened {
        let places = Places::file(self.folder.path().join("ledger.db"));
        let opened = Opened::open(&places).await.unwrap();
        opened.quotas.send_replace(Arc::new(Quotas::new([quota()])));
        let running = run(self.store.clone(), opened.clone(), self.stop.subscribe());
        tokio::spawn(running);
        while opened.alerts.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        opened
    }

    async fn set(&self, webhook: Option<AlertWebhookFields>) -> Result<(), OperationError> {
        let fields = SettingsFields {
            alert_webhook: Some(webhook),
            ..SettingsFields::default()
        };
        let caller = Caller::system("test");
        settings::update(&self.store, &caller, fields)
            .await
            .map(drop)
    }

    async fn events(&self) -> Vec<Event> {
        let mut reading = self.store.read().await.unwrap();
        let filter = EventFilter::default();
        let events = events::list(&mut reading, &filter, 100).await;
        events.unwrap().into_iter().map(|it| it.event).collect()
    }

    /// Waits until `is_so` holds of the events, newest first.
    async fn until(&self, is_so: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        loop {
            let events = self.events().await;
            if is_so(&events) {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn quota() -> Quota {
    let daily = QuotaWindow::Calendar(CalendarWindow {
        every: Period::Year,
        zone: String::from("UTC"),
        first_month: 1,
    });
    let mut rules = QuotaRules::new(QuotaNode::Organisation, Unit::TotalTokens, 100, Some(daily));
    rules.alerts = vec![50, 80, 100];
    Quota {
        id: QuotaId::new(Uuid::from_u128(7)),
        name: String::from("everybody"),
        rules,
    }
}

async fn spend(ledger: &Opened, number: u128, amount: u64) {
    let account = AccountId::of(quota().id, &Member::Everyone);
    let ask = Ask {
        quota: quota().id,
        part: Part::Limit,
        account,
        need: amount,
        want: amount,
    };
    let request = GrantRequest {
        grant: GrantId::new(Uuid::from_u128(number)),
        holder: HolderId::new(Uuid::from_u128(1)),
        exchange: ExchangeId::new(Uuid::from_u128(number)),
        asks: vec![ask],
    };
    let answer = ledger.ledgers.grant(request).await.unwrap();
    let GrantAnswer::Granted(granted) = answer else {
        panic!("{answer:?}");
    };
    let settlement = Settlement {
        exchange: ExchangeId::new(Uuid::from_u128(number)),
        attempt: 1,
        admitted: clock::now(),
        sureness: Sureness::Exact,
        charges: vec![Charge {
            account,
            window: granted.slices[0].window,
            amount,
            debt: 0,
        }],
        taken: vec![Taken {
            grant: granted.grant,
            account,
            amount,
        }],
        closes: true,
    };
    ledger.ledgers.settle(vec![settlement]).await.unwrap();
}

fn webhook(url: &str) -> Option<AlertWebhookFields> {
    Some(AlertWebhookFields {
        url: Some(url.to_owned()),
        secret: Some(Secret::new(SECRET)),
    })
}

fn percents(events: &[Event]) -> Vec<u64> {
    let mut percents: Vec<_> = events
        .iter()
        .map(|event| event.data["percent"].as_u64().unwrap())
        .collect();
    percents.sort_unstable();
    percents
}

#[tokio::test]
async fn a_threshold_is_told_once_also_after_a_restart() {
    let bench = Bench::new().await;
    let ledger = bench.open().await;
    spend(&ledger, 1, 60).await;
    let events = bench.until(|events| events.len() == 1).await;
    assert_eq!(events[0].kind, "quota.threshold");
    assert_eq!(events[0].delivery, "none");
    assert_eq!(events[0].data["quota"], "everybody");
    assert_eq!(events[0].data["spent"], 60);
    assert_eq!(events[0].data["limit"], 100);
    bench.stop.send_replace(true);
    drop(ledger);
    let bench = Bench {
        stop: watch::Sender::new(false),
        ..bench
    };
    let ledger = bench.open().await;
    spend(&ledger, 2, 5).await;
    spend(&ledger, 3, 35).await;
    let events = bench.until(|events| events.len() >= 3).await;
    assert_eq!(percents(&events), [50, 80, 100]);
}

#[tokio::test]
async fn an_alert_is_posted_with_a_signature_until_it_is_taken() {
    let bench = Bench::new().await;
    let (url, mut posts) = receiver(1).await;
    bench.set(webhook(&url)).await.unwrap();
    let ledger = bench.open().await;
    spend(&ledger, 1, 55).await;
    let (first, body) = posts.recv().await.unwrap();
    let (second, again) = posts.recv().await.unwrap();
    assert_eq!(body, again);
    assert_eq!(first["webhook-id"], second["webhook-id"]);
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["type"], "quota.threshold");
    assert_eq!(told["data"]["percent"], 50);
    assert_eq!(told["data"]["quota"], "everybody");
    let key = key_of(SECRET).unwrap();
    for headers in [&first, &second] {
        let [id, at] =
            ["webhook-id", "webhook-timestamp"].map(|name| headers[name].to_str().unwrap());
        let want = webhook::signature(&key, id, at, &body).unwrap();
        assert_eq!(headers["webhook-signature"], want);
    }
    let events = bench.until(|events| events[0].delivery != "pending").await;
    assert_eq!(events[0].delivery, "delivered");
    assert_eq!(events[0].tries, 2);
}

#[tokio::test]
async fn a_webhook_that_cannot_be_meant_is_refused() {
    let bench = Bench::new().await;
    let wrong = |url: &str, secret: &str| {
        Some(AlertWebhookFields {
            url: Some(url.to_owned()),
            secret: Some(Secret::new(secret)),
        })
    };
    for (fields, path) in [
        (wrong("ftp://host/", SECRET), "alert_webhook.url"),
        (wrong("host", SECRET), "alert_webhook.url"),
        (wrong("http://u:hunter2@host/", SECRET), "alert_webhook.url"),
        (wrong("http://hunter2@host/", SECRET), "alert_webhook.url"),
        (
            wrong("http://169.254.169.254/hunter2", SECRET),
            "alert_webhook.url",
        ),
        (wrong("http://2852039166/", SECRET), "alert_webhook.url"),
        (wrong("http://0xa9fea9fe/", SECRET), "alert_webhook.url"),
        (
            wrong("http://0251.0376.0251.0376/", SECRET),
            "alert_webhook.url",
        ),
        (wrong("http://169.254.43518/", SECRET), "alert_webhook.url"),
        (
            wrong("http://169.254.169.254./", SECRET),
            "alert_webhook.url",
        ),
        (
            wrong("http://１６９.254.169.254/", SECRET),
            "alert_webhook.url",
        ),
        (wrong("http://[fe80::1]/", SECRET), "alert_webhook.url"),
        (
            wrong("http://[::ffff:169.254.169.254]/", SECRET),
            "alert_webhook.url",
        ),
        (
            wrong("http://[64:ff9b::a9fe:a9fe]/", SECRET),
            "alert_webhook.url",
        ),
        (wrong("http://0.0.0.0/", SECRET), "alert_webhook.url"),
        (wrong("http://[::]/", SECRET), "alert_webhook.url"),
        (wrong("http://224.0.0.1/", SECRET), "alert_webhook.url"),
        (
            wrong("http://255.255.255.255/", SECRET),
            "alert_webhook.url",
        ),
        (wrong("https://host/", "short"), "alert_webhook.secret"),
        (Some(AlertWebhookFields::default()), "alert_webhook.url"),
    ] {
        let refused = bench.set(fields).await.unwrap_err();
        let OperationError::Invalid { problems } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(problems[0].path, path);
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
    }
    bench.set(webhook("https://host/")).await.unwrap();
    let only_url = AlertWebhookFields {
        url: Some(String::from("https://other/")),
        secret: None,
    };
    bench.set(Some(only_url)).await.unwrap();
    let mut reading = bench.store.read().await.unwrap();
    let kept = events::webhook(&mut reading, bench.store.master_key()).await;
    let kept = kept.unwrap().unwrap();
    assert_eq!(
        (kept.url.as_str(), kept.secret.expose()),
        ("https://other/", SECRET)
    );
    drop(reading);
    bench.set(None).await.unwrap();
    let mut reading = bench.store.read().await.unwrap();
    let none = events::webhook(&mut reading, bench.store.master_key()).await;
    assert!(none.unwrap().is_none());
}

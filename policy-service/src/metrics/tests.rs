use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use policy::ids::{ExchangeId, GrantId, HolderId, QuotaId};
use policy::quota::covering::Part;
use policy::quota::lease::{Ask, GrantRequest};
use policy::quota::{AccountId, Member, Quota, QuotaNode, QuotaRules};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::ledger::Quotas;
use crate::ledger::opening::{Opened, Places};
use crate::mesh::{self, Control};
use crate::operations;
use crate::readiness;
use crate::store::MasterKey;

const GUIDE: &str = include_str!("../../../docs/api.md");

/// A service with a ledger of one quota: 10 requests at a time.
struct Service {
    store: Store,
    readiness: Readiness,
    ledger: Opened,
    _folder: TempDir,
}

async fn service() -> Service {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.db");
    let store = Store::open(&path, &MasterKey::from_bytes([1; 32]))
        .await
        .unwrap();
    let places = Places::file(folder.path().join("ledger.db"));
    let ledger = Opened::open(&places).await.unwrap();
    let rules = QuotaRules::new(QuotaNode::Organisation, Unit::Concurrent, 10, None);
    let quota = Quota {
        id: quota_id(),
        name: String::from("all"),
        rules,
    };
    ledger.quotas.send_replace(Arc::new(Quotas::new([quota])));
    let options = mesh::Options {
        ledger: Some(Opened {
            quotas: tokio::sync::watch::Sender::default(),
            ..ledger.clone()
        }),
        ..mesh::Options::default()
    };
    let control = Control::start(store.clone(), options).await.unwrap();
    let options = readiness::Options {
        mesh_urls: Vec::new(),
        workers: None,
    };
    Service {
        store,
        readiness: Readiness::start(control, options),
        ledger,
        _folder: folder,
    }
}

fn quota_id() -> QuotaId {
    QuotaId::new(Uuid::from_u128(7))
}

async fn ask(service: &Service, number: u128, need: u64) {
    let ask = Ask {
        quota: quota_id(),
        part: Part::Limit,
        account: AccountId::of(quota_id(), &Member::Everyone),
        need,
        want: need,
    };
    let request = GrantRequest {
        grant: GrantId::new(Uuid::from_u128(number)),
        holder: HolderId::new(Uuid::from_u128(1)),
        exchange: ExchangeId::new(Uuid::from_u128(number)),
        asks: vec![ask],
    };
    service.ledger.ledgers.grant(request).await.unwrap();
}

async fn scrape(service: &Service, peer: Option<&str>, headers: &[(&str, &str)]) -> StatusCode {
    let mut request = Request::builder().uri("/metrics");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    if let Some(peer) = peer {
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    let router = router(service.store.clone(), service.readiness.clone());
    router.oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn only_this_machine_needs_no_token() {
    let service = service().await;
    let token = operations::bootstrap(&service.store)
        .await
        .unwrap()
        .unwrap();
    let token = format!("Bearer {}", token.expose());
    let local = Some("127.0.0.1:9");
    assert_eq!(scrape(&service, local, &[]).await, StatusCode::OK);
    let v6 = Some("[::ffff:127.0.0.1]:9");
    assert_eq!(scrape(&service, v6, &[]).await, StatusCode::OK);
    for host in [
        "localhost:8081",
        "LOCALHOST",
        "127.0.0.1:8081",
        "127.9.9.9",
        "[::1]:8081",
    ] {
        let header = ("host", host);
        assert_eq!(
            scrape(&service, local, &[header]).await,
            StatusCode::OK,
            "{host}"
        );
    }
    for (peer, header) in [
        (local, ("host", "evil.example:8081")),
        (local, ("host", "localhost.evil.example")),
        (local, ("host", "127.0.0.1.evil.example")),
        (local, ("host", "10.0.0.1")),
        (local, ("host", "0.0.0.0:8081")),
        (local, ("host", "user@localhost")),
        (local, ("host", "")),
        (local, ("x-forwarded-for", "10.0.0.1")),
        (local, ("via", "1.1 sidecar")),
        (Some("10.0.0.1:9"), ("accept", "*/*")),
        (None, ("accept", "*/*")),
        (None, ("authorization", "Bearer weir-admin-00")),
    ] {
        let refused = scrape(&service, peer, &[header]).await;
        assert_eq!(refused, StatusCode::UNAUTHORIZED, "{peer:?} {header:?}");
    }
    let known = ("authorization", token.as_str());
    assert_eq!(scrape(&service, None, &[known]).await, StatusCode::OK);
}

#[tokio::test]
async fn what_the_ledger_does_is_counted() {
    let service = service().await;
    ask(&service, 1, 8).await;
    ask(&service, 2, 5).await;
    let text = text(&service.readiness);
    for line in [
        "# TYPE weir_ledger_grants_total counter",
        r#"weir_ledger_grants_total{store="durable"} 1"#,
        r#"weir_ledger_refusals_total{store="durable",kind="contended",level="organisation"} 1"#,
        "# TYPE weir_ledger_batch_seconds histogram",
        "weir_ready 0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}:\n{text}");
    }
    let value = |line: &str| {
        let found = text.lines().find_map(|it| it.strip_prefix(line));
        found.unwrap().trim().parse::<f64>().unwrap()
    };
    let count = value(r#"weir_ledger_batch_seconds_count{store="durable"}"#);
    let all = value(r#"weir_ledger_batch_seconds_bucket{store="durable",le="+Inf"}"#);
    assert!(count >= 2.0 && all == count, "{text}");
    // Leases are counted every few seconds.
    let mut counts = service.ledger.ledgers.counts().remove(0).1;
    while counts.leases == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        counts = service.ledger.ledgers.counts().remove(0).1;
    }
    assert_eq!(counts.held.get(&Some(Unit::Concurrent)), Some(&8));
    let holder = HolderId::new(Uuid::from_u128(1));
    service.ledger.ledgers.lost(holder).await.unwrap();
    let counts = service.ledger.ledgers.counts().remove(0).1;
    assert_eq!(counts.expired, 1);
    assert_eq!(counts.stranded.get(&Some(Unit::Concurrent)), Some(&8));
}

#[test]
fn seconds_are_exact() {
    assert_eq!(seconds(1_234_567), "1.234567");
    assert_eq!(seconds(12), "0.000012");
}

#[test]
fn the_guide_lists_every_metric_and_no_other() {
    let named: BTreeSet<_> = GUIDE
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.starts_with("weir_") && !code.starts_with("weir_api"))
        .map(|code| code.split('{').next().unwrap())
        .collect();
    let all = Metric::ALL.iter().map(|metric| metric.described().0);
    assert_eq!(named, all.collect());
}

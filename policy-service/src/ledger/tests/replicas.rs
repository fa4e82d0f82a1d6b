//! What stores do that several replicas of the service share.

use std::time::Duration;

use policy::ids::KeyId;
use policy::quota::lease::GrantAnswer;
use uuid::Uuid;

use super::fixture::*;
use crate::ledger::notices::{Notice, Notices};
use crate::ledger::shelf::ShelfError;

/// What one replica tells the other hears within a second.
pub(super) async fn notices_arrive(
    one: Result<Notices, ShelfError>,
    other: Result<Notices, ShelfError>,
) {
    let (one, other) = (one.unwrap(), other.unwrap());
    let mut heard = [one.hear(), other.hear()];
    let notices = [
        Notice::Quota(quota_id(7)),
        Notice::KeyRevoked(KeyId::new(Uuid::from_u128(3))),
    ];
    for notice in notices {
        one.tell(notice).await.unwrap();
        for heard in &mut heard {
            let in_time = tokio::time::timeout(Duration::from_secs(1), heard.recv()).await;
            assert_eq!(in_time.unwrap().unwrap(), notice);
        }
    }
}

/// Runs every case.
pub(super) async fn all(bench: &Bench) {
    replicas_share_one_limit(bench).await;
    what_one_replica_grants_another_settles(bench).await;
}

async fn replicas_share_one_limit(bench: &Bench) {
    let desk = bench
        .fresh([quota(1, daily(100)), quota(2, daily(10_000))])
        .await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(bench.open(&desk).await);
    }
    let mut tasks = Vec::new();
    for (number, replica) in replicas.iter().cloned().enumerate() {
        for id in 0..100_u128 {
            let replica = replica.clone();
            let id = id + 1_000 * (number as u128 + 1);
            let request = request(id, vec![ask(1, 10), ask(2, 10)]);
            tasks.push(tokio::spawn(async move {
                replica.grant(request).await.unwrap()
            }));
        }
    }
    let mut granted = 0;
    for task in tasks {
        granted += u64::from(matches!(task.await.unwrap(), GrantAnswer::Granted(_)));
    }
    assert_eq!(granted, 10);
    assert_eq!(desk.used(ask(1, 0)).await, used(0, 100));
    assert_eq!(desk.used(ask(2, 0)).await, used(0, 100));
}

async fn what_one_replica_grants_another_settles(bench: &Bench) {
    let mut desk = bench.fresh([quota(1, daily(100))]).await;
    let granted = desk.granted(1, vec![ask(1, 50)]).await;
    let other = bench.open(&desk).await;
    other
        .settle(vec![settlement(1, desk.now(), &granted, 20)])
        .await
        .unwrap();
    assert_eq!(desk.used(ask(1, 0)).await, used(20, 0));
    desk.settle(settlement(1, desk.now(), &granted, 20)).await;
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(20, 0),
        "two reports are one charge"
    );
    desk.put(other);
    desk.granted(2, vec![ask(1, 80)]).await;
}

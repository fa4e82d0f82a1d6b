//! A durable and a hot ledger used as one.

use policy::quota::lease::*;
use policy::quota::{Quota, QuotaNode, QuotaRules, Unit};

use super::fixture::*;
use crate::ledger::ledgers::Ledgers;

/// Quota 1 is durable, quota 2 hot.
fn quotas() -> [Quota; 2] {
    let minute = QuotaRules::new(QuotaNode::Organisation, Unit::Requests, 10, rolling(60_000));
    [quota(1, daily(100)), quota(2, minute)]
}

/// Runs every case.
pub(super) async fn all(durable: &Bench, hot: &Bench) {
    let durable = durable.fresh(quotas()).await;
    let hot = hot.fresh(quotas()).await;
    let ledgers = Ledgers::new(
        durable.ledger().clone(),
        Some(hot.ledger().clone()),
        durable.quotas(),
    );
    let GrantAnswer::Granted(granted) = ledgers
        .grant(request(1, vec![ask(2, 4), ask(1, 40)]))
        .await
        .unwrap()
    else {
        panic!("there was room for the first");
    };
    let accounts: Vec<_> = granted.slices.iter().map(|it| it.account).collect();
    assert_eq!(
        accounts,
        [account(2), account(1)],
        "slices come as they were asked for"
    );
    assert_eq!(durable.used(ask(1, 0)).await, used(0, 40));
    assert_eq!(hot.used(ask(2, 0)).await, used(0, 4));

    let refused = ledgers
        .grant(request(2, vec![ask(1, 40), ask(2, 7)]))
        .await
        .unwrap();
    assert!(matches!(refused, GrantAnswer::Refused(it) if it.quota == quota_id(2)));
    assert_eq!(
        durable.used(ask(1, 0)).await,
        used(0, 40),
        "the other part was given back"
    );
    let refused = ledgers
        .grant(request(3, vec![ask(1, 61), ask(2, 1)]))
        .await
        .unwrap();
    assert!(matches!(refused, GrantAnswer::Refused(it) if it.quota == quota_id(1)));
    assert_eq!(hot.used(ask(2, 0)).await, used(0, 4));
    let refused = ledgers
        .grant(request(4, vec![ask(1, 101), ask(2, 7)]))
        .await
        .unwrap();
    assert!(
        matches!(refused, GrantAnswer::Refused(it) if it.kind == RefusalKind::Exhausted),
        "what is final counts"
    );

    let settlement = settlement(1, durable.now(), &granted, 4);
    ledgers.settle(vec![settlement.clone()]).await.unwrap();
    ledgers.settle(vec![settlement]).await.unwrap();
    let figures = ledgers.look(vec![ask(2, 0), ask(1, 0)]).await.unwrap();
    assert_eq!(
        figures.iter().map(|it| it.used).collect::<Vec<_>>(),
        [used(4, 0); 2]
    );
    ledgers.reset(vec![ask(1, 0), ask(2, 0)]).await.unwrap();
    assert_eq!(durable.used(ask(1, 0)).await, used(0, 0));
    assert_eq!(hot.used(ask(2, 0)).await, used(0, 0));
}

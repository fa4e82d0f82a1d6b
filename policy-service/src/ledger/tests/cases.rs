//! What every store must do, each case on a fresh one.

use policy::quota::lease::*;
use policy::quota::{Holds, Level, Mode, Period, QuotaNode, QuotaRules, Raise, Unit};
use policy::units::Timestamp;

use super::fixture::*;
use crate::ledger::Used;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const LEASE: u64 = 15_000;

/// Runs every case.
pub(super) async fn all(bench: &Bench) {
    a_grant_is_all_or_nothing(bench).await;
    parallel_requests_never_pass_the_limit(bench).await;
    settling_is_idempotent(bench).await;
    surer_amounts_replace_others(bench).await;
    each_attempt_is_charged(bench).await;
    slices_shrink_near_the_limit(bench).await;
    expired_leases_are_free_again(bench).await;
    what_ran_on_a_lost_lease_is_charged(bench).await;
    strict_slices_of_a_lost_holder_are_charged(bench).await;
    kept_leases_live_on(bench).await;
    a_lost_holder_ends_at_once(bench).await;
    rolling_windows_admit_exactly_their_limit(bench).await;
    calendar_windows_roll_when_looked_at(bench).await;
    windows_follow_clock_changes(bench).await;
    exhausted_and_contended_differ(bench).await;
    the_lowest_level_is_named_and_the_latest_reset_told(bench).await;
    limits_move_at_once(bench).await;
    soft_limits_flag(bench).await;
    resets_clear_what_was_spent(bench).await;
    concurrency_is_a_lease(bench).await;
    debts_are_charged_without_a_slice(bench).await;
    thresholds_are_told_once(bench).await;
    history_is_kept_by_window(bench).await;
    five_levels_and_a_pool_with_caps(bench).await;
    books_survive_a_restart(bench).await;
}

async fn a_grant_is_all_or_nothing(bench: &Bench) {
    let desk = bench
        .fresh([quota(1, daily(100)), quota(2, daily(10))])
        .await;
    let refusal = desk.refused(1, vec![ask(1, 11), ask(2, 11)]).await;
    assert_eq!((refusal.quota, refusal.retry_after_ms), (quota_id(2), None));
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(0, 0),
        "nothing was held of the other"
    );
    desk.granted(2, vec![ask(1, 10), ask(2, 10)]).await;
    let again = desk.granted(2, vec![ask(1, 10), ask(2, 10)]).await;
    assert_eq!(again.slices[0].amount, 10, "the same grant is the same");
    assert_eq!(desk.used(ask(1, 0)).await, used(0, 10));
    let twice = desk
        .ledger()
        .grant(request(3, vec![ask(1, 1), ask(1, 1)]))
        .await;
    assert_eq!(
        twice.unwrap_err().to_string(),
        "an account is asked for twice"
    );
}

async fn parallel_requests_never_pass_the_limit(bench: &Bench) {
    let desk = bench
        .fresh([quota(1, daily(100)), quota(2, daily(1_000))])
        .await;
    let requests = (1..=200_u128).map(|id| desk.grant(id, vec![ask(1, 10), ask(2, 10)]));
    let answers = futures_util::future::join_all(requests).await;
    let granted = answers
        .iter()
        .filter(|it| matches!(it, GrantAnswer::Granted(_)))
        .count();
    assert_eq!(granted, 10);
    assert_eq!(desk.used(ask(1, 0)).await, used(0, 100));
    assert_eq!(desk.used(ask(2, 0)).await, used(0, 100));
}

async fn settling_is_idempotent(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(100))]).await;
    let granted = desk.granted(1, vec![ask(1, 30)]).await;
    for _ in 0..3 {
        desk.settle(settlement(1, desk.now(), &granted, 20)).await;
        assert_eq!(desk.used(ask(1, 0)).await, used(20, 0));
    }
}

async fn surer_amounts_replace_others(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(100))]).await;
    let granted = desk.granted(1, vec![ask(1, 30)]).await;
    let exact = settlement(1, desk.now(), &granted, 12);
    let estimated = Settlement {
        sureness: Sureness::Estimated,
        ..settlement(1, desk.now(), &granted, 25)
    };
    desk.settle(estimated.clone()).await;
    assert_eq!(desk.used(ask(1, 0)).await, used(25, 0));
    desk.settle(exact).await;
    assert_eq!(desk.used(ask(1, 0)).await, used(12, 0));
    desk.settle(estimated).await;
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(12, 0),
        "an estimate comes too late"
    );
}

async fn each_attempt_is_charged(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(100))]).await;
    let granted = desk.granted(1, vec![ask(1, 30)]).await;
    let attempt = |attempt, amount| Settlement {
        attempt,
        closes: attempt == 2,
        ..settlement(1, desk.now(), &granted, amount)
    };
    desk.settle(attempt(1, 5)).await;
    desk.settle(attempt(2, 7)).await;
    assert_eq!(desk.used(ask(1, 0)).await, used(12, 0));
}

async fn slices_shrink_near_the_limit(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(1_000))]).await;
    let mut amounts = Vec::new();
    for id in 1..40 {
        match desk.grant(id, vec![asks_up_to(1, 10, 500)]).await {
            GrantAnswer::Granted(granted) => amounts.push(granted.slices[0].amount),
            GrantAnswer::Refused(refusal) => {
                assert_eq!(refusal.kind, RefusalKind::Contended);
                break;
            }
        }
    }
    assert_eq!(amounts[0], 125, "an eighth of what is left");
    assert!(amounts.is_sorted_by(|a, b| a >= b), "{amounts:?}");
    assert_eq!(amounts.last(), Some(&10), "down to one hold");
    assert!(
        amounts.iter().sum::<u64>() > 990,
        "all of it is usable: {amounts:?}"
    );
}

async fn expired_leases_are_free_again(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(100))]).await;
    let granted = desk.granted(1, vec![ask(1, 100)]).await;
    desk.pass(LEASE - 1);
    desk.ledger().sweep().await.unwrap();
    assert_eq!(desk.used(ask(1, 0)).await, used(0, 100));
    desk.pass(1);
    desk.ledger().sweep().await.unwrap();
    assert_eq!(desk.used(ask(1, 0)).await, used(0, 0));
    desk.settle(settlement(1, desk.now(), &granted, 40)).await;
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(40, 0),
        "a late report is charged all the same"
    );
}

/// What attempt 1 of exchange `id` does on a grant of the same number.
fn running(desk: &Desk, id: u128, granted: &Granted, strict: bool) -> Progress {
    let hold = |slice: &Slice| RunningHold {
        grant: granted.grant,
        account: slice.account,
        window: slice.window,
        held: slice.amount,
        so_far: 10,
        per_second: 2,
        strict,
    };
    Progress {
        holder: holder(),
        keep: Vec::new(),
        running: vec![Running {
            exchange: exchange_id(id),
            attempt: 1,
            admitted: desk.now(),
            holds: granted.slices.iter().map(hold).collect(),
        }],
    }
}

async fn what_ran_on_a_lost_lease_is_charged(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(1_000))]).await;
    let granted = desk.granted(1, vec![ask(1, 100)]).await;
    desk.pass(5_000);
    desk.ledger()
        .progress(running(&desk, 1, &granted, false))
        .await
        .unwrap();
    desk.pass(LEASE - 5_000);
    desk.ledger().sweep().await.unwrap();
    let presumed = 10 + 2 * (LEASE - 5_000) / 1_000;
    assert_eq!(desk.used(ask(1, 0)).await, used(presumed, 0));
    desk.settle(settlement(1, desk.now(), &granted, 64)).await;
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(64, 0),
        "the late report corrects it"
    );
    desk.ledger()
        .progress(running(&desk, 1, &granted, false))
        .await
        .unwrap();
    desk.pass(DAY / 4);
    desk.ledger().sweep().await.unwrap();
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(64, 0),
        "what has ended does not run"
    );
}

async fn strict_slices_of_a_lost_holder_are_charged(bench: &Bench) {
    let strict = QuotaRules {
        holds: Holds::Strict,
        ..daily(1_000)
    };
    let desk = bench.fresh([quota(1, strict)]).await;
    let granted = desk.granted(1, vec![asks_up_to(1, 100, 900)]).await;
    assert_eq!(granted.slices[0].amount, 100, "a strict slice is one hold");
    let reported = desk.granted(2, vec![ask(1, 50)]).await;
    desk.ledger()
        .progress(running(&desk, 2, &reported, true))
        .await
        .unwrap();
    let returned = desk.granted(3, vec![ask(1, 25)]).await;
    let all = Taken {
        grant: returned.grant,
        account: account(1),
        amount: u64::MAX,
    };
    desk.ledger()
        .give_back(Return { taken: vec![all] })
        .await
        .unwrap();
    desk.pass(LEASE);
    desk.ledger().sweep().await.unwrap();
    assert_eq!(desk.used(ask(1, 0)).await, used(150, 0));
    let late = Settlement {
        attempt: 2,
        ..settlement(1, desk.now(), &granted, 30)
    };
    desk.settle(late).await;
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(80, 0),
        "presumed attempts are void"
    );
}

async fn kept_leases_live_on(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(100))]).await;
    desk.granted(1, vec![ask(1, 40)]).await;
    desk.granted(2, vec![ask(1, 40)]).await;
    desk.pass(LEASE - 1_000);
    let keep = |grants: Vec<_>| Progress {
        holder: holder(),
        keep: grants,
        running: Vec::new(),
    };
    let kept = desk
        .ledger()
        .progress(keep(vec![grant_id(1), grant_id(9)]))
        .await
        .unwrap();
    assert_eq!(kept.grants, [grant_id(1)], "the unknown one is not kept");
    assert_eq!(kept.expires.as_millis(), desk.now().as_millis() + LEASE);
    desk.pass(1_000);
    desk.ledger().sweep().await.unwrap();
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(0, 40),
        "only the kept lease lives on"
    );
}

async fn a_lost_holder_ends_at_once(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(1_000))]).await;
    let granted = desk.granted(1, vec![ask(1, 100)]).await;
    desk.granted(2, vec![ask(1, 100)]).await;
    desk.ledger()
        .progress(running(&desk, 1, &granted, false))
        .await
        .unwrap();
    assert_eq!(desk.ledger().lost(holder()).await.unwrap(), 2);
    assert_eq!(desk.used(ask(1, 0)).await, used(10, 0));
}

async fn rolling_windows_admit_exactly_their_limit(bench: &Bench) {
    let node = QuotaNode::Organisation;
    let rules = QuotaRules::new(node, Unit::Requests, 10, rolling(60_000));
    let desk = bench.fresh([quota(1, rules)]).await;
    for id in 1..=10 {
        desk.spend(id, ask(1, 1)).await;
        desk.pass(1_000);
    }
    let refusal = desk.refused(11, vec![ask(1, 1)]).await;
    assert_eq!(refusal.kind, RefusalKind::Exhausted);
    let wait = refusal.retry_after_ms.unwrap();
    assert!(
        (49_000..=52_000).contains(&wait),
        "the first leaves the window in {wait} ms"
    );
    desk.pass(wait - 1);
    desk.refused(12, vec![ask(1, 1)]).await;
    desk.pass(1);
    desk.spend(13, ask(1, 1)).await;
    desk.refused(14, vec![ask(1, 1)]).await;
    // A fixed window would begin anew at the full minute.
    desk.pass(1_001);
    desk.spend(15, ask(1, 1)).await;
    desk.refused(16, vec![ask(1, 1)]).await;
}

async fn calendar_windows_roll_when_looked_at(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(100))]).await;
    desk.go_to(NOON + DAY / 2 - 1_000);
    let granted = desk.granted(1, vec![ask(1, 100)]).await;
    let admitted = desk.now();
    assert_eq!(granted.slices[0].ends.as_millis(), NOON + DAY / 2);
    desk.refused(2, vec![ask(1, 1)]).await;
    desk.go_to(NOON + DAY / 2);
    let requests = (10..110_u128).map(|id| desk.grant(id, vec![ask(1, 10)]));
    let answers = futures_util::future::join_all(requests).await;
    let count = answers
        .iter()
        .filter(|it| matches!(it, GrantAnswer::Granted(_)))
        .count();
    assert_eq!(count, 10, "the new window has its whole limit and no more");
    desk.settle(settlement(1, admitted, &granted, 90)).await;
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(0, 100),
        "charged to the window of admission"
    );
    desk.go_to(NOON);
    assert_eq!(desk.used(ask(1, 0)).await.spent, 90);
}

async fn windows_follow_clock_changes(bench: &Bench) {
    let rules = QuotaRules {
        window: calendar(Period::Day, "Europe/Berlin"),
        ..daily(10)
    };
    let desk = bench.fresh([quota(1, rules)]).await;
    // 2026-10-25 has 25 hours in Berlin: from 22:00 the day before to 23:00 in UTC.
    let start = 1_792_879_200_000;
    desk.go_to(start);
    desk.spend(1, ask(1, 10)).await;
    desk.go_to(start + 25 * HOUR - 1);
    let refusal = desk.refused(2, vec![ask(1, 1)]).await;
    assert_eq!(refusal.retry_after_ms, Some(1));
    desk.pass(1);
    desk.spend(3, ask(1, 10)).await;
}

async fn exhausted_and_contended_differ(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(100))]).await;
    desk.spend(1, ask(1, 50)).await;
    desk.granted(2, vec![ask(1, 40)]).await;
    let refusal = desk.refused(3, vec![ask(1, 20)]).await;
    assert_eq!(refusal.kind, RefusalKind::Contended);
    assert!(refusal.retry_after_ms.is_some_and(|wait| wait <= 1_000));
    let refusal = desk.refused(4, vec![ask(1, 51)]).await;
    assert_eq!(refusal.kind, RefusalKind::Exhausted);
    assert_eq!(refusal.retry_after_ms, Some(DAY / 2));
}

async fn the_lowest_level_is_named_and_the_latest_reset_told(bench: &Bench) {
    use policy::ids::{KeyId, TeamId};
    let id = uuid::Uuid::from_u128;
    let at = |node, window| {
        let unit = Unit::TotalTokens;
        QuotaRules::new(node, unit, 10, window)
    };
    let month = calendar(Period::Month, "UTC");
    let key = QuotaNode::Key(KeyId::new(id(1)));
    let desk = bench
        .fresh([
            quota(1, at(QuotaNode::Organisation, month)),
            quota(2, at(QuotaNode::Team(TeamId::new(id(1))), rolling(60_000))),
            quota(4, at(key, rolling(60_000))),
            quota(3, at(key, calendar(Period::Day, "UTC"))),
        ])
        .await;
    for number in 1..=4 {
        desk.spend(number, ask(number, 10)).await;
    }
    let asks = vec![ask(1, 1), ask(2, 1), ask(4, 1), ask(3, 1)];
    let refusal = desk.refused(9, asks).await;
    assert_eq!((refusal.quota, refusal.level), (quota_id(3), Level::Key));
    let to_december = 9 * DAY + DAY / 2;
    assert_eq!(refusal.retry_after_ms, Some(to_december));
}

async fn limits_move_at_once(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(100))]).await;
    desk.spend(1, ask(1, 80)).await;
    desk.set([quota(1, daily(50))]);
    desk.refused(2, vec![ask(1, 1)]).await;
    let raise = |until| Raise {
        amount: 40,
        until: Timestamp::from_millis(until),
    };
    let raised = QuotaRules {
        raises: vec![raise(NOON + HOUR)],
        ..daily(50)
    };
    desk.set([quota(1, raised)]);
    assert_eq!(desk.figures(ask(1, 0)).await.ceiling, Some(90));
    desk.spend(3, ask(1, 10)).await;
    desk.refused(4, vec![ask(1, 1)]).await;
    desk.set([quota(1, daily(200))]);
    desk.spend(5, ask(1, 110)).await;
    desk.set([]);
    desk.granted(6, vec![ask(1, 1_000)]).await;
}

async fn soft_limits_flag(bench: &Bench) {
    let mode = |mode| QuotaRules { mode, ..daily(100) };
    let until = Mode::SoftUntil { percent: 150 };
    let desk = bench
        .fresh([quota(1, mode(Mode::Soft)), quota(2, mode(until))])
        .await;
    desk.spend(1, ask(1, 1_000)).await;
    desk.spend(2, ask(2, 120)).await;
    desk.spend(3, ask(2, 30)).await;
    desk.refused(4, vec![ask(1, 1), ask(2, 1)]).await;
}

async fn resets_clear_what_was_spent(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(100))]).await;
    let granted = desk.granted(1, vec![ask(1, 60)]).await;
    let estimated = Settlement {
        sureness: Sureness::Estimated,
        ..settlement(1, desk.now(), &granted, 60)
    };
    desk.settle(estimated).await;
    desk.granted(2, vec![ask(1, 30)]).await;
    desk.pass(10);
    let cleared = desk.ledger().reset(vec![ask(1, 0)]).await.unwrap();
    assert_eq!(cleared[0].used, used(60, 30));
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(0, 30),
        "what is leased stays leased"
    );
    desk.pass(10);
    desk.spend(3, ask(1, 20)).await;
    desk.settle(settlement(1, desk.now(), &granted, 10)).await;
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(20, 30),
        "what a reset cleared is not taken back twice"
    );
}

async fn concurrency_is_a_lease(bench: &Bench) {
    let rules = QuotaRules::new(QuotaNode::Organisation, Unit::Concurrent, 3, None);
    let desk = bench.fresh([quota(1, rules)]).await;
    for id in 1..=3 {
        desk.granted(id, vec![ask(1, 1)]).await;
    }
    let refusal = desk.refused(4, vec![ask(1, 1)]).await;
    assert_eq!(refusal.kind, RefusalKind::Contended);
    let one = Taken {
        grant: grant_id(1),
        account: account(1),
        amount: 1,
    };
    desk.ledger()
        .give_back(Return { taken: vec![one] })
        .await
        .unwrap();
    desk.granted(5, vec![ask(1, 1)]).await;
    desk.refused(6, vec![ask(1, 1)]).await;
    desk.pass(LEASE);
    desk.ledger().sweep().await.unwrap();
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(0, 0),
        "lost streams are not counted for ever"
    );
}

async fn debts_are_charged_without_a_slice(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(100))]).await;
    let granted = desk.granted(1, vec![ask(1, 1)]).await;
    let debt = Charge {
        debt: 25,
        ..charge(&granted.slices[0], 30)
    };
    let settlement = Settlement {
        charges: vec![debt],
        ..settlement(1, desk.now(), &granted, 0)
    };
    desk.settle(settlement).await;
    let want = Used {
        spent: 30,
        held: 0,
        debt: 25,
    };
    assert_eq!(desk.used(ask(1, 0)).await, want);
}

async fn thresholds_are_told_once(bench: &Bench) {
    let rules = QuotaRules {
        alerts: vec![50, 80, 100],
        ..daily(100)
    };
    let desk = bench.fresh([quota(1, rules)]).await;
    let mut alerts = desk.ledger().alerts();
    let mut told = || {
        let mut told = Vec::new();
        while let Ok(alert) = alerts.try_recv() {
            told.push(alert.percent);
        }
        told
    };
    desk.spend(1, ask(1, 49)).await;
    assert!(told().is_empty());
    desk.spend(2, ask(1, 40)).await;
    assert_eq!(told(), [50, 80]);
    desk.spend(3, ask(1, 1)).await;
    assert!(told().is_empty());
    desk.pass(DAY);
    desk.spend(4, ask(1, 100)).await;
    assert_eq!(told(), [50, 80, 100], "again in the next window");
}

async fn books_survive_a_restart(bench: &Bench) {
    let mut desk = bench.fresh([quota(1, daily(100))]).await;
    desk.spend(1, ask(1, 30)).await;
    let granted = desk.granted(2, vec![ask(1, 20)]).await;
    desk.ledger()
        .progress(running(&desk, 2, &granted, false))
        .await
        .unwrap();
    let reopened = bench.open(&desk).await;
    desk.put(reopened);
    assert_eq!(desk.used(ask(1, 0)).await, used(30, 20));
    desk.settle(settlement(2, desk.now(), &granted, 15)).await;
    assert_eq!(desk.used(ask(1, 0)).await, used(45, 0));
}

async fn history_is_kept_by_window(bench: &Bench) {
    let desk = bench.fresh([quota(1, daily(100))]).await;
    for day in 0..3 {
        desk.spend(u128::from(day) + 1, ask(1, 10 + day)).await;
        desk.pass(DAY);
    }
    let since = Timestamp::from_millis(NOON + DAY / 2);
    let history = desk.ledger().history(account(1), since).await.unwrap();
    let spent: Vec<_> = history
        .iter()
        .map(|(at, it)| (at.as_millis(), it.spent))
        .collect();
    assert_eq!(spent, [(NOON + DAY / 2, 11), (NOON + DAY * 3 / 2, 12)]);
}

/// One team as a pool of 100 with 30 for a member, under levels that are wide enough but for the key of the last.
async fn five_levels_and_a_pool_with_caps(bench: &Bench) {
    use policy::compiled::Principal;
    use policy::ids::{CustomerId, KeyId, TeamId, UserId};
    use policy::quota::covering::{Payer, Target, covering};
    let id = uuid::Uuid::from_u128;
    let at = |node, limit| QuotaRules {
        node,
        ..daily(limit)
    };
    let quotas = [
        quota(1, at(QuotaNode::Organisation, 1_000)),
        quota(2, at(QuotaNode::Customer(CustomerId::new(id(1))), 500)),
        quota(
            3,
            QuotaRules {
                member_cap: Some(30),
                ..at(QuotaNode::Team(TeamId::new(id(1))), 100)
            },
        ),
        quota(4, at(QuotaNode::EachMember(TeamId::new(id(1))), 50)),
        quota(5, at(QuotaNode::Key(KeyId::new(id(5))), 5)),
    ];
    let desk = bench.fresh(quotas.clone()).await;
    let asks = |member: u128, need| -> Vec<Ask> {
        let principal = Principal {
            key: Some(KeyId::new(id(member))),
            user: Some(UserId::new(id(member))),
            team: Some(TeamId::new(id(1))),
            customer: Some(CustomerId::new(id(1))),
            environment: String::new(),
        };
        let payer = Payer {
            principal: &principal,
            session: "",
            agent: "",
        };
        let targets = [Target {
            provider: "p",
            model: "m",
        }];
        let charged = covering(&quotas, &payer, &targets);
        let ask = charged.iter().map(|it| Ask {
            quota: it.quota.id,
            part: it.part,
            account: it.account,
            need,
            want: need,
        });
        ask.collect()
    };
    desk.granted(1, asks(1, 30)).await;
    let refusal = desk.refused(2, asks(1, 1)).await;
    assert_eq!(
        (refusal.quota, refusal.level),
        (quota_id(3), Level::User),
        "the cap stops one member"
    );
    desk.granted(3, asks(2, 30)).await;
    desk.granted(4, asks(3, 30)).await;
    let refusal = desk.refused(5, asks(4, 11)).await;
    assert_eq!(
        (refusal.quota, refusal.level),
        (quota_id(3), Level::Team),
        "the pool is shared"
    );
    let refusal = desk.refused(6, asks(5, 6)).await;
    assert_eq!((refusal.quota, refusal.retry_after_ms), (quota_id(5), None));
    desk.granted(7, asks(5, 5)).await;
    assert_eq!(
        desk.used(ask(1, 0)).await,
        used(0, 95),
        "all levels count the same"
    );
}

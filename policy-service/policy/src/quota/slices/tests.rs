use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::ids::QuotaId;
use crate::quota::Member;
use crate::quota::lease::Slice;

const FAR: u64 = 1_000_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn account(number: u128) -> AccountId {
    AccountId::of(QuotaId::new(Uuid::from_u128(number)), &Member::Everyone)
}

fn grant(number: u128) -> GrantId {
    GrantId::new(Uuid::from_u128(number))
}

fn exchange() -> ExchangeId {
    ExchangeId::new(Uuid::from_u128(7))
}

fn need(number: u128, amount: u64) -> Need {
    Need {
        account: account(number),
        amount,
    }
}

/// One lease: account, amount, when its window ends, when it expires.
fn lease(slices: &mut Slices, id: u128, parts: &[(u128, u64)], ends: u64, expires: u64) {
    let slices_of = parts.iter().map(|(number, amount)| Slice {
        account: account(*number),
        amount: *amount,
        window: WindowKey {
            start_ms: ends / 2,
            ..WindowKey::default()
        },
        ends: at(ends),
        left: 0,
    });
    let granted = Granted {
        grant: grant(id),
        expires: at(expires),
        slices: slices_of.collect(),
    };
    slices.granted(at(0), &granted);
}

#[test]
fn a_hold_is_all_or_nothing() {
    let mut slices = Slices::default();
    lease(&mut slices, 1, &[(1, 100), (2, 10)], FAR, FAR);
    let short = slices.hold(at(0), &[need(1, 50), need(2, 11)]).unwrap_err();
    assert_eq!(short.missing, [need(2, 1)]);
    assert_eq!(
        (
            slices.free(at(0), account(1)),
            slices.free(at(0), account(2))
        ),
        (100, 10)
    );
    let hold = slices.hold(at(0), &[need(1, 50), need(2, 10)]).unwrap();
    assert_eq!(
        (
            slices.free(at(0), account(1)),
            slices.free(at(0), account(2))
        ),
        (50, 0)
    );
    slices.release(at(0), hold);
    assert_eq!(
        (
            slices.free(at(0), account(1)),
            slices.free(at(0), account(2))
        ),
        (100, 10)
    );
}

#[test]
fn a_hold_may_come_from_several_leases() {
    let mut slices = Slices::default();
    lease(&mut slices, 2, &[(1, 30)], FAR, FAR);
    lease(&mut slices, 1, &[(1, 30)], FAR / 2, FAR);
    let mut hold = slices.hold(at(0), &[need(1, 50)]).unwrap();
    let settled = slices.settle(
        &mut hold,
        exchange(),
        1,
        Sureness::Exact,
        &[(account(1), 45)],
    );
    let taken: Vec<_> = settled
        .taken
        .iter()
        .map(|it| (it.grant, it.amount))
        .collect();
    assert_eq!(
        taken,
        [(grant(1), 30), (grant(2), 15)],
        "what ends first is used first"
    );
    slices.release(at(0), hold);
    assert_eq!(slices.free(at(0), account(1)), 15);
}

#[test]
fn ended_windows_and_old_leases_admit_nothing() {
    let mut slices = Slices::default();
    lease(&mut slices, 1, &[(1, 10)], 5_000, FAR);
    lease(&mut slices, 2, &[(2, 10)], FAR, 5_000);
    assert_eq!(
        (
            slices.free(at(3_999), account(1)),
            slices.free(at(3_999), account(2))
        ),
        (10, 10)
    );
    assert_eq!(
        (
            slices.free(at(5_000), account(1)),
            slices.free(at(4_000), account(2))
        ),
        (0, 0)
    );
    slices.kept(&[grant(2)], at(9_000));
    assert_eq!(slices.free(at(4_000), account(2)), 10);
}

#[test]
fn use_beyond_the_hold_is_charged_in_full() {
    let mut slices = Slices::default();
    lease(&mut slices, 1, &[(1, 100)], FAR, FAR);
    let mut hold = slices.hold(at(0), &[need(1, 10)]).unwrap();
    let settled = slices.settle(
        &mut hold,
        exchange(),
        1,
        Sureness::Exact,
        &[(account(1), 25)],
    );
    slices.release(at(0), hold);
    assert_eq!(settled.charges[0].amount, 25);
    assert_eq!(settled.taken[0].amount, 10);
    assert_eq!(slices.free(at(0), account(1)), 90);
}

#[test]
fn attempts_share_one_hold() {
    let mut slices = Slices::default();
    lease(&mut slices, 1, &[(1, 100)], FAR, FAR);
    let mut hold = slices.hold(at(0), &[need(1, 60)]).unwrap();
    let first = slices.settle(
        &mut hold,
        exchange(),
        1,
        Sureness::Estimated,
        &[(account(1), 10)],
    );
    let second = slices.settle(
        &mut hold,
        exchange(),
        2,
        Sureness::Exact,
        &[(account(1), 40)],
    );
    assert_eq!((first.taken[0].amount, second.taken[0].amount), (10, 40));
    slices.release(at(0), hold);
    assert_eq!(slices.free(at(0), account(1)), 50);
}

#[test]
fn streams_extend_while_there_is_room() {
    let mut slices = Slices::default();
    lease(&mut slices, 1, &[(1, 100)], FAR, FAR);
    let mut hold = slices.hold(at(0), &[need(1, 60)]).unwrap();
    assert_eq!(slices.extend(at(0), &mut hold, need(1, 30)), 30);
    assert_eq!(slices.extend(at(0), &mut hold, need(1, 30)), 10);
    assert_eq!(slices.extend(at(0), &mut hold, need(1, 30)), 0);
    assert_eq!(hold.amount(account(1)), 100);
    slices.release(at(0), hold);
}

#[test]
fn a_stream_does_not_extend_into_the_next_window() {
    let mut slices = Slices::default();
    lease(&mut slices, 1, &[(1, 10)], 5_000, FAR);
    let mut hold = slices.hold(at(0), &[need(1, 10)]).unwrap();
    lease(&mut slices, 2, &[(1, 100)], FAR, FAR);
    assert_eq!(slices.extend(at(6_000), &mut hold, need(1, 1)), 0);
    slices.release(at(6_000), hold);
}

#[test]
fn idle_slices_go_back() {
    let mut slices = Slices::default();
    lease(&mut slices, 1, &[(1, 100)], FAR, FAR);
    assert_eq!(slices.idle(at(1_999), 2_000), []);
    let hold = slices.hold(at(1_000), &[need(1, 40)]).unwrap();
    let back = slices.idle(at(3_000), 2_000);
    assert_eq!(
        back,
        [Taken {
            grant: grant(1),
            account: account(1),
            amount: 60
        }]
    );
    assert_eq!(slices.keep(), [grant(1)], "what is held keeps its lease");
    slices.release(at(4_000), hold);
    assert_eq!(slices.give_back(account(1))[0].amount, 40);
    assert_eq!(slices.keep(), []);
}

#[test]
fn what_is_admitted_on_credit_is_a_debt_and_its_rest_comes_back() {
    let mut slices = Slices::default();
    lease(&mut slices, 1, &[(1, 10)], FAR, FAR);
    assert_eq!(slices.uncovered(at(0), &[need(1, 20)]), [need(1, 10)]);
    let mut hold = slices.hold_on_credit(at(0), &[need(1, 20)], &|_| WindowKey::default());
    let used = [(account(1), 18)];
    let settled = slices.settle(&mut hold, exchange(), 1, Sureness::Exact, &used);
    assert_eq!(
        (settled.charges[0].amount, settled.charges[0].debt),
        (18, 8)
    );
    assert_eq!(slices.release(at(0), hold), [need(1, 2)]);
}

#[test]
fn the_pace_says_how_much_to_ask_for() {
    let mut slices = Slices::default();
    assert_eq!(slices.want(need(1, 5)), 640);
    lease(&mut slices, 1, &[(1, 1_000)], FAR, FAR);
    for _ in 0..50 {
        let hold = slices.hold(at(10), &[need(1, 10)]).unwrap();
        slices.release(at(10), hold);
    }
    assert_eq!(slices.want(need(1, 5)), 7_500);
}

#[test]
fn what_runs_is_told_once() {
    let mut slices = Slices::default();
    lease(&mut slices, 1, &[(1, 30)], FAR, FAR);
    lease(&mut slices, 2, &[(1, 30)], FAR, FAR);
    let hold = slices.hold(at(0), &[need(1, 50)]).unwrap();
    let told = hold.running(&|_| (40, 5, false));
    let told: Vec<_> = told
        .iter()
        .map(|it| (it.held, it.so_far, it.per_second))
        .collect();
    assert_eq!(told, [(30, 30, 5), (20, 10, 0)]);
    slices.release(at(0), hold);
}

#[derive(Clone, Debug)]
enum Step {
    Lease {
        amounts: [u64; 2],
        ends: u64,
        expires: u64,
    },
    Hold([u64; 2]),
    Settle {
        which: usize,
        used: [u64; 2],
    },
    Release(usize),
    Idle,
    Expire,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        ([0..100_u64, 0..100], 0..20_000_u64, 0..20_000_u64).prop_map(
            |(amounts, ends, expires)| Step::Lease {
                amounts,
                ends,
                expires
            }
        ),
        [0..40_u64, 0..40].prop_map(Step::Hold),
        (0..4_usize, [0..60_u64, 0..60]).prop_map(|(which, used)| Step::Settle { which, used }),
        (0..4_usize).prop_map(Step::Release),
        Just(Step::Idle),
        Just(Step::Expire),
        (0..5_000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Free + held + taken is never more than what was leased, for each account.
    #[test]
    fn no_amount_is_made_of_nothing(steps in prop::collection::vec(step(), 1..80)) {
        let mut slices = Slices::default();
        let (mut now, mut leased, mut gone) = (0, [0_u64; 2], [0_u64; 2]);
        let mut holds: Vec<Hold> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Lease { amounts, ends, expires } => {
                    let parts = [(0, amounts[0]), (1, amounts[1])];
                    lease(&mut slices, number as u128, &parts, now + ends, now + expires);
                    leased = [leased[0] + amounts[0], leased[1] + amounts[1]];
                }
                Step::Hold(amounts) => {
                    let needs = [need(0, amounts[0]), need(1, amounts[1])];
                    let fits = (0..2).all(|it| slices.free(at(now), account(it)) >= amounts[it as usize]);
                    let hold = slices.hold(at(now), &needs);
                    prop_assert_eq!(hold.is_ok(), fits);
                    holds.extend(hold.ok());
                }
                Step::Settle { which, used } => {
                    if let Some(hold) = holds.get_mut(which) {
                        let used = [(account(0), used[0]), (account(1), used[1])];
                        let settled = slices.settle(hold, exchange(), 1, Sureness::Exact, &used);
                        for taken in settled.taken {
                            gone[usize::from(taken.account == account(1))] += taken.amount;
                        }
                    }
                }
                Step::Release(which) => {
                    if which < holds.len() {
                        slices.release(at(now), holds.swap_remove(which));
                    }
                }
                Step::Idle => {
                    for taken in slices.idle(at(now), 2_000) {
                        gone[usize::from(taken.account == account(1))] += taken.amount;
                    }
                }
                Step::Expire => slices.expire(at(now)),
                Step::Pass(millis) => now += millis,
            }
            for it in 0..2_usize {
                let of = account(it as u128);
                let held: u64 = holds.iter().map(|hold| hold.amount(of)).sum();
                prop_assert!(slices.free(at(now), of) + held + gone[it] <= leased[it]);
            }
        }
    }
}

#[test]
fn what_is_lent_is_free_elsewhere_and_nowhere_else() {
    let mut slices = Slices::default();
    lease(&mut slices, 1, &[(1, 100)], FAR, FAR);
    let hold = slices.hold(at(0), &[need(1, 20)]).unwrap();
    let lent = slices.lend(at(100), 1_000);
    assert_eq!(lent.iter().map(|it| it.amount).collect::<Vec<_>>(), [40]);
    assert_eq!(slices.lend(at(200), 1_000), [], "half, once");
    assert_eq!(slices.free(at(200), account(1)), 40);

    let mut other = Slices::default();
    lent.iter().for_each(|spare| other.borrow(at(200), spare));
    assert_eq!(other.free(at(200), account(1)), 40);
    let borrowed = other.hold(at(200), &[need(1, 40)]).unwrap();
    other.release(at(300), borrowed);
    assert_eq!(other.lend(at(1_300), 1_000).len(), 1, "unused: all of it");
    assert_eq!(other.keep(), []);
    slices.release(at(300), hold);
    assert_eq!(slices.free(at(300), account(1)), 60);
}

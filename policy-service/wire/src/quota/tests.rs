use policy::ids::{ExchangeId, GrantId, HolderId, QuotaId};
use policy::quota::Level;
use policy::quota::covering::Part;
use policy::quota::lease::*;

use super::*;

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn account_of(number: u8) -> AccountId {
    AccountId::from_bytes([number; 16])
}

fn asked() -> GrantRequest {
    let ask = |number: u8, part| Ask {
        quota: QuotaId::new(uuid(number.into())),
        part,
        account: account_of(number),
        need: 3,
        want: u64::MAX,
    };
    GrantRequest {
        grant: GrantId::new(uuid(1)),
        holder: HolderId::new(uuid(2)),
        exchange: ExchangeId::new(uuid(3)),
        asks: vec![ask(4, Part::Limit), ask(5, Part::MemberCap)],
    }
}

fn window_of(keeping: Keeping) -> WindowKey {
    WindowKey {
        start_ms: 1_000,
        width_ms: 60,
        keeping,
    }
}

fn granted() -> GrantAnswer {
    let slice = |number, keeping| Slice {
        account: account_of(number),
        amount: 12,
        window: window_of(keeping),
        ends: Timestamp::from_millis(9_000),
        left: 88,
    };
    GrantAnswer::Granted(Granted {
        grant: GrantId::new(uuid(1)),
        expires: Timestamp::from_millis(15_000),
        slices: vec![slice(4, Keeping::Durable), slice(5, Keeping::Hot)],
    })
}

fn refused(kind: RefusalKind, level: Level, retry_after_ms: Option<u64>) -> GrantAnswer {
    GrantAnswer::Refused(Refusal {
        kind,
        quota: QuotaId::new(uuid(4)),
        account: account_of(4),
        level,
        retry_after_ms,
    })
}

fn taken(number: u8) -> Taken {
    Taken {
        grant: GrantId::new(uuid(1)),
        account: account_of(number),
        amount: u64::MAX,
    }
}

fn kept() -> Keep {
    let hold = |number, strict| RunningHold {
        grant: GrantId::new(uuid(1)),
        account: account_of(number),
        window: window_of(Keeping::Hot),
        held: 100,
        so_far: 40,
        per_second: 7,
        strict,
    };
    let settlement = |attempt, sureness, closes| Settlement {
        exchange: ExchangeId::new(uuid(3)),
        attempt,
        admitted: Timestamp::from_millis(5),
        sureness,
        charges: vec![Charge {
            account: account_of(4),
            window: window_of(Keeping::Durable),
            amount: 40,
            debt: 2,
        }],
        taken: vec![taken(4), taken(5)],
        closes,
    };
    Keep {
        progress: Progress {
            holder: HolderId::new(uuid(2)),
            keep: vec![GrantId::new(uuid(1)), GrantId::new(uuid(8))],
            running: vec![Running {
                exchange: ExchangeId::new(uuid(3)),
                attempt: 2,
                admitted: Timestamp::from_millis(4),
                holds: vec![hold(4, true), hold(5, false)],
            }],
        },
        settlements: vec![
            settlement(1, Sureness::Exact, false),
            settlement(2, Sureness::Estimated, true),
        ],
        back: Return {
            taken: vec![taken(6)],
        },
    }
}

/// What arrives after everything that was sent became bytes.
fn carried<M: prost::Message + Default>(message: M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

#[test]
fn requests_arrive_as_they_were() {
    let message = carried(mesh::GrantRequest::from(&asked()));
    assert_eq!(GrantRequest::try_from(&message), Ok(asked()));
    let message = carried(mesh::KeepRequest::from(&kept()));
    assert_eq!(Keep::try_from(&message), Ok(kept()));
}

#[test]
fn answers_arrive_as_they_were() {
    let mut answers = vec![
        granted(),
        refused(RefusalKind::Contended, Level::Key, Some(0)),
    ];
    let exhausted = |level| refused(RefusalKind::Exhausted, level, None);
    answers.extend(Level::ALL.map(exhausted));
    for answer in answers {
        let message = carried(mesh::GrantAnswer::from(&answer));
        assert_eq!(message.of(GrantId::new(uuid(1))), Ok(answer));
    }
    let kept = Kept {
        grants: vec![GrantId::new(uuid(1))],
        expires: Timestamp::from_millis(15_000),
        wanted: vec![account_of(4)],
    };
    let message = carried(mesh::KeepAnswer::from(&kept));
    assert_eq!(Kept::try_from(&message), Ok(kept));
}

#[test]
fn a_presumption_never_arrives() {
    let mut keep = kept();
    keep.settlements[0].sureness = Sureness::Presumed;
    let arrived = Keep::try_from(&mesh::KeepRequest::from(&keep)).unwrap();
    assert_eq!(arrived.settlements[0].sureness, Sureness::Estimated);
}

#[track_caller]
fn check_asked(change: impl FnOnce(&mut mesh::GrantRequest), want: &str) {
    let mut message = mesh::GrantRequest::from(&asked());
    change(&mut message);
    let wrong = GrantRequest::try_from(&message).unwrap_err();
    assert_eq!(wrong.to_string(), want);
}

#[track_caller]
fn check_kept(change: impl FnOnce(&mut mesh::KeepRequest), want: &str) {
    let mut message = mesh::KeepRequest::from(&kept());
    change(&mut message);
    let wrong = Keep::try_from(&message).unwrap_err();
    assert_eq!(wrong.to_string(), want);
}

#[test]
fn a_field_that_means_nothing_is_named() {
    let id = "has 0 bytes: an id has 16";
    check_asked(|it| it.grant_id.clear(), &format!("`grant_id` {id}"));
    check_asked(
        |it| it.asks[1].account_id.push(0),
        "`asks[1].account_id` has 17 bytes: an id has 16",
    );
    check_asked(
        |it| it.asks = vec![mesh::GrantAsk::default(); 65],
        "`asks` has 65 elements: send at most 64",
    );
    check_kept(|it| it.keep[1].clear(), &format!("`keep[1]` {id}"));
    check_kept(
        |it| it.running[0].holds[1].window = None,
        "`running[0].holds[1].window` is missing: it must be given",
    );
    check_kept(
        |it| it.settlements[1].charges[0].account_id.clear(),
        &format!("`settlements[1].charges[0].account_id` {id}"),
    );
    check_kept(
        |it| it.settlements = vec![mesh::Settlement::default(); 513],
        "`settlements` has 513 elements: send at most 512",
    );
    check_kept(
        |it| it.returned[0].grant_id.clear(),
        &format!("`returned[0].grant_id` {id}"),
    );
}

#[test]
fn an_answer_that_means_nothing_is_named() {
    let of = |answer: mesh::GrantAnswer| answer.of(GrantId::new(uuid(1))).unwrap_err().to_string();
    assert_eq!(
        of(mesh::GrantAnswer::default()),
        "`answer` is missing: it must be given"
    );
    let refusal = refused(RefusalKind::Exhausted, Level::Key, None);
    let mut message = mesh::GrantAnswer::from(&refusal);
    if let Some(mesh::grant_answer::Answer::Refused(refused)) = &mut message.answer {
        refused.level = String::from("planet");
    }
    assert_eq!(
        of(message),
        "`refused.level` is `planet`: it must be the name of a level, as `key`"
    );
}

//! The ledger, as a filter meets it over gRPC.

use policy::ids::{ExchangeId, GrantId, HolderId, QuotaId};
use policy::quota::covering::Part;
use policy::quota::lease::{
    Ask, Charge, GrantAnswer, GrantRequest, Granted, Progress, RefusalKind, Return, Settlement,
    Slice, Sureness, Taken,
};
use policy::quota::{
    AccountId, CalendarWindow, Member, Period, Quota, QuotaNode, QuotaRules, QuotaWindow, Unit,
};
use policy::units::Timestamp;
use uuid::Uuid;
use wire::mesh as messages;
use wire::quota::{Keep, Kept};

use super::*;
use crate::ledger::Quotas;
use crate::ledger::opening::{Opened, Places};

/// A mesh with a ledger in a file, and filters that know `quotas`.
async fn mount_counting(quotas: Vec<Quota>) -> (Mounted, Opened) {
    let folder = tempfile::tempdir().unwrap();
    let opened = Opened::open(&Places::file(folder.path().join("ledger.db")))
        .await
        .unwrap();
    // The ledger knows these quotas, whatever the store has.
    opened.quotas.send_replace(Arc::new(Quotas::new(quotas)));
    let options = Options {
        ledger: Some(Opened {
            quotas: watch::Sender::default(),
            ..opened.clone()
        }),
        ..Options::default()
    };
    let mesh = mount_with(options).await;
    // The file stays open after its folder is gone.
    drop(folder);
    (mesh, opened)
}

fn quota(number: u128, limit: u64) -> Quota {
    let daily = QuotaWindow::Calendar(CalendarWindow {
        every: Period::Day,
        zone: String::from("UTC"),
        first_month: 1,
    });
    Quota {
        id: quota_id(number),
        name: format!("q{number}"),
        rules: QuotaRules::new(
            QuotaNode::Organisation,
            Unit::TotalTokens,
            limit,
            Some(daily),
        ),
    }
}

fn quota_id(number: u128) -> QuotaId {
    QuotaId::new(Uuid::from_u128(number))
}

fn account(number: u128) -> AccountId {
    account_of(quota_id(number))
}

pub(super) fn account_of(quota: QuotaId) -> AccountId {
    AccountId::of(quota, &Member::Everyone)
}

fn ask(number: u128, need: u64) -> Ask {
    ask_of(quota_id(number), need)
}

pub(super) fn ask_of(quota: QuotaId, need: u64) -> Ask {
    Ask {
        quota,
        part: Part::Limit,
        account: account_of(quota),
        need,
        want: need,
    }
}

fn holder() -> HolderId {
    HolderId::new(Uuid::from_bytes([1; 16]))
}

fn grant_id(number: u128) -> GrantId {
    GrantId::new(Uuid::from_u128(number))
}

pub(super) fn request(number: u128, asks: Vec<Ask>) -> GrantRequest {
    GrantRequest {
        grant: grant_id(number),
        holder: holder(),
        exchange: ExchangeId::new(Uuid::from_u128(number)),
        asks,
    }
}

async fn grant(filter: &mut Filter, request: &GrantRequest) -> GrantAnswer {
    let answer = filter.grant(messages::GrantRequest::from(request)).await;
    answer.unwrap().get_ref().of(request.grant).unwrap()
}

pub(super) async fn granted(filter: &mut Filter, request: &GrantRequest) -> Granted {
    match grant(filter, request).await {
        GrantAnswer::Granted(granted) => granted,
        GrantAnswer::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

pub(super) async fn refused(filter: &mut Filter, request: &GrantRequest) -> RefusalKind {
    match grant(filter, request).await {
        GrantAnswer::Granted(granted) => panic!("granted: {granted:?}"),
        GrantAnswer::Refused(refusal) => refusal.kind,
    }
}

pub(super) fn keep_nothing() -> Keep {
    Keep {
        progress: Progress {
            holder: holder(),
            keep: Vec::new(),
            running: Vec::new(),
        },
        settlements: Vec::new(),
        back: Return::default(),
    }
}

pub(super) async fn keep(filter: &mut Filter, keep: &Keep) -> Kept {
    let answer = filter.keep(messages::KeepRequest::from(keep)).await;
    Kept::try_from(answer.unwrap().get_ref()).unwrap()
}

fn settlement(number: u128, granted: &Granted, amount: u64) -> Settlement {
    let charge = |slice: &Slice| Charge {
        account: slice.account,
        window: slice.window,
        amount,
        debt: 0,
    };
    let taken = |slice: &Slice| Taken {
        grant: granted.grant,
        account: slice.account,
        amount: slice.amount,
    };
    Settlement {
        exchange: ExchangeId::new(Uuid::from_u128(number)),
        attempt: 1,
        admitted: Timestamp::from_millis(crate::clock::now().as_millis()),
        sureness: Sureness::Exact,
        charges: granted.slices.iter().map(charge).collect(),
        taken: granted.slices.iter().map(taken).collect(),
        closes: true,
    }
}

async fn stands(opened: &Opened, number: u128) -> (u64, u64) {
    let figures = opened.ledgers.look(vec![ask(number, 0)]).await.unwrap();
    (figures[0].used.spent, figures[0].used.held)
}

#[tokio::test]
async fn what_is_granted_is_settled_once() {
    let (mesh, opened) = mount_counting(vec![quota(1, 100), quota(2, 1_000)]).await;
    let mut filter = mesh.filter().await;
    let asked = request(1, vec![ask(1, 10), ask(2, 10)]);
    let slices = granted(&mut filter, &asked).await;
    assert_eq!(slices.slices.len(), 2);
    assert_eq!(granted(&mut filter, &asked).await, slices);
    assert_eq!(stands(&opened, 1).await, (0, 10));
    let mut told = keep_nothing();
    told.settlements = vec![settlement(1, &slices, 7)];
    for _ in 0..2 {
        keep(&mut filter, &told).await;
        assert_eq!(stands(&opened, 1).await, (7, 0));
        assert_eq!(stands(&opened, 2).await, (7, 0));
    }
    let too_much = request(2, vec![ask(2, 10), ask(1, 94)]);
    assert_eq!(
        refused(&mut filter, &too_much).await,
        RefusalKind::Exhausted
    );
    assert_eq!(stands(&opened, 2).await, (7, 0), "all or nothing");
}

#[tokio::test]
async fn leases_live_on_that_have_nothing_left_to_settle() {
    let (mesh, opened) = mount_counting(vec![quota(1, 100)]).await;
    let mut filter = mesh.filter().await;
    let one = granted(&mut filter, &request(1, vec![ask(1, 10)])).await;
    granted(&mut filter, &request(2, vec![ask(1, 20)])).await;
    let mut told = keep_nothing();
    told.settlements = vec![settlement(1, &one, 10)];
    told.back.taken = vec![Taken {
        grant: grant_id(2),
        account: account(1),
        amount: 5,
    }];
    told.progress.keep = vec![grant_id(1), grant_id(2), grant_id(9)];
    let kept = keep(&mut filter, &told).await;
    assert_eq!(kept.grants, [grant_id(2)], "used up, kept, and never made");
    assert!(kept.expires > crate::clock::now());
    assert_eq!(stands(&opened, 1).await, (10, 15));
}

#[tokio::test]
async fn holders_hear_of_accounts_that_others_wait_for() {
    let (mesh, _opened) = mount_counting(vec![quota(1, 100)]).await;
    let mut filter = mesh.filter().await;
    granted(&mut filter, &request(1, vec![ask(1, 80)])).await;
    assert_eq!(keep(&mut filter, &keep_nothing()).await.wanted, []);
    let more = request(2, vec![ask(1, 30)]);
    assert_eq!(refused(&mut filter, &more).await, RefusalKind::Contended);
    assert_eq!(
        keep(&mut filter, &keep_nothing()).await.wanted,
        [account(1)]
    );
}

#[tokio::test]
async fn a_message_that_means_nothing_is_refused_by_field() {
    let (mesh, _opened) = mount_counting(vec![quota(1, 100)]).await;
    let mut filter = mesh.filter().await;
    let mut asked = messages::GrantRequest::from(&request(1, vec![ask(1, 1)]));
    asked.asks[0].account_id.pop();
    let status = filter.grant(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("`asks[0].account_id`"),
        "{status}"
    );
    let twice = messages::GrantRequest::from(&request(1, vec![ask(1, 1), ask(1, 1)]));
    let status = filter.grant(twice).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("`asks`"), "{status}");
    let mut told = messages::KeepRequest::from(&keep_nothing());
    told.holder_id.clear();
    let status = filter.keep(told).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("`holder_id`"), "{status}");
}

#[tokio::test]
async fn without_a_ledger_nothing_is_granted() {
    let mesh = mount().await;
    let mut filter = mesh.filter().await;
    let asked = messages::GrantRequest::from(&request(1, vec![ask(1, 1)]));
    let status = filter.grant(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

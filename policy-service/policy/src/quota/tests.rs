use proptest::prelude::*;
use uuid::Uuid;

use super::check::problems;
use super::covering::{Charged, Part, Target, covering};
use super::*;
use crate::compiled::Principal;
use crate::fixture::patterns;

fn id<T>(wrap: fn(Uuid) -> T, number: u128) -> T {
    wrap(Uuid::from_u128(number))
}

fn month() -> Option<QuotaWindow> {
    Some(QuotaWindow::Calendar(CalendarWindow {
        every: Period::Month,
        zone: "Europe/Berlin".to_owned(),
        first_month: 1,
    }))
}

fn minute() -> Option<QuotaWindow> {
    Some(QuotaWindow::Rolling {
        duration_ms: 60_000,
    })
}

fn dollars(node: QuotaNode, limit: u64) -> QuotaRules {
    QuotaRules::new(node, Unit::MicroUsd, limit * 1_000_000, month())
}

fn quota(number: u128, rules: QuotaRules) -> Quota {
    Quota {
        id: id(QuotaId::new, number),
        name: format!("q{number}"),
        rules,
    }
}

fn principal() -> Principal {
    Principal {
        key: Some(id(KeyId::new, 1)),
        user: Some(id(UserId::new, 2)),
        team: Some(id(TeamId::new, 3)),
        customer: Some(id(CustomerId::new, 4)),
        environment: String::new(),
    }
}

#[track_caller]
fn covered(quotas: &[Quota], payer: &Principal, session: &str) -> Vec<(u128, Level, Part)> {
    let payer = Payer {
        principal: payer,
        session,
        agent: "",
    };
    let targets = [Target {
        provider: "anthropic",
        model: "claude-opus-4-5",
    }];
    covering(quotas, &payer, &targets)
        .iter()
        .map(|it: &Charged<'_>| (it.quota.id.uuid().as_u128(), it.level, it.part))
        .collect()
}

#[test]
fn all_levels_are_charged_lowest_first() {
    let quotas = [
        quota(1, dollars(QuotaNode::Organisation, 1)),
        quota(2, dollars(QuotaNode::Customer(id(CustomerId::new, 4)), 1)),
        quota(3, dollars(QuotaNode::Team(id(TeamId::new, 3)), 1)),
        quota(5, dollars(QuotaNode::User(id(UserId::new, 2)), 1)),
        quota(4, dollars(QuotaNode::User(id(UserId::new, 2)), 1)),
        quota(6, dollars(QuotaNode::Key(id(KeyId::new, 1)), 1)),
        quota(7, dollars(QuotaNode::EachSession(Scope::Global), 1)),
        quota(8, dollars(QuotaNode::Team(id(TeamId::new, 99)), 1)),
    ];
    let order: Vec<u128> = covered(&quotas, &principal(), "s")
        .iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(order, [7, 6, 4, 5, 3, 2, 1]);
}

#[test]
fn a_member_cap_is_an_account_of_its_own() {
    let mut rules = dollars(QuotaNode::Team(id(TeamId::new, 3)), 10);
    rules.member_cap = Some(1);
    assert_eq!(
        covered(&[quota(1, rules)], &principal(), ""),
        [
            (1, Level::User, Part::MemberCap),
            (1, Level::Team, Part::Limit)
        ]
    );
}

#[test]
fn quotas_for_other_models_or_providers_do_not_cover() {
    let node = QuotaNode::Organisation;
    let with = |models: &[&str], providers: &[&str]| QuotaRules {
        models: patterns(models),
        providers: providers.iter().map(|it| (*it).to_owned()).collect(),
        ..dollars(node, 1)
    };
    let quotas = [
        quota(1, with(&["claude-*"], &[])),
        quota(2, with(&["gpt-*"], &[])),
        quota(3, with(&[], &["anthropic"])),
        quota(4, with(&["claude-*"], &["openai"])),
        quota(
            5,
            QuotaRules {
                enabled: false,
                ..dollars(node, 1)
            },
        ),
    ];
    let order: Vec<u128> = covered(&quotas, &principal(), "")
        .iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(order, [1, 3]);
}

#[test]
fn members_sessions_and_keys_have_accounts_of_their_own() {
    let quotas = [quota(1, dollars(QuotaNode::EachSession(Scope::Global), 1))];
    let targets = [Target {
        provider: "p",
        model: "m",
    }];
    let account = |key: u128, session| {
        let principal = Principal {
            key: Some(id(KeyId::new, key)),
            ..principal()
        };
        covering(
            &quotas,
            &Payer {
                principal: &principal,
                session,
                agent: "",
            },
            &targets,
        )[0]
        .account
    };
    assert_eq!(account(1, "a"), account(1, "a"));
    assert_ne!(account(1, "a"), account(1, "b"));
    assert_ne!(
        account(1, "a"),
        account(2, "a"),
        "a session id of another key is another session"
    );
    assert_ne!(
        account(1, ""),
        account(2, ""),
        "without a session the key counts"
    );
}

#[test]
fn each_member_of_a_team_is_the_user_or_the_key() {
    let node = QuotaNode::EachMember(id(TeamId::new, 3));
    let quotas = [quota(1, dollars(node, 500))];
    let targets = [Target {
        provider: "p",
        model: "m",
    }];
    let account = |principal: &Principal| {
        covering(
            &quotas,
            &Payer {
                principal,
                session: "",
                agent: "",
            },
            &targets,
        )
        .first()
        .map(|it| it.account)
    };
    let service = Principal {
        user: None,
        ..principal()
    };
    let stranger = Principal {
        team: None,
        ..principal()
    };
    let user = Member::User(id(UserId::new, 2));
    assert_eq!(
        account(&principal()),
        Some(AccountId::of(id(QuotaId::new, 1), &user))
    );
    assert!(account(&service).is_some_and(|it| Some(it) != account(&principal())));
    assert_eq!(account(&stranger), None);
}

#[test]
fn raises_count_until_they_end() {
    let at = Timestamp::from_millis;
    let mut rules = dollars(QuotaNode::Organisation, 1);
    rules.raises = vec![
        Raise {
            amount: 500_000,
            until: at(1_000),
        },
        Raise {
            amount: 250_000,
            until: at(2_000),
        },
    ];
    let limits = [999, 1_000, 1_999, 2_000].map(|now| rules.limit_at(at(now)));
    assert_eq!(limits, [1_750_000, 1_250_000, 1_250_000, 1_000_000]);
}

#[test]
fn soft_limits_refuse_nothing_or_later() {
    assert_eq!(Mode::Hard.ceiling(100), Some(100));
    assert_eq!(Mode::Soft.ceiling(100), None);
    assert_eq!(Mode::SoftUntil { percent: 120 }.ceiling(100), Some(120));
    assert_eq!(
        Mode::SoftUntil { percent: 120 }.ceiling(u64::MAX),
        Some(u64::MAX)
    );
}

#[test]
fn rules_say_what_they_mean() {
    let team = QuotaNode::EachMember(id(TeamId::new, 3));
    assert_eq!(
        dollars(team, 500).describe("team `core`"),
        "At most $500.00 per month (Europe/Berlin) for each member of team `core`; more is refused."
    );
    let mut rules = QuotaRules::new(
        QuotaNode::Organisation,
        Unit::TotalTokens,
        1_234_567,
        minute(),
    );
    rules.mode = Mode::SoftUntil { percent: 150 };
    rules.models = patterns(&["gpt-*"]);
    rules.member_cap = Some(1_000);
    assert_eq!(
        rules.describe(""),
        "At most 1,234,567 tokens in any minute for everything together, of which one member at most 1,000 tokens, \
         for models `gpt-*`; more is flagged, and refused from 150 % on."
    );
    let concurrent = QuotaRules::new(QuotaNode::Organisation, Unit::Concurrent, 4, None);
    assert_eq!(
        concurrent.describe(""),
        "At most 4 requests at a time for everything together; more is refused."
    );
    assert_eq!(
        Amount {
            unit: Unit::MicroUsd,
            amount: 1_000_001
        }
        .to_string(),
        "$1.000001"
    );
}

#[track_caller]
fn check_fields(rules: &QuotaRules, want: &[&str]) {
    let found = problems(rules, &|zone| zone == "Europe/Berlin");
    let fields: Vec<_> = found.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(fields, want, "{found:?}");
}

#[test]
fn good_rules_have_no_problem() {
    check_fields(&dollars(QuotaNode::Organisation, 1), &[]);
    check_fields(
        &QuotaRules::new(QuotaNode::Organisation, Unit::Requests, 10, minute()),
        &[],
    );
    check_fields(
        &QuotaRules::new(QuotaNode::Organisation, Unit::Concurrent, 4, None),
        &[],
    );
}

#[test]
fn every_problem_is_told() {
    let key = QuotaNode::Key(id(KeyId::new, 1));
    let rules = QuotaRules {
        member_cap: Some(2_000_000),
        alerts: vec![80, 50],
        mode: Mode::SoftUntil { percent: 100 },
        on_outage: OnOutage::Allow { outage_cap: 0 },
        contention_wait_ms: 600_000,
        raises: vec![Raise {
            amount: 0,
            until: Timestamp::from_millis(1),
        }],
        window: Some(QuotaWindow::Calendar(CalendarWindow {
            every: Period::Year,
            zone: "Europe/Atlantis".to_owned(),
            first_month: 13,
        })),
        ..dollars(key, 1)
    };
    check_fields(
        &rules,
        &[
            "member_cap",
            "raises[0].amount",
            "alerts",
            "on_outage.allow.outage_cap",
            "contention_wait_ms",
            "mode.soft_until.percent",
            "window.calendar.zone",
            "window.calendar.first_month",
            "member_cap",
        ],
    );
}

#[test]
fn windows_fit_their_unit() {
    let rules = |unit, window| QuotaRules::new(QuotaNode::Organisation, unit, 1, window);
    check_fields(&rules(Unit::Requests, None), &["window"]);
    check_fields(&rules(Unit::Concurrent, minute()), &["window"]);
    let short = Some(QuotaWindow::Rolling {
        duration_ms: 59_999,
    });
    check_fields(
        &rules(Unit::Requests, short),
        &["window.rolling.duration_ms"],
    );
}

#[test]
fn quotas_stand_at_what_is_there() {
    use crate::documents::Documents;
    let mut documents = Documents::default();
    let mut missing = quota(1, dollars(QuotaNode::EachMember(id(TeamId::new, 3)), 1));
    missing.rules.providers = vec!["nowhere".to_owned()];
    missing.name = "Per Head".to_owned();
    documents.quotas.insert(missing.id, missing);
    let found: Vec<_> = crate::check::check(&documents)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "`quotas[Per Head].name`: the name of a quota is made of lower-case letters, digits and inner `-`, at most 40",
            "`quotas[Per Head].node`: there is no such team",
            "`quotas[Per Head].providers[0]`: there is no provider `nowhere`",
        ]
    );
}

#[test]
fn unknown_fields_are_refused() {
    let good = serde_json::to_value(dollars(QuotaNode::Organisation, 1)).unwrap();
    assert!(serde_json::from_value::<QuotaRules>(good.clone()).is_ok());
    let mut bad = good;
    bad["budget"] = 5.into();
    let error = serde_json::from_value::<QuotaRules>(bad)
        .unwrap_err()
        .to_string();
    assert!(error.contains("unknown field `budget`"), "{error}");
}

fn node() -> impl Strategy<Value = QuotaNode> {
    let scope = |number| {
        prop_oneof![
            Just(Scope::Global),
            Just(Scope::Customer(id(CustomerId::new, number))),
            Just(Scope::Team(id(TeamId::new, number))),
            Just(Scope::User(id(UserId::new, number))),
            Just(Scope::Key(id(KeyId::new, number))),
        ]
    };
    (1..6_u128).prop_flat_map(move |number| {
        prop_oneof![
            Just(QuotaNode::Organisation),
            Just(QuotaNode::Customer(id(CustomerId::new, number))),
            Just(QuotaNode::Team(id(TeamId::new, number))),
            Just(QuotaNode::User(id(UserId::new, number))),
            Just(QuotaNode::Key(id(KeyId::new, number))),
            Just(QuotaNode::EachMember(id(TeamId::new, number))),
            scope(number).prop_map(QuotaNode::EachSession),
            scope(number).prop_map(QuotaNode::EachAgent),
        ]
    })
}

proptest! {
    #[test]
    fn the_index_finds_all_that_cover(nodes in prop::collection::vec(node(), 0..20), session in "s?", is_switched_on: bool) {
        let rules = |node| QuotaRules { enabled: is_switched_on, member_cap: Some(1), ..dollars(node, 5) };
        let quotas: Vec<_> = nodes.into_iter().zip(1..).map(|(node, number)| quota(number, rules(node))).collect();
        let principal = principal();
        let payer = Payer { principal: &principal, session: &session, agent: "" };
        let targets = [Target { provider: "p", model: "m" }];
        let index = QuotaIndex::new(quotas.clone());
        prop_assert_eq!(index.covering(&payer, &targets), covering(&quotas, &payer, &targets));
    }

    #[test]
    fn amounts_are_written_exactly(micros: u64) {
        let text = Amount { unit: Unit::MicroUsd, amount: micros }.to_string();
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let scale = if text.len() - text.rfind('.').unwrap() == 3 { 10_000 } else { 1 };
        prop_assert_eq!(digits.parse::<u128>().unwrap() * scale, u128::from(micros));
    }
}

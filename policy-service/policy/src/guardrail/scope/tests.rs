use uuid::Uuid;

use super::*;
use crate::fixture::patterns;
use crate::guardrail::{Action, Detector, Direction, GuardCanary, Stage};
use crate::ids::{KeyId, TeamId, UserId};

fn team(number: u128) -> TeamId {
    TeamId::new(Uuid::from_u128(number))
}

fn guardrail(scope: GuardScope) -> CompiledGuardrail {
    let stages = vec![Stage {
        detectors: vec![Detector::HiddenText],
        action: Action::Block,
    }];
    let mut rules = GuardrailRules::new(stages);
    rules.scope = scope;
    CompiledGuardrail {
        id: GuardrailId::new(Uuid::from_u128(1)),
        name: "g".to_owned(),
        rules,
        canary: GuardCanary {
            text: String::new(),
            rule: String::new(),
        },
    }
}

#[track_caller]
fn check(scope: GuardScope, want: bool) {
    let principal = Principal {
        key: Some(KeyId::new(Uuid::from_u128(3))),
        user: Some(UserId::new(Uuid::from_u128(4))),
        team: Some(team(5)),
        ..Principal::default()
    };
    let subject = Subject {
        principal: &principal,
        surface: Surface::OpenaiChat,
        asked_model: "fast",
        targets: &[
            GuardTarget {
                provider: "openai",
                model: "gpt-5",
            },
            GuardTarget {
                provider: "router",
                model: "anthropic/claude-4",
            },
        ],
        exchange: ExchangeId::new(Uuid::from_u128(9)),
    };
    assert_eq!(applies(&guardrail(scope), &subject), want);
}

#[test]
fn an_empty_scope_covers_everything() {
    check(GuardScope::default(), true);
}

#[test]
fn principals_count_as_one_list() {
    let scope = |teams: &[u128], keys: &[u128]| GuardScope {
        teams: teams.iter().copied().map(team).collect(),
        keys: keys
            .iter()
            .map(|id| KeyId::new(Uuid::from_u128(*id)))
            .collect(),
        ..GuardScope::default()
    };
    check(scope(&[5], &[]), true);
    check(scope(&[6], &[]), false);
    check(scope(&[6], &[3]), true);
}

#[test]
fn models_are_those_asked_for_and_those_of_targets() {
    let scope = |models: &[&str]| GuardScope {
        models: patterns(models),
        ..GuardScope::default()
    };
    check(scope(&["fast"]), true);
    check(scope(&["gpt-*"]), true);
    check(scope(&["claude-*"]), true);
    check(scope(&["o3"]), false);
}

#[test]
fn providers_and_surfaces_restrict() {
    let providers = |name: &str| GuardScope {
        providers: vec![name.to_owned()],
        ..GuardScope::default()
    };
    check(providers("router"), true);
    check(providers("google"), false);
    let surfaces = |surface| GuardScope {
        surfaces: vec![surface],
        ..GuardScope::default()
    };
    check(surfaces(Surface::OpenaiChat), true);
    check(surfaces(Surface::OpenaiResponses), false);
    let both = GuardScope {
        providers: vec!["router".to_owned()],
        ..surfaces(Surface::OpenaiResponses)
    };
    check(both, false);
}

#[test]
fn a_request_without_a_model_is_in_every_list_of_models() {
    let scope = GuardScope {
        models: patterns(&["o3"]),
        ..GuardScope::default()
    };
    let subject = Subject {
        principal: &Principal::default(),
        surface: Surface::OpenaiOpaque,
        asked_model: "",
        targets: &[],
        exchange: ExchangeId::new(Uuid::from_u128(9)),
    };
    assert!(scope.covers(&subject));
}

#[test]
fn sampling_takes_its_share_and_always_the_same() {
    let guardrail = GuardrailId::new(Uuid::from_u128(1));
    let taken = |sampling| {
        let exchanges = (0..10_000_u128).map(|id| ExchangeId::new(Uuid::from_u128(id)));
        exchanges
            .filter(|id| is_sampled(sampling, guardrail, *id))
            .count()
    };
    assert_eq!(taken(0), 0);
    assert_eq!(taken(10_000), 10_000);
    assert!((2_300..2_700).contains(&taken(2_500)));
    assert_eq!(taken(2_500), taken(2_500));
}

#[test]
fn roles_and_directions_choose_texts() {
    let mut rules = guardrail(GuardScope::default()).rules;
    assert!(rules.judges(Way::Request, TextRole::User));
    rules.direction = Direction::Response;
    assert!(!rules.judges(Way::Request, TextRole::User));
    rules.scope.roles = vec![TextRole::ToolArguments];
    assert!(rules.judges(Way::Response, TextRole::ToolArguments));
    assert!(!rules.judges(Way::Response, TextRole::Assistant));
}

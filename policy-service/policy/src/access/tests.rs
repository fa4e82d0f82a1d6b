use proptest::prelude::*;

use super::*;
use crate::documents::ProviderSelector;
use crate::fixture::{MODELS, access, allow, any_access, everything, patterns};

#[track_caller]
fn holds(rules: &[Access], model: &str, want: Result<(), Denial>) {
    assert_eq!(check(rules, "openai", model), want, "{model}");
}

#[test]
fn nothing_listed_allows_nothing() {
    holds(&[Access::default()], "gpt-5", Err(Denial::Provider));
    holds(
        &[access(vec![allow("openai", &[])])],
        "gpt-5",
        Err(Denial::Model),
    );
    holds(
        &[access(vec![allow("groq", &["*"])])],
        "gpt-5",
        Err(Denial::Provider),
    );
}

#[test]
fn no_rule_at_all_allows_everything() {
    holds(&[], "gpt-5", Ok(()));
}

#[test]
fn every_level_must_allow() {
    let (wide, narrow) = (everything(), access(vec![allow("openai", &["gpt-*"])]));
    holds(&[wide.clone(), narrow.clone()], "gpt-5", Ok(()));
    holds(&[wide.clone(), narrow.clone()], "o3", Err(Denial::Model));
    holds(&[narrow, wide], "o3", Err(Denial::Model));
}

#[test]
fn names_are_told_with_and_without_the_provider() {
    let rule = [access(vec![allow("*", &["openai/gpt-5"])])];
    holds(&rule, "gpt-5", Ok(()));
    assert_eq!(check(&rule, "groq", "gpt-5"), Err(Denial::Model));
}

#[test]
fn a_denial_reaches_a_resellers_name_for_the_model() {
    let mut rule = everything();
    rule.denied_models = patterns(&["gpt-*"]);
    assert_eq!(
        check(&[rule.clone()], "openrouter", "openai/gpt-5"),
        Err(Denial::Model)
    );
    assert_eq!(check(&[rule], "openrouter", "openai/o3"), Ok(()));
}

#[test]
fn a_denial_in_one_entry_beats_permission_in_another() {
    let mut denying = allow("*", &[]);
    denying.denied_models = patterns(&["gpt-5"]);
    let rule = [access(vec![allow("openai", &["*"]), denying])];
    holds(&rule, "gpt-5", Err(Denial::Model));
    holds(&rule, "o3", Ok(()));
}

#[test]
fn names_too_long_to_judge_are_not_allowed() {
    holds(
        &[everything()],
        &"a".repeat(MAX_PATTERN_BYTES),
        Err(Denial::Model),
    );
}

#[test]
fn a_request_without_a_model_needs_a_rule_that_does_not_ask() {
    holds(&[everything()], "", Ok(()));
    holds(
        &[access(vec![allow("openai", &["gpt-*"])])],
        "",
        Err(Denial::Model),
    );
    let mut denying = everything();
    denying.denied_models = patterns(&["o3"]);
    holds(&[denying], "", Err(Denial::Model));
}

proptest! {
    #[test]
    fn denial_beats_permission(mut rule in any_access(), model in proptest::sample::select(&MODELS[..])) {
        rule.denied_models.extend(patterns(&[model]));
        prop_assert!(check(&[rule], "a", model).is_err());
    }

    #[test]
    fn a_denied_provider_is_never_allowed(mut rule in any_access(), model in proptest::sample::select(&MODELS[..])) {
        rule.denied_providers.push(ProviderSelector("a".to_owned()));
        prop_assert_eq!(check(&[rule], "a", model), Err(Denial::Provider));
    }
}

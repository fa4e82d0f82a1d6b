use proptest::prelude::*;

use super::*;
use crate::compile::Compiled;
use crate::documents::{
    Access, AuthStyle, Documents, InferenceAuth, Owner, ProviderAccess, ProviderKeyState, Scope,
};
use crate::fixture::{
    MODELS, access, add_route, allow, any_access, any_documents, azure, compiled, documents,
    everything, patterns, provider, route, target, user,
};
use crate::ids::KeyId;
use crate::key::KeyHash;
use crate::pattern::ModelPattern;
use uuid::Uuid;

const OPENAI: Dialect = Dialect::Openai;

fn ask(model: &str) -> ModelAsk<'_> {
    ModelAsk {
        dialect: OPENAI,
        model,
        pinned_provider: None,
    }
}

fn holder(compiled: &Compiled) -> &CompiledKey {
    &compiled.keys[&KeyHash::new([1; 32])]
}

/// Provider, provider key and model of each attempt.
fn drawn(compiled: &Compiled, asked: &ModelAsk<'_>, seed: u64) -> Vec<String> {
    let order = candidates(&compiled.mesh, Some(holder(compiled)), asked)
        .unwrap()
        .order(seed);
    assert!(!order.degraded);
    let mut names = Vec::new();
    let mut shown = Vec::new();
    for target in &order.targets {
        let provider = &compiled.mesh.providers[target.provider];
        let key = target.key.map_or("-", |at| &provider.keys[at].name);
        names.push(provider.name.as_str());
        shown.push(format!("{} {key} {}", provider.name, target.model));
    }
    assert_eq!(order.cluster, plan_cluster(&names));
    shown
}

#[track_caller]
fn refused(documents: &Documents, asked: &ModelAsk<'_>, want: &NoRoute) {
    let compiled = compiled(documents);
    let got = candidates(&compiled.mesh, Some(holder(&compiled)), asked).unwrap_err();
    assert_eq!(got, *want);
}

fn set_access(documents: &mut Documents, access: Access) {
    for key in documents.keys.values_mut() {
        key.access = access.clone();
    }
}

#[test]
fn the_only_provider_serves_with_each_of_its_keys() {
    let compiled = compiled(&documents(vec![provider("a", OPENAI, 2)]));
    let mut drawn = drawn(&compiled, &ask("gpt-5"), 7);
    drawn.sort();
    assert_eq!(drawn, ["a k0 gpt-5", "a k1 gpt-5"]);
}

#[test]
fn a_provider_without_credentials_is_tried_once() {
    let mut local = provider("local", OPENAI, 0);
    local.auth = AuthStyle::None;
    let compiled = compiled(&documents(vec![local]));
    assert_eq!(drawn(&compiled, &ask("llama3"), 7), ["local - llama3"]);
}

#[test]
fn unrouted_models_go_to_two_providers() {
    let providers = ["a", "b", "c"].map(|name| provider(name, OPENAI, 1));
    let compiled = compiled(&documents(providers.into()));
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let drawn = drawn(&compiled, &ask("m"), seed);
        assert!(
            [
                ["a k0 m", "b k0 m"],
                ["b k0 m", "c k0 m"],
                ["c k0 m", "a k0 m"]
            ]
            .iter()
            .any(|want| drawn == want),
            "{drawn:?}"
        );
        firsts.insert(drawn[0].clone());
    }
    assert_eq!(firsts.len(), 3);
    assert_eq!(compiled.mesh.plans, ["plan/a,b", "plan/b,c", "plan/c,a"]);
}

#[test]
fn who_takes_everything_is_left_out_where_others_claim_the_model() {
    let listing = |name: &str, models: &[&str]| {
        let mut listing = provider(name, OPENAI, 1);
        listing.models = patterns(models);
        listing
    };
    let mut documents = documents(vec![
        listing("both", &["*", "o3"]),
        listing("demo", &["*"]),
        listing("openai", &["gpt-*", "o3"]),
        listing("other", &["regex:gpt-5.*"]),
    ]);
    let cases: [(&str, Option<&str>, &[&str]); 6] = [
        ("gpt-4.1", None, &["openai"]),
        ("gpt-5", None, &["openai", "other"]),
        ("O3", None, &["both", "openai"]),
        ("llama3", None, &["both", "demo"]),
        ("gpt-5", Some("demo"), &["demo"]),
        ("demo/gpt-5", None, &["demo"]),
    ];
    let compiled_documents = compiled(&documents);
    for (model, pinned_provider, want) in cases {
        let asked = ModelAsk {
            pinned_provider,
            ..ask(model)
        };
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..20 {
            for attempt in drawn(&compiled_documents, &asked, seed) {
                seen.extend(attempt.split(' ').next().map(str::to_owned));
            }
        }
        assert!(seen.iter().eq(want), "{model}: {seen:?}");
    }
    assert_eq!(
        compiled_documents.mesh.plans,
        [
            "plan/both,demo",
            "plan/both,openai",
            "plan/demo,both",
            "plan/openai,both",
            "plan/openai,other",
            "plan/other,openai"
        ]
    );
    set_access(&mut documents, access(vec![allow("demo", &["*"])]));
    // A claim of a provider that the key may not use takes nothing from the key.
    assert_eq!(
        drawn(&compiled(&documents), &ask("gpt-4.1"), 7),
        ["demo k0 gpt-4.1"]
    );
}

#[test]
fn the_keys_own_rule_weighs_providers() {
    let mut documents = documents(vec![provider("a", OPENAI, 1), provider("b", OPENAI, 1)]);
    let mut never_first = allow("a", &["*"]);
    never_first.weight = 0;
    set_access(
        &mut documents,
        access(vec![never_first, allow("b", &["*"])]),
    );
    let compiled = compiled(&documents);
    for seed in 0..20 {
        assert_eq!(drawn(&compiled, &ask("m"), seed), ["b k0 m", "a k0 m"]);
    }
}

#[test]
fn lower_priorities_come_first_and_weight_zero_is_for_fallback() {
    let mut documents = documents(["a", "b", "c"].map(|name| provider(name, OPENAI, 1)).into());
    let targets = vec![
        target("c", Some("z"), 1, 1),
        target("a", Some("x"), 0, 0),
        target("b", Some("y"), 0, 5),
    ];
    add_route(&mut documents, route(1, "fast", targets));
    let compiled = compiled(&documents);
    for seed in 0..20 {
        assert_eq!(
            drawn(&compiled, &ask("fast"), seed),
            ["b k0 y", "a k0 x", "c k0 z"]
        );
    }
}

#[test]
fn a_session_keeps_its_target_and_key_when_others_come_and_go() {
    let three = |with_c: bool| {
        let mut documents = documents(["a", "b", "c"].map(|name| provider(name, OPENAI, 3)).into());
        let mut targets = vec![target("a", None, 0, 1), target("b", None, 0, 1)];
        if with_c {
            targets.push(target("c", None, 0, 1));
        }
        add_route(&mut documents, route(1, "fast", targets));
        compiled(&documents)
    };
    let (with, without) = (three(true), three(false));
    for seed in 0..200 {
        let before = drawn(&with, &ask("fast"), seed).remove(0);
        let after = drawn(&without, &ask("fast"), seed).remove(0);
        assert!(
            before == after || before.starts_with("c "),
            "{before} {after}"
        );
    }
}

#[test]
fn short_attempts_reach_every_target_before_any_twice() {
    let mut documents = documents(["a", "b", "c"].map(|name| provider(name, OPENAI, 4)).into());
    let targets = ["a", "b", "c"].map(|name| target(name, None, 0, u32::from(name == "a")));
    add_route(&mut documents, route(1, "fast", targets.into()));
    for (max_attempts, want) in [
        (2, "plan/a,b"),
        (4, "plan/a,a,b,c"),
        (6, "plan/a,a,b,b,c,c"),
        (9, "plan/a,a,a,b,b,b,c,c,c"),
    ] {
        documents.settings.max_attempts = max_attempts;
        let compiled = compiled(&documents);
        let order = candidates(&compiled.mesh, Some(holder(&compiled)), &ask("fast"))
            .unwrap()
            .order(1);
        assert_eq!(order.cluster, want);
    }
}

#[test]
fn narrower_scopes_and_more_precise_aliases_win() {
    let mut documents = documents(vec![provider("a", OPENAI, 1)]);
    let user = *documents.users.keys().next().unwrap();
    let key = *documents.keys.keys().next().unwrap();
    let mut add = |number: u128, alias: &str, scope: Scope| {
        let mut route = route(
            number,
            alias,
            vec![target("a", Some(&format!("m{number}")), 0, 1)],
        );
        route.scope = scope;
        add_route(&mut documents, route);
    };
    add(1, "gpt-*", Scope::Global);
    add(2, "gpt-5*", Scope::Global);
    add(3, "gpt-5-mini", Scope::Global);
    add(4, "user-*", Scope::User(user));
    add(5, "user-x", Scope::Global);
    add(6, "*-key", Scope::Key(key));
    add(7, "user-key", Scope::User(user));
    let compiled = compiled(&documents);
    for (asked, want) in [
        ("gpt-4", "a k0 m1"),
        ("gpt-5.1", "a k0 m2"),
        ("GPT-5-mini", "a k0 m3"),
        ("user-x", "a k0 m4"),
        ("user-key", "a k0 m6"),
        ("other", "a k0 other"),
    ] {
        assert_eq!(drawn(&compiled, &ask(asked), 3), [want], "{asked}");
    }
}

#[test]
fn routes_of_others_do_not_apply() {
    let mut documents = documents(vec![provider("a", OPENAI, 1)]);
    let other = user(2);
    let mut theirs = route(1, "fast", vec![target("a", Some("x"), 0, 1)]);
    theirs.scope = Scope::User(other.id);
    documents.users.insert(other.id, other);
    add_route(&mut documents, theirs);
    assert_eq!(drawn(&compiled(&documents), &ask("fast"), 3), ["a k0 fast"]);
}

#[test]
fn a_provider_can_be_pinned_by_path_and_by_name() {
    let mut documents = documents(vec![provider("a", OPENAI, 1), provider("b", OPENAI, 1)]);
    add_route(
        &mut documents,
        route(
            1,
            "fast",
            vec![target("a", Some("x"), 0, 1), target("b", Some("y"), 1, 1)],
        ),
    );
    add_route(
        &mut documents,
        route(2, "*", vec![target("a", Some("z"), 0, 1)]),
    );
    let compiled = compiled(&documents);
    let at_b = |model| ModelAsk {
        pinned_provider: Some("b"),
        ..ask(model)
    };
    assert_eq!(drawn(&compiled, &at_b("fast"), 3), ["b k0 y"]);
    assert_eq!(drawn(&compiled, &at_b("other"), 3), ["b k0 other"]);
    assert_eq!(drawn(&compiled, &ask("b/fast"), 3), ["b k0 y"]);
    assert_eq!(
        drawn(&compiled, &ask("b/vendor/model"), 3),
        ["b k0 vendor/model"]
    );
    assert_eq!(drawn(&compiled, &ask("nobody/model"), 3), ["a k0 z"]);
}

#[test]
fn an_exact_alias_beats_the_provider_in_a_name() {
    let mut documents = documents(vec![provider("a", OPENAI, 1), provider("b", OPENAI, 1)]);
    add_route(
        &mut documents,
        route(1, "b/gpt-5", vec![target("a", Some("x"), 0, 1)]),
    );
    assert_eq!(drawn(&compiled(&documents), &ask("b/gpt-5"), 3), ["a k0 x"]);
}

#[test]
fn who_takes_everything_is_no_fallback_for_a_claimant_without_a_working_key() {
    let listing = |name: &str, models: &[&str]| {
        let mut listing = provider(name, OPENAI, 1);
        listing.models = patterns(models);
        listing
    };
    let documents = |state: ProviderKeyState, entries: Vec<ProviderAccess>| {
        let mut openai = listing("openai", &["gpt-*"]);
        openai.keys[0].state = state;
        let mut documents = documents(vec![openai, listing("stranger", &["*"])]);
        if !entries.is_empty() {
            set_access(&mut documents, access(entries));
        }
        documents
    };
    let no_key = NoRoute::NoUsableProviderKey {
        provider: "openai".to_owned(),
    };
    let mut keyless = allow("openai", &["*"]);
    keyless.provider_keys.clear();
    for (state, entries) in [
        (ProviderKeyState::Bad, vec![]),
        (ProviderKeyState::Disabled, vec![]),
        (
            ProviderKeyState::Active,
            vec![keyless, allow("stranger", &["*"])],
        ),
    ] {
        refused(&documents(state, entries), &ask("gpt-5"), &no_key);
    }
    // What nobody claims is served; so is what a rule takes from the claimant, and what a route gives.
    let unclaimed = documents(ProviderKeyState::Bad, vec![]);
    assert_eq!(
        drawn(&compiled(&unclaimed), &ask("llama3"), 7),
        ["stranger k0 llama3"]
    );
    let denied = documents(ProviderKeyState::Bad, vec![allow("stranger", &["*"])]);
    assert_eq!(
        drawn(&compiled(&denied), &ask("gpt-5"), 7),
        ["stranger k0 gpt-5"]
    );
    let mut routed = documents(ProviderKeyState::Bad, vec![]);
    let targets = vec![target("openai", None, 0, 1), target("stranger", None, 1, 1)];
    add_route(&mut routed, route(1, "gpt-5", targets));
    assert_eq!(
        drawn(&compiled(&routed), &ask("gpt-5"), 7),
        ["stranger k0 gpt-5"]
    );
}

#[test]
fn refusals_name_what_stood_in_the_way() {
    let mut documents = documents(vec![
        provider("a", OPENAI, 1),
        provider("b", Dialect::Anthropic, 1),
    ]);
    documents
        .providers
        .values_mut()
        .for_each(|provider| provider.models = patterns(&["gpt-*"]));
    let (provider, model) = ("a".to_owned(), "gpt-5".to_owned());
    refused(
        &documents,
        &ask("o3"),
        &NoRoute::UnknownModel {
            model: "o3".to_owned(),
        },
    );
    let pinned = |name| ModelAsk {
        pinned_provider: Some(name),
        ..ask("gpt-5")
    };
    refused(
        &documents,
        &pinned("zz"),
        &NoRoute::UnknownProvider {
            provider: "zz".to_owned(),
        },
    );
    refused(
        &documents,
        &pinned("b"),
        &NoRoute::OtherDialect {
            provider: "b".to_owned(),
            speaks: Dialect::Anthropic,
            asked: OPENAI,
        },
    );
    set_access(&mut documents, access(vec![allow("b", &["*"])]));
    refused(
        &documents,
        &ask("gpt-5"),
        &NoRoute::ProviderNotAllowed {
            provider: provider.clone(),
        },
    );
    set_access(&mut documents, access(vec![allow("a", &["o3"])]));
    refused(
        &documents,
        &ask("gpt-5"),
        &NoRoute::ModelNotAllowed {
            provider: provider.clone(),
            model,
        },
    );
    let mut keyless = allow("a", &["*"]);
    keyless.provider_keys.clear();
    set_access(&mut documents, access(vec![keyless]));
    refused(
        &documents,
        &ask("gpt-5"),
        &NoRoute::NoUsableProviderKey {
            provider: provider.clone(),
        },
    );
    set_access(&mut documents, everything());
    for found in documents.providers.values_mut() {
        found.keys[0].state = ProviderKeyState::Bad;
    }
    refused(
        &documents,
        &ask("gpt-5"),
        &NoRoute::NoUsableProviderKey { provider },
    );
}

#[test]
fn a_model_that_the_path_cannot_name_goes_elsewhere_or_nowhere() {
    let mut documents = documents(vec![provider("a", OPENAI, 1), provider("b", OPENAI, 1)]);
    for provider in documents.providers.values_mut() {
        provider.path_style = azure();
    }
    let asked = ask("gpt-5/chat/completions?x=");
    refused(
        &documents,
        &asked,
        &NoRoute::ModelNotInPath {
            provider: "a".to_owned(),
            model: "gpt-5/chat/completions?x=".to_owned(),
            fault: SegmentError::Character,
        },
    );
    for provider in documents.providers.values_mut() {
        if provider.name == "b" {
            provider.path_style = crate::documents::PathStyle::Native;
        }
    }
    let model = "gpt-5/chat/completions?x=";
    assert_eq!(
        drawn(&compiled(&documents), &asked, 1),
        [format!("b k0 {model}")]
    );
}

#[test]
fn models_without_a_price_can_be_refused() {
    let mut documents = documents(vec![provider("a", OPENAI, 1)]);
    documents.settings.on_unknown_price = crate::documents::OnUnknownPrice::Deny;
    documents
        .providers
        .values_mut()
        .for_each(|provider| provider.price_table = "openai".to_owned());
    let (provider, model) = ("a".to_owned(), "no-such-model".to_owned());
    refused(
        &documents,
        &ask("no-such-model"),
        &NoRoute::NoPrice { provider, model },
    );
}

#[test]
fn a_missing_plan_degrades_to_the_longest_prefix_there_is() {
    let mut documents = documents(["a", "b"].map(|name| provider(name, OPENAI, 2)).into());
    add_route(
        &mut documents,
        route(
            1,
            "fast",
            vec![target("a", None, 0, 1), target("b", None, 1, 1)],
        ),
    );
    let mut compiled = compiled(&documents);
    compiled.mesh.plans = vec!["plan/a,a,b".to_owned()];
    let order = |compiled: &Compiled| {
        let found = candidates(&compiled.mesh, Some(holder(compiled)), &ask("fast"))
            .unwrap()
            .order(1);
        (found.cluster, found.targets.len(), found.degraded)
    };
    assert_eq!(order(&compiled), ("plan/a,a,b".to_owned(), 3, true));
    compiled.mesh.plans.clear();
    assert_eq!(order(&compiled), ("provider/a".to_owned(), 2, true));
}

#[test]
fn models_are_listed_with_the_aliases_that_lead_somewhere() {
    let mut documents = documents(vec![provider("a", OPENAI, 1), provider("b", OPENAI, 1)]);
    for found in documents.providers.values_mut() {
        found.listed_models = vec!["gpt-5".to_owned(), format!("only-{}", found.name)];
    }
    add_route(
        &mut documents,
        route(1, "fast", vec![target("b", Some("gpt-5"), 0, 1)]),
    );
    add_route(
        &mut documents,
        route(2, "quick", vec![target("a", Some("gpt-5"), 0, 1)]),
    );
    add_route(
        &mut documents,
        route(3, "pattern-*", vec![target("a", None, 0, 1)]),
    );
    set_access(&mut documents, access(vec![allow("a", &["gpt-*"])]));
    let compiled = compiled(&documents);
    let key = Some(holder(&compiled));
    assert_eq!(models_for(&compiled.mesh, key, OPENAI), ["gpt-5", "quick"]);
    assert_eq!(
        models_for(&compiled.mesh, None, OPENAI),
        ["fast", "gpt-5", "only-a", "only-b", "quick"]
    );
    assert_eq!(
        models_for(&compiled.mesh, key, Dialect::Gemini),
        Vec::<String>::new()
    );
    assert_eq!(
        models_at(&compiled.mesh, key, OPENAI, "a").unwrap(),
        ["gpt-5", "quick"]
    );
    assert!(matches!(
        models_at(&compiled.mesh, key, OPENAI, "b"),
        Err(NoRoute::ProviderNotAllowed { .. })
    ));
}

#[test]
fn a_model_of_another_dialect_is_found_where_it_is_named() {
    let mut documents = documents(vec![
        provider("a", OPENAI, 1),
        provider("b", Dialect::Anthropic, 1),
        provider("c", Dialect::Gemini, 1),
    ]);
    for provider in documents.providers.values_mut() {
        provider.models = match provider.name.as_str() {
            "a" => patterns(&["gpt-*"]),
            "b" => patterns(&["claude-*", "*"]),
            _ => patterns(&["*"]),
        };
        if provider.name == "c" {
            provider.listed_models = vec!["gemini-a".to_owned()];
        }
    }
    add_route(
        &mut documents,
        route(1, "fast", vec![target("b", Some("claude-a"), 0, 1)]),
    );
    let compiled = compiled(&documents);
    let find = |dialect, model: &str, key| {
        let asked = ModelAsk {
            dialect,
            ..ask(model)
        };
        elsewhere(&compiled.mesh, key, &asked)
    };
    let key = Some(holder(&compiled));
    for (dialect, model, want) in [
        (OPENAI, "claude-a", Some(Dialect::Anthropic)),
        (OPENAI, "fast", Some(Dialect::Anthropic)),
        (OPENAI, "b/claude-a", Some(Dialect::Anthropic)),
        (OPENAI, "gemini-a", Some(Dialect::Gemini)),
        (OPENAI, "nobody-names-it", None),
        (Dialect::Anthropic, "gpt-5", Some(OPENAI)),
        (Dialect::Gemini, "claude-a", Some(Dialect::Anthropic)),
    ] {
        assert_eq!(find(dialect, model, key), want, "{model}");
    }
    let mut narrow = holder(&compiled).clone();
    narrow.access = vec![access(vec![allow("a", &["*"])])];
    for model in ["claude-a", "fast", "gemini-a", "b/claude-a"] {
        assert_eq!(find(OPENAI, model, Some(&narrow)), None, "{model}");
    }
}

#[test]
fn own_logins_go_to_one_place_without_our_credential() {
    let mut official = provider("claude", Dialect::Anthropic, 2);
    official.hosts = vec!["api.anthropic.com".to_owned()];
    let documents = documents(vec![official, provider("other", Dialect::Anthropic, 1)]);
    let compiled = compiled(&documents);
    let asked = ModelAsk {
        dialect: Dialect::Anthropic,
        model: "claude-x",
        pinned_provider: None,
    };
    let order = own_login(&compiled.mesh, holder(&compiled), &asked).unwrap();
    assert_eq!(order.cluster, "provider/claude");
    assert_eq!(
        order.targets,
        [AttemptTarget {
            provider: 0,
            key: None,
            model: "claude-x".to_owned()
        }]
    );
    let mut key = holder(&compiled).clone();
    key.access = vec![access(vec![allow("claude", &["claude-y"])])];
    assert!(matches!(
        own_login(&compiled.mesh, &key, &asked),
        Err(NoRoute::ModelNotAllowed { .. })
    ));
}

#[test]
fn paths_without_a_model_need_a_key_without_model_restrictions() {
    let mut documents = documents(vec![provider("a", OPENAI, 2), provider("b", OPENAI, 1)]);
    let at = |documents: &Documents, pin: Option<&str>| {
        let compiled = compiled(documents);
        let order = for_path(&compiled.mesh, Some(holder(&compiled)), OPENAI, pin, 1);
        order.map(|order| order.map(|order| order.cluster))
    };
    assert_eq!(at(&documents, None), Ok(None));
    assert_eq!(at(&documents, Some("a")), Ok(Some("provider/a".to_owned())));
    set_access(&mut documents, access(vec![allow("b", &["*"])]));
    assert_eq!(at(&documents, None), Ok(Some("provider/b".to_owned())));
    set_access(&mut documents, access(vec![allow("a", &["gpt-*"])]));
    assert!(matches!(
        at(&documents, Some("a")),
        Err(NoRoute::ModelNotAllowed { .. })
    ));
    let mut denying = everything();
    denying.denied_models = patterns(&["o3"]);
    set_access(&mut documents, denying);
    assert!(matches!(
        at(&documents, Some("a")),
        Err(NoRoute::ModelNotAllowed { .. })
    ));
}

fn asks() -> impl Strategy<Value = (String, Option<&'static str>)> {
    let plain = proptest::sample::select(&MODELS[..]).prop_map(str::to_owned);
    let named = (
        proptest::sample::select(vec!["a", "b", "x"]),
        proptest::sample::select(&MODELS[..]),
    )
        .prop_map(|(provider, model)| format!("{provider}/{model}"));
    let pin = proptest::option::weighted(0.2, proptest::sample::select(vec!["a", "b", "c"]));
    (prop_oneof![3 => plain, 1 => named], pin)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_drawn_is_allowed_and_has_its_cluster(
        documents in any_documents(), (model, pin) in asks(), seeds: [u64; 4],
    ) {
        let compiled = compiled(&documents);
        prop_assume!(!compiled.plans_are_incomplete);
        let unkeyed = (documents.settings.inference_auth == InferenceAuth::Observe).then_some(None);
        for key in compiled.keys.values().map(Some).chain(unkeyed) {
            let asked = ModelAsk { pinned_provider: pin, ..ask(&model) };
            let Ok(found) = candidates(&compiled.mesh, key, &asked) else { continue };
            for seed in seeds {
                let order = found.order(seed);
                prop_assert!(!order.degraded, "{}", order.cluster);
                prop_assert!(!order.targets.is_empty());
                prop_assert!(order.targets.len() <= usize::from(compiled.mesh.max_attempts));
                prop_assert_eq!(&order, &found.order(seed));
                for target in &order.targets {
                    let provider = &compiled.mesh.providers[target.provider];
                    prop_assert_eq!(provider.dialect, OPENAI);
                    if let Some(pin) = pin {
                        prop_assert_eq!(&provider.name, pin);
                    }
                    prop_assert_eq!(target.key.is_none(), provider.auth == AuthStyle::None);
                    let name = target.key.map(|at| provider.keys[at].name.as_str());
                    for rule in key.map_or(&[][..], |key| &key.access) {
                        prop_assert!(is_allowed(rule, &provider.name, &target.model, name));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_listed_is_served(documents in any_documents()) {
        let compiled = compiled(&documents);
        for key in compiled.keys.values() {
            for model in models_for(&compiled.mesh, Some(key), OPENAI) {
                prop_assert!(candidates(&compiled.mesh, Some(key), &ask(&model)).is_ok());
            }
        }
    }

    #[test]
    fn one_more_rule_never_allows_more(documents in any_documents(), rule in any_access(), (model, pin) in asks()) {
        let compiled = compiled(&documents);
        let asked = ModelAsk { pinned_provider: pin, ..ask(&model) };
        for key in compiled.keys.values() {
            let mut narrowed = key.clone();
            narrowed.access.push(rule.clone());
            if candidates(&compiled.mesh, Some(&narrowed), &asked).is_ok() {
                prop_assert!(candidates(&compiled.mesh, Some(key), &asked).is_ok());
            }
        }
    }
}

/// The rule of one level, said in another way than the code says it.
fn is_allowed(rule: &Access, provider: &str, model: &str, key: Option<&str>) -> bool {
    let full = format!("{provider}/{model}");
    let denies = |patterns: &[ModelPattern]| {
        patterns
            .iter()
            .any(|pattern| pattern.matches(model) || pattern.matches(&full))
    };
    let here = |entry: &&crate::documents::ProviderAccess| entry.provider.covers(provider);
    let is_denied = rule
        .denied_providers
        .iter()
        .any(|denied| denied.covers(provider))
        || denies(&rule.denied_models)
        || rule
            .providers
            .iter()
            .filter(here)
            .any(|entry| denies(&entry.denied_models));
    let is_permitted = rule.providers.iter().filter(here).any(|entry| {
        entry
            .models
            .iter()
            .any(|pattern| pattern.matches(model) || pattern.matches(&full))
            && key.is_none_or(|key| {
                entry
                    .provider_keys
                    .iter()
                    .any(|selector| selector.covers(key))
            })
    });
    is_permitted && !is_denied
}

#[test]
fn owners_of_other_kinds_have_routes_too() {
    let mut documents = documents(vec![provider("a", OPENAI, 1)]);
    let id = crate::ids::CustomerId::new(Uuid::from_u128(9));
    let customer = crate::documents::Customer {
        id,
        name: "acme".to_owned(),
        access: None,
    };
    documents.customers.insert(id, customer);
    documents
        .keys
        .get_mut(&KeyId::new(Uuid::from_u128(1)))
        .unwrap()
        .owner = Owner::Customer(id);
    let mut theirs = route(1, "fast", vec![target("a", Some("x"), 0, 1)]);
    theirs.scope = Scope::Customer(id);
    add_route(&mut documents, theirs);
    assert_eq!(drawn(&compiled(&documents), &ask("fast"), 3), ["a k0 x"]);
}

//! Documents for tests: built from short words, and drawn at random.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use uuid::Uuid;

use crate::compile::{Compiled, MeshSecrets, compile};
use crate::documents::*;
use crate::ids::*;
use crate::key::KeyHash;
use crate::pattern::ModelPattern;
use crate::secret::Secret;
use crate::surface::Dialect;

pub(crate) fn model(text: &str) -> ModelPattern {
    ModelPattern::parse(text).unwrap()
}

pub(crate) fn patterns(texts: &[&str]) -> Vec<ModelPattern> {
    texts.iter().map(|text| model(text)).collect()
}

/// An OpenAI-like provider with `keys` keys called `k0`, `k1`…
pub(crate) fn provider(name: &str, dialect: Dialect, keys: usize) -> Provider {
    let id = ProviderId::new(Uuid::from_u128(
        name.bytes().fold(1, |n, b| n * 256 + u128::from(b)),
    ));
    let key = |number: usize| ProviderKey {
        id: ProviderKeyId::new(Uuid::from_u128(id.uuid().as_u128() * 16 + number as u128)),
        name: format!("k{number}"),
        secret: Secret::new(format!("secret-{name}-{number}")),
        weight: 1,
        state: ProviderKeyState::Active,
    };
    Provider {
        id,
        name: name.to_owned(),
        dialect,
        base_url: format!("https://{name}.example").parse().unwrap(),
        auth: AuthStyle::Bearer,
        path_style: PathStyle::Native,
        hosts: Vec::new(),
        models: patterns(&["*"]),
        listed_models: Vec::new(),
        keys: (0..keys).map(key).collect(),
        stream_usage: StreamUsage::Ask,
        price_table: "free".to_owned(),
        stream_header_timeout_ms: 60_000,
        whole_header_timeout_ms: 600_000,
        idle_timeout_ms: None,
        on_no_answer: OnNoAnswer::default(),
        pass_request_headers: Vec::new(),
        pass_response_headers: Vec::new(),
        set_request_headers: BTreeMap::new(),
    }
}

/// Permission for a provider, its `models` and all its keys.
pub(crate) fn allow(provider: &str, allowed: &[&str]) -> ProviderAccess {
    ProviderAccess {
        provider: ProviderSelector(provider.to_owned()),
        models: patterns(allowed),
        denied_models: Vec::new(),
        provider_keys: vec![ProviderKeySelector("*".to_owned())],
        weight: 1,
    }
}

pub(crate) fn access(providers: Vec<ProviderAccess>) -> Access {
    Access {
        providers,
        ..Access::default()
    }
}

pub(crate) fn everything() -> Access {
    access(vec![allow("*", &["*"])])
}

/// A path that names the model.
pub(crate) fn azure() -> PathStyle {
    PathStyle::AzureDeployments {
        api_version: "2024-10-21".to_owned(),
    }
}

pub(crate) fn user(number: u128) -> User {
    User {
        id: UserId::new(Uuid::from_u128(number)),
        name: format!("user {number}"),
        team: None,
        customer: None,
        access: None,
    }
}

pub(crate) fn key(number: u8, owner: Owner, access: Access) -> VirtualKey {
    VirtualKey {
        id: KeyId::new(Uuid::from_u128(u128::from(number))),
        name: format!("key {number}"),
        hash: KeyHash::new([number; 32]),
        owner,
        environment: String::new(),
        state: KeyState::Active,
        expires_at: None,
        access,
        subscription: Subscription::Refused,
        opaque_paths: Vec::new(),
        on_revoke: None,
    }
}

pub(crate) fn target(
    provider: &str,
    model: Option<&str>,
    priority: u8,
    weight: u32,
) -> RouteTarget {
    RouteTarget {
        provider: provider.to_owned(),
        model: model.map(str::to_owned),
        priority,
        weight,
    }
}

pub(crate) fn route(number: u128, alias: &str, targets: Vec<RouteTarget>) -> Route {
    let id = RouteId::new(Uuid::from_u128(number));
    Route {
        id,
        scope: Scope::Global,
        alias: model(alias),
        targets,
    }
}

/// Documents with these providers, one user, and one key (number 1) of that user's that may use everything.
pub(crate) fn documents(providers: Vec<Provider>) -> Documents {
    let mut documents = Documents::default();
    for provider in providers {
        documents.providers.insert(provider.id, provider);
    }
    let user = user(1);
    let key = key(1, Owner::User(user.id), everything());
    documents.users.insert(user.id, user);
    documents.keys.insert(key.id, key);
    documents
}

pub(crate) fn add_route(documents: &mut Documents, route: Route) {
    documents.routes.insert(route.id, route);
}

pub(crate) fn secrets() -> MeshSecrets {
    MeshSecrets {
        canary: Secret::new("canary"),
        token_key: Secret::new("07".repeat(32)),
    }
}

#[track_caller]
pub(crate) fn compiled(documents: &Documents) -> Compiled {
    compile(documents, secrets()).unwrap_or_else(|problems| {
        let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        panic!("{problems:#?}")
    })
}

/// Names that drawn rules and requests are made of.
pub(crate) const MODELS: [&str; 5] = ["gpt-5", "gpt-5-mini", "o3", "fast", "claude"];
const PATTERNS: [&str; 7] = [
    "*",
    "gpt-*",
    "gpt-5",
    "o?",
    "regex:(gpt|o).*",
    "b/gpt-5",
    "claude",
];
const PROVIDERS: [&str; 4] = ["a", "b", "c", "d"];

fn any_models(most: usize) -> impl Strategy<Value = Vec<ModelPattern>> {
    vec(select(&PATTERNS[..]).prop_map(model), 0..=most)
}

fn any_provider_access() -> impl Strategy<Value = ProviderAccess> {
    let provider = select(vec!["*", "a", "b", "c"]);
    let keys = subsequence(vec!["*", "k0", "k1"], 0..=2);
    let denied = prop_oneof![4 => Just(Vec::new()), 1 => any_models(1)];
    (provider, any_models(2), denied, keys, 0_u32..3).prop_map(
        |(provider, models, denied_models, keys, weight)| ProviderAccess {
            provider: ProviderSelector(provider.to_owned()),
            models,
            denied_models,
            provider_keys: keys
                .into_iter()
                // Only `a` and `b` always have keys that a rule can name.
                .filter(|key| provider != "c" || *key == "*")
                .map(|key| ProviderKeySelector(key.to_owned()))
                .collect(),
            weight,
        },
    )
}

pub(crate) fn any_access() -> impl Strategy<Value = Access> {
    let denied = prop_oneof![3 => Just(None), 1 => select(vec!["a", "b", "*"]).prop_map(Some)];
    let denied_models = prop_oneof![3 => Just(Vec::new()), 1 => any_models(2)];
    let drawn = (vec(any_provider_access(), 0..=3), denied, denied_models).prop_map(
        |(providers, denied, denied_models)| Access {
            providers,
            denied_providers: denied
                .into_iter()
                .map(|name| ProviderSelector(name.to_owned()))
                .collect(),
            denied_models,
        },
    );
    prop_oneof![1 => Just(everything()), 4 => drawn]
}

fn any_provider(name: &'static str) -> impl Strategy<Value = Provider> {
    let served = prop_oneof![2 => Just(patterns(&["*"])), 1 => any_models(2)];
    (
        served,
        2_usize..=4,
        vec(0_u32..3, 4),
        any::<bool>(),
        0_u8..8,
    )
        .prop_map(move |(models, keys, weights, is_disabled, odd)| {
            let dialect = if name == "d" && odd > 3 {
                Dialect::Anthropic
            } else {
                Dialect::Openai
            };
            let mut provider = provider(name, dialect, keys);
            provider.models = models;
            for (key, weight) in provider.keys.iter_mut().zip(weights) {
                key.weight = weight;
            }
            if is_disabled {
                provider.keys[1].state = ProviderKeyState::Disabled;
            }
            if odd == 1 && name == "b" {
                provider.path_style = azure();
                provider
                    .models
                    .retain(|pattern| !pattern.as_str().contains('/'));
            }
            if odd == 0 && name > "b" {
                provider.keys.clear();
                provider.auth = AuthStyle::None;
            }
            provider
        })
}

fn any_route() -> impl Strategy<Value = (usize, ModelPattern, Vec<RouteTarget>)> {
    let target = (
        select(&PROVIDERS[..3]),
        proptest::option::of(select(&MODELS[..])),
        0_u8..3,
        0_u32..3,
    )
        .prop_map(|(provider, model, priority, weight)| target(provider, model, priority, weight));
    let alias = select(vec!["fast", "gpt-*", "*", "gpt-5", "o3"]).prop_map(model);
    (0_usize..6, alias, vec(target, 1..=4))
}

/// Documents that compile: up to four providers, up to four routes, two keys under a user, a team, a customer.
pub(crate) fn any_documents() -> impl Strategy<Value = Documents> {
    let rules = proptest::option::of(any_access());
    let above = (
        rules,
        proptest::option::weighted(0.3, any_access()),
        proptest::option::weighted(0.3, any_access()),
    );
    let providers = PROVIDERS.map(any_provider);
    let settings = (1_u8..=8, any::<bool>());
    let keys = (any_access(), any_access());
    (
        providers,
        above,
        keys,
        btree_map(1_u128..5, any_route(), 0..4),
        settings,
    )
        .prop_map(
            |(providers, above, keys, routes, (max_attempts, observes))| {
                let mut documents = documents(providers.into_iter().collect());
                documents.settings.max_attempts = max_attempts;
                if observes {
                    documents.settings.inference_auth = InferenceAuth::Observe;
                }
                let customer_id = CustomerId::new(Uuid::from_u128(3));
                let team_id = TeamId::new(Uuid::from_u128(2));
                let (access, name) = (above.0, "customer".to_owned());
                documents.customers.insert(
                    customer_id,
                    Customer {
                        id: customer_id,
                        name,
                        access,
                    },
                );
                let (access, name) = (above.1, "team".to_owned());
                let customer = Some(customer_id);
                documents.teams.insert(
                    team_id,
                    Team {
                        id: team_id,
                        name,
                        customer,
                        access,
                    },
                );
                let mut user = user(1);
                user.team = Some(team_id);
                user.access = above.2;
                documents.users.insert(user.id, user.clone());
                for (number, (owner, access)) in (1_u8..).zip([
                    (Owner::User(user.id), keys.0),
                    (Owner::Customer(customer_id), keys.1),
                ]) {
                    let key = key(number, owner, access);
                    documents.keys.insert(key.id, key);
                }
                let scopes = [
                    Scope::Global,
                    Scope::Customer(customer_id),
                    Scope::Team(team_id),
                    Scope::User(user.id),
                    Scope::Key(KeyId::new(Uuid::from_u128(1))),
                    Scope::Global,
                ];
                let mut seen = std::collections::BTreeSet::new();
                for (number, (scope, alias, mut targets)) in routes {
                    let mut route = route(number, alias.as_str(), Vec::new());
                    route.scope = scopes[scope];
                    let mut known = std::collections::BTreeSet::new();
                    targets.retain(|target| {
                        known.insert((target.provider.clone(), target.model.clone()))
                    });
                    route.targets = targets;
                    if seen.insert((route.scope, alias.as_str().to_owned())) {
                        add_route(&mut documents, route);
                    }
                }
                documents
            },
        )
}

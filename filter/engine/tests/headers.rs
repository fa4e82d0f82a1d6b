//! Which headers go up and which come back, over every attempt of an exchange.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::collections::BTreeMap;

use dialects::headers::lists;
use engine::messages::AttemptNumber;
use engine::{Command, HeaderEdit, Headers, Input};
use policy::documents::Subscription;
use policy::header::{HeaderWay, chooses_account, is_own, names_credential};
use policy::surface::Dialect;
use proptest::prelude::*;

use support::{Driven, World, key_text};

const ANTHROPIC: &str = r#"{"model":"claude-a","max_tokens":8,"messages":[]}"#;
const SMART: &str = r#"{"model":"smart","max_tokens":8,"messages":[]}"#;
const CHAT: &str = r#"{"model":"gpt-a","messages":[]}"#;

type Map = BTreeMap<String, Vec<String>>;

/// The header map that all attempts share.
fn edited(map: &mut Map, edits: &[HeaderEdit]) {
    let text = |value: &Vec<u8>| String::from_utf8(value.clone()).unwrap();
    for edit in edits {
        match edit {
            HeaderEdit::Set(name, value) => {
                map.insert(name.to_string(), vec![text(value)]);
            }
            HeaderEdit::Add(name, value) => map.entry(name.clone()).or_default().push(text(value)),
            HeaderEdit::Remove(name) => drop(map.remove(name.as_ref())),
        }
    }
}

fn map(pairs: &[(&str, &str)]) -> Map {
    let mut map = Map::new();
    for (name, value) in pairs {
        map.entry((*name).to_owned())
            .or_default()
            .push((*value).to_owned());
    }
    map
}

/// Sends a request and returns what each of `hosts` sees of `sent`, and of what the provider sets.
fn seen(world: &World, path: &str, sent: &[(&str, &str)], body: &str, hosts: &[&str]) -> Vec<Map> {
    let mut driven = Driven::post(world, path, sent, body);
    let mut shared = map(sent);
    edited(&mut shared, &driven.forwarded());
    let mut all = Vec::new();
    for (number, host) in (1..).zip(hosts) {
        edited(&mut shared, &driven.attempt(number, Some(host)));
        let mut seen = shared.clone();
        seen.retain(|name, _| !name.starts_with(':') && !MESHS_OWN.contains(&name.as_str()));
        all.push(seen);
        driven.commands();
        driven.begin_answer(number, 429, "application/json", &[]);
    }
    all
}

/// What the mesh sets on the way, beside what this test is about.
const MESHS_OWN: [&str; 7] = [
    "authorization",
    "content-length",
    "x-api-key",
    "x-envoy-max-retries",
    "x-envoy-retry-on",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-weir-plan",
];

#[test]
fn only_listed_headers_go_up() {
    let world = World::default();
    let sent = [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "a"),
        ("anthropic-beta", "b"),
        ("x-stainless-lang", "js"),
        ("user-agent", "claude-cli/2"),
        ("anthropic_beta", "c"),
        ("anthropic-workspace-id", "wrkspc_1"),
        ("anthropic-api-key", "sk"),
        ("x-claude-code-session_id", "s"),
        ("x-original-url", "/v1/files"),
        ("x-rewrite-url", "/v1/files"),
        ("x-http-method-override", "DELETE"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-envoy-original-path", "/"),
        ("x-weir-code", "x"),
        ("via", "1.1 x"),
        ("cookie", "a=b"),
        ("openai-organization", "org-1"),
    ];
    let all = seen(&world, "/v1/messages", &sent, ANTHROPIC, &["anthropic-a"]);
    assert_eq!(all, [map(&sent[..5])]);
    let dropped = world.dropped.borrow();
    let names: Vec<_> = dropped.iter().filter_map(|(_, name, _)| name).collect();
    assert_eq!(
        names,
        [
            "anthropic-api-key",
            "anthropic-workspace-id",
            "anthropic_beta",
            "cookie",
            "openai-organization",
            "via",
            "x-claude-code-session_id",
            "x-http-method-override",
            "x-original-url",
            "x-rewrite-url",
        ]
    );
}

#[test]
fn a_listed_header_with_a_virtual_key_in_it_does_not_go_up() {
    let world = World::default();
    let value = format!("see {}", key_text());
    let sent = [("user-agent", value.as_str()), ("accept", "*/*")];
    let all = seen(
        &world,
        "/v1/messages",
        &sent,
        SMART,
        &["anthropic-a", "anthropic-b"],
    );
    assert_eq!(all, [map(&sent[1..]), map(&sent[1..])]);
}

/// Each target sees its own list of the client's own headers, whatever the target before it saw.
#[test]
fn every_attempt_sees_its_own_providers_list() {
    let mut world = World::default();
    for provider in &mut world.mesh_mut().providers {
        match provider.name.as_str() {
            "anthropic-a" => {
                provider.pass_request_headers = vec!["x-first".to_owned(), "x-vendor-*".to_owned()];
                provider.set_request_headers = BTreeMap::from([
                    ("anthropic-workspace-id".to_owned(), "of-a".to_owned()),
                    ("x-app".to_owned(), "mesh-a".to_owned()),
                    ("x-both".to_owned(), "a".to_owned()),
                ]);
            }
            "anthropic-b" => {
                provider.pass_request_headers = vec!["x-second".to_owned()];
                provider.set_request_headers =
                    BTreeMap::from([("x-both".to_owned(), "b".to_owned())]);
            }
            _ => {}
        }
    }
    let sent = [
        ("x-app", "cli"),
        ("x-first", "1"),
        ("x-second", "2"),
        ("x-second", "2b"),
        ("x-vendor-a", "3"),
        ("x-vendor-project", "4"),
        ("x-neither", "5"),
        ("anthropic-workspace-id", "of-the-client"),
    ];
    let a = map(&[
        ("x-app", "mesh-a"),
        ("x-first", "1"),
        ("x-vendor-a", "3"),
        ("anthropic-workspace-id", "of-a"),
        ("x-both", "a"),
    ]);
    let b = map(&[
        ("x-app", "cli"),
        ("x-second", "2"),
        ("x-second", "2b"),
        ("x-both", "b"),
    ]);
    let hosts = ["anthropic-a", "anthropic-b"];
    assert_eq!(
        seen(&world, "/v1/messages", &sent, SMART, &hosts),
        [a, b.clone()]
    );
    // The first member of the plan has no host: Envoy takes the second one at once.
    assert_eq!(
        seen(&world, "/v1/messages", &sent, SMART, &["anthropic-b"]),
        [b]
    );
}

#[test]
fn an_own_login_carries_its_own_account_and_nothing_of_the_mesh() {
    let mut world = World::default();
    world.key_mut().subscription = Subscription::Allowed;
    for provider in &mut world.mesh_mut().providers {
        provider.set_request_headers = BTreeMap::from([(
            "anthropic-workspace-id".to_owned(),
            "of-the-mesh".to_owned(),
        )]);
    }
    let key = key_text();
    let sent = [
        ("x-weir-key", key.as_str()),
        ("authorization", "Bearer sk-ant-oat01-own"),
        ("anthropic-workspace-id", "own"),
        ("cookie", "a=b"),
        ("x-original-url", "/"),
    ];
    let mut driven = Driven::post_as(&world, "/v1/messages", &sent, ANTHROPIC);
    let mut shared = map(&sent);
    edited(&mut shared, &driven.forwarded());
    edited(&mut shared, &driven.attempt(1, Some("anthropic-a")));
    let kept = [
        "authorization",
        "anthropic-workspace-id",
        "cookie",
        "x-original-url",
        "x-weir-key",
    ];
    shared.retain(|name, _| kept.contains(&name.as_str()));
    assert_eq!(shared, map(&sent[1..3]));
}

/// What an answer with these headers looks like to the client.
fn back(world: &World, path: &str, body: &str, answered: &[(&str, &str)]) -> Map {
    let mut driven = Driven::post(world, path, &[], body);
    driven.forwarded();
    driven.attempt(1, None);
    driven.commands();
    let headers: Headers = answered.iter().copied().collect();
    driven.push(Input::AttemptHeaders {
        number: AttemptNumber(1),
        status: 200,
        headers: &headers,
        end_of_stream: false,
    });
    let mut shown = map(answered);
    for command in driven.commands() {
        let Command::EditResponse { edits } = command else {
            panic!("{command:?}");
        };
        edited(&mut shown, &edits);
    }
    shown
}

#[test]
fn only_listed_headers_come_back() {
    let mut world = World::default();
    for provider in &mut world.mesh_mut().providers {
        provider.pass_response_headers = vec!["x-vendor-*".to_owned(), "x-one".to_owned()];
    }
    let answered = [
        ("content-type", "application/json"),
        ("x-request-id", "req_1"),
        ("openai-processing-ms", "12"),
        ("x-ratelimit-remaining-tokens", "1"),
        ("retry-after-ms", "5"),
        ("x-should-retry", "false"),
        ("x-codex-primary-used-percent", "3"),
        ("x-vendor-a", "1"),
        ("x-one", "2"),
        ("x-weir-code", "forged"),
        ("x-weir-exchange-id", "forged"),
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
        ("alt-svc", "h3=\":443\""),
        ("access-control-allow-origin", "*"),
        ("strict-transport-security", "max-age=1"),
        ("openai-organization", "the-mesh-s"),
        ("openai-project", "proj"),
        ("x-vendor-project", "proj"),
        ("x-codex_y", "1"),
        ("server", "x"),
        ("x-envoy-immediate-health-check-fail", "1"),
        ("location", "https://elsewhere"),
    ];
    let shown = back(&world, "/v1/chat/completions", CHAT, &answered);
    assert_eq!(shown, map(&answered[..9]));
    let dropped = world.dropped.borrow();
    let cookies = dropped
        .iter()
        .find(|(_, name, _)| *name == Some("set-cookie"));
    assert_eq!(cookies, Some((HeaderWay::Response, Some("set-cookie"), 1)));
}

#[test]
fn trailers_follow_the_same_lists() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], ANTHROPIC);
    driven.forwarded();
    driven.attempt(1, None);
    let exchange = &driven.exchange;
    assert!(exchange.passes_request_trailer("x-stainless-lang", b"js"));
    assert!(!exchange.passes_request_trailer("x-stainless-lang", key_text().as_bytes()));
    assert!(!exchange.passes_request_trailer("x-weir-plan", b"x"));
    assert!(!exchange.passes_request_trailer("x-checksum", b"x"));
    assert!(exchange.passes_answer_trailer(AttemptNumber(1), "request-id"));
    for name in ["x-weir-code", "set-cookie", "x-checksum"] {
        assert!(
            !exchange.passes_answer_trailer(AttemptNumber(1), name),
            "{name}"
        );
    }
    assert!(!exchange.passes_answer_trailer(AttemptNumber(9), "request-id"));
}

/// A name near the lists: a listed one with another case of `-`, a word more or less.
fn names() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "anthropic-beta",
        "anthropic-",
        "x-claude-code-",
        "x-stainless-",
        "x-codex-",
        "openai-",
        "x-goog-",
        "session-id",
        "session_id",
        "x-app",
        "x-weir-",
        "x-envoy-",
        "accept",
        "x-",
        "",
    ]);
    let more = "(workspace|project|org|key|token|id|beta|a|url|_|-){0,3}";
    (known, more, any::<bool>()).prop_map(|(known, more, folded)| {
        let name = format!("{known}{more}");
        if folded { name.replace('-', "_") } else { name }
    })
}

proptest! {
    /// No header that the dialect does not list is ever seen by a provider, at any attempt.
    #[test]
    fn nothing_unlisted_ever_goes_up(names in prop::collection::vec(names(), 0..12), attempts in 1_usize..3) {
        let world = World::default();
        let mut sent: Vec<(&str, &str)> = Vec::new();
        for name in names.iter().filter(|name| !name.is_empty()) {
            sent.push((name, "v"));
        }
        let hosts = ["anthropic-a", "anthropic-b"];
        for map in seen(&world, "/v1/messages", &sent, SMART, hosts.get(..attempts).unwrap()) {
            for name in map.keys() {
                prop_assert!(lists(Dialect::Anthropic).passes_up(name, false), "{}", name);
                prop_assert!(!is_own(name) && !chooses_account(name) && !names_credential(name), "{}", name);
            }
        }
    }
}

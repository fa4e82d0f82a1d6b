//! Which target and which of the provider's keys a request gets: sessions stay, weights share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::client::Request;
use weir_tests::mesh::tenant::{Dialect, Registration, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, Seen, anthropic};
use weir_tests::tokens::Tokens;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

fn ask(model: &str) -> Request {
    let body = json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]});
    Request::post("/v1/messages", &body)
}

fn good() -> Answer {
    Answer::json(200, &anthropic::message("m", "hello", Tokens::new(1, 1)))
}

fn key_used(seen: &Seen) -> String {
    format!(
        "{} {}",
        seen.fields.get("host").unwrap_or_default(),
        seen.fields.get("x-api-key").unwrap_or_default()
    )
}

#[test]
fn a_session_stays_with_its_target_and_key() {
    let mocks = [good(), good()].map(MockProvider::always);
    let keys = json!([{"name": "a", "secret": "secret-a"}, {"name": "b", "secret": "secret-b"}]);
    let registrations: Vec<Registration> = mocks
        .iter()
        .map(|mock| Registration::new(Dialect::Anthropic, mock).with("keys", keys.clone()))
        .collect();
    let tenant = MESH.tenant(&registrations);
    let alias = unique("alias");
    let targets: Vec<Value> = tenant
        .providers
        .iter()
        .map(|provider| json!({"provider": provider}))
        .collect();
    MESH.change(|admin| admin.post("/routes", &json!({"alias": alias, "targets": targets})));
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for turn in 0..4 {
        for session in 0..24 {
            let header = ["x-claude-code-session-id", "session-id", "x-session-id"][session % 3];
            let session = format!("session-{session}");
            let request = ask(&alias)
                .field(header, &session)
                .field("x-turn", &turn.to_string());
            assert_eq!(MESH.send(&tenant.sign(request)).status, 200);
            let seen = mocks
                .iter()
                .flat_map(MockProvider::seen)
                .collect::<Vec<_>>();
            assert_eq!(seen.len(), 1);
            mocks.iter().for_each(MockProvider::forget);
            places
                .entry(session)
                .or_default()
                .insert(key_used(&seen[0]));
        }
    }
    assert!(
        places.values().all(|used| used.len() == 1),
        "a session moved: {places:#?}"
    );
    let all: BTreeSet<&String> = places.values().flatten().collect();
    eprintln!(
        "24 sessions over {} of 4 places (2 targets with 2 keys each)",
        all.len()
    );
    assert!(all.len() >= 3, "sessions do not spread: {all:?}");
}

/// A service with one virtual key and no sessions must not lean on one of the provider's keys.
#[test]
fn requests_without_a_session_use_every_key() {
    let provider = MockProvider::always(good());
    let names = ["a", "b", "c"];
    let keys = names.map(|name| json!({"name": name, "secret": format!("secret-{name}")}));
    let registration = Registration::new(Dialect::Anthropic, &provider).with("keys", json!(keys));
    let tenant = MESH.tenant(&[registration]);
    for _ in 0..60 {
        assert_eq!(MESH.send(&tenant.sign(ask("m"))).status, 200);
    }
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    for seen in provider.seen() {
        *used.entry(key_used(&seen)).or_default() += 1;
    }
    eprintln!("60 requests without a session: {used:?}");
    // Each key is expected 20 times; fewer than 5 would come once in a million runs.
    assert_eq!(used.len(), names.len());
    assert!(used.values().all(|count| *count >= 5), "{used:?}");
}

#[test]
fn weights_share_the_sessions() {
    let mocks = [good(), good(), good()].map(MockProvider::always);
    let registrations: Vec<Registration> = mocks
        .iter()
        .map(|mock| Registration::new(Dialect::Anthropic, mock))
        .collect();
    let tenant = MESH.tenant(&registrations);
    let alias = unique("alias");
    let targets = tenant.providers.iter().zip([9, 1, 0]);
    let targets: Vec<Value> = targets
        .map(|(provider, weight)| json!({"provider": provider, "weight": weight}))
        .collect();
    MESH.change(|admin| admin.post("/routes", &json!({"alias": alias, "targets": targets})));
    for session in 0..200 {
        let request = ask(&alias).field("x-session-id", &format!("session-{session}"));
        assert_eq!(MESH.send(&tenant.sign(request)).status, 200);
    }
    let [often, seldom, never] = mocks.each_ref().map(MockProvider::count);
    eprintln!("200 sessions at weights 9, 1, 0: {often}, {seldom}, {never}");
    assert_eq!((often + seldom, never), (200, 0));
    // Five standard deviations around 180.
    assert!(
        (159..=199).contains(&often),
        "{often} of 200 at a weight of 9 in 10"
    );
}

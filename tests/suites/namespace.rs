//! The whole mesh in a network namespace that has nothing but loopback: it works, and it asks for nothing else.

use std::time::Duration;

use serde_json::json;
use weir_tests::agents::{Desk, Endpoint};
use weir_tests::client::{Protocol, Request};
use weir_tests::mesh::tenant::{Dialect, Registration};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::namespace;
use weir_tests::not_tested;
use weir_tests::provider::{MockProvider, agents};
use weir_tests::surfaces;
use weir_tests::up::Home;
use weir_tests::wait;

const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn agents_and_mesh_need_nothing_but_loopback() {
    if namespace::is_inside() {
        return inside();
    }
    let run = match namespace::again("agents_and_mesh_need_nothing_but_loopback", PATIENCE) {
        Ok(run) => run,
        Err(obstacle) => {
            return not_tested("a network namespace with loopback only", &obstacle);
        }
    };
    assert!(run.succeeded(), "{}", run.text());
    assert!(run.stdout.contains("1 passed"), "{}", run.text());
}

fn inside() {
    assert_eq!(
        routeless(),
        0,
        "something tried to leave before the test began"
    );
    mesh_of_its_own();
    governed_mesh();
    assert_eq!(
        routeless(),
        0,
        "a part of Weir tried to reach something beyond this machine"
    );
    real_agents();
}

/// What a new user starts, with the demo provider.
fn mesh_of_its_own() {
    let home = Home::new();
    let up = home.start(&[]);
    let body = json!({"model": "demo-gpt", "messages": [{"role": "user", "content": "Hello"}]});
    let answered = up.send(&Request::post("/v1/chat/completions", &body).bearer(&up.key));
    assert_eq!(answered.status, 200, "{}", answered.text());
    assert!(up.interrupt().success());
}

/// Every surface through a mesh with providers of its own.
fn governed_mesh() {
    let mesh = Mesh::start(&Options::default());
    for case in surfaces::all("model-1") {
        let provider = MockProvider::always(case.answer.clone());
        let tenant = mesh.tenant(&[Registration::new(case.dialect, &provider)]);
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let answered = mesh.send_over(&tenant.sign(case.request()), protocol);
            assert_eq!(answered.body, case.answer.body(), "{}", case.name);
        }
        mesh.wait_records(&tenant.key_id, 2);
    }
}

/// Agents may try to reach their makers; they must do their work without.
fn real_agents() {
    let mesh = Mesh::start(&Options::default());
    for (dialect, model) in [
        (Dialect::Anthropic, "claude-sonnet-4-5"),
        (Dialect::Openai, "gpt-5"),
    ] {
        let desk = Desk::new();
        let task = desk.task();
        let scripted = task.clone();
        let provider = MockProvider::start(move |seen, _| match dialect {
            Dialect::Anthropic => agents::claude_code(&scripted, seen),
            Dialect::Openai | Dialect::Gemini => agents::codex(&scripted, seen),
        });
        let tenant = mesh.tenant(&[Registration::new(dialect, &provider)]);
        let endpoint = Endpoint {
            base: mesh.url(),
            key: Some(tenant.key),
            model: model.to_owned(),
        };
        let run = match dialect {
            Dialect::Anthropic => desk.claude_code(&endpoint, "Write the note."),
            Dialect::Openai | Dialect::Gemini => desk.codex(&endpoint, "Write the note."),
        };
        assert!(run.succeeded(), "{run:#?}");
        let written = wait::until("the agent's file", || desk.written(&task));
        assert_eq!(written, task.content);
    }
}

/// Packets and connections of this namespace for which there was no route: attempts to leave it.
fn routeless() -> u64 {
    let v4 = std::fs::read_to_string("/proc/net/snmp").expect("counters of the network");
    let mut lines = v4.lines().filter(|line| line.starts_with("Ip:"));
    let names = lines.next().unwrap_or_default().split_whitespace();
    let values = lines.next().unwrap_or_default().split_whitespace();
    let v4 = names
        .zip(values)
        .find(|(name, _)| *name == "OutNoRoutes")
        .map(|(_, value)| value.to_owned());
    let v6 = std::fs::read_to_string("/proc/net/snmp6").unwrap_or_default();
    let v6 = v6
        .lines()
        .find_map(|line| line.strip_prefix("Ip6OutNoRoutes"))
        .map(str::trim)
        .map(str::to_owned);
    let count = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
    count(v4).expect("the counter of IPv4") + count(v6).unwrap_or_default()
}

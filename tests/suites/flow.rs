//! How answers flow: each event as it comes, ends and breaks as the provider made them.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::json;
use weir_tests::client::h1::Connection;
use weir_tests::client::{Protocol, Request};
use weir_tests::mesh::tenant::{Dialect, Registration, Tenant};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::{Answer, Step};
use weir_tests::provider::{MockProvider, Outcome, anthropic, gemini, openai};
use weir_tests::surfaces::{self, CACHED};
use weir_tests::wait::{self, Gate};

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

const MODEL: &str = "model-1";

/// Requests that are answered by a stream, with the events of the answer.
fn streams() -> Vec<(&'static str, Dialect, Request, Vec<String>)> {
    let native = |name: &str| surfaces::case(name, MODEL).request();
    let not_asked = json!({"model": MODEL, "stream": true, "messages": []});
    let text = "one two three";
    vec![
        (
            "anthropic messages",
            Dialect::Anthropic,
            native("messages stream"),
            anthropic::stream(MODEL, text, CACHED),
        ),
        (
            "openai chat, usage not asked for",
            Dialect::Openai,
            Request::post("/v1/chat/completions", &not_asked),
            openai::chat_stream(MODEL, text, None),
        ),
        (
            "openai chat, usage asked for",
            Dialect::Openai,
            native("chat stream"),
            openai::chat_stream(MODEL, text, Some(CACHED)),
        ),
        (
            "openai responses",
            Dialect::Openai,
            native("responses stream"),
            openai::response_stream(MODEL, text, CACHED),
        ),
        (
            "gemini events",
            Dialect::Gemini,
            native("generate stream"),
            gemini::stream(MODEL, text, CACHED),
        ),
        (
            "gemini array",
            Dialect::Gemini,
            native("generate array"),
            gemini::array(MODEL, text, CACHED),
        ),
    ]
}

fn stage(dialect: Dialect, answer: Answer) -> (MockProvider, Tenant) {
    let provider = MockProvider::always(answer);
    let tenant = MESH.tenant(&[Registration::new(dialect, &provider)]);
    (provider, tenant)
}

/// The provider waits before each event until the client has the one before: what is held back stops it all.
#[test]
fn every_event_passes_at_once() {
    for (name, dialect, request, events) in streams() {
        let gates: Vec<Gate> = events.iter().map(|_| Gate::new()).collect();
        let mut answer = Answer::sse(Vec::<String>::new());
        for (gate, event) in gates.iter().zip(&events) {
            answer = answer
                .step(Step::Write(event.clone().into_bytes()))
                .step(Step::Wait(gate.clone()));
        }
        let (_provider, tenant) = stage(dialect, answer);
        let connection = Connection::open(MESH.address()).unwrap();
        connection.patience(Duration::from_secs(10)).unwrap();
        let mut running = connection.begin(&tenant.sign(request)).unwrap();
        for (gate, event) in gates.iter().zip(&events) {
            let mut got = Vec::new();
            while got.len() < event.len() {
                let piece = running.next().unwrap_or_else(|error| {
                    panic!("{name}: an event was held back ({error}): {event}")
                });
                got.extend(piece.expect("more of the event"));
            }
            assert_eq!(String::from_utf8_lossy(&got), *event, "{name}");
            gate.open();
        }
        let rest = running.finish();
        assert!(rest.complete && rest.body.is_empty(), "{name}: {rest:?}");
    }
}

/// Headers go on before the first event, so that a client can tell waiting from hanging.
#[test]
fn headers_pass_before_the_first_event() {
    for (name, dialect, request, events) in streams() {
        let gate = Gate::new();
        let answer = Answer::sse(events.clone()).before(0, Step::Wait(gate.clone()));
        let (_provider, tenant) = stage(dialect, answer);
        let connection = Connection::open(MESH.address()).unwrap();
        let running = connection.begin(&tenant.sign(request)).unwrap();
        assert_eq!(running.status, 200, "{name}");
        gate.open();
        assert_eq!(
            running.finish().body,
            events.concat().into_bytes(),
            "{name}"
        );
    }
}

/// An answer that breaks off is not passed on as if it had ended, and is recorded as broken.
#[test]
fn a_stream_that_breaks_is_seen_to_break() {
    for (name, dialect, request, events) in streams() {
        let body = events.concat();
        for how in [Step::Reset, Step::Cut] {
            let (provider, tenant) = stage(
                dialect,
                Answer::sse(events.clone()).broken_after(body.len() / 2, how),
            );
            for protocol in [Protocol::Http1, Protocol::Http2] {
                // A reset may overtake all that was written before it; then the next attempt has no other target.
                let answered = tenant.sign(request.clone()).send(MESH.address(), protocol);
                let whole = answered
                    .as_ref()
                    .is_ok_and(|answered| answered.complete && answered.status == 200);
                assert!(!whole, "{name} over {protocol:?}: {answered:?}");
            }
            assert_eq!(
                provider.count(),
                2,
                "{name}: a stream that had begun was asked for again"
            );
            for record in MESH.wait_records(&tenant.key_id, 2) {
                assert_eq!(
                    record["ended"],
                    json!("upstream_error"),
                    "{name}: {record:#}"
                );
            }
        }
    }
}

#[test]
fn a_body_that_ends_with_its_connection_passes() {
    for name in ["messages", "chat", "responses", "generate", "embeddings"] {
        let case = surfaces::case(name, MODEL);
        let (_provider, tenant) = stage(case.dialect, case.answer.clone().until_close());
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let answered = MESH.send_over(&tenant.sign(case.request()), protocol);
            assert_eq!(
                answered.text(),
                String::from_utf8(case.answer.body()).unwrap(),
                "{name}"
            );
        }
        for record in MESH.wait_records(&tenant.key_id, 2) {
            assert_eq!(record["ended"], json!("complete"), "{record:#}");
            assert_eq!(record["usage"], case.tokens.unwrap_or_default().as_record());
        }
    }
}

/// An answer whose end comes as trailers is read to its end like any other.
#[test]
fn an_answer_that_ends_with_trailers_is_read_to_its_end() {
    for name in [
        "messages stream",
        "chat",
        "chat stream",
        "responses stream",
        "generate array",
    ] {
        let case = surfaces::case(name, MODEL);
        let (_provider, tenant) = stage(
            case.dialect,
            case.answer.clone().trailer("x-upstream-checksum", "12"),
        );
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let answered = MESH.send_over(&tenant.sign(case.request()), protocol);
            assert!(answered.complete, "{name}");
            assert_eq!(
                answered.text(),
                String::from_utf8(case.answer.body()).unwrap(),
                "{name}"
            );
        }
        for record in MESH.wait_records(&tenant.key_id, 2) {
            assert_eq!(
                record["usage"],
                case.tokens.unwrap().as_record(),
                "{name}: {record:#}"
            );
        }
    }
}

/// A client that leaves frees the provider's connection at once.
#[test]
fn a_client_that_leaves_takes_the_upstream_request_with_it() {
    for (name, dialect, request, events) in streams() {
        let first = events[0].clone();
        let answer = Answer::sse([first.clone()]).step(Step::Hang);
        let (provider, tenant) = stage(dialect, answer);
        let mut running = Connection::open(MESH.address())
            .unwrap()
            .begin(&tenant.sign(request))
            .unwrap();
        running.read_until(first.trim_end()).unwrap();
        drop(running);
        wait::until(&format!("the provider of {name} to be left"), || {
            (provider.only().outcome() == Outcome::PeerGone).then_some(())
        });
        assert_eq!(
            MESH.only_record(&tenant.key_id)["ended"],
            json!("client_gone"),
            "{name}"
        );
    }
}

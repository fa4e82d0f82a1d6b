//! Policy that changes while requests are held and answers run.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::agents::{Desk, Endpoint};
use weir_tests::client::h1::{Connection, Running};
use weir_tests::client::{Answered, Request};
use weir_tests::mesh::tenant::{Dialect, Registration, Tenant};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::process::Finished;
use weir_tests::provider::answer::{Answer, Step};
use weir_tests::provider::{MockProvider, anthropic, gemini, openai};
use weir_tests::refused::{Refused, assert_stops, assert_waits};
use weir_tests::surfaces::{self, CACHED};
use weir_tests::wait::{self, Gate};

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

const MODEL: &str = "model-1";
/// In which what runs must have ended.
const SOON: Duration = Duration::from_millis(1_500);
/// Between two events of a slow stream.
const PACE: Duration = Duration::from_millis(50);

const REVOKED: Refused = Refused {
    dialect: Dialect::Anthropic,
    status: 401,
    code: "key_revoked",
};

/// One streaming surface.
struct Stream {
    name: &'static str,
    dialect: Dialect,
    events: Vec<String>,
    /// Stands in what ends it, and nowhere before.
    end: &'static str,
}

fn streams() -> Vec<Stream> {
    let text = "one two three four five six seven eight nine ten eleven twelve";
    let stream = |name, dialect, events, end| Stream {
        name,
        dialect,
        events,
        end,
    };
    vec![
        stream(
            "messages stream",
            Dialect::Anthropic,
            anthropic::stream(MODEL, text, CACHED),
            "event: message_stop",
        ),
        stream(
            "chat stream",
            Dialect::Openai,
            openai::chat_stream(MODEL, text, Some(CACHED)),
            "data: [DONE]",
        ),
        stream(
            "responses stream",
            Dialect::Openai,
            openai::response_stream(MODEL, text, CACHED),
            "event: response.completed",
        ),
        stream(
            "generate stream",
            Dialect::Gemini,
            gemini::stream(MODEL, text, CACHED),
            "\"finishReason\":\"STOP\"",
        ),
        stream(
            "generate array",
            Dialect::Gemini,
            gemini::array(MODEL, text, CACHED),
            "\"finishReason\":\"STOP\"",
        ),
    ]
}

impl Stream {
    /// A provider that goes on with the stream only when the gate is open, an event at a time, and a key for it.
    fn stage(&self, fields: &Value) -> (MockProvider, Tenant, Gate) {
        let gate = Gate::new();
        let middle = self.events.len() / 2;
        let head = self.events[..middle].to_vec();
        let answer = if self.name == "generate array" {
            Answer::bytes(200, "application/json", head.concat()).until_close()
        } else {
            Answer::sse(head)
        };
        let mut answer = answer.step(Step::Wait(gate.clone()));
        for event in &self.events[middle..] {
            answer = answer
                .step(Step::Write(event.clone().into_bytes()))
                .step(Step::Pause(PACE));
        }
        let provider = MockProvider::always(answer);
        let registration = Registration::new(self.dialect, &provider);
        let tenant = MESH.tenant_with(&[registration], fields);
        (provider, tenant, gate)
    }

    fn request(&self, tenant: &Tenant) -> Request {
        tenant.sign(surfaces::case(self.name, MODEL).request())
    }

    fn whole(&self) -> String {
        self.events.concat()
    }
}

/// Begins an answer and reads what comes before the gate.
fn begin(request: &Request) -> (Running, Vec<u8>) {
    let connection = Connection::open(MESH.address()).unwrap();
    connection.patience(Duration::from_secs(15)).unwrap();
    let mut running = connection.begin(request).unwrap();
    assert_eq!(running.status, 200);
    let first = running.next().unwrap().expect("the first bytes");
    (running, first)
}

fn revoke(tenant: &Tenant) {
    let path = format!("/keys/{}/revoke", tenant.key_id);
    MESH.admin().post(&path, &json!({}));
}

/// Reads until `end` was read, or the answer is over.
fn read_to(running: &mut Running, mut seen: Vec<u8>, end: &str) -> String {
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if text.contains(end) {
            return text;
        }
        match running.next() {
            Ok(Some(piece)) => seen.extend(piece),
            Ok(None) | Err(_) => return text,
        }
    }
}

#[test]
fn a_stream_ends_in_its_dialect_when_its_key_is_revoked() {
    for stream in streams() {
        let name = stream.name;
        let (_provider, tenant, gate) = stream.stage(&json!({}));
        let (mut running, first) = begin(&stream.request(&tenant));
        let since = wait::now();
        revoke(&tenant);
        gate.open();
        let text = read_to(&mut running, first, stream.end);
        assert!(since.elapsed() < SOON, "{name}: {:?}", since.elapsed());
        assert!(text.contains("(Weir: key_revoked)"), "{name}: {text}");
        assert!(!text.contains("twelve"), "{name}: it was not cut: {text}");
        drop(running);
        let record = MESH.only_record(&tenant.key_id);
        assert_eq!(record["ended"], "refused", "{name}: {record}");
        assert_eq!(record["refusal_code"], "key_revoked", "{name}");
        assert_eq!(record["status"], 200, "{name}");
        let used = record["usage"]["input_tokens"].as_u64();
        assert!(used > Some(0), "{name}: what was used is charged: {record}");
    }
}

#[test]
fn a_key_that_ends_otherwise_ends_its_streams_too() {
    let stream = || streams().remove(0);
    type End = fn(&Tenant);
    let ends: [(&str, &str, End); 3] = [
        ("switched off", "key_inactive", |tenant| {
            let path = format!("/keys/{}", tenant.key_id);
            MESH.admin().patch(&path, &json!({"state": "inactive"}));
        }),
        ("rotated", "key_revoked", |tenant| {
            let path = format!("/keys/{}/rotate", tenant.key_id);
            MESH.admin().post(&path, &json!({}));
        }),
        ("deleted", "key_revoked", |tenant| {
            MESH.admin().delete(&format!("/keys/{}", tenant.key_id));
        }),
    ];
    for (what, code, end) in ends {
        let (_provider, tenant, gate) = stream().stage(&json!({}));
        let (mut running, first) = begin(&stream().request(&tenant));
        end(&tenant);
        gate.open();
        let text = read_to(&mut running, first, stream().end);
        assert!(text.contains(code), "{what}: {text}");
    }
}

#[test]
fn a_stream_ends_when_its_key_expires() {
    let stream = streams().remove(0);
    let (_provider, tenant, gate) = stream.stage(&json!({}));
    let (mut running, first) = begin(&stream.request(&tenant));
    let soon = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap() + Duration::from_millis(700);
    let path = format!("/keys/{}", tenant.key_id);
    let fields = json!({"expires_at_ms": u64::try_from(soon.as_millis()).unwrap()});
    MESH.change(|admin| admin.patch(&path, &fields));
    std::thread::sleep(Duration::from_millis(900));
    gate.open();
    let text = read_to(&mut running, first, stream.end);
    assert!(text.contains("key_expired"), "{text}");
}

#[test]
fn an_answer_may_finish_where_policy_says_so() {
    for stream in streams() {
        let (_provider, tenant, gate) = stream.stage(&json!({"on_revoke": "finish"}));
        let (mut running, mut seen) = begin(&stream.request(&tenant));
        MESH.change(|_| revoke(&tenant));
        let refused = MESH.send(&stream.request(&tenant));
        assert_eq!(refused.weir_code().as_deref(), Some("key_revoked"));
        gate.open();
        while let Some(piece) = running.next().unwrap() {
            seen.extend(piece);
        }
        let text = String::from_utf8(seen).unwrap();
        assert_eq!(text, stream.whole(), "{}", stream.name);
        drop(running);
        let records = MESH.wait_records(&tenant.key_id, 2);
        let mut ends = records.iter().map(|record| &record["ended"]);
        assert!(ends.any(|end| end == "complete"), "{records:?}");
    }
}

#[test]
fn another_key_s_stream_goes_on_untouched() {
    for stream in streams() {
        let (_provider, tenant, gate) = stream.stage(&json!({}));
        let (_other_provider, other, _) = stream.stage(&json!({}));
        let (mut running, mut seen) = begin(&stream.request(&tenant));
        MESH.change(|_| revoke(&other));
        gate.open();
        while let Some(piece) = running.next().unwrap() {
            seen.extend(piece);
        }
        let text = String::from_utf8(seen).unwrap();
        assert_eq!(text, stream.whole(), "{}", stream.name);
    }
}

/// A stream that says nothing has no place for an end.
#[test]
fn a_silent_stream_is_broken_off() {
    let stream = streams().remove(0);
    let (_provider, tenant, gate) = stream.stage(&json!({}));
    let (mut running, first) = begin(&stream.request(&tenant));
    let since = wait::now();
    revoke(&tenant);
    let text = read_to(&mut running, first, stream.end);
    assert!(since.elapsed() < Duration::from_secs(4));
    assert!(!text.contains(stream.end), "{text}");
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(record["refusal_code"], "key_revoked", "{record}");
    gate.open();
}

/// The provider thinks; its answer becomes the refusal.
#[test]
fn an_answer_that_has_not_begun_becomes_the_refusal() {
    for streamed in [false, true] {
        let provider = MockProvider::always(Answer::silence());
        let tenant = MESH.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
        let request = tenant.sign(messages(streamed));
        let mut connection = Connection::open(MESH.address()).unwrap();
        let answered = std::thread::scope(|scope| {
            let asked = scope.spawn(|| connection.exchange(&request).unwrap());
            wait::until("the provider to be asked", || {
                (provider.count() == 1).then_some(())
            });
            revoke(&tenant);
            asked.join().unwrap()
        });
        assert_stops(&answered, REVOKED, &format!("streamed: {streamed}"));
        let record = MESH.only_record(&tenant.key_id);
        assert_eq!(record["refusal_code"], "key_revoked", "{record}");
        assert_eq!(record["status"], 401, "{record}");
        assert!(record["estimated"] == json!(true), "{record}");
    }
}

fn messages(streamed: bool) -> Request {
    let body = json!({
        "model": MODEL, "max_tokens": 9, "stream": streamed,
        "messages": [{"role": "user", "content": "hello there"}],
    });
    Request::post("/v1/messages", &body)
}

/// Sends a request whose body stops shortly before its end, and the rest when `change` has happened.
fn parked(tenant: &Tenant, change: impl FnOnce()) -> Answered {
    let mut request = tenant.sign(messages(false));
    let body = std::mem::take(&mut request.body);
    let request = request.field("content-length", &body.len().to_string());
    let (head, tail) = body.split_at(body.len() - 5);
    let mut connection = Connection::open(MESH.address()).unwrap();
    connection.write_head(&request).unwrap();
    connection.write_raw(head).unwrap();
    change();
    // A refusal may have come, and the connection be closed, before the rest is written.
    connection.write_raw(tail).unwrap_or_default();
    connection.answer("POST").unwrap()
}

fn idle() -> (MockProvider, Registration) {
    let provider = MockProvider::always(Answer::json(200, &anthropic::message(MODEL, "x", CACHED)));
    let registration = Registration::new(Dialect::Anthropic, &provider);
    (provider, registration)
}

#[test]
fn a_request_that_is_parked_over_a_revocation_goes_nowhere() {
    let (provider, registration) = idle();
    // Whatever becomes of what runs: this did not run.
    let tenant = MESH.tenant_with(&[registration], &json!({"on_revoke": "finish"}));
    let answered = parked(&tenant, || {
        MESH.change(|_| revoke(&tenant));
        std::thread::sleep(Duration::from_secs(5));
    });
    assert_stops(&answered, REVOKED, "parked");
    assert_eq!(provider.count(), 0);
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(record["refusal_code"], "key_revoked", "{record}");
}

#[test]
fn a_request_that_is_parked_is_judged_by_what_its_key_may_use_then() {
    let (provider, registration) = idle();
    let tenant = MESH.tenant(&[registration]);
    let nothing = json!({"access": {"providers": []}});
    let path = format!("/keys/{}", tenant.key_id);
    let answered = parked(&tenant, || {
        MESH.change(|admin| admin.patch(&path, &nothing));
    });
    let want = Refused {
        status: 403,
        code: "model_not_allowed",
        ..REVOKED
    };
    assert_stops(&answered, want, "parked");
    assert_eq!(provider.count(), 0);
}

#[test]
fn a_request_that_is_parked_over_a_new_guardrail_is_to_be_sent_again() {
    let (provider, registration) = idle();
    let tenant = MESH.tenant(&[registration]);
    let (_, registration) = idle();
    let stranger = MESH.tenant(&[registration]);
    let rail = |team: &str| {
        json!({
            "name": weir_tests::mesh::tenant::unique("rail"),
            "stages": [{
                "detectors": [{"regex": {"id": "marker", "pattern": "SECRET-[0-9]{6}"}}],
                "action": "block",
            }],
            "scope": {"teams": [team]},
        })
    };
    let answered = parked(&tenant, || {
        MESH.change(|admin| admin.post("/guardrails", &rail(&stranger.team)));
    });
    assert_eq!(answered.status, 200, "another team's: {}", answered.text());
    provider.forget();
    let answered = parked(&tenant, || {
        MESH.change(|admin| admin.post("/guardrails", &rail(&tenant.team)));
    });
    let want = Refused {
        status: 503,
        code: "policy_changed",
        ..REVOKED
    };
    assert_waits(&answered, want, "parked");
    assert_eq!(provider.count(), 0);
    assert_eq!(MESH.send(&tenant.sign(messages(false))).status, 200);
}

/// The first target fails after the key has ended; the second is not asked.
#[test]
fn a_retry_after_a_revocation_is_refused() {
    let gate = Gate::new();
    let failing = Answer::json(500, &json!({})).first(Step::Wait(gate.clone()));
    let (first, second) = (MockProvider::always(failing), idle().0);
    let registrations = [&first, &second].map(|it| Registration::new(Dialect::Anthropic, it));
    let tenant = MESH.tenant_with(&registrations, &json!({"on_revoke": "finish"}));
    let targets: Vec<Value> = (0..)
        .zip(&tenant.providers)
        .map(|(priority, name)| json!({"provider": name, "model": MODEL, "priority": priority}))
        .collect();
    let route = json!({"alias": "smart", "scope": {"team": tenant.team}, "targets": targets});
    MESH.change(|admin| admin.post("/routes", &route));
    let mut request = messages(true);
    let text = String::from_utf8(request.body).unwrap();
    request.body = text.replace(MODEL, "smart").into_bytes();
    let request = tenant.sign(request);
    let mut connection = Connection::open(MESH.address()).unwrap();
    let answered = std::thread::scope(|scope| {
        let asked = scope.spawn(|| connection.exchange(&request).unwrap());
        wait::until("the first target to be asked", || {
            (first.count() == 1).then_some(())
        });
        MESH.change(|_| revoke(&tenant));
        gate.open();
        asked.join().unwrap()
    });
    assert_stops(&answered, REVOKED, "the second target");
    assert_eq!((first.count(), second.count()), (1, 0));
}

/// A change of the mesh's own setting counts for what runs.
#[test]
fn a_change_of_on_revoke_counts_for_what_runs() {
    let mesh = Mesh::start(&Options {
        settings: json!({"on_revoke": "finish"}),
        ..Options::default()
    });
    let stream = streams().remove(0);
    let gate = Gate::new();
    let mut answer = Answer::sse(stream.events[..6].to_vec()).step(Step::Wait(gate.clone()));
    for event in &stream.events[6..] {
        answer = answer
            .step(Step::Write(event.clone().into_bytes()))
            .step(Step::Pause(PACE));
    }
    let provider = MockProvider::always(answer);
    let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    let connection = Connection::open(mesh.address()).unwrap();
    let mut running = connection.begin(&stream.request(&tenant)).unwrap();
    let first = running.next().unwrap().expect("the first bytes");
    let path = format!("/keys/{}/revoke", tenant.key_id);
    mesh.change(|admin| admin.post(&path, &json!({})));
    mesh.change(|admin| admin.patch("/settings", &json!({"on_revoke": "cut"})));
    gate.open();
    let text = read_to(&mut running, first, stream.end);
    assert!(text.contains("key_revoked"), "{text}");
}

/// A real agent whose key is revoked while the model writes: it shows why, once, and nothing more is sent upstream.
fn agent_shows_why(stream: &Stream, run: impl FnOnce(&Desk, &Endpoint) -> Finished + Send) {
    let (provider, tenant, gate) = stream.stage(&json!({}));
    let desk = Desk::new();
    let endpoint = Endpoint {
        base: MESH.url(),
        key: Some(tenant.key.clone()),
        model: MODEL.to_owned(),
    };
    let run = std::thread::scope(|scope| {
        let running = scope.spawn(|| run(&desk, &endpoint));
        wait::until("the agent to ask", || {
            let asked = provider.seen();
            asked.iter().any(|seen| seen.method == "POST").then_some(())
        });
        MESH.change(|_| revoke(&tenant));
        gate.open();
        running.join().unwrap()
    });
    let asked = provider.seen();
    let asked = asked.iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(asked, 1, "the provider was asked again: {run:#?}");
    assert!(run.ended_itself(), "{run:#?}");
    let shown = run.text().matches("(Weir: key_revoked)").count();
    assert!(shown > 0, "it does not show why: {run:#?}");
}

#[test]
fn agents_claude_code_shows_why_its_answer_ended() {
    agent_shows_why(&streams()[0], |desk, endpoint| {
        desk.claude_code(endpoint, "Write the note.")
    });
}

#[test]
fn agents_codex_shows_why_its_answer_ended() {
    agent_shows_why(&streams()[2], |desk, endpoint| {
        desk.codex(endpoint, "Write the note.")
    });
}

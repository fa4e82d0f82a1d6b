//! A provider refuses one of its keys: the request goes on with the next, a probe tells whether the key works, and
//! nobody else notices before.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::client::Request;
use weir_tests::mesh::tenant::{self, Dialect, Registration, Tenant};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, Seen, anthropic, gemini};
use weir_tests::tokens::Tokens;
use weir_tests::up::Home;
use weir_tests::wait;

/// Two Envoys with two workers each: a probe is sent by one of them.
static MESH: LazyLock<Mesh> = LazyLock::new(|| {
    Mesh::start(&Options {
        envoys: 2,
        ..Options::default()
    })
});

/// A key is probed once a minute at most.
const PAUSE: Duration = Duration::from_secs(60);

fn ask(stream: bool) -> Request {
    let content = json!([{"role": "user", "content": "hello"}]);
    let body = json!({"model": "m", "max_tokens": 9, "stream": stream, "messages": content});
    Request::post("/v1/messages", &body)
}

fn error(status: u16) -> Answer {
    let body = anthropic::error("authentication_error", "scripted failure");
    Answer::json(status, &body)
}

/// A provider of two keys: `bad`, which is drawn first, and `good`.
struct Keys {
    provider: MockProvider,
    tenant: Tenant,
    /// What a request and a probe with the first key are answered; 200 is the usual answer.
    answers: Arc<Mutex<(u16, u16)>>,
    probes: Arc<AtomicUsize>,
}

impl Keys {
    fn new(request: u16, probe: u16) -> Self {
        let answers = Arc::new(Mutex::new((request, probe)));
        let probes = Arc::new(AtomicUsize::new(0));
        let (scripted, counted) = (Arc::clone(&answers), Arc::clone(&probes));
        let provider = MockProvider::start(move |seen, _| {
            let is_probe = seen.method == "GET";
            let (request, probe) = *scripted.lock().unwrap();
            let is_bad = is_of(seen, "bad-secret");
            if is_probe && is_bad {
                assert_eq!(seen.path(), "/v1/models");
                counted.fetch_add(1, Ordering::SeqCst);
            }
            match (is_probe, is_bad) {
                (true, true) if probe != 200 => error(probe),
                (true, _) => Answer::json(200, &json!({"data": []})),
                (false, true) if request != 200 => error(request),
                (false, _) if seen.mentions("\"stream\":true") => {
                    Answer::sse(anthropic::stream("m", "hello", Tokens::new(1, 1)))
                }
                (false, _) => {
                    Answer::json(200, &anthropic::message("m", "hello", Tokens::new(1, 1)))
                }
            }
        });
        let keys = json!([
            {"name": "bad", "secret": "bad-secret"},
            {"name": "good", "secret": "good-secret", "weight": 0},
        ]);
        let registration = Registration::new(Dialect::Anthropic, &provider).with("keys", keys);
        let tenant = MESH.tenant(&[registration]);
        Self {
            provider,
            tenant,
            answers,
            probes,
        }
    }

    fn send(&self, stream: bool) -> u16 {
        MESH.send(&self.tenant.sign(ask(stream))).status
    }

    /// State of the first key, and the status for which it is bad.
    fn state(&self) -> (Value, Value) {
        let path = format!("/providers?name={}", self.tenant.providers[0]);
        let found = MESH.admin().get(&path);
        let keys = found["items"][0]["keys"].as_array().expect("keys").clone();
        let key = keys.iter().find(|key| key["name"] == "bad").expect("a key");
        (key["state"].clone(), key["bad_status"].clone())
    }

    /// The kinds of what was told of this provider's keys.
    fn told(&self) -> Vec<(String, u64)> {
        let mut told = Vec::new();
        for kind in ["refused", "recovered", "unproven"] {
            let path = format!("/events?kind=provider_key.{kind}");
            let events = MESH.admin().get(&path);
            let items = events["items"].as_array().cloned().unwrap_or_default();
            let ours = items.iter().map(|event| &event["data"]);
            let ours = ours.filter(|data| data["provider"] == json!(self.tenant.providers[0]));
            told.extend(ours.map(|data| (kind.to_owned(), data["status"].as_u64().unwrap())));
        }
        told
    }

    fn probes(&self) -> usize {
        self.probes.load(Ordering::SeqCst)
    }

    fn with_bad(&self) -> usize {
        let seen = self.provider.seen();
        let with_bad = seen
            .iter()
            .filter(|seen| seen.method == "POST" && is_of(seen, "bad-secret"));
        with_bad.count()
    }
}

fn is_of(seen: &Seen, secret: &str) -> bool {
    seen.fields.get("x-api-key").as_deref() == Some(secret)
}

/// The request that met it goes on with the next key, whole and streamed; the key stays in use for everybody.
#[test]
fn a_403_that_the_probe_does_not_confirm_changes_nothing() {
    let keys = Keys::new(403, 200);
    for stream in [false, true, false, true] {
        assert_eq!(keys.send(stream), 200, "stream: {stream}");
    }
    wait::until("the probe", || (keys.probes() > 0).then_some(()));
    for _ in 0..10 {
        assert_eq!(keys.send(false), 200);
    }
    assert_eq!(keys.state(), (json!("active"), Value::Null));
    assert_eq!(keys.probes(), 1, "one a minute at most");
    assert_eq!(keys.told(), []);
    // Another team's request begins with the same key, as if nothing had happened.
    *keys.answers.lock().unwrap() = (200, 200);
    keys.provider.forget();
    let other = MESH.change(|admin| {
        let team = tenant::team(admin);
        let access = tenant::access(&[&keys.tenant.providers[0]], &["*"]);
        tenant::key(admin, &team, &json!({"access": access})).1
    });
    assert_eq!(MESH.send(&ask(false).bearer(&other)).status, 200);
    assert_eq!(keys.with_bad(), 1);
}

/// What the probe confirms takes the key out for everybody, until a probe passes.
#[test]
fn a_key_that_its_probe_refuses_rests_until_one_passes() {
    let keys = Keys::new(401, 401);
    assert_eq!(keys.send(false), 200);
    let bad = (json!("bad"), json!(401));
    wait::until("the key to be out of use", || {
        (keys.state() == bad).then_some(())
    });
    let since = wait::now();
    assert_eq!(keys.told(), [("refused".to_owned(), 401)]);
    wait::until("every worker to know", || {
        keys.provider.forget();
        (0..20).for_each(|_| assert_eq!(keys.send(false), 200));
        (keys.with_bad() == 0).then_some(())
    });
    *keys.answers.lock().unwrap() = (200, 200);
    wait::until_for("a probe that passes", PAUSE * 2, || {
        (keys.state().0 == json!("active")).then_some(())
    });
    assert!(since.elapsed() > PAUSE / 2, "after {:?}", since.elapsed());
    assert_eq!(keys.probes(), 2);
    let told = [("refused".to_owned(), 401), ("recovered".to_owned(), 200)];
    assert_eq!(keys.told(), told);
    wait::until("the key to be used again", || {
        keys.provider.forget();
        assert_eq!(keys.send(false), 200);
        (keys.with_bad() == 1).then_some(())
    });
}

/// A provider that forbids its list of models, or has none, says nothing about the key: somebody is told.
#[test]
fn a_probe_that_tells_nothing_is_told_and_takes_nothing_away() {
    for probe in [403, 404] {
        let keys = Keys::new(401, probe);
        assert_eq!(keys.send(true), 200);
        let told = [("unproven".to_owned(), u64::from(probe))];
        wait::until("the event", || (keys.told() == told).then_some(()));
        assert_eq!(keys.state(), (json!("active"), Value::Null));
        assert_eq!(keys.send(false), 200);
        assert_eq!(keys.probes(), 1);
    }
}

/// Two virtual keys met it refused, and nobody had success since: it is tried last for a while.
#[test]
fn a_key_that_two_virtual_keys_met_refused_is_tried_last() {
    let keys = Keys::new(403, 200);
    let other = MESH.change(|admin| {
        let team = tenant::team(admin);
        let access = tenant::access(&[&keys.tenant.providers[0]], &["*"]);
        tenant::key(admin, &team, &json!({"access": access})).1
    });
    // Each worker sees for itself.
    wait::until("every worker to try the other first", || {
        keys.provider.forget();
        for _ in 0..10 {
            assert_eq!(keys.send(false), 200);
            assert_eq!(MESH.send(&ask(false).bearer(&other)).status, 200);
        }
        (keys.with_bad() == 0).then_some(())
    });
    assert_eq!(keys.state(), (json!("active"), Value::Null));
}

/// Gemini says it by 400; the answer that the client sees is that of the next key.
#[test]
fn a_dialects_own_form_counts_as_much() {
    let refusal = json!({"error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
        }],
    }});
    let provider = MockProvider::start(move |seen, _| {
        if seen.fields.get("x-goog-api-key").as_deref() == Some("bad-secret") {
            return Answer::json(400, &refusal);
        }
        Answer::json(200, &gemini::generate("m", "hello", Tokens::new(1, 1)))
    });
    let keys = json!([
        {"name": "bad", "secret": "bad-secret"},
        {"name": "good", "secret": "good-secret", "weight": 0},
    ]);
    let registration = Registration::new(Dialect::Gemini, &provider).with("keys", keys);
    let tenant = MESH.tenant(&[registration]);
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]});
    let request = Request::post("/v1beta/models/m:generateContent", &body);
    let answered = MESH.send(&tenant.sign(request));
    assert_eq!(answered.status, 200, "{}", answered.text());
    wait::until("the key to be out of use", || {
        let found = MESH
            .admin()
            .get(&format!("/providers?name={}", tenant.providers[0]));
        let keys = found["items"][0]["keys"].as_array().expect("keys").clone();
        let bad = keys.iter().find(|key| key["name"] == "bad").expect("a key");
        (bad["state"] == "bad" && bad["bad_status"] == 400).then_some(())
    });
}

/// Who starts a mesh at the terminal reads it there.
#[test]
fn weir_up_says_it() {
    let provider = MockProvider::always(error(401));
    let home = Home::new();
    let up = home.start(&[]);
    let token = up.admin_token().expect("a token");
    let admin = up.admin(&token);
    let registration = Registration::new(Dialect::Anthropic, &provider);
    admin.post("/providers", registration.body());
    let team = tenant::team(&admin);
    let access = tenant::access(&[registration.name()], &["*"]);
    let (_, key) = tenant::key(&admin, &team, &json!({"access": access}));
    wait::until("the refusal", || {
        let answered = up.send(&ask(false).bearer(&key));
        (answered.status == 401 && answered.weir_code().is_none()).then_some(())
    });
    wait::until("the line", || {
        up.log().contains("provider_key.refused").then_some(())
    });
    assert!(up.log().contains(registration.name()), "{}", up.log());
    assert!(up.interrupt().success());
}

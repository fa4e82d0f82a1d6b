//! What happens when a provider fails: the next target of the plan answers, with its own credential, its own
//! price and its own line in the record.

use std::collections::HashSet;
use std::net::TcpStream;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::client::Request;
use weir_tests::mesh::tenant::{
    Dialect, Registration, Tenant, access, price, provider_secret, unique,
};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::{Answer, Step};
use weir_tests::provider::{MockProvider, Seen, anthropic, gemini, openai};
use weir_tests::tokens::{Price, Tokens};
use weir_tests::wait;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

/// Far below the patience of any client, far above what an answer on loopback takes.
const HEADER_TIMEOUT_MS: u64 = 400;
const TOKENS: Tokens = Tokens {
    input: 1000,
    output: 100,
    cache_read: 0,
    cache_write_5m: 0,
    cache_write_1h: 0,
    reasoning: 0,
    web_searches: 0,
};
/// 1,000 × $7 and 100 × $11 for a million.
const SECOND_COST: u64 = 8_100;

/// Providers behind one alias in order of priority; number N serves it as `{alias}-N` for N × its price.
fn plan(registrations: &[Registration], fields: &Value) -> (Tenant, String) {
    let alias = unique("alias");
    let tenant = MESH.tenant_with(registrations, fields);
    let targets = tenant.providers.iter().enumerate();
    let targets: Vec<Value> = targets
        .map(|(n, provider)| json!({"provider": provider, "model": format!("{alias}-{}", n + 1), "priority": n}))
        .collect();
    MESH.change(|admin| {
        price(
            admin,
            Dialect::Anthropic,
            &format!("{alias}-1"),
            Price {
                input: 1,
                output: 1,
                ..Price::default()
            },
        );
        let second = Price {
            input: 7_000_000,
            output: 11_000_000,
            ..Price::default()
        };
        price(admin, Dialect::Anthropic, &format!("{alias}-2"), second);
        admin.post("/routes", &json!({"alias": alias, "targets": targets}))
    });
    (tenant, alias)
}

fn ask(model: &str, streamed: bool) -> Request {
    let body = json!({
        "model": model, "max_tokens": 9, "stream": streamed, "messages": [{"role": "user", "content": "hello"}],
    });
    Request::post("/v1/messages", &body)
}

fn good(streamed: bool) -> Answer {
    if streamed {
        Answer::sse(anthropic::stream("m", "the second answers", TOKENS))
    } else {
        Answer::json(200, &anthropic::message("m", "the second answers", TOKENS))
    }
}

fn failing(status: u16) -> Answer {
    Answer::json(status, &anthropic::error("api_error", "scripted failure"))
        .field("retry-after", "7")
}

/// A connection closed instead of a head.
fn closed() -> Answer {
    Answer::empty(200).first(Step::Cut)
}

/// A connection that is reset when the provider has had the request for longer than a race can last.
fn late_reset() -> Answer {
    Answer::empty(200)
        .first(Step::Pause(Duration::from_secs(3)))
        .first(Step::Reset)
}

/// A port nobody listens on any more.
fn deserted() -> String {
    let provider = MockProvider::always(Answer::empty(200));
    let (url, address) = (provider.url(""), provider.address());
    drop(provider);
    wait::until("the port to be shut", || {
        TcpStream::connect(address).is_err().then_some(())
    });
    url
}

/// The first target fails as scripted; the second must answer and pay.
fn falls_back(failure: Option<Answer>, first_status: u64, streamed: bool) {
    let first = MockProvider::always(failure.clone().unwrap_or_else(|| Answer::empty(200)));
    let second = MockProvider::always(good(streamed));
    let mut one = Registration::new(Dialect::Anthropic, &first)
        .with("stream_header_timeout_ms", json!(HEADER_TIMEOUT_MS));
    if failure.is_none() {
        one = one.with("base_url", json!(deserted()));
    }
    let (tenant, alias) = plan(
        &[one, Registration::new(Dialect::Anthropic, &second)],
        &json!({}),
    );
    let answered = MESH.send(&tenant.sign(ask(&alias, streamed)));
    assert_eq!(answered.status, 200, "{}", answered.text());
    assert_eq!(
        answered.text(),
        String::from_utf8(good(streamed).body()).unwrap()
    );

    let record = MESH.only_record(&tenant.key_id);
    let figures = json!({
        "attempt_count": 2, "provider": tenant.providers[1], "model_asked": alias, "model_used": format!("{alias}-2"),
        "status": 200, "ended": "complete", "cost_micro_usd": SECOND_COST, "estimated": false, "unknown_price": false,
        "streamed": streamed,
    });
    for (field, value) in figures.as_object().unwrap() {
        assert_eq!(&record[field], value, "{field} of {record:#}");
    }
    assert_eq!(record["usage"], TOKENS.as_record());
    let attempts = MESH.attempts(&record);
    assert_eq!(attempts.len(), 2);
    let line = |n: usize, status: u64, usage: Value, cost: u64| {
        let attempt = &attempts[n];
        assert_eq!(attempt["number"], json!(n + 1));
        assert_eq!(attempt["provider"], json!(tenant.providers[n]));
        assert_eq!(attempt["model"], json!(format!("{alias}-{}", n + 1)));
        assert_eq!(attempt["status"], json!(status), "{attempt:#}");
        assert_eq!(attempt["usage"], usage);
        assert_eq!(attempt["cost_micro_usd"], json!(cost));
    };
    line(0, first_status, Value::Null, 0);
    line(1, 200, TOKENS.as_record(), SECOND_COST);
    assert_eq!(first.count(), usize::from(failure.is_some()));
    for (seen, own, other, n) in first
        .seen()
        .iter()
        .map(|seen| (seen, 0, 1, 1))
        .chain(second.seen().iter().map(|seen| (seen, 1, 0, 2)))
    {
        assert_eq!(
            seen.fields.get("x-api-key"),
            Some(provider_secret(&tenant.providers[own]))
        );
        assert!(
            !seen.mentions(&provider_secret(&tenant.providers[other])),
            "{seen:#?}"
        );
        assert!(!seen.mentions(&tenant.key), "{seen:#?}");
        assert_eq!(seen.json()["model"], json!(format!("{alias}-{n}")));
    }
    assert_eq!(second.count(), 1);
}

macro_rules! fallbacks {
    ($($test:ident: $failure:expr, $status:literal, $streamed:literal;)*) => {$(
        #[test]
        fn $test() {
            falls_back($failure, $status, $streamed);
        }
    )*};
}

fallbacks! {
    a_whole_answer_survives_a_429: Some(failing(429)), 429, false;
    a_whole_answer_survives_a_500: Some(failing(500)), 500, false;
    a_whole_answer_survives_a_529: Some(failing(529)), 529, false;
    a_whole_answer_survives_a_deserted_port: None, 0, false;
    a_whole_answer_survives_a_reset: Some(Answer::reset()), 0, false;
    a_whole_answer_survives_a_close: Some(closed()), 0, false;
    a_stream_survives_a_429: Some(failing(429)), 429, true;
    a_stream_survives_a_500: Some(failing(500)), 500, true;
    a_stream_survives_a_503: Some(failing(503)), 503, true;
    a_stream_survives_a_deserted_port: None, 0, true;
    a_stream_survives_a_reset: Some(Answer::reset()), 0, true;
    a_stream_survives_a_close: Some(closed()), 0, true;
    a_stream_survives_silence: Some(Answer::silence()), 0, true;
}

/// It may have been billed, so nobody else is asked.
#[test]
fn a_whole_answer_that_times_out_is_not_tried_again() {
    let cases = [
        (
            Dialect::Anthropic,
            "/v1/messages".to_owned(),
            "/error/type",
            "timeout_error",
        ),
        (
            Dialect::Openai,
            "/v1/chat/completions".to_owned(),
            "/error/code",
            "upstream_timeout",
        ),
        (
            Dialect::Gemini,
            "/v1beta/models/MODEL:generateContent".to_owned(),
            "/error/status",
            "DEADLINE_EXCEEDED",
        ),
    ];
    for (dialect, path, pointer, word) in cases {
        let silent = MockProvider::always(Answer::silence());
        let other = MockProvider::always(Answer::json(200, &json!({})));
        let one = Registration::new(dialect, &silent)
            .with("whole_header_timeout_ms", json!(HEADER_TIMEOUT_MS));
        let (tenant, alias) = plan(&[one, Registration::new(dialect, &other)], &json!({}));
        let body = json!({"model": alias, "max_tokens": 1, "messages": [], "contents": []});
        let started = wait::now();
        let answered =
            MESH.send(&tenant.sign(Request::post(&path.replace("MODEL", &alias), &body)));
        let took = started.elapsed();
        assert_eq!(answered.status, 504, "{}", answered.text());
        assert_eq!(answered.weir_code().as_deref(), Some("upstream_timeout"));
        assert_eq!(
            answered.json().pointer(pointer),
            Some(&json!(word)),
            "{}",
            answered.text()
        );
        // Envoy counts from when its loop last looked at the clock.
        let earliest = Duration::from_millis(HEADER_TIMEOUT_MS - 50);
        assert!(
            took >= earliest && took < Duration::from_secs(5),
            "{took:?}"
        );
        assert_eq!((silent.count(), other.count()), (1, 0));
        let record = MESH.only_record(&tenant.key_id);
        assert_eq!(record["ended"], json!("upstream_error"));
        assert_eq!(
            (&record["status"], &record["attempt_count"]),
            (&json!(504), &json!(1))
        );
    }
}

/// Sends once through three targets of which the first two fail, each with another style of credential.
#[test]
fn every_target_sees_its_own_credential_only() {
    let styles = [
        ("bearer", "authorization"),
        ("api_key", "api-key"),
        ("x_goog_api_key", "x-goog-api-key"),
    ];
    let completion = openai::chat("m", "ok", Tokens::new(1, 1));
    let answers = [failing(500), failing(429), Answer::json(200, &completion)];
    let mocks: Vec<MockProvider> = answers.into_iter().map(MockProvider::always).collect();
    let registrations: Vec<Registration> = mocks
        .iter()
        .zip(styles)
        .map(|(mock, (style, _))| {
            Registration::new(Dialect::Openai, mock).with("auth", json!(style))
        })
        .collect();
    let (tenant, alias) = plan(&registrations, &json!({}));
    let body = json!({"model": alias, "messages": []});
    let answered = MESH.send(&tenant.sign(Request::post("/v1/chat/completions", &body)));
    assert_eq!((answered.status, answered.json()), (200, completion));
    for (n, mock) in mocks.iter().enumerate() {
        let seen = mock.only();
        let names = seen.fields.names();
        for (m, (style, header)) in styles.iter().enumerate() {
            let secret = provider_secret(&tenant.providers[m]);
            if m == n {
                let value = if *style == "bearer" {
                    format!("Bearer {secret}")
                } else {
                    secret
                };
                assert_eq!(seen.fields.all(header), [value]);
            } else {
                assert!(
                    !names.contains(&(*header).to_owned()),
                    "target {n} saw {header}: {seen:#?}"
                );
                assert!(
                    !seen.mentions(&secret),
                    "target {n} saw the credential of {m}: {seen:#?}"
                );
            }
        }
        assert!(!seen.mentions(&tenant.key), "{seen:#?}");
        assert!(
            names
                .iter()
                .all(|name| !name.starts_with("x-weir") && !name.starts_with("x-envoy")),
            "{names:?}"
        );
        assert_eq!(seen.fields.get("host"), Some(mock.address().to_string()));
    }
}

#[test]
fn a_429_goes_to_the_next_key_of_the_target_first() {
    let keys = |names: [&str; 2]| {
        let one = |(n, name): (usize, &&str)| json!({"name": name, "secret": format!("{name}-secret"), "weight": 1 - n});
        json!(names.iter().enumerate().map(one).collect::<Vec<_>>())
    };
    let limited = |seen: &Seen, _: usize| {
        let first = seen.fields.get("x-api-key").as_deref() == Some("one-secret");
        if first { failing(429) } else { good(false) }
    };
    let first = MockProvider::start(limited);
    let second = MockProvider::always(good(false));
    let registrations = [
        Registration::new(Dialect::Anthropic, &first).with("keys", keys(["one", "two"])),
        Registration::new(Dialect::Anthropic, &second),
    ];
    let (tenant, alias) = plan(&registrations, &json!({}));
    let used = |mock: &MockProvider| -> Vec<String> {
        mock.seen()
            .iter()
            .map(|seen| seen.fields.get("x-api-key").unwrap_or_default())
            .collect()
    };
    assert_eq!(MESH.send(&tenant.sign(ask(&alias, false))).status, 200);
    assert_eq!(used(&first), ["one-secret", "two-secret"]);
    assert_eq!(second.count(), 0);

    first.forget();
    first.script(|_, _| failing(429));
    assert_eq!(MESH.send(&tenant.sign(ask(&alias, false))).status, 200);
    assert_eq!(used(&first), ["one-secret", "two-secret"]);
    assert_eq!(second.count(), 1);
    let records = MESH.wait_records(&tenant.key_id, 2);
    let attempts = MESH.attempts(&records[0]);
    let statuses: Vec<u64> = attempts
        .iter()
        .filter_map(|attempt| attempt["status"].as_u64())
        .collect();
    assert_eq!(statuses, [429, 429, 200]);
    assert_ne!(attempts[0]["provider_key"], attempts[1]["provider_key"]);
}

#[test]
fn a_forbidden_target_is_never_tried() {
    let mocks = [failing(500), good(true), good(true)].map(MockProvider::always);
    let registrations: Vec<Registration> = mocks
        .iter()
        .map(|mock| Registration::new(Dialect::Anthropic, mock))
        .collect();
    let allowed = access(&[registrations[0].name(), registrations[2].name()], &["*"]);
    let (tenant, alias) = plan(&registrations, &json!({"access": allowed}));
    for n in 1..=5 {
        assert_eq!(MESH.send(&tenant.sign(ask(&alias, true))).status, 200);
        assert_eq!(mocks.each_ref().map(MockProvider::count), [n, 0, n]);
    }
    let denied = json!({"access": {"providers": [{"provider": "*", "models": ["*"], "provider_keys": ["*"]}],
        "denied_providers": [registrations[0].name()]}});
    mocks[1].script(|_, _| failing(503));
    MESH.change(|admin| admin.patch(&format!("/keys/{}", tenant.key_id), &denied));
    assert_eq!(MESH.send(&tenant.sign(ask(&alias, true))).status, 200);
    assert_eq!(mocks.each_ref().map(MockProvider::count), [5, 1, 6]);
}

#[test]
fn when_all_fail_the_last_answer_passes_unchanged() {
    let mocks = [429, 500, 503].map(|status| MockProvider::always(failing(status)));
    let registrations: Vec<Registration> = mocks
        .iter()
        .map(|mock| Registration::new(Dialect::Anthropic, mock))
        .collect();
    let (tenant, alias) = plan(&registrations, &json!({}));
    let answered = MESH.send(&tenant.sign(ask(&alias, true)));
    assert_eq!(
        (answered.status, answered.body.clone()),
        (503, failing(503).body())
    );
    assert_eq!(answered.field("retry-after").as_deref(), Some("7"));
    assert_eq!(answered.weir_code(), None);
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(
        (&record["attempt_count"], &record["cost_micro_usd"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(record["ended"], json!("upstream_error"));
}

#[test]
fn nobody_reachable_is_an_error_of_the_dialect() {
    let idle = MockProvider::always(Answer::empty(200));
    let one = || Registration::new(Dialect::Anthropic, &idle).with("base_url", json!(deserted()));
    let (tenant, alias) = plan(&[one(), one()], &json!({}));
    let answered = MESH.send(&tenant.sign(ask(&alias, false)));
    assert_eq!(answered.status, 502, "{}", answered.text());
    assert_eq!(
        answered.weir_code().as_deref(),
        Some("upstream_unreachable")
    );
    assert_eq!(answered.json()["error"]["type"], json!("api_error"));
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(
        (&record["attempt_count"], &record["ended"]),
        (&json!(2), &json!("upstream_error"))
    );
}

/// A mistake of the client's is told to the client, at once and as it came.
#[test]
fn a_4xx_passes_and_is_not_tried_elsewhere() {
    let first = MockProvider::always(Answer::empty(200));
    let second = MockProvider::always(good(true));
    let registrations = [&first, &second].map(|mock| Registration::new(Dialect::Anthropic, mock));
    let (tenant, alias) = plan(&registrations, &json!({}));
    for status in [400, 402, 404, 409, 413, 422] {
        for streamed in [false, true] {
            first.forget();
            first.script(move |_, _| failing(status));
            let started = wait::now();
            let answered = MESH.send(&tenant.sign(ask(&alias, streamed)));
            assert!(
                started.elapsed() < Duration::from_secs(2),
                "{status} took {:?}",
                started.elapsed()
            );
            assert_eq!(
                (answered.status, answered.body.clone()),
                (status, failing(status).body())
            );
            assert!(answered.complete);
            assert_eq!((first.count(), second.count()), (1, 0));
        }
    }
    // A body that is announced and comes late does not change that.
    let late = failing(400).before(0, Step::Pause(Duration::from_millis(200)));
    let body = late.body();
    first.script(move |_, _| late.clone());
    let answered = MESH.send(&tenant.sign(ask(&alias, true)));
    assert_eq!((answered.status, answered.body), (400, body));
}

#[test]
fn a_large_body_is_sent_whole_again() {
    let mocks = [failing(429), failing(500), good(false)].map(MockProvider::always);
    let registrations: Vec<Registration> = mocks
        .iter()
        .map(|mock| Registration::new(Dialect::Anthropic, mock))
        .collect();
    let tenant = MESH.tenant(&registrations);
    let alias = unique("alias");
    let targets = tenant.providers.iter().enumerate();
    let targets: Vec<Value> = targets
        .map(|(n, provider)| json!({"provider": provider, "priority": n}))
        .collect();
    MESH.change(|admin| admin.post("/routes", &json!({"alias": alias, "targets": targets})));
    let text = "lorem ipsum é 🌊 ".repeat(150_000);
    let body =
        json!({"messages": [{"role": "user", "content": text}], "model": alias, "max_tokens": 1})
            .to_string();
    assert!(body.len() > 3_000_000);
    assert_eq!(
        MESH.send(&tenant.sign(Request::post_bytes("/v1/messages", body.clone())))
            .status,
        200
    );
    for mock in &mocks {
        assert!(
            mock.only().body == body.as_bytes(),
            "the body changed on the way"
        );
    }
}

/// Gemini has the model in the path: each attempt has its own.
#[test]
fn a_path_with_a_model_is_rebuilt_for_each_target() {
    let tokens = Tokens::new(5, 6);
    let first = MockProvider::always(Answer::json(
        503,
        &gemini::error(503, "UNAVAILABLE", "scripted"),
    ));
    let second = MockProvider::always(Answer::sse(gemini::stream("m", "one two", tokens)));
    let registrations = [&first, &second].map(|mock| Registration::new(Dialect::Gemini, mock));
    let (tenant, alias) = plan(&registrations, &json!({}));
    let target = format!("/v1beta/models/{alias}:streamGenerateContent?alt=sse");
    let answered = MESH.send(&tenant.sign(Request::post(&target, &json!({"contents": []}))));
    assert_eq!(answered.status, 200, "{}", answered.text());
    assert_eq!(
        first.only().target,
        format!("/v1beta/models/{alias}-1:streamGenerateContent?alt=sse")
    );
    assert_eq!(
        second.only().target,
        format!("/v1beta/models/{alias}-2:streamGenerateContent?alt=sse")
    );
    assert_eq!(
        MESH.only_record(&tenant.key_id)["usage"],
        tokens.as_record()
    );
}

/// Answers the first request of each connection; the next one finds the connection closed.
fn closes_what_is_reused(streamed: bool) -> MockProvider {
    let served = Mutex::new(HashSet::new());
    MockProvider::start(move |seen, _| {
        if served.lock().unwrap().insert(seen.connection) {
            good(streamed)
        } else if seen.connection % 2 == 0 {
            Answer::reset()
        } else {
            closed()
        }
    })
}

/// How often the provider saw each request, by a text in it.
fn sightings(mocks: &[MockProvider], text: &str) -> usize {
    let of = |mock: &MockProvider| mock.seen().iter().filter(|it| it.mentions(text)).count();
    mocks.iter().map(of).sum()
}

#[test]
fn connections_that_close_under_a_request_cost_no_client_its_answer() {
    for (targets, streamed) in [(1, false), (1, true), (2, false), (2, true)] {
        let mut mocks = vec![closes_what_is_reused(streamed)];
        mocks.extend((1..targets).map(|_| MockProvider::always(good(streamed))));
        let registrations: Vec<_> = mocks
            .iter()
            .map(|mock| Registration::new(Dialect::Anthropic, mock))
            .collect();
        let (tenant, alias) = plan(&registrations, &json!({}));
        for n in 0..8 {
            let text = format!("request-{n}-");
            let body = json!({
                "model": alias, "max_tokens": 9, "stream": streamed, "messages": [{"role": "user", "content": text}],
            });
            let answered = MESH.send(&tenant.sign(Request::post("/v1/messages", &body)));
            let case = format!("{n} of {targets} targets, streamed: {streamed}");
            assert_eq!(answered.status, 200, "{case}: {}", answered.text());
            let body = String::from_utf8(good(streamed).body()).unwrap();
            assert_eq!(answered.text(), body, "{case}");
            assert!((1..=2).contains(&sightings(&mocks, &text)), "{case}");
        }
        let records = MESH.wait_records(&tenant.key_id, 8);
        let tried: Vec<_> = records
            .iter()
            .map(|it| it["attempt_count"].as_u64())
            .collect();
        assert!(tried.contains(&Some(2)), "{tried:?}");
        for record in &records {
            assert_eq!(record["status"], json!(200));
            let attempts = MESH.attempts(record);
            let (last, lost) = attempts.split_last().unwrap();
            assert_eq!(last["status"], json!(200));
            for attempt in lost {
                assert_eq!(attempt["status"], json!(0), "{attempt:#}");
                assert_eq!(attempt["cost_micro_usd"], json!(0), "{attempt:#}");
                assert_eq!(attempt["usage"], Value::Null, "{attempt:#}");
            }
        }
    }
}

/// Sends once to providers that end the connection as scripted, and expects it to be told.
fn is_told(answer: &Answer, targets: usize, streamed: bool, setting: &str, tools: &Value) -> Value {
    let mocks: Vec<_> = (0..targets)
        .map(|_| MockProvider::always(answer.clone()))
        .collect();
    let registrations: Vec<_> = mocks
        .iter()
        .map(|mock| {
            Registration::new(Dialect::Anthropic, mock).with("on_no_answer", json!(setting))
        })
        .collect();
    let (tenant, alias) = plan(&registrations, &json!({}));
    let body = json!({
        "model": alias, "max_tokens": 9, "stream": streamed, "messages": [{"role": "user", "content": "hello"}],
        "tools": tools,
    });
    let answered = MESH.send(&tenant.sign(Request::post("/v1/messages", &body)));
    let case = format!("{targets} targets, streamed: {streamed}, {setting}, {tools}");
    assert_eq!(answered.status, 502, "{case}: {}", answered.text());
    let code = answered.weir_code();
    assert_eq!(code.as_deref(), Some("upstream_unreachable"), "{case}");
    let message = answered.json()["error"]["message"].to_string();
    assert!(
        message.contains("ended before it began to answer"),
        "{case}: {message}"
    );
    assert_eq!(mocks[0].count(), 1, "{case}");
    assert!(mocks.iter().skip(1).all(|mock| mock.count() == 0), "{case}");
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(
        (
            &record["status"],
            &record["attempt_count"],
            &record["ended"]
        ),
        (&json!(502), &json!(1), &json!("upstream_error")),
        "{case}: {record:#}"
    );
    MESH.attempts(&record).remove(0)
}

/// The provider had the request for so long that it may have worked on it: it is told, and charged by estimate.
#[test]
fn a_late_end_is_told_and_not_tried_again() {
    for (targets, streamed) in [(1, false), (1, true), (2, false), (2, true)] {
        let attempt = is_told(&late_reset(), targets, streamed, "again", &json!([]));
        assert_eq!(attempt["estimated"], json!(true), "{attempt:#}");
        assert_ne!(attempt["usage"], Value::Null, "{attempt:#}");
    }
}

#[test]
fn what_is_not_to_go_again_is_told_at_once() {
    let search = json!([{"type": "web_search_20250305", "name": "web_search"}]);
    for (setting, tools) in [("fail", json!([])), ("again", search)] {
        for (targets, streamed) in [(1, false), (2, true)] {
            let attempt = is_told(&Answer::reset(), targets, streamed, setting, &tools);
            assert_eq!(attempt["usage"], Value::Null, "{attempt:#}");
        }
    }
}

//! The official Python SDKs through the mesh: whole answers, streams, lists, and what a refusal looks like there.

use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::agents::Desk;
use weir_tests::mesh::tenant::{Dialect, Registration, Tenant, access};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::{Answer, cut};
use weir_tests::provider::{MockProvider, Seen, anthropic, openai};
use weir_tests::tap::Tap;
use weir_tests::tokens::Tokens;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

const ANTHROPIC: &str = include_str!("../python/anthropic_sdk.py");
const OPENAI: &str = include_str!("../python/openai_sdk.py");
const TEXT: &str = "Über den Deich, 🌊 und zurück.";
const WHOLE: Tokens = Tokens {
    input: 11,
    cache_read: 220,
    cache_write_5m: 0,
    cache_write_1h: 0,
    output: 33,
    reasoning: 7,
    web_searches: 0,
};
const STREAM: Tokens = Tokens {
    input: 44,
    output: 55,
    ..WHOLE
};

/// Cuts events into pieces that end inside characters, lines and events.
fn ragged(events: Vec<String>) -> Answer {
    let body: String = events.concat();
    Answer::sse(cut(body.as_bytes(), &[1, 2, 3, 5, 8, 13, 21]))
}

fn anthropic_provider() -> MockProvider {
    let cached = |tokens: Tokens| Tokens {
        reasoning: 0,
        cache_write_5m: 5,
        cache_write_1h: 6,
        ..tokens
    };
    MockProvider::start(move |seen: &Seen, _| {
        let streamed = seen.json()["stream"] == json!(true);
        match seen.path() {
            "/v1/messages" if streamed => ragged(anthropic::stream("m-1", TEXT, cached(STREAM))),
            "/v1/messages" => Answer::json(200, &anthropic::message("m-1", TEXT, cached(WHOLE))),
            "/v1/messages/count_tokens" => anthropic::count(123),
            _ => Answer::empty(404),
        }
    })
}

fn openai_provider() -> MockProvider {
    MockProvider::start(move |seen: &Seen, _| {
        let request = seen.json();
        let streamed = request["stream"] == json!(true);
        let asked = request["stream_options"]["include_usage"] == json!(true);
        match seen.path() {
            "/v1/chat/completions" if streamed => {
                ragged(openai::chat_stream("m-1", TEXT, asked.then_some(STREAM)))
            }
            "/v1/chat/completions" => Answer::json(200, &openai::chat("m-1", TEXT, WHOLE)),
            "/v1/responses" if streamed => ragged(openai::response_stream("m-1", TEXT, STREAM)),
            "/v1/responses" => Answer::json(200, &openai::response("m-1", TEXT, WHOLE)),
            "/v1/embeddings" => openai::embeddings("m-1", 9),
            _ => Answer::empty(404),
        }
    })
}

fn tenant(dialect: Dialect, provider: &MockProvider) -> Tenant {
    let models = json!(["m-1", "m-2"]);
    MESH.tenant(&[Registration::new(dialect, provider).with("listed_models", models)])
}

fn ask(script: &str, url: &str, key: &str) -> Value {
    let run = Desk::new().python(script, &[url, key, "m-1"]);
    assert!(run.succeeded(), "{run:#?}\n{}", MESH.logs());
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:#?}"))
}

/// Compares what an SDK read with what the provider reported, class by class.
fn same(found: &Value, text: &str, tokens: Tokens) {
    assert_eq!(found["text"], json!(text), "{found:#}");
    let reported = tokens.as_record();
    for (class, count) in found["usage"].as_object().expect("usage") {
        assert_eq!(*count, reported[class], "{class} in {found:#}");
    }
}

/// Waits for the records of the SDK's requests and compares the usage in them.
fn recorded(tenant: &Tenant, surface: &str, app: &str, expected: &[Tokens]) {
    let filter = format!("key={}&surface={surface}", tenant.key_id);
    let mut records = MESH.wait_records_where(&filter, expected.len());
    records.sort_by_key(|record| record["started_ms"].as_u64());
    for (record, tokens) in records.iter().zip(expected) {
        assert_eq!(record["usage"], tokens.as_record(), "{record:#}");
        assert_eq!(record["client_app"], json!(app));
        assert_eq!(record["ended"], json!("complete"));
        assert_eq!(record["estimated"], json!(false));
    }
}

#[test]
fn the_anthropic_sdk_works() {
    let provider = anthropic_provider();
    let tenant = tenant(Dialect::Anthropic, &provider);
    let found = ask(ANTHROPIC, &MESH.url(), &tenant.key);
    let cached = |tokens: Tokens| Tokens {
        reasoning: 0,
        cache_write_5m: 5,
        cache_write_1h: 6,
        ..tokens
    };
    same(&found["whole"], TEXT, cached(WHOLE));
    same(&found["stream"], TEXT, cached(STREAM));
    assert_eq!(found["count"], json!(123));
    assert_eq!(found["models"], json!(["m-1", "m-2"]));
    assert_eq!(found["refused"], Value::Null);
    recorded(
        &tenant,
        "anthropic.messages",
        "anthropic_sdk",
        &[cached(WHOLE), cached(STREAM)],
    );
}

#[test]
fn the_openai_sdk_works() {
    let provider = openai_provider();
    let tenant = tenant(Dialect::Openai, &provider);
    let found = ask(OPENAI, &MESH.url(), &tenant.key);
    same(&found["whole"], TEXT, WHOLE);
    assert_eq!(
        found["stream"],
        json!({"text": TEXT, "usage": null, "chunks_without_choices": 0})
    );
    same(&found["stream with usage"], TEXT, STREAM);
    same(&found["response"], TEXT, WHOLE);
    same(&found["response stream"], TEXT, STREAM);
    assert_eq!(found["embedding"]["input_tokens"], json!(9));
    assert_eq!(found["embedding"]["vector"], json!([0.25, -0.5, 0.125]));
    assert_eq!(found["models"], json!(["m-1", "m-2"]));
    assert_eq!(found["refused"], Value::Null);
    recorded(
        &tenant,
        "openai.chat",
        "openai_sdk",
        &[WHOLE, STREAM, STREAM],
    );
    recorded(&tenant, "openai.responses", "openai_sdk", &[WHOLE, STREAM]);
}

/// A refused SDK raises the error a developer expects, says why, and asks once.
fn refused(script: &str, key: &str, kind: &str, status: u16, code: &str) {
    let tap = Tap::start(MESH.address());
    let found = ask(script, &tap.url(), key);
    let refusal = &found["refused"];
    assert_eq!(refusal["kind"], json!(kind), "{found:#}");
    assert_eq!(
        (&refusal["status"], &refusal["code"]),
        (&json!(status), &json!(code))
    );
    let text = refusal["text"].as_str().unwrap_or_default();
    assert!(
        text.contains(&format!("(Weir: {code})")) && !text.contains(key),
        "{text}"
    );
    assert_eq!(tap.questions().len(), 1, "{:#?}", tap.questions());
}

#[test]
fn a_refused_anthropic_sdk_asks_once() {
    let provider = anthropic_provider();
    let registration = Registration::new(Dialect::Anthropic, &provider);
    let other = access(&[registration.name()], &["some-other-model"]);
    let tenant = MESH.tenant_with(&[registration], &json!({"access": other}));
    refused(
        ANTHROPIC,
        "sk-ant-not-ours",
        "AuthenticationError",
        401,
        "missing_credential",
    );
    refused(
        ANTHROPIC,
        &tenant.key,
        "PermissionDeniedError",
        403,
        "model_not_allowed",
    );
    assert_eq!(provider.count(), 0);
}

#[test]
fn a_refused_openai_sdk_asks_once() {
    let provider = openai_provider();
    let registration = Registration::new(Dialect::Openai, &provider);
    let other = access(&[registration.name()], &["some-other-model"]);
    let tenant = MESH.tenant_with(&[registration], &json!({"access": other}));
    refused(
        OPENAI,
        "sk-not-ours",
        "AuthenticationError",
        401,
        "missing_credential",
    );
    refused(
        OPENAI,
        &tenant.key,
        "PermissionDeniedError",
        403,
        "model_not_allowed",
    );
    assert_eq!(provider.count(), 0);
}

/// Errors of the provider itself are raised as if no mesh were between, retries included.
#[test]
fn an_sdk_sees_the_providers_own_errors() {
    let body = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded, says the provider"}});
    let provider =
        MockProvider::start(move |_, _| Answer::json(529, &body).field("retry-after", "0"));
    let tenant = tenant(Dialect::Anthropic, &provider);
    let found = ask(ANTHROPIC, &MESH.url(), &tenant.key);
    assert_eq!(found["refused"]["status"], json!(529), "{found:#}");
    assert_eq!(found["refused"]["code"], Value::Null);
    assert!(
        found["refused"]["text"]
            .as_str()
            .unwrap_or_default()
            .contains("Overloaded, says the provider")
    );
    assert_eq!(provider.count(), 3, "the SDK tries three times");
}

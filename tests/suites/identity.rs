//! A clean exchange passes byte for byte, both ways, errors included; only the listed splices change anything.

use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::client::{Protocol, Request};
use weir_tests::mesh::tenant::{Dialect, Registration, Tenant, provider_secret, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, anthropic, openai};
use weir_tests::surfaces::{self, Case};
use weir_tests::tokens::Tokens;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

/// Registers a provider that answers by `case`, and makes a key for it.
fn stage(case: &Case) -> (MockProvider, Tenant) {
    let provider = MockProvider::always(case.answer.clone());
    let tenant = MESH.tenant(&[Registration::new(case.dialect, &provider)]);
    (provider, tenant)
}

/// Sends a case over both protocols and compares every byte.
fn check(name: &str) {
    let case = surfaces::case(name, "model-1");
    let (provider, tenant) = stage(&case);
    provider.script(|_, _| unreachable_answer());
    let answer = case
        .answer
        .clone()
        .field("x-ratelimit-unheard-of", "kept")
        .field("request-id", "req_1");
    provider.script(move |_, _| answer.clone());
    for protocol in [Protocol::Http1, Protocol::Http2] {
        provider.forget();
        let request = tenant
            .sign(case.request())
            .field("x-stainless-unheard-of", "kept too");
        let answered = MESH.send_over(&request, protocol);
        assert_eq!(answered.status, 200, "{name}: {}", answered.text());
        assert_eq!(
            answered.text(),
            String::from_utf8(case.answer.body()).unwrap(),
            "{name} over {protocol:?}"
        );
        assert!(answered.complete);
        assert_eq!(
            answered.field("x-ratelimit-unheard-of").as_deref(),
            Some("kept")
        );
        assert_eq!(answered.field("request-id").as_deref(), Some("req_1"));
        let seen = provider.only();
        assert_eq!(seen.target, case.target, "{name} over {protocol:?}");
        assert_eq!(
            String::from_utf8(seen.body.clone()),
            String::from_utf8(case.body.clone()),
            "{name}"
        );
        assert_eq!(
            seen.fields.get("x-stainless-unheard-of").as_deref(),
            Some("kept too")
        );
        assert_eq!(
            seen.fields.get("content-type").as_deref(),
            Some("application/json")
        );
        assert!(
            !seen.mentions(&tenant.key),
            "the virtual key reached the provider: {seen:#?}"
        );
    }
}

fn unreachable_answer() -> Answer {
    Answer::empty(500)
}

macro_rules! identical {
    ($($test:ident: $case:literal,)*) => {$(
        #[test]
        fn $test() {
            check($case);
        }
    )*};
}

identical! {
    messages_pass_unchanged: "messages",
    a_messages_stream_passes_unchanged: "messages stream",
    a_tool_call_stream_passes_unchanged: "messages tool stream",
    count_tokens_passes_unchanged: "count_tokens",
    chat_passes_unchanged: "chat",
    a_chat_stream_passes_unchanged: "chat stream",
    responses_pass_unchanged: "responses",
    a_responses_stream_passes_unchanged: "responses stream",
    embeddings_pass_unchanged: "embeddings",
    generate_passes_unchanged: "generate",
    a_generate_stream_passes_unchanged: "generate stream",
    a_generate_array_passes_unchanged: "generate array",
    gemini_count_tokens_passes_unchanged: "count tokens",
    embed_passes_unchanged: "embed",
}

/// Answers of every kind a provider refuses with reach the client as they are.
#[test]
fn upstream_errors_pass_unchanged() {
    for name in [
        "messages stream",
        "chat",
        "responses stream",
        "generate stream",
    ] {
        let case = surfaces::case(name, "model-1");
        let (provider, tenant) = stage(&case);
        for status in [400, 402, 404, 409, 413, 422, 429, 451, 500, 502, 503, 529] {
            let body =
                format!("{{ \"error\" : {{\"odd\":\"spacing\" , \"status\":{status}}}}}\n\n");
            let answer = Answer::bytes(status, "application/json; charset=x", body.clone())
                .field("retry-after", "17")
                .field("x-should-retry", "maybe")
                .field("x-ratelimit-remaining-tokens", "none");
            provider.script(move |_, _| answer.clone());
            let answered = MESH.send(&tenant.sign(case.request()));
            assert_eq!(answered.status, status, "{name}: {}", answered.text());
            assert_eq!(answered.text(), body, "{name} {status}");
            assert_eq!(
                answered.field("content-type").as_deref(),
                Some("application/json; charset=x")
            );
            assert_eq!(answered.field("retry-after").as_deref(), Some("17"));
            assert_eq!(answered.field("x-should-retry").as_deref(), Some("maybe"));
            assert_eq!(
                answered.field("x-ratelimit-remaining-tokens").as_deref(),
                Some("none")
            );
            assert_eq!(answered.weir_code(), None);
        }
    }
}

#[test]
fn errors_without_a_body_and_of_another_type_pass() {
    let case = surfaces::case("messages", "model-1");
    let (provider, tenant) = stage(&case);
    for status in [400, 429, 500, 529] {
        provider.script(move |_, _| Answer::empty(status));
        let answered = MESH.send(&tenant.sign(case.request()));
        assert_eq!((answered.status, answered.body.len()), (status, 0));
        let page = b"<html>\xff\xfe gateway</html>".to_vec();
        let answer = Answer::bytes(status, "text/html", page.clone());
        provider.script(move |_, _| answer.clone());
        let answered = MESH.send(&tenant.sign(case.request()));
        assert_eq!((answered.status, answered.body), (status, page));
    }
}

#[test]
fn prefixes_and_named_providers_lead_to_the_native_path() {
    for (name, prefix) in [
        ("messages", "/anthropic"),
        ("chat", "/openai"),
        ("generate", "/genai"),
    ] {
        let case = surfaces::case(name, "model-1");
        let (provider, tenant) = stage(&case);
        for prefix in [prefix.to_owned(), format!("/p/{}", tenant.providers[0])] {
            provider.forget();
            let mut request = tenant.sign(case.request());
            request.target = format!("{prefix}{}", case.target);
            let answered = MESH.send(&request);
            assert_eq!(answered.status, 200, "{prefix}: {}", answered.text());
            let seen = provider.only();
            assert_eq!(
                (seen.target, seen.body),
                (case.target.clone(), case.body.clone()),
                "{prefix}"
            );
        }
    }
}

#[test]
fn intercepted_traffic_is_known_by_its_host() {
    let case = surfaces::case("messages", "model-1");
    let provider = MockProvider::always(case.answer.clone());
    let host = format!("{}.example.com", unique("api"));
    let registration =
        Registration::new(Dialect::Anthropic, &provider).with("hosts", json!([host]));
    let tenant = MESH.tenant(&[registration]);
    let answered = MESH.send(&tenant.sign(case.request()).host(&host));
    assert_eq!(answered.status, 200, "{}", answered.text());
    let seen = provider.only();
    assert_eq!(seen.body, case.body);
    assert_eq!(
        seen.fields.get("host"),
        Some(provider.address().to_string())
    );
}

#[test]
fn a_base_path_goes_before_the_native_path() {
    let case = surfaces::case("chat", "model-1");
    let provider = MockProvider::always(case.answer.clone());
    let base = provider.url("/inference/v1");
    let tenant =
        MESH.tenant(&[Registration::new(Dialect::Openai, &provider).with("base_url", json!(base))]);
    let answered = MESH.send(&tenant.sign(case.request()));
    assert_eq!(answered.status, 200, "{}", answered.text());
    assert_eq!(provider.only().target, "/inference/v1/chat/completions");
}

#[test]
fn azure_deployments_have_the_model_in_their_path() {
    let case = surfaces::case("chat", "gpt-5");
    let provider = MockProvider::always(case.answer.clone());
    let registration = Registration::new(Dialect::Openai, &provider)
        .with("base_url", json!(provider.url("/openai")))
        .with("auth", json!("api_key"))
        .with(
            "path_style",
            json!({"azure_deployments": {"api_version": "2025-01-01"}}),
        );
    let secret = provider_secret(registration.name());
    let tenant = MESH.tenant(&[registration]);
    let answered = MESH.send(&tenant.sign(case.request()));
    assert_eq!(answered.status, 200, "{}", answered.text());
    let seen = provider.only();
    assert_eq!(
        seen.target,
        "/openai/deployments/gpt-5/chat/completions?api-version=2025-01-01"
    );
    assert_eq!(seen.fields.get("api-key"), Some(secret));
    assert_eq!(seen.fields.get("authorization"), None);
}

/// An alias changes the model's name where it stands, and nothing else.
#[test]
fn an_alias_is_spliced_and_the_rest_stays() {
    for name in ["messages", "chat", "responses", "embeddings"] {
        let alias = unique("alias");
        let case = surfaces::case(name, &alias);
        let (provider, tenant) = stage(&case);
        let targets = json!([{"provider": tenant.providers[0], "model": "the-real/model-\u{e9}"}]);
        MESH.change(|admin| admin.post("/routes", &json!({"alias": alias, "targets": targets})));
        let answered = MESH.send(&tenant.sign(case.request()));
        assert_eq!(answered.status, 200, "{name}: {}", answered.text());
        let seen = provider.only();
        assert_eq!(seen.json()["model"], json!("the-real/model-\u{e9}"));
        let sent = String::from_utf8(case.body.clone()).unwrap();
        let (before, after) = sent.split_once(&alias).unwrap();
        let got = String::from_utf8(seen.body).unwrap();
        assert!(
            got.starts_with(before) && got.ends_with(after),
            "{name}\n{sent}\n{got}"
        );
        let length = seen
            .fields
            .get("content-length")
            .and_then(|length| length.parse::<usize>().ok());
        assert!(length.is_none() || length == Some(got.len()));
    }
}

#[test]
fn an_alias_of_gemini_is_spliced_into_the_path() {
    let alias = unique("alias");
    let case = surfaces::case("generate stream", &alias);
    let (provider, tenant) = stage(&case);
    let targets = json!([{"provider": tenant.providers[0], "model": "gemini-2.5-pro"}]);
    MESH.change(|admin| admin.post("/routes", &json!({"alias": alias, "targets": targets})));
    let answered = MESH.send(&tenant.sign(case.request()));
    assert_eq!(answered.status, 200, "{}", answered.text());
    let seen = provider.only();
    assert_eq!(
        seen.target,
        "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    );
    assert_eq!(seen.body, case.body);
}

#[test]
fn a_provider_named_in_the_model_is_asked_for_the_rest_of_the_name() {
    let provider = MockProvider::always(Answer::json(
        200,
        &openai::chat("m", "ok", Tokens::new(1, 1)),
    ));
    let tenant = MESH.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    let body = json!({"model": format!("{}/gpt-5", tenant.providers[0]), "messages": []});
    let answered = MESH.send(&tenant.sign(Request::post("/v1/chat/completions", &body)));
    assert_eq!(answered.status, 200, "{}", answered.text());
    assert_eq!(provider.only().json()["model"], json!("gpt-5"));
}

/// Four megabytes, as agents send at the end of a long day.
#[test]
fn large_bodies_pass_unchanged() {
    let (provider, tenant) = stage(&surfaces::case("messages", "model-1"));
    let word = "lorem ipsum é 🌊 ".repeat(1000);
    let messages: Vec<Value> = (0..200)
        .map(|n| json!({"role": "user", "content": format!("{n} {word}")}))
        .collect();
    let body = json!({"model": "model-1", "max_tokens": 1, "messages": messages}).to_string();
    assert!(body.len() > 4_000_000);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        provider.forget();
        let request = tenant.sign(Request::post_bytes("/v1/messages", body.clone()));
        assert_eq!(MESH.send_over(&request, protocol).status, 200);
        assert!(
            provider.only().body == body.as_bytes(),
            "the body changed on the way"
        );
    }
}

#[test]
fn large_events_pass_unchanged() {
    let item = json!({"id": "x", "type": "message", "content": "y".repeat(3_000_000)});
    let answer = Answer::sse(openai::item_stream("gpt-5", &item, Tokens::new(7, 8)));
    let provider = MockProvider::always(answer.clone());
    let tenant = MESH.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    let request = Request::post(
        "/v1/responses",
        &json!({"model": "gpt-5", "stream": true, "input": "x"}),
    );
    let answered = MESH.send(&tenant.sign(request));
    assert!(
        answered.body == answer.body(),
        "the stream changed on the way"
    );
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(record["usage"], Tokens::new(7, 8).as_record());
}

/// Unknown events, comments and pings pass at once, each by itself.
#[test]
fn unknown_events_pass() {
    let mut events = anthropic::stream("model-1", "one two", Tokens::new(3, 2));
    events.insert(2, ": a comment\n\n".to_owned());
    events.insert(
        3,
        "event: news\nid: 7\nretry: 10\ndata: not json\ndata: at all\n\n".to_owned(),
    );
    let answer = Answer::sse(events);
    let provider = MockProvider::always(answer.clone());
    let tenant = MESH.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    let answered = MESH.send(&tenant.sign(surfaces::case("messages stream", "model-1").request()));
    assert_eq!(answered.text(), String::from_utf8(answer.body()).unwrap());
}

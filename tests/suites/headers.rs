//! Which headers go up to a provider and come back from it, and that real clients lose none that they need.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::agents::{Desk, Endpoint};
use weir_tests::client::{End, Protocol};
use weir_tests::http1::Fields;
use weir_tests::mesh::tenant::{Dialect, Registration, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, Seen, agents, anthropic, gemini, openai};
use weir_tests::refused::plain;
use weir_tests::tokens::Tokens;
use weir_tests::wait;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

const DIALECTS: [Dialect; 3] = [Dialect::Anthropic, Dialect::Openai, Dialect::Gemini];

/// Headers that no dialect lists: they change what is asked for or on whose account, or say what only the mesh says.
const UNLISTED: [&str; 24] = [
    "anthropic-api-key",
    "anthropic-organization-id",
    "anthropic-workspace-id",
    "anthropic_beta",
    "baggage",
    "chatgpt-account-id",
    "cookie",
    "forwarded",
    "openai-organization",
    "openai-project",
    "openai_organization",
    "origin",
    "proxy-authorization",
    "via",
    "x-api_key",
    "x-goog-fieldmask",
    "x-goog-user-project",
    "x-http-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-stainless_lang",
    "x-unheard-of",
    "x-weir-code",
];

fn ok() -> MockProvider {
    MockProvider::always(Answer::json(200, &json!({"ok": true})))
}

/// The values of `name`, of whatever case.
fn values(fields: &Fields, name: &str) -> Vec<String> {
    fields.all(name)
}

#[test]
fn only_listed_headers_reach_a_provider() {
    for dialect in DIALECTS {
        let provider = ok();
        let tenant = MESH.tenant(&[Registration::new(dialect, &provider)]);
        let listed = match dialect {
            Dialect::Anthropic => "anthropic-beta",
            Dialect::Openai => "x-codex-turn-metadata",
            Dialect::Gemini => "x-goog-api-client",
        };
        for protocol in [Protocol::Http1, Protocol::Http2] {
            provider.forget();
            let mut request = tenant
                .sign(plain(dialect, "model-1"))
                .field(listed, "a, b=1");
            for name in UNLISTED {
                request = request.field(name, "from-the-client");
            }
            request = request.field("x-stainless-arch", "x64").field(listed, "c");
            let answered = MESH.send_over(&request, protocol);
            assert_eq!(answered.status, 200, "{}", answered.text());
            let seen = provider.only();
            assert!(!seen.mentions("from-the-client"), "{dialect:?}: {seen:#?}");
            // Values pass as they are, and so do several of one name.
            assert_eq!(values(&seen.fields, listed), ["a, b=1", "c"], "{seen:#?}");
            assert_eq!(values(&seen.fields, "x-stainless-arch"), ["x64"]);
        }
    }
}

#[test]
fn only_listed_headers_come_back() {
    for dialect in DIALECTS {
        let forged = [
            "x-weir-code",
            "x-weir-exchange-id",
            "x-weir-anything",
            "x-envoy-overloaded",
            "x-envoy-ratelimited",
            "set-cookie",
            "alt-svc",
            "access-control-allow-origin",
            "strict-transport-security",
            "openai-organization",
            "anthropic-organization-id",
            "location",
            "www-authenticate",
            "x-unheard-of",
            "x-ratelimit_limit",
        ];
        let mut answer = Answer::json(200, &json!({"ok": true}))
            .field("x-request-id", "req_1")
            .field("retry-after-ms", "20")
            .field("x-should-retry", "true")
            .field("x-ratelimit-limit-requests", "1")
            .field("x-ratelimit-limit-requests", "2");
        for name in forged {
            answer = answer.field(name, "from-the-provider");
        }
        let provider = MockProvider::always(answer);
        let tenant = MESH.tenant(&[Registration::new(dialect, &provider)]);
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let request = tenant.sign(plain(dialect, "model-1"));
            let answered = MESH.send_over(&request, protocol);
            assert_eq!(answered.status, 200, "{}", answered.text());
            assert!(
                !answered.fields.mention("from-the-provider"),
                "{answered:#?}"
            );
            for (name, want) in [
                ("x-request-id", &["req_1"][..]),
                ("retry-after-ms", &["20"]),
                ("x-should-retry", &["true"]),
                ("x-ratelimit-limit-requests", &["1", "2"]),
                ("content-type", &["application/json"]),
            ] {
                assert_eq!(values(&answered.fields, name), want, "{answered:#?}");
            }
        }
    }
}

/// What the mesh itself answers is no provider's: its code, its wait and its advice stay.
#[test]
fn an_answer_of_the_mesh_keeps_its_headers() {
    let provider = ok();
    let tenant = MESH.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    let refused = MESH.send(&plain(Dialect::Openai, "model-1"));
    assert_eq!(refused.weir_code().as_deref(), Some("missing_credential"));
    assert_eq!(refused.field("x-should-retry").as_deref(), Some("false"));
    provider.script(|_, _| Answer::reset());
    let broken = MESH.send(&tenant.sign(plain(Dialect::Openai, "model-1")));
    assert!(broken.weir_code().is_some(), "{broken:#?}");
}

#[test]
fn trailers_follow_the_same_lists() {
    let answer = Answer::json(200, &json!({"ok": true}))
        .trailer("x-weir-code", "forged")
        .trailer("set-cookie", "a=b")
        .trailer("x-unheard-of", "1")
        .trailer("x-request-id", "req_1");
    let provider = MockProvider::always(answer);
    let tenant = MESH.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    // The client ends its body with the trailer `x-checked`.
    let request = tenant
        .sign(plain(Dialect::Openai, "model-1"))
        .pieces(&[5], End::Trailers);
    let answered = MESH.send_over(&request, Protocol::Http2);
    assert_eq!(answered.status, 200, "{}", answered.text());
    let back: Vec<_> = answered.trailers.names();
    assert!(back.iter().all(|name| name == "x-request-id"), "{back:?}");
    let up = provider.only().trailers.names();
    assert!(up.is_empty(), "{up:?}");
}

/// The second target's list and settings, made from what the client sent, not from what the first target saw.
#[test]
fn each_attempt_sees_its_own_providers_headers() {
    let (first, second) = (
        MockProvider::always(Answer::json(
            529,
            &anthropic::error("overloaded_error", "busy"),
        )),
        ok(),
    );
    let registrations = [
        Registration::new(Dialect::Anthropic, &first)
            .with("pass_request_headers", json!(["x-first", "x-vendor-*"]))
            .with(
                "set_request_headers",
                json!({"anthropic-workspace-id": "wrkspc_1", "x-app": "mesh"}),
            ),
        Registration::new(Dialect::Anthropic, &second)
            .with("pass_request_headers", json!(["x-second"]))
            .with("pass_response_headers", json!(["x-back"])),
    ];
    second.script(|_, _| {
        Answer::json(200, &json!({}))
            .field("x-back", "1")
            .field("x-first", "1")
    });
    let tenant = MESH.tenant(&registrations);
    let alias = unique("alias");
    let targets = tenant.providers.iter().enumerate();
    let targets: Vec<Value> = targets
        .map(|(nth, provider)| json!({"provider": provider, "priority": nth}))
        .collect();
    MESH.change(|admin| admin.post("/routes", &json!({"alias": alias, "targets": targets})));
    let sent = [
        ("x-app", "cli"),
        ("x-first", "1"),
        ("x-second", "2"),
        ("x-second", "2b"),
        ("x-vendor-a", "3"),
        ("x-vendor-workspace", "4"),
        ("x-third", "5"),
        ("anthropic-workspace-id", "the-client-s"),
    ];
    let mut request = tenant.sign(plain(Dialect::Anthropic, &alias));
    for (name, value) in sent {
        request = request.field(name, value);
    }
    let answered = MESH.send(&request);
    assert_eq!(answered.status, 200, "{}", answered.text());
    let shown = |seen: &Seen| {
        let names: BTreeSet<&str> = sent.iter().map(|(name, _)| *name).collect();
        let pairs = names.into_iter().flat_map(|name| {
            values(&seen.fields, name)
                .into_iter()
                .map(move |value| format!("{name}: {value}"))
        });
        pairs.collect::<Vec<_>>()
    };
    assert_eq!(
        shown(&first.only()),
        [
            "anthropic-workspace-id: wrkspc_1",
            "x-app: mesh",
            "x-first: 1",
            "x-vendor-a: 3"
        ]
    );
    assert_eq!(
        shown(&second.only()),
        ["x-app: cli", "x-second: 2", "x-second: 2b"]
    );
    assert_eq!(
        (
            answered.field("x-back").as_deref(),
            answered.field("x-first")
        ),
        (Some("1"), None)
    );
}

/// What the mesh says it dropped, one way: names with counts, and the count of the others.
fn dropped(mesh: &Mesh, way: &str) -> (Vec<(String, u64)>, u64) {
    let told = mesh.admin().get("/mesh")["dropped_headers"].clone();
    let names = told[way].as_array().cloned().unwrap_or_default();
    let names = names.iter().map(|header| {
        let name = header["name"].as_str().unwrap_or_default();
        (
            name.to_owned(),
            header["count"].as_u64().unwrap_or_default(),
        )
    });
    let others = told[format!("other_{way}")].as_u64().unwrap_or_default();
    (names.collect(), others)
}

/// Every dropped header is counted, under its name while there is room for names and where it is one.
#[test]
fn what_was_dropped_is_counted_by_name_and_bounded() {
    let mesh = Mesh::start(&Options {
        workers: 1,
        ..Options::default()
    });
    let provider = MockProvider::always(
        Answer::json(200, &json!({"ok": true})).field("x-from-the-provider", "1"),
    );
    let tenant = mesh.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    let ask = || tenant.sign(plain(Dialect::Openai, "model-1"));
    for _ in 0..3 {
        assert_eq!(mesh.send(&ask().field("x-original-url", "/")).status, 200);
    }
    let sum = |way: &str| {
        let (names, others) = dropped(&mesh, way);
        names.iter().map(|(_, count)| count).sum::<u64>() + others
    };
    wait::until("three headers to be counted", || {
        (sum("request") == 3).then_some(())
    });
    assert_eq!(
        dropped(&mesh, "request"),
        (vec![("x-original-url".to_owned(), 3)], 0)
    );
    // A client that makes names up neither fills the report nor learns to write into it.
    for hundred in 0..3 {
        let mut request = ask();
        for nth in 0..50 {
            request = request.field(&format!("x-flood-{hundred}-{nth}"), "1");
        }
        request = request.field("x-sk-ant-api03-zyxwvutsrqponmlkjihgfedcba", "1");
        assert_eq!(mesh.send(&request).status, 200);
    }
    wait::until("the flood to be counted", || {
        (sum("request") == 3 + 3 * 51).then_some(())
    });
    let (names, others) = dropped(&mesh, "request");
    assert_eq!((names.len(), others), (32, 3 * 51 + 3 - 31 - 3));
    assert!(
        names.iter().all(|(name, _)| !name.contains("api03")),
        "{names:?}"
    );
    let (back, _) = dropped(&mesh, "response");
    assert!(
        back.contains(&("x-from-the-provider".to_owned(), 6)),
        "{back:?}"
    );
}

/// Headers of real clients that do not go up, and why nobody misses them.
const ARGUED: [(&str, &str); 1] = [(
    "sec-fetch-mode",
    "Node's fetch sends it as a browser would; it speaks of pages and origins, and no provider's API reads it",
)];

/// How the user agents of those begin that are driven.
const AGENTS: [&str; 7] = [
    "Anthropic/Python",
    "GeminiCLI",
    "OpenAI/Python",
    "claude-cli/",
    "codex_exec/",
    "google-genai-sdk/",
    "opencode/",
];

const PYTHON_ANTHROPIC: &str = include_str!("../python/anthropic_sdk.py");
const PYTHON_GOOGLE: &str = include_str!("../python/google_sdk.py");
const PYTHON_OPENAI: &str = include_str!("../python/openai_sdk.py");

/// Claude Code, Codex and the SDKs do their work on a mesh of their own, and then it is asked what it dropped.
#[test]
fn agents_and_sdks_lose_no_header() {
    let mesh = Mesh::start(&Options::default());
    let desk = Desk::new();
    let task = desk.task();
    let provider = MockProvider::start(move |seen: &Seen, _| answer_of_any(&task, seen));
    let registrations = DIALECTS
        .map(|dialect| Registration::new(dialect, &provider).with("listed_models", json!(["m-1"])));
    let tenant = mesh.tenant(&registrations);
    let (url, key) = (mesh.url(), tenant.key.clone());
    let endpoint = |model: &str| Endpoint {
        base: url.clone(),
        key: Some(key.clone()),
        model: model.to_owned(),
    };
    let claude = endpoint("claude-sonnet-4-5");
    let (sdk, gemini) = (endpoint("m-1"), endpoint("gemini-2.5-flash"));
    let script = |script: &str| desk.python(script, &[&url, &key, "m-1"]);
    let opencode = |kind: &str| desk.opencode(&sdk, kind, "Say hello.");
    let runs = [
        ("Claude Code", desk.claude_code(&claude, "Write the note.")),
        ("Codex", desk.codex(&endpoint("gpt-5"), "Write the note.")),
        ("Gemini CLI", desk.gemini_cli(&gemini, "Say hello.")),
        ("OpenCode, openai", opencode("openai")),
        ("OpenCode, anthropic", opencode("anthropic")),
        ("OpenCode, google", opencode("google")),
        ("anthropic for Python", script(PYTHON_ANTHROPIC)),
        ("openai for Python", script(PYTHON_OPENAI)),
        ("google-genai for Python", script(PYTHON_GOOGLE)),
    ];
    for (name, run) in &runs {
        assert!(run.succeeded(), "{name}: {run:#?}\n{}", mesh.logs());
    }
    let asked: BTreeSet<String> = provider
        .seen()
        .iter()
        .filter_map(|seen| seen.fields.get("user-agent"))
        .collect();
    for agent in AGENTS {
        let has_asked = asked.iter().any(|asked| asked.starts_with(agent));
        assert!(has_asked, "{agent} never asked: {asked:?}");
    }
    // Counted when it was sent on, told with the record at the latest.
    wait::until("every exchange to be recorded", || {
        let mut records = mesh.records_where(&format!("key={}", tenant.key_id));
        records.retain(|record| record["ended"] != "running");
        (records.len() >= provider.count()).then_some(())
    });
    let (names, others) = dropped(&mesh, "request");
    let missed = names
        .iter()
        .filter(|(name, _)| ARGUED.iter().all(|(argued, _)| argued != name));
    let missed: Vec<_> = missed.collect();
    assert!(
        missed.is_empty() && others == 0,
        "dropped: {missed:?} and {others} others"
    );
}

/// One provider for all: by path, as a script for agents or a plain answer for SDKs.
fn answer_of_any(task: &agents::Task, seen: &Seen) -> Answer {
    let tokens = Tokens::new(3, 2);
    let request = seen.json();
    let model = request["model"].as_str().unwrap_or_default();
    let streamed = request["stream"] == json!(true);
    if model.starts_with("claude") || seen.method == "HEAD" {
        return agents::claude_code(task, seen);
    }
    if model.starts_with("gpt-5") {
        return agents::codex(task, seen);
    }
    match seen.path() {
        "/v1/messages" if streamed => Answer::sse(anthropic::stream("m-1", "hello", tokens)),
        "/v1/messages" => Answer::json(200, &anthropic::message("m-1", "hello", tokens)),
        "/v1/messages/count_tokens" => anthropic::count(12),
        "/v1/chat/completions" if streamed => {
            let asked = request["stream_options"]["include_usage"] == json!(true);
            Answer::sse(openai::chat_stream("m-1", "hello", asked.then_some(tokens)))
        }
        "/v1/chat/completions" => Answer::json(200, &openai::chat("m-1", "hello", tokens)),
        "/v1/responses" if streamed => Answer::sse(openai::response_stream("m-1", "hello", tokens)),
        "/v1/responses" => Answer::json(200, &openai::response("m-1", "hello", tokens)),
        "/v1/embeddings" => openai::embeddings("m-1", 9),
        path if path.ends_with(":streamGenerateContent") => {
            Answer::sse(gemini::stream("m-1", "hello", tokens))
        }
        path if path.ends_with(":generateContent") => {
            Answer::json(200, &gemini::generate("m-1", "hello", tokens))
        }
        path if path.ends_with(":countTokens") => gemini::count(12),
        _ => Answer::empty(404),
    }
}

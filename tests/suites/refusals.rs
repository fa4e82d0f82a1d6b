//! Every way to be refused, in every dialect, for every client: status, code, body, advice, and one record.

use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::client::h1::Connection;
use weir_tests::client::{Protocol, Request};
use weir_tests::mesh::tenant::{self, Dialect, Registration};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::MockProvider;
use weir_tests::provider::answer::Answer;
use weir_tests::refused::{self, Refused, assert_stops, marked, plain};

/// The clients whose reactions are known, by the user agent they send.
const CLAUDE_CODE: &str = "claude-cli/2.1.329 (external, cli)";
const CODEX: &str = "codex_exec/0.169.0 (Linux; x86_64) unknown";
const GEMINI_CLI: &str = "GeminiCLI/0.61.0/gemini-3-pro (linux; x64)";
const OPENCODE: &str = "opencode/1.18.33 ai-sdk/provider-utils/4";
const CLIENTS: [&str; 8] = [
    CLAUDE_CODE,
    CODEX,
    GEMINI_CLI,
    OPENCODE,
    "Anthropic/Python 2.11.0",
    "OpenAI/Python 3.52.0",
    "google-genai-sdk/3.4.0 gl-python/3.12",
    "curl/8.5.0",
];

const DIALECTS: [Dialect; 3] = [Dialect::Anthropic, Dialect::Openai, Dialect::Gemini];

/// A code, the status it means, the status at which Claude Code stops, and the code that the record tells.
struct Row(&'static str, u16, u16, &'static str);

const MISSING: Row = Row("missing_credential", 401, 401, "missing_credential");
const UNKNOWN_KEY: Row = Row("unknown_key", 401, 401, "unknown_key");
const MALFORMED: Row = Row("malformed_key", 401, 401, "malformed_key");
const REVOKED: Row = Row("key_revoked", 401, 401, "key_revoked");
const EXPIRED: Row = Row("key_expired", 401, 401, "key_expired");
const INACTIVE: Row = Row("key_inactive", 401, 401, "key_inactive");
const MODEL_MISSING: Row = Row("model_missing", 400, 412, "model_missing");
const MODEL_NOT_ALLOWED: Row = Row("model_not_allowed", 403, 412, "model_not_allowed");
/// Answered like what is not allowed.
const PROVIDER_NOT_ALLOWED: Row = Row("model_not_allowed", 403, 412, "provider_not_allowed");
const MODEL_UNKNOWN: Row = Row("model_not_allowed", 403, 412, "model_unknown");
const PATH_NOT_ALLOWED: Row = Row("path_not_allowed", 403, 412, "path_not_allowed");
const UNKNOWN_PATH: Row = Row("unknown_path", 404, 412, "unknown_path");
const METHOD: Row = Row("method_not_allowed", 405, 412, "method_not_allowed");
const BAD_PATH: Row = Row("bad_path", 400, 412, "bad_path");

impl Row {
    fn status(&self, client: &str) -> u16 {
        match client {
            CLAUDE_CODE => self.2,
            CODEX | GEMINI_CLI | OPENCODE => 400,
            _ => self.1,
        }
    }
}

/// A mesh with a provider of each dialect and a key in each state.
struct Stage {
    mesh: Mesh,
    providers: [(Dialect, MockProvider, String); 3],
    good: (String, String),
    revoked: String,
    inactive: String,
    expired: String,
    /// Well formed, and nobody's since it was rotated away.
    unknown: String,
    /// May use no provider at all.
    bare: String,
}

static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);

impl Stage {
    fn new() -> Self {
        let mesh = Mesh::start(&Options::default());
        let providers = DIALECTS.map(|dialect| {
            let provider = MockProvider::always(Answer::json(200, &json!({"passed": true})));
            let name = format!("the-{}", dialect.name());
            (dialect, provider, name)
        });
        let keys = mesh.change(|admin| {
            for (dialect, provider, name) in &providers {
                let registration = Registration::new(*dialect, provider)
                    .with("name", json!(name))
                    .with("models", json!(["good-*", "dear-*"]));
                admin.post("/providers", registration.body());
            }
            let team = tenant::team(admin);
            let names = ["the-anthropic", "the-openai", "the-gemini"];
            let access = tenant::access(&names, &["good-*"]);
            let good = tenant::key(admin, &team, &json!({"access": access}));
            let revoked = tenant::key(admin, &team, &json!({"access": access}));
            admin.post(&format!("/keys/{}/revoke", revoked.0), &json!({}));
            let inactive = tenant::key(
                admin,
                &team,
                &json!({"access": access, "state": "inactive"}),
            );
            let soon = refused::now_ms() + 1_000;
            let expired = tenant::key(
                admin,
                &team,
                &json!({"access": access, "expires_at_ms": soon}),
            );
            let unknown = tenant::key(admin, &team, &json!({"access": access}));
            admin.post(&format!("/keys/{}/rotate", unknown.0), &json!({}));
            let bare = tenant::key(admin, &team, &json!({}));
            (good, revoked.1, inactive.1, expired.1, unknown.1, bare.1)
        });
        let (good, revoked, inactive, expired, unknown, bare) = keys;
        let stage = Self {
            mesh,
            providers,
            good,
            revoked,
            inactive,
            expired,
            unknown,
            bare,
        };
        weir_tests::wait::until("the key to expire", || {
            let answered = stage
                .mesh
                .send(&plain(Dialect::Anthropic, "none-1").bearer(&stage.expired));
            (answered.weir_code().as_deref() == Some("key_expired")).then_some(())
        });
        stage
    }

    /// Panics when a provider saw one of the marked requests.
    #[track_caller]
    fn assert_unseen(&self, marks: &[String]) {
        for (_, provider, _) in &self.providers {
            let mut seen = provider.seen();
            seen.retain(|seen| marks.iter().any(|mark| seen.mentions(mark)));
            assert!(
                seen.is_empty(),
                "a provider saw what was refused: {seen:#?}"
            );
        }
    }
}

/// Sends `request` of each dialect as each client; checks every answer, that no provider saw anything, and that
/// exactly one record of each tells why.
#[track_caller]
fn check(row: &Row, request: impl Fn(Dialect) -> Request) {
    check_as(&CLIENTS, row, request);
}

#[track_caller]
fn check_as(clients: &[&str], row: &Row, request: impl Fn(Dialect) -> Request) {
    let stage = &*STAGE;
    let from_ms = refused::now_ms() - 1;
    let mut marks = Vec::new();
    let mut statuses = Vec::new();
    for dialect in DIALECTS {
        for &client in clients {
            let asked = request(dialect).field("user-agent", client);
            let (asked, mark) = marked(asked);
            let status = row.status(client);
            let what = format!("{dialect:?} {client} {}", asked.target);
            let answered = stage.mesh.send(&asked);
            assert_stops(
                &answered,
                Refused {
                    dialect,
                    status,
                    code: row.0,
                },
                &what,
            );
            if client == CODEX && dialect == Dialect::Openai {
                assert_eq!(
                    answered.json()["error"]["code"],
                    json!("invalid_prompt"),
                    "{what}"
                );
            }
            marks.push(mark);
            statuses.push(status);
        }
    }
    stage.assert_unseen(&marks);
    let records = stage.mesh.marked_records(&marks, from_ms);
    for (record, status) in records.iter().zip(statuses) {
        assert_eq!(record["refusal_code"], json!(row.3), "{record:#}");
        assert_eq!(record["ended"], json!("refused"), "{record:#}");
        assert_eq!(record["status"], json!(status), "{record:#}");
        assert_eq!(
            (&record["attempt_count"], &record["cost_micro_usd"]),
            (&json!(0), &json!(0)),
            "{record:#}"
        );
    }
}

macro_rules! refusals {
    ($($test:ident: $row:ident, $request:expr;)*) => {$(
        #[test]
        fn $test() {
            check(&$row, $request);
        }
    )*};
}

refusals! {
    no_key: MISSING, |dialect| plain(dialect, "good-1");
    a_provider_s_own_key: MISSING, |dialect| match dialect {
        Dialect::Anthropic => plain(dialect, "good-1").field("x-api-key", "sk-ant-api03-abc"),
        Dialect::Openai => plain(dialect, "good-1").bearer("sk-proj-abc"),
        Dialect::Gemini => plain(dialect, "good-1").field("x-goog-api-key", "AIzaSyabc"),
    };
    an_unknown_key: UNKNOWN_KEY, |dialect| plain(dialect, "good-1").bearer(&STAGE.unknown);
    a_mistyped_key: MALFORMED, |dialect| plain(dialect, "good-1").bearer(&mistyped(&STAGE.good.1));
    a_cut_key: MALFORMED, |dialect| plain(dialect, "good-1").bearer(&STAGE.good.1[..40]);
    a_revoked_key: REVOKED, |dialect| plain(dialect, "good-1").bearer(&STAGE.revoked);
    an_expired_key: EXPIRED, |dialect| plain(dialect, "good-1").bearer(&STAGE.expired);
    an_inactive_key: INACTIVE, |dialect| plain(dialect, "good-1").bearer(&STAGE.inactive);
    a_model_that_is_not_allowed: MODEL_NOT_ALLOWED, |dialect| plain(dialect, "dear-1").bearer(&STAGE.good.1);
    a_model_nobody_serves: MODEL_UNKNOWN, |dialect| plain(dialect, "unheard-of").bearer(&STAGE.good.1);
    a_provider_that_is_not_allowed: PROVIDER_NOT_ALLOWED, |dialect| {
        let mut request = plain(dialect, "good-1").bearer(&STAGE.bare);
        request.target = format!("/p/the-{}{}", dialect.name(), request.target);
        request
    };
    nothing_allowed_unless_it_is_named: PROVIDER_NOT_ALLOWED, |dialect| plain(dialect, "good-1").bearer(&STAGE.bare);
    an_opaque_path_the_key_does_not_name: PATH_NOT_ALLOWED, |dialect| {
        let target = match dialect {
            Dialect::Anthropic => "/v1/messages/batches",
            Dialect::Openai => "/v1/audio/speech",
            Dialect::Gemini => "/v1beta/cachedContents",
        };
        Request::post(target, &json!({"model": "good-1"})).bearer(&STAGE.good.1)
    };
    another_method: METHOD, |dialect| {
        let mut request = plain(dialect, "good-1").bearer(&STAGE.good.1);
        request.method = "PUT".to_owned();
        request
    };
}

/// A request whose path cannot be told from another one; headers say whose answer is expected.
fn at(dialect: Dialect, tail: &str) -> Request {
    let (prefix, header, value) = match dialect {
        Dialect::Anthropic => ("/anthropic", "anthropic-version", "2023-06-01"),
        Dialect::Openai => ("/openai", "accept", "*/*"),
        Dialect::Gemini => ("/genai", "x-goog-api-key", STAGE.good.1.as_str()),
    };
    let request = Request::post(&format!("{prefix}/v1{tail}"), &json!({"model": "good-1"}));
    request.bearer(&STAGE.good.1).field(header, value)
}

/// Few clients here: what strangers are refused for is recorded up to a bound.
#[test]
fn paths_that_can_be_read_in_two_ways() {
    for tail in [
        "/x%2Fy",
        "/a/../b",
        "/a/./b",
        "/%2e%2E/b",
        "//b",
        "/a\\b",
        "/a%252fb",
        "/a%00",
        "/a%5cb",
        "/a;b=c",
        "/a/",
    ] {
        check_as(&[CLAUDE_CODE, "curl/8.5.0"], &BAD_PATH, |dialect| {
            at(dialect, tail)
        });
    }
}

/// Case does not hide a governed path among those that a key may name.
#[test]
fn governed_paths_in_another_case() {
    let stage = &*STAGE;
    for (target, dialect) in [
        ("/openai/v1/Chat/Completions", Dialect::Openai),
        ("/anthropic/v1/MESSAGES", Dialect::Anthropic),
        (
            "/genai/v1beta/models/good-1:GenerateContent",
            Dialect::Gemini,
        ),
    ] {
        let hint = if dialect == Dialect::Gemini {
            "x-goog-api-key"
        } else {
            "x-api-key"
        };
        let mut request =
            Request::post(target, &json!({"model": "dear-1"})).field(hint, &stage.good.1);
        if dialect == Dialect::Anthropic {
            request = request.field("anthropic-version", "2023-06-01");
        }
        assert_stops(
            &stage.mesh.send(&request),
            Refused {
                dialect,
                status: 400,
                code: "bad_path",
            },
            target,
        );
    }
}

fn mistyped(key: &str) -> String {
    let last = key.chars().next_back();
    let other = if last == Some('0') { "1" } else { "0" };
    format!("{}{other}", &key[..key.len() - 1])
}

#[test]
fn a_request_without_a_model() {
    let stage = &*STAGE;
    for (target, dialect) in [
        ("/v1/messages", Dialect::Anthropic),
        ("/v1/chat/completions", Dialect::Openai),
        ("/v1/responses", Dialect::Openai),
        ("/v1/embeddings", Dialect::Openai),
    ] {
        for client in CLIENTS {
            let body = json!({"messages": [], "input": "x"});
            let request = Request::post(target, &body)
                .bearer(&stage.good.1)
                .field("user-agent", client);
            let want = Refused {
                dialect,
                status: MODEL_MISSING.status(client),
                code: MODEL_MISSING.0,
            };
            assert_stops(
                &stage.mesh.send(&request),
                want,
                &format!("{target} {client}"),
            );
        }
    }
}

/// A path no provider has belongs to no dialect; the clients that have one get their own.
#[test]
fn a_path_no_provider_has() {
    let stage = &*STAGE;
    for client in CLIENTS {
        for target in [
            "/favicon.ico",
            "/v2/chat",
            "/weir/anything",
            "/p/the-openai",
        ] {
            let request = Request::get(target)
                .bearer(&stage.good.1)
                .field("user-agent", client);
            let answered = stage.mesh.send(&request);
            let want = Refused {
                dialect: Dialect::Openai,
                status: UNKNOWN_PATH.status(client),
                code: UNKNOWN_PATH.0,
            };
            assert_stops(&answered, want, &format!("{target} {client}"));
        }
    }
}

/// What only the mesh itself may say chooses no target when a client says it.
#[test]
fn internal_headers_of_a_client_lead_nowhere() {
    let stage = &*STAGE;
    let mut marks = Vec::new();
    for (header, value) in [
        ("x-weir-plan", "provider/the-openai"),
        ("x-envoy-original-path", "/v1/chat/completions"),
        ("x-envoy-original-dst-host", "127.0.0.1:1"),
        ("x-weir-canary", "guess"),
    ] {
        for request in [
            plain(Dialect::Openai, "good-1"),
            plain(Dialect::Openai, "dear-1").bearer(&stage.good.1),
        ] {
            let (request, mark) = marked(request.field(header, value));
            let answered = stage.mesh.send(&request);
            assert!(
                answered.weir_code().is_some(),
                "{header}: {}",
                answered.text()
            );
            marks.push(mark);
        }
    }
    stage.assert_unseen(&marks);
}

/// The literal bodies, once for each dialect.
#[test]
fn the_text_names_the_rule_and_what_to_do() {
    let stage = &*STAGE;
    let said =
        "The virtual key was revoked; ask your administrator for a new one. (Weir: key_revoked)";
    let body = |dialect| {
        stage
            .mesh
            .send(&plain(dialect, "good-1").bearer(&stage.revoked))
            .json()
    };
    assert_eq!(
        body(Dialect::Anthropic),
        json!({"type": "error",
            "error": {"type": "authentication_error", "message": said, "weir_code": "key_revoked"}}),
    );
    assert_eq!(
        body(Dialect::Openai),
        json!({"error": {"message": said, "type": "invalid_request_error", "param": null,
            "code": "invalid_api_key", "weir_code": "key_revoked"}}),
    );
    assert_eq!(
        body(Dialect::Gemini),
        json!({"error": {"code": 401, "message": said, "status": "UNAUTHENTICATED", "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "KEY_REVOKED", "domain": "weir",
                "metadata": {"weir_code": "key_revoked"}}]}}),
    );
}

#[test]
fn refusals_are_the_same_over_http2() {
    let stage = &*STAGE;
    for dialect in DIALECTS {
        let request = plain(dialect, "dear-1").bearer(&stage.good.1);
        let want = Refused {
            dialect,
            status: 403,
            code: "model_not_allowed",
        };
        assert_stops(
            &stage.mesh.send_over(&request, Protocol::Http2),
            want,
            "over HTTP/2",
        );
    }
}

/// Opaque paths that a key names pass, untouched, and are recorded; others stay shut.
#[test]
fn an_opaque_path_the_key_names_passes_and_is_recorded() {
    let stage = &*STAGE;
    let name = "the-openai";
    let (key_id, key) = stage.mesh.change(|admin| {
        let team = tenant::team(admin);
        let fields =
            json!({"access": tenant::access(&[name], &["*"]), "opaque_paths": ["/v1/audio/*?x"]});
        tenant::key(admin, &team, &fields)
    });
    let provider = &stage.providers[1].1;
    let body = b"\x00\xffnot json at all".to_vec();
    let mut request = Request::new("POST", "/v1/audio/speech?x=%20y")
        .bearer(&key)
        .field("content-type", "audio/x");
    request.body = body.clone();
    let answered = stage.mesh.send(&request);
    assert_eq!(
        (answered.status, answered.json()),
        (200, json!({"passed": true})),
        "{}",
        answered.text()
    );
    let seen: Vec<_> = provider
        .seen()
        .into_iter()
        .filter(|seen| seen.target.starts_with("/v1/audio/"))
        .collect();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].target.as_str(), &seen[0].body),
        ("/v1/audio/speech?x=%20y", &body)
    );
    assert!(!seen[0].mentions(&key));
    let record = stage.mesh.only_record(&key_id);
    for query in ["y=1", "x=1&y=1", "x=1&x=2", "X=1", "fields=a", "x=%zz"] {
        let target = format!("/v1/audio/speech?{query}");
        let answered = stage
            .mesh
            .send(&Request::post(&target, &json!({})).bearer(&key));
        let want = Refused {
            dialect: Dialect::Openai,
            status: 400,
            code: "query_not_allowed",
        };
        assert_stops(&answered, want, query);
    }
    assert_eq!(record["surface"], json!("openai.opaque"), "{record:#}");
    assert_eq!(record["ended"], json!("complete"));
    assert_eq!(record["path"], json!("/v1/audio/speech"));
    assert_eq!(record["attempt_count"], json!(1));
    for target in [
        "/v1/audio",
        "/v1/audio/speech/deep",
        "/v1/images/generations",
    ] {
        let answered = stage
            .mesh
            .send(&Request::post(target, &json!({})).bearer(&key));
        let want = Refused {
            dialect: Dialect::Openai,
            status: 403,
            code: "path_not_allowed",
        };
        assert_stops(&answered, want, target);
    }
}

const FORBIDDEN: (u16, &str) = (403, "path_not_allowed");
const UNTRACKED: (u16, &str) = (404, "stateful_id_unknown");

/// What such a body names is judged as on the surfaces.
#[test]
fn a_json_body_on_an_opaque_path_names_nothing_stored() {
    let stage = &*STAGE;
    let (_, key) = stage.mesh.change(|admin| {
        let team = tenant::team(admin);
        let access = tenant::access(&["the-openai"], &["*"]);
        let fields = json!({"access": access, "opaque_paths": ["/v1/images/*"]});
        tenant::key(admin, &team, &fields)
    });
    let ask = |body: &serde_json::Value| {
        stage
            .mesh
            .send(&Request::post("/v1/images/edits", body).bearer(&key))
    };
    for (body, (status, code)) in [
        (
            json!({"prompt": "x", "mask": {"file_id": "file-1"}}),
            UNTRACKED,
        ),
        (
            json!({"prompt": "x", "images": [{"file_id": "file-1"}]}),
            UNTRACKED,
        ),
        (
            json!({"prompt": "x", "api_base": "http://127.0.0.1:1"}),
            (403, "field_not_allowed"),
        ),
    ] {
        let want = Refused {
            dialect: Dialect::Openai,
            status,
            code,
        };
        assert_stops(&ask(&body), want, &body.to_string());
    }
    assert_eq!(ask(&json!({"prompt": "file-1", "user": "u"})).status, 200);
}

/// Not even a key that names everything gets at what belongs to the whole organisation or to all tenants.
#[test]
fn administration_and_stored_objects_are_never_passed_on() {
    let stage = &*STAGE;
    let (_, key) = stage.mesh.change(|admin| {
        let team = tenant::team(admin);
        let names = ["the-anthropic", "the-openai", "the-gemini"];
        tenant::key(
            admin,
            &team,
            &json!({"access": tenant::access(&names, &["*"]), "opaque_paths": ["/**"]}),
        )
    });
    for (target, (status, code), dialect) in [
        ("/v1/realtime/client_secrets", FORBIDDEN, Dialect::Openai),
        ("/v1/Realtime/Sessions", FORBIDDEN, Dialect::Openai),
        ("/openai/v1/chatkit/sessions", FORBIDDEN, Dialect::Openai),
        ("/v1alpha/auth_tokens", FORBIDDEN, Dialect::Gemini),
        ("/v1beta/authTokens:create", FORBIDDEN, Dialect::Gemini),
        ("/v1/unheard/of", FORBIDDEN, Dialect::Openai),
        ("/v1/FILES", UNTRACKED, Dialect::Openai),
        (
            "/v1/chat/completions/chatcmpl-1",
            UNTRACKED,
            Dialect::Openai,
        ),
        ("/v1/vector-stores", UNTRACKED, Dialect::Openai),
        ("/v1/skills", UNTRACKED, Dialect::Anthropic),
        ("/v1beta/cachedcontents", UNTRACKED, Dialect::Gemini),
        ("/v1beta/tunedModels", UNTRACKED, Dialect::Gemini),
        ("/upload/v1beta/files", UNTRACKED, Dialect::Gemini),
        ("/genai/v1beta/corpora/c", UNTRACKED, Dialect::Gemini),
        ("/v1/organization/projects", FORBIDDEN, Dialect::Openai),
        ("/v1/organizations/me", FORBIDDEN, Dialect::Anthropic),
        ("/v1/files", UNTRACKED, Dialect::Openai),
        ("/v1/files/file-1/content", UNTRACKED, Dialect::Openai),
        ("/v1/responses/resp_1", UNTRACKED, Dialect::Openai),
        ("/v1/batches", UNTRACKED, Dialect::Openai),
        ("/v1/containers/c1", UNTRACKED, Dialect::Openai),
        ("/v1/messages/batches", UNTRACKED, Dialect::Anthropic),
        ("/v1beta/files/f1", UNTRACKED, Dialect::Gemini),
    ] {
        let answered = stage.mesh.send(&Request::get(target).bearer(&key));
        assert_stops(
            &answered,
            Refused {
                dialect,
                status,
                code,
            },
            target,
        );
    }
}

#[test]
fn a_host_nobody_registered_is_misdirected() {
    let stage = &*STAGE;
    for client in CLIENTS {
        for host in [
            "api.example.com",
            "api.anthropic.com.evil.example",
            "169.254.169.254",
        ] {
            for protocol in [Protocol::Http1, Protocol::Http2] {
                let request = plain(Dialect::Openai, "good-1")
                    .bearer(&stage.good.1)
                    .host(host);
                let answered = stage
                    .mesh
                    .send_over(&request.field("user-agent", client), protocol);
                let want = Refused {
                    dialect: Dialect::Openai,
                    status: 421,
                    code: "misdirected_host",
                };
                assert_stops(&answered, want, &format!("{host} {client}"));
            }
        }
    }
}

fn websocket(target: &str, key: &str) -> Request {
    Request::get(target)
        .bearer(key)
        .field("connection", "Upgrade")
        .field("upgrade", "websocket")
        .field("sec-websocket-version", "13")
        .field("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// 426 for everybody, with a good key too, on every path; and what is sent behind it goes nowhere.
#[test]
fn websockets_are_refused_and_never_tunnel() {
    let stage = &*STAGE;
    let connections = stage.providers[1].1.seen().len();
    for target in [
        "/v1/responses",
        "/v1/chat/completions",
        "/v1/realtime?model=good-1",
        "/",
        "/weir/canary",
    ] {
        for client in CLIENTS {
            let request = websocket(target, &stage.good.1).field("user-agent", client);
            let mut connection = Connection::open(stage.mesh.address()).unwrap();
            let answered = connection.exchange(&request).unwrap();
            assert_eq!(
                answered.status,
                426,
                "{target} {client}: {}",
                answered.text()
            );
            assert_eq!(
                answered.weir_code().as_deref(),
                Some("websocket_unsupported")
            );
            assert_eq!(answered.field("upgrade"), None);
            if client != CODEX {
                continue;
            }
            // Frames of the other protocol are no HTTP: the connection ends or says so.
            connection
                .write_raw(b"\x81\x85\x00\x00\x00\x00hello\r\n\r\n")
                .unwrap_or_default();
            if let Ok(answered) = connection.answer("GET") {
                assert_eq!(answered.status, 400);
            }
        }
    }
    let behind = stage.providers[1].1.seen();
    let leaked: Vec<_> = behind
        .iter()
        .skip(connections)
        .filter(|seen| seen.method == "GET")
        .collect();
    assert!(leaked.is_empty(), "{leaked:#?}");
}

#[test]
fn websockets_over_http2_are_refused_and_never_tunnel() {
    let stage = &*STAGE;
    let mut request = Request::new("CONNECT", "/v1/responses").bearer(&stage.good.1);
    request = request
        .field(":protocol", "websocket")
        .field("sec-websocket-version", "13");
    match request.send(stage.mesh.address(), Protocol::Http2) {
        // Extended CONNECT was not offered, so the stream may be reset without a word.
        Err(_) => {}
        Ok(answered) => assert!(answered.status >= 400, "{}", answered.status),
    }
    let mesh = &stage.mesh;
    assert_eq!(
        mesh.send(&plain(Dialect::Openai, "good-1").bearer(&stage.good.1))
            .status,
        200
    );
}

#[test]
fn a_plain_connect_is_refused() {
    let stage = &*STAGE;
    let request = Request::new("CONNECT", "api.openai.com:443")
        .host("api.openai.com:443")
        .bearer(&stage.good.1);
    match request.send(stage.mesh.address(), Protocol::Http1) {
        Err(_) => {}
        Ok(answered) => assert!(answered.status >= 400, "{}", answered.status),
    }
}

/// Anybody may ask whether the mesh is there.
#[test]
fn probes_are_answered_without_a_key() {
    let stage = &*STAGE;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for target in ["/", "/healthz", "/api/hello", "/?x=1"] {
            let answered = stage
                .mesh
                .send_over(&Request::new("HEAD", target), protocol);
            assert_eq!(
                (answered.status, answered.body.len()),
                (200, 0),
                "HEAD {target}"
            );
            let answered = stage.mesh.send_over(&Request::get(target), protocol);
            assert_eq!(
                (answered.status, answered.text().as_str()),
                (200, "{\"status\":\"ok\"}\n"),
                "GET {target}"
            );
            let answered = stage
                .mesh
                .send_over(&Request::post(target, &json!({})), protocol);
            assert_eq!(
                answered.weir_code().as_deref(),
                Some("method_not_allowed"),
                "POST {target}"
            );
        }
    }
    let seen: Vec<Value> = stage
        .mesh
        .records_where("ended=complete")
        .into_iter()
        .filter(|r| r["path"] == json!("/"))
        .collect();
    assert!(seen.is_empty(), "probes leave no record: {seen:#?}");
}

/// Without the secret of this boot nobody learns that there are canaries.
#[test]
fn canaries_of_strangers_are_not_there() {
    let stage = &*STAGE;
    for request in [
        Request::get("/weir/canary"),
        Request::post("/weir/canary", &json!({})),
        Request::post("/weir/canary", &json!({}))
            .field("x-weir-canary", "guess")
            .bearer(&stage.good.1),
    ] {
        let answered = stage.mesh.send(&request);
        assert_eq!((answered.status, answered.body.len()), (404, 0));
    }
}

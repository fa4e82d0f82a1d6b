//! Bodies, headers and connections no client should send: refused in the dialect, in time, and nothing breaks.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::json;
use weir_tests::client::h1::Connection;
use weir_tests::client::{Answered, End, Protocol, Request};
use weir_tests::mesh::tenant::{Dialect, Registration, Tenant};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::MockProvider;
use weir_tests::provider::answer::Answer;
use weir_tests::refused::{Refused, assert_stops, plain};
use weir_tests::wait;

/// How long a refusal may take on a loaded machine.
const IN_TIME: Duration = Duration::from_secs(10);

const CAP: usize = 1_048_576;

const DIALECTS: [Dialect; 3] = [Dialect::Anthropic, Dialect::Openai, Dialect::Gemini];

struct Stage {
    mesh: Mesh,
    provider: MockProvider,
    tenant: Tenant,
    other_key: String,
    vms: String,
    pid: u32,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let settings = json!({"body_cap_bytes": CAP});
    let mesh = Mesh::start(&Options {
        settings,
        ..Options::default()
    });
    let provider = MockProvider::always(Answer::json(200, &json!({"ok": true})));
    let registrations = DIALECTS.map(|dialect| Registration::new(dialect, &provider));
    let tenant = mesh.tenant(&registrations);
    let other_key = mesh.tenant(&[]).key;
    let (vms, pid) = (vms(&mesh), mesh.envoy_pid());
    Stage {
        mesh,
        provider,
        tenant,
        other_key,
        vms,
        pid,
    }
});

/// What Envoy counts of its Wasm VMs: made, running, reloaded after a trap.
fn vms(mesh: &Mesh) -> String {
    let mut socket = UnixStream::connect(mesh.admin_socket()).expect("Envoy's admin socket");
    let asked = b"GET /stats?filter=wasm HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n";
    socket.write_all(asked).expect("a question to Envoy");
    let mut text = String::new();
    socket
        .read_to_string(&mut text)
        .expect("Envoy's statistics");
    let counts =
        |line: &&str| line.contains("created") || line.contains("reload") || line.contains("fail");
    let lines: Vec<&str> = text.lines().filter(counts).collect();
    assert!(!lines.is_empty(), "{text}");
    lines.join("\n")
}

impl Stage {
    /// Panics when Envoy or a VM was lost, or when an ordinary request does not pass.
    #[track_caller]
    fn assert_well(&self) {
        let answered = self
            .mesh
            .send(&self.tenant.sign(plain(Dialect::Anthropic, "model-1")));
        assert_eq!(answered.status, 200, "{}", answered.text());
        assert_eq!(vms(&self.mesh), self.vms, "a VM was made anew");
        assert_eq!(self.mesh.envoy_pid(), self.pid);
        assert!(
            !self.mesh.output("envoy.err").contains("panicked"),
            "{}",
            self.mesh.logs()
        );
    }

    #[track_caller]
    fn in_time(&self, request: &Request, protocol: Protocol, what: &str) -> Answered {
        let started = wait::now();
        let answered = self.mesh.send_over(request, protocol);
        assert!(
            started.elapsed() < IN_TIME,
            "{what}: took {:?}",
            started.elapsed()
        );
        answered
    }
}

/// Sends `body` to `target` over both protocols and expects a refusal with `code`, and no provider asked.
#[track_caller]
fn check_at(target: &str, dialect: Dialect, body: &[u8], status: u16, code: &'static str) {
    let stage = &*STAGE;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let shown: String = String::from_utf8_lossy(body).chars().take(120).collect();
        let what = format!("{target} over {protocol:?}: {shown}");
        let request = stage
            .tenant
            .sign(Request::post_bytes(target, body))
            .field("x-client-request-id", code);
        let answered = stage.in_time(&request, protocol, &what);
        assert_stops(
            &answered,
            Refused {
                dialect,
                status,
                code,
            },
            &what,
        );
    }
    let leaked = stage
        .provider
        .seen()
        .iter()
        .any(|seen| seen.fields.get("x-client-request-id").is_some());
    assert!(!leaked, "a provider saw what was refused with {code}");
}

#[track_caller]
fn check(body: &[u8], code: &'static str) {
    check_at("/v1/messages", Dialect::Anthropic, body, 400, code);
    check_at("/v1/chat/completions", Dialect::Openai, body, 400, code);
    check_at("/v1/responses", Dialect::Openai, body, 400, code);
    check_at("/v1/embeddings", Dialect::Openai, body, 400, code);
}

#[track_caller]
fn check_everywhere(body: &[u8], code: &'static str) {
    check(body, code);
    check_at(
        "/v1beta/models/model-1:generateContent",
        Dialect::Gemini,
        body,
        400,
        code,
    );
    check_at(
        "/v1beta/models/model-1:streamGenerateContent?alt=sse",
        Dialect::Gemini,
        body,
        400,
        code,
    );
}

#[test]
fn what_is_not_json() {
    for body in [
        &b""[..],
        b" ",
        b"{",
        b"{\"model\":\"m\"",
        b"{\"model\":\"m\",}",
        b"{\"model\":\"m\",,\"x\":1}",
        b"{\"model\" \"m\"}",
        b"{'model':'m'}",
        b"{model:\"m\"}",
        b"{\"model\":\"m\"} {\"model\":\"n\"}",
        b"{\"model\":\"m\"}x",
        b"{\"model\":\"m\",\"x\":01}",
        b"{\"model\":\"m\",\"x\":NaN}",
        b"{\"model\":\"m\",\"x\":.5}",
        b"{\"model\":\"m\",\"x\":tru}",
        b"{\"model\":\"m\",\"x\":\"\\x\"}",
        b"{\"model\":\"m\",\"x\":\"\\u12g4\"}",
        b"{\"model\":\"m\",\"x\":\"line\nbreak\"}",
        b"{\"model\":\"m\"} // comment",
        b"{\"model\":\"m\",\"x\":[1,2}",
        b"\xff\xfe{\0}\0",
        b"model=m&x=1",
        b"<xml/>",
    ] {
        check_everywhere(body, "bad_json");
    }
    STAGE.assert_well();
}

#[test]
fn json_that_is_no_object() {
    for body in [
        &b"null"[..],
        b"[]",
        b"\"text\"",
        b"1",
        b"true",
        b"[{\"model\":\"m\"}]",
    ] {
        let stage = &*STAGE;
        for target in [
            "/v1/messages",
            "/v1/chat/completions",
            "/v1beta/models/m:generateContent",
        ] {
            let answered = stage
                .mesh
                .send(&stage.tenant.sign(Request::post_bytes(target, body)));
            let code = answered.weir_code().unwrap_or_default();
            assert!(
                code == "bad_json" || code == "model_missing",
                "{target} {body:?}: {code}"
            );
        }
    }
    STAGE.assert_well();
}

#[test]
fn a_byte_order_mark() {
    check_everywhere(b"\xef\xbb\xbf{\"model\":\"m\"}", "bad_json");
}

#[test]
fn nul_bytes() {
    for body in [
        &b"\0"[..],
        b"{\"model\":\"m\"}\0",
        b"{\"model\":\"m\",\"x\":\"\0\"}",
        b"{\0\"model\":\"m\"}",
    ] {
        check_everywhere(body, "bad_json");
    }
    STAGE.assert_well();
}

#[test]
fn bytes_that_are_not_utf8() {
    for bad in [
        &b"\xff"[..],
        b"\xc3",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"caf\xe9",
    ] {
        for place in ["value", "key"] {
            let mut body = b"{\"model\":\"m\",\"".to_vec();
            if place == "value" {
                body.extend_from_slice(b"x\":\"");
            }
            body.extend_from_slice(bad);
            body.extend_from_slice(if place == "value" { b"\"}" } else { b"\":1}" });
            check_everywhere(&body, "bad_json");
        }
    }
    STAGE.assert_well();
}

#[test]
fn values_of_the_wrong_type() {
    for body in [
        "{\"model\":1}",
        "{\"model\":[\"m\"]}",
        "{\"model\":{}}",
        "{\"model\":true}",
    ] {
        check(body.as_bytes(), "bad_json");
    }
    for target in ["/v1/messages", "/v1/chat/completions"] {
        for stream in ["1", "\"true\"", "[]", "{}"] {
            let body = format!("{{\"model\":\"m\",\"stream\":{stream}}}");
            let answered = STAGE
                .mesh
                .send(&STAGE.tenant.sign(Request::post_bytes(target, body)));
            assert_eq!(
                answered.weir_code().as_deref(),
                Some("bad_json"),
                "{target} {stream}"
            );
        }
    }
}

#[test]
fn a_model_that_is_null_or_empty_is_missing() {
    for body in ["{}", "{\"messages\":[]}"] {
        check(body.as_bytes(), "model_missing");
    }
    for body in ["{\"model\":null}", "{\"model\":\"\"}"] {
        let stage = &*STAGE;
        let answered = stage
            .mesh
            .send(&stage.tenant.sign(Request::post_bytes("/v1/messages", body)));
        let code = answered.weir_code().unwrap_or_default();
        assert!(
            ["model_missing", "bad_json", "model_not_allowed"].contains(&code.as_str()),
            "{body}: {code}"
        );
    }
}

#[test]
fn nesting() {
    let stage = &*STAGE;
    let nested = |levels: usize| {
        format!(
            "{{\"model\":\"m\",\"x\":{}{}}}",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    check_everywhere(nested(128).as_bytes(), "bad_json");
    check_everywhere("{\"x\":".repeat(100_000).as_bytes(), "bad_json");
    check_everywhere("[".repeat(500_000).as_bytes(), "bad_json");
    let request = stage
        .tenant
        .sign(Request::post_bytes("/v1/messages", nested(127)));
    assert_eq!(
        stage.mesh.send(&request).status,
        200,
        "128 levels with the object itself"
    );
    stage.assert_well();
}

#[test]
fn fields_given_twice() {
    for body in [
        "{\"model\":\"m\",\"model\":\"m\"}",
        "{\"model\":\"m\",\"x\":1,\"model\":\"n\"}",
        "{\"model\":\"m\",\"stream\":false,\"stream\":true}",
    ] {
        for target in ["/v1/messages", "/v1/chat/completions", "/v1/responses"] {
            let dialect = if target == "/v1/messages" {
                Dialect::Anthropic
            } else {
                Dialect::Openai
            };
            check_at(target, dialect, body.as_bytes(), 400, "duplicate_field");
        }
    }
    let chat = "{\"model\":\"m\",\"messages\":[],\"messages\":[]}";
    check_at(
        "/v1/messages",
        Dialect::Anthropic,
        chat.as_bytes(),
        400,
        "duplicate_field",
    );
    check_at(
        "/v1/chat/completions",
        Dialect::Openai,
        chat.as_bytes(),
        400,
        "duplicate_field",
    );
    let gemini = "{\"contents\":[],\"contents\":[]}";
    check_at(
        "/v1beta/models/m:generateContent",
        Dialect::Gemini,
        gemini.as_bytes(),
        400,
        "duplicate_field",
    );
    let nested = "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true,\"include_usage\":false}}";
    check_at(
        "/v1/chat/completions",
        Dialect::Openai,
        nested.as_bytes(),
        400,
        "duplicate_field",
    );
}

#[test]
fn fields_in_disguise() {
    for body in [
        "{\"\\u006dodel\":\"m\"}",
        "{\"mod\\u0065l\":\"m\",\"model\":\"n\"}",
        "{\"Model\":\"m\"}",
        "{\"model\":\"m\",\"MODEL\":\"n\"}",
        "{\"model\":\"m\",\"Stream\":true}",
        "{\"model\":\"m\",\"\\u0073tream\":true}",
    ] {
        for target in ["/v1/messages", "/v1/chat/completions", "/v1/responses"] {
            let dialect = if target == "/v1/messages" {
                Dialect::Anthropic
            } else {
                Dialect::Openai
            };
            check_at(target, dialect, body.as_bytes(), 400, "disguised_field");
        }
    }
}

/// What policy does not depend on is the provider's to judge.
#[test]
fn oddities_that_are_the_provider_s_to_judge_pass() {
    let stage = &*STAGE;
    for body in [
        "{\"model\":\"m\",\"x\":1,\"x\":2}",
        "{\"model\":\"m\",\"nested\":{\"model\":1,\"Model\":2}}",
        "{\"model\":\"m\",\"x\":\"\\u0000 \\ud800 \\ud83d\\ude00\"}",
        " \r\n\t{\"model\":\"m\"}\n\n",
        "{\"model\":\"\\u006d\"}",
        "{\"model\":\"m\",\"x\":1e400,\"y\":-0.0,\"z\":123456789012345678901234567890}",
    ] {
        let request = stage
            .tenant
            .sign(Request::post_bytes("/v1/messages", body))
            .field("x-stainless-odd", body.trim());
        let answered = stage.mesh.send(&request);
        assert_eq!(answered.status, 200, "{body}: {}", answered.text());
        let seen = stage.provider.seen();
        assert!(
            seen.iter().any(|seen| seen.body == body.as_bytes()),
            "{body} changed on the way"
        );
    }
}

#[test]
fn other_content_types() {
    let stage = &*STAGE;
    for dialect in DIALECTS {
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/xml",
        ] {
            let request = plain(dialect, "model-1")
                .without("content-type")
                .field("content-type", kind);
            let answered = stage.mesh.send(&stage.tenant.sign(request));
            let want = Refused {
                dialect,
                status: 415,
                code: "wrong_content_type",
            };
            assert_stops(&answered, want, kind);
        }
        for kind in [
            "application/json; charset=utf-8",
            "Application/JSON",
            "application/vnd.api+json",
        ] {
            let request = plain(dialect, "model-1")
                .without("content-type")
                .field("content-type", kind);
            assert_eq!(
                stage.mesh.send(&stage.tenant.sign(request)).status,
                200,
                "{kind}"
            );
        }
    }
}

/// What stands in a query is on a list, or nothing goes up.
#[test]
fn query_parameters_that_nobody_lists() {
    let stage = &*STAGE;
    for dialect in DIALECTS {
        for query in [
            "fields=candidates",
            "%66ields=candidates",
            "$fields=candidates",
            "%24fields=candidates",
            "access_token=x",
            "$httpHeaders=x",
            "$userProject=x",
            "KEY=x",
            "key[]=x",
            "key%5B%5D=x",
            "prettyPrint=false",
            "callback=x",
            "quotaUser=x",
            "uploadType=media",
            "api-version=2099-01-01",
            "%61pi-version=2099-01-01",
            "alt=media",
            "alt=proto",
            "%61lt=%70roto",
            "x=1&x=1",
            "x=%zz",
            "=x",
            "%C3%28=x",
        ] {
            let mut request = stage.tenant.sign(plain(dialect, "model-1"));
            let before = if request.target.contains('?') {
                '&'
            } else {
                '?'
            };
            request.target = format!("{}{before}{query}", request.target);
            request = request.field("x-mark", "a query");
            let want = Refused {
                dialect,
                status: 400,
                code: "query_not_allowed",
            };
            assert_stops(&stage.mesh.send(&request), want, query);
        }
    }
    let seen = stage.provider.seen();
    let leaked =
        |seen: &weir_tests::provider::Seen| seen.fields.get("x-mark").as_deref() == Some("a query");
    assert!(!seen.iter().any(leaked));
    stage.assert_well();
}

fn of_length(dialect: Dialect, length: usize) -> Request {
    let mut request = STAGE.tenant.sign(plain(dialect, "model-1"));
    let start = "{\"model\":\"model-1\",\"pad\":\"";
    request.body = format!("{start}{}\"}}", "x".repeat(length - start.len() - 2)).into_bytes();
    request
}

#[test]
fn bodies_over_the_cap() {
    let stage = &*STAGE;
    for dialect in DIALECTS {
        let want = Refused {
            dialect,
            status: 413,
            code: "body_too_large",
        };
        for protocol in [Protocol::Http1, Protocol::Http2] {
            for length in [CAP + 1, 3 * CAP] {
                let request = of_length(dialect, length).field("x-client-request-id", "too large");
                let what = format!("{dialect:?} {length} over {protocol:?}");
                assert_stops(&stage.in_time(&request, protocol, &what), want, &what);
                for end in [End::Data, End::Trailers] {
                    let request = request.clone().pieces(&[30_000], end);
                    assert_stops(
                        &stage.in_time(&request, protocol, &what),
                        want,
                        &format!("{what}, counted"),
                    );
                }
            }
            assert_eq!(
                stage
                    .mesh
                    .send_over(&of_length(dialect, CAP), protocol)
                    .status,
                200,
                "the cap itself"
            );
            let request = of_length(dialect, CAP).pieces(&[65_536], End::Empty);
            assert_eq!(
                stage.mesh.send_over(&request, protocol).status,
                200,
                "the cap itself, counted"
            );
        }
    }
    let leaked = stage
        .provider
        .seen()
        .iter()
        .any(|seen| seen.fields.get("x-client-request-id").as_deref() == Some("too large"));
    assert!(!leaked);
    stage.assert_well();
}

/// The length alone is enough: nothing of the body has to come.
#[test]
fn a_length_over_the_cap_is_refused_before_the_body() {
    let stage = &*STAGE;
    for length in ["1048577", "999999999999", "18446744073709551615"] {
        let mut connection = Connection::open(stage.mesh.address()).unwrap();
        connection.patience(IN_TIME).unwrap();
        let mut request = stage
            .tenant
            .sign(plain(Dialect::Openai, "model-1"))
            .field("content-length", length);
        request.body.clear();
        connection.write_head(&request).unwrap();
        let answered = connection.answer("POST").unwrap();
        let want = Refused {
            dialect: Dialect::Openai,
            status: 413,
            code: "body_too_large",
        };
        assert_stops(&answered, want, length);
    }
    stage.assert_well();
}

#[test]
fn clients_that_leave_in_the_middle_harm_nobody() {
    let stage = &*STAGE;
    for size in [0, 10, 70_000, 400_000] {
        for _ in 0..10 {
            let mut connection = Connection::open(stage.mesh.address()).unwrap();
            let request = stage
                .tenant
                .sign(plain(Dialect::Anthropic, "model-1"))
                .field("content-length", "900000");
            connection.write_head(&request).unwrap();
            connection.write_raw(&vec![b' '; size]).unwrap();
        }
    }
    stage.assert_well();
}

#[test]
fn credentials_twice_and_different() {
    let stage = &*STAGE;
    let key = &stage.tenant.key;
    for dialect in DIALECTS {
        for header in [
            "x-weir-key",
            "x-bf-vk",
            "authorization",
            "x-api-key",
            "api-key",
            "x-goog-api-key",
        ] {
            let value = if header == "authorization" {
                format!("Bearer {key}")
            } else {
                key.clone()
            };
            for protocol in [Protocol::Http1, Protocol::Http2] {
                let request = plain(dialect, "model-1")
                    .field(header, &value)
                    .field(header, &value);
                let want = Refused {
                    dialect,
                    status: 400,
                    code: "duplicate_credential",
                };
                assert_stops(&stage.in_time(&request, protocol, header), want, header);
                if header == "x-weir-key" {
                    continue;
                }
                let other = if header == "authorization" {
                    format!("Bearer {}", stage.other_key)
                } else {
                    stage.other_key.clone()
                };
                let request = plain(dialect, "model-1")
                    .field("x-weir-key", key)
                    .field(header, &other);
                let want = Refused {
                    dialect,
                    status: 400,
                    code: "conflicting_credentials",
                };
                assert_stops(&stage.in_time(&request, protocol, header), want, header);
            }
        }
        let mut request = stage.tenant.sign(plain(dialect, "model-1"));
        request.target = format!(
            "{}{}key={}",
            request.target,
            if request.target.contains('?') {
                '&'
            } else {
                '?'
            },
            stage.other_key
        );
        let want = Refused {
            dialect,
            status: 400,
            code: "conflicting_credentials",
        };
        assert_stops(&stage.mesh.send(&request), want, "?key=");
    }
    stage.assert_well();
}

#[test]
fn header_values_that_are_not_utf8() {
    let stage = &*STAGE;
    let request = stage.tenant.sign(plain(Dialect::Openai, "model-1"));
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let odd = request
            .clone()
            .raw_field("x-stainless-odd", b"caf\xe9 \xff\xfe")
            .raw_field("user-agent", b"\x80\x81");
        assert_eq!(stage.mesh.send_over(&odd, protocol).status, 200);
        let seen = stage.provider.seen();
        let kept = seen.iter().any(|seen| {
            seen.fields
                .0
                .contains(&(b"x-stainless-odd".to_vec(), b"caf\xe9 \xff\xfe".to_vec()))
        });
        assert!(kept, "the value changed on the way");
    }
    for (header, status, code) in [
        ("authorization", 401, "missing_credential"),
        ("x-api-key", 401, "missing_credential"),
    ] {
        let odd = plain(Dialect::Openai, "model-1").raw_field(header, b"Bearer \xff\xfe");
        let want = Refused {
            dialect: Dialect::Openai,
            status,
            code,
        };
        assert_stops(&stage.mesh.send(&odd), want, header);
    }
    for header in [
        "session-id",
        "anthropic-version",
        "originator",
        "accept-encoding",
        "x-claude-code-agent-id",
    ] {
        let answered = stage
            .mesh
            .send(&request.clone().raw_field(header, b"\xc3\x28"));
        assert_eq!(answered.status, 200, "{header}: {}", answered.text());
    }
    stage.assert_well();
}

/// Envoy itself bounds heads; what it lets through the filter bears.
#[test]
fn header_floods() {
    let stage = &*STAGE;
    let flooded = |count: usize, bytes: usize| {
        let mut request = stage.tenant.sign(plain(Dialect::Openai, "model-1"));
        for number in 0..count {
            request = request.field(&format!("x-flood-{number}"), &"y".repeat(bytes));
        }
        request
    };
    for (count, bytes) in [(150, 8), (1, 60_000), (80, 1_000)] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let answered = stage.in_time(&flooded(count, bytes), protocol, "many headers");
            assert_eq!(
                answered.status,
                200,
                "{count} of {bytes} bytes: {}",
                answered.text()
            );
        }
    }
    for (count, bytes) in [(1_025, 8), (10_000, 8), (1, 200_000), (400, 1_000)] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let started = wait::now();
            // The connection may be closed on a client that still sends.
            if let Ok(answered) = flooded(count, bytes).send(stage.mesh.address(), protocol) {
                assert!(
                    (400..500).contains(&answered.status),
                    "{count} of {bytes} bytes: {}",
                    answered.status
                );
            }
            assert!(
                started.elapsed() < IN_TIME,
                "{count} of {bytes} bytes over {protocol:?}"
            );
        }
    }
    stage.assert_well();
}

/// Messages that are no proper HTTP get an answer or an end, in time.
#[test]
fn what_is_not_http() {
    let stage = &*STAGE;
    let host = "host: localhost\r\n";
    let key = format!("authorization: Bearer {}\r\n", stage.tenant.key);
    for raw in [
        "GET\r\n\r\n".to_owned(),
        "\0\0\0\0\0\0\0\0\r\n\r\n".to_owned(),
        format!(
            "POST /v1/messages HTTP/1.1\r\n{host}{key}x-nul: a\0b\r\ncontent-length: 2\r\n\r\n{{}}"
        ),
        format!("POST /v1/messages HTTP/1.1\r\n{host}{key}content-length: -1\r\n\r\n"),
        format!(
            "POST /v1/messages HTTP/1.1\r\n{host}{key}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"
        ),
        format!(
            "POST /v1/messages HTTP/1.1\r\n{host}{key}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{{}}"
        ),
        format!(
            "POST /v1/messages HTTP/1.1\r\n{host}{key}transfer-encoding: chunked\r\n\r\nzz\r\n"
        ),
        format!("POST /v1/messages HTTP/1.1\r\n{host}{host}{key}content-length: 2\r\n\r\n{{}}"),
        format!("POST /v1/m#x HTTP/1.1\r\n{host}{key}content-length: 2\r\n\r\n{{}}"),
        format!("POST /v1/caf\u{e9} HTTP/1.1\r\n{host}{key}content-length: 2\r\n\r\n{{}}"),
        format!("POST /v1/messages HTTP/1.1\r\n{key}content-length: 2\r\n\r\n{{}}"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame at all, and more of it"
            .to_owned(),
        "\x16\x03\x01\x02\0\x01\0\x01\u{7f}".to_owned(),
    ] {
        let started = wait::now();
        let mut connection = Connection::open(stage.mesh.address()).unwrap();
        connection.patience(IN_TIME).unwrap();
        connection.write_raw(raw.as_bytes()).unwrap_or_default();
        connection.write_raw(b"\r\n\r\n").unwrap_or_default();
        if let Ok(answered) = connection.answer("POST") {
            assert!(
                (400..500).contains(&answered.status),
                "{raw:?}: {}",
                answered.status
            );
        }
        assert!(started.elapsed() < IN_TIME, "{raw:?}");
    }
    stage.assert_well();
}

//! Compressed request bodies: understood and passed on plain; damaged ones and bombs are refused in time.

use std::io::Write;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::client::{End, Protocol, Request};
use weir_tests::mesh::tenant::{self, Dialect, Registration, Tenant};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::MockProvider;
use weir_tests::provider::answer::Answer;
use weir_tests::refused::{Refused, assert_stops};
use weir_tests::surfaces;
use weir_tests::wait;

const DIALECTS: [Dialect; 3] = [Dialect::Anthropic, Dialect::Openai, Dialect::Gemini];
const CODINGS: [&str; 3] = ["gzip", "zstd", "br"];
const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// How long a refusal may take on a loaded machine.
const IN_TIME: Duration = Duration::from_secs(10);

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

fn stage() -> (MockProvider, Tenant) {
    let provider = MockProvider::always(Answer::json(200, &json!({"ok": true})));
    let tenant = MESH.tenant(&DIALECTS.map(|dialect| Registration::new(dialect, &provider)));
    (provider, tenant)
}

fn compressed(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => {
            ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest)
        }
        "br" => {
            let mut compressed = Vec::new();
            let parameters = brotli::enc::BrotliEncoderParams {
                quality: 4,
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &body[..], &mut compressed, &parameters).unwrap();
            compressed
        }
        other => panic!("no encoder for {other}"),
    }
}

fn encoded(coding: &str, target: &str, body: Vec<u8>) -> Request {
    Request::post_bytes(target, body).field("content-encoding", coding)
}

#[test]
fn compressed_bodies_are_passed_on_plain() {
    let (provider, tenant) = stage();
    for name in [
        "messages",
        "chat",
        "responses",
        "embeddings",
        "generate",
        "count_tokens",
    ] {
        let case = surfaces::case(name, "model-1");
        for coding in CODINGS {
            let body = compressed(coding, &case.body);
            for protocol in PROTOCOLS {
                for pieces in [
                    None,
                    Some((&[1_usize][..], End::Data)),
                    Some((&[7, 100], End::Empty)),
                    Some((&[50], End::Trailers)),
                ] {
                    provider.forget();
                    let mut request = tenant.sign(encoded(coding, &case.target, body.clone()));
                    if let Some((sizes, end)) = pieces {
                        request = request.pieces(sizes, end);
                    }
                    let what = format!("{name} in {coding} over {protocol:?} {pieces:?}");
                    let answered = MESH.send_over(&request, protocol);
                    assert_eq!(answered.status, 200, "{what}: {}", answered.text());
                    let seen = provider.only();
                    assert_eq!(
                        String::from_utf8(seen.body),
                        String::from_utf8(case.body.clone()),
                        "{what}"
                    );
                    assert_eq!(seen.target, case.target, "{what}");
                    assert_eq!(seen.fields.get("content-encoding"), None, "{what}");
                    let length = seen.fields.get("content-length");
                    assert!(
                        length.is_none() || length == Some(case.body.len().to_string()),
                        "{what}: {length:?}"
                    );
                }
            }
        }
    }
}

/// What is judged is what is inside.
#[test]
fn verdicts_are_about_the_plain_body() {
    let (provider, tenant) = stage();
    for (body, code) in [
        ("{\"model\":\"m\",\"model\":\"n\"}", "duplicate_field"),
        ("{\"messages\":[]}", "model_missing"),
        ("{\"model\":\"m\"}}", "bad_json"),
    ] {
        for coding in CODINGS {
            let request = tenant.sign(encoded(
                coding,
                "/v1/messages",
                compressed(coding, body.as_bytes()),
            ));
            let want = Refused {
                dialect: Dialect::Anthropic,
                status: 400,
                code,
            };
            assert_stops(&MESH.send(&request), want, &format!("{body} in {coding}"));
        }
    }
    assert_eq!(provider.count(), 0);
}

/// A key that may use an opaque path of OpenAI.
fn opaque_tenant(provider: &MockProvider) -> Tenant {
    let registration = Registration::new(Dialect::Openai, provider);
    let name = registration.name().to_owned();
    let fields =
        json!({"access": tenant::access(&[&name], &["*"]), "opaque_paths": ["/v1/audio/*"]});
    MESH.tenant_with(&[registration], &fields)
}

const OPAQUE: &str = "/v1/audio/transcriptions";

/// Those who are refused: a tenant with all dialects, and one that may use an opaque path.
struct Askers {
    provider: MockProvider,
    tenant: Tenant,
    opaque: Tenant,
}

fn askers() -> Askers {
    let (provider, tenant) = stage();
    let opaque = opaque_tenant(&provider);
    Askers {
        provider,
        tenant,
        opaque,
    }
}

impl Askers {
    /// Sends a request with these headers, and no type of its own, to a surface of each dialect and to an opaque path.
    #[track_caller]
    fn check_refused(&self, fields: &[(&str, &str)], protocol: Protocol, code: &'static str) {
        let surfaces = [
            ("messages", Dialect::Anthropic),
            ("chat", Dialect::Openai),
            ("generate", Dialect::Gemini),
        ];
        let surfaces = surfaces.into_iter().map(|(name, dialect)| {
            let case = surfaces::case(name, "m");
            let request = Request::post_bytes(&case.target, case.body);
            (self.tenant.sign(request), dialect)
        });
        let opaque = self.opaque.sign(Request::post_bytes(OPAQUE, "{}"));
        for (request, dialect) in surfaces.chain([(opaque, Dialect::Openai)]) {
            let mut request = request.without("content-type");
            for (name, value) in fields {
                request = request.field(name, value);
            }
            let want = Refused {
                dialect,
                status: 415,
                code,
            };
            let what = format!("{fields:?} to {} over {protocol:?}", request.target);
            assert_stops(&MESH.send_over(&request, protocol), want, &what);
        }
        assert_eq!(self.provider.count(), 0, "{fields:?}");
    }
}

/// Whatever is left when Envoy has undone what it understands, and whatever it undid one after the other.
#[test]
fn codings_nobody_understands_are_refused() {
    let askers = askers();
    let json = ("content-type", "application/json");
    for protocol in PROTOCOLS {
        for coding in [
            "deflate",
            "compress",
            "x-gzip",
            "x-unheard-of",
            "aws-chunked",
            "gzip, x-unheard-of",
            "gzip, gzip",
            "gzip, zstd",
            "gzip,br",
            "zstd, br",
            "gzip, zstd, br",
            "br, gzip",
            "identity, gzip",
            "gzip, identity",
            "identity, identity",
            "gzip,",
        ] {
            askers.check_refused(
                &[json, ("content-encoding", coding)],
                protocol,
                "bad_encoding",
            );
        }
        for second in ["gzip", "zstd", "identity"] {
            let fields = [
                json,
                ("content-encoding", "gzip"),
                ("content-encoding", second),
            ];
            askers.check_refused(&fields, protocol, "bad_encoding");
        }
    }
    let (provider, tenant) = stage();
    let case = surfaces::case("messages", "m");
    for coding in ["identity", "Identity"] {
        let request = tenant.sign(encoded(coding, &case.target, case.body.clone()));
        assert_eq!(MESH.send(&request).status, 200);
    }
    // What a client notes in the proxy's place changes nothing.
    let small = compressed("gzip", &case.body);
    let forged =
        encoded("gzip", &case.target, small).field("x-weir-content-encoding", "gzip, zstd");
    assert_eq!(MESH.send(&tenant.sign(forged)).status, 200);
    assert_eq!(provider.count(), 3);
    assert!(
        provider
            .seen()
            .iter()
            .all(|seen| seen.fields.get("x-weir-content-encoding").is_none())
    );
}

#[test]
fn other_character_sets_and_second_types_are_refused() {
    let askers = askers();
    for protocol in PROTOCOLS {
        for kind in [
            "application/json; charset=utf-7",
            "Application/Json; Charset=\"UTF-7\"",
            "application/json; charset=utf-16",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; charset*=utf-7''x",
            "application/json; x-charset=utf-7",
            "application/json, application/json",
            "text/html",
            "multipart/form-data",
        ] {
            askers.check_refused(&[("content-type", kind)], protocol, "wrong_content_type");
        }
        for second in ["application/json", "text/plain"] {
            let fields = [
                ("content-type", "application/json"),
                ("content-type", second),
            ];
            askers.check_refused(&fields, protocol, "wrong_content_type");
        }
    }
}

/// Parts that another reader would decode are refused, others pass byte for byte.
#[test]
fn forms_pass_only_with_plain_parts() {
    let provider = MockProvider::always(Answer::json(200, &json!({"ok": true})));
    let tenant = opaque_tenant(&provider);
    let send = |head: &str, content: &[u8]| {
        let head = format!(
            "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n{head}\r\n\r\n"
        );
        let body = [head.as_bytes(), content, b"\r\n--B--\r\n"].concat();
        let request = Request::post_bytes(OPAQUE, body.clone())
            .without("content-type")
            .field("content-type", "multipart/form-data; boundary=B")
            .pieces(&[1, 3], End::Data);
        (MESH.send(&tenant.sign(request)), body)
    };
    for (head, content) in [
        ("Content-Type: text/plain", &b"hello"[..]),
        (
            "Content-Type: audio/mpeg\r\nContent-Transfer-Encoding: binary",
            b"\x00\xff",
        ),
    ] {
        provider.forget();
        let (answered, body) = send(head, content);
        assert_eq!(answered.status, 200, "{head}: {}", answered.text());
        assert_eq!(provider.only().body, body, "{head}");
    }
    provider.forget();
    for head in [
        "Content-Transfer-Encoding: quoted-printable",
        "Content-Transfer-Encoding: base64",
        "Content-Type: text/plain; charset=utf-7",
        "Content-Encoding: gzip",
    ] {
        let want = Refused {
            dialect: Dialect::Openai,
            status: 415,
            code: "wrong_content_type",
        };
        assert_stops(&send(head, b"hello").0, want, head);
    }
    assert_eq!(provider.count(), 0);
}

/// What the record of a guarded exchange at an opaque path says of a direction: outcome, and what was not scanned.
fn said(record: &Value, direction: &str) -> (String, Value) {
    let outcomes = record["guardrails"].as_array().unwrap();
    let mut outcomes = outcomes.iter();
    let outcome = outcomes
        .find(|outcome| outcome["direction"] == json!(direction))
        .unwrap_or_else(|| panic!("{record:#}"));
    let verdict = outcome["outcome"].as_str().unwrap_or_default();
    (verdict.to_owned(), outcome["unscanned"].clone())
}

/// A text in another encoding, a file and an answer that says two things are not recorded as scanned.
#[test]
fn what_nobody_read_is_not_recorded_as_scanned() {
    let provider = MockProvider::always(Answer::json(200, &json!({"ok": true})));
    let utf16: Vec<u8> = "hello".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let encoding = json!([{"why": "encoding", "count": 1}]);
    for (kind, body, answer, request, response) in [
        (
            "text/plain",
            &b"hello"[..],
            "text/plain",
            ("scanned", json!([])),
            ("scanned", json!([])),
        ),
        (
            "text/plain",
            &utf16,
            "text/plain; charset=utf-7",
            ("not_scanned", encoding.clone()),
            ("not_scanned", encoding.clone()),
        ),
        (
            "audio/mpeg",
            b"\x00\xff",
            "Text/Plain; CharSet=\"utf-16\"",
            ("not_scanned", json!([{"why": "audio", "count": 1}])),
            ("not_scanned", encoding.clone()),
        ),
    ] {
        let tenant = opaque_tenant(&provider);
        let guardrail = json!({
            "name": tenant::unique("shop"),
            "scope": {"keys": [tenant.key_id]},
            "on_error": "pass",
            "stages": [{"detectors": [{"regex": {"id": "shop-code", "pattern": "shop-[0-9]{9}"}}], "action": "observe"}],
        });
        MESH.change(|admin| admin.post("/guardrails", &guardrail));
        let scripted = Answer::bytes(200, answer, "hello");
        provider.script(move |_, _| scripted.clone());
        let sent = Request::post_bytes(OPAQUE, body)
            .without("content-type")
            .field("content-type", kind);
        let answered = MESH.send(&tenant.sign(sent));
        assert_eq!(
            (answered.status, answered.text().as_str()),
            (200, "hello"),
            "{kind}"
        );
        let record = MESH.only_record(&tenant.key_id);
        let owned = |(verdict, unscanned): (&str, Value)| (verdict.to_owned(), unscanned);
        assert_eq!(said(&record, "request"), owned(request), "{kind}");
        assert_eq!(said(&record, "response"), owned(response), "{answer}");
    }
}

/// Sends what no decoder can read to its end over both protocols, whole and in pieces.
#[track_caller]
fn check_damaged(provider: &MockProvider, tenant: &Tenant, coding: &str, body: &[u8], what: &str) {
    for protocol in PROTOCOLS {
        for pieces in [None, Some(1_000)] {
            let mut request = tenant.sign(encoded(coding, "/v1/messages", body.to_vec()));
            if let Some(size) = pieces {
                request = request.pieces(&[size], End::Data);
            }
            let what = format!("{what} in {coding} over {protocol:?} {pieces:?}");
            let started = wait::now();
            let answered = MESH.send_over(&request, protocol);
            assert!(
                started.elapsed() < IN_TIME,
                "{what}: took {:?}",
                started.elapsed()
            );
            let want = Refused {
                dialect: Dialect::Anthropic,
                status: 415,
                code: "bad_encoding",
            };
            assert_stops(&answered, want, &what);
        }
    }
    assert_eq!(provider.count(), 0, "{what}");
}

#[test]
fn garbage_is_refused() {
    let (provider, tenant) = stage();
    let plain = surfaces::case("messages", "model-1").body;
    let noise: Vec<u8> = (0..5_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for coding in CODINGS {
        check_damaged(&provider, &tenant, coding, &plain, "a plain body");
        check_damaged(&provider, &tenant, coding, &noise, "noise");
        check_damaged(&provider, &tenant, coding, b"\x1f\x8b", "two bytes");
    }
}

#[test]
fn truncated_bodies_are_refused() {
    let (provider, tenant) = stage();
    let messages: Vec<Value> = (0..400)
        .map(|n| json!({"role": "user", "content": format!("{n} × {}", n * n * n)}))
        .collect();
    let body = json!({"model": "model-1", "messages": messages}).to_string();
    for coding in CODINGS {
        let whole = compressed(coding, body.as_bytes());
        for part in [1, 2, 3] {
            check_damaged(
                &provider,
                &tenant,
                coding,
                &whole[..whole.len() * part / 4],
                "a part",
            );
        }
    }
}

/// Resident memory of Envoy, in MiB.
fn envoy_mib() -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", MESH.envoy_pid())).unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or_default()
        / 1024
}

/// Twice the cap in some ten kilobytes, or in some hundred bytes.
#[test]
fn bombs_are_refused_and_cost_little() {
    let (provider, tenant) = stage();
    let before = envoy_mib();
    let mut bomb = b"{\"model\":\"model-1\",\"pad\":\"".to_vec();
    bomb.resize(64 * 1024 * 1024, b'0');
    bomb.extend_from_slice(b"\"}");
    for coding in CODINGS {
        let body = compressed(coding, &bomb);
        assert!(body.len() < 1024 * 1024, "{coding}: {}", body.len());
        for protocol in PROTOCOLS {
            let started = wait::now();
            let answered = MESH.send_over(
                &tenant.sign(encoded(coding, "/v1/messages", body.clone())),
                protocol,
            );
            let took = started.elapsed();
            let what = format!(
                "{coding} over {protocol:?}: {} {}",
                answered.status,
                answered.text()
            );
            let code = answered.weir_code().unwrap_or_default();
            assert!(code == "bad_encoding" || code == "body_too_large", "{what}");
            assert!(took < IN_TIME, "{what}: took {took:?}");
        }
    }
    assert_eq!(provider.count(), 0);
    let grown = envoy_mib().saturating_sub(before);
    assert!(grown < 200, "Envoy grew by {grown} MiB");
}

/// The same file read over and over, as an agent does that looks at what it changed, and something said each time.
fn conversation() -> Vec<u8> {
    let line = |n: u32| {
        format!(
            "    let value_{n} = compute(input[{n}], {}); // line {n}\n",
            n * 7
        )
    };
    let file: String = (0..200).map(line).collect();
    let mut seed = 1_u32;
    let mut messages = Vec::new();
    let mut length = 0;
    while length < 2 * 1024 * 1024 {
        let words = (0..60).map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            format!("word{} ", seed >> 22)
        });
        let said: String = words.collect();
        let id = format!("toolu_{}", messages.len());
        let block =
            json!({"type": "tool_result", "tool_use_id": id, "content": format!("{said}\n{file}")});
        length += block.to_string().len();
        messages.push(json!({"role": "user", "content": [block]}));
    }
    json!({"model": "model-1", "max_tokens": 5, "messages": messages})
        .to_string()
        .into_bytes()
}

/// What agents really send compresses well, and is not taken for a bomb.
#[test]
fn ordinary_conversations_of_two_megabytes_pass() {
    let (provider, tenant) = stage();
    let body = conversation();
    for coding in CODINGS {
        let small = compressed(coding, &body);
        let ratio = body.len() / small.len();
        assert!(
            (10..100).contains(&ratio),
            "{coding} makes it {ratio} times smaller"
        );
        for protocol in PROTOCOLS {
            provider.forget();
            let answered = MESH.send_over(
                &tenant.sign(encoded(coding, "/v1/messages", small.clone())),
                protocol,
            );
            let what = format!("in {coding}, {ratio} times smaller, over {protocol:?}");
            assert_eq!(answered.status, 200, "{what}: {}", answered.text());
            assert!(
                provider.only().body == body,
                "{what}: the body changed on the way"
            );
        }
    }
}

/// Envoy expands a body a hundredfold and no further, however small it is.
#[test]
fn what_expands_more_than_a_hundredfold_is_refused() {
    let (provider, tenant) = stage();
    let body = json!({"model": "model-1", "pad": " ".repeat(1_000_000)})
        .to_string()
        .into_bytes();
    for coding in CODINGS {
        let small = compressed(coding, &body);
        assert!(
            body.len() / small.len() > 100,
            "{coding} does not shrink it enough"
        );
        check_damaged(&provider, &tenant, coding, &small, "blanks");
    }
}

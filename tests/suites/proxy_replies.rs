//! What Envoy answers by itself: every such answer is JSON with our code, and counted.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::client::{Protocol, Request};
use weir_tests::mesh::tenant::{Dialect, Registration, Tenant};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, openai};
use weir_tests::tokens::Tokens;
use weir_tests::wait;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

fn chat() -> Request {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
    Request::post("/v1/chat/completions", &body)
}

fn stage() -> (MockProvider, Tenant) {
    let answer = openai::chat("m", "hello", Tokens::new(1, 1));
    let provider = MockProvider::always(Answer::json(200, &answer));
    let tenant = MESH.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    (provider, tenant)
}

/// Sends bytes and returns the answer as text, up to where the other side falls silent.
#[track_caller]
fn said(bytes: &[u8], patience: Duration) -> String {
    let mut stream = TcpStream::connect(MESH.address()).expect("the mesh listens");
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut all = Vec::new();
    let mut chunk = [0; 4_096];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        all.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&all);
        if text.contains("\r\n\r\n") && text.trim_end().ends_with('}') {
            break;
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// How often proxies answered with `code` by themselves, as `/metrics` says.
fn counted(code: &str) -> u64 {
    let scraped = Request::get("/metrics")
        .host("localhost")
        .send(MESH.admin().address(), Protocol::Http1);
    let text = scraped.unwrap().text();
    let start = format!("weir_proxy_replies_total{{code=\"{code}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.map_or(0, |number| number.parse().unwrap())
}

/// Requests that no filter sees, with the status and the code of their answers.
fn unseen() -> Vec<(&'static str, String, u16, &'static str)> {
    let long = "a".repeat(100 * 1024);
    let many: String = (0..250).map(|n| format!("x-{n}: 1\r\n")).collect();
    let with = |rest: &str| format!("POST / HTTP/1.1\r\nhost: a\r\n{rest}\r\n");
    vec![
        (
            "no HTTP",
            "\0\u{1}\r\n\r\n".to_owned(),
            400,
            "malformed_request",
        ),
        (
            "a bad method",
            "G@T / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
            400,
            "malformed_request",
        ),
        (
            "no target",
            "GET  HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
            400,
            "malformed_request",
        ),
        (
            "no host",
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            400,
            "malformed_request",
        ),
        (
            "two lengths",
            with("content-length: 3\r\ncontent-length: 4\r\n"),
            400,
            "malformed_request",
        ),
        (
            "length and chunks",
            with("content-length: 3\r\ntransfer-encoding: chunked\r\n"),
            400,
            "malformed_request",
        ),
        (
            "another transfer coding",
            with("transfer-encoding: gzip\r\n"),
            501,
            "malformed_request",
        ),
        (
            "a NUL in a header",
            with("x: a\0b\r\n"),
            400,
            "malformed_request",
        ),
        (
            "a long header",
            with(&format!("x: {long}\r\n")),
            431,
            "headers_too_large",
        ),
        ("many headers", with(&many), 431, "headers_too_large"),
        (
            "a long target",
            format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"),
            431,
            "headers_too_large",
        ),
    ]
}

#[test]
fn what_no_filter_sees_is_answered_in_words_and_counted() {
    for (what, bytes, status, code) in unseen() {
        let before = counted(code);
        let answer = said(bytes.as_bytes(), Duration::from_secs(10));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{what}: {answer}"
        );
        assert!(
            head.contains(&format!("x-weir-code: {code}")),
            "{what}: {answer}"
        );
        assert!(
            head.contains("content-type: application/json"),
            "{what}: {answer}"
        );
        let body: Value =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{what}: {error}: {answer}"));
        assert_eq!(body["error"]["weir_code"], json!(code), "{what}");
        assert!(
            body["error"]["message"]
                .as_str()
                .is_some_and(|text| text.contains(code)),
            "{what}: {body}"
        );
        wait::until("the answer to be counted", || {
            (counted(code) > before).then_some(())
        });
    }
}

/// A head that does not come to its end is answered, not only closed.
#[test]
fn half_a_head_is_answered_in_words() {
    let answer = said(b"GET / HTTP/1.1\r\nho", Duration::from_secs(60));
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("x-weir-code: request_timeout"), "{answer}");
}

/// An upgrade that nobody here speaks is passed over: the answer is the one without it.
#[test]
fn upgrades_other_than_websockets_are_passed_over() {
    let (_provider, tenant) = stage();
    let offers = [
        "TLS/1.2",
        "TLS/1.3",
        "TLS/1.2, TLS/1.3",
        "h2c",
        "H2C",
        "HTTP/2.0",
        "IRC/6.9, RTA/x11",
        "websocke",
        "websockets",
        "webs",
        "w",
        "foo",
        "",
        "ws",
        "WebSocket2",
        "tls/1.2,h2c",
    ];
    let requests = [
        chat(),
        Request::get("/v1/models"),
        Request::get("/healthz"),
        Request::new("HEAD", "/"),
        Request::new("OPTIONS", "/v1/models"),
        Request::get("/nowhere"),
    ];
    for request in requests {
        let plain = MESH.send(&tenant.sign(request.clone()));
        for offer in offers {
            let offering = request
                .clone()
                .field("connection", "Upgrade")
                .field("upgrade", offer);
            let answered = MESH.send(&tenant.sign(offering));
            let what = format!("{} {} offering `{offer}`", request.method, request.target);
            assert_eq!(answered.status, plain.status, "{what}: {}", answered.text());
            assert_eq!(answered.weir_code(), plain.weir_code(), "{what}");
            assert_eq!(answered.field("upgrade"), None, "{what}");
        }
    }
}

/// What a WebSocket is called, in any case and beside others, is still refused.
#[test]
fn websockets_are_refused_however_they_are_written() {
    let (provider, tenant) = stage();
    for offer in [
        "websocket",
        "WebSocket",
        "WEBSOCKET",
        "websocket, h2c",
        "h2c, websocket",
    ] {
        let offering = Request::get("/v1/responses")
            .field("connection", "Upgrade")
            .field("upgrade", offer);
        let answered = MESH.send(&tenant.sign(offering));
        assert_eq!(answered.status, 426, "{offer}: {}", answered.text());
        assert_eq!(
            answered.weir_code().as_deref(),
            Some("websocket_unsupported"),
            "{offer}"
        );
    }
    assert_eq!(provider.count(), 0);
}

/// Nothing of ours is written over: refusals stay in their dialect.
#[test]
fn refusals_of_the_filter_stay_as_they_are() {
    let anthropic = Request::post(
        "/v1/messages",
        &json!({"model": "m", "max_tokens": 1, "messages": []}),
    );
    let refused = MESH.send(&anthropic);
    assert_eq!(
        (refused.status, refused.weir_code().as_deref()),
        (401, Some("missing_credential"))
    );
    assert_eq!(
        refused.json()["error"]["type"],
        json!("authentication_error")
    );
}

//! What a body is declared as, and what it is: nothing that two readers could read in two ways passes as read.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use engine::guard::{Direction, Verdict};
use engine::messages::{AttemptNumber, ClosedBy};
use engine::{Command, ExchangeRecord, Input};
use policy::guardrail::{
    Action, Detector, GuardrailRules, OnError, OnUnscanned, RedactStyle, Stage,
};
use policy::opaque_path::OpaquePath;
use support::{Driven, World, code_of};

const SURFACES: [(&str, &str); 6] = [
    (
        "/v1/messages",
        r#"{"model":"claude-a","max_tokens":8,"messages":[]}"#,
    ),
    (
        "/v1/messages/count_tokens",
        r#"{"model":"claude-a","messages":[]}"#,
    ),
    ("/v1/chat/completions", r#"{"model":"gpt-a","messages":[]}"#),
    ("/v1/responses", r#"{"model":"gpt-a","input":"x"}"#),
    ("/v1/embeddings", r#"{"model":"gpt-a","input":"x"}"#),
    ("/v1beta/models/m:generateContent", r#"{"contents":[]}"#),
];

const OPAQUE: &str = "/v1/audio/transcriptions";

fn rules() -> GuardrailRules {
    GuardrailRules::new(vec![Stage {
        detectors: vec![Detector::Regex {
            id: "marker".to_owned(),
            pattern: "SECRET-[0-9]{6}".to_owned(),
            group: 0,
        }],
        action: Action::Redact(RedactStyle::Replace { with: None }),
    }])
}

/// A mesh whose key may use an opaque path.
fn world(rules: Option<GuardrailRules>) -> World {
    let mut world = rules.map_or_else(World::default, World::guarded);
    let pattern = OpaquePath::parse("/v1/audio/*").unwrap();
    let key = world.key_mut();
    key.opaque_paths.push(pattern);
    for rule in &mut key.access {
        // A key with denied models has no opaque paths.
        rule.providers
            .iter_mut()
            .for_each(|provider| provider.denied_models.clear());
    }
    world
}

/// Sends `body` with these headers to every surface.
#[track_caller]
fn refused_everywhere(headers: &[(&str, &str)], code: &str) {
    let world = world(None);
    let opaque = [(OPAQUE, "a text")];
    for (path, body) in SURFACES.into_iter().chain(opaque) {
        let mut driven = Driven::plain(&world, path, headers, &[body.as_bytes()]);
        let reply = driven.reply();
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(code_of(&reply), code, "{path} {headers:?}: {text}");
        assert_eq!(reply.status, 415, "{path} {headers:?}: {text}");
    }
}

#[test]
fn other_character_sets_and_second_types_are_refused_on_every_surface() {
    for value in [
        "application/json; charset=utf-7",
        "application/json;charset=\"UTF-7\"",
        "application/json; charset=utf-16",
        "application/json; charset=utf-8; charset=utf-7",
        "application/json; charset*=utf-7''x",
        "application/json, application/json",
        "application/json; x-charset=utf-7",
        "text/html",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=x",
        "multipart/form-data",
        "",
        "json",
    ] {
        refused_everywhere(&[("content-type", value)], "wrong_content_type");
    }
    let json = ("content-type", "application/json");
    refused_everywhere(&[json, json], "wrong_content_type");
    refused_everywhere(
        &[json, ("content-type", "text/plain")],
        "wrong_content_type",
    );
}

#[test]
fn codings_that_are_left_or_were_listed_are_refused_on_every_surface() {
    let json = ("content-type", "application/json");
    let left = "content-encoding";
    let was = "x-weir-content-encoding";
    for headers in [
        &[(left, "deflate")][..],
        &[(left, "x-gzip")],
        &[(left, "gzip")],
        &[(left, "gzip, gzip")],
        &[(left, "identity, gzip")],
        &[(left, "identity"), (left, "identity")],
        &[(left, "")],
        &[(left, "compress")],
        &[(left, "aws-chunked")],
        // What Envoy undid, one after the other, in the order that it was listed in.
        &[(was, "gzip, zstd")],
        &[(was, "gzip, gzip"), (left, "gzip")],
        &[(was, "gzip, identity"), (left, "identity")],
        &[(was, "gzip"), (was, "br")],
        &[(was, "gzip,"), (left, "")],
        &[(was, "deflate"), (left, "deflate")],
        &[(was, "x-gzip"), (left, "x-gzip")],
        // Nothing undid it.
        &[(was, "gzip"), (left, "gzip")],
        &[(was, "deflate")],
        &[(was, "")],
    ] {
        refused_everywhere(&[&[json], headers].concat(), "bad_encoding");
    }
}

#[test]
fn plain_declarations_pass() {
    for headers in [
        &[][..],
        &[("content-type", "application/json; charset=UTF-8")],
        &[("content-type", "Application/JSON;charset=\"utf8\"")],
        &[("content-type", "application/vnd.api+json")],
        &[("content-encoding", "identity")],
        &[
            ("x-weir-content-encoding", "identity"),
            ("content-encoding", "identity"),
        ],
        &[("x-weir-content-encoding", "gzip")],
        &[("x-weir-content-encoding", "ZSTD")],
        &[("x-weir-content-encoding", "br")],
    ] {
        let world = world(None);
        let (path, body) = SURFACES[0];
        Driven::plain(&world, path, headers, &[body.as_bytes()]).forwarded();
        Driven::plain(&world, OPAQUE, headers, &[b"{}"]).forwarded();
    }
}

#[test]
fn bodies_without_a_declaration_have_nothing_to_declare() {
    let world = world(None);
    let headers = [
        ("content-type", "text/html"),
        ("content-encoding", "deflate"),
    ];
    let key = support::key_text();
    let headers = [&[("x-api-key", key.as_str())], &headers[..]].concat();
    Driven::bodyless(&world, OPAQUE, &headers).forwarded();
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn utf32(text: &str, bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
    text.chars().map(u32::from).flat_map(bytes).collect()
}

/// `text` in the encodings that a reader may guess from the bytes.
fn elsewise(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let marked = format!("\u{feff}{text}");
    vec![
        ("UTF-16LE", utf16(text, u16::to_le_bytes)),
        ("UTF-16BE", utf16(text, u16::to_be_bytes)),
        ("UTF-16LE with a mark", utf16(&marked, u16::to_le_bytes)),
        ("UTF-16BE with a mark", utf16(&marked, u16::to_be_bytes)),
        ("UTF-32LE", utf32(text, u32::to_le_bytes)),
        ("UTF-32BE", utf32(text, u32::to_be_bytes)),
        ("UTF-32LE with a mark", utf32(&marked, u32::to_le_bytes)),
        ("UTF-32BE with a mark", utf32(&marked, u32::to_be_bytes)),
        ("a bad byte", [text.as_bytes(), b"\xff"].concat()),
        ("a cut character", [text.as_bytes(), b"\xe2\x82"].concat()),
        ("gzip's magic", [b"\x1f\x8b\x08", text.as_bytes()].concat()),
    ]
}

#[test]
fn json_in_another_encoding_is_no_json() {
    for rules in [None, Some(rules())] {
        let world = world(rules);
        for (path, body) in SURFACES {
            for (name, bytes) in elsewise(body) {
                let mut driven = Driven::plain(&world, path, &[], &[&bytes]);
                assert_eq!(code_of(&driven.reply()), "bad_json", "{name} to {path}");
            }
        }
    }
}

/// What the guardrail's record of this direction says: verdict, texts, and what was not looked at.
fn said(record: &ExchangeRecord, direction: Direction) -> (Verdict, u32, Vec<(&'static str, u32)>) {
    let outcome = record
        .guardrails
        .iter()
        .find(|outcome| outcome.direction == direction)
        .unwrap_or_else(|| panic!("no outcome: {:?}", record.guardrails));
    let reasons = outcome.not_scanned.iter();
    let reasons = reasons.map(|it| (it.why.name(), it.count)).collect();
    (outcome.verdict, outcome.texts, reasons)
}

/// Sends a body to the opaque path under a guardrail that lets pass what it cannot read; returns its record.
#[track_caller]
fn opaque(kind: Option<&str>, body: &[u8]) -> (Verdict, u32, Vec<(&'static str, u32)>) {
    let mut rules = rules();
    rules.on_error = OnError::Pass;
    let headers: Vec<_> = kind.iter().map(|kind| ("content-type", *kind)).collect();
    let mut said_of = None;
    for pieces in [
        vec![body],
        body.chunks(1).collect(),
        body.chunks(7).collect(),
    ] {
        let world = world(Some(rules.clone()));
        let mut driven = Driven::plain(&world, OPAQUE, &headers, &pieces);
        driven.forwarded();
        let said = said(&driven.close(ClosedBy::Nobody), Direction::Request);
        assert_eq!(
            *said_of.get_or_insert(said.clone()),
            said,
            "{kind:?} in pieces"
        );
    }
    said_of.unwrap()
}

#[test]
fn an_opaque_body_is_recorded_as_scanned_only_if_it_is_text() {
    for kind in [None, Some("text/plain"), Some("text/csv")] {
        assert_eq!(
            opaque(kind, "größe SECRET-123456".as_bytes()),
            (Verdict::Redacted, 1, vec![])
        );
        assert_eq!(opaque(kind, b"nothing"), (Verdict::Scanned, 1, vec![]));
        for (name, bytes) in elsewise("SECRET-12345 nothing") {
            assert_eq!(
                opaque(kind, &bytes),
                (Verdict::NotScanned, 0, vec![("encoding", 1)]),
                "{name} as {kind:?}"
            );
        }
    }
    // What is declared as JSON is read as JSON, and refused in another encoding.
    let json = Some("application/json; charset=utf-8");
    let scanned = (Verdict::Redacted, 1, vec![]);
    assert_eq!(opaque(json, b"[\"SECRET-123456\"]"), scanned);
    for (name, bytes) in elsewise("[\"nothing\"]") {
        let world = world(None);
        let headers = [("content-type", "application/json")];
        let mut driven = Driven::plain(&world, OPAQUE, &headers, &[&bytes]);
        assert_eq!(code_of(&driven.reply()), "bad_json", "{name}");
    }
    for (kind, why) in [
        ("audio/mpeg", "audio"),
        ("image/png", "image"),
        ("video/mp4", "video"),
        ("application/octet-stream", "file"),
        ("application/pdf", "file"),
    ] {
        assert_eq!(
            opaque(Some(kind), b"\x00\xff nothing"),
            (Verdict::NotScanned, 0, vec![(why, 1)]),
            "{kind}"
        );
        // What is found in it all the same is hidden.
        assert_eq!(
            opaque(Some(kind), b"SECRET-123456").0,
            Verdict::Redacted,
            "{kind}"
        );
    }
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend_from_slice(
            format!("--B\r\nContent-Disposition: form-data; name=\"f\"{head}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--B--\r\n");
    body
}

#[test]
fn a_form_is_recorded_by_its_parts() {
    const FORM: Option<&str> = Some("multipart/form-data; boundary=B");
    let audio = "; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg";
    assert_eq!(
        opaque(FORM, &form(&[("", b"whisper")])),
        (Verdict::Scanned, 1, vec![])
    );
    assert_eq!(
        opaque(
            FORM,
            &form(&[
                ("", b"whisper"),
                (audio, b"\x00\xff"),
                ("", b"SECRET-123456")
            ])
        ),
        (Verdict::Redacted, 2, vec![("audio", 1)])
    );
    assert_eq!(
        opaque(FORM, &form(&[(audio, b"\x00\xff")])),
        (Verdict::NotScanned, 0, vec![("audio", 1)])
    );
    assert_eq!(
        opaque(
            FORM,
            &form(&[("", &utf16("whisper", u16::to_le_bytes)), ("", b"x")])
        ),
        (Verdict::Scanned, 1, vec![("encoding", 1)])
    );
    let world = world(None);
    for head in [
        "\r\nContent-Transfer-Encoding: quoted-printable",
        "\r\nContent-Transfer-Encoding: base64",
        "\r\nContent-Type: text/plain; charset=utf-7",
        "\r\nContent-Type: text/plain, text/plain",
        "\r\nContent-Encoding: gzip",
        "; name=\"_charset_\"",
    ] {
        let body = form(&[(head, b"SECRET=2D123456")]);
        for pieces in [vec![&body[..]], body.chunks(1).collect()] {
            let headers = [("content-type", "multipart/form-data; boundary=B")];
            let mut driven = Driven::plain(&world, OPAQUE, &headers, &pieces);
            let reply = driven.reply();
            assert_eq!(
                (code_of(&reply).as_str(), reply.status),
                ("wrong_content_type", 415),
                "{head}"
            );
        }
    }
    let headers = [("content-type", "multipart/form-data; boundary=B")];
    let mut driven = Driven::plain(&world, OPAQUE, &headers, &[b"--B\r\n"]);
    assert_eq!(
        code_of(&driven.reply()),
        "wrong_content_type",
        "it has no end"
    );
}

#[test]
fn policy_decides_what_nobody_can_read() {
    let mut strict = rules();
    strict.on_unscanned = OnUnscanned::Block;
    for (rules, kind, body, is_blocked) in [
        (
            rules(),
            "text/plain",
            &utf16("x", u16::to_le_bytes)[..],
            true,
        ),
        (rules(), "audio/mpeg", b"\x00", false),
        (strict.clone(), "audio/mpeg", b"\x00", true),
        (strict, "text/plain", b"x", false),
    ] {
        let world = world(Some(rules));
        let mut driven = Driven::plain(&world, OPAQUE, &[("content-type", kind)], &[body]);
        match driven.commands().as_slice() {
            [Command::Reply(reply)] if is_blocked => {
                assert_eq!(code_of(reply), "guardrail_blocked")
            }
            [Command::Forward { .. }] if !is_blocked => {}
            other => panic!("{kind}: {other:?}"),
        }
    }
}

/// An answer with these headers under a guardrail: its record, and whether anything of it passed as it came.
fn answered(
    path: &str,
    on_error: OnError,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (Verdict, u32, Vec<(&'static str, u32)>, bool) {
    let mut rules = rules();
    rules.on_error = on_error;
    let world = world(Some(rules));
    let request = if path == OPAQUE { "x" } else { SURFACES[0].1 };
    let mut driven = Driven::plain(&world, path, &[], &[request.as_bytes()]);
    driven.forwarded();
    driven.attempt(1, None);
    driven.commands();
    let number = AttemptNumber(1);
    let headers = headers.iter().copied().collect();
    driven.push(Input::AttemptHeaders {
        number,
        status: 200,
        headers: &headers,
        end_of_stream: false,
    });
    driven.push(Input::AttemptBody {
        number,
        chunk: body,
        end_of_stream: true,
    });
    let is_stopped = driven.commands().iter().any(|command| {
        matches!(command, Command::RewriteAnswer(_))
            || matches!(command, Command::ReplaceChunk(bytes) if bytes.is_empty())
    });
    let record = driven.close(ClosedBy::Nobody);
    let (verdict, texts, why) = said(&record, Direction::Response);
    (verdict, texts, why, !is_stopped)
}

#[test]
fn an_answer_that_may_be_read_in_two_ways_is_not_read() {
    let json = br#"{"type":"message","content":[{"type":"text","text":"hi"}],"usage":{"input_tokens":1,"output_tokens":1}}"#;
    let kind = "content-type";
    for path in [SURFACES[0].0, OPAQUE] {
        for headers in [
            &[(kind, "application/json; charset=utf-7")][..],
            &[(kind, "application/json; charset=UTF-16LE")],
            &[(kind, "application/json; charset=utf-8; charset=utf-7")],
            &[(kind, "application/json, text/plain")],
            &[(kind, "application/json"), (kind, "application/json")],
            &[(kind, "text/event-stream; charset=utf-7")],
            &[(kind, "Text/Event-Stream; Charset=UTF-7")],
            &[(kind, "application/json"), ("content-encoding", "gzip")],
            &[
                (kind, "application/json"),
                ("content-encoding", "gzip, gzip"),
            ],
            &[
                (kind, "application/json"),
                ("content-encoding", "identity"),
                ("content-encoding", "br"),
            ],
            &[
                (kind, "application/json"),
                ("content-encoding", "x-unheard-of"),
            ],
            &[(kind, "")],
        ] {
            let what = format!("{path} {headers:?}");
            assert_eq!(
                answered(path, OnError::Pass, headers, json),
                (Verdict::NotScanned, 0, vec![("encoding", 1)], true),
                "{what}"
            );
            assert_eq!(
                answered(path, OnError::Block, headers, json),
                (Verdict::Blocked, 0, vec![("encoding", 1)], false),
                "{what}"
            );
        }
    }
}

#[test]
fn an_answer_in_plain_form_is_read() {
    let json = br#"{"type":"message","content":[{"type":"text","text":"hi"}],"usage":{"input_tokens":1,"output_tokens":1}}"#;
    for kind in [
        "application/json",
        "Application/Json; Charset=UTF8",
        "application/json;charset=utf-8",
    ] {
        for encoding in [&[][..], &[("content-encoding", "identity")]] {
            let headers = [&[("content-type", kind)], encoding].concat();
            let (verdict, _, why, passed) = answered(SURFACES[0].0, OnError::Block, &headers, json);
            assert_eq!(
                (verdict, why, passed),
                (Verdict::Scanned, vec![], true),
                "{kind}"
            );
        }
    }
    assert_eq!(
        answered(SURFACES[0].0, OnError::Block, &[], json).0,
        Verdict::Scanned
    );
}

#[test]
fn an_answer_in_another_encoding_is_never_recorded_as_scanned() {
    for (name, bytes) in elsewise("data: {\"type\":\"x\"}\n\n") {
        for (path, kind) in [
            (OPAQUE, "text/plain"),
            (OPAQUE, "application/json"),
            (SURFACES[0].0, "text/event-stream"),
        ] {
            let headers = [("content-type", kind)];
            let (verdict, texts, why, _) = answered(path, OnError::Pass, &headers, &bytes);
            assert_eq!(
                (verdict, texts, why),
                (Verdict::NotScanned, 0, vec![("encoding", 1)]),
                "{name} as {kind}"
            );
            let (verdict, _, _, _) = answered(path, OnError::Block, &headers, &bytes);
            assert_eq!(verdict, Verdict::Blocked, "{name} as {kind}");
        }
    }
    for kind in ["text/html", "application/xml", "application/vnd.unheard-of"] {
        let headers = [("content-type", kind)];
        let said = answered(OPAQUE, OnError::Block, &headers, b"nothing");
        assert_eq!(
            said,
            (Verdict::NotScanned, 0, vec![("file", 1)], true),
            "{kind}"
        );
    }
}

//! Requests of web pages, and answers that must not tell what others have.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use dialects::refusal::Reply;
use engine::messages::{AttemptNumber, ClosedBy};
use engine::{Command, HeaderEdit, Headers, Input};
use policy::documents::{InferenceAuth, ProviderSelector};
use support::{Driven, World, code_of, edit};

/// Names and values of headers.
type Fields<'a> = &'a [(&'a str, &'a str)];

const NAMED: &str = "https://app.example";
const BODY: &str = r#"{"model":"claude-a","messages":[]}"#;

fn observing(origins: &[&str]) -> World {
    let mut world = World::default();
    let mesh = world.mesh_mut();
    mesh.inference_auth = InferenceAuth::Observe;
    mesh.cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    world
}

/// The code that a request without a key gets; `None` when it goes on.
#[track_caller]
fn unkeyed(world: &World, method: &str, path: &str, more: &[(&str, &str)]) -> Option<String> {
    let mut headers = vec![
        (":method", method),
        (":path", path),
        (":authority", "localhost:8080"),
    ];
    headers.extend(more);
    let mut driven = Driven::raw(world, &headers, method != "POST");
    if method == "POST" && driven.exchange.is_running() {
        driven.push(Input::RequestBody {
            chunk: BODY.as_bytes(),
            end_of_stream: true,
        });
    }
    match driven.commands().as_slice() {
        [Command::Forward { .. }] => None,
        [Command::Reply(reply)] if reply.status == 200 => None,
        [Command::Reply(reply)] => Some(code_of(reply)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_page_is_not_served_without_a_key_unless_its_origin_is_named() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    let rows: [(Fields<'_>, Option<&str>); 16] = [
        // Programs.
        (&[JSON], None),
        (&[("content-type", "application/json; charset=utf-8")], None),
        (&[JSON, ("sec-fetch-mode", "cors")], None),
        (&[JSON, ("sec-fetch-site", "none")], None),
        // What a page may send without asking first.
        (&[], Some("wrong_content_type")),
        (&[("content-type", "")], Some("wrong_content_type")),
        (
            &[("content-type", "text/plain")],
            Some("wrong_content_type"),
        ),
        (
            &[("content-type", "text/plain; application/json")],
            Some("wrong_content_type"),
        ),
        (
            &[("content-type", "application/x-www-form-urlencoded")],
            Some("wrong_content_type"),
        ),
        (
            &[("content-type", "multipart/form-data; boundary=x")],
            Some("wrong_content_type"),
        ),
        // Pages, whatever they send.
        (
            &[("origin", "https://evil.example")],
            Some("foreign_origin"),
        ),
        (
            &[JSON, ("origin", "https://evil.example")],
            Some("foreign_origin"),
        ),
        (&[JSON, ("origin", "null")], Some("foreign_origin")),
        // A name of the attacker's that leads here: one origin with us, as the browser sees it.
        (
            &[
                JSON,
                ("origin", "http://localhost:8080"),
                ("sec-fetch-site", "same-origin"),
            ],
            Some("foreign_origin"),
        ),
        (&[("sec-fetch-site", "cross-site")], Some("foreign_origin")),
        (&[JSON, ("origin", NAMED)], None),
    ];
    let world = observing(&[NAMED]);
    for (headers, want) in rows {
        for path in ["/v1/messages", "/v1/messages/count_tokens"] {
            let got = unkeyed(&world, "POST", path, headers);
            assert_eq!(got.as_deref(), want, "{path} {headers:?}");
        }
    }
    let nobody = observing(&[]);
    assert_eq!(
        unkeyed(&nobody, "POST", "/v1/messages", &[JSON, ("origin", NAMED)]).as_deref(),
        Some("foreign_origin")
    );
    assert_eq!(
        unkeyed(
            &nobody,
            "GET",
            "/v1/models",
            &[("sec-fetch-site", "cross-site")]
        )
        .as_deref(),
        Some("foreign_origin")
    );
    assert_eq!(unkeyed(&nobody, "GET", "/v1/models", &[]), None);
    // The host check comes first: a name that leads here is none of ours.
    let headers = [
        (":method", "POST"),
        (":path", "/v1/messages"),
        (":authority", "evil.example"),
        JSON,
    ];
    let mut driven = Driven::raw(&nobody, &headers, false);
    assert_eq!(code_of(&driven.reply()), "misdirected_host");
}

fn told<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    let mut found = reply.headers.iter().filter(|(told, _)| *told == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} stands twice");
    value
}

#[test]
fn a_preflight_needs_no_key_and_leaves_no_record() {
    let mut world = World::default();
    world.mesh_mut().cors_origins = vec![NAMED.to_owned()];
    for (origin, status) in [(NAMED, 204), ("https://evil.example", 403), ("null", 403)] {
        let headers = [
            (":method", "OPTIONS"),
            (":path", "/v1/messages"),
            (":authority", "localhost"),
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization,content-type,x-weir-key",
            ),
        ];
        let mut driven = Driven::raw(&world, &headers, true);
        let reply = driven.reply();
        assert_eq!((reply.status, reply.body.len()), (status, 0), "{origin}");
        let named = (status == 204).then_some(NAMED);
        assert_eq!(told(&reply, "access-control-allow-origin"), named);
        assert_eq!(
            told(&reply, "access-control-allow-headers").is_some(),
            named.is_some()
        );
        assert_eq!(told(&reply, "vary"), Some("origin"));
        assert_eq!(told(&reply, "access-control-allow-credentials"), None);
        driven.push(Input::Closed {
            peer: ClosedBy::Nobody,
            response_bytes: 0,
        });
        assert!(driven.commands().is_empty(), "no record");
    }
}

#[test]
fn refusals_and_answers_say_who_may_read_them() {
    let mut world = World::default();
    world.mesh_mut().cors_origins = vec![NAMED.to_owned()];
    let mut refused = Driven::post(&world, "/v1/messages", &[("origin", NAMED)], "{}");
    let reply = refused.reply();
    assert_eq!(told(&reply, "access-control-allow-origin"), Some(NAMED));
    assert_eq!(told(&reply, "access-control-expose-headers"), Some("*"));

    for (origin, allowed) in [(NAMED, Some(NAMED)), ("https://evil.example", None)] {
        let mut driven = Driven::post(&world, "/v1/messages", &[("origin", origin)], BODY);
        driven.forwarded();
        driven.attempt(1, Some("anthropic-a"));
        driven.commands();
        let number = AttemptNumber(1);
        let provider: Headers = [
            ("content-type", "application/json"),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
        ]
        .into_iter()
        .collect();
        driven.push(Input::AttemptHeaders {
            number,
            status: 200,
            headers: &provider,
            end_of_stream: false,
        });
        driven.push(Input::ResponseHeaders {
            status: 200,
            details: "",
            end_of_stream: false,
        });
        let mut edits = Vec::new();
        for command in driven.commands() {
            if let Command::EditResponse { edits: more } = command {
                edits.extend(more);
            }
        }
        for gone in [
            "access-control-allow-origin",
            "access-control-allow-credentials",
        ] {
            assert!(edits.contains(&HeaderEdit::remove(gone)), "{gone}");
        }
        assert_eq!(edit(&edits, "access-control-allow-origin"), allowed);
        assert_eq!(edit(&edits, "vary"), Some("origin"));
    }
}

#[test]
fn what_does_not_exist_and_what_is_not_allowed_are_answered_alike() {
    let mut world = World::default();
    let mut only_a = world.key_mut().access[0].clone();
    only_a.providers[0].provider = ProviderSelector("anthropic-a".to_owned());
    world.key_mut().access = vec![only_a];
    // (path, model, what the record tells)
    let rows = [
        ("/v1/messages", "claude-secret", "model_not_allowed"),
        ("/v1/messages", "nobody-serves-this", "model_unknown"),
        ("/v1/messages", "claude-b", "provider_not_allowed"),
        (
            "/v1/messages",
            "anthropic-b/claude-b",
            "provider_not_allowed",
        ),
        ("/v1/messages", "nobody/claude-b", "model_unknown"),
        (
            "/p/anthropic-b/v1/messages",
            "claude-b",
            "provider_not_allowed",
        ),
        (
            "/p/anthropic-b/v1/messages",
            "nobody-serves-this",
            "model_unknown",
        ),
        (
            "/p/anthropic-a/v1/messages",
            "claude-secret",
            "model_not_allowed",
        ),
        ("/p/nobody/v1/messages", "claude-a", "provider_not_allowed"),
        (
            "/p/openai-a/v1/messages",
            "claude-a",
            "provider_not_allowed",
        ),
    ];
    let mut seen: Option<Reply> = None;
    for (path, model, recorded) in rows {
        let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
        let mut driven = Driven::post(&world, path, &[], &body);
        let reply = driven.reply();
        assert_eq!(code_of(&reply), "model_not_allowed", "{path} {model}");
        assert!(
            !String::from_utf8_lossy(&reply.body).contains(model),
            "{path} {model}"
        );
        let first = seen.get_or_insert_with(|| reply.clone());
        assert_eq!(&reply, first, "{path} {model}");
        let record = driven.close(ClosedBy::Nobody);
        assert_eq!(record.refusal_code, recorded, "{path} {model}");
    }
    // Where the path alone does not tell the dialect, a provider's own must not tell that it exists.
    for (known, unknown) in [
        ("/p/anthropic-b/v1/models", "/p/nobody/v1/models"),
        ("/p/anthropic-b/v1/anything", "/p/nobody/v1/anything"),
    ] {
        let get = |path: &str| Driven::get(&world, path).reply();
        assert_eq!(get(known), get(unknown), "{known}");
        let keyless = |path: &str| {
            let headers = [
                (":method", "GET"),
                (":path", path),
                (":authority", "localhost"),
            ];
            Driven::raw(&world, &headers, true).reply()
        };
        assert_eq!(keyless(known), keyless(unknown), "{known}");
    }
}

#[test]
fn models_beside_the_first_are_judged_and_answered_alike() {
    let world = World::default();
    let mut seen: Option<Reply> = None;
    for (field, model, recorded) in [
        ("fallbacks", "gpt-unknown", "model_unknown"),
        ("models", "gpt-unknown", "model_unknown"),
    ] {
        let body =
            format!(r#"{{"model":"gpt-a","messages":[],"{field}":[{{"model":"{model}"}}]}}"#);
        let mut driven = Driven::post(&world, "/v1/chat/completions", &[], &body);
        let reply = driven.reply();
        assert_eq!(code_of(&reply), "model_not_allowed", "{field} {model}");
        assert!(
            !String::from_utf8_lossy(&reply.body).contains(model),
            "{field} {model}"
        );
        assert_eq!(
            &reply,
            seen.get_or_insert_with(|| reply.clone()),
            "{field} {model}"
        );
        let record = driven.close(ClosedBy::Nobody);
        assert_eq!(record.refusal_code, recorded, "{field} {model}");
    }
}

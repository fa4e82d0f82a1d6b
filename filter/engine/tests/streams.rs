//! Streams of every dialect under a guardrail: no piece of a hidden value leaves, wherever the provider cut it.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::rc::Rc;

use engine::guard::{Direction, Evaluated, Evaluation, Guard, Verdict, evaluate};
use engine::messages::ConsultAnswer;
use engine::{Command, Input};
use policy::guardrail::{Action, Detector, GuardrailRules, RedactStyle, Stage};
use policy::ids::ExchangeId;
use policy::surface::{Dialect, Surface};
use serde_json::{Value, json};
use support::{Driven, World};
use uuid::Uuid;

const SECRET: &str = "SECRET-123456";
const HIDDEN: &str = "[REDACTED:marker]";
/// The shortest beginning of the value that tells it from other words.
const TELLING: &str = "SECRET-1";

const SURFACES: [Surface; 4] = [
    Surface::AnthropicMessages,
    Surface::OpenaiChat,
    Surface::OpenaiResponses,
    Surface::GeminiGenerate,
];

fn world(action: Action) -> World {
    World::guarded(GuardrailRules::new(vec![Stage {
        detectors: vec![Detector::Regex {
            id: "marker".to_owned(),
            pattern: "SECRET-[0-9]{6}".to_owned(),
            group: 0,
        }],
        action,
    }]))
}

fn evaluated(surface: Surface, action: Action, body: &str) -> Evaluated {
    let mut world = world(action);
    let mesh = world.mesh_mut();
    let guard = Rc::new(Guard::new(mesh, &|_| None, 7).expect("a guard"));
    evaluate(&Evaluation {
        mesh,
        guard: &guard,
        key: None,
        surface,
        direction: Direction::Response,
        is_stream: true,
        model: "m",
        session: "s",
        exchange: ExchangeId::new(Uuid::from_u128(1)),
        body: body.as_bytes(),
    })
    .expect("a stream that can be read")
}

/// A stream that says two pieces, and then passes two to a tool.
fn stream(surface: Surface, pieces: [&str; 2], passed: [&str; 2]) -> String {
    let arguments = [
        format!("{{\"path\":\"{}", passed[0]),
        format!("{}\"}}", passed[1]),
    ];
    let mut events = Vec::new();
    match surface.dialect() {
        Dialect::Anthropic => {
            events.push(json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }));
            events.extend(pieces.map(|text| json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })));
            events.push(json!({ "type": "content_block_stop", "index": 0 }));
            events.push(json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "tool_use", "name": "f", "input": {} } }));
            events.extend(arguments.map(|text| json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "input_json_delta", "partial_json": text } })));
            events.push(json!({ "type": "content_block_stop", "index": 1 }));
            events.push(json!({ "type": "message_stop" }));
        }
        Dialect::Openai if surface == Surface::OpenaiChat => {
            let chunk = |delta: Value, finish: Value| json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
            events.extend(pieces.map(|text| chunk(json!({ "content": text }), Value::Null)));
            events.extend(arguments.map(|text| {
                chunk(
                    json!({ "tool_calls": [{ "index": 0, "function": { "arguments": text } }] }),
                    Value::Null,
                )
            }));
            events.push(chunk(json!({}), "tool_calls".into()));
        }
        Dialect::Openai => {
            let item = json!({ "type": "message", "content": [{ "type": "output_text", "text": pieces.concat() }] });
            let call =
                json!({ "type": "function_call", "name": "f", "arguments": arguments.concat() });
            events.extend(pieces.map(|text| json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text })));
            events.push(json!({ "type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": pieces.concat() }));
            events.push(
                json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
            );
            events.extend(arguments.clone().map(|text| json!({ "type": "response.function_call_arguments.delta", "output_index": 1, "delta": text })));
            events.push(
                json!({ "type": "response.output_item.done", "output_index": 1, "item": call }),
            );
            events.push(
                json!({ "type": "response.completed", "response": { "output": [item, call] } }),
            );
        }
        Dialect::Gemini => {
            let chunk = |part: Value| json!({ "candidates": [{ "content": { "parts": [part] }, "index": 0 }] });
            events.extend(pieces.map(|text| chunk(json!({ "text": text }))));
            events.push(chunk(
                json!({ "functionCall": { "name": "f", "args": { "path": passed.concat() } } }),
            ));
            events.push(json!({ "candidates": [{ "finishReason": "STOP", "index": 0 }] }));
        }
    }
    events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect()
}

#[test]
fn no_piece_of_a_redacted_value_leaves_at_any_cut() {
    for surface in SURFACES {
        for cut in 0..=SECRET.len() {
            let (head, tail) = SECRET.split_at(cut);
            let pieces = [&*format!("it is {head}"), &*format!("{tail} now")];
            let body = stream(surface, pieces, pieces);
            let action = Action::Redact(RedactStyle::Replace { with: None });
            let got = evaluated(surface, action, &body);
            assert_eq!(got.verdict, Verdict::Redacted, "{surface:?} {cut}");
            let text = String::from_utf8(got.body).expect("UTF-8");
            // What was not released with the beginning of the value must not hold its end either.
            for piece in [TELLING, "3456", SECRET] {
                assert!(!text.contains(piece), "{surface:?} {cut}\n{text}");
            }
            // Once said and once passed on; Responses says it three and two times.
            let times = if surface == Surface::OpenaiResponses {
                7
            } else {
                2
            };
            assert_eq!(
                text.matches(HIDDEN).count(),
                times,
                "{surface:?} {cut}\n{text}"
            );
        }
    }
}

#[test]
fn a_blocked_stream_ends_as_its_dialect_ends_at_any_cut() {
    for surface in SURFACES {
        for cut in 0..=SECRET.len() {
            let (head, tail) = SECRET.split_at(cut);
            let pieces = [&*format!("it is {head}"), &*format!("{tail} now")];
            for said in [pieces, ["nothing", " to hide"]] {
                let body = stream(surface, said, pieces);
                let got = evaluated(surface, Action::Block, &body);
                assert_eq!(got.verdict, Verdict::Blocked, "{surface:?} {cut}");
                let text = String::from_utf8(got.body).expect("UTF-8");
                check_end(surface, &text);
            }
        }
    }
}

/// Checks that a blocked stream tells nothing of the value and ends as its dialect does.
#[track_caller]
fn check_end(surface: Surface, text: &str) {
    for piece in [TELLING, "3456", SECRET] {
        assert!(!text.contains(piece), "{surface:?}\n{text}");
    }
    let end = match surface.dialect() {
        Dialect::Anthropic => "\"type\":\"message_stop\"}\n\n",
        Dialect::Openai if surface == Surface::OpenaiChat => "data: [DONE]\n\n",
        Dialect::Openai => "\"type\":\"response.completed\"}\n\n",
        Dialect::Gemini => "\"finishReason\":\"STOP\"",
    };
    assert!(
        text.contains(end) && text.contains("marker"),
        "{surface:?}\n{text}"
    );
    // A call that was blocked was never shown.
    assert!(!text.contains("path"), "{surface:?}\n{text}");
}

#[test]
fn a_stream_without_findings_passes_byte_for_byte() {
    for surface in SURFACES {
        let pieces = ["SECRET-12", "-3456 is none"];
        let body = stream(surface, pieces, pieces);
        let got = evaluated(surface, Action::Block, &body);
        assert_eq!(
            String::from_utf8(got.body).expect("UTF-8"),
            body,
            "{surface:?}"
        );
    }
}

/// Sends a request that holds the value; returns the exchange, and the token that the provider got in its place.
fn tokenised(world: &World, path: &str, body: &str) -> (Driven, String) {
    let mut driven = Driven::post(world, path, &[], body);
    let mut commands = driven.commands();
    if let Some(Command::Consult { call, .. }) = commands.last() {
        let answer = ConsultAnswer::Tokens(Vec::new());
        driven.push(Input::Consulted {
            call: *call,
            answer,
        });
        commands = driven.commands();
    }
    driven.attempt(1, None);
    let sent = driven.spliced(body);
    let from = sent.split_once("weirtok").expect("a token").1;
    let length = from.find(|char: char| !char.is_ascii_alphanumeric());
    let name = from.split_at(length.expect("an end")).0;
    let token = format!("weirtok{name}");
    assert!(!sent.contains(SECRET) && !commands.is_empty(), "{sent}");
    (driven, token)
}

#[test]
fn a_token_becomes_the_value_again_at_any_cut() {
    for (surface, path, body) in [
        (
            Surface::AnthropicMessages,
            "/v1/messages",
            r#"{"model":"claude-a","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"SECRET-123456"}]}"#,
        ),
        (
            Surface::OpenaiChat,
            "/v1/chat/completions",
            r#"{"model":"gpt-a","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"SECRET-123456"}]}"#,
        ),
        (
            Surface::OpenaiResponses,
            "/v1/responses",
            r#"{"model":"gpt-a","stream":true,"input":"SECRET-123456"}"#,
        ),
    ] {
        let world = world(Action::Tokenise);
        let (_, token) = tokenised(&world, path, body);
        for cut in 0..=token.len() {
            let (mut driven, again) = tokenised(&world, path, body);
            assert_eq!(again, token, "the same value has the same token");
            let (head, tail) = token.split_at(cut);
            let pieces = [&*format!("it is {head}"), &*format!("{tail} now")];
            let answer = stream(surface, pieces, pieces);
            let chunks: Vec<&[u8]> = answer.as_bytes().chunks(100).collect();
            let client = driven.answer(1, 200, "text/event-stream", &chunks);
            let client = String::from_utf8(client).expect("UTF-8");
            let times = if surface == Surface::OpenaiResponses {
                7
            } else {
                2
            };
            assert_eq!(
                client.matches(SECRET).count(),
                times,
                "{surface:?} {cut}\n{client}"
            );
            assert!(!client.contains("weirtok"), "{surface:?} {cut}\n{client}");
        }
    }
}

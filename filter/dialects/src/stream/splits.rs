//! Values that a stream cuts anywhere, in every dialect: none leaves, and each comes back where it is restored.

use policy::surface::Dialect;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::events;
use super::*;

const SECRET: &str = "kéy\"1\n";
/// What stands for it then: longer, and in need of escapes.
const INSTEAD: &str = "<\"a\\b\"\n😀>";

/// Replaces the secret; holds back what may be its beginning.
#[derive(Default)]
struct Replaces(Vec<(Channel, String, usize)>);

fn edits(text: &str, from: usize) -> Vec<Edit> {
    text.match_indices(SECRET)
        .filter(|(start, _)| *start >= from)
        .map(|(start, _)| Edit {
            start: start as u64,
            end: (start + SECRET.len()) as u64,
            with: INSTEAD.to_owned(),
        })
        .collect()
}

impl Judge for Replaces {
    fn text(&mut self, channel: &Channel, piece: &str, ends: bool) -> Ruling {
        let known = self.0.iter().position(|(open, ..)| open.id == channel.id);
        let (_, mut text, from) = known.map_or((*channel, String::new(), 0), |known| {
            self.0.swap_remove(known)
        });
        text.push_str(piece);
        let held = SECRET
            .char_indices()
            .map(|(end, _)| end)
            .rev()
            .find(|end| text.as_bytes().ends_with(&SECRET.as_bytes()[..*end]));
        let to = text.len() - if ends { 0 } else { held.unwrap_or_default() };
        let edits = edits(&text, from);
        let edits = edits
            .into_iter()
            .filter(|edit| edit.end <= to as u64)
            .collect();
        self.0.push((*channel, text, to));
        Ruling {
            passes_to: to as u64,
            edits,
            stop: false,
        }
    }

    fn whole(&mut self, _: TextRole, _: &str, text: &str, _: bool) -> WholeRuling {
        WholeRuling {
            edits: edits(text, 0),
            stop: false,
        }
    }

    fn overflow(&mut self) -> bool {
        true
    }
}

/// Cuts a text into pieces at character boundaries.
fn pieces(text: &str, cuts: &[prop::sample::Index]) -> Vec<String> {
    let mut at: Vec<usize> = cuts
        .iter()
        .map(|cut| text.floor_char_boundary(cut.index(text.len() + 1)))
        .collect();
    at.push(text.len());
    at.sort_unstable();
    let mut start = 0;
    at.into_iter()
        .map(|end| {
            let piece = text.get(mem::replace(&mut start, end)..end);
            piece.expect("character boundaries").to_owned()
        })
        .collect()
}

fn sse(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect()
}

/// A stream that says a text and then calls a tool.
fn stream(surface: Surface, said: &[String], passed: &[String]) -> String {
    let mut events = Vec::new();
    match surface.dialect() {
        Dialect::Anthropic => {
            let block = |index: u32, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
            let delta = |index: u32, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
            events.push(block(0, json!({ "type": "text", "text": "" })));
            events.extend(
                said.iter()
                    .map(|piece| delta(0, json!({ "type": "text_delta", "text": piece }))),
            );
            events.push(json!({ "type": "content_block_stop", "index": 0 }));
            events.push(block(
                1,
                json!({ "type": "tool_use", "name": "f", "input": {} }),
            ));
            events.extend(passed.iter().map(|piece| {
                delta(
                    1,
                    json!({ "type": "input_json_delta", "partial_json": piece }),
                )
            }));
            events.push(json!({ "type": "content_block_stop", "index": 1 }));
        }
        Dialect::Openai if surface == Surface::OpenaiChat => {
            let chunk = |delta: Value, finish: Value| json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
            events.extend(
                said.iter()
                    .map(|piece| chunk(json!({ "content": piece }), Value::Null)),
            );
            events.extend(passed.iter().map(|piece| {
                chunk(
                    json!({ "tool_calls": [{ "index": 0, "function": { "arguments": piece } }] }),
                    Value::Null,
                )
            }));
            events.push(chunk(json!({}), "tool_calls".into()));
        }
        Dialect::Openai => {
            events.extend(said.iter().map(|piece| json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": piece })));
            events.push(json!({ "type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": said.concat() }));
            events.extend(passed.iter().map(|piece| json!({ "type": "response.function_call_arguments.delta", "output_index": 1, "delta": piece })));
            events.push(json!({ "type": "response.function_call_arguments.done", "output_index": 1, "arguments": passed.concat() }));
            events.push(json!({ "type": "response.completed", "response": { "output": [
                { "type": "message", "content": [{ "type": "output_text", "text": said.concat() }] },
                { "type": "function_call", "arguments": passed.concat() },
            ] } }));
        }
        Dialect::Gemini => {
            let chunk = |part: Value| json!({ "candidates": [{ "content": { "parts": [part] } }] });
            events.extend(said.iter().map(|piece| chunk(json!({ "text": piece }))));
            let arguments: Value = serde_json::from_str(&passed.concat()).expect("arguments");
            events.push(chunk(
                json!({ "functionCall": { "name": "f", "args": arguments } }),
            ));
        }
    }
    sse(&events)
}

/// What a client makes of a stream: each text that was said, and each call's arguments.
fn received(surface: Surface, stream: &str) -> (Vec<String>, Vec<Value>) {
    let all = |pointer: &str| -> Vec<String> {
        let found = events(stream);
        let found = found.iter().filter_map(|event| event.pointer(pointer));
        found.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let json = |text: String| serde_json::from_str(&text).expect("arguments that are JSON");
    match surface.dialect() {
        Dialect::Anthropic => (
            vec![all("/delta/text").concat()],
            vec![json(all("/delta/partial_json").concat())],
        ),
        Dialect::Openai if surface == Surface::OpenaiChat => (
            vec![all("/choices/0/delta/content").concat()],
            vec![json(
                all("/choices/0/delta/tool_calls/0/function/arguments").concat(),
            )],
        ),
        Dialect::Openai => {
            let of = |kind: &str| -> String {
                let found = events(stream);
                let found = found.iter().filter(|event| event["type"] == kind);
                found.filter_map(|event| event["delta"].as_str()).collect()
            };
            let mut texts = vec![of("response.output_text.delta")];
            texts.extend(all("/text"));
            texts.extend(all("/response/output/0/content/0/text"));
            let calls = [all("/arguments"), all("/response/output/1/arguments")].concat();
            let calls = [vec![of("response.function_call_arguments.delta")], calls].concat();
            (texts, calls.into_iter().map(json).collect())
        }
        Dialect::Gemini => {
            let found = events(stream);
            let calls = found.iter().filter_map(|event| {
                event
                    .pointer("/candidates/0/content/parts/0/functionCall/args")
                    .cloned()
            });
            (
                vec![all("/candidates/0/content/parts/0/text").concat()],
                calls.collect(),
            )
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_value_is_replaced_wherever_it_is_cut(
        before in "[a-k\"é ]{0,6}",
        after in "[a-k\"é ]{0,6}",
        twice: bool,
        said: Vec<prop::sample::Index>,
        passed: Vec<prop::sample::Index>,
        chunks: Vec<prop::sample::Index>,
    ) {
        let again = if twice { SECRET } else { "" };
        let text = format!("{before}{SECRET}{again}{after}");
        let arguments = json!({ "path": text, "n": [text, { SECRET: 1 }] }).to_string();
        for surface in [Surface::AnthropicMessages, Surface::OpenaiChat, Surface::OpenaiResponses, Surface::GeminiGenerate] {
            let stream = stream(surface, &pieces(&text, &said), &pieces(&arguments, &passed));
            let mut editor = StreamEditor::new(surface, Framing::Sse).expect("a streaming surface");
            let mut judge = Replaces::default();
            let mut client = Vec::new();
            for chunk in crate::cut(stream.as_bytes(), &chunks) {
                if editor.push(chunk, &mut judge, &mut client) == Passage::AsItCame {
                    client.extend_from_slice(chunk);
                }
            }
            editor.finish(&mut judge, &mut client);
            let client = String::from_utf8(client).expect("UTF-8");
            let (texts, calls) = received(surface, &client);
            let want = text.replace(SECRET, INSTEAD);
            let arguments = json!({ "path": want, "n": [want, { INSTEAD: 1 }] });
            prop_assert!(texts.iter().all(|text| *text == want), "{texts:?} {want:?}\n{client}");
            prop_assert!(calls.iter().all(|call| *call == arguments), "{calls:?} {arguments}\n{client}");
        }
    }
}

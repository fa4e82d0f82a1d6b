use serde_json::Value;

use crate::response::{Framing, UsageReader};
use crate::stream::tests::{events, samples};
use crate::stream::{Channel, Judge, Ruling, StreamEditor, WholeRuling};
use policy::guardrail::TextRole;
use policy::surface::Surface;

/// Lets everything pass.
struct Passes;

impl Judge for Passes {
    fn text(&mut self, _: &Channel, _: &str, _: bool) -> Ruling {
        Ruling {
            passes_to: u64::MAX,
            ..Ruling::default()
        }
    }

    fn whole(&mut self, _: TextRole, _: &str, _: &str, _: bool) -> WholeRuling {
        WholeRuling::default()
    }

    fn overflow(&mut self) -> bool {
        true
    }
}

/// Passes the first events of a stream and ends it.
fn ended(surface: Surface, framing: Framing, events: &[&str], notice: Option<&str>) -> String {
    let mut editor = StreamEditor::new(surface, framing).unwrap();
    let mut client = Vec::new();
    for event in events {
        let mut out = Vec::new();
        match editor.push(event.as_bytes(), &mut Passes, &mut out) {
            crate::usage_event::Passage::AsItCame => client.extend_from_slice(event.as_bytes()),
            crate::usage_event::Passage::Replaced => client.append(&mut out),
        }
    }
    editor.end(notice, &mut client);
    let length = client.len();
    editor.push(b"data: {}\n\n", &mut Passes, &mut client);
    editor.finish(&mut Passes, &mut client);
    editor.end(notice, &mut client);
    assert_eq!(client.len(), length, "something came after the end");
    String::from_utf8(client).unwrap()
}

#[test]
fn a_stream_may_end_after_any_event() {
    for (surface, framing, stream) in samples() {
        let frames: Vec<&str> = match framing {
            Framing::JsonArray => stream.split_inclusive("\n,").collect(),
            Framing::Sse | Framing::Json => stream.split_inclusive("\n\n").collect(),
        };
        for count in 0..=frames.len() {
            for notice in [None, Some("Stopped \"here\".")] {
                let client = ended(surface, framing, &frames[..count], notice);
                let mut reader = UsageReader::new(surface, framing);
                reader.push(client.as_bytes());
                reader.finish();
                let context = format!("{surface:?} {count} {notice:?}\n{client}");
                assert!(reader.terminal_seen(), "{context}");
                assert!(!reader.error_seen(), "{context}");
                assert_eq!(reader.irregular_events(), 0, "{context}");
                if count < frames.len() / 2 && notice.is_some() {
                    assert!(client.contains("Stopped \\\"here\\\"."), "{context}");
                }
                check_order(surface, &events(&client), &context);
            }
        }
    }
}

fn kind(event: &Value) -> &str {
    event["type"].as_str().unwrap_or_default()
}

/// What clients rely on beyond the terminal event.
fn check_order(surface: Surface, events: &[Value], context: &str) {
    if surface == Surface::AnthropicMessages {
        check_blocks(events, context);
    } else if surface == Surface::OpenaiResponses {
        check_items(events, context);
    }
}

fn check_blocks(events: &[Value], context: &str) {
    let (mut open, mut next) = (None, 0);
    for event in events {
        match kind(event) {
            "content_block_start" => {
                assert_eq!((open, &event["index"]), (None, &next.into()), "{context}");
                open = Some(next);
                next += 1;
            }
            "content_block_delta" => {
                assert_eq!(event["index"], open.expect("an open block"), "{context}");
            }
            "content_block_stop" => open = None,
            "message_delta" => assert_eq!(open, None, "{context}"),
            _ => {}
        }
    }
    assert_eq!(events.last().map(kind), Some("message_stop"), "{context}");
}

fn check_items(events: &[Value], context: &str) {
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{context}");
    }
    let done = events
        .iter()
        .filter(|event| kind(event) == "response.output_item.done");
    let done: Vec<Value> = done.map(|event| event["item"].clone()).collect();
    let last = &events.last().expect("an event")["response"];
    assert_eq!(last["status"], "completed", "{context}");
    assert_eq!(last["output"], Value::from(done), "{context}");
}

#[test]
fn a_call_that_is_not_complete_was_never_shown() {
    for (surface, framing, stream) in samples() {
        if framing == Framing::JsonArray {
            continue;
        }
        let frames: Vec<&str> = stream.split_inclusive("\n\n").collect();
        // Each sample calls `Write` with arguments that hold this word in their last part.
        let complete = frames
            .iter()
            .position(|frame| frame.contains("lastword"))
            .unwrap();
        let client = ended(surface, framing, &frames[..complete], None);
        assert!(!client.contains("Write"), "{surface:?}\n{client}");
    }
}

/// Follows a stream that nobody edits, up to `length` bytes in two chunks, and ends it where its whole events end.
fn cut_short(surface: Surface, framing: Framing, stream: &[u8], length: usize) -> Option<String> {
    let mut reader = UsageReader::new(surface, framing);
    assert!(reader.can_end_early());
    let (before, last) = stream[..length].split_at(length / 2);
    reader.push(before);
    reader.push(last);
    let whole = reader.whole_events_in(last.len())?;
    let mut client = stream[..before.len() + whole].to_vec();
    client.append(&mut reader.end_early("Stopped \"here\".", 1_700_000_000));
    Some(String::from_utf8(client).unwrap())
}

#[test]
fn a_stream_that_was_only_followed_ends_as_well() {
    for (surface, framing, stream) in samples() {
        let mut ends = 0;
        for length in 0..=stream.len() {
            let Some(client) = cut_short(surface, framing, stream.as_bytes(), length) else {
                continue;
            };
            ends += 1;
            let mut reader = UsageReader::new(surface, framing);
            reader.push(client.as_bytes());
            reader.finish();
            let context = format!("{surface:?} {framing:?} {length}\n{client}");
            assert!(reader.terminal_seen(), "{context}");
            assert!(!reader.error_seen(), "{context}");
            assert_eq!(reader.irregular_events(), 0, "{context}");
            if length < stream.len() / 2 {
                assert!(client.contains("Stopped \\\"here\\\"."), "{context}");
            }
            if surface == Surface::AnthropicMessages {
                check_blocks(&events(&client), &context);
            } else if surface == Surface::OpenaiResponses {
                check_sequence(&events(&client), &context);
            }
        }
        assert!(ends > stream.len() / 4, "{surface:?} {framing:?}: {ends}");
    }
}

fn check_sequence(events: &[Value], context: &str) {
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{context}");
    }
    let last = events.last().expect("an event");
    assert_eq!(last["response"]["status"], "completed", "{context}");
    // Nothing ends that did not begin, and no call does that is not complete.
    let of = |name: &str, item: &Value| {
        let mut all = events.iter().filter(|event| kind(event) == name);
        all.any(|event| event["item"]["id"] == *item)
    };
    for event in events {
        if kind(event) == "response.output_item.done" {
            let item = &event["item"]["id"];
            assert!(of("response.output_item.added", item), "{context}");
        }
    }
}

/// What a client makes of a call whose arguments it has seen in part: nothing.
#[test]
fn a_call_that_was_shown_in_part_meets_the_limit() {
    for (surface, framing, stream) in samples() {
        let Some((head, _)) = stream
            .split_once("lastword")
            .filter(|_| framing == Framing::Sse)
        else {
            continue;
        };
        let before = head.rfind("\n\n").unwrap() + 2;
        let client = cut_short(surface, framing, stream.as_bytes(), before).unwrap();
        let says = |text: &str| assert!(client.contains(text), "{surface:?}\n{client}");
        if surface == Surface::AnthropicMessages {
            says("\"stop_reason\":\"max_tokens\"");
        } else if surface == Surface::OpenaiChat {
            says("\"finish_reason\":\"length\"");
        } else if surface == Surface::OpenaiResponses {
            let all = events(&client);
            let mut done = all
                .iter()
                .filter(|event| kind(event) == "response.output_item.done");
            assert!(done.all(|event| event["item"]["type"] != "function_call"));
        }
    }
}

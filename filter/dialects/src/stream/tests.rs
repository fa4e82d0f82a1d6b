use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Hides `key` and lets texts pass up to the last space; tool calls when they have ended.
#[derive(Default)]
struct Hides {
    texts: BTreeMap<ChannelId, String>,
    told: BTreeMap<ChannelId, u64>,
}

fn finds(text: &str, from: u64, to: u64) -> Vec<Edit> {
    text.match_indices("key")
        .map(|(at, _)| at as u64)
        .filter(|at| *at >= from && at + 3 <= to)
        .map(|at| Edit {
            start: at,
            end: at + 3,
            with: "<\"hidden\">".to_owned(),
        })
        .collect()
}

impl Judge for Hides {
    fn text(&mut self, channel: &Channel, piece: &str, ends: bool) -> Ruling {
        let text = self.texts.entry(channel.id).or_default();
        text.push_str(piece);
        let passes_to = if ends {
            text.len() as u64
        } else if channel.role == TextRole::ToolArguments {
            0
        } else {
            text.rfind(' ').map_or(0, |space| space as u64 + 1)
        };
        let told = self.told.insert(channel.id, passes_to).unwrap_or_default();
        Ruling {
            passes_to,
            edits: finds(text, told, passes_to),
            stop: text.contains("STOP"),
        }
    }

    fn whole(&mut self, _: TextRole, _: &str, text: &str, _: bool) -> WholeRuling {
        WholeRuling {
            edits: finds(text, 0, text.len() as u64),
            stop: false,
        }
    }

    fn overflow(&mut self) -> bool {
        true
    }
}

fn run(surface: Surface, framing: Framing, chunks: &[&[u8]]) -> (String, Vec<usize>) {
    let mut editor = StreamEditor::new(surface, framing).unwrap();
    let mut judge = Hides::default();
    let mut all = Vec::new();
    let mut held = Vec::new();
    for chunk in chunks {
        let mut out = Vec::new();
        match editor.push(chunk, &mut judge, &mut out) {
            Passage::AsItCame => {
                assert!(out.is_empty());
                all.extend_from_slice(chunk);
            }
            Passage::Replaced => all.extend(out),
        }
        held.push(editor.held_bytes());
    }
    editor.finish(&mut judge, &mut all);
    (String::from_utf8(all).unwrap(), held)
}

const ANTHROPIC: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_key\",\"content\":[]}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"The \\u006b\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"ey is ke\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"Write\",\"input\":{}}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":\\\"k\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"ey\\\"}\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

#[test]
fn texts_change_and_nothing_else_does() {
    let (got, _) = run(
        Surface::AnthropicMessages,
        Framing::Sse,
        &[ANTHROPIC.as_bytes()],
    );
    let want = ANTHROPIC
        .replace("The \\u006b", "The <\\\"hidden\\\">")
        .replace("ey is ke", " is ke")
        .replace("\\\"a\\\":\\\"k", "\\\"a\\\":\\\"<\\\\\\\"hidden\\\\\\\">")
        .replace("\"partial_json\":\"ey\\\"}\"", "\"partial_json\":\"\\\"}\"");
    assert_eq!(got, want);
}

#[test]
fn a_clean_stream_passes_as_it_came_and_waits_for_part_of_a_word_only() {
    let text = ANTHROPIC
        .replace("\\u006bey", "word")
        .replace("\\u006b", "w")
        .replace("ey", "ord");
    let events: Vec<_> = text.split_inclusive("\n\n").map(str::as_bytes).collect();
    let (got, held) = run(Surface::AnthropicMessages, Framing::Sse, &events);
    assert_eq!(got, text);
    assert_eq!(held[..3], [0, 0, 0]);
    assert_eq!(held.last(), Some(&0));
}

#[test]
fn a_ping_overtakes_what_waits() {
    let mut editor = StreamEditor::new(Surface::AnthropicMessages, Framing::Sse).unwrap();
    let mut judge = Hides::default();
    let mut out = Vec::new();
    editor.push(b"data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"wor\"}}\n\n", &mut judge, &mut out);
    assert!(out.is_empty());
    for alive in [
        &b"event: ping\ndata: {\"type\": \"ping\"}\n\n"[..],
        b": hello\n\n",
    ] {
        assert_eq!(editor.push(alive, &mut judge, &mut out), Passage::AsItCame);
        assert!(out.is_empty());
    }
}

#[test]
fn nothing_passes_after_a_stop() {
    let mut editor = StreamEditor::new(Surface::OpenaiChat, Framing::Sse).unwrap();
    let mut judge = Hides::default();
    let mut out = Vec::new();
    let passage = editor.push(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"STOP \"}}]}\n\ndata: [DONE]\n\n", &mut judge, &mut out);
    assert_eq!((passage, out.as_slice()), (Passage::Replaced, &b""[..]));
}

#[test]
fn repeated_texts_change_like_their_pieces() {
    let stream = "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"a ke\"}\n\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"y \"}\n\ndata: {\"type\":\"response.output_text.done\",\"output_index\":0,\"content_index\":0,\"text\":\"a key \"}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_key\",\"instructions\":\"key\",\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"a key \"}]}]}}\n\n";
    let (got, _) = run(Surface::OpenaiResponses, Framing::Sse, &[stream.as_bytes()]);
    let want = stream
        .replace("\"a ke\"", "\"a <\\\"hidden\\\">\"")
        .replace("\"delta\":\"y \"", "\"delta\":\" \"")
        .replace("\"text\":\"a key \"", "\"text\":\"a <\\\"hidden\\\"> \"");
    assert_eq!(got, want);
}

#[test]
fn arrays_of_gemini_are_streams_too() {
    let stream = "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a k\"}]}}]}\n,\r\n{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"ey\"},{\"functionCall\":{\"name\":\"f\",\"args\":{\"x\":\"key\"}}}]},\"finishReason\":\"STOP\"}]}\n]\n";
    let (got, _) = run(
        Surface::GeminiGenerate,
        Framing::JsonArray,
        &[stream.as_bytes()],
    );
    let want = stream
        .replace("\"a k\"", "\"a <\\\"hidden\\\">\"")
        .replace("\"ey\"", "\"\"")
        .replace("\"x\":\"key\"", "\"x\":\"<\\\"hidden\\\">\"");
    assert_eq!(got, want);
}

proptest! {
    #[test]
    fn chunking_never_changes_what_passes(cuts: Vec<prop::sample::Index>) {
        let (want, _) = run(Surface::AnthropicMessages, Framing::Sse, &[ANTHROPIC.as_bytes()]);
        let chunks = crate::cut(ANTHROPIC.as_bytes(), &cuts);
        let (got, _) = run(Surface::AnthropicMessages, Framing::Sse, &chunks);
        // A ping may overtake what waits, so its place is the only thing that depends on chunks.
        let without_ping = |text: &str| text.replace("event: ping\ndata: {\"type\":\"ping\"}\n\n", "");
        prop_assert_eq!(without_ping(&got), without_ping(&want));
    }
}

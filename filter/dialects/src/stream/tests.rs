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

const RESPONSES: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\"status\":\"in_progress\",\"model\":\"m\",\"instructions\":\"be\",\"output\":[],\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],\"usage\":null}}\n\n",
    "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[]}}\n\n",
    "event: response.reasoning_summary_part.added\ndata: {\"type\":\"response.reasoning_summary_part.added\",\"sequence_number\":2,\"item_id\":\"rs_1\",\"output_index\":0,\"summary_index\":0,\"part\":{\"type\":\"summary_text\",\"text\":\"\"}}\n\n",
    "event: response.reasoning_summary_text.delta\ndata: {\"type\":\"response.reasoning_summary_text.delta\",\"sequence_number\":3,\"item_id\":\"rs_1\",\"output_index\":0,\"summary_index\":0,\"delta\":\"Hm key\"}\n\n",
    "event: response.reasoning_summary_text.done\ndata: {\"type\":\"response.reasoning_summary_text.done\",\"sequence_number\":4,\"item_id\":\"rs_1\",\"output_index\":0,\"summary_index\":0,\"text\":\"Hm key\"}\n\n",
    "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":5,\"output_index\":0,\"item\":{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"Hm key\"}],\"encrypted_content\":\"gAAA\"}}\n\n",
    "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":6,\"output_index\":1,\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\n",
    "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"sequence_number\":7,\"item_id\":\"msg_1\",\"output_index\":1,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[],\"logprobs\":[]}}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":8,\"item_id\":\"msg_1\",\"output_index\":1,\"content_index\":0,\"delta\":\"The ke\",\"logprobs\":[{\"token\":\"The ke\"}]}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":9,\"item_id\":\"msg_1\",\"output_index\":1,\"content_index\":0,\"delta\":\"y is\"}\n\n",
    "event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\",\"sequence_number\":10,\"item_id\":\"msg_1\",\"output_index\":1,\"content_index\":0,\"text\":\"The key is\"}\n\n",
    "event: response.content_part.done\ndata: {\"type\":\"response.content_part.done\",\"sequence_number\":11,\"item_id\":\"msg_1\",\"output_index\":1,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"The key is\",\"annotations\":[],\"logprobs\":[]}}\n\n",
    "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":12,\"output_index\":1,\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"The key is\",\"annotations\":[],\"logprobs\":[]}]}}\n\n",
    "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":13,\"output_index\":2,\"item\":{\"id\":\"fc_1\",\"type\":\"function_call\",\"status\":\"in_progress\",\"arguments\":\"\",\"call_id\":\"call_1\",\"name\":\"Write\"}}\n\n",
    "event: response.function_call_arguments.delta\ndata: {\"type\":\"response.function_call_arguments.delta\",\"sequence_number\":14,\"item_id\":\"fc_1\",\"output_index\":2,\"delta\":\"{\\\"a\\\":\\\"k\"}\n\n",
    "event: response.function_call_arguments.delta\ndata: {\"type\":\"response.function_call_arguments.delta\",\"sequence_number\":15,\"item_id\":\"fc_1\",\"output_index\":2,\"delta\":\"ey lastword\\\"}\"}\n\n",
    "event: response.function_call_arguments.done\ndata: {\"type\":\"response.function_call_arguments.done\",\"sequence_number\":16,\"item_id\":\"fc_1\",\"output_index\":2,\"arguments\":\"{\\\"a\\\":\\\"key lastword\\\"}\"}\n\n",
    "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":17,\"output_index\":2,\"item\":{\"id\":\"fc_1\",\"type\":\"function_call\",\"status\":\"completed\",\"arguments\":\"{\\\"a\\\":\\\"key lastword\\\"}\",\"call_id\":\"call_1\",\"name\":\"Write\"}}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":18,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\"status\":\"completed\",\"model\":\"m\",\"output\":[{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"Hm key\"}],\"encrypted_content\":\"gAAA\"},{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"The key is\",\"annotations\":[],\"logprobs\":[]}]},{\"id\":\"fc_1\",\"type\":\"function_call\",\"status\":\"completed\",\"arguments\":\"{\\\"a\\\":\\\"key lastword\\\"}\",\"call_id\":\"call_1\",\"name\":\"Write\"}],\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],\"usage\":{\"input_tokens\":1,\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":2,\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":3}}}\n\n",
);

const CHAT: &str = concat!(
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"The k\"},\"logprobs\":{\"content\":[{\"token\":\"The k\"}]},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ey is \"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"Write\",\"arguments\":\"\"}}]},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\\\"k\"}}]},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"ey lastword\\\"}\"}}]},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n",
    "data: [DONE]\n\n",
);

const GEMINI: &str = concat!(
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hm key\",\"thought\":true}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":1},\"modelVersion\":\"m\",\"responseId\":\"r\"}\n\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"The k\"}],\"role\":\"model\"},\"index\":0}],\"modelVersion\":\"m\"}\n\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"ey is \"}],\"role\":\"model\"},\"index\":0}],\"modelVersion\":\"m\"}\n\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"Write\",\"args\":{\"a\":\"key lastword\",\"key\":1}}}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":1,\"candidatesTokenCount\":7},\"modelVersion\":\"m\"}\n\n",
);

/// Returns the data of each event.
pub(super) fn events(stream: &str) -> Vec<serde_json::Value> {
    if stream.starts_with('[') {
        return serde_json::from_str(stream).unwrap();
    }
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// One stream for each dialect and framing. Each holds `key`, cut and whole, and calls a tool.
pub(super) fn samples() -> Vec<(Surface, Framing, String)> {
    let array = GEMINI
        .replace("data: ", "")
        .trim_end()
        .replace("\n\n", "\n,\r\n");
    vec![
        (
            Surface::AnthropicMessages,
            Framing::Sse,
            ANTHROPIC.to_owned(),
        ),
        (Surface::OpenaiChat, Framing::Sse, CHAT.to_owned()),
        (Surface::OpenaiResponses, Framing::Sse, RESPONSES.to_owned()),
        (Surface::GeminiGenerate, Framing::Sse, GEMINI.to_owned()),
        (
            Surface::GeminiGenerate,
            Framing::JsonArray,
            format!("[{array}\n]\n"),
        ),
    ]
}

const ANTHROPIC: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_key\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"The \\u006b\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"ey is ke\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"Write\",\"input\":{}}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":\\\"k\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"ey lastword\\\"}\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

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
        .replace(
            "\"partial_json\":\"ey lastword",
            "\"partial_json\":\" lastword",
        );
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
fn what_was_held_back_does_not_leave_at_a_stop() {
    let mut editor = StreamEditor::new(Surface::OpenaiChat, Framing::Sse).unwrap();
    let mut judge = Hides::default();
    let mut out = Vec::new();
    for text in ["ST", "OP "] {
        let event = format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
        );
        editor.push(event.as_bytes(), &mut judge, &mut out);
    }
    assert!(editor.is_stopped() && out.is_empty());
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

/// Takes the pings out, which may overtake what waits.
fn without_pings(text: &str) -> String {
    text.replace("event: ping\ndata: {\"type\":\"ping\"}\n\n", "")
}

#[test]
fn no_dialect_lets_the_word_pass() {
    for (surface, framing, stream) in samples() {
        for line_end in ["\n", "\r\n", "\r"] {
            let stream = match framing {
                Framing::JsonArray => stream.clone(),
                Framing::Sse | Framing::Json => stream.replace('\n', line_end),
            };
            let (whole, _) = run(surface, framing, &[stream.as_bytes()]);
            // Reasoning may be signed, so it stays.
            let rest = whole.replace("Hm key", "").replace("msg_key", "");
            assert!(!rest.contains("key"), "{surface:?}\n{rest}");
            assert!(
                !rest.contains("\"ke\"") && !rest.contains(" k\""),
                "{surface:?}\n{rest}"
            );
            for size in [1, 2, 3, 7, 64] {
                let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
                let (cut, held) = run(surface, framing, &chunks);
                assert_eq!(
                    without_pings(&cut),
                    without_pings(&whole),
                    "{surface:?} {size}"
                );
                // An array's closing bracket is held until the stream has ended.
                assert!(held.last().is_some_and(|held| *held <= 3));
            }
        }
    }
}

#[test]
fn a_clean_stream_passes_byte_for_byte() {
    for (surface, framing, stream) in samples() {
        for (line_end, size) in [("\n", 1), ("\r\n", 1), ("\r\n", 5), ("\r", 3), ("\n", 1000)] {
            let stream = stream
                .replace("key", "cat")
                .replace("ey", "at")
                .replace("\\u006b", "c")
                .replace("The ke", "The ca")
                .replace("\"y is", "\"t is");
            let stream = match framing {
                Framing::JsonArray => stream,
                Framing::Sse | Framing::Json => stream.replace('\n', line_end),
            };
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            let (got, _) = run(surface, framing, &chunks);
            let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n".replace('\n', line_end);
            assert_eq!(
                got.replace(&ping, ""),
                stream.replace(&ping, ""),
                "{surface:?} {size}"
            );
        }
    }
}

#[test]
fn what_is_no_json_is_judged_as_it_is() {
    let stream = "data: the key\ndata: and more\n\ndata: {\"a\":\"key\", oops}\n\n";
    let (got, _) = run(Surface::OpenaiChat, Framing::Sse, &[stream.as_bytes()]);
    assert_eq!(
        got,
        "data: the <\"hidden\">\ndata: and more\n\ndata: {\"a\":\"<\"hidden\">\", oops}\n\n"
    );
}

#[test]
fn unknown_events_are_judged_string_by_string() {
    let stream = "event: novel\ndata: {\"type\":\"novel\",\"deep\":[{\"key\":\"a key\"}]}\n\n";
    let (got, _) = run(
        Surface::AnthropicMessages,
        Framing::Sse,
        &[stream.as_bytes()],
    );
    assert_eq!(
        got,
        "event: novel\ndata: {\"type\":\"novel\",\"deep\":[{\"<\\\"hidden\\\">\":\"a <\\\"hidden\\\">\"}]}\n\n"
    );
}

#[test]
fn probabilities_go_where_their_text_was_edited() {
    let (got, _) = run(Surface::OpenaiChat, Framing::Sse, &[CHAT.as_bytes()]);
    assert!(
        got.contains("\"The <\\\"hidden\\\">\"},\"logprobs\":null"),
        "{got}"
    );
}

#[test]
fn arguments_that_are_no_json_are_judged_as_text() {
    let stream = CHAT.replace("ey lastword\\\"}", "ey lastword");
    let (got, _) = run(Surface::OpenaiChat, Framing::Sse, &[stream.as_bytes()]);
    assert!(got.contains("\\\"a\\\":\\\"<\\\"hidden\\\">\"}"), "{got}");
}

/// More than may be held: the judge stops, or everything passes.
#[test]
fn an_event_may_be_too_long_to_wait_for() {
    let long = format!("data: {{\"x\":\"{}\"}}\n\n", "a".repeat(HELD_BYTES));
    for size in [HELD_BYTES * 2, 100_000] {
        let mut editor = StreamEditor::new(Surface::OpenaiChat, Framing::Sse).unwrap();
        let mut out = Vec::new();
        for chunk in long.as_bytes().chunks(size) {
            editor.push(chunk, &mut Hides::default(), &mut out);
        }
        editor.finish(&mut Hides::default(), &mut out);
        assert!(out.is_empty());
        editor.end(None, &mut out);
        assert!(out.ends_with(b"data: [DONE]\n\n"));
    }
}

proptest! {
    #[test]
    fn cuts_never_change_what_passes(sample in 0..5usize, cuts: Vec<prop::sample::Index>) {
        let (surface, framing, stream) = samples().swap_remove(sample);
        let (want, _) = run(surface, framing, &[stream.as_bytes()]);
        let (got, _) = run(surface, framing, &crate::cut(stream.as_bytes(), &cuts));
        prop_assert_eq!(without_pings(&got), without_pings(&want));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn streams_of_any_events_keep_the_laws(
        sample in 0..5usize,
        events in prop::collection::vec((any::<prop::sample::Index>(), 0..12u8), 0..16),
    ) {
        let (_, framing, stream) = samples().swap_remove(sample);
        let frames: Vec<&str> = match framing {
            Framing::JsonArray => stream.split_inclusive("\n,\r\n").collect(),
            Framing::Sse | Framing::Json => stream.split_inclusive("\n\n").collect(),
        };
        let events = events.iter().map(|(index, how)| damaged(frames[index.index(frames.len())], *how));
        let events: Vec<String> = events.collect();
        prop_assert_eq!(crate::laws::stream(events.concat().as_bytes()), Ok(()));
    }
}

/// Returns an event, damaged in one of several ways or sound.
fn damaged(event: &str, how: u8) -> String {
    match how {
        0 => event.replace('}', ""),
        1 => event.replace('\n', "\r\n"),
        2 => format!(": comment\n{event}"),
        3 => event
            .replace("data: ", "data:")
            .replace(",\"", ",\ndata: \""),
        4 => event.replace("key", "STOP"),
        5 => event.replace("\"index\":0", "\"index\":1"),
        6 => format!("event: ping\ndata: {{\"type\":\"ping\"}}\n\n{event}"),
        7 => event.replace('"', "\u{feff}"),
        _ => event.to_owned(),
    }
}

use proptest::prelude::*;

use super::*;
use crate::cut;

/// What a reader knows after a body.
#[derive(Debug, PartialEq)]
struct Known {
    usage: Option<Usage>,
    output_bytes: u64,
    terminal: bool,
    error: bool,
    irregular: u64,
    model: Option<String>,
    id: Option<String>,
}

fn read(surface: Surface, framing: Framing, chunks: &[&[u8]]) -> Known {
    let mut reader = UsageReader::new(surface, framing);
    for chunk in chunks {
        reader.push(chunk);
    }
    reader.finish();
    Known {
        usage: reader.usage(),
        output_bytes: reader.visible_output_bytes(),
        terminal: reader.terminal_seen(),
        error: reader.error_seen(),
        irregular: reader.irregular_events(),
        model: reader.model().map(str::to_owned),
        id: reader.response_id().map(str::to_owned),
    }
}

/// Input, cache read, cache write 5 min, 1 h, output, reasoning, web searches.
fn usage(classes: [u64; 7]) -> Usage {
    let [input, read, write_5m, write_1h, output, reasoning, searches] =
        classes.map(TokenCount::new);
    Usage {
        input_tokens: input,
        cache_read_tokens: read,
        cache_write_5m_tokens: write_5m,
        cache_write_1h_tokens: write_1h,
        output_tokens: output,
        reasoning_tokens: reasoning,
        web_search_requests: searches,
    }
}

/// Reads whole and bytewise, and compares what is known at the end.
#[track_caller]
fn check(surface: Surface, framing: Framing, body: &str, want: &Known) {
    assert_eq!(&read(surface, framing, &[body.as_bytes()]), want, "whole");
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    assert_eq!(&read(surface, framing, &bytes), want, "bytewise");
}

#[track_caller]
fn check_usage(surface: Surface, framing: Framing, body: &str, want: Option<[u64; 7]>) {
    let known = read(surface, framing, &[body.as_bytes()]);
    assert_eq!(known.usage, want.map(usage));
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    assert_eq!(read(surface, framing, &bytes), known, "bytewise");
}

fn events(events: &[(&str, &str)]) -> String {
    events
        .iter()
        .map(|(name, data)| format!("event: {name}\ndata: {data}\n\n"))
        .collect()
}

fn chunks(chunks: &[&str]) -> String {
    chunks
        .iter()
        .map(|data| format!("data: {data}\n\n"))
        .collect()
}

/// A turn with thinking, two tool calls whose pieces alternate with pings, and a web search.
fn anthropic_stream() -> String {
    events(&[
        (
            "message_start",
            r#"{"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","model":"claude-sonnet-5","content":[],"stop_reason":null,"usage":{"input_tokens":12,"cache_creation_input_tokens":300,"cache_read_input_tokens":18000,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"output_tokens":1,"service_tier":"standard"}}}"#,
        ),
        ("ping", r#"{"type": "ping"}"#),
        (
            "content_block_start",
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        ),
        (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Let me\nsee"}}"#,
        ),
        (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk="}}"#,
        ),
        (
            "content_block_stop",
            r#"{"type":"content_block_stop","index":0}"#,
        ),
        (
            "content_block_start",
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"Read","input":{}}}"#,
        ),
        (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        ),
        (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"path\": \"a"}}"#,
        ),
        ("ping", r#"{"type": "ping"}"#),
        (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":".rs\"}"}}"#,
        ),
        (
            "content_block_stop",
            r#"{"type":"content_block_stop","index":1}"#,
        ),
        (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Grüße \ud83d\ude00"}}"#,
        ),
        (
            "message_delta",
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":40}}"#,
        ),
        (
            "message_delta",
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":12,"cache_creation_input_tokens":300,"cache_read_input_tokens":18000,"output_tokens":95,"server_tool_use":{"web_search_requests":2}}}"#,
        ),
        ("message_stop", r#"{"type":"message_stop"}"#),
    ])
}

fn anthropic_known() -> Known {
    Known {
        usage: Some(usage([12, 18000, 100, 200, 95, 0, 2])),
        // "Let me\nsee", `{"path": "a`, `.rs"}`, "Grüße 😀".
        output_bytes: 10 + 11 + 5 + 12,
        terminal: true,
        error: false,
        irregular: 0,
        model: Some("claude-sonnet-5".to_owned()),
        id: Some("msg_01".to_owned()),
    }
}

#[test]
fn anthropic_stream_takes_the_last_cumulative_counts() {
    check(
        Surface::AnthropicMessages,
        Framing::Sse,
        &anthropic_stream(),
        &anthropic_known(),
    );
}

#[test]
fn line_ends_and_comments_do_not_matter() {
    for end in ["\r\n", "\r"] {
        let stream = format!(
            ": hello\n\n{}",
            anthropic_stream().replace("\n\n", "\n: keep-alive\n\n")
        )
        .replace('\n', end);
        check(
            Surface::AnthropicMessages,
            Framing::Sse,
            &stream,
            &anthropic_known(),
        );
    }
}

#[test]
fn anthropic_start_is_known_before_the_end() {
    let mut reader = UsageReader::new(Surface::AnthropicMessages, Framing::Sse);
    let stream = anthropic_stream();
    let end = stream.find("event: ping").unwrap();
    reader.push(&stream.as_bytes()[..end]);
    assert_eq!(reader.usage(), Some(usage([12, 18000, 100, 200, 1, 0, 0])));
    assert!(!reader.terminal_seen());
    assert_eq!(reader.model(), Some("claude-sonnet-5"));
}

#[test]
fn anthropic_answer_is_read_whole() {
    check(
        Surface::AnthropicMessages,
        Framing::Json,
        r#"{"id":"msg_02","type":"message","role":"assistant","model":"claude-opus-5","content":[{"type":"text","text":"Hello"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}}],"stop_reason":"end_turn","usage":{"input_tokens":5,"cache_creation_input_tokens":70,"cache_read_input_tokens":0,"output_tokens":9}}"#,
        &Known {
            usage: Some(usage([5, 0, 70, 0, 9, 0, 0])),
            output_bytes: 5 + 7,
            terminal: true,
            error: false,
            irregular: 0,
            model: Some("claude-opus-5".to_owned()),
            id: Some("msg_02".to_owned()),
        },
    );
}

#[test]
fn anthropic_cache_writes_are_split_as_far_as_known() {
    for (written, want) in [
        (
            r#""cache_creation_input_tokens":70"#,
            [0, 0, 70, 0, 0, 0, 0],
        ),
        (
            r#""cache_creation":{"ephemeral_1h_input_tokens":70}"#,
            [0, 0, 0, 70, 0, 0, 0],
        ),
        (
            r#""cache_creation":{"ephemeral_1h_input_tokens":60,"ephemeral_5m_input_tokens":10},"cache_creation_input_tokens":70"#,
            [0, 0, 10, 60, 0, 0, 0],
        ),
        (
            r#""cache_creation_input_tokens":100,"cache_creation":{"ephemeral_1h_input_tokens":60,"ephemeral_5m_input_tokens":10}"#,
            [0, 0, 40, 60, 0, 0, 0],
        ),
    ] {
        let body = format!(r#"{{"usage":{{{written}}}}}"#);
        check_usage(Surface::AnthropicMessages, Framing::Json, &body, Some(want));
    }
}

#[test]
fn anthropic_compactions_are_added_to_what_stands_beside_them() {
    let body = r#"{"usage":{"input_tokens":23000,"output_tokens":1000,"iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500,"cache_read_input_tokens":7},{"type":"message","input_tokens":23000,"output_tokens":1000}]}}"#;
    check_usage(
        Surface::AnthropicMessages,
        Framing::Json,
        body,
        Some([203_000, 7, 0, 0, 4500, 0, 0]),
    );
    let stream = events(&[
        (
            "message_start",
            r#"{"type":"message_start","message":{"usage":{"input_tokens":1,"output_tokens":1,"iterations":[{"type":"compaction","input_tokens":10,"output_tokens":20}]}}}"#,
        ),
        (
            "message_delta",
            r#"{"type":"message_delta","usage":{"output_tokens":2,"iterations":[{"type":"compaction","input_tokens":10,"output_tokens":25}]}}"#,
        ),
        (
            "message_delta",
            r#"{"type":"message_delta","usage":{"output_tokens":3}}"#,
        ),
    ]);
    check_usage(
        Surface::AnthropicMessages,
        Framing::Sse,
        &stream,
        Some([11, 0, 0, 0, 28, 0, 0]),
    );
}

#[test]
fn an_error_event_is_seen() {
    let stream = events(&[
        (
            "message_start",
            r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":7,"output_tokens":0}}}"#,
        ),
        (
            "error",
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        ),
    ]);
    let known = read(
        Surface::AnthropicMessages,
        Framing::Sse,
        &[stream.as_bytes()],
    );
    assert!(known.error && !known.terminal);
    assert_eq!(known.usage, Some(usage([7, 0, 0, 0, 0, 0, 0])));
}

/// Interleaved tool calls, a refusal of nothing, and the usage event that `include_usage` brings.
fn chat_stream() -> String {
    chunks(&[
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-5-mini","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null,"obfuscation":"xyzxyz"}"#,
        r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"Hi \"you\""}}],"usage":null}"#,
        r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"read","arguments":""}}]}}],"usage":null}"#,
        r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"ls","arguments":"{}"}}]}}],"usage":null}"#,
        r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"p\":1}"}}]}}],"usage":null}"#,
        r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}"#,
        r#"{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":90,"total_tokens":1090,"prompt_tokens_details":{"cached_tokens":640,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":64,"audio_tokens":0,"accepted_prediction_tokens":0}}}"#,
        "[DONE]",
    ])
}

#[test]
fn chat_stream_ends_with_usage() {
    check(
        Surface::OpenaiChat,
        Framing::Sse,
        &chat_stream(),
        &Known {
            usage: Some(usage([360, 640, 0, 0, 90, 64, 0])),
            // `Hi "you"`, "read", "ls", "{}", `{"p":1}`.
            output_bytes: 8 + 4 + 2 + 2 + 7,
            terminal: true,
            error: false,
            irregular: 0,
            model: Some("gpt-5-mini".to_owned()),
            id: Some("chatcmpl-1".to_owned()),
        },
    );
}

#[test]
fn a_chat_stream_without_usage_has_none() {
    let stream = chunks(&[
        r#"{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],"usage":null}"#,
        "[DONE]",
    ]);
    check_usage(Surface::OpenaiChat, Framing::Sse, &stream, None);
}

#[test]
fn explicit_zero_is_not_missing() {
    let body = r#"{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}"#;
    check_usage(Surface::OpenaiChat, Framing::Json, body, Some([0; 7]));
    for body in [
        r#"{"choices":[]}"#,
        r#"{"usage":null}"#,
        r#"{"usage":{}}"#,
        r#"{"usage":{"prompt_tokens":null}}"#,
    ] {
        check_usage(Surface::OpenaiChat, Framing::Json, body, None);
    }
}

#[test]
fn running_chat_usage_takes_the_last() {
    let stream = chunks(&[
        r#"{"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#,
        r#"{"choices":[{"delta":{"content":"y"}}],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#,
    ]);
    check_usage(
        Surface::OpenaiChat,
        Framing::Sse,
        &stream,
        Some([5, 0, 0, 0, 2, 0, 0]),
    );
}

#[test]
fn openai_cache_writes_are_part_of_the_input() {
    let body = r#"{"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":30,"cache_write_tokens":50},"output_tokens":4}}"#;
    check_usage(
        Surface::OpenaiResponses,
        Framing::Json,
        body,
        Some([20, 30, 50, 0, 4, 0, 0]),
    );
}

#[test]
fn counts_that_contradict_each_other_stay_in_bounds() {
    let body = r#"{"usage":{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":30,"cache_write_tokens":5},"completion_tokens":4,"completion_tokens_details":{"reasoning_tokens":9}}}"#;
    check_usage(
        Surface::OpenaiChat,
        Framing::Json,
        body,
        Some([0, 10, 0, 0, 4, 4, 0]),
    );
}

#[test]
fn embeddings_have_input_only() {
    let floats = "0.0023064255,-1.5e-7,".repeat(500);
    let body = format!(
        r#"{{"object":"list","data":[{{"object":"embedding","embedding":[{floats}0],"index":0}}],"model":"text-embedding-3-small","usage":{{"prompt_tokens":8,"total_tokens":8}}}}"#
    );
    check_usage(
        Surface::OpenaiEmbeddings,
        Framing::Json,
        &body,
        Some([8, 0, 0, 0, 0, 0, 0]),
    );
}

fn responses_stream(terminal: &str) -> String {
    let text = "All work and no play. ".repeat(50_000);
    let completed = format!(
        r#"{{"type":"{terminal}","sequence_number":9,"response":{{"id":"resp_1","object":"response","status":"completed","error":null,"model":"gpt-5","instructions":"{text}","output":[{{"id":"ws_1","type":"web_search_call","status":"completed","action":{{"type":"search","query":"x"}}}},{{"id":"ws_2","type":"web_search_call","action":{{"type":"open_page","url":"u"}}}},{{"id":"msg_1","type":"message","content":[{{"type":"output_text","text":"{text}"}}]}}],"usage":{{"input_tokens":5000,"input_tokens_details":{{"cached_tokens":4096}},"output_tokens":700,"output_tokens_details":{{"reasoning_tokens":512}},"total_tokens":5700}}}}}}"#
    );
    let mut stream = events(&[
        (
            "response.created",
            r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","model":"gpt-5","status":"in_progress","output":[],"usage":null,"error":null}}"#,
        ),
        (
            "response.output_item.added",
            r#"{"type":"response.output_item.added","item":{"id":"fc_1","type":"function_call","arguments":"","name":"shell"}}"#,
        ),
        (
            "response.reasoning_summary_text.delta",
            r#"{"type":"response.reasoning_summary_text.delta","delta":"Think"}"#,
        ),
        (
            "response.function_call_arguments.delta",
            r#"{"delta":"{\"cmd\"","type":"response.function_call_arguments.delta","item_id":"fc_1"}"#,
        ),
        (
            "response.output_text.delta",
            r#"{"type":"response.output_text.delta","item_id":"msg_1","delta":"Hi","logprobs":[],"obfuscation":"aaaaaaaaaaaa"}"#,
        ),
        (
            "response.audio.delta",
            r#"{"type":"response.audio.delta","delta":"UklGRiQAAABXQVZF"}"#,
        ),
        (
            "response.output_text.done",
            r#"{"type":"response.output_text.done","text":"Hi"}"#,
        ),
        (
            "response.output_item.done",
            r#"{"type":"response.output_item.done","item":{"id":"ws_1","type":"web_search_call","status":"completed","action":{"type":"search"}}}"#,
        ),
        (
            "response.output_item.done",
            r#"{"type":"response.output_item.done","item":{"id":"ws_2","type":"web_search_call","action":{"type":"open_page"}}}"#,
        ),
    ]);
    stream.push_str(&events(&[(terminal, &completed)]));
    stream
}

#[test]
fn responses_usage_is_in_a_terminal_event_of_any_size() {
    for (terminal, error) in [
        ("response.completed", false),
        ("response.incomplete", false),
        ("response.failed", true),
    ] {
        check(
            Surface::OpenaiResponses,
            Framing::Sse,
            &responses_stream(terminal),
            &Known {
                usage: Some(usage([904, 4096, 0, 0, 700, 512, 1])),
                // "Think", `{"cmd"`, "Hi": neither audio nor what later events repeat.
                output_bytes: 5 + 6 + 2,
                terminal: true,
                error,
                irregular: 0,
                model: Some("gpt-5".to_owned()),
                id: Some("resp_1".to_owned()),
            },
        );
    }
}

#[test]
fn responses_searches_count_while_they_happen() {
    let mut reader = UsageReader::new(Surface::OpenaiResponses, Framing::Sse);
    reader.push(b"data: {\"type\":\"response.in_progress\",\"response\":{\"usage\":{\"output_tokens\":1}}}\n\n");
    reader.push(b"data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"web_search_call\"}}\n\n");
    assert_eq!(reader.usage(), Some(usage([0, 0, 0, 0, 1, 0, 1])));
}

#[test]
fn responses_answer_is_read_whole() {
    check(
        Surface::OpenaiResponses,
        Framing::Json,
        r#"{"id":"resp_2","object":"response","error":null,"model":"gpt-5","output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"Hm"}]},{"type":"web_search_call","action":{"type":"search"}},{"type":"message","content":[{"type":"output_text","text":"Hello"}]},{"type":"function_call","name":"f","arguments":"{}"}],"usage":{"input_tokens":3,"output_tokens":6}}"#,
        &Known {
            usage: Some(usage([3, 0, 0, 0, 6, 0, 1])),
            output_bytes: 2 + 5 + 2,
            terminal: true,
            error: false,
            irregular: 0,
            model: Some("gpt-5".to_owned()),
            id: Some("resp_2".to_owned()),
        },
    );
}

const GEMINI_CHUNKS: [&str; 3] = [
    r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"**Plan**","thought":true}]},"index":0}],"usageMetadata":{"promptTokenCount":900,"cachedContentTokenCount":500,"totalTokenCount":940,"thoughtsTokenCount":40},"modelVersion":"gemini-3-pro","responseId":"r-1"}"#,
    r#"{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"ls","args":{"p":"."}},"thoughtSignature":"Cs0B"}]},"index":0}],"usageMetadata":{"promptTokenCount":900,"candidatesTokenCount":10,"cachedContentTokenCount":500,"thoughtsTokenCount":60},"modelVersion":"gemini-3-pro","responseId":"r-1"}"#,
    r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Done"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":900,"candidatesTokenCount":25,"cachedContentTokenCount":500,"toolUsePromptTokenCount":33,"thoughtsTokenCount":60},"modelVersion":"gemini-3-pro","responseId":"r-1"}"#,
];

fn gemini_known() -> Known {
    Known {
        usage: Some(usage([433, 500, 0, 0, 85, 60, 0])),
        output_bytes: 8 + 30 + 4,
        terminal: true,
        error: false,
        irregular: 0,
        model: Some("gemini-3-pro".to_owned()),
        id: Some("r-1".to_owned()),
    }
}

#[test]
fn gemini_stream_reports_in_every_chunk() {
    check(
        Surface::GeminiGenerate,
        Framing::Sse,
        &chunks(&GEMINI_CHUNKS).replace('\n', "\r\n"),
        &gemini_known(),
    );
}

#[test]
fn gemini_array_is_a_stream() {
    let body = format!("[{}\n]", GEMINI_CHUNKS.join("\n,\r\n"));
    check(
        Surface::GeminiGenerate,
        Framing::JsonArray,
        &body,
        &gemini_known(),
    );
    let mut reader = UsageReader::new(Surface::GeminiGenerate, Framing::JsonArray);
    reader.push(format!("[{},", GEMINI_CHUNKS[0]).as_bytes());
    assert_eq!(reader.usage(), Some(usage([400, 500, 0, 0, 40, 40, 0])));
    assert!(!reader.terminal_seen());
}

#[test]
fn gemini_errors_are_seen_in_every_framing() {
    let error = r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#;
    let array = format!("[{error}]");
    for (framing, body) in [
        (Framing::Json, error.to_owned()),
        (Framing::Json, array.clone()),
        (Framing::JsonArray, array),
        (Framing::Sse, chunks(&[error])),
    ] {
        assert!(read(Surface::GeminiGenerate, framing, &[body.as_bytes()]).error);
    }
}

#[test]
fn malformed_events_are_counted_and_passed_over() {
    let stream = chunks(&[
        r#"{"choices":[{"delta":{"content":"a"}}]"#,
        "not JSON",
        r#"{"choices":[],"usage":{"prompt_tokens":-3,"completion_tokens":7}}"#,
        "",
        "[DONE",
        "[DONE]",
    ]);
    let known = read(Surface::OpenaiChat, Framing::Sse, &[stream.as_bytes()]);
    assert_eq!(known.irregular, 4);
    assert_eq!(known.usage, Some(usage([0, 0, 0, 0, 7, 0, 0])));
    assert!(known.terminal);
    let page = read(
        Surface::OpenaiChat,
        Framing::Json,
        &[b"<html>502 Bad Gateway</html>"],
    );
    assert_eq!(
        (page.irregular, page.terminal, page.usage),
        (1, false, None)
    );
}

#[test]
fn an_event_without_its_blank_line_counts() {
    let stream = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}";
    for end in ["", "\n", "\r\n"] {
        check_usage(
            Surface::OpenaiChat,
            Framing::Sse,
            &format!("{stream}{end}"),
            Some([1, 0, 0, 0, 2, 0, 0]),
        );
    }
}

#[test]
fn data_in_several_lines_is_one_event() {
    let stream = "data: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":1,\ndata:\"completion_tokens\":2}}\n\n";
    check_usage(
        Surface::OpenaiChat,
        Framing::Sse,
        stream,
        Some([1, 0, 0, 0, 2, 0, 0]),
    );
}

#[test]
fn counting_tokens_uses_none() {
    check_usage(
        Surface::AnthropicCountTokens,
        Framing::Json,
        r#"{"input_tokens":14}"#,
        None,
    );
    check_usage(
        Surface::GeminiCountTokens,
        Framing::Json,
        r#"{"totalTokens":14}"#,
        None,
    );
}

#[test]
fn whole_numbers_are_read_as_written() {
    for (written, want) in [
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("100.0", Some(100)),
        ("1e3", Some(1000)),
        ("-0", Some(0)),
        ("-1", None),
        ("1.5", None),
        ("1e300", None),
        ("", None),
        ("NaN", None),
        ("ten", None),
    ] {
        assert_eq!(whole_number(written), want, "{written}");
    }
}

/// Every stream fixture with its surface and framing.
fn fixtures() -> Vec<(Surface, Framing, String)> {
    vec![
        (Surface::AnthropicMessages, Framing::Sse, anthropic_stream()),
        (Surface::OpenaiChat, Framing::Sse, chat_stream()),
        (
            Surface::OpenaiChat,
            Framing::Sse,
            chat_stream().replace('\n', "\r\n"),
        ),
        (
            Surface::GeminiGenerate,
            Framing::Sse,
            chunks(&GEMINI_CHUNKS),
        ),
        (
            Surface::GeminiGenerate,
            Framing::JsonArray,
            format!("[{}]", GEMINI_CHUNKS.join(",")),
        ),
    ]
}

proptest! {
    #[test]
    fn chunking_never_changes_what_is_known(
        fixture: prop::sample::Index,
        end: prop::sample::Index,
        flaw: Option<(prop::sample::Index, u8)>,
        cuts: Vec<prop::sample::Index>,
    ) {
        let fixtures = fixtures();
        let (surface, framing, body) = fixture.get(&fixtures);
        let mut body = body.clone().into_bytes();
        body.truncate(end.index(body.len() + 1));
        if let Some((at, byte)) = flaw && !body.is_empty() {
            let at = at.index(body.len());
            body[at] = byte;
        }
        prop_assert_eq!(
            read(*surface, *framing, &cut(&body, &cuts)),
            read(*surface, *framing, &[&body]),
        );
    }
}

/// What is kept of an answer, read in pieces of every length.
#[track_caller]
fn items(surface: Surface, framing: Framing, body: &str) -> Vec<String> {
    let read = |length: usize| {
        let mut reader = UsageReader::new(surface, framing);
        for chunk in body.as_bytes().chunks(length) {
            reader.push(chunk);
        }
        reader.finish();
        reader.item_ids().to_vec()
    };
    let whole = read(body.len());
    let lengths = if body.len() < 4_096 {
        1..body.len()
    } else {
        1_000..1_003
    };
    for length in lengths {
        assert_eq!(read(length), whole, "in pieces of {length}");
    }
    whole
}

#[test]
fn items_are_known_by_their_ids_each_once() {
    let stream = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"output\":[]}}\n\n\
        data: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[]}}\n\n\
        data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[]}}\n\n\
        data: {\"type\":\"response.output_item.added\",\"output_index\":1,\"item\":{\"type\":\"message\",\"content\":[{\"id\":\"part_1\"}],\"id\":\"msg_\\u0031\"}}\n\n\
        data: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_9\",\"delta\":\"{\\\"id\\\":\\\"x\\\"}\"}\n\n\
        data: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"output\":[{\"id\":\"rs_1\",\"type\":\"reasoning\"},{\"id\":\"msg_1\",\"type\":\"message\"},{\"id\":\"ig_1\",\"type\":\"image_generation_call\"}]}}\n\n";
    let whole = r#"{"id":"resp_1","output":[{"id":"rs_1","type":"reasoning","summary":[{"id":"x"}]},{"type":"message","content":[{"id":"y","text":"z"}],"id":"msg_1"},{"id":null},{"id":""},{"id":7},"text",{"id":"msg_1"},{"id":"fc_1","type":"function_call","arguments":"{\"id\":\"q\"}"}],"item_id":"z"}"#;
    for (surface, framing, body, want) in [
        (
            Surface::OpenaiResponses,
            Framing::Sse,
            stream,
            &["rs_1", "msg_1", "ig_1"][..],
        ),
        (
            Surface::OpenaiResponses,
            Framing::Json,
            whole,
            &["rs_1", "msg_1", "fc_1"],
        ),
        (Surface::OpenaiChat, Framing::Sse, stream, &[]),
        (Surface::OpenaiChat, Framing::Json, whole, &[]),
        (Surface::AnthropicMessages, Framing::Json, whole, &[]),
    ] {
        assert_eq!(
            items(surface, framing, body),
            want,
            "{surface:?} {framing:?}"
        );
    }
}

/// Neither an answer of many items nor long ids make more be kept; what no request can name is nothing to keep.
#[test]
fn what_is_kept_of_items_is_bounded() {
    let longest = "x".repeat(crate::request::MAX_ID_BYTES);
    let ids = [format!("{longest}y"), longest.clone()].into_iter();
    let ids = ids.chain((0..2 * MAX_ITEMS).map(|number| format!("msg_{number}")));
    let list: Vec<_> = ids.map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    let body = format!(r#"{{"output":[{}]}}"#, list.join(","));
    let kept = items(Surface::OpenaiResponses, Framing::Json, &body);
    assert_eq!((kept.len(), &kept[0]), (MAX_ITEMS, &longest));
    assert_eq!(kept[MAX_ITEMS - 1], format!("msg_{}", MAX_ITEMS - 2));
}

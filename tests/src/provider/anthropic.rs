//! Answers of the Anthropic Messages API.

use serde_json::{Value, json};

use super::answer::Answer;
use crate::tokens::Tokens;

/// A whole message.
pub fn message(model: &str, text: &str, tokens: Tokens) -> Value {
    json!({
        "id": "msg_01Scripted", "type": "message", "role": "assistant", "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": whole_usage(tokens),
    })
}

/// An error body.
pub fn error(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"})
}

/// A stream that says `text`, one delta a word.
pub fn stream(model: &str, text: &str, tokens: Tokens) -> Vec<String> {
    let mut events = vec![
        start(model, tokens),
        event(
            "content_block_start",
            json!({"index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
        event("ping", json!({})),
    ];
    for word in text.split_inclusive(' ') {
        let delta = json!({"type": "text_delta", "text": word});
        events.push(event(
            "content_block_delta",
            json!({"index": 0, "delta": delta}),
        ));
    }
    events.push(event("content_block_stop", json!({"index": 0})));
    events.extend(end("end_turn", tokens));
    events
}

/// A stream that calls a tool, the arguments in pieces of `piece` bytes.
pub fn tool_stream(
    model: &str,
    tool: &str,
    arguments: &Value,
    piece: usize,
    tokens: Tokens,
) -> Vec<String> {
    let block = json!({"type": "tool_use", "id": "toolu_01Scripted", "name": tool, "input": {}});
    let mut events = vec![
        start(model, tokens),
        event(
            "content_block_start",
            json!({"index": 0, "content_block": block}),
        ),
    ];
    let arguments = arguments.to_string();
    let characters: Vec<char> = arguments.chars().collect();
    for part in characters.chunks(piece) {
        let delta =
            json!({"type": "input_json_delta", "partial_json": part.iter().collect::<String>()});
        events.push(event(
            "content_block_delta",
            json!({"index": 0, "delta": delta}),
        ));
    }
    events.push(event("content_block_stop", json!({"index": 0})));
    events.extend(end("tool_use", tokens));
    events
}

/// The answer of `count_tokens`.
pub fn count(input_tokens: u64) -> Answer {
    Answer::json(200, &json!({"input_tokens": input_tokens}))
}

/// The answer of `models`.
pub fn models(ids: &[&str]) -> Answer {
    let data: Vec<Value> = ids
        .iter()
        .map(|id| json!({"type": "model", "id": id, "display_name": id, "created_at": "2025-01-01T00:00:00Z"}))
        .collect();
    Answer::json(
        200,
        &json!({"data": data, "has_more": false, "first_id": ids.first(), "last_id": ids.last()}),
    )
}

/// One event of a stream.
pub fn event(name: &str, mut fields: Value) -> String {
    fields["type"] = json!(name);
    format!("event: {name}\ndata: {fields}\n\n")
}

fn start(model: &str, tokens: Tokens) -> String {
    let mut usage = whole_usage(tokens);
    usage["output_tokens"] = json!(1);
    let message = json!({
        "id": "msg_01Scripted", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    });
    event("message_start", json!({"message": message}))
}

fn end(reason: &str, tokens: Tokens) -> [String; 2] {
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    [
        event(
            "message_delta",
            json!({"delta": delta, "usage": {"output_tokens": tokens.output}}),
        ),
        event("message_stop", json!({})),
    ]
}

/// Usage as the provider spells it: `input_tokens` excludes what touched the cache.
fn whole_usage(tokens: Tokens) -> Value {
    let mut usage = json!({
        "input_tokens": tokens.input,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation_input_tokens": tokens.cache_write_5m + tokens.cache_write_1h,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write_5m,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
        "output_tokens": tokens.output,
        "service_tier": "standard",
    });
    if tokens.web_searches > 0 {
        usage["server_tool_use"] = json!({"web_search_requests": tokens.web_searches});
    }
    usage
}

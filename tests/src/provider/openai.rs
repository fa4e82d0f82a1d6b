//! Answers of the OpenAI API: chat completions, responses, embeddings, models.

use serde_json::{Value, json};

use super::answer::Answer;
use crate::tokens::Tokens;

/// A whole chat completion.
pub fn chat(model: &str, text: &str, tokens: Tokens) -> Value {
    json!({
        "id": "chatcmpl-scripted", "object": "chat.completion", "created": 1_750_000_000, "model": model,
        "choices": [{
            "index": 0, "message": {"role": "assistant", "content": text, "refusal": null}, "finish_reason": "stop",
        }],
        "usage": chat_usage(tokens),
    })
}

/// A chat stream that says `text`; the usage event comes only where it was asked for.
pub fn chat_stream(model: &str, text: &str, tokens: Option<Tokens>) -> Vec<String> {
    let asked = tokens.is_some();
    let mut events = vec![chunk(
        model,
        json!({"role": "assistant", "content": ""}),
        Value::Null,
        asked,
    )];
    for word in text.split_inclusive(' ') {
        events.push(chunk(model, json!({"content": word}), Value::Null, asked));
    }
    events.push(chunk(model, json!({}), json!("stop"), asked));
    if let Some(tokens) = tokens {
        events.push(chat_usage_event(model, tokens));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// The extra event of a chat stream that carries the usage.
pub fn chat_usage_event(model: &str, tokens: Tokens) -> String {
    let mut event = chunk_object(model);
    event["choices"] = json!([]);
    event["usage"] = chat_usage(tokens);
    data(&event)
}

fn chunk(model: &str, delta: Value, finish: Value, asked: bool) -> String {
    let mut event = chunk_object(model);
    event["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
    if asked {
        event["usage"] = Value::Null;
    }
    data(&event)
}

fn chunk_object(model: &str) -> Value {
    json!({"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1_750_000_000, "model": model})
}

fn data(event: &Value) -> String {
    format!("data: {event}\n\n")
}

/// Usage as the provider spells it: `prompt_tokens` includes what came from the cache.
fn chat_usage(tokens: Tokens) -> Value {
    let prompt = tokens.input + tokens.cache_read;
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": tokens.output,
        "total_tokens": prompt + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning, "audio_tokens": 0},
    })
}

/// A whole response.
pub fn response(model: &str, text: &str, tokens: Tokens) -> Value {
    finished(model, vec![message_item(text)], tokens)
}

/// A response stream that says `text`.
pub fn response_stream(model: &str, text: &str, tokens: Tokens) -> Vec<String> {
    let item = message_item(text);
    let mut open = item.clone();
    open["status"] = json!("in_progress");
    open["content"] = json!([]);
    let place = json!({"item_id": "msg_scripted", "output_index": 0, "content_index": 0});
    let mut script = opening(model);
    script.push((
        "response.output_item.added",
        json!({"output_index": 0, "item": open}),
    ));
    script.push((
        "response.content_part.added",
        with(&place, "part", part("")),
    ));
    for word in text.split_inclusive(' ') {
        script.push((
            "response.output_text.delta",
            with(&place, "delta", json!(word)),
        ));
    }
    script.push((
        "response.output_text.done",
        with(&place, "text", json!(text)),
    ));
    script.push((
        "response.content_part.done",
        with(&place, "part", part(text)),
    ));
    script.push((
        "response.output_item.done",
        json!({"output_index": 0, "item": item}),
    ));
    script.push((
        "response.completed",
        json!({"response": finished(model, vec![item], tokens)}),
    ));
    numbered(script)
}

/// A response stream whose only output is `item` (a `function_call`, a `custom_tool_call`…).
pub fn item_stream(model: &str, item: &Value, tokens: Tokens) -> Vec<String> {
    let mut open = item.clone();
    open["status"] = json!("in_progress");
    let mut script = opening(model);
    script.push((
        "response.output_item.added",
        json!({"output_index": 0, "item": open}),
    ));
    if let Some(arguments) = item["arguments"].as_str() {
        let place = json!({"item_id": item["id"], "output_index": 0});
        for piece in arguments.as_bytes().chunks(7) {
            let piece = String::from_utf8_lossy(piece);
            script.push((
                "response.function_call_arguments.delta",
                with(&place, "delta", json!(piece)),
            ));
        }
        script.push((
            "response.function_call_arguments.done",
            with(&place, "arguments", json!(arguments)),
        ));
    }
    script.push((
        "response.output_item.done",
        json!({"output_index": 0, "item": item}),
    ));
    script.push((
        "response.completed",
        json!({"response": finished(model, vec![item.clone()], tokens)}),
    ));
    numbered(script)
}

fn opening(model: &str) -> Vec<(&'static str, Value)> {
    let mut created = finished(model, Vec::new(), Tokens::default());
    created["status"] = json!("in_progress");
    created["usage"] = Value::Null;
    vec![
        ("response.created", json!({"response": created})),
        ("response.in_progress", json!({"response": created})),
    ]
}

fn numbered(script: Vec<(&str, Value)>) -> Vec<String> {
    let number = |(number, (name, mut fields)): (usize, (&str, Value))| {
        fields["type"] = json!(name);
        fields["sequence_number"] = json!(number);
        format!("event: {name}\ndata: {fields}\n\n")
    };
    script.into_iter().enumerate().map(number).collect()
}

fn with(base: &Value, field: &str, value: Value) -> Value {
    let mut event = base.clone();
    event[field] = value;
    event
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

fn message_item(text: &str) -> Value {
    json!({
        "id": "msg_scripted", "type": "message", "status": "completed", "role": "assistant", "content": [part(text)],
    })
}

fn finished(model: &str, output: Vec<Value>, tokens: Tokens) -> Value {
    let input = tokens.input + tokens.cache_read;
    json!({
        "id": "resp_scripted", "object": "response", "created_at": 1_750_000_000, "status": "completed",
        "error": null, "incomplete_details": null, "instructions": null, "model": model, "output": output,
        "parallel_tool_calls": true, "previous_response_id": null, "store": false, "tool_choice": "auto", "tools": [],
        "usage": {
            "input_tokens": input,
            "input_tokens_details": {"cached_tokens": tokens.cache_read},
            "output_tokens": tokens.output,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": input + tokens.output,
        },
        "metadata": {},
    })
}

/// An error body.
pub fn error(message: &str, kind: &str, code: Option<&str>) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// The answer of `embeddings`.
pub fn embeddings(model: &str, input_tokens: u64) -> Answer {
    let body = json!({
        "object": "list", "model": model,
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 0.125]}],
        "usage": {"prompt_tokens": input_tokens, "total_tokens": input_tokens},
    });
    Answer::json(200, &body)
}

/// The answer of `models`.
pub fn models(ids: &[&str]) -> Answer {
    let data: Vec<Value> = ids
        .iter()
        .map(|id| json!({"id": id, "object": "model", "created": 0, "owned_by": "scripted"}))
        .collect();
    Answer::json(200, &json!({"object": "list", "data": data}))
}

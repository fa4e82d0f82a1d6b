//! OpenAI Chat Completions, Responses and Embeddings.

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Asked, OPENAI_MODEL, event, event_stream, id, pieces, tokens};
use crate::clock;

/// Numbers in a demo embedding, unless the request names a count.
const DIMENSIONS: usize = 8;
const MOST_DIMENSIONS: usize = 4096;

pub(super) fn router() -> Router {
    Router::new()
        .route("/chat/completions", post(chat))
        .route("/responses", post(responses))
        .route("/embeddings", post(embeddings))
        .route("/models", get(models))
}

async fn chat(body: Bytes) -> Response {
    let (asked, model) = match asked(&body) {
        Ok(read) => read,
        Err(refusal) => return *refusal,
    };
    let text = asked.answer(&model);
    let usage = chat_usage(asked.input_tokens, tokens(text.len()));
    if asked.streams() {
        let include = asked
            .body
            .pointer("/stream_options/include_usage")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        return event_stream(chat_frames(&model, &text, include.then_some(usage)));
    }
    let message = json!({"role": "assistant", "content": text, "refusal": null});
    let body = json!({
        "id": id("chatcmpl"),
        "object": "chat.completion",
        "created": seconds(),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"}],
        "usage": usage,
    });
    super::json(StatusCode::OK, &body)
}

fn chat_frames(model: &str, text: &str, usage: Option<Value>) -> Vec<String> {
    let id = id("chatcmpl");
    let created = seconds();
    let asks_usage = usage.is_some();
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "choices": choices,
        });
        if let Some(fields) = chunk.as_object_mut().filter(|_| asks_usage) {
            fields.insert("usage".to_owned(), usage);
        }
        event("", &chunk)
    };
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
    let mut frames = vec![chunk(
        choice(json!({"role": "assistant", "content": ""}), Value::Null),
        Value::Null,
    )];
    frames.extend(
        pieces(text)
            .map(|piece| chunk(choice(json!({"content": piece}), Value::Null), Value::Null)),
    );
    frames.push(chunk(choice(json!({}), json!("stop")), Value::Null));
    if let Some(usage) = usage {
        frames.push(chunk(json!([]), usage));
    }
    frames.push("data: [DONE]\n\n".to_owned());
    frames
}

fn chat_usage(input: u64, output: u64) -> Value {
    json!({
        "prompt_tokens": input,
        "completion_tokens": output,
        "total_tokens": input.saturating_add(output),
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    })
}

async fn responses(body: Bytes) -> Response {
    let (asked, model) = match asked(&body) {
        Ok(read) => read,
        Err(refusal) => return *refusal,
    };
    let text = asked.answer(&model);
    let item = json!({
        "id": id("msg"),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    });
    let output = tokens(text.len());
    let usage = json!({
        "input_tokens": asked.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked.input_tokens.saturating_add(output),
    });
    let id = id("resp");
    let created = seconds();
    let response = |status: &str, output: Value, usage: Value| {
        json!({
            "id": id,
            "object": "response",
            "created_at": created,
            "status": status,
            "error": null,
            "incomplete_details": null,
            "model": model,
            "output": output,
            "parallel_tool_calls": true,
            "tool_choice": "auto",
            "tools": [],
            "usage": usage,
        })
    };
    let completed = response("completed", json!([item]), usage);
    if !asked.streams() {
        return super::json(StatusCode::OK, &completed);
    }
    event_stream(response_frames(
        &text,
        &item,
        &response("in_progress", json!([]), Value::Null),
        &completed,
    ))
}

fn response_frames(text: &str, item: &Value, begun: &Value, completed: &Value) -> Vec<String> {
    let item_id = item.get("id").cloned().unwrap_or_default();
    let place = |mut fields: Value| {
        if let Some(fields) = fields.as_object_mut() {
            fields.extend([
                ("item_id".to_owned(), item_id.clone()),
                ("output_index".to_owned(), json!(0)),
                ("content_index".to_owned(), json!(0)),
            ]);
        }
        fields
    };
    let empty = json!({"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []});
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let mut events = vec![
        ("response.created", json!({"response": begun})),
        ("response.in_progress", json!({"response": begun})),
        (
            "response.output_item.added",
            json!({"output_index": 0, "item": empty}),
        ),
        (
            "response.content_part.added",
            place(json!({"part": part("")})),
        ),
    ];
    events.extend(
        pieces(text).map(|piece| ("response.output_text.delta", place(json!({"delta": piece})))),
    );
    events.extend([
        ("response.output_text.done", place(json!({"text": text}))),
        (
            "response.content_part.done",
            place(json!({"part": part(text)})),
        ),
        (
            "response.output_item.done",
            json!({"output_index": 0, "item": item}),
        ),
        ("response.completed", json!({"response": completed})),
    ]);
    let numbered = events
        .into_iter()
        .enumerate()
        .map(|(number, (name, mut payload))| {
            if let Some(fields) = payload.as_object_mut() {
                fields.insert("type".to_owned(), json!(name));
                fields.insert("sequence_number".to_owned(), json!(number));
            }
            event(name, &payload)
        });
    numbered.collect()
}

async fn embeddings(body: Bytes) -> Response {
    let (asked, model) = match asked(&body) {
        Ok(read) => read,
        Err(refusal) => return *refusal,
    };
    let dimensions = asked
        .body
        .get("dimensions")
        .and_then(Value::as_u64)
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(DIMENSIONS)
        .clamp(1, MOST_DIMENSIONS);
    let texts: Vec<String> = match asked.body.get("input") {
        Some(Value::Array(texts)) if !texts.iter().all(Value::is_number) => {
            texts.iter().map(ToString::to_string).collect()
        }
        Some(one) => vec![one.to_string()],
        None => return invalid("you must provide an input", "input"),
    };
    let as_base64 = asked.body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let numbers = embedding(text, dimensions);
            let embedding = if as_base64 {
                let bytes: Vec<u8> = numbers
                    .iter()
                    .flat_map(|number| number.to_le_bytes())
                    .collect();
                json!(STANDARD.encode(bytes))
            } else {
                json!(numbers)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let usage = json!({"prompt_tokens": asked.input_tokens, "total_tokens": asked.input_tokens});
    super::json(
        StatusCode::OK,
        &json!({"object": "list", "data": data, "model": model, "usage": usage}),
    )
}

/// Numbers between 0 and 1 that depend on the text; nothing more is meant by them.
fn embedding(text: &str, dimensions: usize) -> Vec<f32> {
    (0..dimensions)
        .map(|place| {
            let sum = text
                .bytes()
                .skip(place)
                .step_by(dimensions)
                .fold(0_u8, |sum, byte| sum.rotate_left(3) ^ byte);
            f32::from(sum) / 255.0
        })
        .collect()
}

async fn models() -> Response {
    let model = json!({"id": OPENAI_MODEL, "object": "model", "created": 1_767_225_600, "owned_by": "weir"});
    super::json(StatusCode::OK, &json!({"object": "list", "data": [model]}))
}

/// Reads body and model, or makes the answer that refuses them.
fn asked(body: &Bytes) -> Result<(Asked, String), Box<Response>> {
    let asked =
        Asked::read(body).ok_or_else(|| Box::new(invalid("the body is not a JSON object", "")))?;
    match asked.model().map(str::to_owned) {
        Some(model) => Ok((asked, model)),
        None => Err(Box::new(invalid(
            "you must provide a model parameter",
            "model",
        ))),
    }
}

fn invalid(message: &str, param: &str) -> Response {
    let param = if param.is_empty() {
        Value::Null
    } else {
        json!(param)
    };
    let error =
        json!({"message": message, "type": "invalid_request_error", "param": param, "code": null});
    super::json(StatusCode::BAD_REQUEST, &json!({"error": error}))
}

fn seconds() -> u64 {
    clock::now().as_millis() / 1000
}

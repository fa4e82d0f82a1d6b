//! Anthropic Messages.

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::{ANTHROPIC_MODEL, Asked, event, event_stream, id, pieces, tokens};

pub(super) fn router() -> Router {
    Router::new()
        .route("/v1/messages", post(messages))
        .route("/v1/messages/count_tokens", post(count_tokens))
        .route("/v1/models", get(models))
}

async fn messages(body: Bytes) -> Response {
    let Some(asked) = Asked::read(&body) else {
        return invalid("the body is not a JSON object");
    };
    let Some(model) = asked.model() else {
        return invalid("model: Field required");
    };
    let text = asked.answer(model);
    let output = tokens(text.len());
    if asked.streams() {
        return event_stream(frames(model, &text, asked.input_tokens, output));
    }
    let mut message = message(model, asked.input_tokens, output);
    if let Some(fields) = message.as_object_mut() {
        fields.insert(
            "content".to_owned(),
            json!([{"type": "text", "text": text}]),
        );
        fields.insert("stop_reason".to_owned(), json!("end_turn"));
    }
    super::json(StatusCode::OK, &message)
}

async fn count_tokens(body: Bytes) -> Response {
    match Asked::read(&body) {
        Some(asked) => super::json(StatusCode::OK, &json!({"input_tokens": asked.input_tokens})),
        None => invalid("the body is not a JSON object"),
    }
}

async fn models() -> Response {
    let model = json!({
        "type": "model",
        "id": ANTHROPIC_MODEL,
        "display_name": "Weir demo",
        "created_at": "2026-01-01T00:00:00Z",
    });
    let page = json!({"data": [model], "has_more": false, "first_id": ANTHROPIC_MODEL, "last_id": ANTHROPIC_MODEL});
    super::json(StatusCode::OK, &page)
}

fn message(model: &str, input: u64, output: u64) -> Value {
    json!({
        "id": id("msg"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {
            "input_tokens": input,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output,
        },
    })
}

fn frames(model: &str, text: &str, input: u64, output: u64) -> Vec<String> {
    let block = json!({"type": "text", "text": ""});
    let mut frames = vec![
        event(
            "message_start",
            &json!({"type": "message_start", "message": message(model, input, 1)}),
        ),
        event(
            "content_block_start",
            &json!({"type": "content_block_start", "index": 0, "content_block": block}),
        ),
        event("ping", &json!({"type": "ping"})),
    ];
    frames.extend(pieces(text).map(|piece| {
        let delta = json!({"type": "text_delta", "text": piece});
        event(
            "content_block_delta",
            &json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        )
    }));
    let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
    frames.extend([
        event(
            "content_block_stop",
            &json!({"type": "content_block_stop", "index": 0}),
        ),
        event(
            "message_delta",
            &json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": output}}),
        ),
        event("message_stop", &json!({"type": "message_stop"})),
    ]);
    frames
}

fn invalid(message: &str) -> Response {
    let error = json!({"type": "invalid_request_error", "message": message});
    super::json(
        StatusCode::BAD_REQUEST,
        &json!({"type": "error", "error": error}),
    )
}

//! Gemini.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, GEMINI_MODEL, event, event_stream, id, pieces, stream, tokens};

pub(super) fn router() -> Router {
    let mut router = Router::new();
    for version in ["/v1beta", "/v1"] {
        router = router
            .route(&format!("{version}/models"), get(models))
            .route(&format!("{version}/models/{{call}}"), post(call));
    }
    router
}

#[derive(Debug, Deserialize)]
struct Parameters {
    alt: Option<String>,
}

/// `MODEL:METHOD` is one path segment in this API.
async fn call(
    Path(call): Path<String>,
    Query(parameters): Query<Parameters>,
    body: Bytes,
) -> Response {
    let Some((model, method)) = call.split_once(':') else {
        return error(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "a model call ends in `:METHOD`",
        );
    };
    let Some(asked) = Asked::read(&body) else {
        return error(
            StatusCode::BAD_REQUEST,
            "INVALID_ARGUMENT",
            "the body is not a JSON object",
        );
    };
    match method {
        "generateContent" => super::json(StatusCode::OK, &whole(model, &asked)),
        "streamGenerateContent" => {
            let chunks = chunks(model, &asked);
            if parameters.alt.as_deref() == Some("sse") {
                return event_stream(chunks.iter().map(|chunk| event("", chunk)).collect());
            }
            stream("application/json", as_array(&chunks))
        }
        "countTokens" => super::json(StatusCode::OK, &json!({"totalTokens": asked.input_tokens})),
        "embedContent" => {
            let values = [0.25, 0.5, 0.75, 1.0];
            super::json(StatusCode::OK, &json!({"embedding": {"values": values}}))
        }
        other => error(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            &format!("the demo provider has no method `{other}`"),
        ),
    }
}

async fn models() -> Response {
    let model = json!({
        "name": format!("models/{GEMINI_MODEL}"),
        "displayName": "Weir demo",
        "inputTokenLimit": 1_000_000,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens", "embedContent"],
    });
    super::json(StatusCode::OK, &json!({"models": [model]}))
}

fn whole(model: &str, asked: &Asked) -> Value {
    let text = asked.answer(model);
    response(
        model,
        &id("demo"),
        &text,
        json!("STOP"),
        asked.input_tokens,
        tokens(text.len()),
    )
}

fn chunks(model: &str, asked: &Asked) -> Vec<Value> {
    let text = asked.answer(model);
    let id = id("demo");
    let pieces: Vec<&str> = pieces(&text).collect();
    let last = pieces.len().saturating_sub(1);
    let mut sent = 0;
    pieces
        .iter()
        .enumerate()
        .map(|(index, piece)| {
            sent += piece.len();
            let finish = if index == last {
                json!("STOP")
            } else {
                Value::Null
            };
            response(model, &id, piece, finish, asked.input_tokens, tokens(sent))
        })
        .collect()
}

/// Without `alt=sse` a stream is one JSON array, written piece by piece.
fn as_array(chunks: &[Value]) -> Vec<String> {
    let first = std::iter::once("[");
    let mut frames: Vec<String> = chunks
        .iter()
        .zip(first.chain(std::iter::repeat(",\r\n")))
        .map(|(chunk, lead)| format!("{lead}{chunk}"))
        .collect();
    frames.push("]".to_owned());
    frames
}

fn response(model: &str, id: &str, text: &str, finish: Value, input: u64, output: u64) -> Value {
    let mut candidate =
        json!({"content": {"role": "model", "parts": [{"text": text}]}, "index": 0});
    if let Some(fields) = candidate.as_object_mut().filter(|_| !finish.is_null()) {
        fields.insert("finishReason".to_owned(), finish);
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": input,
            "candidatesTokenCount": output,
            "totalTokenCount": input.saturating_add(output),
        },
        "modelVersion": model,
        "responseId": id,
    })
}

fn error(status: StatusCode, name: &str, message: &str) -> Response {
    let error = json!({"code": status.as_u16(), "message": message, "status": name});
    super::json(status, &json!({"error": error}))
}

//! The built-in demo provider: answers in three dialects without any model behind it, so that a mesh can be
//! tried before anyone has a provider's key.
//!
//! It checks no credential and stores nothing; it listens on loopback only. Answers are fixed sentences, usage
//! is counted from bytes.

mod anthropic;
mod gemini;
mod openai;
mod structured;

use std::convert::Infallible;
use std::future::Future;
use std::io;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::net::TcpListener;

/// Largest body that is read; agents send a few megabytes.
const BODY_CAP_BYTES: usize = 64 * 1024 * 1024;

/// Model names that the demo providers list; they answer to any other name too.
pub const ANTHROPIC_MODEL: &str = "demo-claude";
/// See [`ANTHROPIC_MODEL`].
pub const OPENAI_MODEL: &str = "demo-gpt";
/// See [`ANTHROPIC_MODEL`].
pub const GEMINI_MODEL: &str = "demo-gemini";

/// Answers on `listener` until `shutdown` completes.
///
/// # Errors
/// When connections cannot be accepted any more.
pub async fn serve(
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router())
        .with_graceful_shutdown(shutdown)
        .await
}

/// The three APIs, each under a prefix: `/anthropic`, `/openai/v1`, `/gemini`.
pub fn router() -> Router {
    Router::new()
        .nest("/anthropic", anthropic::router())
        .nest("/openai/v1", openai::router())
        .nest("/gemini", gemini::router())
        .layer(DefaultBodyLimit::max(BODY_CAP_BYTES))
}

/// What a request asked, as far as the demo cares.
#[derive(Debug)]
struct Asked {
    body: Value,
    input_tokens: u64,
}

impl Asked {
    /// Reads a body; `None` when it is not a JSON object.
    fn read(bytes: &Bytes) -> Option<Self> {
        let body: Value = serde_json::from_slice(bytes).ok()?;
        body.is_object().then(|| Self {
            body,
            input_tokens: tokens(bytes.len()),
        })
    }

    fn model(&self) -> Option<&str> {
        self.body.get("model")?.as_str()
    }

    /// The answer, as JSON where the request asks for that.
    fn answer(&self, model: &str) -> String {
        match self.schema() {
            Some(schema) => structured::example(schema).to_string(),
            None => answer(model),
        }
    }

    /// The schema that the answer has to fit, wherever the three APIs put it.
    fn schema(&self) -> Option<&Value> {
        const PLACES: [&str; 6] = [
            "/generationConfig/responseJsonSchema",
            "/generationConfig/responseSchema",
            "/response_format/json_schema/schema",
            "/text/format/schema",
            "/output_config/format/schema",
            "/output_format/schema",
        ];
        PLACES.iter().find_map(|place| self.body.pointer(place))
    }

    fn streams(&self) -> bool {
        self.body
            .get("stream")
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }
}

/// About four bytes a token, at least one.
fn tokens(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX).max(1)
}

/// The answer to everything.
fn answer(model: &str) -> String {
    format!(
        "This is Weir's built-in demo provider, answering as `{model}`. Your request was authenticated, governed and \
         recorded on its way here. To reach a real model, stop `weir up`, set ANTHROPIC_API_KEY, OPENAI_API_KEY or \
         GEMINI_API_KEY, and start it again."
    )
}

/// Cuts `text` after each space, as a model streams it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

fn id(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::new_v4().simple())
}

fn json(status: StatusCode, body: &Value) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

/// One event of an event stream; `name` may be empty.
fn event(name: &str, payload: &Value) -> String {
    if name.is_empty() {
        format!("data: {payload}\n\n")
    } else {
        format!("event: {name}\ndata: {payload}\n\n")
    }
}

/// A response whose body is `frames`, each written on its own.
fn stream(content_type: &'static str, frames: Vec<String>) -> Response {
    let frames = frames
        .into_iter()
        .map(|frame| Ok::<_, Infallible>(Bytes::from(frame)));
    let body = Body::from_stream(futures_util::stream::iter(frames));
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

fn event_stream(frames: Vec<String>) -> Response {
    stream("text/event-stream", frames)
}

#[cfg(test)]
mod tests;

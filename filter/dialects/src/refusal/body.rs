//! Error objects of the three dialects.

use policy::surface::Dialect;
use serde_json::{Value, json};

use super::code::{Kind, RefusalCode};

/// What a body says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub code: RefusalCode,
    /// The status that is sent, which need not be the code's own.
    pub status: u16,
    pub text: &'a str,
    pub wait_secs: Option<u32>,
}

/// The code whose message Codex shows verbatim, and after which it stops.
pub(super) const CODEX_STOPS_AT: &str = "invalid_prompt";

/// Returns the dialect's error object.
pub(super) fn error(dialect: Dialect, said: Said<'_>) -> Vec<u8> {
    match dialect {
        Dialect::Anthropic => anthropic(said),
        Dialect::Openai => {
            let (kind, code) = openai_words(said.code);
            openai(said, kind, code)
        }
        Dialect::Gemini => gemini(said),
    }
    .to_string()
    .into_bytes()
}

/// Returns OpenAI's error object with the code that stops Codex.
pub(super) fn codex_stop(said: Said<'_>) -> Vec<u8> {
    openai(said, "invalid_request_error", CODEX_STOPS_AT)
        .to_string()
        .into_bytes()
}

/// Returns a Responses stream that failed before it began.
pub(super) fn codex_failed_stream(said: Said<'_>) -> Vec<u8> {
    let event = json!({
        "type": "response.failed",
        "sequence_number": 0,
        "response": {
            "id": "resp_weir_refused",
            "object": "response",
            "created_at": 0,
            "status": "failed",
            "error": {
                "code": "rate_limit_exceeded",
                "message": said.text,
                "weir_code": said.code.name(),
            },
            "incomplete_details": null,
            "output": [],
            "usage": null,
        },
    });
    format!("event: response.failed\ndata: {event}\n\n").into_bytes()
}

fn anthropic(said: Said<'_>) -> Value {
    json!({
        "type": "error",
        "error": {
            "type": anthropic_type(said.code, said.status),
            "message": said.text,
            "weir_code": said.code.name(),
        },
    })
}

fn openai(said: Said<'_>, kind: &str, code: &str) -> Value {
    json!({
        "error": {
            "message": said.text,
            "type": kind,
            "param": null,
            "code": code,
            "weir_code": said.code.name(),
        },
    })
}

fn gemini(said: Said<'_>) -> Value {
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": said.code.name().to_ascii_uppercase(),
        "domain": "weir",
        "metadata": { "weir_code": said.code.name() },
    })];
    if let Some(wait_secs) = said.wait_secs {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{wait_secs}s"),
        }));
    }
    json!({
        "error": {
            "code": said.status,
            "message": said.text,
            "status": gemini_status(said.code, said.status),
            "details": details,
        },
    })
}

/// A type that contradicts the status would be acted upon: Claude Code matches both.
fn anthropic_type(code: RefusalCode, status: u16) -> &'static str {
    if status != code.status() && matches!(status, 400 | 412) {
        return "invalid_request_error";
    }
    match code.row().kind {
        Kind::Credential => "authentication_error",
        Kind::Permission => "permission_error",
        Kind::Request | Kind::Content => "invalid_request_error",
        Kind::TooLarge => "request_too_large",
        Kind::Model | Kind::NotFound => "not_found_error",
        Kind::Budget => "billing_error",
        Kind::Rate => "rate_limit_error",
        Kind::Unavailable | Kind::Fault => "api_error",
        Kind::Timeout => "timeout_error",
    }
}

fn openai_words(code: RefusalCode) -> (&'static str, &'static str) {
    match code.row().kind {
        Kind::Credential => ("invalid_request_error", "invalid_api_key"),
        Kind::Permission | Kind::Request | Kind::TooLarge | Kind::NotFound => {
            ("invalid_request_error", code.name())
        }
        Kind::Model => ("invalid_request_error", "model_not_found"),
        Kind::Content => ("invalid_request_error", "content_policy_violation"),
        Kind::Budget => ("insufficient_quota", "insufficient_quota"),
        Kind::Rate => ("requests", "rate_limit_exceeded"),
        Kind::Unavailable | Kind::Timeout | Kind::Fault => ("server_error", code.name()),
    }
}

fn gemini_status(code: RefusalCode, status: u16) -> &'static str {
    if status != code.status() && status == 400 {
        return "INVALID_ARGUMENT";
    }
    match code.row().kind {
        Kind::Credential => "UNAUTHENTICATED",
        Kind::Permission => "PERMISSION_DENIED",
        Kind::Request | Kind::TooLarge | Kind::Content => "INVALID_ARGUMENT",
        Kind::Model | Kind::NotFound => "NOT_FOUND",
        Kind::Budget | Kind::Rate => "RESOURCE_EXHAUSTED",
        Kind::Unavailable => "UNAVAILABLE",
        Kind::Timeout => "DEADLINE_EXCEEDED",
        Kind::Fault => "INTERNAL",
    }
}

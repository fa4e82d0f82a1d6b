//! The status that makes each client stop, or wait, and show the text.

use policy::surface::{Dialect, Surface};

use super::Client;
use super::code::{Kind, RefusalCode};

/// Longest wait that clients sit out; above it they are told to stop.
pub(super) const PATIENCE_SECS: u32 = 60;

/// Gemini CLI gives up at once, with the text, when it is told to wait for more than five minutes.
const GEMINI_CLI_GIVES_UP_SECS: u32 = 301;

/// What the client is to do about the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    Stop,
    Wait,
}

/// How a refusal looks on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The dialect's error object.
    Json { status: u16 },
    /// The error object with the one code whose message Codex shows verbatim at once.
    CodexStop { status: u16 },
    /// A Responses stream that fails with a code that Codex repeats five times at most.
    CodexFailedStream,
}

/// Chooses the form for a client.
pub(super) fn form(
    surface: Surface,
    client: Client,
    streamed: bool,
    code: RefusalCode,
    reaction: Reaction,
) -> Form {
    let row = code.row();
    if is_protocol_answer(code) {
        return Form::Json { status: row.status };
    }
    match (client, reaction) {
        (Client::ClaudeCode, Reaction::Stop) => Form::Json {
            status: claude_code_stops(row.kind, row.status),
        },
        (Client::GeminiCli, Reaction::Stop) => Form::Json {
            status: gemini_cli_stops(row.kind),
        },
        (Client::OpenCode, Reaction::Stop) => Form::Json {
            status: opencode_stops(row.kind),
        },
        // Any other status is asked again five times, and a 5xx 29 times.
        (Client::Codex, Reaction::Stop) if surface.dialect() == Dialect::Openai => {
            Form::CodexStop { status: 400 }
        }
        (Client::Codex, Reaction::Stop) => Form::Json { status: 400 },
        // 429 is asked again five times at the pace of `retry-after`, but only the stream form keeps the text.
        (Client::Codex, Reaction::Wait) if streamed && surface == Surface::OpenaiResponses => {
            Form::CodexFailedStream
        }
        (Client::Codex, Reaction::Wait) => Form::Json { status: 429 },
        (Client::ClaudeCode | Client::GeminiCli | Client::OpenCode, Reaction::Wait)
        | (
            Client::AnthropicSdk | Client::OpenaiSdk | Client::GoogleGenai | Client::Other,
            Reaction::Stop | Reaction::Wait,
        ) => Form::Json { status: row.status },
    }
}

/// Raises a wait that Gemini CLI would sit out although it is to stop.
pub(super) fn told_wait(client: Client, kind: Kind, reaction: Reaction, wait_secs: u32) -> u32 {
    match (client, kind, reaction) {
        (Client::GeminiCli, Kind::Rate, Reaction::Stop) => wait_secs.max(GEMINI_CLI_GIVES_UP_SECS),
        (_, _, Reaction::Stop | Reaction::Wait) => wait_secs,
    }
}

/// Answers to how a request was addressed, whose status is the whole message.
fn is_protocol_answer(code: RefusalCode) -> bool {
    matches!(
        code,
        RefusalCode::WebsocketUnsupported | RefusalCode::MisdirectedHost
    )
}

/// Claude Code answers 400 and 422 with up to five more requests, each without one more of its
/// optional features; 404 with another request and words of its own; 413 with words of its own;
/// 403 with "Failed to authenticate" before the text.
fn claude_code_stops(kind: Kind, status: u16) -> u16 {
    match kind {
        Kind::Credential => 401,
        Kind::Budget => 402,
        Kind::Rate => 429,
        Kind::Unavailable | Kind::Timeout | Kind::Fault => status,
        Kind::Permission
        | Kind::Request
        | Kind::TooLarge
        | Kind::Model
        | Kind::NotFound
        | Kind::Content => 412,
    }
}

fn gemini_cli_stops(kind: Kind) -> u16 {
    match kind {
        Kind::Budget => 402,
        Kind::Rate => 429,
        Kind::Credential
        | Kind::Permission
        | Kind::Request
        | Kind::TooLarge
        | Kind::Model
        | Kind::NotFound
        | Kind::Content
        | Kind::Unavailable
        | Kind::Timeout
        | Kind::Fault => 400,
    }
}

fn opencode_stops(kind: Kind) -> u16 {
    match kind {
        Kind::Budget | Kind::Rate => 402,
        Kind::Credential
        | Kind::Permission
        | Kind::Request
        | Kind::TooLarge
        | Kind::Model
        | Kind::NotFound
        | Kind::Content
        | Kind::Unavailable
        | Kind::Timeout
        | Kind::Fault => 400,
    }
}

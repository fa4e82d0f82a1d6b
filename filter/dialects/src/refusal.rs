//! Refusals: the mesh's own error answers, in the dialect of the surface and the shape the client obeys.
//!
//! No one status makes every agent ask once, show the text and stop, so [`refuse`] chooses by client.
//! `x-weir-code` and the body carry the same [`RefusalCode`] whatever the status is.
//! `docs/errors.md` is written from the same table.

mod body;
mod client;
mod code;
#[cfg(test)]
mod docs;
mod proxy;
mod shape;
#[cfg(test)]
mod tests;

use policy::surface::{Dialect, Surface};

pub use client::Client;
pub use code::{RefusalCode, Retry};
pub use proxy::{Details, ProxyReply};

use body::Said;
use code::Kind;
use shape::{Form, Reaction};

/// A request that is not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule.
    pub code: RefusalCode,
    /// One or two sentences for the user: the rule and what to do. Without secrets and spend.
    pub message: String,
    /// When another try makes sense; `None` takes the code's own wait, if it has one.
    pub retry_after_secs: Option<u32>,
}

/// An answer of the mesh itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Header names in lowercase, with values.
    pub headers: Vec<(&'static str, String)>,
    /// The body, complete.
    pub body: Vec<u8>,
}

/// Shapes a refusal for the client that asked.
///
/// `streamed` says that the client asked for a stream as far as the request was read.
///
/// ```
/// use dialects::refusal::{Client, Refusal, RefusalCode, refuse};
/// use policy::surface::Surface;
///
/// let refusal = Refusal {
///     code: RefusalCode::KeyRevoked,
///     message: "The virtual key was revoked.".to_owned(),
///     retry_after_secs: None,
/// };
/// let reply = refuse(Surface::AnthropicMessages, Client::Other, true, &refusal);
/// assert_eq!(reply.status, 401);
/// assert!(reply.headers.contains(&("x-weir-code", "key_revoked".to_owned())));
/// ```
pub fn refuse(surface: Surface, client: Client, streamed: bool, refusal: &Refusal) -> Reply {
    let row = refusal.code.row();
    let (reaction, wait_secs) = reaction(refusal);
    let wait_secs = wait_secs.map(|secs| shape::told_wait(client, row.kind, reaction, secs));
    let text = text(surface.dialect(), row.kind, refusal);
    let said = |status| Said {
        code: refusal.code,
        status,
        text: &text,
        wait_secs,
    };
    let (status, content_type, body) =
        match shape::form(surface, client, streamed, refusal.code, reaction) {
            Form::Json { status } => (status, JSON, body::error(surface.dialect(), said(status))),
            Form::CodexStop { status } => (status, JSON, body::codex_stop(said(status))),
            Form::CodexFailedStream => {
                let text = with_wait(&text, wait_secs);
                (
                    200,
                    SSE,
                    body::codex_failed_stream(Said {
                        text: &text,
                        ..said(200)
                    }),
                )
            }
        };
    let mut headers = vec![
        ("content-type", content_type.to_owned()),
        ("x-weir-code", row.name.to_owned()),
    ];
    if let Some(secs) = wait_secs {
        headers.push(("retry-after", secs.to_string()));
    }
    if reaction == Reaction::Stop {
        headers.push(("x-should-retry", "false".to_owned()));
    }
    Reply {
        status,
        headers,
        body,
    }
}

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";

/// What the client is to do, and the wait it is told of.
fn reaction(refusal: &Refusal) -> (Reaction, Option<u32>) {
    match refusal.code.retry() {
        Retry::Terminal => (Reaction::Stop, refusal.retry_after_secs),
        Retry::After { default_secs } => {
            // Zero would be an invitation to hammer.
            let secs = refusal.retry_after_secs.unwrap_or(default_secs).max(1);
            let reaction = if secs > shape::PATIENCE_SECS {
                Reaction::Stop
            } else {
                Reaction::Wait
            };
            (reaction, Some(secs))
        }
    }
}

/// The text names the code, since most clients show nothing else of the answer.
fn text(dialect: Dialect, kind: Kind, refusal: &Refusal) -> String {
    const SPENT: &str = "spend limit reached";
    let message = refusal.message.trim_end();
    let name = refusal.code.name();
    // Claude Code tells money from throttling by these words, which Anthropic's own gateway uses.
    if dialect == Dialect::Anthropic && kind == Kind::Budget && !message.starts_with(SPENT) {
        return format!("{SPENT}: {message} (Weir: {name})");
    }
    format!("{message} (Weir: {name})")
}

/// Codex reads the wait from the words.
fn with_wait(text: &str, wait_secs: Option<u32>) -> String {
    match wait_secs {
        Some(secs) => format!("{text} Please try again in {secs}s."),
        None => text.to_owned(),
    }
}

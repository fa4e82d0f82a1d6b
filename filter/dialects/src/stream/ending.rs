//! Ends a stream before its provider does, with the events that every client takes for an ordinary end.

mod anthropic;
mod chat;
mod gemini;
mod responses;

use policy::surface::{Dialect, Surface};
use serde_json::Value;

use self::anthropic::Anthropic;
use self::chat::Chat;
use self::gemini::Gemini;
use self::responses::Responses;
use super::event::{Event, EventKind};
use super::frames::data_of;
use crate::response::{Framing, Progress};

/// What stands between a text that was cut and the notice.
const GAP: &str = "\n\n";

/// What the client has seen, as far as the end depends on it.
#[derive(Debug)]
pub(super) struct Ending(Kind);

#[derive(Debug)]
enum Kind {
    Anthropic(Anthropic),
    Chat(Chat),
    Responses(Box<Responses>),
    Gemini(Gemini),
}

impl Ending {
    pub(super) fn new(surface: Surface, framing: Framing) -> Self {
        Self(match (surface, surface.dialect()) {
            (Surface::OpenaiResponses, _) => Kind::Responses(Box::default()),
            (_, Dialect::Anthropic) => Kind::Anthropic(Anthropic::default()),
            (_, Dialect::Openai) => Kind::Chat(Chat::default()),
            (_, Dialect::Gemini) => Kind::Gemini(Gemini::new(framing)),
        })
    }

    /// Notes a frame that has left.
    pub(super) fn sent(&mut self, event: &Event, frame: &[u8]) {
        match &mut self.0 {
            Kind::Anthropic(ending) => ending.sent(event, frame),
            Kind::Chat(ending) => ending.sent(event, frame),
            Kind::Responses(ending) => ending.sent(event, frame),
            Kind::Gemini(ending) => ending.sent(event, frame),
        }
    }

    /// Writes the events that end the answer; nothing where it has ended.
    pub(super) fn end(&mut self, notice: Option<&str>, out: &mut Vec<u8>) {
        match &mut self.0 {
            Kind::Anthropic(ending) => ending.end(notice, out),
            Kind::Chat(ending) => ending.end(notice, out),
            Kind::Responses(ending) => ending.end(notice, out),
            Kind::Gemini(ending) => ending.end(notice, out),
        }
    }
}

/// Ends a stream that was only followed, not edited: everything passed as it came.
pub(crate) fn end_resumed(
    surface: Surface,
    framing: Framing,
    progress: &Progress<'_>,
    notice: &str,
    out: &mut Vec<u8>,
) {
    let notice = Some(notice);
    match (surface, surface.dialect()) {
        (Surface::OpenaiResponses, _) => Responses::resumed(progress).end(notice, out),
        (_, Dialect::Anthropic) => Anthropic::resumed(progress).end(notice, out),
        (_, Dialect::Openai) => Chat::resumed(progress).end(notice, out),
        (_, Dialect::Gemini) => Gemini::resumed(framing, progress).end(notice, out),
    }
}

/// Reads the data of a frame; null if it is no JSON.
fn data(frame: &[u8]) -> Value {
    serde_json::from_slice(&data_of(frame)).unwrap_or_default()
}

/// Writes an event with its name, as Anthropic and Responses do.
fn named_event(name: &str, data: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
}

#[cfg(test)]
mod tests;

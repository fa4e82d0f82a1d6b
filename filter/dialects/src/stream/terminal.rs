//! Ending a stream early in the way of its dialect.

use policy::surface::Surface;

use super::tape::Json;
use crate::response::Framing;

/// What the client has been sent so far, as far as an ending needs it.
#[derive(Debug)]
pub(super) struct Tracker {
    surface: Surface,
    framing: Framing,
}

/// What one event adds to that, once it has gone.
#[derive(Debug, Default)]
pub(super) struct Mark {
    is_keep_alive: bool,
}

impl Mark {
    /// Whether the event only keeps the connection alive.
    pub(super) fn is_keep_alive(&self) -> bool {
        self.is_keep_alive
    }
}

impl Tracker {
    pub(super) fn new(surface: Surface, framing: Framing) -> Self {
        Self { surface, framing }
    }

    /// Reads what an event would add.
    pub(super) fn mark(&self, json: Json<'_>) -> Mark {
        Mark {
            is_keep_alive: json.text(json.member(0, "type")) == Some(b"ping"),
        }
    }

    /// Takes note that an event has gone to the client.
    pub(super) fn released(&mut self, _mark: Mark) {}

    /// Writes the events that end the stream.
    pub(super) fn end(&mut self, _notice: Option<&str>, _out: &mut Vec<u8>) {
        let _: (Surface, Framing) = (self.surface, self.framing);
    }
}

//! Ends a stream before its provider does.

use policy::surface::Surface;

use super::Framing;
use super::event::Event;

/// What the client has seen, as far as the end depends on it.
#[derive(Debug)]
pub(super) struct Ending {}

impl Ending {
    pub(super) fn new(_: Surface, _: Framing) -> Self {
        Self {}
    }

    /// Notes a frame that has left.
    pub(super) fn sent(&mut self, _: &Event, _: &[u8]) {}

    /// Writes the events that end the answer.
    pub(super) fn end(&mut self, _: Option<&str>, _: &mut Vec<u8>) {}
}

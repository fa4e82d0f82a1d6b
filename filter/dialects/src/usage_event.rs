//! Removes the usage event from a chat stream whose client had not asked for it.
//!
//! The gateway asks for it by [`include_usage_splice`](crate::splice::include_usage_splice), so that it can
//! settle what was used; a client that never asked may not expect an event with empty `choices`. Every
//! other byte passes as it came, `"usage":null` in the other events included.
//!
//! ```
//! use dialects::usage_event::{Passage, UsageEventRemover};
//!
//! let mut remover = UsageEventRemover::default();
//! let mut out = Vec::new();
//! assert_eq!(remover.push(b"data: {\"choices\":[{}],\"usage\":null}\n\n", &mut out), Passage::AsItCame);
//! assert_eq!(remover.push(b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\n", &mut out), Passage::Replaced);
//! assert_eq!(out, b"data: [DONE]\n\n");
//! ```

use crate::json::{Closed, Container, Scalar, Shape, Span, Visitor, Walker, Want, key};
use crate::sse::{Frame, Sink, SseReader};

/// Bytes of one event that are held back at most; a longer one passes.
pub const HELD_BYTES: usize = 64 * 1024;

/// What to do with a chunk that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Pass it on unchanged; nothing was written.
    AsItCame,
    /// Pass on what was written in its place.
    Replaced,
}

/// Reads a chat stream chunk by chunk and leaves out its usage event.
///
/// An event is held back only until it is clear that it stays: as soon as its `choices` have an item or its
/// `usage` is no object. Holds at most [`HELD_BYTES`].
#[derive(Debug)]
pub struct UsageEventRemover {
    sse: SseReader,
    state: State,
}

/// What is known between chunks.
#[derive(Debug)]
struct State {
    walker: Walker<Place>,
    verdict: Verdict,
    /// The bytes of the event being read that were not passed on; at most [`HELD_BYTES`].
    held: Vec<u8>,
    /// Whether the event that a CR ended was removed, while it is open whether an LF belongs to it.
    after_cr: Option<bool>,
    removed_events: u64,
}

/// What is known of the event being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Verdict {
    choices_are_empty: bool,
    has_usage: bool,
    /// Whether it stays, whatever else it holds.
    stays: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Event,
    Choices,
    Choice,
    Usage,
}

static EVENT: Shape<Place> = Shape::object(
    Place::Event,
    &[key("choices", &CHOICES), key("usage", &USAGE)],
);
static CHOICES: Shape<Place> = Shape::array(Place::Choices, &CHOICE);
static CHOICE: Shape<Place> = Shape::scalar(Place::Choice, Want::Presence);
static USAGE: Shape<Place> = Shape::scalar(Place::Usage, Want::Presence);

impl Default for UsageEventRemover {
    fn default() -> Self {
        let state = State {
            walker: Walker::new(&EVENT),
            verdict: Verdict::default(),
            held: Vec::new(),
            after_cr: None,
            removed_events: 0,
        };
        Self {
            sse: SseReader::default(),
            state,
        }
    }
}

impl UsageEventRemover {
    /// Reads a chunk. If it passes as it came nothing is written; else what passes is added to `out`.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Passage {
        let mut cutter = Cutter::new(&mut self.state, &self.sse, chunk, out);
        cutter.settle_line_feed();
        self.sse.push(chunk, &mut cutter);
        cutter.settle_open_event();
        if cutter.is_replacing {
            Passage::Replaced
        } else {
            Passage::AsItCame
        }
    }

    /// Says that the stream has ended; what was held back and stays is added to `out`.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let mut cutter = Cutter::new(&mut self.state, &self.sse, &[], out);
        self.sse.finish(&mut cutter);
    }

    /// Returns how many events were removed.
    pub fn removed_events(&self) -> u64 {
        self.state.removed_events
    }

    /// Returns how many bytes are held back.
    pub fn held_bytes(&self) -> usize {
        self.state.held.len()
    }
}

/// Divides one chunk into what passes, what goes and what waits.
struct Cutter<'a> {
    state: &'a mut State,
    chunk: &'a [u8],
    /// Offset of the chunk in the stream.
    base: u64,
    /// How much of the chunk belongs to events that have ended.
    settled: usize,
    /// Whether `out` stands for the chunk; if not, all of `chunk[..settled]` passes and nothing was held.
    is_replacing: bool,
    out: &'a mut Vec<u8>,
}

impl<'a> Cutter<'a> {
    fn new(state: &'a mut State, sse: &SseReader, chunk: &'a [u8], out: &'a mut Vec<u8>) -> Self {
        let is_replacing = !state.held.is_empty();
        Self {
            state,
            chunk,
            base: sse.position(),
            settled: 0,
            is_replacing,
            out,
        }
    }

    /// Begins to write to `out` what passes.
    fn replace(&mut self) {
        if !self.is_replacing {
            self.is_replacing = true;
            self.out
                .extend_from_slice(self.chunk.get(..self.settled).unwrap_or_default());
        }
    }

    /// Gives an LF at the start of the chunk to the event that a CR ended in the chunk before.
    fn settle_line_feed(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        if let Some(was_removed) = self.state.after_cr.take()
            && self.chunk.starts_with(b"\n")
        {
            if was_removed {
                self.replace();
            }
            self.settled = 1;
        }
    }

    /// Passes on or holds back what belongs to the event that the chunk leaves open.
    fn settle_open_event(&mut self) {
        let rest = self.chunk.get(self.settled..).unwrap_or_default();
        if self.state.held.len() + rest.len() > HELD_BYTES {
            self.state.verdict.stays = true;
        }
        if self.state.verdict.stays {
            self.pass(rest);
        } else if !rest.is_empty() {
            self.replace();
            self.state.held.extend_from_slice(rest);
        }
    }

    /// Passes on what is held and then `bytes`, the next ones of the chunk.
    fn pass(&mut self, bytes: &[u8]) {
        if self.is_replacing {
            self.out.append(&mut self.state.held);
            self.out.extend_from_slice(bytes);
        }
    }
}

impl Sink for Cutter<'_> {
    fn data(&mut self, piece: &[u8]) {
        let State {
            walker, verdict, ..
        } = &mut *self.state;
        if walker.push(piece, verdict).is_err() {
            verdict.stays = true;
        }
    }

    fn end(&mut self, frame: Frame) {
        let State {
            walker, verdict, ..
        } = &mut *self.state;
        let is_whole = frame.has_data && walker.finish(verdict).is_ok();
        let Verdict {
            choices_are_empty,
            has_usage,
            stays,
        } = std::mem::take(verdict);
        walker.reset();
        let is_short = self.state.held.len() + self.length_to(frame) <= HELD_BYTES;
        let goes = is_whole && choices_are_empty && has_usage && !stays && is_short;

        let end = self.settled + self.length_to(frame);
        let ends_in_cr = end.checked_sub(1).and_then(|last| self.chunk.get(last)) == Some(&b'\r');
        let line_feed = usize::from(ends_in_cr && self.chunk.get(end) == Some(&b'\n'));
        self.state.after_cr = (ends_in_cr && end == self.chunk.len()).then_some(goes);
        if goes {
            self.replace();
            self.state.held.clear();
            self.state.removed_events += 1;
        } else {
            self.pass(
                self.chunk
                    .get(self.settled..end + line_feed)
                    .unwrap_or_default(),
            );
        }
        self.settled = end + line_feed;
    }
}

impl Cutter<'_> {
    /// Returns how many bytes from `settled` on belong to the frame.
    fn length_to(&self, frame: Frame) -> usize {
        let end = usize::try_from(frame.end.saturating_sub(self.base)).unwrap_or(usize::MAX);
        end.saturating_sub(self.settled)
    }
}

impl Visitor for Verdict {
    type Tag = Place;

    fn begin(&mut self, place: Place, container: Container, _: u64) {
        match (place, container) {
            (Place::Event, Container::Object) | (Place::Choices, Container::Array) => {}
            (Place::Usage, Container::Object) => self.has_usage = true,
            (Place::Event | Place::Usage, Container::Array)
            | (Place::Choices, Container::Object)
            | (Place::Choice, Container::Object | Container::Array) => self.stays = true,
        }
    }

    fn end(&mut self, place: Place, closed: Closed) {
        if place == Place::Choices {
            self.choices_are_empty = closed.is_empty;
        }
    }

    fn scalar(&mut self, _: Place, _: Scalar<'_>, _: Span) {
        self.stays = true;
    }
}

#[cfg(test)]
mod tests;

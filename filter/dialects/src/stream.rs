//! Editing of streamed answers: bytes in, bytes out, with every text judged on its way.
//!
//! The frames of a stream leave in the order in which they came, byte for byte, as soon as all their text is
//! decided on; where a text is edited only its literal is written anew. Text that comes in pieces is given to a
//! [`Judge`] piece by piece; everything else, also of events that nobody knows, is given to it whole. Arguments of
//! tools are held back until they are complete and judged as the JSON they are. Texts that an event repeats after
//! they were streamed get the same edits.
//!
//! ```
//! use dialects::response::Framing;
//! use dialects::stream::{Channel, Edit, Judge, Ruling, StreamEditor, WholeRuling};
//! use dialects::usage_event::Passage;
//! use policy::guardrail::TextRole;
//! use policy::surface::Surface;
//!
//! /// Hides a word, and lets texts pass up to the last space.
//! #[derive(Default)]
//! struct Words(String);
//! impl Judge for Words {
//!     fn text(&mut self, _: &Channel, piece: &str, ends: bool) -> Ruling {
//!         self.0.push_str(piece);
//!         let end = if ends { self.0.len() } else { self.0.rfind(' ').map_or(0, |space| space + 1) };
//!         let edits = self.0.find("key").filter(|at| at + 3 <= end);
//!         let edits = edits.map(|at| Edit { start: at as u64, end: at as u64 + 3, with: "***".to_owned() });
//!         Ruling { passes_to: end as u64, edits: edits.into_iter().collect(), stop: false }
//!     }
//!     fn whole(&mut self, _: TextRole, _: &str, _: &str, _: bool) -> WholeRuling {
//!         WholeRuling::default()
//!     }
//!     fn overflow(&mut self) -> bool {
//!         true
//!     }
//! }
//!
//! let event = |text: &str| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
//! let mut editor = StreamEditor::new(Surface::OpenaiChat, Framing::Sse).expect("a streaming surface");
//! let (mut words, mut out) = (Words::default(), Vec::new());
//! assert_eq!(editor.push(event("my k").as_bytes(), &mut words, &mut out), Passage::Replaced);
//! assert_eq!(out, b"");
//! editor.push(event("ey ").as_bytes(), &mut words, &mut out);
//! assert_eq!(String::from_utf8(out).unwrap(), event("my ***") + &event(" "));
//! ```

mod channel;
mod ending;
mod event;
mod frames;

use std::collections::VecDeque;
use std::mem;

use policy::guardrail::TextRole;
use policy::surface::Surface;

pub use self::channel::{Channel, ChannelId};
use self::channel::{ChannelKey, State};
use self::ending::Ending;
pub(crate) use self::ending::end_resumed;
use self::event::{Event, EventReader, Item, ItemKind};
use self::frames::Framer;
pub use crate::content::Edit;
use crate::content::{Unscanned, apply_edits};
use crate::escape::{Offsets, escape_into};
use crate::response::Framing;
use crate::splice::{Splice, apply};
use crate::usage_event::Passage;

/// Bytes that are held back at most, the frame being read included.
pub const HELD_BYTES: usize = 8 * 1024 * 1024;

/// Decides on the texts of an answer.
pub trait Judge {
    /// The next piece of a text; `ends` says that nothing more comes for it.
    fn text(&mut self, channel: &Channel, piece: &str, ends: bool) -> Ruling;

    /// A text that stands whole in one event, under the member `label`, or one of a tool's arguments, once the call
    /// is complete. Edits of a text that may not change are not applied.
    fn whole(&mut self, role: TextRole, label: &str, text: &str, may_change: bool) -> WholeRuling;

    /// More than [`HELD_BYTES`] would have to wait. Returns whether the stream stops; if not, what waits and all that
    /// comes passes unjudged.
    fn overflow(&mut self) -> bool;
}

/// What becomes of a text that comes in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Up to which decoded byte of the channel everything is decided. All of it, once the channel ends.
    pub passes_to: u64,
    /// New edits, ascending and disjoint, of bytes before `passes_to` that were not decided before. Offsets are those
    /// of the channel.
    pub edits: Vec<Edit>,
    /// Whether the answer must end: nothing that was held back leaves then, whatever else the ruling says.
    pub stop: bool,
}

/// What becomes of a whole text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WholeRuling {
    /// Ascending and disjoint.
    pub edits: Vec<Edit>,
    /// Whether the answer must end: nothing that was held back leaves then.
    pub stop: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Live,
    /// The judge said stop: everything that comes is dropped.
    Stopped,
    /// The end was written: everything that comes is dropped.
    Ended,
    /// Everything that comes passes.
    Passing,
}

/// A frame that waits for a decision on its texts or for the frames before it.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    /// Texts that are not decided on.
    undecided: usize,
    splices: Vec<Splice>,
    /// What has to go where anything is edited.
    shadows: Vec<Splice>,
    event: Event,
}

/// Edits one stream, chunk by chunk; a chunk may end anywhere.
///
/// Holds the frame being read and the frames that wait, at most [`HELD_BYTES`].
#[derive(Debug)]
pub struct StreamEditor {
    framer: Framer,
    reader: EventReader,
    /// The frame being read.
    frame: Vec<u8>,
    queue: VecDeque<Held>,
    /// The number of the first frame of the queue.
    first: u64,
    held_bytes: usize,
    channels: Vec<State>,
    ending: Ending,
    stage: Stage,
    unscanned: Vec<Unscanned>,
    /// Whether the frame that ended last has left, so that an LF that belongs to it leaves at once.
    last_left: bool,
}

impl StreamEditor {
    /// Starts before the first byte of a streamed answer; `None` if answers of the surface are no streams, or not in
    /// this framing.
    pub fn new(surface: Surface, framing: Framing) -> Option<Self> {
        let framer = match (surface, framing) {
            (
                Surface::AnthropicMessages
                | Surface::OpenaiChat
                | Surface::OpenaiResponses
                | Surface::GeminiGenerate,
                Framing::Sse,
            ) => Framer::sse(),
            (Surface::GeminiGenerate, Framing::JsonArray) => Framer::array(),
            _ => return None,
        };
        Some(Self {
            framer,
            reader: EventReader::new(surface),
            frame: Vec::new(),
            queue: VecDeque::new(),
            first: 0,
            held_bytes: 0,
            channels: Vec::new(),
            ending: Ending::new(surface, framing),
            stage: Stage::Live,
            unscanned: Vec::new(),
            last_left: false,
        })
    }

    /// Reads a chunk. If it passes as it came nothing is added to `out`; else what passes is.
    pub fn push<J: Judge>(&mut self, chunk: &[u8], judge: &mut J, out: &mut Vec<u8>) -> Passage {
        let before = out.len();
        let mut rest = chunk;
        if !rest.is_empty() && self.framer.takes_line_feed() && self.stage == Stage::Live {
            rest = self.line_feed(rest, out);
        }
        while !rest.is_empty() && self.stage == Stage::Live {
            let Some(length) = self.framer.end_in(rest) else {
                break;
            };
            let (frame, mut after) = rest.split_at(length.min(rest.len()));
            self.frame.extend_from_slice(frame);
            if self.framer.takes_line_feed()
                && let Some(next) = after.strip_prefix(b"\n")
            {
                self.frame.push(b'\n');
                self.framer.line_feed_taken();
                after = next;
            }
            self.frame_ended(judge, out);
            rest = after;
        }
        match self.stage {
            Stage::Live => {
                self.frame.extend_from_slice(rest);
                if self.held_bytes() > HELD_BYTES {
                    self.overflow(judge, out);
                }
            }
            Stage::Passing => out.extend_from_slice(rest),
            Stage::Stopped | Stage::Ended => {}
        }
        if out.get(before..) == Some(chunk) {
            out.truncate(before);
            return Passage::AsItCame;
        }
        Passage::Replaced
    }

    /// Says that the stream has ended; what was held back and may leave is added to `out`.
    pub fn finish<J: Judge>(&mut self, judge: &mut J, out: &mut Vec<u8>) {
        if self.stage == Stage::Live && !self.frame.is_empty() {
            self.frame_ended(judge, out);
        }
        if self.stage == Stage::Live {
            if !self.end_channels(|_| true, judge) {
                self.stage = Stage::Stopped;
            }
            self.release(out);
        }
    }

    /// Ends the answer early with the dialect's ordinary terminal events, and drops everything that comes after.
    ///
    /// A text that is being shown ends with `notice`, or a new one says it. Tool calls that were not complete are
    /// dropped: the client has not seen their beginning.
    pub fn end(&mut self, notice: Option<&str>, out: &mut Vec<u8>) {
        if self.stage == Stage::Ended {
            return;
        }
        self.stage = Stage::Ended;
        self.drop_held();
        self.ending.end(notice, out);
    }

    /// Whether the judge said stop, and the end is still to be written.
    pub fn is_stopped(&self) -> bool {
        self.stage == Stage::Stopped
    }

    /// Returns how many bytes are held back.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes.saturating_add(self.frame.len())
    }

    /// Returns what nobody could read so far, the first 256.
    pub fn unscanned(&self) -> &[Unscanned] {
        &self.unscanned
    }

    /// Stops, or lets everything pass from here on as it comes, held frames first.
    fn overflow<J: Judge>(&mut self, judge: &mut J, out: &mut Vec<u8>) {
        if judge.overflow() {
            self.stage = Stage::Stopped;
            return self.drop_held();
        }
        self.stage = Stage::Passing;
        for held in mem::take(&mut self.queue) {
            leave(held, &mut self.ending, out);
        }
        out.append(&mut self.frame);
        self.drop_held();
    }

    fn drop_held(&mut self) {
        self.queue.clear();
        self.channels.clear();
        self.frame = Vec::new();
        self.held_bytes = 0;
    }

    /// Gives an LF at the front of a chunk to the frame that a CR ended.
    fn line_feed<'a>(&mut self, chunk: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let Some(rest) = chunk.strip_prefix(b"\n") else {
            return chunk;
        };
        if !self.frame.is_empty() {
            // The CR ended a line, not a frame.
            return chunk;
        }
        self.framer.line_feed_taken();
        match self.queue.back_mut() {
            Some(last) if !self.last_left => {
                last.bytes.push(b'\n');
                self.held_bytes = self.held_bytes.saturating_add(1);
            }
            _ => out.push(b'\n'),
        }
        rest
    }

    /// Decides on the frame that was read as far as that is possible.
    fn frame_ended<J: Judge>(&mut self, judge: &mut J, out: &mut Vec<u8>) {
        if self.held_bytes() > HELD_BYTES {
            return self.overflow(judge, out);
        }
        let bytes = mem::take(&mut self.frame);
        let event = self.reader.read(&bytes, &self.framer);
        if event.is_overfull {
            self.frame = bytes;
            return self.overflow(judge, out);
        }
        if event.may_overtake {
            out.extend_from_slice(&bytes);
            self.last_left = true;
            self.frame = bytes;
            self.frame.clear();
            return;
        }
        self.last_left = false;
        let number = self.first + u64::try_from(self.queue.len()).unwrap_or_default();
        self.held_bytes = self.held_bytes.saturating_add(bytes.len());
        let shadows = self
            .reader
            .shadows()
            .map(|range| splice(range, b"null".to_vec()));
        self.queue.push_back(Held {
            bytes,
            undecided: 0,
            splices: Vec::new(),
            shadows: shadows.collect(),
            event,
        });
        if !self.judge_frame(number, judge) {
            self.stage = Stage::Stopped;
        }
        self.release(out);
        if self.queue.is_empty() {
            self.last_left = true;
        }
        self.unscanned.extend(self.reader.take_unscanned());
        self.unscanned.truncate(MAX_UNSCANNED);
    }

    /// Judges the texts of the frame of this number, the last of the queue; false to stop.
    fn judge_frame<J: Judge>(&mut self, number: u64, judge: &mut J) -> bool {
        let items = self.reader.take_items();
        for key in self.reader.calls() {
            let index = self.channel(key, TextRole::ToolArguments);
            self.add_segment(index, number, "", 0..0);
        }
        for item in items.iter().filter(|item| item.kind == ItemKind::Piece) {
            if !self.piece(number, item, judge) {
                return false;
            }
        }
        let ends = self.reader.ends();
        if !self.end_channels(|key| ends.covers(key), judge) {
            return false;
        }
        for item in items.iter().filter(|item| item.kind != ItemKind::Piece) {
            let (edits, stop) = self.judge_whole(item, judge);
            if item.may_change && !edits.is_empty() {
                self.edit(number, item, &edits);
            }
            if stop {
                return false;
            }
        }
        self.reader.give_back(items);
        true
    }

    fn piece<J: Judge>(&mut self, number: u64, item: &Item, judge: &mut J) -> bool {
        let Some(key) = item.channel else { return true };
        let index = self.channel(key, item.role);
        self.add_segment(index, number, &item.text, item.raw.clone());
        let Some(state) = self.channels.get_mut(index) else {
            return true;
        };
        if state.is_collected() {
            self.held_bytes = self.held_bytes.saturating_add(item.text.len());
            return true;
        }
        let ruling = judge.text(&state.channel, &item.text, false);
        if ruling.stop {
            // What was held back may be the beginning of what the judge said stop to.
            return false;
        }
        self.rule(index, ruling);
        true
    }

    /// Returns the open channel of this key; opens one if there is none.
    fn channel(&mut self, key: ChannelKey, role: TextRole) -> usize {
        let known = self
            .channels
            .iter()
            .rposition(|state| state.is_open && state.channel.key == key);
        known.unwrap_or_else(|| {
            let channel = Channel {
                id: ChannelId(u32::try_from(self.channels.len()).unwrap_or(u32::MAX)),
                role,
                may_change: !key.is_frozen,
                key,
            };
            self.channels.push(State::new(channel));
            self.channels.len() - 1
        })
    }

    fn add_segment(&mut self, index: usize, number: u64, text: &str, raw: std::ops::Range<usize>) {
        if let Some(state) = self.channels.get_mut(index) {
            state.add(number, text, raw);
        }
        if let Some(held) = self.held_mut(number) {
            held.undecided += 1;
        }
    }

    fn held_mut(&mut self, number: u64) -> Option<&mut Held> {
        let index = number.checked_sub(self.first)?;
        self.queue.get_mut(usize::try_from(index).ok()?)
    }

    /// Carries out what the judge said about a channel.
    fn rule(&mut self, index: usize, ruling: Ruling) {
        let Some(state) = self.channels.get_mut(index) else {
            return;
        };
        state.passed = state.passed.max(ruling.passes_to).min(state.length);
        state.edits.extend(ruling.edits);
        while let Some(segment) = self.channels.get_mut(index).and_then(State::take_decided) {
            let splices = self.splices(index, &segment);
            if let Some(held) = self.held_mut(segment.frame) {
                held.undecided = held.undecided.saturating_sub(1);
                held.splices.extend(splices);
            }
        }
    }

    /// Returns what the edits of a channel change in one of its segments.
    fn splices(&self, index: usize, segment: &channel::Segment) -> Vec<Splice> {
        let Some(state) = self.channels.get(index) else {
            return Vec::new();
        };
        let mut edits = state.edits_in(&segment.text).peekable();
        let frame = self
            .queue
            .get(usize::try_from(segment.frame.saturating_sub(self.first)).unwrap_or(usize::MAX));
        let Some(held) = frame.filter(|_| edits.peek().is_some() && state.channel.may_change)
        else {
            return Vec::new();
        };
        let raw = held.bytes.get(segment.raw.clone()).unwrap_or_default();
        let offsets = Offsets::of(raw);
        let local = |at: u64| {
            let at = at.clamp(segment.text.start, segment.text.end) - segment.text.start;
            usize::try_from(at).unwrap_or(usize::MAX)
        };
        edits
            .map(|edit| {
                let range = offsets.range(local(edit.start)..local(edit.end));
                let mut with = Vec::new();
                if edit.start >= segment.text.start {
                    escape_into(&edit.with, 0, &mut with);
                }
                let start = segment.raw.start;
                splice(start + range.start..start + range.end, with)
            })
            .collect()
    }

    /// Ends the open channels that are meant; false to stop.
    fn end_channels<J: Judge>(
        &mut self,
        ends: impl Fn(&ChannelKey) -> bool,
        judge: &mut J,
    ) -> bool {
        for index in 0..self.channels.len() {
            let Some(state) = self.channels.get_mut(index) else {
                break;
            };
            if !state.is_open || !ends(&state.channel.key) {
                continue;
            }
            state.is_open = false;
            let mut ruling = if state.is_collected() {
                let text = mem::take(&mut state.collected);
                self.held_bytes = self.held_bytes.saturating_sub(text.len());
                event::judge_arguments(&text, &state.channel, judge)
            } else {
                judge.text(&state.channel, "", true)
            };
            ruling.passes_to = u64::MAX;
            let stop = ruling.stop;
            if stop {
                return false;
            }
            self.rule(index, ruling);
        }
        true
    }

    /// Returns the edits of a text that stands whole in an event, and whether to stop.
    fn judge_whole<J: Judge>(&self, item: &Item, judge: &mut J) -> (Vec<Edit>, bool) {
        // What was streamed before was judged before.
        let streamed = self.channels.iter().find(|state| {
            !state.is_open && state.channel.role == item.role && state.was(&item.text)
        });
        if let Some(state) = streamed {
            let edits = state.edits.iter().filter(|_| state.channel.may_change);
            return (edits.cloned().collect(), false);
        }
        if item.kind == ItemKind::JsonText {
            return event::judge_json_text(&item.text, &item.label, item.may_change, judge);
        }
        let ruling = judge.whole(item.role, &item.label, &item.text, item.may_change);
        (ruling.edits, ruling.stop)
    }

    /// Notes edits of a text that stands whole in the frame of this number.
    fn edit(&mut self, number: u64, item: &Item, edits: &[Edit]) {
        let Some(held) = self.held_mut(number) else {
            return;
        };
        match item.kind {
            ItemKind::Plain => {
                // Data that is no JSON is written anew, a line of data for each of its lines.
                let text = apply_edits(&item.text, edits);
                let lines = text.split('\n').collect::<Vec<_>>().join("\ndata: ");
                held.splices
                    .push(splice(item.raw.clone(), lines.into_bytes()));
            }
            ItemKind::Number => {
                let mut with = b"\"".to_vec();
                escape_into(&apply_edits(&item.text, edits), 0, &mut with);
                with.push(b'"');
                held.splices.push(splice(item.raw.clone(), with));
            }
            ItemKind::Piece | ItemKind::JsonText | ItemKind::Text => {
                let raw = held.bytes.get(item.raw.clone()).unwrap_or_default();
                let offsets = Offsets::of(raw);
                let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                let splices = edits.iter().map(|edit| {
                    let range = offsets.range(index(edit.start)..index(edit.end));
                    let mut with = Vec::new();
                    escape_into(&edit.with, 0, &mut with);
                    let start = item.raw.start;
                    splice(start + range.start..start + range.end, with)
                });
                held.splices.extend(splices);
            }
        }
    }

    /// Lets the frames leave that are decided on, up to the first that is not.
    fn release(&mut self, out: &mut Vec<u8>) {
        while let Some(held) = self.queue.pop_front_if(|held| held.undecided == 0) {
            let is_stopped_at = self.stage == Stage::Stopped && self.queue.is_empty();
            if is_stopped_at {
                // The frame that holds what the judge said stop to.
                return;
            }
            self.first += 1;
            self.held_bytes = self.held_bytes.saturating_sub(held.bytes.len());
            leave(held, &mut self.ending, out);
        }
    }
}

/// Places of unscanned content that are listed.
const MAX_UNSCANNED: usize = 256;

fn splice(range: std::ops::Range<usize>, with: Vec<u8>) -> Splice {
    let at = |index: usize| u64::try_from(index).unwrap_or(u64::MAX);
    Splice {
        start: at(range.start),
        end: at(range.end),
        with,
    }
}

/// Writes a frame with its edits.
fn leave(mut held: Held, ending: &mut Ending, out: &mut Vec<u8>) {
    if held.splices.is_empty() {
        ending.sent(&held.event, &held.bytes);
        return out.extend_from_slice(&held.bytes);
    }
    held.splices.append(&mut held.shadows);
    // Edits of one text are disjoint and texts do not overlap; a frame for which that is not so does not leave.
    if let Ok(edited) = apply(&held.bytes, &mut held.splices) {
        ending.sent(&held.event, &edited);
        out.extend_from_slice(&edited);
    }
}

#[cfg(test)]
mod splits;
#[cfg(test)]
mod tests;

//! Streams whose texts are judged while they pass: bytes in, bytes out.
//!
//! Events are queued in order. One leaves, byte for byte as it came, once everything it says has been judged; where
//! a text changes, only that string is written anew. Events that say nothing (pings, comments) overtake those that
//! wait, so that a connection never looks dead.
//!
//! ```
//! use dialects::response::Framing;
//! use dialects::stream::{Channel, Edit, Judge, Ruling, StreamEditor, WholeRuling};
//! use dialects::usage_event::Passage;
//! use policy::guardrail::TextRole;
//! use policy::surface::Surface;
//!
//! /// Lets texts pass up to the last space.
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

mod anthropic;
mod chat;
mod frames;
mod gemini;
mod pieces;
mod responses;
pub(crate) mod tape;
mod terminal;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use policy::guardrail::TextRole;
use policy::surface::{Dialect, Surface};

use crate::escape::{Offsets, escape_into, unescape};
use crate::response::Framing;
use crate::usage_event::Passage;

use self::frames::Frames;
use self::pieces::{Piece, PieceKind, Pieces};
use self::tape::{Json, Kind, Tape};
use self::terminal::{Mark, Tracker};

/// Bytes of events that wait at most, and of one event.
pub const HELD_BYTES: usize = 8 * 1024 * 1024;

/// Names one text of a stream that comes in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId {
    /// What kind of text, numbered by the dialect.
    pub kind: u8,
    /// Block, choice, candidate or output item.
    pub index: u32,
    /// Part or tool call within it.
    pub part: u32,
}

/// One text of a stream that comes in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    pub id: ChannelId,
    pub role: TextRole,
    /// The text is itself JSON, arguments of a tool call: it is not judged in pieces but, once it is complete, string
    /// by string.
    pub is_json_text: bool,
    /// Not signed by the provider.
    pub may_change: bool,
}

/// A change of a text; offsets are bytes of the decoded text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub start: u64,
    pub end: u64,
    /// In plain: it is escaped as its place needs it.
    pub with: String,
}

/// What becomes of a text that comes in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// How much of the text may pass, in bytes from its beginning.
    pub passes_to: u64,
    /// New changes, all before `passes_to`, disjoint, in order, after those of earlier rulings.
    pub edits: Vec<Edit>,
    /// Nothing more of the stream may pass.
    pub stop: bool,
}

/// What becomes of a text that is all there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WholeRuling {
    /// Disjoint, in order.
    pub edits: Vec<Edit>,
    /// Nothing more of the stream may pass.
    pub stop: bool,
}

/// Decides on the texts of a stream.
pub trait Judge {
    /// The next piece of a text. `ends`: nothing more comes of it, so all of it has to pass or to be changed.
    fn text(&mut self, channel: &Channel, piece: &str, ends: bool) -> Ruling;

    /// A text that stands whole in one event, under the member `label`; a string inside the arguments of a tool
    /// call, once the call is complete. The full texts that some dialects repeat after their pieces come this way,
    /// too, and must get the same changes.
    fn whole(&mut self, role: TextRole, label: &str, text: &str, may_change: bool) -> WholeRuling;

    /// More waits than can be held. Returns whether the stream stops; if not, what waits passes unjudged.
    fn overflow(&mut self) -> bool;
}

/// Judges one stream, chunk by chunk; a chunk may end anywhere.
#[derive(Debug)]
pub struct StreamEditor {
    frames: Frames,
    pieces: Pieces,
    tape: Tape,
    tracker: Tracker,
    channels: BTreeMap<ChannelId, Progress>,
    waiting: VecDeque<Event>,
    waiting_bytes: usize,
    is_stopped: bool,
}

/// How far a text has come.
#[derive(Debug)]
struct Progress {
    channel: Channel,
    /// Bytes of it that were handed to the judge.
    length: u64,
    passes_to: u64,
    edits: Vec<Edit>,
    /// The text, where changes must respect the JSON in it.
    text: Vec<u8>,
    has_ended: bool,
}

/// An event that waits.
#[derive(Debug)]
struct Event {
    bytes: Vec<u8>,
    pieces: Vec<Waiting>,
    /// Leaves only when this text has ended: the beginning of a tool call.
    until_end_of: Option<ChannelId>,
    mark: Mark,
}

/// A string of a waiting event.
#[derive(Debug)]
struct Waiting {
    /// Between its quotes, in the event.
    raw: Range<usize>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The bytes `start..end` of a text.
    Part {
        channel: ChannelId,
        start: u64,
        end: u64,
    },
    /// Written anew like this.
    Changed(Vec<u8>),
}

impl StreamEditor {
    /// Starts before the first byte; `None` if answers of the surface are no streams of events.
    pub fn new(surface: Surface, framing: Framing) -> Option<Self> {
        let pieces = Pieces::of(surface)?;
        Some(Self {
            frames: Frames::new(framing, surface.dialect() == Dialect::Gemini)?,
            pieces,
            tape: Tape::default(),
            tracker: Tracker::new(surface, framing),
            channels: BTreeMap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            is_stopped: false,
        })
    }

    /// Reads a chunk. If it passes as it came nothing is added to `out`; else what passes is.
    pub fn push(&mut self, chunk: &[u8], judge: &mut impl Judge, out: &mut Vec<u8>) -> Passage {
        let before = out.len();
        let held_before = self.held_bytes();
        self.frames.push(chunk);
        let mut changed = false;
        while let Some(event) = self.frames.next_event() {
            changed |= self.event(&event, judge, out);
        }
        if self.held_bytes() > HELD_BYTES && !self.is_stopped {
            self.overflow(judge, out);
        }
        if !changed && held_before == 0 && self.held_bytes() == 0 && !self.is_stopped {
            out.truncate(before);
            return Passage::AsItCame;
        }
        Passage::Replaced
    }

    /// Says that the stream has ended; what waits and may pass is added to `out`.
    pub fn finish(&mut self, judge: &mut impl Judge, out: &mut Vec<u8>) {
        if let Some(event) = self.frames.finish() {
            self.event(&event, judge, out);
        }
        let open: Vec<_> = self.channels.keys().copied().collect();
        for id in open {
            self.end_channel(id, judge);
        }
        self.release(out);
    }

    /// Ends the client's stream in the way of its dialect, with `notice` as the last text; nothing passes any more.
    pub fn end(&mut self, notice: Option<&str>, out: &mut Vec<u8>) {
        self.is_stopped = true;
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.tracker.end(notice, out);
    }

    /// Returns how many bytes wait.
    pub fn held_bytes(&self) -> usize {
        self.waiting_bytes + self.frames.held_bytes()
    }

    /// What cannot be held any longer.
    fn overflow(&mut self, judge: &mut impl Judge, out: &mut Vec<u8>) {
        if judge.overflow() {
            self.is_stopped = true;
            return;
        }
        for event in self.waiting.drain(..) {
            out.extend_from_slice(&event.bytes);
        }
        self.waiting_bytes = 0;
        self.frames.let_go(out);
    }

    /// Judges one event; returns whether anything in it or before it was changed.
    fn event(&mut self, bytes: &[u8], judge: &mut impl Judge, out: &mut Vec<u8>) -> bool {
        if self.is_stopped {
            return true;
        }
        let Some(data) = self.frames.data_of(bytes) else {
            // Comments and events without data say nothing and need not wait.
            out.extend_from_slice(bytes);
            return false;
        };
        let text = data.text(bytes);
        let mut tape = std::mem::take(&mut self.tape);
        let is_json = tape.read(&text);
        let json = Json {
            tape: &tape,
            text: &text,
        };
        let mut list = Vec::new();
        if is_json {
            self.pieces.list(json, &mut list);
        } else {
            self.pieces.list_unreadable(&text, &mut list);
        }
        let mark = self.tracker.mark(json);
        if list.is_empty() && mark.is_keep_alive() {
            out.extend_from_slice(bytes);
            self.tape = tape;
            return false;
        }
        let event = self.judge(bytes, &data, json, list, mark, judge);
        self.tape = tape;
        self.waiting_bytes += event.bytes.len();
        self.waiting.push_back(event);
        self.release(out)
    }

    fn judge(
        &mut self,
        bytes: &[u8],
        data: &frames::Data,
        json: Json<'_>,
        list: Vec<Piece>,
        mark: Mark,
        judge: &mut impl Judge,
    ) -> Event {
        let mut event = Event {
            bytes: bytes.to_vec(),
            pieces: Vec::new(),
            until_end_of: None,
            mark,
        };
        for piece in list {
            let raw = json.text.get(piece.raw.clone()).unwrap_or_default();
            let decoded = unescape(raw);
            let text = String::from_utf8_lossy(&decoded);
            match piece.kind {
                PieceKind::Part(channel) => {
                    let (start, end) = self.part(channel, &text, judge);
                    event.pieces.push(Waiting {
                        raw: data.place(piece.raw),
                        what: What::Part {
                            channel: channel.id,
                            start,
                            end,
                        },
                    });
                }
                PieceKind::Whole {
                    role,
                    label,
                    is_json_text,
                    may_change,
                } => {
                    let label = json.text.get(label).unwrap_or_default();
                    let label = String::from_utf8_lossy(label);
                    let ruling = if is_json_text {
                        json_text(role, &text, judge)
                    } else {
                        judge.whole(role, &label, &text, may_change)
                    };
                    self.is_stopped |= ruling.stop;
                    if !ruling.edits.is_empty() && may_change {
                        let changed = changed_literal(raw, &ruling.edits);
                        event.pieces.push(Waiting {
                            raw: data.place(piece.raw),
                            what: What::Changed(changed),
                        });
                    }
                }
                PieceKind::Number { role, label } => {
                    let label = json.text.get(label).unwrap_or_default();
                    let label = String::from_utf8_lossy(label);
                    let ruling = judge.whole(role, &label, &text, true);
                    self.is_stopped |= ruling.stop;
                    if let Some(first) = ruling.edits.first() {
                        event.pieces.push(Waiting {
                            raw: data.place(piece.raw),
                            what: What::Changed(quoted(&first.with)),
                        });
                    }
                }
                PieceKind::Opens(channel) => {
                    self.progress(channel);
                    event.until_end_of = Some(channel.id);
                }
                PieceKind::Ends(id) => self.end_channel(id, judge),
                PieceKind::EndsAll { kind, index } => {
                    let ending: Vec<_> = self
                        .channels
                        .keys()
                        .filter(|id| kind.is_none_or(|kind| kind == id.kind))
                        .filter(|id| index.is_none_or(|index| index == id.index))
                        .copied()
                        .collect();
                    for id in ending {
                        self.end_channel(id, judge);
                    }
                }
            }
        }
        event
    }

    fn progress(&mut self, channel: Channel) -> &mut Progress {
        self.channels.entry(channel.id).or_insert_with(|| Progress {
            channel,
            length: 0,
            passes_to: 0,
            edits: Vec::new(),
            text: Vec::new(),
            has_ended: false,
        })
    }

    /// Hands a piece to the judge; returns which part of its text it is.
    fn part(&mut self, channel: Channel, text: &str, judge: &mut impl Judge) -> (u64, u64) {
        if self
            .channels
            .get(&channel.id)
            .is_some_and(|progress| progress.has_ended)
        {
            // The provider goes on with a text that it had ended: another text, for the judge.
            self.forget_ended(channel.id);
        }
        let stopped = self.is_stopped;
        let progress = self.progress(channel);
        let start = progress.length;
        progress.length = start.saturating_add(text.len() as u64);
        let end = progress.length;
        if channel.is_json_text {
            progress.text.extend_from_slice(text.as_bytes());
        }
        if !stopped && !channel.is_json_text {
            let ruling = judge.text(&channel, text, false);
            progress.take(ruling.passes_to, ruling.edits);
            self.is_stopped |= ruling.stop;
        }
        (start, end)
    }

    /// Gives a text that has ended a name of its own, so that waiting events still find it.
    fn forget_ended(&mut self, id: ChannelId) {
        let Some(progress) = self.channels.remove(&id) else {
            return;
        };
        let mut other = id;
        while self.channels.contains_key(&other) || other == id {
            other.part = other.part.wrapping_sub(1);
        }
        for event in &mut self.waiting {
            for piece in &mut event.pieces {
                if let What::Part { channel, .. } = &mut piece.what
                    && *channel == id
                {
                    *channel = other;
                }
            }
        }
        self.channels.insert(other, progress);
    }

    fn end_channel(&mut self, id: ChannelId, judge: &mut impl Judge) {
        let stopped = self.is_stopped;
        let Some(progress) = self.channels.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut progress.has_ended, true) || stopped {
            return;
        }
        let Channel {
            role, is_json_text, ..
        } = progress.channel;
        let (edits, stop) = if is_json_text {
            let text = String::from_utf8_lossy(&progress.text);
            let ruling = json_text(role, &text, judge);
            (ruling.edits, ruling.stop)
        } else {
            let ruling = judge.text(&progress.channel, "", true);
            (ruling.edits, ruling.stop)
        };
        let length = progress.length;
        progress.take(length, edits);
        self.is_stopped |= stop;
    }

    /// Lets go what may pass; returns whether any of it was changed.
    fn release(&mut self, out: &mut Vec<u8>) -> bool {
        let mut changed = false;
        while !self.is_stopped
            && let Some(event) = self.waiting.front()
            && self.may_pass(event)
        {
            let Some(event) = self.waiting.pop_front() else {
                break;
            };
            self.waiting_bytes = self.waiting_bytes.saturating_sub(event.bytes.len());
            changed |= self.write(&event, out);
            self.tracker.released(event.mark);
        }
        if self.waiting.is_empty() {
            self.channels.retain(|_, progress| !progress.has_ended);
        }
        changed
    }

    fn may_pass(&self, event: &Event) -> bool {
        let has_ended = |id: ChannelId| {
            self.channels
                .get(&id)
                .is_none_or(|progress| progress.has_ended)
        };
        let passes = |piece: &Waiting| match &piece.what {
            What::Changed(_) => true,
            What::Part { channel, end, .. } => self
                .channels
                .get(channel)
                .is_none_or(|progress| *end <= progress.passes_to),
        };
        event.until_end_of.is_none_or(has_ended) && event.pieces.iter().all(passes)
    }

    fn write(&self, event: &Event, out: &mut Vec<u8>) -> bool {
        let mut written = 0;
        let mut changed = false;
        for piece in &event.pieces {
            let raw = event.bytes.get(piece.raw.clone()).unwrap_or_default();
            let new = match &piece.what {
                What::Changed(new) => Some(new.clone()),
                What::Part {
                    channel,
                    start,
                    end,
                } => self
                    .channels
                    .get(channel)
                    .and_then(|progress| progress.changed(raw, *start, *end)),
            };
            if let Some(new) = new {
                changed = true;
                let kept = event.bytes.get(written..piece.raw.start);
                out.extend_from_slice(kept.unwrap_or_default());
                out.extend_from_slice(&new);
                written = piece.raw.end;
            }
        }
        out.extend_from_slice(event.bytes.get(written..).unwrap_or_default());
        changed
    }
}

impl Progress {
    fn take(&mut self, passes_to: u64, edits: Vec<Edit>) {
        self.passes_to = self.passes_to.max(passes_to);
        if self.channel.may_change {
            self.edits.extend(edits);
        }
    }

    /// Returns how the part `start..end` of the text is written anew; `None` if it stays.
    fn changed(&self, raw: &[u8], start: u64, end: u64) -> Option<Vec<u8>> {
        let touching: Vec<_> = self
            .edits
            .iter()
            .filter(|edit| edit.start < end && start < edit.end)
            .map(|edit| Edit {
                start: edit.start.max(start) - start,
                end: edit.end.min(end) - start,
                // The new text stands where the old one began.
                with: if edit.start >= start {
                    edit.with.clone()
                } else {
                    String::new()
                },
            })
            .collect();
        if touching.is_empty() {
            return None;
        }
        Some(changed_literal(raw, &touching))
    }
}

/// Writes a literal anew; what is not changed stays as it was written.
fn changed_literal(raw: &[u8], edits: &[Edit]) -> Vec<u8> {
    let offsets = Offsets::of(raw);
    let mut out = Vec::with_capacity(raw.len());
    let mut kept = 0;
    for edit in edits {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let range = offsets.range(place(edit.start)..place(edit.end));
        out.extend_from_slice(raw.get(kept..range.start).unwrap_or_default());
        escape_into(&edit.with, 0, &mut out);
        kept = range.end.max(kept);
    }
    out.extend_from_slice(raw.get(kept..).unwrap_or_default());
    out
}

/// Judges the strings and long numbers of JSON text one by one; text that is no JSON is judged as it is.
///
/// The changes are those of the text itself, so what they put in is escaped for the string that it stands in.
fn json_text(role: TextRole, text: &str, judge: &mut impl Judge) -> WholeRuling {
    let mut tape = Tape::default();
    if text.is_empty() || !tape.read(text.as_bytes()) {
        return judge.whole(role, "", text, true);
    }
    let json = Json {
        tape: &tape,
        text: text.as_bytes(),
    };
    let mut all = WholeRuling::default();
    let mut label = String::new();
    for token in tape.tokens() {
        let raw = json.text.get(token.start..token.end).unwrap_or_default();
        let is_text = matches!(token.kind, Kind::Key | Kind::Text);
        if !is_text && !(token.kind == Kind::Number && is_long_number(raw)) {
            continue;
        }
        let decoded = unescape(raw);
        let plain = String::from_utf8_lossy(&decoded);
        let label_of = if token.kind == Kind::Key {
            ""
        } else {
            label.as_str()
        };
        let ruling = judge.whole(role, label_of, &plain, true);
        all.stop |= ruling.stop;
        if is_text {
            all.edits
                .extend(inner_edits(raw, token.start, &ruling.edits));
        } else if let Some(first) = ruling.edits.first() {
            all.edits.push(Edit {
                start: token.start as u64,
                end: token.end as u64,
                with: String::from_utf8_lossy(&quoted(&first.with)).into_owned(),
            });
        }
        if token.kind == Kind::Key {
            label = plain.into_owned();
        }
    }
    all
}

/// What stands in the place of a number: a string.
fn quoted(text: &str) -> Vec<u8> {
    let mut with = b"\"".to_vec();
    escape_into(text, 0, &mut with);
    with.push(b'"');
    with
}

/// Whether a number may be more than a quantity: a card, an account.
fn is_long_number(raw: &[u8]) -> bool {
    raw.len() >= 8 && raw.iter().all(u8::is_ascii_digit)
}

/// Turns changes of a decoded string into changes of the text around its literal, which begins at `base`.
fn inner_edits(raw: &[u8], base: usize, edits: &[Edit]) -> Vec<Edit> {
    if edits.is_empty() {
        return Vec::new();
    }
    let offsets = Offsets::of(raw);
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let edits = edits.iter().map(|edit| {
        let range = offsets.range(place(edit.start)..place(edit.end));
        let mut with = Vec::new();
        escape_into(&edit.with, 0, &mut with);
        Edit {
            start: (base + range.start) as u64,
            end: (base + range.end) as u64,
            with: String::from_utf8_lossy(&with).into_owned(),
        }
    });
    edits.collect()
}

#[cfg(test)]
mod tests;

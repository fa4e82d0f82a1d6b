//! What an answer used, read from the provider's own bytes while they pass.
//!
//! ```
//! use dialects::response::{Framing, UsageReader};
//! use policy::surface::Surface;
//!
//! let mut reader = UsageReader::new(Surface::OpenaiChat, Framing::Sse);
//! reader.push(b"data: {\"id\":\"c1\",\"model\":\"gpt-5\",\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n");
//! assert_eq!((reader.usage(), reader.visible_output_bytes()), (None, 2));
//! reader.push(b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\n");
//! reader.push(b"data: [DONE]\n\n");
//! reader.finish();
//! let usage = reader.usage().expect("reported");
//! assert_eq!((usage.input_tokens.get(), usage.output_tokens.get()), (9, 1));
//! assert!(reader.terminal_seen() && reader.irregular_events() == 0);
//! ```

mod counts;
mod made;
mod shapes;
mod shown;

use policy::surface::{Dialect, Surface};
use policy::units::TokenCount;
use policy::usage::Usage;

use self::counts::Counts;
pub(crate) use self::counts::whole_number;
pub use self::made::MAX_ITEMS;
use self::made::Made;
use self::shapes::{Count, Items, Place};
pub(crate) use self::shown::{BlockKind, OpenItem, Shown};
use crate::json::{Closed, Container, JsonError, Scalar, Span, Visitor, Walker};
use crate::sse::{Frame, Sink, SseReader};
use crate::stream::end_resumed;

/// How the body of an answer is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value, or several one behind the other.
    Json,
    /// A `text/event-stream` whose events hold JSON.
    Sse,
    /// One JSON array whose items are the events of a stream: Gemini without `alt=sse`.
    JsonArray,
}

/// Reads usage and progress of one answer, chunk by chunk.
///
/// Chunks may be any size and end anywhere; events have no length limit and cost no allocation. What is
/// malformed never fails the answer: it is counted as irregular and reading goes on with the next event.
/// All accessors may be called at any time; they tell what was known at the last byte read.
#[derive(Debug)]
pub struct UsageReader {
    surface: Surface,
    framing: Framing,
    walker: Walker<Place>,
    sse: SseReader,
    facts: Facts,
    event: Event,
    /// Bytes that were read, where no reader of frames counts them.
    bytes: u64,
}

impl UsageReader {
    /// Starts before the first byte of an answer.
    pub fn new(surface: Surface, framing: Framing) -> Self {
        let dialect = surface.dialect();
        Self {
            surface,
            framing,
            walker: Walker::new(shapes::answer(dialect)),
            sse: SseReader::default(),
            facts: Facts {
                has_frames: framing == Framing::Sse,
                made: Made::of(surface),
                ..Facts::new(dialect)
            },
            event: Event::default(),
            bytes: 0,
        }
    }

    /// Reads a chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        match self.framing {
            Framing::Json | Framing::JsonArray => {
                self.push_values(chunk);
                self.bytes = self.bytes.saturating_add(chunk.len() as u64);
            }
            Framing::Sse => {
                let Self {
                    walker,
                    sse,
                    facts,
                    event,
                    ..
                } = self;
                sse.push(
                    chunk,
                    &mut Events {
                        walker,
                        facts,
                        event,
                    },
                );
            }
        }
    }

    /// Reads values that may follow one another without a comma, as JSON lines do.
    fn push_values(&mut self, chunk: &[u8]) {
        self.event.length = self.event.length.saturating_add(chunk.len());
        let mut rest = chunk;
        while !self.event.is_broken {
            let start = self.walker.position();
            match self.walker.push(rest, &mut self.facts) {
                Ok(()) => return,
                Err(JsonError::Invalid { at }) if self.walker.is_done() => {
                    let read = usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
                    rest = rest.get(read..).unwrap_or_default();
                    self.walker.reset();
                }
                Err(_) => self.event.is_broken = true,
            }
        }
    }

    /// Says that the answer has ended.
    pub fn finish(&mut self) {
        match self.framing {
            Framing::Json | Framing::JsonArray => {
                if self.walker.finish(&mut self.facts).is_err() {
                    self.facts.irregular_events += 1;
                } else {
                    self.facts.terminal_seen = true;
                }
                self.facts.end_event();
            }
            Framing::Sse => {
                let Self {
                    walker,
                    sse,
                    facts,
                    event,
                    ..
                } = self;
                sse.finish(&mut Events {
                    walker,
                    facts,
                    event,
                });
            }
        }
    }

    /// Returns what the provider reported last; `None` if it reported nothing, which is not zero.
    pub fn usage(&self) -> Option<Usage> {
        self.facts.usage()
    }

    /// Returns the bytes of text, thinking and tool arguments that the client was sent.
    pub fn visible_output_bytes(&self) -> u64 {
        self.facts
            .output_bytes
            .saturating_add(self.facts.event_output_bytes)
    }

    /// Returns how many of the [visible bytes](Self::visible_output_bytes) came behind the last count of output that
    /// was not zero: nobody has reported them.
    pub fn unreported_output_bytes(&self) -> u64 {
        let Facts {
            unreported,
            event_tells_output,
            event_output_bytes,
            ..
        } = self.facts;
        if event_tells_output {
            0
        } else {
            unreported.saturating_add(event_output_bytes)
        }
    }

    /// Whether the provider said of both input and output that they were zero.
    pub fn says_nothing_was_used(&self) -> bool {
        self.facts.counts.tell_nothing_used()
    }

    /// Returns how many bytes stood where JSON was expected and is not: nobody knows what they hold.
    pub fn unread_bytes(&self) -> u64 {
        match self.framing {
            Framing::Json | Framing::JsonArray if self.event.is_broken => {
                u64::try_from(self.event.length).unwrap_or(u64::MAX)
            }
            Framing::Json | Framing::JsonArray => 0,
            Framing::Sse => self.facts.unread_bytes,
        }
    }

    /// Whether the provider said that the answer is complete.
    pub fn terminal_seen(&self) -> bool {
        self.facts.terminal_seen
    }

    /// Whether the provider reported an error in the body.
    pub fn error_seen(&self) -> bool {
        self.facts.error_seen
    }

    /// Returns how many events (for one JSON value, at most one) were malformed.
    pub fn irregular_events(&self) -> u64 {
        self.facts.irregular_events
    }

    /// Returns the model that answered, as the provider names it.
    pub fn model(&self) -> Option<&str> {
        self.facts.model.as_deref()
    }

    /// Returns the provider's id of the answer.
    pub fn response_id(&self) -> Option<&str> {
        self.facts.response_id.as_deref()
    }

    /// Returns the ids of the items that the provider keeps of the answer, in the order in which they came, each once;
    /// at most [`MAX_ITEMS`]. Only answers of Responses have such items.
    pub fn item_ids(&self) -> &[String] {
        self.facts.made.ids()
    }

    /// Whether the answer is a stream that [`end_early`](Self::end_early) can end.
    pub fn can_end_early(&self) -> bool {
        let has_events = matches!(
            self.surface,
            Surface::AnthropicMessages
                | Surface::OpenaiChat
                | Surface::OpenaiResponses
                | Surface::GeminiGenerate
        );
        has_events
            && match self.framing {
                Framing::Sse => true,
                Framing::JsonArray => self.surface == Surface::GeminiGenerate,
                Framing::Json => false,
            }
    }

    /// Returns how many of the `length` bytes that were pushed last belong to whole events; `None` while an event
    /// lasts that began before them.
    pub fn whole_events_in(&self, length: usize) -> Option<usize> {
        let rest = match self.framing {
            Framing::Sse => self.sse.position().saturating_sub(self.sse.frame_start()),
            Framing::JsonArray | Framing::Json => self.bytes.saturating_sub(self.facts.item_end),
        };
        length.checked_sub(usize::try_from(rest).ok()?)
    }

    /// Returns what ends a stream of which the client has got all whole events, and nothing else, with the dialect's
    /// ordinary terminal events; `notice` is said at the end of its text.
    ///
    /// A call of a tool whose arguments were not complete ends as one that met the limit of output: no client carries
    /// it out.
    ///
    /// ```
    /// use dialects::response::{Framing, UsageReader};
    /// use policy::surface::Surface;
    ///
    /// let mut reader = UsageReader::new(Surface::OpenaiChat, Framing::Sse);
    /// let chunk = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: {";
    /// reader.push(chunk);
    /// assert_eq!(reader.whole_events_in(chunk.len()), Some(chunk.len() - 7));
    /// let end = String::from_utf8(reader.end_early("Over.", 1_700_000_000)).unwrap();
    /// assert!(end.contains("\\n\\nOver.") && end.ends_with("data: [DONE]\n\n"));
    /// ```
    pub fn end_early(&self, notice: &str, created_secs: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let has_ended = self.facts.shown.has_ended;
        if has_ended && self.surface != Surface::GeminiGenerate {
            return out;
        }
        let progress = Progress {
            shown: &self.facts.shown,
            id: self.response_id().unwrap_or_default(),
            model: self.model().unwrap_or_default(),
            created_secs,
            output_tokens: self.usage().map_or(0, |usage| usage.output_tokens.get()),
        };
        end_resumed(self.surface, self.framing, &progress, notice, &mut out);
        out
    }
}

/// What is known of a stream whose early end is to be written.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    pub(crate) shown: &'a Shown,
    pub(crate) id: &'a str,
    pub(crate) model: &'a str,
    pub(crate) created_secs: u64,
    pub(crate) output_tokens: u64,
}

/// What is known of the data of the event being read.
#[derive(Debug, Default)]
struct Event {
    /// Bytes of data so far.
    length: usize,
    /// How many of them are the beginning of [`DONE`].
    done_matched: usize,
    is_broken: bool,
}

/// What ends a stream of chat completions.
const DONE: &[u8] = b"[DONE]";

/// Feeds the data of each event of a stream to the walker.
struct Events<'a> {
    walker: &'a mut Walker<Place>,
    facts: &'a mut Facts,
    event: &'a mut Event,
}

impl Sink for Events<'_> {
    fn data(&mut self, piece: &[u8]) {
        let event = &mut *self.event;
        event.length = event.length.saturating_add(piece.len());
        if event.length <= DONE.len() && DONE.get(event.done_matched..event.length) == Some(piece) {
            event.done_matched = event.length;
        }
        if !event.is_broken {
            event.is_broken = self.walker.push(piece, self.facts).is_err();
        }
    }

    fn end(&mut self, _: Frame) {
        let event = std::mem::take(self.event);
        if event.length == 0 {
            return;
        }
        if event.length == DONE.len() && event.done_matched == DONE.len() {
            self.facts.terminal_seen = true;
        } else if self.walker.finish(self.facts).is_err() {
            self.facts.irregular_events += 1;
            let unread = u64::try_from(event.length).unwrap_or(u64::MAX);
            self.facts.unread_bytes = self.facts.unread_bytes.saturating_add(unread);
        }
        self.walker.reset();
        self.facts.end_event();
        self.facts.frame_ended();
    }
}

/// What an answer has told so far.
#[derive(Debug)]
struct Facts {
    dialect: Dialect,
    counts: Counts,
    /// The counts of the usage object being read.
    pending: Counts,
    /// What was used by samplings that `counts` leaves out.
    beside: Usage,
    iterations: Option<Usage>,
    iteration: Counts,
    iteration_is_counted: bool,
    /// Web searches in the list of output items, and in events about single items.
    listed_searches: u64,
    streamed_searches: u64,
    item: Item,
    event_item_is_search: bool,
    event_type: EventType,
    output_bytes: u64,
    event_output_bytes: u64,
    /// Output of whole events behind the last count of output.
    unreported: u64,
    event_tells_output: bool,
    unread_bytes: u64,
    terminal_seen: bool,
    error_seen: bool,
    irregular_events: u64,
    model: Option<String>,
    response_id: Option<String>,
    made: Made,
    shown: Shown,
    /// Whether an event is over only with its frame.
    has_frames: bool,
    /// Where the item of an array that ended last ends.
    item_end: u64,
}

/// The output item being read.
#[derive(Debug, Default)]
struct Item {
    is_search_call: bool,
    action_is_other: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum EventType {
    #[default]
    Other,
    /// Ends the stream.
    Terminal,
    /// Ends the stream with an error.
    Failed,
    Error,
    ItemDone,
    /// Its delta is not text.
    Audio,
}

impl EventType {
    fn from_name(name: &str) -> Self {
        match name {
            "message_stop" | "response.completed" | "response.incomplete" => Self::Terminal,
            "response.failed" => Self::Failed,
            "error" => Self::Error,
            "response.output_item.done" => Self::ItemDone,
            _ if name.starts_with("response.audio") => Self::Audio,
            _ => Self::Other,
        }
    }
}

impl Facts {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            counts: Counts::default(),
            pending: Counts::default(),
            beside: Usage::default(),
            iterations: None,
            iteration: Counts::default(),
            iteration_is_counted: false,
            listed_searches: 0,
            streamed_searches: 0,
            item: Item::default(),
            event_item_is_search: false,
            event_type: EventType::Other,
            output_bytes: 0,
            event_output_bytes: 0,
            unreported: 0,
            event_tells_output: false,
            unread_bytes: 0,
            terminal_seen: false,
            error_seen: false,
            irregular_events: 0,
            model: None,
            response_id: None,
            made: Made::default(),
            shown: Shown::default(),
            has_frames: false,
            item_end: 0,
        }
    }

    fn usage(&self) -> Option<Usage> {
        if self.counts.is_empty() {
            return None;
        }
        let mut usage = self.counts.usage(self.dialect).saturating_add(&self.beside);
        let searches = self.listed_searches.max(self.streamed_searches);
        usage.web_search_requests = usage
            .web_search_requests
            .saturating_add(TokenCount::new(searches));
        Some(usage)
    }

    /// Draws the conclusions of an event that has ended, well-formed or not.
    fn end_event(&mut self) {
        match self.event_type {
            EventType::Other | EventType::Audio => {}
            EventType::Terminal => self.terminal_seen = true,
            EventType::Failed => {
                self.terminal_seen = true;
                self.error_seen = true;
            }
            EventType::Error => self.error_seen = true,
            EventType::ItemDone => self.streamed_searches += u64::from(self.event_item_is_search),
        }
        if self.event_type != EventType::Audio {
            self.output_bytes = self.output_bytes.saturating_add(self.event_output_bytes);
            self.unreported = self.unreported.saturating_add(self.event_output_bytes);
        }
        if self.event_tells_output {
            self.unreported = 0;
        }
        self.event_tells_output = false;
        self.event_type = EventType::Other;
        self.event_item_is_search = false;
        self.event_output_bytes = 0;
        self.pending = Counts::default();
        self.iterations = None;
    }

    /// The client has been shown the event.
    fn frame_ended(&mut self) {
        self.shown.frame_ended();
        self.shown.has_ended = self.terminal_seen;
    }

    fn count(&mut self, written: &str, count: Count) {
        match whole_number(written) {
            Some(value) => self.pending.set(count, value),
            None => self.irregular_events += 1,
        }
    }

    fn add_output(&mut self, bytes: u64) {
        self.event_output_bytes = self.event_output_bytes.saturating_add(bytes);
    }
}

fn set_once(slot: &mut Option<String>, value: &str) {
    if slot.is_none() && !value.is_empty() {
        *slot = Some(value.to_owned());
    }
}

impl Visitor for Facts {
    type Tag = Place;

    fn begin(&mut self, place: Place, container: Container, _: u64) {
        match place {
            Place::Usage => self.pending = Counts::default(),
            Place::Iterations => self.iterations = Some(Usage::default()),
            Place::Iteration => {
                self.iteration = Counts::default();
                self.iteration_is_counted = false;
            }
            Place::Items(_) if container == Container::Array => self.listed_searches = 0,
            Place::Item(_) => self.item = Item::default(),
            Place::Error => self.error_seen = true,
            Place::Choice => self.shown.choice_begins(),
            Place::Calls => self.shown.choice_calls(),
            Place::Event
            | Place::BlockType
            | Place::ItemId
            | Place::ChoiceIndex
            | Place::ChoiceFinish
            | Place::Type
            | Place::Id
            | Place::Model
            | Place::Count(_)
            | Place::IterationType
            | Place::IterationCount(_)
            | Place::Output
            | Place::Arguments
            | Place::Finish
            | Place::Items(_)
            | Place::ItemType
            | Place::ActionType
            | Place::Way => {}
        }
    }

    fn end(&mut self, place: Place, closed: Closed) {
        let Closed {
            container, span, ..
        } = closed;
        match place {
            Place::Event if container == Container::Object => {
                self.end_event();
                self.shown.event_read();
                if !self.has_frames {
                    self.item_end = span.end;
                    self.frame_ended();
                }
            }
            Place::Choice => self.shown.choice_ends(),
            Place::Usage => {
                self.counts.update(&self.pending);
                self.event_tells_output |= self.pending.tell_output();
                if let Some(beside) = self.iterations.take() {
                    self.beside = beside;
                }
            }
            Place::Iteration if self.iteration_is_counted => {
                let usage = self.iteration.usage(self.dialect);
                self.iterations = self.iterations.map(|sum| sum.saturating_add(&usage));
            }
            Place::Item(items) if self.item.is_search_call && !self.item.action_is_other => {
                match items {
                    Items::Answer => self.listed_searches += 1,
                    Items::Event => self.event_item_is_search = true,
                }
            }
            Place::Arguments => self.add_output(span.end.saturating_sub(span.start)),
            Place::Event
            | Place::BlockType
            | Place::ItemId
            | Place::ChoiceIndex
            | Place::ChoiceFinish
            | Place::Calls
            | Place::Type
            | Place::Id
            | Place::Model
            | Place::Count(_)
            | Place::Iterations
            | Place::Iteration
            | Place::IterationType
            | Place::IterationCount(_)
            | Place::Output
            | Place::Finish
            | Place::Error
            | Place::Items(_)
            | Place::Item(_)
            | Place::ItemType
            | Place::ActionType
            | Place::Way => {}
        }
    }

    fn scalar(&mut self, place: Place, value: Scalar<'_>, _: Span) {
        match (place, value) {
            (Place::Count(count), Scalar::Number(written)) => self.count(written, count),
            (Place::IterationCount(count), Scalar::Number(written)) => {
                if let Some(value) = whole_number(written) {
                    self.iteration.set(count, value);
                }
            }
            (Place::IterationType, Scalar::Text { value, .. }) => {
                self.iteration_is_counted = value != "message"
            }
            (Place::Type, Scalar::Text { value, .. }) => {
                self.event_type = EventType::from_name(value);
                self.shown.step(value);
            }
            (Place::BlockType, Scalar::Text { value, .. }) => self.shown.block_kind(value),
            (Place::ItemId, Scalar::Text { value, whole }) => {
                self.shown.item_id(value);
                self.made.item(value, whole);
            }
            (Place::ChoiceIndex, Scalar::Number(written)) => self.shown.choice_index(written),
            (Place::ChoiceFinish, Scalar::Text { .. }) => self.shown.choice_finishes(),
            (Place::Id, Scalar::Text { value, .. }) => set_once(&mut self.response_id, value),
            (Place::Model, Scalar::Text { value, .. }) => set_once(&mut self.model, value),
            (Place::Finish, Scalar::Text { .. }) => self.terminal_seen = true,
            (Place::Error, Scalar::Text { .. }) => self.error_seen = true,
            (Place::ItemType, Scalar::Text { value, .. }) => {
                self.item.is_search_call = value == "web_search_call";
                self.shown.item_kind(value);
            }
            (Place::ActionType, Scalar::Text { value, .. }) => {
                self.item.action_is_other = value != "search"
            }
            _ => {}
        }
    }

    fn piece(&mut self, _: Place, piece: &[u8]) {
        self.add_output(u64::try_from(piece.len()).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests;

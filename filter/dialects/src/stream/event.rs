//! What one event of a stream holds.

use std::mem;
use std::ops::Range;

use policy::guardrail::TextRole;
use policy::surface::{Dialect, Surface};

use super::channel::{Channel, ChannelKey};
use super::frames::Framer;
use super::{Judge, Ruling, WholeRuling};
use crate::content::area::{ARGUMENTS, Delta};
use crate::content::collector::{ANY, Collector, JsonTexts, Part, Told, is_container};
use crate::content::scope::Kind;
use crate::content::{Block, BlockKind, Edit, Unscanned, event_collector};
use crate::escape::unescape;
use crate::json::{Scalar, Span, Token, Visitor, Walker};

/// What has to be known of an event once it has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: EventKind,
    pub(super) index: u32,
    pub(super) sequence: Option<u64>,
    /// Whether it belongs to a choice or candidate, whose number is `index`.
    pub(super) has_choice: bool,
    /// Whether that ends with it.
    pub(super) finishes: bool,
    /// Whether it holds more texts than can be judged.
    pub(super) is_overfull: bool,
    /// Whether it holds nothing that waits for a decision and need not keep its place: it keeps clients waiting.
    pub(super) may_overtake: bool,
}

/// Events that the end of a stream depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum EventKind {
    #[default]
    Other,
    /// No data that a client sees.
    Comment,
    /// `[DONE]`
    Done,
    // Anthropic.
    Ping,
    MessageStart,
    BlockStart,
    /// The same, of text.
    TextStart,
    /// The same, of a tool's call.
    CallStart,
    BlockStop,
    MessageDelta,
    MessageStop,
    // Responses.
    Created,
    ItemAdded,
    PartAdded,
    TextDelta,
    TextDone,
    PartDone,
    ItemDone,
    Ended,
}

/// What a text is in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    /// The next piece of a channel.
    Piece,
    Text,
    /// A string that holds JSON text.
    JsonText,
    Number,
    /// Data that is no JSON.
    Plain,
}

/// A text of an event.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: ItemKind,
    pub(super) channel: Option<ChannelKey>,
    pub(super) role: TextRole,
    pub(super) label: String,
    pub(super) text: String,
    /// The literal in the frame.
    pub(super) raw: Range<usize>,
    pub(super) may_change: bool,
}

/// Which channels an event ends.
#[derive(Debug, Default)]
pub(super) struct Ends {
    all: bool,
    indexes: Vec<u32>,
    one: Option<(u32, u32, Delta)>,
}

impl Ends {
    pub(super) fn covers(&self, key: &ChannelKey) -> bool {
        self.all
            || self.indexes.contains(&key.index)
            || self.one == Some((key.index, key.part, key.delta))
    }
}

/// Reads events, one frame after the other.
#[derive(Debug)]
pub(super) struct EventReader {
    surface: Surface,
    walker: Walker<()>,
    collector: Collector,
    /// The data of the frame, and which parts of the frame it is made of.
    data: Vec<u8>,
    lines: Vec<Range<usize>>,
    items: Vec<Item>,
    is_json: bool,
}

impl EventReader {
    pub(super) fn new(surface: Surface) -> Self {
        Self {
            surface,
            walker: Walker::new(&ANY),
            collector: event_collector(surface),
            data: Vec::new(),
            lines: Vec::new(),
            items: Vec::new(),
            is_json: false,
        }
    }

    /// Reads a frame; its texts, ends and shadows can be had until the next.
    pub(super) fn read(&mut self, frame: &[u8], framer: &Framer) -> Event {
        self.lines = framer.data(frame);
        self.data.clear();
        self.items.clear();
        self.collector.reset(TextRole::Assistant);
        self.walker.reset();
        for (number, line) in self.lines.iter().enumerate() {
            if number > 0 {
                self.data.push(b'\n');
            }
            self.data
                .extend_from_slice(frame.get(line.clone()).unwrap_or_default());
        }
        self.is_json = false;
        if self.data.is_empty() {
            return Event {
                kind: EventKind::Comment,
                may_overtake: matches!(framer, Framer::Sse(_)),
                ..Event::default()
            };
        }
        if self.data == DONE {
            return Event {
                kind: EventKind::Done,
                ..Event::default()
            };
        }
        let collector = &mut self.collector;
        let mut reading = Reading { collector };
        self.is_json = self.walker.push(&self.data, &mut reading).is_ok()
            && self.walker.finish(&mut reading).is_ok();
        if self.collector.full_at.is_some() {
            self.collector.told.clear();
        } else if self.is_json {
            self.collect();
        } else {
            self.collector.reset(TextRole::Assistant);
            self.collect_plain();
        }
        let kind = self.kind();
        // In a chunk of choices or candidates the first of them is the first scope inside.
        let has_choice = matches!(self.surface, Surface::OpenaiChat | Surface::GeminiGenerate)
            && self.collector.scopes.get(FIRST + 1).is_some();
        let scope = FIRST + u32::from(has_choice);
        Event {
            kind,
            index: self.index(scope, |scope| scope.index),
            sequence: self.collector.sequence,
            has_choice,
            finishes: !self.collector.finished.is_empty(),
            is_overfull: self.collector.full_at.is_some(),
            may_overtake: kind == EventKind::Ping && self.items.is_empty(),
        }
    }

    pub(super) fn take_items(&mut self) -> Vec<Item> {
        mem::take(&mut self.items)
    }

    /// Gives the list back, for the next event.
    pub(super) fn give_back(&mut self, mut items: Vec<Item>) {
        items.clear();
        self.items = items;
    }

    pub(super) fn take_unscanned(&mut self) -> Vec<Unscanned> {
        mem::take(&mut self.collector.unscanned)
    }

    /// Returns where the frame repeats its text token by token.
    pub(super) fn shadows(&self) -> impl Iterator<Item = Range<usize>> {
        self.collector
            .shadows
            .iter()
            .map(|span| self.in_frame(*span))
    }

    /// Returns the tool calls that begin in the event: it waits until they are complete.
    pub(super) fn calls(&self) -> Vec<ChannelKey> {
        let key = |index, part| ChannelKey {
            index,
            part,
            delta: Delta::Arguments,
            is_frozen: false,
        };
        match (self.surface, self.kind()) {
            (_, EventKind::CallStart) => vec![key(self.index(FIRST, |scope| scope.index), 0)],
            (Surface::OpenaiResponses, EventKind::ItemAdded) if self.collector.starts_call => {
                // Its arguments end before the item does, and a client needs both.
                vec![key(self.index(FIRST, |scope| scope.index), u32::MAX)]
            }
            (Surface::OpenaiChat, _) => {
                let scopes = self.collector.scopes.numbered();
                let calls = scopes.filter_map(|(number, scope)| {
                    let part = scope.part_index?;
                    Some(key(self.index(number, |scope| scope.index), part))
                });
                calls.collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns which channels the event ends.
    pub(super) fn ends(&self) -> Ends {
        let finished = self.collector.finished.iter();
        let mut ends = Ends {
            all: matches!(
                self.kind(),
                EventKind::Done
                    | EventKind::MessageDelta
                    | EventKind::MessageStop
                    | EventKind::Ended
            ),
            indexes: finished
                .map(|scope| self.index(*scope, |scope| scope.index))
                .collect(),
            one: None,
        };
        let index = self.index(FIRST, |scope| scope.index);
        let kind = self.kind();
        if matches!(kind, EventKind::BlockStop | EventKind::ItemDone) {
            ends.indexes.push(index);
        } else if self.surface == Surface::OpenaiResponses
            && self.collector.event_type.ends_with(b".done")
        {
            let part = self.index(FIRST, |scope| scope.part_index);
            ends.one = Some((index, part, delta_of(&self.collector.event_type)));
        }
        ends
    }

    fn kind(&self) -> EventKind {
        if self.data == DONE {
            return EventKind::Done;
        }
        if !self.is_json {
            return EventKind::Other;
        }
        let kind = EventKind::named(&self.collector.event_type);
        if kind != EventKind::BlockStart {
            return kind;
        }
        let block = self.collector.scopes.get(FIRST + 1);
        match block.map(|block| block.kind()) {
            Some(Kind::ToolCall) => EventKind::CallStart,
            Some(Kind::TextSource) => EventKind::TextStart,
            _ => EventKind::BlockStart,
        }
    }

    /// Returns what the scope or the nearest around it says of its place; 0 if nothing.
    fn index(
        &self,
        scope: u32,
        said: impl Fn(&crate::content::scope::Scope) -> Option<u32>,
    ) -> u32 {
        let mut around = self.collector.scopes.around(scope);
        around
            .find_map(|(_, scope)| said(scope))
            .unwrap_or_default()
    }

    fn collect_plain(&mut self) {
        let (Some(first), Some(last)) = (self.lines.first(), self.lines.last()) else {
            return;
        };
        self.items.push(Item {
            kind: ItemKind::Plain,
            channel: None,
            role: TextRole::Assistant,
            label: String::new(),
            text: String::from_utf8_lossy(&self.data).into_owned(),
            raw: first.start..last.end,
            may_change: true,
        });
    }

    fn collect(&mut self) {
        for told in &self.collector.told {
            let item = self.item(told);
            self.items.push(item);
        }
    }

    fn item(&self, told: &Told) -> Item {
        let raw = bytes(&self.data, told.span);
        let text = match told.kind {
            BlockKind::Number => raw.into(),
            BlockKind::Text | BlockKind::Key => unescape(raw),
        };
        let label = match (told.kind, told.label) {
            (BlockKind::Key, _) | (_, None) => &[],
            (_, Some(label)) => bytes(&self.data, label),
        };
        let delta = match told.part {
            Part::Delta(Delta::ByType) | Part::Restated(Delta::ByType) => {
                delta_of(&self.collector.event_type)
            }
            Part::Delta(delta) | Part::Restated(delta) => delta,
            Part::Says(_) | Part::JsonText | Part::Source => Delta::Text,
        };
        let is_streamed = matches!(told.part, Part::Delta(_) | Part::Restated(_));
        let role = match (is_streamed, delta) {
            (true, Delta::Thinking | Delta::Summary | Delta::Details) => TextRole::Thinking,
            (true, Delta::Arguments | Delta::Input) => TextRole::ToolArguments,
            _ => self.collector.role(told),
        };
        let mut may_change = self.collector.may_change(told, role);
        if is_streamed && self.is_signed_later(delta) {
            may_change = false;
        }
        let channel = matches!(told.part, Part::Delta(_)).then(|| ChannelKey {
            index: self.index(told.scope, |scope| scope.index),
            part: self.index(told.scope, |scope| scope.part_index),
            delta: if role == TextRole::Thinking && delta == Delta::Text {
                Delta::Thinking
            } else {
                delta
            },
            is_frozen: !may_change,
        });
        let kind = match (told.part, told.kind) {
            (_, BlockKind::Number) => ItemKind::Number,
            (Part::Delta(_), _) => ItemKind::Piece,
            (Part::JsonText, _) => ItemKind::JsonText,
            (Part::Restated(_), _) if delta == Delta::Arguments => ItemKind::JsonText,
            _ => ItemKind::Text,
        };
        Item {
            kind,
            channel,
            role,
            label: String::from_utf8_lossy(label).into_owned(),
            text: String::from_utf8_lossy(&text).into_owned(),
            raw: self.in_frame(told.span),
            may_change,
        }
    }

    /// Whether a text may turn out to be signed when all of it is there.
    fn is_signed_later(&self, delta: Delta) -> bool {
        match delta {
            Delta::Details => true,
            Delta::Thinking | Delta::Summary => {
                self.surface.dialect() == Dialect::Anthropic
                    || self.surface == Surface::OpenaiResponses
            }
            Delta::Text
            | Delta::Refusal
            | Delta::Arguments
            | Delta::Input
            | Delta::Transcript
            | Delta::ByType => false,
        }
    }

    /// Returns where a literal of the data stands in the frame; no literal goes over a line's end.
    fn in_frame(&self, span: Span) -> Range<usize> {
        let mut start = usize::try_from(span.start).unwrap_or(usize::MAX);
        let length = usize::try_from(span.end.saturating_sub(span.start)).unwrap_or(usize::MAX);
        for line in &self.lines {
            if start <= line.len() {
                let start = line.start + start;
                return start..start.saturating_add(length);
            }
            start -= line.len() + 1;
        }
        0..0
    }
}

/// The scope of the event itself.
const FIRST: u32 = 1;

/// What ends a stream of chat completions.
const DONE: &[u8] = b"[DONE]";

fn bytes(data: &[u8], span: Span) -> &[u8] {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    data.get(at(span.start)..at(span.end)).unwrap_or_default()
}

impl EventKind {
    fn named(name: &[u8]) -> Self {
        match name {
            b"ping" => Self::Ping,
            b"message_start" => Self::MessageStart,
            b"content_block_start" => Self::BlockStart,
            b"content_block_stop" => Self::BlockStop,
            b"message_delta" => Self::MessageDelta,
            b"message_stop" => Self::MessageStop,
            b"response.created" => Self::Created,
            b"response.output_item.added" => Self::ItemAdded,
            b"response.content_part.added" => Self::PartAdded,
            b"response.output_text.delta" => Self::TextDelta,
            b"response.output_text.done" => Self::TextDone,
            b"response.content_part.done" => Self::PartDone,
            b"response.output_item.done" => Self::ItemDone,
            b"response.completed" | b"response.incomplete" | b"response.failed" | b"error" => {
                Self::Ended
            }
            _ => Self::Other,
        }
    }
}

/// Returns which text the events of a type are about.
fn delta_of(event_type: &[u8]) -> Delta {
    let name = event_type.strip_prefix(b"response.").unwrap_or_default();
    let end = name.iter().rposition(|byte| *byte == b'.');
    match name.get(..end.unwrap_or_default()).unwrap_or_default() {
        b"output_text" => Delta::Text,
        b"refusal" => Delta::Refusal,
        b"reasoning_text" | b"reasoning" => Delta::Thinking,
        b"reasoning_summary_text" | b"reasoning_summary" => Delta::Summary,
        b"function_call_arguments" | b"mcp_call_arguments" | b"mcp_call.arguments" => {
            Delta::Arguments
        }
        b"custom_tool_call_input"
        | b"code_interpreter_call_code"
        | b"code_interpreter_call.code" => Delta::Input,
        b"audio.transcript" | b"audio_transcript" => Delta::Transcript,
        _ => Delta::ByType,
    }
}

/// Judges the complete arguments of a tool.
pub(super) fn judge_arguments<J: Judge>(text: &str, channel: &Channel, judge: &mut J) -> Ruling {
    let (edits, stop) = if text.is_empty() {
        (Vec::new(), false)
    } else if channel.key.delta == Delta::Arguments {
        judge_json_text(text, "arguments", channel.may_change, judge)
    } else {
        let ruling = judge.whole(channel.role, "input", text, channel.may_change);
        (ruling.edits, ruling.stop)
    };
    Ruling {
        passes_to: u64::MAX,
        edits,
        stop,
    }
}

/// Judges the texts in JSON text one by one. The edits are those of the JSON text, with what they write escaped.
pub(super) fn judge_json_text<J: Judge>(
    text: &str,
    label: &str,
    may_change: bool,
    judge: &mut J,
) -> (Vec<Edit>, bool) {
    let role = TextRole::ToolArguments;
    if !is_container(text.as_bytes()) {
        let ruling = judge.whole(role, label, text, may_change);
        return (ruling.edits, ruling.stop);
    }
    let mut splices = Vec::new();
    let mut stop = false;
    let mut sink = |block: Block<'_>| {
        let decoded = block.text();
        let text = String::from_utf8_lossy(&decoded);
        let WholeRuling { edits, stop: stops } =
            judge.whole(role, block.label(), &text, may_change);
        stop |= stops;
        block.splices(&edits, &mut splices);
    };
    let mut collector = Collector::new(&ARGUMENTS, role, false, JsonTexts::Told);
    let mut walker = Walker::new(&ANY);
    let mut visitor = Texts {
        collector: &mut collector,
        sink: &mut sink,
    };
    // It was walked before, so it cannot fail.
    let walked = walker.push(text.as_bytes(), &mut visitor);
    let edits = splices.into_iter().map(|splice| Edit {
        start: splice.start,
        end: splice.end,
        with: String::from_utf8_lossy(&splice.with).into_owned(),
    });
    (edits.collect(), stop || walked.is_err())
}

/// Collects the tokens of an event.
struct Reading<'a> {
    collector: &'a mut Collector,
}

impl Visitor for Reading<'_> {
    type Tag = ();
    const TOKENS: bool = true;

    fn token(&mut self, token: Token<'_>, span: Span) {
        self.collector
            .token(token, span, None, &mut |_: Block<'_>| {});
    }

    fn scalar(&mut self, (): (), _: Scalar<'_>, _: Span) {}
}

/// Tells the texts of JSON text.
struct Texts<'a, S> {
    collector: &'a mut Collector,
    sink: &'a mut S,
}

impl<S: FnMut(Block<'_>)> Visitor for Texts<'_, S> {
    type Tag = ();
    const TOKENS: bool = true;

    fn token(&mut self, token: Token<'_>, span: Span) {
        self.collector.token(token, span, None, self.sink);
    }

    fn scalar(&mut self, (): (), _: Scalar<'_>, _: Span) {}
}

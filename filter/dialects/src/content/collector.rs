//! Walks areas with the tokens of a document and tells its texts.

use std::cell::OnceCell;

use policy::guardrail::TextRole;

use super::area::{
    ARGUMENTS, Area, Begins, Delta, Fact, Keys, Rule, SCHEMA_TYPE, SCHEMA_WORDS, Says, UNKNOWN,
};
use super::block::{self, Block, Literal, LongText, Outer};
use super::scope::{Mime, ROOT, Scopes};
use super::trail::{Frame, Trail};
use super::{BlockKind, BlockSink, ContentError, Media, Unscanned};
use crate::escape::{unescape, unescape_into};
use crate::json::{Container, Scalar, Shape, Span, Token, Visitor, Walker, Want};

/// A structural scalar that is longer is no such thing and is told as text.
const KNOWN_BYTES: usize = 256;

/// Digits of the shortest whole number that is told.
const NUMBER_DIGITS: usize = 8;

/// Places of unscanned content that are listed; what is beyond is counted.
const MAX_UNSCANNED: usize = 256;

/// Items that ask the client to run a tool, and those that must not stand in a conversation without their end.
const CLIENT_CALLS: &[&[u8]] = &[
    b"tool_use",
    b"server_tool_use",
    b"mcp_tool_use",
    b"function_call",
    b"custom_tool_call",
    b"mcp_call",
];

/// Texts of one document, and scopes of it, that are kept; real ones have some thousands.
pub(crate) const MAX_TEXTS: usize = 1 << 18;

/// What has to be remembered of a text until everything about it was said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// The literal in the document, between its quotes; for a text inside JSON text the literal around it.
    pub(crate) span: Span,
    /// The member's name.
    pub(crate) label: Option<Span>,
    pub(crate) scope: u32,
    pub(crate) part: Part,
    pub(crate) kind: BlockKind,
    pub(crate) is_nested: bool,
}

/// What a text is in its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Says(Says),
    /// Arguments as JSON text, whole.
    JsonText,
    /// Data that may turn out to be media.
    Source,
    Delta(Delta),
    Restated(Delta),
}

/// What becomes of JSON text inside a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonTexts {
    /// Its texts are told one by one.
    Opened,
    /// It is told as it is.
    Told,
}

/// The texts of one document.
#[derive(Debug)]
pub(crate) struct Collector {
    area: &'static Area,
    json_texts: JsonTexts,
    trail: Trail,
    /// What the value is that comes next: what its member's name said, or what the list's did.
    next: Rule,
    /// The scope that the next value stands in.
    scope: u32,
    /// Where the name of the member stands that comes next.
    label: Option<Span>,
    pub(crate) scopes: Scopes,
    pub(crate) told: Vec<Told>,
    pub(crate) unscanned: Vec<Unscanned>,
    pub(crate) unlisted: u64,
    pub(crate) shadows: Vec<Span>,
    pub(crate) event_type: Vec<u8>,
    /// Whether an end was said: of a candidate or choice.
    pub(crate) finished: Vec<u32>,
    /// Whether an item says that it is a call of a tool that the client runs.
    pub(crate) starts_call: bool,
    /// Number of the event in its stream.
    pub(crate) sequence: Option<u64>,
    /// Where the document had more texts or scopes than are kept.
    pub(crate) full_at: Option<u64>,
    /// The container being passed over because it repeats something: how deep it stands, and where it begins if it
    /// repeats the answer's own text.
    repeats: Option<(usize, Option<u64>)>,
    /// What becomes of the string or name that comes in pieces.
    long: Option<Long>,
    decoded: Vec<u8>,
}

/// What becomes of a string or name that comes in pieces.
#[derive(Clone, Copy, Debug)]
enum Long {
    /// It is told, under this number.
    Told(usize),
    /// Nobody can read it here.
    Media(Media),
    /// It means nothing.
    Passed,
}

/// What a string is, by where it stands.
#[derive(Clone, Copy, Debug)]
enum Heard {
    Part(Part),
    Media(Media),
    Nothing,
}

impl Collector {
    pub(crate) fn new(
        area: &'static Area,
        speaker: TextRole,
        thinking_is_frozen: bool,
        json_texts: JsonTexts,
    ) -> Self {
        Self {
            area,
            json_texts,
            trail: Trail::default(),
            next: Rule::In(area),
            scope: ROOT,
            label: None,
            scopes: Scopes::new(speaker, thinking_is_frozen),
            told: Vec::new(),
            unscanned: Vec::new(),
            unlisted: 0,
            shadows: Vec::new(),
            event_type: Vec::new(),
            finished: Vec::new(),
            starts_call: false,
            sequence: None,
            full_at: None,
            repeats: None,
            long: None,
            decoded: Vec::new(),
        }
    }

    /// Starts again before another document, keeping the buffers.
    pub(crate) fn reset(&mut self, speaker: TextRole) {
        self.trail.clear();
        self.next = Rule::In(self.area);
        self.scope = ROOT;
        self.label = None;
        self.scopes.reset(speaker);
        self.told.clear();
        self.unscanned.clear();
        self.unlisted = 0;
        self.shadows.clear();
        self.event_type.clear();
        self.finished.clear();
        self.starts_call = false;
        self.sequence = None;
        self.full_at = None;
        self.repeats = None;
        self.long = None;
    }

    /// Says whether the document had too many texts.
    pub(crate) fn check(&self) -> Result<(), ContentError> {
        self.full_at
            .map_or(Ok(()), |at| Err(ContentError::TooMany { at }))
    }

    /// Returns whose words a text is, as far as is known.
    pub(crate) fn role(&self, told: &Told) -> TextRole {
        match told.part {
            Part::Says(Says::Role(role)) => role,
            Part::JsonText => TextRole::ToolArguments,
            Part::Says(Says::Speaker) | Part::Source | Part::Delta(_) | Part::Restated(_) => {
                self.scopes.speaker(told.scope)
            }
        }
    }

    /// Whether a text may be replaced, as far as is known.
    pub(crate) fn may_change(&self, told: &Told, role: TextRole) -> bool {
        let is_media = told.part == Part::Source
            && (self.scopes.media(told.scope).is_some() || self.scopes.is_encoded_text(told.scope));
        // Anybody can write a signature beside a text; only reasoning is what providers check it against.
        let may_freeze = role == TextRole::Thinking;
        let is_frozen = may_freeze && self.scopes.is_frozen(told.scope);
        !is_media && !is_frozen
    }

    /// Whether the string that comes next has to be at hand when it has ended.
    pub(crate) fn wants_raw(&self) -> bool {
        if self.repeats.is_some() {
            return false;
        }
        match self.next {
            // A file may be a data URL of text.
            Rule::Media(media) => media == Media::File,
            Rule::Vector | Rule::Echo => false,
            Rule::Source => self.scopes.media(self.scope).is_none(),
            Rule::Data => !self.scopes.is_redacted(self.scope),
            Rule::In(_)
            | Rule::Known
            | Rule::Fact(_)
            | Rule::JsonText
            | Rule::Locator(_)
            | Rule::Reference(_)
            | Rule::Tokens
            | Rule::Shadow
            | Rule::Delta(_)
            | Rule::Restated(_) => true,
        }
    }

    pub(crate) fn token<S: BlockSink>(
        &mut self,
        token: Token<'_>,
        span: Span,
        outer: Option<&Outer<'_>>,
        sink: &mut S,
    ) {
        if self.full_at.is_some() {
            return;
        }
        match token {
            Token::Open(container) => self.open(container, span),
            Token::Close(_) => self.close(span),
            Token::Key(raw) => match self.long.take() {
                Some(long) => {
                    self.long_ended(long, span, sink);
                    self.label = Some(span);
                }
                None => self.key(raw, span, outer, sink),
            },
            Token::Text(raw) => {
                if let Some(long) = self.long.take() {
                    self.long_ended(long, span, sink);
                } else if self.repeats.is_none() {
                    self.text(raw, span, outer, sink);
                }
                self.value_ended();
            }
            Token::Number(raw) => {
                if self.repeats.is_none() {
                    self.number(raw, span, outer, sink);
                }
                self.value_ended();
            }
            Token::Literal(flag) => {
                if let (Some(true), Rule::Fact(Fact::Thought)) = (flag, self.next) {
                    self.scopes.say_thought(self.scope);
                }
                self.value_ended();
            }
        }
    }

    fn value_ended(&mut self) {
        self.trail.count();
    }

    fn open(&mut self, container: Container, span: Span) {
        let rule = self.next;
        if matches!(rule, Rule::Shadow | Rule::Echo) && self.repeats.is_none() {
            let start = matches!(rule, Rule::Shadow).then_some(span.start);
            self.repeats = Some((self.trail.depth(), start));
        }
        let mut scope = self.scope;
        if container == Container::Object {
            let begins = rule.area().begins;
            if begins != Begins::Nothing {
                if self.scopes.count() >= MAX_TEXTS {
                    self.full_at = Some(span.start);
                    return;
                }
                scope = self.scopes.begin(self.scope, begins);
            }
        }
        let frame = Frame::new(rule, self.scope, self.label, container);
        self.trail.push(frame);
        self.scope = scope;
        if container == Container::Array {
            self.next = rule;
        }
    }

    fn close(&mut self, span: Span) {
        if let Some(frame) = self.trail.pop() {
            self.scope = frame.scope;
            self.next = frame.rule;
            self.label = frame.label;
        }
        if let Some((depth, start)) = self.repeats
            && depth == self.trail.depth()
        {
            self.repeats = None;
            let end = span.end;
            self.shadows.extend(start.map(|start| Span { start, end }));
        }
        // A member's rule holds for its value only; the next member brings its own.
        self.value_ended();
    }

    fn key<S: BlockSink>(
        &mut self,
        raw: &[u8],
        span: Span,
        outer: Option<&Outer<'_>>,
        sink: &mut S,
    ) {
        let area = self.trail.area().unwrap_or(&UNKNOWN);
        self.next = area.rule(raw);
        self.trail.name(raw, area.keys);
        if area.keys == Keys::Texts && self.repeats.is_none() {
            let literal = Literal { raw, span };
            self.tell(literal, outer, Part::Says(area.says), BlockKind::Key, sink);
        }
        self.label = outer.is_none().then_some(span);
    }

    fn text<S: BlockSink>(
        &mut self,
        raw: &[u8],
        span: Span,
        outer: Option<&Outer<'_>>,
        sink: &mut S,
    ) {
        if matches!(self.next, Rule::JsonText)
            && self.json_texts == JsonTexts::Opened
            && outer.is_none()
            && self.json_text(raw, span, sink)
        {
            return;
        }
        match self.heard(raw) {
            Heard::Part(part) => {
                let literal = Literal { raw, span };
                self.tell(literal, outer, part, BlockKind::Text, sink);
            }
            Heard::Media(media) => self.media(media, span.end.saturating_sub(span.start)),
            Heard::Nothing => {}
        }
    }

    /// Says what a string is; `raw` is all of it, or the beginning of one that is told in pieces.
    fn heard(&mut self, raw: &[u8]) -> Heard {
        let part = match self.next {
            Rule::In(area) => {
                if std::ptr::eq(area, &SCHEMA_TYPE)
                    && SCHEMA_WORDS.iter().any(|word| word.as_bytes() == raw)
                {
                    return Heard::Nothing;
                }
                Part::Says(area.says)
            }
            Rule::Fact(fact) => {
                // What is written with escapes means the same to the provider.
                self.fact(fact, &unescape(raw));
                if fact == Fact::Signature || raw.len() <= KNOWN_BYTES {
                    return Heard::Nothing;
                }
                Part::Says(Says::Speaker)
            }
            Rule::Known if raw.len() <= KNOWN_BYTES => return Heard::Nothing,
            Rule::Known => Part::Says(Says::Speaker),
            Rule::Tokens => Part::Says(Says::Role(TextRole::User)),
            Rule::Vector | Rule::Shadow | Rule::Echo => return Heard::Nothing,
            Rule::JsonText => Part::JsonText,
            Rule::Media(Media::File) if is_text_url(raw) => {
                Part::Says(Says::Role(TextRole::Attachment))
            }
            Rule::Media(media) => return Heard::Media(media),
            Rule::Data if self.scopes.is_redacted(self.scope) => {
                return Heard::Media(Media::Encrypted);
            }
            Rule::Data => Part::Says(Says::Speaker),
            Rule::Source => match self.scopes.media(self.scope) {
                Some(media) => return Heard::Media(media),
                None => Part::Source,
            },
            Rule::Reference(media) => {
                self.unscanned(media, 0);
                if raw.len() <= KNOWN_BYTES {
                    return Heard::Nothing;
                }
                Part::Says(Says::Speaker)
            }
            Rule::Locator(media) => {
                if let Some(media) = data_url_media(raw, media) {
                    return Heard::Media(media);
                }
                if !raw.starts_with(b"data:") {
                    self.unscanned(media, 0);
                }
                Part::Says(Says::Speaker)
            }
            Rule::Delta(delta) => Part::Delta(delta),
            Rule::Restated(delta) => Part::Restated(delta),
        };
        Heard::Part(part)
    }

    /// Takes the next piece of a string or name that is too long to be told whole.
    pub(crate) fn piece<S: BlockSink>(&mut self, raw: &[u8], is_key: bool, at: u64, sink: &mut S) {
        if self.full_at.is_some() {
            return;
        }
        let long = match self.long {
            Some(long) => long,
            None => self.long_begins(raw, is_key, at, sink),
        };
        self.long = Some(long);
        if let Long::Told(_) = long {
            sink.long_piece(raw);
        }
    }

    fn long_begins<S: BlockSink>(
        &mut self,
        raw: &[u8],
        is_key: bool,
        at: u64,
        sink: &mut S,
    ) -> Long {
        let (heard, kind) = if is_key {
            let area = self.trail.area().unwrap_or(&UNKNOWN);
            self.next = area.rule(raw);
            let shown = raw.get(..KNOWN_BYTES).unwrap_or(raw);
            self.trail.name(shown, area.keys);
            let is_text = area.keys == Keys::Texts;
            let heard = if is_text {
                Heard::Part(Part::Says(area.says))
            } else {
                Heard::Nothing
            };
            (heard, BlockKind::Key)
        } else {
            (self.heard(raw), BlockKind::Text)
        };
        if self.repeats.is_some() {
            return Long::Passed;
        }
        let part = match heard {
            Heard::Part(part) => part,
            Heard::Media(media) => return Long::Media(media),
            Heard::Nothing => return Long::Passed,
        };
        let index = self.told.len();
        if index >= MAX_TEXTS {
            self.full_at = Some(at);
            return Long::Passed;
        }
        // JSON text that is too long to be opened is told as it is: what is written into it must fit its strings.
        let first = raw.iter().find(|byte| !is_escaped_space(**byte));
        self.told.push(Told {
            span: Span { start: at, end: at },
            label: self.label,
            scope: self.scope,
            part,
            kind,
            is_nested: part == Part::JsonText && matches!(first, Some(b'{' | b'[')),
        });
        sink.long_begins(LongText {
            index,
            kind,
            path: block::shown_path(&self.trail, kind),
            at,
        });
        Long::Told(index)
    }

    fn long_ended<S: BlockSink>(&mut self, long: Long, span: Span, sink: &mut S) {
        match long {
            Long::Told(index) => {
                if let Some(told) = self.told.get_mut(index) {
                    told.span = span;
                }
                sink.long_ends();
            }
            Long::Media(media) => self.media(media, span.end.saturating_sub(span.start)),
            Long::Passed => {}
        }
    }

    fn number<S: BlockSink>(
        &mut self,
        raw: &[u8],
        span: Span,
        outer: Option<&Outer<'_>>,
        sink: &mut S,
    ) {
        let says = match self.next {
            Rule::In(area) => area.says,
            Rule::Fact(Fact::Index) => {
                if let Some(index) = small_number(raw) {
                    self.scopes.say_index(self.scope, index);
                }
                return;
            }
            Rule::Fact(Fact::PartIndex) => {
                if let Some(index) = small_number(raw) {
                    self.scopes.say_part_index(self.scope, index);
                }
                return;
            }
            Rule::Tokens => return self.token_id(),
            Rule::Fact(Fact::Sequence) => {
                self.sequence = str::from_utf8(raw).ok().and_then(|raw| raw.parse().ok());
                return;
            }
            Rule::Known | Rule::Vector | Rule::Shadow | Rule::Echo | Rule::Fact(_) => return,
            Rule::JsonText => Says::Role(TextRole::ToolArguments),
            Rule::Media(_)
            | Rule::Source
            | Rule::Data
            | Rule::Locator(_)
            | Rule::Reference(_)
            | Rule::Delta(_)
            | Rule::Restated(_) => Says::Speaker,
        };
        let digits = raw.strip_prefix(b"-").unwrap_or(raw);
        if digits.len() < NUMBER_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
            return;
        }
        let literal = Literal { raw, span };
        self.tell(literal, outer, Part::Says(says), BlockKind::Number, sink);
    }

    fn fact(&mut self, fact: Fact, raw: &[u8]) {
        match fact {
            Fact::Type => {
                self.starts_call |= CLIENT_CALLS.contains(&raw);
                self.scopes.say_kind(self.scope, raw);
            }
            Fact::Role => self.scopes.say_role(self.scope, raw),
            Fact::Mime => self.scopes.say_mime(self.scope, raw),
            Fact::Signature if !raw.is_empty() => self.scopes.say_signed(self.scope),
            Fact::EventType => {
                self.event_type.clear();
                let length = raw.len().min(KNOWN_BYTES);
                self.event_type
                    .extend_from_slice(raw.get(..length).unwrap_or_default());
            }
            Fact::Finish if !raw.is_empty() => self.finished.push(self.scope),
            Fact::Thought
            | Fact::Index
            | Fact::PartIndex
            | Fact::Sequence
            | Fact::Signature
            | Fact::Finish => {}
        }
    }

    /// Notes what nobody can read here; whatever stands beside it stays as it is.
    fn media(&mut self, media: Media, bytes: u64) {
        if bytes == 0 {
            return;
        }
        if media == Media::Encrypted {
            self.scopes.say_signed(self.scope);
        }
        self.unscanned(media, bytes);
    }

    /// Notes a list of token ids at its first one.
    fn token_id(&mut self) {
        if self.trail.is_at_first() {
            self.unscanned(Media::Tokens, 0);
        }
    }

    fn unscanned(&mut self, kind: Media, bytes: u64) {
        if self.unscanned.len() >= MAX_UNSCANNED {
            self.unlisted = self.unlisted.saturating_add(1);
            return;
        }
        let path = self.trail.path();
        self.unscanned.push(Unscanned { kind, path, bytes });
    }

    fn tell<S: BlockSink>(
        &mut self,
        literal: Literal<'_>,
        outer: Option<&Outer<'_>>,
        part: Part,
        kind: BlockKind,
        sink: &mut S,
    ) {
        if literal.span.start == literal.span.end {
            return;
        }
        let index = self.told.len();
        if index >= MAX_TEXTS {
            self.full_at = Some(literal.span.start);
            return;
        }
        self.told.push(Told {
            span: outer.map_or(literal.span, |outer| outer.span),
            label: self.label,
            scope: self.scope,
            part,
            kind,
            is_nested: outer.is_some(),
        });
        sink.block(Block::new(index, kind, literal, outer, &self.trail));
    }

    /// Tells the texts inside JSON text; false if it is none.
    fn json_text<S: BlockSink>(&mut self, raw: &[u8], span: Span, sink: &mut S) -> bool {
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        unescape_into(raw, &mut decoded);
        let is_json = is_container(&decoded);
        if is_json {
            let outer = Outer {
                raw,
                span,
                offsets: OnceCell::new(),
            };
            self.next = Rule::In(&ARGUMENTS);
            let mut walker = Walker::new(&ANY);
            let mut nested = Nested {
                collector: self,
                outer: &outer,
                sink,
            };
            // It was walked before, so it cannot fail.
            let walked = walker.push(&decoded, &mut nested);
            debug_assert_eq!(walked, Ok(()));
            // The string that holds it is counted by its own token.
            self.trail.uncount();
            self.next = Rule::JsonText;
        }
        self.decoded = decoded;
        is_json
    }
}

/// Anything, without a word about it but its tokens.
pub(crate) static ANY: Shape<()> = Shape::scalar((), Want::Presence);

/// Whether bytes are one JSON object or array.
pub(crate) fn is_container(text: &[u8]) -> bool {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    let mut walker = Walker::new(&ANY);
    matches!(first, Some(b'{' | b'['))
        && walker.push(text, &mut Nobody).is_ok()
        && walker.finish(&mut Nobody).is_ok()
}

struct Nobody;

impl Visitor for Nobody {
    type Tag = ();

    fn scalar(&mut self, (): (), _: Scalar<'_>, _: Span) {}
}

/// Hands on the tokens of JSON text that stands in a string.
struct Nested<'a, 'o, S> {
    collector: &'a mut Collector,
    outer: &'a Outer<'o>,
    sink: &'a mut S,
}

impl<S: BlockSink> Visitor for Nested<'_, '_, S> {
    type Tag = ();
    const TOKENS: bool = true;

    fn token(&mut self, token: Token<'_>, span: Span) {
        self.collector
            .token(token, span, Some(self.outer), self.sink);
    }

    fn scalar(&mut self, (): (), _: Scalar<'_>, _: Span) {}
}

/// Returns what a data URL holds that nobody can read here; `None` for text and for other URLs.
fn data_url_media(raw: &[u8], otherwise: Media) -> Option<Media> {
    match Mime::named(raw.strip_prefix(b"data:")?) {
        Mime::Text => None,
        Mime::Media(Media::File) => Some(otherwise),
        Mime::Media(media) => Some(media),
    }
}

/// Whether a string is a data URL of text.
fn is_text_url(raw: &[u8]) -> bool {
    raw.strip_prefix(b"data:")
        .is_some_and(|data| Mime::named(data) == Mime::Text)
}

/// White space of JSON, and the letters of its escapes: what may stand before the first bracket of JSON text.
fn is_escaped_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'\\' | b'n' | b'r' | b't')
}

fn small_number(raw: &[u8]) -> Option<u32> {
    str::from_utf8(raw).ok()?.parse().ok()
}

//! The texts of request bodies and whole answers, with whose words they are and whether they may change.
//!
//! Everything that a body holds as text is told, known or not: every string, every whole number of eight digits or
//! more, and the names of members where somebody chose them (tool arguments, unknown members). What is not told is
//! a short list of structural scalars (types, roles, models, ids, cache markers, signatures), and what nobody can
//! read here, which is listed as [`Unscanned`]. The table in `docs/guardrails-content.md` says it by surface.
//!
//! ```
//! use dialects::content::{Block, ContentReader, Edit};
//! use dialects::splice::apply;
//! use policy::guardrail::TextRole;
//! use policy::surface::Surface;
//!
//! let body = br#"{"model":"m","messages":[{"content":"my pin is 12\u003334","role":"user"}]}"#;
//! let mut reader = ContentReader::request(Surface::OpenaiChat).expect("has a JSON body");
//! let mut splices = Vec::new();
//! let mut sink = |block: Block<'_>| {
//!     assert_eq!(block.path(), "$.messages[0].content");
//!     assert_eq!(block.text().as_ref(), b"my pin is 12334");
//!     block.splices(&[Edit { start: 10, end: 15, with: "***".to_owned() }], &mut splices);
//! };
//! reader.push(&body[..40], &mut sink)?;
//! reader.push(&body[40..], &mut sink)?;
//! let content = reader.finish(&mut sink)?;
//! let place = content.place(0).expect("one block");
//! assert_eq!((place.role, place.is_history, place.may_change), (TextRole::User, false, true));
//! assert_eq!(
//!     apply(body, &mut splices)?,
//!     br#"{"model":"m","messages":[{"content":"my pin is ***","role":"user"}]}"#,
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod anthropic;
pub(crate) mod area;
mod block;
mod chat;
pub(crate) mod collector;
#[cfg(test)]
mod docs;
mod gemini;
mod responses;
pub(crate) mod scope;
pub(crate) mod trail;

use policy::guardrail::TextRole;
use policy::surface::{Dialect, Surface};

use self::area::Area;
pub use self::block::{Block, Edit, LongText, apply_edits};
use self::collector::{ANY, Collector, JsonTexts, MAX_TEXTS, Part};
use crate::json::{JsonError, Scalar, Span, Token, Visitor, Walker};
use crate::splice::Splice;

/// Receives the texts of a body.
///
/// A literal of more than [`LONG_BYTES`](crate::json::LONG_BYTES) between its quotes comes in pieces, so that nobody
/// has to hold it; whether one does depends on its length alone. JSON text of that length is told as it is.
pub trait BlockSink {
    /// The next text; each comes once, in the order of the body, whatever the chunks.
    fn block(&mut self, block: Block<'_>);

    /// A long text begins.
    fn long_begins(&mut self, text: LongText) {
        let _: LongText = text;
    }

    /// The next piece of the long text, still escaped; it may end inside an escape or a UTF-8 sequence.
    fn long_piece(&mut self, raw: &[u8]) {
        let _: &[u8] = raw;
    }

    /// The long text has ended.
    fn long_ends(&mut self) {}
}

/// A closure hears of the texts that are told whole.
impl<F: FnMut(Block<'_>)> BlockSink for F {
    fn block(&mut self, block: Block<'_>) {
        self(block);
    }
}

/// Why the texts of a body cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The body is not JSON that may pass.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The body holds more texts, or more objects, than are kept.
    #[error("the JSON text holds more than {MAX_TEXTS} texts or objects at byte {at}")]
    TooMany {
        /// Offset of the first that is one too many.
        at: u64,
    },
}

/// What a text is in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// A string.
    Text,
    /// The name of a member.
    Key,
    /// A whole number of eight digits or more.
    Number,
}

/// What is known about a text once its body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPlace {
    /// Between the quotes of the literal; for a text inside JSON text those of the string that holds it.
    pub span: Span,
    /// Whose words it is.
    pub role: TextRole,
    /// Whether the provider got it in an earlier turn: it stands before the end of the last turn of the model. System
    /// prompts and tools count as such when the model has had a turn.
    pub is_history: bool,
    /// Whether it may be replaced: what is signed or encrypted, or stands beside it, may not.
    pub may_change: bool,
    /// Whether it turned out to be media after it was told: findings in it mean nothing.
    pub is_media: bool,
    /// What it is.
    pub kind: BlockKind,
    /// Whether it stands inside JSON text: arguments of a tool as OpenAI writes them.
    pub is_nested: bool,
}

/// What nobody can read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Media {
    Image,
    Audio,
    Video,
    /// A document in base64, or a file that is stored at the provider.
    File,
    /// Reasoning or results that only the provider can read.
    Encrypted,
    /// Token ids in place of text.
    Tokens,
}

impl Media {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Image,
        Self::Audio,
        Self::Video,
        Self::File,
        Self::Encrypted,
        Self::Tokens,
    ];

    /// Returns the name used in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::File => "file",
            Self::Encrypted => "encrypted",
            Self::Tokens => "tokens",
        }
    }
}

/// Content that was not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unscanned {
    /// What it is.
    pub kind: Media,
    /// Where it stands.
    pub path: String,
    /// Its length in the body; 0 where the body only says where it is to be had.
    pub bytes: u64,
}

/// What a body held.
#[derive(Debug)]
pub struct Content {
    collector: Collector,
    last_turn: Option<u32>,
    is_answer: bool,
}

impl Content {
    fn new(collector: Collector, is_answer: bool) -> Self {
        let last_turn = collector.scopes.last_turn_of_model();
        Self {
            collector,
            last_turn,
            is_answer,
        }
    }

    /// Returns how many texts were told.
    pub fn len(&self) -> usize {
        self.collector.told.len()
    }

    /// Whether no text was told.
    pub fn is_empty(&self) -> bool {
        self.collector.told.is_empty()
    }

    /// Returns what is known about the text of this number.
    pub fn place(&self, index: usize) -> Option<BlockPlace> {
        let told = self.collector.told.get(index)?;
        let scopes = &self.collector.scopes;
        let role = self.collector.role(told);
        let is_media = told.part == Part::Source && scopes.media(told.scope).is_some();
        Some(BlockPlace {
            span: told.span,
            role,
            is_history: !self.is_answer && self.is_history(told.scope),
            may_change: self.collector.may_change(told, role),
            is_media,
            kind: told.kind,
            is_nested: told.is_nested,
        })
    }

    fn is_history(&self, scope: u32) -> bool {
        match (self.last_turn, self.collector.scopes.turn(scope)) {
            (Some(last), Some(turn)) => turn <= last,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Returns what was not told, the first 256.
    pub fn unscanned(&self) -> impl Iterator<Item = Unscanned> {
        let late = self.collector.told.iter().filter_map(|told| {
            let media = match told.part {
                Part::Source => self.collector.scopes.media(told.scope)?,
                Part::Says(_) | Part::JsonText | Part::Delta(_) | Part::Restated(_) => return None,
            };
            Some(Unscanned {
                kind: media,
                path: String::new(),
                bytes: told.span.end.saturating_sub(told.span.start),
            })
        });
        self.collector.unscanned.iter().cloned().chain(late)
    }

    /// Returns how much more was not told than [`unscanned`](Self::unscanned) lists.
    pub fn unlisted(&self) -> u64 {
        self.collector.unlisted
    }

    /// Adds what has to go with any other change: lists that repeat an answer's text token by token.
    pub fn complete(&self, splices: &mut Vec<Splice>) {
        if splices.is_empty() {
            return;
        }
        splices.extend(self.collector.shadows.iter().map(|span| Splice {
            start: span.start,
            end: span.end,
            with: b"null".to_vec(),
        }));
    }
}

/// Reads the texts of one body, chunk by chunk.
///
/// Chunks may be any size and end anywhere. Holds the one string that a chunk has cut, as long as that is no long one,
/// and about 50 bytes for each text that was told.
#[derive(Debug)]
pub struct ContentReader {
    walker: Walker<()>,
    collector: Collector,
    is_answer: bool,
}

impl ContentReader {
    /// Starts before the first byte of a request body; `None` if the surface has no JSON body that is governed.
    pub fn request(surface: Surface) -> Option<Self> {
        Some(Self {
            walker: Walker::new(&ANY),
            collector: request_collector(surface)?,
            is_answer: false,
        })
    }

    /// Starts before the first byte of a whole answer, which is an error where the provider sent one.
    pub fn answer(surface: Surface) -> Self {
        let area = answer_area(surface);
        Self {
            walker: Walker::new(&ANY),
            collector: collector(surface, area, TextRole::Assistant, JsonTexts::Opened),
            is_answer: true,
        }
    }

    /// Reads a chunk and tells the texts that end in it.
    ///
    /// # Errors
    /// The first [`ContentError`] of the body. What was told before stands.
    pub fn push<S: BlockSink>(&mut self, chunk: &[u8], sink: &mut S) -> Result<(), ContentError> {
        let collector = &mut self.collector;
        let walked = self.walker.push(chunk, &mut Telling { collector, sink });
        // The collector stops before what the walker stopped at.
        self.collector.check()?;
        Ok(walked?)
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`JsonError::Truncated`] if the body is not one whole value, or the error met before.
    pub fn finish<S: BlockSink>(mut self, sink: &mut S) -> Result<Content, ContentError> {
        let collector = &mut self.collector;
        let walked = self.walker.finish(&mut Telling { collector, sink });
        self.collector.check()?;
        walked?;
        Ok(Content::new(self.collector, self.is_answer))
    }
}

/// Returns what collects the texts of a request.
pub(crate) fn request_collector(surface: Surface) -> Option<Collector> {
    let area = match surface {
        Surface::AnthropicMessages | Surface::AnthropicCountTokens => &anthropic::REQUEST,
        Surface::OpenaiChat => &chat::REQUEST,
        Surface::OpenaiResponses => &responses::REQUEST,
        Surface::OpenaiEmbeddings => &chat::EMBEDDINGS,
        Surface::GeminiGenerate | Surface::GeminiCountTokens | Surface::GeminiEmbed => {
            &gemini::REQUEST
        }
        Surface::AnthropicModels
        | Surface::OpenaiModels
        | Surface::GeminiModels
        | Surface::AnthropicOpaque
        | Surface::OpenaiOpaque
        | Surface::GeminiOpaque => return None,
    };
    let role = TextRole::Attachment;
    Some(collector(surface, area, role, JsonTexts::Opened))
}

/// Makes content of what a request held.
pub(crate) fn request_content(collector: Collector) -> Content {
    Content::new(collector, false)
}

fn collector(
    surface: Surface,
    area: &'static Area,
    role: TextRole,
    json_texts: JsonTexts,
) -> Collector {
    let is_anthropic = surface.dialect() == Dialect::Anthropic;
    Collector::new(area, role, is_anthropic, json_texts)
}

fn answer_area(surface: Surface) -> &'static Area {
    match surface {
        Surface::OpenaiChat => &chat::ANSWER,
        Surface::OpenaiResponses => &responses::ANSWER,
        Surface::OpenaiEmbeddings => &chat::EMBEDDINGS_ANSWER,
        Surface::AnthropicMessages | Surface::AnthropicCountTokens => &anthropic::ANSWER,
        Surface::GeminiGenerate | Surface::GeminiCountTokens | Surface::GeminiEmbed => {
            &gemini::ANSWER
        }
        Surface::AnthropicModels
        | Surface::OpenaiModels
        | Surface::GeminiModels
        | Surface::AnthropicOpaque
        | Surface::OpenaiOpaque
        | Surface::GeminiOpaque => &area::UNKNOWN,
    }
}

/// Returns what collects the texts of one event of a stream.
pub(crate) fn event_collector(surface: Surface) -> Collector {
    let area = match surface.dialect() {
        Dialect::Anthropic => &anthropic::EVENT,
        Dialect::Openai if surface == Surface::OpenaiResponses => &responses::EVENT,
        Dialect::Openai => &chat::EVENT,
        Dialect::Gemini => &gemini::EVENT,
    };
    collector(surface, area, TextRole::Assistant, JsonTexts::Told)
}

/// Hands the tokens of a body to the collector.
struct Telling<'a, S> {
    collector: &'a mut Collector,
    sink: &'a mut S,
}

impl<S: BlockSink> Visitor for Telling<'_, S> {
    type Tag = ();
    const TOKENS: bool = true;
    const IN_PIECES: bool = true;

    fn token(&mut self, token: Token<'_>, span: Span) {
        self.collector.token(token, span, None, self.sink);
    }

    fn raw_piece(&mut self, piece: &[u8], is_key: bool, at: u64) {
        self.collector.piece(piece, is_key, at, self.sink);
    }

    fn wants_raw(&self) -> bool {
        self.collector.wants_raw()
    }

    fn scalar(&mut self, (): (), _: Scalar<'_>, _: Span) {}
}

#[cfg(test)]
mod tests;

//! What a request asks for, read from its body while it arrives.
//!
//! ```
//! use dialects::request::RequestReader;
//! use policy::surface::Surface;
//!
//! let mut reader = RequestReader::new(Surface::AnthropicMessages).expect("has a JSON body");
//! reader.push(br#"{"model":"claude-sonnet-5","max_tokens":64000,"str"#)?;
//! reader.push(br#"eam":true,"messages":[{"role":"user","content":"Hi"}]}"#)?;
//! let facts = reader.finish()?;
//! assert_eq!(facts.model.as_ref().map(|model| model.value.as_str()), Some("claude-sonnet-5"));
//! assert_eq!((facts.stream, facts.max_output_tokens, facts.items), (true, Some(64000), 1));
//! # Ok::<(), dialects::request::BodyError>(())
//! ```

mod elsewhere;
mod error;
mod facts;
mod names;
mod opaque;
mod part;
mod shapes;
mod texts;
mod values;

use policy::surface::Surface;

pub use self::error::BodyError;
use self::facts::Facts;
pub use self::opaque::{OpaqueFacts, OpaqueReader};
use self::shapes::Place;
pub use self::texts::RequestTextReader;
use crate::json::{Span, Walker};

/// Stored things that one request may name: a long conversation of an agent whose every item is a reference.
pub const MAX_REFERENCES: usize = 1_024;

/// Models that one request may name beside its own.
pub const MAX_NESTED_MODELS: usize = 256;

/// Bytes of a model's name or a stateful id.
pub const MAX_ID_BYTES: usize = 512;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// The surface that the body was read for.
    pub surface: Surface,
    /// Length of the body.
    pub bytes: u64,
    /// The model. Gemini names it in the path, but a body may name it, too.
    pub model: Option<ModelField>,
    /// Models that something inside the request names: a tool, a fallback, a part of a batch.
    pub nested_models: Vec<ModelField>,
    /// Whether the answer is to be a stream. Gemini says so in the path, not here.
    pub stream: bool,
    /// The most output tokens that one answer may have, if the request says so; the larger of two such fields.
    pub max_output_tokens: Option<u64>,
    /// How many answers are asked for; at least one.
    pub candidates: u64,
    /// Whether the provider is to work on after answering (Responses).
    pub background: bool,
    /// Whether the provider is to keep the answer, if the request says so.
    pub store: Option<bool>,
    /// Things that the provider keeps, in order, each once; at most [`MAX_REFERENCES`].
    pub references: Vec<Reference>,
    /// The first member that would send the request elsewhere than policy chose.
    pub elsewhere: Option<&'static str>,
    /// What the client says about its session.
    pub session: SessionHints,
    /// Messages, input items, contents or batch parts.
    pub items: u64,
    /// Whether it names a tool that is not known to be run by the client: the provider may act before it answers.
    pub hosted_tools: bool,
    pub(crate) include_usage: IncludeUsage,
}

impl RequestFacts {
    /// Whether the client itself asked for the usage event of a chat stream.
    pub fn asks_for_usage(&self) -> bool {
        self.include_usage == IncludeUsage::Asked
    }
}

/// A model's name in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelField {
    /// The name, decoded.
    pub value: String,
    /// Where its string literal stands, quotes included.
    pub span: Span,
}

/// What a client says about its session; raw, bounded to [`crate::json::CAPTURE_BYTES`] each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionHints {
    /// Anthropic `metadata.user_id`; Claude Code writes JSON into it.
    pub anthropic_user_id: Option<String>,
    /// OpenAI `prompt_cache_key`.
    pub prompt_cache_key: Option<String>,
    /// OpenAI `user`.
    pub user: Option<String>,
    /// OpenAI `safety_identifier`.
    pub safety_identifier: Option<String>,
}

/// Something that a provider keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Which field names it.
    pub field: ReferenceField,
    /// The id, decoded; empty for a [`ReferenceField::Member`].
    pub id: String,
    /// The name of a [`ReferenceField::Member`], if it is a plain one; else empty.
    pub member: String,
}

impl Reference {
    /// Returns the field's name in the provider's spelling, or the member's as it was sent.
    pub fn name(&self) -> &str {
        if self.field == ReferenceField::Member && !self.member.is_empty() {
            &self.member
        } else {
            self.field.name()
        }
    }
}

/// A field that names something a provider keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceField {
    /// Responses `previous_response_id`.
    PreviousResponse,
    /// Responses `conversation`.
    Conversation,
    /// An item of Responses `input` that stands for a stored one.
    Item,
    /// Responses `prompt.id`: a stored prompt, which may bring its own model.
    Prompt,
    /// `file_id` of OpenAI and Anthropic.
    File,
    /// Gemini `fileData.fileUri`, unless it is an address that anybody may read.
    FileUri,
    /// Responses `vector_store_ids`.
    VectorStore,
    /// Gemini `fileSearchStoreNames`.
    FileSearchStore,
    /// `container` of Anthropic and of Responses tools.
    Container,
    /// Gemini `cachedContent`.
    CachedContent,
    /// Chat `audio.id` of an earlier answer.
    Audio,
    /// Reasoning without content: only the provider's store has it.
    Reasoning,
    /// A block or part that has an id and no content of its own.
    Part,
    /// A skill that is not the provider's own.
    Skill,
    /// Any other member that names one, by its own name or by its value.
    Member,
}

impl ReferenceField {
    /// Returns the field's name in the provider's spelling.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreviousResponse => "previous_response_id",
            Self::Conversation => "conversation",
            Self::Item => "input.id",
            Self::Prompt => "prompt.id",
            Self::File => "file_id",
            Self::FileUri => "fileData.fileUri",
            Self::VectorStore => "vector_store_ids",
            Self::FileSearchStore => "fileSearchStoreNames",
            Self::Container => "container",
            Self::CachedContent => "cachedContent",
            Self::Audio => "audio.id",
            Self::Reasoning => "input.id",
            Self::Part => "content.id",
            Self::Skill => "skill_id",
            Self::Member => "a member",
        }
    }
}

/// Whether a chat request asks for the usage event, and if not, where to write that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncludeUsage {
    Asked,
    /// No `stream_options`: they may stand at this offset, before the body's other members.
    NoOptions(u64),
    /// `stream_options` is `null`.
    NullOptions(Span),
    /// `stream_options` lacks it: it may stand at this offset, after the opening brace.
    NoField {
        at: u64,
        is_empty: bool,
    },
    /// It is `false` or `null`.
    Declined(Span),
}

/// Reads one request body, chunk by chunk.
///
/// Chunks may be any size and end anywhere. Holds what [`RequestFacts`] holds and no other text of the body.
#[derive(Debug)]
pub struct RequestReader {
    walker: Walker<Place>,
    facts: Facts,
}

impl RequestReader {
    /// Starts before the first byte of a body; `None` if the surface has no JSON body that is governed.
    pub fn new(surface: Surface) -> Option<Self> {
        Some(Self {
            walker: Walker::new(shapes::body(surface)?),
            facts: Facts::new(surface),
        })
    }

    /// Reads a chunk.
    ///
    /// # Errors
    /// The first thing in the body for which it is refused, once the bytes that prove it were read.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), BodyError> {
        let walked = self.walker.push(chunk, &mut self.facts);
        // What the facts object to stands before what the walker stopped at.
        self.facts.check()?;
        Ok(walked?)
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// The first thing in the body for which it is refused.
    pub fn finish(mut self) -> Result<RequestFacts, BodyError> {
        let walked = self.walker.finish(&mut self.facts);
        self.facts.check()?;
        walked?;
        self.facts.facts.bytes = self.walker.position();
        self.facts.complete()
    }
}

#[cfg(test)]
mod tests;

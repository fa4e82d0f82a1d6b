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

mod error;
mod shapes;

use policy::surface::{Dialect, Surface};

pub use self::error::BodyError;
use self::shapes::{Hint, Place};
use crate::json::{Closed, Container, Scalar, Span, Visitor, Walker};
use crate::response::whole_number;

/// Stateful ids that one request may name.
pub const MAX_REFERENCES: usize = 512;

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
    /// Ids of things that the provider keeps, in order, each once; at most [`MAX_REFERENCES`].
    pub references: Vec<Reference>,
    /// What the client says about its session.
    pub session: SessionHints,
    /// Messages, input items, contents or batch parts.
    pub items: u64,
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

/// The id of something that a provider keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Which field names it.
    pub field: ReferenceField,
    /// The id, decoded.
    pub id: String,
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
    /// Gemini `fileData.fileUri`; also URIs of things that are not the provider's.
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

/// Collects the facts of a body.
#[derive(Debug)]
struct Facts {
    facts: RequestFacts,
    item: Item,
    failed: Option<BodyError>,
}

/// The input item being read.
#[derive(Debug, Default)]
struct Item {
    kind: ItemKind,
    has_role: bool,
    id: Option<(String, u64)>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum ItemKind {
    #[default]
    Unsaid,
    Reference,
    Other,
}

const BOOL: &str = "true or false";
const COUNT: &str = "a whole number";
const TEXT: &str = "a string";
const LIST: &str = "a list";
const OBJECT: &str = "an object";

mod texts;
pub use self::texts::RequestTextReader;

impl Facts {
    fn new(surface: Surface) -> Self {
        let facts = RequestFacts {
            surface,
            bytes: 0,
            model: None,
            nested_models: Vec::new(),
            stream: false,
            max_output_tokens: None,
            candidates: 1,
            background: false,
            store: None,
            references: Vec::new(),
            session: SessionHints::default(),
            items: 0,
            include_usage: IncludeUsage::NoOptions(0),
        };
        Self {
            facts,
            item: Item::default(),
            failed: None,
        }
    }

    fn check(&self) -> Result<(), BodyError> {
        self.failed.map_or(Ok(()), Err)
    }

    fn complete(self) -> Result<RequestFacts, BodyError> {
        if self.facts.model.is_none() && self.facts.surface.dialect() != Dialect::Gemini {
            return Err(BodyError::Missing { field: "model" });
        }
        Ok(self.facts)
    }

    fn fail(&mut self, error: BodyError) {
        self.failed.get_or_insert(error);
    }

    fn wrong_type(&mut self, field: &'static str, expected: &'static str, at: u64) {
        self.fail(BodyError::WrongType {
            field,
            expected,
            at,
        });
    }

    fn model(&mut self, value: Scalar<'_>, span: Span) {
        let Scalar::Text { value, whole } = value else {
            return self.wrong_type("model", TEXT, span.start);
        };
        if !whole || value.len() > MAX_ID_BYTES {
            return self.fail(BodyError::TooLong {
                field: "model",
                at: span.start,
            });
        }
        if value.is_empty() {
            return self.fail(BodyError::Missing { field: "model" });
        }
        self.facts.model = Some(ModelField {
            value: value.to_owned(),
            span,
        });
    }

    fn nested_model(&mut self, value: &str, whole: bool, span: Span) {
        if !whole || value.len() > MAX_ID_BYTES {
            return self.fail(BodyError::TooLong {
                field: "model",
                at: span.start,
            });
        }
        if self.facts.nested_models.len() == MAX_NESTED_MODELS {
            return self.fail(BodyError::TooMany {
                field: "model",
                at: span.start,
            });
        }
        self.facts.nested_models.push(ModelField {
            value: value.to_owned(),
            span,
        });
    }

    fn flag(&mut self, field: &'static str, value: Scalar<'_>, span: Span) -> Option<bool> {
        match value {
            Scalar::Bool(flag) => Some(flag),
            Scalar::Null => None,
            Scalar::Number(_) | Scalar::Text { .. } => {
                self.wrong_type(field, BOOL, span.start);
                None
            }
        }
    }

    fn count(&mut self, field: &'static str, value: Scalar<'_>, span: Span) -> Option<u64> {
        let is_gemini = self.facts.surface.dialect() == Dialect::Gemini;
        let count = match value {
            Scalar::Null => return None,
            Scalar::Number(written) => whole_number(written),
            Scalar::Text { value, .. } if is_gemini => whole_number(value),
            Scalar::Text { .. } | Scalar::Bool(_) => None,
        };
        if count.is_none() {
            self.wrong_type(field, COUNT, span.start);
        }
        count
    }

    fn hint(&mut self, hint: Hint, value: Scalar<'_>) {
        let Scalar::Text { value, .. } = value else {
            return;
        };
        let session = &mut self.facts.session;
        let slot = match hint {
            Hint::AnthropicUserId => &mut session.anthropic_user_id,
            Hint::PromptCacheKey => &mut session.prompt_cache_key,
            Hint::User => &mut session.user,
            Hint::SafetyIdentifier => &mut session.safety_identifier,
        };
        *slot = Some(value.to_owned());
    }

    fn reference(&mut self, field: ReferenceField, id: &str, whole: bool, at: u64) {
        if !whole || id.len() > MAX_ID_BYTES {
            return self.fail(BodyError::TooLong {
                field: field.name(),
                at,
            });
        }
        let references = &mut self.facts.references;
        if references
            .iter()
            .any(|known| known.field == field && known.id == id)
        {
            return;
        }
        if references.len() == MAX_REFERENCES {
            return self.fail(BodyError::TooMany {
                field: field.name(),
                at,
            });
        }
        references.push(Reference {
            field,
            id: id.to_owned(),
        });
    }

    fn item_ended(&mut self) {
        let item = std::mem::take(&mut self.item);
        let stands_for_another = match item.kind {
            ItemKind::Reference => true,
            ItemKind::Unsaid => !item.has_role,
            ItemKind::Other => false,
        };
        if stands_for_another && let Some((id, at)) = item.id {
            self.reference(ReferenceField::Item, &id, true, at);
        }
    }

    /// Reads a scalar at a place where more than one kind of value may stand.
    fn other_scalar(&mut self, place: Place, value: Scalar<'_>, span: Span) {
        match (place, value) {
            (Place::NestedModel, Scalar::Text { value, whole }) => {
                self.nested_model(value, whole, span)
            }
            (Place::Reference(field), Scalar::Text { value, whole }) => {
                self.reference(field, value, whole, span.start);
            }
            (Place::Reference(field), Scalar::Bool(_) | Scalar::Number(_)) => {
                self.wrong_type(field.name(), TEXT, span.start);
            }
            (Place::Messages(_), Scalar::Text { .. }) => self.facts.items = 1,
            (Place::Messages(field), Scalar::Bool(_) | Scalar::Number(_)) => {
                self.wrong_type(field, LIST, span.start);
            }
            (Place::Message | Place::Item, _) => self.facts.items += 1,
            (Place::ItemType, Scalar::Text { value, .. }) => {
                self.item.kind = if value == "item_reference" {
                    ItemKind::Reference
                } else {
                    ItemKind::Other
                };
            }
            (Place::ItemRole, Scalar::Text { .. }) => self.item.has_role = true,
            (Place::ItemId, Scalar::Text { value, whole }) => {
                if !whole || value.len() > MAX_ID_BYTES {
                    self.fail(BodyError::TooLong {
                        field: ReferenceField::Item.name(),
                        at: span.start,
                    });
                }
                self.item.id = Some((value.to_owned(), span.start));
            }
            _ => {}
        }
    }
}

impl Visitor for Facts {
    type Tag = Place;

    fn begin(&mut self, place: Place, container: Container, at: u64) {
        match place {
            Place::Body if container == Container::Object => {
                self.facts.include_usage = IncludeUsage::NoOptions(at.saturating_add(1));
            }
            Place::Body => self.wrong_type("body", OBJECT, at),
            Place::Message => self.facts.items += 1,
            Place::Item => {
                self.facts.items += 1;
                self.item = Item::default();
            }
            Place::Messages(field) if container == Container::Object => {
                if self.facts.surface.dialect() == Dialect::Gemini {
                    self.facts.items += 1;
                } else {
                    self.wrong_type(field, LIST, at);
                }
            }
            Place::StreamOptions if container == Container::Array => {
                self.wrong_type("stream_options", OBJECT, at);
            }
            Place::StreamOptions => {
                let at = at.saturating_add(1);
                self.facts.include_usage = IncludeUsage::NoField {
                    at,
                    is_empty: false,
                };
            }
            Place::Model => self.wrong_type("model", TEXT, at),
            Place::Stream => self.wrong_type("stream", BOOL, at),
            Place::Background => self.wrong_type("background", BOOL, at),
            Place::Store => self.wrong_type("store", BOOL, at),
            Place::IncludeUsage => self.wrong_type("stream_options.include_usage", BOOL, at),
            Place::MaxTokens(field) | Place::Candidates(field) => self.wrong_type(field, COUNT, at),
            Place::NestedModel
            | Place::Messages(_)
            | Place::ItemType
            | Place::ItemRole
            | Place::ItemId
            | Place::Hint(_)
            | Place::Reference(_)
            | Place::Way => {}
        }
    }

    fn end(&mut self, place: Place, closed: Closed) {
        if place == Place::Item {
            self.item_ended();
        }
        if place == Place::StreamOptions
            && let IncludeUsage::NoField { is_empty, .. } = &mut self.facts.include_usage
        {
            *is_empty = closed.is_empty;
        }
    }

    fn scalar(&mut self, place: Place, value: Scalar<'_>, span: Span) {
        match place {
            Place::Body => self.wrong_type("body", OBJECT, span.start),
            Place::Model => self.model(value, span),
            Place::Stream => {
                self.facts.stream = self.flag("stream", value, span).unwrap_or_default()
            }
            Place::Background => {
                self.facts.background = self.flag("background", value, span).unwrap_or_default()
            }
            Place::Store => self.facts.store = self.flag("store", value, span),
            Place::MaxTokens(field) => {
                let count = self.count(field, value, span);
                self.facts.max_output_tokens = self.facts.max_output_tokens.max(count);
            }
            Place::Candidates(field) => {
                let count = self.count(field, value, span).unwrap_or(1);
                self.facts.candidates = count.max(1);
            }
            Place::StreamOptions => {
                if value == Scalar::Null {
                    self.facts.include_usage = IncludeUsage::NullOptions(span);
                } else {
                    self.wrong_type("stream_options", OBJECT, span.start);
                }
            }
            Place::IncludeUsage => {
                self.facts.include_usage =
                    match self.flag("stream_options.include_usage", value, span) {
                        Some(true) => IncludeUsage::Asked,
                        Some(false) | None => IncludeUsage::Declined(span),
                    };
            }
            Place::Hint(hint) => self.hint(hint, value),
            Place::NestedModel
            | Place::Messages(_)
            | Place::Message
            | Place::Item
            | Place::ItemType
            | Place::ItemRole
            | Place::ItemId
            | Place::Reference(_)
            | Place::Way => self.other_scalar(place, value, span),
        }
    }
}

#[cfg(test)]
mod tests;

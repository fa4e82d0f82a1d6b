//! What stands where in the providers' request bodies.
//!
//! Every object on the way to a governed field is judged, so that what is read here is what any parser reads. What a
//! shape does not name is told by the rule of [`names`](super::names): nothing that a provider interprets is passed
//! over unread but texts, and JSON that it hands on as it is.

mod anthropic;
mod gemini;
mod openai;

use policy::surface::Surface;

use super::ReferenceField;
use super::elsewhere::elsewhere_on_top;
use super::names::unnamed;
use crate::json::{Shape, Want, key};

/// What stands at a place of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The body itself.
    Body,
    Model,
    /// A model that something inside the request names: a tool, a fallback, a part of a batch.
    NestedModel,
    Stream,
    MaxTokens(&'static str),
    /// How many answers are asked for.
    Candidates(&'static str),
    Background,
    Store,
    StreamOptions,
    IncludeUsage,
    /// The conversation; items are counted.
    Messages(&'static str),
    Message,
    /// An input item of Responses, which may stand for a stored one.
    Item,
    /// A part of the conversation that has an id only beside content of its own.
    Part,
    /// A tool: of some kinds the provider reads the parameters.
    Tool,
    /// A tool whose members say of what kind it is.
    ToolByMember,
    /// A tool that the provider runs, by its member's name.
    Hosted,
    /// A skill: one of the provider's own, or a stored one.
    Skill,
    SkillId,
    /// What kind an item, part, tool or skill is.
    Kind,
    /// Who says an item.
    Role,
    /// The id of an item or part.
    OwnId,
    /// Content of an item or part.
    Own(Own),
    /// Arguments of a call, parameters of a function: handed on unread if the kind of the item, part or tool says so.
    HandedOn,
    Hint(Hint),
    Reference(ReferenceField),
    /// An id by its member's name.
    Id,
    /// Stored by its member's name, unless it is an address that anybody may read.
    Address,
    /// A value that names something stored if it looks like it.
    Value,
    /// A name of a tool, a kind or the like: only what is plainly a resource is one.
    Label,
    /// Says where else the request is to go.
    Elsewhere(&'static str),
    /// Something that only leads to others, or that may stand once and is not read.
    Way,
}

/// What content of its own an item or part has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// What was said or thought: messages and reasoning have nothing else.
    Said,
    /// What an image generation made.
    Image,
    /// Arguments and outputs, which may be empty.
    Made,
    /// Anything else.
    More,
}

/// What a client says about its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    AnthropicUserId,
    PromptCacheKey,
    User,
    SafetyIdentifier,
}

/// Returns the shape of the surface's request body; `None` if it has no JSON body that is governed.
pub(super) const fn body(surface: Surface) -> Option<&'static Shape<Place>> {
    match surface {
        Surface::AnthropicMessages | Surface::AnthropicCountTokens => Some(&anthropic::REQUEST),
        Surface::OpenaiChat => Some(&openai::CHAT),
        Surface::OpenaiResponses => Some(&openai::RESPONSES),
        Surface::OpenaiEmbeddings => Some(&openai::EMBEDDINGS),
        Surface::GeminiGenerate => Some(&gemini::GENERATE),
        Surface::GeminiCountTokens => Some(&gemini::COUNT),
        Surface::GeminiEmbed => Some(&gemini::EMBED),
        Surface::AnthropicModels
        | Surface::OpenaiModels
        | Surface::GeminiModels
        | Surface::AnthropicOpaque
        | Surface::OpenaiOpaque
        | Surface::GeminiOpaque => None,
    }
}

const fn reference(field: ReferenceField) -> Shape<Place> {
    Shape::object(Place::Reference(field), &[])
        .others(unnamed)
        .or_text(Want::Capture)
}

const fn hint(hint: Hint) -> Shape<Place> {
    Shape::scalar(Place::Hint(hint), Want::Capture)
}

/// Content that is text, or holds parts.
const fn own(own: Own) -> Shape<Place> {
    Shape::object(Place::Own(own), &[])
        .others(unnamed)
        .or_items(&VALUE)
}

/// The body of a path that no surface covers.
pub(super) static OPAQUE: Shape<Place> = Shape::object(Place::Value, &[])
    .others(top)
    .or_items(&VALUE);

static WAY: Shape<Place> = Shape::scalar(Place::Way, Want::Presence);
static MODEL: Shape<Place> = Shape::scalar(Place::Model, Want::Capture);
static STREAM: Shape<Place> = Shape::scalar(Place::Stream, Want::Presence);
static STORE: Shape<Place> = Shape::scalar(Place::Store, Want::Presence);
static MAX_TOKENS: Shape<Place> = Shape::scalar(Place::MaxTokens("max_tokens"), Want::Presence);
static KIND: Shape<Place> = Shape::scalar(Place::Kind, Want::Capture);
static ROLE: Shape<Place> = Shape::scalar(Place::Role, Want::Presence);
static OWN_ID: Shape<Place> = Shape::scalar(Place::OwnId, Want::Capture);
static OWN_MADE: Shape<Place> = own(Own::Made);
static OWN_MORE: Shape<Place> = own(Own::More);
static HANDED_ON: Shape<Place> = Shape::object(Place::HandedOn, &[])
    .others(unnamed)
    .or_items(&VALUE);
static FILE_ID: Shape<Place> = reference(ReferenceField::File);
static FILE_IDS: Shape<Place> = reference(ReferenceField::File).or_items(&FILE_ID);
static CONTAINER_ID: Shape<Place> = reference(ReferenceField::Container);

/// Anything that a provider may interpret: strings are judged by what they look like.
pub(super) static VALUE: Shape<Place> = Shape::object(Place::Value, &[])
    .others(unnamed)
    .or_items(&VALUE)
    .or_text(Want::Capture);
/// The same, where a string is a text.
pub(super) static WORDS: Shape<Place> = Shape::object(Place::Way, &[])
    .others(unnamed)
    .or_items(&WORDS);
/// The same, where a string is a name of a tool, a kind or the like.
pub(super) static LABEL: Shape<Place> = Shape::object(Place::Label, &[])
    .others(unnamed)
    .or_items(&LABEL)
    .or_text(Want::Capture);
/// The same, where a string is an id.
pub(super) static ID: Shape<Place> = Shape::object(Place::Id, &[])
    .others(unnamed)
    .or_items(&ID)
    .or_text(Want::Capture);
/// The same, where a string is an address or a stored thing.
pub(super) static ADDRESS: Shape<Place> = Shape::object(Place::Address, &[])
    .others(unnamed)
    .or_items(&ADDRESS)
    .or_text(Want::Capture);
/// The same, where a string is a model.
pub(super) static MODELS: Shape<Place> = Shape::object(Place::NestedModel, &[])
    .others(unnamed)
    .or_items(&MODELS)
    .or_text(Want::Capture);

/// Documents that a request brings along, with ids for the answer to name them by.
pub(super) static DOCUMENTS: Shape<Place> = Shape::object(
    Place::Part,
    &[
        key("id", &OWN_ID),
        key("text", &OWN_MORE),
        key("content", &OWN_MORE),
        key("data", &OWN_MORE),
        key("source", &OWN_MORE),
    ],
)
.others(unnamed)
.or_items(&DOCUMENTS)
.or_text(Want::Presence);

/// Skills of a container: the provider's own, or stored ones.
pub(super) static SKILLS: Shape<Place> = Shape::object(
    Place::Skill,
    &[key("type", &KIND), key("skill_id", &SKILL_ID)],
)
.judged()
.others(unnamed)
.or_items(&SKILLS)
.or_text(Want::Capture);
static SKILL_ID: Shape<Place> = Shape::scalar(Place::SkillId, Want::Capture);

/// Tools of Anthropic and Responses: some bring a model, a container or stores of their own.
static TOOLS: Shape<Place> = Shape::object(
    Place::Tool,
    &[
        key("type", &KIND),
        key("name", &WAY),
        key("model", &MODELS),
        key("container", &TOOL_CONTAINER),
        key("environment", &TOOL_ENVIRONMENT),
        key("vector_store_ids", &VECTOR_STORES),
        key("parameters", &HANDED_ON),
        key("tools", &TOOLS),
    ],
)
.judged()
.others(tool_member)
.or_items(&TOOLS);
static TOOL_CONTAINER: Shape<Place> = Shape::object(
    Place::Reference(ReferenceField::Container),
    &[
        key("type", &WAY),
        key("file_ids", &FILE_IDS),
        key("container_id", &CONTAINER_ID),
        key("skills", &SKILLS),
    ],
)
.judged()
.others(unnamed)
.or_text(Want::Capture);
static TOOL_ENVIRONMENT: Shape<Place> = Shape::object(
    Place::Reference(ReferenceField::Container),
    &[
        key("type", &WAY),
        key("file_ids", &FILE_IDS),
        key("container_id", &CONTAINER_ID),
        key("skills", &SKILLS),
    ],
)
.judged()
.others(unnamed)
.or_text(Want::Capture);
static VECTOR_STORES: Shape<Place> = reference(ReferenceField::VectorStore).or_items(&VECTOR_STORE);
static VECTOR_STORE: Shape<Place> = reference(ReferenceField::VectorStore);

/// JSON Schemas and examples are the model's to read.
fn tool_member(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"input_schema" | b"input_examples" | b"output_schema" | b"defer_loading" => None,
        _ => unnamed(key),
    }
}

/// What stands beside the governed members of a body.
fn top(key: &[u8]) -> Option<&'static Shape<Place>> {
    elsewhere_on_top(key).or_else(|| unnamed(key))
}

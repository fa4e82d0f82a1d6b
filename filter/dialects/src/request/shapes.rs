//! Where the governed fields stand in the providers' request bodies.
//!
//! Every object on the way to a governed field is judged, so that what is read here is what any parser reads.

use policy::surface::Surface;

use super::ReferenceField;
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
    ItemType,
    ItemRole,
    ItemId,
    Hint(Hint),
    Reference(ReferenceField),
    /// Something that only leads to others, or that may stand once and is not read.
    Way,
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
        Surface::AnthropicMessages | Surface::AnthropicCountTokens => Some(&ANTHROPIC),
        Surface::OpenaiChat => Some(&CHAT),
        Surface::OpenaiResponses => Some(&RESPONSES),
        Surface::OpenaiEmbeddings => Some(&EMBEDDINGS),
        Surface::GeminiGenerate => Some(&GEMINI_GENERATE),
        Surface::GeminiCountTokens => Some(&GEMINI_COUNT),
        Surface::GeminiEmbed => Some(&GEMINI_EMBED),
        Surface::AnthropicModels
        | Surface::OpenaiModels
        | Surface::GeminiModels
        | Surface::AnthropicOpaque
        | Surface::OpenaiOpaque
        | Surface::GeminiOpaque => None,
    }
}

const fn reference(field: ReferenceField) -> Shape<Place> {
    Shape::scalar(Place::Reference(field), Want::Capture)
}

const fn hint(hint: Hint) -> Shape<Place> {
    Shape::scalar(Place::Hint(hint), Want::Capture)
}

static WAY: Shape<Place> = Shape::scalar(Place::Way, Want::Presence);
static MODEL: Shape<Place> = Shape::scalar(Place::Model, Want::Capture);
static NESTED_MODEL: Shape<Place> = Shape::scalar(Place::NestedModel, Want::Capture);
static NESTED_MODELS: Shape<Place> = Shape::array(Place::Way, &NESTED_MODEL);
static STREAM: Shape<Place> = Shape::scalar(Place::Stream, Want::Presence);
static BACKGROUND: Shape<Place> = Shape::scalar(Place::Background, Want::Presence);
static STORE: Shape<Place> = Shape::scalar(Place::Store, Want::Presence);
static MAX_TOKENS: Shape<Place> = Shape::scalar(Place::MaxTokens("max_tokens"), Want::Presence);
static MAX_COMPLETION_TOKENS: Shape<Place> =
    Shape::scalar(Place::MaxTokens("max_completion_tokens"), Want::Presence);
static MAX_OUTPUT_TOKENS: Shape<Place> =
    Shape::scalar(Place::MaxTokens("max_output_tokens"), Want::Presence);
static N: Shape<Place> = Shape::scalar(Place::Candidates("n"), Want::Presence);
static USER: Shape<Place> = hint(Hint::User);
static PROMPT_CACHE_KEY: Shape<Place> = hint(Hint::PromptCacheKey);
static SAFETY_IDENTIFIER: Shape<Place> = hint(Hint::SafetyIdentifier);
static FILE_ID: Shape<Place> = reference(ReferenceField::File);
static FILE_IDS: Shape<Place> = Shape::array(Place::Way, &FILE_ID);
static CONTAINER_ID: Shape<Place> = reference(ReferenceField::Container);

// Anthropic: Messages API, "Create a message" and "Count tokens"; "Files", "Code execution tool", "Advisor tool".

static ANTHROPIC: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("stream", &STREAM),
        key("max_tokens", &MAX_TOKENS),
        key("messages", &ANTHROPIC_MESSAGES),
        key("system", &WAY),
        key("tools", &TOOLS),
        key("metadata", &ANTHROPIC_METADATA),
        key("container", &ANTHROPIC_CONTAINER),
    ],
)
.judged();
static ANTHROPIC_MESSAGES: Shape<Place> =
    Shape::array(Place::Messages("messages"), &ANTHROPIC_MESSAGE);
static ANTHROPIC_MESSAGE: Shape<Place> = Shape::object(
    Place::Message,
    &[key("role", &WAY), key("content", &ANTHROPIC_BLOCKS)],
)
.judged();
static ANTHROPIC_BLOCKS: Shape<Place> = Shape::array(Place::Way, &ANTHROPIC_BLOCK);
/// A content block; a tool result and a document may hold further blocks.
static ANTHROPIC_BLOCK: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("type", &WAY),
        key("source", &ANTHROPIC_SOURCE),
        key("content", &ANTHROPIC_BLOCKS),
        key("file_id", &FILE_ID),
    ],
)
.judged();
static ANTHROPIC_SOURCE: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("type", &WAY),
        key("file_id", &FILE_ID),
        key("content", &ANTHROPIC_BLOCKS),
    ],
)
.judged();
static ANTHROPIC_METADATA: Shape<Place> =
    Shape::object(Place::Way, &[key("user_id", &ANTHROPIC_USER_ID)]).judged();
static ANTHROPIC_USER_ID: Shape<Place> = hint(Hint::AnthropicUserId);
static ANTHROPIC_CONTAINER: Shape<Place> = Shape::object(
    Place::Reference(ReferenceField::Container),
    &[key("id", &CONTAINER_ID)],
)
.judged()
.or_text(Want::Capture);

/// Tools of Anthropic and Responses: some bring a model, a container or stores of their own.
static TOOLS: Shape<Place> = Shape::array(Place::Way, &TOOL);
static TOOL: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("type", &WAY),
        key("model", &NESTED_MODEL),
        key("container", &TOOL_CONTAINER),
        key("environment", &TOOL_ENVIRONMENT),
        key("vector_store_ids", &VECTOR_STORES),
    ],
)
.judged();
static TOOL_CONTAINER: Shape<Place> = Shape::object(
    Place::Reference(ReferenceField::Container),
    &[
        key("type", &WAY),
        key("file_ids", &FILE_IDS),
        key("container_id", &CONTAINER_ID),
    ],
)
.judged()
.or_text(Want::Capture);
static TOOL_ENVIRONMENT: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("file_ids", &FILE_IDS),
        key("container_id", &CONTAINER_ID),
    ],
)
.judged();
static VECTOR_STORES: Shape<Place> = Shape::array(Place::Way, &VECTOR_STORE);
static VECTOR_STORE: Shape<Place> = reference(ReferenceField::VectorStore);

// OpenAI: Chat Completions, "Create chat completion". `models` is a list of fallbacks at providers that route.

static CHAT: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("stream", &STREAM),
        key("messages", &CHAT_MESSAGES),
        key("max_tokens", &MAX_TOKENS),
        key("max_completion_tokens", &MAX_COMPLETION_TOKENS),
        key("n", &N),
        key("stream_options", &STREAM_OPTIONS),
        key("store", &STORE),
        key("tools", &WAY),
        key("user", &USER),
        key("prompt_cache_key", &PROMPT_CACHE_KEY),
        key("safety_identifier", &SAFETY_IDENTIFIER),
        key("models", &NESTED_MODELS),
    ],
)
.judged();
static STREAM_OPTIONS: Shape<Place> = Shape::object(
    Place::StreamOptions,
    &[key("include_usage", &INCLUDE_USAGE)],
)
.judged();
static INCLUDE_USAGE: Shape<Place> = Shape::scalar(Place::IncludeUsage, Want::Presence);
static CHAT_MESSAGES: Shape<Place> = Shape::array(Place::Messages("messages"), &CHAT_MESSAGE);
static CHAT_MESSAGE: Shape<Place> = Shape::object(
    Place::Message,
    &[
        key("role", &WAY),
        key("content", &CHAT_PARTS),
        key("audio", &CHAT_AUDIO),
    ],
)
.judged();
static CHAT_PARTS: Shape<Place> = Shape::array(Place::Way, &CHAT_PART);
static CHAT_PART: Shape<Place> =
    Shape::object(Place::Way, &[key("type", &WAY), key("file", &CHAT_FILE)]).judged();
static CHAT_FILE: Shape<Place> = Shape::object(Place::Way, &[key("file_id", &FILE_ID)]).judged();
static CHAT_AUDIO: Shape<Place> = Shape::object(Place::Way, &[key("id", &AUDIO_ID)]).judged();
static AUDIO_ID: Shape<Place> = reference(ReferenceField::Audio);

// OpenAI: Responses, "Create a model response".

static RESPONSES: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("stream", &STREAM),
        key("input", &RESPONSES_INPUT),
        key("instructions", &WAY),
        key("max_output_tokens", &MAX_OUTPUT_TOKENS),
        key("background", &BACKGROUND),
        key("store", &STORE),
        key("previous_response_id", &PREVIOUS_RESPONSE),
        key("conversation", &CONVERSATION),
        key("prompt", &PROMPT),
        key("tools", &TOOLS),
        key("user", &USER),
        key("prompt_cache_key", &PROMPT_CACHE_KEY),
        key("safety_identifier", &SAFETY_IDENTIFIER),
        key("models", &NESTED_MODELS),
    ],
)
.judged();
static PREVIOUS_RESPONSE: Shape<Place> = reference(ReferenceField::PreviousResponse);
static CONVERSATION: Shape<Place> = Shape::object(
    Place::Reference(ReferenceField::Conversation),
    &[key("id", &CONVERSATION_ID)],
)
.judged()
.or_text(Want::Capture);
static CONVERSATION_ID: Shape<Place> = reference(ReferenceField::Conversation);
static PROMPT: Shape<Place> = Shape::object(Place::Way, &[key("id", &PROMPT_ID)]).judged();
static PROMPT_ID: Shape<Place> = reference(ReferenceField::Prompt);
static RESPONSES_INPUT: Shape<Place> = Shape::array(Place::Messages("input"), &RESPONSES_ITEM);
static RESPONSES_ITEM: Shape<Place> = Shape::object(
    Place::Item,
    &[
        key("type", &ITEM_TYPE),
        key("role", &ITEM_ROLE),
        key("id", &ITEM_ID),
        key("content", &RESPONSES_PARTS),
        key("output", &RESPONSES_PARTS),
        key("container_id", &CONTAINER_ID),
    ],
)
.judged();
static ITEM_TYPE: Shape<Place> = Shape::scalar(Place::ItemType, Want::Capture);
static ITEM_ROLE: Shape<Place> = Shape::scalar(Place::ItemRole, Want::Presence);
static ITEM_ID: Shape<Place> = Shape::scalar(Place::ItemId, Want::Capture);
/// Parts of a message or of a tool's output; a screenshot stands without a list.
static RESPONSES_PARTS: Shape<Place> =
    Shape::object(Place::Way, &[key("type", &WAY), key("file_id", &FILE_ID)])
        .judged()
        .or_items(&RESPONSES_PARTS);

// OpenAI: Embeddings, "Create embeddings".

static EMBEDDINGS: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("input", &EMBEDDINGS_INPUT),
        key("user", &USER),
    ],
)
.judged();
static EMBEDDINGS_INPUT: Shape<Place> = Shape::array(Place::Messages("input"), &EMBEDDINGS_ITEM);
static EMBEDDINGS_ITEM: Shape<Place> = Shape::scalar(Place::Message, Want::Presence);

// Gemini: `models.generateContent`, `.countTokens`, `.embedContent`, `.batchEmbedContents`. The protobuf JSON
// mapping takes every field in camelCase and in snake_case.

static GEMINI_GENERATE: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("contents", &GEMINI_CONTENTS),
        key("systemInstruction", &GEMINI_INSTRUCTION).or("system_instruction"),
        key("generationConfig", &GEMINI_CONFIG).or("generation_config"),
        key("cachedContent", &CACHED_CONTENT).or("cached_content"),
        key("tools", &GEMINI_TOOLS),
    ],
)
.judged();
static GEMINI_NESTED_GENERATE: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("model", &NESTED_MODEL),
        key("contents", &GEMINI_CONTENTS),
        key("systemInstruction", &GEMINI_INSTRUCTION).or("system_instruction"),
        key("generationConfig", &GEMINI_CONFIG).or("generation_config"),
        key("cachedContent", &CACHED_CONTENT).or("cached_content"),
        key("tools", &GEMINI_TOOLS),
    ],
)
.judged();
static GEMINI_COUNT: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("contents", &GEMINI_CONTENTS),
        key("generateContentRequest", &GEMINI_NESTED_GENERATE).or("generate_content_request"),
    ],
)
.judged();
static GEMINI_EMBED: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("content", &GEMINI_CONTENTS),
        key("requests", &GEMINI_EMBED_REQUESTS),
    ],
)
.judged();
static GEMINI_EMBED_REQUESTS: Shape<Place> =
    Shape::array(Place::Messages("requests"), &GEMINI_EMBED_REQUEST);
static GEMINI_EMBED_REQUEST: Shape<Place> = Shape::object(
    Place::Message,
    &[
        key("model", &NESTED_MODEL),
        key("content", &GEMINI_INSTRUCTION),
    ],
)
.judged();
/// A list of contents, or one.
static GEMINI_CONTENTS: Shape<Place> = Shape::object(
    Place::Messages("contents"),
    &[key("parts", &GEMINI_PARTS), key("role", &WAY)],
)
.judged()
.or_items(&GEMINI_CONTENT);
static GEMINI_CONTENT: Shape<Place> = Shape::object(
    Place::Message,
    &[key("parts", &GEMINI_PARTS), key("role", &WAY)],
)
.judged();
static GEMINI_INSTRUCTION: Shape<Place> = Shape::object(
    Place::Way,
    &[key("parts", &GEMINI_PARTS), key("role", &WAY)],
)
.judged();
/// A list of parts, or one.
static GEMINI_PARTS: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("fileData", &GEMINI_FILE).or("file_data"),
        key("functionResponse", &GEMINI_FUNCTION_RESPONSE).or("function_response"),
    ],
)
.judged()
.or_items(&GEMINI_PARTS);
static GEMINI_FUNCTION_RESPONSE: Shape<Place> =
    Shape::object(Place::Way, &[key("parts", &GEMINI_PARTS)]).judged();
static GEMINI_FILE: Shape<Place> =
    Shape::object(Place::Way, &[key("fileUri", &FILE_URI).or("file_uri")]).judged();
static FILE_URI: Shape<Place> = reference(ReferenceField::FileUri);
static CACHED_CONTENT: Shape<Place> = reference(ReferenceField::CachedContent);
static GEMINI_CONFIG: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("maxOutputTokens", &GEMINI_MAX_TOKENS).or("max_output_tokens"),
        key("candidateCount", &GEMINI_CANDIDATES).or("candidate_count"),
    ],
)
.judged();
/// The protobuf JSON mapping takes an integer in quotes, too.
static GEMINI_MAX_TOKENS: Shape<Place> = Shape::scalar(
    Place::MaxTokens("generationConfig.maxOutputTokens"),
    Want::Capture,
);
static GEMINI_CANDIDATES: Shape<Place> = Shape::scalar(
    Place::Candidates("generationConfig.candidateCount"),
    Want::Capture,
);
static GEMINI_TOOLS: Shape<Place> = Shape::object(
    Place::Way,
    &[key("fileSearch", &GEMINI_FILE_SEARCH).or("file_search")],
)
.judged()
.or_items(&GEMINI_TOOLS);
static GEMINI_FILE_SEARCH: Shape<Place> = Shape::object(
    Place::Way,
    &[key("fileSearchStoreNames", &GEMINI_STORES).or("file_search_store_names")],
)
.judged();
static GEMINI_STORES: Shape<Place> = Shape::array(Place::Way, &GEMINI_STORE);
static GEMINI_STORE: Shape<Place> = reference(ReferenceField::FileSearchStore);

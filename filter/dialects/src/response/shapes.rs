//! Where the things that are read stand in the providers' answers and stream events.

use policy::surface::Dialect;

use crate::json::{Member, Shape, Want, key};

/// What stands at a place of an answer or stream event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A whole answer, or one event of a stream.
    Event,
    /// The event's type.
    Type,
    Id,
    Model,
    /// The object that holds counts.
    Usage,
    Count(Count),
    /// Samplings of one answer that the counts beside them leave out in part.
    Iterations,
    Iteration,
    IterationType,
    IterationCount(Count),
    /// Text that the client sees, or tool arguments written as text.
    Output,
    /// Tool arguments written as JSON.
    Arguments,
    /// Why a candidate ended.
    Finish,
    Error,
    /// The list of what the model made.
    Items(Items),
    Item(Items),
    ItemType,
    ItemId,
    /// What a block that begins is.
    BlockType,
    Choice,
    ChoiceIndex,
    /// Why a choice ended.
    ChoiceFinish,
    /// Calls of tools in a choice.
    Calls,
    ActionType,
    /// An object that only leads to others.
    Way,
}

/// Where an output item was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Items {
    /// In a whole answer.
    Answer,
    /// In an event about that item.
    Event,
}

/// A count as the provider defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Input,
    CacheRead,
    /// All cache writes, whatever their duration.
    CacheWrite,
    CacheWrite5m,
    CacheWrite1h,
    Output,
    Reasoning,
    /// Input that tools produced, beside the prompt.
    ToolInput,
    WebSearches,
}

/// Returns the shape of an answer or stream event.
pub(super) const fn answer(dialect: Dialect) -> &'static Shape<Place> {
    match dialect {
        Dialect::Anthropic => &ANTHROPIC,
        Dialect::Openai => &OPENAI,
        Dialect::Gemini => &GEMINI,
    }
}

const fn count(count: Count) -> Shape<Place> {
    Shape::scalar(Place::Count(count), Want::Presence)
}

const fn iteration_count(count: Count) -> Shape<Place> {
    Shape::scalar(Place::IterationCount(count), Want::Presence)
}

static TYPE: Shape<Place> = Shape::scalar(Place::Type, Want::Capture);
static ID: Shape<Place> = Shape::scalar(Place::Id, Want::Capture);
static MODEL: Shape<Place> = Shape::scalar(Place::Model, Want::Capture);
static OUTPUT: Shape<Place> = Shape::scalar(Place::Output, Want::Pieces);
static ARGUMENTS: Shape<Place> = Shape::scalar(Place::Arguments, Want::Presence);
static ERROR: Shape<Place> = Shape::scalar(Place::Error, Want::Presence);

static INPUT: Shape<Place> = count(Count::Input);
static CACHE_READ: Shape<Place> = count(Count::CacheRead);
static CACHE_WRITE: Shape<Place> = count(Count::CacheWrite);
static CACHE_WRITE_5M: Shape<Place> = count(Count::CacheWrite5m);
static CACHE_WRITE_1H: Shape<Place> = count(Count::CacheWrite1h);
static OUTPUT_TOKENS: Shape<Place> = count(Count::Output);
static REASONING: Shape<Place> = count(Count::Reasoning);
static TOOL_INPUT: Shape<Place> = count(Count::ToolInput);
static WEB_SEARCHES: Shape<Place> = count(Count::WebSearches);

// Anthropic: Messages API, "Usage" and "Streaming messages".

static ANTHROPIC: Shape<Place> = Shape::object(
    Place::Event,
    &[
        key("type", &TYPE),
        key("delta", &ANTHROPIC_DELTA),
        key("message", &ANTHROPIC_MESSAGE),
        key("usage", &ANTHROPIC_USAGE),
        key("content_block", &ANTHROPIC_NEW_BLOCK),
        key("content", &ANTHROPIC_CONTENT),
        key("id", &ID),
        key("model", &MODEL),
        key("error", &ERROR),
    ],
);
static ANTHROPIC_MESSAGE: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("id", &ID),
        key("model", &MODEL),
        key("usage", &ANTHROPIC_USAGE),
    ],
);
static ANTHROPIC_DELTA: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("text", &OUTPUT),
        key("partial_json", &OUTPUT),
        key("thinking", &OUTPUT),
    ],
);
static ANTHROPIC_NEW_BLOCK: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("type", &BLOCK_TYPE),
        key("text", &OUTPUT),
        key("partial_json", &OUTPUT),
        key("thinking", &OUTPUT),
    ],
);
static BLOCK_TYPE: Shape<Place> = Shape::scalar(Place::BlockType, Want::Capture);
static ANTHROPIC_CONTENT: Shape<Place> = Shape::array(Place::Way, &ANTHROPIC_BLOCK);
static ANTHROPIC_BLOCK: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("text", &OUTPUT),
        key("thinking", &OUTPUT),
        key("input", &ARGUMENTS),
    ],
);
static ANTHROPIC_USAGE: Shape<Place> = Shape::object(
    Place::Usage,
    &[
        key("input_tokens", &INPUT),
        key("cache_creation_input_tokens", &CACHE_WRITE),
        key("cache_read_input_tokens", &CACHE_READ),
        key("cache_creation", &ANTHROPIC_CACHE_CREATION),
        key("output_tokens", &OUTPUT_TOKENS),
        key("server_tool_use", &ANTHROPIC_SERVER_TOOLS),
        key("iterations", &ANTHROPIC_ITERATIONS),
    ],
);
static ANTHROPIC_CACHE_CREATION: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("ephemeral_5m_input_tokens", &CACHE_WRITE_5M),
        key("ephemeral_1h_input_tokens", &CACHE_WRITE_1H),
    ],
);
static ANTHROPIC_SERVER_TOOLS: Shape<Place> =
    Shape::object(Place::Way, &[key("web_search_requests", &WEB_SEARCHES)]);

// Anthropic: "Compaction", "Understanding usage": the counts beside `iterations` leave out compactions.

static ANTHROPIC_ITERATIONS: Shape<Place> = Shape::array(Place::Iterations, &ANTHROPIC_ITERATION);
static ANTHROPIC_ITERATION: Shape<Place> = Shape::object(
    Place::Iteration,
    &[
        key("type", &ITERATION_TYPE),
        key("input_tokens", &ITERATION_INPUT),
        key("cache_creation_input_tokens", &ITERATION_CACHE_WRITE),
        key("cache_read_input_tokens", &ITERATION_CACHE_READ),
        key("cache_creation", &ITERATION_CACHE_CREATION),
        key("output_tokens", &ITERATION_OUTPUT),
    ],
);
static ITERATION_TYPE: Shape<Place> = Shape::scalar(Place::IterationType, Want::Capture);
static ITERATION_INPUT: Shape<Place> = iteration_count(Count::Input);
static ITERATION_CACHE_READ: Shape<Place> = iteration_count(Count::CacheRead);
static ITERATION_CACHE_WRITE: Shape<Place> = iteration_count(Count::CacheWrite);
static ITERATION_CACHE_WRITE_5M: Shape<Place> = iteration_count(Count::CacheWrite5m);
static ITERATION_CACHE_WRITE_1H: Shape<Place> = iteration_count(Count::CacheWrite1h);
static ITERATION_OUTPUT: Shape<Place> = iteration_count(Count::Output);
static ITERATION_CACHE_CREATION: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("ephemeral_5m_input_tokens", &ITERATION_CACHE_WRITE_5M),
        key("ephemeral_1h_input_tokens", &ITERATION_CACHE_WRITE_1H),
    ],
);

// OpenAI: Chat Completions, "The chat completion (chunk) object"; Responses, "The response object" and
// "Streaming events"; Embeddings. Their names do not collide, so one shape reads all of them and older ones.

static OPENAI: Shape<Place> = Shape::object(
    Place::Event,
    &[
        key("type", &TYPE),
        key("delta", &OUTPUT),
        key("choices", &OPENAI_CHOICES),
        key("usage", &OPENAI_USAGE),
        key("response", &OPENAI_RESPONSE),
        key("item", &OPENAI_EVENT_ITEM),
        key("id", &ID),
        key("model", &MODEL),
        key("output", &OPENAI_OUTPUT),
        key("error", &ERROR),
    ],
);
static OPENAI_RESPONSE: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("id", &ID),
        key("model", &MODEL),
        key("usage", &OPENAI_USAGE),
        key("output", &OPENAI_REPEATED_OUTPUT),
        key("error", &ERROR),
    ],
);
static OPENAI_USAGE: Shape<Place> = Shape::object(
    Place::Usage,
    &[
        key("prompt_tokens", &INPUT),
        key("input_tokens", &INPUT),
        key("completion_tokens", &OUTPUT_TOKENS),
        key("output_tokens", &OUTPUT_TOKENS),
        key("prompt_tokens_details", &OPENAI_INPUT_DETAILS),
        key("input_tokens_details", &OPENAI_INPUT_DETAILS),
        key("completion_tokens_details", &OPENAI_OUTPUT_DETAILS),
        key("output_tokens_details", &OPENAI_OUTPUT_DETAILS),
    ],
);
static OPENAI_INPUT_DETAILS: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("cached_tokens", &CACHE_READ),
        key("cache_write_tokens", &CACHE_WRITE),
    ],
);
static OPENAI_OUTPUT_DETAILS: Shape<Place> =
    Shape::object(Place::Way, &[key("reasoning_tokens", &REASONING)]);

static OPENAI_CHOICES: Shape<Place> = Shape::array(Place::Way, &OPENAI_CHOICE);
static OPENAI_CHOICE: Shape<Place> = Shape::object(
    Place::Choice,
    &[
        key("index", &CHOICE_INDEX),
        key("finish_reason", &CHOICE_FINISH),
        key("delta", &OPENAI_MESSAGE),
        key("message", &OPENAI_MESSAGE),
        key("text", &OUTPUT),
    ],
);
static CHOICE_INDEX: Shape<Place> = Shape::scalar(Place::ChoiceIndex, Want::Presence);
static CHOICE_FINISH: Shape<Place> = Shape::scalar(Place::ChoiceFinish, Want::Presence);
static OPENAI_MESSAGE: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("content", &OUTPUT),
        key("tool_calls", &OPENAI_TOOL_CALLS),
        key("refusal", &OUTPUT),
        key("reasoning_content", &OUTPUT),
        key("function_call", &OPENAI_FUNCTION),
    ],
);
static OPENAI_TOOL_CALLS: Shape<Place> = Shape::array(Place::Calls, &OPENAI_TOOL_CALL);
static OPENAI_TOOL_CALL: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("function", &OPENAI_FUNCTION),
        key("custom", &OPENAI_FUNCTION),
    ],
);
static OPENAI_FUNCTION: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("name", &OUTPUT),
        key("arguments", &OUTPUT),
        key("input", &OUTPUT),
    ],
);

static OPENAI_OUTPUT: Shape<Place> = Shape::array(Place::Items(Items::Answer), &OPENAI_ITEM);
static OPENAI_ITEM: Shape<Place> = Shape::object(
    Place::Item(Items::Answer),
    &[
        key("id", &ITEM_ID),
        key("type", &ITEM_TYPE),
        key("content", &OPENAI_PARTS),
        key("summary", &OPENAI_PARTS),
        key("arguments", &OUTPUT),
        key("input", &OUTPUT),
        key("action", &OPENAI_ACTION),
    ],
);
static OPENAI_PARTS: Shape<Place> = Shape::array(Place::Way, &OPENAI_PART);
static OPENAI_PART: Shape<Place> =
    Shape::object(Place::Way, &[key("text", &OUTPUT), key("refusal", &OUTPUT)]);
/// What a terminal event repeats: its text has been streamed before.
static OPENAI_REPEATED_OUTPUT: Shape<Place> =
    Shape::array(Place::Items(Items::Answer), &OPENAI_REPEATED_ITEM);
static OPENAI_REPEATED_ITEM: Shape<Place> = Shape::object(Place::Item(Items::Answer), ITEM_MEMBERS);
static OPENAI_EVENT_ITEM: Shape<Place> = Shape::object(Place::Item(Items::Event), ITEM_MEMBERS);
const ITEM_MEMBERS: &[Member<Place>] = &[
    key("id", &ITEM_ID),
    key("type", &ITEM_TYPE),
    key("action", &OPENAI_ACTION),
];
static ITEM_ID: Shape<Place> = Shape::scalar(Place::ItemId, Want::Capture);
static ITEM_TYPE: Shape<Place> = Shape::scalar(Place::ItemType, Want::Capture);
static OPENAI_ACTION: Shape<Place> = Shape::object(Place::Way, &[key("type", &ACTION_TYPE)]);
static ACTION_TYPE: Shape<Place> = Shape::scalar(Place::ActionType, Want::Capture);

// Gemini: `GenerateContentResponse`, `UsageMetadata`. Without `alt=sse` a stream is an array of them.

static GEMINI: Shape<Place> = Shape::object(
    Place::Event,
    &[
        key("candidates", &GEMINI_CANDIDATES),
        key("usageMetadata", &GEMINI_USAGE),
        key("modelVersion", &MODEL),
        key("responseId", &ID),
        key("error", &ERROR),
    ],
)
.or_items(&GEMINI);
static GEMINI_CANDIDATES: Shape<Place> = Shape::array(Place::Way, &GEMINI_CANDIDATE);
static GEMINI_CANDIDATE: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("content", &GEMINI_CONTENT),
        key("finishReason", &FINISH),
    ],
);
static FINISH: Shape<Place> = Shape::scalar(Place::Finish, Want::Presence);
static GEMINI_CONTENT: Shape<Place> = Shape::object(Place::Way, &[key("parts", &GEMINI_PARTS)]);
static GEMINI_PARTS: Shape<Place> = Shape::array(Place::Way, &GEMINI_PART);
static GEMINI_PART: Shape<Place> = Shape::object(
    Place::Way,
    &[key("text", &OUTPUT), key("functionCall", &ARGUMENTS)],
);
static GEMINI_USAGE: Shape<Place> = Shape::object(
    Place::Usage,
    &[
        key("promptTokenCount", &INPUT),
        key("candidatesTokenCount", &OUTPUT_TOKENS),
        key("cachedContentTokenCount", &CACHE_READ),
        key("thoughtsTokenCount", &REASONING),
        key("toolUsePromptTokenCount", &TOOL_INPUT),
    ],
);

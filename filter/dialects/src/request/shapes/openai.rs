//! OpenAI: Chat Completions, "Create chat completion"; Responses, "Create a model response"; Embeddings, "Create
//! embeddings".

use super::super::ReferenceField;
use super::super::names::unnamed;
use super::{
    CONTAINER_ID, FILE_ID, HANDED_ON, Hint, KIND, MAX_TOKENS, MODEL, OWN_ID, OWN_MADE, OWN_MORE,
    Own, Place, ROLE, STORE, STREAM, TOOLS, VALUE, WAY, WORDS, hint, own, reference, top,
};
use crate::json::{Member, Shape, Want, key};

static MAX_COMPLETION_TOKENS: Shape<Place> =
    Shape::scalar(Place::MaxTokens("max_completion_tokens"), Want::Presence);
static MAX_OUTPUT_TOKENS: Shape<Place> =
    Shape::scalar(Place::MaxTokens("max_output_tokens"), Want::Presence);
static N: Shape<Place> = Shape::scalar(Place::Candidates("n"), Want::Presence);
static BACKGROUND: Shape<Place> = Shape::scalar(Place::Background, Want::Presence);
static USER: Shape<Place> = hint(Hint::User);
static PROMPT_CACHE_KEY: Shape<Place> = hint(Hint::PromptCacheKey);
static SAFETY_IDENTIFIER: Shape<Place> = hint(Hint::SafetyIdentifier);

pub(super) static CHAT: Shape<Place> = Shape::object(
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
        key("tools", &CHAT_TOOLS),
        key("response_format", &FORMAT),
        key("user", &USER),
        key("prompt_cache_key", &PROMPT_CACHE_KEY),
        key("safety_identifier", &SAFETY_IDENTIFIER),
    ],
)
.judged()
.others(chat_top);
static STREAM_OPTIONS: Shape<Place> = Shape::object(
    Place::StreamOptions,
    &[key("include_usage", &INCLUDE_USAGE)],
)
.judged()
.others(unnamed);
static INCLUDE_USAGE: Shape<Place> = Shape::scalar(Place::IncludeUsage, Want::Presence);
static CHAT_MESSAGES: Shape<Place> = Shape::array(Place::Messages("messages"), &CHAT_MESSAGE);
static CHAT_MESSAGE: Shape<Place> = Shape::object(
    Place::Message,
    &[
        key("role", &WAY),
        // Nothing at these providers is asked for by a message's own id.
        key("id", &WAY),
        key("content", &CHAT_PARTS),
        key("tool_calls", &CHAT_CALLS),
        key("audio", &CHAT_AUDIO),
        key("reasoning_details", &DETAILS),
    ],
)
.judged()
.others(message_member);
static CHAT_PARTS: Shape<Place> = Shape::object(
    Place::Part,
    &[
        key("type", &KIND),
        key("text", &OWN_MORE),
        key("id", &OWN_ID),
        key("file", &CHAT_FILE),
    ],
)
.judged()
.others(unnamed)
.or_items(&CHAT_PARTS);
static CHAT_FILE: Shape<Place> = Shape::object(
    Place::Reference(ReferenceField::File),
    &[key("file_id", &FILE_ID)],
)
.judged()
.others(unnamed)
.or_text(Want::Capture);
/// Calls of the model: ids that tie them to their results, and what is handed to the tools.
static CHAT_CALLS: Shape<Place> = Shape::object(Place::Way, &[])
    .others(call_member)
    .or_items(&CHAT_CALLS);
static CHAT_AUDIO: Shape<Place> = Shape::object(
    Place::Reference(ReferenceField::Audio),
    &[key("id", &AUDIO_ID)],
)
.judged()
.others(unnamed)
.or_text(Want::Capture);
static AUDIO_ID: Shape<Place> = reference(ReferenceField::Audio);
/// Reasoning as providers that route write it.
static DETAILS: Shape<Place> = Shape::object(
    Place::Part,
    &[
        key("type", &KIND),
        key("id", &OWN_ID),
        key("text", &OWN_MORE),
        key("summary", &OWN_MORE),
        key("data", &OWN_MORE),
        key("signature", &OWN_MORE),
    ],
)
.others(unnamed)
.or_items(&DETAILS);
/// Functions and their schemas are the model's to read; other tools may name what they work on.
static CHAT_TOOLS: Shape<Place> = Shape::object(Place::Tool, &[key("type", &KIND)])
    .others(function_member)
    .or_items(&CHAT_TOOLS);
/// The form of the answer.
static FORMAT: Shape<Place> =
    Shape::object(Place::Way, &[key("json_schema", &FORMAT_SCHEMA)]).others(format_member);
static FORMAT_SCHEMA: Shape<Place> = Shape::object(Place::Way, &[]).others(format_member);

pub(super) static RESPONSES: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("stream", &STREAM),
        key("input", &ITEMS),
        key("instructions", &INSTRUCTIONS),
        key("max_output_tokens", &MAX_OUTPUT_TOKENS),
        key("background", &BACKGROUND),
        key("store", &STORE),
        key("previous_response_id", &PREVIOUS_RESPONSE),
        key("conversation", &CONVERSATION),
        key("prompt", &PROMPT),
        key("tools", &TOOLS),
        key("text", &TEXT),
        key("user", &USER),
        key("prompt_cache_key", &PROMPT_CACHE_KEY),
        key("safety_identifier", &SAFETY_IDENTIFIER),
    ],
)
.judged()
.others(top);
static PREVIOUS_RESPONSE: Shape<Place> = reference(ReferenceField::PreviousResponse);
static CONVERSATION: Shape<Place> = Shape::object(
    Place::Reference(ReferenceField::Conversation),
    &[key("id", &CONVERSATION_ID)],
)
.judged()
.others(unnamed)
.or_text(Want::Capture);
static CONVERSATION_ID: Shape<Place> = reference(ReferenceField::Conversation);
static PROMPT: Shape<Place> = Shape::object(
    Place::Reference(ReferenceField::Prompt),
    &[key("id", &PROMPT_ID), key("variables", &VARIABLES)],
)
.judged()
.others(unnamed)
.or_text(Want::Capture);
static PROMPT_ID: Shape<Place> = reference(ReferenceField::Prompt);
/// Values for places of a stored prompt: texts, or parts of a message.
static VARIABLES: Shape<Place> = Shape::object(Place::Way, &[]).others(variable);
/// Items in place of a text.
static INSTRUCTIONS: Shape<Place> = Shape::array(Place::Way, &ITEM);
static ITEMS: Shape<Place> = Shape::array(Place::Messages("input"), &ITEM);
static ITEM: Shape<Place> = Shape::object(
    Place::Item,
    &[
        key("type", &KIND),
        key("role", &ROLE),
        key("id", &OWN_ID),
        key("content", &SAID_PARTS),
        key("output", &PARTS_MADE),
        key("container_id", &CONTAINER_ID),
        key("name", &WAY),
        key("arguments", &HANDED_ON),
        key("input", &HANDED_ON),
        key("action", &HANDED_ON),
        key("operation", &HANDED_ON),
        key("result", &IMAGE),
        key("encrypted_content", &ENCRYPTED),
        key("tools", &TOOLS_MADE),
    ],
)
.judged()
.others(item_member);
static IMAGE: Shape<Place> = own(Own::Image);
static ENCRYPTED: Shape<Place> = own(Own::Said);
static SAID_PARTS: Shape<Place> = parts(Own::Said);
static PARTS_MADE: Shape<Place> = parts(Own::Made);
static TOOLS_MADE: Shape<Place> = Shape::array(Place::Own(Own::Made), &TOOLS);
/// Parts of a message or of a tool's output; a screenshot stands without a list.
const fn parts(content: Own) -> Shape<Place> {
    Shape::object(Place::Own(content), PART_ALONE)
        .judged()
        .others(unnamed)
        .or_items(&PARTS)
}
static PART_ALONE: &[Member<Place>] = &[key("type", &WAY), key("file_id", &FILE_ID)];
static PARTS: Shape<Place> = Shape::object(
    Place::Part,
    &[
        key("type", &KIND),
        key("text", &OWN_MORE),
        key("file_id", &FILE_ID),
        key("id", &OWN_ID),
    ],
)
.judged()
.others(unnamed)
.or_items(&PARTS);
static TEXT: Shape<Place> = Shape::object(Place::Way, &[key("format", &FORMAT)])
    .others(unnamed)
    .or_items(&VALUE);

pub(super) static EMBEDDINGS: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("input", &EMBEDDINGS_INPUT),
        key("user", &USER),
    ],
)
.judged()
.others(top);
static EMBEDDINGS_INPUT: Shape<Place> = Shape::array(Place::Messages("input"), &EMBEDDINGS_ITEM);
/// A text, token ids, or what else a provider embeds.
static EMBEDDINGS_ITEM: Shape<Place> = Shape::object(Place::Message, &[]).others(unnamed);

fn call_member(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"id" | b"type" | b"index" | b"function" | b"custom" => None,
        _ => unnamed(key),
    }
}

fn function_member(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"type" | b"function" => None,
        _ => unnamed(key),
    }
}

/// What stands beside the governed members of a chat.
fn chat_top(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"functions" => None,
        _ => top(key),
    }
}

/// Members of messages beside those that lead on.
fn message_member(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"name" | b"function_call" | b"tool_call_id" => None,
        _ => unnamed(key),
    }
}

fn format_member(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"schema" => None,
        _ => unnamed(key),
    }
}

/// A variable may be called anything.
fn variable(_: &[u8]) -> Option<&'static Shape<Place>> {
    Some(&WORDS)
}

/// Members of items beside those that lead on.
fn item_member(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"call_id"
        | b"status"
        | b"phase"
        | b"namespace"
        | b"server_label"
        | b"pending_safety_checks"
        | b"acknowledged_safety_checks" => None,
        b"code" | b"queries" | b"approve" | b"error" => Some(&OWN_MADE),
        b"summary" | b"outputs" | b"results" => Some(&OWN_MORE),
        _ => unnamed(key),
    }
}

//! Anthropic: Messages API, "Create a message" and "Count tokens"; "Files", "Skills", "Code execution tool", "Advisor
//! tool", "MCP connector".

use super::super::ReferenceField;
use super::super::names::unnamed;
use super::{
    CONTAINER_ID, FILE_ID, HANDED_ON, Hint, KIND, MAX_TOKENS, MODEL, OWN_ID, OWN_MORE, Own, Place,
    SKILLS, STREAM, TOOLS, WAY, WORDS, hint, top,
};
use crate::json::{Member, Shape, Want, key};

pub(super) static REQUEST: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("stream", &STREAM),
        key("max_tokens", &MAX_TOKENS),
        key("messages", &MESSAGES),
        key("system", &WORDS),
        key("tools", &TOOLS),
        key("metadata", &METADATA),
        key("container", &CONTAINER),
        key("output_config", &OUTPUT_CONFIG),
        key("output_format", &FORMAT),
    ],
)
.judged()
.others(top);
static MESSAGES: Shape<Place> = Shape::array(Place::Messages("messages"), &MESSAGE);
static MESSAGE: Shape<Place> = Shape::object(
    Place::Message,
    &[key("role", &WAY), key("content", &BLOCKS)],
)
.judged()
.others(unnamed);
/// Content blocks, or one; a tool result and a document may hold further blocks.
static BLOCKS: Shape<Place> = Shape::object(
    Place::Part,
    &[
        key("type", &KIND),
        key("text", &OWN_MORE),
        key("source", &SOURCE),
        key("content", &CONTENT),
        key("file_id", &FILE_ID),
        key("id", &OWN_ID),
        key("input", &HANDED_ON),
        key("caller", &CALLER),
    ],
)
.judged()
.others(block_member)
.or_items(&BLOCKS);
static CONTENT: Shape<Place> = Shape::object(Place::Own(Own::More), BLOCK_MEMBERS_OF_CONTENT)
    .judged()
    .others(block_member)
    .or_items(&BLOCKS);
/// What a server tool gave back: an object in place of blocks.
static BLOCK_MEMBERS_OF_CONTENT: &[Member<Place>] = &[
    key("type", &WAY),
    key("source", &SOURCE),
    key("content", &CONTENT),
    key("file_id", &FILE_ID),
];
static SOURCE: Shape<Place> = Shape::object(
    Place::Own(Own::More),
    &[
        key("type", &WAY),
        key("file_id", &FILE_ID),
        key("content", &CONTENT),
    ],
)
.judged()
.others(unnamed)
.or_items(&super::VALUE);
static CALLER: Shape<Place> =
    Shape::object(Place::Way, &[key("type", &WAY), key("tool_id", &WAY)]).others(unnamed);
static METADATA: Shape<Place> = Shape::object(Place::Way, &[key("user_id", &USER_ID)]).judged();
static USER_ID: Shape<Place> = hint(Hint::AnthropicUserId);
static CONTAINER: Shape<Place> = Shape::object(
    Place::Reference(ReferenceField::Container),
    &[key("id", &CONTAINER_ID), key("skills", &SKILLS)],
)
.judged()
.others(unnamed)
.or_text(Want::Capture);
static OUTPUT_CONFIG: Shape<Place> =
    Shape::object(Place::Way, &[key("format", &FORMAT)]).others(unnamed);
/// The form of the answer: a JSON Schema is the model's to read.
static FORMAT: Shape<Place> = Shape::object(Place::Way, &[]).others(format_member);

fn format_member(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"schema" => None,
        _ => unnamed(key),
    }
}

/// Members of blocks beside those that lead on.
fn block_member(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"thinking" | b"signature" | b"tool_use_id" | b"is_error" | b"cache_control" | b"name" => {
            None
        }
        b"data" | b"summary" => Some(&OWN_MORE),
        b"citations" => Some(&WORDS),
        _ => unnamed(key),
    }
}

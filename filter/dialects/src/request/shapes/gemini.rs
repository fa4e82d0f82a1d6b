//! Gemini: `models.generateContent`, `.countTokens`, `.embedContent`, `.batchEmbedContents`. The protobuf JSON mapping
//! takes every field in camelCase and in snake_case.

use super::super::ReferenceField;
use super::super::names::unnamed;
use super::{MODEL, MODELS, Place, WAY, WORDS, reference, top};
use crate::json::{Shape, Want, key};

pub(super) static GENERATE: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("contents", &CONTENTS),
        key("systemInstruction", &INSTRUCTION).or("system_instruction"),
        key("generationConfig", &CONFIG).or("generation_config"),
        key("cachedContent", &CACHED_CONTENT).or("cached_content"),
        key("tools", &TOOLS),
    ],
)
.judged()
.others(top);
static NESTED_GENERATE: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("model", &MODELS),
        key("contents", &CONTENTS),
        key("systemInstruction", &INSTRUCTION).or("system_instruction"),
        key("generationConfig", &CONFIG).or("generation_config"),
        key("cachedContent", &CACHED_CONTENT).or("cached_content"),
        key("tools", &TOOLS),
    ],
)
.judged()
.others(top);
pub(super) static COUNT: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("contents", &CONTENTS),
        key("generateContentRequest", &NESTED_GENERATE).or("generate_content_request"),
    ],
)
.judged()
.others(top);
pub(super) static EMBED: Shape<Place> = Shape::object(
    Place::Body,
    &[
        key("model", &MODEL),
        key("content", &CONTENTS),
        key("requests", &EMBED_REQUESTS),
    ],
)
.judged()
.others(top);
static EMBED_REQUESTS: Shape<Place> = Shape::array(Place::Messages("requests"), &EMBED_REQUEST);
static EMBED_REQUEST: Shape<Place> = Shape::object(
    Place::Message,
    &[key("model", &MODELS), key("content", &INSTRUCTION)],
)
.judged()
.others(top);
/// A list of contents, or one.
static CONTENTS: Shape<Place> = Shape::object(
    Place::Messages("contents"),
    &[key("parts", &PARTS), key("role", &WAY)],
)
.judged()
.others(unnamed)
.or_items(&CONTENT);
static CONTENT: Shape<Place> =
    Shape::object(Place::Message, &[key("parts", &PARTS), key("role", &WAY)])
        .judged()
        .others(unnamed);
static INSTRUCTION: Shape<Place> =
    Shape::object(Place::Way, &[key("parts", &PARTS), key("role", &WAY)])
        .judged()
        .others(unnamed);
/// A list of parts, or one.
static PARTS: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("fileData", &FILE).or("file_data"),
        key("functionResponse", &RESPONSE).or("function_response"),
        key("toolResponse", &RESPONSE).or("tool_response"),
    ],
)
.judged()
.others(part_member)
.or_items(&PARTS);
/// What a tool gave back, and media beside it.
static RESPONSE: Shape<Place> = Shape::object(Place::Way, &[key("parts", &PARTS)])
    .judged()
    .others(response_member);
static FILE: Shape<Place> = Shape::object(
    Place::Reference(ReferenceField::FileUri),
    &[key("fileUri", &FILE_URI).or("file_uri")],
)
.judged()
.others(unnamed)
.or_text(Want::Capture);
static FILE_URI: Shape<Place> = reference(ReferenceField::FileUri);
static CACHED_CONTENT: Shape<Place> = reference(ReferenceField::CachedContent);
static CONFIG: Shape<Place> = Shape::object(
    Place::Way,
    &[
        key("maxOutputTokens", &MAX_TOKENS).or("max_output_tokens"),
        key("candidateCount", &CANDIDATES).or("candidate_count"),
    ],
)
.judged()
.others(config_member);
/// The protobuf JSON mapping takes an integer in quotes, too.
static MAX_TOKENS: Shape<Place> = Shape::scalar(
    Place::MaxTokens("generationConfig.maxOutputTokens"),
    Want::Capture,
);
static CANDIDATES: Shape<Place> = Shape::scalar(
    Place::Candidates("generationConfig.candidateCount"),
    Want::Capture,
);
static TOOLS: Shape<Place> = Shape::object(
    Place::ToolByMember,
    &[key("fileSearch", &FILE_SEARCH).or("file_search")],
)
.judged()
.others(tool_member)
.or_items(&TOOLS);
static FILE_SEARCH: Shape<Place> = Shape::object(
    Place::Hosted,
    &[key("fileSearchStoreNames", &STORES).or("file_search_store_names")],
)
.judged()
.others(unnamed);
static STORES: Shape<Place> = reference(ReferenceField::FileSearchStore).or_items(&STORE);
static STORE: Shape<Place> = reference(ReferenceField::FileSearchStore);

/// Texts and media, and calls of the model with ids that tie them to their responses.
fn part_member(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"text" => Some(&WORDS),
        b"thought"
        | b"thoughtSignature"
        | b"thought_signature"
        | b"inlineData"
        | b"inline_data"
        | b"functionCall"
        | b"function_call"
        | b"toolCall"
        | b"tool_call"
        | b"executableCode"
        | b"executable_code"
        | b"codeExecutionResult"
        | b"code_execution_result" => None,
        _ => unnamed(key),
    }
}

fn response_member(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"id" | b"name" | b"response" | b"willContinue" | b"will_continue" | b"scheduling" => None,
        _ => unnamed(key),
    }
}

/// Functions and their schemas are the model's to read.
fn tool_member(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"functionDeclarations" | b"function_declarations" => None,
        // Whatever else stands here says that the provider runs it.
        _ => unnamed(key).or(Some(&WORDS)),
    }
}

fn config_member(key: &[u8]) -> Option<&'static Shape<Place>> {
    match key {
        b"responseSchema"
        | b"response_schema"
        | b"responseJsonSchema"
        | b"response_json_schema"
        | b"_responseJsonSchema" => None,
        _ => unnamed(key),
    }
}

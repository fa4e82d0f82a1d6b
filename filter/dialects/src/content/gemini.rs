//! Gemini: `models.generateContent`, `.streamGenerateContent`, `.countTokens`, `.embedContent`,
//! `.batchEmbedContents`; "Thought signatures", "Code execution". Every field has two spellings, as in the protobuf
//! JSON mapping.

use policy::guardrail::TextRole;

use super::Media;
use super::area::{
    ARGUMENTS, ATTACHED, Area, Delta, Fact, RESULT, Rule, SCHEMA, SPEECH, Says, UNKNOWN,
};

pub(super) static REQUEST: Area = Area::new(
    Says::Role(TextRole::Attachment),
    &[
        ("model", Rule::Known),
        ("contents", Rule::In(&CONTENT)),
        ("content", Rule::In(&CONTENT)),
        ("systemInstruction", Rule::In(&INSTRUCTION)),
        ("system_instruction", Rule::In(&INSTRUCTION)),
        ("tools", Rule::In(&SCHEMA)),
        ("toolConfig", Rule::In(&SCHEMA)),
        ("tool_config", Rule::In(&SCHEMA)),
        ("generationConfig", Rule::In(&CONFIG)),
        ("generation_config", Rule::In(&CONFIG)),
        ("safetySettings", Rule::In(&SAFETY)),
        ("safety_settings", Rule::In(&SAFETY)),
        ("cachedContent", Rule::Reference(Media::File)),
        ("cached_content", Rule::Reference(Media::File)),
        ("taskType", Rule::Known),
        ("task_type", Rule::Known),
        ("generateContentRequest", Rule::In(&REQUEST)),
        ("generate_content_request", Rule::In(&REQUEST)),
        ("requests", Rule::In(&REQUEST)),
    ],
    Rule::In(&ATTACHED),
);
static CONFIG: Area = Area::new(
    Says::Role(TextRole::System),
    &[
        ("responseMimeType", Rule::Known),
        ("response_mime_type", Rule::Known),
    ],
    Rule::In(&SCHEMA),
);
static SAFETY: Area = Area::new(
    Says::Role(TextRole::Attachment),
    &[("category", Rule::Known), ("threshold", Rule::Known)],
    Rule::In(&ATTACHED),
);
static CONTENT: Area = Area::new(
    Says::Speaker,
    &[("role", Rule::Fact(Fact::Role)), ("parts", Rule::In(&PART))],
    Rule::In(&UNKNOWN),
)
.turn(Some(TextRole::User));
static INSTRUCTION: Area = Area::new(
    Says::Role(TextRole::System),
    &[
        ("role", Rule::Known),
        ("parts", Rule::In(&INSTRUCTION_PART)),
    ],
    Rule::In(&SCHEMA),
);
static INSTRUCTION_PART: Area = Area::new(Says::Role(TextRole::System), &[], Rule::In(&SCHEMA));
static PART: Area = Area::new(
    Says::Speaker,
    &[
        ("text", Rule::In(&SPEECH)),
        ("thought", Rule::Fact(Fact::Thought)),
        ("thoughtSignature", Rule::Fact(Fact::Signature)),
        ("thought_signature", Rule::Fact(Fact::Signature)),
        ("inlineData", Rule::In(&INLINE)),
        ("inline_data", Rule::In(&INLINE)),
        ("fileData", Rule::In(&FILE)),
        ("file_data", Rule::In(&FILE)),
        ("functionCall", Rule::In(&CALL)),
        ("function_call", Rule::In(&CALL)),
        ("functionResponse", Rule::In(&RESPONSE)),
        ("function_response", Rule::In(&RESPONSE)),
        ("toolCall", Rule::In(&CALL)),
        ("tool_call", Rule::In(&CALL)),
        ("toolResponse", Rule::In(&RESPONSE)),
        ("tool_response", Rule::In(&RESPONSE)),
        ("executableCode", Rule::In(&CODE)),
        ("executable_code", Rule::In(&CODE)),
        ("codeExecutionResult", Rule::In(&OUTCOME)),
        ("code_execution_result", Rule::In(&OUTCOME)),
    ],
    Rule::In(&UNKNOWN),
)
.part();
static INLINE: Area = Area::new(
    Says::Speaker,
    &[
        ("mimeType", Rule::Fact(Fact::Mime)),
        ("mime_type", Rule::Fact(Fact::Mime)),
        ("data", Rule::Source),
    ],
    Rule::In(&UNKNOWN),
)
.part();
static FILE: Area = Area::new(
    Says::Speaker,
    &[
        ("mimeType", Rule::Known),
        ("mime_type", Rule::Known),
        ("fileUri", Rule::Locator(Media::File)),
        ("file_uri", Rule::Locator(Media::File)),
    ],
    Rule::In(&UNKNOWN),
);
static CALL: Area = Area::new(
    Says::Role(TextRole::ToolArguments),
    &[("id", Rule::Known), ("args", Rule::In(&ARGUMENTS))],
    Rule::In(&ARGUMENTS),
);
static RESPONSE: Area = Area::new(
    Says::Role(TextRole::ToolResult),
    &[
        ("id", Rule::Known),
        ("response", Rule::In(&RESULT)),
        ("parts", Rule::In(&RESPONSE_PART)),
    ],
    Rule::In(&RESULT),
);
/// What a tool gave back beside its response: media of the same kinds as in a turn.
static RESPONSE_PART: Area = Area::new(
    Says::Role(TextRole::ToolResult),
    &[
        ("inlineData", Rule::In(&INLINE)),
        ("inline_data", Rule::In(&INLINE)),
        ("fileData", Rule::In(&FILE)),
        ("file_data", Rule::In(&FILE)),
    ],
    Rule::In(&RESULT),
);
static CODE: Area = Area::new(
    Says::Role(TextRole::ToolArguments),
    &[("id", Rule::Known), ("language", Rule::Known)],
    Rule::In(&ARGUMENTS),
);
static OUTCOME: Area = Area::new(
    Says::Role(TextRole::ToolResult),
    &[("id", Rule::Known), ("outcome", Rule::Known)],
    Rule::In(&RESULT),
);

pub(super) static ANSWER: Area = Area::new(Says::Speaker, ANSWER_MEMBERS, Rule::In(&UNKNOWN));
static ANSWER_MEMBERS: &[(&str, Rule)] = &[
    ("candidates", Rule::In(&CANDIDATE)),
    ("modelVersion", Rule::Known),
    ("responseId", Rule::Known),
    ("createTime", Rule::Known),
    ("usageMetadata", Rule::In(&USAGE)),
    ("embedding", Rule::Vector),
    ("embeddings", Rule::Vector),
];
static USAGE: Area = Area::new(
    Says::Speaker,
    &[("modality", Rule::Known), ("trafficType", Rule::Known)],
    // Lists of counts by modality.
    Rule::In(&USAGE),
);
static CANDIDATE: Area = Area::new(Says::Speaker, CANDIDATE_MEMBERS, Rule::In(&UNKNOWN)).part();
static CANDIDATE_MEMBERS: &[(&str, Rule)] = &[
    ("content", Rule::In(&CONTENT_OF_ANSWER)),
    ("finishReason", Rule::Fact(Fact::Finish)),
    ("index", Rule::Fact(Fact::Index)),
    ("safetyRatings", Rule::In(&RATING)),
    ("logprobsResult", Rule::Shadow),
    ("groundingMetadata", Rule::In(&ATTACHED)),
    ("citationMetadata", Rule::In(&ATTACHED)),
    ("urlContextMetadata", Rule::In(&ATTACHED)),
];
static RATING: Area = Area::new(
    Says::Speaker,
    &[("category", Rule::Known), ("probability", Rule::Known)],
    Rule::In(&UNKNOWN),
);
static CONTENT_OF_ANSWER: Area = Area::new(
    Says::Speaker,
    &[("role", Rule::Known), ("parts", Rule::In(&PART))],
    Rule::In(&UNKNOWN),
);

/// One event of a stream.
pub(super) static EVENT: Area = Area::new(
    Says::Speaker,
    &[
        ("candidates", Rule::In(&STREAMED_CANDIDATE)),
        ("modelVersion", Rule::Known),
        ("responseId", Rule::Known),
        ("createTime", Rule::Known),
        ("usageMetadata", Rule::In(&USAGE)),
    ],
    Rule::In(&UNKNOWN),
)
.part();
static STREAMED_CANDIDATE: Area = Area::new(
    Says::Speaker,
    &[
        ("content", Rule::In(&STREAMED_CONTENT)),
        ("finishReason", Rule::Fact(Fact::Finish)),
        ("index", Rule::Fact(Fact::Index)),
        ("safetyRatings", Rule::In(&RATING)),
        ("logprobsResult", Rule::Shadow),
        ("groundingMetadata", Rule::In(&ATTACHED)),
        ("citationMetadata", Rule::In(&ATTACHED)),
        ("urlContextMetadata", Rule::In(&ATTACHED)),
    ],
    Rule::In(&UNKNOWN),
)
.part();
static STREAMED_CONTENT: Area = Area::new(
    Says::Speaker,
    &[("role", Rule::Known), ("parts", Rule::In(&STREAMED_PART))],
    Rule::In(&UNKNOWN),
);
static STREAMED_PART: Area = Area::new(
    Says::Speaker,
    &[
        ("text", Rule::Delta(Delta::Text)),
        ("thought", Rule::Fact(Fact::Thought)),
        ("thoughtSignature", Rule::Fact(Fact::Signature)),
        ("inlineData", Rule::In(&INLINE)),
        ("fileData", Rule::In(&FILE)),
        ("functionCall", Rule::In(&CALL)),
        ("functionResponse", Rule::In(&RESPONSE)),
        ("toolCall", Rule::In(&CALL)),
        ("toolResponse", Rule::In(&RESPONSE)),
        ("executableCode", Rule::In(&CODE)),
        ("codeExecutionResult", Rule::In(&OUTCOME)),
    ],
    Rule::In(&UNKNOWN),
)
.part();

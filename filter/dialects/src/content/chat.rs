//! OpenAI: Chat Completions, "Create chat completion", "The chat completion (chunk) object"; Embeddings, "Create
//! embeddings". Members of providers that speak the same dialect (`reasoning`, `reasoning_details`) are included.

use policy::guardrail::TextRole;

use super::Media;
use super::area::{
    ARGUMENTS, ATTACHED, Area, Begins, CACHE_CONTROL, Delta, Fact, Keys, Rule, SCHEMA, SPEECH,
    Says, UNKNOWN,
};

pub(super) static REQUEST: Area = Area::new(
    Says::Role(TextRole::Attachment),
    &[
        ("model", Rule::Known),
        ("models", Rule::Known),
        ("service_tier", Rule::Known),
        ("reasoning_effort", Rule::Known),
        ("prompt_cache_key", Rule::Known),
        ("messages", Rule::In(&MESSAGE)),
        ("tools", Rule::In(&SCHEMA)),
        ("tool_choice", Rule::In(&SCHEMA)),
        ("functions", Rule::In(&SCHEMA)),
        ("response_format", Rule::In(&SCHEMA)),
    ],
    Rule::In(&ATTACHED),
);
static MESSAGE: Area = Area::new(Says::Speaker, MESSAGE_MEMBERS, Rule::In(&UNKNOWN)).turn(None);
static MESSAGE_MEMBERS: &[(&str, Rule)] = &[
    ("role", Rule::Fact(Fact::Role)),
    ("content", Rule::In(&CONTENT)),
    ("tool_calls", Rule::In(&TOOL_CALL)),
    ("tool_call_id", Rule::Known),
    ("function_call", Rule::In(&FUNCTION)),
    ("reasoning_content", Rule::In(&THINKING)),
    ("reasoning", Rule::In(&THINKING)),
    ("reasoning_details", Rule::In(&THINKING)),
    ("audio", Rule::In(&AUDIO)),
    ("cache_control", Rule::In(&CACHE_CONTROL)),
];
static CONTENT: Area = Area::new(
    Says::Speaker,
    &[
        ("type", Rule::Fact(Fact::Type)),
        ("text", Rule::In(&SPEECH)),
        ("image_url", Rule::Locator(Media::Image)),
        ("video_url", Rule::Locator(Media::Video)),
        ("input_audio", Rule::In(&AUDIO)),
        ("file", Rule::In(&FILE)),
        ("cache_control", Rule::In(&CACHE_CONTROL)),
    ],
    Rule::In(&UNKNOWN),
)
.part();
static AUDIO: Area = Area::new(
    Says::Speaker,
    &[
        ("data", Rule::Media(Media::Audio)),
        ("format", Rule::Known),
        ("id", Rule::Reference(Media::Audio)),
    ],
    Rule::In(&UNKNOWN),
);
static FILE: Area = Area::new(
    Says::Speaker,
    &[
        ("file_data", Rule::Media(Media::File)),
        ("file_id", Rule::Reference(Media::File)),
    ],
    Rule::In(&UNKNOWN),
);
static TOOL_CALL: Area = Area::new(
    Says::Role(TextRole::ToolArguments),
    &[
        ("id", Rule::Known),
        ("type", Rule::Known),
        ("function", Rule::In(&FUNCTION)),
        ("custom", Rule::In(&FUNCTION)),
    ],
    Rule::In(&ARGUMENTS),
);
static FUNCTION: Area = Area::new(
    Says::Role(TextRole::ToolArguments),
    &[("arguments", Rule::JsonText)],
    Rule::In(&ARGUMENTS),
);
static THINKING: Area = Area {
    says: Says::Role(TextRole::Thinking),
    begins: Begins::Part,
    members: &[
        ("type", Rule::Known),
        ("id", Rule::Known),
        ("format", Rule::Known),
        ("signature", Rule::Fact(Fact::Signature)),
        ("data", Rule::Media(Media::Encrypted)),
    ],
    others: Rule::In(&THINKING),
    keys: Keys::Names,
};

pub(super) static ANSWER: Area = Area::new(
    Says::Speaker,
    &[
        ("id", Rule::Known),
        ("object", Rule::Known),
        ("created", Rule::Known),
        ("model", Rule::Known),
        ("system_fingerprint", Rule::Known),
        ("service_tier", Rule::Known),
        ("choices", Rule::In(&CHOICE)),
    ],
    Rule::In(&UNKNOWN),
);
static CHOICE: Area = Area::new(
    Says::Speaker,
    &[
        ("index", Rule::Fact(Fact::Index)),
        ("finish_reason", Rule::Fact(Fact::Finish)),
        ("message", Rule::In(&MESSAGE_OF_ANSWER)),
        ("text", Rule::In(&SPEECH)),
        ("logprobs", Rule::Shadow),
    ],
    Rule::In(&UNKNOWN),
)
.part();
static MESSAGE_OF_ANSWER: Area =
    Area::new(Says::Speaker, MESSAGE_MEMBERS, Rule::In(&UNKNOWN)).part();

/// One event of a stream.
pub(super) static EVENT: Area = Area::new(
    Says::Speaker,
    &[
        ("id", Rule::Known),
        ("object", Rule::Known),
        ("created", Rule::Known),
        ("model", Rule::Known),
        ("system_fingerprint", Rule::Known),
        ("service_tier", Rule::Known),
        // Filling, so that the length of an event tells nothing.
        ("obfuscation", Rule::Known),
        ("choices", Rule::In(&STREAMED_CHOICE)),
    ],
    Rule::In(&UNKNOWN),
)
.part();
static STREAMED_CHOICE: Area = Area::new(
    Says::Speaker,
    &[
        ("index", Rule::Fact(Fact::Index)),
        ("finish_reason", Rule::Fact(Fact::Finish)),
        ("delta", Rule::In(&STREAMED_MESSAGE)),
        ("message", Rule::In(&MESSAGE_OF_ANSWER)),
        ("text", Rule::Delta(Delta::Text)),
        ("logprobs", Rule::Shadow),
    ],
    Rule::In(&UNKNOWN),
)
.part();
static STREAMED_MESSAGE: Area = Area::new(
    Says::Speaker,
    &[
        ("role", Rule::Known),
        ("content", Rule::Delta(Delta::Text)),
        ("refusal", Rule::Delta(Delta::Refusal)),
        ("reasoning_content", Rule::Delta(Delta::Thinking)),
        ("reasoning", Rule::Delta(Delta::Summary)),
        ("reasoning_details", Rule::In(&STREAMED_DETAIL)),
        ("tool_calls", Rule::In(&STREAMED_TOOL_CALL)),
        ("function_call", Rule::In(&STREAMED_FUNCTION)),
        ("audio", Rule::In(&STREAMED_AUDIO)),
    ],
    Rule::In(&UNKNOWN),
);
static STREAMED_TOOL_CALL: Area = Area::new(
    Says::Role(TextRole::ToolArguments),
    &[
        ("index", Rule::Fact(Fact::PartIndex)),
        ("id", Rule::Known),
        ("type", Rule::Known),
        ("function", Rule::In(&STREAMED_FUNCTION)),
        ("custom", Rule::In(&STREAMED_FUNCTION)),
    ],
    Rule::In(&ARGUMENTS),
)
.part();
static STREAMED_FUNCTION: Area = Area::new(
    Says::Role(TextRole::ToolArguments),
    &[
        ("arguments", Rule::Delta(Delta::Arguments)),
        ("input", Rule::Delta(Delta::Input)),
    ],
    Rule::In(&ARGUMENTS),
);
static STREAMED_DETAIL: Area = Area::new(
    Says::Role(TextRole::Thinking),
    &[
        ("type", Rule::Known),
        ("id", Rule::Known),
        ("format", Rule::Known),
        ("text", Rule::Delta(Delta::Details)),
        ("summary", Rule::Delta(Delta::Details)),
        ("signature", Rule::Fact(Fact::Signature)),
        ("data", Rule::Media(Media::Encrypted)),
    ],
    Rule::In(&THINKING),
)
.part();
static STREAMED_AUDIO: Area = Area::new(
    Says::Speaker,
    &[
        ("id", Rule::Known),
        ("data", Rule::Media(Media::Audio)),
        ("transcript", Rule::Delta(Delta::Transcript)),
    ],
    Rule::In(&UNKNOWN),
);

pub(super) static EMBEDDINGS: Area = Area::new(
    Says::Role(TextRole::Attachment),
    &[
        ("model", Rule::Known),
        ("encoding_format", Rule::Known),
        // A text, several, or token ids in place of any of them.
        ("input", Rule::Tokens),
    ],
    Rule::In(&ATTACHED),
);
pub(super) static EMBEDDINGS_ANSWER: Area = Area::new(
    Says::Speaker,
    &[
        ("object", Rule::Known),
        ("model", Rule::Known),
        ("embedding", Rule::Vector),
        ("data", Rule::In(&EMBEDDINGS_ANSWER)),
    ],
    Rule::In(&UNKNOWN),
);

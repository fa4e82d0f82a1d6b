//! OpenAI: Responses, "Create a model response", "The response object", "Streaming events".

use policy::guardrail::TextRole;

use super::Media;
use super::area::{
    ARGUMENTS, ATTACHED, Area, Begins, Delta, Fact, Keys, RESULT, Rule, SCHEMA, SPEECH, SYSTEM,
    Says, UNKNOWN, USER,
};

pub(super) static REQUEST: Area = Area::new(
    Says::Role(TextRole::Attachment),
    &[
        ("model", Rule::Known),
        ("models", Rule::Known),
        ("service_tier", Rule::Known),
        ("prompt_cache_key", Rule::Known),
        ("previous_response_id", Rule::Known),
        ("conversation", Rule::In(&CONVERSATION)),
        ("include", Rule::Known),
        ("truncation", Rule::Known),
        ("reasoning", Rule::In(&REASONING_CONFIG)),
        ("instructions", Rule::In(&SYSTEM)),
        ("prompt", Rule::In(&PROMPT)),
        ("tools", Rule::In(&SCHEMA)),
        ("tool_choice", Rule::In(&SCHEMA)),
        ("text", Rule::In(&SCHEMA)),
        ("input", Rule::In(&ITEM)),
    ],
    Rule::In(&ATTACHED),
);
static CONVERSATION: Area = Area::new(
    Says::Role(TextRole::Attachment),
    &[("id", Rule::Known)],
    Rule::In(&ATTACHED),
);
static PROMPT: Area = Area::new(
    Says::Role(TextRole::User),
    &[("id", Rule::Known), ("version", Rule::Known)],
    Rule::In(&USER),
);
static REASONING_CONFIG: Area = Area::new(
    Says::Role(TextRole::Attachment),
    &[
        ("effort", Rule::Known),
        ("summary", Rule::Known),
        ("generate_summary", Rule::Known),
    ],
    Rule::In(&ATTACHED),
);
/// An input item, or a text that stands for a message of the user.
static ITEM: Area = Area {
    says: Says::Role(TextRole::User),
    begins: Begins::Turn(None),
    members: ITEM_MEMBERS,
    others: Rule::In(&UNKNOWN),
    keys: Keys::Names,
};
static ITEM_MEMBERS: &[(&str, Rule)] = &[
    ("type", Rule::Fact(Fact::Type)),
    ("role", Rule::Fact(Fact::Role)),
    ("id", Rule::Known),
    ("call_id", Rule::Known),
    ("approval_request_id", Rule::Known),
    ("status", Rule::Known),
    ("phase", Rule::Known),
    ("content", Rule::In(&PART)),
    ("summary", Rule::In(&PART)),
    ("encrypted_content", Rule::Media(Media::Encrypted)),
    ("arguments", Rule::JsonText),
    ("input", Rule::In(&ARGUMENTS)),
    ("action", Rule::In(&ARGUMENTS)),
    ("operation", Rule::In(&ARGUMENTS)),
    ("code", Rule::In(&ARGUMENTS)),
    ("queries", Rule::In(&ARGUMENTS)),
    ("output", Rule::In(&OUTPUT)),
    ("outputs", Rule::In(&OUTPUT)),
    ("results", Rule::In(&RESULT)),
    ("container_id", Rule::Known),
    // What an image generation made.
    ("result", Rule::Media(Media::Image)),
];
static PART: Area = Area::new(Says::Speaker, PART_MEMBERS, Rule::In(&UNKNOWN)).part();
static PART_MEMBERS: &[(&str, Rule)] = &[
    ("type", Rule::Fact(Fact::Type)),
    ("text", Rule::In(&SPEECH)),
    ("refusal", Rule::In(&SPEECH)),
    ("annotations", Rule::In(&ANNOTATION)),
    ("logprobs", Rule::Shadow),
    ("image_url", Rule::Locator(Media::Image)),
    ("file_data", Rule::Media(Media::File)),
    ("file_url", Rule::Locator(Media::File)),
    ("file_id", Rule::Reference(Media::File)),
    ("detail", Rule::Known),
    ("encrypted_content", Rule::Media(Media::Encrypted)),
    ("input_audio", Rule::In(&AUDIO)),
];
static AUDIO: Area = Area::new(
    Says::Speaker,
    &[("data", Rule::Media(Media::Audio)), ("format", Rule::Known)],
    Rule::In(&UNKNOWN),
);
static ANNOTATION: Area = Area::new(
    Says::Speaker,
    &[
        ("type", Rule::Known),
        ("file_id", Rule::Known),
        ("container_id", Rule::Known),
    ],
    Rule::In(&UNKNOWN),
);
/// What a tool gave back: a text, or parts like those of a message.
static OUTPUT: Area = Area {
    says: Says::Role(TextRole::ToolResult),
    begins: Begins::Part,
    members: &[
        ("type", Rule::Fact(Fact::Type)),
        ("image_url", Rule::Locator(Media::Image)),
        ("url", Rule::Locator(Media::Image)),
        ("file_data", Rule::Media(Media::File)),
        ("file_url", Rule::Locator(Media::File)),
        ("file_id", Rule::Reference(Media::File)),
        ("detail", Rule::Known),
        ("encrypted_content", Rule::Media(Media::Encrypted)),
    ],
    others: Rule::In(&RESULT),
    keys: Keys::Names,
};

/// A response: a whole answer, and what the events of a stream repeat of it.
pub(super) static ANSWER: Area = Area::new(
    Says::Speaker,
    &[
        ("id", Rule::Known),
        ("object", Rule::Known),
        ("created_at", Rule::Known),
        ("completed_at", Rule::Known),
        ("expires_at", Rule::Known),
        ("status", Rule::Known),
        ("model", Rule::Known),
        ("service_tier", Rule::Known),
        ("previous_response_id", Rule::Known),
        ("conversation", Rule::In(&CONVERSATION)),
        ("prompt_cache_key", Rule::Known),
        ("truncation", Rule::Known),
        ("reasoning", Rule::In(&REASONING_CONFIG)),
        ("instructions", Rule::Echo),
        ("tools", Rule::Echo),
        ("tool_choice", Rule::Echo),
        ("text", Rule::Echo),
        ("prompt", Rule::Echo),
        ("metadata", Rule::Echo),
        ("user", Rule::Echo),
        ("safety_identifier", Rule::Echo),
        ("output", Rule::In(&ITEM_OF_ANSWER)),
    ],
    Rule::In(&UNKNOWN),
)
.part();
static ITEM_OF_ANSWER: Area = Area::new(Says::Speaker, ITEM_MEMBERS, Rule::In(&UNKNOWN)).part();

/// One event of a stream.
pub(super) static EVENT: Area = Area::new(
    Says::Speaker,
    &[
        ("type", Rule::Fact(Fact::EventType)),
        ("sequence_number", Rule::Fact(Fact::Sequence)),
        ("item_id", Rule::Known),
        ("output_index", Rule::Fact(Fact::Index)),
        ("content_index", Rule::Fact(Fact::PartIndex)),
        ("summary_index", Rule::Fact(Fact::PartIndex)),
        ("call_id", Rule::Known),
        ("obfuscation", Rule::Known),
        ("logprobs", Rule::Shadow),
        ("delta", Rule::Delta(Delta::ByType)),
        ("text", Rule::Restated(Delta::ByType)),
        ("refusal", Rule::Restated(Delta::ByType)),
        ("arguments", Rule::Restated(Delta::ByType)),
        ("input", Rule::Restated(Delta::ByType)),
        ("code", Rule::Restated(Delta::ByType)),
        ("transcript", Rule::Restated(Delta::ByType)),
        ("part", Rule::In(&PART)),
        ("item", Rule::In(&ITEM_OF_ANSWER)),
        ("response", Rule::In(&ANSWER)),
        ("annotation", Rule::In(&ANNOTATION)),
        ("partial_image_b64", Rule::Media(Media::Image)),
    ],
    Rule::In(&UNKNOWN),
)
.part();

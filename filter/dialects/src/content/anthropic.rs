//! Anthropic: Messages API, "Create a message", "Count tokens", "Streaming messages"; "Extended thinking",
//! "PDF support", "Citations", "Search results", "Web search tool", "MCP connector", "Files".

use policy::guardrail::TextRole;

use super::Media;
use super::area::{
    ARGUMENTS, ATTACHED, Area, CACHE_CONTROL, Delta, Fact, Rule, SCHEMA, SPEECH, SYSTEM, Says,
    UNKNOWN,
};

/// A request.
pub(super) static REQUEST: Area = Area::new(
    Says::Role(TextRole::Attachment),
    &[
        ("model", Rule::Known),
        ("service_tier", Rule::Known),
        ("container", Rule::In(&CONTAINER)),
        ("system", Rule::In(&SYSTEM)),
        ("tools", Rule::In(&SCHEMA)),
        ("output_config", Rule::In(&SCHEMA)),
        ("output_format", Rule::In(&SCHEMA)),
        ("messages", Rule::In(&MESSAGE)),
    ],
    Rule::In(&ATTACHED),
);
static CONTAINER: Area = Area::new(
    Says::Role(TextRole::Attachment),
    &[("id", Rule::Known), ("skill_id", Rule::Known)],
    Rule::In(&ATTACHED),
);
static MESSAGE: Area = Area::new(
    Says::Speaker,
    &[
        ("role", Rule::Fact(Fact::Role)),
        ("content", Rule::In(&BLOCK)),
    ],
    Rule::In(&UNKNOWN),
)
.turn(None);
static BLOCK: Area = Area::new(Says::Speaker, BLOCK_MEMBERS, Rule::In(&UNKNOWN)).part();
static BLOCK_MEMBERS: &[(&str, Rule)] = &[
    ("type", Rule::Fact(Fact::Type)),
    ("text", Rule::In(&SPEECH)),
    ("content", Rule::In(&BLOCK)),
    ("input", Rule::In(&ARGUMENTS)),
    ("thinking", Rule::In(&SPEECH)),
    ("signature", Rule::Fact(Fact::Signature)),
    ("data", Rule::Data),
    ("source", Rule::In(&SOURCE)),
    ("id", Rule::Known),
    ("tool_use_id", Rule::Known),
    ("file_id", Rule::Reference(Media::File)),
    ("citations", Rule::In(&CITATION)),
    ("encrypted_content", Rule::Media(Media::Encrypted)),
    ("cache_control", Rule::In(&CACHE_CONTROL)),
    ("caller", Rule::In(&CALLER)),
];
/// What a block's `source` says of its data.
static SOURCE: Area = Area::new(
    Says::Speaker,
    &[
        ("type", Rule::Fact(Fact::Type)),
        ("media_type", Rule::Fact(Fact::Mime)),
        ("data", Rule::Source),
        ("url", Rule::Locator(Media::File)),
        ("file_id", Rule::Reference(Media::File)),
        ("content", Rule::In(&BLOCK)),
    ],
    Rule::In(&UNKNOWN),
)
.part();
static CITATION: Area = Area::new(
    Says::Speaker,
    &[
        ("type", Rule::Known),
        ("encrypted_index", Rule::Known),
        ("file_id", Rule::Known),
    ],
    Rule::In(&UNKNOWN),
);
static CALLER: Area = Area::new(
    Says::Speaker,
    &[("type", Rule::Known), ("tool_id", Rule::Known)],
    Rule::In(&UNKNOWN),
);

/// A whole answer, or an error.
pub(super) static ANSWER: Area = Area::new(Says::Speaker, ANSWER_MEMBERS, Rule::In(&UNKNOWN));
static ANSWER_MEMBERS: &[(&str, Rule)] = &[
    ("type", Rule::Known),
    ("id", Rule::Known),
    ("model", Rule::Known),
    ("role", Rule::Known),
    ("stop_reason", Rule::Known),
    ("request_id", Rule::Known),
    ("usage", Rule::In(&USAGE)),
    ("container", Rule::In(&CONTAINER)),
    ("content", Rule::In(&BLOCK)),
];
static USAGE: Area = Area::new(
    Says::Speaker,
    &[
        ("service_tier", Rule::Known),
        ("inference_geo", Rule::Known),
    ],
    Rule::In(&UNKNOWN),
);

/// One event of a stream.
pub(super) static EVENT: Area = Area::new(
    Says::Speaker,
    &[
        ("type", Rule::Fact(Fact::EventType)),
        ("index", Rule::Fact(Fact::Index)),
        ("message", Rule::In(&ANSWER)),
        ("content_block", Rule::In(&STARTED)),
        ("delta", Rule::In(&DELTA)),
        ("usage", Rule::In(&USAGE)),
        ("request_id", Rule::Known),
    ],
    Rule::In(&UNKNOWN),
)
.part();
/// A block that begins; what text it holds already belongs to its stream.
static STARTED: Area = Area::new(
    Says::Speaker,
    &[
        ("type", Rule::Fact(Fact::Type)),
        ("text", Rule::Delta(Delta::Text)),
        ("content", Rule::In(&BLOCK)),
        ("input", Rule::In(&ARGUMENTS)),
        ("thinking", Rule::Delta(Delta::Thinking)),
        ("signature", Rule::Fact(Fact::Signature)),
        ("data", Rule::Data),
        ("source", Rule::In(&SOURCE)),
        ("id", Rule::Known),
        ("tool_use_id", Rule::Known),
        ("citations", Rule::In(&CITATION)),
        ("encrypted_content", Rule::Media(Media::Encrypted)),
        ("caller", Rule::In(&CALLER)),
    ],
    Rule::In(&UNKNOWN),
)
.part();
static DELTA: Area = Area::new(
    Says::Speaker,
    &[
        ("type", Rule::Fact(Fact::Type)),
        ("text", Rule::Delta(Delta::Text)),
        ("thinking", Rule::Delta(Delta::Thinking)),
        ("partial_json", Rule::Delta(Delta::Arguments)),
        ("signature", Rule::Fact(Fact::Signature)),
        ("citation", Rule::In(&CITATION)),
        ("stop_reason", Rule::Known),
        ("container", Rule::In(&CONTAINER)),
    ],
    Rule::In(&UNKNOWN),
)
.part();

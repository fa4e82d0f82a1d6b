//! Areas: what the values at a place of a document mean, as static tables with a rule for everything else.

use policy::guardrail::TextRole;

use super::Media;

/// What an object, list or text at a place is made of.
///
/// A list has the area of its items, so that a place may hold one thing or several.
#[derive(Debug)]
pub(crate) struct Area {
    /// Whose words a text is that stands here itself.
    pub(crate) says: Says,
    pub(crate) begins: Begins,
    pub(crate) members: &'static [(&'static str, Rule)],
    /// What holds for every other member.
    pub(crate) others: Rule,
    /// Whether the names of members are texts as well.
    pub(crate) keys: Keys,
}

/// Whose words a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Role(TextRole),
    /// Whoever the scope around it says.
    Speaker,
}

/// Whether an object begins a scope, about which its members say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    Nothing,
    /// A turn of the conversation; the role is what holds where it says none.
    Turn(Option<TextRole>),
    /// A part of a turn, of another part, or of an event.
    Part,
}

/// Whether names of members are content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// They belong to the wire format, or to a schema.
    Names,
    /// Somebody chose them: they are told as texts.
    Texts,
}

/// What the value of a member is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    In(&'static Area),
    /// A scalar of the wire format that carries no content.
    Known,
    /// The same, and it says something about its scope.
    Fact(Fact),
    /// A string that holds JSON text: arguments of a tool.
    JsonText,
    /// What nobody can read here.
    Media(Media),
    /// Data whose scope says whether it is text or media.
    Source,
    /// Data that is encrypted in a scope that says so, and text elsewhere.
    Data,
    /// A URL, which may hold the data itself.
    Locator(Media),
    /// The id of something that is stored at the provider.
    Reference(Media),
    /// Numbers that stand for text: token ids.
    Tokens,
    /// Numbers of no content: embeddings.
    Vector,
    /// The same text again in small pieces: logarithms of probabilities.
    Shadow,
    /// What an answer repeats of its request.
    Echo,
    /// A piece of a text that a stream brings in several events.
    Delta(Delta),
    /// A text that the stream brought before in pieces.
    Restated(Delta),
}

/// What a member says about its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Type,
    Role,
    /// `image/png`
    Mime,
    /// `true`: the text is reasoning.
    Thought,
    /// The scope is signed.
    Signature,
    /// What kind of event it is.
    EventType,
    /// Place among its like.
    Index,
    /// Place of a part in the item that [`Index`](Self::Index) names.
    PartIndex,
    /// It has ended.
    Finish,
    /// Number of the event in its stream.
    Sequence,
}

/// Which text of its scope a piece continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Delta {
    Text,
    Refusal,
    Thinking,
    /// A summary of thinking.
    Summary,
    /// Thinking in parts that may be signed.
    Details,
    /// Arguments as JSON text.
    Arguments,
    /// Arguments as plain text.
    Input,
    Transcript,
    /// What the event's type says.
    ByType,
}

impl Delta {
    /// Returns the name used in paths.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text | Self::ByType => "text",
            Self::Refusal => "refusal",
            Self::Thinking => "thinking",
            Self::Summary => "summary",
            Self::Details => "reasoning_details",
            Self::Arguments => "arguments",
            Self::Input => "input",
            Self::Transcript => "transcript",
        }
    }
}

impl Area {
    pub(crate) const fn new(
        says: Says,
        members: &'static [(&'static str, Rule)],
        others: Rule,
    ) -> Self {
        Self {
            says,
            begins: Begins::Nothing,
            members,
            others,
            keys: Keys::Names,
        }
    }

    /// Where anything may stand, names included.
    pub(crate) const fn free(says: Says, itself: &'static Self) -> Self {
        Self {
            says,
            begins: Begins::Nothing,
            members: &[],
            others: Rule::In(itself),
            keys: Keys::Texts,
        }
    }

    pub(crate) const fn turn(mut self, role: Option<TextRole>) -> Self {
        self.begins = Begins::Turn(role);
        self
    }

    pub(crate) const fn part(mut self) -> Self {
        self.begins = Begins::Part;
        self
    }

    /// Returns what holds for a member, by its name as it is written.
    pub(crate) fn rule(&self, key: &[u8]) -> Rule {
        let found = self.members.iter().find(|(name, _)| {
            let name = name.as_bytes();
            name.len() == key.len() && name.first() == key.first() && name == key
        });
        found.map_or(self.others, |(_, rule)| *rule)
    }
}

/// Anything in the words of whoever speaks: unknown members and unknown types.
pub(crate) static UNKNOWN: Area = Area::free(Says::Speaker, &UNKNOWN);
/// Anything that fits no role.
pub(crate) static ATTACHED: Area = Area::free(Says::Role(TextRole::Attachment), &ATTACHED);
/// What a model passes to a tool.
pub(crate) static ARGUMENTS: Area = Area::free(Says::Role(TextRole::ToolArguments), &ARGUMENTS);
/// What a tool gave back.
pub(crate) static RESULT: Area = Area::free(Says::Role(TextRole::ToolResult), &RESULT);
/// Definitions of tools and schemas: the developer's words, whose names are part of the format.
pub(crate) static SCHEMA: Area = Area::new(
    Says::Role(TextRole::System),
    &[
        ("type", Rule::In(&SCHEMA_TYPE)),
        ("cache_control", Rule::In(&CACHE_CONTROL)),
    ],
    Rule::In(&SCHEMA),
);
/// `"type"` in a schema, where the words of JSON Schema are no content; or the schema of a property of that name.
pub(crate) static SCHEMA_TYPE: Area = Area::new(
    Says::Role(TextRole::System),
    &[("type", Rule::In(&SCHEMA_TYPE))],
    Rule::In(&SCHEMA),
);
/// Words of JSON Schema, in both spellings, and the kinds of tools that most definitions are of.
pub(crate) const SCHEMA_WORDS: &[&str] = &[
    "string", "object", "array", "number", "integer", "boolean", "null", "function", "STRING",
    "OBJECT", "ARRAY", "NUMBER", "INTEGER", "BOOLEAN",
];
/// Text of whoever speaks.
pub(crate) static SPEECH: Area = Area::new(Says::Speaker, &[], Rule::In(&UNKNOWN));
pub(crate) static SYSTEM: Area = Area::new(
    Says::Role(TextRole::System),
    &[
        ("type", Rule::Known),
        ("cache_control", Rule::In(&CACHE_CONTROL)),
    ],
    Rule::In(&SYSTEM),
);
pub(crate) static USER: Area = Area::free(Says::Role(TextRole::User), &USER);
pub(crate) static CACHE_CONTROL: Area = Area::new(
    Says::Speaker,
    &[("type", Rule::Known), ("ttl", Rule::Known)],
    Rule::In(&UNKNOWN),
);
/// `{"url": …}`
pub(crate) static IMAGE: Area = Area::new(
    Says::Speaker,
    &[
        ("url", Rule::Locator(Media::Image)),
        ("detail", Rule::Known),
    ],
    Rule::In(&UNKNOWN),
);

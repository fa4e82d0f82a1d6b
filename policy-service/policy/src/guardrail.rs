//! Guardrails: what may be in the texts of requests and answers, and what happens when it is.
//!
//! The same types stand in documents, in API bodies and in what travels to the filters.

mod contents;
mod describe;
mod draft;
mod explain;
mod presets;
mod scope;

use serde::{Deserialize, Serialize};

use crate::ids::{CustomerId, GuardrailId, KeyId, RuleFileId, TeamId, UserId, WordListId};
use crate::pattern::ModelPattern;
use crate::surface::Surface;

pub use contents::{Prepared, RuleNames, read_rules};
pub use describe::describe;
pub use draft::GuardrailDraft;
pub use explain::{Question, applying, explain, in_order, warnings};
pub use presets::GuardrailPreset;
pub use scope::{GuardTarget, Subject, Way, applies};

/// Stages of one guardrail at most.
pub const MAX_STAGES: usize = 8;

/// Guardrails of one mesh at most.
pub const MAX_GUARDRAILS: usize = 64;

/// A guardrail as an administrator means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guardrail {
    pub id: GuardrailId,
    /// Unique; lower-case letters, digits and `-`, at most 40.
    pub name: String,
    pub rules: GuardrailRules,
}

/// A file of detection rules, as TOML in the schema of Gitleaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    pub id: RuleFileId,
    /// Unique; lower-case letters, digits and `-`, at most 40.
    pub name: String,
    pub source: String,
}

/// A list of words and phrases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordList {
    pub id: WordListId,
    /// Unique; lower-case letters, digits and `-`, at most 40.
    pub name: String,
    pub words: Vec<String>,
}

/// What a guardrail does, apart from its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardrailRules {
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    pub direction: Direction,
    #[serde(default)]
    pub scope: GuardScope,
    #[serde(default)]
    pub severity: Severity,
    /// In order; 1 to [`MAX_STAGES`]. A stage that acts ends the guardrail.
    pub stages: Vec<Stage>,
    /// Values that are never findings of this guardrail.
    #[serde(default)]
    pub allow: Vec<AllowRule>,
    /// When a text cannot be judged: too long to hold, an external service that does not answer.
    #[serde(default)]
    pub on_error: OnError,
    /// Images, audio, files and encrypted items, which nobody can read here.
    #[serde(default)]
    pub on_unscanned: OnUnscanned,
    /// A text that the provider has seen in an earlier turn and that would be blocked.
    #[serde(default)]
    pub on_history: OnHistory,
    /// A token in an answer whose value nobody knows.
    #[serde(default)]
    pub on_unknown_token: OnUnknownToken,
    /// Share of exchanges that are looked at, in ten-thousandths. Default 10,000: all.
    #[serde(default = "all_of_them")]
    pub sampling: u16,
    /// How a stream ends that is blocked after it began.
    #[serde(default)]
    pub stream_end: StreamEnd,
}

const fn yes() -> bool {
    true
}

const fn all_of_them() -> u16 {
    GuardrailRules::SAMPLE_ALL
}

impl GuardrailRules {
    /// The sampling that looks at every exchange.
    pub const SAMPLE_ALL: u16 = 10_000;

    /// Returns rules that run `stages` on everything, with every default.
    pub fn new(stages: Vec<Stage>) -> Self {
        Self {
            enabled: true,
            direction: Direction::default(),
            scope: GuardScope::default(),
            severity: Severity::default(),
            stages,
            allow: Vec::new(),
            on_error: OnError::default(),
            on_unscanned: OnUnscanned::default(),
            on_history: OnHistory::default(),
            on_unknown_token: OnUnknownToken::default(),
            sampling: Self::SAMPLE_ALL,
            stream_end: StreamEnd::default(),
        }
    }
}

/// Which way texts travel that are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Request,
    Response,
    #[default]
    Both,
}

impl Direction {
    /// Whether texts of requests are judged.
    pub const fn covers_requests(self) -> bool {
        matches!(self, Self::Request | Self::Both)
    }

    /// Whether texts of answers are judged.
    pub const fn covers_responses(self) -> bool {
        matches!(self, Self::Response | Self::Both)
    }
}

/// Where a guardrail applies. An empty list restricts nothing; of a list that is not empty one must match, and so
/// for every list. The four lists of principals count as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardScope {
    pub customers: Vec<CustomerId>,
    pub teams: Vec<TeamId>,
    pub users: Vec<UserId>,
    pub keys: Vec<KeyId>,
    /// By the name that is asked for, or the name at a target.
    pub models: Vec<ModelPattern>,
    /// Provider names; a request that may go to one of them is covered.
    pub providers: Vec<String>,
    pub surfaces: Vec<Surface>,
    pub roles: Vec<TextRole>,
}

/// Who speaks in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextRole {
    /// System and developer prompts, tool descriptions and schemas.
    System,
    User,
    Assistant,
    /// What the model passes to a tool.
    ToolArguments,
    /// What a tool gave back.
    ToolResult,
    /// Reasoning that is shown.
    Thinking,
    /// Text of attached documents, and everything that fits no other role.
    Attachment,
}

impl TextRole {
    /// Every role.
    pub const ALL: [Self; 7] = [
        Self::System,
        Self::User,
        Self::Assistant,
        Self::ToolArguments,
        Self::ToolResult,
        Self::Thinking,
        Self::Attachment,
    ];

    /// Returns the name used in configuration and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::ToolArguments => "tool_arguments",
            Self::ToolResult => "tool_result",
            Self::Thinking => "thinking",
            Self::Attachment => "attachment",
        }
    }
}

/// How bad a finding is, for whoever reads records.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Low,
    Medium,
    #[default]
    High,
    Critical,
}

impl Severity {
    /// Returns the name used in configuration and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Detectors that run side by side, and what their findings lead to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// At least one.
    pub detectors: Vec<Detector>,
    pub action: Action,
}

/// What looks at a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Detector {
    /// The embedded secrets pack.
    Secrets {
        #[serde(default)]
        disabled_rules: Vec<String>,
    },
    /// A rule file by name.
    RuleFile {
        name: String,
        #[serde(default)]
        disabled_rules: Vec<String>,
    },
    /// Personal data by entity name; nothing listed means all that are on by default.
    Pii {
        #[serde(default)]
        entities: Vec<String>,
    },
    /// A word list by name.
    Words { list: String },
    /// One regular expression in Rust syntax.
    Regex {
        /// Names the rule in records and messages.
        id: String,
        pattern: String,
        /// Which capture group is to be hidden; 0 for the whole match.
        #[serde(default)]
        group: u32,
    },
    /// Unicode tags, bidi overrides, zero-width runs.
    HiddenText,
    /// Phrases of prompt injection; observes, whatever the stage's action is, unless `acts`.
    Injection {
        #[serde(default)]
        acts: bool,
    },
    /// A content-safety service that the policy service asks. No service kind exists in this build, so a policy
    /// that names one is refused.
    External { service: String, timeout_ms: u32 },
}

/// What findings lead to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Recorded, nothing else.
    Observe,
    Block,
    Redact(RedactStyle),
    /// The value is replaced by a token, which is replaced by the value in the answer.
    Tokenise,
}

/// What stands in the place of a value for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RedactStyle {
    /// A text; `[REDACTED:<rule>]` where none is given.
    Replace {
        #[serde(default)]
        with: Option<String>,
    },
    /// `*` for every character but the last four.
    Mask,
    /// A keyed hash, the same for the same value in the whole mesh.
    Hash,
}

/// A value that is no finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AllowRule {
    /// The value itself.
    Value(String),
    /// A text that the value contains, in any case.
    Contains(String),
    /// A regular expression that matches the value somewhere.
    Regex(String),
}

/// What happens where a text cannot be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    #[default]
    Block,
    Pass,
}

/// What happens to content that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnscanned {
    #[default]
    Pass,
    Block,
}

/// What happens to old texts that would be blocked if they were new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnHistory {
    #[default]
    Redact,
    Block,
}

/// What happens to tokens that nobody can restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknownToken {
    #[default]
    Leave,
    Block,
}

/// How a stream ends that must not go on, after its terminal events were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamEnd {
    /// How long the rest of the provider's stream is read and dropped, so that its usage is known, before it is
    /// reset; 0 resets at once.
    pub drain_max_ms: u32,
}

impl Default for StreamEnd {
    fn default() -> Self {
        Self {
            drain_max_ms: 10_000,
        }
    }
}

/// A guardrail as a filter enforces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledGuardrail {
    pub id: GuardrailId,
    pub name: String,
    pub rules: GuardrailRules,
    /// A text that this guardrail must find, and the rule that finds it: each worker proves itself with it.
    pub canary: GuardCanary,
}

/// Proof that a guardrail works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardCanary {
    pub text: String,
    pub rule: String,
}

/// SHA-256 of a blob, first 16 bytes, in hex: what a mesh names a rule file or word list by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobId(pub String);

/// A rule file or word list by name, and the blob that holds its compiled form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedBlob {
    pub name: String,
    pub blob: BlobId,
    pub bytes: u64,
}

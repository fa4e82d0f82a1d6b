//! Shapes of guardrails.

use utoipa::ToSchema;
use uuid::Uuid;

/// Fields of a guardrail.
#[derive(Debug, ToSchema)]
pub struct GuardrailFields {
    /// For a new one: `secrets` or `pii`, which give what is left out.
    pub preset: Option<String>,
    /// Unique; lower-case letters, digits and inner `-`, at most 40. Needed for a new one without a preset.
    pub name: Option<String>,
    /// The action of every stage.
    pub action: Option<Action>,
    pub enabled: Option<bool>,
    pub direction: Option<Direction>,
    pub scope: Option<GuardScope>,
    pub severity: Option<Severity>,
    /// In order; a stage that acts ends the guardrail. Needed for a new one without a preset.
    pub stages: Option<Vec<Stage>>,
    /// Values that are never findings of this guardrail.
    pub allow: Option<Vec<AllowRule>>,
    pub on_error: Option<OnError>,
    pub on_unscanned: Option<OnUnscanned>,
    pub on_history: Option<OnHistory>,
    pub on_unknown_token: Option<OnUnknownToken>,
    /// Share of exchanges that are looked at, in ten-thousandths. Default 10,000: all.
    pub sampling: Option<u16>,
    pub stream_end: Option<StreamEnd>,
}

/// Which texts are judged.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Direction {
    Request,
    Response,
    Both,
}

/// Where a guardrail applies. An empty list restricts nothing; of a list that is not empty one must match, and so for
/// every list. The four lists of principals count as one.
#[derive(Debug, ToSchema)]
pub struct GuardScope {
    pub customers: Option<Vec<Uuid>>,
    pub teams: Option<Vec<Uuid>>,
    pub users: Option<Vec<Uuid>>,
    pub keys: Option<Vec<Uuid>>,
    /// Names, globs or `regex:` patterns, over the name asked for and the names at targets.
    pub models: Option<Vec<String>>,
    /// Provider names; a request that may go to one of them is covered.
    pub providers: Option<Vec<String>>,
    /// As in `openai.chat`.
    pub surfaces: Option<Vec<String>>,
    pub roles: Option<Vec<TextRole>>,
}

/// Who speaks in a text.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum TextRole {
    System,
    User,
    Assistant,
    ToolArguments,
    ToolResult,
    Thinking,
    Attachment,
}

/// How bad a finding is.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

/// Detectors that run side by side, and what their findings lead to.
#[derive(Debug, ToSchema)]
pub struct Stage {
    /// At least one.
    pub detectors: Vec<Detector>,
    pub action: Action,
}

/// What looks at a text.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Detector {
    /// The embedded secrets pack.
    Secrets {
        disabled_rules: Option<Vec<String>>,
    },
    /// A rule file by name.
    RuleFile {
        name: String,
        disabled_rules: Option<Vec<String>>,
    },
    /// Personal data by entity name; nothing listed means all that are on by default.
    Pii {
        entities: Option<Vec<String>>,
    },
    /// A word list by name.
    Words {
        list: String,
    },
    /// One regular expression in Rust syntax; `group` is what is to be hidden, 0 for the whole match.
    Regex {
        id: String,
        pattern: String,
        group: Option<u32>,
    },
    HiddenText,
    /// Phrases of prompt injection; only observed unless `acts`.
    Injection {
        acts: Option<bool>,
    },
    /// Refused: no service kind exists in this version.
    External {
        service: String,
        timeout_ms: u32,
    },
}

/// What findings lead to.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Action {
    Observe,
    Block,
    Redact(RedactStyle),
    Tokenise,
}

/// What stands in the place of a value for good.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum RedactStyle {
    /// A text; `[REDACTED:<rule>]` where none is given.
    Replace { with: Option<String> },
    /// `*` for every character but the last four.
    Mask,
    /// A keyed hash, the same for the same value in the whole mesh.
    Hash,
}

/// A value that is no finding.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum AllowRule {
    /// The value itself.
    Value(String),
    /// A text that the value contains, in any case.
    Contains(String),
    /// A regular expression that matches the value somewhere.
    Regex(String),
}

/// What happens where a text cannot be judged.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnError {
    Block,
    Pass,
}

/// What happens to content that cannot be read.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnUnscanned {
    Pass,
    Block,
}

/// What happens to old texts that would be blocked if they were new.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnHistory {
    Redact,
    Block,
}

/// What happens to tokens that nobody can restore.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnUnknownToken {
    Leave,
    Block,
}

/// How a stream ends that must not go on.
#[derive(Debug, ToSchema)]
pub struct StreamEnd {
    /// How long the rest of the provider's stream is read and dropped before it is reset; 0 resets at once.
    pub drain_max_ms: u32,
}

#[cfg(test)]
mod tests {
    use policy::guardrail as real;
    use serde_json::json;

    use super::super::tests::{check_fields, check_variants};
    use super::*;

    #[test]
    fn described_guardrails_have_the_fields_of_the_real_ones() {
        check_fields::<GuardrailFields>(real::GuardrailDraft::<real::GuardScope>::default());
        check_fields::<GuardScope>(real::GuardScope::default());
        check_fields::<StreamEnd>(real::StreamEnd::default());
        let stage = json!({"detectors": [], "action": "block"});
        check_fields::<Stage>(serde_json::from_value::<real::Stage>(stage).unwrap());
    }

    #[test]
    fn described_words_are_read_as_the_real_ones() {
        check_variants::<Direction, real::Direction>(3);
        check_variants::<TextRole, real::TextRole>(7);
        check_variants::<Severity, real::Severity>(4);
        check_variants::<OnError, real::OnError>(2);
        check_variants::<OnUnscanned, real::OnUnscanned>(2);
        check_variants::<OnHistory, real::OnHistory>(2);
        check_variants::<OnUnknownToken, real::OnUnknownToken>(2);
    }

    #[test]
    fn described_detectors_and_actions_are_read_as_the_real_ones() {
        for sample in [
            json!({"secrets": {"disabled_rules": ["a"]}}),
            json!({"rule_file": {"name": "ours", "disabled_rules": []}}),
            json!({"pii": {"entities": []}}),
            json!({"words": {"list": "ours"}}),
            json!({"regex": {"id": "a", "pattern": "b", "group": 1}}),
            json!("hidden_text"),
            json!({"injection": {"acts": true}}),
            json!({"external": {"service": "a", "timeout_ms": 1}}),
        ] {
            assert!(
                serde_json::from_value::<real::Detector>(sample.clone()).is_ok(),
                "{sample}"
            );
        }
        for sample in [
            json!("observe"),
            json!("block"),
            json!("tokenise"),
            json!({"redact": {"replace": {"with": "x"}}}),
            json!({"redact": "mask"}),
            json!({"redact": "hash"}),
        ] {
            assert!(
                serde_json::from_value::<real::Action>(sample.clone()).is_ok(),
                "{sample}"
            );
        }
    }
}

//! Guardrails that need no explaining: what one command switches on.

use super::{Action, Detector, GuardrailRules, RedactStyle, Severity, Stage};

/// A well-known guardrail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardrailPreset {
    /// Credentials of every kind that the embedded pack knows. By default a value is replaced by a token that
    /// becomes the value again in the answer: an agent that has to write the credential into a file still can,
    /// and the provider never sees it.
    Secrets,
    /// Personal data. By default a value is replaced for good: nothing that an agent does next needs it.
    Pii,
}

impl GuardrailPreset {
    /// All presets, by name.
    pub const ALL: [Self; 2] = [Self::Pii, Self::Secrets];

    /// Returns the name by which it is switched on, which is also the guardrail's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::Pii => "pii",
        }
    }

    /// Returns the preset called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// Returns what it does.
    pub fn rules(self) -> GuardrailRules {
        let (detector, action, severity) = match self {
            Self::Secrets => (
                Detector::Secrets {
                    disabled_rules: Vec::new(),
                },
                Action::Tokenise,
                Severity::High,
            ),
            Self::Pii => (
                Detector::Pii {
                    entities: Vec::new(),
                },
                Action::Redact(RedactStyle::Replace { with: None }),
                Severity::Medium,
            ),
        };
        let mut rules = GuardrailRules::new(vec![Stage {
            detectors: vec![detector],
            action,
        }]);
        rules.severity = severity;
        rules
    }
}

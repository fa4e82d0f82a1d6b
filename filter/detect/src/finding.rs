//! What a detector tells.

use core::ops::Range;

use serde::{Deserialize, Serialize};

/// Place of a rule in its [`RuleSet`](crate::RuleSet); stable for the life of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIndex(pub u32);

/// What a rule looks for; `weir scan --only` and records name it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Secret,
    Pii,
    Custom,
    Word,
    HiddenText,
    Injection,
}

impl Kind {
    /// Returns the name used in configuration, records and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Pii => "pii",
            Self::Custom => "custom",
            Self::Word => "word",
            Self::HiddenText => "hidden_text",
            Self::Injection => "injection",
        }
    }
}

/// How bad it is that a rule matches.
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
    /// Returns the name used in configuration, records and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What is known about a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Unique within its group: `aws-access-token`, `CREDIT_DEBIT_CARD_NUMBER`, …
    pub id: String,
    /// One sentence: what it finds.
    pub description: String,
    pub kind: Kind,
    pub severity: Severity,
    /// The group that it was added under.
    pub group: u8,
}

/// Which groups of rules apply; bit n stands for group n. A set has at most 64 groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups(pub u64);

impl Groups {
    /// Every group.
    pub const ALL: Self = Self(u64::MAX);
    /// No group.
    pub const NONE: Self = Self(0);

    /// Adds group `group`.
    #[must_use]
    pub const fn with(self, group: u8) -> Self {
        Self(self.0 | 1u64.wrapping_shl(group as u32))
    }

    /// Whether group `group` applies.
    pub const fn has(self, group: u8) -> bool {
        self.0 & 1u64.wrapping_shl(group as u32) != 0
    }
}

/// One thing found in a text; offsets are bytes of that text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub rule: RuleIndex,
    /// What is to be hidden: the capture group of the secret, or the whole match.
    pub secret: Range<usize>,
    /// The whole match; it contains `secret` unless the text was decoded on the way.
    pub matched: Range<usize>,
    /// Shannon entropy of the secret in thousandths of a bit; 0 where the rule has no use for it.
    pub entropy_milli: u32,
    /// The value in plain, where the text held it encoded or hidden; `None` where `secret` is the value itself.
    pub decoded: Option<String>,
}

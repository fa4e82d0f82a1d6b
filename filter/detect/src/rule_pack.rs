//! Rules as they travel: checked once where they are loaded, then only decoded.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::finding::{Kind, Severity};
use crate::problem::RuleProblem;
use crate::stream::Waits;

/// A rule file after it was read and checked.
///
/// Patterns are in Rust syntax here, whatever the file was written in.
#[derive(Clone, Debug, PartialEq)]
pub struct RulePack {
    body: Arc<PackBody>,
}

/// What a pack holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PackBody {
    pub(crate) rules: Vec<RuleDef>,
    /// These are asked before a rule's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowlists: Vec<Allowlist>,
    /// Rules of the file that say nothing about text, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) not_applicable: Vec<(String, String)>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RuleDef {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    pub(crate) regex: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) part: Part,
    /// Findings at or below it are dropped; 0 switches the check off.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) entropy: f64,
    /// In lower case; one of them stands somewhere in the text, or the rule is not asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) keywords: Vec<String>,
    /// Better words to look for where a match need not contain a keyword: every match contains one of these. In lower
    /// case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) anchors: Vec<String>,
    /// What a stream holds back for the rule before any of its words has shown up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) waits: Waits,
    /// A path must match it, where there is a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowlists: Vec<Allowlist>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) required: Vec<Required>,
    /// Found for the sake of rules that require it, never told.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) skip_report: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) severity: Severity,
    #[serde(default = "secret", skip_serializing_if = "is_secret")]
    pub(crate) kind: Kind,
    /// Name of a check in Rust that a match must pass too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) validator: Option<String>,
}

impl RuleDef {
    /// Finds out what streams must hold back for the rule.
    #[must_use]
    pub(crate) fn with_waits(mut self) -> Self {
        self.waits = Waits::of(&self);
        self
    }

    /// Returns the words around which matches are looked for.
    pub(crate) fn words(&self) -> &[String] {
        if self.anchors.is_empty() {
            &self.keywords
        } else {
            &self.anchors
        }
    }
}

/// Which part of a match is the secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    /// The first group that is not empty, else the match; groups as the match alone has them.
    #[default]
    First,
    /// A group, as the match alone has it.
    Group(usize),
    /// The match.
    Whole,
    /// A group, as the match has it where it stands.
    InPlace(usize),
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

const fn secret() -> Kind {
    Kind::Secret
}

fn is_secret(kind: &Kind) -> bool {
    *kind == Kind::Secret
}

/// When a match is no finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Allowlist {
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) condition: Condition,
    /// Alternation of all the patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) regexes: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) target: Target,
    /// In lower case, sorted; each is looked for in the lower-cased secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) stopwords: Vec<String>,
    /// Alternation of all the patterns of paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) paths: Option<String>,
    /// Whether it names commits, which text has none of.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) commits: bool,
}

/// How the parts of an allow list count together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Condition {
    #[default]
    Or,
    And,
}

/// What the patterns of an allow list are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    #[default]
    Secret,
    Match,
    Line,
}

/// A rule that must have a finding nearby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Required {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) within_lines: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) within_columns: Option<usize>,
}

impl RulePack {
    pub(crate) fn new(body: PackBody) -> Self {
        Self {
            body: Arc::new(body),
        }
    }

    pub(crate) fn body(&self) -> &Arc<PackBody> {
        &self.body
    }

    /// Returns the pack with every rule said to be of `kind`.
    #[must_use]
    pub fn of_kind(self, kind: Kind) -> Self {
        let mut body = Arc::unwrap_or_clone(self.body);
        for rule in &mut body.rules {
            rule.kind = kind;
        }
        Self::new(body)
    }

    /// Returns the ids of the rules, in the file's order.
    pub fn rule_ids(&self) -> impl Iterator<Item = &str> {
        self.body.rules.iter().map(|rule| rule.id.as_str())
    }

    /// Returns the rules of the file that can find nothing in a text, with the reason: those that look at file
    /// names alone.
    pub fn not_applicable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.body
            .not_applicable
            .iter()
            .map(|(id, reason)| (id.as_str(), reason.as_str()))
    }

    /// Returns the form in which a pack travels to the filters.
    ///
    /// # Errors
    /// When a number of the file has no form in JSON.
    pub fn encode(&self) -> Result<Vec<u8>, RuleProblem> {
        serde_json::to_vec(&*self.body)
            .map_err(|error| RuleProblem::file("rules", format!("cannot be written: {error}")))
    }

    /// Reads what [`encode`](Self::encode) wrote. Patterns are not checked again.
    ///
    /// # Errors
    /// When it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, RuleProblem> {
        let body = serde_json::from_slice(bytes)
            .map_err(|error| RuleProblem::file("rules", format!("cannot be read: {error}")))?;
        Ok(Self::new(body))
    }
}

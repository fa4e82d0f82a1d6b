//! What a guardrail did to one exchange, for its record.

use core::ops::Range;
use std::collections::BTreeMap;

use detect::RuleInfo;
use dialects::content::Media;
use policy::guardrail::Severity;
use policy::ids::GuardrailId;

/// JSON paths and fingerprints that are kept for one rule.
pub(crate) const KEPT_PLACES: usize = 8;

/// What one guardrail did in one direction of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardOutcome {
    pub guardrail: GuardrailId,
    pub name: String,
    pub severity: Severity,
    pub direction: Direction,
    pub verdict: Verdict,
    /// Texts that were looked at.
    pub texts: u32,
    /// By rule.
    pub findings: Vec<GuardFinding>,
    /// What was not looked at, or not changed, and why.
    pub not_scanned: Vec<NotScanned>,
}

/// Which way the texts travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    Request,
    Response,
}

impl Direction {
    /// Returns the name used in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// The gravest thing that a guardrail did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing could be looked at; the reasons stand beside.
    NotScanned,
    /// Looked at, nothing found.
    Scanned,
    Observed,
    Tokenised,
    Redacted,
    Blocked,
}

impl Verdict {
    /// Returns the name used in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotScanned => "not_scanned",
            Self::Scanned => "scanned",
            Self::Observed => "observed",
            Self::Tokenised => "tokenised",
            Self::Redacted => "redacted",
            Self::Blocked => "blocked",
        }
    }
}

/// What one rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardFinding {
    pub rule: String,
    pub kind: &'static str,
    pub severity: &'static str,
    pub count: u32,
    /// Where, at most 8.
    pub paths: Vec<String>,
    /// Of the values, keyed, at most 8, each once.
    pub fingerprints: Vec<String>,
    /// The first findings, at most 8; records leave them out.
    pub places: Vec<Place>,
}

/// Where one finding is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// JSON path of the text.
    pub path: String,
    /// Bytes of the text, its escapes resolved.
    pub span: Range<usize>,
}

/// Content that was passed over or left as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotScanned {
    pub why: Why,
    pub count: u32,
}

/// Why content was not scanned or not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    Image,
    Audio,
    Video,
    File,
    /// Encrypted by the provider.
    Encrypted,
    /// Token ids in place of text.
    Tokens,
    /// Found in a text that is signed by the provider, which must stay as it is.
    Signed,
    /// Longer than can be held.
    TooLong,
    /// An encoding that is not read here.
    Encoding,
    /// Not in the sample.
    Sampling,
    /// A token whose value nobody knows.
    UnknownToken,
    /// The client or the provider went away first.
    Unread,
}

impl Why {
    /// Returns the reason for content that nobody can read.
    pub(crate) const fn of(media: Media) -> Self {
        match media {
            Media::Image => Self::Image,
            Media::Audio => Self::Audio,
            Media::Video => Self::Video,
            Media::File => Self::File,
            Media::Encrypted => Self::Encrypted,
            Media::Tokens => Self::Tokens,
        }
    }

    /// Returns the name used in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::File => "file",
            Self::Encrypted => "encrypted",
            Self::Tokens => "tokens",
            Self::Signed => "signed",
            Self::TooLong => "too_long",
            Self::Encoding => "encoding",
            Self::Sampling => "sampling",
            Self::UnknownToken => "unknown_token",
            Self::Unread => "unread",
        }
    }
}

/// Sums up what one guardrail does, text by text.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub verdict: Verdict,
    pub texts: u32,
    findings: BTreeMap<String, GuardFinding>,
    not_scanned: BTreeMap<Why, u32>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            verdict: Verdict::NotScanned,
            texts: 0,
            findings: BTreeMap::new(),
            not_scanned: BTreeMap::new(),
        }
    }
}

impl Tally {
    /// Counts a text that was looked at.
    pub(crate) fn scanned(&mut self, texts: u32) {
        self.texts = self.texts.saturating_add(texts);
        self.verdict = self.verdict.max(Verdict::Scanned);
    }

    /// Counts something that was passed over.
    pub(crate) fn not_scanned(&mut self, why: Why, count: u32) {
        let sum = self.not_scanned.entry(why).or_default();
        *sum = sum.saturating_add(count);
    }

    /// Counts a finding; where it stands and its fingerprint are asked for only while they are kept.
    pub(crate) fn found(
        &mut self,
        verdict: Verdict,
        rule: &RuleInfo,
        place: impl FnOnce() -> Place,
        fingerprint: impl FnOnce() -> String,
    ) {
        self.verdict = self.verdict.max(verdict);
        if !self.findings.contains_key(&rule.id) {
            let finding = GuardFinding {
                rule: rule.id.clone(),
                kind: rule.kind.name(),
                severity: rule.severity.name(),
                count: 0,
                paths: Vec::new(),
                fingerprints: Vec::new(),
                places: Vec::new(),
            };
            self.findings.insert(rule.id.clone(), finding);
        }
        let Some(finding) = self.findings.get_mut(&rule.id) else {
            return;
        };
        finding.count = finding.count.saturating_add(1);
        let keeps_place = finding.places.len() < KEPT_PLACES;
        if keeps_place || finding.paths.len() < KEPT_PLACES {
            let place = place();
            keep(&mut finding.paths, &place.path);
            if keeps_place {
                finding.places.push(place);
            }
        }
        if finding.fingerprints.len() < KEPT_PLACES {
            keep(&mut finding.fingerprints, &fingerprint());
        }
    }

    /// Returns the findings and what was passed over.
    pub(crate) fn parts(&self) -> (Vec<GuardFinding>, Vec<NotScanned>) {
        let not_scanned = self.not_scanned.iter();
        (
            self.findings.values().cloned().collect(),
            not_scanned
                .map(|(why, count)| NotScanned {
                    why: *why,
                    count: *count,
                })
                .collect(),
        )
    }

    /// Whether there is anything to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.texts == 0 && self.not_scanned.is_empty() && self.findings.is_empty()
    }
}

fn keep(kept: &mut Vec<String>, value: &str) {
    if kept.len() < KEPT_PLACES && !kept.iter().any(|known| known == value) {
        kept.push(value.to_owned());
    }
}

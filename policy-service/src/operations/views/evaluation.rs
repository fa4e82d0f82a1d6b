//! Dry runs.

use engine::guard::{Evaluated, GuardFinding, GuardOutcome, NotScanned, Place};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What guardrails would make of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EvaluationView {
    /// The gravest of all: `not_scanned`, `scanned` (nothing found), `observed`, `tokenised`, `redacted` or `blocked`.
    pub verdict: &'static str,
    /// What the client would read, if it is blocked.
    pub message: Option<String>,
    /// What would go on, as text; `null` if nothing would.
    pub body: Option<String>,
    /// What each guardrail would do that looks at the body. Values that were found are nowhere.
    pub guardrails: Vec<EvaluatedGuardrailView>,
}

/// What one guardrail would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EvaluatedGuardrailView {
    pub id: Uuid,
    pub name: String,
    pub severity: &'static str,
    pub verdict: &'static str,
    /// Texts that it judged.
    pub texts: u32,
    pub findings: Vec<EvaluatedFindingView>,
    /// What it did not judge or not change, by reason.
    pub unscanned: Vec<EvaluatedUnscannedView>,
}

/// What one rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EvaluatedFindingView {
    pub rule: String,
    /// `secret`, `pii`, `custom`, `word`, `hidden_text` or `injection`.
    pub kind: &'static str,
    pub severity: &'static str,
    pub count: u32,
    /// JSON paths of the first texts it was found in.
    pub paths: Vec<String>,
    /// Keyed fingerprints of the first different values: the same value has the same one in this mesh.
    pub fingerprints: Vec<String>,
    /// Where the first ones are.
    pub places: Vec<EvaluatedPlaceView>,
}

/// Where one finding is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EvaluatedPlaceView {
    /// JSON path of the text.
    pub path: String,
    /// First byte of the value in the text, its escapes resolved.
    pub start: u64,
    /// The byte behind the last.
    pub end: u64,
}

/// What was not judged, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EvaluatedUnscannedView {
    /// As in `image` or `sampling`.
    pub why: &'static str,
    pub count: u32,
}

impl From<Evaluated> for EvaluationView {
    fn from(evaluated: Evaluated) -> Self {
        // A body that nothing would change comes back as it was; one that would not go on is not shown.
        let goes_on = !evaluated.body.is_empty() || evaluated.message.is_none();
        let body = String::from_utf8_lossy(&evaluated.body).into_owned();
        Self {
            verdict: evaluated.verdict.name(),
            message: evaluated.message,
            body: goes_on.then_some(body),
            guardrails: evaluated.outcomes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<GuardOutcome> for EvaluatedGuardrailView {
    fn from(outcome: GuardOutcome) -> Self {
        Self {
            id: outcome.guardrail.uuid(),
            name: outcome.name,
            severity: outcome.severity.name(),
            verdict: outcome.verdict.name(),
            texts: outcome.texts,
            findings: outcome.findings.into_iter().map(Into::into).collect(),
            unscanned: outcome.not_scanned.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<GuardFinding> for EvaluatedFindingView {
    fn from(finding: GuardFinding) -> Self {
        Self {
            rule: finding.rule,
            kind: finding.kind,
            severity: finding.severity,
            count: finding.count,
            paths: finding.paths,
            fingerprints: finding.fingerprints,
            places: finding.places.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Place> for EvaluatedPlaceView {
    fn from(place: Place) -> Self {
        let offset = |at| u64::try_from(at).unwrap_or(u64::MAX);
        Self {
            path: place.path,
            start: offset(place.span.start),
            end: offset(place.span.end),
        }
    }
}

impl From<NotScanned> for EvaluatedUnscannedView {
    fn from(unscanned: NotScanned) -> Self {
        Self {
            why: unscanned.why.name(),
            count: unscanned.count,
        }
    }
}

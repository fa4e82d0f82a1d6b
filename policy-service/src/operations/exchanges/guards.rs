//! From what filters report about guardrails to what is stored: words are checked, lists and texts bounded.

use std::collections::BTreeMap;

use policy::ids::GuardrailId;
use wire::mesh;

use super::reading::read_id;
use crate::store::exchanges::{
    GuardDirection, GuardFinding, GuardOutcome, GuardUnscanned, GuardVerdict,
};

const MAX_OUTCOMES: usize = 128;
const MAX_FINDINGS: usize = 64;
const MAX_UNSCANNED: usize = 16;
const MAX_EXAMPLES: usize = 8;
const MAX_WORD_BYTES: usize = 128;
const MAX_PATH_BYTES: usize = 256;
const MAX_FINGERPRINT_BYTES: usize = 64;

/// Reads the outcomes of one exchange: one for each guardrail and direction, the strongest where a filter tells
/// several.
pub(super) fn read(outcomes: Vec<mesh::GuardOutcome>) -> Vec<GuardOutcome> {
    let mut strongest = BTreeMap::new();
    for outcome in outcomes {
        let outcome = read_outcome(outcome);
        let place = (outcome.name.clone(), outcome.guardrail, outcome.direction);
        match strongest.get(&place) {
            Some(GuardOutcome { verdict, .. }) if *verdict >= outcome.verdict => {}
            Some(_) | None => {
                strongest.insert(place, outcome);
            }
        }
    }
    let mut outcomes: Vec<_> = strongest.into_values().collect();
    // What acted must not be what is left out.
    outcomes.sort_by_key(|outcome| std::cmp::Reverse(outcome.verdict));
    outcomes.truncate(MAX_OUTCOMES);
    outcomes
}

fn read_outcome(outcome: mesh::GuardOutcome) -> GuardOutcome {
    let direction = match outcome.direction() {
        mesh::GuardDirection::Response => GuardDirection::Response,
        mesh::GuardDirection::Request | mesh::GuardDirection::Unspecified => {
            GuardDirection::Request
        }
    };
    let verdict = match outcome.verdict() {
        mesh::GuardVerdict::Scanned => GuardVerdict::Scanned,
        mesh::GuardVerdict::Observed => GuardVerdict::Observed,
        mesh::GuardVerdict::Tokenised => GuardVerdict::Tokenised,
        mesh::GuardVerdict::Redacted => GuardVerdict::Redacted,
        mesh::GuardVerdict::Blocked => GuardVerdict::Blocked,
        // A verdict that this service does not know is no proof that anything was searched.
        mesh::GuardVerdict::NotScanned | mesh::GuardVerdict::Unspecified => {
            GuardVerdict::NotScanned
        }
    };
    let findings = outcome.findings.into_iter().take(MAX_FINDINGS);
    let unscanned = outcome.unscanned.into_iter().take(MAX_UNSCANNED);
    GuardOutcome {
        guardrail: read_id(&outcome.guardrail_id).map(GuardrailId::new),
        name: bounded(outcome.name, MAX_WORD_BYTES),
        direction,
        verdict,
        texts: outcome.texts,
        findings: findings.map(read_finding).collect(),
        unscanned: unscanned
            .map(|it| GuardUnscanned {
                why: bounded(it.why, MAX_WORD_BYTES),
                count: it.count,
            })
            .collect(),
    }
}

fn read_finding(finding: mesh::GuardFinding) -> GuardFinding {
    let examples = |texts: Vec<String>, bytes| {
        let few = texts.into_iter().take(MAX_EXAMPLES);
        few.map(|text| bounded(text, bytes)).collect()
    };
    GuardFinding {
        rule: bounded(finding.rule, MAX_WORD_BYTES),
        kind: bounded(finding.kind, MAX_WORD_BYTES),
        severity: bounded(finding.severity, MAX_WORD_BYTES),
        count: finding.count,
        paths: examples(finding.paths, MAX_PATH_BYTES),
        fingerprints: examples(finding.fingerprints, MAX_FINGERPRINT_BYTES),
    }
}

fn bounded(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &str, verdict: mesh::GuardVerdict) -> mesh::GuardOutcome {
        mesh::GuardOutcome {
            guardrail_id: vec![1; 16],
            name: name.to_owned(),
            direction: mesh::GuardDirection::Request.into(),
            verdict: verdict.into(),
            ..mesh::GuardOutcome::default()
        }
    }

    #[test]
    fn one_outcome_for_each_guardrail_the_strongest_first() {
        let read = read(vec![
            outcome("a", mesh::GuardVerdict::Observed),
            outcome("b", mesh::GuardVerdict::Blocked),
            outcome("a", mesh::GuardVerdict::Redacted),
            outcome("a", mesh::GuardVerdict::Scanned),
        ]);
        let verdicts: Vec<_> = read
            .iter()
            .map(|it| (it.name.as_str(), it.verdict))
            .collect();
        assert_eq!(
            verdicts,
            [("b", GuardVerdict::Blocked), ("a", GuardVerdict::Redacted)]
        );
    }

    #[test]
    fn nothing_is_longer_than_it_may_be() {
        let finding = mesh::GuardFinding {
            rule: "r".repeat(1_000),
            paths: vec!["ä".repeat(1_000); 20],
            fingerprints: vec!["f".repeat(1_000); 20],
            ..mesh::GuardFinding::default()
        };
        let long = mesh::GuardOutcome {
            findings: vec![finding; 100],
            unscanned: vec![mesh::GuardUnscanned::default(); 100],
            ..outcome(&"n".repeat(1_000), mesh::GuardVerdict::Observed)
        };
        let many: Vec<_> = (0..200)
            .map(|number| outcome(&number.to_string(), mesh::GuardVerdict::Scanned))
            .chain([long])
            .collect();
        let read = read(many);
        assert_eq!(read.len(), MAX_OUTCOMES);
        let first = &read[0];
        assert_eq!(first.name.len(), MAX_WORD_BYTES);
        assert_eq!(
            (first.findings.len(), first.unscanned.len()),
            (MAX_FINDINGS, MAX_UNSCANNED)
        );
        let finding = &first.findings[0];
        assert_eq!((finding.paths.len(), finding.paths[0].len()), (8, 256));
        assert_eq!(
            (finding.fingerprints.len(), finding.fingerprints[0].len()),
            (8, 64)
        );
    }

    #[test]
    fn a_verdict_from_the_future_is_no_proof() {
        let unknown = mesh::GuardOutcome {
            verdict: 99,
            ..outcome("a", mesh::GuardVerdict::Scanned)
        };
        assert_eq!(read(vec![unknown])[0].verdict, GuardVerdict::NotScanned);
    }
}

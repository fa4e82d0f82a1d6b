//! Findings that overlap, made into spans that do not.

use core::ops::Range;

use crate::finding::Finding;

/// Returns disjoint spans of what is to be hidden, each with the findings that it stands for: of findings that
/// overlap the leftmost goes first, then the longest, then the first rule; the others are widened into it.
///
/// The same findings give the same spans, whatever order they come in.
///
/// ```
/// use detect::{Finding, RuleIndex, merge};
///
/// let finding = |rule, secret: core::ops::Range<usize>| Finding {
///     rule: RuleIndex(rule),
///     matched: secret.clone(),
///     secret,
///     entropy_milli: 0,
///     decoded: None,
/// };
/// let spans = merge(&[finding(1, 4..9), finding(0, 2..6), finding(0, 20..22)]);
/// assert_eq!(spans.len(), 2);
/// assert_eq!(spans[0].secret, 2..9);
/// assert_eq!(spans[0].leader, 1);
/// ```
pub fn merge(findings: &[Finding]) -> Vec<Merged> {
    let mut order: Vec<(usize, &Finding)> = findings.iter().enumerate().collect();
    order.sort_by(|(_, one), (_, other)| {
        (one.secret.start, other.secret.end, one.rule).cmp(&(
            other.secret.start,
            one.secret.end,
            other.rule,
        ))
    });
    let mut spans: Vec<Merged> = Vec::new();
    for (place, finding) in order {
        match spans.last_mut() {
            Some(last) if finding.secret.start < last.secret.end => {
                last.secret.end = last.secret.end.max(finding.secret.end);
                last.members.push(place);
            }
            _ => spans.push(Merged {
                secret: finding.secret.clone(),
                leader: place,
                members: vec![place],
            }),
        }
    }
    spans
}

/// A span to be hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub secret: Range<usize>,
    /// Place of the finding that the span is named after, in the findings that were merged.
    pub leader: usize,
    /// Places of all its findings, the leader's first.
    pub members: Vec<usize>,
}

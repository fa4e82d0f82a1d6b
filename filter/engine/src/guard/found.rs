//! What was found in one text, with no more of the text than that.

use core::ops::Range;

use detect::Finding;
use dialects::content::BlockKind;
use dialects::escape::escape_into;
use dialects::json::Span;
use dialects::splice::Splice;

use super::verdict::TextEdit;

/// Stands between two excerpts, so that what they hold does not run together.
const SEPARATOR: u8 = b'\n';

/// A text in which something was found: only the parts of it that findings and tokens cover, one after the other.
///
/// Judging asks for nothing else of a text, and a body of many megabytes with a secret in every line is not copied.
#[derive(Debug)]
pub(super) struct Found {
    pub index: usize,
    pub kind: BlockKind,
    pub path: String,
    /// Decoded.
    pub text: Vec<u8>,
    /// With offsets in `text`.
    pub findings: Vec<Finding>,
    /// Where each excerpt begins in `text`, and where that stands in the whole decoded text.
    pub excerpts: Vec<(usize, usize)>,
    /// Where in the body excerpts, findings and tokens begin and end, by their offsets in `text`.
    starts: Vec<(usize, u64)>,
    ends: Vec<(usize, u64)>,
}

impl Found {
    pub(super) fn new(index: usize, kind: BlockKind, path: String) -> Self {
        Self {
            index,
            kind,
            path,
            text: Vec::new(),
            findings: Vec::new(),
            excerpts: Vec::new(),
            starts: Vec::new(),
            ends: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.excerpts.is_empty()
    }

    /// Adds what was found in `part` of the text, which stands at decoded offset `at` of it.
    ///
    /// `findings` and `tokens` have offsets in `part`; `spans_of` says where parts of it stand in the body. What is
    /// added later stands behind what was added before.
    pub(super) fn add(
        &mut self,
        part: &[u8],
        at: usize,
        findings: &[Finding],
        tokens: &[Range<usize>],
        spans_of: impl FnOnce(&[Range<usize>]) -> Vec<Span>,
    ) {
        let whole = 0..part.len();
        let secrets = findings
            .iter()
            .map(|finding| within(&finding.secret, &whole));
        let mut pieces: Vec<_> = secrets.chain(tokens.iter().cloned()).collect();
        pieces.sort_by_key(|piece| (piece.start, piece.end));
        pieces.dedup();
        let mut clusters: Vec<Range<usize>> = Vec::new();
        for piece in &pieces {
            match clusters.last_mut() {
                Some(last) if piece.start < last.end => last.end = last.end.max(piece.end),
                Some(_) | None => clusters.push(piece.clone()),
            }
        }
        let places: Vec<_> = clusters.iter().chain(&pieces).cloned().collect();
        let mut spans: Vec<_> = places.iter().zip(spans_of(&places)).collect();
        spans.sort_by_key(|(place, _)| place.start);
        let mut spans = spans.into_iter().peekable();
        let mut findings = sorted(findings).peekable();
        for cluster in clusters {
            if !self.text.is_empty() {
                self.text.push(SEPARATOR);
            }
            let from = self.text.len();
            self.excerpts.push((from, at.saturating_add(cluster.start)));
            self.text
                .extend_from_slice(part.get(cluster.clone()).unwrap_or_default());
            let shift = |place: usize| from.saturating_add(place.saturating_sub(cluster.start));
            let first = self.ends.len();
            while let Some((place, span)) = spans.next_if(|(place, _)| place.start < cluster.end) {
                self.starts.push((shift(place.start), span.start));
                self.ends.push((shift(place.end), span.end));
            }
            if let Some(ends) = self.ends.get_mut(first..) {
                ends.sort_unstable();
            }
            while let Some(finding) = findings.next_if(|finding| finding.secret.start < cluster.end)
            {
                let secret = within(&finding.secret, &cluster);
                let secret = shift(secret.start)..shift(secret.end);
                self.findings.push(Finding {
                    matched: secret.clone(),
                    secret,
                    ..finding.clone()
                });
            }
        }
        self.starts.dedup();
        self.ends.dedup();
    }

    /// Turns a change of the text into one of the body.
    ///
    /// Changes begin and end where findings or tokens do; one that did not would take more of the text, never less.
    pub(super) fn splice(&self, is_nested: bool, edit: &TextEdit) -> Option<Splice> {
        let after = self
            .starts
            .partition_point(|(place, _)| *place <= edit.range.start);
        let (_, start) = *self.starts.get(after.checked_sub(1)?)?;
        let before = self
            .ends
            .partition_point(|(place, _)| *place < edit.range.end);
        let (_, end) = *self.ends.get(before)?;
        let nesting = u8::from(is_nested);
        let mut with = Vec::with_capacity(edit.with.len());
        let quote: &[u8] = match (self.kind, is_nested) {
            (BlockKind::Number, false) => b"\"",
            (BlockKind::Number, true) => b"\\\"",
            (BlockKind::Text | BlockKind::Key, _) => b"",
        };
        with.extend_from_slice(quote);
        escape_into(&edit.with, nesting, &mut with);
        with.extend_from_slice(quote);
        Some(Splice { start, end, with })
    }
}

/// Findings in the order of their places; those that begin at one place stay as they were.
fn sorted(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    let mut sorted: Vec<_> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.secret.start);
    sorted.into_iter()
}

fn within(range: &Range<usize>, bounds: &Range<usize>) -> Range<usize> {
    let start = range.start.clamp(bounds.start, bounds.end);
    start..range.end.clamp(start, bounds.end)
}

#[cfg(test)]
mod tests {
    use detect::RuleIndex;

    use super::*;

    fn finding(secret: Range<usize>) -> Finding {
        Finding {
            rule: RuleIndex(0),
            matched: secret.clone(),
            secret,
            entropy_milli: 0,
            decoded: None,
        }
    }

    #[test]
    fn only_what_was_found_is_kept_and_its_places_lead_back() {
        let part = b"..abc..de.fgh...";
        let mut found = Found::new(0, BlockKind::Text, String::new());
        let spans = |parts: &[Range<usize>]| {
            let at = |place: usize| 1_000 + place as u64;
            let span = |part: &Range<usize>| Span {
                start: at(part.start),
                end: at(part.end),
            };
            parts.iter().map(span).collect()
        };
        let findings = [finding(2..5), finding(4..6), finding(10..13)];
        let tokens: Vec<_> = std::iter::once(7..9).collect();
        found.add(part, 50, &findings, &tokens, spans);
        assert_eq!(found.text, b"abc.\nde\nfgh");
        assert_eq!(found.excerpts, [(0, 52), (5, 57), (8, 60)]);
        let secrets: Vec<_> = found.findings.iter().map(|it| it.secret.clone()).collect();
        assert_eq!(secrets, [0..3, 2..4, 8..11]);
        let body = |range: Range<usize>| {
            let edit = TextEdit {
                range,
                with: String::new(),
            };
            let splice = found.splice(false, &edit).unwrap();
            (splice.start, splice.end)
        };
        assert_eq!(body(0..3), (1_002, 1_005));
        assert_eq!(body(0..4), (1_002, 1_006));
        assert_eq!(body(2..4), (1_004, 1_006));
        assert_eq!(body(5..7), (1_007, 1_009));
        assert_eq!(body(8..11), (1_010, 1_013));
        // A part of a token is changed with all of it.
        assert_eq!(body(6..7), (1_007, 1_009));
    }

    #[test]
    fn what_is_added_later_stands_behind() {
        let mut found = Found::new(0, BlockKind::Text, String::new());
        for at in [0, 100] {
            let spans = |parts: &[Range<usize>]| {
                let span = |part: &Range<usize>| Span {
                    start: (at + part.start) as u64,
                    end: (at + part.end) as u64,
                };
                parts.iter().map(span).collect()
            };
            found.add(b"xyz", at, &[finding(1..2)], &[], spans);
        }
        assert_eq!(found.text, b"y\ny");
        let edit = TextEdit {
            range: 2..3,
            with: "z".to_owned(),
        };
        let splice = found.splice(true, &edit).unwrap();
        assert_eq!((splice.start, splice.end), (101, 102));
    }
}

//! One text that comes in pieces: what of it may pass, and what is changed in it.

use detect::{Finding, StreamScan};
use policy::guardrail::{OnUnknownToken, TextRole};

use super::outcome::{Direction, Why};
use super::restore::Restore;
use super::token::{find_tokens, token_tail};
use super::verdict::{Cause, Judgement, Text, TextEdit};
use super::{Guard, Selection};

/// Where a finding stands in a record when its text came in pieces.
const STREAM_PATH: &str = "$";

/// What is asked of every piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bench<'a> {
    pub guard: &'a Guard,
    pub selection: &'a Selection,
    pub direction: Direction,
    /// Where tokens become values again.
    pub restore: Option<&'a Restore>,
}

/// A text that comes in pieces.
#[derive(Debug)]
pub(crate) struct ChannelScan {
    scan: Option<Box<StreamScan>>,
    role: TextRole,
    may_change: bool,
    /// Where it stands, for records.
    path: String,
    /// What came and has not passed.
    window: Vec<u8>,
    /// Offset of the window in the text.
    from: u64,
    /// Findings in the window that wait for the rest of it.
    waiting: Vec<Finding>,
    is_counted: bool,
}

/// What became of a text so far; offsets are bytes of the whole text.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    pub passes_to: u64,
    /// Disjoint, in order, before `passes_to`.
    pub edits: Vec<(u64, u64, String)>,
}

impl ChannelScan {
    pub(crate) fn new(bench: Bench<'_>, role: TextRole, may_change: bool, path: String) -> Self {
        let groups = bench.guard.groups(bench.selection, bench.direction);
        Self {
            scan: (groups != detect::Groups::NONE).then(|| Box::new(StreamScan::new(groups))),
            role,
            may_change,
            path,
            window: Vec::new(),
            from: 0,
            waiting: Vec::new(),
            is_counted: false,
        }
    }

    /// Says that somebody else counts the texts in it.
    #[must_use]
    pub(crate) fn counted_elsewhere(mut self) -> Self {
        self.is_counted = true;
        self
    }

    /// Takes the next piece of the text.
    pub(crate) fn push(
        &mut self,
        bench: Bench<'_>,
        judgement: &mut Judgement,
        piece: &[u8],
        ends: bool,
    ) -> Passage {
        if !self.is_counted && !piece.is_empty() {
            self.is_counted = true;
            judgement.count(1);
        }
        self.window.extend_from_slice(piece);
        let end = self.from.saturating_add(self.window.len() as u64);
        let mut resolved = self.scan(bench, judgement, piece, ends).min(end);
        if ends {
            resolved = end;
        } else if bench.restore.is_some() {
            resolved = resolved.min(end.saturating_sub(token_tail(&self.window) as u64));
            resolved = self.before_token(bench, resolved);
            resolved = self.between_findings(resolved);
        }
        self.pass(bench, judgement, resolved)
    }

    /// Returns `place`, or where the token begins that it would cut.
    fn before_token(&self, bench: Bench<'_>, place: u64) -> u64 {
        let at = usize::try_from(place.saturating_sub(self.from)).unwrap_or(usize::MAX);
        let mut tokens = find_tokens(bench.guard.tokens(), &self.window);
        let cut = tokens.find(|token| token.start < at && at < token.end);
        cut.map_or(place, |token| self.from.saturating_add(token.start as u64))
    }

    /// Returns the last place up to `place` that is inside no finding: one that is cut would pass in part as it is.
    fn between_findings(&self, place: u64) -> u64 {
        let mut place = place;
        loop {
            let cut = self.waiting.iter().map(|finding| &finding.secret);
            let cut =
                cut.filter(|secret| (secret.start as u64) < place && place < secret.end as u64);
            match cut.map(|secret| secret.start as u64).min() {
                Some(start) => place = start,
                None => return place,
            }
        }
    }

    /// Takes the next bytes of a body; returns whether none were held before, and what passes.
    pub(crate) fn pass_bytes(
        &mut self,
        bench: Bench<'_>,
        judgement: &mut Judgement,
        chunk: &[u8],
        ends: bool,
    ) -> (bool, Vec<u8>) {
        let was_empty = self.window.is_empty();
        let from = self.from;
        let mut bytes = std::mem::take(&mut self.window);
        let held = bytes.len();
        bytes.extend_from_slice(chunk);
        self.window
            .extend_from_slice(bytes.get(..held).unwrap_or_default());
        let passage = self.push(bench, judgement, chunk, ends);
        let place =
            |offset: u64| usize::try_from(offset.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut out = Vec::with_capacity(bytes.len());
        let mut next = 0;
        for (start, end, with) in &passage.edits {
            out.extend_from_slice(bytes.get(next..place(*start)).unwrap_or_default());
            out.extend_from_slice(with.as_bytes());
            next = place(*end);
        }
        let last = place(passage.passes_to);
        out.extend_from_slice(bytes.get(next..last).unwrap_or_default());
        (was_empty, out)
    }

    /// Looks for findings; returns up to where everything is certain.
    fn scan(
        &mut self,
        bench: Bench<'_>,
        judgement: &mut Judgement,
        piece: &[u8],
        ends: bool,
    ) -> u64 {
        let Some(scan) = &mut self.scan else {
            return u64::MAX;
        };
        let waiting = &mut self.waiting;
        let (resolved, overrun) = bench.guard.with_scratch(|rules, scratch| {
            let mut resolved = scan.push(rules, scratch, piece, waiting);
            if ends {
                resolved = scan.finish(rules, scratch, waiting);
            }
            (resolved, scan.take_overrun())
        });
        if !overrun.is_empty() {
            judgement.overrun(bench.guard, bench.selection, self.role);
        }
        resolved
    }

    /// Judges what lies before `resolved` and lets it go.
    fn pass(&mut self, bench: Bench<'_>, judgement: &mut Judgement, resolved: u64) -> Passage {
        let length = usize::try_from(resolved.saturating_sub(self.from)).unwrap_or(usize::MAX);
        let length = length.min(self.window.len());
        let passes_to = self.from.saturating_add(length as u64);
        let certain = self.take_findings(passes_to);
        let mut edits = Vec::new();
        if !certain.is_empty() {
            let text = Text {
                bytes: &self.window,
                excerpts: &[],
                role: self.role,
                is_history: false,
                may_change: self.may_change,
            };
            edits = judgement.text(bench.guard, bench.selection, text, &certain, &|| {
                self.path.clone()
            });
        }
        if self.may_change {
            let passing = self.window.get(..length).unwrap_or_default();
            restore(bench, judgement, self.role, passing, &mut edits);
        }
        let from = self.from;
        let absolute = |place: usize| from.saturating_add(place as u64);
        let edits = edits
            .into_iter()
            .map(|edit| {
                (
                    absolute(edit.range.start),
                    absolute(edit.range.end),
                    edit.with,
                )
            })
            .collect();
        self.window.drain(..length);
        self.from = passes_to;
        Passage { passes_to, edits }
    }

    /// Takes the findings that end before `end`, with offsets in the window.
    fn take_findings(&mut self, end: u64) -> Vec<Finding> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let from = usize::try_from(self.from).unwrap_or(usize::MAX);
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        let (certain, rest) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|finding: &Finding| finding.secret.end <= end);
        self.waiting = rest;
        let shift = |range: &core::ops::Range<usize>| {
            range.start.saturating_sub(from)..range.end.saturating_sub(from)
        };
        let certain: Vec<Finding> = certain;
        certain
            .into_iter()
            .map(|finding| Finding {
                secret: shift(&finding.secret),
                matched: shift(&finding.matched),
                ..finding
            })
            .collect()
    }
}

/// Judges a text that is all there; returns the changes, disjoint and in order.
pub(crate) fn judge_whole(
    bench: Bench<'_>,
    judgement: &mut Judgement,
    role: TextRole,
    may_change: bool,
    label: &str,
    bytes: &[u8],
) -> Vec<(u64, u64, String)> {
    let groups = bench.guard.groups(bench.selection, bench.direction);
    let mut findings = Vec::new();
    if groups != detect::Groups::NONE && !bytes.is_empty() {
        bench
            .guard
            .scan_labelled(bytes, label, groups, &mut findings);
    }
    let mut edits = Vec::new();
    if !findings.is_empty() {
        let text = Text {
            bytes,
            excerpts: &[],
            role,
            is_history: false,
            may_change,
        };
        edits = judgement.text(bench.guard, bench.selection, text, &findings, &|| {
            STREAM_PATH.to_owned()
        });
    }
    if may_change {
        restore(bench, judgement, role, bytes, &mut edits);
    }
    let edits = edits.into_iter();
    edits
        .map(|edit| (edit.range.start as u64, edit.range.end as u64, edit.with))
        .collect()
}

/// Adds the changes that make values of the tokens in `bytes`.
pub(crate) fn restore(
    bench: Bench<'_>,
    judgement: &mut Judgement,
    role: TextRole,
    bytes: &[u8],
    edits: &mut Vec<TextEdit>,
) {
    let Some(restore) = bench.restore else {
        return;
    };
    let mut restored = restore.find(bench.guard, bytes);
    restored.retain(|token| {
        let first = edits.partition_point(|edit| edit.range.end <= token.range.start);
        edits
            .get(first)
            .is_none_or(|edit| edit.range.start >= token.range.end)
    });
    for token in restored {
        match token.value {
            Some(value) => edits.push(TextEdit {
                range: token.range,
                with: value.expose().to_owned(),
            }),
            None => {
                bench.guard.count_unknown_token();
                judgement.not_scanned(bench.guard, bench.selection, Why::UnknownToken, 1);
                judgement.stop_if(
                    bench.guard,
                    bench.selection,
                    Cause {
                        rule: "unknown-token",
                        description: "the answer holds a token whose value is not known here",
                        role,
                    },
                    |rules| rules.on_unknown_token == OnUnknownToken::Block,
                );
            }
        }
    }
    edits.sort_by_key(|edit| edit.range.start);
}

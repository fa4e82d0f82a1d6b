//! Text that is encoded inside a text: JSON and percent escapes, base64.
//!
//! What stands around escapes is unescaped, and what base64 decodes to text is decoded; then the rules are held
//! against that too. A finding there is told with the encoded span and the value in plain. Encodings in encodings
//! are followed twice, and 256 KiB of decoded text are looked at in all.
//!
//! Escapes are looked at with 256 bytes of their line on either side; `\n`, `\r` and `\t` only before a word of
//! eight letters or more, since source code is full of them. Base64 counts from 32 characters on, where it decodes
//! to readable text: images and hashes do not.

pub(crate) mod base64;
mod escapes;

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, Groups, RuleIndex};
use crate::rule_set::RuleSet;
use crate::scan::{Scratch, sort};

/// Decoded text that is looked at in one scan, in bytes.
const BUDGET: usize = 256 * 1024;

/// Encodings inside encodings that are followed.
const DEPTH: u8 = 2;

/// Decoded text, and where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Decoded {
    bytes: Vec<u8>,
    /// In order: from a place in `bytes` on, how it stands in the text.
    parts: Vec<Part>,
}

/// A part of decoded text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// Where it begins in the decoded text.
    at: usize,
    /// Where it begins in the encoded text.
    from: usize,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As it stands in the text.
    Plain,
    /// One escape of so many bytes.
    Escape { length: usize },
    /// Base64: four characters for each three bytes.
    Quads { end: usize },
}

impl Decoded {
    fn part(&self, at: usize) -> Option<&Part> {
        let after = self.parts.partition_point(|part| part.at <= at);
        self.parts.get(after.checked_sub(1)?)
    }

    /// Returns where a range of the decoded text stands in the text, escapes whole.
    fn encoded(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let start = self.part(range.start)?;
        let start = match start.form {
            Form::Plain => start.from + (range.start - start.at),
            Form::Escape { .. } => start.from,
            Form::Quads { .. } => start.from + (range.start - start.at) / 3 * 4,
        };
        let last = range.end.checked_sub(1)?;
        let end = self.part(last)?;
        let end = match end.form {
            Form::Plain => end.from + (last - end.at) + 1,
            Form::Escape { length } => end.from + length,
            Form::Quads { end: limit } => (end.from + ((last - end.at) / 3 + 1) * 4).min(limit),
        };
        Some(start..end)
    }

    /// Whether something in the range, or right beside it, was encoded.
    fn was_encoded(&self, range: &Range<usize>) -> bool {
        let first = self
            .parts
            .partition_point(|part| part.at < range.start)
            .saturating_sub(1);
        self.parts
            .iter()
            .skip(first)
            .take_while(|part| part.at <= range.end)
            .any(|part| part.form != Form::Plain)
    }
}

impl RuleSet {
    /// Appends what the rules find in encoded parts of `text`, but for what was found there already.
    pub(crate) fn scan_encoded(
        &self,
        scratch: &mut Scratch,
        text: &[u8],
        groups: Groups,
        out: &mut Vec<Finding>,
        first: usize,
    ) {
        let mut found = Vec::new();
        let mut budget = BUDGET;
        self.scan_layer(scratch, text, groups, DEPTH, &mut budget, &mut found);
        if found.is_empty() {
            return;
        }
        // For each rule its plain findings, which lie side by side, and those that were told: a text may hold very
        // many of both.
        let mut plain = BTreeMap::<(RuleIndex, usize), usize>::new();
        for known in out.get(first..).unwrap_or_default() {
            let end = plain.entry((known.rule, known.secret.start)).or_default();
            *end = known.secret.end.max(*end);
        }
        let mut told = BTreeSet::new();
        for finding in found {
            let before = plain
                .range(..(finding.rule, finding.secret.end))
                .next_back();
            let is_known = before.is_some_and(|((rule, _), end)| {
                *rule == finding.rule && finding.secret.start < *end
            });
            let place = (finding.rule, finding.secret.start, finding.secret.end);
            if !is_known && told.insert((place, finding.decoded.clone())) {
                out.push(finding);
            }
        }
        sort(out.get_mut(first..).unwrap_or_default());
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one recursive step, with what all steps share"
    )]
    fn scan_layer(
        &self,
        scratch: &mut Scratch,
        text: &[u8],
        groups: Groups,
        depth: u8,
        budget: &mut usize,
        out: &mut Vec<Finding>,
    ) {
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        let mut each = |decoded: &Decoded, budget: &mut usize| {
            let mut found = Vec::new();
            self.scan_plain(scratch, &decoded.bytes, groups, &mut found);
            found.retain(|finding| decoded.was_encoded(&finding.matched));
            self.scan_layer(scratch, &decoded.bytes, groups, depth, budget, &mut found);
            for mut finding in found {
                let value = decoded
                    .bytes
                    .get(finding.secret.clone())
                    .unwrap_or_default();
                let plain = || String::from_utf8_lossy(value).into_owned();
                finding.decoded = Some(finding.decoded.take().unwrap_or_else(plain));
                if let Some((secret, matched)) = decoded
                    .encoded(&finding.secret)
                    .zip(decoded.encoded(&finding.matched))
                {
                    finding.secret = secret;
                    finding.matched = matched;
                    out.push(finding);
                }
            }
        };
        escapes::each(text, budget, &mut each);
        base64::each(text, budget, &mut each);
    }
}

/// Takes `bytes` from the budget, or says that it is used up.
fn afford(budget: &mut usize, bytes: usize) -> bool {
    match budget.checked_sub(bytes) {
        Some(rest) => {
            *budget = rest;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests;

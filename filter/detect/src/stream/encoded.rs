//! Encoded values in a stream.

use super::StreamScan;
use crate::decode::base64;
use crate::finding::Finding;
use crate::rule_set::RuleSet;
use crate::scan::{Scratch, sort};

/// A word with something encoded in it waits for its end up to this length.
const MAX_WORD: usize = 4 * 1024;

/// What stands before a word and is looked at with it.
const AROUND: usize = 256;

impl StreamScan {
    /// Returns the last place up to `place` that is not inside a word with something encoded in it.
    pub(super) fn between_codes(&self, place: usize) -> usize {
        let at = place.saturating_sub(self.base);
        let (before, after) = self.text.split_at_checked(at).unwrap_or((&self.text, &[]));
        let before = before
            .get(before.len().saturating_sub(MAX_WORD)..)
            .unwrap_or(before);
        let word = before
            .iter()
            .rev()
            .take_while(|byte| !byte.is_ascii_whitespace())
            .count();
        let rest = after
            .iter()
            .take(MAX_WORD)
            .take_while(|byte| !byte.is_ascii_whitespace())
            .count();
        if word == 0 || word == MAX_WORD {
            return place;
        }
        let whole = self.text.get(at - word..at + rest).unwrap_or_default();
        if is_encoded(whole) {
            place - word
        } else {
            place
        }
    }

    /// Tells what is encoded between what was told and `resolved`, but for what stands there in plain and was told.
    pub(super) fn tell_encoded(
        &self,
        rules: &RuleSet,
        scratch: &mut Scratch,
        resolved: usize,
        first: usize,
        out: &mut Vec<Finding>,
    ) {
        let local = |place: usize| place.saturating_sub(self.base);
        let new = self
            .text
            .get(local(self.told)..local(resolved))
            .unwrap_or_default();
        if !is_encoded(new) {
            return;
        }
        let from = self.at_character(self.told.saturating_sub(AROUND).max(self.base));
        let text = self
            .text
            .get(local(from)..local(resolved))
            .unwrap_or_default();
        let mut found = Vec::new();
        rules.scan_encoded(scratch, text, self.groups, &mut found, 0);
        let known = out.len();
        for mut finding in found {
            if finding.secret.start + from < self.told {
                continue;
            }
            for range in [&mut finding.secret, &mut finding.matched] {
                *range =
                    self.inlet.original(range.start + from)..self.inlet.original(range.end + from);
            }
            let is_known = |other: &Finding| {
                other.rule == finding.rule
                    && other.secret.start < finding.secret.end
                    && finding.secret.start < other.secret.end
            };
            if !out
                .get(first..known)
                .unwrap_or_default()
                .iter()
                .any(is_known)
            {
                out.push(finding);
            }
        }
        sort(out.get_mut(first..).unwrap_or_default());
    }
}

/// Whether a text may hold something encoded.
fn is_encoded(text: &[u8]) -> bool {
    memchr::memchr2(b'\\', b'%', text).is_some() || base64::next_run(text, 0).is_some()
}

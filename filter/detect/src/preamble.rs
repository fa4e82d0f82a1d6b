//! Optional text before what a pattern looks for.
//!
//! Many rules begin with `[\w.-]{0,50}?`: up to fifty characters of a name before the vendor's. Where such a match
//! begins has nothing to do with what the rest of it matches, but an automaton that must keep track of it grows very
//! large. So the rest is searched alone, and the beginning is found by walking back from it.
//!
//! That is the same match: the leftmost match of the whole begins before the leftmost match of the rest, because every
//! match of the rest is one of the whole; and being lazy, the preamble ends at the first place where the rest matches.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else a pattern may be made of is treated alike"
)]

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::reach::{ByteSet, bytes_of};

/// A lazy preamble, cut off its pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preamble {
    bytes: ByteSet,
    longest: usize,
}

impl Preamble {
    /// Cuts a preamble of ASCII characters off a pattern; returns it with the rest.
    pub(crate) fn cut(hir: &Hir) -> Option<(Self, Hir)> {
        let HirKind::Concat(parts) = hir.kind() else {
            return None;
        };
        let (first, rest) = parts.split_first()?;
        let HirKind::Repetition(repetition) = first.kind() else {
            return None;
        };
        let is_ascii = match repetition.sub.kind() {
            HirKind::Class(Class::Unicode(class)) => class.is_ascii(),
            HirKind::Class(Class::Bytes(class)) => class.is_ascii(),
            _ => false,
        };
        if repetition.greedy || repetition.min > 0 || !is_ascii {
            return None;
        }
        let rest = Hir::concat(rest.to_vec());
        // An empty rest would match everywhere.
        if rest.properties().minimum_len().unwrap_or(0) == 0 {
            return None;
        }
        let mut bytes = ByteSet::NONE;
        bytes_of(&repetition.sub, &mut bytes);
        let longest = usize::try_from(repetition.max?).ok()?;
        Some((Self { bytes, longest }, rest))
    }

    /// Returns where a match begins whose rest begins at `at`; not before `floor`.
    pub(crate) fn begin(&self, text: &[u8], at: usize, floor: usize) -> usize {
        let floor = floor.max(at.saturating_sub(self.longest));
        let before = text.get(floor..at).unwrap_or_default();
        let length = before
            .iter()
            .rev()
            .take_while(|byte| self.bytes.has(**byte))
            .count();
        at - length
    }
}

#[cfg(test)]
mod tests {
    use super::Preamble;
    use crate::limits;
    use crate::plain::plain;

    #[test]
    fn only_lazy_ascii_preambles_are_cut() {
        let cut = |pattern: &str| Preamble::cut(&plain(&limits::parse(pattern).unwrap()));
        let (preamble, _) = cut("(?i)[0-9a-z_.]{0,5}?key=([a-z]+)").unwrap();
        assert_eq!(preamble.begin(b"a my_big_key=x", 9, 0), 4);
        assert_eq!(preamble.begin(b"a my_big_key=x", 9, 6), 6);
        assert_eq!(preamble.begin(b"a my key=x", 5, 0), 5);
        assert_eq!(cut("[0-9]{0,5}key"), None);
        assert_eq!(cut("[0-9]{1,5}?key"), None);
        assert_eq!(cut("[^x]{0,5}?key"), None);
        assert_eq!(cut("[0-9]{0,5}?(?:key)?"), None);
    }
}

//! A text as rules see it: valid UTF-8, and folded for keywords.

use std::borrow::Cow;

/// Where bytes of a changed copy stand in the original.
///
/// Each entry is a place in the copy and how much further the original is from there on; places increase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OffsetMap {
    steps: Vec<(usize, isize)>,
}

impl OffsetMap {
    /// Returns where a byte of the copy stands in the original.
    pub(crate) fn original(&self, at: usize) -> usize {
        let after = self.steps.partition_point(|(place, _)| *place <= at);
        let shift = after
            .checked_sub(1)
            .and_then(|step| self.steps.get(step))
            .map_or(0, |(_, shift)| *shift);
        at.saturating_add_signed(shift)
    }
}

/// Returns the text with each byte that is no UTF-8 replaced by U+FFFD, as Go's matcher reads it.
pub(crate) fn valid(bytes: &[u8]) -> (Cow<'_, [u8]>, OffsetMap) {
    let mut map = OffsetMap::default();
    if core::str::from_utf8(bytes).is_ok() {
        return (Cow::Borrowed(bytes), map);
    }
    let mut copy = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    let mut shift: isize = 0;
    for chunk in bytes.utf8_chunks() {
        copy.extend_from_slice(chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            copy.extend_from_slice("\u{FFFD}".as_bytes());
            shift -= 2;
            map.steps.push((copy.len(), shift));
        }
    }
    (Cow::Owned(copy), map)
}

/// The two letters outside ASCII that fold to letters inside it, U+017F (ſ) and U+212A (K).
const LONG_S: &str = "\u{17F}";
const KELVIN: &str = "\u{212A}";

/// Whether a text has one of the two letters outside ASCII that fold to letters inside it.
pub(crate) fn is_odd(text: &[u8]) -> bool {
    [LONG_S, KELVIN]
        .iter()
        .any(|letter| memchr::memmem::find(text, letter.as_bytes()).is_some())
}

/// Returns a copy in which keywords stand as they are written, or `None` where the text itself will do.
///
/// Only what ASCII folding misses is changed: U+017F and U+212A, which a pattern without case takes for `s` and `k`,
/// and, where keywords have letters outside ASCII (`wide`), the case of such letters.
pub(crate) fn folded(text: &[u8], wide: bool) -> Option<(Vec<u8>, OffsetMap)> {
    if !(is_odd(text) || wide && !text.is_ascii()) {
        return None;
    }
    let text = core::str::from_utf8(text).ok()?;
    let mut copy = Vec::with_capacity(text.len());
    let mut map = OffsetMap::default();
    let mut shift: isize = 0;
    let mut buffer = [0; 4];
    for c in text.chars() {
        let folded = match c {
            '\u{17F}' => 's',
            '\u{212A}' => 'k',
            c if wide && !c.is_ascii() => lower(c),
            c => c,
        };
        let encoded = folded.encode_utf8(&mut buffer);
        copy.extend_from_slice(encoded.as_bytes());
        if encoded.len() != c.len_utf8() {
            shift = shift
                .saturating_add_unsigned(c.len_utf8())
                .saturating_sub_unsigned(encoded.len());
            map.steps.push((copy.len(), shift));
        }
    }
    Some((copy, map))
}

/// Returns the one character that is `c` in lower case.
fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::{folded, valid};

    #[test]
    fn invalid_bytes_become_replacement_characters() {
        let (copy, map) = valid(b"a\xFFb\xE2\x82c");
        assert_eq!(copy.as_ref(), "a\u{FFFD}b\u{FFFD}\u{FFFD}c".as_bytes());
        let places: Vec<usize> = [0, 1, 4, 5, 8, 11, 12]
            .iter()
            .map(|at| map.original(*at))
            .collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn odd_letters_fold_with_their_places() {
        assert_eq!(folded("plain Ä".as_bytes(), false), None);
        let (copy, map) = folded("a\u{212A}ey \u{17F}ecret".as_bytes(), false).unwrap();
        assert_eq!(copy, b"akey secret");
        assert_eq!(map.original(1), 1);
        assert_eq!(map.original(2), 4);
        assert_eq!(map.original(5), 7);
        assert_eq!(map.original(6), 9);
        let (copy, _) = folded("ПАРОЛЬ".as_bytes(), true).unwrap();
        assert_eq!(copy, "пароль".as_bytes());
    }
}

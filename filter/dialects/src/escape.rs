//! JSON string literals as bytes: decoding them, finding decoded places in them, and writing into them.
//!
//! Grammar: RFC 8259, "Strings". A literal here is what stands between the quotes. All functions take literals
//! that a [`Walker`](crate::json::Walker) has passed; others are read as far as they make sense.
//!
//! ```
//! use dialects::escape::{Offsets, escape_into, unescape};
//!
//! let raw = br#"a\n\"\ud83d\ude00z"#;
//! assert_eq!(unescape(raw), "a\n\"😀z".as_bytes());
//! assert_eq!(Offsets::of(raw).range(3..7), 5..17);
//!
//! let mut out = Vec::new();
//! escape_into("say \"hi\"", 1, &mut out);
//! assert_eq!(out, br#"say \\\"hi\\\""#);
//! ```

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr;

/// Decodes a literal; half a surrogate pair becomes U+FFFD.
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut decoded = Vec::with_capacity(raw.len());
    unescape_into(raw, &mut decoded);
    Cow::Owned(decoded)
}

/// Appends a decoded literal to `out`.
pub fn unescape_into(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (char, length) = escape_at(escape);
        match u8::try_from(char) {
            Ok(byte) if byte.is_ascii() => out.push(byte),
            _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Appends what is certain of the next piece of a literal to `out`, and returns how much of the piece that is: an
/// escape that it cuts, or half a surrogate pair whose other half may follow, waits for the rest.
pub fn unescape_piece(piece: &[u8], out: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some(plain) = memchr(b'\\', piece.get(at..).unwrap_or_default()) {
        let escape = piece.get(at + plain..).unwrap_or_default();
        out.extend_from_slice(piece.get(at..at + plain).unwrap_or_default());
        at += plain;
        if is_cut(escape) {
            return at;
        }
        let (char, length) = escape_at(escape);
        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        at += length;
    }
    out.extend_from_slice(piece.get(at..).unwrap_or_default());
    piece.len()
}

/// Whether more bytes could make something else of the escape at the front of `bytes`.
fn is_cut(bytes: &[u8]) -> bool {
    match bytes.get(1) {
        None => true,
        Some(b'u') => match bytes.get(6..) {
            None => true,
            Some(next) => {
                matches!(unit_at(bytes), Some(0xD800..=0xDBFF))
                    && next.len() < 6
                    && next.iter().zip(b"\\u").all(|(one, other)| one == other)
            }
        },
        Some(_) => false,
    }
}

/// Reads the escape at the front of `bytes`: what it stands for, and its length.
fn escape_at(bytes: &[u8]) -> (char, usize) {
    let char = match bytes.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => return unicode_at(bytes),
        Some(other) if other.is_ascii() => char::from(*other),
        Some(_) | None => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (char, 2)
}

fn unicode_at(bytes: &[u8]) -> (char, usize) {
    let Some(unit) = unit_at(bytes) else {
        return (char::REPLACEMENT_CHARACTER, bytes.len().min(6));
    };
    let low = match unit {
        0xD800..=0xDBFF => unit_at(bytes.get(6..).unwrap_or_default()),
        _ => None,
    };
    match low {
        Some(low @ 0xDC00..=0xDFFF) => {
            let code = 0x1_0000 + ((unit & 0x3FF) << 10) + (low & 0x3FF);
            (
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
                12,
            )
        }
        _ => (
            char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER),
            6,
        ),
    }
}

/// Reads `\uXXXX`.
fn unit_at(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |value, digit| {
        Some(value << 4 | char::from(*digit).to_digit(16)?)
    })
}

/// Where the bytes of a decoded literal stand in the literal.
///
/// Holds twelve bytes for each escape; nothing where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    escapes: Vec<Escape>,
    /// Length of the literal.
    length: usize,
}

/// An escape: where it stands decoded and as written, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Escape {
    decoded: u32,
    raw: u32,
    decoded_length: u8,
    raw_length: u8,
}

impl Offsets {
    /// Reads a literal, of which it knows the first 4 GiB.
    pub fn of(raw: &[u8]) -> Self {
        let mut escapes = Vec::new();
        let (mut decoded, mut at) = (0, 0);
        while let Some(plain) = memchr(b'\\', raw.get(at..).unwrap_or_default()) {
            at += plain;
            decoded += plain;
            let (char, raw_length) = escape_at(raw.get(at..).unwrap_or_default());
            let escape = (u32::try_from(decoded), u32::try_from(at));
            let lengths = (u8::try_from(char.len_utf8()), u8::try_from(raw_length));
            let ((Ok(start), Ok(raw_start)), (Ok(decoded_length), Ok(length))) = (escape, lengths)
            else {
                break;
            };
            escapes.push(Escape {
                decoded: start,
                raw: raw_start,
                decoded_length,
                raw_length: length,
            });
            decoded += char.len_utf8();
            at += raw_length;
        }
        Self {
            escapes,
            length: raw.len(),
        }
    }

    /// Returns the part of the literal that stands for these decoded bytes; it never cuts an escape.
    pub fn range(&self, decoded: Range<usize>) -> Range<usize> {
        let (start, _) = self.place(decoded.start);
        if decoded.end <= decoded.start {
            return start..start;
        }
        let (_, end) = self.place(decoded.end);
        start..end
    }

    /// Returns the last place up to decoded byte `at` that is inside no escape: decoded, and in the literal.
    pub fn boundary(&self, at: usize) -> (usize, usize) {
        let (start, end) = self.place(at);
        if start == end {
            return (at.min(self.length), start);
        }
        let escape = self
            .escapes
            .iter()
            .rfind(|escape| escape.decoded as usize <= at);
        (escape.map_or(at, |escape| escape.decoded as usize), start)
    }

    /// Returns where decoded byte `at` stands in the literal, rounded down and up where an escape makes it.
    fn place(&self, at: usize) -> (usize, usize) {
        let before = self
            .escapes
            .partition_point(|escape| escape.decoded as usize <= at);
        let Some(escape) = before
            .checked_sub(1)
            .and_then(|last| self.escapes.get(last))
        else {
            let at = at.min(self.length);
            return (at, at);
        };
        let start = escape.raw as usize;
        let end = start + usize::from(escape.raw_length);
        let inside = at - escape.decoded as usize;
        match inside.checked_sub(usize::from(escape.decoded_length)) {
            Some(plain) => {
                let at = (end + plain).min(self.length);
                (at, at)
            }
            None if inside == 0 => (start, start),
            None => (start, end),
        }
    }
}

/// Writes text so that it may stand in a literal; `nesting` is in how many literals of JSON text inside JSON text
/// that literal stands itself: 0 for a plain string.
pub fn escape_into(text: &str, nesting: u8, out: &mut Vec<u8>) {
    if nesting == 0 {
        return escape_once(text.as_bytes(), out);
    }
    let mut inner = Vec::with_capacity(text.len());
    escape_once(text.as_bytes(), &mut inner);
    for _ in 1..nesting {
        let mut next = Vec::with_capacity(inner.len());
        escape_once(&inner, &mut next);
        inner = next;
    }
    escape_once(&inner, out);
}

fn escape_once(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0C => b'f',
            0x00..0x20 => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.extend([digit(byte >> 4), digit(byte & 15)]);
                continue;
            }
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend([b'\\', short]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Literals, with escapes of all kinds.
    fn literal() -> impl Strategy<Value = Vec<u8>> {
        let part = prop::sample::select(vec![
            "a",
            "bc",
            "\\n",
            "\\\"",
            "\\\\",
            "\\/",
            "\\u0041",
            "\\u00e9",
            "\\u20AC",
            "\\ud83d\\ude00",
            "\\ud83d",
            "\\ude00",
            "é",
            "€",
            "😀",
            "plain text without escapes",
        ]);
        prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat().into_bytes())
    }

    fn by_serde(raw: &[u8]) -> Option<String> {
        let quoted = [b"\"", raw, b"\""].concat();
        serde_json::from_slice(&quoted).ok()
    }

    #[test]
    fn half_a_pair_is_replaced() {
        assert_eq!(unescape(b"\\ud83dx"), "\u{fffd}x".as_bytes());
        assert_eq!(unescape(b"\\ude00\\ud83d"), "\u{fffd}\u{fffd}".as_bytes());
        assert_eq!(unescape(b"\\ud83d\\u0041"), "\u{fffd}A".as_bytes());
    }

    #[test]
    fn a_range_is_widened_to_whole_escapes() {
        let offsets = Offsets::of(br"ab\u00e9c");
        assert_eq!(offsets.range(2..3), 2..8);
        assert_eq!(offsets.range(3..4), 2..8);
        assert_eq!(offsets.range(3..5), 2..9);
        assert_eq!(offsets.range(1..1), 1..1);
        assert_eq!(offsets.range(4..99), 8..9);
    }

    proptest! {
        #[test]
        fn decodes_as_serde_json_does(raw in literal()) {
            if let Some(text) = by_serde(&raw) {
                prop_assert_eq!(unescape(&raw).into_owned(), text.into_bytes());
            }
        }

        #[test]
        fn pieces_decode_as_the_whole_does(raw in literal(), cuts: Vec<prop::sample::Index>) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(raw.len() + 1)).collect();
            cuts.sort_unstable();
            let (mut out, mut read) = (Vec::new(), 0);
            for cut in cuts {
                read += unescape_piece(&raw[read..cut.max(read)], &mut out);
            }
            unescape_into(&raw[read..], &mut out);
            prop_assert_eq!(out, unescape(&raw).into_owned());
        }

        #[test]
        fn a_boundary_cuts_no_escape(raw in literal(), at: prop::sample::Index) {
            let text = unescape(&raw).into_owned();
            let at = at.index(text.len() + 1);
            let (decoded, place) = Offsets::of(&raw).boundary(at);
            prop_assert!(decoded <= at && at - decoded < 4);
            prop_assert_eq!(unescape(&raw[..place]).into_owned(), &text[..decoded]);
            prop_assert_eq!(unescape(&raw[place..]).into_owned(), &text[decoded..]);
        }

        #[test]
        fn every_cut_of_a_literal_decodes_to_its_part(raw in literal(), a: prop::sample::Index, b: prop::sample::Index) {
            let text = String::from_utf8(unescape(&raw).into_owned()).unwrap();
            let mut cuts = [a.index(text.len() + 1), b.index(text.len() + 1)].map(|cut| text.floor_char_boundary(cut));
            cuts.sort_unstable();
            let range = Offsets::of(&raw).range(cuts[0]..cuts[1]);
            prop_assert_eq!(unescape(&raw[range.clone()]).into_owned(), &text.as_bytes()[cuts[0]..cuts[1]]);
            prop_assert_eq!(unescape(&raw[..range.start]).into_owned(), &text.as_bytes()[..cuts[0]]);
        }

        #[test]
        fn what_is_escaped_is_read_back(text: String, nesting in 0..3u8) {
            let mut out = Vec::new();
            escape_into(&text, nesting, &mut out);
            let mut read = String::from_utf8(out).unwrap();
            for _ in 0..=nesting {
                read = by_serde(read.as_bytes()).unwrap();
            }
            prop_assert_eq!(read, text);
        }
    }
}

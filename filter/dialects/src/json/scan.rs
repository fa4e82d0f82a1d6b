//! Loops over string content: where most bytes of a body are.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const QUOTES: u64 = ONES * 0x22;
const BACKSLASHES: u64 = ONES * 0x5C;
const SPACES: u64 = ONES * 0x20;

/// Sets the high bit of each byte that ends a run of plain text: quote, backslash, control, non-ASCII.
///
/// Exact for the lowest such byte; bytes above it may be set wrongly, since the subtractions borrow.
const fn stops(word: u64) -> u64 {
    let quote = (word ^ QUOTES).wrapping_sub(ONES);
    let backslash = (word ^ BACKSLASHES).wrapping_sub(ONES);
    let control = word.wrapping_sub(SPACES);
    (quote | backslash | control | word) & HIGHS
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7F) && byte != b'"' && byte != b'\\'
}

/// Returns how many leading bytes are printable ASCII without quote and backslash.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let (pairs, rest) = bytes.as_chunks::<16>();
    let mut length = 0;
    for pair in pairs {
        let (words, _) = pair.as_chunks::<8>();
        let [low, high] = words else { break };
        let (low, high) = (
            stops(u64::from_le_bytes(*low)),
            stops(u64::from_le_bytes(*high)),
        );
        if low | high != 0 {
            let zeros = if low == 0 {
                64 + high.trailing_zeros()
            } else {
                low.trailing_zeros()
            };
            return length + (zeros >> 3) as usize;
        }
        length += 16;
    }
    length + rest.iter().take_while(|byte| is_plain(**byte)).count()
}

/// Returns how many leading bytes of a name are plain, and its first word if it is at hand: most names end there.
#[inline]
pub(super) fn plain_name(bytes: &[u8]) -> (usize, Option<u64>) {
    let Some((word, after)) = bytes.split_first_chunk::<8>() else {
        return (plain_length(bytes), None);
    };
    let word = u64::from_le_bytes(*word);
    let length = match stops(word) {
        0 => size_of::<u64>() + plain_length(after),
        stops => (stops.trailing_zeros() >> 3) as usize,
    };
    (length, Some(word))
}

/// Returns how many leading bytes of a string's content can be passed over without state.
///
/// Stops at the closing quote and at whatever needs a closer look: a control character, malformed or cut
/// UTF-8, a malformed or cut escape.
pub(super) fn skip_length(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    loop {
        // Text with many escapes or accents stops every few bytes: one word first, long runs only after it.
        if let Some((word, after)) = rest.split_first_chunk::<8>() {
            let stops = stops(u64::from_le_bytes(*word));
            if stops == 0 {
                rest = after.get(plain_length(after)..).unwrap_or_default();
            } else {
                rest = rest
                    .get((stops.trailing_zeros() >> 3) as usize..)
                    .unwrap_or_default();
            }
        } else {
            rest = rest.get(plain_length(rest)..).unwrap_or_default();
        }
        rest = match rest {
            [
                b'\\',
                b'n' | b'"' | b'\\' | b't' | b'r' | b'/' | b'b' | b'f',
                after @ ..,
            ] => after,
            [b'\\', b'u', a, b, c, d, after @ ..]
                if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                after
            }
            [0xC3, 0x80..=0xBF, after @ ..] => after,
            [0x80..=0xFF, ..] => match sequences_length(rest) {
                0 => break,
                length => rest.get(length..).unwrap_or_default(),
            },
            _ => break,
        };
    }
    bytes.len() - rest.len()
}

/// Returns how many leading bytes are whole, well-formed non-ASCII UTF-8 sequences.
///
/// Ranges: Unicode Standard, "Well-Formed UTF-8 Byte Sequences".
pub(super) fn sequences_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    loop {
        length += match bytes.get(length..).unwrap_or_default() {
            [0xC2..=0xDF, 0x80..=0xBF, ..] => 2,
            [0xE1..=0xEC | 0xEE..=0xEF, 0x80..=0xBF, 0x80..=0xBF, ..]
            | [0xE0, 0xA0..=0xBF, 0x80..=0xBF, ..]
            | [0xED, 0x80..=0x9F, 0x80..=0xBF, ..] => 3,
            [0xF0, 0x90..=0xBF, 0x80..=0xBF, 0x80..=0xBF, ..]
            | [0xF1..=0xF3, 0x80..=0xBF, 0x80..=0xBF, 0x80..=0xBF, ..]
            | [0xF4, 0x80..=0x8F, 0x80..=0xBF, 0x80..=0xBF, ..] => 4,
            _ => return length,
        };
    }
}

/// Whether a key is ASCII without NUL, so that it can only be taken for names of its own length.
pub(super) fn is_plain_key(key: &[u8]) -> bool {
    key.iter().all(|byte| matches!(byte, 1..=0x7F))
}

/// Returns the name that some parser may take `key` for: equal but for case, or equal up to a NUL.
///
/// Case is folded as Unicode folds it, so U+017F is an `s` and U+212A a `k`: Go's `encoding/json` matches
/// keys that way.
pub(super) fn could_be_taken_for(
    key: &[u8],
    mut names: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    let key = key.split(|byte| *byte == 0).next().unwrap_or_default();
    if key.is_empty() {
        return None;
    }
    if key.is_ascii() {
        return names.find(|name| key.eq_ignore_ascii_case(name.as_bytes()));
    }
    let key = str::from_utf8(key).ok()?;
    let folded = key.chars().map(|char| match char {
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    names.find(|name| {
        folded
            .clone()
            .eq(name.chars().map(|char| char.to_ascii_lowercase()))
    })
}

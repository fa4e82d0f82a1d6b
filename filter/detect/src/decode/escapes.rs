//! JSON escapes and percent escapes.

use super::{Decoded, Form, Part, afford};

/// What is looked at before the first and after the last escape of a cluster, and how far apart two of one may be.
const AROUND: usize = 256;

/// Bytes of one cluster at most; a longer one goes on as the next.
const MAX_CLUSTER: usize = 16 * 1024;

/// A word that follows `\n` is worth a look from this length on.
const WORD_BYTES: usize = 8;

/// Hands the unescaped surroundings of all escapes of `text` to `each`.
pub(super) fn each(text: &[u8], budget: &mut usize, each: &mut dyn FnMut(&Decoded, &mut usize)) {
    let mut from = 0;
    // What a cluster has covered is not covered again.
    let mut floor = 0;
    while let Some(first) = next_worthy(text, from) {
        let mut last = escape(text, first).map_or(first + 1, |escape| first + escape.length);
        while let Some(next) = next_escape(text, last) {
            if next > last + AROUND || next - first > MAX_CLUSTER {
                break;
            }
            last = escape(text, next).map_or(next + 1, |escape| next + escape.length);
        }
        let start = line_start(text, first).max(floor);
        let end = line_end(text, last);
        if !afford(budget, end - start) {
            return;
        }
        let decoded = unescape(text, start, end);
        each(&decoded, budget);
        floor = last;
        from = last;
    }
}

/// One escape of a text.
struct Escape {
    length: usize,
    means: Means,
}

enum Means {
    Byte(u8),
    Char(char),
}

/// Returns the escape that begins at `at`.
fn escape(text: &[u8], at: usize) -> Option<Escape> {
    let byte = |offset: usize| text.get(at + offset).copied();
    let one = |means: u8| {
        Some(Escape {
            length: 2,
            means: Means::Byte(means),
        })
    };
    match (byte(0)?, byte(1)?) {
        (b'%', _) => Some(Escape {
            length: 3,
            means: Means::Byte(ascii(text.get(at + 1..at + 3)?)?),
        }),
        (b'\\', letter @ (b'"' | b'\\' | b'/' | b'\'')) => one(letter),
        (b'\\', b'n') => one(b'\n'),
        (b'\\', b'r') => one(b'\r'),
        (b'\\', b't') => one(b'\t'),
        (b'\\', b'x') => Some(Escape {
            length: 4,
            means: Means::Byte(ascii(text.get(at + 2..at + 4)?)?),
        }),
        (b'\\', b'u') => unicode(text, at),
        _ => None,
    }
}

/// `\u0041`, and two of them for a character beyond the basic plane.
fn unicode(text: &[u8], at: usize) -> Option<Escape> {
    let unit = |at: usize| hex(text.get(at + 2..at + 6)?);
    let high = unit(at)?;
    let pair = || {
        let low = (text.get(at + 6..at + 8)? == b"\\u").then(|| unit(at + 6))??;
        let code = 0x1_0000 + ((high - 0xD800) << 10) + low.checked_sub(0xDC00)?;
        char::from_u32(code)
    };
    let (length, sign) = match high {
        0xD800..=0xDBFF => match pair() {
            Some(sign) => (12, sign),
            None => (6, char::REPLACEMENT_CHARACTER),
        },
        _ => (
            6,
            char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER),
        ),
    };
    Some(Escape {
        length,
        means: Means::Char(sign),
    })
}

/// The ASCII character of two digits. Others are not decoded: `%FEED%` is a placeholder, and no secret is hidden by
/// its letters outside ASCII.
fn ascii(digits: &[u8]) -> Option<u8> {
    u8::try_from(hex(digits)?).ok().filter(u8::is_ascii)
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| {
        Some(value * 16 + char::from(*digit).to_digit(16)?)
    })
}

/// Returns where the next escape begins.
fn next_escape(text: &[u8], from: usize) -> Option<usize> {
    let mut from = from;
    loop {
        let place = from + memchr::memchr2(b'\\', b'%', text.get(from..)?)?;
        if escape(text, place).is_some() {
            return Some(place);
        }
        from = place + 1;
    }
}

/// Returns where the next escape begins that can hide something.
fn next_worthy(text: &[u8], from: usize) -> Option<usize> {
    let mut from = from;
    loop {
        let place = next_escape(text, from)?;
        let length = escape(text, place)?.length;
        let letter = text.get(place + 1).copied()?;
        let is_plain =
            text.get(place) == Some(&b'\\') && matches!(letter, b'n' | b'r' | b't' | b'\\' | b'\'');
        if !is_plain || is_word(text, place + length) {
            return Some(place);
        }
        from = place + length;
    }
}

fn is_word(text: &[u8], at: usize) -> bool {
    text.get(at..at + WORD_BYTES).is_some_and(|word| {
        word.iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    })
}

fn line_start(text: &[u8], at: usize) -> usize {
    let from = at.saturating_sub(AROUND);
    let before = text.get(from..at).unwrap_or_default();
    let line = memchr::memrchr(b'\n', before).map_or(from, |end| from + end + 1);
    // Not in the middle of a character.
    (line..at)
        .find(|at| {
            text.get(*at)
                .is_some_and(|byte| !matches!(byte, 0x80..=0xBF))
        })
        .unwrap_or(at)
}

fn line_end(text: &[u8], at: usize) -> usize {
    let after = text.get(at..).unwrap_or_default();
    let after = after.get(..AROUND).unwrap_or(after);
    at + memchr::memchr(b'\n', after).unwrap_or(after.len())
}

fn unescape(text: &[u8], start: usize, end: usize) -> Decoded {
    let mut decoded = Decoded::default();
    let mut from = start;
    while from < end {
        let next = next_escape(text, from)
            .filter(|next| *next < end)
            .unwrap_or(end);
        if next > from {
            decoded.parts.push(Part {
                at: decoded.bytes.len(),
                from,
                form: Form::Plain,
            });
            decoded
                .bytes
                .extend_from_slice(text.get(from..next).unwrap_or_default());
        }
        let Some(escape) = escape(text, next).filter(|_| next < end) else {
            break;
        };
        decoded.parts.push(Part {
            at: decoded.bytes.len(),
            from: next,
            form: Form::Escape {
                length: escape.length,
            },
        });
        match escape.means {
            Means::Byte(byte) => decoded.bytes.push(byte),
            Means::Char(sign) => {
                let mut buffer = [0; 4];
                decoded
                    .bytes
                    .extend_from_slice(sign.encode_utf8(&mut buffer).as_bytes());
            }
        }
        from = next + escape.length;
    }
    decoded
}

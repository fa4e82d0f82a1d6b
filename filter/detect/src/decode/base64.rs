//! Base64, with either alphabet, padded or not.

use super::{Decoded, Form, Part, afford};

/// Shorter runs are words and names.
const MIN_RUN: usize = 32;

/// Characters that are decoded to see whether they mean text.
const TRIAL: usize = 24;

/// Characters of a run that are decoded and judged at once.
const BLOCK: usize = 4 * 1024;

/// Hands the texts that stand in base64 in `text` to `each`.
pub(super) fn each(text: &[u8], budget: &mut usize, each: &mut dyn FnMut(&Decoded, &mut usize)) {
    let mut from = 0;
    while let Some((start, end)) = next_run(text, from) {
        from = end;
        let Some(offset) = (0..4).find(|offset| is_text_at(text, start + offset, end)) else {
            continue;
        };
        let mut at = start + offset;
        while at < end {
            let stop = block_end(text, at, end);
            let decoded = decode(text, at, stop);
            if !decoded.bytes.is_empty() {
                if !afford(budget, decoded.bytes.len()) {
                    return;
                }
                each(&decoded, budget);
            }
            at = stop;
        }
    }
}

/// A run that is long enough fills one chunk of so many bytes, wherever it begins.
const CHUNK: usize = MIN_RUN.div_ceil(2);

/// Returns the next run of base64 characters that is long enough.
pub(crate) fn next_run(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let is_sign = |at: usize| text.get(at).is_some_and(|byte| value(*byte) != NONE);
    let mut from = from;
    loop {
        let (chunks, _) = text.get(from..)?.as_chunks::<CHUNK>();
        // Without a branch per byte, so that it becomes vector code.
        let is_full =
            |chunk: &[u8; CHUNK]| chunk.iter().fold(true, |all, byte| all & is_base64(*byte));
        let at = from + chunks.iter().position(is_full)? * CHUNK;
        let mut start = at;
        while start > from && is_sign(start - 1) {
            start -= 1;
        }
        let mut end = at + CHUNK;
        while is_sign(end) {
            end += 1;
        }
        if end - start >= MIN_RUN {
            return Some((start, end));
        }
        from = end;
    }
}

const fn is_base64(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let digit = byte.wrapping_sub(b'0') < 10;
    letter | digit | (byte == b'+') | (byte == b'-') | (byte == b'/') | (byte == b'_')
}

/// Six bits for each character, and [`NONE`] for bytes that are none.
const VALUES: [u8; 256] = values();

const NONE: u8 = 0xFF;

#[expect(
    clippy::indexing_slicing,
    reason = "a byte is always below 256, and this runs when it is compiled"
)]
const fn values() -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut byte = 0_u8;
    loop {
        values[byte as usize] = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => NONE,
        };
        if byte == u8::MAX {
            return values;
        }
        byte += 1;
    }
}

#[inline]
fn value(byte: u8) -> u8 {
    VALUES.get(usize::from(byte)).copied().unwrap_or(NONE)
}

/// Whether what begins at `at` decodes to text, as far as a look at its first characters tells.
fn is_text_at(text: &[u8], at: usize, end: usize) -> bool {
    let stop = (at + TRIAL).min(end);
    stop >= at + TRIAL.min(16) && is_text(&bytes(text, at, stop))
}

/// Whether bytes are readable: nearly all of them printable ASCII, or letters of UTF-8.
fn is_text(bytes: &[u8]) -> bool {
    let odd = bytes
        .iter()
        .filter(|byte| !matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'))
        .count();
    odd * 8 <= bytes.len()
        || core::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// End of the block that begins at `at`: whole quads, and the next block begins so early that nothing is cut.
fn block_end(text: &[u8], at: usize, end: usize) -> usize {
    let stop = at.saturating_add(16 * BLOCK).min(end);
    // Where the text turns into something else, the block ends.
    let mut here = at;
    while here + BLOCK < stop {
        let next = here + BLOCK;
        if !is_text_at(text, next, end) {
            return next;
        }
        here = next;
    }
    stop
}

fn bytes(text: &[u8], at: usize, end: usize) -> Vec<u8> {
    let signs = text.get(at..end).unwrap_or_default();
    let mut out = Vec::with_capacity(signs.len() / 4 * 3 + 2);
    for quad in signs.chunks(4) {
        let mut word = 0u32;
        for place in 0..4 {
            let six = quad.get(place).map_or(0, |byte| value(*byte) & 0x3F);
            word = word << 6 | u32::from(six);
        }
        let [_, one, two, three] = word.to_be_bytes();
        match quad.len() {
            4 => out.extend_from_slice(&[one, two, three]),
            3 => out.extend_from_slice(&[one, two]),
            2 => out.push(one),
            _ => {}
        }
    }
    out
}

fn decode(text: &[u8], at: usize, end: usize) -> Decoded {
    let bytes = bytes(text, at, end);
    if !is_text(&bytes) {
        return Decoded::default();
    }
    // Padding belongs to the encoded value.
    let padding = text
        .get(end..)
        .unwrap_or_default()
        .iter()
        .take(2)
        .take_while(|byte| **byte == b'=')
        .count();
    Decoded {
        bytes,
        parts: vec![Part {
            at: 0,
            from: at,
            form: Form::Quads { end: end + padding },
        }],
    }
}

//! Base64 of both alphabets, read leniently.

/// Decodes up to `limit` bytes; stops at the first sign outside both alphabets.
pub(super) fn decode(text: &[u8], limit: usize) -> Vec<u8> {
    let mut plain = Vec::with_capacity(limit.min(text.len() / 4 * 3 + 3));
    let mut held: u32 = 0;
    let mut bits: u32 = 0;
    for &byte in text {
        let Some(six) = value(byte) else { break };
        held = (held << 6 | u32::from(six)) & 0x00FF_FFFF;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            let [.., low] = (held >> bits).to_be_bytes();
            plain.push(low);
            if plain.len() == limit {
                break;
            }
        }
    }
    plain
}

/// Returns the six bits of one sign.
const fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_decode() {
        assert_eq!(decode(b"aGVsbG8_", 64), b"hello?");
        assert_eq!(decode(b"aGVsbG8/", 64), b"hello?");
        assert_eq!(decode(b"aGk=", 64), b"hi");
        assert_eq!(decode(b"aGVsbG8", 3), b"hel");
    }
}

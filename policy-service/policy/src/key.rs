//! Virtual keys: `sk-weir-`, 256 random bits in base62, and a checksum, so that a typo and a scan can be told
//! from a real key without asking anyone.
//!
//! ```text
//! sk-weir-  43 characters of base62   6 characters of base62
//! prefix    256 random bits           CRC-32 of everything before it
//! ```
//!
//! The checksum is a CRC-32 and not a piece of a cryptographic hash: it guards against typing errors and lets
//! a secret scanner discard look-alikes, and for both a CRC is the better code (every slip within 32 bits is
//! found) at a fraction of the work. It protects no secret; the 256 bits do.

use core::fmt;

use sha2::{Digest, Sha256};

/// What every virtual key starts with.
pub const PREFIX: &str = "sk-weir-";

/// Length of a virtual key in bytes.
pub const KEY_BYTES: usize = PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS;

/// 62^43 > 2^256.
const RANDOM_CHARS: usize = 43;

/// 62^6 > 2^32.
const CHECKSUM_CHARS: usize = 6;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// SHA-256 of a virtual key's whole text; all that is ever stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Wraps a digest.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Returns the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns which of the 256 key tables holds the key: the first byte of the digest.
    pub const fn shard(&self) -> u8 {
        let [first, ..] = self.0;
        first
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// A text that is no virtual key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFormatError {
    /// It does not start like one: a provider's key, a session token, anything else.
    #[error("not a virtual key: virtual keys start with `{PREFIX}`")]
    NotAVirtualKey,
    /// It starts like one, but was cut, extended or mistyped.
    #[error("malformed virtual key: its length or checksum is wrong; copy it again, whole")]
    Malformed,
}

/// The text of a virtual key. `Debug` is redacted and there is no `Display`.
///
/// ```
/// use policy::key::VirtualKeySecret;
///
/// let made = VirtualKeySecret::from_bytes([7; 32]);
/// let read = VirtualKeySecret::parse(made.expose())?;
/// assert_eq!(read.hash(), made.hash());
/// # Ok::<(), policy::key::KeyFormatError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct VirtualKeySecret(String);

impl VirtualKeySecret {
    /// Makes a key from 256 random bits.
    pub fn from_bytes(random: [u8; 32]) -> Self {
        let mut text = String::with_capacity(KEY_BYTES);
        text.push_str(PREFIX);
        push_base62(&mut text, random, RANDOM_CHARS);
        let checksum = crc32(text.as_bytes());
        push_base62(&mut text, u32_as_bytes(checksum), CHECKSUM_CHARS);
        Self(text)
    }

    /// Reads a key and proves its checksum.
    ///
    /// # Errors
    /// [`KeyFormatError`] when the text is not a virtual key, or is one that was damaged.
    pub fn parse(text: &str) -> Result<Self, KeyFormatError> {
        if !looks_like_virtual_key(text.as_bytes()) {
            return Err(KeyFormatError::NotAVirtualKey);
        }
        let (Some(checked), Some(checksum)) = (
            text.get(..PREFIX.len() + RANDOM_CHARS),
            text.get(PREFIX.len() + RANDOM_CHARS..),
        ) else {
            return Err(KeyFormatError::Malformed);
        };
        let mut want = String::with_capacity(CHECKSUM_CHARS);
        push_base62(
            &mut want,
            u32_as_bytes(crc32(checked.as_bytes())),
            CHECKSUM_CHARS,
        );
        let is_base62 = |byte: &u8| byte.is_ascii_alphanumeric();
        let is_intact = checked.starts_with(PREFIX)
            && checked.as_bytes().iter().skip(PREFIX.len()).all(is_base62)
            && checksum == want;
        if is_intact {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyFormatError::Malformed)
        }
    }

    /// Returns the hash under which the key is stored.
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// Returns the text; each call site is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for VirtualKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VirtualKeySecret(…)")
    }
}

/// Whether `credential` starts like a virtual key, in any case; damaged ones too.
pub fn looks_like_virtual_key(credential: &[u8]) -> bool {
    credential
        .get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

/// Whether a virtual key may stand anywhere in `value`: such a header must never leave the mesh.
pub fn holds_virtual_key(value: &[u8]) -> bool {
    value
        .windows(PREFIX.len())
        .any(|window| window.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

const fn u32_as_bytes(value: u32) -> [u8; 4] {
    value.to_be_bytes()
}

/// Appends the big-endian number `value` as exactly `digits` base62 digits, most significant first.
fn push_base62<const N: usize>(text: &mut String, mut value: [u8; N], digits: usize) {
    let mut reversed = Vec::with_capacity(digits);
    for _ in 0..digits {
        let mut remainder: u16 = 0;
        for byte in &mut value {
            let current = remainder * 256 + u16::from(*byte);
            // A remainder is below 62, so the quotient is below 256.
            *byte = u8::try_from(current / 62).unwrap_or(u8::MAX);
            remainder = current % 62;
        }
        reversed.push(
            ALPHABET
                .get(usize::from(remainder))
                .copied()
                .unwrap_or(b'0'),
        );
    }
    text.extend(reversed.iter().rev().map(|digit| char::from(*digit)));
}

/// CRC-32 as in IEEE 802.3 (reflected, polynomial 0x04C11DB7), four bits at a time.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, nibble: u32| {
        // Four bits of a remainder are below the table's length.
        let place = usize::try_from((crc ^ nibble) & 0xF).unwrap_or_default();
        (crc >> 4) ^ CRC32_OF_NIBBLES.get(place).copied().unwrap_or_default()
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        let byte = u32::from(*byte);
        step(step(crc, byte), byte >> 4)
    })
}

const CRC32_OF_NIBBLES: [u32; 16] = [
    0x0000_0000,
    0x1DB7_1064,
    0x3B6E_20C8,
    0x26D9_30AC,
    0x76DC_4190,
    0x6B6B_51F4,
    0x4DB2_6158,
    0x5005_713C,
    0xEDB8_8320,
    0xF00F_9344,
    0xD6D6_A3E8,
    0xCB61_B38C,
    0x9B64_C2B0,
    0x86D3_D2D4,
    0xA00A_E278,
    0xBDBD_F21C,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_the_well_known_crc() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn the_smallest_and_the_largest_key_have_the_full_length() {
        let smallest = VirtualKeySecret::from_bytes([0; 32]);
        let largest = VirtualKeySecret::from_bytes([u8::MAX; 32]);
        assert_eq!(smallest.expose().len(), KEY_BYTES);
        assert_eq!(largest.expose().len(), KEY_BYTES);
        assert!(smallest.expose().starts_with("sk-weir-0000000000"));
        assert_ne!(smallest.expose(), largest.expose());
    }

    #[test]
    fn the_secrets_pack_knows_virtual_keys_by_their_checksum() {
        let mut builder = detect::RuleSetBuilder::default();
        builder.secrets(0, &[]).unwrap();
        let rules = builder.build().unwrap();
        let finds = |text: &str| {
            let mut found = Vec::new();
            let mut scratch = detect::Scratch::new();
            rules.scan(
                &mut scratch,
                text.as_bytes(),
                detect::Groups::ALL,
                &mut found,
            );
            found
                .iter()
                .any(|finding| rules.rule(finding.rule).unwrap().id == "weir-virtual-key")
        };
        let key = VirtualKeySecret::from_bytes([83; 32]);
        let mut mistyped = key.expose().to_owned();
        let typo = if mistyped.get(20..21) == Some("a") {
            "b"
        } else {
            "a"
        };
        mistyped.replace_range(20..21, typo);
        assert!(finds(&format!("ANTHROPIC_API_KEY={}", key.expose())));
        assert!(!finds(&format!("ANTHROPIC_API_KEY={mistyped}")));
    }

    #[test]
    fn other_credentials_are_no_virtual_keys() {
        for text in ["", "sk-", "sk-ant-api03-abc", "sk-wei", "Bearer sk-weir-"] {
            assert_eq!(
                VirtualKeySecret::parse(text),
                Err(KeyFormatError::NotAVirtualKey),
                "{text}"
            );
        }
    }

    #[test]
    fn damaged_keys_are_told_from_foreign_ones() {
        let key = VirtualKeySecret::from_bytes([42; 32]);
        let text = key.expose();
        for damaged in [
            text.strip_suffix(|_: char| true).unwrap().to_owned(),
            format!("{text}0"),
            text.replacen("sk-weir-", "SK-WEIR-", 1),
            format!("sk-weir-{}", "é".repeat(24)),
            "sk-weir-".to_owned(),
        ] {
            assert_eq!(
                VirtualKeySecret::parse(&damaged),
                Err(KeyFormatError::Malformed),
                "{damaged}"
            );
        }
    }

    #[test]
    fn a_key_is_found_anywhere_in_a_value() {
        assert!(holds_virtual_key(b"Bearer SK-weir-abc"));
        assert!(!holds_virtual_key(b"Bearer sk-ant-abc"));
        assert!(!holds_virtual_key(b""));
    }

    proptest! {
        #[test]
        fn printing_and_parsing_a_key_changes_nothing(random: [u8; 32]) {
            let key = VirtualKeySecret::from_bytes(random);
            prop_assert_eq!(key.expose().len(), KEY_BYTES);
            prop_assert_eq!(VirtualKeySecret::parse(key.expose()), Ok(key));
        }

        #[test]
        fn one_wrong_character_is_always_found(random: [u8; 32], at in 8..KEY_BYTES, by in 1_usize..62) {
            let mut bytes = VirtualKeySecret::from_bytes(random).expose().as_bytes().to_vec();
            let digit = ALPHABET.iter().position(|digit| *digit == bytes[at]).unwrap();
            bytes[at] = ALPHABET[(digit + by) % 62];
            let text = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(VirtualKeySecret::parse(&text), Err(KeyFormatError::Malformed));
        }

        #[test]
        fn two_keys_differ_when_their_bits_do(one: [u8; 32], other: [u8; 32]) {
            let same = VirtualKeySecret::from_bytes(one) == VirtualKeySecret::from_bytes(other);
            prop_assert_eq!(same, one == other);
        }

        #[test]
        fn parsing_never_panics(text in "(sk-weir-)?.{0,60}") {
            prop_assert!(VirtualKeySecret::parse(&text).is_err());
        }
    }
}

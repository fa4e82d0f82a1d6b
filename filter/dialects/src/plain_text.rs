//! Whether bytes that come in pieces are a text in UTF-8, and no other encoding of one.

/// Checks a text as it comes: UTF-8, and no NUL, which every UTF-16 or UTF-32 of Latin letters is full of.
///
/// ```
/// use dialects::plain_text::PlainText;
///
/// let mut text = PlainText::default();
/// assert!(text.push("Größe".as_bytes()));
/// assert!(text.is_whole());
/// assert!(!text.push(b"a\0b\0"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct PlainText {
    /// The beginning of a character that the last piece cut.
    cut: Vec<u8>,
    has_failed: bool,
}

impl PlainText {
    /// Takes the next piece; returns whether everything so far is plain. A piece may end inside a character.
    pub fn push(&mut self, mut piece: &[u8]) -> bool {
        if self.has_failed {
            return false;
        }
        while !self.cut.is_empty()
            && let Some((byte, rest)) = piece.split_first()
        {
            self.cut.push(*byte);
            piece = rest;
            match core::str::from_utf8(&self.cut) {
                Ok(_) => self.cut.clear(),
                Err(error) if error.error_len().is_some() => return self.fail(),
                Err(_) => {}
            }
        }
        if memchr::memchr(0, piece).is_some() {
            return self.fail();
        }
        if let Err(error) = core::str::from_utf8(piece) {
            if error.error_len().is_some() {
                return self.fail();
            }
            let cut = piece.get(error.valid_up_to()..).unwrap_or_default();
            self.cut.extend_from_slice(cut);
        }
        true
    }

    /// Returns whether everything was plain and ended with a whole character.
    pub fn is_whole(&self) -> bool {
        !self.has_failed && self.cut.is_empty()
    }

    fn fail(&mut self) -> bool {
        self.has_failed = true;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(bytes: &[u8], want: bool) {
        let mut text = PlainText::default();
        text.push(bytes);
        assert_eq!(text.is_whole(), want, "{bytes:x?}");
    }

    #[test]
    fn other_encodings_are_no_plain_text() {
        let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(bytes).collect()
        };
        let utf32 = |text: &str, bytes: fn(u32) -> [u8; 4]| -> Vec<u8> {
            text.chars().map(u32::from).flat_map(bytes).collect()
        };
        check(b"", true);
        check("{\"a\":\"ü\u{1f600}\"}".as_bytes(), true);
        check(&utf16("{\"a\":1}", u16::to_le_bytes), false);
        check(&utf16("{\"a\":1}", u16::to_be_bytes), false);
        check(&utf16("\u{feff}漢字", u16::to_le_bytes), false);
        check(&utf16("\u{feff}漢字", u16::to_be_bytes), false);
        check(&utf32("a", u32::to_le_bytes), false);
        check(&utf32("\u{feff}漢字", u32::to_be_bytes), false);
        check(b"caf\xe9", false);
        check(b"\x1f\x8b\x08\x00", false);
        check("ü".as_bytes().get(..1).unwrap_or_default(), false);
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(bytes in prop_oneof![any::<Vec<u8>>(), "\\PC{0,9}".prop_map(String::into_bytes)], cuts: Vec<prop::sample::Index>) {
            let mut text = PlainText::default();
            for piece in crate::cut(&bytes, &cuts) {
                text.push(piece);
            }
            let want = core::str::from_utf8(&bytes).is_ok() && !bytes.contains(&0);
            prop_assert_eq!(text.is_whole(), want);
        }
    }
}

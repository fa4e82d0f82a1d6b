//! Lines and columns of bytes.

/// Finds lines and columns in one text; quick where bytes are asked for in rising order.
#[derive(Debug)]
pub(super) struct Places<'t> {
    text: &'t [u8],
    /// A byte whose line is known.
    at: usize,
    line: usize,
    /// Where that line starts.
    line_start: usize,
}

impl<'t> Places<'t> {
    pub(super) fn of(text: &'t [u8]) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
            line_start: 0,
        }
    }

    /// Returns line and column of `byte`, both from 1 on; columns count bytes.
    pub(super) fn of_byte(&mut self, byte: usize) -> (usize, usize) {
        if byte < self.at {
            *self = Self::of(self.text);
        }
        let between = self.text.get(self.at..byte).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count();
        if let Some(newline) = between.iter().rposition(|byte| *byte == b'\n') {
            self.line_start = self.at + newline + 1;
        }
        self.at = byte;
        (self.line, byte - self.line_start + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let mut places = Places::of(b"ab\n\ncd\r\ne");
        for (byte, want) in [
            (0, (1, 1)),
            (2, (1, 3)),
            (3, (2, 1)),
            (5, (3, 2)),
            (8, (4, 1)),
        ] {
            assert_eq!(places.of_byte(byte), want, "{byte}");
        }
        assert_eq!(places.of_byte(1), (1, 2));
    }

    proptest! {
        #[test]
        fn the_order_of_questions_does_not_matter(text in "[ab\n]{0,40}", bytes: Vec<prop::sample::Index>) {
            let text = text.as_bytes();
            let mut places = Places::of(text);
            for byte in bytes.iter().map(|byte| byte.index(text.len() + 1)) {
                prop_assert_eq!(places.of_byte(byte), Places::of(text).of_byte(byte));
            }
        }
    }
}

//! The grammar of numbers: RFC 8259, "Numbers".

/// Bytes of a number that are kept; a longer one has no written form.
const KEPT_BYTES: usize = 64;

/// A number being read.
#[derive(Debug, Default)]
pub(super) struct Number {
    part: Part,
    start: u64,
    /// Whether somebody asked for the written form.
    wanted: bool,
    /// The number as written so far, at most one byte more than is kept.
    written: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Minus,
    /// A leading zero: no digit may follow.
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl Number {
    /// Begins with the number's first byte; false if no number begins so.
    pub(super) fn begin(&mut self, byte: u8, at: u64, wanted: bool) -> bool {
        self.part = match byte {
            b'-' => Part::Minus,
            b'0' => Part::Zero,
            b'1'..=b'9' => Part::Integer,
            _ => return false,
        };
        self.start = at;
        self.wanted = wanted;
        self.written.clear();
        self.written.push(char::from(byte));
        true
    }

    /// Reads as many bytes as belong to the number and returns how many those are.
    pub(super) fn read(&mut self, bytes: &[u8]) -> usize {
        let mut part = self.part;
        let mut length = 0;
        for byte in bytes {
            part = match (part, byte) {
                (Part::Minus, b'0') => Part::Zero,
                (Part::Minus | Part::Integer, b'0'..=b'9') => Part::Integer,
                (Part::Zero | Part::Integer, b'.') => Part::Point,
                (Part::Point | Part::Fraction, b'0'..=b'9') => Part::Fraction,
                (Part::Zero | Part::Integer | Part::Fraction, b'e' | b'E') => Part::E,
                (Part::E, b'+' | b'-') => Part::Sign,
                (Part::E | Part::Sign | Part::Exponent, b'0'..=b'9') => Part::Exponent,
                _ => break,
            };
            length += 1;
        }
        self.part = part;
        if self.wanted {
            let room = (KEPT_BYTES + 1).saturating_sub(self.written.len());
            self.written.extend(
                bytes
                    .iter()
                    .take(length.min(room))
                    .map(|byte| char::from(*byte)),
            );
        }
        length
    }

    /// Whether the number is complete as it stands.
    pub(super) const fn may_end(&self) -> bool {
        matches!(
            self.part,
            Part::Zero | Part::Integer | Part::Fraction | Part::Exponent
        )
    }

    /// Returns the offset of the first byte.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// Returns the number as written, or nothing if it is longer than the bound.
    pub(super) fn written(&self) -> &str {
        if self.written.len() <= KEPT_BYTES {
            &self.written
        } else {
            ""
        }
    }
}

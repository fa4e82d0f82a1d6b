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
        let Some(part) = Part::begin(byte) else {
            return false;
        };
        self.part = part;
        self.start = at;
        self.wanted = wanted;
        self.written.clear();
        self.written.push(char::from(byte));
        true
    }

    /// Reads as many bytes as belong to the number and returns how many those are.
    pub(super) fn read(&mut self, bytes: &[u8]) -> usize {
        let (part, length) = self.part.read(bytes);
        self.part = part;
        if self.wanted {
            let room = (KEPT_BYTES + 1).saturating_sub(self.written.len());
            let digits = bytes.iter().take(length.min(room));
            self.written.extend(digits.map(|byte| char::from(*byte)));
        }
        length
    }

    /// Whether the number is complete as it stands.
    pub(super) const fn may_end(&self) -> bool {
        self.part.may_end()
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

/// Returns the length of the number at the front of `bytes`; `None` if there is none, or if it may go on
/// beyond their end.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let (first, rest) = bytes.split_first()?;
    let (part, length) = Part::begin(*first)?.read(rest);
    (part.may_end() && length < rest.len()).then_some(length + 1)
}

impl Part {
    const fn begin(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Self::Minus),
            b'0' => Some(Self::Zero),
            b'1'..=b'9' => Some(Self::Integer),
            _ => None,
        }
    }

    /// Returns where the number stands after the bytes that belong to it, and how many those are.
    fn read(mut self, bytes: &[u8]) -> (Self, usize) {
        let mut length = 0;
        for byte in bytes {
            self = match (self, byte) {
                // Runs of digits first: they are most of a number.
                (Self::Integer, b'0'..=b'9') => Self::Integer,
                (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
                (Self::Minus, b'1'..=b'9') => Self::Integer,
                (Self::Minus, b'0') => Self::Zero,
                (Self::Zero | Self::Integer, b'.') => Self::Point,
                (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::E,
                (Self::E, b'+' | b'-') => Self::Sign,
                (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Self::Exponent,
                _ => break,
            };
            length += 1;
        }
        (self, length)
    }

    const fn may_end(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Integer | Self::Fraction | Self::Exponent
        )
    }
}

//! A text that may go on.

use core::cell::Cell;
use core::ops::Range;

/// Bytes to look at, which remember whether anybody looked past their end.
///
/// A detector that decides without looking past the end decides the same whatever follows; where it did look, and
/// the text may go on, its answer is worth nothing yet. So one detector serves whole texts and streams, and what it
/// needs to see is never stated twice.
#[derive(Debug)]
pub(crate) struct Tape<'a> {
    bytes: &'a [u8],
    open: bool,
    ran_out: Cell<bool>,
}

impl<'a> Tape<'a> {
    /// A text that is complete.
    pub(crate) const fn whole(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            open: false,
            ran_out: Cell::new(false),
        }
    }

    /// The beginning of a text of which more may come.
    pub(crate) const fn open(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            open: true,
            ran_out: Cell::new(false),
        }
    }

    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.open
    }

    /// Returns the byte at `index`, or 0 past the end.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> u8 {
        self.bytes.get(index).copied().unwrap_or_else(|| {
            self.ran_out.set(true);
            0
        })
    }

    /// Returns the byte before `index`, or 0 at the beginning.
    #[inline]
    pub(crate) fn before(&self, index: usize) -> u8 {
        index
            .checked_sub(1)
            .and_then(|index| self.bytes.get(index))
            .copied()
            .unwrap_or(0)
    }

    /// Returns the bytes of `range` as far as there are any.
    pub(crate) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        if range.end > self.bytes.len() {
            self.ran_out.set(true);
        }
        let end = range.end.min(self.bytes.len());
        self.bytes.get(range.start..end).unwrap_or_default()
    }

    /// Returns whether what was decided since the last call may change when more comes.
    pub(crate) fn take_unsure(&self) -> bool {
        self.ran_out.replace(false) && self.open
    }
}

/// Whether `byte` is an ASCII letter, digit or underscore.
#[inline]
pub(crate) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

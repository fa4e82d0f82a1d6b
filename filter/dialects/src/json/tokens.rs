//! Literals as they stand, for visitors that hear of every token.

use super::{Scalar, Span, State, Visitor, Walker};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    Null,
    True,
    False,
}

impl Literal {
    pub(super) const fn word(self) -> &'static [u8] {
        match self {
            Self::Null => b"null",
            Self::True => b"true",
            Self::False => b"false",
        }
    }

    pub(super) const fn value(self) -> Scalar<'static> {
        match self {
            Self::Null => Scalar::Null,
            Self::True => Scalar::Bool(true),
            Self::False => Scalar::Bool(false),
        }
    }

    pub(super) const fn flag(self) -> Option<bool> {
        match self {
            Self::Null => None,
            Self::True => Some(true),
            Self::False => Some(false),
        }
    }
}

/// Capacity that is kept for the next literal; a larger buffer is given back.
const SPARE_BYTES: usize = 64 * 1024;

/// The string or number being read: what earlier chunks held of it, and where it goes on in this one.
#[derive(Debug, Default)]
pub(super) struct Raw {
    carried: Vec<u8>,
    /// Where the literal begins or goes on in the current chunk.
    from: usize,
    /// Whether a part of it was let go, because nobody wanted it.
    is_cut: bool,
}

impl Raw {
    pub(super) fn begin_chunk(&mut self) {
        self.from = 0;
    }

    /// Begins a literal at this index of the current chunk.
    pub(super) fn begin(&mut self, from: usize) {
        self.carried.clear();
        self.carried.shrink_to(SPARE_BYTES);
        self.from = from;
        self.is_cut = false;
    }

    /// Returns the literal that ends where `read`, the current chunk up to there, ends.
    pub(super) fn end<'a>(&'a mut self, read: &'a [u8]) -> &'a [u8] {
        let rest = read.get(self.from..).unwrap_or_default();
        if self.is_cut {
            return &[];
        }
        if self.carried.is_empty() {
            return rest;
        }
        self.carried.extend_from_slice(rest);
        &self.carried
    }
}

impl<T: Copy + PartialEq + 'static> Walker<T> {
    /// Keeps the part of a literal that the end of the chunk has cut.
    pub(super) fn carry_raw<V: Visitor<Tag = T>>(&mut self, chunk: &[u8], visitor: &V) {
        if !V::TOKENS {
            return;
        }
        let is_wanted = match self.state {
            State::InText => visitor.wants_raw(),
            State::InKey | State::InNumber => true,
            State::Start
            | State::Bom(_)
            | State::Value
            | State::ItemOrEnd
            | State::KeyOrEnd
            | State::Key
            | State::Colon
            | State::CommaOrEnd
            | State::InLiteral(..)
            | State::Done => return,
        };
        if is_wanted {
            let rest = chunk.get(self.raw.from..).unwrap_or_default();
            self.raw.carried.extend_from_slice(rest);
        } else {
            self.raw.is_cut = true;
        }
    }

    /// Returns where the byte at index `i` of the current chunk stands.
    pub(super) fn byte_span(&self, i: usize) -> Span {
        self.span_at(i, 1)
    }

    /// Returns where `length` bytes from index `i` of the current chunk on stand.
    pub(super) fn span_at(&self, i: usize, length: usize) -> Span {
        Span {
            start: self.offset(i),
            end: self.offset(i.saturating_add(length)),
        }
    }
}

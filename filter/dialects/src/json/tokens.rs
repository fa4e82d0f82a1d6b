//! Literals as they stand, for visitors that hear of every token.

use super::{LONG_BYTES, Scalar, Span, State, Token, Visitor, Walker};

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

/// The string, key or number being read: what earlier chunks held of it, and where it goes on in this one.
#[derive(Debug, Default)]
pub(super) struct Raw {
    carried: Vec<u8>,
    /// Where the literal begins or goes on in the current chunk.
    from: usize,
    /// Where the first byte stands that was not told.
    at: u64,
    /// Whether a part of it was let go, because nobody wanted it.
    is_cut: bool,
    /// Whether it is told in pieces.
    is_long: bool,
}

impl Raw {
    pub(super) fn begin_chunk(&mut self) {
        self.from = 0;
    }

    /// Begins a literal at this index of the current chunk, which is offset `at` of the document.
    pub(super) fn begin(&mut self, from: usize, at: u64) {
        self.carried.clear();
        self.carried.shrink_to(SPARE_BYTES);
        self.from = from;
        self.at = at;
        self.is_cut = false;
        self.is_long = false;
    }

    /// Returns the literal that ends where `read`, the current chunk up to there, ends.
    pub(super) fn end<'a>(&'a mut self, read: &'a [u8]) -> &'a [u8] {
        let rest = read.get(self.from..).unwrap_or_default();
        if self.is_cut || self.is_long {
            return &[];
        }
        if self.carried.is_empty() {
            return rest;
        }
        self.carried.extend_from_slice(rest);
        &self.carried
    }

    /// Tells what there is of a literal that is told in pieces, or is too long to be told whole.
    fn tell<V: Visitor>(&mut self, read: &[u8], is_key: bool, visitor: &mut V) {
        let rest = read.get(self.from..).unwrap_or_default();
        if !self.is_long && self.carried.len().saturating_add(rest.len()) <= LONG_BYTES {
            return;
        }
        self.is_long = true;
        for piece in [self.carried.as_slice(), rest] {
            if !piece.is_empty() {
                visitor.raw_piece(piece, is_key, self.at);
                let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                self.at = self.at.saturating_add(length);
            }
        }
        self.carried.clear();
    }
}

/// Tells a string or key that is all at hand.
pub(super) fn tell_text<V: Visitor>(raw: &[u8], is_key: bool, span: Span, visitor: &mut V) {
    if !V::TOKENS {
        return;
    }
    let is_long = V::IN_PIECES && raw.len() > LONG_BYTES && (is_key || visitor.wants_raw());
    if is_long {
        visitor.raw_piece(raw, is_key, span.start);
    }
    let raw = if is_long { &[] } else { raw };
    let token = if is_key {
        Token::Key(raw)
    } else {
        Token::Text(raw)
    };
    visitor.token(token, span);
}

impl<T: Copy + PartialEq + 'static> Walker<T> {
    /// Keeps the part of a literal that the end of the chunk has cut, or tells it if the literal is long.
    pub(super) fn carry_raw<V: Visitor<Tag = T>>(&mut self, chunk: &[u8], visitor: &mut V) {
        if !V::TOKENS {
            return;
        }
        let is_wanted = match self.state {
            State::InText => visitor.wants_raw(),
            State::InKey | State::InNumber => true,
            State::Start
            | State::Bom
            | State::Value
            | State::ItemOrEnd
            | State::KeyOrEnd
            | State::Key
            | State::Colon
            | State::CommaOrEnd
            | State::InLiteral
            | State::Done => return,
        };
        if !is_wanted {
            self.raw.is_cut = true;
            return;
        }
        if V::IN_PIECES && self.state != State::InNumber {
            self.raw.tell(chunk, self.state == State::InKey, visitor);
        }
        if !self.raw.is_long {
            let rest = chunk.get(self.raw.from..).unwrap_or_default();
            self.raw.carried.extend_from_slice(rest);
        }
    }

    /// Tells the string or key that ends where `read`, the current chunk up to there, ends.
    pub(super) fn end_raw_text<V: Visitor<Tag = T>>(&mut self, read: &[u8], visitor: &mut V) {
        if !V::TOKENS {
            return;
        }
        let span = Span {
            start: self.text.start().saturating_add(1),
            end: self.offset(read.len()),
        };
        let is_key = self.state == State::InKey;
        if V::IN_PIECES && !self.raw.is_cut && (is_key || visitor.wants_raw()) {
            self.raw.tell(read, is_key, visitor);
        }
        let raw = self.raw.end(read);
        let token = if is_key {
            Token::Key(raw)
        } else {
            Token::Text(raw)
        };
        visitor.token(token, span);
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

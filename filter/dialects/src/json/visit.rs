//! What a walker tells.

/// Where something stands in the whole document, in bytes: `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last byte.
    pub end: u64,
}

/// Object or array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
}

/// A container that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Object or array.
    pub container: Container,
    /// From bracket to bracket.
    pub span: Span,
    /// Whether nothing stood in it.
    pub is_empty: bool,
}

/// A value that holds no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as written; empty if it is longer than 64 bytes.
    Number(&'a str),
    /// A string, decoded.
    Text {
        /// The text, or its first part.
        value: &'a str,
        /// Whether `value` is all of it.
        whole: bool,
    },
}

/// One token of a document, whether a shape describes its place or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A container begins.
    Open(Container),
    /// A container has ended.
    Close(Container),
    /// A member's name: the literal between its quotes, as it stands; empty if it was told
    /// [in pieces](Visitor::raw_piece).
    Key(&'a [u8]),
    /// A string: the literal between its quotes, as it stands; empty if the visitor
    /// [did not want](Visitor::wants_raw) it and a chunk cut it, or if it was told [in pieces](Visitor::raw_piece).
    Text(&'a [u8]),
    /// A number as it stands.
    Number(&'a [u8]),
    /// `true`, `false` or `null`.
    Literal(Option<bool>),
}

/// Receives what stands at the places that shapes describe.
///
/// Calls come in document order and do not depend on how the document was cut into chunks, except that
/// the pieces of one [`Want::Pieces`](super::Want::Pieces) string may be cut differently.
pub trait Visitor {
    /// What a shape calls its place.
    type Tag: Copy + PartialEq + 'static;

    /// Whether [`token`](Self::token) wants to be called.
    const TOKENS: bool = false;

    /// Whether [`raw_piece`](Self::raw_piece) wants to be called; if not, strings are told whole, however long.
    const IN_PIECES: bool = false;

    /// The next token of the document, in order and whole, at any place. The span of a string or key lies between
    /// its quotes.
    fn token(&mut self, token: Token<'_>, span: Span) {
        let _: (Token<'_>, Span) = (token, span);
    }

    /// Whether a string that a chunk has cut has to be kept for [`token`](Self::token).
    fn wants_raw(&self) -> bool {
        true
    }

    /// Whether a container that stands at a place is to be looked into; if not, neither [`begin`](Self::begin) nor
    /// [`end`](Self::end) is called for it, and its content is passed over.
    fn enters(&mut self, tag: Self::Tag, container: Container, at: u64) -> bool {
        let _: (Self::Tag, Container, u64) = (tag, container, at);
        true
    }

    /// A member that the shape of its object, `parent`, does not name was taken for this place; its value comes next.
    fn unnamed(&mut self, parent: Self::Tag, tag: Self::Tag, key: &[u8]) {
        let _: (Self::Tag, Self::Tag, &[u8]) = (parent, tag, key);
    }

    /// The next piece of a string or name that is longer than [`LONG_BYTES`](super::LONG_BYTES), as it stands; `at` is
    /// its offset. Whether a string is told so depends on its length and never on the chunks, where its pieces end on
    /// the chunks alone: inside an escape or a UTF-8 sequence too. [`token`](Self::token) follows when it has ended.
    fn raw_piece(&mut self, piece: &[u8], is_key: bool, at: u64) {
        let _: (&[u8], bool, u64) = (piece, is_key, at);
    }

    /// A container begins; `at` is the offset of its bracket.
    fn begin(&mut self, tag: Self::Tag, container: Container, at: u64) {
        let _: (Self::Tag, Container, u64) = (tag, container, at);
    }

    /// A container has ended.
    fn end(&mut self, tag: Self::Tag, closed: Closed) {
        let _: (Self::Tag, Closed) = (tag, closed);
    }

    /// A scalar has ended; the span of a string holds its quotes.
    fn scalar(&mut self, tag: Self::Tag, value: Scalar<'_>, span: Span);

    /// A decoded piece of a string came; [`scalar`](Self::scalar) follows when the string ends.
    fn piece(&mut self, tag: Self::Tag, piece: &[u8]) {
        let _: (Self::Tag, &[u8]) = (tag, piece);
    }
}

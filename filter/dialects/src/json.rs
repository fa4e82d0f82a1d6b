//! An incremental walk over JSON text: no document tree, no copy of what nobody asked for.
//!
//! A caller describes the places it wants to hear of as a static tree of [`Shape`]s and receives what
//! stands there through a [`Visitor`]; everything else is checked and skipped at scanning speed.
//! The grammar is RFC 8259, "JSON Grammar", without exceptions, and stricter in three points: text must
//! be UTF-8 without a byte order mark, containers nest at most [`MAX_DEPTH`] deep, and where a shape says
//! [`Keys::Judged`] its own keys may stand once, unescaped and in their exact spelling.
//!
//! A `\u` escape that names half of a surrogate pair is grammatical; it reaches a visitor as U+FFFD.
//!
//! ```
//! use dialects::json::{Scalar, Shape, Span, Visitor, Walker, Want, key};
//!
//! static MODEL: Shape<()> = Shape::scalar((), Want::Capture);
//! static ROOT: Shape<()> = Shape::object((), &[key("model", &MODEL)]);
//!
//! #[derive(Default)]
//! struct Model(String, Option<Span>);
//! impl Visitor for Model {
//!     type Tag = ();
//!     fn scalar(&mut self, (): (), value: Scalar<'_>, span: Span) {
//!         if let Scalar::Text { value, .. } = value {
//!             (self.0, self.1) = (value.to_owned(), Some(span));
//!         }
//!     }
//! }
//!
//! let mut walker = Walker::new(&ROOT);
//! let mut model = Model::default();
//! walker.push(br#"{"messages":[{"model":1}],"mod"#, &mut model)?;
//! walker.push(br#"el":"gpt-5"}"#, &mut model)?;
//! walker.finish(&mut model)?;
//! assert_eq!((model.0.as_str(), model.1), ("gpt-5", Some(Span { start: 34, end: 41 })));
//! # Ok::<(), dialects::json::JsonError>(())
//! ```

mod number;
mod scan;
mod shape;
mod skip;
mod text;
mod tokens;
mod visit;

use self::number::Number;
use self::shape::Mark;
pub use self::shape::{Keys, Member, Others, Shape, Want, key};
use self::text::Text;
use self::tokens::{Literal, Raw};
pub use self::visit::{Closed, Container, Scalar, Span, Token, Visitor};

/// Containers that may stand inside each other.
pub const MAX_DEPTH: usize = 128;

/// Decoded bytes of a scalar or key that a walker keeps; the rest is checked and dropped.
pub const CAPTURE_BYTES: usize = 4096;

/// A string or key that is longer as it stands is told in pieces to whoever [wants that](Visitor::IN_PIECES); a longer
/// number is refused.
pub const LONG_BYTES: usize = 64 * 1024;

/// Why a text is not JSON that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// A byte that cannot stand there.
    #[error("invalid JSON at byte {at}")]
    Invalid {
        /// Offset of the byte.
        at: u64,
    },
    /// The text begins with a byte order mark.
    #[error("the JSON text begins with a byte order mark")]
    Bom,
    /// The text is not UTF-8.
    #[error("invalid UTF-8 at byte {at}")]
    NotUtf8 {
        /// Offset of the sequence that is malformed.
        at: u64,
    },
    /// More than [`MAX_DEPTH`] containers stand inside each other.
    #[error("the JSON text nests deeper than {MAX_DEPTH} levels at byte {at}")]
    TooDeep {
        /// Offset of the bracket that is one too many.
        at: u64,
    },
    /// A judged key stands twice in one object.
    #[error("field `{field}` is given twice")]
    Duplicate {
        /// The key.
        field: &'static str,
        /// Offset of the repeated key.
        at: u64,
    },
    /// A judged key is written with escapes or in another case.
    #[error("field `{field}` is written with escapes or in another case")]
    Disguised {
        /// The key that it stands for, or could be taken for.
        field: &'static str,
        /// Offset of the key.
        at: u64,
    },
    /// A number is longer than [`LONG_BYTES`].
    #[error("the number at byte {at} is longer than {LONG_BYTES} bytes")]
    LongNumber {
        /// Offset of its first byte.
        at: u64,
    },
    /// The text ends before its value does.
    #[error("the JSON text ends early, at byte {at}")]
    Truncated {
        /// Length of the text.
        at: u64,
    },
}

/// Reads a JSON text chunk by chunk; a chunk may end anywhere, inside a UTF-8 sequence too.
///
/// Holds at most [`CAPTURE_BYTES`] of text and one level record per container on the path of shapes.
/// After an error it is spent: every further call returns that error again.
#[derive(Debug)]
pub struct Walker<T: 'static> {
    root: &'static Shape<T>,
    /// Offset of the current chunk.
    at: u64,
    state: State,
    /// Containers open; at most [`MAX_DEPTH`].
    depth: usize,
    /// Bit n is set if the container n levels above the innermost one is an object.
    objects: u128,
    /// Whether the innermost container is an object: what `objects` says of it, at hand.
    in_object: bool,
    /// The open containers that have a shape, outermost first; they are the first `path.len()` of `depth`.
    path: Vec<Level<T>>,
    /// The shape of the value that comes next or is being read.
    next: Option<&'static Shape<T>>,
    text: Text,
    number: Number,
    /// The literal being read.
    literal: Literal,
    /// How many bytes of a literal or of a byte order mark were read.
    matched: usize,
    /// The literal being read, as it stands, for visitors that hear of tokens.
    raw: Raw,
    failed: Option<JsonError>,
}

#[derive(Debug)]
struct Level<T: 'static> {
    shape: &'static Shape<T>,
    start: u64,
    /// Bit n is set if member n was met.
    seen: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte.
    Start,
    /// Inside what may be a byte order mark.
    Bom,
    Value,
    ItemOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    /// Inside a key.
    InKey,
    /// Inside a string value.
    InText,
    InNumber,
    InLiteral,
    /// After the value.
    Done,
}

const BOM: &[u8] = b"\xEF\xBB\xBF";

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl<T: Copy + PartialEq + 'static> Walker<T> {
    /// Starts before the first byte of a text of this shape.
    pub fn new(root: &'static Shape<T>) -> Self {
        Self {
            root,
            at: 0,
            state: State::Start,
            depth: 0,
            objects: 0,
            in_object: false,
            path: Vec::with_capacity(8),
            next: Some(root),
            text: Text::default(),
            number: Number::default(),
            literal: Literal::Null,
            matched: 0,
            raw: Raw::default(),
            failed: None,
        }
    }

    /// Starts again before the first byte of another text of the same shape, keeping the buffers.
    pub fn reset(&mut self) {
        self.at = 0;
        self.state = State::Start;
        self.depth = 0;
        self.objects = 0;
        self.in_object = false;
        self.path.clear();
        self.next = Some(self.root);
        self.failed = None;
    }

    /// Returns how many bytes were read.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Whether the value has ended; only white space may follow.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads a chunk.
    ///
    /// # Errors
    /// The first [`JsonError`] of the text, as soon as the byte that proves it was read.
    pub fn push<V: Visitor<Tag = T>>(
        &mut self,
        chunk: &[u8],
        visitor: &mut V,
    ) -> Result<(), JsonError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut read = 0;
        self.raw.begin_chunk();
        while read < chunk.len() {
            if self.path.len() < self.depth {
                read = self.skip(chunk, read, visitor);
            }
            read = match self.step(chunk, read, visitor) {
                Ok(next) => next,
                Err(error) => {
                    self.failed = Some(error);
                    return Err(error);
                }
            };
        }
        self.carry_raw(chunk, visitor);
        self.at = self.offset(chunk.len());
        Ok(())
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`JsonError::Truncated`] if the text is not one whole value, or the error met before.
    pub fn finish<V: Visitor<Tag = T>>(&mut self, visitor: &mut V) -> Result<(), JsonError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.state == State::InNumber && self.depth == 0 && self.number.may_end() {
            self.end_number(self.at, &[], visitor);
        }
        if self.state == State::Done {
            return Ok(());
        }
        let error = JsonError::Truncated { at: self.at };
        self.failed = Some(error);
        Err(error)
    }

    /// Returns the offset in the document of byte `index` of the current chunk.
    fn offset(&self, index: usize) -> u64 {
        self.at
            .saturating_add(u64::try_from(index).unwrap_or(u64::MAX))
    }

    /// Reads on at `chunk[i]` and returns where to read next: further on, or there again in another state.
    ///
    /// Members and items that follow each other without white space are read in one go.
    fn step<V: Visitor<Tag = T>>(
        &mut self,
        chunk: &[u8],
        mut i: usize,
        visitor: &mut V,
    ) -> Result<usize, JsonError> {
        while let Some(&(mut byte)) = chunk.get(i) {
            match (self.state, byte) {
                (State::InText | State::InKey, _) => return self.read_text(chunk, i, visitor),
                (State::InNumber, _) => return self.read_number(chunk, i, visitor),
                (State::InLiteral, _) => return self.read_literal(byte, i, visitor),
                (State::Bom, _) => return self.read_bom(byte, i),
                (_, b' ' | b'\t' | b'\n' | b'\r') => return Ok(i + 1),
                (State::KeyOrEnd | State::Key, b'"') => {
                    let read = self.begin_key(chunk, i, visitor)?;
                    i = self.pass_colon(chunk, read);
                    byte = match chunk.get(i) {
                        Some(&next) if self.state == State::Value && !is_space(next) => next,
                        Some(_) | None => return Ok(i),
                    };
                }
                (State::Start | State::Value | State::ItemOrEnd, _) => {}
                (State::KeyOrEnd, b'}') => return Ok(self.close(i, visitor)),
                (State::CommaOrEnd, b']') if !self.in_object => return Ok(self.close(i, visitor)),
                (State::CommaOrEnd, b'}') if self.in_object => {
                    let read = self.close(i, visitor);
                    return Ok(self.pass_comma(chunk, read));
                }
                (State::CommaOrEnd, b',') => return Ok(self.pass_comma(chunk, i)),
                (State::Colon, b':') => return Ok(self.pass_colon(chunk, i)),
                _ => return Err(JsonError::Invalid { at: self.offset(i) }),
            }
            let read = self.begin_value(byte, chunk, i, visitor)?;
            i = self.pass_comma(chunk, read);
            if !self.on_path() || !matches!(self.state, State::Key | State::Value) {
                return Ok(i);
            }
        }
        Ok(i)
    }

    /// Passes over the colon after a key, if it is at hand.
    fn pass_colon(&mut self, chunk: &[u8], i: usize) -> usize {
        if self.state == State::Colon && chunk.get(i) == Some(&b':') {
            self.state = State::Value;
            return i + 1;
        }
        i
    }

    /// Passes over the comma after a value, if it is at hand.
    fn pass_comma(&mut self, chunk: &[u8], i: usize) -> usize {
        if self.state == State::CommaOrEnd && chunk.get(i) == Some(&b',') {
            self.state = if self.in_object {
                State::Key
            } else {
                State::Value
            };
            return i + 1;
        }
        i
    }

    fn begin_value<V: Visitor<Tag = T>>(
        &mut self,
        byte: u8,
        chunk: &[u8],
        i: usize,
        visitor: &mut V,
    ) -> Result<usize, JsonError> {
        match byte {
            b'"' => self.begin_text(chunk, i, visitor),
            b'{' => self.open(Container::Object, i, visitor),
            b'[' => self.open(Container::Array, i, visitor),
            b']' if self.state == State::ItemOrEnd => Ok(self.close(i, visitor)),
            0xEF if self.state == State::Start && i == 0 && self.at == 0 => {
                self.state = State::Bom;
                self.matched = 1;
                Ok(i + 1)
            }
            _ => self.begin_bare(byte, chunk, i, visitor),
        }
    }

    /// Tells a byte order mark from other bytes that cannot begin a text.
    fn read_bom(&mut self, byte: u8, i: usize) -> Result<usize, JsonError> {
        if BOM.get(self.matched) != Some(&byte) {
            return Err(JsonError::Invalid { at: 0 });
        }
        self.matched += 1;
        if self.matched == BOM.len() {
            return Err(JsonError::Bom);
        }
        Ok(i + 1)
    }

    /// Begins a number or literal; reads all of a literal that is at hand.
    fn begin_bare<V: Visitor<Tag = T>>(
        &mut self,
        byte: u8,
        chunk: &[u8],
        i: usize,
        visitor: &mut V,
    ) -> Result<usize, JsonError> {
        let at = self.offset(i);
        if self.number.begin(byte, at, self.next.is_some()) {
            self.state = State::InNumber;
            self.raw.begin(i, at);
            return Ok(i + 1);
        }
        let literal = match byte {
            b'n' => Literal::Null,
            b't' => Literal::True,
            b'f' => Literal::False,
            _ => return Err(JsonError::Invalid { at }),
        };
        let rest = chunk.get(i..).unwrap_or_default();
        if rest.starts_with(literal.word()) {
            let end = i + literal.word().len();
            self.literal_ended(literal, end, visitor);
            return Ok(end);
        }
        self.state = State::InLiteral;
        self.literal = literal;
        self.matched = 1;
        Ok(i + 1)
    }

    fn read_literal<V: Visitor<Tag = T>>(
        &mut self,
        byte: u8,
        i: usize,
        visitor: &mut V,
    ) -> Result<usize, JsonError> {
        let word = self.literal.word();
        if word.get(self.matched) != Some(&byte) {
            return Err(JsonError::Invalid { at: self.offset(i) });
        }
        self.matched += 1;
        if self.matched == word.len() {
            self.literal_ended(self.literal, i + 1, visitor);
        }
        Ok(i + 1)
    }

    /// Tells a literal that ends before byte `end` of the current chunk.
    fn literal_ended<V: Visitor<Tag = T>>(
        &mut self,
        literal: Literal,
        end: usize,
        visitor: &mut V,
    ) {
        let end = self.offset(end);
        let length = u64::try_from(literal.word().len()).unwrap_or_default();
        let span = Span {
            start: end.saturating_sub(length),
            end,
        };
        if V::TOKENS {
            visitor.token(Token::Literal(literal.flag()), span);
        }
        if let Some(shape) = self.next {
            visitor.scalar(shape.tag, literal.value(), span);
        }
        self.value_ended();
    }

    /// Reads digits up to the end of the number, which is the byte after it.
    fn read_number<V: Visitor<Tag = T>>(
        &mut self,
        chunk: &[u8],
        i: usize,
        visitor: &mut V,
    ) -> Result<usize, JsonError> {
        let read = i + self.number.read(chunk.get(i..).unwrap_or_default());
        let at = self.number.start();
        if self.offset(read).saturating_sub(at) > LONG_BYTES as u64 {
            return Err(JsonError::LongNumber { at });
        }
        if read < chunk.len() {
            let end = self.offset(read);
            if !self.number.may_end() {
                return Err(JsonError::Invalid { at: end });
            }
            self.end_number(end, chunk.get(..read).unwrap_or_default(), visitor);
        }
        Ok(read)
    }

    /// Ends a number; `read` is the current chunk up to its end.
    fn end_number<V: Visitor<Tag = T>>(&mut self, end: u64, read: &[u8], visitor: &mut V) {
        let span = Span {
            start: self.number.start(),
            end,
        };
        if V::TOKENS {
            visitor.token(Token::Number(self.raw.end(read)), span);
        }
        if let Some(shape) = self.next {
            visitor.scalar(shape.tag, Scalar::Number(self.number.written()), span);
        }
        self.value_ended();
    }

    /// Remembers that a container of this kind was opened inside the others; returns what may come next.
    fn enter(&mut self, container: Container) -> State {
        self.depth += 1;
        self.in_object = container == Container::Object;
        self.objects = self.objects << 1 | u128::from(self.in_object);
        if self.in_object {
            State::KeyOrEnd
        } else {
            State::ItemOrEnd
        }
    }

    /// Remembers that the innermost container was closed.
    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        self.in_object = self.objects & 1 == 1;
    }

    /// Whether the innermost container has a shape.
    fn on_path(&self) -> bool {
        self.path.len() == self.depth
    }

    fn open<V: Visitor<Tag = T>>(
        &mut self,
        container: Container,
        i: usize,
        visitor: &mut V,
    ) -> Result<usize, JsonError> {
        let at = self.offset(i);
        if self.depth == MAX_DEPTH {
            return Err(JsonError::TooDeep { at });
        }
        if V::TOKENS {
            visitor.token(Token::Open(container), self.byte_span(i));
        }
        let mut items = None;
        if let Some(shape) = self.next
            && visitor.enters(shape.tag, container, at)
        {
            visitor.begin(shape.tag, container, at);
            self.path.push(Level {
                shape,
                start: at,
                seen: 0,
            });
            items = shape.items;
        }
        self.state = self.enter(container);
        self.next = if self.in_object { None } else { items };
        Ok(i + 1)
    }

    /// Closes the innermost container; the caller has checked the bracket.
    fn close<V: Visitor<Tag = T>>(&mut self, i: usize, visitor: &mut V) -> usize {
        let container = if self.in_object {
            Container::Object
        } else {
            Container::Array
        };
        if V::TOKENS {
            visitor.token(Token::Close(container), self.byte_span(i));
        }
        let is_empty = self.state != State::CommaOrEnd;
        if self.on_path()
            && let Some(level) = self.path.pop()
        {
            let span = Span {
                start: level.start,
                end: self.offset(i + 1),
            };
            visitor.end(
                level.shape.tag,
                Closed {
                    container,
                    span,
                    is_empty,
                },
            );
        }
        self.leave();
        self.value_ended();
        i + 1
    }

    /// Moves on after a value: to a comma, or to the end of the text.
    fn value_ended(&mut self) {
        if self.depth == 0 {
            self.state = State::Done;
            return;
        }
        self.state = State::CommaOrEnd;
        let level = if self.on_path() && !self.in_object {
            self.path.last()
        } else {
            None
        };
        self.next = level.and_then(|level| level.shape.items);
    }

    /// Chooses the shape of the member whose key was read, and whose mark is given.
    fn key_ended<V: Visitor<Tag = T>>(
        &mut self,
        key: &[u8],
        mark: Mark,
        escaped: bool,
        at: u64,
        visitor: &mut V,
    ) -> Result<(), JsonError> {
        self.next = None;
        self.state = State::Colon;
        if self.path.len() != self.depth {
            return Ok(());
        }
        let Some(level) = self.path.last_mut() else {
            return Ok(());
        };
        let Level { shape, seen, .. } = level;
        let judged = shape.keys == Keys::Judged;
        // Most keys have no name's length; only what is not plain ASCII can be taken for a name of another.
        let may_be_named = shape.lengths & shape::length_bit(key.len()) != 0;
        if may_be_named {
            for (index, member) in shape.members.iter().enumerate() {
                let Some(field) = member.spelling(key, mark) else {
                    continue;
                };
                if judged {
                    let bit = 1u64 << (index & 63);
                    if escaped {
                        return Err(JsonError::Disguised { field, at });
                    }
                    if *seen & bit != 0 {
                        return Err(JsonError::Duplicate { field, at });
                    }
                    *seen |= bit;
                }
                self.next = Some(member.shape);
                return Ok(());
            }
        }
        if judged && (may_be_named || !scan::is_plain_key(key)) {
            let names = shape
                .members
                .iter()
                .flat_map(|member| [member.name, member.alias]);
            if let Some(field) = scan::could_be_taken_for(key, names) {
                return Err(JsonError::Disguised { field, at });
            }
        }
        let parent = shape.tag;
        if let Some(others) = shape.others
            && let Some(shape) = others(key)
        {
            visitor.unnamed(parent, shape.tag, key);
            self.next = Some(shape);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Strings: RFC 8259, "Strings", and the decoding of those that are wanted.

use std::mem;

use super::tokens::tell_text;
use super::{CAPTURE_BYTES, JsonError, Mark, Scalar, Span, State, Visitor, Walker, Want, scan};

/// A key or string value being read.
#[derive(Debug, Default)]
pub(super) struct Text {
    part: Part,
    sink: Sink,
    /// Offset of the opening quote.
    start: u64,
    /// Decoded text; at most [`CAPTURE_BYTES`].
    kept: Vec<u8>,
    /// Whether more than `kept` was decoded.
    overflowed: bool,
    /// Whether an escape was met.
    escaped: bool,
    /// The first half of a surrogate pair, waiting for the second.
    half: Option<u32>,
    /// A UTF-8 sequence that a chunk has cut.
    sequence: Sequence,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Plain,
    Backslash,
    /// Inside `\uXXXX`, after that many digits of that value.
    Hex(u8, u32),
    Sequence,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sink {
    #[default]
    Skip,
    Keep,
    Pieces,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sequence {
    at: u64,
    bytes: [u8; 4],
    length: usize,
    wanted: usize,
}

impl Sequence {
    /// Begins with a lead byte; `None` if none.
    fn begin(lead: u8, at: u64) -> Option<Self> {
        let wanted = match lead {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => return None,
        };
        Some(Self {
            at,
            bytes: [lead, 0, 0, 0],
            length: 1,
            wanted,
        })
    }

    /// Adds a continuation byte; `None` if the sequence cannot go on so.
    fn add(&mut self, byte: u8) -> Option<()> {
        let [lead, ..] = self.bytes;
        let range = match (self.length, lead) {
            (1, 0xE0) => 0xA0..=0xBF,
            (1, 0xED) => 0x80..=0x9F,
            (1, 0xF0) => 0x90..=0xBF,
            (1, 0xF4) => 0x80..=0x8F,
            _ => 0x80..=0xBF,
        };
        if !range.contains(&byte) {
            return None;
        }
        *self.bytes.get_mut(self.length)? = byte;
        self.length += 1;
        Some(())
    }

    fn whole(&self) -> Option<&[u8]> {
        if self.length == self.wanted {
            self.bytes.get(..self.length)
        } else {
            None
        }
    }
}

impl Text {
    fn begin(&mut self, start: u64, sink: Sink) {
        self.part = Part::Plain;
        self.sink = sink;
        self.start = start;
        self.kept.clear();
        self.overflowed = false;
        self.escaped = false;
        self.half = None;
    }

    /// Returns the offset of the opening quote.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// Keeps what fits, whole characters only.
    fn keep(&mut self, bytes: &[u8]) {
        if self.overflowed {
            return;
        }
        let fitting = fitting(bytes, CAPTURE_BYTES - self.kept.len());
        self.overflowed = fitting.len() < bytes.len();
        self.kept.extend_from_slice(fitting);
    }
}

/// Returns the longest prefix of UTF-8 text that has at most `room` bytes and cuts no character.
fn fitting(bytes: &[u8], room: usize) -> &[u8] {
    let mut length = room.min(bytes.len());
    while length > 0 && matches!(bytes.get(length), Some(0x80..=0xBF)) {
        length -= 1;
    }
    bytes.get(..length).unwrap_or_default()
}

impl<T: Copy + PartialEq + 'static> Walker<T> {
    /// Reads the opening quote of a key at `chunk[i]`, and all of the key if it is plain and at hand.
    pub(super) fn begin_key<V: Visitor<Tag = T>>(
        &mut self,
        chunk: &[u8],
        i: usize,
        visitor: &mut V,
    ) -> Result<usize, JsonError> {
        let start = self.offset(i);
        let rest = chunk.get(i + 1..).unwrap_or_default();
        let (plain, word) = scan::plain_name(rest);
        let content = rest.get(..plain).unwrap_or_default();
        if rest.get(plain) == Some(&b'"') {
            tell_text(content, true, self.span_at(i + 1, plain), visitor);
            let mark = word.map_or_else(|| Mark::of(content), |word| Mark::begun(word, plain));
            self.key_ended(content, mark, false, start, visitor)?;
            return Ok(i + plain + 2);
        }
        let sink = if self.on_path() {
            Sink::Keep
        } else {
            Sink::Skip
        };
        self.begin_cut(State::InKey, sink, i, start);
        self.deliver(content, visitor);
        Ok(i + 1 + plain)
    }

    /// Reads the opening quote of a value at `chunk[i]`, and all of the string if it is plain and at hand.
    pub(super) fn begin_text<V: Visitor<Tag = T>>(
        &mut self,
        chunk: &[u8],
        i: usize,
        visitor: &mut V,
    ) -> Result<usize, JsonError> {
        let start = self.offset(i);
        let sink = match self.next.map(|shape| shape.want) {
            None | Some(Want::Presence) => Sink::Skip,
            Some(Want::Capture) => Sink::Keep,
            Some(Want::Pieces) => Sink::Pieces,
        };
        let rest = chunk.get(i + 1..).unwrap_or_default();
        if sink == Sink::Skip {
            return Ok(self.begin_unwanted(rest, i, start, visitor));
        }
        let plain = scan::plain_length(rest);
        let content = rest.get(..plain).unwrap_or_default();
        if rest.get(plain) == Some(&b'"') {
            let end = i + plain + 2;
            tell_text(content, false, self.span_at(i + 1, plain), visitor);
            let span = Span {
                start,
                end: self.offset(end),
            };
            match sink {
                Sink::Skip => self.text_ended(&[], false, span, visitor),
                Sink::Keep => {
                    let fitting = fitting(content, CAPTURE_BYTES);
                    self.text_ended(fitting, fitting.len() == content.len(), span, visitor);
                }
                Sink::Pieces => {
                    if let Some(shape) = self.next
                        && !content.is_empty()
                    {
                        visitor.piece(shape.tag, content);
                    }
                    self.text_ended(&[], false, span, visitor);
                }
            }
            return Ok(end);
        }
        self.begin_cut(State::InText, sink, i, start);
        self.deliver(content, visitor);
        Ok(i + 1 + plain)
    }

    /// Begins a key or string that is not plain, or goes on in another chunk.
    fn begin_cut(&mut self, state: State, sink: Sink, i: usize, start: u64) {
        self.text.begin(start, sink);
        self.raw.begin(i + 1, self.offset(i + 1));
        self.state = state;
    }

    /// Passes over a string value that nobody wants, whose content begins with `rest`; returns where to read next.
    fn begin_unwanted<V: Visitor<Tag = T>>(
        &mut self,
        rest: &[u8],
        i: usize,
        start: u64,
        visitor: &mut V,
    ) -> usize {
        let length = scan::skip_length(rest);
        let end = i + length + 2;
        if rest.get(length) == Some(&b'"') {
            let raw = rest.get(..length).unwrap_or_default();
            tell_text(raw, false, self.span_at(i + 1, length), visitor);
            let span = Span {
                start,
                end: self.offset(end),
            };
            self.text_ended(&[], false, span, visitor);
            return end;
        }
        self.begin_cut(State::InText, Sink::Skip, i, start);
        i + 1 + length
    }

    /// Reads string content from `chunk[i]` to the closing quote or the end of the chunk.
    pub(super) fn read_text<V: Visitor<Tag = T>>(
        &mut self,
        chunk: &[u8],
        mut i: usize,
        visitor: &mut V,
    ) -> Result<usize, JsonError> {
        while let Some(&byte) = chunk.get(i) {
            match self.text.part {
                Part::Plain => {
                    let passed = self.pass(chunk.get(i..).unwrap_or_default(), visitor);
                    i += passed;
                    if passed > 0 {
                        continue;
                    }
                    if byte == b'"' {
                        self.end_raw_text(chunk.get(..i).unwrap_or_default(), visitor);
                        self.end_text(i + 1, visitor)?;
                        return Ok(i + 1);
                    }
                    self.leave_plain(byte, i)?;
                }
                Part::Backslash => self.read_escape(byte, i, visitor)?,
                Part::Hex(digits, value) => self.read_hex(digits, value, byte, i, visitor)?,
                Part::Sequence => self.read_sequence(byte, visitor)?,
            }
            i += 1;
        }
        Ok(i)
    }

    /// Passes over content that needs no state and returns its length.
    fn pass<V: Visitor<Tag = T>>(&mut self, rest: &[u8], visitor: &mut V) -> usize {
        if self.text.sink == Sink::Skip {
            return scan::skip_length(rest);
        }
        let mut length = scan::plain_length(rest);
        if length == 0 {
            length = scan::sequences_length(rest);
        }
        if length > 0 {
            self.deliver(rest.get(..length).unwrap_or_default(), visitor);
        }
        length
    }

    fn leave_plain(&mut self, byte: u8, i: usize) -> Result<(), JsonError> {
        let at = self.offset(i);
        self.text.part = match byte {
            b'\\' => Part::Backslash,
            0x80.. => {
                self.text.sequence = Sequence::begin(byte, at).ok_or(JsonError::NotUtf8 { at })?;
                Part::Sequence
            }
            _ => return Err(JsonError::Invalid { at }),
        };
        Ok(())
    }

    fn read_sequence<V: Visitor<Tag = T>>(
        &mut self,
        byte: u8,
        visitor: &mut V,
    ) -> Result<(), JsonError> {
        let mut sequence = self.text.sequence;
        sequence
            .add(byte)
            .ok_or(JsonError::NotUtf8 { at: sequence.at })?;
        if let Some(bytes) = sequence.whole() {
            self.text.part = Part::Plain;
            self.deliver(bytes, visitor);
        }
        self.text.sequence = sequence;
        Ok(())
    }

    fn read_escape<V: Visitor<Tag = T>>(
        &mut self,
        byte: u8,
        i: usize,
        visitor: &mut V,
    ) -> Result<(), JsonError> {
        let decoded = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.text.part = Part::Hex(0, 0);
                return Ok(());
            }
            _ => return Err(JsonError::Invalid { at: self.offset(i) }),
        };
        self.text.part = Part::Plain;
        self.text.escaped = true;
        self.deliver(&[decoded], visitor);
        Ok(())
    }

    fn read_hex<V: Visitor<Tag = T>>(
        &mut self,
        digits: u8,
        value: u32,
        byte: u8,
        i: usize,
        visitor: &mut V,
    ) -> Result<(), JsonError> {
        let digit = char::from(byte)
            .to_digit(16)
            .ok_or(JsonError::Invalid { at: self.offset(i) })?;
        let value = value << 4 | digit;
        if digits < 3 {
            self.text.part = Part::Hex(digits + 1, value);
            return Ok(());
        }
        self.text.part = Part::Plain;
        self.text.escaped = true;
        let unit = match (self.text.half.take(), value) {
            (Some(high), 0xDC00..=0xDFFF) => 0x1_0000 + ((high & 0x3FF) << 10) + (value & 0x3FF),
            (high, 0xD800..=0xDBFF) => {
                self.text.half = high;
                self.deliver(&[], visitor);
                self.text.half = Some(value);
                return Ok(());
            }
            (high, _) => {
                self.text.half = high;
                value
            }
        };
        let char = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.deliver(char.encode_utf8(&mut [0; 4]).as_bytes(), visitor);
        Ok(())
    }

    /// Hands on decoded text, after what stands for half a surrogate pair that stayed alone.
    fn deliver<V: Visitor<Tag = T>>(&mut self, bytes: &[u8], visitor: &mut V) {
        if self.text.half.take().is_some() {
            let lone = char::REPLACEMENT_CHARACTER;
            self.deliver_piece(lone.encode_utf8(&mut [0; 4]).as_bytes(), visitor);
        }
        self.deliver_piece(bytes, visitor);
    }

    fn deliver_piece<V: Visitor<Tag = T>>(&mut self, bytes: &[u8], visitor: &mut V) {
        match self.text.sink {
            Sink::Skip => {}
            Sink::Keep => self.text.keep(bytes),
            Sink::Pieces => {
                if let Some(shape) = self.next
                    && !bytes.is_empty()
                {
                    visitor.piece(shape.tag, bytes);
                }
            }
        }
    }

    fn end_text<V: Visitor<Tag = T>>(
        &mut self,
        i: usize,
        visitor: &mut V,
    ) -> Result<(), JsonError> {
        self.deliver(&[], visitor);
        let kept = mem::take(&mut self.text.kept);
        let start = self.text.start;
        let ended = if self.state == State::InKey {
            let mark = Mark::of(&kept);
            self.key_ended(&kept, mark, self.text.escaped, start, visitor)
        } else {
            let whole = self.text.sink == Sink::Keep && !self.text.overflowed;
            self.text_ended(
                &kept,
                whole,
                Span {
                    start,
                    end: self.offset(i),
                },
                visitor,
            );
            Ok(())
        };
        self.text.kept = kept;
        ended
    }

    fn text_ended<V: Visitor<Tag = T>>(
        &mut self,
        decoded: &[u8],
        whole: bool,
        span: Span,
        visitor: &mut V,
    ) {
        if let Some(shape) = self.next {
            let value = str::from_utf8(decoded).unwrap_or_default();
            visitor.scalar(shape.tag, Scalar::Text { value, whole }, span);
        }
        self.value_ended();
    }
}

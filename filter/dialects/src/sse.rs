//! An incremental reader of `text/event-stream` bodies.
//!
//! Grammar: WHATWG HTML, "Parsing an event stream" and "Interpreting an event stream". Lines end in CR, LF or
//! CRLF; a blank line ends an event; a leading byte order mark is passed over. Events have no length limit
//! and cost no allocation: data is handed on in pieces as it comes.
//!
//! ```
//! use dialects::sse::{Frame, Sink, SseReader};
//!
//! #[derive(Default)]
//! struct Events(Vec<String>, String);
//! impl Sink for Events {
//!     fn data(&mut self, piece: &[u8]) {
//!         self.1.push_str(&String::from_utf8_lossy(piece));
//!     }
//!     fn end(&mut self, frame: Frame) {
//!         let data = std::mem::take(&mut self.1);
//!         self.0.push(format!("{}..{} {data}", frame.start, frame.end));
//!     }
//! }
//!
//! let mut reader = SseReader::default();
//! let mut events = Events::default();
//! reader.push(b": hello\nevent: ping\nda", &mut events);
//! reader.push(b"ta: {}\n\ndata: [DONE]\n\n", &mut events);
//! assert_eq!(events.0, ["0..30 {}", "30..44 [DONE]"]);
//! ```

use memchr::memchr2;

/// Receives the events of a stream.
pub trait Sink {
    /// A piece of the event's type came.
    fn name(&mut self, piece: &[u8]) {
        let _: &[u8] = piece;
    }

    /// A piece of the event's data came; the lines of one event are joined by LF.
    fn data(&mut self, piece: &[u8]);

    /// The event has ended. Frames without data, such as lone comments, come too.
    fn end(&mut self, frame: Frame);
}

/// Where an event stands in the body, and what it holds.
///
/// Frames lie side by side: each begins where the one before ended. Where lines end in CRLF a frame ends
/// after the CR, since nobody can know whether an LF follows; the LF then begins the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Offset of the first byte, comments and other fields included.
    pub start: u64,
    /// Offset after the blank line.
    pub end: u64,
    /// Whether a `data` field was met: an event without one is not dispatched to clients.
    pub has_data: bool,
    /// Whether a blank line ended it; false only for what was left at the end of the stream.
    pub is_terminated: bool,
}

/// Reads a stream chunk by chunk; a chunk may end anywhere.
#[derive(Debug, Default)]
pub struct SseReader {
    /// Offset of the current chunk.
    at: u64,
    frame_start: u64,
    part: Part,
    /// Whether the last byte was a CR, so that an LF belongs to that line end.
    after_cr: bool,
    has_data: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// At the start of the stream, after that many bytes of what may be a byte order mark.
    #[default]
    Start,
    Bom(usize),
    /// At the start of a line.
    Line,
    /// Inside a field name that so far is the first that many bytes of `data` or `event`.
    Name(Field, usize),
    /// After the colon, where one space may follow.
    Colon(Field),
    Value(Field),
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    /// A comment, or a field that does not matter here.
    Other,
}

impl Field {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Data => b"data",
            Self::Event => b"event",
            Self::Other => b"",
        }
    }
}

const BOM: &[u8] = b"\xEF\xBB\xBF";

impl SseReader {
    /// Returns how many bytes were read.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Returns the offset where the event being read began.
    pub fn frame_start(&self) -> u64 {
        self.frame_start
    }

    /// Reads a chunk and hands its events on.
    pub fn push<S: Sink>(&mut self, chunk: &[u8], sink: &mut S) {
        let mut read = 0;
        while let Some(rest) = chunk.get(read..).filter(|rest| !rest.is_empty()) {
            read += self.step(rest, read, sink);
        }
        self.at = self.offset(chunk.len());
    }

    /// Hands on what was left without a blank line at the end, if anything was.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) {
        if let Part::Name(field, matched) = self.part
            && matched == field.name().len()
        {
            self.begin_value(field, sink);
        }
        if self.frame_start < self.at {
            self.end_frame(self.at, false, sink);
        }
        self.part = Part::Line;
    }

    fn offset(&self, index: usize) -> u64 {
        self.at
            .saturating_add(u64::try_from(index).unwrap_or(u64::MAX))
    }

    /// Reads on at the first byte of `rest`, which is byte `i` of the chunk; returns how many bytes it read.
    fn step<S: Sink>(&mut self, rest: &[u8], i: usize, sink: &mut S) -> usize {
        let Some(&byte) = rest.first() else { return 0 };
        if std::mem::take(&mut self.after_cr) && byte == b'\n' {
            return 1;
        }
        match self.part {
            Part::Start if byte == 0xEF => {
                self.part = Part::Bom(1);
                1
            }
            Part::Start | Part::Line => {
                if rest.starts_with(b"data: ") {
                    self.begin_value(Field::Data, sink);
                    self.part = Part::Value(Field::Data);
                    return 6;
                }
                self.begin_line(byte, i, sink)
            }
            Part::Bom(matched) => self.read_bom(matched, byte),
            Part::Name(field, matched) => self.read_name(field, matched, byte, sink),
            Part::Colon(field) => {
                self.part = Part::Value(field);
                usize::from(byte == b' ')
            }
            Part::Value(field) => self.read_value(field, rest, sink),
        }
    }

    fn read_bom(&mut self, matched: usize, byte: u8) -> usize {
        if BOM.get(matched) != Some(&byte) {
            // Not a mark after all: the bytes so far began a field name that matters to nobody.
            self.part = Part::Value(Field::Other);
            return 0;
        }
        self.part = if matched + 1 == BOM.len() {
            Part::Line
        } else {
            Part::Bom(matched + 1)
        };
        1
    }

    fn begin_line<S: Sink>(&mut self, byte: u8, i: usize, sink: &mut S) -> usize {
        match byte {
            b'\r' | b'\n' => {
                self.after_cr = byte == b'\r';
                self.part = Part::Line;
                self.end_frame(self.offset(i + 1), true, sink);
            }
            b'd' => self.part = Part::Name(Field::Data, 1),
            b'e' => self.part = Part::Name(Field::Event, 1),
            _ => self.part = Part::Value(Field::Other),
        }
        1
    }

    fn read_name<S: Sink>(
        &mut self,
        field: Field,
        matched: usize,
        byte: u8,
        sink: &mut S,
    ) -> usize {
        let name = field.name();
        if name.get(matched) == Some(&byte) {
            self.part = Part::Name(field, matched + 1);
            return 1;
        }
        let is_whole = matched == name.len();
        match byte {
            b':' if is_whole => {
                self.begin_value(field, sink);
                self.part = Part::Colon(field);
                1
            }
            b'\r' | b'\n' => {
                if is_whole {
                    self.begin_value(field, sink);
                }
                self.end_line(byte);
                1
            }
            _ => {
                self.part = Part::Value(Field::Other);
                0
            }
        }
    }

    /// Begins the value of a field; the data of a further line follows an LF.
    fn begin_value<S: Sink>(&mut self, field: Field, sink: &mut S) {
        if field == Field::Data {
            if self.has_data {
                sink.data(b"\n");
            }
            self.has_data = true;
        }
    }

    fn read_value<S: Sink>(&mut self, field: Field, rest: &[u8], sink: &mut S) -> usize {
        let length = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let value = rest.get(..length).unwrap_or_default();
        if !value.is_empty() {
            match field {
                Field::Data => sink.data(value),
                Field::Event => sink.name(value),
                Field::Other => {}
            }
        }
        match rest.get(length) {
            Some(end) => {
                self.end_line(*end);
                length + 1
            }
            None => length,
        }
    }

    fn end_line(&mut self, byte: u8) {
        self.after_cr = byte == b'\r';
        self.part = Part::Line;
    }

    fn end_frame<S: Sink>(&mut self, end: u64, is_terminated: bool, sink: &mut S) {
        let frame = Frame {
            start: self.frame_start,
            end,
            has_data: self.has_data,
            is_terminated,
        };
        self.frame_start = end;
        self.has_data = false;
        sink.end(frame);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cut;

    /// Events as `(name, data, frame)`.
    #[derive(Debug, Default, PartialEq)]
    struct Told {
        events: Vec<(String, String, Frame)>,
        name: Vec<u8>,
        data: Vec<u8>,
    }

    impl Sink for Told {
        fn name(&mut self, piece: &[u8]) {
            self.name.extend_from_slice(piece);
        }

        fn data(&mut self, piece: &[u8]) {
            self.data.extend_from_slice(piece);
        }

        fn end(&mut self, frame: Frame) {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            self.events.push((
                text(&std::mem::take(&mut self.name)),
                text(&std::mem::take(&mut self.data)),
                frame,
            ));
        }
    }

    fn read(chunks: &[&[u8]]) -> Vec<(String, String, Frame)> {
        let mut reader = SseReader::default();
        let mut told = Told::default();
        for chunk in chunks {
            reader.push(chunk, &mut told);
        }
        reader.finish(&mut told);
        told.events
    }

    /// Compares names and data of the events that have data.
    #[track_caller]
    fn check(stream: &str, want: &[(&str, &str)]) {
        let whole = read(&[stream.as_bytes()]);
        let got: Vec<(&str, &str)> = whole
            .iter()
            .filter(|(.., frame)| frame.has_data)
            .map(|(name, data, _)| (name.as_str(), data.as_str()))
            .collect();
        assert_eq!(got, want);
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytes), whole, "bytewise");
    }

    #[test]
    fn lines_end_in_three_ways() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = "event: a\ndata: 1\n\ndata: 2\n\n".replace('\n', end);
            check(&stream, &[("a", "1"), ("", "2")]);
        }
        check(
            "data: 1\r\n\ndata: 2\n\r\ndata: 3\r\r\n",
            &[("", "1"), ("", "2"), ("", "3")],
        );
    }

    #[test]
    fn data_lines_are_joined_by_line_feeds() {
        check(
            "data: YHOO\ndata: +2\ndata: 10\n\n",
            &[("", "YHOO\n+2\n10")],
        );
        check(
            "data\n\ndata\ndata\n\ndata:\n\n",
            &[("", ""), ("", "\n"), ("", "")],
        );
    }

    #[test]
    fn one_space_after_the_colon_is_no_data() {
        check(
            "data:test\n\ndata: test\n\ndata:  test\n\n",
            &[("", "test"), ("", "test"), ("", " test")],
        );
    }

    #[test]
    fn comments_and_other_fields_are_passed_over() {
        check(
            ": data: 1\nid: 7\nretry: 3\ndata: 2\ndatabase: 3\ndat: 4\n data: 5\nDATA: 6\n\n",
            &[("", "2")],
        );
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        check(
            "\u{feff}data: 1\n\n\u{feff}data: 2\n\ndata: 3\n\n",
            &[("", "1"), ("", "3")],
        );
        check("\u{fefd}data: 1\n\ndata: 2\n\n", &[("", "2")]);
    }

    #[test]
    fn what_is_left_at_the_end_is_handed_on() {
        check("data: 1\n\ndata: 2", &[("", "1"), ("", "2")]);
        check("data: 1\n\nevent: e\ndata", &[("", "1"), ("e", "")]);
        let events = read(&[b"data: 1\n\ndata: 2\n"]);
        assert_eq!(
            events
                .iter()
                .map(|(.., frame)| (frame.start, frame.end, frame.is_terminated))
                .collect::<Vec<_>>(),
            [(0, 9, true), (9, 17, false)],
        );
    }

    /// Lines of all kinds, strung together.
    fn near_sse() -> impl Strategy<Value = Vec<u8>> {
        let part = prop::sample::select(vec![
            &b"data: {\"a\":1}"[..],
            b"data:",
            b"data",
            b"event: x",
            b"\n",
            b"\n",
            b"\r\n",
            b"\r",
            b":",
            b": ping",
            b" ",
            b"id: 1",
            b"dat",
            b"\xEF\xBB\xBF",
            b"\xEF",
            b"x",
        ]);
        prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn chunking_never_changes_what_is_told(stream in near_sse(), cuts: Vec<prop::sample::Index>) {
            prop_assert_eq!(read(&cut(&stream, &cuts)), read(&[&stream]));
        }

        #[test]
        fn frames_lie_side_by_side(stream in near_sse()) {
            let mut at = 0;
            for (.., frame) in read(&[&stream]) {
                prop_assert_eq!(frame.start, at);
                prop_assert!(frame.end > frame.start);
                at = frame.end;
            }
            prop_assert_eq!(at, u64::try_from(stream.len()).unwrap());
        }
    }
}

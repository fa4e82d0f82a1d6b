//! Events out of chunks: of an event stream, or of an array that grows.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

use crate::response::Framing;
use crate::sse::{Frame, Sink, SseReader};

/// Cuts a stream into its events; together they are all of its bytes.
#[derive(Debug)]
pub(super) struct Frames {
    cutter: Cutter,
    /// Bytes from `read` on have not been handed out.
    buffer: Vec<u8>,
    read: usize,
    /// Offset of the buffer in the stream.
    base: u64,
    ends: VecDeque<u64>,
}

#[derive(Debug)]
enum Cutter {
    Sse(SseReader),
    Array(ArrayCutter),
}

/// Where the JSON of an event stands in it.
#[derive(Debug)]
pub(super) struct Data {
    /// Parts of the event, one for each line of data.
    lines: Vec<Range<usize>>,
}

struct Ends<'a>(&'a mut VecDeque<u64>);

impl Sink for Ends<'_> {
    fn data(&mut self, _: &[u8]) {}

    fn end(&mut self, frame: Frame) {
        self.0.push_back(frame.end);
    }
}

impl Frames {
    /// `None` for answers that are no streams; only Gemini streams in arrays.
    pub(super) fn new(framing: Framing, may_be_array: bool) -> Option<Self> {
        let cutter = match framing {
            Framing::Sse => Cutter::Sse(SseReader::default()),
            Framing::JsonArray if may_be_array => Cutter::Array(ArrayCutter::default()),
            Framing::JsonArray | Framing::Json => return None,
        };
        Some(Self {
            cutter,
            buffer: Vec::new(),
            read: 0,
            base: 0,
            ends: VecDeque::new(),
        })
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.compact();
        self.buffer.extend_from_slice(chunk);
        match &mut self.cutter {
            Cutter::Sse(reader) => reader.push(chunk, &mut Ends(&mut self.ends)),
            Cutter::Array(cutter) => cutter.push(chunk, &mut self.ends),
        }
    }

    /// Returns the next event that is all there.
    pub(super) fn next_event(&mut self) -> Option<Vec<u8>> {
        let end = self.ends.pop_front()?;
        let mut end = usize::try_from(end.saturating_sub(self.base)).unwrap_or(usize::MAX);
        // The second half of a line end belongs to the event before it, where it is already there.
        let ends_in_cr = end.checked_sub(1).and_then(|last| self.buffer.get(last)) == Some(&b'\r');
        if ends_in_cr && self.buffer.get(end) == Some(&b'\n') {
            end += 1;
        }
        self.take_to(end)
    }

    /// Returns what is left at the end of the stream.
    pub(super) fn finish(&mut self) -> Option<Vec<u8>> {
        let rest = self.take_to(self.buffer.len());
        rest.filter(|rest| !rest.is_empty())
    }

    /// Lets the beginning of an event that is not all there go; the rest of it follows as an event of its own.
    pub(super) fn let_go(&mut self, out: &mut Vec<u8>) {
        out.extend(self.finish().unwrap_or_default());
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.len().saturating_sub(self.read)
    }

    fn take_to(&mut self, end: usize) -> Option<Vec<u8>> {
        let end = end.max(self.read);
        let event = self.buffer.get(self.read..end)?.to_vec();
        self.read = end;
        Some(event)
    }

    fn compact(&mut self) {
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.base = self.base.saturating_add(self.read as u64);
            self.read = 0;
        }
    }

    /// Returns where the data of an event stands; `None` if it has none.
    pub(super) fn data_of(&self, event: &[u8]) -> Option<Data> {
        let lines = match self.cutter {
            Cutter::Sse(_) => data_lines(event),
            Cutter::Array(_) => {
                let start = event.iter().position(|byte| *byte == b'{');
                let end = event.iter().rposition(|byte| *byte == b'}');
                match (start, end) {
                    (Some(start), Some(end)) if start < end => vec![start..end + 1],
                    _ if event.iter().any(u8::is_ascii_alphanumeric) => vec![0..event.len()],
                    _ => Vec::new(),
                }
            }
        };
        let has_text = lines.iter().any(|line| !line.is_empty());
        has_text.then_some(Data { lines })
    }
}

/// Finds the values of the `data` fields.
fn data_lines(event: &[u8]) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut start = 0;
    while start < event.len() {
        let rest = event.get(start..).unwrap_or_default();
        let length = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or_default();
        let mark = if start == 0 && line.starts_with(b"\xEF\xBB\xBF") {
            3
        } else {
            0
        };
        let field = line.get(mark..).unwrap_or_default();
        if let Some(value) = field.strip_prefix(b"data") {
            let skipped = match value {
                [b':', b' ', ..] => Some(2),
                [b':', ..] => Some(1),
                [] => Some(0),
                _ => None,
            };
            if let Some(skipped) = skipped {
                lines.push(start + mark + 4 + skipped..start + length);
            }
        }
        start += length + 1;
    }
    lines
}

impl Data {
    /// Returns the data; the lines of one event are joined by LF.
    pub(super) fn text<'e>(&self, event: &'e [u8]) -> Cow<'e, [u8]> {
        let line = |range: &Range<usize>| event.get(range.clone()).unwrap_or_default();
        match self.lines.as_slice() {
            [one] => Cow::Borrowed(line(one)),
            many => Cow::Owned(many.iter().map(line).collect::<Vec<_>>().join(&b'\n')),
        }
    }

    /// Returns where a part of the data, which is within one line, stands in the event.
    pub(super) fn place(&self, part: Range<usize>) -> Range<usize> {
        let mut before = 0;
        for line in &self.lines {
            if part.end <= before + line.len() {
                let shift = |at: usize| line.start + at.saturating_sub(before);
                return shift(part.start)..shift(part.end);
            }
            before += line.len() + 1;
        }
        0..0
    }
}

/// Cuts the items of an array: each event ends with the bracket that ends an item.
#[derive(Debug, Default)]
struct ArrayCutter {
    at: u64,
    depth: u32,
    in_text: bool,
    after_backslash: bool,
}

impl ArrayCutter {
    fn push(&mut self, chunk: &[u8], ends: &mut VecDeque<u64>) {
        for byte in chunk {
            self.at = self.at.saturating_add(1);
            if self.in_text {
                match byte {
                    _ if self.after_backslash => self.after_backslash = false,
                    b'\\' => self.after_backslash = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth <= 1 {
                        ends.push_back(self.at);
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(framing: Framing, chunks: &[&[u8]]) -> Vec<String> {
        let mut frames = Frames::new(framing, true).unwrap();
        let mut events = Vec::new();
        for chunk in chunks {
            frames.push(chunk);
            while let Some(event) = frames.next_event() {
                events.push(event);
            }
        }
        events.extend(frames.finish());
        events
            .into_iter()
            .map(|event| String::from_utf8(event).unwrap())
            .collect()
    }

    #[test]
    fn events_hold_their_line_ends() {
        let got = events(Framing::Sse, &[b"data: a\r\n\r\ndata: b\n", b"\n: c\n\nda"]);
        assert_eq!(got, ["data: a\r\n\r\n", "data: b\n\n", ": c\n\n", "da"]);
    }

    #[test]
    fn items_of_an_array_are_events() {
        let got = events(
            Framing::JsonArray,
            &[br#"[{"a":"}]"}"#, b",\n{\"b\":[1]}\n]\n"],
        );
        assert_eq!(got, [r#"[{"a":"}]"}"#, ",\n{\"b\":[1]}", "\n]", "\n"]);
    }

    #[test]
    fn data_is_found_in_its_lines() {
        let frames = Frames::new(Framing::Sse, false).unwrap();
        let event = b"event: x\ndata: {\"a\":\ndata:\"b\"}\nid: 1\n\n";
        let data = frames.data_of(event).unwrap();
        let text = data.text(event);
        assert_eq!(text.as_ref(), b"{\"a\":\n\"b\"}");
        assert_eq!(&event[data.place(6..9)], b"\"b\"");
        assert!(frames.data_of(b": ping\n\n").is_none());
        assert!(frames.data_of(b"data:\n\n").is_none());
    }
}

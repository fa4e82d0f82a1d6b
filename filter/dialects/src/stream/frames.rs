//! Divides the bytes of a stream into frames, one for each event, that lie side by side.

use std::ops::Range;

use memchr::memchr2;

/// Finds where frames end.
#[derive(Debug)]
pub(super) enum Framer {
    Sse(Lines),
    Array(Nesting),
}

/// An event stream: a frame ends after a blank line.
#[derive(Debug)]
pub(super) struct Lines {
    /// Whether nothing stands in the line so far.
    is_blank: bool,
    /// Whether the byte before was a CR, so that an LF belongs to it.
    after_cr: bool,
}

/// One JSON array: a frame ends with each of its items.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    depth: u32,
    /// The depth at which items stand: 1 in an array, 0 if the stream is an object itself.
    items_at: u32,
    in_text: bool,
    is_escaped: bool,
}

impl Framer {
    pub(super) const fn sse() -> Self {
        Self::Sse(Lines {
            is_blank: true,
            after_cr: false,
        })
    }

    pub(super) fn array() -> Self {
        Self::Array(Nesting::default())
    }

    /// Reads on and returns how many of these bytes belong to the frame being read, if it ends in them.
    pub(super) fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Sse(lines) => lines.end_in(bytes),
            Self::Array(nesting) => nesting.end_in(bytes),
        }
    }

    /// Whether an LF at the front of what comes next belongs to the frame that has just ended.
    pub(super) fn takes_line_feed(&self) -> bool {
        match self {
            Self::Sse(lines) => lines.after_cr,
            Self::Array(_) => false,
        }
    }

    /// Notes that the LF was taken.
    pub(super) fn line_feed_taken(&mut self) {
        if let Self::Sse(lines) = self {
            lines.after_cr = false;
        }
    }
}

impl Lines {
    fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                at += 1;
                continue;
            }
            let Some(length) = memchr2(b'\r', b'\n', bytes.get(at..)?) else {
                self.is_blank = false;
                return None;
            };
            let is_blank = std::mem::replace(&mut self.is_blank, true) && length == 0;
            at += length;
            self.after_cr = bytes.get(at) == Some(&b'\r');
            at += 1;
            if is_blank {
                return Some(at);
            }
        }
        None
    }
}

impl Nesting {
    fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.in_text {
                if std::mem::take(&mut self.is_escaped) {
                    at += 1;
                    continue;
                }
                at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
                self.is_escaped = bytes.get(at) == Some(&b'\\');
                self.in_text = self.is_escaped;
                at += 1;
                continue;
            }
            at += 1;
            match byte {
                b'"' => self.in_text = true,
                b'[' if self.depth == 0 => {
                    self.items_at = 1;
                    self.depth = 1;
                }
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if byte == b'}' && self.depth == self.items_at {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

impl Framer {
    /// Returns the parts of a frame that are its data; several lines are joined by LF.
    pub(super) fn data(&self, frame: &[u8]) -> Vec<Range<usize>> {
        match self {
            Self::Sse(_) => data_lines(frame),
            Self::Array(_) => item(frame).into_iter().collect(),
        }
    }
}

/// Returns the data of an event's frame.
pub(super) fn data_of(frame: &[u8]) -> Vec<u8> {
    let lines = data_lines(frame);
    let lines = lines
        .into_iter()
        .map(|line| frame.get(line).unwrap_or_default());
    lines.collect::<Vec<_>>().join(&b'\n')
}

fn data_lines(frame: &[u8]) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut at = if frame.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    while at < frame.len() {
        let rest = frame.get(at..).unwrap_or_default();
        let length = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or_default();
        if let Some(value) = line.strip_prefix(b"data") {
            let skipped = match value {
                [b':', b' ', ..] => 6,
                [b':', ..] => 5,
                [] => 4,
                _ => usize::MAX,
            };
            if skipped <= length {
                lines.push(at + skipped..at + length);
            }
        }
        at += length + 1;
    }
    lines
}

/// Returns where the item of an array stands in its frame, after brackets and commas of the array.
fn item(frame: &[u8]) -> Option<Range<usize>> {
    let start = memchr2(b'{', b'"', frame)?;
    Some(start..frame.len())
}

//! Event streams against a reader that has all of it at once.

use dialects::sse::{Frame, Sink, SseReader};

use super::chunks;

/// One event as told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: Vec<u8>,
    data: Vec<u8>,
    frame: Option<Frame>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    events: Vec<Event>,
    open: Event,
}

impl Sink for Told {
    fn name(&mut self, piece: &[u8]) {
        self.open.name.extend_from_slice(piece);
    }

    fn data(&mut self, piece: &[u8]) {
        self.open.data.extend_from_slice(piece);
    }

    fn end(&mut self, frame: Frame) {
        let mut event = std::mem::take(&mut self.open);
        event.frame = Some(frame);
        self.events.push(event);
    }
}

fn read(pieces: &[&[u8]]) -> Vec<Event> {
    let mut reader = SseReader::default();
    let mut told = Told::default();
    for piece in pieces {
        reader.push(piece, &mut told);
    }
    reader.finish(&mut told);
    told.events
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let Some((cutting, stream)) = chunks::split(input) else {
        return;
    };
    let whole = read(&[stream]);
    assert_eq!(
        whole,
        read(&chunks::cut(cutting, stream)),
        "events depend on chunks"
    );
    let mut at = 0;
    for event in &whole {
        let Some(frame) = event.frame else { continue };
        assert_eq!(frame.start, at, "frames do not lie side by side");
        assert!(frame.end > frame.start, "an empty frame");
        assert!(
            frame.has_data || event.data.is_empty(),
            "data in a frame without"
        );
        at = frame.end;
    }
    assert_eq!(at, stream.len() as u64, "bytes belong to no frame");
    let told: Vec<&[u8]> = whole
        .iter()
        .filter(|event| event.frame.is_some_and(|frame| frame.has_data))
        .map(|event| event.data.as_slice())
        .collect();
    assert_eq!(
        told,
        reference(stream),
        "data differs from the specification's"
    );
}

/// "Interpreting an event stream", line by line, with what is left at the end dispatched too.
fn reference(stream: &[u8]) -> Vec<Vec<u8>> {
    let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let mut events = Vec::new();
    let mut open: Option<Vec<u8>> = None;
    for line in lines(stream) {
        if line.is_empty() {
            events.extend(open.take());
            continue;
        }
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let (name, rest) = line.split_at(colon);
        let value = rest.strip_prefix(b":").unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if name == b"data" {
            match &mut open {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => open = Some(value.to_vec()),
            }
        }
    }
    events.extend(open);
    events
}

/// Lines end in CR, LF or CRLF; what follows the last line end is a line if it is not empty.
fn lines(stream: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut left = stream;
    while let Some(end) = left.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let (line, rest) = left.split_at(end);
        lines.push(line);
        left = rest
            .strip_prefix(b"\r\n")
            .or_else(|| rest.get(1..))
            .unwrap_or_default();
    }
    if !left.is_empty() {
        lines.push(left);
    }
    lines
}

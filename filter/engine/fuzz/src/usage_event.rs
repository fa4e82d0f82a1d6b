//! The remover of the usage event: what it leaves does not depend on chunks, and is what came less whole events.

use dialects::sse::{Frame, Sink, SseReader};
use dialects::usage_event::{HELD_BYTES, Passage, UsageEventRemover};
use serde_json::Value;

use super::chunks;

fn pass(pieces: &[&[u8]]) -> (Vec<u8>, u64) {
    let mut remover = UsageEventRemover::default();
    let mut passed = Vec::new();
    for piece in pieces {
        let mut out = Vec::new();
        match remover.push(piece, &mut out) {
            Passage::AsItCame => {
                assert!(out.is_empty(), "written although the chunk passes");
                passed.extend_from_slice(piece);
            }
            Passage::Replaced => passed.append(&mut out),
        }
        assert!(
            remover.held_bytes() <= HELD_BYTES,
            "more held than the bound"
        );
    }
    remover.finish(&mut passed);
    assert_eq!(remover.held_bytes(), 0, "bytes held after the end");
    (passed, remover.removed_events())
}

/// Runs one stream.
pub fn run(input: &[u8]) {
    let Some((cutting, stream)) = chunks::split(input) else {
        return;
    };
    let (whole, removed) = pass(&[stream]);
    assert_eq!(
        (whole.clone(), removed),
        pass(&chunks::cut(cutting, stream)),
        "what passes depends on chunks"
    );
    assert!(whole.len() <= stream.len());
    if removed == 0 {
        assert_eq!(whole, stream, "bytes changed although no event was removed");
    }
    // Data is what clients see: every event stays but those that tell nothing except usage.
    let kept: Vec<Vec<u8>> = events(stream)
        .into_iter()
        .filter(|data| !tells_usage_alone(data))
        .collect();
    let passed: Vec<Vec<u8>> = events(&whole)
        .into_iter()
        .filter(|data| !tells_usage_alone(data))
        .collect();
    assert_eq!(kept, passed, "an event was lost");
}

#[derive(Default)]
struct Events(Vec<Vec<u8>>, Vec<u8>);

impl Sink for Events {
    fn data(&mut self, piece: &[u8]) {
        self.1.extend_from_slice(piece);
    }

    fn end(&mut self, frame: Frame) {
        let data = std::mem::take(&mut self.1);
        if frame.has_data {
            self.0.push(data);
        }
    }
}

fn events(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = SseReader::default();
    let mut events = Events::default();
    reader.push(stream, &mut events);
    reader.finish(&mut events);
    events.0
}

fn tells_usage_alone(data: &[u8]) -> bool {
    // Duplicate keys and numbers out of range are read in more than one way; such events may go or stay.
    serde_json::from_slice::<Value>(data).map_or_else(
        |_| {
            std::str::from_utf8(data)
                .is_ok_and(|text| text.contains("usage") || text.contains('\\'))
        },
        |event| {
            event
                .get("choices")
                .and_then(Value::as_array)
                .is_some_and(Vec::is_empty)
                && event.get("usage").is_some()
        },
    )
}

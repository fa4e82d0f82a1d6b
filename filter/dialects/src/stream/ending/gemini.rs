//! Gemini: `models.streamGenerateContent`, as events or as one array.

use serde_json::{Map, Value, json};

use super::{Event, EventKind, GAP, Progress, data};
use crate::response::Framing;

#[derive(Debug)]
pub(super) struct Gemini {
    is_array: bool,
    has_started: bool,
    has_finished: bool,
    is_closed: bool,
    /// The chunk that was sent last: what it says of the answer is said again.
    last: Vec<u8>,
}

/// Members that are repeated in the last chunk.
const HEAD: [&str; 3] = ["modelVersion", "responseId", "usageMetadata"];

impl Gemini {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            is_array: framing != Framing::Sse,
            has_started: false,
            has_finished: false,
            is_closed: false,
            last: Vec::new(),
        }
    }

    /// What was shown of a stream that nobody edited.
    pub(super) fn resumed(framing: Framing, progress: &Progress<'_>) -> Self {
        let head = json!({ "modelVersion": progress.model, "responseId": progress.id });
        let is_array = framing != Framing::Sse;
        Self {
            is_array,
            has_started: progress.shown.events > 0,
            has_finished: progress.shown.has_ended,
            is_closed: false,
            last: if is_array {
                head.to_string().into_bytes()
            } else {
                format!("data: {head}\n\n").into_bytes()
            },
        }
    }

    pub(super) fn sent(&mut self, event: &Event, frame: &[u8]) {
        if event.kind == EventKind::Comment {
            self.is_closed |= self.is_array && frame.contains(&b']');
            return;
        }
        self.has_started = true;
        self.has_finished |= event.finishes;
        self.last.clear();
        self.last.extend_from_slice(frame);
    }

    /// Returns what the last chunk said of the answer.
    fn head(&self) -> Map<String, Value> {
        let chunk = if self.is_array {
            let start = self.last.iter().position(|byte| *byte == b'{');
            let item = start.and_then(|start| self.last.get(start..));
            serde_json::from_slice(item.unwrap_or_default()).unwrap_or_default()
        } else {
            data(&self.last)
        };
        let Value::Object(mut chunk) = chunk else {
            return Map::new();
        };
        let head = HEAD.iter().filter_map(|name| chunk.remove_entry(*name));
        head.collect()
    }

    pub(super) fn end(&mut self, notice: Option<&str>, out: &mut Vec<u8>) {
        if !self.has_finished {
            self.has_finished = true;
            self.write(notice, out);
        }
        if self.is_array && !self.is_closed {
            self.is_closed = true;
            out.extend_from_slice(b"]");
        }
    }

    fn write(&mut self, notice: Option<&str>, out: &mut Vec<u8>) {
        let gap = if self.has_started { GAP } else { "" };
        let text = notice.map(|notice| format!("{gap}{notice}"));
        let mut chunk = self.head();
        let candidate = json!({
            "content": { "parts": [{ "text": text.unwrap_or_default() }], "role": "model" },
            "finishReason": "STOP",
            "index": 0,
        });
        chunk.insert("candidates".to_owned(), json!([candidate]));
        let chunk = Value::Object(chunk);
        let text = match (self.is_array, self.has_started) {
            (false, _) => format!("data: {chunk}\n\n"),
            (true, false) => format!("[{chunk}"),
            (true, true) => format!(",\n{chunk}\n"),
        };
        out.extend_from_slice(text.as_bytes());
        self.has_started = true;
    }
}

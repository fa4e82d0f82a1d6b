//! Anthropic: "Streaming messages", "Event types".

use serde_json::{Value, json};

use super::{Event, EventKind, GAP, Progress, data, named_event};
use crate::response::BlockKind;

#[derive(Debug, Default)]
pub(super) struct Anthropic {
    has_started: bool,
    /// The block that is open, and whether it is text.
    open: Option<(u32, bool)>,
    /// Number of the next block.
    next: u32,
    has_call: bool,
    /// A call is open whose arguments the client has seen in part.
    is_call_cut: bool,
    has_stop_reason: bool,
    has_stopped: bool,
    /// Output tokens as far as they were reported.
    output_tokens: u64,
}

impl Anthropic {
    /// What was shown of a stream that nobody edited.
    pub(super) fn resumed(progress: &Progress<'_>) -> Self {
        let shown = progress.shown;
        let last = shown.blocks.saturating_sub(1);
        Self {
            has_started: shown.has_begun,
            open: shown.open_block.map(|kind| (last, kind == BlockKind::Text)),
            next: shown.blocks,
            has_call: shown.has_call,
            is_call_cut: shown.open_block == Some(BlockKind::Call),
            has_stop_reason: shown.has_stop_reason,
            has_stopped: false,
            output_tokens: progress.output_tokens,
        }
    }

    pub(super) fn sent(&mut self, event: &Event, frame: &[u8]) {
        match event.kind {
            EventKind::MessageStart => {
                self.has_started = true;
                let tokens = data(frame)
                    .pointer("/message/usage/output_tokens")
                    .and_then(Value::as_u64);
                self.output_tokens = tokens.unwrap_or_default();
            }
            EventKind::BlockStart | EventKind::TextStart | EventKind::CallStart => {
                self.open = Some((event.index, event.kind == EventKind::TextStart));
                self.next = event.index.saturating_add(1);
                self.has_call |= event.kind == EventKind::CallStart;
            }
            EventKind::BlockStop => self.open = None,
            EventKind::MessageDelta => self.has_stop_reason = true,
            EventKind::MessageStop => self.has_stopped = true,
            EventKind::Other
            | EventKind::Comment
            | EventKind::Done
            | EventKind::Ping
            | EventKind::Created
            | EventKind::ItemAdded
            | EventKind::PartAdded
            | EventKind::TextDelta
            | EventKind::TextDone
            | EventKind::PartDone
            | EventKind::ItemDone
            | EventKind::Ended => {}
        }
    }

    pub(super) fn end(&mut self, notice: Option<&str>, out: &mut Vec<u8>) {
        if self.has_stopped {
            return;
        }
        if !self.has_started {
            let message = json!({
                "id": "msg_0", "type": "message", "role": "assistant", "model": "", "content": [],
                "stop_reason": null, "stop_sequence": null,
                "usage": { "input_tokens": 0, "output_tokens": 0 },
            });
            write("message_start", json!({ "message": message }), out);
        }
        if !self.has_stop_reason {
            self.end_blocks(notice, out);
            // A call that the client has seen whole is answered as if nothing had come after it.
            let reason = if self.is_call_cut {
                "max_tokens"
            } else if self.has_call {
                "tool_use"
            } else {
                "end_turn"
            };
            let delta = json!({
                "delta": { "stop_reason": reason, "stop_sequence": null },
                "usage": { "output_tokens": self.output_tokens },
            });
            write("message_delta", delta, out);
        }
        write("message_stop", json!({}), out);
        self.has_stopped = true;
    }

    fn end_blocks(&mut self, notice: Option<&str>, out: &mut Vec<u8>) {
        let text = |index: u32, text: &str| json!({ "index": index, "delta": { "type": "text_delta", "text": text } });
        match (self.open.take(), notice) {
            (Some((index, true)), Some(notice)) => {
                write(
                    "content_block_delta",
                    text(index, &format!("{GAP}{notice}")),
                    out,
                );
                return write("content_block_stop", json!({ "index": index }), out);
            }
            (Some((index, _)), _) => write("content_block_stop", json!({ "index": index }), out),
            (None, _) => {}
        }
        if let Some(notice) = notice {
            let index = self.next;
            let block = json!({ "type": "text", "text": "" });
            write(
                "content_block_start",
                json!({ "index": index, "content_block": block }),
                out,
            );
            write("content_block_delta", text(index, notice), out);
            write("content_block_stop", json!({ "index": index }), out);
        }
    }
}

fn write(name: &str, mut event: Value, out: &mut Vec<u8>) {
    if let Some(members) = event.as_object_mut() {
        members.insert("type".to_owned(), name.into());
    }
    named_event(name, &event, out);
}

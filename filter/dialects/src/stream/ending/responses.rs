//! OpenAI: Responses, "Streaming events".

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Event, EventKind, GAP, Progress, data, data_of, named_event};
use crate::json::{Scalar, Shape, Span, Visitor, Walker, Want, key};
use crate::response;

static DELTA_EVENT: Shape<()> = Shape::object((), &[key("delta", &DELTA)]);
static DELTA: Shape<()> = Shape::scalar((), Want::Pieces);

/// Adds the text of a delta to what was shown.
struct Shown<'a>(&'a mut String);

impl Visitor for Shown<'_> {
    type Tag = ();

    fn scalar(&mut self, (): (), _: Scalar<'_>, _: Span) {}

    fn piece(&mut self, (): (), piece: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(piece));
    }
}

/// Events of an answer that are remembered, since its last events repeat them; beyond it they repeat less.
const REMEMBERED_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Responses {
    /// The response as its first event showed it.
    response: Value,
    /// Number of the next event.
    sequence: u64,
    /// Items that are complete, by their place.
    done: BTreeMap<u32, Value>,
    open: BTreeMap<u32, OpenItem>,
    /// Place of the next item.
    next: u32,
    remembered: usize,
    has_ended: bool,
}

/// An item that the client has seen the beginning of.
#[derive(Debug, Default)]
struct OpenItem {
    item: Value,
    /// Parts that are complete.
    parts: Vec<Value>,
    part: Option<OpenPart>,
}

/// A part that is being shown.
#[derive(Debug, Default)]
struct OpenPart {
    part: Value,
    text: String,
    has_text_ended: bool,
}

impl OpenItem {
    fn resumed(item: &response::OpenItem) -> Self {
        let mut shown = json!({ "id": item.id, "type": item.kind, "status": "in_progress" });
        if item.kind == "message" {
            set(&mut shown, "role", "assistant".into());
            set(&mut shown, "content", json!([]));
        } else {
            set(&mut shown, "summary", json!([]));
        }
        let part = json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": "" });
        Self {
            item: shown,
            parts: (0..item.parts).map(|_| part.clone()).collect(),
            part: item.part.map(|has_text_ended| OpenPart {
                part: part.clone(),
                text: String::new(),
                has_text_ended,
            }),
        }
    }

    fn kind(&self) -> &str {
        let kind = self.item.get("type").and_then(Value::as_str);
        kind.unwrap_or_default()
    }
}

impl Responses {
    /// What was shown of a stream that nobody edited. Its texts are not known: what repeats them says the notice.
    pub(super) fn resumed(progress: &Progress<'_>) -> Self {
        let shown = progress.shown;
        let mut response = unknown_response();
        if shown.has_begun {
            set(&mut response, "id", progress.id.into());
            set(&mut response, "model", progress.model.into());
            set(&mut response, "created_at", progress.created_secs.into());
        } else {
            response = Value::Null;
        }
        // A call that is not complete stays open: at its end a client would carry it out.
        let known = ["message", "reasoning"];
        let open = shown.open_items.iter();
        let open = open.filter(|item| known.contains(&item.kind.as_str()));
        Self {
            response,
            sequence: shown.events,
            open: open
                .map(|item| (item.index, OpenItem::resumed(item)))
                .collect(),
            next: shown.items,
            ..Self::default()
        }
    }

    pub(super) fn sent(&mut self, event: &Event, frame: &[u8]) {
        if let Some(sequence) = event.sequence {
            self.sequence = sequence.saturating_add(1);
        }
        let member = |name: &str| {
            data(frame)
                .get_mut(name)
                .map(Value::take)
                .unwrap_or_default()
        };
        let index = event.index;
        if matches!(event.kind, EventKind::ItemAdded | EventKind::ItemDone) {
            self.next = self.next.max(index.saturating_add(1));
        }
        match event.kind {
            EventKind::Created => self.response = member("response"),
            EventKind::ItemAdded => {
                let item = member("item");
                self.open.insert(
                    index,
                    OpenItem {
                        item,
                        ..OpenItem::default()
                    },
                );
            }
            EventKind::PartAdded => {
                let part = member("part");
                let item = self.open.entry(index).or_default();
                item.part = Some(OpenPart {
                    part,
                    ..OpenPart::default()
                });
            }
            EventKind::TextDelta => self.text_shown(index, frame),
            EventKind::TextDone => {
                if let Some(part) = self.part(index) {
                    part.has_text_ended = true;
                }
            }
            EventKind::PartDone => {
                let part = member("part");
                let item = self.open.entry(index).or_default();
                item.part = None;
                item.parts.push(part);
            }
            EventKind::ItemDone => {
                self.open.remove(&index);
                self.remembered = self.remembered.saturating_add(frame.len());
                if self.remembered <= REMEMBERED_BYTES {
                    self.done.insert(index, member("item"));
                }
            }
            EventKind::Ended => self.has_ended = true,
            EventKind::Other
            | EventKind::Comment
            | EventKind::Done
            | EventKind::Ping
            | EventKind::MessageStart
            | EventKind::BlockStart
            | EventKind::TextStart
            | EventKind::CallStart
            | EventKind::BlockStop
            | EventKind::MessageDelta
            | EventKind::MessageStop => {}
        }
    }

    fn part(&mut self, index: u32) -> Option<&mut OpenPart> {
        self.open.get_mut(&index)?.part.as_mut()
    }

    fn text_shown(&mut self, index: u32, frame: &[u8]) {
        let is_short = self.remembered <= REMEMBERED_BYTES;
        let Some(part) = self.part(index).filter(|_| is_short) else {
            return;
        };
        let before = part.text.len();
        // The frame was read before as what it is.
        let read = Walker::new(&DELTA_EVENT).push(&data_of(frame), &mut Shown(&mut part.text));
        debug_assert_eq!(read, Ok(()));
        let bytes = part.text.len().saturating_sub(before);
        self.remembered = self.remembered.saturating_add(bytes);
    }

    pub(super) fn end(&mut self, notice: Option<&str>, out: &mut Vec<u8>) {
        if self.has_ended {
            return;
        }
        self.has_ended = true;
        if self.response.is_null() {
            self.response = unknown_response();
            let response = self.response.clone();
            self.write("response.created", json!({ "response": response }), out);
        }
        let mut notice = notice;
        for (index, item) in std::mem::take(&mut self.open) {
            if item.kind() == "message" {
                let said = self.end_message(index, item, notice, out);
                notice = notice.filter(|_| !said);
            } else {
                // A client may insist that every item ends before the response does.
                let is_reasoning = item.kind() == "reasoning";
                let status = if is_reasoning { "incomplete" } else { "failed" };
                let mut item = item.item;
                set(&mut item, "status", status.into());
                self.item_done(index, item, out);
            }
        }
        if let Some(notice) = notice {
            self.add_message(notice, out);
        }
        let mut response = self.response.take();
        if let Some(members) = response.as_object_mut() {
            let output: Vec<Value> = std::mem::take(&mut self.done).into_values().collect();
            members.insert("status".to_owned(), "completed".into());
            members.insert("output".to_owned(), output.into());
            members.entry("usage").or_insert(Value::Null);
        }
        self.write("response.completed", json!({ "response": response }), out);
    }

    /// Ends a message that is being shown; returns whether the notice was added to its text.
    fn end_message(
        &mut self,
        index: u32,
        open: OpenItem,
        notice: Option<&str>,
        out: &mut Vec<u8>,
    ) -> bool {
        let OpenItem {
            mut item,
            mut parts,
            part,
        } = open;
        let id = item.get("id").cloned().unwrap_or_default();
        let mut has_said = false;
        if let Some(mut shown) = part {
            let place = json!({
                "item_id": id, "output_index": index, "content_index": parts.len(),
            });
            let is_text = shown.part.get("type").and_then(Value::as_str) == Some("output_text");
            if let Some(notice) = notice.filter(|_| is_text && !shown.has_text_ended) {
                let delta = format!("{GAP}{notice}");
                shown.text.push_str(&delta);
                let members = json!({ "delta": delta, "logprobs": [] });
                self.write("response.output_text.delta", joined(&place, members), out);
                has_said = true;
            }
            if is_text {
                set(&mut shown.part, "text", shown.text.as_str().into());
                if !shown.has_text_ended {
                    let members = json!({ "text": shown.text, "logprobs": [] });
                    self.write("response.output_text.done", joined(&place, members), out);
                }
            }
            let members = json!({ "part": shown.part });
            self.write("response.content_part.done", joined(&place, members), out);
            parts.push(shown.part);
        }
        set(&mut item, "status", "completed".into());
        set(&mut item, "content", parts.into());
        self.item_done(index, item, out);
        has_said
    }

    /// Adds a message that says the notice.
    fn add_message(&mut self, notice: &str, out: &mut Vec<u8>) {
        let index = self.next;
        let response = self.response.get("id").and_then(Value::as_str);
        let name = response
            .and_then(|id| id.strip_prefix("resp_"))
            .unwrap_or("0");
        let name: String = name.chars().take(48).collect();
        let id = format!("msg_{name}_notice");
        let mut item = json!({
            "id": id, "type": "message", "status": "in_progress",
            "role": "assistant", "content": [],
        });
        let added = json!({ "output_index": index, "item": item });
        self.write("response.output_item.added", added, out);
        let part = json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": "" });
        let place = json!({
            "item_id": id, "output_index": index, "content_index": 0,
        });
        let members = json!({ "part": part });
        self.write("response.content_part.added", joined(&place, members), out);
        let members = json!({ "delta": notice, "logprobs": [] });
        self.write("response.output_text.delta", joined(&place, members), out);
        let members = json!({ "text": notice, "logprobs": [] });
        self.write("response.output_text.done", joined(&place, members), out);
        let mut part = part;
        set(&mut part, "text", notice.into());
        let members = json!({ "part": part });
        self.write("response.content_part.done", joined(&place, members), out);
        set(&mut item, "status", "completed".into());
        set(&mut item, "content", json!([part]));
        self.item_done(index, item, out);
    }

    fn item_done(&mut self, index: u32, item: Value, out: &mut Vec<u8>) {
        let event = json!({ "output_index": index, "item": item });
        self.write("response.output_item.done", event, out);
        self.done.insert(index, item);
    }

    fn write(&mut self, name: &str, mut event: Value, out: &mut Vec<u8>) {
        set(&mut event, "type", name.into());
        set(&mut event, "sequence_number", self.sequence.into());
        self.sequence = self.sequence.saturating_add(1);
        named_event(name, &event, out);
    }
}

/// A response of which nothing is known.
fn unknown_response() -> Value {
    json!({
        "id": "resp_0", "object": "response", "created_at": 0, "status": "in_progress",
        "error": null, "incomplete_details": null, "instructions": null, "model": "",
        "output": [], "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
    })
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// Returns both objects as one.
fn joined(place: &Value, members: Value) -> Value {
    let mut joined = place.clone();
    if let (Some(all), Value::Object(members)) = (joined.as_object_mut(), members) {
        all.extend(members);
    }
    joined
}

//! OpenAI: Chat Completions, "The chat completion chunk object".

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Event, EventKind, GAP, Progress, data};

#[derive(Debug, Default)]
pub(super) struct Chat {
    /// What every chunk of the answer says of it.
    head: Map<String, Value>,
    /// The choices that have begun, and whether they have ended.
    choices: BTreeMap<u32, bool>,
    /// Those of which the client may have seen a part of a call.
    calling: BTreeSet<u32>,
    is_done: bool,
}

/// Members that all chunks of an answer share.
const HEAD: [&str; 5] = ["id", "object", "created", "model", "system_fingerprint"];

impl Chat {
    /// What was shown of a stream that nobody edited.
    pub(super) fn resumed(progress: &Progress<'_>) -> Self {
        let mut head = Map::new();
        head.insert("id".to_owned(), progress.id.into());
        head.insert("object".to_owned(), "chat.completion.chunk".into());
        head.insert("created".to_owned(), progress.created_secs.into());
        head.insert("model".to_owned(), progress.model.into());
        let choices = || progress.shown.choices();
        Self {
            head,
            choices: choices().map(|(index, ended, _)| (index, ended)).collect(),
            calling: choices()
                .filter_map(|(index, _, calls)| calls.then_some(index))
                .collect(),
            is_done: false,
        }
    }

    pub(super) fn sent(&mut self, event: &Event, frame: &[u8]) {
        if event.kind == EventKind::Done {
            self.is_done = true;
        }
        // Some providers send an event of their own first, without an id.
        let id = self.head.get("id").and_then(Value::as_str);
        if id.is_none_or(str::is_empty)
            && let Value::Object(mut chunk) = data(frame)
        {
            let head = HEAD.iter().filter_map(|name| chunk.remove_entry(*name));
            self.head = head.collect();
        }
        if event.has_choice {
            let has_ended = self.choices.entry(event.index).or_default();
            *has_ended |= event.finishes;
        }
    }

    pub(super) fn end(&mut self, notice: Option<&str>, out: &mut Vec<u8>) {
        if self.is_done {
            return;
        }
        self.is_done = true;
        self.head.entry("id").or_insert_with(|| "chatcmpl-0".into());
        self.head
            .entry("object")
            .or_insert_with(|| "chat.completion.chunk".into());
        self.head.entry("created").or_insert_with(|| 0.into());
        self.head.entry("model").or_insert_with(|| "".into());
        if self.choices.is_empty() {
            self.choices.insert(0, false);
            let delta = json!({ "role": "assistant", "content": notice.unwrap_or_default() });
            self.write(0, delta, Value::Null, out);
        } else if let Some(notice) = notice {
            for index in self.open() {
                let delta = json!({ "content": format!("{GAP}{notice}") });
                self.write(index, delta, Value::Null, out);
            }
        }
        for index in self.open() {
            let reason = if self.calling.contains(&index) {
                "length"
            } else {
                "stop"
            };
            self.write(index, json!({}), reason.into(), out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn open(&self) -> Vec<u32> {
        let open = self.choices.iter().filter(|(_, has_ended)| !**has_ended);
        open.map(|(index, _)| *index).collect()
    }

    fn write(&self, index: u32, delta: Value, finish_reason: Value, out: &mut Vec<u8>) {
        let mut chunk = self.head.clone();
        let choice = json!({
            "index": index, "delta": delta, "logprobs": null, "finish_reason": finish_reason,
        });
        chunk.insert("choices".to_owned(), json!([choice]));
        let chunk = Value::Object(chunk);
        out.extend_from_slice(format!("data: {chunk}\n\n").as_bytes());
    }
}

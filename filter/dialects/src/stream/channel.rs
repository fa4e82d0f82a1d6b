//! Texts that a stream brings in pieces.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;

use policy::guardrail::TextRole;

use crate::content::Edit;
use crate::content::area::Delta;

/// Which text of the answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChannelKey {
    /// Block, choice, output item or candidate.
    pub(super) index: u32,
    /// Part of it: content part, summary, tool call.
    pub(super) part: u32,
    pub(super) delta: Delta,
    pub(super) is_frozen: bool,
}

/// Names one text of a stream that comes in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub(super) u32);

/// A text that comes in pieces, as a [`Judge`](super::Judge) sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The same for all pieces of one text, another for each text of an answer.
    pub id: ChannelId,
    /// Whose words it is.
    pub role: TextRole,
    /// Whether edits are applied: what is signed stays as it is.
    pub may_change: bool,
    pub(super) key: ChannelKey,
}

impl Channel {
    /// Returns where the text belongs, for records: `$[2].text`, the number that of block, choice or item.
    pub fn path(&self) -> String {
        let name = self.key.delta.name();
        format!("$[{}].{name}", self.key.index)
    }
}

/// A piece of a channel that stands in a frame that was not released.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Number of the frame.
    pub(super) frame: u64,
    /// Decoded bytes of the channel.
    pub(super) text: Range<u64>,
    /// The literal in the frame.
    pub(super) raw: Range<usize>,
}

/// What is known of a channel.
#[derive(Debug)]
pub(super) struct State {
    pub(super) channel: Channel,
    pub(super) segments: VecDeque<Segment>,
    /// All edits so far, ascending and disjoint.
    pub(super) edits: Vec<Edit>,
    /// Decoded bytes so far.
    pub(super) length: u64,
    /// Decoded bytes that the judge let pass.
    pub(super) passed: u64,
    /// The whole text, where it is judged only when it is complete.
    pub(super) collected: String,
    pub(super) is_open: bool,
    hash: DefaultHasher,
}

impl State {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel,
            segments: VecDeque::new(),
            edits: Vec::new(),
            length: 0,
            passed: 0,
            collected: String::new(),
            is_open: true,
            hash: DefaultHasher::new(),
        }
    }

    /// Whether it is judged when it is complete.
    pub(super) fn is_collected(&self) -> bool {
        matches!(self.channel.key.delta, Delta::Arguments | Delta::Input)
    }

    /// Adds a piece that stands in a frame.
    pub(super) fn add(&mut self, frame: u64, piece: &str, raw: Range<usize>) {
        let start = self.length;
        let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(bytes);
        self.hash.write(piece.as_bytes());
        if self.is_collected() {
            self.collected.push_str(piece);
        }
        self.segments.push_back(Segment {
            frame,
            text: start..self.length,
            raw,
        });
    }

    /// Whether the text that came in pieces was this.
    pub(super) fn was(&self, text: &str) -> bool {
        let mut hash = DefaultHasher::new();
        hash.write(text.as_bytes());
        u64::try_from(text.len()) == Ok(self.length) && hash.finish() == self.hash.finish()
    }

    /// Takes the first segment that the judge has decided on.
    pub(super) fn take_decided(&mut self) -> Option<Segment> {
        let first = self.segments.front()?;
        let is_decided = first.text.end <= self.passed
            && !(self.is_open && (self.is_collected() || first.text.start == self.passed));
        is_decided.then(|| self.segments.pop_front()).flatten()
    }

    /// Returns the edits that touch a segment.
    pub(super) fn edits_in(&self, text: &Range<u64>) -> impl Iterator<Item = &Edit> {
        let first = self.edits.partition_point(|edit| edit.end <= text.start);
        let end = text.end;
        self.edits
            .get(first..)
            .unwrap_or_default()
            .iter()
            .take_while(move |edit| edit.start < end)
    }
}

//! What a client has been shown of a stream, as far as an early end depends on it.
//!
//! Noted beside the usage, from the few members that say it. An event counts once its frame is over: nobody is shown
//! half of one.

/// Choices of one answer that are told apart.
const CHOICES: u32 = 64;
/// Items that may be open at a time; further ones are not closed by an early end.
const OPEN_ITEMS: usize = 64;

/// What an event changes of the structure of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Step {
    #[default]
    None,
    /// The answer begins.
    Begin,
    // Anthropic.
    BlockStart,
    BlockStop,
    StopReason,
    // Responses.
    ItemAdded,
    PartAdded,
    TextDone,
    PartDone,
    ItemDone,
}

impl Step {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "message_start" | "response.created" => Self::Begin,
            "content_block_start" => Self::BlockStart,
            "content_block_stop" => Self::BlockStop,
            "message_delta" => Self::StopReason,
            "response.output_item.added" => Self::ItemAdded,
            "response.content_part.added" => Self::PartAdded,
            "response.output_text.done" => Self::TextDone,
            "response.content_part.done" => Self::PartDone,
            "response.output_item.done" => Self::ItemDone,
            _ => Self::None,
        }
    }
}

/// What a block of Anthropic's is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BlockKind {
    #[default]
    Other,
    Text,
    /// A call of one of the client's own tools.
    Call,
}

/// An item of a Responses answer whose end the client has not seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenItem {
    pub(crate) index: u32,
    pub(crate) id: String,
    pub(crate) kind: String,
    /// Parts that are complete.
    pub(crate) parts: u32,
    /// A part is being shown, and whether its text has ended.
    pub(crate) part: Option<bool>,
}

/// The choices of chat chunks, one bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Choices {
    seen: u64,
    finished: u64,
    calling: u64,
}

/// What the client has seen, and what the event being read would add.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Events that were shown.
    pub(crate) events: u64,
    pub(crate) has_begun: bool,
    /// Whether that was all.
    pub(crate) has_ended: bool,
    /// The block that is open.
    pub(crate) open_block: Option<BlockKind>,
    pub(crate) blocks: u32,
    pub(crate) has_call: bool,
    pub(crate) has_stop_reason: bool,
    pub(crate) items: u32,
    pub(crate) open_items: Vec<OpenItem>,
    choices: Choices,
    read: Read,
}

/// Of the event being read.
#[derive(Debug, Default)]
struct Read {
    is_whole: bool,
    step: Step,
    block: BlockKind,
    item_id: String,
    item_kind: String,
    choices: Choices,
    choice: Choice,
}

/// The choice being read.
#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    index: u32,
    is_finished: bool,
    is_calling: bool,
}

impl Shown {
    pub(super) fn step(&mut self, name: &str) {
        self.read.step = Step::named(name);
    }

    pub(super) fn block_kind(&mut self, name: &str) {
        self.read.block = match name {
            "text" => BlockKind::Text,
            "tool_use" => BlockKind::Call,
            _ => BlockKind::Other,
        };
    }

    pub(super) fn item_id(&mut self, id: &str) {
        id.clone_into(&mut self.read.item_id);
    }

    pub(super) fn item_kind(&mut self, kind: &str) {
        kind.clone_into(&mut self.read.item_kind);
    }

    pub(super) fn choice_begins(&mut self) {
        self.read.choice = Choice::default();
    }

    pub(super) fn choice_index(&mut self, written: &str) {
        self.read.choice.index = written.parse().unwrap_or(CHOICES);
    }

    pub(super) fn choice_finishes(&mut self) {
        self.read.choice.is_finished = true;
    }

    pub(super) fn choice_calls(&mut self) {
        self.read.choice.is_calling = true;
    }

    pub(super) fn choice_ends(&mut self) {
        let Choice {
            index,
            is_finished,
            is_calling,
        } = self.read.choice;
        let Some(bit) = 1_u64.checked_shl(index) else {
            return;
        };
        let choices = &mut self.read.choices;
        choices.seen |= bit;
        choices.finished |= if is_finished { bit } else { 0 };
        choices.calling |= if is_calling { bit } else { 0 };
    }

    /// The event is complete; it is shown when its frame is over.
    pub(super) fn event_read(&mut self) {
        self.read.is_whole = true;
    }

    /// The frame is over.
    pub(super) fn frame_ended(&mut self) {
        if !std::mem::take(&mut self.read.is_whole) {
            self.read.step = Step::None;
            return;
        }
        self.events = self.events.saturating_add(1);
        let read = std::mem::take(&mut self.read.choices);
        self.choices.seen |= read.seen;
        self.choices.finished |= read.finished;
        self.choices.calling |= read.calling;
        match std::mem::take(&mut self.read.step) {
            Step::None => {}
            Step::Begin => self.has_begun = true,
            Step::BlockStart => {
                let kind = std::mem::take(&mut self.read.block);
                self.open_block = Some(kind);
                self.blocks = self.blocks.saturating_add(1);
                self.has_call |= kind == BlockKind::Call;
            }
            Step::BlockStop => self.open_block = None,
            Step::StopReason => self.has_stop_reason = true,
            Step::ItemAdded => self.item_added(),
            Step::PartAdded => self.change_item(|item| item.part = Some(false)),
            Step::TextDone => self.change_item(|item| item.part = item.part.map(|_| true)),
            Step::PartDone => self.change_item(|item| {
                item.part = None;
                item.parts = item.parts.saturating_add(1);
            }),
            Step::ItemDone => {
                let id = std::mem::take(&mut self.read.item_id);
                let before = self.open_items.len();
                self.open_items.retain(|item| item.id != id);
                if before == self.open_items.len() {
                    self.items = self.items.saturating_add(1);
                }
            }
        }
    }

    fn item_added(&mut self) {
        let index = self.items;
        self.items = self.items.saturating_add(1);
        let id = std::mem::take(&mut self.read.item_id);
        let kind = std::mem::take(&mut self.read.item_kind);
        if self.open_items.len() < OPEN_ITEMS {
            self.open_items.push(OpenItem {
                index,
                id,
                kind,
                ..OpenItem::default()
            });
        }
    }

    /// Changes the item that is being shown: parts come one item after the other.
    fn change_item(&mut self, change: impl FnOnce(&mut OpenItem)) {
        if let Some(item) = self.open_items.last_mut() {
            change(item);
        }
    }

    /// Returns the choices that have begun: their numbers, whether they are finished, and whether they call tools.
    pub(crate) fn choices(&self) -> impl Iterator<Item = (u32, bool, bool)> {
        let Choices {
            seen,
            finished,
            calling,
        } = self.choices;
        (0..CHOICES).filter_map(move |index| {
            let bit = 1_u64 << index;
            (seen & bit != 0).then_some((index, finished & bit != 0, calling & bit != 0))
        })
    }
}

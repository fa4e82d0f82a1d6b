//! Items, parts and tools while they are read: whether one stands for itself or for a stored one is known at its end.

use super::shapes::{Own, Place};

/// An item, part, tool or skill that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Whether its id is told: it is an item or a skill.
    pub(super) keeps_id: bool,
    pub(super) kind: Kind,
    pub(super) has_role: bool,
    /// Where its id stands, if it has one.
    pub(super) id_at: Option<u64>,
    own: OwnContent,
    /// A tool of a kind that is not known to be run by the client.
    pub(super) runs_at_provider: bool,
    /// Whether something was passed over that only some kinds hand on unread.
    pub(super) has_unread: bool,
}

/// Parts that are open, outermost first; the first few cost no allocation.
#[derive(Debug)]
pub(super) struct Parts {
    near: [Part; NEAR],
    far: Vec<Part>,
    length: usize,
}

/// Depth of ordinary conversations: a text in a tool's result.
const NEAR: usize = 3;

impl Parts {
    pub(super) const fn new() -> Self {
        Self {
            near: [Part::new(Place::Way); NEAR],
            far: Vec::new(),
            length: 0,
        }
    }

    pub(super) fn push(&mut self, part: Part) {
        match self.near.get_mut(self.length) {
            Some(slot) => *slot = part,
            None => self.far.push(part),
        }
        self.length += 1;
    }

    pub(super) fn pop(&mut self) -> Option<Part> {
        self.length = self.length.checked_sub(1)?;
        match self.near.get(self.length) {
            Some(part) => Some(*part),
            None => self.far.pop(),
        }
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Part> {
        match self.near.get_mut(self.length.checked_sub(1)?) {
            Some(part) => Some(part),
            None => self.far.last_mut(),
        }
    }
}

/// What a part says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unsaid,
    /// `item_reference`
    Reference,
    /// `message`
    Message,
    /// `reasoning`
    Reasoning,
    /// `image_generation_call`
    Image,
    /// A call of the model, or a function: what it holds for the tool is handed on as it is.
    HandsOn,
    /// A skill of the provider's own.
    Vendor,
    Other,
}

impl Kind {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "item_reference" => Self::Reference,
            "message" => Self::Message,
            "reasoning" => Self::Reasoning,
            "image_generation_call" => Self::Image,
            "anthropic" => Self::Vendor,
            // Calls, whose arguments were the model's words, and functions, which the client runs.
            "apply_patch_call"
            | "code_interpreter_call"
            | "computer_call"
            | "custom_tool_call"
            | "file_search_call"
            | "function"
            | "function_call"
            | "local_shell_call"
            | "mcp_approval_request"
            | "mcp_call"
            | "mcp_tool_use"
            | "server_tool_use"
            | "shell_call"
            | "tool_search"
            | "tool_search_call"
            | "tool_use"
            | "web_search_call" => Self::HandsOn,
            _ => Self::Other,
        }
    }

    /// Whether arguments and parameters are handed on unread; a part that does not say what it is holds none.
    pub(super) const fn hands_on(self) -> bool {
        matches!(self, Self::HandsOn | Self::Unsaid)
    }
}

/// Whether a tool of this kind does nothing before the client has got the model's call. A tool that does not say what
/// it is is one of these, too.
pub(super) fn is_clients_tool(kind: &str) -> bool {
    // Anthropic puts the date of a version behind the name.
    let name = kind
        .rsplit_once('_')
        .filter(|(_, date)| date.len() == 8 && date.bytes().all(|digit| digit.is_ascii_digit()));
    match name {
        Some((name, _)) => matches!(name, "bash" | "computer" | "memory" | "text_editor"),
        None => matches!(
            kind,
            "apply_patch"
                | "computer"
                | "computer_use_preview"
                | "custom"
                | "function"
                | "local_shell"
                | "namespace"
        ),
    }
}

#[derive(Clone, Copy, Debug)]
struct OwnContent {
    said: bool,
    image: bool,
    other: bool,
}

impl Part {
    pub(super) const fn new(place: Place) -> Self {
        Self {
            keeps_id: matches!(place, Place::Item | Place::Skill),
            kind: Kind::Unsaid,
            has_role: false,
            id_at: None,
            own: OwnContent {
                said: false,
                image: false,
                other: false,
            },
            runs_at_provider: false,
            has_unread: false,
        }
    }

    pub(super) fn has(&mut self, own: Own) {
        match own {
            Own::Said => self.own.said = true,
            Own::Image => self.own.image = true,
            Own::Made | Own::More => self.own.other = true,
        }
    }

    /// Whether an id of it can only mean a stored one.
    pub(super) const fn stands_for_another(&self, is_item: bool) -> bool {
        let OwnContent { said, image, other } = self.own;
        match self.kind {
            Kind::Reference => true,
            // Without a type an item of Responses is a message if somebody says it.
            Kind::Unsaid if is_item => !(self.has_role && said),
            Kind::Message | Kind::Reasoning => !said,
            Kind::Image => !image,
            Kind::Unsaid | Kind::HandsOn | Kind::Vendor | Kind::Other => !(said || image || other),
        }
    }
}

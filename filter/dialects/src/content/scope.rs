//! Scopes: what the objects of a conversation say about the texts inside them.

use policy::guardrail::TextRole;

use super::Media;
use super::area::Begins;

/// Stands for the document.
pub(crate) const ROOT: u32 = 0;

/// What is known about one turn, part or event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    parent: u32,
    is_turn: bool,
    /// Who speaks: what a turn's role says, or what holds where it says none.
    speaker: Option<TextRole>,
    kind: Kind,
    /// What kind of data it holds, where it says so.
    mime: Option<Mime>,
    is_thought: bool,
    is_signed: bool,
    pub(crate) index: Option<u32>,
    pub(crate) part_index: Option<u32>,
}

/// What an item says that it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Unsaid,
    Other,
    /// Reasoning that is shown.
    Thinking,
    /// Reasoning that is encrypted.
    Redacted,
    ToolCall,
    ToolResult,
    Document,
    /// A source that holds its data as text.
    TextSource,
    /// A source that holds its data in base64.
    Base64Source,
}

/// What kind of data a scope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mime {
    Text,
    Media(Media),
}

impl Mime {
    pub(crate) fn named(name: &[u8]) -> Self {
        let end = name.iter().position(|byte| matches!(byte, b';' | b','));
        let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
        let mut parts = name.splitn(2, |byte| *byte == b'/');
        let major = parts.next().unwrap_or_default();
        // The slash may be written as an escape.
        match major.strip_suffix(b"\\").unwrap_or(major) {
            b"text" => Self::Text,
            b"application" if TEXTS.contains(&parts.next().unwrap_or_default()) => Self::Text,
            b"image" => Self::Media(Media::Image),
            b"audio" => Self::Media(Media::Audio),
            b"video" => Self::Media(Media::Video),
            _ => Self::Media(Media::File),
        }
    }
}

/// What is text although its type says `application`.
const TEXTS: &[&[u8]] = &[
    b"json",
    b"xml",
    b"yaml",
    b"x-yaml",
    b"toml",
    b"javascript",
    b"sql",
    b"csv",
    b"x-sh",
];

impl Kind {
    fn named(name: &[u8]) -> Self {
        match name {
            b"thinking" | b"reasoning" => Self::Thinking,
            b"redacted_thinking" => Self::Redacted,
            b"document" | b"input_file" | b"file" | b"search_result" => Self::Document,
            b"text" => Self::TextSource,
            b"base64" => Self::Base64Source,
            b"mcp_list_tools" => Self::ToolResult,
            b"mcp_approval_request" => Self::ToolCall,
            _ if name.ends_with(b"tool_use") || name.ends_with(b"_call") => Self::ToolCall,
            _ if name.ends_with(b"_result") || name.ends_with(b"_output") => Self::ToolResult,
            _ => Self::Other,
        }
    }
}

fn role_named(name: &[u8]) -> TextRole {
    match name {
        b"system" | b"developer" => TextRole::System,
        b"user" => TextRole::User,
        b"assistant" | b"model" => TextRole::Assistant,
        b"tool" | b"function" => TextRole::ToolResult,
        _ => TextRole::Attachment,
    }
}

/// All scopes of a document, in the order in which they began.
#[derive(Debug)]
pub(crate) struct Scopes {
    all: Vec<Scope>,
    /// Whether a text that reasoned stays as it is, signed or not: its signature may come after it.
    thinking_is_frozen: bool,
}

impl Scopes {
    /// Begins a document in which this role holds where nothing says another.
    pub(crate) fn new(speaker: TextRole, thinking_is_frozen: bool) -> Self {
        let mut scopes = Self {
            all: Vec::new(),
            thinking_is_frozen,
        };
        scopes.reset(speaker);
        scopes
    }

    pub(crate) fn reset(&mut self, speaker: TextRole) {
        self.all.clear();
        self.begin(ROOT, Begins::Turn(Some(speaker)));
        if let Some(root) = self.all.first_mut() {
            root.is_turn = false;
        }
    }

    /// Begins a scope inside another and returns its number.
    pub(crate) fn begin(&mut self, parent: u32, begins: Begins) -> u32 {
        let (is_turn, speaker) = match begins {
            Begins::Turn(speaker) => (true, speaker),
            Begins::Part | Begins::Nothing => (false, None),
        };
        self.all.push(Scope {
            parent,
            is_turn,
            speaker,
            kind: Kind::Unsaid,
            mime: None,
            is_thought: false,
            is_signed: false,
            index: None,
            part_index: None,
        });
        u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
    }

    /// Returns how many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, scope: u32) -> Option<&Scope> {
        self.all.get(scope as usize)
    }

    fn get_mut(&mut self, scope: u32) -> Option<&mut Scope> {
        self.all.get_mut(scope as usize)
    }

    pub(crate) fn say_kind(&mut self, scope: u32, name: &[u8]) {
        if let Some(scope) = self.get_mut(scope) {
            scope.kind = Kind::named(name);
        }
    }

    pub(crate) fn say_role(&mut self, scope: u32, name: &[u8]) {
        if let Some(scope) = self.get_mut(scope) {
            scope.speaker = Some(role_named(name));
        }
    }

    pub(crate) fn say_mime(&mut self, scope: u32, name: &[u8]) {
        if let Some(scope) = self.get_mut(scope) {
            scope.mime = Some(Mime::named(name));
        }
    }

    pub(crate) fn say_thought(&mut self, scope: u32) {
        if let Some(scope) = self.get_mut(scope) {
            scope.is_thought = true;
        }
    }

    pub(crate) fn say_signed(&mut self, scope: u32) {
        if let Some(scope) = self.get_mut(scope) {
            scope.is_signed = true;
        }
    }

    pub(crate) fn say_index(&mut self, scope: u32, index: u32) {
        if let Some(scope) = self.get_mut(scope) {
            scope.index = Some(index);
        }
    }

    pub(crate) fn say_part_index(&mut self, scope: u32, index: u32) {
        if let Some(scope) = self.get_mut(scope) {
            scope.part_index = Some(index);
        }
    }

    /// All scopes with their numbers.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u32, &Scope)> {
        (0..).zip(&self.all)
    }

    /// The scope itself, the one around it, and so on to the document.
    pub(crate) fn around(&self, scope: u32) -> impl Iterator<Item = (u32, &Scope)> {
        let mut next = Some(scope);
        std::iter::from_fn(move || {
            let number = next?;
            let scope = self.get(number)?;
            next = (number != ROOT).then_some(scope.parent);
            Some((number, scope))
        })
    }

    /// Returns whose words stand in a scope.
    pub(crate) fn speaker(&self, scope: u32) -> TextRole {
        let mut nearest = None;
        for (_, scope) in self.around(scope) {
            let role = scope.own_role();
            // What a tool gave back is that, whatever it contains.
            if role == Some(TextRole::ToolResult) {
                return TextRole::ToolResult;
            }
            nearest = nearest.or(role);
        }
        nearest.unwrap_or(TextRole::Attachment)
    }

    /// Whether the words of a scope are signed or stand beside something encrypted. Nobody but the model signs.
    pub(crate) fn is_frozen(&self, scope: u32) -> bool {
        let turn = self.turn(scope).and_then(|turn| self.get(turn));
        if turn.is_some_and(|turn| !turn.is_turn_of_model()) {
            return false;
        }
        self.around(scope).any(|(_, scope)| {
            let is_thinking = matches!(scope.kind, Kind::Thinking | Kind::Redacted);
            scope.is_signed || scope.is_thought || is_thinking && self.thinking_is_frozen
        })
    }

    /// Returns the turn that a scope belongs to.
    pub(crate) fn turn(&self, scope: u32) -> Option<u32> {
        let turns = self.around(scope).filter(|(_, scope)| scope.is_turn);
        turns.last().map(|(number, _)| number)
    }

    /// Returns the last turn of the model.
    pub(crate) fn last_turn_of_model(&self) -> Option<u32> {
        let last = self.all.iter().rposition(Scope::is_turn_of_model)?;
        u32::try_from(last).ok()
    }

    /// Returns what kind of media the data of a scope is; `None` for text, as far as is known.
    pub(crate) fn media(&self, scope: u32) -> Option<Media> {
        let scope = self.get(scope)?;
        match (scope.kind, scope.mime) {
            (Kind::TextSource, _) | (_, Some(Mime::Text)) | (Kind::Unsaid, None) => None,
            (_, Some(Mime::Media(media))) => Some(media),
            (Kind::Base64Source, None) => Some(Media::File),
            (_, None) => None,
        }
    }

    /// Whether the data of a scope is base64 of text, which cannot be changed in place.
    pub(crate) fn is_encoded_text(&self, scope: u32) -> bool {
        self.get(scope)
            .is_some_and(|scope| scope.kind != Kind::TextSource && scope.mime == Some(Mime::Text))
    }

    /// Whether a scope holds reasoning that is encrypted.
    pub(crate) fn is_redacted(&self, scope: u32) -> bool {
        self.get(scope)
            .is_some_and(|scope| scope.kind == Kind::Redacted)
    }
}

impl Scope {
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    fn own_role(&self) -> Option<TextRole> {
        match self.kind {
            Kind::Thinking | Kind::Redacted => Some(TextRole::Thinking),
            Kind::ToolCall => Some(TextRole::ToolArguments),
            Kind::ToolResult => Some(TextRole::ToolResult),
            Kind::Document => Some(TextRole::Attachment),
            Kind::Unsaid | Kind::Other | Kind::TextSource | Kind::Base64Source
                if self.is_thought =>
            {
                Some(TextRole::Thinking)
            }
            Kind::Unsaid | Kind::Other | Kind::TextSource | Kind::Base64Source => self.speaker,
        }
    }

    fn is_turn_of_model(&self) -> bool {
        let by_kind = matches!(self.kind, Kind::Thinking | Kind::ToolCall);
        self.is_turn && (by_kind || self.speaker == Some(TextRole::Assistant))
    }
}

//! The way from a document to the value being read.

use super::area::{Area, Keys, Rule, UNKNOWN};
use crate::json::{Container, Span};

/// Bytes of a chosen name that a path shows; a longer one is not shown.
const SHOWN_BYTES: usize = 32;

/// A container that is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// What it was told to be.
    pub(crate) rule: Rule,
    /// The scope around it.
    pub(crate) scope: u32,
    pub(crate) label: Option<Span>,
    pub(crate) container: Container,
    /// Items or members that have ended.
    count: u32,
    /// Where the name of the current member begins among all names.
    names_at: u32,
    keys: Keys,
}

impl Frame {
    pub(crate) fn new(rule: Rule, scope: u32, label: Option<Span>, container: Container) -> Self {
        Self {
            rule,
            scope,
            label,
            container,
            count: 0,
            names_at: 0,
            keys: Keys::Names,
        }
    }
}

/// All open containers, outermost first.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    frames: Vec<Frame>,
    /// The names of the current members, as they are written, one after the other.
    names: Vec<u8>,
}

impl Rule {
    /// Returns what a container is made of that stands where this was expected.
    pub(crate) fn area(self) -> &'static Area {
        match self {
            Self::In(area) => area,
            Self::JsonText => &super::area::ARGUMENTS,
            Self::Locator(_) => &super::area::IMAGE,
            Self::Tokens => &super::area::USER,
            Self::Known
            | Self::Fact(_)
            | Self::Media(_)
            | Self::Source
            | Self::Data
            | Self::Reference(_)
            | Self::Vector
            | Self::Shadow
            | Self::Echo
            | Self::Delta(_)
            | Self::Restated(_) => &UNKNOWN,
        }
    }
}

impl Trail {
    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.names.clear();
    }

    pub(crate) fn depth(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn push(&mut self, frame: Frame) {
        let names_at = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.frames.push(Frame { names_at, ..frame });
    }

    pub(crate) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop()?;
        self.names.truncate(frame.names_at as usize);
        Some(frame)
    }

    /// Counts a value that has ended.
    pub(crate) fn count(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.count = frame.count.saturating_add(1);
        }
    }

    /// Takes back a count.
    pub(crate) fn uncount(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.count = frame.count.saturating_sub(1);
        }
    }

    /// Whether the value being read is the first of its container.
    pub(crate) fn is_at_first(&self) -> bool {
        self.frames.last().is_none_or(|frame| frame.count == 0)
    }

    /// Returns what the innermost container is made of.
    pub(crate) fn area(&self) -> Option<&'static Area> {
        self.frames.last().map(|frame| frame.rule.area())
    }

    /// Notes the name of the innermost container's next member.
    pub(crate) fn name(&mut self, raw: &[u8], keys: Keys) {
        if let Some(frame) = self.frames.last_mut() {
            frame.keys = keys;
            self.names.truncate(frame.names_at as usize);
            self.names.extend_from_slice(raw);
        }
    }

    /// Returns the name of the member that the value stands under, for a list that of the list.
    pub(crate) fn label(&self) -> &str {
        let named = self
            .frames
            .iter()
            .rposition(|frame| frame.container == Container::Object);
        let name = named.map(|frame| self.member(frame)).unwrap_or_default();
        str::from_utf8(name).unwrap_or_default()
    }

    /// Returns the name of the current member of a container.
    fn member(&self, frame: usize) -> &[u8] {
        let from = self.frames.get(frame).map_or(0, |frame| frame.names_at);
        let to = self
            .frames
            .get(frame + 1)
            .map(|next| next.names_at as usize);
        let to = to.unwrap_or(self.names.len());
        self.names.get(from as usize..to).unwrap_or_default()
    }

    /// Writes the way as `$.messages[3].content[0].text`.
    ///
    /// Names that somebody chose may hold what is looked for, so they are shown only if they look like names.
    pub(crate) fn path(&self) -> String {
        let mut path = String::from("$");
        for (number, frame) in self.frames.iter().enumerate() {
            if frame.container == Container::Array {
                path.push_str(&format!("[{}]", frame.count));
                continue;
            }
            let name = str::from_utf8(self.member(number)).unwrap_or_default();
            path.push('.');
            if frame.keys == Keys::Names && !name.is_empty() || is_plain(name) {
                path.push_str(name);
            } else {
                path.push('*');
            }
        }
        path
    }
}

fn is_plain(name: &str) -> bool {
    (1..=SHOWN_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

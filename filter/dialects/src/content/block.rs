//! A text of a body, as its reader tells it.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::BlockKind;
use super::trail::Trail;
use crate::escape::{Offsets, escape_into, unescape};
use crate::json::Span;
use crate::splice::Splice;

/// A change of a decoded text: bytes `start..end` of it become `with`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Offset of the first byte replaced.
    pub start: u64,
    /// Offset after the last byte replaced.
    pub end: u64,
    /// What stands there then, unescaped.
    pub with: String,
}

/// A literal and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Literal<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) span: Span,
}

/// The literal around a text that stands inside JSON text.
#[derive(Debug)]
pub(crate) struct Outer<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) span: Span,
    pub(crate) offsets: OnceCell<Offsets>,
}

/// A text of a body.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    index: usize,
    kind: BlockKind,
    literal: Literal<'a>,
    outer: Option<&'a Outer<'a>>,
    trail: &'a Trail,
    offsets: OnceCell<Offsets>,
}

impl<'a> Block<'a> {
    pub(crate) fn new(
        index: usize,
        kind: BlockKind,
        literal: Literal<'a>,
        outer: Option<&'a Outer<'a>>,
        trail: &'a Trail,
    ) -> Self {
        Self {
            index,
            kind,
            literal,
            outer,
            trail,
            offsets: OnceCell::new(),
        }
    }

    fn offsets(&self) -> &Offsets {
        self.offsets.get_or_init(|| Offsets::of(self.literal.raw))
    }

    /// Returns the number of the block: its place is [`Content::place`](super::Content::place) of it.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns what it is.
    pub fn kind(&self) -> BlockKind {
        self.kind
    }

    /// Returns the literal between its quotes, still escaped; inside JSON text the outer level is decoded.
    pub fn raw(&self) -> &'a [u8] {
        self.literal.raw
    }

    /// Returns the decoded text.
    pub fn text(&self) -> Cow<'a, [u8]> {
        unescape(self.literal.raw)
    }

    /// Returns the name of the member that it is the value of, as it is written; empty for a name itself.
    pub fn label(&self) -> &'a str {
        match self.kind {
            BlockKind::Text | BlockKind::Number => self.trail.label(),
            BlockKind::Key => "",
        }
    }

    /// Returns the path for records. Names that somebody chose and that do not look like names are `*`.
    pub fn path(&self) -> String {
        shown_path(self.trail, self.kind)
    }

    /// Adds what changes the body so that its text is edited.
    ///
    /// Edits are ascending and disjoint, their offsets those of [`text`](Self::text). A number becomes a string.
    pub fn splices(&self, edits: &[Edit], out: &mut Vec<Splice>) {
        if edits.is_empty() {
            return;
        }
        let raw = self.literal.raw;
        if self.kind == BlockKind::Number {
            let text = apply_edits(&String::from_utf8_lossy(raw), edits);
            let with = self.quoted(&text);
            return out.push(self.splice(0..raw.len(), with));
        }
        let offsets = self.offsets();
        let mut last = 0;
        for edit in edits {
            let start = usize::try_from(edit.start).unwrap_or(usize::MAX);
            let end = usize::try_from(edit.end).unwrap_or(usize::MAX);
            let range = offsets.range(start..end);
            let range = range.start.max(last)..range.end.max(last);
            last = range.end;
            let mut with = Vec::new();
            escape_into(&edit.with, u8::from(self.outer.is_some()), &mut with);
            out.push(self.splice(range, with));
        }
    }

    /// Returns where parts of the decoded text stand in the body; no escape is cut. A number counts as one piece.
    pub fn spans_of(&self, parts: &[core::ops::Range<usize>]) -> Vec<Span> {
        let raw = self.literal.raw;
        let offsets = self.offsets();
        let spans = parts.iter().map(|part| {
            let range = match self.kind {
                BlockKind::Number => 0..raw.len(),
                BlockKind::Text | BlockKind::Key => offsets.range(part.clone()),
            };
            let Splice { start, end, .. } = self.splice(range, Vec::new());
            Span { start, end }
        });
        spans.collect()
    }

    fn quoted(&self, text: &str) -> Vec<u8> {
        let quote: &[u8] = if self.outer.is_some() { b"\\\"" } else { b"\"" };
        let mut with = quote.to_vec();
        escape_into(text, u8::from(self.outer.is_some()), &mut with);
        with.extend_from_slice(quote);
        with
    }

    /// Replaces a part of the literal.
    fn splice(&self, range: std::ops::Range<usize>, with: Vec<u8>) -> Splice {
        let at = |index: usize| u64::try_from(index).unwrap_or(u64::MAX);
        let start = self.literal.span.start.saturating_add(at(range.start));
        let end = self.literal.span.start.saturating_add(at(range.end));
        let Some(outer) = self.outer else {
            return Splice { start, end, with };
        };
        let offsets = outer.offsets.get_or_init(|| Offsets::of(outer.raw));
        let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let range = offsets.range(index(start)..index(end));
        Splice {
            start: outer.span.start.saturating_add(at(range.start)),
            end: outer.span.start.saturating_add(at(range.end)),
            with,
        }
    }
}

/// A text that is too long to be told whole: its pieces follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongText {
    /// As [`Block::index`].
    pub index: usize,
    /// A string or a name.
    pub kind: BlockKind,
    /// As [`Block::path`].
    pub path: String,
    /// Where the literal stands in the body, behind its quote.
    pub at: u64,
}

/// Returns the path of a text for records.
pub(super) fn shown_path(trail: &Trail, kind: BlockKind) -> String {
    let path = trail.path();
    match (kind, path.rfind('.')) {
        (BlockKind::Key, Some(dot)) => format!("{}.*", path.get(..dot).unwrap_or_default()),
        _ => path,
    }
}

/// Returns a text with its edits, which are ascending and disjoint.
pub fn apply_edits(text: &str, edits: &[Edit]) -> String {
    let mut edited = String::with_capacity(text.len());
    let mut read = 0;
    for edit in edits {
        let start = text.ceil_char_boundary(usize::try_from(edit.start).unwrap_or(usize::MAX));
        let end = text.ceil_char_boundary(usize::try_from(edit.end).unwrap_or(usize::MAX));
        edited.push_str(text.get(read..start).unwrap_or_default());
        edited.push_str(&edit.with);
        read = end.max(read);
    }
    edited.push_str(text.get(read..).unwrap_or_default());
    edited
}

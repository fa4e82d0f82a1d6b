//! The texts of a request or of a whole answer: scanned while the body is read, judged when it has been.

use std::collections::BTreeMap;
use std::rc::Rc;

use detect::{Finding, Groups};
use dialects::content::{Block, BlockKind, BlockSink, Content};
use dialects::escape::escape_into;
use dialects::splice::Splice;
use policy::guardrail::{Action, OnError, TextRole};
use xxhash_rust::xxh3::xxh3_64;

use super::channel::{Bench, restore};
use super::outcome::Why;
use super::token::{TokenKey, find_tokens};
use super::verdict::{Cause, Judgement, Text, TextEdit};
use super::{Guard, Selection};

/// Findings in one body that can be acted on.
const FINDINGS: usize = 50_000;

/// Tokens in one body that are looked up at most.
const MENTIONED: usize = 1_000;

/// Scans the texts of a JSON body while it is read.
#[derive(Debug)]
pub(crate) struct ContentScan {
    guard: Rc<Guard>,
    groups: Groups,
    tenant: u64,
    texts: u32,
    found: Vec<Found>,
    /// Tokens that stand in the body, each once.
    mentioned: Vec<String>,
    /// Findings in all.
    findings: usize,
    /// Texts that hold tokens are kept as if something had been found in them.
    restores: bool,
}

/// A text in which something was found.
#[derive(Debug)]
struct Found {
    index: usize,
    kind: BlockKind,
    path: String,
    /// Decoded.
    text: Box<[u8]>,
    findings: Rc<[Finding]>,
    /// Where in the body the text, its findings and its tokens begin and end, by their offsets in the text.
    starts: BTreeMap<usize, u64>,
    ends: BTreeMap<usize, u64>,
}

/// What a body holds, once it has been read.
#[derive(Debug)]
pub(crate) struct Scanned {
    content: Content,
    texts: u32,
    found: Vec<Found>,
    pub mentioned: Vec<String>,
    /// There are more findings than can be acted on.
    is_too_much: bool,
}

impl ContentScan {
    pub(crate) fn new(
        guard: Rc<Guard>,
        selection: &Selection,
        direction: super::Direction,
        tenant: &[u8],
        restores: bool,
    ) -> Self {
        let groups = guard.groups(selection, direction);
        Self {
            guard,
            groups,
            tenant: xxh3_64(tenant),
            texts: 0,
            found: Vec::new(),
            mentioned: Vec::new(),
            findings: 0,
            restores,
        }
    }

    /// Says that the body has been read.
    pub(crate) fn finish(self, content: Content) -> Scanned {
        Scanned {
            content,
            texts: self.texts,
            found: self.found,
            mentioned: self.mentioned,
            is_too_much: self.findings > FINDINGS,
        }
    }

    fn keep(&mut self, block: &Block<'_>, findings: Rc<[Finding]>) {
        let text = block.text();
        let mut starts = BTreeMap::new();
        let mut ends = BTreeMap::new();
        let tokens = find_tokens(self.guard.tokens(), &text);
        let places = findings.iter().map(|finding| finding.secret.clone());
        let all = core::iter::once(0..text.len());
        let parts: Vec<_> = all.chain(places).chain(tokens).collect();
        for (part, span) in parts.iter().zip(block.spans_of(&parts)) {
            starts.insert(part.start, span.start);
            ends.insert(part.end, span.end);
        }
        self.found.push(Found {
            index: block.index(),
            kind: block.kind(),
            path: block.path(),
            text: text.into(),
            findings,
            starts,
            ends,
        });
    }
}

impl BlockSink for ContentScan {
    fn block(&mut self, block: Block<'_>) {
        self.texts = self.texts.saturating_add(1);
        let raw = block.raw();
        let findings = self
            .guard
            .scan_literal(raw, block.label(), self.groups, self.tenant);
        let has_tokens = mention(self.guard.tokens(), raw, &mut self.mentioned);
        self.findings = self
            .findings
            .saturating_add(findings.as_ref().map_or(0, |all| all.len()));
        if self.findings > FINDINGS {
            self.found.clear();
            return;
        }
        if findings.is_some() || (has_tokens && self.restores) {
            self.keep(&block, findings.unwrap_or_default());
        }
    }
}

impl Found {
    /// Turns a change of the text into one of the body.
    ///
    /// Changes begin and end where findings or tokens do; one that did not would take more of the text, never less.
    fn splice(&self, is_nested: bool, edit: &TextEdit) -> Option<Splice> {
        let (_, &start) = self.starts.range(..=edit.range.start).next_back()?;
        let (_, &end) = self.ends.range(edit.range.end..).next()?;
        let nesting = u8::from(is_nested);
        let mut with = Vec::with_capacity(edit.with.len());
        let quote: &[u8] = match (self.kind, is_nested) {
            (BlockKind::Number, false) => b"\"",
            (BlockKind::Number, true) => b"\\\"",
            (BlockKind::Text | BlockKind::Key, _) => b"",
        };
        with.extend_from_slice(quote);
        escape_into(&edit.with, nesting, &mut with);
        with.extend_from_slice(quote);
        Some(Splice { start, end, with })
    }
}

/// Notes the tokens in `text`, which hold nothing that JSON would escape; returns whether there are any.
fn mention(key: &TokenKey, text: &[u8], mentioned: &mut Vec<String>) -> bool {
    let mut any = false;
    for range in find_tokens(key, text) {
        any = true;
        let token = text
            .get(range)
            .and_then(|token| core::str::from_utf8(token).ok());
        if let Some(token) = token
            && mentioned.len() < MENTIONED
            && !mentioned.iter().any(|known| known == token)
        {
            mentioned.push(token.to_owned());
        }
    }
    any
}

impl Scanned {
    /// Judges everything that was found; returns the changes of the body.
    pub(crate) fn judge(&self, bench: Bench<'_>, judgement: &mut Judgement) -> Vec<Splice> {
        let Bench {
            guard, selection, ..
        } = bench;
        judgement.count(self.texts);
        if self.is_too_much {
            judgement.not_scanned(guard, selection, Why::TooLong, 1);
            let cause = Cause {
                rule: "too-many",
                description: "more findings than can be acted on",
                role: TextRole::Attachment,
            };
            judgement.stop_if(guard, selection, cause, |rules| {
                let mut stages = rules.stages.iter();
                let acts = stages.any(|stage| stage.action != Action::Observe);
                acts && rules.on_error == OnError::Block
            });
        }
        let mut splices = Vec::new();
        for found in &self.found {
            let Some(place) = self.content.place(found.index) else {
                continue;
            };
            if place.is_media {
                continue;
            }
            let bytes = &found.text;
            let text = Text {
                bytes,
                role: place.role,
                is_history: place.is_history,
                may_change: place.may_change,
            };
            let path = || found.path.clone();
            let mut edits = judgement.text(guard, selection, text, &found.findings, &path);
            if place.may_change {
                restore(bench, judgement, place.role, bytes, &mut edits);
            }
            if found.kind == BlockKind::Number {
                edits.truncate(1);
            }
            let edits = edits.iter();
            splices.extend(edits.filter_map(|edit| found.splice(place.is_nested, edit)));
        }
        self.content.complete(&mut splices);
        for unscanned in self.content.unscanned() {
            judgement.unscanned(guard, selection, unscanned.kind);
        }
        splices
    }
}

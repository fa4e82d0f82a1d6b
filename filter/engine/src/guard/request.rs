//! The texts of a request or of a whole answer: scanned while the body is read, judged when it has been.

use std::rc::Rc;

use detect::Groups;
use dialects::content::{Block, BlockKind, BlockSink, Content, LongText};
use dialects::splice::Splice;
use policy::guardrail::{Action, OnError, TextRole};
use xxhash_rust::xxh3::xxh3_64;

use super::channel::{Bench, restore};
use super::found::Found;
use super::long::{Around, LongScan};
use super::outcome::Why;
use super::token::{TokenKey, find_tokens};
use super::verdict::{Cause, Judgement, Text};
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
    /// The text that comes in pieces.
    long: Option<Box<LongScan>>,
    /// Texts of which a part had to be let go undecided.
    overrun: Vec<usize>,
    /// Tokens that stand in the body, each once.
    mentioned: Vec<String>,
    /// Findings in all.
    findings: usize,
    /// Texts that hold tokens are kept as if something had been found in them.
    restores: bool,
}

/// What a body holds, once it has been read.
#[derive(Debug)]
pub(crate) struct Scanned {
    content: Content,
    texts: u32,
    found: Vec<Found>,
    overrun: Vec<usize>,
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
            long: None,
            overrun: Vec::new(),
            mentioned: Vec::new(),
            findings: 0,
            restores,
        }
    }

    /// Says that the body has been read.
    pub(crate) fn finish(self, content: Content) -> Scanned {
        Scanned {
            is_too_much: self.is_too_much(),
            content,
            texts: self.texts,
            found: self.found,
            overrun: self.overrun,
            mentioned: self.mentioned,
        }
    }

    /// Whether more was found than can be acted on: then nothing more is looked for.
    fn is_too_much(&self) -> bool {
        self.findings > FINDINGS
    }

    fn count(&mut self, findings: usize) {
        self.findings = self.findings.saturating_add(findings);
        if self.is_too_much() {
            self.found = Vec::new();
            self.long = None;
        }
    }

    fn keep(&mut self, block: &Block<'_>, findings: &[detect::Finding]) {
        let text = block.text();
        let mut tokens: Vec<_> = find_tokens(self.guard.tokens(), &text).collect();
        if !self.restores {
            tokens.retain(|token| {
                let mut secrets = findings.iter().map(|finding| &finding.secret);
                secrets.any(|secret| secret.start < token.end && token.start < secret.end)
            });
        }
        let mut found = Found::new(block.index(), block.kind(), block.path());
        found.add(&text, 0, findings, &tokens, |parts| block.spans_of(parts));
        self.found.push(found);
    }

    /// Lets the text that comes in pieces go on.
    fn long(&mut self, go_on: impl FnOnce(&mut LongScan, &mut Around<'_>)) {
        let Some(mut long) = self.long.take() else {
            return;
        };
        let mentioned = &mut self.mentioned;
        let mut around = Around {
            guard: &self.guard,
            restores: self.restores,
            mention: &mut |token| note(token, mentioned),
        };
        let before = long.findings;
        go_on(&mut long, &mut around);
        let findings = long.findings.saturating_sub(before);
        self.long = Some(long);
        self.count(findings);
    }
}

impl BlockSink for ContentScan {
    fn block(&mut self, block: Block<'_>) {
        self.texts = self.texts.saturating_add(1);
        if self.is_too_much() {
            return;
        }
        let raw = block.raw();
        let findings = self
            .guard
            .scan_literal(raw, block.label(), self.groups, self.tenant);
        let has_tokens = mention(self.guard.tokens(), raw, &mut self.mentioned);
        self.count(findings.as_ref().map_or(0, |all| all.len()));
        if self.is_too_much() {
            return;
        }
        if findings.is_some() || (has_tokens && self.restores) {
            self.keep(&block, &findings.unwrap_or_default());
        }
    }

    fn long_begins(&mut self, text: LongText) {
        self.texts = self.texts.saturating_add(1);
        if !self.is_too_much() {
            self.long = Some(Box::new(LongScan::new(self.groups, text)));
        }
    }

    fn long_piece(&mut self, raw: &[u8]) {
        self.long(|long, around| long.push(raw, around));
    }

    fn long_ends(&mut self) {
        self.long(|long, around| long.finish(around));
        if let Some(long) = self.long.take() {
            if long.is_overrun {
                self.overrun.push(long.found.index);
            }
            if !long.found.is_empty() {
                self.found.push(long.found);
            }
        }
    }
}

/// Notes the tokens in `text`, which hold nothing that JSON would escape; returns whether there are any.
fn mention(key: &TokenKey, text: &[u8], mentioned: &mut Vec<String>) -> bool {
    let mut any = false;
    for range in find_tokens(key, text) {
        any = true;
        note(text.get(range).unwrap_or_default(), mentioned);
    }
    any
}

fn note(token: &[u8], mentioned: &mut Vec<String>) {
    if let Ok(token) = core::str::from_utf8(token)
        && mentioned.len() < MENTIONED
        && !mentioned.iter().any(|known| known == token)
    {
        mentioned.push(token.to_owned());
    }
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
                excerpts: &found.excerpts,
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
        for index in &self.overrun {
            let place = self.content.place(*index);
            if let Some(place) = place.filter(|place| !place.is_media) {
                judgement.overrun(guard, selection, place.role);
            }
        }
        self.content.complete(&mut splices);
        for unscanned in self.content.unscanned() {
            judgement.unscanned(guard, selection, unscanned.kind);
        }
        splices
    }
}

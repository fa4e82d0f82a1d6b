//! A text that is too long to be held: scanned as it comes, and let go up to where that is certain.

use core::ops::Range;

use detect::{Finding, Groups, StreamScan};
use dialects::content::LongText;
use dialects::escape::{Offsets, unescape_into, unescape_piece};
use dialects::json::Span;

use super::Guard;
use super::found::Found;
use super::token::{find_tokens, token_tail};

/// Decoded bytes that are scanned at once. What is found, and what has to be let go undecided, depends on where the
/// pieces end, and so they end at multiples of this, whatever the chunks.
const PIECE_BYTES: usize = 8 * 1024;

/// Decoded bytes that may wait for what decides them.
pub(super) const HOLD_BYTES: usize = 64 * 1024;

/// Bytes that are kept before those that wait: a finding may be told late.
const CONTEXT_BYTES: usize = 1_024;

/// Bytes that are let pile up before what is not needed is moved away.
const SLACK_BYTES: usize = 16 * 1024;

/// A text that comes in pieces of its literal.
#[derive(Debug)]
pub(super) struct LongScan {
    scan: Option<Box<StreamScan>>,
    /// The literal from `raw_at` of the body on; the last bytes of it may not be decoded yet.
    raw: Vec<u8>,
    raw_at: u64,
    decoded: usize,
    /// The same decoded, from `at` of the whole text on.
    text: Vec<u8>,
    at: usize,
    /// Bytes of `text` that were scanned, and looked through for tokens.
    scanned: usize,
    looked: usize,
    /// What was found and may still be cut, with offsets in the whole text.
    waiting: Vec<Finding>,
    tokens: Vec<Range<usize>>,
    pub(super) found: Found,
    /// Whether bytes had to be let go undecided.
    pub(super) is_overrun: bool,
    /// Findings so far.
    pub(super) findings: usize,
}

/// What a long text needs of everything around it.
pub(super) struct Around<'a> {
    pub guard: &'a Guard,
    /// Texts that hold tokens are kept as if something had been found in them.
    pub restores: bool,
    pub mention: &'a mut dyn FnMut(&[u8]),
}

impl LongScan {
    pub(super) fn new(groups: Groups, text: LongText) -> Self {
        let scan = || Box::new(StreamScan::holding(groups, HOLD_BYTES));
        Self {
            scan: (groups != Groups::NONE).then(scan),
            raw: Vec::new(),
            raw_at: text.at,
            decoded: 0,
            text: Vec::new(),
            at: 0,
            scanned: 0,
            looked: 0,
            waiting: Vec::new(),
            tokens: Vec::new(),
            found: Found::new(text.index, text.kind, text.path),
            is_overrun: false,
            findings: 0,
        }
    }

    /// Takes the next piece of the literal.
    pub(super) fn push(&mut self, raw: &[u8], around: &mut Around<'_>) {
        self.raw.extend_from_slice(raw);
        let rest = self.raw.get(self.decoded..).unwrap_or_default();
        self.decoded += unescape_piece(rest, &mut self.text);
        let mut certain = None;
        while self.text.len().saturating_sub(self.scanned) >= PIECE_BYTES {
            certain = Some(self.scan(PIECE_BYTES, around.guard));
        }
        if let Some(certain) = certain {
            self.settle(certain, false, around);
        }
    }

    /// Says that the literal has ended.
    pub(super) fn finish(&mut self, around: &mut Around<'_>) {
        let rest = self.raw.get(self.decoded..).unwrap_or_default();
        unescape_into(rest, &mut self.text);
        self.decoded = self.raw.len();
        self.scan(self.text.len().saturating_sub(self.scanned), around.guard);
        if let Some(scan) = &mut self.scan {
            let waiting = &mut self.waiting;
            let before = waiting.len();
            around
                .guard
                .with_scratch(|rules, scratch| scan.finish(rules, scratch, waiting));
            self.findings += waiting.len() - before;
            self.is_overrun |= !scan.take_overrun().is_empty();
        }
        self.settle(self.at.saturating_add(self.text.len()), true, around);
    }

    /// How many bytes are held of the text, in the body's writing and decoded.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.raw.capacity() + self.text.capacity()
    }

    /// Scans the next `length` bytes; returns up to where everything is certain.
    fn scan(&mut self, length: usize, guard: &Guard) -> usize {
        let end = self.scanned.saturating_add(length).min(self.text.len());
        let piece = self.text.get(self.scanned..end).unwrap_or_default();
        self.scanned = end;
        let Some(scan) = &mut self.scan else {
            return self.at.saturating_add(end);
        };
        guard.count_scanned(piece.len());
        let waiting = &mut self.waiting;
        let before = waiting.len();
        let certain =
            guard.with_scratch(|rules, scratch| scan.push(rules, scratch, piece, waiting));
        self.findings += waiting.len() - before;
        self.is_overrun |= !scan.take_overrun().is_empty();
        usize::try_from(certain).unwrap_or(usize::MAX)
    }

    /// Keeps what was found before `certain`, and lets go of the text there.
    fn settle(&mut self, certain: usize, ends: bool, around: &mut Around<'_>) {
        let tail = if ends { 0 } else { token_tail(&self.text) };
        let looked_to = self.text.len().saturating_sub(tail);
        let unseen = self.text.get(self.looked..looked_to).unwrap_or_default();
        let mut last = self.looked;
        for token in find_tokens(around.guard.tokens(), unseen) {
            (around.mention)(unseen.get(token.clone()).unwrap_or_default());
            let from = self.at.saturating_add(self.looked);
            last = self.looked.saturating_add(token.end);
            self.tokens
                .push(from.saturating_add(token.start)..from.saturating_add(token.end));
        }
        self.looked = looked_to.max(last);
        let certain = certain.min(self.at.saturating_add(looked_to));
        self.keep(certain, ends, around.restores);
        self.let_go(certain);
    }

    /// Keeps the findings that end before `certain`, and the tokens.
    fn keep(&mut self, certain: usize, ends: bool, restores: bool) {
        let is_certain = |end: usize| ends || end <= certain;
        let (findings, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|finding| is_certain(finding.secret.end));
        self.waiting = waiting;
        let (mut tokens, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.tokens)
            .into_iter()
            .partition(|token| is_certain(token.end));
        self.tokens = later;
        if !restores {
            tokens.retain(|token| {
                let mut findings = findings.iter().map(|finding| &finding.secret);
                findings.any(|secret| secret.start < token.end && token.start < secret.end)
            });
        }
        if findings.is_empty() && tokens.is_empty() {
            return;
        }
        let shift = |range: &Range<usize>| {
            range.start.saturating_sub(self.at)..range.end.saturating_sub(self.at)
        };
        let findings: Vec<_> = findings
            .into_iter()
            .map(|finding| Finding {
                secret: shift(&finding.secret),
                ..finding
            })
            .collect();
        let tokens: Vec<_> = tokens.iter().map(shift).collect();
        let (raw, raw_at) = (&self.raw, self.raw_at);
        self.found
            .add(&self.text, self.at, &findings, &tokens, |parts| {
                let offsets = Offsets::of(raw);
                let place = |at: usize| raw_at.saturating_add(at as u64);
                let spans = parts.iter().map(|part| {
                    let range = offsets.range(part.clone());
                    Span {
                        start: place(range.start),
                        end: place(range.end),
                    }
                });
                spans.collect()
            });
    }

    /// Moves away what lies well before `certain`.
    fn let_go(&mut self, certain: usize) {
        let keep = certain
            .saturating_sub(self.at)
            .saturating_sub(CONTEXT_BYTES);
        if keep < SLACK_BYTES {
            return;
        }
        let (keep, raw) = if self.raw.len() == self.text.len() {
            (keep, keep)
        } else {
            Offsets::of(&self.raw).boundary(keep)
        };
        self.text.drain(..keep.min(self.text.len()));
        self.raw.drain(..raw.min(self.raw.len()));
        self.at = self.at.saturating_add(keep);
        self.raw_at = self.raw_at.saturating_add(raw as u64);
        self.decoded = self.decoded.saturating_sub(raw);
        self.scanned = self.scanned.saturating_sub(keep);
        self.looked = self.looked.saturating_sub(keep);
    }
}

#[cfg(test)]
mod tests {
    use dialects::content::BlockKind;
    use policy::compiled::Mesh;
    use policy::guardrail::{
        Action, CompiledGuardrail, Detector, GuardCanary, GuardrailRules, Stage,
    };
    use policy::ids::GuardrailId;
    use policy::secret::Secret;

    use super::*;

    fn mesh() -> Mesh {
        let secrets = policy::compile::MeshSecrets {
            canary: Secret::new("canary"),
            token_key: Secret::new("07".repeat(32)),
        };
        let documents = policy::documents::Documents::default();
        let mut mesh = policy::compile::compile(&documents, secrets).unwrap().mesh;
        mesh.guardrails.push(CompiledGuardrail {
            id: GuardrailId::new(uuid::Uuid::from_bytes([7; 16])),
            name: "g".to_owned(),
            rules: GuardrailRules::new(vec![Stage {
                detectors: vec![Detector::Secrets {
                    disabled_rules: Vec::new(),
                }],
                action: Action::Observe,
            }]),
            canary: GuardCanary {
                text: String::new(),
                rule: String::new(),
            },
        });
        mesh
    }

    /// The memory of a text is that of what waits, whatever its length and whatever is in it.
    #[test]
    fn a_text_is_never_held() {
        let guard = Guard::new(&mesh(), &|_| None, 7).unwrap();
        let secret = r"api_key = ghp_Zx8vB2nM4kL6jH1gF3dS5aQ7wE9rT0yU2iOp\n";
        let lines = [
            "plain words without anything in them ",
            r"line\n\u00e9\ud83d\ude00\t",
            "key= token= secret= password= api= auth= ",
            "-----BEGIN RSA PRIVATE KEY-----",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            secret,
        ];
        for line in lines {
            let text = LongText {
                index: 0,
                kind: BlockKind::Text,
                path: String::new(),
                at: 100,
            };
            let mut long = LongScan::new(Groups(1), text);
            let mut around = Around {
                guard: &guard,
                restores: false,
                mention: &mut |_| {},
            };
            let chunk = line.repeat(HOLD_BYTES / line.len());
            let mut most = 0;
            for _ in 0..32 {
                long.push(chunk.as_bytes(), &mut around);
                most = most.max(long.held());
            }
            long.finish(&mut around);
            assert!(most < 1024 * 1024, "{line}: {most}");
            assert_eq!(long.found.is_empty(), line != secret, "{line}");
        }
    }
}

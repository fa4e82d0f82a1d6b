//! What the findings in one text lead to under the guardrails that apply.

use core::ops::Range;
use std::collections::BTreeMap;

use detect::Finding;
use dialects::content::Media;
use policy::guardrail::{
    Action, GuardrailRules, OnError, OnHistory, OnUnscanned, RedactStyle, TextRole,
};
use policy::secret::Secret;

use super::outcome::{Direction, GuardOutcome, Place, Tally, Verdict, Why};
use super::token::{MAX_TOKENS, MAX_VALUE_BYTES, TokenScope, find_tokens};
use super::vault::Minted;
use super::{Guard, Selection};

/// Bytes beside a token that a finding may hold and still count as nothing but the token.
const BESIDE_TOKEN: usize = 12;

/// What a blocked value is remembered by.
pub(crate) type Mark = [u8; 16];

/// Different blocked values of one request that are remembered.
const MARKS: usize = 512;

/// A text and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    /// Decoded.
    pub bytes: &'a [u8],
    /// Where parts of `bytes` begin, in order, and where they stand in the whole text; none if it is all of the text.
    pub excerpts: &'a [(usize, usize)],
    pub role: TextRole,
    /// It was sent in an earlier turn.
    pub is_history: bool,
    /// Not signed by the provider.
    pub may_change: bool,
}

impl Text<'_> {
    /// Returns where a part of `bytes` stands in the whole text.
    fn place(&self, range: &Range<usize>) -> Range<usize> {
        let after = self
            .excerpts
            .partition_point(|(start, _)| *start <= range.start);
        let excerpt = after.checked_sub(1).and_then(|at| self.excerpts.get(at));
        let (start, at) = excerpt.copied().unwrap_or_default();
        let place = |offset: usize| at.saturating_add(offset.saturating_sub(start));
        place(range.start)..place(range.end)
    }
}

/// A change of one text; offsets are bytes of the decoded text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextEdit {
    pub range: Range<usize>,
    pub with: String,
}

/// The guardrail that stops an exchange, and the rule that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub guardrail: String,
    pub rule: String,
    pub description: String,
    pub role: TextRole,
    pub drain_max_ms: u32,
    /// The text passes when it is sent again, redacted.
    pub redacts_later: bool,
}

/// Why an exchange cannot go on, where no rule has found anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cause {
    pub rule: &'static str,
    pub description: &'static str,
    pub role: TextRole,
}

/// Judges the texts of one direction of one exchange, one after the other.
#[derive(Debug)]
pub(crate) struct Judgement {
    direction: Direction,
    scope: TokenScope,
    tallies: BTreeMap<usize, Tally>,
    pub minted: BTreeMap<String, Minted>,
    /// The first one, in order of the texts.
    pub stop: Option<Stop>,
    /// Values that are blocked, by what they are remembered by; at most [`MARKS`].
    pub marks: Vec<Mark>,
    /// Values that were blocked before.
    blocked_before: Vec<Mark>,
    texts: u32,
}

/// What one finding leads to under one guardrail.
struct Hit<'f> {
    rail: usize,
    finding: &'f Finding,
    action: Action,
}

impl Judgement {
    pub(crate) fn new(direction: Direction, scope: TokenScope) -> Self {
        Self {
            direction,
            scope,
            tallies: BTreeMap::new(),
            minted: BTreeMap::new(),
            stop: None,
            marks: Vec::new(),
            blocked_before: Vec::new(),
            texts: 0,
        }
    }

    /// Says which values were blocked before. A client sends what was blocked again with every later turn, seldom in
    /// quite the same text: it is history from then on, or the session could never go on.
    #[must_use]
    pub(crate) fn knowing(mut self, blocked_before: &[Mark]) -> Self {
        self.blocked_before = blocked_before.to_vec();
        self
    }

    /// Counts texts that were looked at.
    pub(crate) fn count(&mut self, texts: u32) {
        self.texts = self.texts.saturating_add(texts);
    }

    /// Takes texts back that were counted and turned out to be unreadable.
    pub(crate) fn uncount(&mut self, texts: u32) {
        self.texts = self.texts.saturating_sub(texts);
    }

    /// Counts texts in an encoding that nobody reads here, and stops the exchange where policy does not let them pass.
    pub(crate) fn unread(
        &mut self,
        guard: &Guard,
        selection: &Selection,
        texts: u32,
        role: TextRole,
    ) {
        self.not_scanned(guard, selection, Why::Encoding, texts);
        let cause = Cause {
            rule: Why::Encoding.name(),
            description: "a text in an encoding that nobody reads here is not passed on",
            role,
        };
        self.stop_if(guard, selection, cause, |rules| {
            rules.on_error == OnError::Block
        });
    }

    /// Counts content that no guardrail could look at.
    pub(crate) fn not_scanned(
        &mut self,
        guard: &Guard,
        selection: &Selection,
        why: Why,
        count: u32,
    ) {
        for (place, _) in guard.active(selection, self.direction) {
            self.tallies
                .entry(place)
                .or_default()
                .not_scanned(why, count);
        }
    }

    /// Stops the exchange on behalf of the first guardrail for which `blocks` is true.
    pub(crate) fn stop_if(
        &mut self,
        guard: &Guard,
        selection: &Selection,
        cause: Cause,
        blocks: impl Fn(&GuardrailRules) -> bool,
    ) {
        if self.stop.is_some() {
            return;
        }
        let mut rails = guard.active(selection, self.direction);
        let Some((place, rail)) = rails.find(|(_, rail)| blocks(&rail.guardrail.rules)) else {
            return;
        };
        self.tallies.entry(place).or_default().verdict = Verdict::Blocked;
        self.stop = Some(Stop {
            guardrail: rail.guardrail.name.clone(),
            rule: cause.rule.to_owned(),
            description: cause.description.to_owned(),
            role: cause.role,
            drain_max_ms: rail.guardrail.rules.stream_end.drain_max_ms,
            redacts_later: false,
        });
    }

    /// Counts a text of which a part had to be let go undecided, and stops the exchange where policy wants that.
    pub(crate) fn overrun(&mut self, guard: &Guard, selection: &Selection, role: TextRole) {
        self.not_scanned(guard, selection, Why::TooLong, 1);
        let cause = Cause {
            rule: "too-long",
            description: "a text that may hold a forbidden value is too long to be held back",
            role,
        };
        self.stop_if(guard, selection, cause, |rules| {
            rules.on_error == OnError::Block
        });
    }

    /// Counts content that nobody can read, and stops the exchange where policy does not let it pass.
    pub(crate) fn unscanned(&mut self, guard: &Guard, selection: &Selection, media: Media) {
        let why = Why::of(media);
        self.not_scanned(guard, selection, why, 1);
        // What the provider itself encrypted is its own and was never readable here.
        if why != Why::Encrypted {
            let cause = Cause {
                rule: why.name(),
                description: "content that nobody can read here is not passed on",
                role: TextRole::Attachment,
            };
            self.stop_if(guard, selection, cause, |rules| {
                rules.on_unscanned == OnUnscanned::Block
            });
        }
    }

    /// Returns the values that are known to have been blocked before.
    pub(crate) fn blocked_before(&self) -> &[Mark] {
        &self.blocked_before
    }

    /// Judges a text with findings; returns what is to be changed in it, disjoint and in order.
    pub(crate) fn text(
        &mut self,
        guard: &Guard,
        selection: &Selection,
        text: Text<'_>,
        findings: &[Finding],
        path: &dyn Fn() -> String,
    ) -> Vec<TextEdit> {
        let tokens: Vec<_> = find_tokens(guard.tokens(), text.bytes).collect();
        let mut hits = Vec::new();
        for (place, rail) in guard.active(selection, self.direction) {
            if !rail.guardrail.rules.scope.covers_role(text.role) {
                continue;
            }
            for stage in &rail.stages {
                let mut acts = false;
                for finding in findings {
                    let Some(group) = guard.rules().rule(finding.rule).map(|rule| rule.group)
                    else {
                        continue;
                    };
                    let value = value(text.bytes, finding);
                    if !stage.groups.has(group) || is_token(finding, &tokens) || rail.allows(value)
                    {
                        continue;
                    }
                    let action = if stage.observing.has(group) {
                        Action::Observe
                    } else {
                        self.effective(&stage.action)
                    };
                    acts |= action != Action::Observe;
                    hits.push(Hit {
                        rail: place,
                        finding,
                        action,
                    });
                }
                if acts {
                    break;
                }
            }
        }
        guard.count_findings(hits.len());
        self.act(guard, text, &hits, path)
    }

    /// Values of answers were made by the provider: there is nothing to give back for a token. And nothing may be
    /// given back to somebody without a key: anybody could be the next one.
    fn effective(&self, action: &Action) -> Action {
        let is_nobody = self.scope.tenant.iter().all(|byte| *byte == 0);
        match (action, self.direction) {
            (Action::Tokenise, Direction::Response) => Action::Observe,
            (Action::Tokenise, Direction::Request) if is_nobody => {
                Action::Redact(RedactStyle::Replace { with: None })
            }
            (action, _) => action.clone(),
        }
    }

    fn act(
        &mut self,
        guard: &Guard,
        text: Text<'_>,
        hits: &[Hit<'_>],
        path: &dyn Fn() -> String,
    ) -> Vec<TextEdit> {
        let mut changes: Vec<(Range<usize>, &Hit<'_>)> = Vec::new();
        for hit in hits {
            let Some(rail) = guard.rail(hit.rail) else {
                continue;
            };
            let rules = &rail.guardrail.rules;
            let value = value(text.bytes, hit.finding);
            // A body with very many values is not to cost a hash for each of those that nobody asks about.
            let is_asked = !self.blocked_before.is_empty() || self.marks.len() < MARKS;
            let mark = if hit.action == Action::Block && is_asked {
                guard.tokens().mark(&self.scope, value)
            } else {
                Mark::default()
            };
            let is_old = (text.is_history || self.blocked_before.contains(&mark))
                && rules.on_history == OnHistory::Redact;
            let verdict = match &hit.action {
                Action::Observe => Verdict::Observed,
                // Reasoning that the provider signed is its own, and came from there.
                _ if !text.may_change && text.role == TextRole::Thinking => {
                    let tally = self.tallies.entry(hit.rail).or_default();
                    tally.not_scanned(Why::Signed, 1);
                    Verdict::Observed
                }
                // Other texts that cannot be written anew, such as a document in base64, pass whole or not at all.
                _ if !text.may_change && rules.on_error == OnError::Pass => {
                    let tally = self.tallies.entry(hit.rail).or_default();
                    tally.not_scanned(Why::Encoding, 1);
                    Verdict::Observed
                }
                _ if !text.may_change => Verdict::Blocked,
                Action::Block if !is_old => Verdict::Blocked,
                Action::Block | Action::Redact(_) => Verdict::Redacted,
                Action::Tokenise => Verdict::Tokenised,
            };
            let Some(info) = guard.rules().rule(hit.finding.rule) else {
                continue;
            };
            let is_remembered = hit.action == Action::Block
                && rules.on_history == OnHistory::Redact
                && self.marks.len() < MARKS;
            if verdict == Verdict::Blocked && is_remembered && !self.marks.contains(&mark) {
                self.marks.push(mark);
            }
            let tally = self.tallies.entry(hit.rail).or_default();
            let place = || Place {
                path: path(),
                span: text.place(&hit.finding.secret),
            };
            let fingerprint = || guard.tokens().fingerprint(value);
            tally.found(verdict, info, place, fingerprint);
            match verdict {
                Verdict::Blocked if self.stop.is_none() => {
                    self.stop = Some(Stop {
                        guardrail: rail.guardrail.name.clone(),
                        rule: info.id.clone(),
                        description: info.description.clone(),
                        role: text.role,
                        drain_max_ms: rules.stream_end.drain_max_ms,
                        redacts_later: rules.on_history == OnHistory::Redact,
                    });
                }
                // Of a finding that was told too late to hold all of it, what is left is changed.
                Verdict::Redacted | Verdict::Tokenised if hit.finding.secret.is_empty() => {}
                Verdict::Redacted | Verdict::Tokenised => {
                    changes.push((hit.finding.secret.clone(), hit));
                }
                Verdict::Blocked | Verdict::Observed | Verdict::Scanned | Verdict::NotScanned => {}
            }
        }
        self.edits(guard, text, changes)
    }

    /// Joins changes that overlap, so that no byte of any value stays; the first guardrail's action counts.
    fn edits(
        &mut self,
        guard: &Guard,
        text: Text<'_>,
        mut changes: Vec<(Range<usize>, &Hit<'_>)>,
    ) -> Vec<TextEdit> {
        changes.sort_by_key(|(range, hit)| (range.start, core::cmp::Reverse(range.end), hit.rail));
        let mut joined: Vec<(Range<usize>, &Hit<'_>)> = Vec::new();
        for (range, hit) in changes {
            match joined.last_mut() {
                Some((last, by)) if range.start < last.end => {
                    last.end = last.end.max(range.end);
                    if hit.rail < by.rail {
                        *by = hit;
                    }
                }
                Some(_) | None => joined.push((range, hit)),
            }
        }
        let mut edits = Vec::with_capacity(joined.len());
        for (range, hit) in joined {
            let Some(value) = text.bytes.get(range.clone()) else {
                continue;
            };
            let rule = guard.rule_id(hit.finding);
            let with = match &hit.action {
                Action::Tokenise => self.tokenise(guard, rule, value),
                Action::Redact(style) => redacted(guard, style, rule, value),
                Action::Block | Action::Observe => format!("[REDACTED:{rule}]"),
            };
            edits.push(TextEdit { range, with });
        }
        edits
    }

    fn tokenise(&mut self, guard: &Guard, rule: &str, value: &[u8]) -> String {
        // A value that is no UTF-8 cannot stand in the JSON of an answer, so it cannot come back.
        let Ok(plain) = core::str::from_utf8(value) else {
            return format!("[REDACTED:{rule}]");
        };
        let token = guard.tokens().token(&self.scope, rule, value);
        if self.minted.contains_key(&token) {
            return token;
        }
        if self.minted.len() >= MAX_TOKENS || value.len() > MAX_VALUE_BYTES {
            return format!("[REDACTED:{rule}]");
        }
        let minted = Minted {
            scope: self.scope.clone(),
            token: token.clone(),
            value: Secret::new(plain),
            rule: rule.to_owned(),
        };
        self.minted.insert(token.clone(), minted);
        token
    }

    /// Returns what each guardrail of the selection did.
    pub(crate) fn outcomes(&self, guard: &Guard, selection: &Selection) -> Vec<GuardOutcome> {
        let mut outcomes = Vec::new();
        for (place, rail) in guard.active(selection, self.direction) {
            let mut tally = self.tallies.get(&place).cloned().unwrap_or_default();
            if self.texts > 0 {
                tally.scanned(self.texts);
            }
            outcomes.extend(outcome(rail, self.direction, &tally));
        }
        for (_, rail) in guard.unsampled(selection, self.direction) {
            let mut tally = Tally::default();
            tally.not_scanned(Why::Sampling, 1);
            outcomes.extend(outcome(rail, self.direction, &tally));
        }
        outcomes
    }

    pub(crate) fn scope(&self) -> &TokenScope {
        &self.scope
    }
}

fn outcome(rail: &super::Rail, direction: Direction, tally: &Tally) -> Option<GuardOutcome> {
    if tally.is_empty() {
        return None;
    }
    let (findings, not_scanned) = tally.parts();
    Some(GuardOutcome {
        guardrail: rail.guardrail.id,
        name: rail.guardrail.name.clone(),
        severity: rail.guardrail.rules.severity,
        direction,
        verdict: tally.verdict,
        texts: tally.texts,
        findings,
        not_scanned,
    })
}

/// The value that was found, in plain where the text holds it encoded.
pub(crate) fn value<'t>(text: &'t [u8], finding: &'t Finding) -> &'t [u8] {
    match &finding.decoded {
        Some(plain) => plain.as_bytes(),
        None => text.get(finding.secret.clone()).unwrap_or_default(),
    }
}

/// Whether a finding is nothing but a token of this mesh, which stands for a value and is none.
fn is_token(finding: &Finding, tokens: &[Range<usize>]) -> bool {
    let secret = &finding.secret;
    let first = tokens.partition_point(|token| token.end <= secret.start);
    let later = tokens.get(first..).unwrap_or_default();
    let mut beside = secret.len();
    let mut any = false;
    for token in later.iter().take_while(|token| token.start < secret.end) {
        any = true;
        let start = token.start.max(secret.start);
        let end = token.end.min(secret.end);
        beside = beside.saturating_sub(end.saturating_sub(start));
    }
    any && beside <= BESIDE_TOKEN
}

fn redacted(guard: &Guard, style: &RedactStyle, rule: &str, value: &[u8]) -> String {
    match style {
        RedactStyle::Replace { with: Some(with) } => with.clone(),
        RedactStyle::Replace { with: None } => format!("[REDACTED:{rule}]"),
        RedactStyle::Mask => mask(value),
        RedactStyle::Hash => format!("[HASH:{}]", guard.tokens().hash(value)),
    }
}

/// `*` for every character but the last four; for all of them where that would show a third or more.
fn mask(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let length = text.chars().count();
    let shown = if length > 12 { 4 } else { 0 };
    let masked = text.chars().enumerate().map(
        |(place, letter)| {
            if place + shown < length { '*' } else { letter }
        },
    );
    masked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_shows_the_last_four_of_a_long_value_only() {
        assert_eq!(mask(b"4111111111111111"), "************1111");
        assert_eq!(mask(b"short-secret"), "************");
        assert_eq!(mask("pässwörter-lang".as_bytes()), "***********lang");
    }
}

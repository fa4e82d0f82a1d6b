//! The way of a text through a rule set.

use core::ops::Range;

use crate::finding::{Finding, Groups};
use crate::judge::{Candidate, LineVerdicts, entropy};
use crate::keywords::{KeywordScratch, Role};
use crate::lines::Lines;
use crate::matcher::{Hit, MatcherCache, Odd};
use crate::pass::{Found, Stopped, Wanted};
use crate::rule_set::{Member, Near, Rule, RuleSet};
use crate::suppress;
use crate::tape::Tape;
use crate::text;
use crate::windows::Windows;
use regex_automata::hybrid;

/// Memory that scans use again: one for each thread, for any number of rule sets, one after the other.
#[derive(Debug, Default)]
pub struct Scratch {
    set: u64,
    /// For each rule, what its matcher remembers.
    pub(crate) caches: Vec<MatcherCache>,
    /// For each rule, whether somebody wants to hear of it.
    pub(crate) active: Vec<bool>,
    /// Who that was said for.
    active_for: Option<Groups>,
    /// For each rule, where it can match.
    windows: Vec<Windows>,
    /// Rules that have windows.
    touched: Vec<usize>,
    pub(crate) keywords: KeywordScratch,
    /// For each pack, whether its allow lists name the path.
    allowed: Vec<bool>,
    pub(crate) matches: Vec<Match>,
    found: Vec<Found>,
    pub(crate) lines: Lines,
    /// For each rule, what its automaton for streams remembers.
    pub(crate) live: Vec<Option<hybrid::dfa::Cache>>,
}

/// A match that passed its rule's checks.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    /// Place of the rule in the set.
    pub(crate) rule: usize,
    pub(crate) secret: Range<usize>,
    pub(crate) matched: Range<usize>,
    pub(crate) entropy_milli: u32,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// What is scanned and what for.
#[derive(Clone, Copy, Debug)]
struct Job<'t> {
    text: &'t [u8],
    /// Whether the text has U+017F or U+212A.
    odd: bool,
    path: Option<&'t str>,
    groups: Groups,
}

impl Scratch {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether somebody wants to hear of a rule.
    pub(crate) fn is_active(&self, rule: usize) -> bool {
        self.active.get(rule) == Some(&true)
    }

    pub(crate) fn prepare(&mut self, rules: &RuleSet, groups: Groups) {
        if self.set != rules.id {
            self.set = rules.id;
            self.caches.clear();
            self.caches
                .resize_with(rules.rules.len(), MatcherCache::default);
            self.live.clear();
            self.live.resize_with(rules.rules.len(), || None);
            self.windows.clear();
            self.windows
                .resize_with(rules.rules.len(), Windows::default);
            self.touched.clear();
            self.active_for = None;
        }
        for rule in self.touched.drain(..) {
            if let Some(windows) = self.windows.get_mut(rule) {
                windows.clear();
            }
        }
        if self.active_for != Some(groups) {
            self.active_for = Some(groups);
            rules.mark_active(groups, &mut self.active);
        }
        self.matches.clear();
        self.found.clear();
        self.lines.clear();
    }
}

impl RuleSet {
    /// Appends everything that the rules of `groups` find in `text`, which need not be UTF-8.
    ///
    /// Findings come in the order of where their secrets begin, then end, then of their rules; the same text gives
    /// the same findings everywhere. The time is linear in the length of the text.
    ///
    /// ```
    /// use detect::{Groups, RulePack, RuleSetBuilder, Scratch};
    ///
    /// let file = "[[rules]]\nid = 'shop'\nregex = 'shop_([a-z0-9]{8})'\nkeywords = ['shop_']";
    /// let mut builder = RuleSetBuilder::default();
    /// builder.pack(0, &RulePack::from_gitleaks_toml(file, &|_| None).unwrap(), &[]).unwrap();
    /// let rules = builder.build().unwrap();
    ///
    /// let mut found = Vec::new();
    /// rules.scan(&mut Scratch::new(), b"key = shop_q8w7e6r5", Groups::ALL, &mut found);
    /// assert_eq!(found[0].secret, 11..19);
    /// ```
    pub fn scan(&self, scratch: &mut Scratch, text: &[u8], groups: Groups, out: &mut Vec<Finding>) {
        self.scan_from(scratch, None, text, groups, out);
    }

    /// Does what [`scan`](Self::scan) does with the text of a file: rules and allow lists that look at paths are
    /// asked about `path` too.
    pub fn scan_file(
        &self,
        scratch: &mut Scratch,
        path: &str,
        text: &[u8],
        groups: Groups,
        out: &mut Vec<Finding>,
    ) {
        self.scan_from(scratch, Some(path), text, groups, out);
    }

    /// Does what [`scan`](Self::scan) does, and finds too what would be found if the text stood behind its name, as
    /// in `label = "text"`: the value of a JSON member `password` is one. Offsets are the text's own.
    pub fn scan_labelled(
        &self,
        scratch: &mut Scratch,
        label: &str,
        text: &[u8],
        groups: Groups,
        out: &mut Vec<Finding>,
    ) {
        let first = out.len();
        self.scan(scratch, text, groups, out);
        let line = Labelled::new(label, text);
        let mut found = Vec::new();
        self.scan(scratch, &line.bytes, groups, &mut found);
        let known = out.len();
        for finding in found {
            if let Some(finding) = line.of_text(finding)
                && !out
                    .iter()
                    .skip(first)
                    .take(known - first)
                    .any(|other| other.rule == finding.rule && other.secret == finding.secret)
            {
                out.push(finding);
            }
        }
        sort(out.get_mut(first..).unwrap_or_default());
    }

    /// Scans text as it stands.
    pub(crate) fn scan_plain(
        &self,
        scratch: &mut Scratch,
        text: &[u8],
        groups: Groups,
        out: &mut Vec<Finding>,
    ) {
        self.scan_layer_of(scratch, None, text, groups, out);
    }

    fn scan_from(
        &self,
        scratch: &mut Scratch,
        path: Option<&str>,
        text: &[u8],
        groups: Groups,
        out: &mut Vec<Finding>,
    ) {
        let first = out.len();
        self.scan_layer_of(scratch, path, text, groups, out);
        if self.decodes {
            self.scan_encoded(scratch, text, groups, out, first);
        }
    }

    fn scan_layer_of(
        &self,
        scratch: &mut Scratch,
        path: Option<&str>,
        text: &[u8],
        groups: Groups,
        out: &mut Vec<Finding>,
    ) {
        let first = out.len();
        scratch.prepare(self, groups);
        let (valid, map) = text::valid(text);
        let job = Job {
            text: &valid,
            odd: text::is_odd(&valid),
            path,
            groups,
        };
        if let Some(path) = path {
            scratch.allowed.clear();
            let allowed = self.lists.iter().map(|lists| lists.allow_path(path));
            scratch.allowed.extend(allowed);
        }
        self.match_rules(scratch, job);
        suppress::generic(
            &valid,
            &self.rules,
            &mut scratch.matches,
            groups,
            |found, member| {
                out.push(Finding {
                    rule: member.index,
                    secret: found.secret.clone(),
                    matched: found.matched.clone(),
                    entropy_milli: found.entropy_milli,
                    decoded: None,
                });
            },
        );
        self.run_passes(scratch, job, out);
        let new = out.get_mut(first..).unwrap_or_default();
        for finding in &mut *new {
            let original =
                |range: &Range<usize>| map.original(range.start)..map.original(range.end);
            finding.secret = original(&finding.secret);
            finding.matched = original(&finding.matched);
        }
        sort(new);
    }

    fn match_rules(&self, scratch: &mut Scratch, job: Job<'_>) {
        self.find_windows(scratch, job);
        scratch.touched.sort_unstable();
        for place in 0..scratch.touched.len() {
            let Some(rule) = scratch.touched.get(place).copied() else {
                continue;
            };
            let listens = self
                .rules
                .get(rule)
                .is_some_and(|rule| listeners(rule, job.groups).next().is_some());
            let asked = scratch.windows.get(rule).is_some_and(Windows::is_open);
            if listens && asked {
                self.match_rule(scratch, job, rule);
            }
        }
    }

    /// Tells every hit of every rule's pattern, before anything is checked.
    #[cfg(test)]
    pub(crate) fn each_hit(
        &self,
        scratch: &mut Scratch,
        text: &[u8],
        groups: Groups,
        each: &mut dyn FnMut(usize, Hit),
    ) {
        scratch.prepare(self, groups);
        let odd = text::is_odd(text);
        let job = Job {
            text,
            odd,
            path: None,
            groups,
        };
        self.find_windows(scratch, job);
        let text = Odd { bytes: text, odd };
        for place in scratch.touched.clone() {
            let windows = &scratch.windows[place];
            if windows.is_open() {
                let matcher = self.rules[place].matcher().unwrap();
                let cache = &mut scratch.caches[place];
                matcher.find_all(cache, text, windows, |hit| each(place, hit));
            }
        }
    }

    /// Marks the rules that `groups` listen to, and those that they require.
    fn mark_active(&self, groups: Groups, active: &mut Vec<bool>) {
        active.clear();
        active.resize(self.rules.len(), false);
        for (place, rule) in self.rules.iter().enumerate() {
            if listeners(rule, groups).next().is_none() {
                continue;
            }
            for place in rule.near.iter().map(|near| near.rule).chain([place]) {
                if let Some(active) = active.get_mut(place) {
                    *active = true;
                }
            }
        }
    }

    /// Finds out where each active rule can match.
    fn find_windows(&self, scratch: &mut Scratch, job: Job<'_>) {
        let Scratch {
            caches,
            active,
            windows,
            touched,
            keywords,
            ..
        } = scratch;
        let folded = text::folded(job.text, self.keywords.wide);
        let is_odd = job.odd;
        let mut add = |place: usize, role: Role, word: Option<Range<usize>>| {
            if active.get(place) != Some(&true) {
                return;
            }
            let Some((windows, cache)) = windows.get_mut(place).zip(caches.get_mut(place)) else {
                return;
            };
            if windows.touch() {
                touched.push(place);
            }
            if role == Role::Keyword {
                windows.open_gate();
            }
            let Some(rule) = self.rules.get(place) else {
                return;
            };
            let Some(matcher) = rule.matcher() else {
                return;
            };
            match matcher.reach(is_odd).zip(word) {
                Some((reach, word)) => {
                    let is_around = role == Role::Anchor || !rule.has_anchors();
                    if is_around
                        && (is_odd
                            || windows.is_crowded(word.start)
                            || matcher.may_match(cache, job.text, word.start))
                    {
                        windows.add(reach, job.text, word);
                    }
                }
                None => windows.add_all(job.text),
            }
        };
        for place in &self.keywords.always {
            add(*place, Role::Keyword, None);
        }
        match &folded {
            None => self.keywords.find(keywords, job.text, |rule, role, word| {
                add(rule, role, Some(word));
            }),
            Some((copy, map)) => self.keywords.find(keywords, copy, |rule, role, word| {
                let word = map.original(word.start)..map.original(word.end);
                add(rule, role, Some(word));
            }),
        }
    }

    /// Adds the findings of one rule to the matches, but for those without the neighbours that it requires.
    fn match_rule(&self, scratch: &mut Scratch, job: Job<'_>, place: usize) {
        let first = scratch.matches.len();
        self.match_alone(scratch, job, place);
        let near = self.rules.get(place).map_or(&[][..], |rule| &rule.near);
        if near.is_empty() || scratch.matches.len() == first {
            return;
        }
        let own = scratch.matches.split_off(first);
        let mut kept = vec![true; own.len()];
        for near in near {
            self.match_alone(scratch, job, near.rule);
            let others = scratch.matches.split_off(first);
            for (keep, found) in kept.iter_mut().zip(&own) {
                *keep &= others.iter().any(|other| near.covers(found, other));
            }
        }
        let kept = own.into_iter().zip(kept).filter(|(_, keep)| *keep);
        scratch.matches.extend(kept.map(|(found, _)| found));
    }

    fn match_alone(&self, scratch: &mut Scratch, job: Job<'_>, place: usize) {
        let Some(rule) = self.rules.get(place) else {
            return;
        };
        if job.path.is_some_and(|path| {
            scratch.allowed.get(rule.lists) == Some(&true)
                || rule.path.excludes(path)
                || rule.own_lists.allow_path(path)
        }) {
            return;
        }
        let Some((matcher, cache)) = rule.matcher().zip(scratch.caches.get_mut(place)) else {
            return;
        };
        // Where matches need no keyword, a required rule is held against everything, keyword or not.
        let mut everywhere = Windows::default();
        let windows = match scratch.windows.get(place) {
            Some(windows) if matcher.reach(job.odd).is_some() => windows,
            _ => {
                everywhere.add_all(job.text);
                &everywhere
            }
        };
        let mut check = Check {
            set: self,
            rule,
            place,
            job,
            lines: &mut scratch.lines,
            verdicts: Default::default(),
            out: &mut scratch.matches,
        };
        let text = Odd {
            bytes: job.text,
            odd: job.odd,
        };
        matcher.find_all(cache, text, windows, |hit| check.hit(hit));
    }

    /// Adds one hit of a rule to the matches, if it passes the rule's checks.
    pub(crate) fn check_hit(&self, scratch: &mut Scratch, text: &[u8], place: usize, hit: Hit) {
        let Some(rule) = self.rules.get(place) else {
            return;
        };
        let job = Job {
            text,
            odd: false,
            path: None,
            groups: Groups::ALL,
        };
        let mut check = Check {
            set: self,
            rule,
            place,
            job,
            lines: &mut scratch.lines,
            verdicts: Default::default(),
            out: &mut scratch.matches,
        };
        check.hit(hit);
    }

    fn run_passes(&self, scratch: &mut Scratch, job: Job<'_>, out: &mut Vec<Finding>) {
        for added in &self.passes {
            let wanted = Wanted::of(&added.members, job.groups);
            if wanted.0 == 0 {
                continue;
            }
            scratch.found.clear();
            added.pass.scan(
                &Tape::whole(job.text),
                &mut Stopped::default(),
                wanted,
                &mut scratch.found,
            );
            for found in &scratch.found {
                let members = added.members.get(found.rule);
                for member in members.into_iter().flatten() {
                    if job.groups.has(member.group) {
                        out.push(Finding {
                            rule: member.index,
                            secret: found.secret.clone(),
                            matched: found.matched.clone(),
                            entropy_milli: 0,
                            decoded: found.decoded.clone(),
                        });
                    }
                }
            }
        }
    }
}

/// The checks that a match of one rule must pass.
struct Check<'c, 't> {
    set: &'c RuleSet,
    rule: &'c Rule,
    place: usize,
    job: Job<'t>,
    lines: &'c mut Lines,
    verdicts: [LineVerdicts; 2],
    out: &'c mut Vec<Match>,
}

impl Check<'_, '_> {
    fn hit(&mut self, hit: Hit) {
        let Some(def) = self.rule.def() else {
            return;
        };
        let secret = self.job.text.get(hit.secret.clone()).unwrap_or_default();
        let bits = entropy(secret);
        if def.entropy != 0.0 && bits <= def.entropy {
            return;
        }
        let candidate = Candidate {
            text: self.job.text,
            secret: hit.secret,
            matched: hit.matched,
            located: hit.located,
            path: self.job.path,
        };
        let global = self.set.lists.get(self.rule.lists);
        let [of_pack, of_rule] = &mut self.verdicts;
        if global.is_some_and(|lists| lists.allow(&candidate, self.lines, of_pack))
            || self.rule.own_lists.allow(&candidate, self.lines, of_rule)
        {
            return;
        }
        let place = self.lines.place(self.job.text, candidate.located.start);
        self.out.push(Match {
            rule: self.place,
            secret: candidate.secret,
            matched: candidate.matched,
            entropy_milli: thousandths(bits),
            line: place.line,
            column: place.column,
        });
    }
}

impl Near {
    pub(crate) fn covers(&self, found: &Match, other: &Match) -> bool {
        let within = |limit: Option<usize>, one: usize, two: usize| {
            limit.is_none_or(|limit| one.abs_diff(two) <= limit)
        };
        within(self.within_lines, found.line, other.line)
            && within(self.within_columns, found.column, other.column)
    }
}

/// A text behind its name.
struct Labelled {
    bytes: Vec<u8>,
    /// Where the text begins.
    at: usize,
    length: usize,
}

/// So much of a long text is looked at behind its name: a value that a name says something about is short.
const LABELLED_BYTES: usize = 4 * 1024;

impl Labelled {
    fn new(label: &str, text: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(label.len() + text.len().min(LABELLED_BYTES) + 8);
        bytes.extend_from_slice(label.as_bytes());
        bytes.extend_from_slice(b" = \"");
        let at = bytes.len();
        bytes.extend_from_slice(text.get(..LABELLED_BYTES).unwrap_or(text));
        if text.len() <= LABELLED_BYTES {
            bytes.push(b'"');
        }
        Self {
            bytes,
            at,
            length: text.len().min(LABELLED_BYTES),
        }
    }

    /// Returns a finding that the name has part in, as the text knows it.
    fn of_text(&self, mut finding: Finding) -> Option<Finding> {
        if finding.matched.start >= self.at || finding.secret.end <= self.at {
            return None;
        }
        let own = |range: &Range<usize>| {
            let clip = |at: usize| at.saturating_sub(self.at).min(self.length);
            clip(range.start)..clip(range.end)
        };
        finding.secret = own(&finding.secret);
        finding.matched = own(&finding.matched);
        Some(finding)
    }
}

pub(crate) fn sort(findings: &mut [Finding]) {
    findings.sort_by(|one, other| {
        (one.secret.start, one.secret.end, one.rule).cmp(&(
            other.secret.start,
            other.secret.end,
            other.rule,
        ))
    });
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "entropy is between 0 and 32 bits"
)]
fn thousandths(bits: f64) -> u32 {
    (bits * 1_000.0).round() as u32
}

/// Who hears of a rule's findings among `groups`.
pub(crate) fn listeners(rule: &Rule, groups: Groups) -> impl Iterator<Item = Member> {
    rule.members
        .iter()
        .copied()
        .filter(move |member| groups.has(member.group))
}

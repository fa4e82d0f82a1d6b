//! Scanning a channel whose text comes in pieces.

mod encoded;
mod guide;
mod inlet;
mod telling;
mod watch;

use core::ops::Range;

pub(crate) use guide::{Guides, Waits};
use inlet::Inlet;
use watch::{Held, Watch};

use crate::finding::{Finding, Groups, Kind, RuleIndex};
use crate::keywords::Role;
use crate::matcher::Odd;
use crate::pass::{Found, Stopped, Wanted};
use crate::rule_set::{Rule, RuleSet};
use crate::scan::{Match, Scratch, listeners};
use crate::tape::Tape;
use crate::text;

/// Bytes of a channel that are unresolved at most, by preset.
pub const HOLD_BYTES: usize = 16 * 1024;

/// Bytes before what is unresolved that are kept as its surroundings.
const CONTEXT_BYTES: usize = 1_024;

/// Bytes that are let pile up before what is not needed is moved away.
const SLACK_BYTES: usize = 8 * 1024;

/// The run of bytes without white space at the end of a channel is held back up to this length, or that of the
/// longest secret part before a keyword of any rule that has shown up.
const RUN_BYTES: usize = 128;

/// What is known of one channel of text, of which more may come.
///
/// Whatever way the text is cut into pieces, the findings are those of [`RuleSet::scan`] over the whole, told in the
/// order in which they begin. [`push`](Self::push) says up to which byte the channel is resolved: no finding that is
/// still to be told begins before that byte, and none that was told reaches over it. So bytes before it may leave,
/// their findings replaced, and the others must wait. What waits is the last word as a rule, more while some rule
/// that saw its keyword can still match, and never more than [`HOLD_BYTES`].
///
/// Where a stream differs from the whole text:
/// - After [`HOLD_BYTES`] the oldest bytes are let go undecided; [`take_overrun`](Self::take_overrun) names the rules
///   that were waiting. A finding that began there is not told.
/// - A rule that can match far from its keyword counts from where the keyword stands. Findings before it are told
///   if the bytes are still at hand, which may have left.
/// - Rules about prompt injection hold nothing back; their findings may begin before what was resolved.
/// - A generic rule gives way to a specific one, an allow list about lines and a rule that requires another one see
///   what is held and about a thousand bytes before.
/// - Encoded values are seen through where they stand in one word of at most 4 KiB, which waits for its end.
///
/// ```
/// use detect::{Groups, RuleSetBuilder, Scratch, Severity, StreamScan};
///
/// let mut builder = RuleSetBuilder::default();
/// builder.regex(0, "ticket", r"\bSHOP-[0-9]{4}\b", 0, Severity::Low).unwrap();
/// let rules = builder.build().unwrap();
/// let (mut scratch, mut found) = (Scratch::new(), Vec::new());
///
/// let mut stream = StreamScan::new(Groups::ALL);
/// assert_eq!(stream.push(&rules, &mut scratch, b"see SHO", &mut found), 4);
/// assert_eq!(stream.push(&rules, &mut scratch, b"P-1234 and", &mut found), 14);
/// assert_eq!(found[0].secret, 4..13);
/// ```
#[derive(Clone, Debug)]
pub struct StreamScan {
    groups: Groups,
    /// Bytes that are unresolved at most.
    most: usize,
    /// The set that was first pushed with.
    set: u64,
    inlet: Inlet,
    /// What is held and its surroundings, as valid UTF-8.
    text: Vec<u8>,
    /// Where `text` begins in the channel.
    base: usize,
    /// Everything before is resolved.
    told: usize,
    /// Keywords were looked for up to here.
    read: usize,
    /// Line ends before `text`.
    lines: usize,
    run: usize,
    always_held: usize,
    /// Whether the channel has had U+017F or U+212A.
    odd: bool,
    watches: Vec<Watch>,
    /// For each pass, where it stopped in the channel, and up to where it is certain.
    passes: Vec<(Stopped, usize)>,
    matches: Vec<Certain>,
    found: Vec<Passed>,
    overrun: Vec<RuleIndex>,
}

/// A match that nothing changes any more; places are those of the channel.
#[derive(Clone, Debug)]
struct Certain {
    found: Match,
    told: bool,
    /// Whether it is told as soon as it is known.
    holds: bool,
}

/// What a pass found, and which.
#[derive(Clone, Debug)]
struct Passed {
    pass: usize,
    found: Found,
}

impl StreamScan {
    /// Begins a channel that the rules of `groups` are held against.
    pub fn new(groups: Groups) -> Self {
        Self::holding(groups, HOLD_BYTES)
    }

    /// Begins a channel of which up to `most` bytes may wait, in place of [`HOLD_BYTES`].
    pub fn holding(groups: Groups, most: usize) -> Self {
        Self {
            groups,
            most,
            set: 0,
            inlet: Inlet::default(),
            text: Vec::new(),
            base: 0,
            told: 0,
            read: 0,
            lines: 0,
            run: RUN_BYTES,
            always_held: 0,
            odd: false,
            watches: Vec::new(),
            passes: Vec::new(),
            matches: Vec::new(),
            found: Vec::new(),
            overrun: Vec::new(),
        }
    }

    /// Takes the next bytes, which may end anywhere; appends the findings that became certain, and returns up to
    /// which byte of the channel everything is resolved.
    ///
    /// The same `rules` must be given each time; with others the channel begins anew from what is unresolved.
    pub fn push(
        &mut self,
        rules: &RuleSet,
        scratch: &mut Scratch,
        piece: &[u8],
        out: &mut Vec<Finding>,
    ) -> u64 {
        let end = self.end();
        self.inlet.push(piece, &mut self.text, end);
        self.step(rules, scratch, true, out)
    }

    /// Ends the channel; appends the findings that were waited for, and returns its length.
    pub fn finish(
        &mut self,
        rules: &RuleSet,
        scratch: &mut Scratch,
        out: &mut Vec<Finding>,
    ) -> u64 {
        let end = self.end();
        self.inlet.finish(&mut self.text, end);
        self.step(rules, scratch, false, out)
    }

    /// Returns the rules that were waiting when bytes had to be let go undecided, since the last call.
    pub fn take_overrun(&mut self) -> Vec<RuleIndex> {
        core::mem::take(&mut self.overrun)
    }

    fn end(&self) -> usize {
        self.base + self.text.len()
    }

    fn held(&self, open: bool) -> Held<'_> {
        Held {
            text: &self.text,
            base: self.base,
            open,
        }
    }

    fn step(
        &mut self,
        rules: &RuleSet,
        scratch: &mut Scratch,
        open: bool,
        out: &mut Vec<Finding>,
    ) -> u64 {
        scratch.prepare(rules, self.groups);
        if self.set != rules.id {
            self.begin(rules, scratch);
        }
        self.read_keywords(rules, scratch);
        let waiting = self.decide(rules, scratch, open);
        let passed = self.run_passes(rules, open);
        let mut resolved = waiting
            .iter()
            .map(|(_, place)| *place)
            .chain([passed, self.tail(rules, open)])
            .min()
            .unwrap_or(0);
        if self.end() - resolved.min(self.end()) > self.most {
            let from = self.end() - self.most / 2;
            self.let_go(rules, &waiting, from);
            resolved = from;
        }
        let mut resolved = self.at_character(self.between_findings(resolved));
        if open && rules.decodes {
            resolved = self.between_findings(self.between_codes(resolved));
        }
        let resolved = resolved.max(self.told);
        let first = out.len();
        self.tell(rules, resolved, out);
        if rules.decodes {
            self.tell_encoded(rules, scratch, resolved, first, out);
        }
        self.told = resolved;
        self.drain(&waiting);
        u64::try_from(self.inlet.original(self.told)).unwrap_or(u64::MAX)
    }

    fn begin(&mut self, rules: &RuleSet, scratch: &Scratch) {
        self.set = rules.id;
        self.watches.clear();
        self.matches.clear();
        self.found.clear();
        let stopped = Stopped {
            next: self.told,
            floor: self.told,
        };
        self.passes = vec![(stopped, self.told); rules.passes.len()];
        self.read = self.told;
        (self.run, self.always_held) = (RUN_BYTES, 0);
        for (place, rule) in rules.rules.iter().enumerate() {
            if let Some(def) = rule.def()
                && scratch.is_active(place)
                && !is_silent(rules, place)
            {
                self.always_held = self.always_held.max(def.waits.always);
                self.run = self.run.max(def.waits.run);
            }
        }
        for rule in &rules.keywords.always {
            if scratch.is_active(*rule) {
                let told = self.told;
                self.watch(*rule).watch_everywhere(told);
            }
        }
    }

    fn watch(&mut self, rule: usize) -> &mut Watch {
        let place = match self.watches.binary_search_by_key(&rule, |watch| watch.rule) {
            Ok(place) => place,
            Err(place) => {
                self.watches.insert(place, Watch::new(rule));
                place
            }
        };
        // The place was found or made just above.
        #[expect(
            clippy::indexing_slicing,
            reason = "the place was found or filled just above"
        )]
        &mut self.watches[place]
    }

    /// Looks for keywords in what is new, and notes where their rules can match.
    fn read_keywords(&mut self, rules: &RuleSet, scratch: &mut Scratch) {
        let from = self
            .read
            .saturating_sub(rules.keywords.longest + 2)
            .max(self.base);
        let from = self.at_character(from);
        let new = self.text.get(from - self.base..).unwrap_or_default();
        self.odd |= text::is_odd(new);
        let mut hits = Vec::new();
        let mut each = |rule: usize, role: Role, place: Range<usize>| {
            if from + place.end > self.read && scratch.active.get(rule) == Some(&true) {
                hits.push((rule, role, from + place.start..from + place.end));
            }
        };
        match text::folded(new, rules.keywords.wide) {
            None => rules.keywords.find(&mut scratch.keywords, new, each),
            Some((copy, map)) => {
                rules
                    .keywords
                    .find(&mut scratch.keywords, &copy, |rule, role, place| {
                        each(
                            rule,
                            role,
                            map.original(place.start)..map.original(place.end),
                        );
                    });
            }
        }
        self.read = self.end();
        for (rule, role, keyword) in hits {
            let Some(def) = rules.rules.get(rule).and_then(Rule::def) else {
                continue;
            };
            let Some(guide) = rules.guides.of(rule, def) else {
                continue;
            };
            let base = self.base;
            if role == Role::Keyword {
                self.watch(rule).asked = true;
                if !def.anchors.is_empty() {
                    continue;
                }
            }
            match guide.lead {
                Some(lead) => {
                    let first = keyword.end.saturating_sub(lead).max(base);
                    self.watch(rule).add(first..keyword.start.max(first) + 1);
                }
                None => self.watch(rule).watch_everywhere(base),
            }
        }
    }

    /// Decides what can be decided of each rule that may match; returns the places that are open.
    fn decide(
        &mut self,
        rules: &RuleSet,
        scratch: &mut Scratch,
        open: bool,
    ) -> Vec<(usize, usize)> {
        let mut waiting = Vec::new();
        // The lines of what is held are counted once for all that is found in it.
        scratch.lines.clear();
        let mut watches = core::mem::take(&mut self.watches);
        for watch in &mut watches {
            if watch.is_idle() {
                continue;
            }
            let place = watch.rule;
            let Some(rule) = rules.rules.get(place) else {
                continue;
            };
            let (Some(def), Some(matcher)) = (rule.def(), rule.matcher()) else {
                continue;
            };
            let Some(guide) = rules.guides.of(place, def) else {
                continue;
            };
            let Some(mut live) = scratch.live.get_mut(place).map(core::mem::take) else {
                continue;
            };
            let first = self.matches.len();
            let held = self.held(open);
            let text = Odd {
                bytes: held.text,
                odd: self.odd,
            };
            let mut hits = Vec::new();
            let waits = watch.decide(guide, &mut live, held, |start, cursor| {
                let cache = scratch.caches.get_mut(place)?;
                let from = start
                    .saturating_sub(guide.preamble)
                    .max(cursor)
                    .max(held.base);
                let window = from - held.base..held.text.len();
                let (range, hit) = matcher.first(cache, text, window)?;
                // What begins later is somebody else's to tell.
                if range.start + held.base > start {
                    return None;
                }
                hits.extend(hit);
                Some(range.end + held.base)
            });
            if let Some(kept) = scratch.live.get_mut(place) {
                *kept = live;
            }
            let silent = is_silent(rules, place);
            for hit in hits {
                scratch.matches.clear();
                rules.check_hit(scratch, &self.text, place, hit);
                let base = self.base;
                self.matches
                    .extend(scratch.matches.drain(..).map(|mut found| {
                        shift(&mut found.secret, base);
                        shift(&mut found.matched, base);
                        Certain {
                            found,
                            told: false,
                            holds: !silent,
                        }
                    }));
            }
            for certain in self.matches.iter_mut().skip(first) {
                certain.found.line += self.lines;
            }
            if let Some(waits) = waits.filter(|_| !silent && watch.asked) {
                waiting.push((place, waits));
            }
        }
        self.watches = watches;
        waiting
    }

    /// Runs the passes over what they are not certain of; returns up to where all of them are.
    fn run_passes(&mut self, rules: &RuleSet, open: bool) -> usize {
        let mut resolved = self.end();
        let mut out = Vec::new();
        for (pass, (added, (stopped, certain))) in
            rules.passes.iter().zip(&mut self.passes).enumerate()
        {
            let wanted = Wanted::of(&added.members, self.groups);
            if wanted.0 == 0 {
                continue;
            }
            let tape = if open {
                Tape::open(&self.text)
            } else {
                Tape::whole(&self.text)
            };
            let mut local = Stopped {
                next: stopped.next.saturating_sub(self.base),
                floor: stopped.floor.saturating_sub(self.base),
            };
            let place = added.pass.scan(&tape, &mut local, wanted, &mut out) + self.base;
            *stopped = Stopped {
                next: local.next + self.base,
                floor: local.floor + self.base,
            };
            *certain = place.max(*certain);
            resolved = resolved.min(*certain);
            for mut found in out.drain(..) {
                shift(&mut found.secret, self.base);
                shift(&mut found.matched, self.base);
                self.found.push(Passed { pass, found });
            }
        }
        resolved
    }

    /// Returns where the end of the channel begins that may be the beginning of something.
    fn tail(&self, rules: &RuleSet, open: bool) -> usize {
        let end = self.end();
        if !open {
            return end;
        }
        if rules.rules.is_empty() {
            return end;
        }
        let run = |end: usize| {
            let from = end.saturating_sub(self.run).max(self.base);
            let bytes = self.text.get(from - self.base..end - self.base);
            let space = bytes.and_then(|bytes| bytes.iter().rposition(u8::is_ascii_whitespace));
            space.map_or(from, |place| from + place + 1)
        };
        let begun = rules.keywords.begun(&self.text);
        let place = run(end - begun).min(end.saturating_sub(self.always_held));
        place.max(self.base)
    }

    /// Returns the begin of the character at `place`.
    fn at_character(&self, place: usize) -> usize {
        let is_rest = |byte: u8| matches!(byte, 0x80..=0xBF);
        let mut place = place;
        while place > self.base
            && self
                .text
                .get(place - self.base)
                .copied()
                .is_some_and(is_rest)
        {
            place -= 1;
        }
        place
    }

    /// Gives up on everything that begins before `from`.
    fn let_go(&mut self, rules: &RuleSet, waiting: &[(usize, usize)], from: usize) {
        for (place, since) in waiting {
            if *since >= from {
                continue;
            }
            let rule = rules.rules.get(*place);
            for member in rule
                .into_iter()
                .flat_map(|rule| listeners(rule, self.groups))
            {
                self.overrun.push(member.index);
            }
        }
        for watch in &mut self.watches {
            watch.skip_to(from);
        }
        for (stopped, _) in &mut self.passes {
            stopped.next = stopped.next.max(from);
            stopped.floor = stopped.floor.max(from);
        }
    }

    /// Moves away what nothing needs any more.
    fn drain(&mut self, waiting: &[(usize, usize)]) {
        let open = waiting
            .iter()
            .map(|(_, place)| *place)
            .min()
            .unwrap_or(self.told);
        let keep = open
            .min(self.told)
            .saturating_sub(CONTEXT_BYTES.max(2 * self.run));
        let extra = keep.saturating_sub(self.base);
        if extra < SLACK_BYTES {
            return;
        }
        let gone = self.text.drain(..extra);
        self.lines += gone.filter(|byte| *byte == b'\n').count();
        self.base = keep;
        self.inlet.forget(keep);
        self.matches
            .retain(|certain| !certain.told || certain.found.secret.start >= keep);
    }
}

/// Whether a rule holds nothing back.
fn is_silent(rules: &RuleSet, place: usize) -> bool {
    let def = rules.rules.get(place).and_then(Rule::def);
    def.is_some_and(|def| def.kind == Kind::Injection)
}

fn shift(range: &mut Range<usize>, by: usize) {
    *range = range.start + by..range.end + by;
}

#[cfg(test)]
mod tests;

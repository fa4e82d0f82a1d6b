//! One rule's pattern, built when it is first needed.

use core::ops::Range;
use std::sync::OnceLock;

use regex_automata::hybrid::dfa::{self, DFA};
use regex_automata::meta::{Cache, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::captures::Captures;
use regex_automata::{Anchored, Input, Span};
use regex_syntax::hir::Hir;

use crate::limits;
use crate::plain::plain;
use crate::preamble::Preamble;
use crate::reach::Reach;
use crate::rule_pack::{Part, RuleDef};
use crate::validate::Validator;
use crate::windows::Windows;

/// What is known about a rule's pattern, and the pattern once it is needed.
#[derive(Debug)]
pub(crate) struct Matcher {
    /// The pattern for ordinary text without its preamble, and the whole for text with U+017F or U+212A.
    regex: [OnceLock<Option<Regex>>; 2],
    preamble: Option<Preamble>,
    /// Whether the pattern without its preamble begins by looking around.
    looks_behind: bool,
    /// How far such matches reach from a keyword.
    reach: Option<Reach>,
    odd_reach: OnceLock<Option<Reach>>,
    words: Vec<String>,
    hir: Hir,
    core: Hir,
    /// What must match around a keyword of ordinary text.
    sequel: OnceLock<Option<DFA>>,
    part: Part,
    validator: Option<Validator>,
}

/// Memory of one matcher on one thread.
#[derive(Debug, Default)]
pub(crate) struct MatcherCache {
    regex: [Option<(Cache, Captures)>; 2],
    sequel: Option<dfa::Cache>,
}

impl MatcherCache {
    fn of(&mut self, regex: &Regex, odd: bool) -> (&mut Cache, &mut Captures) {
        let [plain, with_odd] = &mut self.regex;
        let (cache, captures) = if odd { with_odd } else { plain }
            .get_or_insert_with(|| (regex.create_cache(), regex.create_captures()));
        (cache, captures)
    }
}

/// A text, and whether it has U+017F or U+212A.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Odd<'t> {
    pub(crate) bytes: &'t [u8],
    pub(crate) odd: bool,
}

/// A match of a pattern in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) secret: Range<usize>,
    /// Without line ends around it.
    pub(crate) matched: Range<usize>,
    /// As long as `matched`, but from where the pattern began to match.
    pub(crate) located: Range<usize>,
}

impl Matcher {
    /// Reads the pattern of a rule; nothing is built yet.
    pub(crate) fn new(def: &RuleDef) -> Result<Self, String> {
        let hir = limits::parse(&def.regex)?;
        let groups = hir.properties().explicit_captures_len();
        let part = match def.part {
            Part::First | Part::Group(_) if groups == 0 => Part::Whole,
            part @ (Part::First | Part::Group(_) | Part::Whole | Part::InPlace(_)) => part,
        };
        let core = plain(&hir);
        let (preamble, core) = match Preamble::cut(&core) {
            Some((preamble, core)) => (Some(preamble), core),
            None => (None, core),
        };
        Ok(Self {
            reach: Reach::of(&core, def.words(), false),
            odd_reach: OnceLock::new(),
            words: def.words().to_vec(),
            regex: [OnceLock::new(), OnceLock::new()],
            preamble,
            looks_behind: !core.properties().look_set_prefix_any().is_empty(),
            sequel: OnceLock::new(),
            hir,
            core,
            part,
            validator: def.validator.as_deref().and_then(Validator::named),
        })
    }

    /// Returns how far matches reach from a keyword; `None` where a match need not contain one.
    pub(crate) fn reach(&self, odd: bool) -> Option<&Reach> {
        if odd {
            self.odd_reach
                .get_or_init(|| Reach::of(&self.hir, &self.words, true))
                .as_ref()
        } else {
            self.reach.as_ref()
        }
    }

    /// Whether there can be a match around a keyword that begins at `keyword`, as far as a short look tells.
    pub(crate) fn may_match(&self, cache: &mut MatcherCache, text: &[u8], keyword: usize) -> bool {
        let Some(sequel) = self.reach.as_ref().and_then(|reach| reach.sequel.as_ref()) else {
            return true;
        };
        let dfa = self
            .sequel
            .get_or_init(|| limits::build_sequel(&sequel.hir).ok());
        let Some((dfa, start)) = dfa.as_ref().zip(keyword.checked_sub(sequel.before)) else {
            return dfa.is_none();
        };
        let cache = cache.sequel.get_or_insert_with(|| dfa.create_cache());
        let input = Input::new(text)
            .span(start..text.len())
            .anchored(Anchored::Yes)
            .earliest(true);
        // An automaton that gives up has seen too much to say no.
        dfa.try_search_fwd(cache, &input)
            .map_or(true, |found| found.is_some())
    }

    /// Returns the pattern ready for use, or `None` where it cannot be built; that is known when a pack is loaded.
    fn regex(&self, odd: bool) -> Option<&Regex> {
        let captures = match self.part {
            Part::Whole => WhichCaptures::Implicit,
            Part::First | Part::Group(_) | Part::InPlace(_) => WhichCaptures::All,
        };
        let [regex, with_odd] = &self.regex;
        let regex = if odd {
            with_odd.get_or_init(|| limits::build_parsed(&self.hir, captures).ok())
        } else {
            regex.get_or_init(|| limits::build_parsed(&self.core, captures).ok())
        };
        regex.as_ref()
    }

    /// Tells all matches inside `windows`; what stands around them counts for word boundaries and anchors.
    pub(crate) fn find_all(
        &self,
        cache: &mut MatcherCache,
        text: Odd<'_>,
        windows: &Windows,
        mut each: impl FnMut(Hit),
    ) {
        if windows.list().is_empty() {
            return;
        }
        let Some(regex) = self.regex(text.odd) else {
            return;
        };
        let (cache, captures) = cache.of(regex, text.odd);
        let mut floor = 0;
        let begins = !text.odd && self.reach.as_ref().is_some_and(|reach| reach.begins);
        for window in windows.list() {
            let words = windows.words(window).filter(|_| begins);
            let mut each_from = |from: usize, anchored: Anchored, floor: &mut usize| {
                let span = from..window.range.end;
                let next = self.next(regex, (cache, captures), text, (span, anchored), *floor);
                let (range, hit) = next?;
                *floor = range.end;
                if let Some(hit) = hit {
                    each(hit);
                }
                Some(range.end)
            };
            let mut from = window.range.start.max(floor);
            match words {
                Some(words) => {
                    for word in words {
                        if word >= from
                            && let Some(end) = each_from(word, Anchored::Yes, &mut floor)
                        {
                            from = end;
                        }
                    }
                }
                None => {
                    while from <= window.last
                        && let Some(end) = each_from(from, Anchored::No, &mut floor)
                    {
                        from = end;
                    }
                }
            }
        }
    }

    /// Returns the first match inside `window`, and what it is a hit of unless its validator says no.
    pub(crate) fn first(
        &self,
        cache: &mut MatcherCache,
        text: Odd<'_>,
        window: Range<usize>,
    ) -> Option<(Range<usize>, Option<Hit>)> {
        let regex = self.regex(text.odd)?;
        let memory = cache.of(regex, text.odd);
        let floor = window.start;
        self.next(regex, memory, text, (window, Anchored::No), floor)
    }

    /// Returns the first match inside `window` that is not empty; a preamble may begin before it, but not before
    /// `floor`.
    fn next(
        &self,
        regex: &Regex,
        (cache, captures): (&mut Cache, &mut Captures),
        text: Odd<'_>,
        (window, anchored): (Range<usize>, Anchored),
        floor: usize,
    ) -> Option<(Range<usize>, Option<Hit>)> {
        let mut from = window.start;
        while from <= window.end {
            let input = Input::new(text.bytes)
                .span(from..window.end)
                .anchored(anchored);
            let mut range = regex.search_with(cache, &input)?.range();
            if range.is_empty() {
                from = range.end + 1;
                continue;
            }
            let core = range.start;
            if let Some(preamble) = self.preamble.as_ref().filter(|_| !text.odd) {
                range.start = preamble.begin(text.bytes, range.start, floor);
            }
            let mut search = |input: &Input<'_>, captures: &mut Captures| {
                regex.search_captures_with(cache, input, captures);
            };
            let hit = self.hit(&mut search, captures, text.bytes, (range.clone(), core));
            return Some((range, hit));
        }
        None
    }

    fn hit(
        &self,
        mut search: impl FnMut(&Input<'_>, &mut Captures),
        captures: &mut Captures,
        text: &[u8],
        (range, core): (Range<usize>, usize),
    ) -> Option<Hit> {
        let matched = trimmed(text, &range);
        let located = range.start..range.start + matched.len();
        let secret = match self.part {
            Part::Whole => matched.clone(),
            Part::InPlace(group) => {
                let input = Input::new(text).span(range);
                search(&input, captures);
                let group = captures.get_group(group)?;
                group.start..group.end
            }
            Part::First | Part::Group(_) => {
                // As Gitleaks does to get groups, so that `\b` and `$` see other edges.
                let alone = text.get(matched.clone()).unwrap_or_default();
                captures.clear();
                // Only what looks around at the very begin can match earlier there than it did here.
                let core = core.checked_sub(matched.start);
                if let Some(core) = core.filter(|core| *core == 0 || !self.looks_behind) {
                    let input = Input::new(alone).range(core..).anchored(Anchored::Yes);
                    search(&input, captures);
                }
                if !captures.is_match() {
                    search(&Input::new(alone), captures);
                }
                self.group(captures, &matched)
            }
        };
        if let Some(validator) = self.validator {
            let bytes = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
            if !validator.accepts(bytes(&matched), bytes(&secret)) {
                return None;
            }
        }
        Some(Hit {
            secret,
            matched,
            located,
        })
    }

    fn group(&self, captures: &Captures, matched: &Range<usize>) -> Range<usize> {
        if !captures.is_match() {
            return matched.clone();
        }
        let group = match self.part {
            // A group that took no part in the match is the empty text in Go.
            Part::Group(group) => Some(
                captures
                    .get_group(group)
                    .unwrap_or(Span { start: 0, end: 0 }),
            ),
            Part::First | Part::Whole | Part::InPlace(_) => (1..captures.group_len())
                .filter_map(|group| captures.get_group(group))
                .find(|span| !span.is_empty()),
        };
        group.map_or_else(
            || matched.clone(),
            |span| matched.start + span.start..matched.start + span.end,
        )
    }
}

fn trimmed(text: &[u8], range: &Range<usize>) -> Range<usize> {
    let bytes = text.get(range.clone()).unwrap_or_default();
    let left = bytes.iter().take_while(|byte| **byte == b'\n').count();
    let right = bytes
        .iter()
        .skip(left)
        .rev()
        .take_while(|byte| **byte == b'\n')
        .count();
    range.start + left..range.end - right
}

/// A matcher that is built when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Lazy {
    matcher: OnceLock<Option<Matcher>>,
}

impl Lazy {
    /// Returns the matcher, or `None` where the pattern cannot be built; that is known when a pack is loaded.
    pub(crate) fn get(&self, def: &RuleDef) -> Option<&Matcher> {
        self.matcher.get_or_init(|| Matcher::new(def).ok()).as_ref()
    }
}

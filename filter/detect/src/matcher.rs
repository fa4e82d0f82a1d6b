//! One rule's pattern, built when it is first needed.

use core::ops::Range;
use std::sync::OnceLock;

use regex_automata::meta::{Cache, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Anchored, Input, Span};

use crate::limits;
use crate::reach::Reach;
use crate::rule_pack::{Part, RuleDef};
use crate::validate::Validator;

/// A pattern ready for use.
#[derive(Debug)]
pub(crate) struct Matcher {
    regex: Regex,
    /// How far matches reach from a keyword, in ordinary text and in text with U+017F or U+212A.
    reach: [Option<Reach>; 2],
    part: Part,
    validator: Option<Validator>,
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
    /// Builds the matcher of a rule.
    pub(crate) fn new(def: &RuleDef) -> Result<Self, String> {
        let hir = limits::parse(&def.regex)?;
        let groups = hir.properties().explicit_captures_len();
        let part = match def.part {
            Part::First | Part::Group(_) if groups == 0 => Part::Whole,
            part => part,
        };
        let captures = match part {
            Part::Whole => WhichCaptures::Implicit,
            Part::First | Part::Group(_) | Part::InPlace(_) => WhichCaptures::All,
        };
        Ok(Self {
            regex: limits::build_parsed(&hir, captures)?,
            reach: [false, true].map(|odd| Reach::of(&hir, &def.keywords, odd)),
            part,
            validator: def.validator.as_deref().and_then(Validator::named),
        })
    }

    /// Returns how far matches reach from a keyword; `None` where a match need not contain one.
    pub(crate) fn reach(&self, odd: bool) -> Option<&Reach> {
        let [plain, with_odd] = &self.reach;
        if odd {
            with_odd.as_ref()
        } else {
            plain.as_ref()
        }
    }

    pub(crate) fn cache(&self) -> Cache {
        self.regex.create_cache()
    }

    /// Tells all matches inside `window`; what stands around it counts for word boundaries and anchors.
    pub(crate) fn find_all(
        &self,
        cache: &mut Cache,
        text: &[u8],
        window: Range<usize>,
        each: &mut dyn FnMut(Hit),
    ) {
        let mut from = window.start;
        while from <= window.end {
            let input = Input::new(text).span(from..window.end);
            let Some(found) = self.regex.search_with(cache, &input) else {
                return;
            };
            let range = found.range();
            from = range.end.max(range.start + 1);
            if range.is_empty() {
                continue;
            }
            if let Some(hit) = self.hit(cache, text, range) {
                each(hit);
            }
        }
    }

    fn hit(&self, cache: &mut Cache, text: &[u8], range: Range<usize>) -> Option<Hit> {
        let matched = trimmed(text, &range);
        let located = range.start..range.start + matched.len();
        let secret = match self.part {
            Part::Whole => matched.clone(),
            Part::InPlace(group) => {
                let input = Input::new(text).span(range).anchored(Anchored::Yes);
                let mut captures = self.regex.create_captures();
                self.regex
                    .search_captures_with(cache, &input, &mut captures);
                let group = captures.get_group(group)?;
                group.start..group.end
            }
            Part::First | Part::Group(_) => self.alone(cache, text, &matched),
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

    /// Runs the pattern over the match alone, as Gitleaks does to get groups, so that `\b` and `$` see other edges.
    fn alone(&self, cache: &mut Cache, text: &[u8], matched: &Range<usize>) -> Range<usize> {
        let alone = text.get(matched.clone()).unwrap_or_default();
        let mut captures = self.regex.create_captures();
        self.regex
            .search_captures_with(cache, &Input::new(alone), &mut captures);
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
            _ => (1..captures.group_len())
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

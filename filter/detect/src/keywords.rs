//! The one automaton over the keywords of all rules.

use std::collections::BTreeMap;

use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind};

use crate::problem::RuleProblem;

/// Texts are read in blocks of this size, so that what is found in one stays small.
const BLOCK_BYTES: usize = 64 * 1024;

/// A shorter block is not worth being read in several places at once.
const MIN_LANE_BYTES: usize = 256;

/// Finds every place of every keyword, in any ASCII case.
#[derive(Debug)]
pub(crate) struct Keywords {
    automaton: Option<DFA>,
    /// For each keyword, how long it is and which rules have it.
    words: Vec<Word>,
    /// Bytes of the longest keyword.
    pub(crate) longest: usize,
    /// Keywords with white space in them.
    spaced: Vec<String>,
    /// Rules without keywords.
    pub(crate) always: Vec<usize>,
    /// Whether a keyword has letters outside ASCII.
    pub(crate) wide: bool,
}

#[derive(Debug)]
struct Word {
    length: usize,
    rules: Vec<(usize, Role)>,
}

/// What a word says about a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// The rule is to be asked, and its matches are around such words if every match contains one.
    Keyword,
    /// The rule's matches are around such words, but it is asked only if a keyword stands somewhere.
    Anchor,
}

/// A keyword in the text.
#[derive(Clone, Copy, Debug)]
struct Place {
    end: usize,
    word: usize,
}

/// Memory of the search.
#[derive(Debug, Default)]
pub(crate) struct KeywordScratch {
    lanes: [Vec<Place>; 3],
}

impl Keywords {
    /// Takes the keywords and the anchors of each rule, in the rules' order.
    pub(crate) fn new<'r>(
        rules: impl Iterator<Item = [&'r [String]; 2]>,
    ) -> Result<Self, RuleProblem> {
        let mut by_word = BTreeMap::<&str, Vec<(usize, Role)>>::new();
        let mut always = Vec::new();
        for (place, [keywords, anchors]) in rules.enumerate() {
            if keywords.is_empty() {
                always.push(place);
            }
            for (words, role) in [(keywords, Role::Keyword), (anchors, Role::Anchor)] {
                for word in words {
                    by_word.entry(word).or_default().push((place, role));
                }
            }
        }
        let automaton = if by_word.is_empty() {
            None
        } else {
            let built = DFA::builder()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(true)
                .prefilter(false)
                .build(by_word.keys());
            Some(built.map_err(|error| {
                RuleProblem::file(
                    "keywords",
                    format!("are too many for one automaton: {error}"),
                )
            })?)
        };
        Ok(Self {
            automaton,
            wide: by_word.keys().any(|word| !word.is_ascii()),
            longest: by_word.keys().map(|word| word.len()).max().unwrap_or(0),
            spaced: by_word
                .keys()
                .filter(|word| word.contains(char::is_whitespace))
                .map(|word| (*word).to_owned())
                .collect(),
            words: by_word
                .into_iter()
                .map(|(word, rules)| Word {
                    length: word.len(),
                    rules,
                })
                .collect(),
            always,
        })
    }

    /// Returns how many bytes at the end of `text` may be the beginning of a keyword that has white space in it.
    pub(crate) fn begun(&self, text: &[u8]) -> usize {
        let begins = |word: &String| {
            (1..word.len().min(text.len() + 1)).rev().find(|length| {
                let (end, begin) = (
                    text.get(text.len() - length..),
                    word.as_bytes().get(..*length),
                );
                end.zip(begin)
                    .is_some_and(|(end, begin)| end.eq_ignore_ascii_case(begin))
            })
        };
        self.spaced.iter().filter_map(begins).max().unwrap_or(0)
    }

    /// Tells every word of every rule in the text: the rule's place, what the word says about it, and where it begins
    /// and ends; ends never decrease.
    pub(crate) fn find(
        &self,
        scratch: &mut KeywordScratch,
        text: &[u8],
        mut each: impl FnMut(usize, Role, core::ops::Range<usize>),
    ) {
        let Some(automaton) = &self.automaton else {
            return;
        };
        let Ok(start) = automaton.start_state(Anchored::No) else {
            return;
        };
        let mut tell = |lane: &mut Vec<Place>| {
            for place in lane.drain(..) {
                let Some(word) = self.words.get(place.word) else {
                    continue;
                };
                let begin = place.end.saturating_sub(word.length);
                for (rule, role) in &word.rules {
                    each(*rule, *role, begin..place.end);
                }
            }
        };
        let [one, two, three] = &mut scratch.lanes;
        let mut state = start;
        let mut from = 0;
        while from < text.len() {
            let block = text.get(from..).unwrap_or_default();
            let block = block.get(..BLOCK_BYTES).unwrap_or(block);
            let lane = block.len() / 3;
            if lane < MIN_LANE_BYTES.max(self.longest) {
                let mut reader = Lane::new(automaton, state, from, one);
                block.iter().for_each(|byte| reader.step(*byte));
                state = reader.state;
            } else {
                state = self.three_lanes(
                    automaton,
                    [state, start],
                    text,
                    from..from + block.len(),
                    [one, two, three],
                );
                tell(one);
                tell(two);
                tell(three);
            }
            tell(one);
            from += block.len();
        }
    }

    /// Reads a block in three places at once: each step waits for the one before it, so that three readers cost
    /// little more than one.
    ///
    /// The second and the third begin early enough to see every keyword that ends in their part.
    fn three_lanes(
        &self,
        automaton: &DFA,
        [state, start]: [aho_corasick::automaton::StateID; 2],
        text: &[u8],
        block: core::ops::Range<usize>,
        [one, two, three]: [&mut Vec<Place>; 3],
    ) -> aho_corasick::automaton::StateID {
        let lane = block.len() / 3;
        let (second, third) = (block.start + lane, block.start + 2 * lane);
        let mut first = Lane::new(automaton, state, block.start, one);
        let mut next = self.warmed(automaton, start, text, second, two);
        let mut last = self.warmed(automaton, start, text, third, three);
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default().iter();
        let lanes = part(block.start, second)
            .zip(part(second, third))
            .zip(part(third, third + lane));
        for ((a, b), c) in lanes {
            first.step(*a);
            next.step(*b);
            last.step(*c);
        }
        for byte in part(third + lane, block.end) {
            last.step(*byte);
        }
        last.state
    }

    /// Returns a reader that has seen what stands before `at`.
    fn warmed<'a>(
        &self,
        automaton: &'a DFA,
        start: aho_corasick::automaton::StateID,
        text: &[u8],
        at: usize,
        places: &'a mut Vec<Place>,
    ) -> Lane<'a> {
        let from = at.saturating_sub(self.longest);
        let mut lane = Lane::new(automaton, start, from, places);
        for byte in text.get(from..at).unwrap_or_default() {
            lane.step(*byte);
        }
        lane.places.clear();
        lane
    }
}

/// One reader of the automaton.
struct Lane<'a> {
    automaton: &'a DFA,
    state: aho_corasick::automaton::StateID,
    at: usize,
    places: &'a mut Vec<Place>,
}

impl<'a> Lane<'a> {
    fn new(
        automaton: &'a DFA,
        state: aho_corasick::automaton::StateID,
        at: usize,
        places: &'a mut Vec<Place>,
    ) -> Self {
        Self {
            automaton,
            state,
            at,
            places,
        }
    }

    #[inline(always)]
    fn step(&mut self, byte: u8) {
        self.state = self.automaton.next_state(Anchored::No, self.state, byte);
        self.at += 1;
        if self.automaton.is_special(self.state) {
            self.collect();
        }
    }

    #[inline(never)]
    fn collect(&mut self) {
        if !self.automaton.is_match(self.state) {
            return;
        }
        for n in 0..self.automaton.match_len(self.state) {
            self.places.push(Place {
                end: self.at,
                word: self.automaton.match_pattern(self.state, n).as_usize(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{KeywordScratch, Keywords};

    fn find(words: &[String], text: &[u8]) -> Vec<(usize, usize, usize)> {
        let words: Vec<Vec<String>> = words.iter().map(|word| vec![word.clone()]).collect();
        let keywords = Keywords::new(words.iter().map(|words| [words.as_slice(), &[]])).unwrap();
        let mut found = Vec::new();
        keywords.find(&mut KeywordScratch::default(), text, |rule, _, place| {
            found.push((rule, place.start, place.end));
        });
        found
    }

    fn naively(words: &[String], text: &[u8]) -> Vec<(usize, usize, usize)> {
        let text = text.to_ascii_lowercase();
        let mut found = Vec::new();
        for end in 0..=text.len() {
            for (rule, word) in words.iter().enumerate() {
                if text[..end].ends_with(word.as_bytes()) {
                    found.push((rule, end - word.len(), end));
                }
            }
        }
        found
    }

    proptest! {
        #[test]
        fn lanes_find_what_stands_there(text in "[abkK ]{0,4000}", times in 1_usize..40) {
            let words: Vec<String> = ["ab", "abka", "k", "bk bk a"].map(str::to_owned).to_vec();
            let text = text.repeat(times);
            let text = text.as_bytes();
            let text = text.get(..150_000).unwrap_or(text);
            let mut found = find(&words, text);
            prop_assert!(found.is_sorted_by_key(|(_, _, end)| *end));
            let mut want = naively(&words, text);
            found.sort_unstable();
            want.sort_unstable();
            prop_assert_eq!(found, want);
        }
    }
}

//! What a stream must know about a rule: where its matches can begin, and whether one that began can still come true.

use std::sync::OnceLock;

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::{Capture, Hir, HirKind, Look, Repetition};
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::reach::{ByteSet, Reach, bytes_of, pieces};
use crate::rule_pack::{Part, RuleDef};

/// What the automaton of one rule may grow to before it starts again.
const CACHE_BYTES: usize = 1 << 20;

/// A rule whose automaton cannot be stepped is waited for as long as its longest match, and at most so long.
const MAX_BLIND: usize = 4 * 1024;

/// Optional text before a match that is longer counts as part of it.
const MAX_PREAMBLE: usize = 512;

/// What is known about each rule of a set, found out when it is first needed.
#[derive(Debug)]
pub(crate) struct Guides {
    rules: Vec<OnceLock<Option<Guide>>>,
}

impl Guides {
    pub(crate) fn new(rules: usize) -> Self {
        let mut all = Vec::new();
        all.resize_with(rules, OnceLock::new);
        Self { rules: all }
    }

    pub(super) fn of(&self, rule: usize, def: &RuleDef) -> Option<&Guide> {
        self.rules
            .get(rule)?
            .get_or_init(|| Guide::new(def))
            .as_ref()
    }
}

/// What is known about one rule.
#[derive(Debug)]
pub(super) struct Guide {
    /// The pattern without its preamble.
    core: Hir,
    /// From where the core of a match begins to the end of its keyword, at most; `None` where a match need not
    /// contain a keyword.
    pub(super) lead: Option<usize>,
    /// How far before its core a match may begin.
    pub(super) preamble: usize,
    automaton: OnceLock<Option<DFA>>,
    longest: usize,
}

/// What a stream must hold back for a rule before any of its words has shown up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waits {
    /// Bytes that must be held back at any time, because the secret may begin so far before the word with white
    /// space between.
    #[serde(default)]
    pub(super) always: usize,
    /// Bytes without white space that the secret may have before the word.
    #[serde(default)]
    pub(super) run: usize,
}

impl Waits {
    /// Finds out what must be held back for a rule whose pattern and words are known.
    pub(crate) fn of(def: &RuleDef) -> Self {
        let Some((core, _, is_whole)) = core_of(def) else {
            return Self::default();
        };
        let first = if is_whole {
            0
        } else {
            secret_part(&core, &mut 0).unwrap_or(0)
        };
        let parts: Vec<&Hir> = pieces(&core).into_iter().skip(first).collect();
        let words = def.words();
        // Where the secret begins behind the word, the word is seen first.
        let Some(reach) = Reach::of(&joined(&parts), words, true) else {
            return Self::default();
        };
        Self {
            always: if is_spaced(&parts, words) {
                reach.lead
            } else {
                0
            },
            run: reach.lead,
        }
    }
}

/// Returns the pattern of a rule without its preamble, how long that may be, and whether all of a match is secret.
fn core_of(def: &RuleDef) -> Option<(Hir, usize, bool)> {
    let whole = limits::parse(&def.regex).ok()?;
    let groups = whole.properties().explicit_captures_len();
    let is_whole =
        def.part == Part::Whole || (groups == 0 && !matches!(def.part, Part::InPlace(_)));
    let (core, preamble) = if is_whole {
        (whole, 0)
    } else {
        without_preamble(whole)
    };
    Some((core, preamble, is_whole))
}

/// What has become of a match that may begin at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing matches there, whatever follows.
    Dead,
    /// Something matches there, and what follows does not change it.
    Match,
    /// That depends on what follows.
    Open,
}

impl Guide {
    fn new(def: &RuleDef) -> Option<Self> {
        let (core, preamble, _) = core_of(def)?;
        let lead = Reach::of(&core, def.words(), true).map(|reach| reach.lead);
        Some(Self {
            lead,
            preamble,
            longest: core
                .properties()
                .maximum_len()
                .unwrap_or(MAX_BLIND)
                .min(MAX_BLIND),
            automaton: OnceLock::new(),
            core,
        })
    }

    fn automaton(&self) -> Option<&DFA> {
        self.automaton
            .get_or_init(|| {
                let nfa = thompson::Compiler::new()
                    .configure(
                        thompson::Config::new()
                            .utf8(false)
                            .which_captures(WhichCaptures::None),
                    )
                    .build_from_hir(&without_word_bounds(&self.core))
                    .ok()?;
                DFA::builder()
                    .configure(
                        DFA::config()
                            .match_kind(MatchKind::All)
                            .skip_cache_capacity_check(true)
                            .cache_capacity(CACHE_BYTES),
                    )
                    .build_from_nfa(nfa)
                    .ok()
            })
            .as_ref()
    }

    /// Returns what has become of a match whose core begins at `start`, and how many bytes were looked at.
    pub(super) fn fate(
        &self,
        cache: &mut Option<Cache>,
        text: &[u8],
        start: usize,
        open: bool,
    ) -> (Fate, usize) {
        let blind = || {
            let waits = open && text.len() - start <= self.longest;
            (if waits { Fate::Open } else { Fate::Match }, 1)
        };
        let Some(automaton) = self.automaton() else {
            return blind();
        };
        let cache = cache.get_or_insert_with(|| automaton.create_cache());
        let input = Input::new(text)
            .span(start..text.len())
            .anchored(Anchored::Yes);
        let Ok(mut state) = automaton.start_state_forward(cache, &input) else {
            return blind();
        };
        let mut matched = false;
        for (steps, byte) in text.get(start..).unwrap_or_default().iter().enumerate() {
            let Ok(next) = automaton.next_state(cache, state, *byte) else {
                return blind();
            };
            state = next;
            if state.is_tagged() {
                if state.is_match() {
                    matched = true;
                } else if state.is_dead() {
                    let fate = if matched { Fate::Match } else { Fate::Dead };
                    return (fate, steps + 1);
                } else if state.is_quit() {
                    return blind();
                }
            }
        }
        let steps = text.len() - start + 1;
        if open {
            return (Fate::Open, steps);
        }
        match automaton.next_eoi_state(cache, state) {
            Ok(state) if matched || state.is_match() => (Fate::Match, steps),
            Ok(_) => (Fate::Dead, steps),
            Err(_cache) => blind(),
        }
    }
}

/// Takes an optional text off the beginning of a pattern, if it prefers to be short and holds no group: whatever it
/// matches, the rest of the pattern decides.
fn without_preamble(hir: Hir) -> (Hir, usize) {
    let parts = pieces(&hir);
    let Some(first) = parts.first() else {
        return (hir, 0);
    };
    let HirKind::Repetition(repetition) = first.kind() else {
        return (hir, 0);
    };
    let is_free = repetition.min == 0
        && !repetition.greedy
        && first.properties().explicit_captures_len() == 0
        && first.properties().look_set().is_empty();
    match first.properties().maximum_len() {
        Some(length) if is_free && length <= MAX_PREAMBLE => {
            let HirKind::Concat(all) = hir.kind() else {
                return (hir, 0);
            };
            // The first part may be a group of its own, which would be cut open.
            if all.first().is_none_or(|part| part != *first) {
                return (hir, 0);
            }
            (Hir::concat(all.iter().skip(1).cloned().collect()), length)
        }
        _ => (hir, 0),
    }
}

/// Leaves out what a byte automaton cannot know: whether letters outside ASCII bound a word. What then matches is
/// more, and is held against the pattern itself before it is believed.
fn without_word_bounds(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Look(
            Look::WordUnicode
            | Look::WordUnicodeNegate
            | Look::WordStartUnicode
            | Look::WordEndUnicode
            | Look::WordStartHalfUnicode
            | Look::WordEndHalfUnicode,
        ) => Hir::empty(),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(without_word_bounds(&repetition.sub)),
            ..repetition.clone()
        }),
        HirKind::Capture(capture) => Hir::capture(Capture {
            sub: Box::new(without_word_bounds(&capture.sub)),
            ..capture.clone()
        }),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(without_word_bounds).collect()),
        HirKind::Alternation(parts) => {
            Hir::alternation(parts.iter().map(without_word_bounds).collect())
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
    }
}

/// Whether white space may stand in a match before its word.
fn is_spaced(parts: &[&Hir], words: &[String]) -> bool {
    let longest = words.iter().map(String::len).max().unwrap_or(0);
    // The last part from which on a word is certain holds it, or begins it.
    let holder = (0..parts.len()).rev().find_map(|first| {
        let rest = joined(parts.get(first..).unwrap_or_default());
        Reach::of(&rest, words, false).map(|reach| (first, reach.lead))
    });
    let Some((holder, lead)) = holder else {
        return true;
    };
    let mut bytes = ByteSet::NONE;
    for part in parts.iter().take(holder + usize::from(lead > longest)) {
        bytes_of(part, &mut bytes);
    }
    [b' ', b'\t', b'\n', b'\r']
        .iter()
        .any(|byte| bytes.has(*byte))
}

fn joined(parts: &[&Hir]) -> Hir {
    Hir::concat(parts.iter().map(|part| (*part).clone()).collect())
}

/// Returns the place of the part with which the secret begins, where that is certain: a group that takes part in
/// every match and is never empty.
fn secret_part(hir: &Hir, parts: &mut usize) -> Option<usize> {
    match hir.kind() {
        HirKind::Capture(capture) => {
            let is_certain = capture
                .sub
                .properties()
                .minimum_len()
                .is_some_and(|length| length > 0);
            is_certain.then_some(*parts)
        }
        HirKind::Concat(all) => {
            for part in all {
                if part.properties().explicit_captures_len() > 0 {
                    return secret_part(part, parts);
                }
                *parts += pieces(part).len();
            }
            None
        }
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Alternation(_) => None,
    }
}

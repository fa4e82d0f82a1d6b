//! Rules ready to scan with.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::builder::AddedPass;
use crate::finding::{Groups, RuleIndex, RuleInfo};
use crate::judge::AllowLists;
use crate::matcher::{Lazy, Matcher};
use crate::problem::RuleProblem;
use crate::rule_pack::{PackBody, RuleDef};

/// Rules of all groups, ready to scan with.
///
/// Shared by threads; each brings its own [`Scratch`](crate::Scratch).
#[derive(Debug)]
pub struct RuleSet {
    /// Told apart by scratches.
    pub(crate) id: u64,
    infos: Vec<RuleInfo>,
    pub(crate) rules: Vec<Rule>,
    /// Global allow lists, one entry for each pack.
    pub(crate) lists: Vec<AllowLists>,
    pub(crate) passes: Vec<AddedPass>,
    pub(crate) keywords: Keywords,
}

/// One rule, for all groups that want it.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) pack: Arc<PackBody>,
    pub(crate) place: usize,
    /// Place of the pack's allow lists; equal for rules of one pack.
    pub(crate) lists: usize,
    pub(crate) own_lists: AllowLists,
    pub(crate) near: Vec<Near>,
    /// Who hears of its findings.
    pub(crate) members: Vec<Member>,
    /// Whether it gives way to other rules on the same line.
    pub(crate) generic: bool,
    pub(crate) matcher: Lazy,
}

impl Rule {
    pub(crate) fn def(&self) -> Option<&RuleDef> {
        self.pack.rules.get(self.place)
    }

    pub(crate) fn matcher(&self) -> Option<&Matcher> {
        self.matcher.get(self.def()?)
    }
}

/// A rule that must match nearby, by its place in the set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near {
    pub(crate) rule: usize,
    pub(crate) within_lines: Option<usize>,
    pub(crate) within_columns: Option<usize>,
}

/// A rule as one group knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) group: u8,
    pub(crate) index: RuleIndex,
}

/// The automaton over all keywords.
#[derive(Debug)]
pub(crate) struct Keywords {
    pub(crate) automaton: Option<AhoCorasick>,
    /// For each keyword, the rules that have it.
    pub(crate) rules: Vec<Vec<usize>>,
    /// Rules without keywords.
    pub(crate) always: Vec<usize>,
    /// Whether a keyword has letters outside ASCII.
    pub(crate) wide: bool,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl RuleSet {
    pub(crate) fn new(
        infos: Vec<RuleInfo>,
        rules: Vec<Rule>,
        lists: Vec<AllowLists>,
        passes: Vec<AddedPass>,
    ) -> Result<Self, RuleProblem> {
        let keywords = Keywords::new(&rules)?;
        Ok(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            infos,
            rules,
            lists,
            passes,
            keywords,
        })
    }

    /// Returns what is known about a rule.
    pub fn rule(&self, index: RuleIndex) -> Option<&RuleInfo> {
        self.infos.get(usize::try_from(index.0).ok()?)
    }

    /// Returns every rule, in the order of their indexes.
    pub fn rules(&self) -> impl Iterator<Item = (RuleIndex, &RuleInfo)> {
        (0..).map(RuleIndex).zip(&self.infos)
    }

    /// Returns the groups that have a rule.
    pub fn groups(&self) -> Groups {
        self.infos
            .iter()
            .fold(Groups::NONE, |groups, info| groups.with(info.group))
    }
}

impl Keywords {
    fn new(rules: &[Rule]) -> Result<Self, RuleProblem> {
        let mut by_word = BTreeMap::<&str, Vec<usize>>::new();
        let mut always = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            let words = rule.def().map_or(&[][..], |def| &def.keywords);
            if words.is_empty() {
                always.push(place);
            }
            for word in words {
                by_word.entry(word).or_default().push(place);
            }
        }
        let automaton = if by_word.is_empty() {
            None
        } else {
            // The automatic choice takes a slower automaton from about 100 words on.
            let built = AhoCorasick::builder()
                .kind(Some(AhoCorasickKind::DFA))
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
            rules: by_word.into_values().collect(),
            always,
        })
    }
}

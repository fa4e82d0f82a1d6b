//! Rules ready to scan with.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use crate::builder::AddedPass;
use crate::finding::{Groups, RuleIndex, RuleInfo};
use crate::judge::{AllowLists, Path};
use crate::keywords::Keywords;
use crate::matcher::{Lazy, Matcher};
use crate::problem::RuleProblem;
use crate::rule_pack::{PackBody, RuleDef};
use crate::stream::Guides;

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
    pub(crate) guides: Guides,
    /// Whether encoded parts of texts are looked at.
    pub(crate) decodes: bool,
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
    /// The path condition.
    pub(crate) path: Path,
    pub(crate) matcher: Lazy,
}

impl Rule {
    pub(crate) fn def(&self) -> Option<&RuleDef> {
        self.pack.rules.get(self.place)
    }

    /// Whether matches are looked for around other words than the keywords.
    pub(crate) fn has_anchors(&self) -> bool {
        self.def().is_some_and(|def| !def.anchors.is_empty())
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

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl RuleSet {
    pub(crate) fn new(
        infos: Vec<RuleInfo>,
        rules: Vec<Rule>,
        lists: Vec<AllowLists>,
        passes: Vec<AddedPass>,
    ) -> Result<Self, RuleProblem> {
        let keywords = Keywords::new(rules.iter().map(|rule| {
            rule.def()
                .map_or([&[][..], &[]], |def| [&def.keywords, &def.anchors])
        }))?;
        Ok(Self {
            guides: Guides::new(rules.len()),
            decodes: true,
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

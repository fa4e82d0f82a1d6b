//! Detectors that go over a text themselves: personal data, words, hidden text.

use core::fmt::Debug;
use core::ops::Range;

use crate::finding::{Groups, Kind, Severity};
use crate::rule_set::Member;
use crate::tape::Tape;

/// Rules of one pass at most.
pub(crate) const MAX_PASS_RULES: usize = 64;

/// A rule of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PassRule {
    pub(crate) id: String,
    pub(crate) description: String,
    pub(crate) kind: Kind,
    pub(crate) severity: Severity,
}

/// What a pass found; offsets are bytes of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Place of the rule in [`Pass::rules`].
    pub(crate) rule: usize,
    pub(crate) secret: Range<usize>,
    pub(crate) matched: Range<usize>,
    /// The value in plain, where the text hides it.
    pub(crate) decoded: Option<String>,
}

/// Rules of a pass that anybody wants to hear of; bit n stands for rule n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted(pub(crate) u64);

impl Wanted {
    /// Returns the rules that one of `groups` hears of, given who hears of each.
    pub(crate) fn of(members: &[Vec<Member>], groups: Groups) -> Self {
        let wanted = |members: &Vec<Member>| members.iter().any(|member| groups.has(member.group));
        let bits = members.iter().take(MAX_PASS_RULES).zip(0_u32..);
        Self(bits.fold(0, |bits, (members, rule)| {
            bits | u64::from(wanted(members)) << rule
        }))
    }

    /// Whether rule `rule` is wanted.
    pub(crate) const fn has(self, rule: usize) -> bool {
        rule < MAX_PASS_RULES && self.0 >> rule & 1 == 1
    }
}

/// Where a pass stopped in a text that goes on; at the beginning for one that is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stopped {
    /// Everything before has been looked at.
    pub(crate) next: usize,
    /// The last finding ended here; none begins before.
    pub(crate) floor: usize,
}

/// One detector over the whole text.
///
/// A set runs each pass once, however many groups want its rules.
pub(crate) trait Pass: Debug + Send + Sync {
    /// Returns what tells it from other passes; two with one key find the same.
    fn key(&self) -> String;

    /// Returns its rules, at most [`MAX_PASS_RULES`], always the same ones in the same order.
    fn rules(&self) -> Vec<PassRule>;

    /// Appends what it finds on `tape` from where it stopped, in order and in time linear in the length, and returns
    /// up to which byte that is certain: nothing that more text may bring begins before it.
    ///
    /// Findings of rules that are not `wanted` are dropped by the caller.
    fn scan(
        &self,
        tape: &Tape<'_>,
        stopped: &mut Stopped,
        wanted: Wanted,
        out: &mut Vec<Found>,
    ) -> usize;
}

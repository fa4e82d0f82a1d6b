//! Putting a rule set together.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::finding::{Kind, RuleIndex, RuleInfo, Severity};
use crate::judge::{AllowLists, Path};
use crate::limits;
use crate::matcher::Lazy;
use crate::pass::{MAX_PASS_RULES, Pass};
use crate::problem::RuleProblem;
use crate::rule_pack::{PackBody, Part, RuleDef, RulePack};
use crate::rule_set::{Member, Near, Rule, RuleSet};
use crate::stream::Waits;

/// Groups of one set at most.
pub const MAX_GROUPS: u8 = 64;

/// Collects rules, group by group.
///
/// Rules that several groups share are looked for once.
#[derive(Debug, Default)]
pub struct RuleSetBuilder {
    infos: Vec<RuleInfo>,
    packs: Vec<AddedPack>,
    passes: Vec<AddedPass>,
    plain_only: bool,
}

#[derive(Debug)]
struct AddedPack {
    body: Arc<PackBody>,
    /// For each rule of the pack, who hears of it.
    members: Vec<Vec<Member>>,
}

#[derive(Debug)]
pub(crate) struct AddedPass {
    pub(crate) pass: Box<dyn Pass>,
    /// For each rule of the pass, who hears of it.
    pub(crate) members: Vec<Vec<Member>>,
}

impl RuleSetBuilder {
    /// Adds the rules of a pack but for those `disabled`.
    ///
    /// # Errors
    /// When `disabled` names no rule of the pack, or `group` is too large.
    pub fn pack(
        &mut self,
        group: u8,
        pack: &RulePack,
        disabled: &[String],
    ) -> Result<(), RuleProblem> {
        check_group(group)?;
        let body = pack.body();
        for id in disabled {
            let known = pack
                .rule_ids()
                .chain(pack.not_applicable().map(|(id, _)| id));
            if !known.into_iter().any(|known| known == id) {
                return Err(RuleProblem::of(
                    id,
                    "disabled_rules",
                    "is no rule of the file",
                ));
            }
        }
        let place = self.packs.iter().position(|added| added.body == *body);
        let place = place.unwrap_or_else(|| {
            self.packs.push(AddedPack {
                body: Arc::clone(body),
                members: vec![Vec::new(); body.rules.len()],
            });
            self.packs.len() - 1
        });
        for (rule, def) in body.rules.iter().enumerate() {
            if def.skip_report || disabled.contains(&def.id) {
                continue;
            }
            let member = self.member(group, &def.id, &def.description, def.kind, def.severity);
            if let Some(members) = self
                .packs
                .get_mut(place)
                .and_then(|added| added.members.get_mut(rule))
            {
                members.push(member);
            }
        }
        Ok(())
    }

    /// Adds one pattern in Rust's syntax; `capture_group` is what is to be hidden, 0 for the whole match.
    ///
    /// # Errors
    /// When the pattern cannot be built, is too large, looks around, or has no such group.
    pub fn regex(
        &mut self,
        group: u8,
        id: &str,
        pattern: &str,
        capture_group: u32,
        severity: Severity,
    ) -> Result<(), RuleProblem> {
        let groups = limits::check_pattern(pattern)
            .map_err(|problem| RuleProblem::of(id, "pattern", problem))?;
        let capture_group = usize::try_from(capture_group).unwrap_or(usize::MAX);
        if capture_group > groups {
            return Err(RuleProblem::of(
                id,
                "group",
                format!("is {capture_group}, but the pattern has {groups} groups"),
            ));
        }
        let rule = RuleDef {
            id: id.to_owned(),
            description: String::new(),
            regex: pattern.to_owned(),
            part: match capture_group {
                0 => Part::Whole,
                group => Part::InPlace(group),
            },
            entropy: 0.0,
            keywords: limits::anchors(pattern),
            anchors: Vec::new(),
            waits: Waits::default(),
            path: None,
            allowlists: Vec::new(),
            required: Vec::new(),
            skip_report: false,
            severity,
            kind: Kind::Custom,
            validator: None,
        };
        let rule = rule.with_waits();
        let pack = RulePack::new(PackBody {
            rules: vec![rule],
            ..PackBody::default()
        });
        self.pack(group, &pack, &[])
    }

    /// Adds the embedded secrets pack but for the rules `disabled`.
    ///
    /// # Errors
    /// As [`pack`](Self::pack).
    pub fn secrets(&mut self, group: u8, disabled: &[String]) -> Result<(), RuleProblem> {
        self.pack(group, &crate::pack::secrets()?, disabled)
    }

    /// Looks at text as it stands only: escapes and base64 are not decoded on the way.
    pub fn plain_only(&mut self) {
        self.plain_only = true;
    }

    /// Adds `rules` (places in [`Pass::rules`]) of a pass.
    pub(crate) fn add_pass(
        &mut self,
        group: u8,
        pass: Box<dyn Pass>,
        rules: &[usize],
    ) -> Result<(), RuleProblem> {
        check_group(group)?;
        let known = pass.rules();
        debug_assert!(known.len() <= MAX_PASS_RULES, "a pass has too many rules");
        let key = pass.key();
        let place = self.passes.iter().position(|added| added.pass.key() == key);
        let place = place.unwrap_or_else(|| {
            self.passes.push(AddedPass {
                pass,
                members: vec![Vec::new(); known.len()],
            });
            self.passes.len() - 1
        });
        for rule in rules {
            let Some(info) = known.get(*rule) else {
                continue;
            };
            let member = self.member(group, &info.id, &info.description, info.kind, info.severity);
            if let Some(members) = self
                .passes
                .get_mut(place)
                .and_then(|added| added.members.get_mut(*rule))
            {
                members.push(member);
            }
        }
        Ok(())
    }

    fn member(
        &mut self,
        group: u8,
        id: &str,
        description: &str,
        kind: Kind,
        severity: Severity,
    ) -> Member {
        let index = RuleIndex(u32::try_from(self.infos.len()).unwrap_or(u32::MAX));
        self.infos.push(RuleInfo {
            id: id.to_owned(),
            description: description.to_owned(),
            kind,
            severity,
            group,
        });
        Member { group, index }
    }

    /// Finishes the set. Patterns are built later, each when it is first needed.
    ///
    /// # Errors
    /// When the keywords of all rules together are too many for one automaton.
    pub fn build(self) -> Result<RuleSet, RuleProblem> {
        let mut rules = Vec::new();
        let mut lists = Vec::new();
        for added in self.packs {
            let first = rules.len();
            let places: BTreeMap<&str, usize> = added
                .body
                .rules
                .iter()
                .enumerate()
                .map(|(place, def)| (def.id.as_str(), first + place))
                .collect();
            lists.push(AllowLists::new(&added.body.allowlists));
            for ((place, def), members) in added.body.rules.iter().enumerate().zip(added.members) {
                let near = def.required.iter().map(|required| Near {
                    rule: places
                        .get(required.id.as_str())
                        .copied()
                        .unwrap_or(usize::MAX),
                    within_lines: required.within_lines,
                    within_columns: required.within_columns,
                });
                rules.push(Rule {
                    pack: Arc::clone(&added.body),
                    place,
                    lists: lists.len() - 1,
                    own_lists: AllowLists::new(&def.allowlists),
                    near: near.collect(),
                    members,
                    generic: def.id.to_lowercase().contains("generic"),
                    path: Path::new(def.path.clone()),
                    matcher: Lazy::default(),
                });
            }
        }
        let mut set = RuleSet::new(self.infos, rules, lists, self.passes)?;
        set.decodes = !self.plain_only;
        Ok(set)
    }
}

fn check_group(group: u8) -> Result<(), RuleProblem> {
    if group < MAX_GROUPS {
        return Ok(());
    }
    Err(RuleProblem::file(
        "group",
        format!("is {group}; there are {MAX_GROUPS} groups, from 0 on"),
    ))
}

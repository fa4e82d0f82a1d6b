//! Generic findings give way to specific ones.
//!
//! A finding of a rule whose id contains `generic` is dropped when a rule of the same file that does not found a
//! secret on the same line that contains its own.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;

use crate::finding::Groups;
use crate::rule_set::{Member, Rule};
use crate::scan::{Match, listeners};

/// Up to so many pairs of a line are compared one by one.
const FEW: usize = 64;

/// Tells each finding to those who hear of it, but for generic ones that give way.
pub(crate) fn generic(
    text: &[u8],
    rules: &[Rule],
    matches: &mut [Match],
    groups: Groups,
    mut tell: impl FnMut(&Match, Member),
) {
    let secret = |found: &Match| text.get(found.secret.clone()).unwrap_or_default();
    let mut lines = BTreeMap::<(usize, usize), Line>::new();
    for (place, found) in matches.iter().enumerate() {
        if let Some(rule) = rules.get(found.rule).filter(|rule| rule.generic) {
            lines
                .entry((rule.lists, found.line))
                .or_default()
                .generic
                .push(place);
        }
    }
    for (place, found) in matches.iter().enumerate() {
        let Some(rule) = rules.get(found.rule).filter(|rule| !rule.generic) else {
            continue;
        };
        if !lines.is_empty()
            && let Some(line) = lines.get_mut(&(rule.lists, found.line))
        {
            line.specific.push(place);
        }
        for member in listeners(rule, groups) {
            tell(found, member);
        }
    }
    for line in lines.into_values() {
        let over = line.who_gives_way(matches, &secret);
        for (place, specific) in over {
            let Some(found) = matches.get(place) else {
                continue;
            };
            let Some(rule) = rules.get(found.rule) else {
                continue;
            };
            for member in listeners(rule, groups) {
                let gives_way = specific.iter().any(|rule| {
                    let rule = rules.get(*rule);
                    rule.is_some_and(|rule| {
                        rule.members.iter().any(|other| other.group == member.group)
                    })
                });
                if !gives_way {
                    tell(found, member);
                }
            }
        }
    }
}

/// Matches of one line of one file's rules, by place.
#[derive(Debug, Default)]
struct Line {
    generic: Vec<usize>,
    specific: Vec<usize>,
}

impl Line {
    /// Returns each generic match with the rules whose secrets contain its own.
    fn who_gives_way<'t>(
        &self,
        matches: &[Match],
        secret: &impl Fn(&Match) -> &'t [u8],
    ) -> Vec<(usize, Vec<usize>)> {
        let of = |place: &usize| matches.get(*place).map(secret).unwrap_or_default();
        let mut over: Vec<(usize, Vec<usize>)> = self
            .generic
            .iter()
            .map(|place| (*place, Vec::new()))
            .collect();
        if self.specific.is_empty() {
            return over;
        }
        if self.generic.len().saturating_mul(self.specific.len()) <= FEW {
            for (place, rules) in &mut over {
                for other in &self.specific {
                    if memchr::memmem::find(of(other), of(place)).is_some() {
                        rules.extend(matches.get(*other).map(|found| found.rule));
                    }
                }
            }
            return over;
        }
        self.at_once(matches, &of, &mut over);
        over
    }

    /// Looks for all generic secrets of a crowded line at once, so that the time stays linear.
    fn at_once<'t>(
        &self,
        matches: &[Match],
        of: &impl Fn(&usize) -> &'t [u8],
        over: &mut [(usize, Vec<usize>)],
    ) {
        let mut patterns = BTreeMap::<&[u8], Vec<usize>>::new();
        for (row, place) in self.generic.iter().enumerate() {
            patterns.entry(of(place)).or_default().push(row);
        }
        let Ok(automaton) = AhoCorasick::builder()
            .kind(Some(aho_corasick::AhoCorasickKind::NoncontiguousNFA))
            .build(patterns.keys())
        else {
            return;
        };
        let rows: Vec<Vec<usize>> = patterns.into_values().collect();
        let mut hit = vec![std::collections::BTreeSet::new(); rows.len()];
        let mut seen = std::collections::BTreeSet::new();
        for place in &self.specific {
            let Some(rule) = matches.get(*place).map(|found| found.rule) else {
                continue;
            };
            if !seen.insert((of(place), rule)) {
                continue;
            }
            for found in automaton.find_overlapping_iter(of(place)) {
                if let Some(hit) = hit.get_mut(found.pattern().as_usize()) {
                    hit.insert(rule);
                }
            }
        }
        for (rows, rules) in rows.iter().zip(hit) {
            for row in rows {
                if let Some((_, over)) = over.get_mut(*row) {
                    over.extend(rules.iter().copied());
                }
            }
        }
    }
}

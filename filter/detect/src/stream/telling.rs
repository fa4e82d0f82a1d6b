//! What a stream tells of what it found, and when.

use core::ops::Range;

use super::{Certain, StreamScan};
use crate::finding::Finding;
use crate::rule_set::RuleSet;
use crate::scan::Match;
use crate::suppress;

impl StreamScan {
    /// Returns the last place up to `place` that is inside no finding.
    pub(super) fn between_findings(&self, place: usize) -> usize {
        let mut place = place;
        loop {
            let matches = self
                .matches
                .iter()
                .filter(|certain| certain.holds && !certain.told);
            let ranges = matches
                .map(|certain| &certain.found.secret)
                .chain(self.found.iter().map(|passed| &passed.found.secret));
            let cut = ranges.filter(|range| range.start < place && place < range.end);
            match cut.map(|range| range.start).min() {
                Some(start) => place = start,
                None => return place,
            }
        }
    }

    /// Tells the findings that begin before `resolved`.
    pub(super) fn tell(&mut self, rules: &RuleSet, resolved: usize, out: &mut Vec<Finding>) {
        let first = out.len();
        let groups = self.groups;
        let watches = &self.watches;
        let is_asked = |rule: usize| {
            let place = watches.binary_search_by_key(&rule, |watch| watch.rule);
            place.is_ok_and(|place| watches.get(place).is_some_and(|watch| watch.asked))
        };
        let is_due = |certain: &Certain| {
            is_asked(certain.found.rule)
                && !certain.told
                && (certain.found.secret.start < resolved || !certain.holds)
        };
        if self.matches.iter().any(is_due) {
            let due: Vec<bool> = self.matches.iter().map(is_due).collect();
            let base = self.base;
            let mut local: Vec<Match> = self
                .matches
                .iter()
                .enumerate()
                .map(|(place, certain)| {
                    let mut found = certain.found.clone();
                    found.secret = found.secret.start.saturating_sub(base)
                        ..found.secret.end.saturating_sub(base);
                    found.column = place;
                    found
                })
                .collect();
            let matches = &self.matches;
            suppress::generic(
                &self.text,
                &rules.rules,
                &mut local,
                groups,
                |found, member| {
                    let Some(certain) = matches.get(found.column) else {
                        return;
                    };
                    let near = rules
                        .rules
                        .get(certain.found.rule)
                        .map_or(&[][..], |rule| &rule.near);
                    let has_near = near.iter().all(|near| {
                        let mut others =
                            matches.iter().filter(|other| other.found.rule == near.rule);
                        others.any(|other| near.covers(&certain.found, &other.found))
                    });
                    if due.get(found.column) == Some(&true) && has_near {
                        out.push(Finding {
                            rule: member.index,
                            secret: certain.found.secret.clone(),
                            matched: certain.found.matched.clone(),
                            entropy_milli: certain.found.entropy_milli,
                            decoded: None,
                        });
                    }
                },
            );
            for (certain, due) in self.matches.iter_mut().zip(due) {
                certain.told |= due;
            }
        }
        self.tell_passed(rules, resolved, out);
        let new = out.get_mut(first..).unwrap_or_default();
        for finding in &mut *new {
            let inlet = &self.inlet;
            let original =
                |range: &Range<usize>| inlet.original(range.start)..inlet.original(range.end);
            finding.secret = original(&finding.secret);
            finding.matched = original(&finding.matched);
        }
        crate::scan::sort(new);
    }

    fn tell_passed(&mut self, rules: &RuleSet, resolved: usize, out: &mut Vec<Finding>) {
        let groups = self.groups;
        self.found.retain(|passed| {
            if passed.found.secret.start >= resolved {
                return true;
            }
            let members = rules
                .passes
                .get(passed.pass)
                .and_then(|added| added.members.get(passed.found.rule));
            for member in members.into_iter().flatten() {
                if groups.has(member.group) {
                    out.push(Finding {
                        rule: member.index,
                        secret: passed.found.secret.clone(),
                        matched: passed.found.matched.clone(),
                        entropy_milli: 0,
                        decoded: passed.found.decoded.clone(),
                    });
                }
            }
            false
        });
    }
}

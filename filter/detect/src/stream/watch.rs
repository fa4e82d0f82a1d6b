//! One rule that may match in what a stream holds.

use core::ops::Range;
use std::collections::VecDeque;

use regex_automata::hybrid::dfa::Cache;

use super::guide::{Fate, Guide};

/// Bytes that one rule may look at in one step, so that a step's cost is bounded; what is left waits.
const MAX_STEPS: usize = 128 * 1024;

/// A match that has been waited for so long is looked at again only when an eighth has been added.
const PATIENT_FROM: usize = 512;

/// What is held of a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held<'t> {
    pub(super) text: &'t [u8],
    /// Where the text begins in the channel.
    pub(super) base: usize,
    /// Whether more may come.
    pub(super) open: bool,
}

impl Held<'_> {
    pub(super) const fn end(&self) -> usize {
        self.base + self.text.len()
    }
}

/// Where matches of one rule may begin that nothing is known of yet. Places are those of the channel.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) rule: usize,
    /// Whether a keyword has been seen, without which the rule finds nothing; it may stand far from a match.
    pub(super) asked: bool,
    /// Places that are still to be decided; in order, apart from each other.
    spans: VecDeque<Range<usize>>,
    /// No match begins before: the last one ended here.
    cursor: usize,
    /// Whether a match may begin anywhere from now on.
    everywhere: bool,
    /// Until so much has come, the first place stays open.
    retry_at: usize,
}

impl Watch {
    pub(super) fn new(rule: usize) -> Self {
        Self {
            rule,
            asked: false,
            spans: VecDeque::new(),
            cursor: 0,
            everywhere: false,
            retry_at: 0,
        }
    }

    /// Adds places at which the core of a match may begin; their ends never decrease.
    pub(super) fn add(&mut self, places: Range<usize>) {
        if self.everywhere {
            return;
        }
        let mut places = places;
        while let Some(last) = self.spans.back() {
            if last.end < places.start {
                break;
            }
            places = last.start.min(places.start)..last.end.max(places.end);
            self.spans.pop_back();
            self.retry_at = 0;
        }
        self.spans.push_back(places);
    }

    /// Makes every place from `from` on one where a match may begin.
    pub(super) fn watch_everywhere(&mut self, from: usize) {
        self.asked = true;
        if !self.everywhere {
            self.everywhere = true;
            self.spans.clear();
            self.spans.push_back(from..from);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.spans.is_empty() && !self.everywhere
    }

    /// Forgets the places before `place`.
    pub(super) fn skip_to(&mut self, place: usize) {
        self.cursor = self.cursor.max(place);
        self.retry_at = 0;
    }

    /// Decides what can be decided: tells `matched` where the core of each match begins, which answers where the
    /// match ends; returns the first place that is open.
    pub(super) fn decide(
        &mut self,
        guide: &Guide,
        cache: &mut Option<Cache>,
        held: Held<'_>,
        mut matched: impl FnMut(usize, usize) -> Option<usize>,
    ) -> Option<usize> {
        if self.everywhere {
            let from = self.spans.pop_front().map_or(held.base, |span| span.start);
            self.spans.push_back(from..held.end().max(from));
        }
        let mut steps = 0;
        // The first byte of what is held has lost what stood before it.
        let first = held.base + usize::from(held.base > 0);
        while let Some(span) = self.spans.front_mut() {
            let start = span.start.max(self.cursor).max(first);
            if start >= span.end {
                if self.everywhere {
                    *span = start..start;
                    return None;
                }
                self.spans.pop_front();
                continue;
            }
            if held.open && (self.retry_at > held.end() || steps > MAX_STEPS) {
                return Some(start);
            }
            let (fate, cost) = guide.fate(cache, held.text, start - held.base, held.open);
            steps += cost;
            let next = match fate {
                Fate::Dead => start + 1,
                Fate::Match => {
                    self.cursor = matched(start, self.cursor)
                        .unwrap_or(self.cursor)
                        .max(self.cursor);
                    self.cursor.max(start + 1)
                }
                Fate::Open => {
                    let waited = held.end() - start;
                    if waited > PATIENT_FROM {
                        self.retry_at = held.end() + waited / 8;
                    }
                    self.begin_at(start);
                    return Some(start);
                }
            };
            self.retry_at = 0;
            self.begin_at(next);
        }
        None
    }

    fn begin_at(&mut self, start: usize) {
        if let Some(span) = self.spans.front_mut() {
            span.start = start.min(span.end);
        }
    }
}

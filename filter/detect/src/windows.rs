//! The parts of a text in which a rule's matches must lie.

use core::ops::Range;

use crate::reach::{Reach, Rest};

/// A part of a text in which matches must lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) range: Range<usize>,
    /// Where the last word in it begins; every match begins there or before.
    pub(crate) last: usize,
    /// Which of the words stand in it.
    words: Range<usize>,
    /// What it costs at most to look at every word by itself, in bytes.
    cost: usize,
}

/// Looking at every word by itself may cost so many times what searching the window costs.
const MAX_COST: usize = 8;

/// Windows of one rule in one text; they do not overlap and their order is that of the text.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    list: Vec<Window>,
    /// Where the words in the windows begin.
    words: Vec<usize>,
    /// For each unbounded part, the last delimiter and from where it was looked for: a long run of bytes with many
    /// keywords is read once.
    delimiters: Vec<(usize, usize)>,
    touched: bool,
    /// Whether a keyword stands in the text.
    open: bool,
    /// Where the last keyword began, and how many have stood close to the one before them.
    last: usize,
    crowd: u8,
}

/// Keywords that begin less than so many bytes apart crowd each other.
const CLOSE: usize = 24;

/// So many keywords of a crowd are looked at one by one.
const CROWD: u8 = 4;

impl Window {
    /// The whole text.
    pub(crate) fn all(text: &[u8]) -> Self {
        Self {
            range: 0..text.len(),
            last: text.len(),
            words: 0..0,
            cost: usize::MAX,
        }
    }
}

impl Windows {
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.words.clear();
        self.delimiters.clear();
        self.touched = false;
        self.open = false;
        self.last = 0;
        self.crowd = 0;
    }

    /// Whether this is the first that is heard of the rule in the text.
    pub(crate) fn touch(&mut self) -> bool {
        !core::mem::replace(&mut self.touched, true)
    }

    /// Notes that a keyword stands in the text.
    pub(crate) fn open_gate(&mut self) {
        self.open = true;
    }

    /// Whether a keyword stands in the text.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether keywords stand so close together that a look at each would cost more than to search where they all
    /// are.
    pub(crate) fn is_crowded(&mut self, keyword: usize) -> bool {
        if keyword.saturating_sub(self.last) < CLOSE {
            self.crowd = self.crowd.saturating_add(1);
        } else {
            self.crowd = 0;
        }
        self.last = keyword;
        self.crowd > CROWD
    }

    pub(crate) fn list(&self) -> &[Window] {
        &self.list
    }

    /// Makes the whole text one window.
    pub(crate) fn add_all(&mut self, text: &[u8]) {
        self.list.clear();
        self.list.push(Window::all(text));
    }

    /// Adds the window around a keyword; keywords come in the order of their ends.
    pub(crate) fn add(&mut self, reach: &Reach, text: &[u8], keyword: Range<usize>) {
        let start = keyword.end.saturating_sub(reach.lead);
        let end = self.end(&reach.rest, text, keyword.start);
        let cost = end.saturating_sub(keyword.start);
        let place = self.words.len();
        self.words.push(keyword.start);
        match self.list.last_mut() {
            Some(window) if start <= window.range.end => {
                window.range.end = window.range.end.max(end);
                window.last = window.last.max(keyword.start);
                window.words.end = place + 1;
                window.cost = window.cost.saturating_add(cost);
            }
            _ => self.list.push(Window {
                range: start..end,
                last: keyword.start,
                words: place..place + 1,
                cost,
            }),
        }
    }

    /// Returns where the words of a window begin, in order, if it is cheaper to look at each by itself than to search
    /// the window.
    pub(crate) fn words(&self, window: &Window) -> Option<Vec<usize>> {
        if window.cost > window.range.len().saturating_mul(MAX_COST) {
            return None;
        }
        let mut words = self.words.get(window.words.clone())?.to_vec();
        words.sort_unstable();
        words.dedup();
        Some(words)
    }

    fn end(&mut self, rest: &Rest, text: &[u8], from: usize) -> usize {
        if rest.is_endless() {
            return text.len();
        }
        let mut at = from.saturating_add(rest.bounded);
        for run in 0..rest.runs {
            if at >= text.len() {
                break;
            }
            at = self
                .delimiter(run, rest, text, at)
                .saturating_add(rest.bounded);
        }
        at.min(text.len())
    }

    /// Returns where the first byte at or behind `at` stands that is in no unbounded part.
    fn delimiter(&mut self, run: usize, rest: &Rest, text: &[u8], at: usize) -> usize {
        if self.delimiters.len() <= run {
            self.delimiters.resize(run + 1, (usize::MAX, 0));
        }
        if let Some((from, found)) = self.delimiters.get(run)
            && *from <= at
            && at <= *found
        {
            return *found;
        }
        let behind = text.get(at..).unwrap_or_default();
        let run_length = behind.iter().position(|byte| !rest.bytes.has(*byte));
        let found = at + run_length.unwrap_or(behind.len());
        if let Some(known) = self.delimiters.get_mut(run) {
            *known = (at, found);
        }
        found
    }
}

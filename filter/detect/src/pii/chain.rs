//! Groups of digits with one separator between each two.

use core::ops::Range;

use crate::tape::{Tape, is_word};

/// Groups of one chain that are looked at; no number that is known here has more.
const MAX_GROUPS: usize = 8;

/// Digits of one group at most.
const MAX_DIGITS: usize = 24;

/// What stands between two groups, its variants folded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    Space,
    Hyphen,
    Dot,
    Slash,
}

/// Groups of digits in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    starts: [usize; MAX_GROUPS],
    lengths: [u8; MAX_GROUPS],
    /// What follows group n, where another group does.
    separators: [Option<Separator>; MAX_GROUPS],
    count: usize,
    /// End of the last group.
    pub(super) end: usize,
    /// Whether more groups follow than are kept.
    pub(super) goes_on: bool,
}

impl Chain {
    /// Reads the chain that begins at the digit at `start`.
    pub(super) fn read(tape: &Tape<'_>, start: usize) -> Self {
        let mut chain = Self {
            starts: [0; MAX_GROUPS],
            lengths: [0; MAX_GROUPS],
            separators: [None; MAX_GROUPS],
            count: 0,
            end: start,
            goes_on: false,
        };
        let mut at = start;
        loop {
            let end = digits_end(tape, at);
            let length = u8::try_from(end - at).unwrap_or(u8::MAX);
            let place = chain.count;
            if let (Some(kept), Some(into)) =
                (chain.starts.get_mut(place), chain.lengths.get_mut(place))
            {
                *kept = at;
                *into = length;
            }
            chain.count += 1;
            chain.end = end;
            let Some((separator, next)) = separator(tape, end) else {
                return chain;
            };
            if !tape.at(next).is_ascii_digit() {
                return chain;
            }
            if chain.count == MAX_GROUPS {
                chain.goes_on = true;
                return chain;
            }
            if let Some(kept) = chain.separators.get_mut(place) {
                *kept = Some(separator);
            }
            at = next;
        }
    }

    /// Returns the chain up to its first space: `12-34 56` is two numbers to most readers.
    pub(super) fn without_spaces(mut self) -> Option<Self> {
        let place = self
            .separators
            .iter()
            .take(self.count)
            .position(|separator| *separator == Some(Separator::Space))?;
        self.cut(place + 1);
        Some(self)
    }

    /// Keeps the first `count` groups.
    pub(super) fn cut(&mut self, count: usize) {
        if count >= self.count {
            return;
        }
        self.count = count;
        self.goes_on = false;
        if let Some(last) = count.checked_sub(1) {
            if let (Some(start), Some(length)) = (self.starts.get(last), self.lengths.get(last)) {
                self.end = start + usize::from(*length);
            }
            if let Some(separator) = self.separators.get_mut(last) {
                *separator = None;
            }
        }
    }

    /// Lengths of the groups.
    pub(super) fn shape(&self) -> &[u8] {
        self.lengths.get(..self.count).unwrap_or_default()
    }

    /// The separators, one fewer than groups.
    pub(super) fn separators(&self) -> impl Iterator<Item = Separator> + '_ {
        self.separators.iter().take(self.count).flatten().copied()
    }

    /// The separator, where it is everywhere the same and there is one.
    pub(super) fn separator(&self) -> Option<Separator> {
        let mut all = self.separators();
        let first = all.next()?;
        all.all(|one| one == first).then_some(first)
    }

    /// From the first digit to the last.
    pub(super) fn range(&self) -> Range<usize> {
        self.starts[0]..self.end
    }

    /// The digits of group `place`.
    pub(super) fn group<'a>(&self, tape: &Tape<'a>, place: usize) -> &'a [u8] {
        match (self.starts.get(place), self.lengths.get(place)) {
            (Some(start), Some(length)) if place < self.count => {
                tape.slice(*start..start + usize::from(*length))
            }
            _ => &[],
        }
    }

    /// The number that group `place` is; 0 where it is no number that fits.
    pub(super) fn value(&self, tape: &Tape<'_>, place: usize) -> u32 {
        number(self.group(tape, place))
    }

    /// Whether nothing stands at either end that makes the chain a part of something longer.
    pub(super) fn stands_alone(&self, tape: &Tape<'_>) -> bool {
        let range = self.range();
        let spaced = self.separators().any(|one| one == Separator::Space);
        !self.goes_on && opens(tape, range.start, spaced) && closes(tape, range.end, spaced)
    }
}

/// Value of some digits; 0 where they do not fit.
pub(super) fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0u32, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u32::from(digit.wrapping_sub(b'0')))
    })
}

/// End of the digits that begin at `start`; stops after [`MAX_DIGITS`].
pub(super) fn digits_end(tape: &Tape<'_>, start: usize) -> usize {
    let mut at = start;
    while at < start + MAX_DIGITS && tape.at(at).is_ascii_digit() {
        at += 1;
    }
    at
}

/// Returns the separator at `at` and where it ends.
pub(super) fn separator(tape: &Tape<'_>, at: usize) -> Option<(Separator, usize)> {
    match tape.at(at) {
        b' ' => Some((Separator::Space, at + 1)),
        b'-' => Some((Separator::Hyphen, at + 1)),
        b'.' => Some((Separator::Dot, at + 1)),
        b'/' => Some((Separator::Slash, at + 1)),
        // U+00A0, no-break space.
        0xC2 if tape.at(at + 1) == 0xA0 => Some((Separator::Space, at + 2)),
        0xE2 if tape.at(at + 1) == 0x80 => match tape.at(at + 2) {
            // U+2009 thin space, U+202F narrow no-break space.
            0x89 | 0xAF => Some((Separator::Space, at + 3)),
            // U+2010 to U+2013: hyphens and the en dash.
            0x90..=0x93 => Some((Separator::Hyphen, at + 3)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a number may begin at `start`: neither inside a word nor the tail of a longer number.
pub(super) fn opens(tape: &Tape<'_>, start: usize, spaced: bool) -> bool {
    let one = tape.before(start);
    let two = tape.before(start.saturating_sub(1));
    if is_word(one) {
        return two == b'\\' && matches!(one, b'n' | b'r' | b't');
    }
    match one {
        b'-' | b'/' => !two.is_ascii_alphanumeric(),
        b'.' => !two.is_ascii_digit(),
        b' ' => {
            // Next to a number, or to `1a` of a hex dump, it is a part of a row.
            let three = tape.before(start.saturating_sub(2));
            let is_row =
                two.is_ascii_digit() || (two.is_ascii_hexdigit() && three.is_ascii_digit());
            !(spaced && is_row)
        }
        _ => true,
    }
}

/// Whether a number may end at `end`.
pub(super) fn closes(tape: &Tape<'_>, end: usize, spaced: bool) -> bool {
    let one = tape.at(end);
    if is_word(one) {
        return false;
    }
    match one {
        b'-' | b'/' => !tape.at(end + 1).is_ascii_alphanumeric(),
        b'.' => !tape.at(end + 1).is_ascii_digit(),
        b' ' => !(spaced && tape.at(end + 1).is_ascii_digit()),
        _ => true,
    }
}

//! Payment card numbers: issuer, length and Luhn.

use core::ops::Range;

use super::chain::{Chain, Separator, closes, number, opens};
use super::checksum::luhn;
use super::context;
use crate::tape::Tape;

const WORDS: &[&str] = &[
    "credit",
    "debit",
    "payment",
    "visa",
    "mastercard",
    "maestro",
    "amex",
    "diners",
    "discover",
    "card",
    "cards",
    "pan",
    "cc",
    "ccn",
];

/// White space between the numbers of a list, at most.
const MAX_GAP: usize = 40;

/// Returns whether digits without separators are a card number.
///
/// Lengths that cards rarely have (13, 14, 17 to 19) need a word nearby: timestamps and limits of integers are as long.
pub(super) fn is_bare(tape: &Tape<'_>, range: &Range<usize>) -> bool {
    let digits = tape.slice(range.clone());
    let common = match issued(digits) {
        Issue::None => return false,
        Issue::Common => true,
        Issue::Rare => false,
    };
    luhn(digits) && ((common && !is_listed(tape, range)) || context::near(tape, range, WORDS))
}

/// Whether a number stands in a list of numbers, as constants in source code do: after another number, or at the
/// beginning of a list or of arguments and before another number.
fn is_listed(tape: &Tape<'_>, range: &Range<usize>) -> bool {
    let before = tape.slice(range.start.saturating_sub(MAX_GAP)..range.start);
    let mut before = before
        .iter()
        .rev()
        .skip_while(|byte| byte.is_ascii_whitespace());
    let spaced = tape.before(range.start).is_ascii_whitespace();
    match before.next() {
        Some(b',') if spaced => before.next().is_some_and(u8::is_ascii_digit),
        Some(b'(' | b'[' | b'{') => {
            let after = tape.slice(range.end..range.end + 3);
            matches!(after, [b',', b' ' | b'\n', b'0'..=b'9'])
        }
        _ => false,
    }
}

/// Returns the card number that a chain begins with, in the groups that cards are printed in.
pub(super) fn grouped(tape: &Tape<'_>, chain: &Chain) -> Option<Range<usize>> {
    let groups: &[usize] = match chain.shape() {
        // Sixteen digits and a security code are as likely as nineteen digits.
        [4, 4, 4, 4, 3, ..] => &[4, 5],
        [4, 4, 4, 4, ..] => &[4],
        [4, 6, 4 | 5, ..] => &[3],
        _ => return None,
    };
    groups
        .iter()
        .find_map(|groups| first_groups(tape, chain, *groups))
}

fn first_groups(tape: &Tape<'_>, chain: &Chain, groups: usize) -> Option<Range<usize>> {
    let mut card = *chain;
    card.cut(groups);
    let separator = card.separator()?;
    if !matches!(separator, Separator::Space | Separator::Hyphen) {
        return None;
    }
    // Next to another group of four it is a row of a table; next to an expiry date it is not.
    let range = card.range();
    let next = chain.shape().get(card.shape().len());
    let spaced = separator == Separator::Space && next == Some(&4);
    if !opens(tape, range.start, separator == Separator::Space) && !follows_short(tape, range.start)
    {
        return None;
    }
    if !closes(tape, range.end, spaced) {
        return None;
    }
    let mut digits = [0; 19];
    let mut count = 0;
    for byte in tape
        .slice(range.clone())
        .iter()
        .filter(|byte| byte.is_ascii_digit())
    {
        *digits.get_mut(count)? = *byte;
        count += 1;
    }
    let digits = digits.get(..count)?;
    (issued(digits) != Issue::None && luhn(digits)).then_some(range)
}

/// Whether what stands before `start` is a space after a number that is no group of four.
fn follows_short(tape: &Tape<'_>, start: usize) -> bool {
    if tape.before(start) != b' ' {
        return false;
    }
    let window = tape.slice(start.saturating_sub(6)..start - 1);
    let digits = window
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    digits != 4
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Issue {
    None,
    /// The length that nearly all cards of the issuer have.
    Common,
    /// A length that the standard or an old series allows.
    Rare,
}

/// Whether some issuer gives out numbers that begin so and are so long.
fn issued(digits: &[u8]) -> Issue {
    if digits.len() < 13 || digits.iter().skip(6).all(|digit| *digit == b'0') {
        return Issue::None;
    }
    let head = number(digits.get(..4).unwrap_or_default());
    let length = digits.len();
    let usual = match head {
        4000..=4999 => 16,
        5100..=5599 | 2221..=2720 => 16,
        3400..=3499 | 3700..=3799 => 15,
        6011 | 6440..=6599 => 16,
        3528..=3589 => 16,
        2200..=2204 => 16,
        6200..=6299 => 16,
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => 0,
        5018
        | 5020
        | 5038
        | 5600..=5899
        | 6304
        | 6390
        | 6700..=6799
        | 5080..=5089
        | 8100..=8299 => 0,
        _ => return Issue::None,
    };
    let rare = match head {
        3400..=3499 | 3700..=3799 | 5100..=5599 | 2221..=2720 => false,
        4000..=4999 => length == 13 || length == 19,
        3000..=3099 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&length),
        _ => (16..=19).contains(&length),
    };
    match (length == usual, rare) {
        (true, _) => Issue::Common,
        (false, true) => Issue::Rare,
        (false, false) => Issue::None,
    }
}

//! Telephone numbers: E.164 with its country codes, and the North American plan.

use core::ops::Range;

use super::chain::{Chain, Separator, closes, number, opens};
use super::context;
use crate::tape::Tape;

/// Words that make a number a telephone number.
const WORDS: &[&str] = &[
    "phone", "mobile", "whatsapp", "telefon", "telefono", "handy", "tel", "cell", "fax", "sms",
    "celular", "movil", "mobil", "portable",
];

/// Words that do so only for a number that is written like one.
const WEAK_WORDS: &[&str] = &["call", "dial", "ring", "contact", "reach", "text", "ext"];

/// Digits of the shortest number of any plan, its country code among them.
const MIN_DIGITS: usize = 8;

/// Digits of an E.164 number at most.
const MAX_DIGITS: usize = 15;

/// Bytes of an international number at most, separators and a `(0)` among them.
const MAX_BYTES: usize = 28;

/// Returns the number whose first digit at `at` follows a `+`.
///
/// A known country code and a length that its plan allows make a number; `+1` must also keep to the North American
/// plan. Nothing is asked of the surroundings, so that a number in a table is found too.
pub(super) fn international(tape: &Tape<'_>, at: usize) -> Option<Range<usize>> {
    let plus = at.checked_sub(1)?;
    let one = tape.before(plus);
    if one.is_ascii_alphanumeric() || matches!(one, b')' | b']' | b'_' | b'+' | b'.') {
        let escaped =
            tape.before(plus.saturating_sub(1)) == b'\\' && matches!(one, b'n' | b't' | b'r');
        if !escaped {
            return None;
        }
    }
    let (digits, count, end) = e164_digits(tape, at);
    let digits = digits.get(..count)?;
    if !plan_allows(digits) || !closes(tape, end, false) {
        return None;
    }
    // `+1234567890123` at the start of a line is as likely an added line of a patch.
    let is_bare = end - at == count;
    let begins_line = matches!(one, 0 | b'\n');
    if is_bare && begins_line && digits.first() != Some(&b'1') && count < 11 {
        return None;
    }
    Some(plus..end)
}

/// Collects the digits of an international number; returns them, their count and where the last one ends.
fn e164_digits(tape: &Tape<'_>, at: usize) -> ([u8; MAX_DIGITS], usize, usize) {
    let mut digits = [0; MAX_DIGITS];
    let (mut count, mut end, mut here) = (0, at, at);
    while here < at + MAX_BYTES {
        let byte = tape.at(here);
        if byte.is_ascii_digit() {
            match digits.get_mut(count) {
                Some(place) => *place = byte,
                None => return (digits, 0, here),
            }
            count += 1;
            here += 1;
            end = here;
            continue;
        }
        let Some(next) = gap(tape, here) else {
            break;
        };
        // An opening bracket follows only where more is to come.
        if !tape.at(next).is_ascii_digit() {
            break;
        }
        here = next;
    }
    (digits, count, end)
}

/// Returns where the next digit of a number stands, if what is at `at` may stand inside one.
fn gap(tape: &Tape<'_>, at: usize) -> Option<usize> {
    let mut here = at;
    // The trunk prefix that international callers leave out: `+44 (0)20`.
    if tape.at(here) == b' ' {
        here += 1;
    }
    if tape.slice(here..here + 3) == b"(0)" {
        here += 3;
        return Some(if matches!(tape.at(here), b' ' | b'-') {
            here + 1
        } else {
            here
        });
    }
    match tape.at(here) {
        b'(' => Some(here + 1),
        b')' => {
            here += 1;
            Some(if matches!(tape.at(here), b' ' | b'-') {
                here + 1
            } else {
                here
            })
        }
        _ if here > at => match tape.at(here) {
            b'-' => Some(if tape.at(here + 1) == b' ' {
                here + 2
            } else {
                here + 1
            }),
            _ => Some(here),
        },
        _ => super::chain::separator(tape, at).map(|(_, next)| next),
    }
}

/// Whether digits with their country code are a number that the country's plan allows.
fn plan_allows(digits: &[u8]) -> bool {
    let Some(first) = digits.first().filter(|_| digits.len() >= MIN_DIGITS) else {
        return false;
    };
    if *first == b'1' {
        return digits.len() == 11 && digits.get(1..).is_some_and(is_north_american);
    }
    (1..=3)
        .filter_map(|length| digits.split_at_checked(length))
        .any(|(code, rest)| {
            let code = u16::try_from(number(code)).unwrap_or(0);
            let zeros = usize::from(rest.first() == Some(&b'0') && code != 39);
            let plan = PLANS.binary_search_by_key(&code, |(known, ..)| *known);
            plan.ok()
                .and_then(|place| PLANS.get(place))
                .is_some_and(|(_, shortest, longest)| {
                    (*shortest..=*longest).contains(&(rest.len() - zeros))
                })
        })
        && digits.iter().any(|digit| Some(digit) != digits.last())
}

/// Whether ten digits are a number of the North American plan: area and exchange begin with 2 to 9, neither is a
/// service code (`N11`), and the area is none of the reserved ones.
pub(super) fn is_north_american(digits: &[u8]) -> bool {
    let &[a, b, c, d, e, f, _, _, _, _] = digits else {
        return false;
    };
    let leads = |digit: u8| (b'2'..=b'9').contains(&digit);
    leads(a)
        && leads(d)
        && b != b'9'
        && !(b == b'1' && c == b'1')
        && !(e == b'1' && f == b'1')
        && !((a == b'3' && b == b'7') || (a == b'9' && b == b'6'))
        && digits.iter().any(|digit| *digit != a)
}

/// Returns the number that a chain of at least two groups is, written the North American way or with a trunk `0`.
pub(super) fn grouped(tape: &Tape<'_>, chain: &Chain) -> Option<Range<usize>> {
    let (area, shape) = match chain.shape() {
        [1, rest @ ..] if chain.group(tape, 0) == b"1" => (1, rest),
        shape => (0, shape),
    };
    let range = chain.range();
    if shape == [3, 3, 4] {
        let all = joined(tape, chain, area);
        let plain = match chain.separator() {
            Some(Separator::Hyphen | Separator::Dot) => true,
            Some(Separator::Space) => false,
            Some(Separator::Slash) => return None,
            // `415 555-2671`; the clauses of a law are numbered `252.227-7015`.
            None => {
                chain
                    .separators()
                    .eq([Separator::Space, Separator::Hyphen].iter().copied())
                    || area == 1
            }
        };
        let known = all.as_ref().is_some_and(|all| is_north_american(all));
        return (known && (plain || is_said(tape, &range))).then_some(range);
    }
    is_trunk(tape, chain).then_some(range)
}

fn joined(tape: &Tape<'_>, chain: &Chain, from: usize) -> Option<[u8; 10]> {
    let mut all = [0; 10];
    let mut places = all.iter_mut();
    for place in from..chain.shape().len() {
        for digit in chain.group(tape, place) {
            *places.next()? = *digit;
        }
    }
    Some(all)
}

/// Whether a chain is a national number with its trunk `0`, and somebody says that it is a telephone number.
fn is_trunk(tape: &Tape<'_>, chain: &Chain) -> bool {
    let total: usize = chain
        .shape()
        .iter()
        .map(|length| usize::from(*length))
        .sum();
    let first = chain.group(tape, 0);
    // Two groups of nine digits are a ZIP code of New England.
    let shortest = if chain.shape().len() == 2 { 10 } else { 9 };
    (shortest..=13).contains(&total)
        && first.len() >= 2
        && first.first() == Some(&b'0')
        && chain.shape().iter().skip(1).all(|length| *length >= 2)
        && is_said(tape, &chain.range())
}

fn is_said(tape: &Tape<'_>, range: &Range<usize>) -> bool {
    context::near(tape, range, WORDS) || context::near(tape, range, WEAK_WORDS)
}

/// Returns the number that begins with the bracketed area code whose first digit is at `at`: `(415) 555-2671`.
pub(super) fn bracketed(tape: &Tape<'_>, at: usize) -> Option<Range<usize>> {
    let open = at.checked_sub(1)?;
    let area = tape.slice(at..at + 3);
    if !area.iter().all(u8::is_ascii_digit) || area.len() != 3 || tape.at(at + 3) != b')' {
        return None;
    }
    let mut next = at + 4;
    if matches!(tape.at(next), b' ' | b'-') {
        next += 1;
    }
    if !tape.at(next).is_ascii_digit() {
        return None;
    }
    let mut rest = Chain::read(tape, next);
    rest.cut(2);
    if rest.shape() != [3, 4] || !closes(tape, rest.end, false) {
        return None;
    }
    let all = [area, rest.group(tape, 0), rest.group(tape, 1)].concat();
    let start = match tape.slice(open.saturating_sub(2)..open) {
        [b'1', b' ' | b'-'] if opens(tape, open - 2, true) => open - 2,
        _ => open,
    };
    let is_call = crate::tape::is_word(tape.before(start));
    (is_north_american(&all) && !is_call).then_some(start..rest.end)
}

/// Returns whether digits without separators are a telephone number, which somebody must say.
pub(super) fn is_bare(tape: &Tape<'_>, range: &Range<usize>) -> bool {
    let digits = tape.slice(range.clone());
    let shaped = match digits {
        [b'1', rest @ ..] if rest.len() == 10 => is_north_american(rest),
        [b'0', b'0', rest @ ..] => rest.len() >= 9 && rest.len() <= MAX_DIGITS && plan_allows(rest),
        [b'0', rest @ ..] => (8..=11).contains(&rest.len()),
        _ => is_north_american(digits),
    };
    shaped && context::near(tape, range, WORDS)
}

/// Country calling codes in order, with the lengths of the numbers behind them (ITU-T E.164 and the national plans), the
/// North American one apart.
const PLANS: &[(u16, usize, usize)] = &[
    (7, 10, 10),
    (20, 9, 10),
    (27, 9, 9),
    (30, 10, 10),
    (31, 9, 9),
    (32, 8, 9),
    (33, 9, 9),
    (34, 9, 9),
    (36, 8, 9),
    (39, 8, 11),
    (40, 9, 9),
    (41, 9, 9),
    (43, 8, 13),
    (44, 9, 10),
    (45, 8, 8),
    (46, 7, 10),
    (47, 8, 8),
    (48, 9, 9),
    (49, 7, 12),
    (51, 8, 9),
    (52, 10, 11),
    (53, 8, 8),
    (54, 10, 11),
    (55, 10, 11),
    (56, 9, 9),
    (57, 8, 10),
    (58, 10, 10),
    (60, 8, 10),
    (61, 9, 9),
    (62, 8, 12),
    (63, 8, 10),
    (64, 8, 10),
    (65, 8, 8),
    (66, 8, 9),
    (81, 9, 10),
    (82, 8, 10),
    (84, 9, 10),
    (86, 10, 11),
    (90, 10, 10),
    (91, 10, 10),
    (92, 9, 10),
    (93, 9, 9),
    (94, 9, 9),
    (95, 7, 10),
    (98, 10, 10),
    (211, 9, 9),
    (212, 9, 9),
    (213, 8, 9),
    (216, 8, 8),
    (218, 8, 9),
    (220, 7, 7),
    (221, 9, 9),
    (222, 8, 8),
    (223, 8, 8),
    (224, 8, 9),
    (225, 10, 10),
    (226, 8, 8),
    (227, 8, 8),
    (228, 8, 8),
    (229, 8, 10),
    (230, 7, 8),
    (231, 7, 9),
    (232, 8, 8),
    (233, 9, 9),
    (234, 8, 10),
    (235, 8, 8),
    (236, 8, 8),
    (237, 9, 9),
    (238, 7, 7),
    (239, 7, 7),
    (240, 9, 9),
    (241, 7, 8),
    (242, 9, 9),
    (243, 9, 9),
    (244, 9, 9),
    (245, 7, 9),
    (248, 7, 7),
    (249, 9, 9),
    (250, 9, 9),
    (251, 9, 9),
    (252, 7, 9),
    (253, 8, 8),
    (254, 9, 10),
    (255, 9, 9),
    (256, 9, 9),
    (257, 8, 8),
    (258, 8, 9),
    (260, 9, 9),
    (261, 9, 10),
    (262, 9, 9),
    (263, 8, 10),
    (264, 8, 10),
    (265, 7, 9),
    (266, 8, 8),
    (267, 7, 8),
    (268, 8, 8),
    (269, 7, 7),
    (291, 7, 7),
    (297, 7, 7),
    (298, 6, 6),
    (299, 6, 6),
    (350, 8, 8),
    (351, 9, 9),
    (352, 6, 9),
    (353, 7, 9),
    (354, 7, 9),
    (355, 8, 9),
    (356, 8, 8),
    (357, 8, 8),
    (358, 7, 12),
    (359, 8, 9),
    (370, 8, 8),
    (371, 8, 8),
    (372, 7, 8),
    (373, 8, 8),
    (374, 8, 8),
    (375, 9, 9),
    (376, 6, 9),
    (377, 8, 9),
    (378, 6, 10),
    (380, 9, 9),
    (381, 8, 9),
    (382, 8, 8),
    (383, 8, 8),
    (385, 8, 9),
    (386, 8, 8),
    (387, 8, 8),
    (389, 8, 8),
    (420, 9, 9),
    (421, 9, 9),
    (423, 7, 7),
    (501, 7, 7),
    (502, 8, 8),
    (503, 8, 8),
    (504, 8, 8),
    (505, 8, 8),
    (506, 8, 8),
    (507, 7, 8),
    (508, 6, 6),
    (509, 8, 8),
    (590, 9, 9),
    (591, 8, 8),
    (592, 7, 7),
    (593, 8, 9),
    (594, 9, 9),
    (595, 9, 9),
    (596, 9, 9),
    (597, 6, 7),
    (598, 8, 8),
    (599, 7, 8),
    (670, 7, 8),
    (673, 7, 7),
    (675, 7, 8),
    (679, 7, 7),
    (680, 7, 7),
    (687, 6, 6),
    (689, 6, 8),
    (691, 7, 7),
    (692, 7, 7),
    (800, 8, 8),
    (850, 8, 10),
    (852, 8, 8),
    (853, 8, 8),
    (855, 8, 9),
    (856, 8, 10),
    (880, 8, 10),
    (886, 8, 9),
    (960, 7, 7),
    (961, 7, 8),
    (962, 8, 9),
    (963, 8, 9),
    (964, 8, 10),
    (965, 8, 8),
    (966, 8, 9),
    (967, 7, 9),
    (968, 8, 8),
    (970, 8, 9),
    (971, 8, 9),
    (972, 8, 9),
    (973, 8, 8),
    (974, 8, 8),
    (975, 8, 8),
    (976, 8, 8),
    (977, 8, 10),
    (992, 9, 9),
    (993, 8, 8),
    (994, 9, 9),
    (995, 9, 9),
    (996, 9, 9),
    (998, 9, 9),
];

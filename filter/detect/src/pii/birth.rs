//! Dates of birth: a date, and a word near it that says whose.

use core::ops::Range;

use super::chain::{Chain, Separator, digits_end, number};
use super::context;
use crate::tape::Tape;

const WORDS: &[&str] = &[
    "birth",
    "geburt",
    "geboren",
    "naissance",
    "nacimiento",
    "nascita",
    "nascimento",
    "dob",
    "d.o.b",
    "born",
    "bday",
    "nacido",
    "nacida",
    "nato",
    "nata",
    "né",
    "née",
];

/// English, German, French, Spanish, Italian and Portuguese months, by the letters that tell them apart.
const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "januar",
    "februar",
    "märz",
    "mai",
    "juni",
    "juli",
    "oktober",
    "dezember",
    "janvier",
    "février",
    "mars",
    "avril",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
    "gennaio",
    "febbraio",
    "aprile",
    "maggio",
    "giugno",
    "luglio",
    "settembre",
    "ottobre",
    "dicembre",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
];

/// Longest month name, in bytes.
const MAX_MONTH: usize = 10;

/// Returns whether a chain of three groups is a date of birth.
pub(super) fn is_numeric(tape: &Tape<'_>, chain: &Chain) -> bool {
    if !matches!(
        chain.separator(),
        Some(Separator::Hyphen | Separator::Slash | Separator::Dot)
    ) {
        return false;
    }
    let parts = [
        chain.value(tape, 0),
        chain.value(tape, 1),
        chain.value(tape, 2),
    ];
    let is_date = match chain.shape() {
        [4, 1..=2, 1..=2] => is_year(parts[0]) && is_month_and_day(parts[1], parts[2]),
        [1..=2, 1..=2, 4] => {
            is_year(parts[2])
                && (is_month_and_day(parts[0], parts[1]) || is_month_and_day(parts[1], parts[0]))
        }
        [1..=2, 1..=2, 2] => {
            is_month_and_day(parts[0], parts[1]) || is_month_and_day(parts[1], parts[0])
        }
        _ => false,
    };
    is_date && context::near(tape, &chain.range(), WORDS)
}

/// Returns the date of birth whose day is the one or two digits from `at` to `end`, its month a word.
pub(super) fn spelled(
    tape: &Tape<'_>,
    at: usize,
    end: usize,
    floor: usize,
) -> Option<Range<usize>> {
    if !(1..=31).contains(&number(tape.slice(at..end))) {
        return None;
    }
    let range = day_first(tape, at, end).or_else(|| month_first(tape, at, end, floor))?;
    context::near(tape, &range, WORDS).then_some(range)
}

/// `3 March 1985`, `3rd of March 1985`, `3-Mar-1985`, `3. März 1985`.
fn day_first(tape: &Tape<'_>, at: usize, end: usize) -> Option<Range<usize>> {
    let mut here = skip_ordinal(tape, end);
    here = skip_gap(tape, here)?;
    if tape.slice(here..here + 3).eq_ignore_ascii_case(b"of ")
        || tape.slice(here..here + 3).eq_ignore_ascii_case(b"de ")
    {
        here += 3;
    }
    here = skip_month(tape, here)?;
    here = skip_gap(tape, here)?;
    if tape.slice(here..here + 3).eq_ignore_ascii_case(b"de ") {
        here += 3;
    }
    year_end(tape, here).map(|end| at..end)
}

/// `March 3, 1985`, `Mar. 3rd 1985`.
fn month_first(tape: &Tape<'_>, at: usize, end: usize, floor: usize) -> Option<Range<usize>> {
    let start = month_before(tape, at, floor)?;
    let mut here = skip_ordinal(tape, end);
    here = skip_gap(tape, here)?;
    year_end(tape, here).map(|end| start..end)
}

/// Returns where the month name begins that ends before `at`, a space and perhaps a full stop between.
pub(super) fn month_before(tape: &Tape<'_>, at: usize, floor: usize) -> Option<usize> {
    let mut end = at;
    if !matches!(tape.before(end), b' ' | b'-') {
        return None;
    }
    end -= 1;
    if tape.before(end) == b'.' {
        end -= 1;
    }
    let mut start = end;
    while start > floor && end - start <= MAX_MONTH && is_letter(tape.before(start)) {
        start -= 1;
    }
    is_month(tape.slice(start..end)).then_some(start)
}

fn skip_month(tape: &Tape<'_>, start: usize) -> Option<usize> {
    let mut end = start;
    while end - start <= MAX_MONTH && is_letter(tape.at(end)) {
        end += 1;
    }
    if !is_month(tape.slice(start..end)) {
        return None;
    }
    Some(if tape.at(end) == b'.' { end + 1 } else { end })
}

const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}

fn is_month(name: &[u8]) -> bool {
    name.len() >= 3
        && MONTHS
            .iter()
            .any(|month| month.as_bytes().eq_ignore_ascii_case(name))
}

fn skip_ordinal(tape: &Tape<'_>, at: usize) -> usize {
    match tape.slice(at..at + 2) {
        b"st" | b"nd" | b"rd" | b"th" | b"er" => at + 2,
        [b'.', ..] => at + 1,
        _ => at,
    }
}

/// Skips what stands between the parts of a date.
fn skip_gap(tape: &Tape<'_>, at: usize) -> Option<usize> {
    match tape.at(at) {
        b',' if tape.at(at + 1) == b' ' => Some(at + 2),
        b' ' | b'-' | b'/' => Some(at + 1),
        _ => None,
    }
}

fn year_end(tape: &Tape<'_>, at: usize) -> Option<usize> {
    let end = digits_end(tape, at);
    (end - at == 4 && is_year(number(tape.slice(at..end)))).then_some(end)
}

const fn is_year(year: u32) -> bool {
    matches!(year, 1900..=2099)
}

const fn is_month_and_day(month: u32, day: u32) -> bool {
    matches!(month, 1..=12) && matches!(day, 1..=31)
}

//! Words that stand near a number and say what it is.

use core::ops::Range;

use crate::tape::Tape;

/// How far from a number a word may stand, in bytes, on either side.
const REACH: usize = 60;

/// Words from this length on count inside other words too (`phoneNumber`, `telephones`).
const LONG_WORD: usize = 5;

/// Returns whether one of `words` stands within 60 bytes of `range`.
///
/// Words are lower-case ASCII and match in any case. Short ones must stand alone, be a part of a name joined by
/// `_` or digits, or a hump of a camel-case name.
pub(super) fn near(tape: &Tape<'_>, range: &Range<usize>, words: &[&str]) -> bool {
    before(tape, range.start, words) || after(tape, range.end, words)
}

/// Returns whether one of `words` stands in the 60 bytes before `start`.
pub(super) fn before(tape: &Tape<'_>, start: usize, words: &[&str]) -> bool {
    any(tape.slice(start.saturating_sub(REACH)..start), words)
}

/// Returns whether one of `words` stands in the 60 bytes from `end` on.
pub(super) fn after(tape: &Tape<'_>, end: usize, words: &[&str]) -> bool {
    any(tape.slice(end..end.saturating_add(REACH)), words)
}

fn any(window: &[u8], words: &[&str]) -> bool {
    window.iter().enumerate().any(|(at, first)| {
        // Every word begins with a letter.
        if !first.is_ascii_alphabetic() {
            return false;
        }
        let first = first.to_ascii_lowercase();
        words.iter().any(|word| {
            word.as_bytes().first() == Some(&first) && stands(window, at, word.as_bytes())
        })
    })
}

fn stands(window: &[u8], at: usize, word: &[u8]) -> bool {
    let end = at + word.len();
    let Some(here) = window.get(at..end) else {
        return false;
    };
    if !here.eq_ignore_ascii_case(word) {
        return false;
    }
    if word.len() >= LONG_WORD {
        return true;
    }
    let before = at.checked_sub(1).and_then(|at| window.get(at)).copied();
    let left = before.is_none_or(|before| {
        !before.is_ascii_alphabetic()
            || (before.is_ascii_lowercase() && here.first().is_some_and(u8::is_ascii_uppercase))
    });
    let right = window.get(end).is_none_or(|after| {
        !after.is_ascii_alphabetic()
            || (after.is_ascii_uppercase() && here.last().is_some_and(u8::is_ascii_lowercase))
    });
    left && right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, word: &str, want: bool) {
        let end = text.len();
        let tape = Tape::whole(text.as_bytes());
        assert_eq!(near(&tape, &(end..end), &[word]), want, "{text}");
    }

    #[test]
    fn short_words_stand_alone_or_as_part_of_a_name() {
        check("SSN: ", "ssn", true);
        check("user_ssn = ", "ssn", true);
        check("userSsn = ", "ssn", true);
        check("classname ", "ssn", false);
        check("hotel ", "tel", false);
    }

    #[test]
    fn long_words_stand_anywhere_within_reach() {
        check("primaryPhoneNumber: ", "phone", true);
        check(&format!("phone{}", " ".repeat(REACH)), "phone", false);
    }
}

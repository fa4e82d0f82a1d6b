//! International bank account numbers, ISO 13616.

use core::ops::Range;

use super::checksum::mod_97;
use crate::tape::{Tape, is_word};

/// Longest number: 34 characters and eight spaces.
const MAX_BYTES: usize = 42;

/// Returns the account number whose country code begins at `start`, its check digits following.
///
/// Printed groups of four or no separator, all upper or all lower case; the country's length and both check digits
/// must fit.
pub(super) fn find(tape: &Tape<'_>, start: usize) -> Option<Range<usize>> {
    let country = [tape.at(start), tape.at(start + 1)];
    let lower = country.iter().all(u8::is_ascii_lowercase);
    if !lower && !country.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    let upper = country.map(|letter| letter.to_ascii_uppercase());
    let (_, length, form) = COUNTRIES.iter().find(|(code, ..)| *code == upper)?;
    let mut signs = [0u8; 34];
    let (mut at, mut count) = (start, 0);
    let mut spaced = false;
    while count < *length && at < start + MAX_BYTES {
        let byte = tape.at(at);
        if count == 4 && matches!(byte, b' ' | b'-') {
            spaced = true;
        }
        if spaced && count % 4 == 0 && count > 0 && matches!(byte, b' ' | b'-') {
            at += 1;
        }
        let sign = tape.at(at);
        let fits = sign.is_ascii_digit()
            || (count < 2 || *form == Form::Letters)
                && (if lower {
                    sign.is_ascii_lowercase()
                } else {
                    sign.is_ascii_uppercase()
                })
            || (*form == Form::BankLetters
                && (4..8).contains(&count)
                && sign.is_ascii_alphabetic());
        if !fits {
            return None;
        }
        *signs.get_mut(count)? = sign;
        count += 1;
        at += 1;
    }
    let signs = signs.get(..count)?;
    if count != *length || is_word(tape.at(at)) {
        return None;
    }
    let (head, rest) = signs.split_at_checked(4)?;
    (mod_97(rest.iter().chain(head).copied()) == 1).then_some(start..at)
}

/// What may stand behind the check digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Digits,
    /// Four letters of a bank, then digits.
    BankLetters,
    Letters,
}

use Form::{BankLetters, Digits, Letters};

/// Countries of the IBAN registry: code, length, what the account part is made of.
const COUNTRIES: &[([u8; 2], usize, Form)] = &[
    (*b"AD", 24, Letters),
    (*b"AE", 23, Digits),
    (*b"AL", 28, Letters),
    (*b"AT", 20, Digits),
    (*b"AZ", 28, Letters),
    (*b"BA", 20, Digits),
    (*b"BE", 16, Digits),
    (*b"BG", 22, Letters),
    (*b"BH", 22, Letters),
    (*b"BI", 27, Digits),
    (*b"BR", 29, Letters),
    (*b"BY", 28, Letters),
    (*b"CH", 21, Letters),
    (*b"CR", 22, Digits),
    (*b"CY", 28, Letters),
    (*b"CZ", 24, Digits),
    (*b"DE", 22, Digits),
    (*b"DJ", 27, Digits),
    (*b"DK", 18, Digits),
    (*b"DO", 28, Letters),
    (*b"EE", 20, Digits),
    (*b"EG", 29, Digits),
    (*b"ES", 24, Digits),
    (*b"FI", 18, Digits),
    (*b"FK", 18, Letters),
    (*b"FO", 18, Digits),
    (*b"FR", 27, Letters),
    (*b"GB", 22, BankLetters),
    (*b"GE", 22, Letters),
    (*b"GI", 23, Letters),
    (*b"GL", 18, Digits),
    (*b"GR", 27, Letters),
    (*b"GT", 28, Letters),
    (*b"HN", 28, Letters),
    (*b"HR", 21, Digits),
    (*b"HU", 28, Digits),
    (*b"IE", 22, BankLetters),
    (*b"IL", 23, Digits),
    (*b"IQ", 23, BankLetters),
    (*b"IS", 26, Digits),
    (*b"IT", 27, Letters),
    (*b"JO", 30, Letters),
    (*b"KW", 30, Letters),
    (*b"KZ", 20, Letters),
    (*b"LB", 28, Letters),
    (*b"LC", 32, Letters),
    (*b"LI", 21, Letters),
    (*b"LT", 20, Digits),
    (*b"LU", 20, Letters),
    (*b"LV", 21, Letters),
    (*b"LY", 25, Digits),
    (*b"MC", 27, Letters),
    (*b"MD", 24, Letters),
    (*b"ME", 22, Digits),
    (*b"MK", 19, Letters),
    (*b"MN", 20, Digits),
    (*b"MR", 27, Digits),
    (*b"MT", 31, Letters),
    (*b"MU", 30, Letters),
    (*b"NI", 28, BankLetters),
    (*b"NL", 18, BankLetters),
    (*b"NO", 15, Digits),
    (*b"OM", 23, Letters),
    (*b"PK", 24, Letters),
    (*b"PL", 28, Digits),
    (*b"PS", 29, Letters),
    (*b"PT", 25, Digits),
    (*b"QA", 29, Letters),
    (*b"RO", 24, Letters),
    (*b"RS", 22, Digits),
    (*b"RU", 33, Letters),
    (*b"SA", 24, Letters),
    (*b"SC", 31, Letters),
    (*b"SD", 18, Digits),
    (*b"SE", 24, Digits),
    (*b"SI", 19, Digits),
    (*b"SK", 24, Digits),
    (*b"SM", 27, Letters),
    (*b"SO", 23, Digits),
    (*b"ST", 25, Digits),
    (*b"SV", 28, BankLetters),
    (*b"TL", 23, Digits),
    (*b"TN", 24, Digits),
    (*b"TR", 26, Letters),
    (*b"UA", 29, Letters),
    (*b"VA", 22, Digits),
    (*b"VG", 24, BankLetters),
    (*b"XK", 20, Digits),
    (*b"YE", 30, Letters),
];

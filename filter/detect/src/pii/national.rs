//! Numbers that states give their residents and companies, told by their check digits.

use core::ops::Range;

use super::Entity;
use super::chain::{Chain, Separator, number};
use super::checksum::{digits, luhn, mod_11_10, verhoeff, weighted};
use super::context;
use crate::tape::{Tape, is_word};

const NHS: &[&str] = &["national health", "nhs", "patient"];
const TAX_DE: &[&str] = &["steuer", "identifikationsnummer", "idnr", "tin"];
const AADHAAR: &[&str] = &["aadhaar", "aadhar", "uidai", "uid"];
const CPF: &[&str] = &["cadastro de pessoa", "cpf"];
const CNPJ: &[&str] = &["cadastro nacional", "cnpj"];
const SIN: &[&str] = &[
    "social insurance",
    "assurance sociale",
    "sin number",
    "sin:",
    "sin #",
    "nas:",
];
const TFN: &[&str] = &["tax file", "tax_file", "taxfile", "tfn"];
const MEDICARE: &[&str] = &["medicare"];
const ABN: &[&str] = &["business number", "business_number", "abn"];

/// Returns what digits without separators are. All but the French number need a word nearby: one in eleven numbers
/// passes such a check.
pub(super) fn bare(tape: &Tape<'_>, range: &Range<usize>) -> Option<Entity> {
    let text = tape.slice(range.clone());
    let said = |words: &[&str]| context::near(tape, range, words);
    match text.len() {
        9 if is_tfn(text) && said(TFN) => Some(Entity::AuTaxFile),
        9 if luhn(text) && said(SIN) => Some(Entity::CaSocialInsurance),
        10 if is_nhs(text) && said(NHS) => Some(Entity::UkHealthService),
        10 | 11 if is_medicare(text) && said(MEDICARE) => Some(Entity::AuMedicare),
        11 if is_cpf(text) && said(CPF) => Some(Entity::BrCpf),
        11 if is_tax_de(text) && said(TAX_DE) => Some(Entity::DeTax),
        11 if is_abn(text) && said(ABN) => Some(Entity::AuBusiness),
        12 if is_aadhaar(text) && said(AADHAAR) => Some(Entity::InAadhaar),
        14 if is_cnpj(text) && said(CNPJ) => Some(Entity::BrCnpj),
        15 if is_nir(text) => Some(Entity::FrSocialSecurity),
        _ => None,
    }
}

/// Returns what a chain of at least two groups is.
pub(super) fn grouped(tape: &Tape<'_>, chain: &Chain) -> Option<Entity> {
    let range = chain.range();
    let text = tape.slice(range.clone());
    let said = |words: &[&str]| context::near(tape, &range, words);
    let are = |wanted: &[Separator]| chain.separators().eq(wanted.iter().copied());
    let one = chain.separator();
    let light = matches!(one, Some(Separator::Space | Separator::Hyphen));
    match chain.shape() {
        [3, 3, 3, 2] if are(&[Separator::Dot, Separator::Dot, Separator::Hyphen]) => {
            is_cpf(text).then_some(Entity::BrCpf)
        }
        [2, 3, 3, 4, 2]
            if are(&[
                Separator::Dot,
                Separator::Dot,
                Separator::Slash,
                Separator::Hyphen,
            ]) =>
        {
            is_cnpj(text).then_some(Entity::BrCnpj)
        }
        [3, 3, 4] if light && is_nhs(text) && said(NHS) => Some(Entity::UkHealthService),
        [3, 3, 3] if light && is_tfn(text) && said(TFN) => Some(Entity::AuTaxFile),
        [3, 3, 3] if light && luhn(text) && said(SIN) => Some(Entity::CaSocialInsurance),
        [4, 5, 1] if light && is_medicare(text) && said(MEDICARE) => Some(Entity::AuMedicare),
        [2, 3, 3, 3] if one == Some(Separator::Space) => {
            if is_tax_de(text) {
                Some(Entity::DeTax)
            } else {
                (is_abn(text) && said(ABN)).then_some(Entity::AuBusiness)
            }
        }
        [4, 4, 4] if light && is_aadhaar(text) && (said(AADHAAR) || !are_years(tape, chain)) => {
            Some(Entity::InAadhaar)
        }
        [1, 2, 2, 2, 3, 3, 2] | [1, 2, 2, 2, 3, 3] if light && is_nir(text) => {
            Some(Entity::FrSocialSecurity)
        }
        _ => None,
    }
}

/// Returns the number that some letters and the digits from `at` to `end` make; `letters` of one case stand directly
/// before `at`.
pub(super) fn lettered(
    tape: &Tape<'_>,
    at: usize,
    end: usize,
    letters: usize,
) -> Option<(Entity, Range<usize>)> {
    let start = at - letters;
    match (letters, end - at) {
        (1, 7) => is_nie(tape, start, end).map(|end| (Entity::EsIdentity, start..end)),
        (2, 2 | 6) => insurance_end(tape, start).map(|end| (Entity::UkInsurance, start..end)),
        (5, 4) => is_pan(tape, start, end).then_some((Entity::InPermanentAccount, start..end + 1)),
        (6, 2) => is_fiscal_code(tape, start).then_some((Entity::ItFiscalCode, start..start + 16)),
        _ => None,
    }
}

/// Whether eight digits and the letter after them are a Spanish identity number.
pub(super) fn is_dni(tape: &Tape<'_>, at: usize, end: usize) -> bool {
    end - at == 8
        && !is_word(tape.at(end + 1))
        && is_check_letter(number(tape.slice(at..end)), tape.at(end))
}

/// The Spanish check letter: the number's rest by 23, in the ministry's order.
fn is_check_letter(value: u32, letter: u8) -> bool {
    let place = usize::try_from(value % 23).unwrap_or(0);
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(place) == Some(&letter)
}

fn is_nie(tape: &Tape<'_>, start: usize, end: usize) -> Option<usize> {
    let lead = match tape.at(start) {
        b'X' => 0,
        b'Y' => 10_000_000,
        b'Z' => 20_000_000,
        _ => return None,
    };
    let value = lead + number(tape.slice(start + 1..end));
    (is_check_letter(value, tape.at(end)) && !is_word(tape.at(end + 1))).then_some(end + 1)
}

/// A British national insurance number: two letters, six digits (in pairs perhaps), a suffix from A to D.
pub(super) fn insurance_end(tape: &Tape<'_>, start: usize) -> Option<usize> {
    let (one, two) = (tape.at(start), tape.at(start + 1));
    let bad_pair = matches!(
        &[one, two],
        b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ"
    );
    if bad_pair
        || !one.is_ascii_uppercase()
        || !two.is_ascii_uppercase()
        || matches!(one, b'D' | b'F' | b'I' | b'Q' | b'U' | b'V')
        || matches!(two, b'D' | b'F' | b'I' | b'O' | b'Q' | b'U' | b'V')
    {
        return None;
    }
    let mut at = start + 2;
    for pair in 0..3 {
        if tape.at(at) == b' ' {
            at += 1;
        }
        if !tape.at(at).is_ascii_digit() || !tape.at(at + 1).is_ascii_digit() {
            return None;
        }
        at += 2;
        if pair == 0 && !matches!(tape.at(at), b' ' | b'0'..=b'9') {
            return None;
        }
    }
    if tape.at(at) == b' ' {
        at += 1;
    }
    (matches!(tape.at(at), b'A'..=b'D') && !is_word(tape.at(at + 1))).then_some(at + 1)
}

/// An Indian permanent account number: the fourth letter says what kind of holder it is.
fn is_pan(tape: &Tape<'_>, start: usize, end: usize) -> bool {
    matches!(
        tape.at(start + 3),
        b'A' | b'B' | b'C' | b'F' | b'G' | b'H' | b'J' | b'L' | b'P' | b'T'
    ) && tape
        .slice(start..start + 5)
        .iter()
        .all(u8::is_ascii_uppercase)
        && tape.at(end).is_ascii_uppercase()
        && !is_word(tape.at(end + 1))
}

/// An Italian fiscal code: 16 signs with fixed places for letters and digits, the last one checks the others.
fn is_fiscal_code(tape: &Tape<'_>, start: usize) -> bool {
    let code = tape.slice(start..start + 16);
    let shaped = code.len() == 16
        && code.iter().enumerate().all(|(place, sign)| match place {
            6 | 7 | 9 | 10 | 12..=14 => sign.is_ascii_digit(),
            _ => sign.is_ascii_uppercase(),
        });
    if !shaped || is_word(tape.at(start + 16)) || !b"ABCDEHLMPRST".contains(&tape.at(start + 8)) {
        return false;
    }
    let sum: u32 = code
        .iter()
        .take(15)
        .enumerate()
        .map(|(place, sign)| fiscal_value(place, *sign))
        .sum();
    u32::from(tape.at(start + 15)) == u32::from(b'A') + sum % 26
}

/// Value of one sign of a fiscal code; the places that count from one as odd have a table of their own.
fn fiscal_value(place: usize, sign: u8) -> u32 {
    const ODD: [u8; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let rank = match sign {
        b'0'..=b'9' => sign - b'0',
        _ => sign.wrapping_sub(b'A'),
    };
    match place % 2 {
        0 => u32::from(ODD.get(usize::from(rank)).copied().unwrap_or(0)),
        _ => u32::from(rank),
    }
}

fn digit_at(text: &[u8], place: usize) -> u32 {
    digits(text).nth(place).unwrap_or(0)
}

fn is_uniform(text: &[u8]) -> bool {
    let first = digits(text).next();
    digits(text).all(|digit| Some(digit) == first)
}

fn is_nhs(text: &[u8]) -> bool {
    let sum = weighted(digits(text), &[10, 9, 8, 7, 6, 5, 4, 3, 2]);
    let check = (11 - sum % 11) % 11;
    !is_uniform(text) && digit_at(text, 9) == check
}

fn is_cpf(text: &[u8]) -> bool {
    let check = |weights: &[u32]| weighted(digits(text), weights) * 10 % 11 % 10;
    !is_uniform(text)
        && check(&[10, 9, 8, 7, 6, 5, 4, 3, 2]) == digit_at(text, 9)
        && check(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) == digit_at(text, 10)
}

fn is_cnpj(text: &[u8]) -> bool {
    let check = |weights: &[u32]| match weighted(digits(text), weights) % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    !is_uniform(text)
        && check(&[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == digit_at(text, 12)
        && check(&[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == digit_at(text, 13)
}

/// A German tax number does not begin with 0, and of its first ten digits one stands there twice or three times.
fn is_tax_de(text: &[u8]) -> bool {
    let mut counts = [0u8; 10];
    for digit in digits(text).take(10) {
        if let Some(count) = usize::try_from(digit)
            .ok()
            .and_then(|digit| counts.get_mut(digit))
        {
            *count += 1;
        }
    }
    let repeated = counts.iter().filter(|count| **count > 1).count();
    digit_at(text, 0) != 0
        && repeated == 1
        && counts.iter().all(|count| *count <= 3)
        && mod_11_10(text)
}

fn is_tfn(text: &[u8]) -> bool {
    !is_uniform(text) && weighted(digits(text), &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11)
}

fn is_medicare(text: &[u8]) -> bool {
    let sum = weighted(digits(text), &[1, 3, 7, 9, 1, 3, 7, 9]);
    matches!(digit_at(text, 0), 2..=6) && sum % 10 == digit_at(text, 8)
}

fn is_abn(text: &[u8]) -> bool {
    let weights = [10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19];
    let sum = weighted(digits(text), &weights);
    digit_at(text, 0) > 0 && (sum - 10).is_multiple_of(89)
}

fn is_aadhaar(text: &[u8]) -> bool {
    digit_at(text, 0) >= 2 && !is_uniform(text) && verhoeff(text)
}

/// Whether each group can be a year, as in the head of a table.
fn are_years(tape: &Tape<'_>, chain: &Chain) -> bool {
    (0..3).all(|place| {
        (1900..2100).contains(&chain.value(tape, place))
            || chain.value(tape, place).is_multiple_of(100)
    })
}

/// A French social security number with its key: 97 less the rest of the first thirteen digits by 97.
fn is_nir(text: &[u8]) -> bool {
    if digits(text).count() != 15 {
        return false;
    }
    let value = digits(text)
        .take(13)
        .fold(0u64, |value, digit| value * 10 + u64::from(digit));
    let key = u64::from(digit_at(text, 13) * 10 + digit_at(text, 14));
    let month = digit_at(text, 3) * 10 + digit_at(text, 4);
    matches!(digit_at(text, 0), 1 | 2)
        && matches!(month, 1..=12 | 20..=42 | 50..=99)
        && 97 - value % 97 == key
}

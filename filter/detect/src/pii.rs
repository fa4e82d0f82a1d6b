//! Personal data: numbers and addresses that follow rules of their own.
//!
//! One look at each `@` and at each run of digits; what stands there is checked by structure and check digits, and
//! where those say little, by words within 60 bytes. A place in a text is one thing only: the strictest rules are
//! asked first, whichever entities a policy names, so that leaving out cards does not turn cards into telephone
//! numbers.
//!
//! | entity | found when |
//! | --- | --- |
//! | `EMAIL` | a local part, a host with a top-level domain of letters; not in a URL's authority |
//! | `PHONE` | `+` and a country's length; North American structure; a trunk `0` or bare digits with a word |
//! | `CREDIT_DEBIT_CARD_NUMBER` | issuer, length, Luhn; printed groups or none |
//! | `INTERNATIONAL_BANK_ACCOUNT_NUMBER` | country's length, mod 97 |
//! | `US_SOCIAL_SECURITY_NUMBER`, `US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER` | issued ranges; hyphens or a word |
//! | `IP_ADDRESS` | see the module `address` |
//! | `DATE_OF_BIRTH` | a date, and a word |
//! | `US_BANK_ROUTING_NUMBER`, `UK_NATIONAL_HEALTH_SERVICE_NUMBER`, `CA_SOCIAL_INSURANCE_NUMBER`, `AU_…` | check digits and a word |
//! | other national numbers | check digits in their printed form, or check digits and a word |
//!
//! Names follow the entities of AWS Bedrock Guardrails where it has one.

mod address;
mod american;
mod birth;
mod card;
mod chain;
mod checksum;
mod context;
mod email;
mod iban;
mod national;
mod phone;

use core::ops::Range;

use crate::pass::Stopped;
use crate::tape::{Tape, is_word};
use chain::Chain;

/// Digits of the longest bare number that is known.
const MAX_BARE: usize = 19;

/// Digits of the shortest one.
const MIN_BARE: usize = 8;

/// How far before a run of digits a finding may begin.
const MAX_LEAD: usize = 64;

macro_rules! entities {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $description:literal;)*) => {
        /// A kind of personal data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Entity {
            $($(#[$doc])* $variant,)*
        }

        impl Entity {
            /// Every entity, in the order of their rules.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the name in policies and records.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Returns one sentence on what is found.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $description,)*
                }
            }
        }
    };
}

entities! {
    Email = "EMAIL", "E-mail address";
    Phone = "PHONE", "Telephone number";
    Card = "CREDIT_DEBIT_CARD_NUMBER", "Payment card number";
    Iban = "INTERNATIONAL_BANK_ACCOUNT_NUMBER", "International bank account number";
    UsSocialSecurity = "US_SOCIAL_SECURITY_NUMBER", "US social security number";
    UsIndividualTaxpayer = "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER", "US individual taxpayer identification number";
    UsBankRouting = "US_BANK_ROUTING_NUMBER", "US bank routing number";
    IpAddress = "IP_ADDRESS", "IPv4 or IPv6 address";
    /// Not an entity of Bedrock, which has `AGE` only.
    DateOfBirth = "DATE_OF_BIRTH", "Date of birth";
    UkInsurance = "UK_NATIONAL_INSURANCE_NUMBER", "UK national insurance number";
    UkHealthService = "UK_NATIONAL_HEALTH_SERVICE_NUMBER", "UK national health service number";
    CaSocialInsurance = "CA_SOCIAL_INSURANCE_NUMBER", "Canadian social insurance number";
    // Bedrock names nothing below; the names are made in its style.
    DeTax = "DE_TAX_IDENTIFICATION_NUMBER", "German tax identification number";
    FrSocialSecurity = "FR_SOCIAL_SECURITY_NUMBER", "French social security number";
    EsIdentity = "ES_NATIONAL_IDENTITY_NUMBER", "Spanish identity number (DNI, NIE)";
    ItFiscalCode = "IT_FISCAL_CODE", "Italian fiscal code";
    InAadhaar = "IN_AADHAAR_NUMBER", "Indian Aadhaar number";
    InPermanentAccount = "IN_PERMANENT_ACCOUNT_NUMBER", "Indian permanent account number";
    BrCpf = "BR_CPF_NUMBER", "Brazilian CPF number of a person";
    BrCnpj = "BR_CNPJ_NUMBER", "Brazilian CNPJ number of a company";
    AuTaxFile = "AU_TAX_FILE_NUMBER", "Australian tax file number";
    AuMedicare = "AU_MEDICARE_NUMBER", "Australian Medicare number";
    AuBusiness = "AU_BUSINESS_NUMBER", "Australian business number";
}

impl Entity {
    /// Returns the entity called `name`, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|entity| entity.name().eq_ignore_ascii_case(name))
    }

    /// Returns whether the entity is looked for when a policy names none.
    ///
    /// Numbers of companies are public.
    pub const fn is_default(self) -> bool {
        !matches!(self, Self::BrCnpj | Self::AuBusiness)
    }

    /// Returns a made-up text that holds the entity: what a canary is written with.
    pub const fn example(self) -> &'static str {
        match self {
            Self::Email => "jane.roe@example.com",
            Self::Phone => "+1 415 555 0132",
            Self::Card => "4111 1111 1111 1111",
            Self::Iban => "DE89 3704 0044 0532 0130 00",
            Self::UsSocialSecurity => "ssn 536-22-8145",
            Self::UsIndividualTaxpayer => "itin 912-70-1234",
            Self::UsBankRouting => "routing 021000021",
            Self::IpAddress => "203.0.113.77",
            Self::DateOfBirth => "born 1985-03-14",
            Self::UkInsurance => "AB 12 34 56 C",
            Self::UkHealthService => "nhs 943 476 5919",
            Self::CaSocialInsurance => "social insurance 046 454 286",
            Self::DeTax => "86 095 742 719",
            Self::FrSocialSecurity => "1 84 12 76 451 089 46",
            Self::EsIdentity => "12345678Z",
            Self::ItFiscalCode => "RSSMRA85T10A562S",
            Self::InAadhaar => "aadhaar 2341 2341 2346",
            Self::InPermanentAccount => "AFZPK7190K",
            Self::BrCpf => "529.982.247-25",
            Self::BrCnpj => "11.222.333/0001-81",
            Self::AuTaxFile => "tfn 123 456 782",
            Self::AuMedicare => "medicare 2123 45670 1",
            Self::AuBusiness => "abn 51 824 753 556",
        }
    }
}

/// Tells `found` every entity that it has not looked at yet, in order and without overlaps, and returns up to which
/// byte of the text that is certain: the text's length, unless more may come.
pub(crate) fn scan(
    tape: &Tape<'_>,
    stopped: &mut Stopped,
    mut found: impl FnMut(Entity, Range<usize>),
) -> usize {
    // What one digit of a token says about it, the others say too.
    let mut tried = 0;
    while let Some(place) = next_sign(tape.bytes(), stopped.next) {
        let floor = stopped.floor;
        stopped.next = place;
        let sign = tape.at(place);
        let hit = if sign == b'@' {
            email::find(tape, place, floor).map(|range| (Entity::Email, range))
        } else {
            number_at(tape, place, floor, &mut tried)
        };
        if tape.take_unsure() {
            return lead(tape, place, floor);
        }
        stopped.next = match hit {
            Some((entity, range)) if range.start >= floor => {
                stopped.floor = range.end;
                found(entity, range.clone());
                range.end.max(place + 1)
            }
            _ if sign == b'@' => place + 1,
            _ => run_end(tape.bytes(), place),
        };
    }
    stopped.next = tape.len();
    if tape.is_open() {
        lead(tape, tape.len(), stopped.floor)
    } else {
        tape.len()
    }
}

/// Where a finding may begin whose digits or `@` are at `place` or later.
fn lead(tape: &Tape<'_>, place: usize, floor: usize) -> usize {
    let lowest = floor.max(place.saturating_sub(MAX_LEAD + 1));
    let near = tape.bytes().get(lowest..place).unwrap_or_default();
    let word = near
        .iter()
        .rposition(u8::is_ascii_whitespace)
        .map_or(lowest, |at| lowest + at + 1);
    // A month, two letters of a British number, or `1 (` may stand one word before.
    let earlier = near
        .get(..word.saturating_sub(lowest + 1))
        .unwrap_or_default();
    let previous = earlier
        .iter()
        .rposition(u8::is_ascii_whitespace)
        .map_or(lowest, |at| lowest + at + 1);
    let length = word.saturating_sub(previous);
    let is_lead = word > lowest
        && (birth::month_before(tape, word, floor).is_some()
            || length == 3
            || (length == 2 && tape.at(previous) == b'1'));
    tape.take_unsure();
    if is_lead { previous } else { word }
}

/// Returns where the next digit or `@` stands.
#[inline]
fn next_sign(bytes: &[u8], from: usize) -> Option<usize> {
    let is_sign = |byte: u8| byte.wrapping_sub(b'0') < 10 || byte == b'@';
    let rest = bytes.get(from..)?;
    let (chunks, tail) = rest.as_chunks::<32>();
    let mut at = from;
    for chunk in chunks {
        // Without a branch per byte, so that it becomes vector code.
        if chunk.iter().fold(false, |any, byte| any | is_sign(*byte)) {
            let place = chunk.iter().position(|byte| is_sign(*byte))?;
            return Some(at + place);
        }
        at += chunk.len();
    }
    tail.iter()
        .position(|byte| is_sign(*byte))
        .map(|place| at + place)
}

/// End of the digits at `start`, however many there are.
fn run_end(bytes: &[u8], start: usize) -> usize {
    bytes
        .get(start..)
        .unwrap_or_default()
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .map_or(bytes.len(), |length| start + length)
}

/// Returns what the digits at `at` are a part of.
fn number_at(
    tape: &Tape<'_>,
    at: usize,
    floor: usize,
    tried: &mut usize,
) -> Option<(Entity, Range<usize>)> {
    let end = chain::digits_end(tape, at);
    let (before, after) = (tape.before(at), tape.at(end));
    if (before == b':' || after == b':')
        && at >= *tried
        && let Some(range) = address::find_v6(tape, at, floor, tried)
    {
        return Some((Entity::IpAddress, range));
    }
    if before.is_ascii_alphabetic()
        && let Some(letters) = letters_before(tape, at, floor)
    {
        return lettered(tape, at, end, letters);
    }
    if !chain::opens(tape, at, false) || end - at > MAX_BARE {
        return None;
    }
    match before {
        b'+' => {
            return phone::international(tape, at).map(|range| (Entity::Phone, range));
        }
        b'(' => {
            if let Some(range) = phone::bracketed(tape, at) {
                return (range.start >= floor).then_some((Entity::Phone, range));
            }
        }
        b' ' => {
            if let Some(range) = spaced_insurance(tape, at, end, floor) {
                return Some((Entity::UkInsurance, range));
            }
        }
        _ => {}
    }
    if after.is_ascii_uppercase() && national::is_dni(tape, at, end) {
        return Some((Entity::EsIdentity, at..end + 1));
    }
    if end - at <= 2
        && let Some(range) = birth::spelled(tape, at, end, floor)
    {
        return Some((Entity::DateOfBirth, range));
    }
    if is_word(after) {
        return None;
    }
    if !may_be_known(tape, at, end) {
        return None;
    }
    numeric(tape, at)
}

/// Whether any number that is known begins with the digits from `at` to `end` and what follows them; in rows of
/// numbers hardly any does.
fn may_be_known(tape: &Tape<'_>, at: usize, end: usize) -> bool {
    use chain::Separator::{Dot, Space};
    let first = end - at;
    let Some((separator, next)) = chain::separator(tape, end) else {
        return first >= MIN_BARE;
    };
    let second = chain::digits_end(tape, next) - next;
    match (first, separator, second) {
        (_, _, 0) => first >= MIN_BARE,
        (1..=3, Dot, 1..=3) => true,
        (1, _, 2..=3) => true,
        (1, separator, 1) => separator != Space,
        (2, separator, 1..=2) if separator != Space => true,
        (2, _, 3) | (3, _, 2..=3) | (4, _, 1..=2 | 4..=6) => true,
        (8.., Space, _) => true,
        _ => first >= 2 && second >= 2 && tape.at(at) == b'0',
    }
}

/// Returns what a number of digits only is.
fn numeric(tape: &Tape<'_>, at: usize) -> Option<(Entity, Range<usize>)> {
    let mut chain = Chain::read(tape, at);
    if chain.shape().len() > 1 {
        if let Some(range) = card::grouped(tape, &chain) {
            return Some((Entity::Card, range));
        }
        if let Some(entity) = grouped(tape, &chain) {
            return Some(entity);
        }
        chain = chain.without_spaces()?;
        if chain.shape().len() > 1 {
            return grouped(tape, &chain);
        }
    }
    bare(tape, &chain)
}

fn bare(tape: &Tape<'_>, chain: &Chain) -> Option<(Entity, Range<usize>)> {
    let range = chain.range();
    if !chain::closes(tape, range.end, false) {
        return None;
    }
    let length = range.len();
    if length < MIN_BARE {
        return None;
    }
    let entity = if length >= 13 && card::is_bare(tape, &range) {
        Some(Entity::Card)
    } else {
        let american = if length == 9 {
            american::bare(tape, &range)
        } else {
            None
        };
        american
            .or_else(|| national::bare(tape, &range))
            .or_else(|| phone::is_bare(tape, &range).then_some(Entity::Phone))
    };
    entity.map(|entity| (entity, range))
}

fn grouped(tape: &Tape<'_>, chain: &Chain) -> Option<(Entity, Range<usize>)> {
    if !chain.stands_alone(tape) {
        return None;
    }
    let range = chain.range();
    if address::is_v4(tape, chain) {
        return Some((Entity::IpAddress, range));
    }
    let entity = american::grouped(tape, chain)
        .or_else(|| national::grouped(tape, chain))
        .or_else(|| birth::is_numeric(tape, chain).then_some(Entity::DateOfBirth));
    match entity {
        Some(entity) => Some((entity, range)),
        None => phone::grouped(tape, chain).map(|range| (Entity::Phone, range)),
    }
}

/// Counts the letters directly before `at` if they begin a word and are at most six.
fn letters_before(tape: &Tape<'_>, at: usize, floor: usize) -> Option<usize> {
    let mut start = at;
    while start > floor && at - start <= 6 && tape.before(start).is_ascii_alphabetic() {
        start -= 1;
    }
    let letters = at - start;
    match tape.before(start) {
        // The letter of an escape inside a nested JSON text.
        b'\\' if matches!(tape.at(start), b'n' | b't' | b'r') => {
            (letters > 1).then_some(letters - 1)
        }
        before if is_word(before) || letters > 6 => None,
        _ => (letters > 0).then_some(letters),
    }
}

fn lettered(
    tape: &Tape<'_>,
    at: usize,
    end: usize,
    letters: usize,
) -> Option<(Entity, Range<usize>)> {
    if letters == 2
        && let Some(range) = iban::find(tape, at - 2)
    {
        return Some((Entity::Iban, range));
    }
    national::lettered(tape, at, end, letters)
}

/// `AB 12 34 56 C`.
fn spaced_insurance(tape: &Tape<'_>, at: usize, end: usize, floor: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(3).filter(|start| *start >= floor)?;
    if end - at != 2 && end - at != 6 || is_word(tape.before(start)) {
        return None;
    }
    national::insurance_end(tape, start).map(|end| start..end)
}

#[cfg(test)]
mod tests;

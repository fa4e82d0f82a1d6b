//! Numbers of US residents and banks.

use core::ops::Range;

use super::Entity;
use super::chain::{Chain, Separator, number};
use super::checksum::{digits, weighted};
use super::context;
use crate::tape::Tape;

const SSN_WORDS: &[&str] = &[
    "social security",
    "social_security",
    "socialsecurity",
    "ssn",
    "ssns",
    "ss#",
    "taxpayer",
];
const ITIN_WORDS: &[&str] = &["individual taxpayer", "taxpayer", "itin", "tin", "tax id"];
const ROUTING_WORDS: &[&str] = &["routing", "transit", "aba", "rtn", "ach"];

/// Returns what a number in groups of 3, 2 and 4 digits is: with hyphens it needs no word, else it does.
pub(super) fn grouped(tape: &Tape<'_>, chain: &Chain) -> Option<Entity> {
    if chain.shape() != [3, 2, 4] {
        return None;
    }
    let separator = chain.separator()?;
    if separator == Separator::Slash {
        return None;
    }
    let parts = [
        chain.value(tape, 0),
        chain.value(tape, 1),
        chain.value(tape, 2),
    ];
    let entity = issued(parts)?;
    let said = separator == Separator::Hyphen || context::near(tape, &chain.range(), words(entity));
    said.then_some(entity)
}

/// Returns what nine digits without separators are, which a word nearby must say.
pub(super) fn bare(tape: &Tape<'_>, range: &Range<usize>) -> Option<Entity> {
    let text = tape.slice(range.clone());
    let parts = [
        number(text.get(..3)?),
        number(text.get(3..5)?),
        number(text.get(5..9)?),
    ];
    if let Some(entity) = issued(parts)
        && context::near(tape, range, words(entity))
    {
        return Some(entity);
    }
    (is_routing(text) && context::near(tape, range, ROUTING_WORDS)).then_some(Entity::UsBankRouting)
}

const fn words(entity: Entity) -> &'static [&'static str] {
    if matches!(entity, Entity::UsIndividualTaxpayer) {
        ITIN_WORDS
    } else {
        SSN_WORDS
    }
}

/// Whether the Social Security Administration or the Internal Revenue Service gives out such numbers.
fn issued(parts: [u32; 3]) -> Option<Entity> {
    match parts {
        // Printed on wallet inserts and in advertisements, and void.
        [78, 5, 1120] | [219, 9, 9999] | [_, _, 0] | [0 | 666, ..] | [_, 0, _] => None,
        [900..=999, 50..=65 | 70..=88 | 90..=92 | 94..=99, _] => Some(Entity::UsIndividualTaxpayer),
        [900..=999, ..] => None,
        _ => Some(Entity::UsSocialSecurity),
    }
}

/// Whether nine digits are a routing transit number: a Federal Reserve district, and the check digit.
fn is_routing(text: &[u8]) -> bool {
    let district = number(text.get(..2).unwrap_or_default());
    matches!(district, 1..=12 | 21..=32 | 61..=72 | 80)
        && weighted(digits(text), &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
}

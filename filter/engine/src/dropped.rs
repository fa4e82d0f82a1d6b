//! Which headers did not pass, counted by name.

use std::collections::BTreeMap;

use policy::header::{HeaderWay, is_plain};
use policy::key::holds_virtual_key;

/// Names that are counted apart, each way; 64 in all. What one side sends cannot crowd out the other's.
const NAMES: usize = 32;

/// Words of a name that are longer than this are not words.
const WORD_BYTES: usize = 20;

/// Letters and digits mixed at greater length are an id or a secret.
const MIXED_BYTES: usize = 6;

/// Longest number in a name.
const NUMBER_BYTES: usize = 4;

/// How often each header was dropped since the start, by way and name.
///
/// Bounded whatever clients and providers send: when [`NAMES`] names are known, others are counted together, and so
/// are those that are no plain words.
#[derive(Debug, Default)]
pub struct DroppedHeaders {
    request: Counts,
    response: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    by_name: BTreeMap<String, u64>,
    others: u64,
}

impl DroppedHeaders {
    /// Counts one header.
    pub fn count(&mut self, way: HeaderWay, name: &str) {
        let counts = match way {
            HeaderWay::Request => &mut self.request,
            HeaderWay::Response => &mut self.response,
        };
        if let Some(count) = counts.by_name.get_mut(name) {
            *count = count.saturating_add(1);
        } else if counts.by_name.len() < NAMES && is_showable(name) {
            counts.by_name.insert(name.to_owned(), 1);
        } else {
            counts.others = counts.others.saturating_add(1);
        }
    }

    /// Returns the names with their counts, and for each way what was counted without a name, if anything was.
    pub fn iter(&self) -> impl Iterator<Item = (HeaderWay, Option<&str>, u64)> {
        let ways = [
            (HeaderWay::Request, &self.request),
            (HeaderWay::Response, &self.response),
        ];
        ways.into_iter().flat_map(|(way, counts)| {
            let named = counts.by_name.iter();
            let named = named.map(move |(name, count)| (way, Some(name.as_str()), *count));
            named.chain((counts.others > 0).then_some((way, None, counts.others)))
        })
    }
}

/// Whether `name` may be shown to administrators: it consists of words, and holds nothing that looks like a value.
fn is_showable(name: &str) -> bool {
    is_plain(name) && !holds_virtual_key(name.as_bytes()) && name.split(['-', '_']).all(is_word)
}

fn is_word(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let longest = match (digits, word.len().saturating_sub(digits)) {
        (0, _) => WORD_BYTES,
        (_, 0) => NUMBER_BYTES,
        (_, _) => MIXED_BYTES,
    };
    word.len() <= longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(dropped: &DroppedHeaders) -> Vec<(HeaderWay, Option<String>, u64)> {
        let told = dropped.iter();
        told.map(|(way, name, count)| (way, name.map(str::to_owned), count))
            .collect()
    }

    #[test]
    fn names_are_counted_apart_and_by_way() {
        let mut dropped = DroppedHeaders::default();
        for (way, name) in [
            (HeaderWay::Request, "x-original-url"),
            (HeaderWay::Response, "set-cookie"),
            (HeaderWay::Request, "x-original-url"),
            (HeaderWay::Request, "set-cookie"),
        ] {
            dropped.count(way, name);
        }
        assert_eq!(
            told(&dropped),
            [
                (HeaderWay::Request, Some("set-cookie".to_owned()), 1),
                (HeaderWay::Request, Some("x-original-url".to_owned()), 2),
                (HeaderWay::Response, Some("set-cookie".to_owned()), 1),
            ]
        );
    }

    #[test]
    fn what_looks_like_a_value_has_no_name() {
        let key = policy::key::VirtualKeySecret::from_bytes([3; 32]);
        let long = format!("x-{}", "a-".repeat(40));
        let hidden = [
            key.expose(),
            "sk-ant-api03-abcdefghijklmnopqrstuvwxyz",
            "x-89716f45-9953-4395-8a9e-4d65ca5eb376",
            "x-token-8f3a9c1b",
            "x-call-5551234567",
            "x-thisisnotawordatallbutsomethingelse",
            "x:y",
            "x y",
            "x\u{fc}",
            "",
            long.as_str(),
        ];
        let mut dropped = DroppedHeaders::default();
        for name in hidden.iter().filter(|name| !name.is_empty()) {
            dropped.count(HeaderWay::Request, name);
        }
        assert_eq!(told(&dropped), [(HeaderWay::Request, None, 10)]);
        for shown in [
            "x-original-url",
            "sec-ch-ua-platform",
            "x-amz-content-sha256",
            "session_id",
            "x-b3-traceid",
            "strict-transport-security",
        ] {
            assert!(is_showable(shown), "{shown}");
        }
    }

    proptest! {
        /// No more is kept or told than the bounds, and nothing is lost.
        #[test]
        fn whatever_comes_is_bounded(names in proptest::collection::vec("[a-z_0-9-]{1,90}", 0..200)) {
            let mut dropped = DroppedHeaders::default();
            for name in &names {
                dropped.count(HeaderWay::Request, name);
            }
            dropped.count(HeaderWay::Response, "server");
            let told = told(&dropped);
            prop_assert!(told.len() <= NAMES + 2);
            prop_assert_eq!(told.iter().map(|(_, _, count)| count).sum::<u64>(), names.len() as u64 + 1);
            let longest = told.iter().filter_map(|(_, name, _)| name.as_ref()).map(String::len).max();
            prop_assert!(longest <= Some(policy::header::MAX_NAME_BYTES));
            prop_assert!(told.contains(&(HeaderWay::Response, Some("server".to_owned()), 1)));
        }
    }
}

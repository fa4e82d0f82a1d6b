use proptest::prelude::*;

use super::*;
use crate::{RuleSetBuilder, Severity};

fn rules() -> RuleSet {
    let mut builder = RuleSetBuilder::default();
    builder
        .regex(0, "token", r"\btok_[a-z0-9]{8}\b", 0, Severity::Low)
        .unwrap();
    builder
        .regex(0, "quoted", r#""secret": "([a-z0-9]+)""#, 1, Severity::Low)
        .unwrap();
    builder.pii(0, &["email".to_owned()]).unwrap();
    builder.hidden_text(0).unwrap();
    builder.build().unwrap()
}

fn encode(text: &str) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let word = three
            .iter()
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..4 {
            let sign = SIGNS[(word >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= three.len() {
                char::from(sign)
            } else {
                '='
            });
        }
    }
    out
}

#[track_caller]
fn check(text: &str, want: &[(&str, &str, Option<&str>)]) {
    let rules = rules();
    let mut found = Vec::new();
    rules.scan(
        &mut Scratch::new(),
        text.as_bytes(),
        Groups::ALL,
        &mut found,
    );
    let told: Vec<(&str, &str, Option<&str>)> = found
        .iter()
        .map(|finding| {
            let id = rules.rule(finding.rule).unwrap().id.as_str();
            (
                id,
                text.get(finding.secret.clone()).unwrap(),
                finding.decoded.as_deref(),
            )
        })
        .collect();
    assert_eq!(told, want, "{text}");
}

#[test]
fn escapes_are_seen_through() {
    check(
        r"x \u0074ok_abcd1234 y",
        &[("token", r"\u0074ok_abcd1234", Some("tok_abcd1234"))],
    );
    check(
        r#"{\"secret\": \"abc123\"}"#,
        &[("quoted", "abc123", Some("abc123"))],
    );
    check(
        r"FOO=1\ntok_abcd1234\nBAR",
        &[("token", "tok_abcd1234", Some("tok_abcd1234"))],
    );
    check(
        "mail=jane%40example.com&x",
        &[("EMAIL", "jane%40example.com", Some("jane@example.com"))],
    );
    check(
        r"a\u202Eb",
        &[("hidden-bidi-control", r"\u202E", Some("U+202E"))],
    );
    check(
        r"x\uDB40\uDC41\uDB40\uDC42",
        &[("hidden-tags", r"\uDB40\uDC41\uDB40\uDC42", Some("AB"))],
    );
}

#[test]
fn what_stands_in_plain_is_told_once() {
    check(
        "a\\u0062c tok_abcd1234 \\\"",
        &[("token", "tok_abcd1234", None)],
    );
    check("tok_abcd1234%20", &[("token", "tok_abcd1234", None)]);
}

#[test]
fn base64_is_seen_through() {
    let inner = "export A=tok_abcd1234 and more";
    let coded = encode(inner);
    let text = format!("data {coded} end");
    let rules = rules();
    let mut found = Vec::new();
    rules.scan(
        &mut Scratch::new(),
        text.as_bytes(),
        Groups::ALL,
        &mut found,
    );
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].decoded.as_deref(), Some("tok_abcd1234"));
    assert!(coded.contains(text.get(found[0].secret.clone()).unwrap()));
}

#[test]
fn two_layers_are_followed_and_no_more() {
    let once = encode("export A=tok_abcd1234 and more");
    let twice = encode(&format!("layer: {once}"));
    let thrice = encode(&format!("layer: {twice}"));
    let count = |text: &str| {
        let mut found = Vec::new();
        rules().scan(
            &mut Scratch::new(),
            text.as_bytes(),
            Groups::ALL,
            &mut found,
        );
        found.len()
    };
    assert_eq!(count(&twice), 1);
    assert_eq!(count(&thrice), 0);
}

#[test]
fn paths_and_hashes_are_no_base64() {
    let mut budget = BUDGET;
    for text in [
        "usr/local/lib/python3/dist-packages/numpy/core/include",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "AbstractSingletonProxyFactoryBeanImplementation",
    ] {
        base64::each(text.as_bytes(), &mut budget, &mut |decoded, _| {
            panic!("{text}: {decoded:?}")
        });
    }
}

proptest! {
    #[test]
    fn base64_is_found_wherever_it_stands(before in "[ -~]{0,40} ", value in "[ -~]{25,90}", after in " [ -~]{0,40}") {
        let text = format!("{before}{}{after}", encode(&value));
        let mut seen = false;
        let mut budget = BUDGET;
        base64::each(text.as_bytes(), &mut budget, &mut |decoded, _| {
            seen |= decoded.bytes == value.as_bytes();
        });
        prop_assert!(seen);
    }

    #[test]
    fn any_bytes_are_read_without_harm(text in proptest::collection::vec(prop_oneof![Just(b'\\'), Just(b'%'), Just(b'u'), any::<u8>()], 0..200)) {
        let mut found = Vec::new();
        rules().scan(&mut Scratch::new(), &text, Groups::ALL, &mut found);
        for finding in found {
            prop_assert!(finding.secret.end <= text.len() && finding.secret.start <= finding.secret.end);
        }
    }
}

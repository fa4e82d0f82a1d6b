use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;
use crate::{RulePack, RuleSetBuilder, Severity, WordList, WordMatcher};

const FILE: &str = r#"
    [[rules]]
    id = "prefixed"
    regex = '''\b(tok_[a-z0-9]{8,12})(?:[^a-z0-9]|$)'''
    keywords = ["tok_"]
    [[rules]]
    id = "assigned"
    regex = '''(?i)[\w.-]{0,20}?(?:secret|key)[ \t\w.-]{0,10}[\s'"]{0,3}(?:=|:)[\s'"]{0,5}([a-z0-9]{6,20})(?:[\s'";]|$)'''
    keywords = ["secret", "key"]
    [[rules]]
    id = "generic-thing"
    regex = '''thing=(\w{4,30})'''
    keywords = ["thing"]
    [[rules]]
    id = "block"
    regex = '''(?s)-----BEGIN X-----.{4,}?-----END X-----'''
    keywords = ["-----begin"]
    [[rules]]
    id = "before"
    regex = '''([a-z0-9]{6,20})@mark'''
    keywords = ["@mark"]
    [[rules]]
    id = "spaced"
    regex = '''(\d{3} \d{3}) code word'''
    keywords = ["code word"]
    [[rules.allowlists]]
    stopwords = ["000 "]
"#;

fn rules() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(build)
}

fn build() -> RuleSet {
    let mut builder = RuleSetBuilder::default();
    let pack = RulePack::from_gitleaks_toml(FILE, &|_| None).unwrap();
    builder.pack(0, &pack, &[]).unwrap();
    builder
        .regex(1, "bare", r"\b[A-Z]{2}\d{4,6}\b", 0, Severity::Low)
        .unwrap();
    builder
        .regex(1, "wide", r"wide\s+(\w+)\s+open", 1, Severity::Low)
        .unwrap();
    builder
        .regex(1, "line", r"(?m)^[a-z]\d+$", 0, Severity::Low)
        .unwrap();
    builder.pii(2, &[]).unwrap();
    builder.hidden_text(3).unwrap();
    let list = WordList::compile(&["blue moon", "blue moon base", "titan"]).unwrap();
    builder
        .words(4, "names", WordMatcher::from_bytes(list).unwrap())
        .unwrap();
    builder.plain_only();
    builder.build().unwrap()
}

/// Scans `text` cut at `ends` and checks what a stream promises at every step.
#[track_caller]
fn streamed(rules: &RuleSet, text: &[u8], ends: &[usize]) -> Vec<Finding> {
    let mut scratch = Scratch::new();
    let mut stream = StreamScan::new(Groups::ALL);
    let (mut out, mut from, mut before) = (Vec::new(), 0, 0);
    for end in ends.iter().copied().chain([text.len()]) {
        let known = out.len();
        let resolved = stream.push(rules, &mut scratch, &text[from..end], &mut out);
        let resolved = usize::try_from(resolved).unwrap();
        assert!(
            resolved >= before && resolved <= end,
            "{before} {resolved} {end}"
        );
        for finding in &out[known..] {
            assert!(
                finding.secret.start >= before,
                "told too late: {finding:?}, {before} of {end}"
            );
            assert!(
                finding.secret.end <= resolved,
                "cut: {finding:?}, {resolved}"
            );
        }
        (from, before) = (end, resolved);
    }
    let known = out.len();
    let length = stream.finish(rules, &mut scratch, &mut out);
    assert_eq!(usize::try_from(length).unwrap(), text.len());
    for finding in &out[known..] {
        assert!(
            finding.secret.start >= before,
            "told too late: {finding:?}, {before}"
        );
    }
    assert_eq!(stream.take_overrun(), []);
    out
}

fn whole(rules: &RuleSet, text: &[u8]) -> Vec<Finding> {
    let mut out = Vec::new();
    rules.scan(&mut Scratch::new(), text, Groups::ALL, &mut out);
    out
}

#[track_caller]
fn check(rules: &RuleSet, text: &str) {
    let text = text.as_bytes();
    let want = whole(rules, text);
    for cut in 0..=text.len() {
        assert_eq!(streamed(rules, text, &[cut]), want, "cut at {cut}");
    }
    let every: Vec<usize> = (0..text.len()).collect();
    assert_eq!(streamed(rules, text, &every), want, "byte by byte");
}

#[test]
fn every_cut_finds_what_the_whole_text_holds() {
    let rules = rules();
    check(
        rules,
        "a tok_abcdefgh1 and my_secret: 'abcdef123' then\nkey = zzzzzzzzz\n",
    );
    check(
        rules,
        "x -----BEGIN X-----\nabc def\n-----END X----- y abcdef12@mark 123 456 code word",
    );
    check(
        rules,
        "AB1234 AB12345678 wide  foo\nopen wide a b a1\nb22\nc3",
    );
    check(
        rules,
        "thing=tok_abcdefgh thing=alone99 tok_abcdefghijklmnop",
    );
    check(
        rules,
        "mail jane@example.com, tel 415 555 2671, 4111 1111 1111 1111 é born March 3, 1985",
    );
    check(
        rules,
        "the Blue\n moon base, BLUE MOONS titan \u{202E}x pa\u{200B}ss \u{E0041}\u{E0042}",
    );
    check(
        rules,
        "000 123 code word 536-22-8145 10.20.30.40 DE89 3704 0044 0532 0130 00",
    );
}

#[test]
fn encoded_words_are_seen_through_at_any_cut() {
    let mut builder = RuleSetBuilder::default();
    builder
        .regex(0, "token", r"\btok_[a-z0-9]{8}\b", 0, Severity::Low)
        .unwrap();
    builder.pii(1, &[]).unwrap();
    let rules = builder.build().unwrap();
    check(
        &rules,
        r"say \u0074ok_abcd1234 and mail=jane%40example.com&x tok_zzzz9999 end",
    );
    check(&rules, r"FOO=1\ntok_abcd1234\nBAR tok_abcd1234\n and so on");
    check(&rules, "data ZXhwb3J0IEE9dG9rX2FiY2QxMjM0IGFuZCBtb3Jl end");
    let text = r"a\u0062 ".repeat(2_000) + &"x".repeat(9_000) + r" \u0074ok_abcd1234 done";
    let ends: Vec<usize> = (0..text.len()).step_by(33).collect();
    assert_eq!(streamed(&rules, text.as_bytes(), &ends).len(), 1);
}

#[test]
fn ordinary_words_wait_for_their_end_only() {
    let rules = rules();
    let mut stream = StreamScan::new(Groups::ALL);
    let (mut scratch, mut out) = (Scratch::new(), Vec::new());
    let text = "Then we refactor the module, run all tests and commit what has changed so far.";
    let mut end = 0;
    for piece in text.split_inclusive(' ') {
        end += piece.len();
        let resolved = stream.push(rules, &mut scratch, piece.as_bytes(), &mut out);
        // `123 456 code word` begins eight bytes before its keyword, white space among them.
        assert!(
            end - usize::try_from(resolved).unwrap() <= 24,
            "{piece}: {resolved} of {end}"
        );
    }
}

#[test]
fn what_never_ends_is_let_go_and_named() {
    let rules = rules();
    let mut stream = StreamScan::new(Groups::ALL);
    let (mut scratch, mut out) = (Scratch::new(), Vec::new());
    stream.push(rules, &mut scratch, b"-----BEGIN X-----\n", &mut out);
    let mut sent = 18;
    let mut let_go = Vec::new();
    for _ in 0..400 {
        sent += 100;
        let resolved = stream.push(rules, &mut scratch, &[b'a'; 100], &mut out);
        assert!(sent - resolved <= HOLD_BYTES as u64);
        let_go.extend(stream.take_overrun());
    }
    let id = &rules.rule(let_go[0]).unwrap().id;
    assert_eq!(id, "block");
}

#[test]
fn bytes_that_are_no_text_keep_their_places() {
    let rules = rules();
    let text = b"\xFF\xFEtok_abcdefgh1 \xE2\x82 jane@example.com \xF0\x9F\x98";
    let want = whole(rules, text);
    assert_eq!(want[0].secret, 2..15);
    for cut in 0..=text.len() {
        assert_eq!(streamed(rules, text, &[cut]), want, "cut at {cut}");
    }
}

fn piece() -> impl Strategy<Value = String> {
    let known = [
        "tok_abcdefgh1",
        "tok_",
        "secret",
        "key = ",
        "abcdef123",
        "-----BEGIN X-----",
        "-----END X-----",
        "@mark",
        "123 456 code word",
        "code ",
        "AB1234",
        "wide ",
        "open",
        "a1\n",
        "thing=",
        "jane@example.com",
        "415-555-2671",
        "4111111111111111",
        "phone",
        "blue moon",
        "base",
        "titan",
        "\u{202E}",
        "\u{200B}",
        "DE89 3704 0044 0532 0130 00",
        "born",
        "March 3, 1985",
        "\u{212A}ey=\"abcdefg\"",
        "ſecret:zyxwvuts",
    ];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        2 => "[a-zA-Z0-9]{1,10}",
        2 => "[ \n.,:='\"]{1,3}",
        1 => "\\PC{1,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn chunking_never_changes_the_findings(
        pieces in proptest::collection::vec(piece(), 1..30),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let rules = rules();
        let text = pieces.concat().into_bytes();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        ends.sort_unstable();
        let want = whole(rules, &text);
        let mut told = streamed(rules, &text, &ends);
        // What the line holds later cannot make a generic finding give way that is told already.
        let is_generic = |finding: &Finding| rules.rule(finding.rule).unwrap().id.starts_with("generic");
        told.retain(|finding| !is_generic(finding) || want.contains(finding));
        prop_assert_eq!(told, want);
    }
}

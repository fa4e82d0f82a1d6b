//! Rules and texts that are wrong, hostile or huge.

#![cfg(test)]

use std::time::{Duration, Instant};

use detect::{
    DEFAULT_RULES, Groups, Pattern, RulePack, RuleSet, RuleSetBuilder, Scratch, Severity,
};

#[track_caller]
fn refused(file: &str, about: &[&str]) {
    let problems = RulePack::from_gitleaks_toml(file, &|_| None).unwrap_err();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let text = text.join("\n");
    for part in about {
        assert!(text.contains(part), "`{part}` is not said in:\n{text}");
    }
}

fn rule(fields: &str) -> String {
    format!("[[rules]]\nid = 'mine'\n{fields}\n")
}

#[test]
fn wrong_rule_files_are_refused_by_rule_and_field() {
    let fields = |fields: &str, about: &[&str]| refused(&rule(fields), about);
    fields("regex = 'a('", &["rule `mine`, `regex`", "unclosed group"]);
    fields("regex = '(?=a)b'", &["`mine`", "look-around"]);
    fields("regex = '(a)\\1'", &["`mine`", "refers back"]);
    fields(
        r"regex = '(?:[\pL\pN]{1,1000}){1,1000}'",
        &["`mine`", "too large"],
    );
    fields(
        "regex = '(((a{1000}){1000}){1000}){1000}'",
        &["`mine`", "too large"],
    );
    fields(
        "regex = 'a'\nsecretGroup = 2",
        &["`secretGroup`", "0 groups"],
    );
    fields(
        "regex = 'a'\nregexp = 'b'",
        &["`mine`, `regexp`", "unknown"],
    );
    fields("regex = 7", &["`regex`", "must be a string"]);
    fields("entropy = 3.0", &["`regex`", "missing"]);
    fields(
        "regex = 'a'\nvalidator = 'nope'",
        &["`validator`", "`nope`"],
    );
    fields(
        "regex = 'a'\n[[rules.allowlists]]\nregexes = ['(']",
        &["`allowlists.regexes`"],
    );
    fields(
        "regex = 'a'\n[[rules.allowlists]]\ncondition = 'XOR'",
        &["`XOR`", "`AND`"],
    );
    fields(
        "regex = 'a'\n[[rules.allowlists]]\nregexTarget = 'file'",
        &["`file`", "`line`"],
    );
    fields(
        "regex = 'a'\n[[rules.allowlists]]\ndescription = 'x'",
        &["`stopwords`"],
    );
    fields(
        "regex = 'a'\n[[rules.required]]\nid = 'other'",
        &["`other`", "no rule"],
    );
    refused(
        &(rule("regex = 'a'") + &rule("regex = 'b'")),
        &["`mine`, `id`", "more than once"],
    );
    refused("[[rules]]\nregex = 'a'", &["`id`", "missing"]);
    refused("rules = ", &["no TOML"]);
    refused(
        "[extend]\nuseDefault = true",
        &["useDefault", DEFAULT_RULES],
    );
    refused(
        "[extend]\npath = 'base.toml'",
        &["`base.toml`", "not there"],
    );
    refused(
        "[[allowlists]]\ntargetRules = ['x']\nstopwords = ['y']",
        &["`x`", "no rule"],
    );
    refused(
        "[allowlist]\nstopwords = ['y']\n[[allowlists]]\nstopwords = ['y']",
        &["beside"],
    );
    let long = "a".repeat(20_000);
    refused(&rule(&format!("regex = '{long}'")), &["20000 bytes"]);
}

#[test]
fn every_problem_of_a_file_is_told() {
    let file =
        "[[rules]]\nid = 'one'\nregex = '('\n[[rules]]\nid = 'two'\nregex = 'a'\nentropi = 3";
    refused(file, &["`one`", "`two`"]);
}

#[test]
fn wrong_patterns_are_refused() {
    let mut builder = RuleSetBuilder::default();
    for (pattern, group) in [
        ("(", 0),
        ("(?=a)", 0),
        ("a", 1),
        (r"(?:[\pL\pN]{1,1000}){1,1000}", 0),
    ] {
        let problem = builder
            .regex(0, "mine", pattern, group, Severity::Low)
            .unwrap_err();
        assert_eq!(problem.rule.as_deref(), Some("mine"), "{problem}");
    }
    assert!(Pattern::new("(?<!a)b").is_err());
    assert!(builder.regex(64, "mine", "a", 0, Severity::Low).is_err());
}

#[test]
fn files_extend_each_other_as_gitleaks_merges_them() {
    let base = "[[rules]]\nid = 'a'\nregex = 'aaa[0-9]'\nkeywords = ['aaa']\nentropy = 9.0\n\
                [[rules]]\nid = 'b'\nregex = 'bbb[0-9]'\n[allowlist]\nstopwords = ['bbb7']";
    let file = "[extend]\npath = 'base.toml'\ndisabledRules = ['c']\n\
                [[rules]]\nid = 'a'\nentropy = 0.1\n[[rules]]\nid = 'c'\nregex = 'ccc'";
    let extend = |path: &str| (path == "base.toml").then(|| base.to_owned());
    let pack = RulePack::from_gitleaks_toml(file, &extend).unwrap();
    assert_eq!(pack.rule_ids().collect::<Vec<_>>(), ["a", "b", "c"]);
    let again = RulePack::decode(&pack.encode().unwrap()).unwrap();
    assert_eq!(again, pack);
    let mut builder = RuleSetBuilder::default();
    builder.pack(0, &again, &["c".to_owned()]).unwrap();
    let rules = builder.build().unwrap();
    assert_eq!(ids(&rules, b"aaa1 bbb7 bbb8 ccc"), ["a", "b"]);
    assert!(RulePack::decode(b"{}").is_err());
}

fn ids(rules: &RuleSet, text: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    rules.scan(&mut Scratch::new(), text, Groups::ALL, &mut found);
    let id = |finding: &detect::Finding| rules.rule(finding.rule).unwrap().id.clone();
    found.iter().map(id).collect()
}

#[test]
fn required_rules_must_match_nearby() {
    let file = "[[rules]]\nid = 'pair'\nregex = 'id-([0-9]{4})'\n\
                [[rules.required]]\nid = 'half'\nwithinLines = 1\n\
                [[rules]]\nid = 'half'\nregex = 'secret-([0-9]{4})'\nskipReport = true";
    let mut builder = RuleSetBuilder::default();
    builder
        .pack(
            0,
            &RulePack::from_gitleaks_toml(file, &|_| None).unwrap(),
            &[],
        )
        .unwrap();
    let rules = builder.build().unwrap();
    assert_eq!(ids(&rules, b"id-1234\nsecret-5678"), ["pair"]);
    assert!(ids(&rules, b"id-1234\n\n\nsecret-5678").is_empty());
    assert!(ids(&rules, b"secret-5678").is_empty());
}

#[test]
fn allow_comments_of_gitleaks_allow_nothing() {
    let mut builder = RuleSetBuilder::default();
    builder
        .regex(0, "mine", "shop_[0-9]{6}", 0, Severity::Low)
        .unwrap();
    let rules = builder.build().unwrap();
    assert_eq!(ids(&rules, b"shop_123456 # gitleaks:allow"), ["mine"]);
}

/// The whole secrets pack and the plainest custom rules.
fn rules() -> RuleSet {
    let mut builder = RuleSetBuilder::default();
    builder.secrets(0, &[]).unwrap();
    builder
        .regex(1, "mine", r"shop_[0-9]{6}", 0, Severity::Low)
        .unwrap();
    builder.build().unwrap()
}

#[test]
fn bytes_that_are_no_utf8_keep_their_places() {
    let rules = rules();
    let text = [
        &b"\xFF\xFE\x80 \xC3"[..],
        b"shop_123456",
        b"\xE2\x82 shop_654321 \xFF",
    ]
    .concat();
    let mut found = Vec::new();
    rules.scan(&mut Scratch::new(), &text, Groups::NONE.with(1), &mut found);
    let values: Vec<&[u8]> = found
        .iter()
        .map(|finding| &text[finding.secret.clone()])
        .collect();
    assert_eq!(values, [&b"shop_123456"[..], b"shop_654321"]);
}

#[test]
fn labels_count_as_names() {
    let file = "[[rules]]\nid = 'pass'\nregex = '''(?i)password[\"' ]*[:=]\\s*\"([^\"]{6,20})\"'''\nkeywords = ['password']";
    let mut builder = RuleSetBuilder::default();
    builder
        .pack(
            0,
            &RulePack::from_gitleaks_toml(file, &|_| None).unwrap(),
            &[],
        )
        .unwrap();
    let rules = builder.build().unwrap();
    let mut found = Vec::new();
    rules.scan_labelled(
        &mut Scratch::new(),
        "db_password",
        b"hunter22",
        Groups::ALL,
        &mut found,
    );
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].secret, 0..8);
    found.clear();
    rules.scan_labelled(
        &mut Scratch::new(),
        "title",
        b"hunter22",
        Groups::ALL,
        &mut found,
    );
    assert!(found.is_empty());
}

#[test]
fn one_string_of_ten_megabytes_is_scanned() {
    let rules = rules();
    let mut text = b"c29tZSBsb25nIGJhc2U2NCB0ZXh0".repeat(360_000);
    text.extend_from_slice(b" shop_123456");
    assert_eq!(ids(&rules, &text), ["mine"]);
}

/// Returns the shortest of a few runs.
#[expect(clippy::disallowed_methods, reason = "the test is about time")]
fn shortest(rules: &RuleSet, scratch: &mut Scratch, text: &[u8]) -> Duration {
    (0..3)
        .map(|_| {
            let mut found = Vec::new();
            let start = Instant::now();
            rules.scan(scratch, text, Groups::ALL, &mut found);
            start.elapsed()
        })
        .min()
        .unwrap()
}

#[test]
fn twice_the_text_takes_twice_the_time() {
    let rules = rules();
    let mut scratch = Scratch::new();
    for unit in [
        "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo",
        "token",
        "key=\"'`",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n",
        "api_key = \"d41d8cd98f00b204e9800998ecf8427e\" ",
        "https://user:pass@host/ secret:\n",
        "{\"a\":{\"password\":\"",
        "0123456789abcdef",
        "\u{212A}ey=\u{17F}ecret ",
    ] {
        let text = unit.repeat(120_000 / unit.len());
        let (half, whole) = text.as_bytes().split_at(text.len() / 2);
        let whole = [half, whole].concat();
        shortest(&rules, &mut scratch, &whole);
        // Another program may take the processor at any time: only a ratio that comes again and again is one.
        let ratio = |_| {
            let small = shortest(&rules, &mut scratch, half).as_secs_f64();
            shortest(&rules, &mut scratch, &whole).as_secs_f64() / small.max(1e-6)
        };
        let is_linear = (0..8).map(ratio).any(|ratio| ratio <= 2.3);
        assert!(
            is_linear,
            "`{unit}` costs more than 2.3 times as much when doubled"
        );
    }
}

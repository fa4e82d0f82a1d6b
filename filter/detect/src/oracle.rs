//! The windowed search against the plain one: every rule's pattern over the whole text, as Gitleaks does it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::Mutex;

use proptest::prelude::*;
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;

use crate::finding::Groups;
use crate::limits;
use crate::rule_pack::{Part, RulePack};
use crate::rule_set::RuleSet;
use crate::scan::Scratch;
use crate::validate::Validator;
use crate::{RuleSetBuilder, Severity};

/// Where a rule finds a secret: the rule, the secret, the match.
type Place = (usize, [usize; 2], [usize; 2]);

fn ends(range: &Range<usize>) -> [usize; 2] {
    [range.start, range.end]
}

static SET: LazyLock<RuleSet> = LazyLock::new(|| {
    let mut builder = RuleSetBuilder::default();
    builder.secrets(0, &[]).unwrap();
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/gitleaks-8.30.1.toml");
    if let Ok(file) = std::fs::read_to_string(path) {
        let pack = RulePack::from_gitleaks_toml(&file, &|_| None).unwrap();
        builder.pack(1, &pack, &[]).unwrap();
    }
    for (id, pattern) in [
        ("endless", r#"token="[^"]*""#),
        ("either", r"(?i)(?:alpha|beta[0-9]+)-key|key-gamma"),
        ("behind", r"[a-z]+@token"),
        ("preamble", r"(?i)[a-z_]{0,8}?(?:key|token)[:=][a-z]{2,9}"),
        ("edges", r"\bkey\b.{0,6}?\btoken\b"),
    ] {
        builder.regex(2, id, pattern, 0, Severity::Low).unwrap();
    }
    builder.build().unwrap()
});

static WHOLE: LazyLock<Mutex<BTreeMap<usize, Regex>>> = LazyLock::new(Mutex::default);

/// Returns all matches of all rules, each pattern held against the whole text.
fn plainly(text: &[u8]) -> BTreeSet<Place> {
    let folded = String::from_utf8_lossy(text)
        .replace('\u{17F}', "s")
        .replace('\u{212A}', "k")
        .to_lowercase();
    let mut places = BTreeSet::new();
    let mut built = WHOLE.lock().unwrap();
    for (place, rule) in SET.rules.iter().enumerate() {
        let def = rule.def().unwrap();
        if !def.keywords.is_empty() && !def.keywords.iter().any(|word| folded.contains(word)) {
            continue;
        }
        let regex = built
            .entry(place)
            .or_insert_with(|| limits::build(&def.regex, WhichCaptures::All).unwrap());
        for found in regex.find_iter(text).filter(|found| !found.is_empty()) {
            let bytes = &text[found.range()];
            let left = bytes.iter().take_while(|byte| **byte == b'\n').count();
            let right = bytes[left..]
                .iter()
                .rev()
                .take_while(|byte| **byte == b'\n')
                .count();
            let matched = found.start() + left..found.end() - right;
            let secret = match def.part {
                Part::Whole => matched.clone(),
                Part::First | Part::Group(_) => {
                    let mut captures = regex.create_captures();
                    regex.captures(&text[matched.clone()], &mut captures);
                    let group = match def.part {
                        Part::Group(group) => captures.get_group(group),
                        Part::First | Part::Whole | Part::InPlace(_) => (1..captures.group_len())
                            .filter_map(|group| captures.get_group(group))
                            .find(|span| !span.is_empty()),
                    };
                    match group {
                        Some(span) => matched.start + span.start..matched.start + span.end,
                        None => matched.clone(),
                    }
                }
                Part::InPlace(_) => continue,
            };
            let validator = def.validator.as_deref().and_then(Validator::named);
            if validator
                .is_none_or(|check| check.accepts(&text[matched.clone()], &text[secret.clone()]))
            {
                places.insert((place, ends(&secret), ends(&matched)));
            }
        }
    }
    places
}

fn in_windows(text: &[u8]) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    let mut scratch = Scratch::new();
    SET.each_hit(&mut scratch, text, Groups::ALL, &mut |rule, hit| {
        places.insert((rule, ends(&hit.secret), ends(&hit.matched)));
    });
    places
}

/// Pieces of texts: words that rules look for, what stands around secrets, and letters that fold oddly.
fn piece() -> impl Strategy<Value = String> {
    let words: Vec<String> = SET
        .rules
        .iter()
        .flat_map(|rule| rule.def().unwrap().words().to_vec())
        .chain(["alpha-", "beta12-", "key", "token", "key-gamma", "api"].map(str::to_owned))
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packs/secrets");
    let files = std::fs::read_dir(folder).unwrap();
    let samples: Vec<String> = files
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .flat_map(|file| crate::canary::positives(&file))
        .collect();
    prop_oneof![
        4 => proptest::sample::select(words).prop_flat_map(|word| {
            prop_oneof![
                Just(word.clone()),
                Just(word.to_uppercase()),
                Just(word.replace('s', "\u{17F}").replace('k', "\u{212A}")),
            ]
        }),
        3 => proptest::sample::select(samples),
        4 => "[ =:\"'`;>|,\n\\r-]{1,4}",
        4 => "[a-z0-9]{1,60}",
        2 => "[A-Za-z0-9+/_=.-]{1,80}",
        1 => "\\PC{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn windows_lose_nothing_and_add_nothing(pieces in proptest::collection::vec(piece(), 1..40)) {
        let text = pieces.concat();
        prop_assert_eq!(in_windows(text.as_bytes()), plainly(text.as_bytes()));
    }
}

#[test]
fn crowds_of_words_lose_nothing() {
    for unit in [
        "key",
        "token=",
        "api_key=\"",
        "sk-",
        "eyJ.",
        "secret: aaaaaaaaaaaaaaa1 ",
    ] {
        let text = unit.repeat(120);
        assert_eq!(
            in_windows(text.as_bytes()),
            plainly(text.as_bytes()),
            "{unit}"
        );
    }
}

use proptest::prelude::*;

use super::*;

fn matcher(words: &[&str]) -> WordMatcher {
    WordMatcher::from_bytes(WordList::compile(words).unwrap()).unwrap()
}

#[track_caller]
fn check(words: &[&str], text: &str, want: &[&str]) {
    let mut found = Vec::new();
    matcher(words).scan(
        &Tape::whole(text.as_bytes()),
        &mut Stopped::default(),
        |range| found.push(text.get(range).unwrap()),
    );
    assert_eq!(found, want, "{text}");
}

#[test]
fn words_match_whole_and_in_any_case() {
    check(
        &["classified"],
        "Classified, not declassified; CLASSIFIED",
        &["Classified", "CLASSIFIED"],
    );
    check(&["titan"], "project_titan", &[]);
    check(&["project_titan"], "PROJECT_TITAN=1", &["PROJECT_TITAN"]);
}

#[test]
fn phrases_match_over_any_white_space_and_the_longest_wins() {
    let words = ["project", "project blue", "project blue moon", "moon"];
    check(&words, "Project  blue\n\tmoon", &["Project  blue\n\tmoon"]);
    check(&words, "project blue moons", &["project blue"]);
    check(&words, "project blu moon", &["project", "moon"]);
    check(&["c++", "a.b"], "c++ a.b a b c+", &["c++", "a.b"]);
}

#[test]
fn folding_knows_more_than_ascii() {
    check(&["Straße"], "STRASSE straße", &["STRASSE", "straße"]);
    check(&["ΣΊΣΥΦΟΣ"], "σίσυφος", &["σίσυφος"]);
    check(&["проект"], "ПРОЕКТ", &["ПРОЕКТ"]);
    check(&["机密"], "这是机密项目", &["机密"]);
}

#[test]
fn bad_lists_are_refused() {
    assert_eq!(WordList::compile::<&str>(&[]), Err(WordListProblem::Empty));
    assert_eq!(
        WordList::compile(&["a", " "]),
        Err(WordListProblem::Blank { index: 1 })
    );
    let long = "x".repeat(MAX_WORD_BYTES + 1);
    assert!(matches!(
        WordList::compile(&[long]),
        Err(WordListProblem::TooLong { index: 0, .. })
    ));
    let many = vec!["x"; MAX_WORDS + 1];
    assert_eq!(
        WordList::compile(&many),
        Err(WordListProblem::TooManyWords(MAX_WORDS + 1))
    );
}

#[test]
fn spoilt_bytes_are_refused_or_harmless() {
    let bytes = WordList::compile(&["alpha beta", "gamma"]).unwrap();
    for length in 0..HEADER_BYTES {
        assert!(WordMatcher::from_bytes(bytes[..length].to_vec()).is_err());
    }
    for at in (0..bytes.len()).step_by(7) {
        let mut spoilt = bytes.clone();
        spoilt[at] ^= 0xFF;
        if let Ok(matcher) = WordMatcher::from_bytes(spoilt) {
            matcher.scan(
                &Tape::whole(b"alpha beta gamma delta"),
                &mut Stopped::default(),
                |_| {},
            );
        }
    }
}

#[test]
fn a_hundred_thousand_words_fit() {
    let words: Vec<String> = (0..MAX_WORDS)
        .map(|number| format!("name{} family{number} place", number % 977))
        .collect();
    let bytes = WordList::compile(&words).unwrap();
    assert!(bytes.len() <= MAX_LIST_BYTES, "{}", bytes.len());
    let matcher = WordMatcher::from_bytes(bytes).unwrap();
    for number in [0, 1, 54_321, MAX_WORDS - 1] {
        let text = format!("see {} here", words[number]);
        let mut found = 0;
        matcher.scan(
            &Tape::whole(text.as_bytes()),
            &mut Stopped::default(),
            |_| found += 1,
        );
        assert_eq!(found, 1, "{text}");
    }
}

proptest! {
    #[test]
    fn whatever_is_listed_is_found(words in proptest::collection::vec("[a-z]{1,3}( [a-zà-ü]{1,2}){0,2}", 1..20), pick: prop::sample::Index) {
        let bytes = WordList::compile(&words).unwrap();
        let matcher = WordMatcher::from_bytes(bytes).unwrap();
        let text = format!("? {} ?", pick.get(&words).to_uppercase());
        let mut found = Vec::new();
        matcher.scan(&Tape::whole(text.as_bytes()), &mut Stopped::default(), |range| found.push(range));
        prop_assert!(!found.is_empty());
    }

    #[test]
    fn order_of_words_does_not_matter(words in proptest::collection::vec("[a-c ]{0,4}[a-c]", 1..10)) {
        let mut turned = words.clone();
        turned.reverse();
        prop_assert_eq!(WordList::compile(&words), WordList::compile(&turned));
    }
}

use uuid::Uuid;

use super::*;
use crate::guardrail::{Action, GuardrailPreset, GuardrailRules, Stage};
use crate::ids::{GuardrailId, RuleFileId, WordListId};

const SHOP: &str = r#"
    [[rules]]
    id = "shop-token"
    description = "Token of the shop"
    regex = '''shop_([a-z0-9]{16})\b'''
    keywords = ["shop_"]
"#;

fn with(detectors: Vec<Detector>, allow: Vec<AllowRule>) -> Guardrail {
    let mut rules = GuardrailRules::new(vec![Stage {
        detectors,
        action: Action::Block,
    }]);
    rules.allow = allow;
    Guardrail {
        id: GuardrailId::new(Uuid::from_u128(1)),
        name: "g".to_owned(),
        rules,
    }
}

fn documents() -> Documents {
    let mut documents = Documents::default();
    let id = RuleFileId::new(Uuid::from_u128(1));
    let file = RuleFile {
        id,
        name: "shop".to_owned(),
        source: SHOP.to_owned(),
    };
    documents.rule_files.insert(id, file);
    let id = WordListId::new(Uuid::from_u128(2));
    let list = WordList {
        id,
        name: "names".to_owned(),
        words: vec!["Project Nightjar".to_owned(), "bluebird".to_owned()],
    };
    documents.word_lists.insert(id, list);
    documents
}

#[track_caller]
fn finds(detector: Detector, rule: &str) {
    let guardrail = with(vec![detector], Vec::new());
    let canary = Prepared::default()
        .canary(&guardrail, &documents())
        .unwrap();
    assert_eq!(canary.rule, rule, "{}", canary.text);
}

#[track_caller]
fn fails(detector: Detector, allow: Vec<AllowRule>, want: &str) {
    let guardrail = with(vec![detector], allow);
    let problems = Prepared::default()
        .canary(&guardrail, &documents())
        .unwrap_err();
    let got = problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(got.len(), 1, "{got:#?}");
    assert!(got[0].starts_with(want), "{got:#?}");
}

fn regex(pattern: &str, group: u32) -> Detector {
    Detector::Regex {
        id: "ours".to_owned(),
        pattern: pattern.to_owned(),
        group,
    }
}

fn file(disabled: &[&str]) -> Detector {
    Detector::RuleFile {
        name: "shop".to_owned(),
        disabled_rules: disabled.iter().map(|id| (*id).to_owned()).collect(),
    }
}

#[test]
fn every_kind_of_detector_has_a_canary() {
    finds(regex(r"ACME-\d{6}", 0), "ours");
    finds(file(&[]), "shop-token");
    let list = "names".to_owned();
    finds(Detector::Words { list }, "names");
    let entities = vec!["CREDIT_DEBIT_CARD_NUMBER".to_owned()];
    finds(Detector::Pii { entities }, "CREDIT_DEBIT_CARD_NUMBER");
    finds(Detector::HiddenText, "hidden-tags");
    let injection = with(vec![Detector::Injection { acts: false }], Vec::new());
    let canary = Prepared::default().canary(&injection, &documents());
    assert!(canary.unwrap().rule.starts_with("injection-"));
}

#[test]
fn every_preset_has_a_canary() {
    for preset in GuardrailPreset::ALL {
        let guardrail = Guardrail {
            id: GuardrailId::new(Uuid::from_u128(1)),
            name: preset.name().to_owned(),
            rules: preset.rules(),
        };
        let canary = Prepared::default().canary(&guardrail, &documents());
        assert!(canary.is_ok(), "{preset:?}: {canary:?}");
    }
}

#[test]
fn detectors_that_cannot_work_are_told_with_their_places() {
    let at = "`stages[0].detectors[0]";
    fails(regex("(", 0), Vec::new(), &format!("{at}.regex.pattern`: "));
    fails(
        regex("(?=x)", 0),
        Vec::new(),
        &format!("{at}.regex.pattern`: "),
    );
    fails(
        regex("((a{900}){900}){9}", 0),
        Vec::new(),
        &format!("{at}.regex.pattern`: "),
    );
    fails(
        regex("(a)", 2),
        Vec::new(),
        &format!("{at}.regex.group`: is 2"),
    );
    fails(
        file(&["shop-key"]),
        Vec::new(),
        &format!("{at}.rule_file.disabled_rules`: `shop-key`"),
    );
    let entities = vec!["SHOE_SIZE".to_owned()];
    fails(
        Detector::Pii { entities },
        Vec::new(),
        &format!("{at}.pii.entities`: "),
    );
}

#[test]
fn detectors_that_find_nothing_are_told() {
    let at = "`stages[0].detectors[0]`: no text could be made";
    fails(regex(r"a\bb", 0), Vec::new(), at);
    fails(file(&["shop-token"]), Vec::new(), at);
    fails(
        regex("[a-f]{8}", 0),
        vec![AllowRule::Regex("^[a-z]".to_owned())],
        at,
    );
    fails(
        regex("acme", 0),
        vec![AllowRule::Value("acme".to_owned())],
        at,
    );
}

#[test]
fn an_allowed_value_is_no_canary() {
    let allow = vec![AllowRule::Contains("NIGHTJAR".to_owned())];
    let list = "names".to_owned();
    let guardrail = with(vec![Detector::Words { list }], allow);
    let canary = Prepared::default()
        .canary(&guardrail, &documents())
        .unwrap();
    assert_eq!(canary.text, "bluebird");
}

#[test]
fn a_wrong_allow_list_is_told_at_its_place() {
    let allow = vec![
        AllowRule::Value("x".to_owned()),
        AllowRule::Regex("[".to_owned()),
    ];
    fails(regex("acme", 0), allow, "`allow[1].regex`: ");
}

#[test]
fn rule_files_are_read_and_may_extend_each_other() {
    let documents = documents();
    let base = documents.rule_files.values().next().unwrap().clone();
    let names = read_rules(&base, &[]).unwrap();
    assert_eq!(names.rules, ["shop-token"]);
    let mut more = RuleFile {
        id: RuleFileId::new(Uuid::from_u128(9)),
        name: "more".to_owned(),
        source: "[extend]\npath = \"shop.toml\"\n[[rules]]\nid = \"b\"\nregex = '''b+'''\n"
            .to_owned(),
    };
    let names = read_rules(&more, std::slice::from_ref(&base)).unwrap();
    assert_eq!(names.rules.len(), 2);
    more.source = "[[rules]]\nid = \"b\"\nregex = '''(b'''\n[[rules]]\nid = \"b\"\n".to_owned();
    let problems = read_rules(&more, &[base]).unwrap_err();
    assert!(
        problems.iter().all(|problem| problem.path == "source"),
        "{problems:?}"
    );
    assert!(problems.len() >= 2, "{problems:?}");
}

#[test]
fn what_did_not_change_is_not_tried_again() {
    let guardrail = with(vec![regex("acme", 0)], Vec::new());
    let mut prepared = Prepared::default();
    prepared.canary(&guardrail, &documents()).unwrap();
    prepared.settle();
    assert_eq!(prepared.canaries.old.len(), 1);
    prepared.canary(&guardrail, &documents()).unwrap();
    assert!(prepared.canaries.old.is_empty());
    prepared.settle();
    prepared.settle();
    assert!(prepared.canaries.old.is_empty());
}

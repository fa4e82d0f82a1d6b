//! The secrets pack against its own examples and against the reference strings.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use detect::{Groups, RulePack, RuleSet, RuleSetBuilder, Scratch};
use serde_json::Value;
use toml::Table;

/// Strings of any kind that a rule of the pack must find, in hundredths of a percent.
const LEAST_FOUND: usize = 9_800;
/// Strings that are no secrets and may be found all the same, in hundredths of a percent.
const MOST_FALSE: usize = 500;

/// One set for all tests, since its patterns are compiled when they are first needed.
static OWN_RULES: LazyLock<RuleSet> = LazyLock::new(|| {
    let mut builder = RuleSetBuilder::default();
    builder.secrets(0, &[]).unwrap();
    builder.build().unwrap()
});

/// Returns the pack's files in order.
fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packs/secrets");
    let listed = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Returns the rules of the pack's files, each as it is written.
fn written_rules() -> Vec<Table> {
    let mut rules = Vec::new();
    for file in files() {
        let table: Table = fs::read_to_string(&file).unwrap().parse().unwrap();
        let listed = table["rules"].as_array().unwrap();
        rules.extend(listed.iter().map(|rule| rule.as_table().unwrap().clone()));
    }
    rules
}

fn texts(rule: &Table, key: &str) -> Vec<String> {
    let listed = rule.get(key).and_then(toml::Value::as_array);
    let listed = listed.into_iter().flatten();
    listed
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

/// Returns the ids of the rules that find something in `text`.
fn finders(rules: &RuleSet, scratch: &mut Scratch, text: &str) -> BTreeSet<String> {
    let mut found = Vec::new();
    rules.scan(scratch, text.as_bytes(), Groups::ALL, &mut found);
    found
        .iter()
        .map(|finding| rules.rule(finding.rule).unwrap().id.clone())
        .collect()
}

#[test]
fn every_rule_finds_its_positives_and_no_negative() {
    let rules = &*OWN_RULES;
    let mut scratch = Scratch::new();
    let mut wrong = Vec::new();
    for rule in written_rules() {
        let id = rule["id"].as_str().unwrap();
        for text in texts(&rule, "positive") {
            if !finders(rules, &mut scratch, &text).contains(id) {
                wrong.push(format!("{id} misses {text:?}"));
            }
        }
        for text in texts(&rule, "negative") {
            if finders(rules, &mut scratch, &text).contains(id) {
                wrong.push(format!("{id} finds {text:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_says_what_it_is() {
    for rule in written_rules() {
        let id = rule["id"].as_str().unwrap();
        for key in ["description", "vendor", "severity", "regex"] {
            let text = rule.get(key).and_then(toml::Value::as_str);
            assert!(text.is_some_and(|text| !text.is_empty()), "{id}: {key}");
        }
        for key in ["keywords", "positive", "negative"] {
            assert!(!texts(&rule, key).is_empty(), "{id}: {key}");
        }
    }
}

/// Returns the files of the pack as one.
fn written_text() -> String {
    files()
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect()
}

/// Returns the form that is embedded: one rule a line.
fn baked(pack: &RulePack) -> String {
    let body: Value = serde_json::from_slice(&pack.encode().unwrap()).unwrap();
    let rules = body["rules"].as_array().unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1, "more than rules");
    let lines: Vec<String> = rules.iter().map(Value::to_string).collect();
    format!("{{\"rules\":[\n{}\n]}}\n", lines.join(",\n"))
}

#[test]
fn the_embedded_pack_is_what_its_files_say() {
    let pack = RulePack::from_gitleaks_toml(&written_text(), &|_| None).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packs/secrets.json");
    let want = baked(&pack);
    if std::env::var_os("WEIR_BAKE").is_some() {
        fs::write(&path, &want).unwrap();
    }
    let is_current = fs::read_to_string(&path).is_ok_and(|kept| kept == want);
    assert!(
        is_current,
        "packs/secrets.json is out of date: run `WEIR_BAKE=1 cargo test -p weir-detect --test pack embedded`"
    );
}

/// One kind of credential in the reference strings.
struct Vector {
    rule: String,
    positives: Vec<String>,
    negatives: Vec<String>,
}

/// Reads the reference strings, which stand beside the project's root.
fn vectors() -> Option<Vec<Vector>> {
    let file = "../../../shared/vectors/gitleaks-8.30.1.jsonl";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let Ok(text) = fs::read_to_string(&path) else {
        let told = writeln!(
            std::io::stderr(),
            "NOT TESTED: the secrets pack: {file} is missing"
        );
        assert!(told.is_ok());
        return None;
    };
    Some(text.lines().map(read_vector).collect())
}

fn read_vector(line: &str) -> Vector {
    let vector: Value = serde_json::from_str(line).unwrap();
    let strings = |key: &str| match &vector[key] {
        Value::Object(by_path) => by_path.values().map(owned).collect(),
        listed @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)) => listed.as_array().unwrap().iter().map(owned).collect(),
    };
    Vector {
        rule: vector["rule"].as_str().unwrap().to_owned(),
        positives: strings("tp"),
        negatives: strings("fp"),
    }
}

fn owned(text: &Value) -> String {
    text.as_str().unwrap().to_owned()
}

#[test]
fn reference_strings_are_found() {
    let Some(vectors) = vectors() else { return };
    let rules = &*OWN_RULES;
    let mut scratch = Scratch::new();
    let (mut all, mut found, mut missed) = (0, 0, Vec::new());
    for vector in &vectors {
        for text in &vector.positives {
            all += 1;
            if finders(rules, &mut scratch, text).is_empty() {
                missed.push(format!("{}: {text:?}", vector.rule));
            } else {
                found += 1;
            }
        }
    }
    assert!(
        found * 10_000 >= all * LEAST_FOUND,
        "{found} of {all}\n{}",
        missed.join("\n")
    );
}

#[test]
fn reference_strings_that_are_no_secrets_are_spared() {
    let Some(vectors) = vectors() else { return };
    let rules = &*OWN_RULES;
    let mut scratch = Scratch::new();
    let (mut all, mut wrong) = (0, Vec::new());
    for vector in &vectors {
        for text in &vector.negatives {
            all += 1;
            let by = finders(rules, &mut scratch, text);
            if !by.is_empty() {
                wrong.push(format!("{}: {text:?} by {by:?}", vector.rule));
            }
        }
    }
    assert!(
        wrong.len() * 10_000 <= all * MOST_FALSE,
        "{} of {all}\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_kind_of_the_reference_strings_has_a_rule() {
    let Some(vectors) = vectors() else { return };
    let ids: BTreeSet<String> = OWN_RULES.rules().map(|(_, rule)| rule.id.clone()).collect();
    // A PKCS #12 file is known by its name alone, and text has none.
    let without: Vec<&str> = vectors
        .iter()
        .map(|vector| vector.rule.as_str())
        .filter(|rule| !ids.contains(*rule) && *rule != "pkcs12-file")
        .collect();
    assert!(without.is_empty(), "{without:?}");
}

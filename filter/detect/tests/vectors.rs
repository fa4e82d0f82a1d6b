//! Gitleaks' own test strings, held against its own rule file. Both stand beside the project, not in it.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use detect::{Finding, Groups, RulePack, RuleSet, RuleSetBuilder, Scratch};
use serde_json::Value;

/// Returns the text of a file of the vectors, or says loudly that it is not there.
fn vectors(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/vectors")
        .join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            let told = writeln!(
                std::io::stderr(),
                "NOT TESTED: the vectors at {}: {error}",
                path.display()
            );
            assert!(told.is_ok());
            None
        }
    }
}

fn imported() -> Option<RuleSet> {
    let file = vectors("gitleaks-8.30.1.toml")?;
    let pack = RulePack::from_gitleaks_toml(&file, &|_| None).unwrap();
    let mut builder = RuleSetBuilder::default();
    builder.pack(0, &pack, &[]).unwrap();
    Some(builder.build().unwrap())
}

/// A test string, with its path where it has one.
struct Sample {
    path: Option<String>,
    text: String,
}

fn samples(value: &Value) -> Vec<Sample> {
    match value {
        Value::Array(texts) => texts
            .iter()
            .map(|text| Sample {
                path: None,
                text: text.as_str().unwrap().to_owned(),
            })
            .collect(),
        Value::Object(files) => files
            .iter()
            .map(|(path, text)| Sample {
                path: Some(path.clone()),
                text: text.as_str().unwrap().to_owned(),
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn scan(rules: &RuleSet, scratch: &mut Scratch, sample: &Sample) -> Vec<Finding> {
    let mut found = Vec::new();
    let text = sample.text.as_bytes();
    match &sample.path {
        Some(path) => rules.scan_file(scratch, path, text, Groups::ALL, &mut found),
        None => rules.scan(scratch, text, Groups::ALL, &mut found),
    }
    found
}

fn ids(rules: &RuleSet, found: &[Finding]) -> Vec<String> {
    found
        .iter()
        .map(|finding| rules.rule(finding.rule).unwrap().id.clone())
        .collect()
}

#[test]
fn imported_rules_find_their_own_strings_and_no_others() {
    let (Some(rules), Some(lines)) = (imported(), vectors("gitleaks-8.30.1.jsonl")) else {
        return;
    };
    let mut scratch = Scratch::new();
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::<&str, usize>::new();
    for line in lines.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let rule = vector["rule"].as_str().unwrap();
        if rules.rules().all(|(_, info)| info.id != rule) {
            *counts.entry("rule looks at file names alone").or_default() += 1;
            continue;
        }
        for sample in samples(&vector["tp"]) {
            let found = scan(&rules, &mut scratch, &sample);
            let ids = ids(&rules, &found);
            let own = ids.iter().any(|id| id == rule);
            let specific = rule.contains("generic") && !ids.is_empty();
            *counts.entry("must be found").or_default() += 1;
            if !own && !specific {
                wrong.push(format!("{rule} misses {:?}, found {ids:?}", sample.text));
            }
        }
        for sample in samples(&vector["fp"]) {
            let found = scan(&rules, &mut scratch, &sample);
            let ids = ids(&rules, &found);
            *counts.entry("must not be found").or_default() += 1;
            if ids.iter().any(|id| id == rule) {
                wrong.push(format!("{rule} finds {:?}", sample.text));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong of {counts:?}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

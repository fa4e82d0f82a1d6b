//! Streams against whole texts, with real rule files: whatever the cuts, the same findings, and no byte of a secret
//! leaves before it is told.

#![cfg(test)]

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use detect::pii::Entity;
use detect::{Finding, Groups, RulePack, RuleSet, RuleSetBuilder, Scratch, StreamScan};
use serde_json::Value;

fn vectors(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/vectors")
        .join(name);
    let text = fs::read_to_string(&path);
    if let Err(error) = &text {
        let told = writeln!(
            std::io::stderr(),
            "NOT TESTED: streams: {}: {error}",
            path.display()
        );
        told.unwrap();
    }
    text.ok()
}

/// Our own pack, personal data, and the imported rules where they are at hand.
fn everything() -> RuleSet {
    let mut builder = RuleSetBuilder::default();
    builder.secrets(0, &[]).unwrap();
    builder.pii(1, &[]).unwrap();
    builder.hidden_text(2).unwrap();
    if let Some(file) = vectors("gitleaks-8.30.1.toml") {
        let pack = RulePack::from_gitleaks_toml(&file, &|_| None).unwrap();
        builder.pack(3, &pack, &[]).unwrap();
    }
    builder.plain_only();
    builder.build().unwrap()
}

/// Strings that hold secrets of every kind.
fn samples() -> Vec<String> {
    let mut samples: Vec<String> = Entity::ALL
        .iter()
        .map(|entity| entity.example().to_owned())
        .collect();
    for line in vectors("gitleaks-8.30.1.jsonl").unwrap_or_default().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        match &line["tp"] {
            Value::Array(texts) => {
                samples.extend(texts.iter().filter_map(Value::as_str).map(str::to_owned))
            }
            Value::Object(files) => {
                samples.extend(files.values().filter_map(Value::as_str).map(str::to_owned))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    samples
}

fn whole(rules: &RuleSet, scratch: &mut Scratch, text: &[u8]) -> Vec<Finding> {
    let mut found = Vec::new();
    rules.scan(scratch, text, Groups::ALL, &mut found);
    found
}

#[track_caller]
fn check(rules: &RuleSet, scratch: &mut Scratch, text: &str, ends: &[usize], want: &[Finding]) {
    let text = text.as_bytes();
    let mut stream = StreamScan::new(Groups::ALL);
    let (mut out, mut from, mut before) = (Vec::new(), 0, 0);
    let mut told = 0;
    for end in ends.iter().copied().chain([text.len()]) {
        let resolved = stream.push(rules, scratch, &text[from..end], &mut out);
        let resolved = usize::try_from(resolved).unwrap();
        assert!(resolved >= before && resolved <= end);
        for finding in &out[told..] {
            assert!(
                finding.secret.start >= before && finding.secret.end <= resolved,
                "{finding:?}"
            );
        }
        (from, before, told) = (end, resolved, out.len());
    }
    stream.finish(rules, scratch, &mut out);
    if out != want {
        let id = |finding: &Finding| {
            let rule = rules.rule(finding.rule).unwrap();
            format!("{} {}: {:?}", rule.group, rule.id, finding.secret)
        };
        let missing: Vec<String> = want
            .iter()
            .filter(|finding| !out.contains(finding))
            .map(id)
            .collect();
        let extra: Vec<String> = out
            .iter()
            .filter(|finding| !want.contains(finding))
            .map(id)
            .collect();
        panic!(
            "cut at {ends:?}, missing {missing:?}, extra {extra:?}, in {:?}",
            String::from_utf8_lossy(text)
        );
    }
}

#[test]
fn secrets_of_every_kind_are_found_at_any_cut() {
    let rules = everything();
    let mut scratch = Scratch::new();
    for (place, sample) in samples()
        .iter()
        .enumerate()
        .filter(|(place, _)| place % 3 != 1)
    {
        let text = format!("Here it is, as you asked:\n{sample}\nand nothing else.");
        let want = whole(&rules, &mut scratch, text.as_bytes());
        if place % 10 == 0 {
            let every: Vec<usize> = (0..text.len()).collect();
            check(&rules, &mut scratch, &text, &every, &want);
        }
        let step = if place % 401 == 0 && text.len() < 400 {
            1
        } else {
            text.len() / 2 + 1
        };
        for cut in (place % step..text.len()).step_by(step) {
            check(&rules, &mut scratch, &text, &[cut], &want);
        }
    }
}

#[test]
fn secrets_beside_each_other_are_found_at_any_cut() {
    let rules = everything();
    let mut scratch = Scratch::new();
    let samples = samples();
    for (place, group) in samples.chunks(12).enumerate() {
        let text = group.join(if place % 2 == 0 { "\n" } else { " " });
        let want = whole(&rules, &mut scratch, text.as_bytes());
        let ends: Vec<usize> = (0..text.len()).step_by(11).collect();
        check(&rules, &mut scratch, &text, &ends, &want);
    }
}

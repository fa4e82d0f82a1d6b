//! The same findings as the Gitleaks binary on mixed text, where that is installed (`WEIR_TEST_GITLEAKS`).

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use detect::{Groups, RulePack, RuleSet, RuleSetBuilder, Scratch};
use serde_json::Value;

/// Shorter than what Gitleaks reads of a file at once.
const FILE_BYTES: usize = 60_000;
const FILES: usize = 8;

fn not_tested(why: &str) {
    writeln!(
        std::io::stderr(),
        "NOT TESTED: findings equal Gitleaks': {why}"
    )
    .unwrap();
}

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors")
}

/// Numbers that are the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// Strings that are secrets and strings that are not.
fn strings(file: &str) -> Vec<String> {
    let mut strings = Vec::new();
    for line in file.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        for key in ["tp", "fp"] {
            for text in vector[key].as_array().into_iter().flatten() {
                strings.push(text.as_str().unwrap().to_owned());
            }
        }
    }
    strings
}

/// Ordinary lines: the sources of this crate.
fn lines() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| {
            fs::read_to_string(file)
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// One text of strings and lines; some stand on one line, some share one.
fn text(draw: &mut Draw, strings: &[String], lines: &[String]) -> String {
    let mut text = String::new();
    while text.len() < FILE_BYTES {
        for _ in 0..draw.below(4) {
            text.push_str(&lines[draw.below(lines.len())]);
            text.push('\n');
        }
        let string = &strings[draw.below(strings.len())];
        if string.len() < FILE_BYTES / 4 {
            text.push_str(string);
        }
        text.push_str(["\n", "\n\n", " ", "", "\r\n", "; "][draw.below(6)]);
    }
    text.truncate(
        (0..=FILE_BYTES)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap(),
    );
    text
}

/// File, rule, match and secret, once for each finding.
type Told = (String, String, String, String);

fn theirs(binary: &str, folder: &Path) -> Vec<Told> {
    let output = Command::new(binary)
        .args([
            "dir",
            "--no-banner",
            "--ignore-gitleaks-allow",
            "--max-decode-depth",
            "0",
        ])
        .args([
            "--exit-code",
            "0",
            "--log-level",
            "error",
            "-f",
            "json",
            "-r",
            "-",
            "-c",
        ])
        .arg(vectors().join("gitleaks-8.30.1.toml"))
        .arg(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let mut told: Vec<Told> = findings
        .iter()
        .map(|finding| {
            let field = |name: &str| finding[name].as_str().unwrap().to_owned();
            let file = Path::new(&field("File"))
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned();
            (file, field("RuleID"), field("Match"), field("Secret"))
        })
        .collect();
    told.sort();
    told
}

fn ours(rules: &RuleSet, file: &str, text: &str, told: &mut Vec<Told>) {
    let mut found = Vec::new();
    rules.scan_file(
        &mut Scratch::new(),
        file,
        text.as_bytes(),
        Groups::ALL,
        &mut found,
    );
    for finding in found {
        let id = rules.rule(finding.rule).unwrap().id.clone();
        let part = |range: core::ops::Range<usize>| text.get(range).unwrap().to_owned();
        told.push((
            file.to_owned(),
            id,
            part(finding.matched),
            part(finding.secret),
        ));
    }
}

#[test]
fn mixed_text_has_the_findings_of_gitleaks() {
    let Ok(binary) = std::env::var("WEIR_TEST_GITLEAKS") else {
        return not_tested("WEIR_TEST_GITLEAKS names no binary");
    };
    let (Ok(toml), Ok(jsonl)) = (
        fs::read_to_string(vectors().join("gitleaks-8.30.1.toml")),
        fs::read_to_string(vectors().join("gitleaks-8.30.1.jsonl")),
    ) else {
        return not_tested("there are no vectors beside the project");
    };
    let mut builder = RuleSetBuilder::default();
    let pack = RulePack::from_gitleaks_toml(&toml, &|_| None).unwrap();
    builder.pack(0, &pack, &[]).unwrap();
    builder.plain_only();
    let rules = builder.build().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let (strings, lines, mut draw) = (strings(&jsonl), lines(), Draw(7));
    let mut told = Vec::new();
    for number in 0..FILES {
        let name = format!("mixed-{number}.txt");
        let text = text(&mut draw, &strings, &lines);
        fs::write(folder.path().join(&name), &text).unwrap();
        ours(&rules, &name, &text, &mut told);
    }
    told.sort();
    let want = theirs(&binary, folder.path());
    assert!(
        want.len() > 400,
        "{} findings are too few to compare",
        want.len()
    );
    let differ = |these: &[Told], those: &[Told]| {
        let those: BTreeSet<&Told> = those.iter().collect();
        these
            .iter()
            .filter(|told| !those.contains(told))
            .take(10)
            .cloned()
            .collect::<Vec<_>>()
    };
    let (missing, extra) = (differ(&want, &told), differ(&told, &want));
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing: {missing:#?}\nextra: {extra:#?}"
    );
    assert_eq!(told, want);
}

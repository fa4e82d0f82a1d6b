//! What the secrets pack finds in folders of other people's source code: `noise FOLDER…`.
//!
//! Real code holds few secrets, so most of what is found there is false. Prints each finding with its place, then
//! findings by rule and per 10 MB. Files over 8 MiB and files with a zero byte at the start are passed over.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a program for the terminal"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use detect::{Groups, RuleSet, RuleSetBuilder, Scratch};

const MAX_FILE_BYTES: usize = 8 << 20;
const PREVIEW_CHARS: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = RuleSetBuilder::default();
    builder.secrets(0, &[])?;
    let mut noise = Noise::new(builder.build()?);
    let mut folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    while let Some(path) = folders.pop() {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            let listed = fs::read_dir(&path)?;
            folders.extend(listed.flatten().map(|entry| entry.path()));
        } else {
            noise.add(&path)?;
        }
    }
    noise.report();
    Ok(())
}

struct Noise {
    rules: RuleSet,
    scratch: Scratch,
    bytes: usize,
    by_rule: BTreeMap<String, usize>,
}

impl Noise {
    fn new(rules: RuleSet) -> Self {
        Self {
            rules,
            scratch: Scratch::new(),
            bytes: 0,
            by_rule: BTreeMap::new(),
        }
    }

    fn add(&mut self, path: &Path) -> Result<(), Box<dyn Error>> {
        let text = fs::read(path)?;
        let is_binary = text.iter().take(8_000).any(|&byte| byte == 0);
        if is_binary || text.len() > MAX_FILE_BYTES {
            return Ok(());
        }
        self.bytes += text.len();
        let mut found = Vec::new();
        self.rules
            .scan(&mut self.scratch, &text, Groups::ALL, &mut found);
        for finding in found {
            let Some(rule) = self.rules.rule(finding.rule) else {
                continue;
            };
            let before = text.get(..finding.secret.start).unwrap_or_default();
            let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
            let matched = text.get(finding.matched).unwrap_or_default();
            let preview: String = String::from_utf8_lossy(matched)
                .chars()
                .take(PREVIEW_CHARS)
                .collect();
            println!("{}\t{}:{line}\t{preview:?}", rule.id, path.display());
            *self.by_rule.entry(rule.id.clone()).or_default() += 1;
        }
        Ok(())
    }

    fn report(&self) {
        let sum: usize = self.by_rule.values().sum();
        let tenths = (sum * 100_000_000)
            .checked_div(self.bytes)
            .unwrap_or_default();
        eprintln!(
            "{} MB, {sum} findings, {}.{} per 10 MB",
            self.bytes / 1_000_000,
            tenths / 10,
            tenths % 10
        );
        for (rule, count) in &self.by_rule {
            eprintln!("{count:6} {rule}");
        }
    }
}

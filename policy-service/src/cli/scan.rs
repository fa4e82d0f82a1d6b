//! `weir scan`: what the guardrails' detectors find in files and standard input.
//!
//! The engine is the filter's own. Nothing is sent anywhere and no value is printed.

mod fingerprint;
mod place;
mod preview;
mod print;
mod rules;
mod walk;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use detect::{Finding, Groups, RuleSet, Scratch};
use policy::secret::Secret;

use fingerprint::Fingerprints;
use print::Printed;

use super::terminal;

/// Exit code of a scan that could not look at everything it was asked to.
const INCOMPLETE: u8 = 2;

/// Environment variable with the key of the fingerprints.
const KEY: &str = "WEIR_SCAN_KEY";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 nothing found, 1 something found, 2 something could not be scanned.
The environment variable WEIR_SCAN_KEY, where it is set, keys the fingerprints.")]
pub(super) struct Args {
    /// Files and folders; `-` is standard input. Folders are walked without hidden files, binary files and what
    /// `.gitignore`, `.ignore` and `.weirignore` name; a file that is named here is always scanned
    #[arg(default_value = ".", hide_default_value = true)]
    paths: Vec<PathBuf>,
    /// Use the rules of this file (`gitleaks.toml`) in place of the built-in detectors
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Use these detectors alone, separated by commas
    #[arg(long, value_name = "DETECTORS", value_delimiter = ',')]
    only: Vec<Detector>,
    /// How to print findings: a line of text for a person, or a line of JSON for a program
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Walk into hidden files and folders too
    #[arg(long)]
    hidden: bool,
    /// Walk into what ignore files name too
    #[arg(long)]
    no_ignore: bool,
}

/// What can be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Detector {
    /// Keys, tokens, passwords: the built-in rules
    #[value(alias = "secret")]
    Secrets,
    /// Personal data: card numbers, addresses, identifiers
    Pii,
    /// Characters that a person does not see
    #[value(name = "hidden_text", alias = "hidden-text")]
    HiddenText,
    /// Phrases that try to steer a model
    Injection,
    /// The rules of `--rules`
    Custom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error("cannot read the rule file `{path}`")]
    ReadRules { path: PathBuf, source: io::Error },
    /// Every problem is a line of its own.
    #[error("{problems}")]
    Rules { problems: String },
    #[error("`--only custom` needs the rules of `--rules FILE`")]
    NoCustomRules,
    #[error("cannot write to standard output")]
    Print { source: io::Error },
}

/// Scans, prints what was found, and says by the exit code whether that is anything.
pub(super) fn run(args: &Args) -> ExitCode {
    let key = std::env::var(KEY).ok().map(Secret::new);
    match scan(args, key.as_ref()) {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::FAILURE,
        Ok(Outcome::Incomplete) => ExitCode::from(INCOMPLETE),
        Err(error) => {
            terminal::say(&format!("error: {}", super::report(&error)));
            ExitCode::from(INCOMPLETE)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Clean,
    Found,
    Incomplete,
}

fn scan(args: &Args, key: Option<&Secret>) -> Result<Outcome, ScanError> {
    let rules = rules::load(args.rules.as_deref(), &args.only)?;
    let fingerprints = Fingerprints::new(key);
    let seen = walk::scan(args, &|| Scanner::new(&rules, &fingerprints));
    for problem in &seen.problems {
        terminal::say(&format!("error: {problem}"));
    }
    let text = print::all(&seen.found, args.format);
    if !text.is_empty() {
        terminal::answer(&text).map_err(|source| ScanError::Print { source })?;
    }
    if args.format == Format::Text {
        terminal::say(&seen.summary());
    }
    Ok(if !seen.problems.is_empty() {
        Outcome::Incomplete
    } else if seen.found.is_empty() {
        Outcome::Clean
    } else {
        Outcome::Found
    })
}

/// Scans one text after another.
struct Scanner<'r> {
    rules: &'r RuleSet,
    fingerprints: &'r Fingerprints,
    scratch: Scratch,
    found: Vec<Finding>,
}

impl<'r> Scanner<'r> {
    fn new(rules: &'r RuleSet, fingerprints: &'r Fingerprints) -> Self {
        Self {
            rules,
            fingerprints,
            scratch: Scratch::new(),
            found: Vec::new(),
        }
    }

    /// Returns what is found in `text`, the content of `file`.
    fn scan(&mut self, file: &str, text: &[u8]) -> Vec<Printed> {
        self.found.clear();
        if file == walk::STDIN {
            self.rules
                .scan(&mut self.scratch, text, Groups::ALL, &mut self.found);
        } else {
            self.rules
                .scan_file(&mut self.scratch, file, text, Groups::ALL, &mut self.found);
        }
        let found = std::mem::take(&mut self.found);
        let mut places = place::Places::of(text);
        let masked = preview::Masked::new(text, self.rules, &found);
        let printed = found
            .iter()
            .filter_map(|finding| {
                let rule = self.rules.rule(finding.rule)?;
                let (line, column) = places.of_byte(finding.secret.start);
                let value = match &finding.decoded {
                    Some(decoded) => decoded.as_bytes(),
                    None => text.get(finding.secret.clone())?,
                };
                let entropy_milli = match finding.entropy_milli {
                    0 => fingerprint::entropy_milli(value),
                    milli => milli,
                };
                Some(Printed {
                    rule: rule.id.clone(),
                    severity: rule.severity,
                    file: file.to_owned(),
                    line,
                    column,
                    start: finding.secret.start,
                    end: finding.secret.end,
                    entropy_milli,
                    fingerprint: self.fingerprints.of(&fingerprint::Subject {
                        rule,
                        value,
                        file,
                        place: (line, column),
                    }),
                    preview: masked.preview(finding, rule.kind),
                })
            })
            .collect();
        self.found = found;
        printed
    }
}

#[cfg(test)]
mod tests;

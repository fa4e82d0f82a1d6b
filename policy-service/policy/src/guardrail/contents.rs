//! What rule files, word lists and detectors come to, tried out before anything depends on it.

use std::collections::BTreeMap;

use detect::pii::Entity;
use detect::{
    Finding, Pattern, RulePack, RuleProblem, RuleSetBuilder, Severity as Weight, WordList as Words,
    WordMatcher, positives,
};
use sha2::{Digest as _, Sha256};

use super::{AllowRule, Detector, GuardCanary, Guardrail, RuleFile, WordList};
use crate::check::Problem;
use crate::documents::Documents;

/// Words of a list that are tried as a canary.
const WORDS_TRIED: usize = 64;

/// Texts with something hidden in them: a message in tags, a turned direction, a run without width.
const HIDDEN: [&str; 3] = [
    "fine\u{e0068}\u{e0069}\u{e0064}\u{e0064}\u{e0065}\u{e006e}",
    "fine \u{202e}neddih\u{202c}",
    "fi\u{200b}\u{200c}\u{200b}\u{2060}\u{200c}\u{200b}\u{200c}\u{200b}ne",
];

/// What one rule file may come to in a form that filters take; as much as a word list.
const MAX_PART_BYTES: usize = 12 << 20;

type Key = [u8; 32];

/// What contents come to, kept so that an unchanged one is not read and tried again.
///
/// Results of documents that are gone are forgotten with the next [`settle`](Self::settle).
#[derive(Debug, Default)]
pub struct Prepared {
    files: Kept<Result<PreparedFile, Vec<Problem>>>,
    lists: Kept<Result<Vec<u8>, Problem>>,
    canaries: Kept<Result<GuardCanary, Vec<Problem>>>,
}

#[derive(Clone, Debug)]
struct PreparedFile {
    pack: RulePack,
    bytes: Vec<u8>,
    positives: Vec<String>,
}

/// Results by what they follow from.
#[derive(Debug)]
struct Kept<T> {
    used: BTreeMap<Key, T>,
    /// Of earlier rounds.
    old: BTreeMap<Key, T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            used: BTreeMap::new(),
            old: BTreeMap::new(),
        }
    }
}

impl<T: Clone> Kept<T> {
    fn get(&mut self, key: Key, make: impl FnOnce() -> T) -> T {
        if let Some(known) = self.used.get(&key) {
            return known.clone();
        }
        let value = self.old.remove(&key).unwrap_or_else(make);
        self.used.insert(key, value.clone());
        value
    }

    fn settle(&mut self) {
        self.old = core::mem::take(&mut self.used);
    }
}

/// Rules of a file by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleNames {
    pub rules: Vec<String>,
    /// Rules that say nothing about texts, and why.
    pub not_applicable: Vec<(String, String)>,
}

/// Reads a rule file; `others` are those that it may extend by name.
///
/// # Errors
/// Everything that is wrong with it, at `source`.
pub fn read_rules(file: &RuleFile, others: &[RuleFile]) -> Result<RuleNames, Vec<Problem>> {
    let pack = pack(file, others.iter())?;
    let not_applicable = pack.not_applicable();
    Ok(RuleNames {
        rules: pack.rule_ids().map(str::to_owned).collect(),
        not_applicable: not_applicable
            .map(|(rule, because)| (rule.to_owned(), because.to_owned()))
            .collect(),
    })
}

fn pack<'f>(
    file: &RuleFile,
    others: impl Iterator<Item = &'f RuleFile> + Clone,
) -> Result<RulePack, Vec<Problem>> {
    let extend = |path: &str| {
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let name = name.strip_suffix(".toml").unwrap_or(name);
        let mut others = others.clone();
        let found = others.find(|other| other.name == name && other.id != file.id);
        found.map(|other| other.source.clone())
    };
    RulePack::from_gitleaks_toml(&file.source, &extend).map_err(|problems| {
        let problems = problems.iter();
        problems
            .map(|problem| Problem::new("source", problem.to_string()))
            .collect()
    })
}

impl Prepared {
    /// Forgets what was not asked for since the last time.
    pub fn settle(&mut self) {
        self.files.settle();
        self.lists.settle();
        self.canaries.settle();
    }

    /// Returns everything that is wrong with a rule file, at its fields.
    pub(crate) fn file_problems(&mut self, file: &RuleFile, documents: &Documents) -> Vec<Problem> {
        self.file(file, documents).err().unwrap_or_default()
    }

    /// Returns everything that is wrong with a word list, at its fields.
    pub(crate) fn list_problems(&mut self, list: &WordList) -> Vec<Problem> {
        self.list(list).err().into_iter().collect()
    }

    /// Returns a rule file as filters take it.
    pub(crate) fn file_bytes(&mut self, file: &RuleFile, documents: &Documents) -> Option<Vec<u8>> {
        Some(self.file(file, documents).ok()?.bytes)
    }

    /// Returns a word list as filters take it.
    pub(crate) fn list_bytes(&mut self, list: &WordList) -> Option<Vec<u8>> {
        self.list(list).ok()
    }

    /// Returns a text that the guardrail finds, having tried every one of its detectors.
    ///
    /// # Errors
    /// Each detector that cannot work or that nothing is found by, with its place in the guardrail. Detectors whose
    /// rule file or word list is missing or wrong are passed over: that is told elsewhere.
    pub(crate) fn canary(
        &mut self,
        guardrail: &Guardrail,
        documents: &Documents,
    ) -> Result<GuardCanary, Vec<Problem>> {
        let mut key = Sha256::new();
        let stages = &guardrail.rules.stages;
        key.update(crate::compiled::encode_json(&(
            stages,
            &guardrail.rules.allow,
        )));
        let mut parts = Parts::default();
        for detector in stages.iter().flat_map(|stage| &stage.detectors) {
            match detector {
                Detector::RuleFile { name, .. } => {
                    let mut files = documents.rule_files.values();
                    let file = files.find(|file| file.name == *name);
                    let file = file.and_then(|file| self.file(file, documents).ok());
                    if let Some(file) = file {
                        key.update(Sha256::digest(&file.bytes));
                        parts.files.insert(name.clone(), file);
                    }
                }
                Detector::Words { list } => {
                    let mut lists = documents.word_lists.values();
                    let known = lists.find(|known| known.name == *list);
                    let known = known.and_then(|known| Some((known, self.list(known).ok()?)));
                    if let Some((known, bytes)) = known {
                        key.update(Sha256::digest(&bytes));
                        let words = known.words.iter().take(WORDS_TRIED).cloned().collect();
                        parts.lists.insert(list.clone(), (bytes, words));
                    }
                }
                Detector::Secrets { .. }
                | Detector::Pii { .. }
                | Detector::Regex { .. }
                | Detector::HiddenText
                | Detector::Injection { .. }
                | Detector::External { .. } => {}
            }
        }
        let key = key.finalize().into();
        self.canaries.get(key, || tried(guardrail, &parts))
    }

    fn file(
        &mut self,
        file: &RuleFile,
        documents: &Documents,
    ) -> Result<PreparedFile, Vec<Problem>> {
        let others = documents.rule_files.values();
        let mut key = Sha256::new();
        key.update(&file.source);
        if file.source.contains("extend") {
            for other in others.clone() {
                key.update(Sha256::digest(&other.name));
                key.update(Sha256::digest(&other.source));
            }
        }
        self.files.get(key.finalize().into(), || {
            let pack = pack(file, others)?;
            if pack.rule_ids().next().is_none() {
                let message = "holds no rule that looks at texts";
                return Err(vec![Problem::new("source", message)]);
            }
            let bytes = pack
                .encode()
                .map_err(|problem| vec![Problem::new("source", problem.to_string())])?;
            if bytes.len() > MAX_PART_BYTES {
                let message = format!(
                    "comes to {} bytes for the filters, of {MAX_PART_BYTES} that one file may have; split it",
                    bytes.len()
                );
                return Err(vec![Problem::new("source", message)]);
            }
            let positives = positives(&file.source);
            Ok(PreparedFile {
                pack,
                bytes,
                positives,
            })
        })
    }

    fn list(&mut self, list: &WordList) -> Result<Vec<u8>, Problem> {
        let mut key = Sha256::new();
        for word in &list.words {
            key.update(u64::try_from(word.len()).unwrap_or(u64::MAX).to_be_bytes());
            key.update(word);
        }
        self.lists.get(key.finalize().into(), || {
            Words::compile(&list.words)
                .map_err(|problem| Problem::new("words", problem.to_string()))
        })
    }
}

/// What detectors of one guardrail name.
#[derive(Default)]
struct Parts {
    files: BTreeMap<String, PreparedFile>,
    /// As filters take them, and some of their words.
    lists: BTreeMap<String, (Vec<u8>, Vec<String>)>,
}

/// Values that are no findings.
struct Allowed(Vec<AllowedValue>);

enum AllowedValue {
    Value(Vec<u8>),
    Contains(Vec<u8>),
    Regex(Pattern),
}

impl Allowed {
    fn new(rules: &[AllowRule], problems: &mut Vec<Problem>) -> Self {
        let mut allowed = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            match rule {
                AllowRule::Value(value) => {
                    allowed.push(AllowedValue::Value(value.as_bytes().to_vec()))
                }
                AllowRule::Contains(part) => {
                    allowed.push(AllowedValue::Contains(
                        part.to_ascii_lowercase().into_bytes(),
                    ));
                }
                AllowRule::Regex(pattern) => match Pattern::new(pattern) {
                    Ok(pattern) => allowed.push(AllowedValue::Regex(pattern)),
                    Err(problem) => {
                        let path = format!("allow[{number}].regex");
                        problems.push(Problem::new(path, problem.problem));
                    }
                },
            }
        }
        Self(allowed)
    }

    fn covers(&self, value: &[u8]) -> bool {
        self.0.iter().any(|rule| match rule {
            AllowedValue::Value(allowed) => allowed == value,
            AllowedValue::Contains(part) => {
                let value = value.to_ascii_lowercase();
                part.is_empty() || value.windows(part.len()).any(|window| window == part)
            }
            AllowedValue::Regex(pattern) => pattern.is_match(value),
        })
    }
}

/// Tries every detector, then all of them together.
fn tried(guardrail: &Guardrail, parts: &Parts) -> Result<GuardCanary, Vec<Problem>> {
    let mut problems = Vec::new();
    let allowed = Allowed::new(&guardrail.rules.allow, &mut problems);
    let is_wanted = |finding: &Finding, text: &[u8]| {
        let value = text.get(finding.secret.clone()).unwrap_or_default();
        !allowed.covers(value)
    };
    let mut texts = Vec::new();
    let mut all = RuleSetBuilder::default();
    let mut group = 0_u8;
    for (stage_number, stage) in guardrail.rules.stages.iter().enumerate() {
        for (number, detector) in stage.detectors.iter().enumerate() {
            let at = format!("stages[{stage_number}].detectors[{number}]");
            let mut alone = RuleSetBuilder::default();
            if !add(&mut alone, 0, detector, parts, &at, &mut problems) {
                continue;
            }
            // What could be added once can be added again; a group too many is told with the number of detectors.
            add(
                &mut all,
                group.min(detect::MAX_GROUPS - 1),
                detector,
                parts,
                &at,
                &mut Vec::new(),
            );
            group = group.saturating_add(1);
            match alone.build() {
                Err(problem) => problems.push(Problem::new(at, problem.to_string())),
                Ok(rules) => match rules.canary(&given(detector, parts), &is_wanted) {
                    Some(canary) => texts.push(canary.text),
                    None => problems.push(Problem::new(at, never_finds(detector))),
                },
            }
        }
    }
    if !problems.is_empty() || texts.is_empty() {
        return Err(problems);
    }
    let whole = all
        .build()
        .map_err(|problem| vec![Problem::new("stages", problem.to_string())])?;
    let canary = whole.canary(&texts, &is_wanted);
    let canary = canary.and_then(|canary| {
        let rule = whole.rule(canary.rule)?.id.clone();
        Some(GuardCanary {
            text: canary.text,
            rule,
        })
    });
    canary.ok_or_else(|| {
        let message = "the detectors find nothing when they run together; put them into guardrails of their own";
        vec![Problem::new("stages", message)]
    })
}

/// Adds a detector to a set; returns whether it is in.
fn add(
    builder: &mut RuleSetBuilder,
    group: u8,
    detector: &Detector,
    parts: &Parts,
    at: &str,
    problems: &mut Vec<Problem>,
) -> bool {
    let (place, added) = match detector {
        Detector::Secrets { disabled_rules } => {
            (".secrets", builder.secrets(group, disabled_rules))
        }
        Detector::RuleFile {
            name,
            disabled_rules,
        } => {
            let Some(file) = parts.files.get(name) else {
                return false;
            };
            (
                ".rule_file",
                builder.pack(group, &file.pack, disabled_rules),
            )
        }
        Detector::Pii { entities } => (".pii", builder.pii(group, entities)),
        Detector::Words { list } => {
            let Some((bytes, _)) = parts.lists.get(list) else {
                return false;
            };
            match WordMatcher::from_bytes(bytes.clone()) {
                Ok(words) => (".words", builder.words(group, list, words)),
                Err(problem) => {
                    problems.push(Problem::new(format!("{at}.words"), problem.to_string()));
                    return false;
                }
            }
        }
        Detector::Regex {
            id,
            pattern,
            group: part,
        } => (
            ".regex",
            builder.regex(group, id, pattern, *part, Weight::High),
        ),
        Detector::HiddenText => ("", builder.hidden_text(group)),
        Detector::Injection { .. } => ("", builder.injection(group)),
        Detector::External { .. } => return false,
    };
    match added {
        Ok(()) => true,
        Err(problem) => {
            problems.push(placed(at, place, &problem));
            false
        }
    }
}

/// Tells a problem where the guardrail writes what is wrong.
fn placed(at: &str, place: &str, problem: &RuleProblem) -> Problem {
    let field = match problem.field.as_str() {
        field @ ("disabled_rules" | "pattern" | "group" | "entities") if !place.is_empty() => field,
        _ => return Problem::new(format!("{at}{place}"), problem.to_string()),
    };
    let message = match (&problem.rule, field) {
        (Some(rule), "disabled_rules" | "entities") => format!("`{rule}` {}", problem.problem),
        (Some(_) | None, _) => problem.problem.clone(),
    };
    Problem::new(format!("{at}{place}.{field}"), message)
}

/// Texts that the detector may be found by, beside those made from its patterns.
fn given(detector: &Detector, parts: &Parts) -> Vec<String> {
    match detector {
        Detector::RuleFile { name, .. } => parts
            .files
            .get(name)
            .map(|file| file.positives.clone())
            .unwrap_or_default(),
        Detector::Pii { .. } => Entity::ALL
            .iter()
            .map(|entity| entity.example().to_owned())
            .collect(),
        Detector::Words { list } => parts
            .lists
            .get(list)
            .map(|(_, words)| words.clone())
            .unwrap_or_default(),
        Detector::HiddenText => HIDDEN.map(str::to_owned).into(),
        Detector::Secrets { .. }
        | Detector::Regex { .. }
        | Detector::Injection { .. }
        | Detector::External { .. } => Vec::new(),
    }
}

fn never_finds(detector: &Detector) -> String {
    match detector {
        Detector::RuleFile { name, disabled_rules } => format!(
            "no text could be made that a rule of `{name}` finds and no allow list passes{}; give a rule of the file \
             a `positive = [\"…\"]` that it finds",
            if disabled_rules.is_empty() { "" } else { ", without the rules that are disabled" },
        ),
        Detector::Regex { id, .. } => format!(
            "no text could be made that `{id}` finds and no allow list passes; an expression that nothing matches \
             would stay without effect"
        ),
        Detector::Secrets { .. }
        | Detector::Pii { .. }
        | Detector::Words { .. }
        | Detector::HiddenText
        | Detector::Injection { .. }
        | Detector::External { .. } => {
            "no text could be made that it finds and no allow list passes, so it would stay without effect".to_owned()
        }
    }
}

#[cfg(test)]
mod tests;

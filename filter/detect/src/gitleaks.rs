//! Rule files of Gitleaks (`gitleaks.toml`, schema of 8.25 and later), with the meaning that version 8.30.1 gives
//! them.
//!
//! Keys are read in any case, as Gitleaks does. A key that neither Gitleaks nor this crate knows is a problem: a
//! misspelt `allowlist` would else silently allow nothing.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a value of any other type is the same mistake"
)]

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::finding::Severity;
use crate::go_regex;
use crate::limits;
use crate::problem::RuleProblem;
use crate::rule_pack::{Allowlist, Condition, PackBody, Part, Required, RuleDef, RulePack, Target};
use crate::stream::Waits;
use crate::validate::Validator;

/// The name that `[extend] useDefault = true` asks for.
///
/// Gitleaks has its default rules inside; here they are a file like any other, which the caller gives or not.
pub const DEFAULT_RULES: &str = "gitleaks-default";

/// How deep rule files may extend each other: a file, what it extends, and what that extends.
const MAX_DEPTH: usize = 2;

/// Finds a file that another one extends, by its path or by [`DEFAULT_RULES`].
type Extend<'e> = &'e dyn Fn(&str) -> Option<String>;

impl RulePack {
    /// Reads a rule file with the exact meaning of Gitleaks 8.30.1, as far as that is about text.
    ///
    /// `extend` gives the text of a file that `[extend]` names. Rules that look at file names alone say nothing
    /// about text: they are listed by [`not_applicable`](Self::not_applicable). Rules with a pattern and a `path`
    /// are held against text that has no path as if the path were right.
    ///
    /// ```
    /// use detect::RulePack;
    ///
    /// let file = r#"
    ///     [[rules]]
    ///     id = "shop-token"
    ///     regex = '''shop_([a-z0-9]{16})\b'''
    ///     keywords = ["shop_"]
    /// "#;
    /// let pack = RulePack::from_gitleaks_toml(file, &|_| None).unwrap();
    /// assert_eq!(pack.rule_ids().collect::<Vec<_>>(), ["shop-token"]);
    /// ```
    ///
    /// # Errors
    /// Everything that is wrong with the file, rule by rule.
    pub fn from_gitleaks_toml(text: &str, extend: Extend<'_>) -> Result<Self, Vec<RuleProblem>> {
        let mut problems = Vec::new();
        let file = File::load(text, extend, 0, &mut problems);
        let body = file.finish(&mut problems);
        if problems.is_empty() {
            Ok(Self::new(body))
        } else {
            Err(problems)
        }
    }
}

/// A rule before it is known whether the file that it extends has the rest of it.
#[derive(Clone, Debug, Default)]
struct Draft {
    id: String,
    description: String,
    regex: Option<String>,
    path: Option<String>,
    secret_group: usize,
    entropy: f64,
    keywords: Vec<String>,
    allowlists: Vec<Allowlist>,
    required: Vec<Required>,
    skip_report: bool,
    severity: Option<Severity>,
    validator: Option<String>,
}

/// A file as it was read, with what it extends merged in.
#[derive(Debug, Default)]
struct File {
    rules: Vec<Draft>,
    allowlists: Vec<Allowlist>,
    /// Allow lists of the file that are for these rules only.
    targeted: Vec<(String, Allowlist)>,
}

impl File {
    fn load(text: &str, extend: Extend<'_>, depth: usize, problems: &mut Vec<RuleProblem>) -> Self {
        let mut file = Self::default();
        let table = match text.parse::<Table>() {
            Ok(table) => table,
            Err(error) => {
                problems.push(RuleProblem::file("file", format!("is no TOML: {error}")));
                return file;
            }
        };
        let mut reader = Reader::new(None, "", table, problems);
        for key in ["title", "description", "minversion"] {
            reader.take(key);
        }
        let extends = reader.tables("extend").into_iter().next();
        let rules = reader.tables("rules");
        let mut allowlists = reader.tables("allowlists");
        if let Some(old) = reader.take("allowlist") {
            if !allowlists.is_empty() {
                reader.problem("allowlist", "stands beside [[allowlists]]; use that alone");
            }
            allowlists.extend(tables_of(old));
        }
        reader.finish();
        for rule in rules {
            file.rules.push(Draft::read(rule, problems));
        }
        file.check_rules(problems);
        for table in allowlists {
            file.global_allowlist(table, problems);
        }
        if let Some(table) = extends
            && depth < MAX_DEPTH
        {
            file.extend(table, extend, depth, problems);
        }
        file
    }

    /// What must hold inside one file, before anything is merged into it.
    fn check_rules(&self, problems: &mut Vec<RuleProblem>) {
        let mut ids = BTreeSet::new();
        for rule in &self.rules {
            if !ids.insert(rule.id.as_str()) {
                problems.push(RuleProblem::of(
                    &rule.id,
                    "id",
                    "stands more than once in the file; ids must be unique",
                ));
            }
        }
        for rule in &self.rules {
            for required in &rule.required {
                if !ids.contains(required.id.as_str()) {
                    problems.push(RuleProblem::of(
                        &rule.id,
                        "required",
                        format!("`{}` is no rule of this file", required.id),
                    ));
                }
            }
        }
    }

    fn global_allowlist(&mut self, mut table: Table, problems: &mut Vec<RuleProblem>) {
        let targets: Vec<String> = table
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case("targetrules"))
            .map(|(_, value)| strings_of(value).unwrap_or_default())
            .unwrap_or_default();
        table.retain(|key, _| !key.eq_ignore_ascii_case("targetrules"));
        let Some(allowlist) = read_allowlist(None, table, problems) else {
            return;
        };
        if targets.is_empty() {
            self.allowlists.push(allowlist);
            return;
        }
        for target in targets {
            self.targeted.push((target, allowlist.clone()));
        }
    }

    fn extend(
        &mut self,
        table: Table,
        extend: Extend<'_>,
        depth: usize,
        problems: &mut Vec<RuleProblem>,
    ) {
        let mut reader = Reader::new(None, "extend.", table, problems);
        let path = reader.string("path").filter(|path| !path.is_empty());
        let default = reader.bool("usedefault");
        let disabled = reader.strings("disabledrules");
        if reader.string("url").is_some_and(|url| !url.is_empty()) {
            reader.problem("url", "is not read, by Gitleaks neither; use `path`");
        }
        if path.is_some() && default {
            reader.problem("path", "stands beside `useDefault`; use one of them");
        }
        reader.finish();
        let name = match path {
            Some(path) => path,
            None if default => DEFAULT_RULES.to_owned(),
            None => return,
        };
        let Some(text) = extend(&name) else {
            let problem = if default {
                format!(
                    "asks for Gitleaks' own rules, which are not part of this build; \
                     give that file under the name `{DEFAULT_RULES}`"
                )
            } else {
                format!("`{name}` is not there")
            };
            let field = if default {
                "extend.useDefault"
            } else {
                "extend.path"
            };
            problems.push(RuleProblem::file(field, problem));
            return;
        };
        // Allow lists of the extended file that name target rules are lost, as in Gitleaks.
        let base = Self::load(&text, extend, depth + 1, problems);
        self.merge(base, &disabled);
    }

    /// Takes over the rules of `base`; what this file says of a rule with the same id goes first.
    fn merge(&mut self, base: Self, disabled: &[String]) {
        let mut own: BTreeMap<String, Draft> = self
            .rules
            .drain(..)
            .map(|rule| (rule.id.clone(), rule))
            .collect();
        for mut rule in base.rules {
            if disabled.contains(&rule.id) {
                continue;
            }
            if let Some(over) = own.remove(&rule.id) {
                rule.override_with(over);
            }
            self.rules.push(rule);
        }
        self.rules.extend(own.into_values());
        self.rules.sort_by(|one, other| one.id.cmp(&other.id));
        self.allowlists.extend(base.allowlists);
    }

    fn finish(mut self, problems: &mut Vec<RuleProblem>) -> PackBody {
        for (target, allowlist) in self.targeted {
            match self.rules.iter_mut().find(|rule| rule.id == target) {
                Some(rule) => rule.allowlists.push(allowlist),
                None => problems.push(RuleProblem::file(
                    "allowlists.targetRules",
                    format!("`{target}` is no rule of this file"),
                )),
            }
        }
        let mut body = PackBody {
            allowlists: self.allowlists,
            ..PackBody::default()
        };
        limits::check_count(self.rules.len(), problems);
        for draft in self.rules {
            draft.finish(&mut body, problems);
        }
        let ids: BTreeSet<String> = body.rules.iter().map(|rule| rule.id.clone()).collect();
        for rule in &body.rules {
            for required in &rule.required {
                if !ids.contains(&required.id) {
                    problems.push(RuleProblem::of(
                        &rule.id,
                        "required",
                        format!(
                            "`{}` is no rule that can find something in text",
                            required.id
                        ),
                    ));
                }
            }
        }
        body
    }
}

impl Draft {
    fn read(table: Table, problems: &mut Vec<RuleProblem>) -> Self {
        let id = table
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case("id"))
            .and_then(|(_, value)| value.as_str())
            .unwrap_or_default()
            .to_owned();
        let mut reader = Reader::new(Some(&id), "", table, problems);
        reader.take("id");
        if id.trim().is_empty() {
            reader.problem("id", "is missing; every rule needs a unique one");
        }
        let mut draft = Self {
            id: id.clone(),
            description: reader.string("description").unwrap_or_default(),
            regex: reader.pattern("regex"),
            path: reader.pattern("path"),
            secret_group: reader.number("secretgroup").unwrap_or_default(),
            entropy: reader.float("entropy").unwrap_or_default(),
            keywords: reader
                .strings("keywords")
                .iter()
                .map(|keyword| keyword.to_lowercase())
                .collect(),
            skip_report: reader.bool("skipreport"),
            validator: reader.string("validator"),
            ..Self::default()
        };
        for key in ["tags", "vendor", "positive", "negative"] {
            reader.take(key);
        }
        if let Some(name) = &draft.validator
            && Validator::named(name).is_none()
        {
            reader.problem("validator", format!("`{name}` is no check of this build"));
        }
        draft.severity = reader.severity();
        let mut allowlists = reader.tables("allowlists");
        if let Some(old) = reader.take("allowlist") {
            if !allowlists.is_empty() {
                reader.problem(
                    "allowlist",
                    "stands beside [[rules.allowlists]]; use that alone",
                );
            }
            allowlists.extend(tables_of(old));
        }
        let required = reader.tables("required");
        reader.finish();
        for table in allowlists {
            draft
                .allowlists
                .extend(read_allowlist(Some(&id), table, problems));
        }
        for table in required {
            let mut reader = Reader::new(Some(&id), "required.", table, problems);
            let required = Required {
                id: reader.string("id").unwrap_or_default(),
                within_lines: reader.number("withinlines"),
                within_columns: reader.number("withincolumns"),
            };
            if required.id.is_empty() {
                reader.problem("id", "is missing; it names the rule that must match nearby");
            }
            reader.finish();
            draft.required.push(required);
        }
        draft
    }

    fn override_with(&mut self, over: Self) {
        if !over.description.is_empty() {
            self.description = over.description;
        }
        if over.entropy != 0.0 {
            self.entropy = over.entropy;
        }
        if over.secret_group != 0 {
            self.secret_group = over.secret_group;
        }
        self.regex = over.regex.or(self.regex.take());
        self.path = over.path.or(self.path.take());
        self.severity = over.severity.or(self.severity.take());
        self.validator = over.validator.or(self.validator.take());
        self.keywords.extend(over.keywords);
        self.allowlists.extend(over.allowlists);
    }

    fn finish(self, body: &mut PackBody, problems: &mut Vec<RuleProblem>) {
        let Some(regex) = self.regex else {
            if self.path.is_some() {
                body.not_applicable
                    .push((self.id, "looks at file names alone".to_owned()));
            } else if !problems
                .iter()
                .any(|problem| problem.rule.as_deref() == Some(&self.id))
            {
                problems.push(RuleProblem::of(&self.id, "regex", "is missing"));
            }
            return;
        };
        let mut keywords = self.keywords;
        let mut anchors = Vec::new();
        match limits::check_pattern(&regex) {
            Ok(groups) if self.secret_group > groups => problems.push(RuleProblem::of(
                &self.id,
                "secretGroup",
                format!(
                    "is {}, but the pattern has {groups} groups",
                    self.secret_group
                ),
            )),
            Ok(_) if keywords.is_empty() => keywords = limits::anchors(&regex),
            Ok(_) => anchors = limits::better_anchors(&regex, &keywords),
            Err(problem) => problems.push(RuleProblem::of(&self.id, "regex", problem)),
        }
        keywords.sort();
        keywords.dedup();
        let rule = RuleDef {
            id: self.id,
            description: self.description,
            regex,
            part: match self.secret_group {
                0 => Part::First,
                group => Part::Group(group),
            },
            entropy: self.entropy,
            keywords,
            anchors,
            waits: Waits::default(),
            path: self.path,
            allowlists: self.allowlists,
            required: self.required,
            skip_report: self.skip_report,
            severity: self.severity.unwrap_or_default(),
            kind: crate::finding::Kind::Secret,
            validator: self.validator,
        };
        body.rules.push(rule.with_waits());
    }
}

fn read_allowlist(
    rule: Option<&str>,
    table: Table,
    problems: &mut Vec<RuleProblem>,
) -> Option<Allowlist> {
    let mut reader = Reader::new(rule, "allowlists.", table, problems);
    reader.take("description");
    let condition = match reader
        .string("condition")
        .unwrap_or_default()
        .to_uppercase()
        .as_str()
    {
        "" | "OR" | "||" => Condition::Or,
        "AND" | "&&" => Condition::And,
        other => {
            reader.problem(
                "condition",
                format!("is `{other}`; it may be `OR` or `AND`"),
            );
            return None;
        }
    };
    let target = match reader.string("regextarget").unwrap_or_default().as_str() {
        "" | "secret" => Target::Secret,
        "match" => Target::Match,
        "line" => Target::Line,
        other => {
            reader.problem(
                "regexTarget",
                format!("is `{other}`; it may be `secret`, `match` or `line`"),
            );
            return None;
        }
    };
    let commits = !reader.strings("commits").is_empty();
    let regexes = reader.alternation("regexes");
    let paths = reader.alternation("paths");
    let mut stopwords: Vec<String> = reader
        .strings("stopwords")
        .iter()
        .map(|word| word.to_lowercase())
        .collect();
    stopwords.sort();
    stopwords.dedup();
    if !commits && regexes.is_none() && paths.is_none() && stopwords.is_empty() {
        reader.problem(
            "regexes",
            "is missing, and so are `stopwords`, `paths` and `commits`",
        );
    }
    reader.finish();
    Some(Allowlist {
        condition,
        regexes,
        target,
        stopwords,
        paths,
        commits,
    })
}

/// Takes fields out of a table, whatever the case of their keys; what is left over at the end is unknown.
struct Reader<'p> {
    rule: Option<String>,
    prefix: &'static str,
    fields: BTreeMap<String, Value>,
    problems: &'p mut Vec<RuleProblem>,
}

impl<'p> Reader<'p> {
    fn new(
        rule: Option<&str>,
        prefix: &'static str,
        table: Table,
        problems: &'p mut Vec<RuleProblem>,
    ) -> Self {
        Self {
            rule: rule.map(str::to_owned),
            prefix,
            fields: table
                .into_iter()
                .map(|(key, value)| (key.to_lowercase(), value))
                .collect(),
            problems,
        }
    }

    fn problem(&mut self, field: &str, problem: impl Into<String>) {
        self.problems.push(RuleProblem {
            rule: self.rule.clone(),
            field: format!("{}{field}", self.prefix),
            problem: problem.into(),
        });
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.fields.remove(key)
    }

    fn finish(mut self) {
        for key in core::mem::take(&mut self.fields).into_keys() {
            self.problem(&key, "is unknown here; check its spelling");
        }
    }

    fn string(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.problem(key, "must be a string");
                None
            }
        }
    }

    fn strings(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        strings_of(&value).unwrap_or_else(|| {
            self.problem(key, "must be a list of strings");
            Vec::new()
        })
    }

    fn bool(&mut self, key: &str) -> bool {
        match self.take(key) {
            None => false,
            Some(Value::Boolean(value)) => value,
            Some(_) => {
                self.problem(key, "must be true or false");
                false
            }
        }
    }

    fn number(&mut self, key: &str) -> Option<usize> {
        let value = self.take(key)?;
        let number = value
            .as_integer()
            .and_then(|number| usize::try_from(number).ok());
        if number.is_none() {
            self.problem(key, "must be a whole number, 0 or more");
        }
        number
    }

    fn float(&mut self, key: &str) -> Option<f64> {
        let number = match self.take(key)? {
            Value::Float(number) => Some(number),
            Value::Integer(number) => i32::try_from(number).ok().map(f64::from),
            _ => None,
        };
        if number.is_none() {
            self.problem(key, "must be a number");
        }
        number
    }

    fn severity(&mut self) -> Option<Severity> {
        match self.string("severity")?.as_str() {
            "low" => Some(Severity::Low),
            "medium" => Some(Severity::Medium),
            "high" => Some(Severity::High),
            "critical" => Some(Severity::Critical),
            other => {
                self.problem(
                    "severity",
                    format!("is `{other}`; it may be `low`, `medium`, `high` or `critical`"),
                );
                None
            }
        }
    }

    fn tables(&mut self, key: &str) -> Vec<Table> {
        self.take(key).map(tables_of).unwrap_or_default()
    }

    fn pattern(&mut self, key: &str) -> Option<String> {
        let go = self.string(key).filter(|pattern| !pattern.is_empty())?;
        match go_regex::translate(&go) {
            Ok(pattern) => Some(pattern),
            Err(problem) => {
                self.problem(key, problem);
                None
            }
        }
    }

    /// Reads patterns as one alternation of their texts, as Gitleaks builds it: a flag in one goes on in the next.
    fn alternation(&mut self, key: &str) -> Option<String> {
        let patterns = self.strings(key);
        if patterns.is_empty() {
            return None;
        }
        let checked = patterns
            .iter()
            .try_for_each(|pattern| go_regex::translate(pattern).map(drop))
            .and_then(|()| go_regex::translate(&format!("(?:{})", patterns.join("|"))))
            .and_then(|joined| limits::check_pattern(&joined).map(|_| joined));
        match checked {
            Ok(joined) => Some(joined),
            Err(problem) => {
                self.problem(key, problem);
                None
            }
        }
    }
}

fn strings_of(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(values) => values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

fn tables_of(value: Value) -> Vec<Table> {
    match value {
        Value::Table(table) => vec![table],
        Value::Array(values) => values.into_iter().flat_map(tables_of).collect(),
        _ => Vec::new(),
    }
}

//! Guardrails, and the rule files and word lists that they name.

use std::collections::BTreeSet;

use super::{Checker, Node, Problem, is_label, label_rule};
use crate::guardrail::{
    Action, AllowRule, Detector, Direction, GuardScope, Guardrail, GuardrailRules, MAX_GUARDRAILS,
    MAX_STAGES, Prepared, RedactStyle, Stage, StreamEnd,
};

/// Detectors of one stage at most.
const MAX_DETECTORS: usize = 16;
/// Different detectors of all guardrails together: what one set of rules can tell apart.
const MAX_DIFFERENT_DETECTORS: usize = 64;
/// What rule files and word lists may come to together: every worker of an Envoy holds them.
const MAX_PARTS_BYTES: usize = 32 << 20;
/// Entries of one allow list.
const MAX_ALLOWED: usize = 1_000;
const MAX_ALLOWED_BYTES: usize = 4 * 1024;
/// A text that replaces values.
const MAX_REPLACEMENT_BYTES: usize = 256;
/// How long a cut stream may be read on.
const MAX_DRAIN_MS: u32 = 600_000;

impl Checker<'_> {
    pub(super) fn guardrails(&mut self) {
        let documents = self.documents;
        let guardrails = &documents.guardrails;
        self.labels(
            "guardrail",
            guardrails
                .iter()
                .map(|(id, it)| (Node::Guardrail(*id), it.name.as_str())),
        );
        let files = documents.rule_files.iter();
        self.labels(
            "rule file",
            files.map(|(id, it)| (Node::RuleFile(*id), it.name.as_str())),
        );
        let lists = documents.word_lists.iter();
        self.labels(
            "word list",
            lists.map(|(id, it)| (Node::WordList(*id), it.name.as_str())),
        );
        if guardrails.len() > MAX_GUARDRAILS {
            let message = format!(
                "a mesh has at most {MAX_GUARDRAILS} guardrails; put detectors of one action into one stage"
            );
            self.add("guardrails", message);
        }
        let mut different: Vec<&Detector> = Vec::new();
        for guardrail in guardrails.values() {
            self.guardrail(guardrail);
            let stages = guardrail
                .rules
                .stages
                .iter()
                .filter(|_| guardrail.rules.enabled);
            for detector in stages.flat_map(|stage| &stage.detectors) {
                if !different.contains(&detector) {
                    different.push(detector);
                }
            }
        }
        if different.len() > MAX_DIFFERENT_DETECTORS {
            let message = format!(
                "all guardrails together name {} different detectors, and a mesh has at most {MAX_DIFFERENT_DETECTORS}; \
                 put expressions into a rule file",
                different.len()
            );
            self.add("guardrails", message);
        }
    }

    /// Checks what rule files, word lists and detectors hold.
    pub(super) fn contents(&mut self, prepared: &mut Prepared) {
        let documents = self.documents;
        for (id, file) in &documents.rule_files {
            let problems = prepared.file_problems(file, documents);
            self.add_below(Node::RuleFile(*id), problems);
        }
        for (id, list) in &documents.word_lists {
            let problems = prepared.list_problems(list);
            self.add_below(Node::WordList(*id), problems);
        }
        self.size_of_parts(prepared);
        for (id, guardrail) in &documents.guardrails {
            let problems = prepared.canary(guardrail, documents).err();
            self.add_below(Node::Guardrail(*id), problems.unwrap_or_default());
        }
    }

    /// Checks that a worker can hold the rule files and word lists that guardrails name.
    fn size_of_parts(&mut self, prepared: &mut Prepared) {
        let documents = self.documents;
        let (mut files, mut lists) = (BTreeSet::new(), BTreeSet::new());
        let guardrails = documents.guardrails.values();
        let stages = guardrails.flat_map(|guardrail| &guardrail.rules.stages);
        for detector in stages.flat_map(|stage| &stage.detectors) {
            if let Detector::RuleFile { name, .. } = detector {
                files.insert(name);
            } else if let Detector::Words { list } = detector {
                lists.insert(list);
            }
        }
        let mut bytes = 0_usize;
        for file in documents
            .rule_files
            .values()
            .filter(|it| files.contains(&it.name))
        {
            bytes = bytes.saturating_add(
                prepared
                    .file_bytes(file, documents)
                    .map_or(0, |it| it.len()),
            );
        }
        for list in documents
            .word_lists
            .values()
            .filter(|it| lists.contains(&it.name))
        {
            bytes = bytes.saturating_add(prepared.list_bytes(list).map_or(0, |it| it.len()));
        }
        if bytes > MAX_PARTS_BYTES {
            let message = format!(
                "rule files and word lists of all guardrails come to {bytes} bytes, and a worker holds at most \
                 {MAX_PARTS_BYTES}"
            );
            self.add("guardrails", message);
        }
    }

    /// Adds problems whose places are told within `node`.
    fn add_below(&mut self, node: Node, problems: Vec<Problem>) {
        let at = self.at(node);
        for problem in problems {
            let path = format!("{at}.{}", problem.path);
            // What is empty or refers to nothing was told already.
            if !self
                .problems
                .iter()
                .any(|known| known.path.starts_with(&path))
            {
                self.add(path, problem.message);
            }
        }
    }

    /// Checks names that stand in records and paths.
    pub(super) fn labels<'n>(
        &mut self,
        what: &str,
        named: impl Iterator<Item = (Node, &'n str)> + Clone,
    ) {
        for (node, name) in named.clone() {
            if !is_label(name) {
                let path = format!("{}.name", self.at(node));
                self.add(path, label_rule(&format!("a {what}")));
            }
        }
        self.names(what, named);
    }

    fn guardrail(&mut self, guardrail: &Guardrail) {
        let at = self.at(Node::Guardrail(guardrail.id));
        let GuardrailRules {
            enabled: _,
            direction,
            scope,
            severity: _,
            stages,
            allow,
            on_error: _,
            on_unscanned: _,
            on_history: _,
            on_unknown_token: _,
            sampling,
            stream_end: StreamEnd { drain_max_ms },
        } = &guardrail.rules;
        self.guard_scope(&format!("{at}.scope"), scope);
        if !(1..=MAX_STAGES).contains(&stages.len()) {
            self.add(
                format!("{at}.stages"),
                format!("must hold 1 to {MAX_STAGES} stages"),
            );
        }
        for (number, stage) in stages.iter().enumerate() {
            self.stage(&format!("{at}.stages[{number}]"), stage, *direction);
        }
        self.allowed(&format!("{at}.allow"), allow);
        if *sampling > GuardrailRules::SAMPLE_ALL {
            let all = GuardrailRules::SAMPLE_ALL;
            self.add(
                format!("{at}.sampling"),
                format!("is in ten-thousandths: at most {all}"),
            );
        }
        if *sampling == 0 {
            let message = "0 looks at nothing; use `enabled` to switch the guardrail off";
            self.add(format!("{at}.sampling"), message);
        }
        if *drain_max_ms > MAX_DRAIN_MS {
            let message = format!("must be at most {MAX_DRAIN_MS}");
            self.add(format!("{at}.stream_end.drain_max_ms"), message);
        }
    }

    fn stage(&mut self, at: &str, stage: &Stage, direction: Direction) {
        if !(1..=MAX_DETECTORS).contains(&stage.detectors.len()) {
            let message = format!(
                "must hold 1 to {MAX_DETECTORS} detectors; without one nothing is ever found"
            );
            self.add(format!("{at}.detectors"), message);
        }
        if stage.action == Action::Tokenise && direction == Direction::Response {
            let message = "a token becomes the value again in the answer, so it can only stand for what a request \
                           holds; take `redact`, or `direction` `request` or `both`";
            self.add(format!("{at}.action"), message);
        }
        if let Action::Redact(RedactStyle::Replace { with: Some(text) }) = &stage.action
            && (text.len() > MAX_REPLACEMENT_BYTES || text.chars().any(char::is_control))
        {
            let message =
                format!("has at most {MAX_REPLACEMENT_BYTES} bytes and no control characters");
            self.add(format!("{at}.action.redact.replace.with"), message);
        }
        let mut seen = Vec::new();
        for (number, detector) in stage.detectors.iter().enumerate() {
            let at = format!("{at}.detectors[{number}]");
            if seen.contains(&detector) {
                self.add(at.clone(), "the stage has the same detector already");
            }
            seen.push(detector);
            self.detector(&at, detector);
        }
    }

    /// Checks what a detector refers to. What it means is looked at where its canary is made.
    fn detector(&mut self, at: &str, detector: &Detector) {
        let documents = self.documents;
        match detector {
            Detector::RuleFile { name, .. } => {
                let mut files = documents.rule_files.values();
                if !files.any(|file| file.name == *name) {
                    self.add(
                        format!("{at}.rule_file.name"),
                        format!("there is no rule file `{name}`"),
                    );
                }
            }
            Detector::Words { list } => {
                let mut lists = documents.word_lists.values();
                if !lists.any(|known| known.name == *list) {
                    self.add(
                        format!("{at}.words.list"),
                        format!("there is no word list `{list}`"),
                    );
                }
            }
            Detector::Regex { id, .. } => {
                if !is_label(id) {
                    self.add(format!("{at}.regex.id"), label_rule("an expression"));
                }
            }
            Detector::External { service, .. } => {
                let message = format!(
                    "`{service}` cannot be asked: no external content-safety service kind exists in this version"
                );
                self.add(format!("{at}.external"), message);
            }
            Detector::Secrets { .. }
            | Detector::Pii { .. }
            | Detector::HiddenText
            | Detector::Injection { .. } => {}
        }
    }

    fn guard_scope(&mut self, at: &str, scope: &GuardScope) {
        let documents = self.documents;
        let GuardScope {
            customers,
            teams,
            users,
            keys,
            models: _,
            providers,
            surfaces,
            roles,
        } = scope;
        self.known(&format!("{at}.customers"), "customer", customers, |id| {
            documents.customers.contains_key(id)
        });
        self.known(&format!("{at}.teams"), "team", teams, |id| {
            documents.teams.contains_key(id)
        });
        self.known(&format!("{at}.users"), "user", users, |id| {
            documents.users.contains_key(id)
        });
        self.known(&format!("{at}.keys"), "key", keys, |id| {
            documents.keys.contains_key(id)
        });
        let names = documents
            .providers
            .values()
            .map(|provider| provider.name.as_str());
        let names = names.collect::<BTreeSet<_>>();
        for (number, name) in providers.iter().enumerate() {
            if !names.contains(name.as_str()) {
                self.add(
                    format!("{at}.providers[{number}]"),
                    format!("there is no provider `{name}`"),
                );
            }
        }
        self.once(&format!("{at}.providers"), providers);
        self.once(&format!("{at}.surfaces"), surfaces);
        self.once(&format!("{at}.roles"), roles);
    }

    fn known<T: Ord>(&mut self, at: &str, what: &str, ids: &[T], exists: impl Fn(&T) -> bool) {
        for (number, id) in ids.iter().enumerate() {
            if !exists(id) {
                self.add(
                    format!("{at}[{number}]"),
                    format!("there is no such {what}"),
                );
            }
        }
        self.once(at, ids);
    }

    fn once<T: Ord>(&mut self, at: &str, values: &[T]) {
        let mut seen = BTreeSet::new();
        for (number, value) in values.iter().enumerate() {
            if !seen.insert(value) {
                self.add(format!("{at}[{number}]"), "is listed twice");
            }
        }
    }

    fn allowed(&mut self, at: &str, allow: &[AllowRule]) {
        if allow.len() > MAX_ALLOWED {
            self.add(at, format!("has at most {MAX_ALLOWED} entries"));
        }
        for (number, rule) in allow.iter().enumerate() {
            let (kind, text) = match rule {
                AllowRule::Value(text) => ("value", text),
                AllowRule::Contains(text) => ("contains", text),
                AllowRule::Regex(text) => ("regex", text),
            };
            let at = format!("{at}[{number}].{kind}");
            if text.is_empty() {
                self.add(at, "is empty and would allow nothing or everything");
            } else if text.len() > MAX_ALLOWED_BYTES {
                self.add(at, format!("has at most {MAX_ALLOWED_BYTES} bytes"));
            }
        }
    }
}

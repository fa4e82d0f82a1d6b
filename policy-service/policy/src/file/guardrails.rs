//! Guardrails, rule files and word lists of a policy file.

use super::PolicyFile;
use super::entries::{GuardScopeEntry, RuleFileEntry, WordListEntry};
use super::import::Import;
use crate::check::{Node, Problem};
use crate::guardrail::{GuardScope, Guardrail, GuardrailDraft, RuleFile, WordList};
use crate::ids::{GuardrailId, RuleFileId, WordListId};

impl PolicyFile {
    /// Puts the text of every file that rule files and word lists name by `path` into the policy; `read` returns it,
    /// or says why it cannot be read.
    ///
    /// # Errors
    /// Every file that cannot be read, at its `path`.
    pub fn resolve(
        &mut self,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut text = |place: String, path: &mut Option<String>, has_text: bool| {
            // Both at once stay as they are, to be told as a problem.
            let named = path.as_deref().filter(|_| !has_text)?;
            match read(named) {
                Ok(text) => {
                    *path = None;
                    Some(text)
                }
                Err(because) => {
                    problems.push(Problem::new(place, because));
                    None
                }
            }
        };
        for (number, entry) in self.rule_files.iter_mut().enumerate() {
            let place = format!("rule_files[{number}].path");
            let has_text = entry.source.is_some();
            if let Some(text) = text(place, &mut entry.path, has_text) {
                entry.source = Some(text);
            }
        }
        for (number, entry) in self.word_lists.iter_mut().enumerate() {
            let place = format!("word_lists[{number}].path");
            let has_text = entry.words.is_some();
            if let Some(text) = text(place, &mut entry.path, has_text) {
                let words = text.lines().map(str::trim).filter(|word| !word.is_empty());
                entry.words = Some(words.map(str::to_owned).collect());
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }
}

impl Import<'_> {
    pub(super) fn guardrails(&mut self, file: &PolicyFile) {
        for (number, entry) in file.rule_files.iter().enumerate() {
            self.rule_file(&format!("rule_files[{number}]"), entry);
        }
        for (number, entry) in file.word_lists.iter().enumerate() {
            self.word_list(&format!("word_lists[{number}]"), entry);
        }
        for (number, entry) in file.guardrails.iter().enumerate() {
            self.guardrail(&format!("guardrails[{number}]"), entry.clone());
        }
    }

    fn rule_file(&mut self, at: &str, entry: &RuleFileEntry) {
        let id = RuleFileId::new(self.id(&format!("{at}.name"), "rule_files", &entry.name));
        self.places.insert(Node::RuleFile(id), at.to_owned());
        let given = self.one_of(at, "source", entry.source.as_ref(), entry.path.as_ref());
        let (name, source) = (entry.name.clone(), given.cloned().unwrap_or_default());
        let file = RuleFile { id, name, source };
        self.documents.rule_files.insert(id, file);
    }

    fn word_list(&mut self, at: &str, entry: &WordListEntry) {
        let id = WordListId::new(self.id(&format!("{at}.name"), "word_lists", &entry.name));
        self.places.insert(Node::WordList(id), at.to_owned());
        let given = self.one_of(at, "words", entry.words.as_ref(), entry.path.as_ref());
        let (name, words) = (entry.name.clone(), given.cloned().unwrap_or_default());
        let list = WordList { id, name, words };
        self.documents.word_lists.insert(id, list);
    }

    /// Returns what is given in the file itself, or says what is wrong with where it is.
    fn one_of<'e, T>(
        &mut self,
        at: &str,
        field: &str,
        given: Option<&'e T>,
        path: Option<&String>,
    ) -> Option<&'e T> {
        match (given, path) {
            (Some(given), None) => return Some(given),
            (Some(_), Some(_)) => {
                let message = format!("`{field}` is given too; keep one of them");
                self.add(format!("{at}.path"), message);
            }
            (None, Some(path)) => {
                let message = format!(
                    "`{path}` was not read: files beside the policy are not at hand here; give `{field}`"
                );
                self.add(at.to_owned(), message);
            }
            (None, None) => {
                self.add(
                    at.to_owned(),
                    format!("neither `{field}` nor `path` is given"),
                );
            }
        }
        None
    }

    fn guardrail(&mut self, at: &str, entry: GuardrailDraft<GuardScopeEntry>) {
        let draft = entry.with_scope(|scope| self.guard_scope(&format!("{at}.scope"), scope));
        match draft.into_new() {
            Ok((name, rules)) => {
                let id = GuardrailId::new(self.id(&format!("{at}.name"), "guardrails", &name));
                self.places.insert(Node::Guardrail(id), at.to_owned());
                let guardrail = Guardrail { id, name, rules };
                self.documents.guardrails.insert(id, guardrail);
            }
            Err(problems) => {
                for problem in problems {
                    self.add(format!("{at}.{}", problem.path), problem.message);
                }
            }
        }
    }

    fn guard_scope(&mut self, at: &str, entry: GuardScopeEntry) -> GuardScope {
        let GuardScopeEntry {
            customers,
            teams,
            users,
            keys,
            models,
            providers,
            surfaces,
            roles,
        } = entry;
        GuardScope {
            customers: self.each(&format!("{at}.customers"), &customers, Self::customer),
            teams: self.each(&format!("{at}.teams"), &teams, Self::team),
            users: self.each(&format!("{at}.users"), &users, Self::user),
            keys: self.each(&format!("{at}.keys"), &keys, Self::known_key),
            models,
            providers,
            surfaces,
            roles,
        }
    }

    fn each<T>(
        &mut self,
        at: &str,
        names: &[String],
        find: fn(&mut Self, String, &str) -> Option<T>,
    ) -> Vec<T> {
        let numbered = names.iter().enumerate();
        numbered
            .filter_map(|(number, name)| find(self, format!("{at}[{number}]"), name))
            .collect()
    }
}

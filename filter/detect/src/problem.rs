//! What can be wrong with rules.

/// A rule, a pattern or a rule file that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}`{field}`: {problem}", self.place())]
pub struct RuleProblem {
    /// The rule's id; `None` where the problem is the file's.
    pub rule: Option<String>,
    /// The field, as it is written in the file.
    pub field: String,
    /// What is wrong and what to do about it.
    pub problem: String,
}

impl RuleProblem {
    pub(crate) fn of(rule: &str, field: &str, problem: impl Into<String>) -> Self {
        Self {
            rule: Some(rule.to_owned()),
            field: field.to_owned(),
            problem: problem.into(),
        }
    }

    pub(crate) fn file(field: &str, problem: impl Into<String>) -> Self {
        Self {
            rule: None,
            field: field.to_owned(),
            problem: problem.into(),
        }
    }

    fn place(&self) -> String {
        match &self.rule {
            Some(id) => format!("rule `{id}`, "),
            None => String::new(),
        }
    }
}

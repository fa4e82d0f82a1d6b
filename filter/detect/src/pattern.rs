//! One pattern by itself.

use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;

use crate::limits;
use crate::problem::RuleProblem;

/// A regular expression in Rust's syntax, bounded in size, matched in linear time.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
}

impl Pattern {
    /// Builds a pattern.
    ///
    /// # Errors
    /// When it cannot be read, looks around or is too large.
    pub fn new(pattern: &str) -> Result<Self, RuleProblem> {
        limits::build(pattern, WhichCaptures::None)
            .map(|regex| Self { regex })
            .map_err(|problem| RuleProblem::file("pattern", problem))
    }

    /// Whether it matches somewhere in `text`.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }
}

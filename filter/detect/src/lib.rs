//! Detectors: bytes in, findings out. Knows no policy, no provider, no host.
//!
//! Rules are collected by [`RuleSetBuilder`], group by group; [`RuleSet::scan`] then tells everything that they find
//! in a text, with offsets. Rule files are read by [`RulePack::from_gitleaks_toml`].
//!
//! What it does not do: it never decides what happens to a finding, it reads no JSON and no streams of a provider,
//! and it keeps no text.
//!
//! ```
//! use detect::{Groups, RuleSetBuilder, Scratch, Severity};
//!
//! let mut builder = RuleSetBuilder::default();
//! builder.regex(0, "ticket", r"\bSHOP-([0-9]{4})\b", 1, Severity::Low).unwrap();
//! let rules = builder.build().unwrap();
//!
//! let mut found = Vec::new();
//! rules.scan(&mut Scratch::new(), b"see SHOP-1234", Groups::ALL, &mut found);
//! assert_eq!(found[0].secret, 9..13);
//! assert_eq!(rules.rule(found[0].rule).unwrap().id, "ticket");
//! ```

#![forbid(unsafe_code)]

mod builder;
mod canary;
mod decode;
mod detectors;
pub mod finding;
mod gitleaks;
mod go_regex;
mod hidden;
mod judge;
mod keywords;
mod limits;
mod lines;
mod matcher;
mod merge;
#[cfg(test)]
mod oracle;
mod pack;
mod pass;
mod pattern;
pub mod pii;
mod plain;
mod preamble;
mod problem;
mod randomness;
mod reach;
mod rule_pack;
mod rule_set;
mod scan;
mod stream;
mod suppress;
mod tape;
mod text;
mod validate;
mod windows;
mod words;

pub use builder::{MAX_GROUPS, RuleSetBuilder};
pub use canary::{Canary, positives};
pub use finding::{Finding, Groups, Kind, RuleIndex, RuleInfo, Severity};
pub use gitleaks::DEFAULT_RULES;
pub use merge::{Merged, merge};
pub use pattern::Pattern;
pub use problem::RuleProblem;
pub use rule_pack::RulePack;
pub use rule_set::RuleSet;
pub use scan::Scratch;
pub use stream::{HOLD_BYTES, StreamScan};
pub use words::{MAX_WORD_BYTES, MAX_WORDS, WordList, WordListProblem, WordMatcher};

//! Whether a match is a finding: entropy and allow lists.

use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;

use crate::limits;
use crate::lines::Lines;
use crate::rule_pack::{Allowlist, Condition, Target};

/// Returns the Shannon entropy of a secret in bits, as Gitleaks reckons it: characters are counted, their shares are
/// of the length in bytes.
pub(crate) fn entropy(secret: &[u8]) -> f64 {
    let mut sum = 0.0;
    // The inverse is taken first, as there: thresholds are met exactly at times.
    let inverse = 1.0 / f64::from(u32::try_from(secret.len()).unwrap_or(u32::MAX));
    let mut add = |count: u32| {
        if count > 0 {
            let share = f64::from(count) * inverse;
            sum -= share * share.log2();
        }
    };
    if secret.is_ascii() {
        let mut counts = [0_u32; 128];
        for byte in secret {
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count = count.saturating_add(1);
            }
        }
        counts.into_iter().for_each(&mut add);
    } else {
        let mut counts = BTreeMap::<char, u32>::new();
        for c in String::from_utf8_lossy(secret).chars() {
            let count = counts.entry(c).or_default();
            *count = count.saturating_add(1);
        }
        counts.into_values().for_each(&mut add);
    }
    sum
}

/// A match and where it stands.
#[derive(Debug)]
pub(crate) struct Candidate<'t> {
    pub(crate) text: &'t [u8],
    pub(crate) secret: Range<usize>,
    /// Without line ends around it.
    pub(crate) matched: Range<usize>,
    /// Where Gitleaks looks for its line: from the untrimmed begin on.
    pub(crate) located: Range<usize>,
    pub(crate) path: Option<&'t str>,
}

/// Allow lists ready for use.
#[derive(Debug)]
pub(crate) struct AllowLists {
    lists: Vec<AllowList>,
}

#[derive(Debug)]
struct AllowList {
    source: Allowlist,
    regex: OnceLock<Option<Regex>>,
    paths: Path,
    stopwords: OnceLock<Option<AhoCorasick>>,
}

/// A pattern of paths, built when it is first needed.
#[derive(Debug)]
pub(crate) struct Path {
    source: Option<String>,
    regex: OnceLock<Option<Regex>>,
}

impl Path {
    pub(crate) const fn new(source: Option<String>) -> Self {
        Self {
            source,
            regex: OnceLock::new(),
        }
    }

    /// Whether there is a pattern, and `path` does not match it.
    pub(crate) fn excludes(&self, path: &str) -> bool {
        self.source.is_some() && !self.names(path)
    }

    /// Whether there is a pattern, and `path` matches it.
    fn names(&self, path: &str) -> bool {
        let regex = self.regex.get_or_init(|| {
            let source = self.source.as_deref()?;
            limits::build(source, WhichCaptures::None).ok()
        });
        !path.is_empty() && regex.as_ref().is_some_and(|regex| regex.is_match(path))
    }
}

/// What was last said about a line, so that a long line with many matches is read once.
#[derive(Debug, Default)]
pub(crate) struct LineVerdicts {
    last: Vec<Option<(Range<usize>, bool)>>,
}

impl AllowLists {
    pub(crate) fn new(lists: &[Allowlist]) -> Self {
        Self {
            lists: lists
                .iter()
                .map(|source| AllowList {
                    source: source.clone(),
                    regex: OnceLock::new(),
                    paths: Path::new(source.paths.clone()),
                    stopwords: OnceLock::new(),
                })
                .collect(),
        }
    }

    /// Whether a text from `path` is not to be looked at.
    pub(crate) fn allow_path(&self, path: &str) -> bool {
        self.lists.iter().any(|list| {
            let more = list.source.regexes.is_some()
                || !list.source.stopwords.is_empty()
                || list.source.commits;
            let whole = list.source.condition == Condition::Or || !more;
            whole && list.paths.names(path)
        })
    }

    /// Whether one of the lists says that the match is no finding.
    pub(crate) fn allow(
        &self,
        candidate: &Candidate<'_>,
        lines: &mut Lines,
        verdicts: &mut LineVerdicts,
    ) -> bool {
        verdicts.last.resize(self.lists.len(), None);
        self.lists
            .iter()
            .zip(&mut verdicts.last)
            .any(|(list, last)| list.allows(candidate, lines, last))
    }
}

impl AllowList {
    fn allows(
        &self,
        candidate: &Candidate<'_>,
        lines: &mut Lines,
        last: &mut Option<(Range<usize>, bool)>,
    ) -> bool {
        let source = &self.source;
        let has_regex = source.regexes.is_some();
        let has_words = !source.stopwords.is_empty();
        match source.condition {
            Condition::Or => {
                has_regex && self.regex_matches(candidate, lines, last)
                    || has_words && self.has_stopword(candidate)
            }
            Condition::And => {
                let path = candidate.path.unwrap_or_default();
                !source.commits
                    && (source.paths.is_none() || self.paths.names(path))
                    && (!has_words || self.has_stopword(candidate))
                    && (!has_regex || self.regex_matches(candidate, lines, last))
            }
        }
    }

    fn regex_matches(
        &self,
        candidate: &Candidate<'_>,
        lines: &mut Lines,
        last: &mut Option<(Range<usize>, bool)>,
    ) -> bool {
        let range = match self.source.target {
            Target::Secret => candidate.secret.clone(),
            Target::Match => candidate.matched.clone(),
            Target::Line => lines.around(candidate.text, &candidate.located),
        };
        if self.source.target == Target::Line
            && let Some((known, verdict)) = last
            && *known == range
        {
            return *verdict;
        }
        let target = candidate.text.get(range.clone()).unwrap_or_default();
        let regex = self.regex.get_or_init(|| {
            let source = self.source.regexes.as_deref()?;
            limits::build(source, WhichCaptures::None).ok()
        });
        let verdict =
            !target.is_empty() && regex.as_ref().is_some_and(|regex| regex.is_match(target));
        if self.source.target == Target::Line {
            *last = Some((range, verdict));
        }
        verdict
    }

    fn has_stopword(&self, candidate: &Candidate<'_>) -> bool {
        let secret = candidate
            .text
            .get(candidate.secret.clone())
            .unwrap_or_default();
        let words = self.stopwords.get_or_init(|| {
            AhoCorasick::builder()
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .ascii_case_insensitive(true)
                .build(&self.source.stopwords)
                .ok()
        });
        let Some(words) = words else {
            return false;
        };
        if secret.is_ascii() {
            return words.is_match(secret);
        }
        words.is_match(&String::from_utf8_lossy(secret).to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::entropy;

    #[test]
    fn entropy_counts_characters_and_divides_by_bytes() {
        let near = |secret: &str, want: f64| {
            assert!((entropy(secret.as_bytes()) - want).abs() < 1e-9, "{secret}");
        };
        near("", 0.0);
        near("aaaa", 0.0);
        near("abcd", 2.0);
        near("ab", 1.0);
        near("ää", 0.5);
    }
}

//! How large a rule may be, and how a pattern becomes a matcher.
//!
//! Every pattern is built here and nowhere else, so that what was accepted once is accepted everywhere.

use regex_automata::hybrid::dfa::DFA;
use regex_automata::meta::{Config, Regex};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use regex_syntax::hir::Hir;

use crate::problem::RuleProblem;
use crate::reach::{self, Reach};

/// A pattern is at most this long.
pub(crate) const MAX_PATTERN_BYTES: usize = 16 * 1024;

/// A compiled pattern is at most this large.
const MAX_PROGRAM_BYTES: usize = 10 << 20;

/// Rules of one file at most.
pub(crate) const MAX_RULES: usize = 4_096;

/// What the lazily built automaton of a pattern may grow to before it starts again.
///
/// Less makes the widest patterns of common rule files start again on ordinary text, which costs ten times as much.
const CACHE_BYTES: usize = 8 << 20;

/// What the automaton for what follows a keyword may grow to before it starts again.
const SEQUEL_CACHE_BYTES: usize = 1 << 20;

/// Nesting of groups and repetitions.
const MAX_NESTING: u32 = 100;

fn syntax() -> syntax::Config {
    syntax::Config::new().utf8(false).nest_limit(MAX_NESTING)
}

/// Reads a pattern without building it.
pub(crate) fn parse(pattern: &str) -> Result<Hir, String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!(
            "is {} bytes long; {MAX_PATTERN_BYTES} are allowed",
            pattern.len()
        ));
    }
    syntax::parse_with(pattern, &syntax()).map_err(|error| explain(&error))
}

/// Builds a matcher.
pub(crate) fn build(pattern: &str, captures: WhichCaptures) -> Result<Regex, String> {
    build_parsed(&parse(pattern)?, captures)
}

/// Builds a matcher of what was parsed.
pub(crate) fn build_parsed(hir: &Hir, captures: WhichCaptures) -> Result<Regex, String> {
    Regex::builder()
        .configure(
            Config::new()
                .utf8_empty(false)
                .nfa_size_limit(Some(MAX_PROGRAM_BYTES))
                .hybrid_cache_capacity(CACHE_BYTES)
                .which_captures(captures),
        )
        .build_from_hir(hir)
        .map_err(|error| match error.size_limit() {
            Some(_) => format!(
                "is too large when built: more than {} MiB; bound its repetitions",
                MAX_PROGRAM_BYTES >> 20
            ),
            None => error.to_string(),
        })
}

/// Builds the automaton that looks at what follows a keyword.
pub(crate) fn build_sequel(hir: &Hir) -> Result<DFA, String> {
    let nfa = thompson::Compiler::new()
        .configure(
            thompson::Config::new()
                .utf8(false)
                .which_captures(WhichCaptures::None)
                .nfa_size_limit(Some(MAX_PROGRAM_BYTES)),
        )
        .build_from_hir(hir)
        .map_err(|error| error.to_string())?;
    DFA::builder()
        .configure(
            DFA::config()
                .cache_capacity(SEQUEL_CACHE_BYTES)
                .skip_cache_capacity_check(true),
        )
        .build_from_nfa(nfa)
        .map_err(|error| error.to_string())
}

/// Checks that a pattern can be built; returns how many groups it has.
pub(crate) fn check_pattern(pattern: &str) -> Result<usize, String> {
    let regex = build(pattern, WhichCaptures::All)?;
    Ok(regex.captures_len().saturating_sub(1))
}

/// Returns words of which every match of a pattern contains one, so that it need not be held against texts without
/// them; none where there are no such words.
pub(crate) fn anchors(pattern: &str) -> Vec<String> {
    parse(pattern).map_or_else(|_| Vec::new(), |hir| reach::anchors(&hir))
}

/// Returns such words for a pattern whose matches need not contain one of its `keywords`; none where they do, or where
/// no words help.
pub(crate) fn better_anchors(pattern: &str, keywords: &[String]) -> Vec<String> {
    let Ok(hir) = parse(pattern) else {
        return Vec::new();
    };
    if Reach::of(&hir, keywords, false).is_some() {
        return Vec::new();
    }
    let anchors = reach::anchors(&hir);
    let helps = [false, true]
        .iter()
        .all(|odd| Reach::of(&hir, &anchors, *odd).is_some());
    if helps { anchors } else { Vec::new() }
}

/// Checks the number of rules of a file.
pub(crate) fn check_count(rules: usize, problems: &mut Vec<RuleProblem>) {
    if rules > MAX_RULES {
        problems.push(RuleProblem::file(
            "rules",
            format!("are {rules}; {MAX_RULES} are allowed in one file"),
        ));
    }
}

fn explain(error: &regex_syntax::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

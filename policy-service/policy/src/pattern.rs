//! Patterns over model names and paths.
//!
//! A model pattern is a name, a glob (`*`, `?`) or `regex:` and an expression that must match the whole name;
//! always without regard to ASCII case. A path pattern is a path in which `*` stands for any text within one
//! segment and a segment `**` for any number of segments.

use core::fmt;

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// Longest pattern, and longest name that any pattern matches: a client must not make matching expensive.
pub const MAX_PATTERN_BYTES: usize = 512;

/// Bound for one compiled expression; the largest useful ones need a tenth of it.
const REGEX_SIZE_LIMIT_BYTES: usize = 256 * 1024;

const REGEX_PREFIX: &str = "regex:";

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("a pattern must not be empty; write `*` for everything")]
    Empty,
    #[error("a pattern has at most {MAX_PATTERN_BYTES} bytes, this one has {bytes}")]
    TooLong { bytes: usize },
    #[error("`{pattern}` holds white space or a control character")]
    Space { pattern: String },
    #[error("`{pattern}` is not a regular expression: {reason}")]
    Regex { pattern: String, reason: String },
    #[error("path pattern `{pattern}` must start with `/`")]
    NoLeadingSlash { pattern: String },
    #[error("path pattern `{pattern}` must not hold `?`, `#`, `%`, empty, `.` or `..` segments")]
    Unnormal { pattern: String },
    #[error("in path pattern `{pattern}`, `**` must be a whole segment, as in `/v1/files/**`")]
    PartialDoubleStar { pattern: String },
}

/// A pattern over model names, without regard to ASCII case.
///
/// ```
/// let pattern = policy::pattern::ModelPattern::parse("claude-*")?;
/// assert!(pattern.matches("Claude-Opus-4-5"));
/// assert!(!pattern.matches("gpt-5"));
/// # Ok::<(), policy::pattern::PatternError>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelPattern {
    text: String,
    kind: ModelPatternKind,
}

#[derive(Clone)]
enum ModelPatternKind {
    Any,
    Exact,
    Glob,
    Regex(Regex),
}

impl ModelPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`] for an empty, overlong or spaced text and for an expression that does not compile
    /// within its size limit.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        checked_size(text)?;
        let kind = if let Some(expression) = text.strip_prefix(REGEX_PREFIX) {
            ModelPatternKind::Regex(full_match(text, expression)?)
        } else if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(PatternError::Space {
                pattern: text.to_owned(),
            });
        } else if text == "*" {
            ModelPatternKind::Any
        } else if text.contains(['*', '?']) {
            ModelPatternKind::Glob
        } else {
            ModelPatternKind::Exact
        };
        Ok(Self {
            text: text.to_owned(),
            kind,
        })
    }

    /// Whether the pattern covers the model called `name`. Names over [`MAX_PATTERN_BYTES`] are covered by none.
    pub fn matches(&self, name: &str) -> bool {
        if name.len() > MAX_PATTERN_BYTES {
            return false;
        }
        match &self.kind {
            ModelPatternKind::Any => true,
            ModelPatternKind::Exact => self.text.eq_ignore_ascii_case(name),
            ModelPatternKind::Glob => may_begin(&self.text, name) && glob(&self.text, name, true),
            ModelPatternKind::Regex(regex) => regex.is_match(name),
        }
    }

    /// Whether the pattern is one plain name.
    pub fn is_exact(&self) -> bool {
        matches!(self.kind, ModelPatternKind::Exact)
    }

    /// Whether the pattern is `*`.
    pub fn is_any(&self) -> bool {
        matches!(self.kind, ModelPatternKind::Any)
    }

    /// Whether the pattern is a regular expression.
    pub fn is_regex(&self) -> bool {
        matches!(self.kind, ModelPatternKind::Regex(_))
    }

    /// Returns how much the pattern says, for choosing among several that cover a name: exact names before
    /// globs and expressions, then the longer text.
    pub fn precision(&self) -> (bool, usize) {
        (self.is_exact(), self.text.len())
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Two patterns are equal when they are written alike.
impl PartialEq for ModelPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ModelPattern {}

impl fmt::Debug for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelPattern({:?})", self.text)
    }
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for ModelPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::parse(&text)
    }
}

impl From<ModelPattern> for String {
    fn from(pattern: ModelPattern) -> Self {
        pattern.text
    }
}

/// A pattern over request paths (without query), case-sensitive.
///
/// `*` within a segment stands for any text without `/`; a segment `**` stands for any number of segments,
/// none too. A path with an empty, `.` or `..` segment inside is covered by no pattern.
///
/// ```
/// let pattern = policy::pattern::PathPattern::parse("/v1/files/**")?;
/// assert!(pattern.matches("/v1/files/file-1/content"));
/// assert!(!pattern.matches("/v1/filesystem"));
/// # Ok::<(), policy::pattern::PatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern(String);

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`] for a text that is not a normal path or has `**` beside other text in a segment.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        checked_size(text)?;
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(PatternError::Space {
                pattern: text.to_owned(),
            });
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PatternError::NoLeadingSlash {
                pattern: text.to_owned(),
            });
        };
        if text.contains(['?', '#', '%']) || !is_normal(rest) {
            return Err(PatternError::Unnormal {
                pattern: text.to_owned(),
            });
        }
        if rest
            .split('/')
            .any(|segment| segment.contains("**") && segment != "**")
        {
            return Err(PatternError::PartialDoubleStar {
                pattern: text.to_owned(),
            });
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether the pattern covers `path`.
    pub fn matches(&self, path: &str) -> bool {
        let (Some(pattern), Some(path)) = (self.0.strip_prefix('/'), path.strip_prefix('/')) else {
            return false;
        };
        is_normal(path) && segments(pattern.split('/'), path.split('/'))
    }

    /// Whether the pattern is one plain path.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PathPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::parse(&text)
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        pattern.0
    }
}

fn checked_size(text: &str) -> Result<(), PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.len() > MAX_PATTERN_BYTES {
        return Err(PatternError::TooLong { bytes: text.len() });
    }
    Ok(())
}

fn full_match(pattern: &str, expression: &str) -> Result<Regex, PatternError> {
    let error = |reason: String| PatternError::Regex {
        pattern: pattern.to_owned(),
        reason,
    };
    if expression.is_empty() {
        return Err(error("it is empty".to_owned()));
    }
    // Compiled alone first: `a)(b` would otherwise close the group that makes the match a full one.
    RegexBuilder::new(expression)
        .size_limit(REGEX_SIZE_LIMIT_BYTES)
        .build()
        .map_err(|invalid| error(invalid.to_string()))?;
    RegexBuilder::new(&format!("^(?:{expression})$"))
        .case_insensitive(true)
        .size_limit(REGEX_SIZE_LIMIT_BYTES)
        .build()
        .map_err(|invalid| error(invalid.to_string()))
}

/// Whether no segment of `rest` (a path without its first slash) is `.` or `..`, or empty before the last.
fn is_normal(rest: &str) -> bool {
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if segment == "." || segment == ".." || (segment.is_empty() && !is_last) {
            return false;
        }
    }
    true
}

/// Whether a name may begin as a glob does: most names differ from most patterns in their first byte.
fn may_begin(pattern: &str, name: &str) -> bool {
    match (pattern.as_bytes().first(), name.as_bytes().first()) {
        (Some(b'*' | b'?'), _) => true,
        (Some(p), Some(c)) => p.eq_ignore_ascii_case(c),
        (None, _) | (_, None) => false,
    }
}

/// Wildcard match of names or segments, by bytes where a byte is a character.
fn glob(pattern: &str, text: &str, ignores_case: bool) -> bool {
    if pattern.is_ascii() && text.is_ascii() {
        let same = |p: u8, c: u8| p == c || (ignores_case && p.eq_ignore_ascii_case(&c));
        return matches(pattern.bytes(), text.bytes(), (b'*', b'?'), same);
    }
    let same = |p: char, c: char| p == c || (ignores_case && p.eq_ignore_ascii_case(&c));
    matches(pattern.chars(), text.chars(), ('*', '?'), same)
}

/// The usual single backtracking point: at most `pattern` × `text` steps.
fn matches<C, P, T>(
    mut pattern: P,
    mut text: T,
    (many, one): (C, C),
    same: impl Fn(C, C) -> bool,
) -> bool
where
    C: Copy + PartialEq,
    P: Iterator<Item = C> + Clone,
    T: Iterator<Item = C> + Clone,
{
    let mut retry: Option<(P, T)> = None;
    loop {
        let mut rest_of_pattern = pattern.clone();
        let mut rest_of_text = text.clone();
        let matched = match (rest_of_pattern.next(), rest_of_text.next()) {
            (Some(p), _) if p == many => {
                retry = Some((rest_of_pattern.clone(), text.clone()));
                rest_of_text = text.clone();
                true
            }
            (Some(p), Some(c)) => p == one || same(p, c),
            (None, None) => return true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if matched {
            (pattern, text) = (rest_of_pattern, rest_of_text);
            continue;
        }
        let Some((after_star, from)) = &mut retry else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        (pattern, text) = (after_star.clone(), from.clone());
    }
}

/// [`glob`] one level up: segments for characters, `**` for `*`.
fn segments<'a, P, T>(mut pattern: P, mut text: T) -> bool
where
    P: Iterator<Item = &'a str> + Clone,
    T: Iterator<Item = &'a str> + Clone,
{
    let mut retry: Option<(P, T)> = None;
    loop {
        let mut rest_of_pattern = pattern.clone();
        let mut rest_of_text = text.clone();
        let matched = match (rest_of_pattern.next(), rest_of_text.next()) {
            (Some("**"), _) => {
                retry = Some((rest_of_pattern.clone(), text.clone()));
                rest_of_text = text.clone();
                true
            }
            (Some(p), Some(s)) => glob(p, s, false),
            (None, None) => return true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if matched {
            (pattern, text) = (rest_of_pattern, rest_of_text);
            continue;
        }
        let Some((after_star, from)) = &mut retry else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        (pattern, text) = (after_star.clone(), from.clone());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn model(pattern: &str, name: &str, want: bool) {
        let got = ModelPattern::parse(pattern).unwrap().matches(name);
        assert_eq!(got, want, "{pattern} on {name}");
    }

    #[track_caller]
    fn path(pattern: &str, path: &str, want: bool) {
        let got = PathPattern::parse(pattern).unwrap().matches(path);
        assert_eq!(got, want, "{pattern} on {path}");
    }

    #[test]
    fn names_match_without_regard_to_case() {
        model("gpt-5", "GPT-5", true);
        model("gpt-5", "gpt-5-mini", false);
        model("GPT-*", "gpt-5-mini", true);
        model("regex:gpt-[45]", "GPT-4", true);
    }

    #[test]
    fn globs_span_slashes_and_match_whole_names() {
        model("*", "", true);
        model("*", "anthropic/claude-opus-4-5", true);
        model("claude-*-4-?", "claude-opus-4-5", true);
        model("claude-*-4-?", "claude-opus-4-15", false);
        model("*mini*", "gpt-5-mini", true);
        model("a*b*c", "aXbXbc", true);
        model("a*b*c", "aXbXbcd", false);
        model("?", "", false);
        model("?", "é", true);
    }

    #[test]
    fn expressions_match_the_whole_name() {
        model("regex:gpt-5", "gpt-5-mini", false);
        model("regex:gpt-5|o3", "o3", true);
        model("regex:gpt-5|o3", "o3-mini", false);
        model("regex:(?i:a)|b", "xb", false);
        model("regex:a.*", "a\nb", false);
    }

    #[test]
    fn an_expression_cannot_leave_the_group_around_it() {
        assert!(matches!(
            ModelPattern::parse("regex:a)|(b"),
            Err(PatternError::Regex { .. })
        ));
        assert!(matches!(
            ModelPattern::parse("regex:(?x) gpt # comment"),
            Err(PatternError::Regex { .. })
        ));
    }

    #[test]
    fn an_expression_that_grows_too_large_is_refused() {
        assert!(matches!(
            ModelPattern::parse("regex:(?:a{200}){200}{200}"),
            Err(PatternError::Regex { .. })
        ));
    }

    #[test]
    fn overlong_names_match_nothing() {
        model("*", &"a".repeat(MAX_PATTERN_BYTES), true);
        model("*", &"a".repeat(MAX_PATTERN_BYTES + 1), false);
    }

    #[test]
    fn texts_that_are_no_model_pattern_are_refused() {
        assert_eq!(ModelPattern::parse(""), Err(PatternError::Empty));
        assert!(matches!(
            ModelPattern::parse("gpt 5"),
            Err(PatternError::Space { .. })
        ));
        assert!(matches!(
            ModelPattern::parse("regex:("),
            Err(PatternError::Regex { .. })
        ));
        assert!(matches!(
            ModelPattern::parse("regex:"),
            Err(PatternError::Regex { .. })
        ));
        assert!(matches!(
            ModelPattern::parse(&"a".repeat(MAX_PATTERN_BYTES + 1)),
            Err(PatternError::TooLong { bytes: 513 })
        ));
    }

    #[test]
    fn path_wildcards_keep_to_their_segments() {
        path("/v1/files", "/v1/files", true);
        path("/v1/files", "/v1/files/", false);
        path("/v1/files/*", "/v1/files/file-1", true);
        path("/v1/files/*", "/v1/files/file-1/content", false);
        path("/v1/files/*/content", "/v1/files/file-1/content", true);
        path("/v1/f*s", "/v1/files", true);
        path("/v1/F*s", "/v1/files", false);
        path("/**", "/anything/at/all", true);
        path("/v1/**/content", "/v1/content", true);
        path("/v1/**/content", "/v1/a/b/content", true);
        path("/v1/**/content", "/v1/a/b/contents", false);
    }

    #[test]
    fn paths_that_could_mean_another_path_match_nothing() {
        path("/**", "/v1/../v2", false);
        path("/**", "/v1/./v2", false);
        path("/**", "/v1//v2", false);
        path("/**", "//", false);
        path("/**", "v1", false);
    }

    #[test]
    fn texts_that_are_no_path_pattern_are_refused() {
        for (text, want) in [
            ("v1", "start with `/`"),
            ("/v1/../x", "must not hold"),
            ("/v1?x=1", "must not hold"),
            ("/v1/%2e", "must not hold"),
            ("/v1/a**", "whole segment"),
            ("/v1/a b", "white space"),
        ] {
            let error = PathPattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn a_bad_pattern_fails_to_deserialise_with_its_reason() {
        let error = serde_json::from_str::<ModelPattern>("\"regex:(\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("not a regular expression"), "{error}");
    }

    /// The definition of a glob, exponential and obvious.
    fn reference(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skip| reference(rest, &text[skip..])),
            Some((p, rest)) => text.split_first().is_some_and(|(c, tail)| {
                (*p == '?' || p.eq_ignore_ascii_case(c)) && reference(rest, tail)
            }),
        }
    }

    proptest! {
        #[test]
        fn globs_equal_their_definition(pattern in "[abA*?]{1,8}", name in "[abBé]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                ModelPattern::parse(&pattern).unwrap().matches(&name),
                reference(&chars(&pattern), &chars(&name))
            );
        }

        #[test]
        fn paths_equal_globs_over_segments(pattern in "(/(a|b|\\*\\*)){1,6}", path in "(/[ab]){1,7}") {
            let one = |segment: &str| if segment == "**" { '*' } else { segment.chars().next().unwrap() };
            let pattern_chars = pattern.split('/').skip(1).map(one).collect::<Vec<_>>();
            let path_chars = path.split('/').skip(1).map(one).collect::<Vec<_>>();
            prop_assert_eq!(
                PathPattern::parse(&pattern).unwrap().matches(&path),
                reference(&pattern_chars, &path_chars)
            );
        }

        #[test]
        fn parsing_never_panics_and_keeps_the_text(text in "(regex:)?.{0,40}", name in ".{0,20}") {
            if let Ok(pattern) = ModelPattern::parse(&text) {
                prop_assert_eq!(pattern.as_str(), &text);
                pattern.matches(&name);
            }
        }
    }
}

//! Paths outside the known surfaces, as a key lists them: a path pattern, and behind a `?` the query parameters that
//! may be sent there.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::pattern::{PathPattern, PatternError};

/// Longest name of a query parameter.
const MAX_NAME_BYTES: usize = 64;

/// Parameters that never pass, their letters and digits in lower case: they carry a credential, choose who acts or
/// pays, or change the form in which answers come and are read here.
const NEVER: [&str; 21] = [
    "accesstoken",
    "alt",
    "apikey",
    "apiversion",
    "auth",
    "authorization",
    "authuser",
    "callback",
    "fields",
    "httpheaders",
    "key",
    "oauthtoken",
    "organization",
    "prettyprint",
    "project",
    "quotauser",
    "subscriptionkey",
    "token",
    "uploadprotocol",
    "uploadtype",
    "userproject",
];

/// A text that lists no opaque path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpaquePathError {
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error(
        "`{name}` is no query parameter: behind `?` stand names of letters, digits, `_`, `-` and `.` (`[]` at the end), joined by `&`"
    )]
    Parameter { name: String },
    #[error(
        "the query parameter `{name}` never passes: it carries a credential, chooses an account or changes the form of the answer"
    )]
    Never { name: String },
    #[error("the query parameter `{name}` is listed twice")]
    Twice { name: String },
}

/// A path pattern with the query parameters that may be sent there; without `?` none may.
///
/// ```
/// let listed = policy::opaque_path::OpaquePath::parse("/v1/audio/*?language&page")?;
/// assert!(listed.matches("/v1/audio/voices") && listed.lists("page") && !listed.lists("fields"));
/// # Ok::<(), policy::opaque_path::OpaquePathError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OpaquePath {
    pattern: PathPattern,
    parameters: Vec<String>,
}

impl OpaquePath {
    /// Reads a pattern and its parameters.
    ///
    /// # Errors
    /// [`OpaquePathError`] for a text whose path is no [`PathPattern`], and for parameters that cannot be listed.
    pub fn parse(text: &str) -> Result<Self, OpaquePathError> {
        let (pattern, names) = match text.split_once('?') {
            Some((pattern, names)) => (pattern, names.split('&').collect()),
            None => (text, Vec::new()),
        };
        let pattern = PathPattern::parse(pattern)?;
        let mut parameters: Vec<String> = Vec::new();
        for name in names {
            check(name)?;
            let name = name.to_owned();
            if parameters.contains(&name) {
                return Err(OpaquePathError::Twice { name });
            }
            parameters.push(name);
        }
        Ok(Self {
            pattern,
            parameters,
        })
    }

    /// Whether `path` is covered.
    pub fn matches(&self, path: &str) -> bool {
        self.pattern.matches(path)
    }

    /// Whether one plain path is covered.
    pub fn is_exact(&self) -> bool {
        self.pattern.is_exact()
    }

    /// Whether the query parameter `name` may be sent there.
    pub fn lists(&self, name: &str) -> bool {
        self.parameters.iter().any(|listed| listed == name)
    }
}

fn check(name: &str) -> Result<(), OpaquePathError> {
    let plain = name.strip_suffix("[]").unwrap_or(name);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_name = (1..=MAX_NAME_BYTES).contains(&plain.len())
        && plain.bytes().all(is_plain)
        && plain.starts_with(|first: char| first.is_ascii_alphabetic());
    let name = || name.to_owned();
    if !is_name {
        return Err(OpaquePathError::Parameter { name: name() });
    }
    let letters = plain.chars().filter(char::is_ascii_alphanumeric);
    let folded: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    if NEVER.contains(&folded.as_str()) {
        return Err(OpaquePathError::Never { name: name() });
    }
    Ok(())
}

impl fmt::Display for OpaquePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pattern.as_str())?;
        for (number, name) in self.parameters.iter().enumerate() {
            let before = if number == 0 { '?' } else { '&' };
            write!(f, "{before}{name}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for OpaquePath {
    type Error = OpaquePathError;

    fn try_from(text: String) -> Result<Self, OpaquePathError> {
        Self::parse(&text)
    }
}

impl From<OpaquePath> for String {
    fn from(listed: OpaquePath) -> Self {
        listed.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lists_its_parameters() {
        for (text, names) in [
            ("/v1/audio/**", &[][..]),
            ("/v1/audio/*?language", &["language"][..]),
            (
                "/v1/x?a&b_c&d-e.f&include[]",
                &["a", "b_c", "d-e.f", "include[]"],
            ),
        ] {
            let listed = OpaquePath::parse(text).unwrap();
            assert_eq!(listed.to_string(), text);
            for name in names {
                assert!(listed.lists(name), "{text} {name}");
            }
            for name in ["fields", "LANGUAGE", "", "include"] {
                assert!(!listed.lists(name), "{text} {name}");
            }
        }
    }

    #[test]
    fn what_cannot_be_listed_is_told() {
        for text in ["v1/x?a", "?a", "/v1/%2e?a"] {
            let error = OpaquePath::parse(text).unwrap_err();
            assert!(matches!(error, OpaquePathError::Pattern(_)), "{text}");
        }
        for text in [
            "/x?",
            "/x?a&",
            "/x?a=1",
            "/x?*",
            "/x?$fields",
            "/x?$userProject",
            "/x?a b",
            "/x?%6bey",
            "/x?[]",
            "/x?1a",
            "/x?a[]b",
            "/x?é",
            "/x?a?b",
        ] {
            let error = OpaquePath::parse(text).unwrap_err();
            assert!(matches!(error, OpaquePathError::Parameter { .. }), "{text}");
        }
        for text in [
            "/x?key",
            "/x?KEY",
            "/x?key[]",
            "/x?api_key",
            "/x?access_token",
            "/x?fields",
            "/x?alt",
            "/x?prettyPrint",
            "/x?api-version",
            "/x?a&uploadType",
        ] {
            let error = OpaquePath::parse(text).unwrap_err();
            assert!(matches!(error, OpaquePathError::Never { .. }), "{text}");
        }
        assert!(matches!(
            OpaquePath::parse("/x?a&a"),
            Err(OpaquePathError::Twice { .. })
        ));
    }
}

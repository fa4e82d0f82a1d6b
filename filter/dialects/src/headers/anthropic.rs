//! Anthropic Messages: Claude Code 2.1, the official SDKs, and answers of Anthropic's own API and of Vertex.

use super::{HeaderLists, List};

pub(super) const LISTS: HeaderLists = HeaderLists {
    request: List {
        names: names![
            "anthropic-beta",
            "anthropic-dangerous-direct-browser-access",
            "anthropic-version",
            // Claude Code: `cli`, `cli-bg`; what an application built on it calls itself.
            "x-app",
            "x-claude-code-agent-id",
            "x-claude-code-prompt-id",
            "x-claude-code-request-class",
            "x-claude-code-session-id",
            "x-client-app",
        ],
        prefixes: &[
            // The gateway contract of Claude Code: an open list.
            "anthropic-*",
            "x-anthropic-*",
            "x-cc-*",
            "x-claude-*",
        ],
    },
    response: List {
        names: names!["cf-ray",],
        prefixes: &["anthropic-*", "x-anthropic-*", "x-cc-*", "x-claude-*"],
    },
    login: &[
        "anthropic-organization-id",
        "anthropic-user-profile-id",
        "anthropic-workspace-id",
    ],
};

//! Gemini: Gemini CLI 0.61, google-genai for Python and JavaScript, and answers of AI Studio and Vertex.

use super::{HeaderLists, List};

pub(super) const LISTS: HeaderLists = HeaderLists {
    request: List {
        names: names![
            // Gemini CLI: a random id of the installation.
            "x-gemini-api-privileged-user-id",
            "x-goog-api-client",
            // How long the client waits, from the SDK's own timeout.
            "x-server-timeout",
        ],
        // Neither `x-goog-*`, which chooses projects, fields of the answer and other methods, nor `x-vertex-*`.
        prefixes: &[],
    },
    response: List {
        names: names![
            "x-gemini-service-tier",
            "x-goog-request-id",
            "x-vertex-ai-received-request-id",
        ],
        prefixes: &[],
    },
    login: &["x-goog-user-project"],
};

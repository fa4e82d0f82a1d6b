//! Patterns over model names and paths: exact, glob (`*`, `?`), or `regex:` (full match).

use serde::{Deserialize, Serialize};

/// A pattern over model names, case-insensitive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelPattern(String);

/// A pattern over request paths: exact, or a glob in which `*` stays within one segment and `**` does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathPattern(String);

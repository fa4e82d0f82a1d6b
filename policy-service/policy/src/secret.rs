//! A text that must not be printed.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A credential. `Debug` is redacted and there is no `Display`; [`expose`](Self::expose) is the one way to read it.
///
/// It serialises as plain text, because the compiled policy carries provider credentials to the filter;
/// types that leave the service otherwise (API views, logs) never hold a `Secret`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text; each call site is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

//! Tokens in answers become values again.

use core::ops::Range;

use policy::secret::Secret;

use super::Guard;
use super::token::{TokenMap, TokenScope, find_tokens};

/// What one exchange knows of the tokens of its session.
#[derive(Debug)]
pub(crate) struct Restore {
    scope: TokenScope,
    /// Made from this request or asked of the service.
    known: TokenMap,
}

/// A token in a text.
#[derive(Debug)]
pub(crate) struct Restored {
    pub range: Range<usize>,
    /// `None` where nobody here knows the value.
    pub value: Option<Secret>,
}

impl Restore {
    pub(crate) fn new(scope: TokenScope, known: TokenMap) -> Self {
        Self { scope, known }
    }

    /// Returns the tokens in `text`, in order, with their values.
    pub(crate) fn find(&self, guard: &Guard, text: &[u8]) -> Vec<Restored> {
        let found = find_tokens(guard.tokens(), text);
        let found = found.map(|range| {
            let token = text.get(range.clone()).unwrap_or_default();
            let value = core::str::from_utf8(token)
                .ok()
                .and_then(|token| self.value(guard, token));
            Restored { range, value }
        });
        found.collect()
    }

    fn value(&self, guard: &Guard, token: &str) -> Option<Secret> {
        let known = self.known.get(token).cloned();
        let value = known.or_else(|| guard.recall(&self.scope, token))?;
        // What the service answered is believed only if this token can stand for it here.
        let remade = guard
            .tokens()
            .is_of(&self.scope, token, value.expose().as_bytes());
        remade.then_some(value)
    }
}

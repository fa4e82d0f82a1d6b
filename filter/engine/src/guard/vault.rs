//! Values behind tokens, as far as this VM remembers them; the policy service keeps them all.

use std::collections::{BTreeMap, VecDeque};

use policy::secret::Secret;
use policy::units::Timestamp;

use super::token::{TokenMap, TokenScope};

/// Sessions that are remembered.
const SESSIONS: usize = 1_024;

/// Values that are remembered in all, and their bytes.
const VALUES: usize = 65_536;
const BYTES: usize = 16 * 1024 * 1024;

/// A token made in this VM and the value behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    pub scope: TokenScope,
    pub token: String,
    pub value: Secret,
    /// Id of the rule that found the value.
    pub rule: String,
}

/// What this VM remembers; the session that came first is forgotten first.
#[derive(Debug, Default)]
pub(super) struct Vault {
    sessions: BTreeMap<TokenScope, TokenMap>,
    /// Sessions in the order they came.
    order: VecDeque<TokenScope>,
    values: usize,
    bytes: usize,
    /// The service did not answer: it is not asked again before then.
    pub(super) silent_until: Timestamp,
}

impl Vault {
    /// Remembers values; returns those that are new to this VM.
    pub(super) fn remember(&mut self, scope: &TokenScope, made: &[Minted]) -> Vec<Minted> {
        if made.is_empty() {
            return Vec::new();
        }
        let session = self.sessions.get(scope);
        let is_new =
            |minted: &&Minted| session.is_none_or(|session| !session.contains_key(&minted.token));
        let new: Vec<_> = made.iter().filter(is_new).cloned().collect();
        let values = new.iter().cloned();
        self.learn(scope, values.map(|minted| (minted.token, minted.value)));
        new
    }

    /// Remembers values of a session; none makes the session known all the same.
    pub(super) fn learn(
        &mut self,
        scope: &TokenScope,
        found: impl IntoIterator<Item = (String, Secret)>,
    ) {
        if !self.sessions.contains_key(scope) {
            self.order.push_back(scope.clone());
        }
        let session = self.sessions.entry(scope.clone()).or_default();
        for (token, value) in found {
            let length = value.expose().len();
            if session.insert(token, value).is_none() {
                self.values += 1;
                self.bytes += length;
            }
        }
        self.forget(scope);
    }

    /// Whether the session has been met here.
    pub(super) fn knows(&self, scope: &TokenScope) -> bool {
        self.sessions.contains_key(scope)
    }

    pub(super) fn recall(&self, scope: &TokenScope, token: &str) -> Option<Secret> {
        self.sessions.get(scope)?.get(token).cloned()
    }

    fn is_full(&self) -> bool {
        self.sessions.len() > SESSIONS || self.values > VALUES || self.bytes > BYTES
    }

    /// Makes room, but never at the cost of `current`.
    fn forget(&mut self, current: &TokenScope) {
        while self.is_full() && self.sessions.len() > 1 {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if oldest == *current {
                self.order.push_back(oldest);
                continue;
            }
            if let Some(session) = self.sessions.remove(&oldest) {
                self.values = self.values.saturating_sub(session.len());
                let bytes: usize = session.values().map(|value| value.expose().len()).sum();
                self.bytes = self.bytes.saturating_sub(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minted(session: usize, value: usize) -> Minted {
        Minted {
            scope: TokenScope {
                tenant: vec![1],
                session: session.to_string(),
            },
            token: format!("token{value}"),
            value: Secret::new(value.to_string()),
            rule: String::new(),
        }
    }

    #[test]
    fn a_value_is_told_once_and_recalled_in_its_own_session_only() {
        let mut vault = Vault::default();
        let one = minted(1, 1);
        assert_eq!(
            vault.remember(&one.scope, std::slice::from_ref(&one)),
            std::slice::from_ref(&one)
        );
        assert_eq!(vault.remember(&one.scope, std::slice::from_ref(&one)), []);
        assert_eq!(vault.recall(&one.scope, "token1"), Some(one.value.clone()));
        assert_eq!(vault.recall(&minted(2, 1).scope, "token1"), None);
    }

    #[test]
    fn it_is_bounded() {
        let mut vault = Vault::default();
        for session in 0..SESSIONS + 10 {
            let one = minted(session, 1);
            vault.remember(&one.scope, std::slice::from_ref(&one));
        }
        assert_eq!(vault.sessions.len(), SESSIONS);
        assert_eq!(vault.recall(&minted(0, 1).scope, "token1"), None);
        let last = minted(SESSIONS + 9, 1);
        assert!(vault.recall(&last.scope, "token1").is_some());
    }
}

//! Tokens: what stands for a value while it is at the provider.
//!
//! ```text
//! weirtok  awsa  3k7m…(16)  9x2b
//! prefix   kind  value      check
//! ```
//! All lower-case letters and digits, [`TOKEN_BYTES`] in all, so that a token survives shells, JSON, URLs and a model
//! that copies it. `value` is a keyed MAC over tenant, session and value: the same value is the same token in every
//! turn, worker and Envoy of the mesh, and another one in another session. `check` is a keyed hash over the rest, so
//! that other words do not pass for tokens; what a token stands for is proven by its `value`.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac as _};
use policy::secret::Secret;
use sha2::Sha256;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What every token begins with.
pub const TOKEN_PREFIX: &str = "weirtok";

/// Length of every token.
pub const TOKEN_BYTES: usize = PREFIX_BYTES + KIND_BYTES + VALUE_BYTES + CHECK_BYTES;

/// Different values that one exchange may tokenise at most; further ones are redacted.
pub const MAX_TOKENS: usize = 10_000;

/// Longest value that is tokenised; longer ones are redacted.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

const PREFIX_BYTES: usize = TOKEN_PREFIX.len();
const KIND_BYTES: usize = 4;
const VALUE_BYTES: usize = 16;
const CHECK_BYTES: usize = 4;

/// No `l`, `o`, `0`, `1`: a reader and a model tell all of these apart.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Who a token belongs to; it means nothing to anybody else.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenScope {
    /// Kind and id of the tenant, as [`Principal::tenant`](policy::compiled::Principal::tenant) makes it.
    pub tenant: Vec<u8>,
    /// The client's session; empty where the client names none.
    pub session: String,
}

/// Values by their tokens.
pub type TokenMap = BTreeMap<String, Secret>;

/// Makes tokens, fingerprints and marks of one mesh.
#[derive(Clone)]
pub struct TokenKey {
    key: Hmac<Sha256>,
    /// Of the check letters, which only have to tell tokens from other words, at little cost.
    check: u64,
}

impl core::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

impl TokenKey {
    /// Uses the mesh's key, of any length.
    pub fn new(key: &Secret) -> Self {
        // HMAC takes keys of every length; an error is not possible, and an empty key is still a key.
        let key = Hmac::new_from_slice(key.expose().as_bytes())
            .or_else(|_| Hmac::new_from_slice(&[]))
            .unwrap_or_else(|_| Hmac::new(&Default::default()));
        let mut made = Self { key, check: 0 };
        let check = made.mac(b"check", &[]);
        made.check = check
            .iter()
            .take(8)
            .fold(0, |seed, byte| (seed << 8) | u64::from(*byte));
        made
    }

    /// Returns the token that stands for `value` in `scope`; `rule` found it.
    pub fn token(&self, scope: &TokenScope, rule: &str, value: &[u8]) -> String {
        let mac = self.mac(b"token", &[&scope.tenant, scope.session.as_bytes(), value]);
        let mut token = String::with_capacity(TOKEN_BYTES);
        token.push_str(TOKEN_PREFIX);
        let letters = rule
            .bytes()
            .filter(u8::is_ascii_alphanumeric)
            .map(|byte| char::from(byte.to_ascii_lowercase()));
        token.extend(letters.chain("xxxx".chars()).take(KIND_BYTES));
        token.extend(mac.iter().take(VALUE_BYTES).map(letter));
        let check = self.check(&token);
        token.push_str(&check);
        token
    }

    /// Whether `token` stands for `value` in `scope`.
    pub fn is_of(&self, scope: &TokenScope, token: &str, value: &[u8]) -> bool {
        let made = self.token(scope, "", value);
        let part = PREFIX_BYTES + KIND_BYTES..TOKEN_BYTES - CHECK_BYTES;
        self.is_token(token.as_bytes()) && token.get(part.clone()) == made.get(part)
    }

    /// Whether `text` is a token that this mesh made, for whomever.
    pub fn is_token(&self, text: &[u8]) -> bool {
        let Ok(text) = core::str::from_utf8(text) else {
            return false;
        };
        let Some((body, check)) = text.split_at_checked(TOKEN_BYTES - CHECK_BYTES) else {
            return false;
        };
        body.starts_with(TOKEN_PREFIX) && self.check(body) == check
    }

    /// Returns 16 hex digits that tell values apart without telling the value; the same in the whole mesh.
    pub fn fingerprint(&self, value: &[u8]) -> String {
        hex(&self.mac(b"fingerprint", &[value]))
    }

    /// Returns 16 hex digits that stand in a text for a value that was hidden by hash.
    pub fn hash(&self, value: &[u8]) -> String {
        hex(&self.mac(b"hash", &[value]))
    }

    /// Returns what a value that was blocked is remembered by.
    pub fn mark(&self, scope: &TokenScope, value: &[u8]) -> [u8; 16] {
        let mac = self.mac(b"mark", &[&scope.tenant, value]);
        let mut mark = [0; 16];
        for (to, from) in mark.iter_mut().zip(mac) {
            *to = from;
        }
        mark
    }

    fn check(&self, body: &str) -> String {
        let hash = xxh3_64_with_seed(body.as_bytes(), self.check);
        hash.to_le_bytes()
            .iter()
            .take(CHECK_BYTES)
            .map(letter)
            .collect()
    }

    /// `purpose` keeps one use from standing in for another; lengths keep parts from running together.
    fn mac(&self, purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.key.clone();
        mac.update(purpose);
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

fn letter(byte: &u8) -> char {
    let place = usize::from(byte & 31);
    ALPHABET.get(place).map_or('x', |byte| char::from(*byte))
}

fn hex(bytes: &[u8; 32]) -> String {
    let first = bytes.iter().take(8);
    first.map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the places of tokens in `text`, in order; what only looks like one is left out.
pub fn find_tokens<'t>(
    key: &'t TokenKey,
    text: &'t [u8],
) -> impl Iterator<Item = core::ops::Range<usize>> + 't {
    let mut from = 0;
    core::iter::from_fn(move || {
        loop {
            let rest = text.get(from..)?;
            let start = from + memchr::memmem::find(rest, TOKEN_PREFIX.as_bytes())?;
            let end = start + TOKEN_BYTES;
            if text
                .get(start..end)
                .is_some_and(|token| key.is_token(token))
            {
                from = end;
                return Some(start..end);
            }
            from = start + 1;
        }
    })
}

/// Returns how many bytes at the end of `text` could be the beginning of a token.
pub fn token_tail(text: &[u8]) -> usize {
    let longest = text.len().min(TOKEN_BYTES - 1);
    (1..=longest)
        .rev()
        .find(|length| {
            let tail = text.get(text.len() - length..).unwrap_or_default();
            let prefix = TOKEN_PREFIX.as_bytes();
            let rest = tail.get(PREFIX_BYTES..).unwrap_or_default();
            tail.iter().zip(prefix).all(|(one, other)| one == other)
                && rest
                    .iter()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        TokenKey::new(&Secret::new("of the mesh"))
    }

    fn scope(session: &str) -> TokenScope {
        TokenScope {
            tenant: b"team".to_vec(),
            session: session.to_owned(),
        }
    }

    #[test]
    fn a_value_has_one_token_in_a_session_and_another_elsewhere() {
        let token = key().token(&scope("one"), "aws-access-token", b"AKIA");
        assert_eq!(
            token,
            key().token(&scope("one"), "aws-access-token", b"AKIA")
        );
        assert_eq!(token.len(), TOKEN_BYTES);
        assert!(token.starts_with("weirtokawsa"));
        for other in [
            key().token(&scope("two"), "aws-access-token", b"AKIA"),
            key().token(&scope("one"), "aws-access-token", b"AKIB"),
            TokenKey::new(&Secret::new("of another")).token(&scope("one"), "aws", b"AKIA"),
        ] {
            assert_ne!(token, other);
        }
    }

    #[test]
    fn only_what_this_mesh_made_is_a_token() {
        let token = key().token(&scope("one"), "jwt", b"eyJ");
        assert!(token.starts_with("weirtokjwtx"));
        assert!(key().is_token(token.as_bytes()));
        let mut forged = token.clone().into_bytes();
        forged[20] ^= 1;
        assert!(!key().is_token(&forged));
        assert!(!TokenKey::new(&Secret::new("of another")).is_token(token.as_bytes()));
        assert!(!key().is_token(&token.as_bytes()[1..]));
        assert!(!key().is_token(b""));
    }

    #[test]
    fn tokens_are_found_where_they_stand() {
        let one = key().token(&scope("one"), "jwt", b"1");
        let two = key().token(&scope("one"), "jwt", b"2");
        let text = format!("weirtok {one}{two} weirtokweirtok{one}");
        let found: Vec<_> = find_tokens(&key(), text.as_bytes())
            .map(|range| text.get(range).unwrap())
            .collect();
        assert_eq!(found, [one.as_str(), two.as_str(), one.as_str()]);
    }

    #[test]
    fn the_beginning_of_a_token_is_seen_at_every_cut() {
        let token = key().token(&scope("one"), "jwt", b"1");
        for cut in 1..TOKEN_BYTES {
            let text = format!("a word {}", token.get(..cut).unwrap());
            assert_eq!(token_tail(text.as_bytes()), cut);
        }
        assert_eq!(token_tail(b"a w"), 1, "`w` may begin one");
        assert_eq!(token_tail(b"a word "), 0);
    }
}

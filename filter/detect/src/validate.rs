//! What a pattern cannot say about a value: whether it decodes, whether its checksum holds, whether it looks drawn
//! by lot, whether it is a stand-in.
//!
//! A validator sees the match and the secret in it and nothing else, so that its answer is the same in a body, in a
//! window of it and in a stream.

mod base64;
mod value;

use crate::validate::value::{
    Words, automaton, is_everyday_word, is_hash_shaped, is_mixed, is_path_like, is_stand_in,
    is_uuid_shaped, is_weak_password, looks_random,
};

/// A named check of a rule's matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validator {
    /// Every match counts.
    Any,
    /// The secret is no stand-in such as `your-key-here` or `xxxxxxxx`.
    Format,
    /// The secret stands under a name for secrets and looks random.
    Random,
    /// The secret looks random, whatever its name.
    Token,
    /// The secret holds digits and letters and is no word or name.
    Mixed,
    /// The secret could be a password that somebody uses.
    Password,
    /// The same for the password of a URL.
    UrlPassword,
    /// The secret is the base64 of `user:password`.
    Basic,
    /// The first part is the base64 of a JSON object.
    Jwt,
    /// The secret is the base64 of a JWT.
    JwtBase64,
    /// The match holds lines of base64.
    Pem,
    /// The value of an HTTP header looks like a credential.
    Header,
    /// The secret is `user:password` in plain.
    Userinfo,
    /// The secret is base64 in whole groups.
    Kubernetes,
    /// The secret looks random beyond doubt: its name says little.
    EnvKey,
    /// The checksum of a virtual key of Weir holds.
    WeirKey,
}

impl Validator {
    /// Every name that a rule file may give.
    pub(crate) const NAMES: [(&'static str, Self); 16] = [
        ("any", Self::Any),
        ("format", Self::Format),
        ("random", Self::Random),
        ("token", Self::Token),
        ("mixed", Self::Mixed),
        ("password", Self::Password),
        ("url-password", Self::UrlPassword),
        ("basic", Self::Basic),
        ("jwt", Self::Jwt),
        ("jwt-base64", Self::JwtBase64),
        ("pem", Self::Pem),
        ("header", Self::Header),
        ("userinfo", Self::Userinfo),
        ("kubernetes", Self::Kubernetes),
        ("env-key", Self::EnvKey),
        ("weir-key", Self::WeirKey),
    ];

    /// Returns the validator of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|&&(known, _)| known == name)
            .map(|&(_, validator)| validator)
    }

    /// Returns whether a match counts. `secret` is the part of `matched` that would be hidden.
    pub(crate) fn accepts(self, matched: &[u8], secret: &[u8]) -> bool {
        self.holds(matched, secret) && !is_published(secret)
    }

    fn holds(self, matched: &[u8], secret: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Format => !is_stand_in(secret),
            Self::Random => is_secret_under_name(matched, secret),
            Self::Mixed => !is_stand_in(secret) && is_mixed(secret),
            Self::Token => !is_stand_in(secret) && looks_random(secret),
            Self::Password => is_password(matched, secret),
            Self::UrlPassword => is_url_password(matched, secret),
            Self::Basic => is_basic(secret),
            Self::Jwt => is_jwt(secret),
            Self::JwtBase64 => is_jwt_base64(secret),
            Self::Pem => has_base64_line(matched),
            Self::Header => is_header_credential(secret),
            Self::Userinfo => is_userinfo(secret),
            Self::Kubernetes => is_padded_base64(secret),
            Self::EnvKey => {
                is_secret_under_name(matched, secret)
                    && !is_hash_shaped(secret)
                    && !is_uuid_shaped(secret)
            }
            Self::WeirKey => is_weir_key(secret),
        }
    }
}

/// CRC-32 of values that vendors and standards publish as samples, so that anybody's program holds them: the API keys
/// in the tests of the Firebase SDKs, the keys of Azure's storage and Cosmos DB emulators, the test keys in Stripe's
/// documentation, and Aladdin's password of RFC 7617.
const PUBLISHED: [u32; 16] = [
    0x1F35_8CBE,
    0x0BA5_9ABA,
    0x6B66_E8A8,
    0xAFE8_FF3E,
    0x0839_4327,
    0xFBC4_7221,
    0x6A4F_7820,
    0x3627_AA84,
    0x94BB_94F9,
    0xB4CB_D586,
    0x32FF_D596,
    0x776D_E070,
    0x396D_8142,
    0x7A77_589D,
    0xAD2B_0A04,
    0xFD12_C4D6,
];

/// Returns whether a value is a vendor's published sample.
fn is_published(secret: &[u8]) -> bool {
    PUBLISHED.contains(&crc32(secret))
}

/// Parts of a name that say that the value is no secret although the name sounds like one.
const HARMLESS_NAMES: [&str; 48] = [
    "public",
    "pubkey",
    "pub_key",
    "_id",
    "keyid",
    "key-id",
    "tokenid",
    "secretid",
    "_name",
    "keyname",
    "-name",
    "secretname",
    "_type",
    "tokentype",
    "_url",
    "_uri",
    "endpoint",
    "_path",
    "_file",
    "filename",
    "hash",
    "sha1",
    "sha256",
    "sha512",
    "md5",
    "digest",
    "checksum",
    "integrity",
    "fingerprint",
    "thumbprint",
    "etag",
    "credentialsid",
    "credentialid",
    "version",
    "expir",
    "format",
    "length",
    "page",
    "continu",
    "sync",
    "delta",
    "resume",
    "skip",
    "cancel",
    "design",
    "idempot",
    "nexttoken",
    "next_token",
];

static HARMLESS: Words = Words::new(|| automaton(&HARMLESS_NAMES));

/// Names under which a UUID is an identifier and no key.
static OF_CLIENTS: Words = Words::new(|| automaton(&["client", "auth"]));

/// Returns whether a value that looks random stands under a name for secrets.
fn is_secret_under_name(matched: &[u8], secret: &[u8]) -> bool {
    if is_stand_in(secret) || is_path_like(secret) {
        return false;
    }
    if has_harmless_name(matched, secret) {
        return false;
    }
    if is_uuid_shaped(secret) {
        return !OF_CLIENTS.occur_in(name_of(matched, secret));
    }
    if is_hash_shaped(secret) {
        return true;
    }
    looks_random(secret)
}

/// Returns whether the name that a value stands under says that it is no secret.
fn has_harmless_name(matched: &[u8], secret: &[u8]) -> bool {
    HARMLESS.occur_in(name_of(matched, secret))
}

/// Returns what stands in a match before its secret: the name and what joins them.
fn name_of<'t>(matched: &'t [u8], secret: &[u8]) -> &'t [u8] {
    let before = memchr::memmem::find(matched, secret).unwrap_or(0);
    matched.get(..before).unwrap_or_default()
}

/// Returns whether a value under a name for passwords could be one.
fn is_password(matched: &[u8], secret: &[u8]) -> bool {
    !is_stand_in(secret)
        && !is_path_like(secret)
        && !has_harmless_name(matched, secret)
        && !is_weak_password(secret)
}

/// Returns whether the password of a URL could be one; `matched` is `://user:password@host`.
fn is_url_password(matched: &[u8], secret: &[u8]) -> bool {
    let user = matched
        .get(3..)
        .and_then(|rest| rest.split(|&byte| byte == b':').next())
        .unwrap_or_default();
    !is_stand_in(secret) && !user.eq_ignore_ascii_case(secret) && !is_weak_password(secret)
}

/// Returns whether the secret is the base64 of `user:password` with a password that could be one.
fn is_basic(secret: &[u8]) -> bool {
    let plain = base64::decode(secret, 256);
    let mut parts = plain.splitn(2, |&byte| byte == b':');
    let (Some(user), Some(password)) = (parts.next(), parts.next()) else {
        return false;
    };
    let is_text = |part: &[u8]| part.iter().all(|byte| (0x20..0x7f).contains(byte));
    is_text(user)
        && is_text(password)
        && !password.is_empty()
        && user != password
        && !is_everyday_word(password)
        && !is_stand_in(password)
}

/// Returns whether the value of an HTTP header looks like a credential.
fn is_header_credential(secret: &[u8]) -> bool {
    !is_stand_in(secret)
        && !secret.contains(&b'$')
        && (is_uuid_shaped(secret)
            || is_hash_shaped(secret)
            || looks_random(secret)
            || is_basic(secret))
}

/// Returns whether the secret is `user:password` in plain, with a password that could be one.
fn is_userinfo(secret: &[u8]) -> bool {
    let mut parts = secret.splitn(2, |&byte| byte == b':');
    let (Some(user), Some(password)) = (parts.next(), parts.next()) else {
        return false;
    };
    let password = password.trim_ascii_start();
    let password = match password {
        [b'"' | b'\'', inner @ .., b'"' | b'\''] => inner,
        whole => whole,
    };
    !is_stand_in(secret) && !user.eq_ignore_ascii_case(password) && !is_weak_password(password)
}

/// Returns whether the secret is base64 in whole groups of four.
fn is_padded_base64(secret: &[u8]) -> bool {
    secret.len().is_multiple_of(4) && !base64::decode(secret, 32).is_empty()
}

/// Returns whether the first part of the secret is the base64 of a JSON object.
fn is_jwt(secret: &[u8]) -> bool {
    let head = secret
        .split(|&byte| byte == b'.')
        .next()
        .unwrap_or_default();
    is_json_object(&base64::decode(head, 4096)) && !is_stand_in(secret)
}

/// Returns whether the secret is the base64 of a JWT.
fn is_jwt_base64(secret: &[u8]) -> bool {
    let plain = base64::decode(secret, 16 * 1024);
    let mut parts = plain.split(|&byte| byte == b'.');
    let is_object = |part: Option<&[u8]>| part.is_some_and(|part| part.starts_with(b"ey"));
    is_object(parts.next()) && is_object(parts.next())
}

/// Returns whether bytes begin like a JSON object with a member.
fn is_json_object(bytes: &[u8]) -> bool {
    let mut visible = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
    visible.next() == Some(&b'{') && visible.next() == Some(&b'"')
}

/// Returns whether a match holds at least one line's worth of base64 that is not one letter over and over.
fn has_base64_line(matched: &[u8]) -> bool {
    matched
        .split(|&byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')))
        .any(|run| run.len() >= 32 && !is_stand_in(run))
}

/// Length of a virtual key before its checksum.
const WEIR_KEY_CHECKED: usize = 51;

/// Signs of base62 in the order that virtual keys use.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Returns whether the last six signs are the base62 of the CRC-32 of everything before them.
fn is_weir_key(secret: &[u8]) -> bool {
    let Some((checked, checksum)) = secret.split_at_checked(WEIR_KEY_CHECKED) else {
        return false;
    };
    let mut rest = crc32(checked);
    let mut want = [b'0'; 6];
    for place in want.iter_mut().rev() {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        *place = BASE62.get(digit).copied().unwrap_or(b'0');
        rest /= 62;
    }
    checksum == want
}

/// The CRC-32 of IEEE 802.3, bit by bit: it runs once for each candidate.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0xEDB8_8320;
            }
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, matched: &str, secret: &str, want: bool) {
        let validator = Validator::named(name).unwrap();
        let is = validator.accepts(matched.as_bytes(), secret.as_bytes());
        assert_eq!(is, want, "{name}: {matched}");
    }

    #[test]
    fn the_documentation_names_every_validator() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/secrets-pack.md");
        let page = std::fs::read_to_string(page).unwrap();
        for (name, _) in Validator::NAMES {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn stand_ins_are_no_secrets() {
        check("format", "", "ghp_your-token-here", false);
        check("format", "", "ghp_xxxxxxxxxxxxxxxxxxxxxxxx", false);
        check("format", "", "ghp_q7Rz81mKpW0xVtY5c0hdK3sN", true);
    }

    #[test]
    fn names_that_are_no_secrets_spare_their_values() {
        let value = "q7Rz81mKpW0xVtY5c0hdK3sN";
        let under = |name: &str| format!("{name} = \"{value}\"");
        check("random", &under("secret_key"), value, true);
        check("random", &under("key_sha256"), value, false);
        check("random", &under("token_url"), value, false);
    }

    #[test]
    fn a_uuid_is_a_key_but_no_client_secret() {
        let value = "3f2b8c1d-9a4e-4b7f-a6d5-0c1e2f3a4b5c";
        let under = |name: &str| format!("{name}={value}");
        check("random", &under("api_key"), value, true);
        check("random", &under("credential_client"), value, false);
    }

    #[test]
    fn basic_credentials_decode_to_user_and_password() {
        check("basic", "", "d2VpcjpnYXRlLTdIb3VzZQ==", true);
        check("basic", "", "authentication", false);
    }

    #[test]
    fn tokens_of_jwt_begin_with_a_json_object() {
        check(
            "jwt",
            "",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
            true,
        );
        check("jwt", "", "eyesight.eyelid.eyebrow", false);
    }

    #[test]
    fn everyday_words_are_no_passwords() {
        for word in [
            "password",
            "changeit",
            "config.password",
            "WIN32_ERROR",
            "correct%20horse",
        ] {
            check("password", &format!("password = {word}"), word, false);
        }
        for password in ["t4ll-Gates9", "Row2Harbour#", "9xKq!2mZpL"] {
            check(
                "password",
                &format!("password = {password}"),
                password,
                true,
            );
        }
    }

    #[test]
    fn user_and_password_alike_are_samples() {
        check("url-password", "://weir:weir@db", "weir", false);
        check(
            "url-password",
            "://weir:t4ll-Gates9@db",
            "t4ll-Gates9",
            true,
        );
        check("userinfo", "", "ops:ops", false);
        check("userinfo", "", "ops:'t4ll-Gates9'", true);
    }

    #[test]
    fn published_samples_are_no_secrets() {
        check("format", "", "sk_test_4eC39HqLyjWDarjtT1zdp7dc", false);
    }
}

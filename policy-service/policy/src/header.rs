//! Names of HTTP headers: what a list may hold, what a pattern covers, and what no list may open.
//!
//! The lists themselves are data of the dialects; a provider may add names to them. Names are lower-case, as HTTP/2
//! and Envoy have them.

/// Longest name that may be listed.
pub const MAX_NAME_BYTES: usize = 64;

/// Which way a header goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeaderWay {
    /// From the client to the provider.
    Request,
    /// From the provider to the client.
    Response,
}

/// Why a header cannot be listed for a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderNameError {
    #[error(
        "must be a header name in lower case, of letters, digits, `-` and `_`, at most 64 bytes"
    )]
    NotAName,
    #[error("`*` may only stand at the end, behind a `-` and more than `x-`, as in `x-vendor-*`")]
    TooWide,
    #[error("is the mesh's own: it never passes")]
    Own,
    #[error("belongs to one connection, or says how its bytes are read: the proxy sets it")]
    Connection,
    #[error(
        "changes what is asked for behind the mesh's back: the mesh judges method, path and host"
    )]
    Rerouting,
    #[error("carries a credential: those of the mesh are the provider's `keys`")]
    Credential,
    #[error(
        "chooses an account: only a client's own login carries it; write it into the provider's `set_request_headers`"
    )]
    Account,
    #[error("would speak for the mesh's own host: the mesh says that itself")]
    Origin,
}

/// Prefixes of the mesh and of the proxy that it runs in.
const OWN: [&str; 4] = ["x-weir-", "x-bf-", "x-envoy-", "x-forwarded-"];

/// Hop by hop (RFC 9110, "Connection"), or about the framing and coding of the body.
const CONNECTION: [&str; 15] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// With these some servers take another method, path or host than those of the request line.
const REROUTING: [&str; 9] = [
    "forwarded",
    "via",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
];

/// Answers that a browser takes for those of the host it asked, which is the mesh's.
const ORIGIN: [&str; 5] = [
    "alt-svc",
    "clear-site-data",
    "location",
    "strict-transport-security",
    "www-authenticate",
];
const ORIGIN_PREFIX: &str = "access-control-";

/// Beginnings of the words of a name that chooses an account at a provider, and such words themselves.
const ACCOUNT_STEMS: [&str; 9] = [
    "account",
    "billing",
    "customer",
    "organi",
    "profile",
    "project",
    "subscription",
    "tenant",
    "workspace",
];
const ACCOUNT_WORDS: [&str; 3] = ["org", "orgid", "orgs"];

/// The same for credentials.
const CREDENTIAL_STEMS: [&str; 7] = [
    "apikey",
    "authori",
    "cookie",
    "credential",
    "passw",
    "secret",
    "signature",
];
const CREDENTIAL_WORDS: [&str; 5] = ["auth", "jwt", "key", "keys", "token"];

/// Whether `name` belongs to the mesh or to the proxy that it runs in, and never passes.
pub fn is_own(name: &str) -> bool {
    OWN.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a word of `name` chooses an account: an organisation, a project, a workspace.
pub fn chooses_account(name: &str) -> bool {
    has_word(name, &ACCOUNT_STEMS, &ACCOUNT_WORDS)
}

/// Whether a word of `name` says that its value is a credential.
pub fn names_credential(name: &str) -> bool {
    has_word(name, &CREDENTIAL_STEMS, &CREDENTIAL_WORDS)
}

fn has_word(name: &str, stems: &[&str], words: &[&str]) -> bool {
    let mut all = name.as_bytes().split(|byte| matches!(byte, b'-' | b'_'));
    all.any(|word| {
        stems.iter().any(|stem| word.starts_with(stem.as_bytes()))
            || words.iter().any(|whole| word == whole.as_bytes())
    })
}

/// Whether `pattern`, a name or a prefix with `*` behind it, covers `name`.
///
/// Servers that hand headers on as variables read `_` and `-` as one, so a prefix covers no `_`. Neither does it
/// cover what chooses an account, nor a credential on its way up: nobody who wrote the prefix meant those.
///
/// ```
/// use policy::header::{HeaderWay, covers};
///
/// assert!(covers("x-vendor-*", "x-vendor-trace", HeaderWay::Request));
/// assert!(!covers("x-vendor-*", "x-vendor-", HeaderWay::Request));
/// assert!(!covers("x-vendor-*", "x-vendor-trace_id", HeaderWay::Request));
/// assert!(!covers("x-vendor-*", "x-vendor-project", HeaderWay::Request));
/// ```
pub fn covers(pattern: &str, name: &str, way: HeaderWay) -> bool {
    match pattern.strip_suffix('*') {
        None => pattern == name,
        Some(prefix) => {
            let is_word =
                |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
            name.strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty() && rest.as_bytes().iter().all(is_word))
                && !chooses_account(name)
                && !(way == HeaderWay::Request && names_credential(name))
        }
    }
}

/// Checks what a provider adds to its dialect's list: a name, or a prefix with `*` behind it.
///
/// # Errors
/// [`HeaderNameError`] says why it cannot be added.
pub fn check_passed(pattern: &str, way: HeaderWay) -> Result<(), HeaderNameError> {
    let (name, is_prefix) = match pattern.strip_suffix('*') {
        Some(prefix) => (prefix, true),
        None => (pattern, false),
    };
    check_shape(name)?;
    if is_prefix && (!name.ends_with('-') || name.len() <= "x-".len()) {
        return Err(HeaderNameError::TooWide);
    }
    // A prefix is as bad as the worst that it covers.
    let meets = |listed: &&str| *listed == name || (is_prefix && listed.starts_with(name));
    let meets_prefix =
        |prefix: &str| name.starts_with(prefix) || (is_prefix && prefix.starts_with(name));
    if OWN.iter().any(|prefix| meets_prefix(prefix)) {
        return Err(HeaderNameError::Own);
    }
    if CONNECTION.iter().any(meets) {
        return Err(HeaderNameError::Connection);
    }
    if names_credential(name) {
        return Err(HeaderNameError::Credential);
    }
    if chooses_account(name) {
        return Err(HeaderNameError::Account);
    }
    match way {
        HeaderWay::Request if REROUTING.iter().any(meets) => Err(HeaderNameError::Rerouting),
        HeaderWay::Response if ORIGIN.iter().any(meets) || meets_prefix(ORIGIN_PREFIX) => {
            Err(HeaderNameError::Origin)
        }
        HeaderWay::Request | HeaderWay::Response => Ok(()),
    }
}

/// Checks the name of a header that a provider sets by itself; what chooses an account is what this is for.
///
/// # Errors
/// [`HeaderNameError`] says why it cannot be set.
pub fn check_set(name: &str) -> Result<(), HeaderNameError> {
    check_shape(name)?;
    if is_own(name) {
        return Err(HeaderNameError::Own);
    }
    if CONNECTION.contains(&name) {
        return Err(HeaderNameError::Connection);
    }
    if REROUTING.contains(&name) {
        return Err(HeaderNameError::Rerouting);
    }
    if names_credential(name) {
        return Err(HeaderNameError::Credential);
    }
    Ok(())
}

fn check_shape(name: &str) -> Result<(), HeaderNameError> {
    if is_plain(name) && name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        Ok(())
    } else if name.is_empty() {
        Err(HeaderNameError::TooWide)
    } else {
        Err(HeaderNameError::NotAName)
    }
}

/// Whether `name` is a header name as it can be listed and shown: lower-case letters, digits, `-` and `_`, at most
/// [`MAX_NAME_BYTES`].
pub fn is_plain(name: &str) -> bool {
    let is_of_words = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
    };
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_of_words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn refused(pattern: &str, way: HeaderWay, want: HeaderNameError) {
        assert_eq!(check_passed(pattern, way), Err(want), "{pattern}");
    }

    #[test]
    fn what_a_provider_may_add() {
        for good in [
            "x-title",
            "http-referer",
            "x-vendor-*",
            "session_id",
            "x-grok-conv-id",
            "helicone-*",
        ] {
            for way in [HeaderWay::Request, HeaderWay::Response] {
                assert_eq!(check_passed(good, way), Ok(()), "{good}");
            }
        }
        for back in ["via", "x-original-url"] {
            assert_eq!(check_passed(back, HeaderWay::Response), Ok(()), "{back}");
        }
    }

    #[test]
    fn what_a_provider_may_not_add() {
        use HeaderNameError::{
            Account, Connection, Credential, NotAName, Origin, Own, Rerouting, TooWide,
        };
        use HeaderWay::{Request, Response};
        for (pattern, want) in [
            ("", TooWide),
            ("*", TooWide),
            ("x-*", TooWide),
            ("x-we*", TooWide),
            ("anthropic*", TooWide),
            ("X-Title", NotAName),
            ("x title", NotAName),
            ("x-title:", NotAName),
            (":path", NotAName),
            ("x-*-y", NotAName),
            ("-x-*", NotAName),
            ("x-weir-*", Own),
            ("x-weir-code", Own),
            ("x-weir-key", Own),
            ("x-envoy-*", Own),
            ("x-envoy-retry-on", Own),
            ("x-forwarded-host", Own),
            ("x-bf-vk", Own),
            ("connection", Connection),
            ("content-*", Connection),
            ("content-length", Connection),
            ("proxy-*", Connection),
            ("proxy-authenticate", Connection),
            ("te", Connection),
            ("transfer-*", Connection),
            ("upgrade", Connection),
            ("authorization", Credential),
            ("proxy-authorization", Credential),
            ("x-api-key", Credential),
            ("x_api_key", Credential),
            ("api-key", Credential),
            ("x-goog-api-key", Credential),
            ("cookie", Credential),
            ("set-cookie", Credential),
            ("x-amz-security-token", Credential),
            ("openai-organization", Account),
            ("openai-project", Account),
            ("openai_organization", Account),
            ("anthropic-workspace-id", Account),
            ("anthropic-organization-id", Account),
            ("x-goog-user-project", Account),
            ("chatgpt-account-id", Account),
            ("x-tenant-id", Account),
            ("x-org", Account),
        ] {
            refused(pattern, Request, want);
            refused(pattern, Response, want);
        }
        for pattern in [
            "x-original-url",
            "x-rewrite-url",
            "x-http-method-override",
            "x-http-*",
            "x-original-*",
            "via",
            "forwarded",
        ] {
            refused(pattern, Request, Rerouting);
        }
        for pattern in [
            "alt-svc",
            "access-control-*",
            "access-*",
            "access-control-allow-origin",
            "strict-transport-*",
            "location",
        ] {
            refused(pattern, Response, Origin);
        }
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        refused(&long, Request, NotAName);
    }

    #[test]
    fn what_a_provider_may_set() {
        for good in [
            "openai-organization",
            "openai-project",
            "anthropic-workspace-id",
            "x-goog-user-project",
            "copilot-integration-id",
            "user-agent",
            "http-referer",
        ] {
            assert_eq!(check_set(good), Ok(()), "{good}");
        }
        for (bad, want) in [
            ("x-vendor-*", HeaderNameError::NotAName),
            ("x-weir-plan", HeaderNameError::Own),
            ("x-envoy-max-retries", HeaderNameError::Own),
            ("host", HeaderNameError::Connection),
            ("content-length", HeaderNameError::Connection),
            ("accept-encoding", HeaderNameError::Connection),
            ("authorization", HeaderNameError::Credential),
            ("x-api-key", HeaderNameError::Credential),
            ("cookie", HeaderNameError::Credential),
            ("x-original-url", HeaderNameError::Rerouting),
        ] {
            assert_eq!(check_set(bad), Err(want), "{bad}");
        }
    }

    proptest! {
        /// Whatever passed the check covers nothing of what no list may open.
        #[test]
        fn no_pattern_opens_what_is_closed(prefix in "[a-z]{1,8}(-[a-z]{1,9}){0,3}-", rest in "[a-z0-9_-]{0,20}") {
            let pattern = format!("{prefix}*");
            if check_passed(&pattern, HeaderWay::Request).is_ok() {
                let closed = CONNECTION.iter().chain(&REROUTING).copied();
                let known = ["authorization", "x-api-key", "cookie", "openai-project", "x-weir-key", "x-envoy-retry-on", "x-forwarded-for"];
                for name in closed.chain(known) {
                    prop_assert!(!covers(&pattern, name, HeaderWay::Request), "{} covers {}", pattern, name);
                }
                let name = format!("{prefix}{rest}");
                let is_covered = covers(&pattern, &name, HeaderWay::Request);
                prop_assert!(!is_covered || !(name.contains('_') || chooses_account(&name) || names_credential(&name)));
            }
        }
    }
}

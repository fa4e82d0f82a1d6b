//! Which virtual key a request presents, and what else it carries.

use policy::key::{KeyFormatError, VirtualKeySecret, holds_virtual_key};

use crate::headers::Headers;

/// Headers that may carry a credential, in the order they are looked at. Every one of them is stripped.
pub const CREDENTIAL_HEADERS: [&str; 6] = [
    "x-weir-key",
    "x-bf-vk",
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
];

/// What a request presents.
#[derive(Debug, PartialEq, Eq)]
pub enum Credential {
    /// No header looked like a credential of ours, and none of a provider either.
    Absent,
    /// Something else than a virtual key, such as a provider's own key.
    Foreign,
    /// A virtual key; `beside` when it travelled in `x-weir-key` beside the client's own provider login.
    Key {
        secret: VirtualKeySecret,
        beside: Beside,
    },
    /// It starts like a virtual key, but its checksum does not match.
    Malformed,
    /// One credential header stands twice.
    Duplicate { header: &'static str },
    /// Two different virtual keys.
    Conflicting,
}

/// Whether the client's own provider credential came along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    Nothing,
    /// The client's own login stands untouched in another header: subscription traffic.
    OwnLogin,
}

/// Finds the credential in `headers` and in `in_query`, the decoded `key` of the query.
pub fn find(headers: &Headers, in_query: Option<&str>) -> Credential {
    let mut found: Option<VirtualKeySecret> = None;
    let mut dedicated = false;
    let mut foreign = false;
    for header in CREDENTIAL_HEADERS {
        let mut values = headers.all(header);
        let Some(value) = values.next() else { continue };
        if values.next().is_some() || (header == "authorization" && is_joined(value)) {
            return Credential::Duplicate { header };
        }
        // A proxy on the way may have joined two headers into one.
        if value.contains(&b',') && holds_virtual_key(value) {
            return Credential::Duplicate { header };
        }
        match parse(strip_scheme(header, value)) {
            Parsed::Key(secret) => {
                dedicated |= matches!(header, "x-weir-key" | "x-bf-vk");
                match &found {
                    Some(first) if *first != secret => return Credential::Conflicting,
                    Some(_) => {}
                    None => found = Some(secret),
                }
            }
            Parsed::Malformed => return Credential::Malformed,
            Parsed::Foreign => foreign = true,
        }
    }
    if let Some(value) = in_query {
        match parse(value.as_bytes()) {
            Parsed::Key(secret) => match &found {
                Some(first) if *first != secret => return Credential::Conflicting,
                Some(_) => {}
                None => found = Some(secret),
            },
            Parsed::Malformed => return Credential::Malformed,
            Parsed::Foreign => foreign = true,
        }
    }
    match found {
        Some(secret) if dedicated && foreign => Credential::Key {
            secret,
            beside: Beside::OwnLogin,
        },
        Some(secret) => Credential::Key {
            secret,
            beside: Beside::Nothing,
        },
        None if foreign => Credential::Foreign,
        None => Credential::Absent,
    }
}

enum Parsed {
    Key(VirtualKeySecret),
    Malformed,
    Foreign,
}

fn parse(value: &[u8]) -> Parsed {
    let Ok(text) = core::str::from_utf8(value) else {
        return Parsed::Foreign;
    };
    match VirtualKeySecret::parse(text) {
        Ok(secret) => Parsed::Key(secret),
        Err(KeyFormatError::Malformed) => Parsed::Malformed,
        Err(KeyFormatError::NotAVirtualKey) => Parsed::Foreign,
    }
}

fn strip_scheme<'a>(header: &str, value: &'a [u8]) -> &'a [u8] {
    let trimmed = value.trim_ascii();
    if header != "authorization" {
        return trimmed;
    }
    match trimmed.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest.trim_ascii(),
        Some(_) | None => trimmed,
    }
}

/// Whether `value` is several bearer credentials: proxies join this header's lines with commas.
fn is_joined(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b',').skip(1);
    parts.any(|part| {
        let scheme = part.trim_ascii_start().get(..7);
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> String {
        VirtualKeySecret::from_bytes([seed; 32]).expose().to_owned()
    }

    #[track_caller]
    fn check(pairs: &[(&str, &str)], query: Option<&str>, want: impl Fn(&Credential) -> bool) {
        let headers: Headers = pairs.iter().copied().collect();
        let found = find(&headers, query);
        assert!(want(&found), "{found:?}");
    }

    #[test]
    fn bearer_key_is_found() {
        check(
            &[("authorization", &format!("Bearer {}", key(1)))],
            None,
            |c| {
                matches!(
                    c,
                    Credential::Key {
                        beside: Beside::Nothing,
                        ..
                    }
                )
            },
        );
    }

    #[test]
    fn same_key_in_two_headers_is_one_key() {
        check(
            &[
                ("authorization", &format!("Bearer {}", key(1))),
                ("x-api-key", &key(1)),
            ],
            None,
            |c| {
                matches!(
                    c,
                    Credential::Key {
                        beside: Beside::Nothing,
                        ..
                    }
                )
            },
        );
    }

    #[test]
    fn two_different_keys_conflict() {
        check(
            &[
                ("authorization", &format!("bearer {}", key(1))),
                ("x-api-key", &key(2)),
            ],
            None,
            |c| *c == Credential::Conflicting,
        );
        check(&[("x-api-key", &key(2))], Some(&key(1)), |c| {
            *c == Credential::Conflicting
        });
    }

    #[test]
    fn the_same_header_twice_is_refused() {
        check(
            &[("x-api-key", &key(1)), ("x-api-key", &key(1))],
            None,
            |c| {
                *c == Credential::Duplicate {
                    header: "x-api-key",
                }
            },
        );
    }

    #[test]
    fn joined_lines_are_the_same_header_twice() {
        for (first, second) in [(1, 1), (1, 2)] {
            let joined = format!("Bearer {},bearer {}", key(first), key(second));
            check(&[("authorization", &joined)], None, |c| {
                *c == Credential::Duplicate {
                    header: "authorization",
                }
            });
        }
        check(
            &[("authorization", "Digest username=\"a\", realm=\"b\"")],
            None,
            |c| *c == Credential::Foreign,
        );
    }

    #[test]
    fn two_headers_joined_into_one_are_refused() {
        check(
            &[(
                "authorization",
                &format!("Bearer {}, Bearer {}", key(1), key(1)),
            )],
            None,
            |c| {
                *c == Credential::Duplicate {
                    header: "authorization",
                }
            },
        );
    }

    #[test]
    fn own_login_beside_the_key_is_subscription_traffic() {
        check(
            &[
                ("x-weir-key", &key(1)),
                ("authorization", "Bearer sk-ant-oat01-x"),
            ],
            None,
            |c| {
                matches!(
                    c,
                    Credential::Key {
                        beside: Beside::OwnLogin,
                        ..
                    }
                )
            },
        );
    }

    #[test]
    fn a_provider_key_alone_is_foreign() {
        check(&[("x-api-key", "sk-ant-api03-x")], None, |c| {
            *c == Credential::Foreign
        });
        check(&[], None, |c| *c == Credential::Absent);
    }

    #[test]
    fn a_typo_is_told_from_an_unknown_key() {
        let mut typo = key(1);
        let last = typo.pop().unwrap();
        typo.push(if last == 'a' { 'b' } else { 'a' });
        check(&[("x-api-key", &typo)], None, |c| {
            *c == Credential::Malformed
        });
    }
}

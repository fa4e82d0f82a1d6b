//! The query of a request: read once, judged by name, written anew.
//!
//! Nothing of a client's query reaches a provider as it stands: it is split and decoded here, and what the surface
//! takes ([`dialects::query`]), or what the key lists for a path outside the surfaces, is encoded again.

use dialects::query::{Values, Verdict, judge};
use policy::key::holds_virtual_key;
use policy::surface::Surface;

/// Longest query that is looked at.
const MAX_QUERY_BYTES: usize = 8_192;
/// Most parameters of a query.
const MAX_PARAMETERS: usize = 32;
/// Longest name that a refusal repeats.
const MAX_SHOWN_BYTES: usize = 64;

/// Why a query is not even judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum QueryError {
    /// Escapes that are none, or that hide something else than text.
    Unreadable,
    TooLong,
    /// A parameter stands twice, and nobody knows which one counts.
    Twice {
        name: String,
    },
}

/// A parameter that does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotAllowed {
    /// As it may be shown; `None` for a name that is not plain.
    name: Option<String>,
    /// What it might say; `None` where the name is not taken at all.
    values: Option<Values>,
}

/// What stands behind the `?`, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pairs: Vec<Pair>,
    key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    name: String,
    /// `None` without `=`.
    value: Option<String>,
}

impl Query {
    /// Reads `raw`, what stands behind the first `?`. The parameter `key` is taken out: it is a credential.
    pub(crate) fn parse(raw: &str) -> Result<Self, QueryError> {
        if raw.len() > MAX_QUERY_BYTES {
            return Err(QueryError::TooLong);
        }
        let mut query = Self::default();
        for written in raw.split('&').filter(|written| !written.is_empty()) {
            let (name, value) = match written.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (written, None),
            };
            let name = decoded(name)?;
            let value = value.map(decoded).transpose()?;
            if query.has(&name) {
                let name = shown(&name).unwrap_or_default();
                return Err(QueryError::Twice { name });
            }
            if name == "key" {
                query.key = Some(value.unwrap_or_default());
            } else if query.pairs.len() < MAX_PARAMETERS {
                query.pairs.push(Pair { name, value });
            } else {
                return Err(QueryError::TooLong);
            }
        }
        Ok(query)
    }

    /// Returns what stands in `key`; `None` where it is empty or missing.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref().filter(|value| !value.is_empty())
    }

    /// Whether there is a parameter of this meaning: Google's system parameters have the same with and without `$`.
    fn has(&self, name: &str) -> bool {
        let same = |other: &str| bare(name) == bare(other);
        (self.key.is_some() && same("key")) || self.pairs.iter().any(|pair| same(&pair.name))
    }

    /// Judges every parameter by what `surface` takes.
    pub(crate) fn judge(&self, surface: Surface) -> Result<(), NotAllowed> {
        self.each(|pair| {
            let value = pair.value.as_deref().unwrap_or_default();
            match judge(surface, &pair.name, value) {
                Verdict::Allowed => Ok(()),
                Verdict::UnknownName => Err(None),
                Verdict::UnknownValue(values) => Err(Some(values)),
            }
        })
    }

    /// Judges every parameter by whether `lists` names it; it may say anything but a key of ours.
    pub(crate) fn judge_listed(&self, lists: impl Fn(&str) -> bool) -> Result<(), NotAllowed> {
        self.each(|pair| {
            let value = pair.value.as_deref().unwrap_or_default();
            if lists(&pair.name) && !holds_virtual_key(value.as_bytes()) {
                Ok(())
            } else {
                Err(None)
            }
        })
    }

    fn each(&self, judge: impl Fn(&Pair) -> Result<(), Option<Values>>) -> Result<(), NotAllowed> {
        self.pairs.iter().try_for_each(|pair| {
            judge(pair).map_err(|values| NotAllowed {
                name: shown(&pair.name),
                values,
            })
        })
    }

    /// Appends the query to `path`, `own` behind what the client said; nothing where there is neither.
    pub(crate) fn write(&self, path: &mut String, own: Option<(&str, &str)>) {
        let theirs = self.pairs.iter();
        let theirs = theirs.map(|pair| (pair.name.as_str(), pair.value.as_deref()));
        let own = own.map(|(name, value)| (name, Some(value)));
        for (number, (name, value)) in theirs.chain(own).enumerate() {
            path.push(if number == 0 { '?' } else { '&' });
            encode(name, path);
            if let Some(value) = value {
                path.push('=');
                encode(value, path);
            }
        }
    }
}

impl QueryError {
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Unreadable => {
                "The query holds escapes that are not text; send it in plain form.".to_owned()
            }
            Self::TooLong => format!(
                "The query has more than {MAX_QUERY_BYTES} bytes or {MAX_PARAMETERS} parameters."
            ),
            Self::Twice { name } if name.is_empty() => {
                "A query parameter stands twice; send it once.".to_owned()
            }
            Self::Twice { name } => {
                format!("The query parameter `{name}` stands twice; send it once.")
            }
        }
    }
}

impl NotAllowed {
    pub(crate) fn message(&self) -> String {
        let Some(name) = &self.name else {
            return "A query parameter, whose name is not a plain one, does not pass here; leave it out."
                .to_owned();
        };
        match self.values {
            Some(values) => format!("The query parameter `{name}` may only be {values} here."),
            None => format!("The query parameter `{name}` does not pass here; leave it out."),
        }
    }
}

fn bare(name: &str) -> &str {
    name.strip_prefix('$').unwrap_or(name)
}

/// The name where it may be repeated to whoever sent it.
fn shown(name: &str) -> Option<String> {
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'$' | b'[' | b']')
    };
    let fits = (1..=MAX_SHOWN_BYTES).contains(&name.len()) && name.bytes().all(is_plain);
    (fits && !holds_virtual_key(name.as_bytes())).then(|| name.to_owned())
}

/// Decodes escapes and `+` once.
fn decoded(text: &str) -> Result<String, QueryError> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes.next().and_then(digit);
                let low = bytes.next().and_then(digit);
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(QueryError::Unreadable);
                };
                high << 4 | low
            }
            other => other,
        });
    }
    let text = String::from_utf8(plain).ok();
    text.filter(|text| !text.chars().any(char::is_control))
        .ok_or(QueryError::Unreadable)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Appends `text` with everything escaped that is not a character of a query's own (RFC 3986, "Query"), or that
/// splits it.
fn encode(text: &str, into: &mut String) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.' | b'_' | b'~' | b'$' | b':' | b'/' | b'@' | b','
            );
        if is_plain {
            into.push(char::from(byte));
        } else {
            into.push('%');
            for half in [byte >> 4, byte & 15] {
                into.extend(DIGITS.get(usize::from(half)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(query: &Query) -> String {
        let mut path = String::new();
        query.write(&mut path, None);
        path
    }

    #[track_caller]
    fn passes(surface: Surface, raw: &str, want: &str) {
        let query = Query::parse(raw).unwrap();
        assert_eq!(query.judge(surface), Ok(()), "{raw}");
        assert_eq!(written(&query), want, "{raw}");
    }

    #[track_caller]
    fn refused(surface: Surface, raw: &str, want: &str) {
        let query = Query::parse(raw).unwrap();
        let message = query.judge(surface).unwrap_err().message();
        assert!(message.contains(want), "{raw}: {message}");
    }

    #[test]
    fn what_is_allowed_passes_byte_for_byte_where_it_is_plain() {
        passes(Surface::AnthropicMessages, "beta=true", "?beta=true");
        passes(Surface::GeminiGenerate, "alt=sse", "?alt=sse");
        passes(Surface::GeminiGenerate, "", "");
        passes(Surface::GeminiGenerate, "&alt=sse&", "?alt=sse");
        passes(Surface::GeminiGenerate, "%61lt=%73se", "?alt=sse");
        passes(
            Surface::GeminiGenerate,
            "%24alt=json%3Benum-encoding%3Dint",
            "?$alt=json%3Benum-encoding%3Dint",
        );
        passes(Surface::GeminiGenerate, "key=abc&alt=sse", "?alt=sse");
        passes(Surface::GeminiGenerate, "k%65y=abc&alt=sse", "?alt=sse");
    }

    #[test]
    fn another_parameter_is_refused_by_its_name() {
        for (raw, want) in [
            ("fields=candidates", "`fields`"),
            ("%66ields=candidates", "`fields`"),
            ("$fields=candidates", "`$fields`"),
            ("%24fields=candidates", "`$fields`"),
            ("access_token=x", "`access_token`"),
            ("$httpHeaders=x", "`$httpHeaders`"),
            ("$userProject=x", "`$userProject`"),
            ("KEY=x", "`KEY`"),
            ("key%5B%5D=x", "`key[]`"),
            ("key[]=x", "`key[]`"),
            ("k%2565y=x", "not a plain one"),
            ("+key=x", "not a plain one"),
            ("key+=x", "not a plain one"),
            ("$key=x", "`$key`"),
            ("prettyPrint=false", "`prettyPrint`"),
            ("callback=x", "`callback`"),
            ("quotaUser=x", "`quotaUser`"),
            ("uploadType=media", "`uploadType`"),
            ("api-version=2024-10-21", "`api-version`"),
            ("api%2Dversion=2024-10-21", "`api-version`"),
            ("ap\u{131}-version=1", "not a plain one"),
            ("alt=media", "may only be `sse` or `json`"),
            ("alt=proto", "may only be"),
            ("alt=%70roto", "may only be"),
            ("alt", "may only be"),
            ("alt=", "may only be"),
            ("alt=sse;fields=x", "may only be"),
            ("Alt=sse", "`Alt`"),
            ("=x", "not a plain one"),
            ("%3Cb%3E=x", "not a plain one"),
            (&"a".repeat(65), "not a plain one"),
        ] {
            refused(Surface::GeminiGenerate, raw, want);
        }
        for surface in Surface::ALL {
            refused(surface, "fields=x", "`fields`");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_judged() {
        for raw in [
            "alt=%7",
            "alt=%zz",
            "alt=%",
            "%ff=1",
            "alt=%C3",
            "a%00=1",
            "alt=s%0Ase",
            "a\u{7f}=1",
        ] {
            assert_eq!(Query::parse(raw), Err(QueryError::Unreadable), "{raw}");
        }
        for raw in [
            "alt=sse&alt=json",
            "alt=sse&%61lt=sse",
            "alt=sse&$alt=proto",
            "$alt=json&alt=sse",
            "key=a&key=b",
            "key=a&k%65y=a",
            "key=a&$key=b",
        ] {
            let error = Query::parse(raw).unwrap_err();
            assert!(matches!(error, QueryError::Twice { .. }), "{raw}");
        }
        let long = "a".repeat(MAX_QUERY_BYTES + 1);
        assert_eq!(Query::parse(&long), Err(QueryError::TooLong));
        let many: Vec<_> = (0..=MAX_PARAMETERS).map(|it| format!("a{it}")).collect();
        assert_eq!(Query::parse(&many.join("&")), Err(QueryError::TooLong));
    }

    #[test]
    fn a_listed_parameter_may_say_anything_but_a_key() {
        let key = policy::key::VirtualKeySecret::from_bytes([7; 32]);
        let listed = |raw: &str| {
            let query = Query::parse(raw).unwrap();
            query
                .judge_listed(|name| name == "after" || name == "include[]")
                .map(|()| written(&query))
                .map_err(|refused| refused.message())
        };
        assert_eq!(listed("after=a%20b%26x").unwrap(), "?after=a%20b%26x");
        assert_eq!(listed("include[]=x").unwrap(), "?include%5B%5D=x");
        assert_eq!(listed("after").unwrap(), "?after");
        assert!(listed("before=x").unwrap_err().contains("`before`"));
        let message = listed(&format!("after={}", key.expose())).unwrap_err();
        assert!(message.contains("`after`"), "{message}");
        let message = listed(&format!("{}=x", key.expose())).unwrap_err();
        assert!(!message.contains("sk-weir"), "{message}");
    }

    #[test]
    fn the_credential_is_read_and_taken_out() {
        for (raw, want) in [
            ("key=abc", Some("abc")),
            ("k%65y=a%62c", Some("abc")),
            ("key=", None),
            ("key", None),
            ("KEY=abc", None),
            ("key[]=abc", None),
            ("", None),
        ] {
            assert_eq!(Query::parse(raw).unwrap().key(), want, "{raw}");
        }
    }

    proptest! {
        /// Whatever is sent: what passes is what was judged, in whatever way the provider reads it.
        #[test]
        fn what_is_written_reads_as_what_was_judged(raw in "[a-z$&=+;%0-9A-F\\[\\] é/?#-]{0,40}") {
            let Ok(query) = Query::parse(&raw) else { return Ok(()) };
            let path = written(&query);
            prop_assert!(path.bytes().all(|byte| matches!(byte, b'!'..=b'~')));
            prop_assert!(!path.contains('#') && !path.contains('+') && !path.contains(';'));
            let again = Query::parse(path.strip_prefix('?').unwrap_or(&path)).unwrap();
            prop_assert_eq!(&again.pairs, &query.pairs);
            prop_assert_eq!(written(&again), path);
        }

        #[test]
        fn any_query_is_read_or_refused(raw in any::<String>()) {
            if let Ok(query) = Query::parse(&raw) {
                for surface in Surface::ALL {
                    if query.judge(surface).is_ok() {
                        for pair in &query.pairs {
                            let value = pair.value.clone().unwrap_or_default();
                            prop_assert_eq!(judge(surface, &pair.name, &value), Verdict::Allowed);
                        }
                    }
                }
            }
        }
    }
}

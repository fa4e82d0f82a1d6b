//! Which values name something that a provider keeps, whatever member they stand in.

/// What begins an id that a provider made; behind it stands `-` or `_` and the rest of the id.
const ID_PREFIXES: &[&str] = &[
    "agent",
    "asst",
    "audio",
    "batch",
    "cfile",
    "chatcmpl",
    "cntr",
    "connector",
    "container",
    "conv",
    "eval",
    "evalrun",
    "file",
    "ftjob",
    "ig",
    "mem",
    "memstore",
    "msg",
    "msgbatch",
    "org",
    "pmpt",
    "proj",
    "resp",
    "rs",
    "run",
    "sess",
    "sesn",
    "skill",
    "skillver",
    "thread",
    "upload",
    "video",
    "vlt",
    "voice",
    "vs",
    "vsf",
    "wf",
    "wrkspc",
];

/// Collections of resources: `files/abc`, `projects/p/locations/l/…`.
const COLLECTIONS: &[&str] = &[
    "batches",
    "billingaccounts",
    "cachedcontents",
    "containers",
    "conversations",
    "corpora",
    "datastores",
    "files",
    "filesearchstores",
    "folders",
    "generatedfiles",
    "organizations",
    "projects",
    "ragcorpora",
    "ragstores",
    "responses",
    "skills",
    "tunedmodels",
    "vectorstores",
];

/// Hosts of providers' APIs: a provider looks their addresses up in its own stores. What stands before them may be a
/// name of its own, or a region and a hyphen.
const API_HOSTS: &[&str] = &[
    "ai.azure.com",
    "aiplatform.googleapis.com",
    "aiplatform.mtls.googleapis.com",
    "api.anthropic.com",
    "api.mistral.ai",
    "api.openai.com",
    "api.x.ai",
    "cognitiveservices.azure.com",
    "generativelanguage.googleapis.com",
    "generativelanguage.mtls.googleapis.com",
    "openai.azure.com",
];

/// Hosts that no file is fetched from for anybody.
const PRIVATE_HOSTS: &[&str] = &["googleapis.com"];

/// Hosts below those that serve what anybody may read.
const PUBLIC_HOSTS: &[&str] = &["commondatastorage.googleapis.com", "storage.googleapis.com"];

/// A run of letters and digits of this length is an id, with digits or without.
const ID_BYTES: usize = 16;

/// Whether a value, of a member that says nothing by its name, names something stored.
pub(super) fn names_stored(value: &str) -> bool {
    let value = trimmed(value);
    match scheme(value) {
        Some(("http" | "https" | "ws" | "wss", rest)) => is_at_provider(rest),
        Some(("data" | "mailto" | "tel" | "urn", _)) => false,
        Some((_, rest)) => rest.starts_with("//"),
        None => is_resource(value) || is_provider_id(value) || is_provider_path(value),
    }
}

/// Whether a value that is a name of its own (of a tool, a server) is the name of a resource.
pub(super) fn names_resource(value: &str) -> bool {
    let value = trimmed(value);
    scheme(value).is_none() && is_resource(value)
}

/// Whether an address, or data in place of one, is nobody's here: anybody may read it.
pub(super) fn is_public(value: &str) -> bool {
    let value = trimmed(value);
    match scheme(value) {
        Some(("data", _)) => true,
        Some(("http" | "https", rest)) => rest.strip_prefix("//").is_some_and(|rest| {
            // A backslash is a slash to some who fetch.
            let (authority, path) = authority(rest);
            let is_plain =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
            !authority.is_empty()
                && authority.bytes().all(is_plain)
                && !rest.contains('\\')
                && !is_provider_host(authority)
                && !is_private_host(authority)
                && !is_versioned_resource(path)
        }),
        Some(_) | None => false,
    }
}

/// Without the white space and control characters that a parser may drop.
fn trimmed(value: &str) -> &str {
    value.trim_matches(|it: char| it.is_whitespace() || it.is_control())
}

/// Splits a value into its scheme, in lower case if it is a known one, and what follows the colon.
fn scheme(value: &str) -> Option<(&'static str, &str)> {
    const KNOWN: [&str; 8] = ["http", "https", "ws", "wss", "data", "mailto", "tel", "urn"];
    let (scheme, rest) = value.split_once(':')?;
    let is_scheme = scheme.bytes().next()?.is_ascii_alphabetic()
        && scheme.bytes().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'+' | b'-' | b'.' | b'\t' | b'\n' | b'\r')
        });
    if !is_scheme {
        return None;
    }
    let known = KNOWN
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(scheme));
    Some((known.unwrap_or_default(), rest))
}

/// Splits what follows `//` into host with port, and path; lenient as those who fetch are.
fn authority(rest: &str) -> (&str, &str) {
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    rest.split_at_checked(end).unwrap_or((rest, ""))
}

/// Whether what follows a scheme leads to a provider's own host, in whatever spelling; also when that is not to be
/// told, because those who fetch read the host differently.
fn is_at_provider(rest: &str) -> bool {
    let rest = rest.trim_start_matches(['/', '\\']);
    let (authority, _) = rest
        .split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
        .unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_odd = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'%' | b'\\');
    host.bytes().any(is_odd) || is_provider_host(host)
}

/// Whether a text without a scheme begins with a provider's host.
fn is_provider_path(value: &str) -> bool {
    let (authority, _) = authority(value.trim_start_matches(['/', '\\']));
    is_provider_host(authority.rsplit('@').next().unwrap_or_default())
}

fn is_provider_host(authority: &str) -> bool {
    is_at_one_of(authority, API_HOSTS, is_boundary)
}

/// Whether a host is one that serves nothing to everybody.
fn is_private_host(authority: &str) -> bool {
    let is_dot = |byte: u8| byte == b'.';
    is_at_one_of(authority, PRIVATE_HOSTS, is_dot) && !is_at_one_of(authority, PUBLIC_HOSTS, is_dot)
}

const fn is_boundary(byte: u8) -> bool {
    matches!(byte, b'.' | b'-')
}

/// Whether a host is one of these, or below one.
fn is_at_one_of(authority: &str, hosts: &[&str], may_precede: impl Fn(u8) -> bool) -> bool {
    let host = authority.split(':').next().unwrap_or_default();
    let host = host.trim_end_matches('.').as_bytes();
    hosts.iter().any(|parent| {
        let start = host.len().checked_sub(parent.len());
        let (before, end) = start
            .and_then(|start| host.split_at_checked(start))
            .unwrap_or_default();
        end.eq_ignore_ascii_case(parent.as_bytes())
            && before.last().is_none_or(|byte| may_precede(*byte))
    })
}

/// Whether a path is a resource below a version: `/v1beta/files/abc`, `/upload/v1/files/abc`.
fn is_versioned_resource(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.any(is_version)
        && segments
            .next()
            .is_some_and(|segment| is_collection(segment.as_bytes()))
}

fn is_version(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    matches!(bytes.next(), Some(b'v' | b'V'))
        && bytes.next().is_some_and(|byte| byte.is_ascii_digit())
}

/// Whether a value is a resource's name: a collection and an id, below a version or not, escaped or not.
fn is_resource(value: &str) -> bool {
    let (decoded, length) = unescaped(value);
    let mut segments = decoded
        .get(..length)
        .unwrap_or_default()
        .split(|byte| *byte == b'/')
        .filter(|segment| !segment.is_empty());
    let mut first = segments.next().unwrap_or_default();
    if str::from_utf8(first).is_ok_and(is_version) {
        first = segments.next().unwrap_or_default();
    }
    let is_id = |id: &[u8]| {
        id.iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'*'))
    };
    is_collection(first) && segments.next().is_some_and(is_id)
}

fn is_collection(segment: &[u8]) -> bool {
    let is_equal = |name: &str| {
        let letters = segment.iter().filter(|byte| !matches!(byte, b'_' | b'-'));
        letters.map(u8::to_ascii_lowercase).eq(name.bytes())
    };
    COLLECTIONS.iter().any(|name| is_equal(name))
}

/// Decodes the percent escapes of a value's beginning, as far as a name of a resource can be told from it.
fn unescaped(value: &str) -> ([u8; 96], usize) {
    let mut decoded = [0; 96];
    let mut rest = value.as_bytes();
    let mut length = 0;
    while let Some(slot) = decoded.get_mut(length) {
        (*slot, rest) = match rest {
            [b'%', high, low, after @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', rest.get(1..).unwrap_or_default()),
            },
            [byte, after @ ..] => (*byte, after),
            [] => break,
        };
        length += 1;
    }
    (decoded, length)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Whether a value is an id as providers make them: a prefix, and one run of letters and digits.
fn is_provider_id(value: &str) -> bool {
    let Some(end) = value.find(['-', '_']) else {
        return false;
    };
    let (prefix, rest) = value.split_at_checked(end).unwrap_or_default();
    let run = rest.get(1..).unwrap_or_default();
    !run.is_empty()
        && run.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && (run.len() >= ID_BYTES || run.bytes().any(|byte| byte.is_ascii_digit()))
        && ID_PREFIXES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_name_stored_things_are_told_by_their_form() {
        for value in [
            "file-abc123",
            "file-MDLqXZjNjNeLwwaRACNDNf",
            "FILE-ABC123",
            " file_011CcaGpPS2JA1AMya8VxEMh\n",
            "vs_6931d752e41c8191833fcaad1cf47055",
            "cntr_68cdc387531c81938b4bee78c36acb82",
            "skill_01AbCd",
            "ig_123",
            "files/abc-123",
            "/files/abc",
            "Files/abc",
            "files%2Fabc",
            "%66iles/abc",
            "v1beta/files/abc",
            "cachedContents/7",
            "cached_contents/7",
            "fileSearchStores/my-store",
            "projects/p/locations/l/cachedContents/7",
            "gs://bucket/object",
            "GS://bucket/object",
            "s3://bucket/object",
            "https://generativelanguage.googleapis.com/v1beta/files/abc",
            "HTTPS://GenerativeLanguage.GoogleAPIs.com./v1beta/files/abc",
            "https://generativelanguage.googleapis.com:443/v1beta/files/abc",
            "https://me@generativelanguage.googleapis.com/v1beta/files/abc",
            "https://example.com@generativelanguage.googleapis.com/v1beta/files/abc",
            "https://generativelanguage%2egoogleapis.com/v1beta/files/abc",
            "https://generativelanguage\u{3002}googleapis.com/v1beta/files/abc",
            "https:\\\\generativelanguage.googleapis.com\\v1beta\\files\\abc",
            "https:generativelanguage.googleapis.com/v1beta/files/abc",
            "//generativelanguage.googleapis.com/v1beta/files/abc",
            "generativelanguage.googleapis.com/v1beta/files/abc",
            "https://us-central1-aiplatform.googleapis.com/v1/projects/p",
            "https://eu.api.openai.com/v1/files/file-1/content",
            "https://mine.openai.azure.com/openai/files/assistant-1",
            "https://api.openai.com/v1/files/file-1/content",
        ] {
            assert!(names_stored(value), "{value}");
            assert!(!is_public(value), "{value}");
        }
    }

    #[test]
    fn addresses_that_only_look_public_are_not() {
        for value in [
            "abc",
            "",
            "ftp://example.com/x",
            "https://me:secret@example.com/x",
            "https://example.com\\@generativelanguage.googleapis.com/x",
            "https://ex%61mple.com/x",
            "https:///x",
            "https:example.com/x",
            "https://example.com/v1beta/files/abc",
            "https://example.com/upload/v1/files/abc",
            "https://www.googleapis.com/drive/v3/files/abc",
            "https://m\u{fc}nchen.example/x",
        ] {
            assert!(!is_public(value), "{value}");
        }
    }

    #[test]
    fn what_anybody_may_read_and_what_is_no_reference_passes() {
        for value in [
            "https://example.com/a.png?x=/v1/files/1",
            "HTTPS://example.com:8443/a.png",
            "https://storage.googleapis.com/generativeai-downloads/a.jpg",
            "https://youtu.be/lCdaVNyHtjU",
            "https://notgoogleapis.com/a",
            "https://openai.com/index/a",
            "https://cdn.openai.com/API/docs/a.png",
            "https://www.anthropic.com/news",
            "https://myapi.openai.com/a",
            "data:image/png;base64,iVBORw0KGgo=",
        ] {
            assert!(is_public(value), "{value}");
            assert!(!names_stored(value), "{value}");
        }
        for value in [
            "auto",
            "text/plain",
            "image/png",
            "file_search",
            "file_search_call.results",
            "container_upload",
            "reasoning.encrypted_content",
            "claude-sonnet-4-5-20250929",
            "files",
            "files/",
            "files/readme.md",
            "src/files/readme",
            "a: b",
            "note: see file-abc",
            "What is file-123?",
            "v1.2",
            "3.5",
            "e.g. this text ends with openai.com",
        ] {
            assert!(!names_stored(value), "{value}");
        }
        assert!(!names_resource("file_read_v2") && names_resource("projects/p/x"));
    }
}

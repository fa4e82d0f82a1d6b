//! What clients and providers call a request, by the headers that they say it in.

use policy::request_id::kept;
use policy::surface::Dialect;

/// Ids that are kept of one side.
pub const MOST: usize = 4;

/// Where clients name their requests, the usual names first.
const CLIENT: [&str; 7] = [
    "x-request-id",
    "x-client-request-id",
    "client-request-id",
    "x-ms-client-request-id",
    "request-id",
    "x-correlation-id",
    "amz-sdk-invocation-id",
];

/// Where a provider of the dialect, or a cloud that serves it, names the request that it answers.
const fn provider(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Anthropic => &[
            "request-id",
            "x-request-id",
            "x-amzn-requestid",
            "apim-request-id",
            "x-vertex-ai-received-request-id",
        ],
        Dialect::Openai => &[
            "x-request-id",
            "apim-request-id",
            "x-ms-request-id",
            "request-id",
            "x-generation-id",
            "mistral-correlation-id",
            "x-ds-trace-id",
            "x-amzn-requestid",
        ],
        Dialect::Gemini => &[
            "x-goog-request-id",
            "x-request-id",
            "x-vertex-ai-received-request-id",
            "x-goog-trace-id",
        ],
    }
}

/// Returns the ids that a client gave its request, each once, at most [`MOST`], the usual names first.
///
/// ```
/// let headers = [("accept", &b"*/*"[..]), ("x-request-id", b"mine")];
/// assert_eq!(dialects::request_ids::of_client(headers), ["mine"]);
/// ```
pub fn of_client<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<String> {
    read(&CLIENT, headers)
}

/// Returns the ids that a provider gave a request, each once, at most [`MOST`], the usual names first.
pub fn of_provider<'a>(
    dialect: Dialect,
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Vec<String> {
    read(provider(dialect), headers)
}

fn read<'a>(names: &[&str], headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<String> {
    let mut found = Vec::new();
    // Every name ends so, and hardly another header's does.
    for (name, value) in headers.into_iter().filter(|(name, _)| name.ends_with("id")) {
        let place = names.iter().position(|known| *known == name);
        found.extend(place.and_then(|place| Some((place, kept(value)?))));
    }
    found.sort_by_key(|(place, _)| *place);
    let mut ids: Vec<String> = Vec::new();
    for (_, id) in found {
        if ids.len() < MOST && !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        pairs.iter().map(|(name, value)| (*name, value.as_bytes()))
    }

    #[test]
    fn ids_are_read_under_every_name_and_kept_once() {
        for name in CLIENT {
            assert_eq!(of_client(headers(&[(name, "an id")])), ["anid"], "{name}");
        }
        for dialect in [Dialect::Anthropic, Dialect::Openai, Dialect::Gemini] {
            for name in provider(dialect) {
                let ids = of_provider(dialect, headers(&[(name, "req_1")]));
                assert_eq!(ids, ["req_1"], "{name} of {dialect:?}");
            }
        }
        let pairs = [
            ("x-client-request-id", "b"),
            ("x-session-id", "c"),
            ("request-id", "a"),
            ("x-request-id", "a"),
        ];
        assert_eq!(of_client(headers(&pairs)), ["a", "b"]);
        let many = CLIENT.map(|name| (name, name));
        assert_eq!(of_client(headers(&many)).len(), MOST);
        assert_eq!(of_client(headers(&[("x-request-id", " ")])), [""; 0]);
    }
}

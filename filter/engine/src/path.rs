//! Where a request goes: surface, pinned provider, upstream path; decided from host and path alone.

use policy::segment::{Collection, PathSegment, SegmentError};
use policy::surface::{Dialect, Surface};

use crate::query::{Query, QueryError};
use crate::upstream::{PlainPath, Template, is_plain};

/// Why a path is not even looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    /// Encoded slashes, dot segments, empty segments, NUL or control bytes: two parsers could disagree.
    Ambiguous,
    /// The model that it names is not one segment.
    Model(SegmentError),
    Query(QueryError),
    /// No surface of any dialect begins like this.
    Unknown,
}

/// What a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub surface: Surface,
    /// `/p/{name}/…`: the client named the provider.
    pub provider: Option<String>,
    /// The provider whose host name was addressed: it serves what no route takes elsewhere.
    pub host_provider: Option<String>,
    /// The surface's own path as the client wrote it (`/v1/messages`), without our prefix and query.
    pub path: String,
    /// What of it a provider sees.
    pub template: Template,
    pub query: Query,
    /// Model named by the path: of the Gemini dialect, and the one that a list is asked about.
    pub model: Option<String>,
    /// A list of models that is no vendor's: neither prefix nor host nor headers tell whose.
    pub lists_all: bool,
    /// Gemini's `:streamGenerateContent`.
    pub streams: bool,
}

/// A request that is answered without a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// `HEAD /`, `GET /`, `/healthz`, `/api/hello`: is anybody there?
    Alive,
    /// `/weir/canary`: a canary exchange.
    Canary,
}

/// Returns the probe that `path` is, if any.
pub(crate) fn probe(path: &str) -> Option<Probe> {
    match path.split('?').next().unwrap_or_default() {
        "/" | "/healthz" | "/api/hello" => Some(Probe::Alive),
        "/weir/canary" => Some(Probe::Canary),
        _ => None,
    }
}

/// Guesses whose path this is, for a refusal in words that its client understands.
pub(crate) fn dialect_hint(raw: &str) -> Option<Dialect> {
    let (prefix, path) = dialect_prefix(raw);
    prefix.or_else(|| {
        if path.starts_with("/v1/messages") {
            Some(Dialect::Anthropic)
        } else if path.starts_with("/v1beta/") {
            Some(Dialect::Gemini)
        } else {
            None
        }
    })
}

/// Reads `raw`, the request path with query.
///
/// `by_host` is the dialect of the provider host the request was addressed to (intercepted traffic);
/// `vendor` is whose headers the request has: it tells whose `GET /v1/models` it is when the path alone does not.
///
/// # Errors
/// [`PathError::Ambiguous`] for paths that two parsers could read differently; [`PathError::Unknown`] when
/// no dialect is known for it.
pub(crate) fn address(
    raw: &str,
    by_host: Option<Dialect>,
    vendor: Option<Dialect>,
) -> Result<Address, PathError> {
    let (path, query) = raw.split_once('?').unwrap_or((raw, ""));
    if !is_plain(path) {
        return Err(PathError::Ambiguous);
    }
    let (provider, path) = named_provider(path)?;
    let (prefix, path) = dialect_prefix(path);
    let dialect = prefix.or(by_host);
    let found = surface(path, dialect, vendor).unwrap_or(Err(PathError::Unknown))?;
    let template = match found.meaning {
        Meaning::Surface(template) => template,
        Meaning::Opaque if folds_into_a_surface(path, dialect, vendor) => {
            return Err(PathError::Ambiguous);
        }
        Meaning::Opaque => Template::Opaque(PlainPath::parse(path).ok_or(PathError::Ambiguous)?),
    };
    Ok(Address {
        surface: found.surface,
        provider,
        host_provider: None,
        path: path.to_owned(),
        template,
        query: Query::parse(query).map_err(PathError::Query)?,
        lists_all: matches!(found.surface, Surface::OpenaiModels) && dialect.or(vendor).is_none(),
        model: found.model,
        streams: found.streams,
    })
}

fn named_provider(path: &str) -> Result<(Option<String>, &str), PathError> {
    let Some(rest) = path.strip_prefix("/p/") else {
        return Ok((None, path));
    };
    let (name, _) = rest.split_once('/').ok_or(PathError::Unknown)?;
    let tail = rest.strip_prefix(name).unwrap_or_default();
    Ok((Some(name.to_owned()), tail))
}

fn dialect_prefix(path: &str) -> (Option<Dialect>, &str) {
    [
        ("/anthropic", Dialect::Anthropic),
        ("/openai", Dialect::Openai),
        ("/genai", Dialect::Gemini),
    ]
    .into_iter()
    .find_map(|(prefix, dialect)| {
        let rest = path.strip_prefix(prefix)?;
        rest.starts_with('/').then_some((Some(dialect), rest))
    })
    .unwrap_or((None, path))
}

/// What a path without our prefixes leads to.
struct Found {
    surface: Surface,
    meaning: Meaning,
    model: Option<String>,
    streams: bool,
}

enum Meaning {
    Surface(Template),
    Opaque,
}

impl Found {
    const fn fixed(surface: Surface, path: &'static str) -> Self {
        Self {
            surface,
            meaning: Meaning::Surface(Template::Fixed(path)),
            model: None,
            streams: false,
        }
    }

    fn models(surface: Surface, path: &str) -> Self {
        Self {
            surface,
            meaning: Meaning::Surface(Template::AnsweredHere),
            model: path.strip_prefix("/models/").map(str::to_owned),
            streams: false,
        }
    }

    const fn opaque(surface: Surface) -> Self {
        Self {
            surface,
            meaning: Meaning::Opaque,
            model: None,
            streams: false,
        }
    }
}

fn surface(
    path: &str,
    dialect: Option<Dialect>,
    vendor: Option<Dialect>,
) -> Option<Result<Found, PathError>> {
    if let Some(found) = gemini(path)
        && dialect.is_none_or(|dialect| dialect == Dialect::Gemini)
    {
        return Some(found);
    }
    Some(Ok(match (dialect, unversioned(path)) {
        (None | Some(Dialect::Anthropic), "/messages") => {
            Found::fixed(Surface::AnthropicMessages, "/v1/messages")
        }
        (None | Some(Dialect::Anthropic), "/messages/count_tokens") => {
            Found::fixed(Surface::AnthropicCountTokens, "/v1/messages/count_tokens")
        }
        (None | Some(Dialect::Openai), "/chat/completions") => {
            Found::fixed(Surface::OpenaiChat, "/chat/completions")
        }
        (None | Some(Dialect::Openai), "/responses") => {
            Found::fixed(Surface::OpenaiResponses, "/responses")
        }
        (None | Some(Dialect::Openai), "/embeddings") => {
            Found::fixed(Surface::OpenaiEmbeddings, "/embeddings")
        }
        (found, models) if is_models(models) => {
            let surface = match found.or(vendor).unwrap_or(Dialect::Openai) {
                Dialect::Anthropic => Surface::AnthropicModels,
                Dialect::Openai => Surface::OpenaiModels,
                Dialect::Gemini => Surface::GeminiModels,
            };
            Found::models(surface, models)
        }
        (Some(Dialect::Anthropic), _) => Found::opaque(Surface::AnthropicOpaque),
        (Some(Dialect::Openai), _) => Found::opaque(Surface::OpenaiOpaque),
        (Some(Dialect::Gemini), _) => Found::opaque(Surface::GeminiOpaque),
        (None, _) => Found::opaque(opaque_by_path(path)?),
    }))
}

/// Whether a provider that ignores case would read a governed path here.
fn folds_into_a_surface(path: &str, dialect: Option<Dialect>, vendor: Option<Dialect>) -> bool {
    let mut folded = path.to_ascii_lowercase();
    let names = Collection::ALL.map(Collection::name);
    for word in names.into_iter().chain(OPERATIONS.map(|(name, ..)| name)) {
        for (before, behind) in [("/", "/"), (":", "")] {
            let lower = format!("{before}{}{behind}", word.to_ascii_lowercase());
            folded = folded.replace(&lower, &format!("{before}{word}{behind}"));
        }
    }
    match surface(&folded, dialect, vendor) {
        Some(Ok(found)) => matches!(found.meaning, Meaning::Surface(_)),
        Some(Err(_)) => true,
        None => false,
    }
}

fn is_models(path: &str) -> bool {
    path == "/models"
        || path
            .strip_prefix("/models/")
            .is_some_and(|id| !id.is_empty())
}

/// Paths of a known provider that no surface covers; told apart by their first segments.
fn opaque_by_path(path: &str) -> Option<Surface> {
    match path.split('/').nth(1) {
        Some("v1beta" | "v1alpha" | "upload") => Some(Surface::GeminiOpaque),
        Some("v1") => match path.split('/').nth(2) {
            Some("messages" | "organizations" | "complete" | "skills") => {
                Some(Surface::AnthropicOpaque)
            }
            Some(_) => Some(Surface::OpenaiOpaque),
            None => None,
        },
        Some(_) | None => None,
    }
}

fn unversioned(path: &str) -> &str {
    path.strip_prefix("/v1")
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path)
}

/// What is asked of a Gemini model, on which surface, and whether the answer is a stream.
const OPERATIONS: [(&str, Surface, bool); 5] = [
    ("generateContent", Surface::GeminiGenerate, false),
    ("streamGenerateContent", Surface::GeminiGenerate, true),
    ("countTokens", Surface::GeminiCountTokens, false),
    ("embedContent", Surface::GeminiEmbed, false),
    ("batchEmbedContents", Surface::GeminiEmbed, false),
];

/// Versions of the Gemini API; a path without one is of the first.
const GEMINI_VERSIONS: [&str; 3] = ["v1beta", "v1alpha", "v1"];

fn gemini(path: &str) -> Option<Result<Found, PathError>> {
    // `/v1/models` is the path of three providers.
    if let Some(models) = ["/v1beta", "/v1alpha"]
        .into_iter()
        .find_map(|prefix| path.strip_prefix(prefix))
        && is_models(models)
        && !models.contains(':')
    {
        return Some(Ok(Found::models(Surface::GeminiModels, models)));
    }
    let rest = path.strip_prefix('/')?;
    let named = GEMINI_VERSIONS.into_iter().find_map(|version| {
        let rest = rest.strip_prefix(version)?.strip_prefix('/')?;
        Some((version, rest))
    });
    let (version, rest) = named.unwrap_or(("v1beta", rest));
    let (collection, rest) = rest.split_once('/')?;
    let collection = Collection::ALL
        .into_iter()
        .find(|known| known.name() == collection)?;
    let (model, operation) = rest.rsplit_once(':')?;
    let (operation, surface, streams) = OPERATIONS
        .into_iter()
        .find(|(name, ..)| *name == operation)?;
    let model = match asked_model(collection, model) {
        Ok(model) => model,
        Err(fault) => return Some(Err(PathError::Model(fault))),
    };
    Some(Ok(Found {
        surface,
        meaning: Meaning::Surface(Template::Gemini { version, operation }),
        model: Some(model),
        streams,
    }))
}

/// The name by which policy and records know what a path calls `models/{written}` or `tunedModels/{written}`; before
/// a base model a provider may be named (`models/google/gemini-2.5-pro`).
fn asked_model(collection: Collection, written: &str) -> Result<String, SegmentError> {
    match (collection, written.split_once('/')) {
        (Collection::TunedModels, _) => {
            let segment = PathSegment::parse(written)?;
            Ok(format!("{}/{}", collection.name(), segment.as_str()))
        }
        (Collection::Models, None) => Ok(PathSegment::parse(written)?.as_str().to_owned()),
        (Collection::Models, Some((provider, model))) => {
            let names_a_collection = Collection::ALL
                .iter()
                .any(|known| known.name().eq_ignore_ascii_case(provider));
            if names_a_collection {
                return Err(SegmentError::Character);
            }
            PathSegment::parse(provider)?;
            PathSegment::parse(model)?;
            Ok(written.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, want: Surface, path: &str) {
        let found = address(raw, None, None).unwrap();
        assert_eq!((found.surface, found.path.as_str()), (want, path), "{raw}");
    }

    #[test]
    fn native_and_prefixed_paths_are_the_same_surface() {
        check(
            "/v1/messages?beta=true",
            Surface::AnthropicMessages,
            "/v1/messages",
        );
        check(
            "/anthropic/v1/messages",
            Surface::AnthropicMessages,
            "/v1/messages",
        );
        check(
            "/v1/chat/completions",
            Surface::OpenaiChat,
            "/v1/chat/completions",
        );
        check(
            "/openai/v1/responses",
            Surface::OpenaiResponses,
            "/v1/responses",
        );
        check("/openai/responses", Surface::OpenaiResponses, "/responses");
        check(
            "/genai/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            Surface::GeminiGenerate,
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
        );
        check(
            "/v1/models/gemini-2.5-pro:generateContent",
            Surface::GeminiGenerate,
            "/v1/models/gemini-2.5-pro:generateContent",
        );
        check(
            "/p/azure/v1/embeddings",
            Surface::OpenaiEmbeddings,
            "/v1/embeddings",
        );
    }

    #[test]
    fn models_are_told_apart_by_prefix_then_by_hint() {
        check("/v1/models", Surface::OpenaiModels, "/v1/models");
        check(
            "/anthropic/v1/models?limit=1000",
            Surface::AnthropicModels,
            "/v1/models",
        );
        check(
            "/genai/v1beta/models",
            Surface::GeminiModels,
            "/v1beta/models",
        );
        let hinted = address("/v1/models", None, Some(Dialect::Anthropic)).unwrap();
        assert_eq!(hinted.surface, Surface::AnthropicModels);
    }

    #[test]
    fn anything_else_of_a_known_provider_is_opaque() {
        check("/openai/v1/files", Surface::OpenaiOpaque, "/v1/files");
        check(
            "/v1/messages/batches",
            Surface::AnthropicOpaque,
            "/v1/messages/batches",
        );
        check(
            "/v1/responses/resp_1",
            Surface::OpenaiOpaque,
            "/v1/responses/resp_1",
        );
        assert_eq!(address("/favicon.ico", None, None), Err(PathError::Unknown));
    }

    #[test]
    fn paths_that_two_parsers_could_read_differently_are_refused() {
        for raw in [
            "/v1/messages/../chat",
            "/v1//messages",
            "/v1%2fmessages",
            "/v1/%2e%2e/x",
            "/v1/messages\\x",
            "v1/messages",
            "/v1/%5cx",
            "/./v1/messages",
            "/v1/messages%00",
            "/v1/%252fx",
            "/v1beta/models/gemini-pr%6f:generateContent",
            "/v1/files;v=1",
            "/v1/chat/completions/",
            "/v1/Chat/Completions",
            "/v1beta/models/g:GenerateContent",
            "/v1/m#x",
        ] {
            assert_eq!(address(raw, None, None), Err(PathError::Ambiguous), "{raw}");
        }
    }

    #[test]
    fn the_credential_leaves_the_query() {
        let path = "/v1beta/models/g:generateContent?key=abc&alt=sse";
        let found = address(path, None, None).unwrap();
        let mut query = String::new();
        found.query.write(&mut query, None);
        assert_eq!(
            (query.as_str(), found.query.key()),
            ("?alt=sse", Some("abc"))
        );
        assert_eq!(found.model.as_deref(), Some("g"));
    }

    #[track_caller]
    fn gemini(raw: &str, want: (&str, &'static str, &'static str)) {
        let found = address(raw, None, None).unwrap();
        let (model, version, operation) = want;
        assert_eq!(found.model.as_deref(), Some(model), "{raw}");
        let want = Template::Gemini { version, operation };
        assert_eq!(found.template, want, "{raw}");
    }

    #[test]
    fn a_gemini_path_names_one_model() {
        let generate = "generateContent";
        for (raw, want) in [
            (
                "/v1beta/models/g:generateContent",
                ("g", "v1beta", generate),
            ),
            (
                "/v1alpha/models/g:generateContent",
                ("g", "v1alpha", generate),
            ),
            ("/v1/models/g:generateContent", ("g", "v1", generate)),
            ("/models/g:generateContent", ("g", "v1beta", generate)),
            ("/genai/models/g:generateContent", ("g", "v1beta", generate)),
            ("/p/g/models/g:generateContent", ("g", "v1beta", generate)),
            (
                "/genai/models/g:streamGenerateContent?alt=sse",
                ("g", "v1beta", "streamGenerateContent"),
            ),
            ("/models/g:countTokens", ("g", "v1beta", "countTokens")),
            ("/models/g:embedContent", ("g", "v1beta", "embedContent")),
            (
                "/v1beta/models/g:batchEmbedContents",
                ("g", "v1beta", "batchEmbedContents"),
            ),
            (
                "/v1beta/tunedModels/g:generateContent",
                ("tunedModels/g", "v1beta", generate),
            ),
            (
                "/tunedModels/g:generateContent",
                ("tunedModels/g", "v1beta", generate),
            ),
            (
                "/v1beta/models/google/g:generateContent",
                ("google/g", "v1beta", generate),
            ),
        ] {
            gemini(raw, want);
        }
    }

    #[test]
    fn a_gemini_path_with_another_model_is_refused() {
        for name in [
            "",
            "a:b",
            "a@b",
            "-a",
            ".a",
            "a/b/c",
            "models/a",
            "tunedModels/a",
            "TunedModels/a",
            "a/",
            "a,b",
            "a*",
            "a=b",
            "a&b",
        ] {
            for collection in Collection::ALL.map(Collection::name) {
                for version in ["/v1beta", "/v1", "", "/genai", "/genai/v1alpha"] {
                    let raw = format!("{version}/{collection}/{name}:generateContent");
                    let refused = address(&raw, None, None);
                    assert!(
                        matches!(refused, Err(PathError::Model(_) | PathError::Ambiguous)),
                        "{raw}: {refused:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn another_case_of_a_governed_path_is_refused() {
        for raw in [
            "/v1beta/Models/g:generateContent",
            "/v1beta/TunedModels/g:generateContent",
            "/v1beta/tunedmodels/g:generateContent",
            "/genai/V1beta/models/g:generateContent",
            "/v1beta/tunedModels/g:generatecontent",
            "/v1beta/tunedmodels/g:streamGenerateContent",
            "/genai/Models/g:generateContent",
            "/genai/MODELS/a:b:GENERATECONTENT",
            "/anthropic/v1/Messages",
            "/v1/Models",
        ] {
            let refused = address(raw, None, None);
            assert_eq!(refused, Err(PathError::Ambiguous), "{raw}");
        }
    }
}

//! Where a request goes: surface, pinned provider, upstream path; decided from host and path alone.

use policy::key::holds_virtual_key;
use policy::surface::{Dialect, Surface};

/// Why a path is not even looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    /// Encoded slashes, dot segments, empty segments, NUL or control bytes: two parsers could disagree.
    Ambiguous,
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
    /// The surface's own path with its version (`/v1/messages`), without our prefix and query.
    pub path: String,
    /// Query behind `?`, `key` parameters removed; empty when there is none.
    pub query: String,
    /// Model named by the path (Gemini).
    pub model: Option<String>,
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
/// `models_dialect` tells whose `GET /v1/models` it is when the path alone does not.
///
/// # Errors
/// [`PathError::Ambiguous`] for paths that two parsers could read differently; [`PathError::Unknown`] when
/// no dialect is known for it.
pub(crate) fn address(
    raw: &str,
    by_host: Option<Dialect>,
    models_dialect: Dialect,
) -> Result<Address, PathError> {
    let (path, query) = raw.split_once('?').unwrap_or((raw, ""));
    if is_ambiguous(path) {
        return Err(PathError::Ambiguous);
    }
    let (provider, path) = named_provider(path)?;
    let (prefix, path) = dialect_prefix(path);
    let dialect = prefix.or(by_host);
    let (surface, model, streams) =
        surface(path, dialect, models_dialect).ok_or(PathError::Unknown)?;
    if is_opaque(surface) && folds_into_a_surface(path, dialect, models_dialect) {
        return Err(PathError::Ambiguous);
    }
    Ok(Address {
        surface,
        provider,
        host_provider: None,
        path: path.to_owned(),
        query: without_keys(query),
        model,
        streams,
    })
}

/// A path is taken as it stands or not at all: nobody behind us may decode, cut or fold it into another one.
fn is_ambiguous(path: &str) -> bool {
    let is_plain =
        |byte: &u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'%' | b'\\' | b'#' | b';');
    !path.starts_with('/')
        || !path.as_bytes().iter().all(is_plain)
        || path.contains("//")
        || (path.len() > 1 && path.ends_with('/'))
        || path.split('/').any(|segment| matches!(segment, "." | ".."))
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

fn surface(
    path: &str,
    dialect: Option<Dialect>,
    models_dialect: Dialect,
) -> Option<(Surface, Option<String>, bool)> {
    let plain = |surface| Some((surface, None, false));
    if let Some(found) = gemini(path)
        && dialect.is_none_or(|dialect| dialect == Dialect::Gemini)
    {
        return Some(found);
    }
    match (dialect, unversioned(path)) {
        (None | Some(Dialect::Anthropic), "/messages") => plain(Surface::AnthropicMessages),
        (None | Some(Dialect::Anthropic), "/messages/count_tokens") => {
            plain(Surface::AnthropicCountTokens)
        }
        (None | Some(Dialect::Openai), "/chat/completions") => plain(Surface::OpenaiChat),
        (None | Some(Dialect::Openai), "/responses") => plain(Surface::OpenaiResponses),
        (None | Some(Dialect::Openai), "/embeddings") => plain(Surface::OpenaiEmbeddings),
        (found, models) if is_models(models) => {
            let model = models.strip_prefix("/models/").map(str::to_owned);
            let surface = match found.unwrap_or(models_dialect) {
                Dialect::Anthropic => Surface::AnthropicModels,
                Dialect::Openai => Surface::OpenaiModels,
                Dialect::Gemini => Surface::GeminiModels,
            };
            Some((surface, model, false))
        }
        (Some(Dialect::Anthropic), _) => plain(Surface::AnthropicOpaque),
        (Some(Dialect::Openai), _) => plain(Surface::OpenaiOpaque),
        (Some(Dialect::Gemini), _) => plain(Surface::GeminiOpaque),
        (None, _) => opaque_by_path(path).and_then(plain),
    }
}

const fn is_opaque(surface: Surface) -> bool {
    matches!(
        surface,
        Surface::AnthropicOpaque | Surface::OpenaiOpaque | Surface::GeminiOpaque
    )
}

/// Whether a provider that ignores case would read a governed path here.
fn folds_into_a_surface(path: &str, dialect: Option<Dialect>, models_dialect: Dialect) -> bool {
    let folded = path.to_ascii_lowercase();
    let governed = |path: &str| {
        surface(path, dialect, models_dialect).is_some_and(|(found, ..)| !is_opaque(found))
    };
    let operations = [
        "generateContent",
        "streamGenerateContent",
        "countTokens",
        "embedContent",
        "batchEmbedContents",
    ];
    governed(&folded)
        || operations.iter().any(|operation| {
            let ending = format!(":{}", operation.to_ascii_lowercase());
            folded
                .strip_suffix(ending.as_str())
                .is_some_and(|rest| governed(&format!("{rest}:{operation}")))
        })
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

fn gemini(path: &str) -> Option<(Surface, Option<String>, bool)> {
    if let Some(models) = ["/v1beta", "/v1alpha"]
        .into_iter()
        .find_map(|prefix| path.strip_prefix(prefix))
        && is_models(models)
        && !models.contains(':')
    {
        let model = models.strip_prefix("/models/").map(str::to_owned);
        return Some((Surface::GeminiModels, model, false));
    }
    let rest = ["/v1beta/", "/v1alpha/", "/v1/"]
        .into_iter()
        .find_map(|prefix| path.strip_prefix(prefix))?;
    let rest = rest
        .strip_prefix("models/")
        .or_else(|| rest.strip_prefix("tunedModels/"))?;
    let (model, operation) = rest.rsplit_once(':')?;
    if model.is_empty() {
        return None;
    }
    let (surface, streams) = match operation {
        "generateContent" => (Surface::GeminiGenerate, false),
        "streamGenerateContent" => (Surface::GeminiGenerate, true),
        "countTokens" => (Surface::GeminiCountTokens, false),
        "embedContent" | "batchEmbedContents" => (Surface::GeminiEmbed, false),
        _ => return None,
    };
    Some((surface, Some(model.to_owned()), streams))
}

fn without_keys(query: &str) -> String {
    let mut kept = String::with_capacity(query.len());
    for pair in query
        .split('&')
        .filter(|pair| !pair.is_empty() && *pair != "key" && !pair.starts_with("key="))
        .filter(|pair| !holds_virtual_key(pair.as_bytes()))
    {
        if !kept.is_empty() {
            kept.push('&');
        }
        kept.push_str(pair);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, want: Surface, path: &str) {
        let found = address(raw, None, Dialect::Openai).unwrap();
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
        let hinted = address("/v1/models", None, Dialect::Anthropic).unwrap();
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
        assert_eq!(
            address("/favicon.ico", None, Dialect::Openai),
            Err(PathError::Unknown)
        );
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
            assert_eq!(
                address(raw, None, Dialect::Openai),
                Err(PathError::Ambiguous),
                "{raw}"
            );
        }
    }

    #[test]
    fn key_parameters_leave_the_query() {
        let found = address(
            "/v1beta/models/g:generateContent?key=abc&alt=sse&key=d",
            None,
            Dialect::Openai,
        )
        .unwrap();
        assert_eq!(found.query, "alt=sse");
        assert_eq!(found.model.as_deref(), Some("g"));
    }
}

//! Paths of a provider outside the model APIs: which of them a key may be given, and how it has to name them.
//!
//! What answers once and keeps nothing is listed by dialect: a wildcard of a key covers those and no others. What is
//! not listed passes only where a key names it exactly. What is stored at the provider, belongs to its
//! administration, or mints credentials passes never: one provider key serves many teams.

use crate::surface::Dialect;

/// What a path of a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpaqueKind {
    /// Answers at once and keeps nothing.
    Listed,
    /// Not known here.
    Unlisted,
    /// Under ids that all teams of one provider key share.
    Stored,
    /// Of the provider's organisation, or a source of credentials.
    Administrative,
}

/// Methods and paths behind the version that answer at once and keep nothing; `*` is one segment.
const LISTED: [(Dialect, &str, &str); 22] = [
    (Dialect::Anthropic, "POST", "complete"),
    (Dialect::Openai, "POST", "audio/speech"),
    (Dialect::Openai, "POST", "audio/transcriptions"),
    (Dialect::Openai, "POST", "audio/translations"),
    (Dialect::Openai, "POST", "classify"),
    (Dialect::Openai, "POST", "completions"),
    (Dialect::Openai, "POST", "detokenize"),
    (Dialect::Openai, "POST", "edits"),
    (Dialect::Openai, "POST", "fim/completions"),
    (Dialect::Openai, "POST", "images/edits"),
    (Dialect::Openai, "POST", "images/generations"),
    (Dialect::Openai, "POST", "images/variations"),
    (Dialect::Openai, "POST", "moderations"),
    (Dialect::Openai, "POST", "ocr"),
    (Dialect::Openai, "POST", "rerank"),
    (Dialect::Openai, "POST", "score"),
    (Dialect::Openai, "POST", "tokenize"),
    (Dialect::Openai, "POST", "tokenize-text"),
    (Dialect::Gemini, "POST", "models/*:embedText"),
    (Dialect::Gemini, "POST", "models/*:generateAnswer"),
    (Dialect::Gemini, "POST", "models/*:generateText"),
    (Dialect::Gemini, "POST", "models/*:predict"),
];

/// Words of a path below which a provider keeps things, in lower case and without separators.
const STORED: &[&str] = &[
    "agents",
    "assistants",
    "asyncbatchembedcontent",
    "batch",
    "batches",
    "batchgeneratecontent",
    "cachedcontents",
    "chunks",
    "collections",
    "connectors",
    "containers",
    "conversations",
    "corpora",
    "customvoices",
    "datasets",
    "deferredcompletion",
    "documents",
    "evals",
    "experiments",
    "files",
    "filesearchstores",
    "finetunes",
    "finetuning",
    "generatedfiles",
    "graders",
    "history",
    "importfile",
    "interactions",
    "items",
    "jobs",
    "libraries",
    "memories",
    "memorystores",
    "operations",
    "predictlongrunning",
    "prompts",
    "ragcorpora",
    "ragstores",
    "responses",
    "runs",
    "skills",
    "tasks",
    "threads",
    "traces",
    "tunedmodels",
    "upload",
    "uploads",
    "uploadtofilesearchstore",
    "vaults",
    "vectorstores",
    "videos",
    "voiceconsents",
    "voices",
    "workflows",
];

/// Words of a path that belong to a provider's administration.
const ADMINISTRATIVE: &[&str] = &[
    "account",
    "accounts",
    "activity",
    "admin",
    "auditlogs",
    "auth",
    "billing",
    "budgets",
    "certificates",
    "config",
    "costs",
    "credits",
    "dashboard",
    "environments",
    "groups",
    "invites",
    "login",
    "me",
    "members",
    "oauth",
    "organization",
    "organizations",
    "permissions",
    "projects",
    "ratelimits",
    "roles",
    "serviceaccounts",
    "settings",
    "spend",
    "sso",
    "subscriptions",
    "teams",
    "usage",
    "users",
    "webhooks",
    "workspaces",
];

/// Ends of words under which credentials are given out.
const MINTING: &[&str] = &[
    "credential",
    "credentials",
    "key",
    "keys",
    "secret",
    "secrets",
    "session",
    "sessions",
    "token",
    "tokens",
];

/// Returns what `path` is, which two parsers cannot read differently: no escapes, no empty or dot segments.
///
/// ```
/// use policy::opaque::{OpaqueKind, kind};
/// use policy::surface::Dialect;
///
/// assert_eq!(kind(Dialect::Openai, "POST", "/v1/images/generations"), OpaqueKind::Listed);
/// assert_eq!(kind(Dialect::Openai, "GET", "/v1/Files/file-1"), OpaqueKind::Stored);
/// assert_eq!(kind(Dialect::Openai, "POST", "/v1/realtime/client_secrets"), OpaqueKind::Administrative);
/// ```
pub fn kind(dialect: Dialect, method: &str, path: &str) -> OpaqueKind {
    if words(path).any(|word| is_administrative(&word)) {
        return OpaqueKind::Administrative;
    }
    if words(path).any(|word| STORED.contains(&word.as_str())) || is_stored_chat(path) {
        return OpaqueKind::Stored;
    }
    let rest = unversioned(path);
    let is_listed = LISTED
        .iter()
        .any(|(of, by, template)| (*of, *by) == (dialect, method) && fits(template, rest));
    if is_listed {
        OpaqueKind::Listed
    } else {
        OpaqueKind::Unlisted
    }
}

/// The words of a path as a lenient server may read them: in lower case, without separators.
fn words(path: &str) -> impl Iterator<Item = String> {
    path.split([
        '/', ':', '.', ',', '(', ')', '=', '&', '@', '+', '$', '!', '~', '*',
    ])
    .map(|word| {
        word.bytes()
            .filter(|byte| !matches!(byte, b'_' | b'-'))
            .map(|byte| char::from(byte.to_ascii_lowercase()))
            .collect()
    })
}

fn is_administrative(word: &str) -> bool {
    let is_live = matches!(word, "realtime" | "live" | "bidigeneratecontent");
    let mints = !word.starts_with("count") && MINTING.iter().any(|ending| word.ends_with(ending));
    is_live || mints || ADMINISTRATIVE.contains(&word)
}

/// Whether something follows `chat/completions`: a stored chat, whatever the method.
fn is_stored_chat(path: &str) -> bool {
    let mut rest = words(path).skip_while(|word| word != "chat").skip(1);
    rest.next().is_some_and(|word| word == "completions") && rest.next().is_some()
}

/// Without the leading slash and a version: `/v1/`, `/v2/`, `/v1beta/`, `/v1alpha1/`.
fn unversioned(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split_once('/')
        .filter(|(first, _)| {
            let digits = first.strip_prefix('v').unwrap_or_default();
            let rest = digits.trim_start_matches(|it: char| it.is_ascii_digit());
            rest.len() < digits.len()
                && matches!(
                    rest.trim_end_matches(|it: char| it.is_ascii_digit()),
                    "" | "alpha" | "beta"
                )
        })
        .map_or(path, |(_, rest)| rest)
}

/// Whether a path is of a template; `*` stands for text without `/` and `:`.
fn fits(template: &str, path: &str) -> bool {
    match template.split_once('*') {
        None => template == path,
        Some((start, end)) => path
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|one| !one.is_empty() && !one.contains(['/', ':'])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dialect: Dialect, method: &str, path: &str, want: OpaqueKind) {
        assert_eq!(kind(dialect, method, path), want, "{method} {path}");
    }

    #[test]
    fn what_is_stored_is_told_in_every_spelling_and_version() {
        for path in [
            "/v1/files",
            "/v1/Files",
            "/v1/FILES/file-1/content",
            "/files/file-1",
            "/v2/files",
            "/openai/v1/files",
            "/v1/openai/files",
            "/upload/v1beta/files",
            "/v1beta/files:register",
            "/v1beta/files/abc:download",
            "/v1/uploads",
            "/v1/responses/resp_1",
            "/v1/responses/resp_1/cancel",
            "/v1/responses/compact",
            "/responses/resp_1/input_items",
            "/v1/conversations/conv_1/items",
            "/v1/vector_stores/vs_1",
            "/v1/vector-stores",
            "/v1/containers/c/files",
            "/v1/batches",
            "/v1/messages/batches/b/results",
            "/v1/skills",
            "/v1/evals/e/runs",
            "/v1/assistants",
            "/v1/threads/t/messages",
            "/v1/chat/completions/chatcmpl-1",
            "/v1/Chat/Completions/chatcmpl-1/messages",
            "/v1beta/openai/chat/completions/x",
            "/v1/videos/video_1/content",
            "/v1/fine_tuning/jobs",
            "/v1/audio/voices",
            "/v1beta/cachedContents",
            "/v1beta/cachedcontents/7",
            "/v1beta/tunedModels",
            "/v1beta/tunedModels/x:transferOwnership",
            "/v1beta/corpora/c/documents",
            "/v1beta/fileSearchStores/s:importFile",
            "/v1beta/models/g:batchGenerateContent",
            "/v1beta/models/veo:predictLongRunning",
            "/v1beta/operations/o",
            "/v1beta/interactions/i",
            "/v1/memory_stores/m",
        ] {
            for (dialect, method) in [
                (Dialect::Openai, "GET"),
                (Dialect::Gemini, "POST"),
                (Dialect::Anthropic, "DELETE"),
            ] {
                check(dialect, method, path, OpaqueKind::Stored);
            }
        }
    }

    #[test]
    fn what_is_administered_or_minted_is_told() {
        for path in [
            "/v1/organization/projects",
            "/v1/organizations/me",
            "/v1/Organizations/x",
            "/v1/admin_api_keys",
            "/v1/projects/p/locations/l/files",
            "/v1/realtime/client_secrets",
            "/v1/realtime/sessions",
            "/v1/realtime/transcription_sessions",
            "/v1/Realtime/Client-Secrets",
            "/openai/v1/realtime/calls",
            "/v1alpha/auth_tokens",
            "/v1beta/authTokens",
            "/v1beta/authTokens:create",
            "/v1beta/x:createToken",
            "/v1/chatkit/sessions",
            "/v1/usage",
            "/v1/dashboard/billing/usage",
            "/v1/key",
            "/v1/auth/keys",
            "/v1/credits",
            "/v1beta/tunedModels/x/permissions",
        ] {
            for (dialect, method) in [
                (Dialect::Openai, "POST"),
                (Dialect::Gemini, "POST"),
                (Dialect::Anthropic, "GET"),
            ] {
                check(dialect, method, path, OpaqueKind::Administrative);
            }
        }
    }

    #[test]
    fn what_answers_once_is_listed_by_dialect_and_method() {
        use OpaqueKind::{Listed, Unlisted};
        check(Dialect::Openai, "POST", "/v1/images/generations", Listed);
        check(Dialect::Openai, "POST", "/images/generations", Listed);
        check(Dialect::Openai, "POST", "/v2/rerank", Listed);
        check(Dialect::Openai, "GET", "/v1/images/generations", Unlisted);
        check(Dialect::Openai, "DELETE", "/v1/completions", Unlisted);
        check(
            Dialect::Anthropic,
            "POST",
            "/v1/images/generations",
            Unlisted,
        );
        check(Dialect::Openai, "POST", "/v1/Images/generations", Unlisted);
        check(
            Dialect::Openai,
            "POST",
            "/v1/images/generations/x",
            Unlisted,
        );
        check(Dialect::Openai, "POST", "/v1/future", Unlisted);
        check(
            Dialect::Openai,
            "POST",
            "/v1beta/openai/chat/completions",
            Unlisted,
        );
        check(
            Dialect::Gemini,
            "POST",
            "/v1beta/models/imagen-4:predict",
            Listed,
        );
        check(
            Dialect::Gemini,
            "POST",
            "/v1beta/models/imagen-4:predict2",
            Unlisted,
        );
        check(
            Dialect::Gemini,
            "POST",
            "/v1beta/models/a/b:predict",
            Unlisted,
        );
        check(
            Dialect::Gemini,
            "POST",
            "/v1beta/models/a:countTextTokens",
            Unlisted,
        );
        check(Dialect::Anthropic, "POST", "/v1/complete", Listed);
        check(Dialect::Openai, "POST", "/vx/completions", Unlisted);
    }
}

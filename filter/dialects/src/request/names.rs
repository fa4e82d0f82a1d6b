//! What a member is that no shape names: told from its name alone, wherever it stands.
//!
//! Names of things that a provider keeps are open (the next tool brings the next one), so they are a rule: a member
//! that is called an id, an address or a store is a reference. What is good is listed: ids that tie the parts of one
//! request together, labels, and texts. The comparison ignores case and separators, for a provider may.

use super::elsewhere::elsewhere;
use super::shapes::{ADDRESS, DOCUMENTS, ID, LABEL, MODELS, Place, SKILLS, VALUE, WORDS};
use crate::json::Shape;

/// Bytes of a name that are looked at: its end, where the noun stands.
const TAIL_BYTES: usize = 48;

/// Labels and free JSON that a provider shows to the model or hands on, whatever it holds.
const FREE: &[&str] = &[
    "cache_control",
    "client_metadata",
    "embedding",
    "headers",
    "labels",
    "logit_bias",
    "logprobs",
    "metadata",
    "prompt_cache_key",
    "safety_identifier",
    "token_ids",
    "user",
    "user_location",
    "variables_schema",
    "vector",
];

/// Texts and media, or containers of parts that may hold references.
const SPOKEN: &[&str] = &[
    "allowed_domains",
    "blocked_domains",
    "cited_text",
    "code",
    "content",
    "contents",
    "cwd",
    "data",
    "description",
    "document_title",
    "domains",
    "encrypted_content",
    "encrypted_index",
    "excluded_domains",
    "file_data",
    "filename",
    "input",
    "instructions",
    "logs",
    "media_type",
    "message",
    "messages",
    "mime_type",
    "output",
    "page_age",
    "parts",
    "path",
    "paths",
    "prompt",
    "queries",
    "query",
    "reasoning",
    "reasoning_content",
    "refusal",
    "server_description",
    "signature",
    "stderr",
    "stdout",
    "stop",
    "stop_sequences",
    "summary",
    "system",
    "text",
    "thinking",
    "thought_signature",
    "title",
];

/// Ids that tie parts of this request together, or label it.
const TIES: &[&str] = &[
    "approval_request_id",
    "call_id",
    "client_request_id",
    "correlation_id",
    "custom_id",
    "end_user_id",
    "parent_span_id",
    "parent_tool_use_id",
    "request_id",
    "span_id",
    "tool_call_id",
    "tool_use_id",
    "trace_id",
    "turn_id",
    "user_id",
];

/// Names of tools, kinds and the like: any word may stand there.
const LABELS: &[&str] = &[
    "allowed_callers",
    "allowed_tools",
    "allowed_function_names",
    "effort",
    "format",
    "function",
    "functions",
    "include",
    "label",
    "language",
    "mode",
    "modalities",
    "role",
    "server_label",
    "status",
    "tool_choice",
    "tools",
    "type",
];

/// Nouns whose value, if it is a string, names one.
const THINGS: &[&str] = &[
    "assistant",
    "attachment",
    "attachments",
    "bucket",
    "cachedcontent",
    "collection",
    "collections",
    "connector",
    "container",
    "conversation",
    "corpora",
    "corpus",
    "dataset",
    "datasets",
    "file",
    "files",
    "knowledge_base",
    "knowledge_bases",
    "previous_interaction",
    "previous_response",
    "skill",
    "thread",
    "upload",
    "uploads",
    "vault",
];

/// Ends of such nouns.
const THING_ENDINGS: &[&str] = &[
    "bucketname",
    "cachename",
    "cachenames",
    "collectionname",
    "collectionnames",
    "containername",
    "corpusname",
    "corpusnames",
    "datasetname",
    "indexname",
    "indexnames",
    "store",
    "storename",
    "storenames",
    "stores",
];

/// Words before `id` where nothing sets them apart: `fileid`, `FILEID`.
const OWNERS: &[&str] = &[
    "account",
    "agent",
    "assistant",
    "audio",
    "batch",
    "cache",
    "connector",
    "container",
    "content",
    "conversation",
    "corpus",
    "document",
    "file",
    "image",
    "interaction",
    "item",
    "mask",
    "organization",
    "project",
    "prompt",
    "response",
    "session",
    "skill",
    "store",
    "thread",
    "upload",
    "vault",
    "video",
    "voice",
    "workspace",
];

/// Returns what stands at a member of this name; `None` where anything may stand.
pub(super) fn unnamed(key: &[u8]) -> Option<&'static Shape<Place>> {
    // What conversations are made of, before anything is compared with care.
    match key {
        b"type" | b"role" | b"cache_control" | b"is_error" | b"strict" | b"tool_use_id"
        | b"tool_call_id" | b"call_id" | b"thought" | b"index" => return None,
        b"text" | b"description" | b"title" | b"signature" | b"thinking" | b"data"
        | b"media_type" | b"mimeType" | b"thoughtSignature" => return Some(&WORDS),
        _ => {}
    }
    let tail = Tail::of(key);
    if tail.is_one_of(FREE) || tail.is_one_of(TIES) {
        return None;
    }
    if tail.is_one_of(SPOKEN) {
        return Some(&WORDS);
    }
    if tail.is_one_of(LABELS) {
        return Some(&LABEL);
    }
    if let Some(shape) = elsewhere(&tail, key) {
        return Some(shape);
    }
    if tail.is("documents") {
        return Some(&DOCUMENTS);
    }
    if tail.is("skills") {
        return Some(&SKILLS);
    }
    if tail.ends_with("model")
        || tail.ends_with("models")
        || tail.ends_with("modelid")
        || tail.ends_with("modelname")
    {
        return Some(&MODELS);
    }
    if tail.is("fallback") || tail.ends_with("fallbacks") {
        return Some(&MODELS);
    }
    if ends_in_word(key, b"id") || ends_in_word(key, b"ids") || tail.is_owned_id() {
        return Some(&ID);
    }
    if ends_in_word(key, b"uri") || ends_in_word(key, b"uris") {
        return Some(&ADDRESS);
    }
    if tail.is_one_of(THINGS) || THING_ENDINGS.iter().any(|ending| tail.ends_with(ending)) {
        return Some(&ADDRESS);
    }
    if tail.ends_with("name") || tail.ends_with("names") {
        return Some(&LABEL);
    }
    Some(&VALUE)
}

/// The end of a member's name, in lower case and without separators.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    bytes: [u8; TAIL_BYTES],
    length: usize,
    /// Whether it is all of the name.
    whole: bool,
}

impl Tail {
    pub(super) fn of(key: &[u8]) -> Self {
        // A parser that stops at a NUL sees a shorter name.
        let key = key.split(|byte| *byte == 0).next().unwrap_or_default();
        let start = key.len().saturating_sub(TAIL_BYTES);
        let mut tail = Self {
            bytes: [0; TAIL_BYTES],
            length: 0,
            whole: start == 0,
        };
        let mut rest = key.get(start..).unwrap_or_default();
        loop {
            // Go folds U+017F to `s` and U+212A to `k`.
            let (folded, after) = match rest {
                [0xC5, 0xBF, after @ ..] => (b's', after),
                [0xE2, 0x84, 0xAA, after @ ..] => (b'k', after),
                [b'_' | b'-' | b'.' | b':' | b' ', after @ ..] => {
                    rest = after;
                    continue;
                }
                [byte, after @ ..] => (byte.to_ascii_lowercase(), after),
                [] => return tail,
            };
            if let Some(slot) = tail.bytes.get_mut(tail.length) {
                *slot = folded;
                tail.length += 1;
            }
            rest = after;
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Whether the name is `name`, which may be written with separators.
    pub(super) fn is(&self, name: &str) -> bool {
        let letters = name.bytes().filter(|byte| *byte != b'_');
        self.whole
            && self.bytes.first() == name.as_bytes().first()
            && self.bytes().iter().copied().eq(letters)
    }

    pub(super) fn is_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.is(name))
    }

    pub(super) fn ends_with(&self, ending: &str) -> bool {
        self.bytes().ends_with(ending.as_bytes())
    }

    /// Whether it is an id by the word before, where case and separators do not tell.
    fn is_owned_id(&self) -> bool {
        let bytes = self.bytes();
        let Some(owner) = bytes
            .strip_suffix(b"id")
            .or_else(|| bytes.strip_suffix(b"ids"))
        else {
            return false;
        };
        OWNERS.iter().any(|known| owner.ends_with(known.as_bytes()))
    }
}

/// Whether the last word of a name is `word`: `file_id`, `fileId`, `fileID`, `id`; not `grid`.
fn ends_in_word(key: &[u8], word: &[u8]) -> bool {
    let key = key.split(|byte| *byte == 0).next().unwrap_or_default();
    let Some(start) = key.len().checked_sub(word.len()) else {
        return false;
    };
    let (before, last) = key.split_at_checked(start).unwrap_or_default();
    if !last.eq_ignore_ascii_case(word) {
        return false;
    }
    match (before.last(), last.first()) {
        (None, _) => true,
        (Some(before), Some(first)) => {
            !before.is_ascii_alphabetic()
                || (first.is_ascii_uppercase() && !before.is_ascii_uppercase())
        }
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Option<Place> {
        unnamed(name.as_bytes()).map(Shape::tag)
    }

    #[test]
    fn what_is_called_an_id_is_a_reference_in_every_spelling() {
        for name in [
            "id",
            "ID",
            "Id",
            "ids",
            "file_id",
            "fileId",
            "fileID",
            "FILE_ID",
            "file-id",
            "fileid",
            "FILEID",
            "file_ids",
            "fileIds",
            "FileIDs",
            "input_image_mask_file_id",
            "library_ids",
            "knowledge_base_id",
            "previous_interaction_id",
            "connector_id",
            "agent_id",
            "thread_id",
            "session_id",
            "organization_id",
            "container_ids",
            "file_id\0x",
            "file_\u{17f}tore_id",
            "x2_id",
            "v2id",
            "a_very_long_name_that_goes_on_and_on_until_nobody_reads_it_file_id",
        ] {
            assert_eq!(place(name), Some(Place::Id), "{name}");
        }
    }

    #[test]
    fn what_only_ends_in_the_letters_is_none() {
        for name in [
            "grid", "valid", "paid", "uuid", "kids", "bids", "is_valid", "avoid",
        ] {
            assert_eq!(place(name), Some(Place::Value), "{name}");
        }
    }

    #[test]
    fn ties_labels_and_texts_are_listed() {
        for name in [
            "tool_use_id",
            "toolUseId",
            "call_id",
            "tool_call_id",
            "user_id",
            "request_id",
            "metadata",
        ] {
            assert_eq!(place(name), None, "{name}");
        }
        assert_eq!(place("name"), Some(Place::Label));
        assert_eq!(place("tool_names"), Some(Place::Label));
        for name in ["content", "text", "data", "query", "stopSequences"] {
            assert_eq!(place(name), Some(Place::Way), "{name}");
        }
    }

    #[test]
    fn addresses_and_stores_are_references() {
        assert_eq!(place("fileUri"), Some(Place::Address));
        assert_eq!(place("gcs_uri"), Some(Place::Address));
        for name in [
            "container",
            "skill",
            "vector_store",
            "file",
            "fileSearchStoreNames",
            "corpora",
            "datastore",
        ] {
            assert_eq!(place(name), Some(Place::Address), "{name}");
        }
    }

    #[test]
    fn models_and_places_elsewhere_are_told() {
        for name in [
            "model",
            "models",
            "fallbacks",
            "fallback_models",
            "draft_model",
            "modelId",
            "MODEL",
        ] {
            assert_eq!(place(name), Some(Place::NestedModel), "{name}");
        }
        for name in [
            "api_base",
            "apiBase",
            "API_BASE",
            "base_url",
            "baseURL",
            "api_key",
            "azure_api_key",
            "custom_llm_provider",
            "aws_secret_access_key",
            "vertex_project",
            "litellm_credential_name",
            "data_sources",
        ] {
            assert!(matches!(place(name), Some(Place::Elsewhere(_))), "{name}");
        }
    }
}

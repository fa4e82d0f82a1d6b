//! Model lists in each provider's documented shape.
//!
//! What a provider says about a model beyond its id (dates, owners, token limits) is not known here
//! and is left out, or takes a fixed value where clients require the field.

use policy::surface::Dialect;
use serde_json::{Value, json};

/// Anthropic's documented value for an unknown release date.
const UNKNOWN_DATE: &str = "1970-01-01T00:00:00Z";

/// Returns the answer to `GET …/models`, in the order of `ids`.
///
/// ```
/// use dialects::models;
/// use policy::surface::Dialect;
///
/// let body = models::list(Dialect::Openai, &["gpt-5".to_owned()]);
/// assert!(body.starts_with(b"{\"data\":[{"));
/// ```
pub fn list(dialect: Dialect, ids: &[String]) -> Vec<u8> {
    let models: Vec<Value> = ids.iter().map(|id| entry(dialect, id)).collect();
    match dialect {
        Dialect::Anthropic => json!({
            "data": models,
            "has_more": false,
            "first_id": ids.first(),
            "last_id": ids.last(),
        }),
        Dialect::Openai => json!({ "object": "list", "data": models }),
        Dialect::Gemini => json!({ "models": models }),
    }
    .to_string()
    .into_bytes()
}

/// Returns the answer to `GET …/models/{id}`.
pub fn one(dialect: Dialect, id: &str) -> Vec<u8> {
    entry(dialect, id).to_string().into_bytes()
}

fn entry(dialect: Dialect, id: &str) -> Value {
    match dialect {
        Dialect::Anthropic => json!({
            "type": "model",
            "id": id,
            "display_name": id,
            "created_at": UNKNOWN_DATE,
        }),
        Dialect::Openai => json!({
            "id": id,
            "object": "model",
            "created": 0,
            "owned_by": "weir",
        }),
        Dialect::Gemini => {
            let short = id.strip_prefix("models/").unwrap_or(id);
            let name = if short.starts_with("tunedModels/") {
                short.to_owned()
            } else {
                format!("models/{short}")
            };
            json!({
                "name": name,
                "baseModelId": short,
                "version": "001",
                "displayName": short,
                "description": "",
                "supportedGenerationMethods": gemini_methods(short),
            })
        }
    }
}

/// Pickers filter by method; an id says in its name whether it embeds.
fn gemini_methods(id: &str) -> &'static [&'static str] {
    if id.contains("embed") {
        &["embedContent", "batchEmbedContents", "countTokens"]
    } else {
        &["generateContent", "streamGenerateContent", "countTokens"]
    }
}

#[cfg(test)]
mod tests {
    use policy::surface::Dialect;
    use serde_json::{Value, json};

    use super::{list, one};

    #[track_caller]
    fn check(body: &[u8], want: &Value) {
        let got: Value = serde_json::from_slice(body).expect("JSON");
        assert_eq!(got, *want);
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn anthropic_lists_a_page_with_its_ends() {
        check(
            &list(
                Dialect::Anthropic,
                &ids(&["claude-opus-4-5", "claude-haiku-4-5"]),
            ),
            &json!({
                "data": [
                    {"type": "model", "id": "claude-opus-4-5", "display_name": "claude-opus-4-5", "created_at": "1970-01-01T00:00:00Z"},
                    {"type": "model", "id": "claude-haiku-4-5", "display_name": "claude-haiku-4-5", "created_at": "1970-01-01T00:00:00Z"},
                ],
                "has_more": false,
                "first_id": "claude-opus-4-5",
                "last_id": "claude-haiku-4-5",
            }),
        );
    }

    #[test]
    fn an_empty_list_is_still_a_list() {
        check(
            &list(Dialect::Anthropic, &[]),
            &json!({"data": [], "has_more": false, "first_id": null, "last_id": null}),
        );
        check(
            &list(Dialect::Openai, &[]),
            &json!({"object": "list", "data": []}),
        );
        check(&list(Dialect::Gemini, &[]), &json!({"models": []}));
    }

    #[test]
    fn openai_lists_objects() {
        check(
            &list(Dialect::Openai, &ids(&["gpt-5"])),
            &json!({"object": "list", "data": [{"id": "gpt-5", "object": "model", "created": 0, "owned_by": "weir"}]}),
        );
    }

    #[test]
    fn gemini_names_carry_their_collection_once() {
        let body: Value =
            serde_json::from_slice(&one(Dialect::Gemini, "tunedModels/cats")).expect("JSON");
        assert_eq!(body["name"], "tunedModels/cats");
        for id in ["gemini-3-pro", "models/gemini-3-pro"] {
            let body: Value = serde_json::from_slice(&one(Dialect::Gemini, id)).expect("JSON");
            assert_eq!(body["name"], "models/gemini-3-pro");
            assert_eq!(body["baseModelId"], "gemini-3-pro");
        }
    }

    #[test]
    fn gemini_embedding_models_do_not_offer_generation() {
        let body: Value =
            serde_json::from_slice(&one(Dialect::Gemini, "gemini-embedding-001")).expect("JSON");
        assert_eq!(
            body["supportedGenerationMethods"],
            json!(["embedContent", "batchEmbedContents", "countTokens"])
        );
    }

    #[test]
    fn one_is_the_entry_of_the_list() {
        for dialect in Dialect::ALL {
            let listed: Value =
                serde_json::from_slice(&list(dialect, &ids(&["a\"b"]))).expect("JSON");
            let field = if dialect == Dialect::Gemini {
                "models"
            } else {
                "data"
            };
            check(&one(dialect, "a\"b"), &listed[field][0]);
        }
    }
}

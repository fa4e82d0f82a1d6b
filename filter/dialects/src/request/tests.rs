use proptest::prelude::*;

use policy::surface::Dialect;

use super::*;
use crate::cut;

mod hosted;
mod references;

const BOOL: &str = "true or false";
const COUNT: &str = "a whole number";
const TEXT: &str = "a string";
const LIST: &str = "a list";
const OBJECT: &str = "an object";

const CLAUDE_CODE: &str = r#"{"model":"claude-sonnet-5","messages":[{"role":"user","content":[{"type":"text","text":"<system-reminder>\nToday's date\n</system-reminder>"},{"type":"text","text":"List \"files\"","cache_control":{"type":"ephemeral"}}]},{"role":"system","content":"note"},{"role":"assistant","content":[{"type":"thinking","thinking":"Hm","signature":"Eq=="},{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls","model":"x","file_id":"not a reference"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"a.rs"},{"type":"image","source":{"type":"file","file_id":"file_nested"}}]},{"type":"document","source":{"type":"file","file_id":"file_011CN"}},{"type":"container_upload","file_id":"file_up"}]}],"system":[{"type":"text","text":"x-anthropic-billing-header: cc"}],"tools":[{"name":"Bash","input_schema":{"type":"object","properties":{"model":{"type":"string"}}}},{"type":"advisor_20260301","name":"advisor","model":"claude-opus-5"}],"metadata":{"user_id":"{\"device_id\":\"d\",\"session_id\":\"s\"}"},"max_tokens":64000,"thinking":{"type":"adaptive"},"container":{"id":"container_1","skills":[]},"stream":true}"#;

const CODEX: &str = r#"{"model":"gpt-5-codex","instructions":"You are","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"},{"type":"input_file","file_id":"file-1"}]},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"},{"type":"item_reference","id":"msg_stored"},{"id":"fc_stored"},{"role":"user","id":"msg_own","content":"x"},{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","file_id":"file-2"}]},{"type":"computer_call_output","output":{"type":"computer_screenshot","file_id":"file-3"}},{"type":"code_interpreter_call","id":"ci","container_id":"cntr_1"}],"tools":[{"type":"function","name":"shell"},{"type":"code_interpreter","container":{"type":"auto","file_ids":["file-4","file-1"]}},{"type":"code_interpreter","container":"cntr_2"},{"type":"file_search","vector_store_ids":["vs_1"]},{"type":"image_generation","model":"gpt-image-1"}],"tool_choice":"auto","reasoning":{"effort":"high"},"store":false,"stream":true,"include":["reasoning.encrypted_content"],"prompt_cache_key":"0199","previous_response_id":"resp_0","conversation":"conv_1","prompt":{"id":"pmpt_1","version":"2"},"max_output_tokens":null,"background":false,"safety_identifier":"sid","user":"u"}"#;

fn read(surface: Surface, chunks: &[&[u8]]) -> Result<RequestFacts, BodyError> {
    let mut reader = RequestReader::new(surface).expect("a surface with a JSON body");
    for chunk in chunks {
        reader.push(chunk)?;
    }
    reader.finish()
}

#[track_caller]
fn facts(surface: Surface, body: &str) -> RequestFacts {
    let facts = read(surface, &[body.as_bytes()]).expect("a good body");
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    assert_eq!(read(surface, &bytes).as_ref(), Ok(&facts), "bytewise");
    assert_eq!(facts.bytes, u64::try_from(body.len()).unwrap());
    if let Some(model) = &facts.model {
        let (start, end) = (
            usize::try_from(model.span.start).unwrap(),
            usize::try_from(model.span.end).unwrap(),
        );
        let literal = serde_json::to_string(&model.value).unwrap();
        assert_eq!(
            body.as_bytes()[start..end],
            *literal.as_bytes(),
            "the span is that of the literal"
        );
    }
    facts
}

#[track_caller]
fn check_error(surface: Surface, body: &str, want: BodyError) {
    assert_eq!(read(surface, &[body.as_bytes()]), Err(want), "whole");
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    assert_eq!(read(surface, &bytes), Err(want), "bytewise");
}

fn references(facts: &RequestFacts) -> Vec<(&str, &str)> {
    facts
        .references
        .iter()
        .map(|reference| (reference.name(), reference.id.as_str()))
        .collect()
}

fn nested_models(facts: &RequestFacts) -> Vec<&str> {
    facts
        .nested_models
        .iter()
        .map(|model| model.value.as_str())
        .collect()
}

#[test]
fn a_turn_of_claude_code_is_read() {
    let facts = facts(Surface::AnthropicMessages, CLAUDE_CODE);
    assert_eq!(facts.model.as_ref().unwrap().value, "claude-sonnet-5");
    assert_eq!(
        (facts.stream, facts.max_output_tokens, facts.items),
        (true, Some(64000), 4)
    );
    assert_eq!(
        facts.session.anthropic_user_id.as_deref(),
        Some(r#"{"device_id":"d","session_id":"s"}"#)
    );
    assert_eq!(nested_models(&facts), ["claude-opus-5"]);
    assert_eq!(
        references(&facts),
        [
            ("file_id", "file_nested"),
            ("file_id", "file_011CN"),
            ("file_id", "file_up"),
            ("container", "container_1"),
        ],
    );
}

#[test]
fn a_turn_of_codex_is_read() {
    let facts = facts(Surface::OpenaiResponses, CODEX);
    assert_eq!(facts.model.as_ref().unwrap().value, "gpt-5-codex");
    assert_eq!(
        (facts.stream, facts.background, facts.store),
        (true, false, Some(false))
    );
    assert_eq!((facts.max_output_tokens, facts.items), (None, 8));
    assert_eq!(facts.session.prompt_cache_key.as_deref(), Some("0199"));
    assert_eq!(facts.session.safety_identifier.as_deref(), Some("sid"));
    assert_eq!(facts.session.user.as_deref(), Some("u"));
    assert_eq!(nested_models(&facts), ["gpt-image-1"]);
    assert_eq!(
        references(&facts),
        [
            ("file_id", "file-1"),
            ("input.id", "msg_stored"),
            ("input.id", "fc_stored"),
            ("file_id", "file-2"),
            ("file_id", "file-3"),
            ("container", "cntr_1"),
            ("input.id", "ci"),
            ("file_id", "file-4"),
            ("container", "cntr_2"),
            ("vector_store_ids", "vs_1"),
            ("previous_response_id", "resp_0"),
            ("conversation", "conv_1"),
            ("prompt.id", "pmpt_1"),
        ],
    );
}

#[test]
fn a_chat_request_is_read() {
    let facts = facts(
        Surface::OpenaiChat,
        r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-9"}}]},{"role":"assistant","content":null,"audio":{"id":"audio_1"}}],"model":"gpt-5","models":["openai/gpt-5","x/y"],"n":3,"max_tokens":10,"max_completion_tokens":20,"stream":true,"stream_options":{"include_usage":true},"store":true}"#,
    );
    assert!(facts.asks_for_usage() && facts.stream);
    assert_eq!(
        (facts.candidates, facts.max_output_tokens, facts.items),
        (3, Some(20), 2)
    );
    assert_eq!(facts.store, Some(true));
    assert_eq!(nested_models(&facts), ["openai/gpt-5", "x/y"]);
    assert_eq!(
        references(&facts),
        [("file_id", "file-9"), ("audio.id", "audio_1")]
    );
}

#[test]
fn an_embeddings_request_is_read() {
    for (input, items) in [
        (r#""text""#, 1),
        (r#"["a","b"]"#, 2),
        ("[1,2,3]", 3),
        ("[[1,2],[3]]", 2),
        ("[]", 0),
    ] {
        let body = format!(
            r#"{{"model":"text-embedding-3-small","input":{input},"encoding_format":"base64"}}"#
        );
        assert_eq!(
            facts(Surface::OpenaiEmbeddings, &body).items,
            items,
            "{input}"
        );
    }
}

#[test]
fn a_gemini_request_is_read_in_both_spellings() {
    for body in [
        r#"{"contents":[{"role":"user","parts":[{"text":"x"},{"fileData":{"mimeType":"a/b","fileUri":"files/1"}}]}],"systemInstruction":{"parts":[{"text":"s"}]},"generationConfig":{"maxOutputTokens":100,"candidateCount":2},"cachedContent":"cachedContents/7","tools":[{"functionDeclarations":[]},{"fileSearch":{"fileSearchStoreNames":["stores/1"]}}]}"#,
        r#"{"contents":[{"role":"user","parts":[{"text":"x"},{"file_data":{"mime_type":"a/b","file_uri":"files/1"}}]}],"system_instruction":{"parts":[{"text":"s"}]},"generation_config":{"max_output_tokens":"100","candidate_count":"2"},"cached_content":"cachedContents/7","tools":[{"file_search":{"file_search_store_names":["stores/1"]}}]}"#,
        r#"{"contents":{"parts":{"fileData":{"fileUri":"files/1"}}},"generationConfig":{"maxOutputTokens":1e2,"candidateCount":2},"cachedContent":"cachedContents/7","tools":{"fileSearch":{"fileSearchStoreNames":["stores/1"]}}}"#,
    ] {
        let facts = facts(Surface::GeminiGenerate, body);
        assert_eq!(
            (facts.max_output_tokens, facts.candidates, facts.items),
            (Some(100), 2, 1),
            "{body}"
        );
        assert_eq!(
            references(&facts)
                .into_iter()
                .collect::<std::collections::BTreeSet<_>>(),
            [
                ("fileData.fileUri", "files/1"),
                ("cachedContent", "cachedContents/7"),
                ("fileSearchStoreNames", "stores/1")
            ]
            .into(),
        );
        assert_eq!(facts.model, None);
    }
}

#[test]
fn models_in_gemini_batches_are_found() {
    let batch = r#"{"requests":[{"model":"models/a","content":{"parts":[{"text":"x"}]}},{"model":"models/b","content":{}}]}"#;
    let facts_of_batch = facts(Surface::GeminiEmbed, batch);
    assert_eq!(
        (nested_models(&facts_of_batch), facts_of_batch.items),
        (vec!["models/a", "models/b"], 2)
    );
    let count = r#"{"generateContentRequest":{"model":"models/c","contents":[{"parts":[]}],"cachedContent":"k"}}"#;
    let facts = facts(Surface::GeminiCountTokens, count);
    assert_eq!(
        (nested_models(&facts), references(&facts)),
        (vec!["models/c"], vec![("cachedContent", "k")])
    );
}

#[test]
fn optional_fields_may_be_null() {
    let nothing = facts(
        Surface::OpenaiResponses,
        r#"{"model":"m","input":"x","stream":null,"background":null,"store":null,"max_output_tokens":null,"previous_response_id":null,"conversation":null,"prompt":null,"user":null}"#,
    );
    assert_eq!(
        (
            nothing.stream,
            nothing.background,
            nothing.store,
            nothing.items
        ),
        (false, false, None, 1)
    );
    assert!(nothing.references.is_empty());
    let chat = facts(
        Surface::OpenaiChat,
        r#"{"model":"m","messages":[],"n":null,"stream_options":null}"#,
    );
    assert_eq!((chat.candidates, chat.asks_for_usage()), (1, false));
}

#[test]
fn unknown_fields_pass() {
    facts(
        Surface::AnthropicMessages,
        r#"{"model":"m","messages":[{"role":"user","content":"x","x":1,"x":2}],"context_management":{"edits":[]},"x":1,"x":2}"#,
    );
}

#[test]
fn a_governed_field_stands_once() {
    for (surface, body, field, at) in [
        (
            Surface::AnthropicMessages,
            r#"{"model":"a","model":"b"}"#,
            "model",
            13,
        ),
        (
            Surface::OpenaiChat,
            r#"{"stream":true,"stream":false}"#,
            "stream",
            15,
        ),
        (
            Surface::OpenaiChat,
            r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#,
            "include_usage",
            40,
        ),
        (
            Surface::AnthropicMessages,
            r#"{"messages":[],"messages":[]}"#,
            "messages",
            15,
        ),
        (
            Surface::AnthropicMessages,
            r#"{"messages":[{"content":"a","content":"b"}]}"#,
            "content",
            28,
        ),
        (
            Surface::GeminiGenerate,
            r#"{"generationConfig":{},"generation_config":{}}"#,
            "generation_config",
            23,
        ),
        (
            Surface::GeminiGenerate,
            r#"{"generationConfig":{"maxOutputTokens":1,"max_output_tokens":2}}"#,
            "max_output_tokens",
            41,
        ),
    ] {
        check_error(surface, body, BodyError::DuplicateField { field, at });
    }
}

#[test]
fn a_governed_field_is_written_plainly() {
    for (surface, body, field, at) in [
        (
            Surface::AnthropicMessages,
            r#"{"mod\u0065l":"a"}"#,
            "model",
            1,
        ),
        (Surface::OpenaiChat, r#"{"Model":"a"}"#, "model", 1),
        (Surface::OpenaiChat, "{\"\u{17f}tream\":true}", "stream", 1),
        (
            Surface::OpenaiResponses,
            r#"{"Previous_Response_Id":"a"}"#,
            "previous_response_id",
            1,
        ),
        (
            Surface::OpenaiResponses,
            r#"{"input":[{"content":[{"file_Id":"f"}]}]}"#,
            "file_id",
            23,
        ),
        (
            Surface::GeminiGenerate,
            r#"{"generationConfig":{"maxoutputtokens":1}}"#,
            "maxOutputTokens",
            21,
        ),
    ] {
        check_error(surface, body, BodyError::DisguisedField { field, at });
    }
}

/// A body whose field `field` has the wrong value `value`, and what it must be.
fn wrong(surface: Surface, field: &'static str, value: &str, expected: &'static str) {
    let body = format!(r#"{{"{field}":{value}}}"#);
    let at = u64::try_from(field.len() + 4).unwrap();
    check_error(
        surface,
        &body,
        BodyError::WrongType {
            field,
            expected,
            at,
        },
    );
}

#[test]
fn a_governed_field_has_the_type_that_the_provider_takes() {
    for value in ["5", "null", "true", "[\"a\"]", "{}"] {
        wrong(Surface::AnthropicMessages, "model", value, TEXT);
    }
    for value in ["\"true\"", "1", "{}", "[]"] {
        wrong(Surface::OpenaiChat, "stream", value, BOOL);
        wrong(Surface::OpenaiResponses, "background", value, BOOL);
        wrong(Surface::OpenaiResponses, "store", value, BOOL);
    }
    for value in ["\"10\"", "-1", "1.5", "1e300", "true", "[]"] {
        wrong(Surface::OpenaiChat, "max_tokens", value, COUNT);
        wrong(Surface::OpenaiChat, "n", value, COUNT);
    }
    for value in ["true", "[]", "\"x\""] {
        wrong(Surface::OpenaiChat, "stream_options", value, OBJECT);
    }
    for value in ["7", "true", "{}"] {
        wrong(Surface::AnthropicMessages, "messages", value, LIST);
        wrong(Surface::OpenaiResponses, "input", value, LIST);
    }
    wrong(Surface::OpenaiResponses, "previous_response_id", "5", TEXT);
}

#[test]
fn nested_fields_have_types_too() {
    let field = "stream_options.include_usage";
    let error = BodyError::WrongType {
        field,
        expected: BOOL,
        at: 35,
    };
    check_error(
        Surface::OpenaiChat,
        r#"{"stream_options":{"include_usage":1}}"#,
        error,
    );
    let field = "generationConfig.maxOutputTokens";
    let error = BodyError::WrongType {
        field,
        expected: COUNT,
        at: 39,
    };
    check_error(
        Surface::GeminiGenerate,
        r#"{"generationConfig":{"maxOutputTokens":"ten"}}"#,
        error,
    );
}

#[test]
fn a_body_is_an_object() {
    for body in ["[]", "7", "\"x\"", "null"] {
        let error = BodyError::WrongType {
            field: "body",
            expected: OBJECT,
            at: 0,
        };
        check_error(Surface::AnthropicMessages, body, error);
    }
}

#[test]
fn a_request_names_its_model() {
    for surface in Surface::ALL {
        let Some(_) = RequestReader::new(surface) else {
            continue;
        };
        match surface.dialect() {
            Dialect::Gemini => assert_eq!(facts(surface, "{}").model, None),
            Dialect::Anthropic | Dialect::Openai => {
                check_error(surface, "{}", BodyError::Missing { field: "model" })
            }
        }
    }
    check_error(
        Surface::OpenaiChat,
        r#"{"model":""}"#,
        BodyError::Missing { field: "model" },
    );
}

#[test]
fn names_and_ids_are_bounded() {
    let long = "x".repeat(MAX_ID_BYTES + 1);
    let body = format!(r#"{{"model":"{long}"}}"#);
    check_error(
        Surface::OpenaiChat,
        &body,
        BodyError::TooLong {
            field: "model",
            at: 9,
        },
    );
    let body = format!(r#"{{"previous_response_id":"{long}"}}"#);
    check_error(
        Surface::OpenaiResponses,
        &body,
        BodyError::TooLong {
            field: "previous_response_id",
            at: 24,
        },
    );
    let ids: Vec<String> = (0..=MAX_REFERENCES)
        .map(|n| format!(r#"{{"file_id":"f{n}"}}"#))
        .collect();
    let within = format!(
        r#"{{"model":"m","input":[{{"content":[{}]}}]}}"#,
        ids[1..].join(",")
    );
    assert_eq!(
        facts(Surface::OpenaiResponses, &within).references.len(),
        MAX_REFERENCES
    );
    let beyond = format!(
        r#"{{"model":"m","input":[{{"content":[{}]}}]}}"#,
        ids.join(",")
    );
    assert!(matches!(
        read(Surface::OpenaiResponses, &[beyond.as_bytes()]),
        Err(BodyError::TooMany {
            field: "file_id",
            ..
        })
    ));
}

#[test]
fn a_body_that_is_no_json_is_refused() {
    for (body, want) in [
        ("", BodyError::Truncated { at: 0 }),
        (r#"{"model":"m""#, BodyError::Truncated { at: 12 }),
        ("{\"model\":\"m\"}\0", BodyError::InvalidJson { at: 13 }),
        (
            r#"{"model":"m"}{"model":"n"}"#,
            BodyError::InvalidJson { at: 13 },
        ),
        ("\u{feff}{\"model\":\"m\"}", BodyError::Bom),
    ] {
        check_error(Surface::OpenaiChat, body, want);
    }
    assert_eq!(
        read(Surface::OpenaiChat, &[b"{\"a\":\"\xff\"}"]),
        Err(BodyError::NotUtf8 { at: 6 })
    );
    let deep = format!("{{\"a\":{}", "[".repeat(128));
    check_error(Surface::OpenaiChat, &deep, BodyError::TooDeep { at: 132 });
}

#[test]
fn messages_name_no_content() {
    for body in [
        r#"{"model":"SECRET","model":"SECRET"}"#,
        r#"{"MODEL":"SECRET"}"#,
        r#"{"stream":"SECRET"}"#,
        r#"{"SECRET"}"#,
        r#"{"a":"SECRET"#,
    ] {
        let error = read(Surface::OpenaiChat, &[body.as_bytes()]).unwrap_err();
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
}

#[test]
fn errors_have_their_codes() {
    use crate::refusal::RefusalCode;
    for (error, code, field) in [
        (
            BodyError::DuplicateField {
                field: "model",
                at: 0,
            },
            RefusalCode::DuplicateField,
            Some("model"),
        ),
        (
            BodyError::DisguisedField {
                field: "model",
                at: 0,
            },
            RefusalCode::DisguisedField,
            Some("model"),
        ),
        (
            BodyError::Missing { field: "model" },
            RefusalCode::ModelMissing,
            Some("model"),
        ),
        (
            BodyError::WrongType {
                field: "n",
                expected: COUNT,
                at: 0,
            },
            RefusalCode::BadJson,
            Some("n"),
        ),
        (BodyError::Truncated { at: 0 }, RefusalCode::BadJson, None),
    ] {
        assert_eq!((error.code(), error.field()), (code, field));
    }
}

#[test]
fn surfaces_without_a_governed_body_have_no_reader() {
    for surface in [
        Surface::OpenaiModels,
        Surface::AnthropicOpaque,
        Surface::GeminiOpaque,
    ] {
        assert!(RequestReader::new(surface).is_none());
    }
}

proptest! {
    #[test]
    fn chunking_never_changes_facts_or_errors(
        codex: bool,
        end: prop::sample::Index,
        flaw: Option<(prop::sample::Index, u8)>,
        cuts: Vec<prop::sample::Index>,
    ) {
        let (surface, body) =
            if codex { (Surface::OpenaiResponses, CODEX) } else { (Surface::AnthropicMessages, CLAUDE_CODE) };
        let mut body = body.as_bytes().to_vec();
        match flaw {
            Some((at, byte)) => {
                let at = at.index(body.len());
                body[at] = byte;
            }
            None => body.truncate(end.index(body.len() + 1)),
        }
        prop_assert_eq!(read(surface, &cut(&body, &cuts)), read(surface, &[&body]));
    }

    #[test]
    fn what_is_accepted_is_json(at: prop::sample::Index, byte: u8) {
        let mut body = CODEX.as_bytes().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        if read(Surface::OpenaiResponses, &[&body]).is_ok() {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
        }
    }
}

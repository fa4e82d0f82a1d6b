//! What names something stored is told wherever it stands; what does not passes.

use super::*;

/// The names of what a body refers to, with `elsewhere` behind them.
fn named(surface: Surface, body: &str) -> Vec<String> {
    let facts = facts_of(surface, body);
    let elsewhere = facts.elsewhere.map(str::to_owned);
    facts
        .references
        .iter()
        .map(|reference| reference.name().to_owned())
        .chain(elsewhere)
        .collect()
}

/// Reads a body whole and bytewise.
#[track_caller]
fn facts_of(surface: Surface, body: &str) -> RequestFacts {
    let facts = read(surface, &[body.as_bytes()]).unwrap_or_else(|error| panic!("{error}: {body}"));
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    assert_eq!(
        read(surface, &bytes).as_ref(),
        Ok(&facts),
        "bytewise: {body}"
    );
    facts
}

/// A body of the surface with this among its outermost members, and this in its conversation.
fn body(surface: Surface, member: &str, part: &str) -> String {
    let turns = |name: &str| {
        format!(r#"{{"{name}":[{{"role":"user","content":[{part}]}}],"model":"m"{member}}}"#)
    };
    if surface == Surface::OpenaiResponses {
        turns("input")
    } else if surface == Surface::OpenaiEmbeddings {
        format!(r#"{{"input":[{part}],"model":"m"{member}}}"#)
    } else if surface == Surface::GeminiGenerate {
        format!(r#"{{"contents":[{{"parts":[{part}]}}]{member}}}"#)
    } else {
        turns("messages")
    }
}

const SURFACES: [Surface; 5] = [
    Surface::AnthropicMessages,
    Surface::OpenaiChat,
    Surface::OpenaiResponses,
    Surface::OpenaiEmbeddings,
    Surface::GeminiGenerate,
];

/// Members that name something stored, and how it is told; each is tried at every surface, outermost, in a part of
/// the conversation, and deep in an object and a list that nobody knows.
const STORED: [(&str, &str); 41] = [
    (r#""file_id":"x""#, "file_id"),
    (r#""fileId":"x""#, "fileId"),
    (r#""file_\u0069d2_id":"x""#, "file_id2_id"),
    (r#""file_ids":["x"]"#, "file_ids"),
    (r#""FILE_IDS":["x"]"#, "FILE_IDS"),
    (r#""skill_id":"x""#, "skill_id"),
    (r#""vector_store_ids":["x"]"#, "vector_store_ids"),
    (r#""library_ids":[["x"]]"#, "library_ids"),
    (r#""collection_ids":["x"]"#, "collection_ids"),
    (r#""container_id":"x""#, "container_id"),
    (r#""connector_id":"connector_dropbox""#, "connector_id"),
    (
        r#""previous_interaction_id":"x""#,
        "previous_interaction_id",
    ),
    (r#""thread_id":"x""#, "thread_id"),
    (r#""agent_id":"x""#, "agent_id"),
    (r#""project_id":"x""#, "project_id"),
    (r#""data":{"file_id":"x"}"#, "file_id"),
    (r#""text":[{"file_id":"x"}]"#, "file_id"),
    (r#""query":{"deep":{"file_id":"x"}}"#, "file_id"),
    (r#""mask":{"file_id":"x"}"#, "file_id"),
    (r#""input_image_mask":{"file_id":"x"}"#, "file_id"),
    (r#""mask":"file-abc123""#, "mask"),
    (r#""image":{"id":"x"}"#, "id"),
    (r#""voice":{"id":"x"}"#, "id"),
    (r#""fileUri":"files/abc""#, "fileUri"),
    (
        r#""fileUri":"https://Generativelanguage.googleapis.com:443/v1beta/files/abc""#,
        "fileUri",
    ),
    (r#""gcs_uri":"gs://bucket/object""#, "gcs_uri"),
    (r#""uri":"abc""#, "uri"),
    (r#""image_url":"gs://bucket/object""#, "image_url"),
    (
        r#""image_url":{"url":"https://generativelanguage.googleapis.com/v1beta/files/a"}"#,
        "url",
    ),
    (
        r#""anything":"cntr_68cdc387531c81938b4bee78c36acb82""#,
        "anything",
    ),
    (r#""anything":["skill_01AbC"]"#, "anything"),
    (r#""anything":"\u0066ile-abc123""#, "anything"),
    (r#""anything":"cachedContents/7""#, "anything"),
    (
        r#""ragCorpus":"projects/p/locations/l/ragCorpora/1""#,
        "ragCorpus",
    ),
    (
        r#""promptTemplateName":"projects/p/locations/l/templates/t""#,
        "promptTemplateName",
    ),
    (
        r#""fileSearchStoreNames":["my-store"]"#,
        "fileSearchStoreNames",
    ),
    (
        r#""file_search_store_names":["my-store"]"#,
        "file_search_store_names",
    ),
    (r#""datastore":"my-store""#, "datastore"),
    (r#""corpora":["mine"]"#, "corpora"),
    (r#""vector_store":"mine""#, "vector_store"),
    (r#""knowledge_base":"mine""#, "knowledge_base"),
];

#[test]
fn what_names_something_stored_is_told_wherever_it_stands() {
    for surface in SURFACES {
        for (member, name) in STORED {
            let deep = format!(r#""future":{{"more":[[{{"and":{{{member}}}}}]]}}"#);
            let bodies = [
                body(surface, &format!(",{member}"), ""),
                body(surface, &format!(",{deep}"), ""),
                body(surface, "", &format!(r#"{{"type":"future",{member}}}"#)),
                body(surface, "", &format!(r#"{{"type":"future",{deep}}}"#)),
                body(
                    surface,
                    &format!(r#","tools":[{{"type":"future",{member}}}]"#),
                    "",
                ),
                body(
                    surface,
                    &format!(r#","tools":[{{"type":"future",{deep}}}]"#),
                    "",
                ),
                body(
                    surface,
                    &format!(r#","tool_choice":{{"type":"future",{member}}}"#),
                    "",
                ),
            ];
            for body in bodies {
                let told = named(surface, &body);
                assert!(
                    told.len() == 1
                        && (told[0] == name
                            || told[0].ends_with(name)
                            || told[0] == "fileData.fileUri"),
                    "{surface:?} {name}: {told:?} in {body}"
                );
            }
        }
    }
}

/// What stands for itself, labels, and what is handed on unread.
const GOOD: [&str; 26] = [
    r#""metadata":{"file_id":"file-1","id":"x"}"#,
    r#""tool_use_id":"toolu_1""#,
    r#""tool_call_id":"call_1""#,
    r#""call_id":"call_1""#,
    r#""request_id":"req_1""#,
    r#""user":"user_1""#,
    r#""prompt_cache_key":"file-1""#,
    r#""safety_identifier":"file-1""#,
    r#""file_id":null"#,
    r#""file_ids":[]"#,
    r#""file_id":"""#,
    r#""text":"file-abc123""#,
    r#""description":"files/abc""#,
    r#""image_url":"https://example.com/a.png""#,
    r#""image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}"#,
    r#""fileUri":"https://www.youtube.com/watch?v=abc""#,
    r#""fileUri":"https://storage.googleapis.com/public/a.jpg""#,
    r#""tool_choice":{"type":"function","name":"file_read2"}"#,
    r#""allowed_tools":["file_read2","resp_9"]"#,
    r#""grid":"5x5""#,
    r#""mode":"file_search""#,
    r#""include":["file_search_call.results"]"#,
    r#""mcp_servers":[{"type":"url","url":"https://mcp.example.com","name":"x","authorization_token":"t"}]"#,
    r#""logit_bias":{"50256":-100}"#,
    r#""future":{"a":[1,true,null,{"b":"plain words"}]}"#,
    r#""stop":["files/abc"]"#,
];

#[test]
fn what_names_nothing_passes() {
    for surface in SURFACES {
        for member in GOOD {
            let deep = format!(r#""future":{{"more":[[{{"and":{{{member}}}}}]]}}"#);
            for body in [
                body(surface, &format!(",{member}"), ""),
                body(surface, &format!(",{deep}"), ""),
                body(surface, "", &format!(r#"{{"type":"future",{member}}}"#)),
            ] {
                if surface == Surface::GeminiGenerate && body.contains(r#""file_id":"#) {
                    continue;
                }
                assert!(named(surface, &body).is_empty(), "{surface:?} {body}");
            }
        }
    }
}

fn item(item: &str) -> Vec<String> {
    named(
        Surface::OpenaiResponses,
        &format!(r#"{{"model":"m","input":[{item}]}}"#),
    )
}

#[test]
fn an_item_with_an_id_has_content_of_its_own() {
    for stored in [
        r#"{"type":"item_reference","id":"msg_1"}"#,
        r#"{"type":"item_reference","id":"msg_1","content":"x"}"#,
        r#"{"id":"msg_1"}"#,
        r#"{"id":"msg_1","content":"x"}"#,
        r#"{"id":"msg_1","role":"user"}"#,
        r#"{"id":"msg_1","role":"user","content":[]}"#,
        r#"{"type":"message","id":"msg_1","role":"assistant","content":null}"#,
        r#"{"type":"image_generation_call","id":"ig_1"}"#,
        r#"{"id":"ig_1","type":"image_generation_call"}"#,
        r#"{"type":"image_generation_call","id":"ig_1","status":"completed"}"#,
        r#"{"type":"image_generation_call","id":"ig_1","result":null}"#,
        r#"{"type":"image_generation_call","id":"ig_1","result":""}"#,
        r#"{"type":"image_generation_call","id":"ig_1","output":"x","content":"x","arguments":"x"}"#,
        r#"{"type":"IMAGE_GENERATION_CALL","id":"ig_1"}"#,
        r#"{"type":"function_call","id":"fc_1"}"#,
        r#"{"type":"function_call","id":"fc_1","call_id":"c","name":"n","arguments":null}"#,
        r#"{"type":"code_interpreter_call","id":"ci_1"}"#,
        r#"{"type":"compaction","id":"cmp_1"}"#,
        r#"{"type":"future_call","id":"x_1"}"#,
        r#"{"type":"future_call","id":"x_1","status":"completed","role":"assistant"}"#,
        r#"{"type":"reasoning","id":"rs_1","summary":[]}"#,
        r#"{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"x"}],"encrypted_content":null}"#,
    ] {
        assert_eq!(item(stored), ["input.id"], "{stored}");
    }
    for own in [
        r#"{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"x"}]}"#,
        r#"{"id":"msg_1","role":"user","content":"x"}"#,
        r#"{"type":"image_generation_call","id":"ig_1","status":"completed","result":"iVBORw0KGgo="}"#,
        r#"{"type":"function_call","id":"fc_1","call_id":"c","name":"n","arguments":"{}"}"#,
        r#"{"arguments":"","call_id":"c","id":"fc_1","name":"n","type":"function_call"}"#,
        r#"{"type":"function_call_output","id":"fco_1","call_id":"c","output":""}"#,
        r#"{"type":"web_search_call","id":"ws_1","action":{"type":"search","query":"file-1","sources":[]}}"#,
        r#"{"type":"mcp_list_tools","id":"mcpl_1","server_label":"s","tools":[]}"#,
        r#"{"type":"mcp_approval_response","approval_request_id":"mcpr_1","approve":false}"#,
        r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}"#,
        r#"{"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"x"}]}"#,
        r#"{"type":"apply_patch_call","id":"ap_1","call_id":"c","operation":{"type":"update_file","path":"files/a"}}"#,
        r#"{"type":"computer_call","id":"cu_1","call_id":"c","action":{"type":"click"},"pending_safety_checks":[{"id":"sc_1","code":"x"}]}"#,
        r#"{"type":"future_call","id":"x_1","output":"own"}"#,
        r#"{"type":"message","role":"user","content":"x"}"#,
        r#"{"type":"image_generation_call"}"#,
    ] {
        assert!(item(own).is_empty(), "{own}: {:?}", item(own));
    }
}

#[test]
fn blocks_and_parts_have_content_of_their_own() {
    let block = |block: &str| {
        named(
            Surface::AnthropicMessages,
            &body(Surface::AnthropicMessages, "", block),
        )
    };
    for own in [
        r#"{"type":"tool_use","id":"toolu_1","name":"n","input":{}}"#,
        r#"{"id":"toolu_1","input":{"file_id":"file_1","id":"x"},"name":"n","type":"tool_use"}"#,
        r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"n","input":{"file_id":"x"}}"#,
        r#"{"type":"tool_use","id":"toolu_1","name":"n","input":{},"caller":{"type":"x","tool_id":"srvtoolu_2"}}"#,
        r#"{"type":"tool_result","tool_use_id":"toolu_1","content":"file_1"}"#,
        r#"{"type":"document","id":"d","source":{"type":"text","media_type":"text/plain","data":"file_1"}}"#,
    ] {
        assert!(block(own).is_empty(), "{own}: {:?}", block(own));
    }
    assert_eq!(block(r#"{"type":"future","id":"x"}"#), ["content.id"]);
    assert_eq!(
        block(r#"{"type":"future","id":"x","content":[]}"#),
        ["content.id"]
    );
    assert_eq!(
        block(r#"{"type":"future","input":{"file_id":"x"}}"#),
        ["file_id"]
    );
    assert_eq!(
        block(
            r#"{"type":"x_tool_result","tool_use_id":"t","content":{"type":"x","content":[{"type":"x_output","file_id":"file_1"}]}}"#
        ),
        ["file_id"]
    );
    let call = |call: &str| {
        let message =
            format!(r#"{{"role":"assistant","id":"m","content":null,"tool_calls":[{call}]}}"#);
        named(
            Surface::OpenaiChat,
            &format!(r#"{{"model":"m","messages":[{message}]}}"#),
        )
    };
    assert!(call(r#"{"id":"call_1","type":"function","function":{"name":"n","arguments":"{\"file_id\":\"x\"}"}}"#).is_empty());
    assert!(
        call(r#"{"id":"call_1","type":"custom","custom":{"name":"n","input":"file-1"}}"#)
            .is_empty()
    );
    assert_eq!(
        call(r#"{"id":"call_1","type":"x","x":{"file_id":"x"}}"#),
        ["file_id"]
    );
    let part = |part: &str| {
        named(
            Surface::GeminiGenerate,
            &body(Surface::GeminiGenerate, "", part),
        )
    };
    for own in [
        r#"{"functionCall":{"id":"a","name":"n","args":{"file_id":"x","fileUri":"files/1"}}}"#,
        r#"{"function_response":{"id":"a","name":"n","response":{"output":"files/1","id":"x"}}}"#,
        r#"{"executableCode":{"id":"a","language":"PYTHON","code":"files/1"}}"#,
        r#"{"codeExecutionResult":{"id":"a","outcome":"OUTCOME_OK","output":"x"}}"#,
        r#"{"toolCall":{"id":"a","toolType":"FILE_SEARCH","args":{}},"thoughtSignature":"x"}"#,
        r#"{"inlineData":{"mimeType":"image/png","data":"iVBO"}}"#,
    ] {
        assert!(part(own).is_empty(), "{own}: {:?}", part(own));
    }
    assert_eq!(
        part(r#"{"functionResponse":{"name":"n","parts":[{"fileData":{"fileUri":"gs://b/o"}}]}}"#),
        ["fileData.fileUri"]
    );
    assert_eq!(part(r#"{"futureCall":{"id":"a","args":{}}}"#), ["id"]);
}

#[test]
fn schemas_and_arguments_are_handed_on_unread() {
    let schema = r#"{"type":"object","properties":{"id":{"const":"file-1"},"file_id":{"enum":["file-1"]}},"default":"file-1","api_key":"x","model":"y"}"#;
    let surfaces = [
        (
            Surface::AnthropicMessages,
            format!(r#"{{"name":"n","input_schema":{schema}}}"#),
        ),
        (
            Surface::OpenaiChat,
            format!(r#"{{"type":"function","function":{{"name":"n","parameters":{schema}}}}}"#),
        ),
        (
            Surface::OpenaiResponses,
            format!(r#"{{"type":"function","name":"n","parameters":{schema}}}"#),
        ),
        (
            Surface::OpenaiResponses,
            format!(r#"{{"parameters":{schema},"name":"n","type":"function"}}"#),
        ),
        (
            Surface::OpenaiResponses,
            format!(
                r#"{{"type":"namespace","name":"n","tools":[{{"type":"function","parameters":{schema}}}]}}"#
            ),
        ),
        (
            Surface::GeminiGenerate,
            format!(
                r#"{{"functionDeclarations":[{{"name":"n","parameters":{schema},"responseJsonSchema":{schema}}}]}}"#
            ),
        ),
    ];
    for (surface, tool) in surfaces {
        let body = body(surface, &format!(r#","tools":[{tool}]"#), "");
        assert!(named(surface, &body).is_empty(), "{body}");
        assert!(facts_of(surface, &body).nested_models.is_empty());
    }
    for (surface, member) in [
        (
            Surface::AnthropicMessages,
            format!(r#","output_config":{{"format":{{"type":"json_schema","schema":{schema}}}}}"#),
        ),
        (
            Surface::OpenaiChat,
            format!(
                r#","response_format":{{"type":"json_schema","json_schema":{{"name":"n","schema":{schema}}}}}"#
            ),
        ),
        (
            Surface::OpenaiResponses,
            format!(
                r#","text":{{"format":{{"type":"json_schema","name":"n","schema":{schema}}}}}"#
            ),
        ),
        (
            Surface::GeminiGenerate,
            format!(r#","generationConfig":{{"responseSchema":{schema}}}"#),
        ),
    ] {
        assert!(
            named(surface, &body(surface, &member, "")).is_empty(),
            "{member}"
        );
    }
}

#[test]
fn parameters_of_what_is_no_function_are_read() {
    let tool = |tool: &str| {
        body(
            Surface::OpenaiResponses,
            &format!(r#","tools":[{tool}]"#),
            "",
        )
    };
    assert_eq!(
        named(
            Surface::OpenaiResponses,
            &tool(r#"{"type":"router:search","parameters":{"store_id":"x"}}"#)
        ),
        ["store_id"]
    );
    let late = tool(r#"{"parameters":{"store_id":"x"},"type":"router:search"}"#);
    assert!(matches!(
        read(Surface::OpenaiResponses, &[late.as_bytes()]),
        Err(BodyError::Late { field: "type", .. })
    ));
}

#[test]
fn skills_of_the_provider_belong_to_everybody() {
    let container = |skills: &str| {
        body(
            Surface::AnthropicMessages,
            &format!(r#","container":{{"skills":[{skills}]}}"#),
            "",
        )
    };
    for (skill, want) in [
        (
            r#"{"type":"anthropic","skill_id":"pptx","version":"latest"}"#,
            None,
        ),
        (r#"{"skill_id":"pptx","type":"anthropic"}"#, None),
        (
            r#"{"type":"custom","skill_id":"skill_01"}"#,
            Some("skill_id"),
        ),
        (
            r#"{"type":"anthropic","skill_id":"skill_01"}"#,
            Some("skill_id"),
        ),
        (r#"{"skill_id":"pptx"}"#, Some("skill_id")),
        (r#""skill_01""#, Some("skill_id")),
    ] {
        let told = named(Surface::AnthropicMessages, &container(skill));
        assert_eq!(told.first().map(String::as_str), want, "{skill}");
    }
    let environment = |skill: &str| {
        let tool = format!(
            r#","tools":[{{"type":"shell","environment":{{"type":"container_auto","skills":[{skill}]}}}}]"#
        );
        named(
            Surface::OpenaiResponses,
            &body(Surface::OpenaiResponses, &tool, ""),
        )
    };
    assert_eq!(
        environment(r#"{"type":"skill_reference","skill_id":"skill_1"}"#),
        ["skill_id"]
    );
    assert!(
        environment(r#"{"type":"skill_reference","skill_id":"openai-spreadsheets"}"#).is_empty()
    );
}

#[test]
fn what_leads_elsewhere_is_told_by_name() {
    for surface in SURFACES {
        for (member, name) in [
            (r#""api_base":"http://evil""#, "api_base"),
            (r#""apiBase":"http://evil""#, "api_base"),
            (r#""API_BASE":"http://evil""#, "api_base"),
            (r#""base_url":"http://evil""#, "base_url"),
            (r#""api_key":"k""#, "api_key"),
            (r#""azure_api_key":"k""#, "azure_"),
            (r#""custom_llm_provider":"x""#, "custom_llm_provider"),
            (r#""aws_region_name":"x""#, "aws_"),
            (
                r#""data_sources":[{"type":"azure_search"}]"#,
                "data_sources",
            ),
            (
                r#""providerOptions":{"gateway":{"order":["x"]}}"#,
                "provider_options",
            ),
            (r#""extra_body":{"x":1}"#, "extra_body"),
        ] {
            for member in [
                format!(",{member}"),
                format!(r#","fallbacks":[{{{member}}}]"#),
                format!(r#","future":{{{member}}}"#),
            ] {
                let body = body(surface, &member, "");
                assert_eq!(named(surface, &body), [name], "{body}");
            }
        }
        for name in [
            "plugins",
            "preset",
            "provider",
            "route",
            "router",
            "engine",
            "deployment",
        ] {
            for value in [r#""x""#, r#"{"order":["x"]}"#, r#"[{"type":"x"}]"#] {
                let body = body(surface, &format!(r#","{name}":{value}"#), "");
                assert_eq!(named(surface, &body), [name], "{body}");
            }
            for value in ["null", "[]", "{}", r#""""#] {
                let body = body(surface, &format!(r#","{name}":{value}"#), "");
                assert!(named(surface, &body).is_empty(), "{body}");
            }
        }
    }
}

#[test]
fn models_are_told_wherever_they_stand() {
    for surface in SURFACES {
        for (member, want) in [
            (r#""models":["a","b"]"#, &["a", "b"][..]),
            (r#""fallbacks":["a",{"model":"b"}]"#, &["a", "b"]),
            (r#""fallback_models":["a"]"#, &["a"]),
            (r#""fallbackModels":["a"]"#, &["a"]),
            (r#""future":{"draft_model":"a","MODEL":"b"}"#, &["a", "b"]),
            (r#""tools":[{"type":"future","x":{"model":"a"}}]"#, &["a"]),
            (r#""models":null,"fallbacks":[]"#, &[]),
        ] {
            let body = body(surface, &format!(",{member}"), "");
            assert_eq!(
                nested_models(&facts_of(surface, &body)),
                want,
                "{surface:?} {body}"
            );
        }
    }
}

proptest! {
    /// However deep and between whatever it stands: a rule has no list of places.
    #[test]
    fn no_place_hides_a_reference(
        surface in prop::sample::select(&SURFACES[..]),
        (member, _) in prop::sample::select(&STORED[..]),
        names in prop::collection::vec(prop::option::of("[a-c]{1,3}"), 0..12),
        spaces in "[ \t\n]{0,3}",
    ) {
        let mut deep = format!("{{{spaces}{member}{spaces}}}");
        for name in names {
            deep = match name {
                Some(name) => format!(r#"{{"x":1,"{name}"{spaces}:{deep},"y":[]}}"#),
                None => format!("[null,{deep}{spaces},\"z\"]"),
            };
        }
        let body = body(surface, &format!(r#","future":{deep}"#), "");
        prop_assert_eq!(named(surface, &body).len(), 1, "{}", body);
    }
}

/// Recorded requests of real clients. Those that are refused truly name something stored, or lead elsewhere.
#[test]
fn recorded_requests_pass_but_those_that_name_stored_things() {
    let vectors =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/dialects");
    if !vectors.exists() {
        return;
    }
    let mut told = std::collections::BTreeMap::<String, std::collections::BTreeSet<String>>::new();
    let mut count = 0;
    for (folder, surface) in [
        ("messages", Surface::AnthropicMessages),
        ("chat", Surface::OpenaiChat),
        ("responses", Surface::OpenaiResponses),
        ("embeddings", Surface::OpenaiEmbeddings),
        ("gemini", Surface::GeminiGenerate),
    ] {
        for file in files(&vectors.join("exchanges").join(folder))
            .chain(files(&vectors.join("histories").join(folder)))
        {
            let text = std::fs::read_to_string(&file).unwrap();
            let recorded: serde_json::Value = serde_json::from_str(&text).unwrap();
            let request = &recorded["request"];
            if !request["body"].is_object() {
                continue;
            }
            let path = request["path"].as_str().unwrap_or_default();
            let surface = if path.contains(":countTokens") {
                Surface::GeminiCountTokens
            } else if path.contains("mbedContent") {
                Surface::GeminiEmbed
            } else {
                surface
            };
            let body = request["body"].to_string();
            let id = recorded["id"].as_str().unwrap_or_default().to_owned();
            count += 1;
            match read(surface, &[body.as_bytes()]) {
                Ok(facts) => {
                    for reference in &facts.references {
                        told.entry(id.clone())
                            .or_default()
                            .insert(reference.name().to_owned());
                    }
                    if let Some(name) = facts.elsewhere {
                        told.entry(id).or_default().insert(name.to_owned());
                    }
                }
                Err(error) => {
                    told.entry(id).or_default().insert(error.to_string());
                }
            }
        }
    }
    let told: Vec<(&str, String)> = told
        .iter()
        .map(|(id, names)| {
            (
                id.as_str(),
                names
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
            )
        })
        .collect();
    let mut want: Vec<(&str, String)> = RECORDED
        .iter()
        .flat_map(|(names, ids)| ids.iter().map(|id| (*id, (*names).to_owned())))
        .collect();
    want.sort_unstable();
    assert!(count > 500, "{count}");
    assert_eq!(told, want);
}

/// What is told of which recorded requests, by reason; all others pass untouched.
const RECORDED: [(&str, &[&str]); 16] = [
    // An object of a bucket that the account may read.
    ("url", &["h-agw-image-file-0-f5f1"]),
    // Uploaded files, and objects of a bucket.
    (
        "fileData.fileUri",
        &[
            "h-agw-image-inline-0-3daa",
            "pyai-google-url-input-audiourl-gs-0-53ab",
            "pyai-multimodal-tool-return-matrix-direct-uploaded-file-audio-g-2-9a1f",
            "pyai-multimodal-tool-return-matrix-direct-uploaded-file-image-g-2-ffa8",
        ],
    ),
    // A template of the account.
    ("promptTemplateName", &["h-agw-passthrough-fields-0-cb9f"]),
    // A stored prefix.
    (
        "cachedContent",
        &[
            "h-agw-text-0-ef8f",
            "rig-cached-content-matrix.edge-cached-code-execution-1-625c",
            "rig-cached-content-matrix.use-streaming-1-c8aa",
            "rubyllm-cachedcontent-explicit-caching-round-trip-vertexai-gemini-3-b265",
        ],
    ),
    // A container of an earlier turn, and files in it.
    (
        "container, file_id",
        &[
            "h-pyai-anthropic-code-execution-files-cache-prefix-stable-automat-2-fd35",
            "pyai-anthropic-code-execution-files-cache-prefix-stable-message-2-2b78",
            "pyai-anthropic-code-execution-files-cache-prefix-stable-message-2-6e32",
            "pyai-anthropic-code-execution-files-multi-turn-2-32f5",
        ],
    ),
    // Stores.
    (
        "fileSearchStoreNames",
        &[
            "h-pyai-google-model-file-search-grounding-gemini-3-false-4-b985",
            "pyai-google-model-file-search-grounding-gemini-3-false-3-60b5",
            "pyai-google-model-file-search-grounding-gemini-3-false-4-b985",
            "pyai-google-model-file-search-grounding-gemini-3-true-3-e07b",
            "pyai-google-model-file-search-grounding-gemini-3-true-4-43f1",
        ],
    ),
    // Uploaded files.
    (
        "file_id",
        &[
            "h-pyai-multimodal-tool-return-matrix-tool-return-content-uploaded-1-9649",
            "pyai-multimodal-tool-return-matrix-direct-uploaded-file-documen-1-0774",
            "pyai-multimodal-tool-return-matrix-tool-return-content-uploaded-1-1904",
            "pyai-openai-code-execution-files-1-5c3c",
            "rig-document-file-id.messages-document-file-id-roundtrip-live-1-56a5",
            "rig-document-file-id.streaming-document-file-id-roundtrip-live-1-699f",
        ],
    ),
    // A container of an earlier turn.
    (
        "container",
        &["h-pyai-openai-responses-code-execution-return-image-1-b2a7"],
    ),
    // Reasoning without content: the provider takes it from its store.
    (
        "input.id",
        &[
            "h-rig-streaming-tools.responses-stream-preserves-tool-result-flo-1-5978",
            "rig-typed-prompt-tools.prompt-typed-with-tool-call-roundtrip-1-29d9",
        ],
    ),
    // Templates of the account.
    (
        "prompt_template_name, response_template_name",
        &["pyai-google-model-armor-prompt-template-text-gets-blocked-1-31e0"],
    ),
    // A stored conversation.
    (
        "conversation",
        &[
            "pyai-openai-conversation-id-auto-respects-pydantic-ai-conversat-1-89cd",
            "pyai-openai-conversation-id-streaming-provider-details-1-d2bd",
        ],
    ),
    // A stored response; it is asked who made it.
    (
        "previous_response_id",
        &[
            "pyai-openai-previous-response-id-1-86c8",
            "pyai-openai-responses-compact-with-auto-previous-response-id-1-d60a",
        ],
    ),
    // Stores.
    (
        "vector_store_ids",
        &[
            "pyai-openai-responses-model-file-search-tool-stream-3-970e",
            "pyai-openai-responses-model-file-search-tool-with-results-3-17d8",
        ],
    ),
    // A connector.
    (
        "connector_id",
        &["pyai-openai-responses-model-mcp-server-tool-with-connector-0-1d4e"],
    ),
    // Chooses among the providers behind one that routes.
    (
        "provider",
        &[
            "pyai-openrouter-cache-all-settings-real-api-1-c544",
            "pyai-openrouter-cache-all-settings-real-api-2-a28e",
            "pyai-openrouter-responses-prompt-cache-e2e-0-ac55",
            "pyai-openrouter-stream-with-native-options-0-3af9",
            "rig-reasoning-tool-order-matrix.streaming-parallel-0-9586",
            "rig-reasoning-tool-order-matrix.streaming-signed-agent-roundtr-1-d45e",
            "rig-refusal-matrix.blocking-gpt-4-1-refusal-0-f8ce",
            "rig-refusal-matrix.streaming-azure-routed-refusal-0-8c0b",
            "rig-refusal-matrix.streaming-raw-model-surfaces-refusal-0-21b3",
            "rig-streaming-logprobs-matrix.blocking-gpt-4o-mini-length-top-0-e82f",
            "rig-streaming-logprobs-matrix.streaming-gpt-4o-mini-length-top-0-0341",
            "rig-tool-lifecycle-matrix.blocking-gpt4o-parallel-agent-0-db6d",
            "rig-tool-lifecycle-matrix.streaming-gpt41-zero-model-0-4361",
        ],
    ),
    // The model stands in the path: another surface.
    (
        "field `model` is missing",
        &["reqllm-multi-tool-0-29e5", "reqllm-streaming-0-1de0"],
    ),
];

fn files(folder: &std::path::Path) -> impl Iterator<Item = std::path::PathBuf> {
    let providers = std::fs::read_dir(folder).into_iter().flatten().flatten();
    providers.flat_map(|provider| {
        std::fs::read_dir(provider.path())
            .unwrap()
            .map(|file| file.unwrap().path())
    })
}

use proptest::prelude::*;

use super::*;
use crate::cut;
use crate::request::{BodyError, RequestReader, RequestTextReader};
use crate::splice::apply;

/// What was told of a text.
#[derive(Debug, PartialEq)]
struct Text {
    text: String,
    label: String,
    path: String,
    place: BlockPlace,
}

/// The texts, what was not scanned, and the shadows.
type Told = (Vec<Text>, Vec<Unscanned>, usize);

fn read(mut reader: ContentReader, chunks: &[&[u8]]) -> Result<Told, ContentError> {
    let mut blocks: Vec<(String, String, String)> = Vec::new();
    let mut sink = |block: Block<'_>| {
        assert_eq!(block.index(), blocks.len());
        let text = String::from_utf8(block.text().into_owned()).unwrap();
        blocks.push((text, block.label().to_owned(), block.path()));
    };
    for chunk in chunks {
        reader.push(chunk, &mut sink)?;
    }
    let content = reader.finish(&mut sink)?;
    let unscanned = content.unscanned().collect();
    let texts = blocks
        .into_iter()
        .enumerate()
        .map(|(index, (text, label, path))| Text {
            text,
            label,
            path,
            place: content.place(index).unwrap(),
        })
        .collect();
    Ok((texts, unscanned, content.collector.shadows.len()))
}

fn request(surface: Surface) -> ContentReader {
    ContentReader::request(surface).unwrap()
}

#[track_caller]
fn told(reader: fn(Surface) -> ContentReader, surface: Surface, body: &str) -> Told {
    let whole = read(reader(surface), &[body.as_bytes()]).expect("a good body");
    for size in [1, 7] {
        let chunks: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
        assert_eq!(
            read(reader(surface), &chunks).as_ref(),
            Ok(&whole),
            "chunks of {size}"
        );
    }
    whole
}

/// Compares `role[h][!] path text`: `h` for history, `!` for what may not change.
#[track_caller]
fn check(reader: fn(Surface) -> ContentReader, surface: Surface, body: &str, want: &[&str]) {
    let (texts, unscanned, _) = told(reader, surface, body);
    let mut got: Vec<String> = texts
        .iter()
        .map(|text| {
            let place = text.place;
            let history = if place.is_history { "h" } else { "" };
            let frozen = if place.may_change { "" } else { "!" };
            let kind = match place.kind {
                BlockKind::Text => "",
                BlockKind::Key => "#",
                BlockKind::Number => "0",
            };
            let media = if place.is_media { "media " } else { "" };
            format!(
                "{}{history}{frozen} {}{kind} {media}{}",
                place.role.name(),
                text.path,
                text.text
            )
        })
        .collect();
    got.extend(unscanned.iter().map(|unscanned| {
        format!(
            "- {} {} {}",
            unscanned.kind.name(),
            unscanned.path,
            unscanned.bytes
        )
    }));
    assert_eq!(got, want);
}

#[test]
fn a_turn_of_claude_code_is_told() {
    check(
        request,
        Surface::AnthropicMessages,
        r#"{"model":"claude","system":[{"type":"text","text":"be","cache_control":{"type":"ephemeral"}}],
        "tools":[{"name":"Bash","input_schema":{"type":"object","properties":{"type":{"type":"string","description":"d"}}}}],
        "messages":[
        {"role":"user","content":"hi"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"Hm","signature":"Eq=="},{"type":"redacted_thinking","data":"QUJD"},
          {"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls","n":12345678,"x":{"type":"k"}}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"out"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}}]},
          {"type":"document","source":{"type":"text","media_type":"text/plain","data":"doc"},"title":"t"},
          {"type":"brand_new","words":"w"},{"type":"text","text":"go"}]},
        {"role":"system","content":"note"}],
        "metadata":{"user_id":"u"},"max_tokens":64000,"stream":true}"#,
        &[
            "systemh $.system[0].text be",
            "systemh $.tools[0].name Bash",
            "systemh $.tools[0].input_schema.properties.type.description d",
            "userh $.messages[0].content hi",
            "thinkingh! $.messages[1].content[0].thinking Hm",
            "tool_argumentsh $.messages[1].content[2].name Bash",
            "tool_argumentsh $.messages[1].content[2].input.*# command",
            "tool_argumentsh $.messages[1].content[2].input.command ls",
            "tool_argumentsh $.messages[1].content[2].input.*# n",
            "tool_argumentsh $.messages[1].content[2].input.n0 12345678",
            "tool_argumentsh $.messages[1].content[2].input.*# x",
            "tool_argumentsh $.messages[1].content[2].input.x.*# type",
            "tool_argumentsh $.messages[1].content[2].input.x.type k",
            "tool_result $.messages[2].content[0].content[0].text out",
            "attachment $.messages[2].content[1].source.data doc",
            "attachment $.messages[2].content[1].title t",
            "user $.messages[2].content[2].words w",
            "user $.messages[2].content[3].text go",
            "system $.messages[3].content note",
            "attachmenth $.metadata.*# user_id",
            "attachmenth $.metadata.user_id u",
            "- encrypted $.messages[1].content[1].data 4",
            "- image $.messages[2].content[0].content[1].source.data 4",
        ],
    );
}

#[test]
fn a_turn_of_a_chat_is_told() {
    check(
        request,
        Surface::OpenaiChat,
        r#"{"model":"m","messages":[{"role":"developer","content":"be"},
        {"content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO","detail":"low"}},
          {"image_url":{"url":"https://a/b.png"},"type":"image_url"},{"type":"input_audio","input_audio":{"data":"UklG","format":"wav"}},
          {"type":"file","file":{"filename":"f.pdf","file_data":"data:application/pdf;base64,JVBE"}}],"role":"user"},
        {"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[{"id":"call_1","type":"function","function":{"name":"Write","arguments":"{\"path\":\"a\\n\",\"n\":[4111111111111111]}"}},
          {"id":"call_2","type":"function","function":{"name":"Bad","arguments":"{\"path\":"}}]},
        {"role":"tool","tool_call_id":"call_1","content":"done"},{"role":"user","content":"go","name":"Ann"}],
        "tools":[{"type":"function","function":{"name":"Write","parameters":{"type":"object"}}}],"user":"u-1","stop":["x"]}"#,
        &[
            "systemh $.messages[0].content be",
            "userh $.messages[1].content[0].text look",
            "userh $.messages[1].content[2].image_url.url https://a/b.png",
            "attachmenth $.messages[1].content[4].file.filename f.pdf",
            "thinkingh $.messages[2].reasoning_content hm",
            "tool_argumentsh $.messages[2].tool_calls[0].function.name Write",
            "tool_argumentsh $.messages[2].tool_calls[0].function.arguments.*# path",
            "tool_argumentsh $.messages[2].tool_calls[0].function.arguments.path a\n",
            "tool_argumentsh $.messages[2].tool_calls[0].function.arguments.*# n",
            "tool_argumentsh $.messages[2].tool_calls[0].function.arguments.n[0]0 4111111111111111",
            "tool_argumentsh $.messages[2].tool_calls[1].function.name Bad",
            "tool_argumentsh $.messages[2].tool_calls[1].function.arguments {\"path\":",
            "tool_result $.messages[3].content done",
            "user $.messages[4].content go",
            "user $.messages[4].name Ann",
            "systemh $.tools[0].function.name Write",
            "attachmenth $.user u-1",
            "attachmenth $.stop[0] x",
            "- image $.messages[1].content[1].image_url.url 26",
            "- image $.messages[1].content[2].image_url.url 0",
            "- audio $.messages[1].content[3].input_audio.data 4",
            "- file $.messages[1].content[4].file.file_data 32",
        ],
    );
}

#[test]
fn a_turn_of_codex_is_told() {
    check(
        request,
        Surface::OpenaiResponses,
        r#"{"model":"m","instructions":"be","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"},{"type":"input_image","image_url":"data:image/jpeg;base64,AA"}]},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"gAAA"},
        {"type":"reasoning","id":"rs_2","summary":[{"type":"summary_text","text":"open"}]},
        {"type":"function_call","name":"shell","arguments":"{\"command\":[\"ls\"]}","call_id":"c"},
        {"type":"function_call_output","call_id":"c","output":"out {\"a\":1}"},
        {"type":"custom_tool_call","call_id":"d","name":"apply_patch","input":"*** patch"},
        {"type":"custom_tool_call_output","call_id":"d","output":[{"type":"input_text","text":"ok"}]},
        {"role":"user","content":"more"}],
        "tools":[{"type":"custom","name":"apply_patch","description":"d"}],"store":false,"include":["reasoning.encrypted_content"],"prompt_cache_key":"0199"}"#,
        &[
            "systemh $.instructions be",
            "userh $.input[0].content[0].text hi",
            "thinkingh! $.input[1].summary[0].text hm",
            "thinkingh $.input[2].summary[0].text open",
            "tool_argumentsh $.input[3].name shell",
            "tool_argumentsh $.input[3].arguments.*# command",
            "tool_argumentsh $.input[3].arguments.command[0] ls",
            "tool_resulth $.input[4].output out {\"a\":1}",
            "tool_argumentsh $.input[5].name apply_patch",
            "tool_argumentsh $.input[5].input *** patch",
            "tool_result $.input[6].output[0].text ok",
            "user $.input[7].content more",
            "systemh $.tools[0].type custom",
            "systemh $.tools[0].name apply_patch",
            "systemh $.tools[0].description d",
            "- image $.input[0].content[1].image_url 25",
            "- encrypted $.input[1].encrypted_content 4",
        ],
    );
}

#[test]
fn a_turn_of_gemini_is_told() {
    check(
        request,
        Surface::GeminiGenerate,
        r#"{"systemInstruction":{"parts":[{"text":"be"}]},"contents":[{"parts":[{"text":"hi"},{"inlineData":{"mimeType":"image/png","data":"iVBO"}},{"inline_data":{"data":"dGV4dA==","mime_type":"text/plain"}},{"inlineData":{"data":"UEs=","mimeType":"application/zip"}}]},
        {"role":"model","parts":[{"text":"hm","thought":true},{"text":"signed","thoughtSignature":"c2ln"},{"functionCall":{"id":"f1","name":"Write","args":{"a":"b"}},"thoughtSignature":"c2ln"}]},
        {"role":"user","parts":[{"functionResponse":{"id":"f1","name":"Write","response":{"output":"o"}}},{"fileData":{"fileUri":"https://f/1","mimeType":"video/mp4"}}]}],
        "tools":[{"functionDeclarations":[{"name":"Write","parameters":{"type":"OBJECT"}}]}],
        "generationConfig":{"stopSequences":["x"],"responseMimeType":"text/plain"},"cachedContent":"cachedContents/1"}"#,
        &[
            "systemh $.systemInstruction.parts[0].text be",
            "userh $.contents[0].parts[0].text hi",
            "userh! $.contents[0].parts[2].inline_data.data dGV4dA==",
            "userh! $.contents[0].parts[3].inlineData.data media UEs=",
            "thinkingh! $.contents[1].parts[0].text hm",
            "assistanth $.contents[1].parts[1].text signed",
            "tool_argumentsh $.contents[1].parts[2].functionCall.name Write",
            "tool_argumentsh $.contents[1].parts[2].functionCall.args.*# a",
            "tool_argumentsh $.contents[1].parts[2].functionCall.args.a b",
            "tool_result $.contents[2].parts[0].functionResponse.name Write",
            "tool_result $.contents[2].parts[0].functionResponse.response.*# output",
            "tool_result $.contents[2].parts[0].functionResponse.response.output o",
            "user $.contents[2].parts[1].fileData.fileUri https://f/1",
            "systemh $.tools[0].functionDeclarations[0].name Write",
            "systemh $.generationConfig.stopSequences[0] x",
            "- image $.contents[0].parts[1].inlineData.data 4",
            "- file $.contents[2].parts[1].fileData.fileUri 0",
            "- file $.cachedContent 0",
            "- file  4",
        ],
    );
}

#[test]
fn embedded_texts_and_token_ids_are_told_apart() {
    check(
        request,
        Surface::OpenaiEmbeddings,
        r#"{"model":"m","input":["a",[1,22222222],[3]],"user":"u"}"#,
        &[
            "user $.input[0] a",
            "attachment $.user u",
            "- tokens $.input[1][0] 0",
            "- tokens $.input[2][0] 0",
        ],
    );
    check(
        request,
        Surface::GeminiEmbed,
        r#"{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}}]}"#,
        &["user $.requests[0].content.parts[0].text a"],
    );
}

#[test]
fn whole_answers_are_told() {
    check(
        ContentReader::answer,
        Surface::AnthropicMessages,
        r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"a","citations":[{"type":"char_location","cited_text":"c","encrypted_index":"e"}]},{"type":"tool_use","id":"t","name":"W","input":{"k":"v"}},
        {"type":"web_search_tool_result","tool_use_id":"w","content":[{"type":"web_search_result","url":"https://a","title":"t","encrypted_content":"e"}]}],"stop_reason":"tool_use","usage":{"input_tokens":123456789}}"#,
        &[
            "thinking! $.content[0].thinking hm",
            "assistant $.content[1].text a",
            "assistant $.content[1].citations[0].cited_text c",
            "tool_arguments $.content[2].name W",
            "tool_arguments $.content[2].input.*# k",
            "tool_arguments $.content[2].input.k v",
            "tool_result $.content[3].content[0].url https://a",
            "tool_result $.content[3].content[0].title t",
            "assistant $.usage.input_tokens0 123456789",
            "- encrypted $.content[3].content[0].encrypted_content 1",
        ],
    );
    check(
        ContentReader::answer,
        Surface::OpenaiChat,
        r#"{"id":"c","created":1732180000,"choices":[{"index":0,"message":{"role":"assistant","content":"a","tool_calls":[{"id":"1","type":"function","function":{"name":"W","arguments":"{\"k\":\"v\"}"}}]},"logprobs":{"content":[{"token":"a"}]},"finish_reason":"stop"}]}"#,
        &[
            "assistant $.choices[0].message.content a",
            "tool_arguments $.choices[0].message.tool_calls[0].function.name W",
            "tool_arguments $.choices[0].message.tool_calls[0].function.arguments.*# k",
            "tool_arguments $.choices[0].message.tool_calls[0].function.arguments.k v",
        ],
    );
    check(
        ContentReader::answer,
        Surface::OpenaiEmbeddings,
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.0023064255,12345678]},{"embedding":"AACAPw=="}],"model":"m"}"#,
        &[],
    );
    check(
        ContentReader::answer,
        Surface::GeminiGenerate,
        r#"{"candidates":[{"content":{"parts":[{"text":"a"},{"functionCall":{"name":"W","args":{"k":"v"}}}],"role":"model"},"finishReason":"STOP"}],"error":{"message":"m"}}"#,
        &[
            "assistant $.candidates[0].content.parts[0].text a",
            "tool_arguments $.candidates[0].content.parts[1].functionCall.name W",
            "tool_arguments $.candidates[0].content.parts[1].functionCall.args.*# k",
            "tool_arguments $.candidates[0].content.parts[1].functionCall.args.k v",
            "assistant $.error.*# message",
            "assistant $.error.message m",
        ],
    );
}

#[test]
fn names_that_could_be_secrets_are_not_shown() {
    check(
        request,
        Surface::AnthropicMessages,
        r#"{"messages":[{"role":"user","content":[{"type":"tool_use","input":{"AKIA4XMPL":{"file_path":"x"}}}]}]}"#,
        &[
            "tool_arguments $.messages[0].content[0].input.*# AKIA4XMPL",
            "tool_arguments $.messages[0].content[0].input.*.*# file_path",
            "tool_arguments $.messages[0].content[0].input.*.file_path x",
        ],
    );
}

#[test]
fn a_structural_member_that_is_no_scalar_is_told() {
    let long = "x".repeat(300);
    check(
        request,
        Surface::AnthropicMessages,
        &format!(
            r#"{{"model":{{"a":"b"}},"messages":[{{"role":["r"],"content":[{{"type":"{long}","id":{{"c":"d"}}}}]}}]}}"#
        ),
        &[
            "attachment $.model.*# a",
            "attachment $.model.a b",
            &format!("attachment $.messages[0].content[0].type {long}"),
            "attachment $.messages[0].content[0].id.*# c",
            "attachment $.messages[0].content[0].id.c d",
        ],
    );
}

#[test]
fn a_disguise_by_escapes_changes_nothing() {
    check(
        request,
        Surface::AnthropicMessages,
        r#"{"messages":[{"role":"\u0075ser","content":[{"type":"thin\u006bing","thinking":"hm"},{"type":"text","text":"a"}]}]}"#,
        &[
            "thinking $.messages[0].content[0].thinking hm",
            "user $.messages[0].content[1].text a",
        ],
    );
}

#[test]
fn files_that_are_text_are_told() {
    check(
        request,
        Surface::OpenaiResponses,
        r#"{"input":[{"role":"user","content":[{"type":"input_file","file_data":"data:text\/plain;base64,QQ=="},{"type":"input_file","file_data":"data:application/json;base64,QQ=="},{"type":"input_file","file_data":"data:application/pdf;base64,QQ=="}]}]}"#,
        &[
            "attachment $.input[0].content[0].file_data data:text/plain;base64,QQ==",
            "attachment $.input[0].content[1].file_data data:application/json;base64,QQ==",
            "- file $.input[0].content[2].file_data 32",
        ],
    );
}

#[test]
fn more_texts_than_are_kept_are_an_error() {
    let many = |item: &str| {
        format!(
            "{{\"messages\":[{}{item}]}}",
            format!("{item},").repeat(1 << 18)
        )
    };
    for body in [many("\"a\""), many("{}")] {
        let errors = [1000, usize::MAX].map(|size| {
            let chunks: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
            read(request(Surface::AnthropicMessages), &chunks).unwrap_err()
        });
        assert_eq!(errors[0], errors[1]);
        assert!(matches!(errors[0], ContentError::TooMany { .. }));
        let mut reader = RequestTextReader::new(Surface::AnthropicMessages).unwrap();
        let refused = reader.push(body.as_bytes(), &mut |_: Block<'_>| {});
        assert!(matches!(refused, Err(BodyError::TooManyTexts { .. })));
    }
}

/// Replaces every text by itself between brackets.
fn bracketed(mut reader: ContentReader, body: &[u8]) -> Option<Vec<u8>> {
    let mut splices = Vec::new();
    let mut sink = |block: Block<'_>| {
        let length = block.text().len() as u64;
        let edit = |at, with: &str| Edit {
            start: at,
            end: at,
            with: with.to_owned(),
        };
        block.splices(&[edit(0, "<\"\n"), edit(length, "\\>")], &mut splices);
    };
    reader.push(body, &mut sink).ok()?;
    let content = reader.finish(&mut sink).ok()?;
    content.complete(&mut splices);
    Some(apply(body, &mut splices).expect("splices of one body fit it"))
}

#[test]
fn edits_reach_exactly_their_texts() {
    let body = br#"{"messages":[{"role":"assistant","content":"a\u00e9","tool_calls":[{"function":{"name":"f","arguments":"{\"p\":\"a\\n\",\"n\":12345678}"}}]}]}"#;
    let edited = bracketed(request(Surface::OpenaiChat), body).unwrap();
    let edited: serde_json::Value = serde_json::from_slice(&edited).unwrap();
    let message = &edited["messages"][0];
    assert_eq!(message["content"], "<\"\naé\\>");
    let function = &message["tool_calls"][0]["function"];
    assert_eq!(function["name"], "<\"\nf\\>");
    let arguments: serde_json::Value =
        serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(
        arguments,
        serde_json::json!({ "<\"\np\\>": "<\"\na\n\\>", "<\"\nn\\>": "<\"\n12345678\\>" })
    );
}

/// Requests of all surfaces with pieces that matter to some of them.
fn any_body() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        r#""user""#,
        r#""assistant""#,
        r#""a\n\u00e9""#,
        r#""tool_use""#,
        r#""thinking""#,
        r#""base64""#,
        r#""image/png""#,
        r#""data:image/png;base64,AA""#,
        r#""{\"a\":\"b\\n\",\"c\":123456789}""#,
        r#""{\"a\":""#,
        "12345678",
        "1.5e9",
        "true",
        "null",
        "\"\"",
    ])
    .prop_map(str::to_owned);
    let key = prop::sample::select(vec![
        "messages",
        "content",
        "role",
        "type",
        "text",
        "source",
        "data",
        "media_type",
        "input",
        "arguments",
        "function",
        "tool_calls",
        "parts",
        "contents",
        "inlineData",
        "mimeType",
        "thought",
        "signature",
        "tools",
        "image_url",
        "url",
        "choices",
        "message",
        "logprobs",
        "output",
        "summary",
        "encrypted_content",
        "other",
    ]);
    leaf.prop_recursive(6, 80, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| {
                let members: Vec<String> = members
                    .into_iter()
                    .map(|(key, value)| format!("\"{key}\":{value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

const SURFACES: [Surface; 8] = [
    Surface::AnthropicMessages,
    Surface::AnthropicCountTokens,
    Surface::OpenaiChat,
    Surface::OpenaiResponses,
    Surface::OpenaiEmbeddings,
    Surface::GeminiGenerate,
    Surface::GeminiCountTokens,
    Surface::GeminiEmbed,
];

proptest! {
    #[test]
    fn cuts_never_change_what_is_told(body in any_body(), cuts: Vec<prop::sample::Index>, surface in 0..SURFACES.len()) {
        for reader in [request, ContentReader::answer] {
            let whole = read(reader(SURFACES[surface]), &[body.as_bytes()]);
            let cut = read(reader(SURFACES[surface]), &cut(body.as_bytes(), &cuts));
            prop_assert_eq!(whole, cut);
        }
    }

    #[test]
    fn edited_bodies_are_json_and_hold_the_same_texts(body in any_body(), surface in 0..SURFACES.len()) {
        for reader in [request, ContentReader::answer] {
            let edited = bracketed(reader(SURFACES[surface]), body.as_bytes()).unwrap();
            let again: serde_json::Value = serde_json::from_slice(&edited).unwrap();
            let _: serde_json::Value = again;
        }
    }

    #[test]
    fn facts_and_texts_are_those_of_two_walks(body in any_body(), cuts: Vec<prop::sample::Index>, surface in 0..SURFACES.len()) {
        let surface = SURFACES[surface];
        let chunks = cut(body.as_bytes(), &cuts);
        let mut facts = RequestReader::new(surface).unwrap();
        let facts = chunks.iter().try_for_each(|chunk| facts.push(chunk)).and_then(|()| facts.finish());
        let mut texts = Vec::new();
        let mut sink = |block: Block<'_>| texts.push(block.text().into_owned());
        let mut both = RequestTextReader::new(surface).unwrap();
        let both = chunks.iter().try_for_each(|chunk| both.push(chunk, &mut sink)).and_then(|()| both.finish(&mut sink));
        prop_assert_eq!(both.as_ref().err(), facts.as_ref().err());
        if let (Ok((both, content)), Ok(facts)) = (both, facts) {
            prop_assert_eq!(both, facts);
            prop_assert_eq!(content.len(), texts.len());
            let (alone, ..) = read(request(surface), &[body.as_bytes()]).unwrap();
            let alone: Vec<_> = alone.into_iter().map(|text| text.text.into_bytes()).collect();
            prop_assert_eq!(texts, alone);
        }
    }
}

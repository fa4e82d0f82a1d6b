use proptest::prelude::*;

use super::*;
use crate::cut;
use crate::request::{RequestReader, RequestTextReader};
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

fn read(mut reader: ContentReader, chunks: &[&[u8]]) -> Result<Told, JsonError> {
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

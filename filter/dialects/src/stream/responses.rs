//! OpenAI Responses: `response.*.delta`, `response.*.done`, and events that repeat whole items.
//!
//! Source: OpenAI API reference, "Responses: streaming events". Every text comes three or four times: in its pieces,
//! in its own `done` event, in its item and in the response at the end.

use policy::guardrail::TextRole;

use super::pieces::{Claimed, Piece, PieceKind, event, index, list_rest, part, whole};
use super::tape::Json;
use super::{Channel, ChannelId};

pub(super) fn list(json: Json<'_>, out: &mut Vec<Piece>) {
    let kind = json.text(json.member(0, "type")).unwrap_or_default();
    let output = index(json.number(json.member(0, "output_index")));
    let within = json
        .member(0, "content_index")
        .or_else(|| json.member(0, "summary_index"));
    let within = index(json.number(within));
    let mut claimed = Claimed::default();
    let mut role = TextRole::Assistant;
    let mut ends = None;
    if let Some(family) = kind.strip_suffix(b".delta") {
        let channel = channel(family, output, within);
        role = channel.role;
        // Audio is base64.
        if family == b"response.audio" || family.ends_with(b"partial_image") {
            claimed.one(json.member(0, "delta"));
        } else {
            part(json, json.member(0, "delta"), channel, &mut claimed, out);
        }
    } else if let Some(family) = kind.strip_suffix(b".done") {
        let channel = channel(family, output, within);
        role = channel.role;
        event(PieceKind::Ends(channel.id), out);
        if channel.is_json_text {
            let at = json.member(0, "arguments");
            whole(json, at, role, true, true, &mut claimed, out);
        }
        if kind == b"response.output_item.done" {
            ends = Some(PieceKind::EndsAll {
                kind: None,
                index: Some(output),
            });
        }
    } else if kind == b"response.output_item.added" {
        opens(json, output, out);
    } else if matches!(
        kind,
        b"response.completed" | b"response.incomplete" | b"response.failed" | b"error"
    ) {
        ends = Some(PieceKind::EndsAll {
            kind: None,
            index: None,
        });
    }
    // Texts end before the events that repeat them are judged, and after what those events say themselves.
    if let Some(ends) = ends {
        event(ends, out);
    }
    if let Some(item) = json.member(0, "item") {
        list_item(json, item, &mut claimed, out);
    }
    if let Some(items) = json.path(0, &["response", "output"]) {
        for item in json.items(items) {
            list_item(json, item, &mut claimed, out);
        }
    }
    own_words(json, &mut claimed);
    list_rest(json, 0, role, true, &claimed, out);
}

/// The request's own words come back in the response: they are the client's, and were judged with the request.
fn own_words(json: Json<'_>, claimed: &mut Claimed) {
    let Some(response) = json.member(0, "response") else {
        return;
    };
    for name in [
        "instructions",
        "tools",
        "prompt",
        "metadata",
        "user",
        "text",
        "reasoning",
        "tool_choice",
    ] {
        if let Some(at) = json.member(response, name)
            && let Some(token) = json.tape.get(at)
        {
            claimed.add(at..token.next);
        }
    }
}

fn list_item(json: Json<'_>, item: usize, claimed: &mut Claimed, out: &mut Vec<Piece>) {
    let kind = json.text(json.member(item, "type")).unwrap_or_default();
    let role = role_of(kind);
    if let Some(at) = json.member(item, "arguments") {
        whole(json, Some(at), role, true, true, claimed, out);
    }
    if role == TextRole::Assistant {
        return;
    }
    let mut rest = Vec::new();
    list_rest(json, item, role, true, claimed, &mut rest);
    if let Some(token) = json.tape.get(item) {
        claimed.add(item..token.next);
    }
    out.extend(rest);
}

/// The beginning of a tool call waits for its arguments.
fn opens(json: Json<'_>, output: u32, out: &mut Vec<Piece>) {
    let family: &[u8] = match json
        .text(json.path(0, &["item", "type"]))
        .unwrap_or_default()
    {
        b"function_call" => b"response.function_call_arguments",
        b"custom_tool_call" => b"response.custom_tool_call_input",
        b"mcp_call" => b"response.mcp_call_arguments",
        _ => return,
    };
    event(PieceKind::Opens(channel(family, output, 0)), out);
}

fn role_of(kind: &[u8]) -> TextRole {
    let has = |part: &[u8]| memchr::memmem::find(kind, part).is_some();
    if has(b"reasoning") {
        TextRole::Thinking
    } else if has(b"call_output") {
        TextRole::ToolResult
    } else if has(b"call") {
        TextRole::ToolArguments
    } else {
        TextRole::Assistant
    }
}

/// Texts are told apart by the family of their events, the item and the part of it.
fn channel(family: &[u8], output: u32, within: u32) -> Channel {
    const FAMILIES: [&[u8]; 9] = [
        b"response.output_text",
        b"response.refusal",
        b"response.function_call_arguments",
        b"response.reasoning_summary_text",
        b"response.reasoning_text",
        b"response.custom_tool_call_input",
        b"response.mcp_call_arguments",
        b"response.code_interpreter_call_code",
        b"response.audio.transcript",
    ];
    let kind = FAMILIES.iter().position(|known| *known == family);
    let kind = kind.unwrap_or(FAMILIES.len());
    Channel {
        id: ChannelId {
            kind: u8::try_from(kind).unwrap_or(u8::MAX),
            index: output,
            part: within,
        },
        role: role_of(family),
        is_json_text: family.ends_with(b"arguments"),
        may_change: true,
    }
}

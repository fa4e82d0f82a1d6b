//! Gemini `streamGenerateContent`: each event is a whole response with the next parts.
//!
//! Source: Gemini API reference, "GenerateContentResponse".

use policy::guardrail::TextRole;

use super::pieces::{Claimed, Piece, PieceKind, event, index, list_rest, part};
use super::tape::{Json, Kind};
use super::{Channel, ChannelId};

const TEXT: u8 = 0;
const THINKING: u8 = 1;

pub(super) fn list(json: Json<'_>, out: &mut Vec<Piece>) {
    let mut claimed = Claimed::default();
    let mut ending = Vec::new();
    let candidates = json.member(0, "candidates");
    for (place, candidate) in candidates
        .into_iter()
        .flat_map(|candidates| json.items(candidates))
        .enumerate()
    {
        let number = json
            .number(json.member(candidate, "index"))
            .unwrap_or(place as u64);
        let number = index(Some(number));
        let parts = json.path(candidate, &["content", "parts"]);
        for one in parts.into_iter().flat_map(|parts| json.items(parts)) {
            list_part(json, one, number, &mut claimed, out);
        }
        if json.text(json.member(candidate, "finishReason")).is_some() {
            ending.push(number);
        }
    }
    list_rest(json, 0, TextRole::Assistant, true, &claimed, out);
    for number in ending {
        event(
            PieceKind::EndsAll {
                kind: None,
                index: Some(number),
            },
            out,
        );
    }
}

fn list_part(
    json: Json<'_>,
    one: usize,
    candidate: u32,
    claimed: &mut Claimed,
    out: &mut Vec<Piece>,
) {
    let is_thought = json
        .member(one, "thought")
        .is_some_and(|at| json.raw(at) == b"true");
    let kind = if is_thought { THINKING } else { TEXT };
    // A signed part is sent back as it is, and checked.
    let is_signed = json.text(json.member(one, "thoughtSignature")).is_some();
    let channel = Channel {
        id: ChannelId {
            kind,
            index: candidate,
            part: u32::from(is_signed),
        },
        role: if is_thought {
            TextRole::Thinking
        } else {
            TextRole::Assistant
        },
        is_json_text: false,
        may_change: true,
    };
    part(json, json.member(one, "text"), channel, claimed, out);
    for (name, role) in [
        ("functionCall", TextRole::ToolArguments),
        ("executableCode", TextRole::ToolArguments),
        ("codeExecutionResult", TextRole::ToolResult),
        ("functionResponse", TextRole::ToolResult),
    ] {
        let Some(at) = json.member(one, name) else {
            continue;
        };
        let Some(token) = json.tape.get(at).filter(|token| token.kind == Kind::Object) else {
            continue;
        };
        let mut rest = Vec::new();
        list_rest(json, at, role, true, claimed, &mut rest);
        claimed.add(at..token.next);
        out.extend(rest);
    }
}

//! OpenAI Chat Completions: chunks with `choices[].delta`.
//!
//! Source: OpenAI API reference, "Chat Completions: streaming". `reasoning_content` and `reasoning` are what other
//! servers of this API call their thinking.

use policy::guardrail::TextRole;

use super::pieces::{Claimed, Piece, PieceKind, event, index, list_rest, part};
use super::tape::{Json, Kind};
use super::{Channel, ChannelId};

const TEXT: u8 = 0;
const THINKING: u8 = 1;
const ARGUMENTS: u8 = 2;
const REFUSAL: u8 = 3;
const OTHER_THINKING: u8 = 4;
const OLD_CALL: u8 = 5;

pub(super) fn list(json: Json<'_>, out: &mut Vec<Piece>) {
    let mut claimed = Claimed::default();
    let mut ending = Vec::new();
    let choices = json.member(0, "choices");
    for choice in choices.into_iter().flat_map(|choices| json.items(choices)) {
        let number = index(json.number(json.member(choice, "index")));
        let deltas = [
            (TEXT, &["delta", "content"][..]),
            (THINKING, &["delta", "reasoning_content"]),
            (OTHER_THINKING, &["delta", "reasoning"]),
            (REFUSAL, &["delta", "refusal"]),
            (OLD_CALL, &["delta", "function_call", "arguments"]),
            (TEXT, &["text"]),
        ];
        for (kind, path) in deltas {
            let at = json.path(choice, path);
            part(json, at, channel(kind, number, 0), &mut claimed, out);
        }
        let calls = json.path(choice, &["delta", "tool_calls"]);
        for call in calls.into_iter().flat_map(|calls| json.items(calls)) {
            let place = index(json.number(json.member(call, "index")));
            let arguments = channel(ARGUMENTS, number, place);
            if json.path(call, &["function", "name"]).is_some() {
                event(PieceKind::Opens(arguments), out);
            }
            let at = json.path(call, &["function", "arguments"]);
            part(json, at, arguments, &mut claimed, out);
            let at = json.path(call, &["custom", "input"]);
            let mut plain = arguments;
            plain.is_json_text = false;
            part(json, at, plain, &mut claimed, out);
        }
        let reason = json.member(choice, "finish_reason");
        let is_over = reason
            .and_then(|at| json.tape.get(at))
            .is_some_and(|token| token.kind == Kind::Text);
        if is_over {
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

fn channel(kind: u8, choice: u32, call: u32) -> Channel {
    let is_call = matches!(kind, ARGUMENTS | OLD_CALL);
    Channel {
        id: ChannelId {
            kind,
            index: choice,
            part: call,
        },
        role: match kind {
            THINKING | OTHER_THINKING => TextRole::Thinking,
            ARGUMENTS | OLD_CALL => TextRole::ToolArguments,
            _ => TextRole::Assistant,
        },
        is_json_text: is_call,
        may_change: true,
    }
}

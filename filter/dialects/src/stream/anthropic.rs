//! Anthropic Messages: `content_block_start`, `content_block_delta`, `content_block_stop`.
//!
//! Source: Anthropic API documentation, "Streaming Messages".

use std::collections::BTreeMap;

use policy::guardrail::TextRole;

use super::pieces::{Claimed, Piece, PieceKind, event, index, list_rest, part};
use super::tape::Json;
use super::{Channel, ChannelId};

const TEXT: u8 = 0;
const THINKING: u8 = 1;
const ARGUMENTS: u8 = 2;

/// The open blocks of a message, by index.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    open: BTreeMap<u32, TextRole>,
}

impl Blocks {
    pub(super) fn list(&mut self, json: Json<'_>, out: &mut Vec<Piece>) {
        let block = index(json.number(json.member(0, "index")));
        let mut claimed = Claimed::default();
        let mut role = TextRole::Assistant;
        let mut ends = None;
        match json.text(json.member(0, "type")).unwrap_or_default() {
            b"content_block_start" => {
                role = self.start(json, block, &mut claimed, out);
            }
            b"content_block_delta" => {
                role = self.open.get(&block).copied().unwrap_or(role);
                for (kind, member) in [
                    (TEXT, "text"),
                    (THINKING, "thinking"),
                    (ARGUMENTS, "partial_json"),
                ] {
                    let at = json.path(0, &["delta", member]);
                    part(json, at, channel(kind, block), &mut claimed, out);
                }
            }
            b"content_block_stop" => {
                self.open.remove(&block);
                ends = Some(PieceKind::EndsAll {
                    kind: None,
                    index: Some(block),
                });
            }
            b"message_stop" | b"message_delta" | b"error" => {
                ends = Some(PieceKind::EndsAll {
                    kind: None,
                    index: None,
                });
            }
            _ => {}
        }
        list_rest(json, 0, role, true, &claimed, out);
        if let Some(ends) = ends {
            event(ends, out);
        }
    }

    fn start(
        &mut self,
        json: Json<'_>,
        block: u32,
        claimed: &mut Claimed,
        out: &mut Vec<Piece>,
    ) -> TextRole {
        let kind = json.text(json.path(0, &["content_block", "type"]));
        let kind = kind.unwrap_or_default();
        let role = if kind == b"text" {
            TextRole::Assistant
        } else if kind.ends_with(b"thinking") {
            TextRole::Thinking
        } else if kind.ends_with(b"tool_use") {
            TextRole::ToolArguments
        } else if kind.ends_with(b"tool_result") {
            TextRole::ToolResult
        } else {
            TextRole::Assistant
        };
        self.open.insert(block, role);
        match role {
            TextRole::Assistant => {
                let at = json.path(0, &["content_block", "text"]);
                part(json, at, channel(TEXT, block), claimed, out);
            }
            TextRole::Thinking => {
                let at = json.path(0, &["content_block", "thinking"]);
                part(json, at, channel(THINKING, block), claimed, out);
                // What is encrypted is the provider's own.
                claimed.one(json.path(0, &["content_block", "data"]));
            }
            TextRole::ToolArguments => {
                event(PieceKind::Opens(channel(ARGUMENTS, block)), out);
            }
            TextRole::System | TextRole::User | TextRole::ToolResult | TextRole::Attachment => {}
        }
        role
    }
}

fn channel(kind: u8, block: u32) -> Channel {
    Channel {
        id: ChannelId {
            kind,
            index: block,
            part: 0,
        },
        role: match kind {
            THINKING => TextRole::Thinking,
            ARGUMENTS => TextRole::ToolArguments,
            _ => TextRole::Assistant,
        },
        is_json_text: kind == ARGUMENTS,
        // A signature over it follows.
        may_change: kind != THINKING,
    }
}

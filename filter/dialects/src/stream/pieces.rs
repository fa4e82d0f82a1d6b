//! The strings of an event, each with its part in the stream.

use std::ops::Range;

use policy::guardrail::TextRole;
use policy::surface::Surface;

use super::tape::{Json, Kind};
use super::{Channel, ChannelId, anthropic, chat, gemini, responses};

/// One thing that an event says.
#[derive(Debug)]
pub(super) struct Piece {
    /// The string, between its quotes, in the event's data; empty for what is none.
    pub raw: Range<usize>,
    pub kind: PieceKind,
}

#[derive(Debug)]
pub(super) enum PieceKind {
    /// The next part of a text.
    Part(Channel),
    /// A text that is all there.
    Whole {
        role: TextRole,
        /// The member's name, in the data.
        label: Range<usize>,
        is_json_text: bool,
        may_change: bool,
    },
    /// A number that may be more than a quantity.
    Number {
        role: TextRole,
        label: Range<usize>,
    },
    /// A text begins here and the event must not leave before it has ended.
    Opens(Channel),
    Ends(ChannelId),
    /// Every text ends, or those of one kind or index.
    EndsAll {
        kind: Option<u8>,
        index: Option<u32>,
    },
}

/// Reads the events of one dialect.
#[derive(Debug)]
pub(super) enum Pieces {
    Anthropic(anthropic::Blocks),
    Chat,
    Responses,
    Gemini,
}

impl Pieces {
    pub(super) fn of(surface: Surface) -> Option<Self> {
        match surface {
            Surface::AnthropicMessages => Some(Self::Anthropic(anthropic::Blocks::default())),
            Surface::OpenaiChat => Some(Self::Chat),
            Surface::OpenaiResponses => Some(Self::Responses),
            Surface::GeminiGenerate => Some(Self::Gemini),
            Surface::AnthropicCountTokens
            | Surface::AnthropicModels
            | Surface::OpenaiEmbeddings
            | Surface::OpenaiModels
            | Surface::GeminiCountTokens
            | Surface::GeminiEmbed
            | Surface::GeminiModels
            | Surface::AnthropicOpaque
            | Surface::OpenaiOpaque
            | Surface::GeminiOpaque => None,
        }
    }

    /// Lists what an event says, in order; every string that is not listed is a name, an id or a signature.
    pub(super) fn list(&mut self, json: Json<'_>, out: &mut Vec<Piece>) {
        match self {
            Self::Anthropic(blocks) => blocks.list(json, out),
            Self::Chat => chat::list(json, out),
            Self::Responses => responses::list(json, out),
            Self::Gemini => gemini::list(json, out),
        }
    }

    /// Data that is no JSON is one text, but for the word that ends a stream.
    pub(super) fn list_unreadable(&self, data: &[u8], out: &mut Vec<Piece>) {
        if data.trim_ascii() == b"[DONE]" {
            out.push(Piece {
                raw: 0..0,
                kind: PieceKind::EndsAll {
                    kind: None,
                    index: None,
                },
            });
            return;
        }
        // No quotes stand around it, so it cannot be written anew.
        out.push(Piece {
            raw: 0..data.len(),
            kind: PieceKind::Whole {
                role: TextRole::Assistant,
                label: 0..0,
                is_json_text: false,
                may_change: false,
            },
        });
    }
}

/// Tokens of an event that are listed already, or that nobody needs to look at.
#[derive(Debug, Default)]
pub(super) struct Claimed(Vec<bool>);

impl Claimed {
    pub(super) fn add(&mut self, tokens: Range<usize>) {
        if self.0.len() < tokens.end {
            self.0.resize(tokens.end, false);
        }
        for token in self.0.iter_mut().take(tokens.end).skip(tokens.start) {
            *token = true;
        }
    }

    pub(super) fn one(&mut self, token: Option<usize>) {
        if let Some(token) = token {
            self.add(token..token + 1);
        }
    }

    fn has(&self, token: usize) -> bool {
        self.0.get(token).copied().unwrap_or_default()
    }
}

/// Names of members whose strings are names, ids or signatures, wherever they stand.
const STRUCTURAL: [&[u8]; 34] = [
    b"type",
    b"id",
    b"object",
    b"model",
    b"role",
    b"status",
    b"finish_reason",
    b"finishReason",
    b"stop_reason",
    b"stop_sequence",
    b"signature",
    b"thoughtSignature",
    b"thought_signature",
    b"encrypted_content",
    b"encrypted_index",
    b"item_id",
    b"response_id",
    b"responseId",
    b"call_id",
    b"tool_use_id",
    b"previous_response_id",
    b"modelVersion",
    b"system_fingerprint",
    b"service_tier",
    b"obfuscation",
    b"safety_identifier",
    b"prompt_cache_key",
    b"truncation",
    b"mimeType",
    b"mime_type",
    b"media_type",
    b"native_finish_reason",
    b"provider",
    b"createTime",
];

/// Lists every string under `at` that nothing else claims, and long numbers.
pub(super) fn list_rest(
    json: Json<'_>,
    at: usize,
    role: TextRole,
    may_change: bool,
    claimed: &Claimed,
    out: &mut Vec<Piece>,
) {
    let Some(root) = json.tape.get(at) else {
        return;
    };
    let mut place = at;
    let mut label = 0..0;
    while place < root.next {
        let Some(token) = json.tape.get(place) else {
            return;
        };
        match token.kind {
            Kind::Key => {
                label = token.start..token.end;
                let name = json.raw(place);
                let is_media = name == b"data" && has_media_type(json, place);
                if STRUCTURAL.contains(&name) || is_media {
                    let value = json.tape.get(place + 1);
                    // Only a string is a name or an id: what is larger is looked through.
                    if value.is_some_and(|value| value.kind == Kind::Text) {
                        place += 1;
                    }
                }
            }
            Kind::Text if !claimed.has(place) && token.start < token.end => out.push(Piece {
                raw: token.start..token.end,
                kind: PieceKind::Whole {
                    role,
                    label: label.clone(),
                    is_json_text: false,
                    may_change,
                },
            }),
            Kind::Number
                if matches!(role, TextRole::ToolArguments | TextRole::ToolResult)
                    && super::is_long_number(json.raw(place)) =>
            {
                out.push(Piece {
                    raw: token.start..token.end,
                    kind: PieceKind::Number {
                        role,
                        label: label.clone(),
                    },
                });
            }
            Kind::Object | Kind::Array | Kind::Text | Kind::Number | Kind::Word => {}
        }
        place += 1;
    }
}

/// Whether the key at `at` has a sibling just before it that says what kind of media follows.
fn has_media_type(json: Json<'_>, at: usize) -> bool {
    let before = at
        .checked_sub(2)
        .and_then(|key| json.tape.get(key).filter(|token| token.kind == Kind::Key));
    let after = json.tape.get(at + 2);
    let names: [&[u8]; 3] = [b"mimeType", b"mime_type", b"media_type"];
    before.is_some_and(|_| names.contains(&json.raw(at - 2)))
        || after.is_some_and(|token| token.kind == Kind::Key && names.contains(&json.raw(at + 2)))
}

/// Adds the text at `at` as a part of `channel`; notes that it is claimed.
pub(super) fn part(
    json: Json<'_>,
    at: Option<usize>,
    channel: Channel,
    claimed: &mut Claimed,
    out: &mut Vec<Piece>,
) {
    let Some(at) = at else { return };
    let Some(token) = json.tape.get(at).filter(|token| token.kind == Kind::Text) else {
        return;
    };
    claimed.add(at..at + 1);
    out.push(Piece {
        raw: token.start..token.end,
        kind: PieceKind::Part(channel),
    });
}

/// Adds the text at `at` as one that is all there; notes that it is claimed.
pub(super) fn whole(
    json: Json<'_>,
    at: Option<usize>,
    role: TextRole,
    is_json_text: bool,
    may_change: bool,
    claimed: &mut Claimed,
    out: &mut Vec<Piece>,
) {
    let Some(at) = at else { return };
    let Some(token) = json
        .tape
        .get(at)
        .filter(|token| token.kind == Kind::Text && token.start < token.end)
    else {
        return;
    };
    claimed.add(at..at + 1);
    out.push(Piece {
        raw: token.start..token.end,
        kind: PieceKind::Whole {
            role,
            label: 0..0,
            is_json_text,
            may_change,
        },
    });
}

/// Adds something that is no string.
pub(super) fn event(kind: PieceKind, out: &mut Vec<Piece>) {
    out.push(Piece { raw: 0..0, kind });
}

/// Returns a number as an index.
pub(super) fn index(number: Option<u64>) -> u32 {
    number
        .and_then(|number| u32::try_from(number).ok())
        .unwrap_or_default()
}

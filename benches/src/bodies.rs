//! Request bodies as coding agents send them, made from a fixed seed.

use std::fmt::Write as _;

/// Where the member `model` stands among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelPlace {
    First,
    Last,
}

/// Whose API a body is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    AnthropicMessages,
    OpenaiChat,
    OpenaiResponses,
    GeminiGenerate,
}

/// Numbers without a pattern, the same in every run.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Starts the sequence of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(bound.max(1)).unwrap_or(1)).unwrap_or_default()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len()))
            .copied()
            .unwrap_or_default()
    }
}

const WORDS: [&str; 24] = [
    "session", "request", "buffer", "handle", "decode", "window", "Config", "Result", "index",
    "stream", "token", "retry", "cluster", "header", "deadline", "snapshot", "queue", "worker",
    "encode", "limit", "parse", "route", "policy", "record",
];

/// Text of about `bytes` bytes that looks like what tools return: source code, logs, prose, paths.
pub fn text(dice: &mut Dice, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 256);
    while text.len() < bytes {
        match dice.below(4) {
            0 => source_code(dice, &mut text),
            1 => log_lines(dice, &mut text),
            2 => prose(dice, &mut text),
            _ => listing(dice, &mut text),
        }
    }
    let cut = text.floor_char_boundary(bytes);
    text.truncate(cut);
    text
}

fn source_code(dice: &mut Dice, text: &mut String) {
    let (name, kind, field) = (dice.pick(&WORDS), dice.pick(&WORDS), dice.pick(&WORDS));
    let number = dice.below(4096);
    let written = write!(
        text,
        "impl {kind} {{\n    /// Returns the {field} of \"{name}\".\n    pub fn {name}(&self, at: usize) -> Option<&str> {{\n\
         \x20       let {field} = self.{field}.get(at..at + {number})?;\n        if {field}.is_empty() && at > {number} {{\n\
         \x20           return None;\n        }}\n        println!(\"{name}\\t{{at}}: {{{field}:?}}\");\n        Some({field})\n    }}\n}}\n\n"
    );
    debug_assert!(written.is_ok());
}

fn log_lines(dice: &mut Dice, text: &mut String) {
    for _ in 0..6 {
        let (second, name, value) = (dice.below(60), dice.pick(&WORDS), dice.below(100_000));
        let written = writeln!(
            text,
            "2026-03-14T09:26:{second:02}.{value:06}Z \u{1b}[32m INFO\u{1b}[0m weir::{name}: {} accepted path=\"/v1/{name}\" took={value}us",
            dice.pick(&WORDS)
        );
        debug_assert!(written.is_ok());
    }
}

fn prose(dice: &mut Dice, text: &mut String) {
    for _ in 0..8 {
        for _ in 0..9 {
            text.push_str(dice.pick(&WORDS));
            text.push(' ');
        }
        text.push_str(dice.pick(&[
            "— and so on",
            "isn’t it?",
            "naïve, but works",
            "see §3",
            "说明",
            "fine.",
        ]));
        text.push_str(".\n");
    }
}

fn listing(dice: &mut Dice, text: &mut String) {
    for _ in 0..8 {
        let written = writeln!(
            text,
            "-rw-r--r-- 1 dev dev {:>8} src/{}/{}.rs:{}:\t{} = {{ \"{}\": [{}, {}] }}",
            dice.below(1_000_000),
            dice.pick(&WORDS),
            dice.pick(&WORDS),
            dice.below(900),
            dice.pick(&WORDS),
            dice.pick(&WORDS),
            dice.below(99),
            dice.below(99)
        );
        debug_assert!(written.is_ok());
    }
}

/// What a body is made from.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    pub api: Api,
    pub model: &'a str,
    pub place: ModelPlace,
    pub stream: bool,
    /// Size to reach; the body is at most some tens of bytes away from it.
    pub bytes: usize,
}

impl Body<'_> {
    /// Makes the body: system prompt and tools where there is room, then turns of text, tool calls and tool results.
    pub fn make(&self) -> Vec<u8> {
        let mut dice = Dice::new(0x5eed);
        let with_tools = self.bytes > 20_000;
        let mut members = self.members(&mut dice, with_tools);
        let frame: usize = members
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum::<usize>()
            + 2;
        let room = self.bytes.saturating_sub(frame);
        let conversation = self.conversation(&mut dice, room);
        members.insert(
            members.len().saturating_sub(1),
            (self.turns_name(), conversation),
        );
        if self.place == ModelPlace::Last {
            members.rotate_left(1);
        }
        let members: Vec<String> = members
            .into_iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    }

    const fn turns_name(&self) -> &'static str {
        match self.api {
            Api::AnthropicMessages | Api::OpenaiChat => "messages",
            Api::OpenaiResponses => "input",
            Api::GeminiGenerate => "contents",
        }
    }

    /// Everything but the conversation, the model first.
    fn members(&self, dice: &mut Dice, with_tools: bool) -> Vec<(&'static str, String)> {
        let tools = if with_tools {
            self.tools(dice)
        } else {
            String::from("[]")
        };
        let stream = self.stream.to_string();
        match self.api {
            Api::AnthropicMessages => vec![
                ("model", quoted(self.model)),
                ("max_tokens", "32000".to_owned()),
                (
                    "system",
                    format!(
                        "[{{\"type\":\"text\",\"text\":{},\"cache_control\":{{\"type\":\"ephemeral\"}}}}]",
                        quoted(&text(dice, if with_tools { 6_000 } else { 80 }))
                    ),
                ),
                ("tools", tools),
                (
                    "metadata",
                    "{\"user_id\":\"user_1_account__session_7f9c\"}".to_owned(),
                ),
                ("stream", stream),
            ],
            Api::OpenaiChat => vec![
                ("model", quoted(self.model)),
                ("tools", tools),
                ("temperature", "1".to_owned()),
                ("stream", stream),
            ],
            Api::OpenaiResponses => vec![
                ("model", quoted(self.model)),
                (
                    "instructions",
                    quoted(&text(dice, if with_tools { 6_000 } else { 80 })),
                ),
                ("tools", tools),
                ("store", "false".to_owned()),
                ("stream", stream),
            ],
            Api::GeminiGenerate => vec![
                (
                    "generationConfig",
                    "{\"maxOutputTokens\":32000,\"temperature\":1}".to_owned(),
                ),
                ("tools", tools),
            ],
        }
    }

    fn tools(&self, dice: &mut Dice) -> String {
        let tools: Vec<String> = (0..14)
            .map(|number| {
                let name = format!("{}_{number}", dice.pick(&WORDS));
                let description = quoted(&text(dice, 500));
                let schema = format!(
                    "{{\"type\":\"object\",\"properties\":{{\"path\":{{\"type\":\"string\",\"description\":{}}},\"limit\":{{\"type\":\"integer\"}}}},\"required\":[\"path\"]}}",
                    quoted(&text(dice, 90))
                );
                match self.api {
                    Api::AnthropicMessages => format!("{{\"name\":\"{name}\",\"description\":{description},\"input_schema\":{schema}}}"),
                    Api::OpenaiChat => format!("{{\"type\":\"function\",\"function\":{{\"name\":\"{name}\",\"description\":{description},\"parameters\":{schema}}}}}"),
                    Api::OpenaiResponses => format!("{{\"type\":\"function\",\"name\":\"{name}\",\"description\":{description},\"parameters\":{schema}}}"),
                    Api::GeminiGenerate => format!("{{\"functionDeclarations\":[{{\"name\":\"{name}\",\"description\":{description},\"parameters\":{schema}}}]}}"),
                }
            })
            .collect();
        format!("[{}]", tools.join(","))
    }

    /// Turns until `room` bytes are filled; the last tool result is cut to fit.
    fn conversation(&self, dice: &mut Dice, room: usize) -> String {
        // A small body is one question that fills it; quoting takes up to a tenth more.
        let first = if room < 1_500 {
            room.saturating_sub(120) * 9 / 10
        } else {
            200
        };
        let mut turns = vec![self.user(&text(dice, first))];
        let mut length = turns.iter().map(String::len).sum::<usize>() + 2;
        let mut number = 0;
        while length + 700 < room {
            number += 1;
            let size = (1_000 + dice.below(12_000)).min((room - length - 600) * 17 / 20);
            let said = text(dice, 160);
            let result = text(dice, size);
            let turn = self.tool_turn(number, &said, &result);
            length += turn.len() + 1;
            turns.push(turn);
        }
        format!("[{}]", turns.join(","))
    }

    fn user(&self, said: &str) -> String {
        let said = quoted(said);
        match self.api {
            Api::AnthropicMessages => {
                format!("{{\"role\":\"user\",\"content\":[{{\"type\":\"text\",\"text\":{said}}}]}}")
            }
            Api::OpenaiChat | Api::OpenaiResponses => {
                format!("{{\"role\":\"user\",\"content\":{said}}}")
            }
            Api::GeminiGenerate => format!("{{\"role\":\"user\",\"parts\":[{{\"text\":{said}}}]}}"),
        }
    }

    fn tool_turn(&self, number: usize, said: &str, result: &str) -> String {
        let (said, result) = (quoted(said), quoted(result));
        match self.api {
            Api::AnthropicMessages => format!(
                "{{\"role\":\"assistant\",\"content\":[{{\"type\":\"text\",\"text\":{said}}},{{\"type\":\"tool_use\",\"id\":\"toolu_{number:020}\",\"name\":\"read_0\",\"input\":{{\"path\":\"src/lib.rs\",\"limit\":200}}}}]}},\
                 {{\"role\":\"user\",\"content\":[{{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_{number:020}\",\"content\":[{{\"type\":\"text\",\"text\":{result}}}]}}]}}"
            ),
            Api::OpenaiChat => format!(
                "{{\"role\":\"assistant\",\"content\":{said},\"tool_calls\":[{{\"id\":\"call_{number:020}\",\"type\":\"function\",\"function\":{{\"name\":\"read_0\",\"arguments\":\"{{\\\"path\\\":\\\"src/lib.rs\\\"}}\"}}}}]}},\
                 {{\"role\":\"tool\",\"tool_call_id\":\"call_{number:020}\",\"content\":{result}}}"
            ),
            Api::OpenaiResponses => format!(
                "{{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{{\"type\":\"output_text\",\"text\":{said}}}]}},\
                 {{\"type\":\"function_call\",\"call_id\":\"call_{number:020}\",\"name\":\"read_0\",\"arguments\":\"{{\\\"path\\\":\\\"src/lib.rs\\\"}}\"}},\
                 {{\"type\":\"function_call_output\",\"call_id\":\"call_{number:020}\",\"output\":{result}}}"
            ),
            Api::GeminiGenerate => format!(
                "{{\"role\":\"model\",\"parts\":[{{\"text\":{said}}},{{\"functionCall\":{{\"name\":\"read_0\",\"args\":{{\"path\":\"src/lib.rs\"}}}}}}]}},\
                 {{\"role\":\"user\",\"parts\":[{{\"functionResponse\":{{\"name\":\"read_0\",\"response\":{{\"output\":{result}}}}}}}]}}"
            ),
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const APIS: [Api; 4] = [
        Api::AnthropicMessages,
        Api::OpenaiChat,
        Api::OpenaiResponses,
        Api::GeminiGenerate,
    ];

    #[test]
    fn bodies_are_json_of_the_size_asked_for_and_always_the_same() {
        for api in APIS {
            for bytes in [1_024, 50 * 1024, 500 * 1024] {
                for place in [ModelPlace::First, ModelPlace::Last] {
                    let body = Body {
                        api,
                        model: "m",
                        place,
                        stream: true,
                        bytes,
                    };
                    let made = body.make();
                    let parsed: serde_json::Value = serde_json::from_slice(&made).unwrap();
                    assert!(parsed.is_object());
                    assert!(
                        made.len().abs_diff(bytes) < bytes / 10 + 300,
                        "{api:?} {bytes} {}",
                        made.len()
                    );
                    assert_eq!(made, body.make());
                }
            }
        }
    }

    #[test]
    fn model_stands_where_it_should() {
        let body = |place| {
            Body {
                api: Api::AnthropicMessages,
                model: "m",
                place,
                stream: false,
                bytes: 1_024,
            }
            .make()
        };
        assert!(body(ModelPlace::First).starts_with(br#"{"model":"m","#));
        assert!(body(ModelPlace::Last).ends_with(br#","model":"m"}"#));
    }
}

//! What a provider answers: whole JSON and event streams of a stated number of events.

use crate::bodies::{Api, Dice, text};

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// One JSON document, in one write.
    Json,
    /// An event stream, each event in a write of its own with a pause after it.
    Flushed,
    /// An event stream in writes of 16 KB without a pause.
    Coalesced,
}

impl Delivery {
    /// Name on the wire and in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Flushed => "sse-flushed",
            Self::Coalesced => "sse-16k",
        }
    }

    /// Returns the delivery with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Json, Self::Flushed, Self::Coalesced]
            .into_iter()
            .find(|delivery| delivery.name() == name)
    }
}

/// Request header that tells the provider of the harness how to answer.
pub const DELIVERY_HEADER: &str = "x-bench-answer";

/// Returns a whole answer of about 1 KB.
pub fn whole(api: Api) -> String {
    let said = serde_json::Value::from(text(&mut Dice::new(7), 700)).to_string();
    match api {
        Api::AnthropicMessages => format!(
            "{{\"id\":\"msg_01XFDUDYJgAACzvnptvVoYEL\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5\",\"content\":[{{\"type\":\"text\",\"text\":{said}}}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{{\"input_tokens\":12,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":4096,\"output_tokens\":178}}}}"
        ),
        Api::OpenaiChat | Api::OpenaiResponses => format!(
            "{{\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion\",\"created\":1741569952,\"model\":\"gpt-5\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{said}}},\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":19,\"completion_tokens\":178,\"total_tokens\":197,\"prompt_tokens_details\":{{\"cached_tokens\":4}},\"completion_tokens_details\":{{\"reasoning_tokens\":8}}}}}}"
        ),
        Api::GeminiGenerate => format!(
            "{{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":{said}}}],\"role\":\"model\"}},\"finishReason\":\"STOP\",\"index\":0}}],\"usageMetadata\":{{\"promptTokenCount\":12,\"candidatesTokenCount\":178,\"totalTokenCount\":190}}}}"
        ),
    }
}

/// Returns an answer as a stream of exactly `count` events; the usage event of OpenAI's chat comes on top.
pub fn events(api: Api, count: usize, include_usage: bool) -> Vec<String> {
    let mut dice = Dice::new(11);
    let frame = match api {
        Api::AnthropicMessages => 5,
        Api::OpenaiChat | Api::OpenaiResponses => 3,
        Api::GeminiGenerate => 1,
    };
    let pieces: Vec<String> = (0..count.saturating_sub(frame))
        .map(|_| {
            let length = 8 + dice.below(24);
            serde_json::Value::from(text(&mut dice, length)).to_string()
        })
        .collect();
    match api {
        Api::AnthropicMessages => anthropic(&pieces),
        Api::OpenaiChat | Api::OpenaiResponses => openai(&pieces, include_usage),
        Api::GeminiGenerate => gemini(&pieces),
    }
}

fn anthropic(pieces: &[String]) -> Vec<String> {
    let mut events = vec![
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01XFDUDYJgAACzvnptvVoYEL\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":12,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":4096,\"output_tokens\":1}}}\n\n".to_owned(),
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n".to_owned(),
    ];
    events.extend(pieces.iter().map(|piece| {
        format!("event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":{piece}}}}}\n\n")
    }));
    events.push(
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
            .to_owned(),
    );
    events.push("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":4242}}\n\n".to_owned());
    events.push("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".to_owned());
    events
}

fn openai(pieces: &[String], include_usage: bool) -> Vec<String> {
    let chunk = |choices: &str, more: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion.chunk\",\"created\":1741569952,\"model\":\"gpt-5\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":{choices}{more}}}\n\n"
        )
    };
    let usage = if include_usage { ",\"usage\":null" } else { "" };
    let mut events = vec![chunk(
        "[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"finish_reason\":null}]",
        usage,
    )];
    events.extend(pieces.iter().map(|piece| {
        chunk(
            &format!("[{{\"index\":0,\"delta\":{{\"content\":{piece}}},\"finish_reason\":null}}]"),
            usage,
        )
    }));
    events.push(chunk(
        "[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]",
        usage,
    ));
    if include_usage {
        events.push(chunk("[]", ",\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":4242,\"total_tokens\":4261,\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens_details\":{\"reasoning_tokens\":8}}"));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn gemini(pieces: &[String]) -> Vec<String> {
    let mut events: Vec<String> = pieces
        .iter()
        .map(|piece| {
            format!("data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":{piece}}}],\"role\":\"model\"}},\"index\":0}}],\"usageMetadata\":{{\"promptTokenCount\":12,\"candidatesTokenCount\":3,\"totalTokenCount\":15}},\"modelVersion\":\"gemini-2.5-pro\"}}\r\n\r\n")
        })
        .collect();
    events.push("data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":12,\"candidatesTokenCount\":4242,\"totalTokenCount\":4254},\"modelVersion\":\"gemini-2.5-pro\"}\r\n\r\n".to_owned());
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_the_number_of_events_asked_for() {
        for api in [Api::AnthropicMessages, Api::OpenaiChat, Api::GeminiGenerate] {
            assert_eq!(events(api, 1_000, false).len(), 1_000);
        }
        assert_eq!(events(Api::OpenaiChat, 1_000, true).len(), 1_001);
    }
}

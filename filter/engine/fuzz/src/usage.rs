//! Usage readers of the three dialects: nothing depends on chunks, and every figure stays within its whole.

use dialects::response::{Framing, UsageReader};
use policy::surface::Surface;

use super::chunks;

fn read(surface: Surface, framing: Framing, pieces: &[&[u8]]) -> String {
    let mut reader = UsageReader::new(surface, framing);
    for piece in pieces {
        reader.push(piece);
    }
    reader.finish();
    if let Some(usage) = reader.usage() {
        assert!(
            usage.reasoning_tokens <= usage.output_tokens,
            "more reasoning than output"
        );
    }
    let sent: usize = pieces.iter().map(|piece| piece.len()).sum();
    assert!(
        reader.visible_output_bytes() <= sent as u64,
        "more output than bytes"
    );
    format!(
        "{:?} {} {} {} {} {:?} {:?}",
        reader.usage(),
        reader.visible_output_bytes(),
        reader.terminal_seen(),
        reader.error_seen(),
        reader.irregular_events(),
        reader.model(),
        reader.response_id()
    )
}

fn run(surface: Surface, input: &[u8]) {
    let Some((choice, input)) = chunks::split(input) else {
        return;
    };
    let Some((cutting, body)) = chunks::split(input) else {
        return;
    };
    let framing = match choice % 3 {
        0 => Framing::Sse,
        1 => Framing::Json,
        _ => Framing::JsonArray,
    };
    assert_eq!(
        read(surface, framing, &[body]),
        read(surface, framing, &chunks::cut(cutting, body)),
        "usage depends on chunks"
    );
}

/// Runs one answer of Anthropic's messages: the first byte chooses the framing, the second how to cut.
pub fn anthropic(input: &[u8]) {
    run(Surface::AnthropicMessages, input);
}

/// Runs one answer of OpenAI's chat.
pub fn openai_chat(input: &[u8]) {
    run(Surface::OpenaiChat, input);
}

/// Runs one answer of OpenAI's responses.
pub fn openai_responses(input: &[u8]) {
    run(Surface::OpenaiResponses, input);
}

/// Runs one answer of Gemini.
pub fn gemini(input: &[u8]) {
    run(Surface::GeminiGenerate, input);
}

//! Answers of the Gemini API.

use serde_json::{Value, json};

use super::answer::Answer;
use crate::tokens::Tokens;

/// A whole answer of `generateContent`.
pub fn generate(model: &str, text: &str, tokens: Tokens) -> Value {
    let mut answer = part(model, text, tokens);
    answer["candidates"][0]["finishReason"] = json!("STOP");
    answer
}

/// The parts of a streamed answer, one a word; usage grows, the last is right.
pub fn parts(model: &str, text: &str, tokens: Tokens) -> Vec<Value> {
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    let mut parts: Vec<Value> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let mut so_far = tokens;
        if index + 1 < words.len() {
            so_far.output = so_far.reasoning + 1;
        }
        parts.push(part(model, word, so_far));
    }
    if let Some(last) = parts.last_mut() {
        last["candidates"][0]["finishReason"] = json!("STOP");
    }
    parts
}

/// A stream asked for with `alt=sse`.
pub fn stream(model: &str, text: &str, tokens: Tokens) -> Vec<String> {
    parts(model, text, tokens)
        .iter()
        .map(|part| format!("data: {part}\r\n\r\n"))
        .collect()
}

/// A stream asked for without `alt=sse`: one JSON array, an element a write.
pub fn array(model: &str, text: &str, tokens: Tokens) -> Vec<String> {
    let parts = parts(model, text, tokens);
    let mut writes: Vec<String> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let before = if index == 0 { "[" } else { ",\r\n" };
        writes.push(format!(
            "{before}{}",
            serde_json::to_string_pretty(part).unwrap_or_default()
        ));
    }
    writes.push("\n]\n".to_owned());
    writes
}

/// An error body.
pub fn error(code: u16, status: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "status": status}})
}

/// The answer of `countTokens`.
pub fn count(tokens: u64) -> Answer {
    Answer::json(200, &json!({"totalTokens": tokens}))
}

/// The answer of `embedContent`, which says nothing about usage.
pub fn embed() -> Answer {
    Answer::json(200, &json!({"embedding": {"values": [0.25, -0.5, 0.125]}}))
}

/// The answer of `models`.
pub fn models(ids: &[&str]) -> Answer {
    let models: Vec<Value> = ids
        .iter()
        .map(|id| json!({"name": format!("models/{id}"), "displayName": id, "version": "001"}))
        .collect();
    Answer::json(200, &json!({"models": models}))
}

fn part(model: &str, text: &str, tokens: Tokens) -> Value {
    let prompt = tokens.input + tokens.cache_read;
    let mut usage = json!({
        "promptTokenCount": prompt,
        "candidatesTokenCount": tokens.output - tokens.reasoning,
        "totalTokenCount": prompt + tokens.output,
    });
    if tokens.cache_read > 0 {
        usage["cachedContentTokenCount"] = json!(tokens.cache_read);
    }
    if tokens.reasoning > 0 {
        usage["thoughtsTokenCount"] = json!(tokens.reasoning);
    }
    json!({
        "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}],
        "usageMetadata": usage,
        "modelVersion": model,
        "responseId": "scripted",
    })
}

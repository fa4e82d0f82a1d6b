//! Scripts that make the real coding agents do a task of several turns: write a file, then say so.

use serde_json::{Value, json};

use super::answer::Answer;
use super::{Seen, anthropic, openai};
use crate::tokens::Tokens;

/// What the agent is made to do.
#[derive(Clone, Debug)]
pub struct Task {
    /// Absolute path of the file to be written by a tool call.
    pub file: String,
    /// What the file is to hold.
    pub content: String,
    /// What the agent says at the end.
    pub farewell: String,
}

/// What turns of a task report as used.
pub const TOOL_TURN: Tokens = Tokens {
    input: 1200,
    cache_read: 300,
    cache_write_5m: 0,
    cache_write_1h: 0,
    output: 45,
    reasoning: 0,
    web_searches: 0,
};

/// What the last turn of a task reports as used.
pub const LAST_TURN: Tokens = Tokens {
    input: 90,
    cache_read: 1500,
    cache_write_5m: 0,
    cache_write_1h: 0,
    output: 12,
    reasoning: 0,
    web_searches: 0,
};

/// Answers Claude Code: a `Write` or `Bash` call first, the farewell once a tool result is in the history.
pub fn claude_code(task: &Task, seen: &Seen) -> Answer {
    if seen.method == "HEAD" || seen.path() == "/api/hello" {
        return Answer::empty(200);
    }
    if seen.path().ends_with("/count_tokens") {
        return anthropic::count(1234);
    }
    if !seen.path().ends_with("/v1/messages") {
        return Answer::json(404, &anthropic::error("not_found_error", "not scripted"));
    }
    let request = seen.json();
    let model = request["model"].as_str().unwrap_or_default();
    let Some((tool, arguments)) = claude_tool(task, &request) else {
        return claude_says(&request, "Scripted aside.", LAST_TURN);
    };
    if seen.mentions("\"tool_result\"") {
        return claude_says(&request, &task.farewell, LAST_TURN);
    }
    Answer::sse(anthropic::tool_stream(
        model, &tool, &arguments, 9, TOOL_TURN,
    ))
}

fn claude_says(request: &Value, text: &str, tokens: Tokens) -> Answer {
    let model = request["model"].as_str().unwrap_or_default();
    if request["stream"] == json!(true) {
        Answer::sse(anthropic::stream(model, text, tokens))
    } else {
        Answer::json(200, &anthropic::message(model, text, tokens))
    }
}

fn claude_tool(task: &Task, request: &Value) -> Option<(String, Value)> {
    let tools = tool_names(request);
    if tools.iter().any(|tool| tool == "Write") {
        return Some((
            "Write".to_owned(),
            json!({"file_path": task.file, "content": task.content}),
        ));
    }
    let command = shell_line(task);
    tools
        .iter()
        .any(|tool| tool == "Bash")
        .then(|| ("Bash".to_owned(), json!({"command": command})))
}

/// Answers Codex: a shell call by whatever tool it offers, the farewell once its output is in the input.
pub fn codex(task: &Task, seen: &Seen) -> Answer {
    if seen.path().ends_with("/models") {
        return openai::models(&["gpt-5"]);
    }
    if seen.method == "GET" {
        return Answer::json(
            426,
            &openai::error("no WebSocket here", "invalid_request_error", None),
        );
    }
    if !seen.path().ends_with("/responses") {
        return Answer::json(
            404,
            &openai::error("not scripted", "invalid_request_error", None),
        );
    }
    let request = seen.json();
    let model = request["model"].as_str().unwrap_or_default();
    let done = |item: &Value| {
        item["type"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("_call_output"))
    };
    if request["input"]
        .as_array()
        .is_some_and(|items| items.iter().any(done))
    {
        return Answer::sse(openai::response_stream(model, &task.farewell, LAST_TURN));
    }
    match codex_call(task, &request) {
        Some(item) => Answer::sse(openai::item_stream(model, &item, TOOL_TURN)),
        None => Answer::sse(openai::response_stream(model, "Scripted aside.", LAST_TURN)),
    }
}

fn codex_call(task: &Task, request: &Value) -> Option<Value> {
    let line = shell_line(task);
    let known: [(&str, Value); 4] = [
        ("exec_command", json!({"cmd": line})),
        ("shell_command", json!({"command": line})),
        ("shell", json!({"command": ["bash", "-lc", line]})),
        ("local_shell", json!({"command": ["bash", "-lc", line]})),
    ];
    let tools = tool_names(request);
    let (name, arguments) = known
        .into_iter()
        .find(|(name, _)| tools.iter().any(|tool| tool == name))?;
    Some(json!({
        "type": "function_call", "id": "fc_scripted", "call_id": "call_scripted", "status": "completed",
        "name": name, "arguments": arguments.to_string(),
    }))
}

fn shell_line(task: &Task) -> String {
    format!("printf %s '{}' > '{}'", task.content, task.file)
}

fn tool_names(request: &Value) -> Vec<String> {
    let tools = request["tools"].as_array().cloned().unwrap_or_default();
    tools
        .iter()
        .filter_map(|tool| tool["name"].as_str().or(tool["type"].as_str()))
        .map(str::to_owned)
        .collect()
}

//! The real Claude Code in a folder that holds a key: what the provider sees, what stands on the disk, and what the
//! person is told.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use weir_tests::agents::{Desk, Endpoint};
use weir_tests::mesh::tenant::{self, Dialect, Registration, Tenant};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, Seen, anthropic};
use weir_tests::tokens::Tokens;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

const MODEL: &str = "claude-sonnet-4-5";

/// Nobody's: the form is Amazon's, the letters are from nowhere.
const KEY: &str = "AKIAZ5QW3NXDT7VKJ2LB";

const TURNS: usize = 10;

const USED: Tokens = Tokens {
    input: 100,
    cache_read: 0,
    cache_write_5m: 0,
    cache_write_1h: 0,
    output: 10,
    reasoning: 0,
    web_searches: 0,
};

/// A provider that makes the agent read the file, copy what it read to another, and work on for ten turns.
fn provider(desk: &Desk) -> MockProvider {
    let work = desk.work();
    MockProvider::start(move |seen: &Seen, _| {
        if seen.path().ends_with("/count_tokens") {
            return anthropic::count(100);
        }
        let request = seen.json();
        if !seen.path().ends_with("/v1/messages")
            || request["tools"].as_array().is_none_or(Vec::is_empty)
        {
            return says(&request, "Scripted aside.");
        }
        let results = request["messages"]
            .to_string()
            .matches("\"tool_result\"")
            .count();
        let (tool, arguments) = match results {
            0 => (
                "Bash",
                json!({"command": format!("cat '{}'", work.join("deploy.env").display())}),
            ),
            1 => {
                let value = value_read(&request).unwrap_or_else(|| "nothing".to_owned());
                let content = format!("key = \"{value}\"\n");
                (
                    "Write",
                    json!({"file_path": work.join("copy.toml"), "content": content}),
                )
            }
            turn if turn < TURNS => ("Bash", json!({"command": format!("echo step {turn}")})),
            _ => return says(&request, "All done."),
        };
        // Each call and message has a name of its own, as at the real provider.
        let events = anthropic::tool_stream(MODEL, tool, &arguments, 7, USED).into_iter();
        Answer::sse(
            events.map(|event| event.replace("_01Scripted", &format!("_{results:02}Scripted"))),
        )
    })
}

fn says(request: &Value, text: &str) -> Answer {
    if request["stream"] == json!(true) {
        Answer::sse(anthropic::stream(MODEL, text, USED))
    } else {
        Answer::json(200, &anthropic::message(MODEL, text, USED))
    }
}

/// What stands behind `AWS_KEY=` in what the agent read, as the provider sees it.
fn value_read(request: &Value) -> Option<String> {
    let text = request["messages"].to_string();
    let (_, rest) = text.split_once("AWS_KEY=")?;
    let end =
        rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || "[]:-_".contains(letter)))?;
    rest.get(..end).map(str::to_owned)
}

struct Case {
    desk: Desk,
    provider: Arc<MockProvider>,
    tenant: Tenant,
}

impl Case {
    fn new(action: &Value) -> Self {
        let desk = Desk::new();
        std::fs::write(
            desk.work().join("deploy.env"),
            format!("REGION=eu-west-1\nAWS_KEY={KEY}\n"),
        )
        .unwrap();
        let provider = Arc::new(provider(&desk));
        let tenant = MESH.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
        let body = json!({
            "name": tenant::unique("secrets"),
            "scope": {"keys": [tenant.key_id]},
            "stages": [{"detectors": [{"secrets": {}}], "action": action}],
        });
        MESH.change(|admin| admin.post("/guardrails", &body));
        Self {
            desk,
            provider,
            tenant,
        }
    }

    fn run(&self, prompt: &str, more: &[&str]) -> weir_tests::process::Finished {
        let endpoint = Endpoint {
            base: MESH.url(),
            key: Some(self.tenant.key.clone()),
            model: MODEL.to_owned(),
        };
        self.desk.claude_code_with(&endpoint, prompt, more)
    }

    /// The turns of the conversation as the provider got them.
    fn turns(&self) -> Vec<Value> {
        let seen = self.provider.seen().into_iter();
        seen.filter(|seen| seen.path().ends_with("/v1/messages"))
            .map(|seen| seen.json())
            .filter(|request| {
                request["tools"]
                    .as_array()
                    .is_some_and(|tools| !tools.is_empty())
            })
            .collect()
    }

    fn copy(&self) -> String {
        std::fs::read_to_string(self.desk.work().join("copy.toml")).unwrap_or_default()
    }

    #[track_caller]
    fn provider_never_saw_the_key(&self) {
        for seen in self.provider.seen() {
            assert!(!seen.mentions(KEY), "the key reached the provider");
        }
    }
}

/// Without the cache markers, which the agent itself moves from turn to turn.
fn without_markers(mut value: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.remove("cache_control");
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    strip(&mut value);
    value
}

#[track_caller]
fn every_turn_begins_as_the_one_before(turns: &[Value]) {
    for pair in turns.windows(2) {
        let before = without_markers(pair[0]["messages"].clone());
        let after = without_markers(pair[1]["messages"].clone());
        let (before, after) = (before.as_array().unwrap(), after.as_array().unwrap());
        assert!(after.len() > before.len());
        for (one, other) in before.iter().zip(after) {
            assert_eq!(one, other, "the conversation so far changed");
        }
    }
}

#[test]
fn a_tokenised_key_is_whole_on_the_disk_and_unknown_to_the_provider() {
    let case = Case::new(&json!("tokenise"));
    let run = case.run("Copy the key to copy.toml.", &[]);
    assert!(run.succeeded(), "{run:#?}\n{}", MESH.logs());
    assert!(run.text().contains("All done."), "{run:#?}");
    case.provider_never_saw_the_key();
    assert_eq!(case.copy(), format!("key = \"{KEY}\"\n"));
    let turns = case.turns();
    assert!(turns.len() >= TURNS, "{} turns", turns.len());
    every_turn_begins_as_the_one_before(&turns);
}

#[test]
fn a_redacted_key_is_gone_and_the_agent_goes_on() {
    let case = Case::new(&json!({"redact": {"replace": {}}}));
    let run = case.run("Copy the key to copy.toml.", &[]);
    assert!(run.succeeded(), "{run:#?}\n{}", MESH.logs());
    case.provider_never_saw_the_key();
    assert!(case.copy().contains("REDACTED"), "{}", case.copy());
    every_turn_begins_as_the_one_before(&case.turns());
}

#[test]
fn a_blocked_key_is_explained_once_and_the_session_goes_on() {
    let case = Case::new(&json!("block"));
    let run = case.run("Copy the key to copy.toml.", &[]);
    let text = format!("{run:?}");
    assert!(
        text.contains("Guardrail `secrets"),
        "{run:#?}\n{}",
        MESH.logs()
    );
    assert!(!text.contains(KEY), "the message repeats the key");
    case.provider_never_saw_the_key();
    let refused = case.turns().len();
    assert_eq!(
        refused, 1,
        "only the turn before the key reached the provider"
    );

    let run = case.run("Then go on without it.", &["--continue"]);
    assert!(
        run.succeeded(),
        "{run:#?}\n{:#?}",
        MESH.records(&case.tenant.key_id)
    );
    assert!(run.text().contains("All done."), "{run:#?}");
    case.provider_never_saw_the_key();
    assert!(case.turns().len() > refused);
}

//! The real agents against the scripted provider, no mesh between: what the other tests stand on.
//!
//! When one of these fails, a client has changed or a script is wrong, and Weir is not to blame.

use weir_tests::agents::{Desk, Endpoint};
use weir_tests::provider::{MockProvider, agents};

fn endpoint(provider: &MockProvider, model: &str) -> Endpoint {
    Endpoint {
        base: provider.url(""),
        key: Some("sk-scripted".to_owned()),
        model: model.to_owned(),
    }
}

#[test]
fn agents_direct_claude_code_writes_a_file() {
    let desk = Desk::new();
    let task = desk.task();
    let scripted = task.clone();
    let provider = MockProvider::start(move |seen, _| agents::claude_code(&scripted, seen));
    let run = desk.claude_code(&endpoint(&provider, "claude-sonnet-4-5"), "Write the note.");
    assert!(run.succeeded(), "{run:#?}\n{:#?}", provider.seen());
    assert_eq!(
        desk.written(&task).as_deref(),
        Some(task.content.as_str()),
        "{run:#?}"
    );
    assert!(run.stdout.contains(&task.farewell), "{run:#?}");
}

#[test]
fn agents_direct_codex_writes_a_file() {
    let desk = Desk::new();
    let task = desk.task();
    let scripted = task.clone();
    let provider = MockProvider::start(move |seen, _| agents::codex(&scripted, seen));
    let run = desk.codex(&endpoint(&provider, "gpt-5"), "Write the note.");
    assert!(run.succeeded(), "{run:#?}\n{:#?}", provider.seen());
    assert_eq!(
        desk.written(&task).as_deref(),
        Some(task.content.as_str()),
        "{run:#?}"
    );
    assert!(run.text().contains(&task.farewell), "{run:#?}");
}

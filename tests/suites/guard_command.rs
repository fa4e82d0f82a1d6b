//! `weir guardrails` and `weir check --explain`, as an administrator uses them beside a running mesh.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::json;
use weir_tests::client::Request;
use weir_tests::up::{Home, Up};
use weir_tests::{parts, wait};

const CARD: &str = "4111 1111 1111 1111";
/// A change is in force everywhere within a second, and a test machine may be busy.
const SOON: Duration = Duration::from_secs(10);

fn says(up: &Up, text: &str) -> Request {
    let body = json!({"model": "demo-claude", "max_tokens": 20, "messages": [{"role": "user", "content": text}]});
    Request::post("/v1/messages", &body).bearer(&up.key)
}

#[track_caller]
fn weir(arguments: &[&str]) -> Output {
    let output = Command::new(parts::weir()).args(arguments).output();
    output.expect("weir starts")
}

#[track_caller]
fn guardrails(data: &Path, arguments: &[&str]) -> String {
    let folder = data.to_str().expect("a path in UTF-8");
    let mut all = vec!["guardrails", "--data", folder];
    all.extend(arguments);
    let output = weir(&all);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Waits until a text with a card number is answered with `status`.
#[track_caller]
fn wait_for_status(up: &Up, status: u16) -> String {
    wait::until_for("the guardrail to be in force", SOON, || {
        let answered = up.send(&says(up, &format!("my card is {CARD}")));
        (answered.status == status).then(|| answered.text())
    })
}

#[test]
fn a_preset_is_switched_on_and_off_beside_a_running_mesh() {
    let home = Home::new();
    let up = home.start(&[]);
    let data = home.data();
    wait_for_status(&up, 200);
    let said = guardrails(&data, &["enable", "pii", "--action", "block"]);
    assert!(
        said.starts_with("`pii` (medium): looks for personal data"),
        "{said}"
    );
    let refusal = wait_for_status(&up, 400);
    assert!(refusal.contains("pii"), "{refusal}");
    assert!(!refusal.contains(CARD), "{refusal}");
    assert_eq!(up.send(&says(&up, "no number here")).status, 200);
    assert_eq!(guardrails(&data, &["list"]), said);
    let said = guardrails(&data, &["disable", "pii"]);
    assert!(said.contains("switched off"), "{said}");
    wait_for_status(&up, 200);
    assert!(up.interrupt().success());
}

#[test]
fn a_wrong_name_is_told_with_the_known_ones() {
    let home = Home::new();
    let up = home.start(&[]);
    let folder = home.data();
    let folder = folder.to_str().expect("a path in UTF-8");
    let output = weir(&["guardrails", "--data", folder, "enable", "secret"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("there is no guardrail `secret`; known are `pii`, `secrets`"),
        "{said}"
    );
    assert!(up.interrupt().success());
}

#[test]
fn a_policy_file_explains_its_guardrails() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("policy.json");
    let policy = json!({
        "guardrails": [{"preset": "secrets"}, {"name": "words", "stages": [
            {"detectors": [{"words": {"list": "names"}}], "action": "block"}
        ]}],
        "word_lists": [{"name": "names", "path": "names.txt"}],
    });
    std::fs::write(&file, policy.to_string()).expect("a policy file");
    std::fs::write(folder.path().join("names.txt"), "nightjar\n").expect("a word list");
    let path = file.to_str().expect("a path in UTF-8");
    let output = weir(&["check", path, "--explain"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(
        said.contains("1. `secrets` (high): looks for secrets"),
        "{said}"
    );
    assert!(
        said.contains("2. `words` (high): looks for the words of the list `names`"),
        "{said}"
    );
}

//! `weir up` as a new user meets it: what it prints works, Ctrl-C ends it all, the next start finds its data.

use serde_json::json;
use weir_tests::agents::Desk;
use weir_tests::client::Request;
use weir_tests::mesh::any_file_mentions;
use weir_tests::up::{Home, Up, runs};
use weir_tests::wait;

fn hello(up: &Up) -> Request {
    let body = json!({"model": "demo-claude", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]});
    Request::post("/v1/messages", &body).bearer(&up.key)
}

#[test]
fn a_first_start_prints_what_works() {
    let home = Home::new();
    let up = home.start(&[]);
    assert_eq!(up.labelled("Base URL"), Some(format!("http://{}", up.mesh)));
    assert_eq!(up.labelled("Virtual key"), Some(up.key.clone()));
    assert!(up.key.starts_with("sk-weir-"));
    let token = up.admin_token().expect("an admin token");

    let curl = Desk::new().shell(&format!(
        "curl -sS --fail-with-body --noproxy '*' {}",
        &up.curl()["curl ".len()..]
    ));
    assert!(curl.succeeded(), "{curl:#?}\n{}", up.greeting);
    let answer: serde_json::Value = serde_json::from_str(&curl.stdout).unwrap();
    assert_eq!(
        (&answer["type"], &answer["role"]),
        (&json!("message"), &json!("assistant")),
        "{answer}"
    );

    let recorded = wait::until("the exchange to be recorded", || {
        let items = up.admin(&token).get("/exchanges?ended=complete")["items"].clone();
        items.as_array().filter(|items| !items.is_empty()).cloned()
    });
    assert_eq!(recorded.len(), 1, "canaries leave no record: {recorded:#?}");
    assert_eq!(
        recorded[0]["usage"]["output_tokens"],
        answer["usage"]["output_tokens"]
    );
    assert!(up.interrupt().success());
}

#[test]
fn a_second_start_finds_its_data() {
    let home = Home::new();
    let first = home.start(&[]);
    let (key, token) = (first.key.clone(), first.admin_token().unwrap());
    assert_eq!(first.send(&hello(&first)).status, 200);
    let children = first.children();
    assert!(!children.is_empty());
    assert!(first.interrupt().success());
    assert!(
        children.iter().all(|pid| !runs(*pid)),
        "Ctrl-C left a process"
    );

    let second = home.start(&[]);
    assert_eq!(second.key, key);
    assert_eq!(second.admin_token(), None, "the token is shown once");
    let items = second.admin(&token).get("/exchanges")["items"].clone();
    assert_eq!(items.as_array().map(Vec::len), Some(1), "{items:#}");
    assert_eq!(second.send(&hello(&second)).status, 200);
    assert_eq!(
        any_file_mentions(&home.data(), &token),
        None,
        "the admin token is kept in the clear"
    );
    assert!(second.interrupt().success());
}

#[test]
fn nothing_outlives_a_mesh_that_was_killed() {
    let home = Home::new();
    let up = home.start(&[]);
    let children = up.children();
    assert!(!children.is_empty());
    up.kill();
    wait::until("Envoy to end", || {
        children.iter().all(|pid| !runs(*pid)).then_some(())
    });
    let again = home.start(&[]);
    assert_eq!(again.send(&hello(&again)).status, 200);
}

#[test]
fn providers_come_from_the_environment() {
    let home = Home::new();
    let secret = "sk-ant-from-the-environment";
    let up = home.start(&[
        ("ANTHROPIC_API_KEY", secret),
        ("OPENAI_API_KEY", "sk-open"),
        ("GEMINI_API_KEY", "g-key"),
    ]);
    let admin = up.admin(&up.admin_token().unwrap());
    let providers = admin.get("/providers");
    assert!(!providers.to_string().contains(secret), "{providers}");
    let mut dialects: Vec<_> = providers["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["dialect"].clone())
        .collect();
    dialects.sort_by_key(ToString::to_string);
    assert_eq!(
        dialects,
        [json!("anthropic"), json!("gemini"), json!("openai")]
    );
    assert_eq!(
        any_file_mentions(&home.data(), secret),
        None,
        "a provider's credential is kept in the clear"
    );
    let listed = up.send(
        &Request::get("/v1/models")
            .bearer(&up.key)
            .field("anthropic-version", "2023-06-01"),
    );
    assert!(listed.text().contains("claude"), "{}", listed.text());
    assert!(up.interrupt().success());
}

/// Runs each agent by `weir run` and by the line that was printed for it.
#[test]
fn agents_work_with_what_a_first_start_prints() {
    let home = Home::new();
    let up = home.start(&[]);
    let run = format!("weir run --data '{}'", home.data().display());
    let claude = "-p 'Say hello' --output-format json";
    let codex = "exec --skip-git-repo-check --disable plugins --dangerously-bypass-approvals-and-sandbox 'Say hello'";
    let lines = [
        (format!("{run} claude -- {claude}"), "claude"),
        (format!("{run} codex -- {codex}"), "codex"),
        (
            format!("{} {claude}", up.labelled("Claude Code").unwrap()),
            "claude",
        ),
        (
            format!("{} {codex}", up.labelled("Codex").unwrap()),
            "codex",
        ),
    ];
    for (line, agent) in lines {
        let desk = Desk::new();
        let run = desk.shell(&line);
        assert!(run.succeeded(), "{line}\n{run:#?}");
        assert!(
            run.text().to_lowercase().contains("demo"),
            "{agent} does not show the demo's answer: {run:#?}"
        );
        let settings = desk.home_files().into_iter().find(|(path, _)| {
            path.ends_with(".claude/settings.json") || path.ends_with(".codex/config.toml")
        });
        assert_eq!(settings, None, "{agent} was configured by a file");
    }
    assert!(up.interrupt().success());
}

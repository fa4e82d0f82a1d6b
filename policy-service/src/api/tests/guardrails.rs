//! Guardrails, rule files and word lists.

use super::*;

const SHOP: &str =
    "[[rules]]\nid = \"shop-token\"\nregex = '''shop_([a-z0-9]{16})'''\nkeywords = [\"shop_\"]\n";

fn regex(name: &str, pattern: &str) -> Value {
    let detector = json!({"regex": {"id": "ours", "pattern": pattern}});
    json!({"name": name, "stages": [{"detectors": [detector], "action": "block"}]})
}

#[tokio::test]
async fn a_guardrail_is_made_changed_and_deleted() {
    let service = Service::start().await;
    let id = service
        .add("/api/v1/guardrails", json!({"preset": "pii"}))
        .await;
    let path = format!("/api/v1/guardrails/{id}");
    let shown = service.get(&path).await.ok();
    assert_eq!(shown["name"], "pii");
    assert_eq!(
        shown["stages"][0]["detectors"][0],
        json!({"pii": {"entities": []}})
    );
    assert!(
        shown["sentence"]
            .as_str()
            .unwrap()
            .starts_with("`pii` (medium): looks for personal data")
    );
    let changed = service
        .patch(&path, json!({"action": "block", "direction": "request"}))
        .await
        .ok();
    assert_eq!(changed["stages"][0]["action"], "block");
    let again = json!({"action": "block", "direction": "request"});
    service.patch(&path, again).await.ok();
    let list = service.get("/api/v1/guardrails?name=pii").await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let stored = service.store.documents().await.unwrap();
    assert_eq!(stored.guardrails.len(), 1);
    service.delete(&path).await.ok();
    service.get(&path).await.refused(404, "guardrail_not_found");
    assert_eq!(
        service.actions().await[..3],
        ["guardrail.delete", "guardrail.update", "guardrail.create"]
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_guardrail_is_told_with_its_place() {
    let service = Service::start().await;
    for (body, paths) in [
        (json!({}), &["name", "stages"][..]),
        (json!({"preset": "pi"}), &["preset"]),
        (regex("g", "("), &["stages[0].detectors[0].regex.pattern"]),
        (regex("g", "a\\bb"), &["stages[0].detectors[0]"]),
        (regex("G g", "a"), &["name"]),
        (
            json!({"preset": "pii", "scope": {"keys": ["0198c0de-0000-7000-8000-000000000000"], "providers": ["x"]}}),
            &["scope.keys[0]", "scope.providers[0]"],
        ),
        (
            json!({"preset": "pii", "direction": "response", "action": "tokenise"}),
            &["stages[0].action"],
        ),
        (
            json!({"name": "g", "stages": [{"detectors": [{"rule_file": {"name": "shop"}}], "action": "block"}]}),
            &["stages[0].detectors[0].rule_file.name"],
        ),
    ] {
        let answer = service.post("/api/v1/guardrails", body).await;
        answer.refused(400, "invalid_fields");
        assert_eq!(answer.paths(), paths, "{:#}", answer.body);
    }
    service
        .post("/api/v1/guardrails", regex("g", "a"))
        .await
        .ok();
    service
        .post("/api/v1/guardrails", regex("g", "b"))
        .await
        .refused(409, "name_taken");
    assert_eq!(service.actions().await[0], "guardrail.create");
}

#[tokio::test]
async fn a_rule_file_shows_its_rules_and_stays_while_it_is_named() {
    let service = Service::start().await;
    let body = json!({"name": "shop", "source": SHOP});
    let made = service.post("/api/v1/rule-files", body).await.ok();
    assert_eq!(made["rules"], json!(["shop-token"]));
    let path = format!("/api/v1/rule-files/{}", made["id"].as_str().unwrap());
    let detector = json!({"rule_file": {"name": "shop"}});
    let guardrail =
        json!({"name": "g", "stages": [{"detectors": [detector], "action": "observe"}]});
    service.post("/api/v1/guardrails", guardrail).await.ok();
    service.delete(&path).await.refused(409, "still_referenced");
    service
        .patch(&path, json!({"name": "other"}))
        .await
        .refused(409, "still_referenced");
    let broken = service
        .patch(&path, json!({"source": "[[rules]]\nid = \"x\"\n"}))
        .await;
    broken.refused(400, "invalid_fields");
    assert!(broken.paths().contains(&"source"), "{:#}", broken.body);
    let list = service.get("/api/v1/rule-files").await.ok();
    assert!(list["items"][0]["source"].is_null());
    assert_eq!(service.get(&path).await.ok()["source"], SHOP);
    let audit = service.get("/api/v1/audit-events").await.ok().to_string();
    assert!(!audit.contains("shop_"), "{audit}");
}

#[tokio::test]
async fn a_word_list_is_kept_as_it_was_given() {
    let service = Service::start().await;
    let words = json!(["Project Nightjar", "bluebird"]);
    let body = json!({"name": "names", "words": words});
    let id = service.add("/api/v1/word-lists", body).await;
    let path = format!("/api/v1/word-lists/{id}");
    assert_eq!(service.get(&path).await.ok()["words"], words);
    let list = service.get("/api/v1/word-lists").await.ok();
    assert_eq!(list["items"][0]["count"], 2);
    let answer = service.patch(&path, json!({"words": []})).await;
    answer.refused(400, "invalid_fields");
    assert_eq!(answer.paths(), ["words"]);
    service.delete(&path).await.ok();
    service.get(&path).await.refused(404, "word_list_not_found");
}

#[tokio::test]
async fn a_long_word_list_is_taken() {
    let service = Service::start().await;
    let words: Vec<String> = (0..100_000)
        .map(|number| format!("word number {number}"))
        .collect();
    let body = json!({"name": "long", "words": words});
    let made = service.post("/api/v1/word-lists", body).await.ok();
    assert_eq!(made["count"], 100_000);
}

#[tokio::test]
async fn what_a_guardrail_is_scoped_to_is_not_deleted() {
    let service = Service::start().await;
    let team = service.add("/api/v1/teams", named("core")).await;
    let body = json!({"preset": "pii", "scope": {"teams": [team]}});
    let made = service.post("/api/v1/guardrails", body).await.ok();
    assert!(made["sentence"].as_str().unwrap().contains("team `core`"));
    service
        .delete(&format!("/api/v1/teams/{team}"))
        .await
        .refused(409, "still_referenced");
}

fn chat(text: &str) -> Value {
    json!({"model": "gpt-5", "messages": [{"role": "user", "content": text}]})
}

async fn with_words(action: &str) -> Service {
    let service = Service::start().await;
    service.add_provider("openai").await;
    let words = json!({"name": "names", "words": ["nightjar"]});
    service.post("/api/v1/word-lists", words).await.ok();
    let stage = json!({"detectors": [{"words": {"list": "names"}}], "action": action});
    let body = json!({"name": "codenames", "stages": [stage]});
    service.post("/api/v1/guardrails", body).await.ok();
    service
}

#[tokio::test]
async fn a_dry_run_tells_findings_and_what_would_go_on() {
    let service = with_words("observe").await;
    let id = service.get("/api/v1/guardrails").await.ok()["items"][0]["id"].clone();
    let path = format!("/api/v1/guardrails/{}", id.as_str().unwrap());
    let redact = json!({"action": {"redact": {"replace": {"with": "[name]"}}}});
    service.patch(&path, redact).await.ok();
    let body =
        json!({"surface": "openai.chat", "body": chat("about Nightjar, in short").to_string()});
    let answer = service.post("/api/v1/guardrails/evaluate", body).await.ok();
    assert_eq!(answer["verdict"], "redacted");
    let want = chat("about [name], in short").to_string();
    assert_eq!(answer["body"], want);
    let guardrail = &answer["guardrails"][0];
    assert_eq!(guardrail["name"], "codenames");
    assert_eq!(guardrail["findings"][0]["rule"], "names");
    assert_eq!(guardrail["findings"][0]["kind"], "word");
    let place = json!({"path": "$.messages[0].content", "start": 6, "end": 14});
    assert_eq!(guardrail["findings"][0]["places"], json!([place]));
    let shown = guardrail.to_string();
    assert!(!shown.to_lowercase().contains("nightjar"), "{shown}");
}

#[tokio::test]
async fn a_dry_run_tells_what_a_refused_client_would_read() {
    let service = with_words("block").await;
    let body = json!({"surface": "openai.chat", "body": chat("about nightjar")});
    let answer = service.post("/api/v1/guardrails/evaluate", body).await.ok();
    assert_eq!(answer["verdict"], "blocked");
    assert!(answer["body"].is_null());
    assert!(
        answer["message"].as_str().unwrap().contains("codenames"),
        "{answer:#}"
    );
    let body = json!({"surface": "openai.chat", "body": chat("about a bird")});
    let answer = service.post("/api/v1/guardrails/evaluate", body).await.ok();
    assert_eq!(answer["verdict"], "scanned");
}

#[tokio::test]
async fn wrong_fields_of_a_dry_run_are_told() {
    let service = with_words("block").await;
    for (body, paths) in [
        (json!({}), &["surface", "body"][..]),
        (
            json!({"surface": "openai.chatt", "body": "{}"}),
            &["surface"],
        ),
        (
            json!({"surface": "openai.chat", "body": "{}", "key": "nobody"}),
            &["key"],
        ),
        (json!({"surface": "openai.chat", "body": "{"}), &["body"]),
    ] {
        let answer = service.post("/api/v1/guardrails/evaluate", body).await;
        answer.refused(400, "invalid_fields");
        assert_eq!(answer.paths(), paths, "{:#}", answer.body);
    }
}

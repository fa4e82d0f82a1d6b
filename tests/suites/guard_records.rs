//! What guardrails did is recorded with each exchange: where, by which rule, how often; never the value.

use serde_json::{Value, json};
use weir_tests::client::{Answered, Request};
use weir_tests::mesh::tenant::{Dialect, Registration, Tenant, id, unique};
use weir_tests::mesh::{Mesh, Options, any_file_mentions};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, anthropic};
use weir_tests::tokens::Tokens;

const VALUE: &str = "shop-493827165";

fn says(text: &str) -> MockProvider {
    let message = anthropic::message("m", text, Tokens::new(1, 1));
    MockProvider::always(Answer::json(200, &message))
}

fn ask(text: &str) -> Request {
    let body = json!({
        "model": "m", "max_tokens": 9,
        "system": "be brief",
        "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}],
    });
    Request::post("/v1/messages", &body)
}

/// A guardrail that looks for shop codes in what `tenant` sends and gets; returns its name and id.
fn guardrail(mesh: &Mesh, tenant: &Tenant, action: Value, more: &Value) -> (String, String) {
    let name = unique("shop");
    let mut body = json!({
        "name": name,
        "scope": {"keys": [tenant.key_id]},
        "stages": [{
            "detectors": [{"regex": {"id": "shop-code", "pattern": "shop-[0-9]{9}"}}],
            "action": action,
        }],
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    let made = mesh.change(|admin| admin.post("/guardrails", &body));
    (name, id(&made))
}

/// The outcome of a guardrail in one direction of an exchange.
#[track_caller]
fn outcome<'r>(record: &'r Value, name: &str, direction: &str) -> &'r Value {
    let all = record["guardrails"].as_array().unwrap();
    let found = all
        .iter()
        .find(|it| it["name"] == name && it["direction"] == direction);
    found.unwrap_or_else(|| panic!("no {direction} outcome of {name}: {record:#}"))
}

fn send(mesh: &Mesh, tenant: &Tenant, text: &str) -> Answered {
    mesh.send(&tenant.sign(ask(text)))
}

#[test]
fn every_action_is_recorded_as_what_it_did() {
    let mesh = Mesh::start(&Options::default());
    for (action, want, passes) in [
        (json!("observe"), "observed", true),
        (json!({"redact": {"replace": {}}}), "redacted", true),
        (json!("tokenise"), "tokenised", true),
        (json!("block"), "blocked", false),
    ] {
        let provider = says("nothing of interest");
        let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
        let (name, guardrail) = guardrail(&mesh, &tenant, action, &json!({}));
        let answered = send(
            &mesh,
            &tenant,
            &format!("my code is {VALUE}, again {VALUE}"),
        );
        assert_eq!(
            answered.status == 200,
            passes,
            "{want}: {}",
            answered.text()
        );
        assert!(!answered.text().contains(VALUE), "{}", answered.text());
        assert_eq!(provider.count(), usize::from(passes), "{want}");

        let record = mesh.only_record(&tenant.key_id);
        assert_eq!(record["guard_outcome"], want, "{record:#}");
        let request = outcome(&record, &name, "request");
        assert_eq!(request["id"], json!(guardrail));
        assert_eq!(request["outcome"], want);
        let finding = &request["findings"][0];
        assert_eq!(finding["rule"], "shop-code", "{record:#}");
        assert_eq!(finding["count"], 2, "{record:#}");
        let path = finding["paths"][0].as_str().unwrap();
        assert!(path.contains("messages"), "{path}");
        let prints = finding["fingerprints"].as_array().unwrap();
        assert_eq!(prints.len(), 1, "one value has one fingerprint: {record:#}");
        assert!(!record.to_string().contains(VALUE), "{record:#}");
        if passes {
            assert_eq!(outcome(&record, &name, "response")["outcome"], "scanned");
        }
        let query = format!("key={}&guardrail={name}&outcome={want}", tenant.key_id);
        assert_eq!(mesh.records_where(&query).len(), 1);
    }
    assert_eq!(any_file_mentions(&mesh.data(), VALUE), None);
    assert!(!mesh.logs().contains(VALUE));
}

#[test]
fn a_value_in_an_answer_is_recorded_for_that_direction() {
    let mesh = Mesh::start(&Options::default());
    let provider = says(&format!("the code is {VALUE}"));
    let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    let redact = json!({"redact": {"replace": {}}});
    let (name, _) = guardrail(&mesh, &tenant, redact, &json!({}));
    let answered = send(&mesh, &tenant, "hello");
    assert_eq!(answered.status, 200);
    assert!(!answered.text().contains(VALUE), "{}", answered.text());
    let record = mesh.only_record(&tenant.key_id);
    assert_eq!(outcome(&record, &name, "request")["outcome"], "scanned");
    let response = outcome(&record, &name, "response");
    assert_eq!(response["outcome"], "redacted", "{record:#}");
    assert_eq!(response["findings"][0]["count"], 1);
}

#[test]
fn the_same_value_has_the_same_fingerprint_for_everybody() {
    let mesh = Mesh::start(&Options::default());
    let mut prints = Vec::new();
    for text in [VALUE, VALUE, "shop-000000000"] {
        let provider = says("fine");
        let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
        let (name, _) = guardrail(&mesh, &tenant, json!("observe"), &json!({}));
        assert_eq!(send(&mesh, &tenant, text).status, 200);
        let record = mesh.only_record(&tenant.key_id);
        let finding = &outcome(&record, &name, "request")["findings"][0];
        prints.push(finding["fingerprints"][0].clone());
    }
    assert_eq!(prints[0], prints[1]);
    assert_ne!(prints[0], prints[2]);
}

#[test]
fn what_is_not_searched_is_recorded_with_its_reason() {
    let mesh = Mesh::start(&Options::default());
    let provider = says("a picture");
    let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    let (name, _) = guardrail(&mesh, &tenant, json!("block"), &json!({}));
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}});
    let body = json!({
        "model": "m", "max_tokens": 9,
        "messages": [{"role": "user", "content": [image, {"type": "text", "text": "what is this?"}]}],
    });
    let answered = mesh.send(&tenant.sign(Request::post("/v1/messages", &body)));
    assert_eq!(answered.status, 200, "{}", answered.text());
    let record = mesh.only_record(&tenant.key_id);
    let request = outcome(&record, &name, "request");
    assert_eq!(request["outcome"], "scanned", "{record:#}");
    assert_eq!(
        request["unscanned"],
        json!([{"why": "image", "count": 1}]),
        "{record:#}"
    );
}

#[test]
fn an_exchange_that_no_guardrail_covers_has_no_outcome() {
    let mesh = Mesh::start(&Options::default());
    let provider = says("fine");
    let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    let other = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    guardrail(&mesh, &other, json!("block"), &json!({}));
    assert_eq!(send(&mesh, &tenant, VALUE).status, 200);
    let record = mesh.only_record(&tenant.key_id);
    assert_eq!(record["guard_outcome"], Value::Null);
    assert_eq!(record["guardrails"], json!([]));
}

/// Words that have nothing in common.
fn words(count: u64) -> Vec<String> {
    let mix = |number: u64| {
        let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    };
    (0..count)
        .map(|number| {
            (0..4)
                .map(|part| format!("{:016x}", mix(number * 4 + part)))
                .collect()
        })
        .collect()
}

#[test]
fn a_list_of_100_000_words_is_enforced_by_every_worker() {
    let mesh = Mesh::start(&Options::default());
    let provider = says("fine");
    let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    let words = words(100_000);
    mesh.admin()
        .post("/word-lists", &json!({"name": "long", "words": words}));
    let detector = json!({"words": {"list": "long"}});
    let stages =
        json!([{"detectors": [detector], "action": {"redact": {"replace": {"with": "###"}}}}]);
    guardrail(&mesh, &tenant, json!("block"), &json!({"stages": stages}));
    for word in [&words[0], &words[50_000], &words[99_999]] {
        for _ in 0..6 {
            provider.forget();
            let answered = send(&mesh, &tenant, &format!("it says {word}."));
            assert_eq!(answered.status, 200, "{}", answered.text());
            let seen = provider.only();
            assert!(seen.mentions("it says ###.") && !seen.mentions(word));
        }
    }
    let state = mesh.admin().get("/mesh");
    for vm in state["vms"].as_array().unwrap() {
        let memory = vm["counters"]["memory_bytes"].as_u64().unwrap();
        assert!(memory < 96 << 20, "{memory} bytes: {state:#}");
    }
}

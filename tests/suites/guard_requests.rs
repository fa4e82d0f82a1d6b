//! Guardrails on requests through the real Envoy: wherever a value stands in a body, and whatever the body is.

use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::client::{Answered, Request};
use weir_tests::mesh::tenant::{self, Dialect, Registration, Tenant, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, Seen, anthropic};
use weir_tests::refused::now_ms;
use weir_tests::tokens::Tokens;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

const VALUE: &str = "shop-493827165";
const HIDDEN: &str = "[REDACTED:shop-code]";

struct Stage {
    provider: MockProvider,
    tenant: Tenant,
}

fn stage(dialect: Dialect, action: &Value, more: &Value) -> Stage {
    let provider = MockProvider::always(Answer::json(200, &json!({"ok": true})));
    let registration = Registration::new(dialect, &provider);
    let name = registration.name().to_owned();
    let fields =
        json!({"access": tenant::access(&[&name], &["*"]), "opaque_paths": ["/v1/audio/*"]});
    let tenant = MESH.tenant_with(&[registration], &fields);
    let mut body = json!({
        "name": unique("shop"),
        "scope": {"keys": [tenant.key_id]},
        "stages": [{
            "detectors": [{"regex": {"id": "shop-code", "pattern": "shop-[0-9]{9}"}}],
            "action": action,
        }],
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    MESH.change(|admin| admin.post("/guardrails", &body));
    Stage { provider, tenant }
}

impl Stage {
    fn send(&self, request: Request) -> Answered {
        MESH.send(&self.tenant.sign(request))
    }

    /// Sends a body and returns what the provider got of it.
    #[track_caller]
    fn passed(&self, target: &str, body: &str) -> Seen {
        self.provider.forget();
        let answered = self.send(Request::post_bytes(target, body.as_bytes()));
        assert_eq!(answered.status, 200, "{}\n{}", answered.text(), MESH.logs());
        self.provider.only()
    }
}

fn redact() -> Value {
    json!({"redact": {"replace": {}}})
}

#[test]
fn a_value_is_hidden_wherever_it_stands() {
    let bodies = [
        (
            Dialect::Openai,
            "/v1/chat/completions",
            r#"{"model":"m","messages":[{"role":"user","content":"a VALUE b"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"x\":\"VALUE\",\"VALUE\":1}"}}]},{"role":"tool","tool_call_id":"c","content":"VALUE"}],"unknown":{"deep":["VALUE"]}}"#,
        ),
        (
            Dialect::Openai,
            "/v1/responses",
            r#"{"model":"m","instructions":"VALUE","input":[{"type":"function_call_output","call_id":"c","output":"{\"k\":\"VALUE\\n\"}"},{"role":"user","content":[{"type":"input_text","text":"VALUE"}]}]}"#,
        ),
        (
            Dialect::Openai,
            "/v1/embeddings",
            r#"{"model":"m","input":["VALUE","clean"]}"#,
        ),
        (
            Dialect::Anthropic,
            "/v1/messages",
            r#"{"model":"m","max_tokens":9,"system":[{"type":"text","text":"VALUE"}],"tools":[{"name":"t","description":"VALUE","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":[{"type":"text","text":"VALUE","signature":"x"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"VALUE"}}]}]}"#,
        ),
        (
            Dialect::Gemini,
            "/v1beta/models/m:generateContent",
            r#"{"systemInstruction":{"parts":[{"text":"VALUE"}]},"contents":[{"role":"user","parts":[{"text":"VALUE","thoughtSignature":"eA=="},{"functionResponse":{"name":"f","response":{"VALUE":"VALUE"}}}]}]}"#,
        ),
    ];
    for (dialect, target, template) in bodies {
        let stage = stage(dialect, &redact(), &json!({}));
        let body = template.replace("VALUE", VALUE);
        let seen = stage.passed(target, &body);
        let want = template.replace("VALUE", HIDDEN);
        assert_eq!(String::from_utf8_lossy(&seen.body), want, "{target}");
        let clean = template.replace("VALUE", "nothing");
        assert_eq!(
            stage.passed(target, &clean).body,
            clean.as_bytes(),
            "{target}"
        );
    }
}

#[test]
fn a_body_of_unknown_shape_is_one_text_both_ways() {
    let stage = stage(Dialect::Openai, &redact(), &json!({}));
    let text = format!("line one\nkey {VALUE}\nline three");
    let answer = Answer::bytes(200, "text/plain", text.clone());
    stage.provider.script(move |_, _| answer.clone());
    let request = Request::post_bytes("/v1/audio/speech", text.as_bytes());
    let answered = stage.send(
        request
            .without("content-type")
            .field("content-type", "text/plain"),
    );
    assert_eq!(answered.status, 200, "{}", answered.text());
    let want = text.replace(VALUE, HIDDEN);
    assert_eq!(String::from_utf8_lossy(&stage.provider.only().body), want);
    assert_eq!(answered.text(), want);
}

#[test]
fn a_second_target_gets_no_more_than_the_first() {
    let stage = stage(Dialect::Anthropic, &redact(), &json!({}));
    let message = anthropic::message("m", "hello", Tokens::new(1, 1));
    stage.provider.script(move |_, nth| {
        if nth == 0 {
            Answer::json(529, &anthropic::error("overloaded_error", "busy"))
        } else {
            Answer::json(200, &message)
        }
    });
    let body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": VALUE}]});
    stage.send(Request::post("/v1/messages", &body));
    for seen in stage.provider.seen() {
        assert!(!seen.mentions(VALUE));
        assert!(seen.mentions(HIDDEN));
    }
}

#[test]
fn what_nobody_can_read_follows_policy() {
    let stage = stage(
        Dialect::Anthropic,
        &redact(),
        &json!({"on_unscanned": "block"}),
    );
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}});
    let body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [image]}]});
    let answered = stage.send(Request::post("/v1/messages", &body));
    assert_eq!(
        answered.weir_code().as_deref(),
        Some("guardrail_blocked"),
        "{}",
        answered.text()
    );
    assert_eq!(stage.provider.count(), 0);
}

#[test]
fn hostile_bodies_lose_nothing_and_pass_nothing_unfiltered() {
    let stage = stage(Dialect::Anthropic, &redact(), &json!({}));
    let long = "lorem ipsum ".repeat(850_000);
    let body = format!(
        r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"{long}{VALUE} {long}"}}]}}"#
    );
    let seen = stage.passed("/v1/messages", &body);
    assert!(
        seen.body == body.replace(VALUE, HIDDEN).as_bytes(),
        "a string of 20 MB is changed in one place"
    );

    let mut broken =
        br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":""#.to_vec();
    broken.extend([0xff, 0xfe]);
    broken.extend(format!(r#"{VALUE}"}}]}}"#).bytes());
    stage.provider.forget();
    let answered = stage.send(Request::post_bytes("/v1/messages", broken));
    assert_eq!(
        answered.weir_code().as_deref(),
        Some("bad_json"),
        "{}",
        answered.text()
    );

    let huge = vec![b' '; 64 * 1024 * 1024];
    let answered = stage.send(Request::post_bytes("/v1/messages", huge));
    assert_eq!(
        answered.weir_code().as_deref(),
        Some("body_too_large"),
        "{}",
        answered.text()
    );
    assert_eq!(stage.provider.count(), 0);
}

#[test]
fn a_change_is_in_force_on_every_worker_within_a_second() {
    let provider = MockProvider::always(Answer::json(
        200,
        &anthropic::message("m", "hi", Tokens::new(1, 1)),
    ));
    let tenant = MESH.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    let file = json!({
        "name": unique("tickets"),
        "source": "[[rules]]\nid = \"ticket\"\ndescription = \"A ticket\"\nregex = '''\\bACME-[0-9]{6}\\b'''\nkeywords = [\"acme-\"]\n",
    });
    MESH.admin().post("/rule-files", &file);
    let body = json!({
        "name": unique("tickets"),
        "scope": {"keys": [tenant.key_id]},
        "stages": [{"detectors": [{"rule_file": {"name": file["name"]}}], "action": {"redact": {"replace": {}}}}],
    });
    MESH.admin().post("/guardrails", &body);
    let made_ms = now_ms();
    let ask = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "see ACME-493827"}]});
    let mut hidden_in_a_row = 0;
    let mut last_leak_ms = made_ms;
    // Fresh connections meet every worker.
    while hidden_in_a_row < 16 {
        provider.forget();
        let started_ms = now_ms();
        MESH.send(&tenant.sign(Request::post("/v1/messages", &ask)));
        if provider.only().mentions("ACME-493827") {
            hidden_in_a_row = 0;
            last_leak_ms = started_ms;
        } else {
            hidden_in_a_row += 1;
        }
        assert!(now_ms() - made_ms < 20_000, "never in force");
    }
    let late_ms = last_leak_ms - made_ms;
    assert!(late_ms < 1_000, "{late_ms} ms");
}

#[test]
fn rules_that_cannot_work_are_refused_with_their_reasons() {
    let cases = [
        ("[[rules]]\nid = \"a\"\nregex = '''('''\n", "`a`"),
        ("[[rules]]\nid = \"a\"\nregex = '''x(?=y)'''\n", "`a`"),
        (
            "[[rules]]\nid = \"a\"\nregex = '''aaaa'''\n[[rules]]\nid = \"a\"\nregex = '''bbbb'''\n",
            "`a`",
        ),
        (
            "[[rules]]\nid = \"a\"\nregex = '''(?:[a-z]{500}){500}'''\n",
            "`a`",
        ),
    ];
    for (source, named) in cases {
        let body = json!({"name": unique("bad"), "source": source});
        let answered = MESH.admin().ask("POST", "/rule-files", Some(&body));
        assert_eq!(answered.status, 400, "{source}: {}", answered.text());
        assert!(
            answered.text().contains(named),
            "{source}: {}",
            answered.text()
        );
    }
}

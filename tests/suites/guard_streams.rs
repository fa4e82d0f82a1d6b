//! Guardrails on answers through the real Envoy: every streaming dialect and every whole answer, however they come.

use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::client::Answered;
use weir_tests::mesh::tenant::{Registration, Tenant, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, Seen, anthropic, gemini, openai};
use weir_tests::surfaces::{self, CACHED, CACHED_ANTHROPIC, Case};

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

/// Providers of these tests send a delta for each word, so this value comes one character at a time.
const SPELT: &str = "s h o p - 4 9 3 8 2 7 1 6 5";
/// The same in one delta.
const WHOLE: &str = "shop-493827165";
const HIDDEN: &str = "[REDACTED:shop-code]";

const STREAMS: [&str; 5] = [
    "messages stream",
    "chat stream",
    "responses stream",
    "generate stream",
    "generate array",
];
const ANSWERS: [&str; 4] = ["messages", "chat", "responses", "generate"];

/// Sizes of the pieces that the provider writes; none for an event a write.
const CUTS: [&[usize]; 5] = [&[], &[1], &[7, 1, 40], &[251], &[16_384]];

/// Returns a provider's answer that says a text.
fn saying(name: &str, text: &str) -> Answer {
    let model = "model-1";
    match name {
        "messages" => Answer::json(200, &anthropic::message(model, text, CACHED_ANTHROPIC)),
        "chat" => Answer::json(200, &openai::chat(model, text, CACHED)),
        "responses" => Answer::json(200, &openai::response(model, text, CACHED)),
        "generate" => Answer::json(200, &gemini::generate(model, text, CACHED)),
        "messages stream" => Answer::sse(anthropic::stream(model, text, CACHED_ANTHROPIC)),
        "chat stream" => Answer::sse(openai::chat_stream(model, text, Some(CACHED))),
        "responses stream" => Answer::sse(openai::response_stream(model, text, CACHED)),
        "generate stream" => Answer::sse(gemini::stream(model, text, CACHED)),
        "generate array" => {
            let body = gemini::array(model, text, CACHED).concat();
            Answer::bytes(200, "application/json", body)
        }
        _ => panic!("there is no answer {name}"),
    }
}

/// Returns the text that a client is shown.
fn shown(answered: &Answered) -> String {
    let mut events = answered.events();
    let whole = answered.json();
    if let Some(items) = whole.as_array() {
        events.clone_from(items);
    } else if !whole.is_null() {
        events.push(whole);
    }
    let texts = events.iter().filter_map(|event| {
        let is_delta = event["type"] == "response.output_text.delta";
        let found = [
            event.pointer("/delta/text"),
            event.pointer("/content/0/text"),
            event.pointer("/choices/0/delta/content"),
            event.pointer("/choices/0/message/content"),
            event.pointer("/candidates/0/content/parts/0/text"),
            event.pointer("/output/0/content/0/text"),
            event.get("delta").filter(|_| is_delta),
        ];
        found.into_iter().flatten().find_map(Value::as_str)
    });
    texts.collect()
}

struct Stage {
    case: Case,
    provider: MockProvider,
    tenant: Tenant,
}

impl Stage {
    /// A tenant whose answers are looked through for shop codes.
    fn new(name: &str, action: &Value) -> Self {
        let case = surfaces::case(name, "model-1");
        let provider = MockProvider::always(Answer::empty(500));
        let tenant = MESH.tenant(&[Registration::new(case.dialect, &provider)]);
        let body = json!({
            "name": unique("shop"),
            "scope": {"keys": [tenant.key_id]},
            "stages": [{
                "detectors": [
                    {"regex": {"id": "shop-code", "pattern": "shop-[0-9]{9}|s h o p -(?: [0-9]){9}"}},
                ],
                "action": action,
            }],
        });
        MESH.change(|admin| admin.post("/guardrails", &body));
        Self {
            case,
            provider,
            tenant,
        }
    }

    /// Asks, and is answered in pieces.
    fn ask(&self, answer: &Answer, cuts: &[usize]) -> Answered {
        let answer = if cuts.is_empty() {
            answer.clone()
        } else {
            answer.clone().cut(cuts)
        };
        self.provider.script(move |_, _| answer.clone());
        MESH.send(&self.tenant.sign(self.case.request()))
    }

    /// Checks that all usage was recorded although answers were changed.
    #[track_caller]
    fn assert_usage(&self, requests: usize, outcome: &str) {
        let want = self.case.tokens.unwrap_or_default().as_record();
        for record in MESH.wait_records(&self.tenant.key_id, requests) {
            assert_eq!(record["usage"], want, "{record:#}");
            assert_eq!(record["guard_outcome"], outcome, "{record:#}");
            assert!(!record.to_string().contains(WHOLE), "{record:#}");
        }
    }
}

#[test]
fn a_value_is_redacted_however_an_answer_comes() {
    for name in STREAMS.into_iter().chain(ANSWERS) {
        let stage = Stage::new(name, &json!({"redact": {"replace": {}}}));
        let answer = saying(name, &format!("It is {SPELT} and {WHOLE} now."));
        for cuts in CUTS {
            let answered = stage.ask(&answer, cuts);
            let what = format!("{name} in {cuts:?}: {}", answered.text());
            assert!(answered.status == 200 && answered.complete, "{what}");
            assert_eq!(
                shown(&answered),
                format!("It is {HIDDEN} and {HIDDEN} now."),
                "{what}"
            );
            for piece in ["s h", "hop-4", "4 9", "493"] {
                assert!(!answered.text().contains(piece), "{what}");
            }
        }
        stage.assert_usage(CUTS.len(), "redacted");
    }
}

#[test]
fn an_answer_without_findings_passes_byte_for_byte() {
    for name in STREAMS.into_iter().chain(ANSWERS) {
        let stage = Stage::new(name, &json!("block"));
        let answer = saying(
            name,
            "s h o p - 4 shop-49382716 🌊 \"shop-\" \\ nothing of interest",
        );
        for cuts in CUTS {
            let answered = stage.ask(&answer, cuts);
            assert!(
                answered.status == 200 && answered.complete,
                "{name} {cuts:?}"
            );
            let want = String::from_utf8(answer.body()).expect("UTF-8");
            assert_eq!(answered.text(), want, "{name} {cuts:?}");
        }
        stage.assert_usage(CUTS.len(), "scanned");
    }
}

#[test]
fn a_blocked_stream_ends_as_its_dialect_ends() {
    for (name, end) in STREAMS.into_iter().zip([
        "\"type\":\"message_stop\"}\n\n",
        "data: [DONE]\n\n",
        "\"type\":\"response.completed\"}\n\n",
        "\"finishReason\":\"STOP\"",
        "]",
    ]) {
        let stage = Stage::new(name, &json!("block"));
        for text in [SPELT, WHOLE] {
            let answer = saying(name, &format!("It is {text} now, and so on."));
            for cuts in CUTS {
                let answered = stage.ask(&answer, cuts);
                let what = format!("{name} in {cuts:?}: {}", answered.text());
                assert_eq!(answered.status, 200, "{what}");
                assert!(answered.text().contains(end), "{what}");
                assert!(shown(&answered).contains("shop-code"), "{what}");
                for piece in ["hop-4", "4 9", "493", "so on"] {
                    assert!(!answered.text().contains(piece), "{what}");
                }
            }
        }
        for record in MESH.wait_records(&stage.tenant.key_id, 2 * CUTS.len()) {
            assert_eq!(record["guard_outcome"], "blocked", "{record:#}");
        }
    }
}

#[test]
fn a_blocked_answer_becomes_a_refusal() {
    for name in ANSWERS {
        let stage = Stage::new(name, &json!("block"));
        let answered = stage.ask(&saying(name, &format!("It is {WHOLE} now.")), &[]);
        let what = format!("{name}: {} {}", answered.status, answered.text());
        assert!(!answered.text().contains("493"), "{what}");
        assert!(answered.text().contains("shop-code"), "{what}");
    }
}

/// Returns the token in a request that the provider got in place of the value.
fn token_in(seen: &Seen) -> String {
    let text = String::from_utf8_lossy(&seen.body).into_owned();
    let token = text.split_once("weirtok").expect("a token").1;
    let end = token.find(|char: char| !char.is_ascii_alphanumeric());
    format!("weirtok{}", token.split_at(end.expect("an end")).0)
}

#[test]
fn tokens_are_restored_in_the_arguments_of_tools() {
    for (name, user) in [
        ("messages tool stream", "caf\\u00e9 "),
        ("responses stream", "\\n\\u00e9"),
    ] {
        let mut stage = Stage::new(name, &json!("tokenise"));
        let body = String::from_utf8(stage.case.body.clone()).expect("UTF-8");
        stage.case.body = body.replace(user, &format!("{user} {WHOLE} ")).into_bytes();
        stage.provider.script(move |seen, _| {
            let arguments =
                json!({"path": "/tmp/ü", "content": format!("code = \"{}\"\n", token_in(seen))});
            let events = if name == "responses stream" {
                let item = json!({
                    "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "Write",
                    "arguments": arguments.to_string(), "status": "completed",
                });
                openai::item_stream("model-1", &item, CACHED)
            } else {
                anthropic::tool_stream("model-1", "Write", &arguments, 3, CACHED_ANTHROPIC)
            };
            Answer::sse(events)
        });
        let answered = MESH.send(&stage.tenant.sign(stage.case.request()));
        assert_eq!(answered.status, 200, "{}", answered.text());
        assert!(!stage.provider.only().mentions(WHOLE), "{name}");
        let arguments: String = answered
            .events()
            .iter()
            .filter_map(|event| {
                let is_delta = event["type"] == "response.function_call_arguments.delta";
                let partial = event.pointer("/delta/partial_json");
                let delta = partial.or(event.get("delta").filter(|_| is_delta))?;
                delta.as_str().map(str::to_owned)
            })
            .collect();
        let arguments: Value = serde_json::from_str(&arguments).expect("arguments");
        let want = json!({"path": "/tmp/ü", "content": format!("code = \"{WHOLE}\"\n")});
        assert_eq!(arguments, want, "{name}: {}", answered.text());
        assert!(!answered.text().contains("weirtok"), "{}", answered.text());
        for item in answered.events() {
            if let Some(whole) = item.pointer("/item/arguments").and_then(Value::as_str)
                && !whole.is_empty()
                && item["type"] == "response.output_item.done"
            {
                assert_eq!(
                    serde_json::from_str::<Value>(whole).ok(),
                    Some(want.clone())
                );
            }
        }
    }
}

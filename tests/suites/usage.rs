//! What was used is read from the provider's own bytes, class by class, and priced to the micro-dollar.
//!
//! Bodies stand here as providers send them, and every figure was worked out by hand.

use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::client::Request;
use weir_tests::mesh::tenant::{Dialect, Registration, Tenant, price, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::MockProvider;
use weir_tests::provider::answer::Answer;
use weir_tests::tokens::Price;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

/// Dollars for a million: 3 input, 0.30 read, 3.75 and 6 written, 15 output; a cent for a search.
const PRICE: Price = Price {
    input: 3_000_000,
    cache_read: 300_000,
    cache_write_5m: 3_750_000,
    cache_write_1h: 6_000_000,
    output: 15_000_000,
    web_search: 10_000,
};

/// input, cache read, written for 5 minutes, for an hour, output, reasoning within it, searches
type Classes = [u64; 7];

fn classes([input, read, write_5m, write_1h, output, reasoning, searches]: Classes) -> Value {
    json!({
        "input_tokens": input, "cache_read_tokens": read, "cache_write_5m_tokens": write_5m,
        "cache_write_1h_tokens": write_1h, "output_tokens": output, "reasoning_tokens": reasoning,
        "web_search_requests": searches,
    })
}

/// A provider of `dialect` that serves one model for [`PRICE`].
fn stage(dialect: Dialect, answer: Answer) -> (MockProvider, Tenant, String) {
    let model = unique("model");
    let provider = MockProvider::always(answer);
    let tenant = MESH.tenant(&[Registration::new(dialect, &provider)]);
    price(MESH.admin(), dialect, &model, PRICE);
    (provider, tenant, model)
}

fn request(dialect: Dialect, path: &str, model: &str, streamed: bool) -> Request {
    let mut body = json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]});
    match (dialect, path) {
        (Dialect::Gemini, _) => body = json!({"contents": [{"parts": [{"text": "hello"}]}]}),
        (_, "/v1/responses" | "/v1/embeddings") => body = json!({"model": model, "input": "hello"}),
        _ => {}
    }
    if streamed {
        body["stream"] = json!(true);
        if path == "/v1/chat/completions" {
            body["stream_options"] = json!({"include_usage": true});
        }
    }
    Request::post(&path.replace("MODEL", model), &body)
}

/// Sends one request; the record must tell `used` at `cost`, however the answer is cut.
fn check(dialect: Dialect, path: &str, answer: Answer, used: Classes, cost: u64) {
    let streamed = answer.is_event_stream() && dialect != Dialect::Gemini;
    let (provider, tenant, model) = stage(dialect, answer.clone());
    let cuts: [&[usize]; 4] = [&[usize::MAX], &[1], &[7, 1, 13], &[1000]];
    for (n, cut) in cuts.into_iter().enumerate() {
        let cut = answer.clone().cut(cut);
        provider.script(move |_, _| cut.clone());
        let answered = MESH.send(&tenant.sign(request(dialect, path, &model, streamed)));
        assert_eq!(
            (answered.status, answered.body == answer.body()),
            (200, true),
            "{}",
            answered.text()
        );
        let record = MESH.wait_records(&tenant.key_id, n + 1).remove(0);
        assert_eq!(record["usage"], classes(used), "cut {n}");
        assert_eq!(record["cost_micro_usd"], json!(cost), "cut {n}: {record:#}");
        let flags = ["estimated", "unknown_price", "subscription"].map(|flag| record[flag].clone());
        assert_eq!(flags, [json!(false), json!(false), json!(false)]);
        assert_eq!(record["ended"], json!("complete"));
        let attempt = MESH.attempts(&record).remove(0);
        assert_eq!(
            (&attempt["cost_micro_usd"], &attempt["price"]),
            (&json!(cost), &json!("override"))
        );
        assert_eq!(attempt["usage"], classes(used));
    }
}

fn body(text: &str) -> Answer {
    Answer::bytes(200, "application/json", text)
}

fn events(text: &str) -> Answer {
    Answer::sse(text.split_inclusive("\n\n"))
}

/// 1203 × 3 + 4096 × 0.3 + 2048 × 3.75 + 512 × 6 + 347 × 15 = 20,794.8; three searches are 30,000.
const ANTHROPIC: (Classes, u64) = ([1203, 4096, 2048, 512, 347, 0, 3], 50_795);

#[test]
fn an_anthropic_message() {
    let answer = body(
        r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text",
        "text":"\"usage\":{\"input_tokens\":999999}"}],"stop_reason":"end_turn","usage":{"input_tokens":1203,
        "cache_creation_input_tokens":2560,"cache_read_input_tokens":4096,"cache_creation":
        {"ephemeral_5m_input_tokens":2048,"ephemeral_1h_input_tokens":512},"output_tokens":347,
        "server_tool_use":{"web_search_requests":3},"service_tier":"standard"}}"#,
    );
    check(
        Dialect::Anthropic,
        "/v1/messages",
        answer,
        ANTHROPIC.0,
        ANTHROPIC.1,
    );
}

#[test]
fn an_anthropic_stream() {
    let answer = events(concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":",
        "{\"input_tokens\":1203,\"cache_creation_input_tokens\":2560,\"cache_read_input_tokens\":4096,",
        "\"cache_creation\":{\"ephemeral_5m_input_tokens\":2048,\"ephemeral_1h_input_tokens\":512},",
        "\"output_tokens\":1}}}\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":",
        "{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":",
        "{\"type\":\"text_delta\",\"text\":\"usage: {\\\"output_tokens\\\": 5}\"}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":200}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},",
        "\"usage\":{\"output_tokens\":347,\"server_tool_use\":{\"web_search_requests\":3}}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ));
    check(
        Dialect::Anthropic,
        "/v1/messages",
        answer,
        ANTHROPIC.0,
        ANTHROPIC.1,
    );
}

/// Without the split everything written counts as written for five minutes: 100 × 3 + 1000 × 3.75 + 10 × 15.
#[test]
fn an_anthropic_cache_write_without_its_split() {
    let answer = body(
        r#"{"type":"message","content":[],"usage":{"input_tokens":100,"cache_creation_input_tokens":1000,
        "cache_read_input_tokens":null,"output_tokens":10}}"#,
    );
    check(
        Dialect::Anthropic,
        "/v1/messages",
        answer,
        [100, 0, 1000, 0, 10, 0, 0],
        4_200,
    );
}

/// 1203 × 3 + 4096 × 0.3 + 347 × 15 = 10,042.8; the cached part of the prompt is not paid for twice.
const OPENAI: (Classes, u64) = ([1203, 4096, 0, 0, 347, 128, 0], 10_043);

#[test]
fn an_openai_completion() {
    let answer = body(
        r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"x"},
        "finish_reason":"stop"}],"usage":{"prompt_tokens":5299,"completion_tokens":347,"total_tokens":5646,
        "prompt_tokens_details":{"cached_tokens":4096,"audio_tokens":0},"completion_tokens_details":
        {"reasoning_tokens":128,"accepted_prediction_tokens":0}},"service_tier":"default"}"#,
    );
    check(
        Dialect::Openai,
        "/v1/chat/completions",
        answer,
        OPENAI.0,
        OPENAI.1,
    );
}

const CHAT_STREAM: [&str; 4] = [
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"hi\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
    "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":5299,\"completion_tokens\":347,\"total_tokens\":5646,\"prompt_tokens_details\":{\"cached_tokens\":4096},\"completion_tokens_details\":{\"reasoning_tokens\":128}}}\n\n",
    "data: [DONE]\n\n",
];

#[test]
fn an_openai_completion_stream() {
    check(
        Dialect::Openai,
        "/v1/chat/completions",
        Answer::sse(CHAT_STREAM),
        OPENAI.0,
        OPENAI.1,
    );
}

const RESPONSE_USAGE: &str = r#""usage":{"input_tokens":5299,"input_tokens_details":{"cached_tokens":4096},"output_tokens":347,"output_tokens_details":{"reasoning_tokens":128},"total_tokens":5646}"#;

#[test]
fn an_openai_response() {
    let answer = body(&format!(
        "{{\"id\":\"resp_1\",\"object\":\"response\",\"output\":[],{RESPONSE_USAGE},\"metadata\":{{}}}}"
    ));
    check(Dialect::Openai, "/v1/responses", answer, OPENAI.0, OPENAI.1);
}

fn response_stream(output: &str) -> Answer {
    Answer::sse([
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"usage\":null}}\n\n".to_owned(),
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}\n\n".to_owned(),
        format!(
            "event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{{\"id\":\"resp_1\",\
             \"output\":[{{\"type\":\"message\",\"content\":\"{output}\"}}],{RESPONSE_USAGE}}}}}\n\n"
        ),
    ])
}

#[test]
fn an_openai_response_stream() {
    check(
        Dialect::Openai,
        "/v1/responses",
        response_stream("hi"),
        OPENAI.0,
        OPENAI.1,
    );
}

/// The event with the usage is three megabytes long and the usage stands at its end.
#[test]
fn an_openai_response_stream_with_a_huge_last_event() {
    let answer = response_stream(&"lorem ipsum \\\"usage\\\": ".repeat(140_000));
    assert!(answer.body().len() > 3_000_000);
    let (_provider, tenant, model) = stage(Dialect::Openai, answer.clone().cut(&[65_000, 1]));
    let answered = MESH.send(&tenant.sign(request(Dialect::Openai, "/v1/responses", &model, true)));
    assert!(
        answered.body == answer.body(),
        "the stream changed on the way"
    );
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(
        (&record["usage"], &record["cost_micro_usd"]),
        (&classes(OPENAI.0), &json!(OPENAI.1))
    );
    assert_eq!(record["estimated"], json!(false));
}

#[test]
fn openai_embeddings() {
    let answer = body(
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2e-3]}],
        "model":"m","usage":{"prompt_tokens":21,"total_tokens":21}}"#,
    );
    check(
        Dialect::Openai,
        "/v1/embeddings",
        answer,
        [21, 0, 0, 0, 0, 0, 0],
        63,
    );
}

/// (5299 − 4096 + 50) × 3 + 4096 × 0.3 + (219 + 128) × 15 = 10,192.8: tool prompts and thoughts are extra.
const GEMINI: (Classes, u64) = ([1253, 4096, 0, 0, 347, 128, 0], 10_193);
const GEMINI_FIRST: &str = r#"{"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"}}],"usageMetadata":{"promptTokenCount":5299,"candidatesTokenCount":3,"totalTokenCount":5302}}"#;
const GEMINI_LAST: &str = r#"{"candidates":[{"content":{"parts":[{"text":"b"}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5299,"cachedContentTokenCount":4096,"toolUsePromptTokenCount":50,"candidatesTokenCount":219,"thoughtsTokenCount":128,"totalTokenCount":5696},"modelVersion":"m"}"#;

#[test]
fn a_gemini_answer() {
    check(
        Dialect::Gemini,
        "/v1beta/models/MODEL:generateContent",
        body(GEMINI_LAST),
        GEMINI.0,
        GEMINI.1,
    );
}

#[test]
fn a_gemini_stream() {
    let answer = Answer::sse([
        format!("data: {GEMINI_FIRST}\r\n\r\n"),
        format!("data: {GEMINI_LAST}\r\n\r\n"),
    ]);
    let path = "/v1beta/models/MODEL:streamGenerateContent?alt=sse";
    check(Dialect::Gemini, path, answer, GEMINI.0, GEMINI.1);
}

#[test]
fn a_gemini_array() {
    let answer = body(&format!("[{GEMINI_FIRST}\n,\r\n{GEMINI_LAST}\n]\n"));
    check(
        Dialect::Gemini,
        "/v1beta/models/MODEL:streamGenerateContent",
        answer,
        GEMINI.0,
        GEMINI.1,
    );
}

/// A provider that says zero is believed.
#[test]
fn an_explicit_zero_is_no_estimate() {
    let answer = body(
        r#"{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#,
    );
    check(Dialect::Openai, "/v1/chat/completions", answer, [0; 7], 0);
}

/// A provider that says nothing is estimated from bytes, never at zero.
#[test]
fn silence_about_usage_is_estimated() {
    let text = "x".repeat(400);
    let answer = body(
        &json!({"choices": [{"message": {"role": "assistant", "content": text}}]}).to_string(),
    );
    let (_provider, tenant, model) = stage(Dialect::Openai, answer);
    let request = request(Dialect::Openai, "/v1/chat/completions", &model, false);
    assert_eq!(MESH.send(&tenant.sign(request.clone())).status, 200);
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(record["estimated"], json!(true));
    // Four bytes a token, rounded up.
    let input = u64::try_from(request.body.len()).unwrap().div_ceil(4);
    assert_eq!(record["usage"], classes([input, 0, 0, 0, 100, 0, 0]));
    assert_eq!(record["cost_micro_usd"], json!(input * 3 + 1_500));
}

#[test]
fn counting_tokens_and_errors_cost_nothing() {
    let (provider, tenant, model) = stage(Dialect::Anthropic, body(r#"{"input_tokens":77}"#));
    let count = request(
        Dialect::Anthropic,
        "/v1/messages/count_tokens",
        &model,
        false,
    );
    assert_eq!(MESH.send(&tenant.sign(count)).status, 200);
    provider.script(|_, _| {
        Answer::bytes(
            400,
            "application/json",
            r#"{"type":"error","error":{"type":"x"}}"#,
        )
    });
    let messages = request(Dialect::Anthropic, "/v1/messages", &model, true);
    assert_eq!(MESH.send(&tenant.sign(messages)).status, 400);
    for record in MESH.wait_records(&tenant.key_id, 2) {
        assert_eq!(
            (&record["cost_micro_usd"], &record["usage"]),
            (&json!(0), &classes([0; 7])),
            "{record:#}"
        );
        assert_eq!(record["estimated"], json!(false));
    }
}

/// What the client sends, what the provider must get, and whether the client sees the extra event.
fn spliced(sent: &str, got: &str, sees: bool) {
    let (provider, tenant, model) = stage(Dialect::Openai, Answer::sse(CHAT_STREAM));
    let all = CHAT_STREAM.concat();
    let without = [CHAT_STREAM[0], CHAT_STREAM[1], CHAT_STREAM[3]].concat();
    let cuts: [&[usize]; 3] = [&[1], &[usize::MAX], &[40, 3]];
    for (n, cut) in cuts.into_iter().enumerate() {
        provider.forget();
        let answer = Answer::sse(CHAT_STREAM).cut(cut);
        provider.script(move |_, _| answer.clone());
        let request = Request::post_bytes("/v1/chat/completions", sent.replace("MODEL", &model));
        let answered = MESH.send(&tenant.sign(request));
        assert_eq!(
            answered.text(),
            if sees { all.clone() } else { without.clone() },
            "cut {n}"
        );
        assert!(answered.complete);
        let seen = provider.only();
        assert_eq!(
            String::from_utf8(seen.body).unwrap(),
            got.replace("MODEL", &model)
        );
        let record = MESH.wait_records(&tenant.key_id, n + 1).remove(0);
        assert_eq!(
            (&record["usage"], &record["cost_micro_usd"]),
            (&classes(OPENAI.0), &json!(OPENAI.1))
        );
        assert_eq!(record["estimated"], json!(false));
    }
}

#[test]
fn usage_is_asked_for_and_its_event_removed() {
    spliced(
        r#"{ "model":"MODEL","stream" :true, "messages":[] }"#,
        r#"{"stream_options":{"include_usage":true}, "model":"MODEL","stream" :true, "messages":[] }"#,
        false,
    );
}

#[test]
fn usage_is_asked_for_within_other_options() {
    spliced(
        r#"{"stream_options":{"include_obfuscation":false},"model":"MODEL","stream":true,"messages":[]}"#,
        r#"{"stream_options":{"include_usage":true,"include_obfuscation":false},"model":"MODEL","stream":true,"messages":[]}"#,
        false,
    );
}

#[test]
fn usage_that_was_declined_is_asked_for_and_removed() {
    spliced(
        r#"{"model":"MODEL","stream":true,"stream_options":{"include_usage": false},"messages":[]}"#,
        r#"{"model":"MODEL","stream":true,"stream_options":{"include_usage": true},"messages":[]}"#,
        false,
    );
}

#[test]
fn usage_that_the_client_asked_for_stays() {
    let sent =
        r#"{"model":"MODEL","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    spliced(sent, sent, true);
}

#[test]
fn a_provider_that_refuses_the_option_is_left_alone() {
    let provider = MockProvider::always(Answer::sse([
        CHAT_STREAM[0],
        CHAT_STREAM[1],
        CHAT_STREAM[3],
    ]));
    let registration =
        Registration::new(Dialect::Openai, &provider).with("stream_usage", json!("leave"));
    let tenant = MESH.tenant(&[registration]);
    let model = unique("model");
    price(MESH.admin(), Dialect::Openai, &model, PRICE);
    let sent = format!(r#"{{"model":"{model}","stream":true,"messages":[]}}"#);
    let answered =
        MESH.send(&tenant.sign(Request::post_bytes("/v1/chat/completions", sent.clone())));
    assert_eq!(
        answered.text(),
        [CHAT_STREAM[0], CHAT_STREAM[1], CHAT_STREAM[3]].concat()
    );
    assert_eq!(String::from_utf8(provider.only().body).unwrap(), sent);
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(record["estimated"], json!(true));
    // "hi" is one token of four bytes.
    let input = u64::try_from(sent.len()).unwrap().div_ceil(4);
    assert_eq!(record["usage"], classes([input, 0, 0, 0, 1, 0, 0]));
}

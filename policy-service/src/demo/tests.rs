use axum::body::to_bytes;
use axum::http::{Method, Request};
use serde_json::json;
use tower::ServiceExt as _;

use super::*;

async fn send(method: Method, path: &str, body: &Value) -> (StatusCode, String) {
    let body = if method == Method::GET {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(body)
        .unwrap();
    let response = router().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), BODY_CAP_BYTES)
        .await
        .unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn post(path: &str, body: Value) -> Value {
    let (status, text) = send(Method::POST, path, &body).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The payloads of an event stream.
async fn events(path: &str, body: Value) -> Vec<Value> {
    let (status, text) = send(Method::POST, path, &body).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|payload| *payload != "[DONE]")
        .map(|payload| serde_json::from_str(payload).unwrap())
        .collect()
}

#[tokio::test]
async fn anthropic_message_carries_text_and_usage() {
    let answer = post(
        "/anthropic/v1/messages",
        json!({"model": "m", "max_tokens": 5, "messages": []}),
    )
    .await;
    assert_eq!(answer["stop_reason"], "end_turn");
    assert!(
        answer["content"][0]["text"]
            .as_str()
            .unwrap()
            .contains("`m`")
    );
    assert!(answer["usage"]["input_tokens"].as_u64().unwrap() > 5);
    assert!(answer["usage"]["output_tokens"].as_u64().unwrap() > 5);
}

#[tokio::test]
async fn anthropic_stream_ends_with_message_stop() {
    let events = events(
        "/anthropic/v1/messages",
        json!({"model": "m", "stream": true}),
    )
    .await;
    assert_eq!(events.first().unwrap()["type"], "message_start");
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    let text: String = events
        .iter()
        .filter_map(|event| event["delta"]["text"].as_str())
        .collect();
    assert_eq!(text, answer("m"));
}

#[tokio::test]
async fn chat_stream_reports_usage_only_when_asked() {
    let without = events(
        "/openai/v1/chat/completions",
        json!({"model": "m", "stream": true}),
    )
    .await;
    assert!(without.iter().all(|chunk| chunk.get("usage").is_none()));
    let body = json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}});
    let with = events("/openai/v1/chat/completions", body).await;
    let last = with.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert!(last["usage"]["completion_tokens"].as_u64().unwrap() > 5);
}

#[tokio::test]
async fn responses_stream_ends_with_the_whole_response() {
    let events = events(
        "/openai/v1/responses",
        json!({"model": "m", "stream": true, "input": "hi"}),
    )
    .await;
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(
        last["response"]["output"][0]["content"][0]["text"],
        answer("m").as_str()
    );
    let numbers: Vec<u64> = events
        .iter()
        .map(|event| event["sequence_number"].as_u64().unwrap())
        .collect();
    assert!(
        numbers.iter().zip(0..).all(|(have, want)| *have == want),
        "{numbers:?}"
    );
}

#[tokio::test]
async fn embeddings_answer_in_both_encodings() {
    let plain = post(
        "/openai/v1/embeddings",
        json!({"model": "m", "input": ["a", "b"]}),
    )
    .await;
    assert_eq!(plain["data"][1]["embedding"].as_array().unwrap().len(), 8);
    let body = json!({"model": "m", "input": "a", "dimensions": 2, "encoding_format": "base64"});
    let encoded = post("/openai/v1/embeddings", body).await;
    assert_eq!(encoded["data"][0]["embedding"].as_str().unwrap().len(), 12);
}

#[tokio::test]
async fn gemini_stream_without_sse_is_one_array() {
    let path = "/gemini/v1beta/models/m:streamGenerateContent";
    let array = post(path, json!({"contents": []})).await;
    let text: String = array
        .as_array()
        .unwrap()
        .iter()
        .map(|chunk| {
            chunk["candidates"][0]["content"]["parts"][0]["text"]
                .as_str()
                .unwrap()
        })
        .collect();
    assert_eq!(text, answer("m"));
    let events = events(&format!("{path}?alt=sse"), json!({"contents": []})).await;
    assert_eq!(
        events.last().unwrap()["candidates"][0]["finishReason"],
        "STOP"
    );
    assert_eq!(
        events.last().unwrap()["usageMetadata"],
        array.as_array().unwrap().last().unwrap()["usageMetadata"]
    );
}

#[tokio::test]
async fn each_dialect_refuses_a_body_that_is_no_object() {
    for path in [
        "/anthropic/v1/messages",
        "/openai/v1/responses",
        "/gemini/v1beta/models/m:generateContent",
    ] {
        let (status, text) = send(Method::POST, path, &json!([])).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert!(
            serde_json::from_str::<Value>(&text)
                .unwrap()
                .get("error")
                .is_some(),
            "{text}"
        );
    }
}

#[tokio::test]
async fn models_are_listed_in_each_dialect() {
    for (path, at) in [
        ("/anthropic/v1/models", "/data/0/id"),
        ("/openai/v1/models", "/data/0/id"),
        ("/gemini/v1beta/models", "/models/0/name"),
    ] {
        let (status, text) = send(Method::GET, path, &Value::Null).await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            serde_json::from_str::<Value>(&text)
                .unwrap()
                .pointer(at)
                .is_some(),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_request_for_json_gets_json() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let body = json!({"contents": [], "generationConfig": {"responseSchema": schema}});
    let gemini = post("/gemini/v1beta/models/m:generateContent", body).await;
    let text = &gemini["candidates"][0]["content"]["parts"][0]["text"];
    assert_eq!(text, r#"{"n":1}"#);
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let body = json!({"model": "m", "messages": [], "response_format": format});
    let openai = post("/openai/v1/chat/completions", body).await;
    assert_eq!(openai["choices"][0]["message"]["content"], r#"{"n":1}"#);
}

//! Ids of things that a provider keeps: one provider key serves many teams, so each may name only its own.

use std::sync::LazyLock;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use weir_tests::client::{Protocol, Request};
use weir_tests::mesh::tenant::{self, Dialect, Registration, Tenant, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, anthropic, gemini, openai};
use weir_tests::refused::{Refused, assert_stops, assert_waits};
use weir_tests::tokens::Tokens;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

const UNKNOWN: Refused = Refused {
    dialect: Dialect::Openai,
    status: 404,
    code: "stateful_id_unknown",
};

/// A provider whose responses have the id `id`, and a key for it.
fn stage(mesh: &Mesh, id: &str, streamed: bool) -> (MockProvider, Tenant) {
    let answer = if streamed {
        let events = openai::response_stream("gpt-5", "hello there", Tokens::new(3, 2));
        Answer::sse(
            events
                .into_iter()
                .map(|event| event.replace("resp_scripted", id)),
        )
    } else {
        let mut body = openai::response("gpt-5", "hello there", Tokens::new(3, 2));
        body["id"] = json!(id);
        Answer::json(200, &body)
    };
    let provider = MockProvider::always(answer);
    let tenant = mesh.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    (provider, tenant)
}

/// Another key for the provider of `tenant`: of its team, or of a team of its own.
fn another_key(mesh: &Mesh, tenant: &Tenant, same_team: bool) -> String {
    mesh.change(|admin| {
        let team = if same_team {
            tenant.team.clone()
        } else {
            tenant::team(admin)
        };
        let names: Vec<&str> = tenant.providers.iter().map(String::as_str).collect();
        tenant::key(
            admin,
            &team,
            &json!({"access": tenant::access(&names, &["*"])}),
        )
        .1
    })
}

fn first(streamed: bool) -> Request {
    Request::post(
        "/v1/responses",
        &json!({"model": "gpt-5", "input": "hi", "stream": streamed}),
    )
}

fn next(id: &str) -> Request {
    Request::post(
        "/v1/responses",
        &json!({"model": "gpt-5", "input": "and?", "previous_response_id": id}),
    )
}

#[track_caller]
fn a_response_belongs_to_its_team(streamed: bool) {
    let id = unique("resp");
    let (provider, tenant) = stage(&MESH, &id, streamed);
    let mate = another_key(&MESH, &tenant, true);
    let stranger = another_key(&MESH, &tenant, false);

    // Nobody made it yet.
    assert_stops(
        &MESH.send(&next(&id).bearer(&tenant.key)),
        UNKNOWN,
        "before it was made",
    );
    assert_eq!(provider.count(), 0);

    assert_eq!(MESH.send(&tenant.sign(first(streamed))).status, 200);
    MESH.wait_records(&tenant.key_id, 2);
    for key in [&tenant.key, &mate] {
        provider.forget();
        let request = next(&id).bearer(key);
        let answered = MESH.send(&request);
        assert_eq!(answered.status, 200, "{}", answered.text());
        assert_eq!(provider.only().body, request.body);
    }
    provider.forget();
    let answered = MESH.send(&next(&id).bearer(&stranger));
    assert_stops(&answered, UNKNOWN, "another team");
    assert!(!answered.text().contains(&id), "a stranger learns nothing");
    assert_stops(
        &MESH.send(&next(&format!("{id}x")).bearer(&tenant.key)),
        UNKNOWN,
        "another id",
    );
    assert_eq!(provider.count(), 0);
}

#[test]
fn a_whole_response_belongs_to_its_team() {
    a_response_belongs_to_its_team(false);
}

#[test]
fn a_streamed_response_belongs_to_its_team() {
    a_response_belongs_to_its_team(true);
}

/// A provider that gives every response an id of its own, whole or streamed as it is asked.
fn numbered() -> MockProvider {
    MockProvider::start(|seen, number| {
        let id = format!("resp_{}_{number}", seen.json()["metadata"]["stage"]);
        if seen.json()["stream"] == json!(true) {
            let events = openai::response_stream("gpt-5", "hello there", Tokens::new(3, 2));
            Answer::sse(
                events
                    .into_iter()
                    .map(|event| event.replace("resp_scripted", &id)),
            )
        } else {
            let mut body = openai::response("gpt-5", "hello there", Tokens::new(3, 2));
            body["id"] = json!(id);
            Answer::json(200, &body)
        }
    })
}

/// The id of a response, whole or streamed.
fn id_of(text: &str) -> String {
    let (_, rest) = text.split_once("\"resp_").expect("an id");
    let (id, _) = rest.split_once('"').expect("the id's end");
    format!("resp_{id}")
}

/// Follow-ups that leave as soon as the answer before was read, each over a connection of its own; returns how many
/// were refused.
fn refused_follow_ups(mesh: &Mesh, to: &[std::net::SocketAddr], tenant: &Tenant) -> usize {
    let mut previous: Option<String> = None;
    let mut refused = 0;
    for turn in 0..200 {
        let streamed = turn % 2 == 0;
        let mut body = json!({
            "model": "gpt-5", "input": "x", "stream": streamed, "metadata": {"stage": turn},
        });
        if let Some(previous) = &previous {
            body["previous_response_id"] = json!(previous);
        }
        let request = tenant.sign(Request::post("/v1/responses", &body));
        let answered = request.send(to[turn % to.len()], Protocol::Http1).unwrap();
        if answered.status == 200 {
            previous = Some(id_of(&answered.text()));
        } else {
            assert_stops(&answered, UNKNOWN, &mesh.logs());
            refused += 1;
        }
    }
    refused
}

/// A tool loop names the response that it has just read, and meets any worker.
#[test]
fn a_follow_up_may_leave_at_once() {
    let provider = numbered();
    let tenant = MESH.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    let stranger = another_key(&MESH, &tenant, false);
    assert_eq!(refused_follow_ups(&MESH, &[MESH.address()], &tenant), 0);
    let first = MESH.send(&tenant.sign(first(true)));
    let id = id_of(&first.text());
    assert_stops(
        &MESH.send(&next(&id).bearer(&stranger)),
        UNKNOWN,
        "another team, at once",
    );
}

/// Through another Envoy the report of the first may come a little later.
#[test]
fn a_follow_up_may_leave_at_once_through_another_envoy() {
    let options = Options {
        envoys: 2,
        ..Options::default()
    };
    let mesh = Mesh::start(&options);
    let provider = numbered();
    let tenant = mesh.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    assert_eq!(refused_follow_ups(&mesh, &mesh.addresses(), &tenant), 0);
}

/// A provider whose answers are reasoning and a message with ids of their own, whole or streamed as it is asked.
fn thinking() -> MockProvider {
    MockProvider::start(|seen, number| {
        let asked = seen.json();
        let turn = format!("{}_{number}", asked["metadata"]["stage"]);
        let (text, tokens) = ("hello there", Tokens::new(3, 2));
        let thought = json!({"id": "rs_scripted", "type": "reasoning", "summary": []});
        let named = |text: String| {
            let text = text.replace("resp_scripted", &format!("resp_{turn}"));
            let text = text.replace("rs_scripted", &format!("rs_{turn}"));
            text.replace("msg_scripted", &format!("msg_{turn}"))
        };
        if asked["stream"] == json!(true) {
            let mut events = openai::item_stream("gpt-5", &thought, tokens);
            // The last event of the one tells that it is complete; the other's begins a response anew.
            events.truncate(events.len() - 1);
            events.extend(openai::response_stream("gpt-5", text, tokens).split_off(2));
            Answer::sse(events.into_iter().map(named))
        } else {
            let mut body = openai::response("gpt-5", text, tokens);
            if let Some(output) = body["output"].as_array_mut() {
                output.insert(0, thought);
            }
            let body = named(body.to_string());
            Answer::json(200, &serde_json::from_str::<Value>(&body).expect("JSON"))
        }
    })
}

/// The id of that form in an answer, whole or streamed.
fn item_of(text: &str, form: &str) -> String {
    let (_, rest) = text.split_once(&format!("\"{form}_")).expect("an item");
    let (id, _) = rest.split_once('"').expect("the id's end");
    format!("{form}_{id}")
}

/// What clients send in the place of the items that they were given: references, or what they got of them.
fn in_place_of(thought: &str, message: &str) -> Vec<Value> {
    vec![
        json!([{"type": "item_reference", "id": message}]),
        json!([{"type": "item_reference", "id": thought}, {"type": "item_reference", "id": message}]),
        json!([{"type": "reasoning", "id": thought, "summary": []}]),
        json!([{"type": "message", "role": "assistant", "id": message, "content": null}]),
    ]
}

fn naming(input: &Value, turn: usize, streamed: bool) -> Request {
    let mut input = input.clone();
    if let Some(items) = input.as_array_mut() {
        items.push(json!({"role": "user", "content": "and?"}));
    }
    let body = json!({
        "model": "gpt-5", "input": input, "stream": streamed, "metadata": {"stage": turn},
    });
    Request::post("/v1/responses", &body)
}

/// Each turn names the items of the one before as soon as they were read, each over a connection of its own.
#[track_caller]
fn items_belong_to_their_team(mesh: &Mesh, to: &[std::net::SocketAddr]) {
    let provider = thinking();
    let tenant = mesh.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    let mate = another_key(mesh, &tenant, true);
    let stranger = another_key(mesh, &tenant, false);
    let mut inputs = vec![json!([])];
    for turn in 0..20 {
        let streamed = turn % 2 == 0;
        let input = &inputs[turn % inputs.len()];
        let key = if turn % 3 == 0 { &mate } else { &tenant.key };
        let request = naming(input, turn, streamed).bearer(key);
        let answered = request.send(to[turn % to.len()], Protocol::Http1).unwrap();
        assert_eq!(
            answered.status,
            200,
            "turn {turn}: {input} {}",
            answered.text()
        );
        let text = answered.text();
        let (thought, message) = (item_of(&text, "rs"), item_of(&text, "msg"));
        inputs = in_place_of(&thought, &message);
    }
    provider.forget();
    for input in &inputs {
        for to in to {
            let request = naming(input, 0, false).bearer(&stranger);
            let answered = request.send(*to, Protocol::Http1).unwrap();
            assert_stops(&answered, UNKNOWN, &format!("another team: {input}"));
        }
    }
    // The ids of a response's items are no responses, and a response is no item.
    for (field, value) in [
        ("previous_response_id", inputs[0][0]["id"].clone()),
        (
            "input",
            json!([{"type": "item_reference", "id": id_of("\"resp_19_20\"")}]),
        ),
    ] {
        let (_, target, body) = responses(field, value);
        let answered = mesh.send(&tenant.sign(Request::post(target, &body)));
        assert_stops(&answered, UNKNOWN, &body.to_string());
    }
    assert_eq!(provider.count(), 0);
}

#[test]
fn an_item_may_be_named_at_once() {
    items_belong_to_their_team(&MESH, &[MESH.address()]);
}

/// Through another Envoy the report of the first may come a little later.
#[test]
fn an_item_may_be_named_at_once_through_another_envoy() {
    let options = Options {
        envoys: 2,
        ..Options::default()
    };
    let mesh = Mesh::start(&options);
    items_belong_to_their_team(&mesh, &mesh.addresses());
}

/// What stands for itself is nobody's to ask about, whoever made it.
#[test]
fn items_with_content_of_their_own_are_not_asked_about() {
    let (provider, tenant) = stage(&MESH, &unique("resp"), false);
    for item in [
        json!({"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": "gAAA"}),
        json!({"type": "message", "id": "msg_x", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}),
        json!({"type": "function_call", "id": "fc_x", "call_id": "c", "name": "n", "arguments": "{}"}),
    ] {
        provider.forget();
        let answered = MESH.send(&tenant.sign(naming(&json!([item]), 0, false)));
        assert_eq!(answered.status, 200, "{item}: {}", answered.text());
        assert_eq!(provider.count(), 1);
    }
}

/// More items than are kept of an answer are an answer like any other; those beyond are unknown afterwards.
#[test]
fn items_beyond_those_that_are_kept_are_unknown() {
    let name = unique("ig");
    let id = |number: usize| format!("{name}_{number}");
    let items: Vec<Value> = (0..300)
        .map(|number| json!({"type": "image_generation_call", "id": id(number), "result": "x"}))
        .collect();
    let mut body = openai::response("gpt-5", "x", Tokens::new(3, 2));
    body["output"] = json!(items);
    let provider = MockProvider::always(Answer::json(200, &body));
    let tenant = MESH.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    let answered = MESH.send(&tenant.sign(first(false)));
    assert_eq!(answered.status, 200, "{}", answered.text());
    let names = |numbers: std::ops::Range<usize>| {
        let items: Vec<Value> = numbers
            .map(|number| json!({"type": "image_generation_call", "id": id(number)}))
            .collect();
        MESH.send(&tenant.sign(naming(&json!(items), 0, false)))
    };
    let answered = names(0..256);
    assert_eq!(answered.status, 200, "{}", answered.text());
    assert_stops(&names(256..257), UNKNOWN, "one more");
    let want = Refused {
        dialect: Dialect::Openai,
        status: 400,
        code: "bad_json",
    };
    assert_stops(&names(0..1_025), want, "more than one request may name");
}

/// `store: false` or not, an id that is null refers to nothing.
#[test]
fn no_reference_is_no_question() {
    let (provider, tenant) = stage(&MESH, &unique("resp"), false);
    let body =
        json!({"model": "gpt-5", "input": "x", "previous_response_id": null, "store": false});
    let answered = MESH.send(&tenant.sign(Request::post("/v1/responses", &body)));
    assert_eq!(answered.status, 200, "{}", answered.text());
    assert_eq!(provider.count(), 1);
}

#[test]
fn background_work_is_refused() {
    let (provider, tenant) = stage(&MESH, &unique("resp"), false);
    let ask = |background: Value| {
        let body = json!({"model": "gpt-5", "input": "x", "background": background});
        MESH.send(&tenant.sign(Request::post("/v1/responses", &body)))
    };
    let want = Refused {
        dialect: Dialect::Openai,
        status: 400,
        code: "background_unsupported",
    };
    assert_stops(&ask(json!(true)), want, "background");
    assert_eq!(provider.count(), 0);
    assert_eq!(ask(json!(false)).status, 200);
    assert_eq!(provider.count(), 1);
}

/// A Responses body with one field more.
fn responses(field: &str, value: Value) -> (Dialect, &'static str, Value) {
    let mut body = json!({"model": "gpt-5", "input": "x"});
    body[field] = value;
    (Dialect::Openai, "/v1/responses", body)
}

fn gemini_file(uri: &str) -> (Dialect, &'static str, Value) {
    let part = json!({"fileData": {"mimeType": "text/plain", "fileUri": uri}});
    let body = json!({"contents": [{"role": "user", "parts": [part]}]});
    (
        Dialect::Gemini,
        "/v1beta/models/gemini-2:generateContent",
        body,
    )
}

/// Requests that name something a provider keeps, one for each field that can.
fn referring() -> Vec<(Dialect, &'static str, Value)> {
    let user = |content: Value| json!([{"role": "user", "content": [content]}]);
    let file = user(json!({"type": "file", "file": {"file_id": "file-1"}}));
    let claude_file =
        user(json!({"type": "document", "source": {"type": "file", "file_id": "file_1"}}));
    let cached = json!({"contents": [], "cachedContent": "cachedContents/1"});
    let (chat, messages) = ("/v1/chat/completions", "/v1/messages");
    vec![
        responses("conversation", json!("conv_1")),
        responses("conversation", json!({"id": "conv_1"})),
        responses("prompt", json!({"id": "pmpt_1"})),
        responses(
            "input",
            user(json!({"type": "input_file", "file_id": "file-1"})),
        ),
        responses("input", json!([{"type": "item_reference", "id": "msg_1"}])),
        responses(
            "input",
            json!([{"type": "reasoning", "id": "rs_1", "summary": []}]),
        ),
        responses(
            "tools",
            json!([{"type": "file_search", "vector_store_ids": ["vs_1"]}]),
        ),
        responses(
            "tools",
            json!([{"type": "code_interpreter", "container": "cntr_1"}]),
        ),
        (
            Dialect::Openai,
            chat,
            json!({"model": "gpt-5", "messages": file}),
        ),
        (
            Dialect::Anthropic,
            messages,
            json!({"model": "c", "max_tokens": 1, "messages": claude_file}),
        ),
        (
            Dialect::Anthropic,
            messages,
            json!({"model": "c", "container": "container_1", "messages": []}),
        ),
        responses(
            "input",
            json!([{"type": "image_generation_call", "id": "ig_1"}]),
        ),
        responses("input", json!([{"type": "future_call", "id": "x_1"}])),
        responses(
            "tools",
            json!([{"type": "image_generation", "input_image_mask": {"file_id": "file-1"}}]),
        ),
        responses(
            "tools",
            json!([{"type": "mcp", "server_label": "x", "connector_id": "connector_dropbox"}]),
        ),
        responses("future", json!({"store_ids": ["x"]})),
        (
            Dialect::Openai,
            chat,
            json!({"model": "gpt-5", "messages": [], "audio": {"voice": {"id": "voice_1"}}}),
        ),
        (
            Dialect::Anthropic,
            messages,
            json!({"model": "c", "max_tokens": 1, "messages": [], "container": {"skills": [{"type": "custom", "skill_id": "skill_1"}]}}),
        ),
        (
            Dialect::Anthropic,
            messages,
            json!({"model": "c", "max_tokens": 1, "messages": user(json!({"type": "future", "deep": [{"fileId": "x"}]}))}),
        ),
        gemini_file("https://generativelanguage.googleapis.com/v1beta/files/abc"),
        gemini_file("HTTPS://GenerativeLanguage.GoogleAPIs.com.:443/v1beta/files/abc"),
        gemini_file("https://x@generativelanguage%2egoogleapis.com/v1beta/files/abc"),
        gemini_file("gs://bucket/object"),
        gemini_file("abc"),
        (Dialect::Gemini, "/v1beta/models/g:generateContent", cached),
    ]
}

#[test]
fn ids_whose_owner_nobody_tracks_are_refused() {
    let provider = MockProvider::always(Answer::json(200, &json!({})));
    let registrations = [Dialect::Anthropic, Dialect::Openai, Dialect::Gemini]
        .map(|dialect| Registration::new(dialect, &provider));
    let tenant = MESH.tenant(&registrations);
    for (dialect, target, body) in referring() {
        let answered = MESH.send(&tenant.sign(Request::post(target, &body)));
        assert_stops(&answered, Refused { dialect, ..UNKNOWN }, &body.to_string());
    }
    assert_eq!(provider.count(), 0);
    let skill = json!([{"type": "anthropic", "skill_id": "pptx", "version": "latest"}]);
    for (_, target, body) in [
        responses("metadata", json!({"file_id": "file-1"})),
        responses(
            "input",
            json!([{"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBORw0KGgo="}]),
        ),
        responses(
            "tools",
            json!([{"type": "mcp", "server_label": "x", "server_url": "https://mcp.example.com"}]),
        ),
        (
            Dialect::Anthropic,
            "/v1/messages",
            json!({"model": "c", "max_tokens": 1, "messages": [], "container": {"skills": skill}}),
        ),
    ] {
        let answered = MESH.send(&tenant.sign(Request::post(target, &body)));
        assert_eq!(answered.status, 200, "{body}: {}", answered.text());
    }
    let (_, target, body) = gemini_file("https://example.com/public.txt");
    let answered = MESH.send(&tenant.sign(Request::post(target, &body)));
    assert_eq!(answered.status, 200, "a public address is nobody's");
}

/// Where a request goes is policy's to choose, and so is every model in it.
#[test]
fn what_would_lead_elsewhere_is_refused() {
    let provider = MockProvider::always(Answer::json(200, &json!({})));
    let tenant = MESH.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    let chat = |field: &str, value: Value| {
        let mut body = json!({"model": "gpt-5", "messages": []});
        body[field] = value;
        MESH.send(&tenant.sign(Request::post("/v1/chat/completions", &body)))
    };
    for (field, value) in [
        ("api_base", json!("http://127.0.0.1:1")),
        ("BASE_URL", json!("http://127.0.0.1:1")),
        ("apiKey", json!("k")),
        ("custom_llm_provider", json!("x")),
        ("provider", json!({"order": ["x"]})),
        ("plugins", json!([{"id": "web"}])),
        ("preset", json!("mine")),
        ("route", json!("fallback")),
        (
            "fallbacks",
            json!([{"model": "gpt-5", "api_base": "http://127.0.0.1:1"}]),
        ),
    ] {
        let want = Refused {
            dialect: Dialect::Openai,
            status: 403,
            code: "field_not_allowed",
        };
        assert_stops(&chat(field, value), want, field);
    }
    assert_eq!(provider.count(), 0);
    assert_eq!(chat("provider", Value::Null).status, 200);
    assert_eq!(chat("fallbacks", json!(["gpt-5"])).status, 200);
}

/// Who owns what another process saw made is asked of the service; without an answer there is a refusal worth another
/// try, not a guess.
#[test]
fn without_the_service_nobody_s_word_is_taken() {
    let options = Options {
        envoys: 2,
        ..Options::default()
    };
    let mesh = Mesh::start(&options);
    let other = mesh.addresses()[1];
    let elsewhere = |request: &Request| request.send(other, Protocol::Http1).unwrap();
    let id = unique("resp");
    let (provider, tenant) = stage(&mesh, &id, false);
    assert_eq!(mesh.send(&tenant.sign(first(false))).status, 200);
    mesh.only_record(&tenant.key_id);
    mesh.end_service(Signal::SIGKILL);
    provider.forget();
    let answered = elsewhere(&tenant.sign(next(&id)));
    let want = Refused {
        dialect: Dialect::Openai,
        status: 503,
        code: "service_unreachable",
    };
    assert_waits(&answered, want, "the service is away");
    assert_eq!(provider.count(), 0);
    // What needs no answer goes on.
    assert_eq!(elsewhere(&tenant.sign(first(false))).status, 200);
    assert_eq!(mesh.send(&tenant.sign(next(&id))).status, 200);
    mesh.start_service();
    mesh.wait_ready();
    provider.forget();
    weir_tests::wait::until("the service to be asked again", || {
        (elsewhere(&tenant.sign(next(&id))).status == 200).then_some(())
    });
    assert_eq!(provider.count(), 1);
}

/// The other dialects' ordinary answers create nothing that could be referred to.
#[test]
fn ids_of_other_answers_are_no_responses() {
    let provider = MockProvider::start(|seen, _| match seen.path() {
        "/v1/messages" => Answer::json(200, &anthropic::message("m", "x", Tokens::new(1, 1))),
        "/v1/chat/completions" => Answer::json(200, &openai::chat("m", "x", Tokens::new(1, 1))),
        _ => Answer::json(200, &gemini::generate("m", "x", Tokens::new(1, 1))),
    });
    let tenant = MESH.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    let body = json!({"model": "m", "messages": []});
    assert_eq!(
        MESH.send(&tenant.sign(Request::post("/v1/chat/completions", &body)))
            .status,
        200
    );
    MESH.only_record(&tenant.key_id);
    assert_stops(
        &MESH.send(&next("chatcmpl-scripted").bearer(&tenant.key)),
        UNKNOWN,
        "a chat's id",
    );
}

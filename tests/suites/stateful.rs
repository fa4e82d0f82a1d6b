//! Ids of things that a provider keeps: one provider key serves many teams, so each may name only its own.

use std::sync::LazyLock;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use weir_tests::client::Request;
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
        gemini_file("https://generativelanguage.googleapis.com/v1beta/files/abc"),
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
    let (_, target, body) = gemini_file("https://example.com/public.txt");
    let answered = MESH.send(&tenant.sign(Request::post(target, &body)));
    assert_eq!(answered.status, 200, "a public address is nobody's");
}

/// Who owns it is asked of the service; without an answer there is a refusal worth another try, not a guess.
#[test]
fn without_the_service_nobody_s_word_is_taken() {
    let mesh = Mesh::start(&Options::default());
    let id = unique("resp");
    let (provider, tenant) = stage(&mesh, &id, false);
    assert_eq!(mesh.send(&tenant.sign(first(false))).status, 200);
    mesh.only_record(&tenant.key_id);
    mesh.end_service(Signal::SIGKILL);
    provider.forget();
    let answered = mesh.send(&tenant.sign(next(&id)));
    let want = Refused {
        dialect: Dialect::Openai,
        status: 503,
        code: "service_unreachable",
    };
    assert_waits(&answered, want, "the service is away");
    assert_eq!(provider.count(), 0);
    // What needs no answer goes on.
    assert_eq!(mesh.send(&tenant.sign(first(false))).status, 200);
    mesh.start_service();
    mesh.wait_ready();
    provider.forget();
    weir_tests::wait::until("the service to be asked again", || {
        (mesh.send(&tenant.sign(next(&id))).status == 200).then_some(())
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

//! `models` answers: what the presented key may use, aliases included, in each dialect.

use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::client::{Protocol, Request};
use weir_tests::mesh::tenant::{self, Dialect, Registration};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::MockProvider;
use weir_tests::provider::answer::Answer;
use weir_tests::refused::{Refused, assert_stops};

struct Stage {
    mesh: Mesh,
    provider: MockProvider,
    /// May use everything.
    all: (String, String),
    /// May use `-small` models, at one provider of each dialect.
    few: (String, String),
    /// May use nothing.
    none: (String, String),
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let mesh = Mesh::start(&Options::default());
    let provider = MockProvider::always(Answer::json(200, &json!({"models": "of the provider"})));
    let (all, few, none) = mesh.change(|admin| {
        for (dialect, name, models) in [
            (
                Dialect::Anthropic,
                "ant",
                json!(["claude-big", "claude-small"]),
            ),
            (Dialect::Anthropic, "ant-two", json!(["claude-else-small"])),
            (
                Dialect::Openai,
                "oai",
                json!(["gpt-big", "gpt-small", "text-embedding-small"]),
            ),
            (
                Dialect::Gemini,
                "goo",
                json!(["gemini-big", "gemini-small", "gemini-embedding-small"]),
            ),
        ] {
            let registration = Registration::new(dialect, &provider).with("name", json!(name));
            admin.post(
                "/providers",
                registration
                    .with("models", models.clone())
                    .with("listed_models", models)
                    .body(),
            );
        }
        let team = tenant::team(admin);
        let other = tenant::team(admin);
        let target = |provider: &str, model: &str| json!([{"provider": provider, "model": model}]);
        for (alias, scope, targets) in [
            ("quick", json!("global"), target("ant", "claude-small")),
            ("grand", json!("global"), target("ant", "claude-big")),
            (
                "of-the-team",
                json!({"team": team}),
                target("oai", "gpt-small"),
            ),
            (
                "of-another-team",
                json!({"team": other}),
                target("oai", "gpt-small"),
            ),
            ("any-*", json!("global"), target("goo", "gemini-small")),
        ] {
            admin.post(
                "/routes",
                &json!({"alias": alias, "scope": scope, "targets": targets}),
            );
        }
        let names = ["ant", "ant-two", "oai", "goo"];
        let all = tenant::key(
            admin,
            &team,
            &json!({"access": tenant::access(&names, &["*"])}),
        );
        let few = json!({"access": tenant::access(&["ant", "oai", "goo"], &["*-small"])});
        let few = tenant::key(admin, &team, &few);
        (all, few, tenant::key(admin, &team, &json!({})))
    });
    Stage {
        mesh,
        provider,
        all,
        few,
        none,
    }
});

fn ask(target: &str, key: &str) -> Request {
    Request::get(target).bearer(key)
}

/// Returns the ids of a list, whatever the dialect.
fn ids(list: &Value) -> Vec<String> {
    let items = list["data"]
        .as_array()
        .or(list["models"].as_array())
        .expect("a list");
    let id = |item: &Value| {
        item["id"]
            .as_str()
            .or(item["name"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    items.iter().map(id).collect()
}

#[track_caller]
fn check(request: &Request, want: &[&str]) {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let answered = STAGE.mesh.send_over(request, protocol);
        assert_eq!(
            answered.status,
            200,
            "{}: {}",
            request.target,
            answered.text()
        );
        assert_eq!(
            answered.field("content-type").as_deref(),
            Some("application/json")
        );
        let mut found = ids(&answered.json());
        found.sort();
        let mut want = want.to_vec();
        want.sort_unstable();
        assert_eq!(found, want, "{}", request.target);
    }
}

#[test]
fn a_key_sees_what_it_may_use_and_no_more() {
    let anthropic = |key: &str| ask("/v1/models", key).field("anthropic-version", "2023-06-01");
    check(
        &anthropic(&STAGE.all.1),
        &[
            "claude-big",
            "claude-small",
            "claude-else-small",
            "quick",
            "grand",
        ],
    );
    check(&anthropic(&STAGE.few.1), &["claude-small", "quick"]);
    check(&anthropic(&STAGE.none.1), &[]);
    check(
        &ask("/openai/v1/models", &STAGE.all.1),
        &[
            "gpt-big",
            "gpt-small",
            "text-embedding-small",
            "of-the-team",
        ],
    );
    check(
        &ask("/openai/v1/models", &STAGE.few.1),
        &["gpt-small", "text-embedding-small", "of-the-team"],
    );
    check(&ask("/openai/v1/models", &STAGE.none.1), &[]);
    let gemini = ["models/gemini-small", "models/gemini-embedding-small"];
    check(&ask("/v1beta/models", &STAGE.few.1), &gemini);
    check(&ask("/v1beta/models", &STAGE.none.1), &[]);
}

/// Without prefix, host and headers of a vendor the list is of everything, in the shape of OpenAI's.
#[test]
fn a_list_that_is_no_vendors_shows_everything_that_the_key_may_use() {
    for target in [
        "/v1/models",
        "/models",
        "/v1/models?client_version=0.169.0",
        "/v1/models?limit=1000",
    ] {
        check(
            &ask(target, &STAGE.few.1),
            &[
                "claude-small",
                "quick",
                "gpt-small",
                "text-embedding-small",
                "of-the-team",
                "gemini-small",
                "gemini-embedding-small",
            ],
        );
        check(&ask(target, &STAGE.none.1), &[]);
    }
    for model in ["claude-small", "quick", "gpt-small", "gemini-small"] {
        let answered = STAGE
            .mesh
            .send(&ask(&format!("/v1/models/{model}"), &STAGE.few.1));
        assert_eq!(answered.status, 200, "{model}: {}", answered.text());
        assert_eq!(
            answered.json(),
            json!({"id": model, "object": "model", "created": 0, "owned_by": "weir"})
        );
    }
}

/// The refusal of a model that the key may use on another path says which; of others it says nothing.
#[test]
fn a_model_of_another_surface_is_refused_with_its_path() {
    for (target, model, want) in [
        ("/v1/chat/completions", "claude-small", Some("/v1/messages")),
        ("/v1/responses", "quick", Some("/v1/messages")),
        (
            "/v1/embeddings",
            "gemini-embedding-small",
            Some("/v1beta/models/MODEL:embedContent"),
        ),
        ("/v1/messages", "gpt-small", Some("/v1/chat/completions")),
        (
            "/models/claude-small:generateContent",
            "claude-small",
            Some("/v1/messages"),
        ),
        ("/v1/chat/completions", "claude-big", None),
        ("/v1/chat/completions", "claude-none", None),
    ] {
        let body = json!({"model": model, "messages": [], "input": "x"});
        let answered = STAGE
            .mesh
            .send(&Request::post(target, &body).bearer(&STAGE.few.1));
        let (status, said) = match want {
            Some(path) => (404, path),
            // Neither whether others have it, nor where.
            None => (403, "model_not_allowed"),
        };
        assert_eq!(
            answered.status,
            status,
            "{target} {model}: {}",
            answered.text()
        );
        assert!(answered.text().contains(said), "{}", answered.text());
        if want.is_none() {
            assert!(!answered.text().contains("use /"), "{}", answered.text());
        }
    }
}

#[test]
fn every_prefix_and_hint_leads_to_the_list_of_its_dialect() {
    let key = &STAGE.few.1;
    for request in [
        ask("/anthropic/v1/models?limit=1000", key),
        ask("/v1/models?limit=1000", key).field("anthropic-version", "2023-06-01"),
        Request::get("/anthropic/v1/models").field("x-api-key", key),
    ] {
        check(&request, &["claude-small", "quick"]);
    }
    for request in [
        ask("/openai/v1/models", key),
        ask("/openai/models", key),
        ask("/openai/v1/models?client_version=0.169.0", key),
    ] {
        check(
            &request,
            &["gpt-small", "text-embedding-small", "of-the-team"],
        );
    }
    let gemini = ["models/gemini-small", "models/gemini-embedding-small"];
    for request in [
        ask("/genai/v1beta/models?pageSize=50", key),
        Request::get("/v1beta/models").field("x-goog-api-key", key),
        Request::get(&format!("/v1beta/models?key={key}")),
        Request::get("/v1/models").field("x-goog-api-key", key),
    ] {
        check(&request, &gemini);
    }
}

#[test]
fn a_named_provider_narrows_the_list() {
    let ask = |target: &str, key: &str| ask(target, key).field("anthropic-version", "2023-06-01");
    check(
        &ask("/p/ant/v1/models", &STAGE.all.1),
        &["claude-big", "claude-small", "quick", "grand"],
    );
    check(
        &ask("/p/ant-two/v1/models", &STAGE.all.1),
        &["claude-else-small"],
    );
    let answered = STAGE.mesh.send(&ask("/p/ant-two/v1/models", &STAGE.few.1));
    let want = Refused {
        dialect: Dialect::Anthropic,
        status: 403,
        code: "provider_not_allowed",
    };
    assert_stops(&answered, want, "a provider the key may not use");
}

/// The shapes that the agents' pickers read.
#[test]
fn lists_have_the_shape_of_their_dialect() {
    let get = |target: &str| STAGE.mesh.send(&ask(target, &STAGE.few.1)).json();
    let list = get("/anthropic/v1/models");
    assert_eq!(
        (&list["has_more"], &list["first_id"]),
        (&json!(false), &list["data"][0]["id"])
    );
    assert_eq!(
        list["last_id"],
        list["data"][list["data"].as_array().unwrap().len() - 1]["id"]
    );
    for model in list["data"].as_array().unwrap() {
        let id = &model["id"];
        let want = json!({"type": "model", "id": id, "display_name": id, "created_at": "1970-01-01T00:00:00Z"});
        assert_eq!(*model, want);
    }
    let list = get("/openai/v1/models");
    assert_eq!(list["object"], json!("list"));
    for model in list["data"].as_array().unwrap() {
        assert_eq!(
            *model,
            json!({"id": model["id"], "object": "model", "created": 0, "owned_by": "weir"})
        );
    }
    let list = get("/genai/v1beta/models");
    let methods = |name: &str| {
        let models = list["models"].as_array().unwrap();
        models
            .iter()
            .find(|model| model["name"] == json!(name))
            .unwrap()["supportedGenerationMethods"]
            .clone()
    };
    assert_eq!(
        methods("models/gemini-small"),
        json!(["generateContent", "streamGenerateContent", "countTokens"])
    );
    assert_eq!(
        methods("models/gemini-embedding-small"),
        json!(["embedContent", "batchEmbedContents", "countTokens"]),
    );
}

#[test]
fn one_model_is_answered_by_its_name() {
    let get = |target: &str| STAGE.mesh.send(&ask(target, &STAGE.few.1));
    for (target, field, want) in [
        ("/anthropic/v1/models/claude-small", "id", "claude-small"),
        ("/anthropic/v1/models/quick", "id", "quick"),
        ("/v1/models/gpt-small", "id", "gpt-small"),
        ("/v1/models/of-the-team", "id", "of-the-team"),
        ("/v1beta/models/gemini-small", "name", "models/gemini-small"),
    ] {
        let answered = get(target);
        assert_eq!(
            (answered.status, &answered.json()[field]),
            (200, &json!(want)),
            "{target}: {}",
            answered.text()
        );
    }
    for (target, dialect) in [
        ("/anthropic/v1/models/claude-big", Dialect::Anthropic),
        ("/anthropic/v1/models/grand", Dialect::Anthropic),
        ("/v1/models/gpt-big", Dialect::Openai),
        ("/v1/models/of-another-team", Dialect::Openai),
        ("/v1beta/models/gemini-big", Dialect::Gemini),
        ("/v1beta/models/unheard-of", Dialect::Gemini),
    ] {
        assert_stops(
            &get(target),
            Refused {
                dialect,
                status: 404,
                code: "model_unknown",
            },
            target,
        );
    }
}

#[test]
fn lists_need_a_key_and_ask_no_provider() {
    for (target, dialect) in [
        ("/anthropic/v1/models", Dialect::Anthropic),
        ("/v1/models", Dialect::Openai),
        ("/v1beta/models", Dialect::Gemini),
    ] {
        let want = Refused {
            dialect,
            status: 401,
            code: "missing_credential",
        };
        assert_stops(&STAGE.mesh.send(&Request::get(target)), want, target);
        let want = Refused {
            dialect,
            status: 405,
            code: "method_not_allowed",
        };
        assert_stops(
            &STAGE
                .mesh
                .send(&Request::post(target, &json!({})).bearer(&STAGE.all.1)),
            want,
            target,
        );
        let answered = STAGE
            .mesh
            .send(&Request::new("HEAD", target).bearer(&STAGE.all.1));
        assert_eq!((answered.status, answered.body.len()), (200, 0));
    }
    assert_eq!(STAGE.provider.count(), 0);
}

//! Who shows which credential to whom: a client its virtual key to the mesh, the mesh its own to a provider.

use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::client::{Protocol, Request};
use weir_tests::mesh::tenant::{self, Dialect, Registration, Tenant, provider_secret, unique};
use weir_tests::mesh::{Mesh, Options, any_file_mentions};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, Seen, anthropic, openai};
use weir_tests::refused::{Refused, assert_stops, plain};
use weir_tests::surfaces;
use weir_tests::tokens::{Price, Tokens};

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

/// Every header that can hold a credential, of clients and of providers.
const CREDENTIALS: [&str; 6] = [
    "x-weir-key",
    "x-bf-vk",
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
];

/// The ways a client shows its key.
fn presented(request: &Request, key: &str) -> Vec<Request> {
    let with_query = |query: &str| {
        let mut request = request.clone();
        request.target.push_str(if request.target.contains('?') {
            "&"
        } else {
            "?"
        });
        request.target.push_str(query);
        request
    };
    vec![
        request.clone().field("x-weir-key", key),
        request.clone().field("x-bf-vk", key),
        request
            .clone()
            .field("authorization", &format!("Bearer {key}")),
        request
            .clone()
            .field("Authorization", &format!("bearer  {key}")),
        request.clone().field("x-api-key", key),
        request.clone().field("api-key", key),
        request.clone().field("x-goog-api-key", key),
        with_query(&format!("key={key}")),
        with_query(&format!("&key={key}&")),
        // One key in several places is one key.
        request
            .clone()
            .field("x-api-key", key)
            .bearer(key)
            .field("x-weir-key", key),
    ]
}

/// Asserts that `seen` carries the provider's credential in `header`, and no other credential at all.
#[track_caller]
fn assert_only(seen: &Seen, header: Option<&str>, value: &str, key: &str) {
    for name in CREDENTIALS {
        let want = if header == Some(name) {
            vec![value.to_owned()]
        } else {
            Vec::new()
        };
        assert_eq!(seen.fields.all(name), want, "{name}: {seen:#?}");
    }
    assert!(
        !seen.mentions("sk-weir-") && !seen.mentions(key),
        "{seen:#?}"
    );
    assert!(!seen.target.contains("key="), "{}", seen.target);
    for name in seen.fields.names() {
        assert!(
            !name.starts_with("x-weir-") && !name.starts_with("x-envoy-"),
            "{name} reached the provider"
        );
        assert!(
            !name.starts_with("x-forwarded-") && name != "x-request-id",
            "{name} reached the provider"
        );
    }
}

#[track_caller]
fn check(dialect: Dialect, auth: &str, header: Option<&str>, value: impl Fn(&str) -> String) {
    let provider = MockProvider::always(Answer::json(200, &json!({"ok": true})));
    let mut registration = Registration::new(dialect, &provider).with("auth", json!(auth));
    if header.is_none() {
        registration = registration.with("keys", json!([]));
    }
    let value = value(&provider_secret(registration.name()));
    let tenant = MESH.tenant(&[registration]);
    for request in presented(&plain(dialect, "model-1"), &tenant.key) {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            provider.forget();
            let answered = MESH.send_over(&request, protocol);
            assert_eq!(answered.status, 200, "{request:?}: {}", answered.text());
            assert_only(&provider.only(), header, &value, &tenant.key);
        }
    }
}

#[test]
fn x_api_key_of_a_provider() {
    check(
        Dialect::Anthropic,
        "x_api_key",
        Some("x-api-key"),
        str::to_owned,
    );
}

#[test]
fn bearer_of_a_provider() {
    check(Dialect::Openai, "bearer", Some("authorization"), |secret| {
        format!("Bearer {secret}")
    });
}

#[test]
fn x_goog_api_key_of_a_provider() {
    check(
        Dialect::Gemini,
        "x_goog_api_key",
        Some("x-goog-api-key"),
        str::to_owned,
    );
}

#[test]
fn api_key_of_a_provider() {
    check(Dialect::Openai, "api_key", Some("api-key"), str::to_owned);
}

#[test]
fn no_credential_for_a_local_model() {
    check(Dialect::Openai, "none", None, str::to_owned);
}

/// Wherever else a client puts its key, it goes no further; what stands beside it does.
#[test]
fn a_key_in_any_other_header_goes_no_further() {
    let provider = MockProvider::always(Answer::json(200, &json!({"ok": true})));
    let tenant = MESH.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    let mut request = tenant
        .sign(plain(Dialect::Openai, "model-1"))
        .field("x-stainless-kept", "yes");
    for header in [
        "cookie",
        "referer",
        "x-anything",
        "proxy-authorization",
        "x-forwarded-for",
    ] {
        request = request.field(header, &format!("see {} here", tenant.key));
    }
    assert_eq!(MESH.send(&request).status, 200);
    let seen = provider.only();
    assert!(!seen.mentions("sk-weir-"), "{seen:#?}");
    assert_eq!(seen.fields.get("x-stainless-kept").as_deref(), Some("yes"));
    request.target = format!("/v1/chat/completions?key={}", tenant.key);
    assert_eq!(MESH.send(&request).status, 200);
    assert!(
        provider
            .seen()
            .iter()
            .all(|seen| seen.target == "/v1/chat/completions")
    );
    for name in ["token", "KEY", "key[]", "access_token", &tenant.key] {
        request.target = format!("/v1/chat/completions?{name}={}", tenant.key);
        let refused = MESH.send(&request);
        assert_eq!(refused.weir_code().as_deref(), Some("query_not_allowed"));
        assert!(!refused.text().contains("sk-weir-"), "{}", refused.text());
    }
    assert_eq!(provider.count(), 2);
}

/// A provider's own key beside a virtual key in an ordinary place is dropped.
#[test]
fn a_foreign_credential_beside_the_key_is_dropped() {
    let provider = MockProvider::always(Answer::json(200, &json!({"ok": true})));
    let registration = Registration::new(Dialect::Anthropic, &provider);
    let secret = provider_secret(registration.name());
    let tenant = MESH.tenant(&[registration]);
    let request = plain(Dialect::Anthropic, "model-1")
        .field("x-api-key", &tenant.key)
        .bearer("sk-ant-oat01-somebody-s")
        .field("x-goog-api-key", "AIza-somebody-s");
    assert_eq!(MESH.send(&request).status, 200);
    assert_only(&provider.only(), Some("x-api-key"), &secret, "somebody-s");
}

/// What a provider says about its credential is its affair, but nothing of ours shows it.
#[test]
fn secrets_are_nowhere_to_be_read() {
    let case = surfaces::case("chat", "model-1");
    let provider = MockProvider::always(case.answer.clone());
    let registration = Registration::new(Dialect::Openai, &provider);
    let secret = provider_secret(registration.name());
    let tenant = MESH.tenant(&[registration]);
    let answered = MESH.send(&tenant.sign(case.request()));
    assert!(!answered.fields.mention(&secret) && !answered.text().contains(&secret));
    MESH.only_record(&tenant.key_id);
    for path in [
        "/providers",
        "/keys",
        "/exchanges?limit=1000",
        "/audit-events?limit=1000",
        "/settings",
        "/mesh",
    ] {
        let text = MESH.admin().get(path).to_string();
        assert!(!text.contains(&secret), "{path} shows a provider's secret");
        assert!(!text.contains(&tenant.key), "{path} shows a virtual key");
    }
    for name in ["service.out", "service.err", "envoy.out", "envoy.err"] {
        let text = MESH.output(name);
        assert!(
            !text.contains(&secret) && !text.contains(&tenant.key),
            "{name} shows a secret"
        );
    }
    for needle in [&secret, &tenant.key] {
        assert_eq!(any_file_mentions(&MESH.data(), needle), None);
    }
}

// Subscription traffic: the client's own login goes on, the virtual key says whose it is.

const OFFICIAL: &str = "api.anthropic.com";
const LOGIN: &str = "Bearer sk-ant-oat01-the-client-s-own";

/// A provider that stands for the official host, another of the dialect, and keys for both.
struct Subscriptions {
    mesh: Mesh,
    official: MockProvider,
    other: MockProvider,
    allowed: Tenant,
    refused: String,
}

static SUBSCRIPTIONS: LazyLock<Subscriptions> = LazyLock::new(|| {
    let mesh = Mesh::start(&Options::default());
    let answer = Answer::json(
        200,
        &anthropic::message("sub-1", "hello", Tokens::new(1_000_000, 2)),
    );
    let official = MockProvider::always(answer.clone());
    let other = MockProvider::always(answer);
    let registrations = [
        Registration::new(Dialect::Anthropic, &other).with("name", json!("other")),
        Registration::new(Dialect::Anthropic, &official)
            .with("name", json!("official"))
            .with("hosts", json!([OFFICIAL])),
        Registration::new(Dialect::Openai, &other).with("name", json!("openai-other")),
    ];
    mesh.change(|admin| {
        for registration in &registrations {
            admin.post("/providers", registration.body());
        }
        tenant::price(admin, Dialect::Anthropic, "sub-1", Price { input: 3_000_000, output: 0, ..Price::default() });
        // An alias and its other targets are not for this traffic.
        let targets = json!([{"provider": "other", "model": "elsewhere"}, {"provider": "official", "model": "sub-1"}]);
        admin.post("/routes", &json!({"alias": "sub-alias", "targets": targets}));
    });
    let (allowed, refused) = mesh.change(|admin| {
        let team = tenant::team(admin);
        let access = tenant::access(&["other", "official", "openai-other"], &["*"]);
        let fields = json!({"access": access, "subscription": "allowed"});
        let (key_id, key) = tenant::key(admin, &team, &fields);
        let (_, refused) = tenant::key(admin, &team, &json!({"access": access}));
        (
            Tenant {
                team,
                key_id,
                key,
                providers: vec!["official".to_owned()],
            },
            refused,
        )
    });
    Subscriptions {
        mesh,
        official,
        other,
        allowed,
        refused,
    }
});

fn own_login(model: &str, key: &str, header: &str) -> Request {
    plain(Dialect::Anthropic, model)
        .field("authorization", LOGIN)
        .field(header, key)
}

/// One test, since all of it looks at the same two providers.
#[test]
fn an_own_login_goes_untouched_to_the_official_host_only() {
    let stage = &*SUBSCRIPTIONS;
    let mesh = &stage.mesh;
    for header in ["x-weir-key", "x-bf-vk"] {
        for host in ["", OFFICIAL] {
            stage.official.forget();
            let mut request = own_login("sub-1", &stage.allowed.key, header).host(host);
            request.target = "/v1/messages?beta=true".to_owned();
            let answered = mesh.send(&request);
            assert_eq!(answered.status, 200, "{}", answered.text());
            let seen = stage.official.only();
            assert_only(&seen, Some("authorization"), LOGIN, &stage.allowed.key);
            assert_eq!(
                (seen.target.as_str(), &seen.body),
                ("/v1/messages?beta=true", &request.body)
            );
        }
    }
    for record in mesh.wait_records(&stage.allowed.key_id, 4) {
        assert_eq!(record["subscription"], json!(true), "{record:#}");
        assert_eq!(record["cost_micro_usd"], json!(0), "{record:#}");
        assert_eq!(
            record["notional_cost_micro_usd"],
            json!(3_000_000),
            "{record:#}"
        );
        assert_eq!(record["provider"], json!("official"));
    }

    // No alias and no second target: the model goes as it was asked for, an error comes back as it is.
    stage.official.forget();
    stage
        .official
        .script(|_, _| Answer::json(529, &anthropic::error("overloaded_error", "busy")));
    let answered = mesh.send(&own_login("sub-alias", &stage.allowed.key, "x-weir-key"));
    assert_eq!(
        (answered.status, answered.json()),
        (529, anthropic::error("overloaded_error", "busy"))
    );
    assert_eq!(stage.official.only().json()["model"], json!("sub-alias"));

    // Another provider never sees the login, not even when the client names it.
    stage.official.forget();
    let mut request = own_login("sub-1", &stage.allowed.key, "x-weir-key");
    request.target = "/p/other/v1/messages".to_owned();
    mesh.send(&request);
    let mut request = own_login("other/sub-1", &stage.allowed.key, "x-weir-key");
    mesh.send(&request);
    request = plain(Dialect::Openai, "sub-1")
        .field("authorization", LOGIN)
        .field("x-weir-key", &stage.allowed.key);
    let answered = mesh.send(&request);
    assert!(
        answered.weir_code().is_some(),
        "nobody stands for the official host: {}",
        answered.text()
    );
    assert!(stage.other.seen().is_empty(), "{:#?}", stage.other.seen());
}

#[test]
fn an_own_login_needs_a_key_that_allows_it() {
    let stage = &*SUBSCRIPTIONS;
    let answered = stage
        .mesh
        .send(&own_login("sub-1", &stage.refused, "x-weir-key"));
    let want = Refused {
        dialect: Dialect::Anthropic,
        status: 403,
        code: "subscription_not_allowed",
    };
    assert_stops(&answered, want, "own login");
}

/// The same key without a login of the client's own is ordinary traffic.
#[test]
fn the_dedicated_header_alone_is_ordinary_traffic() {
    let provider = MockProvider::always(Answer::json(
        200,
        &openai::chat("m", "x", Tokens::new(1, 1)),
    ));
    let tenant = MESH.tenant_with(
        &[Registration::new(Dialect::Openai, &provider)],
        &json!({"subscription": "allowed"}),
    );
    let request = plain(Dialect::Openai, &unique("model")).field("x-weir-key", &tenant.key);
    assert_eq!(MESH.send(&request).status, 200);
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(
        (&record["subscription"], &record["notional_cost_micro_usd"]),
        (&Value::Bool(false), &json!(0))
    );
}

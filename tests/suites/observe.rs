//! The phased rollout: traffic without a key is let through and recorded as such while an administrator says so.

use serde_json::{Value, json};
use weir_tests::client::Request;
use weir_tests::mesh::tenant::{Dialect, Registration, provider_secret};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::MockProvider;
use weir_tests::refused::{self, Refused, assert_stops, marked, plain};
use weir_tests::surfaces;

#[track_caller]
fn assert_refused(mesh: &Mesh, request: &Request, status: u16, code: &'static str) {
    assert_stops(
        &mesh.send(request),
        Refused {
            dialect: Dialect::Openai,
            status,
            code,
        },
        code,
    );
}

#[track_caller]
fn switch(mesh: &Mesh, to: &str) {
    mesh.change(|admin| admin.patch("/settings", &json!({"inference_auth": to})));
}

/// One story: required, observe, required again.
#[test]
fn unkeyed_traffic_is_admitted_only_while_observing() {
    let mesh = Mesh::start(&Options::default());
    let from_ms = refused::now_ms() - 1;
    let case = surfaces::case("chat", "model-1");
    let provider = MockProvider::always(case.answer.clone());
    let registration = Registration::new(Dialect::Openai, &provider);
    let secret = provider_secret(registration.name());
    let tenant = mesh.tenant(&[registration]);
    let revoked = mesh.tenant(&[]);
    mesh.change(|admin| admin.post(&format!("/keys/{}/revoke", revoked.key_id), &json!({})));
    let unkeyed = plain(Dialect::Openai, "model-1");

    assert_refused(&mesh, &unkeyed, 401, "missing_credential");
    assert_eq!(provider.count(), 0);

    switch(&mesh, "observe");
    let foreign = unkeyed.clone().bearer("sk-proj-somebody-s-own");
    let mut marks = Vec::new();
    for request in [unkeyed.clone(), foreign] {
        provider.forget();
        let (request, mark) = marked(request);
        let answered = mesh.send(&request);
        assert_eq!(
            (answered.status, &answered.body),
            (200, &case.answer.body()),
            "{}",
            answered.text()
        );
        let seen = provider.only();
        assert_eq!(
            seen.fields.all("authorization"),
            [format!("Bearer {secret}")]
        );
        assert!(!seen.mentions("somebody-s-own"));
        marks.push(mark);
    }
    for record in mesh.marked_records(&marks, from_ms) {
        assert_eq!(
            (&record["unkeyed"], &record["key"]),
            (&json!(true), &Value::Null),
            "{record:#}"
        );
        assert_eq!(
            (&record["ended"], &record["refusal_code"]),
            (&json!("complete"), &Value::Null)
        );
        assert_eq!(record["usage"], case.tokens.unwrap().as_record());
    }
    let unkeyed_so_far = mesh.records_where("unkeyed=true");
    assert_eq!(unkeyed_so_far.len(), 2, "{unkeyed_so_far:#?}");

    // Whoever shows a key is judged by it, as always; what no key names stays shut.
    provider.forget();
    assert_eq!(mesh.send(&tenant.sign(unkeyed.clone())).status, 200);
    let record = mesh.only_record(&tenant.key_id);
    assert_eq!(record["unkeyed"], json!(false));
    provider.forget();
    assert_refused(
        &mesh,
        &unkeyed.clone().bearer(&revoked.key),
        401,
        "key_revoked",
    );
    assert_refused(
        &mesh,
        &unkeyed.clone().bearer(&tenant.key[..30]),
        401,
        "malformed_key",
    );
    assert_refused(
        &mesh,
        &Request::post("/v1/audio/speech", &json!({})),
        403,
        "path_not_allowed",
    );
    assert_eq!(provider.count(), 0);
    pages_are_held_off(&mesh, &unkeyed);
    assert_eq!(provider.count(), 0);
    named_pages_are_served(&mesh, &unkeyed);
    provider.forget();

    switch(&mesh, "required");
    assert_refused(&mesh, &unkeyed, 401, "missing_credential");
    assert_eq!(provider.count(), 0);

    assert_switches_are_audited(&mesh);
}

const PAGE: &str = "https://app.example";

/// What a web page can make a browser send without asking first.
#[track_caller]
fn pages_are_held_off(mesh: &Mesh, unkeyed: &Request) {
    let typed = |content_type: &str| {
        unkeyed
            .clone()
            .without("content-type")
            .field("content-type", content_type)
    };
    assert_refused(
        mesh,
        &unkeyed.clone().without("content-type"),
        415,
        "wrong_content_type",
    );
    assert_refused(
        mesh,
        &typed("text/plain;charset=UTF-8"),
        415,
        "wrong_content_type",
    );
    for page in ["https://evil.example", "null", PAGE] {
        assert_refused(
            mesh,
            &unkeyed.clone().field("origin", page),
            403,
            "foreign_origin",
        );
    }
    let cross_site = unkeyed.clone().field("sec-fetch-site", "cross-site");
    assert_refused(mesh, &cross_site, 403, "foreign_origin");
    let rebound = unkeyed
        .clone()
        .host("evil.example")
        .field("origin", "http://evil.example");
    assert_refused(mesh, &rebound, 421, "misdirected_host");
}

/// Pages whose origin an administrator named: preflight, answer, refusal.
#[track_caller]
fn named_pages_are_served(mesh: &Mesh, unkeyed: &Request) {
    mesh.change(|admin| admin.patch("/settings", &json!({"cors_origins": [PAGE]})));
    let recorded = mesh.records_where("unkeyed=true").len();
    let preflight = |page: &str| {
        let asked = Request::new("OPTIONS", "/v1/chat/completions")
            .field("origin", page)
            .field("access-control-request-method", "POST")
            .field(
                "access-control-request-headers",
                "authorization,content-type",
            );
        mesh.send(&asked)
    };
    let allowed = preflight(PAGE);
    assert_eq!(allowed.status, 204, "{}", allowed.text());
    let named = Some(PAGE.to_owned());
    assert_eq!(allowed.field("access-control-allow-origin"), named);
    let headers = allowed.field("access-control-allow-headers");
    assert_eq!(headers.as_deref(), Some("*, authorization"));
    let other = preflight("https://evil.example");
    assert_eq!(
        (other.status, other.field("access-control-allow-origin")),
        (403, None)
    );
    assert_eq!(mesh.records_where("unkeyed=true").len(), recorded);

    let answered = mesh.send(&unkeyed.clone().field("origin", PAGE));
    assert_eq!(answered.status, 200, "{}", answered.text());
    assert_eq!(answered.field("access-control-allow-origin"), named);
    assert_eq!(answered.field("vary").as_deref(), Some("origin"));
    let refused = mesh.send(&unkeyed.clone().bearer("sk-weir-x").field("origin", PAGE));
    assert!(refused.weir_code().is_some());
    assert_eq!(refused.field("access-control-allow-origin"), named);
    assert_refused(
        mesh,
        &unkeyed.clone().field("origin", "https://evil.example"),
        403,
        "foreign_origin",
    );
}

#[track_caller]
fn assert_switches_are_audited(mesh: &Mesh) {
    let events = mesh.admin().get("/audit-events?action=settings.update");
    let said: Vec<(&Value, &Value)> = (events["items"].as_array().unwrap().iter())
        .map(|event| {
            let auth = |when: &str| &event[when]["inference_auth"];
            (auth("before"), auth("after"))
        })
        .filter(|(before, after)| before != after)
        .collect();
    let (required, observe) = (json!("required"), json!("observe"));
    assert_eq!(
        said,
        [(&observe, &required), (&required, &observe)],
        "{events:#}"
    );
}

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

    switch(&mesh, "required");
    assert_refused(&mesh, &unkeyed, 401, "missing_credential");
    assert_eq!(provider.count(), 0);

    assert_switches_are_audited(&mesh);
}

#[track_caller]
fn assert_switches_are_audited(mesh: &Mesh) {
    let events = mesh.admin().get("/audit-events?action=settings.update");
    let said: Vec<&Value> = events["items"].as_array().unwrap().iter().collect();
    assert_eq!(said.len(), 2, "{events:#}");
    assert!(
        said[0].to_string().contains("required") && said[1].to_string().contains("observe"),
        "{events:#}"
    );
}

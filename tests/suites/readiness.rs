//! Readiness is proven worker by worker, and the proof leaves no trace among the exchanges.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use weir_tests::client::{Protocol, Request};
use weir_tests::mesh::tenant::{self, Dialect, Registration, access};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, anthropic};
use weir_tests::tokens::Tokens;
use weir_tests::wait;

fn ask() -> Request {
    let body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]});
    Request::post("/v1/messages", &body)
}

/// Status and body of the probe; 0 while nobody answers.
fn probe(mesh: &Mesh) -> (u16, Value) {
    let asked = Request::get("/readyz/mesh").send(mesh.admin().address(), Protocol::Http1);
    asked.map_or((0, Value::Null), |answered| {
        (answered.status, answered.json())
    })
}

#[test]
fn ready_means_that_every_worker_enforces_the_policy() {
    for workers in [1, 2, 4] {
        let mesh = Mesh::start(&Options {
            workers,
            ..Options::default()
        });
        assert_eq!(probe(&mesh).0, 200);
        let state = mesh.admin().get("/mesh");
        assert_eq!(
            state["readiness"]["workers_expected"],
            json!(workers),
            "{state:#}"
        );
        assert_eq!(
            state["readiness"]["workers_proven"],
            json!(workers),
            "{state:#}"
        );
        assert_eq!(
            state["readiness"]["proven_version"], state["policy"]["version"],
            "{state:#}"
        );

        // The moment a change is proven, every fresh connection meets it: no worker was left out.
        let provider = MockProvider::always(Answer::json(
            200,
            &anthropic::message("m", "hello", Tokens::new(1, 1)),
        ));
        let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
        for _ in 0..40 {
            assert_eq!(mesh.send(&tenant.sign(ask())).status, 200);
        }
        let nothing = json!({"access": access(&[], &[])});
        mesh.change(|admin| admin.patch(&format!("/keys/{}", tenant.key_id), &nothing));
        for _ in 0..40 {
            let refused = mesh.send(&tenant.sign(ask()));
            assert!(
                refused.weir_code().is_some(),
                "{workers} workers: {}",
                refused.text()
            );
        }
        assert_eq!(provider.count(), 40);
    }
}

#[test]
fn a_mesh_without_envoy_is_not_ready() {
    let mesh = Mesh::start(&Options::default());
    mesh.end_envoy(Signal::SIGKILL);
    // A new start of the service has proven nothing yet.
    mesh.end_service(Signal::SIGKILL);
    mesh.start_service();
    for _ in 0..20 {
        let (status, body) = probe(&mesh);
        assert_eq!((status, &body["ready"]), (503, &json!(false)), "{body}");
    }
    let state = mesh.admin().get("/mesh");
    assert!(
        state["readiness"]["missing"]
            .as_str()
            .is_some_and(|missing| !missing.is_empty()),
        "{state:#}"
    );
    mesh.start_envoy();
    mesh.wait_ready();
    assert_eq!(probe(&mesh).0, 200);
    // Whoever is told "ready" is served: no worker is still without policy.
    for _ in 0..40 {
        let refused = mesh.send(&ask());
        assert_eq!(
            refused.weir_code().as_deref(),
            Some("missing_credential"),
            "{}",
            refused.text()
        );
    }
}

/// The probe is open; it tells nobody anything but whether.
#[test]
fn the_probe_says_little_and_canaries_leave_no_record() {
    let mesh = Mesh::start(&Options::default());
    let (status, body) = probe(&mesh);
    let mut fields: Vec<String> = body.as_object().unwrap().keys().cloned().collect();
    fields.sort();
    assert_eq!(
        (status, fields),
        (200, vec!["proven_version".to_owned(), "ready".to_owned()])
    );
    for _ in 0..3 {
        mesh.change(|admin| {
            let team = tenant::team(admin);
            tenant::key(admin, &team, &json!({"access": access(&[], &[])}))
        });
    }
    let guess = Request::post("/weir/canary", &json!({})).field("x-weir-canary", "guess");
    assert_eq!(mesh.send(&guess).status, 404);
    // An exchange of somebody's is the only one there is.
    assert_eq!(
        mesh.send(&ask()).weir_code().as_deref(),
        Some("missing_credential")
    );
    wait::until("the one exchange", || {
        let all = mesh.records_where("");
        (!all.is_empty()).then_some(())
    });
    let all = mesh.records_where("");
    assert_eq!(
        all[0]["refusal_code"],
        json!("missing_credential"),
        "{all:#?}"
    );
    assert_eq!(all.len(), 1, "canaries were recorded: {all:#?}");
}

/// Each worker looks for every guardrail's canary itself; the mesh is ready when all have found all.
#[test]
fn a_guardrail_is_part_of_what_every_worker_proves() {
    guardrails_are_proven(&Mesh::start(&Options::default()));
}

/// So it is under an Envoy that the service cannot send canaries to: its filters report all the same.
#[test]
fn filters_prove_guardrails_where_no_canary_can_be_sent() {
    guardrails_are_proven(&Mesh::start(&Options {
        sends_canaries: false,
        ..Options::default()
    }));
}

#[track_caller]
fn guardrails_are_proven(mesh: &Mesh) {
    let provider = MockProvider::always(Answer::json(
        200,
        &anthropic::message("m", "hello", Tokens::new(1, 1)),
    ));
    let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    let detectors = [
        json!({"secrets": {}}),
        json!({"pii": {}}),
        json!({"regex": {"id": "code", "pattern": "code-[0-9]{9}"}}),
        json!("hidden_text"),
        json!({"words": {"list": "names"}}),
    ];
    // A list that no guardrail names changes nothing that filters apply.
    mesh.admin().post(
        "/word-lists",
        &json!({"name": "names", "words": ["blue moon"]}),
    );
    for (number, detector) in detectors.iter().enumerate() {
        let body = json!({
            "name": format!("guardrail-{number}"),
            // A text that was blocked would pass redacted when it comes again.
            "on_history": "block",
            "stages": [{"detectors": [detector], "action": "block"}],
        });
        mesh.change(|admin| admin.post("/guardrails", &body));
    }
    let state = mesh.admin().get("/mesh");
    assert_eq!(
        state["readiness"]["guardrails_unproven"],
        json!([]),
        "{state:#}"
    );
    assert_eq!(
        state["readiness"]["proven_version"], state["policy"]["version"],
        "{state:#}"
    );
    // The moment it is proven, every fresh connection meets it.
    for text in ["this is code-123456789", "under a Blue Moon"] {
        let body =
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]});
        for turn in 0..20 {
            let refused = mesh.send(&tenant.sign(Request::post("/v1/messages", &body)));
            let code = refused.weir_code();
            assert!(code.is_some(), "{turn}: {text}: {}", refused.text());
        }
    }
    assert_eq!(provider.count(), 0);
}

/// One bad cluster: the mesh is not ready and says where and why, everything else goes on, and what is routed there
/// is refused in words.
#[test]
fn an_envoy_that_refuses_clusters_is_told_and_harms_nothing_else() {
    let mesh = Mesh::start(&Options {
        trust_anchors: Some("/nonexistent/authorities.pem".into()),
        ..Options::default()
    });
    let message = anthropic::message("m", "hello", Tokens::new(1, 1));
    let provider = MockProvider::always(Answer::json(200, &message));
    let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    // Envoy reads the authorities of a provider with TLS, and these are not there.
    let far = tenant::unique("far");
    let made = mesh.admin().post(
        "/providers",
        &json!({
            "name": far, "dialect": "anthropic", "base_url": "https://127.0.0.1:9", "models": ["far-1"],
            "keys": [{"name": "main", "secret": "x"}], "price_table": "anthropic",
        }),
    );
    let everything = json!({"access": access(&["*"], &["*"])});
    mesh.admin()
        .patch(&format!("/keys/{}", tenant.key_id), &everything);
    wait::until("the mesh to be unready", || {
        (probe(&mesh).0 == 503).then_some(())
    });
    let replica = Request::get("/readyz").send(mesh.admin().address(), Protocol::Http1);
    assert_eq!(replica.unwrap().status, 200);
    let state = mesh.admin().get("/mesh");
    let stream = &state["cluster_streams"][0];
    assert_eq!(stream["node_id"], json!("tests-0"), "{state:#}");
    let cluster = format!("provider/{far}");
    assert_eq!(stream["refused"]["clusters"], json!([cluster]), "{state:#}");
    let missing = state["readiness"]["missing"].as_str().unwrap_or_default();
    assert!(
        missing.contains(&cluster) && missing.contains("tests-0"),
        "{missing}"
    );

    assert_eq!(mesh.send(&tenant.sign(ask())).status, 200);
    let body = json!({"model": "far-1", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]});
    let refused = wait::until("the key's new access", || {
        let answered = mesh.send(&tenant.sign(Request::post("/v1/messages", &body)));
        (answered.weir_code().as_deref() != Some("model_not_allowed")).then_some(answered)
    });
    assert_eq!(
        refused.weir_code().as_deref(),
        Some("plan_unavailable"),
        "{}",
        refused.text()
    );
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("no route"), "{}", refused.text());

    let path = format!("/providers/{}", made["id"].as_str().unwrap());
    mesh.admin().delete(&path);
    mesh.wait_ready();
}

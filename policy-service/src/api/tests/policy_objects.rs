//! Providers, keys, routes and the rest, through their lives.

use policy::documents::{KeyState, ProviderKeyState};
use policy::key::VirtualKeySecret;

use super::access::holds;
use super::*;

#[tokio::test]
async fn a_provider_secret_goes_in_and_never_comes_out() {
    let service = Service::start().await;
    let body = json!({
        "preset": "anthropic", "keys": [{"name": "main", "secret": PROVIDER_SECRET, "weight": 3}],
    });
    let created = service.post("/api/v1/providers", body).await.ok();
    assert_eq!(created["base_url"], "https://api.anthropic.com");
    assert_eq!(
        (&created["auth"], &created["price_table"]),
        (&json!("x_api_key"), &json!("anthropic"))
    );
    let id = created["id"].as_str().unwrap();
    let key = created["keys"][0]["id"].as_str().unwrap();
    let replaced = format!("{PROVIDER_SECRET}-new");
    let path = format!("/api/v1/providers/{id}/keys/{key}");
    let patched = service
        .patch(&path, json!({"secret": replaced, "weight": 5}))
        .await
        .ok();
    assert_eq!(patched["weight"], 5);
    for path in [
        "/api/v1/providers",
        &format!("/api/v1/providers/{id}"),
        "/api/v1/audit-events",
    ] {
        let text = service.get(path).await.ok().to_string();
        assert!(!text.contains(PROVIDER_SECRET), "{path}: {text}");
    }
    let documents = service.store.documents().await.unwrap();
    let provider = documents.providers.values().next().unwrap();
    assert_eq!(provider.keys[0].secret.expose(), replaced);
    service.store.close().await;
    for file in fs::read_dir(service.folder.path()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!holds(&bytes, PROVIDER_SECRET.as_bytes()));
    }
}

#[tokio::test]
async fn a_provider_adds_headers_and_sets_its_account() {
    let service = Service::start().await;
    let fields = json!({
        "preset": "openai",
        "pass_request_headers": ["x-vendor-*"],
        "set_request_headers": {"openai-project": "proj_1"},
    });
    let id = service.add("/api/v1/providers", fields).await;
    let path = format!("/api/v1/providers/{id}");
    let change = json!({"pass_response_headers": ["x-vendor-trace"]});
    service.patch(&path, change).await.ok();
    let shown = service.get(&path).await.ok();
    assert_eq!(shown["pass_request_headers"], json!(["x-vendor-*"]));
    assert_eq!(shown["pass_response_headers"], json!(["x-vendor-trace"]));
    assert_eq!(
        shown["set_request_headers"],
        json!({"openai-project": "proj_1"})
    );
    let bad = json!({"pass_request_headers": ["openai-project"], "set_request_headers": {"cookie": "a=b"}});
    let refused = service.patch(&path, bad).await;
    refused.refused(400, "invalid_fields");
    let at = |field: &str| refused.paths().iter().any(|path| path.ends_with(field));
    assert!(at("pass_request_headers[0]") && at("set_request_headers.cookie"));
}

#[tokio::test]
async fn a_key_secret_is_shown_once_and_only_its_hash_is_kept() {
    let service = Service::start().await;
    let team = service.add("/api/v1/teams", named("red")).await;
    let created = service
        .post(
            "/api/v1/keys",
            json!({"name": "ci", "owner": {"team": team}}),
        )
        .await
        .ok();
    let secret = VirtualKeySecret::parse(created["secret"].as_str().unwrap()).unwrap();
    let id = created["key"]["id"].as_str().unwrap().to_owned();
    let hash =
        |documents: policy::documents::Documents| documents.keys.values().next().unwrap().hash;
    assert_eq!(
        hash(service.store.documents().await.unwrap()),
        secret.hash()
    );
    let rotated = service
        .post(&format!("/api/v1/keys/{id}/rotate"), json!({}))
        .await
        .ok();
    let rotated = VirtualKeySecret::parse(rotated["secret"].as_str().unwrap()).unwrap();
    assert_ne!(rotated.hash(), secret.hash());
    assert_eq!(
        hash(service.store.documents().await.unwrap()),
        rotated.hash()
    );
    for path in [
        "/api/v1/keys",
        &format!("/api/v1/keys/{id}"),
        "/api/v1/audit-events",
    ] {
        let text = service.get(path).await.ok().to_string();
        assert!(
            !text.contains("sk-weir-") && !text.contains("hash"),
            "{path}: {text}"
        );
    }
    assert_eq!(service.actions().await[..2], ["key.rotate", "key.create"]);
}

#[tokio::test]
async fn a_revoked_key_stays_revoked() {
    let service = Service::start().await;
    let team = service.add("/api/v1/teams", named("red")).await;
    let id = service
        .add(
            "/api/v1/keys",
            json!({"name": "ci", "owner": {"team": team}}),
        )
        .await;
    let path = format!("/api/v1/keys/{id}");
    assert_eq!(
        service
            .patch(&path, json!({"state": "inactive"}))
            .await
            .ok()["state"],
        "inactive"
    );
    assert_eq!(
        service.patch(&path, json!({"state": "active"})).await.ok()["state"],
        "active"
    );
    assert_eq!(
        service
            .post(&format!("{path}/revoke"), json!({}))
            .await
            .ok()["state"],
        "revoked"
    );
    service
        .patch(&path, json!({"state": "active"}))
        .await
        .refused(409, "wrong_state");
    service
        .post(&format!("{path}/rotate"), json!({}))
        .await
        .refused(409, "wrong_state");
    let documents = service.store.documents().await.unwrap();
    assert_eq!(
        documents.keys.values().next().unwrap().state,
        KeyState::Revoked
    );
    assert_eq!(
        service.actions().await[..3],
        ["key.revoke", "key.activate", "key.deactivate"]
    );
}

#[tokio::test]
async fn an_expiry_lies_in_the_future_and_can_be_lifted() {
    let service = Service::start().await;
    let team = service.add("/api/v1/teams", named("red")).await;
    let body = json!({"name": "ci", "owner": {"team": team}, "expires_at_ms": 1});
    assert_eq!(
        service.post("/api/v1/keys", body).await.paths(),
        ["expires_at_ms"]
    );
    let body =
        json!({"name": "ci", "owner": {"team": team}, "expires_at_ms": 4_000_000_000_000_u64});
    let id = service.add("/api/v1/keys", body).await;
    let path = format!("/api/v1/keys/{id}");
    assert_eq!(
        service.get(&path).await.ok()["expires_at_ms"],
        4_000_000_000_000_u64
    );
    let lifted = service
        .patch(&path, json!({"expires_at_ms": null}))
        .await
        .ok();
    assert_eq!(lifted["expires_at_ms"], Value::Null);
}

#[tokio::test]
async fn names_are_unique_in_any_case() {
    let service = Service::start().await;
    for (path, more) in [
        ("/api/v1/customers", json!({})),
        ("/api/v1/teams", json!({})),
        ("/api/v1/users", json!({})),
    ] {
        let mut body = more;
        body["name"] = json!("Ann");
        service.post(path, body.clone()).await.ok();
        body["name"] = json!("ann");
        service.post(path, body).await.refused(409, "name_taken");
    }
    let user = service.get("/api/v1/users").await.ok()["items"][0]["id"].clone();
    let key = |name: &str| json!({"name": name, "owner": {"user": user}});
    service.post("/api/v1/keys", key("ci")).await.ok();
    service
        .post("/api/v1/keys", key("CI"))
        .await
        .refused(409, "name_taken");
    let provider = service.add_provider("openai").await;
    let body = json!({"preset": "openai", "hosts": []});
    service
        .post("/api/v1/providers", body)
        .await
        .refused(409, "name_taken");
    let body = json!({"name": "Main", "secret": "x"});
    service
        .post(&format!("/api/v1/providers/{provider}/keys"), body)
        .await
        .refused(409, "name_taken");
}

#[tokio::test]
async fn what_is_referred_to_is_not_deleted_and_the_referrers_are_named() {
    let service = Service::start().await;
    let customer = service.add("/api/v1/customers", named("acme")).await;
    let team = service
        .add(
            "/api/v1/teams",
            json!({"name": "red", "customer": customer}),
        )
        .await;
    let provider = service.add_provider("openai").await;
    let access =
        json!({"providers": [{"provider": "openai", "models": ["*"], "provider_keys": ["main"]}]});
    let body = json!({"name": "ci", "owner": {"team": team}, "access": access});
    let key = service.add("/api/v1/keys", body).await;
    let body = json!({"alias": "fast", "scope": {"key": key}, "targets": [{"provider": "openai"}]});
    let route = service.add("/api/v1/routes", body).await;
    let held = service
        .get(&format!("/api/v1/providers/{provider}"))
        .await
        .ok();
    let provider_key = held["keys"][0]["id"].as_str().unwrap().to_owned();
    let paths = [
        (
            format!("/api/v1/customers/{customer}"),
            "teams[red].customer",
        ),
        (format!("/api/v1/teams/{team}"), "keys[ci].owner"),
        (
            format!("/api/v1/providers/{provider}"),
            "routes[fast].targets[0].provider",
        ),
        (
            format!("/api/v1/providers/{provider}/keys/{provider_key}"),
            "keys[ci].access.providers[0].provider_keys[0]",
        ),
        (format!("/api/v1/keys/{key}"), "routes[fast].scope"),
    ];
    for (path, referrer) in &paths {
        let answer = service.delete(path).await;
        answer.refused(409, "still_referenced");
        assert!(
            answer.paths().contains(referrer),
            "{path}: {:?}",
            answer.paths()
        );
    }
    let rename = service
        .patch(&format!("/api/v1/providers/{provider}"), named("other"))
        .await;
    rename.refused(409, "still_referenced");
    service
        .delete(&format!("/api/v1/routes/{route}"))
        .await
        .ok();
    for path in [4, 1, 3, 2, 0].map(|at: usize| &paths[at].0) {
        if path.contains("/teams/") {
            continue;
        }
        service.delete(path).await.ok();
        if path.contains("/keys/") && !path.contains("/providers/") {
            service.delete(&paths[1].0).await.ok();
        }
    }
    service
        .get(&format!("/api/v1/customers/{customer}"))
        .await
        .refused(404, "customer_not_found");
}

#[tokio::test]
async fn a_bad_key_is_shown_and_put_back_into_use() {
    let service = Service::start().await;
    let provider = service.add_provider("openai").await;
    let path = format!("/api/v1/providers/{provider}");
    let key = service.get(&path).await.ok()["keys"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    operations::providers::mark_key_bad(&service.store, key.parse().unwrap(), 403)
        .await
        .unwrap();
    operations::providers::mark_key_bad(&service.store, key.parse().unwrap(), 403)
        .await
        .unwrap();
    let shown = service.get(&path).await.ok();
    assert_eq!(
        (&shown["keys"][0]["state"], &shown["keys"][0]["bad_status"]),
        (&json!("bad"), &json!(403))
    );
    let events = service
        .get("/api/v1/audit-events?action=provider_key.mark_bad")
        .await
        .ok();
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        events["items"][0]["actor"],
        json!({"kind": "system", "id": null, "name": "filters"})
    );
    let key_path = format!("{path}/keys/{key}");
    service
        .patch(&key_path, json!({"state": "bad"}))
        .await
        .refused(400, "invalid_fields");
    let back = service
        .patch(&key_path, json!({"state": "active"}))
        .await
        .ok();
    assert_eq!(
        (&back["state"], &back["bad_status"]),
        (&json!("active"), &Value::Null)
    );
    let documents = service.store.documents().await.unwrap();
    assert_eq!(
        documents.providers.values().next().unwrap().keys[0].state,
        ProviderKeyState::Active
    );
}

#[tokio::test]
async fn settings_are_checked_audited_and_announced() {
    let service = Service::start().await;
    let mut changes = service.store.changes();
    let before = *changes.borrow_and_update();
    let usual = service.get("/api/v1/settings").await.ok();
    assert_eq!(
        (&usual["inference_auth"], &usual["body_cap_bytes"]),
        (&json!("required"), &json!(33_554_432))
    );
    service
        .patch("/api/v1/settings", json!({"max_attempts": 0}))
        .await
        .refused(400, "invalid_fields");
    assert!(!changes.has_changed().unwrap());
    service
        .patch("/api/v1/settings", json!({"inference_auth": "observe"}))
        .await
        .ok();
    assert!(changes.has_changed().unwrap());
    assert_eq!(*changes.borrow_and_update(), before + 1);
    assert_eq!(service.store.policy().await.unwrap().version, before + 1);
    service
        .patch("/api/v1/settings", json!({"inference_auth": "observe"}))
        .await
        .ok();
    assert!(!changes.has_changed().unwrap(), "nothing was changed");
    let events = service.get("/api/v1/audit-events?limit=1").await.ok();
    let event = &events["items"][0];
    assert_eq!(event["action"], "settings.update");
    assert_eq!(event["before"]["inference_auth"], "required");
    assert_eq!(event["after"]["inference_auth"], "observe");
    assert_eq!(event["actor"]["name"], "first");
    assert!(events["next_cursor"].is_string() && event["request_id"].is_string());
}

#[tokio::test]
async fn own_prices_go_before_the_book_and_back() {
    let service = Service::start().await;
    let price = json!({
        "table": "mine", "model": "Big-*",
        "rates": {"input_micro_usd_per_mtok": 1_000_000, "output_micro_usd_per_mtok": 2_000_000},
    });
    service
        .call("PUT", "/api/v1/prices/overrides", Some(&price))
        .await
        .ok();
    let all = service.get("/api/v1/prices").await.ok();
    assert_eq!(all["overrides"][0]["table"], "mine");
    assert!(all["book_version"].is_string() && !all["book"].as_array().unwrap().is_empty());
    let body = json!({
        "name": "own", "dialect": "openai", "base_url": "https://ai.example.com/v1", "price_table": "mine",
    });
    let provider = service.add("/api/v1/providers", body).await;
    let path = "/api/v1/prices/overrides?table=mine&model=big-*";
    let answer = service.delete(path).await;
    answer.refused(409, "still_referenced");
    assert_eq!(answer.paths(), ["providers[own].price_table"]);
    service
        .delete(&format!("/api/v1/providers/{provider}"))
        .await
        .ok();
    service.delete(path).await.ok();
    service.delete(path).await.refused(404, "price_not_found");
    service
        .delete("/api/v1/prices/overrides")
        .await
        .refused(400, "invalid_query");
}

#[tokio::test]
async fn lists_come_in_pages_by_name() {
    let service = Service::start().await;
    for name in ["d", "a", "c", "b", "e"] {
        service.add("/api/v1/teams", named(name)).await;
    }
    let mut names = Vec::new();
    let mut path = "/api/v1/teams?limit=2".to_owned();
    loop {
        let page = service.get(&path).await.ok();
        let items = page["items"].as_array().unwrap();
        names.extend(
            items
                .iter()
                .map(|team| team["name"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/teams?limit=2&cursor={cursor}");
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    assert_eq!(
        service.get("/api/v1/teams?name=c").await.ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn policy_survives_a_restart() {
    let service = Service::start().await;
    service.add_provider("openai").await;
    let before = service.store.policy().await.unwrap();
    service.store.close().await;
    let again = open(service.folder.path()).await;
    let after = again.policy().await.unwrap();
    assert_eq!(after.version, before.version);
    assert_eq!(after.documents.providers, before.documents.providers);
    assert_eq!(*again.changes().borrow(), before.version);
    assert!(operations::bootstrap(&again).await.unwrap().is_none());
}

#[tokio::test]
async fn a_provider_where_no_connection_may_be_made_needs_a_setting() {
    let service = Service::start().await;
    let provider = |name: &str, base_url: &str| json!({"name": name, "dialect": "openai", "base_url": base_url, "price_table": "free"});
    let add = |body| service.post("/api/v1/providers", body);
    for base_url in [
        "http://169.254.169.254/v1",
        "http://2852039166/v1",
        "http://0xa9fea9fe/v1",
        "http://[fe80::1]/v1",
        "http://[::ffff:169.254.169.254]/v1",
        "http://0.0.0.0:9/v1",
        "http://u:hunter2@127.0.0.1/v1",
        "http://127.0.0.1:hunter2/v1",
    ] {
        let answer = add(provider("far", base_url)).await;
        answer.refused(400, "invalid_fields");
        let text = answer.body.to_string();
        assert!(
            text.contains("base_url") && !text.contains("hunter2"),
            "{text}"
        );
    }
    add(provider("near", "http://127.0.0.1:9/v1")).await.ok();
    let any = json!({"outbound_addresses": "any"});
    let settings = service.patch("/api/v1/settings", any).await.ok();
    assert_eq!(settings["outbound_addresses"], "any");
    add(provider("far", "http://169.254.169.254/v1")).await.ok();
}

#[tokio::test]
async fn origins_of_web_pages_are_written_as_browsers_send_them() {
    let service = Service::start().await;
    let set = |origins| service.patch("/api/v1/settings", json!({"cors_origins": origins}));
    for origin in [
        "*",
        "null",
        "https://app.example/",
        "https://App.example",
        "https://app.example:443",
        "http://app.example:80",
        "https://*.app.example",
        "app.example",
        "https://u:p@app.example",
        "https://",
        "https://app.example https://other.example",
    ] {
        let answer = set(json!([origin])).await;
        answer.refused(400, "invalid_fields");
        assert_eq!(answer.paths(), ["cors_origins[0]"], "{origin}");
    }
    let origins = json!([
        "https://app.example",
        "http://localhost:3000",
        "http://[::1]:5173",
        "vscode-webview://0abc",
    ]);
    let settings = set(origins.clone()).await.ok();
    assert_eq!(settings["cors_origins"], origins);
}

//! Who gets in.

use super::*;

/// Routes of the description that are open without a token. May only shrink.
const OPEN: [(&str, &str); 0] = [];
/// Routes that are open to virtual keys, and to nothing else.
const FOR_KEYS: [(&str, &str); 1] = [("GET", "/api/v1/me/quota")];

fn described_routes() -> Vec<(String, String)> {
    let description = parts().description;
    let description: Value = serde_json::from_str(&description.to_json().unwrap()).unwrap();
    let paths = description["paths"].as_object().unwrap();
    let mut routes = Vec::new();
    for (path, item) in paths {
        for method in item.as_object().unwrap().keys() {
            routes.push((method.to_uppercase(), path.clone()));
        }
    }
    routes
}

async fn without(service: &Service, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let path = path.replace("{id}", "0198c0de-0000-7000-8000-000000000000");
    let path = path.replace("{key_id}", "0198c0de-0000-7000-8000-000000000001");
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    service.send(request.body(Body::from("{}")).unwrap()).await
}

#[tokio::test]
async fn every_described_route_is_closed_without_a_token() {
    let service = Service::start().await;
    let token = format!("Bearer {}", service.token);
    let key = policy::key::VirtualKeySecret::from_bytes([7; 32]);
    let key = format!("Bearer {}", key.expose());
    let routes = described_routes();
    assert!(routes.len() > 40, "{routes:?}");
    for (method, path) in &routes {
        if OPEN.contains(&(method, path)) || FOR_KEYS.contains(&(method, path)) {
            continue;
        }
        for headers in [
            &[][..],
            &[("authorization", "Bearer weir-admin-00")],
            &[("authorization", &key)],
            &[("authorization", &service.token)],
            &[("authorization", &token), ("authorization", &token)],
            &[("x-api-key", &service.token)],
        ] {
            let answer = without(&service, method, path, headers).await;
            answer.refused(401, "unauthenticated");
        }
        let answer = without(&service, method, path, &[("authorization", &token)]).await;
        assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_ne!(
            answer.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
        let has_no_mesh = path == "/api/v1/mesh";
        assert_eq!(
            answer.body["code"] == "path_not_found",
            has_no_mesh,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn what_is_for_virtual_keys_is_closed_to_all_else() {
    let service = Service::start().await;
    let token = format!("Bearer {}", service.token);
    for (method, path) in FOR_KEYS {
        for headers in [
            &[][..],
            &[("authorization", &*token)],
            &[("x-api-key", "sk-ant-1")],
        ] {
            let answer = without(&service, method, path, headers).await;
            answer.refused(401, "missing_credential");
        }
    }
}

#[tokio::test]
async fn only_health_is_open_and_nobody_learns_what_else_there_is() {
    let service = Service::start().await;
    assert_eq!(
        without(&service, "GET", "/healthz", &[]).await.status,
        StatusCode::OK
    );
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v2/keys",
        "/metrics",
        "/api/v1/keys/../teams",
        "/%ff",
    ] {
        without(&service, "GET", path, &[])
            .await
            .refused(401, "unauthenticated");
    }
    service
        .get("/api/v1/nothing")
        .await
        .refused(404, "path_not_found");
    service
        .call("PUT", "/api/v1/teams", None)
        .await
        .refused(405, "method_not_allowed");
}

#[tokio::test]
async fn the_first_start_alone_makes_a_token() {
    let service = Service::start().await;
    assert!(
        operations::bootstrap(&service.store)
            .await
            .unwrap()
            .is_none()
    );
    assert!(service.token.starts_with("weir-admin-"));
    let database = fs::read(service.folder.path().join("weir.db-wal")).unwrap();
    assert!(!holds(&database, service.token.as_bytes()));
}

#[tokio::test]
async fn tokens_are_made_and_revoked_but_for_the_last() {
    let service = Service::start().await;
    let made = service.post("/api/v1/admin-tokens", named("ci")).await.ok();
    let second = Service {
        token: made["secret"].as_str().unwrap().to_owned(),
        store: service.store.clone(),
        router: service.router.clone(),
        books: service.books.clone(),
        folder: tempfile::tempdir().unwrap(),
    };
    let list = second.get("/api/v1/admin-tokens?name=first").await.ok();
    let first = list["items"][0]["id"].as_str().unwrap().to_owned();
    second
        .post(&format!("/api/v1/admin-tokens/{first}/revoke"), json!({}))
        .await
        .ok();
    service
        .get("/api/v1/teams")
        .await
        .refused(401, "unauthenticated");
    let id = made["token"]["id"].as_str().unwrap();
    let path = format!("/api/v1/admin-tokens/{id}/revoke");
    second
        .post(&path, json!({}))
        .await
        .refused(409, "wrong_state");
    assert_eq!(
        second.actions().await,
        [
            "admin_token.revoke",
            "admin_token.create",
            "admin_token.create"
        ]
    );
}

#[tokio::test]
async fn a_caller_without_the_permission_is_refused_and_nothing_happens() {
    let service = Service::start().await;
    let filters = Caller::filters();
    let refused = operations::teams::create(&service.store, &filters, Default::default()).await;
    assert!(matches!(
        refused,
        Err(operations::OperationError::Forbidden { .. })
    ));
    let draft = serde_json::from_value(json!({
        "name": "mine", "node": "organisation", "unit": "concurrent", "limit": 1_000,
    }));
    let quota = operations::quotas::create(&service.store, &filters, draft.unwrap()).await;
    assert!(matches!(
        quota,
        Err(operations::OperationError::Forbidden { .. })
    ));
    let error = error::ApiError::from(refused.unwrap_err());
    assert_eq!(error.into_response().status(), StatusCode::FORBIDDEN);
}

pub(super) fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

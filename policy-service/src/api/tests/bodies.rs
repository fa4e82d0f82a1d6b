//! What is said about wrong requests.

use super::*;

#[tokio::test]
async fn every_unknown_and_wrong_field_is_named_with_its_place() {
    let service = Service::start().await;
    let body = json!({
        "nmae": "x", "name": 5, "owner": {"team": "not-an-id"}, "limt": 1,
        "access": {"providers": [{"provider": "openai", "modls": []}], "denied_models": ["regex:("]},
    });
    let answer = service.post("/api/v1/keys", body).await;
    answer.refused(400, "invalid_fields");
    let paths = answer.paths();
    for path in [
        "nmae",
        "name",
        "limt",
        "owner.team",
        "access.providers[0].modls",
        "access.denied_models[0]",
    ] {
        assert!(paths.contains(&path), "{path} is not in {paths:?}");
    }
}

#[tokio::test]
async fn everything_that_is_missing_is_named() {
    let service = Service::start().await;
    let answer = service.post("/api/v1/keys", json!({})).await;
    answer.refused(400, "invalid_fields");
    assert_eq!(answer.paths(), ["name", "owner"]);
    let answer = service
        .post("/api/v1/providers", json!({"keys": [{}]}))
        .await;
    assert_eq!(
        answer.paths(),
        [
            "name",
            "dialect",
            "base_url",
            "keys[0].name",
            "keys[0].secret"
        ]
    );
    assert_eq!(
        service.post("/api/v1/routes", json!({})).await.paths(),
        ["alias", "targets"]
    );
}

#[tokio::test]
async fn what_does_not_fit_the_rest_is_named_as_in_the_body() {
    let service = Service::start().await;
    let answer = service.post(
        "/api/v1/teams",
        json!({
            "name": " x", "customer": "0198c0de-0000-7000-8000-000000000000",
            "access": {"providers": [{"provider": "nowhere"}]},
        }),
    );
    let answer = answer.await;
    answer.refused(400, "invalid_fields");
    assert_eq!(
        answer.paths(),
        ["access.providers[0].provider", "customer", "name"]
    );
    let answer = service.post(
        "/api/v1/providers",
        json!({
            "name": "Bad Name", "dialect": "openai", "base_url": "http://127.0.0.1:1/v1",
            "keys": [{"name": "a", "secret": "has space"}],
        }),
    );
    let answer = answer.await;
    assert_eq!(answer.paths(), ["keys[0].secret", "name"]);
    assert!(
        !answer.body.to_string().contains("has space"),
        "{:#}",
        answer.body
    );
}

#[tokio::test]
async fn bodies_that_are_not_json_are_refused() {
    let service = Service::start().await;
    let send = |kind: Option<&'static str>, body: Vec<u8>| {
        let mut request = Request::builder().method("POST").uri("/api/v1/teams");
        request = request.header("authorization", format!("Bearer {}", service.token));
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        service.send(request.body(Body::from(body)).unwrap())
    };
    send(None, b"{}".to_vec()).await.refused(415, "not_json");
    send(Some("text/plain"), b"{}".to_vec())
        .await
        .refused(415, "not_json");
    for body in [
        &b""[..],
        b"{",
        b"[]",
        b"\xff\xfe",
        b"{\"name\":\"a\"} x",
        b"null",
    ] {
        send(Some("application/json; charset=utf-8"), body.to_vec())
            .await
            .refused(400, "invalid_fields");
    }
    let twice = send(
        Some("application/json"),
        br#"{"name":"a","name":"b"}"#.to_vec(),
    )
    .await;
    twice.refused(400, "invalid_fields");
    send(Some("application/json"), vec![b' '; 2 * 1024 * 1024])
        .await
        .refused(413, "body_too_large");
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let service = Service::start().await;
    let answer = service
        .get("/api/v1/exchanges?tema=x&ended=gone&status=ok&by=day&limit=0")
        .await;
    answer.refused(400, "invalid_query");
    assert_eq!(answer.paths(), ["ended", "status", "tema"]);
    service
        .get("/api/v1/exchanges?limit=0")
        .await
        .refused(400, "invalid_query");
    service
        .get("/api/v1/exchanges?by=day")
        .await
        .refused(400, "invalid_query");
    service
        .get("/api/v1/exchanges/sum?by=day,colour")
        .await
        .refused(400, "invalid_query");
    service
        .get("/api/v1/exchanges?model=a&model=b")
        .await
        .refused(400, "invalid_query");
    service
        .get("/api/v1/teams?cursor=zz")
        .await
        .refused(400, "invalid_query");
    service
        .get("/api/v1/teams/not-an-id")
        .await
        .refused(404, "team_not_found");
}

#[tokio::test]
async fn null_empties_and_absence_keeps() {
    let service = Service::start().await;
    let customer = service.add("/api/v1/customers", named("acme")).await;
    let team = service
        .add(
            "/api/v1/teams",
            json!({"name": "red", "customer": customer}),
        )
        .await;
    let path = format!("/api/v1/teams/{team}");
    assert_eq!(
        service.patch(&path, named("blue")).await.ok()["customer"],
        customer
    );
    assert_eq!(
        service.patch(&path, json!({"customer": null})).await.ok()["customer"],
        Value::Null
    );
    assert_eq!(service.get(&path).await.ok()["name"], "blue");
}

#[tokio::test]
async fn a_misplaced_secret_is_not_repeated() {
    let service = Service::start().await;
    let secret = json!({"value": PROVIDER_SECRET});
    for body in [
        json!({"preset": "openai", "keys": [{"name": "main", "secret": secret}]}),
        json!({"preset": "openai", "keys": [{"name": "main", "secret": [PROVIDER_SECRET]}]}),
        json!({"preset": "openai", "keys": [{"name": "main", "secret": format!("{PROVIDER_SECRET}\n")}]}),
    ] {
        let answer = service.post("/api/v1/providers", body).await;
        answer.refused(400, "invalid_fields");
        assert!(
            !answer.body.to_string().contains(PROVIDER_SECRET),
            "{:#}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_database_that_is_gone_is_said_so_without_details() {
    let service = Service::start().await;
    service.store.close().await;
    let answer = service.get("/api/v1/teams").await;
    answer.refused(503, "store_unavailable");
    assert_eq!(
        answer.body["message"],
        "the database is not available; try again"
    );
}

#[tokio::test]
async fn a_path_that_is_no_text_is_refused_like_the_rest() {
    let service = Service::start().await;
    service
        .get("/api/v1/teams/%ff")
        .await
        .refused(400, "bad_request");
}

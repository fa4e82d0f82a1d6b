//! How quotas stand.

use super::*;

async fn usage(service: &Service, quota: &str, query: &str) -> Answer {
    service
        .get(&format!("/api/v1/quotas/{quota}/usage{query}"))
        .await
}

#[tokio::test]
async fn use_is_shown_and_reset() {
    let service = Service::start().await;
    let id = service
        .add_quota(monthly("all", json!("organisation")))
        .await;
    let shown = usage(&service, &id, "").await.ok();
    assert_eq!(
        (&shown["spent"], &shown["held"], &shown["left"]),
        (&json!(0), &json!(0), &json!(500_000_000))
    );
    service.spend(whole(&id), 120_000_000, 30_000_000).await;
    let shown = usage(&service, &id, "").await.ok();
    for (field, want) in [
        ("unit", json!("micro_usd")),
        ("limit", json!(500_000_000)),
        ("ceiling", json!(500_000_000)),
        ("spent", json!(120_000_000)),
        ("held", json!(30_000_000)),
        ("left", json!(350_000_000)),
        ("debt", json!(0)),
        ("rolling_ms", Value::Null),
    ] {
        assert_eq!(shown[field], want, "{field}");
    }
    let now = clock::now().as_millis();
    assert!(shown["window_start_ms"].as_u64().unwrap() <= now);
    assert!(shown["resets_at_ms"].as_u64().unwrap() > now);

    let history = service
        .get(&format!("/api/v1/quotas/{id}/history?since_ms=1"))
        .await
        .ok();
    assert_eq!(
        history["items"],
        json!([{"start_ms": shown["window_start_ms"], "spent": 120_000_000, "debt": 0}])
    );
    let later = format!("/api/v1/quotas/{id}/history?since_ms={}", now + 1);
    assert_eq!(service.get(&later).await.ok()["items"], json!([]));

    let path = format!("/api/v1/quotas/{id}/reset");
    let after = service.call("POST", &path, None).await.ok();
    assert_eq!(
        (&after["spent"], &after["left"]),
        (&json!(0), &json!(470_000_000))
    );
    assert_eq!(
        after["resets_at_ms"], shown["resets_at_ms"],
        "the window stays"
    );
    assert_eq!(usage(&service, &id, "").await.ok(), after);
    let audit = service
        .get("/api/v1/audit-events?action=quota.reset")
        .await
        .ok();
    assert_eq!(audit["items"][0]["before"]["spent"], 120_000_000);
    assert_eq!(audit["items"][0]["after"]["spent"], 0);
}

#[tokio::test]
async fn members_and_sessions_are_looked_up_apart() {
    let service = Service::start().await;
    let team = service.add("/api/v1/teams", named("core")).await;
    let user = json!({"name": "ann", "team": team});
    let user = service.add("/api/v1/users", user).await;
    let key = json!({"name": "laptop", "owner": {"user": user}});
    let key = service.add("/api/v1/keys", key).await;
    let ids: (UserId, KeyId) = (user.parse().unwrap(), key.parse().unwrap());

    let mut pool = monthly("pool", json!({"team": team}));
    pool["member_cap"] = json!(50_000_000);
    let pool = service.add_quota(pool).await;
    let each = service
        .add_quota(monthly("each", json!({"each_member": team})))
        .await;
    let runs = service
        .add_quota(monthly("runs", json!({"each_session": {"team": team}})))
        .await;
    let account = |quota: &str, member: &Member<'_>| AccountId::of(quota.parse().unwrap(), member);

    let member = account(&pool, &Member::User(ids.0));
    service
        .spend((&pool, member, Part::MemberCap), 20_000_000, 0)
        .await;
    for query in [format!("?member=user:{user}"), format!("?member=key:{key}")] {
        let shown = usage(&service, &pool, &query).await.ok();
        assert_eq!(
            (&shown["limit"], &shown["left"]),
            (&json!(50_000_000), &json!(30_000_000))
        );
    }
    assert_eq!(usage(&service, &pool, "").await.ok()["spent"], 0);

    let member = account(&each, &Member::User(ids.0));
    service
        .spend((&each, member, Part::Limit), 7_000_000, 0)
        .await;
    let shown = usage(&service, &each, &format!("?member=key:{key}"))
        .await
        .ok();
    assert_eq!(shown["spent"], 7_000_000);
    let refused = usage(&service, &each, "").await;
    refused.refused(400, "invalid_query");
    assert_eq!(refused.paths(), ["member"]);

    let session = Member::Session {
        key: Some(ids.1),
        id: "s-1",
    };
    let member = account(&runs, &session);
    service
        .spend((&runs, member, Part::Limit), 3_000_000, 0)
        .await;
    let query = format!("?session=s-1&key={key}");
    assert_eq!(
        usage(&service, &runs, &query).await.ok()["spent"],
        3_000_000
    );
    let path = format!("/api/v1/quotas/{runs}/reset{query}");
    let after = service.call("POST", &path, None).await.ok();
    assert_eq!(after["member"], format!("session:s-1 of key:{key}"));
    assert_eq!(usage(&service, &runs, &query).await.ok()["spent"], 0);
    for (quota, query, place) in [
        (&runs, "?agent=a".to_owned(), "member"),
        (&runs, "?session=s&agent=a".to_owned(), "member"),
        (&runs, format!("?key={key}"), "key"),
        (&runs, "?member=user:ann".to_owned(), "member"),
        (&pool, "?session=s".to_owned(), "member"),
        (&runs, "?session=s&since_ms=5".to_owned(), "since_ms"),
    ] {
        let refused = usage(&service, quota, &query).await;
        refused.refused(400, "invalid_query");
        assert_eq!(refused.paths(), [place], "{query}");
    }
}

#[tokio::test]
async fn raises_count_until_they_end() {
    let service = Service::start().await;
    let id = service
        .add_quota(monthly("all", json!("organisation")))
        .await;
    let path = format!("/api/v1/quotas/{id}/raises");
    let until = clock::now().as_millis() + 3_600_000;
    let raised = service
        .post(&path, json!({"amount": 100_000_000, "until_ms": until}))
        .await
        .ok();
    assert_eq!(
        raised["raises"],
        json!([{"amount": 100_000_000, "until_ms": until}])
    );
    assert_eq!(raised["limit"], 500_000_000);
    let shown = usage(&service, &id, "").await.ok();
    assert_eq!(
        (&shown["limit"], &shown["left"]),
        (&json!(600_000_000), &json!(600_000_000))
    );
    let quota = format!("/api/v1/quotas/{id}");
    let ended = json!({"raises": [{"amount": 9, "until_ms": 1}]});
    service.patch(&quota, ended).await.ok();
    assert_eq!(usage(&service, &id, "").await.ok()["limit"], 500_000_000);
    let answer = service
        .post(&path, json!({"amount": 0, "until_ms": 1}))
        .await;
    answer.refused(400, "invalid_fields");
    assert_eq!(answer.paths(), ["amount", "until_ms"]);
    assert_eq!(
        service.actions().await[..2],
        ["quota.update", "quota.raise"]
    );
}

#[tokio::test]
async fn what_is_soft_is_never_refused() {
    let service = Service::start().await;
    let mut body = monthly("soft", json!("organisation"));
    body["mode"] = json!("soft");
    let id = service.add_quota(body).await;
    let shown = usage(&service, &id, "").await.ok();
    assert_eq!(
        (&shown["ceiling"], &shown["left"]),
        (&Value::Null, &Value::Null)
    );
    let minute = json!({"name": "rate", "node": "organisation", "unit": "requests", "limit": 60,
        "window": {"rolling": {"duration_ms": 60_000}}, "mode": {"soft_until": {"percent": 150}}});
    let id = service.add_quota(minute).await;
    service.spend(whole(&id), 70, 0).await;
    let shown = usage(&service, &id, "").await.ok();
    assert_eq!(
        (
            &shown["limit"],
            &shown["ceiling"],
            &shown["left"],
            &shown["rolling_ms"]
        ),
        (&json!(60), &json!(90), &json!(20), &json!(60_000))
    );
    let history = service
        .get(&format!("/api/v1/quotas/{id}/history"))
        .await
        .ok();
    assert_eq!(history["items"][0]["spent"], 70);
    let since = Timestamp::from_millis(history["items"][0]["start_ms"].as_u64().unwrap());
    assert!(since <= clock::now());
}

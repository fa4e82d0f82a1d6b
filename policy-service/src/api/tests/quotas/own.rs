//! What a virtual key is told of its quotas.

use super::*;

async fn ask(service: &Service, header: (&str, &str), query: &str) -> Answer {
    let request = Request::builder()
        .uri(format!("/api/v1/me/quota{query}"))
        .header(header.0, header.1);
    service.send(request.body(Body::empty()).unwrap()).await
}

struct Owned {
    service: Service,
    team: String,
    user: String,
    key: String,
    secret: String,
}

async fn owned() -> Owned {
    let service = Service::start().await;
    let team = service.add("/api/v1/teams", named("core")).await;
    let user = json!({"name": "ann", "team": team});
    let user = service.add("/api/v1/users", user).await;
    let body = json!({"name": "laptop", "owner": {"user": user}});
    let made = service.post("/api/v1/keys", body).await.ok();
    Owned {
        team,
        user,
        key: made["key"]["id"].as_str().unwrap().to_owned(),
        secret: made["secret"].as_str().unwrap().to_owned(),
        service,
    }
}

#[tokio::test]
async fn a_key_sees_its_quotas_lowest_level_first() {
    let it = owned().await;
    let service = &it.service;
    let mut each = monthly("each", json!({"each_member": it.team}));
    each["figures"] = json!("shown");
    let each = service.add_quota(each).await;
    service
        .add_quota(monthly("all", json!("organisation")))
        .await;
    let other = service.add("/api/v1/teams", named("other")).await;
    service
        .add_quota(monthly("elsewhere", json!({"team": other})))
        .await;
    let rate = json!({"name": "rate", "node": {"key": it.key}, "unit": "requests", "limit": 60,
        "window": {"rolling": {"duration_ms": 60_000}}, "figures": "shown", "models": ["gpt-*"]});
    service.add_quota(rate).await;
    let user: UserId = it.user.parse().unwrap();
    let account = AccountId::of(each.parse().unwrap(), &Member::User(user));
    service
        .spend((&each, account, Part::Limit), 87_700_000, 300_000)
        .await;

    let bearer = format!("Bearer {}", it.secret);
    let told = ask(service, ("authorization", &bearer), "").await.ok();
    let items = told["items"].as_array().unwrap();
    let names: Vec<_> = items
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["rate", "each", "all"]);
    assert_eq!(
        (
            &items[0]["rolling_ms"],
            &items[0]["models"],
            &items[0]["left"]
        ),
        (&json!(60_000), &json!(["gpt-*"]), &json!(60))
    );
    for (field, want) in [
        ("level", json!("user")),
        ("unit", json!("micro_usd")),
        ("limit", json!(500_000_000)),
        ("used", json!(87_700_000)),
        ("held", json!(300_000)),
        ("left", json!(412_300_000)),
        ("exhausted", json!(false)),
    ] {
        assert_eq!(items[1][field], want, "{field}");
    }
    assert!(items[1]["resets_at_ms"].is_u64());
    for field in ["limit", "used", "held", "left"] {
        assert_eq!(items[2][field], Value::Null, "{field} is hidden");
    }
    assert_eq!(items[2]["exhausted"], false);
    for header in ["x-weir-key", "x-api-key"] {
        assert_eq!(ask(service, (header, &it.secret), "").await.ok(), told);
    }
}

#[tokio::test]
async fn hidden_figures_still_tell_what_is_exhausted() {
    let it = owned().await;
    let mut body = monthly("pool", json!({"team": it.team}));
    body["member_cap"] = json!(1_000_000);
    let id = it.service.add_quota(body).await;
    let user: UserId = it.user.parse().unwrap();
    let account = AccountId::of(id.parse().unwrap(), &Member::User(user));
    it.service
        .spend((&id, account, Part::MemberCap), 1_000_000, 0)
        .await;
    let told = ask(&it.service, ("x-weir-key", &it.secret), "").await.ok();
    let exhausted: Vec<_> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (&it["level"], &it["exhausted"]))
        .collect();
    assert_eq!(
        exhausted,
        [
            (&json!("user"), &json!(true)),
            (&json!("team"), &json!(false))
        ]
    );
}

#[tokio::test]
async fn sessions_have_figures_when_one_is_named() {
    let it = owned().await;
    let mut body = monthly("runaway", json!({"each_session": "global"}));
    body["figures"] = json!("shown");
    let id = it.service.add_quota(body).await;
    let key: KeyId = it.key.parse().unwrap();
    let session = Member::Session {
        key: Some(key),
        id: "s-1",
    };
    let account = AccountId::of(id.parse().unwrap(), &session);
    it.service
        .spend((&id, account, Part::Limit), 2_000_000, 0)
        .await;
    let header = ("x-weir-key", it.secret.as_str());
    let told = ask(&it.service, header, "").await.ok();
    let item = &told["items"][0];
    assert_eq!(
        (&item["limit"], &item["left"], &item["exhausted"]),
        (&json!(500_000_000), &Value::Null, &Value::Null)
    );
    let told = ask(&it.service, header, "?session=s-1").await.ok();
    assert_eq!(told["items"][0]["used"], 2_000_000);
    ask(&it.service, header, "?sesion=s-1")
        .await
        .refused(400, "invalid_query");
}

#[tokio::test]
async fn keys_that_open_nothing_are_told_why() {
    let it = owned().await;
    let unknown = policy::key::VirtualKeySecret::from_bytes([7; 32]);
    let mut damaged = it.secret.clone();
    let last = damaged.pop();
    damaged.push(if last == Some('0') { '1' } else { '0' });
    for (key, code) in [
        ("sk-ant-1", "missing_credential"),
        (damaged.as_str(), "malformed_key"),
        (unknown.expose(), "unknown_key"),
    ] {
        let answer = ask(&it.service, ("x-weir-key", key), "").await;
        answer.refused(401, code);
        assert!(answer.body["message"].as_str().unwrap().contains(' '));
    }
    let path = format!("/api/v1/keys/{}", it.key);
    for (state, code) in [("inactive", "key_inactive"), ("revoked", "key_revoked")] {
        it.service.patch(&path, json!({"state": state})).await.ok();
        let answer = ask(&it.service, ("x-weir-key", &it.secret), "").await;
        answer.refused(401, code);
    }
}

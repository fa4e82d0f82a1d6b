//! Quotas: set, shown, used, reset.

use policy::ids::{ExchangeId, GrantId, HolderId, KeyId, QuotaId, UserId};
use policy::quota::covering::Part;
use policy::quota::lease::{Ask, Charge, GrantAnswer, GrantRequest, Settlement, Sureness, Taken};
use policy::quota::{AccountId, Member};
use policy::units::Timestamp;
use uuid::Uuid;

use super::*;
use crate::clock;

mod live;
mod own;

impl Service {
    /// Tells the ledger what the store holds, as the publisher does.
    async fn publish(&self) {
        let documents = self.store.documents().await.unwrap();
        let quotas = Quotas::new(documents.quotas.into_values());
        self.books.quotas.send_replace(Arc::new(quotas));
    }

    /// Adds a quota of which the ledger knows.
    async fn add_quota(&self, body: Value) -> String {
        let id = self.add("/api/v1/quotas", body).await;
        self.publish().await;
        id
    }

    /// Uses `amount` of an account, and leaves as much leased as `held` says.
    async fn spend(&self, ask: (&str, AccountId, Part), amount: u64, held: u64) {
        let (quota, account, part) = ask;
        let (grant, exchange) = (
            GrantId::new(Uuid::now_v7()),
            ExchangeId::new(Uuid::now_v7()),
        );
        let asks = vec![Ask {
            quota: quota.parse().unwrap(),
            part,
            account,
            need: amount + held,
            want: amount + held,
        }];
        let request = GrantRequest {
            grant,
            holder: HolderId::new(Uuid::now_v7()),
            exchange,
            asks,
        };
        let GrantAnswer::Granted(granted) = self.books.ledgers.grant(request).await.unwrap() else {
            panic!("there is room for what the tests use");
        };
        let settlement = Settlement {
            exchange,
            attempt: 1,
            admitted: clock::now(),
            sureness: Sureness::Exact,
            charges: vec![Charge {
                account,
                window: granted.slices[0].window,
                amount,
                debt: 0,
            }],
            taken: vec![Taken {
                grant,
                account,
                amount,
            }],
            closes: true,
        };
        self.books.ledgers.settle(vec![settlement]).await.unwrap();
    }
}

/// The account of all of a quota.
fn whole(quota: &str) -> (&str, AccountId, Part) {
    let id: QuotaId = quota.parse().unwrap();
    (quota, AccountId::of(id, &Member::Everyone), Part::Limit)
}

fn monthly(name: &str, node: Value) -> Value {
    json!({
        "name": name, "node": node, "unit": "micro_usd", "limit": 500_000_000,
        "window": {"calendar": {"every": "month", "zone": "Europe/Berlin"}},
    })
}

#[tokio::test]
async fn a_quota_is_made_shown_changed_and_deleted() {
    let service = Service::start().await;
    let team = service.add("/api/v1/teams", named("core")).await;
    let made = service
        .post(
            "/api/v1/quotas",
            monthly("per-engineer", json!({"each_member": team})),
        )
        .await
        .ok();
    assert_eq!(
        made["sentence"],
        "At most $500.00 per month (Europe/Berlin) for each member of team `core`; more is refused."
    );
    assert_eq!(made["holds"], "learned");
    let path = format!("/api/v1/quotas/{}", made["id"].as_str().unwrap());
    assert_eq!(service.get(&path).await.ok(), made);
    let changed = service
        .patch(
            &path,
            json!({"limit": 600_000_000, "name": "engineers", "holds": "strict"}),
        )
        .await
        .ok();
    assert_eq!(
        (&changed["limit"], &changed["name"]),
        (&json!(600_000_000), &json!("engineers"))
    );
    assert_eq!(
        service
            .patch(&path, json!({"limit": 600_000_000}))
            .await
            .ok(),
        changed
    );
    let documents = service.store.documents().await.unwrap();
    let stored = documents.quotas.values().next().unwrap();
    assert_eq!(stored.rules.limit, 600_000_000);
    assert_eq!(service.delete(&path).await.status, StatusCode::NO_CONTENT);
    service.get(&path).await.refused(404, "quota_not_found");
    service.delete(&path).await.refused(404, "quota_not_found");
    assert_eq!(
        service.actions().await[..3],
        ["quota.delete", "quota.update", "quota.create"]
    );
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_with_its_field() {
    let service = Service::start().await;
    let path = "/api/v1/quotas";
    let answer = service.post(path, json!({"unit": "requests"})).await;
    answer.refused(400, "invalid_fields");
    assert_eq!(answer.paths(), ["name", "node", "limit"]);
    let answer = service.post(path, json!({"name": "a", "budget": 1})).await;
    answer.refused(400, "invalid_fields");
    assert_eq!(answer.paths(), ["budget"]);
    let answer = service
        .post(path, json!({
            "name": "Not A Label", "node": {"team": "0198c0de-0000-7000-8000-000000000000"},
            "unit": "micro_usd", "limit": 5, "member_cap": 6, "alerts": [80, 50], "providers": ["opnai"],
            "window": {"calendar": {"every": "day", "zone": "Europe/Atlantis", "first_month": 13}},
        }))
        .await;
    answer.refused(400, "invalid_fields");
    let mut paths = answer.paths();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "alerts",
            "member_cap",
            "name",
            "node",
            "providers[0]",
            "window.calendar.first_month",
            "window.calendar.zone",
        ]
    );
    let id = service.add(path, monthly("a", json!("organisation"))).await;
    service
        .post(path, monthly("a", json!("organisation")))
        .await
        .refused(409, "name_taken");
    let path = format!("{path}/{id}");
    let answer = service
        .patch(&path, json!({"unit": "requests", "node": {"user": id}}))
        .await;
    answer.refused(400, "invalid_fields");
    assert_eq!(answer.paths(), ["node", "unit"]);
    let answer = service.patch(&path, json!({"window": null})).await;
    answer.refused(400, "invalid_fields");
    assert_eq!(answer.paths(), ["window"]);
}

#[tokio::test]
async fn what_a_quota_stands_at_or_names_cannot_go() {
    let service = Service::start().await;
    let provider = service.add_provider("openai").await;
    let customer = service.add("/api/v1/customers", named("acme")).await;
    let team = service.add("/api/v1/teams", named("core")).await;
    let user = service.add("/api/v1/users", named("ann")).await;
    let key = json!({"name": "laptop", "owner": {"user": user}});
    let key = service.add("/api/v1/keys", key).await;
    for (kind, path, id) in [
        ("customer", "customers", &customer),
        ("team", "teams", &team),
        ("key", "keys", &key),
        ("user", "users", &user),
    ] {
        let node = json!({"each_session": {kind: id}});
        let quota = service
            .add("/api/v1/quotas", monthly("sessions", node))
            .await;
        let path = format!("/api/v1/{path}/{id}");
        let answer = service.delete(&path).await;
        answer.refused(409, "still_referenced");
        assert!(
            answer.paths().contains(&"quotas[sessions].node"),
            "{:#}",
            answer.body
        );
        service
            .delete(&format!("/api/v1/quotas/{quota}"))
            .await
            .ok();
        assert_eq!(service.delete(&path).await.status, StatusCode::NO_CONTENT);
    }
    let mut body = monthly("one-provider", json!("organisation"));
    body["providers"] = json!(["openai"]);
    let quota = service.add("/api/v1/quotas", body).await;
    let path = format!("/api/v1/providers/{provider}");
    service.delete(&path).await.refused(409, "still_referenced");
    service
        .patch(&path, json!({"name": "other"}))
        .await
        .refused(409, "still_referenced");
    service
        .patch(&format!("/api/v1/quotas/{quota}"), json!({"providers": []}))
        .await
        .ok();
    assert_eq!(service.delete(&path).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn quotas_come_in_pages() {
    let service = Service::start().await;
    for name in ["c", "a", "b"] {
        service
            .add("/api/v1/quotas", monthly(name, json!("organisation")))
            .await;
    }
    let mut path = "/api/v1/quotas?limit=2".to_owned();
    let mut names = Vec::new();
    loop {
        let page = service.get(&path).await.ok();
        let items = page["items"].as_array().unwrap();
        names.extend(
            items
                .iter()
                .map(|it| it["name"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/quotas?limit=2&cursor={cursor}");
    }
    assert_eq!(names, ["a", "b", "c"]);
    let page = service.get("/api/v1/quotas?name=b").await.ok();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert_eq!(page["next_cursor"], Value::Null);
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures are what it shows")]
async fn a_hundred_thousand_quotas_stay_usable() {
    let service = Service::start().await;
    let user = service.add("/api/v1/users", named("ann")).await;
    let first = service
        .add("/api/v1/quotas", monthly("a", json!({"user": user})))
        .await;
    let mut change = service.store.change().await.unwrap();
    sqlx::query(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
         INSERT INTO quotas (id, name, user_id, names_providers, rules, created_ms) \
         SELECT randomblob(16), printf('q%06d', i), user_id, 0, rules, 0 FROM n, quotas WHERE id = $1",
    )
    .bind(first.parse::<QuotaId>().unwrap().uuid())
    .execute(change.connection())
    .await
    .unwrap();
    change
        .commit(&[], crate::store::Effect::Policy)
        .await
        .unwrap();
    let started = clock::now().as_millis();
    service
        .add("/api/v1/quotas", monthly("b", json!({"user": user})))
        .await;
    let written = clock::now().as_millis();
    let page = service
        .get("/api/v1/quotas?cursor=71303530303030&limit=1000")
        .await
        .ok();
    let listed = clock::now().as_millis();
    println!(
        "quota figures: with 100,000 stored, one POST took {} ms, a page of 1,000 {} ms",
        written - started,
        listed - written
    );
    assert_eq!(page["items"][0]["name"], "q050001");
    assert!(written - started < 2_000, "a write must not cost seconds");
}

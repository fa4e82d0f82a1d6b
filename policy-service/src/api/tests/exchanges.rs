//! Spend: from reports to lists and sums.

use uuid::Uuid;
use wire::mesh::{self, ExchangeRecord};

use super::*;
use crate::operations::exchanges::{Reported, record};
use crate::operations::providers::due_probes;

const DAY_MS: u64 = 86_400_000;

fn exchange(number: u128, team: &str, model: &str, started_ms: u64) -> ExchangeRecord {
    let usage = mesh::Usage {
        input_tokens: 1_000,
        output_tokens: 100,
        ..Default::default()
    };
    let attempt = mesh::Attempt {
        number: 1,
        provider: "own".into(),
        model: model.into(),
        status: 200,
        usage: Some(usage),
        price_table: "mine".into(),
        ..Default::default()
    };
    ExchangeRecord {
        exchange_id: Uuid::from_u128(number).as_bytes().to_vec(),
        started_ms,
        surface: "openai.chat".into(),
        team_id: team.parse::<Uuid>().unwrap().as_bytes().to_vec(),
        model_asked: model.into(),
        model_used: model.into(),
        provider: "own".into(),
        status: 200,
        ended: mesh::Ended::Complete.into(),
        attempts: vec![attempt],
        environment: "ci".into(),
        ..Default::default()
    }
}

/// Two teams, two models, three days; each exchange of the dear model costs 1,200 micro-dollars, else 120.
async fn spent(service: &Service) -> (String, String) {
    for (model, price) in [("dear", 1_000_000), ("cheap", 100_000)] {
        let rates =
            json!({"input_micro_usd_per_mtok": price, "output_micro_usd_per_mtok": 2 * price});
        let price = json!({"table": "mine", "model": model, "rates": rates});
        service
            .call("PUT", "/api/v1/prices/overrides", Some(&price))
            .await
            .ok();
    }
    let red = service.add("/api/v1/teams", named("red")).await;
    let blue = service.add("/api/v1/teams", named("blue")).await;
    let mut records = Vec::new();
    for number in 0..10_u128 {
        let team = if number % 2 == 0 { &red } else { &blue };
        let model = if number < 4 { "dear" } else { "cheap" };
        let day = u64::try_from(number % 3).unwrap();
        records.push(exchange(
            number + 1,
            team,
            model,
            20_000 * DAY_MS + day * DAY_MS,
        ));
    }
    let refused = ExchangeRecord {
        ended: mesh::Ended::Refused.into(),
        refusal_code: "model_not_allowed".into(),
        refused_by: "engineers".into(),
        status: 403,
        attempts: Vec::new(),
        ..exchange(11, &red, "forbidden", 20_000 * DAY_MS)
    };
    records.push(refused);
    let own_login = ExchangeRecord {
        subscription: true,
        ..exchange(12, &blue, "dear", 20_000 * DAY_MS)
    };
    records.push(own_login);
    report(service, records).await;
    (red, blue)
}

async fn report(service: &Service, records: Vec<ExchangeRecord>) {
    let reported = Reported {
        process_id: vec![1; 16],
        vm_id: vec![2; 16],
        records,
        ..Reported::default()
    };
    record(&service.store, reported).await.unwrap();
}

/// An answer carries our id, a client its own, a provider another: each leads to the exchange.
#[tokio::test]
async fn an_exchange_is_found_by_any_of_its_ids() {
    let service = Service::start().await;
    let team = service.add("/api/v1/teams", named("red")).await;
    let mut called = exchange(1, &team, "m", DAY_MS);
    called.client_request_ids = vec!["mine 1".into(), "trace-1".into(), "\u{e9}".into()];
    called.attempts[0].request_ids = vec!["req_1".into()];
    called.attempts.push(mesh::Attempt {
        number: 2,
        request_ids: vec!["req_2".into(), "req_1".into()],
        ..called.attempts[0].clone()
    });
    report(&service, vec![called, exchange(2, &team, "m", 2 * DAY_MS)]).await;
    let id = Uuid::from_u128(1);
    for query in [
        format!("exchange_id={id}"),
        "client_request_id=mine1".to_owned(),
        "client_request_id=mine%201".to_owned(),
        "client_request_id=trace-1".to_owned(),
        "provider_request_id=req_1".to_owned(),
        "provider_request_id=req_2".to_owned(),
        format!("exchange_id={id}&client_request_id=mine1&provider_request_id=req_2"),
    ] {
        let found = service
            .get(&format!("/api/v1/exchanges?{query}"))
            .await
            .ok();
        assert_eq!(count(&found), 1, "{query}");
        let item = &found["items"][0];
        assert_eq!(item["id"], json!(id), "{query}");
        assert_eq!(item["client_request_ids"], json!(["mine1", "trace-1"]));
        assert_eq!(item["provider_request_ids"], json!(["req_1", "req_2"]));
        let sum = service
            .get(&format!("/api/v1/exchanges/sum?{query}"))
            .await
            .ok();
        assert_eq!(sum["items"][0]["exchanges"], json!(1), "{query}");
    }
    let whole = service.get(&format!("/api/v1/exchanges/{id}")).await.ok();
    let attempts = whole["attempts"].as_array().unwrap();
    let ids: Vec<_> = attempts
        .iter()
        .map(|attempt| &attempt["request_ids"])
        .collect();
    assert_eq!(ids, [&json!(["req_1"]), &json!(["req_2"])]);
    for query in [
        "client_request_id=req_1",
        "provider_request_id=trace-1",
        "client_request_id=other",
    ] {
        let found = service
            .get(&format!("/api/v1/exchanges?{query}"))
            .await
            .ok();
        assert_eq!(count(&found), 0, "{query}");
    }
    for query in [
        "client_request_id=",
        "provider_request_id=%20",
        "exchange_id=x",
    ] {
        let refused = service.get(&format!("/api/v1/exchanges?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
    }
}

fn count(body: &Value) -> usize {
    body["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn exchanges_are_filtered_and_paged_newest_first() {
    let service = Service::start().await;
    let (red, _) = spent(&service).await;
    let all = service.get("/api/v1/exchanges").await.ok();
    assert_eq!(count(&all), 12);
    let starts: Vec<_> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["started_ms"].as_u64())
        .collect();
    assert!(starts.windows(2).all(|pair| pair[0] >= pair[1]));
    for (query, want) in [
        (format!("team={red}"), 6),
        ("model=dear".into(), 5),
        ("status=403".into(), 1),
        ("ended=refused".into(), 1),
        ("refusal_code=model_not_allowed".into(), 1),
        ("refused_by=engineers".into(), 1),
        ("subscription=true".into(), 1),
        ("unkeyed=true".into(), 0),
        ("provider=own&surface=openai.chat&environment=ci".into(), 12),
        (
            format!("from_ms={}&to_ms={}", 20_001 * DAY_MS, 20_002 * DAY_MS),
            3,
        ),
        ("key=0198c0de-0000-7000-8000-000000000000".into(), 0),
    ] {
        let found = service
            .get(&format!("/api/v1/exchanges?{query}"))
            .await
            .ok();
        assert_eq!(count(&found), want, "{query}");
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut path = "/api/v1/exchanges?limit=5".to_owned();
    for pages in 1.. {
        let page = service.get(&path).await.ok();
        for item in page["items"].as_array().unwrap() {
            assert!(
                seen.insert(item["id"].as_str().unwrap().to_owned()),
                "twice: {item}"
            );
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!(pages, 3);
            break;
        };
        path = format!("/api/v1/exchanges?limit=5&cursor={cursor}");
    }
    assert_eq!(seen.len(), 12);
}

#[tokio::test]
async fn one_exchange_shows_its_attempts_and_price() {
    let service = Service::start().await;
    spent(&service).await;
    let id = Uuid::from_u128(1);
    let whole = service.get(&format!("/api/v1/exchanges/{id}")).await.ok();
    assert_eq!(whole["exchange"]["cost_micro_usd"], 1_200);
    assert_eq!(whole["exchange"]["team"]["name"], "red");
    assert_eq!(whole["exchange"]["usage"]["input_tokens"], 1_000);
    assert_eq!(whole["exchange"]["ended"], "complete");
    assert_eq!(whole["attempts"][0]["price"], "override");
    let own_login = service
        .get(&format!("/api/v1/exchanges/{}", Uuid::from_u128(12)))
        .await
        .ok();
    assert_eq!(own_login["exchange"]["cost_micro_usd"], 0);
    assert_eq!(own_login["exchange"]["notional_cost_micro_usd"], 1_200);
    let nothing = service
        .get(&format!("/api/v1/exchanges/{}", Uuid::from_u128(99)))
        .await;
    nothing.refused(404, "exchange_not_found");
}

#[tokio::test]
async fn sums_agree_however_they_are_told_apart() {
    let service = Service::start().await;
    spent(&service).await;
    let total = service.get("/api/v1/exchanges/sum").await.ok();
    let total = &total["items"][0];
    assert_eq!(total["exchanges"], 12);
    assert_eq!(total["refused"], 1);
    assert_eq!(total["failed"], 0);
    assert_eq!(total["cost_micro_usd"], 4 * 1_200 + 6 * 120);
    assert_eq!(total["notional_cost_micro_usd"], 1_200);
    assert_eq!(total["usage"]["output_tokens"], 1_100);
    for by in [
        "key",
        "user",
        "team",
        "customer",
        "model",
        "provider",
        "day",
        "environment",
        "surface",
        "team,model,day",
    ] {
        let sums = service
            .get(&format!("/api/v1/exchanges/sum?by={by}"))
            .await
            .ok();
        let items = sums["items"].as_array().unwrap();
        let sum = |field: &str| {
            items
                .iter()
                .map(|item| item[field].as_u64().unwrap())
                .sum::<u64>()
        };
        assert_eq!(sum("exchanges"), 12, "{by}");
        assert_eq!(sum("cost_micro_usd"), 5_520, "{by}");
        assert_eq!(sum("notional_cost_micro_usd"), 1_200, "{by}");
    }
    let by_model = service.get("/api/v1/exchanges/sum?by=model").await.ok();
    assert_eq!(by_model["items"][0]["group"], json!({"model": "dear"}));
    assert_eq!(by_model["items"][0]["exchanges"], 5);
    let by_team = service
        .get("/api/v1/exchanges/sum?by=team,day&limit=1&ended=complete")
        .await
        .ok();
    assert_eq!(by_team["truncated"], true);
    assert_eq!(by_team["items"][0]["group"]["day"], "2024-10-04");
    assert_eq!(by_team["items"][0]["group"]["team"]["name"], "blue");
}

/// A provider with one key, of which requests are reported.
struct Refusals {
    service: Service,
    path: String,
    key: Uuid,
    team: String,
}

impl Refusals {
    async fn new() -> Self {
        let service = Service::start().await;
        let provider = service.add_provider("openai").await;
        let path = format!("/api/v1/providers/{provider}");
        let shown = service.get(&path).await.ok();
        let key = shown["keys"][0]["id"].as_str().unwrap().parse().unwrap();
        let team = service.add("/api/v1/teams", named("red")).await;
        Self {
            service,
            path,
            key,
            team,
        }
    }

    /// Reports an answer; `key_refused` is what the filter made of it.
    async fn meet(&self, number: u128, status: u32, key_refused: bool, started_ms: u64) {
        let mut met = exchange(number, &self.team, "gpt", started_ms);
        met.attempts[0].status = status;
        met.attempts[0].key_refused = key_refused;
        met.attempts[0].started_ms = started_ms;
        met.attempts[0].provider_key_id = self.key.as_bytes().to_vec();
        report(&self.service, vec![met]).await;
    }

    /// Hands out the probe that is due, if one is, and reports what it was answered.
    async fn probe(&self, status: u32) -> usize {
        let due = due_probes(&self.service.store).await.unwrap();
        let probed = due.iter().map(|probe| mesh::ProbeResult {
            probe_id: probe.id.as_bytes().to_vec(),
            status,
            body: Vec::new(),
        });
        let reported = Reported {
            probed: probed.collect(),
            ..Reported::default()
        };
        record(&self.service.store, reported).await.unwrap();
        due.len()
    }

    async fn shown(&self) -> Value {
        self.service.get(&self.path).await.ok()["keys"][0].clone()
    }

    async fn told(&self) -> Vec<String> {
        let events = self.service.get("/api/v1/events").await.ok();
        let items = events["items"].as_array().unwrap();
        let kinds = items.iter().map(|event| event["kind"].as_str().unwrap());
        kinds.map(str::to_owned).collect()
    }
}

fn now_ms() -> u64 {
    crate::clock::now().as_millis()
}

/// What a client met asks for a probe, whoever it was; only the probe takes the key out of use.
#[tokio::test]
async fn a_refused_provider_key_is_probed_once_a_minute() {
    for (status, state, kinds) in [
        (401, "bad", &["provider_key.refused"][..]),
        (403, "active", &["provider_key.unproven"]),
        (404, "active", &["provider_key.unproven"]),
        (200, "active", &[]),
        (500, "active", &[]),
        (0, "active", &[]),
    ] {
        let refusals = Refusals::new().await;
        let version = *refusals.service.store.changes().borrow();
        refusals.meet(1, 403, true, now_ms()).await;
        let shown = refusals.shown().await;
        assert_eq!(shown["state"], "active", "{status}");
        assert_eq!(shown["doubt"]["status"], 403, "{status}");
        assert_eq!(shown["doubt"]["probed_ms"], Value::Null, "{status}");
        assert_eq!(*refusals.service.store.changes().borrow(), version);
        assert_eq!(refusals.probe(status).await, 1, "{status}");
        let shown = refusals.shown().await;
        assert_eq!(shown["state"], state, "{status}");
        assert_eq!(refusals.told().await, kinds, "{status}");
        let is_wanted = matches!(status, 401 | 500 | 0);
        assert_eq!(shown["doubt"].is_object(), is_wanted, "{status}: {shown}");
        // Met again at once, by whomever: not before the minute is over.
        refusals.meet(2, 401, true, now_ms()).await;
        assert_eq!(refusals.probe(status).await, 0, "{status}");
    }
}

#[tokio::test]
async fn an_administrator_ends_the_doubt_and_old_answers_are_no_news() {
    let refusals = Refusals::new().await;
    refusals.meet(1, 401, true, now_ms()).await;
    refusals.probe(401).await;
    assert_eq!(refusals.shown().await["bad_status"], 401);
    let path = format!("{}/keys/{}", refusals.path, refusals.key);
    let active = json!({"state": "active"});
    refusals.service.patch(&path, active).await.ok();
    refusals.meet(2, 401, true, 1).await;
    let shown = refusals.shown().await;
    assert_eq!(
        (&shown["state"], &shown["doubt"]),
        (&json!("active"), &Value::Null)
    );
    assert_eq!(refusals.probe(401).await, 0);
}

/// A provider may refuse a good key a path that a client chose; the filter tells those apart.
#[tokio::test]
async fn an_answer_that_is_no_refusal_of_the_key_casts_no_doubt() {
    let refusals = Refusals::new().await;
    for (number, status) in (1..).zip([401, 403, 404, 429, 500, 200]) {
        refusals.meet(number, status, false, now_ms()).await;
    }
    assert_eq!(refusals.shown().await["doubt"], Value::Null);
    assert_eq!(refusals.probe(401).await, 0);
}

fn outcome(name: &str, verdict: mesh::GuardVerdict) -> mesh::GuardOutcome {
    let finding = mesh::GuardFinding {
        rule: "aws-access-token".into(),
        kind: "secret".into(),
        severity: "high".into(),
        count: 2,
        paths: vec!["messages[3].content[0].text".into()],
        fingerprints: vec!["0011223344556677".into()],
    };
    let has_found = verdict != mesh::GuardVerdict::Scanned;
    mesh::GuardOutcome {
        guardrail_id: Uuid::from_u128(name.len() as u128).as_bytes().to_vec(),
        name: name.into(),
        direction: mesh::GuardDirection::Request.into(),
        verdict: verdict.into(),
        findings: has_found.then_some(finding).into_iter().collect(),
        unscanned: vec![mesh::GuardUnscanned {
            why: "image".into(),
            count: 1,
        }],
        texts: 7,
    }
}

async fn guarded(service: &Service) {
    let team = service.add("/api/v1/teams", named("red")).await;
    let with = |number, guardrails| ExchangeRecord {
        guardrails,
        ..exchange(number, &team, "m", 20_000 * DAY_MS)
    };
    let blocked = vec![
        outcome("secrets", mesh::GuardVerdict::Observed),
        outcome("pii", mesh::GuardVerdict::Blocked),
    ];
    let redacted = vec![outcome("secrets", mesh::GuardVerdict::Redacted)];
    let clean = vec![outcome("pii", mesh::GuardVerdict::Scanned)];
    let records = vec![
        with(1, blocked),
        with(2, redacted),
        with(3, clean),
        with(4, Vec::new()),
    ];
    report(service, records).await;
}

#[tokio::test]
async fn an_exchange_shows_what_its_guardrails_did() {
    let service = Service::start().await;
    guarded(&service).await;
    let path = format!("/api/v1/exchanges/{}", Uuid::from_u128(1));
    let shown = service.get(&path).await.ok();
    let exchange = &shown["exchange"];
    assert_eq!(exchange["guard_outcome"], "blocked");
    let want = json!({
        "id": Uuid::from_u128(3), "name": "pii", "direction": "request", "outcome": "blocked", "texts": 7,
        "findings": [{
            "rule": "aws-access-token", "kind": "secret", "severity": "high", "count": 2,
            "paths": ["messages[3].content[0].text"], "fingerprints": ["0011223344556677"],
        }],
        "unscanned": [{"why": "image", "count": 1}],
    });
    assert_eq!(exchange["guardrails"][0], want);
    assert_eq!(exchange["guardrails"][1]["outcome"], "observed");
    let listed = service.get("/api/v1/exchanges").await.ok();
    assert_eq!(listed["items"][3]["guardrails"], exchange["guardrails"]);
    assert_eq!(listed["items"][0]["guardrails"], json!([]));
    assert_eq!(listed["items"][0]["guard_outcome"], Value::Null);
}

#[tokio::test]
async fn exchanges_are_filtered_by_guardrail_and_outcome() {
    let service = Service::start().await;
    guarded(&service).await;
    for (query, want) in [
        ("guardrail=secrets", 2),
        ("guardrail=pii", 2),
        ("guardrail=other", 0),
        ("guardrail=00000000-0000-0000-0000-000000000003", 2),
        ("outcome=observed", 1),
        ("outcome=blocked", 1),
        ("outcome=not_scanned", 0),
        ("guardrail=secrets&outcome=blocked", 0),
        ("guardrail=secrets&outcome=redacted", 1),
    ] {
        let found = service.get(&format!("/api/v1/exchanges?{query}")).await;
        assert_eq!(count(&found.ok()), want, "{query}");
    }
    let refused = service.get("/api/v1/exchanges?outcome=hidden").await;
    refused.refused(400, "invalid_query");
}

#[tokio::test]
async fn sums_count_what_guardrails_did() {
    let service = Service::start().await;
    guarded(&service).await;
    for by in ["day", "model"] {
        let sums = service
            .get(&format!("/api/v1/exchanges/sum?by={by}"))
            .await
            .ok();
        let sum = &sums["items"][0];
        let counts = [
            "guarded",
            "guard_blocked",
            "guard_redacted",
            "guard_observed",
        ]
        .map(|name| sum[format!("{name}_exchanges")].as_u64().unwrap());
        assert_eq!(counts, [3, 1, 1, 0], "by {by}");
    }
}

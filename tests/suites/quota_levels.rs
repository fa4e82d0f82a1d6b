//! What is charged, to whom, and what a client is told: several quotas at once, and everything that costs nothing.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::client::h1::Connection;
use weir_tests::client::{Answered, Request};
use weir_tests::mesh::tenant::{self, Dialect, Registration, access, price, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, anthropic};
use weir_tests::quotas::load::Met;
use weir_tests::quotas::stage::{
    DIME, INPUT, MODEL, OUTPUT, PRICE, Stage, answer, ask, ask_stream, money, requests, set_prices,
};
use weir_tests::quotas::{Quota, Reception, Usage, hour};
use weir_tests::tokens::Tokens;
use weir_tests::wait;

static MESH: LazyLock<Mesh> = LazyLock::new(|| {
    let mesh = Mesh::start(&Options::default());
    set_prices(&mesh);
    mesh
});

fn strict(dimes: u64) -> Value {
    json!({"unit": "micro_usd", "limit": dimes * DIME, "window": hour(), "holds": "strict"})
}

fn at(node: Value, mut rules: Value) -> Value {
    rules["node"] = node;
    rules
}

fn send(stage: &Stage<'_>, request: Request) -> Answered {
    MESH.send(&stage.tenant.sign(request))
}

fn reception(stage: &Stage<'_>, request: Request) -> Reception {
    stage.send(&request)
}

/// Returns what the ledger says of one member of a quota.
fn usage_of(quota: &Quota, member: &str) -> Usage {
    let path = format!("/quotas/{}/usage?{member}", quota.id);
    Usage::of(&MESH.admin().get(&path))
}

/// Every level is charged the same; of those that refuse, the lowest is named, to administrators.
#[test]
fn all_levels_are_charged_and_the_lowest_is_named() {
    let stage = Stage::new(&MESH, &strict(3));
    let customer = tenant::id(
        &MESH
            .admin()
            .post("/customers", &json!({"name": unique("customer")})),
    );
    let user = tenant::id(&MESH.admin().post(
        "/users",
        &json!({"name": unique("user"), "team": stage.tenant.team}),
    ));
    let team = json!({"customer": customer});
    MESH.admin()
        .patch(&format!("/teams/{}", stage.tenant.team), &team);
    let owner = json!({"owner": {"user": user}});
    MESH.change(|admin| admin.patch(&format!("/keys/{}", stage.tenant.key_id), &owner));
    let nodes = [
        json!({"customer": customer}),
        json!({"team": stage.tenant.team}),
        json!({"user": user}),
        json!({"each_member": stage.tenant.team}),
    ];
    let quotas = nodes.map(|node| MESH.quota(&at(node, strict(3))));
    for _ in 0..3 {
        assert_eq!(reception(&stage, ask(OUTPUT)), Reception::Admitted);
    }
    let met = Met {
        admitted: 3,
        ..Met::default()
    };
    let figures = stage.figures(("five levels, that of the key", "micro_usd"), &met, money);
    figures.check_exact();
    for quota in &quotas[..3] {
        let (usage, _) = MESH.settled(quota);
        assert_eq!(usage.spent, figures.spent, "{quota:?}");
    }
    let member = usage_of(&quotas[3], &format!("member=user:{user}"));
    assert_eq!(member.spent, figures.spent);
    let refused = send(&stage, ask(OUTPUT));
    assert_eq!(Reception::of(&refused), Reception::Exhausted);
    for figure in ["0.30", "300000", &stage.quota.name] {
        assert!(!refused.text().contains(figure), "{}", refused.text());
    }
    let named = wait::until("the refusal to be recorded", || {
        let records = MESH.records_where(&format!(
            "key={}&refusal_code=budget_exhausted",
            stage.tenant.key_id
        ));
        records.first().cloned()
    });
    assert_eq!(named["refused_by"], json!(stage.quota.name), "{named:#}");
}

/// What counts nothing may be asked although nothing is left.
#[test]
fn counting_and_listing_cost_no_money() {
    let stage = Stage::new(&MESH, &strict(1));
    assert_eq!(reception(&stage, ask(OUTPUT)), Reception::Admitted);
    MESH.settled(&stage.quota);
    assert_eq!(reception(&stage, ask(OUTPUT)), Reception::Exhausted);
    stage.provider.script(|_, _| anthropic::count(77));
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": "hello"}]});
    let counted = send(&stage, Request::post("/v1/messages/count_tokens", &body));
    assert_eq!(counted.status, 200, "{}", counted.text());
    let listed = send(&stage, Request::get("/v1/models"));
    assert_eq!(listed.status, 200, "{}", listed.text());
    assert_eq!(MESH.usage(&stage.quota).spent, DIME);
}

/// What a guardrail stops was never sent, so nothing is charged and nothing stays held.
#[test]
fn what_a_guardrail_blocks_costs_nothing() {
    let stage = Stage::new(&MESH, &strict(1));
    let guardrail = json!({
        "name": unique("shop"), "scope": {"keys": [stage.tenant.key_id]},
        "stages": [{"detectors": [{"regex": {"id": "shop", "pattern": "shop-[0-9]{9}"}}], "action": "block"}],
    });
    MESH.change(|admin| admin.post("/guardrails", &guardrail));
    // What was blocked once passes redacted later, as history; so each code is new.
    for nth in 0..5 {
        let mut request = ask(OUTPUT);
        let text = String::from_utf8(request.body).unwrap();
        let shop = format!("shop-49382716{nth}");
        request.body = text.replace("hello", &shop).into_bytes();
        let refused = send(&stage, request);
        let code = refused.weir_code();
        assert_eq!(code.as_deref(), Some("guardrail_blocked"), "{refused:?}");
    }
    let (usage, _) = MESH.settled(&stage.quota);
    assert_eq!(usage.spent, 0);
    assert_eq!(reception(&stage, ask(OUTPUT)), Reception::Admitted);
}

/// Only what was generated is charged, at the price of the target that generated it.
#[test]
fn a_fallback_is_charged_once() {
    let failing = MockProvider::always(Answer::json(
        500,
        &anthropic::error("api_error", "scripted failure"),
    ));
    let stage = Stage::new(&MESH, &strict(100));
    let first = Registration::new(Dialect::Anthropic, &failing);
    let alias = unique("alias");
    let second = stage.tenant.providers[0].clone();
    MESH.change(|admin| {
        admin.post("/providers", first.body());
        let cheap = weir_tests::tokens::Price { output: 1, ..PRICE };
        price(admin, Dialect::Anthropic, "quota-cheap-1", cheap);
        let targets = json!([
            {"provider": first.name(), "model": "quota-cheap-1", "priority": 0},
            {"provider": second, "model": MODEL, "priority": 1},
        ]);
        let allowed = access(&[first.name(), &second], &["*"]);
        let key = format!("/keys/{}", stage.tenant.key_id);
        admin.patch(&key, &json!({"access": allowed}));
        admin.post("/routes", &json!({"alias": alias, "targets": targets}))
    });
    let mut request = ask(OUTPUT);
    let text = String::from_utf8(request.body).unwrap();
    request.body = text.replace(MODEL, &alias).into_bytes();
    for _ in 0..4 {
        assert_eq!(reception(&stage, request.clone()), Reception::Admitted);
    }
    let met = Met {
        admitted: 4,
        ..Met::default()
    };
    assert!(failing.count() > 0);
    let figures = stage.figures(("fallback", "micro_usd"), &met, money);
    figures.check_exact();
    assert_eq!(figures.charged, 4 * DIME);
    // What the mesh repeats on its own is one request of the client.
    let counted = MESH.quota(&at(
        json!({"key": stage.tenant.key_id}),
        json!({"unit": "requests", "limit": 10, "window": hour()}),
    ));
    assert_eq!(reception(&stage, request), Reception::Admitted);
    assert_eq!(MESH.settled(&counted).0.spent, 1);
}

/// The number of requests that run is a lease too: it is free again when a client has gone.
#[test]
fn a_stream_that_is_left_runs_no_more() {
    let stage = Stage::new(&MESH, &json!({"unit": "concurrent", "limit": 2}));
    let counted = stage.meter.clone();
    stage.provider.script(move |_, _| {
        let used = Tokens::new(INPUT, OUTPUT);
        let events = anthropic::stream(MODEL, &"tide ".repeat(1_000), used);
        counted.stream(used, events, ("text_delta", 1), Duration::from_millis(20))
    });
    let streams: Vec<_> = (0..2)
        .map(|_| {
            let connection = Connection::open(MESH.address()).unwrap();
            let mut running = connection
                .begin(&stage.tenant.sign(ask_stream(OUTPUT)))
                .unwrap();
            running.read_until("tide").unwrap();
            running
        })
        .collect();
    let refused = reception(&stage, ask(OUTPUT));
    assert!(
        matches!(refused, Reception::Contended { .. }),
        "{refused:?}"
    );
    drop(streams);
    stage
        .provider
        .script(|_, _| answer(Tokens::new(INPUT, OUTPUT)));
    wait::until_for("room for another", Duration::from_secs(5), || {
        (reception(&stage, ask(OUTPUT)) == Reception::Admitted).then_some(())
    });
    let met = Met {
        admitted: 3,
        contended: 1,
        ..Met::default()
    };
    let figures = stage.figures(("streams that were left", "concurrent"), &met, |_| 0);
    figures.check();
}

/// One runaway member stops at its cap; the pool stays usable for the others.
#[test]
fn a_member_stops_at_its_cap() {
    let stage = Stage::new(&MESH, &strict(100));
    let mut rules = at(json!({"team": stage.tenant.team}), strict(6));
    rules["member_cap"] = json!(4 * DIME);
    let pool = MESH.quota(&rules);
    let provider = &stage.tenant.providers[0];
    let fields = json!({"access": access(&[provider], &["*"])});
    let (other_id, other) = MESH.change(|admin| tenant::key(admin, &stage.tenant.team, &fields));
    let met = stage.press_whole(8, 1, OUTPUT);
    assert_eq!((met.admitted, met.exhausted.len()), (4, 4));
    let send = || Reception::of(&MESH.send(&ask(OUTPUT).bearer(&other)));
    assert_eq!(send(), Reception::Admitted);
    assert_eq!(send(), Reception::Admitted);
    MESH.settled(&pool);
    assert_eq!(send(), Reception::Exhausted, "the pool is used up");
    assert_eq!(MESH.usage(&pool).spent, 6 * DIME);
    let member = |key: &str| usage_of(&pool, &format!("member=key:{key}")).spent;
    assert_eq!(member(&stage.tenant.key_id), 4 * DIME);
    assert_eq!(member(&other_id), 2 * DIME);
}

/// A loop in one session stops there; another session of the same key goes on.
#[test]
fn a_runaway_session_stops_alone() {
    let stage = Stage::new(&MESH, &strict(100));
    let scope = json!({"each_session": {"key": stage.tenant.key_id}});
    let sessions = MESH.quota(&at(scope, strict(2)));
    let send = |session: &str| reception(&stage, ask(OUTPUT).field("x-session-id", session));
    for _ in 0..2 {
        assert_eq!(send("loop"), Reception::Admitted);
    }
    let member = |session: &str| {
        let selector = format!("session={session}&key={}", stage.tenant.key_id);
        usage_of(&sessions, &selector)
    };
    wait::until("the session to be charged", || {
        (member("loop").spent == 2 * DIME).then_some(())
    });
    assert_eq!(send("loop"), Reception::Exhausted);
    assert_eq!(send("calm"), Reception::Admitted);
    wait::until("the other to be charged", || {
        (member("calm").spent == DIME).then_some(())
    });
}

/// Where policy shows figures, answers say what is left; refusals of rate limits say when there is room again.
#[test]
fn clients_are_told_what_is_left_where_policy_says_so() {
    let shown = json!({"unit": "requests", "limit": 3, "window": hour(), "figures": "shown"});
    let stage = Stage::new(&MESH, &shown);
    for _ in 0..3 {
        let answered = send(&stage, ask(OUTPUT));
        assert_eq!(answered.status, 200);
        assert_eq!(answered.field("ratelimit-limit").as_deref(), Some("3"));
        let left = answered.field("ratelimit-remaining");
        let left: u64 = left.and_then(|it| it.parse().ok()).expect("what is left");
        assert!(left < 3, "{left}");
    }
    let refused = send(&stage, ask(OUTPUT));
    assert_eq!(refused.status, 429);
    assert_eq!(refused.weir_code().as_deref(), Some("rate_limited"));
    let number = |name: &str| -> u64 {
        let value = refused.field(name);
        value
            .and_then(|it| it.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {refused:?}"))
    };
    assert_eq!(number("ratelimit-remaining"), 0);
    assert_eq!(number("ratelimit-limit"), 3);
    // Room comes back when the first request has left the window, up to a sixtieth late.
    assert!(
        (3_500..=3_661).contains(&number("retry-after")),
        "{refused:?}"
    );
    assert_eq!(number("retry-after"), number("ratelimit-reset"));
    let hidden = Stage::new(
        &MESH,
        &json!({"unit": "requests", "limit": 3, "window": hour()}),
    );
    let answered = send(&hidden, ask(OUTPUT));
    assert_eq!(answered.field("ratelimit-limit"), None);
    assert_eq!(answered.field("ratelimit-remaining"), None);
}

/// Nothing is refused by a soft limit, and all of it is charged.
#[test]
fn a_soft_limit_refuses_nothing() {
    let rules = json!({"unit": "micro_usd", "limit": DIME, "window": hour(), "mode": "soft"});
    let stage = Stage::new(&MESH, &rules);
    let met = stage.press_whole(5, 2, OUTPUT);
    let mut figures = stage.figures(("soft", "micro_usd"), &met, money);
    figures.bound = 9 * DIME;
    figures.check_exact();
    let until = json!({
        "unit": "requests", "limit": 4, "window": hour(), "mode": {"soft_until": {"percent": 150}},
    });
    let stage = Stage::new(&MESH, &until);
    let met = stage.press_whole(10, 1, OUTPUT);
    let mut figures = stage.figures(("soft until 150 %", "requests"), &met, requests);
    figures.bound = 2;
    figures.check_exact();
    assert_eq!((figures.admitted, figures.exhausted), (6, 4), "{figures}");
}

/// Far from its limits an exchange is admitted without asking anyone: fewer than one in a hundred waits.
#[test]
fn hardly_any_exchange_waits_far_from_the_limits() {
    const CLIENTS: usize = 8;
    const EACH: usize = 250;
    let mesh = Mesh::start(&Options::default());
    set_prices(&mesh);
    let budget = json!({"unit": "micro_usd", "limit": 10_000_000 * DIME, "window": hour()});
    let stage = Stage::new(&mesh, &budget);
    let units = ["requests", "total_tokens", "output_tokens", "micro_usd"];
    let organisation = units.map(|unit| {
        let rules = json!({"unit": unit, "limit": 1_000_000_000_000_u64, "window": hour()});
        mesh.quota(&at(json!("organisation"), rules))
    });
    let counted = stage.meter.clone();
    stage.provider.script(move |_, _| {
        let used = Tokens::new(INPUT, OUTPUT);
        counted.whole(used, Duration::from_millis(2), answer(used))
    });
    // What a model writes is learned from the first exchanges.
    let warm = stage.press_whole(CLIENTS, 25, OUTPUT);
    stage.provider.forget();
    let reported = |exchanges: usize| {
        wait::until("filters to report", || {
            let seen = mesh.metric("weir_quota_exchanges_total");
            (seen >= exchanges as f64).then_some(seen)
        });
        mesh.metric("weir_quota_waits_total")
    };
    let before = reported(warm.admitted);
    let mut met = stage.press_whole(CLIENTS, EACH, OUTPUT);
    let exchanges = met.admitted;
    let waits = reported(warm.admitted + exchanges) - before;
    met.admitted += warm.admitted;
    let mut figures = stage.figures(("far from the limits", "micro_usd"), &met, money);
    figures.note = format!("{waits} of {exchanges} exchanges waited for the ledger");
    figures.check_exact();
    assert!(waits * 100.0 < exchanges as f64, "{figures}");
    for (quota, used) in organisation.iter().zip([1, INPUT + OUTPUT, OUTPUT, DIME]) {
        let (usage, _) = mesh.settled(quota);
        assert_eq!(usage.spent, met.admitted as u64 * used, "{quota:?}");
    }
}

//! What exchanges cost when a model has no price, and what they come to together.

use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::client::Request;
use weir_tests::mesh::tenant::{self, Dialect, Registration, price, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::MockProvider;
use weir_tests::provider::answer::Answer;
use weir_tests::tokens::Price;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

fn body(text: &str) -> Answer {
    Answer::bytes(200, "application/json", text)
}

fn ask(model: &str) -> Request {
    Request::post(
        "/v1/chat/completions",
        &json!({"model": model, "messages": []}),
    )
}

/// A price list of our own: the dearest input and the dearest output stand in different rows.
#[test]
fn a_model_without_a_price() {
    let mesh = Mesh::start(&Options::default());
    let answer = body(r#"{"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100}}"#);
    let provider = MockProvider::always(answer);
    let table = unique("house");
    // Prices are applied by the service: no worker has to know of them.
    for (model, input, output) in [("a", 2_000_000, 30_000_000), ("b", 5_000_000, 10_000_000)] {
        let rates = Price {
            input,
            output,
            ..Price::default()
        }
        .as_rates();
        let body = json!({"table": table, "model": model, "rates": rates});
        mesh.admin().put("/prices/overrides", &body);
    }
    let registration =
        Registration::new(Dialect::Openai, &provider).with("price_table", json!(table));
    let tenant = mesh.tenant(&[registration]);
    let send = |model: &str| mesh.send(&tenant.sign(ask(model)));
    let newest = |n: usize| {
        let record = mesh.wait_records(&tenant.key_id, n).remove(0);
        let price = mesh.attempts(&record)[0]["price"].clone();
        (
            record["cost_micro_usd"].clone(),
            record["unknown_price"].clone(),
            price,
        )
    };
    // 1000 × 2 + 100 × 30, then 1000 × 5 + 100 × 30
    assert_eq!(send("a").status, 200);
    assert_eq!(newest(1), (json!(5_000), json!(false), json!("override")));
    assert_eq!(send("new").status, 200);
    assert_eq!(
        newest(2),
        (json!(8_000), json!(true), json!("unknown_dearest"))
    );

    mesh.admin()
        .patch("/settings", &json!({"on_unknown_price": "zero"}));
    assert_eq!(send("new").status, 200);
    assert_eq!(newest(3), (json!(0), json!(true), json!("unknown_zero")));

    mesh.change(|admin| admin.patch("/settings", &json!({"on_unknown_price": "deny"})));
    let before = provider.count();
    let refused = send("new");
    assert!(
        refused.status >= 400 && refused.weir_code().is_some(),
        "{refused:?}"
    );
    assert_eq!(
        provider.count(),
        before,
        "a model without a price reached the provider"
    );
    eprintln!(
        "without a price, `deny`: {} {:?}",
        refused.status,
        refused.weir_code()
    );
    assert_eq!(send("a").status, 200);
    // Two of them may have begun in the same millisecond, so the order says nothing.
    let records = mesh.wait_records(&tenant.key_id, 5);
    let refused = records
        .iter()
        .filter(|record| record["ended"] == json!("refused"));
    let costs: Vec<&Value> = refused.map(|record| &record["cost_micro_usd"]).collect();
    assert_eq!(costs, [&json!(0)]);
    let spent = records
        .iter()
        .filter_map(|record| record["cost_micro_usd"].as_u64());
    assert_eq!(spent.sum::<u64>(), 5_000 + 8_000 + 5_000);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one load, looked at from every side")]
fn sums_by_key_team_model_and_day() {
    let answer = body(r#"{"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100}}"#);
    let provider = MockProvider::always(answer);
    let first = MESH.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    let model = unique("model");
    let full = Price {
        input: 3_000_000,
        output: 15_000_000,
        ..Price::default()
    };
    price(MESH.admin(), Dialect::Openai, &model, full);
    let other = unique("model");
    // A second key of the same team, and a second model for a third of the price.
    let (second_id, second) = MESH.change(|admin| {
        let third = Price {
            input: 1_000_000,
            output: 5_000_000,
            ..Price::default()
        };
        price(admin, Dialect::Openai, &other, third);
        let access = tenant::access(&[&first.providers[0]], &["*"]);
        tenant::key(admin, &first.team, &json!({"access": access}))
    });
    let send = |key: &str, model: &str, times: usize| {
        for _ in 0..times {
            let request = ask(model);
            assert_eq!(MESH.send(&request.bearer(key)).status, 200);
        }
    };
    // 4,500 each, and 1,500 each
    send(&first.key, &model, 3);
    send(&first.key, &other, 2);
    send(&second, &model, 1);
    let team = format!("team={}", first.team);
    let records = MESH.wait_records_where(&team, 6);
    let sum = |by: &str| -> Vec<(Value, u64, u64, u64)> {
        let found = MESH.admin().get(&format!("/exchanges/sum?{team}&by={by}"));
        assert_eq!(found["truncated"], json!(false));
        let figures = |item: &Value| {
            let number = |value: &Value| value.as_u64().unwrap();
            (
                item["group"].clone(),
                number(&item["exchanges"]),
                number(&item["cost_micro_usd"]),
                number(&item["usage"]["input_tokens"]),
            )
        };
        found["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(figures)
            .collect()
    };
    let ids = |found: &[(Value, u64, u64, u64)], field: &str| -> Vec<(Value, u64, u64, u64)> {
        found
            .iter()
            .map(|(group, n, cost, input)| {
                let value = &group[field];
                (
                    if value.is_object() {
                        value["id"].clone()
                    } else {
                        value.clone()
                    },
                    *n,
                    *cost,
                    *input,
                )
            })
            .collect()
    };
    assert_eq!(
        ids(&sum("key"), "key"),
        [
            (json!(first.key_id), 5, 16_500, 5_000),
            (json!(second_id), 1, 4_500, 1_000)
        ]
    );
    assert_eq!(
        ids(&sum("team"), "team"),
        [(json!(first.team), 6, 21_000, 6_000)]
    );
    assert_eq!(
        ids(&sum("model"), "model"),
        [
            (json!(model), 4, 18_000, 4_000),
            (json!(other), 2, 3_000, 2_000)
        ]
    );
    let days: Vec<Value> = sum("day")
        .iter()
        .map(|(group, ..)| group["day"].clone())
        .collect();
    let began = records
        .iter()
        .map(|record| day(record["started_ms"].as_u64().unwrap()));
    let mut began: Vec<Value> = began.map(Value::from).collect();
    began.dedup();
    assert!(
        days.iter().all(|day| began.contains(day)) && days.len() == began.len(),
        "{days:?} {began:?}"
    );
    assert_eq!(
        sum("day")
            .iter()
            .map(|(_, n, cost, _)| (*n, *cost))
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (6, 21_000)
    );
    let both = sum("key,model");
    assert_eq!(both.len(), 3);
    assert_eq!(
        (&both[0].0["key"]["id"], &both[0].0["model"], both[0].2),
        (&json!(first.key_id), &json!(model), 13_500)
    );
}

/// The UTC day of a time, by the Gregorian calendar's own arithmetic.
fn day(ms: u64) -> String {
    let mut days = ms / 86_400_000;
    let mut year = 1970;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    let lengths = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, days + 1)
}

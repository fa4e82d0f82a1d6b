//! What the holder of a key sees of its limits, what changes at once, and who is told when a limit nears.

use std::os::unix::fs::PermissionsExt;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use weir_tests::agents::Desk;
use weir_tests::client::{Answered, Request};

use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, Seen};
use weir_tests::quotas::stage::{DIME, OUTPUT, Stage, ask, money, set_prices};
use weir_tests::quotas::{Reception, hour, make};
use weir_tests::up::Home;
use weir_tests::wait;

static MESH: LazyLock<Mesh> = LazyLock::new(|| {
    let mesh = Mesh::start(&Options::default());
    set_prices(&mesh);
    mesh
});

fn send(stage: &Stage<'_>) -> Reception {
    stage.send(&ask(OUTPUT))
}

/// Asks as the holder of `key`, without an admin token.
fn own(key: &str) -> Answered {
    MESH.admin()
        .send(&Request::get("/api/v1/me/quota").bearer(key))
}

fn named(body: &Value, name: &str) -> Value {
    let items = body["items"].as_array().cloned().unwrap_or_default();
    let found = items.into_iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("no `{name}` in {body:#}"))
}

#[test]
fn a_key_is_told_what_is_left_to_it() {
    let rules = json!({
        "unit": "micro_usd", "limit": 10 * DIME, "window": hour(), "holds": "strict", "figures": "shown",
    });
    let stage = Stage::new(&MESH, &rules);
    let hidden = MESH.quota(&json!({
        "node": {"key": stage.tenant.key_id}, "unit": "requests", "limit": 50, "window": hour(),
    }));
    for _ in 0..3 {
        assert_eq!(send(&stage), Reception::Admitted);
    }
    MESH.settled(&stage.quota);
    let answered = own(&stage.tenant.key);
    assert_eq!(answered.status, 200, "{}", answered.text());
    let shown = named(&answered.json(), &stage.quota.name);
    let want = json!({
        "level": "key", "unit": "micro_usd", "limit": 10 * DIME, "used": 3 * DIME, "left": 7 * DIME,
        "rolling_ms": 3_600_000, "exhausted": false,
    });
    for (field, value) in want.as_object().unwrap() {
        assert_eq!(&shown[field], value, "{field} of {shown:#}");
    }
    let secret = named(&answered.json(), &hidden.name);
    assert_eq!(secret["exhausted"], json!(false), "{secret:#}");
    for field in ["limit", "used", "held", "left"] {
        assert_eq!(secret[field], Value::Null, "{field} of {secret:#}");
    }
    for stranger in ["sk-weir-nobody", "", MESH.admin().token()] {
        let refused = own(stranger);
        assert_eq!(refused.status, 401, "{stranger}: {}", refused.text());
    }
}

#[test]
fn a_revoked_key_is_refused_and_told_nothing() {
    let rules = json!({"unit": "requests", "limit": 50, "window": hour(), "figures": "shown"});
    let stage = Stage::new(&MESH, &rules);
    assert_eq!(send(&stage), Reception::Admitted);
    let path = format!("/keys/{}/revoke", stage.tenant.key_id);
    MESH.admin().post(&path, &json!({}));
    let revoked = wait::now();
    wait::until("the key to be refused", || {
        matches!(send(&stage), Reception::Other(what) if what.contains("key_revoked")).then_some(())
    });
    let took = revoked.elapsed();
    assert!(took < Duration::from_secs(1), "revoked after {took:?}");
    assert_eq!(own(&stage.tenant.key).status, 401);
}

/// A limit is changed on the running mesh; how long it takes until it is enforced.
fn takes_effect(stage: &Stage<'_>, change: &Value, wanted: &Reception) {
    let path = format!("/quotas/{}", stage.quota.id);
    MESH.admin().patch(&path, change);
    let changed = wait::now();
    wait::until("the change to be enforced", || {
        (&send(stage) == wanted).then_some(())
    });
    let took = changed.elapsed();
    assert!(took < Duration::from_secs(1), "{change} took {took:?}");
}

#[test]
fn a_changed_limit_applies_within_a_second() {
    let rules =
        json!({"unit": "micro_usd", "limit": 2 * DIME, "window": hour(), "holds": "strict"});
    let stage = Stage::new(&MESH, &rules);
    assert_eq!(send(&stage), Reception::Admitted);
    assert_eq!(send(&stage), Reception::Admitted);
    MESH.settled(&stage.quota);
    assert_eq!(send(&stage), Reception::Exhausted);
    takes_effect(&stage, &json!({"limit": 4 * DIME}), &Reception::Admitted);
    MESH.settled(&stage.quota);
    takes_effect(&stage, &json!({"limit": DIME}), &Reception::Exhausted);
    // What was admitted before the change is not to be charged after the reset.
    MESH.settled(&stage.quota);
    let reset = format!("/quotas/{}/reset", stage.quota.id);
    MESH.admin().post(&reset, &json!({}));
    assert_eq!(MESH.usage(&stage.quota).spent, 0);
    let raises = format!("/quotas/{}/raises", stage.quota.id);
    assert_eq!(send(&stage), Reception::Admitted, "after the reset");
    MESH.settled(&stage.quota);
    assert_eq!(send(&stage), Reception::Exhausted);
    let soon = weir_tests::refused::now_ms() + 3_600_000;
    MESH.admin()
        .post(&raises, &json!({"amount": DIME, "until_ms": soon}));
    wait::until_for("the raise", Duration::from_secs(1), || {
        (send(&stage) == Reception::Admitted).then_some(())
    });
}

/// `weir run` says what is left before the agent begins.
#[test]
fn the_start_of_an_agent_says_what_is_left() {
    let home = Home::new();
    let up = home.start(&[]);
    let admin = up.admin(&up.admin_token().expect("an admin token"));
    let quota = make(
        &admin,
        &json!({
            "node": "organisation", "unit": "micro_usd", "limit": 12_500_000, "window": hour(), "figures": "shown",
        }),
    );
    let desk = Desk::new();
    let programs = desk.work().join("bin");
    std::fs::create_dir(&programs).expect("a folder for a program");
    let agent = programs.join("claude");
    std::fs::write(&agent, "#!/bin/sh\necho the agent runs\n").expect("a program");
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let line = format!(
        "PATH='{}':\"$PATH\" weir run --data '{}' claude",
        programs.display(),
        home.data().display()
    );
    let run = desk.shell(&line);
    assert!(run.succeeded(), "{run:#?}");
    assert!(run.stdout.contains("the agent runs"), "{run:#?}");
    assert!(run.text().contains(&quota.name), "{run:#?}");
    assert!(run.text().contains("$12.50"), "{run:#?}");
    assert!(up.interrupt().success());
}

const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Verifies a message as Standard Webhooks says.
fn is_signed(seen: &Seen) -> bool {
    let field = |name: &str| seen.fields.get(name).unwrap_or_default();
    let secret = STANDARD
        .decode(WEBHOOK_SECRET.trim_start_matches("whsec_"))
        .expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("a key of any length");
    mac.update(format!("{}.{}.", field("webhook-id"), field("webhook-timestamp")).as_bytes());
    mac.update(&seen.body);
    let want = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    field("webhook-signature").split(' ').any(|one| one == want)
}

/// Each threshold is told once in a window, also when the receiver is away at first.
#[test]
fn a_limit_that_nears_is_told_once() {
    let receiver = MockProvider::start(|_, nth| Answer::empty(if nth == 0 { 503 } else { 204 }));
    let mesh = Mesh::start(&Options::default());
    set_prices(&mesh);
    let webhook = json!({"url": receiver.url("/alerts"), "secret": WEBHOOK_SECRET});
    mesh.admin()
        .patch("/settings", &json!({"alert_webhook": webhook}));
    let rules = json!({
        "unit": "micro_usd", "limit": 10 * DIME, "window": hour(), "holds": "strict", "alerts": [50, 80, 100],
    });
    let stage = Stage::new(&mesh, &rules);
    let met = stage.press_whole(12, 1, OUTPUT);
    let figures = stage.figures(("alerts", "micro_usd"), &met, money);
    figures.check_exact();
    assert_eq!(figures.admitted, 10);
    let told = || {
        let mut seen = receiver.seen();
        // The first was refused and came again.
        seen.remove(0);
        seen
    };
    let seen = wait::until("three alerts", || (receiver.count() >= 4).then(told));
    let mut shares: Vec<u64> = Vec::new();
    for one in &seen {
        assert!(is_signed(one), "{one:#?}");
        let text = String::from_utf8_lossy(&one.body).into_owned();
        assert!(text.contains(&stage.quota.name), "{text}");
        shares.push(percent(&one.json()).unwrap_or_else(|| panic!("no share in {text}")));
    }
    shares.sort_unstable();
    assert_eq!(shares, [50, 80, 100]);
    // More use of the same window tells nothing new.
    assert_eq!(stage.press(2, 1, OUTPUT).exhausted.len(), 2);
    assert_eq!(receiver.count(), 4, "{:#?}", receiver.seen());
    let events = mesh.admin().get("/events")["items"].clone();
    let events = events.as_array().cloned().unwrap_or_default();
    let about = |event: &&Value| event.to_string().contains(&stage.quota.name);
    assert_eq!(events.iter().filter(about).count(), 3, "{events:#?}");
    assert!(!mesh.output("service.log").contains(WEBHOOK_SECRET));
    let settings = mesh.admin().get("/settings");
    assert!(
        !settings.to_string().contains(WEBHOOK_SECRET),
        "{settings:#}"
    );
}

fn percent(body: &Value) -> Option<u64> {
    let found = body.pointer("/data/percent").or(body.get("percent"));
    found.and_then(Value::as_u64)
}

//! Limits while clients, Envoys, the policy service and providers fail: what is spent stays within the stated bound, no
//! hold leaks, and nobody is refused while there is room.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use weir_tests::client::Protocol;
use weir_tests::client::h1::Connection;
use weir_tests::mesh::tenant::Dialect;
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::{Answer, Step};
use weir_tests::provider::anthropic;
use weir_tests::quotas::load::{Met, Random};
use weir_tests::quotas::meter::Meter;
use weir_tests::quotas::stage::{
    DIME, INPUT, MODEL, OUTPUT, Stage, answer, ask, ask_stream, money, requests, set_prices,
};
use weir_tests::quotas::{LEASE, REPORT, Reception, hour};
use weir_tests::tokens::Tokens;
use weir_tests::wait::{self, Gate};

/// A mesh on which nothing of the mesh itself is killed.
static MESH: LazyLock<Mesh> = LazyLock::new(|| mesh(2));

const USED: Tokens = Tokens {
    input: INPUT,
    cache_read: 0,
    cache_write_5m: 0,
    cache_write_1h: 0,
    output: OUTPUT,
    reasoning: 0,
    web_searches: 0,
};

fn mesh(envoys: usize) -> Mesh {
    let mesh = Mesh::start(&Options {
        envoys,
        ..Options::default()
    });
    set_prices(&mesh);
    mesh
}

fn strict(dimes: u64) -> Value {
    json!({"unit": "micro_usd", "limit": dimes * DIME, "window": hour(), "holds": "strict"})
}

/// A thousand tokens in a hundred deltas.
fn stream(meter: &Meter, pause: Duration) -> Answer {
    let text = "forty bytes of text are about ten tokens ".replace(' ', "-") + " ";
    let events = anthropic::stream(MODEL, &text.repeat(100), USED);
    meter.stream(USED, events, ("text_delta", OUTPUT / 100), pause)
}

/// Answers as asked, streamed or whole.
fn answer_as_asked(stage: &Stage<'_>, takes: Duration) {
    let counted = stage.meter.clone();
    stage.provider.script(move |seen, _| {
        if seen.json()["stream"] == json!(true) {
            stream(&counted, takes / 100)
        } else {
            counted.whole(USED, takes, answer(USED))
        }
    });
}

/// Sends a streamed request over a connection of its own and leaves after `bytes` bytes, of the request if they are
/// fewer than it has, else of the answer.
fn leave_after(stage: &Stage<'_>, client: usize, bytes: usize) {
    let addresses = stage.mesh.addresses();
    let mut connection = Connection::open(addresses[client % addresses.len()]).unwrap();
    let request = stage.tenant.sign(ask_stream(OUTPUT));
    let of_the_answer = connection.write_first(&request, bytes).unwrap();
    if of_the_answer > 0 {
        // An answer may be shorter.
        connection.read_raw(of_the_answer).unwrap_or_default();
    }
}

/// Whoever leaves a strict budget's stream is charged the hold, so leaving early does not pay; what never reached the
/// provider costs nothing.
#[test]
fn clients_that_leave_anywhere_leak_nothing() {
    const LEAVING: usize = 60;
    let stage = Stage::new(&MESH, &strict(80));
    answer_as_asked(&stage, Duration::from_millis(300));
    let random = Mutex::new(Random::new(11));
    std::thread::scope(|scope| {
        for client in 0..LEAVING {
            // A request has about 350 bytes, an answer some 20,000.
            let bytes = random.lock().unwrap().below(12_000);
            let bytes = if client % 4 == 0 { bytes % 350 } else { bytes };
            let stage = &stage;
            scope.spawn(move || leave_after(stage, client, usize::try_from(bytes).unwrap()));
        }
    });
    let left = stage.figures(("clients that leave", "micro_usd"), &Met::default(), money);
    left.check();
    let reached = stage.provider.count() as u64;
    assert!(reached < LEAVING as u64, "some left before they had asked");
    assert!(
        (left.spent..=reached * DIME).contains(&left.charged),
        "{left}"
    );
    let met = stage.press(16, usize::MAX, OUTPUT);
    assert_eq!(met.others, Vec::<String>::new(), "{}", MESH.logs());
    let mut figures = stage.figures(("after clients that left", "micro_usd"), &met, money);
    figures.false_refusals = figures.false_while_room(DIME);
    figures.check();
    assert!(
        (figures.spent..=figures.limit).contains(&figures.charged),
        "{figures}"
    );
}

/// Requests at a provider by Envoy and time.
type Arrivals = Arc<Mutex<Vec<(Instant, bool)>>>;

/// Notes when the first Envoy sends something; its clients name themselves by their session.
fn note_arrivals(stage: &Stage<'_>) -> Arrivals {
    let arrivals = Arrivals::default();
    let (noted, counted) = (Arc::clone(&arrivals), stage.meter.clone());
    stage.provider.script(move |seen, _| {
        let session = seen.fields.get("x-session-id").unwrap_or_default();
        noted
            .lock()
            .unwrap()
            .push((wait::now(), session == "first"));
        counted.whole(USED, Duration::from_millis(50), answer(USED))
    });
    arrivals
}

fn press_both(stage: &Stage<'_>, clients: usize) -> Met {
    stage.press_as(clients, usize::MAX, &|client, _| {
        let envoy = if client % 2 == 0 { "first" } else { "second" };
        ask(OUTPUT).field("x-session-id", envoy)
    })
}

/// How much a killed Envoy admitted that it cannot have reported.
fn unreported(arrivals: &Arrivals, killed: Instant) -> u64 {
    let arrivals = arrivals.lock().unwrap();
    let late = arrivals
        .iter()
        .filter(|(at, is_first)| *is_first && *at + REPORT >= killed && *at <= killed);
    late.count() as u64
}

/// Where money is strict the limit holds, and what the killed Envoy held is charged. Other limits may be passed by what
/// the killed Envoy admitted in one report interval.
#[test]
fn an_envoy_that_is_killed_costs_a_report_interval_at_most() {
    let mesh = mesh(2);
    let learned = json!({"unit": "micro_usd", "limit": 300 * DIME, "window": hour()});
    let counted = json!({"unit": "requests", "limit": 300, "window": hour()});
    let stages = [&strict(120), &learned, &counted].map(|rules| Stage::new(&mesh, rules));
    let arrivals = stages.each_ref().map(note_arrivals);
    let (met, killed) = std::thread::scope(|scope| {
        let loads = stages
            .each_ref()
            .map(|stage| scope.spawn(|| press_both(stage, 8)));
        wait::until("a load on all", || {
            let begun = stages.iter().all(|stage| stage.provider.count() >= 40);
            begun.then_some(())
        });
        mesh.end_envoy(Signal::SIGKILL);
        let killed = wait::now();
        (loads.map(|load| load.join().unwrap()), killed)
    });
    mesh.start_envoy();
    mesh.wait_serves(0);
    let tests = [
        ("Envoy killed, strict money", "micro_usd"),
        ("Envoy killed, learned money", "micro_usd"),
        ("Envoy killed, requests", "requests"),
    ];
    for (nth, mut met) in met.into_iter().enumerate() {
        let stage = &stages[nth];
        // What the killed Envoy held is free or charged when its leases have ended.
        mesh.settled(&stage.quota);
        let more = press_both(stage, 8);
        assert_eq!(more.others, Vec::<String>::new(), "{}", mesh.logs());
        met.admitted += more.admitted;
        met.contended += more.contended;
        met.exhausted.extend(more.exhausted);
        let one = if nth == 2 { 1 } else { DIME };
        let mut figures = stage.figures(tests[nth], &met, |used| money(used) / DIME * one);
        figures.bound = match nth {
            0 => 0,
            _ => unreported(&arrivals[nth], killed) * one,
        };
        figures.false_refusals = figures.false_while_room(one);
        figures.check();
        if nth == 0 {
            let charged = figures.spent..=figures.limit;
            assert!(charged.contains(&figures.charged), "{figures}");
        }
    }
}

/// A client that goes while it waits for room is never admitted, and what was granted for it is free again.
#[test]
fn clients_that_leave_while_they_wait_cost_nothing() {
    const WAITING: usize = 20;
    let mut rules = strict(2);
    rules["contention_wait_ms"] = json!(10_000);
    let stage = Stage::new(&MESH, &rules);
    let (opened, counted) = (Gate::new(), stage.meter.clone());
    let gate = opened.clone();
    stage.provider.script(move |_, _| {
        let slow = answer(USED).first(Step::Wait(gate.clone()));
        counted.whole(USED, Duration::ZERO, slow)
    });
    std::thread::scope(|scope| {
        let running = [0, 1].map(|envoy| {
            let (stage, addresses) = (&stage, MESH.addresses());
            scope.spawn(move || {
                let mut connection = Connection::open(addresses[envoy]).unwrap();
                let answered = connection
                    .exchange(&stage.tenant.sign(ask(OUTPUT)))
                    .unwrap();
                Reception::of(&answered)
            })
        });
        stage.provider.wait_for(2);
        let waiting: Vec<Connection> = (0..WAITING)
            .map(|nth| {
                let mut connection = Connection::open(MESH.addresses()[nth % 2]).unwrap();
                let request = stage.tenant.sign(ask(OUTPUT));
                connection.write_first(&request, usize::MAX).unwrap();
                connection
            })
            .collect();
        // Nobody is told anything while there may be room again.
        std::thread::sleep(Duration::from_millis(500));
        drop(waiting);
        opened.open();
        for one in running {
            assert_eq!(one.join().unwrap(), Reception::Admitted);
        }
    });
    let met = Met {
        admitted: 2,
        ..Met::default()
    };
    let figures = stage.figures(("clients that left waiting", "micro_usd"), &met, money);
    figures.check_exact();
    assert_eq!(stage.provider.count(), 2, "{figures}");
}

/// Streams that run on an Envoy that is killed run no more once their leases have ended.
#[test]
fn a_killed_envoy_gives_its_turns_back() {
    let mesh = mesh(2);
    let stage = Stage::new(&mesh, &json!({"unit": "concurrent", "limit": 2}));
    stage.provider.script(|_, _| {
        let mut events = anthropic::stream(MODEL, "tide and tide", USED);
        events.truncate(4);
        Answer::sse(events).step(Step::Hang)
    });
    let _streams = [0, 1].map(|_| {
        let connection = Connection::open(mesh.address()).unwrap();
        let mut running = connection
            .begin(&stage.tenant.sign(ask_stream(OUTPUT)))
            .unwrap();
        running.read_until("tide").unwrap();
        running
    });
    let other = mesh.addresses()[1];
    let send = || {
        let request = stage.tenant.sign(ask(OUTPUT));
        Reception::of(&request.send(other, Protocol::Http1).unwrap())
    };
    let full = send();
    assert!(matches!(full, Reception::Contended { .. }), "{full:?}");
    mesh.end_envoy(Signal::SIGKILL);
    let killed = wait::now();
    stage.provider.script(|_, _| answer(USED));
    let mut met = Met {
        admitted: 3,
        contended: 1,
        ..Met::default()
    };
    wait::until("room for another", || match send() {
        Reception::Admitted => Some(()),
        Reception::Contended { .. } => {
            met.contended += 1;
            None
        }
        other @ (Reception::Exhausted | Reception::Away | Reception::Other(_)) => {
            panic!("{other:?}\n{}", mesh.logs())
        }
    });
    let took = killed.elapsed();
    let mut figures = stage.figures(("Envoy killed, streams", "concurrent"), &met, |_| 0);
    figures.note = format!("room again after {:.1} s", took.as_secs_f64());
    figures.check();
    assert!(took < LEASE + Duration::from_secs(5), "{figures}");
}

/// What a provider failed to do costs nothing before the first byte, and at most the hold after it.
#[test]
fn providers_that_fail_leak_nothing() {
    const EACH: usize = 5;
    let stage = Stage::with(&MESH, Dialect::Anthropic, &strict(60), |registration| {
        registration
            .with("stream_header_timeout_ms", json!(400))
            .with("whole_header_timeout_ms", json!(400))
    });
    let mut charged = 0;
    let failures = ["refuses", "resets", "never answers", "breaks off"];
    for (failure, may_cost) in failures.into_iter().zip([false, false, true, true]) {
        let counted = stage.meter.clone();
        stage.provider.script(move |_, _| match failure {
            "refuses" => Answer::json(500, &anthropic::error("api_error", "scripted failure")),
            "resets" => Answer::reset(),
            "never answers" => Answer::silence(),
            _ => stream(&counted, Duration::from_millis(1)).before(40, Step::Cut),
        });
        let before = stage.provider.count();
        std::thread::scope(|scope| {
            for client in 0..EACH {
                let (stage, addresses) = (&stage, MESH.addresses());
                scope.spawn(move || {
                    let request = stage.tenant.sign(ask_stream(OUTPUT));
                    let mut connection = Connection::open(addresses[client % 2]).unwrap();
                    let answered = connection.exchange(&request).unwrap();
                    assert!(answered.status != 200 || !answered.complete, "{answered:?}");
                });
            }
        });
        let attempts = (stage.provider.count() - before) as u64;
        let (usage, _) = MESH.settled(&stage.quota);
        let cost = usage.spent - charged;
        charged = usage.spent;
        let most = if may_cost { attempts * DIME } else { 0 };
        assert!(cost <= most, "a provider that {failure} cost {cost}");
    }
    assert!(
        charged >= stage.meter.sum(money),
        "what was generated is charged"
    );
    answer_as_asked(&stage, Duration::from_millis(20));
    let met = stage.press(16, usize::MAX, OUTPUT);
    assert_eq!(met.others, Vec::<String>::new(), "{}", MESH.logs());
    let mut figures = stage.figures(("providers that fail", "micro_usd"), &met, money);
    figures.false_refusals = figures.false_while_room(DIME);
    figures.check();
    assert!(
        (figures.spent..=figures.limit).contains(&figures.charged),
        "{figures}"
    );
}

/// A client's own key for a request merges no charges: the provider was asked each time.
#[test]
fn retries_with_one_idempotency_key_are_all_charged() {
    let stage = Stage::new(&MESH, &strict(100));
    answer_as_asked(&stage, Duration::from_millis(300));
    let request = stage
        .tenant
        .sign(ask(OUTPUT))
        .field("idempotency-key", "the-same")
        .field("x-request-id", "the-same");
    let mut met = Met::default();
    for attempt in 0..3 {
        let mut connection = Connection::open(MESH.addresses()[attempt % 2]).unwrap();
        connection.patience(Duration::from_millis(20)).unwrap();
        connection.exchange(&request).unwrap_err();
        stage.provider.wait_for(attempt + 1);
    }
    for address in MESH.addresses() {
        let answered = Connection::open(address)
            .unwrap()
            .exchange(&request)
            .unwrap();
        assert_eq!(Reception::of(&answered), Reception::Admitted);
        met.admitted += 1;
    }
    let figures = stage.figures(("one idempotency key", "micro_usd"), &met, money);
    figures.check_exact();
    assert_eq!(figures.charged, 5 * DIME, "{figures}");
}

/// In no sixty seconds more than the limit; the wait that is told is exact to the resolution of a second.
#[test]
fn a_rolling_minute_rolls() {
    const LIMIT: usize = 6;
    const MINUTE: Duration = Duration::from_secs(60);
    let window = json!({"rolling": {"duration_ms": 60_000}});
    let stage = Stage::new(
        &MESH,
        &json!({"unit": "requests", "limit": LIMIT, "window": window}),
    );
    let send = |nth: usize| {
        let sent = wait::now();
        let mut connection = Connection::open(MESH.addresses()[nth % 2]).unwrap();
        let answered = connection
            .exchange(&stage.tenant.sign(ask(OUTPUT)))
            .unwrap();
        (sent, answered)
    };
    let mut met = Met::default();
    let mut admitted: Vec<(Instant, Instant)> = Vec::new();
    let mut told: Option<Duration> = None;
    let started = wait::now();
    // Half of them at once, the others ten seconds later.
    for nth in 0.. {
        let late = nth >= LIMIT / 2;
        if late {
            let due = Duration::from_secs(10).saturating_sub(started.elapsed());
            std::thread::sleep(due.max(Duration::from_millis(250)));
        }
        let (sent, answered) = send(nth);
        match Reception::of(&answered) {
            Reception::Admitted => admitted.push((sent, wait::now())),
            Reception::Exhausted => {
                met.exhausted.push(wait::now());
                let secs = answered.field("retry-after").and_then(|it| it.parse().ok());
                let secs = Duration::from_secs(secs.expect("a wait"));
                told.get_or_insert(sent.duration_since(started) + secs);
            }
            other @ (Reception::Contended { .. } | Reception::Away | Reception::Other(_)) => {
                panic!("{other:?}\n{}", MESH.logs())
            }
        }
        if admitted.len() == LIMIT + LIMIT / 2 {
            break;
        }
        assert!(
            started.elapsed() < MINUTE + Duration::from_secs(10),
            "no room came back"
        );
    }
    for (first, last) in admitted.iter().zip(&admitted[LIMIT..]) {
        let apart = last.1.duration_since(first.0);
        assert!(apart >= MINUTE, "{} requests in {apart:?}", LIMIT + 1);
    }
    let again = admitted[LIMIT].1.duration_since(started);
    let told = told.expect("a refusal");
    assert!(
        again < told + Duration::from_secs(2),
        "told to wait until {told:?}, admitted at {again:?}"
    );
    met.admitted = admitted.len();
    let mut figures = stage.figures(("a rolling minute", "requests"), &met, requests);
    // What left the window is counted no more.
    figures.spent = figures.charged;
    figures.check();
}

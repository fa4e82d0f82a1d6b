//! Every exchange is recorded once, whoever leaves or dies in the middle of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use weir_tests::client::h1::Connection;
use weir_tests::client::{Protocol, Request};
use weir_tests::mesh::tenant::{self, Dialect, Registration, Tenant, access, price, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::{Answer, Step};
use weir_tests::provider::{MockProvider, Outcome, Seen, anthropic, openai};
use weir_tests::tokens::{Price, Tokens};
use weir_tests::up::Home;
use weir_tests::wait;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

const PRICE: Price = Price {
    input: 3_000_000,
    cache_read: 300_000,
    cache_write_5m: 3_750_000,
    cache_write_1h: 6_000_000,
    output: 15_000_000,
    web_search: 0,
};

fn ask(model: &str, session: &str, streamed: bool) -> Request {
    let body = json!({
        "model": model, "max_tokens": 9, "stream": streamed, "messages": [{"role": "user", "content": "hello"}],
    });
    Request::post("/v1/messages", &body).field("x-session-id", session)
}

/// Answers as asked, streamed or whole.
fn answering(seen: &Seen, _: usize) -> Answer {
    let tokens = Tokens::new(1000, 100);
    let answer = if seen.json()["stream"] == json!(true) {
        Answer::sse(anthropic::stream("m", "one two three", tokens))
    } else {
        Answer::json(200, &anthropic::message("m", "one two three", tokens))
    };
    // A load is to last long enough for something to happen in the middle of it.
    answer.first(Step::Pause(Duration::from_millis(10)))
}

/// Whatever is answered carries the exchange's id, which leads to its record as the client's and the provider's do.
#[test]
fn every_answer_leads_to_its_record_by_each_of_three_ids() {
    let provider = MockProvider::start(|seen, nth| {
        answering(seen, nth)
            .field("request-id", &format!("req_{nth}"))
            .field("x-weir-exchange-id", "forged")
    });
    let tenant = MESH.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    let unknown = Request::post("/v1/unheard-of", &json!({}));
    let mut others = Vec::new();
    for (number, (request, what)) in [
        (ask("m", "s", false), "a whole answer"),
        (ask("m", "s", true), "a stream"),
        (
            Request::get("/v1/models").field("anthropic-version", "1"),
            "a list of models",
        ),
        (
            Request::post("/v1/messages", &json!({})),
            "a refusal of the body",
        ),
        (
            ask("m", "s", false).field("content-encoding", "deflate"),
            "a refusal by headers",
        ),
        (unknown, "a refusal by path"),
    ]
    .into_iter()
    .enumerate()
    {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mine = unique("mine");
            let request = tenant
                .sign(request.clone())
                .field("x-request-id", &mine)
                .field("x-weir-exchange-id", "forged");
            let answered = MESH.send_over(&request, protocol);
            let what = format!("{what} over {protocol:?}");
            let ids: Vec<_> = answered.fields.all("x-weir-exchange-id");
            assert_eq!(ids.len(), 1, "{what}: {ids:?}");
            let found = MESH.wait_records_where(&format!("client_request_id={mine}"), 1);
            assert_eq!(json!(ids[0]), found[0]["id"], "{what}");
            assert_eq!(found[0]["client_request_ids"], json!([mine]), "{what}");
            let found = MESH.wait_records_where(&format!("exchange_id={}", ids[0]), 1);
            assert_eq!(found[0]["client_request_ids"], json!([mine]), "{what}");
            if number < 2 {
                let theirs = answered.field("request-id").unwrap();
                let by_theirs = format!("key={}&provider_request_id={theirs}", tenant.key_id);
                let found = MESH.wait_records_where(&by_theirs, 1);
                assert_eq!(json!(ids[0]), found[0]["id"], "{what}");
                assert_eq!(MESH.attempts(&found[0])[0]["request_ids"], json!([theirs]));
            }
            others.push(ids[0].clone());
        }
    }
    others.sort();
    others.dedup();
    assert_eq!(others.len(), 12, "every exchange has its own id");
    // Who names nothing is named nothing, and a probe, which leaves no record, has no id.
    let answered = MESH.send(&tenant.sign(ask("m", "s", false)));
    let id = answered.field("x-weir-exchange-id").unwrap();
    let found = MESH.wait_records_where(&format!("exchange_id={id}"), 1);
    assert_eq!(found[0]["client_request_ids"], json!([]));
    assert_eq!(answered.field("x-request-id"), None);
    assert_eq!(
        MESH.send(&Request::get("/healthz"))
            .field("x-weir-exchange-id"),
        None
    );
}

/// Leaves after the first 400 bytes of text; nothing more ever comes.
fn leaves(dialect: Dialect, request: &Request, events: Vec<String>, text: &str) -> Value {
    let mut answer = Answer::sse(events);
    answer = answer.step(Step::Hang);
    let provider = MockProvider::always(answer);
    let tenant = MESH.tenant(&[Registration::new(dialect, &provider)]);
    let model = request.body.windows(7).any(|bytes| bytes == b"model-1");
    assert!(model, "the model of the price list");
    price(MESH.admin(), dialect, "model-1", PRICE);
    let connection = Connection::open(MESH.address()).unwrap();
    let mut running = connection.begin(&tenant.sign(request.clone())).unwrap();
    running.read_until(text).unwrap();
    drop(running);
    wait::until("the provider to be left too", || {
        (provider.only().outcome() == Outcome::PeerGone).then_some(())
    });
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(record["ended"], json!("client_gone"), "{record:#}");
    assert_eq!(
        (&record["status"], &record["estimated"]),
        (&json!(200), &json!(true))
    );
    record
}

/// Input as reported (1203 × 3 + 4096 × 0.3 + 2048 × 3.75 + 512 × 6 = 15,589.8), output from 400 bytes: 100 × 15.
#[test]
fn a_client_that_leaves_an_anthropic_stream_pays_for_what_it_saw() {
    let tokens = Tokens {
        input: 1203,
        cache_read: 4096,
        cache_write_5m: 2048,
        cache_write_1h: 512,
        ..Tokens::new(0, 0)
    };
    let text = format!("{}end", "x".repeat(397));
    let mut events = anthropic::stream("m", &text, tokens);
    events.truncate(events.len() - 3);
    let record = leaves(
        Dialect::Anthropic,
        &ask("model-1", "s", true),
        events,
        "end",
    );
    let used = Tokens {
        input: 1203,
        output: 100,
        ..tokens
    };
    assert_eq!(record["usage"], used.as_record());
    assert_eq!(record["cost_micro_usd"], json!(17_090));
}

/// Input from the bytes of the request, four a token, because OpenAI tells it at the end only.
#[test]
fn a_client_that_leaves_an_openai_stream_pays_by_bytes() {
    let text = format!("{}end", "y".repeat(397));
    let mut events = openai::chat_stream("m", &text, None);
    events.truncate(events.len() - 2);
    let body = json!({"model": "model-1", "stream": true, "messages": [{"role": "user", "content": "hello"}]});
    let request = Request::post("/v1/chat/completions", &body);
    let input = u64::try_from(request.body.len()).unwrap().div_ceil(4);
    let record = leaves(Dialect::Openai, &request, events, "end");
    assert_eq!(record["usage"], Tokens::new(input, 100).as_record());
    assert_eq!(record["cost_micro_usd"], json!(input * 3 + 1_500));
}

/// Nothing was answered yet; what was sent may be billed all the same.
#[test]
fn a_client_that_leaves_before_the_answer_is_recorded() {
    let provider = MockProvider::always(Answer::silence());
    let tenant = MESH.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    let mut connection = Connection::open(MESH.address()).unwrap();
    connection
        .write_raw(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\n")
        .unwrap();
    let body = r#"{"model":"model-1","max_tokens":1,"messages":[]}"#;
    let rest = format!(
        "x-api-key: {}\r\ncontent-length: {}\r\n\r\n{body}",
        tenant.key,
        body.len()
    );
    connection.write_raw(rest.as_bytes()).unwrap();
    provider.wait_for(1);
    drop(connection);
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(record["ended"], json!("client_gone"), "{record:#}");
    assert_eq!(record["attempt_count"], json!(1));
}

#[test]
fn a_stream_that_the_provider_cuts_is_recorded_as_its_error() {
    let mut events = anthropic::stream("m", "one two three", Tokens::new(1000, 100));
    events.truncate(events.len() - 2);
    let provider = MockProvider::always(Answer::sse(events).step(Step::Cut));
    let tenant = MESH.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    let answered = MESH.send(&tenant.sign(ask("model-1", "s", true)));
    assert_eq!((answered.status, answered.complete), (200, false));
    let record = MESH.only_record(&tenant.key_id);
    assert_eq!(
        (&record["ended"], &record["estimated"]),
        (&json!("upstream_error"), &json!(true)),
        "{record:#}"
    );
    assert_eq!(record["usage"]["input_tokens"], json!(1000));
}

/// One answered exchange: its session and when its last byte had come.
type Done = (String, Instant);

/// Sends exchanges from `threads` clients until `stop`; returns those answered whole and the mistakes of the others.
fn load(
    to: SocketAddr,
    key: &str,
    threads: usize,
    count: &AtomicUsize,
    stop: &(dyn Fn(usize) -> bool + Sync),
) -> (Vec<Done>, Vec<String>) {
    let (done, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut connection = None;
                loop {
                    let n = count.fetch_add(1, Ordering::SeqCst);
                    if stop(n) {
                        return;
                    }
                    let session = format!("session-{n}");
                    let request = ask("model-1", &session, n.is_multiple_of(2)).bearer(key);
                    let asked = match connection.take() {
                        Some(connection) => Ok(connection),
                        None => Connection::open(to),
                    };
                    let answered = asked.and_then(|mut asked: Connection| {
                        let answered = asked.exchange(&request)?;
                        connection = Some(asked);
                        Ok(answered)
                    });
                    match answered {
                        Ok(answered) if answered.status == 200 && answered.complete => {
                            done.lock().unwrap().push((session, wait::now()));
                        }
                        Ok(answered) => failed.lock().unwrap().push(format!(
                            "{session}: {} {}",
                            answered.status,
                            answered.text()
                        )),
                        Err(error) => failed.lock().unwrap().push(format!("{session}: {error}")),
                    }
                }
            });
        }
    });
    (done.into_inner().unwrap(), failed.into_inner().unwrap())
}

/// How often each session was recorded as ended.
fn recorded(mesh: &Mesh, key_id: &str) -> BTreeMap<String, usize> {
    let mut sessions = BTreeMap::new();
    for record in mesh.records(key_id) {
        if record["ended"] != json!("running") {
            *sessions
                .entry(record["session_id"].as_str().unwrap_or_default().to_owned())
                .or_default() += 1;
        }
    }
    sessions
}

fn own_mesh() -> (Mesh, MockProvider, Tenant) {
    let mesh = Mesh::start(&Options::default());
    let provider = MockProvider::start(answering);
    let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    price(mesh.admin(), Dialect::Anthropic, "model-1", PRICE);
    (mesh, provider, tenant)
}

/// The policy service is killed and started again three times during 2,000 exchanges.
#[test]
fn a_service_that_is_killed_under_load_costs_nothing() {
    const EXCHANGES: usize = 2_000;
    let (mesh, provider, tenant) = own_mesh();
    let count = AtomicUsize::new(0);
    let started = wait::now();
    let (done, failed) = std::thread::scope(|scope| {
        let loading =
            scope.spawn(|| load(mesh.address(), &tenant.key, 8, &count, &|n| n >= EXCHANGES));
        for at in [300, 900, 1_500] {
            wait::until_for("the load to go on", Duration::from_secs(120), || {
                (count.load(Ordering::SeqCst) >= at).then_some(())
            });
            mesh.end_service(Signal::SIGKILL);
            let gone = count.load(Ordering::SeqCst);
            // Exchanges go on while it is away.
            wait::until_for(
                "exchanges without a service",
                Duration::from_secs(60),
                || (count.load(Ordering::SeqCst) >= gone + 50).then_some(()),
            );
            mesh.start_service();
        }
        loading.join().unwrap()
    });
    let took = started.elapsed();
    assert_eq!(failed, Vec::<String>::new(), "clients saw errors");
    assert_eq!(done.len(), EXCHANGES);
    assert_eq!(provider.count(), EXCHANGES);
    let records = mesh.wait_records(&tenant.key_id, EXCHANGES);
    eprintln!(
        "restart chaos: {EXCHANGES} exchanges in {took:?}, 3 kills, {} errors, {} records",
        failed.len(),
        records.len()
    );
    let sessions = recorded(&mesh, &tenant.key_id);
    assert_eq!(sessions.len(), EXCHANGES);
    assert!(sessions.values().all(|times| *times == 1));
    // 1000 × 3 + 100 × 15
    assert!(
        records
            .iter()
            .all(|record| record["cost_micro_usd"] == json!(4_500)
                && record["ended"] == json!("complete"))
    );
}

/// What was answered more than a flush interval before the kill is recorded; what ran is settled as lost.
#[test]
fn an_envoy_that_is_killed_loses_a_flush_interval_at_most() {
    const FLUSH: Duration = Duration::from_millis(250);
    let (mesh, provider, tenant) = own_mesh();
    let count = AtomicUsize::new(0);
    let killed = AtomicBool::new(false);
    // Streams that have said something and then run on.
    let lasting = MockProvider::always({
        let mut events = anthropic::stream("m", &"x".repeat(400), Tokens::new(1000, 100));
        events.truncate(events.len() - 3);
        Answer::sse(events).step(Step::Hang)
    });
    let (long, holder) = {
        let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &lasting)]);
        let mut streams = Vec::new();
        for n in 0..4 {
            let connection = Connection::open(mesh.address()).unwrap();
            let request = tenant.sign(ask("model-1", &format!("long-{n}"), true));
            let mut running = connection.begin(&request).unwrap();
            running.read_until("xxx").unwrap();
            streams.push(running);
        }
        (streams, tenant)
    };
    wait::until("the streams to be reported while they run", || {
        let running = mesh.records_where(&format!("key={}&ended=running", holder.key_id));
        (running.len() == 4).then_some(())
    });
    let ((done, failed), at) = std::thread::scope(|scope| {
        let loading = scope.spawn(|| {
            load(mesh.address(), &tenant.key, 4, &count, &|_| {
                killed.load(Ordering::SeqCst)
            })
        });
        wait::until("records of the load", || {
            (recorded(&mesh, &tenant.key_id).len() >= 300).then_some(())
        });
        let at = wait::now();
        mesh.end_envoy(Signal::SIGKILL);
        killed.store(true, Ordering::SeqCst);
        (loading.join().unwrap(), at)
    });
    drop(long);
    let lost = wait::until("the running exchanges to be settled", || {
        let lost = mesh.records_where(&format!("key={}&ended=envoy_lost", holder.key_id));
        (lost.len() == 4).then_some(lost)
    });
    for record in &lost {
        // 1000 × 3 + 100 × 15, from what had been reported and seen
        assert_eq!(
            (&record["cost_micro_usd"], &record["estimated"]),
            (&json!(4_500), &json!(true)),
            "{record:#}"
        );
    }
    let sessions = recorded(&mesh, &tenant.key_id);
    assert!(sessions.values().all(|times| *times == 1));
    let missing: Vec<Duration> = done
        .iter()
        .filter(|(session, _)| !sessions.contains_key(session))
        .map(|(_, ended)| at.saturating_duration_since(*ended))
        .collect();
    let oldest = missing.iter().max().copied().unwrap_or_default();
    eprintln!(
        "SIGKILL: {} answered, {} recorded, {} lost, the oldest answered {oldest:?} before; {} cut; {} seen by the provider",
        done.len(),
        sessions.len(),
        missing.len(),
        failed.len(),
        provider.count()
    );
    assert!(
        oldest <= FLUSH,
        "a record was lost {oldest:?} after its answer"
    );

    mesh.start_envoy();
    wait::until("the next Envoy to serve", || {
        let answered = mesh.send(&tenant.sign(ask("model-1", "after", false)));
        (answered.status == 200).then_some(())
    });
}

#[test]
fn a_mesh_that_starts_without_its_service_says_so_and_recovers() {
    let (mesh, provider, tenant) = own_mesh();
    mesh.end_service(Signal::SIGKILL);
    mesh.end_envoy(Signal::SIGKILL);
    mesh.start_envoy();
    let refused = mesh.send(&tenant.sign(ask("model-1", "early", false)));
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.weir_code().as_deref(), Some("no_snapshot"));
    assert!(
        refused
            .field("retry-after")
            .is_some_and(|wait| wait.parse::<u32>().is_ok()),
        "{refused:?}"
    );
    assert_eq!(refused.json()["type"], json!("error"));
    assert_eq!(provider.count(), 0);
    mesh.start_service();
    mesh.wait_ready();
    for n in 0..20 {
        assert_eq!(
            mesh.send(&tenant.sign(ask("model-1", &format!("late-{n}"), n % 2 == 0)))
                .status,
            200
        );
    }
    let records = mesh.wait_records(&tenant.key_id, 20);
    let sessions: BTreeSet<&str> = records
        .iter()
        .filter_map(|record| record["session_id"].as_str())
        .collect();
    assert_eq!(sessions.len(), 20);
}

/// What was held back while the service was away is delivered when it is back, once.
#[test]
fn records_wait_for_a_service_that_is_away() {
    let (mesh, _provider, tenant) = own_mesh();
    mesh.end_service(Signal::SIGTERM);
    let names: Vec<String> = (0..200).map(|n| unique(&format!("away-{n}"))).collect();
    for (n, name) in names.iter().enumerate() {
        let protocol = if n % 2 == 0 {
            Protocol::Http1
        } else {
            Protocol::Http2
        };
        assert_eq!(
            mesh.send_over(&tenant.sign(ask("model-1", name, n % 3 == 0)), protocol)
                .status,
            200
        );
    }
    mesh.start_service();
    mesh.wait_records(&tenant.key_id, 200);
    let sessions = recorded(&mesh, &tenant.key_id);
    assert!(names.iter().all(|name| sessions.get(name) == Some(&1)));
}

/// Envoy is told to end under load; what it could not deliver any more stands in its log.
#[test]
#[expect(clippy::too_many_lines, reason = "one story, from start to restart")]
fn an_envoy_that_is_told_to_end_loses_nothing() {
    let home = Home::new();
    let provider = MockProvider::start(answering);
    let up = home.start(&[]);
    let token = up.admin_token().unwrap();
    let admin = up.admin(&token);
    let name = unique("anthropic");
    admin.post(
        "/providers",
        &json!({
            "name": name, "dialect": "anthropic", "base_url": provider.url(""), "models": ["model-1"],
            "keys": [{"name": "main", "secret": "secret"}],
        }),
    );
    let team = tenant::team(&admin);
    let allowed = access(&[&name], &["*"]);
    let (key_id, key) = tenant::key(&admin, &team, &json!({"access": allowed}));
    wait::until("the key to be known everywhere", || {
        (0..20)
            .all(|_| up.send(&ask("model-1", "warm", false).bearer(&key)).status == 200)
            .then_some(())
    });
    let envoy = up.children().into_iter().find(|pid| {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        comm.is_ok_and(|comm| comm.starts_with("envoy"))
    });
    let envoy = Pid::from_raw(i32::try_from(envoy.unwrap()).unwrap());
    let (count, told) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (done, failed) = std::thread::scope(|scope| {
        let loading =
            scope.spawn(|| load(up.mesh, &key, 8, &count, &|_| told.load(Ordering::SeqCst)));
        wait::until("a load", || (provider.count() >= 500).then_some(()));
        kill(envoy, Signal::SIGTERM).unwrap();
        wait::until("Envoy to close", || {
            Connection::open(up.mesh).is_err().then_some(())
        });
        told.store(true, Ordering::SeqCst);
        loading.join().unwrap()
    });
    let lines = std::fs::read_to_string(home.data().join("envoy.log")).unwrap_or_default();
    let lines = lines
        .lines()
        .filter(|line| line.contains("weir-record: "))
        .count();
    up.wait_end();
    let again = home.start(&[]);
    let admin = again.admin(&token);
    let mut sessions: BTreeMap<String, usize> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = admin.get(&format!("/exchanges?key={key_id}&limit=1000{cursor}"));
        for record in page["items"].as_array().unwrap() {
            assert_ne!(record["ended"], json!("running"), "{record:#}");
            *sessions
                .entry(record["session_id"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    sessions.remove("warm");
    let seen = provider
        .seen()
        .into_iter()
        .filter_map(|seen| seen.fields.get("x-session-id"));
    let seen: BTreeSet<String> = seen.filter(|session| session != "warm").collect();
    let missing: Vec<&String> = seen
        .iter()
        .filter(|session| !sessions.contains_key(*session))
        .collect();
    eprintln!(
        "SIGTERM: {} answered, {} cut, {} seen by the provider, {} recorded, {lines} log lines with records",
        done.len(),
        failed.len(),
        seen.len(),
        sessions.len()
    );
    assert_eq!(missing, Vec::<&String>::new());
    assert!(
        done.iter()
            .all(|(session, _)| sessions.contains_key(session))
    );
    assert!(
        sessions.values().all(|times| *times == 1),
        "recorded twice: {sessions:?}"
    );
    again.interrupt();
}

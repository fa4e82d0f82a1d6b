//! What one key sends must not hurt another: large bodies of one string while somebody else works; and a worker that
//! is only busy, or an Envoy that stands still for a while, is not taken for lost.

use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use weir_tests::client::h1::Connection;
use weir_tests::client::{End, Protocol, Request};
use weir_tests::crowd::{Coding, Crowd, Outcome, Text, Wave, body};
use weir_tests::mesh::tenant::{Dialect, Registration, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::not_tested;
use weir_tests::provider::answer::{Answer, Step};
use weir_tests::provider::{MockProvider, anthropic};
use weir_tests::tokens::Tokens;
use weir_tests::wait::{self, Gate};

/// The largest bodies that pass by preset, a little below 32 MiB.
const BYTES: usize = 31_000_000;

/// What the other key may wait while large bodies are read, on a loaded machine too.
const SMALL: Duration = Duration::from_secs(1);

/// What a VM may grow to, whatever large bodies hold: rules and working memory, and what was found.
const VM_BYTES: u64 = 192 * 1024 * 1024;

fn mesh() -> Mesh {
    Mesh::start(&Options {
        workers: 1,
        ..Options::default()
    })
}

fn stages() -> Value {
    let hide = json!({"redact": {"replace": {}}});
    json!([
        {"detectors": [{"secrets": {}}], "action": hide},
        {"detectors": [{"pii": {}}], "action": hide},
    ])
}

/// Asserts that the small client noticed little, and that each large request met with what policy says.
#[track_caller]
fn assert_unhurt(outcome: &Outcome, wave: Wave) {
    let slow = outcome.percentile(99);
    let told = format!(
        "{wave:?}: median {:?}, p99 {slow:?} of {} small exchanges, in {:?}; large: {:?}",
        outcome.percentile(50),
        outcome.small.len(),
        outcome.took,
        outcome.large
    );
    assert_eq!(outcome.wrong, Vec::<String>::new(), "{told}");
    assert!(slow <= SMALL, "{told}");
    for (status, code) in &outcome.large {
        let is_expected = match (status, code.as_str()) {
            // What one key may hold is less than all of these together.
            (200, "") | (503, "busy") => true,
            // More secrets than can be acted on.
            (400, "guardrail_blocked") => wave.text != Text::Clean,
            _ => false,
        };
        assert!(is_expected, "{status} {code}: {told}");
    }
}

#[test]
fn large_bodies_of_one_key_do_not_stall_another() {
    let mesh = mesh();
    let crowd = Crowd::on(&mesh, &stages());
    for (text, coding, protocol) in [
        (Text::Secrets, Coding::Plain, Protocol::Http1),
        (Text::Clean, Coding::Gzip, Protocol::Http1),
        (Text::Keywords, Coding::Gzip, Protocol::Http2),
    ] {
        let wave = Wave {
            bodies: 16,
            bytes: BYTES,
            text,
            coding,
            protocol,
        };
        assert_unhurt(&crowd.run(wave), wave);
    }
    let bytes = crowd.vm_bytes();
    assert!(bytes < VM_BYTES, "a VM of {bytes} bytes");
    for tenant in [&crowd.small, &crowd.large] {
        let lost = mesh.records_where(&format!("key={}&ended=envoy_lost", tenant.key_id));
        assert_eq!(lost, Vec::<Value>::new());
    }
}

/// What is read in later ticks is judged and changed like what is read at once, however it was sent.
#[test]
fn a_large_body_is_changed_wherever_it_has_to_be() {
    let mesh = mesh();
    let provider = MockProvider::always(Answer::json(200, &json!({"ok": true})));
    let tenant = mesh.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    mesh.change(|admin| {
        let detector = json!({"regex": {"id": "shop-code", "pattern": "shop-[0-9]{9}"}});
        let stage = json!({"detectors": [detector], "action": {"redact": {"replace": {}}}});
        admin.post(
            "/guardrails",
            &json!({"name": unique("shop"), "stages": [stage]}),
        )
    });
    let clean = String::from_utf8(body(Text::Clean, 3_000_000)).unwrap();
    let marked: Vec<&str> = clean.split_inclusive("return ").collect();
    let (value, hidden) = ("shop-493827165 ", "[REDACTED:shop-code] ");
    let put = |what: &str| {
        let parts = marked.iter().enumerate();
        let parts = parts.map(|(at, part)| match at % 997 {
            5 => format!("{part}{what}"),
            _ => (*part).to_owned(),
        });
        parts.collect::<String>()
    };
    let (sent, want) = (put(value), put(hidden));
    for coding in [Coding::Plain, Coding::Gzip, Coding::Zstd] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            for pieces in [None, Some(End::Data), Some(End::Empty), Some(End::Trailers)] {
                provider.forget();
                let mut request = tenant.sign(coding.request(sent.as_bytes()));
                if let Some(end) = pieces {
                    request = request.pieces(&[100_000, 7], end);
                }
                let what = format!("{coding:?} over {protocol:?}, ended by {pieces:?}");
                let answered = mesh.send_over(&request, protocol);
                assert_eq!(answered.status, 200, "{what}: {}", answered.text());
                assert!(provider.only().body == want.as_bytes(), "{what}");
            }
        }
    }
}

/// Answers wait in the proxy, too, and no connection buffers that much.
#[test]
fn a_large_answer_is_held_and_changed() {
    let mesh = mesh();
    let provider = MockProvider::always(Answer::json(200, &json!({})));
    let tenant = mesh.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    mesh.change(|admin| {
        let detector = json!({"regex": {"id": "shop-code", "pattern": "shop-[0-9]{9}"}});
        let stage = json!({"detectors": [detector], "action": {"redact": {"replace": {}}}});
        admin.post(
            "/guardrails",
            &json!({"name": unique("shop"), "stages": [stage]}),
        )
    });
    let ask = Request::post(
        "/v1/chat/completions",
        &json!({"model": "m", "messages": []}),
    );
    let text = "said in many words ".repeat(200_000);
    for (before, after) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let told = |value: &str| {
            let text = format!("{}{text}{}", value.repeat(before), value.repeat(after));
            json!({"id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})
        };
        let answer = Answer::json(200, &told(" shop-493827165 "));
        provider.script(move |_, _| answer.clone());
        let answered = mesh.send(&tenant.sign(ask.clone()));
        assert_eq!(answered.status, 200, "{}", answered.text());
        let want = told(" [REDACTED:shop-code] ").to_string();
        assert!(answered.body == want.as_bytes(), "{before} {after}");
    }
}

/// A key may hold as much as is free beside it; what it has too much is to come again, and another key has room.
#[test]
fn a_key_that_holds_too_much_is_told_so_and_nobody_else() {
    let mesh = mesh();
    let crowd = Crowd::on(&mesh, &stages());
    let large = Request::post_bytes("/v1/chat/completions", body(Text::Clean, BYTES));
    let (greedy, modest) = (crowd.large.sign(large.clone()), crowd.small.sign(large));
    // Nine such bodies are more than half of what may be held; they never come to their end.
    let mut held: Vec<_> = (0..9)
        .map(|_| {
            let mut connection = Connection::open(mesh.address()).unwrap();
            let _refused_before_it_was_all_sent = connection.write_first(&greedy, BYTES - 1_000);
            connection
        })
        .collect();
    let busy = wait::until("one of them to be refused", || {
        held.iter_mut().find_map(|connection| {
            connection.patience(Duration::from_millis(50)).unwrap();
            connection.answer("POST").ok()
        })
    });
    let code = busy.weir_code();
    assert_eq!((busy.status, code.as_deref()), (503, Some("busy")));
    assert!(busy.field("retry-after").is_some());
    let record =
        &mesh.wait_records_where(&format!("key={}&ended=refused", crowd.large.key_id), 1)[0];
    assert_eq!(record["refusal_code"], "busy", "{record:#}");
    let answered = mesh.send(&modest);
    assert_eq!(answered.status, 200, "{}", answered.text());
    drop(held);
}

/// A client that goes while its body waits leaves nothing behind, and its key goes on.
#[test]
fn a_client_that_leaves_while_its_body_is_read_leaves_nothing_behind() {
    let mesh = mesh();
    let crowd = Crowd::on(&mesh, &stages());
    let request = crowd.large.sign(Request::post_bytes(
        "/v1/chat/completions",
        body(Text::Secrets, BYTES),
    ));
    for most in [100_000, 4_000_000, BYTES - 100] {
        for _ in 0..8 {
            let mut connection = Connection::open(mesh.address()).unwrap();
            connection.write_first(&request, most).unwrap();
        }
    }
    wait::until("the key to have its room again", || {
        let answered = mesh.send(&crowd.large.sign(Request::post(
            "/v1/chat/completions",
            &json!({"model": "m", "messages": []}),
        )));
        (answered.status == 200).then_some(())
    });
    let answered = mesh.send(&crowd.large.sign(Request::post_bytes(
        "/v1/chat/completions",
        body(Text::Clean, BYTES),
    )));
    assert_eq!(answered.status, 200, "{}", answered.text());
}

/// An Envoy that stands still is not gone: what runs on it ends as it ends.
#[test]
fn an_envoy_that_stands_still_loses_nothing() {
    let mesh = mesh();
    let gate = Gate::new();
    let events = anthropic::stream("m", &"x".repeat(400), Tokens::new(1_000, 100));
    let answer = Answer::sse(events);
    let provider = MockProvider::always(answer.before(2, Step::Wait(gate.clone())));
    let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    let connection = Connection::open(mesh.address()).unwrap();
    let ask = json!({"model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let mut running = connection
        .begin(&tenant.sign(Request::post("/v1/messages", &ask)))
        .unwrap();
    wait::until("the exchange to be reported while it runs", || {
        let running = mesh.records_where(&format!("key={}&ended=running", tenant.key_id));
        (running.len() == 1).then_some(())
    });
    let Ok(pid) = i32::try_from(mesh.envoy_pid()) else {
        return not_tested("an Envoy that stands still", "it has no usable process id");
    };
    let pid = Pid::from_raw(pid);
    kill(pid, Signal::SIGSTOP).unwrap();
    // Longer than a VM may be silent.
    thread::sleep(Duration::from_secs(9));
    let records = mesh.records(&tenant.key_id);
    kill(pid, Signal::SIGCONT).unwrap();
    assert_eq!(records[0]["ended"], "running", "{records:#?}");
    gate.open();
    while running.next().unwrap().is_some() {}
    let record = mesh.only_record(&tenant.key_id);
    assert_eq!(record["ended"], "complete", "{record:#}");
}

//! The harness itself: what a scripted provider and the raw clients do, without a mesh between.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use weir_tests::client::h1::Connection;
use weir_tests::client::{End, Protocol, Request};
use weir_tests::process::{self, Group};
use weir_tests::provider::answer::{Answer, Step};
use weir_tests::provider::{MockProvider, Outcome};
use weir_tests::up::runs;
use weir_tests::wait;

#[test]
fn provider_keeps_every_byte_of_a_request() {
    let provider = MockProvider::always(Answer::json(200, &json!({"ok": true})));
    let request = Request::post_bytes("/a%2Fb//c?x=%20", "{ \"a\" :1}")
        .raw_field("X-Odd", b"caf\xe9")
        .field("x-odd", "second");
    let answered = request.send(provider.address(), Protocol::Http1).unwrap();
    assert_eq!(
        (answered.status, answered.json()),
        (200, json!({"ok": true}))
    );
    let seen = provider.only();
    assert_eq!(seen.target, "/a%2Fb//c?x=%20");
    assert_eq!(seen.body, b"{ \"a\" :1}");
    let odd: Vec<_> = seen
        .fields
        .0
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"x-odd"))
        .collect();
    assert_eq!(odd[0], &(b"X-Odd".to_vec(), b"caf\xe9".to_vec()));
    assert_eq!(odd[1], &(b"x-odd".to_vec(), b"second".to_vec()));
}

#[test]
fn pieces_and_trailers_arrive() {
    let provider =
        MockProvider::always(Answer::sse(["data: 1\n\n", "data: 2\n\n"]).trailer("x-end", "here"));
    let request = Request::post_bytes("/", "0123456789").pieces(&[1, 3], End::Trailers);
    let answered = request.send(provider.address(), Protocol::Http1).unwrap();
    assert_eq!(answered.text(), "data: 1\n\ndata: 2\n\n");
    assert_eq!(answered.trailers.get("x-end").as_deref(), Some("here"));
    assert!(answered.complete);
    let seen = provider.only();
    assert_eq!(seen.body, b"0123456789");
    assert_eq!(seen.trailers.get("x-checked").as_deref(), Some("yes"));
}

#[test]
fn a_broken_answer_is_seen_as_broken() {
    for how in [Step::Reset, Step::Cut] {
        let provider = MockProvider::always(
            Answer::bytes(200, "text/plain", "0123456789").broken_after(4, how),
        );
        let answered = Request::get("/").send(provider.address(), Protocol::Http1);
        // A reset may overtake what was written before it.
        assert!(
            answered.is_err() || !answered.as_ref().unwrap().complete,
            "{answered:?}"
        );
        wait::until("the script to end", || {
            (provider.only().outcome() == Outcome::Broken).then_some(())
        });
    }
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let provider = MockProvider::start(|_, _| {
        Answer::sse(["data: 1\n\n"])
            .step(Step::Forever(b": \n\n".to_vec(), Duration::from_millis(5)))
    });
    let mut running = Connection::open(provider.address())
        .unwrap()
        .begin(&Request::get("/"))
        .unwrap();
    running.read_until("data: 1").unwrap();
    assert_eq!(provider.only().outcome(), Outcome::Answering);
    drop(running);
    wait::until("the provider to notice", || {
        (provider.only().outcome() == Outcome::PeerGone).then_some(())
    });
}

#[test]
fn parts_end_with_their_group() {
    let folder = tempfile::tempdir().unwrap().keep();
    let group = Group::new(&folder);
    let mut command = Command::new("sh");
    // A child of its own, in the same group.
    command.args(["-c", "sleep 1000 & wait"]);
    let part = group.spawn(command);
    let children = format!("/proc/{0}/task/{0}/children", part.pid());
    let child = wait::until("a child", || {
        let text = std::fs::read_to_string(&children).ok()?;
        text.split_whitespace().next()?.parse::<u32>().ok()
    });
    drop(group);
    wait::until("the part and its child to end", || {
        (!runs(part.pid()) && !runs(child)).then_some(())
    });
    assert!(!folder.exists());
}

#[test]
fn a_process_that_a_command_leaves_behind_is_not_waited_for() {
    let mut command = Command::new("sh");
    // It keeps the pipes and leaves the group.
    command.args(["-c", "setsid sleep 20 & echo done"]);
    let started = wait::now();
    let run = process::finish(command, Duration::from_secs(10));
    assert!(run.succeeded() && run.stdout == "done\n", "{run:?}");
    assert!(started.elapsed() < Duration::from_secs(15), "{run:?}");
}

//! Connections and streams that do nothing, or too much, are their own client's trouble.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use weir_tests::client::frames::{Frames, Seen};
use weir_tests::client::h1::Connection;
use weir_tests::client::{Protocol, Request};
use weir_tests::mesh::tenant::{self, Dialect, Registration};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::{Answer, Step};
use weir_tests::provider::{MockProvider, openai};
use weir_tests::tokens::Tokens;
use weir_tests::wait::{self, Gate};

fn chat() -> Request {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
    Request::post("/v1/chat/completions", &body)
}

/// An answer of the provider that begins and does not end before the gate is opened.
fn endless(gate: &Gate) -> Answer {
    Answer::sse(openai::chat_stream("m", "hello", None)).before(1, Step::Wait(gate.clone()))
}

fn streamed() -> Request {
    let body =
        json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hello"}]});
    Request::post("/v1/chat/completions", &body)
}

/// Only one key runs into its bound, and what it began goes on.
#[test]
fn a_key_with_too_many_streams_is_told_and_no_other() {
    const MOST: usize = 5;
    let mesh = Mesh::start(&Options {
        // The bound is a worker's: with one every connection meets the same.
        workers: 1,
        settings: json!({"max_running_per_key": MOST}),
        ..Options::default()
    });
    let gate = Gate::new();
    let busy = MockProvider::always(endless(&gate));
    let calm = MockProvider::always(Answer::json(
        200,
        &openai::chat("m", "hello", Tokens::new(1, 1)),
    ));
    let greedy = mesh.tenant(&[Registration::new(Dialect::Openai, &busy)]);
    let other = mesh.tenant(&[Registration::new(Dialect::Openai, &calm)]);
    let begin = || {
        let connection = Connection::open(mesh.address()).unwrap();
        connection.begin(&greedy.sign(streamed())).unwrap()
    };
    let running: Vec<_> = (0..MOST).map(|_| begin()).collect();
    assert!(running.iter().all(|one| one.status == 200));
    for _ in 0..3 {
        let refused = mesh.send(&greedy.sign(streamed()));
        assert_eq!(
            (refused.status, refused.weir_code().as_deref()),
            (503, Some("busy")),
            "{}",
            refused.text()
        );
        assert!(refused.field("retry-after").is_some());
        assert!(refused.text().contains("5 requests"), "{}", refused.text());
        assert_eq!(mesh.send(&other.sign(chat())).status, 200);
    }
    assert_eq!(busy.count(), MOST, "what was refused went to nobody");
    gate.open();
    for one in running {
        assert!(one.finish().complete);
    }
    // Room again, and the refusals are on record.
    wait::until("room for the key", || {
        (mesh.send(&greedy.sign(streamed())).status == 200).then_some(())
    });
    wait::until("the refusals' records", || {
        let refused = mesh.records_where("refusal_code=busy");
        (refused.len() >= 3).then_some(())
    });
}

/// Silent connections fill a third of the descriptors; the ones that ask are served meanwhile, and after.
#[test]
fn silent_connections_leave_room_and_end() {
    const DESCRIPTORS: usize = 600;
    let mesh = Mesh::start(&Options {
        descriptors: Some(DESCRIPTORS),
        ..Options::default()
    });
    let connect = || TcpStream::connect(mesh.address());
    // Kept open by this side; Envoy turns away what is beyond a third.
    let silent: Vec<TcpStream> = (0..DESCRIPTORS).filter_map(|_| connect().ok()).collect();
    let open = || {
        let is_open = |stream: &&TcpStream| {
            stream.set_nonblocking(true).unwrap();
            let read = (&mut &**stream).read(&mut [0]);
            read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        };
        silent.iter().filter(is_open).count()
    };
    wait::until("those beyond a third to be turned away", || {
        (open() <= DESCRIPTORS / 3).then_some(())
    });
    let pid = mesh.envoy_pid();
    let files = || {
        std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .count()
    };
    assert!(files() < DESCRIPTORS, "{} files are open", files());
    // Close to the bound a silent connection lives for 15 seconds, and a client that comes later is served.
    wait::until_for("the silent ones to end", Duration::from_secs(40), || {
        (open() < DESCRIPTORS / 4).then_some(())
    });
    let asked = Request::get("/healthz").send(mesh.address(), Protocol::Http1);
    assert_eq!(asked.unwrap().status, 200);
}

/// A silent crowd at the service's own listeners keeps nobody from them.
#[test]
fn the_services_own_listeners_stay_reachable() {
    let mesh = Mesh::start(&Options::default());
    let admin = mesh.admin().address();
    let grpc = mesh.grpc_address();
    let pid = mesh.service_pid();
    let crowd = |address: SocketAddr, said: &[u8]| -> Vec<TcpStream> {
        let connect = |_: usize| {
            let mut stream = TcpStream::connect(address).ok()?;
            stream.write_all(said).ok()?;
            Some(stream)
        };
        (0..1_500).filter_map(connect).collect()
    };
    for (address, said) in [
        (admin, &b""[..]),
        (admin, b"GET /api/v1/mesh HTTP/1.1\r\nx: "),
        (grpc, b""),
        (grpc, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let held = crowd(address, said);
        for _ in 0..5 {
            assert_eq!(
                Request::get("/healthz")
                    .send(admin, Protocol::Http1)
                    .unwrap()
                    .status,
                200
            );
            assert_eq!(
                Request::get("/readyz")
                    .send(admin, Protocol::Http1)
                    .unwrap()
                    .status,
                200
            );
        }
        // A change reaches the filters: their own connections were not given up for the crowd's.
        mesh.change(|admin| {
            let team = tenant::team(admin);
            tenant::key(admin, &team, &json!({"access": tenant::access(&[], &[])}))
        });
        drop(held);
    }
    wait::until("the crowd to be gone", || {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .count();
        (files < 500).then_some(())
    });
}

/// A stream that is no proper HTTP/2 ends alone.
#[test]
fn a_malformed_http2_stream_ends_alone() {
    let mesh = Mesh::start(&Options::default());
    let get = |fields: &[(&'static str, &'static str)]| {
        let usual = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "localhost"),
        ];
        [&usual[..], fields].concat()
    };
    let proper = get(&[(":path", "/healthz")]);
    for (what, bad) in [
        (
            "a header of a connection",
            get(&[(":path", "/healthz"), ("connection", "close")]),
        ),
        (
            "a transfer coding",
            get(&[(":path", "/healthz"), ("transfer-encoding", "chunked")]),
        ),
        (
            "upper case",
            get(&[(":path", "/healthz"), ("X-Upper", "1")]),
        ),
        ("no path", get(&[])),
        (
            "two lengths",
            get(&[
                (":path", "/healthz"),
                ("content-length", "1"),
                ("content-length", "2"),
            ]),
        ),
        (
            "a length that is none",
            get(&[(":path", "/healthz"), ("content-length", "x")]),
        ),
    ] {
        let mut connection = Frames::open(mesh.address()).unwrap();
        // A neighbour whose body is still to come, and one that asks afterwards.
        let mut waiting = get(&[
            (":path", "/v1/messages"),
            ("content-type", "application/json"),
        ]);
        waiting[0] = (":method", "POST");
        connection.headers(1, &waiting, false).unwrap();
        connection.headers(3, &bad, true).unwrap();
        assert_ne!(connection.outcome(3).unwrap(), Seen::Closed, "{what}");
        connection.headers(5, &proper, true).unwrap();
        assert_eq!(connection.outcome(5).unwrap(), Seen::Answered, "{what}");
    }
}

/// Envoy gets nothing of what the service was started with.
#[test]
fn envoy_inherits_no_secret() {
    let home = weir_tests::up::Home::new();
    let up = home.start(&[
        ("OPENAI_API_KEY", "sk-not-for-envoy"),
        ("PGPASSWORD", "not-for-envoy"),
    ]);
    let children = up.children();
    assert!(!children.is_empty());
    for child in children {
        let environment = std::fs::read(Path::new(&format!("/proc/{child}/environ"))).unwrap();
        let text = String::from_utf8_lossy(&environment);
        assert!(!text.contains("not-for-envoy"), "{text}");
        assert!(text.contains("PATH="), "{text}");
    }
    assert!(up.interrupt().success());
}

use std::time::Duration;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::*;

const IDLE: Duration = Duration::from_millis(400);

/// What `/slow` does: it has been asked, and it may answer.
type Slow = (watch::Sender<bool>, watch::Sender<bool>);

fn slow() -> (axum::routing::MethodRouter, Slow) {
    let (asked, go) = (watch::Sender::new(false), watch::Sender::new(false));
    let slow = (asked.clone(), go.clone());
    let router = get(move || {
        let (asked, mut go) = (asked.clone(), go.subscribe());
        async move {
            asked.send_replace(true);
            drop(go.wait_for(|go| *go).await);
            "slow"
        }
    });
    (router, slow)
}

async fn is_asked((asked, _): &Slow) {
    let mut asked = asked.subscribe();
    let wait = asked.wait_for(|asked| *asked);
    let came = tokio::time::timeout(Duration::from_secs(10), wait).await;
    drop(came.expect("the request comes"));
}

/// A listener with room for `connections`.
async fn started(connections: usize, speaks: Speaks) -> (SocketAddr, Slow) {
    let (router, slow) = slow();
    let app = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/slow", router);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let room = Room {
        connections,
        patience: IDLE,
        kept: IDLE * 2,
        speaks,
    };
    tokio::spawn(serve(listener, app, room, std::future::pending()));
    (address, slow)
}

const GRPC: Speaks = Speaks::Grpc {
    stream_window: 65_535,
    connection_window: 65_535,
    ping: Duration::from_secs(15),
    ping_timeout: Duration::from_secs(5),
};

async fn connected(address: SocketAddr, said: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(said).await.unwrap();
    stream
}

/// Everything until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = stream.read_to_end(&mut all);
    let closed = tokio::time::timeout(Duration::from_secs(10), read).await;
    // A reset is an end too.
    drop(closed.expect("the other side closes"));
    String::from_utf8_lossy(&all).into_owned()
}

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Whatever a connection does in place of a request, it has an end.
#[tokio::test]
async fn what_is_no_request_is_closed() {
    for (speaks, said) in [
        (Speaks::Http1, &b""[..]),
        (Speaks::Http1, b"G"),
        (Speaks::Http1, b"GET / HTTP/1.1\r\nho"),
        (GRPC, b""),
        (GRPC, b"PRI * HTTP/2.0\r\n"),
        (
            GRPC,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        ),
    ] {
        let (address, _go) = started(8, speaks).await;
        let mut stream = connected(address, said).await;
        rest(&mut stream).await;
    }
}

/// Letter by letter is no faster.
#[tokio::test]
async fn a_slow_head_is_closed_though_letters_come() {
    let (address, _go) = started(8, Speaks::Http1).await;
    let mut stream = connected(address, b"GET / HTTP/1.1\r\nx: ").await;
    let began = Instant::now();
    while stream.write_all(b"a").await.is_ok() {
        tokio::time::sleep(IDLE / 8).await;
        assert!(began.elapsed() < IDLE * 10, "it is still open");
    }
}

/// Room that silent connections take is given to whoever asks.
#[tokio::test]
async fn silent_connections_make_room_for_whoever_comes() {
    let (address, _go) = started(4, Speaks::Http1).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(connected(address, b"").await);
    }
    let mut asking = connected(address, ASK).await;
    assert!(rest(&mut asking).await.contains("here"));
}

/// A request that runs is never ended for one that comes, and what was used once goes after what never was.
#[tokio::test]
async fn work_is_kept_and_the_never_used_go_first() {
    let (address, of_slow) = started(3, Speaks::Http1).await;
    let slow = b"GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut working = connected(address, slow).await;
    is_asked(&of_slow).await;
    let mut used = connected(address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut first = [0; 12];
    used.read_exact(&mut first).await.unwrap();
    for _ in 0..20 {
        rest_of_one(address).await;
    }
    used.write_all(ASK).await.unwrap();
    assert!(rest(&mut used).await.contains("here"));
    of_slow.1.send_replace(true);
    assert!(rest(&mut working).await.contains("slow"));
}

async fn rest_of_one(address: SocketAddr) {
    drop(connected(address, b"").await);
    let mut asking = connected(address, ASK).await;
    assert!(rest(&mut asking).await.contains("here"));
}

/// Where all are at work, who comes is turned away at once and can tell.
#[tokio::test]
async fn without_room_a_connection_is_turned_away() {
    let (address, of_slow) = started(1, Speaks::Http1).await;
    let slow = b"GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut working = connected(address, slow).await;
    is_asked(&of_slow).await;
    for _ in 0..3 {
        let mut asking = connected(address, b"").await;
        assert_eq!(rest(&mut asking).await, "");
    }
    of_slow.1.send_replace(true);
    assert!(rest(&mut working).await.contains("slow"));
}

/// The bound of one router does not reach another.
#[tokio::test]
async fn requests_have_a_bound_of_their_own() {
    let (router, of_slow) = slow();
    let bounded = at_most(1, Router::new().route("/slow", router));
    let app = bounded.merge(Router::new().route("/", get(|| async { "here" })));
    let ask = |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request)
    };
    let running = tokio::spawn(ask("/slow"));
    is_asked(&of_slow).await;
    let refused = ask("/slow").await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask("/").await.unwrap().status(), StatusCode::OK);
    of_slow.1.send_replace(true);
    assert_eq!(running.await.unwrap().unwrap().status(), StatusCode::OK);
}

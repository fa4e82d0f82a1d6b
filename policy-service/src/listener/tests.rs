use std::time::Duration;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::*;

const IDLE: Duration = Duration::from_millis(400);

/// A listener with room for `connections`; its `/slow` answers when the sender says so.
async fn started(connections: usize, speaks: Speaks) -> (SocketAddr, watch::Sender<bool>) {
    let (sender, go) = watch::channel(false);
    let slow = get(move || {
        let mut go = go.clone();
        async move {
            drop(go.wait_for(|go| *go).await);
            "slow"
        }
    });
    let app = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/slow", slow);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let room = Room {
        connections,
        patience: IDLE,
        kept: IDLE * 2,
        speaks,
    };
    tokio::spawn(serve(listener, app, room, std::future::pending()));
    (address, sender)
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
    let (address, go) = started(3, Speaks::Http1).await;
    let slow = b"GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut working = connected(address, slow).await;
    let mut used = connected(address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut first = [0; 12];
    used.read_exact(&mut first).await.unwrap();
    for _ in 0..20 {
        rest_of_one(address).await;
    }
    used.write_all(ASK).await.unwrap();
    assert!(rest(&mut used).await.contains("here"));
    go.send_replace(true);
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
    let (address, go) = started(1, Speaks::Http1).await;
    let slow = b"GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut working = connected(address, slow).await;
    // It counts once its request is read.
    let turned_away = async {
        loop {
            let mut asking = connected(address, ASK).await;
            if rest(&mut asking).await.is_empty() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), turned_away)
        .await
        .expect("one is turned away");
    go.send_replace(true);
    assert!(rest(&mut working).await.contains("slow"));
}

/// The bound of one router does not reach another.
#[tokio::test]
async fn requests_have_a_bound_of_their_own() {
    let gate = Arc::new(Notify::new());
    let of_handler = Arc::clone(&gate);
    let slow = get(move || {
        let gate = Arc::clone(&of_handler);
        async move {
            gate.notified().await;
        }
    });
    let bounded = at_most(1, Router::new().route("/slow", slow));
    let app = bounded.merge(Router::new().route("/", get(|| async { "here" })));
    let ask = |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request)
    };
    let running = tokio::spawn(ask("/slow"));
    let refused = async {
        loop {
            let asked = tokio::time::timeout(Duration::from_millis(20), ask("/slow")).await;
            if asked.is_ok_and(|it| it.unwrap().status() == StatusCode::SERVICE_UNAVAILABLE) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused)
        .await
        .expect("the second is refused");
    assert_eq!(ask("/").await.unwrap().status(), StatusCode::OK);
    gate.notify_one();
    assert_eq!(running.await.unwrap().unwrap().status(), StatusCode::OK);
}

//! Listeners that silent and slow connections cannot use up.
//!
//! A listener has room for so many connections and no more. One on which no request runs is closed after a while,
//! whether it says nothing, or says a head letter by letter; when the room is taken, whoever comes takes the place
//! of the one that has been idle for longest, and of those that never asked anything first. Each listener has a room
//! of its own: what is done to one of them does not reach the others.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{self, ConnectInfo, Request};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse as _;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt as _;
use tracing::{debug, warn};

/// After a connection could not be taken, most likely for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection that is told to end may finish what it writes.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    /// HTTP/2 with windows, in bytes, of a stream and of a connection, and with pings.
    Grpc {
        stream_window: u32,
        connection_window: u32,
        ping: Duration,
        ping_timeout: Duration,
    },
}

/// How much of a listener its clients may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) connections: usize,
    /// How long a connection may take to its first request.
    pub(crate) patience: Duration,
    /// How long it is kept after a request for the next one.
    pub(crate) kept: Duration,
    pub(crate) speaks: Speaks,
}

/// Serves `app` until `stop` resolves; what runs then may end.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    room: Room,
    stop: impl Future<Output = ()>,
) {
    let all = Arc::new(Connections::default());
    let mut tasks = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        while tasks.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "a connection cannot be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match all.enter(room.connections) {
            Some(place) => {
                tasks.spawn(drive(stream, peer, app.clone(), room, place));
            }
            None => debug!(%peer, "turned away: every connection is at work"),
        }
    }
    drop(listener);
    all.end_all();
    while tasks.join_next().await.is_some() {}
}

/// Lets `most` requests into `router` at a time; more are answered 503.
pub(crate) fn at_most(most: usize, router: Router) -> Router {
    router.layer(from_fn_with_state(Arc::new(Semaphore::new(most)), admitted))
}

async fn admitted(
    extract::State(room): extract::State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> axum::response::Response {
    let Ok(_held) = room.try_acquire() else {
        let body =
            r#"{"code":"busy","message":"too many requests run at once; try again in a moment"}"#;
        let headers = [
            (RETRY_AFTER, "1"),
            (axum::http::header::CONTENT_TYPE, "application/json"),
        ];
        return (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response();
    };
    next.run(request).await
}

async fn drive(stream: TcpStream, peer: SocketAddr, app: Router, room: Room, place: Place) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection is gone already");
        return;
    }
    let of_requests = place.clone();
    let service =
        hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            let running = of_requests.begin();
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = app.clone().oneshot(request.map(Body::new));
            async move {
                let response = match answer.await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                Ok::<_, std::convert::Infallible>(response.map(|body| Held {
                    body,
                    _running: running,
                }))
            }
        });
    let builder = builder(room);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut is_ending = false;
    loop {
        let check = place.idle_until(room);
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%peer, %error, "a connection broke");
                }
                return;
            }
            () = place.told_to_end(), if !is_ending => {
                // It has nothing to finish that never asked anything.
                if !place.has_asked() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                is_ending = true;
                if !place.is_at_work() {
                    drop(tokio::time::timeout(LAST_WORDS, connection.as_mut()).await);
                    return;
                }
            }
            () = tokio::time::sleep_until(check) => {
                if place.idle_until(room) <= Instant::now() {
                    return;
                }
            }
        }
    }
}

fn builder(room: Room) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    match room.speaks {
        Speaks::Http1 => {
            builder = builder.http1_only();
            builder
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(room.kept);
        }
        Speaks::Grpc {
            stream_window,
            connection_window,
            ping,
            ping_timeout,
        } => {
            builder = builder.http2_only();
            builder
                .http2()
                .timer(TokioTimer::new())
                .initial_stream_window_size(stream_window)
                .initial_connection_window_size(connection_window)
                .keep_alive_interval(ping)
                .keep_alive_timeout(ping_timeout);
        }
    }
    builder
}

/// The connections of one listener.
#[derive(Debug, Default)]
struct Connections {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    by_number: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    /// Requests whose answer has not gone out whole.
    running: usize,
    has_asked: bool,
    idle_since: Instant,
    end: Arc<Notify>,
    is_told_to_end: bool,
}

impl Connections {
    /// Takes a connection up, in the place of an idle one if there is no other; `None` when all are at work.
    fn enter(self: &Arc<Self>, most: usize) -> Option<Place> {
        let mut state = self.state();
        let stay = state.by_number.values().filter(|one| !one.is_told_to_end);
        if stay.count() >= most {
            let idle = state.by_number.values_mut();
            let idle = idle.filter(|one| one.running == 0 && !one.is_told_to_end);
            let longest = idle.min_by_key(|one| (one.has_asked, one.idle_since))?;
            longest.is_told_to_end = true;
            longest.end.notify_one();
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        let end = Arc::new(Notify::new());
        state.by_number.insert(
            number,
            Connection {
                running: 0,
                has_asked: false,
                idle_since: Instant::now(),
                end: Arc::clone(&end),
                is_told_to_end: false,
            },
        );
        drop(state);
        Some(Place(Arc::new(Taken {
            all: Arc::clone(self),
            number,
            end,
        })))
    }

    fn end_all(&self) {
        for connection in self.state().by_number.values() {
            connection.end.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the map is one operation, so a poisoned lock still guards a good one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among those of its listener; free again when the last clone is dropped.
#[derive(Clone, Debug)]
struct Place(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    all: Arc<Connections>,
    number: u64,
    end: Arc<Notify>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.all.state().by_number.remove(&self.number);
    }
}

impl Place {
    fn with<T>(&self, action: impl FnOnce(&mut Connection) -> T) -> Option<T> {
        let mut state = self.0.all.state();
        state.by_number.get_mut(&self.0.number).map(action)
    }

    fn begin(&self) -> Running {
        self.with(|connection| {
            connection.running = connection.running.saturating_add(1);
            connection.has_asked = true;
        });
        Running(self.clone())
    }

    fn is_at_work(&self) -> bool {
        self.with(|connection| connection.running > 0) == Some(true)
    }

    fn has_asked(&self) -> bool {
        self.with(|connection| connection.has_asked) == Some(true)
    }

    /// When the connection will have been idle for too long, if nothing happens before.
    fn idle_until(&self, room: Room) -> Instant {
        let until = self.with(|connection| {
            let since = match connection.running {
                0 => connection.idle_since,
                _ => Instant::now(),
            };
            let bound = if connection.has_asked {
                room.kept
            } else {
                room.patience
            };
            since + bound
        });
        until.unwrap_or_else(Instant::now)
    }

    async fn told_to_end(&self) {
        self.0.end.notified().await;
    }
}

/// A request from its head to the end of its answer.
#[derive(Debug)]
struct Running(Place);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.with(|connection| {
            connection.running = connection.running.saturating_sub(1);
            connection.idle_since = Instant::now();
        });
    }
}

/// The body of an answer; the request runs until it is dropped.
struct Held {
    body: Body,
    _running: Running,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;

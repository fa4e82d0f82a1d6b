//! A provider that does what its script says and remembers every byte it was sent.

pub mod agents;
pub mod answer;
pub mod anthropic;
pub mod gemini;
pub mod openai;

use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::http1::{BodyReader, Fields, Framing, read_head};
use crate::wait;
use answer::Answer;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Path and query, untouched.
    pub target: String,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    outcome: Arc<Mutex<Outcome>>,
}

/// How far the answer to a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The script still runs.
    Answering,
    /// Every byte of the script was handed to the peer.
    Answered,
    /// The peer closed before the script ended.
    PeerGone,
    /// The script broke the connection.
    Broken,
}

impl Seen {
    /// Returns how far the answer got.
    pub fn outcome(&self) -> Outcome {
        *self.outcome.lock().unwrap()
    }

    /// Returns the path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Returns the body as JSON, or `null`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether `needle` stands anywhere in the request.
    pub fn mentions(&self, needle: &str) -> bool {
        self.target.contains(needle)
            || self.fields.mention(needle)
            || crate::http1::contains(&self.body, needle.as_bytes())
    }
}

/// Decides what to answer; `nth` counts this provider's requests from 0.
pub type Script = dyn Fn(&Seen, usize) -> Answer + Send + Sync;

/// A provider on a loopback port of its own. Stops listening when dropped.
pub struct MockProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Arc<Script>>,
    seen: Mutex<Vec<Seen>>,
    stopped: AtomicBool,
}

impl std::fmt::Debug for MockProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MockProvider")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl MockProvider {
    /// Starts a provider that answers by `script`.
    pub fn start(script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener =
            TcpListener::bind("127.0.0.1:0").expect("a loopback port for the mock provider");
        let address = listener.local_addr().expect("the mock provider's address");
        let script: Arc<Script> = Arc::new(script);
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            seen: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// Starts a provider that gives every request the same answer.
    pub fn always(answer: Answer) -> Self {
        Self::start(move |_, _| answer.clone())
    }

    /// Replaces the script for requests from here on.
    pub fn script(&self, script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Arc::new(script);
    }

    /// Returns where the provider listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL with `path` behind it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns every request so far, in the order their bodies were complete.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Returns how many requests came.
    pub fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
    }

    /// Returns the only request; panics when there was none or more than one.
    #[track_caller]
    pub fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(
            seen.len(),
            1,
            "the provider should have seen one request, saw {seen:#?}"
        );
        seen.remove(0)
    }

    /// Waits until `n` requests have arrived and returns them.
    #[track_caller]
    pub fn wait_for(&self, n: usize) -> Vec<Seen> {
        wait::until(&format!("{n} requests at the provider"), || {
            let seen = self.seen();
            (seen.len() >= n).then_some(seen)
        })
    }
}

impl Drop for MockProvider {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then closes the port.
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (connection, stream) in listener.incoming().enumerate() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // A connection that breaks is the peer's or the script's doing; `Outcome` keeps it.
            serve(stream, connection, &shared).unwrap_or_default();
        });
    }
}

fn serve(stream: TcpStream, connection: usize, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(Duration::from_secs(120)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(mut seen) = read_request(&mut reader, connection)? {
        let outcome = Arc::new(Mutex::new(Outcome::Answering));
        seen.outcome = Arc::clone(&outcome);
        let nth = {
            let mut all = shared.seen.lock().unwrap();
            all.push(seen.clone());
            all.len() - 1
        };
        let script = Arc::clone(&shared.script.lock().unwrap());
        let answer = script(&seen, nth);
        let keep = answer.keeps_connection();
        let reached = answer.play(&stream, &seen.method);
        *outcome.lock().unwrap() = match &reached {
            Ok(()) if answer.breaks_connection() => Outcome::Broken,
            Ok(()) => Outcome::Answered,
            Err(_) => Outcome::PeerGone,
        };
        reached?;
        if !keep {
            break;
        }
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<TcpStream>, connection: usize) -> io::Result<Option<Seen>> {
    let Some(head) = read_head(reader)? else {
        return Ok(None);
    };
    let mut words = head.first_line.splitn(3, ' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let mut body = BodyReader::new(Framing::of(&head.fields, Framing::None));
    let bytes = body.rest(reader)?;
    Ok(Some(Seen {
        method,
        target,
        fields: head.fields,
        body: bytes,
        trailers: body.trailers,
        connection,
        outcome: Arc::new(Mutex::new(Outcome::Answering)),
    }))
}

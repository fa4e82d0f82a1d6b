//! A provider that answers at once and costs little, on threads of its own.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::answers::{self, DELIVERY_HEADER, Delivery};
use crate::bodies::Api;
use crate::http1::{Messages, find};

/// Bytes of a request's beginning and end that are searched for `include_usage`.
const SEARCHED_BYTES: usize = 4_096;
const COALESCED_BYTES: usize = 16 * 1024;

/// What the streams of a provider are like.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    pub events: usize,
    /// Between two events that are flushed singly, so that each is read singly.
    pub gap: Duration,
}

/// A running provider; it runs until the process ends.
#[derive(Clone, Debug)]
pub struct Provider {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

/// Answers made once, before anything is timed.
#[derive(Debug)]
struct Prepared {
    streams: Streams,
    whole: HashMap<&'static str, Vec<u8>>,
    events: HashMap<(&'static str, bool), Vec<Vec<u8>>>,
    coalesced: HashMap<(&'static str, bool), Vec<Vec<u8>>>,
}

const APIS: [Api; 3] = [Api::AnthropicMessages, Api::OpenaiChat, Api::GeminiGenerate];

const fn name(api: Api) -> &'static str {
    match api {
        Api::AnthropicMessages => "anthropic",
        Api::OpenaiChat | Api::OpenaiResponses => "openai",
        Api::GeminiGenerate => "gemini",
    }
}

fn by_path(path: &str) -> &'static str {
    if path.contains("/messages") {
        "anthropic"
    } else if path.contains("generateContent") || path.contains("GenerateContent") {
        "gemini"
    } else {
        "openai"
    }
}

impl Provider {
    /// Starts a provider on loopback; `port` 0 takes a free one.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn start(port: u16, streams: Streams) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let provider = Self {
            address: listener.local_addr()?,
            requests: Arc::default(),
        };
        let prepared = Arc::new(Prepared::new(streams));
        let requests = Arc::clone(&provider.requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (prepared, requests) = (Arc::clone(&prepared), Arc::clone(&requests));
                // A connection ends when the gateway has no more use for it, in whatever way.
                thread::spawn(move || serve(stream, &prepared, &requests).unwrap_or_default());
            }
        });
        Ok(provider)
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many requests it has read.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Prepared {
    fn new(streams: Streams) -> Self {
        let mut prepared = Self {
            streams,
            whole: HashMap::new(),
            events: HashMap::new(),
            coalesced: HashMap::new(),
        };
        for api in APIS {
            let body = answers::whole(api);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_1\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            prepared
                .whole
                .insert(name(api), (head + &body).into_bytes());
            for include_usage in [false, true] {
                let events = answers::events(api, streams.events, include_usage);
                let all = events.concat();
                let key = (name(api), include_usage);
                prepared.events.insert(
                    key,
                    events.iter().map(|event| chunk(event.as_bytes())).collect(),
                );
                prepared.coalesced.insert(
                    key,
                    all.as_bytes().chunks(COALESCED_BYTES).map(chunk).collect(),
                );
            }
        }
        prepared
    }
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

fn serve(stream: TcpStream, prepared: &Prepared, requests: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut to = stream.try_clone()?;
    let mut messages = Messages::new(stream);
    let mut body = Vec::new();
    while let Some(head) = messages.head()? {
        body.clear();
        messages.body(&head, |piece| body.extend_from_slice(piece))?;
        requests.fetch_add(1, Ordering::Relaxed);
        let api = by_path(head.word(1));
        let delivery = head.field(DELIVERY_HEADER).and_then(Delivery::from_name);
        let delivery = delivery.unwrap_or_else(|| {
            if asks(&body, b"\"stream\":true") {
                Delivery::Coalesced
            } else {
                Delivery::Json
            }
        });
        let key = (api, asks(&body, b"\"include_usage\":true"));
        match delivery {
            Delivery::Json => to.write_all(
                prepared
                    .whole
                    .get(api)
                    .map(Vec::as_slice)
                    .unwrap_or_default(),
            )?,
            Delivery::Flushed => {
                stream_out(&mut to, prepared.events.get(&key), prepared.streams.gap)?
            }
            Delivery::Coalesced => {
                stream_out(&mut to, prepared.coalesced.get(&key), Duration::ZERO)?
            }
        }
    }
    Ok(())
}

fn stream_out(to: &mut TcpStream, writes: Option<&Vec<Vec<u8>>>, gap: Duration) -> io::Result<()> {
    to.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nrequest-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n")?;
    for write in writes.into_iter().flatten() {
        to.write_all(write)?;
        if !gap.is_zero() {
            thread::sleep(gap);
        }
    }
    to.write_all(b"0\r\n\r\n")
}

fn asks(body: &[u8], needle: &[u8]) -> bool {
    let first = body.get(..SEARCHED_BYTES).unwrap_or(body);
    let last = body
        .get(body.len().saturating_sub(SEARCHED_BYTES)..)
        .unwrap_or_default();
    find(first, needle).is_some() || find(last, needle).is_some()
}

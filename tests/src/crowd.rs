//! Two keys on one worker: one sends bodies as large as it may, the other goes on with its small requests.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Answered, Protocol, Request};
use crate::mesh::Mesh;
use crate::mesh::tenant::{Dialect, Registration, Tenant, unique};
use crate::provider::MockProvider;
use crate::provider::answer::Answer;
use crate::wait;

/// Pause of the small client between an answer and its next request.
const PAUSE: Duration = Duration::from_millis(5);

/// What the large bodies are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// Words that no rule asks about.
    Clean,
    /// A secret in every line.
    Secrets,
    /// A keyword in every word and nothing behind it.
    Keywords,
    /// One address after the other.
    Addresses,
}

/// How the large bodies are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Plain,
    Gzip,
    Zstd,
}

impl Coding {
    /// Returns a chat request with this body.
    pub fn request(self, body: &[u8]) -> Request {
        let request = Request::post_bytes("/v1/chat/completions", encoded(body, self));
        match self {
            Self::Plain => request,
            Self::Gzip => request.field("content-encoding", "gzip"),
            Self::Zstd => request.field("content-encoding", "zstd"),
        }
    }
}

/// Bodies that are sent at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Wave {
    pub bodies: usize,
    pub bytes: usize,
    pub text: Text,
    pub coding: Coding,
    pub protocol: Protocol,
}

/// What became of everybody during a wave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How long each small exchange took, the shortest first.
    pub small: Vec<Duration>,
    /// What was wrong with small exchanges.
    pub wrong: Vec<String>,
    /// Status and code of each large exchange.
    pub large: Vec<(u16, String)>,
    pub took: Duration,
}

impl Outcome {
    /// Returns the latency that `percent` of the small exchanges stayed below.
    pub fn percentile(&self, percent: usize) -> Duration {
        let place = (self.small.len() * percent).div_ceil(100).saturating_sub(1);
        self.small.get(place).copied().unwrap_or_default()
    }
}

/// The two clients and their providers on a mesh with one guardrail.
#[derive(Debug)]
pub struct Crowd<'m> {
    mesh: &'m Mesh,
    pub large: Tenant,
    pub small: Tenant,
    large_provider: MockProvider,
    small_provider: MockProvider,
}

impl<'m> Crowd<'m> {
    /// Makes both, and a guardrail that hides secrets and personal data of both.
    #[track_caller]
    pub fn on(mesh: &'m Mesh, stages: &Value) -> Self {
        let provider = || MockProvider::always(Answer::json(200, &json!({"ok": true})));
        let (large_provider, small_provider) = (provider(), provider());
        let tenant = |at: &MockProvider| mesh.tenant(&[Registration::new(Dialect::Openai, at)]);
        let (large, small) = (tenant(&large_provider), tenant(&small_provider));
        mesh.change(|admin| {
            admin.post(
                "/guardrails",
                &json!({"name": unique("crowd"), "stages": stages}),
            )
        });
        Self {
            mesh,
            large,
            small,
            large_provider,
            small_provider,
        }
    }

    /// Sends a wave while the small client goes on; returns when every large exchange has ended.
    #[track_caller]
    pub fn run(&self, wave: Wave) -> Outcome {
        let body = body(wave.text, wave.bytes);
        let request = self.large.sign(wave.coding.request(&body));
        let has_ended = AtomicBool::new(false);
        let started = wait::now();
        let (large, (small, wrong)) = thread::scope(|scope| {
            let small = scope.spawn(|| self.small_client(&has_ended));
            let senders: Vec<_> = (0..wave.bodies)
                .map(|_| scope.spawn(|| request.send(self.mesh.address(), wave.protocol)))
                .collect();
            let large: Vec<_> = senders
                .into_iter()
                .map(|sender| told(sender.join().expect("a sender")))
                .collect();
            has_ended.store(true, Ordering::SeqCst);
            (large, small.join().expect("the small client"))
        });
        self.large_provider.forget();
        Outcome {
            small,
            wrong,
            large,
            took: started.elapsed(),
        }
    }

    fn small_client(&self, has_ended: &AtomicBool) -> (Vec<Duration>, Vec<String>) {
        let (mut took, mut wrong) = (Vec::new(), Vec::new());
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
        let request = self
            .small
            .sign(Request::post("/v1/chat/completions", &body));
        let before = self.small_provider.count();
        while !has_ended.load(Ordering::SeqCst) {
            let started: Instant = wait::now();
            match request.send(self.mesh.address(), Protocol::Http1) {
                Ok(answered) if answered.status == 200 => {}
                Ok(answered) => wrong.push(format!("{} {}", answered.status, answered.text())),
                Err(error) => wrong.push(error.to_string()),
            }
            took.push(started.elapsed());
            // Bodies of 31 MB would pile up.
            self.large_provider.forget();
            thread::sleep(PAUSE);
        }
        let arrived = self.small_provider.count() - before;
        if arrived != took.len() {
            wrong.push(format!("{} were sent, {arrived} arrived", took.len()));
        }
        took.sort_unstable();
        (took, wrong)
    }

    /// Returns the memory of the largest VM, as VMs last reported it.
    #[track_caller]
    pub fn vm_bytes(&self) -> u64 {
        let mesh = self.mesh.admin().get("/mesh");
        let vms = mesh["vms"].as_array().cloned().unwrap_or_default();
        let bytes = vms.iter().map(|vm| vm["counters"]["memory_bytes"].as_u64());
        bytes.flatten().max().unwrap_or_default()
    }
}

fn told(answered: io::Result<Answered>) -> (u16, String) {
    match answered {
        Ok(answered) => (answered.status, answered.weir_code().unwrap_or_default()),
        Err(error) => (0, error.to_string()),
    }
}

/// Returns a request with one string of about `bytes` bytes.
pub fn body(text: Text, bytes: usize) -> Vec<u8> {
    let mut body = br#"{"model":"m","messages":[{"role":"user","content":""#.to_vec();
    let mut words = Words(0x9e37_79b9_7f4a_7c15);
    while body.len() < bytes {
        words.line(text, &mut body);
    }
    body.extend_from_slice(br#""}]}"#);
    body
}

struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn letters(&mut self, count: usize, out: &mut Vec<u8>) {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789xy";
        for _ in 0..count {
            let place = usize::try_from(self.next() >> 58).unwrap_or_default();
            out.push(ALPHABET[place]);
        }
    }

    fn line(&mut self, text: Text, out: &mut Vec<u8>) {
        const WORDS: [&str; 16] = [
            "fn", "let", "match", "return", "value", "buffer", "reader", "index", "self", "state",
            "number", "begins", "where", "under", "length", "order",
        ];
        match text {
            Text::Clean => {
                for _ in 0..9 {
                    let place = usize::try_from(self.next() >> 60).unwrap_or_default();
                    out.extend_from_slice(WORDS[place].as_bytes());
                    out.push(b' ');
                }
                let number = self.next() % 1_000;
                out.extend_from_slice(format!("{number};\\n").as_bytes());
            }
            Text::Secrets => {
                out.extend_from_slice(b"api_key = ghp_");
                self.letters(36, out);
                out.extend_from_slice(b"\\n");
            }
            Text::Keywords => {
                out.extend_from_slice(b"key= token= secret= password= api= auth= ");
            }
            Text::Addresses => {
                let number = self.next() % 10_000_000;
                out.extend_from_slice(format!("a{number}@example.org ").as_bytes());
            }
        }
    }
}

fn encoded(body: &[u8], coding: Coding) -> Vec<u8> {
    match coding {
        Coding::Plain => body.to_vec(),
        Coding::Gzip => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(body).expect("memory");
            encoder.finish().expect("memory")
        }
        Coding::Zstd => {
            ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest)
        }
    }
}

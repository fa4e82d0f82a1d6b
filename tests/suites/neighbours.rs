//! Two keys on one worker: one client does its worst, the other, at an address of its own, goes on as if nobody were
//! there. It notices no more than a wait: nothing of its is refused, lost or sent elsewhere.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::client::Request;
use weir_tests::client::h1::Connection;
use weir_tests::crowd::{Coding, Text, body};
use weir_tests::mesh::tenant::{self, Dialect, Registration, Tenant, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::namespace;
use weir_tests::not_tested;
use weir_tests::provider::answer::{Answer, Step};
use weir_tests::provider::{MockProvider, openai};
use weir_tests::tokens::Tokens;
use weir_tests::wait::{self, Gate};

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const VICTIM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// What the victim may wait at the 99th percentile.
const CALM: Duration = Duration::from_millis(250);
/// The same while the largest bodies are read.
const HEAVY: Duration = Duration::from_secs(1);

/// Pause of each of eight threads that open connections again and again. The ports of closed ones are taken for a
/// minute, and a machine has 28,000 of them for everybody: the mesh is to be short of something, not this machine.
const PACE: Duration = Duration::from_millis(30);

/// How long each attack lasts, if `WEIR_TEST_ATTACK_SECS` says nothing else.
const ATTACK: Duration = Duration::from_secs(60);

/// Both keys, and the provider that both may use.
struct Street {
    mesh: Mesh,
    provider: MockProvider,
    /// Takes every model: whoever is sent elsewhere ends here.
    elsewhere: MockProvider,
    attacker: Tenant,
    victim: Tenant,
    /// How many requests of the victim reached the provider.
    arrived: Arc<AtomicUsize>,
}

impl Street {
    /// The provider answers the victim, and the attacker by `worst`.
    fn new(descriptors: Option<usize>, worst: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        let mesh = Mesh::start(&Options {
            workers: 1,
            descriptors,
            ..Options::default()
        });
        let arrived = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&arrived);
        let provider = MockProvider::start(move |seen, _| {
            if seen.body.len() < 1_000 && seen.mentions("m-victim") {
                counted.fetch_add(1, Ordering::SeqCst);
                let body = openai::chat("m", "hello", Tokens::new(1, 1));
                Answer::json(200, &body)
            } else {
                worst()
            }
        });
        let elsewhere = MockProvider::always(Answer::json(200, &json!({"elsewhere": true})));
        let named =
            Registration::new(Dialect::Openai, &provider).with("models", json!(["m", "m-*"]));
        let any = Registration::new(Dialect::Openai, &elsewhere);
        let attacker = mesh.tenant(&[named, any]);
        let victim = mesh.change(|admin| {
            let providers: Vec<&str> = attacker.providers.iter().map(String::as_str).collect();
            let access = tenant::access(&providers, &["*"]);
            let team = tenant::team(admin);
            let (key_id, key) = tenant::key(admin, &team, &json!({"access": access}));
            Tenant {
                team,
                key_id,
                key,
                providers: attacker.providers.clone(),
            }
        });
        Self {
            mesh,
            provider,
            elsewhere,
            attacker,
            victim,
            arrived,
        }
    }

    fn connect(&self) -> std::io::Result<Connection> {
        Connection::open_from(ATTACKER, self.mesh.address())
    }

    /// Runs `attack` in `threads` threads, each again and again, while the victim works; it returns what it did.
    fn withstands(&self, most: Duration, threads: usize, attack: impl Fn(usize) -> usize + Sync) {
        let has_ended = AtomicBool::new(false);
        let done = AtomicUsize::new(0);
        let began = wait::now();
        let (mut took, wrong) = thread::scope(|scope| {
            let victim = scope.spawn(|| self.work(&has_ended));
            for nth in 0..threads {
                let (attack, has_ended, done) = (&attack, &has_ended, &done);
                scope.spawn(move || {
                    while !has_ended.load(Ordering::SeqCst) {
                        done.fetch_add(attack(nth), Ordering::SeqCst);
                    }
                });
            }
            while began.elapsed() < attack_time() {
                thread::sleep(Duration::from_millis(100));
            }
            has_ended.store(true, Ordering::SeqCst);
            victim.join().expect("the victim")
        });
        took.sort_unstable();
        let percentile = |percent: usize| {
            let place = (took.len() * percent).div_ceil(100).saturating_sub(1);
            took.get(place).copied().unwrap_or_default()
        };
        let told = format!(
            "median {:?}, p99 {:?}, longest {:?} of {} exchanges beside {} acts of the attacker",
            percentile(50),
            percentile(99),
            percentile(100),
            took.len(),
            done.load(Ordering::SeqCst),
        );
        eprintln!("neighbours: {told}");
        assert_eq!(wrong, Vec::<String>::new(), "{told}");
        assert!(percentile(99) <= most, "{told}");
        assert!(done.load(Ordering::SeqCst) > 0, "nobody attacked");
        self.nothing_is_lost(took.len());
    }

    /// What the victim does: one request after the other, each over a connection of its own.
    fn work(&self, has_ended: &AtomicBool) -> (Vec<Duration>, Vec<String>) {
        let content = json!([{"role": "user", "content": "hello"}]);
        let request = self.victim.sign(Request::post(
            "/v1/chat/completions",
            &json!({"model": "m-victim", "messages": content}),
        ));
        let (mut took, mut wrong) = (Vec::new(), Vec::new());
        while !has_ended.load(Ordering::SeqCst) {
            let started = wait::now();
            let answered = Connection::open_from(VICTIM, self.mesh.address())
                .and_then(|mut connection| connection.exchange(&request));
            took.push(started.elapsed());
            match answered {
                Ok(answered) if answered.status == 200 && answered.complete => {}
                Ok(answered) => wrong.push(format!("{} {}", answered.status, answered.text())),
                Err(error) => wrong.push(error.to_string()),
            }
            // Large bodies would pile up.
            self.provider.forget();
            thread::sleep(Duration::from_millis(10));
        }
        (took, wrong)
    }

    fn nothing_is_lost(&self, sent: usize) {
        assert_eq!(self.arrived.load(Ordering::SeqCst), sent);
        assert_eq!(self.elsewhere.count(), 0, "somebody was sent elsewhere");
        let records = self.mesh.wait_records(&self.victim.key_id, sent);
        let told = |record: &&Value| record["ended"] != "complete" || record["status"] != 200;
        let odd: Vec<&Value> = records.iter().filter(told).collect();
        assert!(odd.is_empty(), "{odd:#?}");
    }
}

fn attack_time() -> Duration {
    let said = std::env::var("WEIR_TEST_ATTACK_SECS").ok();
    let secs = said.and_then(|secs| secs.parse().ok());
    secs.map_or(ATTACK, Duration::from_secs)
}

/// One attack at a time: each measures.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn hello() -> Answer {
    Answer::json(200, &openai::chat("m", "hello", Tokens::new(1, 1)))
}

fn asked(model: &str, stream: bool) -> Request {
    let content = json!([{"role": "user", "content": "hello"}]);
    let body = json!({"model": model, "stream": stream, "messages": content});
    Request::post("/v1/chat/completions", &body)
}

/// The rule that the guide gives, for the listener of this mesh.
fn rule_by_source(port: u16) -> String {
    let guide = include_str!("../../docs/limits.md");
    let (_, rule) = guide
        .split_once("```\ntable inet weir")
        .expect("a rule in the guide");
    let (rule, _) = rule.split_once("\n```").expect("the end of the rule");
    format!("table inet weir{rule}\n").replace("dport 8080", &format!("dport {port}"))
}

/// Makes the kernel count connections by source.
fn load(rule: &str) -> Result<(), String> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("nft: {error}"))?;
    let mut input = nft.stdin.take().expect("a pipe");
    input
        .write_all(rule.as_bytes())
        .map_err(|error| format!("nft: {error}"))?;
    drop(input);
    let output = nft
        .wait_with_output()
        .map_err(|error| format!("nft: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// A client that asks over one connection as long as that lasts: closed ones hold their ports for a minute.
#[derive(Default)]
struct Client(Mutex<Option<Connection>>);

impl Client {
    fn ask(&self, street: &Street, request: &Request) -> std::io::Result<u16> {
        let mut kept = self.0.lock().unwrap();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => street.connect()?,
        };
        let answered = connection.exchange(request)?;
        if answered.field("connection").as_deref() != Some("close") {
            *kept = Some(connection);
        }
        Ok(answered.status)
    }
}

/// Keeps what was opened, a bounded number of it.
struct Held(Mutex<VecDeque<Connection>>);

impl Held {
    const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    fn keep(&self, connection: Connection, most: usize) {
        let mut held = self.0.lock().unwrap();
        held.push_back(connection);
        if held.len() > most {
            held.pop_front();
        }
    }
}

#[test]
fn silent_connections() {
    let _alone = alone();
    if !namespace::is_inside() {
        let patience = attack_time() + Duration::from_secs(180);
        return match namespace::again("silent_connections", patience) {
            Ok(run) => {
                assert!(run.succeeded(), "{}", run.text());
                // What was measured or not tested in there is said out here.
                eprint!("{}", run.text());
            }
            Err(obstacle) => not_tested("silent connections under a rule by source", &obstacle),
        };
    }
    // A third of these is far less than the attacker tries to open.
    let street = Street::new(Some(3_000), hello);
    if let Err(obstacle) = load(&rule_by_source(street.mesh.address().port())) {
        return not_tested("silent connections under a rule by source", &obstacle);
    }
    let held = Held::new();
    street.withstands(CALM, 4, |_| {
        let opened = street.connect();
        let is_open = opened.is_ok();
        if let Ok(connection) = opened {
            held.keep(connection, 2_000);
        }
        thread::sleep(Duration::from_millis(1));
        usize::from(!is_open)
    });
}

#[test]
fn half_requests() {
    let _alone = alone();
    let street = Street::new(None, hello);
    let held = Held::new();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n";
    let bearer = format!("authorization: Bearer {}\r\n", street.attacker.key);
    let typed = "content-type: application/json\r\n";
    let halves = [
        "PO".to_owned(),
        head.to_owned(),
        format!("{head}{bearer}x-filler: "),
        format!("{head}{bearer}{typed}content-length: 100000\r\n\r\n{{\"model\":\"m-half\","),
        format!("{head}{bearer}{typed}transfer-encoding: chunked\r\n\r\n5\r\n{{\"mod"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\u{4}".to_owned(),
    ];
    street.withstands(CALM, 2, |nth| {
        let half = &halves[held.0.lock().unwrap().len().wrapping_add(nth) % halves.len()];
        if let Ok(mut connection) = street.connect()
            && connection.write_raw(half.as_bytes()).is_ok()
        {
            held.keep(connection, 600);
            thread::sleep(Duration::from_millis(10));
            return 1;
        }
        0
    });
}

/// What the provider refuses to one is no reason to take its key from the other.
#[test]
fn refusals_of_the_provider() {
    let _alone = alone();
    let street = Street::new(None, || {
        let error = json!({"error": {"message": "no access", "type": "invalid_request_error"}});
        Answer::json(403, &error)
    });
    let request = street.attacker.sign(asked("m-forbidden", false));
    let clients: [Client; 4] = Default::default();
    street.withstands(CALM, clients.len(), |nth| {
        let status = clients[nth].ask(&street, &request);
        usize::from(status.is_ok_and(|status| status == 403))
    });
}

#[test]
fn floods_of_bad_keys() {
    let _alone = alone();
    let street = Street::new(None, hello);
    let next = AtomicUsize::new(1);
    let clients: [Client; 8] = Default::default();
    street.withstands(CALM, clients.len(), |nth| {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let mut random = [0; 32];
        random[..8].copy_from_slice(&number.to_be_bytes());
        let key = policy::key::VirtualKeySecret::from_bytes(random);
        // Every other one is cut: it is refused before anybody is asked.
        let whole = key.expose();
        let shown = if nth.is_multiple_of(2) {
            whole
        } else {
            &whole[..40]
        };
        let request = asked("m-flood", false).bearer(shown);
        let status = clients[nth].ask(&street, &request);
        thread::sleep(PACE);
        usize::from(status.is_ok_and(|status| status == 401))
    });
}

#[test]
fn a_thousand_streams() {
    let _alone = alone();
    let gate = Gate::new();
    let pass = gate.clone();
    let street = Street::new(None, move || {
        Answer::sse(openai::chat_stream("m", "hello", None)).before(1, Step::Wait(pass.clone()))
    });
    let request = street.attacker.sign(asked("m-stream", true));
    let running: [Mutex<Vec<_>>; 8] = Default::default();
    street.withstands(CALM, running.len(), |nth| {
        let mut running = running[nth].lock().unwrap();
        if running.len() >= 125 {
            thread::sleep(Duration::from_millis(20));
            return 0;
        }
        let begun = street.connect().and_then(|it| it.begin(&request));
        match begun {
            Ok(stream) if stream.status == 200 => running.push(stream),
            // More than one key may have: it tries again, at the pace that ports last.
            Ok(_) | Err(_) => thread::sleep(PACE),
        }
        1
    });
    gate.open();
}

#[test]
fn large_bodies() {
    let _alone = alone();
    let street = Street::new(None, hello);
    let hide = json!({"redact": {"replace": {}}});
    street.mesh.change(|admin| {
        let stages = json!([
            {"detectors": [{"secrets": {}}], "action": hide},
            {"detectors": [{"pii": {}}], "action": hide},
        ]);
        admin.post(
            "/guardrails",
            &json!({"name": unique("street"), "stages": stages}),
        )
    });
    let requests = [
        (Text::Secrets, Coding::Plain),
        (Text::Clean, Coding::Gzip),
        (Text::Addresses, Coding::Zstd),
        (Text::Keywords, Coding::Plain),
    ]
    .map(|(text, coding)| {
        street
            .attacker
            .sign(coding.request(&body(text, 31_000_000)))
    });
    street.withstands(HEAVY, requests.len(), |nth| {
        let answered = street
            .connect()
            .and_then(|mut it| it.exchange(&requests[nth]));
        usize::from(answered.is_ok())
    });
}

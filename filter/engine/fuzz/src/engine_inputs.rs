//! Inputs in any order, also those that no proxy would send: nothing panics, decisions and records come at most once.

use std::cell::RefCell;
use std::rc::Rc;

use arbitrary::Unstructured;
use engine::messages::{AttemptNumber, CallId, ClosedBy, ConsultAnswer, Governed, KeyNow};
use engine::quota::Desk;
use engine::{Command, Exchange, ExchangeSeed, Flow, Headers, Input};
use policy::compiled::Mesh;
use policy::ids::{ExchangeId, HolderId};
use policy::units::Timestamp;
use uuid::Uuid;

use super::world::World;

/// What may happen to an exchange.
#[derive(Debug)]
enum Transition<'a> {
    RequestHeaders {
        pairs: Vec<(&'static str, &'a [u8])>,
        ends: bool,
    },
    KeyFound(u8),
    RequestBody {
        chunk: &'a [u8],
        ends: bool,
    },
    RequestTrailers,
    Consulted {
        call: u8,
        answer: u8,
    },
    DeadlinePassed {
        late_ms: u16,
    },
    AttemptStarted {
        number: u8,
        host: u8,
    },
    AttemptHeaders {
        number: u8,
        status: u16,
        pairs: Vec<(&'static str, &'a [u8])>,
        ends: bool,
    },
    AttemptBody {
        number: u8,
        chunk: &'a [u8],
        ends: bool,
    },
    ResponseHeaders {
        status: u16,
        ends: bool,
    },
    ResponseEnded,
    /// Policy changes: to another one, and the key to what it is there.
    Governed {
        to: u8,
        key: u8,
    },
    Closed(u8),
}

const NAMES: [&str; 12] = [
    ":method",
    ":path",
    ":authority",
    "x-api-key",
    "authorization",
    "content-type",
    "content-length",
    "content-encoding",
    "user-agent",
    "x-weir-canary",
    "x-weir-key",
    "upgrade",
];

/// Values that get past the first checks; fuzzing adds its own.
const VALUES: [&[u8]; 9] = [
    b"POST",
    b"/v1/messages",
    b"/v1/chat/completions",
    b"localhost",
    b"application/json",
    b"text/event-stream",
    b"GET",
    b"/weir/canary",
    b"canary",
];

const HOSTS: [Option<&str>; 4] = [
    None,
    Some("anthropic-a"),
    Some("openai-a"),
    Some("elsewhere"),
];

fn bytes<'a>(input: &mut Unstructured<'a>) -> arbitrary::Result<&'a [u8]> {
    let length = usize::from(input.arbitrary::<u8>()?);
    input.bytes(length.min(input.len()))
}

/// `n`, then for each header a name and a value: a number of [`VALUES`], or else bytes.
fn pairs<'a>(input: &mut Unstructured<'a>) -> arbitrary::Result<Vec<(&'static str, &'a [u8])>> {
    let mut pairs = Vec::new();
    for _ in 0..input.arbitrary::<u8>()? % 8 {
        let name = NAMES
            .get(usize::from(input.arbitrary::<u8>()?) % NAMES.len())
            .copied()
            .unwrap_or_default();
        let value = match VALUES.get(usize::from(input.arbitrary::<u8>()?) % 16) {
            Some(value) => *value,
            None => bytes(input)?,
        };
        pairs.push((name, value));
    }
    Ok(pairs)
}

impl<'a> Transition<'a> {
    fn read(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let kind = input.arbitrary::<u8>()?;
        if kind >= 240 {
            return Ok(Self::Governed {
                to: input.arbitrary()?,
                key: input.arbitrary()?,
            });
        }
        Ok(match kind % 12 {
            0 => Self::RequestHeaders {
                pairs: pairs(input)?,
                ends: input.arbitrary()?,
            },
            1 => Self::KeyFound(input.arbitrary()?),
            2 => Self::RequestBody {
                chunk: bytes(input)?,
                ends: input.arbitrary()?,
            },
            3 => Self::RequestTrailers,
            4 => Self::Consulted {
                call: input.arbitrary()?,
                answer: input.arbitrary()?,
            },
            5 => Self::DeadlinePassed {
                late_ms: input.arbitrary()?,
            },
            6 => Self::AttemptStarted {
                number: input.arbitrary()?,
                host: input.arbitrary()?,
            },
            7 => Self::AttemptHeaders {
                number: input.arbitrary()?,
                status: input.arbitrary()?,
                pairs: pairs(input)?,
                ends: input.arbitrary()?,
            },
            8 => Self::AttemptBody {
                number: input.arbitrary()?,
                chunk: bytes(input)?,
                ends: input.arbitrary()?,
            },
            9 => Self::ResponseHeaders {
                status: input.arbitrary()?,
                ends: input.arbitrary()?,
            },
            10 => Self::ResponseEnded,
            _ => Self::Closed(input.arbitrary()?),
        })
    }
}

struct Machine<'a> {
    world: &'a World,
    exchange: Exchange,
    now: Timestamp,
    replies: usize,
    forwards: usize,
    records: usize,
    closed: bool,
}

impl Machine<'_> {
    fn apply(&mut self, transition: &Transition<'_>) {
        match transition {
            Transition::RequestHeaders { pairs, ends } => {
                let headers = Rc::new(headers(pairs, &self.world.secret(0)));
                self.push(Input::RequestHeaders {
                    headers: &headers,
                    end_of_stream: *ends,
                });
            }
            Transition::KeyFound(number) => {
                let key = self.world.keys.values().nth(usize::from(*number)).cloned();
                self.push(Input::KeyFound(key));
            }
            Transition::RequestBody { chunk, ends } => self.push(Input::RequestBody {
                chunk,
                end_of_stream: *ends,
            }),
            Transition::RequestTrailers => self.push(Input::RequestTrailers),
            Transition::Consulted { call, answer } => {
                let answer = match answer % 3 {
                    0 => ConsultAnswer::Owned,
                    1 => ConsultAnswer::NotOwned,
                    _ => ConsultAnswer::Unreachable,
                };
                self.push(Input::Consulted {
                    call: CallId(u32::from(*call)),
                    answer,
                });
            }
            Transition::DeadlinePassed { late_ms } => self.pass_time(u64::from(*late_ms)),
            Transition::AttemptStarted { number, host } => {
                let host_provider = HOSTS
                    .get(usize::from(*host) % HOSTS.len())
                    .copied()
                    .flatten();
                self.push(Input::AttemptStarted {
                    number: AttemptNumber(u32::from(*number)),
                    host_provider,
                });
            }
            Transition::AttemptHeaders {
                number,
                status,
                pairs,
                ends,
            } => {
                let headers = headers(pairs, "");
                self.push(Input::AttemptHeaders {
                    number: AttemptNumber(u32::from(*number)),
                    status: *status,
                    headers: &headers,
                    end_of_stream: *ends,
                });
            }
            Transition::AttemptBody {
                number,
                chunk,
                ends,
            } => {
                self.push(Input::AttemptBody {
                    number: AttemptNumber(u32::from(*number)),
                    chunk,
                    end_of_stream: *ends,
                });
            }
            Transition::ResponseHeaders { status, ends } => self.push(Input::ResponseHeaders {
                status: *status,
                details: "",
                end_of_stream: *ends,
            }),
            Transition::ResponseEnded => self.push(Input::ResponseEnded),
            Transition::Governed { to, key } => self.govern(*to, *key),
            Transition::Closed(peer) => self.close(*peer),
        }
    }

    fn govern(&mut self, to: u8, key: u8) {
        let mut mesh = (*self.world.mesh).clone();
        change(&mut mesh, to);
        let key = match key % 8 {
            0 => KeyNow::AsBefore,
            number => {
                let found = self.world.keys.values().nth(usize::from(number - 1));
                found.cloned().map_or(KeyNow::Gone, KeyNow::Is)
            }
        };
        let governed = Governed {
            mesh: Rc::new(mesh),
            guard: None,
            limits: Rc::default(),
            key,
        };
        self.push(Input::Governed(&governed));
    }

    fn pass_time(&mut self, late_ms: u64) {
        self.now = Timestamp::from_millis(self.now.as_millis() + late_ms);
        self.push(Input::DeadlinePassed);
        let waits = self
            .exchange
            .poll_deadline()
            .is_some_and(|deadline| deadline <= self.now);
        assert!(!waits, "a passed deadline was not decided");
    }

    fn close(&mut self, peer: u8) {
        let peer = match peer % 3 {
            0 => ClosedBy::Nobody,
            1 => ClosedBy::Client,
            _ => ClosedBy::Proxy,
        };
        self.push(Input::Closed {
            peer,
            response_bytes: 1,
        });
        self.closed = true;
        assert!(!self.exchange.is_running(), "runs on after its end");
        assert!(
            self.forwards == 0 || self.records == 1,
            "forwarded and not recorded"
        );
    }

    fn push(&mut self, input: Input<'_>) {
        let (Flow::Continue | Flow::Hold) = self.exchange.handle(self.now, input);
        while let Some(command) = self.exchange.poll_command() {
            match command {
                Command::FindKey(hash) => {
                    // Sometimes nobody answers; the next transition may be a stray.
                    if self.world.key(&hash).is_some() {
                        let key = self.world.key(&hash);
                        let (Flow::Continue | Flow::Hold) =
                            self.exchange.handle(self.now, Input::KeyFound(key));
                    }
                }
                Command::Reply(_) | Command::AnswerCanary { .. } => self.replies += 1,
                Command::Forward { .. } => self.forwards += 1,
                Command::Record(_) => self.records += 1,
                Command::Consult { .. } => {
                    assert!(
                        self.exchange.poll_deadline().is_some(),
                        "a question without a deadline"
                    );
                }
                Command::EditAttempt { .. } | Command::SplicePrefix(_) => {
                    assert!(self.forwards == 1, "an attempt of what was not forwarded");
                }
                Command::TakeCredit(_) => {
                    let (Flow::Continue | Flow::Hold) =
                        self.exchange.handle(self.now, Input::CreditTaken(None));
                }
                Command::FindSpares(_) => {
                    let (Flow::Continue | Flow::Hold) =
                        self.exchange.handle(self.now, Input::SparesFound(&[]));
                }
                Command::FindMarks(_) => {
                    let (Flow::Continue | Flow::Hold) =
                        self.exchange.handle(self.now, Input::MarksFound(&[]));
                }
                Command::RefuseAttempt(_)
                | Command::KeepMarks(_)
                | Command::KeepOwned(_)
                | Command::KeepItem(_)
                | Command::KeepTokens(_)
                | Command::SpliceAnswer(_)
                | Command::RewriteAnswer(_)
                | Command::ResetStream
                | Command::ConsultLater { .. }
                | Command::ReplaceChunk(_)
                | Command::RewriteResponse(_)
                | Command::EditResponse { .. } => {}
            }
        }
        assert!(self.replies + self.forwards <= 1, "decided more than once");
        assert!(self.records <= 1, "recorded more than once");
        assert!(
            self.records == 0 || !self.exchange.is_running(),
            "recorded while it runs"
        );
    }
}

/// Moves the providers to other places of their list, or takes them away.
fn change(mesh: &mut Mesh, to: u8) {
    match to % 4 {
        0 => {}
        1 => drop(mesh.providers.remove(0)),
        2 => {
            if let Some(mut first) = mesh.providers.first().cloned() {
                first.name = "a".to_owned();
                mesh.providers.insert(0, first);
            }
        }
        _ => mesh.providers.clear(),
    }
}

fn headers(pairs: &[(&str, &[u8])], key: &str) -> Headers {
    let mut all: Vec<_> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
        .collect();
    if !key.is_empty() {
        all.push(("x-api-key".to_owned(), key.as_bytes().to_vec()));
    }
    Headers::new(all)
}

/// Runs one input.
pub fn run(input: &[u8]) {
    thread_local! {
        static WORLD: World = World::new();
    }
    WORLD.with(|world| {
        let mut input = Unstructured::new(input);
        let now = Timestamp::from_millis(1_700_000_000_000);
        let Ok(flags) = input.arbitrary::<u8>() else {
            return;
        };
        let seed = ExchangeSeed {
            id: ExchangeId::new(Uuid::from_u128(1)),
            mesh: (flags & 1 == 0).then(|| Rc::clone(&world.mesh)),
            mesh_is_stale: flags & 6 == 6,
            guard: None,
            limits: Rc::default(),
            desk: Rc::new(RefCell::new(Desk::new(HolderId::from_bytes([0; 16])))),
            side_by_side: Default::default(),
            dropped: Rc::default(),
            cooling: Rc::default(),
            records_are_full: flags & 24 == 24,
            now,
        };
        let mut machine = Machine {
            world,
            exchange: Exchange::new(seed),
            now,
            replies: 0,
            forwards: 0,
            records: 0,
            closed: false,
        };
        while !input.is_empty() {
            let Ok(transition) = Transition::read(&mut input) else {
                break;
            };
            machine.apply(&transition);
        }
        if !machine.closed {
            machine.close(0);
        }
    });
}

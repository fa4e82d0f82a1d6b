//! Whole exchanges as an adapter drives them: nothing depends on chunks, every request ends in a decision, there is
//! one record, and no provider sees a credential but its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use arbitrary::Unstructured;
use dialects::splice::apply;
use engine::messages::{AttemptNumber, CallId, ClosedBy, ConsultAnswer};
use engine::quota::Desk;
use engine::{Command, Exchange, ExchangeSeed, HeaderEdit, Headers, Input};
use policy::ids::{ExchangeId, HolderId};
use policy::units::Timestamp;
use uuid::Uuid;

use super::chunks;
use super::world::World;

const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);

const METHODS: [&str; 4] = ["POST", "GET", "HEAD", "DELETE"];

const PATHS: [&str; 42] = [
    "/v1/messages",
    "/v1/messages?beta=true",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/messages/count_tokens",
    "/v1/models",
    "/v1beta/models",
    "/v1beta/models/gemini-a:generateContent",
    "/v1beta/models/gemini-a:streamGenerateContent?alt=sse&key={key}",
    "/v1beta/models/gemini-a:streamGenerateContent",
    "/v1beta/models/gemini-a:batchEmbedContents",
    "/anthropic/v1/messages",
    "/openai/v1/chat/completions",
    "/genai/v1beta/models/gemini-a:countTokens",
    "/p/anthropic-b/v1/messages",
    "/p/nobody/v1/messages",
    "/v1/files/file_1",
    "/v1/organizations/x",
    "/",
    "/weir/canary",
    "/v1//messages",
    "/v1/%2e%2e/messages",
    "/nothing",
    "/p/azure-a/v1/chat/completions",
    "/v1/chat/completions?api-version=2099-01-01",
    "/v1/chat/completions?%61pi-version=2099-01-01&x=1",
    "/v1beta/tunedModels/cats:generateContent",
    "/tunedModels/gemini-a:streamGenerateContent?alt=sse",
    "/models/gemini-a:generateContent?$alt=json%3Benum-encoding%3Dint",
    "/v1beta/models/gemini-a/../x:generateContent",
    "/v1beta/models/a:b:generateContent",
    "/v1beta/models/tunedModels/cats:generateContent",
    "/v1beta/TunedModels/cats:generateContent",
    "/v1beta/models/gemini-a:generateContent?fields=candidates",
    "/v1beta/models/gemini-a:generateContent?alt=%70roto&%6bey={key}",
    "/v1beta/models/gemini-a:generateContent?KEY={key}&alt=sse",
    "/v1beta/models/gemini-a:generateContent?key={key}&key={key}",
    "/v1/files/file_1?purpose=x&fields=y",
    "/v1/messages?beta=true&access_token={key}",
    "/v1/images/edits",
    "/v1/unheard",
];

/// Headers that a client may send; `{key}` becomes its virtual key.
const HEADERS: [(&str, &str); 22] = [
    ("x-api-key", "{key}"),
    ("authorization", "Bearer {key}"),
    ("authorization", "Bearer sk-ant-own-login"),
    ("x-weir-key", "{key}"),
    ("x-bf-vk", "{key}"),
    ("api-key", "{key}"),
    ("x-goog-api-key", "{key}"),
    ("x-goog-api-key", "AIza-own"),
    ("x-anything", "see {key} here"),
    ("content-type", "application/json; charset=utf-8"),
    ("content-type", "text/plain"),
    ("content-encoding", "lz4"),
    ("anthropic-version", "2023-06-01"),
    ("user-agent", "claude-cli/2.1.300 (external, cli)"),
    ("user-agent", "codex_cli_rs/0.169.0"),
    ("x-claude-code-session-id", "s-1"),
    ("x-weir-plan", "provider/anthropic-a"),
    ("x-envoy-max-retries", "9"),
    ("x-weir-canary", "canary"),
    ("upgrade", "websocket"),
    ("content-length", "70000"),
    ("proxy-authorization", "Basic {key}"),
];

const HOSTS: [&str; 4] = [
    "localhost:8080",
    "api.anthropic.com",
    "127.0.0.1",
    "elsewhere.test",
];

const STATUSES: [u16; 6] = [200, 200, 429, 500, 401, 404];

const TYPES: [&str; 4] = [
    "application/json",
    "text/event-stream; charset=utf-8",
    "text/event-stream",
    "text/html",
];

/// One exchange as an input describes it.
#[derive(Debug)]
struct Script<'a> {
    method: &'static str,
    path: &'static str,
    host: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    key: u8,
    consult: u8,
    cutting: u8,
    /// Of each attempt, in order.
    answers: Vec<(u16, &'static str)>,
    /// An attempt goes to a host that is not in the plan.
    misled: bool,
    ends: Ends,
    body: &'a [u8],
    answer: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Well,
    /// The end of the answer comes in a callback of its own.
    WithTrailers,
    ClientGone,
    Shutdown,
}

fn pick<T: Copy>(input: &mut Unstructured<'_>, from: &[T]) -> arbitrary::Result<T> {
    let at = usize::from(input.arbitrary::<u8>()?) % from.len();
    from.get(at).copied().ok_or(arbitrary::Error::EmptyChoose)
}

impl<'a> Script<'a> {
    /// ```text
    /// method path host key consult cutting flags  n n×header  m m×(status type)  length(2, LE) body  answer
    /// ```
    fn read(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let (method, path, host) = (
            pick(input, &METHODS)?,
            pick(input, &PATHS)?,
            pick(input, &HOSTS)?,
        );
        let (key, consult, cutting, flags) = (
            input.arbitrary()?,
            input.arbitrary()?,
            input.arbitrary()?,
            input.arbitrary::<u8>()?,
        );
        let mut headers = Vec::new();
        for _ in 0..input.arbitrary::<u8>()? % 8 {
            headers.push(pick(input, &HEADERS)?);
        }
        let mut answers = Vec::new();
        for _ in 0..input.arbitrary::<u8>()? % 4 {
            answers.push((pick(input, &STATUSES)?, pick(input, &TYPES)?));
        }
        let length = usize::from(input.arbitrary::<u16>()?).min(input.len());
        let body = input.bytes(length)?;
        let answer = input.bytes(input.len())?;
        let ends = match flags % 4 {
            0 => Ends::Well,
            1 => Ends::WithTrailers,
            2 => Ends::ClientGone,
            _ => Ends::Shutdown,
        };
        Ok(Self {
            method,
            path,
            host,
            headers,
            key,
            consult,
            cutting,
            answers,
            misled: flags & 0x40 != 0,
            ends,
            body,
            answer,
        })
    }

    fn request_headers(&self, world: &World) -> Headers {
        let secret = world.secret(self.key);
        let mut pairs = vec![
            (":method".to_owned(), self.method.as_bytes().to_vec()),
            (
                ":path".to_owned(),
                self.path.replace("{key}", &secret).into_bytes(),
            ),
            (":authority".to_owned(), self.host.as_bytes().to_vec()),
        ];
        pairs.extend(self.headers.iter().map(|(name, value)| {
            (
                (*name).to_owned(),
                value.replace("{key}", &secret).into_bytes(),
            )
        }));
        if !self.headers.iter().any(|(name, _)| *name == "content-type") {
            pairs.push(("content-type".to_owned(), b"application/json".to_vec()));
        }
        Headers::new(pairs)
    }
}

/// What an exchange came to, chunk boundaries left out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    told: Vec<String>,
    upstream: Vec<Vec<u8>>,
    client: Vec<u8>,
    records: usize,
    decided: bool,
}

struct Driver<'a> {
    world: &'a World,
    script: &'a Script<'a>,
    exchange: Exchange,
    /// The header map that all attempts share.
    map: BTreeMap<String, Vec<Vec<u8>>>,
    cluster: Option<String>,
    outcome: Outcome,
}

impl Driver<'_> {
    /// Pushes one input and does what is asked in answer; returns the bytes that stand in a chunk's place.
    fn push(&mut self, input: Input<'_>) -> Option<Vec<u8>> {
        let (engine::Flow::Continue | engine::Flow::Hold) = self.exchange.handle(T0, input);
        let mut replaced = None;
        while let Some(command) = self.exchange.poll_command() {
            match command {
                Command::FindKey(hash) => {
                    let key = self.world.key(&hash);
                    let (engine::Flow::Continue | engine::Flow::Hold) =
                        self.exchange.handle(T0, Input::KeyFound(key));
                }
                Command::Consult { call, .. } => self.consult(call),
                Command::TakeCredit(_) => {
                    let (engine::Flow::Continue | engine::Flow::Hold) =
                        self.exchange.handle(T0, Input::CreditTaken(None));
                }
                Command::FindSpares(_) => {
                    let (engine::Flow::Continue | engine::Flow::Hold) =
                        self.exchange.handle(T0, Input::SparesFound(&[]));
                }
                Command::FindMarks(_) => {
                    let (engine::Flow::Continue | engine::Flow::Hold) =
                        self.exchange.handle(T0, Input::MarksFound(&[]));
                }
                Command::ReplaceChunk(bytes) => replaced = Some(bytes),
                other @ (Command::Reply(_)
                | Command::AnswerCanary { .. }
                | Command::Forward { .. }
                | Command::EditAttempt { .. }
                | Command::SplicePrefix(_)
                | Command::RefuseAttempt(_)
                | Command::KeepMarks(_)
                | Command::KeepOwned(_)
                | Command::KeepItem(_)
                | Command::KeepTokens(_)
                | Command::SpliceAnswer(_)
                | Command::RewriteAnswer(_)
                | Command::ResetStream
                | Command::ConsultLater { .. }
                | Command::RewriteResponse(_)
                | Command::EditResponse { .. }
                | Command::Record(_)) => self.carry_out(other),
            }
        }
        replaced
    }

    fn consult(&mut self, call: CallId) {
        let answer = match self.script.consult % 4 {
            0 => ConsultAnswer::Owned,
            1 => ConsultAnswer::NotOwned,
            2 => ConsultAnswer::Unreachable,
            _ => {
                let deadline = self
                    .exchange
                    .poll_deadline()
                    .expect("a question has a deadline");
                let (engine::Flow::Continue | engine::Flow::Hold) =
                    self.exchange.handle(deadline, Input::DeadlinePassed);
                assert!(
                    self.exchange.poll_deadline().is_none(),
                    "a passed deadline decides"
                );
                return;
            }
        };
        let (engine::Flow::Continue | engine::Flow::Hold) =
            self.exchange.handle(T0, Input::Consulted { call, answer });
    }

    fn carry_out(&mut self, command: Command) {
        match &command {
            Command::Reply(_) | Command::AnswerCanary { .. } => {
                assert!(!self.outcome.decided, "decided twice: {command:?}");
                self.outcome.decided = true;
            }
            Command::Forward { edits } => {
                assert!(!self.outcome.decided, "decided twice: {command:?}");
                self.outcome.decided = true;
                self.edit(edits);
                self.cluster = self
                    .map
                    .get("x-weir-plan")
                    .and_then(|values| String::from_utf8(values.concat()).ok());
            }
            Command::EditAttempt { edits } => self.edit(edits),
            Command::SplicePrefix(splice) => {
                let spliced = apply(self.script.body, &mut splice.splices.clone())
                    .expect("splices fit the body");
                self.outcome.upstream.push(spliced);
            }
            Command::Record(_) => self.outcome.records += 1,
            Command::FindKey(_)
            | Command::FindMarks(_)
            | Command::FindSpares(_)
            | Command::TakeCredit(_)
            | Command::KeepMarks(_)
            | Command::KeepOwned(_)
            | Command::KeepItem(_)
            | Command::KeepTokens(_)
            | Command::SpliceAnswer(_)
            | Command::RewriteAnswer(_)
            | Command::ResetStream
            | Command::Consult { .. }
            | Command::ConsultLater { .. }
            | Command::RefuseAttempt(_)
            | Command::ReplaceChunk(_)
            | Command::RewriteResponse(_)
            | Command::EditResponse { .. } => {}
        }
        self.outcome.told.push(format!("{command:?}"));
    }

    fn edit(&mut self, edits: &[HeaderEdit]) {
        for edit in edits {
            match edit {
                HeaderEdit::Set(name, value) => {
                    drop(self.map.insert(name.to_string(), vec![value.clone()]))
                }
                HeaderEdit::Add(name, value) => {
                    self.map
                        .entry(name.clone())
                        .or_default()
                        .push(value.clone());
                }
                HeaderEdit::Remove(name) => drop(self.map.remove(name.as_ref())),
            }
        }
    }

    fn request(&mut self, pieces: &[&[u8]]) {
        let headers = Rc::new(self.script.request_headers(self.world));
        for (name, value) in headers.iter() {
            self.map
                .entry(name.to_owned())
                .or_default()
                .push(value.to_vec());
        }
        self.push(Input::RequestHeaders {
            headers: &headers,
            end_of_stream: pieces.is_empty(),
        });
        for (at, chunk) in pieces.iter().enumerate() {
            if self.outcome.decided {
                return;
            }
            let last = at + 1 == pieces.len();
            self.push(Input::RequestBody {
                chunk,
                end_of_stream: last && self.script.ends != Ends::WithTrailers,
            });
        }
        if !self.outcome.decided && !pieces.is_empty() && self.script.ends == Ends::WithTrailers {
            self.push(Input::RequestTrailers);
        }
        assert!(self.outcome.decided, "the request ended without a decision");
    }

    /// Names of the plan's providers, in the order of attempts.
    fn plan(&self) -> Vec<String> {
        let cluster = self.cluster.clone().unwrap_or_default();
        match cluster.split_once('/') {
            Some(("plan", names)) => names.split(',').map(str::to_owned).collect(),
            Some((_, name)) => vec![name.to_owned(); 3],
            None => Vec::new(),
        }
    }

    fn attempts(&mut self, cutting: Option<u8>) {
        let plan = self.plan();
        for (number, (status, content_type)) in (1..).zip(&self.script.answers) {
            let right = plan.get(number as usize - 1).cloned().unwrap_or_default();
            let host = if self.script.misled {
                "elsewhere".to_owned()
            } else {
                right.clone()
            };
            let before = self.outcome.told.len();
            self.push(Input::AttemptStarted {
                number: AttemptNumber(number),
                host_provider: Some(&host),
            });
            if self
                .outcome
                .told
                .get(before)
                .is_none_or(|told| told.starts_with("RefuseAttempt"))
            {
                return;
            }
            self.only_own_credentials(&right);
            self.is_a_path_of_the_surface();
            let last = number as usize == self.script.answers.len();
            self.answer(
                AttemptNumber(number),
                *status,
                content_type,
                if last { cutting } else { Some(0) },
                last,
            );
        }
    }

    /// The path and query that go upstream are of a surface or of what the key lists, with one segment for a model.
    fn is_a_path_of_the_surface(&self) {
        let path = self.map.get(":path").map(|values| values.concat());
        let path = String::from_utf8(path.unwrap_or_default()).expect("a path is text");
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let is_segment = |text: &str| {
            let is_listed = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
            !matches!(text, "" | "." | "..") && text.chars().all(is_listed)
        };
        let parts: Vec<_> = path.split('/').skip(1).collect();
        let is_known = match parts.as_slice() {
            ["base", "v1", "messages", ..] | ["v1", "messages" | "files", ..] => true,
            ["v1", "chat", "completions"] | ["v1", "responses" | "embeddings"] => true,
            ["openai", "deployments", model, ..] => {
                is_segment(model) && query.ends_with("api-version=2024-10-21")
            }
            [_, "models" | "tunedModels", last] => last
                .split_once(':')
                .is_some_and(|(model, _)| is_segment(model)),
            _ => false,
        };
        assert!(is_known, "{path}");
        let allowed = [
            "beta=true",
            "alt=sse",
            "purpose=x",
            "api-version=2024-10-21",
        ];
        let is_allowed = |pair: &str| allowed.contains(&pair) || pair.starts_with("$alt=json");
        assert!(
            query.is_empty() || query.split('&').all(is_allowed),
            "{query}"
        );
    }

    /// What goes upstream now holds no virtual key and no other provider's secret.
    fn only_own_credentials(&self, provider: &str) {
        for (name, values) in &self.map {
            for value in values {
                let value = String::from_utf8_lossy(value);
                assert!(
                    !self
                        .world
                        .secrets
                        .iter()
                        .any(|secret| value.contains(secret.as_str())),
                    "a virtual key goes upstream in `{name}`"
                );
                let foreign = ["anthropic-a", "anthropic-b", "openai-a", "gemini-a"]
                    .into_iter()
                    .filter(|other| *other != provider);
                for other in foreign {
                    assert!(
                        !value.contains(&format!("-of-{other}")),
                        "the secret of {other} goes to {provider} in `{name}`"
                    );
                }
            }
        }
    }

    fn answer(
        &mut self,
        number: AttemptNumber,
        status: u16,
        content_type: &str,
        cutting: Option<u8>,
        last: bool,
    ) {
        let headers: Headers = [("content-type", content_type)].into_iter().collect();
        self.push(Input::AttemptHeaders {
            number,
            status,
            headers: &headers,
            end_of_stream: false,
        });
        if !last {
            return;
        }
        self.push(Input::ResponseHeaders {
            status,
            details: "",
            end_of_stream: false,
        });
        let pieces = cutting.map_or_else(
            || vec![self.script.answer],
            |cutting| chunks::cut(cutting, self.script.answer),
        );
        for chunk in pieces {
            let passed = self.push(Input::AttemptBody {
                number,
                chunk,
                end_of_stream: false,
            });
            self.outcome
                .client
                .extend(passed.unwrap_or_else(|| chunk.to_vec()));
        }
        if matches!(self.script.ends, Ends::Well | Ends::WithTrailers) {
            let rest = self.push(Input::AttemptBody {
                number,
                chunk: &[],
                end_of_stream: true,
            });
            self.outcome.client.extend(rest.unwrap_or_default());
            self.push(Input::ResponseEnded);
        }
    }

    fn close(mut self) -> Outcome {
        let peer = match self.script.ends {
            Ends::Well | Ends::WithTrailers => ClosedBy::Nobody,
            Ends::ClientGone => ClosedBy::Client,
            Ends::Shutdown => ClosedBy::Proxy,
        };
        self.push(Input::Closed {
            peer,
            response_bytes: 0,
        });
        self.push(Input::Closed {
            peer,
            response_bytes: 0,
        });
        assert!(self.outcome.records <= 1, "more than one record");
        assert!(
            self.cluster.is_none() || self.outcome.records == 1,
            "a forwarded exchange left no record"
        );
        self.outcome
    }
}

fn drive(world: &World, script: &Script<'_>, cutting: Option<u8>) -> Outcome {
    let seed = ExchangeSeed {
        id: ExchangeId::new(Uuid::from_u128(1)),
        mesh: Some(Rc::clone(&world.mesh)),
        mesh_is_stale: false,
        guard: None,
        limits: Rc::default(),
        desk: Rc::new(RefCell::new(Desk::new(HolderId::from_bytes([0; 16])))),
        side_by_side: Default::default(),
        dropped: Rc::default(),
        cooling: Rc::default(),
        records_are_full: false,
        now: T0,
    };
    let mut driver = Driver {
        world,
        script,
        exchange: Exchange::new(seed),
        map: BTreeMap::new(),
        cluster: None,
        outcome: Outcome::default(),
    };
    let pieces = cutting.map_or_else(
        || vec![script.body],
        |cutting| chunks::cut(cutting, script.body),
    );
    let pieces = if script.body.is_empty() {
        Vec::new()
    } else {
        pieces
    };
    driver.request(&pieces);
    if driver.cluster.is_some() {
        driver.attempts(cutting);
    }
    driver.close()
}

/// Runs one input.
pub fn run(input: &[u8]) {
    thread_local! {
        static WORLD: World = World::new();
    }
    let Ok(script) = Script::read(&mut Unstructured::new(input)) else {
        return;
    };
    WORLD.with(|world| {
        let whole = drive(world, &script, None);
        let cut = drive(world, &script, Some(script.cutting));
        if whole.client == cut.client && whole.told != cut.told {
            // How much of a refused body was read before the refusal depends on where it was cut.
            let refused = |outcome: &Outcome| {
                outcome.cluster_free() && outcome.told.iter().any(|told| told.starts_with("Reply"))
            };
            assert!(
                refused(&whole) && refused(&cut) && whole.told.first() == cut.told.first(),
                "{:#?}\n{:#?}",
                whole.told,
                cut.told
            );
            return;
        }
        assert_eq!(whole, cut, "the exchange depends on chunks");
    });
}

impl Outcome {
    fn cluster_free(&self) -> bool {
        self.upstream.is_empty()
    }
}

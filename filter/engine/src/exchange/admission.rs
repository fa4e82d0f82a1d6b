//! From the request headers to a known principal.

use std::rc::Rc;

use dialects::refusal::{Client, RefusalCode, Reply};
use dialects::request::{RequestReader, RequestTextReader};
use dialects::request_ids;
use policy::compiled::{CompiledKey, Mesh};
use policy::documents::{InferenceAuth, Subscription};
use policy::surface::{Dialect, Surface};
use policy::units::Timestamp;

use super::body::{BodyRead, CanaryRead, Reading};
use super::standing::Unfit;
use super::{Exchange, State};
use crate::cors::Cors;
use crate::credential::{Beside, Credential, find};
use crate::headers::Headers;
use crate::messages::{Command, Flow, Input};
use crate::path::{Probe, dialect_hint, probe};
use crate::query::QueryError;

/// A request whose key is being looked up.
#[derive(Debug)]
pub(super) struct Presented {
    pub headers: Rc<Headers>,
    pub beside: Beside,
    pub end_of_stream: bool,
}

/// A request whose principal may go on.
#[derive(Debug)]
pub(super) struct Admitted {
    /// As the client sent them: every attempt is rebuilt from here.
    pub headers: Rc<Headers>,
    pub key: Option<Rc<CompiledKey>>,
    pub mesh: Rc<Mesh>,
}

/// Longest path that is kept for the record.
const RECORDED_PATH_BYTES: usize = 256;

impl Exchange {
    pub(super) fn start(&mut self, input: &Input<'_>) -> Flow {
        match *input {
            Input::RequestHeaders {
                headers,
                end_of_stream,
            } => self.request_headers(headers, end_of_stream),
            Input::KeyFound(_)
            | Input::Governed(_)
            | Input::MarksFound(_)
            | Input::SparesFound(_)
            | Input::CreditTaken(_)
            | Input::RequestBody { .. }
            | Input::NoRoom
            | Input::RequestHeld { .. }
            | Input::RequestTrailers
            | Input::Consulted { .. }
            | Input::DeadlinePassed
            | Input::AttemptStarted { .. }
            | Input::AttemptLost { .. }
            | Input::NotEdited
            | Input::AttemptHeaders { .. }
            | Input::AttemptBody { .. }
            | Input::ResponseHeaders { .. }
            | Input::ResponseEnded
            | Input::Closed { .. } => self.stray(State::Start),
        }
    }

    fn request_headers(&mut self, headers: &Rc<Headers>, end_of_stream: bool) -> Flow {
        self.note_client(headers);
        let (Some(method), Some(raw_path)) = (headers.text(":method"), headers.text(":path"))
        else {
            return self.refuse(
                RefusalCode::BadPath,
                "The request line is not valid UTF-8.".to_owned(),
            );
        };
        self.facts.is_head = method == "HEAD";
        self.facts.is_canary = self.is_genuine_canary(headers);
        self.facts.path = shortened(raw_path);
        let vendor = vendor(headers);
        self.facts.dialect = dialect_hint(raw_path).or(vendor).unwrap_or(Dialect::Openai);
        if wants_upgrade(headers, method) {
            return self.refuse(
                RefusalCode::WebsocketUnsupported,
                "This mesh does not tunnel WebSockets; use plain HTTP on the same path.".to_owned(),
            );
        }
        match probe(raw_path) {
            Some(Probe::Alive) => return self.alive(method),
            Some(Probe::Canary) => return self.canary(method, end_of_stream),
            None => {}
        }
        let host = match self.host_provider(headers) {
            Ok(host) => host,
            Err(refused) => return refused,
        };
        if let Some(mesh) = &self.seed.mesh {
            self.facts.cors = Cors::of(&mesh.cors_origins, headers);
        }
        if let Some(reply) = self.facts.cors.preflight(method, headers) {
            return self.reply_quietly(reply);
        }
        if let Err(refused) = self.read_address(raw_path, host, vendor) {
            return refused;
        }
        self.present(headers, end_of_stream)
    }

    fn note_client(&mut self, headers: &Headers) {
        self.facts.client =
            Client::detect(headers.text("user-agent").unwrap_or_default(), |name| {
                headers.get(name).is_some()
            });
        self.facts.client_request_ids = request_ids::of_client(headers.iter());
        self.facts.session_id = session_id(headers);
        self.facts.agent_id = bounded(headers.text("x-claude-code-agent-id").unwrap_or_default());
    }

    fn alive(&mut self, method: &str) -> Flow {
        if !matches!(method, "GET" | "HEAD") {
            return self.refuse(
                RefusalCode::MethodNotAllowed,
                "Only GET and HEAD are answered here.".to_owned(),
            );
        }
        let body = if method == "HEAD" {
            Vec::new()
        } else {
            b"{\"status\":\"ok\"}\n".to_vec()
        };
        self.reply_quietly(Reply {
            status: 200,
            headers: vec![("content-type", "application/json".to_owned())],
            body,
        })
    }

    /// Answers without leaving a record.
    fn reply_quietly(&mut self, reply: Reply) -> Flow {
        self.commands.push_back(Command::Reply(reply));
        self.state = State::Closed;
        Flow::Hold
    }

    fn is_genuine_canary(&self, headers: &Headers) -> bool {
        self.seed.mesh.as_ref().is_some_and(|mesh| {
            headers.get("x-weir-canary").is_some_and(|presented| {
                equal_in_constant_time(presented, mesh.canary_secret.expose().as_bytes())
            })
        })
    }

    fn canary(&mut self, method: &str, end_of_stream: bool) -> Flow {
        if !self.facts.is_canary || method != "POST" {
            return self.reply_quietly(Reply {
                status: 404,
                headers: Vec::new(),
                body: Vec::new(),
            });
        }
        if end_of_stream {
            return self.canary_read(&CanaryRead::default());
        }
        self.state = State::ReadingCanary(CanaryRead::default());
        Flow::Hold
    }

    fn present(&mut self, headers: &Rc<Headers>, end_of_stream: bool) -> Flow {
        let address = self.facts.address.as_ref();
        let credential = find(headers, address.and_then(|address| address.query.key()));
        let presented = |beside| Presented {
            headers: Rc::clone(headers),
            beside,
            end_of_stream,
        };
        let (code, message) = match credential {
            Credential::Key { secret, beside } => {
                self.commands.push_back(Command::FindKey(secret.hash()));
                self.state = State::AwaitingKey(Box::new(presented(beside)));
                return Flow::Hold;
            }
            Credential::Absent | Credential::Foreign => {
                return self.without_key(presented(Beside::Nothing), &credential);
            }
            Credential::Malformed => (
                RefusalCode::MalformedKey,
                "The virtual key is mistyped: its checksum does not match. Copy it again."
                    .to_owned(),
            ),
            Credential::Duplicate { header } => (
                RefusalCode::DuplicateCredential,
                format!("The header `{header}` stands twice; send one credential once."),
            ),
            Credential::Conflicting => (
                RefusalCode::ConflictingCredentials,
                "Two different virtual keys were sent; send one.".to_owned(),
            ),
        };
        self.refuse(code, message)
    }

    fn without_key(&mut self, presented: Presented, credential: &Credential) -> Flow {
        let Some(mesh) = self.usable_mesh() else {
            return Flow::Hold;
        };
        match mesh.inference_auth {
            InferenceAuth::Observe if self.facts.cors.is_foreign(&presented.headers) => self.refuse(
                RefusalCode::ForeignOrigin,
                "Web pages are served here only with a virtual key, or when an administrator has named their origin.".to_owned(),
            ),
            InferenceAuth::Observe => {
                self.facts.unkeyed = true;
                self.admit(presented, None, mesh)
            }
            InferenceAuth::Required if *credential == Credential::Foreign => self.refuse(
                RefusalCode::MissingCredential,
                "A provider's own key is not accepted here; send your Weir virtual key (sk-weir-…) in its place.".to_owned(),
            ),
            InferenceAuth::Required => self.refuse(
                RefusalCode::MissingCredential,
                "No virtual key was sent; set your Weir virtual key (sk-weir-…) as the API key.".to_owned(),
            ),
        }
    }

    /// Returns the policy in force, or refuses and returns nothing.
    fn usable_mesh(&mut self) -> Option<Rc<Mesh>> {
        let Some(mesh) = self.seed.mesh.clone() else {
            self.refuse_later(
                RefusalCode::NoSnapshot,
                "This proxy has not received its policy yet; try again in a moment.".to_owned(),
                Some(1),
            );
            return None;
        };
        if self.seed.mesh_is_stale {
            self.refuse_later(
                RefusalCode::PolicyStale,
                "This proxy's policy is older than it may be because the policy service is away."
                    .to_owned(),
                Some(5),
            );
            return None;
        }
        Some(mesh)
    }

    pub(super) fn awaiting_key(
        &mut self,
        now: Timestamp,
        presented: Box<Presented>,
        input: &Input<'_>,
    ) -> Flow {
        match input {
            Input::KeyFound(key) => self.key_found(now, *presented, key.clone()),
            Input::RequestHeaders { .. }
            | Input::Governed(_)
            | Input::MarksFound(_)
            | Input::SparesFound(_)
            | Input::CreditTaken(_)
            | Input::RequestBody { .. }
            | Input::NoRoom
            | Input::RequestHeld { .. }
            | Input::RequestTrailers
            | Input::Consulted { .. }
            | Input::DeadlinePassed
            | Input::AttemptStarted { .. }
            | Input::AttemptLost { .. }
            | Input::NotEdited
            | Input::AttemptHeaders { .. }
            | Input::AttemptBody { .. }
            | Input::ResponseHeaders { .. }
            | Input::ResponseEnded
            | Input::Closed { .. } => {
                self.stray(State::AwaitingKey(presented));
                Flow::Hold
            }
        }
    }

    fn key_found(
        &mut self,
        now: Timestamp,
        presented: Presented,
        key: Option<Rc<CompiledKey>>,
    ) -> Flow {
        let Some(mesh) = self.usable_mesh() else {
            return Flow::Hold;
        };
        let Some(key) = key else {
            return self.refuse(
                RefusalCode::UnknownKey,
                "This mesh does not know the virtual key; ask your administrator for a new one."
                    .to_owned(),
            );
        };
        self.facts.key = Some(Rc::clone(&key));
        if let Some(unfit) = Unfit::of(key.standing(now)) {
            return self.refuse_unfit(unfit);
        }
        if let Some(id) = key.principal.key {
            let most = mesh.max_running_per_key;
            self.facts.place = self.seed.side_by_side.take(id, most);
            if self.facts.place.is_none() {
                let message = format!(
                    "{most} requests of this virtual key are running in this worker already; wait for some of them to end."
                );
                return self.refuse(RefusalCode::Busy, message);
            }
        }
        if presented.beside == Beside::OwnLogin {
            if key.subscription == Subscription::Refused {
                return self.refuse(
                    RefusalCode::SubscriptionNotAllowed,
                    "This virtual key may not be used beside your own provider login; remove the other credential.".to_owned(),
                );
            }
            self.facts.subscription = true;
        }
        self.admit(presented, Some(key), mesh)
    }

    fn admit(
        &mut self,
        presented: Presented,
        key: Option<Rc<CompiledKey>>,
        mesh: Rc<Mesh>,
    ) -> Flow {
        if self.seed.records_are_full {
            return self.refuse_later(
                RefusalCode::RecordQueueFull,
                "This proxy cannot record more exchanges because the policy service is away."
                    .to_owned(),
                Some(5),
            );
        }
        if let Some(key) = &key {
            self.hide_forbidden(key);
        }
        let Some(surface) = self.facts.surface else {
            return self.refuse(
                RefusalCode::Internal,
                "The request has no surface.".to_owned(),
            );
        };
        let method = presented
            .headers
            .text(":method")
            .unwrap_or_default()
            .to_owned();
        let admitted = Admitted {
            headers: presented.headers,
            key,
            mesh,
        };
        if kind(surface) != Kind::Opaque
            && let Some(refused) = self.refused_query(None)
        {
            return refused;
        }
        match kind(surface) {
            Kind::Models if matches!(method.as_str(), "GET" | "HEAD") => {
                self.answer_models(&admitted)
            }
            Kind::Opaque => self.begin_opaque(admitted, presented.end_of_stream),
            Kind::Json if method == "POST" => {
                self.begin_json(admitted, surface, presented.end_of_stream)
            }
            Kind::Models | Kind::Json => self.refuse(
                RefusalCode::MethodNotAllowed,
                "This method is not allowed on this path.".to_owned(),
            ),
        }
    }

    pub(super) fn unreadable_query(&mut self, error: &QueryError) -> Flow {
        let code = match error {
            QueryError::Twice { name } if name == "key" => RefusalCode::DuplicateCredential,
            QueryError::Twice { .. } | QueryError::Unreadable | QueryError::TooLong => {
                RefusalCode::QueryNotAllowed
            }
        };
        self.refuse(code, error.message())
    }

    /// Refuses a query that the surface does not take; with `key` what the key lists for the opaque path counts.
    pub(super) fn refused_query(&mut self, key: Option<&CompiledKey>) -> Option<Flow> {
        let address = self.facts.address.as_ref()?;
        let judged = match key {
            Some(key) => {
                let lists = |name: &str| key.may_send_opaque(&address.path, name);
                address.query.judge_listed(lists)
            }
            None => address.query.judge(address.surface),
        };
        let refused = judged.err()?;
        Some(self.refuse(RefusalCode::QueryNotAllowed, refused.message()))
    }

    fn begin_json(&mut self, admitted: Admitted, surface: Surface, end_of_stream: bool) -> Flow {
        if let Some(refused) = self.unreadable(&admitted.headers, admitted.mesh.body_cap_bytes) {
            return refused;
        }
        let reading = if self.begin_guarding(surface) {
            RequestTextReader::new(surface).map(|reader| Reading::Guarded(Box::new(reader)))
        } else {
            RequestReader::new(surface).map(|reader| Reading::Json(Box::new(reader)))
        };
        let Some(reading) = reading else {
            return self.refuse(
                RefusalCode::Internal,
                "The body of this surface cannot be read.".to_owned(),
            );
        };
        let body = BodyRead {
            admitted,
            read_bytes: 0,
            reading,
        };
        if end_of_stream {
            return self.body_ended(body, false);
        }
        self.state = State::ReadingBody(Box::new(body));
        Flow::Hold
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Models,
    Opaque,
}

const fn kind(surface: Surface) -> Kind {
    match surface {
        Surface::AnthropicMessages
        | Surface::AnthropicCountTokens
        | Surface::OpenaiChat
        | Surface::OpenaiResponses
        | Surface::OpenaiEmbeddings
        | Surface::GeminiGenerate
        | Surface::GeminiCountTokens
        | Surface::GeminiEmbed => Kind::Json,
        Surface::AnthropicModels | Surface::OpenaiModels | Surface::GeminiModels => Kind::Models,
        Surface::AnthropicOpaque | Surface::OpenaiOpaque | Surface::GeminiOpaque => Kind::Opaque,
    }
}

/// Whether a tunnel is asked for. Every other upgrade is an offer that a server may pass over in silence, and an
/// ordinary request beside.
fn wants_upgrade(headers: &Headers, method: &str) -> bool {
    let is_websocket = |value: &[u8]| {
        let mut tokens = value.split(|byte| *byte == b',');
        tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    };
    method == "CONNECT"
        || headers.get(":protocol").is_some()
        || headers.all("upgrade").any(is_websocket)
}

/// Whose SDK sent the request, by headers that one of them alone sends.
fn vendor(headers: &Headers) -> Option<Dialect> {
    if headers.get("anthropic-version").is_some() {
        Some(Dialect::Anthropic)
    } else if headers.get("x-goog-api-key").is_some() {
        Some(Dialect::Gemini)
    } else {
        None
    }
}

/// The client's own session, whatever it calls it.
fn session_id(headers: &Headers) -> String {
    [
        "x-claude-code-session-id",
        "session-id",
        "session_id",
        "x-session-id",
        "x-session-affinity",
        "x-bf-session-id",
        "thread-id",
    ]
    .into_iter()
    .find_map(|name| headers.text(name))
    .map(bounded)
    .unwrap_or_default()
}

/// At most 128 characters of `text`: ids from outside are kept, not trusted.
pub(super) fn bounded(text: &str) -> String {
    cleaned(text, 128)
}

fn shortened(raw_path: &str) -> String {
    let path = raw_path.split('?').next().unwrap_or_default();
    cleaned(path, RECORDED_PATH_BYTES)
}

/// At most that many characters of `text`, no control characters.
fn cleaned(text: &str, most: usize) -> String {
    let is_printable = |byte: u8| matches!(byte, b' '..=b'~');
    if text.len() <= most && text.bytes().all(is_printable) {
        return text.to_owned();
    }
    text.chars()
        .filter(|character| !character.is_control())
        .take(most)
        .collect()
}

fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .fold(0u8, |difference, (a, b)| difference | (a ^ b))
            == 0
}

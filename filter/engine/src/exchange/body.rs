//! From the request body to a plan.

use dialects::models;
use dialects::refusal::{RefusalCode, Reply};
use dialects::request::{BodyError, RequestFacts, RequestReader, RequestTextReader, SessionHints};
use policy::routing::{self, ModelAsk};
use policy::surface::{Dialect, Surface};
use policy::units::Timestamp;

use super::admission::{Admitted, bounded};
use super::opaque::OpaqueBody;
use super::target::{Names, Plan, PlanError};
use super::{Exchange, State, ownership};
use crate::messages::{CallId, Command, ConsultAnswer, Flow, Input};
use crate::path::Address;

/// How long an answer of the service is waited for before the question counts as unanswered.
const CONSULT_DEADLINE_MS: u64 = 2_000;

/// A canary whose body is being read.
#[derive(Debug, Default)]
pub(super) struct CanaryRead {
    body_bytes: u64,
}

/// A request whose body is being read.
#[derive(Debug)]
pub(super) struct BodyRead {
    pub admitted: Admitted,
    pub read_bytes: u64,
    pub reading: Reading,
}

/// What is made of the bytes.
#[derive(Debug)]
pub(super) enum Reading {
    Json(Box<RequestReader>),
    /// Its texts are scanned as well.
    Guarded(Box<RequestTextReader>),
    /// Only what it refers to, and what of it is text: the path is not a known surface.
    Opaque(Box<OpaqueBody>),
}

/// A request that waits for an answer of the service.
#[derive(Debug)]
pub(super) struct Waiting {
    pub call: CallId,
    pub deadline: Timestamp,
    pub what: WaitingFor,
}

/// What the service was asked.
#[derive(Debug)]
pub(super) enum WaitingFor {
    /// Who owns the ids that the request names.
    Owner(Box<(Admitted, RequestFacts)>),
    /// What the tokens in the request stand for.
    Tokens(Box<Plan>),
    /// For slices of the quotas that the request is charged to.
    Grant(Box<Plan>),
    /// Nothing: others hold what is left, and the service is asked again at the deadline.
    Turn(Box<Plan>),
}

impl Exchange {
    pub(super) fn reading_canary(&mut self, mut read: CanaryRead, input: &Input<'_>) -> Flow {
        match *input {
            Input::RequestBody {
                chunk,
                end_of_stream,
            } => {
                read.body_bytes = read.body_bytes.saturating_add(chunk.len() as u64);
                if end_of_stream {
                    return self.canary_read(&read);
                }
                self.state = State::ReadingCanary(read);
                Flow::Hold
            }
            Input::RequestTrailers => self.canary_read(&read),
            Input::NoRoom
            | Input::RequestHeld { .. }
            | Input::RequestHeaders { .. }
            | Input::KeyFound(_)
            | Input::Governed(_)
            | Input::MarksFound(_)
            | Input::SparesFound(_)
            | Input::CreditTaken(_)
            | Input::Consulted { .. }
            | Input::DeadlinePassed
            | Input::AttemptStarted { .. }
            | Input::AttemptLost { .. }
            | Input::NotEdited
            | Input::AttemptHeaders { .. }
            | Input::AttemptBody { .. }
            | Input::ResponseHeaders { .. }
            | Input::ResponseEnded
            | Input::Closed { .. } => self.stray(State::ReadingCanary(read)),
        }
    }

    pub(super) fn canary_read(&mut self, read: &CanaryRead) -> Flow {
        self.commands.push_back(Command::AnswerCanary {
            body_bytes: read.body_bytes,
        });
        self.state = State::Closed;
        Flow::Hold
    }

    pub(super) fn reading_body(
        &mut self,
        now: Timestamp,
        mut body: Box<BodyRead>,
        input: &Input<'_>,
    ) -> Flow {
        match *input {
            Input::RequestBody {
                chunk,
                end_of_stream,
            } => {
                body.read_bytes = body.read_bytes.saturating_add(chunk.len() as u64);
                self.facts.request_bytes = body.read_bytes;
                let cap_bytes = body.admitted.mesh.body_cap_bytes;
                if body.read_bytes > cap_bytes {
                    return self.too_large(cap_bytes);
                }
                let read = match &mut body.reading {
                    Reading::Json(reader) => reader.push(chunk),
                    Reading::Guarded(reader) => self.scan_texts(reader, chunk),
                    Reading::Opaque(opaque) => {
                        if let Some(refused) = self.read_contents(opaque, chunk, end_of_stream) {
                            return refused;
                        }
                        opaque.references.push(chunk)
                    }
                };
                if let Err(error) = read {
                    return self.bad_body(&error);
                }
                if end_of_stream {
                    return self.body_ended_at(now, *body, false);
                }
                self.state = State::ReadingBody(body);
                Flow::Hold
            }
            Input::RequestHeld { bytes } => {
                let cap_bytes = body.admitted.mesh.body_cap_bytes;
                if bytes > cap_bytes {
                    return self.too_large(cap_bytes);
                }
                self.state = State::ReadingBody(body);
                Flow::Hold
            }
            Input::NoRoom => self.refuse_later(
                RefusalCode::Busy,
                "This proxy holds as much of your requests as it may; send fewer large ones at a time, or try again in a moment."
                    .to_owned(),
                Some(1),
            ),
            Input::RequestTrailers => {
                if let Reading::Opaque(opaque) = &mut body.reading
                    && let Some(refused) = self.read_contents(opaque, &[], true)
                {
                    return refused;
                }
                self.body_ended_at(now, *body, true)
            }
            Input::RequestHeaders { .. }
            | Input::KeyFound(_)
            | Input::Governed(_)
            | Input::MarksFound(_)
            | Input::SparesFound(_)
            | Input::CreditTaken(_)
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
                self.stray(State::ReadingBody(body));
                Flow::Hold
            }
        }
    }

    pub(super) fn body_ended(&mut self, body: BodyRead, had_trailers: bool) -> Flow {
        self.body_ended_at(self.seed.now, body, had_trailers)
    }

    fn body_ended_at(&mut self, now: Timestamp, body: BodyRead, had_trailers: bool) -> Flow {
        if let Some(unfit) = self.key_is_unfit(now) {
            return self.refuse_unfit(unfit);
        }
        let BodyRead {
            admitted, reading, ..
        } = body;
        let read = match reading {
            Reading::Json(reader) => reader.finish(),
            Reading::Guarded(reader) => self.texts_scanned(*reader),
            Reading::Opaque(opaque) => match opaque.references.finish() {
                Ok(facts) => return self.judge_opaque(now, admitted, &facts),
                Err(error) => Err(error),
            },
        };
        match read {
            Ok(facts) => self.judge(now, admitted, facts),
            Err(BodyError::Truncated { .. }) if had_trailers => self.refuse(
                RefusalCode::BadEncoding,
                "The body ends too early: its compression is damaged, or it expands further than this mesh allows.".to_owned(),
            ),
            Err(error) => self.bad_body(&error),
        }
    }

    fn bad_body(&mut self, error: &BodyError) -> Flow {
        self.refuse(error.code(), error.to_string())
    }

    /// Decides on a request that has been read to its end.
    fn judge(&mut self, now: Timestamp, admitted: Admitted, facts: RequestFacts) -> Flow {
        self.note_facts(&facts);
        if facts.background {
            return self.refuse(
                RefusalCode::BackgroundUnsupported,
                "Background responses are not metered yet and therefore refused; send the request without `background`.".to_owned(),
            );
        }
        if let Some(refused) = self.leads_elsewhere(facts.elsewhere) {
            return refused;
        }
        if self.facts.subscription {
            return self.route(now, &admitted, facts);
        }
        let kind = match self.ask_owner(&facts.references) {
            Ok(Some(kind)) => kind,
            Ok(None) => return self.route(now, &admitted, facts),
            Err(refused) => return refused,
        };
        let call = CallId(1);
        self.commands.push_back(Command::Consult { call, kind });
        let deadline = Timestamp::from_millis(now.as_millis().saturating_add(CONSULT_DEADLINE_MS));
        self.state = State::Waiting(Box::new(Waiting {
            call,
            deadline,
            what: WaitingFor::Owner(Box::new((admitted, facts))),
        }));
        Flow::Hold
    }

    pub(super) fn leads_elsewhere(&mut self, name: Option<&'static str>) -> Option<Flow> {
        let message = format!(
            "`{}` would send the request elsewhere than this mesh chose; leave it out.",
            name?
        );
        Some(self.refuse(RefusalCode::FieldNotAllowed, message))
    }

    fn note_facts(&mut self, facts: &RequestFacts) {
        self.facts.streamed |= facts.stream;
        if self.facts.session_id.is_empty() {
            self.facts.session_id = bounded(session(&facts.session));
        }
        let by_path = self
            .facts
            .address
            .as_ref()
            .and_then(|address| address.model.as_deref());
        let asked = by_path.or(facts.model.as_ref().map(|model| model.value.as_str()));
        self.facts.model_asked = bounded(asked.unwrap_or_default());
    }

    pub(super) fn waiting(
        &mut self,
        now: Timestamp,
        waiting: Box<Waiting>,
        input: &Input<'_>,
    ) -> Flow {
        match input {
            Input::Consulted { call, answer } if *call == waiting.call => {
                if let Some(unfit) = self.key_is_unfit(now) {
                    return self.refuse_unfit(unfit);
                }
                self.consulted(now, *waiting, answer.clone())
            }
            Input::DeadlinePassed if waiting.deadline <= now => match waiting.what {
                WaitingFor::Turn(plan) => match self.key_is_unfit(now) {
                    Some(unfit) => self.refuse_unfit(unfit),
                    None => self.admit_on_leases(now, *plan),
                },
                WaitingFor::Owner(_) | WaitingFor::Tokens(_) | WaitingFor::Grant(_) => {
                    self.consulted(now, *waiting, ConsultAnswer::Unreachable)
                }
            },
            Input::Consulted { .. }
            | Input::DeadlinePassed
            | Input::RequestHeaders { .. }
            | Input::KeyFound(_)
            | Input::Governed(_)
            | Input::MarksFound(_)
            | Input::SparesFound(_)
            | Input::CreditTaken(_)
            | Input::RequestBody { .. }
            | Input::NoRoom
            | Input::RequestHeld { .. }
            | Input::RequestTrailers
            | Input::AttemptStarted { .. }
            | Input::AttemptLost { .. }
            | Input::NotEdited
            | Input::AttemptHeaders { .. }
            | Input::AttemptBody { .. }
            | Input::ResponseHeaders { .. }
            | Input::ResponseEnded
            | Input::Closed { .. } => {
                self.stray(State::Waiting(waiting));
                Flow::Hold
            }
        }
    }

    fn consulted(&mut self, now: Timestamp, waiting: Waiting, answer: ConsultAnswer) -> Flow {
        let asked = match waiting.what {
            WaitingFor::Owner(asked) => asked,
            WaitingFor::Grant(plan) | WaitingFor::Turn(plan) => {
                return self.grant_answered(now, *plan, answer);
            }
            WaitingFor::Tokens(plan) => {
                let found = match answer {
                    ConsultAnswer::Tokens(found) => Some(found),
                    ConsultAnswer::Owned
                    | ConsultAnswer::NotOwned
                    | ConsultAnswer::Grant(_)
                    | ConsultAnswer::Unreachable => None,
                };
                return self.tokens_found(now, *plan, found);
            }
        };
        let (admitted, facts) = *asked;
        match answer {
            ConsultAnswer::Owned => self.route(now, &admitted, facts),
            ConsultAnswer::NotOwned => self.refuse(
                RefusalCode::StatefulIdUnknown,
                ownership::not_owned(&facts.references),
            ),
            ConsultAnswer::Unreachable
            | ConsultAnswer::Tokens(_)
            | ConsultAnswer::Grant(_) => self.refuse_later(
                RefusalCode::ServiceUnreachable,
                "The policy service did not answer who owns the response or item that is referred to; try again.".to_owned(),
                Some(1),
            ),
        }
    }

    /// Finds the attempts and lets the request go.
    fn route(&mut self, now: Timestamp, admitted: &Admitted, facts: RequestFacts) -> Flow {
        let Some(address) = self.facts.address.clone() else {
            return self.refuse(
                RefusalCode::Internal,
                "The request has no address.".to_owned(),
            );
        };
        let asked = address
            .model
            .clone()
            .or_else(|| facts.model.as_ref().map(|model| model.value.clone()));
        let Some(asked) = asked else {
            return self.refuse(
                RefusalCode::ModelMissing,
                "The request names no model.".to_owned(),
            );
        };
        let named = facts.nested_models.iter().map(|model| model.value.as_str());
        if named
            .chain([asked.as_str()])
            .any(|name| name.chars().any(|it| it.is_control() || it.is_whitespace()))
        {
            return self.refuse(
                RefusalCode::BadJson,
                "The model name holds white space or control characters; send it in plain form."
                    .to_owned(),
            );
        }
        if let Some(refused) = self.judge_other_models(admitted, &address, &asked, &facts) {
            return refused;
        }
        let planned = if self.facts.subscription {
            Plan::for_own_login(admitted, &address, &asked, Some(facts))
        } else {
            Plan::for_model(admitted, &address, &asked, facts, self.affinity())
        };
        match planned {
            Ok(mut plan) => {
                let cooling = self.seed.cooling.borrow();
                cooling.order(now, &plan.mesh, &mut plan.targets);
                drop(cooling);
                self.planned(now, plan)
            }
            Err(error) => match served_elsewhere(admitted, &address, &asked) {
                Some(message) if error.is_about_the_model() => {
                    self.refuse(RefusalCode::ModelUnknown, message)
                }
                Some(_) | None => self.no_plan(&error, Names::Model),
            },
        }
    }

    /// Models named beside the one that is asked for (Gemini bodies, tools, batches) are judged as well.
    fn judge_other_models(
        &mut self,
        admitted: &Admitted,
        address: &Address,
        asked: &str,
        facts: &RequestFacts,
    ) -> Option<Flow> {
        let by_body = facts.model.iter().filter(|_| address.model.is_some());
        for other in by_body.chain(&facts.nested_models) {
            let name = plain_model(&other.value);
            if name == asked {
                continue;
            }
            let ask = ask(address.surface, name, address.provider.as_deref());
            if let Err(error) = routing::candidates(&admitted.mesh, admitted.key.as_deref(), &ask) {
                return Some(self.no_plan(&PlanError::Route(error), Names::MoreModels));
            }
            if address.model.is_some() {
                return Some(self.refuse(
                    RefusalCode::BadJson,
                    "The body names another model than the path; name one model.".to_owned(),
                ));
            }
        }
        None
    }

    pub(super) fn planned(&mut self, now: Timestamp, plan: Plan) -> Flow {
        // The key may know of everything that the plan holds.
        self.facts.as_unknown = None;
        self.guarded(now, plan)
    }

    pub(super) fn no_plan(&mut self, error: &PlanError, names: Names) -> Flow {
        let (code, retry_after_secs) = error.code();
        let (shown, message) = error.shown(names);
        self.refuse_as(shown, code, message.into_owned(), retry_after_secs)
    }

    pub(super) fn answer_models(&mut self, admitted: &Admitted) -> Flow {
        let surface = self.facts.surface.unwrap_or(Surface::OpenaiModels);
        let key = admitted.key.as_deref();
        let pinned = self
            .facts
            .address
            .as_ref()
            .and_then(|address| address.provider.clone());
        let address = self.facts.address.as_ref();
        let lists_all = address.is_some_and(|address| address.lists_all);
        let listed = match &pinned {
            Some(provider) => routing::models_at(&admitted.mesh, key, surface.dialect(), provider),
            None if lists_all => Ok(routing::models_everywhere(&admitted.mesh, key)),
            None => Ok(routing::models_for(&admitted.mesh, key, surface.dialect())),
        };
        let ids = match listed {
            Ok(ids) => ids,
            Err(error) => return self.no_plan(&PlanError::Route(error), Names::NoModel),
        };
        let one = self
            .facts
            .address
            .as_ref()
            .and_then(|address| address.model.clone());
        let body = match one {
            None => models::list(surface.dialect(), &ids),
            Some(id) if ids.contains(&id) => models::one(surface.dialect(), &id),
            Some(_) => {
                return self.refuse(
                    RefusalCode::ModelUnknown,
                    "The model is not among those your virtual key may use.".to_owned(),
                );
            }
        };
        let body = if self.facts.is_head { Vec::new() } else { body };
        self.commands.push_back(Command::Reply(Reply {
            status: 200,
            headers: vec![("content-type", "application/json".to_owned())],
            body,
        }));
        self.state = State::Replied;
        Flow::Hold
    }

    /// What the draw between targets is made from: same session, same target and provider key, for its prompt cache;
    /// a request of no session draws for itself, so that one virtual key uses all keys of a provider.
    pub(super) fn affinity(&self) -> u64 {
        let key = || {
            let key = self.facts.key.as_ref()?;
            key.principal.key.map(policy::ids::KeyId::into_bytes)
        };
        let exchange = self.seed.id.into_bytes();
        let session = self.facts.session_id.as_bytes();
        let (name, owner) = if session.is_empty() {
            (exchange.as_slice(), None)
        } else {
            (session, key())
        };
        name.iter()
            .chain(owner.iter().flatten())
            .fold(0xcbf2_9ce4_8422_2325_u64, |seed, byte| {
                (seed ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            })
    }
}

/// Gemini writes `models/` before a name, in bodies only. `tunedModels/` is a part of the name.
fn plain_model(name: &str) -> &str {
    match name.strip_prefix("models/") {
        Some(plain) if !plain.contains('/') => plain,
        Some(_) | None => name,
    }
}

/// Says where the key may have the model, if that is on a path of another dialect.
fn served_elsewhere(admitted: &Admitted, address: &Address, asked: &str) -> Option<String> {
    let here = address.surface;
    if address.host_provider.is_some() {
        return None;
    }
    let ask = ask(here, asked, None);
    let dialect = routing::elsewhere(&admitted.mesh, admitted.key.as_deref(), &ask)?;
    let is_embedding = matches!(here, Surface::OpenaiEmbeddings | Surface::GeminiEmbed);
    let is_count = matches!(
        here,
        Surface::AnthropicCountTokens | Surface::GeminiCountTokens
    );
    let path = match dialect {
        Dialect::Anthropic if is_count => "/v1/messages/count_tokens",
        Dialect::Anthropic => "/v1/messages",
        Dialect::Openai if is_embedding => "/v1/embeddings",
        Dialect::Openai => "/v1/chat/completions",
        Dialect::Gemini if is_embedding => "/v1beta/models/MODEL:embedContent",
        Dialect::Gemini if is_count => "/v1beta/models/MODEL:countTokens",
        Dialect::Gemini => "/v1beta/models/MODEL:generateContent",
    };
    Some(format!(
        "This path does not serve the model that was asked for; use {path} for it, in the form of that API."
    ))
}

/// What a model is asked of, as routing sees it.
pub(super) fn ask<'a>(surface: Surface, model: &'a str, pinned: Option<&'a str>) -> ModelAsk<'a> {
    ModelAsk {
        dialect: surface.dialect(),
        model,
        pinned_provider: pinned,
    }
}

/// The client's session by what its body says; empty when it says nothing.
fn session(hints: &SessionHints) -> &str {
    let claude = hints.anthropic_user_id.as_deref().map(|raw| {
        // JSON with a `session_id`, or in older versions `user_…_account_…_session_…`.
        let behind = raw
            .split_once("\"session_id\":\"")
            .or_else(|| raw.split_once("_session_"));
        behind.map_or(raw, |(_, rest)| rest.split('"').next().unwrap_or_default())
    });
    claude
        .or(hints.prompt_cache_key.as_deref())
        .unwrap_or_default()
}

//! One exchange from its first header to its record.

mod admission;
mod attempt;
mod body;
mod closing;
mod contents;
mod declared;
mod guarded_answer;
mod guarding;
mod key_answer;
mod metering;
mod naming;
mod no_answer;
mod not_edited;
mod opaque;
mod ownership;
mod passing;
mod quotas;
mod standing;
mod target;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;

use dialects::refusal::{Client, Refusal, RefusalCode, refuse};
use policy::compiled::{CompiledKey, Mesh};
use policy::ids::{ExchangeId, KeyId};
use policy::surface::{Dialect, Surface};
use policy::units::Timestamp;

use crate::cors::Cors;
use crate::dropped::DroppedHeaders;
use crate::guard::Guard;
use crate::key_cooling::KeyCooling;
use crate::messages::{AttemptNumber, Command, Flow, Input};
use crate::path::Address;
use crate::quota::{Desk, Limits};
use crate::record::{Ended, ExchangeRecord};
use crate::side_by_side::{Place, SideBySide};

use attempt::Attempt;
use body::{BodyRead, CanaryRead, Waiting, WaitingFor};
use guarding::Guarding;
pub(crate) use guarding::{stopped_answer, stopped_request};
use quotas::Charging;
use standing::Standing;
use target::Plan;

/// What an exchange is made from.
#[derive(Debug)]
pub struct ExchangeSeed {
    /// Unique in the fleet; the adapter makes it.
    pub id: ExchangeId,
    /// The policy that governs this exchange to its end; `None` when no snapshot was ever received.
    pub mesh: Option<Rc<Mesh>>,
    /// Whether that policy is older than it may be.
    pub mesh_is_stale: bool,
    /// The guardrails of that policy; `None` when it has none.
    pub guard: Option<Rc<Guard>>,
    /// The quotas of that policy.
    pub limits: Rc<Limits>,
    /// Where exchanges of this VM are admitted.
    pub desk: Rc<RefCell<Desk>>,
    /// What runs in this VM, by key.
    pub side_by_side: Rc<SideBySide>,
    /// Where headers that do not pass are counted.
    pub dropped: Rc<RefCell<DroppedHeaders>>,
    /// Provider keys that were refused lately, as this VM has seen it.
    pub cooling: Rc<RefCell<KeyCooling>>,
    /// Whether records can still be taken.
    pub records_are_full: bool,
    pub now: Timestamp,
}

/// The state machine of one exchange; both filter roles of the exchange feed the same one.
///
/// ```text
/// Start ─▶ AwaitingKey ─▶ ReadingBody ─▶ (Waiting) ─▶ Forwarded ─▶ Closed
///   └──────────┴──────────────┴─────────────┴──▶ Replied ─────────▶ Closed
/// ```
#[derive(Debug)]
pub struct Exchange {
    seed: ExchangeSeed,
    state: State,
    commands: VecDeque<Command>,
    facts: Facts,
    attempts: Vec<Attempt>,
    guarding: Option<Box<Guarding>>,
    charging: Option<Box<Charging>>,
    standing: Standing,
    /// Until when the rest of a stopped stream is read and dropped.
    draining_until: Option<Timestamp>,
    /// Set once the response headers have passed towards the client.
    answered: Option<u16>,
    response_ended: bool,
    /// The latest time that an input came with.
    latest: Timestamp,
    stray_inputs: u32,
}

/// What is known about the exchange apart from its state; all of it ends in the record.
#[derive(Debug)]
struct Facts {
    client: Client,
    surface: Option<Surface>,
    /// What the path would be if the provider that it names were not known: a refusal in the dialect of that provider
    /// would tell that there is one. Until the key is found to be allowed there.
    as_unknown: Option<Address>,
    cors: Cors,
    dialect: Dialect,
    address: Option<Address>,
    key: Option<Rc<CompiledKey>>,
    /// Counts among what runs of its key.
    place: Option<Place>,
    unkeyed: bool,
    subscription: bool,
    streamed: bool,
    is_head: bool,
    path: String,
    session_id: String,
    agent_id: String,
    client_request_ids: Vec<String>,
    model_asked: String,
    request_bytes: u64,
    refusal: Option<RefusalCode>,
    /// The name of the quota that refused, for administrators.
    refused_by: String,
    /// Carries the service's canary secret: a refusal of it is a probe and leaves no record.
    is_canary: bool,
    first_byte: Option<Timestamp>,
}

#[derive(Debug)]
enum State {
    Start,
    AwaitingKey(Box<admission::Presented>),
    ReadingBody(Box<BodyRead>),
    ReadingCanary(CanaryRead),
    /// For which texts were blocked before.
    AwaitingMarks(Box<Plan>),
    /// For what other VMs can spare of its quotas.
    AwaitingSpares(Box<Plan>),
    /// For what it may use while the service is away.
    AwaitingCredit(Box<Plan>),
    Waiting(Box<Waiting>),
    Forwarded(Box<Plan>),
    Replied,
    Closed,
}

impl Exchange {
    /// Starts an exchange.
    pub fn new(seed: ExchangeSeed) -> Self {
        Self {
            latest: seed.now,
            seed,
            state: State::Start,
            commands: VecDeque::new(),
            facts: Facts::default(),
            attempts: Vec::new(),
            guarding: None,
            charging: None,
            standing: Standing::default(),
            draining_until: None,
            answered: None,
            response_ended: false,
            stray_inputs: 0,
        }
    }

    /// Advances the exchange by one input; drain [`poll_command`](Self::poll_command) before the next.
    ///
    /// `now` may be zero where the adapter has not looked at its clock since the last input: the latest time known
    /// counts then. Only headers, the first chunk and the end are timed.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>) -> Flow {
        let now = now.max(self.latest);
        self.latest = now;
        match input {
            Input::AttemptStarted {
                number,
                host_provider,
            } => self.attempt_started(now, number, host_provider),
            Input::AttemptLost {
                number,
                connected_ms,
            } => self.attempt_lost(now, number, connected_ms),
            Input::AttemptHeaders {
                number,
                status,
                headers,
                end_of_stream,
            } => self.attempt_headers(now, number, status, headers, end_of_stream),
            Input::AttemptBody {
                number,
                chunk,
                end_of_stream,
            } => self.attempt_body(now, number, chunk, end_of_stream),
            Input::ResponseHeaders {
                status,
                details,
                end_of_stream,
            } => self.response_headers(status, details, end_of_stream),
            Input::Governed(governed) => self.governed(now, governed),
            Input::NotEdited => self.not_edited(),
            Input::ResponseEnded => {
                self.response_ended = true;
                Flow::Continue
            }
            Input::Closed {
                peer,
                response_bytes,
            } => self.closed(now, peer, response_bytes),
            Input::DeadlinePassed if self.draining_until.is_some_and(|until| until <= now) => {
                self.draining_until = None;
                self.commands.push_back(Command::ResetStream);
                Flow::Continue
            }
            Input::DeadlinePassed if matches!(self.state, State::Forwarded(_)) => {
                self.standing_is_due(now)
            }
            Input::Consulted { call, answer } if self.awaits_more(call) => {
                self.more_answered(now, answer)
            }
            Input::RequestHeaders { .. }
            | Input::KeyFound(_)
            | Input::MarksFound(_)
            | Input::SparesFound(_)
            | Input::CreditTaken(_)
            | Input::RequestBody { .. }
            | Input::NoRoom
            | Input::RequestHeld { .. }
            | Input::RequestTrailers
            | Input::Consulted { .. }
            | Input::DeadlinePassed => self.advance_request(now, &input),
        }
    }

    /// Returns the key that the request came with, once it is known.
    pub fn key(&self) -> Option<KeyId> {
        self.facts.key.as_ref()?.principal.key
    }

    /// Returns the size of the largest body that may pass.
    pub fn body_cap_bytes(&self) -> u64 {
        self.seed
            .mesh
            .as_ref()
            .map_or(0, |mesh| mesh.body_cap_bytes)
    }

    /// Returns the next thing the adapter has to do.
    pub fn poll_command(&mut self) -> Option<Command> {
        let mut command = self.commands.pop_front();
        if let Some(Command::Reply(reply)) = &mut command {
            reply.headers.extend(self.facts.cors.headers());
        }
        command
    }

    /// Returns the targets of a request that has gone on.
    fn plan(&self) -> Option<&target::Plan> {
        if let State::Forwarded(plan) = &self.state {
            return Some(plan);
        }
        None
    }

    /// Returns when to push [`Input::DeadlinePassed`]; `None` while nothing is waited for.
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        match &self.state {
            State::Waiting(waiting) => Some(waiting.deadline),
            State::Forwarded(_) => self.draining_until.or_else(|| self.standing_due()),
            State::Start
            | State::AwaitingKey(_)
            | State::ReadingBody(_)
            | State::ReadingCanary(_)
            | State::AwaitingMarks(_)
            | State::AwaitingSpares(_)
            | State::AwaitingCredit(_)
            | State::Replied
            | State::Closed => None,
        }
    }

    /// Returns whether the time of each piece of the answer matters: it may have to be stopped.
    pub fn times_answer(&self) -> bool {
        self.guards_answer() || self.is_ending()
    }

    /// Returns whether the request waits for room that others hold, and is to ask again at its deadline.
    pub fn waits_its_turn(&self) -> bool {
        matches!(&self.state, State::Waiting(waiting) if matches!(waiting.what, WaitingFor::Turn(_)))
    }

    /// Returns whether the stream was stopped and its rest is only read.
    pub fn is_draining(&self) -> bool {
        self.draining_until.is_some()
    }

    /// Returns whether the deadline that is set is that of a question: one that passes was not answered in time.
    pub fn awaits_answer(&self) -> bool {
        matches!(&self.state, State::Waiting(waiting) if !matches!(waiting.what, WaitingFor::Turn(_)))
    }

    /// Returns whether there is something to do for the adapter.
    pub fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    /// Returns whether the next response chunk is the first, whose time matters.
    pub fn awaits_first_byte(&self) -> bool {
        self.facts.first_byte.is_none()
    }

    /// Returns the status of the provider's own answer, once it has begun.
    pub fn provider_status(&self) -> Option<u16> {
        // What we answered ourselves stands in the place of what had come of an answer.
        let is_answered_here = matches!(self.state, State::Replied);
        let last = self.attempts.last().filter(|_| !is_answered_here);
        last.and_then(Attempt::status)
    }

    /// Returns whether the response has come to its end on the way to the client.
    pub fn has_ended(&self) -> bool {
        self.response_ended
    }

    /// Returns the number of the next attempt where all go to one target, so that nobody needs to ask the proxy which
    /// one it is and where it goes.
    pub fn next_at_one_target(&self) -> Option<AttemptNumber> {
        let made = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        let is_one = matches!(&self.state, State::Forwarded(plan) if plan.has_one_target());
        is_one.then(|| AttemptNumber(made.saturating_add(1)))
    }

    /// Returns whether the exchange was handed to a provider or is still being read.
    pub fn is_running(&self) -> bool {
        !matches!(self.state, State::Replied | State::Closed)
    }

    /// Returns when the exchange began.
    pub fn started(&self) -> Timestamp {
        self.seed.now
    }

    /// Returns how many inputs came in a state that has no use for them.
    pub fn stray_inputs(&self) -> u32 {
        self.stray_inputs
    }

    /// Returns the record as it would be now, for a progress report.
    pub fn progress(&self, now: Timestamp) -> ExchangeRecord {
        self.record(now, Ended::Running, 0)
    }

    fn advance_request(&mut self, now: Timestamp, input: &Input<'_>) -> Flow {
        match mem::replace(&mut self.state, State::Closed) {
            State::Start => self.start(input),
            State::AwaitingKey(presented) => self.awaiting_key(now, presented, input),
            State::ReadingBody(body) => self.reading_body(now, body, input),
            State::ReadingCanary(read) => self.reading_canary(read, input),
            State::AwaitingMarks(plan) => {
                if let Input::MarksFound(known) = *input {
                    return self.marks_found(now, plan, known);
                }
                self.stray(State::AwaitingMarks(plan));
                Flow::Hold
            }
            State::AwaitingSpares(plan) => {
                if let Input::SparesFound(spares) = *input {
                    return self.spares_found(*plan, spares);
                }
                self.stray(State::AwaitingSpares(plan));
                Flow::Hold
            }
            State::AwaitingCredit(plan) => {
                if let Input::CreditTaken(without) = *input {
                    return self.credit_taken(now, *plan, without);
                }
                self.stray(State::AwaitingCredit(plan));
                Flow::Hold
            }
            State::Waiting(waiting) => self.waiting(now, waiting, input),
            state @ (State::Forwarded(_) | State::Replied | State::Closed) => self.stray(state),
        }
    }

    /// Keeps `state`; the input had no meaning in it.
    fn stray(&mut self, state: State) -> Flow {
        self.state = state;
        self.stray_inputs = self.stray_inputs.saturating_add(1);
        Flow::Continue
    }

    /// Refuses the request in its client's shape.
    fn refuse(&mut self, code: RefusalCode, message: String) -> Flow {
        self.refuse_later(code, message, None)
    }

    fn refuse_later(
        &mut self,
        code: RefusalCode,
        message: String,
        retry_after_secs: Option<u32>,
    ) -> Flow {
        self.refuse_as(code, code, message, retry_after_secs)
    }

    /// Refuses by `shown` what was refused for `code`, which is the administrator's to know.
    fn refuse_as(
        &mut self,
        shown: RefusalCode,
        code: RefusalCode,
        message: String,
        retry_after_secs: Option<u32>,
    ) -> Flow {
        let reply = self.shape(shown, message, retry_after_secs);
        self.facts.refusal = Some(code);
        self.commands.push_back(Command::Reply(reply));
        self.state = State::Replied;
        Flow::Hold
    }

    fn shape(
        &self,
        code: RefusalCode,
        message: String,
        retry_after_secs: Option<u32>,
    ) -> dialects::refusal::Reply {
        let refusal = Refusal {
            code,
            message,
            retry_after_secs,
        };
        let as_unknown = self.facts.as_unknown.as_ref();
        let known = as_unknown.map(|it| it.surface).or(self.facts.surface);
        let surface = known.unwrap_or(match self.facts.dialect {
            Dialect::Anthropic => Surface::AnthropicOpaque,
            Dialect::Openai => Surface::OpenaiOpaque,
            Dialect::Gemini => Surface::GeminiOpaque,
        });
        let mut reply = refuse(surface, self.facts.client, self.facts.streamed, &refusal);
        if self.facts.is_head {
            reply.body.clear();
        }
        reply
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            client: Client::Other,
            surface: None,
            as_unknown: None,
            cors: Cors::Off,
            dialect: Dialect::Openai,
            address: None,
            key: None,
            place: None,
            unkeyed: false,
            subscription: false,
            streamed: false,
            is_head: false,
            path: String::new(),
            session_id: String::new(),
            agent_id: String::new(),
            client_request_ids: Vec::new(),
            model_asked: String::new(),
            request_bytes: 0,
            refusal: None,
            refused_by: String::new(),
            is_canary: false,
            first_byte: None,
        }
    }
}

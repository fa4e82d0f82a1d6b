//! Role `govern`: one stream of the listener, from its request headers to its record.

use std::cell::RefCell;
use std::rc::Rc;

use dialects::refusal::Reply;
use engine::messages::{CallId, ClosedBy, ConsultKind};
use engine::{Command, Exchange, Flow, HeaderEdit, Input};
use policy::quota::lease::GrantRequest;
use policy::units::Timestamp;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::body::{self, End};
use crate::consult::{ask, read_answer};
use crate::credit;
use crate::host::{self, NotEdited, Side};
use crate::marks::{BLOCKED, CREATED, ITEMS};
use crate::records;
use crate::spares;
use crate::teller;
use crate::vm::{self, Running};

/// Where the upstream chain finds the exchange of an attempt.
pub(crate) const EXCHANGE_PROPERTY: &str = "weir_exchange";

/// Envoy's response flag for a downstream connection that went away.
const FLAG_DOWNSTREAM_TERMINATION: u64 = 0x4000;

/// One request and its response in the listener's chain.
#[derive(Debug)]
pub(crate) struct Govern {
    context: u32,
    cluster: String,
    serial: u64,
    running: Option<Rc<RefCell<Running>>>,
    is_forwarded: bool,
    consulting: Option<Consulting>,
    /// Stands in for the body of a response that the proxy made.
    replacement: Option<Vec<u8>>,
    response_bytes: u64,
}

/// A question to the service that is not answered yet.
#[derive(Debug)]
struct Consulting {
    token: u32,
    call: CallId,
    /// What was asked for, if it was slices of quotas.
    grant: Option<GrantRequest>,
}

/// What the carried-out commands mean for the callback that caused them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Undecided,
    Forwarded,
    Replied,
}

impl Govern {
    pub(crate) const fn new(context: u32, cluster: String) -> Self {
        Self {
            context,
            cluster,
            serial: 0,
            running: None,
            is_forwarded: false,
            consulting: None,
            replacement: None,
            response_bytes: 0,
        }
    }

    /// Pushes `input` and carries out what follows.
    fn push(&mut self, now: Timestamp, input: Input<'_>) -> (Flow, Outcome) {
        let Some(running) = self.running.clone() else {
            return (Flow::Continue, Outcome::Undecided);
        };
        let mut guard = running.borrow_mut();
        let mut flow = guard.exchange.handle(now, input);
        let mut outcome = Outcome::Undecided;
        while let Some(command) = guard.exchange.poll_command() {
            if let Command::FindKey(hash) = command {
                let key = vm::with(|vm| vm.key(&mut guard, &hash));
                flow = guard.exchange.handle(now, Input::KeyFound(key));
            } else if let Command::FindMarks(marks) = command {
                let known = BLOCKED.known(&marks);
                flow = guard.exchange.handle(now, Input::MarksFound(&known));
            } else if let Command::TakeCredit(wanted) = command {
                let without = credit::take(&wanted);
                flow = guard.exchange.handle(now, Input::CreditTaken(without));
            } else if let Command::FindSpares(wanted) = command {
                let found = spares::take(now, &wanted);
                flow = guard.exchange.handle(now, Input::SparesFound(&found));
            } else if let Command::Consult { call, kind } = command {
                flow = self.consult(now, &mut guard.exchange, call, kind);
            } else if let Command::ConsultLater { call, kind } = command {
                let serial = guard.serial;
                vm::with(|vm| vm.teller.ask_later(serial, call, kind));
            } else {
                match self.carry_out(command, outcome) {
                    Ok(next) => outcome = next,
                    Err(NotEdited) => flow = guard.exchange.handle(now, Input::NotEdited),
                }
            }
        }
        (flow, outcome)
    }

    fn consult(
        &mut self,
        now: Timestamp,
        exchange: &mut Exchange,
        call: CallId,
        kind: ConsultKind,
    ) -> Flow {
        match ask(&self.cluster, kind) {
            Ok((token, grant)) => {
                self.consulting = Some(Consulting { token, call, grant });
                Flow::Hold
            }
            Err(answer) => exchange.handle(now, Input::Consulted { call, answer }),
        }
    }

    fn carry_out(&mut self, command: Command, outcome: Outcome) -> Result<Outcome, NotEdited> {
        let outcome = match command {
            Command::Reply(reply) => {
                host::reply(&reply);
                Outcome::Replied
            }
            Command::AnswerCanary { body_bytes } => {
                host::reply(&canary_answer(body_bytes));
                Outcome::Replied
            }
            Command::Forward { edits } => {
                forward(self.serial, &edits)?;
                self.is_forwarded = true;
                Outcome::Forwarded
            }
            Command::RewriteResponse(reply) => {
                self.replacement = Some(rewrite(reply)?);
                outcome
            }
            Command::EditResponse { edits } => {
                host::edit(Side::Response, &edits)?;
                outcome
            }
            Command::Record(record) => {
                deliver(*record);
                outcome
            }
            Command::KeepMarks(marks) => {
                BLOCKED.keep(&marks);
                outcome
            }
            Command::KeepOwned(mark) => {
                CREATED.keep(&[mark]);
                outcome
            }
            Command::KeepItem(mark) => {
                ITEMS.keep(&[mark]);
                outcome
            }
            Command::KeepTokens(minted) => {
                vm::with(|vm| vm.outbox.push_minted(minted));
                outcome
            }
            Command::ResetStream => {
                host::reset_response();
                outcome
            }
            Command::FindKey(_)
            | Command::FindMarks(_)
            | Command::FindSpares(_)
            | Command::TakeCredit(_)
            | Command::Consult { .. }
            | Command::ConsultLater { .. }
            | Command::EditAttempt { .. }
            | Command::SplicePrefix(_)
            | Command::SpliceAnswer(_)
            | Command::RewriteAnswer(_)
            | Command::RefuseAttempt(_)
            | Command::ReplaceChunk(_) => outcome,
        };
        Ok(outcome)
    }

    fn action(&self, flow: Flow, outcome: Outcome) -> Action {
        match (outcome, flow) {
            (Outcome::Forwarded, _) => Action::Continue,
            (Outcome::Replied, _) | (Outcome::Undecided, Flow::Hold) => Action::Pause,
            (Outcome::Undecided, Flow::Continue) => Action::Continue,
        }
    }

    /// Tells the exchange what has changed of policy; `false` if that was its end.
    fn is_still_fit(&mut self, now: Timestamp) -> bool {
        let Some(running) = self.running.clone() else {
            return true;
        };
        let news = vm::with(|vm| vm.news(&mut running.borrow_mut()));
        news.is_none_or(|news| self.push(now, Input::Governed(&news)).1 != Outcome::Replied)
    }

    /// Takes note of what has come of the body, and reads on if this stream may.
    fn body_came(&mut self, now: Timestamp, size: usize, end: Option<End>) -> Action {
        let Some(running) = self.running.clone() else {
            return Action::Continue;
        };
        if end.is_some() && !self.is_still_fit(now) {
            let mut running = running.borrow_mut();
            running.body.is_done();
            body::forget(running.serial);
            return Action::Pause;
        }
        let (too_much, read) = {
            let mut running = running.borrow_mut();
            if running.body.was_decided() {
                return Action::Pause;
            }
            running.body.came(size, end);
            let too_much = body::hold(&mut running);
            let read = if too_much.is_some() {
                None
            } else {
                body::piece_at_once(&mut running)
            };
            (too_much, read)
        };
        let mut last = (Flow::Hold, Outcome::Undecided);
        let (piece, end) = read.unwrap_or_default();
        for input in too_much.into_iter().chain(body::inputs(&piece, end)) {
            last = self.push(now, input);
            if last.1 != Outcome::Undecided {
                break;
            }
        }
        let mut running = running.borrow_mut();
        if last.1 != Outcome::Undecided || end.is_some() {
            running.body.is_done();
            body::forget(running.serial);
        } else if running.body.waits() {
            body::wait(&running);
        }
        self.action(last.0, last.1)
    }
}

impl Context for Govern {
    fn on_grpc_call_response(&mut self, token_id: u32, status_code: u32, response_size: usize) {
        let asked = self.consulting.take_if(|asked| asked.token == token_id);
        let Some(Consulting { call, grant, .. }) = asked else {
            return;
        };
        let answer = read_answer(grant.as_ref(), status_code, response_size);
        let now = host::now();
        if !self.is_still_fit(now) {
            return;
        }
        let (_, outcome) = self.push(now, Input::Consulted { call, answer });
        if outcome == Outcome::Forwarded {
            host::resume_request();
        }
    }

    fn on_done(&mut self) -> bool {
        self.release_body();
        body::forget(self.serial);
        vm::with(|vm| vm.end(self.serial));
        true
    }
}

impl HttpContext for Govern {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        let now = host::now();
        let (serial, running) = vm::with(|vm| vm.begin(self.context, now));
        self.serial = serial;
        self.running = Some(running);
        let headers = Rc::new(host::headers(Side::Request));
        let (flow, outcome) = self.push(
            now,
            Input::RequestHeaders {
                headers: &headers,
                end_of_stream,
            },
        );
        self.action(flow, outcome)
    }

    fn on_http_request_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        if self.is_forwarded {
            return Action::Continue;
        }
        let (now, end) = if end_of_stream {
            (host::now(), Some(End::Data))
        } else {
            (Timestamp::default(), None)
        };
        self.body_came(now, body_size, end)
    }

    fn on_http_request_trailers(&mut self, _num_trailers: usize) -> Action {
        let passes = |name: &str, value: &[u8]| {
            self.running.as_ref().is_some_and(|running| {
                let running = running.borrow();
                running.exchange.passes_request_trailer(name, value)
            })
        };
        if host::filter_trailers(Side::Request, passes) == Err(NotEdited) {
            self.push(host::now(), Input::NotEdited);
            return Action::Pause;
        }
        if self.is_forwarded {
            return Action::Continue;
        }
        self.body_came(host::now(), 0, Some(End::Trailers))
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        self.release_body();
        // What the provider answered was read in the upstream chain; only the proxy's own answers are news.
        let from_provider = self
            .running
            .as_ref()
            .and_then(|running| running.borrow().exchange.provider_status());
        let status = from_provider.or_else(|| {
            host::header(Side::Response, ":status")
                .and_then(|text| String::from_utf8(text).ok()?.parse().ok())
        });
        let details = match (from_provider, status) {
            (None, Some(400..)) => proxy_details(),
            (Some(_) | None, _) => String::new(),
        };
        self.push(
            Timestamp::default(),
            Input::ResponseHeaders {
                status: status.unwrap_or_default(),
                details: &details,
                end_of_stream,
            },
        );
        Action::Continue
    }

    fn on_http_response_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        self.response_bytes = self.response_bytes.saturating_add(body_size as u64);
        if let Some(replacement) = &mut self.replacement {
            host::replace_answer(body_size, replacement);
            replacement.clear();
        }
        if end_of_stream {
            self.response_ended();
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _num_trailers: usize) -> Action {
        self.response_ended();
        Action::Continue
    }

    fn on_log(&mut self) {
        let Some(running) = &self.running else {
            // The request never came as far as this filter.
            proxy_details();
            return;
        };
        let has_ended = running.borrow().exchange.has_ended();
        let flags = if has_ended {
            None
        } else {
            host::property_u64(&["response", "flags"])
        };
        let peer = match flags {
            Some(flags) if flags & FLAG_DOWNSTREAM_TERMINATION != 0 => ClosedBy::Client,
            Some(_) | None => ClosedBy::Nobody,
        };
        let response_bytes = self.response_bytes;
        self.push(
            host::now(),
            Input::Closed {
                peer,
                response_bytes,
            },
        );
    }
}

impl Govern {
    /// The proxy lets go of the body when an answer begins: from then on nothing is tried again.
    fn release_body(&mut self) {
        if let Some(running) = &self.running {
            body::release(&mut running.borrow_mut());
        }
    }

    fn response_ended(&mut self) {
        self.push(Timestamp::default(), Input::ResponseEnded);
    }
}

/// Tells an exchange what has changed of policy, from where nothing of its stream happens; returns whether that let
/// the request go or answered it.
pub(crate) fn tell_news(now: Timestamp, running: &mut Running, cluster: &str) -> bool {
    let Some(news) = vm::with(|vm| vm.news(running)) else {
        return false;
    };
    running.exchange.handle(now, Input::Governed(&news));
    running.exchange.has_commands()
        && host::enter(running.context)
        && carry_out_late(now, running, cluster)
}

/// Hands a piece of a held body over outside the stream's own callbacks; the stream is entered.
pub(crate) fn read_late(
    now: Timestamp,
    running: &mut Running,
    cluster: &str,
    piece: &[u8],
    end: Option<End>,
) {
    if end.is_some() && tell_news(now, running, cluster) {
        return;
    }
    for input in body::inputs(piece, end) {
        running.exchange.handle(now, input);
        if carry_out_late(now, running, cluster) {
            return;
        }
    }
    if end.is_some() {
        running.body.is_done();
    }
    if !running.body.waits() {
        body::forget(running.serial);
    }
}

/// Carries out what is to be done outside the stream's own callbacks; the stream is held and entered. Returns whether
/// the request was let go or answered.
pub(crate) fn carry_out_late(now: Timestamp, running: &mut Running, cluster: &str) -> bool {
    let mut is_decided = false;
    while let Some(command) = running.exchange.poll_command() {
        is_decided |= matches!(
            command,
            Command::Reply(_) | Command::AnswerCanary { .. } | Command::Forward { .. }
        );
        match command {
            Command::FindMarks(marks) => {
                let known = BLOCKED.known(&marks);
                running.exchange.handle(now, Input::MarksFound(&known));
            }
            Command::AnswerCanary { body_bytes } => host::reply(&canary_answer(body_bytes)),
            Command::Consult { call, kind } => {
                let serial = running.serial;
                if let Some(answer) = teller::ask(cluster, serial, call, kind) {
                    running
                        .exchange
                        .handle(now, Input::Consulted { call, answer });
                }
            }
            Command::TakeCredit(wanted) => {
                let without = credit::take(&wanted);
                running.exchange.handle(now, Input::CreditTaken(without));
            }
            Command::FindSpares(wanted) => {
                let found = spares::take(now, &wanted);
                running.exchange.handle(now, Input::SparesFound(&found));
            }
            Command::Reply(reply) => host::reply(&reply),
            Command::Record(record) => deliver(*record),
            Command::ResetStream => host::reset_response(),
            Command::KeepMarks(marks) => BLOCKED.keep(&marks),
            Command::KeepOwned(mark) => CREATED.keep(&[mark]),
            Command::KeepItem(mark) => ITEMS.keep(&[mark]),
            Command::KeepTokens(minted) => vm::with(|vm| vm.outbox.push_minted(minted)),
            Command::ConsultLater { call, kind } => {
                let serial = running.serial;
                vm::with(|vm| vm.teller.ask_later(serial, call, kind));
            }
            Command::Forward { edits } => match forward(running.serial, &edits) {
                Ok(()) => host::resume_request(),
                Err(NotEdited) => {
                    running.exchange.handle(now, Input::NotEdited);
                }
            },
            Command::FindKey(_)
            | Command::EditAttempt { .. }
            | Command::SplicePrefix(_)
            | Command::SpliceAnswer(_)
            | Command::RewriteAnswer(_)
            | Command::RefuseAttempt(_)
            | Command::ReplaceChunk(_)
            | Command::RewriteResponse(_)
            | Command::EditResponse { .. } => {
                host::warn("a held request led to a command that cannot be carried out")
            }
        }
    }
    if is_decided {
        running.body.is_done();
        body::forget(running.serial);
    }
    is_decided
}

/// Returns how the proxy names the answer that it made by itself, and counts it; empty for an answer of ours.
fn proxy_details() -> String {
    let details = host::property(&["response", "code_details"]).unwrap_or_default();
    let details = String::from_utf8_lossy(&details).into_owned();
    if !details.is_empty() {
        vm::with(|vm| vm.count_proxy_reply(&details));
    }
    details
}

fn deliver(record: engine::ExchangeRecord) {
    let refused = !record.refusal_code.is_empty();
    let is_stranger = refused && record.principal.key.is_none();
    let now = Timestamp::from_millis(record.started.as_millis().saturating_add(record.latency_ms));
    vm::with(|vm| {
        vm.counters.refusals = vm.counters.refusals.saturating_add(u64::from(refused));
        let message = records::message(record);
        if is_stranger {
            vm.outbox.push_stranger(message, now);
        } else {
            vm.outbox.push(message);
        }
    });
}

/// Sets the head of a response that the proxy made; returns the body to put in.
fn rewrite(reply: Reply) -> Result<Vec<u8>, NotEdited> {
    let mut edits = vec![
        HeaderEdit::set(":status", reply.status.to_string()),
        HeaderEdit::remove("content-length"),
    ];
    edits.extend(
        reply
            .headers
            .into_iter()
            .map(|(name, value)| HeaderEdit::set(name, value)),
    );
    host::edit(Side::Response, &edits)?;
    Ok(reply.body)
}

/// Makes a held request the one that goes to its plan, and names its exchange to the upstream chain.
fn forward(serial: u64, edits: &[HeaderEdit]) -> Result<(), NotEdited> {
    host::edit(Side::Request, edits)?;
    let ticket = vm::with(|vm| vm.tickets.give(serial));
    host::set_property(EXCHANGE_PROPERTY, &ticket)?;
    host::clear_route_cache();
    Ok(())
}

/// The state of this VM, for whoever knows the canary secret.
fn canary_answer(body_bytes: u64) -> Reply {
    let body = vm::with(|vm| {
        let head = vm.head.unwrap_or_default();
        format!(
            r#"{{"vm":"{}","process":"{}","generation":"{}","version":{},"body_bytes":{body_bytes}}}"#,
            hex(&vm.id),
            hex(&crate::shared::process_id()),
            hex(&head.generation),
            head.version
        )
    });
    Reply {
        status: 200,
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.into_bytes(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

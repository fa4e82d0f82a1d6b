//! Role `adapt`: one attempt in the router's upstream chain.

use std::cell::RefCell;
use std::rc::Rc;

use dialects::refusal::{RefusalCode, Reply};
use dialects::splice::{PieceEditor, Splice, apply_prefix};
use engine::messages::{AttemptNumber, PrefixSplice};
use engine::{Command, HeaderEdit, Input};
use policy::units::Timestamp;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::govern::EXCHANGE_PROPERTY;
use crate::host::{self, NotEdited, READ_BYTES, Side};
use crate::marks::{CREATED, ITEMS};
use crate::vm::{self, Running};

/// One attempt.
#[derive(Debug, Default)]
pub(crate) struct Adapt {
    running: Option<Rc<RefCell<Running>>>,
    number: Option<AttemptNumber>,
    splice: Option<PrefixSplice>,
    reads_body: bool,
    /// The answer is held until all of it has come.
    holds_answer: bool,
    /// Held bytes already handed to the engine.
    consumed: usize,
    /// Change of the held answer.
    answer_splice: Option<PrefixSplice>,
    /// Stands in for the body of the answer.
    replacement: Option<Vec<u8>>,
    /// An answer has begun, the provider's or one from here.
    is_answered: bool,
}

impl Adapt {
    fn push(&mut self, now: Timestamp, input: Input<'_>) -> Action {
        let Some(running) = self.running.clone() else {
            return Action::Continue;
        };
        let mut guard = running.borrow_mut();
        let mut action = match guard.exchange.handle(now, input) {
            engine::Flow::Continue => Action::Continue,
            engine::Flow::Hold => Action::Pause,
        };
        while let Some(command) = guard.exchange.poll_command() {
            match command {
                Command::EditAttempt { edits } => {
                    if host::edit(Side::Request, &edits) == Err(NotEdited) {
                        guard.exchange.handle(now, Input::NotEdited);
                        action = Action::Pause;
                    }
                }
                Command::SplicePrefix(splice) => self.splice = Some(splice),
                // The key ended before this attempt began.
                Command::RefuseAttempt(reply) | Command::Reply(reply) => {
                    self.is_answered = true;
                    host::reply(&reply);
                    action = Action::Pause;
                }
                Command::EditResponse { edits } => {
                    if host::edit(Side::Response, &edits) == Err(NotEdited) {
                        guard.exchange.handle(now, Input::NotEdited);
                        action = Action::Pause;
                    }
                }
                Command::ResetStream => host::reset_response(),
                Command::SpliceAnswer(splice) => self.answer_splice = Some(splice),
                Command::RewriteAnswer(reply) => self.replacement = rewrite(reply),
                Command::KeepOwned(mark) => CREATED.keep(&[mark]),
                Command::KeepItem(mark) => ITEMS.keep(&[mark]),
                Command::ConsultLater { call, kind } => {
                    let serial = guard.serial;
                    vm::with(|vm| vm.teller.ask_later(serial, call, kind));
                }
                Command::FindKey(_)
                | Command::FindMarks(_)
                | Command::FindSpares(_)
                | Command::TakeCredit(_)
                | Command::KeepMarks(_)
                | Command::KeepTokens(_)
                | Command::Consult { .. }
                | Command::AnswerCanary { .. }
                | Command::Forward { .. }
                | Command::ReplaceChunk(_)
                | Command::RewriteResponse(_)
                | Command::Record(_) => {
                    host::warn("an attempt led to a command that cannot be carried out")
                }
            }
        }
        action
    }

    /// Hands a piece of the response body over; returns what stands in its place, if anything.
    fn push_body(&mut self, chunk: &[u8], end_of_stream: bool) -> Option<Vec<u8>> {
        let (Some(running), Some(number)) = (self.running.clone(), self.number) else {
            return None;
        };
        let mut guard = running.borrow_mut();
        let now = if guard.exchange.awaits_first_byte() || guard.exchange.times_answer() {
            host::now()
        } else {
            Timestamp::default()
        };
        guard.exchange.handle(
            now,
            Input::AttemptBody {
                number,
                chunk,
                end_of_stream,
            },
        );
        let mut replaced = None;
        while let Some(command) = guard.exchange.poll_command() {
            match command {
                Command::ReplaceChunk(bytes) => replaced = Some(bytes),
                Command::EditResponse { edits } => {
                    if host::edit(Side::Response, &edits) == Err(NotEdited) {
                        guard.exchange.handle(now, Input::NotEdited);
                    }
                }
                Command::Reply(reply) => host::reply(&reply),
                Command::ResetStream => host::reset_response(),
                Command::SpliceAnswer(splice) => self.answer_splice = Some(splice),
                Command::RewriteAnswer(reply) => self.replacement = rewrite(reply),
                Command::KeepOwned(mark) => CREATED.keep(&[mark]),
                Command::KeepItem(mark) => ITEMS.keep(&[mark]),
                Command::ConsultLater { call, kind } => {
                    let serial = guard.serial;
                    vm::with(|vm| vm.teller.ask_later(serial, call, kind));
                }
                Command::FindKey(_)
                | Command::FindMarks(_)
                | Command::FindSpares(_)
                | Command::TakeCredit(_)
                | Command::KeepMarks(_)
                | Command::KeepTokens(_)
                | Command::Consult { .. }
                | Command::AnswerCanary { .. }
                | Command::Forward { .. }
                | Command::EditAttempt { .. }
                | Command::SplicePrefix(_)
                | Command::RefuseAttempt(_)
                | Command::RewriteResponse(_)
                | Command::Record(_) => {
                    host::warn("an answer led to a command that cannot be carried out")
                }
            }
        }
        replaced
    }
}

/// The provider that the chosen host belongs to; empty when the host does not say.
fn chosen_provider() -> String {
    let name = host::property(&[
        "xds",
        "upstream_host_metadata",
        "filter_metadata",
        "weir",
        "provider",
    ]);
    name.and_then(|name| String::from_utf8(name).ok())
        .unwrap_or_default()
}

const UNKNOWN: &str = "The proxy does not know this request any more, because its filter was loaded anew; nothing was sent. Send it again.";
const NOT_WHOLE: &str = "The proxy could not change the body as policy wants it, so nothing was passed on; try again, and tell your administrator if it happens again.";

/// The answer when this attempt cannot be told what it is: its dialect is not known either, but all of them have an
/// object `error` with a `message`.
fn unfit(message: &str) -> Reply {
    let code = RefusalCode::Internal.name();
    let body = serde_json::json!({
        "type": "error",
        "error": {"type": "api_error", "message": message, "weir_code": code},
    });
    Reply {
        status: 503,
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("retry-after", "1".to_owned()),
            ("x-weir-code", code.to_owned()),
        ],
        body: body.to_string().into_bytes(),
    }
}

/// Nanoseconds in a millisecond.
const NANOS: u64 = 1_000_000;

impl Context for Adapt {
    fn on_done(&mut self) -> bool {
        if let Some(number) = self.number.filter(|_| !self.is_answered) {
            // The proxy notes it when it has a connection to send on.
            let waited = host::property_u64(&["upstream", "cx_pool_ready_duration"]);
            let connected_ms = waited.map(|nanos| nanos / NANOS);
            let lost = Input::AttemptLost {
                number,
                connected_ms,
            };
            // Where the exchange is in use it is ending the stream itself, and knows what becomes of the attempt.
            if let Some(Ok(mut running)) = self.running.as_ref().map(|it| it.try_borrow_mut()) {
                running.exchange.handle(host::now(), lost);
            }
        }
        true
    }
}

impl HttpContext for Adapt {
    fn on_http_request_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        self.running = host::property(&[EXCHANGE_PROPERTY]).and_then(|ticket| {
            vm::with(|vm| {
                let serial = vm.tickets.serial(&ticket).ok()?;
                vm.find(serial)
            })
        });
        if self.running.is_none() {
            // The VM was reloaded: the credentials of this request are gone, and nothing unfiltered goes on.
            host::reply(&unfit(UNKNOWN));
            return Action::Pause;
        }
        let next = self
            .running
            .as_ref()
            .and_then(|running| running.borrow().exchange.next_at_one_target());
        // With one target the first attempt is at the moment the request was let go, and its cluster is its plan.
        let (number, provider, now) = match next {
            Some(first @ AttemptNumber(1)) => (first, None, Timestamp::default()),
            Some(next) => (next, None, host::now()),
            None => {
                let attempt = host::property_u64(&["upstream", "request_attempt_count"]);
                let number = attempt
                    .and_then(|attempt| u32::try_from(attempt).ok())
                    .unwrap_or(u32::MAX);
                let number = AttemptNumber(number);
                (number, Some(chosen_provider()), host::now())
            }
        };
        self.number = Some(number);
        let running = self.running.clone();
        let news = running.and_then(|running| vm::with(|vm| vm.news(&mut running.borrow_mut())));
        if let Some(news) = news
            && self.push(host::now(), Input::Governed(&news)) == Action::Pause
        {
            return Action::Pause;
        }
        self.push(
            now,
            Input::AttemptStarted {
                number,
                host_provider: provider.as_deref(),
            },
        )
    }

    fn on_http_request_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        let Some(splice) = &mut self.splice else {
            return Action::Continue;
        };
        let length = usize::try_from(splice.length).unwrap_or(usize::MAX);
        if body_size < length && !end_of_stream {
            return Action::Pause;
        }
        let splices = std::mem::take(&mut splice.splices);
        self.splice = None;
        match edit_held(Side::Request, body_size, length, splices) {
            Edited::Whole => Action::Continue,
            Edited::Not | Edited::Partly => {
                // The body is not the one that was judged: it must not go on under another name.
                host::reply(&unfit(NOT_WHOLE));
                Action::Pause
            }
        }
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        let Some(number) = self.number else {
            return Action::Continue;
        };
        self.is_answered = true;
        let headers = host::headers(Side::Response);
        let status = headers
            .text(":status")
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        let input = Input::AttemptHeaders {
            number,
            status,
            headers: &headers,
            end_of_stream,
        };
        let action = self.push(host::now(), input);
        self.reads_body = self
            .running
            .as_ref()
            .is_some_and(|running| running.borrow().exchange.reads_attempt(number));
        self.holds_answer = action == Action::Pause;
        self.consumed = 0;
        action
    }

    fn on_http_response_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        if !self.reads_body {
            self.push_body(&[], end_of_stream);
            return Action::Continue;
        }
        if self.holds_answer {
            return self.read_held(body_size, end_of_stream);
        }
        if let Some(replacement) = self.replacement.take() {
            // What came instead was judged by its head alone.
            self.push_body(&[], end_of_stream);
            host::replace_answer(body_size, &replacement);
            return Action::Continue;
        }
        if body_size <= READ_BYTES {
            let chunk = host::body(Side::Response, 0, body_size);
            if let Some(bytes) = self.push_body(&chunk, end_of_stream) {
                host::replace_answer(body_size, &bytes);
            }
            return Action::Continue;
        }
        self.read_in_pieces(body_size, end_of_stream);
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _num_trailers: usize) -> Action {
        if let (Some(running), Some(number)) = (&self.running, self.number) {
            let passes = |name: &str, _: &[u8]| {
                let running = running.borrow();
                running.exchange.passes_answer_trailer(number, name)
            };
            if host::filter_trailers(Side::Response, passes) == Err(NotEdited) {
                return self.push(host::now(), Input::NotEdited);
            }
        }
        if self.holds_answer {
            let size = self.consumed;
            return self.read_held(size, true);
        }
        if let Some(rest) = self.push_body(&[], true)
            && !rest.is_empty()
        {
            host::replace_answer(0, &rest);
        }
        Action::Continue
    }
}

/// What became of a held body that was to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edited {
    Whole,
    Not,
    Partly,
}

/// Changes a held body of `size` bytes, in its first `length` bytes.
///
/// The front of a body can be replaced and its end be added to, nothing between. So a short front is replaced, and of
/// a longer one piece by piece is taken from the front and put behind the end, until the last one has been: no more
/// than a piece is in the VM, whose memory never shrinks.
fn edit_held(side: Side, size: usize, length: usize, mut splices: Vec<Splice>) -> Edited {
    if length <= READ_BYTES {
        let head = host::body(side, 0, length);
        return match apply_prefix(&head, &mut splices) {
            Ok(prefix) if host::replace_prefix(side, prefix.drop, &prefix.with) => Edited::Whole,
            Ok(_) | Err(_) => Edited::Not,
        };
    }
    let Ok(mut editor) = PieceEditor::new(splices, u64::try_from(size).unwrap_or(u64::MAX)) else {
        return Edited::Not;
    };
    let mut out = Vec::with_capacity(READ_BYTES);
    let mut left = size;
    while left > 0 {
        let piece = host::body(side, 0, left.min(READ_BYTES));
        if piece.is_empty() {
            return Edited::Partly;
        }
        left = left.saturating_sub(piece.len());
        out.clear();
        editor.edit(&piece, left == 0, &mut out);
        if !host::rotate(side, piece.len(), &out) {
            return Edited::Partly;
        }
    }
    Edited::Whole
}

/// Sets the head of an answer that is not the provider's; returns the body to put in, or breaks the answer off.
fn rewrite(reply: Reply) -> Option<Vec<u8>> {
    let mut edits = vec![
        HeaderEdit::set(":status", reply.status.to_string()),
        HeaderEdit::set("content-length", reply.body.len().to_string()),
        HeaderEdit::remove("content-encoding"),
    ];
    let headers = reply.headers.into_iter();
    edits.extend(headers.map(|(name, value)| HeaderEdit::set(name, value)));
    if host::edit(Side::Response, &edits) == Err(NotEdited) {
        host::reset_response();
        return None;
    }
    Some(reply.body)
}

impl Adapt {
    /// Hands the held bytes over that the engine has not seen; at the end, changes what is to be changed.
    fn read_held(&mut self, size: usize, end_of_stream: bool) -> Action {
        while self.consumed < size {
            let length = size.saturating_sub(self.consumed).min(READ_BYTES);
            let chunk = host::body(Side::Response, self.consumed, length);
            if chunk.is_empty() {
                break;
            }
            self.consumed = self.consumed.saturating_add(chunk.len());
            self.push_body(&chunk, false);
        }
        if !end_of_stream {
            return Action::Pause;
        }
        self.push_body(&[], true);
        self.holds_answer = false;
        if let Some(replacement) = self.replacement.take() {
            host::replace_answer(size, &replacement);
        } else if let Some(splice) = self.answer_splice.take() {
            let length = usize::try_from(splice.length).unwrap_or(usize::MAX);
            match edit_held(Side::Response, size, length, splice.splices) {
                Edited::Whole => {}
                // The body is not the one that was judged: nothing of it may pass.
                Edited::Not => {
                    if let Some(body) = rewrite(unfit(NOT_WHOLE)) {
                        host::replace_answer(size, &body);
                    }
                }
                Edited::Partly => host::reset_response(),
            }
        }
        Action::Continue
    }

    /// Reads a large chunk a bounded piece at a time; what is taken out of it is put together at the end.
    fn read_in_pieces(&mut self, body_size: usize, end_of_stream: bool) {
        let mut kept: Option<Vec<u8>> = None;
        let mut start = 0;
        while start < body_size {
            let chunk = host::body(
                Side::Response,
                start,
                body_size.saturating_sub(start).min(READ_BYTES),
            );
            if chunk.is_empty() {
                break;
            }
            let end = start.saturating_add(chunk.len());
            let replaced = self.push_body(&chunk, end_of_stream && end >= body_size);
            match (&mut kept, replaced) {
                (Some(kept), Some(bytes)) => kept.extend(bytes),
                (Some(kept), None) => kept.extend(chunk),
                (None, Some(bytes)) => {
                    let mut before = host::body(Side::Response, 0, start);
                    before.extend(bytes);
                    kept = Some(before);
                }
                (None, None) => {}
            }
            start = end;
        }
        if let Some(kept) = kept {
            host::replace_answer(body_size, &kept);
        }
    }
}

//! One try at one target: its request, and the usage in its response.

use std::rc::Rc;

use dialects::key_refusal::KeyRefusalReader;
use dialects::media_type::{BodyType, MediaTypeError, answer_type, is_plain};
use dialects::refusal::RefusalCode;
use dialects::request_ids;
use dialects::response::{Framing, UsageReader};
use dialects::usage_event::{Passage, UsageEventRemover};
use policy::surface::Surface;
use policy::units::{Timestamp, TokenCount};
use policy::usage::Usage;

use super::guarded_answer::{AnswerHead, Guarded, Said};
use super::metering::Metered;
use super::no_answer::NoAnswer;
use super::passing::{NEEDED_FOR_ROUTING, Shown};
use super::standing::Unfit;
use super::target::Plan;
use super::{Exchange, State};
use crate::headers::Headers;
use crate::messages::{AttemptNumber, Command, Flow, HeaderEdit, OwnedMark};
use crate::record::AttemptRecord;

/// Bytes of English text or code per token, for estimates; errs on the dear side.
const BYTES_PER_TOKEN: u64 = 4;

/// An attempt under way or over.
#[derive(Debug)]
pub(super) struct Attempt {
    record: AttemptRecord,
    reader: Option<Box<UsageReader>>,
    remover: Option<Box<UsageEventRemover>>,
    pub ended: bool,
    is_stream: bool,
    /// Whether the id of what came into being was told.
    is_id_told: bool,
    /// What stands for the items whose ids were told, in their order.
    item_marks: Vec<OwnedMark>,
    /// How many of the items were looked at: those of nobody have no mark.
    items_told: usize,
    received_bytes: u64,
    /// While the body may say more of the provider key than the status.
    pub(super) key_refusal: Option<Box<KeyRefusalReader>>,
    /// The answer is held because another key may be tried in its place.
    pub(super) holds_for_key: bool,
    /// How it ended, if it ended without an answer.
    pub no_answer: Option<NoAnswer>,
}

impl Exchange {
    /// Lets the request go on its plan; it is admitted by its quotas.
    pub(super) fn let_go(&mut self, plan: Plan) -> Flow {
        let Some((target, first)) = plan.target(1, None) else {
            return self.refuse_later(
                RefusalCode::PlanUnavailable,
                "The targets of this request are not known to this proxy yet; try again in a moment.".to_owned(),
                Some(1),
            );
        };
        let shown = Shown {
            mesh: Rc::clone(&plan.mesh),
            provider: target.provider,
            is_whole: false,
        };
        let unseen = plan.unseen(&shown);
        self.count_unseen(&unseen);
        let mut edits: Vec<_> = unseen
            .into_iter()
            .map(|name| HeaderEdit::remove(name.to_owned()))
            .collect();
        edits.push(HeaderEdit::set("x-weir-plan", plan.cluster.as_str()));
        if let Some((retries, after)) = plan.retries(self.facts.streamed) {
            edits.push(HeaderEdit::set("x-envoy-max-retries", retries.to_string()));
            edits.push(HeaderEdit::set("x-envoy-retry-on", after));
        }
        let header_timeout_ms = if self.facts.streamed {
            first.stream_header_timeout_ms
        } else {
            first.whole_header_timeout_ms
        };
        edits.push(HeaderEdit::set(
            "x-envoy-upstream-rq-per-try-timeout-ms",
            header_timeout_ms.to_string(),
        ));
        self.commands.push_back(Command::Forward { edits });
        self.state = State::Forwarded(Box::new(Plan {
            shown,
            header_timeout_ms,
            ..plan
        }));
        Flow::Continue
    }

    /// Rebuilds the request for the target that the plan has at this place.
    pub(super) fn attempt_started(
        &mut self,
        now: Timestamp,
        number: AttemptNumber,
        host_provider: Option<&str>,
    ) -> Flow {
        self.last_is_over(now);
        let State::Forwarded(plan) = &self.state else {
            return self.refuse_attempt(Unfit::unplanned(
                "The request is not on its way to a provider.",
            ));
        };
        if let Some(unfit) = self.objection_to_another(plan) {
            return self.refuse_attempt(unfit);
        }
        // The one target of a plan is asked again where it stands.
        let goes_again = self
            .attempts
            .last()
            .is_some_and(|it| it.no_answer.is_some());
        let place = if goes_again && plan.has_one_target() {
            1
        } else {
            number.0
        };
        let Some((target, _)) = plan.target(place, host_provider) else {
            return self.refuse_attempt(Unfit::unplanned(
                "The host that was chosen is not among the targets left for this request.",
            ));
        };
        let (mesh, target) = match self.attempt_now(now, plan, target) {
            Ok(found) => found,
            Err(unfit) => return self.refuse_attempt(unfit),
        };
        let Some(provider) = mesh.providers.get(target.provider) else {
            return self.refuse_attempt(Unfit::unplanned(
                "The target of this request is not known to this proxy.",
            ));
        };
        let Some(path) = plan.path(&target, provider) else {
            return self.refuse_attempt(Unfit::unplanned(
                "The model that was chosen has no path at its provider.",
            ));
        };
        let key = target.key.and_then(|index| provider.keys.get(index));
        let record = AttemptRecord {
            number: number.0,
            provider: provider.name.clone(),
            provider_key: key.map(|key| key.id),
            model: target.model.clone(),
            status: 0,
            request_ids: Vec::new(),
            started: now,
            headers_ms: None,
            usage: None,
            estimated: false,
            key_refused: false,
            price_table: provider.price_table.clone(),
            max_output: plan.max_output(),
        };
        let splice = plan.splice(&target, provider);
        let (place, is_first) = (target.provider, self.attempts.is_empty());
        let mut edits = plan.attempt_edits(&target, provider, splice.as_ref(), path, is_first);
        edits.extend(["x-weir-plan", NEEDED_FOR_ROUTING].map(HeaderEdit::remove));
        let removes_usage = plan.asks_usage(provider);
        if let State::Forwarded(plan) = &mut self.state {
            edits.extend(plan.show(&mesh, place));
        }
        self.commands.push_back(Command::EditAttempt { edits });
        self.commands.extend(splice.map(Command::SplicePrefix));
        self.attempts.push(Attempt {
            record,
            reader: None,
            remover: removes_usage.then(|| Box::new(UsageEventRemover::default())),
            ended: false,
            is_stream: false,
            is_id_told: false,
            item_marks: Vec::new(),
            items_told: 0,
            received_bytes: 0,
            key_refusal: None,
            holds_for_key: false,
            no_answer: None,
        });
        Flow::Continue
    }

    fn refuse_attempt(&mut self, unfit: Unfit) -> Flow {
        let reply = self.shape(unfit.shown, unfit.message, unfit.retry_after_secs);
        self.facts.refusal = Some(unfit.code);
        self.commands.push_back(Command::RefuseAttempt(reply));
        Flow::Hold
    }

    pub(super) fn attempt_headers(
        &mut self,
        now: Timestamp,
        number: AttemptNumber,
        status: u16,
        headers: &Headers,
        end_of_stream: bool,
    ) -> Flow {
        let surface = self.facts.surface;
        let attempt = self.attempts.iter();
        let place = attempt
            .map(Attempt::place)
            .find(|place| place.number == number.0);
        let mut edits = place
            .map(|place| self.kept_back(&place.provider, headers))
            .unwrap_or_default();
        let Some(attempt) = self
            .attempts
            .iter_mut()
            .find(|attempt| attempt.record.number == number.0)
        else {
            self.stray_inputs = self.stray_inputs.saturating_add(1);
            return Flow::Continue;
        };
        attempt.record.status = status;
        attempt.record.request_ids = request_ids::of_provider(self.facts.dialect, headers.iter());
        attempt.record.headers_ms = Some(now.millis_since(attempt.record.started));
        attempt.ended = end_of_stream;
        let in_array = self
            .facts
            .address
            .as_ref()
            .is_some_and(|address| address.streams);
        let (framing, said) = framing(headers, self.facts.streamed, in_array);
        let is_stream = framing == Some(Framing::Sse);
        let head = AnswerHead {
            status,
            framing,
            said,
            end_of_stream,
        };
        attempt.is_stream = is_stream;
        if is_success(status)
            && let (Some(framing), Some(surface)) = (framing, surface)
        {
            attempt.reader = Some(Box::new(UsageReader::new(surface, framing)));
        }
        if !(is_success(status) && is_stream) {
            attempt.remover = None;
        }
        if attempt.remover.is_some() {
            edits.push(HeaderEdit::remove("content-length"));
        }
        if !edits.is_empty() {
            self.commands.push_back(Command::EditResponse { edits });
        }
        let flow = self.guard_answer_head(head);
        self.meter_head(status, framing);
        self.show_what_is_left(status);
        match self.key_answer_head(now, number, status, end_of_stream) {
            Flow::Hold => Flow::Hold,
            Flow::Continue => flow,
        }
    }

    /// Returns whether the body of this attempt has to be read.
    pub fn reads_attempt(&self, number: AttemptNumber) -> bool {
        self.attempts
            .iter()
            .find(|attempt| attempt.record.number == number.0)
            .is_some_and(|attempt| {
                is_success(attempt.record.status)
                    || attempt.key_refusal.is_some()
                    || self.facts.first_byte.is_none()
                    || self.guards_answer()
            })
    }

    pub(super) fn attempt_body(
        &mut self,
        now: Timestamp,
        number: AttemptNumber,
        chunk: &[u8],
        end_of_stream: bool,
    ) -> Flow {
        if self.facts.first_byte.is_none() && !chunk.is_empty() {
            self.facts.first_byte = Some(now);
        }
        let Some(attempt) = self.attempt_mut(number) else {
            self.stray_inputs = self.stray_inputs.saturating_add(1);
            return Flow::Continue;
        };
        let reads_key = attempt.key_refusal.is_some();
        attempt.read(chunk, end_of_stream);
        if attempt.has_new_id() {
            self.note_created();
        }
        if self.was_ended() {
            self.commands.push_back(Command::ReplaceChunk(Vec::new()));
            return Flow::Continue;
        }
        if reads_key {
            self.key_answer_body(now, number, chunk, end_of_stream);
        }
        let is_ending = self.is_ending() && !end_of_stream;
        if is_ending && let Some(end) = self.end_followed(chunk) {
            self.commands.push_back(Command::ReplaceChunk(end));
            return Flow::Continue;
        }
        let attempt = self.attempt_mut(number);
        let mut replaced = attempt.and_then(|it| it.without_usage_event(chunk, end_of_stream));
        let passes = replaced.as_deref().unwrap_or(chunk);
        match self.guard_answer_body(now, passes, end_of_stream) {
            Guarded::Held => return Flow::Hold,
            Guarded::Replaced(bytes) => replaced = Some(bytes),
            Guarded::AsItCame => {}
        }
        let passes = replaced.as_deref().unwrap_or(chunk);
        if let Metered::Replaced(bytes) = self.meter_chunk(passes, end_of_stream) {
            replaced = Some(bytes);
        }
        if is_ending && let Some(end) = self.end_edited(replaced.as_deref().unwrap_or(chunk)) {
            replaced = Some(end);
        }
        self.commands.extend(replaced.map(Command::ReplaceChunk));
        Flow::Continue
    }

    pub(super) fn attempt_mut(&mut self, number: AttemptNumber) -> Option<&mut Attempt> {
        let mut attempts = self.attempts.iter_mut();
        attempts.find(|attempt| attempt.record.number == number.0)
    }
}

impl Attempt {
    fn read(&mut self, chunk: &[u8], end_of_stream: bool) {
        self.ended |= end_of_stream;
        self.received_bytes = self.received_bytes.saturating_add(chunk.len() as u64);
        if let Some(reader) = &mut self.reader {
            reader.push(chunk);
            if end_of_stream {
                reader.finish();
            }
        }
    }

    /// Takes the event out that the client had not asked for; `None` where the chunk passes as it came.
    fn without_usage_event(&mut self, chunk: &[u8], end_of_stream: bool) -> Option<Vec<u8>> {
        let remover = self.remover.as_mut()?;
        let mut kept = Vec::new();
        let mut passage = remover.push(chunk, &mut kept);
        if end_of_stream {
            let mut rest = Vec::new();
            remover.finish(&mut rest);
            if passage == Passage::AsItCame && !rest.is_empty() {
                kept.extend_from_slice(chunk);
                passage = Passage::Replaced;
            }
            kept.append(&mut rest);
        }
        (passage == Passage::Replaced).then_some(kept)
    }

    /// The record of the attempt. `is_open`: nobody waited for its end, or it has not come yet, so what the
    /// provider has not reported is estimated.
    pub(super) fn record(
        &self,
        request_bytes: u64,
        surface: Option<Surface>,
        is_open: bool,
    ) -> AttemptRecord {
        let mut record = self.record.clone();
        let metered = surface.is_some_and(Surface::is_metered);
        let reported = self.reader.as_ref().and_then(|reader| reader.usage());
        let is_final = self.has_come_to_its_end();
        let is_late = self.no_answer.is_some_and(NoAnswer::is_late);
        let is_billed = is_success(record.status) || (record.status == 0 && (is_open || is_late));
        record.usage = reported;
        if metered && is_billed && !(is_final && self.reports_what_came(surface)) {
            let unreported = match &self.reader {
                // Nothing came behind the provider's last count.
                Some(reader) if is_final && reader.unreported_output_bytes() == 0 => 0,
                Some(reader) => reader.visible_output_bytes(),
                None => self.received_bytes,
            };
            let unread = self
                .reader
                .as_ref()
                .filter(|_| reported.is_none())
                .map_or(0, |reader| reader.unread_bytes());
            let seen = unreported.saturating_add(unread);
            record.usage = Some(estimate(reported, request_bytes, seen));
            record.estimated = true;
        }
        record
    }

    /// Whether the provider's own figures can stand: it counted some input, and whatever came of an output.
    ///
    /// A count of zero is believed where nothing came at all; of vectors nobody sees how much came. What is reported
    /// beside an error is taken as it is.
    fn reports_what_came(&self, surface: Option<Surface>) -> bool {
        let Some(reader) = &self.reader else {
            return false;
        };
        let Some(usage) = reader.usage() else {
            return false;
        };
        let gives_vectors = matches!(
            surface,
            Some(Surface::OpenaiEmbeddings | Surface::GeminiEmbed)
        );
        let gave_nothing = !gives_vectors
            && reader.says_nothing_was_used()
            && reader.visible_output_bytes() == 0
            && reader.unread_bytes() == 0;
        let counted_input = usage.total_input() != TokenCount::ZERO || gave_nothing;
        reader.error_seen() || (counted_input && reader.unreported_output_bytes() == 0)
    }

    /// Notes whether the provider refused the key.
    pub(super) fn note_key_refused(&mut self, is_refused: bool) {
        self.record.key_refused = is_refused;
    }

    pub(super) fn number(&self) -> u32 {
        self.record.number
    }

    /// Where the attempt went.
    pub(super) fn place(&self) -> &AttemptRecord {
        &self.record
    }

    /// What was used so far, as far as it can be known before the end.
    pub(super) fn usage_so_far(&self, request_bytes: u64) -> Usage {
        let (visible, _) = self.meter_reading();
        let reported = self.reader.as_ref().and_then(|reader| reader.usage());
        estimate(reported, request_bytes, visible)
    }

    /// Bytes of output that were seen, and whether the provider has reported anything.
    pub(super) fn meter_reading(&self) -> (u64, bool) {
        match &self.reader {
            Some(reader) => (reader.visible_output_bytes(), reader.usage().is_some()),
            None => (self.received_bytes, false),
        }
    }

    /// The id of the response that came into being at the provider.
    pub(super) fn created_id(&self) -> Option<&str> {
        self.reader.as_ref().and_then(|reader| reader.response_id())
    }

    /// Whether the last bytes brought an id of what came into being.
    fn has_new_id(&self) -> bool {
        let has_new_item = self.item_ids().len() > self.items_told;
        has_new_item || (!self.is_id_told && self.created_id().is_some())
    }

    /// The ids of the items that came into being at the provider.
    fn item_ids(&self) -> &[String] {
        self.reader.as_ref().map_or(&[], |reader| reader.item_ids())
    }

    /// What stands for the items that came into being, as far as they were told.
    pub(super) fn item_marks(&self) -> &[OwnedMark] {
        &self.item_marks
    }

    /// Returns an id that was not told yet, once.
    pub(super) fn take_new_id(&mut self) -> Option<String> {
        let id = self.created_id().filter(|_| !self.is_id_told)?.to_owned();
        self.is_id_told = true;
        Some(id)
    }

    /// Returns the ids of items that were not told yet, once.
    pub(super) fn take_new_items(&mut self) -> Vec<String> {
        let ids = self.item_ids();
        let new = ids.get(self.items_told..).unwrap_or_default().to_vec();
        self.items_told = ids.len();
        new
    }

    /// Notes what was told of items.
    pub(super) fn told_items(&mut self, marks: &[OwnedMark]) {
        self.item_marks.extend(marks);
    }

    /// Whether the answer is a stream that can end before its provider ends it.
    pub(super) fn can_end_early(&self) -> bool {
        self.reader
            .as_ref()
            .is_some_and(|reader| reader.can_end_early())
    }

    /// Returns what passes of the chunk that was read last, up to the end of its last whole event; `None` while an
    /// event lasts that began before it.
    pub(super) fn whole_events(&mut self, chunk: &[u8]) -> Option<Vec<u8>> {
        let whole = self.reader.as_ref()?.whole_events_in(chunk.len())?;
        // An LF behind the CR that ended an event is its own.
        let after_cr = chunk.get(..whole)?.ends_with(b"\r") && chunk.get(whole) == Some(&b'\n');
        let whole = chunk.get(..whole + usize::from(after_cr))?;
        let mut passes = Vec::new();
        if let Some(remover) = &mut self.remover
            && remover.push(whole, &mut passes) == Passage::Replaced
        {
            return Some(passes);
        }
        Some(whole.to_vec())
    }

    /// Returns what ends the stream behind its last whole event; `None` if it cannot be.
    pub(super) fn end_early(&self, notice: &str) -> Option<Vec<u8>> {
        let reader = self.reader.as_ref().filter(|it| it.can_end_early())?;
        let created_secs = self.record.started.as_millis() / 1_000;
        Some(reader.end_early(notice, created_secs))
    }

    /// The status of the provider's own response, once it has begun.
    pub(super) fn status(&self) -> Option<u16> {
        (self.record.status != 0).then_some(self.record.status)
    }

    /// Whether the provider's response came to its proper end.
    pub(super) fn is_complete(&self) -> bool {
        let has_failed = self
            .reader
            .as_ref()
            .is_some_and(|reader| reader.error_seen());
        self.ended && !has_failed && (!is_success(self.record.status) || self.has_come_to_its_end())
    }

    /// A stream says itself when it is over: one that merely stops was cut.
    pub(super) fn has_come_to_its_end(&self) -> bool {
        match &self.reader {
            Some(reader) => reader.terminal_seen() || (self.ended && !self.is_stream),
            None => self.ended,
        }
    }
}

/// Reported classes where they are not zero, else from bytes, rounded up.
fn estimate(reported: Option<Usage>, request_bytes: u64, seen_output_bytes: u64) -> Usage {
    let tokens = |bytes: u64| TokenCount::new(bytes.div_ceil(BYTES_PER_TOKEN));
    let mut usage = reported.unwrap_or_default();
    if usage.total_input() == TokenCount::ZERO {
        usage.input_tokens = tokens(request_bytes);
    }
    usage.output_tokens = usage.output_tokens.max(tokens(seen_output_bytes));
    usage
}

/// Whether a provider says that it did what it was asked; only then an answer is metered and judged.
pub(super) const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// How an answer is framed, and what it says it is.
///
/// `in_array`: a stream that is not SSE comes as one JSON array (Gemini). `None` for an encoding that nobody undoes
/// here. A provider that says nothing usable about its answer is read as what was asked for.
fn framing(headers: &Headers, streamed: bool, in_array: bool) -> (Option<Framing>, Said) {
    if !is_plain(headers.all("content-encoding")) {
        return (None, Said::Unreadable);
    }
    let json = if in_array {
        Framing::JsonArray
    } else {
        Framing::Json
    };
    let as_asked = if streamed && !in_array {
        Framing::Sse
    } else {
        json
    };
    match answer_type(headers.all("content-type")) {
        Ok(BodyType::EventStream) => (Some(Framing::Sse), Said::Text),
        Ok(BodyType::Json) => (Some(json), Said::Text),
        Ok(BodyType::Undeclared | BodyType::Text) => (Some(as_asked), Said::Text),
        Ok(BodyType::Binary(media)) => (Some(as_asked), Said::Binary(media)),
        Ok(BodyType::Form { .. }) | Err(MediaTypeError::Unlisted) => {
            (Some(as_asked), Said::Unlisted)
        }
        Err(
            MediaTypeError::Repeated
            | MediaTypeError::Malformed
            | MediaTypeError::Charset
            | MediaTypeError::Parameter,
        ) => (Some(as_asked), Said::Unreadable),
    }
}

//! What an attempt's answer says about the provider key it was sent with.

use dialects::key_refusal::{KeyAnswer, KeyRefusalReader};
use policy::units::Timestamp;

use super::Exchange;
use crate::messages::{AttemptNumber, Command, Flow, HeaderEdit};

/// The status by which the proxy tries the next key, whatever the dialect's own form is.
const REFUSED: &str = "401";

impl Exchange {
    /// Begins to read what the answer of the last attempt says about its key.
    ///
    /// Where the body says it and another attempt could follow, the answer is held until its end: the proxy decides
    /// by the status whether to try again.
    pub(super) fn key_answer_head(
        &mut self,
        now: Timestamp,
        number: AttemptNumber,
        status: u16,
        end_of_stream: bool,
    ) -> Flow {
        let is_last = self.plan().is_none_or(|plan| {
            usize::try_from(number.0).map_or(true, |number| plan.targets.len() <= number)
        });
        let is_guarded = self.guards_answer();
        let dialect = self.facts.dialect;
        let Some(attempt) = self.attempt_mut(number) else {
            return Flow::Continue;
        };
        if attempt.place().provider_key.is_none() {
            return Flow::Continue;
        }
        let reader = KeyRefusalReader::new(dialect, status);
        let is_open = reader.reads_body() && !end_of_stream;
        // What a guardrail changes on the way cannot be held back.
        let is_held = is_open && !is_last && !is_guarded;
        attempt.key_refusal = is_open.then(|| Box::new(reader));
        attempt.holds_for_key = is_held;
        if !is_open {
            let answer = KeyRefusalReader::new(dialect, status).answer();
            self.note_key_answer(now, number, status, answer);
        }
        if is_held { Flow::Hold } else { Flow::Continue }
    }

    /// Reads on; at the end of a refusal in the dialect's own form, makes the proxy try the next key.
    pub(super) fn key_answer_body(
        &mut self,
        now: Timestamp,
        number: AttemptNumber,
        chunk: &[u8],
        end_of_stream: bool,
    ) {
        let Some(attempt) = self.attempt_mut(number) else {
            return;
        };
        let Some(reader) = &mut attempt.key_refusal else {
            return;
        };
        reader.push(chunk);
        if !end_of_stream {
            return;
        }
        let answer = reader.answer();
        let status = attempt.place().status;
        let tries_again = attempt.holds_for_key && answer == KeyAnswer::Refused;
        attempt.key_refusal = None;
        self.note_key_answer(now, number, status, answer);
        if tries_again {
            self.commands.push_back(Command::EditResponse {
                edits: vec![HeaderEdit::set(":status", REFUSED)],
            });
        }
    }

    fn note_key_answer(
        &mut self,
        now: Timestamp,
        number: AttemptNumber,
        status: u16,
        answer: KeyAnswer,
    ) {
        let by = self.facts.key.as_ref().and_then(|key| key.principal.key);
        let is_metered = self
            .facts
            .surface
            .is_some_and(policy::surface::Surface::is_metered);
        let attempts = self.attempts.iter_mut();
        let Some(attempt) = attempts.rev().find(|it| it.number() == number.0) else {
            return;
        };
        let is_refused = match answer {
            // A good key may have no rights at a path that a client chose.
            KeyAnswer::Refused | KeyAnswer::Forbidden => is_metered,
            KeyAnswer::Silent => false,
        };
        attempt.note_key_refused(is_refused);
        let place = attempt.place();
        let Some(key) = place.provider_key else {
            return;
        };
        let mut cooling = self.seed.cooling.borrow_mut();
        if is_refused {
            cooling.refused(now, key, &place.model, by);
        } else if (200..300).contains(&status) {
            cooling.worked(key, &place.model);
        }
    }
}

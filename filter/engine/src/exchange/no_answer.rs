//! An attempt that ends without one byte of an answer, and whether the request goes to a provider once more.
//!
//! A server that closes an idle connection just as a request comes has not read it; one that breaks down later may
//! have worked on it, and be paid for it. The proxy cannot tell the two apart, so time does: what ends soon after the
//! request's last byte goes once more. The proxy is asked to repeat every end of a connection, and what must not be
//! repeated is refused here, where the next attempt begins.

use dialects::refusal::RefusalCode;
use policy::documents::OnNoAnswer;
use policy::units::Timestamp;

use super::Exchange;
use super::standing::Unfit;
use super::target::Plan;
use crate::messages::{AttemptNumber, Flow};

/// How long after a request's last byte an end is taken for one of a connection that nobody read from any more.
const SOON_MS: u64 = 2_000;
/// The proxy counts a time-out from when its loop last looked at the clock.
const CLOCK_SLACK_MS: u64 = 50;
/// When a client may ask again.
const RETRY_AFTER_SECS: u32 = 5;

/// How an attempt ended that had no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer {
    /// From the request's last byte to the end; `None` if there was no connection to send it on.
    since_sent_ms: Option<u64>,
    /// It was ended from here, because no answer began in time.
    timed_out: bool,
}

impl NoAnswer {
    /// Whether the provider had the request for so long that it may have to be paid.
    pub(super) fn is_late(self) -> bool {
        self.since_sent_ms.is_some_and(|ms| ms > SOON_MS)
    }

    /// Whether the request was sent, and its connection ended by itself.
    pub(super) const fn was_cut(self) -> bool {
        self.since_sent_ms.is_some() && !self.timed_out
    }
}

impl Exchange {
    /// Notes that an attempt is over without an answer.
    pub(super) fn attempt_lost(
        &mut self,
        now: Timestamp,
        number: AttemptNumber,
        connected_ms: Option<u64>,
    ) -> Flow {
        // At the end of the exchange the proxy drops what still runs: that says nothing about the provider.
        let Some(plan) = self.plan() else {
            return Flow::Continue;
        };
        let timeout_ms = plan.header_timeout_ms;
        let mut attempts = self.attempts.iter_mut();
        match attempts.find(|attempt| attempt.number() == number.0) {
            Some(attempt) if attempt.status().is_none() => {
                let ran_ms = now.millis_since(attempt.place().started);
                attempt.no_answer = Some(NoAnswer {
                    since_sent_ms: connected_ms.map(|ms| ran_ms.saturating_sub(ms)),
                    timed_out: ran_ms.saturating_add(CLOCK_SLACK_MS) >= timeout_ms,
                });
            }
            Some(_) | None => self.stray_inputs = self.stray_inputs.saturating_add(1),
        }
        Flow::Continue
    }

    /// Notes of the last attempt that the next one begins: it is over, whether its end was told or not.
    pub(super) fn last_is_over(&mut self, now: Timestamp) {
        let last = self.attempts.last();
        let untold = last.filter(|last| last.status().is_none() && last.no_answer.is_none());
        if let Some(number) = untold.map(super::Attempt::number) {
            // Taken for sent: what may have reached a provider is not repeated lightly.
            self.attempt_lost(now, AttemptNumber(number), Some(0));
        }
    }

    /// Why the request may not go to a provider again after how the last attempt ended; `None` if it may.
    pub(super) fn objection_to_another(&self, plan: &Plan) -> Option<Unfit> {
        let last = self.attempts.last()?;
        let ended = last.no_answer?;
        let name = &last.place().provider;
        let unreachable = |message| Some(unfit(RefusalCode::UpstreamUnreachable, message));
        if ended.timed_out && (ended.since_sent_ms.is_some() || plan.has_one_target()) {
            // A stream that does not begin is a stream that nobody waits for any longer.
            let goes_on = self.facts.streamed && !plan.has_one_target();
            return (!goes_on).then(|| unfit(RefusalCode::UpstreamTimeout, timed_out(name)));
        }
        if ended.since_sent_ms.is_none() {
            return plan
                .has_one_target()
                .then(|| unfit(RefusalCode::UpstreamUnreachable, not_reached(name)));
        }
        if ended.is_late() {
            return unreachable(format!(
                "{} It may have worked on the request, which was therefore not sent again.",
                cut(name)
            ));
        }
        let cuts = self.attempts.iter().filter_map(|attempt| attempt.no_answer);
        if cuts.filter(|ended| ended.was_cut()).count() > 1 {
            return unreachable(format!(
                "{} So did the one before, and a request is sent again once.",
                cut(name)
            ));
        }
        let provider = plan.mesh.providers.iter().find(|it| it.name == *name);
        if provider.is_none_or(|provider| provider.on_no_answer == OnNoAnswer::Fail) {
            return unreachable(format!(
                "{} Requests to it are not sent again: its setting `on_no_answer` is `fail`.",
                cut(name)
            ));
        }
        if !plan.can_be_repeated() {
            return unreachable(format!(
                "{} The request names work that the provider does by itself, so it was not sent again.",
                cut(name)
            ));
        }
        None
    }

    /// What a client is told whose request had no answer, and nothing is left to try.
    pub(super) fn tell_no_answer(&self, provider: &str) -> String {
        let ended = self.attempts.last().and_then(|last| last.no_answer);
        if ended.is_some_and(NoAnswer::was_cut) {
            cut(provider)
        } else {
            not_reached(provider)
        }
    }
}

fn unfit(code: RefusalCode, message: String) -> Unfit {
    Unfit {
        shown: code,
        code,
        message,
        retry_after_secs: Some(RETRY_AFTER_SECS),
    }
}

pub(super) fn timed_out(provider: &str) -> String {
    format!("The provider `{provider}` did not begin to answer in time.")
}

fn not_reached(provider: &str) -> String {
    format!("The provider `{provider}` could not be reached.")
}

fn cut(provider: &str) -> String {
    format!("The connection to the provider `{provider}` ended before it began to answer.")
}

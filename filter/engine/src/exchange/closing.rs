//! The response on its way to the client, and what remains of the exchange.

use dialects::refusal::{ProxyReply, RefusalCode};
use policy::surface::Surface;
use policy::units::Timestamp;

use super::no_answer::timed_out;
use super::{Exchange, State};
use crate::messages::{ClosedBy, Command, Flow, HeaderEdit};
use crate::record::{Ended, ExchangeRecord};

/// Where the client reads the exchange's id, to tell it to an administrator.
const EXCHANGE_ID: &str = "x-weir-exchange-id";

impl Exchange {
    /// Sees the response headers that the client will get, whoever made them.
    pub(super) fn response_headers(
        &mut self,
        status: u16,
        details: &str,
        end_of_stream: bool,
    ) -> Flow {
        self.answered = Some(status);
        self.response_ended = end_of_stream;
        let told = self.facts.cors.headers();
        if !told.is_empty() {
            let edits = told.into_iter();
            let edits = edits.map(|(name, value)| HeaderEdit::set(name, value));
            self.commands.push_back(Command::EditResponse {
                edits: edits.collect(),
            });
        }
        let from_provider = self.provider_status().is_some();
        let by_proxy = matches!(self.state, State::Forwarded(_)) || !details.is_empty();
        if by_proxy && !from_provider && self.facts.refusal.is_none() && status >= 400 {
            self.rewrite_proxy_error(status, details);
        }
        if self.leaves_record() {
            let id = self.seed.id.to_string();
            self.commands.push_back(Command::EditResponse {
                edits: vec![HeaderEdit::set(EXCHANGE_ID, id)],
            });
        }
        Flow::Continue
    }

    /// Probes leave none: liveness, and what carries the canary's secret and reached no provider.
    fn leaves_record(&self) -> bool {
        let is_probe = self.facts.is_canary && self.attempts.is_empty();
        !matches!(self.state, State::Closed) && !is_probe
    }

    /// Envoy's own error text is turned into the client's dialect.
    fn rewrite_proxy_error(&mut self, status: u16, details: &str) {
        let provider = self.plan().and_then(|plan| {
            let number = self.attempts.len().clamp(1, plan.targets.len().max(1));
            let target = plan.target(u32::try_from(number).unwrap_or(u32::MAX), None);
            target.map(|(_, provider)| provider.name.clone())
        });
        let provider = provider.unwrap_or_default();
        let row = ProxyReply::of(details);
        let code = match (details, status) {
            ("", 504) => RefusalCode::UpstreamTimeout,
            ("", _) => RefusalCode::UpstreamUnreachable,
            (_, _) => row.code,
        };
        let (message, wait_secs) = if code == RefusalCode::UpstreamTimeout {
            (timed_out(&provider), Some(5))
        } else if code == RefusalCode::UpstreamUnreachable {
            (self.tell_no_answer(&provider), Some(5))
        } else {
            (row.message.to_owned(), None)
        };
        let reply = self.shape(code, message, wait_secs);
        self.facts.refusal = Some(code);
        self.answered = Some(reply.status);
        self.commands.push_back(Command::RewriteResponse(reply));
    }

    pub(super) fn closed(&mut self, now: Timestamp, peer: ClosedBy, response_bytes: u64) -> Flow {
        if !self.leaves_record() {
            self.state = State::Closed;
            return Flow::Continue;
        }
        let ended = self.ending(peer);
        let mut record = self.record(now, ended, response_bytes);
        self.settle_quotas(now, &mut record);
        self.commands.push_back(Command::Record(Box::new(record)));
        self.state = State::Closed;
        Flow::Continue
    }

    fn ending(&self, peer: ClosedBy) -> Ended {
        let complete = self
            .attempts
            .last()
            .is_some_and(super::Attempt::is_complete);
        match (&self.state, self.facts.refusal, peer) {
            (_, Some(RefusalCode::UpstreamTimeout | RefusalCode::UpstreamUnreachable), _) => {
                Ended::UpstreamError
            }
            (_, Some(_), _) => Ended::Refused,
            (State::Replied, None, _) => Ended::Complete,
            (_, None, ClosedBy::Client | ClosedBy::Proxy) if !complete => Ended::ClientGone,
            (_, None, _) if complete && self.answered.is_some_and(|status| status < 400) => {
                Ended::Complete
            }
            (_, None, _) => Ended::UpstreamError,
        }
    }

    pub(super) fn record(
        &self,
        now: Timestamp,
        ended: Ended,
        response_bytes: u64,
    ) -> ExchangeRecord {
        let facts = &self.facts;
        let principal = self.principal();
        let timed_out = facts.refusal == Some(RefusalCode::UpstreamTimeout);
        let is_open = timed_out
            || self.was_left_open()
            || matches!(ended, Ended::ClientGone | Ended::Running);
        let last = self.attempts.len();
        let attempts = self.attempts.iter().zip(1..);
        let attempts = attempts
            .map(|(attempt, place)| {
                attempt.record(facts.request_bytes, facts.surface, is_open && place == last)
            })
            .collect();
        let created_ids = match facts.surface {
            // The only ids that a later request may name.
            Some(Surface::OpenaiResponses) => self
                .attempts
                .iter()
                .filter_map(super::Attempt::created_id)
                .map(str::to_owned)
                .collect(),
            Some(_) | None => Vec::new(),
        };
        // While it runs no client refers to its items through another Envoy, and reports come again and again.
        let item_marks = match ended {
            Ended::Running => Vec::new(),
            Ended::Complete | Ended::ClientGone | Ended::UpstreamError | Ended::Refused => {
                let attempts = self.attempts.iter();
                attempts
                    .flat_map(super::Attempt::item_marks)
                    .copied()
                    .collect()
            }
        };
        ExchangeRecord {
            exchange: self.seed.id,
            started: self.seed.now,
            surface: facts.surface,
            principal,
            client_app: facts.client.name(),
            session_id: facts.session_id.clone(),
            agent_id: facts.agent_id.clone(),
            client_request_ids: facts.client_request_ids.clone(),
            model_asked: facts.model_asked.clone(),
            attempts,
            status: self.answered.unwrap_or_default(),
            request_bytes: facts.request_bytes,
            response_bytes,
            latency_ms: now.millis_since(self.seed.now),
            first_byte_ms: facts
                .first_byte
                .map(|first| first.millis_since(self.seed.now)),
            ended,
            refusal_code: facts.refusal.map_or("", RefusalCode::name),
            refused_by: facts.refused_by.clone(),
            streamed: facts.streamed,
            unkeyed: facts.unkeyed,
            subscription: facts.subscription,
            path: facts.path.clone(),
            created_ids,
            item_marks,
            guardrails: self.guard_outcomes(),
        }
    }
}

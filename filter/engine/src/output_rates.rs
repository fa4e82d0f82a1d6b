//! How fast models answer: what an exchange is charged for output that nobody saw.

use std::collections::BTreeMap;

use policy::units::TokenCount;

use crate::record::{AttemptRecord, ExchangeRecord};

/// Provider and model pairs that are remembered.
const REMEMBERED: usize = 256;
/// How much the newest answer counts: one part in this many.
const NEWEST_PART: u64 = 5;
/// Answers shorter than this say nothing about a rate.
const SHORTEST_MS: u64 = 20;

/// A provider that has been silent for longer is not taken to be writing.
const LONGEST_MS: u64 = 120_000;

/// Output tokens per second by provider and model, learned from answers whose usage was reported.
///
/// A client that leaves early has seen less than the provider generated, thinking above all. Its estimate is raised
/// to what the model would have written in the time, so that leaving early does not pay.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputRates {
    /// Thousandths of a token per second.
    rates: BTreeMap<(String, String), u64>,
}

impl OutputRates {
    /// Learns from the exact attempts of `record` and raises its estimated one.
    pub(crate) fn settle(&mut self, record: &mut ExchangeRecord) {
        let end_ms = record.started.as_millis().saturating_add(record.latency_ms);
        let Some(attempt) = record.attempts.last_mut() else {
            return;
        };
        let elapsed_ms = end_ms.saturating_sub(attempt.started.as_millis());
        if attempt.estimated {
            let counted_ms = elapsed_ms.min(LONGEST_MS);
            let expected = self.expected(&attempt.provider, &attempt.model, counted_ms);
            let expected = attempt
                .max_output
                .map_or(expected, |most| expected.min(most));
            if let Some(usage) = &mut attempt.usage {
                usage.output_tokens = usage.output_tokens.max(expected);
            }
        } else {
            self.learn(attempt, elapsed_ms);
        }
    }

    /// Returns what a model writes in `elapsed_ms`; zero while nothing is known about it.
    pub(crate) fn expected(&self, provider: &str, model: &str, elapsed_ms: u64) -> TokenCount {
        let rate = self
            .rates
            .get(&(provider.to_owned(), model.to_owned()))
            .copied()
            .unwrap_or_default();
        TokenCount::new(rate.saturating_mul(elapsed_ms).div_ceil(1_000_000))
    }

    fn learn(&mut self, attempt: &AttemptRecord, elapsed_ms: u64) {
        let output = attempt
            .usage
            .map(|usage| usage.output_tokens.get())
            .unwrap_or_default();
        if output == 0 || elapsed_ms < SHORTEST_MS {
            return;
        }
        let seen = output.saturating_mul(1_000_000) / elapsed_ms;
        let pair = (attempt.provider.clone(), attempt.model.clone());
        if self.rates.len() >= REMEMBERED && !self.rates.contains_key(&pair) {
            self.rates.pop_first();
        }
        let rate = self.rates.entry(pair).or_insert(seen);
        *rate = rate
            .saturating_sub(*rate / NEWEST_PART)
            .saturating_add(seen / NEWEST_PART);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Ended;
    use policy::compiled::Principal;
    use policy::ids::ExchangeId;
    use policy::units::Timestamp;
    use policy::usage::Usage;

    fn record(latency_ms: u64, output: u64, estimated: bool) -> ExchangeRecord {
        let started = Timestamp::from_millis(1_000);
        let attempt = AttemptRecord {
            number: 1,
            provider: "p".to_owned(),
            provider_key: None,
            model: "m".to_owned(),
            status: 200,
            request_ids: Vec::new(),
            started,
            headers_ms: None,
            usage: Some(Usage {
                output_tokens: TokenCount::new(output),
                ..Usage::default()
            }),
            estimated,
            key_refused: false,
            price_table: String::new(),
            max_output: None,
        };
        ExchangeRecord {
            exchange: "00000000-0000-0000-0000-000000000001"
                .parse::<ExchangeId>()
                .unwrap(),
            started,
            surface: None,
            principal: Principal::default(),
            client_app: "other",
            session_id: String::new(),
            agent_id: String::new(),
            client_request_ids: Vec::new(),
            model_asked: String::new(),
            attempts: vec![attempt],
            status: 200,
            request_bytes: 0,
            response_bytes: 0,
            latency_ms,
            first_byte_ms: None,
            ended: Ended::Complete,
            refusal_code: "",
            refused_by: String::new(),
            streamed: true,
            unkeyed: false,
            subscription: false,
            path: String::new(),
            created_ids: Vec::new(),
            item_marks: Vec::new(),
            guardrails: Vec::new(),
        }
    }

    fn output(record: &ExchangeRecord) -> u64 {
        record.attempts[0].usage.unwrap().output_tokens.get()
    }

    #[test]
    fn leaving_early_is_charged_at_the_learned_rate() {
        let mut rates = OutputRates::default();
        rates.settle(&mut record(10_000, 500, false));
        let mut left = record(4_000, 3, true);
        rates.settle(&mut left);
        assert_eq!(output(&left), 200);
    }

    #[test]
    fn nobody_is_charged_more_than_was_asked_for() {
        let mut rates = OutputRates::default();
        rates.settle(&mut record(10_000, 500, false));
        let mut left = record(4_000, 3, true);
        left.attempts[0].max_output = Some(TokenCount::new(20));
        rates.settle(&mut left);
        assert_eq!(output(&left), 20);
    }

    #[test]
    fn more_that_was_seen_counts_more() {
        let mut rates = OutputRates::default();
        rates.settle(&mut record(10_000, 500, false));
        let mut left = record(1_000, 900, true);
        rates.settle(&mut left);
        assert_eq!(output(&left), 900);
    }

    #[test]
    fn exact_usage_is_never_changed_and_nothing_is_invented() {
        let mut rates = OutputRates::default();
        let mut left = record(4_000, 3, true);
        rates.settle(&mut left);
        assert_eq!(output(&left), 3);
        let mut exact = record(60_000, 7, false);
        rates.settle(&mut record(1_000, 1_000, false));
        rates.settle(&mut exact);
        assert_eq!(output(&exact), 7);
    }
}

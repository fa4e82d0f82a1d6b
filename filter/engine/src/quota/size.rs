//! How large an exchange is, in every unit that quotas count.

use policy::price::Rates;
use policy::quota::Unit;
use policy::quota::check::MAX_LIMIT;
use policy::units::TokenCount;
use policy::usage::Usage;

/// Bytes of a request that are at least one token: above what models make of prose and code.
const LIKELY_BYTES_PER_TOKEN: u64 = 3;
/// What providers put before a request on their own: instructions for tools.
const PROVIDERS_OWN_INPUT: u64 = 1_024;
/// The most that a model writes when the request does not bound it.
const UNBOUNDED_OUTPUT: u64 = 131_072;

/// Amounts of an exchange or an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub input: u64,
    pub output: u64,
    pub micro_usd: u64,
}

impl Size {
    /// What was used.
    pub(crate) fn of(usage: &Usage, rates: &Rates) -> Self {
        Self {
            input: usage.total_input().get().min(MAX_LIMIT),
            output: usage.output_tokens.get().min(MAX_LIMIT),
            micro_usd: rates.cost(usage).get().min(MAX_LIMIT),
        }
    }

    /// What a request of `bytes` is likely to use if it is answered with `output`.
    pub(crate) fn likely(bytes: u64, output: TokenCount, rates: &Rates) -> Self {
        let usage = Usage {
            input_tokens: TokenCount::new(bytes.div_ceil(LIKELY_BYTES_PER_TOKEN)),
            output_tokens: output,
            ..Usage::default()
        };
        Self::of(&usage, rates)
    }

    /// The most that a request of `bytes` can use: a token is at least a byte, and all of the input may be written to
    /// the dearest cache.
    pub(crate) fn most(bytes: u64, output: Option<TokenCount>, rates: &Rates) -> Self {
        let input = TokenCount::new(bytes.saturating_add(PROVIDERS_OWN_INPUT));
        let output = output.unwrap_or(TokenCount::new(UNBOUNDED_OUTPUT));
        let base = Usage {
            output_tokens: output,
            ..Usage::default()
        };
        let ways = [
            Usage {
                input_tokens: input,
                ..base
            },
            Usage {
                cache_write_5m_tokens: input,
                ..base
            },
            Usage {
                cache_write_1h_tokens: input,
                ..base
            },
        ];
        let sizes = ways.map(|usage| Self::of(&usage, rates));
        sizes.into_iter().fold(Self::default(), Self::max)
    }

    /// Returns the larger of each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            micro_usd: self.micro_usd.max(other.micro_usd),
        }
    }

    /// Returns the amount in `unit`.
    pub(crate) const fn amount(&self, unit: Unit) -> u64 {
        match unit {
            Unit::MicroUsd => self.micro_usd,
            Unit::InputTokens => self.input,
            Unit::OutputTokens => self.output,
            Unit::TotalTokens => {
                let sum = self.input.saturating_add(self.output);
                if sum < MAX_LIMIT { sum } else { MAX_LIMIT }
            }
            Unit::Requests | Unit::Concurrent => 1,
        }
    }
}

//! What a scripted provider says it used, and what that costs by this crate's own arithmetic.

use serde_json::{Value, json};

/// Token classes; the input classes are disjoint, `reasoning` is part of `output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: u64,
    pub cache_read: u64,
    pub cache_write_5m: u64,
    pub cache_write_1h: u64,
    pub output: u64,
    pub reasoning: u64,
    pub web_searches: u64,
}

impl Tokens {
    /// Plain input and output.
    pub fn new(input: u64, output: u64) -> Self {
        Self {
            input,
            output,
            ..Self::default()
        }
    }

    /// Returns the classes under the names the admin API uses.
    pub fn as_record(&self) -> Value {
        json!({
            "input_tokens": self.input,
            "cache_read_tokens": self.cache_read,
            "cache_write_5m_tokens": self.cache_write_5m,
            "cache_write_1h_tokens": self.cache_write_1h,
            "output_tokens": self.output,
            "reasoning_tokens": self.reasoning,
            "web_search_requests": self.web_searches,
        })
    }
}

/// A price list in micro-dollars for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    pub input: u64,
    pub cache_read: u64,
    pub cache_write_5m: u64,
    pub cache_write_1h: u64,
    pub output: u64,
    /// Micro-dollars for one search.
    pub web_search: u64,
}

impl Price {
    /// Returns the cost in millionths of a dollar, rounded up once, after adding.
    pub fn micro_usd(&self, tokens: Tokens) -> u64 {
        let picos = tokens.input * self.input
            + tokens.cache_read * self.cache_read
            + tokens.cache_write_5m * self.cache_write_5m
            + tokens.cache_write_1h * self.cache_write_1h
            + tokens.output * self.output;
        picos.div_ceil(1_000_000) + tokens.web_searches * self.web_search
    }

    /// Returns the list under the names the admin API uses.
    pub fn as_rates(&self) -> Value {
        json!({
            "input_micro_usd_per_mtok": self.input,
            "cache_read_micro_usd_per_mtok": self.cache_read,
            "cache_write_5m_micro_usd_per_mtok": self.cache_write_5m,
            "cache_write_1h_micro_usd_per_mtok": self.cache_write_1h,
            "output_micro_usd_per_mtok": self.output,
            "web_search_micro_usd_per_request": self.web_search,
        })
    }
}

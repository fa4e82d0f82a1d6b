//! What one attempt used, in neutral token classes.

use serde::{Deserialize, Serialize};

use crate::units::TokenCount;

/// Token classes of one attempt. The input classes are disjoint: their sum is the whole input.
///
/// `reasoning` is the part of `output` that was hidden thinking; it is never added to it.
/// Providers count differently (Anthropic's `input_tokens` excludes cache, OpenAI's includes it);
/// only the `dialects` crate knows both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// Input tokens at full price.
    pub input_tokens: TokenCount,
    /// Input tokens read from a prompt cache.
    pub cache_read_tokens: TokenCount,
    /// Input tokens written to a prompt cache kept five minutes (or for the provider's only duration).
    pub cache_write_5m_tokens: TokenCount,
    /// Input tokens written to a prompt cache kept one hour.
    pub cache_write_1h_tokens: TokenCount,
    /// All output tokens, reasoning included.
    pub output_tokens: TokenCount,
    /// The part of the output that was hidden reasoning; at most `output_tokens`.
    pub reasoning_tokens: TokenCount,
    /// Requests to a provider-side web search tool.
    pub web_search_requests: TokenCount,
}

impl Usage {
    /// Returns the whole input, cache classes included.
    pub fn total_input(&self) -> TokenCount {
        self.input_tokens
            .saturating_add(self.cache_read_tokens)
            .saturating_add(self.cache_write_5m_tokens)
            .saturating_add(self.cache_write_1h_tokens)
    }

    /// Returns the sum of two usages, class by class.
    #[must_use]
    pub fn saturating_add(&self, other: &Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cache_read_tokens: self
                .cache_read_tokens
                .saturating_add(other.cache_read_tokens),
            cache_write_5m_tokens: self
                .cache_write_5m_tokens
                .saturating_add(other.cache_write_5m_tokens),
            cache_write_1h_tokens: self
                .cache_write_1h_tokens
                .saturating_add(other.cache_write_1h_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            web_search_requests: self
                .web_search_requests
                .saturating_add(other.web_search_requests),
        }
    }
}

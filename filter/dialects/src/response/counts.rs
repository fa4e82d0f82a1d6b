//! From a provider's counts to neutral token classes: the only place that knows both.

use policy::surface::Dialect;
use policy::units::TokenCount;
use policy::usage::Usage;

use super::shapes::Count;

/// Counts as reported; what was not reported is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_5m: Option<u64>,
    cache_write_1h: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
    tool_input: Option<u64>,
    web_searches: Option<u64>,
}

impl Counts {
    /// Takes the last value of a count.
    pub(super) fn set(&mut self, count: Count, value: u64) {
        *self.slot(count) = Some(value);
    }

    fn slot(&mut self, count: Count) -> &mut Option<u64> {
        match count {
            Count::Input => &mut self.input,
            Count::CacheRead => &mut self.cache_read,
            Count::CacheWrite => &mut self.cache_write,
            Count::CacheWrite5m => &mut self.cache_write_5m,
            Count::CacheWrite1h => &mut self.cache_write_1h,
            Count::Output => &mut self.output,
            Count::Reasoning => &mut self.reasoning,
            Count::ToolInput => &mut self.tool_input,
            Count::WebSearches => &mut self.web_searches,
        }
    }

    /// Takes over what was reported later: counts of a stream are cumulative, so the last value counts.
    pub(super) fn update(&mut self, later: &Self) {
        let Self {
            input,
            cache_read,
            cache_write,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
            tool_input,
            web_searches,
        } = *later;
        self.input = input.or(self.input);
        self.cache_read = cache_read.or(self.cache_read);
        self.cache_write = cache_write.or(self.cache_write);
        self.cache_write_5m = cache_write_5m.or(self.cache_write_5m);
        self.cache_write_1h = cache_write_1h.or(self.cache_write_1h);
        self.output = output.or(self.output);
        self.reasoning = reasoning.or(self.reasoning);
        self.tool_input = tool_input.or(self.tool_input);
        self.web_searches = web_searches.or(self.web_searches);
    }

    /// Whether an output is among them that is not zero.
    pub(super) const fn tell_output(&self) -> bool {
        matches!(self.output, Some(1..))
    }

    /// Whether both input and output are among them and zero.
    pub(super) const fn tell_nothing_used(&self) -> bool {
        matches!((self.input, self.output), (Some(0), Some(0)))
    }

    /// Whether nothing was reported.
    pub(super) const fn is_empty(&self) -> bool {
        matches!(
            self,
            Self {
                input: None,
                cache_read: None,
                cache_write: None,
                cache_write_5m: None,
                cache_write_1h: None,
                output: None,
                reasoning: None,
                tool_input: None,
                web_searches: None,
            }
        )
    }

    /// Returns the neutral classes.
    pub(super) fn usage(&self, dialect: Dialect) -> Usage {
        let input = self.input.unwrap_or_default();
        let cache_read = self.cache_read.unwrap_or_default();
        let cache_write = self.cache_write.unwrap_or_default();
        let output = self.output.unwrap_or_default();
        let reasoning = self.reasoning.unwrap_or_default();
        let web_searches = self.web_searches.unwrap_or_default();
        match dialect {
            // `input_tokens` excludes both cache classes.
            Dialect::Anthropic => {
                let write_5m = self.cache_write_5m.unwrap_or_default();
                let write_1h = self.cache_write_1h.unwrap_or_default();
                let unsplit = cache_write.saturating_sub(write_5m.saturating_add(write_1h));
                Usage {
                    input_tokens: TokenCount::new(input),
                    cache_read_tokens: TokenCount::new(cache_read),
                    cache_write_5m_tokens: TokenCount::new(write_5m.saturating_add(unsplit)),
                    cache_write_1h_tokens: TokenCount::new(write_1h),
                    output_tokens: TokenCount::new(output),
                    reasoning_tokens: TokenCount::ZERO,
                    web_search_requests: TokenCount::new(web_searches),
                }
            }
            // `prompt_tokens` and `input_tokens` include what was read from and written to a cache.
            Dialect::Openai => {
                let read = cache_read.min(input);
                let write = cache_write.min(input.saturating_sub(read));
                Usage {
                    input_tokens: TokenCount::new(input.saturating_sub(read).saturating_sub(write)),
                    cache_read_tokens: TokenCount::new(read),
                    cache_write_5m_tokens: TokenCount::new(write),
                    cache_write_1h_tokens: TokenCount::ZERO,
                    output_tokens: TokenCount::new(output),
                    reasoning_tokens: TokenCount::new(reasoning.min(output)),
                    web_search_requests: TokenCount::new(web_searches),
                }
            }
            // `promptTokenCount` includes the cached part and excludes what tools put in;
            // `candidatesTokenCount` excludes thoughts.
            Dialect::Gemini => {
                let read = cache_read.min(input);
                let tool_input = self.tool_input.unwrap_or_default();
                Usage {
                    input_tokens: TokenCount::new(
                        input.saturating_sub(read).saturating_add(tool_input),
                    ),
                    cache_read_tokens: TokenCount::new(read),
                    cache_write_5m_tokens: TokenCount::ZERO,
                    cache_write_1h_tokens: TokenCount::ZERO,
                    output_tokens: TokenCount::new(output.saturating_add(reasoning)),
                    reasoning_tokens: TokenCount::new(reasoning),
                    web_search_requests: TokenCount::new(web_searches),
                }
            }
        }
    }
}

/// Reads a count as written: a whole number that is not negative, also as `12.0` or `1e3`.
pub(crate) fn whole_number(written: &str) -> Option<u64> {
    if let Ok(number) = written.parse() {
        return Some(number);
    }
    let number: f64 = written.parse().ok()?;
    // 2^53: up to here every whole number has a floating-point form of its own.
    if !(0.0..=9_007_199_254_740_992.0).contains(&number) || number.fract() != 0.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and in range, just checked"
    )]
    let whole = number as u64;
    Some(whole)
}

//! What an exchange is likely to write, learned from what the same key and model wrote before.

use crate::units::TokenCount;

/// Classes of output sizes: powers of the square root of two from 16 to 370,000 tokens.
const CLASSES: usize = 30;
/// Share of outputs that an estimate covers, in percent.
const COVERED_PERCENT: u32 = 95;
/// When this many were seen, all counts are halved: what was long ago counts less.
const FULL: u32 = 512;
/// Until this many were seen the default stands.
const ENOUGH: u32 = 8;
/// What a first exchange is taken to write.
const DEFAULT_TOKENS: u64 = 2_048;
/// Least estimate: an answer has at least a sentence.
const FLOOR_TOKENS: u64 = 64;

/// The sizes of outputs of one key and model.
///
/// ```
/// use policy::quota::estimate::Outputs;
/// use policy::units::TokenCount;
///
/// let mut outputs = Outputs::default();
/// for _ in 0..20 {
///     outputs.learn(TokenCount::new(300));
/// }
/// assert!(outputs.expected(None).get() >= 300);
/// assert_eq!(outputs.expected(Some(TokenCount::new(100))).get(), 100);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    classes: [u16; CLASSES],
    seen: u32,
}

impl Outputs {
    /// Takes in the output of one exchange that ended by itself.
    pub fn learn(&mut self, output: TokenCount) {
        if self.seen >= FULL {
            self.classes.iter_mut().for_each(|count| *count /= 2);
            self.seen = self.classes.iter().map(|count| u32::from(*count)).sum();
        }
        if let Some(count) = self.classes.get_mut(class(output.get())) {
            *count = count.saturating_add(1);
            self.seen += 1;
        }
    }

    /// Returns how much to hold for the next exchange, at most what the request allows (`max_tokens`).
    pub fn expected(&self, at_most: Option<TokenCount>) -> TokenCount {
        let learned = if self.seen < ENOUGH {
            DEFAULT_TOKENS
        } else {
            self.percentile().max(FLOOR_TOKENS)
        };
        TokenCount::new(at_most.map_or(learned, |most| learned.min(most.get())))
    }

    fn percentile(&self) -> u64 {
        let wanted = (self.seen * COVERED_PERCENT).div_ceil(100);
        let mut sum = 0;
        for (index, count) in self.classes.iter().enumerate() {
            sum += u32::from(*count);
            if sum >= wanted {
                return bound(index);
            }
        }
        bound(CLASSES - 1)
    }
}

fn class(tokens: u64) -> usize {
    (0..CLASSES)
        .find(|index| tokens <= bound(*index))
        .unwrap_or(CLASSES - 1)
}

/// Returns the largest size in a class: 16 · √2^index.
fn bound(index: usize) -> u64 {
    let power = 16_u64 << (index / 2);
    if index.is_multiple_of(2) {
        power
    } else {
        power * 1_414 / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(outputs: &[u64], at_most: Option<u64>, want: std::ops::RangeInclusive<u64>) {
        let mut learned = Outputs::default();
        outputs
            .iter()
            .for_each(|it| learned.learn(TokenCount::new(*it)));
        let got = learned.expected(at_most.map(TokenCount::new)).get();
        assert!(want.contains(&got), "{got} is not in {want:?}");
    }

    #[test]
    fn without_experience_the_default_stands() {
        check(&[], None, 2_048..=2_048);
        check(&[10; 7], None, 2_048..=2_048);
    }

    #[test]
    fn the_request_bounds_the_estimate() {
        check(&[], Some(100), 100..=100);
        check(&[50_000; 20], Some(4_096), 4_096..=4_096);
    }

    #[test]
    fn most_outputs_fit_within_a_factor() {
        check(&[300; 100], None, 300..=450);
        check(&[0; 100], None, 64..=64);
        check(&[u64::MAX; 100], None, 300_000..=400_000);
    }

    #[test]
    fn one_in_twenty_may_be_larger() {
        let mut outputs = vec![100; 96];
        outputs.extend([10_000; 4]);
        check(&outputs, None, 100..=150);
        let mut outputs = vec![100; 90];
        outputs.extend([10_000; 10]);
        check(&outputs, None, 10_000..=15_000);
    }

    #[test]
    fn habits_that_change_are_followed() {
        let mut outputs = vec![10_000; 600];
        outputs.extend([100; 6_000]);
        check(&outputs, None, 100..=150);
    }
}

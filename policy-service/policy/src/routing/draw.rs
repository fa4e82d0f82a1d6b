//! Weighted rendezvous: every item gets a score from the seed and its own identity, and the best score wins.
//! An item that comes or goes moves only the sessions it wins or had won.
//!
//! Integers only, so that each worker, the service and a browser draw alike.

/// A draw for one session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    seed: u64,
}

impl Draw {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed: mix(seed) }
    }

    /// Returns which of `items` (identity and weight) comes first; the first listed if none has weight.
    pub(super) fn first(self, items: impl Iterator<Item = (u64, u32)>) -> usize {
        let mut best: Option<(usize, u128, u128)> = None;
        for (at, (identity, weight)) in items.enumerate() {
            if weight == 0 {
                continue;
            }
            // -log2(u) / weight, smallest wins: the chance of each item is its share of the weights.
            let time = u128::from(minus_log2(mix(self.seed ^ identity)));
            let weight = u128::from(weight);
            let is_better = best.is_none_or(|(_, best_time, best_weight)| {
                time.saturating_mul(best_weight) < best_time.saturating_mul(weight)
            });
            if is_better {
                best = Some((at, time, weight));
            }
        }
        best.map_or(0, |(at, _, _)| at)
    }
}

/// Returns a number for `parts`; FNV-1a with a separator that no name holds.
pub(super) fn identity(parts: &[&[u8]]) -> u64 {
    let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    for part in parts {
        part.iter().copied().for_each(&mut add);
        add(0xFF);
    }
    hash
}

/// The finaliser of SplitMix64.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Returns −log2(`hash` / 2^64) in units of 2^-24, by repeated squaring.
fn minus_log2(hash: u64) -> u64 {
    const BITS: u32 = 24;
    let hash = hash.max(1);
    let zeros = hash.leading_zeros();
    // 1 <= x / 2^63 < 2 throughout.
    let mut x = hash << zeros;
    let mut fraction: u64 = 0;
    for _ in 0..BITS {
        let square = (u128::from(x) * u128::from(x)) >> 63;
        let carry = u64::from(square >> 64 != 0);
        fraction = (fraction << 1) | carry;
        x = u64::try_from(square >> carry).unwrap_or(u64::MAX);
    }
    ((u64::from(zeros) + 1) << BITS) - fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        for hash in [1, 3, u64::MAX, u64::MAX / 2, 0x1234_5678_9ABC_DEF0, 1 << 63] {
            let want = 64.0 - (hash as f64).log2();
            let got = minus_log2(hash) as f64 / f64::from(1 << 24);
            assert!((want - got).abs() < 1e-6, "{hash}: {want} {got}");
        }
    }

    #[test]
    fn shares_follow_the_weights() {
        let items = [
            (identity(&[b"a"]), 3),
            (identity(&[b"b"]), 1),
            (identity(&[b"c"]), 0),
        ];
        let mut wins = [0_u32; 3];
        for seed in 0..40_000 {
            wins[Draw::new(seed).first(items.into_iter())] += 1;
        }
        assert!((29_500..30_500).contains(&wins[0]), "{wins:?}");
        assert_eq!(wins[2], 0);
    }

    #[test]
    fn an_item_that_goes_moves_only_its_own_sessions() {
        let items = [
            (identity(&[b"a"]), 2),
            (identity(&[b"b"]), 2),
            (identity(&[b"c"]), 2),
        ];
        for seed in 0..1_000 {
            let with = Draw::new(seed).first(items.into_iter());
            let without = Draw::new(seed).first(items.into_iter().take(2));
            assert!(with == 2 || with == without);
        }
    }

    #[test]
    fn without_weights_the_first_listed_is_first() {
        assert_eq!(Draw::new(9).first([(1, 0), (2, 0)].into_iter()), 0);
    }
}

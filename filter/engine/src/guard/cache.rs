//! What is remembered of texts that were scanned before.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use detect::Finding;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Texts remembered in one generation; two generations are kept.
const GENERATION: usize = 32_768;

/// Findings remembered in one generation.
const GENERATION_FINDINGS: usize = 16_384;

/// Findings remembered with one text; a text with more is scanned again each time.
const FINDINGS: usize = 256;

/// Shorter texts are scanned again: looking them up costs as much.
const SHORTEST_BYTES: usize = 48;

/// What a text is remembered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TextKey(u128);

/// Findings by a keyed hash of the text, the rules that looked at it, and the tenant.
///
/// The answer never depends on what is remembered: the same text gives the same findings. Bounded: when a generation
/// is full the older one is forgotten, and what is met again moves to the newer.
#[derive(Debug)]
pub(crate) struct FindingCache {
    seed: u64,
    newer: Generation,
    older: Generation,
    /// Findings in the newer generation.
    findings: usize,
    pub hits: u64,
}

type Generation = HashMap<TextKey, Option<Rc<[Finding]>>, BuildHasherDefault<FirstBytes>>;

/// The keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn write_u128(&mut self, value: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
        let half = value as u64;
        self.0 = half;
    }
}

impl FindingCache {
    /// `seed` is random for each VM, so that nobody outside can make two texts collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            newer: Generation::default(),
            older: Generation::default(),
            findings: 0,
            hits: 0,
        }
    }

    /// Returns what a text is remembered by; `None` if it is too short to be.
    pub(crate) fn key(&self, context: u64, label: &str, raw: &[u8]) -> Option<TextKey> {
        if raw.len() < SHORTEST_BYTES {
            return None;
        }
        let context = context ^ xxh3_64_with_seed(label.as_bytes(), self.seed);
        let seed = self.seed.rotate_left(32) ^ context;
        Some(TextKey(xxh3_128_with_seed(raw, seed)))
    }

    /// Returns the findings of a text scanned before; an empty list is one, too.
    pub(crate) fn get(&mut self, key: TextKey) -> Option<Option<Rc<[Finding]>>> {
        if let Some(known) = self.newer.get(&key) {
            self.hits += 1;
            return Some(known.clone());
        }
        let known = self.older.remove(&key)?;
        self.hits += 1;
        self.put(key, known.clone());
        Some(known)
    }

    /// Remembers the findings of a text; `None` for none.
    pub(crate) fn put(&mut self, key: TextKey, findings: Option<Rc<[Finding]>>) {
        let count = findings.as_ref().map_or(0, |all| all.len());
        if count > FINDINGS {
            return;
        }
        self.findings = self.findings.saturating_add(count);
        if self.newer.len() >= GENERATION || self.findings > GENERATION_FINDINGS {
            self.older = std::mem::take(&mut self.newer);
            self.findings = count;
        }
        self.newer.insert(key, findings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"a text that is long enough to be remembered by its hash";

    #[test]
    fn a_text_is_remembered_with_its_context_only() {
        let mut cache = FindingCache::new(7);
        let key = cache.key(1, "text", TEXT).unwrap();
        assert_eq!(cache.get(key), None);
        cache.put(key, None);
        assert_eq!(cache.get(key), Some(None));
        assert_ne!(cache.key(2, "text", TEXT), Some(key));
        assert_ne!(cache.key(1, "password", TEXT), Some(key));
        assert_ne!(cache.key(1, "text", &TEXT[1..]), Some(key));
        assert_ne!(FindingCache::new(8).key(1, "text", TEXT), Some(key));
        assert_eq!(cache.key(1, "text", b"short"), None);
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_met_again() {
        let mut cache = FindingCache::new(7);
        let kept = cache.key(0, "kept", TEXT).unwrap();
        cache.put(kept, None);
        for number in 0..3 * GENERATION as u64 {
            let key = cache.key(number + 1, "", TEXT).unwrap();
            cache.put(key, None);
            assert!(cache.newer.len() + cache.older.len() <= 2 * GENERATION);
            if number % 1000 == 0 {
                assert_eq!(cache.get(kept), Some(None), "{number}");
            }
        }
    }
}

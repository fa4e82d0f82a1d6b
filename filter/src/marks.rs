//! Keyed hashes that every worker of the process remembers.
//!
//! ```text
//! weir/1/marks/NNN      16 bytes each    values that were blocked
//! weir/1/created/NNN    16 bytes each    what came into being at providers, and for whom
//! weir/1/items/NNN      16 bytes each    items of those, and for whom
//! ```
//! `NNN` is the first byte of a mark, modulo the number of shards. In a shard the oldest go first: whoever is not
//! found has to be judged, or asked for, anew.

use crate::host;

const MARK_BYTES: usize = 16;
/// How often a write is tried when other VMs write at the same moment.
const ATTEMPTS: usize = 8;

/// A bounded set of marks.
#[derive(Debug)]
pub(crate) struct Marks {
    name: &'static str,
    shards: u8,
    /// Marks in one shard.
    kept: usize,
}

/// What was blocked: a client sends it again with every later turn, and it is history from then on.
pub(crate) const BLOCKED: Marks = Marks {
    name: "marks",
    shards: 64,
    kept: 512,
};

/// What came into being at providers. 32,768 in all: half a minute of a thousand answers a second, and the service
/// knows each after a tenth of one.
pub(crate) const CREATED: Marks = Marks {
    name: "created",
    shards: 128,
    kept: 256,
};

/// Items of answers. Apart from [`CREATED`], so that an answer of many items never takes the place of responses.
pub(crate) const ITEMS: Marks = Marks {
    name: "items",
    shards: 128,
    kept: 256,
};

impl Marks {
    /// Returns those of `marks` that were kept before.
    pub(crate) fn known(&self, marks: &[[u8; MARK_BYTES]]) -> Vec<[u8; MARK_BYTES]> {
        let marks = marks.iter().filter(|mark| self.knows(mark));
        marks.copied().collect()
    }

    /// Whether `mark` was kept before.
    pub(crate) fn knows(&self, mark: &[u8; MARK_BYTES]) -> bool {
        let kept = host::shared(&self.shard(mark)).0.unwrap_or_default();
        kept.as_chunks::<MARK_BYTES>().0.contains(mark)
    }

    /// Keeps marks.
    pub(crate) fn keep(&self, marks: &[[u8; MARK_BYTES]]) {
        for mark in marks {
            let name = self.shard(mark);
            for _ in 0..ATTEMPTS {
                let (kept, version) = host::shared(&name);
                let mut kept = kept.unwrap_or_default();
                if kept.as_chunks::<MARK_BYTES>().0.contains(mark) {
                    break;
                }
                let excess = (kept.len() / MARK_BYTES).saturating_sub(self.kept - 1);
                kept.drain(..excess * MARK_BYTES);
                kept.extend(mark);
                // The first write has no version to compare with: the next round looks whether it stands.
                if host::set_shared_if(&name, &kept, version) && version.is_some() {
                    break;
                }
            }
        }
    }

    fn shard(&self, mark: &[u8; MARK_BYTES]) -> String {
        let [first, ..] = *mark;
        format!("weir/1/{}/{:03}", self.name, first % self.shards)
    }
}

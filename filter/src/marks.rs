//! Values that were blocked, remembered for every worker of the process.
//!
//! ```text
//! weir/1/marks/NN    16 bytes each    the marks whose first byte is NN in 64ths, oldest first
//! ```
//! A client sends what was blocked again with every later turn; it is history from then on.

use crate::host;

const SHARDS: u8 = 64;

/// Marks in one shard; the oldest go first.
const KEPT: usize = 512;

const MARK_BYTES: usize = 16;

/// Returns those of `marks` that were kept before.
pub(crate) fn known(marks: &[[u8; MARK_BYTES]]) -> Vec<[u8; MARK_BYTES]> {
    let is_known = |mark: &&[u8; MARK_BYTES]| {
        let kept = host::shared(&name(mark)).0.unwrap_or_default();
        kept.as_chunks::<MARK_BYTES>().0.contains(*mark)
    };
    marks.iter().filter(is_known).copied().collect()
}

/// Keeps marks.
pub(crate) fn keep(marks: &[[u8; MARK_BYTES]]) {
    for mark in marks {
        let name = name(mark);
        // Another worker may write at the same moment; one of the two then tries again.
        for _ in 0..8 {
            let (kept, version) = host::shared(&name);
            let mut kept = kept.unwrap_or_default();
            if kept.as_chunks::<MARK_BYTES>().0.contains(mark) {
                break;
            }
            let excess = (kept.len() / MARK_BYTES).saturating_sub(KEPT - 1);
            kept.drain(..excess * MARK_BYTES);
            kept.extend(mark);
            if host::set_shared_if(&name, &kept, version) {
                break;
            }
        }
    }
}

fn name(mark: &[u8; MARK_BYTES]) -> String {
    let [first, ..] = *mark;
    format!("weir/1/marks/{:02}", first % SHARDS)
}

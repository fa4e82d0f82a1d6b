//! Writing a compiled list.

use std::collections::BTreeMap;

use super::{
    ENDS, FILTER_UNIT, Folded, GOES_ON, HEADER_BYTES, MAGIC, MAX_LIST_BYTES, SLOT_BYTES,
    WordListProblem, hash, place,
};

/// One beginning of a phrase: where it stands in the pool, and what it means.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    offset: usize,
    flags: u16,
}

/// Lays out folded words, which are sorted and differ from each other.
pub(super) fn list(words: &[Folded]) -> Result<Vec<u8>, WordListProblem> {
    let mut pool = Vec::new();
    let mut beginnings: BTreeMap<&[u8], Beginning> = BTreeMap::new();
    for word in words {
        let offset = pool.len();
        pool.extend_from_slice(&word.text);
        for end in &word.ends {
            let flags = if *end == word.text.len() {
                ENDS
            } else {
                GOES_ON
            };
            let text = word.text.get(..*end).unwrap_or_default();
            beginnings
                .entry(text)
                .and_modify(|known| known.flags |= flags)
                .or_insert(Beginning { offset, flags });
        }
    }
    let units = (words.len() / 16_384 + 1).next_power_of_two();
    let slots = beginnings.len() * 3 / 2 + 1;
    let filter_bytes = units * FILTER_UNIT;
    let bytes = HEADER_BYTES + filter_bytes + slots * SLOT_BYTES + pool.len();
    if bytes > MAX_LIST_BYTES {
        return Err(WordListProblem::TooLarge(bytes));
    }
    let mut out = Vec::with_capacity(bytes);
    out.extend_from_slice(MAGIC);
    for field in [words.len(), slots, pool.len(), units] {
        out.extend_from_slice(&u32::try_from(field).unwrap_or(u32::MAX).to_le_bytes());
    }
    out.extend_from_slice(&filter(words, filter_bytes));
    out.extend_from_slice(&table(&beginnings, slots));
    out.extend_from_slice(&pool);
    Ok(out)
}

fn filter(words: &[Folded], bytes: usize) -> Vec<u8> {
    let mut filter = vec![0u8; bytes];
    for word in words {
        let first = word.ends.first().copied().unwrap_or(0);
        let bit = usize::try_from(hash(word.text.get(..first).unwrap_or_default())).unwrap_or(0)
            % (bytes * 8).max(1);
        if let Some(byte) = filter.get_mut(bit / 8) {
            *byte |= 1 << (bit % 8);
        }
    }
    filter
}

fn table(beginnings: &BTreeMap<&[u8], Beginning>, slots: usize) -> Vec<u8> {
    let mut table = vec![0u8; slots * SLOT_BYTES];
    for (text, beginning) in beginnings {
        let hash = hash(text);
        let mut slot = place(hash, slots);
        // A third of the slots stays free, so a free one is found.
        for _ in 0..slots {
            let at = slot * SLOT_BYTES;
            let Some(cell) = table.get_mut(at..at + SLOT_BYTES) else {
                break;
            };
            if cell.get(8..10) == Some(&[0, 0]) {
                let mut entry = Vec::with_capacity(SLOT_BYTES);
                entry.extend_from_slice(&hash.to_le_bytes());
                let offset = u32::try_from(beginning.offset).unwrap_or(u32::MAX);
                entry.extend_from_slice(&offset.to_le_bytes());
                let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
                entry.extend_from_slice(&length.to_le_bytes());
                entry.extend_from_slice(&beginning.flags.to_le_bytes());
                cell.copy_from_slice(&entry);
                break;
            }
            slot = if slot + 1 == slots { 0 } else { slot + 1 };
        }
    }
    table
}

//! Rule files and word lists in the process-wide store, a piece at a time.
//!
//! ```text
//! weir/1/blobs          40 bytes each    id 16, slot 8, total length 8, bytes written 8
//! weir/1/blob/SS/PPP    bytes            piece PPP of the blob in slot SS
//! ```
//! Slots and pieces are a fixed set of keys, since none can be removed. A slot is taken anew when the mesh in force
//! does not name its blob.

use policy::compiled::Mesh;
use policy::guardrail::BlobId;
use wire::mesh::Blob;

use crate::host;

const INDEX: &str = "weir/1/blobs";

/// Blobs at once; twice what a mesh may name, so that an old and a new one fit.
const SLOTS: u64 = 256;

/// Longest piece that the service sends.
const PIECE_BYTES: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    id: [u8; 16],
    slot: u64,
    total: u64,
    written: u64,
}

/// Takes a piece that the service sent; `false` if there is no room for it.
pub(crate) fn store(piece: &Blob, mesh: Option<&Mesh>) -> bool {
    let Ok(id) = <[u8; 16]>::try_from(piece.id.as_slice()) else {
        return false;
    };
    let mut index = read_index();
    let place = match index.iter().position(|entry| entry.id == id) {
        Some(place) => place,
        None => {
            let Some(slot) = free_slot(&mut index, mesh) else {
                return false;
            };
            index.push(Entry {
                id,
                slot,
                total: piece.total,
                written: 0,
            });
            index.len().saturating_sub(1)
        }
    };
    let Some(entry) = index.get_mut(place) else {
        return false;
    };
    if piece.offset != entry.written && piece.offset != 0 {
        return false;
    }
    let number = piece.offset / PIECE_BYTES as u64;
    host::set_shared(&piece_name(entry.slot, number), &piece.data);
    entry.total = piece.total;
    entry.written = piece.offset.saturating_add(piece.data.len() as u64);
    write_index(&index);
    true
}

/// Returns a blob if all of it is there.
pub(crate) fn load(id: &BlobId) -> Option<Vec<u8>> {
    let id = parse(id)?;
    let index = read_index();
    let entry = index
        .iter()
        .find(|entry| entry.id == id && entry.written == entry.total)?;
    let total = usize::try_from(entry.total).ok()?;
    let mut bytes = Vec::with_capacity(total);
    let pieces = total.div_ceil(PIECE_BYTES) as u64;
    for number in 0..pieces {
        bytes.extend(host::shared(&piece_name(entry.slot, number)).0?);
    }
    // The slot may have been taken for another blob in the meantime.
    let is_whole = bytes.len() == total && read_index().contains(entry);
    is_whole.then_some(bytes)
}

/// Returns a slot nobody needs, forgetting what was in it.
fn free_slot(index: &mut Vec<Entry>, mesh: Option<&Mesh>) -> Option<u64> {
    let unused = (0..SLOTS).find(|slot| index.iter().all(|entry| entry.slot != *slot));
    if unused.is_some() {
        return unused;
    }
    let named = |entry: &Entry| {
        mesh.is_some_and(|mesh| {
            let parts = mesh.rule_files.iter().chain(&mesh.word_lists);
            parts
                .filter_map(|part| parse(&part.blob))
                .any(|id| id == entry.id)
        })
    };
    let place = index.iter().position(|entry| !named(entry))?;
    Some(index.remove(place).slot)
}

fn parse(id: &BlobId) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if id.0.len() != 32 {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        let digits = id.0.get(place * 2..place * 2 + 2)?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

fn read_index() -> Vec<Entry> {
    let bytes = host::shared(INDEX).0.unwrap_or_default();
    let (entries, _) = bytes.as_chunks::<40>();
    entries.iter().filter_map(entry).collect()
}

fn entry(bytes: &[u8; 40]) -> Option<Entry> {
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    let (slot, rest) = rest.split_first_chunk::<8>()?;
    let (total, rest) = rest.split_first_chunk::<8>()?;
    let (written, _) = rest.split_first_chunk::<8>()?;
    Some(Entry {
        id: *id,
        slot: u64::from_le_bytes(*slot),
        total: u64::from_le_bytes(*total),
        written: u64::from_le_bytes(*written),
    })
}

fn write_index(index: &[Entry]) {
    let mut bytes = Vec::with_capacity(index.len() * 40);
    for entry in index {
        bytes.extend(entry.id);
        bytes.extend(entry.slot.to_le_bytes());
        bytes.extend(entry.total.to_le_bytes());
        bytes.extend(entry.written.to_le_bytes());
    }
    host::set_shared(INDEX, &bytes);
}

fn piece_name(slot: u64, number: u64) -> String {
    format!("weir/1/blob/{slot:02}/{number:03}")
}

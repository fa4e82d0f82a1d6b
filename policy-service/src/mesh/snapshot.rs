//! One version of compiled policy, and the pages in which a filter takes it.
//!
//! ```text
//! page token   generation (16 bytes) │ version (8) │ next item (4) │ byte of it (4), all big endian
//! items        blobs by id, then the mesh, then key shard 0..=255
//! ```
//! A mesh comes after the blobs that it names, so that whoever has the mesh has everything it needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use tonic::Status;
use wire::mesh::{Blob, FollowAnswer, KeyShard};

/// A page is at most this long, unless the mesh or a shard alone is longer.
const PAGE_BYTES: usize = 256 * 1024;

/// Every piece of a blob but the last is this long, so that a filter can put each in a place of its own.
const PIECE_BYTES: usize = 256 * 1024;

/// One start of the service; versions of different generations cannot be compared.
pub type Generation = [u8; 16];

/// First bytes of the hash of a blob.
pub(crate) type BlobHash = [u8; 16];

/// What policy compiles to, as it travels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    pub(crate) mesh: Vec<u8>,
    /// Key tables in their order.
    pub(crate) shards: Vec<Vec<u8>>,
    /// Rule files and word lists that the mesh names.
    pub(crate) blobs: BTreeMap<BlobHash, Vec<u8>>,
}

/// Compiled policy as bytes. Unchanged parts are shared between versions.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) generation: Generation,
    pub(crate) version: u64,
    /// The cluster version without which this snapshot must not be enforced.
    pub(crate) clusters: u64,
    items: Vec<Item>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Blob(BlobHash),
    Mesh,
    Shard(u8),
}

#[derive(Clone, Debug)]
struct Item {
    what: What,
    /// The version that brought these bytes.
    since: u64,
    bytes: Arc<[u8]>,
}

impl Snapshot {
    /// Makes the successor of `before`; `None` when nothing has changed.
    pub(crate) fn succeed(
        before: Option<&Self>,
        generation: Generation,
        contents: Contents,
    ) -> Option<Self> {
        let version = before.map_or(0, |before| before.version).saturating_add(1);
        let old: BTreeMap<What, &Item> = before
            .into_iter()
            .flat_map(|before| &before.items)
            .map(|item| (item.what, item))
            .collect();
        let blobs = contents.blobs.into_iter();
        let blobs = blobs.map(|(id, bytes)| (What::Blob(id), bytes));
        let shards = (0..=u8::MAX).map(What::Shard).zip(contents.shards);
        let fresh = blobs
            .chain(std::iter::once((What::Mesh, contents.mesh)))
            .chain(shards);
        let items: Vec<Item> = fresh
            .map(|(what, bytes)| match old.get(&what) {
                Some(item) if *item.bytes == *bytes => (*item).clone(),
                Some(_) | None => Item {
                    what,
                    since: version,
                    bytes: bytes.into(),
                },
            })
            .collect();
        let is_new = items.iter().any(|item| item.since == version) || items.len() != old.len();
        is_new.then_some(Self {
            generation,
            version,
            clusters: 0,
            items,
        })
    }

    /// Returns the key table of a shard.
    pub(crate) fn shard(&self, shard: u8) -> Option<&[u8]> {
        let mut items = self.items.iter();
        let found = items.find(|item| item.what == What::Shard(shard))?;
        Some(&found.bytes)
    }

    /// Returns the page that starts at `from`, of what has changed after the version `known` (0: everything).
    pub(crate) fn page(&self, known: u64, from: Place) -> FollowAnswer {
        let mut answer = FollowAnswer {
            generation: self.generation.to_vec(),
            version: self.version,
            ..FollowAnswer::default()
        };
        let mut length = 0;
        let items = (0_u32..).zip(&self.items);
        let first = usize::try_from(from.item).unwrap_or(usize::MAX);
        for (item, content) in items.skip(first).filter(|(_, item)| item.since > known) {
            let byte = if item == from.item { from.byte } else { 0 };
            let room = PAGE_BYTES.saturating_sub(length);
            let next = match content.what {
                What::Blob(id) => {
                    let (pieces, next) = pieces(id, &content.bytes, byte, room);
                    length += pieces.iter().map(|piece| piece.data.len()).sum::<usize>();
                    answer.blobs.extend(pieces);
                    next
                }
                What::Mesh | What::Shard(_) if length > 0 && content.bytes.len() > room => Some(0),
                What::Mesh => {
                    length += content.bytes.len();
                    answer.mesh = content.bytes.to_vec();
                    None
                }
                What::Shard(index) => {
                    length += content.bytes.len();
                    answer.shards.push(KeyShard {
                        index: index.into(),
                        table: content.bytes.to_vec(),
                    });
                    None
                }
            };
            if let Some(byte) = next {
                let token = PageToken {
                    generation: self.generation,
                    version: self.version,
                    from: Place { item, byte },
                };
                answer.next_page_token = token.encode();
                break;
            }
        }
        answer
    }
}

/// Returns the pieces of a blob from `byte` on for which there is room, and where the next one begins, if any. A
/// blob without bytes has one piece.
fn pieces(id: BlobHash, bytes: &[u8], byte: u32, room: usize) -> (Vec<Blob>, Option<u32>) {
    let mut pieces = Vec::new();
    let mut left = room;
    let mut start = usize::try_from(byte).unwrap_or(usize::MAX).min(bytes.len());
    loop {
        let end = start.saturating_add(PIECE_BYTES).min(bytes.len());
        let data = bytes.get(start..end).unwrap_or_default();
        if data.len() > left {
            return (pieces, u32::try_from(start).ok());
        }
        left = left.saturating_sub(data.len());
        pieces.push(Blob {
            id: id.to_vec(),
            offset: wide(start),
            total: wide(bytes.len()),
            data: data.to_vec(),
        });
        start = end;
        if end >= bytes.len() {
            return (pieces, None);
        }
    }
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Where a page starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    item: u32,
    /// Only blobs are cut.
    byte: u32,
}

/// Where the next page starts. Every start of the service counts its versions from 1, so a version alone would
/// join pages of two snapshots that have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageToken {
    pub(crate) generation: Generation,
    pub(crate) version: u64,
    pub(crate) from: Place,
}

impl PageToken {
    pub(crate) fn encode(self) -> Vec<u8> {
        [
            self.generation.as_slice(),
            self.version.to_be_bytes().as_slice(),
            self.from.item.to_be_bytes().as_slice(),
            self.from.byte.to_be_bytes().as_slice(),
        ]
        .concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Status> {
        let parts = bytes
            .split_first_chunk::<16>()
            .and_then(|(generation, rest)| {
                let (version, rest) = rest.split_first_chunk::<8>()?;
                let (item, byte) = rest.split_first_chunk::<4>()?;
                Some((generation, version, item, <[u8; 4]>::try_from(byte).ok()?))
            });
        let Some((generation, version, item, byte)) = parts else {
            return Err(Status::invalid_argument(
                "`page_token` is not one that this service made",
            ));
        };
        Ok(Self {
            generation: *generation,
            version: u64::from_be_bytes(*version),
            from: Place {
                item: u32::from_be_bytes(*item),
                byte: u32::from_be_bytes(byte),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATION: Generation = [7; 16];
    const SHARDS: usize = 256;

    fn contents(mesh: &[u8], shard: Option<(usize, &[u8])>) -> Contents {
        let mut shards = vec![Vec::new(); SHARDS];
        if let Some((index, bytes)) = shard {
            shards[index] = bytes.to_vec();
        }
        Contents {
            mesh: mesh.to_vec(),
            shards,
            blobs: BTreeMap::new(),
        }
    }

    fn with_blobs(mesh: &[u8], blobs: &[(u8, Vec<u8>)]) -> Contents {
        let blobs = blobs.iter().cloned();
        Contents {
            blobs: blobs.map(|(id, bytes)| ([id; 16], bytes)).collect(),
            ..contents(mesh, None)
        }
    }

    fn first() -> Snapshot {
        Snapshot::succeed(None, GENERATION, contents(b"mesh", None)).unwrap()
    }

    fn then(before: &Snapshot, contents: Contents) -> Snapshot {
        Snapshot::succeed(Some(before), GENERATION, contents).unwrap()
    }

    fn follow(snapshot: &Snapshot, known: u64) -> Vec<FollowAnswer> {
        let mut pages = vec![snapshot.page(known, Place::default())];
        while let Some(token) = pages.last().filter(|page| !page.next_page_token.is_empty()) {
            let token = PageToken::decode(&token.next_page_token).unwrap();
            assert_eq!(
                (token.generation, token.version),
                (GENERATION, snapshot.version)
            );
            pages.push(snapshot.page(known, token.from));
        }
        pages
    }

    /// Puts the pieces together and checks that they follow each other, before the mesh.
    fn blobs(pages: &[FollowAnswer]) -> BTreeMap<u8, Vec<u8>> {
        let mut blobs: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        let mut totals = BTreeMap::new();
        let mut has_mesh = false;
        for page in pages {
            assert!(!has_mesh || page.blobs.is_empty());
            has_mesh |= !page.mesh.is_empty();
            for piece in &page.blobs {
                let blob = blobs.entry(piece.id[0]).or_default();
                assert_eq!(piece.offset, wide(blob.len()));
                assert_eq!(piece.offset % wide(PIECE_BYTES), 0);
                blob.extend(&piece.data);
                totals.insert(piece.id[0], piece.total);
            }
        }
        for (id, total) in totals {
            assert_eq!(wide(blobs[&id].len()), total);
        }
        blobs
    }

    #[test]
    fn a_full_snapshot_names_every_shard_the_empty_ones_too() {
        let pages = follow(&first(), 0);
        assert_eq!(pages.len(), 1);
        assert_eq!(pages[0].mesh, b"mesh");
        assert_eq!(pages[0].shards.len(), SHARDS);
    }

    #[test]
    fn a_delta_holds_what_changed_and_nothing_else() {
        let first = first();
        let second = then(&first, contents(b"mesh", Some((9, b"key"))));
        let pages = follow(&second, first.version);
        assert_eq!(pages.len(), 1);
        assert!(pages[0].mesh.is_empty());
        assert_eq!(pages[0].version, 2);
        assert_eq!(
            pages[0].shards,
            [KeyShard {
                index: 9,
                table: b"key".to_vec()
            }]
        );
    }

    #[test]
    fn a_delta_over_several_versions_holds_all_their_changes() {
        let first = first();
        let second = then(&first, contents(b"mesh", Some((9, b"key"))));
        let third = then(&second, contents(b"other", Some((9, b"key"))));
        let pages = follow(&third, first.version);
        assert_eq!(pages[0].mesh, b"other");
        assert_eq!(pages[0].shards.len(), 1);
    }

    #[test]
    fn nothing_new_is_no_version() {
        let same = contents(b"mesh", None);
        assert!(Snapshot::succeed(Some(&first()), GENERATION, same).is_none());
        let blobs = with_blobs(b"mesh", &[(1, b"list".to_vec())]);
        let guarded = then(&first(), blobs.clone());
        assert!(Snapshot::succeed(Some(&guarded), GENERATION, blobs).is_none());
    }

    #[test]
    fn long_snapshots_come_in_pages_that_lose_nothing() {
        let shards: Vec<Vec<u8>> = (0..SHARDS).map(|index| vec![0; 10_000 + index]).collect();
        let long = Contents {
            shards,
            ..contents(&vec![0; PAGE_BYTES + 1], None)
        };
        let snapshot = Snapshot::succeed(None, GENERATION, long).unwrap();
        let pages = follow(&snapshot, 0);
        assert!(pages.len() > 10);
        assert!(
            pages[0].shards.is_empty(),
            "an overlong item has its page to itself"
        );
        let seen: Vec<u32> = pages
            .iter()
            .flat_map(|page| page.shards.iter().map(|shard| shard.index))
            .collect();
        assert_eq!(seen, (0..256).collect::<Vec<u32>>());
        for page in &pages[1..] {
            assert!(
                page.shards
                    .iter()
                    .map(|shard| shard.table.len())
                    .sum::<usize>()
                    <= PAGE_BYTES
            );
        }
    }

    #[test]
    fn blobs_of_any_length_come_whole_and_before_the_mesh() {
        let lengths = [
            0,
            1,
            PAGE_BYTES - 1,
            PAGE_BYTES,
            PAGE_BYTES + 1,
            12 * 1024 * 1024,
        ];
        let sent: BTreeMap<u8, Vec<u8>> = (0..)
            .zip(lengths)
            .map(|(id, length)| (id, vec![id; length]))
            .collect();
        let all: Vec<_> = sent.clone().into_iter().collect();
        let snapshot = Snapshot::succeed(None, GENERATION, with_blobs(b"mesh", &all)).unwrap();
        let pages = follow(&snapshot, 0);
        assert_eq!(blobs(&pages), sent);
        assert_eq!(pages.last().unwrap().mesh, b"mesh");
        for page in &pages {
            let length: usize = page.blobs.iter().map(|piece| piece.data.len()).sum();
            assert!(length + page.mesh.len() <= PAGE_BYTES);
        }
    }

    #[test]
    fn a_delta_brings_the_blobs_that_are_new_and_no_others() {
        let (old, new) = ((1, vec![1; 300_000]), (2, vec![2; 300_000]));
        let one = then(&first(), with_blobs(b"one", std::slice::from_ref(&old)));
        let two = then(&one, with_blobs(b"two", &[old.clone(), new.clone()]));
        assert_eq!(blobs(&follow(&two, 2)), BTreeMap::from([new.clone()]));
        assert_eq!(
            blobs(&follow(&two, 1)),
            BTreeMap::from([old.clone(), new.clone()])
        );
        let three = then(&two, with_blobs(b"three", std::slice::from_ref(&new)));
        assert!(blobs(&follow(&three, 3)).is_empty());
        let four = then(&three, with_blobs(b"four", &[old.clone(), new]));
        assert_eq!(blobs(&follow(&four, 4)), BTreeMap::from([old]));
    }

    #[test]
    fn a_foreign_page_token_is_refused() {
        for token in [&[][..], &[1, 2, 3], &[0; 26], &[0; 31], &[0; 33]] {
            assert!(PageToken::decode(token).is_err());
        }
    }

    #[test]
    fn a_token_beyond_the_end_gives_an_empty_page() {
        for from in [
            Place {
                item: u32::MAX,
                byte: 0,
            },
            Place {
                item: 0,
                byte: u32::MAX,
            },
        ] {
            let snapshot = then(&first(), with_blobs(b"mesh", &[(1, b"list".to_vec())]));
            let page = snapshot.page(0, from);
            assert!(page.blobs.iter().all(|piece| piece.data.is_empty()));
        }
    }
}

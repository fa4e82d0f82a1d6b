//! One version of compiled policy, and the pages in which a filter takes it.
//!
//! ```text
//! page token   generation (16 bytes) │ version (8 bytes, big endian) │ next item (2 bytes)
//! item 0       the mesh
//! item 1..=256 key shard 0..=255
//! ```

use std::sync::Arc;

use tonic::Status;
use wire::mesh::{FollowAnswer, KeyShard};

/// A page is at most this long, unless a single item is longer.
const PAGE_BYTES: usize = 256 * 1024;

/// One start of the service; versions of different generations cannot be compared.
pub type Generation = [u8; 16];

/// Compiled policy as bytes. Unchanged parts are shared between versions.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) generation: Generation,
    pub(crate) version: u64,
    /// The cluster version without which this snapshot must not be enforced.
    pub(crate) clusters: u64,
    /// The mesh, then the key shards.
    items: Vec<Item>,
}

#[derive(Clone, Debug)]
struct Item {
    /// The version that brought these bytes.
    since: u64,
    bytes: Arc<[u8]>,
}

impl Snapshot {
    /// Makes the successor of `before`; `None` when nothing has changed.
    ///
    /// `shards` are the key tables in their order.
    pub(crate) fn succeed(
        before: Option<&Self>,
        generation: Generation,
        mesh: Vec<u8>,
        shards: Vec<Vec<u8>>,
    ) -> Option<Self> {
        let version = before.map_or(0, |before| before.version).saturating_add(1);
        let old = before
            .map(|before| before.items.as_slice())
            .unwrap_or_default();
        let fresh = std::iter::once(mesh).chain(shards);
        let items: Vec<Item> = fresh
            .enumerate()
            .map(|(index, bytes)| match old.get(index) {
                Some(item) if *item.bytes == *bytes => item.clone(),
                Some(_) | None => Item {
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

    /// Returns the page that starts at `first`, of what has changed after the version `known` (0: everything).
    pub(crate) fn page(&self, known: u64, first: u16) -> FollowAnswer {
        let mut answer = FollowAnswer {
            generation: self.generation.to_vec(),
            version: self.version,
            ..FollowAnswer::default()
        };
        let mut length = 0;
        let changed = (0u16..).zip(&self.items).skip(usize::from(first));
        for (index, item) in changed.filter(|(_, item)| item.since > known) {
            if length > 0 && length + item.bytes.len() > PAGE_BYTES {
                answer.next_page_token = PageToken {
                    generation: self.generation,
                    version: self.version,
                    next: index,
                }
                .encode();
                break;
            }
            length += item.bytes.len();
            match index.checked_sub(1) {
                None => answer.mesh = item.bytes.to_vec(),
                Some(shard) => {
                    answer.shards.push(KeyShard {
                        index: shard.into(),
                        table: item.bytes.to_vec(),
                    });
                }
            }
        }
        answer
    }
}

/// Where the next page starts. Every start of the service counts its versions from 1, so a version alone would
/// join pages of two snapshots that have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageToken {
    pub(crate) generation: Generation,
    pub(crate) version: u64,
    pub(crate) next: u16,
}

impl PageToken {
    pub(crate) fn encode(self) -> Vec<u8> {
        [
            self.generation.as_slice(),
            self.version.to_be_bytes().as_slice(),
            self.next.to_be_bytes().as_slice(),
        ]
        .concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Status> {
        let parts = bytes
            .split_first_chunk::<16>()
            .and_then(|(generation, rest)| {
                let (version, next) = rest.split_first_chunk::<8>()?;
                Some((generation, version, <[u8; 2]>::try_from(next).ok()?))
            });
        let Some((generation, version, next)) = parts else {
            return Err(Status::invalid_argument(
                "`page_token` is not one that this service made",
            ));
        };
        Ok(Self {
            generation: *generation,
            version: u64::from_be_bytes(*version),
            next: u16::from_be_bytes(next),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATION: Generation = [7; 16];
    const SHARDS: usize = 256;

    fn shards(change: Option<(usize, &[u8])>) -> Vec<Vec<u8>> {
        let mut shards = vec![Vec::new(); SHARDS];
        if let Some((index, bytes)) = change {
            shards[index] = bytes.to_vec();
        }
        shards
    }

    fn first() -> Snapshot {
        Snapshot::succeed(None, GENERATION, b"mesh".to_vec(), shards(None)).unwrap()
    }

    fn follow(snapshot: &Snapshot, known: u64) -> Vec<FollowAnswer> {
        let mut pages = vec![snapshot.page(known, 0)];
        while let Some(token) = pages.last().filter(|page| !page.next_page_token.is_empty()) {
            let token = PageToken::decode(&token.next_page_token).unwrap();
            assert_eq!(
                (token.generation, token.version),
                (GENERATION, snapshot.version)
            );
            pages.push(snapshot.page(known, token.next));
        }
        pages
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
        let second = Snapshot::succeed(
            Some(&first),
            GENERATION,
            b"mesh".to_vec(),
            shards(Some((9, b"key"))),
        )
        .unwrap();
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
        let second = Snapshot::succeed(
            Some(&first),
            GENERATION,
            b"mesh".to_vec(),
            shards(Some((9, b"key"))),
        )
        .unwrap();
        let third = Snapshot::succeed(
            Some(&second),
            GENERATION,
            b"other".to_vec(),
            shards(Some((9, b"key"))),
        )
        .unwrap();
        let pages = follow(&third, first.version);
        assert_eq!(pages[0].mesh, b"other");
        assert_eq!(pages[0].shards.len(), 1);
    }

    #[test]
    fn nothing_new_is_no_version() {
        let first = first();
        assert!(
            Snapshot::succeed(Some(&first), GENERATION, b"mesh".to_vec(), shards(None)).is_none()
        );
    }

    #[test]
    fn long_snapshots_come_in_pages_that_lose_nothing() {
        let shards: Vec<Vec<u8>> = (0..SHARDS).map(|index| vec![0; 10_000 + index]).collect();
        let snapshot =
            Snapshot::succeed(None, GENERATION, vec![0; PAGE_BYTES + 1], shards).unwrap();
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
    fn a_foreign_page_token_is_refused() {
        for token in [&[][..], &[1, 2, 3], &[0; 10], &[0; 25], &[0; 27]] {
            assert!(PageToken::decode(token).is_err());
        }
    }
}

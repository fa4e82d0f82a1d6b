//! The container of compiled keys: finding one key parses that key only.
//!
//! ```text
//! "WKT" format:u8
//! keys:u32  parts:u32                      integers are little-endian
//! hash:[u8;32] × keys                      ascending
//! end:u32 × (keys + parts)                 where each blob ends, counted from the first blob
//! blob × keys                              JSON of one key; its access rules are numbers of parts
//! blob × parts                             JSON of one access rule
//! ```
//!
//! Keys of one team mostly share their rules word for word, so each distinct rule is written once per table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CompiledKey, CompiledRoute, DecodeError, FORMAT, Principal, encode_json};
use crate::documents::{Access, KeyState, OnRevoke, Subscription};
use crate::key::KeyHash;
use crate::opaque_path::OpaquePath;
use crate::quota::Quota;
use crate::units::Timestamp;

const MAGIC: &[u8; 3] = b"WKT";
const HEADER_BYTES: usize = 12;
const HASH_BYTES: usize = 32;
const END_BYTES: usize = 4;

/// Keys by hash, as bytes. Usually one shard of the mesh's keys, see [`KeyHash::shard`].
#[derive(Debug)]
pub struct KeyTable;

impl KeyTable {
    /// Writes a table of `keys`.
    pub fn encode(keys: &BTreeMap<KeyHash, CompiledKey>) -> Vec<u8> {
        Self::encode_iter(keys.iter())
    }

    /// Writes one table for each first byte of a hash that occurs in `keys`.
    pub fn encode_shards(keys: &BTreeMap<KeyHash, CompiledKey>) -> BTreeMap<u8, Vec<u8>> {
        let mut shards: BTreeMap<u8, Vec<(&KeyHash, &CompiledKey)>> = BTreeMap::new();
        for (hash, key) in keys {
            shards.entry(hash.shard()).or_default().push((hash, key));
        }
        shards
            .into_iter()
            .map(|(index, keys)| (index, Self::encode_iter(keys.into_iter())))
            .collect()
    }

    fn encode_iter<'a>(keys: impl Iterator<Item = (&'a KeyHash, &'a CompiledKey)>) -> Vec<u8> {
        let mut hashes = Vec::new();
        let mut entries = Vec::new();
        let mut parts = Vec::new();
        let mut numbers: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for (hash, key) in keys {
            let access = key.access.iter().map(|rule| {
                let part = encode_json(rule);
                *numbers.entry(part).or_insert_with_key(|part| {
                    parts.push(part.clone());
                    size(parts.len().saturating_sub(1))
                })
            });
            let entry = Entry::new(key, access.collect());
            hashes.extend_from_slice(hash.as_bytes());
            entries.push(encode_json(&entry));
        }
        let mut table = Vec::new();
        table.extend_from_slice(MAGIC);
        table.push(u8::try_from(FORMAT).unwrap_or(u8::MAX));
        table.extend_from_slice(&size(entries.len()).to_le_bytes());
        table.extend_from_slice(&size(parts.len()).to_le_bytes());
        table.extend_from_slice(&hashes);
        let mut end = 0_usize;
        for blob in entries.iter().chain(&parts) {
            end = end.saturating_add(blob.len());
            table.extend_from_slice(&size(end).to_le_bytes());
        }
        for blob in entries.iter().chain(&parts) {
            table.extend_from_slice(blob);
        }
        table
    }

    /// Returns the key with this hash, or `None` when the table does not hold it; no bytes are no keys.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes that had to be read are not those of a table this build can apply.
    pub fn find(table: &[u8], hash: &KeyHash) -> Result<Option<CompiledKey>, DecodeError> {
        if table.is_empty() {
            return Ok(None);
        }
        let layout = Layout::read(table)?;
        match layout.position(hash) {
            Some(at) => layout.key(at).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the whole table and returns the number of its keys.
    ///
    /// # Errors
    /// [`DecodeError`] when any part of it could not be applied.
    pub fn verify(table: &[u8]) -> Result<usize, DecodeError> {
        if table.is_empty() {
            return Ok(0);
        }
        let layout = Layout::read(table)?;
        let (hashes, _) = layout.hashes.as_chunks::<HASH_BYTES>();
        if !hashes.is_sorted_by(|before, after| before < after) {
            return Err(DecodeError::Damaged {
                what: "its hashes are not in order",
            });
        }
        for at in 0..layout.keys {
            layout.key(at)?;
        }
        Ok(layout.keys)
    }
}

fn size(count: usize) -> u32 {
    // A table of 4 GiB cannot be read back: its last offsets do not fit its length.
    u32::try_from(count).unwrap_or(u32::MAX)
}

struct Layout<'a> {
    keys: usize,
    parts: usize,
    hashes: &'a [u8],
    ends: &'a [u8],
    blobs: &'a [u8],
}

impl<'a> Layout<'a> {
    fn read(table: &'a [u8]) -> Result<Self, DecodeError> {
        let damaged = |what| DecodeError::Damaged { what };
        let (header, rest) = table
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(damaged("it is shorter than its header"))?;
        let [m0, m1, m2, format, k0, k1, k2, k3, p0, p1, p2, p3] = *header;
        if [m0, m1, m2] != *MAGIC {
            return Err(damaged("it does not start like a key table"));
        }
        if u32::from(format) != FORMAT {
            return Err(DecodeError::Format {
                found: u32::from(format),
            });
        }
        let count = |bytes| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        let keys = count([k0, k1, k2, k3]);
        let parts = count([p0, p1, p2, p3]);
        let hashes_end = keys.checked_mul(HASH_BYTES);
        let ends_bytes = keys
            .checked_add(parts)
            .and_then(|blobs| blobs.checked_mul(END_BYTES));
        let (hashes, rest) = hashes_end
            .and_then(|end| rest.split_at_checked(end))
            .ok_or(damaged("it is shorter than its hashes"))?;
        let (ends, blobs) = ends_bytes
            .and_then(|end| rest.split_at_checked(end))
            .ok_or(damaged("it is shorter than its offsets"))?;
        Ok(Self {
            keys,
            parts,
            hashes,
            ends,
            blobs,
        })
    }

    fn position(&self, hash: &KeyHash) -> Option<usize> {
        let (hashes, _) = self.hashes.as_chunks::<HASH_BYTES>();
        hashes.binary_search(hash.as_bytes()).ok()
    }

    fn key(&self, at: usize) -> Result<CompiledKey, DecodeError> {
        let entry: Entry = self.json(at, "key entry")?;
        let mut access = Vec::with_capacity(entry.access.len().min(8));
        for part in &entry.access {
            let part = usize::try_from(*part)
                .ok()
                .filter(|part| *part < self.parts);
            let at = part.and_then(|part| part.checked_add(self.keys));
            let at = at.ok_or(DecodeError::Damaged {
                what: "an access rule is not in it",
            })?;
            access.push(self.json::<Access>(at, "access rule")?);
        }
        Ok(entry.into_key(access))
    }

    fn json<T: for<'de> Deserialize<'de>>(
        &self,
        at: usize,
        what: &'static str,
    ) -> Result<T, DecodeError> {
        let blob = self.blob(at).ok_or(DecodeError::Damaged {
            what: "an entry is outside it",
        })?;
        serde_json::from_slice(blob).map_err(|source| DecodeError::Json { what, source })
    }

    fn blob(&self, at: usize) -> Option<&'a [u8]> {
        let (ends, _) = self.ends.as_chunks::<END_BYTES>();
        let end = |at: usize| {
            let bytes = ends.get(at)?;
            usize::try_from(u32::from_le_bytes(*bytes)).ok()
        };
        let start = match at.checked_sub(1) {
            Some(before) => end(before)?,
            None => 0,
        };
        self.blobs.get(start..end(at)?)
    }
}

/// A [`CompiledKey`] in which the access rules are numbers of parts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    principal: Principal,
    state: KeyState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<Timestamp>,
    access: Vec<u32>,
    subscription: Subscription,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    opaque_paths: Vec<OpaquePath>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    routes: Vec<CompiledRoute>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    quotas: Vec<Quota>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_revoke: Option<OnRevoke>,
}

impl Entry {
    fn new(key: &CompiledKey, access: Vec<u32>) -> Self {
        let CompiledKey {
            principal,
            state,
            expires_at_ms,
            access: _,
            subscription,
            opaque_paths,
            routes,
            quotas,
            on_revoke,
        } = key.clone();
        Self {
            principal,
            state,
            expires_at_ms,
            access,
            subscription,
            opaque_paths,
            routes,
            quotas,
            on_revoke,
        }
    }

    fn into_key(self, access: Vec<Access>) -> CompiledKey {
        let Self {
            principal,
            state,
            expires_at_ms,
            access: _,
            subscription,
            opaque_paths,
            routes,
            quotas,
            on_revoke,
        } = self;
        CompiledKey {
            principal,
            state,
            expires_at_ms,
            access,
            subscription,
            opaque_paths,
            routes,
            quotas,
            on_revoke,
        }
    }
}

#[cfg(test)]
mod tests;

//! The layout of the process-wide store, shared by all VMs of one Envoy.
//!
//! ```text
//! weir/1/process     16 bytes     random id of this Envoy process
//! weir/1/lease       16 + 8       the VM that follows the service, and until when (ms)
//! weir/1/head        16 + 8 + 8 + 8   generation, version, version of the mesh, time of the last answer (ms)
//! weir/1/mesh        bytes        compiled mesh
//! weir/1/keys/NNN    bytes        compiled key table of one shard
//! weir/1/keys/changes   256 × 4   how often each key table has changed
//! weir/1/blob…                    rule files and word lists, see `blobs`
//! weir/1/marks/NNN                values that were blocked, see `marks`
//! weir/1/created/NNN              what came into being at providers, see `marks`
//! ```
//! The number is the layout's: the store outlives code upgrades. Keys cannot be removed, so the set is fixed.

use policy::units::Timestamp;

use crate::host;

const PROCESS: &str = "weir/1/process";
const LEASE: &str = "weir/1/lease";
const HEAD: &str = "weir/1/head";
const MESH: &str = "weir/1/mesh";
const KEY_CHANGES: &str = "weir/1/keys/changes";
/// How often a write is tried when another VM writes at the same moment.
const ATTEMPTS: usize = 8;

/// How long a follower may be silent before another VM takes over.
const LEASE_MS: u64 = 400;

/// Which snapshot the process applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub generation: [u8; 16],
    pub version: u64,
    /// Version in which the mesh last changed.
    pub mesh_version: u64,
    /// When the service last answered.
    pub confirmed: Timestamp,
}

impl Head {
    /// Returns whether `other` is the same snapshot, whenever it was confirmed.
    pub(crate) fn is_same_snapshot(&self, other: &Self) -> bool {
        self.generation == other.generation && self.version == other.version
    }
}

/// Returns the id of this Envoy process, making it when nobody has.
pub(crate) fn process_id() -> [u8; 16] {
    if let Some(known) = read_process_id() {
        return known;
    }
    let made = host::random::<16>();
    host::set_shared(PROCESS, &made);
    // Two VMs may have made one at the same moment; the one that stands counts.
    read_process_id().unwrap_or(made)
}

fn read_process_id() -> Option<[u8; 16]> {
    host::shared(PROCESS).0?.try_into().ok()
}

/// Takes or renews the follower's lease for `vm`; `false` while another VM holds it.
pub(crate) fn hold_lease(vm: &[u8; 16], now: Timestamp) -> bool {
    let (value, version) = host::shared(LEASE);
    if let Some(value) = value
        && let Some((holder, until)) = value.split_first_chunk::<16>()
        && let Ok(until) = until.try_into().map(u64::from_le_bytes)
        && holder != vm
        && until > now.as_millis()
        && until <= now.as_millis().saturating_add(LEASE_MS)
    {
        return false;
    }
    let mut lease = vm.to_vec();
    lease.extend(now.as_millis().saturating_add(LEASE_MS).to_le_bytes());
    host::set_shared_if(LEASE, &lease, version)
}

/// Returns the snapshot that the process applies, `None` before the first.
pub(crate) fn head() -> Option<Head> {
    let value = host::shared(HEAD).0?;
    let (generation, rest) = value.split_first_chunk::<16>()?;
    let (version, rest) = rest.split_first_chunk::<8>()?;
    let (mesh_version, rest) = rest.split_first_chunk::<8>()?;
    let (confirmed, _) = rest.split_first_chunk::<8>()?;
    Some(Head {
        generation: *generation,
        version: u64::from_le_bytes(*version),
        mesh_version: u64::from_le_bytes(*mesh_version),
        confirmed: Timestamp::from_millis(u64::from_le_bytes(*confirmed)),
    })
}

/// Makes `head` the snapshot of the process; its parts must have been written before.
pub(crate) fn set_head(head: &Head) {
    let mut value = head.generation.to_vec();
    value.extend(head.version.to_le_bytes());
    value.extend(head.mesh_version.to_le_bytes());
    value.extend(head.confirmed.as_millis().to_le_bytes());
    host::set_shared(HEAD, &value);
}

/// Returns the compiled mesh.
pub(crate) fn mesh() -> Option<Vec<u8>> {
    host::shared(MESH).0
}

/// Replaces the compiled mesh.
pub(crate) fn set_mesh(bytes: &[u8]) {
    host::set_shared(MESH, bytes);
}

/// Returns the key table of one shard.
pub(crate) fn key_table(shard: u8) -> Option<Vec<u8>> {
    host::shared(&key_table_name(shard)).0
}

/// Replaces the key table of one shard.
pub(crate) fn set_key_table(shard: u8, bytes: &[u8]) {
    host::set_shared(&key_table_name(shard), bytes);
}

/// Returns how often each key table has changed; empty before the first.
pub(crate) fn key_table_changes() -> Vec<u32> {
    let counts = host::shared(KEY_CHANGES).0.unwrap_or_default();
    let counts = counts.as_chunks::<4>().0.iter();
    counts.map(|count| u32::from_le_bytes(*count)).collect()
}

/// Counts changes of key tables, which have been written; `false` if that could not be done.
pub(crate) fn count_key_table_changes(shards: &[u8]) -> bool {
    for _ in 0..ATTEMPTS {
        let (counts, version) = host::shared(KEY_CHANGES);
        let mut counts = counts.unwrap_or_default();
        counts.resize(256 * 4, 0);
        let (chunks, _) = counts.as_chunks_mut::<4>();
        for shard in shards {
            if let Some(count) = chunks.get_mut(usize::from(*shard)) {
                *count = u32::from_le_bytes(*count).wrapping_add(1).to_le_bytes();
            }
        }
        if host::set_shared_if(KEY_CHANGES, &counts, version) {
            return true;
        }
    }
    false
}

fn key_table_name(shard: u8) -> String {
    format!("weir/1/keys/{shard:03}")
}

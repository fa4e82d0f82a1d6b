//! What VMs of this process can spare of their quota slices, for one another.
//!
//! ```text
//! weir/1/spares/NN   89 bytes each    spares of the accounts whose last byte is NN in 64ths
//!   account 16 · grant 16 · window start 8 · width 8 · hot 1 · ends 8 · expires 8 · granted 8 · lent 8 · amount 8
//! ```
//! Every VM lends what it does not use and looks here before it asks the service.

use engine::quota::IDLE_MS;
use policy::ids::GrantId;
use policy::quota::AccountId;
use policy::quota::lease::{Keeping, Taken, WindowKey};
use policy::quota::slices::{CLOCK_MARGIN_MS, Need, Spare};
use policy::units::Timestamp;
use wire::quota::Kept;

use crate::host;

const SHARDS: u8 = 64;
const ENTRY_BYTES: usize = 89;
/// Spares in one shard; what does not fit goes back to the service when its lease ends.
const KEPT: usize = 256;
/// How often a write is tried when other VMs write at the same moment.
const ATTEMPTS: usize = 8;

/// A spare, and since when nobody took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    spare: Spare,
    lent: Timestamp,
}

/// Offers `lent` to the other VMs; returns what there is no place for.
pub(crate) fn lend(now: Timestamp, lent: &[Spare]) -> Vec<Taken> {
    let homeless = lent.iter().filter(|spare| !offer(now, spare));
    homeless.map(taken).collect()
}

fn offer(now: Timestamp, spare: &Spare) -> bool {
    let offered = change(shard(spare.account), |entries| {
        let at = entries.iter().position(|entry| {
            entry.spare.account == spare.account && entry.spare.grant == spare.grant
        });
        let has_room = entries.len() < KEPT;
        match at.and_then(|at| entries.get_mut(at)) {
            Some(entry) => {
                entry.spare.amount = entry.spare.amount.saturating_add(spare.amount);
                entry.spare.expires = entry.spare.expires.max(spare.expires);
                entry.lent = now;
                true
            }
            None if has_room => {
                entries.push(Entry {
                    spare: *spare,
                    lent: now,
                });
                true
            }
            None => false,
        }
    });
    offered.unwrap_or(false)
}

fn taken(spare: &Spare) -> Taken {
    Taken {
        grant: spare.grant,
        account: spare.account,
        amount: spare.amount,
    }
}

/// Takes of each account at most what is wanted.
pub(crate) fn take(now: Timestamp, wanted: &[Need]) -> Vec<Spare> {
    let mut found = Vec::new();
    for need in wanted {
        if read(shard(need.account)).0.is_empty() {
            continue;
        }
        let taken = change(shard(need.account), |entries| {
            let mut open = need.amount;
            let mut taken = Vec::new();
            for entry in entries.iter_mut() {
                let spare = &mut entry.spare;
                let amount = spare.amount.min(open);
                if spare.account == need.account && amount > 0 && is_usable(now, spare) {
                    open -= amount;
                    spare.amount -= amount;
                    taken.push(Spare { amount, ..*spare });
                }
            }
            entries.retain(|entry| entry.spare.amount > 0);
            taken
        });
        found.extend(taken.unwrap_or_default());
    }
    found
}

/// Returns the leases that spares are of, so that they are kept.
pub(crate) fn grants(now: Timestamp) -> Vec<GrantId> {
    let all = (0..SHARDS).flat_map(|shard| read(shard).0);
    let live = all.filter(|entry| now < entry.spare.expires);
    let mut grants: Vec<_> = live.map(|entry| entry.spare.grant).collect();
    grants.sort_unstable();
    grants.dedup();
    grants
}

/// Takes in which leases were kept, and forgets those that were `lost`; takes out what ended, what nobody took for
/// long, and what others want.
pub(crate) fn tend(now: Timestamp, kept: &Kept, lost: &[GrantId]) -> Vec<Taken> {
    let mut back = Vec::new();
    for shard in 0..SHARDS {
        if read(shard).0.is_empty() {
            continue;
        }
        let gone = change(shard, |entries| {
            entries.retain(|entry| !lost.contains(&entry.spare.grant));
            for entry in entries.iter_mut() {
                if kept.grants.contains(&entry.spare.grant) {
                    entry.spare.expires = entry.spare.expires.max(kept.expires);
                }
            }
            let goes = |entry: &Entry| {
                now >= entry.spare.ends
                    || now >= entry.spare.expires
                    || now.millis_since(entry.lent) >= IDLE_MS
                    || kept.wanted.contains(&entry.spare.account)
            };
            let gone: Vec<_> = entries
                .iter()
                .filter(|entry| goes(entry))
                .copied()
                .collect();
            entries.retain(|entry| !goes(entry));
            gone
        });
        let gone = gone.unwrap_or_default();
        back.extend(gone.iter().map(|entry| taken(&entry.spare)));
    }
    back
}

/// Changes a shard; `None` if other VMs were faster each time, and nothing was changed.
fn change<T>(shard: u8, change: impl Fn(&mut Vec<Entry>) -> T) -> Option<T> {
    for _ in 0..ATTEMPTS {
        let (mut entries, version) = read(shard);
        if version.is_none() {
            // The first write has no version to compare with, so it says nothing.
            host::set_shared_if(&name(shard), &[0], None);
            continue;
        }
        let outcome = change(&mut entries);
        let bytes: Vec<u8> = entries.iter().flat_map(encode).collect();
        // An empty value would count as absent, and then the version says nothing.
        let bytes = if bytes.is_empty() { vec![0] } else { bytes };
        if host::set_shared_if(&name(shard), &bytes, version) {
            return Some(outcome);
        }
    }
    None
}

fn read(shard: u8) -> (Vec<Entry>, Option<u32>) {
    let (bytes, version) = host::shared(&name(shard));
    let bytes = bytes.unwrap_or_default();
    let entries = bytes.as_chunks::<ENTRY_BYTES>().0;
    (entries.iter().filter_map(decode).collect(), version)
}

fn encode(entry: &Entry) -> Vec<u8> {
    let Entry { spare, lent } = entry;
    let mut bytes = Vec::with_capacity(ENTRY_BYTES);
    bytes.extend(spare.account.into_bytes());
    bytes.extend(spare.grant.into_bytes());
    bytes.extend(spare.window.start_ms.to_le_bytes());
    bytes.extend(spare.window.width_ms.to_le_bytes());
    bytes.push(u8::from(spare.window.keeping == Keeping::Hot));
    for number in [
        spare.ends.as_millis(),
        spare.expires.as_millis(),
        spare.granted.as_millis(),
        lent.as_millis(),
        spare.amount,
    ] {
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Entry> {
    let (account, rest) = bytes.split_first_chunk::<16>()?;
    let (grant, rest) = rest.split_first_chunk::<16>()?;
    let (start_ms, rest) = number(rest)?;
    let (width_ms, rest) = number(rest)?;
    let (hot, rest) = rest.split_first()?;
    let (ends, rest) = number(rest)?;
    let (expires, rest) = number(rest)?;
    let (granted, rest) = number(rest)?;
    let (lent, rest) = number(rest)?;
    let (amount, _) = number(rest)?;
    let keeping = if *hot == 1 {
        Keeping::Hot
    } else {
        Keeping::Durable
    };
    Some(Entry {
        spare: Spare {
            account: AccountId::from_bytes(*account),
            grant: GrantId::from_bytes(*grant),
            window: WindowKey {
                start_ms,
                width_ms,
                keeping,
            },
            ends: Timestamp::from_millis(ends),
            expires: Timestamp::from_millis(expires),
            granted: Timestamp::from_millis(granted),
            amount,
        },
        lent: Timestamp::from_millis(lent),
    })
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn is_usable(now: Timestamp, spare: &Spare) -> bool {
    now < spare.ends && now.as_millis().saturating_add(CLOCK_MARGIN_MS) < spare.expires.as_millis()
}

fn shard(account: AccountId) -> u8 {
    // The first bytes of an id are its time.
    let [.., last] = account.into_bytes();
    last % SHARDS
}

fn name(shard: u8) -> String {
    format!("weir/1/spares/{shard:02}")
}

//! What this process has admitted on credit since the service was last heard, for all its VMs.
//!
//! ```text
//! weir/1/credit      24 bytes each    account 16 · amount 8
//! ```

use engine::messages::Credit;
use policy::quota::AccountId;
use policy::quota::slices::Need;

use crate::host;

const NAME: &str = "weir/1/credit";
const ENTRY_BYTES: usize = 24;
/// Accounts that have taken credit; for one more there is none.
const KEPT: usize = 4_096;
/// How often a write is tried when other VMs write at the same moment.
const ATTEMPTS: usize = 8;

/// Takes what is wanted, all or nothing; returns the first account that has not so much left.
pub(crate) fn take(wanted: &[Credit]) -> Option<AccountId> {
    let first = wanted.first()?.account;
    for _ in 0..ATTEMPTS {
        let (mut taken, version) = read();
        for credit in wanted {
            let at = taken
                .iter()
                .position(|(account, _)| *account == credit.account);
            let before = at
                .and_then(|at| taken.get(at))
                .map_or(0, |(_, amount)| *amount);
            let after = before.saturating_add(credit.amount);
            if after > credit.cap || (at.is_none() && taken.len() >= KEPT) {
                return Some(credit.account);
            }
            match at.and_then(|at| taken.get_mut(at)) {
                Some((_, amount)) => *amount = after,
                None => taken.push((credit.account, after)),
            }
        }
        if write(&taken, version) {
            return None;
        }
    }
    Some(first)
}

/// Notes that credit was not needed.
pub(crate) fn give_back(unused: &[Need]) {
    if unused.is_empty() {
        return;
    }
    for _ in 0..ATTEMPTS {
        let (mut taken, version) = read();
        for need in unused {
            let found = taken
                .iter_mut()
                .find(|(account, _)| *account == need.account);
            if let Some((_, amount)) = found {
                *amount = amount.saturating_sub(need.amount);
            }
        }
        if write(&taken, version) {
            return;
        }
    }
}

/// Notes that the service answers: what was taken has been told, or will be.
pub(crate) fn forget() {
    let (taken, version) = read();
    if !taken.is_empty() {
        write(&[], version);
    }
}

fn read() -> (Vec<(AccountId, u64)>, Option<u32>) {
    let (bytes, version) = host::shared(NAME);
    let bytes = bytes.unwrap_or_default();
    let entries = bytes.as_chunks::<ENTRY_BYTES>().0.iter();
    let taken = entries.filter_map(|entry| {
        let (account, amount) = entry.split_first_chunk::<16>()?;
        let amount = u64::from_le_bytes(amount.try_into().ok()?);
        Some((AccountId::from_bytes(*account), amount))
    });
    (taken.collect(), version)
}

fn write(taken: &[(AccountId, u64)], version: Option<u32>) -> bool {
    // An empty value would count as absent.
    let mut bytes = vec![];
    for (account, amount) in taken {
        bytes.extend(account.into_bytes());
        bytes.extend(amount.to_le_bytes());
    }
    if bytes.is_empty() {
        bytes.push(0);
    }
    host::set_shared_if(NAME, &bytes, version)
}

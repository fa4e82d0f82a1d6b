//! What a batch of entries reads and changes: plain values, and a note of everything that changed.
//!
//! Invariant, for every account with a ceiling, whatever happens: what was spent in its window plus what is leased of
//! it is at most the ceiling, except for what exchanges used beyond their holds, debts of outages, and limits that
//! were lowered. Σ of the leases' slices is exactly what the buckets say is held.

use std::collections::{BTreeMap, BTreeSet};

use policy::ids::{ExchangeId, GrantId, HolderId};
use policy::quota::AccountId;
use policy::quota::lease::{RunningHold, Sureness, WindowKey};
use policy::units::Timestamp;

use super::tally::Noted;
use super::window::Window;

/// One attempt of an exchange.
pub(crate) type AttemptKey = (ExchangeId, u32);

/// One window of an account, or one part of a rolling one. Bucket 0 holds what is leased outside of calendar windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    pub spent: u64,
    /// What is leased and not yet spent.
    pub held: u64,
    /// The part of `spent` that was admitted without a slice.
    pub debt: u64,
    /// The largest threshold, in percent, that was told.
    pub alerted: u16,
    /// When it may be forgotten.
    pub until: Timestamp,
}

/// An account as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// When its use was last reset; 0 for never.
    pub(crate) reset: Timestamp,
    /// From which bucket on the account was read; bucket 0 always was.
    pub(crate) from: u64,
    pub(crate) buckets: BTreeMap<u64, Bucket>,
}

impl Account {
    /// As `from`: only bucket 0 was read.
    pub(crate) const ALL_LEFT_OUT: u64 = i64::MAX.unsigned_abs();

    /// Returns what was spent and what is leased in `window`.
    pub(crate) fn used(&self, window: &Window) -> Used {
        let mut used = Used::default();
        for (start, bucket) in &self.buckets {
            if *start == 0 || *start >= window.since_ms {
                used.held = used.held.saturating_add(bucket.held);
            }
            if *start != 0 && *start >= window.since_ms {
                used.spent = used.spent.saturating_add(bucket.spent);
                used.debt = used.debt.saturating_add(bucket.debt);
            }
        }
        used
    }
}

/// What is used of an account in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub spent: u64,
    pub held: u64,
    pub debt: u64,
}

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub holder: HolderId,
    /// The exchange that it was asked for.
    pub exchange: ExchangeId,
    pub granted: Timestamp,
    pub expires: Timestamp,
    pub parts: Vec<LeasePart>,
}

/// What is left of a lease at one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeasePart {
    pub account: AccountId,
    pub window: WindowKey,
    pub ends: Timestamp,
    pub left: u64,
    pub strict: bool,
}

/// What an attempt was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) sureness: Sureness,
    pub(crate) at: Timestamp,
    pub(crate) charges: Vec<Charged>,
}

/// What one account was charged, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charged {
    pub(crate) account: AccountId,
    pub(crate) bucket: u64,
    pub(crate) kept_until: Timestamp,
    pub(crate) amount: u64,
    pub(crate) debt: u64,
}

/// Resolutions for which a part of a rolling window is kept: the window and one more.
const ROLLING_KEPT: u64 = 61;
/// How long calendar windows are kept for those who look back: two years and a bit after their beginning.
const CALENDAR_KEPT_MS: u64 = 800 * 86_400_000;

/// Returns when a bucket may be forgotten, if nothing is leased in it.
pub(crate) fn kept_until(window: WindowKey, start: u64, at: Timestamp) -> Timestamp {
    let kept_ms = if window.width_ms > 0 && start > 0 {
        ROLLING_KEPT.saturating_mul(window.width_ms)
    } else {
        CALENDAR_KEPT_MS
    };
    // Bucket 0 has no beginning of its own.
    let from = if start > 0 { start } else { at.as_millis() };
    Timestamp::from_millis(from.saturating_add(kept_ms))
}

/// An attempt that runs, as it was last reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) holder: HolderId,
    pub(crate) admitted: Timestamp,
    pub(crate) reported: Timestamp,
    pub(crate) holds: Vec<RunningHold>,
}

/// Everything that a batch touches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    pub(crate) leases: BTreeMap<GrantId, Lease>,
    pub(crate) settled: BTreeMap<AttemptKey, Settled>,
    pub(crate) running: BTreeMap<AttemptKey, Attempt>,
    pub(crate) changed: Changed,
    pub(crate) noted: Noted,
}

/// What has to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changed {
    pub(crate) buckets: BTreeSet<(AccountId, u64)>,
    pub(crate) resets: BTreeSet<AccountId>,
    /// With their holders, also when they ended.
    pub(crate) leases: BTreeMap<GrantId, HolderId>,
    pub(crate) settled: BTreeSet<AttemptKey>,
    pub(crate) running: BTreeMap<AttemptKey, HolderId>,
}

impl Changed {
    pub(crate) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
            && self.resets.is_empty()
            && self.leases.is_empty()
            && self.settled.is_empty()
            && self.running.is_empty()
    }
}

impl Books {
    /// Changes a bucket, which is made when there is none.
    pub(crate) fn bucket(
        &mut self,
        account: AccountId,
        start: u64,
        kept_until: Timestamp,
    ) -> &mut Bucket {
        self.changed.buckets.insert((account, start));
        let account = self.accounts.entry(account).or_default();
        debug_assert!(
            start == 0 || start >= account.from,
            "a bucket is changed that was not read"
        );
        let bucket = account.buckets.entry(start).or_default();
        bucket.until = bucket.until.max(kept_until);
        bucket
    }

    pub(crate) fn used(&self, account: AccountId, window: &Window) -> Used {
        self.accounts
            .get(&account)
            .map_or_else(Used::default, |account| account.used(window))
    }

    pub(crate) fn lease(&mut self, id: GrantId, lease: Lease) {
        for part in &lease.parts {
            let kept_until = kept_until(part.window, part.window.start_ms, lease.expires);
            let bucket = self.bucket(part.account, part.window.start_ms, kept_until);
            bucket.held = bucket.held.saturating_add(part.left);
        }
        self.changed.leases.insert(id, lease.holder);
        self.leases.insert(id, lease);
    }

    /// Takes up to `amount` out of a lease; what it has no more of, or no more at all, is not taken.
    pub(crate) fn take(&mut self, id: GrantId, account: AccountId, amount: u64) {
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        let Some(part) = lease.parts.iter_mut().find(|part| part.account == account) else {
            return;
        };
        let taken = part.left.min(amount);
        part.left -= taken;
        let start = part.window.start_ms;
        let is_empty = lease.parts.iter().all(|part| part.left == 0);
        self.changed.leases.insert(id, lease.holder);
        if is_empty {
            self.leases.remove(&id);
        }
        let bucket = self.bucket(account, start, Timestamp::default());
        bucket.held = bucket.held.saturating_sub(taken);
    }

    /// Ends a lease and gives back everything that is left of it.
    pub(crate) fn end_lease(&mut self, id: GrantId) -> Option<Lease> {
        let lease = self.leases.remove(&id)?;
        self.changed.leases.insert(id, lease.holder);
        for part in &lease.parts {
            let bucket = self.bucket(part.account, part.window.start_ms, Timestamp::default());
            bucket.held = bucket.held.saturating_sub(part.left);
        }
        Some(lease)
    }

    /// Puts what an attempt is charged in the place of what it was charged before.
    pub(crate) fn settle(&mut self, key: AttemptKey, settled: Settled) {
        let before = self.settled.remove(&key);
        let was = before.as_ref().map_or(&[][..], |before| &before.charges);
        let charged_at = before.as_ref().map_or(settled.at, |before| before.at);
        let mut changes: BTreeMap<(AccountId, u64), (Charged, Charged)> = BTreeMap::new();
        for (charge, is_new) in was
            .iter()
            .map(|it| (it, false))
            .chain(settled.charges.iter().map(|it| (it, true)))
        {
            let nothing = Charged {
                amount: 0,
                debt: 0,
                ..*charge
            };
            let change = changes
                .entry((charge.account, charge.bucket))
                .or_insert((nothing, nothing));
            let side = if is_new { &mut change.1 } else { &mut change.0 };
            side.amount = side.amount.saturating_add(charge.amount);
            side.debt = side.debt.saturating_add(charge.debt);
        }
        for ((account, start), (was, is)) in changes {
            self.correct(account, start, charged_at, (was, is));
        }
        self.changed.settled.insert(key);
        self.settled.insert(key, settled);
    }

    fn correct(
        &mut self,
        account: AccountId,
        start: u64,
        charged_at: Timestamp,
        (was, is): (Charged, Charged),
    ) {
        let reset = self
            .accounts
            .get(&account)
            .map_or(Timestamp::default(), |it| it.reset);
        let bucket = self.bucket(account, start, is.kept_until.max(was.kept_until));
        // What a reset wiped out cannot be taken back a second time.
        let is_wiped = reset != Timestamp::default() && charged_at <= reset;
        let corrected = |now: u64, was: u64, is: u64| {
            if is_wiped {
                now.saturating_add(is.saturating_sub(was))
            } else {
                now.saturating_add(is).saturating_sub(was)
            }
        };
        bucket.spent = corrected(bucket.spent, was.amount, is.amount);
        bucket.debt = corrected(bucket.debt, was.debt, is.debt).min(bucket.spent);
    }

    pub(crate) fn run(&mut self, key: AttemptKey, attempt: Attempt) {
        self.changed.running.insert(key, attempt.holder);
        self.running.insert(key, attempt);
    }

    pub(crate) fn stop(&mut self, key: AttemptKey) {
        if let Some(attempt) = self.running.remove(&key) {
            self.changed.running.insert(key, attempt.holder);
        }
    }
}

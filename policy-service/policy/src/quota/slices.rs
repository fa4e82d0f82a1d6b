//! Local admission: what a filter may admit on the slices it has, without asking anyone.
//!
//! Knows amounts, leases and windows; what an amount means is the caller's business. The caller tells the time.
//!
//! ```
//! use policy::ids::{ExchangeId, GrantId, QuotaId};
//! use policy::quota::lease::{Granted, Slice, Sureness, WindowKey};
//! use policy::quota::slices::{Need, Slices};
//! use policy::quota::{AccountId, Member};
//! use policy::units::Timestamp;
//! use uuid::Uuid;
//!
//! let account = AccountId::of(QuotaId::new(Uuid::from_u128(1)), &Member::Everyone);
//! let (now, later) = (Timestamp::from_millis(1_000), Timestamp::from_millis(90_000));
//! let mut slices = Slices::default();
//! let need = [Need { account, amount: 30 }];
//! assert!(slices.hold(now, &need).is_err(), "nothing was granted yet");
//!
//! let slice = Slice { account, amount: 100, window: WindowKey::default(), ends: later, left: 0 };
//! let grant = GrantId::new(Uuid::from_u128(2));
//! slices.granted(now, &Granted { grant, expires: later, slices: vec![slice] });
//! let mut hold = slices.hold(now, &need).unwrap();
//! let exchange = ExchangeId::new(Uuid::from_u128(3));
//! let settlement = slices.settle(&mut hold, exchange, 1, Sureness::Exact, &[(account, 12)]);
//! slices.release(now, hold);
//! assert_eq!(settlement.charges[0].amount, 12);
//! assert_eq!(slices.free(now, account), 88);
//! ```

use std::collections::BTreeMap;

use crate::ids::{ExchangeId, GrantId};
use crate::quota::AccountId;
use crate::quota::lease::{Charge, Granted, RunningHold, Settlement, Sureness, Taken, WindowKey};
use crate::units::Timestamp;

/// Leases are not used in their last moments: the service may count them as expired before this clock does.
pub const CLOCK_MARGIN_MS: u64 = 1_000;
/// How far back use is looked at to judge how much to ask for.
const PACE_MS: u64 = 2_000;

/// Leases are given back at this age, used or not.
const OLDEST_MS: u64 = 600_000;
/// How much is asked for in advance: so many times what one [`PACE_MS`] used, or so many requests.
const PACES_AHEAD: u64 = 15;
const NEEDS_AHEAD: u64 = 128;

/// What an exchange needs of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    pub account: AccountId,
    pub amount: u64,
}

/// Accounts whose slices are short, and by how much; nothing was held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Short {
    pub missing: Vec<Need>,
}

/// A free part of a slice on its way from one VM of a holder to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spare {
    pub account: AccountId,
    pub grant: GrantId,
    pub window: WindowKey,
    pub ends: Timestamp,
    pub expires: Timestamp,
    /// When the lease began, as far as it is known.
    pub granted: Timestamp,
    pub amount: u64,
}

/// What one exchange holds. It must come to [`Slices::release`] in the end; one that is dropped stays held until its
/// lease expires.
#[derive(Debug)]
#[must_use]
pub struct Hold {
    admitted: Timestamp,
    parts: Vec<HeldPart>,
}

#[derive(Clone, Copy, Debug)]
struct HeldPart {
    account: AccountId,
    window: WindowKey,
    /// None for what was admitted on credit.
    grant: Option<GrantId>,
    amount: u64,
}

impl Hold {
    /// Returns when the exchange was admitted.
    pub fn admitted(&self) -> Timestamp {
        self.admitted
    }

    /// Returns the window that `account` is charged in; `None` if nothing of it is held.
    pub fn window(&self, account: AccountId) -> Option<WindowKey> {
        let part = self.parts.iter().find(|part| part.account == account)?;
        Some(part.window)
    }

    /// Returns what is held of `account`.
    pub fn amount(&self, account: AccountId) -> u64 {
        self.parts
            .iter()
            .filter(|part| part.account == account)
            .fold(0, |sum, part| sum.saturating_add(part.amount))
    }

    /// Returns the accounts that are held, each once.
    pub fn accounts(&self) -> Vec<AccountId> {
        let mut accounts: Vec<_> = self.parts.iter().map(|part| part.account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        accounts
    }

    /// Tells the ledger what runs: `used` gives for an account what was used so far, what a second more is likely to
    /// use, and whether the account is strict. What was admitted on credit has no lease and is not told.
    pub fn running(&self, used: &dyn Fn(AccountId) -> (u64, u64, bool)) -> Vec<RunningHold> {
        let mut told: BTreeMap<AccountId, u64> = BTreeMap::new();
        let mut holds = Vec::new();
        for part in &self.parts {
            let Some(grant) = part.grant else { continue };
            let (so_far, per_second, strict) = used(part.account);
            // An account that is held in several parts has its use told once.
            let before = told.entry(part.account).or_insert(0);
            let first = *before == 0;
            let so_far = so_far.saturating_sub(*before).min(part.amount);
            *before = before.saturating_add(part.amount);
            holds.push(RunningHold {
                grant,
                account: part.account,
                window: part.window,
                held: part.amount,
                so_far,
                per_second: if first { per_second } else { 0 },
                strict,
            });
        }
        holds
    }
}

#[derive(Clone, Debug, Default)]
struct Pool {
    /// In the order in which they came; those that end first are used first.
    slices: Vec<LocalSlice>,
    pace: Pace,
}

#[derive(Clone, Copy, Debug)]
struct LocalSlice {
    grant: GrantId,
    window: WindowKey,
    ends: Timestamp,
    expires: Timestamp,
    free: u64,
    used: Timestamp,
    granted: Timestamp,
    /// Half of it was offered to the other VMs.
    is_shared: bool,
}

impl Pool {
    fn sort(&mut self) {
        self.slices
            .sort_by_key(|slice| (slice.ends, slice.expires, slice.grant));
    }
}

impl LocalSlice {
    fn is_usable(&self, now: Timestamp) -> bool {
        now < self.ends
            && now.as_millis().saturating_add(CLOCK_MARGIN_MS) < self.expires.as_millis()
    }
}

/// How much was held in the last seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    since: Timestamp,
    now: u64,
    before: u64,
}

impl Pace {
    fn add(&mut self, now: Timestamp, amount: u64) {
        let passed = now.millis_since(self.since);
        if passed >= PACE_MS {
            self.before = if passed < 2 * PACE_MS { self.now } else { 0 };
            self.now = 0;
            self.since = now;
        }
        self.now = self.now.saturating_add(amount);
    }
}

/// The slices of one holder.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    pools: BTreeMap<AccountId, Pool>,
    /// What exchanges hold of each lease. No entry is 0.
    held: BTreeMap<GrantId, u64>,
}

impl Slices {
    /// Takes in a lease.
    pub fn granted(&mut self, now: Timestamp, granted: &Granted) {
        for slice in &granted.slices {
            let pool = self.pools.entry(slice.account).or_default();
            pool.slices.push(LocalSlice {
                grant: granted.grant,
                window: slice.window,
                ends: slice.ends,
                expires: granted.expires,
                free: slice.amount,
                used: now,
                granted: now,
                is_shared: false,
            });
            pool.sort();
        }
    }

    /// Takes out what other VMs of the holder may use as well: half of what is new here, and all that was not used
    /// for `unused_ms`.
    pub fn lend(&mut self, now: Timestamp, unused_ms: u64) -> Vec<Spare> {
        let mut lent = Vec::new();
        for (account, pool) in &mut self.pools {
            for slice in pool.slices.iter_mut().filter(|slice| slice.is_usable(now)) {
                let amount = if now.millis_since(slice.used) >= unused_ms {
                    slice.free
                } else if slice.is_shared {
                    0
                } else {
                    slice.free / 2
                };
                slice.is_shared = true;
                if amount > 0 {
                    slice.free -= amount;
                    lent.push(Spare {
                        account: *account,
                        grant: slice.grant,
                        window: slice.window,
                        ends: slice.ends,
                        expires: slice.expires,
                        granted: slice.granted,
                        amount,
                    });
                }
            }
        }
        self.forget_empty();
        lent
    }

    /// Takes in what another VM of the holder lent.
    pub fn borrow(&mut self, now: Timestamp, spare: &Spare) {
        let pool = self.pools.entry(spare.account).or_default();
        pool.slices.push(LocalSlice {
            grant: spare.grant,
            window: spare.window,
            ends: spare.ends,
            expires: spare.expires,
            free: spare.amount,
            used: now,
            granted: spare.granted,
            is_shared: true,
        });
        pool.sort();
    }

    /// Holds what an exchange needs, all or nothing.
    ///
    /// # Errors
    /// [`Short`] when a slice is short: ask for a grant, then hold again.
    pub fn hold(&mut self, now: Timestamp, needs: &[Need]) -> Result<Hold, Short> {
        let missing = self.uncovered(now, needs);
        if !missing.is_empty() {
            return Err(Short { missing });
        }
        let mut hold = Hold {
            admitted: now,
            parts: Vec::new(),
        };
        for need in needs {
            self.draw(now, &mut hold, *need);
        }
        Ok(hold)
    }

    /// Returns what of `needs` no slice covers.
    pub fn uncovered(&self, now: Timestamp, needs: &[Need]) -> Vec<Need> {
        let missing = needs.iter().map(|need| Need {
            account: need.account,
            amount: need.amount.saturating_sub(self.free(now, need.account)),
        });
        missing.filter(|need| need.amount > 0).collect()
    }

    /// Holds as [`hold`](Self::hold) while the service is away: what slices do not cover is a debt, for which the
    /// caller has found credit. `window` tells the window of an account as it was last known.
    pub fn hold_on_credit(
        &mut self,
        now: Timestamp,
        needs: &[Need],
        window: &dyn Fn(AccountId) -> WindowKey,
    ) -> Hold {
        let mut hold = Hold {
            admitted: now,
            parts: Vec::new(),
        };
        for need in needs {
            let drawn = self.draw(now, &mut hold, *need);
            let uncovered = need.amount.saturating_sub(drawn);
            if uncovered > 0 {
                hold.parts.push(HeldPart {
                    account: need.account,
                    window: window(need.account),
                    grant: None,
                    amount: uncovered,
                });
            }
        }
        hold
    }

    /// Holds more of one account for an exchange that runs; returns how much of it there was, possibly nothing.
    pub fn extend(&mut self, now: Timestamp, hold: &mut Hold, need: Need) -> u64 {
        // A slice of a later window is no room for what was admitted in an earlier one.
        let window = hold.window(need.account);
        self.draw_within(now, hold, need, window)
    }

    /// Settles one attempt: what it used leaves the hold, and the hold stays for the next attempt. What was used
    /// beyond the hold is charged all the same.
    pub fn settle(
        &mut self,
        hold: &mut Hold,
        exchange: ExchangeId,
        attempt: u32,
        sureness: Sureness,
        used: &[(AccountId, u64)],
    ) -> Settlement {
        let mut settlement = Settlement {
            exchange,
            attempt,
            admitted: hold.admitted,
            sureness,
            charges: Vec::new(),
            taken: Vec::new(),
            closes: false,
        };
        for (account, amount) in used {
            let Some(window) = hold.window(*account) else {
                continue;
            };
            let mut open = *amount;
            let mut debt = 0;
            for part in hold
                .parts
                .iter_mut()
                .filter(|part| part.account == *account)
            {
                let taken = part.amount.min(open);
                part.amount -= taken;
                open -= taken;
                match part.grant {
                    Some(grant) if taken > 0 => {
                        settlement.taken.push(Taken {
                            grant,
                            account: *account,
                            amount: taken,
                        });
                        unhold(&mut self.held, grant, taken);
                    }
                    Some(_) => {}
                    None => debt += taken,
                }
            }
            settlement.charges.push(Charge {
                account: *account,
                window,
                amount: *amount,
                debt,
            });
        }
        settlement
    }

    /// Gives what is left of a hold back to the slices it came from. What came from a lease that is gone is gone;
    /// what came on credit and was not used is returned.
    pub fn release(&mut self, now: Timestamp, hold: Hold) -> Vec<Need> {
        let mut unused_credit = Vec::new();
        for part in hold.parts {
            let Some(grant) = part.grant else {
                unused_credit.push(Need {
                    account: part.account,
                    amount: part.amount,
                });
                continue;
            };
            unhold(&mut self.held, grant, part.amount);
            let pool = self.pools.get_mut(&part.account);
            let mut slices = pool.into_iter().flat_map(|pool| &mut pool.slices);
            if let Some(slice) = slices.find(|slice| slice.grant == grant) {
                slice.free = slice.free.saturating_add(part.amount);
                slice.used = now;
            }
        }
        unused_credit.retain(|credit| credit.amount > 0);
        unused_credit
    }

    /// Returns what of `account` can be held at `now`.
    pub fn free(&self, now: Timestamp, account: AccountId) -> u64 {
        self.pools.get(&account).map_or(0, |pool| {
            let usable = pool.slices.iter().filter(|slice| slice.is_usable(now));
            usable.fold(0, |sum, slice| sum.saturating_add(slice.free))
        })
    }

    /// Returns how much to ask for when `need` is short: enough for half a minute at the pace of the last seconds, and
    /// for many more requests like this one. The ledger gives less as a limit nears, and takes back what is not used.
    pub fn want(&self, need: Need) -> u64 {
        let pace = self
            .pools
            .get(&need.account)
            .map_or(0, |pool| pool.pace.now.max(pool.pace.before));
        pace.saturating_mul(PACES_AHEAD)
            .max(need.amount.saturating_mul(NEEDS_AHEAD))
    }

    /// Returns the leases that are still in use, to be kept.
    pub fn keep(&self) -> Vec<GrantId> {
        let free = self.pools.values().flat_map(|pool| &pool.slices);
        let free = free.filter(|slice| slice.free > 0).map(|slice| slice.grant);
        let mut grants: Vec<_> = free.chain(self.held.keys().copied()).collect();
        grants.sort_unstable();
        grants.dedup();
        grants
    }

    /// Notes that leases were kept until `expires`.
    pub fn kept(&mut self, grants: &[GrantId], expires: Timestamp) {
        for slice in self.pools.values_mut().flat_map(|pool| &mut pool.slices) {
            if grants.contains(&slice.grant) {
                slice.expires = slice.expires.max(expires);
            }
        }
    }

    /// Forgets leases that the service does not know any more: what is free of them is others' now.
    pub fn lost(&mut self, grants: &[GrantId]) {
        for pool in self.pools.values_mut() {
            pool.slices.retain(|slice| !grants.contains(&slice.grant));
        }
        self.forget_empty();
    }

    /// Takes out what is to go back: everything free that ended, that nobody used for `idle_ms`, or that is so old
    /// that a VM which was lost may have had a part of the same lease.
    pub fn idle(&mut self, now: Timestamp, idle_ms: u64) -> Vec<Taken> {
        self.take_out(|_, slice| {
            now >= slice.ends
                || now.millis_since(slice.used) >= idle_ms
                || now.millis_since(slice.granted) >= OLDEST_MS
        })
    }

    /// Takes out everything free of `account`: others need it.
    pub fn give_back(&mut self, account: AccountId) -> Vec<Taken> {
        self.take_out(|of, _| of == account)
    }

    /// Forgets leases that have expired. What exchanges hold of them is settled without them.
    pub fn expire(&mut self, now: Timestamp) {
        for pool in self.pools.values_mut() {
            pool.slices.retain(|slice| now < slice.expires);
        }
        self.forget_empty();
    }

    fn take_out(&mut self, goes: impl Fn(AccountId, &LocalSlice) -> bool) -> Vec<Taken> {
        let mut taken = Vec::new();
        for (account, pool) in &mut self.pools {
            for slice in pool.slices.iter_mut().filter(|slice| slice.free > 0) {
                if goes(*account, slice) {
                    taken.push(Taken {
                        grant: slice.grant,
                        account: *account,
                        amount: slice.free,
                    });
                    slice.free = 0;
                }
            }
        }
        self.forget_empty();
        taken
    }

    /// Slices that nothing is free of and nothing is held of have no use; accounts without any are forgotten.
    fn forget_empty(&mut self) {
        let held = &self.held;
        self.pools.retain(|_, pool| {
            pool.slices
                .retain(|slice| slice.free > 0 || held.contains_key(&slice.grant));
            !pool.slices.is_empty()
        });
    }

    fn draw(&mut self, now: Timestamp, hold: &mut Hold, need: Need) -> u64 {
        let drawn = self.draw_within(now, hold, need, None);
        if let Some(pool) = self.pools.get_mut(&need.account) {
            pool.pace.add(now, need.amount);
        }
        drawn
    }

    fn draw_within(
        &mut self,
        now: Timestamp,
        hold: &mut Hold,
        need: Need,
        window: Option<WindowKey>,
    ) -> u64 {
        let Some(pool) = self.pools.get_mut(&need.account) else {
            return 0;
        };
        let mut open = need.amount;
        let fits = |slice: &LocalSlice| {
            slice.is_usable(now) && window.is_none_or(|window| window == slice.window)
        };
        for slice in pool.slices.iter_mut().filter(|slice| fits(slice)) {
            let taken = slice.free.min(open);
            if taken == 0 {
                continue;
            }
            slice.free -= taken;
            slice.used = now;
            open -= taken;
            *self.held.entry(slice.grant).or_insert(0) += taken;
            hold.parts.push(HeldPart {
                account: need.account,
                window: slice.window,
                grant: Some(slice.grant),
                amount: taken,
            });
        }
        need.amount - open
    }
}

fn unhold(held: &mut BTreeMap<GrantId, u64>, grant: GrantId, amount: u64) {
    if let Some(sum) = held.get_mut(&grant) {
        *sum = sum.saturating_sub(amount);
        if *sum == 0 {
            held.remove(&grant);
        }
    }
}

#[cfg(test)]
mod tests;

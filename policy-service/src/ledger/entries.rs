//! What the ledger decides: entries change [`Books`], which are read before and written after, in one transaction.
//!
//! Pure: neither a store nor a clock is known here, so that every store keeps the same books.

use std::collections::{BTreeMap, BTreeSet};

use policy::ids::{ExchangeId, GrantId, HolderId};
use policy::quota::AccountId;
use policy::quota::lease::{
    GrantAnswer, GrantRequest, Granted, Progress, Refusal, RefusalKind, Running, RunningHold,
    Settlement, Slice, Sureness, Taken, WindowKey,
};
use policy::units::Timestamp;

use super::books::{
    Attempt, AttemptKey, Books, Charged, Lease, LeasePart, Settled, Used, kept_until,
};
use super::terms::Terms;

/// Slices are at most this part of what is left, so that they shrink as a limit nears and many holders find some.
const SHARE: u64 = 8;
/// How long a holder that finds all room held by others is told to wait.
const CONTENDED_RETRY_MS: u64 = 1_000;

/// How long leases last and when they are renewed.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTimes {
    /// How long a lease lasts that is not kept.
    pub lease_ms: u64,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self { lease_ms: 15_000 }
    }
}

impl LeaseTimes {
    fn expiry(self, now: Timestamp) -> Timestamp {
        Timestamp::from_millis(now.as_millis().saturating_add(self.lease_ms))
    }
}

/// Grants slices of all accounts that were asked for, or refuses.
pub(crate) fn grant(
    books: &mut Books,
    now: Timestamp,
    times: LeaseTimes,
    request: &GrantRequest,
    terms: &[Terms],
) -> GrantAnswer {
    if let Some(lease) = books.leases.get(&request.grant) {
        return GrantAnswer::Granted(granted(books, request.grant, lease, terms));
    }
    let states: Vec<_> = terms
        .iter()
        .map(|terms| (terms, books.used(terms.account, &terms.window)))
        .collect();
    if let Some(refusal) = refusal(books, now, &states) {
        return GrantAnswer::Refused(refusal);
    }
    let parts = states.iter().map(|(terms, used)| LeasePart {
        account: terms.account,
        window: terms.window.key,
        ends: terms.window.ends,
        left: amount(terms, *used),
        strict: terms.strict,
    });
    let lease = Lease {
        holder: request.holder,
        exchange: request.exchange,
        granted: now,
        expires: times.expiry(now),
        parts: parts.collect(),
    };
    books.lease(request.grant, lease.clone());
    GrantAnswer::Granted(granted(books, request.grant, &lease, terms))
}

fn granted(books: &Books, grant: GrantId, lease: &Lease, terms: &[Terms]) -> Granted {
    let slices = lease.parts.iter().map(|part| {
        let terms = terms.iter().find(|terms| terms.account == part.account);
        let left = terms.and_then(|terms| {
            let used = books.used(terms.account, &terms.window);
            let taken = used.spent.saturating_add(used.held);
            terms.ceiling.map(|ceiling| ceiling.saturating_sub(taken))
        });
        Slice {
            account: part.account,
            amount: part.left,
            window: part.window,
            ends: part.ends,
            left: left.unwrap_or(u64::MAX),
        }
    });
    Granted {
        grant,
        expires: lease.expires,
        slices: slices.collect(),
    }
}

/// Returns how large a slice is: what is needed, and more while there is much left. What is strict is never shared
/// between exchanges.
fn amount(terms: &Terms, used: Used) -> u64 {
    match terms.ceiling {
        _ if terms.strict => terms.need,
        None => terms.want,
        Some(ceiling) => {
            let room = ceiling.saturating_sub(used.spent.saturating_add(used.held));
            terms.need.max(terms.want.min(room / SHARE))
        }
    }
}

fn refusal(books: &Books, now: Timestamp, states: &[(&Terms, Used)]) -> Option<Refusal> {
    let exhausted = states
        .iter()
        .filter(|(terms, used)| !fits(terms, used.spent));
    let contended = states.iter().filter(|(terms, used)| {
        fits(terms, used.spent) && !fits(terms, used.spent.saturating_add(used.held))
    });
    let refused = |kind, named: &Terms, retry_after_ms| Refusal {
        kind,
        quota: named.quota,
        account: named.account,
        level: named.level,
        retry_after_ms,
    };
    if let Some(named) = lowest(exhausted.clone()) {
        // The quota that resets last decides; one that never fits decides most.
        let mut latest = Some(0);
        for (terms, used) in exhausted {
            let resets = resets_in(books, now, terms, *used);
            latest = latest.and_then(|latest: u64| resets.map(|resets| latest.max(resets)));
        }
        return Some(refused(RefusalKind::Exhausted, named, latest));
    }
    let named = lowest(contended)?;
    Some(refused(
        RefusalKind::Contended,
        named,
        Some(CONTENDED_RETRY_MS),
    ))
}

/// Returns the quota that is named: at the lowest level, then with the smallest id.
fn lowest<'t>(found: impl Iterator<Item = &'t (&'t Terms, Used)>) -> Option<&'t Terms> {
    found
        .map(|(terms, _)| *terms)
        .min_by_key(|terms| (terms.level, terms.quota, terms.account))
}

fn fits(terms: &Terms, used: u64) -> bool {
    terms
        .ceiling
        .is_none_or(|ceiling| used.saturating_add(terms.need) <= ceiling)
}

/// Returns in how many milliseconds enough of what was spent stops counting; `None` if never enough does.
fn resets_in(books: &Books, now: Timestamp, terms: &Terms, used: Used) -> Option<u64> {
    let ceiling = terms.ceiling?;
    if terms.need > ceiling {
        return None;
    }
    if terms.window.key.width_ms == 0 {
        return Some(terms.window.ends.millis_since(now));
    }
    let mut spent = used.spent;
    let account = books.accounts.get(&terms.account)?;
    for (start, bucket) in account.buckets.range(terms.window.since_ms..) {
        spent = spent.saturating_sub(bucket.spent);
        if spent.saturating_add(terms.need) <= ceiling {
            let free = start.saturating_add(terms.window.counts_for_ms);
            return Some(free.saturating_sub(now.as_millis()));
        }
    }
    None
}

/// Charges what an attempt used; whether anything changed. What is as sure as what is known changes nothing.
pub(crate) fn settle(books: &mut Books, now: Timestamp, settlement: &Settlement) -> bool {
    let key = (settlement.exchange, settlement.attempt);
    let known = books.settled.get(&key).map(|settled| settled.sureness);
    if known.is_some_and(|known| known >= settlement.sureness) {
        return false;
    }
    for Taken {
        grant,
        account,
        amount,
    } in &settlement.taken
    {
        books.take(*grant, *account, *amount);
    }
    let charges = settlement.charges.iter().filter(|charge| {
        charge.window
            != WindowKey {
                keeping: charge.window.keeping,
                ..WindowKey::default()
            }
    });
    let charges = charges.map(|charge| {
        let bucket = charge.window.bucket(settlement.admitted);
        Charged {
            account: charge.account,
            bucket,
            kept_until: kept_until(charge.window, bucket, settlement.admitted),
            amount: charge.amount,
            debt: charge.debt.min(charge.amount),
        }
    });
    let settled = Settled {
        sureness: settlement.sureness,
        at: now,
        charges: charges.collect(),
    };
    books.noted.corrections += u64::from(known == Some(Sureness::Presumed));
    books.settle(key, settled);
    books.stop(key);
    if settlement.closes {
        close(books, now, settlement.exchange, settlement.attempt);
    }
    true
}

/// Voids what was presumed about other attempts of an exchange that is known to have ended.
fn close(books: &mut Books, now: Timestamp, exchange: ExchangeId, attempt: u32) {
    let others = books.settled.range((exchange, 0)..=(exchange, u32::MAX));
    let presumed: Vec<AttemptKey> = others
        .filter(|(key, settled)| key.1 != attempt && settled.sureness == Sureness::Presumed)
        .map(|(key, _)| *key)
        .collect();
    books.noted.corrections += presumed.len() as u64;
    for key in presumed {
        let settled = Settled {
            sureness: Sureness::Estimated,
            at: now,
            charges: Vec::new(),
        };
        books.settle(key, settled);
    }
    let running = books.running.range((exchange, 0)..=(exchange, u32::MAX));
    let running: Vec<AttemptKey> = running.map(|(key, _)| *key).collect();
    for key in running {
        books.stop(key);
    }
}

/// Gives back what a holder does not need.
pub(crate) fn give_back(books: &mut Books, taken: &[Taken]) {
    for Taken {
        grant,
        account,
        amount,
    } in taken
    {
        books.take(*grant, *account, *amount);
    }
}

/// Leases that live on, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub grants: Vec<GrantId>,
    pub expires: Timestamp,
}

/// Keeps a holder's leases and notes what runs on them.
pub(crate) fn progress(
    books: &mut Books,
    now: Timestamp,
    times: LeaseTimes,
    progress: &Progress,
) -> Kept {
    let expires = times.expiry(now);
    let mut kept = Vec::new();
    for id in &progress.keep {
        let Some(lease) = books.leases.get_mut(id) else {
            continue;
        };
        if lease.holder == progress.holder {
            lease.expires = lease.expires.max(expires);
            books.changed.leases.insert(*id, lease.holder);
            kept.push(*id);
        }
    }
    for running in &progress.running {
        note_running(books, now, progress.holder, running);
    }
    Kept {
        grants: kept,
        expires,
    }
}

/// Notes what runs. What a lease that has ended still bears is charged at once, as far as it was used: nobody would
/// come back to it if its holder were lost now.
fn note_running(books: &mut Books, now: Timestamp, holder: HolderId, running: &Running) {
    let key = (running.exchange, running.attempt);
    let known = books.settled.get(&key).map(|settled| settled.sureness);
    if known.is_some_and(|known| known > Sureness::Presumed) {
        return;
    }
    let (live, ended): (Vec<RunningHold>, Vec<RunningHold>) = running
        .holds
        .iter()
        .partition(|hold| books.leases.contains_key(&hold.grant));
    let mut used: BTreeMap<(AccountId, WindowKey), u64> = BTreeMap::new();
    for hold in ended {
        let sum = used.entry((hold.account, hold.window)).or_default();
        *sum = sum.saturating_add(hold.so_far);
    }
    for ((account, window), used) in used {
        let settled = books.settled.get(&key);
        let charges = settled.map_or(&[][..], |settled| &settled.charges);
        let charged = charges.iter().filter(|charge| charge.account == account);
        let charged = charged.fold(0_u64, |sum, charge| sum.saturating_add(charge.amount));
        let more = used.saturating_sub(charged);
        let charge = presumption(account, window, running.admitted, more);
        presume(books, now, key, charge);
    }
    if live.is_empty() {
        books.stop(key);
        return;
    }
    let attempt = Attempt {
        holder,
        admitted: running.admitted,
        reported: now,
        holds: live,
    };
    books.run(key, attempt);
}

/// Ends leases: what is known to run on them is charged by its last report and the time since, what is strict in
/// full, and the rest is free again. Late reports correct it.
pub(crate) fn expire(books: &mut Books, now: Timestamp, grants: &[GrantId]) {
    for id in grants {
        let Some(lease) = books.leases.get(id).cloned() else {
            continue;
        };
        let mut presumed: Vec<(AttemptKey, Charged)> = Vec::new();
        let mut known: BTreeSet<AccountId> = BTreeSet::new();
        let attempts: Vec<AttemptKey> = books.running.keys().copied().collect();
        for key in attempts {
            let Some(attempt) = books.running.get_mut(&key) else {
                continue;
            };
            let (ended, lives): (Vec<RunningHold>, Vec<RunningHold>) =
                attempt.holds.iter().partition(|hold| hold.grant == *id);
            if ended.is_empty() {
                continue;
            }
            let since = now.millis_since(attempt.reported);
            for hold in &ended {
                known.insert(hold.account);
                let amount = presumed_use(hold, since);
                let charge = presumption(hold.account, hold.window, attempt.admitted, amount);
                presumed.push((key, charge));
            }
            attempt.holds = lives;
            books.changed.running.insert(key, attempt.holder);
            if books
                .running
                .get(&key)
                .is_some_and(|it| it.holds.is_empty())
            {
                books.stop(key);
            }
        }
        presumed.extend(unreported(books, &lease, &known));
        for part in &lease.parts {
            let of_part = presumed.iter().filter(|(_, it)| it.account == part.account);
            let charged = of_part.fold(0, |sum: u64, (_, it)| sum.saturating_add(it.amount));
            let stranded = books.noted.stranded.entry(part.account).or_default();
            *stranded = stranded.saturating_add(part.left.saturating_sub(charged));
        }
        for (key, charge) in presumed {
            presume(books, now, key, charge);
        }
        books.end_lease(*id);
    }
}

/// Returns what a lost exchange that never was reported is charged: strict slices, which are its own, in full.
fn unreported(
    books: &Books,
    lease: &Lease,
    known: &BTreeSet<AccountId>,
) -> Vec<(AttemptKey, Charged)> {
    let exchange = lease.exchange;
    let mut settled = books.settled.range((exchange, 1)..=(exchange, u32::MAX));
    if settled.any(|(_, settled)| settled.sureness > Sureness::Presumed) {
        return Vec::new();
    }
    let strict = lease
        .parts
        .iter()
        .filter(|part| part.strict && !known.contains(&part.account));
    strict
        .map(|part| {
            let charge = presumption(part.account, part.window, lease.granted, part.left);
            ((exchange, 1), charge)
        })
        .collect()
}

fn presumption(account: AccountId, window: WindowKey, admitted: Timestamp, amount: u64) -> Charged {
    let bucket = window.bucket(admitted);
    Charged {
        account,
        bucket,
        kept_until: kept_until(window, bucket, admitted),
        amount,
        debt: 0,
    }
}

fn presumed_use(hold: &RunningHold, since_ms: u64) -> u64 {
    if hold.strict {
        return hold.held.max(hold.so_far);
    }
    let since = u128::from(hold.per_second) * u128::from(since_ms) / 1_000;
    let grown = hold
        .so_far
        .saturating_add(u64::try_from(since).unwrap_or(u64::MAX));
    hold.so_far.max(grown.min(hold.held))
}

fn presume(books: &mut Books, now: Timestamp, key: AttemptKey, charge: Charged) {
    if charge.amount == 0 || charge.bucket == 0 {
        return;
    }
    let before = books.settled.get(&key);
    if before.is_some_and(|before| before.sureness > Sureness::Presumed) {
        return;
    }
    let (mut charges, at) = before.map_or_else(
        || (Vec::new(), now),
        |before| (before.charges.clone(), before.at),
    );
    charges.push(charge);
    let settled = Settled {
        sureness: Sureness::Presumed,
        at,
        charges,
    };
    books.settle(key, settled);
}

/// Clears what was spent of an account in the window that `terms` say; returns how much that was. What is leased
/// stays leased.
pub(crate) fn reset(books: &mut Books, now: Timestamp, terms: &Terms) -> Used {
    let used = books.used(terms.account, &terms.window);
    let Some(account) = books.accounts.get_mut(&terms.account) else {
        return used;
    };
    account.reset = now;
    books.changed.resets.insert(terms.account);
    let starts: Vec<u64> = account
        .buckets
        .range(terms.window.since_ms..)
        .map(|(start, _)| *start)
        .collect();
    for start in starts {
        let bucket = books.bucket(terms.account, start, Timestamp::default());
        bucket.spent = 0;
        bucket.debt = 0;
        bucket.alerted = 0;
    }
    used
}

//! What a ledger did since this process began, and what is leased at the moment; for metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policy::quota::lease::{GrantAnswer, Refusal, RefusalKind};
use policy::quota::{AccountId, Level, Unit};

use super::batch::{Answer, Entry, Outcome, Owners};
use super::books::Lease;
use super::terms::Quotas;

/// Upper bounds of the times of batches, in milliseconds.
pub const BATCH_BOUNDS_MS: [u64; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];

/// What a batch noted beside its books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    /// Settlements that took the place of a presumption.
    pub(crate) corrections: u64,
    /// What was free of leases that expired.
    pub(crate) stranded: BTreeMap<AccountId, u64>,
}

/// Sums since this process began; `leases` and `held` are as of a few seconds ago.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub grants: u64,
    pub refusals: BTreeMap<(Refused, Level), u64>,
    pub settlements: u64,
    pub corrections: u64,
    /// Leases that ended because nobody kept them, or because their holder was lost.
    pub expired: u64,
    /// What was free of them; `None` where the unit is not known to this process.
    pub stranded: BTreeMap<Option<Unit>, u64>,
    pub leases: u64,
    pub held: BTreeMap<Option<Unit>, u64>,
    pub batches: u64,
    pub batch_entries: u64,
    pub batch_failures: u64,
    pub batch_micros: u64,
    /// Batches by the first of [`BATCH_BOUNDS_MS`] that they were not above; slower ones are in `batches` alone.
    pub batches_within: [u64; BATCH_BOUNDS_MS.len()],
}

/// The kind of a refusal, in the order of its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    Contended,
    Exhausted,
}

impl Refused {
    /// Returns the word used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contended => "contended",
            Self::Exhausted => "exhausted",
        }
    }

    const fn of(refusal: &Refusal) -> Self {
        match refusal.kind {
            RefusalKind::Exhausted => Self::Exhausted,
            RefusalKind::Contended => Self::Contended,
        }
    }
}

/// The counts of one ledger. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    counts: Arc<Mutex<Counts>>,
}

impl Tally {
    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    pub(crate) fn note_failure(&self) {
        self.lock().batch_failures += 1;
    }

    pub(crate) fn note(
        &self,
        entries: &[Entry],
        outcome: &Outcome,
        units: &Units<'_>,
        took: Duration,
    ) {
        let mut counts = self.lock();
        counts.batches += 1;
        counts.batch_entries += entries.len() as u64;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counts.batch_micros = counts.batch_micros.saturating_add(micros);
        let bound = BATCH_BOUNDS_MS
            .iter()
            .position(|bound| micros <= bound * 1_000);
        if let Some(within) = bound.and_then(|at| counts.batches_within.get_mut(at)) {
            *within += 1;
        }
        for entry in entries {
            if let Entry::Settle(settlements) = entry {
                counts.settlements += settlements.len() as u64;
            }
        }
        for answer in outcome.answers.iter().flatten() {
            match answer {
                Answer::Grant(GrantAnswer::Granted(_)) => counts.grants += 1,
                Answer::Grant(GrantAnswer::Refused(refusal)) => {
                    let key = (Refused::of(refusal), refusal.level);
                    *counts.refusals.entry(key).or_default() += 1;
                }
                Answer::Ended(leases) => counts.expired += leases,
                Answer::Progress(_) | Answer::Figures(_) | Answer::History(_) | Answer::Done => {}
            }
        }
        counts.corrections += outcome.noted.corrections;
        for (account, amount) in &outcome.noted.stranded {
            let sum = counts.stranded.entry(units.of(*account)).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    /// Takes in all leases that live.
    pub(crate) fn note_leases<'l>(
        &self,
        leases: impl ExactSizeIterator<Item = &'l Lease>,
        units: &Units<'_>,
    ) {
        let live = leases.len() as u64;
        let mut held: BTreeMap<Option<Unit>, u64> = BTreeMap::new();
        for part in leases.flat_map(|lease| &lease.parts) {
            let sum = held.entry(units.of(part.account)).or_default();
            *sum = sum.saturating_add(part.left);
        }
        let mut counts = self.lock();
        counts.leases = live;
        // A unit of which nothing is held any more is told as zero.
        counts.held.values_mut().for_each(|sum| *sum = 0);
        counts.held.extend(held);
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counts are never half written in a way that matters.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells in which unit an account is counted, as far as somebody asked for it.
#[derive(Debug)]
pub(crate) struct Units<'q> {
    pub(crate) owners: &'q Owners,
    pub(crate) quotas: &'q Quotas,
}

impl Units<'_> {
    fn of(&self, account: AccountId) -> Option<Unit> {
        let quota = self.owners.quota_of(account)?;
        Some(self.quotas.get(quota)?.rules.unit)
    }
}

//! Two ledgers as one: what is money or counts for long in a database, what is forgotten after minutes in Redis.
//!
//! A request that is charged to both is asked of both at once; if one refuses, the other's part is given back. So
//! nothing is ever granted that does not fit; at worst a part is held for the moment in between, or, when the service
//! dies in that moment, until its lease ends.

use std::sync::Arc;

use policy::ids::{HolderId, QuotaId};
use policy::quota::AccountId;
use policy::quota::lease::{
    Ask, GrantAnswer, GrantRequest, Granted, Keeping, Progress, Refusal, RefusalKind, Return,
    Running, Settlement, Taken,
};
use policy::units::Timestamp;
use tokio::sync::watch;
use tracing::warn;

use super::window::keeping;
use super::{Bucket, Counts, Figures, Kept, Ledger, LedgerError, Quotas};

/// A durable ledger, and possibly a hot one.
#[derive(Clone, Debug)]
pub struct Ledgers {
    durable: Ledger,
    hot: Option<Ledger>,
    quotas: watch::Receiver<Arc<Quotas>>,
}

impl Ledgers {
    /// Keeps everything in `durable`, or what may be hot in `hot`.
    pub fn new(durable: Ledger, hot: Option<Ledger>, quotas: watch::Receiver<Arc<Quotas>>) -> Self {
        Self {
            durable,
            hot,
            quotas,
        }
    }

    /// Returns what each ledger did, by its name in metrics.
    pub fn counts(&self) -> Vec<(&'static str, Counts)> {
        let hot = self.hot.as_ref().map(|hot| ("hot", hot.counts()));
        std::iter::once(("durable", self.durable.counts()))
            .chain(hot)
            .collect()
    }

    /// As [`Ledger::grant`], all or nothing over both.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing is granted then.
    pub async fn grant(&self, request: GrantRequest) -> Result<GrantAnswer, LedgerError> {
        let Some(hot) = &self.hot else {
            return self.durable.grant(request).await;
        };
        let (durable_asks, hot_asks) = self.divide(&request.asks);
        let part = |asks: Vec<Ask>| GrantRequest {
            asks,
            ..request.clone()
        };
        if hot_asks.is_empty() {
            return self.durable.grant(request).await;
        }
        if durable_asks.is_empty() {
            return hot.grant(request).await;
        }
        let answers = futures_util::future::join(
            self.durable.grant(part(durable_asks.clone())),
            hot.grant(part(hot_asks.clone())),
        )
        .await;
        match answers {
            (Ok(GrantAnswer::Granted(durable)), Ok(GrantAnswer::Granted(hot))) => {
                Ok(GrantAnswer::Granted(joined(&request.asks, durable, hot)))
            }
            (Ok(GrantAnswer::Refused(one)), Ok(GrantAnswer::Refused(other))) => {
                Ok(GrantAnswer::Refused(worse(one, other)))
            }
            (Ok(GrantAnswer::Granted(_)), other) => {
                self.durable
                    .give_back(all_of(&request, &durable_asks))
                    .await
                    .ok();
                other
            }
            (other, Ok(GrantAnswer::Granted(_))) => {
                hot.give_back(all_of(&request, &hot_asks)).await.ok();
                other
            }
            (one, other) => one.and(other),
        }
    }

    /// As [`Ledger::settle`].
    ///
    /// # Errors
    /// [`LedgerError`]; tell it again then.
    pub async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), LedgerError> {
        let Some(hot) = &self.hot else {
            return self.durable.settle(settlements).await;
        };
        let part = |kept: Keeping| -> Vec<Settlement> {
            settlements
                .iter()
                .filter_map(|it| settlement_part(it, kept))
                .collect()
        };
        let hot_part = part(Keeping::Hot);
        if hot_part.is_empty() {
            return self.durable.settle(part(Keeping::Durable)).await;
        }
        let both = futures_util::future::join(
            self.durable.settle(part(Keeping::Durable)),
            hot.settle(hot_part),
        );
        let (durable, hot) = both.await;
        durable.and(hot)
    }

    /// As [`Ledger::progress`]. A lease lives on where it was kept; Redis may have forgotten its part.
    ///
    /// # Errors
    /// [`LedgerError`]; leases run on until they expire.
    pub async fn progress(&self, progress: Progress) -> Result<Kept, LedgerError> {
        let Some(hot) = &self.hot else {
            return self.durable.progress(progress).await;
        };
        let part = |kept: Keeping| Progress {
            running: progress
                .running
                .iter()
                .filter_map(|it| running_part(it, kept))
                .collect(),
            ..progress.clone()
        };
        let both = futures_util::future::join(
            self.durable.progress(part(Keeping::Durable)),
            hot.progress(part(Keeping::Hot)),
        );
        let (durable, hot) = both.await;
        let mut kept = durable?;
        let hot = match hot {
            Ok(hot) => hot,
            // What is durable lives on without what is not.
            Err(failure) => {
                warn!(failure = %crate::mesh::chain(&failure), "leases of hot quotas were not kept");
                return Ok(kept);
            }
        };
        kept.grants.extend(hot.grants);
        kept.grants.sort_unstable();
        kept.grants.dedup();
        kept.expires = kept.expires.min(hot.expires);
        Ok(kept)
    }

    /// As [`Ledger::give_back`].
    ///
    /// # Errors
    /// [`LedgerError`]; what was not taken back expires.
    pub async fn give_back(&self, back: Return) -> Result<(), LedgerError> {
        if let Some(hot) = &self.hot {
            // Each ignores what it does not have; what Redis does not take back expires there.
            if let Err(failure) = hot.give_back(back.clone()).await {
                warn!(failure = %crate::mesh::chain(&failure), "slices of hot quotas were not taken back");
            }
        }
        self.durable.give_back(back).await
    }

    /// As [`Ledger::lost`].
    ///
    /// # Errors
    /// [`LedgerError`]; leases expire then.
    pub async fn lost(&self, holder: HolderId) -> Result<(), LedgerError> {
        if let Some(hot) = &self.hot {
            hot.lost(holder).await?;
        }
        self.durable.lost(holder).await.map(|_| ())
    }

    /// As [`Ledger::reset`].
    ///
    /// # Errors
    /// [`LedgerError`]; what was cleared is told by [`look`](Self::look).
    pub async fn reset(&self, asks: Vec<Ask>) -> Result<Vec<Figures>, LedgerError> {
        let (durable, hot) = self.divide(&asks);
        let mut figures = self.durable.reset(durable).await?;
        if let Some(ledger) = &self.hot {
            figures.extend(ledger.reset(hot).await?);
        }
        Ok(in_order(&asks, &figures))
    }

    /// As [`Ledger::look`].
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn look(&self, asks: Vec<Ask>) -> Result<Vec<Figures>, LedgerError> {
        let (durable, hot) = self.divide(&asks);
        let mut figures = self.durable.look(durable).await?;
        if let Some(ledger) = &self.hot {
            figures.extend(ledger.look(hot).await?);
        }
        Ok(in_order(&asks, &figures))
    }

    /// As [`Ledger::history`].
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn history(
        &self,
        quota: QuotaId,
        account: AccountId,
        since: Timestamp,
    ) -> Result<Vec<(Timestamp, Bucket)>, LedgerError> {
        let quotas = self.quotas.borrow().clone();
        let kept = quotas.get(quota).map(|quota| keeping(&quota.rules));
        match &self.hot {
            Some(hot) if kept == Some(Keeping::Hot) => hot.history(account, since).await,
            Some(_) | None => self.durable.history(account, since).await,
        }
    }

    /// Divides what is asked into what is kept durably and what is kept hot.
    fn divide(&self, asks: &[Ask]) -> (Vec<Ask>, Vec<Ask>) {
        let quotas = self.quotas.borrow().clone();
        let is_durable = |ask: &Ask| {
            let kept = quotas.get(ask.quota).map(|quota| keeping(&quota.rules));
            self.hot.is_none() || kept != Some(Keeping::Hot)
        };
        asks.iter().cloned().partition(is_durable)
    }
}

fn all_of(request: &GrantRequest, asks: &[Ask]) -> Return {
    let taken = asks.iter().map(|ask| Taken {
        grant: request.grant,
        account: ask.account,
        amount: u64::MAX,
    });
    Return {
        taken: taken.collect(),
    }
}

fn joined(asks: &[Ask], durable: Granted, hot: Granted) -> Granted {
    let mut slices = durable.slices;
    slices.extend(hot.slices);
    slices.sort_by_key(|slice| asks.iter().position(|ask| ask.account == slice.account));
    Granted {
        grant: durable.grant,
        expires: durable.expires.min(hot.expires),
        slices,
    }
}

/// Of two refusals the final one counts; of two of a kind the lower level is named and the later reset told.
fn worse(one: Refusal, other: Refusal) -> Refusal {
    let is_final = |refusal: &Refusal| refusal.kind == RefusalKind::Exhausted;
    match (is_final(&one), is_final(&other)) {
        (true, false) => one,
        (false, true) => other,
        (true, true) | (false, false) => {
            let retry_after_ms = match (one.retry_after_ms, other.retry_after_ms) {
                (Some(one), Some(other)) => Some(one.max(other)),
                (None, _) | (_, None) => None,
            };
            let rank = |it: &Refusal| (it.level, it.quota, it.account);
            let named = if rank(&one) <= rank(&other) {
                one
            } else {
                other
            };
            Refusal {
                retry_after_ms,
                ..named
            }
        }
    }
}

/// Returns the part of a settlement that one ledger keeps; `None` if that is nothing. Where the account of a slice is
/// kept is not said, so a slice without a charge is taken from both, and found in one.
fn settlement_part(settlement: &Settlement, kept: Keeping) -> Option<Settlement> {
    let is_elsewhere = |taken: &Taken| {
        let mut charges = settlement.charges.iter();
        charges.any(|it| it.account == taken.account && it.window.keeping != kept)
    };
    let charges = settlement
        .charges
        .iter()
        .filter(|it| it.window.keeping == kept);
    let taken = settlement.taken.iter().filter(|it| !is_elsewhere(it));
    let part = Settlement {
        charges: charges.copied().collect(),
        taken: taken.copied().collect(),
        ..settlement.clone()
    };
    // What closes without a charge ends what may run on either side; what has charges ends it where they are kept.
    let ends = part.closes && (kept == Keeping::Durable || settlement.charges.is_empty());
    let is_nothing = part.charges.is_empty() && part.taken.is_empty() && !ends;
    (!is_nothing).then_some(part)
}

fn running_part(running: &Running, kept: Keeping) -> Option<Running> {
    let holds = running.holds.iter().filter(|it| it.window.keeping == kept);
    let part = Running {
        holds: holds.copied().collect(),
        ..running.clone()
    };
    (!part.holds.is_empty()).then_some(part)
}

fn in_order(asks: &[Ask], figures: &[Figures]) -> Vec<Figures> {
    let of = |ask: &Ask| figures.iter().find(|it| it.account == ask.account).copied();
    asks.iter().filter_map(of).collect()
}

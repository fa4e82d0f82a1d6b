//! What a filter and the ledger say to each other about quotas, apart from how it is encoded.
//!
//! ```text
//! filter                                              ledger
//!   GrantRequest {asks}          ──────────────▶      all or nothing over all asks
//!                                ◀──────────────      GrantAnswer::{Granted {slices}, Refused}
//!   hold, hold, …  (locally)
//!   Progress {keep, running}     ──────────────▶      leases live on; what runs is known
//!   Settlement {charges, taken}  ──────────────▶      spent += charges, slices -= taken; once
//!   Return {taken}               ──────────────▶      slices -= taken
//! ```
//!
//! A lease that is not kept expires by itself: what is known to run on it is charged, the rest is free again.

use serde::{Deserialize, Serialize};

use crate::ids::{ExchangeId, GrantId, HolderId, QuotaId};
use crate::quota::covering::Part;
use crate::quota::{AccountId, Level};
use crate::units::Timestamp;

/// Which window a slice belongs to, so that what was admitted in a window is charged to it whenever it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WindowKey {
    /// Where a calendar window begins; 0 for rolling windows and for `concurrent`.
    pub start_ms: u64,
    /// The resolution of a rolling window; 0 for all others.
    pub width_ms: u64,
    pub keeping: Keeping,
}

/// Where an account is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeping {
    /// In the database; nothing that was acknowledged is lost. Money is always kept so.
    #[default]
    Durable,
    /// In memory that replicas share, for what is forgotten after minutes anyway.
    Hot,
}

impl WindowKey {
    /// Returns the bucket that counts what was admitted at `admitted`.
    pub const fn bucket(self, admitted: Timestamp) -> u64 {
        let at = admitted.as_millis();
        match at.checked_rem(self.width_ms) {
            Some(past) => at.saturating_sub(past),
            None => self.start_ms,
        }
    }
}

/// What is asked of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    pub quota: QuotaId,
    pub part: Part,
    pub account: AccountId,
    /// Less than this is of no use.
    pub need: u64,
    /// More than this is not wanted; at least `need`.
    pub want: u64,
}

/// Asks for slices of several accounts, all or nothing. Asked again with the same id, the same is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRequest {
    pub grant: GrantId,
    pub holder: HolderId,
    /// The exchange that waits for it: what is strict is bound to it.
    pub exchange: ExchangeId,
    /// At most one for each account.
    pub asks: Vec<Ask>,
}

/// What became of a [`GrantRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantAnswer {
    Granted(Granted),
    Refused(Refusal),
}

/// Leased slices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    pub grant: GrantId,
    /// When the lease ends unless it is kept.
    pub expires: Timestamp,
    pub slices: Vec<Slice>,
}

/// A part of one account's room, leased to one holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    pub account: AccountId,
    pub amount: u64,
    pub window: WindowKey,
    /// From when on nothing may be admitted on it: the window's end.
    pub ends: Timestamp,
    /// What was left of the limit after this slice, for clients that may see it.
    pub left: u64,
}

/// Why nothing was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub kind: RefusalKind,
    /// The quota that is named: of those that refuse the one at the lowest level, then with the smallest id.
    pub quota: QuotaId,
    pub account: AccountId,
    pub level: Level,
    /// When the same may be granted: the reset of the quota that resets last among those that are exhausted.
    /// `None` when waiting does not help, because a limit is smaller than what is asked for.
    pub retry_after_ms: Option<u64>,
}

/// The two kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalKind {
    /// What was used leaves no room; final for the client.
    Exhausted,
    /// Only what others hold leaves no room; worth waiting for.
    Contended,
}

/// An amount that leaves a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub grant: GrantId,
    pub account: AccountId,
    pub amount: u64,
}

/// Gives back what is not needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    pub taken: Vec<Taken>,
}

/// How sure an amount is. A surer one takes the place of a less sure one; of two that are as sure the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sureness {
    /// Charged because the lease expired.
    Presumed,
    /// The filter's best estimate.
    Estimated,
    /// As the provider reported it.
    Exact,
}

/// What one attempt is charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    pub exchange: ExchangeId,
    /// 1 for the first attempt; 0 for what counts at admission.
    pub attempt: u32,
    pub admitted: Timestamp,
    pub sureness: Sureness,
    pub charges: Vec<Charge>,
    /// What of the holder's slices this used up.
    pub taken: Vec<Taken>,
    /// Whether this ends the exchange, so that what was presumed about its other attempts is void.
    pub closes: bool,
}

/// What one account is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    pub account: AccountId,
    pub window: WindowKey,
    pub amount: u64,
    /// The part of the amount that was admitted without a slice while the service was away.
    pub debt: u64,
}

/// Keeps leases and tells what runs on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub holder: HolderId,
    /// Leases that the holder still has something of.
    pub keep: Vec<GrantId>,
    /// Attempts whose state is new or changed.
    pub running: Vec<Running>,
}

/// One attempt that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub exchange: ExchangeId,
    pub attempt: u32,
    pub admitted: Timestamp,
    pub holds: Vec<RunningHold>,
}

/// What an attempt holds of one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningHold {
    pub grant: GrantId,
    pub account: AccountId,
    pub window: WindowKey,
    pub held: u64,
    /// Used so far, by estimate.
    pub so_far: u64,
    /// What is likely to be used in a second from here on.
    pub per_second: u64,
    /// Charged in full when the holder is lost.
    pub strict: bool,
}

//! Quotas where exchanges are admitted: what they are charged to, and what is leased for them here.
//!
//! [`Limits`] come with a policy and change with it; the [`Desk`] belongs to the VM and outlives policies. Leases,
//! holds and settlements are those of [`policy::quota::slices`]; this module knows what an exchange needs and used.

mod desk;
mod limits;
mod size;

pub(crate) use desk::Settled;
pub use desk::{Denial, DenialReason, Desk, DeskCounters, IDLE_MS, KeepMessage};
pub use limits::{Limits, Line};
pub(crate) use size::Size;

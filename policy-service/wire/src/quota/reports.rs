//! What runs, and what attempts are charged.

use policy::ids::{ExchangeId, GrantId};
use policy::quota::lease::{Charge, Running, RunningHold, Settlement, Sureness};
use policy::units::Timestamp;

use super::{Unreadable, account, each, id, window};
use crate::mesh;

impl From<&Running> for mesh::RunningAttempt {
    fn from(running: &Running) -> Self {
        Self {
            exchange_id: running.exchange.into_bytes().to_vec(),
            attempt: running.attempt,
            admitted_ms: running.admitted.as_millis(),
            holds: running.holds.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<&mesh::RunningAttempt> for Running {
    type Error = Unreadable;

    fn try_from(message: &mesh::RunningAttempt) -> Result<Self, Unreadable> {
        Ok(Self {
            exchange: id("exchange_id", &message.exchange_id, ExchangeId::new)?,
            attempt: message.attempt,
            admitted: Timestamp::from_millis(message.admitted_ms),
            holds: each("holds", &message.holds)?,
        })
    }
}

impl From<&RunningHold> for mesh::RunningHold {
    fn from(hold: &RunningHold) -> Self {
        Self {
            grant_id: hold.grant.into_bytes().to_vec(),
            account_id: hold.account.into_bytes().to_vec(),
            window: Some((&hold.window).into()),
            held: hold.held,
            so_far: hold.so_far,
            per_second: hold.per_second,
            strict: hold.strict,
        }
    }
}

impl TryFrom<&mesh::RunningHold> for RunningHold {
    type Error = Unreadable;

    fn try_from(message: &mesh::RunningHold) -> Result<Self, Unreadable> {
        Ok(Self {
            grant: id("grant_id", &message.grant_id, GrantId::new)?,
            account: account(&message.account_id)?,
            window: window(message.window.as_ref())?,
            held: message.held,
            so_far: message.so_far,
            per_second: message.per_second,
            strict: message.strict,
        })
    }
}

impl From<&Settlement> for mesh::Settlement {
    /// Presumptions are the ledger's own and do not travel; one would arrive as an estimate.
    fn from(settlement: &Settlement) -> Self {
        Self {
            exchange_id: settlement.exchange.into_bytes().to_vec(),
            attempt: settlement.attempt,
            admitted_ms: settlement.admitted.as_millis(),
            exact: match settlement.sureness {
                Sureness::Exact => true,
                Sureness::Estimated | Sureness::Presumed => false,
            },
            charges: settlement.charges.iter().map(Into::into).collect(),
            taken: settlement.taken.iter().map(Into::into).collect(),
            closes: settlement.closes,
        }
    }
}

impl TryFrom<&mesh::Settlement> for Settlement {
    type Error = Unreadable;

    fn try_from(message: &mesh::Settlement) -> Result<Self, Unreadable> {
        Ok(Self {
            exchange: id("exchange_id", &message.exchange_id, ExchangeId::new)?,
            attempt: message.attempt,
            admitted: Timestamp::from_millis(message.admitted_ms),
            sureness: if message.exact {
                Sureness::Exact
            } else {
                Sureness::Estimated
            },
            charges: each("charges", &message.charges)?,
            taken: each("taken", &message.taken)?,
            closes: message.closes,
        })
    }
}

impl From<&Charge> for mesh::QuotaCharge {
    fn from(charge: &Charge) -> Self {
        Self {
            account_id: charge.account.into_bytes().to_vec(),
            window: Some((&charge.window).into()),
            amount: charge.amount,
            debt: charge.debt,
        }
    }
}

impl TryFrom<&mesh::QuotaCharge> for Charge {
    type Error = Unreadable;

    fn try_from(message: &mesh::QuotaCharge) -> Result<Self, Unreadable> {
        Ok(Self {
            account: account(&message.account_id)?,
            window: window(message.window.as_ref())?,
            amount: message.amount,
            debt: message.debt,
        })
    }
}

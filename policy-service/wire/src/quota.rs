//! The messages of quotas, from and into `policy::quota::lease`.
//!
//! Both ways are total: whatever a filter or the ledger says has a message, and a message either means something or
//! names the field that does not. An [`Unreadable`] is the sender's fault.
//!
//! ```
//! use policy::ids::{ExchangeId, GrantId, HolderId};
//! use policy::quota::lease::GrantRequest;
//! use wire::mesh;
//!
//! let id = uuid::Uuid::from_u128(7);
//! let asked = GrantRequest {
//!     grant: GrantId::new(id),
//!     holder: HolderId::new(id),
//!     exchange: ExchangeId::new(id),
//!     asks: Vec::new(),
//! };
//! let mut message = mesh::GrantRequest::from(&asked);
//! assert_eq!(GrantRequest::try_from(&message), Ok(asked));
//! message.holder_id.pop();
//! let unreadable = GrantRequest::try_from(&message).unwrap_err();
//! assert_eq!(unreadable.to_string(), "`holder_id` has 15 bytes: an id has 16");
//! ```

mod answers;
mod reports;

use policy::ids::{GrantId, HolderId};
use policy::quota::AccountId;
use policy::quota::lease::{Keeping, Progress, Return, Settlement, Taken, WindowKey};
use policy::units::Timestamp;
use uuid::Uuid;

use crate::mesh;

/// Accounts of one request at most.
pub const MAX_ASKS: usize = 64;
/// Settlements of one message at most.
pub const MAX_SETTLEMENTS: usize = 512;

/// A field of a message that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct Unreadable {
    /// As in `asks[2].quota_id`.
    pub field: String,
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("has {bytes} bytes: an id has 16")]
    Id { bytes: usize },
    #[error("is missing: it must be given")]
    Missing,
    #[error("is `{given}`: it must be the name of a level, as `key`")]
    Level { given: String },
    #[error("has {given} elements: send at most {at_most}")]
    TooMany { given: usize, at_most: usize },
}

/// A level is a short word; what is given in its place is not quoted in full.
const QUOTED_CHARS: usize = 40;

impl Unreadable {
    fn new(field: &str, problem: Problem) -> Self {
        Self {
            field: field.to_owned(),
            problem,
        }
    }

    fn within(self, outer: &str) -> Self {
        Self {
            field: format!("{outer}.{}", self.field),
            ..self
        }
    }
}

/// What a filter says at once: what attempts used, what it does not need, and what lives on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    pub progress: Progress,
    pub settlements: Vec<Settlement>,
    pub back: Return,
}

/// What it is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Leases that live on.
    pub grants: Vec<GrantId>,
    pub expires: Timestamp,
    /// Accounts of which others need what is free here.
    pub wanted: Vec<AccountId>,
}

impl From<&Keep> for mesh::KeepRequest {
    fn from(keep: &Keep) -> Self {
        Self {
            holder_id: keep.progress.holder.into_bytes().to_vec(),
            keep: bytes_of(keep.progress.keep.iter().map(|id| id.into_bytes())),
            running: keep.progress.running.iter().map(Into::into).collect(),
            settlements: keep.settlements.iter().map(Into::into).collect(),
            returned: keep.back.taken.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<&mesh::KeepRequest> for Keep {
    type Error = Unreadable;

    fn try_from(message: &mesh::KeepRequest) -> Result<Self, Unreadable> {
        at_most("settlements", message.settlements.len(), MAX_SETTLEMENTS)?;
        Ok(Self {
            progress: Progress {
                holder: id("holder_id", &message.holder_id, HolderId::new)?,
                keep: ids("keep", &message.keep, GrantId::new)?,
                running: each("running", &message.running)?,
            },
            settlements: each("settlements", &message.settlements)?,
            back: Return {
                taken: each("returned", &message.returned)?,
            },
        })
    }
}

impl From<&Kept> for mesh::KeepAnswer {
    fn from(kept: &Kept) -> Self {
        Self {
            kept: bytes_of(kept.grants.iter().map(|id| id.into_bytes())),
            expires_ms: kept.expires.as_millis(),
            wanted: bytes_of(kept.wanted.iter().map(|id| id.into_bytes())),
        }
    }
}

impl TryFrom<&mesh::KeepAnswer> for Kept {
    type Error = Unreadable;

    fn try_from(message: &mesh::KeepAnswer) -> Result<Self, Unreadable> {
        let account = |id: Uuid| AccountId::from_bytes(id.into_bytes());
        Ok(Self {
            grants: ids("kept", &message.kept, GrantId::new)?,
            expires: Timestamp::from_millis(message.expires_ms),
            wanted: ids("wanted", &message.wanted, account)?,
        })
    }
}

impl From<&WindowKey> for mesh::QuotaWindow {
    fn from(window: &WindowKey) -> Self {
        Self {
            start_ms: window.start_ms,
            width_ms: window.width_ms,
            hot: window.keeping == Keeping::Hot,
        }
    }
}

impl From<&mesh::QuotaWindow> for WindowKey {
    fn from(message: &mesh::QuotaWindow) -> Self {
        Self {
            start_ms: message.start_ms,
            width_ms: message.width_ms,
            keeping: if message.hot {
                Keeping::Hot
            } else {
                Keeping::Durable
            },
        }
    }
}

impl From<&Taken> for mesh::TakenSlice {
    fn from(taken: &Taken) -> Self {
        Self {
            grant_id: taken.grant.into_bytes().to_vec(),
            account_id: taken.account.into_bytes().to_vec(),
            amount: taken.amount,
        }
    }
}

impl TryFrom<&mesh::TakenSlice> for Taken {
    type Error = Unreadable;

    fn try_from(message: &mesh::TakenSlice) -> Result<Self, Unreadable> {
        Ok(Self {
            grant: id("grant_id", &message.grant_id, GrantId::new)?,
            account: account(&message.account_id)?,
            amount: message.amount,
        })
    }
}

fn id<T>(field: &str, bytes: &[u8], make: impl FnOnce(Uuid) -> T) -> Result<T, Unreadable> {
    match <[u8; 16]>::try_from(bytes) {
        Ok(bytes) => Ok(make(Uuid::from_bytes(bytes))),
        Err(_wrong_length) => {
            let bytes = bytes.len();
            Err(Unreadable::new(field, Problem::Id { bytes }))
        }
    }
}

fn account(bytes: &[u8]) -> Result<AccountId, Unreadable> {
    id("account_id", bytes, |id| {
        AccountId::from_bytes(id.into_bytes())
    })
}

fn window(message: Option<&mesh::QuotaWindow>) -> Result<WindowKey, Unreadable> {
    message
        .map(WindowKey::from)
        .ok_or_else(|| Unreadable::new("window", Problem::Missing))
}

fn ids<T>(
    field: &str,
    all: &[Vec<u8>],
    make: impl Fn(Uuid) -> T + Copy,
) -> Result<Vec<T>, Unreadable> {
    let read = |(at, bytes): (usize, &Vec<u8>)| {
        // The name is made only where it is needed: this runs for each lease, several times a second.
        id(field, bytes, make).map_err(|wrong| Unreadable {
            field: format!("{field}[{at}]"),
            ..wrong
        })
    };
    all.iter().enumerate().map(read).collect()
}

fn each<'m, M, T>(field: &str, all: &'m [M]) -> Result<Vec<T>, Unreadable>
where
    T: TryFrom<&'m M, Error = Unreadable>,
{
    let read = |(at, message)| {
        T::try_from(message).map_err(|wrong: Unreadable| wrong.within(&format!("{field}[{at}]")))
    };
    all.iter().enumerate().map(read).collect()
}

fn bytes_of(ids: impl Iterator<Item = [u8; 16]>) -> Vec<Vec<u8>> {
    ids.map(Vec::from).collect()
}

fn at_most(field: &str, given: usize, at_most: usize) -> Result<(), Unreadable> {
    if given > at_most {
        return Err(Unreadable::new(field, Problem::TooMany { given, at_most }));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

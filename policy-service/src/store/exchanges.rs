//! Exchanges and their attempts: what happened, for whom, at what price.

mod guards;
mod items;
mod query;
mod request_ids;
mod sums;
mod write;

use std::collections::BTreeSet;

use policy::ids::{CustomerId, ExchangeId, KeyId, ProviderKeyId, TeamId, UserId};
use policy::units::{MicroUsd, Timestamp};
use policy::usage::Usage;
use serde::{Deserialize, Serialize};

pub use guards::{
    GuardDirection, GuardFinding, GuardOutcome, GuardUnscanned, GuardVerdict, GuardrailName,
};
pub use query::{Cursor, ExchangeFilter, NamedExchange};
pub use request_ids::{RequestId, RequestIds};
pub use sums::{Group, Sum, SumBy};

pub(crate) use items::ItemMark;
pub(crate) use query::{get, list};
pub(crate) use sums::sum;
pub(crate) use write::{owns_stateful, running_vms, settle_lost, write};

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It has not.
    Running,
    Complete,
    ClientGone,
    UpstreamError,
    Refused,
    /// Its VM or Envoy went away; a later report of the true end takes this one's place.
    EnvoyLost,
}

impl Ended {
    /// All ends, in their fixed order.
    pub const ALL: [Self; 6] = [
        Self::Running,
        Self::Complete,
        Self::ClientGone,
        Self::UpstreamError,
        Self::Refused,
        Self::EnvoyLost,
    ];

    /// Returns the word used in the API and the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::UpstreamError => "upstream_error",
            Self::Refused => "refused",
            Self::EnvoyLost => "envoy_lost",
        }
    }

    /// Returns the end with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ended| ended.name() == name)
    }

    /// Whether a report of this end takes the place of a stored `other`.
    pub(crate) const fn replaces(self, other: Self) -> bool {
        match (other, self) {
            (Self::Running, _) => true,
            // Whoever reports was not lost.
            (Self::EnvoyLost, Self::EnvoyLost) => false,
            (Self::EnvoyLost, _) => true,
            (Self::Complete | Self::ClientGone | Self::UpstreamError | Self::Refused, _) => false,
        }
    }
}

/// One VM of one Envoy process.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmOrigin {
    pub process_id: Vec<u8>,
    pub vm_id: Vec<u8>,
}

/// Whom an exchange was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payer {
    pub key: Option<KeyId>,
    pub user: Option<UserId>,
    pub team: Option<TeamId>,
    pub customer: Option<CustomerId>,
}

/// How the price of an attempt was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceFound {
    /// Nothing is known to have been used.
    Unused,
    Override,
    Book,
    /// The model has no price: the dearest of its table.
    UnknownDearest,
    /// The model has no price: nothing.
    UnknownZero,
}

impl PriceFound {
    /// Whether the model had no price of its own.
    pub const fn is_unknown(self) -> bool {
        matches!(self, Self::UnknownDearest | Self::UnknownZero)
    }
}

/// One try at one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub number: u32,
    pub provider: String,
    pub provider_key: Option<ProviderKeyId>,
    pub model: String,
    /// 0 when no response headers came.
    pub status: u32,
    pub started_at: Timestamp,
    pub headers_ms: Option<u64>,
    /// `None` when nothing is known to have been used.
    pub usage: Option<Usage>,
    pub is_estimated: bool,
    /// The provider refused the key, or what was asked for with it.
    pub key_refused: bool,
    pub price_table: String,
    pub cost: MicroUsd,
    pub price: PriceFound,
    pub price_book: String,
}

/// One request and its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub id: ExchangeId,
    pub started_at: Timestamp,
    pub surface: String,
    pub payer: Payer,
    pub client_app: String,
    pub session_id: String,
    pub agent_id: String,
    pub device: String,
    pub environment: String,
    pub region: String,
    pub model_asked: String,
    pub model_used: String,
    pub provider: String,
    pub status: u32,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub latency_ms: u64,
    pub first_byte_ms: Option<u64>,
    pub ended: Ended,
    pub refusal_code: String,
    /// The quota that refused, by name; empty when none did.
    pub refused_by: String,
    pub is_streamed: bool,
    pub is_unkeyed: bool,
    /// The client's own provider login was used: the cost is notional.
    pub is_subscription: bool,
    pub path: String,
    pub attempt_count: u32,
    /// Sum over the attempts.
    pub usage: Usage,
    /// Sum over the attempts.
    pub cost: MicroUsd,
    /// Whether the model of some attempt had no price.
    pub has_unknown_price: bool,
    /// Whether the usage of some attempt is an estimate.
    pub is_estimated: bool,
    pub price_book: String,
    pub origin: VmOrigin,
    /// Of the strongest of its guardrails; `None` when none covered it.
    pub guard_verdict: Option<GuardVerdict>,
}

/// An exchange with its parts, as it is written.
#[derive(Clone, Debug)]
pub(crate) struct WholeExchange {
    pub(crate) exchange: Exchange,
    pub(crate) attempts: Vec<Attempt>,
    /// Provider-side ids that it created.
    pub(crate) created_ids: Vec<String>,
    /// Items of what it created.
    pub(crate) items: BTreeSet<ItemMark>,
    pub(crate) guardrails: Vec<GuardOutcome>,
    pub(crate) request_ids: RequestIds,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is stored after `reports` arrived in this order.
    fn stored(reports: &[Ended]) -> Option<Ended> {
        reports.iter().fold(None, |stored, report| match stored {
            Some(held) if !report.replaces(held) => Some(held),
            Some(_) | None => Some(*report),
        })
    }

    #[test]
    fn the_true_end_stays_whatever_comes_before_after_or_twice() {
        let reports = [Ended::Running, Ended::EnvoyLost, Ended::Complete];
        for first in reports {
            for second in reports {
                for third in reports {
                    for fourth in reports {
                        let all = [first, second, third, fourth];
                        if all.contains(&Ended::Complete) {
                            assert_eq!(stored(&all), Some(Ended::Complete), "{all:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn names_and_words_agree() {
        for ended in Ended::ALL {
            assert_eq!(Ended::from_name(ended.name()), Some(ended));
            assert_eq!(serde_json::to_value(ended).unwrap(), ended.name());
        }
    }
}

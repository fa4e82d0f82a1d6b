//! Units: two numbers that must not be added are two types.

use serde::{Deserialize, Serialize};

/// US dollars in millionths: the only money type in the workspace.
///
/// Wire form: a JSON integer under a field name ending in `_micro_usd`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MicroUsd(u64);

impl MicroUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Wraps an amount of micro-dollars.
    pub const fn new(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns the amount in micro-dollars.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Adds, stopping at the largest amount.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// A price in micro-dollars per million tokens: $3 per million tokens are 3,000,000.
///
/// That is a millionth of a micro-dollar a token, fine enough to hold every published price exactly
/// ($0.0028 per million is less than three billionths of a dollar a token).
///
/// Wire form: a JSON integer under a field name ending in `_micro_usd_per_mtok`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MicroUsdPerMtok(u64);

impl MicroUsdPerMtok {
    /// Wraps a price in micro-dollars per million tokens.
    pub const fn new(micros_per_million: u64) -> Self {
        Self(micros_per_million)
    }

    /// Returns the price in micro-dollars per million tokens.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the cost of `tokens` in millionths of a micro-dollar, unrounded.
    pub(crate) fn cost(self, tokens: TokenCount) -> u128 {
        u128::from(self.0) * u128::from(tokens.0)
    }
}

/// A number of tokens.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TokenCount(u64);

impl TokenCount {
    /// No tokens.
    pub const ZERO: Self = Self(0);

    /// Wraps a number of tokens.
    pub const fn new(tokens: u64) -> Self {
        Self(tokens)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Adds, stopping at the largest count.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Subtracts, stopping at zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
///
/// Wire form: a JSON integer under a field name ending in `_ms`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Wraps milliseconds since the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the milliseconds from `earlier` to `self`, zero when the clock stepped back.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

//! Policy of a Weir mesh: who may call which model at which provider, and what a token costs.
//!
//! Pure: bytes and values in, values out; no IO, no clock, no randomness. The policy service writes
//! [`documents`] and compiles them; the filter enforces the [`compiled`] form. Both use this crate, so
//! what an administrator is shown and what a request meets are the same code.
//!
//! It does not know proxies, protobuf or databases.

#![forbid(unsafe_code)]

pub mod access;
pub mod check;
pub mod compile;
pub mod compiled;
pub mod documents;
pub mod file;
pub mod ids;
pub mod key;
pub mod pattern;
pub mod presets;
pub mod price;
pub mod routing;
pub mod secret;
pub mod surface;
pub mod units;
pub mod usage;

#[cfg(test)]
mod fixture;

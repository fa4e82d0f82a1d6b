//! The policy service of Weir: stores policy, compiles it, hands it to filters and Envoys, takes their records.

#![forbid(unsafe_code)]

mod alerts;
pub mod api;
pub mod cli;
pub mod clock;
pub mod demo;
pub mod ledger;
mod listener;
pub mod mesh;
mod metrics;
pub mod operations;
mod outbound;
pub mod readiness;
pub mod render;
pub mod store;
pub mod xds;

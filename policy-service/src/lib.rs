//! The policy service of Weir: stores policy, compiles it, hands it to filters and Envoys, takes their records.

#![forbid(unsafe_code)]

pub mod clock;
pub mod render;
pub mod operations;
pub mod store;
pub mod xds;

//! Detectors: bytes in, findings out. Knows no policy, no provider, no host.

#![forbid(unsafe_code)]

pub mod finding;

pub use finding::{Finding, Groups, Kind, RuleIndex, RuleInfo, Severity};

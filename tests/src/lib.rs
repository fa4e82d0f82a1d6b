//! Harness of the whole-system tests: a scriptable provider, raw clients, and a mesh of real parts.
//!
//! Nothing here knows how Weir works inside. It starts what a user starts (`weir`, Envoy, the agents and SDKs),
//! plays the provider, and looks at bytes, answers and the admin API.
//!
//! Tests get everything on ephemeral loopback ports and in temporary folders; whatever was started ends with
//! the test process, however that ends (see [`process`]).

pub mod agents;
pub mod client;
pub mod crowd;
pub mod http1;
pub mod mesh;
pub mod namespace;
pub mod parts;
pub mod process;
pub mod provider;
pub mod quotas;
pub mod refused;
pub mod surfaces;
pub mod tap;
pub mod tokens;
pub mod up;
pub mod wait;

/// Says, past the capture of tests' output, that something cannot be tested here and why; `cargo xtask test` counts it.
pub fn not_tested(what: &str, why: &str) {
    use std::io::Write as _;
    // Nobody may be listening.
    writeln!(std::io::stderr(), "NOT TESTED: {what}: {why}").unwrap_or_default();
}

//! The protobuf messages between the filter and the policy service, generated from `proto/`.
//!
//! Messages only by default, so that the filter stays small; the `service` feature adds the gRPC stubs. What quotas
//! say to each other is turned from and into `policy::quota::lease` by [`quota`].

pub mod quota;

/// `weir.mesh.v1`: snapshots to the filters, records from them.
#[allow(
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated code"
)]
pub mod mesh {
    include!(concat!(env!("OUT_DIR"), "/weir.mesh.v1.rs"));

    impl core::fmt::Debug for VaultEntry {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.debug_struct("VaultEntry")
                .field("token", &self.token)
                .field("kind", &self.kind)
                .finish_non_exhaustive()
        }
    }
}

//! Clusters of the mesh as Envoy resources: what they are ([`cluster`]), which are served ([`Clusters`]), and
//! the aggregated discovery server that serves them ([`ads`]).
//!
//! A snapshot may only be enforced by an Envoy that already has the clusters it routes to, and a cluster may
//! only be taken away from Envoys that no longer route to it. [`Clusters`] knows both sides of that.

pub mod ads;
pub mod cluster;
mod proto;
mod served;

pub use cluster::{ASSUMED_DESCRIPTORS, Cluster, TrustAnchors};
pub(crate) use served::Readiness;
pub use served::{Clusters, RefusedClusters, Stream};

//! The clusters a mesh needs, before they are written as protobuf or text.

use std::net::IpAddr;

use policy::compiled::Mesh;
use policy::documents::{BaseUrl, Tls};

/// Metadata namespace of everything Weir tells its own filter through Envoy.
pub const METADATA: &str = "weir";

/// What a connection reads at once and holds besides bodies: no callback of the filter shall get more.
pub const CONNECTION_BUFFER_BYTES: u32 = 64 * 1024;

/// Room above the body cap: the longest splice, and what Envoy holds besides the body.
const BUFFER_HEADROOM_BYTES: u64 = 8 * 1024 * 1024;
/// No route may hold less of a body, whatever the body cap.
const BUFFER_FLOOR_BYTES: u64 = 40 * 1024 * 1024;

/// Time to a usable connection, TLS included; then the next target has its turn.
pub(crate) const CONNECT_TIMEOUT_SECS: u32 = 5;
/// Envoy's defaults (1,024 requests, 3 retries) are for small services; the mesh refuses by policy instead.
pub(crate) const CONCURRENCY_CEILING: u32 = 65_536;
/// Requests that may wait for a connection: as many as begin together, and not all that a mesh could be sent.
const PENDING_CEILING: u32 = 1_024;
/// Descriptors that an Envoy is taken to have when nothing says how many it has.
pub const ASSUMED_DESCRIPTORS: u32 = 65_536;
/// Up to this many providers share alike, so that one more provider rarely changes the clusters of all.
const FEWEST_SHARES: u32 = 8;
/// Silence of a provider while a model thinks must not look like a dead connection to a NAT gateway.
pub(crate) const KEEPALIVE_SECS: u32 = 60;

/// The file with the certificate authorities that providers are verified against, on Envoy's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchors(pub String);

impl Default for TrustAnchors {
    fn default() -> Self {
        Self(String::from("/etc/ssl/certs/ca-certificates.crt"))
    }
}

/// One cluster as Weir means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// `provider/NAME` or `plan/NAME1,NAME2,…`.
    pub name: String,
    pub buffer_limit_bytes: u32,
    pub kind: Kind,
}

/// What a cluster leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One provider.
    Provider {
        provider: String,
        base_url: BaseUrl,
        /// How long a connection without a request is kept. Shorter than the other side keeps it, so that no
        /// request is written to a connection that is about to be closed.
        idle_timeout_ms: u64,
    },
    /// The providers of a plan in their order; attempt N goes to the N-th.
    Plan { providers: Vec<String> },
}

/// How a provider's address is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// The address stands in the base URL.
    Fixed,
    /// A name, resolved again and again. All its addresses are one host to Envoy (logical DNS): connections
    /// to an address that left the answer live on, and a new connection tries the addresses in turn.
    Name,
}

/// Returns the clusters that `mesh` routes to: one for each provider and each plan, by name.
pub fn clusters(mesh: &Mesh) -> Vec<Cluster> {
    let buffer_limit_bytes = CONNECTION_BUFFER_BYTES;
    let providers = mesh.providers.iter().map(|provider| Cluster {
        name: provider_cluster(&provider.name),
        buffer_limit_bytes,
        kind: Kind::Provider {
            provider: provider.name.clone(),
            base_url: provider.base_url.clone(),
            idle_timeout_ms: provider.idle_timeout_ms,
        },
    });
    let plans = mesh.plans.iter().map(|plan| Cluster {
        name: plan.clone(),
        buffer_limit_bytes,
        kind: Kind::Plan {
            providers: plan_providers(plan),
        },
    });
    let mut all: Vec<Cluster> = providers.chain(plans).collect();
    all.sort_by(|left, right| left.name.cmp(&right.name));
    all.dedup_by(|left, right| left.name == right.name);
    all
}

/// Returns the third of an Envoy's descriptors that clients may take together; providers have another, and the
/// last is for everything else.
pub(crate) const fn third(descriptors: u32) -> u32 {
    let third = descriptors / 3;
    if third == 0 { 1 } else { third }
}

/// Connections that one provider's cluster may have and requests that may wait for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) connections: u32,
    pub(crate) pending: u32,
}

impl Room {
    /// Divides the providers' third of `descriptors` among them.
    ///
    /// The shares are those of the next power of two of providers: each change of a cluster costs its connections.
    pub(crate) fn of<'c>(
        descriptors: u32,
        clusters: impl IntoIterator<Item = &'c Cluster>,
    ) -> Self {
        let providers = clusters
            .into_iter()
            .filter(|cluster| matches!(cluster.kind, Kind::Provider { .. }))
            .count();
        let providers = u32::try_from(providers).unwrap_or(u32::MAX);
        let shares = providers
            .max(FEWEST_SHARES)
            .checked_next_power_of_two()
            .unwrap_or(u32::MAX);
        let connections = third(descriptors)
            .checked_div(shares)
            .unwrap_or_default()
            .max(1);
        Self {
            connections,
            pending: connections.min(PENDING_CEILING),
        }
    }
}

/// Returns the limit of a route's request bodies that lets one of `body_cap_bytes` be held and retried.
pub fn held_body_bytes(body_cap_bytes: u64) -> u32 {
    let wanted = body_cap_bytes
        .saturating_add(BUFFER_HEADROOM_BYTES)
        .max(BUFFER_FLOOR_BYTES);
    u32::try_from(wanted).unwrap_or(u32::MAX)
}

/// Returns the name of the cluster of the provider called `name`.
pub fn provider_cluster(name: &str) -> String {
    format!("provider/{name}")
}

fn plan_providers(plan: &str) -> Vec<String> {
    let names = plan.strip_prefix("plan/").unwrap_or(plan);
    names.split(',').map(str::to_owned).collect()
}

impl Cluster {
    /// Returns the room that this cluster has where a provider's has `room`: a plan has no connections of its own.
    pub(crate) const fn room(&self, room: Room) -> Room {
        match self.kind {
            Kind::Provider { .. } => room,
            Kind::Plan { .. } => Room {
                connections: CONCURRENCY_CEILING,
                pending: CONCURRENCY_CEILING,
            },
        }
    }

    /// Returns what the cluster's metadata says about it: a key and a value.
    pub(crate) fn label(&self) -> (&'static str, String) {
        match &self.kind {
            Kind::Provider { provider, .. } => ("provider", provider.clone()),
            Kind::Plan { providers } => ("plan", providers.join(",")),
        }
    }
}

pub(crate) fn discovery(base_url: &BaseUrl) -> Discovery {
    match ip(base_url) {
        Some(_) => Discovery::Fixed,
        None => Discovery::Name,
    }
}

/// Returns the address in `base_url` when it is one rather than a name.
pub(crate) fn ip(base_url: &BaseUrl) -> Option<IpAddr> {
    base_url.host.parse().ok()
}

pub(crate) fn is_verified(base_url: &BaseUrl) -> bool {
    match base_url.tls {
        Tls::Verified => true,
        Tls::Plain => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_lists_its_providers_in_order_with_repeats() {
        assert_eq!(plan_providers("plan/a,b,a"), ["a", "b", "a"]);
    }

    #[test]
    fn routes_hold_the_body_cap_and_more() {
        assert_eq!(held_body_bytes(1), 40 * 1024 * 1024);
        assert_eq!(held_body_bytes(64 * 1024 * 1024), 72 * 1024 * 1024);
        assert_eq!(held_body_bytes(u64::MAX), u32::MAX);
    }

    #[test]
    fn providers_never_have_more_than_their_third() {
        let provider = |number: u32| Cluster {
            name: format!("provider/{number}"),
            buffer_limit_bytes: 1,
            kind: Kind::Provider {
                provider: number.to_string(),
                base_url: "http://127.0.0.1:1".parse().unwrap(),
                idle_timeout_ms: 4_000,
            },
        };
        let plan = Cluster {
            name: String::from("plan/1,2"),
            buffer_limit_bytes: 1,
            kind: Kind::Plan {
                providers: Vec::new(),
            },
        };
        let mut before = u32::MAX;
        for count in 0..300 {
            let all: Vec<Cluster> = (0..count).map(provider).chain([plan.clone()]).collect();
            let room = Room::of(20_000, &all);
            assert!(room.connections * count <= 6_666, "{count}: {room:?}");
            assert!(room.connections <= before && room.connections >= 1);
            before = room.connections;
        }
        let few = |count| Room::of(20_000, &(0..count).map(provider).collect::<Vec<_>>());
        assert_eq!(few(1), few(8));
        assert_eq!(few(9), few(16));
    }

    #[test]
    fn an_address_needs_no_resolver() {
        let base_url = |host: &str| BaseUrl {
            tls: Tls::Plain,
            host: host.to_owned(),
            port: 1,
            path: String::new(),
        };
        assert_eq!(discovery(&base_url("127.0.0.1")), Discovery::Fixed);
        assert_eq!(discovery(&base_url("::1")), Discovery::Fixed);
        assert_eq!(discovery(&base_url("localhost")), Discovery::Name);
    }
}

//! Which clusters are served, who has acknowledged them, and when one may go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envoy_types::pb::google::protobuf::Any;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};
use utoipa::ToSchema;

use crate::xds::cluster::{Cluster, Discovery, Kind, Room, TrustAnchors, discovery};
use crate::xds::proto;

/// How long a snapshot waits for an Envoy to acknowledge the clusters it needs. After that it is handed out
/// all the same: a revocation must not wait for a cluster that an Envoy refuses.
const ACKNOWLEDGE_BOUND: Duration = Duration::from_secs(3);
/// An acknowledgement says that a cluster was accepted; its name is resolved a moment later.
const RESOLVE_GRACE: Duration = Duration::from_millis(300);

/// How many versions a follower may lag behind and still be made to wait for its clusters.
const HISTORY: usize = 64;

/// The clusters of the mesh. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Clusters {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    trust: TrustAnchors,
    /// Makes version texts of different starts of the service different.
    boot: String,
    state: Mutex<State>,
    served: watch::Sender<Arc<Served>>,
    /// Counts acknowledgements, refusals, and streams that come and go.
    moved: watch::Sender<u64>,
}

/// One version of the cluster set, as it is sent.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) version: u64,
    clusters: Vec<Cluster>,
}

#[derive(Debug)]
struct State {
    version: u64,
    /// When each of the latest versions was made, and whether it brought a cluster whose name must be resolved.
    history: BTreeMap<u64, (Instant, NewNames)>,
    needed: BTreeMap<String, Cluster>,
    /// Clusters that the snapshot of the given version no longer needs.
    leaving: BTreeMap<String, (Cluster, u64)>,
    streams: BTreeMap<u64, Stream>,
    next_stream: u64,
    /// Since when a snapshot waits for a node that has no stream.
    waiting: BTreeMap<String, Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NewNames {
    Some,
    None,
}

/// One Envoy's discovery stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Stream {
    pub node_id: String,
    /// The newest version it acknowledged; 0 for none.
    pub acknowledged: u64,
    /// The version it refused last, and what it said.
    pub refused: Option<RefusedClusters>,
    #[serde(skip)]
    opened_at: Instant,
    #[serde(skip)]
    acknowledged_at: Option<Instant>,
}

/// A version that an Envoy refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusedClusters {
    pub version: u64,
    pub because: String,
    /// Those that the reason names; all others of the version are in force.
    pub clusters: Vec<String>,
}

/// Whether a node may be handed a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It has the clusters, or the wait for them is over.
    Ready,
    /// Ask again at this time, or when something moved.
    Wait(Instant),
}

impl Clusters {
    /// Makes an empty set; `boot` tells this start of the service from others.
    pub fn new(boot: impl Into<String>, trust: TrustAnchors) -> Self {
        let state = State {
            version: 0,
            history: BTreeMap::new(),
            needed: BTreeMap::new(),
            leaving: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_stream: 0,
            waiting: BTreeMap::new(),
        };
        let shared = Shared {
            trust,
            boot: boot.into(),
            state: Mutex::new(state),
            served: watch::Sender::new(Arc::new(Served {
                version: 0,
                clusters: Vec::new(),
            })),
            moved: watch::Sender::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Serves `clusters` for the snapshot `snapshot`, and what older snapshots still need.
    ///
    /// Returns the version that an Envoy must have acknowledged before it enforces that snapshot.
    pub fn require(&self, snapshot: u64, clusters: Vec<Cluster>) -> u64 {
        let mut state = self.state();
        let needed: BTreeMap<String, Cluster> = clusters
            .into_iter()
            .map(|cluster| (cluster.name.clone(), cluster))
            .collect();
        if state.version > 0 && needed == state.needed {
            return state.version;
        }
        let is_new = |cluster: &Cluster| is_new_name(&state.needed, cluster);
        let names = if needed.values().any(is_new) {
            NewNames::Some
        } else {
            NewNames::None
        };
        let before = std::mem::replace(&mut state.needed, needed);
        for (name, cluster) in before {
            if !state.needed.contains_key(&name) {
                state.leaving.insert(name, (cluster, snapshot));
            }
        }
        let kept: Vec<String> = state.needed.keys().cloned().collect();
        for name in kept {
            state.leaving.remove(&name);
        }
        self.publish(&mut state, names)
    }

    /// Stops serving the clusters that left with the snapshot `snapshot` or before it.
    pub fn release(&self, snapshot: u64) {
        let mut state = self.state();
        let before = state.leaving.len();
        state
            .leaving
            .retain(|_, (_, left_with)| *left_with > snapshot);
        if state.leaving.len() != before {
            self.publish(&mut state, NewNames::None);
        }
    }

    /// Returns the snapshots with which clusters left that are still served, oldest first.
    pub fn leaving(&self) -> Vec<u64> {
        let mut snapshots: Vec<u64> = self
            .state()
            .leaving
            .values()
            .map(|(_, with)| *with)
            .collect();
        snapshots.sort_unstable();
        snapshots.dedup();
        snapshots
    }

    /// Returns the version that is served.
    pub fn version(&self) -> u64 {
        self.state().version
    }

    /// Returns the discovery streams that are open.
    pub fn streams(&self) -> Vec<Stream> {
        self.state().streams.values().cloned().collect()
    }

    /// Tells when an acknowledgement came or a stream came or went.
    pub(crate) fn moved(&self) -> watch::Receiver<u64> {
        self.shared.moved.subscribe()
    }

    pub(crate) fn served(&self) -> watch::Receiver<Arc<Served>> {
        self.shared.served.subscribe()
    }

    /// Returns `served` as it is sent to an Envoy that has so many descriptors.
    pub(crate) fn resources(&self, served: &Served, descriptors: u32) -> Vec<Any> {
        let room = Room::of(descriptors, &served.clusters);
        served
            .clusters
            .iter()
            .map(|cluster| proto::resource(cluster, &self.shared.trust, room))
            .collect()
    }

    /// Returns the text by which Envoy knows `version`.
    pub(crate) fn version_text(&self, version: u64) -> String {
        format!("{}-{version}", self.shared.boot)
    }

    /// Answers whether every Envoy called `node_id` has the clusters of `version`.
    pub(crate) fn readiness(&self, node_id: &str, version: u64) -> Readiness {
        let now = Instant::now();
        let mut guard = self.state();
        let state = &mut *guard;
        let Some((made_at, names)) = state.history.get(&version).copied() else {
            return Readiness::Ready;
        };
        let of_node = || {
            state
                .streams
                .values()
                .filter(|stream| stream.node_id == node_id)
        };
        let until = if of_node().next().is_none() {
            let since = *state.waiting.entry(node_id.to_owned()).or_insert(now);
            Some(since.max(made_at) + ACKNOWLEDGE_BOUND)
        } else {
            of_node()
                .filter_map(|stream| stream.ready_at(version, made_at, names))
                .max()
        };
        match until {
            Some(until) if until > now => Readiness::Wait(until),
            Some(_) | None => Readiness::Ready,
        }
    }

    pub(crate) fn open(&self, node_id: &str) -> u64 {
        let mut state = self.state();
        let id = state.next_stream;
        state.next_stream = id.saturating_add(1);
        let stream = Stream {
            node_id: node_id.to_owned(),
            acknowledged: 0,
            refused: None,
            opened_at: Instant::now(),
            acknowledged_at: None,
        };
        state.streams.insert(id, stream);
        state.waiting.remove(node_id);
        drop(state);
        info!(%node_id, "envoy takes its clusters from this service");
        self.touch();
        id
    }

    pub(crate) fn close(&self, stream: u64) {
        if let Some(closed) = self.state().streams.remove(&stream) {
            info!(node_id = %closed.node_id, "cluster stream closed");
        }
        self.touch();
    }

    pub(crate) fn acknowledge(&self, stream: u64, version: u64) {
        let mut state = self.state();
        if let Some(stream) = state.streams.get_mut(&stream) {
            stream.acknowledged = stream.acknowledged.max(version);
            stream.acknowledged_at = Some(Instant::now());
            stream.refused = None;
        }
        drop(state);
        self.touch();
    }

    pub(crate) fn refuse(&self, stream: u64, version: u64, because: &str) {
        let mut state = self.state();
        let names = state.needed.keys().chain(state.leaving.keys());
        // `Error adding/updating cluster(s) plan/a,b: …, provider/c: …`
        let clusters = names.filter(|name| because.contains(&format!(" {name}: ")));
        let clusters: Vec<String> = clusters.cloned().collect();
        if let Some(stream) = state.streams.get_mut(&stream) {
            warn!(node_id = %stream.node_id, version, because, "envoy refused clusters");
            stream.refused = Some(RefusedClusters {
                version,
                because: because.to_owned(),
                clusters,
            });
        }
        drop(state);
        self.touch();
    }

    fn publish(&self, state: &mut State, names: NewNames) -> u64 {
        state.version = state.version.saturating_add(1);
        let version = state.version;
        state.history.insert(version, (Instant::now(), names));
        while state.history.len() > HISTORY {
            state.history.pop_first();
        }
        let all = state
            .needed
            .values()
            .chain(state.leaving.values().map(|(cluster, _)| cluster));
        let clusters: Vec<Cluster> = all.cloned().collect();
        info!(version, clusters = clusters.len(), "clusters changed");
        self.shared
            .served
            .send_replace(Arc::new(Served { version, clusters }));
        version
    }

    fn touch(&self) {
        self.shared
            .moved
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before the lock is let go, so a poisoned one is still true.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// Returns until when a snapshot that needs `version` waits for this stream; `None` when it need not.
    fn ready_at(&self, version: u64, made_at: Instant, names: NewNames) -> Option<Instant> {
        // An Envoy that refuses a version has taken the clusters of it that were in order.
        let refused = self
            .refused
            .as_ref()
            .is_some_and(|refused| refused.version >= version);
        match (self.acknowledged_at, names) {
            _ if refused => None,
            (Some(at), NewNames::Some) if self.acknowledged == version => Some(at + RESOLVE_GRACE),
            (Some(_), _) if self.acknowledged >= version => None,
            _ => Some(self.opened_at.max(made_at) + ACKNOWLEDGE_BOUND),
        }
    }
}

fn is_new_name(before: &BTreeMap<String, Cluster>, cluster: &Cluster) -> bool {
    let Kind::Provider { base_url, .. } = &cluster.kind else {
        return false;
    };
    discovery(base_url) == Discovery::Name && before.get(&cluster.name) != Some(cluster)
}

#[cfg(test)]
mod tests {
    use policy::documents::{BaseUrl, Tls};

    use super::*;

    fn provider(name: &str, host: &str) -> Cluster {
        Cluster {
            name: format!("provider/{name}"),
            buffer_limit_bytes: 1,
            kind: Kind::Provider {
                provider: name.to_owned(),
                base_url: BaseUrl {
                    tls: Tls::Plain,
                    host: host.to_owned(),
                    port: 80,
                    path: String::new(),
                },
                idle_timeout_ms: 4_000,
            },
        }
    }

    fn set() -> Clusters {
        Clusters::new("boot", TrustAnchors::default())
    }

    fn served(clusters: &Clusters) -> Vec<String> {
        let state = clusters.state();
        let leaving = state.leaving.keys();
        state.needed.keys().chain(leaving).cloned().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_ready_once_all_its_streams_acknowledged() {
        let clusters = set();
        let version = clusters.require(1, vec![provider("a", "127.0.0.1")]);
        let (first, second) = (clusters.open("node"), clusters.open("node"));
        clusters.open("other node");
        clusters.acknowledge(first, version);
        assert!(matches!(
            clusters.readiness("node", version),
            Readiness::Wait(_)
        ));
        clusters.acknowledge(second, version);
        assert_eq!(clusters.readiness("node", version), Readiness::Ready);
        assert!(matches!(
            clusters.readiness("other node", version),
            Readiness::Wait(_)
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_an_acknowledgement_is_bounded() {
        let clusters = set();
        let first = clusters.require(1, vec![provider("a", "127.0.0.1")]);
        clusters.open("silent");
        for node in ["silent", "absent"] {
            assert!(matches!(
                clusters.readiness(node, first),
                Readiness::Wait(_)
            ));
        }
        tokio::time::advance(ACKNOWLEDGE_BOUND).await;
        for node in ["silent", "absent"] {
            assert_eq!(clusters.readiness(node, first), Readiness::Ready);
        }
        let second = clusters.require(2, vec![provider("b", "127.0.0.1")]);
        assert_eq!(
            clusters.readiness("silent", first),
            Readiness::Ready,
            "the older wait is over"
        );
        assert!(matches!(
            clusters.readiness("silent", second),
            Readiness::Wait(_)
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_version_is_visible_and_not_waited_for() {
        let clusters = set();
        let version = clusters.require(1, vec![provider("a", "127.0.0.1")]);
        let stream = clusters.open("node");
        let because = "Error adding/updating cluster(s) provider/a: no such file";
        clusters.refuse(stream, version, because);
        assert_eq!(clusters.readiness("node", version), Readiness::Ready);
        assert_eq!(
            clusters.streams()[0].refused,
            Some(RefusedClusters {
                version,
                because: because.to_owned(),
                clusters: vec![String::from("provider/a")],
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_clusters_that_a_refusal_names_are_told() {
        let clusters = set();
        let hosts = ["a", "ab", "b"].map(|name| provider(name, "127.0.0.1"));
        let version = clusters.require(1, hosts.into());
        let stream = clusters.open("node");
        for (because, want) in [
            ("cluster(s) provider/ab: x", vec!["provider/ab"]),
            (
                "cluster(s) provider/a: x, provider/b: y",
                vec!["provider/a", "provider/b"],
            ),
            ("no cluster is named", vec![]),
        ] {
            clusters.refuse(stream, version, because);
            let refused = clusters.streams()[0].refused.clone().unwrap();
            assert_eq!(refused.clusters, want, "{because}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_name_is_given_time_to_resolve() {
        let clusters = set();
        let version = clusters.require(1, vec![provider("a", "localhost")]);
        let stream = clusters.open("node");
        clusters.acknowledge(stream, version);
        assert!(matches!(
            clusters.readiness("node", version),
            Readiness::Wait(_)
        ));
        tokio::time::advance(RESOLVE_GRACE).await;
        assert_eq!(clusters.readiness("node", version), Readiness::Ready);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_clusters_are_the_same_version() {
        let clusters = set();
        let first = clusters.require(1, vec![provider("a", "127.0.0.1")]);
        assert_eq!(clusters.require(2, vec![provider("a", "127.0.0.1")]), first);
        assert!(clusters.require(3, vec![provider("a", "127.0.0.2")]) > first);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_goes_only_when_it_is_released() {
        let clusters = set();
        clusters.require(
            1,
            vec![provider("a", "127.0.0.1"), provider("b", "127.0.0.1")],
        );
        clusters.require(2, vec![provider("a", "127.0.0.1")]);
        assert_eq!(served(&clusters), ["provider/a", "provider/b"]);
        assert_eq!(clusters.leaving(), [2]);
        clusters.release(1);
        assert_eq!(served(&clusters), ["provider/a", "provider/b"]);
        clusters.release(2);
        assert_eq!(served(&clusters), ["provider/a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_comes_back_stays() {
        let clusters = set();
        clusters.require(1, vec![provider("a", "127.0.0.1")]);
        clusters.require(2, Vec::new());
        clusters.require(3, vec![provider("a", "127.0.0.1")]);
        clusters.release(3);
        assert_eq!(served(&clusters), ["provider/a"]);
        assert!(clusters.leaving().is_empty());
    }
}

//! What happens when nothing happens: silent VMs are settled, clusters that nobody needs are taken away.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::error;

use crate::mesh::fleet::{Fleet, SILENCE, VmName};
use crate::mesh::publisher::Version;
use crate::mesh::snapshot::Generation;
use crate::operations::exchanges::{self, VmOrigin};
use crate::operations::vault;
use crate::store::Store;
use crate::xds::Clusters;

const ROUND: Duration = Duration::from_secs(1);
/// Exchanges that were routed by the version before are under way by then.
const LINGER: Duration = Duration::from_secs(5);
/// Old values go at the latest this long after their time.
const VAULT_ROUND: Duration = Duration::from_secs(10 * 60);
/// A silent VM whose process lives is busy, or was replaced after a trap; after this time it is taken for gone.
const VOUCHED: Duration = Duration::from_secs(60);
/// A cluster goes after this time even if some filter never said that it can do without.
const LINGER_CEILING: Duration = Duration::from_secs(10 * 60);

/// A VM that has not been heard of for a while.
struct Silent {
    node_id: String,
    since: Instant,
}

pub(crate) struct Sweeper {
    store: Store,
    fleet: Fleet,
    clusters: Clusters,
    generation: Generation,
    started_at: Instant,
    /// VMs of an earlier run of the service have been looked for.
    has_looked_back: bool,
    /// Silent VMs whose exchanges are not settled yet.
    unsettled: BTreeMap<VmName, Silent>,
    /// For each snapshot with which clusters left: since when that is known, and since when all filters apply it.
    leaving: BTreeMap<u64, (Instant, Option<Instant>)>,
    vault_cleared_at: Option<Instant>,
}

impl Sweeper {
    pub(crate) fn new(
        store: Store,
        fleet: Fleet,
        clusters: Clusters,
        generation: Generation,
    ) -> Self {
        Self {
            store,
            fleet,
            clusters,
            generation,
            started_at: Instant::now(),
            has_looked_back: false,
            unsettled: BTreeMap::new(),
            leaving: BTreeMap::new(),
            vault_cleared_at: None,
        }
    }

    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(ROUND) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            self.look_back().await;
            self.settle().await;
            self.release();
            self.clear_vault().await;
        }
    }

    /// Finds VMs that ran exchanges when the service was last up and have not been heard of since.
    async fn look_back(&mut self) {
        if self.has_looked_back || self.started_at.elapsed() < SILENCE * 2 {
            return;
        }
        match exchanges::running_vms(&self.store).await {
            Ok(origins) => {
                self.has_looked_back = true;
                let names = origins.into_iter().map(|origin| VmName {
                    process: origin.process_id,
                    vm: origin.vm_id,
                });
                let since = Instant::now();
                let silent = |name| {
                    let node_id = String::new();
                    (name, Silent { node_id, since })
                };
                let unheard = names.filter(|name| !self.fleet.knows(name));
                self.unsettled.extend(unheard.map(silent));
            }
            Err(failure) => {
                error!(failure = %crate::mesh::chain(&failure), "cannot look for lost exchanges")
            }
        }
    }

    /// Deletes what was not used for its time to live.
    async fn clear_vault(&mut self) {
        if self
            .vault_cleared_at
            .is_some_and(|at| at.elapsed() < VAULT_ROUND)
        {
            return;
        }
        self.vault_cleared_at = Some(Instant::now());
        if let Err(failure) = vault::sweep(&self.store).await {
            error!(failure = %crate::mesh::chain(&failure), "old vault entries are not deleted");
        }
    }

    pub(crate) async fn settle(&mut self) {
        let now = Instant::now();
        for (name, node_id) in self.fleet.take_silent() {
            let silent = Silent {
                node_id,
                since: now,
            };
            self.unsettled.entry(name).or_insert(silent);
        }
        let nodes = self.nodes();
        for (name, silent) in std::mem::take(&mut self.unsettled) {
            if self.fleet.knows(&name) {
                continue;
            }
            let is_vouched = self.fleet.is_vouched(&name, &silent.node_id, &nodes);
            if is_vouched && now.duration_since(silent.since) < VOUCHED {
                self.unsettled.insert(name, silent);
                continue;
            }
            let origin = VmOrigin {
                process_id: name.process.clone(),
                vm_id: name.vm.clone(),
            };
            if let Err(failure) = exchanges::settle_lost(&self.store, &origin).await {
                error!(failure = %crate::mesh::chain(&failure), "exchanges of a lost filter VM are not settled");
                self.unsettled.insert(name, silent);
            }
        }
    }

    /// The Envoys that hold a stream open.
    fn nodes(&self) -> BTreeSet<String> {
        let streams = self.clusters.streams().into_iter();
        streams.map(|stream| stream.node_id).collect()
    }

    pub(crate) fn release(&mut self) {
        let now = Instant::now();
        let nodes = self.nodes();
        let snapshots = self.clusters.leaving();
        self.leaving
            .retain(|snapshot, _| snapshots.contains(snapshot));
        for snapshot in snapshots {
            let wanted = Version {
                generation: self.generation,
                version: snapshot,
            };
            let applied = self.fleet.all_apply(wanted, &nodes);
            let (known_at, applied_at) = self.leaving.entry(snapshot).or_insert((now, None));
            *applied_at = applied.then(|| applied_at.unwrap_or(now));
            let lingered = applied_at.is_some_and(|at| now.duration_since(at) >= LINGER);
            if lingered || now.duration_since(*known_at) >= LINGER_CEILING {
                self.clusters.release(snapshot);
            }
        }
    }
}

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
/// A cluster goes after this time even if some filter never said that it can do without.
const LINGER_CEILING: Duration = Duration::from_secs(10 * 60);

pub(crate) struct Sweeper {
    store: Store,
    fleet: Fleet,
    clusters: Clusters,
    generation: Generation,
    started_at: Instant,
    /// VMs of an earlier run of the service have been looked for.
    has_looked_back: bool,
    /// VMs that are gone and whose exchanges are not settled yet.
    unsettled: BTreeSet<VmName>,
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
            unsettled: BTreeSet::new(),
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
                self.unsettled
                    .extend(names.filter(|name| !self.fleet.knows(name)));
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
        self.unsettled.extend(self.fleet.take_silent());
        for name in std::mem::take(&mut self.unsettled) {
            if self.fleet.knows(&name) {
                continue;
            }
            let origin = VmOrigin {
                process_id: name.process.clone(),
                vm_id: name.vm.clone(),
            };
            if let Err(failure) = exchanges::settle_lost(&self.store, &origin).await {
                error!(failure = %crate::mesh::chain(&failure), "exchanges of a lost filter VM are not settled");
                self.unsettled.insert(name);
            }
        }
    }

    pub(crate) fn release(&mut self) {
        let now = Instant::now();
        let nodes: BTreeSet<String> = self
            .clusters
            .streams()
            .into_iter()
            .map(|stream| stream.node_id)
            .collect();
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

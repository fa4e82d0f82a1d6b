//! The filter VMs that report to this service: what each applies, and when it was last heard of.

mod guards;
mod headers;
mod quotas;
mod totals;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tracing::{info, warn};
use utoipa::ToSchema;
use wire::mesh::{ReportRequest, VmCounters};

pub use guards::{Lack, Unproven};
pub use headers::{DroppedHeader, DroppedHeaders};
pub use quotas::UnprovenQuota;
pub(crate) use totals::{Denied, Totals};

use crate::mesh::fleet::totals::Gone;
use crate::mesh::publisher::Version;

/// A VM that is silent for longer is not counted on. VMs report every two seconds when idle.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);
/// All VMs of a process have reported once in this time after the first.
const GROWING: Duration = Duration::from_millis(2_500);
/// Refused snapshots that are remembered.
const REFUSALS: usize = 64;

/// One VM of one Envoy process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct VmName {
    #[serde(serialize_with = "as_hex")]
    #[schema(value_type = String)]
    pub process: Vec<u8>,
    #[serde(serialize_with = "as_hex")]
    #[schema(value_type = String)]
    pub vm: Vec<u8>,
}

/// One Envoy process that reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub id: Vec<u8>,
    pub node_id: String,
    pub vms: usize,
    /// A VM appeared so lately that others may follow.
    pub is_growing: bool,
}

/// What a VM said last.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Vm {
    pub name: VmName,
    pub node_id: String,
    #[serde(serialize_with = "as_hex")]
    #[schema(value_type = String)]
    pub generation: Vec<u8>,
    pub version: u64,
    pub running: usize,
    pub silent_ms: u64,
    pub counters: Counters,
}

/// Counters of a VM since its start.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct Counters {
    pub exchanges: u64,
    pub refusals: u64,
    pub records_dropped: u64,
    pub resumed_by_watchdog: u64,
    pub stray_inputs: u64,
    pub memory_bytes: u64,
    /// Refusals of requests without a key that were too many to record.
    pub refusals_unrecorded: u64,
    /// Texts that were searched by guardrails, and texts whose verdict was known.
    pub guard_blocks_scanned: u64,
    pub guard_cache_hits: u64,
    pub guard_bytes_scanned: u64,
    pub guard_findings: u64,
    /// Tokens in answers whose value nobody knew.
    pub guard_unknown_tokens: u64,
    /// Exchanges that quotas apply to, how many of them waited for the service, and for how long all together.
    pub quota_exchanges: u64,
    pub quota_waits: u64,
    pub quota_wait_ms: u64,
    /// Grants asked for, those for streams under way included.
    pub quota_grants: u64,
    /// Streams that were cut.
    pub quota_cuts: u64,
    /// Settlements that the service has not acknowledged.
    pub quota_unsettled: u64,
}

/// A snapshot that a filter would not apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusedSnapshot {
    pub node_id: String,
    #[serde(serialize_with = "as_hex")]
    #[schema(value_type = String)]
    pub process: Vec<u8>,
    pub version: u64,
    pub because: String,
}

/// All VMs that report here. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    vms: BTreeMap<VmName, Seen>,
    refused: VecDeque<RefusedSnapshot>,
    gone: Gone,
}

#[derive(Debug)]
struct Seen {
    node_id: String,
    generation: Vec<u8>,
    version: u64,
    running: usize,
    appeared_at: Instant,
    at: Instant,
    counters: Counters,
    denials: BTreeMap<Denied, u64>,
    proxy_replies: BTreeMap<&'static str, u64>,
    dropped: headers::Dropped,
    proof: Option<guards::Proof>,
}

impl Seen {
    fn applies(&self, wanted: Version) -> bool {
        self.generation == wanted.generation && self.version >= wanted.version
    }
}

impl Fleet {
    /// Takes in what a VM says about itself.
    pub(crate) fn heard(&self, report: &ReportRequest) {
        let name = VmName {
            process: report.process_id.clone(),
            vm: report.vm_id.clone(),
        };
        let now = Instant::now();
        let mut state = self.state();
        let appeared_at = state
            .vms
            .get(&name)
            .map_or(now, |before| before.appeared_at);
        let seen = Seen {
            node_id: report.node_id.clone(),
            generation: report.generation.clone(),
            version: report.version,
            running: report.running.len(),
            appeared_at,
            at: now,
            counters: report
                .counters
                .as_ref()
                .map(Counters::from)
                .unwrap_or_default(),
            denials: totals::denials(report.counters.as_ref()),
            proxy_replies: totals::proxy_replies(report.counters.as_ref()),
            dropped: headers::Dropped::read(report.counters.as_ref()),
            proof: report.proof.as_ref().map(guards::Proof::read),
        };
        // Its counters go on where they were.
        state.gone.forget(&name);
        state.vms.insert(name, seen);
    }

    /// Remembers a snapshot that a filter refused; says it once in the log.
    pub(crate) fn refused(&self, refused: RefusedSnapshot) {
        let mut state = self.state();
        if state.refused.contains(&refused) {
            return;
        }
        warn!(
            node_id = %refused.node_id,
            version = refused.version,
            because = %refused.because,
            "a filter refused a snapshot and goes on with the one before"
        );
        if state.refused.len() == REFUSALS {
            state.refused.pop_front();
        }
        state.refused.push_back(refused);
    }

    /// Forgets the VMs that have been silent for too long and returns them, each with the name of its Envoy.
    pub(crate) fn take_silent(&self) -> Vec<(VmName, String)> {
        let now = Instant::now();
        let mut silent = Vec::new();
        let mut state = self.state();
        let State { vms, gone, .. } = &mut *state;
        vms.retain(|name, seen| {
            let is_silent = now.duration_since(seen.at) > SILENCE;
            if is_silent {
                info!(node_id = %seen.node_id, running = seen.running, "a filter VM is silent");
                gone.note(name, Totals::of(seen));
                silent.push((name.clone(), seen.node_id.clone()));
            }
            !is_silent
        });
        silent
    }

    /// Whether something says that the process of a silent VM lives: another VM of it reports, or its Envoy, which
    /// `nodes` has, holds its stream open and no later process of that name has come in its place.
    pub(crate) fn is_vouched(
        &self,
        name: &VmName,
        node_id: &str,
        nodes: &BTreeSet<String>,
    ) -> bool {
        let state = self.state();
        let mut names = state.vms.keys();
        let mut of_node = state.vms.iter().filter(|(_, seen)| seen.node_id == node_id);
        names.any(|other| other.process == name.process)
            || (nodes.contains(node_id) && of_node.all(|(other, _)| other.process == name.process))
    }

    /// Whether a VM of that name reports.
    pub(crate) fn knows(&self, name: &VmName) -> bool {
        self.state().vms.contains_key(name)
    }

    /// Whether every VM applies `wanted` or newer, and each of `nodes` has a VM that says so.
    pub(crate) fn all_apply(&self, wanted: Version, nodes: &BTreeSet<String>) -> bool {
        let state = self.state();
        let present: BTreeSet<&str> = state
            .vms
            .values()
            .map(|seen| seen.node_id.as_str())
            .collect();
        state.vms.values().all(|seen| seen.applies(wanted))
            && nodes.iter().all(|node| present.contains(node.as_str()))
    }

    /// Returns the VMs that report.
    pub fn vms(&self) -> Vec<Vm> {
        let now = Instant::now();
        let view = |(name, seen): (&VmName, &Seen)| Vm {
            name: name.clone(),
            node_id: seen.node_id.clone(),
            generation: seen.generation.clone(),
            version: seen.version,
            running: seen.running,
            silent_ms: u64::try_from(now.duration_since(seen.at).as_millis()).unwrap_or(u64::MAX),
            counters: seen.counters,
        };
        self.state().vms.iter().map(view).collect()
    }

    /// Returns the oldest version that a VM applies in place of `wanted`; 0 for one of another service.
    pub(crate) fn behind(&self, wanted: Version) -> Option<u64> {
        let state = self.state();
        let others = state.vms.values().filter(|seen| !seen.applies(wanted));
        let of_ours = |seen: &Seen| {
            if seen.generation == wanted.generation {
                seen.version
            } else {
                0
            }
        };
        others.map(of_ours).min()
    }

    /// Returns the snapshots that filters refused, oldest first.
    pub fn refused_snapshots(&self) -> Vec<RefusedSnapshot> {
        self.state().refused.iter().cloned().collect()
    }

    /// Returns the Envoy processes that report.
    pub fn processes(&self) -> Vec<Process> {
        let now = Instant::now();
        let mut processes: BTreeMap<Vec<u8>, Process> = BTreeMap::new();
        for (name, seen) in &self.state().vms {
            let process = processes
                .entry(name.process.clone())
                .or_insert_with(|| Process {
                    id: name.process.clone(),
                    node_id: seen.node_id.clone(),
                    vms: 0,
                    is_growing: false,
                });
            process.vms += 1;
            process.is_growing |= now.duration_since(seen.appeared_at) < GROWING;
        }
        processes.into_values().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The maps are whole between any two of their operations, so a poisoned lock still guards good ones.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&VmCounters> for Counters {
    fn from(counters: &VmCounters) -> Self {
        Self {
            exchanges: counters.exchanges,
            refusals: counters.refusals,
            records_dropped: counters.records_dropped,
            resumed_by_watchdog: counters.resumed_by_watchdog,
            stray_inputs: counters.stray_inputs,
            memory_bytes: counters.memory_bytes,
            refusals_unrecorded: counters.refusals_unrecorded,
            guard_blocks_scanned: counters.guard_blocks_scanned,
            guard_cache_hits: counters.guard_cache_hits,
            guard_bytes_scanned: counters.guard_bytes_scanned,
            guard_findings: counters.guard_findings,
            guard_unknown_tokens: counters.guard_unknown_tokens,
            quota_exchanges: counters.quota_exchanges,
            quota_waits: counters.quota_waits,
            quota_wait_ms: counters.quota_wait_ms,
            quota_grants: counters.quota_grants,
            quota_cuts: counters.quota_cuts,
            quota_unsettled: counters.quota_unsettled,
        }
    }
}

fn as_hex<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(vm: u8, version: u64) -> ReportRequest {
        ReportRequest {
            node_id: String::from("node"),
            process_id: vec![1],
            vm_id: vec![vm],
            generation: vec![9; 16],
            version,
            ..ReportRequest::default()
        }
    }

    fn wanted(version: u64) -> Version {
        Version {
            generation: [9; 16],
            version,
        }
    }

    #[test]
    fn a_version_is_applied_when_every_vm_says_so() {
        let fleet = Fleet::default();
        fleet.heard(&report(1, 4));
        fleet.heard(&report(2, 3));
        assert!(fleet.all_apply(wanted(3), &BTreeSet::new()));
        assert!(!fleet.all_apply(wanted(4), &BTreeSet::new()));
        assert!(!fleet.all_apply(wanted(3), &BTreeSet::from([String::from("silent node")])));
    }

    fn vm(vm: u8) -> VmName {
        VmName {
            process: vec![1],
            vm: vec![vm],
        }
    }

    #[test]
    fn a_silent_vm_is_vouched_for_by_what_lives_of_its_process() {
        let none = BTreeSet::new();
        let open = BTreeSet::from([String::from("node")]);
        let fleet = Fleet::default();
        // Nothing else reports: the process may be stopped, or gone.
        assert!(!fleet.is_vouched(&vm(1), "node", &none));
        assert!(fleet.is_vouched(&vm(1), "node", &open));
        assert!(!fleet.is_vouched(&vm(1), "other", &open));
        fleet.heard(&report(2, 1));
        assert!(fleet.is_vouched(&vm(1), "node", &none));
        // A process of the same Envoy that was started anew holds the stream now.
        let fleet = Fleet::default();
        fleet.heard(&ReportRequest {
            process_id: vec![2],
            ..report(1, 1)
        });
        assert!(!fleet.is_vouched(&vm(1), "node", &open));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_vm_is_forgotten_once() {
        let fleet = Fleet::default();
        fleet.heard(&report(1, 1));
        tokio::time::advance(SILENCE / 2).await;
        fleet.heard(&report(2, 1));
        assert!(fleet.take_silent().is_empty());
        tokio::time::advance(SILENCE / 2 + Duration::from_millis(1)).await;
        assert_eq!(fleet.take_silent(), [(vm(1), String::from("node"))]);
        assert!(fleet.take_silent().is_empty());
        assert_eq!(fleet.vms().len(), 1);
    }

    #[test]
    fn a_refusal_is_kept_once() {
        let fleet = Fleet::default();
        let refused = RefusedSnapshot {
            node_id: String::from("node"),
            process: vec![1],
            version: 3,
            because: String::from("unknown field"),
        };
        fleet.refused(refused.clone());
        fleet.refused(refused.clone());
        assert_eq!(fleet.refused_snapshots(), [refused]);
    }
}

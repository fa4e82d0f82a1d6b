//! Counting answers against the workers that owe one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::mesh::{Lack, Process, Unproven, UnprovenQuota, Version};
use crate::readiness::canary::Answer;

/// What was answered under one version.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    version: Version,
    generation: String,
    workers: Option<usize>,
    /// VMs that answered, by process, in hexadecimal.
    answered: BTreeMap<String, BTreeSet<String>>,
    /// The highest version among answers that are too old.
    behind: Option<u64>,
}

/// Why a proof is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shortfall {
    NobodyReports,
    NobodyAnswers,
    Behind {
        version: u64,
        wanted: u64,
    },
    Workers {
        node_id: String,
        answered: usize,
        expected: usize,
    },
    StillAppearing {
        node_id: String,
    },
    /// A guardrail that some VM does not prove; VMs, and guardrails, that lack proof together.
    Guardrail {
        first: Unproven,
        count: usize,
    },
    /// A quota that is not enforced.
    Quota(UnprovenQuota),
    /// Clusters that an Envoy did not take: what is routed to them is refused there.
    Clusters {
        node_id: String,
        version: u64,
        clusters: Vec<String>,
        because: String,
    },
}

impl Proof {
    pub(crate) fn new(version: Version, workers: Option<usize>) -> Self {
        Self {
            version,
            generation: hex::encode(version.generation),
            workers,
            answered: BTreeMap::new(),
            behind: None,
        }
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn take(&mut self, answer: &Answer) {
        if answer.generation == self.generation && answer.version >= self.version.version {
            self.answered
                .entry(answer.process.clone())
                .or_default()
                .insert(answer.vm.clone());
        } else {
            self.behind = Some(answer.version);
        }
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered.values().map(BTreeSet::len).sum()
    }

    pub(crate) fn expected(&self, processes: &[Process]) -> usize {
        processes.iter().map(|process| self.owed(process)).sum()
    }

    /// Returns what is missing before every VM of `processes` has said that it applies the version; where no
    /// canary can be sent, their word is all there is. `behind` is what the last of them applies.
    pub(crate) fn unreported(
        &self,
        processes: &[Process],
        behind: Option<u64>,
    ) -> Option<Shortfall> {
        if processes.is_empty() {
            return Some(Shortfall::NobodyReports);
        }
        if let Some(version) = behind {
            return Some(Shortfall::Behind {
                version,
                wanted: self.version.version,
            });
        }
        processes.iter().find_map(|process| {
            let node_id = process.node_id.clone();
            let (reported, expected) = (process.vms.saturating_sub(1), self.owed(process));
            if reported < expected && self.workers.is_some() {
                return Some(Shortfall::Workers {
                    node_id,
                    answered: reported,
                    expected,
                });
            }
            let is_open = self.workers.is_none() && process.is_growing;
            is_open.then_some(Shortfall::StillAppearing { node_id })
        })
    }

    /// Returns what is missing before every worker of `processes` has answered.
    pub(crate) fn shortfall(&self, processes: &[Process]) -> Option<Shortfall> {
        if processes.is_empty() {
            return Some(Shortfall::NobodyReports);
        }
        let lacking = processes.iter().find_map(|process| self.lacking(process))?;
        match (self.behind, self.answered()) {
            (Some(version), 0) => Some(Shortfall::Behind {
                version,
                wanted: self.version.version,
            }),
            (None, 0) => Some(Shortfall::NobodyAnswers),
            (Some(_) | None, _) => Some(lacking),
        }
    }

    fn lacking(&self, process: &Process) -> Option<Shortfall> {
        let expected = self.owed(process);
        let answered = self
            .answered
            .get(&hex::encode(&process.id))
            .map_or(0, BTreeSet::len);
        if answered < expected {
            return Some(Shortfall::Workers {
                node_id: process.node_id.clone(),
                answered,
                expected,
            });
        }
        let is_open = self.workers.is_none() && process.is_growing;
        is_open.then(|| Shortfall::StillAppearing {
            node_id: process.node_id.clone(),
        })
    }

    /// Returns how many workers of `process` must answer; the main thread's VM cannot.
    fn owed(&self, process: &Process) -> usize {
        self.workers.unwrap_or(process.vms.saturating_sub(1)).max(1)
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyReports => f.write_str(
                "no filter reports to this service; does the cluster `weir_policy` reach it with the right token?",
            ),
            Self::NobodyAnswers => f.write_str("no worker has answered a canary"),
            Self::Behind { version, wanted } => {
                write!(f, "workers enforce version {version}, not yet version {wanted}")
            }
            Self::Workers { node_id, answered, expected } => write!(
                f,
                "{answered} of {expected} workers of the Envoy `{node_id}` have answered; do the mesh URLs reach it?"
            ),
            Self::StillAppearing { node_id } => {
                write!(f, "workers of the Envoy `{node_id}` are still being counted")
            }
            Self::Quota(unproven) => f.write_str(&told(unproven)),
            Self::Clusters { node_id, version, clusters, because } => {
                let which = if clusters.is_empty() {
                    String::from("clusters")
                } else {
                    format!("`{}`", clusters.join("`, `"))
                };
                write!(f, "the Envoy `{node_id}` refused {which} of cluster version {version}: {because}")
            }
            Self::Guardrail { first, count } => {
                let Unproven { guardrail, node_id, vm, lack } = first;
                let vm = hex::encode(&vm.vm);
                match lack {
                    Lack::NotTried => write!(
                        f,
                        "the filter VM {vm} of the Envoy `{node_id}` has not tried the canary of guardrail `{guardrail}`"
                    )?,
                    Lack::NotFound { problem } => write!(
                        f,
                        "the filter VM {vm} of the Envoy `{node_id}` does not find the canary of guardrail `{guardrail}`: {problem}"
                    )?,
                }
                match count.saturating_sub(1) {
                    0 => Ok(()),
                    others => write!(f, " (and {others} more)"),
                }
            }
        }
    }
}

fn told(unproven: &UnprovenQuota) -> String {
    let which = match &unproven.quota {
        Some(quota) => format!("the quota `{quota}`"),
        None => String::from("quotas"),
    };
    let by = match (&unproven.node_id, &unproven.vm) {
        (Some(node_id), Some(vm)) => {
            let vm = hex::encode(&vm.vm);
            format!(" by the filter VM {vm} of the Envoy `{node_id}`")
        }
        (Some(_) | None, _) => String::new(),
    };
    match &unproven.lack {
        Lack::NotTried => format!("{which}: not proven yet{by}"),
        Lack::NotFound { problem } => format!("{which}: not enforced{by}: {problem}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: Version = Version {
        generation: [1; 16],
        version: 5,
    };

    fn answer(vm: u8, version: u64) -> Answer {
        let answer = serde_json::json!({
            "vm": hex::encode([vm]), "process": "aa", "generation": hex::encode([1; 16]),
            "version": version, "body_bytes": 1,
        });
        serde_json::from_value(answer).unwrap()
    }

    fn process(vms: usize, is_growing: bool) -> Process {
        Process {
            id: vec![0xaa],
            node_id: String::from("node"),
            vms,
            is_growing,
        }
    }

    #[track_caller]
    fn check(
        workers: Option<usize>,
        answers: &[(u8, u64)],
        processes: &[Process],
        want: Option<Shortfall>,
    ) {
        let mut proof = Proof::new(VERSION, workers);
        for (vm, version) in answers {
            proof.take(&answer(*vm, *version));
        }
        assert_eq!(proof.shortfall(processes), want);
    }

    #[track_caller]
    fn check_reported(
        workers: Option<usize>,
        processes: &[Process],
        behind: Option<u64>,
        want: Option<Shortfall>,
    ) {
        let proof = Proof::new(VERSION, workers);
        assert_eq!(proof.unreported(processes, behind), want);
    }

    #[test]
    fn reports_are_enough_where_no_canary_can_be_sent() {
        check_reported(None, &[process(3, false)], None, None);
        check_reported(Some(2), &[process(3, true)], None, None);
        check_reported(None, &[], None, Some(Shortfall::NobodyReports));
        let behind = Some(Shortfall::Behind {
            version: 4,
            wanted: 5,
        });
        check_reported(None, &[process(3, false)], Some(4), behind);
        let growing = Some(Shortfall::StillAppearing {
            node_id: String::from("node"),
        });
        check_reported(None, &[process(3, true)], None, growing);
        check_reported(Some(4), &[process(3, false)], None, workers(2, 4));
    }

    #[test]
    fn an_unproven_guardrail_is_named_with_its_worker() {
        let first = Unproven {
            guardrail: String::from("pii"),
            node_id: String::from("node"),
            vm: crate::mesh::VmName {
                process: vec![1],
                vm: vec![0xab],
            },
            lack: Lack::NotFound {
                problem: String::from("no list"),
            },
        };
        assert_eq!(
            Shortfall::Guardrail { first, count: 3 }.to_string(),
            "the filter VM ab of the Envoy `node` does not find the canary of guardrail `pii`: no list (and 2 more)"
        );
    }

    fn workers(answered: usize, expected: usize) -> Option<Shortfall> {
        Some(Shortfall::Workers {
            node_id: String::from("node"),
            answered,
            expected,
        })
    }

    #[test]
    fn all_vms_but_the_main_threads_must_answer() {
        check(None, &[(1, 5), (2, 6)], &[process(3, false)], None);
        check(None, &[(1, 5), (1, 5)], &[process(3, false)], workers(1, 2));
    }

    #[test]
    fn known_workers_need_no_counting() {
        check(Some(2), &[(1, 5), (2, 5)], &[process(1, true)], None);
        check(
            Some(3),
            &[(1, 5), (2, 5)],
            &[process(3, false)],
            workers(2, 3),
        );
    }

    #[test]
    fn counting_waits_until_no_more_vms_appear() {
        let still = Some(Shortfall::StillAppearing {
            node_id: String::from("node"),
        });
        check(None, &[(1, 5)], &[process(1, true)], still);
    }

    #[test]
    fn an_old_version_proves_nothing() {
        check(
            Some(1),
            &[(1, 4)],
            &[process(2, false)],
            Some(Shortfall::Behind {
                version: 4,
                wanted: 5,
            }),
        );
    }

    #[test]
    fn silence_is_named() {
        check(None, &[], &[], Some(Shortfall::NobodyReports));
        check(
            None,
            &[],
            &[process(2, false)],
            Some(Shortfall::NobodyAnswers),
        );
    }
}

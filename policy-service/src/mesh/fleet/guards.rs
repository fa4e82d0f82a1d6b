//! What VMs say about the canaries of guardrails, against what they must have found.

use std::collections::BTreeMap;

use policy::ids::GuardrailId;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::mesh::GuardProof;

use super::{Fleet, Seen, VmName};
use crate::mesh::publisher::Version;

/// More guardrails than a mesh can have are not remembered.
const MAX_GUARDRAILS: usize = 256;
/// A reason is shown to people, not kept as a document.
const REASON_CHARS: usize = 300;

/// A VM that has not shown that it enforces a guardrail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Unproven {
    pub guardrail: String,
    pub node_id: String,
    pub vm: VmName,
    #[serde(flatten)]
    pub lack: Lack,
}

/// Why a guardrail is not proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "lack")]
pub enum Lack {
    /// The VM has not said yet what it finds under this version; it will by itself.
    NotTried,
    /// The VM's own detection does not find the guardrail's canary.
    NotFound { problem: String },
}

/// What one VM found under one version.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) version: u64,
    /// How many quotas the VM enforces, and why not all.
    pub(super) quotas: (u64, String),
    /// `None` for a canary that was found.
    guardrails: BTreeMap<GuardrailId, Option<String>>,
}

impl Proof {
    pub(super) fn read(proof: &GuardProof) -> Self {
        let told = proof.guardrails.iter().take(MAX_GUARDRAILS);
        let guardrails = told.filter_map(|told| {
            let id = GuardrailId::new(Uuid::from_slice(&told.guardrail_id).ok()?);
            let problem = (!told.found).then(|| told.problem.chars().take(REASON_CHARS).collect());
            Some((id, problem))
        });
        Self {
            version: proof.version,
            quotas: (
                proof.quotas_proven,
                proof.quota_problem.chars().take(REASON_CHARS).collect(),
            ),
            guardrails: guardrails.collect(),
        }
    }
}

impl Seen {
    /// What the VM lacks to have proven `guardrail` under `wanted`.
    fn lack(&self, wanted: Version, guardrail: GuardrailId) -> Option<Lack> {
        let proof = self.proof.as_ref();
        let told = proof
            .filter(|proof| proof.version >= wanted.version)
            .and_then(|proof| proof.guardrails.get(&guardrail));
        match told {
            // A VM that cannot enforce the guardrails of a version goes on applying the one before.
            Some(Some(problem)) => Some(Lack::NotFound {
                problem: problem.clone(),
            }),
            Some(None) if self.applies(wanted) => None,
            Some(None) | None => Some(Lack::NotTried),
        }
    }
}

impl Fleet {
    /// Returns which VMs have not proven which of `guardrails` under `wanted`: those that tried in vain first.
    pub(crate) fn unproven(
        &self,
        wanted: Version,
        guardrails: &[(GuardrailId, String)],
    ) -> Vec<Unproven> {
        let state = self.state();
        let mut unproven = Vec::new();
        for (name, seen) in &state.vms {
            for (id, guardrail) in guardrails {
                if let Some(lack) = seen.lack(wanted, *id) {
                    unproven.push(Unproven {
                        guardrail: guardrail.clone(),
                        node_id: seen.node_id.clone(),
                        vm: name.clone(),
                        lack,
                    });
                }
            }
        }
        unproven.sort_by_key(|it| matches!(it.lack, Lack::NotTried));
        unproven
    }

    /// Returns how many VMs apply `wanted` or newer and have proven all of `guardrails` under it.
    pub(crate) fn count_proven(
        &self,
        wanted: Version,
        guardrails: &[(GuardrailId, String)],
    ) -> usize {
        let state = self.state();
        let proven = state.vms.values().filter(|seen| {
            seen.applies(wanted)
                && guardrails
                    .iter()
                    .all(|(id, _)| seen.lack(wanted, *id).is_none())
        });
        proven.count()
    }
}

#[cfg(test)]
mod tests {
    use wire::mesh::{GuardProven, ReportRequest};

    use super::*;

    const WANTED: Version = Version {
        generation: [9; 16],
        version: 4,
    };

    fn id(number: u128) -> GuardrailId {
        GuardrailId::new(Uuid::from_u128(number))
    }

    fn guardrails() -> Vec<(GuardrailId, String)> {
        vec![
            (id(1), String::from("secrets")),
            (id(2), String::from("pii")),
        ]
    }

    fn report(vm: u8, version: u64, proven: &[(u128, bool)]) -> ReportRequest {
        let guardrails = proven.iter().map(|(number, found)| GuardProven {
            guardrail_id: id(*number).into_bytes().to_vec(),
            found: *found,
            problem: String::from("the word list is missing"),
        });
        ReportRequest {
            node_id: String::from("node"),
            process_id: vec![1],
            vm_id: vec![vm],
            generation: WANTED.generation.to_vec(),
            version,
            proof: Some(GuardProof {
                version,
                guardrails: guardrails.collect(),
                ..GuardProof::default()
            }),
            ..ReportRequest::default()
        }
    }

    #[track_caller]
    fn check(reports: &[ReportRequest], want: &[(u8, &str, Lack)]) {
        let fleet = Fleet::default();
        for report in reports {
            fleet.heard(report);
        }
        let unproven = fleet.unproven(WANTED, &guardrails());
        let seen: Vec<_> = unproven
            .into_iter()
            .map(|it| (it.vm.vm[0], it.guardrail, it.lack))
            .collect();
        let want: Vec<_> = want
            .iter()
            .map(|(vm, guardrail, lack)| (*vm, (*guardrail).to_owned(), lack.clone()))
            .collect();
        assert_eq!(seen, want);
    }

    #[test]
    fn every_vm_must_find_every_canary() {
        let all = [(1, true), (2, true)];
        check(&[report(1, 4, &all), report(2, 5, &all)], &[]);
        let problem = String::from("the word list is missing");
        check(
            &[
                report(1, 4, &[(1, true)]),
                report(2, 4, &[(1, true), (2, false)]),
            ],
            &[
                (2, "pii", Lack::NotFound { problem }),
                (1, "pii", Lack::NotTried),
            ],
        );
    }

    #[test]
    fn a_vm_that_cannot_apply_a_version_says_why() {
        let mut refusing = report(1, 4, &[(1, false), (2, false)]);
        refusing.version = 3;
        let problem = String::from("the word list is missing");
        let not_found = Lack::NotFound { problem };
        check(
            &[refusing],
            &[(1, "secrets", not_found.clone()), (1, "pii", not_found)],
        );
    }

    #[test]
    fn a_proof_under_another_version_or_generation_counts_for_nothing() {
        let all = [(1, true), (2, true)];
        let not_tried = [(1, "secrets", Lack::NotTried), (1, "pii", Lack::NotTried)];
        check(&[report(1, 3, &all)], &not_tried);
        let mut stale = report(1, 4, &all);
        stale.proof.as_mut().unwrap().version = 3;
        check(&[stale], &not_tried);
        let mut foreign = report(1, 4, &all);
        foreign.generation = vec![8; 16];
        check(&[foreign], &not_tried);
        let mut silent = report(1, 4, &all);
        silent.proof = None;
        check(&[silent], &not_tried);
    }

    #[test]
    fn proven_vms_are_counted() {
        let fleet = Fleet::default();
        fleet.heard(&report(1, 4, &[(1, true), (2, true)]));
        fleet.heard(&report(2, 4, &[(1, true), (2, false)]));
        fleet.heard(&report(3, 3, &[]));
        assert_eq!(fleet.count_proven(WANTED, &guardrails()), 1);
        assert_eq!(fleet.count_proven(WANTED, &[]), 2);
    }
}

//! What VMs say about the quotas of the mesh, against what they must enforce.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Fleet, Lack, Seen, VmName};
use crate::mesh::publisher::Version;

/// A quota that is not proven to be enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnprovenQuota {
    /// Its name, if it is a single one.
    pub quota: Option<String>,
    /// The filter VM that does not enforce it; none when it is the service that cannot.
    pub node_id: Option<String>,
    pub vm: Option<VmName>,
    #[serde(flatten)]
    pub lack: Lack,
}

impl Seen {
    /// What the VM lacks to have proven the `count` quotas of the mesh under `wanted`.
    fn quota_lack(&self, wanted: Version, count: u64) -> Option<Lack> {
        let Some(proof) = self
            .proof
            .as_ref()
            .filter(|proof| proof.version >= wanted.version)
        else {
            return Some(Lack::NotTried);
        };
        let (proven, problem) = &proof.quotas;
        // A VM that cannot enforce the quotas of a version goes on applying the one before.
        if !problem.is_empty() {
            return Some(Lack::NotFound {
                problem: problem.clone(),
            });
        }
        // How many a later version has is not known here.
        if proof.version == wanted.version && *proven != count {
            return Some(Lack::NotFound {
                problem: format!("it enforces {proven} of {count} quotas"),
            });
        }
        (!self.applies(wanted)).then_some(Lack::NotTried)
    }
}

impl Fleet {
    /// Returns which VMs have not proven the `count` quotas of the mesh under `wanted`: those that tried in vain
    /// first.
    pub(crate) fn unproven_quotas(&self, wanted: Version, count: u64) -> Vec<UnprovenQuota> {
        let state = self.state();
        let lacking = state.vms.iter().filter_map(|(name, seen)| {
            // With no quota there is nothing to prove, and an older filter says nothing of them.
            let lack = (count > 0).then(|| seen.quota_lack(wanted, count))??;
            Some(UnprovenQuota {
                quota: None,
                node_id: Some(seen.node_id.clone()),
                vm: Some(name.clone()),
                lack,
            })
        });
        let mut unproven: Vec<_> = lacking.collect();
        unproven.sort_by_key(|it| matches!(it.lack, Lack::NotTried));
        unproven
    }
}

#[cfg(test)]
mod tests {
    use wire::mesh::{GuardProof, ReportRequest};

    use super::*;

    const WANTED: Version = Version {
        generation: [9; 16],
        version: 4,
    };

    fn report(version: u64, proof_version: u64, proven: u64, problem: &str) -> ReportRequest {
        ReportRequest {
            node_id: String::from("node"),
            process_id: vec![1],
            vm_id: vec![1],
            generation: WANTED.generation.to_vec(),
            version,
            proof: Some(GuardProof {
                version: proof_version,
                quotas_proven: proven,
                quota_problem: problem.to_owned(),
                ..GuardProof::default()
            }),
            ..ReportRequest::default()
        }
    }

    #[track_caller]
    fn check(report: &ReportRequest, count: u64, want: Option<Lack>) {
        let fleet = Fleet::default();
        fleet.heard(report);
        let unproven = fleet.unproven_quotas(WANTED, count);
        assert_eq!(unproven.into_iter().map(|it| it.lack).next(), want);
    }

    #[test]
    fn every_quota_of_the_mesh_must_be_enforced() {
        let not_found = |problem: &str| {
            Some(Lack::NotFound {
                problem: problem.to_owned(),
            })
        };
        check(&report(4, 4, 2, ""), 2, None);
        check(
            &report(4, 4, 1, ""),
            2,
            not_found("it enforces 1 of 2 quotas"),
        );
        check(&report(4, 4, 1, "no room"), 2, not_found("no room"));
        check(&report(3, 4, 2, "no room"), 2, not_found("no room"));
        check(&report(3, 3, 2, ""), 2, Some(Lack::NotTried));
        check(&report(3, 4, 2, ""), 2, Some(Lack::NotTried));
        check(&report(5, 5, 3, ""), 2, None);
        check(
            &report(4, 4, 0, ""),
            2,
            not_found("it enforces 0 of 2 quotas"),
        );
        check(&report(4, 4, 0, ""), 0, None);
    }
}

//! Quotas on their way to the ledger and the filters, and the proof that they arrived.

use std::time::Duration;

use policy::ids::QuotaId;
use serde_json::json;
use wire::mesh::GuardProof;

use super::grants::{ask_of, granted, refused, request};
use super::*;
use crate::ledger::opening::{Opened, Places};
use crate::operations::quotas;
use crate::readiness::{self, Readiness, State};

/// A mesh whose ledger learns its quotas from the store.
struct Counting {
    mesh: Mounted,
    ledger: Opened,
    _folder: TempDir,
}

async fn mount_counting() -> Counting {
    let folder = tempfile::tempdir().unwrap();
    let places = Places::file(folder.path().join("ledger.db"));
    let ledger = Opened::open(&places).await.unwrap();
    let options = Options {
        ledger: Some(ledger.clone()),
        ..Options::default()
    };
    Counting {
        mesh: mount_with(options).await,
        ledger,
        _folder: folder,
    }
}

impl Counting {
    async fn add(&self, name: &str, node: serde_json::Value, limit: u64) -> QuotaId {
        let draft = json!({
            "name": name,
            "node": node,
            "unit": "total_tokens",
            "limit": limit,
            "window": {"calendar": {"every": "day", "zone": "UTC"}},
        });
        let draft = serde_json::from_value(draft).unwrap();
        let made = quotas::create(&self.mesh.store, &caller(), draft).await;
        made.unwrap().id
    }

    async fn set_limit(&self, quota: QuotaId, limit: u64) {
        let draft = serde_json::from_value(json!({"limit": limit})).unwrap();
        quotas::update(&self.mesh.store, &caller(), quota, draft)
            .await
            .unwrap();
    }

    /// Waits until the ledger enforces `limit`.
    async fn enforced(&self, quota: QuotaId, limit: u64) {
        let mut enforced = self.ledger.quotas.subscribe();
        let is_so = |quotas: &Arc<Quotas>| {
            quotas
                .get(quota)
                .is_some_and(|quota| quota.rules.limit == limit)
        };
        enforced.wait_for(is_so).await.unwrap();
    }

    fn readiness(&self) -> Readiness {
        let options = readiness::Options {
            mesh_urls: Vec::new(),
            workers: Some(1),
        };
        Readiness::start(self.mesh.control.clone(), options)
    }

    /// Lets two VMs report `proven` quotas until the readiness is as `is_so` wants it.
    async fn report_until(
        &self,
        readiness: &Readiness,
        (proven, problem): (u64, &str),
        is_so: impl Fn(&State) -> bool,
    ) -> State {
        let mut filter = self.mesh.filter().await;
        let waiting = async {
            loop {
                let version = self.mesh.control.version();
                for vm in [1, 2] {
                    let proof = GuardProof {
                        version: version.version,
                        quotas_proven: proven,
                        quota_problem: problem.to_owned(),
                        ..GuardProof::default()
                    };
                    let report = ReportRequest {
                        node_id: String::from(NODE),
                        process_id: vec![1; 16],
                        vm_id: vec![vm; 16],
                        generation: version.generation.to_vec(),
                        version: version.version,
                        proof: Some(proof),
                        ..ReportRequest::default()
                    };
                    filter.report(report).await.unwrap();
                }
                let state = readiness.state();
                if is_so(&state) {
                    return state;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .unwrap_or_else(|_| panic!("{:?}", readiness.state()))
    }
}

fn organisation() -> serde_json::Value {
    json!("organisation")
}

#[tokio::test]
async fn limits_change_while_the_service_runs() {
    let counting = mount_counting().await;
    let quota = counting.add("all", organisation(), 100).await;
    counting.enforced(quota, 100).await;
    let mut filter = counting.mesh.filter().await;
    granted(&mut filter, &request(1, vec![ask_of(quota, 60)])).await;
    refused(&mut filter, &request(2, vec![ask_of(quota, 60)])).await;
    counting.set_limit(quota, 200).await;
    counting.enforced(quota, 200).await;
    granted(&mut filter, &request(3, vec![ask_of(quota, 60)])).await;
    counting.set_limit(quota, 100).await;
    counting.enforced(quota, 100).await;
    refused(&mut filter, &request(4, vec![ask_of(quota, 1)])).await;
}

#[tokio::test]
async fn a_mesh_is_ready_when_every_filter_enforces_every_quota() {
    let counting = mount_counting().await;
    let quota = counting.add("all", organisation(), 100).await;
    counting.enforced(quota, 100).await;
    let version = counting.mesh.control.version().version;
    let readiness = counting.readiness();
    let vm = hex::encode([1; 16]);
    let missing = format!(
        "quotas: not enforced by the filter VM {vm} of the Envoy `node`: it enforces 0 of 1 quotas"
    );
    let state = counting
        .report_until(&readiness, (0, ""), |state| {
            state.quotas_unproven.len() == 2 && state.missing.as_ref() == Some(&missing)
        })
        .await;
    assert!(!state.ready);
    let problem = "quota `all`: its unit is not known";
    let state = counting
        .report_until(&readiness, (1, problem), |state| {
            let missing = state.missing.as_deref();
            missing.is_some_and(|missing| missing.ends_with(problem))
        })
        .await;
    assert!(!state.ready);
    let state = counting
        .report_until(&readiness, (1, ""), |state| state.ready)
        .await;
    assert_eq!(state.quotas_unproven, []);
    assert!(state.proven_version >= version);
}

#[tokio::test]
async fn quotas_of_keys_are_found_where_filters_find_them() {
    let counting = mount_counting().await;
    let (key, _) = counting.mesh.add_key("one").await;
    let quota = counting.add("one", json!({"key": key}), 100).await;
    counting.enforced(quota, 100).await;
    let to_prove = counting.mesh.control.publisher().status().quotas;
    assert_eq!((to_prove.all, to_prove.in_mesh), (1, 0));
    assert_eq!(to_prove.of_keys.len(), 1);
    let readiness = counting.readiness();
    counting
        .report_until(&readiness, (0, ""), |state| state.ready)
        .await;
}

#[tokio::test]
async fn a_quota_that_the_ledger_cannot_answer_for_is_named() {
    let counting = mount_counting().await;
    let quota = counting.add("all", organisation(), 100).await;
    let other = counting.add("other", organisation(), 100).await;
    counting.enforced(other, 100).await;
    let readiness = counting.readiness();
    counting
        .report_until(&readiness, (2, ""), |state| state.ready)
        .await;
    // A policy of a later version may name a zone that this build does not know.
    let broken = |mut it: policy::quota::Quota| {
        if it.id == quota {
            it.rules.window = Some(policy::quota::QuotaWindow::Calendar(
                policy::quota::CalendarWindow {
                    every: policy::quota::Period::Day,
                    zone: String::from("Moon/Tycho"),
                    first_month: 1,
                },
            ));
        }
        it
    };
    let all = Arc::clone(&counting.ledger.quotas.borrow());
    let all = all.iter().map(|it| broken(policy::quota::Quota::clone(it)));
    let mut proof = readiness::QuotaProof::default();
    let all = Quotas::new(all.collect::<Vec<_>>());
    counting.ledger.quotas.send_replace(Arc::new(all));
    let unproven = proof.advance(&counting.mesh.control).await.unwrap();
    assert_eq!(unproven.quota.as_deref(), Some("all"));
    let Lack::NotFound { problem } = unproven.lack else {
        panic!("not tried");
    };
    assert!(problem.contains("Moon/Tycho"), "{problem}");
}

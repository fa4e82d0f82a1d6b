//! Readiness, proven rather than guessed: canary exchanges through the mesh until every worker of every Envoy
//! has answered one under the current policy, with its body read.
//!
//! An Envoy's worker is a filter VM. All VMs report to the service; one of each process belongs to the main
//! thread, which never serves a request. So a process with N reporting VMs owes answers from N − 1.
//!
//! Guardrails are proven by the VMs themselves: each runs every guardrail's canary text through its own detection
//! and reports what it found. That needs no listener, so it works under any Envoy; without a URL to send canary
//! exchanges to, the reports are the whole proof. VMs also say how many quotas of the mesh they enforce; that the
//! ledger answers for every quota, and that those of single keys are with the keys, is tried here.

mod canary;
mod proof;
mod quotas;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use policy::documents::InferenceAuth;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};
use utoipa::ToSchema;

use crate::mesh::{Control, Lack, Published, Unproven, UnprovenQuota, Version};
use crate::readiness::canary::Canary;
use crate::readiness::proof::{Proof, Shortfall};
pub(crate) use crate::readiness::quotas::QuotaProof;

/// A worker that was proven is asked again after this time; that also revives one whose VM trapped while idle.
const CHECK_AGAIN: Duration = Duration::from_secs(15);
/// A mesh that was ready stays ready this long while a new version is being proven.
const GRACE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
const WAIT: Duration = Duration::from_millis(200);
const PAUSE_CEILING: Duration = Duration::from_secs(1);
/// How long the database may take to say that it is there.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
/// Unproven guardrails that are told at a time.
const UNPROVEN_SHOWN: usize = 32;

/// What is to be proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Base URLs (`http://host:port`) that together reach every Envoy of the mesh; with none, what the filters
    /// report is all that is asked for.
    pub mesh_urls: Vec<String>,
    /// Workers of each Envoy, if known. Otherwise VMs are counted once no new one has appeared for a while.
    pub workers: Option<usize>,
}

/// How far the proof is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct State {
    pub ready: bool,
    /// The version that every worker was last proven to enforce; 0 for none.
    pub proven_version: u64,
    /// The version of the stored documents that is proven with it.
    pub proven_documents_version: u64,
    /// Workers that answered under the version being proven, and workers that owe an answer.
    pub workers_proven: usize,
    pub workers_expected: usize,
    /// What is missing; `None` when nothing is.
    pub missing: Option<String>,
    /// Guardrails that some filter VM has not proven under the version being proven; the first few.
    pub guardrails_unproven: Vec<Unproven>,
    /// Quotas that are not proven to be enforced; the first few.
    pub quotas_unproven: Vec<UnprovenQuota>,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.missing, self.ready) {
            (None, true) => {
                let (workers, version) = (self.workers_proven, self.proven_version);
                write!(
                    f,
                    "ready: all {workers} workers enforce policy version {version}"
                )
            }
            (None, false) => f.write_str("waiting: the proof has not begun"),
            (Some(missing), true) => write!(f, "ready, and checking again: {missing}"),
            (Some(missing), false) => write!(f, "waiting: {missing}"),
        }
    }
}

/// The mesh was not ready in time.
#[derive(Debug, thiserror::Error)]
#[error("the mesh is not ready after {waited_secs} s: {missing}")]
pub struct NotReady {
    pub waited_secs: u64,
    pub missing: String,
}

/// A running proof. Cheap to clone; it ends with the last clone.
#[derive(Clone, Debug)]
pub struct Readiness {
    control: Control,
    state: watch::Receiver<State>,
    _ends_with_the_last_clone: Arc<watch::Sender<()>>,
}

impl Readiness {
    /// Starts to send canaries.
    pub fn start(control: Control, options: Options) -> Self {
        let (sender, state) = watch::channel(State::default());
        let (alive, ended) = watch::channel(());
        let prover = Prover {
            canary: Canary::new(control.canary_secret()),
            control: control.clone(),
            options,
            state: sender,
            ready_until: None,
            keyless_proven: None,
            quotas: QuotaProof::default(),
        };
        tokio::spawn(prover.run(ended));
        Self {
            control,
            state,
            _ends_with_the_last_clone: Arc::new(alive),
        }
    }

    /// Returns how far the proof is.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Returns the control plane whose mesh is being proven.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Tells when that changes.
    pub fn changes(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until every worker enforces the version that is current at the time of the call.
    ///
    /// # Errors
    /// [`NotReady`] after `timeout`, with what is missing.
    pub async fn wait_ready(&self, timeout: Duration) -> Result<(), NotReady> {
        let version = self.control.version().version;
        let mut state = self.state.clone();
        let ready = state.wait_for(|state| state.ready && state.proven_version >= version);
        let outcome = tokio::time::timeout(timeout, ready)
            .await
            .map(|ready| ready.is_ok());
        if outcome.unwrap_or(false) {
            return Ok(());
        }
        let missing = self.state().missing;
        Err(NotReady {
            waited_secs: timeout.as_secs(),
            missing: missing.unwrap_or_else(|| String::from("the proof has not begun")),
        })
    }
}

/// What anybody may know who can reach the probe.
#[derive(Clone, Debug, Serialize)]
struct Readyz {
    ready: bool,
    proven_version: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    guardrails_unproven: Vec<UnprovenName>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quotas_unproven: Vec<UnprovenQuotaName>,
}

/// A guardrail and a worker that does not prove it.
#[derive(Clone, Debug, Serialize)]
struct UnprovenName {
    guardrail: String,
    node_id: String,
    vm: String,
}

/// A quota that is not enforced, and why; the values of a quota are in neither.
#[derive(Clone, Debug, Serialize)]
struct UnprovenQuotaName {
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vm: Option<String>,
    why: String,
}

impl From<UnprovenQuota> for UnprovenQuotaName {
    fn from(unproven: UnprovenQuota) -> Self {
        Self {
            quota: unproven.quota,
            node_id: unproven.node_id,
            vm: unproven.vm.map(|vm| hex::encode(vm.vm)),
            why: match unproven.lack {
                Lack::NotTried => String::from("not tried yet"),
                Lack::NotFound { problem } => problem,
            },
        }
    }
}

impl From<Unproven> for UnprovenName {
    fn from(unproven: Unproven) -> Self {
        Self {
            guardrail: unproven.guardrail,
            node_id: unproven.node_id,
            vm: hex::encode(unproven.vm.vm),
        }
    }
}

/// Answers `GET /readyz`, whether this replica can serve, and `GET /readyz/mesh`, whether all Envoys enforce: 200 or
/// 503. An Envoy that does not enforce must not take every replica out of service, so that the first knows nothing
/// of Envoys. What is missing, and why, is for administrators: `GET /api/v1/mesh`.
pub fn router(readiness: Readiness) -> Router {
    Router::new()
        .route("/readyz", get(of_replica))
        .route("/readyz/mesh", get(of_mesh))
        .with_state(readiness)
}

/// What anybody may know of this replica.
#[derive(Clone, Debug, Serialize)]
struct ReplicaReadyz {
    ready: bool,
    policy_version: u64,
}

async fn of_replica(Shared(readiness): Shared<Readiness>) -> (StatusCode, Json<ReplicaReadyz>) {
    let control = readiness.control();
    let asked = tokio::time::timeout(STORE_PATIENCE, control.store().look());
    let ready = match asked.await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            warn!(error = %crate::mesh::chain(&error), "the database does not answer");
            false
        }
        Err(_late) => false,
    };
    let seen = ReplicaReadyz {
        ready,
        policy_version: control.version().version,
    };
    (status(ready), Json(seen))
}

const fn status(ready: bool) -> StatusCode {
    if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

async fn of_mesh(Shared(readiness): Shared<Readiness>) -> (StatusCode, Json<Readyz>) {
    let state = readiness.state();
    let seen = Readyz {
        ready: state.ready,
        proven_version: state.proven_version,
        guardrails_unproven: state
            .guardrails_unproven
            .into_iter()
            .map(UnprovenName::from)
            .collect(),
        quotas_unproven: state
            .quotas_unproven
            .into_iter()
            .map(UnprovenQuotaName::from)
            .collect(),
    };
    (status(seen.ready), Json(seen))
}

enum Progress {
    Proven,
    /// Which worker takes a connection is chance: more of the same.
    Counting,
    /// Filters come to it by themselves.
    Waiting,
    /// Something must change first.
    Blocked,
}

impl Progress {
    fn after(shortfall: &Shortfall) -> Self {
        match shortfall {
            Shortfall::Workers { .. } => Self::Counting,
            Shortfall::StillAppearing { .. }
            | Shortfall::NobodyReports
            | Shortfall::NobodyAnswers
            | Shortfall::Behind { .. } => Self::Waiting,
            Shortfall::Clusters { .. } => Self::Blocked,
            Shortfall::Guardrail {
                first: Unproven { lack, .. },
                ..
            }
            | Shortfall::Quota(UnprovenQuota { lack, .. }) => match lack {
                Lack::NotTried => Self::Waiting,
                Lack::NotFound { .. } => Self::Blocked,
            },
        }
    }
}

struct Prover {
    control: Control,
    options: Options,
    canary: Canary,
    state: watch::Sender<State>,
    /// Until when the last success counts.
    ready_until: Option<Instant>,
    /// Under which setting it was proven what happens to a request without a key.
    keyless_proven: Option<InferenceAuth>,
    quotas: QuotaProof,
}

impl Prover {
    async fn run(mut self, mut ended: watch::Receiver<()>) {
        let mut published = self.control.publisher().published();
        let mut proof = self.proof();
        let mut pause = PAUSE;
        loop {
            published.mark_unchanged();
            if proof.version() != self.control.version() {
                proof = self.proof();
            }
            let wait = match self.advance(&mut proof).await {
                Progress::Proven => {
                    (proof, pause) = (self.proof(), PAUSE);
                    CHECK_AGAIN
                }
                Progress::Counting => PAUSE,
                Progress::Waiting => WAIT,
                Progress::Blocked => {
                    pause = (pause * 2).min(PAUSE_CEILING);
                    pause
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = published.changed() => {}
                _ = ended.changed() => return,
            }
        }
    }

    fn proof(&self) -> Proof {
        Proof::new(self.control.version(), self.options.workers)
    }

    /// Sends some canaries and says how far that leads.
    async fn advance(&mut self, proof: &mut Proof) -> Progress {
        // As it was before anything was asked: what is published meanwhile is not proven by the answers.
        let published = self.control.publisher().status();
        let failure = self.round(proof).await;
        let fleet = self.control.fleet();
        let processes = fleet.processes();
        let guardrails = &published.guardrails;
        let unproven = fleet.unproven(proof.version(), guardrails);
        let (counts, shortfall) = if self.options.mesh_urls.is_empty() {
            let proven = fleet.count_proven(proof.version(), guardrails);
            let reporting = processes.iter().map(|process| process.vms).sum();
            let behind = fleet.behind(proof.version());
            ((proven, reporting), proof.unreported(&processes, behind))
        } else {
            let counts = (proof.answered(), proof.expected(&processes));
            (counts, proof.shortfall(&processes))
        };
        let shortfall = shortfall.or_else(|| {
            let first = unproven.first()?.clone();
            let count = unproven.len();
            Some(Shortfall::Guardrail { first, count })
        });
        let unproven_quotas = self.unproven_quotas(proof.version()).await;
        let shortfall =
            shortfall.or_else(|| unproven_quotas.first().cloned().map(Shortfall::Quota));
        let refused = self.refused_clusters();
        if refused.is_some() {
            // No worker is behind: what is refused there stays refused.
            self.ready_until = None;
        }
        let shortfall = refused.or(shortfall);
        let outcome = match (shortfall, failure) {
            (None, _) => self
                .prove_keyless()
                .await
                .map_err(|missing| (missing, Progress::Blocked)),
            (Some(_), Some(failure)) => Err((failure, Progress::Blocked)),
            (Some(shortfall), None) => Err((shortfall.to_string(), Progress::after(&shortfall))),
        };
        match outcome {
            Ok(()) => {
                self.succeeded(proof.version().version, &published, counts);
                Progress::Proven
            }
            Err((missing, progress)) => {
                self.failed(missing, counts, unproven, unproven_quotas);
                progress
            }
        }
    }

    /// Returns the clusters that an Envoy refused and has not taken since.
    fn refused_clusters(&self) -> Option<Shortfall> {
        let streams = self.control.clusters().streams();
        streams.into_iter().find_map(|stream| {
            let refused = stream.refused?;
            Some(Shortfall::Clusters {
                node_id: stream.node_id,
                version: refused.version,
                clusters: refused.clusters,
                because: refused.because,
            })
        })
    }

    /// Returns what is not enforced: by the service, else by filters.
    async fn unproven_quotas(&mut self, wanted: Version) -> Vec<UnprovenQuota> {
        let by_service = self.quotas.advance(&self.control).await;
        let count = self.control.publisher().status().quotas.in_mesh;
        let by_filters = self.control.fleet().unproven_quotas(wanted, count);
        by_service.into_iter().chain(by_filters).collect()
    }

    /// Sends some canaries to every URL; returns why the last one that failed did so.
    async fn round(&self, proof: &mut Proof) -> Option<String> {
        let mut failure = None;
        for url in &self.options.mesh_urls {
            for outcome in self.canary.send_several(url).await {
                match outcome {
                    Ok(answer) => proof.take(&answer),
                    Err(problem) => failure = Some(problem.to_string()),
                }
            }
        }
        failure
    }

    /// Proves once per setting that a request without a key is refused.
    async fn prove_keyless(&mut self) -> Result<(), String> {
        let setting = self.control.publisher().status().inference_auth;
        if self.keyless_proven == Some(setting) {
            return Ok(());
        }
        match setting {
            InferenceAuth::Required => {
                for url in &self.options.mesh_urls {
                    self.canary
                        .keyless(url)
                        .await
                        .map_err(|problem| problem.to_string())?;
                }
            }
            InferenceAuth::Observe => {}
        }
        self.keyless_proven = Some(setting);
        Ok(())
    }

    fn succeeded(
        &mut self,
        version: u64,
        published: &Published,
        (workers_proven, workers_expected): (usize, usize),
    ) {
        let before = self.state.borrow().clone();
        let proven_documents_version = if published.version == version {
            published.documents_version
        } else {
            before.proven_documents_version
        };
        if before.proven_version != version {
            info!(
                version,
                workers = workers_proven,
                "every worker enforces this version"
            );
        }
        self.ready_until = Some(Instant::now() + CHECK_AGAIN + GRACE);
        self.state.send_replace(State {
            ready: true,
            proven_version: version,
            proven_documents_version,
            workers_proven,
            workers_expected,
            missing: None,
            guardrails_unproven: Vec::new(),
            quotas_unproven: Vec::new(),
        });
    }

    fn failed(
        &mut self,
        missing: String,
        (workers_proven, workers_expected): (usize, usize),
        mut guardrails_unproven: Vec<Unproven>,
        mut quotas_unproven: Vec<UnprovenQuota>,
    ) {
        quotas_unproven.truncate(UNPROVEN_SHOWN);
        guardrails_unproven.truncate(UNPROVEN_SHOWN);
        let ready = self.ready_until.is_some_and(|until| Instant::now() < until);
        let before = self.state.borrow().clone();
        if before.ready && !ready {
            warn!(%missing, "the mesh is not ready any more");
        }
        self.state.send_replace(State {
            ready,
            proven_version: before.proven_version,
            proven_documents_version: before.proven_documents_version,
            workers_proven,
            workers_expected,
            missing: Some(missing),
            guardrails_unproven,
            quotas_unproven,
        });
    }
}

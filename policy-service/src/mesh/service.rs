//! The gRPC service that filters call.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use tracing::{debug, error};
use wire::mesh::mesh_server::Mesh;
use wire::mesh::{
    ConsultAnswer, ConsultRequest, FindTokens, FindTokensAnswer, FollowAnswer, FollowRequest,
    GrantAnswer, GrantRequest, KeepAnswer, KeepRequest, Probe, ProbeHeader, ReportAnswer,
    ReportRequest, StatefulOwner, StatefulOwnerAnswer, VaultEntry, consult_answer, consult_request,
};

use crate::mesh::Control;
use crate::mesh::fleet::RefusedSnapshot;
use crate::mesh::grants::Grants;
use crate::mesh::owners::Owners;
use crate::mesh::snapshot::{PageToken, Place, Snapshot};
use crate::operations::{exchanges, providers, vault};
use crate::xds;

/// The longest a follower is kept waiting, whatever it asks for.
const WAIT_CEILING: Duration = Duration::from_secs(30);
/// Process, VM and generation ids are 16 bytes; nothing much longer is stored as one.
const ID_BYTES: std::ops::RangeInclusive<usize> = 1..=64;
/// A reason is shown to people, not kept as a document.
const REASON_CHARS: usize = 1_000;

/// The service over [`Control`].
#[derive(Clone, Debug)]
pub(crate) struct MeshService {
    control: Control,
    owners: Owners,
    stop: watch::Receiver<bool>,
}

impl MeshService {
    pub(crate) fn new(control: Control, stop: watch::Receiver<bool>) -> Self {
        Self {
            control,
            owners: Owners::default(),
            stop,
        }
    }

    /// Returns the newest snapshot that is newer than what the caller has and that its Envoy has the clusters
    /// for; or until when to wait for one.
    fn newest(&self, request: &FollowRequest) -> Newest {
        let mut earliest: Option<Instant> = None;
        for snapshot in self.control.publisher().newest_first() {
            if request.generation == snapshot.generation && snapshot.version <= request.version {
                break;
            }
            if !request.clusters_from_service {
                return Newest::Ready(snapshot);
            }
            match self
                .control
                .clusters()
                .readiness(&request.node_id, snapshot.clusters)
            {
                xds::Readiness::Ready => return Newest::Ready(snapshot),
                xds::Readiness::Wait(until) => {
                    earliest = Some(earliest.map_or(until, |earlier| earlier.min(until)));
                }
            }
        }
        Newest::None {
            ask_again: earliest,
        }
    }

    async fn first_page(&self, request: &FollowRequest) -> FollowAnswer {
        let deadline =
            Instant::now() + Duration::from_millis(request.wait_ms.into()).min(WAIT_CEILING);
        let mut published = self.control.publisher().published();
        let mut moved = self.control.clusters().moved();
        let mut stop = self.stop.clone();
        loop {
            published.mark_unchanged();
            moved.mark_unchanged();
            let wake = match self.newest(request) {
                Newest::Ready(snapshot) => {
                    return snapshot.page(known(request, &snapshot), Place::default());
                }
                Newest::None { ask_again } => ask_again.map_or(deadline, |at| at.min(deadline)),
            };
            tokio::select! {
                () = tokio::time::sleep_until(wake) => if wake == deadline { return nothing_new(request) },
                _ = published.changed() => {}
                _ = moved.changed() => {}
                _ = stop.wait_for(|stop| *stop) => return nothing_new(request),
            }
        }
    }

    fn later_page(&self, request: &FollowRequest) -> Result<FollowAnswer, Status> {
        let token = PageToken::decode(&request.page_token)?;
        let snapshot = self
            .control
            .publisher()
            .kept_version(token.generation, token.version)
            .ok_or_else(|| {
                Status::aborted("the version of this `page_token` is gone: follow again without it")
            })?;
        Ok(snapshot.page(known(request, &snapshot), token.from))
    }

    fn grants(&self) -> Result<&Grants, Status> {
        let grants = self.control.grants();
        grants.ok_or_else(|| Status::unavailable("this service was started without a ledger"))
    }

    fn note_refusal(&self, request: &FollowRequest) {
        if request.refused_version == 0 {
            return;
        }
        self.control.fleet().refused(RefusedSnapshot {
            node_id: request.node_id.clone(),
            process: request.process_id.clone(),
            version: request.refused_version,
            because: request.refused_because.chars().take(REASON_CHARS).collect(),
        });
    }
}

enum Newest {
    Ready(Arc<Snapshot>),
    /// Nothing to hand out; there may be at this time if nothing moves before.
    None {
        ask_again: Option<Instant>,
    },
}

/// Returns the version on which the caller's delta is based; 0 when it needs everything.
fn known(request: &FollowRequest, snapshot: &Snapshot) -> u64 {
    if request.generation == snapshot.generation {
        request.version
    } else {
        0
    }
}

fn nothing_new(request: &FollowRequest) -> FollowAnswer {
    FollowAnswer {
        generation: request.generation.clone(),
        version: request.version,
        ..FollowAnswer::default()
    }
}

#[tonic::async_trait]
impl Mesh for MeshService {
    async fn follow(
        &self,
        request: Request<FollowRequest>,
    ) -> Result<Response<FollowAnswer>, Status> {
        let request = request.into_inner();
        check_id("process_id", &request.process_id)?;
        self.note_refusal(&request);
        let answer = if request.page_token.is_empty() {
            self.first_page(&request).await
        } else {
            self.later_page(&request)?
        };
        Ok(Response::new(answer))
    }

    async fn report(
        &self,
        request: Request<ReportRequest>,
    ) -> Result<Response<ReportAnswer>, Status> {
        let report = request.into_inner();
        check_id("process_id", &report.process_id)?;
        check_id("vm_id", &report.vm_id)?;
        self.control.fleet().heard(&report);
        let reported = exchanges::Reported::from(report);
        let store = self.control.store().clone();
        // A task of its own: an Envoy that is shutting down resets the stream while its last records are here.
        let storing = tokio::spawn(async move { exchanges::record(&store, reported).await });
        match storing.await {
            Ok(Ok(())) => Ok(Response::new(ReportAnswer {
                probes: self.probes().await,
            })),
            Ok(Err(failure)) => {
                error!(failure = %crate::mesh::chain(&failure), "exchange records were not stored");
                Err(Status::unavailable(
                    "records were not stored: send them again",
                ))
            }
            Err(ended) => {
                error!(%ended, "storing exchange records ended early");
                Err(Status::unavailable(
                    "records were not stored: send them again",
                ))
            }
        }
    }

    async fn grant(&self, request: Request<GrantRequest>) -> Result<Response<GrantAnswer>, Status> {
        let answer = self.grants()?.grant(request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn keep(&self, request: Request<KeepRequest>) -> Result<Response<KeepAnswer>, Status> {
        let grants = self.grants()?.clone();
        let request = request.into_inner();
        // A task of its own, as for reports.
        let keeping = tokio::spawn(async move { grants.keep(&request).await });
        match keeping.await {
            Ok(answer) => Ok(Response::new(answer?)),
            Err(ended) => {
                error!(%ended, "keeping leases ended early");
                Err(Status::unavailable(
                    "settlements may not be stored: send them again",
                ))
            }
        }
    }

    async fn consult(
        &self,
        request: Request<ConsultRequest>,
    ) -> Result<Response<ConsultAnswer>, Status> {
        match request.into_inner().question {
            Some(consult_request::Question::StatefulOwner(question)) => {
                let owned = self.owns(question).await?;
                let answer = consult_answer::Answer::StatefulOwner(StatefulOwnerAnswer { owned });
                Ok(Response::new(ConsultAnswer {
                    answer: Some(answer),
                }))
            }
            Some(consult_request::Question::FindTokens(question)) => {
                let answer = consult_answer::Answer::FindTokens(self.tokens(question).await?);
                Ok(Response::new(ConsultAnswer {
                    answer: Some(answer),
                }))
            }
            None => Err(Status::invalid_argument(
                "`question` is missing or of a kind this service does not know",
            )),
        }
    }
}

impl MeshService {
    /// What is due goes with whatever report comes first; a failure to look costs a minute.
    async fn probes(&self) -> Vec<Probe> {
        let due = match providers::due_probes(self.control.store()).await {
            Ok(due) => due,
            Err(failure) => {
                error!(failure = %crate::mesh::chain(&failure), "due probes of provider keys are not known");
                return Vec::new();
            }
        };
        due.into_iter().map(probe).collect()
    }

    async fn owns(&self, question: StatefulOwner) -> Result<bool, Status> {
        debug!(
            ids = question.ids.len(),
            "consulted for the owner of stateful ids"
        );
        self.owners.own(self.control.store(), &question).await.map_err(|failure| {
            error!(failure = %crate::mesh::chain(&failure), "the owner of stateful ids is not known");
            Status::unavailable("the owner of these ids could not be looked up")
        })
    }

    async fn tokens(&self, question: FindTokens) -> Result<FindTokensAnswer, Status> {
        debug!(
            tokens = question.tokens.len(),
            all = question.all_of_session,
            "consulted for the values of tokens"
        );
        let found = vault::find(self.control.store(), &question).await.map_err(|failure| {
            error!(failure = %crate::mesh::chain(&failure), "the values of tokens are not known");
            Status::unavailable("these tokens could not be looked up")
        })?;
        let entries = found.entries.into_iter().map(|entry| VaultEntry {
            token: entry.token,
            value: entry.value.expose().to_vec(),
            kind: entry.kind,
            ..VaultEntry::default()
        });
        Ok(FindTokensAnswer {
            entries: entries.collect(),
            truncated: found.is_truncated,
        })
    }
}

fn probe(probe: providers::Probe) -> Probe {
    let headers = probe.headers.into_iter().map(|(name, value)| ProbeHeader {
        name: name.to_owned(),
        value: value.expose().to_owned(),
    });
    Probe {
        probe_id: probe.id.into_bytes().to_vec(),
        cluster: xds::cluster::provider_cluster(&probe.provider),
        tls: probe.tls,
        authority: probe.authority,
        path: probe.path,
        headers: headers.collect(),
    }
}

fn check_id(field: &str, bytes: &[u8]) -> Result<(), Status> {
    if ID_BYTES.contains(&bytes.len()) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "`{field}` is {} bytes long, expected {} to {}",
        bytes.len(),
        ID_BYTES.start(),
        ID_BYTES.end()
    )))
}

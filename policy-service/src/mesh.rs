//! The control plane of the mesh: compiled policy to the filters, clusters to their Envoys, records from both.
//!
//! ```text
//! store ──changes──▶ Publisher ──compiled──▶ Snapshot ─────Follow─────▶ one VM of each Envoy process
//!                        └──clusters──▶ xds::Clusters ──ADS──▶ Envoy ──acknowledgement──┐
//!                                                  a snapshot waits for it ◀────────────┘
//! store ◀──records── Report ◀── every VM          Fleet: who reports, what each applies
//! ```
//!
//! In: a [`Store`]. Out: [`Control`], which [`serve`] puts on a listener. It makes no decision about a request.

mod fleet;
mod grants;
mod hearing;
mod owners;
mod publisher;
mod service;
mod snapshot;
mod sweeper;
mod token;

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use policy::secret::Secret;
use rand::RngCore;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use utoipa::ToSchema;
use wire::mesh::mesh_server::MeshServer;

pub(crate) use fleet::Totals;
pub use fleet::{
    Counters, DroppedHeader, DroppedHeaders, Fleet, Lack, Process, RefusedSnapshot, Unproven,
    UnprovenQuota, Vm, VmName,
};
pub(crate) use publisher::QuotasToProve;
pub use publisher::{PublishError, Published, Publisher, Version, compile_once};
pub use snapshot::Generation;

use crate::ledger::Quotas;
use crate::ledger::ledgers::Ledgers;
use crate::ledger::opening::Opened;
use crate::listener::{self, Room, Speaks};
use crate::mesh::grants::Grants;
use crate::mesh::service::MeshService;
use crate::mesh::token::FilterToken;
use crate::store::Store;
use crate::xds::ads::Ads;
use crate::xds::{Clusters, Stream, TrustAnchors};

/// Largest report that is taken; a filter sends far smaller ones.
const REPORT_CEILING_BYTES: usize = 16 * 1024 * 1024;
/// Wide windows, so that what a dying Envoy still writes arrives whole.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// An Envoy whose machine is gone is noticed by a ping, not by the next write.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a new connection may take to its first call.
const PATIENCE: Duration = Duration::from_secs(10);
/// A filter says every second that it lives.
const KEPT: Duration = Duration::from_secs(60);
/// Connections of filters and Envoys where nothing else is said.
const CONNECTIONS: usize = 4_096;

/// How the control plane is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What providers' certificates are verified against, on Envoy's machine.
    pub trust_anchors: TrustAnchors,
    /// Hosts by which clients address the mesh, beside those of the settings; as in a `Host` header, without
    /// port. Who starts a mesh for an address must not have to say the address again.
    pub extra_hosts: Vec<String>,
    /// The ledger of quotas. Without one, no grant is answered.
    pub ledger: Option<Opened>,
}

/// Why the control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the first version of the policy cannot be published")]
    Publish(#[source] PublishError),
}

/// The running control plane. Cheap to clone; its tasks end when the last clone and the server are gone.
#[derive(Clone, Debug)]
pub struct Control {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    store: Store,
    publisher: Publisher,
    clusters: Clusters,
    fleet: Fleet,
    ledger: Option<Opened>,
    grants: Option<Grants>,
    /// Ends the tasks when the control plane is dropped.
    stop: watch::Sender<bool>,
}

/// Everything an administrator should know about the control plane; no secrets.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    pub generation: String,
    pub policy: Published,
    pub clusters_version: u64,
    pub cluster_streams: Vec<Stream>,
    pub vms: Vec<Vm>,
    pub refused_snapshots: Vec<RefusedSnapshot>,
    /// Headers that did not pass between clients and providers because no list names them.
    pub dropped_headers: DroppedHeaders,
}

impl Control {
    /// Publishes the first version and starts to follow the store.
    ///
    /// # Errors
    /// [`StartError`] when the documents cannot be read or compiled.
    pub async fn start(store: Store, options: Options) -> Result<Self, StartError> {
        let generation: Generation = rand::random();
        let clusters = Clusters::new(
            hex::encode(generation.get(..4).unwrap_or_default()),
            options.trust_anchors,
        );
        let publisher = Publisher::new(
            store.clone(),
            clusters.clone(),
            generation,
            random_secret(),
            publisher::Options {
                extra_hosts: options.extra_hosts.into(),
                ledger: options.ledger.clone(),
            },
        );
        publisher.publish().await.map_err(StartError::Publish)?;
        let stop = watch::Sender::new(false);
        tokio::spawn(publisher.clone().run(stop.subscribe()));
        let fleet = Fleet::default();
        let sweeper =
            sweeper::Sweeper::new(store.clone(), fleet.clone(), clusters.clone(), generation);
        tokio::spawn(sweeper.run(stop.subscribe()));
        let grants = options
            .ledger
            .as_ref()
            .map(|ledger| Grants::new(ledger.ledgers.clone(), ledger.notices.clone()));
        if let Some(ledger) = &options.ledger {
            let alerts = crate::alerts::run(store.clone(), ledger.clone(), stop.subscribe());
            tokio::spawn(alerts);
        }
        if let (Some(ledger), Some(grants)) = (&options.ledger, &grants) {
            let hearing = hearing::hear(ledger.notices.hear(), store.clone(), grants.clone());
            tokio::spawn(hearing::until(stop.subscribe(), hearing));
        }
        Ok(Self {
            parts: Arc::new(Parts {
                store,
                publisher,
                clusters,
                fleet,
                ledger: options.ledger,
                grants,
                stop,
            }),
        })
    }

    /// Returns the current version.
    pub fn version(&self) -> Version {
        self.parts.publisher.version()
    }

    /// Returns what proves to a filter that an exchange is a canary of this service.
    pub fn canary_secret(&self) -> Secret {
        self.parts.publisher.canary_secret().clone()
    }

    /// Returns what an administrator should know.
    pub fn status(&self) -> Status {
        Status {
            generation: hex::encode(self.version().generation),
            policy: self.parts.publisher.status(),
            clusters_version: self.parts.clusters.version(),
            cluster_streams: self.parts.clusters.streams(),
            vms: self.parts.fleet.vms(),
            refused_snapshots: self.parts.fleet.refused_snapshots(),
            dropped_headers: self.parts.fleet.dropped_headers(),
        }
    }

    /// Returns the publisher.
    pub fn publisher(&self) -> &Publisher {
        &self.parts.publisher
    }

    /// Returns the VMs that report.
    pub fn fleet(&self) -> &Fleet {
        &self.parts.fleet
    }

    /// Returns the ledger of quotas.
    pub fn ledgers(&self) -> Option<&Ledgers> {
        self.parts.ledger.as_ref().map(|ledger| &ledger.ledgers)
    }

    /// Returns the ledger with the quotas that it enforces.
    pub(crate) fn ledger_quotas(&self) -> Option<(&Ledgers, Arc<Quotas>)> {
        let ledger = self.parts.ledger.as_ref()?;
        Some((&ledger.ledgers, Arc::clone(&ledger.quotas.borrow())))
    }

    pub(crate) fn grants(&self) -> Option<&Grants> {
        self.parts.grants.as_ref()
    }

    pub(crate) fn clusters(&self) -> &Clusters {
        &self.parts.clusters
    }

    pub(crate) fn store(&self) -> &Store {
        &self.parts.store
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Serves filters and Envoys on `listener` until `shutdown` resolves; calls that wait are then answered at once.
pub async fn serve(
    listener: TcpListener,
    control: Control,
    filter_token: Secret,
    shutdown: impl Future<Output = ()>,
) {
    serve_to(CONNECTIONS, listener, control, filter_token, shutdown).await;
}

/// [`serve`] for so many connections.
pub(crate) async fn serve_to(
    connections: usize,
    listener: TcpListener,
    control: Control,
    filter_token: Secret,
    shutdown: impl Future<Output = ()>,
) {
    let token = FilterToken::new(&filter_token);
    let (stopping, stop) = watch::channel(false);
    let mesh = MeshServer::new(MeshService::new(control.clone(), stop.clone()))
        .max_decoding_message_size(REPORT_CEILING_BYTES);
    let ads = Ads::server(control.clusters().clone(), stop);
    let app = Routes::new(InterceptedService::new(mesh, token.clone()))
        .add_service(InterceptedService::new(ads, token))
        .into_axum_router();
    let room = Room {
        connections,
        patience: PATIENCE,
        kept: KEPT,
        speaks: Speaks::Grpc {
            stream_window: STREAM_WINDOW_BYTES,
            connection_window: CONNECTION_WINDOW_BYTES,
            ping: PING_INTERVAL,
            ping_timeout: PING_TIMEOUT,
        },
    };
    let shutdown = async move {
        shutdown.await;
        stopping.send_replace(true);
    };
    listener::serve(listener, app, room, shutdown).await;
}

fn random_secret() -> Secret {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    Secret::new(hex::encode(bytes))
}

/// Returns an error with everything that led to it, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests;

//! The policy service inside this process: admin API and gRPC on their listeners.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use policy::secret::Secret;
use reqwest::Url;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tracing::warn;

use crate::listener::{self, Room, Speaks};
use crate::mesh::{self, Control};
use crate::readiness::{self, Readiness};
use crate::store::Store;
use crate::{api, demo, metrics};

#[derive(Debug, thiserror::Error)]
pub(super) enum ServiceError {
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("the demo provider ended")]
    Demo { source: io::Error },
    #[error("a part of the policy service ended")]
    Task { source: JoinError },
    #[error("a part of the policy service ended although nothing had stopped it")]
    Unasked,
}

/// Listens on `address`.
pub(super) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServiceError> {
    let failed = |source| ServiceError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Returns the host by which `mesh_url` addresses a mesh, as in a `Host` header; `None` for loopback, which
/// needs no naming, and for what is no URL.
pub(super) fn own_host(mesh_url: &str) -> Option<String> {
    let url = Url::parse(mesh_url).ok()?;
    let host = url.host_str()?;
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    (!is_loopback).then(|| host.to_owned())
}

/// Says what it means that filters or administrators come from other machines.
pub(super) fn warn_of_plain_text(option: &str, address: SocketAddr, carries: &str) {
    if !address.ip().is_loopback() {
        warn!(
            "{option} is {address}, which is not loopback, and this version speaks plain HTTP there: {carries} \
             can be read on the way. Put a TLS-terminating sidecar or a service mesh with mTLS in front of it, or \
             keep it on a network that you trust"
        );
    }
}

/// Of the descriptors, administrators may take an eighth and filters a quarter; the database, the ledger's servers
/// and webhooks have the rest.
const API_SHARE: u32 = 8;
const GRPC_SHARE: u32 = 4;
const FEWEST_CONNECTIONS: usize = 16;
const API_PATIENCE: Duration = Duration::from_secs(10);
const API_KEPT: Duration = Duration::from_secs(60);
const API_REQUESTS: usize = 256;
const METRICS_REQUESTS: usize = 4;

/// The servers that run in this process.
#[derive(Debug)]
pub(super) struct Servers {
    /// Files that this process may have open.
    descriptors: u32,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<(), ServiceError>>,
}

impl Servers {
    pub(super) fn new(descriptors: u32) -> Self {
        Self {
            descriptors,
            stop: watch::Sender::new(false),
            tasks: JoinSet::new(),
        }
    }

    /// Serves the admin API, its health probe and the readiness of the mesh.
    pub(super) fn api(&mut self, listener: TcpListener, store: Store, readiness: Readiness) {
        let ledgers = readiness.control().ledgers().cloned();
        let metrics_store = store.clone();
        let api = api::router_with_mesh(store, readiness.clone(), ledgers);
        let metrics = metrics::router(metrics_store, readiness.clone());
        // Probes are in no budget: they must be answered when everything else is busy.
        let app = listener::at_most(API_REQUESTS, api)
            .merge(listener::at_most(METRICS_REQUESTS, metrics))
            .merge(readiness::router(readiness));
        let room = Room {
            connections: self.part(API_SHARE),
            patience: API_PATIENCE,
            kept: API_KEPT,
            speaks: Speaks::Http1,
        };
        let stopped = self.stopped();
        self.tasks.spawn(async move {
            listener::serve(listener, app, room, stopped).await;
            Ok(())
        });
    }

    /// Serves filters and Envoys.
    pub(super) fn grpc(&mut self, listener: TcpListener, control: Control, filter_token: Secret) {
        let stopped = self.stopped();
        let connections = self.part(GRPC_SHARE);
        self.tasks.spawn(async move {
            mesh::serve_to(connections, listener, control, filter_token, stopped).await;
            Ok(())
        });
    }

    /// Serves the demo provider.
    pub(super) fn demo(&mut self, listener: TcpListener) {
        let stopped = self.stopped();
        self.tasks.spawn(async move {
            demo::serve(listener, stopped)
                .await
                .map_err(|source| ServiceError::Demo { source })
        });
    }

    /// Waits for a server that ends by itself, and says why.
    pub(super) async fn failed(&mut self) -> ServiceError {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(source)) => ServiceError::Task { source },
            Some(Ok(Ok(()))) | None => ServiceError::Unasked,
        }
    }

    /// Ends all of them.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        // Long polls and kept connections have no end of their own to wait for.
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(2), finished)
            .await
            .is_err()
        {
            self.tasks.shutdown().await;
        }
    }

    /// Returns how many connections a share of the descriptors is.
    fn part(&self, share: u32) -> usize {
        let part = self.descriptors.checked_div(share).unwrap_or_default();
        usize::try_from(part)
            .unwrap_or(usize::MAX)
            .max(FEWEST_CONNECTIONS)
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            // An error means that the sender is gone, which is a stop as well.
            drop(stop.wait_for(|stopped| *stopped).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_urls_are_as_in_a_host_header() {
        for (url, want) in [
            ("http://10.0.0.7:8080", Some("10.0.0.7")),
            ("https://Mesh.Example/", Some("mesh.example")),
            ("http://[2001:db8::1]:80", Some("[2001:db8::1]")),
            ("http://127.0.0.1:8080", None),
            ("http://[::1]:8080", None),
            ("http://localhost:8080", None),
            ("mesh", None),
        ] {
            assert_eq!(own_host(url).as_deref(), want, "{url}");
        }
    }
}

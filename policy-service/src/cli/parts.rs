//! Everything of a mesh on this machine but Envoy: opened, registered and served.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use policy::secret::Secret;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::admin_socket::AdminSocket;
use super::data::DataFolder;
use super::endpoint::Addresses;
use super::first_run;
use super::providers;
use super::records::RecordLog;
use super::service::{self, Servers, ServiceError};
use super::terminal::say;
use super::trust;
use super::up::{Args, UpError};
use crate::mesh::{self, Control};
use crate::operations::exchanges::{self, Reported};
use crate::readiness::{self, Readiness};
use crate::render::RenderOptions;
use crate::store::Store;

/// How long a port of an Envoy that is still ending may stay taken.
const PORT_PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);

/// What was started.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) addresses: Addresses,
    /// The first virtual key.
    pub(super) key: Secret,
    pub(super) readiness: Readiness,
    pub(super) admin_socket: AdminSocket,
    store: Store,
    records: RecordLog,
    listen: SocketAddr,
    grpc: SocketAddr,
    body_cap_bytes: u64,
}

impl Parts {
    /// Opens the database, registers what the environment names, and serves.
    pub(super) async fn start(
        args: &Args,
        folder: &DataFolder,
        servers: &mut Servers,
        workers: u16,
    ) -> Result<Self, UpError> {
        let listen = free_address(args.listen).await?;
        let (admin_listener, admin_address) = service::listen(args.admin_listen).await?;
        let (grpc_listener, grpc) = service::listen(loopback()).await?;
        let store = first_run::open_store(folder).await?;
        let records = records_of_last_run(&store, folder).await?;

        let demo = service::listen(loopback()).await?;
        let registered = providers::register(&store, demo.1).await?;
        if registered.needs_demo {
            servers.demo(demo.0);
        }
        let key = first_run::first_key(&store, folder).await?;
        let filter_token = first_run::filter_token(folder)?;
        let settings = first_run::settings(&store).await?;
        if listen.ip().is_unspecified() && settings.hosts.is_empty() {
            say(&format!(
                "clients on other machines get 421 until the hosts they call are named: \
                 PATCH {}/api/v1/settings with {{\"hosts\": [\"mesh.example\"]}}",
                url(admin_address)
            ));
        }

        let options = mesh::Options {
            trust_anchors: trust::find(args.trust_anchors.as_deref()),
            extra_hosts: service::own_host(&url(listen)).into_iter().collect(),
            ledger: Some(args.ledger.open(folder).await?),
        };
        let control = Control::start(store.clone(), options)
            .await
            .map_err(|source| UpError::Start { source })?;
        let addresses = Addresses {
            mesh_url: url(listen),
            admin_url: url(admin_address),
            examples: registered.examples,
        };
        let expected = readiness::Options {
            mesh_urls: vec![addresses.mesh_url.clone()],
            workers: Some(usize::from(workers)),
        };
        let readiness = Readiness::start(control.clone(), expected);
        servers.api(admin_listener, store.clone(), readiness.clone());
        servers.grpc(grpc_listener, control, filter_token);
        let admin_socket = AdminSocket::place(folder.root(), std::process::id());
        Ok(Self {
            addresses,
            key,
            readiness,
            admin_socket,
            store,
            records,
            listen,
            grpc,
            body_cap_bytes: settings.body_cap_bytes,
        })
    }

    /// What Envoy's bootstrap is made from.
    pub(super) fn render_options(&self, folder: &DataFolder, filter: PathBuf) -> RenderOptions {
        RenderOptions {
            listen_host: self.listen.ip(),
            listen_port: self.listen.port(),
            policy_host: self.grpc.ip().to_string(),
            policy_port: self.grpc.port(),
            body_cap_bytes: self.body_cap_bytes,
            ..RenderOptions::new(
                filter,
                self.admin_socket.path().to_path_buf(),
                folder.filter_token_sds(),
            )
        }
    }

    /// Makes the first admin token; `None` when there is one already.
    pub(super) async fn admin_token(&self) -> Result<Option<Secret>, UpError> {
        Ok(first_run::admin_token(&self.store).await?)
    }

    /// Stores the records that are new in Envoy's log.
    pub(super) async fn take_records(&mut self) {
        if let Err(error) = take(&self.store, &mut self.records).await {
            tracing::error!(error = %super::report(&error), "records in envoy's log cannot be stored");
        }
    }

    /// Closes the database.
    pub(super) async fn close(self) {
        self.store.close().await;
    }
}

/// Stores what the Envoy of the last run could only write to its log, and makes room for a new log.
async fn records_of_last_run(store: &Store, folder: &DataFolder) -> Result<RecordLog, UpError> {
    let log = folder.envoy_log();
    take(store, &mut RecordLog::new(&log)).await?;
    folder.set_aside(&log)?;
    Ok(RecordLog::new(&log))
}

async fn take(store: &Store, log: &mut RecordLog) -> Result<(), UpError> {
    let found = log
        .poll()
        .await
        .map_err(|source| UpError::Records { source })?;
    if found.broken > 0 {
        tracing::error!(
            lines = found.broken,
            "lines of envoy's log should hold records and do not"
        );
    }
    for report in found.reports {
        exchanges::record(store, Reported::from(report))
            .await
            .map_err(|source| UpError::Store { source })?;
    }
    Ok(())
}

const fn loopback() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}

/// Makes sure that Envoy can listen on `address`, and chooses the port when it is 0.
///
/// Envoy itself would share a taken port with another Envoy and say nothing.
async fn free_address(address: SocketAddr) -> Result<SocketAddr, ServiceError> {
    let until = Instant::now() + PORT_PATIENCE;
    let mut told = false;
    loop {
        match TcpListener::bind(address)
            .await
            .and_then(|listener| listener.local_addr())
        {
            Ok(bound) => return Ok(bound),
            Err(source) if Instant::now() >= until => {
                return Err(ServiceError::Listen { address, source });
            }
            Err(_taken) => {
                if !told {
                    say(&format!(
                        "waiting for {address}, which something else is using"
                    ));
                    told = true;
                }
                sleep(POLL).await;
            }
        }
    }
}

/// The URL by which this machine reaches `address`.
fn url(address: SocketAddr) -> String {
    let reachable = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    format!("http://{}", SocketAddr::new(reachable, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_an_address_that_can_be_called() {
        assert_eq!(url("0.0.0.0:80".parse().unwrap()), "http://127.0.0.1:80");
        assert_eq!(url("[::]:80".parse().unwrap()), "http://[::1]:80");
        assert_eq!(url("192.0.2.1:80".parse().unwrap()), "http://192.0.2.1:80");
    }

    #[tokio::test]
    async fn port_zero_is_replaced_by_a_free_one() {
        assert_ne!(free_address(loopback()).await.unwrap().port(), 0);
    }
}

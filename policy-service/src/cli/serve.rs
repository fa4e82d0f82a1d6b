//! `weir serve`: the policy service alone, for Envoys that run elsewhere.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use super::data::{DataError, DataFolder, Sharing};
use super::first_run::{self, FirstRunError};
use super::ledger::LedgerArgs;
use super::limits;
use super::service::{self, Servers, ServiceError};
use super::signals::Signals;
use super::terminal::say;
use super::trust;
use crate::ledger::opening::OpenError;
use crate::mesh::{self, Control};
use crate::readiness::{self, Readiness};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Envoys find the service with what `weir render envoy` prints.
/healthz answers when the process runs, /readyz when this replica can serve its API and filters, whatever Envoys do; \
/readyz/mesh when every Envoy named by --mesh-url enforces the newest policy; with no --mesh-url, when every filter \
that reports says so."
)]
pub(super) struct Args {
    /// Folder for the database and the secrets; made at the first start
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = ".weir",
        env = "WEIR_DATA"
    )]
    data: PathBuf,
    /// Where the admin API listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081")]
    admin_listen: SocketAddr,
    /// Where filters and Envoys are served
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8082")]
    grpc_listen: SocketAddr,
    /// Base URL of an Envoy whose enforcement is to be proven by canary requests; may be repeated
    #[arg(long, value_name = "URL")]
    mesh_url: Vec<String>,
    /// Certificate authorities that providers are verified against, as the Envoys see them
    #[arg(long, value_name = "PATH")]
    trust_anchors: Option<PathBuf>,
    /// Workers that each of those Envoys has, when they are to be counted
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    #[command(flatten)]
    ledger: LedgerArgs,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    FirstRun(#[from] FirstRunError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Ledger(#[from] OpenError),
    #[error("cannot compile the stored policy")]
    Start { source: mesh::StartError },
    #[error("cannot take signals")]
    Signals { source: io::Error },
}

/// Serves until a signal comes.
pub(super) async fn run(args: Args) -> Result<ExitCode, ServeError> {
    first_run::close_files_to_others();
    let mut signals = Signals::take().map_err(|source| ServeError::Signals { source })?;
    let folder = DataFolder::open_or_create(&args.data)?;
    let _lock = folder.lock(if args.ledger.is_shared() {
        Sharing::WithReplicas
    } else {
        Sharing::Alone
    })?;
    let (admin_listener, admin_address) = service::listen(args.admin_listen).await?;
    let (grpc_listener, grpc_address) = service::listen(args.grpc_listen).await?;
    service::warn_of_plain_text(
        "--grpc-listen",
        grpc_address,
        "the providers' keys and the filters' token",
    );
    service::warn_of_plain_text("--admin-listen", admin_address, "admin tokens and new keys");
    let starting = folder.start_alone()?;
    let store = first_run::open_store(&folder).await?;
    if let Some(token) = first_run::admin_token(&store).await? {
        say(&format!(
            "admin token (shown this once): {}",
            token.expose()
        ));
    }
    let filter_token = first_run::filter_token(&folder)?;
    drop(starting);
    let trust_anchors = trust::find(args.trust_anchors.as_deref());
    let hosts = args
        .mesh_url
        .iter()
        .filter_map(|url| service::own_host(url));
    let options = mesh::Options {
        trust_anchors,
        extra_hosts: hosts.collect(),
        ledger: Some(args.ledger.open(&folder).await?),
    };
    let control = Control::start(store.clone(), options)
        .await
        .map_err(|source| ServeError::Start { source })?;
    let options = readiness::Options {
        mesh_urls: args.mesh_url,
        workers: args.workers,
    };
    let readiness = Readiness::start(control.clone(), options);
    let mut servers = Servers::new(limits::raise_descriptors());
    servers.api(admin_listener, store, readiness);
    servers.grpc(grpc_listener, control, filter_token);
    say(&format!(
        "admin API on http://{admin_address}/api/v1, filters on {grpc_address}"
    ));
    say(&format!(
        "the filters' token is in {}",
        folder.filter_token().display()
    ));
    tokio::select! {
        () = signals.next() => {}
        error = servers.failed() => return Err(error.into()),
    }
    say("stopping");
    servers.stop().await;
    Ok(ExitCode::SUCCESS)
}

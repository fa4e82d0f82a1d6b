//! `weir render`: configuration for a proxy.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::data::{DataError, DataFolder};
use super::first_run::{self, FirstRunError};
use super::{terminal, trust};
use crate::mesh::{self, PublishError};
use crate::render::{self, AccessLog, MemoryMonitor, RenderOptions};
use crate::store::StoreError;
use crate::xds::ASSUMED_DESCRIPTORS;

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    proxy: Proxy,
}

#[derive(Debug, Subcommand)]
enum Proxy {
    /// Print a bootstrap for an Envoy that takes its clusters from the policy service, or parts for one that does not
    Envoy(EnvoyArgs),
}

#[derive(Debug, clap::Args)]
struct EnvoyArgs {
    /// Print the listener's filters and routes and all clusters, to be merged into an Envoy that is not Weir's
    #[arg(long)]
    fragment: bool,
    /// Folder of the policy service's data
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = ".weir",
        env = "WEIR_DATA"
    )]
    data: PathBuf,
    /// Where that Envoy listens for clients
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where that Envoy reaches the policy service's --grpc-listen
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8082", value_parser = host_and_port)]
    policy: HostPort,
    /// Filter module, as that Envoy sees it
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/etc/weir/weir_filter.wasm"
    )]
    filter: PathBuf,
    /// Secret resource with the filter's token, as that Envoy sees it; the one in the data folder if not given
    #[arg(long, value_name = "PATH")]
    token_sds: Option<PathBuf>,
    /// Unix socket for that Envoy's admin interface; beside the data if not given
    #[arg(long, value_name = "PATH")]
    admin_socket: Option<PathBuf>,
    /// Name of that Envoy towards the policy service
    #[arg(long, value_name = "NAME", default_value = "weir")]
    node_id: String,
    /// Certificate authorities for providers, as that Envoy sees them
    #[arg(long, value_name = "PATH")]
    trust_anchors: Option<PathBuf>,
    /// Files that Envoy may have open, its hard limit: a third is for clients, a third for providers
    #[arg(long, value_name = "N", default_value_t = ASSUMED_DESCRIPTORS, value_parser = clap::value_parser!(u32).range(64..))]
    descriptors: u32,
    /// Heap that Envoy may have, outside of a container; in one its memory limit counts
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..=16_777_216))]
    heap_mib: Option<u64>,
    /// Write one JSON line per request to Envoy's standard output
    #[arg(long)]
    access_log: bool,
}

/// A host name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostPort {
    host: String,
    port: u16,
}

fn host_and_port(text: &str) -> Result<HostPort, String> {
    let complaint = || format!("`{text}` is not HOST:PORT");
    let (host, port) = text.rsplit_once(':').ok_or_else(complaint)?;
    let port = port
        .parse()
        .map_err(|_not_a_port: std::num::ParseIntError| complaint())?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if host.is_empty() {
        Err(complaint())
    } else {
        Ok(HostPort {
            host: host.to_owned(),
            port,
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum RenderError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    FirstRun(#[from] FirstRunError),
    #[error("cannot read the stored policy")]
    Store { source: StoreError },
    #[error("cannot compile the stored policy")]
    Compile { source: PublishError },
    #[error("cannot write to standard output")]
    Print { source: io::Error },
}

/// Prints what was asked for.
pub(super) async fn run(args: Args) -> Result<ExitCode, RenderError> {
    let Proxy::Envoy(args) = args.proxy;
    let folder = DataFolder::existing(&args.data)?;
    first_run::filter_token(&folder)?;
    let store = first_run::open_store(&folder).await?;
    let settings = store
        .documents()
        .await
        .map_err(|source| RenderError::Store { source })?
        .settings;
    let token_sds = args.token_sds.unwrap_or_else(|| folder.filter_token_sds());
    let admin_socket = args
        .admin_socket
        .unwrap_or_else(|| folder.root().join("envoy-admin.sock"));
    let options = RenderOptions {
        listen_host: args.listen.ip(),
        listen_port: args.listen.port(),
        policy_host: args.policy.host,
        policy_port: args.policy.port,
        node_id: args.node_id,
        body_cap_bytes: settings.body_cap_bytes,
        access_log: if args.access_log {
            AccessLog::JsonStdout
        } else {
            AccessLog::Off
        },
        trust_anchors: trust::find(args.trust_anchors.as_deref()),
        descriptors: args.descriptors,
        memory: args
            .heap_mib
            .map_or(MemoryMonitor::Container, |mib| MemoryMonitor::Heap {
                bytes: mib.saturating_mul(1 << 20),
            }),
        ..RenderOptions::new(args.filter, admin_socket, token_sds)
    };
    let text = if args.fragment {
        let mesh = mesh::compile_once(&store)
            .await
            .map_err(|source| RenderError::Compile { source })?;
        render::fragment(&options, &mesh).text
    } else {
        render::bootstrap(&options)
    };
    store.close().await;
    terminal::answer(&text).map_err(|source| RenderError::Print { source })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_may_be_names_and_addresses() {
        let want = |host: &str, port| {
            Ok(HostPort {
                host: host.to_owned(),
                port,
            })
        };
        assert_eq!(
            host_and_port("policy.internal:8082"),
            want("policy.internal", 8082)
        );
        assert_eq!(host_and_port("[::1]:1"), want("::1", 1));
        assert!(host_and_port("policy.internal").is_err());
        assert!(host_and_port(":80").is_err());
        assert!(host_and_port("h:99999").is_err());
    }
}

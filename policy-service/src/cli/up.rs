//! `weir up`: a whole mesh on this machine.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use tokio::time::interval;

use super::data::{DataError, DataFolder, Sharing};
use super::envoy::{self, Envoy, EnvoyError};
use super::first_run::{self, FirstRunError};
use super::gemini_settings::{self, GeminiSettingsError};
use super::greeting::Greeting;
use super::ledger::LedgerArgs;
use super::limits;
use super::parts::Parts;
use super::pressure::Pressure;
use super::providers::ProvidersError;
use super::service::{Servers, ServiceError};
use super::signals::Signals;
use super::terminal::{self, say};
use crate::ledger::opening::OpenError;
use crate::mesh;
use crate::operations::OperationError;
use crate::readiness::{self, NotReady, Readiness};
use crate::render::{self, RenderOptions};

/// How long workers may take to enforce the first policy.
const READY_PATIENCE: Duration = Duration::from_secs(60);
const PROGRESS: Duration = Duration::from_millis(500);
/// How often Envoy's log is searched for records.
const RECORD_SEARCH: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Providers are registered from ANTHROPIC_API_KEY, OPENAI_API_KEY and GEMINI_API_KEY; with none of \
them, and none added through the admin API, a built-in demo provider answers.
Ctrl-C lets running requests finish and ends everything that was started; a second Ctrl-C ends them at once."
)]
pub(super) struct Args {
    /// Folder for everything the mesh keeps; made at the first start
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = ".weir",
        env = "WEIR_DATA"
    )]
    data: PathBuf,
    /// Where clients reach the mesh; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub(super) listen: SocketAddr,
    /// Where the admin API listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081")]
    pub(super) admin_listen: SocketAddr,
    /// Envoy binary, 1.37 or newer; the first good one on the PATH if not given
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// Filter module; by default the one beside this program or in cargo's target folder
    #[arg(long, value_name = "PATH")]
    filter: Option<PathBuf>,
    /// Envoy's worker threads; one for each core if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Certificate authorities that providers are verified against; the system's if not given
    #[arg(long, value_name = "PATH")]
    pub(super) trust_anchors: Option<PathBuf>,
    /// How long running requests may take to finish when the mesh is stopped
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    drain_secs: u64,
    #[command(flatten)]
    pub(super) ledger: LedgerArgs,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum UpError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Envoy(#[from] EnvoyError),
    #[error(transparent)]
    FirstRun(#[from] FirstRunError),
    #[error(transparent)]
    Providers(#[from] ProvidersError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    GeminiSettings(#[from] GeminiSettingsError),
    #[error("cannot search Envoy's log for records")]
    Records { source: io::Error },
    #[error("cannot store what Envoy's log holds")]
    Store { source: OperationError },
    #[error(
        "the filter module `{path}` does not exist: build it with `cargo xtask build`, or name it with --filter"
    )]
    NoFilter { path: PathBuf },
    #[error(transparent)]
    Ledger(#[from] OpenError),
    #[error("cannot compile the stored policy")]
    Start { source: mesh::StartError },
    #[error("the mesh did not get ready")]
    NotReady { source: NotReady },
    #[error("Envoy ended by itself ({status}); the end of its log:\n{log}")]
    EnvoyEnded { status: ExitStatus, log: String },
    #[error("cannot tell Envoy how much memory it takes")]
    Pressure { source: io::Error },
    #[error("cannot take signals")]
    Signals { source: io::Error },
    #[error("cannot write to standard output")]
    Print { source: io::Error },
}

/// Runs a mesh until a signal comes or a part of it ends.
pub(super) async fn run(args: Args) -> Result<ExitCode, UpError> {
    first_run::close_files_to_others();
    let mut signals = Signals::take().map_err(|source| UpError::Signals { source })?;
    let binary = envoy::find(args.envoy.as_deref()).await?;
    let filter = find_filter(args.filter.as_deref())?;
    let workers = args.workers.unwrap_or_else(cores);
    let folder = DataFolder::open_or_create(&args.data)?;
    let _lock = folder.lock(Sharing::Alone)?;

    let descriptors = limits::raise_descriptors();
    let mut servers = Servers::new(descriptors);
    let mut parts = Parts::start(&args, &folder, &mut servers, workers).await?;
    let pressure = Pressure::place(folder.root()).map_err(|source| UpError::Pressure { source })?;
    let options = RenderOptions {
        descriptors,
        memory: Pressure::monitor(pressure.as_ref()),
        ..parts.render_options(&folder, filter)
    };
    let bootstrap = render::bootstrap(&options);
    folder.write(&folder.envoy_bootstrap(), &bootstrap)?;
    say(&format!(
        "starting Envoy with {workers} workers; its log is {}",
        folder.envoy_log().display()
    ));
    let mut envoy = Envoy::start(envoy::Launch {
        binary: &binary,
        bootstrap: &folder.envoy_bootstrap(),
        log: &folder.envoy_log(),
        admin: parts.admin_socket.clone(),
        workers,
    })?;

    let telling = pressure.map(|pressure| tokio::spawn(pressure.tell(envoy.pid())));
    let outcome = live(&mut parts, &folder, &mut envoy, &mut servers, &mut signals).await;
    if outcome.is_ok() {
        say("stopping; running requests may finish (Ctrl-C again ends them)");
        tokio::select! {
            () = envoy.drain(Duration::from_secs(args.drain_secs)) => {}
            () = signals.next() => {}
        }
    }
    let stopped = envoy.stop().await;
    if let Some(telling) = telling {
        telling.abort();
    }
    parts.take_records().await;
    servers.stop().await;
    parts.close().await;
    outcome?;
    stopped?;
    Ok(ExitCode::SUCCESS)
}

/// From the start of Envoy to the reason to stop it; a signal is no error.
async fn live(
    parts: &mut Parts,
    folder: &DataFolder,
    envoy: &mut Envoy,
    servers: &mut Servers,
    signals: &mut Signals,
) -> Result<(), UpError> {
    tokio::select! {
        ready = ready(&parts.readiness) => ready?,
        ended = envoy.ended() => return Err(ended_early(ended, envoy)),
        error = servers.failed() => return Err(error.into()),
        () = signals.next() => return Ok(()),
    }
    parts.addresses.save(folder)?;
    greet(parts, folder).await?;
    tokio::select! {
        ended = envoy.ended() => Err(ended_early(ended, envoy)),
        error = servers.failed() => Err(error.into()),
        () = signals.next() => Ok(()),
        () = search_records(parts) => Ok(()),
    }
}

/// Waits until every worker has proven that it enforces the policy, and says meanwhile what is missing.
async fn ready(readiness: &Readiness) -> Result<(), UpError> {
    let tell = async {
        let mut told = String::new();
        let mut pulse = interval(PROGRESS);
        loop {
            pulse.tick().await;
            let line = progress(&readiness.state());
            if line != told {
                say(&line);
                told = line;
            }
        }
    };
    tokio::select! {
        ready = readiness.wait_ready(READY_PATIENCE) => ready.map_err(|source| UpError::NotReady { source }),
        () = tell => Ok(()),
    }
}

fn progress(state: &readiness::State) -> String {
    if state.workers_expected == 0 {
        return String::from("waiting for Envoy to listen");
    }
    let counted = format!(
        "{} of {} workers enforce the policy",
        state.workers_proven, state.workers_expected
    );
    match &state.missing {
        Some(missing) => format!("{counted}; waiting: {missing}"),
        None => counted,
    }
}

async fn search_records(parts: &mut Parts) {
    let mut pulse = interval(RECORD_SEARCH);
    loop {
        pulse.tick().await;
        parts.take_records().await;
    }
}

async fn greet(parts: &Parts, folder: &DataFolder) -> Result<(), UpError> {
    // Made here and not earlier: a start that fails must not make a token that nobody sees.
    let admin_token = parts.admin_token().await?;
    let greeting = Greeting {
        addresses: &parts.addresses,
        key: &parts.key,
        key_file: &folder.virtual_key(),
        gemini_settings: &gemini_settings::write(Some(folder.root()))?,
        admin_token: admin_token.as_ref(),
    };
    terminal::answer(&greeting.text()).map_err(|source| UpError::Print { source })?;
    say("the mesh is up; Ctrl-C stops it");
    Ok(())
}

fn ended_early(ended: Result<ExitStatus, EnvoyError>, envoy: &Envoy) -> UpError {
    match ended {
        Ok(status) => UpError::EnvoyEnded {
            status,
            log: envoy.last_words(),
        },
        Err(error) => error.into(),
    }
}

/// Returns `asked`, else the filter beside this program, else the one cargo built.
fn find_filter(asked: Option<&Path>) -> Result<PathBuf, UpError> {
    const NAME: &str = "weir_filter.wasm";
    let missing = |path: &Path| UpError::NoFilter {
        path: path.to_path_buf(),
    };
    let candidates = match asked {
        Some(path) => vec![path.to_path_buf()],
        None => {
            let exe = std::env::current_exe().unwrap_or_default();
            let beside = exe.with_file_name(NAME);
            // `target/release/weir` and `target/wasm32-wasip1/release/weir_filter.wasm`
            let built = exe
                .ancestors()
                .nth(2)
                .map(|target| target.join("wasm32-wasip1/release").join(NAME));
            std::iter::once(beside).chain(built).collect()
        }
    };
    let found = candidates.iter().find_map(|path| path.canonicalize().ok());
    found.ok_or_else(|| {
        missing(
            candidates
                .first()
                .map_or_else(|| Path::new(NAME), PathBuf::as_path),
        )
    })
}

fn cores() -> u16 {
    std::thread::available_parallelism()
        .ok()
        .and_then(|cores| u16::try_from(cores.get()).ok())
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_not_there_is_named() {
        let error = find_filter(Some(Path::new("/nonexistent/f.wasm"))).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/f.wasm"));
    }
}

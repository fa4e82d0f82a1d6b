//! Envoy as a child process: found, started, drained, stopped.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::admin_socket::AdminSocket;

/// Oldest release that is known to run the filter.
const FLOOR: (u32, u32) = (1, 37);
/// Between SIGTERM and SIGKILL. Envoy takes about two seconds when its filters flush.
const TERM_PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);
/// Lines of the log that are shown when Envoy ends by itself.
const TAIL_LINES: usize = 12;

#[derive(Debug, thiserror::Error)]
pub(super) enum EnvoyError {
    #[error(
        "no Envoy of {}.{} or newer was found: give its path with --envoy, or start with `cargo xtask up`, which gets one",
        FLOOR.0,
        FLOOR.1
    )]
    Missing,
    #[error("`{path}` is Envoy {}.{}; {}.{} or newer is needed", found.0, found.1, FLOOR.0, FLOOR.1)]
    TooOld { path: PathBuf, found: (u32, u32) },
    #[error("`{path}` is not an Envoy that runs here")]
    NotEnvoy { path: PathBuf },
    #[error("cannot start Envoy")]
    Start { source: io::Error },
    #[error("cannot wait for Envoy")]
    Wait { source: io::Error },
    #[error("cannot open Envoy's log `{path}`")]
    Log { path: PathBuf, source: io::Error },
}

/// Returns the Envoy to use: `asked`, else one on the PATH that is new enough.
pub(super) async fn find(asked: Option<&Path>) -> Result<PathBuf, EnvoyError> {
    if let Some(path) = asked {
        return match version(path).await {
            Some(found) if found >= FLOOR => Ok(path.to_path_buf()),
            Some(found) => Err(EnvoyError::TooOld {
                path: path.to_path_buf(),
                found,
            }),
            None => Err(EnvoyError::NotEnvoy {
                path: path.to_path_buf(),
            }),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    for candidate in std::env::split_paths(&path).map(|folder| folder.join("envoy")) {
        if candidate.is_file()
            && version(&candidate)
                .await
                .is_some_and(|found| found >= FLOOR)
        {
            return Ok(candidate);
        }
    }
    Err(EnvoyError::Missing)
}

async fn version(path: &Path) -> Option<(u32, u32)> {
    let asked = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .env_clear()
        .envs(environment())
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(10), asked).await.ok()?.ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `…/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let release = text.split_once("version:")?.1.trim().split('/').nth(1)?;
    let mut numbers = release.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// How to start an Envoy.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    pub(super) binary: &'a Path,
    pub(super) bootstrap: &'a Path,
    pub(super) log: &'a Path,
    pub(super) admin: AdminSocket,
    pub(super) workers: u16,
}

/// An Envoy that was started here.
#[derive(Debug)]
pub(super) struct Envoy {
    child: Child,
    pid: Pid,
    admin: AdminSocket,
    log: PathBuf,
}

impl Envoy {
    /// Starts Envoy in a process group of its own, so that Ctrl-C at the terminal reaches this process alone and
    /// Envoy can be drained. Must be called on the main thread: the system signals Envoy when that thread ends.
    pub(super) fn start(launch: Launch<'_>) -> Result<Self, EnvoyError> {
        let start = |source| EnvoyError::Start { source };
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(launch.log)
            .map_err(|source| EnvoyError::Log {
                path: launch.log.to_path_buf(),
                source,
            })?;
        launch.admin.clear().map_err(start)?;
        let mut command = Command::new(std::env::current_exe().map_err(start)?);
        command
            .arg("child")
            .args(["--parent", &std::process::id().to_string(), "--"])
            .args(arguments(&launch))
            .env_clear()
            .envs(environment())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(start)?)
            .stderr(log)
            .process_group(0);
        let child = command.spawn().map_err(start)?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let pid = pid.ok_or_else(|| start(io::Error::other("it ended at once")))?;
        Ok(Self {
            child,
            pid,
            admin: launch.admin,
            log: launch.log.to_path_buf(),
        })
    }

    /// Waits for Envoy to end by itself.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, EnvoyError> {
        self.child
            .wait()
            .await
            .map_err(|source| EnvoyError::Wait { source })
    }

    /// Returns Envoy's process id.
    pub(super) const fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Whether Envoy has ended, without waiting.
    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The last lines Envoy wrote, for the person who must find out why it ended.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    }

    /// Lets running requests finish, for `patience` at most.
    pub(super) async fn drain(&self, patience: Duration) {
        let until = Instant::now() + patience;
        if let Err(error) = self.admin.drain().await {
            tracing::warn!(%error, "envoy cannot be drained");
            return;
        }
        while Instant::now() < until {
            match self.admin.active_requests().await {
                Ok(0) => return,
                Ok(_) => sleep(POLL).await,
                Err(error) => {
                    tracing::warn!(%error, "envoy does not say what it is serving");
                    return;
                }
            }
        }
    }

    /// Ends Envoy: asks, waits, and kills it as the last resort.
    pub(super) async fn stop(&mut self) -> Result<ExitStatus, EnvoyError> {
        if let Some(status) = self.has_ended() {
            return Ok(status);
        }
        if let Err(error) = kill(self.pid, Signal::SIGTERM) {
            tracing::debug!(%error, "envoy cannot be signalled; it may have ended since");
        }
        if let Ok(status) = timeout(TERM_PATIENCE, self.child.wait()).await {
            return status.map_err(|source| EnvoyError::Wait { source });
        }
        tracing::warn!(pid = self.pid.as_raw(), "envoy does not end and is killed");
        self.child
            .kill()
            .await
            .map_err(|source| EnvoyError::Wait { source })?;
        self.ended().await
    }
}

/// What Envoy inherits. All else may be somebody's secret: providers' keys, the ledger's password.
fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
    const NAMES: [&str; 7] = [
        "HOME",
        "LANG",
        "LC_ALL",
        "LD_LIBRARY_PATH",
        "PATH",
        "TMPDIR",
        "TZ",
    ];
    NAMES
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
}

fn arguments(launch: &Launch<'_>) -> Vec<OsString> {
    vec![
        launch.binary.into(),
        "--config-path".into(),
        launch.bootstrap.into(),
        "--concurrency".into(),
        launch.workers.to_string().into(),
        "--log-level".into(),
        "warning".into(),
        // Hot restart uses names that are shared by every Envoy of the machine.
        "--disable-hot-restart".into(),
        "--drain-strategy".into(),
        "immediate".into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_line_is_read() {
        let text = "\n/usr/bin/envoy  version: 0a1b2c/1.40.0/Clean/RELEASE/BoringSSL\n";
        assert_eq!(parse_version(text), Some((1, 40)));
        assert_eq!(parse_version("something else"), None);
    }

    #[tokio::test]
    async fn a_path_that_is_no_envoy_is_named() {
        let error = find(Some(Path::new("/bin/sh"))).await.unwrap_err();
        assert!(error.to_string().contains("/bin/sh"), "{error}");
        assert!(find(Some(Path::new("/nonexistent/envoy"))).await.is_err());
    }
}

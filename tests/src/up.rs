//! `weir up`, as a user starts it.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{Answered, Protocol, Request};
use crate::mesh::admin::Admin;
use crate::parts;
use crate::process::{Group, Part};
use crate::wait;

const PATIENCE: Duration = Duration::from_secs(60);

/// A folder in which meshes are started one after another.
#[derive(Debug)]
pub struct Home {
    folder: PathBuf,
    group: Group,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// Makes an empty folder.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("weir-up-")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        let group = Group::new(&folder);
        Self { folder, group }
    }

    /// Returns the data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts `weir up` on free ports with `variables` in its environment; returns once it says that it is up.
    #[track_caller]
    pub fn start(&self, variables: &[(&str, &str)]) -> Up {
        // A mesh that ran here before left its addresses.
        let endpoint = self.data().join("endpoint.json");
        std::fs::remove_file(&endpoint).unwrap_or_default();
        let (out, err) = (self.folder.join("up.out"), self.folder.join("up.err"));
        let mut command = Command::new(parts::weir());
        command
            .arg("up")
            .arg("--data")
            .arg(self.data())
            .args([
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                "--workers",
                "2",
            ])
            .arg("--envoy")
            .arg(parts::envoy())
            .arg("--filter")
            .arg(parts::filter())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(variables.iter().copied())
            .stdout(fresh(&out))
            .stderr(fresh(&err));
        let mut part = self.group.spawn(command);
        let addresses: Value = wait::until_for("`weir up` to be ready", PATIENCE, || {
            let ended = part.ended();
            let said = || format!("{}\n{}", read(&out), read(&err));
            assert!(ended.is_none(), "`weir up` ended: {ended:?}\n{}", said());
            let is_up = read(&out).contains("Base URL") && read(&err).contains("the mesh is up");
            is_up
                .then(|| serde_json::from_str(&read(&endpoint)).ok())
                .flatten()
        });
        let address = |field: &str| -> SocketAddr {
            let url = addresses[field].as_str().unwrap_or_default();
            url.trim_start_matches("http://")
                .parse()
                .unwrap_or_else(|error| panic!("{field} in {addresses}: {error}"))
        };
        Up {
            part,
            mesh: address("mesh_url"),
            admin: address("admin_url"),
            key: read(&self.data().join("virtual.key")).trim().to_owned(),
            greeting: read(&out),
            err,
        }
    }
}

fn fresh(path: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)
        .expect("an output file")
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// A mesh that `weir up` runs.
#[derive(Debug)]
pub struct Up {
    part: Part,
    pub mesh: SocketAddr,
    pub admin: SocketAddr,
    /// The first virtual key.
    pub key: String,
    /// What was printed on standard output.
    pub greeting: String,
    err: PathBuf,
}

impl Up {
    /// Returns the admin token from the greeting; `None` when none was shown.
    pub fn admin_token(&self) -> Option<String> {
        self.labelled("Admin token")
            .filter(|token| token.starts_with("weir-admin-"))
    }

    /// Returns what stands behind `label` in the greeting.
    pub fn labelled(&self, label: &str) -> Option<String> {
        let line = self
            .greeting
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(label))?;
        Some(line.trim().to_owned())
    }

    /// Returns the `curl` command of the greeting.
    #[track_caller]
    pub fn curl(&self) -> String {
        let start = self
            .greeting
            .find("curl ")
            .unwrap_or_else(|| panic!("no curl in {}", self.greeting));
        self.greeting[start..].to_owned()
    }

    /// Returns what was printed on standard error so far.
    pub fn log(&self) -> String {
        read(&self.err)
    }

    /// Returns the admin API with `token`.
    pub fn admin(&self, token: &str) -> Admin {
        Admin::new(self.admin, token.to_owned())
    }

    /// Sends `request` to the mesh.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Answered {
        request
            .send(self.mesh, Protocol::Http1)
            .unwrap_or_else(|error| panic!("no answer: {error}\n{}", read(&self.err)))
    }

    /// Returns the ids of the processes it has started and that still run.
    pub fn children(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.part.pid());
        read(Path::new(&path))
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn wait_end(mut self) -> ExitStatus {
        self.part.wait_end()
    }

    /// Presses Ctrl-C and waits for the end.
    #[track_caller]
    pub fn interrupt(mut self) -> ExitStatus {
        self.part.end(Signal::SIGINT)
    }

    /// Kills it without warning.
    #[track_caller]
    pub fn kill(mut self) -> ExitStatus {
        self.part.end(Signal::SIGKILL)
    }
}

/// Whether a process with this id runs.
pub fn runs(pid: u32) -> bool {
    let state = read(Path::new(&format!("/proc/{pid}/stat")));
    // A zombie has ended and waits to be collected.
    !state.is_empty()
        && !state
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
}

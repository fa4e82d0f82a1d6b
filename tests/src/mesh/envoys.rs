//! The Envoys of a mesh: each has its own address, bootstrap and log, all enforce one policy.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;

use nix::sys::signal::Signal;

use super::{Mesh, START_PATIENCE, free_port};
use crate::client::{Protocol, Request};
use crate::parts;
use crate::process::Part;
use crate::wait;

/// One Envoy, running or not.
#[derive(Debug)]
pub(super) struct Envoy {
    /// `envoy`, `envoy-1`…
    name: String,
    listen: SocketAddr,
    pub(super) part: Mutex<Option<Part>>,
}

impl Envoy {
    pub(super) fn new(nth: usize) -> Self {
        let name = match nth {
            0 => "envoy".to_owned(),
            _ => format!("envoy-{nth}"),
        };
        Self {
            name,
            listen: free_port(),
            part: Mutex::new(None),
        }
    }

    /// Returns the name of one of its files.
    pub(super) fn file(&self, extension: &str) -> String {
        format!("{}.{extension}", self.name)
    }
}

impl Mesh {
    /// Returns where clients reach the first Envoy.
    pub fn address(&self) -> SocketAddr {
        self.envoys[0].listen
    }

    /// Returns where clients reach each Envoy.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.envoys.iter().map(|envoy| envoy.listen).collect()
    }

    /// Returns the base URL of the first Envoy.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Starts the first Envoy; workers may not be ready yet.
    #[track_caller]
    pub fn start_envoy(&self) {
        self.start_envoy_at(0);
    }

    /// Starts an Envoy; workers may not be ready yet.
    #[track_caller]
    pub fn start_envoy_at(&self, nth: usize) {
        let envoy = &self.envoys[nth];
        // A socket of an Envoy that was killed stays behind.
        std::fs::remove_file(self.admin_socket_at(nth)).unwrap_or_default();
        let mut command = match self.descriptors {
            Some(most) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={most}")).arg(parts::envoy());
                command
            }
            None => Command::new(parts::envoy()),
        };
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .arg("--config-path")
            .arg(self.bootstrap_at(nth))
            .args(["--concurrency", &self.workers.to_string()])
            .args([
                "--log-level",
                "warning",
                "--disable-hot-restart",
                "--drain-strategy",
                "immediate",
            ])
            .stdout(self.log(&envoy.file("log")))
            .stderr(self.log(&envoy.file("log")));
        *envoy.part.lock().unwrap() = Some(self.group.spawn(command));
        wait::until_for("Envoy", START_PATIENCE, || {
            self.assert_alive(&envoy.part, "Envoy");
            std::net::TcpStream::connect(envoy.listen).ok()
        });
    }

    /// Waits until every worker of an Envoy that was started anew has its policy.
    #[track_caller]
    pub fn wait_serves(&self, nth: usize) {
        let address = self.envoys[nth].listen;
        let unkeyed = Request::get("/v1/models");
        wait::until("an Envoy to have its policy", || {
            // Fresh connections meet every worker.
            let knows = |_: usize| {
                let answered = unkeyed.send(address, Protocol::Http1);
                answered.is_ok_and(|it| it.weir_code().as_deref() == Some("missing_credential"))
            };
            (0..20).all(knows).then_some(())
        });
    }

    /// Ends the first Envoy by `signal`.
    #[track_caller]
    pub fn end_envoy(&self, signal: Signal) -> ExitStatus {
        self.end_envoy_at(0, signal)
    }

    /// Ends an Envoy by `signal`.
    #[track_caller]
    pub fn end_envoy_at(&self, nth: usize, signal: Signal) -> ExitStatus {
        self.envoys[nth]
            .part
            .lock()
            .unwrap()
            .take()
            .expect("a running Envoy")
            .end(signal)
    }

    /// Returns the first Envoy's process id.
    pub fn envoy_pid(&self) -> u32 {
        self.envoys[0]
            .part
            .lock()
            .unwrap()
            .as_ref()
            .expect("a running Envoy")
            .pid()
    }

    /// Returns the Unix socket of the first Envoy's admin interface.
    pub fn admin_socket(&self) -> PathBuf {
        self.admin_socket_at(0)
    }

    fn admin_socket_at(&self, nth: usize) -> PathBuf {
        self.folder
            .join(format!("{}-admin.sock", self.envoys[nth].name))
    }

    /// Returns the bootstrap the first Envoy is started with.
    pub fn bootstrap(&self) -> PathBuf {
        self.bootstrap_at(0)
    }

    fn bootstrap_at(&self, nth: usize) -> PathBuf {
        self.folder.join(self.envoys[nth].file("yaml"))
    }

    #[track_caller]
    pub(super) fn render(&self, nth: usize) {
        let out = Command::new(&self.weir)
            .args(["render", "envoy", "--data"])
            .arg(self.data())
            .args(["--listen", &self.envoys[nth].listen.to_string()])
            .args(["--policy", &self.grpc_listen_for(nth).to_string()])
            .arg("--filter")
            .arg(&self.filter)
            .arg("--admin-socket")
            .arg(self.admin_socket_at(nth))
            .args(["--node-id", &format!("tests-{nth}")])
            .args(
                self.descriptors
                    .iter()
                    .flat_map(|most| ["--descriptors".to_owned(), most.to_string()]),
            )
            .stdin(Stdio::null())
            .output()
            .expect("`weir render envoy`");
        assert!(
            out.status.success(),
            "weir render envoy: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        std::fs::write(self.bootstrap_at(nth), &out.stdout).expect("the bootstrap's file");
    }
}

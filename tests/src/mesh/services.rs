//! The policy service of a mesh, or replicas of it that share policy and ledger.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::{Command, ExitStatus};
use std::sync::Mutex;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{Mesh, START_PATIENCE, free_port};
use crate::client::{Protocol, Request};
use crate::process::Part;
use crate::wait;

/// One replica, running or not.
#[derive(Debug)]
pub(super) struct Service {
    /// `service`, `service-1`…
    name: String,
    pub(super) admin_listen: SocketAddr,
    grpc_listen: SocketAddr,
    pub(super) part: Mutex<Option<Part>>,
}

impl Service {
    pub(super) fn new(nth: usize) -> Self {
        let name = match nth {
            0 => "service".to_owned(),
            _ => format!("service-{nth}"),
        };
        Self {
            name,
            admin_listen: free_port(),
            grpc_listen: free_port(),
            part: Mutex::new(None),
        }
    }

    /// Returns the name of the file with its output.
    pub(super) fn log(&self) -> String {
        format!("{}.log", self.name)
    }
}

impl Mesh {
    /// Starts the first replica and waits until it answers.
    #[track_caller]
    pub fn start_service(&self) {
        self.start_service_at(0);
    }

    /// Starts a replica and waits until it answers.
    #[track_caller]
    pub fn start_service_at(&self, nth: usize) {
        let service = &self.services[nth];
        let anchors = self.trust_anchors.iter();
        let canaries = self.addresses().into_iter().enumerate();
        let canaries = canaries
            .filter(|(envoy, _)| self.sends_canaries && envoy % self.services.len() == nth)
            .flat_map(|(_, address)| ["--mesh-url".to_owned(), format!("http://{address}")]);
        let mut command = Command::new(&self.weir);
        command
            .arg("serve")
            .arg("--data")
            .arg(self.data())
            .args(["--admin-listen", &service.admin_listen.to_string()])
            .args(["--grpc-listen", &service.grpc_listen.to_string()])
            .args(["--workers", &self.workers.to_string()])
            .args(anchors.flat_map(|path| [OsStr::new("--trust-anchors"), path.as_os_str()]))
            .args(canaries)
            .args(&self.ledger)
            .env("WEIR_LOG", "info")
            .stdout(self.log(&service.log()))
            .stderr(self.log(&service.log()));
        *service.part.lock().unwrap() = Some(self.group.spawn(command));
        wait::until_for("the policy service", START_PATIENCE, || {
            self.assert_alive(&service.part, "the policy service");
            let asked = Request::get("/healthz").send(service.admin_listen, Protocol::Http1);
            asked
                .is_ok_and(|answered| answered.status == 200)
                .then_some(())
        });
    }

    /// Ends the first replica by `signal`.
    #[track_caller]
    pub fn end_service(&self, signal: Signal) -> ExitStatus {
        self.end_service_at(0, signal)
    }

    /// Ends a replica by `signal`.
    #[track_caller]
    pub fn end_service_at(&self, nth: usize, signal: Signal) -> ExitStatus {
        self.services[nth]
            .part
            .lock()
            .unwrap()
            .take()
            .expect("a running service")
            .end(signal)
    }

    /// Returns the first replica's process id.
    pub fn service_pid(&self) -> u32 {
        self.services[0]
            .part
            .lock()
            .unwrap()
            .as_ref()
            .expect("a running service")
            .pid()
    }

    /// Returns what a replica says about readiness; `null` when it does not answer.
    pub(super) fn readiness_at(&self, nth: usize) -> Value {
        let asked =
            Request::get("/readyz/mesh").send(self.services[nth].admin_listen, Protocol::Http1);
        asked.map(|answered| answered.json()).unwrap_or_default()
    }

    /// Returns what a replica tells an administrator of the mesh; `null` when it does not answer.
    pub(super) fn mesh_at(&self, nth: usize) -> Value {
        let request = Request::get("/api/v1/mesh").bearer(self.admin.token());
        let asked = request.send(self.services[nth].admin_listen, Protocol::Http1);
        asked.map(|answered| answered.json()).unwrap_or_default()
    }

    /// Returns where the first replica serves filters.
    pub fn grpc_address(&self) -> SocketAddr {
        self.services[0].grpc_listen
    }

    /// Returns where an Envoy reaches its replica.
    pub(super) fn grpc_listen_for(&self, envoy: usize) -> SocketAddr {
        self.services[envoy % self.services.len()].grpc_listen
    }
}

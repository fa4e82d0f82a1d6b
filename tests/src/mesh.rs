//! A whole mesh of real parts: `weir serve`, Envoy with the compiled filter, providers of our own.

pub mod admin;
pub mod envoys;
pub mod records;
pub mod services;
pub mod tenant;

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answered, Protocol, Request};
use crate::parts;
use crate::process::{Group, Part};
use crate::wait;
use admin::Admin;
use envoys::Envoy;
use services::Service;

/// How long a mesh may take to get ready on a loaded machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// What a mesh is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Worker threads of each Envoy.
    pub workers: u16,
    /// Envoys on the one policy service, each with an address of its own.
    pub envoys: usize,
    /// Replicas of the policy service. They share the data folder and need a ledger on a server; Envoy n uses replica n
    /// modulo their number.
    pub replicas: usize,
    /// Arguments that say where the ledger is; a file when there are none.
    pub ledger: Vec<String>,
    /// Settings that differ from the defaults.
    pub settings: Value,
    /// Certificate authorities that providers are verified against; those of the machine when `None`.
    pub trust_anchors: Option<PathBuf>,
    /// The filter that Envoys load; the one that was built when `None`.
    pub filter: Option<PathBuf>,
    /// The `weir` that serves; the one that was built when `None`.
    pub weir: Option<PathBuf>,
    /// Whether the service sends canaries; if not, it knows what the filters report and nothing else.
    pub sends_canaries: bool,
    /// Files that each Envoy may have open; those of the machine when `None`.
    pub descriptors: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: 2,
            envoys: 1,
            replicas: 1,
            ledger: Vec::new(),
            settings: json!({}),
            trust_anchors: None,
            filter: None,
            weir: None,
            sends_canaries: true,
            descriptors: None,
        }
    }
}

/// A running mesh. Dropping it ends every part and removes its folder.
#[derive(Debug)]
pub struct Mesh {
    folder: PathBuf,
    group: Group,
    workers: u16,
    trust_anchors: Option<PathBuf>,
    filter: PathBuf,
    weir: PathBuf,
    sends_canaries: bool,
    descriptors: Option<usize>,
    /// URLs of the ledger, as arguments.
    ledger: Vec<String>,
    /// At least one.
    services: Vec<Service>,
    /// At least one.
    envoys: Vec<Envoy>,
    admin: Admin,
}

impl Mesh {
    /// Starts a mesh and waits until every worker enforces policy.
    #[track_caller]
    pub fn start(options: &Options) -> Self {
        let folder = folder();
        let group = Group::new(&folder);
        let services: Vec<_> = (0..options.replicas.max(1)).map(Service::new).collect();
        let admin_listen = services[0].admin_listen;
        let envoys = (0..options.envoys.max(1)).map(Envoy::new).collect();
        let mut mesh = Self {
            folder,
            group,
            workers: options.workers,
            trust_anchors: options.trust_anchors.clone(),
            filter: options.filter.clone().unwrap_or_else(parts::filter),
            weir: options.weir.clone().unwrap_or_else(parts::weir),
            sends_canaries: options.sends_canaries,
            descriptors: options.descriptors,
            ledger: options.ledger.clone(),
            services,
            envoys,
            admin: Admin::new(admin_listen, String::new()),
        };
        for nth in 0..mesh.services.len() {
            mesh.start_service_at(nth);
        }
        let token = wait::until_for("the admin token", START_PATIENCE, || {
            let text = mesh.output("service.log");
            let line = text
                .lines()
                .find(|line| line.to_ascii_lowercase().starts_with("admin token"))?;
            line.split_whitespace().next_back().map(str::to_owned)
        });
        mesh.admin = Admin::new(admin_listen, token);
        if options.settings != json!({}) {
            mesh.admin.patch("/settings", &options.settings);
        }
        for nth in 0..mesh.envoys.len() {
            mesh.render(nth);
            mesh.start_envoy_at(nth);
        }
        mesh.wait_ready();
        mesh
    }

    /// Returns the admin API.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Returns the number of Envoy's workers.
    pub fn workers(&self) -> u16 {
        self.workers
    }

    /// Returns the folder of the policy service's data.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Sends `request` to the mesh over HTTP/1.1.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Answered {
        self.send_over(request, Protocol::Http1)
    }

    /// Sends `request` to the mesh.
    #[track_caller]
    pub fn send_over(&self, request: &Request, protocol: Protocol) -> Answered {
        request
            .send(self.address(), protocol)
            .unwrap_or_else(|error| {
                panic!(
                    "no answer to {} {} over {protocol:?}: {error}\n{}",
                    request.method,
                    request.target,
                    self.logs()
                )
            })
    }

    /// Changes policy by `change` and waits until every worker enforces the outcome.
    #[track_caller]
    pub fn change<T>(&self, change: impl FnOnce(&Admin) -> T) -> T {
        let outcome = change(&self.admin);
        self.wait_enforced();
        outcome
    }

    /// Waits until every worker enforces the policy as it is stored at this moment, or a later one: the version of the
    /// documents is waited for, since how many versions filters get of several changes is chance.
    #[track_caller]
    pub fn wait_enforced(&self) {
        let documents = self.admin.get("/mesh")["documents_version"].as_u64();
        let documents = documents.expect("the version of the documents");
        wait::until("every worker to enforce the change", || {
            let mut replicas = 0..self.services.len();
            let is_proven = |nth| {
                let readiness = &self.mesh_at(nth)["readiness"];
                readiness["proven_documents_version"].as_u64() >= Some(documents)
            };
            replicas.all(is_proven).then_some(())
        });
    }

    /// Returns what the service says about readiness; `null` when it does not answer.
    pub fn readiness(&self) -> Value {
        self.readiness_at(0)
    }

    /// Waits until every worker enforces the newest policy.
    #[track_caller]
    pub fn wait_ready(&self) {
        let started = wait::now();
        loop {
            let all = 0..self.services.len();
            let states: Vec<Value> = all.map(|nth| self.readiness_at(nth)).collect();
            if states.iter().all(|state| state["ready"] == json!(true)) {
                return;
            }
            let envoys = self.envoys.iter().map(|envoy| &envoy.part);
            let services = self.services.iter().map(|service| &service.part);
            for part in envoys.chain(services) {
                if let Some(part) = part.lock().unwrap().as_mut() {
                    assert!(
                        part.ended().is_none(),
                        "a part ended before the mesh was ready\n{}",
                        self.logs()
                    );
                }
            }
            assert!(
                started.elapsed() < START_PATIENCE,
                "the mesh does not get ready: {states:?}\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    fn assert_alive(&self, part: &Mutex<Option<Part>>, what: &str) {
        let ended = part.lock().unwrap().as_mut().and_then(Part::ended);
        assert!(ended.is_none(), "{what} ended: {ended:?}\n{}", self.logs());
    }

    fn log(&self, name: &str) -> File {
        let path = self.folder.join(name);
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("a log file")
    }

    /// Returns the text of one of the parts' outputs.
    pub fn output(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the last lines of every part's output.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        let envoys = self.envoys.iter().map(|envoy| envoy.file("log"));
        let services = self.services.iter().map(Service::log);
        for name in services.chain(envoys) {
            let output = self.output(&name);
            let lines: Vec<&str> = output.lines().collect();
            let tail = &lines[lines.len().saturating_sub(30)..];
            text.push_str(&format!("--- {name}\n{}\n", tail.join("\n")));
        }
        text
    }
}

/// Makes the folder of a mesh; the warden removes it unless `WEIR_TEST_KEEP` is set.
fn folder() -> PathBuf {
    let folder = tempfile::Builder::new()
        .prefix("weir-test-")
        .tempdir()
        .expect("a temporary folder")
        .keep();
    std::fs::create_dir(folder.join("data")).expect("the data folder");
    folder
}

/// Finds a loopback port nobody listens on, below those the system gives to outgoing connections.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run side by side begin at different places.
    let offset = u16::try_from(std::process::id() % 1000).unwrap_or_default() * 20;
    loop {
        let port = 12_000 + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Whether `needle` stands in any file below `folder`.
pub fn any_file_mentions(folder: &Path, needle: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let found = if path.is_dir() {
            any_file_mentions(&path, needle)
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default();
            crate::http1::contains(&bytes, needle.as_bytes()).then_some(path)
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

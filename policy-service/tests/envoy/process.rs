//! The real Envoy: found, asked to validate, started, asked what it runs.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Workers of each Envoy.
pub(crate) const WORKERS: usize = 2;

/// What the tests need besides this crate.
pub(crate) struct Parts {
    envoy: PathBuf,
    pub(crate) filter: PathBuf,
    pub(crate) folder: TempDir,
}

/// Finds the parts; says loudly what is missing.
pub(crate) fn parts() -> Option<Parts> {
    let envoy = find("WEIR_TEST_ENVOY", ".tools/envoy-1.40.0/envoy")?;
    let filter = find(
        "WEIR_TEST_FILTER",
        "target/wasm32-wasip1/release/weir_filter.wasm",
    )?;
    Some(Parts {
        envoy,
        filter,
        folder: tempfile::tempdir().unwrap(),
    })
}

#[expect(
    clippy::print_stderr,
    reason = "a test that did not run must not look like one that passed"
)]
fn find(variable: &str, default: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = env::var_os(variable).map_or_else(|| root.join(default), PathBuf::from);
    if path.is_file() {
        return Some(path);
    }
    eprintln!(
        "NOT TESTED: `{}` is missing; run `cargo xtask test` or set {variable}",
        path.display()
    );
    None
}

impl Parts {
    /// Makes Envoy load `text` as it would at its start.
    #[track_caller]
    pub(crate) fn validate(&self, what: &str, text: &str) {
        let output = self
            .command(what, text)
            .args(["--mode", "validate"])
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {log}\n{text}");
        for line in log
            .lines()
            .filter(|line| line.contains("[warning]") || line.contains("eprecated"))
        {
            // Envoy looks certificate authorities up when it starts, and says what it lacks on this machine.
            assert!(!line.contains("eprecated"), "{what}: {line}");
        }
    }

    /// Returns a file of certificate authorities for the tests: Envoy reads it, nothing connects.
    pub(crate) fn trust_anchors(&self) -> String {
        let path = self.folder.path().join("authorities.pem");
        fs::write(&path, include_str!("authority.pem")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, what: &str, text: &str) -> Command {
        let config = self
            .folder
            .path()
            .join(format!("{}.yaml", what.replace(' ', "-")));
        fs::write(&config, text).unwrap();
        let mut command = Command::new(&self.envoy);
        command.env_clear().arg("--config-path").arg(config).args([
            "--use-dynamic-base-id",
            "--concurrency",
            &WORKERS.to_string(),
        ]);
        command
    }
}

/// An Envoy that ends with this value.
pub(crate) struct RunningEnvoy {
    child: Child,
    admin: PathBuf,
}

impl RunningEnvoy {
    pub(crate) fn start(parts: &Parts, what: &str, text: &str) -> Self {
        let log = fs::File::create(parts.folder.path().join(format!("{what}.log"))).unwrap();
        let child = parts
            .command(what, text)
            .stderr(log)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            admin: parts.folder.path().join("admin.sock"),
        }
    }

    /// Returns the clusters of this kind in the configuration that Envoy runs, by name.
    pub(crate) async fn clusters(&self, kind: &str) -> BTreeMap<String, Value> {
        let wait = async {
            loop {
                let found = self
                    .ask(&format!("/config_dump?resource={kind}"))
                    .await
                    .unwrap_or_default();
                let dump: Value = serde_json::from_str(&found).unwrap_or_default();
                let clusters: BTreeMap<String, Value> = dump["configs"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|entry| &entry["cluster"])
                    .filter_map(|cluster| {
                        Some((cluster["name"].as_str()?.to_owned(), cluster.clone()))
                    })
                    .collect();
                if !clusters.is_empty() {
                    return clusters;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait)
            .await
            .expect("Envoy shows its clusters")
    }

    /// Returns where Envoy listens for clients, once it does.
    pub(crate) async fn listener(&self) -> String {
        let wait = async {
            loop {
                let found = self.ask("/listeners?format=json").await.unwrap_or_default();
                let listeners: Value = serde_json::from_str(&found).unwrap_or_default();
                let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
                if let (Some(host), Some(port)) =
                    (address["address"].as_str(), address["port_value"].as_u64())
                {
                    return format!("{host}:{port}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait)
            .await
            .expect("Envoy listens")
    }

    async fn ask(&self, path: &str) -> Option<String> {
        let mut stream = UnixStream::connect(&self.admin).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8(answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some(unchunked(body))
    }
}

impl Drop for RunningEnvoy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_file(&self.admin).ok();
    }
}

fn unchunked(body: &str) -> String {
    let mut text = String::new();
    let mut rest = body;
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap_or(0);
        let Some((chunk, after)) = after.split_at_checked(length).filter(|_| length > 0) else {
            break;
        };
        text.push_str(chunk);
        rest = after.trim_start_matches("\r\n");
    }
    text
}

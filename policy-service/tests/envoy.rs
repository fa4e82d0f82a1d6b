//! The rendered configurations and the served clusters in front of the real Envoy.
//!
//! The files under `envoy/` are what is rendered here: set `WEIR_WRITE_EXAMPLES=1` to write them anew.
//! Envoy is looked for at `WEIR_TEST_ENVOY`, the filter at `WEIR_TEST_FILTER`, both else where
//! `cargo xtask test` puts them. Without them the tests that need them say so and pass.

#![cfg(test)]

#[path = "envoy/process.rs"]
mod process;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use policy::compiled::Mesh;
use policy::file::Sources;
use policy::secret::Secret;
use weir::mesh::{self, Control};
use weir::readiness::{self, Readiness};
use weir::render::{self, AccessLog, RenderOptions};
use weir::store::{MasterKey, Store};
use weir::xds::{Clusters, TrustAnchors, ads, cluster};

use crate::process::{Parts, RunningEnvoy, parts};

const EXAMPLE_FILTER: &str = "/usr/lib/weir/weir_filter.wasm";
const EXAMPLE_ADMIN: &str = "/run/weir/envoy-admin.sock";
const EXAMPLE_TOKEN_SDS: &str = "/etc/weir/filter-token.sds.yaml";
const EXAMPLE_TOKEN: &str = "/etc/weir/filter.token";

fn example_options() -> RenderOptions {
    RenderOptions::new(
        EXAMPLE_FILTER.into(),
        EXAMPLE_ADMIN.into(),
        EXAMPLE_TOKEN_SDS.into(),
    )
}

fn remote_options() -> RenderOptions {
    RenderOptions {
        listen_host: [0, 0, 0, 0].into(),
        policy_host: String::from("policy.weir.internal"),
        node_id: String::from("edge-1"),
        node_cluster: String::from("edge"),
        access_log: AccessLog::JsonStdout,
        ..example_options()
    }
}

/// The mesh of `tests/envoy/policy.json`.
fn example_mesh() -> Mesh {
    let file = policy::file::load(include_bytes!("envoy/policy.json")).unwrap();
    let mut last = 0;
    let sources = Sources {
        id: &mut |_, _| {
            last += 1;
            uuid::Uuid::from_u128(last)
        },
        random: &mut || [7; 32],
        variable: &|_| None,
    };
    let documents = file.into_documents(sources).unwrap().documents;
    let secrets = policy::compile::MeshSecrets {
        canary: Secret::new("canary"),
        token_key: Secret::new("07".repeat(32)),
    };
    policy::compile::compile(&documents, secrets).unwrap().mesh
}

fn examples() -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("bootstrap.yaml", render::bootstrap(&example_options())),
        (
            "bootstrap-remote.yaml",
            render::bootstrap(&remote_options()),
        ),
        (
            "fragment.yaml",
            render::fragment(&example_options(), &example_mesh()).text,
        ),
        (
            "filter-token.sds.yaml",
            render::token_sds(Path::new(EXAMPLE_TOKEN)),
        ),
    ])
}

fn examples_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy")
}

#[test]
fn the_examples_are_what_is_rendered() {
    for (name, text) in examples() {
        let path = examples_folder().join(name);
        if std::env::var_os("WEIR_WRITE_EXAMPLES").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "envoy/{name} is stale: run this test with WEIR_WRITE_EXAMPLES=1"
        );
    }
}

#[test]
fn every_placeholder_is_filled() {
    for (name, text) in examples() {
        assert!(!text.contains("{{"), "envoy/{name}");
        assert!(!text.contains("fail_open"), "envoy/{name}");
    }
}

#[test]
fn no_secret_is_rendered() {
    for text in examples().values() {
        assert!(
            !text.contains("canary") && !text.contains("secret: \"example"),
            "{text}"
        );
    }
}

#[test]
fn a_fragment_says_what_it_leaves_to_others() {
    let fragment = render::fragment(&example_options(), &example_mesh());
    assert!(fragment.not_rendered[0].contains("anthropic, local, neighbour, openai"));
    assert!(
        fragment
            .text
            .contains(&format!("# - {}", fragment.not_rendered[0]))
    );
    assert!(fragment.sections.clusters.contains("\"plan/openai,local\""));
    assert!(
        fragment
            .sections
            .http_filters
            .contains(r#"\"clusters_from_service\":false"#)
    );
}

#[test]
fn envoy_loads_the_examples() {
    let Some(parts) = parts() else { return };
    for name in ["bootstrap.yaml", "bootstrap-remote.yaml"] {
        let text = fs::read_to_string(examples_folder().join(name)).unwrap();
        parts.validate(name, &here(&parts, &text));
    }
}

#[test]
fn an_envoy_of_others_loads_the_fragment() {
    let Some(parts) = parts() else { return };
    let fragment = render::fragment(&example_options(), &example_mesh());
    let sections = fragment.sections;
    let merged = envoy_of_others(&sections);
    parts.validate("fragment merged", &here(&parts, &merged));
}

/// Returns `text` with the examples' paths led to files on this machine.
fn here(parts: &Parts, text: &str) -> String {
    let folder = parts.folder.path();
    let token = folder.join("filter.token");
    let token_sds = folder.join("filter-token.sds.yaml");
    fs::write(&token, render::token_file_text(&Secret::new("token"))).unwrap();
    fs::write(&token_sds, render::token_sds(&token)).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    text.replace(EXAMPLE_FILTER, &path(&parts.filter))
        .replace(EXAMPLE_ADMIN, &path(&folder.join("admin.sock")))
        .replace(EXAMPLE_TOKEN_SDS, &path(&token_sds))
}

/// Returns the bootstrap of somebody who merged the sections.
fn envoy_of_others(sections: &render::Sections) -> String {
    let under = |section: &str, columns: usize| -> String {
        section
            .lines()
            .map(|line| format!("{:columns$}{line}\n", ""))
            .collect()
    };
    format!(
        r#"node: {{id: theirs, cluster: theirs}}
admin:
  address: {{pipe: {{path: "{EXAMPLE_ADMIN}"}}}}
static_resources:
  listeners:
  - name: theirs
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
{listener}    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: theirs
{connection_manager}          route_config:
            virtual_hosts:
            - name: theirs
              domains: ["*"]
              routes:
{routes}          http_filters:
{http_filters}  clusters:
{clusters}"#,
        listener = under(&sections.listener, 4),
        connection_manager = under(&sections.connection_manager, 10),
        routes = under(&sections.routes, 14),
        http_filters = under(&sections.http_filters, 10),
        clusters = under(&sections.clusters, 2),
    )
}

#[tokio::test]
async fn clusters_over_xds_are_the_rendered_ones() {
    let Some(parts) = parts() else { return };
    let mesh = example_mesh();
    let trust = TrustAnchors(parts.trust_anchors());
    let served = Clusters::new("test", trust.clone());
    let version = served.require(1, cluster::clusters(&mesh));
    let (_stop, stop) = tokio::sync::watch::channel(false);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let policy_port = listener.local_addr().unwrap().port();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server =
        tonic::transport::Server::builder().add_service(ads::Ads::server(served.clone(), stop));
    tokio::spawn(server.serve_with_incoming(incoming));

    let ours = RenderOptions {
        listen_port: 0,
        policy_port,
        trust_anchors: trust,
        ..example_options()
    };
    let envoy = RunningEnvoy::start(&parts, "ours", &here(&parts, &render::bootstrap(&ours)));
    wait_for("the acknowledgement", || {
        served
            .streams()
            .iter()
            .any(|stream| stream.acknowledged == version)
    })
    .await;
    let by_service = envoy.clusters("dynamic_active_clusters").await;
    drop(envoy);

    let fragment = render::fragment(&ours, &mesh);
    let merged = here(&parts, &envoy_of_others(&fragment.sections));
    let envoy = RunningEnvoy::start(&parts, "theirs", &merged);
    let mut by_file = envoy.clusters("static_clusters").await;
    by_file.remove("weir_policy");

    let names: Vec<&str> = by_file.keys().map(String::as_str).collect();
    let wanted: Vec<String> = cluster::clusters(&mesh)
        .into_iter()
        .map(|cluster| cluster.name)
        .collect();
    assert_eq!(names, wanted);
    assert!(names.contains(&"plan/openai,local"));
    for (name, cluster) in &by_file {
        assert_eq!(by_service.get(name), Some(cluster), "{name}");
    }
    assert_eq!(by_service.len(), by_file.len());
}

async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(waited.is_ok(), "{what} did not come");
}

/// A control plane over an empty store, and an Envoy that takes its policy from it.
struct Governed {
    control: Control,
    envoy: RunningEnvoy,
    mesh_url: String,
    _store: tempfile::TempDir,
}

async fn governed(parts: &Parts, alter: impl Fn(String) -> String) -> Governed {
    let folder = tempfile::tempdir().unwrap();
    let master_key = MasterKey::from_bytes([1; 32]);
    let store = Store::open(&folder.path().join("weir.db"), &master_key)
        .await
        .unwrap();
    let control = Control::start(store, mesh::Options::default())
        .await
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let policy_port = listener.local_addr().unwrap().port();
    let token = Secret::new("token");
    tokio::spawn(mesh::serve(
        listener,
        control.clone(),
        token,
        std::future::pending(),
    ));
    let options = RenderOptions {
        listen_port: 0,
        policy_port,
        ..example_options()
    };
    let text = alter(here(parts, &render::bootstrap(&options)));
    let envoy = RunningEnvoy::start(parts, "governed", &text);
    let mesh_url = format!("http://{}", envoy.listener().await);
    Governed {
        control,
        envoy,
        mesh_url,
        _store: folder,
    }
}

impl Governed {
    fn readiness(&self, workers: Option<usize>) -> Readiness {
        let options = readiness::Options {
            mesh_urls: vec![self.mesh_url.clone()],
            workers,
        };
        Readiness::start(self.control.clone(), options)
    }
}

#[tokio::test]
async fn readiness_is_proven_by_every_worker() {
    let Some(parts) = parts() else { return };
    let governed = governed(&parts, |text| text).await;
    let readiness = governed.readiness(None);
    readiness.wait_ready(Duration::from_secs(30)).await.unwrap();
    let state = readiness.state();
    assert_eq!(
        (state.workers_proven, state.workers_expected),
        (process::WORKERS, process::WORKERS)
    );
    assert_eq!(state.proven_version, governed.control.version().version);
    drop(governed.envoy);
}

#[tokio::test]
async fn readiness_is_refused_while_bodies_are_not_read() {
    let Some(parts) = parts() else { return };
    let flag = "allow_on_headers_stop_iteration: true";
    let governed = governed(&parts, |text| {
        assert!(text.contains(flag));
        text.replace(flag, "allow_on_headers_stop_iteration: false")
    })
    .await;
    let readiness = governed.readiness(Some(process::WORKERS));
    let refused = readiness
        .wait_ready(Duration::from_secs(8))
        .await
        .unwrap_err();
    assert!(
        refused.missing.contains("allow_on_headers_stop_iteration"),
        "{refused}"
    );
    drop(governed.envoy);
}

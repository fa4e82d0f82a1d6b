//! Envoy configuration as text: a whole bootstrap, or the parts to merge into an Envoy that is not ours.
//!
//! The texts stand beside this file as YAML with placeholders; what they mean is said in them. Secrets are
//! in none of them: the filter's token is named by file.

mod clusters;
mod local_replies;
mod overload;
mod template;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use policy::compiled::Mesh;
use policy::secret::Secret;
use serde_json::{Value, json};

use crate::render::template::{Slot, fill, indented, yaml};
use crate::xds::TrustAnchors;
use crate::xds::cluster::{self, ASSUMED_DESCRIPTORS, CONNECTION_BUFFER_BYTES, Cluster, Room};

pub use crate::render::overload::MemoryMonitor;

/// What a client may send over HTTP/2 before Envoy has taken it: enough for a far one to send a large body without
/// pauses, and no more, since Envoy holds it besides the body.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// Above the stream window, so that one stream does not stop its neighbours.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Each piece of a body may grow by this factor; text of an agent stays far below. What is beyond it is cut
/// off, and the filter refuses the rest as malformed. zstd and brotli have a bound of their own in Envoy.
const GZIP_RATIO: u32 = 100;
const DECOMPRESSOR_CHUNK_BYTES: u32 = 65_536;

/// What an Envoy is rendered for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderOptions {
    pub listen_host: IpAddr,
    pub listen_port: u16,
    /// `weir_filter.wasm`, on Envoy's machine.
    pub wasm: PathBuf,
    pub admin_socket: PathBuf,
    /// The file that [`token_sds`] is the text of.
    pub token_sds: PathBuf,
    /// Where the policy service listens for filters: an address or a name.
    pub policy_host: String,
    pub policy_port: u16,
    /// Tells this Envoy from others towards the policy service.
    pub node_id: String,
    pub node_cluster: String,
    /// Largest request body that policy admits.
    pub body_cap_bytes: u64,
    pub access_log: AccessLog,
    /// What providers are verified against, when their clusters are rendered too.
    pub trust_anchors: TrustAnchors,
    /// Files that Envoy may have open: its hard limit, to which it raises the soft one itself.
    pub descriptors: u32,
    /// How it learns that its memory runs short.
    pub memory: MemoryMonitor,
}

/// Where Envoy writes about requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere: exchanges are recorded by the policy service.
    #[default]
    Off,
    /// One JSON object per request on standard output, without any header.
    JsonStdout,
}

impl RenderOptions {
    /// Makes the options of an Envoy on this machine, beside its policy service.
    pub fn new(wasm: PathBuf, admin_socket: PathBuf, token_sds: PathBuf) -> Self {
        Self {
            listen_host: IpAddr::from([127, 0, 0, 1]),
            listen_port: 8080,
            wasm,
            admin_socket,
            token_sds,
            policy_host: String::from("127.0.0.1"),
            policy_port: 8082,
            node_id: String::from("weir"),
            node_cluster: String::from("weir"),
            body_cap_bytes: policy::documents::Settings::default().body_cap_bytes,
            access_log: AccessLog::default(),
            trust_anchors: TrustAnchors::default(),
            descriptors: ASSUMED_DESCRIPTORS,
            memory: MemoryMonitor::default(),
        }
    }

    fn held_body_bytes(&self) -> u32 {
        cluster::held_body_bytes(self.body_cap_bytes)
    }
}

/// Parts of a configuration, to be merged into one that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// All sections as one YAML document with comments that say where each belongs.
    pub text: String,
    /// What this rendering leaves to others; also said at the top of the text.
    pub not_rendered: Vec<String>,
    pub sections: Sections,
}

/// The sections of a [`Fragment`], each as YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sections {
    /// Fields of the listener.
    pub listener: String,
    /// Fields of the HTTP connection manager.
    pub connection_manager: String,
    /// Items of its `http_filters`, the router included.
    pub http_filters: String,
    /// Items of the `routes` of a virtual host.
    pub routes: String,
    /// Items of `static_resources.clusters`.
    pub clusters: String,
}

/// Where a provider's and a plan's clusters come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClusterSource {
    Service,
    Static,
}

/// Returns the bootstrap of an Envoy of ours, as YAML.
pub fn bootstrap(options: &RenderOptions) -> String {
    let access_log = match options.access_log {
        AccessLog::Off => String::new(),
        AccessLog::JsonStdout => include_str!("render/access_log.yaml").to_owned(),
    };
    let slots = [
        ("node_id", Slot::text(&options.node_id)),
        ("node_cluster", Slot::text(&options.node_cluster)),
        ("descriptors", number(options.descriptors)),
        ("admin_socket", path(&options.admin_socket)),
        (
            "overload_manager",
            Slot::Block(overload::overload_manager(options)),
        ),
        ("listen_host", Slot::text(options.listen_host.to_string())),
        ("listen_port", number(options.listen_port)),
        ("connection_buffer_bytes", number(CONNECTION_BUFFER_BYTES)),
        ("connection_manager", Slot::Block(connection_manager())),
        ("access_log", Slot::Block(access_log)),
        ("routes", Slot::Block(routes(options))),
        (
            "http_filters",
            Slot::Block(http_filters(options, ClusterSource::Service)),
        ),
        ("policy_cluster", Slot::Block(policy_cluster(options))),
    ];
    fill(include_str!("render/bootstrap.yaml"), &slots)
}

/// Returns what an Envoy with another control plane needs to enforce `mesh`, with its providers and plans as
/// static clusters.
pub fn fragment(options: &RenderOptions, mesh: &Mesh) -> Fragment {
    let clusters = cluster::clusters(mesh);
    let sections = Sections {
        listener: format!("per_connection_buffer_limit_bytes: {CONNECTION_BUFFER_BYTES}\n"),
        connection_manager: connection_manager(),
        http_filters: http_filters(options, ClusterSource::Static),
        routes: routes(options),
        clusters: policy_cluster(options) + &static_clusters(&clusters, options),
    };
    let not_rendered = not_rendered(mesh, &clusters, options);
    Fragment {
        text: sections.text(&not_rendered),
        not_rendered,
        sections,
    }
}

/// Returns the text of the file that [`RenderOptions::token_sds`] names; it leads to `token_file`.
pub fn token_sds(token_file: &Path) -> String {
    fill(
        include_str!("render/token_sds.yaml"),
        &[("token_file", path(token_file))],
    )
}

/// Returns the content of the token file. It is a secret: write it for its owner only.
pub fn token_file_text(token: &Secret) -> String {
    format!("Bearer {}", token.expose())
}

impl Sections {
    fn text(&self, not_rendered: &[String]) -> String {
        let mut text = String::from(
            "# Parts of an Envoy configuration that enforce a Weir mesh. Written by `weir render envoy --fragment`.\n\
             # Each section says where it belongs. Not rendered, and therefore not in force until you see to it:\n",
        );
        for point in not_rendered {
            text.push_str(&format!("# - {point}\n"));
        }
        let sections = [
            ("listener", "Fields of the listener.", &self.listener),
            (
                "http_connection_manager",
                "Fields of its HTTP connection manager. Upgrades other than these must not be allowed.",
                &self.connection_manager,
            ),
            (
                "http_filters",
                "All of its HTTP filters, in this order.",
                &self.http_filters,
            ),
            (
                "routes",
                "The routes of a virtual host with `domains: [\"*\"]`.",
                &self.routes,
            ),
            (
                "clusters",
                "Items of `static_resources.clusters`.",
                &self.clusters,
            ),
        ];
        for (name, place, section) in sections {
            text.push_str(&format!("\n# {place}\n{name}:\n{}", indented(section, 2)));
        }
        text
    }
}

fn not_rendered(mesh: &Mesh, clusters: &[Cluster], options: &RenderOptions) -> Vec<String> {
    let names: Vec<&str> = mesh
        .providers
        .iter()
        .map(|provider| provider.name.as_str())
        .collect();
    let named = if names.is_empty() {
        String::from("none")
    } else {
        names.join(", ")
    };
    vec![
        format!(
            "providers and routes that change later: {} clusters are rendered, for the providers {named}; one added \
             or moved in the policy service is refused here until this is rendered and loaded again",
            clusters.len(),
        ),
        format!(
            "a body cap above {} bytes: the body limit of the route below is made for it",
            mesh.body_cap_bytes
        ),
        format!(
            "overload settings: the clusters below take a third of {} descriptors together (--descriptors N for \
             another number); bound the listener's connections by another third, or silent clients stop them all",
            options.descriptors
        ),
        String::from("listener address, TLS, access logs and admin settings: yours"),
        String::from(
            "other HTTP filters and routes of the same listener: what bypasses the filter is not governed",
        ),
    ]
}

fn connection_manager() -> String {
    let slots = [
        ("stream_window_bytes", number(STREAM_WINDOW_BYTES)),
        ("connection_window_bytes", number(CONNECTION_WINDOW_BYTES)),
        (
            "not_websocket",
            Slot::Block(yaml(&all_but("websocket").into())),
        ),
        ("local_replies", Slot::Block(local_replies::local_replies())),
    ];
    fill(include_str!("render/connection_manager.yaml"), &slots)
}

/// Returns string matchers that together match every word but `word`, whatever their case: the engine has no "not",
/// and before 1.39 Envoy refuses one expression for it all as too large.
fn all_but(word: &str) -> Vec<Value> {
    let before = word.char_indices().map(|(at, letter)| {
        // What ends within the word, or goes on otherwise.
        let start = word.get(..at).unwrap_or_default();
        format!("(?is){start}([^{letter}].*)?")
    });
    before
        .chain([format!("(?is){word}.+")])
        .map(|regex| json!({"safe_regex": {"regex": regex}}))
        .collect()
}

fn routes(options: &RenderOptions) -> String {
    let slots = [("held_body_bytes", number(options.held_body_bytes()))];
    fill(include_str!("render/routes.yaml"), &slots)
}

fn http_filters(options: &RenderOptions, source: ClusterSource) -> String {
    let plugin = fill(
        include_str!("render/plugin.yaml"),
        &[("wasm", path(&options.wasm))],
    );
    let from_service = match source {
        ClusterSource::Service => true,
        ClusterSource::Static => false,
    };
    let govern = format!(
        r#"{{"role":"govern","policy_cluster":"weir_policy","clusters_from_service":{from_service}}}"#
    );
    let slots = [
        (
            "gzip",
            decompressor(
                "gzip",
                "Gzip",
                json!({"window_bits": 15, "max_inflate_ratio": GZIP_RATIO}),
            ),
        ),
        ("zstd", decompressor("zstd", "Zstd", json!({}))),
        ("brotli", decompressor("brotli", "Brotli", json!({}))),
        ("plugin", Slot::Block(plugin)),
        ("govern", Slot::text(govern)),
        ("adapt", Slot::text(r#"{"role":"adapt"}"#)),
    ];
    fill(include_str!("render/http_filters.yaml"), &slots)
}

fn decompressor(coding: &str, message: &str, mut settings: Value) -> Slot {
    let kind = format!(
        "type.googleapis.com/envoy.extensions.compression.{coding}.decompressor.v3.{message}"
    );
    if let Some(fields) = settings.as_object_mut() {
        fields.insert(String::from("@type"), json!(kind));
        fields.insert(String::from("chunk_size"), json!(DECOMPRESSOR_CHUNK_BYTES));
    }
    let slots = [
        ("name", Slot::text(format!("weir.decompress.{coding}"))),
        ("library", Slot::text(coding)),
        ("settings", Slot::Block(yaml(&settings))),
    ];
    Slot::Block(fill(include_str!("render/decompressor.yaml"), &slots))
}

fn policy_cluster(options: &RenderOptions) -> String {
    let discovery = if options.policy_host.parse::<IpAddr>().is_ok() {
        "STATIC"
    } else {
        "STRICT_DNS"
    };
    let slots = [
        ("discovery", Slot::text(discovery)),
        ("policy_host", Slot::text(&options.policy_host)),
        ("policy_port", number(options.policy_port)),
        ("token_sds", path(&options.token_sds)),
    ];
    fill(include_str!("render/policy_cluster.yaml"), &slots)
}

fn static_clusters(all: &[Cluster], options: &RenderOptions) -> String {
    if all.is_empty() {
        return String::new();
    }
    let room = Room::of(options.descriptors, all);
    yaml(
        &all.iter()
            .map(|cluster| clusters::value(cluster, &options.trust_anchors, room))
            .collect(),
    )
}

fn path(path: &Path) -> Slot {
    Slot::text(path.to_string_lossy())
}

fn number(number: impl Into<u32>) -> Slot {
    Slot::Scalar(Value::from(number.into()))
}

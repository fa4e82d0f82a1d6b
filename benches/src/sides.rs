//! The systems that are compared: Envoy with Weir, the same Envoy without it, and other gateways.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use weir_tests::process::{Group, Part};
use weir_tests::{parts, wait};

use crate::bodies::Api;
use crate::process_clock::{Accounted, Scope};

/// What a system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Envoy without the filter.
    Plain,
    Weir,
    Other,
}

/// One system under load.
#[derive(Clone, Debug)]
pub struct Side {
    pub name: String,
    pub sort: Sort,
    pub address: SocketAddr,
    /// Path before the surface's own.
    pub base_path: String,
    /// Sent as the provider's own credential would be.
    pub key: String,
    /// Model asked for in place of the scenario's, where a gateway has names of its own.
    pub models: Option<String>,
    pub account: Accounted,
}

impl Side {
    /// Returns what stands before the surface's path.
    pub fn prefix(&self, api: Api) -> String {
        self.base_path.replace(
            "{api}",
            match api {
                Api::AnthropicMessages => "anthropic",
                Api::OpenaiChat | Api::OpenaiResponses => "openai",
                Api::GeminiGenerate => "genai",
            },
        )
    }
}

/// Which of Weir's parts the Envoy that it is compared with keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Baseline {
    /// The router alone.
    Router,
    /// The router and the decompressors.
    Decompressors,
}

/// Starts an Envoy that is configured like the one behind `governed_admin`, without the filter.
///
/// What that Envoy runs with, clusters from the service included, is taken from its own `/config_dump`, so that
/// nothing else differs.
///
/// # Errors
/// When that Envoy does not answer, or its configuration has no `provider` cluster.
pub fn start_plain(
    group: &Group,
    folder: &Path,
    governed_admin: &Path,
    provider: &str,
    baseline: Baseline,
) -> Result<(Part, Side)> {
    let dump: Value = serde_json::from_str(&ask_admin(governed_admin, "/config_dump")?)?;
    let admin = folder.join("plain-admin.sock");
    let bootstrap = without_weir(&dump, &format!("provider/{provider}"), &admin, baseline)?;
    let path = folder.join("plain.json");
    fs::write(&path, serde_json::to_vec_pretty(&bootstrap)?)?;
    let log = folder.join("plain.log");
    let mut part = start_envoy(group, &path, &log)?;
    let address = listener(&mut part, &admin, &log)?;
    let account = Accounted {
        pid: part.pid(),
        scope: Scope::Process,
    };
    let side = Side {
        name: "plain Envoy".to_owned(),
        sort: Sort::Plain,
        address,
        base_path: String::new(),
        key: "sk-not-read".to_owned(),
        models: None,
        account,
    };
    Ok((part, side))
}

/// Starts an Envoy with one worker.
fn start_envoy(group: &Group, bootstrap: &Path, log: &Path) -> Result<Part> {
    let mut command = Command::new(parts::envoy());
    command
        .env_clear()
        .arg("--config-path")
        .arg(bootstrap)
        .args([
            "--concurrency",
            "1",
            "--log-level",
            "warning",
            "--disable-hot-restart",
        ])
        .stdout(Stdio::null())
        .stderr(fs::File::create(log)?);
    Ok(group.spawn(command))
}

/// The bootstrap of `dump` with everything of Weir taken out and the one provider cluster put in.
fn without_weir(dump: &Value, cluster: &str, admin: &Path, baseline: Baseline) -> Result<Value> {
    let configs = dump
        .get("configs")
        .and_then(Value::as_array)
        .context("a configuration dump without configurations")?;
    let part = |name: &str| configs.iter().find_map(|config| config.get(name));
    let mut bootstrap = part("bootstrap")
        .context("a dump without bootstrap")?
        .clone();
    let clusters = part("dynamic_active_clusters")
        .and_then(Value::as_array)
        .context("no clusters from the service")?;
    let mut provider = clusters
        .iter()
        .filter_map(|entry| entry.get("cluster"))
        .find(|entry| entry.get("name").and_then(Value::as_str) == Some(cluster))
        .with_context(|| format!("no cluster `{cluster}`"))?
        .clone();
    provider
        .as_object_mut()
        .context("a cluster that is no object")?
        .remove("@type");
    let root = bootstrap
        .as_object_mut()
        .context("a bootstrap that is no object")?;
    root.remove("dynamic_resources");
    root.insert(
        "admin".to_owned(),
        json!({"address": {"pipe": {"path": admin}}}),
    );
    set(
        &mut bootstrap,
        "/static_resources/clusters",
        json!([provider]),
    )?;
    set(
        &mut bootstrap,
        "/static_resources/listeners/0/address/socket_address/port_value",
        json!(0),
    )?;
    let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    let filters = bootstrap
        .pointer(&format!("{manager}/http_filters"))
        .and_then(Value::as_array)
        .context("no HTTP filters")?;
    let kept: Vec<Value> = filters
        .iter()
        .filter(|filter| keeps(filter, baseline))
        .cloned()
        .map(without_upstream_filters)
        .collect();
    set(
        &mut bootstrap,
        &format!("{manager}/http_filters"),
        json!(kept),
    )?;
    let route = format!("{manager}/route_config/virtual_hosts/0/routes/0/route");
    let route = bootstrap
        .pointer_mut(&route)
        .and_then(Value::as_object_mut)
        .context("no route")?;
    route.remove("cluster_header");
    route.insert("cluster".to_owned(), json!(cluster));
    Ok(bootstrap)
}

fn set(root: &mut Value, pointer: &str, value: Value) -> Result<()> {
    *root
        .pointer_mut(pointer)
        .with_context(|| format!("nothing at {pointer}"))? = value;
    Ok(())
}

fn keeps(filter: &Value, baseline: Baseline) -> bool {
    let sort = filter
        .pointer("/typed_config/@type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    sort.ends_with("router.v3.Router")
        || (baseline == Baseline::Decompressors && sort.ends_with("decompressor.v3.Decompressor"))
}

fn without_upstream_filters(mut filter: Value) -> Value {
    if let Some(config) = filter
        .get_mut("typed_config")
        .and_then(Value::as_object_mut)
    {
        config.remove("upstream_http_filters");
    }
    filter
}

/// Asks an Envoy's admin interface.
///
/// # Errors
/// When it does not answer.
pub fn ask_admin(socket: &Path, path: &str) -> Result<String> {
    let mut stream =
        UnixStream::connect(socket).with_context(|| format!("no Envoy at {}", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n\r\n"
    )?;
    let head = {
        let mut messages = crate::http1::Messages::new(&stream);
        let head = messages
            .head()?
            .context("Envoy closed its admin connection")?;
        let mut body = Vec::new();
        messages.body(&head, |piece| body.extend_from_slice(piece))?;
        if head.field("content-length").is_none() && head.field("transfer-encoding").is_none() {
            stream.read_to_end(&mut body)?;
        }
        String::from_utf8(body)?
    };
    Ok(head)
}

/// Waits until the only listener has its address.
fn listener(envoy: &mut Part, admin: &Path, log: &Path) -> Result<SocketAddr> {
    let found = wait::until("plain Envoy to listen", || {
        if envoy.ended().is_some() {
            return Some(None);
        }
        let listeners: Value =
            serde_json::from_str(&ask_admin(admin, "/listeners?format=json").ok()?).ok()?;
        let address = listeners
            .pointer("/listener_statuses/0/local_address/socket_address")?
            .clone();
        Some(Some((
            address.get("address")?.as_str()?.to_owned(),
            address.get("port_value")?.as_u64()?,
        )))
    });
    let Some((host, port)) = found else {
        bail!("plain Envoy ended: {}", fs::read_to_string(log)?)
    };
    Ok(format!("{host}:{port}").parse()?)
}

/// Another gateway, as the command line describes it.
#[derive(Clone, Debug, clap::Args)]
pub struct GatewayArgs {
    /// Another gateway's command line, put beside; `{provider}` becomes the address and port of the provider
    #[arg(long, value_name = "COMMAND", requires = "gateway_url")]
    pub gateway: Option<String>,
    /// Where that gateway takes the surfaces' native paths; `{api}` in it becomes anthropic, openai or genai
    #[arg(long, value_name = "URL")]
    pub gateway_url: Option<String>,
    /// The credential it wants
    #[arg(long, value_name = "KEY", default_value = "sk-none")]
    pub key: String,
    /// What it calls the model
    #[arg(long, value_name = "MODEL")]
    pub gateway_model: Option<String>,
}

/// Starts the other gateway and waits until it takes connections.
///
/// # Errors
/// When its URL is not `http://HOST:PORT…`.
pub fn start_gateway(
    group: &Group,
    args: &GatewayArgs,
    provider: SocketAddr,
) -> Result<Option<(Part, Side)>> {
    let (Some(line), Some(url)) = (&args.gateway, &args.gateway_url) else {
        return Ok(None);
    };
    let rest = url
        .strip_prefix("http://")
        .with_context(|| format!("`{url}` is not an http:// URL"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address: SocketAddr = authority
        .replace("localhost", "127.0.0.1")
        .parse()
        .with_context(|| format!("`{authority}` is not ADDRESS:PORT"))?;
    let mut command = Command::new("sh");
    command
        .args(["-c", &line.replace("{provider}", &provider.to_string())])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let part = group.spawn(command);
    wait::until("the other gateway to listen", || {
        TcpStream::connect(address).ok()
    });
    let side = Side {
        name: line
            .split(' ')
            .next()
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned(),
        sort: Sort::Other,
        address,
        base_path: if path.is_empty() {
            String::new()
        } else {
            format!("/{}", path.trim_end_matches('/'))
        },
        key: args.key.clone(),
        models: args.gateway_model.clone(),
        account: Accounted {
            pid: part.pid(),
            scope: Scope::Tree,
        },
    };
    Ok(Some((part, side)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baseline_is_the_governed_envoy_without_weir() {
        let sort = |name: &str| format!("type.googleapis.com/envoy.extensions.filters.http.{name}");
        let filter = |name: &str| json!({"name": name, "typed_config": {"@type": sort(name), "upstream_http_filters": [1]}});
        let dump = json!({"configs": [
            {"bootstrap": {
                "dynamic_resources": {}, "admin": {},
                "static_resources": {"clusters": [{"name": "weir_policy"}], "listeners": [{
                    "address": {"socket_address": {"port_value": 8080}}, "per_connection_buffer_limit_bytes": 9,
                    "filter_chains": [{"filters": [{"typed_config": {
                        "http_filters": [filter("decompressor.v3.Decompressor"), filter("wasm.v3.Wasm"), filter("router.v3.Router")],
                        "route_config": {"virtual_hosts": [{"routes": [{"route": {"cluster_header": "x", "timeout": "0s"}}]}]}}}]}]}]}}},
            {"dynamic_active_clusters": [{"cluster": {"@type": "cluster", "name": "provider/p", "per_connection_buffer_limit_bytes": 8}}]},
        ]});
        let plain =
            without_weir(&dump, "provider/p", Path::new("/a.sock"), Baseline::Router).unwrap();
        let text = plain.to_string();
        for gone in [
            "weir_policy",
            "wasm",
            "decompressor",
            "cluster_header",
            "dynamic_resources",
            "upstream_http_filters",
            "8080",
        ] {
            assert!(!text.contains(gone), "{gone} in {text}");
        }
        for kept in [
            "\"per_connection_buffer_limit_bytes\":9",
            "\"per_connection_buffer_limit_bytes\":8",
            "\"timeout\":\"0s\"",
            "router.v3.Router",
        ] {
            assert!(text.contains(kept), "{kept} not in {text}");
        }
        let with = without_weir(
            &dump,
            "provider/p",
            Path::new("/a.sock"),
            Baseline::Decompressors,
        )
        .unwrap();
        assert!(with.to_string().contains("decompressor"));
        assert!(without_weir(&dump, "provider/q", Path::new("/a.sock"), Baseline::Router).is_err());
    }
}

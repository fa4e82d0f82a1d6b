//! [`Cluster`] as Envoy reads it from a file. `xds` sends the same as protobuf; a test with the real Envoy
//! compares the two.

use policy::documents::BaseUrl;
use serde_json::{Map, Value, json};

use crate::xds::cluster::{
    CONCURRENCY_CEILING, CONNECT_TIMEOUT_SECS, Cluster, Discovery, KEEPALIVE_SECS, Kind, METADATA,
    Room, TrustAnchors, discovery, ip, is_verified, provider_cluster,
};

/// Returns `cluster` as an entry of `static_resources.clusters`.
pub(crate) fn value(cluster: &Cluster, trust: &TrustAnchors, room: Room) -> Value {
    let mut fields = common(cluster, room);
    match &cluster.kind {
        Kind::Provider {
            base_url,
            idle_timeout_ms,
            ..
        } => {
            provider(cluster, base_url, trust, &mut fields);
            fields.insert(
                String::from("typed_extension_protocol_options"),
                protocol_options(*idle_timeout_ms),
            );
        }
        Kind::Plan { providers } => plan(providers, &mut fields),
    }
    Value::Object(fields)
}

fn common(cluster: &Cluster, room: Room) -> Map<String, Value> {
    let room = cluster.room(room);
    let thresholds = json!({
        "max_connections": room.connections,
        "max_pending_requests": room.pending,
        "max_requests": CONCURRENCY_CEILING,
        "max_retries": CONCURRENCY_CEILING,
    });
    Map::from_iter([
        (String::from("name"), json!(cluster.name)),
        (
            String::from("connect_timeout"),
            json!(format!("{CONNECT_TIMEOUT_SECS}s")),
        ),
        (
            String::from("per_connection_buffer_limit_bytes"),
            json!(cluster.buffer_limit_bytes),
        ),
        (
            String::from("circuit_breakers"),
            json!({"thresholds": [thresholds]}),
        ),
        (String::from("metadata"), label(cluster)),
    ])
}

fn provider(
    cluster: &Cluster,
    base_url: &BaseUrl,
    trust: &TrustAnchors,
    fields: &mut Map<String, Value>,
) {
    let by = match discovery(base_url) {
        Discovery::Fixed => "STATIC",
        Discovery::Name => {
            fields.insert(String::from("dns_lookup_family"), json!("ALL"));
            fields.insert(String::from("wait_for_warm_on_init"), json!(false));
            "LOGICAL_DNS"
        }
    };
    fields.insert(String::from("type"), json!(by));
    let address =
        json!({"socket_address": {"address": base_url.host, "port_value": base_url.port}});
    let host = json!({"endpoint": {"address": address}, "metadata": label(cluster)});
    fields.insert(
        String::from("load_assignment"),
        json!({"cluster_name": cluster.name, "endpoints": [{"lb_endpoints": [host]}]}),
    );
    if is_verified(base_url) {
        fields.insert(
            String::from("transport_socket"),
            transport_socket(base_url, trust),
        );
    }
    fields.insert(
        String::from("upstream_connection_options"),
        json!({"tcp_keepalive": {"keepalive_time": KEEPALIVE_SECS}}),
    );
}

fn protocol_options(idle_timeout_ms: u64) -> Value {
    let (secs, millis) = (idle_timeout_ms / 1_000, idle_timeout_ms % 1_000);
    let idle = if millis == 0 {
        format!("{secs}s")
    } else {
        format!("{secs}.{millis:03}s")
    };
    json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"idle_timeout": idle},
        "explicit_http_config": {"http_protocol_options": {}},
    }})
}

fn plan(providers: &[String], fields: &mut Map<String, Value>) {
    let clusters: Vec<Value> = providers
        .iter()
        .map(|name| json!({"name": provider_cluster(name)}))
        .collect();
    fields.insert(String::from("lb_policy"), json!("CLUSTER_PROVIDED"));
    fields.insert(
        String::from("cluster_type"),
        json!({
            "name": "envoy.clusters.composite",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.composite.v3.ClusterConfig",
                "clusters": clusters,
            },
        }),
    );
}

fn transport_socket(base_url: &BaseUrl, trust: &TrustAnchors) -> Value {
    let is_address = ip(base_url).is_some();
    let san_type = if is_address { "IP_ADDRESS" } else { "DNS" };
    let mut context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
            "alpn_protocols": ["http/1.1"],
            "validation_context": {
                "trusted_ca": {"filename": trust.0},
                "match_typed_subject_alt_names": [{"san_type": san_type, "matcher": {"exact": base_url.host}}],
            },
        },
    });
    if let (false, Some(fields)) = (is_address, context.as_object_mut()) {
        fields.insert(String::from("sni"), json!(base_url.host));
    }
    json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
}

fn label(cluster: &Cluster) -> Value {
    let (key, text) = cluster.label();
    json!({"filter_metadata": {METADATA: {key: text}}})
}

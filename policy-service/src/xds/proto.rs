//! [`Cluster`] as the protobuf message that Envoy takes over xDS. `render` writes the same as text; a test
//! with the real Envoy compares the two.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::cluster::v3 as cluster;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3 as endpoint;
use envoy_types::pb::envoy::extensions::clusters::composite::v3 as composite;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use envoy_types::pb::envoy::extensions::upstreams::http::v3 as http;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use envoy_types::pb::google::protobuf::{
    Any, BoolValue, Duration, Struct, UInt32Value, Value, value,
};
use envoy_types::util::pack_any;
use policy::documents::BaseUrl;

use crate::xds::cluster::{
    CONCURRENCY_CEILING, CONNECT_TIMEOUT_SECS, Cluster, Discovery, KEEPALIVE_SECS, Kind, METADATA,
    Room, TrustAnchors, discovery, ip, is_verified, provider_cluster,
};

/// Returns `cluster` as a resource of a discovery response.
pub(crate) fn resource(cluster: &Cluster, trust: &TrustAnchors, room: Room) -> Any {
    pack_any(message(cluster, trust, room))
}

fn message(spec: &Cluster, trust: &TrustAnchors, room: Room) -> cluster::Cluster {
    let common = cluster::Cluster {
        name: spec.name.clone(),
        connect_timeout: Some(seconds(CONNECT_TIMEOUT_SECS)),
        per_connection_buffer_limit_bytes: Some(number(spec.buffer_limit_bytes)),
        circuit_breakers: Some(circuit_breakers(spec.room(room))),
        metadata: Some(label(spec)),
        ..cluster::Cluster::default()
    };
    match &spec.kind {
        Kind::Provider {
            base_url,
            idle_timeout_ms,
            ..
        } => cluster::Cluster {
            typed_extension_protocol_options: HashMap::from([(
                String::from("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
                pack_any(http_options(*idle_timeout_ms)),
            )]),
            ..provider(spec, base_url, trust, common)
        },
        Kind::Plan { providers } => plan(providers, common),
    }
}

fn provider(
    spec: &Cluster,
    base_url: &BaseUrl,
    trust: &TrustAnchors,
    common: cluster::Cluster,
) -> cluster::Cluster {
    use cluster::cluster::{ClusterDiscoveryType, DiscoveryType, DnsLookupFamily};
    let (by, family, wait_for_warm) = match discovery(base_url) {
        Discovery::Fixed => (DiscoveryType::Static, DnsLookupFamily::Auto, None),
        // A resolver that does not answer must cost one provider, not hold up Envoy's start.
        Discovery::Name => (
            DiscoveryType::LogicalDns,
            DnsLookupFamily::All,
            Some(BoolValue { value: false }),
        ),
    };
    cluster::Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(by.into())),
        dns_lookup_family: family.into(),
        wait_for_warm_on_init: wait_for_warm,
        load_assignment: Some(assignment(spec, base_url)),
        transport_socket: is_verified(base_url).then(|| transport_socket(base_url, trust)),
        upstream_connection_options: Some(cluster::UpstreamConnectionOptions {
            tcp_keepalive: Some(core::TcpKeepalive {
                keepalive_time: Some(number(KEEPALIVE_SECS)),
                ..core::TcpKeepalive::default()
            }),
            ..cluster::UpstreamConnectionOptions::default()
        }),
        ..common
    }
}

fn plan(providers: &[String], common: cluster::Cluster) -> cluster::Cluster {
    let clusters = providers
        .iter()
        .map(|name| composite::cluster_config::ClusterEntry {
            name: provider_cluster(name),
        })
        .collect();
    cluster::Cluster {
        lb_policy: cluster::cluster::LbPolicy::ClusterProvided.into(),
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::ClusterType(
            cluster::cluster::CustomClusterType {
                name: String::from("envoy.clusters.composite"),
                typed_config: Some(pack_any(composite::ClusterConfig { clusters })),
            },
        )),
        ..common
    }
}

fn assignment(spec: &Cluster, base_url: &BaseUrl) -> endpoint::ClusterLoadAssignment {
    let address = core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address: base_url.host.clone(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(
                base_url.port.into(),
            )),
            ..core::SocketAddress::default()
        })),
    };
    let host = endpoint::LbEndpoint {
        // The adapt role compares this with the target it is about to write a credential for.
        metadata: Some(label(spec)),
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(
            endpoint::Endpoint {
                address: Some(address),
                ..endpoint::Endpoint::default()
            },
        )),
        ..endpoint::LbEndpoint::default()
    };
    endpoint::ClusterLoadAssignment {
        cluster_name: spec.name.clone(),
        endpoints: vec![endpoint::LocalityLbEndpoints {
            lb_endpoints: vec![host],
            ..endpoint::LocalityLbEndpoints::default()
        }],
        ..endpoint::ClusterLoadAssignment::default()
    }
}

/// TLS with a fixed server name: the request's authority is rewritten per attempt, after Envoy would have
/// taken a name from it.
fn transport_socket(base_url: &BaseUrl, trust: &TrustAnchors) -> core::TransportSocket {
    let is_address = ip(base_url).is_some();
    let san_type = if is_address {
        tls::subject_alt_name_matcher::SanType::IpAddress
    } else {
        tls::subject_alt_name_matcher::SanType::Dns
    };
    let validation = tls::CertificateValidationContext {
        trusted_ca: Some(core::DataSource {
            specifier: Some(core::data_source::Specifier::Filename(trust.0.clone())),
            ..core::DataSource::default()
        }),
        match_typed_subject_alt_names: vec![tls::SubjectAltNameMatcher {
            san_type: san_type.into(),
            matcher: Some(matcher::StringMatcher {
                match_pattern: Some(matcher::string_matcher::MatchPattern::Exact(
                    base_url.host.clone(),
                )),
                ..matcher::StringMatcher::default()
            }),
            ..tls::SubjectAltNameMatcher::default()
        }],
        ..tls::CertificateValidationContext::default()
    };
    let context = tls::UpstreamTlsContext {
        sni: if is_address {
            String::new()
        } else {
            base_url.host.clone()
        },
        common_tls_context: Some(tls::CommonTlsContext {
            tls_params: Some(tls::TlsParameters {
                tls_minimum_protocol_version: tls::tls_parameters::TlsProtocol::TlSv12.into(),
                tls_maximum_protocol_version: tls::tls_parameters::TlsProtocol::TlSv13.into(),
                ..tls::TlsParameters::default()
            }),
            alpn_protocols: vec![String::from("http/1.1")],
            validation_context_type: Some(
                tls::common_tls_context::ValidationContextType::ValidationContext(validation),
            ),
            ..tls::CommonTlsContext::default()
        }),
        ..tls::UpstreamTlsContext::default()
    };
    core::TransportSocket {
        name: String::from("envoy.transport_sockets.tls"),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(pack_any(
            context,
        ))),
    }
}

/// HTTP/1.1: no trailers after a stream, and one slow stream never shares a connection with another.
fn http_options(idle_timeout_ms: u64) -> http::HttpProtocolOptions {
    use http::http_protocol_options::explicit_http_config::ProtocolConfig;
    use http::http_protocol_options::{ExplicitHttpConfig, UpstreamProtocolOptions};
    http::HttpProtocolOptions {
        common_http_protocol_options: Some(core::HttpProtocolOptions {
            idle_timeout: Some(millis(idle_timeout_ms)),
            ..core::HttpProtocolOptions::default()
        }),
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(
            ExplicitHttpConfig {
                protocol_config: Some(ProtocolConfig::HttpProtocolOptions(
                    core::Http1ProtocolOptions::default(),
                )),
            },
        )),
        ..http::HttpProtocolOptions::default()
    }
}

fn circuit_breakers(room: Room) -> cluster::CircuitBreakers {
    let ceiling = Some(number(CONCURRENCY_CEILING));
    cluster::CircuitBreakers {
        thresholds: vec![cluster::circuit_breakers::Thresholds {
            max_connections: Some(number(room.connections)),
            max_pending_requests: Some(number(room.pending)),
            max_requests: ceiling,
            max_retries: ceiling,
            ..cluster::circuit_breakers::Thresholds::default()
        }],
        ..cluster::CircuitBreakers::default()
    }
}

fn label(spec: &Cluster) -> core::Metadata {
    let (key, text) = spec.label();
    let fields = HashMap::from([(
        key.to_owned(),
        Value {
            kind: Some(value::Kind::StringValue(text)),
        },
    )]);
    core::Metadata {
        filter_metadata: HashMap::from([(METADATA.to_owned(), Struct { fields })]),
        ..core::Metadata::default()
    }
}

fn number(value: u32) -> UInt32Value {
    UInt32Value { value }
}

fn millis(millis: u64) -> Duration {
    Duration {
        seconds: i64::try_from(millis / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(millis % 1_000 * 1_000_000).unwrap_or_default(),
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration {
        seconds: seconds.into(),
        nanos: 0,
    }
}

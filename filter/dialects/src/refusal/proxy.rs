//! What the proxy answers by itself, and what we call it.
//!
//! Envoy names every answer that it makes itself by *response code details*. Where the filter sees such an answer
//! it becomes a refusal in the client's dialect; where no filter ran, the proxy's configuration writes
//! [`text`](ProxyReply::body) in its place. Both read this table.

use serde_json::json;

use super::code::RefusalCode;

/// An answer of the proxy's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyReply {
    /// What its details are, or how they begin.
    pub details: Details,
    pub code: RefusalCode,
    /// A sentence for the user.
    pub message: &'static str,
}

/// How the proxy names an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Details {
    Are(&'static str),
    Begin(&'static str),
}

impl Details {
    fn cover(self, details: &str) -> bool {
        match self {
            Self::Are(whole) => details == whole,
            Self::Begin(start) => details.starts_with(start),
        }
    }
}

const HEADERS: &str = "The request's headers are longer, or more, than this mesh accepts.";
const LATE: &str = "The request did not arrive in time.";
const MALFORMED: &str = "The request is not proper HTTP.";
const NO_HOST: &str = "The request names no host.";
const OVERLOADED: &str = "This proxy is short of memory.";
const PROVIDER_AWAY: &str = "The provider could not be reached.";
const PROVIDER_BUSY: &str = "This proxy has as many connections to the provider as it may.";
const PROVIDER_LATE: &str = "The provider did not begin to answer in time.";
const TOO_LARGE: &str = "The body is larger than this proxy holds.";
const NO_ROUTE: &str = "The proxy has no route for the targets that were chosen.";
const ANSWER: &str = "The provider's answer is larger than this proxy holds.";
const UPGRADE: &str = "This mesh does not tunnel WebSockets; use plain HTTP on the same path.";
const FAULT: &str = "A fault in the proxy.";

const fn are(details: &'static str, code: RefusalCode, message: &'static str) -> ProxyReply {
    ProxyReply {
        details: Details::Are(details),
        code,
        message,
    }
}

const fn begin(start: &'static str, code: RefusalCode, message: &'static str) -> ProxyReply {
    ProxyReply {
        details: Details::Begin(start),
        code,
        message,
    }
}

impl ProxyReply {
    /// Every answer of the proxy's own, by its details; the first row that covers them counts, the last covers all.
    pub const ALL: &'static [Self] = &[
        are(
            "http1.headers_too_large",
            RefusalCode::HeadersTooLarge,
            HEADERS,
        ),
        are(
            "http1.too_many_headers",
            RefusalCode::HeadersTooLarge,
            HEADERS,
        ),
        are(
            "http1.trailers_too_large",
            RefusalCode::HeadersTooLarge,
            HEADERS,
        ),
        are(
            "http1.too_many_trailers",
            RefusalCode::HeadersTooLarge,
            HEADERS,
        ),
        are(
            "http2.too_many_headers",
            RefusalCode::HeadersTooLarge,
            HEADERS,
        ),
        are(
            "http2.headers_too_large",
            RefusalCode::HeadersTooLarge,
            HEADERS,
        ),
        begin("http1.", RefusalCode::MalformedRequest, MALFORMED),
        begin("http2.", RefusalCode::MalformedRequest, MALFORMED),
        are(
            "missing_host_header",
            RefusalCode::MalformedRequest,
            NO_HOST,
        ),
        are(
            "missing_path_rejected",
            RefusalCode::MalformedRequest,
            MALFORMED,
        ),
        are(
            "absolute_path_rejected",
            RefusalCode::MalformedRequest,
            MALFORMED,
        ),
        are(
            "path_normalization_failed",
            RefusalCode::MalformedRequest,
            MALFORMED,
        ),
        are(
            "request_headers_failed_strict_check",
            RefusalCode::MalformedRequest,
            MALFORMED,
        ),
        are("low_version", RefusalCode::MalformedRequest, MALFORMED),
        are(
            "filter_removed_required_request_headers",
            RefusalCode::Internal,
            FAULT,
        ),
        are(
            "filter_removed_required_response_headers",
            RefusalCode::Internal,
            FAULT,
        ),
        are("request_header_timeout", RefusalCode::RequestTimeout, LATE),
        are("request_overall_timeout", RefusalCode::RequestTimeout, LATE),
        are("stream_idle_timeout", RefusalCode::RequestTimeout, LATE),
        are("duration_timeout", RefusalCode::RequestTimeout, LATE),
        are(
            "request_payload_too_large",
            RefusalCode::BodyTooLarge,
            TOO_LARGE,
        ),
        are(
            "response_payload_too_large",
            RefusalCode::AnswerTooLarge,
            ANSWER,
        ),
        are("overload", RefusalCode::Busy, OVERLOADED),
        begin("envoy_overload", RefusalCode::Busy, OVERLOADED),
        are("upgrade_failed", RefusalCode::WebsocketUnsupported, UPGRADE),
        are("route_not_found", RefusalCode::PlanUnavailable, NO_ROUTE),
        are("cluster_not_found", RefusalCode::PlanUnavailable, NO_ROUTE),
        are(
            "no_healthy_upstream",
            RefusalCode::UpstreamUnreachable,
            PROVIDER_AWAY,
        ),
        are(
            "maintenance_mode",
            RefusalCode::UpstreamUnreachable,
            PROVIDER_AWAY,
        ),
        begin(
            "upstream_reset_before_response_started{overflow",
            RefusalCode::Busy,
            PROVIDER_BUSY,
        ),
        begin(
            "upstream_reset_before_response_started",
            RefusalCode::UpstreamUnreachable,
            PROVIDER_AWAY,
        ),
        are(
            "upstream_response_timeout",
            RefusalCode::UpstreamTimeout,
            PROVIDER_LATE,
        ),
        are(
            "response_timeout",
            RefusalCode::UpstreamTimeout,
            PROVIDER_LATE,
        ),
        are(
            "upstream_per_try_timeout",
            RefusalCode::UpstreamTimeout,
            PROVIDER_LATE,
        ),
        are(
            "upstream_per_try_idle_timeout",
            RefusalCode::UpstreamTimeout,
            PROVIDER_LATE,
        ),
        begin(
            "upstream_max_stream_duration",
            RefusalCode::UpstreamTimeout,
            PROVIDER_LATE,
        ),
        begin("upstream_", RefusalCode::UpstreamUnreachable, PROVIDER_AWAY),
        begin("", RefusalCode::Internal, FAULT),
    ];

    /// Returns what an answer with these details is.
    pub fn of(details: &str) -> &'static Self {
        let row = Self::ALL.iter().find(|row| row.details.cover(details));
        row.unwrap_or(&REST)
    }

    /// Returns the body where nothing is known of the client: an object that the SDKs of all dialects read.
    pub fn body(&self) -> serde_json::Value {
        let name = self.code.name();
        let text = format!("{} (Weir: {name})", self.message);
        json!({
            "type": "error",
            "error": {"type": "invalid_request_error", "code": name, "message": text, "weir_code": name},
        })
    }
}

const REST: ProxyReply = begin("", RefusalCode::Internal, FAULT);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(details: &str, want: RefusalCode) {
        assert_eq!(ProxyReply::of(details).code, want, "{details}");
    }

    #[test]
    fn details_lead_to_codes() {
        check("http1.headers_too_large", RefusalCode::HeadersTooLarge);
        check("http1.codec_error", RefusalCode::MalformedRequest);
        check("http2.invalid.header.field", RefusalCode::MalformedRequest);
        check("request_overall_timeout", RefusalCode::RequestTimeout);
        check("cluster_not_found", RefusalCode::PlanUnavailable);
        check(
            "upstream_reset_before_response_started{overflow}",
            RefusalCode::Busy,
        );
        check(
            "upstream_reset_before_response_started{connection_termination}",
            RefusalCode::UpstreamUnreachable,
        );
        check("upstream_per_try_timeout", RefusalCode::UpstreamTimeout);
        check("wasm_fail_stream", RefusalCode::Internal);
        check("", RefusalCode::Internal);
    }

    #[test]
    fn no_row_hides_another() {
        for (at, row) in ProxyReply::ALL.iter().enumerate() {
            let (Details::Are(details) | Details::Begin(details)) = row.details;
            let first = ProxyReply::ALL
                .iter()
                .position(|row| row.details.cover(details));
            assert_eq!(first, Some(at), "{details}");
        }
        assert_eq!(ProxyReply::ALL.last(), Some(&REST));
    }
}

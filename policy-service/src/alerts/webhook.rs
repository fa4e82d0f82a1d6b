//! One post to a webhook, signed as Standard Webhooks says.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use policy::documents::{NOT_ORDINARY, OutboundAddresses};
use policy::units::Timestamp;
use serde_json::json;
use sha2::Sha256;

use crate::outbound::Guarded;
use crate::store::events::{Event, Webhook};

/// A receiver that takes longer than this is taken for gone.
const TIMEOUT: Duration = Duration::from_secs(15);
const PREFIX: &str = "whsec_";
/// Bounds of a key, by Standard Webhooks.
pub(crate) const MIN_SECRET_BYTES: usize = 24;
pub(crate) const MAX_SECRET_BYTES: usize = 64;

/// Why an event was not delivered.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("the webhook's secret is not one: set it anew")]
    Secret,
    #[error("the webhook's URL {NOT_ORDINARY}")]
    NotOrdinary,
    #[error("the webhook was not reached")]
    Unreachable { source: reqwest::Error },
    #[error("the webhook answered {status}")]
    Refused { status: u16 },
}

/// Returns the key in a secret as it is written; `None` when it is none.
pub(crate) fn key_of(secret: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    (MIN_SECRET_BYTES..=MAX_SECRET_BYTES)
        .contains(&key.len())
        .then_some(key)
}

/// Posts `event`; any answer of 2xx means that it was taken.
pub(super) async fn post(
    webhook: &Webhook,
    event: &Event,
    now: Timestamp,
    addresses: OutboundAddresses,
) -> Result<(), PostError> {
    let url = reqwest::Url::parse(&webhook.url).ok();
    let host = url.as_ref().and_then(reqwest::Url::host_str);
    let host = host.unwrap_or_default();
    if !addresses.admits_host(host.trim_start_matches('[').trim_end_matches(']')) {
        return Err(PostError::NotOrdinary);
    }
    let key = key_of(webhook.secret.expose()).ok_or(PostError::Secret)?;
    let id = format!("evt_{}", event.id);
    let seconds = (now.as_millis() / 1_000).to_string();
    let body = body(event);
    let signature = signature(&key, &id, &seconds, &body).ok_or(PostError::Secret)?;
    // The URL may hold a secret of its own.
    let unreachable = |error: reqwest::Error| PostError::Unreachable {
        source: error.without_url(),
    };
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Arc::new(Guarded(addresses)))
        .build()
        .map_err(unreachable)?;
    let request = client
        .post(&webhook.url)
        .header("content-type", "application/json")
        .header("user-agent", concat!("weir/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", signature)
        .body(body);
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    Err(PostError::Refused {
        status: status.as_u16(),
    })
}

fn body(event: &Event) -> String {
    let at = i64::try_from(event.at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    json!({"type": event.kind, "timestamp": at.to_string(), "data": event.data}).to_string()
}

pub(super) fn signature(key: &[u8], id: &str, seconds: &str, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    Some(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac` module.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let made = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(
            made.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn a_secret_has_its_form_and_length() {
        for (secret, is_one) in [
            (format!("whsec_{}", STANDARD.encode([1; 24])), true),
            (format!("whsec_{}", STANDARD.encode([1; 64])), true),
            (format!("whsec_{}", STANDARD.encode([1; 23])), false),
            (format!("whsec_{}", STANDARD.encode([1; 65])), false),
            (STANDARD.encode([1; 24]), false),
            (String::from("whsec_*"), false),
        ] {
            assert_eq!(key_of(&secret).is_some(), is_one, "{secret}");
        }
    }
}

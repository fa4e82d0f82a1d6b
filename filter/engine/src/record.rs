//! What remains of an exchange.

use policy::compiled::Principal;
use policy::ids::{ExchangeId, ProviderKeyId};
use policy::surface::Surface;
use policy::units::{Timestamp, TokenCount};
use policy::usage::Usage;

use crate::guard::GuardOutcome;
use crate::messages::OwnedMark;

/// The record of one exchange; delivered once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRecord {
    pub exchange: ExchangeId,
    pub started: Timestamp,
    /// `None` for requests whose path was refused.
    pub surface: Option<Surface>,
    pub principal: Principal,
    pub client_app: &'static str,
    pub session_id: String,
    pub agent_id: String,
    /// What the client called its request.
    pub client_request_ids: Vec<String>,
    pub model_asked: String,
    pub attempts: Vec<AttemptRecord>,
    /// What the client was answered; 0 when it was gone before.
    pub status: u16,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub latency_ms: u64,
    pub first_byte_ms: Option<u64>,
    pub ended: Ended,
    /// The refusal's code; empty when the exchange was not refused.
    pub refusal_code: &'static str,
    /// The name of the quota that refused; empty when none did.
    pub refused_by: String,
    pub streamed: bool,
    pub unkeyed: bool,
    pub subscription: bool,
    /// Path without query, at most 256 bytes.
    pub path: String,
    /// Provider-side ids that came into being.
    pub created_ids: Vec<String>,
    /// What stands for the items that came into being with them, in their owner's hands; none while it runs.
    pub item_marks: Vec<OwnedMark>,
    /// What each guardrail that applied did, the request's before the answer's.
    pub guardrails: Vec<GuardOutcome>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Complete,
    ClientGone,
    UpstreamError,
    Refused,
    /// Not over yet: a progress report.
    Running,
}

/// One attempt, as far as it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    pub number: u32,
    pub provider: String,
    pub provider_key: Option<ProviderKeyId>,
    pub model: String,
    /// 0 when no response headers came.
    pub status: u16,
    /// What the provider called it.
    pub request_ids: Vec<String>,
    pub started: Timestamp,
    pub headers_ms: Option<u64>,
    /// `None` when nothing is known to have been used.
    pub usage: Option<Usage>,
    pub estimated: bool,
    /// The provider refused the key, or what was asked for with it.
    pub key_refused: bool,
    pub price_table: String,
    /// The most output that was asked for; bounds estimates, does not travel.
    pub max_output: Option<TokenCount>,
}

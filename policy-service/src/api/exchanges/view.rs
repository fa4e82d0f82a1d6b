//! Exchanges as the API shows them.

use std::collections::BTreeMap;

use policy::units::{MicroUsd, Timestamp};
use policy::usage::Usage;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::operations::exchanges::{
    Attempt, Group, GuardFinding, GuardOutcome, GuardUnscanned, GuardVerdict, NamedExchange,
    PriceFound, RequestId, Sum, SumBy,
};
use crate::operations::schema;

/// One request and its response.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ExchangeView {
    id: Uuid,
    #[schema(value_type = u64)]
    started_ms: Timestamp,
    surface: String,
    key: Option<ReferenceView>,
    user: Option<ReferenceView>,
    team: Option<ReferenceView>,
    customer: Option<ReferenceView>,
    client_app: String,
    session_id: String,
    agent_id: String,
    /// What the client called its request.
    client_request_ids: Vec<String>,
    /// What the providers of all attempts called it.
    provider_request_ids: Vec<String>,
    device: String,
    environment: String,
    region: String,
    model_asked: String,
    model_used: String,
    provider: String,
    attempt_count: u32,
    /// What the client was answered.
    status: u32,
    request_bytes: u64,
    response_bytes: u64,
    latency_ms: u64,
    /// From the first request byte to the first byte of the answer's body.
    first_byte_ms: Option<u64>,
    /// `running`, `complete`, `client_gone`, `upstream_error`, `refused` or `envoy_lost`.
    ended: &'static str,
    refusal_code: Option<String>,
    /// The quota that refused, by its name then.
    refused_by: Option<String>,
    streamed: bool,
    /// Admitted without a key.
    unkeyed: bool,
    /// The client's own provider login was used.
    subscription: bool,
    path: String,
    /// Sum over the attempts.
    #[schema(value_type = schema::Usage)]
    usage: Usage,
    /// What was really spent; 0 for subscription traffic.
    #[schema(value_type = u64)]
    cost_micro_usd: MicroUsd,
    /// What subscription traffic would have cost.
    #[schema(value_type = u64)]
    notional_cost_micro_usd: MicroUsd,
    /// The model of some attempt had no price of its own.
    unknown_price: bool,
    /// Some usage is an estimate.
    estimated: bool,
    price_book_version: String,
    /// What the strongest guardrail did; `null` when none covered the exchange.
    guard_outcome: Option<&'static str>,
    /// Each guardrail that covered the exchange, the strongest first.
    guardrails: Vec<GuardOutcomeView>,
}

/// What one guardrail did in one direction. Values that were found are nowhere.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GuardOutcomeView {
    /// `null` when the filter did not say.
    id: Option<Uuid>,
    /// As it was at the time.
    name: String,
    /// `request` or `response`.
    direction: &'static str,
    /// `not_scanned`, `scanned` (nothing found), `observed`, `tokenised`, `redacted` or `blocked`.
    outcome: &'static str,
    /// Texts that it judged.
    texts: u64,
    findings: Vec<GuardFindingView>,
    /// What was not searched, by reason.
    unscanned: Vec<GuardUnscannedView>,
}

/// What one rule found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GuardFindingView {
    rule: String,
    /// `secret`, `pii`, `custom`, `word`, `hidden_text` or `injection`.
    kind: String,
    /// `low`, `medium`, `high` or `critical`.
    severity: String,
    count: u32,
    /// JSON paths of the first texts it was found in.
    paths: Vec<String>,
    /// Keyed fingerprints of the first different values: the same value has the same one in this mesh.
    fingerprints: Vec<String>,
}

/// What was not searched, for one reason.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GuardUnscannedView {
    /// As in `image` or `sampling`.
    why: String,
    count: u32,
}

/// What an exchange was for; the name is gone once the object is deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReferenceView {
    id: Uuid,
    name: Option<String>,
}

/// An exchange and its attempts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WholeExchangeView {
    exchange: ExchangeView,
    attempts: Vec<AttemptView>,
}

/// One try at one target.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AttemptView {
    number: u32,
    provider: String,
    provider_key: Option<Uuid>,
    model: String,
    /// 0 when no response headers came.
    status: u32,
    /// What the provider called it, unless an earlier attempt was called the same.
    request_ids: Vec<String>,
    #[schema(value_type = u64)]
    started_ms: Timestamp,
    /// Time to response headers.
    headers_ms: Option<u64>,
    /// `null` when nothing is known to have been used.
    #[schema(value_type = Option<schema::Usage>)]
    usage: Option<Usage>,
    estimated: bool,
    /// The provider refused the key, or what was asked for with it.
    key_refused: bool,
    price_table: String,
    /// Notional for subscription traffic.
    #[schema(value_type = u64)]
    cost_micro_usd: MicroUsd,
    /// How the price was found: `unused`, `override`, `book`, `unknown_dearest` or `unknown_zero`.
    #[schema(value_type = String)]
    price: PriceFound,
    price_book_version: String,
}

/// One sum.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SumView {
    /// What the sum is of: a field for each word in `by`.
    group: BTreeMap<&'static str, GroupView>,
    exchanges: u64,
    refused: u64,
    /// Answers with a status of 400 or above that policy did not refuse.
    failed: u64,
    #[schema(value_type = schema::Usage)]
    usage: Usage,
    /// What was really spent.
    #[schema(value_type = u64)]
    cost_micro_usd: MicroUsd,
    /// What subscription traffic would have cost.
    #[schema(value_type = u64)]
    notional_cost_micro_usd: MicroUsd,
    /// Exchanges in which some model had no price.
    unknown_price_exchanges: u64,
    /// Exchanges in which some usage is an estimate.
    estimated_exchanges: u64,
    /// Exchanges that some guardrail covered, and those in which the strongest did this.
    guarded_exchanges: u64,
    guard_observed_exchanges: u64,
    guard_tokenised_exchanges: u64,
    guard_redacted_exchanges: u64,
    guard_blocked_exchanges: u64,
}

/// An object, or a text such as a model name or a day (`2026-11-21`); `null` where exchanges have none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum GroupView {
    Object(Option<ReferenceView>),
    Text(String),
}

impl From<NamedExchange> for ExchangeView {
    fn from(named: NamedExchange) -> Self {
        let exchange = named.exchange;
        let reference = |id: Option<Uuid>, name| id.map(|id| ReferenceView { id, name });
        let payer = exchange.payer;
        let provider_request_ids = named.request_ids.provider.values();
        let provider_request_ids = provider_request_ids.flat_map(|ids| texts(ids));
        let (cost_micro_usd, notional_cost_micro_usd) = if exchange.is_subscription {
            (MicroUsd::ZERO, exchange.cost)
        } else {
            (exchange.cost, MicroUsd::ZERO)
        };
        Self {
            id: exchange.id.uuid(),
            started_ms: exchange.started_at,
            surface: exchange.surface,
            key: reference(payer.key.map(|id| id.uuid()), named.key_name),
            user: reference(payer.user.map(|id| id.uuid()), named.user_name),
            team: reference(payer.team.map(|id| id.uuid()), named.team_name),
            customer: reference(payer.customer.map(|id| id.uuid()), named.customer_name),
            client_app: exchange.client_app,
            session_id: exchange.session_id,
            agent_id: exchange.agent_id,
            client_request_ids: texts(&named.request_ids.client),
            provider_request_ids: provider_request_ids.collect(),
            device: exchange.device,
            environment: exchange.environment,
            region: exchange.region,
            model_asked: exchange.model_asked,
            model_used: exchange.model_used,
            provider: exchange.provider,
            attempt_count: exchange.attempt_count,
            status: exchange.status,
            request_bytes: exchange.request_bytes,
            response_bytes: exchange.response_bytes,
            latency_ms: exchange.latency_ms,
            first_byte_ms: exchange.first_byte_ms,
            ended: exchange.ended.name(),
            refusal_code: Some(exchange.refusal_code).filter(|code| !code.is_empty()),
            refused_by: Some(exchange.refused_by).filter(|name| !name.is_empty()),
            streamed: exchange.is_streamed,
            unkeyed: exchange.is_unkeyed,
            subscription: exchange.is_subscription,
            path: exchange.path,
            usage: exchange.usage,
            cost_micro_usd,
            notional_cost_micro_usd,
            unknown_price: exchange.has_unknown_price,
            estimated: exchange.is_estimated,
            price_book_version: exchange.price_book,
            guard_outcome: exchange.guard_verdict.map(GuardVerdict::name),
            guardrails: named.guardrails.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<GuardOutcome> for GuardOutcomeView {
    fn from(outcome: GuardOutcome) -> Self {
        Self {
            id: outcome.guardrail.map(|id| id.uuid()),
            name: outcome.name,
            direction: outcome.direction.name(),
            outcome: outcome.verdict.name(),
            texts: outcome.texts,
            findings: outcome.findings.into_iter().map(Into::into).collect(),
            unscanned: outcome.unscanned.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<GuardFinding> for GuardFindingView {
    fn from(finding: GuardFinding) -> Self {
        Self {
            rule: finding.rule,
            kind: finding.kind,
            severity: finding.severity,
            count: finding.count,
            paths: finding.paths,
            fingerprints: finding.fingerprints,
        }
    }
}

impl From<GuardUnscanned> for GuardUnscannedView {
    fn from(unscanned: GuardUnscanned) -> Self {
        Self {
            why: unscanned.why,
            count: unscanned.count,
        }
    }
}

impl WholeExchangeView {
    pub(super) fn new(exchange: NamedExchange, attempts: Vec<Attempt>) -> Self {
        let ids = &exchange.request_ids.provider;
        let attempts = attempts.into_iter().map(|attempt| AttemptView {
            number: attempt.number,
            request_ids: ids
                .get(&attempt.number)
                .map(|ids| texts(ids))
                .unwrap_or_default(),
            provider: attempt.provider,
            provider_key: attempt.provider_key.map(|id| id.uuid()),
            model: attempt.model,
            status: attempt.status,
            started_ms: attempt.started_at,
            headers_ms: attempt.headers_ms,
            usage: attempt.usage,
            estimated: attempt.is_estimated,
            key_refused: attempt.key_refused,
            price_table: attempt.price_table,
            cost_micro_usd: attempt.cost,
            price: attempt.price,
            price_book_version: attempt.price_book,
        });
        let attempts = attempts.collect();
        Self {
            attempts,
            exchange: exchange.into(),
        }
    }
}

impl SumView {
    /// Shows a sum that was told apart by `by`.
    pub(super) fn new(sum: Sum, by: &[SumBy]) -> Self {
        let groups = sum.groups.into_iter().map(|group| match group {
            Group::Object { id, name } => {
                GroupView::Object(id.map(|id| ReferenceView { id, name }))
            }
            Group::Day { start_ms } => GroupView::Text(day(start_ms)),
            Group::Text(text) => GroupView::Text(text),
        });
        Self {
            group: by.iter().map(|by| by.name()).zip(groups).collect(),
            exchanges: sum.exchanges,
            refused: sum.refused,
            failed: sum.failed,
            usage: sum.usage,
            cost_micro_usd: sum.cost,
            notional_cost_micro_usd: sum.notional_cost,
            unknown_price_exchanges: sum.unknown_price,
            estimated_exchanges: sum.estimated,
            guarded_exchanges: sum.guarded,
            guard_observed_exchanges: sum.guard_observed,
            guard_tokenised_exchanges: sum.guard_tokenised,
            guard_redacted_exchanges: sum.guard_redacted,
            guard_blocked_exchanges: sum.guard_blocked,
        }
    }
}

fn texts(ids: &[RequestId]) -> Vec<String> {
    ids.iter().map(|id| id.as_str().to_owned()).collect()
}

/// The day of UTC that begins at a time; empty beyond the calendar.
fn day(start_ms: u64) -> String {
    let start = i64::try_from(start_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    start
        .map(|start| start.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
        .unwrap_or_default()
}

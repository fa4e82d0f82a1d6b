//! Exchanges: a list, one with its attempts, sums.

mod view;

use std::str::FromStr;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use policy::ids::{CustomerId, ExchangeId, KeyId, TeamId, UserId};
use policy::surface::Surface;
use policy::units::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, bad_cursor, limit};
use super::request::{Parameters, Parsed, id};
use crate::operations::exchanges::{
    self, Cursor, Ended, ExchangeFilter, GuardVerdict, GuardrailName, RequestId, SumBy,
};
use crate::operations::{Caller, ObjectKind};
use view::{ExchangeView, SumView, WholeExchangeView};

const USUAL_ITEMS: u32 = 100;
const MAX_ITEMS: u32 = 1_000;
const USUAL_SUMS: u32 = 1_000;
const MAX_SUMS: u32 = 10_000;

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(sum))
        .routes(routes!(get))
}

/// Which exchanges, and how many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExchangeQuery {
    /// The exchange itself, by what its answer carried in `x-weir-exchange-id`.
    #[param(value_type = Option<uuid::Uuid>)]
    exchange_id: Option<Parsed<ExchangeId>>,
    /// What the client called its request: `x-request-id`, `x-client-request-id` and their like.
    client_request_id: Option<String>,
    /// What the provider called it: `request-id`, `x-request-id`, `apim-request-id` and their like.
    provider_request_id: Option<String>,
    #[param(value_type = Option<uuid::Uuid>)]
    key: Option<Parsed<KeyId>>,
    #[param(value_type = Option<uuid::Uuid>)]
    user: Option<Parsed<UserId>>,
    #[param(value_type = Option<uuid::Uuid>)]
    team: Option<Parsed<TeamId>>,
    #[param(value_type = Option<uuid::Uuid>)]
    customer: Option<Parsed<CustomerId>>,
    /// The model asked for or the model used.
    model: Option<String>,
    provider: Option<String>,
    /// As in `anthropic.messages`.
    #[param(value_type = Option<String>)]
    surface: Option<Parsed<SurfaceName>>,
    /// Status of the answer to the client.
    #[param(value_type = Option<u32>)]
    status: Option<Parsed<u32>>,
    /// `running`, `complete`, `client_gone`, `upstream_error`, `refused` or `envoy_lost`.
    #[param(value_type = Option<String>)]
    ended: Option<Parsed<EndedName>>,
    refusal_code: Option<String>,
    /// The quota that refused, by the name it had then.
    refused_by: Option<String>,
    client_app: Option<String>,
    session_id: Option<String>,
    environment: Option<String>,
    region: Option<String>,
    device: Option<String>,
    /// Whether the client's own provider login was used.
    #[param(value_type = Option<bool>)]
    subscription: Option<Parsed<bool>>,
    /// Whether it was admitted without a key.
    #[param(value_type = Option<bool>)]
    unkeyed: Option<Parsed<bool>>,
    /// Whether some model had no price.
    #[param(value_type = Option<bool>)]
    unknown_price: Option<Parsed<bool>>,
    /// A guardrail that covered it, by id or by the name it had then.
    guardrail: Option<String>,
    /// What a guardrail did: `not_scanned`, `scanned`, `observed`, `tokenised`, `redacted` or `blocked`; with
    /// `guardrail`, what that one did.
    #[param(value_type = Option<String>)]
    outcome: Option<Parsed<OutcomeName>>,
    /// Started at this time or later.
    #[param(value_type = Option<u64>)]
    from_ms: Option<Parsed<u64>>,
    /// Started before this time.
    #[param(value_type = Option<u64>)]
    to_ms: Option<Parsed<u64>>,
    /// Most items to return. Exchanges: at most 1,000, default 100. Sums: at most 10,000, default 1,000.
    #[param(value_type = Option<u32>)]
    limit: Option<Parsed<u32>>,
    /// `next_cursor` of the page before; for lists only.
    cursor: Option<String>,
    /// What sums are told apart by, comma-separated: `key`, `user`, `team`, `customer`, `model`, `provider`,
    /// `day` (of UTC), `environment`, `client_app`, `surface`; for sums only.
    #[param(value_type = Option<String>)]
    by: Option<Parsed<SumByNames>>,
}

/// Sums of exchanges.
#[derive(Debug, Serialize, ToSchema)]
struct SumsView {
    /// Dearest first.
    items: Vec<SumView>,
    /// There are more than `limit`.
    truncated: bool,
}

#[derive(Clone, Copy, Debug)]
struct SurfaceName(Surface);

impl FromStr for SurfaceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Surface::ALL.map(Surface::name).join("`, `");
        Surface::from_name(text)
            .map(Self)
            .ok_or_else(|| format!("known are `{}`", known()))
    }
}

#[derive(Clone, Copy, Debug)]
struct EndedName(Ended);

impl FromStr for EndedName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Ended::ALL.map(Ended::name).join("`, `");
        Ended::from_name(text)
            .map(Self)
            .ok_or_else(|| format!("known are `{}`", known()))
    }
}

#[derive(Clone, Copy, Debug)]
struct OutcomeName(GuardVerdict);

impl FromStr for OutcomeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || GuardVerdict::ALL.map(GuardVerdict::name).join("`, `");
        GuardVerdict::from_name(text)
            .map(Self)
            .ok_or_else(|| format!("known are `{}`", known()))
    }
}

#[derive(Clone, Debug)]
struct SumByNames(Vec<SumBy>);

impl FromStr for SumByNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        for name in text.split(',') {
            let by = SumBy::from_name(name.trim()).ok_or_else(|| {
                let known = SumBy::ALL.map(SumBy::name).join("`, `");
                format!("`{name}` is not known; known are `{known}`")
            })?;
            if all.contains(&by) {
                return Err(format!("`{name}` is named twice"));
            }
            all.push(by);
        }
        Ok(Self(all))
    }
}

impl ExchangeQuery {
    fn filter(&self) -> Result<ExchangeFilter, ApiError> {
        let at = |time: Option<Parsed<u64>>| time.map(|Parsed(ms)| Timestamp::from_millis(ms));
        Ok(ExchangeFilter {
            id: self.exchange_id.map(|Parsed(id)| id),
            client_request_id: request_id("client_request_id", self.client_request_id.as_ref())?,
            provider_request_id: request_id(
                "provider_request_id",
                self.provider_request_id.as_ref(),
            )?,
            key: self.key.map(|Parsed(id)| id),
            user: self.user.map(|Parsed(id)| id),
            team: self.team.map(|Parsed(id)| id),
            customer: self.customer.map(|Parsed(id)| id),
            model: self.model.clone(),
            provider: self.provider.clone(),
            surface: self
                .surface
                .map(|Parsed(surface)| surface.0.name().to_owned()),
            status: self.status.map(|Parsed(status)| status),
            ended: self.ended.map(|Parsed(ended)| ended.0),
            refusal_code: self.refusal_code.clone(),
            refused_by: self.refused_by.clone(),
            client_app: self.client_app.clone(),
            session_id: self.session_id.clone(),
            environment: self.environment.clone(),
            region: self.region.clone(),
            device: self.device.clone(),
            is_subscription: self.subscription.map(|Parsed(flag)| flag),
            is_unkeyed: self.unkeyed.map(|Parsed(flag)| flag),
            has_unknown_price: self.unknown_price.map(|Parsed(flag)| flag),
            guardrail: self.guardrail.clone().map(|text| match text.parse() {
                Ok(id) => GuardrailName::Id(id),
                Err(_name) => GuardrailName::Name(text),
            }),
            guard_verdict: self.outcome.map(|Parsed(outcome)| outcome.0),
            from: at(self.from_ms),
            to: at(self.to_ms),
        })
    }
}

/// List exchanges, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/exchanges",
    tag = "exchanges",
    operation_id = "list_exchanges",
    params(ExchangeQuery),
    responses((status = 200, body = Page<ExchangeView>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<ExchangeQuery>,
) -> Result<Json<Page<ExchangeView>>, ApiError> {
    refuse_parameter(
        "by",
        query.by.is_some(),
        "is for sums: `/api/v1/exchanges/sum`",
    )?;
    let limit = limit(query.limit, USUAL_ITEMS, MAX_ITEMS)?;
    let after = query.cursor.as_deref().map(read_cursor).transpose()?;
    let filter = query.filter()?;
    let found = exchanges::list(&shared.store, &caller, &filter, after, limit).await?;
    let is_full = u32::try_from(found.len()).is_ok_and(|count| count == limit);
    let next_cursor = found.last().filter(|_| is_full).map(|last| {
        let exchange = &last.exchange;
        format!(
            "{}.{}",
            exchange.started_at.as_millis(),
            exchange.id.uuid().simple()
        )
    });
    Ok(Json(Page {
        items: found.into_iter().map(ExchangeView::from).collect(),
        next_cursor,
    }))
}

/// Sum exchanges up by any combination of key, user, team, customer, model, provider, day and more.
#[utoipa::path(
    get,
    path = "/api/v1/exchanges/sum",
    tag = "exchanges",
    operation_id = "sum_exchanges",
    params(ExchangeQuery),
    responses((status = 200, body = SumsView), (status = "default", body = ErrorBody))
)]
async fn sum(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<ExchangeQuery>,
) -> Result<Json<SumsView>, ApiError> {
    refuse_parameter(
        "cursor",
        query.cursor.is_some(),
        "is for lists; narrow the sum instead",
    )?;
    let limit = limit(query.limit, USUAL_SUMS, MAX_SUMS)?;
    let filter = query.filter()?;
    let by = query
        .by
        .map(|Parsed(SumByNames(by))| by)
        .unwrap_or_default();
    let one_more = limit.saturating_add(1);
    let mut sums = exchanges::sum(&shared.store, &caller, &filter, &by, one_more).await?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let truncated = sums.len() > size;
    sums.truncate(size);
    let items = sums.into_iter().map(|sum| SumView::new(sum, &by)).collect();
    Ok(Json(SumsView { items, truncated }))
}

/// Show an exchange and its attempts.
#[utoipa::path(
    get,
    path = "/api/v1/exchanges/{id}",
    tag = "exchanges",
    operation_id = "get_exchange",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = WholeExchangeView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<WholeExchangeView>, ApiError> {
    let id: ExchangeId = id(ObjectKind::Exchange, &name)?;
    let (exchange, attempts) = exchanges::get(&shared.store, &caller, id).await?;
    Ok(Json(WholeExchangeView::new(exchange, attempts)))
}

/// Reads an id in the form in which it was stored.
fn request_id(name: &str, given: Option<&String>) -> Result<Option<RequestId>, ApiError> {
    let Some(given) = given else {
        return Ok(None);
    };
    let id = RequestId::new(given).ok_or_else(|| ApiError::Query {
        problems: vec![policy::check::Problem::new(
            name,
            "holds no letter or digit of an id",
        )],
    })?;
    Ok(Some(id))
}

fn refuse_parameter(name: &str, is_given: bool, because: &str) -> Result<(), ApiError> {
    if is_given {
        let problems = vec![policy::check::Problem::new(name, because)];
        return Err(ApiError::Query { problems });
    }
    Ok(())
}

fn read_cursor(text: &str) -> Result<Cursor, ApiError> {
    let read = || {
        let (started, id) = text.split_once('.')?;
        let started_at = Timestamp::from_millis(started.parse().ok()?);
        Some(Cursor {
            started_at,
            id: id.parse().ok()?,
        })
    };
    read().ok_or_else(bad_cursor)
}

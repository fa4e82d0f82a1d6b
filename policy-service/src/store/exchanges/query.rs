//! Listing exchanges.

use policy::ids::{CustomerId, ExchangeId, KeyId, ProviderKeyId, TeamId, UserId};
use policy::units::{MicroUsd, Timestamp, TokenCount};
use policy::usage::Usage;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::request_ids::{self, RequestId, RequestIds};
use super::{
    Attempt, Ended, Exchange, GuardOutcome, GuardVerdict, GuardrailName, Payer, VmOrigin, guards,
};
use crate::store::StoreError;
use crate::store::columns::{Columns, failed, signed};

const OBJECT: &str = "exchange";

/// Which exchanges; all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeFilter {
    pub id: Option<ExchangeId>,
    /// What the client called it.
    pub client_request_id: Option<RequestId>,
    /// What a provider called it.
    pub provider_request_id: Option<RequestId>,
    pub key: Option<KeyId>,
    pub user: Option<UserId>,
    pub team: Option<TeamId>,
    pub customer: Option<CustomerId>,
    /// The model asked for or the model used.
    pub model: Option<String>,
    pub provider: Option<String>,
    pub surface: Option<String>,
    pub status: Option<u32>,
    pub ended: Option<Ended>,
    pub refusal_code: Option<String>,
    /// The quota that refused, by name.
    pub refused_by: Option<String>,
    pub client_app: Option<String>,
    pub session_id: Option<String>,
    pub environment: Option<String>,
    pub region: Option<String>,
    pub device: Option<String>,
    pub is_subscription: Option<bool>,
    pub is_unkeyed: Option<bool>,
    pub has_unknown_price: Option<bool>,
    /// Some outcome is by this guardrail and has this verdict; either can be left out.
    pub guardrail: Option<GuardrailName>,
    pub guard_verdict: Option<GuardVerdict>,
    /// Started at this time or later.
    pub from: Option<Timestamp>,
    /// Started before this time.
    pub to: Option<Timestamp>,
}

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub started_at: Timestamp,
    pub id: ExchangeId,
}

/// An exchange with the names of those it was for, as far as they still exist.
#[derive(Clone, Debug)]
pub struct NamedExchange {
    pub exchange: Exchange,
    pub key_name: Option<String>,
    pub user_name: Option<String>,
    pub team_name: Option<String>,
    pub customer_name: Option<String>,
    pub guardrails: Vec<GuardOutcome>,
    pub request_ids: RequestIds,
}

const SELECT: &str = "SELECT e.*, k.name AS key_name, u.name AS user_name, t.name AS team_name, \
    c.name AS customer_name FROM ";

const NAMES: &str = " \
    LEFT JOIN virtual_keys k ON k.id = e.key_id LEFT JOIN users u ON u.id = e.user_id \
    LEFT JOIN teams t ON t.id = e.team_id LEFT JOIN customers c ON c.id = e.customer_id WHERE ";

/// Appends the conditions on `e`.
pub(super) fn push_filter(query: &mut QueryBuilder<Sqlite>, filter: &ExchangeFilter) {
    query.push("1 = 1");
    request_ids::push_filter(query, filter);
    for (condition, id) in [
        (" AND e.id = ", filter.id.map(ExchangeId::uuid)),
        (" AND e.key_id = ", filter.key.map(KeyId::uuid)),
        (" AND e.user_id = ", filter.user.map(UserId::uuid)),
        (" AND e.team_id = ", filter.team.map(TeamId::uuid)),
        (
            " AND e.customer_id = ",
            filter.customer.map(CustomerId::uuid),
        ),
    ] {
        if let Some(id) = id {
            query.push(condition).push_bind(id);
        }
    }
    if let Some(model) = &filter.model {
        query
            .push(" AND (e.model_asked = ")
            .push_bind(model.clone());
        query
            .push(" OR e.model_used = ")
            .push_bind(model.clone())
            .push(")");
    }
    for (condition, text) in [
        (" AND e.provider = ", filter.provider.clone()),
        (" AND e.surface = ", filter.surface.clone()),
        (
            " AND e.ended = ",
            filter.ended.map(|ended| ended.name().to_owned()),
        ),
        (" AND e.refusal_code = ", filter.refusal_code.clone()),
        (" AND e.refused_by = ", filter.refused_by.clone()),
        (" AND e.client_app = ", filter.client_app.clone()),
        (" AND e.session_id = ", filter.session_id.clone()),
        (" AND e.environment = ", filter.environment.clone()),
        (" AND e.region = ", filter.region.clone()),
        (" AND e.device = ", filter.device.clone()),
    ] {
        if let Some(text) = text {
            query.push(condition).push_bind(text);
        }
    }
    for (condition, flag) in [
        (" AND e.subscription = ", filter.is_subscription),
        (" AND e.unkeyed = ", filter.is_unkeyed),
        (" AND e.unknown_price = ", filter.has_unknown_price),
    ] {
        if let Some(flag) = flag {
            query.push(condition).push_bind(flag);
        }
    }
    guards::push_filter(query, filter.guardrail.as_ref(), filter.guard_verdict);
    for (condition, number) in [
        (" AND e.status = ", filter.status.map(i64::from)),
        (
            " AND e.started_ms >= ",
            filter.from.map(|at| signed(at.as_millis())),
        ),
        (
            " AND e.started_ms < ",
            filter.to.map(|at| signed(at.as_millis())),
        ),
    ] {
        if let Some(number) = number {
            query.push(condition).push_bind(number);
        }
    }
}

/// Lists exchanges, newest first.
pub(crate) async fn list(
    db: &mut SqliteConnection,
    filter: &ExchangeFilter,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Vec<NamedExchange>, StoreError> {
    let mut filter = filter.clone();
    let leading = request_ids::take_leading(&mut filter);
    let (from, started_ms, id) = match &leading {
        // Even if a client gives one id to all that it asks, its latest are found without the others.
        Some(_) => (
            "request_ids r JOIN exchanges e ON e.id = r.exchange_id",
            "r.started_ms",
            "r.exchange_id",
        ),
        None => ("exchanges e", "e.started_ms", "e.id"),
    };
    let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(format!("{SELECT}{from}{NAMES}"));
    if let Some(leading) = leading {
        leading.push(&mut query);
    }
    push_filter(&mut query, &filter);
    if let Some(after) = after {
        let started = signed(after.started_at.as_millis());
        query
            .push(format!(" AND ({started_ms} < "))
            .push_bind(started);
        query
            .push(format!(" OR ({started_ms} = "))
            .push_bind(started);
        query
            .push(format!(" AND {id} < "))
            .push_bind(after.id.uuid())
            .push("))");
    }
    query
        .push(format!(" ORDER BY {started_ms} DESC, {id} DESC LIMIT "))
        .push_bind(i64::from(limit));
    let rows = query
        .build()
        .fetch_all(&mut *db)
        .await
        .map_err(failed("list exchanges"))?;
    let mut exchanges: Vec<NamedExchange> = rows.iter().map(read).collect::<Result<_, _>>()?;
    let guarded = exchanges
        .iter()
        .filter(|named| named.exchange.guard_verdict.is_some());
    let guarded: Vec<_> = guarded.map(|named| named.exchange.id).collect();
    let mut outcomes = guards::of(db, &guarded).await?;
    let all: Vec<_> = exchanges.iter().map(|named| named.exchange.id).collect();
    let mut ids = request_ids::of(db, &all).await?;
    for named in &mut exchanges {
        named.guardrails = outcomes.remove(&named.exchange.id).unwrap_or_default();
        named.request_ids = ids.remove(&named.exchange.id).unwrap_or_default();
    }
    Ok(exchanges)
}

pub(crate) async fn get(
    db: &mut SqliteConnection,
    id: ExchangeId,
) -> Result<Option<(NamedExchange, Vec<Attempt>)>, StoreError> {
    let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(format!("{SELECT}exchanges e{NAMES}"));
    query.push("e.id = ").push_bind(id.uuid());
    let row = query
        .build()
        .fetch_optional(&mut *db)
        .await
        .map_err(failed("read an exchange"))?;
    let Some(row) = row else {
        return Ok(None);
    };
    let attempts = sqlx::query("SELECT * FROM attempts WHERE exchange_id = $1 ORDER BY number");
    let attempts = attempts
        .bind(id.uuid())
        .fetch_all(&mut *db)
        .await
        .map_err(failed("list attempts"))?;
    let attempts = attempts
        .iter()
        .map(read_attempt)
        .collect::<Result<_, _>>()?;
    let mut named = read(&row)?;
    named.guardrails = guards::of(db, &[id]).await?.remove(&id).unwrap_or_default();
    let mut ids = request_ids::of(db, &[id]).await?;
    named.request_ids = ids.remove(&id).unwrap_or_default();
    Ok(Some((named, attempts)))
}

pub(super) fn read_usage(columns: &Columns<'_>) -> Result<Usage, StoreError> {
    let tokens = |column| columns.number(column).map(TokenCount::new);
    Ok(Usage {
        input_tokens: tokens("input_tokens")?,
        cache_read_tokens: tokens("cache_read_tokens")?,
        cache_write_5m_tokens: tokens("cache_write_5m_tokens")?,
        cache_write_1h_tokens: tokens("cache_write_1h_tokens")?,
        output_tokens: tokens("output_tokens")?,
        reasoning_tokens: tokens("reasoning_tokens")?,
        web_search_requests: tokens("web_search_requests")?,
    })
}

fn read(row: &SqliteRow) -> Result<NamedExchange, StoreError> {
    let columns = Columns::new(row, OBJECT);
    let exchange = Exchange {
        id: columns.id("id", ExchangeId::new)?,
        started_at: Timestamp::from_millis(columns.number("started_ms")?),
        surface: columns.get("surface")?,
        payer: Payer {
            key: columns.optional_id("key_id", KeyId::new)?,
            user: columns.optional_id("user_id", UserId::new)?,
            team: columns.optional_id("team_id", TeamId::new)?,
            customer: columns.optional_id("customer_id", CustomerId::new)?,
        },
        client_app: columns.get("client_app")?,
        session_id: columns.get("session_id")?,
        agent_id: columns.get("agent_id")?,
        device: columns.get("device")?,
        environment: columns.get("environment")?,
        region: columns.get("region")?,
        model_asked: columns.get("model_asked")?,
        model_used: columns.get("model_used")?,
        provider: columns.get("provider")?,
        status: columns.narrow("status")?,
        request_bytes: columns.number("request_bytes")?,
        response_bytes: columns.number("response_bytes")?,
        latency_ms: columns.number("latency_ms")?,
        first_byte_ms: columns.optional_number("first_byte_ms")?,
        ended: columns.word("ended")?,
        refusal_code: columns.get("refusal_code")?,
        refused_by: columns.get("refused_by")?,
        is_streamed: columns.get("streamed")?,
        is_unkeyed: columns.get("unkeyed")?,
        is_subscription: columns.get("subscription")?,
        path: columns.get("path")?,
        attempt_count: columns.narrow("attempt_count")?,
        usage: read_usage(&columns)?,
        cost: MicroUsd::new(columns.number("cost_micro_usd")?),
        has_unknown_price: columns.get("unknown_price")?,
        is_estimated: columns.get("estimated")?,
        price_book: columns.get("price_book")?,
        origin: VmOrigin {
            process_id: columns.get("process_id")?,
            vm_id: columns.get("vm_id")?,
        },
        guard_verdict: columns.optional_word("guard_verdict")?,
    };
    Ok(NamedExchange {
        exchange,
        key_name: columns.get("key_name")?,
        user_name: columns.get("user_name")?,
        team_name: columns.get("team_name")?,
        customer_name: columns.get("customer_name")?,
        guardrails: Vec::new(),
        request_ids: RequestIds::default(),
    })
}

fn read_attempt(row: &SqliteRow) -> Result<Attempt, StoreError> {
    let columns = Columns::new(row, "attempt");
    let used: bool = columns.get("used")?;
    Ok(Attempt {
        number: columns.narrow("number")?,
        provider: columns.get("provider")?,
        provider_key: columns.optional_id("provider_key_id", ProviderKeyId::new)?,
        model: columns.get("model")?,
        status: columns.narrow("status")?,
        started_at: Timestamp::from_millis(columns.number("started_ms")?),
        headers_ms: columns.optional_number("headers_ms")?,
        usage: if used {
            Some(read_usage(&columns)?)
        } else {
            None
        },
        is_estimated: columns.get("estimated")?,
        key_refused: columns.get("key_refused")?,
        price_table: columns.get("price_table")?,
        cost: MicroUsd::new(columns.number("cost_micro_usd")?),
        price: columns.word("price")?,
        price_book: columns.get("price_book")?,
    })
}

//! From what filters report to what is stored: ids are read, numbers bounded, attempts priced.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use policy::ids::{CustomerId, ExchangeId, KeyId, ProviderKeyId, TeamId, UserId};
use policy::price::{PriceAsk, PriceBook, PricedBy};
use policy::units::{MicroUsd, Timestamp, TokenCount};
use policy::usage::Usage;
use tracing::warn;
use uuid::Uuid;
use wire::mesh;

use super::{Reported, guards};
use crate::store::exchanges::{
    Attempt, Ended, Exchange, ItemMark, Payer, PriceFound, RequestId, RequestIds, VmOrigin,
    WholeExchange,
};
use crate::store::prices::Pricing;

/// No attempt uses more of a class; a provider that claims so must not overflow the sums.
const MAX_TOKENS: u64 = 10_000_000_000;
/// No attempt costs more, in micro-dollars.
const MAX_COST: u64 = 10_000_000_000_000;
/// Longest text that is stored of a field that a client fills.
const MAX_TEXT_BYTES: usize = 2_048;
/// Ids that are kept of one side of an attempt.
const MAX_REQUEST_IDS: usize = 4;
/// Items that are kept of an exchange; a filter tells 256 of an answer.
const MAX_ITEMS: usize = 1_024;

/// Reads a report: each exchange once, in its latest state.
pub(super) fn read(reported: Reported, pricing: &Pricing) -> BTreeMap<ExchangeId, WholeExchange> {
    let origin = VmOrigin {
        process_id: reported.process_id,
        vm_id: reported.vm_id,
    };
    let records = reported.records.into_iter().map(|record| {
        let ended = read_ended(record.ended());
        (record, ended)
    });
    let running = reported
        .running
        .into_iter()
        .map(|record| (record, Ended::Running));
    let mut exchanges = BTreeMap::new();
    for (record, ended) in running.chain(records) {
        let Some(id) = read_id(&record.exchange_id).map(ExchangeId::new) else {
            warn!(
                bytes = record.exchange_id.len(),
                "exchange record without a valid id dropped"
            );
            continue;
        };
        match exchanges.entry(id) {
            Entry::Vacant(place) => {
                place.insert(read_exchange(id, record, ended, &origin, pricing));
            }
            Entry::Occupied(mut place) => {
                let held: &WholeExchange = place.get();
                if ended.replaces(held.exchange.ended) {
                    place.insert(read_exchange(id, record, ended, &origin, pricing));
                }
            }
        }
    }
    exchanges
}

/// Reads whom an exchange is for; an empty id stands for none.
pub(super) fn payer(key: &[u8], user: &[u8], team: &[u8], customer: &[u8]) -> Payer {
    Payer {
        key: read_id(key).map(KeyId::new),
        user: read_id(user).map(UserId::new),
        team: read_id(team).map(TeamId::new),
        customer: read_id(customer).map(CustomerId::new),
    }
}

const fn read_ended(ended: mesh::Ended) -> Ended {
    match ended {
        mesh::Ended::Running => Ended::Running,
        mesh::Ended::Complete => Ended::Complete,
        mesh::Ended::ClientGone => Ended::ClientGone,
        mesh::Ended::UpstreamError => Ended::UpstreamError,
        mesh::Ended::Refused => Ended::Refused,
        // A report that does not know its end leaves room for one that does.
        mesh::Ended::EnvoyLost | mesh::Ended::Unspecified => Ended::EnvoyLost,
    }
}

pub(super) fn read_id(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}

fn read_exchange(
    id: ExchangeId,
    record: mesh::ExchangeRecord,
    ended: Ended,
    origin: &VmOrigin,
    pricing: &Pricing,
) -> WholeExchange {
    let payer = payer(
        &record.key_id,
        &record.user_id,
        &record.team_id,
        &record.customer_id,
    );
    let request_ids = read_request_ids(&record);
    let attempts: BTreeMap<u32, Attempt> = record
        .attempts
        .into_iter()
        .map(|attempt| (attempt.number, read_attempt(attempt, pricing)))
        .collect();
    let attempts: Vec<Attempt> = attempts.into_values().collect();
    let guardrails = guards::read(record.guardrails);
    let usages = attempts.iter().filter_map(|attempt| attempt.usage.as_ref());
    let exchange = Exchange {
        id,
        started_at: Timestamp::from_millis(record.started_ms),
        surface: bounded(record.surface),
        payer,
        client_app: bounded(record.client_app),
        session_id: bounded(record.session_id),
        agent_id: bounded(record.agent_id),
        device: bounded(record.device),
        environment: bounded(record.environment),
        region: bounded(record.region),
        model_asked: bounded(record.model_asked),
        model_used: bounded(record.model_used),
        provider: bounded(record.provider),
        status: record.status,
        request_bytes: record.request_bytes,
        response_bytes: record.response_bytes,
        latency_ms: record.latency_ms,
        first_byte_ms: record.first_byte_ms,
        ended,
        refusal_code: bounded(record.refusal_code),
        refused_by: bounded(record.refused_by),
        is_streamed: record.streamed,
        is_unkeyed: record.unkeyed,
        is_subscription: record.subscription,
        path: bounded(record.path),
        attempt_count: u32::try_from(attempts.len()).unwrap_or(u32::MAX),
        usage: usages.fold(Usage::default(), |sum, usage| sum.saturating_add(usage)),
        cost: attempts.iter().fold(MicroUsd::ZERO, |sum, attempt| {
            sum.saturating_add(attempt.cost)
        }),
        has_unknown_price: attempts.iter().any(|attempt| attempt.price.is_unknown()),
        is_estimated: attempts.iter().any(|attempt| attempt.is_estimated),
        price_book: PriceBook::embedded().version.clone(),
        origin: origin.clone(),
        guard_verdict: guardrails.iter().map(|outcome| outcome.verdict).max(),
    };
    let created_ids = record.created_ids.into_iter().map(bounded).collect();
    let items = record.item_marks.iter().take(MAX_ITEMS);
    let items = items.filter_map(|mark| ItemMark::new(mark)).collect();
    WholeExchange {
        exchange,
        attempts,
        created_ids,
        items,
        guardrails,
        request_ids,
    }
}

/// Reads what client and providers called the exchange: each id once on its side, as many as a filter tells.
fn read_request_ids(record: &mesh::ExchangeRecord) -> RequestIds {
    let mut seen = BTreeSet::new();
    let mut provider = BTreeMap::new();
    for attempt in &record.attempts {
        let ids = distinct(&attempt.request_ids, &mut seen);
        if !ids.is_empty() && attempt.number > 0 {
            provider.insert(attempt.number, ids);
        }
    }
    RequestIds {
        client: distinct(&record.client_request_ids, &mut BTreeSet::new()),
        provider,
    }
}

fn distinct(ids: &[String], seen: &mut BTreeSet<RequestId>) -> Vec<RequestId> {
    let ids = ids.iter().take(MAX_REQUEST_IDS);
    ids.filter_map(|id| RequestId::new(id))
        .filter(|id| seen.insert(id.clone()))
        .collect()
}

fn read_attempt(attempt: mesh::Attempt, pricing: &Pricing) -> Attempt {
    let usage = attempt.usage.as_ref().map(read_usage);
    let (cost, price) = price(&attempt, usage.as_ref(), pricing);
    Attempt {
        number: attempt.number,
        provider: bounded(attempt.provider),
        provider_key: read_id(&attempt.provider_key_id).map(ProviderKeyId::new),
        model: bounded(attempt.model),
        status: attempt.status,
        started_at: Timestamp::from_millis(attempt.started_ms),
        headers_ms: attempt.headers_ms,
        usage,
        is_estimated: attempt.estimated,
        key_refused: attempt.key_refused,
        price_table: bounded(attempt.price_table),
        cost,
        price,
        price_book: PriceBook::embedded().version.clone(),
    }
}

/// Prices one attempt by the book and the administrator's own prices.
fn price(
    attempt: &mesh::Attempt,
    usage: Option<&Usage>,
    pricing: &Pricing,
) -> (MicroUsd, PriceFound) {
    let Some(usage) = usage else {
        return (MicroUsd::ZERO, PriceFound::Unused);
    };
    let asked = PriceAsk {
        table: &attempt.price_table,
        model: &attempt.model,
        on_unknown: pricing.on_unknown,
    };
    let priced = PriceBook::embedded().cost(&asked, usage, &pricing.overrides);
    let found = match priced.by {
        PricedBy::Override => PriceFound::Override,
        PricedBy::Book => PriceFound::Book,
        PricedBy::UnknownDearest => PriceFound::UnknownDearest,
        PricedBy::UnknownZero => PriceFound::UnknownZero,
    };
    (MicroUsd::new(priced.cost.get().min(MAX_COST)), found)
}

fn read_usage(usage: &mesh::Usage) -> Usage {
    let tokens = |count: u64| TokenCount::new(count.min(MAX_TOKENS));
    Usage {
        input_tokens: tokens(usage.input_tokens),
        cache_read_tokens: tokens(usage.cache_read_tokens),
        cache_write_5m_tokens: tokens(usage.cache_write_5m_tokens),
        cache_write_1h_tokens: tokens(usage.cache_write_1h_tokens),
        output_tokens: tokens(usage.output_tokens),
        reasoning_tokens: tokens(usage.reasoning_tokens),
        web_search_requests: tokens(usage.web_search_requests),
    }
}

fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    text
}

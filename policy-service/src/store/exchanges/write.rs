//! Writing exchanges, a batch at a time.

use std::collections::{BTreeMap, BTreeSet};

use policy::ids::ExchangeId;
use policy::units::Timestamp;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{
    Attempt, Ended, Exchange, GuardVerdict, ItemMark, Payer, VmOrigin, WholeExchange, guards,
    items, request_ids,
};
use crate::store::StoreError;
use crate::store::columns::{Columns, failed, signed, word};

const OBJECT: &str = "exchange";

/// Rows of one statement; times columns it must stay below what both databases bind (32,766).
pub(super) const ROWS: usize = 200;

const COLUMNS: &str = "id, started_ms, surface, key_id, user_id, team_id, customer_id, client_app, \
    session_id, agent_id, device, environment, region, model_asked, model_used, provider, status, \
    request_bytes, response_bytes, latency_ms, first_byte_ms, ended, refusal_code, streamed, unkeyed, \
    subscription, path, attempt_count, input_tokens, cache_read_tokens, cache_write_5m_tokens, \
    cache_write_1h_tokens, output_tokens, reasoning_tokens, web_search_requests, cost_micro_usd, \
    unknown_price, estimated, price_book, process_id, vm_id, recorded_ms, guard_verdict, refused_by";

/// Writes each exchange that is new or says more than what is stored; returns those.
///
/// The ids in `exchanges` must differ: PostgreSQL refuses to touch one row twice in one statement.
pub(crate) async fn write<'e>(
    db: &mut SqliteConnection,
    exchanges: &'e BTreeMap<ExchangeId, WholeExchange>,
    now: Timestamp,
) -> Result<Vec<&'e WholeExchange>, StoreError> {
    let all: Vec<_> = exchanges.values().collect();
    let mut written = Vec::with_capacity(all.len());
    for chunk in all.chunks(ROWS) {
        let stored = stored_ends(db, chunk).await?;
        let is_news = |it: &WholeExchange| {
            stored
                .get(&it.exchange.id)
                .is_none_or(|stored| it.exchange.ended.replaces(*stored))
        };
        let fresh: Vec<_> = chunk.iter().copied().filter(|it| is_news(it)).collect();
        let replaced: Vec<_> = fresh
            .iter()
            .copied()
            .filter(|it| stored.contains_key(&it.exchange.id))
            .collect();
        delete_parts(db, &replaced).await?;
        write_exchanges(db, &fresh, now).await?;
        write_attempts(db, &fresh).await?;
        write_created_ids(db, &fresh).await?;
        items::write(db, &fresh).await?;
        guards::write(db, &fresh).await?;
        request_ids::write(db, &fresh).await?;
        written.extend(fresh);
    }
    Ok(written)
}

async fn stored_ends(
    db: &mut SqliteConnection,
    chunk: &[&WholeExchange],
) -> Result<BTreeMap<ExchangeId, Ended>, StoreError> {
    let mut query: QueryBuilder<Sqlite> =
        QueryBuilder::new("SELECT id, ended FROM exchanges WHERE id IN (");
    push_ids(&mut query, chunk);
    let rows = query
        .build()
        .persistent(false)
        .fetch_all(db)
        .await
        .map_err(failed("look exchanges up"))?;
    rows.iter()
        .map(|row| {
            let columns = Columns::new(row, OBJECT);
            Ok((columns.id("id", ExchangeId::new)?, columns.word("ended")?))
        })
        .collect()
}

/// Deletes what [`write`] is about to write anew.
async fn delete_parts(
    db: &mut SqliteConnection,
    replaced: &[&WholeExchange],
) -> Result<(), StoreError> {
    if replaced.is_empty() {
        return Ok(());
    }
    for statement in [
        "DELETE FROM attempts WHERE exchange_id IN (",
        "DELETE FROM stateful_ids WHERE exchange_id IN (",
        "DELETE FROM stateful_items WHERE exchange_id IN (",
        "DELETE FROM guard_outcomes WHERE exchange_id IN (",
        "DELETE FROM request_ids WHERE exchange_id IN (",
    ] {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(statement);
        push_ids(&mut query, replaced);
        query
            .build()
            .persistent(false)
            .execute(&mut *db)
            .await
            .map_err(failed("replace attempts"))?;
    }
    Ok(())
}

fn push_ids(query: &mut QueryBuilder<Sqlite>, exchanges: &[&WholeExchange]) {
    let mut ids = query.separated(", ");
    for it in exchanges {
        ids.push_bind(it.exchange.id.uuid());
    }
    query.push(")");
}

async fn write_exchanges(
    db: &mut SqliteConnection,
    fresh: &[&WholeExchange],
    now: Timestamp,
) -> Result<(), StoreError> {
    if fresh.is_empty() {
        return Ok(());
    }
    let mut words = Vec::with_capacity(fresh.len());
    for it in fresh {
        words.push((it, word(OBJECT, &it.exchange.ended)?));
    }
    let mut query: QueryBuilder<Sqlite> =
        QueryBuilder::new(format!("INSERT INTO exchanges ({COLUMNS}) "));
    query.push_values(words, |mut row, (it, ended)| {
        let exchange: &Exchange = &it.exchange;
        let usage = &exchange.usage;
        row.push_bind(exchange.id.uuid())
            .push_bind(signed(exchange.started_at.as_millis()))
            .push_bind(exchange.surface.clone())
            .push_bind(exchange.payer.key.map(|id| id.uuid()))
            .push_bind(exchange.payer.user.map(|id| id.uuid()))
            .push_bind(exchange.payer.team.map(|id| id.uuid()))
            .push_bind(exchange.payer.customer.map(|id| id.uuid()))
            .push_bind(exchange.client_app.clone())
            .push_bind(exchange.session_id.clone())
            .push_bind(exchange.agent_id.clone())
            .push_bind(exchange.device.clone())
            .push_bind(exchange.environment.clone())
            .push_bind(exchange.region.clone())
            .push_bind(exchange.model_asked.clone())
            .push_bind(exchange.model_used.clone())
            .push_bind(exchange.provider.clone())
            .push_bind(i64::from(exchange.status))
            .push_bind(signed(exchange.request_bytes))
            .push_bind(signed(exchange.response_bytes))
            .push_bind(signed(exchange.latency_ms))
            .push_bind(exchange.first_byte_ms.map(signed))
            .push_bind(ended)
            .push_bind(exchange.refusal_code.clone())
            .push_bind(exchange.is_streamed)
            .push_bind(exchange.is_unkeyed)
            .push_bind(exchange.is_subscription)
            .push_bind(exchange.path.clone())
            .push_bind(i64::from(exchange.attempt_count))
            .push_bind(signed(usage.input_tokens.get()))
            .push_bind(signed(usage.cache_read_tokens.get()))
            .push_bind(signed(usage.cache_write_5m_tokens.get()))
            .push_bind(signed(usage.cache_write_1h_tokens.get()))
            .push_bind(signed(usage.output_tokens.get()))
            .push_bind(signed(usage.reasoning_tokens.get()))
            .push_bind(signed(usage.web_search_requests.get()))
            .push_bind(signed(exchange.cost.get()))
            .push_bind(exchange.has_unknown_price)
            .push_bind(exchange.is_estimated)
            .push_bind(exchange.price_book.clone())
            .push_bind(exchange.origin.process_id.clone())
            .push_bind(exchange.origin.vm_id.clone())
            .push_bind(signed(now.as_millis()))
            .push_bind(exchange.guard_verdict.map(GuardVerdict::name))
            .push_bind(exchange.refused_by.clone());
    });
    query.push(" ON CONFLICT (id) DO UPDATE SET ");
    let mut updates = query.separated(", ");
    for column in COLUMNS.split(", ").filter(|column| *column != "id") {
        updates.push(format!("{column} = excluded.{column}"));
    }
    query
        .build()
        .persistent(false)
        .execute(db)
        .await
        .map_err(failed("write exchanges"))?;
    Ok(())
}

async fn write_attempts(
    db: &mut SqliteConnection,
    fresh: &[&WholeExchange],
) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for it in fresh {
        for attempt in &it.attempts {
            rows.push((
                it.exchange.id.uuid(),
                attempt,
                word(OBJECT, &attempt.price)?,
            ));
        }
    }
    for chunk in rows.chunks(ROWS) {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            "INSERT INTO attempts (exchange_id, number, provider, provider_key_id, model, status, \
             started_ms, headers_ms, used, input_tokens, cache_read_tokens, cache_write_5m_tokens, \
             cache_write_1h_tokens, output_tokens, reasoning_tokens, web_search_requests, estimated, \
             price_table, cost_micro_usd, price, price_book, key_refused) ",
        );
        query.push_values(chunk, |mut row, (exchange, attempt, price)| {
            let attempt: &Attempt = attempt;
            let usage = attempt.usage.unwrap_or_default();
            row.push_bind(*exchange)
                .push_bind(i64::from(attempt.number))
                .push_bind(attempt.provider.clone())
                .push_bind(attempt.provider_key.map(|id| id.uuid()))
                .push_bind(attempt.model.clone())
                .push_bind(i64::from(attempt.status))
                .push_bind(signed(attempt.started_at.as_millis()))
                .push_bind(attempt.headers_ms.map(signed))
                .push_bind(attempt.usage.is_some())
                .push_bind(signed(usage.input_tokens.get()))
                .push_bind(signed(usage.cache_read_tokens.get()))
                .push_bind(signed(usage.cache_write_5m_tokens.get()))
                .push_bind(signed(usage.cache_write_1h_tokens.get()))
                .push_bind(signed(usage.output_tokens.get()))
                .push_bind(signed(usage.reasoning_tokens.get()))
                .push_bind(signed(usage.web_search_requests.get()))
                .push_bind(attempt.is_estimated)
                .push_bind(attempt.price_table.clone())
                .push_bind(signed(attempt.cost.get()))
                .push_bind(price.clone())
                .push_bind(attempt.price_book.clone())
                .push_bind(attempt.key_refused);
        });
        query
            .build()
            .persistent(false)
            .execute(&mut *db)
            .await
            .map_err(failed("write attempts"))?;
    }
    Ok(())
}

async fn write_created_ids(
    db: &mut SqliteConnection,
    fresh: &[&WholeExchange],
) -> Result<(), StoreError> {
    let rows: Vec<_> = fresh
        .iter()
        .flat_map(|it| it.created_ids.iter().map(move |id| (id, &it.exchange)))
        .collect();
    for chunk in rows.chunks(ROWS) {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            "INSERT INTO stateful_ids (id, exchange_id, key_id, user_id, team_id, customer_id) ",
        );
        query.push_values(chunk, |mut row, (id, exchange)| {
            row.push_bind((*id).clone())
                .push_bind(exchange.id.uuid())
                .push_bind(exchange.payer.key.map(|id| id.uuid()))
                .push_bind(exchange.payer.user.map(|id| id.uuid()))
                .push_bind(exchange.payer.team.map(|id| id.uuid()))
                .push_bind(exchange.payer.customer.map(|id| id.uuid()));
        });
        query.push(" ON CONFLICT (id, exchange_id) DO NOTHING");
        query
            .build()
            .persistent(false)
            .execute(&mut *db)
            .await
            .map_err(failed("write created ids"))?;
    }
    Ok(())
}

/// Returns the VMs that stored exchanges still run on.
pub(crate) async fn running_vms(db: &mut SqliteConnection) -> Result<Vec<VmOrigin>, StoreError> {
    let rows =
        sqlx::query("SELECT DISTINCT process_id, vm_id FROM exchanges WHERE ended = 'running'");
    let rows = rows
        .fetch_all(db)
        .await
        .map_err(failed("list VMs with running exchanges"))?;
    rows.iter()
        .map(|row| {
            let columns = Columns::new(row, OBJECT);
            Ok(VmOrigin {
                process_id: columns.get("process_id")?,
                vm_id: columns.get("vm_id")?,
            })
        })
        .collect()
}

/// Ends all exchanges that run on a VM as lost, at their last progress; returns how many.
pub(crate) async fn settle_lost(
    db: &mut SqliteConnection,
    vm: &VmOrigin,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE exchanges SET ended = 'envoy_lost' \
         WHERE ended = 'running' AND process_id = $1 AND vm_id = $2",
    )
    .bind(vm.process_id.as_slice())
    .bind(vm.vm_id.as_slice())
    .execute(db)
    .await
    .map_err(failed("settle lost exchanges"))?;
    Ok(done.rows_affected())
}

/// Whether all of `ids` were created for `payer`'s team, without a team its user, customer or key, and all of `items`
/// for whom their marks say.
pub(crate) async fn owns_stateful(
    db: &mut SqliteConnection,
    ids: &[String],
    items: &BTreeSet<ItemMark>,
    payer: &Payer,
) -> Result<bool, StoreError> {
    let (statement, owner): (&'static str, Uuid) = match payer {
        Payer { team: Some(id), .. } => (
            "SELECT COUNT(*) AS found FROM stateful_ids WHERE id = $1 AND team_id = $2",
            id.uuid(),
        ),
        Payer { user: Some(id), .. } => (
            "SELECT COUNT(*) AS found FROM stateful_ids WHERE id = $1 AND user_id = $2",
            id.uuid(),
        ),
        Payer {
            customer: Some(id), ..
        } => (
            "SELECT COUNT(*) AS found FROM stateful_ids WHERE id = $1 AND customer_id = $2",
            id.uuid(),
        ),
        Payer { key: Some(id), .. } => (
            "SELECT COUNT(*) AS found FROM stateful_ids WHERE id = $1 AND key_id = $2",
            id.uuid(),
        ),
        Payer {
            team: None,
            user: None,
            customer: None,
            key: None,
        } => return Ok(false),
    };
    for id in ids {
        let row = sqlx::query(statement)
            .bind(id)
            .bind(owner)
            .fetch_one(&mut *db)
            .await;
        let row = row.map_err(failed("look a created id up"))?;
        let found: i64 = row
            .try_get("found")
            .map_err(failed("look a created id up"))?;
        if found == 0 {
            return Ok(false);
        }
    }
    let is_asked = !ids.is_empty() || !items.is_empty();
    Ok(is_asked && items::all_known(db, items).await?)
}

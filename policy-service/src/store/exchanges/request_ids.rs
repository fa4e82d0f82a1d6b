//! What clients and providers call an exchange.

use std::collections::BTreeMap;

use policy::ids::ExchangeId;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::WholeExchange;
use super::query::ExchangeFilter;
use super::write::ROWS;
use crate::store::StoreError;
use crate::store::columns::{Columns, failed, signed};

/// Under this number stands what the client called the exchange; attempts are counted from 1.
const OF_CLIENT: u32 = 0;

/// An id as it is stored and asked for.
///
/// The only place that knows this form: what clients choose may have to be stored in another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(String);

impl RequestId {
    /// Reads an id as a client, a provider or an administrator writes it; `None` where nothing of it is kept.
    pub fn new(id: &str) -> Option<Self> {
        policy::request_id::kept(id.as_bytes()).map(Self)
    }

    /// Returns the stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The ids of one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestIds {
    pub client: Vec<RequestId>,
    /// By attempt; an id that two attempts share stands with the first.
    pub provider: BTreeMap<u32, Vec<RequestId>>,
}

impl RequestIds {
    fn rows(&self) -> impl Iterator<Item = (u32, &RequestId)> {
        let client = self.client.iter().map(|id| (OF_CLIENT, id));
        let provider = self.provider.iter();
        client.chain(provider.flat_map(|(attempt, ids)| ids.iter().map(move |id| (*attempt, id))))
    }

    fn push(&mut self, attempt: u32, id: RequestId) {
        if attempt == OF_CLIENT {
            self.client.push(id);
        } else {
            self.provider.entry(attempt).or_default().push(id);
        }
    }
}

const BY_CLIENT: &str = " AND r.attempt = 0";
const BY_PROVIDER: &str = " AND r.attempt > 0";

/// The condition that leads to the exchanges, on `r`.
pub(super) struct Leading {
    id: RequestId,
    whose: &'static str,
}

impl Leading {
    /// Appends the condition.
    pub(super) fn push(self, query: &mut QueryBuilder<Sqlite>) {
        query
            .push("r.request_id = ")
            .push_bind(self.id.0)
            .push(self.whose)
            .push(" AND ");
    }
}

/// Takes one condition on ids out of a filter, if there is any.
pub(super) fn take_leading(filter: &mut ExchangeFilter) -> Option<Leading> {
    let client = filter.client_request_id.take().map(|id| Leading {
        id,
        whose: BY_CLIENT,
    });
    client.or_else(|| {
        let id = filter.provider_request_id.take()?;
        Some(Leading {
            id,
            whose: BY_PROVIDER,
        })
    })
}

/// Appends the conditions on `e`.
pub(super) fn push_filter(query: &mut QueryBuilder<Sqlite>, filter: &ExchangeFilter) {
    for (id, whose) in [
        (&filter.client_request_id, BY_CLIENT),
        (&filter.provider_request_id, BY_PROVIDER),
    ] {
        if let Some(id) = id {
            query
                .push(" AND e.id IN (SELECT r.exchange_id FROM request_ids r WHERE r.request_id = ")
                .push_bind(id.as_str().to_owned())
                .push(whose)
                .push(")");
        }
    }
}

pub(super) async fn write(
    db: &mut SqliteConnection,
    fresh: &[&WholeExchange],
) -> Result<(), StoreError> {
    let rows: Vec<_> = fresh
        .iter()
        .flat_map(|it| {
            let exchange = &it.exchange;
            it.request_ids.rows().map(move |row| (exchange, row))
        })
        .collect();
    for chunk in rows.chunks(ROWS) {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            "INSERT INTO request_ids (exchange_id, attempt, request_id, started_ms) ",
        );
        query.push_values(chunk, |mut row, (exchange, (attempt, id))| {
            row.push_bind(exchange.id.uuid())
                .push_bind(i64::from(*attempt))
                .push_bind(id.as_str().to_owned())
                .push_bind(signed(exchange.started_at.as_millis()));
        });
        query.push(" ON CONFLICT (exchange_id, attempt, request_id) DO NOTHING");
        query
            .build()
            .persistent(false)
            .execute(&mut *db)
            .await
            .map_err(failed("write request ids"))?;
    }
    Ok(())
}

/// Returns the ids of these exchanges, as far as they have any.
pub(super) async fn of(
    db: &mut SqliteConnection,
    exchanges: &[ExchangeId],
) -> Result<BTreeMap<ExchangeId, RequestIds>, StoreError> {
    let mut found: BTreeMap<ExchangeId, RequestIds> = BTreeMap::new();
    for chunk in exchanges.chunks(ROWS) {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            "SELECT exchange_id, attempt, request_id FROM request_ids WHERE exchange_id IN (",
        );
        let mut ids = query.separated(", ");
        for id in chunk {
            ids.push_bind(id.uuid());
        }
        query.push(") ORDER BY exchange_id, attempt, request_id");
        let rows = query
            .build()
            .persistent(false)
            .fetch_all(&mut *db)
            .await
            .map_err(failed("list request ids"))?;
        for row in &rows {
            let columns = Columns::new(row, "request id");
            let id = RequestId(columns.get("request_id")?);
            let exchange = columns.id("exchange_id", ExchangeId::new)?;
            let ids = found.entry(exchange).or_default();
            ids.push(columns.narrow("attempt")?, id);
        }
    }
    Ok(found)
}

//! Sums over exchanges.

use policy::units::MicroUsd;
use policy::usage::Usage;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::query::{ExchangeFilter, push_filter, read_usage};
use crate::store::StoreError;
use crate::store::columns::{Columns, failed};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What sums are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SumBy {
    Key,
    User,
    Team,
    Customer,
    /// The model of each attempt; what was asked for where nothing was tried.
    Model,
    /// The provider of each attempt.
    Provider,
    /// Days of UTC.
    Day,
    Environment,
    ClientApp,
    Surface,
}

impl SumBy {
    /// All of them, in their fixed order.
    pub const ALL: [Self; 10] = [
        Self::Key,
        Self::User,
        Self::Team,
        Self::Customer,
        Self::Model,
        Self::Provider,
        Self::Day,
        Self::Environment,
        Self::ClientApp,
        Self::Surface,
    ];

    /// Returns the word used in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Team => "team",
            Self::Customer => "customer",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Day => "day",
            Self::Environment => "environment",
            Self::ClientApp => "client_app",
            Self::Surface => "surface",
        }
    }

    /// Returns the one with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == name)
    }

    /// The expression to group by.
    const fn expression(self) -> &'static str {
        match self {
            Self::Key => "e.key_id",
            Self::User => "e.user_id",
            Self::Team => "e.team_id",
            Self::Customer => "e.customer_id",
            Self::Model => "COALESCE(a.model, e.model_asked)",
            Self::Provider => "COALESCE(a.provider, e.provider)",
            Self::Day => "e.started_ms / 86400000",
            Self::Environment => "e.environment",
            Self::ClientApp => "e.client_app",
            Self::Surface => "e.surface",
        }
    }

    /// Where the name of an id is, if it is one.
    const fn name_source(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Key => Some((" LEFT JOIN virtual_keys k ON k.id = e.key_id", "k.name")),
            Self::User => Some((" LEFT JOIN users u ON u.id = e.user_id", "u.name")),
            Self::Team => Some((" LEFT JOIN teams t ON t.id = e.team_id", "t.name")),
            Self::Customer => Some((" LEFT JOIN customers c ON c.id = e.customer_id", "c.name")),
            Self::Model
            | Self::Provider
            | Self::Day
            | Self::Environment
            | Self::ClientApp
            | Self::Surface => None,
        }
    }

    const fn is_of_attempts(self) -> bool {
        matches!(self, Self::Model | Self::Provider)
    }
}

/// What a sum is of, in one respect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// An id; `None` where exchanges have none. The name is `None` once the object was deleted.
    Object {
        id: Option<Uuid>,
        name: Option<String>,
    },
    /// Start of a day.
    Day {
        start_ms: u64,
    },
    Text(String),
}

/// One sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// One for each [`SumBy`] that was asked for, in that order.
    pub groups: Vec<Group>,
    pub exchanges: u64,
    pub refused: u64,
    /// Exchanges with a response status of 400 or above that were not refused by policy.
    pub failed: u64,
    pub usage: Usage,
    /// What was really spent.
    pub cost: MicroUsd,
    /// What traffic on the clients' own logins would have cost.
    pub notional_cost: MicroUsd,
    /// Exchanges in which some model had no price.
    pub unknown_price: u64,
    /// Exchanges in which some usage is an estimate.
    pub estimated: u64,
    /// Exchanges that some guardrail covered, and those in which the strongest did this.
    pub guarded: u64,
    pub guard_observed: u64,
    pub guard_tokenised: u64,
    pub guard_redacted: u64,
    pub guard_blocked: u64,
}

/// Sums up exchanges, dearest first.
pub(crate) async fn sum(
    db: &mut SqliteConnection,
    filter: &ExchangeFilter,
    by: &[SumBy],
    limit: u32,
) -> Result<Vec<Sum>, StoreError> {
    let is_of_attempts = by.iter().any(|by| by.is_of_attempts());
    // An exchange has one row for each attempt once attempts are joined.
    let (row, one) = if is_of_attempts {
        ("a", "DISTINCT e.id")
    } else {
        ("e", "e.id")
    };
    let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("SELECT * FROM (SELECT ");
    for (number, by) in by.iter().enumerate() {
        query.push(format!("{} AS g{number}, ", by.expression()));
        if let Some((_, name)) = by.name_source() {
            query.push(format!("{name} AS n{number}, "));
        }
    }
    query.push(format!(
        "COUNT({one}) AS exchanges, \
         COUNT({when} e.ended = 'refused' THEN e.id END) AS refused, \
         COUNT({when} e.ended <> 'refused' AND e.status >= 400 THEN e.id END) AS failed, \
         COUNT({when} {row}.{unknown} THEN e.id END) AS unknown_price_exchanges, \
         COUNT({when} {row}.estimated THEN e.id END) AS estimated_exchanges, \
         COUNT({when} e.guard_verdict IS NOT NULL THEN e.id END) AS guarded, \
         COUNT({when} e.guard_verdict = 'observed' THEN e.id END) AS guard_observed, \
         COUNT({when} e.guard_verdict = 'tokenised' THEN e.id END) AS guard_tokenised, \
         COUNT({when} e.guard_verdict = 'redacted' THEN e.id END) AS guard_redacted, \
         COUNT({when} e.guard_verdict = 'blocked' THEN e.id END) AS guard_blocked, \
         CAST(COALESCE(SUM(CASE WHEN e.subscription THEN 0 ELSE {row}.cost_micro_usd END), 0) AS BIGINT) \
         AS cost, \
         CAST(COALESCE(SUM(CASE WHEN e.subscription THEN {row}.cost_micro_usd ELSE 0 END), 0) AS BIGINT) \
         AS notional_cost",
        when = if is_of_attempts { "DISTINCT CASE WHEN" } else { "CASE WHEN" },
        unknown = if is_of_attempts { "price IN ('unknown_dearest', 'unknown_zero')" } else { "unknown_price" },
    ));
    for class in [
        "input_tokens",
        "cache_read_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "output_tokens",
        "reasoning_tokens",
        "web_search_requests",
    ] {
        query.push(format!(
            ", CAST(COALESCE(SUM({row}.{class}), 0) AS BIGINT) AS {class}"
        ));
    }
    query.push(" FROM exchanges e");
    if is_of_attempts {
        query.push(" LEFT JOIN attempts a ON a.exchange_id = e.id");
    }
    for (join, _) in by.iter().filter_map(|by| by.name_source()) {
        query.push(join);
    }
    query.push(" WHERE ");
    push_filter(&mut query, filter);
    push_grouping(&mut query, by);
    query.push(") s ORDER BY s.cost + s.notional_cost DESC, s.exchanges DESC");
    for number in 0..by.len() {
        query.push(format!(", s.g{number}"));
    }
    query.push(" LIMIT ").push_bind(i64::from(limit));
    let rows = query
        .build()
        .fetch_all(db)
        .await
        .map_err(failed("sum exchanges up"))?;
    rows.iter()
        .map(|row| read(&Columns::new(row, "sum of exchanges"), by))
        .collect()
}

fn push_grouping(query: &mut QueryBuilder<Sqlite>, by: &[SumBy]) {
    if by.is_empty() {
        return;
    }
    query.push(" GROUP BY ");
    let mut expressions = query.separated(", ");
    for by in by {
        expressions.push(by.expression());
        if let Some((_, name)) = by.name_source() {
            expressions.push(name);
        }
    }
}

fn read(columns: &Columns<'_>, by: &[SumBy]) -> Result<Sum, StoreError> {
    let mut groups = Vec::with_capacity(by.len());
    for (number, by) in by.iter().enumerate() {
        let column = format!("g{number}");
        groups.push(match by {
            SumBy::Key | SumBy::User | SumBy::Team | SumBy::Customer => Group::Object {
                id: columns.get(&column)?,
                name: columns.get(&format!("n{number}"))?,
            },
            SumBy::Day => Group::Day {
                start_ms: columns.number(&column)?.saturating_mul(DAY_MS),
            },
            SumBy::Model
            | SumBy::Provider
            | SumBy::Environment
            | SumBy::ClientApp
            | SumBy::Surface => Group::Text(columns.get(&column)?),
        });
    }
    Ok(Sum {
        groups,
        exchanges: columns.number("exchanges")?,
        refused: columns.number("refused")?,
        failed: columns.number("failed")?,
        usage: read_usage(columns)?,
        cost: MicroUsd::new(columns.number("cost")?),
        notional_cost: MicroUsd::new(columns.number("notional_cost")?),
        unknown_price: columns.number("unknown_price_exchanges")?,
        estimated: columns.number("estimated_exchanges")?,
        guarded: columns.number("guarded")?,
        guard_observed: columns.number("guard_observed")?,
        guard_tokenised: columns.number("guard_tokenised")?,
        guard_redacted: columns.number("guard_redacted")?,
        guard_blocked: columns.number("guard_blocked")?,
    })
}

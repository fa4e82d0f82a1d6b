//! What guardrails did in an exchange.

use std::collections::BTreeMap;

use policy::ids::{ExchangeId, GuardrailId};
use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::WholeExchange;
use super::write::ROWS;
use crate::store::StoreError;
use crate::store::columns::{Columns, document, failed, signed};

const OBJECT: &str = "guard outcome";

/// Which way the texts travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardDirection {
    Request,
    Response,
}

impl GuardDirection {
    /// Returns the word used in the API and the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// What a guardrail did, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardVerdict {
    /// Nothing was searched.
    NotScanned,
    /// Searched, nothing found.
    Scanned,
    Observed,
    Tokenised,
    Redacted,
    Blocked,
}

impl GuardVerdict {
    /// All verdicts, weakest first.
    pub const ALL: [Self; 6] = [
        Self::NotScanned,
        Self::Scanned,
        Self::Observed,
        Self::Tokenised,
        Self::Redacted,
        Self::Blocked,
    ];

    /// Returns the word used in the API and the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotScanned => "not_scanned",
            Self::Scanned => "scanned",
            Self::Observed => "observed",
            Self::Tokenised => "tokenised",
            Self::Redacted => "redacted",
            Self::Blocked => "blocked",
        }
    }

    /// Returns the verdict with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

/// Which guardrail is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardrailName {
    Id(GuardrailId),
    /// The name it had at the time of the exchange.
    Name(String),
}

/// What one guardrail did in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardOutcome {
    pub guardrail: Option<GuardrailId>,
    /// As it was at the time.
    pub name: String,
    pub direction: GuardDirection,
    pub verdict: GuardVerdict,
    /// Texts that it judged.
    pub texts: u64,
    pub findings: Vec<GuardFinding>,
    pub unscanned: Vec<GuardUnscanned>,
}

/// What one rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardFinding {
    pub rule: String,
    pub kind: String,
    pub severity: String,
    pub count: u32,
    /// JSON paths of the first texts it was found in.
    pub paths: Vec<String>,
    /// Keyed fingerprints of the first different values.
    pub fingerprints: Vec<String>,
}

/// What was not searched, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardUnscanned {
    pub why: String,
    pub count: u32,
}

/// Writes the outcomes of exchanges that have none stored.
pub(super) async fn write(
    db: &mut SqliteConnection,
    fresh: &[&WholeExchange],
) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for it in fresh {
        for (number, outcome) in (0_i64..).zip(&it.guardrails) {
            rows.push((
                it.exchange.id.uuid(),
                number,
                outcome,
                document(OBJECT, &outcome.findings)?,
                document(OBJECT, &outcome.unscanned)?,
            ));
        }
    }
    for chunk in rows.chunks(ROWS) {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            "INSERT INTO guard_outcomes (exchange_id, number, guardrail_id, guardrail, direction, \
             verdict, texts, findings, unscanned) ",
        );
        query.push_values(
            chunk,
            |mut row, (exchange, number, outcome, findings, unscanned)| {
                row.push_bind(*exchange)
                    .push_bind(*number)
                    .push_bind(outcome.guardrail.map(GuardrailId::uuid))
                    .push_bind(outcome.name.clone())
                    .push_bind(outcome.direction.name())
                    .push_bind(outcome.verdict.name())
                    .push_bind(signed(outcome.texts))
                    .push_bind(findings.clone())
                    .push_bind(unscanned.clone());
            },
        );
        query
            .build()
            .persistent(false)
            .execute(&mut *db)
            .await
            .map_err(failed("write guard outcomes"))?;
    }
    Ok(())
}

/// Returns the outcomes of each of these exchanges that has some.
pub(super) async fn of(
    db: &mut SqliteConnection,
    exchanges: &[ExchangeId],
) -> Result<BTreeMap<ExchangeId, Vec<GuardOutcome>>, StoreError> {
    let mut outcomes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for chunk in exchanges.chunks(ROWS) {
        let mut query: QueryBuilder<Sqlite> =
            QueryBuilder::new("SELECT * FROM guard_outcomes WHERE exchange_id IN (");
        let mut ids = query.separated(", ");
        for id in chunk {
            ids.push_bind(id.uuid());
        }
        query.push(") ORDER BY exchange_id, number");
        let rows = query
            .build()
            .persistent(false)
            .fetch_all(&mut *db)
            .await
            .map_err(failed("list guard outcomes"))?;
        for row in &rows {
            let columns = Columns::new(row, OBJECT);
            let exchange = columns.id("exchange_id", ExchangeId::new)?;
            outcomes.entry(exchange).or_default().push(read(&columns)?);
        }
    }
    Ok(outcomes)
}

fn read(columns: &Columns<'_>) -> Result<GuardOutcome, StoreError> {
    Ok(GuardOutcome {
        guardrail: columns.optional_id("guardrail_id", GuardrailId::new)?,
        name: columns.get("guardrail")?,
        direction: columns.word("direction")?,
        verdict: columns.word("verdict")?,
        texts: columns.number("texts")?,
        findings: columns.document("findings")?,
        unscanned: columns.document("unscanned")?,
    })
}

/// Appends the condition that some outcome of `e` is by that guardrail and has that verdict.
pub(super) fn push_filter(
    query: &mut QueryBuilder<Sqlite>,
    guardrail: Option<&GuardrailName>,
    verdict: Option<GuardVerdict>,
) {
    if guardrail.is_none() && verdict.is_none() {
        return;
    }
    // An exchange that no guardrail covered has no outcomes: that is seen without looking for them.
    query.push(
        " AND e.guard_verdict IS NOT NULL AND EXISTS (SELECT 1 FROM guard_outcomes o WHERE o.exchange_id = e.id",
    );
    match guardrail {
        Some(GuardrailName::Id(id)) => {
            query.push(" AND o.guardrail_id = ").push_bind(id.uuid());
        }
        Some(GuardrailName::Name(name)) => {
            query.push(" AND o.guardrail = ").push_bind(name.clone());
        }
        None => {}
    }
    if let Some(verdict) = verdict {
        query.push(" AND o.verdict = ").push_bind(verdict.name());
    }
    query.push(")");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_words_agree() {
        for verdict in GuardVerdict::ALL {
            assert_eq!(GuardVerdict::from_name(verdict.name()), Some(verdict));
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.name());
        }
        assert!(GuardVerdict::ALL.is_sorted(), "weakest first");
    }
}

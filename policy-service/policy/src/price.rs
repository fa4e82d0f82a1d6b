//! What tokens cost: an embedded, versioned price book, and prices of the administrator's own that go before it.
//!
//! The book is data (`price/book.json`): one table for each vendor, one row for each group of models. A row
//! names the page its prices are from and when they were read, or says that nobody has checked them.
//!
//! Arithmetic is in integers. All classes of one usage are summed exactly and rounded up once, to the next
//! micro-dollar: rounding never under-charges.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::compiled::PriceTable;
use crate::documents::OnUnknownPrice;
use crate::pattern::ModelPattern;
use crate::units::{MicroUsd, MicroUsdPerMtok, TokenCount};
use crate::usage::Usage;

/// Table of models that cost nothing.
pub const FREE_TABLE: &str = "free";

const BOOK: &str = include_str!("price/book.json");

/// Millionths of a micro-dollar in a micro-dollar.
const FRACTIONS: u128 = 1_000_000;

/// Prices of one model, class by class.
///
/// A class without a price of its own costs what the class it would otherwise fall under costs: cache reads and
/// five-minute writes what input costs, one-hour writes what five-minute writes cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    #[serde(rename = "input_micro_usd_per_mtok")]
    pub input: MicroUsdPerMtok,
    #[serde(
        rename = "cache_read_micro_usd_per_mtok",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub cache_read: Option<MicroUsdPerMtok>,
    #[serde(
        rename = "cache_write_5m_micro_usd_per_mtok",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub cache_write_5m: Option<MicroUsdPerMtok>,
    #[serde(
        rename = "cache_write_1h_micro_usd_per_mtok",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub cache_write_1h: Option<MicroUsdPerMtok>,
    #[serde(rename = "output_micro_usd_per_mtok")]
    pub output: MicroUsdPerMtok,
    /// Price of one request to the provider's web search tool.
    #[serde(rename = "web_search_micro_usd_per_request", default)]
    pub web_search: MicroUsd,
    /// Prices that hold for the whole request once its input is long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_context: Option<LongContext>,
}

/// Prices of a request whose whole input, cache classes included, is longer than a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongContext {
    pub over_input_tokens: TokenCount,
    #[serde(rename = "input_micro_usd_per_mtok")]
    pub input: MicroUsdPerMtok,
    #[serde(
        rename = "cache_read_micro_usd_per_mtok",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub cache_read: Option<MicroUsdPerMtok>,
    #[serde(
        rename = "cache_write_5m_micro_usd_per_mtok",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub cache_write_5m: Option<MicroUsdPerMtok>,
    #[serde(
        rename = "cache_write_1h_micro_usd_per_mtok",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub cache_write_1h: Option<MicroUsdPerMtok>,
    #[serde(rename = "output_micro_usd_per_mtok")]
    pub output: MicroUsdPerMtok,
}

/// Every class with a price: what is left of [`Rates`] once the length of the input is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Classes {
    input: MicroUsdPerMtok,
    cache_read: MicroUsdPerMtok,
    cache_write_5m: MicroUsdPerMtok,
    cache_write_1h: MicroUsdPerMtok,
    output: MicroUsdPerMtok,
    web_search: MicroUsd,
}

impl Rates {
    /// Prices under which nothing costs anything.
    pub const FREE: Self = Self {
        input: MicroUsdPerMtok::new(0),
        cache_read: None,
        cache_write_5m: None,
        cache_write_1h: None,
        output: MicroUsdPerMtok::new(0),
        web_search: MicroUsd::ZERO,
        long_context: None,
    };

    /// Returns the cost of `usage`, rounded up to the next micro-dollar.
    pub fn cost(&self, usage: &Usage) -> MicroUsd {
        let long = self
            .long_context
            .filter(|long| usage.total_input() > long.over_input_tokens);
        let prices = long.map_or_else(|| self.usual(), |long| self.long(&long));
        let tokens = [
            prices.input.cost(usage.input_tokens),
            prices.cache_read.cost(usage.cache_read_tokens),
            prices.cache_write_5m.cost(usage.cache_write_5m_tokens),
            prices.cache_write_1h.cost(usage.cache_write_1h_tokens),
            prices.output.cost(usage.output_tokens),
        ];
        let searches = u128::from(prices.web_search.get())
            .saturating_mul(u128::from(usage.web_search_requests.get()))
            .saturating_mul(FRACTIONS);
        let sum = tokens.into_iter().fold(searches, u128::saturating_add);
        MicroUsd::new(u64::try_from(sum.div_ceil(FRACTIONS)).unwrap_or(u64::MAX))
    }

    fn usual(&self) -> Classes {
        let cache_write_5m = self.cache_write_5m.unwrap_or(self.input);
        Classes {
            input: self.input,
            cache_read: self.cache_read.unwrap_or(self.input),
            cache_write_5m,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write_5m),
            output: self.output,
            web_search: self.web_search,
        }
    }

    fn long(&self, long: &LongContext) -> Classes {
        let cache_write_5m = long.cache_write_5m.unwrap_or(long.input);
        Classes {
            input: long.input,
            cache_read: long.cache_read.unwrap_or(long.input),
            cache_write_5m,
            cache_write_1h: long.cache_write_1h.unwrap_or(cache_write_5m),
            output: long.output,
            web_search: self.web_search,
        }
    }
}

impl Classes {
    fn dearest(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            cache_read: self.cache_read.max(other.cache_read),
            cache_write_5m: self.cache_write_5m.max(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.max(other.cache_write_1h),
            output: self.output.max(other.output),
            web_search: self.web_search.max(other.web_search),
        }
    }

    fn into_rates(self) -> Rates {
        Rates {
            input: self.input,
            cache_read: Some(self.cache_read),
            cache_write_5m: Some(self.cache_write_5m),
            cache_write_1h: Some(self.cache_write_1h),
            output: self.output,
            web_search: self.web_search,
            long_context: None,
        }
    }
}

/// A price of the administrator's own: goes before every row of the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceOverride {
    /// A table of the book, or one of the administrator's own, as providers name it.
    pub table: String,
    pub model: ModelPattern,
    pub rates: Rates,
}

/// One row of the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceRow {
    pub models: Vec<ModelPattern>,
    pub rates: Rates,
    /// The page the prices are from.
    pub source: String,
    /// When they were read, as `2026-11-21`.
    pub date: String,
    /// Some token price of the row was not read on the vendor's own page.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub unverified: bool,
    /// Retired or superseded: priced, but not worth offering.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub unlisted: bool,
}

/// What a usage costs, and how that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priced {
    pub cost: MicroUsd,
    /// Version of the book that was asked, for the record.
    pub book_version: String,
    pub by: PricedBy,
    /// The prices that were used, so that the cost can be worked out again.
    pub rates: Rates,
}

/// Which prices were used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PricedBy {
    Override,
    Book,
    /// The model has no price: the dearest of its table, class by class.
    UnknownDearest,
    /// The model has no price: nothing.
    UnknownZero,
}

impl PricedBy {
    /// Whether the model had no price of its own.
    pub const fn is_unknown(self) -> bool {
        matches!(self, Self::UnknownDearest | Self::UnknownZero)
    }
}

/// What is to be priced.
#[derive(Clone, Copy, Debug)]
pub struct PriceAsk<'a> {
    /// The provider's price table.
    pub table: &'a str,
    /// The provider's name for the model.
    pub model: &'a str,
    /// [`OnUnknownPrice::Deny`] is for admission; what was served all the same is priced as the dearest.
    pub on_unknown: OnUnknownPrice,
}

/// All prices of one version.
///
/// ```
/// use policy::documents::OnUnknownPrice;
/// use policy::price::{PriceAsk, PriceBook};
/// use policy::units::TokenCount;
/// use policy::usage::Usage;
///
/// let asked = PriceAsk { table: "free", model: "llama3", on_unknown: OnUnknownPrice::Dearest };
/// let usage = Usage { input_tokens: TokenCount::new(1_000), ..Usage::default() };
/// let priced = PriceBook::embedded().cost(&asked, &usage, &[]);
/// assert_eq!(priced.cost.get(), 0);
/// assert!(!priced.by.is_unknown());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceBook {
    pub version: String,
    /// What the prices leave out and how far they can be relied on.
    pub notes: Vec<String>,
    pub tables: BTreeMap<String, Vec<PriceRow>>,
}

impl PriceBook {
    /// Returns the book this build carries.
    pub fn embedded() -> &'static Self {
        static EMBEDDED: LazyLock<PriceBook> = LazyLock::new(|| {
            #[expect(
                clippy::expect_used,
                reason = "the text is part of the build, and a test reads it"
            )]
            serde_json::from_str(BOOK).expect("the embedded price book is well-formed")
        });
        &EMBEDDED
    }

    /// Whether `table` is one of the book or of `overrides`.
    pub fn has_table(&self, table: &str, overrides: &[PriceOverride]) -> bool {
        self.tables.contains_key(table) || overrides.iter().any(|own| own.table == table)
    }

    /// Prices `usage`.
    pub fn cost(&self, asked: &PriceAsk<'_>, usage: &Usage, overrides: &[PriceOverride]) -> Priced {
        let (rates, by) = match self.rates(asked.table, asked.model, overrides) {
            Some(known) => known,
            None if asked.on_unknown == OnUnknownPrice::Zero => {
                (Rates::FREE, PricedBy::UnknownZero)
            }
            None => (
                self.dearest(asked.table, overrides),
                PricedBy::UnknownDearest,
            ),
        };
        Priced {
            cost: rates.cost(usage),
            book_version: self.version.clone(),
            by,
            rates,
        }
    }

    /// Returns the prices of `model`: the administrator's own first, then the book's; of several patterns an
    /// exact one, else the longest.
    pub fn rates(
        &self,
        table: &str,
        model: &str,
        overrides: &[PriceOverride],
    ) -> Option<(Rates, PricedBy)> {
        let own = overrides.iter().filter(|own| own.table == table);
        let own = best(own.map(|own| (&own.model, &own.rates)), model);
        let book = || {
            let rows = self.tables.get(table).into_iter().flatten();
            best(
                rows.flat_map(|row| row.models.iter().map(|pattern| (pattern, &row.rates))),
                model,
            )
        };
        own.map(|rates| (*rates, PricedBy::Override))
            .or_else(|| book().map(|rates| (*rates, PricedBy::Book)))
    }

    /// Returns the dearest price of each class in `table`; in the whole book when there is no such table.
    pub fn dearest(&self, table: &str, overrides: &[PriceOverride]) -> Rates {
        let is_known = self.has_table(table, overrides);
        let rows = self
            .tables
            .iter()
            .filter(|(name, _)| !is_known || *name == table);
        let own = overrides
            .iter()
            .filter(|own| own.table == table)
            .map(|own| &own.rates);
        rows.flat_map(|(_, rows)| rows.iter().map(|row| &row.rates))
            .chain(own)
            .flat_map(|rates| {
                let long = rates.long_context.map(|long| rates.long(&long));
                [Some(rates.usual()), long].into_iter().flatten()
            })
            .fold(Classes::default(), Classes::dearest)
            .into_rates()
    }

    /// Returns the prices of `table` as a filter reckons with them.
    pub fn compiled(
        &self,
        table: &str,
        on_unknown: OnUnknownPrice,
        overrides: &[PriceOverride],
    ) -> PriceTable {
        let own = overrides.iter().filter(|own| own.table == table);
        let rows = self.tables.get(table).into_iter().flatten();
        let rows = rows.flat_map(|row| row.models.iter().map(|model| (model.clone(), row.rates)));
        PriceTable {
            table: table.to_owned(),
            own: own.map(|own| (own.model.clone(), own.rates)).collect(),
            book: rows.collect(),
            unknown: if on_unknown == OnUnknownPrice::Zero {
                Rates::FREE
            } else {
                self.dearest(table, overrides)
            },
        }
    }

    /// Returns the models of `table` that are called by a plain name and worth offering, sorted.
    pub fn listed_models(&self, table: &str) -> Vec<String> {
        let rows = self.tables.get(table).into_iter().flatten();
        let patterns = rows.filter(|row| !row.unlisted).flat_map(|row| &row.models);
        let exact = patterns.filter(|pattern| pattern.is_exact());
        let mut names = exact
            .map(|pattern| pattern.as_str().to_owned())
            .collect::<Vec<_>>();
        names.sort_unstable();
        names
    }

    /// Returns the models of `table` that have a price.
    pub fn priced_models(&self, table: &str, overrides: &[PriceOverride]) -> Vec<ModelPattern> {
        let own = overrides
            .iter()
            .filter(|own| own.table == table)
            .map(|own| &own.model);
        let rows = self.tables.get(table).into_iter().flatten();
        own.chain(rows.flat_map(|row| &row.models))
            .cloned()
            .collect()
    }
}

impl PriceTable {
    /// Returns the prices of `model`, as [`PriceBook::cost`] finds them.
    pub fn rates(&self, model: &str) -> &Rates {
        let own = self.own.iter().map(|(model, rates)| (model, rates));
        let book = self.book.iter().map(|(model, rates)| (model, rates));
        best(own, model)
            .or_else(|| best(book, model))
            .unwrap_or(&self.unknown)
    }
}

/// Returns the prices of the pattern that says most about `model`.
fn best<'a>(
    rows: impl Iterator<Item = (&'a ModelPattern, &'a Rates)>,
    model: &str,
) -> Option<&'a Rates> {
    let covering = rows.filter(|(pattern, _)| pattern.matches(model));
    covering
        .max_by_key(|(pattern, _)| pattern.precision())
        .map(|(_, rates)| rates)
}

#[cfg(test)]
mod tests;

//! Quotas: how much of one unit may be used over a window at one node. Budgets and rate limits are both quotas.
//!
//! The same types stand in documents, in API bodies and in what travels to the filters. Which quotas an exchange is
//! charged to is decided by [`covering`]; what it may still use of them, in the filter, by [`slices`]. When a window
//! begins and ends is the ledger's business: it alone knows time zones.

pub mod check;
pub mod covering;
pub mod draft;
pub mod estimate;
pub mod explain;
pub mod lease;
pub mod slices;

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::documents::Scope;
use crate::ids::{CustomerId, KeyId, QuotaId, TeamId, UserId};
use crate::pattern::ModelPattern;
use crate::units::Timestamp;

pub use self::covering::{AccountId, Member, Payer, QuotaIndex};
pub use self::draft::QuotaDraft;

/// Quotas of one mesh at most.
pub const MAX_QUOTAS: usize = 200_000;

/// A quota as an administrator means it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    pub id: QuotaId,
    /// Unique; lower-case letters, digits and `-`, at most 40.
    pub name: String,
    pub rules: QuotaRules,
}

/// What a quota says, apart from its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaRules {
    #[serde(default = "yes")]
    pub enabled: bool,
    pub node: QuotaNode,
    pub unit: Unit,
    /// In the unit; money in micro-dollars.
    pub limit: u64,
    /// Over what time the limit holds. None for `concurrent`, which is counted as it is; else needed.
    #[serde(default)]
    pub window: Option<QuotaWindow>,
    /// Only these models, by the name at the target; nothing listed means all.
    #[serde(default)]
    pub models: Vec<ModelPattern>,
    /// Only these providers, by name; nothing listed means all.
    #[serde(default)]
    pub providers: Vec<String>,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub holds: Holds,
    /// How much of the limit one user may use. The user is that of the key; a key without one is its own member.
    #[serde(default)]
    pub member_cap: Option<u64>,
    /// What is added to the limit for a time.
    #[serde(default)]
    pub raises: Vec<Raise>,
    /// Shares of the limit, in percent, at which someone is told; each once in a window.
    #[serde(default)]
    pub alerts: Vec<u16>,
    #[serde(default)]
    pub on_outage: OnOutage,
    /// How long a request waits for room that other requests hold. Default 2 s.
    #[serde(default = "contention_wait")]
    pub contention_wait_ms: u32,
    #[serde(default)]
    pub on_stream: OnStream,
    #[serde(default)]
    pub figures: Figures,
}

const fn yes() -> bool {
    true
}

const fn contention_wait() -> u32 {
    2_000
}

impl QuotaRules {
    /// Returns rules with every choice at its default.
    pub fn new(node: QuotaNode, unit: Unit, limit: u64, window: Option<QuotaWindow>) -> Self {
        Self {
            enabled: true,
            node,
            unit,
            limit,
            window,
            models: Vec::new(),
            providers: Vec::new(),
            mode: Mode::default(),
            holds: Holds::default(),
            member_cap: None,
            raises: Vec::new(),
            alerts: Vec::new(),
            on_outage: OnOutage::default(),
            contention_wait_ms: contention_wait(),
            on_stream: OnStream::default(),
            figures: Figures::default(),
        }
    }

    /// Returns the limit with the raises that are in force at `now`.
    pub fn limit_at(&self, now: Timestamp) -> u64 {
        self.raises
            .iter()
            .filter(|raise| raise.until > now)
            .fold(self.limit, |sum, raise| sum.saturating_add(raise.amount))
    }

    /// Returns what may be used at `now` before requests are refused; `None` when none ever are.
    pub fn ceiling_at(&self, now: Timestamp) -> Option<u64> {
        self.mode.ceiling(self.limit_at(now))
    }
}

/// At which level a quota stands, lowest first: that is the order in which the quota that refuses is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Agent,
    Session,
    Key,
    User,
    Team,
    Customer,
    Organisation,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Self; 7] = [
        Self::Agent,
        Self::Session,
        Self::Key,
        Self::User,
        Self::Team,
        Self::Customer,
        Self::Organisation,
    ];

    /// Returns the name used in metrics and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Session => "session",
            Self::Key => "key",
            Self::User => "user",
            Self::Team => "team",
            Self::Customer => "customer",
            Self::Organisation => "organisation",
        }
    }
}

/// Whose use a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum QuotaNode {
    /// Everything.
    Organisation,
    Customer(CustomerId),
    Team(TeamId),
    User(UserId),
    Key(KeyId),
    /// Every user of the team on their own; a key of the team without a user is its own member.
    EachMember(TeamId),
    /// Every session of what the scope covers on its own; requests without a session id count by their key.
    EachSession(Scope),
    /// Every agent of what the scope covers on its own; requests without an agent id count by their key.
    EachAgent(Scope),
}

impl QuotaNode {
    /// Returns the level of the node.
    pub const fn level(self) -> Level {
        match self {
            Self::Organisation => Level::Organisation,
            Self::Customer(_) => Level::Customer,
            Self::Team(_) => Level::Team,
            Self::User(_) | Self::EachMember(_) => Level::User,
            Self::Key(_) => Level::Key,
            Self::EachSession(_) => Level::Session,
            Self::EachAgent(_) => Level::Agent,
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    MicroUsd,
    InputTokens,
    OutputTokens,
    TotalTokens,
    /// Requests of clients, failed ones too; what the mesh repeats on its own counts once.
    Requests,
    /// Requests that run at the same time.
    Concurrent,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 6] = [
        Self::MicroUsd,
        Self::InputTokens,
        Self::OutputTokens,
        Self::TotalTokens,
        Self::Requests,
        Self::Concurrent,
    ];

    /// Returns the name used in configuration, metrics and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MicroUsd => "micro_usd",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::TotalTokens => "total_tokens",
            Self::Requests => "requests",
            Self::Concurrent => "concurrent",
        }
    }

    /// Whether an exchange uses what it uses at admission, so that a hold is settled at once or given back whole.
    pub const fn counts_at_admission(self) -> bool {
        matches!(self, Self::Requests | Self::Concurrent)
    }
}

/// Over what time a limit holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum QuotaWindow {
    /// In every interval of this length, to a sixtieth of it.
    Rolling {
        duration_ms: u64,
    },
    Calendar(CalendarWindow),
}

/// A window that begins where people begin to count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarWindow {
    pub every: Period,
    /// IANA time zone, as in `Europe/Berlin`. Default `UTC`.
    #[serde(default = "utc")]
    pub zone: String,
    /// The month with which the year begins for quarters and years, 1 to 12. Default 1.
    #[serde(default = "january")]
    pub first_month: u8,
}

fn utc() -> String {
    "UTC".to_owned()
}

const fn january() -> u8 {
    1
}

/// How long a calendar window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    Hour,
    Day,
    /// From Monday (ISO 8601).
    Week,
    Month,
    Quarter,
    Year,
}

impl Period {
    /// Returns the English noun.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }
}

/// What happens when a limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mode {
    /// Requests are refused.
    #[default]
    Hard,
    /// Nothing is refused; reaching the limit is told.
    Soft,
    /// As soft, until this share of the limit; then as hard. More than 100.
    SoftUntil { percent: u16 },
}

impl Mode {
    /// Returns what may be used of `limit` before requests are refused; `None` when none ever are.
    pub fn ceiling(self, limit: u64) -> Option<u64> {
        match self {
            Self::Hard => Some(limit),
            Self::Soft => None,
            Self::SoftUntil { percent } => {
                let ceiling = u128::from(limit) * u128::from(percent) / 100;
                Some(u64::try_from(ceiling).unwrap_or(u64::MAX))
            }
        }
    }
}

/// How much is held for an exchange whose use is not known yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// What key and model used so far. A limit may be passed by what exchanges use beyond that.
    #[default]
    Learned,
    /// The most the exchange can use, held at the service under its own id. The limit is never passed; every
    /// admission asks the service, and less of the limit is usable at the same time.
    Strict,
}

/// An addition to a limit that ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raise {
    pub amount: u64,
    #[serde(rename = "until_ms")]
    pub until: Timestamp,
}

/// What happens to new requests when the service is away and what was leased is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OnOutage {
    #[default]
    Deny,
    /// Each Envoy admits this much more, as a debt that is charged afterwards.
    Allow { outage_cap: u64 },
}

/// What happens to a stream that used what was held for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStream {
    /// It goes on and is charged at its end.
    Observe,
    /// More is held while there is room; then it goes on.
    #[default]
    Extend,
    /// More is held while there is room; then it is ended.
    Cut,
}

/// Whether clients see how much is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figures {
    #[default]
    Hidden,
    Shown,
}

/// An amount with its unit, as people write it: `$12.50`, `1,000 output tokens`.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    pub unit: Unit,
    pub amount: u64,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = match self.unit {
            Unit::MicroUsd => return dollars(f, self.amount),
            Unit::InputTokens => "input tokens",
            Unit::OutputTokens => "output tokens",
            Unit::TotalTokens => "tokens",
            Unit::Requests => "requests",
            Unit::Concurrent => "requests at a time",
        };
        grouped(f, self.amount)?;
        write!(f, " {noun}")
    }
}

/// Writes micro-dollars with two decimals, or with as many as it takes to be exact.
fn dollars(f: &mut fmt::Formatter<'_>, micros: u64) -> fmt::Result {
    f.write_str("$")?;
    grouped(f, micros / 1_000_000)?;
    let fraction = micros % 1_000_000;
    if fraction.is_multiple_of(10_000) {
        write!(f, ".{:02}", fraction / 10_000)
    } else {
        write!(f, ".{fraction:06}")
    }
}

fn grouped(f: &mut fmt::Formatter<'_>, number: u64) -> fmt::Result {
    if number < 1_000 {
        return write!(f, "{number}");
    }
    grouped(f, number / 1_000)?;
    write!(f, ",{:03}", number % 1_000)
}

impl fmt::Display for QuotaWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rolling { duration_ms } => write!(f, "in any {}", Duration(*duration_ms)),
            Self::Calendar(calendar) => {
                write!(f, "per {} ({})", calendar.every.name(), calendar.zone)?;
                let fiscal = matches!(calendar.every, Period::Quarter | Period::Year);
                if fiscal && calendar.first_month != 1 {
                    write!(f, ", years beginning with month {}", calendar.first_month)?;
                }
                Ok(())
            }
        }
    }
}

struct Duration(u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 5] = [
            (86_400_000, "day"),
            (3_600_000, "hour"),
            (60_000, "minute"),
            (1_000, "second"),
            (1, "millisecond"),
        ];
        let fits = UNITS
            .iter()
            .find(|(length, _)| self.0.is_multiple_of(*length));
        match fits {
            Some((length, noun)) if self.0 == *length => f.write_str(noun),
            Some((length, noun)) => write!(f, "{} {noun}s", self.0 / length),
            None => write!(f, "{} milliseconds", self.0),
        }
    }
}

impl QuotaRules {
    /// Says in a sentence what the rules mean; `owner` names the node, as in "team `core`".
    pub fn describe(&self, owner: &str) -> String {
        let Self { unit, limit, .. } = *self;
        let whose = match self.node {
            QuotaNode::Organisation => "everything together".to_owned(),
            QuotaNode::EachMember(_) => format!("each member of {owner}"),
            QuotaNode::EachSession(_) => format!("each session of {owner}"),
            QuotaNode::EachAgent(_) => format!("each agent of {owner}"),
            QuotaNode::Customer(_)
            | QuotaNode::Team(_)
            | QuotaNode::User(_)
            | QuotaNode::Key(_) => owner.to_owned(),
        };
        let window = self
            .window
            .as_ref()
            .map_or_else(String::new, |window| format!(" {window}"));
        let mut text = format!(
            "At most {}{window} for {whose}",
            Amount {
                unit,
                amount: limit
            }
        );
        if let Some(cap) = self.member_cap {
            text.push_str(&format!(
                ", of which one member at most {}",
                Amount { unit, amount: cap }
            ));
        }
        if !self.models.is_empty() {
            let models = self.models.iter().map(|it| format!("`{}`", it.as_str()));
            text.push_str(&format!(
                ", for models {}",
                models.collect::<Vec<_>>().join(", ")
            ));
        }
        if !self.providers.is_empty() {
            let providers = self.providers.iter().map(|it| format!("`{it}`"));
            text.push_str(&format!(" at {}", providers.collect::<Vec<_>>().join(", ")));
        }
        text.push_str(match self.mode {
            Mode::Hard => "; more is refused",
            Mode::Soft => "; more is flagged, not refused",
            Mode::SoftUntil { .. } => "; more is flagged",
        });
        if let Mode::SoftUntil { percent } = self.mode {
            text.push_str(&format!(", and refused from {percent} % on"));
        }
        if self.holds == Holds::Strict {
            text.push_str(", and it is never passed");
        }
        if !self.enabled {
            text.push_str(" (switched off)");
        }
        text.push('.');
        text
    }
}

#[cfg(test)]
mod tests;

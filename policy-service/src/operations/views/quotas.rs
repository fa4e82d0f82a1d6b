//! Quotas, and how they stand.

use policy::ids::QuotaId;
use policy::pattern::ModelPattern;
use policy::quota::covering::{Charged, Part};
use policy::quota::explain::owner;
use policy::quota::{
    Figures, Holds, Level, Mode, OnOutage, OnStream, Quota, QuotaNode, QuotaWindow, Raise, Unit,
};
use policy::units::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::ledger::window::{NEVER, Window, WindowError};
use crate::ledger::{Bucket, Used};
use crate::operations::schema::quotas as schema;
use crate::store::quotas::NamedQuota;

/// A quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaView {
    #[schema(value_type = uuid::Uuid)]
    pub id: QuotaId,
    pub name: String,
    /// What it does, in a sentence.
    pub sentence: String,
    pub enabled: bool,
    #[schema(value_type = schema::QuotaNode)]
    pub node: QuotaNode,
    #[schema(value_type = schema::Unit)]
    pub unit: Unit,
    pub limit: u64,
    #[schema(value_type = Option<schema::QuotaWindow>)]
    pub window: Option<QuotaWindow>,
    #[schema(value_type = Vec<String>)]
    pub models: Vec<ModelPattern>,
    pub providers: Vec<String>,
    #[schema(value_type = schema::Mode)]
    pub mode: Mode,
    #[schema(value_type = schema::Holds)]
    pub holds: Holds,
    pub member_cap: Option<u64>,
    #[schema(value_type = Vec<schema::Raise>)]
    pub raises: Vec<Raise>,
    pub alerts: Vec<u16>,
    #[schema(value_type = schema::OnOutage)]
    pub on_outage: OnOutage,
    pub contention_wait_ms: u32,
    #[schema(value_type = schema::OnStream)]
    pub on_stream: OnStream,
    #[schema(value_type = schema::Figures)]
    pub figures: Figures,
}

impl From<NamedQuota> for QuotaView {
    fn from(named: NamedQuota) -> Self {
        let Quota { id, name, rules } = named.quota;
        let sentence = rules.describe(&owner(rules.node, named.owner.as_deref()));
        Self {
            id,
            name,
            sentence,
            enabled: rules.enabled,
            node: rules.node,
            unit: rules.unit,
            limit: rules.limit,
            window: rules.window,
            models: rules.models,
            providers: rules.providers,
            mode: rules.mode,
            holds: rules.holds,
            member_cap: rules.member_cap,
            raises: rules.raises,
            alerts: rules.alerts,
            on_outage: rules.on_outage,
            contention_wait_ms: rules.contention_wait_ms,
            on_stream: rules.on_stream,
            figures: rules.figures,
        }
    }
}

/// When what is used counts no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WindowView {
    /// When the present calendar window began.
    #[schema(value_type = Option<u64>)]
    pub window_start_ms: Option<Timestamp>,
    /// When the next calendar window begins.
    #[schema(value_type = Option<u64>)]
    pub resets_at_ms: Option<Timestamp>,
    /// How long a rolling window is. All three are `null` for `concurrent`.
    pub rolling_ms: Option<u64>,
}

impl WindowView {
    pub(in crate::operations) fn at(quota: &Quota, now: Timestamp) -> Result<Self, WindowError> {
        let window = Window::at(&quota.rules, now)?;
        let is_calendar = window.ends != NEVER;
        let rolling_ms = match &quota.rules.window {
            Some(QuotaWindow::Rolling { duration_ms }) => Some(*duration_ms),
            Some(QuotaWindow::Calendar(_)) | None => None,
        };
        let start = Timestamp::from_millis(window.key.start_ms);
        Ok(Self {
            window_start_ms: is_calendar.then_some(start),
            resets_at_ms: is_calendar.then_some(window.ends),
            rolling_ms,
        })
    }
}

/// How one account of a quota stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageView {
    #[schema(value_type = uuid::Uuid)]
    pub quota: QuotaId,
    pub name: String,
    /// Whose part it is, as in `user:ID`; `null` for all of the quota.
    pub member: Option<String>,
    #[schema(value_type = schema::Unit)]
    pub unit: Unit,
    /// The limit in force, with what raises add; for one member of a pool the member's cap.
    pub limit: u64,
    /// What may be used before requests are refused; `null` when none ever are.
    pub ceiling: Option<u64>,
    /// Used in the present window.
    pub spent: u64,
    /// Leased to filters and not used yet.
    pub held: u64,
    /// What may still be leased; `null` when requests are never refused.
    pub left: Option<u64>,
    /// The part of `spent` that was admitted while the service was away.
    pub debt: u64,
    #[serde(flatten)]
    pub window: WindowView,
}

impl UsageView {
    pub(in crate::operations) fn new(
        quota: &Quota,
        (part, member): (Part, Option<&str>),
        used: Used,
        now: Timestamp,
    ) -> Result<Self, WindowError> {
        let bounds = Bounds::of(quota, part, now);
        Ok(Self {
            quota: quota.id,
            name: quota.name.clone(),
            member: member.map(str::to_owned),
            unit: quota.rules.unit,
            limit: bounds.limit,
            ceiling: bounds.ceiling,
            spent: used.spent,
            held: used.held,
            left: bounds.ceiling.map(|ceiling| {
                let unspent = ceiling.saturating_sub(used.spent);
                unspent.saturating_sub(used.held)
            }),
            debt: used.debt,
            window: WindowView::at(quota, now)?,
        })
    }
}

/// What limits an account at one moment.
struct Bounds {
    limit: u64,
    ceiling: Option<u64>,
}

impl Bounds {
    fn of(quota: &Quota, part: Part, now: Timestamp) -> Self {
        let rules = &quota.rules;
        let limit = match (part, rules.member_cap) {
            (Part::MemberCap, Some(cap)) => cap,
            (Part::MemberCap, None) | (Part::Limit, _) => rules.limit_at(now),
        };
        let ceiling = rules.mode.ceiling(limit).filter(|_| rules.enabled);
        Self { limit, ceiling }
    }
}

/// What was used in one window, or in one part of a rolling one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsedWindowView {
    #[schema(value_type = u64)]
    pub start_ms: Timestamp,
    pub spent: u64,
    /// The part of `spent` that was admitted while the service was away.
    pub debt: u64,
}

impl From<(Timestamp, Bucket)> for UsedWindowView {
    fn from((start_ms, bucket): (Timestamp, Bucket)) -> Self {
        Self {
            start_ms,
            spent: bucket.spent,
            debt: bucket.debt,
        }
    }
}

/// What an account used, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistoryView {
    #[schema(value_type = uuid::Uuid)]
    pub quota: QuotaId,
    #[schema(value_type = schema::Unit)]
    pub unit: Unit,
    pub items: Vec<UsedWindowView>,
}

/// A quota as the bearer of a virtual key may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnQuotaView {
    pub name: String,
    #[schema(value_type = schema::Level)]
    pub level: Level,
    #[schema(value_type = schema::Unit)]
    pub unit: Unit,
    #[serde(flatten)]
    pub window: WindowView,
    /// Only these models; nothing listed means all.
    #[schema(value_type = Vec<String>)]
    pub models: Vec<ModelPattern>,
    /// Only these providers; nothing listed means all.
    pub providers: Vec<String>,
    /// Whether requests are refused. `null` where that differs by session or agent, and none was asked about.
    pub exhausted: Option<bool>,
    /// `null`, like what follows, where policy hides figures.
    pub limit: Option<u64>,
    /// Used in the present window.
    pub used: Option<u64>,
    /// Leased for requests that run or may begin.
    pub held: Option<u64>,
    /// What is not used yet, leased or not.
    pub left: Option<u64>,
}

impl OwnQuotaView {
    /// Shows an account; nothing is told of its use where none is given.
    pub(in crate::operations) fn new(
        charged: &Charged<'_>,
        used: Option<Used>,
        now: Timestamp,
    ) -> Result<Self, WindowError> {
        let quota = charged.quota;
        let bounds = Bounds::of(quota, charged.part, now);
        let is_shown = quota.rules.figures == Figures::Shown;
        let told = used.filter(|_| is_shown);
        let is_exhausted = |used: Used| bounds.ceiling.is_some_and(|ceiling| used.spent >= ceiling);
        Ok(Self {
            name: quota.name.clone(),
            level: charged.level,
            unit: quota.rules.unit,
            window: WindowView::at(quota, now)?,
            models: quota.rules.models.clone(),
            providers: quota.rules.providers.clone(),
            exhausted: used.map(is_exhausted),
            limit: is_shown.then_some(bounds.limit),
            used: told.map(|used| used.spent),
            held: told.map(|used| used.held),
            left: told.map(|used| {
                let most = bounds.ceiling.unwrap_or(bounds.limit);
                most.saturating_sub(used.spent)
            }),
        })
    }
}

/// Every quota that covers a virtual key, lowest level first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnQuotasView {
    pub items: Vec<OwnQuotaView>,
}

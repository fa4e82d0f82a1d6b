//! What the ledger has to know of a quota to answer for one of its accounts at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use policy::ids::QuotaId;
use policy::quota::covering::Part;
use policy::quota::lease::Ask;
use policy::quota::{AccountId, Holds, Level, Quota};
use policy::units::Timestamp;

use super::window::{Window, WindowError};

/// Most that one ask gets where there is no ceiling: sums of leases must stay numbers.
const UNLIMITED_WANT: u64 = 1_000_000_000_000_000;

/// All quotas, by id.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    by_id: HashMap<QuotaId, Arc<Quota>>,
}

impl Quotas {
    /// Puts the quotas of a policy in order.
    pub fn new(quotas: impl IntoIterator<Item = Quota>) -> Self {
        let by_id = quotas.into_iter().map(|it| (it.id, Arc::new(it))).collect();
        Self { by_id }
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Returns the limit of one, without what raises it for a time.
    pub fn limit_of(&self, quota: QuotaId) -> Option<u64> {
        Some(self.get(quota)?.rules.limit)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Quota>> {
        self.by_id.values()
    }

    pub(crate) fn get(&self, id: QuotaId) -> Option<&Arc<Quota>> {
        self.by_id.get(&id)
    }
}

/// One ask, with everything that decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) quota: QuotaId,
    pub(crate) account: AccountId,
    pub(crate) level: Level,
    /// What may be used; `None` for no bound.
    pub(crate) ceiling: Option<u64>,
    pub(crate) window: Window,
    pub(crate) need: u64,
    pub(crate) want: u64,
    pub(crate) strict: bool,
}

/// Windows of one batch: quotas that share a calendar ask for the same bounds again and again.
#[derive(Debug)]
pub(crate) struct TermsAt<'q> {
    quotas: &'q Quotas,
    now: Timestamp,
    windows: HashMap<QuotaId, Window>,
}

impl<'q> TermsAt<'q> {
    pub(crate) fn new(quotas: &'q Quotas, now: Timestamp) -> Self {
        Self {
            quotas,
            now,
            windows: HashMap::new(),
        }
    }

    /// Returns the terms of `ask`. A quota that is gone limits nothing: a filter may not have heard yet.
    pub(crate) fn of(&mut self, ask: &Ask) -> Result<Terms, WindowError> {
        let Some(quota) = self.quotas.get(ask.quota) else {
            return Ok(Terms {
                quota: ask.quota,
                account: ask.account,
                level: Level::Organisation,
                ceiling: None,
                window: Window::NONE,
                need: ask.need,
                want: ask.need,
                strict: false,
            });
        };
        let window = match self.windows.get(&quota.id) {
            Some(window) => *window,
            None => {
                let window = Window::at(&quota.rules, self.now)?;
                self.windows.insert(quota.id, window);
                window
            }
        };
        let rules = &quota.rules;
        let (ceiling, level) = match (ask.part, rules.member_cap) {
            (Part::MemberCap, Some(cap)) => (rules.mode.ceiling(cap), Level::User),
            (Part::MemberCap, None) => (None, Level::User),
            (Part::Limit, _) => (rules.ceiling_at(self.now), rules.node.level()),
        };
        Ok(Terms {
            quota: quota.id,
            account: ask.account,
            level,
            ceiling: ceiling.filter(|_| rules.enabled),
            window,
            need: ask.need,
            want: ask.want.max(ask.need).min(UNLIMITED_WANT.max(ask.need)),
            strict: rules.holds == Holds::Strict,
        })
    }

    /// Returns the limit of a quota's part, and the thresholds that are told.
    pub(crate) fn alerts(&self, quota: QuotaId, part: Part) -> Option<(u64, &'q [u16])> {
        let quota = self.quotas.get(quota)?;
        let limit = match part {
            Part::Limit => quota.rules.limit_at(self.now),
            Part::MemberCap => quota.rules.member_cap?,
        };
        Some((limit, &quota.rules.alerts))
    }
}

//! Sums of what all VMs counted, which never fall: a VM that is gone counted what it counted.

use std::collections::BTreeMap;

use dialects::refusal::RefusalCode;
use policy::quota::{Level, Unit};
use wire::mesh::VmCounters;

use super::headers::{Dropped, DroppedHeaders};
use super::{Counters, Fleet, Seen, VmName};

/// VMs whose counters are remembered apart, should they only have been silent.
const REMEMBERED: usize = 256;

/// What quotas refused: why, at which level, in which unit.
pub(crate) type Denied = (&'static str, Level, Unit);

/// Sums of counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// Not of VMs that are gone: what is now and not what was.
    pub(crate) vms: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) quota_unsettled: u64,
    pub(crate) counters: Counters,
    pub(crate) denials: BTreeMap<Denied, u64>,
    /// Answers that proxies made by themselves, by code.
    pub(crate) proxy_replies: BTreeMap<&'static str, u64>,
    dropped: Dropped,
}

impl Totals {
    pub(super) fn of(seen: &Seen) -> Self {
        Self {
            vms: 1,
            memory_bytes: seen.counters.memory_bytes,
            quota_unsettled: seen.counters.quota_unsettled,
            counters: seen.counters,
            denials: seen.denials.clone(),
            proxy_replies: seen.proxy_replies.clone(),
            dropped: seen.dropped.clone(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.vms = self.vms.saturating_add(other.vms);
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
        self.quota_unsettled = self.quota_unsettled.saturating_add(other.quota_unsettled);
        self.counters.add(&other.counters);
        for (denied, count) in &other.denials {
            let sum = self.denials.entry(*denied).or_default();
            *sum = sum.saturating_add(*count);
        }
        for (code, count) in &other.proxy_replies {
            let sum = self.proxy_replies.entry(code).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.dropped.add(&other.dropped);
    }

    fn counted(self) -> Self {
        Self {
            vms: 0,
            memory_bytes: 0,
            quota_unsettled: 0,
            ..self
        }
    }
}

impl Counters {
    fn add(&mut self, other: &Self) {
        let Self {
            exchanges,
            refusals,
            records_dropped,
            resumed_by_watchdog,
            stray_inputs,
            memory_bytes,
            refusals_unrecorded,
            guard_blocks_scanned,
            guard_cache_hits,
            guard_bytes_scanned,
            guard_findings,
            guard_unknown_tokens,
            quota_exchanges,
            quota_waits,
            quota_wait_ms,
            quota_grants,
            quota_cuts,
            quota_unsettled,
        } = other;
        for (sum, more) in [
            (&mut self.exchanges, exchanges),
            (&mut self.refusals, refusals),
            (&mut self.records_dropped, records_dropped),
            (&mut self.resumed_by_watchdog, resumed_by_watchdog),
            (&mut self.stray_inputs, stray_inputs),
            (&mut self.memory_bytes, memory_bytes),
            (&mut self.refusals_unrecorded, refusals_unrecorded),
            (&mut self.guard_blocks_scanned, guard_blocks_scanned),
            (&mut self.guard_cache_hits, guard_cache_hits),
            (&mut self.guard_bytes_scanned, guard_bytes_scanned),
            (&mut self.guard_findings, guard_findings),
            (&mut self.guard_unknown_tokens, guard_unknown_tokens),
            (&mut self.quota_exchanges, quota_exchanges),
            (&mut self.quota_waits, quota_waits),
            (&mut self.quota_wait_ms, quota_wait_ms),
            (&mut self.quota_grants, quota_grants),
            (&mut self.quota_cuts, quota_cuts),
            (&mut self.quota_unsettled, quota_unsettled),
        ] {
            *sum = sum.saturating_add(*more);
        }
    }
}

/// What VMs counted that are gone.
#[derive(Debug, Default)]
pub(super) struct Gone {
    by_name: BTreeMap<VmName, Totals>,
    others: Totals,
}

impl Gone {
    pub(super) fn note(&mut self, name: &VmName, totals: Totals) {
        while self.by_name.len() >= REMEMBERED {
            let Some((_, oldest)) = self.by_name.pop_first() else {
                break;
            };
            self.others.add(&oldest);
        }
        self.by_name.insert(name.clone(), totals.counted());
    }

    pub(super) fn forget(&mut self, name: &VmName) {
        self.by_name.remove(name);
    }
}

/// Reads denials; what is of no known reason, level or unit is left out, so that no label comes from outside.
pub(super) fn denials(counters: Option<&VmCounters>) -> BTreeMap<Denied, u64> {
    const REASONS: [&str; 3] = ["contended", "exhausted", "unreachable"];
    let mut denials = BTreeMap::new();
    for told in counters.iter().flat_map(|it| &it.quota_denials) {
        let reason = REASONS.into_iter().find(|it| *it == told.reason);
        let level = Level::ALL.into_iter().find(|it| it.name() == told.level);
        let unit = Unit::ALL.into_iter().find(|it| it.name() == told.unit);
        if let (Some(reason), Some(level), Some(unit)) = (reason, level, unit) {
            *denials.entry((reason, level, unit)).or_default() += told.count;
        }
    }
    denials
}

/// Reads answers of proxies; codes that are not of the table are left out.
pub(super) fn proxy_replies(counters: Option<&VmCounters>) -> BTreeMap<&'static str, u64> {
    let mut replies = BTreeMap::new();
    for told in counters.iter().flat_map(|it| &it.proxy_replies) {
        let code = RefusalCode::ALL.iter().map(|code| code.name());
        if let Some(code) = code.into_iter().find(|code| *code == told.code) {
            *replies.entry(code).or_default() += told.count;
        }
    }
    replies
}

impl Fleet {
    /// Returns the sums over all VMs that ever reported here.
    pub(crate) fn totals(&self) -> Totals {
        let state = self.state();
        let mut totals = state.gone.others.clone();
        for gone in state.gone.by_name.values() {
            totals.add(gone);
        }
        for seen in state.vms.values() {
            totals.add(&Totals::of(seen));
        }
        totals
    }

    /// Returns the headers that did not pass, by name.
    pub fn dropped_headers(&self) -> DroppedHeaders {
        self.totals().dropped.shown()
    }
}

#[cfg(test)]
mod tests {
    use wire::mesh::{QuotaDenials, ReportRequest};

    use super::super::SILENCE;
    use super::*;

    fn report(vm: u8, exchanges: u64) -> ReportRequest {
        let denied = |reason: &str, count| QuotaDenials {
            reason: reason.to_owned(),
            level: String::from("team"),
            unit: String::from("requests"),
            count,
        };
        ReportRequest {
            process_id: vec![1],
            vm_id: vec![vm],
            counters: Some(VmCounters {
                exchanges,
                memory_bytes: 10,
                quota_denials: vec![denied("exhausted", exchanges), denied("\"}", 1)],
                ..VmCounters::default()
            }),
            ..ReportRequest::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sums_never_fall_and_nothing_counts_twice() {
        let fleet = Fleet::default();
        fleet.heard(&report(1, 5));
        fleet.heard(&report(2, 7));
        assert_eq!(fleet.totals().counters.exchanges, 12);
        tokio::time::advance(SILENCE * 2).await;
        fleet.take_silent();
        let totals = fleet.totals();
        assert_eq!((totals.vms, totals.memory_bytes), (0, 0));
        assert_eq!(totals.counters.exchanges, 12);
        fleet.heard(&report(1, 6));
        let totals = fleet.totals();
        assert_eq!((totals.vms, totals.counters.exchanges), (1, 13));
        let denied = [(("exhausted", Level::Team, Unit::Requests), 13)];
        assert_eq!(totals.denials, BTreeMap::from(denied));
    }
}

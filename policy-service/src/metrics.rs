//! `GET /metrics`: what the filters and the ledger count, in the text format of Prometheus.
//!
//! On the admin listener: with an admin token, or without one from this machine. A request that a proxy on this
//! machine forwards is not from this machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::uri::Authority;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use policy::quota::Unit;
use tower::ServiceExt as _;

use crate::api;
use crate::ledger::tally::{BATCH_BOUNDS_MS, Counts};
use crate::mesh::Totals;
use crate::readiness::Readiness;
use crate::store::Store;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "via"];

#[derive(Clone)]
struct Scraped {
    store: Store,
    readiness: Readiness,
}

/// Answers `GET /metrics`.
pub(crate) fn router(store: Store, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(scraped))
        .with_state(Scraped { store, readiness })
}

async fn scraped(State(scraped): State<Scraped>, request: Request) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let is_local = peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback())
        && is_direct(request.headers())
        && names_this_machine(request.headers());
    let answer = move || async move { ([(CONTENT_TYPE, TEXT_FORMAT)], text(&scraped.readiness)) };
    if is_local {
        return answer().await.into_response();
    }
    let with_token = Router::new().route("/metrics", get(answer));
    let answered = api::authenticated(scraped.store, with_token).oneshot(request);
    answered.await.into_response()
}

fn is_direct(headers: &HeaderMap) -> bool {
    !FORWARDED.iter().any(|name| headers.contains_key(*name))
}

/// Whether `Host` is a loopback name: a web page may lead a browser of this machine here under a name of its own.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    // HTTP/1.0 has none, and no browser speaks it.
    let Some(host) = host else { return true };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

fn text(readiness: &Readiness) -> String {
    let control = readiness.control();
    let mut page = Page::default();
    page.put(Metric::Ready, "", u64::from(readiness.state().ready));
    page.put(Metric::PolicyVersion, "", control.version().version);
    fleet(&mut page, &control.fleet().totals());
    let ledgers = control.ledgers().map(|ledgers| ledgers.counts());
    let ledgers = ledgers.unwrap_or_default();
    for (store, counts) in &ledgers {
        ledger(&mut page, store, counts);
    }
    page.text()
}

fn fleet(page: &mut Page, totals: &Totals) {
    let counters = &totals.counters;
    for (metric, value) in [
        (Metric::FilterVms, totals.vms),
        (Metric::FilterMemory, totals.memory_bytes),
        (Metric::Exchanges, counters.exchanges),
        (Metric::Refusals, counters.refusals),
        (Metric::RefusalsUnrecorded, counters.refusals_unrecorded),
        (Metric::RecordsDropped, counters.records_dropped),
        (Metric::WatchdogResumes, counters.resumed_by_watchdog),
        (Metric::StrayInputs, counters.stray_inputs),
        (Metric::GuardTexts, counters.guard_blocks_scanned),
        (Metric::GuardCached, counters.guard_cache_hits),
        (Metric::GuardBytes, counters.guard_bytes_scanned),
        (Metric::GuardFindings, counters.guard_findings),
        (Metric::GuardUnknownTokens, counters.guard_unknown_tokens),
        (Metric::QuotaExchanges, counters.quota_exchanges),
        (Metric::QuotaWaits, counters.quota_waits),
        (Metric::QuotaGrantCalls, counters.quota_grants),
        (Metric::QuotaStreamCuts, counters.quota_cuts),
        (Metric::QuotaUnsettled, totals.quota_unsettled),
    ] {
        page.put(metric, "", value);
    }
    page.put(
        Metric::QuotaWait,
        "",
        seconds(counters.quota_wait_ms * 1_000),
    );
    for (code, count) in &totals.proxy_replies {
        page.put(Metric::ProxyReplies, &format!(r#"code="{code}""#), *count);
    }
    for ((reason, level, unit), count) in &totals.denials {
        let (level, unit) = (level.name(), unit.name());
        let labels = format!(r#"reason="{reason}",level="{level}",unit="{unit}""#);
        page.put(Metric::QuotaDenials, &labels, *count);
    }
}

fn ledger(page: &mut Page, store: &str, counts: &Counts) {
    let labels = format!(r#"store="{store}""#);
    for (metric, value) in [
        (Metric::LedgerGrants, counts.grants),
        (Metric::LedgerSettlements, counts.settlements),
        (Metric::LedgerCorrections, counts.corrections),
        (Metric::LedgerLeases, counts.leases),
        (Metric::LedgerLeasesExpired, counts.expired),
        (Metric::LedgerBatchEntries, counts.batch_entries),
        (Metric::LedgerBatchFailures, counts.batch_failures),
    ] {
        page.put(metric, &labels, value);
    }
    for ((kind, level), count) in &counts.refusals {
        let (kind, level) = (kind.name(), level.name());
        let labels = format!(r#"{labels},kind="{kind}",level="{level}""#);
        page.put(Metric::LedgerRefusals, &labels, *count);
    }
    for (metric, amounts) in [
        (Metric::LedgerHeld, &counts.held),
        (Metric::LedgerStranded, &counts.stranded),
    ] {
        for (unit, amount) in amounts {
            let unit = unit.map_or("unknown", Unit::name);
            page.put(metric, &format!(r#"{labels},unit="{unit}""#), *amount);
        }
    }
    page.put_batches(&labels, counts);
}

/// Returns microseconds as seconds, exactly.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Lines by metric, so that those of a metric stand together whoever counted them.
#[derive(Default)]
struct Page(BTreeMap<Metric, String>);

impl Page {
    fn put(&mut self, metric: Metric, labels: &str, value: impl std::fmt::Display) {
        self.line(metric, "", labels, value);
    }

    fn line(&mut self, metric: Metric, suffix: &str, labels: &str, value: impl std::fmt::Display) {
        let (name, _, _) = metric.described();
        let lines = self.0.entry(metric).or_default();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{labels}}}")
        };
        writeln!(lines, "{name}{suffix}{labels} {value}").unwrap_or_default();
    }

    fn put_batches(&mut self, labels: &str, counts: &Counts) {
        let metric = Metric::LedgerBatch;
        let mut sum = 0_u64;
        for (bound, within) in BATCH_BOUNDS_MS.iter().zip(counts.batches_within) {
            sum = sum.saturating_add(within);
            let bound = format!("{}.{:03}", bound / 1_000, bound % 1_000);
            let labels = format!(r#"{labels},le="{bound}""#);
            self.line(metric, "_bucket", &labels, sum);
        }
        let all = format!(r#"{labels},le="+Inf""#);
        self.line(metric, "_bucket", &all, counts.batches);
        self.line(metric, "_sum", labels, seconds(counts.batch_micros));
        self.line(metric, "_count", labels, counts.batches);
    }

    fn text(self) -> String {
        let mut text = String::new();
        for (metric, lines) in self.0 {
            let (name, kind, help) = metric.described();
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}").unwrap_or_default();
        }
        text
    }
}

macro_rules! metrics {
    ($($metric:ident = $name:literal, $kind:literal, $help:literal;)*) => {
        /// Every metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        enum Metric {
            $($metric,)*
        }

        impl Metric {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$metric,)*];

            /// Returns the name, the type and what it says.
            const fn described(self) -> (&'static str, &'static str, &'static str) {
                match self {
                    $(Self::$metric => ($name, $kind, $help),)*
                }
            }
        }
    };
}

metrics! {
    Ready = "weir_ready", "gauge", "Whether every worker enforces the policy.";
    PolicyVersion = "weir_policy_version", "gauge", "The policy version in force.";
    FilterVms = "weir_filter_vms", "gauge", "Filter VMs that report.";
    FilterMemory = "weir_filter_memory_bytes", "gauge", "Memory of filter VMs.";
    Exchanges = "weir_exchanges_total", "counter", "Exchanges.";
    Refusals = "weir_refusals_total", "counter", "Exchanges that were refused.";
    RefusalsUnrecorded = "weir_refusals_unrecorded_total", "counter", "Refusals without a key that were too many to record.";
    ProxyReplies = "weir_proxy_replies_total", "counter", "Answers that proxies made by themselves, by what they are called.";
    RecordsDropped = "weir_records_dropped_total", "counter", "Exchange records that found no room.";
    WatchdogResumes = "weir_watchdog_resumes_total", "counter", "Exchanges that a watchdog had to resume.";
    StrayInputs = "weir_stray_inputs_total", "counter", "Inputs that no exchange waited for.";
    GuardTexts = "weir_guard_texts_scanned_total", "counter", "Texts searched.";
    GuardCached = "weir_guard_texts_known_total", "counter", "Texts whose verdict was known.";
    GuardBytes = "weir_guard_scanned_bytes_total", "counter", "Bytes searched.";
    GuardFindings = "weir_guard_findings_total", "counter", "Findings.";
    GuardUnknownTokens = "weir_guard_unknown_tokens_total", "counter", "Tokens in answers whose value nobody knew.";
    QuotaExchanges = "weir_quota_exchanges_total", "counter", "Exchanges that quotas apply to.";
    QuotaDenials = "weir_quota_denials_total", "counter", "Exchanges that quotas refused.";
    QuotaWaits = "weir_quota_waits_total", "counter", "Exchanges that waited for the ledger.";
    QuotaWait = "weir_quota_wait_seconds_total", "counter", "How long they waited, all together.";
    QuotaGrantCalls = "weir_quota_grant_calls_total", "counter", "Grants that filters asked for.";
    QuotaStreamCuts = "weir_quota_stream_cuts_total", "counter", "Streams that quotas cut.";
    QuotaUnsettled = "weir_quota_unsettled", "gauge", "Settlements that wait in filters.";
    LedgerGrants = "weir_ledger_grants_total", "counter", "Grants given.";
    LedgerRefusals = "weir_ledger_refusals_total", "counter", "Grants refused.";
    LedgerSettlements = "weir_ledger_settlements_total", "counter", "Settlements received, repeated ones too.";
    LedgerCorrections = "weir_ledger_corrections_total", "counter", "Presumed charges that a report replaced.";
    LedgerLeases = "weir_ledger_leases", "gauge", "Leases that live.";
    LedgerHeld = "weir_ledger_held", "gauge", "What is leased, in its unit.";
    LedgerLeasesExpired = "weir_ledger_leases_expired_total", "counter", "Leases that nobody kept.";
    LedgerStranded = "weir_ledger_stranded_total", "counter", "What was free of leases that nobody kept, in its unit.";
    LedgerBatch = "weir_ledger_batch_seconds", "histogram", "How long batches of the ledger took.";
    LedgerBatchEntries = "weir_ledger_batch_entries_total", "counter", "Entries that batches decided.";
    LedgerBatchFailures = "weir_ledger_batch_failures_total", "counter", "Batches that the store failed.";
}

#[cfg(test)]
mod tests;

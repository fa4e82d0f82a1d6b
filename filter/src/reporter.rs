//! Delivers exchange records: in batches, again until they are taken, and at the end by the log.

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine as _;
use engine::guard::Minted;
use engine::quota::Denial;
use policy::header::HeaderWay;
use policy::units::Timestamp;
use prost::Message as _;
use wire::mesh::{
    DroppedHeader, ExchangeRecord, GuardProof, GuardProven, ProxyReplies, QuotaDenials,
    ReportAnswer, ReportRequest, VaultEntry, VmCounters,
};

use crate::host;
use crate::prober;
use crate::records;
use crate::shared;
use crate::vm::{self, Vm};

/// Records in one report.
const BATCH: usize = 512;
/// Records kept while the service is away: five seconds of a worker at its busiest; about 8 MiB.
const CAPACITY: usize = 16_384;
/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The service knows a VM as long as it hears from it.
const HEARTBEAT_MS: u64 = 1_000;
/// Exchanges older than this are reported while they run.
const PROGRESS_AFTER_MS: u64 = 1_000;
/// Pause after a failed report.
const RETRY_MS: u64 = 250;
/// Begins a log line that carries undelivered records: `weir-record: ` and a base64 `ReportRequest`.
const LOG_MARKER: &str = "weir-record: ";

/// Tokens kept for the vault, and how many go in one report.
const MINTED: usize = 16_384;
const MINTED_BATCH: usize = 256;
const MINTED_BYTES: usize = 1024 * 1024;
const MINTED_VALUE_BYTES: usize = 64 * 1024;

/// Refusals of strangers that are recorded at once, and how many more each second; the others are only counted.
const STRANGERS: u64 = 256;
const STRANGERS_PER_SEC: u64 = 8;

/// Records that the service has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<ExchangeRecord>,
    /// Sent and not answered; sent again when the answer does not come.
    sent: Vec<ExchangeRecord>,
    call: Option<u32>,
    last_sent: Timestamp,
    last_progress: Timestamp,
    not_before: Timestamp,
    dropped: u64,
    /// Records of strangers' refusals since `strangers_since`, less those forgiven by time.
    strangers: u64,
    strangers_since: Timestamp,
    strangers_unrecorded: u64,
    /// Tokens that the vault has not acknowledged; the first `minted_sent` are on their way.
    minted: VecDeque<VaultEntry>,
    minted_sent: usize,
}

impl Outbox {
    /// Takes new tokens for the vault. When it has been away for long the oldest are given up: this VM still knows
    /// them, and so does every request that shows them.
    pub(crate) fn push_minted(&mut self, minted: Vec<Minted>) {
        // A longer value is not kept by the vault; it is known wherever the request shows it.
        let short = minted
            .into_iter()
            .filter(|minted| minted.value.expose().len() <= MINTED_VALUE_BYTES);
        let entries = short.map(|minted| VaultEntry {
            tenant: minted.scope.tenant,
            session: minted.scope.session,
            token: minted.token,
            value: minted.value.expose().as_bytes().to_vec(),
            kind: minted.rule,
        });
        self.minted.extend(entries);
        while self.minted_sent == 0 && self.has_too_many_minted() {
            self.minted.pop_front();
        }
    }

    fn has_too_many_minted(&self) -> bool {
        let bytes: usize = self.minted.iter().map(|entry| entry.value.len()).sum();
        self.minted.len() > MINTED || bytes > 8 * MINTED_BYTES
    }

    /// Returns the tokens for one report, whose size the service bounds.
    fn next_minted(&self) -> Vec<VaultEntry> {
        let mut bytes = 0_usize;
        let fits = |entry: &&VaultEntry| {
            bytes = bytes.saturating_add(entry.value.len());
            bytes <= MINTED_BYTES
        };
        let next = self.minted.iter().take(MINTED_BATCH);
        next.take_while(fits).cloned().collect()
    }

    /// Makes the next report due at once.
    pub(crate) fn hurry(&mut self) {
        self.last_sent = Timestamp::default();
    }

    /// Takes a stranger's refusal for delivery, unless there were too many: whoever has no key must neither fill
    /// the queue that keyed exchanges need nor the database.
    pub(crate) fn push_stranger(&mut self, record: ExchangeRecord, now: Timestamp) {
        let forgiven = now.millis_since(self.strangers_since) / 1_000 * STRANGERS_PER_SEC;
        if forgiven > 0 {
            self.strangers = self.strangers.saturating_sub(forgiven);
            self.strangers_since = now;
        }
        if self.strangers >= STRANGERS {
            self.strangers_unrecorded = self.strangers_unrecorded.saturating_add(1);
        } else {
            self.strangers = self.strangers.saturating_add(1);
            self.push(record);
        }
    }

    /// Takes a record for delivery.
    pub(crate) fn push(&mut self, record: ExchangeRecord) {
        if self.is_full() {
            self.dropped = self.dropped.saturating_add(1);
        } else {
            self.waiting.push_back(record);
        }
    }

    /// Returns whether no record can be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len().saturating_add(self.sent.len()) >= CAPACITY
    }
}

/// Sends what there is, when it is time; from a root callback.
pub(crate) fn tick(cluster: &str, now: Timestamp) {
    vm::with(|vm| {
        let outbox = &vm.outbox;
        // A clock that stepped back must not silence this VM.
        let heartbeat_due =
            now < outbox.last_sent || now.millis_since(outbox.last_sent) >= HEARTBEAT_MS;
        let due = outbox.call.is_none()
            && now >= outbox.not_before
            && (!outbox.waiting.is_empty()
                || !outbox.minted.is_empty()
                || vm.prober.has_news()
                || heartbeat_due);
        if due {
            send(vm, cluster, now);
        }
    });
}

/// Takes the answer to a report; `false` when the call was not one.
pub(crate) fn answered(
    cluster: &str,
    call: u32,
    status: u32,
    response_size: usize,
    now: Timestamp,
) -> bool {
    let is_ours = vm::with(|vm| {
        let outbox = &mut vm.outbox;
        if outbox.call != Some(call) {
            return false;
        }
        outbox.call = None;
        if status == 0 {
            outbox.sent.clear();
            outbox
                .minted
                .drain(..outbox.minted_sent.min(outbox.minted.len()));
            outbox.minted_sent = 0;
            // Less than a full batch waits for the next tick: a call costs more than the records in it.
            if outbox.waiting.len() >= BATCH {
                send(vm, cluster, now);
            }
        } else {
            outbox.minted_sent = 0;
            postpone(vm, now);
        }
        true
    });
    if is_ours && status == 0 && response_size > 0 {
        let answer = ReportAnswer::decode(host::answer(response_size).as_slice());
        let probes = answer.map(|answer| answer.probes).unwrap_or_default();
        probes.into_iter().for_each(prober::ask);
    }
    is_ours
}

/// Hands everything that was not delivered to the service and to the proxy's log; at the VM's end.
///
/// A call may leave only over a connection that is open, and its answer never comes: the log is what counts.
pub(crate) fn last_words(cluster: &str) {
    vm::with(|vm| {
        // Values never stand in the log; what does not arrive is known again when the request shows it again.
        vm.outbox.minted_sent = 0;
        while !vm.outbox.minted.is_empty() {
            let minted = vm.outbox.next_minted();
            vm.outbox.minted.drain(..minted.len().max(1));
            let mut report = report(vm, Vec::new(), Vec::new());
            report.minted = minted;
            host::call(cluster, "Report", &report.encode_to_vec(), TIMEOUT);
        }
        let mut left = std::mem::take(&mut vm.outbox.sent);
        left.extend(vm.outbox.waiting.drain(..));
        for batch in left.chunks(32) {
            let report = report(vm, batch.to_vec(), Vec::new()).encode_to_vec();
            host::call(cluster, "Report", &report, TIMEOUT);
            let line = base64::engine::general_purpose::STANDARD.encode(&report);
            host::log_always(&format!("{LOG_MARKER}{line}"));
        }
    });
}

fn send(vm: &mut Vm, cluster: &str, now: Timestamp) {
    let room = BATCH
        .saturating_sub(vm.outbox.sent.len())
        .min(vm.outbox.waiting.len());
    let more: Vec<_> = vm.outbox.waiting.drain(..room).collect();
    vm.outbox.sent.extend(more);
    let records = vm.outbox.sent.clone();
    // What runs is told at the pace of the heartbeat, however often records leave.
    let running = if now.millis_since(vm.outbox.last_progress) >= HEARTBEAT_MS {
        vm.outbox.last_progress = now;
        progress(vm, now)
    } else {
        Vec::new()
    };
    let minted = vm.outbox.next_minted();
    vm.outbox.minted_sent = minted.len();
    let mut report = report(vm, records, running);
    report.minted = minted;
    report.probed = vm.prober.take();
    let report = report.encode_to_vec();
    vm.outbox.last_sent = now;
    vm.outbox.call = host::call(cluster, "Report", &report, TIMEOUT);
    if vm.outbox.call.is_none() {
        vm.outbox.minted_sent = 0;
        postpone(vm, now);
    }
}

fn postpone(vm: &mut Vm, now: Timestamp) {
    vm.outbox.not_before = Timestamp::from_millis(now.as_millis().saturating_add(RETRY_MS));
}

fn progress(vm: &Vm, now: Timestamp) -> Vec<ExchangeRecord> {
    vm.running()
        .iter()
        .filter_map(|running| {
            running.try_borrow().ok().map(|running| {
                let exchange = &running.exchange;
                let old = now.millis_since(exchange.started()) >= PROGRESS_AFTER_MS;
                (old && exchange.is_running()).then(|| records::message(exchange.progress(now)))
            })
        })
        .flatten()
        .take(BATCH)
        .collect()
}

fn report(vm: &Vm, records: Vec<ExchangeRecord>, running: Vec<ExchangeRecord>) -> ReportRequest {
    let head = vm.head.unwrap_or_default();
    let guard = vm
        .guard
        .as_ref()
        .map(|guard| guard.counters())
        .unwrap_or_default();
    let desk = vm.desk.borrow();
    let quotas = desk.counters();
    ReportRequest {
        node_id: vm.node_id.clone(),
        process_id: shared::process_id().to_vec(),
        vm_id: vm.id.to_vec(),
        generation: head.generation.to_vec(),
        version: head.version,
        records,
        running,
        counters: Some(VmCounters {
            exchanges: vm.counters.exchanges,
            refusals: vm.counters.refusals,
            records_dropped: vm.outbox.dropped,
            resumed_by_watchdog: vm.counters.resumed_by_watchdog,
            stray_inputs: vm.counters.stray_inputs,
            memory_bytes: host::memory_bytes(),
            refusals_unrecorded: vm.outbox.strangers_unrecorded,
            guard_blocks_scanned: guard.texts,
            guard_cache_hits: guard.cache_hits,
            guard_bytes_scanned: guard.bytes,
            guard_findings: guard.findings,
            guard_unknown_tokens: guard.unknown_tokens,
            quota_exchanges: quotas.exchanges,
            quota_waits: quotas.waits,
            quota_wait_ms: quotas.wait_ms,
            quota_grants: quotas.grants,
            quota_cuts: quotas.cuts,
            quota_unsettled: desk.unsettled() as u64,
            quota_denials: quotas.denials.iter().map(denials).collect(),
            proxy_replies: vm.proxy_replies().iter().map(proxy_replies).collect(),
            dropped_headers: vm.dropped.borrow().iter().map(dropped).collect(),
        }),
        minted: Vec::new(),
        proof: proof(vm),
        probed: Vec::new(),
    }
}

fn proxy_replies((code, count): (&&'static str, &u64)) -> ProxyReplies {
    ProxyReplies {
        code: (*code).to_owned(),
        count: *count,
    }
}

fn dropped((way, name, count): (HeaderWay, Option<&str>, u64)) -> DroppedHeader {
    DroppedHeader {
        is_response: way == HeaderWay::Response,
        name: name.unwrap_or_default().to_owned(),
        count,
    }
}

fn denials((denial, count): (&Denial, &u64)) -> QuotaDenials {
    QuotaDenials {
        reason: denial.reason.name().to_owned(),
        level: denial.level.name().to_owned(),
        unit: denial.unit.name().to_owned(),
        count: *count,
    }
}

fn proof(vm: &Vm) -> Option<GuardProof> {
    if vm.head.is_none() && vm.proof.problem.is_empty() {
        return None;
    }
    let found = vm.proof.found.iter();
    Some(GuardProof {
        version: vm.proof.version,
        guardrails: found
            .map(|(guardrail, found)| GuardProven {
                guardrail_id: guardrail.into_bytes().to_vec(),
                found: *found,
                problem: vm.proof.problem.clone(),
            })
            .collect(),
        quotas_proven: vm.proof.quotas.0,
        quota_problem: vm.proof.quotas.1.clone(),
    })
}

//! Probes of provider keys: requests that the service wants an Envoy to send, and what came back.

use std::time::Duration;

use wire::mesh::{Probe, ProbeResult};

use crate::host;
use crate::vm;

/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are told: errors are short.
const BODY_BYTES: usize = 4 * 1024;
/// Probes under way at once, and results that wait for the next report.
const CAPACITY: usize = 64;

/// The probes of this VM.
#[derive(Debug, Default)]
pub(crate) struct Prober {
    /// Call and probe.
    asked: Vec<(u32, Vec<u8>)>,
    answered: Vec<ProbeResult>,
}

impl Prober {
    /// Takes what came back since the last report; lost with it, a probe is sent anew after a minute.
    pub(crate) fn take(&mut self) -> Vec<ProbeResult> {
        std::mem::take(&mut self.answered)
    }

    pub(crate) fn has_news(&self) -> bool {
        !self.answered.is_empty()
    }
}

/// Sends a probe; from a root callback.
pub(crate) fn ask(probe: Probe) {
    let has_room = vm::with(|vm| vm.prober.asked.len() < CAPACITY);
    if !has_room {
        return;
    }
    let mut headers = vec![
        (":method", "GET"),
        (":authority", probe.authority.as_str()),
        (":path", probe.path.as_str()),
        (":scheme", if probe.tls { "https" } else { "http" }),
        ("accept", "application/json"),
        ("user-agent", "weir"),
    ];
    let more = probe.headers.iter();
    headers.extend(more.map(|header| (header.name.as_str(), header.value.as_str())));
    match host::http_call(&probe.cluster, headers, TIMEOUT) {
        Some(call) => vm::with(|vm| vm.prober.asked.push((call, probe.probe_id))),
        None => note(probe.probe_id, 0, Vec::new()),
    }
}

/// Takes the answer to a call; in its callback.
pub(crate) fn answered(call: u32, body_size: usize) {
    let probe = vm::with(|vm| {
        let asked = &mut vm.prober.asked;
        let place = asked.iter().position(|(asked, _)| *asked == call)?;
        Some(asked.swap_remove(place).1)
    });
    let Some(probe) = probe else { return };
    let status = host::http_answer_status().unwrap_or_default();
    let body = host::http_answer_body(body_size.min(BODY_BYTES));
    note(probe, status, body);
}

fn note(probe_id: Vec<u8>, status: u16, body: Vec<u8>) {
    vm::with(|vm| {
        if vm.prober.answered.len() < CAPACITY {
            vm.prober.answered.push(ProbeResult {
                probe_id,
                status: u32::from(status),
                body,
            });
        }
    });
}

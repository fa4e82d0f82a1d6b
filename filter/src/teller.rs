//! Carries between the desk of this VM and the ledger of the service: what was settled, what is kept, what more is
//! needed. From root callbacks, so that answers arrive whatever became of the stream.

use std::collections::HashMap;
use std::time::Duration;

use engine::Input;
use engine::messages::{CallId, ConsultAnswer, ConsultKind};
use policy::ids::GrantId;
use policy::quota::lease::{GrantRequest, Progress, Return, Running, Settlement};
use policy::units::Timestamp;
use prost::Message as _;
use wire::mesh;
use wire::quota::{Keep, Kept};

use crate::consult;
use crate::credit;
use crate::govern;
use crate::host;
use crate::spares;
use crate::vm;

/// How long a grant is waited for; shorter than the engine's own deadline, which is the watchdog.
pub(crate) const GRANT_TIMEOUT: Duration = Duration::from_millis(800);
const KEEP_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause after a message that nobody took.
const RETRY_MS: u64 = 250;
/// Running exchanges in one message.
const RUNNING: usize = 512;

/// What is under way to the ledger.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    call: Option<u32>,
    /// What the call under way settles, and which leases it keeps.
    settling: Vec<Settlement>,
    keeping: Vec<GrantId>,
    not_before: Timestamp,
    /// Questions to ask, by the serial number of their exchange.
    later: Vec<(u64, CallId, ConsultKind)>,
    /// What is asked: a grant, or something else.
    asked: HashMap<u32, (u64, CallId, Option<GrantRequest>)>,
}

impl Teller {
    /// Takes a question for the next tick.
    pub(crate) fn ask_later(&mut self, serial: u64, call: CallId, kind: ConsultKind) {
        self.later.push((serial, call, kind));
    }
}

/// Asks for an exchange, from a callback of the root; returns the answer if there is no need to wait for it.
pub(crate) fn ask(
    cluster: &str,
    serial: u64,
    call: CallId,
    kind: ConsultKind,
) -> Option<ConsultAnswer> {
    match consult::ask(cluster, kind) {
        Ok((token, grant)) => {
            vm::with(|vm| vm.teller.asked.insert(token, (serial, call, grant)));
            None
        }
        Err(answer) => Some(answer),
    }
}

/// Asks and tells what there is; from the root's tick.
pub(crate) fn tick(cluster: &str, now: Timestamp) {
    let later = vm::with(|vm| std::mem::take(&mut vm.teller.later));
    for (serial, call, kind) in later {
        if let Some(answer) = ask(cluster, serial, call, kind) {
            deliver(cluster, now, serial, call, None, answer);
        }
    }
    let (lent, unused) = vm::with(|vm| {
        let mut desk = vm.desk.borrow_mut();
        (desk.lend(now), desk.unused_credit())
    });
    credit::give_back(&unused);
    let homeless = spares::lend(now, &lent);
    vm::with(|vm| vm.desk.borrow_mut().give_back(homeless));
    keep(cluster, now);
}

fn keep(cluster: &str, now: Timestamp) {
    let is_idle = vm::with(|vm| {
        vm.desk.borrow_mut().tell_time(now);
        vm.teller.call.is_none() && now >= vm.teller.not_before
    });
    if !is_idle {
        return;
    }
    let running = running(now);
    vm::with(|vm| {
        let told = vm.desk.borrow_mut().keep_message(now, !running.is_empty());
        let Some(mut told) = told else { return };
        // Whichever VM keeps its own leases keeps those of the spares as well.
        if told.is_keeping {
            told.keep.extend(spares::grants(now));
        }
        let keep = Keep {
            progress: Progress {
                holder: told.holder,
                keep: told.keep,
                running,
            },
            settlements: told.settlements,
            back: Return {
                taken: told.returned,
            },
        };
        let message = mesh::KeepRequest::from(&keep).encode_to_vec();
        vm.teller.settling = keep.settlements;
        vm.teller.keeping = keep.progress.keep;
        vm.teller.call = host::call(cluster, "Keep", &message, KEEP_TIMEOUT);
        if vm.teller.call.is_none() {
            failed(vm, now);
        }
    });
}

fn failed(vm: &mut vm::Vm, now: Timestamp) {
    let settling = std::mem::take(&mut vm.teller.settling);
    vm.desk.borrow_mut().keep_failed(settling);
    vm.teller.not_before = Timestamp::from_millis(now.as_millis().saturating_add(RETRY_MS));
}

fn running(now: Timestamp) -> Vec<Running> {
    let exchanges = vm::with(|vm| vm.running());
    exchanges
        .iter()
        .filter_map(|running| running.try_borrow_mut().ok()?.exchange.running_holds(now))
        .take(RUNNING)
        .collect()
}

/// Takes the answer to a call; `false` when it was not one of these.
pub(crate) fn answered(cluster: &str, call: u32, status: u32, size: usize, now: Timestamp) -> bool {
    let asked = vm::with(|vm| vm.teller.asked.remove(&call));
    if let Some((serial, id, grant)) = asked {
        let answer = consult::read_answer(grant.as_ref(), status, size);
        deliver(cluster, now, serial, id, grant.as_ref(), answer);
        return true;
    }
    vm::with(|vm| {
        if vm.teller.call != Some(call) {
            return false;
        }
        vm.teller.call = None;
        let kept = (status == 0)
            .then(|| mesh::KeepAnswer::decode(host::answer(size).as_slice()).ok())
            .flatten()
            .and_then(|answer| Kept::try_from(&answer).ok());
        match kept {
            Some(kept) => {
                vm.teller.settling.clear();
                let mut lost = std::mem::take(&mut vm.teller.keeping);
                lost.retain(|grant| !kept.grants.contains(grant));
                let mut desk = vm.desk.borrow_mut();
                desk.kept(now, &kept.grants, &lost, kept.expires, &kept.wanted);
                desk.give_back(spares::tend(now, &kept, &lost));
            }
            None => failed(vm, now),
        }
        true
    })
}

/// Reads what the service said about a grant.
pub(crate) fn grant_answer(request: &GrantRequest, status: u32, size: usize) -> ConsultAnswer {
    let answer = (status == 0)
        .then(|| mesh::GrantAnswer::decode(host::answer(size).as_slice()).ok())
        .flatten()
        .and_then(|answer| answer.of(request.grant).ok());
    let Some(answer) = answer else {
        return ConsultAnswer::Unreachable;
    };
    credit::forget();
    ConsultAnswer::Grant(answer)
}

/// Hands an answer to the exchange that waits for it. If it is gone, what was granted goes back.
fn deliver(
    cluster: &str,
    now: Timestamp,
    serial: u64,
    call: CallId,
    request: Option<&GrantRequest>,
    answer: ConsultAnswer,
) {
    let found = vm::with(|vm| vm.find(serial));
    let Some(running) = found else {
        if let Some(request) = request {
            vm::with(|vm| {
                let mut desk = vm.desk.borrow_mut();
                desk.unanswered(request.grant, &request.asks);
            });
        }
        return;
    };
    let Ok(mut guard) = running.try_borrow_mut() else {
        return;
    };
    if !host::enter(guard.context) {
        return;
    }
    guard
        .exchange
        .handle(now, Input::Consulted { call, answer });
    govern::carry_out_late(now, &mut guard, cluster);
}

/// Tells what is left to tell, and gives everything back; at the VM's end.
pub(crate) fn last_words(cluster: &str, now: Timestamp) {
    vm::with(|vm| {
        let settling = std::mem::take(&mut vm.teller.settling);
        let mut desk = vm.desk.borrow_mut();
        desk.keep_failed(settling);
        for told in desk.last_messages(now) {
            let keep = Keep {
                progress: Progress {
                    holder: told.holder,
                    keep: Vec::new(),
                    running: Vec::new(),
                },
                settlements: told.settlements,
                back: Return {
                    taken: told.returned,
                },
            };
            let message = mesh::KeepRequest::from(&keep).encode_to_vec();
            host::call(cluster, "Keep", &message, KEEP_TIMEOUT);
        }
    });
}

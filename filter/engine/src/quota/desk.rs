//! Where exchanges of one VM are admitted: its leases, what it learned about sizes, and what the ledger must be told.

use std::collections::{BTreeMap, VecDeque};

use policy::ids::{ExchangeId, GrantId, HolderId, KeyId};
use policy::quota::estimate::Outputs;
use policy::quota::lease::{Ask, Granted, Settlement, Sureness, Taken, WindowKey};
use policy::quota::slices::{Hold, Need, Slices, Spare};
use policy::quota::{AccountId, Level, OnOutage, Unit};
use policy::units::{Timestamp, TokenCount};

use super::Line;
use crate::messages::Credit;
use crate::output_rates::OutputRates;

/// Keys, and models of each, whose outputs are remembered.
const LEARNED_KEYS: usize = 1_024;
const LEARNED_MODELS: usize = 16;
/// Accounts of which it is remembered how much was left.
const REMEMBERED: usize = 16_384;
/// Settlements in one message.
const SETTLEMENTS: usize = 512;
/// Settlements that may wait for the service; more exchanges are not admitted then.
const UNSETTLED: usize = 65_536;
/// Slices that this VM did not use for so long are for all VMs of the process.
const UNUSED_MS: u64 = 1_000;
/// Slices that nobody used for so long go back.
pub const IDLE_MS: u64 = 10_000;
/// Leases are kept at least so often.
const KEEP_EVERY_MS: u64 = 1_000;
/// Rolling windows are counted in so many parts.
const WIDTHS: u64 = 60;
/// An account is asked for more along with others when what is free of it is less than so many times the need.
const TOP_UP: u64 = 8;

/// The desk of one VM.
#[derive(Debug)]
pub struct Desk {
    holder: HolderId,
    slices: Slices,
    outputs: BTreeMap<Option<KeyId>, BTreeMap<String, Outputs>>,
    pub(crate) rates: OutputRates,
    unsettled: VecDeque<Settlement>,
    /// How many settlements are on their way.
    sent: usize,
    returned: Vec<Taken>,
    unused_credit: Vec<Need>,
    known: BTreeMap<AccountId, Known>,
    now: Timestamp,
    kept_at: Timestamp,
    counters: DeskCounters,
}

/// What the ledger last said of an account.
#[derive(Clone, Copy, Debug)]
struct Known {
    left: u64,
    ends: Timestamp,
    window: WindowKey,
}

/// What is to be told the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepMessage {
    pub holder: HolderId,
    /// Whether leases are kept by this message.
    pub is_keeping: bool,
    pub keep: Vec<GrantId>,
    pub settlements: Vec<Settlement>,
    pub returned: Vec<Taken>,
}

/// What happened at this desk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeskCounters {
    /// Exchanges that quotas apply to.
    pub exchanges: u64,
    /// How many of them waited for the service, and for how long all together.
    pub waits: u64,
    pub wait_ms: u64,
    /// Grants asked for.
    pub grants: u64,
    /// Streams that were cut.
    pub cuts: u64,
    pub denials: BTreeMap<Denial, u64>,
}

/// A kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    pub reason: DenialReason,
    pub level: Level,
    pub unit: Unit,
}

/// Why a quota refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DenialReason {
    Exhausted,
    Contended,
    Unreachable,
}

impl DenialReason {
    /// Returns the name used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Contended => "contended",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Desk {
    /// Opens the desk of a VM of `holder`.
    pub fn new(holder: HolderId) -> Self {
        Self {
            holder,
            slices: Slices::default(),
            outputs: BTreeMap::new(),
            rates: OutputRates::default(),
            unsettled: VecDeque::new(),
            sent: 0,
            returned: Vec::new(),
            unused_credit: Vec::new(),
            known: BTreeMap::new(),
            now: Timestamp::default(),
            kept_at: Timestamp::default(),
            counters: DeskCounters::default(),
        }
    }

    /// Returns whose leases these are.
    pub fn holder(&self) -> HolderId {
        self.holder
    }

    /// Tells the time to whatever has no clock of its own.
    pub fn tell_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Returns the time that was told last.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns what happened here.
    pub fn counters(&self) -> &DeskCounters {
        &self.counters
    }

    pub(crate) fn counters_mut(&mut self) -> &mut DeskCounters {
        &mut self.counters
    }

    pub(crate) fn note_denial(&mut self, denial: Denial) {
        let count = self.counters.denials.entry(denial).or_default();
        *count = count.saturating_add(1);
    }

    /// Returns how many settlements the service has not acknowledged.
    pub fn unsettled(&self) -> usize {
        self.unsettled.len().saturating_add(self.sent)
    }

    /// Whether so much waits to be settled that nothing more may be admitted.
    pub fn is_full(&self) -> bool {
        self.unsettled() >= UNSETTLED
    }

    /// Holds `needs`, which are those of `lines`, all or nothing. What is strict is never taken from a slice that is
    /// here, but asked for.
    ///
    /// # Errors
    /// What to ask the ledger for.
    pub(crate) fn admit(
        &mut self,
        now: Timestamp,
        lines: &[Line],
        needs: &[Need],
    ) -> Result<Hold, Vec<Ask>> {
        self.tell_time(now);
        let is_asked = lines.iter().any(|line| line.is_strict);
        if !is_asked && let Ok(hold) = self.slices.hold(now, needs) {
            return Ok(hold);
        }
        let pairs = lines.iter().zip(needs);
        Err(pairs
            .filter_map(|(line, need)| self.ask(now, line, *need))
            .collect())
    }

    fn ask(&self, now: Timestamp, line: &Line, need: Need) -> Option<Ask> {
        let ask = |missing, want| Ask {
            quota: line.quota,
            part: line.part,
            account: line.account,
            need: missing,
            want,
        };
        if line.is_strict {
            return Some(ask(need.amount, need.amount));
        }
        let free = self.slices.free(now, need.account);
        let is_low = free < need.amount.saturating_mul(TOP_UP);
        let missing = need.amount.saturating_sub(free);
        is_low.then(|| ask(missing, self.slices.want(need).max(missing)))
    }

    /// Takes in what other VMs of the process lent.
    pub(crate) fn borrow_spares(&mut self, now: Timestamp, spares: &[Spare]) {
        for spare in spares {
            self.slices.borrow(now, spare);
            self.known.entry(spare.account).or_insert(Known {
                left: 0,
                ends: spare.ends,
                window: spare.window,
            });
        }
    }

    /// Takes out what other VMs of the process may use as well.
    pub fn lend(&mut self, now: Timestamp) -> Vec<Spare> {
        self.slices.lend(now, UNUSED_MS)
    }

    /// Gives back what nobody in the process uses.
    pub fn give_back(&mut self, taken: impl IntoIterator<Item = Taken>) {
        self.returned.extend(taken);
    }

    /// Holds what was granted for, right after [`granted`](Self::granted); `None` if others were faster.
    pub(crate) fn hold(&mut self, now: Timestamp, needs: &[Need]) -> Option<Hold> {
        self.slices.hold(now, needs).ok()
    }

    /// Returns what would have to be admitted on credit, within what policy allows.
    pub(crate) fn credit(&self, now: Timestamp, lines: &[Line], needs: &[Need]) -> Vec<Credit> {
        let uncovered = self.slices.uncovered(now, needs);
        let credit = |need: Need| {
            let line = lines.iter().find(|line| line.account == need.account);
            let cap = line.map_or(0, |line| match line.on_outage {
                _ if line.is_soft => u64::MAX,
                OnOutage::Allow { outage_cap } => outage_cap,
                OnOutage::Deny => 0,
            });
            Credit {
                account: need.account,
                amount: need.amount,
                cap,
            }
        };
        uncovered.into_iter().map(credit).collect()
    }

    /// Holds while the service is away; for what is not leased there is credit.
    pub(crate) fn hold_on_credit(&mut self, now: Timestamp, needs: &[Need]) -> Hold {
        let window = |account| {
            let known = self.known.get(&account);
            known.map_or_else(WindowKey::default, |known| known.window)
        };
        self.slices.hold_on_credit(now, needs, &window)
    }

    /// Takes out the credit that turned out not to be needed.
    pub fn unused_credit(&mut self) -> Vec<Need> {
        std::mem::take(&mut self.unused_credit)
    }

    /// Takes in what the ledger leased.
    pub fn granted(&mut self, now: Timestamp, granted: &Granted) {
        self.tell_time(now);
        self.slices.granted(now, granted);
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        for slice in &granted.slices {
            let known = Known {
                left: slice.left,
                ends: slice.ends,
                window: slice.window,
            };
            self.known.insert(slice.account, known);
        }
    }

    /// Gives back what may have been granted although nobody heard of it.
    pub fn unanswered(&mut self, grant: GrantId, asks: &[Ask]) {
        self.returned.extend(asks.iter().map(|ask| Taken {
            grant,
            account: ask.account,
            amount: u64::MAX,
        }));
    }

    /// Returns what is left of an account by the ledger's last word and what is free here, and in how many
    /// milliseconds all of it is there again: at the window's end, or after the length of one that rolls.
    pub(crate) fn left(&self, account: AccountId) -> Option<(u64, u64)> {
        let known = self.known.get(&account)?;
        let free = self.slices.free(self.now, account);
        let resets_in = match known.window.width_ms {
            0 => known.ends.millis_since(self.now),
            width => width.saturating_mul(WIDTHS),
        };
        Some((known.left.saturating_add(free), resets_in))
    }

    /// Holds more for an exchange that runs; returns how much of it there was.
    pub(crate) fn extend(&mut self, hold: &mut Hold, need: Need) -> u64 {
        self.slices.extend(self.now, hold, need)
    }

    /// Settles one attempt of an exchange.
    pub(crate) fn settle(&mut self, hold: &mut Hold, attempt: Settled, used: &[(AccountId, u64)]) {
        let Settled {
            exchange,
            number,
            sureness,
            closes,
        } = attempt;
        let settlement = self.slices.settle(hold, exchange, number, sureness, used);
        self.unsettled.push_back(Settlement {
            closes,
            ..settlement
        });
    }

    /// Says of an exchange that was never admitted that nothing of it is to be presumed, whatever was granted for it.
    pub(crate) fn close_unadmitted(&mut self, exchange: ExchangeId, began: Timestamp) {
        self.unsettled.push_back(Settlement {
            exchange,
            attempt: 1,
            admitted: began,
            sureness: Sureness::Exact,
            charges: Vec::new(),
            taken: Vec::new(),
            closes: true,
        });
    }

    /// Ends a hold. What was held of strict quotas goes back to the ledger at once.
    pub(crate) fn release(&mut self, now: Timestamp, hold: Hold, lines: &[Line]) {
        let unused = self.slices.release(now, hold);
        self.unused_credit.extend(unused);
        self.give_back_strict(lines);
    }

    /// Gives back what was granted of strict quotas and could not be used.
    pub(crate) fn give_back_strict(&mut self, lines: &[Line]) {
        for line in lines.iter().filter(|line| line.is_strict) {
            self.returned.extend(self.slices.give_back(line.account));
        }
    }

    /// Returns what key and model are likely to write.
    pub(crate) fn expected_output(
        &self,
        key: Option<KeyId>,
        model: &str,
        at_most: Option<TokenCount>,
    ) -> TokenCount {
        let of_key = self.outputs.get(&key);
        of_key.and_then(|models| models.get(model)).map_or_else(
            || Outputs::default().expected(at_most),
            |outputs| outputs.expected(at_most),
        )
    }

    /// Learns what key and model wrote.
    pub(crate) fn learn_output(&mut self, key: Option<KeyId>, model: &str, output: TokenCount) {
        if self.outputs.len() >= LEARNED_KEYS && !self.outputs.contains_key(&key) {
            self.outputs.pop_first();
        }
        let models = self.outputs.entry(key).or_default();
        if let Some(outputs) = models.get_mut(model) {
            return outputs.learn(output);
        }
        if models.len() >= LEARNED_MODELS {
            models.pop_first();
        }
        models.entry(model.to_owned()).or_default().learn(output);
    }

    /// Returns what is to be told the ledger now, `None` for nothing. `has_running`: there is something to tell
    /// about exchanges that run. Its settlements come back by [`keep_failed`](Self::keep_failed) if nobody took them.
    pub fn keep_message(&mut self, now: Timestamp, has_running: bool) -> Option<KeepMessage> {
        self.tell_time(now);
        self.slices.expire(now);
        // A clock that stepped back must not let leases end.
        let is_due = now < self.kept_at || now.millis_since(self.kept_at) >= KEEP_EVERY_MS;
        if is_due {
            self.returned.extend(self.slices.idle(now, IDLE_MS));
        }
        let has_news = has_running || !self.unsettled.is_empty() || !self.returned.is_empty();
        let keep = if is_due {
            self.slices.keep()
        } else {
            Vec::new()
        };
        let has_quotas = self.counters.exchanges > 0;
        if !(has_news || is_due && has_quotas) {
            return None;
        }
        if is_due {
            self.kept_at = now;
        }
        let sent = self.unsettled.len().min(SETTLEMENTS);
        let settlements: Vec<_> = self.unsettled.drain(..sent).collect();
        self.sent = sent;
        Some(KeepMessage {
            holder: self.holder,
            is_keeping: is_due,
            keep,
            settlements,
            returned: std::mem::take(&mut self.returned),
        })
    }

    /// Notes that the ledger took the last message: `kept` live until `expires`, `lost` do not live any more, and what
    /// is free of `wanted` goes back, because others need it.
    pub fn kept(
        &mut self,
        now: Timestamp,
        kept: &[GrantId],
        lost: &[GrantId],
        expires: Timestamp,
        wanted: &[AccountId],
    ) {
        self.sent = 0;
        self.slices.lost(lost);
        self.slices.kept(kept, expires);
        for account in wanted {
            self.returned.extend(self.slices.give_back(*account));
        }
        self.tell_time(now);
    }

    /// Returns everything that is left to tell, and gives all that is free back.
    pub fn last_messages(&mut self, now: Timestamp) -> Vec<KeepMessage> {
        self.returned.extend(self.slices.idle(now, 0));
        let unsettled: Vec<_> = self.unsettled.drain(..).collect();
        let mut messages: Vec<_> = unsettled
            .chunks(SETTLEMENTS)
            .map(|settlements| KeepMessage {
                holder: self.holder,
                is_keeping: false,
                keep: Vec::new(),
                settlements: settlements.to_vec(),
                returned: Vec::new(),
            })
            .collect();
        let returned = std::mem::take(&mut self.returned);
        match messages.last_mut() {
            Some(last) => last.returned = returned,
            None if returned.is_empty() => {}
            None => messages.push(KeepMessage {
                holder: self.holder,
                is_keeping: false,
                keep: Vec::new(),
                settlements: Vec::new(),
                returned,
            }),
        }
        messages
    }

    /// Notes that nobody answered the last message; what it settled is told again.
    pub fn keep_failed(&mut self, settlements: Vec<Settlement>) {
        self.sent = 0;
        for settlement in settlements.into_iter().rev() {
            self.unsettled.push_front(settlement);
        }
    }
}

/// Which attempt is settled, and how surely.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub exchange: ExchangeId,
    /// 0 for what counts at admission.
    pub number: u32,
    pub sureness: Sureness,
    pub closes: bool,
}

//! The ledger against a model of it: random entries, batches that fail before or after their commit, restarts, and a
//! clock that moves over every edge. The model knows no buckets and no rows: it keeps all leases and all charges, and
//! adds them up. After each entry both must say the same of every account, and no limit may be passed.

use std::collections::{BTreeMap, BTreeSet};

use policy::ids::{ExchangeId, GrantId, HolderId};
use policy::quota::lease::*;
use policy::quota::{AccountId, Holds, Period, QuotaNode, QuotaRules, Unit};
use policy::units::Timestamp;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use super::fixture::*;
use crate::ledger::Quotas;
use crate::ledger::batch::{self, Answer, Batch, Entry, Owners};
use crate::ledger::entries::LeaseTimes;
use crate::ledger::shelf::ShelfError;
use crate::ledger::sql::SqliteShelf;

const STEPS: usize = 100_000;
const LEASE_MS: u64 = 15_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 3_600_000;
/// Quotas 1 to 4, of which exchanges only use what they hold, and 5, where they use more at times.
const QUOTAS: [u128; 5] = [1, 2, 3, 4, 5];

fn rules(number: u128) -> QuotaRules {
    let node = QuotaNode::Organisation;
    let new = |unit, limit, window| QuotaRules::new(node, unit, limit, window);
    match number {
        1 => new(Unit::MicroUsd, 3_000, calendar(Period::Hour, "UTC")),
        2 => new(Unit::TotalTokens, 900, rolling(MINUTE)),
        3 => QuotaRules {
            holds: Holds::Strict,
            ..new(Unit::OutputTokens, 2_000, calendar(Period::Hour, "UTC"))
        },
        4 => new(Unit::Concurrent, 20, None),
        _ => new(Unit::TotalTokens, 2_000, rolling(10 * MINUTE)),
    }
}

/// When what is counted at `at` stops to count at `now`, by the definition of each window.
fn counts(number: u128, at: u64, now: u64) -> bool {
    let rolls = |duration: u64| {
        let width = duration / 60;
        at / width >= (now - duration) / width
    };
    match number {
        1 | 3 => at / HOUR >= now / HOUR,
        2 => rolls(MINUTE),
        4 => false,
        _ => rolls(10 * MINUTE),
    }
}

#[derive(Clone, Debug)]
struct Lease {
    holder: HolderId,
    exchange: ExchangeId,
    granted: u64,
    expires: u64,
    slices: BTreeMap<u128, u64>,
}

impl Lease {
    /// Whether what the lease still has counts at `now`: calendar windows leave theirs behind.
    fn counts(&self, number: u128, now: u64) -> bool {
        match number {
            1 | 3 => self.granted / HOUR >= now / HOUR,
            _ => true,
        }
    }
}

#[derive(Clone, Debug)]
struct Charge {
    sureness: Sureness,
    at: u64,
    /// Account, when it was admitted, how much.
    amounts: Vec<(u128, u64, u64)>,
}

#[derive(Clone, Debug)]
struct Run {
    admitted: u64,
    reported: u64,
    holds: Vec<RunningHold>,
}

#[derive(Clone, Debug, Default)]
struct Model {
    leases: BTreeMap<GrantId, Lease>,
    charges: BTreeMap<(ExchangeId, u32), Charge>,
    running: BTreeMap<(ExchangeId, u32), Run>,
    /// What was charged beyond what was leased for it: account, when, how much.
    beyond: Vec<(u128, u64, u64)>,
}

fn number(account: AccountId) -> u128 {
    Uuid::from_bytes(account.into_bytes()).as_u128()
}

fn sum<'a>(amounts: impl Iterator<Item = &'a (u128, u64, u64)>, of: u128, now: u64) -> u64 {
    let counted = amounts.filter(|(number, at, _)| *number == of && counts(of, *at, now));
    counted.map(|(_, _, amount)| amount).sum()
}

impl Model {
    fn spent(&self, of: u128, now: u64) -> u64 {
        let amounts = self.charges.values().flat_map(|charge| &charge.amounts);
        sum(amounts, of, now)
    }

    /// Returns what is leased of an account to a grant that is still there.
    fn left(&self, grant: GrantId, of: u128) -> u64 {
        self.leases
            .get(&grant)
            .and_then(|it| it.slices.get(&of))
            .copied()
            .unwrap_or(0)
    }

    fn note_beyond(&mut self, settlement: &Settlement) {
        let key = (settlement.exchange, settlement.attempt);
        for charge in &settlement.charges {
            let of = number(charge.account);
            let takes = settlement
                .taken
                .iter()
                .filter(|it| it.account == charge.account);
            let taken: u64 = takes.map(|it| it.amount.min(self.left(it.grant, of))).sum();
            let replaced = self.charges.iter().filter(|(it, charge)| {
                **it == key
                    || (settlement.closes && it.0 == key.0 && charge.sureness == Sureness::Presumed)
            });
            let replaced = replaced
                .flat_map(|it| &it.1.amounts)
                .filter(|it| it.0 == of);
            let covered = taken + replaced.map(|it| it.2).sum::<u64>();
            let beyond = charge.amount.saturating_sub(covered);
            self.beyond
                .push((of, settlement.admitted.as_millis(), beyond));
        }
    }

    fn held(&self, of: u128, now: u64) -> u64 {
        let leases = self.leases.values().filter(|lease| lease.counts(of, now));
        leases.filter_map(|lease| lease.slices.get(&of)).sum()
    }

    fn grant(&mut self, now: u64, request: &GrantRequest) -> Option<BTreeMap<u128, u64>> {
        if let Some(lease) = self.leases.get(&request.grant) {
            return Some(lease.slices.clone());
        }
        let mut slices = BTreeMap::new();
        for ask in &request.asks {
            let of = number(ask.account);
            let room = rules(of)
                .limit
                .checked_sub(self.spent(of, now) + self.held(of, now));
            let room = room.filter(|room| *room >= ask.need)?;
            let more = if rules(of).holds == Holds::Strict {
                0
            } else {
                ask.want.min(room / 8)
            };
            slices.insert(of, ask.need.max(more));
        }
        let lease = Lease {
            holder: request.holder,
            exchange: request.exchange,
            granted: now,
            expires: now + LEASE_MS,
            slices: slices.clone(),
        };
        self.leases.insert(request.grant, lease);
        Some(slices)
    }

    fn take(&mut self, taken: &[Taken]) {
        for Taken {
            grant,
            account,
            amount,
        } in taken
        {
            let Some(lease) = self.leases.get_mut(grant) else {
                continue;
            };
            if let Some(left) = lease.slices.get_mut(&number(*account)) {
                *left = left.saturating_sub(*amount);
            }
            if lease.slices.values().all(|left| *left == 0) {
                self.leases.remove(grant);
            }
        }
    }

    fn settle(&mut self, settlement: &Settlement) {
        let key = (settlement.exchange, settlement.attempt);
        if self
            .charges
            .get(&key)
            .is_some_and(|it| it.sureness >= settlement.sureness)
        {
            return;
        }
        self.note_beyond(settlement);
        self.take(&settlement.taken);
        let at = settlement.admitted.as_millis();
        let amounts = settlement
            .charges
            .iter()
            .map(|it| (number(it.account), at, it.amount));
        let charge = Charge {
            sureness: settlement.sureness,
            at,
            amounts: amounts.collect(),
        };
        self.charges.insert(key, charge);
        self.running.remove(&key);
        if settlement.closes {
            self.running.retain(|(exchange, _), _| *exchange != key.0);
            for (other, charge) in &mut self.charges {
                if other.0 == key.0 && other.1 != key.1 && charge.sureness == Sureness::Presumed {
                    charge.amounts.clear();
                    charge.sureness = Sureness::Estimated;
                }
            }
        }
    }

    fn progress(&mut self, now: u64, progress: &Progress) {
        for id in &progress.keep {
            if let Some(lease) = self.leases.get_mut(id)
                && lease.holder == progress.holder
            {
                lease.expires = lease.expires.max(now + LEASE_MS);
            }
        }
        for running in &progress.running {
            let key = (running.exchange, running.attempt);
            if self
                .charges
                .get(&key)
                .is_some_and(|it| it.sureness > Sureness::Presumed)
            {
                continue;
            }
            let admitted = running.admitted.as_millis();
            let (live, ended): (Vec<RunningHold>, Vec<RunningHold>) = running
                .holds
                .iter()
                .partition(|hold| self.leases.contains_key(&hold.grant));
            for hold in ended.iter().filter(|hold| number(hold.account) != 4) {
                let of = number(hold.account);
                let amounts = self.charges.get(&key).map_or(&[][..], |it| &it.amounts);
                let charged = amounts.iter().filter(|it| it.0 == of).map(|it| it.2).sum();
                let more = hold.so_far.saturating_sub(charged);
                if more > 0 {
                    let nothing = || Charge {
                        sureness: Sureness::Presumed,
                        at: admitted,
                        amounts: Vec::new(),
                    };
                    let charge = self.charges.entry(key).or_insert_with(nothing);
                    charge.amounts.push((of, admitted, more));
                    self.beyond.push((of, admitted, more));
                }
            }
            if live.is_empty() {
                self.running.remove(&key);
                continue;
            }
            let run = Run {
                admitted,
                reported: now,
                holds: live,
            };
            self.running.insert(key, run);
        }
    }

    fn end(&mut self, now: u64, ends: impl Fn(&Lease) -> bool) {
        let ended: Vec<_> = self
            .leases
            .iter()
            .filter(|it| ends(it.1))
            .map(|it| *it.0)
            .collect();
        for id in ended {
            let lease = self.leases.remove(&id).unwrap();
            let mut known = BTreeSet::new();
            let mut presumed = Vec::new();
            for (key, run) in &mut self.running {
                for hold in run.holds.extract_if(.., |hold| hold.grant == id) {
                    known.insert(number(hold.account));
                    let grown = hold.so_far + hold.per_second * (now - run.reported) / 1_000;
                    let used = if hold.strict {
                        hold.held
                    } else {
                        grown.min(hold.held)
                    };
                    let amount = used.max(hold.so_far);
                    presumed.push((*key, number(hold.account), run.admitted, amount));
                }
            }
            self.running.retain(|_, run| !run.holds.is_empty());
            let reported = |it: (&(ExchangeId, u32), &Charge)| {
                it.0.0 == lease.exchange && it.0.1 >= 1 && it.1.sureness > Sureness::Presumed
            };
            if !self.charges.iter().any(reported) {
                let strict = lease
                    .slices
                    .iter()
                    .filter(|(of, _)| rules(**of).holds == Holds::Strict && !known.contains(*of));
                let charge =
                    |(of, left): (&u128, &u64)| ((lease.exchange, 1), *of, lease.granted, *left);
                presumed.extend(strict.map(charge));
            }
            for of in QUOTAS {
                let charged = presumed
                    .iter()
                    .filter(|it| it.1 == of)
                    .map(|it| it.3)
                    .sum::<u64>();
                let left = lease.slices.get(&of).copied().unwrap_or(0);
                self.beyond.push((of, now, charged.saturating_sub(left)));
            }
            for (key, of, at, amount) in presumed.into_iter().filter(|it| it.3 > 0 && it.1 != 4) {
                let nothing = || Charge {
                    sureness: Sureness::Presumed,
                    at: now,
                    amounts: Vec::new(),
                };
                let charge = self.charges.entry(key).or_insert_with(nothing);
                if charge.sureness == Sureness::Presumed {
                    charge.amounts.push((of, at, amount));
                }
            }
        }
    }

    fn apply(&mut self, now: u64, entry: &Entry) -> Option<Option<BTreeMap<u128, u64>>> {
        match entry {
            Entry::Grant(request) => return Some(self.grant(now, request)),
            Entry::Settle(settlements) => settlements.iter().for_each(|it| self.settle(it)),
            Entry::Progress(progress) => self.progress(now, progress),
            Entry::Return(back) => self.take(&back.taken),
            Entry::Lost(holder) => self.end(now, |lease| lease.holder == *holder),
            Entry::Sweep => self.end(now, |lease| lease.expires <= now),
            Entry::Reset(_) | Entry::Look(_) | Entry::History(..) => {}
        }
        None
    }

    /// What is long settled has no part in what comes.
    fn forget(&mut self, now: u64) {
        let counts_still = |(of, at, _): &(u128, u64, u64)| counts(*of, *at, now);
        self.charges
            .retain(|_, it| it.at + MINUTE > now || it.amounts.iter().any(counts_still));
        self.beyond.retain(|it| it.2 > 0 && counts_still(it));
    }
}

/// Draws entries that filters could send: they settle what they were granted, sometimes twice, late or never.
struct Filters {
    random: StdRng,
    now: u64,
    ids: u128,
    /// What was granted and not settled: the exchange, when, and what of it.
    open: Vec<(u128, u64, Granted)>,
    /// What was settled and may be told again.
    told: Vec<Settlement>,
}

impl Filters {
    fn holder(&mut self) -> HolderId {
        HolderId::new(Uuid::from_u128(self.random.random_range(1..=3)))
    }

    fn entry(&mut self) -> Entry {
        match self.random.random_range(0..100) {
            0..40 => self.grant(),
            40..72 => self.settle(),
            72..80 => self.progress(),
            80..86 => self.give_back(),
            86..90 if !self.told.is_empty() => {
                let again = self.told.choose(&mut self.random).unwrap().clone();
                Entry::Settle(vec![again])
            }
            90..91 => Entry::Lost(self.holder()),
            _ => Entry::Sweep,
        }
    }

    fn grant(&mut self) -> Entry {
        self.ids += 1;
        let mut asks = Vec::new();
        for quota in QUOTAS {
            if self.random.random_bool(0.6) {
                let most = if quota == 4 { 2 } else { 120 };
                let need = self.random.random_range(1..=most);
                let want = need + self.random.random_range(0..=most * 4);
                asks.push(asks_up_to(quota, need, want));
            }
        }
        let holder = self.holder();
        Entry::Grant(GrantRequest {
            holder,
            ..request(self.ids, asks)
        })
    }

    fn settle(&mut self) -> Entry {
        if self.open.is_empty() {
            return Entry::Sweep;
        }
        let which = self.random.random_range(0..self.open.len());
        let (id, admitted, granted) = self.open.swap_remove(which);
        let sureness = if self.random.random_bool(0.8) {
            Sureness::Exact
        } else {
            Sureness::Estimated
        };
        let attempt = self.random.random_range(1..=2);
        let mut settlement = Settlement {
            attempt,
            sureness,
            charges: Vec::new(),
            taken: Vec::new(),
            closes: attempt == 2 || self.random.random_bool(0.8),
            ..settlement(id, Timestamp::from_millis(admitted), &granted, 0)
        };
        for slice in granted.slices.iter().filter(|it| number(it.account) != 4) {
            let used = self.random.random_range(0..=slice.amount);
            let beyond = if number(slice.account) == 5 && self.random.random_bool(0.05) {
                self.random.random_range(0..=50)
            } else {
                0
            };
            settlement.charges.push(charge(slice, used + beyond));
            let taken = Taken {
                grant: granted.grant,
                account: slice.account,
                amount: self.random.random_range(used..=slice.amount),
            };
            settlement.taken.push(taken);
        }
        if sureness == Sureness::Estimated {
            // What is known in the end may be less or the same; more would need more of the slice.
            let mut exact = Settlement {
                sureness: Sureness::Exact,
                taken: Vec::new(),
                ..settlement.clone()
            };
            for charge in &mut exact.charges {
                charge.amount -= self.random.random_range(0..=charge.amount);
            }
            self.told.push(exact);
        }
        self.told.push(settlement.clone());
        if self.told.len() > 64 {
            self.told.drain(..32);
        }
        Entry::Settle(vec![settlement])
    }

    fn progress(&mut self) -> Entry {
        let holder = self.holder();
        let mut progress = Progress {
            holder,
            keep: Vec::new(),
            running: Vec::new(),
        };
        for (id, admitted, granted) in &self.open {
            if self.random.random_bool(0.3) {
                progress.keep.push(granted.grant);
            }
            if self.random.random_bool(0.1) {
                let hold = |slice: &Slice| RunningHold {
                    grant: granted.grant,
                    account: slice.account,
                    window: slice.window,
                    held: slice.amount,
                    so_far: slice.amount / 3,
                    per_second: 1 + slice.amount / 20,
                    strict: number(slice.account) == 3,
                };
                progress.running.push(Running {
                    exchange: exchange_id(*id),
                    attempt: 1,
                    admitted: Timestamp::from_millis(*admitted),
                    holds: granted.slices.iter().map(hold).collect(),
                });
            }
        }
        Entry::Progress(progress)
    }

    fn give_back(&mut self) -> Entry {
        if self.open.is_empty() {
            return Entry::Sweep;
        }
        let which = self.random.random_range(0..self.open.len());
        let (_, _, granted) = self.open.swap_remove(which);
        let taken = granted.slices.iter().map(|slice| Taken {
            grant: granted.grant,
            account: slice.account,
            amount: if self.random.random_bool(0.5) {
                u64::MAX
            } else {
                slice.amount
            },
        });
        Entry::Return(Return {
            taken: taken.collect(),
        })
    }
}

/// How a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Answered,
    /// The process dies before the commit.
    Lost,
    /// The process dies after the commit, before anyone has an answer: all is asked again.
    Unanswered,
}

struct Comparison {
    path: std::path::PathBuf,
    shelf: SqliteShelf,
    quotas: Quotas,
    owners: Owners,
    model: Model,
    filters: Filters,
    /// What there was of it, so that the test shows that it tested something.
    granted: usize,
    exhausted: usize,
    contended: usize,
    deaths: usize,
}

impl Comparison {
    async fn batch(&mut self) -> usize {
        let size = self.filters.random.random_range(1..=40);
        let entries: Vec<Entry> = (0..size).map(|_| self.filters.entry()).collect();
        let looks = || Entry::Look(QUOTAS.map(|quota| ask(quota, 0)).to_vec());
        let with_looks: Vec<Entry> = entries
            .iter()
            .flat_map(|it| [it.clone(), looks()])
            .collect();
        let end = match self.filters.random.random_range(0..40) {
            0 => End::Lost,
            1 => End::Unanswered,
            _ => End::Answered,
        };
        if end == End::Lost {
            self.die_before_commit(&with_looks).await;
            return 0;
        }
        let answers = self.run(&with_looks).await;
        self.compare(&entries, &answers);
        if end == End::Unanswered {
            self.restart().await;
            let not_returns = |it: &&Entry| !matches!(it, Entry::Return(_));
            let again: Vec<_> = entries.iter().filter(not_returns).cloned().collect();
            let again: Vec<_> = again.iter().flat_map(|it| [it.clone(), looks()]).collect();
            let answers = self.run(&again).await;
            let again: Vec<_> = again.into_iter().step_by(2).collect();
            self.compare(&again, &answers);
        }
        size
    }

    async fn run(&mut self, entries: &[Entry]) -> Vec<Answer> {
        self.try_run(entries).await.unwrap()
    }

    async fn try_run(&mut self, entries: &[Entry]) -> Result<Vec<Answer>, ShelfError> {
        let batch = Batch {
            quotas: &self.quotas,
            now: Timestamp::from_millis(self.filters.now),
            times: LeaseTimes { lease_ms: LEASE_MS },
        };
        let ran = batch::run(&mut self.shelf, &batch, &mut self.owners, entries).await?;
        Ok(ran.answers.into_iter().map(Result::unwrap).collect())
    }

    /// Dies while the batch is written. Batches that do not touch leases are written all the same.
    async fn die_before_commit(&mut self, entries: &[Entry]) {
        let trap = "CREATE TEMP TRIGGER dies BEFORE UPDATE ON quota_leases \
                    BEGIN SELECT RAISE (ABORT, 'dies'); END;
                    CREATE TEMP TRIGGER dies_too BEFORE INSERT ON quota_leases \
                    BEGIN SELECT RAISE (ABORT, 'dies'); END;
                    CREATE TEMP TRIGGER dies_also BEFORE DELETE ON quota_leases \
                    BEGIN SELECT RAISE (ABORT, 'dies'); END;";
        self.shelf.run("set a trap", trap).await.unwrap();
        let ran = self.try_run(entries).await;
        self.restart().await;
        if let Ok(answers) = ran {
            let entries: Vec<_> = entries.iter().cloned().step_by(2).collect();
            self.compare(&entries, &answers);
        } else {
            self.deaths += 1;
        }
    }

    async fn restart(&mut self) {
        self.shelf = SqliteShelf::open(&self.path).await.unwrap();
        self.owners = Owners::default();
    }

    /// Both must have decided the same, and must say the same of every account after every entry.
    fn compare(&mut self, entries: &[Entry], answers: &[Answer]) {
        let now = self.filters.now;
        for (entry, pair) in entries.iter().zip(answers.chunks(2)) {
            let [answer, Answer::Figures(figures)] = pair else {
                panic!("an entry and a look have two answers");
            };
            let granted = self.model.apply(now, entry);
            if let (Some(wanted), Entry::Grant(request)) = (&granted, entry) {
                self.compare_grant(request, wanted.as_ref(), answer);
            }
            for (quota, figures) in QUOTAS.into_iter().zip(figures) {
                let want = (self.model.spent(quota, now), self.model.held(quota, now));
                let got = (figures.used.spent, figures.used.held);
                assert_eq!(got, want, "quota {quota} after {entry:?} at {now}");
                // Strict quotas are never passed; others by what was charged beyond its lease.
                let beyond = if quota == 3 {
                    0
                } else {
                    sum(self.model.beyond.iter(), quota, now)
                };
                let bound = rules(quota).limit + beyond;
                assert!(
                    got.0 + got.1 <= bound,
                    "quota {quota} is passed: {got:?} of {bound}"
                );
            }
        }
    }

    fn compare_grant(
        &mut self,
        request: &GrantRequest,
        wanted: Option<&BTreeMap<u128, u64>>,
        answer: &Answer,
    ) {
        match answer {
            Answer::Grant(GrantAnswer::Granted(granted)) => {
                let got = granted
                    .slices
                    .iter()
                    .map(|it| (number(it.account), it.amount));
                assert_eq!(Some(&got.collect()), wanted, "{request:?}");
                let id = request.exchange.uuid().as_u128();
                let now = self.filters.now;
                self.filters.open.retain(|it| it.0 != id);
                if !granted.slices.is_empty() {
                    self.filters.open.push((id, now, granted.clone()));
                }
                self.granted += 1;
            }
            Answer::Grant(GrantAnswer::Refused(refusal)) => {
                assert_eq!(wanted, None, "{request:?}");
                let fits = |ask: &Ask| {
                    let of = number(ask.account);
                    self.model.spent(of, self.filters.now) + ask.need <= rules(of).limit
                };
                let kind = if request.asks.iter().all(fits) {
                    self.contended += 1;
                    RefusalKind::Contended
                } else {
                    self.exhausted += 1;
                    RefusalKind::Exhausted
                };
                assert_eq!(refusal.kind, kind, "{request:?}");
            }
            Answer::Progress(_)
            | Answer::Figures(_)
            | Answer::History(_)
            | Answer::Ended(_)
            | Answer::Done => {
                panic!("{request:?} was answered {answer:?}")
            }
        }
    }

    fn pass_time(&mut self) {
        let passed = match self.filters.random.random_range(0..100) {
            0..70 => self.filters.random.random_range(0..500),
            70..98 => self.filters.random.random_range(0..5_000),
            98 => self.filters.random.random_range(0..20 * MINUTE),
            _ => HOUR - self.filters.now % HOUR,
        };
        self.filters.now += passed;
        let now = self.filters.now;
        self.model.forget(now);
        // Nobody tells again what was long ago; the model forgets it, too.
        self.filters
            .told
            .retain(|it| it.admitted.as_millis() + MINUTE > now);
        // Most filters answer for what they have; some never do.
        let silent = LEASE_MS - 1_000;
        self.filters
            .open
            .retain(|(_, admitted, _)| now - admitted < silent);
    }
}

#[tokio::test]
async fn the_ledger_does_what_its_model_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut comparison = Comparison {
        shelf: SqliteShelf::open(&path).await.unwrap(),
        path,
        quotas: Quotas::new(QUOTAS.map(|number| quota(number, rules(number)))),
        owners: Owners::default(),
        model: Model::default(),
        filters: Filters {
            random: StdRng::seed_from_u64(20),
            now: NOON,
            ids: 0,
            open: Vec::new(),
            told: Vec::new(),
        },
        granted: 0,
        exhausted: 0,
        contended: 0,
        deaths: 0,
    };
    let mut steps = 0;
    while steps < STEPS {
        steps += comparison.batch().await;
        comparison.pass_time();
    }
    let Comparison {
        granted,
        exhausted,
        contended,
        deaths,
        ..
    } = comparison;
    let seen =
        format!("{granted} granted, {exhausted} exhausted, {contended} contended, {deaths} deaths");
    assert!(
        granted > 5_000 && exhausted > 500 && contended > 500 && deaths > 20,
        "{seen}"
    );
}

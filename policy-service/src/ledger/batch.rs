//! A batch: many entries, one transaction. What they touch is read once, they are decided one after another, and what
//! changed is written once; that is what makes thousands of durable grants a second possible on the same few accounts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use policy::ids::{ExchangeId, GrantId, HolderId, QuotaId};
use policy::quota::AccountId;
use policy::quota::covering::Part;
use policy::quota::lease::{
    Ask, GrantAnswer, GrantRequest, Progress, Return, Running, Settlement, WindowKey,
};
use policy::units::Timestamp;

use super::books::{Account, Books, Bucket, Used};
use super::entries::{self, Kept, LeaseTimes};
use super::shelf::{Committed, Shelf, ShelfError, Shelved};
use super::tally::Noted;
use super::terms::{Quotas, Terms, TermsAt};
use super::window::{Window, WindowError};

/// Expired leases that are ended in one batch.
const EXPIRED_AT_ONCE: u32 = 256;
/// How often a batch is tried again when another writer was faster.
const ATTEMPTS: u32 = 64;
/// Accounts whose quota is remembered, for alerts. Forgetting one delays its alerts until its next grant.
const REMEMBERED: usize = 200_000;

/// Something to be decided.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Grant(GrantRequest),
    Settle(Vec<Settlement>),
    Progress(Progress),
    Return(Return),
    /// A holder is gone: all its leases end as if they had expired.
    Lost(HolderId),
    Reset(Vec<Ask>),
    Look(Vec<Ask>),
    /// What an account used, by window, since a moment.
    History(AccountId, Timestamp),
    /// Ends what expired.
    Sweep,
}

/// What became of an entry.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Grant(GrantAnswer),
    Progress(Kept),
    Figures(Vec<Figures>),
    History(Vec<(Timestamp, Bucket)>),
    /// How many leases ended.
    Ended(u64),
    Done,
}

/// How an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    pub account: AccountId,
    pub used: Used,
    /// What may be used before requests are refused; `None` when none ever are.
    pub ceiling: Option<u64>,
    pub window: Window,
}

/// A share of a limit was used up; told once in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    pub quota: QuotaId,
    pub account: AccountId,
    pub percent: u16,
    pub spent: u64,
    pub limit: u64,
    pub window: WindowKey,
}

/// Which quota an account belongs to, as far as someone asked for it.
#[derive(Debug, Default)]
pub(crate) struct Owners(HashMap<AccountId, (QuotaId, Part)>);

impl Owners {
    pub(crate) fn quota_of(&self, account: AccountId) -> Option<QuotaId> {
        self.0.get(&account).map(|(quota, _)| *quota)
    }

    fn note(&mut self, ask: &Ask) {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(ask.account, (ask.quota, ask.part));
    }
}

/// What a batch did.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// One for each entry, in order.
    pub(crate) answers: Vec<Result<Answer, WindowError>>,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) noted: Noted,
}

/// Decides `entries` in one transaction.
pub(crate) async fn run<S: Shelf>(
    shelf: &mut S,
    batch: &Batch<'_>,
    owners: &mut Owners,
    entries: &[Entry],
) -> Result<Outcome, ShelfError> {
    for entry in entries {
        if let Entry::Grant(GrantRequest { asks, .. }) | Entry::Look(asks) = entry {
            asks.iter().for_each(|ask| owners.note(ask));
        }
    }
    for _ in 0..ATTEMPTS {
        match try_once(shelf, batch, owners, entries).await {
            Ok((Committed::Done, outcome)) => return Ok(outcome),
            Ok((Committed::Conflict, _)) => {}
            Err(failure) => {
                shelf.roll_back().await;
                return Err(failure);
            }
        }
    }
    Err(ShelfError::Conflict { attempts: ATTEMPTS })
}

/// What is the same for all entries of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'q> {
    pub(crate) quotas: &'q Quotas,
    pub(crate) now: Timestamp,
    pub(crate) times: LeaseTimes,
}

async fn try_once<S: Shelf>(
    shelf: &mut S,
    batch: &Batch<'_>,
    owners: &Owners,
    entries: &[Entry],
) -> Shelved<(Committed, Outcome)> {
    let mut terms_at = TermsAt::new(batch.quotas, batch.now);
    shelf.begin(batch.now).await?;
    let (mut books, ending) = Reading::of(entries)
        .read(shelf, batch, &mut terms_at, owners)
        .await?;
    let mut outcome = Outcome {
        answers: Vec::with_capacity(entries.len()),
        alerts: Vec::new(),
        noted: Noted::default(),
    };
    for entry in entries {
        let answer = decide(&mut books, batch, &mut terms_at, &ending, entry);
        outcome.answers.push(answer);
    }
    alert(&mut books, &mut terms_at, owners, &mut outcome.alerts);
    outcome.noted = std::mem::take(&mut books.noted);
    if books.changed.is_empty() {
        shelf.roll_back().await;
        return Ok((Committed::Done, outcome));
    }
    Ok((shelf.commit(&books).await?, outcome))
}

fn decide(
    books: &mut Books,
    batch: &Batch<'_>,
    terms_at: &mut TermsAt<'_>,
    ending: &Ending,
    entry: &Entry,
) -> Result<Answer, WindowError> {
    let Batch { now, times, .. } = *batch;
    let mut terms = |asks: &[Ask]| -> Result<Vec<Terms>, WindowError> {
        asks.iter().map(|ask| terms_at.of(ask)).collect()
    };
    Ok(match entry {
        Entry::Grant(request) => {
            let terms = terms(&request.asks)?;
            Answer::Grant(entries::grant(books, now, times, request, &terms))
        }
        Entry::Settle(settlements) => {
            for settlement in settlements {
                entries::settle(books, now, settlement);
            }
            Answer::Done
        }
        Entry::Progress(progress) => {
            Answer::Progress(entries::progress(books, now, times, progress))
        }
        Entry::Return(back) => {
            entries::give_back(books, &back.taken);
            Answer::Done
        }
        Entry::Lost(holder) => {
            let of = |(_, lease): &(&GrantId, &super::books::Lease)| lease.holder == *holder;
            let gone: Vec<_> = books.leases.iter().filter(of).map(|(id, _)| *id).collect();
            entries::expire(books, now, &gone);
            Answer::Ended(gone.len() as u64)
        }
        Entry::Sweep => {
            let old = |id: &&GrantId| books.leases.get(*id).is_some_and(|it| it.expires <= now);
            let expired: Vec<_> = ending.expired.iter().filter(old).copied().collect();
            entries::expire(books, now, &expired);
            Answer::Ended(expired.len() as u64)
        }
        Entry::Reset(asks) => {
            let terms = terms(asks)?;
            let figures = terms.iter().map(|terms| Figures {
                used: entries::reset(books, now, terms),
                ..figures(books, terms)
            });
            Answer::Figures(figures.collect())
        }
        Entry::History(account, since) => {
            let buckets = books.accounts.get(account).map(|account| {
                let since = since.as_millis().max(1);
                let buckets = account.buckets.range(since..);
                buckets
                    .map(|(start, bucket)| (Timestamp::from_millis(*start), *bucket))
                    .collect()
            });
            Answer::History(buckets.unwrap_or_default())
        }
        Entry::Look(asks) => {
            let terms = terms(asks)?;
            Answer::Figures(terms.iter().map(|terms| figures(books, terms)).collect())
        }
    })
}

fn figures(books: &Books, terms: &Terms) -> Figures {
    Figures {
        account: terms.account,
        used: books.used(terms.account, &terms.window),
        ceiling: terms.ceiling,
        window: terms.window,
    }
}

/// Tells thresholds that were passed, each once in a window; in a rolling one again after use fell below it.
fn alert(books: &mut Books, terms_at: &mut TermsAt<'_>, owners: &Owners, alerts: &mut Vec<Alert>) {
    let touched: BTreeSet<AccountId> = books.changed.buckets.iter().map(|it| it.0).collect();
    for account in touched {
        let Some((quota, part)) = owners.0.get(&account).copied() else {
            continue;
        };
        let Some((limit, thresholds)) = terms_at.alerts(quota, part) else {
            continue;
        };
        let Ok(terms) = terms_at.of(&bare_ask(account, quota, part)) else {
            continue;
        };
        let spent = books.used(account, &terms.window).spent;
        let percent = u128::from(spent) * 100 / u128::from(limit.max(1));
        let passed = |threshold: &&u16| u128::from(**threshold) <= percent;
        let highest = thresholds.iter().filter(passed).max().copied().unwrap_or(0);
        let window = terms.window.key;
        let told = books
            .accounts
            .get(&account)
            .and_then(|it| it.buckets.get(&window.start_ms));
        let told = told.map_or(0, |bucket| bucket.alerted);
        let rearmed = window.width_ms > 0 && highest < told;
        if highest <= told && !rearmed {
            continue;
        }
        books
            .bucket(account, window.start_ms, Timestamp::default())
            .alerted = highest;
        let new = thresholds
            .iter()
            .filter(|it| **it > told && **it <= highest);
        alerts.extend(new.map(|percent| Alert {
            quota,
            account,
            percent: *percent,
            spent,
            limit,
            window,
        }));
    }
}

fn bare_ask(account: AccountId, quota: QuotaId, part: Part) -> Ask {
    Ask {
        quota,
        part,
        account,
        need: 0,
        want: 0,
    }
}

/// Leases that a batch may end.
#[derive(Debug, Default)]
struct Ending {
    expired: Vec<GrantId>,
}

/// What entries touch, as far as they say so themselves.
#[derive(Debug, Default)]
struct Reading<'e> {
    grants: BTreeSet<GrantId>,
    exchanges: BTreeSet<ExchangeId>,
    /// Exchanges that grants are asked for.
    granted: BTreeSet<ExchangeId>,
    lost: BTreeSet<HolderId>,
    sweeps: bool,
    asks: Vec<&'e Ask>,
    histories: Vec<(AccountId, Timestamp)>,
    settlements: Vec<&'e Settlement>,
    running: Vec<&'e Running>,
}

impl<'e> Reading<'e> {
    fn of(entries: &'e [Entry]) -> Self {
        let mut reading = Self::default();
        for entry in entries {
            match entry {
                Entry::Grant(request) => {
                    reading.grants.insert(request.grant);
                    reading.granted.insert(request.exchange);
                    reading.asks.extend(&request.asks);
                }
                Entry::Settle(settlements) => {
                    for settlement in settlements {
                        reading.exchanges.insert(settlement.exchange);
                        reading
                            .grants
                            .extend(settlement.taken.iter().map(|it| it.grant));
                        reading.settlements.push(settlement);
                    }
                }
                Entry::Progress(progress) => {
                    reading.grants.extend(&progress.keep);
                    for running in &progress.running {
                        reading.exchanges.insert(running.exchange);
                        reading
                            .grants
                            .extend(running.holds.iter().map(|it| it.grant));
                        reading.running.push(running);
                    }
                }
                Entry::Return(back) => {
                    reading.grants.extend(back.taken.iter().map(|it| it.grant));
                }
                Entry::Lost(holder) => {
                    reading.lost.insert(*holder);
                }
                Entry::Reset(asks) | Entry::Look(asks) => reading.asks.extend(asks),
                Entry::History(account, since) => reading.histories.push((*account, *since)),
                Entry::Sweep => reading.sweeps = true,
            }
        }
        reading
    }

    async fn read<S: Shelf>(
        mut self,
        shelf: &mut S,
        batch: &Batch<'_>,
        terms_at: &mut TermsAt<'_>,
        owners: &Owners,
    ) -> Shelved<(Books, Ending)> {
        let mut books = Books::default();
        let mut ending = Ending::default();
        let grants: Vec<_> = self.grants.iter().copied().collect();
        books.leases = shelf.leases(&grants).await?;
        let mut ending_leases = BTreeMap::new();
        if self.sweeps {
            ending_leases = shelf.expired(batch.now, EXPIRED_AT_ONCE).await?;
            ending.expired = ending_leases.keys().copied().collect();
        }
        let lost: Vec<_> = self.lost.iter().copied().collect();
        ending_leases.extend(shelf.leases_of(&lost).await?);
        let holders: BTreeSet<HolderId> = ending_leases.values().map(|it| it.holder).collect();
        let holders: Vec<_> = holders.into_iter().collect();
        self.exchanges
            .extend(ending_leases.values().map(|it| it.exchange));
        if !lost.is_empty() {
            // What is granted in this very batch may end in it.
            self.exchanges.extend(self.granted.iter().copied());
        }
        books.leases.extend(ending_leases);
        books.running = shelf.running_of(&holders).await?;
        self.exchanges
            .extend(books.running.keys().map(|(exchange, _)| *exchange));
        let exchanges: Vec<_> = self.exchanges.iter().copied().collect();
        books.running.extend(shelf.running(&exchanges).await?);
        books.settled = shelf.settled(&exchanges).await?;
        let from = self.accounts(&books, terms_at, owners);
        books.accounts = shelf.accounts(&from).await?;
        for (account, from) in from {
            books.accounts.entry(account).or_default().from = from;
        }
        Ok((books, ending))
    }

    /// Returns every account that may be touched, and from which bucket on.
    fn accounts(
        &self,
        books: &Books,
        terms_at: &mut TermsAt<'_>,
        owners: &Owners,
    ) -> BTreeMap<AccountId, u64> {
        let mut from = From::default();
        for ask in &self.asks {
            // An ask without bounds is answered with its error; it touches nothing.
            if let Ok(terms) = terms_at.of(ask) {
                from.need(ask.account, terms.window.since_ms);
            }
        }
        for (account, since) in &self.histories {
            from.need(*account, since.as_millis().max(1));
        }
        for settlement in &self.settlements {
            for charge in &settlement.charges {
                from.need(charge.account, charge.window.bucket(settlement.admitted));
            }
        }
        for running in &self.running {
            for hold in &running.holds {
                from.need(hold.account, hold.window.bucket(running.admitted));
            }
        }
        for lease in books.leases.values() {
            for part in &lease.parts {
                from.need(part.account, part.window.start_ms);
                from.need(part.account, part.window.bucket(lease.granted));
            }
        }
        for attempt in books.running.values() {
            for hold in &attempt.holds {
                from.need(hold.account, hold.window.bucket(attempt.admitted));
            }
        }
        for charge in books.settled.values().flat_map(|settled| &settled.charges) {
            from.need(charge.account, charge.bucket);
        }
        let touched: Vec<AccountId> = from.0.keys().copied().collect();
        for account in touched {
            let Some((quota, part)) = owners.0.get(&account).copied() else {
                continue;
            };
            let tells = terms_at
                .alerts(quota, part)
                .is_some_and(|(_, it)| !it.is_empty());
            if let (true, Ok(terms)) = (tells, terms_at.of(&bare_ask(account, quota, part))) {
                from.need(account, terms.window.since_ms);
            }
        }
        from.0
    }
}

/// From which bucket on accounts are read.
#[derive(Debug, Default)]
struct From(BTreeMap<AccountId, u64>);

impl From {
    fn need(&mut self, account: AccountId, bucket: u64) {
        // Bucket 0 is always read.
        let bucket = if bucket == 0 {
            Account::ALL_LEFT_OUT
        } else {
            bucket
        };
        let from = self.0.entry(account).or_insert(Account::ALL_LEFT_OUT);
        *from = (*from).min(bucket);
    }
}

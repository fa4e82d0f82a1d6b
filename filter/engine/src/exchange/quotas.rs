//! Whether the quotas of an exchange have room for it, and what they are charged in the end.

use std::rc::Rc;

use dialects::refusal::RefusalCode;
use policy::ids::GrantId;
use policy::quota::covering::{Part, Target};
use policy::quota::lease::{
    Ask, GrantAnswer, GrantRequest, Refusal, RefusalKind, Running, Sureness,
};
use policy::quota::slices::{Hold, Need, Spare};
use policy::quota::{AccountId, Amount, Payer, Quota, Unit};
use policy::surface::Surface;
use policy::units::{Timestamp, TokenCount};

use super::body::{Waiting, WaitingFor};
use super::metering::Meter;
use super::target::Plan;
use super::{Exchange, State};
use crate::messages::{CallId, Command, ConsultAnswer, ConsultKind, Flow};
use crate::quota::{Denial, DenialReason, Line, Settled, Size};
use crate::record::{AttemptRecord, ExchangeRecord};

/// How long the service's answer about a grant is waited for.
const GRANT_DEADLINE_MS: u64 = 1_000;
/// How long the room that others hold is waited for at a time.
const TURN_MS: u64 = 200;
/// How often it is told what an exchange uses while it runs.
const RUNNING_EVERY_MS: u64 = 1_000;
/// First of the calls that are about grants.
const FIRST_CALL: u32 = 16;
/// What a client is told that asks for more than a limit ever allows: longer than any agent waits.
const NEVER_SECS: u32 = 3_600;

/// What an exchange is charged to, from its admission to its settlement.
#[derive(Debug)]
pub(super) struct Charging {
    pub lines: Vec<Line>,
    needs: Vec<Need>,
    pub hold: Option<Hold>,
    /// How many grants were asked for.
    asked: u32,
    /// The grant that an answer is still to come for.
    pub pending: Option<GrantRequest>,
    waiting_since: Option<Timestamp>,
    told_at: Option<Timestamp>,
    pub meter: Meter,
}

impl Exchange {
    /// Admits the request by its quotas and lets it go.
    pub(super) fn forward(&mut self, plan: Plan) -> Flow {
        let Some(charging) = self.charged(&plan) else {
            return self.let_go(plan);
        };
        let now = self.latest;
        let mut desk = self.seed.desk.borrow_mut();
        let exchanges = &mut desk.counters_mut().exchanges;
        *exchanges = exchanges.saturating_add(1);
        drop(desk);
        self.charging = Some(Box::new(charging));
        self.admit_on_leases(now, plan)
    }

    /// Looks at what other VMs of the process can spare, before the service is asked.
    fn find_spares(&mut self, plan: Plan, asks: &[Ask]) -> Flow {
        let is_shared = |account| self.line(account).is_some_and(|line| !line.is_strict);
        let short = asks
            .iter()
            .filter(|ask| ask.need > 0 && is_shared(ask.account));
        let wanted = short.map(|ask| Need {
            account: ask.account,
            amount: ask.want,
        });
        let wanted = wanted.collect();
        self.commands.push_back(Command::FindSpares(wanted));
        self.state = State::AwaitingSpares(Box::new(plan));
        Flow::Hold
    }

    /// The answer to [`Command::FindSpares`].
    pub(super) fn spares_found(&mut self, plan: Plan, spares: &[Spare]) -> Flow {
        let now = self.latest;
        let Some(charging) = &self.charging else {
            return self.let_go(plan);
        };
        let mut desk = self.seed.desk.borrow_mut();
        desk.borrow_spares(now, spares);
        let admitted = desk.admit(now, &charging.lines, &charging.needs);
        drop(desk);
        // The first question leaves from the stream's own callback, later ones from where turns are watched.
        let is_late = charging.asked > 0;
        match admitted {
            Ok(hold) => self.admitted(hold, plan),
            Err(asks) => self.ask_grant(now, plan, asks, is_late),
        }
    }

    /// Returns what the request is charged to, and how much it needs of each; `None` when that is nothing.
    fn charged(&self, plan: &Plan) -> Option<Charging> {
        let limits = &self.seed.limits;
        let key = self.facts.key.as_deref();
        if limits.are_none_for(key) || self.facts.surface.is_none_or(is_exempt) {
            return None;
        }
        let principal = self.principal();
        let payer = Payer {
            principal: &principal,
            session: &self.facts.session_id,
            agent: &self.facts.agent_id,
        };
        let targets: Vec<_> = plan
            .targets
            .iter()
            .filter_map(|target| {
                let provider = plan.mesh.providers.get(target.provider)?;
                let at = Target {
                    provider: &provider.name,
                    model: &target.model,
                };
                Some((at, provider.price_table.as_str()))
            })
            .collect();
        let places: Vec<_> = targets.iter().map(|(at, _)| *at).collect();
        let all = limits.lines(self.facts.key.as_ref(), &payer, &places);
        let mut lines = all.to_vec();
        // Whoever uses the client's own login pays the provider on their own.
        lines.retain(|line| !(self.facts.subscription && line.unit == Unit::MicroUsd));
        // Nobody can tell what a path outside the model APIs uses.
        let is_metered = self.facts.surface.is_some_and(Surface::is_metered);
        lines.retain(|line| is_metered || line.unit.counts_at_admission());
        if lines.is_empty() {
            return None;
        }
        let bytes = self.facts.request_bytes;
        let at_most = plan.max_output();
        let desk = self.seed.desk.borrow();
        let has_strict = lines.iter().any(|line| line.is_strict);
        let sizes: Vec<_> = targets
            .iter()
            .map(|(at, table)| {
                let rates = limits.rates(table, at.model);
                let output = match self.facts.surface {
                    Some(Surface::OpenaiEmbeddings | Surface::GeminiEmbed) => TokenCount::new(0),
                    Some(_) | None => desk.expected_output(principal.key, at.model, at_most),
                };
                let most = has_strict.then(|| Size::most(bytes, at_most, &rates));
                (*at, Size::likely(bytes, output, &rates), most)
            })
            .collect();
        let need = |line: &Line| {
            let quota = line
                .is_partial
                .then(|| limits.quota(key, line.quota))
                .flatten();
            let covered = sizes
                .iter()
                .filter(|(at, ..)| quota.is_none_or(|quota| quota.covers_target(at)));
            let size = covered.fold(Size::default(), |size, (_, likely, most)| {
                size.max(most.filter(|_| line.is_strict).unwrap_or(*likely))
            });
            // What is free costs nothing to hold; of tokens something is always used.
            let least = u64::from(line.unit != Unit::MicroUsd);
            Need {
                account: line.account,
                amount: size.amount(line.unit).max(least),
            }
        };
        Some(Charging {
            needs: lines.iter().map(need).collect(),
            lines,
            hold: None,
            asked: 0,
            pending: None,
            waiting_since: None,
            told_at: None,
            meter: Meter::default(),
        })
    }

    fn ask_grant(&mut self, now: Timestamp, plan: Plan, asks: Vec<Ask>, later: bool) -> Flow {
        let Some(request) = self.grant_request(asks) else {
            return self.let_go(plan);
        };
        let Some(charging) = &mut self.charging else {
            return self.let_go(plan);
        };
        charging.waiting_since.get_or_insert(now);
        let call = charging.call();
        charging.pending = Some(request.clone());
        let kind = ConsultKind::Grant(request);
        self.commands.push_back(if later {
            Command::ConsultLater { call, kind }
        } else {
            Command::Consult { call, kind }
        });
        self.wait(
            now,
            call,
            GRANT_DEADLINE_MS,
            WaitingFor::Grant(Box::new(plan)),
        )
    }

    /// Makes a request for a grant of its own.
    pub(super) fn grant_request(&mut self, asks: Vec<Ask>) -> Option<GrantRequest> {
        let exchange = self.seed.id;
        let charging = self.charging.as_mut()?;
        charging.asked = charging.asked.saturating_add(1);
        let mut desk = self.seed.desk.borrow_mut();
        let grants = &mut desk.counters_mut().grants;
        *grants = grants.saturating_add(1);
        // The id of the exchange is unique; its first bytes are those of the year.
        let mut id = exchange.into_bytes();
        for (byte, number) in id.iter_mut().zip(charging.asked.to_be_bytes()) {
            *byte ^= number;
        }
        Some(GrantRequest {
            grant: GrantId::from_bytes(id),
            holder: desk.holder(),
            exchange,
            asks,
        })
    }

    fn wait(&mut self, now: Timestamp, call: CallId, ms: u64, what: WaitingFor) -> Flow {
        self.state = State::Waiting(Box::new(Waiting {
            call,
            deadline: Timestamp::from_millis(now.as_millis().saturating_add(ms)),
            what,
        }));
        Flow::Hold
    }

    /// Admits on what is leased here, or looks for more.
    pub(super) fn admit_on_leases(&mut self, now: Timestamp, plan: Plan) -> Flow {
        let Some(charging) = &mut self.charging else {
            return self.let_go(plan);
        };
        let asked = self
            .seed
            .desk
            .borrow_mut()
            .admit(now, &charging.lines, &charging.needs);
        match asked {
            Ok(hold) => self.admitted(hold, plan),
            Err(asks) => self.find_spares(plan, &asks),
        }
    }

    /// The answer to [`ConsultKind::Grant`] while the request waits for it.
    pub(super) fn grant_answered(
        &mut self,
        now: Timestamp,
        plan: Plan,
        answer: ConsultAnswer,
    ) -> Flow {
        let Some(charging) = &mut self.charging else {
            return self.let_go(plan);
        };
        let pending = charging.pending.take();
        match answer {
            ConsultAnswer::Grant(GrantAnswer::Granted(granted)) => {
                let mut desk = self.seed.desk.borrow_mut();
                desk.granted(now, &granted);
                let held = desk.hold(now, &charging.needs);
                drop(desk);
                match held {
                    Some(hold) => self.admitted(hold, plan),
                    // What is strict was granted for this exchange alone and is asked for anew with the rest.
                    None => {
                        self.give_back_strict();
                        self.take_turn(now, plan, None)
                    }
                }
            }
            ConsultAnswer::Grant(GrantAnswer::Refused(refusal)) => match refusal.kind {
                RefusalKind::Exhausted => self.refuse_exhausted(&refusal),
                RefusalKind::Contended => self.take_turn(now, plan, Some(refusal)),
            },
            ConsultAnswer::Owned
            | ConsultAnswer::NotOwned
            | ConsultAnswer::Tokens(_)
            | ConsultAnswer::Unreachable => {
                if let Some(request) = pending {
                    let mut desk = self.seed.desk.borrow_mut();
                    desk.unanswered(request.grant, &request.asks);
                }
                self.admit_unasked(now, plan)
            }
        }
    }

    fn give_back_strict(&mut self) {
        if let Some(charging) = &self.charging {
            self.seed
                .desk
                .borrow_mut()
                .give_back_strict(&charging.lines);
        }
    }

    /// Waits for room that others hold, as long as the quota says.
    fn take_turn(&mut self, now: Timestamp, plan: Plan, refusal: Option<Refusal>) -> Flow {
        let Some(charging) = &self.charging else {
            return self.let_go(plan);
        };
        let named = refusal.as_ref().map(|refusal| refusal.quota);
        let named = named.or_else(|| charging.lines.first().map(|line| line.quota));
        let quota = named.and_then(|id| self.quota(id));
        let patience_ms = quota.map_or(0, |quota| u64::from(quota.rules.contention_wait_ms));
        let waited_ms = charging
            .waiting_since
            .map_or(0, |since| now.millis_since(since));
        if waited_ms.saturating_add(TURN_MS) <= patience_ms {
            let call = charging.call();
            return self.wait(now, call, TURN_MS, WaitingFor::Turn(Box::new(plan)));
        }
        let account = refusal.map(|refusal| refusal.account);
        let line = account.and_then(|account| self.line(account));
        let line = line.or_else(|| self.charging.as_ref()?.lines.first().copied());
        self.note_denial(DenialReason::Contended, line);
        let whose = line.map_or_else(String::new, |line| limit_of(&line));
        let message = format!(
            "What is left of {whose} is held by requests that are still running; try again in a moment."
        );
        self.refused_by(line);
        self.refuse_later(RefusalCode::Contended, message, Some(1))
    }

    fn refuse_exhausted(&mut self, refusal: &Refusal) -> Flow {
        let line = self.line(refusal.account);
        self.note_denial(DenialReason::Exhausted, line);
        self.refused_by(line);
        let code = match line.map(|line| line.unit) {
            Some(Unit::MicroUsd) | None => RefusalCode::BudgetExhausted,
            Some(
                Unit::InputTokens
                | Unit::OutputTokens
                | Unit::TotalTokens
                | Unit::Requests
                | Unit::Concurrent,
            ) => RefusalCode::RateLimited,
        };
        let wait_secs = refusal
            .retry_after_ms
            .map(|ms| u32::try_from(ms.div_ceil(1_000)).unwrap_or(u32::MAX).max(1));
        let whose = line.map_or_else(|| "a limit".to_owned(), |line| limit_of(&line));
        let mut message = match wait_secs {
            Some(secs) => format!(
                "{} is used up; it has room again in {}, or ask your administrator.",
                capitalised(&whose),
                Wait(secs)
            ),
            None => format!(
                "This request alone needs more than {whose} allows; ask for less output, or ask your administrator."
            ),
        };
        let shown = line.filter(|line| line.shows_figures && line.part == Part::Limit);
        let shown = shown.and_then(|line| self.quota(line.quota));
        let limit = shown.map(|quota| (quota.rules.limit, quota.rules.unit));
        if let Some((amount, unit)) = limit {
            message = format!("{message} The limit is {}.", Amount { unit, amount });
        }
        let is_rate = code == RefusalCode::RateLimited;
        let told = wait_secs.or(is_rate.then_some(NEVER_SECS));
        let mut reply = self.shape(code, message, told);
        if is_rate {
            reply
                .headers
                .extend(limit.map(|(amount, _)| ("ratelimit-limit", amount.to_string())));
            reply.headers.push(("ratelimit-remaining", "0".to_owned()));
            reply
                .headers
                .extend(told.map(|secs| ("ratelimit-reset", secs.to_string())));
        }
        self.facts.refusal = Some(code);
        self.commands.push_back(Command::Reply(reply));
        self.state = State::Replied;
        Flow::Hold
    }

    /// The service is away: what policy allows goes on credit.
    fn admit_unasked(&mut self, now: Timestamp, plan: Plan) -> Flow {
        let Some(charging) = &self.charging else {
            return self.let_go(plan);
        };
        let desk = self.seed.desk.borrow();
        let credit = desk.credit(now, &charging.lines, &charging.needs);
        drop(desk);
        if let Some(without) = credit.iter().find(|credit| credit.cap < credit.amount) {
            let account = without.account;
            return self.refuse_unasked(account);
        }
        self.commands.push_back(Command::TakeCredit(credit));
        self.state = State::AwaitingCredit(Box::new(plan));
        Flow::Hold
    }

    /// The answer to [`Command::TakeCredit`].
    pub(super) fn credit_taken(
        &mut self,
        now: Timestamp,
        plan: Plan,
        without: Option<AccountId>,
    ) -> Flow {
        let Some(charging) = &self.charging else {
            return self.let_go(plan);
        };
        if let Some(account) = without {
            return self.refuse_unasked(account);
        }
        let mut desk = self.seed.desk.borrow_mut();
        let hold = desk.hold_on_credit(now, &charging.needs);
        drop(desk);
        self.admitted(hold, plan)
    }

    fn refuse_unasked(&mut self, account: AccountId) -> Flow {
        let line = self.line(account);
        self.note_denial(DenialReason::Unreachable, line);
        self.refused_by(line);
        let whose = line.map_or_else(|| "a limit".to_owned(), |line| limit_of(&line));
        let message = format!(
            "The policy service did not say whether {whose} has room, and nothing may be used without that; try again in a moment."
        );
        self.refuse_later(RefusalCode::ServiceUnreachable, message, Some(2))
    }

    fn admitted(&mut self, mut hold: Hold, plan: Plan) -> Flow {
        let exchange = self.seed.id;
        if let Some(charging) = &mut self.charging {
            let requests = charging
                .lines
                .iter()
                .filter(|line| line.unit == Unit::Requests);
            let used: Vec<_> = requests.map(|line| (line.account, 1)).collect();
            let mut desk = self.seed.desk.borrow_mut();
            if let Some(since) = charging.waiting_since {
                let counters = desk.counters_mut();
                counters.waits = counters.waits.saturating_add(1);
                let waited = self.latest.millis_since(since);
                counters.wait_ms = counters.wait_ms.saturating_add(waited);
            }
            if !used.is_empty() {
                let settled = Settled {
                    exchange,
                    number: 0,
                    sureness: Sureness::Exact,
                    closes: false,
                };
                desk.settle(&mut hold, settled, &used);
            }
            charging.hold = Some(hold);
        }
        self.let_go(plan)
    }

    /// Charges what the attempts used, gives the rest back, and learns.
    pub(super) fn settle_quotas(&mut self, now: Timestamp, record: &mut ExchangeRecord) {
        let mut desk = self.seed.desk.borrow_mut();
        desk.rates.settle(record);
        let Some(charging) = self.charging.take() else {
            return;
        };
        let Charging {
            lines,
            hold,
            asked,
            pending,
            told_at,
            ..
        } = *charging;
        if let Some(request) = pending {
            desk.unanswered(request.grant, &request.asks);
        }
        let has_strict = lines.iter().any(|line| line.is_strict);
        let Some(mut hold) = hold else {
            if has_strict && asked > 0 {
                desk.close_unadmitted(record.exchange, record.started);
            }
            return;
        };
        let limits = Rc::clone(&self.seed.limits);
        let key = self.facts.key.clone();
        let attempts: Vec<_> = record
            .attempts
            .iter()
            .filter_map(|attempt| Some((attempt, attempt.usage?)))
            .collect();
        let last = attempts.len();
        for ((attempt, usage), place) in attempts.iter().zip(1..) {
            let size = Size::of(usage, &limits.rates(&attempt.price_table, &attempt.model));
            let charge = |line: &Line| -> Option<(AccountId, u64)> {
                let quota = || limits.quota(key.as_deref(), line.quota);
                let is_counted = !line.unit.counts_at_admission()
                    && (!line.is_partial
                        || quota().is_none_or(|it| it.covers_target(&place_of(attempt))));
                let used = size.amount(line.unit);
                // Nobody reported it, so all that was set aside is charged.
                let held = if line.is_strict && attempt.estimated {
                    hold.amount(line.account)
                } else {
                    0
                };
                is_counted.then(|| (line.account, used.max(held)))
            };
            let used: Vec<_> = lines.iter().filter_map(charge).collect();
            let settled = Settled {
                exchange: record.exchange,
                number: attempt.number,
                sureness: if attempt.estimated {
                    Sureness::Estimated
                } else {
                    Sureness::Exact
                },
                closes: place == last,
            };
            desk.settle(&mut hold, settled, &used);
            if !attempt.estimated {
                desk.learn_output(record.principal.key, &attempt.model, usage.output_tokens);
            }
        }
        // The ledger must not presume anything of an exchange that it knows of.
        let is_known = told_at.is_some() || has_strict;
        if last == 0 && is_known {
            let settled = Settled {
                exchange: record.exchange,
                number: record.attempts.last().map_or(1, |attempt| attempt.number),
                sureness: Sureness::Exact,
                closes: true,
            };
            desk.settle(&mut hold, settled, &[]);
        }
        desk.release(now, hold, &lines);
    }

    /// Returns what the ledger is to know about this exchange while it runs, when it is time to tell it again.
    pub fn running_holds(&mut self, now: Timestamp) -> Option<Running> {
        let attempt = self.attempts.last().map(|attempt| attempt.number());
        let size = self.size_so_far();
        let per_second = self.size_per_second();
        let charging = self.charging.as_mut()?;
        let hold = charging.hold.as_ref()?;
        let is_due = charging
            .told_at
            .is_none_or(|told| now < told || now.millis_since(told) >= RUNNING_EVERY_MS);
        if !is_due {
            return None;
        }
        charging.told_at = Some(now);
        let lines = &charging.lines;
        let used = |account: AccountId| {
            let line = lines.iter().find(|line| line.account == account);
            let line = line.filter(|line| !line.unit.counts_at_admission());
            line.map_or((0, 0, false), |line| {
                (
                    size.amount(line.unit),
                    per_second.amount(line.unit),
                    line.is_strict,
                )
            })
        };
        Some(Running {
            exchange: self.seed.id,
            attempt: attempt.unwrap_or(1),
            admitted: hold.admitted(),
            holds: hold.running(&used),
        })
    }

    pub(super) fn quota(&self, id: policy::ids::QuotaId) -> Option<&Quota> {
        self.seed.limits.quota(self.facts.key.as_deref(), id)
    }

    fn line(&self, account: AccountId) -> Option<Line> {
        let mut lines = self.charging.as_ref()?.lines.iter();
        lines.find(|line| line.account == account).copied()
    }

    pub(super) fn refused_by(&mut self, line: Option<Line>) {
        let quota = line.and_then(|line| self.quota(line.quota));
        self.facts.refused_by = quota.map(|quota| quota.name.clone()).unwrap_or_default();
    }

    fn note_denial(&self, reason: DenialReason, line: Option<Line>) {
        if let Some(line) = line {
            self.seed.desk.borrow_mut().note_denial(Denial {
                reason,
                level: line.level,
                unit: line.unit,
            });
        }
    }
}

impl Charging {
    /// The call that is under way, or would be.
    pub(super) fn call(&self) -> CallId {
        CallId(FIRST_CALL.saturating_add(self.asked))
    }
}

pub(super) fn place_of(attempt: &AttemptRecord) -> Target<'_> {
    Target {
        provider: &attempt.provider,
        model: &attempt.model,
    }
}

/// Counting tokens and listing models uses nothing that is limited.
const fn is_exempt(surface: Surface) -> bool {
    match surface {
        Surface::AnthropicCountTokens
        | Surface::GeminiCountTokens
        | Surface::AnthropicModels
        | Surface::OpenaiModels
        | Surface::GeminiModels => true,
        Surface::AnthropicMessages
        | Surface::OpenaiChat
        | Surface::OpenaiResponses
        | Surface::OpenaiEmbeddings
        | Surface::GeminiGenerate
        | Surface::GeminiEmbed
        | Surface::AnthropicOpaque
        | Surface::OpenaiOpaque
        | Surface::GeminiOpaque => false,
    }
}

/// `the token limit of your team`: neither its name nor its figures.
pub(super) fn limit_of(line: &Line) -> String {
    use policy::quota::Level;
    let what = match line.unit {
        Unit::MicroUsd => "budget",
        Unit::InputTokens => "input token limit",
        Unit::OutputTokens => "output token limit",
        Unit::TotalTokens => "token limit",
        Unit::Requests => "request limit",
        Unit::Concurrent => "limit of requests at a time",
    };
    let whose = match line.level {
        Level::Agent => "of this agent",
        Level::Session => "of this session",
        Level::Key => "of your virtual key",
        Level::User => "of your user",
        Level::Team => "of your team",
        Level::Customer => "of your customer account",
        Level::Organisation => "of your organisation",
    };
    format!("the {what} {whose}")
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

/// A wait as people say it.
struct Wait(u32);

impl core::fmt::Display for Wait {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let secs = self.0;
        let (hours, minutes) = (secs / 3_600, secs / 60);
        if secs < 120 {
            write!(f, "{secs} s")
        } else if minutes < 120 {
            write!(f, "{minutes} min")
        } else if hours < 48 {
            write!(f, "{hours} h")
        } else {
            write!(f, "{} days", hours / 24)
        }
    }
}

//! The guardrails of one exchange: its request before it goes, its answer while it comes.

use std::rc::Rc;

use dialects::content::Block;
use dialects::refusal::RefusalCode;
use dialects::request::{BodyError, RequestFacts, RequestTextReader};
use dialects::splice::Splice;
use policy::compiled::Principal;
use policy::guardrail::{Subject, TextRole};
use policy::secret::Secret;
use policy::surface::Surface;
use policy::units::Timestamp;

use super::body::{Waiting, WaitingFor};
use super::contents::Told;
use super::guarded_answer::Answer;
use super::target::Plan;
use super::{Exchange, State, ownership};
use crate::guard::channel::{Bench, ChannelScan};
use crate::guard::request::{ContentScan, Scanned};
use crate::guard::restore::Restore;
use crate::guard::verdict::{Judgement, Mark, Stop};
use crate::guard::{Direction, Guard, GuardOutcome, Selection, TokenMap, TokenScope, Why};
use crate::messages::{CallId, Command, ConsultKind, Flow};

/// How long the vault is waited for; without it the values of this request are known all the same.
const VAULT_DEADLINE_MS: u64 = 500;

/// The guardrails that apply to one exchange, and what they have seen.
#[derive(Debug)]
pub(super) struct Guarding {
    pub(super) guard: Rc<Guard>,
    pub(super) selection: Selection,
    pub(super) tenant: Vec<u8>,
    reading: Reading,
    request: Option<Judgement>,
    pub(super) response: Option<Judgement>,
    pub(super) restore: Option<Restore>,
    /// Of the attempt that answers.
    pub(super) answer: Option<Answer>,
}

/// What is made of the request's bytes.
#[derive(Debug)]
enum Reading {
    Json(Box<ContentScan>),
    /// A body of unknown shape is one text.
    Plain(Box<PlainRead>),
    Read(Box<Scanned>),
    Done,
}

#[derive(Debug)]
struct PlainRead {
    channel: ChannelScan,
    splices: Vec<Splice>,
}

impl Exchange {
    /// Selects the guardrails by what is known before the body; returns whether any may apply.
    pub(super) fn begin_guarding(&mut self, surface: Surface) -> bool {
        let Some(guard) = self.seed.guard.clone() else {
            return false;
        };
        let principal = self.principal();
        let selection = guard.select(self.seed.id, &principal, surface);
        if selection.is_empty() {
            return false;
        }
        let tenant = principal.tenant().to_vec();
        let scan = ContentScan::new(
            Rc::clone(&guard),
            &selection,
            Direction::Request,
            &tenant,
            false,
        );
        self.guarding = Some(Box::new(Guarding {
            guard,
            selection,
            tenant,
            reading: Reading::Json(Box::new(scan)),
            request: None,
            response: None,
            restore: None,
            answer: None,
        }));
        true
    }

    /// Scans the texts in the next bytes of a JSON body.
    pub(super) fn scan_texts(
        &mut self,
        reader: &mut RequestTextReader,
        chunk: &[u8],
    ) -> Result<(), BodyError> {
        match self.guarding.as_mut().map(|guarding| &mut guarding.reading) {
            Some(Reading::Json(scan)) => reader.push(chunk, &mut **scan),
            Some(Reading::Plain(_) | Reading::Read(_) | Reading::Done) | None => {
                reader.push(chunk, &mut |_: Block<'_>| {})
            }
        }
    }

    /// Takes what a JSON body that has been read to its end held.
    pub(super) fn texts_scanned(
        &mut self,
        reader: RequestTextReader,
    ) -> Result<RequestFacts, BodyError> {
        let (facts, content) = reader.finish(&mut |_: Block<'_>| {})?;
        if let Some(guarding) = &mut self.guarding
            && let Reading::Json(scan) = std::mem::replace(&mut guarding.reading, Reading::Done)
        {
            guarding.reading = Reading::Read(Box::new(scan.finish(content)));
        }
        Ok(facts)
    }

    pub(super) fn principal(&self) -> Principal {
        let key = self.facts.key.as_ref();
        key.map_or_else(Principal::default, |key| key.principal.clone())
    }

    /// Scans the next bytes of a body of unknown shape, of which `told` is known.
    pub(super) fn scan_plain(&mut self, chunk: &[u8], end_of_stream: bool, told: &Told) {
        let session = self.facts.session_id.clone();
        let Some(guarding) = &mut self.guarding else {
            return;
        };
        let scope = TokenScope {
            tenant: guarding.tenant.clone(),
            session,
        };
        let Guarding {
            guard,
            selection,
            request,
            reading,
            ..
        } = &mut **guarding;
        let bench = Bench {
            guard,
            selection,
            direction: Direction::Request,
            restore: None,
        };
        if matches!(reading, Reading::Json(_)) {
            *reading = Reading::Plain(Box::new(PlainRead {
                channel: ChannelScan::new(bench, TextRole::Attachment, true, "$".to_owned())
                    .counted_elsewhere(),
                splices: Vec::new(),
            }));
        }
        let Reading::Plain(plain) = reading else {
            return;
        };
        let judgement = request.get_or_insert_with(|| Judgement::new(Direction::Request, scope));
        judge_told(bench, judgement, told, TextRole::Attachment, false);
        let passage = plain.channel.push(bench, judgement, chunk, end_of_stream);
        let edits = passage.edits.into_iter();
        plain.splices.extend(edits.map(|(start, end, with)| Splice {
            start,
            end,
            with: with.into_bytes(),
        }));
    }

    /// Judges the request, whose targets are known, and lets it go.
    pub(super) fn guarded(&mut self, now: Timestamp, mut plan: Plan) -> Flow {
        let session = self.facts.session_id.clone();
        let principal = self.principal();
        let exchange = self.seed.id;
        let surface = self.facts.surface;
        let model_asked = self.facts.model_asked.clone();
        let (Some(guarding), Some(surface)) = (&mut self.guarding, surface) else {
            return self.forward(plan);
        };
        let targets = plan.guard_targets();
        let subject = Subject {
            principal: &principal,
            surface,
            asked_model: &model_asked,
            targets: &targets,
            exchange,
        };
        // A body of unknown shape was judged while it was read, by all that might apply.
        if !matches!(guarding.reading, Reading::Plain(_)) {
            guarding.guard.narrow(&mut guarding.selection, &subject);
        }
        let scope = TokenScope {
            tenant: guarding.tenant.clone(),
            session,
        };
        match &mut guarding.reading {
            Reading::Read(_) => self.judge_request(now, plan, scope, &[]),
            Reading::Plain(plain) => {
                plan.guard_splices = std::mem::take(&mut plain.splices);
                self.request_judged(now, plan, Vec::new())
            }
            Reading::Json(_) | Reading::Done => self.request_judged(now, plan, Vec::new()),
        }
    }

    /// Judges the texts; `blocked_before` are values that were blocked when they were new.
    fn judge_request(
        &mut self,
        now: Timestamp,
        mut plan: Plan,
        scope: TokenScope,
        blocked_before: &[Mark],
    ) -> Flow {
        let Some(guarding) = &mut self.guarding else {
            return self.forward(plan);
        };
        let mut judgement = Judgement::new(Direction::Request, scope).knowing(blocked_before);
        let Reading::Read(scanned) = &guarding.reading else {
            return self.request_judged(now, plan, Vec::new());
        };
        let splices = scanned.judge(guarding.bench(Direction::Request), &mut judgement);
        let marks = judgement.marks.clone();
        let is_stopped = judgement.stop.is_some();
        let mentioned = scanned.mentioned.clone();
        guarding.request = Some(judgement);
        // Each round knows more of what was blocked before; the last one learns nothing.
        if is_stopped && !marks.is_empty() {
            self.commands.push_back(Command::FindMarks(marks));
            self.state = State::AwaitingMarks(Box::new(plan));
            return Flow::Hold;
        }
        plan.guard_splices = splices;
        self.request_judged(now, plan, mentioned)
    }

    /// The answer to [`Command::FindMarks`].
    pub(super) fn marks_found(&mut self, now: Timestamp, plan: Box<Plan>, known: &[Mark]) -> Flow {
        let judgement = self
            .guarding
            .as_ref()
            .and_then(|guarding| guarding.request.as_ref());
        let Some(judgement) = judgement else {
            return self.forward(*plan);
        };
        if known.is_empty() {
            // Nothing to judge anew: what was blocked is blocked.
            let marks = judgement.marks.clone();
            self.commands.push_back(Command::KeepMarks(marks));
            return self.request_judged(now, *plan, Vec::new());
        }
        let scope = judgement.scope().clone();
        let all = [judgement.blocked_before(), known].concat();
        self.judge_request(now, *plan, scope, &all)
    }

    /// Refuses what is blocked; else lets the request go once the tokens in it are known.
    fn request_judged(&mut self, now: Timestamp, plan: Plan, mentioned: Vec<String>) -> Flow {
        let Some(guarding) = &mut self.guarding else {
            return self.forward(plan);
        };
        let Some(judgement) = &mut guarding.request else {
            return self.forward(plan);
        };
        if let Some(stop) = judgement.stop.clone() {
            return self.refuse(RefusalCode::GuardrailBlocked, stopped_request(&stop));
        }
        if !guarding.guard.tokenises(&guarding.selection) {
            return self.forward(plan);
        }
        let scope = judgement.scope().clone();
        let minted: Vec<_> = std::mem::take(&mut judgement.minted)
            .into_values()
            .collect();
        let is_new_session = guarding.guard.is_new_session(&scope, now);
        let new = guarding.guard.remember(&scope, &minted);
        let known: TokenMap = minted
            .into_iter()
            .map(|minted| (minted.token, minted.value))
            .collect();
        let unknown: Vec<_> = mentioned
            .into_iter()
            .filter(|token| {
                !known.contains_key(token) && guarding.guard.recall(&scope, token).is_none()
            })
            .collect();
        // What the provider itself remembers of the session may hold tokens that this request does not show.
        let facts = plan.facts.as_ref();
        let refers_back = facts.is_some_and(|facts| ownership::refers_back(&facts.references));
        let all_of_session = refers_back || is_new_session;
        guarding.restore = Some(Restore::new(scope.clone(), known));
        if !new.is_empty() {
            self.commands.push_back(Command::KeepTokens(new));
        }
        if unknown.is_empty() && !all_of_session {
            return self.forward(plan);
        }
        let call = CallId(2);
        self.commands.push_back(Command::Consult {
            call,
            kind: ConsultKind::FindTokens {
                scope,
                tokens: unknown,
                all_of_session,
            },
        });
        let deadline = Timestamp::from_millis(now.as_millis().saturating_add(VAULT_DEADLINE_MS));
        self.state = State::Waiting(Box::new(Waiting {
            call,
            deadline,
            what: WaitingFor::Tokens(Box::new(plan)),
        }));
        Flow::Hold
    }

    /// The answer to [`ConsultKind::FindTokens`]; without one the guardrails decide when such a token turns up.
    pub(super) fn tokens_found(
        &mut self,
        now: Timestamp,
        plan: Plan,
        found: Option<Vec<(String, Secret)>>,
    ) -> Flow {
        if let Some(guarding) = &mut self.guarding {
            guarding.guard.learn(&guarding.scope(), found, now);
        }
        self.forward(plan)
    }

    /// Returns what the guardrails did, for the record.
    pub(super) fn guard_outcomes(&self) -> Vec<GuardOutcome> {
        let Some(guarding) = &self.guarding else {
            return Vec::new();
        };
        let judgements = [&guarding.request, &guarding.response];
        let judgements = judgements.into_iter().flatten();
        judgements
            .flat_map(|judgement| judgement.outcomes(&guarding.guard, &guarding.selection))
            .collect()
    }
}

impl Guarding {
    /// What texts of one direction are judged by.
    pub(super) fn bench(&self, direction: Direction) -> Bench<'_> {
        Bench {
            guard: &self.guard,
            selection: &self.selection,
            direction,
            restore: match direction {
                Direction::Request => None,
                Direction::Response => self.restore.as_ref(),
            },
        }
    }

    /// Whether tokens in the answer become values.
    pub(super) fn restores(&self) -> bool {
        self.restore.is_some()
    }

    /// Whose tokens the exchange may see restored.
    pub(super) fn scope(&self) -> TokenScope {
        let judgement = self.request.as_ref();
        judgement.map_or_else(TokenScope::default, |judgement| judgement.scope().clone())
    }
}

/// Counts what is text and what nobody can read, and stops the exchange where policy does not let that pass.
///
/// `passes`: it is counted only.
pub(super) fn judge_told(
    bench: Bench<'_>,
    judgement: &mut Judgement,
    told: &Told,
    role: TextRole,
    passes: bool,
) {
    let Bench {
        guard, selection, ..
    } = bench;
    judgement.count(told.texts);
    judgement.uncount(told.spoilt);
    for media in &told.unread {
        if passes {
            judgement.not_scanned(guard, selection, Why::of(*media), 1);
        } else {
            judgement.unscanned(guard, selection, *media);
        }
    }
    if told.spoilt > 0 && passes {
        judgement.not_scanned(guard, selection, Why::Encoding, told.spoilt);
    } else if told.spoilt > 0 {
        judgement.unread(guard, selection, told.spoilt, role);
    }
}

/// What the person at the other end reads.
pub(crate) fn stopped_request(stop: &Stop) -> String {
    let Stop {
        guardrail,
        rule,
        description,
        role,
        redacts_later,
        ..
    } = stop;
    let place = match role {
        TextRole::System => "the system prompt or a tool's description",
        TextRole::User => "your message",
        TextRole::Assistant => "an earlier answer",
        TextRole::ToolArguments => "a tool call",
        TextRole::ToolResult => "the result of a tool",
        TextRole::Thinking => "the model's reasoning",
        TextRole::Attachment => "an attachment",
    };
    let advice = if *redacts_later {
        "Remove it, or go on: from now on it is redacted wherever it stands."
    } else {
        "Remove it and send the request again."
    };
    format!(
        "Guardrail `{guardrail}` stopped this request: {place} holds what rule `{rule}` forbids ({description}). Nothing of it was sent to the provider. {advice}"
    )
}

/// What stands at the end of an answer that was stopped, or in its place.
pub(crate) fn stopped_answer(stop: &Stop) -> String {
    let Stop {
        guardrail,
        rule,
        description,
        ..
    } = stop;
    format!(
        "Guardrail `{guardrail}` stopped this answer: it holds what rule `{rule}` forbids ({description})."
    )
}

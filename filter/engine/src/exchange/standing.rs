//! What governs an exchange while it is held and while it runs: policy may change after it was admitted.
//!
//! A request that is held is judged again by what governs its key before it goes on, and each attempt before it is
//! made; what runs ends when its key does, unless policy lets it finish. The adapter pushes
//! [`Input::Governed`](crate::Input::Governed) when policy has changed; what changes by time alone, the end of a key,
//! is a deadline.

use std::rc::Rc;

use dialects::refusal::RefusalCode;
use policy::compiled::{self, CompiledKey, Mesh};
use policy::documents::{InferenceAuth, OnRevoke, Subscription};
use policy::guardrail::Subject;
use policy::routing::{self, AttemptTarget};
use policy::surface::Surface;
use policy::units::Timestamp;

use super::admission::Admitted;
use super::body::WaitingFor;
use super::metering::drain_ms;
use super::opaque::objection;
use super::target::{Names, Plan, PlanError};
use super::{Exchange, State};
use crate::guard::{Content, Guard};
use crate::messages::{Command, Flow, Governed, KeyNow};

/// How long the next event of a stream is waited for: it can only be ended where one ends.
const NEXT_EVENT_MS: u64 = 1_000;

/// Why a request may not go on, as its client is told.
#[derive(Debug)]
pub(super) struct Unfit {
    /// What the client is told.
    pub shown: RefusalCode,
    /// What the record says.
    pub code: RefusalCode,
    pub message: String,
    pub retry_after_secs: Option<u32>,
}

/// What is known of the key since the admission.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The key as it was told last; that of the admission where nothing was.
    key: Option<Rc<CompiledKey>>,
    is_gone: bool,
    /// Policy has changed since the admission.
    is_changed: bool,
    /// What runs is to end, for this reason, at its next event or at this time.
    ending: Option<(RefusalCode, Timestamp)>,
    /// It was ended: nothing more of the answer passes.
    is_over: bool,
    /// A refusal stands in the place of an answer that a provider was working on.
    left_open: bool,
}

impl Exchange {
    /// Takes up what governs the exchange from here on.
    pub(super) fn governed(&mut self, now: Timestamp, governed: &Governed) -> Flow {
        self.standing.is_changed = true;
        match &governed.key {
            KeyNow::AsBefore => {}
            KeyNow::Is(key) => {
                self.standing.key = Some(Rc::clone(key));
                self.standing.is_gone = false;
            }
            KeyNow::Gone => self.standing.is_gone = true,
        }
        self.seed.mesh = Some(Rc::clone(&governed.mesh));
        let unfit = match std::mem::replace(&mut self.state, State::Closed) {
            State::ReadingBody(mut body) => {
                let unfit = self.before_plan(now, governed, &mut body.admitted);
                self.state = State::ReadingBody(body);
                unfit
            }
            State::Waiting(mut waiting) => {
                let unfit = match &mut waiting.what {
                    WaitingFor::Owner(asked) => self.before_plan(now, governed, &mut asked.0),
                    WaitingFor::Tokens(plan) | WaitingFor::Grant(plan) | WaitingFor::Turn(plan) => {
                        self.seed.guard.clone_from(&governed.guard);
                        self.before_first_attempt(now, plan)
                    }
                };
                self.state = State::Waiting(waiting);
                unfit
            }
            State::Forwarded(plan) => {
                self.state = State::Forwarded(plan);
                self.seed.guard.clone_from(&governed.guard);
                return self.end_if_ended(now);
            }
            state @ (State::Start
            | State::AwaitingKey(_)
            | State::ReadingCanary(_)
            | State::AwaitingMarks(_)
            | State::AwaitingSpares(_)
            | State::AwaitingCredit(_)
            | State::Replied
            | State::Closed) => {
                // What is asked of the process is answered in the same breath; the rest is governed by nothing.
                self.state = state;
                return Flow::Continue;
            }
        };
        match unfit {
            Some(unfit) => self.refuse_unfit(unfit),
            None => Flow::Hold,
        }
    }

    /// Refuses a request that is held.
    pub(super) fn refuse_unfit(&mut self, unfit: Unfit) -> Flow {
        let Unfit {
            shown,
            code,
            message,
            retry_after_secs,
        } = unfit;
        self.refuse_as(shown, code, message, retry_after_secs)
    }

    /// Whether the key that the request came with may be used, by what is known of it now.
    pub(super) fn key_is_unfit(&self, now: Timestamp) -> Option<Unfit> {
        let Some(key) = self.key_now() else {
            let mesh = self.seed.mesh.as_ref()?;
            let is_admitted = !self.facts.unkeyed || mesh.inference_auth == InferenceAuth::Observe;
            return (!is_admitted).then(|| {
                Unfit::terminal(
                    RefusalCode::MissingCredential,
                    "No virtual key was sent; set your Weir virtual key (sk-weir-…) as the API key.",
                )
            });
        };
        let standing = if self.standing.is_gone {
            compiled::Standing::Revoked
        } else {
            key.standing(now)
        };
        Unfit::of(standing)
    }

    /// The key as it is now; `None` for traffic without one.
    fn key_now(&self) -> Option<&Rc<CompiledKey>> {
        self.standing.key.as_ref().or(self.facts.key.as_ref())
    }

    /// Takes up policy for a request whose targets are not chosen: it is judged by the new one as a whole.
    fn before_plan(
        &mut self,
        now: Timestamp,
        governed: &Governed,
        admitted: &mut Admitted,
    ) -> Option<Unfit> {
        self.seed.guard.clone_from(&governed.guard);
        let unfit = self.key_is_unfit(now).or_else(|| self.owner_is_unfit(None));
        if unfit.is_some() {
            return unfit;
        }
        let key = self.key_now().cloned();
        if let Some(unfit) = self.path_is_unfit(admitted, key.as_deref()) {
            return Some(unfit);
        }
        self.seed.limits = Rc::clone(&governed.limits);
        admitted.mesh = Rc::clone(&governed.mesh);
        admitted.key.clone_from(&key);
        self.facts.key = key;
        None
    }

    /// Whether the key no longer names the path outside the model APIs that was asked for, or a parameter of it.
    fn path_is_unfit(&self, admitted: &Admitted, key: Option<&CompiledKey>) -> Option<Unfit> {
        let address = self.facts.address.as_ref()?;
        let is_opaque = matches!(
            address.surface,
            Surface::AnthropicOpaque | Surface::OpenaiOpaque | Surface::GeminiOpaque
        );
        let key = key.filter(|_| is_opaque)?;
        let method = admitted.headers.text(":method").unwrap_or_default();
        let granted = key.opaque_grant(address.surface.dialect(), method, &address.path);
        if let Some((code, message)) = objection(granted) {
            return Some(Unfit::terminal(code, message));
        }
        let lists = |name: &str| key.may_send_opaque(&address.path, name);
        let refused = address.query.judge_listed(lists).err()?;
        let message = refused.message();
        Some(Unfit::terminal(RefusalCode::QueryNotAllowed, &message))
    }

    /// Whether a request whose targets are chosen may not go on to the first of them.
    fn before_first_attempt(&self, now: Timestamp, plan: &Plan) -> Option<Unfit> {
        let unfit = self.key_is_unfit(now);
        let unfit = unfit.or_else(|| self.owner_is_unfit(Some(plan)));
        unfit.or_else(|| {
            let (target, _) = plan.target(1, None)?;
            self.target_now(plan, target).err()
        })
    }

    /// Whether an attempt at `target` may be made now; if so, where and with which key by the policy in force.
    pub(super) fn attempt_now(
        &self,
        now: Timestamp,
        plan: &Plan,
        target: &AttemptTarget,
    ) -> Result<(Rc<Mesh>, AttemptTarget), Unfit> {
        if let Some(unfit) = self.key_is_unfit(now) {
            return Err(unfit);
        }
        if let Some(unfit) = self.owner_is_unfit(Some(plan)) {
            return Err(unfit);
        }
        self.target_now(plan, target)
    }

    fn target_now(
        &self,
        plan: &Plan,
        target: &AttemptTarget,
    ) -> Result<(Rc<Mesh>, AttemptTarget), Unfit> {
        let mesh = self.seed.mesh.as_ref().unwrap_or(&plan.mesh);
        let is_as_before = Rc::ptr_eq(mesh, &plan.mesh) && self.standing.key.is_none();
        if is_as_before {
            return Ok((Rc::clone(mesh), target.clone()));
        }
        let key = self.key_now().map(Rc::as_ref);
        let before = plan.mesh.providers.get(target.provider);
        let found =
            before.and_then(|it| routing::attempt_now(mesh, key, it, target, plan.own_login));
        match found {
            Some(target) => Ok((Rc::clone(mesh), target)),
            None => Err(self.judged_anew(plan, mesh, key)),
        }
    }

    /// Why the request may not go where it was to go: what it would be told if it came now.
    fn judged_anew(&self, plan: &Plan, mesh: &Mesh, key: Option<&CompiledKey>) -> Unfit {
        let error = plan.route_anew(mesh, key).err();
        error.map_or_else(
            || Unfit::changed("the targets that it may go to"),
            |error| {
                let error = PlanError::Route(error);
                let (code, retry_after_secs) = error.code();
                let names = if plan.facts.is_some() {
                    Names::Model
                } else {
                    Names::NoModel
                };
                let (shown, message) = error.shown(names);
                Unfit {
                    shown,
                    code,
                    message: message.into_owned(),
                    retry_after_secs,
                }
            },
        )
    }

    /// Whether somebody else owns the key now, other guardrails apply, or its own login may not travel any more.
    fn owner_is_unfit(&self, plan: Option<&Plan>) -> Option<Unfit> {
        if !self.standing.is_changed {
            return None;
        }
        if let (Some(now), Some(before)) = (&self.standing.key, &self.facts.key) {
            if now.principal != before.principal {
                return Some(Unfit::changed("the owner of its virtual key"));
            }
            if self.facts.subscription && now.subscription == Subscription::Refused {
                return Some(Unfit::terminal(
                    RefusalCode::SubscriptionNotAllowed,
                    "This virtual key may no longer be used beside your own provider login; remove the other credential.",
                ));
            }
        }
        self.has_other_guardrails(plan)
            .then(|| Unfit::changed("its guardrails"))
    }

    /// Whether the guardrails that apply to the request are others than those that look at it.
    fn has_other_guardrails(&self, plan: Option<&Plan>) -> bool {
        let before = self.guarding.as_ref();
        let now = self.seed.guard.as_ref();
        let is_same = match (before, now) {
            (Some(before), Some(now)) => Rc::ptr_eq(&before.guard, now),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let Some(surface) = self.facts.surface.filter(|_| !is_same) else {
            return false;
        };
        let principal = self.principal();
        let targets: Vec<_> = plan.map(Plan::guard_targets).unwrap_or_default();
        let subject = Subject {
            principal: &principal,
            surface,
            asked_model: &self.facts.model_asked,
            targets: &targets,
            exchange: self.seed.id,
        };
        let is_routed = plan.is_some();
        let before = before.map(|it| covering(&it.guard, &subject, is_routed));
        let now = now.map(|guard| covering(guard, &subject, is_routed));
        before.unwrap_or_default() != now.unwrap_or_default()
    }

    /// Ends what runs if its key has ended and policy wants it to; what has not begun becomes the refusal.
    fn end_if_ended(&mut self, now: Timestamp) -> Flow {
        let last = self.attempts.last();
        let is_over = self.response_ended
            || (self.answered.is_some() && last.is_some_and(|it| it.has_come_to_its_end()))
            || self.standing.is_over
            || self.standing.ending.is_some()
            || self.draining_until.is_some();
        if is_over || self.facts.unkeyed || self.on_revoke() == OnRevoke::Finish {
            return Flow::Continue;
        }
        let Some(unfit) = self.key_is_unfit(now) else {
            return Flow::Continue;
        };
        match self.answered {
            None => {
                self.standing.left_open = true;
                return self.refuse_unfit(unfit);
            }
            // A provider's error is nothing that its key paid for.
            Some(status) if status >= 400 => {}
            Some(_) if self.ends_in_its_dialect() => {
                let until = now.as_millis().saturating_add(NEXT_EVENT_MS);
                self.standing.ending = Some((unfit.code, Timestamp::from_millis(until)));
            }
            Some(_) => self.break_off(unfit.code),
        }
        Flow::Continue
    }

    fn on_revoke(&self) -> OnRevoke {
        let of_key = self.key_now().and_then(|key| key.on_revoke);
        let of_mesh = self.seed.mesh.as_ref().map(|mesh| mesh.on_revoke);
        of_key.or(of_mesh).unwrap_or_default()
    }

    /// Whether the answer is a stream that can end before its provider ends it.
    fn ends_in_its_dialect(&self) -> bool {
        if self.guards_answer() {
            return self.guards_stream();
        }
        let last = self.attempts.last();
        self.is_followed() || last.is_some_and(super::Attempt::can_end_early)
    }

    /// Nothing can be said in the answer: the client's stream ends as one whose connection broke.
    fn break_off(&mut self, code: RefusalCode) {
        self.facts.refusal = Some(code);
        self.standing.ending = None;
        self.standing.is_over = true;
        self.commands.push_back(Command::ResetStream);
    }

    /// When time alone changes what governs what runs.
    pub(super) fn standing_due(&self) -> Option<Timestamp> {
        if let Some((_, until)) = self.standing.ending {
            return Some(until);
        }
        let is_over = self.standing.is_over || self.response_ended;
        let has_failed = self.answered.is_some_and(|status| status >= 400);
        if is_over || has_failed || self.on_revoke() == OnRevoke::Finish {
            return None;
        }
        self.key_now()?.expires_at_ms
    }

    /// The time that [`standing_due`](Self::standing_due) named has come.
    pub(super) fn standing_is_due(&mut self, now: Timestamp) -> Flow {
        if self.standing_due().is_none_or(|due| now < due) {
            self.stray_inputs = self.stray_inputs.saturating_add(1);
            return Flow::Continue;
        }
        if let Some((code, _)) = self.standing.ending {
            // The stream is silent, or in the middle of an event: there is no place for an end.
            self.break_off(code);
            return Flow::Continue;
        }
        self.end_if_ended(now)
    }

    /// Whether the next event of the stream is to be its last.
    pub(super) fn is_ending(&self) -> bool {
        self.standing.ending.is_some()
    }

    /// Whether the answer was ended, and its rest is only read.
    pub(super) fn was_ended(&self) -> bool {
        self.standing.is_over
    }

    /// Whether a provider was still at work when the answer became a refusal.
    pub(super) fn was_left_open(&self) -> bool {
        self.standing.left_open
    }

    /// Ends a stream after its last whole event; returns what stands in the place of `chunk`, `None` where no event
    /// has ended in it. The reader of the attempt has read the chunk.
    pub(super) fn end_followed(&mut self, chunk: &[u8]) -> Option<Vec<u8>> {
        let (code, _) = self.standing.ending?;
        if self.guards_stream() || self.is_followed() {
            return None;
        }
        let notice = notice(code);
        let attempt = self.attempts.last_mut()?;
        let mut out = attempt.whole_events(chunk)?;
        out.append(&mut attempt.end_early(&notice)?);
        self.ended(code);
        Some(out)
    }

    /// Ends a stream that guardrails or quotas follow, behind what passes of it.
    pub(super) fn end_edited(&mut self, passes: &[u8]) -> Option<Vec<u8>> {
        let (code, _) = self.standing.ending?;
        let mut out = passes.to_vec();
        let notice = notice(code);
        if !self.end_guarded_stream(&notice, &mut out)
            && !self.end_followed_by_meter(&notice, &mut out)
        {
            return None;
        }
        self.ended(code);
        Some(out)
    }

    fn ended(&mut self, code: RefusalCode) {
        self.facts.refusal = Some(code);
        self.standing.ending = None;
        self.standing.is_over = true;
        let until = self.latest.as_millis();
        let until = until.saturating_add(drain_ms(self.facts.client));
        self.draining_until = Some(Timestamp::from_millis(until));
    }
}

impl Unfit {
    fn terminal(code: RefusalCode, message: &str) -> Self {
        Self {
            shown: code,
            code,
            message: message.to_owned(),
            retry_after_secs: None,
        }
    }

    /// The request is good, but it was judged by something else.
    fn changed(what: &str) -> Self {
        Self {
            shown: RefusalCode::PolicyChanged,
            code: RefusalCode::PolicyChanged,
            message: format!("While this request was held, policy changed {what}; send it again."),
            retry_after_secs: Some(1),
        }
    }

    pub(super) fn unplanned(message: &str) -> Self {
        Self {
            shown: RefusalCode::PlanUnavailable,
            code: RefusalCode::PlanUnavailable,
            message: message.to_owned(),
            retry_after_secs: Some(1),
        }
    }

    pub(super) fn of(standing: compiled::Standing) -> Option<Self> {
        let (code, message) = match standing {
            compiled::Standing::Valid => return None,
            compiled::Standing::Revoked => (
                RefusalCode::KeyRevoked,
                "The virtual key was revoked; ask your administrator for a new one.",
            ),
            compiled::Standing::Inactive => (
                RefusalCode::KeyInactive,
                "The virtual key is switched off; ask your administrator.",
            ),
            compiled::Standing::Expired => (
                RefusalCode::KeyExpired,
                "The virtual key has expired; ask your administrator for a new one.",
            ),
        };
        Some(Self::terminal(code, message))
    }
}

/// What the guardrails say that apply to `subject`; where it is not routed yet, those that may.
fn covering<'g>(guard: &'g Guard, subject: &Subject<'_>, is_routed: bool) -> Content<'g> {
    let mut selection = guard.select(subject.exchange, subject.principal, subject.surface);
    if is_routed {
        guard.narrow(&mut selection, subject);
    }
    guard.content_of(&selection)
}

/// What stands at the end of an answer whose key ended.
fn notice(code: RefusalCode) -> String {
    let what = if code == RefusalCode::KeyExpired {
        "has expired"
    } else if code == RefusalCode::KeyInactive {
        "was switched off"
    } else {
        "was revoked"
    };
    format!(
        "[Your virtual key {what}, so this answer ends here. Ask your administrator. (Weir: {})]",
        code.name()
    )
}

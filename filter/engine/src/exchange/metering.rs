//! What a stream uses while it runs, and what happens when that is more than is held for it.

use dialects::refusal::{Client, RefusalCode};
use dialects::response::Framing;
use dialects::stream::{Channel, Judge, Ruling, StreamEditor, WholeRuling};
use policy::guardrail::TextRole;
use policy::quota::covering::Part;
use policy::quota::lease::{Ask, GrantAnswer};
use policy::quota::slices::Need;
use policy::quota::{OnOutage, OnStream, Unit};
use policy::units::Timestamp;

use super::Exchange;
use super::attempt::is_success;
use super::quotas::{limit_of, place_of};
use crate::messages::{CallId, Command, ConsultAnswer, ConsultKind, Flow, HeaderEdit};
use crate::quota::{Line, Size};

/// Bytes of output between two looks at the meter.
const EVERY_BYTES: u64 = 256;
/// More is held when so much of a hold is used, in percent.
const HIGH_WATER: u64 = 75;
/// When there is no room for more, a stream goes on with this part of what is held in one step.
const LAST_ROOM: u64 = 16;
/// After a refusal the service is asked again so much later.
const AGAIN_MS: u64 = 1_000;

/// What is known about a stream's use.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Visible output when it was last looked at.
    looked_at_bytes: u64,
    had_usage: bool,
    /// The question about more room that is not answered.
    asked: Option<CallId>,
    /// When more room was last refused, and whether only because nobody answered.
    refused: Option<(Timestamp, bool)>,
    /// Follows the events of a stream that may have to be ended.
    editor: Option<Box<StreamEditor>>,
    is_cut: bool,
}

/// What became of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Metered {
    AsItCame,
    Replaced(Vec<u8>),
}

impl Exchange {
    /// Prepares for a stream that may have to be ended.
    pub(super) fn meter_head(&mut self, status: u16, framing: Option<Framing>) {
        let is_guarded = self.guards_answer();
        let (Some(charging), Some(surface)) = (&mut self.charging, self.facts.surface) else {
            return;
        };
        charging.meter.editor = None;
        let may_cut = charging
            .lines
            .iter()
            .any(|line| line.on_stream == OnStream::Cut);
        if !is_success(status) || !may_cut || is_guarded {
            return;
        }
        let editor = framing
            .filter(|framing| *framing != Framing::Json)
            .and_then(|framing| StreamEditor::new(surface, framing));
        if editor.is_some() {
            self.commands.push_back(Command::EditResponse {
                edits: vec![HeaderEdit::remove("content-length")],
            });
        }
        charging.meter.editor = editor.map(Box::new);
    }

    /// Tells clients what is left, where policy shows it: of the quota of which the smallest part is left.
    pub(super) fn show_what_is_left(&mut self, status: u16) {
        if !is_success(status) {
            return;
        }
        let Some(charging) = &self.charging else {
            return;
        };
        let desk = self.seed.desk.borrow();
        // The limit of a pool says nothing about one member's cap, and where nothing is refused nothing is left.
        let lines = charging
            .lines
            .iter()
            .filter(|line| line.shows_figures && !line.is_soft && line.part == Part::Limit);
        let shown = lines.filter_map(|line| {
            let limit = self.quota(line.quota)?.rules.limit;
            let (left, resets_ms) = desk.left(line.account).filter(|_| limit > 0)?;
            let share = u128::from(left) * 1_000_000 / u128::from(limit);
            // A raise is told with what is left.
            Some((share, limit.max(left), left, resets_ms))
        });
        let Some((_, limit, left, resets_ms)) = shown.min() else {
            return;
        };
        let resets = resets_ms.div_ceil(1_000);
        drop(desk);
        let edits = [
            ("ratelimit-limit", limit),
            ("ratelimit-remaining", left),
            ("ratelimit-reset", resets),
        ];
        self.commands.push_back(Command::EditResponse {
            edits: edits
                .map(|(name, value)| HeaderEdit::set(name, value.to_string()))
                .into(),
        });
    }

    /// Looks at what the stream used after a chunk of it, `passes` of which goes on; ends it if it must not go on.
    pub(super) fn meter_chunk(&mut self, passes: &[u8], end_of_stream: bool) -> Metered {
        let Some(charging) = &mut self.charging else {
            return Metered::AsItCame;
        };
        if charging.meter.is_cut {
            return Metered::Replaced(Vec::new());
        }
        let mut out = Vec::new();
        let mut is_changed = false;
        if let Some(editor) = &mut charging.meter.editor {
            let passage = editor.push(passes, &mut PassAll, &mut out);
            is_changed = passage == dialects::usage_event::Passage::Replaced;
            if end_of_stream {
                let mut rest = Vec::new();
                editor.finish(&mut PassAll, &mut rest);
                if !is_changed && !rest.is_empty() {
                    out.extend_from_slice(passes);
                    is_changed = true;
                }
                out.append(&mut rest);
            }
        }
        if !end_of_stream
            && let Some(line) = self.overdrawn()
            && self.can_be_cut()
        {
            if !is_changed {
                out.extend_from_slice(passes);
            }
            self.cut(&line, &mut out);
            return Metered::Replaced(out);
        }
        if is_changed {
            Metered::Replaced(out)
        } else {
            Metered::AsItCame
        }
    }

    /// Whether the answer is a stream that can be ended with the events of its dialect.
    fn can_be_cut(&self) -> bool {
        self.is_followed() || self.guards_stream()
    }

    /// Whether the meter follows the events of the stream.
    pub(super) fn is_followed(&self) -> bool {
        let charging = self.charging.as_ref();
        charging.is_some_and(|charging| charging.meter.editor.is_some())
    }

    /// Ends a stream that the meter follows, for another reason than its quotas; `false` if it follows none.
    pub(super) fn end_followed_by_meter(&mut self, notice: &str, out: &mut Vec<u8>) -> bool {
        let Some(charging) = &mut self.charging else {
            return false;
        };
        let Some(editor) = &mut charging.meter.editor else {
            return false;
        };
        editor.end(Some(notice), out);
        charging.meter.is_cut = true;
        true
    }

    /// Holds more where a hold runs short; returns the quota that has no more and does not let the stream go on.
    fn overdrawn(&mut self) -> Option<Line> {
        let attempt = self.attempts.last()?;
        let (visible, has_usage) = attempt.meter_reading();
        let charging = self.charging.as_mut()?;
        let meter = &mut charging.meter;
        let is_time = visible >= meter.looked_at_bytes.saturating_add(EVERY_BYTES)
            || has_usage != meter.had_usage;
        if !is_time {
            return None;
        }
        meter.looked_at_bytes = visible;
        meter.had_usage = has_usage;
        let size = self.size_so_far();
        let place = self.attempts.last()?.place().clone();
        let key = self.facts.key.clone();
        let charging = self.charging.as_mut()?;
        let hold = charging.hold.as_mut()?;
        let mut desk = self.seed.desk.borrow_mut();
        let mut asks: Vec<Ask> = Vec::new();
        let mut overdrawn = None;
        for line in &charging.lines {
            let is_metered = !line.unit.counts_at_admission()
                && line.on_stream != OnStream::Observe
                && !line.is_soft;
            let quota = || self.seed.limits.quota(key.as_deref(), line.quota);
            if !is_metered
                || (line.is_partial
                    && quota().is_some_and(|it| !it.covers_target(&place_of(&place))))
            {
                continue;
            }
            let used = size.amount(line.unit);
            let held = hold.amount(line.account);
            if used.saturating_mul(100) <= held.saturating_mul(HIGH_WATER) {
                continue;
            }
            let step = (held / 2).max(used.saturating_sub(held)).max(1);
            let need = Need {
                account: line.account,
                amount: step,
            };
            let got = desk.extend(hold, need);
            if got < step {
                // The last room of a limit is of use, too.
                let least = used.saturating_sub(held).max(step / LAST_ROOM).max(1);
                asks.push(Ask {
                    quota: line.quota,
                    part: line.part,
                    account: line.account,
                    need: least.saturating_sub(got).max(1),
                    want: step.max(least),
                });
            }
            let refused = charging.meter.refused.is_some_and(|(_, is_unanswered)| {
                !(is_unanswered && matches!(line.on_outage, OnOutage::Allow { .. }))
            });
            if line.on_stream == OnStream::Cut && refused && used >= held.saturating_add(got) {
                overdrawn.get_or_insert(*line);
            }
        }
        let now = desk.now();
        drop(desk);
        if overdrawn.is_none() && !asks.is_empty() {
            self.ask_more(now, asks);
        }
        overdrawn
    }

    fn ask_more(&mut self, now: Timestamp, asks: Vec<Ask>) {
        let Some(charging) = &self.charging else {
            return;
        };
        let meter = &charging.meter;
        let was_refused = meter
            .refused
            .is_some_and(|(at, _)| now.millis_since(at) < AGAIN_MS);
        if meter.asked.is_some() || was_refused {
            return;
        }
        let Some(request) = self.grant_request(asks) else {
            return;
        };
        let Some(charging) = &mut self.charging else {
            return;
        };
        let call = charging.call();
        charging.meter.asked = Some(call);
        charging.pending = Some(request.clone());
        self.commands.push_back(Command::ConsultLater {
            call,
            kind: ConsultKind::Grant(request),
        });
    }

    /// Whether `call` asked for more room for the stream.
    pub(super) fn awaits_more(&self, call: CallId) -> bool {
        let charging = self.charging.as_ref();
        charging.is_some_and(|charging| charging.meter.asked == Some(call))
    }

    /// The answer about more room.
    pub(super) fn more_answered(&mut self, now: Timestamp, answer: ConsultAnswer) -> Flow {
        let Some(charging) = &mut self.charging else {
            return Flow::Continue;
        };
        charging.meter.asked = None;
        // Looked at again with the next chunk.
        charging.meter.looked_at_bytes = 0;
        let pending = charging.pending.take();
        let mut desk = self.seed.desk.borrow_mut();
        match answer {
            ConsultAnswer::Grant(GrantAnswer::Granted(granted)) => {
                let hold = charging.hold.as_ref();
                let is_of_use = granted.slices.iter().all(|slice| {
                    hold.is_some_and(|hold| hold.window(slice.account) == Some(slice.window))
                });
                if is_of_use {
                    charging.meter.refused = None;
                    desk.granted(now, &granted);
                } else {
                    // A new window has begun: it has no room for what was admitted in the one before.
                    charging.meter.refused = Some((now, false));
                    if let Some(request) = pending {
                        desk.unanswered(request.grant, &request.asks);
                    }
                }
            }
            ConsultAnswer::Grant(GrantAnswer::Refused(_)) => {
                charging.meter.refused = Some((now, false));
            }
            ConsultAnswer::Owned
            | ConsultAnswer::NotOwned
            | ConsultAnswer::Tokens(_)
            | ConsultAnswer::Unreachable => {
                if let Some(request) = pending {
                    desk.unanswered(request.grant, &request.asks);
                }
                charging.meter.refused = Some((now, true));
            }
        }
        Flow::Continue
    }

    /// Writes the dialect's ordinary end. What the provider still writes is read for a while, or not at all.
    fn cut(&mut self, line: &Line, out: &mut Vec<u8>) {
        let notice = format!(
            "\n\n[{} is used up, so this answer ends here. Ask your administrator. (Weir: {})]",
            limit_of(line),
            code(line).name()
        );
        if !self.end_guarded_stream(&notice, out)
            && let Some(charging) = &mut self.charging
            && let Some(editor) = &mut charging.meter.editor
        {
            editor.end(Some(&notice), out);
        }
        if let Some(charging) = &mut self.charging {
            charging.meter.is_cut = true;
        }
        let mut desk = self.seed.desk.borrow_mut();
        let cuts = &mut desk.counters_mut().cuts;
        *cuts = cuts.saturating_add(1);
        let until = desk
            .now()
            .as_millis()
            .saturating_add(drain_ms(self.facts.client));
        drop(desk);
        self.facts.refusal = Some(code(line));
        self.refused_by(Some(*line));
        self.draining_until = Some(Timestamp::from_millis(until));
    }

    /// Returns what the exchange used so far, by estimate.
    pub(super) fn size_so_far(&self) -> Size {
        let Some(attempt) = self.attempts.last() else {
            return Size::default();
        };
        let usage = attempt.usage_so_far(self.facts.request_bytes);
        let place = attempt.place();
        Size::of(
            &usage,
            &self.seed.limits.rates(&place.price_table, &place.model),
        )
    }

    /// Returns what it is likely to use in a second from here on.
    pub(super) fn size_per_second(&self) -> Size {
        let Some(attempt) = self.attempts.last() else {
            return Size::default();
        };
        let place = attempt.place();
        let desk = self.seed.desk.borrow();
        let output = desk.rates.expected(&place.provider, &place.model, 1_000);
        let usage = policy::usage::Usage {
            output_tokens: output,
            ..policy::usage::Usage::default()
        };
        Size::of(
            &usage,
            &self.seed.limits.rates(&place.price_table, &place.model),
        )
    }
}

const fn code(line: &Line) -> RefusalCode {
    match line.unit {
        Unit::MicroUsd => RefusalCode::BudgetExhausted,
        Unit::InputTokens
        | Unit::OutputTokens
        | Unit::TotalTokens
        | Unit::Requests
        | Unit::Concurrent => RefusalCode::RateLimited,
    }
}

/// For how long the rest of a stream that was cut is read, and charged, before the connection is broken off.
///
/// Codex is content with its terminal event and does not mind the reset; Claude Code shows an error when the
/// connection breaks, so its provider gets a moment to finish.
pub(super) const fn drain_ms(client: Client) -> u64 {
    match client {
        Client::Codex => 0,
        Client::ClaudeCode => 10_000,
        Client::GeminiCli
        | Client::OpenCode
        | Client::AnthropicSdk
        | Client::OpenaiSdk
        | Client::GoogleGenai
        | Client::Other => 2_000,
    }
}

/// Lets every text pass: only the events are followed.
struct PassAll;

impl Judge for PassAll {
    fn text(&mut self, _channel: &Channel, _piece: &str, _ends: bool) -> Ruling {
        Ruling {
            passes_to: u64::MAX,
            ..Ruling::default()
        }
    }

    fn whole(
        &mut self,
        _role: TextRole,
        _label: &str,
        _text: &str,
        _may_change: bool,
    ) -> WholeRuling {
        WholeRuling::default()
    }

    fn overflow(&mut self) -> bool {
        false
    }
}

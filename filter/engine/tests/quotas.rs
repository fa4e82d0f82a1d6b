//! Quotas as an exchange meets them: admission, refusals, streams, settlement.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use dialects::refusal::Reply;
use engine::messages::{CallId, ClosedBy, ConsultAnswer, ConsultKind};
use engine::{Command, Input};
use policy::compiled::PriceTable;
use policy::ids::{GrantId, QuotaId};
use policy::pattern::ModelPattern;
use policy::price::Rates;
use policy::quota::lease::{
    GrantAnswer, GrantRequest, Granted, Refusal, RefusalKind, Settlement, Slice, Sureness,
    WindowKey,
};
use policy::quota::slices::Spare;
use policy::quota::{
    Figures, Holds, Level, OnOutage, OnStream, Quota, QuotaNode, QuotaRules, QuotaWindow, Unit,
};
use policy::units::{MicroUsdPerMtok, Timestamp};
use support::{Driven, T0, World, code_of, edit};
use uuid::Uuid;

const PATH: &str = "/v1/messages";
const BODY: &str = r#"{"model":"claude-a","max_tokens":100,"messages":[{"role":"user","content":"hello there, how are you today?"}]}"#;
const STREAM: &str = r#"{"model":"claude-a","max_tokens":4000,"stream":true,"messages":[{"role":"user","content":"go"}]}"#;
const WINDOW: WindowKey = WindowKey {
    start_ms: 0,
    width_ms: 60_000,
    keeping: policy::quota::lease::Keeping::Durable,
};

fn quota(id: u128, unit: Unit, limit: u64) -> Quota {
    let window = (unit != Unit::Concurrent).then_some(QuotaWindow::Rolling {
        duration_ms: 3_600_000,
    });
    Quota {
        id: QuotaId::new(Uuid::from_u128(id)),
        name: format!("q{id}"),
        rules: QuotaRules::new(QuotaNode::Organisation, unit, limit, window),
    }
}

fn world(quotas: Vec<Quota>) -> World {
    let mut world = World::default();
    let rates = Rates {
        input: MicroUsdPerMtok::new(1_000_000),
        output: MicroUsdPerMtok::new(10_000_000),
        ..Rates::FREE
    };
    world.mesh_mut().prices = vec![PriceTable {
        table: "free".to_owned(),
        own: Vec::new(),
        book: Vec::new(),
        unknown: rates,
    }];
    world.mesh_mut().quotas = quotas;
    world
}

fn one(unit: Unit, change: impl FnOnce(&mut QuotaRules)) -> World {
    let mut quota = quota(1, unit, 1_000_000);
    change(&mut quota.rules);
    world(vec![quota])
}

#[track_caller]
fn asked(driven: &mut Driven) -> (CallId, GrantRequest) {
    let mut commands = driven.commands();
    if matches!(commands.as_slice(), [Command::FindSpares(_)]) {
        driven.push(Input::SparesFound(&[]));
        commands = driven.commands();
    }
    let asked = commands.iter().find_map(grant_asked);
    asked.unwrap_or_else(|| panic!("nothing asked: {commands:?}"))
}

fn grant_asked(command: &Command) -> Option<(CallId, GrantRequest)> {
    if let Command::Consult { call, kind } | Command::ConsultLater { call, kind } = command
        && let ConsultKind::Grant(request) = kind
    {
        return Some((*call, request.clone()));
    }
    None
}

fn grant(request: &GrantRequest, amount: impl Fn(u64) -> u64) -> ConsultAnswer {
    let slices = request.asks.iter().map(|ask| Slice {
        account: ask.account,
        amount: amount(ask.need),
        window: WINDOW,
        ends: Timestamp::from_millis(u64::MAX),
        left: 700_000,
    });
    ConsultAnswer::Grant(GrantAnswer::Granted(Granted {
        grant: request.grant,
        expires: Timestamp::from_millis(T0.as_millis() + 15_000),
        slices: slices.collect(),
    }))
}

fn refusal(
    request: &GrantRequest,
    kind: RefusalKind,
    retry_after_ms: Option<u64>,
) -> ConsultAnswer {
    ConsultAnswer::Grant(GrantAnswer::Refused(Refusal {
        kind,
        quota: request.asks[0].quota,
        account: request.asks[0].account,
        level: Level::Organisation,
        retry_after_ms,
    }))
}

fn header<'a>(reply: &'a Reply, wanted: &str) -> Option<&'a str> {
    let mut headers = reply.headers.iter();
    let found = headers.find(|(name, _)| *name == wanted);
    found.map(|(_, value)| value.as_str())
}

fn settlements(world: &World) -> Vec<Settlement> {
    let told = world.desk.borrow_mut().keep_message(T0, false);
    told.map(|told| told.settlements).unwrap_or_default()
}

/// One exchange that was granted `amount(need)` and answered with 20 tokens in and 7 out.
fn whole_exchange(world: &World, amount: impl Fn(u64) -> u64) -> Driven {
    let mut driven = Driven::post(world, PATH, &[], BODY);
    let (call, request) = asked(&mut driven);
    let answer = grant(&request, amount);
    driven.push(Input::Consulted { call, answer });
    driven.forwarded();
    answered(&mut driven);
    driven
}

fn answered(driven: &mut Driven) {
    driven.attempt(1, None);
    let body = br#"{"id":"m","type":"message","content":[],"usage":{"input_tokens":20,"output_tokens":7}}"#;
    driven.answer(1, 200, "application/json", &[body]);
    driven.close(ClosedBy::Nobody);
}

#[test]
fn what_was_used_is_charged_and_the_rest_admits_the_next_without_asking() {
    let world = one(Unit::TotalTokens, |_| {});
    whole_exchange(&world, |need| need * 3);
    let settled = settlements(&world);
    assert_eq!(settled.len(), 1);
    assert_eq!(settled[0].charges[0].amount, 27);
    assert_eq!(
        (settled[0].sureness, settled[0].closes),
        (Sureness::Exact, true)
    );

    let mut next = Driven::post(&world, PATH, &[], BODY);
    next.forwarded();
}

#[test]
fn money_is_priced_by_the_target_and_rounded_up() {
    let world = one(Unit::MicroUsd, |_| {});
    whole_exchange(&world, |need| need * 2);
    assert_eq!(settlements(&world)[0].charges[0].amount, 20 + 7 * 10);
}

#[test]
fn requests_count_at_admission_whatever_becomes_of_them() {
    let world = one(Unit::Requests, |_| {});
    let mut driven = Driven::post(&world, PATH, &[], BODY);
    let (call, request) = asked(&mut driven);
    assert_eq!(request.asks[0].need, 1);
    let answer = grant(&request, |need| need);
    driven.push(Input::Consulted { call, answer });
    driven.forwarded();
    let settled = settlements(&world);
    assert_eq!((settled[0].attempt, settled[0].charges[0].amount), (0, 1));
    driven.attempt(1, None);
    driven.answer(1, 500, "application/json", &[b"{}"]);
    driven.close(ClosedBy::Nobody);
    let mut next = Driven::post(&world, PATH, &[], BODY);
    let _ = asked(&mut next);
}

#[test]
fn failures_cost_nothing_and_give_all_back() {
    let world = one(Unit::TotalTokens, |_| {});
    let mut driven = Driven::post(&world, PATH, &[], BODY);
    let (call, request) = asked(&mut driven);
    let answer = grant(&request, |need| need);
    driven.push(Input::Consulted { call, answer });
    driven.forwarded();
    driven.attempt(1, None);
    driven.answer(1, 429, "application/json", &[b"{}"]);
    driven.close(ClosedBy::Nobody);
    assert_eq!(settlements(&world), []);
    Driven::post(&world, PATH, &[], BODY).forwarded();
}

#[test]
fn an_exhausted_budget_stops_the_client_and_shows_no_figures() {
    let world = one(Unit::MicroUsd, |_| {});
    let agent = [("user-agent", "claude-cli/2.1.0 (external, cli)")];
    let mut driven = Driven::post(&world, PATH, &agent, BODY);
    let (call, request) = asked(&mut driven);
    let answer = refusal(&request, RefusalKind::Exhausted, Some(7_200_000));
    driven.push(Input::Consulted { call, answer });
    let reply = driven.reply();
    assert_eq!(
        (code_of(&reply).as_str(), reply.status),
        ("budget_exhausted", 402)
    );
    assert_eq!(header(&reply, "retry-after"), Some("7200"));
    assert_eq!(header(&reply, "x-should-retry"), Some("false"));
    let text = String::from_utf8(reply.body).unwrap();
    assert!(
        text.contains("the budget of your organisation")
            || text.contains("The budget of your organisation"),
        "{text}"
    );
    assert!(!text.contains("q1") && !text.contains('$'), "{text}");
    let record = driven.close(ClosedBy::Nobody);
    assert_eq!(record.refused_by, "q1");
}

#[test]
fn a_rate_limit_tells_its_wait_and_figures_where_they_are_shown() {
    let world = one(Unit::Requests, |rules| rules.figures = Figures::Shown);
    let mut driven = Driven::post(&world, PATH, &[], BODY);
    let (call, request) = asked(&mut driven);
    let answer = refusal(&request, RefusalKind::Exhausted, Some(12_001));
    driven.push(Input::Consulted { call, answer });
    let reply = driven.reply();
    assert_eq!(
        (code_of(&reply).as_str(), reply.status),
        ("rate_limited", 429)
    );
    for (name, want) in [
        ("retry-after", "13"),
        ("ratelimit-limit", "1000000"),
        ("ratelimit-remaining", "0"),
        ("ratelimit-reset", "13"),
    ] {
        assert_eq!(header(&reply, name), Some(want), "{name}");
    }
}

#[test]
fn room_that_others_hold_is_waited_for() {
    let world = one(Unit::TotalTokens, |rules| rules.contention_wait_ms = 500);
    let mut driven = Driven::post(&world, PATH, &[], BODY);
    let (mut call, mut request) = asked(&mut driven);
    for _ in 0..2 {
        let answer = refusal(&request, RefusalKind::Contended, Some(1_000));
        driven.push(Input::Consulted { call, answer });
        assert!(driven.exchange.waits_its_turn());
        driven.pass_deadline();
        let before = request.grant;
        (call, request) = asked(&mut driven);
        assert_ne!(request.grant, before, "a grant of its own");
    }
    let answer = refusal(&request, RefusalKind::Contended, Some(1_000));
    driven.push(Input::Consulted { call, answer });
    let reply = driven.reply();
    assert_eq!(code_of(&reply), "contended");
    assert_eq!(header(&reply, "retry-after"), Some("1"));
}

#[test]
fn without_the_service_the_policy_decides() {
    for (on_outage, want) in [
        (OnOutage::Deny, None),
        (OnOutage::Allow { outage_cap: 10_000 }, Some(0)),
    ] {
        let world = one(Unit::TotalTokens, |rules| rules.on_outage = on_outage);
        let mut driven = Driven::post(&world, PATH, &[], BODY);
        let (call, request) = asked(&mut driven);
        let answer = ConsultAnswer::Unreachable;
        driven.push(Input::Consulted { call, answer });
        if want.is_some() {
            let commands = driven.commands();
            assert!(matches!(commands.as_slice(), [Command::TakeCredit(_)]));
            driven.push(Input::CreditTaken(None));
        }
        let returned = world
            .desk
            .borrow_mut()
            .keep_message(T0, false)
            .unwrap()
            .returned;
        assert_eq!(
            returned[0].grant, request.grant,
            "what may have been granted goes back"
        );
        match want {
            None => assert_eq!(code_of(&driven.reply()), "service_unreachable"),
            Some(_) => {
                driven.forwarded();
                answered(&mut driven);
                let charge = settlements(&world)[0].charges[0];
                assert_eq!((charge.amount, charge.debt), (27, 27));
            }
        }
    }
}

#[test]
fn strict_quotas_hold_the_most_and_always_ask() {
    let world = one(Unit::OutputTokens, |rules| rules.holds = Holds::Strict);
    let mut driven = Driven::post(&world, PATH, &[], BODY);
    let (call, request) = asked(&mut driven);
    assert_eq!((request.asks[0].need, request.asks[0].want), (100, 100));
    let answer = grant(&request, |need| need);
    driven.push(Input::Consulted { call, answer });
    driven.forwarded();
    answered(&mut driven);
    let told = world.desk.borrow_mut().keep_message(T0, false).unwrap();
    assert_eq!(told.settlements[0].charges[0].amount, 7);
    assert_eq!(told.returned[0].amount, 93);
    let _ = asked(&mut Driven::post(&world, PATH, &[], BODY));
}

/// What nobody reports is charged as seen, and all that was set aside where policy is strict.
#[test]
fn an_answer_without_usage_costs_what_was_seen_or_held() {
    for (usage, on_lease, strict) in [
        (r#""output_tokens":9"#, 9, 9),
        (r#""output_tokens":0"#, 5, 100),
        (r#""output_tokens":null"#, 5, 100),
        ("", 5, 100),
    ] {
        for (holds, want) in [(Holds::Learned, on_lease), (Holds::Strict, strict)] {
            let world = one(Unit::OutputTokens, |rules| rules.holds = holds);
            let mut driven = Driven::post(&world, PATH, &[], BODY);
            let (call, request) = asked(&mut driven);
            let answer = grant(&request, |need| need);
            driven.push(Input::Consulted { call, answer });
            driven.forwarded();
            driven.attempt(1, None);
            let text = "twenty bytes of text";
            let body = format!(
                r#"{{"type":"message","content":[{{"text":"{text}"}}],"usage":{{"input_tokens":9,{usage}}}}}"#
            );
            let body = body.replace(",}", "}");
            driven.answer(1, 200, "application/json", &[body.as_bytes()]);
            driven.close(ClosedBy::Nobody);
            assert_eq!(settlements(&world)[0].charges[0].amount, want, "{usage}");
        }
    }
}

/// An attempt that ended without an answer: nothing if soon, the estimate if late, and strictly what was held.
#[test]
fn a_lost_attempt_costs_by_when_it_ended() {
    use engine::messages::AttemptNumber;
    let request = BODY.len().div_ceil(4) as u64;
    for (ended_ms, on_lease) in [(1_999, 0), (2_500, request)] {
        for holds in [Holds::Learned, Holds::Strict] {
            let world = one(Unit::TotalTokens, |rules| rules.holds = holds);
            let mut driven = Driven::post(&world, PATH, &[], BODY);
            let (call, request) = asked(&mut driven);
            let want = if holds == Holds::Strict && on_lease > 0 {
                request.asks[0].need
            } else {
                on_lease
            };
            let answer = grant(&request, |need| need);
            driven.push(Input::Consulted { call, answer });
            driven.forwarded();
            driven.attempt(1, None);
            driven.pass(ended_ms);
            driven.push(Input::AttemptLost {
                number: AttemptNumber(1),
                connected_ms: Some(0),
            });
            driven.push(Input::ResponseHeaders {
                status: 503,
                details: "",
                end_of_stream: true,
            });
            driven.commands();
            driven.close(ClosedBy::Nobody);
            let charges = settlements(&world).into_iter().flat_map(|it| it.charges);
            let charged: u64 = charges.map(|charge| charge.amount).sum();
            assert_eq!(charged, want, "{ended_ms} {holds:?}");
        }
    }
}

#[test]
fn a_client_that_leaves_while_it_waits_leaves_no_grant() {
    let world = one(Unit::TotalTokens, |_| {});
    let mut driven = Driven::post(&world, PATH, &[], BODY);
    let (_, request) = asked(&mut driven);
    driven.push(Input::Closed {
        peer: ClosedBy::Client,
        response_bytes: 0,
    });
    let told = world.desk.borrow_mut().keep_message(T0, false).unwrap();
    assert_eq!(told.settlements, []);
    assert_eq!(
        (told.returned[0].grant, told.returned[0].amount),
        (request.grant, u64::MAX)
    );
}

#[test]
fn counting_tokens_is_free() {
    let world = one(Unit::Requests, |_| {});
    let mut driven = Driven::post(&world, "/v1/messages/count_tokens", &[], BODY);
    driven.forwarded();
}

#[test]
fn quotas_for_some_models_are_charged_for_those_alone() {
    let world = one(Unit::TotalTokens, |rules| {
        rules.models = vec![ModelPattern::parse("claude-b").unwrap()];
    });
    Driven::post(&world, PATH, &[], BODY).forwarded();
    // An alias that may end at either model holds, and gives back what the other one answered.
    let mut driven = Driven::post(&world, PATH, &[], &BODY.replace("claude-a", "smart"));
    let (call, request) = asked(&mut driven);
    let answer = grant(&request, |need| need);
    driven.push(Input::Consulted { call, answer });
    driven.forwarded();
    driven.attempt(1, Some("anthropic-a"));
    let body = br#"{"id":"m","type":"message","content":[],"usage":{"input_tokens":20,"output_tokens":7}}"#;
    driven.answer(1, 200, "application/json", &[body]);
    driven.close(ClosedBy::Nobody);
    let charges: Vec<_> = settlements(&world)
        .into_iter()
        .flat_map(|it| it.charges)
        .collect();
    assert_eq!(charges, []);
}

#[test]
fn every_quota_proves_that_it_refuses() {
    let mut world = world(vec![
        quota(1, Unit::MicroUsd, 5),
        quota(2, Unit::Concurrent, 5),
    ]);
    let scope = policy::documents::Scope::Global;
    world.mesh_mut().quotas[1].rules.node = QuotaNode::EachSession(scope);
    let limits = engine::quota::Limits::new(world.mesh_mut());
    assert_eq!(limits.prove(), (2, String::new()));

    let pattern = ModelPattern::parse("regex:gpt-5.*").unwrap();
    world.mesh_mut().quotas[0].rules.models = vec![pattern];
    let limits = engine::quota::Limits::new(world.mesh_mut());
    assert_eq!(limits.prove(), (2, String::new()), "whatever its patterns");
}

fn event(text: &str) -> String {
    format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
    )
}

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"role\":\"assistant\",\"content\":[],\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";

/// A stream that outgrows what is held for it: what the client sees after `refused` refusals of more.
fn outgrown(on_stream: OnStream) -> (World, Driven, Vec<u8>) {
    let world = one(Unit::OutputTokens, |rules| rules.on_stream = on_stream);
    let mut driven = Driven::post(&world, PATH, &[], STREAM);
    let (call, request) = asked(&mut driven);
    let answer = grant(&request, |need| need);
    driven.push(Input::Consulted { call, answer });
    driven.forwarded();
    driven.attempt(1, None);
    let seen = driven.begin_answer(1, 200, "text/event-stream", &[START.as_bytes()]);
    (world, driven, seen)
}

fn write(driven: &mut Driven, seen: &mut Vec<u8>) -> Option<(CallId, GrantRequest)> {
    let text = event(&"word ".repeat(400));
    driven.push(Input::AttemptBody {
        number: engine::messages::AttemptNumber(1),
        chunk: text.as_bytes(),
        end_of_stream: false,
    });
    let commands = driven.commands();
    let found = commands.iter().find_map(grant_asked);
    let replaced = commands.into_iter().find_map(|command| {
        if let Command::ReplaceChunk(bytes) = command {
            Some(bytes)
        } else {
            None
        }
    });
    seen.extend(replaced.unwrap_or_else(|| text.into_bytes()));
    found
}

#[test]
fn a_stream_that_outgrows_its_budget_is_cut_with_the_ordinary_end() {
    let (world, mut driven, mut seen) = outgrown(OnStream::Cut);
    let mut more = None;
    while more.is_none() {
        more = write(&mut driven, &mut seen);
    }
    let (call, request) = more.unwrap();
    let answer = refusal(&request, RefusalKind::Exhausted, None);
    driven.push(Input::Consulted { call, answer });
    for _ in 0..20 {
        write(&mut driven, &mut seen);
    }
    let text = String::from_utf8(seen).unwrap();
    assert!(text.contains("message_stop"), "{text}");
    assert!(text.contains("rate_limited"), "the end says why");
    assert!(text.ends_with("\n\n"));
    assert_eq!(
        text.matches("message_stop").count(),
        2,
        "event and data, once"
    );
    assert!(driven.exchange.is_draining());
    assert_eq!(world.desk.borrow().counters().cuts, 1);
    let record = driven.close(ClosedBy::Nobody);
    assert_eq!(record.refusal_code, "rate_limited");
    let settled = settlements(&world);
    assert!(
        settled[0].charges[0].amount > 2_048,
        "what was drained is charged"
    );
}

#[test]
fn a_stream_goes_on_while_there_is_room() {
    for on_stream in [OnStream::Cut, OnStream::Extend, OnStream::Observe] {
        let (_world, mut driven, mut seen) = outgrown(on_stream);
        let mut asked = 0;
        for _ in 0..30 {
            if let Some((call, request)) = write(&mut driven, &mut seen) {
                asked += 1;
                let answer = grant(&request, |need| need * 4);
                driven.push(Input::Consulted { call, answer });
            }
        }
        assert_eq!(asked > 0, on_stream != OnStream::Observe, "{on_stream:?}");
        assert!(!String::from_utf8(seen).unwrap().contains("message_stop"));
    }
}

#[test]
fn a_stream_that_is_only_extended_goes_on_without_room() {
    let (_world, mut driven, mut seen) = outgrown(OnStream::Extend);
    for _ in 0..30 {
        if let Some((call, request)) = write(&mut driven, &mut seen) {
            let answer = refusal(&request, RefusalKind::Exhausted, None);
            driven.push(Input::Consulted { call, answer });
        }
    }
    assert!(!driven.exchange.is_draining());
}

#[test]
fn what_is_left_is_shown_where_policy_says_so() {
    let world = one(Unit::TotalTokens, |rules| rules.figures = Figures::Shown);
    let mut driven = Driven::post(&world, PATH, &[], BODY);
    let (call, request) = asked(&mut driven);
    let answer = grant(&request, |need| need);
    driven.push(Input::Consulted { call, answer });
    driven.forwarded();
    driven.attempt(1, None);
    let headers = [("content-type", "application/json")].into_iter().collect();
    driven.push(Input::AttemptHeaders {
        number: engine::messages::AttemptNumber(1),
        status: 200,
        headers: &headers,
        end_of_stream: false,
    });
    let commands = driven.commands();
    let edits = commands.iter().find_map(|command| {
        if let Command::EditResponse { edits } = command {
            Some(edits)
        } else {
            None
        }
    });
    let edits = edits.expect("headers for the client");
    assert_eq!(edit(edits, "ratelimit-limit"), Some("1000000"));
    assert_eq!(edit(edits, "ratelimit-remaining"), Some("700000"));
}

#[test]
fn the_ledger_hears_what_runs() {
    let (_world, mut driven, mut seen) = outgrown(OnStream::Observe);
    write(&mut driven, &mut seen);
    let running = driven.exchange.running_holds(T0).expect("it runs");
    assert_eq!(running.attempt, 1);
    assert_eq!(running.holds.len(), 1);
    assert!(running.holds[0].so_far >= 500 && running.holds[0].held >= 2_048);
    assert!(
        driven.exchange.running_holds(T0).is_none(),
        "not twice at once"
    );
}

#[test]
fn what_other_workers_can_spare_admits_without_asking() {
    let world = one(Unit::TotalTokens, |_| {});
    let mut driven = Driven::post(&world, PATH, &[], BODY);
    let commands = driven.commands();
    let [Command::FindSpares(wanted)] = commands.as_slice() else {
        panic!("nothing looked for: {commands:?}");
    };
    let spare = Spare {
        account: wanted[0].account,
        grant: GrantId::from_bytes([9; 16]),
        window: WINDOW,
        ends: Timestamp::from_millis(u64::MAX),
        expires: Timestamp::from_millis(T0.as_millis() + 15_000),
        granted: T0,
        amount: wanted[0].amount,
    };
    driven.push(Input::SparesFound(&[spare]));
    driven.forwarded();
    answered(&mut driven);
    let settled = settlements(&world);
    assert_eq!(settled[0].taken[0].grant, spare.grant);
}

#[test]
fn nothing_is_presumed_of_a_strict_request_that_was_not_admitted() {
    let world = one(Unit::OutputTokens, |rules| rules.holds = Holds::Strict);
    let mut driven = Driven::post(&world, PATH, &[], BODY);
    let (call, _) = asked(&mut driven);
    let answer = ConsultAnswer::Unreachable;
    driven.push(Input::Consulted { call, answer });
    driven.close(ClosedBy::Nobody);
    let settled = settlements(&world);
    assert_eq!(settled[0].charges, []);
    assert_eq!((settled[0].attempt, settled[0].closes), (1, true));
}

#[test]
fn a_new_window_has_no_room_for_a_stream_of_the_old_one() {
    let (world, mut driven, mut seen) = outgrown(OnStream::Cut);
    let mut more = None;
    while more.is_none() {
        more = write(&mut driven, &mut seen);
    }
    let (call, request) = more.unwrap();
    let mut answer = grant(&request, |need| need * 4);
    if let ConsultAnswer::Grant(GrantAnswer::Granted(granted)) = &mut answer {
        granted.slices[0].window.start_ms = 1;
    }
    driven.push(Input::Consulted { call, answer });
    let told = world.desk.borrow_mut().keep_message(T0, false).unwrap();
    assert_eq!(told.returned[0].grant, request.grant);
    for _ in 0..20 {
        write(&mut driven, &mut seen);
    }
    assert!(driven.exchange.is_draining());
}

#[test]
fn leases_that_the_ledger_does_not_know_are_not_used() {
    let world = one(Unit::TotalTokens, |_| {});
    whole_exchange(&world, |need| need * 3);
    let told = world.desk.borrow_mut().keep_message(T0, false).unwrap();
    assert_eq!(told.keep.len(), 1);
    world.desk.borrow_mut().kept(T0, &[], &told.keep, T0, &[]);
    let _ = asked(&mut Driven::post(&world, PATH, &[], BODY));
}

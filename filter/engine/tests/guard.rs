//! Guardrails in an exchange, from the request's texts to the client's last byte.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use dialects::splice::apply;
use engine::guard::Verdict;
use engine::messages::{AttemptNumber, ClosedBy, ConsultAnswer, ConsultKind};
use engine::{Command, Input};
use policy::guardrail::{Action, Detector, GuardrailRules, OnHistory, RedactStyle, Stage};
use policy::secret::Secret;
use support::{Driven, World};

const SECRET: &str = "SECRET-123456";
const OTHER: &str = "SECRET-999999";

fn rules(action: Action) -> GuardrailRules {
    GuardrailRules::new(vec![Stage {
        detectors: vec![Detector::Regex {
            id: "marker".to_owned(),
            pattern: "SECRET-[0-9]{6}".to_owned(),
            group: 0,
        }],
        action,
    }])
}

fn redacting() -> World {
    World::guarded(rules(Action::Redact(RedactStyle::Replace { with: None })))
}

fn tokenising() -> World {
    World::guarded(rules(Action::Tokenise))
}

fn body(content: &str) -> String {
    format!(
        r#"{{"model":"claude-a","stream":true,"max_tokens":9,"messages":[{{"role":"user","content":"{content}"}}]}}"#
    )
}

fn post(world: &World, body: &str) -> Driven {
    Driven::post(world, "/v1/messages", &[], body)
}

/// What the provider gets; commands for the vault are returned beside it.
#[track_caller]
fn sent(driven: &mut Driven, body: &str) -> (String, Vec<Command>) {
    let mut commands = driven.commands();
    if let Some(Command::Consult { call, .. }) = commands.last() {
        let answer = ConsultAnswer::Tokens(Vec::new());
        driven.push(Input::Consulted {
            call: *call,
            answer,
        });
        commands.pop();
        commands.extend(driven.commands());
    }
    let forward = commands.pop();
    assert!(
        matches!(forward, Some(Command::Forward { .. })),
        "{forward:?}"
    );
    driven.attempt(1, None);
    let sent = match driven.commands().as_mut_slice() {
        [Command::SplicePrefix(splice)] => {
            String::from_utf8(apply(body.as_bytes(), &mut splice.splices).unwrap()).unwrap()
        }
        [] => body.to_owned(),
        other => panic!("{other:?}"),
    };
    (sent, commands)
}

fn delta(text: &str) -> String {
    format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
    )
}

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"role\":\"assistant\",\"content\":[]}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
const STOP: &str = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

fn answered(driven: &mut Driven, chunks: &[String]) -> String {
    let chunks: Vec<_> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
    String::from_utf8(driven.answer(1, 200, "text/event-stream", &chunks)).unwrap()
}

#[test]
fn a_value_is_redacted_and_nothing_else_changes() {
    let body = body(&format!(r#"the \"key\" is\n{SECRET}."#));
    let mut driven = post(&redacting(), &body);
    let (sent, _) = sent(&mut driven, &body);
    assert_eq!(sent, body.replace(SECRET, "[REDACTED:marker]"));
}

#[test]
fn a_clean_request_passes_byte_for_byte() {
    let body = body("nothing to hide");
    let mut driven = post(&redacting(), &body);
    assert_eq!(sent(&mut driven, &body), (body, vec![]));
}

#[test]
fn a_blocked_request_is_refused_and_its_text_is_history_from_then_on() {
    let world = World::guarded(rules(Action::Block));
    let body = body(SECRET);
    let mut driven = post(&world, &body);
    let marks = match driven.commands().as_slice() {
        [Command::FindMarks(marks)] => marks.clone(),
        other => panic!("{other:?}"),
    };
    driven.push(Input::MarksFound(&[]));
    match driven.commands().as_slice() {
        [Command::KeepMarks(kept), Command::Reply(reply)] => {
            assert_eq!(*kept, marks);
            let text = String::from_utf8_lossy(&reply.body);
            assert!(
                text.contains("Guardrail `g`") && text.contains("`marker`"),
                "{text}"
            );
            assert!(!text.contains(SECRET), "{text}");
        }
        other => panic!("{other:?}"),
    }

    let mut again = post(&world, &body);
    again.commands();
    again.push(Input::MarksFound(&marks));
    let (sent, _) = sent(&mut again, &body);
    assert_eq!(sent, body.replace(SECRET, "[REDACTED:marker]"));
    let record = again.close(ClosedBy::Nobody);
    assert_eq!(record.guardrails[0].verdict, Verdict::Redacted);
}

#[test]
fn old_texts_are_redacted_where_new_ones_are_blocked() {
    let world = World::guarded(rules(Action::Block));
    let body = format!(
        r#"{{"model":"claude-a","max_tokens":9,"messages":[{{"role":"user","content":"{SECRET}"}},{{"role":"assistant","content":"ok"}},{{"role":"user","content":"go on"}}]}}"#
    );
    let mut driven = post(&world, &body);
    let (sent, _) = sent(&mut driven, &body);
    assert_eq!(sent, body.replace(SECRET, "[REDACTED:marker]"));

    let mut strict = rules(Action::Block);
    strict.on_history = OnHistory::Block;
    let mut driven = post(&World::guarded(strict), &body);
    match driven.commands().as_slice() {
        [Command::KeepMarks(_), Command::Reply(_)] | [Command::Reply(_)] => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_is_a_token_at_the_provider_and_itself_at_the_client() {
    let world = tokenising();
    let body = body(&format!("use {SECRET} and {OTHER}"));
    let mut driven = post(&world, &body);
    let (sent, commands) = sent(&mut driven, &body);
    assert!(!sent.contains(SECRET) && !sent.contains(OTHER), "{sent}");
    let minted = match commands.as_slice() {
        [Command::KeepTokens(minted)] => minted.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(minted.len(), 2);
    let token = &minted[0].token;
    assert!(sent.contains(token.as_str()));

    let (head, tail) = token.split_at(11);
    let got = answered(
        &mut driven,
        &[
            START.to_owned(),
            delta(&format!("it is {head}")),
            delta(&format!("{tail} now")),
            STOP.to_owned(),
        ],
    );
    let want = [
        START.to_owned(),
        delta(&format!("it is {SECRET}")),
        delta(" now"),
        STOP.to_owned(),
    ]
    .concat();
    assert_eq!(got, want);

    // The same value has the same token in the next turn, and is told once.
    let mut next = post(&world, &body);
    assert_eq!(self::sent(&mut next, &body), (sent, vec![]));
}

#[test]
fn a_token_that_this_worker_does_not_know_is_asked_for() {
    let body = body(SECRET);
    let mut elsewhere = post(&tokenising(), &body);
    let (sent_there, _) = sent(&mut elsewhere, &body);

    let mut driven = post(&tokenising(), &sent_there);
    let (call, tokens) = match driven.commands().as_slice() {
        [
            Command::Consult {
                call,
                kind: ConsultKind::FindTokens { tokens, .. },
            },
        ] => (*call, tokens.clone()),
        other => panic!("{other:?}"),
    };
    let answer = ConsultAnswer::Tokens(vec![(tokens[0].clone(), Secret::new(SECRET))]);
    driven.push(Input::Consulted { call, answer });
    let (sent, _) = sent(&mut driven, &sent_there);
    assert_eq!(sent, sent_there);
    let got = answered(
        &mut driven,
        &[
            START.to_owned(),
            delta(&format!("{} ", tokens[0])),
            STOP.to_owned(),
        ],
    );
    assert_eq!(
        got,
        [
            START.to_owned(),
            delta(&format!("{SECRET} ")),
            STOP.to_owned()
        ]
        .concat()
    );
}

#[test]
fn a_value_that_the_vault_does_not_back_is_not_restored() {
    let body = body(SECRET);
    let mut elsewhere = post(&tokenising(), &body);
    let (sent_there, _) = sent(&mut elsewhere, &body);
    let mut driven = post(&tokenising(), &sent_there);
    let (call, tokens) = match driven.commands().as_slice() {
        [
            Command::Consult {
                call,
                kind: ConsultKind::FindTokens { tokens, .. },
            },
        ] => (*call, tokens.clone()),
        other => panic!("{other:?}"),
    };
    let answer = ConsultAnswer::Tokens(vec![(tokens[0].clone(), Secret::new("of somebody else"))]);
    driven.push(Input::Consulted { call, answer });
    sent(&mut driven, &sent_there);
    let chunks = [
        START.to_owned(),
        delta(&format!("{} ", tokens[0])),
        STOP.to_owned(),
    ];
    assert_eq!(answered(&mut driven, &chunks), chunks.concat());
}

#[test]
fn a_stream_is_redacted_at_every_cut() {
    let world = redacting();
    let request = body("hello");
    for cut in 0..=SECRET.len() {
        let (head, tail) = SECRET.split_at(cut);
        let mut driven = post(&world, &request);
        sent(&mut driven, &request);
        let got = answered(
            &mut driven,
            &[
                START.to_owned(),
                delta(&format!("it is {head}")),
                delta(&format!("{tail} now")),
                STOP.to_owned(),
            ],
        );
        assert!(!got.contains(SECRET), "{got}");
        assert!(got.contains("[REDACTED:marker]"), "{got}");
        for length in 8..=SECRET.len() {
            assert!(!got.contains(SECRET.get(..length).unwrap()), "{got}");
        }
    }
}

#[test]
fn a_stopped_stream_says_why_and_is_reset_after_its_drain() {
    let mut strict = rules(Action::Block);
    strict.stream_end.drain_max_ms = 500;
    let request = body("hello");
    let mut driven = post(&World::guarded(strict), &request);
    sent(&mut driven, &request);
    let chunk = delta(&format!("it is {SECRET} now "));
    let seen = driven.begin_answer(
        1,
        200,
        "text/event-stream",
        &[START.as_bytes(), chunk.as_bytes()],
    );
    let seen = String::from_utf8(seen).unwrap();
    assert!(!seen.contains(SECRET), "{seen}");
    assert!(driven.exchange.is_draining());
    driven.push(Input::AttemptBody {
        number: AttemptNumber(1),
        chunk: delta("more").as_bytes(),
        end_of_stream: false,
    });
    assert_eq!(driven.commands(), [Command::ReplaceChunk(Vec::new())]);
    driven.pass_deadline();
    assert_eq!(driven.commands(), [Command::ResetStream]);
    let record = driven.close(ClosedBy::Nobody);
    assert_eq!(record.refusal_code, "guardrail_blocked");
    let outcome = record.guardrails.last().unwrap();
    assert_eq!(outcome.verdict, Verdict::Blocked);
    assert_eq!(outcome.findings[0].rule, "marker");
}

#[test]
fn a_whole_answer_waits_and_is_redacted_in_place() {
    let request = body("hello").replace(r#""stream":true,"#, "");
    let answer = format!(
        r#"{{"id":"m","type":"message","content":[{{"type":"text","text":"a {SECRET}"}}]}}"#
    );
    let mut driven = post(&redacting(), &request);
    sent(&mut driven, &request);
    let held = driven.begin_answer(1, 200, "application/json", &[answer.as_bytes()]);
    assert_eq!(held, b"");
    driven.push(Input::AttemptBody {
        number: AttemptNumber(1),
        chunk: &[],
        end_of_stream: true,
    });
    match driven.commands().as_mut_slice() {
        [Command::EditResponse { .. }, Command::SpliceAnswer(splice)] => {
            let changed = apply(answer.as_bytes(), &mut splice.splices).unwrap();
            assert_eq!(
                String::from_utf8(changed).unwrap(),
                answer.replace(SECRET, "[REDACTED:marker]")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_answer_that_is_blocked_becomes_a_refusal() {
    let request = body("hello").replace(r#""stream":true,"#, "");
    let answer = format!(r#"{{"content":[{{"type":"text","text":"{SECRET}"}}]}}"#);
    let mut driven = post(&World::guarded(rules(Action::Block)), &request);
    sent(&mut driven, &request);
    driven.begin_answer(1, 200, "application/json", &[answer.as_bytes()]);
    driven.push(Input::AttemptBody {
        number: AttemptNumber(1),
        chunk: &[],
        end_of_stream: true,
    });
    match driven.commands().as_slice() {
        [Command::RewriteAnswer(reply)] => {
            assert!(!String::from_utf8_lossy(&reply.body).contains(SECRET));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_signature_that_anybody_could_write_protects_nothing() {
    let body = format!(
        r#"{{"model":"claude-a","max_tokens":9,"messages":[{{"role":"user","content":[{{"type":"text","text":"{SECRET}","signature":"x"}}]}}]}}"#
    );
    let mut driven = post(&redacting(), &body);
    let (sent, _) = sent(&mut driven, &body);
    assert_eq!(sent, body.replace(SECRET, "[REDACTED:marker]"));
}

#[test]
fn reasoning_that_the_provider_signed_stays_and_is_recorded() {
    let body = format!(
        r#"{{"model":"claude-a","max_tokens":9,"messages":[{{"role":"user","content":"hi"}},{{"role":"assistant","content":[{{"type":"thinking","thinking":"{SECRET}","signature":"x"}}]}},{{"role":"user","content":"go on"}}]}}"#
    );
    let mut driven = post(&redacting(), &body);
    let (sent, _) = sent(&mut driven, &body);
    assert_eq!(sent, body);
    let record = driven.close(ClosedBy::Nobody);
    let outcome = &record.guardrails[0];
    assert_eq!(outcome.verdict, Verdict::Observed);
    assert_eq!(outcome.not_scanned[0].why.name(), "signed");
}

#[test]
fn many_blocked_values_are_all_remembered() {
    let world = World::guarded(rules(Action::Block));
    let values: Vec<_> = (0..200).map(|n| format!("SECRET-{n:06}")).collect();
    let body = body(&values.join(" "));
    let mut driven = post(&world, &body);
    let marks = match driven.commands().as_slice() {
        [Command::FindMarks(marks)] => marks.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(marks.len(), values.len());
    driven.push(Input::MarksFound(&marks));
    let (sent, _) = sent(&mut driven, &body);
    assert!(!sent.contains("SECRET-"), "{sent}");
}

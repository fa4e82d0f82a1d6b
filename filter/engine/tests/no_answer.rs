//! Attempts that end without one byte of an answer: what goes once more, what is told, and what it costs.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use engine::messages::{AttemptNumber, ClosedBy};
use engine::{Ended, Input};

use policy::documents::OnNoAnswer;
use support::{Driven, World, code_of, edit};

const ONE: &str = "claude-a";
const TWO: &str = "smart";

fn body(model: &str, streamed: bool, more: &str) -> String {
    format!(r#"{{"model":"{model}","stream":{streamed},"max_tokens":9,"messages":[]{more}}}"#)
}

/// One way to lose an answer.
#[derive(Clone, Copy, Debug)]
struct Case {
    model: &'static str,
    streamed: bool,
    setting: OnNoAnswer,
    /// Members of the body beside the usual ones.
    more: &'static str,
    /// When there was a connection; `None` for never.
    connected_ms: Option<u64>,
    ended_ms: u64,
    want: Want,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// Another attempt; what was lost costs nothing.
    Again,
    /// Another attempt, though the lost one may have to be paid.
    AgainPaid,
    /// The client is told by this code, with these words; the lost attempt costs nothing.
    Told(&'static str, &'static str),
    /// The same, and the lost attempt is paid by estimate.
    ToldPaid(&'static str, &'static str),
}

const CUT: &str = "ended before it began to answer";
const REPEATS: Want = Want::Again;
const WAITED: u64 = 60_000;

const fn case(model: &'static str, streamed: bool, ended_ms: u64, want: Want) -> Case {
    Case {
        model,
        streamed,
        setting: OnNoAnswer::Again,
        more: "",
        connected_ms: Some(0),
        ended_ms,
        want,
    }
}

const fn told(words: &'static str) -> Want {
    Want::Told("upstream_unreachable", words)
}

const LATE: Want = Want::ToldPaid("upstream_unreachable", "may have worked on the request");
const TIMED_OUT: Want = Want::ToldPaid("upstream_timeout", "did not begin to answer in time");

fn cases() -> Vec<Case> {
    let mut cases = vec![
        // A stream's silence goes to the next target, where there is one.
        case(TWO, true, WAITED, Want::AgainPaid),
        case(TWO, false, 10 * WAITED, TIMED_OUT),
        case(ONE, true, WAITED, TIMED_OUT),
        case(ONE, false, 10 * WAITED, TIMED_OUT),
    ];
    for (model, streamed) in [(ONE, false), (ONE, true), (TWO, false), (TWO, true)] {
        let usual = |ended_ms, want| case(model, streamed, ended_ms, want);
        cases.extend([
            usual(0, REPEATS),
            usual(2_000, REPEATS),
            usual(2_001, LATE),
            usual(30_000, LATE),
            // The time to a connection does not count.
            Case {
                connected_ms: Some(4_000),
                ..usual(6_000, REPEATS)
            },
            Case {
                connected_ms: Some(4_000),
                ..usual(6_001, LATE)
            },
            // Nothing was ever sent: the next target has its turn, whenever it was.
            Case {
                connected_ms: None,
                ..usual(
                    5_000,
                    if model == TWO {
                        REPEATS
                    } else {
                        told("could not be reached")
                    },
                )
            },
            Case {
                setting: OnNoAnswer::Fail,
                ..usual(1, told(CUT))
            },
            Case {
                more: r#","tools":[{"type":"web_search_20250305","name":"web_search"}]"#,
                ..usual(1, told("work that the provider does by itself"))
            },
            Case {
                more: r#","tools":[{"name":"mine","input_schema":{"type":"object"}}]"#,
                ..usual(1, REPEATS)
            },
        ]);
    }
    cases
}

fn lose(driven: &mut Driven, number: u32, connected_ms: Option<u64>, ended_ms: u64) {
    driven.pass(ended_ms);
    driven.push(Input::AttemptLost {
        number: AttemptNumber(number),
        connected_ms,
    });
}

/// The host that attempt `number` of the request is at.
fn host(model: &str, number: u32) -> Option<&'static str> {
    match (model, number) {
        (TWO, 1) => Some("anthropic-a"),
        (TWO, _) => Some("anthropic-b"),
        _ => None,
    }
}

fn begun(world: &World, model: &str, body: &str) -> Driven {
    let mut driven = Driven::post(world, "/v1/messages", &[], body);
    driven.forwarded();
    driven.attempt(1, host(model, 1));
    driven.commands();
    driven
}

#[test]
fn what_is_lost_goes_once_more_or_is_told() {
    for case in cases() {
        let mut world = World::default();
        for provider in &mut world.mesh_mut().providers {
            provider.on_no_answer = case.setting;
        }
        let body = body(case.model, case.streamed, case.more);
        let mut driven = begun(&world, case.model, &body);
        lose(&mut driven, 1, case.connected_ms, case.ended_ms);
        let is_paid = match case.want {
            Want::Again | Want::AgainPaid => {
                driven.attempt(2, host(case.model, 2));
                driven.commands();
                let usage = br#"{"usage":{"input_tokens":1,"output_tokens":1}}"#;
                driven.answer(2, 200, "application/json", &[usage]);
                case.want == Want::AgainPaid
            }
            Want::Told(code, words) | Want::ToldPaid(code, words) => {
                let reply = driven.refused_attempt(2, host(case.model, 2));
                assert_eq!(code_of(&reply), code, "{case:?}");
                let status = if code == "upstream_timeout" { 504 } else { 502 };
                assert_eq!(reply.status, status, "{case:?}");
                let text = String::from_utf8(reply.body).unwrap();
                assert!(text.contains(words), "{case:?}: {text}");
                assert!(text.contains("anthropic-a"), "{case:?}: {text}");
                matches!(case.want, Want::ToldPaid(..))
            }
        };
        let record = driven.close(ClosedBy::Nobody);
        let lost = &record.attempts[0];
        assert_eq!(lost.status, 0, "{case:?}");
        assert_eq!(lost.usage.is_some(), is_paid, "{case:?}");
        assert_eq!(lost.estimated, is_paid, "{case:?}");
        let (ended, attempts) = match case.want {
            Want::Again | Want::AgainPaid => (Ended::Complete, 2),
            Want::Told(..) | Want::ToldPaid(..) => (Ended::UpstreamError, 1),
        };
        if ended == Ended::UpstreamError || !case.streamed {
            assert_eq!(record.ended, ended, "{case:?}");
        }
        assert_eq!(record.attempts.len(), attempts, "{case:?}");
        assert_eq!(driven.exchange.stray_inputs(), 0, "{case:?}");
    }
}

/// The proxy asks the same target again where it is the only one.
#[test]
fn the_same_target_gets_the_same_request() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], &body(ONE, false, ""));
    let edits = driven.forwarded();
    assert_eq!(edit(&edits, "x-envoy-max-retries"), Some("1"));
    assert_eq!(edit(&edits, "x-envoy-retry-on"), Some("reset"));
    driven.attempt(1, None);
    lose(&mut driven, 1, Some(0), 1);
    assert_eq!(driven.exchange.next_at_one_target(), Some(AttemptNumber(2)));
    let attempt = driven.attempt(2, None);
    assert_eq!(edit(&attempt, "x-api-key"), Some("secret-of-anthropic-a"));
    assert_eq!(edit(&attempt, ":authority"), Some("anthropic-a.test"));
}

#[test]
fn a_request_that_may_not_go_again_is_not_asked_for_again() {
    for (setting, more) in [
        (OnNoAnswer::Fail, ""),
        (
            OnNoAnswer::Again,
            r#","tools":[{"type":"new_tool_20300101","name":"n"}]"#,
        ),
    ] {
        let mut world = World::default();
        for provider in &mut world.mesh_mut().providers {
            provider.on_no_answer = setting;
        }
        let mut driven = Driven::post(&world, "/v1/messages", &[], &body(ONE, false, more));
        let edits = driven.forwarded();
        assert_eq!(edit(&edits, "x-envoy-max-retries"), None, "{more}");
        assert_eq!(edit(&edits, "x-envoy-retry-on"), None, "{more}");
    }
}

/// Whatever the plan has left.
#[test]
fn a_request_goes_again_once() {
    let world = World::default();
    let mut driven = begun(&world, ONE, &body(ONE, false, ""));
    lose(&mut driven, 1, Some(0), 1);
    driven.attempt(2, None);
    lose(&mut driven, 2, Some(0), 1);
    let reply = driven.refused_attempt(3, None);
    assert_eq!(code_of(&reply), "upstream_unreachable");
    let record = driven.close(ClosedBy::Nobody);
    assert_eq!(record.attempts.len(), 2);
    assert!(
        record
            .attempts
            .iter()
            .all(|attempt| attempt.usage.is_none())
    );
}

#[test]
fn an_answer_that_has_begun_is_never_lost() {
    let world = World::default();
    let mut driven = begun(&world, TWO, &body(TWO, true, ""));
    driven.begin_answer(1, 200, "text/event-stream", &[b"event: ping\n\n"]);
    lose(&mut driven, 1, Some(0), 1);
    assert_eq!(driven.exchange.stray_inputs(), 1);
    let record = driven.close(ClosedBy::Nobody);
    assert!(record.attempts[0].estimated, "it is paid as ever");
}

/// A client that leaves pays as ever, though its end is the attempt's, too.
#[test]
fn a_client_that_leaves_loses_nothing() {
    let world = World::default();
    let mut driven = begun(&world, ONE, &body(ONE, false, ""));
    lose(&mut driven, 1, Some(0), 500);
    let record = driven.close(ClosedBy::Client);
    assert_eq!(record.ended, Ended::ClientGone);
    assert!(record.attempts[0].estimated);
}

/// The proxy gave up by itself: the words say what happened.
#[test]
fn the_last_attempt_that_is_lost_is_told_in_words() {
    for (connected_ms, words) in [(Some(0), CUT), (None, "could not be reached")] {
        let world = World::default();
        let mut driven = begun(&world, ONE, &body(ONE, false, ""));
        lose(&mut driven, 1, connected_ms, 1);
        driven.push(Input::ResponseHeaders {
            status: 503,
            details: "upstream_reset_before_response_started{connection_termination}",
            end_of_stream: false,
        });
        let mut text = None;
        for command in driven.commands() {
            if let engine::Command::RewriteResponse(reply) = command {
                text = String::from_utf8(reply.body).ok();
            }
        }
        assert!(text.unwrap_or_default().contains(words), "{connected_ms:?}");
    }
}

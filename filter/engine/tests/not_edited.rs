//! Headers that the proxy did not change: the request is refused in words, an answer that has begun is broken off.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use engine::messages::{AttemptNumber, ClosedBy};
use engine::{Command, Ended, Headers, Input};
use support::{Driven, World, code_of};

const BODY: &str = r#"{"model":"claude-a","max_tokens":9,"messages":[]}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The request was to be let go.
    Forwarded,
    /// An attempt was to get its own headers.
    Attempt,
    /// Those of its answer were to be changed.
    AnswerHeaders,
    /// The answer has gone on.
    Answered,
}

fn driven(at: At) -> Driven {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], BODY);
    driven.forwarded();
    if at != At::Forwarded {
        driven.attempt(1, None);
    }
    if at == At::AnswerHeaders {
        let headers: Headers = [("content-type", "application/json")].into_iter().collect();
        driven.push(Input::AttemptHeaders {
            number: AttemptNumber(1),
            status: 200,
            headers: &headers,
            end_of_stream: false,
        });
    }
    if at == At::Answered {
        driven.begin_answer(1, 200, "application/json", &[b"{"]);
    }
    driven.commands();
    driven
}

#[test]
fn nothing_goes_on_whose_headers_are_not_as_they_should_be() {
    for at in [At::Forwarded, At::Attempt, At::AnswerHeaders, At::Answered] {
        let mut driven = driven(at);
        driven.push(Input::NotEdited);
        let commands = driven.commands();
        match commands.as_slice() {
            [Command::Reply(reply)] if at != At::Answered => {
                assert_eq!(code_of(reply), "internal", "{at:?}");
                assert!(reply.status >= 500, "{at:?}: {}", reply.status);
                let text = String::from_utf8_lossy(&reply.body);
                assert!(text.contains("could not set the headers"), "{at:?}: {text}");
            }
            [Command::ResetStream] if at == At::Answered => {}
            other => panic!("{at:?}: {other:?}"),
        }
        // What stands in the place of the words cannot be said in words either.
        driven.push(Input::NotEdited);
        assert_eq!(driven.commands(), [Command::ResetStream], "{at:?}");
        let record = driven.close(ClosedBy::Nobody);
        assert_eq!(record.refusal_code, "internal", "{at:?}");
        assert_eq!(record.ended, Ended::Refused, "{at:?}");
        // The provider was working, or had worked.
        let is_paid = record.attempts.first().is_some_and(|it| it.usage.is_some());
        let had_begun = matches!(at, At::AnswerHeaders | At::Answered);
        assert_eq!(is_paid, had_begun, "{at:?}");
        driven.push(Input::NotEdited);
        assert_eq!(driven.commands(), [], "{at:?}");
    }
}

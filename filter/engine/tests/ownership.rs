//! What came into being at a provider is told to the process before the client can name it, and for its owner only.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use engine::messages::{AttemptNumber, ConsultKind, OwnedMark};
use engine::{Command, Headers, Input};
use policy::ids::{CustomerId, KeyId, TeamId, UserId};
use support::{Driven, World};
use uuid::Uuid;

const WHOLE: &str = r#"{"id":"resp_1","object":"response","model":"gpt-a","output":[{"id":"msg_1","type":"message"}],"usage":{"input_tokens":1,"output_tokens":1}}"#;

/// The id stands in the first event; the others repeat it.
const STREAM: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"output\":[]}}\n\nevent: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"item\":{\"id\":\"msg_1\",\"type\":\"message\"}}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\"}}\n\n";

/// Sends a request, answers it with `body` in pieces of `length` bytes; returns what was told, each with the number
/// of bytes that had gone on before.
fn told(
    world: &World,
    path: &str,
    request: &str,
    body: &str,
    length: usize,
) -> Vec<(usize, OwnedMark)> {
    let mut driven = Driven::post(world, path, &[], request);
    driven.forwarded();
    driven.attempt(1, None);
    while driven.exchange.poll_command().is_some() {}
    let is_stream = body.starts_with("event:");
    let kind = if is_stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let headers: Headers = [("content-type", kind)].into_iter().collect();
    driven.push(Input::AttemptHeaders {
        number: AttemptNumber(1),
        status: 200,
        headers: &headers,
        end_of_stream: false,
    });
    driven.commands();
    let mut marks = Vec::new();
    let mut gone = 0;
    for chunk in body.as_bytes().chunks(length) {
        driven.push(Input::AttemptBody {
            number: AttemptNumber(1),
            chunk,
            end_of_stream: false,
        });
        for command in driven.commands() {
            if let Command::KeepOwned(mark) = command {
                marks.push((gone, mark));
            }
        }
        gone += chunk.len();
    }
    marks
}

/// The marks by which a request that names `resp_1` is known.
fn asked(world: &World) -> Vec<Option<OwnedMark>> {
    let body = r#"{"model":"gpt-a","input":"x","previous_response_id":"resp_1"}"#;
    let mut driven = Driven::post(world, "/v1/responses", &[], body);
    match driven.commands().as_slice() {
        [
            Command::Consult {
                kind: ConsultKind::StatefulOwner { ids, marks, .. },
                ..
            },
        ] => {
            assert_eq!(ids, &["resp_1"]);
            marks.clone()
        }
        other => panic!("nothing asked: {other:?}"),
    }
}

#[test]
fn an_id_is_told_once_and_before_its_end_goes_on() {
    let world = World::default();
    for (request, body) in [
        (r#"{"model":"gpt-a","input":"x"}"#, WHOLE),
        (r#"{"model":"gpt-a","input":"x","stream":true}"#, STREAM),
    ] {
        let end = body.find("resp_1\"").unwrap() + "resp_1\"".len();
        for length in 1..body.len() {
            let told = told(&world, "/v1/responses", request, body, length);
            let [(gone, mark)] = told.as_slice() else {
                panic!("told {} times in pieces of {length}", told.len());
            };
            assert!(
                *gone < end,
                "{gone} bytes had gone on, in pieces of {length}"
            );
            assert_eq!(asked(&world), [Some(*mark)]);
        }
    }
}

#[test]
fn another_owner_s_mark_is_another_one() {
    let id = |seed| Uuid::from_bytes([seed; 16]);
    let mut marks = Vec::new();
    for owner in 0..8_u8 {
        let mut world = World::default();
        let principal = &mut world.key_mut().principal;
        principal.team = (owner < 2).then(|| TeamId::new(id(owner)));
        principal.user = (2..4).contains(&owner).then(|| UserId::new(id(owner)));
        principal.customer = (4..6).contains(&owner).then(|| CustomerId::new(id(owner)));
        principal.key = Some(KeyId::new(id(owner)));
        let request = r#"{"model":"gpt-a","input":"x"}"#;
        let told = told(&world, "/v1/responses", request, WHOLE, 64);
        assert_eq!(asked(&world), [Some(told[0].1)]);
        marks.push(told[0].1);
    }
    marks.sort_unstable();
    marks.dedup();
    assert_eq!(marks.len(), 8);
}

/// A mate's key is another one of the same team.
#[test]
fn keys_of_one_team_share_a_mark() {
    let mut world = World::default();
    let mine = asked(&world);
    world.key_mut().principal.key = Some(KeyId::new(Uuid::from_bytes([99; 16])));
    assert_eq!(asked(&world), mine);
}

#[test]
fn nothing_belongs_to_traffic_without_an_owner() {
    let mut world = World::default();
    let principal = &mut world.key_mut().principal;
    (principal.key, principal.team) = (None, None);
    let request = r#"{"model":"gpt-a","input":"x"}"#;
    assert_eq!(told(&world, "/v1/responses", request, WHOLE, 64), []);
    assert_eq!(asked(&world), [None]);
}

#[test]
fn ids_that_no_request_can_name_are_not_told() {
    let world = World::default();
    let chat = r#"{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":1}}"#;
    let request = r#"{"model":"gpt-a","messages":[]}"#;
    assert_eq!(told(&world, "/v1/chat/completions", request, chat, 8), []);
    let message = r#"{"id":"msg_1","content":[],"usage":{"input_tokens":1}}"#;
    let request = r#"{"model":"claude-a","max_tokens":1,"messages":[]}"#;
    assert_eq!(told(&world, "/v1/messages", request, message, 8), []);
}

//! What came into being at a provider is told to the process before the client can name it, and for its owner only.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use dialects::response::MAX_ITEMS;
use engine::messages::{AttemptNumber, ClosedBy, ConsultAnswer, ConsultKind, OwnedMark};
use engine::{Command, Headers, Input};
use policy::ids::{CustomerId, KeyId, TeamId, UserId};
use support::{Driven, T0, World};
use uuid::Uuid;

const WHOLE: &str = r#"{"id":"resp_1","object":"response","model":"gpt-a","output":[{"id":"msg_1","type":"message"}],"usage":{"input_tokens":1,"output_tokens":1}}"#;

/// The id stands in the first event; the others repeat it.
const STREAM: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"output\":[]}}\n\nevent: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"item\":{\"id\":\"msg_1\",\"type\":\"message\"}}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\"}}\n\n";

/// What was told of one answer, each with the number of bytes that had gone on before.
#[derive(Debug, Default, PartialEq)]
struct Told {
    responses: Vec<(usize, OwnedMark)>,
    items: Vec<(usize, OwnedMark)>,
    recorded: Vec<OwnedMark>,
}

/// Sends a request, answers it with `body` in pieces of `length` bytes; returns the responses that were told.
fn told(
    world: &World,
    path: &str,
    request: &str,
    body: &str,
    length: usize,
) -> Vec<(usize, OwnedMark)> {
    all_told(world, path, request, body, length).responses
}

fn all_told(world: &World, path: &str, request: &str, body: &str, length: usize) -> Told {
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
    let mut told = Told::default();
    let mut gone = 0;
    for chunk in body.as_bytes().chunks(length) {
        driven.push(Input::AttemptBody {
            number: AttemptNumber(1),
            chunk,
            end_of_stream: false,
        });
        for command in driven.commands() {
            if let Command::KeepOwned(mark) = command {
                told.responses.push((gone, mark));
            } else if let Command::KeepItem(mark) = command {
                told.items.push((gone, mark));
            }
        }
        gone += chunk.len();
    }
    let running = driven.exchange.progress(T0);
    assert!(running.item_marks.is_empty(), "told of what runs");
    told.recorded = driven.close(ClosedBy::Nobody).item_marks;
    told
}

/// What is asked about a request with these items and members, and what it is refused with if nothing is.
fn question(world: &World, input: &str, more: &str) -> Result<Option<Asked>, String> {
    let body = format!(r#"{{"model":"gpt-a","input":[{input}]{more}}}"#);
    let mut driven = Driven::post(world, "/v1/responses", &[], &body);
    match driven.commands().as_slice() {
        [
            Command::Consult {
                kind: ConsultKind::StatefulOwner { ids, items, .. },
                ..
            },
        ] => Ok(Some((ids.clone(), items.clone()))),
        [Command::Forward { .. }] => Ok(None),
        [Command::Reply(reply), ..] => Err(String::from_utf8(reply.body.clone()).unwrap()),
        other => panic!("{other:?}"),
    }
}

type Asked = (Vec<String>, Vec<OwnedMark>);

/// Items without content of their own, and what each needs to stand for itself.
const KINDS: [(&str, &str); 8] = [
    (r#""type":"item_reference""#, ""),
    (
        r#""type":"reasoning","summary":[]"#,
        r#""encrypted_content":"gAAA""#,
    ),
    (
        r#""type":"reasoning","summary":[{"type":"summary_text","text":"x"}],"encrypted_content":null"#,
        "",
    ),
    (
        r#""type":"message","role":"assistant""#,
        r#""content":[{"type":"output_text","text":"x"}]"#,
    ),
    (
        r#""type":"image_generation_call","status":"completed""#,
        r#""result":"iVBORw0KGgo=""#,
    ),
    (
        r#""type":"function_call","call_id":"c","name":"n""#,
        r#""arguments":"{}""#,
    ),
    (r#""type":"future_call""#, r#""output":"x""#),
    (r#""role":"user""#, r#""content":"x""#),
];

#[test]
fn an_item_without_content_is_asked_about_and_one_with_content_is_not() {
    let world = World::default();
    let made = all_told(
        &world,
        "/v1/responses",
        r#"{"model":"gpt-a","input":"x"}"#,
        WHOLE,
        64,
    );
    let [(_, mark)] = made.items[..] else {
        panic!("{made:?}");
    };
    for (kind, content) in KINDS {
        let stored = format!(r#"{{{kind},"id":"msg_1"}}"#);
        let asked = question(&world, &stored, "").unwrap();
        assert_eq!(asked, Some((vec![], vec![mark])), "{stored}");
        let other = stored.replace("msg_1", "msg_2");
        let (_, marks) = question(&world, &other, "").unwrap().unwrap();
        assert!(marks.len() == 1 && marks != [mark], "{other}");
        if !content.is_empty() {
            let own = format!(r#"{{{kind},"id":"msg_1",{content}}}"#);
            assert_eq!(question(&world, &own, ""), Ok(None), "{own}");
        }
    }
    // Everything that is named is one question, and each thing is named once.
    let three = r#"{"type":"item_reference","id":"msg_1"},{"type":"reasoning","id":"msg_1","summary":[]},{"type":"item_reference","id":"msg_2"}"#;
    let more = r#","previous_response_id":"resp_1""#;
    let (ids, marks) = question(&world, three, more).unwrap().unwrap();
    assert_eq!((ids.len(), marks.len()), (1, 2));
}

#[test]
fn an_item_of_nobody_is_refused_without_a_question() {
    let mut world = World::default();
    let principal = &mut world.key_mut().principal;
    (principal.key, principal.team) = (None, None);
    for (kind, _) in KINDS {
        let stored = format!(r#"{{{kind},"id":"msg_1"}}"#);
        let refused = question(&world, &stored, "").unwrap_err();
        assert!(refused.contains("`input.id` names something"), "{refused}");
    }
}

#[test]
fn what_the_service_answers_of_items_is_done() {
    let item = r#"{"type":"item_reference","id":"msg_1"}"#;
    for (more, answer, want) in [
        ("", ConsultAnswer::Owned, None),
        (
            "",
            ConsultAnswer::NotOwned,
            Some((404, "`input.id` names something that was not created")),
        ),
        (
            r#","previous_response_id":"resp_1""#,
            ConsultAnswer::NotOwned,
            Some((
                404,
                "The response or an item that is referred to was not created",
            )),
        ),
        (
            "",
            ConsultAnswer::Unreachable,
            Some((503, "did not answer who owns")),
        ),
    ] {
        let body = format!(r#"{{"model":"gpt-a","input":[{item}]{more}}}"#);
        let mut driven = Driven::post(&World::default(), "/v1/responses", &[], &body);
        let call = match driven.commands().as_slice() {
            [Command::Consult { call, .. }] => *call,
            other => panic!("{other:?}"),
        };
        driven.push(Input::Consulted { call, answer });
        match (driven.commands().as_slice(), want) {
            ([Command::Forward { .. }], None) => {}
            ([Command::Reply(reply), ..], Some((status, text))) => {
                assert_eq!(reply.status, status);
                let body = String::from_utf8(reply.body.clone()).unwrap();
                assert!(body.contains(text), "{body}");
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_item_is_told_once_and_before_its_id_goes_on() {
    let world = World::default();
    for (request, body) in [
        (r#"{"model":"gpt-a","input":"x"}"#, WHOLE),
        (r#"{"model":"gpt-a","input":"x","stream":true}"#, STREAM),
    ] {
        let end = body.find("msg_1\"").unwrap() + "msg_1\"".len();
        for length in 1..body.len() {
            let told = all_told(&world, "/v1/responses", request, body, length);
            let [(gone, mark)] = told.items[..] else {
                panic!("{told:?} in pieces of {length}");
            };
            assert!(
                gone < end,
                "{gone} bytes had gone on, in pieces of {length}"
            );
            assert_eq!(told.recorded, [mark]);
        }
    }
}

/// An answer of more items than are kept tells the first ones; references to the others are refused as unknown.
#[test]
fn items_beyond_the_bound_are_not_told() {
    let list: Vec<_> = (0..=MAX_ITEMS)
        .map(|number| format!(r#"{{"id":"msg_{number}","type":"message"}}"#))
        .collect();
    let body = format!(r#"{{"id":"resp_1","output":[{}]}}"#, list.join(","));
    let request = r#"{"model":"gpt-a","input":"x"}"#;
    let told = all_told(&World::default(), "/v1/responses", request, &body, 512);
    assert_eq!(told.items.len(), MAX_ITEMS);
    assert_eq!(told.recorded.len(), MAX_ITEMS);
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
    let told = all_told(&world, "/v1/responses", request, WHOLE, 64);
    assert_eq!(told, Told::default());
    assert_eq!(asked(&world), [None]);
}

#[test]
fn ids_that_no_request_can_name_are_not_told() {
    let world = World::default();
    let chat = r#"{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":1}}"#;
    let request = r#"{"model":"gpt-a","messages":[]}"#;
    assert_eq!(
        all_told(&world, "/v1/chat/completions", request, chat, 8),
        Told::default()
    );
    let message = r#"{"id":"msg_1","content":[],"usage":{"input_tokens":1}}"#;
    let request = r#"{"model":"claude-a","max_tokens":1,"messages":[]}"#;
    assert_eq!(
        all_told(&world, "/v1/messages", request, message, 8),
        Told::default()
    );
}

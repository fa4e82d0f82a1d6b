//! What a provider's refusal of its own key leads to.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use engine::messages::{AttemptNumber, ClosedBy};
use engine::{Command, Flow, HeaderEdit, Headers, Input};
use policy::compiled::CompiledProviderKey;
use policy::ids::{KeyId, ProviderKeyId};
use policy::secret::Secret;
use support::{Driven, World, edit};

const BODY: &str = r#"{"model":"gpt-a","messages":[{"role":"user","content":"Hi"}]}"#;
const FORM: &[u8] = br#"{"code":"invalid-argument","error":"Incorrect API key provided."}"#;
const OTHER: &[u8] = br#"{"error":{"message":"Incorrect API key provided"}}"#;

/// A provider with two keys.
fn world() -> World {
    let mut world = World::default();
    let mesh = world.mesh_mut();
    let provider = mesh
        .providers
        .iter_mut()
        .find(|provider| provider.name == "openai-a")
        .unwrap();
    provider.keys.push(CompiledProviderKey {
        id: ProviderKeyId::new(support::uuid(99)),
        name: "second".to_owned(),
        secret: Secret::new("second-secret"),
        weight: 1,
    });
    world
}

fn ask(world: &World) -> Driven {
    let mut driven = Driven::post(world, "/v1/chat/completions", &[], BODY);
    driven.forwarded();
    driven
}

/// Begins attempt `number`; returns the credential that it carries.
fn credential(driven: &mut Driven, number: u32) -> String {
    let edits = driven.attempt(number, Some("openai-a"));
    edit(&edits, "authorization").unwrap().to_owned()
}

fn head(driven: &mut Driven, number: u32, status: u16) -> Flow {
    let headers: Headers = [("content-type", "application/json")].into_iter().collect();
    let now = driven.now;
    let input = Input::AttemptHeaders {
        number: AttemptNumber(number),
        status,
        headers: &headers,
        end_of_stream: false,
    };
    driven.exchange.handle(now, input)
}

fn body(driven: &mut Driven, number: u32, bytes: &[u8]) -> Vec<Command> {
    for (chunk, end_of_stream) in [(bytes, false), (&[][..], true)] {
        driven.push(Input::AttemptBody {
            number: AttemptNumber(number),
            chunk,
            end_of_stream,
        });
    }
    driven.commands()
}

#[test]
fn a_refusal_in_the_dialects_own_form_is_held_and_tried_with_the_next_key() {
    let world = world();
    let mut driven = ask(&world);
    let first = credential(&mut driven, 1);
    assert_eq!(head(&mut driven, 1, 400), Flow::Hold);
    let retry = Command::EditResponse {
        edits: vec![HeaderEdit::set(":status", "401")],
    };
    assert_eq!(body(&mut driven, 1, FORM), [retry]);
    let second = credential(&mut driven, 2);
    assert_ne!(first, second);
    // Nothing could follow the last: its answer passes as it came.
    assert_eq!(head(&mut driven, 2, 400), Flow::Continue);
    assert_eq!(body(&mut driven, 2, FORM), []);
    let record = driven.close(ClosedBy::Nobody);
    let told: Vec<_> = record
        .attempts
        .iter()
        .map(|attempt| (attempt.status, attempt.key_refused))
        .collect();
    assert_eq!(told, [(400, true), (400, true)]);
}

#[test]
fn another_bad_request_passes_as_it_came() {
    let world = world();
    let mut driven = ask(&world);
    credential(&mut driven, 1);
    assert_eq!(head(&mut driven, 1, 400), Flow::Hold);
    assert_eq!(body(&mut driven, 1, OTHER), []);
    let record = driven.close(ClosedBy::Nobody);
    assert!(!record.attempts[0].key_refused);
}

#[test]
fn statuses_say_it_without_a_body() {
    for (status, refused) in [(401, true), (403, true), (402, false), (429, false)] {
        let world = world();
        let mut driven = ask(&world);
        credential(&mut driven, 1);
        assert_eq!(head(&mut driven, 1, status), Flow::Continue);
        body(&mut driven, 1, b"{}");
        let record = driven.close(ClosedBy::Nobody);
        assert_eq!(record.attempts[0].key_refused, refused, "{status}");
    }
}

/// The credential with which the next request of this virtual key would be tried first, in ten draws of one session.
fn firsts(world: &World, session: &str) -> String {
    let headers = [("x-session-id", session)];
    let mut driven = Driven::post(world, "/v1/chat/completions", &headers, BODY);
    driven.forwarded();
    credential(&mut driven, 1)
}

fn refuse(world: &World, session: &str) {
    let headers = [("x-session-id", session)];
    let mut driven = Driven::post(world, "/v1/chat/completions", &headers, BODY);
    driven.forwarded();
    credential(&mut driven, 1);
    head(&mut driven, 1, 403);
    body(&mut driven, 1, b"{}");
}

#[test]
fn a_key_that_two_virtual_keys_met_refused_is_tried_last() {
    let mut world = world();
    let before = firsts(&world, "s");
    refuse(&world, "s");
    refuse(&world, "s");
    assert_eq!(firsts(&world, "s"), before, "one virtual key moved another");
    world.key_mut().principal.key = Some(KeyId::new(support::uuid(55)));
    let sessions = ["s", "t", "u", "v", "w", "x"];
    let moved = sessions
        .into_iter()
        .find(|session| firsts(&world, session) == before);
    let session = moved.expect("one of six sessions draws the same key");
    refuse(&world, session);
    assert_ne!(firsts(&world, session), before);
}

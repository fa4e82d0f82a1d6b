//! What becomes of exchanges when policy changes while they are held or run.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use engine::messages::{AttemptNumber, ClosedBy, ConsultAnswer, ConsultKind, Governed, KeyNow};
use engine::{Command, Ended, Input};
use policy::compiled::{CompiledKey, Mesh};
use policy::documents::{KeyState, OnRevoke};
use policy::guardrail::{Action, Detector, GuardrailRules, Stage};
use policy::ids::{QuotaId, TeamId};
use policy::pattern::ModelPattern;
use policy::quota::lease::{GrantAnswer, Refusal, RefusalKind};
use policy::quota::{Level, Quota, QuotaNode, QuotaRules, QuotaWindow, Unit};
use policy::secret::Secret;
use policy::units::Timestamp;
use support::{Driven, T0, World, code_of, guardrail};
use uuid::Uuid;

const MESSAGES: &str = "/v1/messages";
const BODY: &str = r#"{"model":"smart","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
const STREAM: &str =
    r#"{"model":"smart","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}"#;

/// Where an exchange is when policy changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The body has begun to come.
    Body,
    /// Somebody has to say whose a response is.
    Owner,
    /// The service is asked for slices of a quota.
    Grant,
    /// Others hold what is left of a quota.
    Turn,
    /// It has gone on, and no attempt has begun.
    Forwarded,
    /// The first attempt failed.
    Retry,
}

const HELD: [At; 4] = [At::Body, At::Owner, At::Grant, At::Turn];
const ALL: [At; 6] = [
    At::Body,
    At::Owner,
    At::Grant,
    At::Turn,
    At::Forwarded,
    At::Retry,
];

/// How policy changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Revoked,
    Inactive,
    Expired,
    Removed,
    Moved,
    ModelDenied,
    ProviderDenied,
    ProviderRemoved,
    ProviderMoved,
    ProviderKeyRemoved,
    GuardrailAdded,
    /// Something that does not touch this request.
    Unrelated,
}

const CHANGES: [Change; 12] = [
    Change::Revoked,
    Change::Inactive,
    Change::Expired,
    Change::Removed,
    Change::Moved,
    Change::ModelDenied,
    Change::ProviderDenied,
    Change::ProviderRemoved,
    Change::ProviderMoved,
    Change::ProviderKeyRemoved,
    Change::GuardrailAdded,
    Change::Unrelated,
];

fn world() -> World {
    let mut world = World::default();
    let window = Some(QuotaWindow::Rolling {
        duration_ms: 3_600_000,
    });
    let mut rules = QuotaRules::new(QuotaNode::Organisation, Unit::TotalTokens, 1_000, window);
    rules.contention_wait_ms = 5_000;
    world.mesh_mut().quotas = vec![Quota {
        id: QuotaId::new(Uuid::from_u128(1)),
        name: "q".to_owned(),
        rules,
    }];
    world
}

fn without_quotas() -> World {
    World::default()
}

fn rules() -> GuardrailRules {
    GuardrailRules::new(vec![Stage {
        detectors: vec![Detector::Regex {
            id: "marker".to_owned(),
            pattern: "SECRET-[0-9]{6}".to_owned(),
            group: 0,
        }],
        action: Action::Block,
    }])
}

fn pattern(text: &str) -> ModelPattern {
    ModelPattern::parse(text).unwrap()
}

fn apply(change: Change, mesh: &mut Mesh, key: &mut CompiledKey) {
    // Both targets of a dialect change alike, so that the code does not depend on which of them is meant.
    let access = &mut key.access[0];
    match change {
        Change::Revoked => key.state = KeyState::Revoked,
        Change::Inactive => key.state = KeyState::Inactive,
        Change::Expired => key.expires_at_ms = Some(T0),
        Change::Removed => {}
        Change::Moved => key.principal.team = Some(TeamId::new(Uuid::from_u128(5))),
        Change::ModelDenied => access.denied_models.push(pattern("*")),
        Change::ProviderDenied => access.providers.clear(),
        Change::ProviderRemoved => mesh.providers.clear(),
        Change::ProviderMoved => {
            for provider in &mut mesh.providers {
                provider.base_url.port = 8_443;
            }
        }
        Change::ProviderKeyRemoved => {
            for provider in &mut mesh.providers {
                provider.keys.clear();
            }
        }
        Change::GuardrailAdded => mesh.guardrails.push(guardrail(rules())),
        Change::Unrelated => {
            mesh.hosts.push("other.test".to_owned());
            mesh.snapshot_max_age_ms += 1;
        }
    }
}

fn governed(world: &World, change: Change) -> Governed {
    let mut governed = world.changed(|mesh, key| apply(change, mesh, key));
    if change == Change::Removed {
        governed.key = KeyNow::Gone;
    }
    governed
}

fn begin(world: &World, at: At) -> Driven {
    match at {
        At::Body => {
            let mut driven = Driven::begin_post(world, MESSAGES);
            driven.push(Input::RequestBody {
                chunk: &BODY.as_bytes()[..20],
                end_of_stream: false,
            });
            driven
        }
        At::Owner => {
            let body = r#"{"model":"gpt-a","input":"x","previous_response_id":"resp_1"}"#;
            let mut driven = Driven::post(world, "/v1/responses", &[], body);
            driven.consulted();
            driven
        }
        At::Grant => {
            let mut driven = Driven::post(world, MESSAGES, &[], BODY);
            assert!(matches!(
                driven.commands().as_slice(),
                [Command::FindSpares(_)]
            ));
            driven.push(Input::SparesFound(&[]));
            driven.consulted();
            driven
        }
        At::Turn => {
            let mut driven = Driven::post(world, MESSAGES, &[], BODY);
            driven.commands();
            driven.push(Input::SparesFound(&[]));
            let (call, request) = match driven.commands().pop() {
                Some(Command::Consult {
                    call,
                    kind: ConsultKind::Grant(request),
                }) => (call, request),
                other => panic!("nothing asked: {other:?}"),
            };
            let answer = ConsultAnswer::Grant(GrantAnswer::Refused(Refusal {
                kind: RefusalKind::Contended,
                quota: request.asks[0].quota,
                account: request.asks[0].account,
                level: Level::Organisation,
                retry_after_ms: None,
            }));
            driven.push(Input::Consulted { call, answer });
            assert!(driven.exchange.waits_its_turn());
            driven
        }
        At::Forwarded => {
            let mut driven = Driven::post(world, MESSAGES, &[], BODY);
            driven.forwarded();
            driven
        }
        At::Retry => {
            let mut driven = Driven::post(world, MESSAGES, &[], STREAM);
            driven.forwarded();
            driven.attempt(1, Some("anthropic-a"));
            driven.commands();
            let headers = [("content-type", "application/json")].into_iter().collect();
            driven.push(Input::AttemptHeaders {
                number: AttemptNumber(1),
                status: 500,
                headers: &headers,
                end_of_stream: true,
            });
            driven
        }
    }
}

/// Lets a held request go on; returns what it leads to at last.
fn go_on(driven: &mut Driven, at: At) -> Vec<Command> {
    match at {
        At::Body => driven.push(Input::RequestBody {
            chunk: &BODY.as_bytes()[20..],
            end_of_stream: true,
        }),
        At::Owner => driven.push(Input::Consulted {
            call: engine::messages::CallId(1),
            answer: ConsultAnswer::Owned,
        }),
        At::Grant => assert!(driven.exchange.awaits_answer()),
        At::Turn => driven.pass_deadline(),
        At::Forwarded | At::Retry => driven.push(Input::AttemptStarted {
            number: AttemptNumber(if at == At::Retry { 2 } else { 1 }),
            host_provider: None,
        }),
    }
    driven.commands()
}

/// The code of a refusal; `None` for every other command.
fn refusal(command: &Command) -> Option<String> {
    if let Command::Reply(reply) | Command::RefuseAttempt(reply) = command {
        return Some(code_of(reply));
    }
    None
}

/// The code that is recorded of the refusal that `change` leads to; `None` when the request goes on.
fn refused_with(world: &World, at: At, change: Change) -> Option<String> {
    let mut driven = begin(world, at);
    driven.push(Input::Governed(&governed(world, change)));
    let mut commands = driven.commands();
    if commands.is_empty() {
        commands = go_on(&mut driven, at);
    }
    let refused = commands.iter().find_map(refusal);
    if let Some(code) = &refused {
        let record = driven.close(ClosedBy::Nobody);
        assert_eq!(record.ended, Ended::Refused, "{at:?} {change:?}");
        assert_eq!(code, shown_as(record.refusal_code), "{at:?} {change:?}");
        assert!(record.attempts.iter().all(|it| it.usage.is_none()));
        return Some(record.refusal_code.to_owned());
    }
    None
}

/// What a client is told of a recorded code: not whether what it may not use exists.
fn shown_as(code: &str) -> &str {
    match code {
        "provider_not_allowed" | "model_unknown" => "model_not_allowed",
        other => other,
    }
}

fn wanted(at: At, change: Change) -> Option<&'static str> {
    Some(match change {
        Change::Revoked | Change::Removed => "key_revoked",
        Change::Inactive => "key_inactive",
        Change::Expired => "key_expired",
        Change::Moved | Change::GuardrailAdded => "policy_changed",
        Change::ModelDenied => "model_not_allowed",
        Change::ProviderDenied => "provider_not_allowed",
        // An alias leads nowhere then, and no provider lists it.
        Change::ProviderRemoved => "model_unknown",
        // Its targets were not chosen: it goes to where the provider is.
        Change::ProviderMoved if matches!(at, At::Body | At::Owner) => return None,
        Change::ProviderMoved => "policy_changed",
        Change::ProviderKeyRemoved => "no_usable_provider_key",
        Change::Unrelated => return None,
    })
}

#[test]
fn what_is_held_is_judged_by_what_governs_when_it_goes_on() {
    for at in ALL {
        let world = if matches!(at, At::Grant | At::Turn) {
            world()
        } else {
            without_quotas()
        };
        for change in CHANGES {
            let got = refused_with(&world, at, change);
            assert_eq!(got.as_deref(), wanted(at, change), "{at:?} {change:?}");
        }
    }
}

/// Targets are places in a policy's list: under another policy the same provider stands elsewhere, and what an attempt
/// carries is still that provider's own.
#[test]
fn an_attempt_is_its_own_providers_wherever_that_stands_now() {
    let world = without_quotas();
    let before = |mesh: &mut Mesh, names: &[&str]| {
        for name in names {
            let mut provider = mesh.providers[0].clone();
            provider.name = (*name).to_owned();
            provider.keys[0].secret = Secret::new("another's");
            mesh.providers.push(provider);
        }
        mesh.providers.sort_by(|a, b| a.name.cmp(&b.name));
    };
    let apart = world.changed(|mesh, _| before(mesh, &["aa", "anthropic-aa"]));
    let shifted = world.changed(|mesh, _| before(mesh, &["aa"]));
    for (first, second) in [
        (None, Some(&apart)),
        (Some(&apart), None),
        (Some(&shifted), Some(&apart)),
    ] {
        let mut driven = Driven::post(&world, MESSAGES, &[], STREAM);
        driven.forwarded();
        for (number, change, provider) in [(1, first, "anthropic-a"), (2, second, "anthropic-b")] {
            if let Some(change) = change {
                driven.push(Input::Governed(change));
                assert_eq!(driven.commands(), [], "{provider}");
            }
            let edits = driven.attempt(number, Some(provider));
            let own = world.mesh.providers.iter().find(|it| it.name == provider);
            let own = own.expect("a provider");
            assert_eq!(
                support::edit(&edits, ":authority"),
                Some(own.base_url.authority()).as_deref()
            );
            let secret = own.keys[0].secret.expose();
            let credential = ["x-api-key", "authorization"].map(|name| support::edit(&edits, name));
            assert!(
                credential
                    .iter()
                    .flatten()
                    .any(|value| value.ends_with(secret)),
                "{provider}: {credential:?}"
            );
            driven.commands();
            let headers = [("content-type", "application/json")].into_iter().collect();
            driven.push(Input::AttemptHeaders {
                number: AttemptNumber(number),
                status: 500,
                headers: &headers,
                end_of_stream: true,
            });
            driven.commands();
        }
        let record = driven.close(ClosedBy::Nobody);
        let asked: Vec<_> = record
            .attempts
            .iter()
            .map(|it| it.provider.as_str())
            .collect();
        assert_eq!(asked, ["anthropic-a", "anthropic-b"]);
    }
}

#[test]
fn a_change_is_told_with_when_to_send_again() {
    let world = without_quotas();
    let mut driven = begin(&world, At::Body);
    driven.push(Input::Governed(&governed(&world, Change::GuardrailAdded)));
    let reply = driven.reply();
    let header = |wanted| {
        let mut headers = reply.headers.iter();
        headers.find(|(name, _)| *name == wanted).map(|it| &*it.1)
    };
    assert_eq!(header("retry-after"), Some("1"));
    assert!(String::from_utf8_lossy(&reply.body).contains("send it again"));
}

/// A policy without changes is told as often as the adapter likes.
#[test]
fn the_same_again_disturbs_nobody() {
    let world = World::guarded(rules());
    for at in [At::Body, At::Owner, At::Forwarded, At::Retry] {
        let mut driven = begin(&world, at);
        for _ in 0..3 {
            let again = world.changed(|_, _| {});
            driven.push(Input::Governed(&again));
            assert_eq!(driven.commands(), [], "{at:?}");
        }
        let commands = go_on(&mut driven, at);
        assert!(
            !commands
                .iter()
                .any(|it| matches!(it, Command::Reply(_) | Command::RefuseAttempt(_))),
            "{at:?}: {commands:?}"
        );
        assert_eq!(driven.exchange.stray_inputs(), 0, "{at:?}");
    }
}

#[test]
fn guardrails_of_others_are_no_change() {
    let world = without_quotas();
    for at in HELD
        .into_iter()
        .filter(|at| !matches!(at, At::Grant | At::Turn))
    {
        let mut driven = begin(&world, at);
        let other = world.changed(|mesh, _| {
            let mut rules = rules();
            rules.scope.teams = vec![TeamId::new(Uuid::from_u128(404))];
            mesh.guardrails.push(guardrail(rules));
        });
        driven.push(Input::Governed(&other));
        assert_eq!(driven.commands(), [], "{at:?}");
    }
}

/// Time alone ends a key, too: nobody has to tell.
#[test]
fn a_key_that_expires_meanwhile_goes_nowhere() {
    for at in [At::Body, At::Owner, At::Retry] {
        let mut world = without_quotas();
        world.key_mut().expires_at_ms = Some(Timestamp::from_millis(T0.as_millis() + 1_000));
        let mut driven = begin(&world, at);
        driven.pass(999);
        let mut late = begin(&world, at);
        late.pass(1_000);
        let code = |commands: Vec<Command>| commands.iter().find_map(refusal);
        assert_eq!(code(go_on(&mut driven, at)), None, "{at:?}");
        let got = code(go_on(&mut late, at));
        assert_eq!(got.as_deref(), Some("key_expired"), "{at:?}");
    }
}

/// A provider key's new secret is used at once.
#[test]
fn a_retry_uses_the_secret_in_force() {
    let world = without_quotas();
    let mut driven = begin(&world, At::Retry);
    let rotated = world.changed(|mesh, _| {
        for provider in &mut mesh.providers {
            provider.keys[0].secret = policy::secret::Secret::new("rotated");
        }
    });
    driven.push(Input::Governed(&rotated));
    let edits = driven.attempt(2, Some("anthropic-b"));
    assert_eq!(support::edit(&edits, "x-api-key"), Some("rotated"));
}

const EVENTS: [&str; 3] = [
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello there\"}}\n\n",
];

/// A stream that runs; what the client has seen of it.
fn streaming(world: &World) -> (Driven, Vec<u8>) {
    let mut driven = Driven::post(world, MESSAGES, &[], STREAM);
    driven.forwarded();
    driven.attempt(1, Some("anthropic-a"));
    driven.commands();
    let chunks = EVENTS.map(str::as_bytes);
    let seen = driven.begin_answer(1, 200, "text/event-stream", &chunks);
    (driven, seen)
}

fn write(driven: &mut Driven, chunk: &str, seen: &mut Vec<u8>) {
    driven.push(Input::AttemptBody {
        number: AttemptNumber(1),
        chunk: chunk.as_bytes(),
        end_of_stream: false,
    });
    let mut replaced = None;
    for command in driven.commands() {
        if let Command::ReplaceChunk(bytes) = command {
            replaced = Some(bytes);
        }
    }
    seen.extend(replaced.as_deref().unwrap_or(chunk.as_bytes()));
}

const ENDING: [(Change, &str); 4] = [
    (Change::Revoked, "key_revoked"),
    (Change::Inactive, "key_inactive"),
    (Change::Expired, "key_expired"),
    (Change::Removed, "key_revoked"),
];

#[test]
fn a_stream_ends_at_its_next_event_when_its_key_ends() {
    for guarded in [false, true] {
        for (change, code) in ENDING {
            let world = if guarded {
                World::guarded(rules())
            } else {
                without_quotas()
            };
            let (mut driven, mut seen) = streaming(&world);
            driven.push(Input::Governed(&governed(&world, change)));
            assert_eq!(driven.commands(), [], "nothing can be written here");
            // The event lasts over two chunks.
            let (head, tail) = EVENTS[2].split_at(40);
            let (next, rest) = EVENTS[2].split_at(9);
            write(&mut driven, head, &mut seen);
            write(&mut driven, &format!("{tail}{next}"), &mut seen);
            write(&mut driven, rest, &mut seen);
            let text = String::from_utf8(seen).unwrap();
            assert_eq!(text.matches(code).count(), 1, "{change:?}\n{text}");
            assert!(text.ends_with("{\"type\":\"message_stop\"}\n\n"), "{text}");
            assert_eq!(text.matches("event: message_stop").count(), 1, "{text}");
            assert!(driven.exchange.is_draining(), "{change:?}");
            driven.pass_deadline();
            assert_eq!(driven.commands(), [Command::ResetStream]);
            let record = driven.close(ClosedBy::Nobody);
            assert_eq!((record.ended, record.refusal_code), (Ended::Refused, code));
            let usage = record.attempts[0].usage.expect("charged");
            assert_eq!(usage.input_tokens.get(), 7);
            assert!(usage.output_tokens.get() > 3, "what was seen is charged");
        }
    }
}

#[test]
fn other_changes_leave_what_runs_alone() {
    let world = without_quotas();
    let ends: Vec<_> = ENDING.iter().map(|(change, _)| *change).collect();
    for change in CHANGES.into_iter().filter(|it| !ends.contains(it)) {
        let (mut driven, mut seen) = streaming(&world);
        driven.push(Input::Governed(&governed(&world, change)));
        write(&mut driven, EVENTS[2], &mut seen);
        let all = EVENTS.concat() + EVENTS[2];
        assert_eq!(String::from_utf8(seen).unwrap(), all, "{change:?}");
    }
}

/// The key's own word beats the mesh's; a key that is gone keeps its last word.
#[test]
fn on_revoke_decides_and_the_key_s_word_beats_the_mesh_s() {
    let (cut, finish) = (OnRevoke::Cut, OnRevoke::Finish);
    for (of_mesh, of_key, is_cut) in [
        (cut, None, true),
        (finish, None, false),
        (cut, Some(finish), false),
        (finish, Some(cut), true),
    ] {
        for change in [Change::Revoked, Change::Removed] {
            let mut world = without_quotas();
            world.mesh_mut().on_revoke = of_mesh;
            world.key_mut().on_revoke = of_key;
            let (mut driven, mut seen) = streaming(&world);
            driven.push(Input::Governed(&governed(&world, change)));
            write(&mut driven, EVENTS[2], &mut seen);
            let text = String::from_utf8(seen).unwrap();
            let got = text.contains("key_revoked");
            assert_eq!(got, is_cut, "{of_mesh:?} {of_key:?} {change:?}");
        }
    }
}

#[test]
fn a_change_of_on_revoke_applies_to_what_runs() {
    let mut world = without_quotas();
    world.mesh_mut().on_revoke = OnRevoke::Finish;
    let (mut driven, mut seen) = streaming(&world);
    driven.push(Input::Governed(&governed(&world, Change::Removed)));
    write(&mut driven, EVENTS[2], &mut seen);
    let mut now_cut = world.changed(|mesh, _| mesh.on_revoke = OnRevoke::Cut);
    now_cut.key = KeyNow::AsBefore;
    driven.push(Input::Governed(&now_cut));
    write(&mut driven, EVENTS[2], &mut seen);
    assert!(String::from_utf8(seen).unwrap().contains("key_revoked"));
}

#[test]
fn a_stream_ends_when_its_key_expires() {
    let mut world = without_quotas();
    let end = Timestamp::from_millis(T0.as_millis() + 5_000);
    world.key_mut().expires_at_ms = Some(end);
    let (mut driven, mut seen) = streaming(&world);
    assert_eq!(driven.exchange.poll_deadline(), Some(end));
    assert!(!driven.exchange.awaits_answer());
    driven.pass_deadline();
    write(&mut driven, EVENTS[2], &mut seen);
    assert!(String::from_utf8(seen).unwrap().contains("key_expired"));
    drop(driven);
    world.key_mut().on_revoke = Some(OnRevoke::Finish);
    let (driven, _) = streaming(&world);
    assert_eq!(driven.exchange.poll_deadline(), None);
}

/// Nothing can be written into a stream that is silent.
#[test]
fn a_silent_stream_is_broken_off_after_a_second() {
    let world = without_quotas();
    let (mut driven, mut seen) = streaming(&world);
    driven.push(Input::Governed(&governed(&world, Change::Revoked)));
    let wait = driven.exchange.poll_deadline().unwrap();
    assert_eq!(wait.millis_since(T0), 1_000);
    driven.pass_deadline();
    assert_eq!(driven.commands(), [Command::ResetStream]);
    write(&mut driven, EVENTS[2], &mut seen);
    assert_eq!(seen, EVENTS.concat().as_bytes(), "nothing more passes");
    let record = driven.close(ClosedBy::Nobody);
    assert_eq!(record.refusal_code, "key_revoked");
    assert!(record.attempts[0].usage.is_some());
}

/// An answer of which nothing has gone becomes the refusal; the provider may bill it all the same.
#[test]
fn an_answer_that_has_not_begun_becomes_the_refusal() {
    for (on_revoke, is_cut) in [(OnRevoke::Cut, true), (OnRevoke::Finish, false)] {
        for (change, code) in ENDING {
            let mut world = without_quotas();
            world.key_mut().on_revoke = Some(on_revoke);
            let mut driven = Driven::post(&world, MESSAGES, &[], BODY);
            driven.forwarded();
            driven.attempt(1, Some("anthropic-a"));
            driven.commands();
            driven.push(Input::Governed(&governed(&world, change)));
            if !is_cut {
                assert_eq!(driven.commands(), [], "{change:?}");
                continue;
            }
            let reply = driven.reply();
            assert_eq!((code_of(&reply).as_str(), reply.status), (code, 401));
            let record = driven.close(ClosedBy::Nobody);
            assert_eq!((record.ended, record.refusal_code), (Ended::Refused, code));
            assert!(record.attempts[0].estimated && record.attempts[0].usage.is_some());
        }
    }
}

#[test]
fn a_whole_answer_under_way_is_broken_off() {
    let world = without_quotas();
    let mut driven = Driven::post(&world, MESSAGES, &[], BODY);
    driven.forwarded();
    driven.attempt(1, Some("anthropic-a"));
    driven.commands();
    driven.begin_answer(1, 200, "application/json", &[b"{\"id\":\"m\","]);
    driven.push(Input::Governed(&governed(&world, Change::Revoked)));
    assert_eq!(driven.commands(), [Command::ResetStream]);
    assert_eq!(driven.close(ClosedBy::Nobody).refusal_code, "key_revoked");
}

#[test]
fn what_has_ended_stays_as_it_ended() {
    let world = without_quotas();
    let (mut driven, _) = streaming(&world);
    let end = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    driven.push(Input::AttemptBody {
        number: AttemptNumber(1),
        chunk: end.as_bytes(),
        end_of_stream: true,
    });
    driven.push(Input::ResponseEnded);
    driven.commands();
    driven.push(Input::Governed(&governed(&world, Change::Revoked)));
    assert_eq!(driven.commands(), []);
    let record = driven.close(ClosedBy::Nobody);
    assert_eq!((record.ended, record.refusal_code), (Ended::Complete, ""));
}

//! Whole exchanges, driven the way an adapter drives them.

#[cfg(test)]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use dialects::refusal::Reply;
use engine::messages::{ClosedBy, ConsultAnswer};
use engine::{Command, Ended, HeaderEdit, Input};
use policy::documents::{KeyState, Subscription};
use proptest::prelude::*;
use support::{Driven, World, code_of, edit, key_text};

const ANTHROPIC: &str = r#"{"model":"claude-a","max_tokens":8,"messages":[]}"#;
const SMART: &str =
    r#"{"model":"smart","max_tokens":8,"messages":[{"role":"user","content":"hi"}]}"#;
const CHAT_STREAM: &str = r#"{"model":"gpt-a","stream":true,"messages":[]}"#;

/// Sends `body` to `path` with the world's key and expects to be refused with `code`.
#[track_caller]
fn refused(world: &World, path: &str, body: &str, code: &str) -> Reply {
    let mut driven = Driven::post(world, path, &[], body);
    let reply = driven.reply();
    assert_eq!(
        code_of(&reply),
        code,
        "{}",
        String::from_utf8_lossy(&reply.body)
    );
    let record = driven.close(ClosedBy::Nobody);
    assert_eq!((record.ended, record.refusal_code), (Ended::Refused, code));
    assert!(record.attempts.is_empty());
    reply
}

#[test]
fn a_clean_request_passes_untouched_to_its_provider() {
    let world = World::default();
    let mut driven = Driven::post(
        &world,
        "/v1/messages?beta=true",
        &[("anthropic-beta", "x")],
        ANTHROPIC,
    );
    let edits = driven.forwarded();
    assert_eq!(edit(&edits, "x-weir-plan"), Some("provider/anthropic-a"));
    assert_eq!(edit(&edits, "x-envoy-max-retries"), Some("1"));
    assert_eq!(
        edit(&edits, "x-envoy-retry-on"),
        Some("reset"),
        "its own errors are the client's to see"
    );
    assert!(
        edits.contains(&HeaderEdit::remove("x-api-key")),
        "the virtual key stays here"
    );

    let attempt = driven.attempt(1, Some("anthropic-a"));
    assert_eq!(edit(&attempt, ":path"), None, "it stays as it is");
    assert_eq!(edit(&attempt, ":authority"), Some("anthropic-a.test"));
    assert_eq!(edit(&attempt, "x-api-key"), Some("secret-of-anthropic-a"));
    assert!(driven.commands().is_empty(), "nothing is spliced");
}

#[test]
fn usage_and_end_are_in_the_record() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], ANTHROPIC);
    driven.forwarded();
    driven.attempt(1, Some("anthropic-a"));
    driven.answer(
        1,
        200,
        "application/json",
        &[br#"{"id":"msg","usage":{"input_tokens":7,"output_tokens":3}}"#],
    );
    let record = driven.close(ClosedBy::Nobody);
    assert_eq!(record.ended, Ended::Complete);
    assert_eq!(record.status, 200);
    let usage = record.attempts[0].usage.unwrap();
    assert_eq!(
        (usage.input_tokens.get(), usage.output_tokens.get()),
        (7, 3)
    );
    assert!(!record.attempts[0].estimated);
}

#[test]
fn an_alias_renames_the_model_for_each_target() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], SMART);
    let edits = driven.forwarded();
    assert_eq!(
        edit(&edits, "x-weir-plan"),
        Some("plan/anthropic-a,anthropic-b")
    );
    assert_eq!(edit(&edits, "x-envoy-max-retries"), Some("1"));
    driven.attempt(1, Some("anthropic-a"));
    assert_eq!(driven.spliced(SMART), SMART.replace("smart", "claude-a"));
    let headers = driven.attempt(2, Some("anthropic-b"));
    assert_eq!(edit(&headers, "x-api-key"), Some("secret-of-anthropic-b"));
    assert_eq!(driven.spliced(SMART), SMART.replace("smart", "claude-b"));
    let length = SMART.replace("smart", "claude-b").len().to_string();
    assert_eq!(edit(&headers, "content-length"), Some(length.as_str()));
}

#[test]
fn a_host_outside_the_plan_is_never_reached() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], ANTHROPIC);
    driven.forwarded();
    let reply = driven.refused_attempt(1, Some("openai-a"));
    assert_eq!(code_of(&reply), "plan_unavailable");
    let mut driven = Driven::post(&world, "/v1/messages", &[], ANTHROPIC);
    driven.forwarded();
    assert_eq!(
        code_of(&driven.refused_attempt(2, Some("anthropic-a"))),
        "plan_unavailable"
    );
}

#[test]
fn a_target_without_a_host_is_passed_over() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], SMART);
    driven.forwarded();
    let attempt = driven.attempt(1, Some("anthropic-b"));
    assert_eq!(edit(&attempt, "x-api-key"), Some("secret-of-anthropic-b"));
    assert_eq!(driven.spliced(SMART), SMART.replace("smart", "claude-b"));
    assert_eq!(
        code_of(&driven.refused_attempt(2, Some("anthropic-a"))),
        "plan_unavailable"
    );
}

#[test]
fn usage_is_asked_for_and_its_event_taken_out_again() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/chat/completions", &[], CHAT_STREAM);
    driven.forwarded();
    driven.attempt(1, Some("openai-a"));
    assert!(
        driven
            .spliced(CHAT_STREAM)
            .contains(r#""stream_options":{"include_usage":true}"#)
    );
    let events: [&[u8]; 3] = [
        b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":null}\n\n",
        b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}}\n\n",
        b"data: [DONE]\n\n",
    ];
    let seen = driven.answer(1, 200, "text/event-stream", &events);
    assert_eq!(seen, [events[0], events[2]].concat());
    let usage = driven.close(ClosedBy::Nobody).attempts[0].usage.unwrap();
    assert_eq!(
        (usage.input_tokens.get(), usage.output_tokens.get()),
        (4, 2)
    );
}

#[test]
fn a_client_that_leaves_is_charged_an_estimate() {
    let world = World::default();
    let mut driven = Driven::post(
        &world,
        "/v1/messages",
        &[],
        &ANTHROPIC.replace("8,", "8,\"stream\":true,"),
    );
    driven.forwarded();
    driven.attempt(1, Some("anthropic-a"));
    let event = br#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"twelve bytes"}}

"#;
    driven.begin_answer(1, 200, "text/event-stream", &[event]);
    let record = driven.close(ClosedBy::Client);
    assert_eq!(record.ended, Ended::ClientGone);
    assert!(record.attempts[0].estimated);
    let usage = record.attempts[0].usage.unwrap();
    assert_eq!(usage.output_tokens.get(), 3);
    assert!(usage.input_tokens.get() > 0);
}

#[test]
fn a_client_that_leaves_before_the_answer_is_charged_its_input() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], ANTHROPIC);
    driven.forwarded();
    driven.attempt(1, Some("anthropic-a"));
    driven.push(Input::Closed {
        peer: ClosedBy::Client,
        response_bytes: 0,
    });
    let commands = driven.commands();
    let [Command::Record(record)] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    assert_eq!(record.ended, Ended::ClientGone);
    assert!(record.attempts[0].estimated);
    assert!(record.attempts[0].usage.unwrap().input_tokens.get() > 0);
}

#[test]
fn errors_that_envoy_made_come_in_the_dialect() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], ANTHROPIC);
    driven.forwarded();
    driven.attempt(1, Some("anthropic-a"));
    let reply = driven.proxy_error(503);
    assert_eq!(code_of(&reply), "upstream_unreachable");
    assert_eq!(driven.close(ClosedBy::Nobody).ended, Ended::UpstreamError);
}

/// What the proxy calls its answer decides what the client is told, wherever the exchange stands.
#[test]
fn answers_of_the_proxy_are_told_apart_by_their_details() {
    let world = World::default();
    for (status, details, want, ended) in [
        (503, "cluster_not_found", "plan_unavailable", Ended::Refused),
        (
            503,
            "no_healthy_upstream",
            "upstream_unreachable",
            Ended::UpstreamError,
        ),
        (
            503,
            "upstream_reset_before_response_started{overflow}",
            "busy",
            Ended::Refused,
        ),
        (
            503,
            "upstream_reset_before_response_started{connection_failure}",
            "upstream_unreachable",
            Ended::UpstreamError,
        ),
        (
            504,
            "upstream_per_try_timeout",
            "upstream_timeout",
            Ended::UpstreamError,
        ),
        (
            500,
            "response_payload_too_large",
            "answer_too_large",
            Ended::Refused,
        ),
        (
            408,
            "stream_idle_timeout",
            "request_timeout",
            Ended::Refused,
        ),
        (503, "never heard of", "internal", Ended::Refused),
    ] {
        let mut driven = Driven::post(&world, "/v1/messages", &[], ANTHROPIC);
        driven.forwarded();
        let reply = driven.proxy_answer(status, details);
        assert_eq!(code_of(&reply), want, "{details}");
        assert!(!reply.body.is_empty());
        assert_eq!(driven.close(ClosedBy::Nobody).ended, ended, "{details}");
    }
    for (status, details, want) in [
        (408, "request_overall_timeout", "request_timeout"),
        (413, "request_payload_too_large", "body_too_large"),
    ] {
        let mut driven = Driven::begin_post(&world, "/v1/messages");
        assert_eq!(
            code_of(&driven.proxy_answer(status, details)),
            want,
            "{details}"
        );
        let record = driven.close(ClosedBy::Nobody);
        assert_eq!((record.ended, record.refusal_code), (Ended::Refused, want));
    }
}

#[test]
fn what_runs_of_a_key_side_by_side_is_bounded() {
    let mut world = World::default();
    world.mesh_mut().max_running_per_key = 2;
    let ask = || Driven::post(&world, "/v1/messages", &[], ANTHROPIC);
    let (mut first, mut second) = (ask(), ask());
    first.forwarded();
    second.forwarded();
    let mut third = ask();
    let reply = third.reply();
    assert_eq!((reply.status, code_of(&reply).as_str()), (503, "busy"));
    let record = third.close(ClosedBy::Nobody);
    assert_eq!(
        (record.ended, record.refusal_code),
        (Ended::Refused, "busy")
    );
    assert!(record.principal.key.is_some());
    drop((third, first));
    ask().forwarded();
}

#[test]
fn only_a_websocket_is_an_upgrade_that_is_refused() {
    let world = World::default();
    for offer in ["TLS/1.2", "h2c", "foo, bar", "", "websockets", "web socket"] {
        let fields = [("connection", "upgrade"), ("upgrade", offer)];
        let mut driven = Driven::post(&world, "/v1/messages", &fields, ANTHROPIC);
        driven.forwarded();
    }
    for offer in ["websocket", "WebSocket", "h2c, websocket", "websocket,h2c"] {
        let fields = [("connection", "upgrade"), ("upgrade", offer)];
        let reply = Driven::post(&world, "/v1/messages", &fields, ANTHROPIC).reply();
        assert_eq!(code_of(&reply), "websocket_unsupported", "{offer}");
    }
}

#[test]
fn errors_of_the_provider_pass_as_they_are() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], ANTHROPIC);
    driven.forwarded();
    driven.attempt(1, Some("anthropic-a"));
    let body: &[u8] = br#"{"type":"error","error":{"type":"overloaded_error","message":"no"}}"#;
    assert_eq!(driven.answer(1, 529, "application/json", &[body]), body);
    let record = driven.close(ClosedBy::Nobody);
    assert_eq!((record.ended, record.status), (Ended::UpstreamError, 529));
    assert_eq!(record.attempts[0].usage, None);
}

#[test]
fn keys_are_refused_by_their_state() {
    for (state, code) in [
        (KeyState::Revoked, "key_revoked"),
        (KeyState::Inactive, "key_inactive"),
    ] {
        let mut world = World::default();
        world.key_mut().state = state;
        refused(&world, "/v1/messages", ANTHROPIC, code);
    }
    let mut world = World::default();
    world.key_mut().expires_at_ms = Some(support::T0);
    refused(&world, "/v1/messages", ANTHROPIC, "key_expired");
}

#[test]
fn what_a_key_may_not_use_is_refused_before_the_provider() {
    let world = World::default();
    refused(
        &world,
        "/v1/messages",
        r#"{"model":"claude-secret","messages":[]}"#,
        "model_not_allowed",
    );
    refused(
        &world,
        "/v1/messages",
        r#"{"messages":[]}"#,
        "model_missing",
    );
    refused(&world, "/openai/v1/audio/speech", "{}", "path_not_allowed");
}

#[test]
fn bodies_that_two_parsers_could_read_differently_are_refused() {
    let world = World::default();
    for (body, code) in [
        (
            r#"{"model":"claude-a","model":"claude-b"}"#,
            "duplicate_field",
        ),
        (r#"{"mod\u0065l":"claude-a"}"#, "disguised_field"),
        (
            r#"{"Model":"claude-a","model":"claude-a"}"#,
            "disguised_field",
        ),
        ("\u{feff}{\"model\":\"claude-a\"}", "bad_json"),
        (r#"{"model":"claude-a""#, "bad_json"),
        ("", "bad_json"),
    ] {
        refused(&world, "/v1/messages", body, code);
    }
}

#[test]
fn bodies_over_the_cap_are_refused_by_counting() {
    let mut world = World::default();
    world.mesh_mut().body_cap_bytes = 16;
    refused(&world, "/v1/messages", ANTHROPIC, "body_too_large");
}

#[test]
fn bodies_over_the_cap_are_refused_before_they_are_read() {
    let mut world = World::default();
    world.mesh_mut().body_cap_bytes = 64;
    let mut driven = Driven::begin_post(&world, "/v1/messages");
    driven.push(Input::RequestHeld { bytes: 64 });
    assert_eq!(driven.commands(), []);
    driven.push(Input::RequestHeld { bytes: 65 });
    let reply = driven.reply();
    assert_eq!(
        (reply.status, code_of(&reply).as_str()),
        (413, "body_too_large")
    );
}

#[test]
fn a_proxy_that_holds_too_much_asks_to_come_back() {
    let world = World::default();
    let mut driven = Driven::begin_post(&world, "/v1/messages");
    driven.push(Input::NoRoom);
    let reply = driven.reply();
    assert_eq!((reply.status, code_of(&reply).as_str()), (503, "busy"));
}

#[test]
fn a_canary_without_a_body_is_answered() {
    let world = World::default();
    let commands =
        Driven::bodyless(&world, "/weir/canary", &[("x-weir-canary", "canary")]).commands();
    assert_eq!(commands, [Command::AnswerCanary { body_bytes: 0 }]);
}

#[test]
fn without_a_snapshot_nothing_passes() {
    let world = World::default();
    let mut driven = Driven::without_mesh(&world, "/v1/messages", ANTHROPIC);
    let reply = driven.reply();
    assert_eq!(
        (reply.status, code_of(&reply).as_str()),
        (503, "no_snapshot")
    );
}

#[test]
fn a_stored_response_is_named_only_by_its_owner() {
    let world = World::default();
    let body = r#"{"model":"gpt-a","input":"x","previous_response_id":"resp_1"}"#;
    let answered = |answer| {
        let mut driven = Driven::post(&world, "/v1/responses", &[], body);
        let call = driven.consulted();
        driven.push(Input::Consulted { call, answer });
        driven
    };
    assert!(!answered(ConsultAnswer::Owned).forwarded().is_empty());
    assert_eq!(
        code_of(&answered(ConsultAnswer::NotOwned).reply()),
        "stateful_id_unknown"
    );
    assert_eq!(
        code_of(&answered(ConsultAnswer::Unreachable).reply()),
        "service_unreachable"
    );
}

/// Whatever a body calls it and wherever it stands: what names something stored is refused by the member's name, and
/// what would lead elsewhere, too; models are judged.
#[test]
fn stored_things_and_places_elsewhere_are_refused_by_name() {
    let world = World::default();
    for (path, body, code, name) in [
        (
            "/v1/responses",
            r#"{"model":"gpt-a","input":[{"role":"user","content":[{"type":"future","id":"SECRET"}]}]}"#,
            "stateful_id_unknown",
            "content.id",
        ),
        (
            "/v1/responses",
            r#"{"model":"gpt-a","input":"x","tools":[{"type":"future","store_ids":["SECRET"]}]}"#,
            "stateful_id_unknown",
            "store_ids",
        ),
        (
            "/v1/chat/completions",
            r#"{"model":"gpt-a","messages":[],"future":{"mask":"file-SECRET1"}}"#,
            "stateful_id_unknown",
            "mask",
        ),
        (
            "/v1/messages",
            r#"{"model":"claude-a","max_tokens":8,"messages":[{"content":[{"type":"x","a b":{"fileId":"SECRET"}}]}]}"#,
            "stateful_id_unknown",
            "fileId",
        ),
        (
            "/v1/messages",
            r#"{"model":"claude-a","max_tokens":8,"messages":[],"SECRET id":"SECRET"}"#,
            "stateful_id_unknown",
            "a member",
        ),
        (
            "/v1/messages",
            r#"{"model":"claude-a","max_tokens":8,"messages":[],"api_base":"http://SECRET"}"#,
            "field_not_allowed",
            "api_base",
        ),
        (
            "/v1/chat/completions",
            r#"{"model":"gpt-a","messages":[],"provider":{"order":["SECRET"]}}"#,
            "field_not_allowed",
            "provider",
        ),
    ] {
        let reply = refused(&world, path, body, code);
        let text = String::from_utf8(reply.body).unwrap();
        assert!(text.contains(&format!("`{name}`")), "{text}");
        assert!(!text.contains("SECRET"), "{text}");
    }
}

#[test]
fn an_answer_that_never_comes_is_a_refusal_at_the_deadline() {
    let world = World::default();
    let body = r#"{"model":"gpt-a","input":"x","previous_response_id":"resp_1"}"#;
    let mut driven = Driven::post(&world, "/v1/responses", &[], body);
    driven.consulted();
    driven.pass_deadline();
    assert_eq!(code_of(&driven.reply()), "service_unreachable");
}

#[test]
fn an_own_login_travels_only_when_the_key_says_so() {
    let own = [
        ("x-weir-key", key_text()),
        ("authorization", "Bearer sk-ant-oat01-own".to_owned()),
    ];
    let headers: Vec<_> = own
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let world = World::default();
    let mut driven = Driven::post_as(&world, "/v1/messages", &headers, ANTHROPIC);
    assert_eq!(code_of(&driven.reply()), "subscription_not_allowed");

    let mut world = World::default();
    world.key_mut().subscription = Subscription::Allowed;
    let mut driven = Driven::post_as(&world, "/v1/messages", &headers, ANTHROPIC);
    let edits = driven.forwarded();
    assert!(!edits.contains(&HeaderEdit::remove("authorization")));
    assert!(edits.contains(&HeaderEdit::remove("x-weir-key")));
    let attempt = driven.attempt(1, Some("anthropic-a"));
    assert_eq!(edit(&attempt, "x-api-key"), None);
    assert!(driven.close(ClosedBy::Nobody).subscription);
}

#[test]
fn every_attempt_is_recorded() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], SMART);
    driven.forwarded();
    driven.attempt(1, Some("anthropic-a"));
    driven.spliced(SMART);
    driven.begin_answer(1, 429, "application/json", &[]);
    driven.attempt(2, Some("anthropic-b"));
    driven.spliced(SMART);
    driven.answer(
        2,
        200,
        "application/json",
        &[br#"{"usage":{"input_tokens":1,"output_tokens":1}}"#],
    );
    let record = driven.close(ClosedBy::Nobody);
    let tried: Vec<_> = record
        .attempts
        .iter()
        .map(|attempt| (attempt.provider.as_str(), attempt.status))
        .collect();
    assert_eq!(tried, [("anthropic-a", 429), ("anthropic-b", 200)]);
    assert_eq!(record.attempts[0].usage, None);
}

#[test]
fn inputs_out_of_place_are_counted_and_change_nothing() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], ANTHROPIC);
    driven.forwarded();
    driven.push(Input::RequestTrailers);
    driven.push(Input::KeyFound(None));
    assert_eq!(driven.exchange.stray_inputs(), 2);
    assert!(driven.commands().is_empty());
    driven.attempt(1, Some("anthropic-a"));
}

#[test]
fn model_lists_hold_only_what_the_key_may_use() {
    let world = World::default();
    let reply = Driven::get(&world, "/openai/v1/models").reply();
    let body = String::from_utf8(reply.body).unwrap();
    assert!(body.contains("gpt-a") && !body.contains("claude"), "{body}");
    let reply = Driven::get(&world, "/anthropic/v1/models").reply();
    let body = String::from_utf8(reply.body).unwrap();
    assert!(
        body.contains("claude-a") && body.contains("smart") && !body.contains("claude-secret"),
        "{body}"
    );
}

#[test]
fn the_list_at_a_named_provider_is_that_providers() {
    let world = World::default();
    let reply = Driven::get(&world, "/p/anthropic-b/v1/models").reply();
    let body = String::from_utf8(reply.body).unwrap();
    assert!(
        body.contains("claude-b") && !body.contains("claude-a"),
        "{body}"
    );
}

proptest! {
    #[test]
    fn chunking_never_changes_what_happens(cuts: Vec<prop::sample::Index>, which in 0..4_usize) {
        let world = World::default();
        let bodies = [ANTHROPIC, SMART, r#"{"model":"claude-secret"}"#, r#"{"model":1}"#];
        let whole = Driven::chunked(&world, "/v1/messages", bodies[which], &[]).commands();
        let pieces = Driven::chunked(&world, "/v1/messages", bodies[which], &cuts).commands();
        prop_assert_eq!(whole, pieces);
    }
}

#[test]
fn a_refusal_is_the_only_command() {
    let world = World::default();
    let mut driven = Driven::post(&world, "/v1/messages", &[], "{");
    let commands = driven.commands();
    assert!(
        matches!(commands.as_slice(), [Command::Reply(_)]),
        "{commands:?}"
    );
}

#[test]
fn every_answer_carries_the_exchange_s_id() {
    let world = World::default();
    let mut forwarded = Driven::post(&world, "/v1/messages", &[], ANTHROPIC);
    forwarded.forwarded();
    forwarded.attempt(1, None);
    let mut refused = Driven::post(&world, "/v1/messages", &[], "{}");
    refused.reply();
    let mut early = Driven::post(&world, "/v1/unheard-of", &[], "{}");
    early.commands();
    let mut listed = Driven::get(&world, "/v1/models");
    listed.commands();
    let mut unready = Driven::without_mesh(&world, "/v1/messages", ANTHROPIC);
    unready.reply();
    for (driven, what) in [
        (forwarded, "a provider's answer"),
        (refused, "a refusal"),
        (early, "a refusal before the key"),
        (listed, "a list of models"),
        (unready, "a refusal without policy"),
    ] {
        let mut driven = driven;
        let shown = driven.shown_id();
        let record = driven.close(ClosedBy::Nobody);
        assert_eq!(shown, Some(record.exchange.to_string()), "{what}");
    }
}

#[test]
fn probes_have_no_id_because_they_leave_no_record() {
    let world = World::default();
    for path in ["/healthz", "/weir/canary"] {
        let mut probe = Driven::get(&world, path);
        assert!(!probe.commands().is_empty(), "{path}");
        assert_eq!(probe.shown_id(), None, "{path}");
    }
}

#[test]
fn what_client_and_provider_call_a_request_is_recorded() {
    let world = World::default();
    let mine = [
        ("x-request-id", "mine \u{e9}1"),
        ("x-client-request-id", "mine1"),
        ("x-correlation-id", "trace"),
    ];
    let mut driven = Driven::post(&world, "/v1/messages", &mine, SMART);
    driven.forwarded();
    driven.attempt(1, Some("anthropic-a"));
    let busy = [("request-id", "req_1"), ("x-request-id", "mine1")];
    driven.begin_answer_with(1, 529, &busy, &[]);
    driven.attempt(2, Some("anthropic-b"));
    driven.begin_answer_with(2, 200, &[("request-id", "req_2")], &[]);
    let record = driven.close(ClosedBy::Nobody);
    assert_eq!(record.client_request_ids, ["mine1", "trace"]);
    assert_eq!(record.attempts[0].request_ids, ["req_1", "mine1"]);
    assert_eq!(record.attempts[1].request_ids, ["req_2"]);
}

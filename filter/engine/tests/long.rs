//! Texts that are too long to be held, in a whole exchange: what they hold is found wherever it stands.

#![cfg(test)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use dialects::splice::apply;
use engine::guard::{Verdict, Why};
use engine::messages::{ClosedBy, ConsultKind};
use engine::{Command, Input};
use policy::guardrail::{Action, Detector, GuardrailRules, OnError, RedactStyle, Stage};
use proptest::prelude::*;
use support::{Driven, World, code_of};

/// A literal that is longer comes in pieces.
const LONG: usize = 64 * 1024;

const SECRET: &str = "SECRET-123456";
const HIDDEN: &str = "[REDACTED:marker]";

fn rules(action: Action, patterns: &[&str]) -> GuardrailRules {
    let detector = |pattern: &&str| Detector::Regex {
        id: "marker".to_owned(),
        pattern: (*pattern).to_owned(),
        group: 0,
    };
    GuardrailRules::new(vec![Stage {
        detectors: patterns.iter().map(detector).collect(),
        action,
    }])
}

fn redacting() -> World {
    let style = RedactStyle::Replace { with: None };
    World::guarded(rules(Action::Redact(style), &["SECRET-[0-9]{6}"]))
}

fn body(content: &str) -> String {
    format!(
        r#"{{"model":"claude-a","max_tokens":9,"messages":[{{"role":"user","content":"{content}"}}]}}"#
    )
}

/// Reads a body in chunks of these sizes, over and over.
fn read(world: &World, body: &str, sizes: &[usize]) -> Driven {
    let mut driven = Driven::begin_post(world, "/v1/messages");
    let mut rest = body.as_bytes();
    for size in sizes.iter().cycle() {
        let (chunk, later) = rest.split_at((*size).clamp(1, rest.len()));
        rest = later;
        driven.push(Input::RequestBody {
            chunk,
            end_of_stream: rest.is_empty(),
        });
        if rest.is_empty() {
            return driven;
        }
    }
    driven
}

/// What the provider gets of a body.
#[track_caller]
fn sent(world: &World, body: &str, sizes: &[usize]) -> String {
    let mut driven = read(world, body, sizes);
    let commands = driven.commands();
    assert!(
        matches!(commands.as_slice(), [Command::Forward { .. }]),
        "{commands:?}"
    );
    driven.attempt(1, None);
    match driven.commands().as_mut_slice() {
        [Command::SplicePrefix(splice)] => {
            String::from_utf8(apply(body.as_bytes(), &mut splice.splices).unwrap()).unwrap()
        }
        [] => body.to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Filling without anything in it; every other line is written with escapes.
fn filling(bytes: usize) -> String {
    if bytes < 100 {
        return "z".repeat(bytes);
    }
    let line = r#"plain words in a row\n\u00e9t\u00e9 \ud83d\ude00 and \"quoted\" ones\t"#;
    let mut text = line.repeat(bytes / line.len() + 1);
    let mut end = bytes;
    // No escape may be cut.
    while text.as_bytes()[end - 12..end].contains(&b'\\') {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[test]
fn a_value_is_hidden_at_every_seam() {
    let world = redacting();
    // Pieces are 8 KiB decoded, chunks 64 KiB as written.
    for seam in [8 * 1024, 16 * 1024, LONG, LONG + 8 * 1024] {
        for before in (seam - 20..seam + 8).step_by(3) {
            let content = format!("{}{SECRET}.{}", "x ".repeat(before / 2), filling(LONG));
            let body = body(&content);
            let want = body.replace(SECRET, HIDDEN);
            assert_eq!(sent(&world, &body, &[LONG]), want, "{before}");
        }
    }
}

#[test]
fn many_values_among_escapes_are_hidden_and_nothing_else_changes() {
    let world = redacting();
    let mut content = String::new();
    for at in 0..400 {
        content.push_str(&filling(300 + at % 97));
        content.push_str(&format!(r"\n{SECRET}\u0020"));
    }
    let body = body(&content);
    let want = body.replace(SECRET, HIDDEN);
    assert_eq!(sent(&world, &body, &[LONG]), want);
    assert_eq!(sent(&world, &body, &[body.len()]), want);
}

#[test]
fn a_value_written_with_escapes_is_hidden_whole() {
    let world = redacting();
    let written = r"\u0053ECRET\u002d12345\u0036";
    for before in LONG - 40..LONG + 4 {
        let content = format!("{} {written} {}", "x".repeat(before), filling(9_000));
        let body = body(&content);
        assert_eq!(
            sent(&world, &body, &[LONG, 17]),
            body.replace(written, HIDDEN)
        );
    }
}

#[test]
fn long_names_and_long_json_text_are_read_too() {
    let world = redacting();
    let long = filling(LONG);
    let arguments = format!(
        r#"{{\"path\":\"{SECRET}\",\"text\":\"{}\"}}"#,
        "x ".repeat(LONG)
    );
    let body = format!(
        r#"{{"model":"claude-a","max_tokens":9,"more":{{"{long}{SECRET}":1}},"messages":[{{"role":"user","content":"hello"}}],"input":"{arguments}"}}"#
    );
    let want = body.replace(SECRET, HIDDEN);
    assert_eq!(sent(&world, &body, &[LONG]), want);
}

#[test]
fn long_media_is_not_read() {
    let world = redacting();
    let data = "SECRET1234567890".repeat(LONG / 8);
    let body = format!(
        r#"{{"model":"claude-a","max_tokens":9,"messages":[{{"role":"user","content":[{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}]}}]}}"#
    );
    assert_eq!(sent(&world, &body, &[LONG]), body);
}

#[test]
fn a_token_across_pieces_is_asked_for() {
    let world = || World::guarded(rules(Action::Tokenise, &["SECRET-[0-9]{6}"]));
    let minted = tokens_of(read(&world(), &body(SECRET), &[LONG]));
    let [token] = minted.as_slice() else {
        panic!("{minted:?}");
    };
    for before in (8 * 1024 - 40..8 * 1024).step_by(7) {
        let content = format!("{}{token} {}", "x".repeat(before), filling(LONG));
        // A worker that has not met the session yet.
        let mut driven = read(&world(), &body(&content), &[LONG]);
        let commands = driven.commands();
        let [
            Command::Consult {
                kind: ConsultKind::FindTokens { tokens, .. },
                ..
            },
        ] = commands.as_slice()
        else {
            panic!("{before}: {commands:?}");
        };
        assert_eq!(tokens, std::slice::from_ref(token), "{before}");
    }
}

fn tokens_of(mut driven: Driven) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut commands = driven.commands();
    if let Some(Command::Consult { call, .. }) = commands.last() {
        driven.push(Input::Consulted {
            call: *call,
            answer: engine::messages::ConsultAnswer::Tokens(Vec::new()),
        });
        commands.extend(driven.commands());
    }
    for command in commands {
        if let Command::KeepTokens(minted) = command {
            tokens.extend(minted.into_iter().map(|minted| minted.token));
        }
    }
    tokens
}

#[test]
fn a_text_that_may_go_on_for_too_long_is_an_outcome_that_policy_decides() {
    let content = format!("BEGIN {}", "x ".repeat(2 * LONG));
    for (on_error, refused) in [(OnError::Block, true), (OnError::Pass, false)] {
        let style = RedactStyle::Replace { with: None };
        let patterns = ["SECRET-[0-9]{6}", r"BEGIN[\s\S]+?FINISH"];
        let mut rules = rules(Action::Redact(style), &patterns);
        rules.on_error = on_error;
        let world = World::guarded(rules);
        let body = body(&content);
        let mut driven = read(&world, &body, &[LONG]);
        if refused {
            let reply = driven.reply();
            assert_eq!(
                (reply.status, code_of(&reply).as_str()),
                (400, "guardrail_blocked")
            );
        } else {
            assert!(matches!(
                driven.commands().as_slice(),
                [Command::Forward { .. }]
            ));
        }
        let record = driven.close(ClosedBy::Nobody);
        let outcome = &record.guardrails[0];
        assert_eq!(outcome.not_scanned[0].why, Why::TooLong);
        assert_eq!(outcome.verdict == Verdict::Blocked, refused);
    }
}

#[test]
fn more_findings_than_can_be_acted_on_are_an_outcome_that_policy_decides() {
    let content = format!("{SECRET} ").repeat(60_000);
    let mut rules = rules(
        Action::Redact(RedactStyle::Replace { with: None }),
        &["SECRET-[0-9]{6}"],
    );
    rules.on_error = OnError::Block;
    let world = World::guarded(rules);
    let mut driven = read(&world, &body(&content), &[LONG]);
    assert_eq!(code_of(&driven.reply()), "guardrail_blocked");
    let record = driven.close(ClosedBy::Nobody);
    assert_eq!(record.guardrails[0].not_scanned[0].why, Why::TooLong);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Around the bound, where one way of reading begins and another ends.
    #[test]
    fn chunks_never_change_what_goes_on(
        length in LONG - 40..LONG + 40,
        at in 0..LONG - 60,
        sizes in prop::collection::vec(1..3 * LONG, 1..5),
    ) {
        let world = redacting();
        let mut content = filling(at);
        content.push_str(SECRET);
        let fill = length.saturating_sub(content.len());
        content.push_str(&"y".repeat(fill));
        let body = body(&content);
        prop_assert_eq!(sent(&world, &body, &sizes), body.replace(SECRET, HIDDEN));
    }

    #[test]
    fn values_anywhere_in_long_texts_are_hidden(
        gaps in prop::collection::vec(0..30_000usize, 4..9),
        sizes in prop::collection::vec(1..2 * LONG, 1..4),
    ) {
        let world = redacting();
        let mut content = filling(LONG / 2);
        for gap in gaps {
            content.push_str(&filling(gap));
            content.push(' ');
            content.push_str(SECRET);
        }
        let body = body(&content);
        prop_assert_eq!(sent(&world, &body, &sizes), body.replace(SECRET, HIDDEN));
    }
}

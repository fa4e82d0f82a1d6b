use proptest::prelude::*;

use super::*;
use crate::request::RequestReader;

fn facts(surface: Surface, body: &str) -> RequestFacts {
    let mut reader = RequestReader::new(surface).expect("a surface with a JSON body");
    reader.push(body.as_bytes()).expect("a good body");
    reader.finish().expect("a good body")
}

fn asks_for_usage(body: &[u8]) -> bool {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    body["stream_options"]["include_usage"] == true
}

#[track_caller]
fn check_usage(body: &str, want: &str) {
    let splice = include_usage_splice(&facts(Surface::OpenaiChat, body)).expect("a splice");
    let spliced = apply(body.as_bytes(), &mut [splice]).unwrap();
    assert_eq!(str::from_utf8(&spliced).unwrap(), want);
    assert!(asks_for_usage(&spliced));
    assert!(facts(Surface::OpenaiChat, want).asks_for_usage());
    assert_eq!(
        include_usage_splice(&facts(Surface::OpenaiChat, want)),
        None
    );
}

#[track_caller]
fn check_model(surface: Surface, body: &str, model: &str, want: &str) {
    let mut splices = model_splices(&facts(surface, body), model);
    let spliced = apply(body.as_bytes(), &mut splices).unwrap();
    assert_eq!(str::from_utf8(&spliced).unwrap(), want);
}

#[test]
fn usage_is_asked_for_whatever_stands_there() {
    check_usage(
        r#"{"model":"m","stream":true}"#,
        r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
    );
    check_usage(
        " {\n \"model\":\"m\",\"stream\":true,\"stream_options\" : null }",
        " {\n \"model\":\"m\",\"stream\":true,\"stream_options\" : {\"include_usage\":true} }",
    );
    check_usage(
        r#"{"stream_options":{ },"model":"m","stream":true}"#,
        r#"{"stream_options":{"include_usage":true },"model":"m","stream":true}"#,
    );
    check_usage(
        r#"{"stream_options":{"include_obfuscation":false},"model":"m","stream":true}"#,
        r#"{"stream_options":{"include_usage":true,"include_obfuscation":false},"model":"m","stream":true}"#,
    );
    for declined in ["false", "null"] {
        check_usage(
            &format!(
                r#"{{"model":"m","stream":true,"stream_options":{{"a":1,"include_usage":{declined}}}}}"#
            ),
            r#"{"model":"m","stream":true,"stream_options":{"a":1,"include_usage":true}}"#,
        );
    }
}

#[test]
fn usage_is_asked_for_in_chat_streams_only() {
    for (surface, body) in [
        (Surface::OpenaiChat, r#"{"model":"m"}"#),
        (
            Surface::OpenaiChat,
            r#"{"model":"m","stream":false,"stream_options":{}}"#,
        ),
        (Surface::OpenaiResponses, r#"{"model":"m","stream":true}"#),
        (Surface::AnthropicMessages, r#"{"model":"m","stream":true}"#),
    ] {
        assert_eq!(include_usage_splice(&facts(surface, body)), None);
    }
}

#[test]
fn a_model_is_replaced_as_a_string() {
    check_model(
        Surface::OpenaiChat,
        r#"{"model" : "fast" ,"n":1}"#,
        "a\"b\\é",
        r#"{"model" : "a\"b\\é" ,"n":1}"#,
    );
    check_model(
        Surface::AnthropicMessages,
        r#"{"model":"f\u0061st"}"#,
        "m",
        r#"{"model":"m"}"#,
    );
    check_model(
        Surface::GeminiGenerate,
        r#"{"contents":[]}"#,
        "m",
        r#"{"contents":[]}"#,
    );
    check_model(
        Surface::GeminiEmbed,
        r#"{"requests":[{"model":"models/a"},{"model":"a"}]}"#,
        "b",
        r#"{"requests":[{"model":"models/b"},{"model":"b"}]}"#,
    );
    check_model(
        Surface::AnthropicMessages,
        r#"{"tools":[{"model":"advisor"}],"model":"a"}"#,
        "b",
        r#"{"tools":[{"model":"advisor"}],"model":"b"}"#,
    );
}

#[test]
fn splices_that_do_not_fit_are_refused() {
    let splice = |start, end| Splice {
        start,
        end,
        with: Vec::new(),
    };
    assert_eq!(
        apply(b"abc", &mut [splice(1, 4)]),
        Err(SpliceError::BeyondEnd { end: 4 })
    );
    assert_eq!(
        apply(b"abc", &mut [splice(0, 2), splice(1, 3)]),
        Err(SpliceError::Overlap { at: 1 })
    );
    assert_eq!(
        apply(b"abc", &mut [splice(2, 1)]),
        Err(SpliceError::Overlap { at: 2 })
    );
    assert_eq!(
        apply(b"abc", &mut [splice(0, u64::MAX)]),
        Err(SpliceError::BeyondEnd { end: u64::MAX })
    );
}

#[test]
fn no_splice_drops_nothing() {
    assert_eq!(
        apply_prefix(b"abc", &mut []),
        Ok(Prefix {
            drop: 0,
            with: Vec::new()
        })
    );
    assert_eq!(reach(&[]), 0);
}

/// Splices that lie side by side, built from gaps and lengths.
fn fitting(body: &[u8], parts: Vec<(u8, u8, Vec<u8>)>) -> Vec<Splice> {
    let mut at = 0;
    let mut splices = Vec::new();
    for (gap, length, with) in parts {
        let start = at + usize::from(gap);
        let end = start + usize::from(length);
        if end > body.len() {
            break;
        }
        splices.push(Splice {
            start: start.try_into().unwrap(),
            end: end.try_into().unwrap(),
            with,
        });
        at = end;
    }
    splices
}

proptest! {
    #[test]
    fn every_byte_outside_of_splices_stays(body: Vec<u8>, parts: Vec<(u8, u8, Vec<u8>)>) {
        let mut splices = fitting(&body, parts);
        let mut want = body.clone();
        for splice in splices.iter().rev() {
            let span = usize::try_from(splice.start).unwrap()..usize::try_from(splice.end).unwrap();
            want.splice(span, splice.with.iter().copied());
        }
        splices.reverse();
        prop_assert_eq!(apply(&body, &mut splices).unwrap(), want);
    }

    #[test]
    fn the_prefix_of_a_body_gives_what_the_body_gives(body: Vec<u8>, parts: Vec<(u8, u8, Vec<u8>)>, more: prop::sample::Index) {
        let mut splices = fitting(&body, parts);
        let reach = usize::try_from(reach(&splices)).unwrap();
        let head = &body[..reach + more.index(body.len() - reach + 1)];
        let Prefix { drop, mut with } = apply_prefix(head, &mut splices).unwrap();
        with.extend_from_slice(&body[drop..]);
        prop_assert_eq!(with, apply(&body, &mut splices).unwrap());
    }

    #[test]
    fn a_spliced_model_is_read_back(model in "\\PC{1,40}") {
        let body = r#"{"messages":[{"role":"user","content":"hi"}],"model":"alias","stream":true}"#;
        let mut splices = model_splices(&facts(Surface::OpenaiChat, body), &model);
        splices.extend(include_usage_splice(&facts(Surface::OpenaiChat, body)));
        let spliced = apply(body.as_bytes(), &mut splices).unwrap();
        let facts = facts(Surface::OpenaiChat, str::from_utf8(&spliced).unwrap());
        prop_assert_eq!(facts.model.as_ref().map(|field| field.value.as_str()), Some(model.as_str()));
        prop_assert!(facts.asks_for_usage());
    }
}

proptest! {
    /// A body that is edited piece by piece becomes what it becomes at once.
    #[test]
    fn pieces_are_edited_as_the_whole_is(
        body in prop::collection::vec(any::<u8>(), 0..200),
        places in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, "[a-z]{0,5}"), 0..8),
        sizes in prop::collection::vec(1..40usize, 1..6),
    ) {
        let splices: Vec<_> = places
            .iter()
            .map(|(at, length, with)| {
                let start = at.index(body.len() + 1);
                let end = (start + length).min(body.len());
                Splice { start: start as u64, end: end as u64, with: with.clone().into_bytes() }
            })
            .collect();
        let whole = apply(&body, &mut splices.clone());
        let editor = PieceEditor::new(splices, body.len() as u64);
        prop_assert_eq!(editor.as_ref().err(), whole.as_ref().err());
        let (Ok(mut editor), Ok(whole)) = (editor, whole) else {
            return Ok(());
        };
        let (mut rest, mut out) = (&body[..], Vec::new());
        for size in sizes.iter().cycle() {
            let (piece, later) = rest.split_at((*size).min(rest.len()));
            rest = later;
            editor.edit(piece, rest.is_empty(), &mut out);
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(out, whole);
    }
}

use proptest::prelude::*;

use super::*;
use crate::cut;

const USAGE: &str = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
const DELTA: &str =
    "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":null}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn remove(chunks: &[&[u8]]) -> (Vec<u8>, u64) {
    let mut remover = UsageEventRemover::default();
    let mut passed = Vec::new();
    for chunk in chunks {
        let mut out = Vec::new();
        match remover.push(chunk, &mut out) {
            Passage::AsItCame => {
                assert!(out.is_empty());
                passed.extend_from_slice(chunk);
            }
            Passage::Replaced => passed.append(&mut out),
        }
        assert!(remover.held_bytes() <= HELD_BYTES);
    }
    remover.finish(&mut passed);
    (passed, remover.removed_events())
}

#[track_caller]
fn check(stream: &str, want: &str) {
    let removed = u64::from(stream != want);
    assert_eq!(
        remove(&[stream.as_bytes()]),
        (want.into(), removed),
        "whole"
    );
    let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    assert_eq!(remove(&bytes), (want.into(), removed), "bytewise");
}

#[track_caller]
fn check_stays(stream: &str) {
    check(stream, stream);
}

#[test]
fn the_usage_event_goes_and_all_else_stays() {
    check(
        &[DELTA, DELTA, USAGE, DONE].concat(),
        &[DELTA, DELTA, DONE].concat(),
    );
}

#[test]
fn line_ends_are_kept_whole() {
    for end in ["\r\n", "\r"] {
        let stream = [DELTA, USAGE, DONE].concat().replace('\n', end);
        check(&stream, &[DELTA, DONE].concat().replace('\n', end));
        let last = [DELTA, USAGE].concat().replace('\n', end);
        check(&last, &DELTA.replace('\n', end));
    }
}

#[test]
fn members_may_stand_in_any_order_and_lines() {
    check("data: {\"usage\":{},\"choices\":[ ]}\n\n", "");
    check(
        "event: x\nid: 1\ndata: {\"choices\":[],\ndata: \"usage\":{\"a\":[1]}}\n\n",
        "",
    );
    check(
        &format!("{DELTA}data:{{\"choices\":[],\"usage\":{{}}}}\n"),
        DELTA,
    );
}

#[test]
fn other_events_stay() {
    for stream in [
        DONE,
        DELTA,
        "",
        "\n\n",
        ": keep-alive\n\n",
        "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n",
        "data: {\"choices\":[],\"usage\":null}\n\n",
        "data: {\"choices\":null,\"usage\":{}}\n\n",
        "data: {\"choices\":{},\"usage\":{}}\n\n",
        "data: {\"usage\":{}}\n\n",
        "data: {\"choices\":[],\"usage\":[]}\n\n",
        "data: {\"choices\":[[]],\"usage\":{}}\n\n",
        "data: {\"choices\":[0],\"choices\":[],\"usage\":{}}\n\n",
        "data: {\"x\":{\"choices\":[],\"usage\":{}}}\n\n",
        "data: {\"choices\":[],\"usage\":{}\n\n",
        "data: {\"choices\":[],\"usage\":{}} x\n\n",
        "data: [{\"choices\":[],\"usage\":{}}]\n\n",
        "{\"choices\":[],\"usage\":{}}\n\n",
        "data: {\"choices\":[],\"us",
    ] {
        check_stays(stream);
    }
}

#[test]
fn an_event_is_released_as_soon_as_it_is_clear_that_it_stays() {
    let mut remover = UsageEventRemover::default();
    let mut out = Vec::new();
    assert_eq!(
        remover.push(b"data: {\"id\":\"c\",\"choices\":[", &mut out),
        Passage::Replaced
    );
    assert_eq!((out.len(), remover.held_bytes()), (0, 27));
    assert_eq!(remover.push(b"{\"delta\":", &mut out), Passage::Replaced);
    assert_eq!(out, b"data: {\"id\":\"c\",\"choices\":[{\"delta\":");
    assert_eq!(
        remover.push(b"{\"content\":\"x\"}}]", &mut out),
        Passage::AsItCame
    );
    assert_eq!(remover.held_bytes(), 0);
}

#[test]
fn an_event_in_one_chunk_passes_as_it_came() {
    let mut remover = UsageEventRemover::default();
    let mut out = Vec::new();
    for event in [DELTA, ": ping\n\n", DONE] {
        for stream in [event.to_owned(), event.replace('\n', "\r\n")] {
            assert_eq!(remover.push(stream.as_bytes(), &mut out), Passage::AsItCame);
        }
    }
}

#[test]
fn a_line_feed_is_not_held_back_from_its_carriage_return() {
    let mut remover = UsageEventRemover::default();
    let mut out = Vec::new();
    assert_eq!(remover.push(b"data: 1\r\n\r", &mut out), Passage::AsItCame);
    assert_eq!(remover.push(b"\n", &mut out), Passage::AsItCame);
}

#[test]
fn an_event_beyond_the_bound_stays() {
    let bloated = |length: usize| {
        let frame = "data: {\"choices\":[],\"x\":\"\",\"usage\":{}}\n\n".len();
        format!(
            "data: {{\"choices\":[],\"x\":\"{}\",\"usage\":{{}}}}\n\n",
            "x".repeat(length - frame)
        )
    };
    for size in [1, 1000, HELD_BYTES, HELD_BYTES + 1] {
        let (within, beyond) = (bloated(HELD_BYTES), bloated(HELD_BYTES + 1));
        let chunks: Vec<&[u8]> = within.as_bytes().chunks(size).collect();
        assert_eq!(remove(&chunks), (Vec::new(), 1));
        let chunks: Vec<&[u8]> = beyond.as_bytes().chunks(size).collect();
        assert_eq!(remove(&chunks), (beyond.clone().into_bytes(), 0));
    }
}

/// A stream of events of all kinds, with line ends of all kinds, and sometimes a flaw.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let event = prop::sample::select(vec![
        USAGE,
        DELTA,
        DONE,
        ": c\n\n",
        "\n",
        "data: {\"choices\":[]\n",
        "data: x\n\n",
    ]);
    let end = prop::sample::select(vec!["\n", "\r\n", "\r"]);
    let flaw = any::<Option<(prop::sample::Index, u8)>>();
    (prop::collection::vec((event, end), 0..8), flaw).prop_map(|(events, flaw)| {
        let mut stream = events
            .iter()
            .map(|(event, end)| event.replace('\n', end))
            .collect::<String>()
            .into_bytes();
        if let Some((at, byte)) = flaw
            && !stream.is_empty()
        {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream
    })
}

proptest! {
    #[test]
    fn chunking_never_changes_what_passes(stream in any_stream(), cuts: Vec<prop::sample::Index>) {
        prop_assert_eq!(remove(&cut(&stream, &cuts)), remove(&[&stream]));
    }

    #[test]
    fn a_stream_without_usage_event_is_not_changed(stream in any_stream()) {
        let (passed, removed) = remove(&[&stream]);
        if removed == 0 {
            prop_assert_eq!(passed, stream);
        }
    }
}

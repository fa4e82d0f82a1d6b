//! No verdict, usage figure or output byte depends on how bytes were cut, on either side.

use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::client::{End, Protocol, Request};
use weir_tests::mesh::tenant::{Registration, Tenant};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, openai};
use weir_tests::refused::{Refused, assert_stops};
use weir_tests::surfaces::{self, CACHED, Case};

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

/// Sizes of pieces, over and over: single bytes, primes, powers of two and their neighbours, and a mixture.
const CUTS: [&[usize]; 10] = [
    &[1],
    &[2],
    &[3, 7],
    &[13],
    &[63, 64, 65],
    &[251],
    &[1_024, 1],
    &[16_384],
    &[65_536],
    &[1, 1, 5, 2, 40, 3, 200, 1, 9, 700],
];

const ENDS: [End; 3] = [End::Data, End::Empty, End::Trailers];
const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

fn stage(case: &Case, answer: Answer) -> (MockProvider, Tenant) {
    let provider = MockProvider::always(answer);
    let tenant = MESH.tenant(&[Registration::new(case.dialect, &provider)]);
    (provider, tenant)
}

#[track_caller]
fn assert_usage(tenant: &Tenant, case: &Case, requests: usize) {
    let want = case.tokens.unwrap_or_default().as_record();
    for record in MESH.wait_records(&tenant.key_id, requests) {
        assert_eq!(record["usage"], want, "{}: {record:#}", case.name);
        assert_eq!(
            (&record["ended"], &record["estimated"]),
            (&json!("complete"), &json!(false)),
            "{record:#}"
        );
    }
}

/// Sends a case's body cut in every way over both protocols.
#[track_caller]
fn requests_in_pieces(name: &str) {
    let case = surfaces::case(name, "model-1");
    let (provider, tenant) = stage(&case, case.answer.clone());
    let mut sent = 0;
    for protocol in PROTOCOLS {
        for end in ENDS {
            for cuts in CUTS {
                provider.forget();
                let what = format!("{name} in {cuts:?} ended by {end:?} over {protocol:?}");
                let answered =
                    MESH.send_over(&tenant.sign(case.request()).pieces(cuts, end), protocol);
                assert_eq!(answered.status, 200, "{what}: {}", answered.text());
                assert_eq!(answered.body, case.answer.body(), "{what}");
                let seen = provider.only();
                assert_eq!(
                    (seen.target, seen.body),
                    (case.target.clone(), case.body.clone()),
                    "{what}"
                );
                sent += 1;
            }
        }
    }
    assert_usage(&tenant, &case, sent);
}

/// Lets the provider answer in every way over both protocols, ended by length of chunks and by trailers.
#[track_caller]
fn answers_in_pieces(name: &str) {
    let case = surfaces::case(name, "model-1");
    let (provider, tenant) = stage(&case, case.answer.clone());
    let mut sent = 0;
    for protocol in PROTOCOLS {
        for cuts in CUTS {
            for trailers in [false, true] {
                let what = format!("{name} in {cuts:?}, trailers {trailers}, over {protocol:?}");
                let mut answer = case.answer.clone().cut(cuts);
                if trailers {
                    answer = answer.trailer("x-late", "here");
                }
                provider.script(move |_, _| answer.clone());
                let answered = MESH.send_over(&tenant.sign(case.request()), protocol);
                assert_eq!(answered.status, 200, "{what}: {}", answered.text());
                assert!(answered.complete, "{what}");
                assert_eq!(
                    answered.text(),
                    String::from_utf8(case.answer.body()).unwrap(),
                    "{what}"
                );
                sent += 1;
            }
        }
        // By the end of the connection, too.
        let answer = case.answer.clone().coalesced().until_close();
        provider.script(move |_, _| answer.clone());
        let answered = MESH.send_over(&tenant.sign(case.request()), protocol);
        assert_eq!(answered.body, case.answer.body(), "{name} until close");
        sent += 1;
    }
    assert_usage(&tenant, &case, sent);
}

macro_rules! in_pieces {
    ($($test:ident: $check:ident $case:literal,)*) => {$(
        #[test]
        fn $test() {
            $check($case);
        }
    )*};
}

in_pieces! {
    requests_of_messages: requests_in_pieces "messages",
    requests_of_chat: requests_in_pieces "chat",
    requests_of_responses: requests_in_pieces "responses",
    requests_of_embeddings: requests_in_pieces "embeddings",
    requests_of_generate: requests_in_pieces "generate",
    answers_of_messages: answers_in_pieces "messages",
    streams_of_messages: answers_in_pieces "messages stream",
    streams_of_tool_calls: answers_in_pieces "messages tool stream",
    answers_of_chat: answers_in_pieces "chat",
    streams_of_chat: answers_in_pieces "chat stream",
    answers_of_responses: answers_in_pieces "responses",
    streams_of_responses: answers_in_pieces "responses stream",
    answers_of_embeddings: answers_in_pieces "embeddings",
    answers_of_generate: answers_in_pieces "generate",
    streams_of_generate: answers_in_pieces "generate stream",
    arrays_of_generate: answers_in_pieces "generate array",
}

/// The usage a client had not asked for is asked for, and its event taken out, however both are cut.
#[test]
fn asking_for_usage_in_pieces() {
    let mut case = surfaces::case("chat", "model-1");
    let sent = "{\"model\":\"model-1\", \"stream\" : true ,\"messages\":[{\"role\":\"user\",\"content\":\"\\u00fc\"}]}";
    case.body = sent.as_bytes().to_vec();
    let events = openai::chat_stream("model-1", "one two three \u{1f30a} four", Some(CACHED));
    let extra = openai::chat_usage_event("model-1", CACHED);
    let visible: String = events
        .iter()
        .filter(|event| **event != extra)
        .map(String::as_str)
        .collect();
    let whole = Answer::sse(events);
    let (provider, tenant) = stage(&case, whole.clone());
    let mut upstream: Option<Vec<u8>> = None;
    let mut requests = 0;
    for protocol in PROTOCOLS {
        for (cuts, answer_cuts) in CUTS
            .iter()
            .zip(CUTS.iter().rev())
            .chain(CUTS.iter().zip(CUTS.iter()))
        {
            for end in ENDS {
                let what = format!(
                    "{cuts:?} ended by {end:?}, answered in {answer_cuts:?}, over {protocol:?}"
                );
                let answer = whole.clone().cut(answer_cuts);
                provider.script(move |_, _| answer.clone());
                provider.forget();
                let answered =
                    MESH.send_over(&tenant.sign(case.request()).pieces(cuts, end), protocol);
                assert_eq!(answered.text(), visible, "{what}");
                let body = provider.only().body;
                let asked: Value = serde_json::from_slice(&body).expect("JSON");
                assert_eq!(
                    asked["stream_options"],
                    json!({"include_usage": true}),
                    "{what}"
                );
                let first = upstream.get_or_insert_with(|| body.clone());
                assert_eq!(&body, first, "{what}");
                requests += 1;
            }
        }
    }
    // The splice is one insertion: without it the body is the one that was sent.
    let spliced = String::from_utf8(upstream.unwrap()).unwrap();
    let same_start = sent
        .bytes()
        .zip(spliced.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let inserted = spliced.len() - sent.len();
    let ends = (0..=same_start)
        .any(|at| format!("{}{}", &spliced[..at], &spliced[at + inserted..]) == sent);
    assert!(ends, "{spliced}");
    case.tokens = Some(CACHED);
    assert_usage(&tenant, &case, requests);
}

/// A verdict against the request is the same verdict, wherever the pieces end.
#[test]
fn refusals_in_pieces() {
    let case = surfaces::case("messages", "model-1");
    let (provider, tenant) = stage(&case, case.answer.clone());
    let pad = "x".repeat(300);
    for (body, status, code) in [
        (
            format!("{{\"pad\":\"{pad}\",\"model\":\"m\",\"model\":\"m\"}}"),
            400,
            "duplicate_field",
        ),
        (
            format!("{{\"pad\":\"{pad}\",\"\\u006dodel\":\"m\"}}"),
            400,
            "disguised_field",
        ),
        (
            format!("{{\"pad\":\"{pad}\",\"MODEL\":\"m\"}}"),
            400,
            "disguised_field",
        ),
        (
            format!("{{\"pad\":\"{pad}\",\"messages\":[]}}"),
            400,
            "model_missing",
        ),
        (
            format!("{{\"pad\":\"{pad}\",\"model\":\"m\""),
            400,
            "bad_json",
        ),
        (
            format!("{{\"pad\":\"{pad}\" \"model\":\"m\"}}"),
            400,
            "bad_json",
        ),
        (
            format!("\u{feff}{{\"pad\":\"{pad}\",\"model\":\"m\"}}"),
            400,
            "bad_json",
        ),
    ] {
        for protocol in PROTOCOLS {
            for end in [End::Data, End::Empty] {
                for cuts in CUTS {
                    let request = tenant
                        .sign(Request::post_bytes("/v1/messages", body.clone()))
                        .pieces(cuts, end);
                    let answered = MESH.send_over(&request, protocol);
                    let want = Refused {
                        dialect: case.dialect,
                        status,
                        code,
                    };
                    assert_stops(
                        &answered,
                        want,
                        &format!("{body} in {cuts:?} ended by {end:?} over {protocol:?}"),
                    );
                }
            }
        }
    }
    assert_eq!(provider.count(), 0);
}

/// Bodies larger than any buffer on the way, cut unevenly.
#[test]
fn large_bodies_in_pieces() {
    let case = surfaces::case("messages", "model-1");
    let (provider, tenant) = stage(&case, case.answer.clone());
    let text = "wörter und mehr \\n ".repeat(60_000);
    let body = format!(
        "{{\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}],\"model\":\"model-1\"}}"
    );
    for protocol in PROTOCOLS {
        for end in ENDS {
            for cuts in [
                &[65_536_usize][..],
                &[16_384],
                &[1, 65_535, 4_095],
                &[300_000],
            ] {
                provider.forget();
                let request = tenant
                    .sign(Request::post_bytes("/v1/messages", body.clone()))
                    .pieces(cuts, end);
                let answered = MESH.send_over(&request, protocol);
                assert_eq!(
                    answered.status,
                    200,
                    "{cuts:?} {end:?} {protocol:?}: {}",
                    answered.text()
                );
                assert!(
                    provider.only().body == body.as_bytes(),
                    "the body changed: {cuts:?} {end:?} {protocol:?}"
                );
            }
        }
    }
}

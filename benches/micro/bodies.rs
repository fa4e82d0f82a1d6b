//! The readers of bodies, natively: requests per byte, answers per event.

use dialects::request::{RequestFacts, RequestReader};
use dialects::response::{Framing, UsageReader};
use dialects::usage_event::UsageEventRemover;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use policy::surface::Surface;
use weir_benches::answers;
use weir_benches::bodies::{Api, Body, ModelPlace};
use weir_benches::counted;

/// What the filter reads at once.
const CHUNK: usize = 64 * 1024;
const EVENTS: usize = 1_000;
const KIB: usize = 1_024;

fn main() {
    divan::main();
}

fn body(api: Api, bytes: usize, place: ModelPlace) -> Vec<u8> {
    Body {
        api,
        model: "bench",
        place,
        stream: true,
        bytes,
    }
    .make()
}

fn read(surface: Surface, body: &[u8]) -> RequestFacts {
    let mut reader = RequestReader::new(surface).expect("a surface with a body");
    for chunk in body.chunks(CHUNK) {
        reader.push(chunk).expect("a sound body");
    }
    reader.finish().expect("a sound body")
}

fn request(bencher: Bencher<'_, '_>, api: Api, surface: Surface, bytes: usize, place: ModelPlace) {
    let body = body(api, bytes, place);
    let facts = read(surface, &body);
    assert_eq!(
        facts.model.map(|model| model.value).as_deref(),
        Some("bench")
    );
    assert!(facts.stream);
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| counted(|| read(surface, &body)));
}

#[divan::bench(args = [1, 50, 500])]
fn anthropic_request(bencher: Bencher<'_, '_>, kib: usize) {
    request(
        bencher,
        Api::AnthropicMessages,
        Surface::AnthropicMessages,
        kib * KIB,
        ModelPlace::First,
    );
}

#[divan::bench]
fn anthropic_request_500_kib_model_last(bencher: Bencher<'_, '_>) {
    request(
        bencher,
        Api::AnthropicMessages,
        Surface::AnthropicMessages,
        500 * KIB,
        ModelPlace::Last,
    );
}

#[divan::bench]
fn openai_chat_request_500_kib(bencher: Bencher<'_, '_>) {
    request(
        bencher,
        Api::OpenaiChat,
        Surface::OpenaiChat,
        500 * KIB,
        ModelPlace::First,
    );
}

#[divan::bench]
fn openai_responses_request_500_kib(bencher: Bencher<'_, '_>) {
    request(
        bencher,
        Api::OpenaiResponses,
        Surface::OpenaiResponses,
        500 * KIB,
        ModelPlace::First,
    );
}

fn output_tokens(surface: Surface, chunks: &[Vec<u8>]) -> u64 {
    let mut reader = UsageReader::new(surface, Framing::Sse);
    for chunk in chunks {
        reader.push(chunk);
    }
    reader.finish();
    reader
        .usage()
        .map(|usage| usage.output_tokens.get())
        .unwrap_or_default()
}

fn single(api: Api) -> Vec<Vec<u8>> {
    answers::events(api, EVENTS, true)
        .into_iter()
        .map(String::into_bytes)
        .collect()
}

fn joined(api: Api) -> Vec<Vec<u8>> {
    single(api)
        .concat()
        .chunks(16 * KIB)
        .map(<[u8]>::to_vec)
        .collect()
}

fn usage(bencher: Bencher<'_, '_>, surface: Surface, chunks: &[Vec<u8>]) {
    assert_eq!(output_tokens(surface, chunks), 4_242);
    bencher
        .counter(ItemsCount::new(EVENTS))
        .bench(|| counted(|| output_tokens(surface, chunks)));
}

#[divan::bench]
fn anthropic_usage_1000_events_singly(bencher: Bencher<'_, '_>) {
    usage(
        bencher,
        Surface::AnthropicMessages,
        &single(Api::AnthropicMessages),
    );
}

#[divan::bench]
fn anthropic_usage_1000_events_in_16_kib(bencher: Bencher<'_, '_>) {
    usage(
        bencher,
        Surface::AnthropicMessages,
        &joined(Api::AnthropicMessages),
    );
}

#[divan::bench]
fn openai_usage_1000_events_singly(bencher: Bencher<'_, '_>) {
    usage(bencher, Surface::OpenaiChat, &single(Api::OpenaiChat));
}

#[divan::bench]
fn gemini_usage_1000_events_singly(bencher: Bencher<'_, '_>) {
    usage(
        bencher,
        Surface::GeminiGenerate,
        &single(Api::GeminiGenerate),
    );
}

fn removed(chunks: &[Vec<u8>]) -> u64 {
    let mut remover = UsageEventRemover::default();
    let mut out = Vec::new();
    for chunk in chunks {
        out.clear();
        divan::black_box(remover.push(chunk, &mut out));
    }
    remover.finish(&mut out);
    remover.removed_events()
}

#[divan::bench]
fn openai_usage_event_removed_from_1000(bencher: Bencher<'_, '_>) {
    let chunks = single(Api::OpenaiChat);
    assert_eq!(removed(&chunks), 1);
    bencher
        .counter(ItemsCount::new(EVENTS))
        .bench(|| counted(|| removed(&chunks)));
}

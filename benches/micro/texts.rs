//! Texts of bodies and of streams, natively: what reading them costs beside the facts, before anything is judged.

use dialects::content::Block;
use dialects::request::RequestTextReader;
use dialects::response::Framing;
use dialects::stream::{Channel, Judge, Ruling, StreamEditor, WholeRuling};
use dialects::usage_event::Passage;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use policy::guardrail::TextRole;
use policy::surface::Surface;
use weir_benches::answers;
use weir_benches::bodies::{Api, Body, ModelPlace};
use weir_benches::counted;

/// What the filter reads at once.
const CHUNK: usize = 64 * 1024;
const EVENTS: usize = 1_000;
const BYTES: usize = 500 * 1_024;

fn main() {
    divan::main();
}

/// Returns how many texts a body holds.
fn texts(surface: Surface, body: &[u8]) -> usize {
    let mut bytes = 0;
    let mut sink = |block: Block<'_>| bytes += block.raw().len();
    let mut reader = RequestTextReader::new(surface).expect("a surface with a body");
    for chunk in body.chunks(CHUNK) {
        reader.push(chunk, &mut sink).expect("a sound body");
    }
    let (_, content) = reader.finish(&mut sink).expect("a sound body");
    assert!(bytes > body.len() / 2, "most of a body is text");
    content.len()
}

fn request(bencher: Bencher<'_, '_>, api: Api, surface: Surface) {
    let body = Body {
        api,
        model: "bench",
        place: ModelPlace::First,
        stream: true,
        bytes: BYTES,
    }
    .make();
    assert!(texts(surface, &body) > 100);
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| counted(|| texts(surface, &body)));
}

#[divan::bench]
fn anthropic_request_500_kib(bencher: Bencher<'_, '_>) {
    request(bencher, Api::AnthropicMessages, Surface::AnthropicMessages);
}

#[divan::bench]
fn openai_chat_request_500_kib(bencher: Bencher<'_, '_>) {
    request(bencher, Api::OpenaiChat, Surface::OpenaiChat);
}

#[divan::bench]
fn openai_responses_request_500_kib(bencher: Bencher<'_, '_>) {
    request(bencher, Api::OpenaiResponses, Surface::OpenaiResponses);
}

#[divan::bench]
fn gemini_request_500_kib(bencher: Bencher<'_, '_>) {
    request(bencher, Api::GeminiGenerate, Surface::GeminiGenerate);
}

/// Lets everything pass at once.
struct Passes;

impl Judge for Passes {
    fn text(&mut self, _: &Channel, _: &str, _: bool) -> Ruling {
        Ruling {
            passes_to: u64::MAX,
            ..Ruling::default()
        }
    }

    fn whole(&mut self, _: TextRole, _: &str, _: &str, _: bool) -> WholeRuling {
        WholeRuling::default()
    }

    fn overflow(&mut self) -> bool {
        true
    }
}

/// Returns how many events passed as they came.
fn passed(surface: Surface, events: &[Vec<u8>]) -> usize {
    let mut editor =
        StreamEditor::new(surface, Framing::Sse).expect("a surface whose answers are streams");
    let mut out = Vec::new();
    let mut passed = 0;
    for event in events {
        passed += usize::from(editor.push(event, &mut Passes, &mut out) == Passage::AsItCame);
    }
    editor.finish(&mut Passes, &mut out);
    passed
}

fn stream(bencher: Bencher<'_, '_>, api: Api, surface: Surface) {
    let events: Vec<Vec<u8>> = answers::events(api, EVENTS, true)
        .into_iter()
        .map(String::into_bytes)
        .collect();
    assert_eq!(passed(surface, &events), events.len());
    bencher
        .counter(ItemsCount::new(events.len()))
        .bench(|| counted(|| passed(surface, &events)));
}

#[divan::bench]
fn anthropic_stream_1000_events_singly(bencher: Bencher<'_, '_>) {
    stream(bencher, Api::AnthropicMessages, Surface::AnthropicMessages);
}

#[divan::bench]
fn openai_chat_stream_1000_events_singly(bencher: Bencher<'_, '_>) {
    stream(bencher, Api::OpenaiChat, Surface::OpenaiChat);
}

#[divan::bench]
fn gemini_stream_1000_events_singly(bencher: Bencher<'_, '_>) {
    stream(bencher, Api::GeminiGenerate, Surface::GeminiGenerate);
}

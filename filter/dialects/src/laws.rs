//! Laws that hold for any bytes, as plain functions: tests replay a corpus through them, fuzzers feed them.
//!
//! Each returns what is broken. Built for tests and with the feature `laws`; no part of the filter.

mod texts;

use policy::surface::Surface;

use crate::request::{BodyError, RequestFacts, RequestReader};
use crate::response::{Framing, UsageReader};
use crate::splice::{apply, apply_prefix, include_usage_splice, model_splices, reach};
use crate::sse::{Frame, Sink, SseReader};
use crate::usage_event::{HELD_BYTES, Passage, UsageEventRemover};

pub use self::texts::{content, stream};

/// Sizes of the chunks that each input is cut into; the last is larger than any.
const CHUNK_SIZES: [usize; 6] = [1, 2, 3, 7, 64, usize::MAX];

/// Bytes from which on an input is no longer read in small chunks.
const SMALL_BYTES: usize = 64 * 1024;

fn chunk_sizes(input: &[u8]) -> impl Iterator<Item = usize> {
    let smallest = if input.len() > SMALL_BYTES { 64 } else { 1 };
    CHUNK_SIZES
        .into_iter()
        .filter(move |size| *size >= smallest)
}

/// Checks a law; says which one is broken.
fn holds(law: &'static str, is_so: bool) -> Result<(), &'static str> {
    if is_so { Ok(()) } else { Err(law) }
}

/// Checks the laws of request bodies: the walker's, the facts' and the splices'.
///
/// # Errors
/// The law that `input` breaks.
///
/// ```
/// assert_eq!(dialects::laws::json(br#"{"model":"m","messages":[]}"#), Ok(()));
/// ```
pub fn json(input: &[u8]) -> Result<(), &'static str> {
    for surface in Surface::ALL {
        let Some(facts) = request(surface, input, usize::MAX) else {
            continue;
        };
        for size in chunk_sizes(input) {
            holds(
                "chunking changes the facts",
                request(surface, input, size).as_ref() == Some(&facts),
            )?;
        }
        if let Ok(facts) = facts {
            let text = str::from_utf8(input)
                .ok()
                .ok_or("a body that is no UTF-8 is accepted")?;
            let json = serde_json::from_str::<serde::de::IgnoredAny>(text);
            holds("a body that is no JSON is accepted", json.is_ok())?;
            splices(input, &facts)?;
        }
    }
    Ok(())
}

fn request(surface: Surface, input: &[u8], size: usize) -> Option<Result<RequestFacts, BodyError>> {
    let mut reader = RequestReader::new(surface)?;
    let pushed = input.chunks(size).try_for_each(|chunk| reader.push(chunk));
    Some(pushed.and_then(|()| reader.finish()))
}

fn splices(body: &[u8], facts: &RequestFacts) -> Result<(), &'static str> {
    let mut splices = model_splices(facts, "another \"model\"");
    splices.extend(include_usage_splice(facts));
    let head = usize::try_from(reach(&splices))
        .ok()
        .and_then(|reach| body.get(..reach));
    let head = head.ok_or("a splice reaches beyond the body")?;
    let spliced = apply(body, &mut splices)
        .ok()
        .ok_or("splices of one body do not fit it")?;
    let mut prefix = apply_prefix(head, &mut splices)
        .ok()
        .ok_or("a prefix is refused")?;
    prefix
        .with
        .extend_from_slice(body.get(prefix.drop..).unwrap_or_default());
    holds("a prefix gives another body", prefix.with == spliced)?;
    let Some(Ok(again)) = request(facts.surface, &spliced, usize::MAX) else {
        return Err("a spliced body is refused");
    };
    if let (Some(old), Some(new)) = (&facts.model, &again.model) {
        let is_new = new.value == "another \"model\"" || new.value == "models/another \"model\"";
        holds(
            "a spliced model is not read back",
            is_new || old.value == new.value,
        )?;
    }
    let asked = include_usage_splice(&again).is_none();
    holds("usage is not asked for after the splice", asked)
}

/// What a reader of events was told.
#[derive(Debug, Default, PartialEq)]
struct Told {
    data: Vec<u8>,
    names: Vec<u8>,
    /// Frames, with the length of all data up to their end.
    frames: Vec<(Frame, usize)>,
}

impl Sink for Told {
    fn name(&mut self, piece: &[u8]) {
        self.names.extend_from_slice(piece);
    }

    fn data(&mut self, piece: &[u8]) {
        self.data.extend_from_slice(piece);
    }

    fn end(&mut self, frame: Frame) {
        self.frames.push((frame, self.data.len()));
    }
}

/// Checks the laws of event streams.
///
/// # Errors
/// The law that `input` breaks.
///
/// ```
/// assert_eq!(dialects::laws::sse(b"event: x\r\ndata: 1\r\n\r\n"), Ok(()));
/// ```
pub fn sse(input: &[u8]) -> Result<(), &'static str> {
    let told = events(input, usize::MAX);
    for size in chunk_sizes(input) {
        holds("chunking changes the events", events(input, size) == told)?;
    }
    let mut at = 0;
    for (frame, _) in &told.frames {
        holds(
            "frames do not lie side by side",
            frame.start == at && frame.end > at,
        )?;
        at = frame.end;
    }
    holds(
        "frames do not cover the stream",
        Ok(at) == u64::try_from(input.len()),
    )
}

fn events(input: &[u8], size: usize) -> Told {
    let mut reader = SseReader::default();
    let mut told = Told::default();
    for chunk in input.chunks(size) {
        reader.push(chunk, &mut told);
    }
    reader.finish(&mut told);
    told
}

/// Checks the laws of answers: usage, and the removal of the usage event.
///
/// # Errors
/// The law that `input` breaks.
///
/// ```
/// assert_eq!(dialects::laws::usage(b"data: {\"choices\":[],\"usage\":{}}\n\n"), Ok(()));
/// ```
pub fn usage(input: &[u8]) -> Result<(), &'static str> {
    for surface in [
        Surface::AnthropicMessages,
        Surface::OpenaiResponses,
        Surface::GeminiGenerate,
    ] {
        for framing in [Framing::Json, Framing::Sse, Framing::JsonArray] {
            let known = answer(surface, framing, input, usize::MAX);
            for size in chunk_sizes(input) {
                let is_same = answer(surface, framing, input, size) == known;
                holds("chunking changes what is known of an answer", is_same)?;
            }
        }
    }
    let passed = without_usage_event(input, usize::MAX)?;
    for size in chunk_sizes(input) {
        let is_same = without_usage_event(input, size)? == passed;
        holds("chunking changes which bytes pass", is_same)?;
    }
    let (passed, removed) = passed;
    holds(
        "bytes change although no event was removed",
        removed > 0 || passed == input,
    )
}

fn answer(surface: Surface, framing: Framing, input: &[u8], size: usize) -> String {
    let mut reader = UsageReader::new(surface, framing);
    for chunk in input.chunks(size) {
        reader.push(chunk);
    }
    reader.finish();
    format!(
        "{:?} {} {} {} {} {} {} {:?} {:?}",
        reader.usage(),
        reader.visible_output_bytes(),
        reader.unreported_output_bytes(),
        reader.unread_bytes(),
        reader.terminal_seen(),
        reader.error_seen(),
        reader.irregular_events(),
        reader.model(),
        reader.response_id(),
    )
}

fn without_usage_event(input: &[u8], size: usize) -> Result<(Vec<u8>, u64), &'static str> {
    let mut remover = UsageEventRemover::default();
    let mut passed = Vec::new();
    for chunk in input.chunks(size) {
        let before = passed.len();
        if remover.push(chunk, &mut passed) == Passage::AsItCame {
            holds("a chunk passes twice", passed.len() == before)?;
            passed.extend_from_slice(chunk);
        }
        holds(
            "more is held back than may be",
            remover.held_bytes() <= HELD_BYTES,
        )?;
    }
    remover.finish(&mut passed);
    Ok((passed, remover.removed_events()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn replay(folder: &str, law: fn(&[u8]) -> Result<(), &'static str>) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpora")
            .join(folder);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).expect("a corpus") {
            let path = entry.expect("an entry").path();
            let input = fs::read(&path).expect("an input");
            assert_eq!(law(&input), Ok(()), "{}", path.display());
            inputs += 1;
        }
        assert!(inputs > 0, "the corpus is empty");
    }

    #[test]
    fn the_json_corpus_breaks_no_law() {
        replay("json", json);
    }

    #[test]
    fn the_corpora_break_no_law_of_texts() {
        replay("json", content);
        for folder in ["json", "sse", "usage"] {
            replay(folder, stream);
        }
    }

    #[test]
    fn the_sse_corpus_breaks_no_law() {
        replay("sse", sse);
        replay("usage", sse);
    }

    #[test]
    fn the_usage_corpus_breaks_no_law() {
        replay("usage", usage);
        replay("sse", usage);
    }
}

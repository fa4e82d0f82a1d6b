//! Laws of texts: those of bodies, and those of streams that are edited.

use policy::guardrail::TextRole;
use policy::surface::Surface;

use super::{chunk_sizes, holds};
use crate::content::{Block, BlockPlace, ContentReader, Edit};
use crate::response::Framing;
use crate::splice::apply;
use crate::stream::{Channel, HELD_BYTES, Judge, Ruling, StreamEditor, WholeRuling};
use crate::usage_event::Passage;

/// Checks the laws of the texts of a body, read as a request and as an answer of every surface.
///
/// # Errors
/// The law that `input` breaks.
///
/// ```
/// assert_eq!(dialects::laws::content(br#"{"messages":[{"role":"user","content":"a\n"}]}"#), Ok(()));
/// ```
pub fn content(input: &[u8]) -> Result<(), &'static str> {
    for surface in Surface::ALL {
        for reader in [ContentReader::request, answer] {
            if reader(surface).is_some() {
                texts_of(input, || reader(surface))?;
            }
        }
    }
    Ok(())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the same signature as that of a request's reader"
)]
fn answer(surface: Surface) -> Option<ContentReader> {
    Some(ContentReader::answer(surface))
}

/// What was told of a body, and the body with every text between brackets.
#[derive(Debug, PartialEq)]
struct Told {
    texts: Vec<(Vec<u8>, String, String, BlockPlace)>,
    unscanned: usize,
    edited: Vec<u8>,
}

fn texts_of(input: &[u8], reader: impl Fn() -> Option<ContentReader>) -> Result<(), &'static str> {
    let whole = told(input, reader(), usize::MAX)?;
    for size in chunk_sizes(input) {
        holds(
            "chunking changes the texts",
            told(input, reader(), size)? == whole,
        )?;
    }
    let Some(whole) = whole else { return Ok(()) };
    let json = |bytes| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    holds("texts of what is no JSON are told", json(input))?;
    holds("an edited body is no JSON", json(&whole.edited))
}

fn told(
    input: &[u8],
    reader: Option<ContentReader>,
    size: usize,
) -> Result<Option<Told>, &'static str> {
    let mut reader = reader.ok_or("a surface without a body")?;
    let mut blocks = Vec::new();
    let mut splices = Vec::new();
    let mut sink = |block: Block<'_>| {
        let text = block.text().into_owned();
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let insert = |at, with: &str| Edit {
            start: at,
            end: at,
            with: with.to_owned(),
        };
        block.splices(&[insert(0, "<\"\n"), insert(length, "\\>")], &mut splices);
        blocks.push((text, block.label().to_owned(), block.path()));
    };
    let pushed = input
        .chunks(size)
        .try_for_each(|chunk| reader.push(chunk, &mut sink));
    let Ok(content) = pushed.and_then(|()| reader.finish(&mut sink)) else {
        return Ok(None);
    };
    content.complete(&mut splices);
    let edited = apply(input, &mut splices)
        .ok()
        .ok_or("splices of one body do not fit it")?;
    let texts = blocks
        .into_iter()
        .enumerate()
        .map(|(index, (text, label, path))| {
            let place = content.place(index).ok_or("a text has no place")?;
            Ok((text, label, path, place))
        });
    Ok(Some(Told {
        texts: texts.collect::<Result<_, &'static str>>()?,
        unscanned: content.unscanned().count(),
        edited,
    }))
}

/// Hides a word, or lets everything pass; stops at another word.
#[derive(Debug, Default)]
struct Words {
    edits: bool,
    /// Where the texts that are open have come to: how much is known of each, and its end.
    open: Vec<(Channel, String, usize)>,
}

const HIDDEN: &str = "key";
const STOPS: &str = "STOP";

impl Words {
    fn edits(&self, text: &str, from: usize, to: usize) -> Vec<Edit> {
        if !self.edits {
            return Vec::new();
        }
        let at = |index: usize| u64::try_from(index).unwrap_or(u64::MAX);
        text.match_indices(HIDDEN)
            .filter(|(start, _)| (from..to).contains(start) && start + HIDDEN.len() <= to)
            .map(|(start, _)| Edit {
                start: at(start),
                end: at(start + HIDDEN.len()),
                with: "\"hidden\"\n".to_owned(),
            })
            .collect()
    }
}

impl Judge for Words {
    fn text(&mut self, channel: &Channel, piece: &str, ends: bool) -> Ruling {
        let known = self
            .open
            .iter()
            .position(|(open, ..)| open.id == channel.id);
        let (_, mut text, from) = match known {
            Some(index) => self.open.swap_remove(index),
            None => (*channel, String::new(), 0),
        };
        text.push_str(piece);
        let to = match text.rfind(' ') {
            _ if ends => text.len(),
            Some(space) => space + 1,
            None => 0,
        };
        let ruling = Ruling {
            passes_to: u64::try_from(to).unwrap_or(u64::MAX),
            edits: self.edits(&text, from, to),
            stop: self.edits && text.contains(STOPS),
        };
        if !ends {
            self.open.push((*channel, text, to));
        }
        ruling
    }

    fn whole(&mut self, _: TextRole, _: &str, text: &str, _: bool) -> WholeRuling {
        WholeRuling {
            edits: self.edits(text, 0, text.len()),
            stop: self.edits && text.contains(STOPS),
        }
    }

    fn overflow(&mut self) -> bool {
        self.edits
    }
}

/// Checks the laws of edited streams, read as a stream of every surface that has one.
///
/// # Errors
/// The law that `input` breaks.
///
/// ```
/// assert_eq!(dialects::laws::stream(b"data: {\"choices\":[{\"delta\":{\"content\":\"a key\"}}]}\n\n"), Ok(()));
/// ```
pub fn stream(input: &[u8]) -> Result<(), &'static str> {
    for surface in Surface::ALL {
        for framing in [Framing::Sse, Framing::JsonArray] {
            if StreamEditor::new(surface, framing).is_some() {
                edited(surface, framing, input)?;
            }
        }
    }
    Ok(())
}

fn edited(surface: Surface, framing: Framing, input: &[u8]) -> Result<(), &'static str> {
    for edits in [false, true] {
        for early in [false, true] {
            let whole = passed(surface, framing, input, (edits, early, usize::MAX))?;
            for size in chunk_sizes(input) {
                let cut = passed(surface, framing, input, (edits, early, size))?;
                holds("chunking changes what passes", cut == whole)?;
            }
            if !edits && !early {
                // Only keep-alives leave their place.
                holds("bytes are lost or added", counts(&whole) == counts(input))?;
            }
        }
    }
    Ok(())
}

/// Returns what passes: with or without edits, to the end or with an early end, in chunks of a size.
fn passed(
    surface: Surface,
    framing: Framing,
    input: &[u8],
    (edits, early, size): (bool, bool, usize),
) -> Result<Vec<u8>, &'static str> {
    let mut editor = StreamEditor::new(surface, framing).ok_or("a surface without streams")?;
    let mut judge = Words {
        edits,
        ..Words::default()
    };
    let mut passed = Vec::new();
    for chunk in input.chunks(size) {
        let before = passed.len();
        if editor.push(chunk, &mut judge, &mut passed) == Passage::AsItCame {
            holds("a chunk passes twice", passed.len() == before)?;
            passed.extend_from_slice(chunk);
        }
        holds(
            "more is held back than may be",
            editor.held_bytes() <= HELD_BYTES,
        )?;
    }
    if !early {
        editor.finish(&mut judge, &mut passed);
    }
    let length = passed.len();
    if early || editor.is_stopped() {
        editor.end(Some("a \"notice\""), &mut passed);
        holds("an end leaves bytes waiting", editor.held_bytes() == 0)?;
        let end = passed.len();
        editor.push(input, &mut judge, &mut passed);
        editor.end(None, &mut passed);
        holds("something passes after the end", passed.len() == end)?;
    }
    holds("an end takes back what has passed", passed.len() >= length)?;
    Ok(passed)
}

fn counts(bytes: &[u8]) -> Vec<u8> {
    let mut sorted = bytes.to_vec();
    sorted.sort_unstable();
    sorted
}

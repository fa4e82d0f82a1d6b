//! The JSON walk against another parser, and against itself cut up.

use dialects::json::{
    Closed, Container, JsonError, Scalar, Shape, Span, Visitor, Walker, Want, key,
};
use serde::de::IgnoredAny;

use super::chunks;

/// Every kind of place that a shape can describe, each inside each other.
static ANYTHING: Shape<u8> = Shape::object(
    0,
    &[
        key("a", &ANYTHING),
        key("captured", &CAPTURED).or("alias"),
        key("pieces", &PIECES),
        key("items", &ITEMS),
        key("judged", &JUDGED),
    ],
)
.or_items(&ANYTHING)
.or_text(Want::Presence);
static CAPTURED: Shape<u8> = Shape::scalar(1, Want::Capture);
static PIECES: Shape<u8> = Shape::scalar(2, Want::Pieces);
static ITEMS: Shape<u8> = Shape::array(3, &ANYTHING);
static JUDGED: Shape<u8> =
    Shape::object(4, &[key("model", &CAPTURED), key("stream", &CAPTURED)]).judged();

/// What a walk told; pieces of one string are joined.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told(Vec<String>, Vec<u8>);

impl Visitor for Told {
    type Tag = u8;

    fn begin(&mut self, tag: u8, container: Container, at: u64) {
        self.0.push(format!("{tag} begins {container:?} at {at}"));
    }

    fn end(&mut self, tag: u8, closed: Closed) {
        self.0.push(format!("{tag} ends {closed:?}"));
    }

    fn scalar(&mut self, tag: u8, value: Scalar<'_>, span: Span) {
        let pieces = std::mem::take(&mut self.1);
        assert!(span.start < span.end, "an empty span");
        self.0.push(format!(
            "{tag} is {value:?} at {span:?}, in pieces {pieces:?}"
        ));
    }

    fn piece(&mut self, tag: u8, piece: &[u8]) {
        assert_eq!(tag, 2, "pieces where none were wanted");
        self.1.extend_from_slice(piece);
    }
}

fn walk(pieces: &[&[u8]]) -> (Told, Result<(), JsonError>) {
    let mut walker = Walker::new(&ANYTHING);
    let mut told = Told::default();
    for piece in pieces {
        if let Err(error) = walker.push(piece, &mut told) {
            assert_eq!(
                walker.push(b" ", &mut told),
                Err(error),
                "an error does not stay"
            );
            told.1.clear();
            return (told, Err(error));
        }
    }
    let result = walker.finish(&mut told);
    told.1.clear();
    (told, result)
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let Some((cutting, text)) = chunks::split(input) else {
        return;
    };
    let (whole, result) = walk(&[text]);
    let (cut_up, cut_result) = walk(&chunks::cut(cutting, text));
    assert_eq!(result, cut_result, "the verdict depends on chunks");
    assert_eq!(whole, cut_up, "what is told depends on chunks");
    let is_json =
        std::str::from_utf8(text).is_ok() && serde_json::from_slice::<IgnoredAny>(text).is_ok();
    match result {
        Ok(()) => assert!(is_json || is_deep(text), "accepted what is no JSON"),
        Err(
            JsonError::TooDeep { .. }
            | JsonError::Duplicate { .. }
            | JsonError::Disguised { .. }
            | JsonError::LongNumber { .. },
        ) => {}
        Err(error) => assert!(!is_json, "refused JSON: {error}"),
    }
}

/// Whether containers may nest so deep that two parsers draw the line in different places.
fn is_deep(text: &[u8]) -> bool {
    text.iter()
        .filter(|byte| matches!(byte, b'[' | b'{'))
        .count()
        > 100
}

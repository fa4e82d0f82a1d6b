//! Facts and texts of a request body in one walk.

use policy::surface::Surface;

use super::facts::Facts;
use super::shapes::Place;
use super::{BodyError, RequestFacts, RequestReader};
use crate::content::collector::Collector;
use crate::content::{BlockSink, Content, request_collector, request_content};
use crate::json::{Closed, Container, Scalar, Span, Token, Visitor};

/// Reads what [`RequestReader`] reads and tells what [`ContentReader`](crate::content::ContentReader) tells.
///
/// ```
/// use dialects::content::Block;
/// use dialects::request::RequestTextReader;
/// use policy::surface::Surface;
///
/// let mut texts = Vec::new();
/// let mut sink = |block: Block<'_>| texts.push(block.text().into_owned());
/// let mut reader = RequestTextReader::new(Surface::OpenaiEmbeddings).expect("has a JSON body");
/// reader.push(br#"{"model":"m","input":["a","b"]}"#, &mut sink)?;
/// let (facts, content) = reader.finish(&mut sink)?;
/// assert_eq!((facts.items, content.len()), (2, 2));
/// assert_eq!(texts, [b"a", b"b"]);
/// # Ok::<(), dialects::request::BodyError>(())
/// ```
#[derive(Debug)]
pub struct RequestTextReader {
    reader: RequestReader,
    collector: Collector,
}

impl RequestTextReader {
    /// Starts before the first byte of a body; `None` if the surface has no JSON body that is governed.
    pub fn new(surface: Surface) -> Option<Self> {
        Some(Self {
            reader: RequestReader::new(surface)?,
            collector: request_collector(surface)?,
        })
    }

    /// Reads a chunk and tells the texts that end in it.
    ///
    /// # Errors
    /// The first thing in the body for which it is refused, once the bytes that prove it were read.
    pub fn push<S: BlockSink>(&mut self, chunk: &[u8], sink: &mut S) -> Result<(), BodyError> {
        let RequestReader { walker, facts } = &mut self.reader;
        let collector = &mut self.collector;
        let walked = walker.push(
            chunk,
            &mut Both {
                facts,
                collector,
                sink,
            },
        );
        if let Some(at) = self.collector.full_at {
            return Err(BodyError::TooManyTexts { at });
        }
        self.reader.facts.check()?;
        Ok(walked?)
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// The first thing in the body for which it is refused.
    pub fn finish<S: BlockSink>(mut self, _: &mut S) -> Result<(RequestFacts, Content), BodyError> {
        // A body is an object, so nothing is left to tell.
        let RequestReader { walker, facts } = &mut self.reader;
        let walked = walker.finish(facts);
        facts.check()?;
        walked?;
        self.reader.facts.facts.bytes = self.reader.walker.position();
        let facts = self.reader.facts.complete()?;
        Ok((facts, request_content(self.collector)))
    }
}

struct Both<'a, S> {
    facts: &'a mut Facts,
    collector: &'a mut Collector,
    sink: &'a mut S,
}

impl<S: BlockSink> Visitor for Both<'_, S> {
    type Tag = Place;
    const TOKENS: bool = true;
    const IN_PIECES: bool = true;

    fn token(&mut self, token: Token<'_>, span: Span) {
        // The first objection counts, wherever a chunk ends.
        if self.facts.failed.is_none() {
            self.collector.token(token, span, None, self.sink);
        }
    }

    fn raw_piece(&mut self, piece: &[u8], is_key: bool, at: u64) {
        if self.facts.failed.is_none() {
            self.collector.piece(piece, is_key, at, self.sink);
        }
    }

    fn wants_raw(&self) -> bool {
        self.collector.wants_raw()
    }

    fn enters(&mut self, place: Place, container: Container, at: u64) -> bool {
        self.facts.enters(place, container, at)
    }

    fn unnamed(&mut self, parent: Place, place: Place, key: &[u8]) {
        self.facts.unnamed(parent, place, key);
    }

    fn begin(&mut self, place: Place, container: Container, at: u64) {
        self.facts.begin(place, container, at);
    }

    fn end(&mut self, place: Place, closed: Closed) {
        self.facts.end(place, closed);
    }

    fn scalar(&mut self, place: Place, value: Scalar<'_>, span: Span) {
        self.facts.scalar(place, value, span);
    }

    fn piece(&mut self, place: Place, piece: &[u8]) {
        self.facts.piece(place, piece);
    }
}

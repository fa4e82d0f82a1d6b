//! Bodies of paths that no surface covers: only what they refer to is read.

use policy::surface::Surface;

use super::facts::Facts;
use super::shapes::{OPAQUE, Place};
use super::{BodyError, Reference};
use crate::json::Walker;

/// What a body refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpaqueFacts {
    /// Things that the provider keeps.
    pub references: Vec<Reference>,
    /// The first member that would send the request elsewhere than policy chose.
    pub elsewhere: Option<&'static str>,
}

/// Reads one body of a path that no surface covers, chunk by chunk.
///
/// JSON is read as the bodies of surfaces are: what declares itself as such, and what begins like it. Anything else is
/// passed over. Chunks may be any size and end anywhere.
///
/// ```
/// use dialects::request::OpaqueReader;
///
/// let mut reader = OpaqueReader::new(false);
/// reader.push(b" {\"prompt\":\"a boat\",\"mask\":{\"fi")?;
/// reader.push(b"le_id\":\"file-1\"}}")?;
/// let facts = reader.finish()?;
/// assert_eq!(facts.references[0].name(), "file_id");
/// # Ok::<(), dialects::request::BodyError>(())
/// ```
#[derive(Debug)]
pub struct OpaqueReader {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing but white space came; true if it is JSON whatever comes.
    Start(bool),
    Json(Box<(Walker<Place>, Facts)>),
    Other,
}

impl OpaqueReader {
    /// Starts before the first byte of a body, which says of itself that it is JSON, or does not.
    pub const fn new(is_json: bool) -> Self {
        Self {
            state: State::Start(is_json),
        }
    }

    /// Reads a chunk.
    ///
    /// # Errors
    /// The first thing in JSON for which the body is refused.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), BodyError> {
        if let State::Start(is_json) = self.state {
            let first = chunk.iter().find(|byte| !byte.is_ascii_whitespace());
            let Some(first) = first else {
                return Ok(());
            };
            // A byte order mark is refused where JSON follows it, and some read JSON behind it.
            self.state = if is_json || matches!(first, b'{' | b'[' | 0xEF) {
                let facts = Facts::new(Surface::OpenaiOpaque);
                State::Json(Box::new((Walker::new(&OPAQUE), facts)))
            } else {
                State::Other
            };
        }
        let State::Json(reading) = &mut self.state else {
            return Ok(());
        };
        let (walker, facts) = &mut **reading;
        let walked = walker.push(chunk, facts);
        facts.check()?;
        Ok(walked?)
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// The first thing in JSON for which the body is refused.
    pub fn finish(self) -> Result<OpaqueFacts, BodyError> {
        let State::Json(reading) = self.state else {
            return Ok(OpaqueFacts::default());
        };
        let (mut walker, mut facts) = *reading;
        let walked = walker.finish(&mut facts);
        facts.check()?;
        walked?;
        Ok(OpaqueFacts {
            references: facts.facts.references,
            elsewhere: facts.facts.elsewhere,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(is_json: bool, body: &str) -> Result<Vec<String>, BodyError> {
        let one = |chunks: &[&[u8]]| {
            let mut reader = OpaqueReader::new(is_json);
            for chunk in chunks {
                reader.push(chunk)?;
            }
            reader.finish()
        };
        let whole = one(&[body.as_bytes()]);
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(one(&bytes), whole, "bytewise: {body}");
        whole.map(|facts| {
            let names = facts.references.iter().map(|it| it.name().to_owned());
            names.chain(facts.elsewhere.map(str::to_owned)).collect()
        })
    }

    #[test]
    fn what_a_json_body_refers_to_is_told() {
        for (body, name) in [
            (
                r#"{"model":"gpt-image-1","prompt":"x","mask":{"file_id":"file-1"}}"#,
                "file_id",
            ),
            (r#"{"images":[{"file_id":"file-1"}]}"#, "file_id"),
            (r#"{"document":{"type":"file","file_id":"x"}}"#, "file_id"),
            (r#"{"prompt":"x","api_base":"http://evil"}"#, "api_base"),
            (r#"[{"input":"x","store_ids":["x"]}]"#, "store_ids"),
            ("\n\t {\"file_id\":\"x\"}", "file_id"),
        ] {
            assert_eq!(read(true, body), Ok(vec![name.to_owned()]), "{body}");
            assert_eq!(read(false, body), Ok(vec![name.to_owned()]), "{body}");
        }
    }

    #[test]
    fn ordinary_bodies_of_such_paths_pass() {
        for body in [
            r#"{"model":"tts-1","input":"file-abc123 is read","voice":"alloy","instructions":"files/a"}"#,
            r#"{"model":"gpt-image-1","prompt":"file-1","size":"1024x1024","user":"u"}"#,
            r#"{"model":"rerank-1","query":"q","documents":["a",{"id":"doc-1","text":"b"}],"top_n":2}"#,
            r#"{"model":"omni-moderation-latest","input":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}"#,
            r#"{"instances":[{"prompt":"a boat"}],"parameters":{"sampleCount":1}}"#,
            r#"{"model":"ocr","document":{"type":"document_url","document_url":"https://example.com/a.pdf"}}"#,
        ] {
            assert_eq!(read(true, body), Ok(Vec::new()), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_is_passed_over_unless_it_says_so() {
        for body in ["", "  ", "--boundary\r\n", "\u{0}\u{ff}", "plain words"] {
            assert_eq!(read(false, body), Ok(Vec::new()), "{body}");
        }
        assert_eq!(read(true, ""), Ok(Vec::new()));
        assert_eq!(read(true, "words"), Err(BodyError::InvalidJson { at: 0 }));
        assert_eq!(read(false, "{\"a\":"), Err(BodyError::Truncated { at: 5 }));
        assert_eq!(read(false, "\u{feff}{}"), Err(BodyError::Bom));
    }
}

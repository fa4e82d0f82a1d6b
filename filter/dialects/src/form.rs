//! `multipart/form-data` as it passes: where its parts are and what they say they are, and that they say so plainly.
//!
//! Grammar: RFC 7578 and RFC 2046, "Common Syntax", without what only some readers do: no preamble, no folded or
//! bare line ends, the boundary stands nowhere but between parts, and each part says once what it is. A part in
//! another transfer encoding or character set is refused.

#[cfg(test)]
mod tests;

use memchr::memmem;

use crate::content::Media;
use crate::media_type::{BodyType, body_type};

/// Longest head of a part.
const HEAD_BYTES: usize = 8 * 1024;

/// Most parts of one form.
const MOST_PARTS: usize = 1_024;

/// What happens in a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormEvent<'a> {
    /// A part begins; `None` for a text.
    Part(Option<Media>),
    /// The next bytes of the part.
    Bytes(&'a [u8]),
}

/// Why a form may be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Boundaries or line ends.
    #[error("the form is not well formed")]
    Malformed,
    /// It ends before its last boundary.
    #[error("the form ends early")]
    Truncated,
    /// A part has a head that is not plain.
    #[error(
        "a part of the form has a header that is not understood; send `content-disposition: form-data` and a plain `content-type`"
    )]
    Head,
    /// A part is written in another encoding.
    #[error(
        "a part of the form has a `content-transfer-encoding` other than 7bit, 8bit and binary"
    )]
    TransferEncoding,
    /// A part is in another character set.
    #[error("a part of the form is declared in another character set than UTF-8")]
    Charset,
    /// More parts than any real form has.
    #[error("the form has more parts than are read")]
    TooMany,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    /// Behind a boundary.
    Behind,
    Head,
    Content,
    End,
}

/// Reads a form piece by piece; a piece may end anywhere.
///
/// Holds the head of a part, or as many bytes of its content as a boundary is long.
#[derive(Debug)]
pub struct FormReader {
    /// `--` and the boundary.
    delimiter: Vec<u8>,
    /// What came and is not decided.
    window: Vec<u8>,
    state: State,
    parts: usize,
    failed: Option<FormError>,
}

impl FormReader {
    /// Makes a reader for forms with this boundary.
    pub fn new(boundary: &str) -> Self {
        Self {
            delimiter: [b"--", boundary.as_bytes()].concat(),
            window: Vec::new(),
            state: State::Start,
            parts: 0,
            failed: None,
        }
    }

    /// Takes the next piece and tells what is in it.
    ///
    /// # Errors
    /// [`FormError`] for what two readers may read in two ways; the reader is spent then.
    pub fn push(
        &mut self,
        piece: &[u8],
        told: &mut dyn FnMut(FormEvent<'_>),
    ) -> Result<(), FormError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.window.extend_from_slice(piece);
        let mut window = std::mem::take(&mut self.window);
        let read = self.read(&window, told);
        let used = match read {
            Ok(used) => used,
            Err(error) => {
                self.failed = Some(error);
                return Err(error);
            }
        };
        window.drain(..used.min(window.len()));
        self.window = window;
        Ok(())
    }

    /// Says that nothing more comes.
    ///
    /// # Errors
    /// [`FormError::Truncated`] before the last boundary; the error of [`push`](Self::push) after one.
    pub fn finish(&self) -> Result<(), FormError> {
        match (self.failed, self.state) {
            (Some(error), _) => Err(error),
            (None, State::End) if self.window.is_empty() => Ok(()),
            (None, State::End) => Err(FormError::Malformed),
            (None, State::Start | State::Behind | State::Head | State::Content) => {
                Err(FormError::Truncated)
            }
        }
    }

    /// Returns how many bytes of the window are done with.
    fn read(
        &mut self,
        window: &[u8],
        told: &mut dyn FnMut(FormEvent<'_>),
    ) -> Result<usize, FormError> {
        let mut at = 0;
        loop {
            let rest = window.get(at..).unwrap_or_default();
            let used = match self.state {
                State::Start => self.start(rest)?,
                State::Behind => self.behind(rest)?,
                State::Head => self.head(rest, told)?,
                State::Content => self.content(rest, told)?,
                State::End => return end(rest).map(|used| at.saturating_add(used)),
            };
            match used {
                Step::On(used) => at = at.saturating_add(used),
                Step::Wait(used) => return Ok(at.saturating_add(used)),
            }
        }
    }

    fn start(&mut self, rest: &[u8]) -> Result<Step, FormError> {
        let length = self.delimiter.len();
        let Some(first) = rest.get(..length) else {
            return if self.delimiter.starts_with(rest) {
                Ok(Step::Wait(0))
            } else {
                Err(FormError::Malformed)
            };
        };
        if first != self.delimiter {
            return Err(FormError::Malformed);
        }
        self.state = State::Behind;
        Ok(Step::On(length))
    }

    fn behind(&mut self, rest: &[u8]) -> Result<Step, FormError> {
        match rest {
            [b'\r', b'\n', ..] => {
                self.parts = self.parts.saturating_add(1);
                if self.parts > MOST_PARTS {
                    return Err(FormError::TooMany);
                }
                self.state = State::Head;
                Ok(Step::On(2))
            }
            [b'-', b'-', ..] if self.parts > 0 => {
                self.state = State::End;
                Ok(Step::On(2))
            }
            [] | [b'\r' | b'-'] => Ok(Step::Wait(0)),
            _ => Err(FormError::Malformed),
        }
    }

    fn head(
        &mut self,
        rest: &[u8],
        told: &mut dyn FnMut(FormEvent<'_>),
    ) -> Result<Step, FormError> {
        let within = rest.get(..HEAD_BYTES).unwrap_or(rest);
        let Some(end) = memmem::find(within, b"\r\n\r\n") else {
            return if rest.len() < HEAD_BYTES {
                Ok(Step::Wait(0))
            } else {
                Err(FormError::Head)
            };
        };
        let head = rest.get(..end).unwrap_or_default();
        told(FormEvent::Part(part(head)?));
        self.state = State::Content;
        Ok(Step::On(end.saturating_add(4)))
    }

    fn content(
        &mut self,
        rest: &[u8],
        told: &mut dyn FnMut(FormEvent<'_>),
    ) -> Result<Step, FormError> {
        if let Some(found) = memmem::find(rest, &self.delimiter) {
            let before = rest.get(..found).unwrap_or_default();
            // Whoever takes other line ends would see a part here that this reader does not.
            let content = before.strip_suffix(b"\r\n").ok_or(FormError::Malformed)?;
            if !content.is_empty() {
                told(FormEvent::Bytes(content));
            }
            self.state = State::Behind;
            return Ok(Step::On(found.saturating_add(self.delimiter.len())));
        }
        // The line end and all but the last byte of a boundary may stand at the end.
        let kept = self.delimiter.len().saturating_add(1);
        let certain = rest.len().saturating_sub(kept);
        if certain > 0 {
            told(FormEvent::Bytes(rest.get(..certain).unwrap_or_default()));
        }
        Ok(Step::Wait(certain))
    }
}

/// How far a state came.
enum Step {
    On(usize),
    /// More bytes are needed.
    Wait(usize),
}

/// Behind the last boundary there may be one line end.
fn end(rest: &[u8]) -> Result<usize, FormError> {
    match rest {
        [] | [b'\r'] => Ok(0),
        b"\r\n" => Ok(2),
        _ => Err(FormError::Malformed),
    }
}

/// Reads the head of a part: what it is, `None` for a text.
fn part(head: &[u8]) -> Result<Option<Media>, FormError> {
    let head = core::str::from_utf8(head)
        .ok()
        .filter(|head| {
            !head
                .chars()
                .any(|it| it.is_control() && !"\r\n\t".contains(it))
        })
        .ok_or(FormError::Head)?;
    let mut kind = None;
    let mut seen: Vec<String> = Vec::new();
    for line in head.split("\r\n") {
        // A bare line end, a folded line or a blank before the colon is another line to another reader.
        let (name, value) = line
            .split_once(':')
            .filter(|_| !line.contains(['\r', '\n']))
            .ok_or(FormError::Head)?;
        let name = name.to_ascii_lowercase();
        let value = value.trim_matches([' ', '\t']);
        if seen.contains(&name) {
            return Err(FormError::Head);
        }
        match name.as_str() {
            "content-disposition" if is_form_data(value) => {}
            "content-length" | "content-id" => {}
            "content-type" => kind = Some(value),
            "content-transfer-encoding" => {
                let is_plain = ["7bit", "8bit", "binary"]
                    .iter()
                    .any(|plain| value.eq_ignore_ascii_case(plain));
                if !is_plain {
                    return Err(FormError::TransferEncoding);
                }
            }
            _ => return Err(FormError::Head),
        }
        seen.push(name);
    }
    if !seen.iter().any(|name| name == "content-disposition") {
        return Err(FormError::Head);
    }
    kind.map_or(Ok(None), media)
}

/// `_charset_` would name the character set of all parts (RFC 7578), `filename*` that of a name.
fn is_form_data(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let extended = value.match_indices("*=").all(|(at, _)| {
        let rest = value.get(at..).unwrap_or_default();
        rest.starts_with("*=utf-8''")
    });
    let kind = value.split(';').next().unwrap_or_default();
    kind.trim() == "form-data" && !value.contains("_charset_") && extended
}

/// What a part says it is; what is in no list is a file that nobody reads here.
fn media(value: &str) -> Result<Option<Media>, FormError> {
    use crate::media_type::MediaTypeError as Error;
    match body_type([value.as_bytes()]) {
        Ok(BodyType::Binary(media)) => Ok(Some(media)),
        Ok(BodyType::Form { .. } | BodyType::Undeclared) => Err(FormError::Head),
        Ok(BodyType::Json | BodyType::EventStream | BodyType::Text) => Ok(None),
        Err(Error::Unlisted) if !value.to_ascii_lowercase().starts_with("multipart/") => {
            Ok(Some(Media::File))
        }
        Err(Error::Charset) => Err(FormError::Charset),
        Err(Error::Unlisted | Error::Repeated | Error::Malformed | Error::Parameter) => {
            Err(FormError::Head)
        }
    }
}

//! A body of unknown shape: what of it is text that can be looked through.

use dialects::content::Media;
use dialects::form::{FormError, FormEvent, FormReader};
use dialects::media_type::BodyType;
use dialects::plain_text::PlainText;
use dialects::refusal::RefusalCode;

use super::Exchange;
use super::opaque::OpaqueBody;
use crate::messages::Flow;

/// Reads a body as far as that needs nothing but its declaration.
#[derive(Debug)]
pub(super) struct Contents(Shape);

#[derive(Debug)]
enum Shape {
    Text(TextRead),
    /// Nobody reads it here; told once.
    Binary {
        media: Media,
        is_told: bool,
    },
    Form {
        reader: Box<FormReader>,
        /// The part that is being read, if it is a text.
        part: Option<TextRead>,
    },
}

#[derive(Debug, Default)]
struct TextRead {
    plain: PlainText,
    is_told: bool,
    is_spoilt: bool,
}

/// What was found out about a body with its latest bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Texts that began.
    pub texts: u32,
    /// Texts, told before, that turned out to be no UTF-8.
    pub spoilt: u32,
    /// What nobody reads.
    pub unread: Vec<Media>,
}

impl Exchange {
    /// Reads the next bytes of a body of unknown shape; refuses a form that can be read in two ways.
    pub(super) fn read_contents(
        &mut self,
        opaque: &mut OpaqueBody,
        chunk: &[u8],
        end_of_stream: bool,
    ) -> Option<Flow> {
        let contents = opaque.contents.as_mut()?;
        match contents.push(chunk, end_of_stream) {
            Ok(told) => {
                self.scan_plain(chunk, end_of_stream, &told);
                None
            }
            Err(error) => Some(self.refuse(
                RefusalCode::WrongContentType,
                format!("The body is not passed on: {error}."),
            )),
        }
    }
}

impl Contents {
    pub(super) fn new(declared: BodyType) -> Self {
        Self(match declared {
            BodyType::Undeclared | BodyType::Json | BodyType::EventStream | BodyType::Text => {
                Shape::Text(TextRead::default())
            }
            BodyType::Binary(media) => Shape::Binary {
                media,
                is_told: false,
            },
            BodyType::Form { boundary } => Shape::Form {
                reader: Box::new(FormReader::new(&boundary)),
                part: None,
            },
        })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`FormError`] for a form that can be read in two ways.
    pub(super) fn push(&mut self, chunk: &[u8], ends: bool) -> Result<Told, FormError> {
        let mut told = Told::default();
        match &mut self.0 {
            Shape::Text(text) => {
                text.push(chunk, &mut told);
                if ends {
                    text.end(&mut told);
                }
            }
            Shape::Binary { media, is_told } => {
                if !*is_told && !chunk.is_empty() {
                    *is_told = true;
                    told.unread.push(*media);
                }
            }
            Shape::Form { reader, part } => {
                reader.push(chunk, &mut |event| match event {
                    FormEvent::Part(media) => {
                        if let Some(mut before) = part.take() {
                            before.end(&mut told);
                        }
                        match media {
                            Some(media) => told.unread.push(media),
                            None => *part = Some(TextRead::default()),
                        }
                    }
                    FormEvent::Bytes(bytes) => {
                        if let Some(text) = part {
                            text.push(bytes, &mut told);
                        }
                    }
                })?;
                if ends {
                    reader.finish()?;
                    if let Some(mut before) = part.take() {
                        before.end(&mut told);
                    }
                }
            }
        }
        Ok(told)
    }
}

impl Contents {
    /// Takes the next bytes of an answer, which is no form.
    pub(super) fn told(&mut self, chunk: &[u8], ends: bool) -> Told {
        self.push(chunk, ends).unwrap_or_default()
    }

    /// Takes the next bytes of a text whose parts are counted elsewhere; returns how many texts turned out to be no
    /// UTF-8.
    pub(super) fn unread(&mut self, chunk: &[u8], ends: bool) -> u32 {
        self.told(chunk, ends).spoilt
    }
}

impl TextRead {
    fn push(&mut self, bytes: &[u8], told: &mut Told) {
        if bytes.is_empty() {
            return;
        }
        if !self.is_told {
            self.is_told = true;
            told.texts = told.texts.saturating_add(1);
        }
        if !self.plain.push(bytes) {
            self.spoil(told);
        }
    }

    fn end(&mut self, told: &mut Told) {
        if !self.plain.is_whole() {
            self.spoil(told);
        }
    }

    fn spoil(&mut self, told: &mut Told) {
        if !self.is_spoilt {
            self.is_spoilt = true;
            told.spoilt = told.spoilt.saturating_add(1);
        }
    }
}

//! What a body says it is: `content-type` and `content-encoding`, read so that no two readers can disagree.
//!
//! The grammar is RFC 9110, "Media Type" and "Parameters". What is taken is a list: types that can be looked
//! through here, types that say that they are no text, and the parameters of each. Whatever a more lenient reader
//! could take for another character set is refused, also where the grammar allows it: `charset` stands nowhere but
//! as the name of one parameter, whose value is UTF-8.
//!
//! ```
//! use dialects::media_type::{BodyType, MediaTypeError, body_type};
//!
//! assert_eq!(body_type([&b"Application/JSON; charset=\"utf8\""[..]]), Ok(BodyType::Json));
//! assert_eq!(body_type([&b"application/json; charset=utf-7"[..]]), Err(MediaTypeError::Charset));
//! assert_eq!(body_type([]), Ok(BodyType::Undeclared));
//! ```

#[cfg(test)]
mod tests;

use crate::content::Media;

/// What a body says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyType {
    /// Nothing was said.
    Undeclared,
    /// `application/json`, or another type with the suffix `+json`.
    Json,
    /// `text/event-stream`.
    EventStream,
    /// Another text in UTF-8.
    Text,
    /// `multipart/form-data`, with its boundary.
    Form { boundary: String },
    /// No text, by its own word.
    Binary(Media),
}

/// Why nobody can say for certain what a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaTypeError {
    /// Two types.
    #[error("a second `content-type` is given; give one")]
    Repeated,
    /// Not in the grammar, or not in plain form.
    #[error("the `content-type` is not in plain form")]
    Malformed,
    /// A character set other than UTF-8, or something that may be taken for one.
    #[error(
        "the `content-type` names another character set than UTF-8, or names one in an odd form; send UTF-8"
    )]
    Charset,
    /// A parameter that may change how the body is read.
    #[error("the `content-type` has a parameter that is not understood")]
    Parameter,
    /// A type that is in no list.
    #[error("the `content-type` is none that is understood")]
    Unlisted,
}

/// What reads as text, whole types.
const TEXTS: [&str; 8] = [
    "application/jsonl",
    "application/x-jsonlines",
    "application/x-ndjson",
    "text/csv",
    "text/markdown",
    "text/plain",
    "text/tab-separated-values",
    "text/vtt",
];

/// Whole types that are documents, archives or streams of bytes.
const FILES: [&str; 13] = [
    "application/epub+zip",
    "application/gzip",
    "application/msword",
    "application/octet-stream",
    "application/pdf",
    "application/rtf",
    "application/sdp",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/x-gzip",
    "application/x-tar",
    "application/x-zip-compressed",
    "application/zip",
];

/// Families of types whose names share a beginning.
const FAMILIES: [(&str, Media); 5] = [
    (
        "application/vnd.openxmlformats-officedocument.",
        Media::File,
    ),
    ("audio/", Media::Audio),
    ("font/", Media::File),
    ("image/", Media::Image),
    ("video/", Media::Video),
];

/// Parameters that change nothing of how a text is read.
const TEXT_PARAMETERS: [&str; 5] = ["charset", "header", "profile", "variant", "version"];

/// Longest `content-type` that is read.
const LONGEST: usize = 512;

/// Reads the values of `content-type`, one for each header of the name.
///
/// # Errors
/// [`MediaTypeError`] for what could be read in two ways or is in no list.
pub fn body_type<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
) -> Result<BodyType, MediaTypeError> {
    let value = match only(values)? {
        Only::Known(known) => return Ok(known),
        Only::Value(value) => value,
    };
    let parsed = MediaType::parse(value)?;
    parsed.judge_charset()?;
    let kind = parsed.kind()?;
    parsed.judge_parameters(&kind)?;
    Ok(kind)
}

/// Reads the values of an answer's `content-type`.
///
/// Providers write what they like into parameters, and what comes cannot be sent back to be written better: those
/// that no reader takes for a character set are passed over, and so is a `charset` without a letter or digit in it,
/// which names none.
///
/// # Errors
/// [`MediaTypeError`] for what could be read in two ways or is in no list.
pub fn answer_type<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
) -> Result<BodyType, MediaTypeError> {
    let value = match only(values)? {
        Only::Known(known) => return Ok(known),
        Only::Value(value) => value,
    };
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let (essence, parameters) = text.split_once(';').unwrap_or((&text, ""));
    if text.contains(',') {
        return Err(MediaTypeError::Repeated);
    }
    let essence = essence.trim_matches(is_blank);
    let mentions = text.matches("charset").count();
    let mut named = parameters
        .split(';')
        .filter_map(|pair| pair.trim_matches(is_blank).strip_prefix("charset="));
    let is_utf8 = |name: &str| {
        let name = name.trim_matches('"');
        matches!(name, "utf-8" | "utf8") || !name.contains(|it: char| it.is_ascii_alphanumeric())
    };
    match mentions {
        0 => {}
        1 if named.next().is_some_and(is_utf8) => {}
        _ => return Err(MediaTypeError::Charset),
    }
    let (kind, subtype) = essence.split_once('/').ok_or(MediaTypeError::Malformed)?;
    if !is_token(kind) || !is_token(subtype) {
        return Err(MediaTypeError::Malformed);
    }
    listed(essence)
}

/// The one value there is.
enum Only<'a> {
    /// None, or what nearly every body says.
    Known(BodyType),
    Value(&'a [u8]),
}

fn only<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Only<'a>, MediaTypeError> {
    let mut values = values.into_iter();
    let Some(value) = values.next() else {
        return Ok(Only::Known(BodyType::Undeclared));
    };
    if values.next().is_some() {
        return Err(MediaTypeError::Repeated);
    }
    Ok(match value {
        b"application/json" => Only::Known(BodyType::Json),
        b"text/event-stream" => Only::Known(BodyType::EventStream),
        _ => Only::Value(value),
    })
}

/// Returns whether `content-encoding`, one value for each header of the name, leaves the body as it is.
pub fn is_plain<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> bool {
    values
        .into_iter()
        .enumerate()
        .all(|(place, value)| place == 0 && value.trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// Returns whether the values name exactly one of the codings that are undone before a body is read.
pub fn is_one_coding<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut values = values.into_iter();
    let first = values.next().map(<[u8]>::trim_ascii);
    let known = |name: &str| first.is_some_and(|value| value.eq_ignore_ascii_case(name.as_bytes()));
    values.next().is_none() && ["gzip", "zstd", "br"].into_iter().any(known)
}

/// A media type in plain form.
struct MediaType<'a> {
    /// `type/subtype`, in lower case.
    essence: String,
    parameters: Vec<(String, &'a str)>,
}

impl<'a> MediaType<'a> {
    fn parse(value: &'a [u8]) -> Result<Self, MediaTypeError> {
        let text = core::str::from_utf8(value)
            .ok()
            .filter(|text| text.is_ascii() && text.len() <= LONGEST)
            .ok_or(MediaTypeError::Malformed)?;
        // Nobody but the one parameter may speak of a character set, whatever a reader looks for.
        let mentions = count(text, "charset");
        let (essence, rest) = text.split_once(';').unwrap_or((text, ""));
        let essence = essence.trim_matches(is_blank).to_ascii_lowercase();
        if essence.contains(',') {
            return Err(MediaTypeError::Repeated);
        }
        let (kind, subtype) = essence.split_once('/').ok_or(MediaTypeError::Malformed)?;
        if !is_token(kind) || !is_token(subtype) {
            return Err(MediaTypeError::Malformed);
        }
        let parameters = parameters(rest)?;
        let named = parameters.iter().filter(|(name, _)| name == "charset");
        if named.count() != mentions {
            return Err(MediaTypeError::Charset);
        }
        Ok(Self {
            essence,
            parameters,
        })
    }

    fn parameter(&self, wanted: &str) -> Option<&'a str> {
        let mut found = self.parameters.iter();
        found
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| *value)
    }

    fn kind(&self) -> Result<BodyType, MediaTypeError> {
        let essence = self.essence.as_str();
        if essence == "multipart/form-data" {
            let boundary = self.parameter("boundary").unwrap_or_default();
            if !is_boundary(boundary) {
                return Err(MediaTypeError::Malformed);
            }
            return Ok(BodyType::Form {
                boundary: boundary.to_owned(),
            });
        }
        listed(essence)
    }

    fn judge_charset(&self) -> Result<(), MediaTypeError> {
        let is_utf8 = |charset: &str| {
            charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
        };
        if self.parameter("charset").is_none_or(is_utf8) {
            Ok(())
        } else {
            Err(MediaTypeError::Charset)
        }
    }

    fn judge_parameters(&self, kind: &BodyType) -> Result<(), MediaTypeError> {
        let fits = |name: &str| match kind {
            BodyType::Form { .. } => matches!(name, "boundary" | "charset"),
            BodyType::Binary(_) => name != "boundary",
            BodyType::Json | BodyType::EventStream | BodyType::Text | BodyType::Undeclared => {
                TEXT_PARAMETERS.contains(&name)
            }
        };
        if self.parameters.iter().all(|(name, _)| fits(name)) {
            Ok(())
        } else {
            Err(MediaTypeError::Parameter)
        }
    }
}

/// Finds a type, in lower case, in the lists.
fn listed(essence: &str) -> Result<BodyType, MediaTypeError> {
    let json = essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"));
    if json {
        return Ok(BodyType::Json);
    }
    if essence == "text/event-stream" {
        return Ok(BodyType::EventStream);
    }
    if TEXTS.contains(&essence) {
        return Ok(BodyType::Text);
    }
    if FILES.contains(&essence) {
        return Ok(BodyType::Binary(Media::File));
    }
    let family = FAMILIES
        .iter()
        .find(|(prefix, _)| essence.starts_with(prefix));
    let (_, media) = family.ok_or(MediaTypeError::Unlisted)?;
    Ok(BodyType::Binary(*media))
}

/// Reads `name=value` pairs between semicolons; an empty pair is none, as the grammar has it.
fn parameters(rest: &str) -> Result<Vec<(String, &str)>, MediaTypeError> {
    let mut parameters: Vec<(String, &str)> = Vec::new();
    for pair in rest.split(';') {
        let pair = pair.trim_matches(is_blank);
        if pair.is_empty() {
            continue;
        }
        if pair.contains(',') {
            return Err(MediaTypeError::Repeated);
        }
        let (name, value) = pair.split_once('=').ok_or(MediaTypeError::Malformed)?;
        let name = name.to_ascii_lowercase();
        let quoted = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'));
        let plain = match quoted {
            Some(inside) => !inside.is_empty() && inside.bytes().all(is_quotable),
            None => is_token(value),
        };
        // `name*` continues or encodes a value (RFC 2231): another reader's other value.
        if !is_token(&name) || name.contains('*') || !plain {
            return Err(MediaTypeError::Malformed);
        }
        if parameters.iter().any(|(other, _)| *other == name) {
            return Err(MediaTypeError::Repeated);
        }
        parameters.push((name, quoted.unwrap_or(value)));
    }
    Ok(parameters)
}

fn count(text: &str, word: &str) -> usize {
    text.to_ascii_lowercase().matches(word).count()
}

/// White space that may stand beside a semicolon.
fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// What may stand in quotes: nothing that escapes, ends or begins anything for any reader.
const fn is_quotable(byte: u8) -> bool {
    is_token_byte(byte) || matches!(byte, b'/' | b':' | b'@' | b'?' | b'(' | b')' | b'<' | b'>')
}

/// RFC 2046, "Common Syntax", without the blanks that it allows inside.
fn is_boundary(text: &str) -> bool {
    (1..=70).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"'()+_-./:?".contains(&byte))
}

//! What a request says of its body, and what is refused by that alone.

use dialects::media_type::{BodyType, MediaTypeError, body_type, is_one_coding, is_plain};
use dialects::refusal::RefusalCode;

use super::Exchange;
use super::admission::bounded;
use crate::headers::Headers;
use crate::messages::Flow;

/// The client's `content-encoding`, as the proxy notes it before it undoes the coding and takes the header away.
const CODING_THAT_WAS: &str = "x-weir-content-encoding";

impl Exchange {
    /// Refuses by headers alone what could not be read as JSON: type, encoding, length.
    pub(super) fn unreadable(&mut self, headers: &Headers, cap_bytes: u64) -> Option<Flow> {
        let declared = body_type(headers.all("content-type"));
        let message = match declared {
            Ok(BodyType::Json) => None,
            Ok(BodyType::Undeclared) if !self.facts.unkeyed => None,
            // A browser lets any page send a body without a type; one with this type is asked for first.
            Ok(
                BodyType::Undeclared
                | BodyType::EventStream
                | BodyType::Text
                | BodyType::Form { .. }
                | BodyType::Binary(_),
            )
            | Err(MediaTypeError::Unlisted) => {
                Some("The body must be JSON; send `content-type: application/json`.".to_owned())
            }
            Err(error) => Some(format!(
                "The body must be JSON: {error}. Send `content-type: application/json`."
            )),
        };
        if let Some(message) = message {
            return Some(self.refuse(RefusalCode::WrongContentType, message));
        }
        if let Some(refused) = self.encoded(headers) {
            return Some(refused);
        }
        self.over_cap(headers, cap_bytes)
    }

    /// Returns what the body of a path outside the model APIs is, or refuses what nobody can name for certain.
    pub(super) fn declared(&mut self, headers: &Headers) -> Result<BodyType, Flow> {
        if let Some(refused) = self.encoded(headers) {
            return Err(refused);
        }
        body_type(headers.all("content-type")).map_err(|error| {
            let message = format!(
                "The body cannot be passed on as what it is declared: {error}. Send JSON, plain text, a form, or a type of images, audio, video or files."
            );
            self.refuse(RefusalCode::WrongContentType, message)
        })
    }

    /// Refuses a body that says of itself that it is too large.
    pub(super) fn over_cap(&mut self, headers: &Headers, cap_bytes: u64) -> Option<Flow> {
        let length = headers.text("content-length")?.parse::<u64>().ok()?;
        (length > cap_bytes).then(|| self.too_large(cap_bytes))
    }

    pub(super) fn too_large(&mut self, cap_bytes: u64) -> Flow {
        self.refuse(
            RefusalCode::BodyTooLarge,
            format!("The request body is larger than the {cap_bytes} bytes this mesh accepts; shorten the conversation."),
        )
    }

    /// Envoy undoes one coding after the other, in whatever order they are listed: what comes here is plain only if
    /// the client named one coding that was undone, or none.
    fn encoded(&mut self, headers: &Headers) -> Option<Flow> {
        let left = || headers.all("content-encoding");
        let was = || headers.all(CODING_THAT_WAS);
        let is_undone = left().next().is_none() && is_one_coding(was());
        if is_plain(left()) && (is_undone || is_plain(was())) {
            return None;
        }
        let first = was().chain(left()).next().unwrap_or_default();
        let message = format!(
            "The content encoding `{}` is not understood; use one of gzip, zstd and br, or none.",
            bounded(&String::from_utf8_lossy(first))
        );
        Some(self.refuse(RefusalCode::BadEncoding, message))
    }
}

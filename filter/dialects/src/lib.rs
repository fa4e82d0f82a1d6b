//! Provider wire formats as bytes: Anthropic Messages, OpenAI Chat, Responses and Embeddings, Gemini.
//!
//! In: the bodies of requests and answers, in chunks of any size. Out: what a request asks for
//! ([`request`], [`query`]), what an answer used ([`response`]), the few changes a body may undergo ([`splice`],
//! [`usage_event`]), and the answers a gateway gives by itself ([`refusal`], [`models`]). Underneath lie two
//! incremental readers of their own use, [`json`] and [`sse`].
//!
//! Pure: no IO, no clock, no randomness, and no result depends on how bytes were chunked. It knows no
//! policy (who may do what), no detectors and no proxy. Translation between dialects has its place here
//! once a request can be sent to a target of another dialect: the upstream role of the filter will call it.
//!
//! ```
//! use dialects::request::RequestReader;
//! use dialects::response::{Framing, UsageReader};
//! use policy::surface::Surface;
//!
//! let mut request = RequestReader::new(Surface::GeminiGenerate).expect("has a JSON body");
//! request.push(br#"{"contents":[{"parts":[{"text":"Hi"}]}],"generationConfig":{"maxOutputTokens":99}}"#)?;
//! assert_eq!(request.finish()?.max_output_tokens, Some(99));
//!
//! let mut answer = UsageReader::new(Surface::GeminiGenerate, Framing::Json);
//! answer.push(br#"{"candidates":[],"usageMetadata":{"promptTokenCount":2,"candidatesTokenCount":7}}"#);
//! answer.finish();
//! assert_eq!(answer.usage().map(|usage| usage.output_tokens.get()), Some(7));
//! # Ok::<(), dialects::request::BodyError>(())
//! ```

#![forbid(unsafe_code)]

pub mod content;
pub mod escape;
pub mod form;
pub mod headers;
pub mod json;
pub mod key_refusal;
#[cfg(any(test, feature = "laws"))]
pub mod laws;
pub mod media_type;
pub mod models;
pub mod plain_text;
pub mod query;
pub mod refusal;
pub mod request;
pub mod request_ids;
pub mod response;
pub mod splice;
pub mod sse;
pub mod stream;
pub mod usage_event;

/// Cuts bytes at the given places, for laws about chunking.
#[cfg(test)]
fn cut<'a>(bytes: &'a [u8], cuts: &[proptest::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.push(bytes.len());
    at.sort_unstable();
    let mut start = 0;
    at.into_iter()
        .map(|end| &bytes[std::mem::replace(&mut start, end)..end])
        .collect()
}

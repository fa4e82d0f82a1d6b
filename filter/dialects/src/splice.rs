//! The few changes that a request body may undergo: spans are replaced, every other byte stays.
//!
//! ```
//! use dialects::request::RequestReader;
//! use dialects::splice::{apply, include_usage_splice, model_splices};
//! use policy::surface::Surface;
//!
//! let body = br#"{"model":"fast", "stream":true,"messages":[]}"#;
//! let mut reader = RequestReader::new(Surface::OpenaiChat).expect("has a JSON body");
//! reader.push(body)?;
//! let facts = reader.finish()?;
//! let mut splices = model_splices(&facts, "gpt-5-mini");
//! splices.extend(include_usage_splice(&facts));
//! assert_eq!(
//!     apply(body, &mut splices)?,
//!     br#"{"stream_options":{"include_usage":true},"model":"gpt-5-mini", "stream":true,"messages":[]}"#,
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use policy::surface::{Dialect, Surface};

use crate::json::Span;
use crate::request::{IncludeUsage, ModelField, RequestFacts};

/// Bytes to stand in place of a span; nothing is replaced where `start == end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Offset of the first byte replaced.
    pub start: u64,
    /// Offset after the last byte replaced.
    pub end: u64,
    /// What stands there then.
    pub with: Vec<u8>,
}

/// What to write at the front of a body that splices change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// How many bytes of the body the prefix stands for.
    pub drop: usize,
    /// The prefix.
    pub with: Vec<u8>,
}

/// Why splices do not fit a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpliceError {
    /// A splice ends before it begins, or two of them overlap.
    #[error("splices overlap at byte {at}")]
    Overlap {
        /// Offset where it was noticed.
        at: u64,
    },
    /// A splice reaches beyond the bytes at hand.
    #[error("a splice reaches byte {end}, beyond the bytes at hand")]
    BeyondEnd {
        /// Where the splice ends.
        end: u64,
    },
}

/// Replaces the model that the body names; nothing where the body names none.
///
/// Gemini bodies repeat the path's model in each part of a batch and write it as a resource name
/// (`models/…`, `tunedModels/…`): all are replaced, and keep that form.
pub fn model_splices(facts: &RequestFacts, model: &str) -> Vec<Splice> {
    let is_gemini = facts.surface.dialect() == Dialect::Gemini;
    let nested: &[ModelField] = if is_gemini { &facts.nested_models } else { &[] };
    let fields = facts.model.iter().chain(nested);
    fields
        .map(|field| {
            let is_resource =
                |name: &str| name.starts_with("models/") || name.starts_with("tunedModels/");
            let resource = is_gemini && is_resource(&field.value) && !is_resource(model);
            let prefix = if resource { "models/" } else { "" };
            let literal = serde_json::Value::String(format!("{prefix}{model}"));
            replacement(field.span, literal.to_string().into_bytes())
        })
        .collect()
}

/// Makes a chat stream end with a usage event; `None` where it does so already, or is no chat stream.
pub fn include_usage_splice(facts: &RequestFacts) -> Option<Splice> {
    if facts.surface != Surface::OpenaiChat || !facts.stream {
        return None;
    }
    let insertion = |at, with: &[u8]| Splice {
        start: at,
        end: at,
        with: with.to_vec(),
    };
    match facts.include_usage {
        IncludeUsage::Asked => None,
        // The body has other members at this point: at least `stream` itself.
        IncludeUsage::NoOptions(at) => Some(insertion(
            at,
            br#""stream_options":{"include_usage":true},"#,
        )),
        IncludeUsage::NullOptions(span) => {
            Some(replacement(span, br#"{"include_usage":true}"#.to_vec()))
        }
        IncludeUsage::NoField { at, is_empty: true } => {
            Some(insertion(at, br#""include_usage":true"#))
        }
        IncludeUsage::NoField {
            at,
            is_empty: false,
        } => Some(insertion(at, br#""include_usage":true,"#)),
        IncludeUsage::Declined(span) => Some(replacement(span, b"true".to_vec())),
    }
}

const fn replacement(span: Span, with: Vec<u8>) -> Splice {
    Splice {
        start: span.start,
        end: span.end,
        with,
    }
}

/// Returns how many bytes from the front of a body the splices need at hand.
pub fn reach(splices: &[Splice]) -> u64 {
    splices
        .iter()
        .map(|splice| splice.end)
        .max()
        .unwrap_or_default()
}

/// Returns how long a body of `length` bytes is once the splices were applied.
pub fn length_after(length: u64, splices: &[Splice]) -> u64 {
    splices.iter().fold(length, |length, splice| {
        length
            .saturating_sub(splice.end.saturating_sub(splice.start))
            .saturating_add(splice.with.len() as u64)
    })
}

/// Applies splices to a whole body; they are sorted on the way.
///
/// # Errors
/// [`SpliceError`] if splices overlap or reach beyond the body; nothing is changed then.
pub fn apply(body: &[u8], splices: &mut [Splice]) -> Result<Vec<u8>, SpliceError> {
    let mut prefix = apply_prefix(body, splices)?;
    prefix
        .with
        .extend_from_slice(body.get(prefix.drop..).unwrap_or_default());
    Ok(prefix.with)
}

/// Applies splices where only the front of a body can be replaced, as in Envoy's buffers.
///
/// `head` is the first part of the body, at least [`reach`] long. Dropping [`Prefix::drop`] bytes from the
/// front of the body and writing [`Prefix::with`] there gives what [`apply`] gives.
///
/// # Errors
/// [`SpliceError`] if splices overlap or reach beyond `head`.
pub fn apply_prefix(head: &[u8], splices: &mut [Splice]) -> Result<Prefix, SpliceError> {
    splices.sort_by_key(|splice| (splice.start, splice.end));
    let mut prefix = Prefix {
        drop: 0,
        with: Vec::new(),
    };
    for splice in splices {
        let beyond = SpliceError::BeyondEnd { end: splice.end };
        let start = usize::try_from(splice.start).ok().ok_or(beyond)?;
        let end = usize::try_from(splice.end)
            .ok()
            .filter(|end| *end <= head.len())
            .ok_or(beyond)?;
        let kept = head
            .get(prefix.drop..start)
            .ok_or(SpliceError::Overlap { at: splice.start })?;
        if end < start {
            return Err(SpliceError::Overlap { at: splice.start });
        }
        prefix.with.extend_from_slice(kept);
        prefix.with.extend_from_slice(&splice.with);
        prefix.drop = end;
    }
    Ok(prefix)
}

/// Applies splices to a body that is read a piece at a time, so that no more than a piece of it is at hand.
///
/// ```
/// use dialects::splice::{PieceEditor, Splice};
///
/// let splices = vec![Splice { start: 2, end: 5, with: b"-".to_vec() }];
/// let mut editor = PieceEditor::new(splices, 8)?;
/// let mut out = Vec::new();
/// editor.edit(b"0123", false, &mut out);
/// editor.edit(b"4567", true, &mut out);
/// assert_eq!(out, b"01-567");
/// # Ok::<(), dialects::splice::SpliceError>(())
/// ```
#[derive(Debug)]
pub struct PieceEditor {
    splices: std::iter::Peekable<std::vec::IntoIter<Splice>>,
    /// Offset of the next piece.
    at: u64,
    /// Up to here the body was replaced.
    passed: u64,
}

impl PieceEditor {
    /// Prepares the splices of a body of `length` bytes.
    ///
    /// # Errors
    /// [`SpliceError`] if splices overlap or reach beyond the body.
    pub fn new(mut splices: Vec<Splice>, length: u64) -> Result<Self, SpliceError> {
        splices.sort_by_key(|splice| (splice.start, splice.end));
        let mut passed = 0;
        for Splice { start, end, .. } in &splices {
            if *start < passed || end < start {
                return Err(SpliceError::Overlap { at: *start });
            }
            if *end > length {
                return Err(SpliceError::BeyondEnd { end: *end });
            }
            passed = *end;
        }
        Ok(Self {
            splices: splices.into_iter().peekable(),
            at: 0,
            passed: 0,
        })
    }

    /// Appends what stands in the place of the next piece to `out`.
    pub fn edit(&mut self, piece: &[u8], is_last: bool, out: &mut Vec<u8>) {
        let at = self.at;
        let end = at.saturating_add(piece.len() as u64);
        let place = |offset: u64| usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX);
        while let Some(splice) = self.splices.next_if(|splice| splice.start < end || is_last) {
            let kept = piece.get(place(self.passed)..place(splice.start));
            out.extend_from_slice(kept.unwrap_or_default());
            out.extend_from_slice(&splice.with);
            self.passed = splice.end;
        }
        let kept = piece.get(place(self.passed)..);
        out.extend_from_slice(kept.unwrap_or_default());
        self.passed = self.passed.max(end);
        self.at = end;
    }
}

#[cfg(test)]
mod tests;

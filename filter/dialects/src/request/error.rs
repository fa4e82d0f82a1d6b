//! Why a request body cannot be judged.

use super::{MAX_NESTED_MODELS, MAX_REFERENCES};
use crate::json::{JsonError, LONG_BYTES, MAX_DEPTH};
use crate::refusal::RefusalCode;

/// Why a request body is refused.
///
/// Messages name a field and an offset, never anything else of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON.
    #[error("the body is not valid JSON at byte {at}")]
    InvalidJson {
        /// Offset of the byte that cannot stand there.
        at: u64,
    },
    /// The body ends before its JSON does.
    #[error("the JSON body ends early, at byte {at}")]
    Truncated {
        /// Length of the body.
        at: u64,
    },
    /// A byte order mark stands before the JSON.
    #[error("the body begins with a byte order mark; send UTF-8 without one")]
    Bom,
    /// Not UTF-8.
    #[error("the body is not valid UTF-8 at byte {at}")]
    NotUtf8 {
        /// Offset of the sequence that is malformed.
        at: u64,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the JSON body nests deeper than {MAX_DEPTH} levels at byte {at}")]
    TooDeep {
        /// Offset of the bracket that is one too many.
        at: u64,
    },
    /// A governed field stands twice in one object.
    #[error("field `{field}` is given twice, at byte {at}; give it once")]
    DuplicateField {
        /// The field.
        field: &'static str,
        /// Offset of the repeated key.
        at: u64,
    },
    /// A governed field is written with escapes or in another case.
    #[error(
        "field `{field}` is written with escapes or in another case, at byte {at}; write it plainly"
    )]
    DisguisedField {
        /// The field.
        field: &'static str,
        /// Offset of the key.
        at: u64,
    },
    /// A governed field has a value of another type than the provider takes.
    #[error("field `{field}` must be {expected}, at byte {at}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it must be, with its article.
        expected: &'static str,
        /// Offset of the value.
        at: u64,
    },
    /// A governed field is longer than any real one.
    #[error("field `{field}` is too long, at byte {at}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Offset of the value.
        at: u64,
    },
    /// A governed field stands more often than can be judged.
    #[error(
        "field `{field}` is given too often, at byte {at}: a request names at most {MAX_REFERENCES} stored things and {MAX_NESTED_MODELS} models beside its own; send what is beyond with its content, or start anew"
    )]
    TooMany {
        /// The field.
        field: &'static str,
        /// Offset of the value that is one too many.
        at: u64,
    },
    /// A number has more digits than any provider reads.
    #[error("the number at byte {at} is longer than {LONG_BYTES} bytes")]
    LongNumber {
        /// Offset of its first byte.
        at: u64,
    },
    /// The body holds more texts, or more objects, than can be judged.
    #[error("the body holds more texts or objects than can be judged, at byte {at}; send fewer")]
    TooManyTexts {
        /// Offset of the first that is one too many.
        at: u64,
    },
    /// A part says too late what it is: what stands before was passed over for another kind's.
    #[error("field `{field}` stands too late, at byte {at}; write it first")]
    Late {
        /// The field.
        field: &'static str,
        /// Offset of the object.
        at: u64,
    },
    /// A field without which the request cannot be judged is absent.
    #[error("field `{field}` is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
}

impl BodyError {
    /// Returns the stable code of the refusal.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::DuplicateField { .. } => RefusalCode::DuplicateField,
            Self::DisguisedField { .. } => RefusalCode::DisguisedField,
            Self::Missing { .. } => RefusalCode::ModelMissing,
            Self::InvalidJson { .. }
            | Self::Truncated { .. }
            | Self::Bom
            | Self::NotUtf8 { .. }
            | Self::TooDeep { .. }
            | Self::LongNumber { .. }
            | Self::WrongType { .. }
            | Self::TooLong { .. }
            | Self::TooMany { .. }
            | Self::Late { .. }
            | Self::TooManyTexts { .. } => RefusalCode::BadJson,
        }
    }

    /// Returns the field that the error is about.
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::DuplicateField { field, .. }
            | Self::DisguisedField { field, .. }
            | Self::WrongType { field, .. }
            | Self::TooLong { field, .. }
            | Self::TooMany { field, .. }
            | Self::Late { field, .. }
            | Self::Missing { field } => Some(field),
            Self::InvalidJson { .. }
            | Self::Truncated { .. }
            | Self::Bom
            | Self::NotUtf8 { .. }
            | Self::TooDeep { .. }
            | Self::LongNumber { .. }
            | Self::TooManyTexts { .. } => None,
        }
    }
}

impl From<JsonError> for BodyError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Invalid { at } => Self::InvalidJson { at },
            JsonError::Bom => Self::Bom,
            JsonError::NotUtf8 { at } => Self::NotUtf8 { at },
            JsonError::TooDeep { at } => Self::TooDeep { at },
            JsonError::Duplicate { field, at } => Self::DuplicateField { field, at },
            JsonError::Disguised { field, at } => Self::DisguisedField { field, at },
            JsonError::LongNumber { at } => Self::LongNumber { at },
            JsonError::Truncated { at } => Self::Truncated { at },
        }
    }
}

//! What of a model's name may stand in a path.
//!
//! Two kinds of provider read the model in the path: Azure's deployments and the Gemini dialect. What stands there
//! is one [`PathSegment`], whoever wrote it: a client, an alias, a route. Nothing else of a name can become a part
//! of a URL.
//!
//! ```
//! use policy::segment::{ModelResource, PathSegment};
//!
//! assert_eq!(PathSegment::parse("gpt-4.1_mini")?.as_str(), "gpt-4.1_mini");
//! assert!(PathSegment::parse("az-4o/../files?x=").is_err());
//! let tuned = ModelResource::parse("tunedModels/cats")?;
//! assert_eq!((tuned.collection().name(), tuned.segment().as_str()), ("tunedModels", "cats"));
//! # Ok::<(), policy::segment::SegmentError>(())
//! ```

use crate::documents::PathStyle;
use crate::pattern::ModelPattern;
use crate::surface::Dialect;

/// Longest segment; the longest name that a provider gives has half of it.
pub const MAX_SEGMENT_BYTES: usize = 128;

/// A name that cannot stand in a path. Never repeats the name: it may come from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    #[error("it is empty")]
    Empty,
    #[error("it has more than {MAX_SEGMENT_BYTES} bytes")]
    TooLong,
    #[error("it may only hold letters, digits, `-`, `_` and `.`, beginning with a letter or digit")]
    Character,
}

/// One segment of a path: 1 to [`MAX_SEGMENT_BYTES`] ASCII letters, digits, `-`, `_` and `.`, the first one a letter
/// or digit. It is neither `.` nor `..`, needs no escape, and ends neither path nor query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSegment(String);

impl PathSegment {
    /// Takes `text` as it stands; nothing is decoded, trimmed or folded.
    ///
    /// # Errors
    /// [`SegmentError`] for everything but a segment.
    pub fn parse(text: &str) -> Result<Self, SegmentError> {
        check_segment(text).map(|()| Self(text.to_owned()))
    }

    /// Returns the segment as it stands in a path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_segment(text: &str) -> Result<(), SegmentError> {
    let first = text.bytes().next().ok_or(SegmentError::Empty)?;
    if text.len() > MAX_SEGMENT_BYTES {
        return Err(SegmentError::TooLong);
    }
    if first.is_ascii_alphanumeric() && text.bytes().all(is_of_segment) {
        Ok(())
    } else {
        Err(SegmentError::Character)
    }
}

const fn is_of_segment(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// Where a model of the Gemini dialect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    Models,
    TunedModels,
}

impl Collection {
    /// Both collections.
    pub const ALL: [Self; 2] = [Self::Models, Self::TunedModels];

    /// Returns the segment that names it in a path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::TunedModels => "tunedModels",
        }
    }
}

/// A model of the Gemini dialect as paths name it: `models/X` or `tunedModels/X`.
///
/// Its name everywhere else is `X` in the first collection and `tunedModels/X` in the second: what somebody tuned is
/// a model of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelResource {
    collection: Collection,
    segment: PathSegment,
}

impl ModelResource {
    /// Reads the name that policy, records and prices have for the model.
    ///
    /// # Errors
    /// [`SegmentError`] where it is not one segment, with or without `tunedModels/` before it.
    pub fn parse(name: &str) -> Result<Self, SegmentError> {
        let (collection, segment) = match name.strip_prefix("tunedModels/") {
            Some(segment) => (Collection::TunedModels, segment),
            None => (Collection::Models, name),
        };
        Ok(Self {
            collection,
            segment: PathSegment::parse(segment)?,
        })
    }

    pub const fn collection(&self) -> Collection {
        self.collection
    }

    pub const fn segment(&self) -> &PathSegment {
        &self.segment
    }
}

/// Checks a name by which a client of the Gemini dialect can ask for a model, in the path: as [`ModelResource`], or as
/// one segment with a provider's name before it (`google/gemini-2.5-pro`). `*` and `?` of a glob stand for anything.
///
/// # Errors
/// [`SegmentError`] for a name that no path can hold.
pub fn check_asked(alias: &ModelPattern) -> Result<(), SegmentError> {
    let name = alias.as_str();
    if !alias.is_exact() {
        return ModelPlace::Resource.check_pattern(alias);
    }
    match name.split_once('/') {
        Some((provider, segment)) => check_segment(provider).and_then(|()| check_segment(segment)),
        None => check_segment(name),
    }
}

/// Where a provider reads which model is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelPlace {
    /// In the body, which takes any name.
    Body,
    /// As one segment of the path (Azure deployments).
    Segment,
    /// As a resource of the path (Gemini).
    Resource,
}

impl ModelPlace {
    /// Returns where a provider of this dialect and path style reads it.
    pub const fn of(dialect: Dialect, style: &PathStyle) -> Self {
        match (dialect, style) {
            (_, PathStyle::AzureDeployments { .. }) => Self::Segment,
            (Dialect::Gemini, PathStyle::Native) => Self::Resource,
            (Dialect::Anthropic | Dialect::Openai, PathStyle::Native) => Self::Body,
        }
    }

    /// Checks that the model called `name` can be named there.
    ///
    /// # Errors
    /// [`SegmentError`] where it cannot.
    pub fn check(self, name: &str) -> Result<(), SegmentError> {
        match self {
            Self::Body => Ok(()),
            Self::Segment => check_segment(name),
            Self::Resource => check_segment(name.strip_prefix("tunedModels/").unwrap_or(name)),
        }
    }

    /// Checks that names which `pattern` covers can be named there. Of an expression nothing is known.
    ///
    /// # Errors
    /// [`SegmentError`] where none can.
    pub fn check_pattern(self, pattern: &ModelPattern) -> Result<(), SegmentError> {
        if pattern.is_exact() {
            return self.check(pattern.as_str());
        }
        if pattern.is_regex() || self == Self::Body {
            return Ok(());
        }
        let is_possible = |byte: u8| {
            is_of_segment(byte)
                || matches!(byte, b'*' | b'?')
                || (byte == b'/' && self == Self::Resource)
        };
        if pattern.as_str().bytes().all(is_possible) {
            Ok(())
        } else {
            Err(SegmentError::Character)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEGMENTS: [&str; 8] = [
        "a",
        "gpt-4.1_mini",
        "GPT-4O",
        "gemini-2.5-pro-preview-05-06",
        "9",
        "a..b",
        "az-4o.",
        "text-embedding-3-large",
    ];

    /// What was or could be sent to leave the place of a model.
    const OTHERS: [&str; 36] = [
        "",
        ".",
        "..",
        "...",
        ".a",
        "-a",
        "_a",
        "a/b",
        "/a",
        "a/",
        "az-4o/../../files?api-version=2024-10-21&x=",
        "az-5/chat/completions?api-version=2024-10-21&x=",
        "a?b",
        "a#b",
        "a%2fb",
        "a%",
        "a\\b",
        "a&b",
        "a=b",
        "a;b",
        "a:b",
        "a@b",
        "a+b",
        "a b",
        "a\tb",
        "a\r\nb",
        "a\0b",
        "a,b",
        "a'b",
        "a*b",
        "a~b",
        "a|b",
        "é",
        "a\u{ff0f}b",
        "\u{212a}",
        "a\u{200b}b",
    ];

    #[test]
    fn a_segment_is_made_of_listed_characters() {
        for text in SEGMENTS {
            assert_eq!(PathSegment::parse(text).unwrap().as_str(), text);
        }
        for text in OTHERS {
            assert!(PathSegment::parse(text).is_err(), "{text:?}");
            assert!(ModelPlace::Segment.check(text).is_err(), "{text:?}");
            assert!(ModelPlace::Resource.check(text).is_err(), "{text:?}");
            assert_eq!(ModelPlace::Body.check(text), Ok(()));
        }
        let longest = "a".repeat(MAX_SEGMENT_BYTES);
        assert!(PathSegment::parse(&longest).is_ok());
        let longer = format!("{longest}a");
        assert_eq!(PathSegment::parse(&longer), Err(SegmentError::TooLong));
    }

    #[test]
    fn a_resource_is_a_segment_of_one_of_two_collections() {
        for (name, collection, segment) in [
            ("gemini-a", Collection::Models, "gemini-a"),
            ("tunedModels/cats-1", Collection::TunedModels, "cats-1"),
            ("tunedModels", Collection::Models, "tunedModels"),
        ] {
            let resource = ModelResource::parse(name).unwrap();
            assert_eq!(resource.collection(), collection);
            assert_eq!(resource.segment().as_str(), segment);
        }
        for name in [
            "models/gemini-a",
            "tunedModels/",
            "tunedModels/a/b",
            "tunedModels/tunedModels/a",
            "tunedmodels/a",
            "tunedModels/..",
            "other/a",
        ] {
            assert!(ModelResource::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_pattern_that_no_path_can_name_is_told() {
        for (pattern, segment, resource) in [
            ("*", true, true),
            ("gpt-*", true, true),
            ("gpt-5", true, true),
            ("regex:a/b", true, true),
            ("tunedModels/*", false, true),
            ("tunedModels/a", false, true),
            ("models/a", false, false),
            ("a:*", false, false),
            ("\u{e9}*", false, false),
        ] {
            let pattern = ModelPattern::parse(pattern).unwrap();
            let fits = |place: ModelPlace| place.check_pattern(&pattern).is_ok();
            assert!(fits(ModelPlace::Body));
            assert_eq!(fits(ModelPlace::Segment), segment, "{pattern}");
            assert_eq!(fits(ModelPlace::Resource), resource, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_segment_keeps_its_place_in_a_url(text in "[a-zA-Z0-9._/?#%&=;:@\\\\ é-]{0,12}") {
            if let Ok(segment) = PathSegment::parse(&text) {
                prop_assert_eq!(segment.as_str(), &text);
                let path = format!("/a/{text}/b?c");
                let parts = path.split(['/', '?', '#']).collect::<Vec<_>>();
                prop_assert_eq!(parts, ["", "a", text.as_str(), "b", "c"]);
                prop_assert!(!matches!(text.as_str(), "." | ".."));
            }
        }
    }
}

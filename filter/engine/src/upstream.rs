//! Paths as providers see them.
//!
//! An [`UpstreamPath`] is the provider's base, what the surface has there, one [segment](policy::segment) for the
//! model where the path names it, and the query that was judged. Nothing else makes one.

use policy::compiled::CompiledProvider;
use policy::documents::PathStyle;
use policy::segment::{ModelResource, PathSegment, SegmentError};
use policy::surface::Dialect;

use crate::query::Query;

/// What a surface has behind the provider's base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Template {
    /// A path that names no model.
    Fixed(&'static str),
    /// `/{version}/{collection}/{model}:{operation}`
    Gemini {
        version: &'static str,
        operation: &'static str,
    },
    /// A path outside the surfaces, as the client wrote it.
    Opaque(PlainPath),
    /// No provider is asked.
    AnsweredHere,
}

/// A path that everybody reads alike: no escapes, no parameters, no empty or dot segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlainPath(String);

/// Whether `path` is taken as it stands: nobody behind us may decode, cut or fold it into another one.
pub(crate) fn is_plain(path: &str) -> bool {
    let is_plain = |byte: &u8| {
        matches!(byte, b'!'..=b'~') && !matches!(byte, b'%' | b'\\' | b'#' | b';' | b'?')
    };
    path.starts_with('/')
        && path.as_bytes().iter().all(is_plain)
        && !path.contains("//")
        && (path.len() == 1 || !path.ends_with('/'))
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
}

impl PlainPath {
    /// Takes `path` where it [is plain](is_plain).
    pub(crate) fn parse(path: &str) -> Option<Self> {
        is_plain(path).then(|| Self(path.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The path and query of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamPath(String);

impl UpstreamPath {
    /// Makes the path under which `provider` serves `model`, empty where none is named.
    ///
    /// # Errors
    /// [`SegmentError`] where the path names the model and its name is not one segment.
    pub(crate) fn new(
        provider: &CompiledProvider,
        template: &Template,
        model: &str,
        query: &Query,
    ) -> Result<Self, SegmentError> {
        let mut path = provider.base_url.path.clone();
        let mut version = None;
        if let PathStyle::AzureDeployments { api_version } = &provider.path_style {
            version = Some(("api-version", api_version.as_str()));
        }
        match template {
            Template::Fixed(own) => {
                if version.is_some() {
                    let deployment = PathSegment::parse(model)?;
                    push(&mut path, &["/deployments/", deployment.as_str()]);
                }
                path.push_str(own);
            }
            Template::Gemini { version, operation } => {
                let resource = ModelResource::parse(model)?;
                let (collection, model) = (resource.collection().name(), resource.segment());
                let model = model.as_str();
                push(
                    &mut path,
                    &["/", version, "/", collection, "/", model, ":", operation],
                );
            }
            Template::Opaque(own) => opaque(provider.dialect, own.as_str(), &mut path),
            Template::AnsweredHere => {}
        }
        query.write(&mut path, version);
        Ok(Self(path))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// The version stands in the base URL of the OpenAI dialect, and in the path of the others.
fn opaque(dialect: Dialect, own: &str, path: &mut String) {
    match dialect {
        Dialect::Openai => {
            let rest = own.strip_prefix("/v1").filter(|rest| rest.starts_with('/'));
            path.push_str(rest.unwrap_or(own));
        }
        Dialect::Anthropic if !own.starts_with("/v1/") => push(path, &["/v1", own]),
        Dialect::Anthropic | Dialect::Gemini => path.push_str(own),
    }
}

fn push(path: &mut String, parts: &[&str]) {
    path.extend(parts.iter().copied());
}

#[cfg(test)]
mod tests;

//! Reading requests strictly: every unknown or wrong field and parameter is named.

use std::fmt;
use std::str::FromStr;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use policy::check::Problem;
use policy::file::read_json;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::error::ApiError;
use crate::operations::{ObjectKind, OperationError};

/// No object of the API but those of [`LARGE_BODY_BYTES`] comes near it.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Rule files, word lists, bodies to be evaluated.
pub(super) const LARGE_BODY_BYTES: usize = 16 * 1024 * 1024;

/// A JSON body of at most `MAX_BYTES`.
#[derive(Debug)]
pub(super) struct Fields<T, const MAX_BYTES: usize = MAX_BODY_BYTES>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync, const MAX_BYTES: usize> FromRequest<S>
    for Fields<T, MAX_BYTES>
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let headers = request.headers();
        let is_json = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                let kind = value.split(';').next().unwrap_or_default().trim();
                kind.eq_ignore_ascii_case("application/json")
            });
        if !is_json {
            return Err(ApiError::NotJson);
        }
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > MAX_BYTES) {
            return Err(ApiError::BodyTooLarge);
        }
        let body = to_bytes(request.into_body(), MAX_BYTES)
            .await
            .map_err(|source| {
                if length.is_none() {
                    ApiError::BodyTooLarge
                } else {
                    ApiError::BodyUnreadable { source }
                }
            })?;
        read_json(&body)
            .map(Self)
            .map_err(|problems| ApiError::Body { problems })
    }
}

/// A query string, as an object of strings.
#[derive(Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let unreadable = |message: String| ApiError::Query {
            problems: vec![Problem::new("", message)],
        };
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| unreadable(error.to_string()))?;
        // As text, so that a repeated parameter is a repeated field.
        let mut text = String::from("{");
        for (number, (name, value)) in pairs.iter().enumerate() {
            let separator = if number == 0 { "" } else { "," };
            let name = serde_json::Value::from(name.as_str());
            let value = serde_json::Value::from(value.as_str());
            text.push_str(&format!("{separator}{name}:{value}"));
        }
        text.push('}');
        read_json(text.as_bytes())
            .map(Self)
            .map_err(|problems| ApiError::Query { problems })
    }
}

/// A value that is written as text in a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parsed<T>(pub(super) T);

impl<'de, T> Deserialize<'de> for Parsed<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|error| {
            // What was written may be a credential in a wrong place.
            D::Error::custom(format_args!("is not valid: {error}"))
        })
    }
}

/// Reads an id of a path; what is none names nothing.
pub(super) fn id<T: FromStr>(kind: ObjectKind, text: &str) -> Result<T, ApiError> {
    let not_found = || OperationError::NotFound {
        kind,
        // A key may stand where an id belongs.
        id: String::from("…"),
    };
    text.parse()
        .ok()
        .ok_or_else(not_found)
        .map_err(ApiError::from)
}

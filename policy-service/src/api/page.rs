//! Lists in pages.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use super::request::Parsed;
use policy::check::Problem;

const USUAL_ITEMS: u32 = 1_000;
const MAX_ITEMS: u32 = 10_000;

/// Part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Give it as `cursor` for what follows; `null` at the end.
    pub(super) next_cursor: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Only the object with this name.
    pub(super) name: Option<String>,
    /// Most items to return, at most 10,000. Default 1,000.
    #[param(value_type = Option<u32>)]
    pub(super) limit: Option<Parsed<u32>>,
    /// `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

/// Bounds the number of items asked for.
pub(super) fn limit(asked: Option<Parsed<u32>>, usual: u32, max: u32) -> Result<u32, ApiError> {
    let limit = asked.map_or(usual, |Parsed(limit)| limit);
    if (1..=max).contains(&limit) {
        return Ok(limit);
    }
    let problems = vec![Problem::new("limit", format!("must be from 1 to {max}"))];
    Err(ApiError::Query { problems })
}

impl PageQuery {
    /// Returns the name after which the page begins, and the most items it has.
    pub(super) fn bounds(&self) -> Result<(String, u32), ApiError> {
        let limit = limit(self.limit, USUAL_ITEMS, MAX_ITEMS)?;
        let after = self.cursor.as_deref().map(read_cursor).transpose()?;
        Ok((after.unwrap_or_default(), limit))
    }
}

impl<T> Page<T> {
    /// Makes a page of the first `limit` of `items`, which are in the order of their names.
    pub(super) fn of(mut items: Vec<T>, name_of: impl Fn(&T) -> String, limit: u32) -> Self {
        let size = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_last = items.len() <= size;
        items.truncate(size);
        let last = items.last().filter(|_| !is_last);
        let next_cursor = last.map(|item| hex::encode(name_of(item)));
        Self { items, next_cursor }
    }
}

/// Cuts the page out of a whole list. Names are unique and not empty, so they can say where a page ended.
pub(super) fn cut<T>(
    mut all: Vec<T>,
    name_of: impl Fn(&T) -> String,
    query: &PageQuery,
) -> Result<Page<T>, ApiError> {
    let (after, limit) = query.bounds()?;
    if let Some(name) = &query.name {
        all.retain(|item| name_of(item) == *name);
    }
    all.retain(|item| name_of(item) > after);
    all.sort_by_cached_key(&name_of);
    Ok(Page::of(all, name_of, limit))
}

fn read_cursor(text: &str) -> Result<String, ApiError> {
    let bytes = hex::decode(text).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(bad_cursor)
}

pub(super) fn bad_cursor() -> ApiError {
    let message = "is not a cursor; give `next_cursor` of the page before";
    ApiError::Query {
        problems: vec![Problem::new("cursor", message)],
    }
}

//! Prices.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use policy::check::Problem;
use policy::pattern::ModelPattern;
use policy::price::{PriceBook, PriceOverride, Rates};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::request::{Fields, Parameters};
use crate::operations::{Caller, prices, schema};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(put, delete))
}

/// All prices that apply.
#[derive(Debug, Serialize, ToSchema)]
struct PricesView {
    /// Of the book this build carries.
    book_version: String,
    /// Your own prices; they go before the book's.
    #[schema(value_type = Vec<schema::PriceOverride>)]
    overrides: Vec<PriceOverride>,
    book: Vec<BookRowView>,
}

/// One row of the price book.
#[derive(Debug, Serialize, ToSchema)]
struct BookRowView {
    table: String,
    #[schema(value_type = Vec<String>)]
    models: Vec<ModelPattern>,
    #[schema(value_type = schema::Rates)]
    rates: Rates,
    /// The page the prices are from.
    source: String,
    /// When they were read.
    date: String,
    /// Nobody has held the prices against the vendor's own page.
    unverified: bool,
}

/// Which price.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PriceQuery {
    table: Option<String>,
    model: Option<String>,
}

/// List all prices that apply.
#[utoipa::path(
    get,
    path = "/api/v1/prices",
    tag = "prices",
    operation_id = "list_prices",
    responses((status = 200, body = PricesView), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<PricesView>, ApiError> {
    let all = prices::list(&shared.store, &caller).await?;
    let book_version = all.book.version.clone();
    Ok(Json(PricesView {
        book_version,
        overrides: all.overrides,
        book: rows(all.book),
    }))
}

fn rows(book: &PriceBook) -> Vec<BookRowView> {
    let rows = book
        .tables
        .iter()
        .flat_map(|(table, rows)| rows.iter().map(move |row| (table, row)));
    rows.map(|(table, row)| BookRowView {
        table: table.clone(),
        models: row.models.clone(),
        rates: row.rates,
        source: row.source.clone(),
        date: row.date.clone(),
        unverified: row.unverified,
    })
    .collect()
}

/// Write a price of your own, in the place of one for the same table and model.
#[utoipa::path(
    put,
    path = "/api/v1/prices/overrides",
    tag = "prices",
    operation_id = "put_price",
    request_body = schema::PriceOverride,
    responses((status = 200, body = schema::PriceOverride), (status = "default", body = ErrorBody))
)]
async fn put(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(price): Fields<PriceOverride>,
) -> Result<Json<PriceOverride>, ApiError> {
    Ok(Json(prices::put(&shared.store, &caller, price).await?))
}

/// Delete a price of your own; the book's applies again.
#[utoipa::path(
    delete,
    path = "/api/v1/prices/overrides",
    tag = "prices",
    operation_id = "delete_price",
    params(PriceQuery),
    responses((status = 204), (status = "default", body = ErrorBody))
)]
async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<PriceQuery>,
) -> Result<StatusCode, ApiError> {
    let mut problems = Vec::new();
    for (name, value) in [("table", &query.table), ("model", &query.model)] {
        if value.is_none() {
            problems.push(Problem::new(name, "is missing"));
        }
    }
    let model = query.model.as_deref().map(ModelPattern::parse).transpose();
    if let Err(error) = &model {
        problems.push(Problem::new("model", error.to_string()));
    }
    let (Some(table), Ok(Some(model))) = (query.table, model) else {
        return Err(ApiError::Query { problems });
    };
    prices::delete(&shared.store, &caller, &table, &model).await?;
    Ok(StatusCode::NO_CONTENT)
}

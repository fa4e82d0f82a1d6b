//! Customers.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, PageQuery, cut};
use super::request::{Fields, Parameters, id};
use crate::operations::fields::CustomerFields;
use crate::operations::views::CustomerView;
use crate::operations::{Caller, ObjectKind, customers};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
}

/// List customers.
#[utoipa::path(
    get,
    path = "/api/v1/customers",
    tag = "customers",
    operation_id = "list_customers",
    params(PageQuery),
    responses((status = 200, body = Page<CustomerView>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<CustomerView>>, ApiError> {
    let all = customers::list(&shared.store, &caller).await?;
    Ok(Json(cut(all, |customer| customer.name.clone(), &query)?))
}

/// Add a customer.
#[utoipa::path(
    post,
    path = "/api/v1/customers",
    tag = "customers",
    operation_id = "create_customer",
    request_body = CustomerFields,
    responses((status = 201, body = CustomerView), (status = "default", body = ErrorBody))
)]
async fn create(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<CustomerFields>,
) -> Result<(StatusCode, Json<CustomerView>), ApiError> {
    let customer = customers::create(&shared.store, &caller, fields).await?;
    Ok((StatusCode::CREATED, Json(customer)))
}

/// Show a customer.
#[utoipa::path(
    get,
    path = "/api/v1/customers/{id}",
    tag = "customers",
    operation_id = "get_customer",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = CustomerView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<CustomerView>, ApiError> {
    let id = id(ObjectKind::Customer, &name)?;
    Ok(Json(customers::get(&shared.store, &caller, id).await?))
}

/// Change fields of a customer.
#[utoipa::path(
    patch,
    path = "/api/v1/customers/{id}",
    tag = "customers",
    operation_id = "update_customer",
    params(("id" = uuid::Uuid, Path)),
    request_body = CustomerFields,
    responses((status = 200, body = CustomerView), (status = "default", body = ErrorBody))
)]
async fn update(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Fields(fields): Fields<CustomerFields>,
) -> Result<Json<CustomerView>, ApiError> {
    let id = id(ObjectKind::Customer, &name)?;
    Ok(Json(
        customers::update(&shared.store, &caller, id, fields).await?,
    ))
}

/// Delete a customer that nothing refers to.
#[utoipa::path(
    delete,
    path = "/api/v1/customers/{id}",
    tag = "customers",
    operation_id = "delete_customer",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = ErrorBody))
)]
async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(ObjectKind::Customer, &name)?;
    customers::delete(&shared.store, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

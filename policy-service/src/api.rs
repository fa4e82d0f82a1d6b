//! The admin API, `/api/v1`: handlers that read a request, call an operation and write its answer.
//!
//! Nothing is open without an admin token but `/healthz`, and to virtual keys what they may know of themselves. What a handler refuses becomes a body in one outer
//! layer, which also names and logs the request.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ledger::ledgers::Ledgers;
use crate::readiness::Readiness;
use crate::store::Store;
use error::ApiError;

mod admin_tokens;
mod audit;
mod customers;
mod error;
mod events;
mod exchanges;
mod guardrails;
mod keys;
mod me;
mod mesh;
mod outer;
mod page;
mod prices;
mod providers;
mod quotas;
mod request;
mod routes;
mod rule_files;
mod settings;
mod teams;
mod users;
mod word_lists;

/// What handlers share.
#[derive(Clone, Debug)]
struct Shared {
    store: Store,
    /// Absent where the API runs without a mesh.
    readiness: Option<Readiness>,
    /// Absent where the API runs without a ledger.
    ledgers: Option<Ledgers>,
    /// The API's description, as JSON.
    description: Arc<str>,
}

impl Shared {
    fn ledgers(&self) -> Result<&Ledgers, ApiError> {
        self.ledgers.as_ref().ok_or(ApiError::NoSuchPath)
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weir admin API",
        description = "Policy and records of a Weir mesh. Every request carries `Authorization: Bearer TOKEN`. \
                       Times are milliseconds since 1970, money is millionths of a US dollar.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&Bearer),
    security(("admin_token" = []))
)]
struct Description;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let scheme =
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("admin_token", scheme.clone());
        components.add_security_scheme("virtual_key", scheme);
    }
}

/// Returns the admin API over `store`, and `/healthz`.
///
/// Any other path without a token is answered 401, so that nobody learns what there is.
pub fn router(store: Store) -> Router {
    assembled(store, None, None)
}

/// [`router`] of a service that runs a mesh and keeps its ledger, both of which it can show.
pub fn router_with_mesh(
    store: Store,
    readiness: Readiness,
    ledgers: impl Into<Option<Ledgers>>,
) -> Router {
    assembled(store, Some(readiness), ledgers.into())
}

fn assembled(store: Store, readiness: Option<Readiness>, ledgers: Option<Ledgers>) -> Router {
    let Parts {
        admin,
        own,
        description,
    } = parts();
    let shared = Shared {
        store: store.clone(),
        readiness,
        ledgers,
        description: description.to_json().unwrap_or_default().into(),
    };
    let admin = admin
        .fallback(outer::no_such_path)
        .method_not_allowed_fallback(outer::method_not_allowed)
        .with_state(shared.clone());
    let own = own
        .method_not_allowed_fallback(outer::method_not_allowed)
        .with_state(shared);
    let open = outer::layered(own.route("/healthz", get(healthz)));
    authenticated(store, admin).merge(open)
}

/// Puts what the admin API puts before its own handlers before those of `router`: admin tokens, request ids,
/// error bodies, logging. Such handlers can extract the [`Caller`](crate::operations::Caller) as an extension.
pub fn authenticated(store: Store, router: Router) -> Router {
    outer::layered(router.layer(from_fn_with_state(store, outer::authenticate)))
}

/// The API, as it is open to whom.
struct Parts {
    /// What needs an admin token.
    admin: Router<Shared>,
    /// What needs a virtual key.
    own: Router<Shared>,
    description: utoipa::openapi::OpenApi,
}

fn parts() -> Parts {
    let (admin, mut description) = described().split_for_parts();
    let (own, of_own) = me::router().split_for_parts();
    description.merge(of_own);
    Parts {
        admin,
        own,
        description,
    }
}

fn described() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(openapi_json))
        .merge(admin_tokens::router())
        .merge(audit::router())
        .merge(customers::router())
        .merge(events::router())
        .merge(exchanges::router())
        .merge(guardrails::router())
        .merge(keys::router())
        .merge(mesh::router())
        .merge(prices::router())
        .merge(providers::router())
        .merge(quotas::router())
        .merge(routes::router())
        .merge(rule_files::router())
        .merge(settings::router())
        .merge(teams::router())
        .merge(users::router())
        .merge(word_lists::router())
}

/// This description.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "description",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json"))
)]
async fn openapi_json(State(shared): State<Shared>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "application/json")],
        shared.description.to_string(),
    )
}

async fn healthz() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#)
}

#[cfg(test)]
mod tests;

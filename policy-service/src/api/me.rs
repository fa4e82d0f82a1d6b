//! What the bearer of a virtual key may ask, without an admin token.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use policy::key::PREFIX;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::request::Parameters;
use crate::operations::quotas::{self, Presented};
use crate::operations::views::OwnQuotasView;

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(quota))
}

/// Which session and agent, where quotas are counted by them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MeQuery {
    /// A session id, as the client sends it; without one, sessions have no figures.
    #[param(value_type = Option<String>)]
    session: String,
    /// An agent id, as the client sends it; without one, agents have no figures.
    #[param(value_type = Option<String>)]
    agent: String,
}

/// Show what is left to the virtual key that is presented as `Authorization: Bearer`, `x-weir-key` or `x-api-key`.
#[utoipa::path(
    get,
    path = "/api/v1/me/quota",
    tag = "me",
    operation_id = "get_own_quotas",
    params(MeQuery),
    security(("virtual_key" = [])),
    responses((status = 200, body = OwnQuotasView), (status = "default", body = ErrorBody))
)]
async fn quota(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Parameters(query): Parameters<MeQuery>,
) -> Result<Json<OwnQuotasView>, ApiError> {
    let presented = Presented {
        key: virtual_key(&headers),
        session: &query.session,
        agent: &query.agent,
    };
    let found = quotas::own(&shared.store, shared.ledgers()?, presented).await?;
    Ok(Json(found))
}

/// Returns the first credential that looks like a virtual key.
fn virtual_key(headers: &HeaderMap) -> Option<&str> {
    let own = headers.get_all("x-weir-key").iter();
    let usual = headers.get_all(AUTHORIZATION).iter();
    let values = own.chain(usual).chain(headers.get_all("x-api-key").iter());
    values
        .filter_map(|value| value.to_str().ok())
        .map(|text| match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            Some(_) | None => text.trim(),
        })
        .find(|text| text.starts_with(PREFIX))
}

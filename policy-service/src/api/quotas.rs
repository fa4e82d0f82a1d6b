//! Quotas, and how they stand.

use std::str::FromStr;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use policy::check::Problem;
use policy::ids::{KeyId, QuotaId, UserId};
use policy::quota::QuotaDraft;
use policy::units::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::page::{Page, PageQuery};
use super::request::{Fields, Parameters, Parsed, id};
use crate::operations::fields::RaiseFields;
use crate::operations::quotas::{self, QuotaMember};
use crate::operations::schema::quotas::QuotaFields;
use crate::operations::views::{HistoryView, QuotaView, UsageView};
use crate::operations::{Caller, ObjectKind, OperationError};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(usage))
        .routes(routes!(history))
        .routes(routes!(reset))
        .routes(routes!(raise))
}

/// List quotas.
#[utoipa::path(
    get,
    path = "/api/v1/quotas",
    tag = "quotas",
    operation_id = "list_quotas",
    params(PageQuery),
    responses((status = 200, body = Page<QuotaView>), (status = "default", body = ErrorBody))
)]
async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<QuotaView>>, ApiError> {
    let (after, limit) = query.bounds()?;
    let items = match &query.name {
        Some(name) => {
            let found = quotas::named(&shared.store, &caller, name).await?;
            found.into_iter().filter(|it| it.name > after).collect()
        }
        // One more than asked for tells whether there is more.
        None => quotas::list(&shared.store, &caller, &after, limit.saturating_add(1)).await?,
    };
    Ok(Json(Page::of(items, |quota| quota.name.clone(), limit)))
}

/// Add a quota.
#[utoipa::path(
    post,
    path = "/api/v1/quotas",
    tag = "quotas",
    operation_id = "create_quota",
    request_body = QuotaFields,
    responses((status = 201, body = QuotaView), (status = "default", body = ErrorBody))
)]
async fn create(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Fields(fields): Fields<QuotaDraft>,
) -> Result<(StatusCode, Json<QuotaView>), ApiError> {
    let made = quotas::create(&shared.store, &caller, fields).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Show a quota.
#[utoipa::path(
    get,
    path = "/api/v1/quotas/{id}",
    tag = "quotas",
    operation_id = "get_quota",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = QuotaView), (status = "default", body = ErrorBody))
)]
async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<QuotaView>, ApiError> {
    let id = id(ObjectKind::Quota, &name)?;
    Ok(Json(quotas::get(&shared.store, &caller, id).await?))
}

/// Change fields of a quota.
#[utoipa::path(
    patch,
    path = "/api/v1/quotas/{id}",
    tag = "quotas",
    operation_id = "update_quota",
    params(("id" = uuid::Uuid, Path)),
    request_body = QuotaFields,
    responses((status = 200, body = QuotaView), (status = "default", body = ErrorBody))
)]
async fn update(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Fields(fields): Fields<QuotaDraft>,
) -> Result<Json<QuotaView>, ApiError> {
    let id = id(ObjectKind::Quota, &name)?;
    Ok(Json(
        quotas::update(&shared.store, &caller, id, fields).await?,
    ))
}

/// Delete a quota.
#[utoipa::path(
    delete,
    path = "/api/v1/quotas/{id}",
    tag = "quotas",
    operation_id = "delete_quota",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = ErrorBody))
)]
async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(ObjectKind::Quota, &name)?;
    quotas::delete(&shared.store, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Add to the limit of a quota for a time.
#[utoipa::path(
    post,
    path = "/api/v1/quotas/{id}/raises",
    tag = "quotas",
    operation_id = "raise_quota",
    params(("id" = uuid::Uuid, Path)),
    request_body = RaiseFields,
    responses((status = 200, body = QuotaView), (status = "default", body = ErrorBody))
)]
async fn raise(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Fields(fields): Fields<RaiseFields>,
) -> Result<Json<QuotaView>, ApiError> {
    let id = id(ObjectKind::Quota, &name)?;
    Ok(Json(
        quotas::raise(&shared.store, &caller, id, fields).await?,
    ))
}

/// Which part of a quota: nothing for all of it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MemberQuery {
    /// `user:ID` or `key:ID`; needed where each member is counted, and where each session or agent is, for what came
    /// without one.
    #[param(value_type = Option<String>)]
    member: Option<Parsed<Person>>,
    /// A client's session id.
    session: Option<String>,
    /// A client's agent id.
    agent: Option<String>,
    /// The key of the session or agent; left out, what came without a key.
    #[param(value_type = Option<uuid::Uuid>)]
    key: Option<Parsed<KeyId>>,
    /// Windows that began at this time or later; for histories only.
    #[param(value_type = Option<u64>)]
    since_ms: Option<Parsed<u64>>,
}

#[derive(Clone, Copy, Debug)]
enum Person {
    User(UserId),
    Key(KeyId),
}

impl FromStr for Person {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let user = text
            .strip_prefix("user:")
            .and_then(|id| id.parse().ok().map(Self::User));
        let key = text
            .strip_prefix("key:")
            .and_then(|id| id.parse().ok().map(Self::Key));
        user.or(key)
            .ok_or("it is `user:ID` or `key:ID`, each with a UUID")
    }
}

impl MemberQuery {
    fn member(self, takes_since: bool) -> Result<Option<QuotaMember>, ApiError> {
        let refuse = |place: &str, message: &str| ApiError::Query {
            problems: vec![Problem::new(place, message)],
        };
        if self.since_ms.is_some() && !takes_since {
            return Err(refuse("since_ms", "is for histories only"));
        }
        let key = self.key.map(|Parsed(key)| key);
        match (self.member, self.session, self.agent) {
            (None, Some(id), None) => Ok(Some(QuotaMember::Session { key, id })),
            (None, None, Some(id)) => Ok(Some(QuotaMember::Agent { key, id })),
            (_, None, None) if key.is_some() => Err(refuse(
                "key",
                "goes with `session` or `agent`; write `member=key:ID` for a key itself",
            )),
            (Some(Parsed(Person::User(id))), None, None) => Ok(Some(QuotaMember::User(id))),
            (Some(Parsed(Person::Key(id))), None, None) => Ok(Some(QuotaMember::Key(id))),
            (None, None, None) => Ok(None),
            (_, Some(_), _) | (_, _, Some(_)) => Err(refuse(
                "member",
                "give one of `member`, `session` and `agent`",
            )),
        }
    }
}

/// A member that a quota does not count by is a wrong parameter here.
fn of_query(error: OperationError) -> ApiError {
    if let OperationError::Invalid { problems } = error {
        return ApiError::Query { problems };
    }
    error.into()
}

/// Show how much of a quota is used and held, and what is left.
#[utoipa::path(
    get,
    path = "/api/v1/quotas/{id}/usage",
    tag = "quotas",
    operation_id = "get_quota_usage",
    params(("id" = uuid::Uuid, Path), MemberQuery),
    responses((status = 200, body = UsageView), (status = "default", body = ErrorBody))
)]
async fn usage(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Parameters(query): Parameters<MemberQuery>,
) -> Result<Json<UsageView>, ApiError> {
    let id: QuotaId = id(ObjectKind::Quota, &name)?;
    let member = query.member(false)?;
    let found = quotas::usage(
        &shared.store,
        shared.ledgers()?,
        &caller,
        id,
        member.as_ref(),
    );
    found.await.map(Json).map_err(of_query)
}

/// Show what was used of a quota, window by window.
#[utoipa::path(
    get,
    path = "/api/v1/quotas/{id}/history",
    tag = "quotas",
    operation_id = "get_quota_history",
    params(("id" = uuid::Uuid, Path), MemberQuery),
    responses((status = 200, body = HistoryView), (status = "default", body = ErrorBody))
)]
async fn history(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Parameters(query): Parameters<MemberQuery>,
) -> Result<Json<HistoryView>, ApiError> {
    let id: QuotaId = id(ObjectKind::Quota, &name)?;
    let since = query.since_ms.map_or(0, |Parsed(since)| since);
    let member = query.member(true)?;
    let found = quotas::history(
        &shared.store,
        shared.ledgers()?,
        &caller,
        id,
        member.as_ref(),
        Timestamp::from_millis(since),
    );
    found.await.map(Json).map_err(of_query)
}

/// Clear what was used in the present window of a quota.
#[utoipa::path(
    post,
    path = "/api/v1/quotas/{id}/reset",
    tag = "quotas",
    operation_id = "reset_quota",
    params(("id" = uuid::Uuid, Path), MemberQuery),
    responses((status = 200, body = UsageView), (status = "default", body = ErrorBody))
)]
async fn reset(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Parameters(query): Parameters<MemberQuery>,
) -> Result<Json<UsageView>, ApiError> {
    let id: QuotaId = id(ObjectKind::Quota, &name)?;
    let member = query.member(false)?;
    let done = quotas::reset(
        &shared.store,
        shared.ledgers()?,
        &caller,
        id,
        member.as_ref(),
    );
    done.await.map(Json).map_err(of_query)
}

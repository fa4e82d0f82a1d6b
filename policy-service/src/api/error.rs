//! From errors to what a caller sees: one table from error to status and code.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use policy::check::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::operations::{ObjectKind, OperationError};

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// The body is not what the address takes.
    #[error("the body holds wrong fields")]
    Body { problems: Vec<Problem> },
    /// The query is not what the address takes.
    #[error("the query holds wrong parameters")]
    Query { problems: Vec<Problem> },
    #[error("the body must be `application/json`")]
    NotJson,
    #[error("the body is too large")]
    BodyTooLarge,
    #[error("the body could not be read")]
    BodyUnreadable { source: axum::Error },
    #[error("there is nothing at this path")]
    NoSuchPath,
    #[error("the path does not take this method")]
    MethodNotAllowed,
}

/// A row of the table: what a caller sees of an error.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) problems: Vec<Problem>,
}

/// A refusal, with what only the log may know.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) refusal: Refusal,
    pub(super) error: Arc<ApiError>,
}

/// The body of a refusal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// Stable, in snake_case.
    pub(super) code: String,
    pub(super) message: String,
    /// Names the request in the service's log and in the audit log; also in the header `x-request-id`.
    pub(super) request_id: String,
    /// Everything that is wrong, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<ProblemView>>)]
    pub(super) problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "the shape of the policy crate's type, for the description only"
)]
pub(super) struct ProblemView {
    /// As in `access.providers[0].models`; empty for the whole.
    path: String,
    /// What is wrong and what to do about it.
    message: String,
}

impl ApiError {
    fn refusal(&self) -> Refusal {
        let refusal = |status, code: &str, message: String| Refusal {
            status,
            code: code.to_owned(),
            message,
            problems: Vec::new(),
        };
        match self {
            Self::Operation(error) => of_operation(error),
            Self::Body { problems } => Refusal {
                problems: problems.clone(),
                ..refusal(StatusCode::BAD_REQUEST, "invalid_fields", listed(problems))
            },
            Self::Query { problems } => Refusal {
                problems: problems.clone(),
                ..refusal(StatusCode::BAD_REQUEST, "invalid_query", listed(problems))
            },
            Self::NotJson => refusal(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                self.to_string(),
            ),
            Self::BodyTooLarge => refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                self.to_string(),
            ),
            Self::BodyUnreadable { .. } => {
                refusal(StatusCode::BAD_REQUEST, "body_unreadable", self.to_string())
            }
            Self::NoSuchPath => refusal(StatusCode::NOT_FOUND, "path_not_found", self.to_string()),
            Self::MethodNotAllowed => refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                self.to_string(),
            ),
        }
    }
}

fn of_operation(error: &OperationError) -> Refusal {
    let (status, code) = match error {
        OperationError::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        OperationError::Key(refusal) => (StatusCode::UNAUTHORIZED, refusal.code()),
        OperationError::Forbidden { .. } => (StatusCode::FORBIDDEN, "forbidden"),
        OperationError::NotFound { kind, .. } => (StatusCode::NOT_FOUND, not_found_code(*kind)),
        OperationError::NameTaken { .. } => (StatusCode::CONFLICT, "name_taken"),
        OperationError::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_fields"),
        OperationError::Referenced { .. } => (StatusCode::CONFLICT, "still_referenced"),
        OperationError::WrongState { .. } => (StatusCode::CONFLICT, "wrong_state"),
        OperationError::Store(error) if error.is_transient() => {
            (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
        }
        OperationError::Ledger(error) if error.is_transient() => {
            (StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable")
        }
        OperationError::Store(_)
        | OperationError::Ledger(_)
        | OperationError::Window(_)
        | OperationError::Randomness { .. }
        | OperationError::Summary { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    };
    let problems = match error {
        OperationError::Invalid { problems } | OperationError::Referenced { problems, .. } => {
            problems.clone()
        }
        OperationError::Unauthenticated
        | OperationError::Key(_)
        | OperationError::Ledger(_)
        | OperationError::Window(_)
        | OperationError::Forbidden { .. }
        | OperationError::NotFound { .. }
        | OperationError::NameTaken { .. }
        | OperationError::WrongState { .. }
        | OperationError::Store(_)
        | OperationError::Randomness { .. }
        | OperationError::Summary { .. } => Vec::new(),
    };
    let message = if status == StatusCode::SERVICE_UNAVAILABLE {
        "the database is not available; try again".to_owned()
    } else if status.is_server_error() {
        "the service failed; its log names the request".to_owned()
    } else {
        error.to_string()
    };
    Refusal {
        status,
        code: code.to_owned(),
        message,
        problems,
    }
}

const fn not_found_code(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::AdminToken => "admin_token_not_found",
        ObjectKind::Customer => "customer_not_found",
        ObjectKind::Exchange => "exchange_not_found",
        ObjectKind::Guardrail => "guardrail_not_found",
        ObjectKind::Key => "key_not_found",
        ObjectKind::Price => "price_not_found",
        ObjectKind::Provider => "provider_not_found",
        ObjectKind::ProviderKey => "provider_key_not_found",
        ObjectKind::Quota => "quota_not_found",
        ObjectKind::Route => "route_not_found",
        ObjectKind::RuleFile => "rule_file_not_found",
        ObjectKind::Settings => "settings_not_found",
        ObjectKind::Team => "team_not_found",
        ObjectKind::User => "user_not_found",
        ObjectKind::WordList => "word_list_not_found",
    }
}

fn listed(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(Problem::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

impl IntoResponse for ApiError {
    /// Leaves the body to the outer layer, which knows the request's id.
    fn into_response(self) -> Response {
        let refusal = self.refusal();
        let mut response = refusal.status.into_response();
        response.extensions_mut().insert(Failure {
            refusal,
            error: Arc::new(self),
        });
        response
    }
}

//! What stands before every handler: the admin token; and around it: the request's id, the body of a refusal,
//! the log.

use std::error::Error;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tracing::{debug, error};
use uuid::Uuid;

use super::error::{ApiError, ErrorBody, Failure, Refusal};
use crate::operations::{self, OperationError};
use crate::store::Store;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request.
#[derive(Clone, Debug)]
struct RequestId(String);

/// Puts the outer layer around `router`.
pub(super) fn layered(router: Router) -> Router {
    router.layer(from_fn(outer))
}

/// Lets only requests with an admin token through; handlers find the caller in the request's extensions.
pub(super) async fn authenticate(
    State(store): State<Store>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let token = bearer(request.headers()).ok_or(OperationError::Unauthenticated)?;
    let caller = operations::authenticate(&store, token).await?;
    let caller = match request.extensions().get::<RequestId>() {
        Some(id) => caller.with_request_id(id.0.clone()),
        None => caller,
    };
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Returns the one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(super) async fn no_such_path() -> ApiError {
    ApiError::NoSuchPath
}

pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}

async fn outer(mut request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().to_string();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    request.extensions_mut().insert(RequestId(id.clone()));
    let response = next.run(request).await;
    let mut response = refused(response, &id, &method, &path);
    debug!(request_id = %id, %method, path, status = response.status().as_u16(), "admin request");
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    // Answers hold secrets that are shown once.
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Writes the body of a refusal.
fn refused(mut response: Response, id: &str, method: &Method, path: &str) -> Response {
    let failure = response.extensions_mut().remove::<Failure>();
    let status = response.status();
    let refusal = match failure {
        Some(Failure { refusal, error }) => {
            if refusal.status.is_server_error() {
                error!(request_id = %id, %method, path, error = %chain(error.as_ref()), "admin request failed");
            }
            refusal
        }
        // The framework's own refusals, of paths that are not UTF-8 and the like.
        None if is_plain(&response) => Refusal {
            status,
            code: "bad_request".to_owned(),
            message: "the request is malformed".to_owned(),
            problems: Vec::new(),
        },
        None => return response,
    };
    let body = ErrorBody {
        code: refusal.code,
        message: refusal.message,
        request_id: id.to_owned(),
        problems: refusal.problems,
    };
    let mut written = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
    *written.status_mut() = refusal.status;
    let headers = written.headers_mut();
    if let Some(allow) = response.headers().get("allow") {
        headers.insert("allow", allow.clone());
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if refusal.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    written
}

fn is_plain(response: &Response) -> bool {
    let is_json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
    response.status().is_client_error()
        && !response.headers().get(CONTENT_TYPE).is_some_and(is_json)
}

/// An error and what caused it, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

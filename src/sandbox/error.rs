//! Error responses of Genesys Cloud, and JSON replies.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// An error response of the API, with the platform's code and message.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// The Retry-After header in seconds.
    retry_after: Option<u64>,
}

/// The body of every error response.
#[derive(Serialize)]
struct Envelope<'a> {
    message: &'a str,
    code: &'a str,
    status: u16,
    #[serde(rename = "contextId")]
    context_id: &'a str,
    details: [(); 0],
    errors: [(); 0],
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    /// A query that is malformed or asks for something unknown.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad.request", message)
    }

    pub(super) fn unauthenticated() -> Self {
        let message = "No authentication bearer token specified in authorization header.";
        Self::new(StatusCode::UNAUTHORIZED, "authentication.required", message)
    }

    pub(super) fn bad_credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "bad.credentials", "Invalid login credentials.")
    }

    pub(super) fn missing_permission(permission: &str) -> Self {
        let message = format!(
            "Unable to perform the requested action. You are missing the following permission(s): {permission}"
        );
        Self::new(StatusCode::FORBIDDEN, "missing.permissions", message)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not.found", "The requested resource could not be found.")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method.not.allowed",
            "HTTP 405 Method Not Allowed",
        )
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("The request is over the size limit. Maximum bytes: {limit}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request.entity.too.large", message)
    }

    pub(super) fn too_many_requests(seconds: u64) -> Self {
        let message =
            format!("Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds");
        let error =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "too.many.requests.retry.after", message);
        Self { retry_after: Some(seconds), ..error }
    }

    pub(super) fn internal() -> Self {
        let message = "The server encountered an unexpected condition which prevented it from fulfilling the request.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal.server.error", message)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The reply; `context` is the correlation id of the request.
    pub(super) fn reply(&self, context: &str) -> Response<Bytes> {
        let envelope = Envelope {
            message: &self.message,
            code: self.code,
            status: self.status.as_u16(),
            context_id: context,
            details: [],
            errors: [],
        };
        let mut reply = json(self.status, &envelope);
        if let Some(seconds) = self.retry_after {
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        reply
    }
}

/// A reply with a small JSON body.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    // structs, maps with string keys and values: none of them fails to serialize
    reply(status, serde_json::to_vec(body).unwrap_or_default().into())
}

/// A reply whose body is JSON.
pub(super) fn reply(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

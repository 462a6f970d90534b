//! What the log says of one request: each attempt with the platform's correlation id, and the
//! outcome. All its lines have the field `request` of their span, so that the whole of it is found
//! by any of its correlation ids.

use bytes::Bytes;
use http::Response;

use crate::{
    catalog::ApiRequest,
    fetch::FetchError,
    http::{
        dialect::Dialect,
        error::{self, RequestError},
        retry::{Attempt, Decision},
    },
    server_text::ServerText,
};

/// The path and query of a request for people. The address of a result grants access to it, like a
/// token.
pub(super) fn shown_path(call: &ApiRequest) -> ServerText {
    if call.anonymous { "(result)".into() } else { ServerText::from(&*call.target) }
}

/// Logs that the platform answered an attempt, whatever it answered.
pub(super) fn answered(call: &ApiRequest, response: &Response<Bytes>, dialect: &Dialect) {
    let header = dialect.correlation_id.and_then(|name| error::header(response.headers(), name));
    tracing::debug!(
        path = %shown_path(call),
        status = response.status().as_u16(),
        correlation_id = header.map(|id| ServerText::from(id).to_string()),
        "answered"
    );
}

/// Logs that an attempt failed, and what is done about it.
pub(super) fn failed(attempt: u32, error: &RequestError, counts: Attempt, decision: &Decision) {
    let correlation_id = Some(error.correlation()).filter(|id| !id.is_empty());
    tracing::debug!(attempt, correlation_id, %error, ?decision, ?counts, "the attempt failed");
}

/// Logs how a request ended after this many attempts. Why is in the line of the last attempt.
pub(super) fn ended<T>(call: &ApiRequest, attempts: u32, result: &Result<T, FetchError>) {
    let outcome = match result {
        Ok(_) => "succeeded",
        Err(FetchError::Run(_)) => "ended with the run",
        Err(FetchError::Shard(_)) => "failed",
    };
    tracing::debug!(path = %shown_path(call), attempts, outcome, "the request ended");
}

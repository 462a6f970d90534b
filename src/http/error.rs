//! What can go wrong with one request.
//!
//! A [`RequestError`] says what happened and decides nothing: `retry` decides, `fetch` acts.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value};

use crate::{
    http::{
        dialect::{Dialect, ErrorKind},
        rate_limit,
        retry_after::retry_after,
    },
    server_text::ServerText,
};

/// Why one attempt gave no page.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// There was a connection, but no complete response within `fetch.timeout`.
    #[error("no response within {0:?}")]
    Timeout(Duration),
    /// There was no connection within `fetch.connect_timeout`, or it was refused, reset or closed
    /// early.
    #[error("the connection failed: {0}")]
    Network(ServerText),
    /// There will be no connection until a person mends something: the certificate is not accepted,
    /// or the proxy requires credentials.
    #[error("there is no connection: {0}")]
    NoConnection(ServerText),
    /// The body is larger than `fetch.max_body`, in bytes.
    #[error("the response is larger than fetch.max_body ({0} bytes)")]
    TooLarge(u64),
    /// The status is a success, but the body is not what it should be.
    #[error("the response cannot be read: {0}")]
    Malformed(ServerText),
    /// The status is a success, but the page cannot be taken apart into its rows, so that fewer
    /// rows may be readable.
    #[error("the response cannot be read: {0}")]
    Unreadable(ServerText),
    /// Pagination does not end, or the next page is on another host.
    #[error("pagination failed: {0}")]
    Pagination(ServerText),
    /// An asynchronous job failed repeatedly.
    #[error("the job failed: {0}")]
    AsyncJob(ServerText),
    /// The platform does not have the data yet.
    #[error("{0}")]
    NotYet(ServerText),
    /// The rows have a field that has no column, and `output.on_new_field` is `fail`.
    #[error("{0}")]
    NewField(ServerText),
    /// The server answered with an error status.
    #[error("{0}")]
    Refused(ErrorResponse),
    /// There is no token to send the request with.
    #[error("{0}")]
    Token(TokenError),
}

/// A response with an error status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorResponse {
    /// The HTTP status.
    pub status: StatusCode,
    /// What the response means on this platform.
    pub kind: ErrorKind,
    /// The platform's error code, such as `bad.credentials`; empty if it sent none.
    pub code: ServerText,
    /// The platform's message; empty if it sent none.
    pub message: ServerText,
    /// `Retry-After`. `None` if it is missing or neither a time nor a date.
    pub retry_after: Option<Duration>,
    /// Whether the rate-limit window of the credential is full. `None` if the response does not
    /// say.
    pub window_is_full: Option<bool>,
    /// The platform's id of the request, for its support; empty if it sent none.
    pub correlation: ServerText,
}

/// Why there is no access token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token from {endpoint}: {reason}")]
pub struct TokenError {
    /// The token endpoint.
    pub endpoint: String,
    /// What it answered, or why it did not answer.
    pub reason: ServerText,
    /// Whether the same credentials will fail again.
    pub permanent: bool,
    /// Whether there is no connection to the endpoint until a person mends something. Such an error
    /// is permanent, too.
    pub no_connection: bool,
    /// How long to wait before the next token request.
    pub wait: Duration,
    /// What the user can do about a permanent error; empty if there is only the usual advice.
    pub advice: &'static str,
}

impl ErrorResponse {
    /// Reads a response with an error status.
    pub(crate) fn read(response: &Response<Bytes>, dialect: &Dialect) -> Self {
        // the field names of all platforms and of OAuth; a body that is not an object has none of
        // them
        let body: Map<String, Value> = serde_json::from_slice(response.body()).unwrap_or_default();
        // some servers put the fields into an object of this name
        let inner = body.get("error").and_then(Value::as_object);
        let text = |key: &&str| {
            let value = body.get(*key).filter(|value| value.is_string());
            let value = value.or_else(|| inner?.get(*key)).and_then(Value::as_str);
            value.filter(|text| !text.is_empty())
        };
        let first = |keys: &[&str]| keys.iter().find_map(text);
        let headers = response.headers();
        let header_text = |name: Option<&str>| name.and_then(|name| header(headers, name));
        let status = response.status();
        let code = first(&["code", "error"]).map(ServerText::from).unwrap_or_default();
        let message = first(&["message", "error_description", "description", "errorDescription"])
            .or_else(|| header_text(dialect.error_reason))
            .map(ServerText::from)
            .unwrap_or_default();
        let retry_after = retry_after(headers);
        let correlation = header_text(dialect.correlation_id).unwrap_or_default().into();
        let kind = dialect.classify(status, retry_after.is_some(), &code, &message);
        let window_is_full = rate_limit::window_is_full(status, headers, dialect);
        Self { status, kind, code, message, retry_after, window_is_full, correlation }
    }

    /// The response as one to a request for `path`, which may have a query.
    pub(crate) fn of_path(self, path: &str, dialect: &Dialect) -> Self {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let is_plain = self.kind == ErrorKind::Other && self.status == StatusCode::FORBIDDEN;
        match is_plain && dialect.busy_paths.contains(&path) {
            true => Self { kind: ErrorKind::BusyOrForbidden, ..self },
            false => self,
        }
    }

    /// Whether the server says to slow down.
    pub(crate) fn is_throttle(&self) -> bool {
        self.kind == ErrorKind::Throttle
    }
}

impl fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status.as_u16())?;
        for part in [&self.code, &self.message].into_iter().filter(|part| !part.is_empty()) {
            write!(f, ": {part}")?;
        }
        if let Some(pause) = self.retry_after {
            write!(f, "; it asks to wait {} s", pause.as_secs_f64().ceil())?;
        }
        if !self.correlation.is_empty() {
            write!(f, " (correlation id {})", self.correlation)?;
        }
        Ok(())
    }
}

impl RequestError {
    /// What to check if the credentials are the cause.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Token(error) if !error.advice.is_empty() => error.advice,
            _ => "check auth.client_id, auth.client_secret and source.region",
        }
    }

    /// The kind of the error in one word, for metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Network(_) | Self::NoConnection(_) => "connection",
            Self::TooLarge(_) => "too_large",
            Self::Malformed(_) | Self::Unreadable(_) => "unreadable",
            Self::Pagination(_) => "pagination",
            Self::AsyncJob(_) => "job",
            Self::NotYet(_) => "not_yet",
            Self::NewField(_) => "new_field",
            Self::Token(_) => "token",
            Self::Refused(response) if response.is_throttle() => "throttled",
            Self::Refused(response) if response.status == StatusCode::UNAUTHORIZED => {
                "unauthorized"
            }
            Self::Refused(response) if response.status.is_server_error() => "server_error",
            Self::Refused(_) => "refused",
        }
    }

    /// Whether the server may have carried the request out, although no response could be read.
    pub(crate) fn may_have_been_answered(&self) -> bool {
        matches!(
            self,
            Self::Timeout(_) | Self::Network(_) | Self::Malformed(_) | Self::Unreadable(_)
        )
    }

    /// Whether an outage of the network or of the whole platform would explain the error, too.
    pub(crate) fn may_be_outage(&self) -> bool {
        match self {
            Self::Network(_) | Self::Timeout(_) => true,
            Self::Refused(response) => response.status.is_server_error() && !response.is_throttle(),
            Self::Token(error) => !error.permanent,
            _ => false,
        }
    }

    /// Whether the error shows that the API answers.
    pub(crate) fn is_answer(&self) -> bool {
        let is_answer = matches!(
            self,
            Self::Refused(_) | Self::Malformed(_) | Self::Unreadable(_) | Self::TooLarge(_)
        );
        is_answer && !self.may_be_outage()
    }

    /// Whether the server says to slow down.
    pub(crate) fn is_throttle(&self) -> bool {
        matches!(self, Self::Refused(response) if response.is_throttle())
    }

    /// Whether the requested object no longer exists.
    pub(crate) fn is_not_found(&self) -> bool {
        let statuses = [StatusCode::NOT_FOUND, StatusCode::GONE];
        matches!(self, Self::Refused(response) if statuses.contains(&response.status))
    }

    /// Whether the platform did not accept the token.
    pub(crate) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Refused(response) if response.status == StatusCode::UNAUTHORIZED)
    }

    /// Whether the platform refused the request itself, and so has taken its token: a query that is
    /// not valid, or something that is not there.
    pub(crate) fn is_answer_to_caller(&self) -> bool {
        let answers = [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::GONE];
        matches!(self, Self::Refused(response) if answers.contains(&response.status))
    }

    /// The platform's id of the failed request; empty if there is none.
    pub(crate) fn correlation(&self) -> &str {
        match self {
            Self::Refused(response) => &response.correlation,
            _ => "",
        }
    }
}

/// The value of a header. `None` if the header is missing or not text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: Dialect = Dialect {
        correlation_id: Some("x-correlation-id"),
        error_reason: Some("x-error-reason"),
        ..Dialect::STANDARD
    };

    fn read(status: u16, body: &'static str) -> ErrorResponse {
        let response = Response::builder()
            .status(status)
            .header("Retry-After", "42")
            .header("X-Correlation-Id", "c-1");
        ErrorResponse::read(&response.body(Bytes::from_static(body.as_bytes())).unwrap(), &DIALECT)
    }

    #[test]
    fn error_bodies_of_every_platform_are_read() {
        let genesys = read(
            429,
            r#"{"message":"Rate limit exceeded","code":"too.many.requests.retry.after"}"#,
        );
        assert_eq!(
            (&*genesys.code, genesys.retry_after),
            ("too.many.requests.retry.after", Some(Duration::from_secs(42)))
        );
        let oauth = read(400, r#"{"error":"invalid_client","description":"client not found"}"#);
        assert_eq!((&*oauth.code, &*oauth.message), ("invalid_client", "client not found"));
        let cxone = read(403, r#"{"error":"forbidden","errorDescription":"role"}"#);
        assert_eq!(
            cxone.to_string(),
            "the server answered 403: forbidden: role; it asks to wait 42 s (correlation id c-1)"
        );
    }

    #[test]
    fn the_reason_header_is_used_if_the_body_has_no_message() {
        let read = |body: &'static str| {
            let response =
                Response::builder().status(400).header("X-Error-Reason", "startDate is too old");
            let response = response.body(Bytes::from_static(body.as_bytes())).unwrap();
            ErrorResponse::read(&response, &DIALECT).to_string()
        };
        assert_eq!(read(""), "the server answered 400: startDate is too old");
        assert_eq!(
            read(r#"{"message":"from the body"}"#),
            "the server answered 400: from the body"
        );
    }

    #[test]
    fn a_403_may_mean_slow_down_where_the_platform_is_known_to_answer_so() {
        let dialect = Dialect { busy_paths: &["/jobs"], ..Dialect::STANDARD };
        for (status, path, expected) in [
            (403, "/jobs", ErrorKind::BusyOrForbidden),
            (403, "/jobs?page=1", ErrorKind::BusyOrForbidden),
            (403, "/jobs/7", ErrorKind::Other),
            (401, "/jobs", ErrorKind::Other),
        ] {
            let response = Response::builder().status(status).body(Bytes::new()).unwrap();
            let error = ErrorResponse::read(&response, &dialect).of_path(path, &dialect);
            assert_eq!(error.kind, expected, "{status} {path}");
        }
    }

    #[test]
    fn a_field_of_an_unexpected_type_does_not_hide_the_message() {
        let response = read(400, r#"{"code":null,"message":"too wide","error":{"id":7}}"#);
        assert_eq!((&*response.code, &*response.message), ("", "too wide"));
    }

    #[test]
    fn a_body_that_is_not_json_still_gives_an_error() {
        assert_eq!(
            read(502, "<html>").to_string(),
            "the server answered 502; it asks to wait 42 s (correlation id c-1)"
        );
    }
}

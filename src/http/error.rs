//! What can go wrong with one request.
//!
//! A [`RequestError`] says what happened and decides nothing: `retry` reads it and decides, `fetch` acts.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header::RETRY_AFTER};
use serde_json::{Map, Value};

/// One attempt that gave no page.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// No whole reply within `fetch.timeout`.
    #[error("no reply within {0:?}")]
    Timeout(Duration),
    /// The connection failed: refused, reset, closed early, TLS.
    #[error("the connection failed: {0}")]
    Network(String),
    /// The body grew past `fetch.max_body`, in bytes.
    #[error("the reply is larger than fetch.max_body ({0} bytes)")]
    TooLarge(u64),
    /// A reply of success whose body is not what it should be.
    #[error("the reply cannot be read: {0}")]
    Malformed(String),
    /// Pages that follow on each other without an end, or to another host.
    #[error("the pages lead nowhere: {0}")]
    Pagination(String),
    /// What was submitted came to nothing, time and again.
    #[error("the job came to nothing: {0}")]
    AsyncJob(String),
    /// The platform has no data for it yet.
    #[error("{0}")]
    NotYet(String),
    /// The server answered, and not with success.
    #[error("{0}")]
    Refused(ErrorResponse),
    /// There is no token to send the request with.
    #[error("{0}")]
    Login(TokenError),
}

/// A reply of another status than success, in the words of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorResponse {
    /// The HTTP status.
    pub status: StatusCode,
    /// The platform's code, like `bad.credentials`; empty if it gave none.
    pub code: String,
    /// The platform's message, cut to a line.
    pub message: String,
    /// `Retry-After`, where it is given in seconds.
    pub retry_after: Option<Duration>,
    /// The id that the platform's support asks for; empty if it gave none.
    pub correlation: String,
}

/// Why the token endpoint gave no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token from {endpoint}: {reason}")]
pub struct TokenError {
    /// The token endpoint.
    pub endpoint: String,
    /// What it answered, or why it did not.
    pub reason: String,
    /// Whether asking again with the same credentials is pointless.
    pub permanent: bool,
    /// How long to leave the endpoint alone.
    pub wait: Duration,
    /// What to do about a permanent one; empty where nothing but the usual is to be done.
    pub advice: &'static str,
}

impl ErrorResponse {
    /// Reads a reply that is not a success.
    pub fn read(reply: &Response<Bytes>) -> Self {
        // those of both platforms and of OAuth; whatever else stands in it is no reason to lose the rest
        let envelope: Map<String, Value> = serde_json::from_slice(reply.body()).unwrap_or_default();
        let said =
            |key: &&str| envelope.get(*key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let first = |keys: &[&str]| keys.iter().find_map(said);
        // CXone says there why a request is a bad one, and its body is empty
        let status = header(reply.headers(), "icStatusDescription");
        Self {
            status: reply.status(),
            code: first(&["code", "error"]).map(one_line).unwrap_or_default(),
            message: first(&["message", "error_description", "description", "errorDescription"])
                .or(status)
                .map(one_line)
                .unwrap_or_default(),
            retry_after: header(reply.headers(), RETRY_AFTER.as_str())
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
            correlation: header(reply.headers(), "inin-correlation-id")
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

impl ErrorResponse {
    /// Whether it says to slow down: NICE CXone says so by 503, too.
    pub fn is_throttle(&self) -> bool {
        matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status.as_u16())?;
        for part in [&self.code, &self.message].into_iter().filter(|part| !part.is_empty()) {
            write!(f, ": {part}")?;
        }
        if !self.correlation.is_empty() {
            write!(f, " (correlation id {})", self.correlation)?;
        }
        Ok(())
    }
}

impl RequestError {
    /// What to check where the credentials are at fault.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Login(login) if !login.advice.is_empty() => login.advice,
            _ => "check auth.client_id, auth.client_secret and source.region",
        }
    }

    /// Whether it says that something is no longer there.
    pub fn is_not_found(&self) -> bool {
        let gone = [StatusCode::NOT_FOUND, StatusCode::GONE];
        matches!(self, Self::Refused(refusal) if gone.contains(&refusal.status))
    }

    /// The platform's id of the failed request, where there is one: its support asks for it.
    pub fn correlation(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.correlation,
            _ => "",
        }
    }
}

/// A header's text; none if it is missing or not text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The first line of a foreign text, of a length that fits a log.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &'static str) -> ErrorResponse {
        let reply = Response::builder()
            .status(status)
            .header("Retry-After", "42")
            .header("ININ-Correlation-Id", "c-1");
        ErrorResponse::read(&reply.body(Bytes::from_static(body.as_bytes())).unwrap())
    }

    #[test]
    fn every_platforms_error_body_is_read() {
        let genesys = refusal(
            429,
            r#"{"message":"Rate limit exceeded","code":"too.many.requests.retry.after"}"#,
        );
        assert_eq!(
            (genesys.code.as_str(), genesys.retry_after),
            ("too.many.requests.retry.after", Some(Duration::from_secs(42)))
        );
        let oauth = refusal(400, r#"{"error":"invalid_client","description":"client not found"}"#);
        assert_eq!(
            (oauth.code.as_str(), oauth.message.as_str()),
            ("invalid_client", "client not found")
        );
        let cxone = refusal(403, r#"{"error":"forbidden","errorDescription":"role"}"#);
        assert_eq!(
            cxone.to_string(),
            "the server answered 403: forbidden: role (correlation id c-1)"
        );
    }

    #[test]
    fn a_reason_that_stands_in_a_header_is_told_where_the_body_has_none() {
        let refusal = |body: &'static str| {
            let reply = Response::builder()
                .status(400)
                .header("icStatusDescription", "startDate is too old");
            ErrorResponse::read(&reply.body(Bytes::from_static(body.as_bytes())).unwrap())
                .to_string()
        };
        assert_eq!(refusal(""), "the server answered 400: startDate is too old");
        assert_eq!(
            refusal(r#"{"message":"from the body"}"#),
            "the server answered 400: from the body"
        );
    }

    #[test]
    fn a_field_of_another_kind_does_not_cost_the_message() {
        let odd = refusal(400, r#"{"code":null,"message":"too wide","error":{"id":7}}"#);
        assert_eq!((odd.code.as_str(), odd.message.as_str()), ("", "too wide"));
    }

    #[test]
    fn a_body_that_is_no_json_still_makes_a_message() {
        assert_eq!(
            refusal(502, "<html>").to_string(),
            "the server answered 502 (correlation id c-1)"
        );
    }
}

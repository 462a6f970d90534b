//! The answer of the token endpoint.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use crate::{
    auth::{dialect::TokenDialect, token_request::protect_token},
    http::error::{ErrorResponse, RequestError, TokenError},
};

/// OAuth errors that the same request will give again (RFC 6749, section 5.2).
const PERMANENT: [&str; 4] =
    ["invalid_client", "unauthorized_client", "invalid_grant", "unsupported_grant_type"];
/// The longest lifetime that is believed, in seconds. A longer one counts as not stated.
const LONGEST_LIFETIME: f64 = 10.0 * 365.0 * 86_400.0;

/// A token as the server issued it.
#[derive(Debug, Clone)]
pub struct TokenResponse {
    /// The token.
    pub secret: SecretString,
    /// How long it is valid. `None` if the server did not say.
    pub lifetime: Option<Duration>,
    /// The refresh token. `None` if the server sent none.
    pub refresh: Option<SecretString>,
    /// The id token of an OpenID provider. `None` if the server sent none.
    pub id_token: Option<SecretString>,
}

impl TokenResponse {
    /// Hides the tokens in all texts of servers.
    pub(crate) fn protect(&self) {
        let others = [&self.refresh, &self.id_token].into_iter().flatten();
        for token in others.chain([&self.secret]) {
            protect_token(token);
        }
    }
}

/// Reads the answer of the token endpoint.
///
/// # Errors
/// A [`TokenError`], which is permanent if the credentials are wrong and transient otherwise.
pub(crate) fn read(
    endpoint: &Url,
    response: &Response<Bytes>,
    dialect: &TokenDialect,
) -> Result<TokenResponse, TokenError> {
    if !response.status().is_success() {
        let response = ErrorResponse::read(response, &dialect.http);
        let permanent = is_permanent(&response);
        return Err(token_error(endpoint, response.to_string(), permanent));
    }
    parse(response.body(), dialect)
        // the parser's message may quote the body, which holds the token
        .ok_or_else(|| token_error(endpoint, "the response is not a token".to_owned(), false))
}

/// The error for a token request that got no response.
pub(crate) fn no_response(endpoint: &Url, cause: &RequestError) -> TokenError {
    let no_connection = matches!(cause, RequestError::NoConnection(_));
    TokenError { no_connection, ..token_error(endpoint, cause.to_string(), no_connection) }
}

/// A permanent error: `advice` says what the user can do.
pub(crate) fn permanent(
    endpoint: &Url,
    reason: impl Into<String>,
    advice: &'static str,
) -> TokenError {
    TokenError { advice, ..token_error(endpoint, reason.into(), true) }
}

fn token_error(endpoint: &Url, reason: String, permanent: bool) -> TokenError {
    TokenError {
        endpoint: endpoint.to_string(),
        reason: reason.into(),
        permanent,
        no_connection: false,
        wait: Duration::ZERO,
        advice: "",
    }
}

fn is_permanent(response: &ErrorResponse) -> bool {
    let is_transient = response.is_throttle() || response.status == StatusCode::REQUEST_TIMEOUT;
    PERMANENT.contains(&&*response.code) || (response.status.is_client_error() && !is_transient)
}

/// The token of a response body. `None` if there is none in it.
fn parse(body: &[u8], dialect: &TokenDialect) -> Option<TokenResponse> {
    let body: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let field = |names: &[&str]| names.iter().find_map(|name| body.get(*name));
    let text = |names: &[&str]| field(names).and_then(Value::as_str).map(SecretString::from);
    let seconds = match field(dialect.lifetime_fields) {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let lifetime = seconds
        .filter(|&seconds| seconds > 0.0 && seconds <= LONGEST_LIFETIME)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let refresh = text(dialect.refresh_token_fields)
        .filter(|token| !secrecy::ExposeSecret::expose_secret(token).is_empty());
    Some(TokenResponse {
        secret: text(dialect.access_token_fields)?,
        lifetime,
        refresh,
        id_token: text(&["id_token"]),
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::platform::TOKEN_DIALECT;

    fn response(status: u16, body: &str) -> Result<TokenResponse, TokenError> {
        let endpoint = "https://login.example.com/oauth/token".parse().unwrap();
        let response =
            Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap();
        read(&endpoint, &response, &TOKEN_DIALECT)
    }

    #[test]
    fn a_lifetime_may_be_a_number_a_text_missing_zero_or_absurd() {
        let lifetime = |field: &str| {
            response(200, &format!(r#"{{"access_token":"t"{field}}}"#)).unwrap().lifetime
        };
        assert_eq!(lifetime(r#","expires_in":86399"#), Some(Duration::from_secs(86_399)));
        assert_eq!(lifetime(r#","expires_in":" 60 ""#), Some(Duration::from_secs(60)));
        assert_eq!(lifetime(""), None);
        for absurd in ["0", "-5", "1e300", "1e18", "null", "\"soon\"", "\"NaN\""] {
            assert_eq!(lifetime(&format!(r#","expires_in":{absurd}"#)), None, "{absurd}");
        }
    }

    #[test]
    fn the_field_names_of_every_platform_are_read() {
        let cxone = r#"{"token":"t","tokenExpirationTimeSec":"3600","refreshToken":"r"}"#;
        for body in [cxone, r#"{"access_token":"t","expires_in":3600,"refresh_token":"r"}"#] {
            let token = response(200, body).unwrap();
            assert_eq!(
                (token.secret.expose_secret(), token.lifetime),
                ("t", Some(Duration::from_secs(3_600)))
            );
            assert_eq!(token.refresh.unwrap().expose_secret(), "r");
        }
        let empty = r#"{"access_token":"t","refresh_token":""}"#;
        assert!(response(200, empty).unwrap().refresh.is_none());
    }

    #[test]
    fn a_token_throttle_is_transient_and_wrong_credentials_are_permanent() {
        let throttled =
            r#"{"error":"invalid_request","error_description":"rate limit exceeded; try later"}"#;
        assert!(!response(400, throttled).unwrap_err().permanent);
        assert!(
            response(400, r#"{"error":"invalid_client","description":"client not found"}"#)
                .unwrap_err()
                .permanent
        );
        assert!(response(401, r#"{"error":"invalid_client"}"#).unwrap_err().permanent);
        assert!(!response(503, "").unwrap_err().permanent);
    }

    #[test]
    fn g10_a_token_response_that_cannot_be_read_is_not_quoted() {
        let error = response(200, r#"{"access_token":["hush"]}"#).unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
        let printed = format!(
            "{:?}",
            response(200, r#"{"access_token":"hush","refresh_token":"hush"}"#).unwrap()
        );
        assert!(!printed.contains("hush"), "{printed}");
    }
}

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
    server_text::ServerText,
};

/// OAuth errors that the same request will give again (RFC 6749, section 5.2).
const PERMANENT: [&str; 4] =
    ["invalid_client", "unauthorized_client", "invalid_grant", "unsupported_grant_type"];
/// OAuth errors of a server that fails itself (RFC 6749, section 4.1.2.1), whatever the status.
const TRANSIENT: [&str; 2] = ["temporarily_unavailable", "server_error"];
/// The longest lifetime that is believed, in seconds. A longer one counts as not stated.
const LONGEST_LIFETIME: f64 = 10.0 * 365.0 * 86_400.0;

/// The longest token, in bytes: servers refuse longer headers.
const LONGEST_TOKEN: usize = 32 * 1024;

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
    let problem = match response.status().is_success() {
        true => match parse(response.body(), dialect) {
            Ok(token) => return Ok(token),
            Err(problem) => Some(problem),
        },
        false => None,
    };
    let refusal = ErrorResponse::read(response, &dialect.http);
    let reason = if refusal.code.is_empty() && refusal.message.is_empty() { problem } else { None };
    if let Some(reason) = reason {
        let reason = format!("the response is not a token: {reason}");
        return Err(token_error(endpoint, reason, false));
    }
    let error = token_error(endpoint, refusal.to_string(), is_permanent(&refusal));
    Err(TokenError { wait: refusal.retry_after.unwrap_or_default(), ..error })
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
    let statuses =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    let is_transient = response.is_throttle()
        || statuses.contains(&response.status)
        || TRANSIENT.contains(&&*response.code);
    PERMANENT.contains(&&*response.code) || (!response.status.is_server_error() && !is_transient)
}

/// The token of a response body.
///
/// # Errors
/// What is wrong with the body, without quoting it, since it may hold the token.
fn parse(body: &[u8], dialect: &TokenDialect) -> Result<TokenResponse, String> {
    let body: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| "it is not a JSON object".to_owned())?;
    let secret = access_token(&body, dialect.access_token_fields)?;
    // a refresh token that cannot be used is none: the next token is requested in another way
    let optional = |names: &[&str]| texts(&body, names).find_map(|(_, text)| checked(text).ok());
    Ok(TokenResponse {
        secret,
        lifetime: lifetime(&body, dialect.lifetime_fields),
        refresh: optional(dialect.refresh_token_fields),
        id_token: optional(&["id_token"]),
    })
}

/// The access token: the first of the fields that holds one.
fn access_token(body: &Map<String, Value>, names: &[&str]) -> Result<SecretString, String> {
    let mut problem = format!("it has no text in {}", names.join(" or "));
    for (name, text) in texts(body, names) {
        match checked(text) {
            Ok(token) => {
                let mut others =
                    texts(body, names).filter(|(_, other)| other.trim() != text.trim());
                if let Some((other, _)) = others.next() {
                    tracing::warn!(
                        "the token response has {name} and another {other}: using {name}"
                    );
                }
                return Ok(token);
            }
            Err(reason) => problem = format!("{name} {reason}"),
        }
    }
    Err(problem)
}

/// The fields that are texts, in the order of their names.
fn texts<'a>(
    body: &'a Map<String, Value>,
    names: &'a [&str],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    names.iter().filter_map(|&name| Some((name, body.get(name)?.as_str()?)))
}

/// A token without the white space around it.
///
/// # Errors
/// Why a header cannot carry it.
fn checked(text: &str) -> Result<SecretString, String> {
    let token = text.trim();
    if token.is_empty() {
        return Err("is empty".to_owned());
    }
    if token.len() > LONGEST_TOKEN {
        return Err(format!("has {} bytes, more than {LONGEST_TOKEN}", token.len()));
    }
    match token.chars().position(|character| !character.is_ascii_graphic()) {
        None => Ok(token.into()),
        Some(at) => Err(format!(
            "has a character that a header cannot carry, such as a space or a line end, at {}",
            at + 1
        )),
    }
}

/// The lifetime. `None` if it is not stated, or is none.
fn lifetime(body: &Map<String, Value>, names: &[&str]) -> Option<Duration> {
    let stated = names.iter().filter_map(|name| body.get(*name)).find(|value| !value.is_null())?;
    let seconds = match stated {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let lifetime = seconds
        .filter(|&seconds| seconds > 0.0 && seconds <= LONGEST_LIFETIME)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    if lifetime.is_none() {
        let stated = ServerText::quote(&stated.to_string());
        tracing::warn!(
            %stated,
            "the lifetime of the token is not a number of seconds from 1 s to 10 years: using the \
             token until it is rejected"
        );
    }
    lifetime
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
    fn a_token_is_trimmed_and_checked() {
        let token = |body: &str| match response(200, body) {
            Ok(response) => response.secret.expose_secret().to_owned(),
            Err(error) => error.reason.to_string(),
        };
        assert_eq!(token(r#"{"access_token":" t\r\n"}"#), "t");
        assert_eq!(token(r#"{"access_token":"a","token":"b"}"#), "a");
        assert_eq!(token(r#"{"access_token":" ","token":"b"}"#), "b");
        assert_eq!(token(r#"{"access_token":null,"token":"b"}"#), "b");
        let start = "the response is not a token: ";
        for (body, reason) in [
            (r#"{"access_token":""}"#, "access_token is empty"),
            (r#"{"access_token":"t\nX-Injected: 1"}"#, "access_token has a character"),
            (r#"{"token":"a b"}"#, "token has a character"),
            (r#"{"access_token":"t\u0000"}"#, "access_token has a character"),
            (r#"{"access_token":"tökén"}"#, "access_token has a character"),
            (r#"{"access_token":7}"#, "it has no text in access_token or token"),
            ("[]", "it is not a JSON object"),
            ("<html>", "it is not a JSON object"),
        ] {
            let said = token(body);
            assert!(said.starts_with(&format!("{start}{reason}")), "{body}: {said}");
        }
        let long = format!(r#"{{"access_token":"{}"}}"#, "t".repeat(40_000));
        assert!(token(&long).contains("has 40000 bytes"));
        for refresh in [" ", "a\\nb"] {
            let body = format!(r#"{{"access_token":"t","refresh_token":"{refresh}"}}"#);
            assert!(response(200, &body).unwrap().refresh.is_none(), "{refresh}");
        }
    }

    /// `SEEDS=n` tries more.
    #[test]
    fn any_token_response_gives_a_token_that_a_header_carries_or_an_error() {
        let seeds = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000);
        let values = [
            "null",
            "0",
            "-1",
            "1e999",
            "1e300",
            "\"\"",
            "\"hush-hush\"",
            "\"hush-\\nhush\"",
            "[]",
            "{\"a\":1}",
            "\"\\u0000\"",
            "\" 60 \"",
            "3600",
            "true",
            "\"\\u202e\"",
            "\"NaN\"",
        ];
        let names =
            ["access_token", "token", "expires_in", "refresh_token", "id_token", "errors", "x"];
        for seed in 0..seeds {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut body: Vec<u8> = (0..rng.usize(0..6))
                .map(|_| {
                    let name = names[rng.usize(..names.len())];
                    format!("\"{name}\":{}", values[rng.usize(..values.len())])
                })
                .collect::<Vec<_>>()
                .join(",")
                .into_bytes();
            body = [b"{", &body[..], b"}"].concat();
            if rng.u8(..4) == 0 {
                let at = rng.usize(..body.len());
                body[at] = rng.u8(..);
            }
            let endpoint = "https://login.example.com/oauth/token".parse().unwrap();
            let reply = Response::new(Bytes::from(body));
            match read(&endpoint, &reply, &TOKEN_DIALECT) {
                Ok(token) => {
                    crate::auth::bearer(&token.secret).unwrap();
                    assert!(token.lifetime.is_none_or(|lifetime| !lifetime.is_zero()));
                }
                Err(error) => assert!(!error.to_string().contains("hush"), "seed {seed}: {error}"),
            }
        }
    }

    #[test]
    fn a_token_endpoint_that_fails_itself_is_transient_whatever_the_status() {
        for code in ["temporarily_unavailable", "server_error"] {
            for status in [200, 400, 401, 503] {
                let body = format!(r#"{{"error":"{code}","error_description":"later"}}"#);
                let error = response(status, &body).unwrap_err();
                assert!(!error.permanent, "{status} {error}");
                assert!(error.reason.contains(code), "{error}");
            }
        }
        for status in [408, 425, 429, 500, 502, 504] {
            assert!(!response(status, "").unwrap_err().permanent, "{status}");
        }
    }

    #[test]
    fn a_success_with_an_error_member_is_that_error() {
        let text = r#"{"error":"invalid_client","error_description":"unknown client"}"#;
        let object = r#"{"error":{"code":"invalid_client","message":"unknown client"}}"#;
        for body in [text, object] {
            let error = response(200, body).unwrap_err();
            assert!(error.permanent, "{error}");
            assert!(error.reason.ends_with(": invalid_client: unknown client"), "{error}");
        }
        let token = response(200, r#"{"access_token":"t","error":null,"message":"hi"}"#);
        assert_eq!(token.unwrap().secret.expose_secret(), "t");
    }

    #[test]
    fn the_retry_after_of_a_token_endpoint_is_its_wait() {
        let endpoint = "https://login.example.com/oauth/token".parse().unwrap();
        for status in [400, 403, 429, 503] {
            let response = Response::builder().status(status).header("Retry-After", "42.5");
            let response = response.body(Bytes::from_static(b"{}")).unwrap();
            let error = read(&endpoint, &response, &TOKEN_DIALECT).unwrap_err();
            assert_eq!(error.wait, Duration::from_millis(42_500), "{error}");
            assert_eq!(error.permanent, status == 400, "{error}");
        }
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

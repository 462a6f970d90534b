//! What the token endpoint answers.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::http::error::{ErrorResponse, RequestError, TokenError};

/// OAuth errors that asking again cannot mend (RFC 6749, section 5.2).
const PERMANENT: [&str; 4] =
    ["invalid_client", "unauthorized_client", "invalid_grant", "unsupported_grant_type"];
/// A lifetime beyond this is a slip of the server's, as if it had said nothing.
const LONGEST_LIFE: f64 = 10.0 * 365.0 * 86_400.0;

/// A token as it was handed out.
#[derive(Debug, Clone)]
pub struct TokenResponse {
    /// The token itself: opaque.
    pub secret: SecretString,
    /// How long it lives; none if the server did not say.
    pub lifetime: Option<Duration>,
    /// What gives the next one, if the server gave it.
    pub refresh: Option<SecretString>,
    /// Who the token stands for, where the server is an OpenID provider.
    pub id_token: Option<SecretString>,
}

/// Reads the answer of the token endpoint, under OAuth's names or those of CXone's refresh.
///
/// # Errors
/// A [`TokenError`]: permanent where the credentials are at fault. Genesys Cloud throttles this
/// endpoint with a 400 whose description starts with `rate limit exceeded`: that is transient.
pub(crate) fn read_reply(
    endpoint: &Url,
    reply: &Response<Bytes>,
) -> Result<TokenResponse, TokenError> {
    #[derive(Deserialize)]
    struct ResponseBody {
        #[serde(alias = "token")]
        access_token: SecretString,
        #[serde(default, alias = "tokenExpirationTimeSec")]
        expires_in: Option<Seconds>,
        #[serde(default, alias = "refreshToken")]
        refresh_token: Option<SecretString>,
        #[serde(default)]
        id_token: Option<SecretString>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(f64),
        Text(String),
    }
    if !reply.status().is_success() {
        let refusal = ErrorResponse::read(reply);
        let permanent = PERMANENT.contains(&refusal.code.as_str())
            || (reply.status().is_client_error() && !is_transient(&refusal));
        return Err(fault(endpoint, refusal.to_string(), permanent));
    }
    // the parser's message may quote the body, which holds the token: it is not repeated
    let answer: ResponseBody = serde_json::from_slice(reply.body())
        .map_err(|_| fault(endpoint, "the reply is not a token".to_owned(), false))?;
    let seconds = match answer.expires_in {
        Some(Seconds::Number(seconds)) => Some(seconds),
        Some(Seconds::Text(text)) => text.trim().parse().ok(),
        None => None,
    };
    let lifetime = seconds
        .filter(|&seconds| seconds > 0.0 && seconds <= LONGEST_LIFE)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let refresh = answer
        .refresh_token
        .filter(|token| !secrecy::ExposeSecret::expose_secret(token).is_empty());
    Ok(TokenResponse { secret: answer.access_token, lifetime, refresh, id_token: answer.id_token })
}

/// A fault that befell a token request, in the words of the login.
pub(crate) fn fault_at(endpoint: &Url, cause: &RequestError) -> TokenError {
    fault(endpoint, cause.to_string(), false)
}

/// No token, and none to be expected: `reason` says why, `advice` what to do.
pub(crate) fn refused(
    endpoint: &Url,
    reason: impl Into<String>,
    advice: &'static str,
) -> TokenError {
    TokenError { advice, ..fault(endpoint, reason.into(), true) }
}

fn fault(endpoint: &Url, reason: String, permanent: bool) -> TokenError {
    TokenError {
        endpoint: endpoint.to_string(),
        reason,
        permanent,
        wait: Duration::ZERO,
        advice: "",
    }
}

fn is_transient(refusal: &ErrorResponse) -> bool {
    refusal.message.starts_with("rate limit exceeded")
        || matches!(refusal.status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(status: u16, body: &str) -> Result<TokenResponse, TokenError> {
        let endpoint = "https://login.mypurecloud.ie/oauth/token".parse().unwrap();
        read_reply(
            &endpoint,
            &Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap(),
        )
    }

    #[test]
    fn a_lifetime_may_be_a_number_a_text_absent_zero_or_absurd() {
        let lifetime =
            |field: &str| read(200, &format!(r#"{{"access_token":"t"{field}}}"#)).unwrap().lifetime;
        assert_eq!(lifetime(r#","expires_in":86399"#), Some(Duration::from_secs(86_399)));
        assert_eq!(lifetime(r#","expires_in":" 60 ""#), Some(Duration::from_secs(60)));
        assert_eq!(lifetime(""), None);
        for absurd in ["0", "-5", "1e300", "1e18", "null", "\"soon\"", "\"NaN\""] {
            assert_eq!(lifetime(&format!(r#","expires_in":{absurd}"#)), None, "{absurd}");
        }
    }

    #[test]
    fn a_refresh_is_read_under_either_platforms_names() {
        let cxone = r#"{"token":"t","tokenExpirationTimeSec":"3600","refreshToken":"r"}"#;
        for body in [cxone, r#"{"access_token":"t","expires_in":3600,"refresh_token":"r"}"#] {
            let response = read(200, body).unwrap();
            assert_eq!(
                (response.secret.expose_secret(), response.lifetime),
                ("t", Some(Duration::from_secs(3_600)))
            );
            assert_eq!(response.refresh.unwrap().expose_secret(), "r");
        }
        assert!(read(200, r#"{"access_token":"t","refresh_token":""}"#).unwrap().refresh.is_none());
    }

    #[test]
    fn the_token_throttle_is_transient_and_wrong_credentials_are_permanent() {
        let throttled =
            r#"{"error":"invalid_request","error_description":"rate limit exceeded; try later"}"#;
        assert!(!read(400, throttled).unwrap_err().permanent);
        assert!(
            read(400, r#"{"error":"invalid_client","description":"client not found"}"#)
                .unwrap_err()
                .permanent
        );
        assert!(read(401, r#"{"error":"invalid_client"}"#).unwrap_err().permanent);
        assert!(!read(503, "").unwrap_err().permanent);
    }

    #[test]
    fn g10_a_token_reply_that_cannot_be_read_is_not_quoted() {
        let fault = read(200, r#"{"access_token":["hush"]}"#).unwrap_err();
        assert!(!fault.to_string().contains("hush"), "{fault}");
        let printed = format!(
            "{:?}",
            read(200, r#"{"access_token":"hush","refresh_token":"hush"}"#).unwrap()
        );
        assert!(!printed.contains("hush"), "{printed}");
    }
}

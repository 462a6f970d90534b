//! The OAuth grants: what is asked, and what is answered. No policy and no state: `token` has them.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::fault::{Fault, LoginFault, Refusal};

/// OAuth errors that asking again cannot mend (RFC 6749, section 5.2).
const PERMANENT: [&str; 4] = ["invalid_client", "unauthorized_client", "invalid_grant", "unsupported_grant_type"];

/// A client that may ask for tokens.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's id, which is no secret.
    pub id: String,
    /// The client's secret.
    pub secret: SecretString,
}

/// A token as it was handed out.
#[derive(Debug)]
pub struct Minted {
    /// The token itself: opaque.
    pub secret: SecretString,
    /// How long it lives; none if the server did not say.
    pub lifetime: Option<Duration>,
}

/// The token endpoint of a login host.
pub fn token_endpoint(login: &Url) -> Url {
    let mut endpoint = login.clone();
    endpoint.set_path("/oauth/token");
    endpoint
}

/// Asks for a token by client credentials (RFC 6749, section 4.4), credentials by Basic.
///
/// # Errors
/// Where an id holds what no header can carry.
pub fn client_credentials(endpoint: &Url, client: &Client) -> Result<Request<Bytes>, http::Error> {
    let credentials = STANDARD.encode(format!("{}:{}", client.id, client.secret.expose_secret()));
    Request::builder()
        .method(Method::POST)
        .uri(endpoint.as_str())
        .header(AUTHORIZATION, secret_header(&format!("Basic {credentials}"))?)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(Bytes::from_static(b"grant_type=client_credentials"))
}

/// The header that carries `token`. It prints as `Sensitive`.
///
/// # Errors
/// Where the token holds what no header can carry.
pub fn bearer(token: &SecretString) -> Result<HeaderValue, http::Error> {
    secret_header(&format!("Bearer {}", token.expose_secret()))
}

fn secret_header(text: &str) -> Result<HeaderValue, http::Error> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads the answer of the token endpoint.
///
/// # Errors
/// A [`LoginFault`]: permanent where the credentials are at fault. Genesys Cloud throttles this
/// endpoint with a 400 whose description starts with `rate limit exceeded`: that is transient.
pub fn read_reply(endpoint: &Url, reply: &Response<Bytes>) -> Result<Minted, LoginFault> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: SecretString,
        #[serde(default)]
        expires_in: Option<Seconds>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(f64),
        Text(String),
    }
    if reply.status() != StatusCode::OK {
        let refusal = Refusal::read(reply);
        let permanent =
            PERMANENT.contains(&refusal.code.as_str()) || (reply.status().is_client_error() && !is_transient(&refusal));
        return Err(fault(endpoint, refusal.to_string(), permanent));
    }
    // the parser's message may quote the body, which holds the token: it is not repeated
    let answer: Answer = serde_json::from_slice(reply.body())
        .map_err(|_| fault(endpoint, "the reply is not a token".to_owned(), false))?;
    let lifetime = match answer.expires_in {
        Some(Seconds::Number(seconds)) => Some(seconds),
        Some(Seconds::Text(text)) => text.trim().parse().ok(),
        None => None,
    };
    let lifetime =
        lifetime.filter(|&seconds| seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok(Minted { secret: answer.access_token, lifetime })
}

/// A fault that befell a token request, in the words of the login.
pub fn fault_at(endpoint: &Url, cause: &Fault) -> LoginFault {
    fault(endpoint, cause.to_string(), false)
}

fn fault(endpoint: &Url, reason: String, permanent: bool) -> LoginFault {
    LoginFault { endpoint: endpoint.to_string(), reason, permanent, wait: Duration::ZERO }
}

fn is_transient(refusal: &Refusal) -> bool {
    refusal.message.starts_with("rate limit exceeded")
        || matches!(refusal.status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<Minted, LoginFault> {
        let endpoint = "https://login.mypurecloud.ie/oauth/token".parse().unwrap();
        read_reply(&endpoint, &Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap())
    }

    #[test]
    fn a_lifetime_may_be_a_number_a_text_absent_zero_or_absurd() {
        let lifetime = |field: &str| read(200, &format!(r#"{{"access_token":"t"{field}}}"#)).unwrap().lifetime;
        assert_eq!(lifetime(r#","expires_in":86399"#), Some(Duration::from_secs(86_399)));
        assert_eq!(lifetime(r#","expires_in":" 60 ""#), Some(Duration::from_secs(60)));
        assert_eq!(lifetime(""), None);
        assert_eq!(lifetime(r#","expires_in":0"#), None);
        assert_eq!(lifetime(r#","expires_in":-5"#), None);
        assert_eq!(lifetime(r#","expires_in":1e300"#), None);
        assert_eq!(lifetime(r#","expires_in":null"#), None);
    }

    #[test]
    fn the_token_throttle_is_transient_and_wrong_credentials_are_permanent() {
        let throttled = r#"{"error":"invalid_request","error_description":"rate limit exceeded; try later"}"#;
        assert!(!read(400, throttled).unwrap_err().permanent);
        assert!(read(400, r#"{"error":"invalid_client","description":"client not found"}"#).unwrap_err().permanent);
        assert!(read(401, r#"{"error":"invalid_client"}"#).unwrap_err().permanent);
        assert!(!read(503, "").unwrap_err().permanent);
    }

    #[test]
    fn g10_a_token_reply_that_cannot_be_read_is_not_quoted() {
        let fault = read(200, r#"{"access_token":["hush"]}"#).unwrap_err();
        assert!(!fault.to_string().contains("hush"), "{fault}");
    }

    #[test]
    fn g10_a_request_for_a_token_does_not_print_its_secret() {
        let client = Client { id: "me".into(), secret: "hush".into() };
        let request = client_credentials(&"http://127.0.0.1/oauth/token".parse().unwrap(), &client).unwrap();
        let printed = format!("{request:?} {client:?}");
        assert!(!printed.contains("hush") && !printed.contains(&STANDARD.encode("me:hush")), "{printed}");
    }
}

//! OAuth: grants, token requests, token responses and the token of a run.
//!
//! [`credentials`] holds what the configuration says, [`token_request`] makes requests of it,
//! [`token_response`] reads the answers and [`pkce`] is the browser's part of a login; none of them
//! has state or decides about retries. [`token`] keeps the current token: at most one token request
//! is in flight (G7), and no secret is printed or sent to a host that the configuration does not
//! name (G10). Start reading with [`token::TokenActor`].

pub(crate) mod credentials;
pub(crate) mod dialect;
pub(crate) mod login_error;
pub(crate) mod pkce;
pub(crate) mod settings;
pub(crate) mod token;
pub(crate) mod token_request;
pub(crate) mod token_response;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub(crate) use self::{
    credentials::{AccessKey, ClientAuthMethod, ClientCredentials, Credentials, Grant},
    token_request::GrantParams,
    token_response::TokenResponse,
};

/// The `Authorization` header that carries `token`. Its `Debug` output hides the token.
///
/// # Errors
/// If the token has characters that are not allowed in a header.
pub(crate) fn bearer(token: &SecretString) -> Result<HeaderValue, http::Error> {
    secret_header(&format!("Bearer {}", token.expose_secret()))
}

fn basic(id: &str, secret: &SecretString) -> Result<HeaderValue, http::Error> {
    secret_header(&format!("Basic {}", basic_credential(id, secret)))
}

/// What a Basic authorization header says after its scheme.
fn basic_credential(id: &str, secret: &SecretString) -> String {
    STANDARD.encode(format!("{id}:{}", secret.expose_secret()))
}

fn secret_header(text: &str) -> Result<HeaderValue, http::Error> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The URL of `path` on the host of `url`.
pub(crate) fn with_path(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    url.set_path(path);
    url
}

#[cfg(test)]
mod tests;

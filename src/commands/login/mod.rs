//! `cxbackfill login`: a user logs in with a browser, which returns here with a code (RFC 8252).
//!
//! A [`listener`] on this machine waits for the browser for a limited time. Only an answer that
//! carries the state that was sent is accepted. The code is useful only together with the verifier,
//! which never leaves this process.

mod listener;

use secrecy::SecretString;
use tokio::time::timeout;
use url::Url;

use self::listener::{AnswerFields, Expected};
use crate::auth::{
    TokenResponse,
    login_error::LoginError,
    pkce::{AuthorizationCode, AuthorizationRequest},
    settings::BrowserSettings,
    token::TokenSource,
};

/// Logs a user in and stores the tokens. `show_page` shows the user which page to open.
///
/// # Errors
/// [`LoginError`]; nothing is stored.
pub async fn login(
    source: &TokenSource,
    settings: &BrowserSettings,
    show_page: impl FnOnce(&Url),
) -> Result<TokenResponse, LoginError> {
    let request = AuthorizationRequest::new().map_err(LoginError::Random)?;
    request.protect();
    let (listener, redirect) = listener::listen(&settings.redirect)
        .await
        .map_err(|source| LoginError::Listen { address: settings.redirect.to_string(), source })?;
    show_page(&request.page(&source.host, &source.credentials, settings, &redirect));
    let expected = Expected { redirect, state: request.state };
    let mut was_forged = false;
    let answer = listener::receive_answer(listener, &expected, || {
        if !was_forged {
            tracing::warn!(
                "an answer without the state of this login was refused: it belongs to an older \
                 one, or is forged; still waiting"
            );
        }
        was_forged = true;
    });
    let answer = match timeout(settings.timeout, answer).await {
        Ok(answer) => answer,
        Err(_) if was_forged => return Err(LoginError::State(settings.timeout)),
        Err(_) => return Err(LoginError::Timeout(settings.timeout)),
    };
    let code = read_code(&answer)?;
    let verifier = request.verifier;
    let code = AuthorizationCode { code, verifier, redirect: expected.redirect };
    Ok(source.exchange_code(&code).await?)
}

/// Reads the code of an answer to this login.
fn read_code(answer: &AnswerFields) -> Result<SecretString, LoginError> {
    match (answer.get("code"), answer.get("error_description").or(answer.get("error"))) {
        (Some(code), None) if !code.is_empty() => Ok(code.as_str().into()),
        (_, reason) => {
            let reason = reason.map_or("it sent no code", String::as_str);
            Err(LoginError::Refused(reason.into()))
        }
    }
}

#[cfg(test)]
mod tests;

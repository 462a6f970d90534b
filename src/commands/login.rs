//! A user logs in: a browser goes to the login host and comes back here with a code (RFC 8252).
//!
//! A listener on this machine waits for it, once and for a limited time. What comes back is
//! believed only if it knows the state that we sent; the code is worth something only together
//! with the verifier, which never left this process.

use std::{collections::BTreeMap, io, net::Ipv4Addr, time::Duration};

use axum::{Router, extract::RawQuery, http::StatusCode, routing::get};
use secrecy::{ExposeSecret, SecretString};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use url::{Host, Url, form_urlencoded};

use crate::{
    auth::{
        TokenResponse,
        pkce::{AuthorizationCode, AuthorizationRequest},
        token::TokenSource,
    },
    exit_code::ExitCode,
    http::error::TokenError,
};

/// What the browser shows at the end.
const FAREWELL: &str =
    "cxbackfill has what it needs, or says in its terminal why not. You can close this window.";

/// What `cxbackfill login` needs beside the account.
#[derive(Debug, Clone)]
pub struct Browser {
    /// Where the browser comes back to: this machine. Port 0 takes a free one.
    pub redirect: Url,
    /// How long it may take.
    pub timeout: Duration,
    /// The page where the user logs in, where it is not the login host's own.
    pub authorize: Option<Url>,
    /// What is asked for; none: what the client is registered for.
    pub scope: Option<String>,
}

/// Why a login came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The port is taken.
    #[error(
        "cannot listen at {address} for the browser: {source}; end the program that does, or change auth.redirect_url"
    )]
    Listen {
        /// Where.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The browser did not come back.
    #[error(
        "the browser did not come back within {0:?}; run the command again, and log in before auth.login_timeout ends"
    )]
    Timeout(Duration),
    /// Somebody else came.
    #[error(
        "the answer does not carry the state of this login: it is of an older one, or forged; run the command again"
    )]
    State,
    /// The user or the login host said no.
    #[error("the login host refused: {0}; check auth.client_id, auth.redirect_url and auth.scope")]
    Refused(String),
    /// The code was not worth a token.
    #[error(
        "{0}; run the command again, and check auth.client_id, auth.client_secret and auth.cache if that does not help"
    )]
    Token(#[from] TokenError),
    /// A state that somebody could guess would be none.
    #[error("the system has no randomness to give: {0}")]
    Random(getrandom::Error),
}

impl LoginError {
    /// The exit code: part of the outside of the program.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Listen { .. } | Self::Random(_) => ExitCode::Fatal,
            _ => ExitCode::Credentials,
        }
    }
}

/// Has a user log in, and stores the tokens that come of it. `show` tells the user which page to
/// open.
///
/// # Errors
/// [`LoginError`]: nothing is stored.
pub async fn login(
    login: &TokenSource,
    browser: &Browser,
    show: impl FnOnce(&Url),
) -> Result<TokenResponse, LoginError> {
    let ticket = AuthorizationRequest::new().map_err(LoginError::Random)?;
    let (listener, redirect) = listen(&browser.redirect).await?;
    let scope = browser.scope.as_deref();
    show(&ticket.page(
        &login.host,
        browser.authorize.as_ref(),
        &login.credentials.client.id,
        &redirect,
        scope,
    ));
    let answer = timeout(browser.timeout, answer(listener, redirect.path()))
        .await
        .map_err(|_| LoginError::Timeout(browser.timeout))?;
    let code = read(&answer, &ticket.state)?;
    Ok(login
        .exchange_code(&AuthorizationCode { code, verifier: ticket.verifier, redirect })
        .await?)
}

/// A listener at the address that the browser is to come back to, and that address with its port.
async fn listen(redirect: &Url) -> Result<(TcpListener, Url), LoginError> {
    let mut redirect = redirect.clone();
    let port = redirect.port().unwrap_or(0);
    let failed = |source| LoginError::Listen { address: redirect.to_string(), source };
    let listener = match redirect.host() {
        Some(Host::Ipv6(address)) => TcpListener::bind((address, port)).await,
        Some(Host::Ipv4(address)) => TcpListener::bind((address, port)).await,
        _ => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await,
    }
    .map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    // an http address has a port
    let _ = redirect.set_port(Some(port));
    Ok((listener, redirect))
}

/// The query of the first request for `path`. What else a browser asks for, an icon, say, is not there.
async fn answer(listener: TcpListener, path: &str) -> String {
    let (tell, mut told) = mpsc::channel(1);
    let page = get(move |RawQuery(query): RawQuery| {
        let first = tell.try_send(query.unwrap_or_default()).is_ok();
        async move { if first { (StatusCode::OK, FAREWELL) } else { (StatusCode::GONE, FAREWELL) } }
    });
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let served =
        axum::serve(listener, Router::new().route(path, page)).with_graceful_shutdown(async {
            let _ = ended.await;
        });
    let serving = async { served.await.is_ok() };
    let answer = async {
        let answer = told.recv().await;
        drop(end);
        answer.unwrap_or_default()
    };
    // the browser has its page before the listener goes
    tokio::join!(answer, timeout(Duration::from_secs(1), serving)).0
}

/// The code of an answer that is to this login.
fn read(answer: &str, state: &SecretString) -> Result<SecretString, LoginError> {
    let fields: BTreeMap<_, _> = form_urlencoded::parse(answer.as_bytes()).into_owned().collect();
    if fields.get("state").map(String::as_str) != Some(state.expose_secret()) {
        return Err(LoginError::State);
    }
    match (fields.get("code"), fields.get("error_description").or(fields.get("error"))) {
        (Some(code), None) if !code.is_empty() => Ok(code.as_str().into()),
        (_, reason) => Err(LoginError::Refused(
            reason.map_or("it sent no code", String::as_str).chars().take(300).collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_believed_only_with_our_state_and_a_code() {
        let read = |answer| read(answer, &"s".into()).map(|code| code.expose_secret().to_owned());
        assert_eq!(read("code=c%20d&state=s").unwrap(), "c d");
        for forged in
            ["", "code=c", "code=c&state=", "code=c&state=t", "error=access_denied&state=t"]
        {
            assert!(matches!(read(forged), Err(LoginError::State)), "{forged}");
        }
        for refused in
            ["state=s", "state=s&code=", "state=s&error=access_denied", "state=s&code=c&error=x"]
        {
            assert!(matches!(read(refused), Err(LoginError::Refused(_))), "{refused}");
        }
    }
}

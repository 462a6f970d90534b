//! `cxbackfill login`: a user logs in with a browser, which returns here with a code (RFC 8252).
//!
//! A listener on this machine waits for the browser, once and for a limited time. Its answer is
//! accepted only if it carries the state that was sent. The code is useful only together with the
//! verifier, which never leaves this process.

use std::{collections::BTreeMap, net::Ipv4Addr, pin::pin, time::Duration};

use axum::{Router, extract::RawQuery, http::StatusCode, routing::get};
use secrecy::{ExposeSecret, SecretString};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use url::{Host, Url, form_urlencoded};

use crate::auth::{
    TokenResponse,
    login_error::LoginError,
    pkce::{AuthorizationCode, AuthorizationRequest},
    settings::BrowserSettings,
    token::TokenSource,
};

/// What the browser shows at the end.
const FINAL_PAGE: &str =
    "cxbackfill has received the answer; its terminal shows the result. You can close this window.";

/// How long the browser may take to read the final page.
const FINAL_PAGE_TIMEOUT: Duration = Duration::from_secs(1);

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
    let (listener, redirect) = listen(&settings.redirect).await?;
    show_page(&request.page(&source.host, &source.credentials, settings, &redirect));
    let answer = timeout(settings.timeout, receive_answer(listener, redirect.path()))
        .await
        .map_err(|_| LoginError::Timeout(settings.timeout))?;
    let code = read_code(&answer, &request.state)?;
    let code = AuthorizationCode { code, verifier: request.verifier, redirect };
    Ok(source.exchange_code(&code).await?)
}

/// Listens at the address that the browser returns to. Returns that address with its port.
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
    // cannot fail: an http URL can have a port
    let _ = redirect.set_port(Some(port));
    Ok((listener, redirect))
}

/// Returns the query of the first request for `path`. Other requests of the browser, such as one
/// for an icon, get a 404.
async fn receive_answer(listener: TcpListener, path: &str) -> String {
    let (sender, mut receiver) = mpsc::channel(1);
    let page = get(move |RawQuery(query): RawQuery| {
        let is_first = sender.try_send(query.unwrap_or_default()).is_ok();
        let status = if is_first { StatusCode::OK } else { StatusCode::GONE };
        async move { (status, FINAL_PAGE) }
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server =
        axum::serve(listener, Router::new().route(path, page)).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
    let mut server = pin!(server.into_future());
    let answer = tokio::select! {
        answer = receiver.recv() => answer.unwrap_or_default(),
        // the listener failed
        _ = &mut server => return String::new(),
    };
    drop(stop);
    // the browser gets its page before the listener closes
    let _ = timeout(FINAL_PAGE_TIMEOUT, server).await;
    answer
}

/// Reads the code of an answer to this login.
fn read_code(answer: &str, state: &SecretString) -> Result<SecretString, LoginError> {
    let fields: BTreeMap<_, _> = form_urlencoded::parse(answer.as_bytes()).into_owned().collect();
    if fields.get("state").map(String::as_str) != Some(state.expose_secret()) {
        return Err(LoginError::State);
    }
    match (fields.get("code"), fields.get("error_description").or(fields.get("error"))) {
        (Some(code), None) if !code.is_empty() => Ok(code.as_str().into()),
        (_, reason) => {
            let reason = reason.map_or("it sent no code", String::as_str);
            Err(LoginError::Refused(reason.chars().take(300).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_accepted_only_with_the_state_and_a_code() {
        let read =
            |answer| read_code(answer, &"s".into()).map(|code| code.expose_secret().to_owned());
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

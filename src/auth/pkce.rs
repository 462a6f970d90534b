//! The browser's part of a login: the page that it opens, and the code that it brings back
//! (RFC 7636).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use crate::auth::{
    Credentials, settings::BrowserSettings, token_request::protect_token, with_path,
};

/// The secrets of one login: made before the browser opens, checked when it returns.
#[derive(Debug)]
pub(crate) struct AuthorizationRequest {
    /// Returns with the code. An answer without it is not to this login.
    pub state: SecretString,
    /// Proves that whoever exchanges the code is whoever requested it.
    pub verifier: SecretString,
}

/// An authorization code and what is needed to exchange it for tokens.
#[derive(Debug)]
pub struct AuthorizationCode {
    /// The code: valid once, for a short time.
    pub code: SecretString,
    /// The verifier of the login.
    pub verifier: SecretString,
    /// The address that the browser returned to, which the server compares.
    pub redirect: Url,
}

impl AuthorizationRequest {
    /// New random secrets.
    ///
    /// # Errors
    /// If the operating system provides no randomness.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { state: random()?, verifier: random()? })
    }

    /// Hides both secrets in all texts of servers.
    pub(crate) fn protect(&self) {
        protect_token(&self.state);
        protect_token(&self.verifier);
    }

    /// The page where the user logs in. Its URL holds the state, and only the hash of the verifier.
    pub(crate) fn page(
        &self,
        login: &Url,
        credentials: &Credentials,
        settings: &BrowserSettings,
        redirect: &Url,
    ) -> Url {
        let platform_page = || with_path(login, credentials.dialect.authorize_path);
        let mut page = settings.authorize.clone().unwrap_or_else(platform_page);
        let challenge = challenge(self.verifier.expose_secret());
        page.query_pairs_mut()
            .append_pair("client_id", &credentials.client.id)
            .append_pair("redirect_uri", redirect.as_str())
            .append_pair("response_type", "code")
            .append_pair("state", self.state.expose_secret())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(settings.scope.as_ref().map(|scope| ("scope", scope)));
        page
    }
}

/// The hash of a verifier, which the page's URL carries.
pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// 256 random bits, as 43 characters.
fn random() -> Result<SecretString, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        auth::{ClientAuthMethod, ClientCredentials, Grant},
        platform::TOKEN_DIALECT,
    };

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"; // RFC 7636, appendix B
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn no_two_logins_share_secrets_and_the_page_does_not_reveal_the_verifier() {
        let (one, two) =
            (AuthorizationRequest::new().unwrap(), AuthorizationRequest::new().unwrap());
        assert_ne!(one.verifier.expose_secret(), two.verifier.expose_secret());
        assert!((43..=128).contains(&one.verifier.expose_secret().len()));
        let redirect: Url = "http://127.0.0.1:1/cb".parse().unwrap();
        let credentials = Credentials {
            grant: Grant::AuthorizationCode,
            client: ClientCredentials {
                id: "me".into(),
                secret: None,
                send: ClientAuthMethod::Basic,
            },
            form: Vec::new(),
            token_url: None,
            refresh_url: None,
            dialect: &TOKEN_DIALECT,
        };
        let settings = BrowserSettings {
            redirect: redirect.clone(),
            timeout: Duration::from_secs(1),
            authorize: None,
            scope: Some("a".into()),
        };
        let login = "https://login.x".parse().unwrap();
        let page = one.page(&login, &credentials, &settings, &redirect);
        assert!(!page.as_str().contains(one.verifier.expose_secret()));
        assert!(
            page.as_str()
                .starts_with("https://login.x/oauth/authorize?client_id=me&redirect_uri=http%3A"),
            "{page}"
        );
        assert!(!format!("{one:?}").contains(one.state.expose_secret()));
    }
}

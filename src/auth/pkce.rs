//! The part of a login that a browser plays: the address it opens, and the code it brings back
//! (RFC 7636).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

/// The path of the page where a user logs in.
const AUTHORIZE: &str = "/oauth/authorize";

/// What a login is bound to: made before the browser opens, checked when it comes back.
#[derive(Debug)]
pub(crate) struct AuthorizationRequest {
    /// Comes back with the code: whoever does not know it was not sent by us.
    pub state: SecretString,
    /// Proves that who trades the code in is who asked for it.
    pub verifier: SecretString,
}

/// A code and what it takes to trade it for tokens.
#[derive(Debug)]
pub struct AuthorizationCode {
    /// The code: good once, for a short time.
    pub code: SecretString,
    /// The ticket's verifier.
    pub verifier: SecretString,
    /// Where the browser was sent back to: the server compares it.
    pub redirect: Url,
}

impl AuthorizationRequest {
    /// A ticket that nobody can guess.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { state: random()?, verifier: random()? })
    }

    /// The page of the login host where the user logs in. It holds the state, and of the verifier
    /// only the hash.
    pub(crate) fn page(
        &self,
        login: &Url,
        given: Option<&Url>,
        client: &str,
        redirect: &Url,
        scope: Option<&str>,
    ) -> Url {
        let mut page = given.cloned().unwrap_or_else(|| super::below(login, AUTHORIZE));
        let challenge = challenge(self.verifier.expose_secret());
        page.query_pairs_mut()
            .append_pair("client_id", client)
            .append_pair("redirect_uri", redirect.as_str())
            .append_pair("response_type", "code")
            .append_pair("state", self.state.expose_secret())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(scope.map(|scope| ("scope", scope)));
        page
    }
}

/// The hash of a verifier that travels through the browser.
pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// 256 bits of the system's randomness, as 43 characters.
fn random() -> Result<SecretString, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"; // RFC 7636, appendix B
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn no_two_tickets_are_alike_and_the_page_does_not_tell_the_verifier() {
        let (one, two) =
            (AuthorizationRequest::new().unwrap(), AuthorizationRequest::new().unwrap());
        assert_ne!(one.verifier.expose_secret(), two.verifier.expose_secret());
        assert!((43..=128).contains(&one.verifier.expose_secret().len()));
        let (login, redirect) =
            ("https://login.x".parse().unwrap(), "http://127.0.0.1:1/cb".parse().unwrap());
        let page = one.page(&login, None, "me", &redirect, Some("a"));
        assert!(!page.as_str().contains(one.verifier.expose_secret()));
        assert!(
            page.as_str()
                .starts_with("https://login.x/oauth/authorize?client_id=me&redirect_uri=http%3A"),
            "{page}"
        );
        assert!(!format!("{one:?}").contains(one.state.expose_secret()));
    }
}

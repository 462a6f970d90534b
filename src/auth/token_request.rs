//! The request for a token: its endpoint, its form and its headers.

use bytes::Bytes;
use http::{
    Method, Request,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::{Url, form_urlencoded};

use crate::{
    auth::{
        AccessKey, ClientAuthMethod, Credentials, Grant, basic, basic_credential,
        pkce::AuthorizationCode, with_path,
    },
    server_text::{self, SecretKind},
};

/// What a token request exchanges for a token.
#[derive(Debug)]
pub(crate) enum GrantParams<'a> {
    /// The credentials of the grant: the client's or an access key.
    Credentials,
    /// A refresh token.
    Refresh(&'a SecretString),
    /// The code of a login.
    AuthorizationCode(&'a AuthorizationCode),
}

impl GrantParams<'_> {
    /// Hides what is exchanged in all texts of servers.
    pub(crate) fn protect(&self) {
        match self {
            Self::Credentials => {}
            Self::Refresh(token) => protect_token(token),
            Self::AuthorizationCode(code) => {
                protect_token(&code.code);
                protect_token(&code.verifier);
            }
        }
    }
}

/// Hides a token in all texts of servers.
pub(crate) fn protect_token(token: &SecretString) {
    server_text::protect(SecretKind::Token, token.expose_secret());
}

impl Credentials {
    /// The endpoint for `params`. `login` is the login host, or with a path the token endpoint
    /// itself.
    pub(crate) fn endpoint(&self, login: &Url, params: &GrantParams) -> Url {
        let is_refresh = matches!(params, GrantParams::Refresh(_));
        let is_access_key = matches!(self.grant, Grant::AccessKey(_));
        let configured = match (&self.refresh_url, &self.token_url) {
            (Some(url), _) if is_refresh => Some(url),
            // the endpoint for access keys does not take refresh tokens
            (None, _) if is_refresh && is_access_key => None,
            (_, token_url) => token_url.as_ref(),
        };
        if let Some(url) = configured {
            return url.clone();
        }
        let path = match &self.grant {
            Grant::AccessKey(_) if is_refresh => self.dialect.access_key_refresh_path,
            Grant::AccessKey(_) => self.dialect.access_key_path,
            Grant::Password(_) => self.dialect.password_path,
            _ => self.dialect.token_path,
        };
        if login.path() != "/" && !is_access_key { login.clone() } else { with_path(login, path) }
    }

    /// The request that sends `params` to `endpoint`. Its body may hold secrets: never print it.
    ///
    /// # Errors
    /// If a credential has characters that are not allowed in a header.
    pub(crate) fn request(
        &self,
        endpoint: &Url,
        params: &GrantParams,
    ) -> Result<Request<Bytes>, http::Error> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(endpoint.as_str())
            .header(ACCEPT, "application/json");
        if let Grant::AccessKey(key) = &self.grant {
            let body = access_key_body(key, params);
            return request.header(CONTENT_TYPE, "application/json").body(body.into());
        }
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut form = form_urlencoded::Serializer::new(String::new());
        self.append_params(&mut form, params);
        let request = match (&self.client.secret, self.client.send) {
            (Some(secret), ClientAuthMethod::Basic) => {
                request.header(AUTHORIZATION, basic(&self.client.id, secret)?)
            }
            (Some(secret), ClientAuthMethod::Body) => {
                form.append_pair("client_id", &self.client.id)
                    .append_pair("client_secret", secret.expose_secret());
                request
            }
            (None, _) => {
                form.append_pair("client_id", &self.client.id);
                request
            }
        };
        for (name, value) in &self.form {
            form.append_pair(name, value.expose_secret());
        }
        request.body(form.finish().into())
    }

    /// Hides the secrets of these credentials in all texts of servers, which may quote them.
    pub(crate) fn protect(&self) {
        let form = self.form.iter().filter(|(name, _)| name != "scope").map(|(_, value)| value);
        let mut secrets: Vec<_> = self.client.secret.iter().chain(form).collect();
        match &self.grant {
            Grant::Password(key) | Grant::AccessKey(key) => secrets.extend([&key.id, &key.secret]),
            Grant::RefreshToken(token) | Grant::Static(token) => secrets.push(token),
            Grant::ClientCredentials | Grant::AuthorizationCode => {}
        }
        for secret in secrets.into_iter().map(ExposeSecret::expose_secret) {
            // the id of a client is printed, so a secret that equals it, as the sandbox's, is none
            if secret != self.client.id {
                server_text::protect(SecretKind::Configured, secret);
            }
        }
        if let Some(secret) = &self.client.secret
            && secret.expose_secret() != self.client.id
        {
            // in base64 already: a server that encodes it once more quotes none of the forms above
            let credential = basic_credential(&self.client.id, secret);
            server_text::protect(SecretKind::Configured, &credential);
        }
    }

    fn append_params(
        &self,
        form: &mut form_urlencoded::Serializer<'_, String>,
        params: &GrantParams,
    ) {
        match (params, &self.grant) {
            (GrantParams::Refresh(token), _) => {
                form.append_pair("grant_type", "refresh_token")
                    .append_pair("refresh_token", token.expose_secret());
            }
            (GrantParams::AuthorizationCode(code), _) => {
                form.append_pair("grant_type", "authorization_code")
                    .append_pair("code", code.code.expose_secret())
                    .append_pair("redirect_uri", code.redirect.as_str())
                    .append_pair("code_verifier", code.verifier.expose_secret());
            }
            (GrantParams::Credentials, Grant::Password(key)) => {
                form.append_pair("grant_type", "password")
                    .append_pair("username", key.id.expose_secret())
                    .append_pair("password", key.secret.expose_secret());
            }
            (GrantParams::Credentials, _) => {
                form.append_pair("grant_type", "client_credentials");
            }
        }
    }
}

fn access_key_body(key: &AccessKey, params: &GrantParams) -> String {
    let body = match params {
        GrantParams::Refresh(token) => json!({ "token": token.expose_secret() }),
        _ => json!({
            "accessKeyId": key.id.expose_secret(),
            "accessKeySecret": key.secret.expose_secret(),
        }),
    };
    body.to_string()
}

//! The OAuth grants: what is asked, and what is answered. No policy and no state: `token` has them.
//!
//! [`Credentials::request`] makes a request of what the configuration says, [`read_reply`] reads the
//! answer, whatever the platform calls its fields. [`pkce`] is the part of a grant that a browser
//! plays, [`discover`] finds the hosts of a platform that tells them.

pub(crate) mod pkce;
pub(crate) mod token;
pub(crate) mod token_response;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

pub(crate) use self::token_response::{TokenResponse, fault_at, read_reply, refused};

/// A shorter text is a word that messages may hold by chance, like `me`.
const SHORTEST: usize = 5;

/// A client that may ask for tokens.
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// The client's id, which is no secret.
    pub id: String,
    /// The client's secret; none for a public client, which proves itself by PKCE.
    pub secret: Option<SecretString>,
    /// Where the two travel.
    pub send: ClientAuthMethod,
}

/// Where the client's credentials travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthMethod {
    /// In a Basic authorization header.
    Basic,
    /// In the form.
    Body,
}

/// How a first token is come by.
#[derive(Debug, Clone)]
pub enum Grant {
    /// The client's own credentials (RFC 6749, section 4.4).
    ClientCredentials,
    /// A refresh token that somebody got elsewhere.
    RefreshToken(SecretString),
    /// A login in a browser, by `cxbackfill login`: the cache holds what came of it.
    AuthorizationCode,
    /// An access key in the place of a user's name and password (CXone).
    Password(AccessKey),
    /// An access key as JSON (CXone, regional).
    AccessKey(AccessKey),
    /// A token that somebody got elsewhere.
    Static(SecretString),
}

/// An access key of a CXone user.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// Its id.
    pub id: SecretString,
    /// Its secret.
    pub secret: SecretString,
}

/// Who asks for tokens, and where.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// How.
    pub grant: Grant,
    /// As which client.
    pub client: ClientCredentials,
    /// Further fields of the form, the scope among them.
    pub form: Vec<(String, SecretString)>,
    /// The token endpoint, where it is not the one that the grant has on the login host.
    pub token_url: Option<Url>,
    /// The same for the endpoint that takes refresh tokens.
    pub refresh_url: Option<Url>,
}

/// What a token request offers for a token.
#[derive(Debug)]
pub enum GrantParams<'a> {
    /// What the grant has: the client's credentials or an access key.
    Credentials,
    /// A refresh token.
    Refresh(&'a SecretString),
    /// The code of a login.
    AuthorizationCode(&'a pkce::AuthorizationCode),
}

impl Grant {
    /// The grant's name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ClientCredentials => "client-credentials",
            Self::RefreshToken(_) => "refresh-token",
            Self::AuthorizationCode => "authorization-code",
            Self::Password(_) => "password",
            Self::AccessKey(_) => "access-key",
            Self::Static(_) => "static",
        }
    }

    /// Whether a token can be asked for without a refresh token.
    pub fn stands_alone(&self) -> bool {
        matches!(self, Self::ClientCredentials | Self::Password(_) | Self::AccessKey(_))
    }

    /// What to do when the login host refuses what this grant offers.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::ClientCredentials => "check auth.client_id, auth.client_secret and source.region",
            Self::RefreshToken(_) => {
                "log in again, and give the new refresh token as auth.refresh_token"
            }
            Self::AuthorizationCode => "log in again: cxbackfill login",
            Self::Password(_) => {
                "check auth.access_key_id, auth.access_key_secret, auth.client_id and auth.client_secret"
            }
            Self::AccessKey(_) => {
                "check auth.access_key_id, auth.access_key_secret and the area of the login host"
            }
            Self::Static(_) => "give a new auth.token: this one cannot be renewed",
        }
    }
}

impl Credentials {
    /// A name that tells accounts of one login host apart, and tells no secret.
    pub fn name(&self) -> String {
        let hash = |text: &SecretString| {
            format!("{:x}", Sha256::digest(text.expose_secret())).split_off(48)
        };
        match &self.grant {
            Grant::Password(key) => format!("{} {}", self.client.id, hash(&key.id)),
            Grant::AccessKey(key) => hash(&key.id),
            Grant::Static(token) => hash(token),
            _ => self.client.id.clone(),
        }
    }

    /// Where this account asks with that in hand. `login` is the login host, or with a path the token
    /// endpoint itself.
    pub fn endpoint(&self, login: &Url, grant_params: &GrantParams) -> Url {
        let (given, path) = match (&self.grant, grant_params) {
            (Grant::AccessKey(_), GrantParams::Refresh(_)) => {
                (&self.refresh_url, "/public/authentication/v1/refresh")
            }
            (Grant::AccessKey(_), _) => (&self.token_url, "/authentication/v1/token/access-key"),
            (Grant::Password(_), _) => (&self.token_url, "/auth/token"),
            _ => (&self.token_url, "/oauth/token"),
        };
        let refresh_url = matches!(grant_params, GrantParams::Refresh(_))
            .then_some(&self.refresh_url)
            .and_then(Option::as_ref);
        let told = || match &self.grant {
            Grant::AccessKey(_) => below(login, path),
            _ if login.path() != "/" => login.clone(),
            _ => below(login, path),
        };
        refresh_url.or(given.as_ref()).cloned().unwrap_or_else(told)
    }

    /// The request that offers `grant_params` at `endpoint`. Its body may hold secrets: never print it.
    ///
    /// # Errors
    /// Where a credential holds what no header can carry.
    pub fn request(
        &self,
        endpoint: &Url,
        grant_params: &GrantParams,
    ) -> Result<Request<Bytes>, http::Error> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(endpoint.as_str())
            .header(ACCEPT, "application/json");
        if let Grant::AccessKey(key) = &self.grant {
            let body = match grant_params {
                GrantParams::Refresh(token) => json!({ "token": token.expose_secret() }),
                _ => json!({
                    "accessKeyId": key.id.expose_secret(),
                    "accessKeySecret": key.secret.expose_secret(),
                }),
            };
            return request.header(CONTENT_TYPE, "application/json").body(body.to_string().into());
        }
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut form = form_urlencoded::Serializer::new(String::new());
        self.grant_params(&mut form, grant_params);
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

    /// A text of the server's without the secrets that it may quote from the request.
    pub fn redact(&self, text: &str, grant_params: &GrantParams) -> String {
        let form = self.form.iter().filter(|(name, _)| name != "scope").map(|(_, value)| value);
        let mut secrets: Vec<_> = self.client.secret.iter().chain(form).collect();
        match &self.grant {
            Grant::Password(key) | Grant::AccessKey(key) => secrets.extend([&key.id, &key.secret]),
            Grant::RefreshToken(token) | Grant::Static(token) => secrets.push(token),
            Grant::ClientCredentials | Grant::AuthorizationCode => {}
        }
        match grant_params {
            GrantParams::Credentials => {}
            GrantParams::Refresh(token) => secrets.push(token),
            GrantParams::AuthorizationCode(code) => secrets.extend([&code.code, &code.verifier]),
        }
        let secrets = secrets
            .into_iter()
            .map(ExposeSecret::expose_secret)
            .filter(|secret| secret.len() >= SHORTEST);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"))
    }

    /// The fields of `grant_params`.
    fn grant_params(
        &self,
        form: &mut form_urlencoded::Serializer<'_, String>,
        grant_params: &GrantParams,
    ) {
        match (grant_params, &self.grant) {
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

/// The header that carries `token`. It prints as `Sensitive`.
///
/// # Errors
/// Where the token holds what no header can carry.
pub(crate) fn bearer(token: &SecretString) -> Result<HeaderValue, http::Error> {
    secret_header(&format!("Bearer {}", token.expose_secret()))
}

fn basic(id: &str, secret: &SecretString) -> Result<HeaderValue, http::Error> {
    secret_header(&format!("Basic {}", STANDARD.encode(format!("{id}:{}", secret.expose_secret()))))
}

fn secret_header(text: &str) -> Result<HeaderValue, http::Error> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The address of `path` on `host`.
pub(crate) fn below(host: &Url, path: &str) -> Url {
    let mut url = host.clone();
    url.set_path(path);
    url
}

#[cfg(test)]
mod tests;

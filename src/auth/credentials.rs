//! Who requests tokens: a client and its grant.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use crate::auth::dialect::TokenDialect;

/// An OAuth client.
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// The client id, which is not secret.
    pub id: String,
    /// The client secret. `None` for a public client, which proves its identity by PKCE.
    pub secret: Option<SecretString>,
    /// Where a token request carries them.
    pub send: ClientAuthMethod,
}

/// Where a token request carries the client's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthMethod {
    /// In a Basic authorization header.
    Basic,
    /// In the form.
    Body,
}

/// How the first token is obtained.
#[derive(Debug, Clone)]
pub enum Grant {
    /// By the client's own credentials (RFC 6749, section 4.4).
    ClientCredentials,
    /// By a refresh token from elsewhere.
    RefreshToken(SecretString),
    /// By `cxbackfill login` in a browser, which stores tokens in the cache.
    AuthorizationCode,
    /// By an access key in place of a user's name and password.
    Password(AccessKey),
    /// By an access key as JSON.
    AccessKey(AccessKey),
    /// It is given, and cannot be renewed.
    Static(SecretString),
}

/// An access key of a user.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// The id of the key.
    pub id: SecretString,
    /// The secret of the key.
    pub secret: SecretString,
}

/// Who requests tokens, and where.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// How the first token is obtained.
    pub grant: Grant,
    /// The client that requests tokens.
    pub client: ClientCredentials,
    /// Further fields of the form, including the scope.
    pub form: Vec<(String, SecretString)>,
    /// The token endpoint. `None` if it is the platform's.
    pub token_url: Option<Url>,
    /// The endpoint for refresh tokens. `None` if it is the platform's.
    pub refresh_url: Option<Url>,
    /// The platform's endpoints and response fields.
    pub dialect: &'static TokenDialect,
}

impl Grant {
    /// The grant's name in the configuration.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::ClientCredentials => "client-credentials",
            Self::RefreshToken(_) => "refresh-token",
            Self::AuthorizationCode => "authorization-code",
            Self::Password(_) => "password",
            Self::AccessKey(_) => "access-key",
            Self::Static(_) => "static",
        }
    }

    /// Whether a token can be requested without a refresh token.
    pub(crate) fn needs_no_refresh_token(&self) -> bool {
        matches!(self, Self::ClientCredentials | Self::Password(_) | Self::AccessKey(_))
    }

    /// What to do if the login host rejects this grant.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::ClientCredentials => "check auth.client_id, auth.client_secret and source.region",
            Self::RefreshToken(_) => {
                "log in again, and give the new refresh token as auth.refresh_token"
            }
            Self::AuthorizationCode => "log in again: cxbackfill login",
            Self::Password(_) => {
                "check auth.access_key_id, auth.access_key_secret, auth.client_id and \
                 auth.client_secret"
            }
            Self::AccessKey(_) => {
                "check auth.access_key_id, auth.access_key_secret and the area of the login host"
            }
            Self::Static(_) => "give a new auth.token: this one cannot be renewed",
        }
    }
}

impl Credentials {
    /// A name that distinguishes the accounts of a login host and reveals no secret.
    pub(crate) fn name(&self) -> String {
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
}

//! `[auth]`: how tokens are requested and kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::{
    auth::{
        AccessKey, ClientAuthMethod, ClientCredentials, Credentials, Grant,
        settings::{AuthSettings, BrowserSettings},
        token::RenewalPolicy,
    },
    config::{
        layers::{ConfigError, Layers, environment::EnvironmentVariables},
        values::{DurationText, TextSource, checked_url, positive},
    },
    http::transport::is_loopback_host,
    platform::TOKEN_DIALECT,
};

/// Fields of a token request that other keys set.
const RESERVED_FIELDS: [&str; 10] = [
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "password",
    "redirect_uri",
    "refresh_token",
    "scope",
    "username",
];

/// The client id and secret for the simulator, which accepts any.
const SANDBOX_CREDENTIAL: &str = "sandbox";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthSection {
    grant: GrantName,
    client_id: Option<TextSource>,
    client_secret: Option<TextSource>,
    send: SendName,
    scope: Option<String>,
    #[serde(default)]
    form: BTreeMap<String, TextSource>,
    token_url: Option<Url>,
    refresh_url: Option<Url>,
    refresh_token: Option<TextSource>,
    access_key_id: Option<TextSource>,
    access_key_secret: Option<TextSource>,
    token: Option<TextSource>,
    cache: Option<PathBuf>,
    authorize_url: Option<Url>,
    redirect_url: Url,
    login_timeout: DurationText,
    refresh_ahead: DurationText,
    refresh_at: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum GrantName {
    ClientCredentials,
    RefreshToken,
    AuthorizationCode,
    Password,
    AccessKey,
    Static,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SendName {
    Basic,
    Body,
}

/// What the section is checked to.
pub(super) struct CheckedAuth {
    pub auth: AuthSettings,
    pub browser: BrowserSettings,
    /// A sentence for each place in which other users of this machine can see a secret.
    pub exposed: BTreeSet<String>,
}

/// The section with what its checks need.
struct AuthChecks<'a> {
    section: &'a AuthSection,
    environment: EnvironmentVariables,
    is_sandbox: bool,
    layers: &'a Layers,
}

impl AuthSection {
    /// Checks every key. `is_sandbox` is whether the simulator takes the place of the API.
    pub(super) fn check(
        self,
        is_sandbox: bool,
        layers: &Layers,
    ) -> Result<CheckedAuth, ConfigError> {
        let environment = EnvironmentVariables::read()?;
        let checks = AuthChecks { section: &self, environment, is_sandbox, layers };
        checks.refuse_unused()?;
        let credentials = checks.credentials()?;
        let cache = checks.cache()?;
        let browser = checks.browser()?;
        let renewal = checks.renewal()?;
        Ok(CheckedAuth {
            auth: AuthSettings { credentials, renewal, cache },
            browser,
            exposed: checks.environment.into_exposed(),
        })
    }
}

impl AuthChecks<'_> {
    fn credentials(&self) -> Result<Credentials, ConfigError> {
        let section = self.section;
        let url = |url: &Option<Url>, key| {
            url.clone().map(|url| checked_url(url, key, self.layers)).transpose()
        };
        Ok(Credentials {
            grant: self.grant()?,
            client: ClientCredentials {
                id: self.client_id()?,
                secret: self.client_secret()?,
                send: match section.send {
                    SendName::Basic => ClientAuthMethod::Basic,
                    SendName::Body => ClientAuthMethod::Body,
                },
            },
            form: self.form()?,
            token_url: url(&section.token_url, "auth.token_url")?,
            refresh_url: url(&section.refresh_url, "auth.refresh_url")?,
            dialect: &TOKEN_DIALECT,
        })
    }

    fn grant(&self) -> Result<Grant, ConfigError> {
        let section = self.section;
        let access_key = || -> Result<AccessKey, ConfigError> {
            Ok(AccessKey {
                id: self.needed(section.access_key_id.as_ref(), "auth.access_key_id")?,
                secret: self
                    .needed(section.access_key_secret.as_ref(), "auth.access_key_secret")?,
            })
        };
        Ok(match section.grant {
            GrantName::ClientCredentials => Grant::ClientCredentials,
            GrantName::RefreshToken => Grant::RefreshToken(
                self.needed(section.refresh_token.as_ref(), "auth.refresh_token")?,
            ),
            GrantName::AuthorizationCode => Grant::AuthorizationCode,
            GrantName::Password => Grant::Password(access_key()?),
            GrantName::AccessKey => Grant::AccessKey(access_key()?),
            GrantName::Static => Grant::Static(self.needed(section.token.as_ref(), "auth.token")?),
        })
    }

    /// The client's id, which is empty for a grant that needs no client.
    fn client_id(&self) -> Result<String, ConfigError> {
        let needs_client = !matches!(self.section.grant, GrantName::AccessKey | GrantName::Static);
        match &self.section.client_id {
            None if self.is_sandbox => Ok(SANDBOX_CREDENTIAL.to_owned()),
            None if !needs_client => Ok(String::new()),
            id => {
                let id = self.given(id.as_ref(), "auth.client_id")?;
                let id = self.environment.text(id, "auth.client_id", self.layers)?;
                Ok(id.expose_secret().to_owned())
            }
        }
    }

    /// The client's secret. `None` for a public client, whose secret is written as an empty string,
    /// and for a grant that needs no client.
    fn client_secret(&self) -> Result<Option<SecretString>, ConfigError> {
        let is_empty = |text: &TextSource| match text {
            TextSource::Here(text) => text.expose_secret().is_empty(),
            _ => false,
        };
        let secret = self.section.client_secret.as_ref();
        match self.section.grant {
            GrantName::AccessKey | GrantName::Static => Ok(None),
            GrantName::AuthorizationCode | GrantName::RefreshToken
                if secret.is_some_and(is_empty) =>
            {
                Ok(None)
            }
            _ if secret.is_none() && self.is_sandbox => Ok(Some(SANDBOX_CREDENTIAL.into())),
            _ => self.needed(secret, "auth.client_secret").map(Some),
        }
    }

    fn form(&self) -> Result<Vec<(String, SecretString)>, ConfigError> {
        let mut form = Vec::new();
        if let Some(scope) = &self.section.scope {
            form.push(("scope".to_owned(), scope.as_str().into()));
        }
        for (name, value) in &self.section.form {
            let key = format!("auth.form.{name}");
            if RESERVED_FIELDS.contains(&name.as_str()) {
                let message = "other keys of [auth] set this field: leave it out";
                return Err(self.layers.error(&key, message));
            }
            form.push((name.clone(), self.secret(value, &key)?));
        }
        Ok(form)
    }

    /// Refuses keys that only other grants use, since they would have no effect.
    fn refuse_unused(&self) -> Result<(), ConfigError> {
        use GrantName::{AccessKey, AuthorizationCode, Password, RefreshToken, Static};
        let section = self.section;
        let keys: [(&str, bool, &[GrantName]); 5] = [
            ("auth.refresh_token", section.refresh_token.is_some(), &[RefreshToken]),
            ("auth.access_key_id", section.access_key_id.is_some(), &[Password, AccessKey]),
            ("auth.access_key_secret", section.access_key_secret.is_some(), &[Password, AccessKey]),
            ("auth.token", section.token.is_some(), &[Static]),
            ("auth.authorize_url", section.authorize_url.is_some(), &[AuthorizationCode]),
        ];
        for (key, is_given, grants) in keys {
            if is_given && !grants.contains(&section.grant) {
                let message = "the grant in auth.grant does not use it: leave it out";
                return Err(self.layers.error(key, message));
            }
        }
        Ok(())
    }

    fn cache(&self) -> Result<Option<PathBuf>, ConfigError> {
        let error = |message| Err(self.layers.error("auth.cache", message));
        match (self.section.grant, &self.section.cache) {
            (GrantName::AuthorizationCode, None) => {
                error("missing: name a file in which `cxbackfill login` stores the tokens")
            }
            (GrantName::RefreshToken, None) => error(
                "missing: name a file that keeps the new refresh token, since the server replaces \
                 it at each use",
            ),
            (GrantName::Static, Some(_)) => error("a given token is not cached: leave it out"),
            (_, Some(path)) => self.layers.resolve("auth.cache", path).map(Some),
            (_, None) => Ok(None),
        }
    }

    fn browser(&self) -> Result<BrowserSettings, ConfigError> {
        let section = self.section;
        let redirect = section.redirect_url.clone();
        if redirect.scheme() != "http" || !is_loopback_host(&redirect) || redirect.port().is_none()
        {
            let message = format!(
                "`{redirect}` is not an address of this machine with a port: write it like \
                 http://127.0.0.1:8484/callback"
            );
            return Err(self.layers.error("auth.redirect_url", message));
        }
        let authorize = section
            .authorize_url
            .clone()
            .map(|url| checked_url(url, "auth.authorize_url", self.layers));
        Ok(BrowserSettings {
            redirect,
            timeout: positive(section.login_timeout, "auth.login_timeout", self.layers)?,
            authorize: authorize.transpose()?,
            scope: section.scope.clone(),
        })
    }

    fn renewal(&self) -> Result<RenewalPolicy, ConfigError> {
        let (ahead, at): (Duration, f64) = (self.section.refresh_ahead.0, self.section.refresh_at);
        if !(at > 0.0 && at <= 1.0) {
            let message =
                format!("`{at}` is not a share of the lifetime: expected more than 0, at most 1");
            return Err(self.layers.error("auth.refresh_at", message));
        }
        Ok(RenewalPolicy { ahead, at })
    }

    fn needed(&self, text: Option<&TextSource>, key: &str) -> Result<SecretString, ConfigError> {
        self.secret(self.given(text, key)?, key)
    }

    fn given<'t>(
        &self,
        text: Option<&'t TextSource>,
        key: &str,
    ) -> Result<&'t TextSource, ConfigError> {
        let missing = || self.layers.error(key, "missing: the grant in auth.grant needs it");
        text.ok_or_else(missing)
    }

    fn secret(&self, text: &TextSource, key: &str) -> Result<SecretString, ConfigError> {
        self.environment.secret(text, key, self.layers)
    }
}

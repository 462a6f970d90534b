//! `[auth]`: who asks for tokens, how, and where they are kept.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

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

/// Fields of a token request that have keys of their own.
const RESERVED: [&str; 10] = [
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

/// The section as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthSection {
    grant: GrantName,
    client_id: TextSource,
    client_secret: TextSource,
    send: SendBy,
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
enum SendBy {
    Basic,
    Body,
}

/// What every check needs.
struct GrantChecks<'a> {
    section: &'a AuthSection,
    environment: EnvironmentVariables,
    at: &'a Layers,
}

impl AuthSection {
    /// Checks every key.
    pub(crate) fn check(self, at: &Layers) -> Result<(AuthSettings, BrowserSettings), ConfigError> {
        let check = GrantChecks { section: &self, environment: EnvironmentVariables::read()?, at };
        check.unused()?;
        let credentials = check.credentials()?;
        check.cache()?;
        let browser = check.browser()?;
        let renewal = check.renewal()?;
        Ok((AuthSettings { credentials, renewal, cache: self.cache }, browser))
    }
}

impl GrantChecks<'_> {
    fn credentials(&self) -> Result<Credentials, ConfigError> {
        let section = self.section;
        let url = |url: &Option<Url>, key| {
            url.clone().map(|url| checked_url(url, key, self.at)).transpose()
        };
        Ok(Credentials {
            grant: self.grant()?,
            client: ClientCredentials {
                id: self.text(&section.client_id, "auth.client_id")?.expose_secret().to_owned(),
                secret: self.client_secret()?,
                send: match section.send {
                    SendBy::Basic => ClientAuthMethod::Basic,
                    SendBy::Body => ClientAuthMethod::Body,
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
        let key = || -> Result<AccessKey, ConfigError> {
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
            GrantName::Password => Grant::Password(key()?),
            GrantName::AccessKey => Grant::AccessKey(key()?),
            GrantName::Static => Grant::Static(self.needed(section.token.as_ref(), "auth.token")?),
        })
    }

    /// The secret of a client that has one: a public client's is written as an empty text.
    fn client_secret(&self) -> Result<Option<SecretString>, ConfigError> {
        let public = matches!(&self.section.client_secret, TextSource::Here(text) if text.expose_secret().is_empty());
        match self.section.grant {
            GrantName::AccessKey | GrantName::Static => Ok(None),
            GrantName::AuthorizationCode | GrantName::RefreshToken if public => Ok(None),
            _ => self.text(&self.section.client_secret, "auth.client_secret").map(Some),
        }
    }

    fn form(&self) -> Result<Vec<(String, SecretString)>, ConfigError> {
        let mut form: Vec<_> = self
            .section
            .scope
            .iter()
            .map(|scope| ("scope".to_owned(), scope.as_str().into()))
            .collect();
        for (name, value) in &self.section.form {
            let key = format!("auth.form.{name}");
            if RESERVED.contains(&name.as_str()) {
                return Err(self.at.wrong(
                    &key,
                    "this field follows from the other keys of [auth]: leave it out",
                ));
            }
            form.push((name.clone(), self.text(value, &key)?));
        }
        Ok(form)
    }

    /// A key that another grant needs would do nothing here.
    fn unused(&self) -> Result<(), ConfigError> {
        use GrantName::{AccessKey, AuthorizationCode, Password, RefreshToken, Static};
        let section = self.section;
        let keys: [(&str, bool, &[GrantName]); 5] = [
            ("auth.refresh_token", section.refresh_token.is_some(), &[RefreshToken]),
            ("auth.access_key_id", section.access_key_id.is_some(), &[Password, AccessKey]),
            ("auth.access_key_secret", section.access_key_secret.is_some(), &[Password, AccessKey]),
            ("auth.token", section.token.is_some(), &[Static]),
            ("auth.authorize_url", section.authorize_url.is_some(), &[AuthorizationCode]),
        ];
        match keys
            .iter()
            .find(|(_, overrides, grants)| *overrides && !grants.contains(&section.grant))
        {
            Some((key, ..)) => Err(self
                .at
                .wrong(key, "the grant that auth.grant names does not use it: leave it out")),
            None => Ok(()),
        }
    }

    fn cache(&self) -> Result<(), ConfigError> {
        let wrong = |message| Err(self.at.wrong("auth.cache", message));
        match (self.section.grant, &self.section.cache) {
            (GrantName::AuthorizationCode, None) => {
                wrong("name a file: cxbackfill login stores the tokens there")
            }
            (GrantName::RefreshToken, None) => wrong(
                "name a file: the server replaces the refresh token at each use, and the new one must outlive us",
            ),
            (GrantName::Static, Some(_)) => {
                wrong("a token that is given is not cached: leave it out")
            }
            _ => Ok(()),
        }
    }

    fn browser(&self) -> Result<BrowserSettings, ConfigError> {
        let section = self.section;
        let redirect = section.redirect_url.clone();
        if redirect.scheme() != "http" || !is_loopback_host(&redirect) || redirect.port().is_none()
        {
            let message =
                "it is on this machine and has a port, like http://127.0.0.1:8484/callback";
            return Err(self.at.wrong("auth.redirect_url", message));
        }
        let authorize = section
            .authorize_url
            .clone()
            .map(|url| checked_url(url, "auth.authorize_url", self.at));
        let timeout = positive(section.login_timeout, "auth.login_timeout", self.at)?;
        Ok(BrowserSettings {
            redirect,
            timeout,
            authorize: authorize.transpose()?,
            scope: section.scope.clone(),
        })
    }

    fn renewal(&self) -> Result<RenewalPolicy, ConfigError> {
        let (ahead, at): (Duration, f64) = (self.section.refresh_ahead.0, self.section.refresh_at);
        if !(at > 0.0 && at <= 1.0) {
            return Err(self.at.wrong(
                "auth.refresh_at",
                "it is a share of the lifetime: more than 0, at most 1",
            ));
        }
        Ok(RenewalPolicy { ahead, at })
    }

    fn needed(&self, text: Option<&TextSource>, key: &str) -> Result<SecretString, ConfigError> {
        let text =
            text.ok_or_else(|| self.at.wrong(key, "the grant that auth.grant names needs it"))?;
        self.text(text, key)
    }

    fn text(&self, text: &TextSource, key: &str) -> Result<SecretString, ConfigError> {
        self.environment.text(text, key, self.at)
    }
}

//! Everything that knows a vendor, one file each.
//!
//! The generic modules (`http`, `auth`, `fetch`, `commands`) take what differs between platforms as
//! values; [`genesys`], [`cxone`] and [`custom`] hold those values and [`discovery`] finds the
//! hosts of a platform that publishes them. A further platform is one file here and one TOML file
//! in `catalog`. Start reading with [`Platform`].

pub(crate) mod custom;
pub(crate) mod cxone;
pub(crate) mod discovery;
pub(crate) mod genesys;
pub(crate) mod issuer;
mod starter;

pub(crate) use self::starter::Starter;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    auth::{Grant, dialect::TokenDialect},
    http::dialect::Dialect,
};

/// Whose API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    GenesysCloud,
    NiceCxone,
    /// Any other API: the configuration names its hosts and a file describes its datasets.
    Custom,
}

/// What the program knows of one platform.
pub(crate) struct Profile {
    /// The name in the configuration.
    pub name: &'static str,
    /// The API version of the built-in datasets. `None` if the platform has no versions, or nobody
    /// knows them.
    pub default_api_version: Option<&'static str>,
    /// Whether the configuration may choose the API version.
    pub has_api_versions: bool,
    /// Headers and errors of the API.
    pub dialect: &'static Dialect,
    /// How the platform describes a token and the organization's limits. `None` if it does not.
    pub introspection: Option<&'static Introspection>,
    /// What a first configuration has. `None` if it cannot be made from a few answers.
    pub starter: Option<Starter>,
}

/// The endpoints that describe the owner of a token and the organization's limits.
pub(crate) struct Introspection {
    /// Paths that describe the owner of a token. If the first is refused, the next one is tried.
    pub identity_paths: &'static [&'static str],
    /// Reads the owner from a response body.
    pub read_identity: fn(&Value) -> Identity,
    /// Paths that list the organization's limits.
    pub limit_paths: &'static [&'static str],
    /// Reads the request limits from a response body, each as `name value`.
    pub read_limits: fn(&Value) -> Vec<String>,
}

/// The owner of a token.
pub(crate) struct Identity {
    /// The id of the client. `None` if the response does not say.
    pub client: Option<String>,
    /// The name of the organization. `None` if the response does not say.
    pub organization: Option<String>,
    /// The scopes of the token.
    pub scopes: Vec<String>,
}

/// Token endpoints and token responses, the same for every platform, since `auth.grant` may name
/// any grant on any platform.
pub(crate) static TOKEN_DIALECT: TokenDialect = TokenDialect {
    http: Dialect {
        correlation_id: genesys::DIALECT.correlation_id,
        error_reason: cxone::DIALECT.error_reason,
        throttle_messages: genesys::TOKEN_THROTTLE_MESSAGES,
        ..Dialect::STANDARD
    },
    authorize_path: "/oauth/authorize",
    token_path: "/oauth/token",
    password_path: cxone::PASSWORD_PATH,
    access_key_path: cxone::ACCESS_KEY_PATH,
    access_key_refresh_path: cxone::ACCESS_KEY_REFRESH_PATH,
    access_token_fields: &["access_token", cxone::ACCESS_TOKEN_FIELD],
    lifetime_fields: &["expires_in", cxone::LIFETIME_FIELD],
    refresh_token_fields: &["refresh_token", cxone::REFRESH_TOKEN_FIELD],
};

impl Profile {
    /// The path of a cheap request that no dataset has to do with, and that any platform which is
    /// there answers, if only with 404.
    ///
    /// `/` where the platform publishes no such request. Its answer shows that the network and the
    /// host are there, and not that every service behind the host is: if those fail, the attempts
    /// of each request decide. A path of a dataset would make its own failure an outage of all.
    pub(crate) fn probe_path(&self) -> &'static str {
        self.introspection.and_then(|paths| paths.identity_paths.first().copied()).unwrap_or("/")
    }
}

impl Platform {
    /// All platforms.
    pub(crate) const ALL: [Self; 3] = [Self::GenesysCloud, Self::NiceCxone, Self::Custom];

    /// What the program knows of the platform.
    pub(crate) fn profile(self) -> &'static Profile {
        match self {
            Self::GenesysCloud => &genesys::PROFILE,
            Self::NiceCxone => &cxone::PROFILE,
            Self::Custom => &custom::PROFILE,
        }
    }

    /// The platform's name in the configuration.
    pub fn name(self) -> &'static str {
        self.profile().name
    }

    /// The URLs of the API and of the login host in `region`. `None` if the platform does not have
    /// that region.
    pub(crate) fn hosts(self, region: &str, grant: &Grant) -> Option<[String; 2]> {
        match self {
            Self::GenesysCloud => genesys::hosts(region),
            Self::NiceCxone => cxone::hosts(region, grant),
            Self::Custom => None,
        }
    }

    /// What may be written as the region, to complete "expected `sandbox` or".
    pub(crate) fn expected_region(self) -> String {
        match self {
            Self::GenesysCloud => format!("one of {}", genesys::region_names()),
            Self::NiceCxone => "an area such as na1".to_owned(),
            Self::Custom => "nothing, since a custom platform has no regions".to_owned(),
        }
    }
}

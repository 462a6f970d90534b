//! `[source]`: whose API, and where it is.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::Deserialize;
use url::Url;

use crate::{
    auth::{Credentials, Grant},
    catalog::{self, Catalog},
    config::{
        HostSettings,
        layers::{ConfigError, Layers, sources},
        sections::sandbox::SandboxSection,
        values::{HttpUrl, checked_url},
    },
    platform::Platform,
};

/// The region that is a simulator.
const SANDBOX: &str = "sandbox";

/// The section as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceSection {
    name: Option<String>,
    pub platform: Platform,
    region: String,
    api_version: Option<String>,
    catalog: Option<PathBuf>,
    api_url: Option<HttpUrl>,
    login_url: Option<HttpUrl>,
    issuer: Option<HttpUrl>,
    tenant: Option<String>,
}

impl SourceSection {
    /// Its name, if it has one.
    pub(crate) fn name(&self, at: &Layers) -> Result<Option<String>, ConfigError> {
        match &self.name {
            // its directory would not follow
            Some(name) if at.listed().is_some_and(|listed| listed != name) => Err(at.wrong(
                "source.name",
                "a source of a list is named in the file alone: leave it out",
            )),
            Some(name) if !sources::is_fit(name) => {
                Err(at.wrong("source.name", sources::unfit(name)))
            }
            name => Ok(name.clone()),
        }
    }

    /// The platform's datasets, and the user's own, which replace those of the same name.
    pub(crate) fn catalog(&self, at: &Layers) -> Result<Catalog, ConfigError> {
        let mut catalog = catalog::builtin(self.platform.name()).cloned().unwrap_or_default();
        if let Some(path) = &self.catalog {
            let path = at.beside(path);
            let file = path.display().to_string();
            let unread =
                |error| at.wrong("source.catalog", format!("{file} cannot be read: {error}"));
            let own = catalog::read(&file, &fs::read_to_string(&path).map_err(unread)?)?;
            catalog.datasets.extend(own.datasets);
            catalog.buckets.extend(own.buckets);
        }
        if catalog.datasets.is_empty() {
            let message = format!(
                "{} has no datasets of its own: describe them in a file",
                self.platform.name()
            );
            return Err(at.wrong("source.catalog", message));
        }
        Ok(catalog)
    }

    /// The version of the API, where it has several.
    pub(crate) fn api_version(&self, at: &Layers) -> Result<Option<String>, ConfigError> {
        let Some(version) = &self.api_version else {
            return Ok(self.platform.profile().default_api_version.map(str::to_owned));
        };
        if !self.platform.profile().has_api_versions {
            let message = format!("{} has only one: leave it out", self.platform.name());
            return Err(at.wrong("source.api_version", message));
        }
        // it stands in the path of a request that carries the token (G10)
        let is_fit = version.starts_with(|first: char| first.is_ascii_alphanumeric())
            && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        let wrong = || {
            at.wrong(
                "source.api_version",
                format!("`{version}` does not fit a path: write it like v34.0"),
            )
        };
        is_fit.then(|| Some(version.clone())).ok_or_else(wrong)
    }

    /// Where the API and its login are, for that account.
    pub(crate) fn hosts(
        &self,
        sandbox: &SandboxSection,
        credentials: &Credentials,
        at: &Layers,
    ) -> Result<HostSettings, ConfigError> {
        if let Some(hosts) = self.discovered(at)? {
            return Ok(hosts);
        }
        if self.is_sandbox() {
            return Ok(HostSettings::Sandbox(sandbox.check(at)?));
        }
        if self.platform == Platform::Custom && !at.is_built_in("source.region") {
            return Err(at.wrong("source.region", "a custom platform has none: leave it out"));
        }
        let known = self.platform.hosts(&self.region, &credentials.grant);
        let [known_api, known_login] = known.map_or([None, None], |hosts| hosts.map(Some));
        let api = self.host("api", self.api_url.as_ref(), known_api, at)?;
        let login =
            match (self.platform, &self.login_url, &credentials.token_url, &credentials.grant) {
                (Platform::Custom, None, Some(endpoint), _) => endpoint.clone(),
                // nobody logs in with a token that is given
                (Platform::Custom, None, None, Grant::Static(_)) => api.clone(),
                _ => self.host("login", self.login_url.as_ref(), known_login, at)?,
            };
        Ok(HostSettings::Network { api, login })
    }

    /// One of the two hosts: as given, else as the platform has it.
    fn host(
        &self,
        name: &str,
        overrides: Option<&HttpUrl>,
        known: Option<String>,
        at: &Layers,
    ) -> Result<Url, ConfigError> {
        let key = format!("source.{name}_url");
        if let Some(HttpUrl(url)) = overrides {
            // a dataset's path would replace it without a word
            if name == "api" && url.path() != "/" {
                let path = url.path();
                return Err(at.wrong(
                    &key,
                    format!("a host has no path: begin the paths of datasets with `{path}`"),
                ));
            }
            return checked_url(url.clone(), &key, at);
        }
        if let Some(url) = known {
            return url
                .parse()
                .map_err(|error: url::ParseError| at.wrong("source.region", error.to_string()));
        }
        let region = &self.region;
        Err(match self.platform {
            Platform::Custom => {
                at.wrong(&key, "nobody knows the hosts of a custom platform: give it")
            }
            _ if region == SANDBOX => {
                let other = if name == "api" { "source.login_url" } else { "source.api_url" };
                at.wrong(other, format!("give {key} too, or neither of them to start the sandbox"))
            }
            platform => {
                let expected = platform.expected_region();
                at.wrong(
                    "source.region",
                    format!("unknown region `{region}`: expected `sandbox` or {expected}"),
                )
            }
        })
    }

    /// The hosts that the platform is to tell, if the configuration says so.
    fn discovered(&self, at: &Layers) -> Result<Option<HostSettings>, ConfigError> {
        let Some(HttpUrl(issuer)) = self.issuer.clone() else {
            return match self.tenant {
                Some(_) => Err(
                    at.wrong("source.tenant", "it is of use with source.issuer only: leave it out")
                ),
                None => Ok(None),
            };
        };
        if self.api_url.is_some() || self.login_url.is_some() {
            return Err(at.wrong(
                "source.issuer",
                "it tells the hosts: leave source.api_url and source.login_url out",
            ));
        }
        let issuer = checked_url(issuer, "source.issuer", at)?;
        Ok(Some(HostSettings::Discovered { issuer, tenant: self.tenant.clone() }))
    }

    fn is_sandbox(&self) -> bool {
        let elsewhere = self.api_url.is_some() || self.login_url.is_some() || self.issuer.is_some();
        self.region == SANDBOX && self.platform != Platform::Custom && !elsewhere
    }

    /// What of it must not change from run to run on one output.
    pub(crate) fn identity(
        &self,
        sandbox: &SandboxSection,
        api_version: Option<&str>,
    ) -> BTreeMap<String, String> {
        let source = match (&self.api_url, &self.issuer) {
            (Some(HttpUrl(url)), _) => url.to_string(),
            (None, Some(HttpUrl(issuer))) => {
                format!("{issuer} {}", self.tenant.as_deref().unwrap_or_default())
            }
            (None, None) => self.region.clone(),
        };
        let mut identity = BTreeMap::from([("source".to_owned(), source)]);
        identity.extend(api_version.map(|version| ("api_version".to_owned(), version.to_owned())));
        if self.is_sandbox() {
            identity.insert("sandbox.seed".to_owned(), sandbox.seed.to_string());
            identity.insert(
                "sandbox.conversations_per_day".to_owned(),
                sandbox.conversations_per_day.to_string(),
            );
        }
        identity
    }
}

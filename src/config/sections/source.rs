//! `[source]`: the platform, and where its API is.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use jiff::tz::TimeZone;
use serde::Deserialize;
use url::Url;

use crate::{
    auth::{Credentials, Grant},
    catalog::{self, Catalog},
    config::{
        HostSettings,
        layers::{ConfigError, Layers, MOST_BYTES, sources},
        sections::sandbox::SandboxSection,
        values::{HttpUrl, checked_url},
    },
    platform::{Platform, issuer::Issuer},
    system::files,
};

/// The time zone that needs no database.
const UTC: &str = "UTC";

/// The region that starts the simulator.
pub(crate) const SANDBOX: &str = "sandbox";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceSection {
    name: Option<String>,
    pub platform: Platform,
    region: Option<String>,
    api_version: Option<String>,
    catalog: Option<PathBuf>,
    api_url: Option<HttpUrl>,
    login_url: Option<HttpUrl>,
    issuer: Option<HttpUrl>,
    #[serde(default)]
    issuer_domains: Vec<String>,
    tenant: Option<String>,
    timezone: String,
}

/// Whether a text is a domain of two labels at least, in lower case.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && label.chars().all(is_allowed)
    };
    text.contains('.') && text.split('.').all(is_label)
}

impl SourceSection {
    /// The name of the source, if it has one.
    pub(super) fn name(&self, layers: &Layers) -> Result<Option<String>, ConfigError> {
        match &self.name {
            // the output folder would not follow
            Some(name) if layers.listed().is_some_and(|listed| listed != name) => Err(layers
                .error("source.name", "only the file can name a source of a list: leave it out")),
            Some(name) if !sources::is_valid_name(name) => {
                Err(layers.error("source.name", sources::invalid_name(name)))
            }
            name => Ok(name.clone()),
        }
    }

    /// The platform's datasets and the user's own, which replace those of the same name.
    pub(super) fn catalog(&self, layers: &Layers) -> Result<Catalog, ConfigError> {
        let mut catalog = catalog::builtin(self.platform.name()).cloned().unwrap_or_default();
        if let Some(path) = &self.catalog {
            let path = layers.resolve("source.catalog", path)?;
            let file = path.display().to_string();
            let text = files::read_text(&path, MOST_BYTES)
                .map_err(|error| layers.error("source.catalog", format!("{file} {error}")))?;
            let own = catalog::read(&file, &text)?;
            catalog.datasets.extend(own.datasets);
            catalog.buckets.extend(own.buckets);
        }
        if catalog.datasets.is_empty() {
            let message = format!(
                "missing: {} has no built-in datasets; describe them in a file",
                self.platform.name()
            );
            return Err(layers.error("source.catalog", message));
        }
        let zone = self.zone(layers)?;
        for dataset in catalog.datasets.values_mut() {
            if dataset.zone != zone {
                Arc::make_mut(dataset).zone = zone.clone();
            }
        }
        Ok(catalog)
    }

    /// The zone of times that name none.
    fn zone(&self, layers: &Layers) -> Result<TimeZone, ConfigError> {
        let name = &self.timezone;
        if name == UTC {
            return Ok(TimeZone::UTC);
        }
        TimeZone::get(name).map_err(|_| {
            let message = format!(
                "unknown time zone `{name}`: expected an IANA name such as `Europe/Berlin`, and a \
                 time zone database on this machine (the package tzdata)"
            );
            layers.error("source.timezone", message)
        })
    }

    /// The version of the API, if the platform has versions.
    pub(super) fn api_version(&self, layers: &Layers) -> Result<Option<String>, ConfigError> {
        let Some(version) = &self.api_version else {
            return Ok(self.platform.profile().default_api_version.map(str::to_owned));
        };
        if !self.platform.profile().has_api_versions {
            let message = format!("{} has only one: leave it out", self.platform.name());
            return Err(layers.error("source.api_version", message));
        }
        // it becomes part of the path of a request that carries the token (G10)
        let is_valid = version.starts_with(|first: char| first.is_ascii_alphanumeric())
            && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        if !is_valid {
            let message = format!("`{version}` is not a valid version: write it like v34.0");
            return Err(layers.error("source.api_version", message));
        }
        Ok(Some(version.clone()))
    }

    /// Where the API and its login are.
    pub(super) fn hosts(
        &self,
        sandbox: &SandboxSection,
        credentials: &Credentials,
        layers: &Layers,
    ) -> Result<HostSettings, ConfigError> {
        if let Some(hosts) = self.discovered(layers)? {
            return Ok(hosts);
        }
        if self.is_sandbox() {
            return Ok(HostSettings::Sandbox(sandbox.check(layers)?));
        }
        if self.platform == Platform::Custom && self.region.is_some() {
            let message = "a custom platform has no regions: leave it out";
            return Err(layers.error("source.region", message));
        }
        let known =
            self.region.as_ref().and_then(|region| self.platform.hosts(region, &credentials.grant));
        let [known_api, known_login] = known.map_or([None, None], |hosts| hosts.map(Some));
        let api = self.host("api", self.api_url.as_ref(), known_api, layers)?;
        let login =
            match (self.platform, &self.login_url, &credentials.token_url, &credentials.grant) {
                (Platform::Custom, None, Some(endpoint), _) => endpoint.clone(),
                // a static token needs no login
                (Platform::Custom, None, None, Grant::Static(_)) => api.clone(),
                _ => self.host("login", self.login_url.as_ref(), known_login, layers)?,
            };
        Ok(HostSettings::Network { api, login })
    }

    /// One of the two hosts: the given one, else that of the region.
    fn host(
        &self,
        name: &str,
        given: Option<&HttpUrl>,
        known: Option<String>,
        layers: &Layers,
    ) -> Result<Url, ConfigError> {
        let key = format!("source.{name}_url");
        if let Some(HttpUrl(url)) = given {
            // joining a dataset's path would silently replace it
            if name == "api" && url.path() != "/" {
                let path = url.path();
                let message = format!(
                    "a host cannot have a path: begin the paths of the datasets with `{path}`"
                );
                return Err(layers.error(&key, message));
            }
            return checked_url(url.clone(), &key, layers);
        }
        if let Some(url) = known {
            return url.parse().map_err(|error: url::ParseError| {
                layers.error("source.region", error.to_string())
            });
        }
        let other = if name == "api" { "source.login_url" } else { "source.api_url" };
        let has_other = self.api_url.is_some() || self.login_url.is_some();
        Err(match (self.platform, &self.region) {
            (Platform::Custom, _) => {
                layers.error(&key, "missing: the hosts of a custom platform are not known")
            }
            (_, None) if has_other => {
                layers.error(other, format!("give {key} too, or source.region"))
            }
            (_, None) => {
                let message = format!(
                    "missing: expected {}; `sandbox` starts the simulator",
                    self.platform.expected_region()
                );
                layers.error("source.region", message)
            }
            (_, Some(region)) if region == SANDBOX => {
                let message =
                    format!("give {key} too, or neither of the two to start the simulator");
                layers.error(other, message)
            }
            (platform, Some(region)) => {
                let expected = platform.expected_region();
                layers.error(
                    "source.region",
                    format!("unknown region `{region}`: expected `sandbox` or {expected}"),
                )
            }
        })
    }

    /// The hosts that the platform publishes, if the configuration names an issuer.
    fn discovered(&self, layers: &Layers) -> Result<Option<HostSettings>, ConfigError> {
        let Some(HttpUrl(issuer)) = self.issuer.clone() else {
            let unused = |key, what: &str| {
                Err(layers.error(key, format!("only source.issuer uses {what}: leave it out")))
            };
            return match (&self.tenant, self.issuer_domains.is_empty()) {
                (Some(_), _) => unused("source.tenant", "a tenant"),
                (None, false) => unused("source.issuer_domains", "them"),
                (None, true) => Ok(None),
            };
        };
        if self.api_url.is_some() || self.login_url.is_some() {
            return Err(layers.error(
                "source.issuer",
                "the issuer publishes the hosts: leave source.api_url and source.login_url out",
            ));
        }
        let url = checked_url(issuer, "source.issuer", layers)?;
        let domains = self.issuer_domains.clone();
        if let Some(wrong) = domains.iter().find(|domain| !is_domain(domain)) {
            let message = format!("`{wrong}` is not a domain: write it like example.com");
            return Err(layers.error("source.issuer_domains", message));
        }
        let issuer = Issuer { url, domains };
        Ok(Some(HostSettings::Discovered { issuer, tenant: self.tenant.clone() }))
    }

    /// The region of the platform. `None` if the configuration names hosts instead.
    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Whether the simulator takes the place of the API.
    pub(super) fn is_sandbox(&self) -> bool {
        let has_hosts = self.api_url.is_some() || self.login_url.is_some() || self.issuer.is_some();
        self.region.as_deref() == Some(SANDBOX) && self.platform != Platform::Custom && !has_hosts
    }

    /// What must stay the same from run to run on one output.
    pub(super) fn identity(
        &self,
        sandbox: &SandboxSection,
        api_version: Option<&str>,
    ) -> BTreeMap<String, String> {
        let source = match (&self.api_url, &self.issuer) {
            (Some(HttpUrl(url)), _) => url.to_string(),
            (None, Some(HttpUrl(issuer))) => {
                format!("{issuer} {}", self.tenant.as_deref().unwrap_or_default())
            }
            (None, None) => self.region.clone().unwrap_or_default(),
        };
        let mut identity = BTreeMap::from([
            ("source".to_owned(), source),
            ("timezone".to_owned(), self.timezone.clone()),
        ]);
        if let Some(version) = api_version {
            identity.insert("api_version".to_owned(), version.to_owned());
        }
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

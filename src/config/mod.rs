//! The configuration: what the user typed becomes what the program needs.
//!
//! `layers` merges the defaults, the file, `[[source]]` and `--set`, and remembers where each key
//! was given. `sections` has the keys of the TOML file as typed and checks them; the result is a
//! [`Config`], which does not change while the program runs. Every error names the place and the
//! key, and says what is expected.

pub(crate) mod layers;
pub(crate) mod nearest;
mod scope;
pub(crate) mod sections;
pub(crate) mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

use serde_json::{Map, Value};
use url::Url;

pub(crate) use self::{
    layers::ConfigError,
    scope::{BackfillScope, DatasetSelection, load_sandbox, load_scopes, load_selections},
};
use self::{layers::Layers, sections::ConfigFile};
use crate::{
    auth::{
        GrantParams,
        settings::{AuthSettings, BrowserSettings},
    },
    catalog::{Catalog, Dataset},
    fetch::FetchSettings,
    http::{rate_limit::QuotaSettings, retry::RetryPolicy, transport::is_loopback_host},
    ledger::version_key,
    platform::{Platform, issuer::Issuer},
    privacy::Policies,
    sandbox::Settings,
    sink::{FileMode, ParquetSettings},
    time::interval::Interval,
};

/// The filter of each dataset: keys of its requests, in the platform's own terms.
pub(crate) type Filters = BTreeMap<String, Map<String, Value>>;

/// The checked configuration of a backfill from one source.
#[derive(Debug)]
pub struct Config {
    /// The name of the run, for logs.
    pub name: String,
    /// The name of the source. `None` if it is the only one and has no name.
    pub source: Option<String>,
    /// The platform of the API.
    pub platform: Platform,
    /// The version of the API, safe to use in a path. `None` if the platform has no versions.
    pub api_version: Option<String>,
    /// The interval to fetch: that of the job, or the one that `run --again` names.
    pub interval: Interval,
    /// The interval of the job.
    pub job_interval: Interval,
    /// When the program started, in milliseconds since 1970. The interval of a dataset ends its lag
    /// before this, and snapshots are of its day.
    pub now: i64,
    /// The datasets to fetch.
    pub datasets: Vec<Arc<Dataset>>,
    /// All datasets of the platform, the user's own included.
    pub catalog: Catalog,
    /// Where the API and its login are.
    pub hosts: HostSettings,
    /// How tokens are requested and kept.
    pub auth: AuthSettings,
    /// A sentence for each place in which other users of this machine can see a secret.
    pub exposed_secrets: BTreeSet<String>,
    /// How a user logs in.
    pub browser: BrowserSettings,
    /// How shards are fetched.
    pub fetch: FetchSettings,
    /// The rate limits.
    pub quota_settings: QuotaSettings,
    /// When requests are retried.
    pub policy: RetryPolicy,
    /// The folder of the output.
    pub output: PathBuf,
    /// The permissions of new files and folders of the output.
    pub file_mode: FileMode,
    /// The length of the end of the interval that is fetched again, replacing its files.
    pub refresh: Duration,
    /// Whether the newest time is fetched first.
    pub newest_first: bool,
    /// How long an interrupted run may take to commit complete shards.
    pub grace: Duration,
    /// The age up to which unfinished rows are fetched again, unless they are closed before. Zero:
    /// never.
    pub follow_open: Duration,
    /// Shards of a dataset that may fail in a row for the same reason before the run gives the
    /// dataset up.
    pub give_up_dataset_after: u32,
    /// How Parquet files are written.
    pub format: ParquetSettings,
    /// The filters of the datasets; see [`filter`](Self::filter).
    pub filters: Filters,
    /// What is hidden of the rows of each dataset. Empty if nothing is.
    pub privacy: Policies,
    /// What identifies the job that an output belongs to. It must not change from run to run, since
    /// rows of different jobs would mix.
    pub identity: BTreeMap<String, String>,
}

/// Where the API and its login are.
#[derive(Debug, Clone)]
pub enum HostSettings {
    /// On the network.
    Network {
        /// The URL of the API.
        api: Url,
        /// The URL of the login host.
        login: Url,
    },
    /// Published by the platform.
    Discovered {
        /// Who publishes them.
        issuer: Issuer,
        /// The tenant. `None` if it is that of the token.
        tenant: Option<String>,
    },
    /// In the simulator, which this process starts.
    Sandbox(Settings),
}

impl HostSettings {
    /// Whether secrets stay on this machine, because the simulator or another local server gets
    /// them.
    pub(crate) fn are_local(&self) -> bool {
        match self {
            Self::Sandbox(_) => true,
            Self::Network { login, .. } => is_loopback_host(login),
            Self::Discovered { issuer, .. } => is_loopback_host(&issuer.url),
        }
    }
}

/// What the command line says about the configuration. Its debug form leaves the values out, since
/// they may be secrets.
#[derive(Clone, Default)]
pub struct Overrides {
    /// `--config`. `None` means `config.toml`, if it exists.
    pub path: Option<PathBuf>,
    /// `--set section.key=value`, in order.
    pub set: Vec<String>,
    /// `--source`. `None` means all sources.
    pub source: Option<String>,
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.set.iter().map(|set| set.split('=').next().unwrap_or_default());
        f.debug_struct("Overrides")
            .field("path", &self.path)
            .field("set", &keys.collect::<Vec<_>>())
            .field("source", &self.source)
            .finish()
    }
}

/// One source of the configuration.
#[derive(Debug)]
pub(crate) struct SourceConfig {
    /// The name of the source. `None` if it is the only one and has no name.
    pub name: Option<String>,
    /// The configuration, or why the source cannot be used: a secret is missing.
    pub config: Result<Config, ConfigError>,
}

impl SourceConfig {
    /// The configuration.
    ///
    /// # Errors
    /// If a secret is missing.
    pub(crate) fn config(&self) -> Result<&Config, ConfigError> {
        self.config.as_ref().map_err(Clone::clone)
    }
}

impl Config {
    /// Reads the configuration of each source.
    ///
    /// # Errors
    /// If a value is invalid or missing, if a dataset has no columns yet, or if two sources share a
    /// credential.
    pub fn load(overrides: &Overrides) -> Result<Vec<Self>, ConfigError> {
        Self::load_each(overrides)?.into_iter().map(|source| source.config).collect()
    }

    /// Reads the configuration of each source. If a secret of a source is missing, the others can
    /// still be used.
    ///
    /// # Errors
    /// If a value is invalid, if a dataset has no columns yet, or if two sources share a
    /// credential.
    pub(crate) fn load_each(overrides: &Overrides) -> Result<Vec<SourceConfig>, ConfigError> {
        let layers = selected_sources(overrides)?;
        let mut sources = Vec::new();
        for layers in &layers {
            let config = match layers.parse::<ConfigFile>()?.check(layers) {
                Err(error) if !error.is_missing_secret => return Err(error),
                config => config,
            };
            sources.push(SourceConfig { name: layers.name().map(str::to_owned), config });
        }
        let usable: Vec<_> = sources
            .iter()
            .zip(&layers)
            .filter_map(|(source, layers)| Some((source.config.as_ref().ok()?, layers)))
            .collect();
        Self::check_together(&usable)?;
        let exposed: BTreeSet<_> =
            usable.iter().flat_map(|(config, _)| &config.exposed_secrets).collect();
        for message in exposed {
            tracing::warn!("{message}");
        }
        Ok(sources)
    }

    /// Checks that every dataset has columns, and that no two sources share a quota.
    fn check_together(sources: &[(&Self, &Layers)]) -> Result<(), ConfigError> {
        for (index, (config, layers)) in sources.iter().enumerate() {
            if let Some(dataset) = config.datasets.iter().find(|dataset| !dataset.has_columns) {
                let name = &dataset.name;
                let message = format!(
                    "`{name}` has no columns yet: infer them with \
                     `cxbackfill datasets --infer {name}`"
                );
                return Err(layers.error("job.datasets", message));
            }
            let shares_quota = |(other, _): &&(&Self, &Layers)| {
                other.quota_key().is_some() && other.quota_key() == config.quota_key()
            };
            if let Some((other, _)) = sources[..index].iter().find(shares_quota) {
                let message = format!(
                    "the source {} has the same credential and therefore the same quota: \
                     list the datasets of both in one source",
                    other.source.as_deref().unwrap_or_default()
                );
                return Err(layers.error("auth.client_id", message));
            }
        }
        Ok(())
    }

    /// Reads the configuration of each source, whose datasets may lack columns. Such a dataset can
    /// be requested only to infer its columns.
    ///
    /// # Errors
    /// If a value is invalid or missing.
    pub fn load_without_columns(overrides: &Overrides) -> Result<Vec<Self>, ConfigError> {
        read_each(&selected_sources(overrides)?, ConfigFile::check)
    }

    /// Returns the filter of a dataset.
    pub fn filter(&self, dataset: &str) -> &Map<String, Value> {
        static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        self.filters.get(dataset).unwrap_or(&EMPTY)
    }

    /// Returns the identity of the job, the versions of its datasets included.
    pub fn output_identity(&self) -> BTreeMap<String, String> {
        let mut identity = self.identity.clone();
        for dataset in &self.datasets {
            identity.insert(version_key(&dataset.name), dataset.version.to_string());
        }
        identity
    }

    /// What the platform counts requests by: the login host and the credential. `None` for a
    /// simulator, since each source starts its own.
    fn quota_key(&self) -> Option<(String, String)> {
        let (HostSettings::Network { login: host, .. }
        | HostSettings::Discovered { issuer: Issuer { url: host, .. }, .. }) = &self.hosts
        else {
            return None;
        };
        let credentials = &self.auth.credentials;
        let endpoint = credentials.endpoint(host, &GrantParams::Credentials);
        Some((endpoint.origin().ascii_serialization(), credentials.name()))
    }
}

/// Returns the only source of a command that is for one.
///
/// # Errors
/// If there are several sources.
pub(crate) fn only<T>(sources: Vec<T>) -> Result<T, ConfigError> {
    let [source] = <[T; 1]>::try_from(sources)
        .map_err(|_| ConfigError::at("--source", "there are several sources: name one of them"))?;
    Ok(source)
}

fn read_each<T>(
    sources: &[Layers],
    read: impl Fn(ConfigFile, &Layers) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    sources.iter().map(|layers| read(layers.parse()?, layers)).collect()
}

/// The layers of each source that `--source` selects.
fn selected_sources(overrides: &Overrides) -> Result<Vec<Layers>, ConfigError> {
    let mut sources = Layers::read(overrides)?;
    let Some(name) = &overrides.source else { return Ok(sources) };
    let names: Vec<_> = sources.iter().filter_map(Layers::name).map(str::to_owned).collect();
    sources.retain(|layers| layers.name() == Some(name));
    if sources.is_empty() {
        let message = match names.is_empty() {
            true => "the only source has no name: leave --source out".to_owned(),
            false => layers::sources::unknown(name, &names),
        };
        return Err(ConfigError::at("--source", message));
    }
    Ok(sources)
}

#[cfg(test)]
mod tests;

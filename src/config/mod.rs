//! Configuration: what the user typed becomes what the program needs.
//!
//! Two representations: `file` has the keys of the TOML file, as typed; [`Config`] has what the
//! program needs, checked. Every error names the place and the key, and says what would be right.

pub(crate) mod layers;
pub(crate) mod sections;
pub(crate) mod values;

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

use serde_json::{Map, Value};
use url::Url;

pub(crate) use self::layers::ConfigError;
use self::{layers::Layers, sections::ConfigFile};
use crate::{
    auth::{
        GrantParams,
        settings::{AuthSettings, BrowserSettings},
    },
    catalog::{Catalog, Dataset},
    fetch::FetchSettings,
    http::{rate_limit::QuotaSettings, retry::RetryPolicy},
    platform::Platform,
    sandbox::Settings,
    sink::ParquetSettings,
    time::interval::Interval,
};

/// What narrows the rows of each dataset, in the platform's words.
pub(crate) type Filters = BTreeMap<String, Map<String, Value>>;

/// The configuration of a backfill from one source, checked. It does not change while the program
/// runs.
#[derive(Debug)]
pub struct Config {
    /// Names the run.
    pub name: String,
    /// Names the source; none: it is the only one, and has no name.
    pub source: Option<String>,
    /// Whose API it is.
    pub platform: Platform,
    /// The version of the API, fit for a path, where the platform has several.
    pub api_version: Option<String>,
    /// What to fetch.
    pub interval: Interval,
    /// When the program began, in milliseconds since 1970: what has a lag ends so long before it,
    /// and snapshots are of its day.
    pub now: i64,
    /// Of which datasets.
    pub datasets: Vec<Arc<Dataset>>,
    /// All datasets of the platform.
    pub catalog: Catalog,
    /// From where.
    pub hosts: HostSettings,
    /// As whom.
    pub auth: AuthSettings,
    /// How a user logs in.
    pub browser: BrowserSettings,
    /// How fetching goes.
    pub fetch: FetchSettings,
    /// The quota.
    pub quota_settings: QuotaSettings,
    /// How often to try, and how long to wait.
    pub policy: RetryPolicy,
    /// The directory of the output.
    pub output: PathBuf,
    /// The end of the interval that is fetched again, and its files replaced.
    pub refresh: Duration,
    /// Whether the newest time is fetched first.
    pub newest_first: bool,
    /// How long an interrupted run may take to commit what it has.
    pub grace: Duration,
    /// For how long rows that are unfinished are fetched again until they are closed. Zero: never.
    pub follow_open: Duration,
    /// Shards of a dataset that may fail in a row for the same reason before the run gives the dataset up.
    pub give_up_dataset_after: u32,
    /// How files are written.
    pub format: ParquetSettings,
    /// What narrows the rows, sent as it is: see [`filter`](Self::filter).
    pub filters: Filters,
    /// What makes the output the output of this job: the same on every run, or rows would mix.
    pub identity: BTreeMap<String, String>,
}

/// What concerns an output that is there already: commands that only read it need no credentials.
#[derive(Debug)]
pub(crate) struct BackfillScope {
    /// Names the source; none: it is the only one, and has no name.
    pub source: Option<String>,
    /// What was to be fetched.
    pub interval: Interval,
    /// When the program began, in milliseconds since 1970.
    pub now: i64,
    /// Of which datasets.
    pub datasets: Vec<Arc<Dataset>>,
    /// All datasets of the platform, and the user's own.
    pub catalog: Catalog,
    /// The directory of the output.
    pub output: PathBuf,
}

/// What there is to fetch from a source.
#[derive(Debug)]
pub(crate) struct DatasetSelection {
    /// Names the source; none: it is the only one, and has no name.
    pub source: Option<String>,
    /// Whose API it is.
    pub platform: Platform,
    /// All datasets of the platform, and the user's own.
    pub catalog: Catalog,
}

/// Where the API and its login are.
#[derive(Debug, Clone)]
pub enum HostSettings {
    /// On the network.
    Network {
        /// The API.
        api: Url,
        /// Its login.
        login: Url,
    },
    /// Where the platform tells, when it is asked.
    Discovered {
        /// Who tells.
        issuer: Url,
        /// Whose API; none: the tenant of the token.
        tenant: Option<String>,
    },
    /// In this process: started when needed.
    Sandbox(Settings),
}

/// What the command line says about the configuration. It prints without the values, which may be
/// secrets.
#[derive(Clone, Default)]
pub struct Overrides {
    /// `--config`; none: `config.toml`, if there is one.
    pub path: Option<PathBuf>,
    /// `--set section.key=value`, in order.
    pub set: Vec<String>,
    /// `--source`: the only one that is meant; none: all of them.
    pub source: Option<String>,
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.set.iter().map(|set| set.split('=').next().unwrap_or_default());
        let mut overrides = f.debug_struct("Given");
        overrides
            .field("path", &self.path)
            .field("set", &keys.collect::<Vec<_>>())
            .field("source", &self.source)
            .finish()
    }
}

impl Config {
    /// Reads the configuration of each source: the built-in values, over them the file, over them
    /// `--set`.
    ///
    /// # Errors
    /// [`ConfigError`]: what is wrong, where, and what would be right.
    pub fn load(overrides: &Overrides) -> Result<Vec<Self>, ConfigError> {
        let sources = chosen(overrides)?;
        let configs = each(&sources, ConfigFile::check)?;
        for (config, layers) in configs.iter().zip(&sources) {
            if let Some(Dataset { name, .. }) =
                config.datasets.iter().map(Arc::as_ref).find(|one| !one.has_columns)
            {
                let message = format!(
                    "`{name}` has no columns yet: `cxbackfill datasets --infer {name}` tells them"
                );
                return Err(layers.wrong("job.datasets", message));
            }
        }
        for (number, config) in configs.iter().enumerate() {
            let shares =
                |other: &&Self| other.quota().is_some_and(|quota| config.quota() == Some(quota));
            if let Some(other) = configs[..number].iter().find(shares) {
                let message = format!(
                    "it has the credential of the source {}, and so its quota: name the datasets of both in one source",
                    other.source.as_deref().unwrap_or_default()
                );
                return Err(sources[number].wrong("auth.client_id", message));
            }
        }
        Ok(configs)
    }

    /// The same where datasets may lack their columns: nothing can be fetched from it but a page to
    /// infer them from.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_without_columns(overrides: &Overrides) -> Result<Vec<Self>, ConfigError> {
        each(&chosen(overrides)?, ConfigFile::check)
    }

    /// What narrows the rows of a dataset.
    pub fn filter(&self, dataset: &str) -> &Map<String, Value> {
        static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        self.filters.get(dataset).unwrap_or(&NONE)
    }

    /// What makes the output the output of this job, its datasets' versions included.
    pub fn output_identity(&self) -> BTreeMap<String, String> {
        let version = |dataset: &Arc<Dataset>| {
            (format!("dataset.{}.version", dataset.name), dataset.version.to_string())
        };
        self.identity.clone().into_iter().chain(self.datasets.iter().map(version)).collect()
    }

    /// What the platform counts requests by: the login host and the credential. A sandbox counts
    /// for itself.
    fn quota(&self) -> Option<(String, String)> {
        let (HostSettings::Network { login: host, .. }
        | HostSettings::Discovered { issuer: host, .. }) = &self.hosts
        else {
            return None;
        };
        let credentials = &self.auth.credentials;
        Some((
            credentials.endpoint(host, &GrantParams::Credentials).origin().ascii_serialization(),
            credentials.name(),
        ))
    }
}

/// Reads what `status` and `verify` need of each source.
///
/// # Errors
/// As for [`Config::load`].
pub(crate) fn load_scopes(overrides: &Overrides) -> Result<Vec<BackfillScope>, ConfigError> {
    each(&chosen(overrides)?, ConfigFile::job)
}

/// Reads what there is to fetch from each source.
///
/// # Errors
/// As for [`Config::load`].
pub(crate) fn load_selections(overrides: &Overrides) -> Result<Vec<DatasetSelection>, ConfigError> {
    each(&chosen(overrides)?, ConfigFile::choice)
}

/// Reads what `cxbackfill sandbox` needs: the `[sandbox]` section of one source alone.
///
/// # Errors
/// As for [`Config::load`], or where there are several sources.
pub(crate) fn load_sandbox(overrides: &Overrides) -> Result<Settings, ConfigError> {
    only(each(&chosen(overrides)?, |file, layers| file.sandbox.check(layers))?)
}

/// The one source that a command is for.
///
/// # Errors
/// Where there are several.
pub(crate) fn only<T>(sources: Vec<T>) -> Result<T, ConfigError> {
    let [one] = <[T; 1]>::try_from(sources).map_err(|_| {
        ConfigError::at("--source", "there are several sources: name the one that is meant")
    })?;
    Ok(one)
}

fn each<T>(
    sources: &[Layers],
    read: impl Fn(ConfigFile, &Layers) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    sources.iter().map(|layers| read(layers.parse()?, layers)).collect()
}

/// The layers of each source that is meant.
fn chosen(overrides: &Overrides) -> Result<Vec<Layers>, ConfigError> {
    let mut sources = Layers::read(overrides)?;
    let Some(name) = &overrides.source else { return Ok(sources) };
    let names: Vec<_> = sources.iter().filter_map(Layers::name).map(str::to_owned).collect();
    sources.retain(|layers| layers.name() == Some(name));
    if sources.is_empty() {
        let message = match names.is_empty() {
            true => "the only source has no name: leave this out".to_owned(),
            false => layers::sources::unknown(name, &names),
        };
        return Err(ConfigError::at("--source", message));
    }
    Ok(sources)
}

#[cfg(test)]
mod tests;

//! Configuration: what the user typed becomes what the program needs.
//!
//! Two representations: `file` has the keys of the TOML file, as typed; [`Config`] has what the
//! program needs, checked. Every error names the place and the key, and says what would be right.

mod auth;
mod environment;
mod file;
mod layers;
mod regions;
mod sandbox;
#[cfg(test)]
mod tests;
mod values;

use std::{collections::BTreeMap, fmt, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use url::Url;

pub use self::layers::ConfigError;
use self::{file::File, layers::Layers};
use crate::{
    budget::Limit,
    catalog::{Catalog, Dataset},
    fetch::Strategy,
    interval::Interval,
    login::Browser,
    part::FileFormat,
    retry::Policy,
    sandbox::Settings,
    token::Auth,
};

/// The configuration of a backfill, checked. It does not change while the program runs.
#[derive(Debug)]
pub struct Config {
    /// Names the run.
    pub name: String,
    /// What to fetch.
    pub interval: Interval,
    /// Of which datasets.
    pub datasets: Vec<Arc<Dataset>>,
    /// All datasets of the platform.
    pub catalog: Arc<Catalog>,
    /// From where.
    pub hosts: Hosts,
    /// As whom.
    pub auth: Auth,
    /// How a user logs in.
    pub browser: Browser,
    /// How fetching goes.
    pub fetch: Fetch,
    /// The quota; none: no limit.
    pub limit: Option<Limit>,
    /// How often to try, and how long to wait.
    pub policy: Policy,
    /// The directory of the output.
    pub output: PathBuf,
    /// An open shard is cut and committed so often.
    pub commit_every: Duration,
    /// The end of the interval that is fetched again, and its files replaced.
    pub refresh: Duration,
    /// Whether the newest time is fetched first.
    pub newest_first: bool,
    /// How long an interrupted run may take to commit what it has.
    pub grace: Duration,
    /// How files are written.
    pub format: FileFormat,
    /// What narrows the rows, sent as it is.
    pub filter: Map<String, Value>,
    /// What makes the output the output of this job: the same on every run, or rows would mix.
    pub identity: BTreeMap<String, String>,
}

/// `[fetch]`, checked.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// How many fetchers.
    pub actors: usize,
    /// The widest shard.
    pub shard: Duration,
    /// A shard is not bisected below this.
    pub smallest_shard: Duration,
    /// Rows of a page.
    pub page_size: u32,
    /// Requests of a shard under way at once.
    pub ahead: usize,
    /// Which way to take where there are two.
    pub strategy: Strategy,
    /// Jobs that may be there at once.
    pub jobs: usize,
    /// How long to wait for data that jobs cannot read yet.
    pub lake_wait: Duration,
    /// Bounds a request.
    pub timeout: Duration,
    /// Bounds a reply, in bytes.
    pub max_body: u64,
}

/// What concerns an output that is there already: commands that only read it need no credentials.
#[derive(Debug)]
pub struct Job {
    /// What was to be fetched.
    pub interval: Interval,
    /// Of which datasets.
    pub datasets: Vec<Arc<Dataset>>,
    /// All datasets of the platform.
    pub catalog: Arc<Catalog>,
    /// The directory of the output.
    pub output: PathBuf,
}

/// Where the API and its login are.
#[derive(Debug, Clone)]
pub enum Hosts {
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
pub struct Given {
    /// `--config`; none: `config.toml`, if there is one.
    pub path: Option<PathBuf>,
    /// `--set section.key=value`, in order.
    pub set: Vec<String>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.set.iter().map(|set| set.split('=').next().unwrap_or_default());
        f.debug_struct("Given").field("path", &self.path).field("set", &keys.collect::<Vec<_>>()).finish()
    }
}

impl Config {
    /// Reads the configuration: the built-in values, over them the file, over them `--set`.
    ///
    /// # Errors
    /// [`ConfigError`]: what is wrong, where, and what would be right.
    pub fn load(given: &Given) -> Result<Self, ConfigError> {
        let layers = Layers::read(given)?;
        let file: File = layers.parse()?;
        file.check(&layers)
    }

    /// What makes the output the output of this job, its datasets' versions included.
    pub fn whole_identity(&self) -> BTreeMap<String, String> {
        let version =
            |dataset: &Arc<Dataset>| (format!("dataset.{}.version", dataset.name), dataset.version.to_string());
        self.identity.clone().into_iter().chain(self.datasets.iter().map(version)).collect()
    }
}

/// Reads what `status` and `verify` need.
///
/// # Errors
/// As for [`Config::load`].
pub fn load_job(given: &Given) -> Result<Job, ConfigError> {
    let layers = Layers::read(given)?;
    let file: File = layers.parse()?;
    file.job(&layers)
}

/// Reads what `cxbackfill sandbox` needs: the `[sandbox]` section alone.
///
/// # Errors
/// As for [`Config::load`].
pub fn load_sandbox(given: &Given) -> Result<Settings, ConfigError> {
    let layers = Layers::read(given)?;
    let file: File = layers.parse()?;
    file.sandbox.check(&layers)
}

fn limit(requests: u32, per: Duration, burst: Option<NonZeroU32>) -> Option<Limit> {
    NonZeroU32::new(requests).map(|requests| Limit { requests, per, burst })
}

//! Configuration: what the user typed becomes what the program needs.
//!
//! Two representations: `file` has the keys of the TOML file, as typed; [`Config`] has what the
//! program needs, checked. Every error names the place and the key, and says what would be right.

mod file;
mod layers;
mod regions;
mod values;

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use url::Url;

pub use self::layers::ConfigError;
use self::{file::File, layers::Layers};
use crate::{
    auth::Client, budget::Limit, catalog::Dataset, interval::Interval, part::FileFormat, retry::Policy, sandbox,
    token::Renewal,
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
    /// From where.
    pub hosts: Hosts,
    /// As whom.
    pub client: Client,
    /// When a token is renewed.
    pub renewal: Renewal,
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
    /// Bounds a request.
    pub timeout: Duration,
    /// Bounds a reply, in bytes.
    pub max_body: u64,
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
    /// In this process: started when needed.
    Sandbox(sandbox::Settings),
}

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `--config`; none: `config.toml`, if there is one.
    pub path: Option<PathBuf>,
    /// `--set section.key=value`, in order.
    pub set: Vec<String>,
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
}

/// Reads what `cxbackfill sandbox` needs: the `[sandbox]` section alone.
///
/// # Errors
/// As for [`Config::load`].
pub fn load_sandbox(given: &Given) -> Result<sandbox::Settings, ConfigError> {
    let layers = Layers::read(given)?;
    let file: File = layers.parse()?;
    file.sandbox.check(&layers)
}

fn limit(requests: u32, per: Duration, burst: Option<NonZeroU32>) -> Option<Limit> {
    NonZeroU32::new(requests).map(|requests| Limit { requests, per, burst })
}

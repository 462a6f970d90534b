//! The keys of the file, as typed, and the checks that turn them into a [`Config`].

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, sync::Arc};

use parquet::basic::Compression;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Config, Fetch, Hosts, Job,
    auth::AuthSection,
    layers::{ConfigError, Layers},
    limit, regions,
    sandbox::SandboxSection,
    values::{Address, Length, Size, checked_url, parse_time, positive},
};
use crate::{
    catalog::{self, Catalog, Dataset},
    fetch::Strategy,
    interval::Interval,
    part::FileFormat,
    retry::Policy,
};

/// The region that is a simulator.
const SANDBOX: &str = "sandbox";

/// The file. `config.toml` documents every key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    job: JobSection,
    source: SourceSection,
    auth: AuthSection,
    fetch: FetchSection,
    budget: BudgetSection,
    retry: RetrySection,
    output: OutputSection,
    #[serde(default)]
    filter: Map<String, Value>,
    pub sandbox: SandboxSection,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobSection {
    name: String,
    from: String,
    to: String,
    datasets: Vec<String>,
    order: Order,
    refresh: Length,
    grace: Length,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Order {
    OldestFirst,
    NewestFirst,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceSection {
    platform: Platform,
    region: String,
    api_url: Option<Address>,
    login_url: Option<Address>,
    issuer: Option<Address>,
    tenant: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Platform {
    GenesysCloud,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FetchSection {
    actors: usize,
    shard: Length,
    smallest_shard: Length,
    page_size: NonZeroU32,
    ahead: usize,
    strategy: StrategyKey,
    attributes: bool,
    jobs: usize,
    lake_wait: Length,
    timeout: Length,
    max_body: Size,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StrategyKey {
    Query,
    Job,
    Auto,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetSection {
    requests: u32,
    per: Length,
    burst: Option<NonZeroU32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetrySection {
    attempts: NonZeroU32,
    first: Length,
    longest: Length,
    give_up_after: Length,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputSection {
    path: PathBuf,
    compression: String,
    row_group_rows: usize,
    commit_every: Length,
}

impl File {
    /// Checks every key and builds what the program needs.
    pub fn check(self, at: &Layers) -> Result<Config, ConfigError> {
        let interval = self.job.interval(at)?;
        let catalog = self.catalog(at)?;
        let datasets = self.job.datasets(self.source.platform, &catalog, at)?;
        check_filter(&self.filter, &datasets, at)?;
        let identity = self.identity();
        let hosts = self.source.hosts(&self.sandbox, at)?;
        let (auth, browser) = self.auth.check(at)?;
        Ok(Config {
            auth,
            browser,
            fetch: self.fetch.check(at)?,
            limit: limit(self.budget.requests, positive(self.budget.per, "budget.per", at)?, self.budget.burst),
            policy: Policy {
                attempts: self.retry.attempts.get(),
                first: self.retry.first.0,
                longest: self.retry.longest.0,
                give_up_after: self.retry.give_up_after.0,
            },
            format: self.output.format(at)?,
            commit_every: positive(self.output.commit_every, "output.commit_every", at)?,
            newest_first: self.job.order == Order::NewestFirst,
            refresh: self.job.refresh.0,
            grace: self.job.grace.0,
            output: self.output.path,
            name: self.job.name,
            filter: self.filter,
            catalog,
            interval,
            datasets,
            hosts,
            identity,
        })
    }

    /// What of it concerns an output that is there already.
    pub fn job(self, at: &Layers) -> Result<Job, ConfigError> {
        let catalog = self.catalog(at)?;
        Ok(Job {
            interval: self.job.interval(at)?,
            datasets: self.job.datasets(self.source.platform, &catalog, at)?,
            catalog,
            output: self.output.path,
        })
    }

    /// The datasets of the platform, with the columns that are wanted.
    fn catalog(&self, at: &Layers) -> Result<Arc<Catalog>, ConfigError> {
        let catalog = self.source.platform.catalog(at)?;
        Ok(Arc::new(if self.fetch.attributes { catalog.clone() } else { catalog.plain() }))
    }

    /// What must not change from run to run on one output.
    fn identity(&self) -> BTreeMap<String, String> {
        let source = match (&self.source.api_url, &self.source.issuer) {
            (Some(Address(url)), _) => url.to_string(),
            (None, Some(Address(issuer))) => format!("{issuer} {}", self.source.tenant.as_deref().unwrap_or_default()),
            (None, None) => self.source.region.clone(),
        };
        let mut identity = BTreeMap::from([
            ("source".to_owned(), source),
            ("filter".to_owned(), Value::Object(self.filter.clone()).to_string()),
        ]);
        if self.fetch.attributes {
            identity.insert("attributes".to_owned(), "true".to_owned());
        }
        if self.source.region == SANDBOX && self.source.api_url.is_none() && self.source.issuer.is_none() {
            identity.insert("sandbox.seed".to_owned(), self.sandbox.seed.to_string());
            identity.insert("sandbox.conversations_per_day".to_owned(), self.sandbox.conversations_per_day.to_string());
        }
        identity
    }
}

impl Platform {
    fn name(self) -> &'static str {
        match self {
            Self::GenesysCloud => "genesys-cloud",
        }
    }

    fn catalog(self, at: &Layers) -> Result<&'static Catalog, ConfigError> {
        catalog::builtin(self.name()).ok_or_else(|| at.wrong("source.platform", "it has no datasets"))
    }
}

impl JobSection {
    fn interval(&self, at: &Layers) -> Result<Interval, ConfigError> {
        let time = |text: &str, key| {
            let wrong =
                || at.wrong(key, format!("`{text}` is no time: write it like 2024-01-01T00:00:00Z, or now-30m"));
            parse_time(text).ok_or_else(wrong)
        };
        Interval::between(time(&self.from, "job.from")?, time(&self.to, "job.to")?).ok_or_else(|| {
            let said = if at.is_built_in("job.to") { "job.from" } else { "job.to" };
            at.wrong(said, format!("job.from must lie before job.to: {} does not lie before {}", self.from, self.to))
        })
    }

    fn datasets(&self, platform: Platform, catalog: &Catalog, at: &Layers) -> Result<Vec<Arc<Dataset>>, ConfigError> {
        if self.datasets.is_empty() {
            return Err(at.wrong("job.datasets", "name at least one dataset"));
        }
        let mut datasets: Vec<Arc<Dataset>> = Vec::new();
        for name in &self.datasets {
            let known = || catalog.datasets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let dataset = catalog.datasets.get(name).ok_or_else(|| {
                at.wrong("job.datasets", format!("there is no `{name}`: {} has {}", platform.name(), known()))
            })?;
            if !datasets.iter().any(|other| other.name == dataset.name) {
                datasets.push(Arc::clone(dataset));
            }
        }
        Ok(datasets)
    }
}

impl SourceSection {
    fn hosts(&self, sandbox: &SandboxSection, at: &Layers) -> Result<Hosts, ConfigError> {
        if let Some(hosts) = self.discovered(at)? {
            return Ok(hosts);
        }
        let domain = regions::genesys_domain(&self.region);
        let host = |given: &Option<Address>, name: &str, other: &str| match (given, domain) {
            (Some(Address(url)), _) => checked_url(url.clone(), &format!("source.{name}_url"), at),
            (None, Some(domain)) => format!("https://{name}.{domain}")
                .parse()
                .map_err(|error: url::ParseError| at.wrong("source.region", error.to_string())),
            (None, None) if self.region == SANDBOX => Err(at.wrong(
                &format!("source.{other}_url"),
                format!("give source.{name}_url too, or neither of them to start the sandbox"),
            )),
            (None, None) => Err(at.wrong(
                "source.region",
                format!("`{}` is unknown: it is sandbox or one of {}", self.region, regions::genesys_names()),
            )),
        };
        if self.region == SANDBOX && self.api_url.is_none() && self.login_url.is_none() {
            return Ok(Hosts::Sandbox(sandbox.check(at)?));
        }
        Ok(Hosts::Network { api: host(&self.api_url, "api", "login")?, login: host(&self.login_url, "login", "api")? })
    }
}

impl SourceSection {
    /// The hosts that the platform is to tell, if the configuration says so.
    fn discovered(&self, at: &Layers) -> Result<Option<Hosts>, ConfigError> {
        let Some(Address(issuer)) = self.issuer.clone() else {
            return match self.tenant {
                Some(_) => Err(at.wrong("source.tenant", "it is of use with source.issuer only: leave it out")),
                None => Ok(None),
            };
        };
        if self.api_url.is_some() || self.login_url.is_some() {
            return Err(at.wrong("source.issuer", "it tells the hosts: leave source.api_url and source.login_url out"));
        }
        let issuer = checked_url(issuer, "source.issuer", at)?;
        Ok(Some(Hosts::Discovered { issuer, tenant: self.tenant.clone() }))
    }
}

impl FetchSection {
    fn check(&self, at: &Layers) -> Result<Fetch, ConfigError> {
        if !(1..=1_000).contains(&self.actors) {
            return Err(at.wrong("fetch.actors", "it is between 1 and 1000"));
        }
        if !(1..=100).contains(&self.ahead) {
            return Err(at.wrong("fetch.ahead", "it is between 1 and 100"));
        }
        if !(1..=1_000).contains(&self.jobs) {
            return Err(at.wrong("fetch.jobs", "it is between 1 and 1000"));
        }
        Ok(Fetch {
            actors: self.actors,
            shard: positive(self.shard, "fetch.shard", at)?,
            smallest_shard: positive(self.smallest_shard, "fetch.smallest_shard", at)?,
            page_size: self.page_size.get(),
            ahead: self.ahead,
            strategy: match self.strategy {
                StrategyKey::Query => Strategy::Query,
                StrategyKey::Job => Strategy::Job,
                StrategyKey::Auto => Strategy::Auto,
            },
            jobs: self.jobs,
            lake_wait: self.lake_wait.0,
            timeout: positive(self.timeout, "fetch.timeout", at)?,
            max_body: self.max_body.0,
        })
    }
}

impl OutputSection {
    fn format(&self, at: &Layers) -> Result<FileFormat, ConfigError> {
        let compression: Compression = self.compression.parse().map_err(|_| {
            let message =
                format!("`{}` is unknown: it is zstd(1) to zstd(22), snappy or uncompressed", self.compression);
            at.wrong("output.compression", message)
        })?;
        if !matches!(compression, Compression::ZSTD(_) | Compression::SNAPPY | Compression::UNCOMPRESSED) {
            return Err(at.wrong("output.compression", "it is zstd(1) to zstd(22), snappy or uncompressed"));
        }
        if self.row_group_rows == 0 {
            return Err(at.wrong("output.row_group_rows", "it is at least 1"));
        }
        Ok(FileFormat { compression, row_group_rows: self.row_group_rows })
    }
}

/// A filter may add to a request and not replace what paging and ownership rest on.
fn check_filter(filter: &Map<String, Value>, datasets: &[Arc<Dataset>], at: &Layers) -> Result<(), ConfigError> {
    for dataset in datasets {
        if let Some(key) = dataset.ways().flat_map(|way| way.request.reserved()).find(|key| filter.contains_key(*key)) {
            let message = format!("the dataset {} sets `{key}` itself: leave it out", dataset.name);
            return Err(at.wrong(&format!("filter.{key}"), message));
        }
    }
    Ok(())
}

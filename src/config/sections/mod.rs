//! The keys of the file, as typed, and the checks that turn them into a [`Config`].

pub(crate) mod auth;
pub(crate) mod sandbox;
pub(crate) mod source;

use std::{num::NonZeroU32, path::PathBuf, sync::Arc};

use parquet::basic::Compression;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    catalog::{Catalog, Dataset},
    config::{
        BackfillScope, Config, DatasetSelection, Filters,
        layers::{ConfigError, Layers},
        sections::{auth::AuthSection, sandbox::SandboxSection, source::SourceSection},
        values::{ByteSizeText, DurationText, PercentText, parse_time, positive},
    },
    fetch::{FetchSettings, Strategy},
    http::{
        rate_limit::{QuotaSettings, RequestLimit},
        retry::RetryPolicy,
    },
    platform::Platform,
    sink::ParquetSettings,
    time::{clock, interval::Interval},
};

/// The file. `config.toml` documents every key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigFile {
    job: JobSection,
    source: SourceSection,
    auth: AuthSection,
    fetch: FetchSection,
    budget: BudgetSection,
    retry: RetrySection,
    output: OutputSection,
    #[serde(default)]
    filter: Filters,
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
    refresh: DurationText,
    grace: DurationText,
    follow_open: DurationText,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Order {
    OldestFirst,
    NewestFirst,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FetchSection {
    actors: usize,
    shard: DurationText,
    smallest_shard: DurationText,
    ahead: usize,
    strategy: StrategyKey,
    attributes: bool,
    jobs: usize,
    lake_wait: DurationText,
    page_size: Option<NonZeroU32>,
    timeout: DurationText,
    max_body: ByteSizeText,
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
    per: DurationText,
    burst: Option<NonZeroU32>,
    share: PercentText,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetrySection {
    attempts: NonZeroU32,
    first: DurationText,
    longest: DurationText,
    give_up_after: DurationText,
    give_up_dataset_after: NonZeroU32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputSection {
    path: PathBuf,
    compression: String,
    row_group_rows: usize,
    commit_every: DurationText,
}

impl ConfigFile {
    /// Checks every key and builds what the program needs.
    pub(crate) fn check(self, at: &Layers) -> Result<Config, ConfigError> {
        let interval = self.job.interval(at)?;
        let catalog = self.catalog(at)?;
        let datasets = self.job.datasets(self.source.platform, &catalog, at)?;
        check_filters(&self.filter, &datasets, at)?;
        let api_version = self.source.api_version(at)?;
        let mut identity = self.source.identity(&self.sandbox, api_version.as_deref());
        for Dataset { name, .. } in datasets.iter().map(Arc::as_ref) {
            let filter = self.filter.get(name).cloned().unwrap_or_default();
            identity.insert(format!("filter.{name}"), Value::Object(filter).to_string());
        }
        identity.insert("attributes".to_owned(), self.fetch.attributes.to_string());
        let (auth, browser) = self.auth.check(at)?;
        let hosts = self.source.hosts(&self.sandbox, &auth.credentials, at)?;
        Ok(Config {
            auth,
            browser,
            fetch: self.fetch.check(self.output.commit_every, at)?,
            quota_settings: self.budget.check(
                self.source.platform,
                self.fetch.actors * self.fetch.ahead,
                &catalog,
                at,
            )?,
            policy: RetryPolicy {
                attempts: self.retry.attempts.get(),
                first: self.retry.first.0,
                longest: self.retry.longest.0,
                give_up_after: self.retry.give_up_after.0,
            },
            format: self.output.format(at)?,
            newest_first: self.job.order == Order::NewestFirst,
            refresh: self.job.refresh.0,
            grace: self.job.grace.0,
            follow_open: self.job.follow_open.0,
            give_up_dataset_after: self.retry.give_up_dataset_after.get(),
            output: self.output.directory(at),
            name: self.job.name,
            source: self.source.name(at)?,
            catalog,
            platform: self.source.platform,
            filters: self.filter,
            api_version,
            interval,
            now: clock::now().as_millisecond(),
            datasets,
            hosts,
            identity,
        })
    }

    /// The datasets of the source, with the columns that are wanted.
    fn catalog(&self, at: &Layers) -> Result<Catalog, ConfigError> {
        let catalog = self.source.catalog(at)?;
        Ok(if self.fetch.attributes { catalog } else { catalog.without_extras() })
    }

    /// What there is to fetch.
    pub(crate) fn choice(self, at: &Layers) -> Result<DatasetSelection, ConfigError> {
        let Self { source, .. } = self;
        Ok(DatasetSelection {
            catalog: source.catalog(at)?,
            source: source.name(at)?,
            platform: source.platform,
        })
    }

    /// What of it concerns an output that is there already.
    pub(crate) fn job(self, at: &Layers) -> Result<BackfillScope, ConfigError> {
        let catalog = self.catalog(at)?;
        Ok(BackfillScope {
            source: self.source.name(at)?,
            interval: self.job.interval(at)?,
            now: clock::now().as_millisecond(),
            datasets: self.job.datasets(self.source.platform, &catalog, at)?,
            output: self.output.directory(at),
            catalog,
        })
    }
}

impl JobSection {
    fn interval(&self, at: &Layers) -> Result<Interval, ConfigError> {
        let time = |text: &str, key| {
            let wrong = || {
                at.wrong(
                    key,
                    format!("`{text}` is no time: write it like 2024-01-01T00:00:00Z, or now-30m"),
                )
            };
            parse_time(text).ok_or_else(wrong)
        };
        Interval::between(time(&self.from, "job.from")?, time(&self.to, "job.to")?).ok_or_else(
            || {
                let said = if at.is_built_in("job.to") { "job.from" } else { "job.to" };
                at.wrong(
                    said,
                    format!(
                        "job.from must lie before job.to: {} does not lie before {}",
                        self.from, self.to
                    ),
                )
            },
        )
    }

    fn datasets(
        &self,
        platform: Platform,
        catalog: &Catalog,
        at: &Layers,
    ) -> Result<Vec<Arc<Dataset>>, ConfigError> {
        if self.datasets.is_empty() {
            return Err(at.wrong("job.datasets", "name at least one dataset"));
        }
        let mut datasets: Vec<Arc<Dataset>> = Vec::new();
        for name in &self.datasets {
            let known =
                || catalog.datasets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let dataset = catalog.datasets.get(name).ok_or_else(|| {
                at.wrong(
                    "job.datasets",
                    format!("there is no `{name}`: {} has {}", platform.name(), known()),
                )
            })?;
            if !datasets.iter().any(|other| other.name == dataset.name) {
                datasets.push(Arc::clone(dataset));
            }
        }
        Ok(datasets)
    }
}

impl FetchSection {
    fn check(&self, commit_every: DurationText, at: &Layers) -> Result<FetchSettings, ConfigError> {
        if !(1..=1_000).contains(&self.actors) {
            return Err(at.wrong("fetch.actors", "it is between 1 and 1000"));
        }
        if !(1..=100).contains(&self.ahead) {
            return Err(at.wrong("fetch.ahead", "it is between 1 and 100"));
        }
        if self.attributes && matches!(self.strategy, StrategyKey::Query) {
            return Err(at.wrong(
                "fetch.attributes",
                "only jobs bring them: fetch.strategy is `job` or `auto` then",
            ));
        }
        if !(1..=1_000).contains(&self.jobs) {
            return Err(at.wrong("fetch.jobs", "it is between 1 and 1000"));
        }
        Ok(FetchSettings {
            actors: self.actors,
            shard: positive(self.shard, "fetch.shard", at)?,
            smallest_shard: positive(self.smallest_shard, "fetch.smallest_shard", at)?,
            page_size: self.page_size.map_or(u32::MAX, NonZeroU32::get),
            ahead: self.ahead,
            strategy: match self.strategy {
                StrategyKey::Query => Strategy::Query,
                StrategyKey::Job => Strategy::Job,
                StrategyKey::Auto => Strategy::Auto,
            },
            jobs: self.jobs,
            commit_every: positive(commit_every, "output.commit_every", at)?,
            job_data_wait: self.lake_wait.0,
            timeout: positive(self.timeout, "fetch.timeout", at)?,
            max_body: self.max_body.0,
        })
    }
}

impl BudgetSection {
    /// The terms of the budget, for so many requests in flight at most.
    fn check(
        &self,
        platform: Platform,
        in_flight: usize,
        catalog: &Catalog,
        at: &Layers,
    ) -> Result<QuotaSettings, ConfigError> {
        let per = positive(self.per, "budget.per", at)?;
        let limit = NonZeroU32::new(self.requests).map(|requests| RequestLimit {
            requests,
            per,
            burst: self.burst,
        });
        Ok(QuotaSettings {
            limit,
            share: self.share.0,
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            dialect: platform.profile().dialect,
            own: catalog.buckets.iter().map(|(name, limit)| (Arc::clone(name), *limit)).collect(),
        })
    }
}

impl OutputSection {
    /// The directory of the output: each source of a list has one of its own.
    fn directory(&self, at: &Layers) -> PathBuf {
        at.listed().map_or(self.path.clone(), |name| self.path.join(name))
    }

    fn format(&self, at: &Layers) -> Result<ParquetSettings, ConfigError> {
        let compression: Compression = self.compression.parse().map_err(|_| {
            let message = format!(
                "`{}` is unknown: it is zstd(1) to zstd(22), snappy or uncompressed",
                self.compression
            );
            at.wrong("output.compression", message)
        })?;
        if !matches!(
            compression,
            Compression::ZSTD(_) | Compression::SNAPPY | Compression::UNCOMPRESSED
        ) {
            return Err(
                at.wrong("output.compression", "it is zstd(1) to zstd(22), snappy or uncompressed")
            );
        }
        if self.row_group_rows == 0 {
            return Err(at.wrong("output.row_group_rows", "it is at least 1"));
        }
        Ok(ParquetSettings { compression, row_group_rows: self.row_group_rows })
    }
}

/// A filter is that of a dataset of the job; it may add to a request and not replace what paging
/// and ownership rest on.
fn check_filters(
    filters: &Filters,
    datasets: &[Arc<Dataset>],
    at: &Layers,
) -> Result<(), ConfigError> {
    for (name, filter) in filters {
        let Some(dataset) = datasets.iter().find(|dataset| dataset.name == *name) else {
            let known =
                datasets.iter().map(|dataset| dataset.name.as_str()).collect::<Vec<_>>().join(", ");
            let message = match at.listed() {
                None => format!("the job does not fetch `{name}`: it fetches {known}"),
                Some(source) => format!(
                    "the source {source} does not fetch `{name}`: it fetches {known}; \
                     a filter of one source is written as [source.filter.{name}]"
                ),
            };
            return Err(at.wrong(&format!("filter.{name}"), message));
        };
        if let Some(key) = dataset
            .endpoints()
            .flat_map(|endpoint| endpoint.reserved_keys())
            .find(|key| filter.contains_key(*key))
        {
            let message = format!("the dataset {name} sets `{key}` itself: leave it out");
            return Err(at.wrong(&format!("filter.{name}.{key}"), message));
        }
    }
    Ok(())
}

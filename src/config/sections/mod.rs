//! The sections of the TOML file as typed, one file each, and the checks that turn them into a
//! [`Config`].
//!
//! A key is a field of a `*Section` struct. Its default is in `defaults.toml`, its documentation in
//! `config.toml`. Start with [`ConfigFile::check`].

pub(crate) mod auth;
mod budget;
mod fetch;
mod filter;
mod job;
mod output;
mod privacy;
mod retry;
pub(crate) mod sandbox;
pub(crate) mod source;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    catalog::Catalog,
    config::{
        BackfillScope, Config, DatasetSelection, Filters,
        layers::{ConfigError, Layers},
        sections::{
            auth::{AuthSection, CheckedAuth},
            budget::BudgetSection,
            fetch::FetchSection,
            job::JobSection,
            output::OutputSection,
            privacy::{CheckedPrivacy, PrivacySection},
            retry::RetrySection,
            sandbox::SandboxSection,
            source::SourceSection,
        },
    },
    ledger::{LAYOUT, policy_key},
    system::descriptors::OpenFiles,
    time::clock,
};

/// The keys of the file.
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
    privacy: Option<PrivacySection>,
    pub sandbox: SandboxSection,
}

impl ConfigFile {
    pub(crate) fn check(self, layers: &Layers) -> Result<Config, ConfigError> {
        layers.ensure_given()?;
        let interval = self.job.interval(layers)?;
        let catalog = self.catalog(layers)?;
        let datasets = self.job.datasets(self.source.platform, &catalog, layers)?;
        filter::check(&self.filter, &datasets, layers)?;
        let api_version = self.source.api_version(layers)?;
        let mut identity = self.source.identity(&self.sandbox, api_version.as_deref());
        identity.extend(self.row_identity(datasets.iter().map(|dataset| dataset.name.as_str())));
        identity.insert(LAYOUT.to_owned(), self.output.layout().name().to_owned());
        let CheckedAuth { auth, browser, mut exposed } =
            self.auth.check(self.source.is_sandbox(), layers)?;
        let privacy = match &self.privacy {
            Some(privacy) => privacy.check(&self.source.catalog(layers)?, layers)?,
            None => CheckedPrivacy::default(),
        };
        exposed.extend(privacy.exposed);
        for dataset in &datasets {
            if let Some(policy) = privacy.policies.get(&dataset.name) {
                identity.insert(policy_key(&dataset.name), policy.fingerprint().to_owned());
                // the ledger and every footer have the identity, and a filter may name a caller
                if let Some(filter) = identity.get_mut(&filter_key(&dataset.name))
                    && filter != NO_FILTER
                {
                    *filter = policy.key().hash(filter.as_bytes());
                }
            }
        }
        let hosts = self.source.hosts(&self.sandbox, &auth.credentials, layers)?;
        if hosts.are_local() {
            exposed.clear();
        }
        let mut fetch =
            (self.fetch).check(self.output.commit_every, self.output.on_new_field, layers)?;
        for dataset in &datasets {
            let has_filter =
                self.filter.get(&dataset.name).is_some_and(|filter| !filter.is_empty());
            self.fetch.check_shards(interval, dataset, has_filter, layers)?;
        }
        let wanted = OpenFiles { fetchers: fetch.actors, in_flight: fetch.actors * fetch.ahead };
        let OpenFiles { fetchers, in_flight } = wanted.within_limit();
        fetch.actors = fetchers;
        let quota_settings =
            self.budget.check(self.source.platform, in_flight, &catalog, layers)?;
        fetch.requests_per_commit = quota_settings
            .requests_in(fetch.commit_every)
            .map(|requests| requests / fetch.actors.max(1) as u64);
        Ok(Config {
            name: self.job.name.clone(),
            source: self.source.name(layers)?,
            platform: self.source.platform,
            api_version,
            interval,
            job_interval: interval,
            now: clock::now().as_millisecond(),
            datasets,
            hosts,
            auth,
            browser,
            exposed_secrets: exposed,
            fetch,
            quota_settings,
            catalog,
            policy: self.retry.policy(),
            output: self.output.folder(layers)?,
            file_mode: self.output.file_mode(layers)?,
            refresh: self.job.refresh.0,
            newest_first: self.job.is_newest_first(),
            grace: self.job.grace.0,
            follow_open: self.job.follow_open.0,
            give_up_dataset_after: self.retry.give_up_dataset_after.get(),
            format: self.output.format(layers)?,
            filters: self.filter,
            privacy: privacy.policies,
            identity,
        })
    }

    pub(crate) fn scope(self, layers: &Layers) -> Result<BackfillScope, ConfigError> {
        layers.ensure_given()?;
        let catalog = self.catalog(layers)?;
        Ok(BackfillScope {
            name: self.job.name.clone(),
            platform: self.source.platform,
            region: self.source.region().map(str::to_owned),
            source: self.source.name(layers)?,
            to_is_relative: self.job.to_is_relative(),
            interval: self.job.interval(layers)?,
            now: clock::now().as_millisecond(),
            datasets: self.job.datasets(self.source.platform, &catalog, layers)?,
            output: self.output.folder(layers)?,
            file_mode: self.output.file_mode(layers)?,
            format: self.output.format(layers)?,
            column_identity: self.column_identity(),
            catalog,
        })
    }

    pub(crate) fn selection(self, layers: &Layers) -> Result<DatasetSelection, ConfigError> {
        Ok(DatasetSelection {
            catalog: self.source.catalog(layers)?,
            source: self.source.name(layers)?,
            platform: self.source.platform,
        })
    }

    /// The datasets of the source, with the columns that are wanted.
    fn catalog(&self, layers: &Layers) -> Result<Catalog, ConfigError> {
        let catalog = self.source.catalog(layers)?;
        Ok(if self.fetch.attributes { catalog } else { catalog.without_extras() })
    }

    /// The part of the identity that decides which rows and columns are fetched.
    fn row_identity<'d>(
        &self,
        datasets: impl Iterator<Item = &'d str>,
    ) -> BTreeMap<String, String> {
        let mut identity = self.column_identity();
        for name in datasets {
            let filter = self.filter.get(name).cloned().unwrap_or_default();
            identity.insert(filter_key(name), Value::Object(filter).to_string());
        }
        identity
    }

    /// The part of the identity that decides which columns are fetched.
    fn column_identity(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("attributes".to_owned(), self.fetch.attributes.to_string())])
    }
}

/// The text of a filter that selects all rows.
const NO_FILTER: &str = "{}";

/// The key of the filter of a dataset in the identity of a job.
fn filter_key(dataset: &str) -> String {
    format!("filter.{dataset}")
}

//! The parts of the configuration that commands without a run need.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use crate::{
    catalog::{Catalog, Dataset},
    config::{ConfigError, Overrides, only, read_each, sections::ConfigFile, selected_sources},
    platform::Platform,
    sandbox::Settings,
    sink::{FileMode, ParquetSettings},
    time::interval::Interval,
};

/// What concerns an existing output. Commands that only read it need no credentials.
#[derive(Debug)]
pub(crate) struct BackfillScope {
    /// The name of the job.
    pub name: String,
    /// The platform of the API.
    pub platform: Platform,
    /// The region of the platform. `None` if the configuration names hosts instead.
    pub region: Option<String>,
    /// The name of the source. `None` if it is the only one and has no name.
    pub source: Option<String>,
    /// Whether `job.to` is relative to the start of the program, so that it moves on.
    pub to_is_relative: bool,
    /// The interval to fetch.
    pub interval: Interval,
    /// When the program started, in milliseconds since 1970.
    pub now: i64,
    /// The datasets to fetch.
    pub datasets: Vec<Arc<Dataset>>,
    /// All datasets of the platform, the user's own included.
    pub catalog: Catalog,
    /// The folder of the output.
    pub output: PathBuf,
    /// The permissions of new files and folders of the output.
    pub file_mode: FileMode,
    /// How Parquet files are written.
    pub format: ParquetSettings,
    /// The part of the job's identity that decides which columns files have.
    pub column_identity: BTreeMap<String, String>,
}

#[cfg(test)]
impl BackfillScope {
    /// A job of `datasets` from a catalog, for tests that do not care about the rest.
    pub(crate) fn for_tests(catalog: &Catalog, datasets: &[&str], interval: Interval) -> Self {
        let dataset = |name: &&str| Arc::clone(&catalog.datasets[*name]);
        Self {
            name: "backfill".into(),
            platform: Platform::Custom,
            region: None,
            source: None,
            to_is_relative: false,
            interval,
            now: 0,
            datasets: datasets.iter().map(dataset).collect(),
            catalog: catalog.clone(),
            output: PathBuf::new(),
            file_mode: FileMode::default(),
            format: ParquetSettings::for_tests(),
            column_identity: BTreeMap::new(),
        }
    }
}

/// The datasets that a source has.
#[derive(Debug)]
pub(crate) struct DatasetSelection {
    /// The name of the source. `None` if it is the only one and has no name.
    pub source: Option<String>,
    /// The platform of the API.
    pub platform: Platform,
    /// All datasets of the platform, the user's own included.
    pub catalog: Catalog,
}

/// Reads what `status` and `verify` need of each source.
///
/// # Errors
/// If a value is invalid or missing.
pub(crate) fn load_scopes(overrides: &Overrides) -> Result<Vec<BackfillScope>, ConfigError> {
    read_each(&selected_sources(overrides)?, ConfigFile::scope)
}

/// Reads the datasets of each source.
///
/// # Errors
/// If a value is invalid or missing.
pub(crate) fn load_selections(overrides: &Overrides) -> Result<Vec<DatasetSelection>, ConfigError> {
    read_each(&selected_sources(overrides)?, ConfigFile::selection)
}

/// Reads the `[sandbox]` section of the only source.
///
/// # Errors
/// If a value is invalid or missing, or if there are several sources.
pub(crate) fn load_sandbox(overrides: &Overrides) -> Result<Settings, ConfigError> {
    only(read_each(&selected_sources(overrides)?, |file, layers| file.sandbox.check(layers))?)
}

//! An output that a command is about to change without requests.

use std::collections::BTreeMap;

use crate::{
    catalog::Dataset,
    config::{BackfillScope, ConfigError},
    error::Error,
    ledger::{
        LAYOUT, LEDGER, Ledger, compare_identity, is_job_key,
        reader::{DatasetRecords, Snapshot},
        version_key,
    },
    sink::{
        ForgottenRows, ParquetSettings, Rewriter, clean_up, lock::OutputLock, store::OutputStore,
    },
    system::blocking::offload,
};

/// An output that is locked, with what its ledger says. What killed processes left is cleaned up.
pub(super) struct LockedOutput {
    pub store: OutputStore,
    pub ledger: Ledger,
    /// The records of the datasets that the command is about.
    pub wanted: BTreeMap<String, DatasetRecords>,
    /// The identity of the job that wrote the output.
    identity: BTreeMap<String, String>,
    _lock: OutputLock,
}

impl LockedOutput {
    /// Opens the output for all of its datasets, or for `only` these.
    ///
    /// # Errors
    /// If the output has no ledger or no dataset of a name, or if another process writes to it.
    pub(super) async fn open(scope: &BackfillScope, only: &[String]) -> Result<Self, Error> {
        let path = scope.output.join(LEDGER);
        // read before the output is opened, because that would create a missing folder
        let known = Snapshot::read(&path)?.datasets;
        if let Some(unknown) = only.iter().find(|name| !known.contains_key(name.as_str())) {
            let known: Vec<_> = known.into_keys().collect();
            let message =
                format!("the output has no dataset `{unknown}`: it has {}", known.join(", "));
            return Err(ConfigError::at("--dataset", message).into());
        }
        let store = OutputStore::create(&scope.output, scope.file_mode)?;
        let lock = OutputLock::take(&scope.output)?;
        let ledger = Ledger::open(&path)?;
        clean_up(&store, &ledger).await?;
        let Snapshot { datasets: mut wanted, identity, .. } = Snapshot::read(&path)?;
        wanted.retain(|name, _| only.is_empty() || only.contains(name));
        Ok(Self { store, ledger, wanted, identity, _lock: lock })
    }

    /// Checks that files written now would have the columns of those that are there.
    ///
    /// # Errors
    /// If they would not: if the job reads other columns, or if the dataset has another version or
    /// other files.
    pub(super) async fn check_columns(
        &self,
        scope: &BackfillScope,
        dataset: &Dataset,
    ) -> Result<(), Error> {
        compare_identity(&self.identity, &scope.column_identity)?;
        let layout = scope.format.layout;
        let files = BTreeMap::from([
            (version_key(&dataset.name), dataset.version.to_string()),
            (LAYOUT.to_owned(), layout.name().to_owned()),
        ]);
        compare_identity(&self.identity, &files)?;
        let (ledger, columns) = (self.ledger.clone(), layout.columns(dataset));
        let (name, version) = (dataset.name.clone(), dataset.version);
        offload(move || ledger.record_columns(&name, version, &columns)).await?;
        Ok(())
    }

    /// The rows that were forgotten.
    ///
    /// # Errors
    /// If they are not known.
    pub(super) async fn forgotten(&self) -> Result<ForgottenRows, Error> {
        Ok(ForgottenRows::read(&self.store, &self.ledger).await?)
    }

    /// Rewrites files as those of the job are written, without the rows that were forgotten.
    pub(super) fn rewriter(&self, scope: &BackfillScope, forgotten: ForgottenRows) -> Rewriter {
        let mut job = self.identity.clone();
        job.retain(|key, _| is_job_key(key));
        let job = serde_json::to_string(&job).unwrap_or_default();
        let settings = ParquetSettings { job, ..scope.format.clone() };
        Rewriter::new(self.store.clone(), self.ledger.clone(), settings, forgotten)
    }
}

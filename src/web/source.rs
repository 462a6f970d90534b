//! What the dashboard and the report show: one output, read from its ledger.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    commands::overview::{LiveRun, Overview, ShardHistory},
    config::BackfillScope,
    ledger::{
        LEDGER,
        reader::{Snapshot, SnapshotError},
    },
    sink::lock::OutputLock,
    telemetry::metrics::Metrics,
    time::interval::Interval,
};

/// An output that is shown. Reading it writes nothing and takes no lock.
#[derive(Debug)]
pub(crate) struct Source {
    scope: BackfillScope,
    /// What the run of this process counts. `None` if this process only looks.
    metrics: Option<Arc<Metrics>>,
}

impl Source {
    /// The output of `scope`. `metrics` are those of its run in this process.
    pub(crate) fn new(scope: BackfillScope, metrics: Option<Arc<Metrics>>) -> Self {
        Self { scope, metrics }
    }

    /// The name of the source; empty if it is the only one and has no name.
    pub(crate) fn name(&self) -> &str {
        self.scope.source.as_deref().unwrap_or_default()
    }

    /// Whether this process runs the job.
    pub(super) fn is_run_here(&self) -> bool {
        self.metrics.is_some()
    }

    /// The job and its output.
    pub(crate) fn scope(&self) -> &BackfillScope {
        &self.scope
    }

    /// Reads the overview of this moment.
    ///
    /// # Errors
    /// If there is no ledger, or it cannot be read.
    pub(super) fn overview(&self) -> Result<Overview, SnapshotError> {
        // the lock first: a run that ends between the two has recorded its end
        let is_running = OutputLock::is_held(&self.scope.output);
        let ledger = Snapshot::read_with_course(&self.scope.output.join(LEDGER))?;
        Ok(self.overview_of(&ledger, is_running))
    }

    /// The overview as a JSON value. An output without a ledger is empty.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub(super) fn overview_value(&self) -> Result<Value, SnapshotError> {
        let overview = match self.overview() {
            Err(SnapshotError::Missing(_)) => self.overview_of(&Snapshot::default(), false),
            overview => overview?,
        };
        Ok(serde_json::to_value(overview).unwrap_or_default())
    }

    fn overview_of(&self, ledger: &Snapshot, is_running: bool) -> Overview {
        let live = self.metrics.as_deref().map(LiveRun::of);
        Overview::new(&self.scope, ledger, live, is_running)
    }

    /// The history of an interval of a dataset.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub(super) fn history(
        &self,
        dataset: &str,
        interval: Interval,
    ) -> Result<ShardHistory, SnapshotError> {
        ShardHistory::read(&self.scope.output.join(LEDGER), dataset, interval)
    }
}

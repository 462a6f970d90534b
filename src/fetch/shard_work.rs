//! What the requests of the shard that a fetcher is at have cost: for people to look at.

use std::{cell::RefCell, sync::Arc};

use tokio::time::Instant;

use crate::{
    ledger::{FailedAttempt, ShardCost},
    telemetry::metrics::DatasetMetrics,
    time::clock,
};

/// The most failed attempts of a shard that are remembered: the first (G8).
const MOST_ATTEMPTS: usize = 50;

/// What the requests of a shard have cost since its last commit. A fetcher has one shard at a time,
/// so all its requests are of that shard.
#[derive(Default)]
pub(crate) struct ShardWork(RefCell<Work>);

#[derive(Default)]
struct Work {
    /// `None` if no shard is being fetched.
    dataset: Option<Arc<DatasetMetrics>>,
    cost: ShardCost,
    since: Option<Instant>,
    attempts: Vec<FailedAttempt>,
}

impl ShardWork {
    /// Begins a shard of a dataset.
    pub(crate) fn begin(&self, dataset: Arc<DatasetMetrics>) {
        let (dataset, since) = (Some(dataset), Some(Instant::now()));
        *self.0.borrow_mut() = Work { dataset, since, ..Work::default() };
    }

    /// The metrics of the dataset. `None` if no shard is being fetched.
    pub(crate) fn dataset(&self) -> Option<Arc<DatasetMetrics>> {
        self.0.borrow().dataset.clone()
    }

    /// The name of the dataset. `None` if no shard is being fetched.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.0.borrow().dataset.as_ref().map(|dataset| Arc::clone(&dataset.name))
    }

    /// Counts a request that is sent.
    pub(crate) fn send(&self) {
        self.0.borrow_mut().cost.requests += 1;
    }

    /// Counts a request that is sent again, and remembers why.
    pub(crate) fn retry(&self, reason: String, correlation: &str) {
        let mut work = self.0.borrow_mut();
        work.cost.retries += 1;
        if work.attempts.len() < MOST_ATTEMPTS {
            let at = clock::now().to_string();
            work.attempts.push(FailedAttempt { at, reason, correlation: correlation.to_owned() });
        }
    }

    /// The cost since the last call, or since the shard began.
    pub(crate) fn take_cost(&self) -> ShardCost {
        let mut work = self.0.borrow_mut();
        let duration = work.since.replace(Instant::now()).map(|since| since.elapsed());
        let duration_ms = duration.unwrap_or_default().as_millis();
        let duration_ms = u64::try_from(duration_ms).unwrap_or(u64::MAX);
        ShardCost { duration_ms, ..std::mem::take(&mut work.cost) }
    }

    /// The attempts that failed since the last call, or since the shard began.
    pub(crate) fn take_attempts(&self) -> Vec<FailedAttempt> {
        std::mem::take(&mut self.0.borrow_mut().attempts)
    }
}

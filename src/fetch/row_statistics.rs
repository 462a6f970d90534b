//! How many rows each dataset has, as far as this run knows.

use std::{sync::Arc, time::Duration};

use dashmap::{DashMap, DashSet};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::ledger::{Probe, RowStats};

/// The row counts of datasets: those of the ledger and of `plan --probe`, and those that this run
/// has committed or asked for. Shared by all fetchers.
#[derive(Debug, Default)]
pub(crate) struct RowStatistics {
    stats: DashMap<String, RowStats>,
    /// The datasets whose rows the platform did not count when it was asked.
    uncounted: DashSet<String>,
    /// The lock of each dataset that a fetcher holds while it asks the platform for a count.
    counting: DashMap<String, Arc<Mutex<()>>>,
}

impl RowStatistics {
    /// Starts with the counts of earlier runs.
    pub(crate) fn insert(&self, dataset: &str, stats: RowStats) {
        self.stats.insert(dataset.to_owned(), stats);
    }

    /// Adds committed rows of `time`.
    pub(crate) fn add(&self, dataset: &str, rows: u64, time: Duration) {
        let mut stats = self.stats.entry(dataset.to_owned()).or_default();
        stats.committed.0 += rows;
        stats.committed.2 += time;
    }

    /// Adds a count of the platform.
    pub(crate) fn count(&self, dataset: &str, probe: Probe) {
        self.stats.entry(dataset.to_owned()).or_default().probes.push(probe);
    }

    /// Sets the number of items that hold the rows of any interval. Returns whether it is new.
    pub(crate) fn set_items(&self, dataset: &str, items: u64) -> bool {
        let mut stats = self.stats.entry(dataset.to_owned()).or_default();
        stats.items.replace(items) != Some(items)
    }

    /// Remembers that the platform did not count the rows of a dataset.
    pub(crate) fn give_up_counting(&self, dataset: &str) {
        self.uncounted.insert(dataset.to_owned());
    }

    /// Whether the platform may count the rows of a dataset.
    pub(crate) fn may_be_counted(&self, dataset: &str) -> bool {
        !self.uncounted.contains(dataset)
    }

    /// Whether rows of a dataset are committed, which proves that its catalog tells where rows are.
    pub(crate) fn has_committed_rows(&self, dataset: &str) -> bool {
        self.stats.get(dataset).is_some_and(|stats| stats.committed.0 > 0)
    }

    /// Waits until no other fetcher counts the rows of a dataset. Others wait while the guard
    /// lives.
    pub(crate) async fn count_alone(&self, dataset: &str) -> OwnedMutexGuard<()> {
        let lock = Arc::clone(&self.counting.entry(dataset.to_owned()).or_default());
        lock.lock_owned().await
    }

    /// What is known of a dataset.
    pub(crate) fn of(&self, dataset: &str) -> RowStats {
        self.stats.get(dataset).map(|stats| stats.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::time::interval::Interval;

    #[test]
    fn expected_rows_follow_from_committed_rows() {
        let (statistics, day) = (RowStatistics::default(), Interval::day_of(0));
        assert_eq!(statistics.of("calls").rows(day), None);
        statistics.add("calls", 30, day.width());
        statistics.add("calls", 10, day.width());
        assert_eq!(statistics.of("calls").rows(day), Some(20));
    }

    #[test]
    fn expected_rows_follow_from_a_count_until_rows_are_committed() {
        let statistics = RowStatistics::default();
        let (day, later) = (Interval::day_of(0), Interval::day_of(86_400_000));
        statistics.count("calls", Probe { interval: day, rows: 50 });
        assert_eq!(statistics.of("calls").rows(later), Some(50));
        statistics.add("calls", 10, day.width());
        assert_eq!(statistics.of("calls").rows(later), Some(10));
    }

    #[tokio::test]
    async fn a_slow_count_of_one_dataset_does_not_hold_the_others() {
        let statistics = RowStatistics::default();
        let counting = statistics.count_alone("calls").await;
        let held = |dataset| statistics.count_alone(dataset).now_or_never().is_none();
        assert_eq!((held("calls"), held("chats")), (true, false));
        drop(counting);
        assert!(!held("calls"));
    }
}

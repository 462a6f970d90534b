//! How many rows each dataset has, as far as this run knows.

use std::time::Duration;

use dashmap::DashMap;

use crate::{ledger::RowStats, time::interval::Interval};

/// The row counts of datasets: those of the ledger and of `plan --probe`, and those that this run
/// has committed. Shared by all fetchers.
#[derive(Debug, Default)]
pub(crate) struct RowStatistics(DashMap<String, RowStats>);

impl RowStatistics {
    /// Starts with the counts of earlier runs.
    pub(crate) fn insert(&self, dataset: &str, stats: RowStats) {
        self.0.insert(dataset.to_owned(), stats);
    }

    /// Adds committed rows of `time`.
    pub(crate) fn add(&self, dataset: &str, rows: u64, time: Duration) {
        let mut stats = self.0.entry(dataset.to_owned()).or_default();
        stats.committed.0 += rows;
        stats.committed.2 += time;
    }

    /// Estimates the rows of an interval. `None` if nothing is known about the dataset.
    pub(crate) fn expected_rows(&self, dataset: &str, interval: Interval) -> Option<u64> {
        self.0.get(dataset)?.rows(interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_rows_follow_from_committed_rows() {
        let (statistics, day) = (RowStatistics::default(), Interval::day_of(0));
        assert_eq!(statistics.expected_rows("calls", day), None);
        statistics.add("calls", 30, day.width());
        statistics.add("calls", 10, day.width());
        assert_eq!(statistics.expected_rows("calls", day), Some(20));
    }
}

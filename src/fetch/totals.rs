//! What fetchers added to the output, in sum.

use std::collections::BTreeMap;

use crate::{
    ledger::{Counts, DoubtfulInterval, Failure},
    sink::Committed,
    time::interval::Interval,
};

/// What one or more fetchers added to the output.
#[derive(Debug, Default)]
pub struct FetchTotals {
    /// What became of the rows of committed shards, as the sink counted.
    pub counts: Counts,
    /// Rows received for committed shards, as the fetchers counted: both must agree (G5).
    pub received: u64,
    /// Shards committed.
    pub committed: u64,
    /// What was committed, by dataset.
    pub datasets: BTreeMap<String, CommittedData>,
    /// Shards that failed.
    pub failed: Vec<Failure>,
    /// Shards that the platform cannot give yet.
    pub not_yet_available: Vec<Failure>,
    /// What was committed although it is doubtful.
    pub doubtful: Vec<DoubtfulInterval>,
    /// Datasets that the credentials may not read, with the platform's answer and what is missing.
    pub denied: BTreeMap<String, String>,
    /// Datasets that were given up because too many shards in a row failed, with the reason.
    pub given_up: BTreeMap<String, String>,
    /// Committed shards with a count mismatch.
    pub count_mismatches: u64,
    /// Files written.
    pub files: u64,
    /// Bytes of these files.
    pub bytes_written: u64,
}

/// What was committed of a dataset.
#[derive(Debug, Default)]
pub struct CommittedData {
    /// What became of its rows.
    pub counts: Counts,
    /// The committed intervals, in order and merged where they are adjacent.
    pub intervals: Vec<Interval>,
}

impl std::ops::AddAssign for FetchTotals {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.received += other.received;
        self.committed += other.committed;
        for (dataset, committed) in other.datasets {
            *self.datasets.entry(dataset).or_default() += committed;
        }
        self.failed.extend(other.failed);
        self.not_yet_available.extend(other.not_yet_available);
        self.doubtful.extend(other.doubtful);
        self.denied.extend(other.denied);
        self.given_up.extend(other.given_up);
        self.count_mismatches += other.count_mismatches;
        self.files += other.files;
        self.bytes_written += other.bytes_written;
    }
}

impl std::ops::AddAssign for CommittedData {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        for interval in other.intervals {
            self.add_interval(interval);
        }
    }
}

impl FetchTotals {
    /// Whether the sink has accounted for every row that the fetchers received, once (G5).
    pub fn balances(&self) -> bool {
        self.received == self.counts.received && self.counts.balance()
    }

    /// Adds a commit of `received` rows.
    pub fn add(&mut self, dataset: &str, interval: Interval, received: u64, committed: &Committed) {
        self.counts += committed.counts;
        self.received += received;
        self.committed += 1;
        let of_dataset = self.datasets.entry(dataset.to_owned()).or_default();
        of_dataset.counts += committed.counts;
        of_dataset.add_interval(interval);
        self.files += committed.files.len() as u64;
        self.bytes_written += committed.files.iter().map(|file| file.bytes).sum::<u64>();
    }
}

impl CommittedData {
    /// Adds an interval, merged with those that touch it.
    fn add_interval(&mut self, added: Interval) {
        let start = self.intervals.partition_point(|other| other.to_ms() < added.from_ms());
        let end = self.intervals.partition_point(|other| other.from_ms() <= added.to_ms());
        let mut merged = added;
        for touching in self.intervals.drain(start..end) {
            let from = merged.from_ms().min(touching.from_ms());
            let to = merged.to_ms().max(touching.to_ms());
            merged = Interval::new(from, to).unwrap_or(merged);
        }
        self.intervals.insert(start, merged);
    }
}

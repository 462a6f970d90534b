//! What fetchers added to the output, in sum.

use std::collections::BTreeMap;

use crate::{
    ledger::{Counts, Failure},
    sink::Committed,
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
    /// Shards that failed or are not yet available.
    pub failed: Vec<Failure>,
    /// Datasets that the credentials may not read, with the platform's answer and what is missing.
    pub denied: BTreeMap<String, String>,
    /// Committed shards with a count mismatch.
    pub count_mismatches: u64,
    /// Files written.
    pub files: u64,
    /// Bytes of these files.
    pub bytes_written: u64,
}

impl std::ops::AddAssign for FetchTotals {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.received += other.received;
        self.committed += other.committed;
        self.failed.extend(other.failed);
        self.denied.extend(other.denied);
        self.count_mismatches += other.count_mismatches;
        self.files += other.files;
        self.bytes_written += other.bytes_written;
    }
}

impl FetchTotals {
    /// Whether the sink has accounted for every row that the fetchers received, once (G5).
    pub fn balances(&self) -> bool {
        self.received == self.counts.received && self.counts.balance()
    }

    /// Adds a commit of `received` rows.
    pub fn add(&mut self, received: u64, committed: &Committed) {
        self.counts += committed.counts;
        self.received += received;
        self.committed += 1;
        self.files += committed.files.len() as u64;
        self.bytes_written += committed.files.iter().map(|file| file.bytes).sum::<u64>();
    }
}

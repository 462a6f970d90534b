//! What comes of fetching, and why it ends early.

use std::collections::BTreeMap;

use crate::{
    http::{error::RequestError, retry::Stop},
    ledger::{Counts, Failure},
    sink::{Committed, SinkError},
};

/// What one fetcher added to the output.
#[derive(Debug, Default)]
pub struct FetchTotals {
    /// What became of the rows that it received for committed shards.
    pub counts: Counts,
    /// Rows it received for them, counted here and not in the sink: the two must agree (G5).
    pub received: u64,
    /// Shards committed.
    pub committed: u64,
    /// Shards set aside.
    pub failed: Vec<Failure>,
    /// Datasets that the credentials may not read, what the platform said, and what they lack.
    pub denied: BTreeMap<String, String>,
    /// Committed shards of which the platform counts more rows than it gave.
    pub short: u64,
    /// Files written.
    pub files: u64,
    /// Their size.
    pub bytes_written: u64,
}

/// Why a fetcher ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The run was told to end.
    #[error("interrupted")]
    Interrupted,
    /// The platform refused in a way that concerns the whole run.
    #[error("{fault}")]
    Stopped {
        /// Who must act.
        stop: Stop,
        /// What happened.
        fault: RequestError,
    },
    /// The output cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// An actor has gone.
    #[error("an actor ended early: {0}; this is a bug, please report it")]
    Actor(String),
}

impl std::ops::AddAssign for FetchTotals {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.received += other.received;
        self.committed += other.committed;
        self.failed.extend(other.failed);
        self.denied.extend(other.denied);
        self.short += other.short;
        self.files += other.files;
        self.bytes_written += other.bytes_written;
    }
}

impl FetchTotals {
    /// G5: what the fetchers received is what the sink dealt with, and each row has one fate.
    pub fn balances(&self) -> bool {
        self.received == self.counts.received && self.counts.balance()
    }

    /// Adds a commit for which `received` rows came.
    pub fn add(&mut self, received: u64, committed: &Committed) {
        self.counts += committed.counts;
        self.received += received;
        self.committed += 1;
        self.files += committed.files.len() as u64;
        self.bytes_written += committed.files.iter().map(|file| file.bytes).sum::<u64>();
    }
}

//! What the ledger is told, and why it may refuse.

use crate::time::interval::Interval;

/// What became of the rows of a shard (G5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that the platform sent.
    pub received: u64,
    /// Rows in the files.
    pub written: u64,
    /// Rows that another shard owns (G4).
    pub not_owned: u64,
    /// Copies of a row that a newer copy replaced.
    pub duplicate: u64,
    /// Rows that cannot be decoded, kept as raw JSON.
    pub quarantined: u64,
}

impl Counts {
    /// G5: every row received has exactly one fate.
    pub fn balance(&self) -> bool {
        self.received == self.written + self.not_owned + self.duplicate + self.quarantined
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.written += other.written;
        self.not_owned += other.not_owned;
        self.duplicate += other.duplicate;
        self.quarantined += other.quarantined;
    }
}

/// A file of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// Its path below the output.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its checksum, as `sha256sum` prints it.
    pub sha256: String,
}

/// A committed shard.
#[derive(Debug, Clone)]
pub struct ShardRecord {
    /// The dataset's name.
    pub dataset: String,
    /// What is committed.
    pub interval: Interval,
    /// What became of its rows.
    pub counts: Counts,
    /// Where they are.
    pub files: Vec<FileRecord>,
}

/// A shard that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The dataset's name.
    pub dataset: String,
    /// What is missing.
    pub interval: Interval,
    /// Why.
    pub reason: String,
    /// The platform's id of the last failed request; empty if there is none.
    pub correlation: String,
}

/// What the platform counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The time.
    pub interval: Interval,
    /// The rows of it.
    pub rows: u64,
}

/// Something that the platform keeps for us and that is to be deleted: a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteJob {
    /// The dataset that it was for.
    pub dataset: String,
    /// The path that deletes it.
    pub path: String,
}

/// Why the ledger did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite failed: disk full, locked, not a database.
    #[error(
        "the ledger failed: {0}; free its disk or end the program that locks it, then run again"
    )]
    Sqlite(#[from] rusqlite::Error),
    /// A record would overlap an earlier one: its rows would be doubled.
    #[error(
        "the ledger refuses {dataset} {new}, since {old} is committed already: this is a bug, please report it"
    )]
    Overlap {
        /// The dataset.
        dataset: String,
        /// The record that was refused.
        new: Interval,
        /// The record that is there.
        old: Interval,
    },
    /// The output belongs to another job.
    #[error(
        "this output was written with {key} = {old}, and now it is {new}: rows of both would mix; choose another output.path"
    )]
    Identity {
        /// What differs.
        key: String,
        /// Its value in the ledger.
        old: String,
        /// Its value now.
        new: String,
    },
}

//! What the ledger records, and its errors.

use rusqlite::ErrorCode;
use serde::{Deserialize, Serialize};

use crate::{ledger::LEDGER, time::interval::Interval};

/// Row counts of a shard (G5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows that the platform sent.
    pub received: u64,
    /// Rows in the Parquet files.
    pub written: u64,
    /// Rows that another shard owns (G4).
    pub not_owned: u64,
    /// Copies of a row that a newer copy replaced.
    pub duplicate: u64,
    /// Rows that could not be decoded and are kept as raw JSON.
    pub quarantined: u64,
    /// Rows whose id was forgotten, which are left out and not kept.
    pub forgotten: u64,
}

impl Counts {
    /// Whether every row received is counted exactly once (G5).
    pub fn balance(&self) -> bool {
        self.received == self.accounted()
    }

    /// The sum of what rows became.
    pub(crate) fn accounted(&self) -> u64 {
        self.written + self.not_owned + self.duplicate + self.quarantined + self.forgotten
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.written += other.written;
        self.not_owned += other.not_owned;
        self.duplicate += other.duplicate;
        self.quarantined += other.quarantined;
        self.forgotten += other.forgotten;
    }
}

impl std::ops::SubAssign for Counts {
    fn sub_assign(&mut self, other: Self) {
        self.received -= other.received;
        self.written -= other.written;
        self.not_owned -= other.not_owned;
        self.duplicate -= other.duplicate;
        self.quarantined -= other.quarantined;
        self.forgotten -= other.forgotten;
    }
}

/// A file of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Path below the output directory.
    pub path: String,
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Checksum as `sha256sum` prints it.
    pub sha256: String,
}

/// A committed shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Name of the dataset.
    pub dataset: String,
    /// The committed interval.
    pub interval: Interval,
    /// What became of its rows.
    pub counts: Counts,
    pub files: Vec<FileRecord>,
    /// Id of the commit. Empty if a program with a ledger of version 1 committed it.
    pub commit_id: String,
    /// Written rows that were still open, such as conversations without an end.
    pub open_rows: u64,
    /// What is recorded for people to look at.
    pub details: ShardDetails,
}

/// What is recorded of a committed shard for people to look at. Nothing depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardDetails {
    /// What it cost. `None` if that is not known.
    pub cost: Option<ShardCost>,
    /// Its rows by hour and media type. Empty if an earlier program committed it, or if they were
    /// not read.
    pub sums: Vec<HourRecord>,
}

/// What a shard cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCost {
    /// Requests, retries included.
    pub requests: u64,
    /// Those of them that were sent again.
    pub retries: u64,
    /// Milliseconds from its first request to its last page.
    pub duration_ms: u64,
}

/// The rows of an hour with one media type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourRecord {
    /// The start of the UTC hour in milliseconds since 1970.
    pub hour_ms: i64,
    /// The media type. Empty if rows have none, or the catalog does not name its column.
    pub media: String,
    pub rows: u64,
    /// Those of them that have a handle time.
    pub rows_handled: u64,
    /// The sum of their handle times in milliseconds.
    pub handle_ms: i64,
}

/// A shard that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Name of the dataset.
    pub dataset: String,
    /// The interval that is missing.
    pub interval: Interval,
    /// Why it failed.
    pub reason: String,
    /// The platform's correlation id of the last failed request. Empty if there is none.
    pub correlation: String,
}

/// A row count that the platform reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The interval that was counted.
    pub interval: Interval,
    /// The platform's count of its rows.
    pub rows: u64,
}

/// A job that the platform keeps until it is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteJob {
    /// Name of the dataset that it was submitted for.
    pub dataset: String,
    /// The path that deletes it.
    pub path: String,
}

/// Why the ledger cannot be used, or refused a record.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite failed: the disk is full, the file is locked or not a database.
    #[error(
        "the ledger ({path}) failed: {source}; free disk space or end the program that locks it, \
        then run again"
    )]
    Sqlite {
        /// The path of the file, or its name where the path is not known.
        path: String,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// The file is not an SQLite database, or is damaged.
    #[error(
        "the ledger ({path}) is damaged: {source}; make it anew from the files with `cxbackfill rebuild`, \
        or restore it from a backup"
    )]
    Damaged {
        /// The path of the file, or its name where the path is not known.
        path: String,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// A symbolic link stands where the ledger or a file of SQLite beside it belongs.
    #[error(
        "{0} is a symbolic link, which is not followed: put the file itself there, or none, or \
        choose another output.path"
    )]
    SymbolicLink(String),
    /// A newer program wrote the ledger.
    #[error(
        "the ledger has version {found}, and this program knows only up to {known}: \
        update cxbackfill, or choose another output.path"
    )]
    Newer {
        /// Version of the ledger.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// A record would overlap an earlier one and double its rows.
    #[error(
        "the ledger refuses to commit {dataset} {new}, because {old} is committed already: \
        this is a bug, please report it"
    )]
    Overlap {
        /// Name of the dataset.
        dataset: String,
        /// The interval that was refused.
        new: Interval,
        /// The interval that is committed.
        old: Interval,
    },
    /// Another job wrote the output.
    #[error(
        "this output was written with {key} = {old}, and now it is {new}: \
        rows of both would mix; set it to {old} again, or choose another output.path"
    )]
    Identity {
        /// The setting that differs.
        key: String,
        /// Its value in the ledger.
        old: String,
        /// Its value now.
        new: String,
    },
    /// What is hidden of the rows changed.
    #[error(
        "the rows of `{dataset}` in this output were written with another [privacy], or another \
        privacy.key, or without: rows of both would mix; restore it, or choose another output.path \
        and fetch them there"
    )]
    Policy {
        /// Name of the dataset.
        dataset: String,
    },
    /// The files have another layout.
    #[error(
        "this output has output.layout = {old}, and now it is {new}: set it back, or rewrite the files \
        with `cxbackfill upgrade`, which makes no request, or choose another output.path"
    )]
    Layout {
        /// The layout in the ledger.
        old: String,
        /// The layout now.
        new: String,
    },
    /// Some files may have another layout than others.
    #[error(
        "an upgrade of the output to another output.layout was interrupted: finish it with \
        `cxbackfill upgrade`"
    )]
    ChangingLayout,
    /// The files have the columns of an older version of their dataset.
    #[error(
        "the files of `{dataset}` in this output have the columns of version {found}, and those of \
        version {known} would not fit beside them: rewrite them with `cxbackfill upgrade`, which \
        makes no request, or choose another output.path"
    )]
    OlderColumns {
        /// Name of the dataset.
        dataset: String,
        /// The version of the files.
        found: u32,
        /// The version of the dataset. The same if the program alone writes other columns now.
        known: u32,
    },
    /// The columns of a dataset changed without a new version.
    #[error(
        "the columns of `{dataset}` are not those of the files in this output, and its version is \
        still {version}: {changes}; restore the columns, or raise `version` in the catalog file \
        and rewrite the files with `cxbackfill upgrade`, or choose another output.path"
    )]
    Columns {
        /// Name of the dataset.
        dataset: String,
        /// Its version, in the output and now.
        version: u32,
        /// The columns that changed.
        changes: String,
    },
}

impl From<rusqlite::Error> for LedgerError {
    fn from(source: rusqlite::Error) -> Self {
        let path = LEDGER.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, source }
            }
            _ => Self::Sqlite { path, source },
        }
    }
}

impl LedgerError {
    /// The error of the ledger at this path.
    pub(super) fn at(self, path: &str) -> Self {
        let path = path.to_owned();
        match self {
            Self::Sqlite { source, .. } => Self::Sqlite { path, source },
            Self::Damaged { source, .. } => Self::Damaged { path, source },
            other => other,
        }
    }
}

//! Reads a ledger without changing it.
//!
//! [`Snapshot::read`] needs neither the output's lock nor the right to write, so it works while a
//! run is active and on an output that may only be read. Everything in a snapshot is of one moment,
//! because it is read in one transaction. Ledgers of older versions are read as they are.

mod open;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::Path,
};

use rusqlite::{Connection, Row};

use self::open::read;
use crate::{
    ledger::{
        AcceptedInterval, Counts, DoubtfulInterval, DriftRecord, EventRecord, Failure, FileRecord,
        GapKind, HourRecord, RunRecord, ShardDetails, ShardRecord, drift, events, hour_sums, runs,
    },
    server_text::ServerText,
    telemetry::metrics::Sample,
    time::interval::Interval,
};

/// The content of a ledger at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The job that the output belongs to.
    pub identity: BTreeMap<String, String>,
    /// The records of each dataset.
    pub datasets: BTreeMap<String, DatasetRecords>,
    /// All runs, the oldest first.
    pub runs: Vec<RunRecord>,
    /// Files whose commit has not finished, or that a commit replaced. The next run or `rebuild`
    /// deletes those that are left.
    pub leftovers: HashSet<String>,
    /// The commit that was about to write a file, by the path of the file. If the file is recorded
    /// too, that commit was about to replace it.
    pub intents: HashMap<String, String>,
    /// The samples of the last run, the oldest first. Empty unless
    /// [`read_with_course`](Self::read_with_course) read them.
    pub(crate) samples: Vec<Sample>,
    /// The rows of each dataset by hour and media type. Empty like the samples.
    pub sums: BTreeMap<String, Vec<HourRecord>>,
}

/// The records of one dataset.
#[derive(Debug, Default)]
pub struct DatasetRecords {
    /// Committed shards with their files, in order.
    pub shards: Vec<ShardRecord>,
    /// Failed shards, in order.
    pub failures: Vec<Failure>,
    /// Intervals that are committed but doubtful, in order.
    pub doubtful: Vec<DoubtfulInterval>,
    /// Intervals whose gaps a person accepted, in order.
    pub accepted: Vec<AcceptedInterval>,
    /// Values that fit no column, in order of their paths.
    pub new_fields: Vec<DriftRecord>,
    /// Intervals of shards that were split, in order. Empty unless
    /// [`read_with_course`](Snapshot::read_with_course) read them.
    pub splits: Vec<Interval>,
}

/// Why a ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The output has no ledger.
    #[error("there is no ledger at {0}: no run wrote to this output; check output.path")]
    Missing(String),
    /// A symbolic link stands where the ledger or a file of SQLite beside it belongs.
    #[error("{0} is a symbolic link, which is not followed: put the file itself there, or none")]
    SymbolicLink(String),
    /// A newer program wrote the ledger.
    #[error(
        "the ledger at {path} has version {found}, and this program knows only up to {known}: \
        update cxbackfill"
    )]
    Newer {
        /// Path of the ledger.
        path: String,
        /// Version of the ledger.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// SQLite failed.
    #[error(
        "the ledger at {path} cannot be read: {source}; if it is damaged, make it anew from the \
        files with `cxbackfill rebuild`"
    )]
    Sqlite {
        /// Path of the ledger.
        path: String,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The ledger is in a folder that may only be read, and it could not be copied out of it.
    #[error("the ledger at {path} cannot be copied to a temporary folder: {source}; set TMPDIR")]
    Copy {
        /// Path of the ledger.
        path: String,
        /// The system's error.
        source: io::Error,
    },
}

impl Snapshot {
    /// Reads the ledger at `path`.
    ///
    /// # Errors
    /// [`SnapshotError`] if there is no ledger, or if it cannot be read.
    pub fn read(path: &Path) -> Result<Self, SnapshotError> {
        read(path, Self::query)
    }

    /// Reads the ledger at `path`, also what is there for people to look at.
    ///
    /// # Errors
    /// [`SnapshotError`] if there is no ledger, or if it cannot be read.
    pub(crate) fn read_with_course(path: &Path) -> Result<Self, SnapshotError> {
        read(path, |view, version| {
            let mut snapshot = Self::query(view, version)?;
            for (dataset, interval) in splits(view)? {
                snapshot.records(&dataset).splits.push(interval);
            }
            if version >= 4 {
                snapshot.samples = runs::samples(view)?;
                snapshot.sums = hour_sums::sums(view)?;
            }
            Ok(snapshot)
        })
    }

    /// Reads the ledger at `path`, with the rows of each shard by hour and media type.
    ///
    /// # Errors
    /// [`SnapshotError`] if there is no ledger, or if it cannot be read.
    pub(crate) fn read_with_sums(path: &Path) -> Result<Self, SnapshotError> {
        read(path, |view, version| {
            let mut snapshot = Self::query(view, version)?;
            let mut sums = match version {
                0..4 => BTreeMap::new(),
                _ => hour_sums::sums_of_shards(view)?,
            };
            let shards = snapshot.datasets.values_mut().flat_map(|records| &mut records.shards);
            for shard in shards {
                let key = (shard.dataset.clone(), shard.interval.from_ms());
                shard.details.sums = sums.remove(&key).unwrap_or_default();
            }
            Ok(snapshot)
        })
    }

    /// The paths of all committed files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let shards = self.datasets.values().flat_map(|records| &records.shards);
        shards.flat_map(|shard| &shard.files).map(|file| file.path.as_str())
    }

    fn query(view: &Connection, version: u32) -> Result<Self, rusqlite::Error> {
        let mut snapshot = Self { identity: identity(view)?, ..Self::default() };
        for shard in shards(view, version)? {
            snapshot.records(&shard.dataset).shards.push(shard);
        }
        for failure in failures(view)? {
            snapshot.records(&failure.dataset).failures.push(failure);
        }
        if version >= 2 {
            for doubtful in doubtful(view)? {
                snapshot.records(&doubtful.dataset).doubtful.push(doubtful);
            }
            for accepted in accepted(view)? {
                snapshot.records(&accepted.dataset).accepted.push(accepted);
            }
            snapshot.runs = runs::runs(view, version)?;
            snapshot.leftovers = leftovers(view)?;
            snapshot.intents = intents(view)?;
        }
        if version >= 3 {
            for field in drift::fields(view, "")? {
                snapshot.records(&field.dataset).new_fields.push(field);
            }
        }
        Ok(snapshot)
    }

    fn records(&mut self, dataset: &str) -> &mut DatasetRecords {
        self.datasets.entry(dataset.to_owned()).or_default()
    }
}

/// The events of an interval of a dataset in the ledger at `path`, the oldest first.
///
/// # Errors
/// [`SnapshotError`] if there is no ledger, or if it cannot be read.
pub(crate) fn events(
    path: &Path,
    dataset: &str,
    interval: Interval,
) -> Result<Vec<EventRecord>, SnapshotError> {
    read(path, |view, version| match version {
        0..4 => Ok(Vec::new()),
        _ => events::events(view, dataset, interval),
    })
}

fn identity(view: &Connection) -> Result<BTreeMap<String, String>, rusqlite::Error> {
    view.prepare("SELECT key, value FROM identity")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn shards(view: &Connection, version: u32) -> Result<Vec<ShardRecord>, rusqlite::Error> {
    let mut files = files(view)?;
    let new_columns = match version {
        0..2 => "'', 0, NULL, NULL, NULL, 0",
        2..4 => "commit_id, open_rows, NULL, NULL, NULL, 0",
        4 => "commit_id, open_rows, requests, retries, duration_ms, 0",
        _ => "commit_id, open_rows, requests, retries, duration_ms, rows_forgotten",
    };
    let mut query = view.prepare(&format!(
        "SELECT dataset, from_ms, to_ms, rows_received, rows_written, rows_not_owned,
                rows_duplicate, rows_quarantined, {new_columns}
         FROM shard ORDER BY dataset, from_ms"
    ))?;
    let shards = query.query_map([], |row| {
        let (dataset, interval): (String, _) = (row.get(0)?, interval(row)?);
        Ok(ShardRecord {
            files: files.remove(&(dataset.clone(), interval.from_ms())).unwrap_or_default(),
            counts: Counts {
                received: number(row, 3)?,
                written: number(row, 4)?,
                not_owned: number(row, 5)?,
                duplicate: number(row, 6)?,
                quarantined: number(row, 7)?,
                forgotten: number(row, 13)?,
            },
            dataset,
            interval,
            commit_id: row.get(8)?,
            open_rows: number(row, 9)?,
            details: ShardDetails { cost: events::cost(row, 10)?, sums: Vec::new() },
        })
    })?;
    shards.collect()
}

/// The files of each shard, by its dataset and start.
fn files(view: &Connection) -> Result<HashMap<(String, i64), Vec<FileRecord>>, rusqlite::Error> {
    let mut files: HashMap<_, Vec<_>> = HashMap::new();
    let mut query =
        view.prepare("SELECT dataset, from_ms, path, rows, bytes, sha256 FROM file ORDER BY path")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let file = FileRecord {
            path: row.get(2)?,
            rows: number(row, 3)?,
            bytes: number(row, 4)?,
            sha256: row.get(5)?,
        };
        files.entry((row.get(0)?, row.get(1)?)).or_default().push(file);
    }
    Ok(files)
}

/// A recorded text of a server, which an older version may have recorded as it came.
fn server_text(row: &Row<'_>, index: usize) -> Result<String, rusqlite::Error> {
    Ok(ServerText::from(row.get::<_, String>(index)?).to_string())
}

/// The intervals of shards that were split, each with its dataset.
fn splits(view: &Connection) -> Result<Vec<(String, Interval)>, rusqlite::Error> {
    let mut query =
        view.prepare("SELECT dataset, from_ms, to_ms FROM split ORDER BY dataset, from_ms, to_ms")?;
    query.query_map([], |row| Ok((row.get(0)?, interval(row)?)))?.collect()
}

fn failures(view: &Connection) -> Result<Vec<Failure>, rusqlite::Error> {
    let mut query = view.prepare(
        "SELECT dataset, from_ms, to_ms, reason, correlation FROM failure
         ORDER BY dataset, from_ms",
    )?;
    let failures = query.query_map([], |row| {
        Ok(Failure {
            dataset: row.get(0)?,
            interval: interval(row)?,
            reason: server_text(row, 3)?,
            correlation: server_text(row, 4)?,
        })
    })?;
    failures.collect()
}

fn doubtful(view: &Connection) -> Result<Vec<DoubtfulInterval>, rusqlite::Error> {
    let mut query = view.prepare(
        "SELECT dataset, from_ms, to_ms, reason, kind FROM gap
         ORDER BY dataset, from_ms, to_ms, kind",
    )?;
    let mut rows = query.query([])?;
    let mut doubtful = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(kind) = GapKind::from_name(row.get_ref(4)?.as_str().unwrap_or_default()) {
            doubtful.push(DoubtfulInterval {
                dataset: row.get(0)?,
                interval: interval(row)?,
                kind,
                reason: server_text(row, 3)?,
            });
        }
    }
    Ok(doubtful)
}

fn accepted(view: &Connection) -> Result<Vec<AcceptedInterval>, rusqlite::Error> {
    let mut query = view.prepare(
        "SELECT dataset, from_ms, to_ms, reason FROM accepted ORDER BY dataset, from_ms, to_ms",
    )?;
    let accepted = query.query_map([], |row| {
        let (dataset, interval, reason) = (row.get(0)?, interval(row)?, row.get(3)?);
        Ok(AcceptedInterval { dataset, interval, reason })
    })?;
    accepted.collect()
}

fn leftovers(view: &Connection) -> Result<HashSet<String>, rusqlite::Error> {
    view.prepare("SELECT path FROM intent UNION SELECT path FROM garbage")?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn intents(view: &Connection) -> Result<HashMap<String, String>, rusqlite::Error> {
    view.prepare("SELECT path, commit_id FROM intent")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The interval in the columns 1 and 2.
fn interval(row: &Row) -> Result<Interval, rusqlite::Error> {
    let (from, to) = (row.get(1)?, row.get(2)?);
    Interval::new(from, to).ok_or(rusqlite::Error::IntegralValueOutOfRange(2, to))
}

fn number(row: &Row, column: usize) -> Result<u64, rusqlite::Error> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

#[cfg(test)]
mod tests;

//! What the ledger tells its readers.
//!
//! [`Ledger`](crate::ledger::Ledger) writes. This opens the file read-only and without a lock, so it
//! can be read while a run is going on, and takes one transaction's view of it: what it says is
//! true together.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use rusqlite::{Connection, OpenFlags, Row};

use crate::{
    ledger::{Counts, Failure, FileRecord, ShardRecord},
    time::interval::Interval,
};

/// The tables that are read here. A run that was killed early may have made none of them.
const TABLES: [&str; 4] = ["identity", "shard", "file", "failure"];

/// A ledger at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The job that the output belongs to.
    pub identity: BTreeMap<String, String>,
    /// What is recorded, by dataset.
    pub datasets: BTreeMap<String, DatasetRecords>,
}

/// What is recorded of one dataset.
#[derive(Debug, Default)]
pub struct DatasetRecords {
    /// Committed shards with their files, in order.
    pub shards: Vec<ShardRecord>,
    /// Shards that were set aside, in order.
    pub failures: Vec<Failure>,
}

/// Why a ledger tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// No run has begun there.
    #[error(
        "there is no ledger at {0}: nothing was fetched into this output; is output.path right?"
    )]
    Missing(String),
    /// SQLite failed.
    #[error(
        "the ledger at {path} cannot be read: {source}; is it a ledger, and may you write beside it?"
    )]
    Sqlite {
        /// Where it is.
        path: String,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl Snapshot {
    /// Reads the ledger at `path`.
    ///
    /// # Errors
    /// [`SnapshotError`] where there is none, or none that can be read.
    pub fn read(path: &Path) -> Result<Self, SnapshotError> {
        if !path.exists() {
            return Err(SnapshotError::Missing(path.display().to_string()));
        }
        let wrong = |source| SnapshotError::Sqlite { path: path.display().to_string(), source };
        Self::query(path).map_err(wrong)
    }

    /// The path of every file that a record names.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let shards = self.datasets.values().flat_map(|records| &records.shards);
        shards.flat_map(|shard| &shard.files).map(|file| file.path.as_str())
    }

    fn query(path: &Path) -> Result<Self, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        let view = connection.transaction()?;
        for table in TABLES {
            if !view.table_exists(None, table)? {
                return Ok(Self::default());
            }
        }
        let mut history = Self { identity: identity(&view)?, datasets: BTreeMap::new() };
        for shard in shards(&view)? {
            history.datasets.entry(shard.dataset.clone()).or_default().shards.push(shard);
        }
        for failure in failures(&view)? {
            history.datasets.entry(failure.dataset.clone()).or_default().failures.push(failure);
        }
        Ok(history)
    }
}

fn identity(view: &Connection) -> Result<BTreeMap<String, String>, rusqlite::Error> {
    view.prepare("SELECT key, value FROM identity")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn shards(view: &Connection) -> Result<Vec<ShardRecord>, rusqlite::Error> {
    let mut files = files(view)?;
    let mut query = view.prepare(
        "SELECT dataset, from_ms, to_ms, rows_received, rows_written, rows_not_owned, rows_duplicate, rows_quarantined
         FROM shard ORDER BY dataset, from_ms",
    )?;
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
            },
            dataset,
            interval,
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

fn failures(view: &Connection) -> Result<Vec<Failure>, rusqlite::Error> {
    let mut query =
        view.prepare("SELECT dataset, from_ms, to_ms, reason, correlation FROM failure ORDER BY dataset, from_ms")?;
    let failures = query.query_map([], |row| {
        Ok(Failure {
            dataset: row.get(0)?,
            interval: interval(row)?,
            reason: row.get(3)?,
            correlation: row.get(4)?,
        })
    })?;
    failures.collect()
}

/// Columns 1 and 2. The ledger holds no empty interval; if somebody wrote one, it is no record.
fn interval(row: &Row) -> Result<Interval, rusqlite::Error> {
    Interval::new(row.get(1)?, row.get(2)?)
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(2, row.get(2)?))
}

fn number(row: &Row, column: usize) -> Result<u64, rusqlite::Error> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{LEDGER, Ledger};

    fn record(from: i64, to: i64) -> ShardRecord {
        let file = FileRecord {
            path: format!("d/{from}.parquet"),
            rows: 7,
            bytes: 2,
            sha256: "00".into(),
        };
        let counts = Counts { received: 9, written: 7, not_owned: 2, ..Counts::default() };
        ShardRecord {
            dataset: "d".into(),
            interval: Interval::new(from, to).unwrap(),
            counts,
            files: vec![file],
        }
    }

    #[test]
    fn the_ledger_is_read_while_a_run_has_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LEDGER);
        let ledger = Ledger::open(&path).unwrap();
        ledger.identify(&BTreeMap::from([("source".to_owned(), "here".to_owned())])).unwrap();
        ledger.commit(&record(10, 20), false).unwrap();
        let interval = Interval::new(30, 40).unwrap();
        let failure =
            Failure { dataset: "d".into(), interval, reason: "no".into(), correlation: "c".into() };
        ledger.fail(&failure).unwrap();

        let history = Snapshot::read(&path).unwrap();
        assert_eq!(history.identity["source"], "here");
        assert_eq!(history.datasets["d"].failures, [failure]);
        let shard = &history.datasets["d"].shards[0];
        assert_eq!(
            (shard.interval, shard.counts),
            (record(10, 20).interval, record(10, 20).counts)
        );
        assert_eq!(shard.files, record(10, 20).files);
        // and it holds nobody up
        ledger.commit(&record(20, 30), false).unwrap();
        assert_eq!(Snapshot::read(&path).unwrap().paths().count(), 2);
    }

    #[test]
    fn a_ledger_that_is_missing_and_one_that_is_none_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LEDGER);
        let error = Snapshot::read(&path).unwrap_err().to_string();
        assert!(error.contains("there is no ledger at") && error.contains(LEDGER), "{error}");
        std::fs::write(&path, "no database, but long enough to be looked at as one".repeat(10))
            .unwrap();
        let error = Snapshot::read(&path).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn a_ledger_whose_run_was_killed_before_its_first_record_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LEDGER);
        std::fs::write(&path, "").unwrap();
        assert!(Snapshot::read(&path).unwrap().datasets.is_empty());
        assert!(path.metadata().unwrap().len() == 0, "reading writes nothing");
    }
}

//! The ledger: what is committed, split and failed. An SQLite file that anyone can query.
//!
//! Its transaction is the commit point (G3): a file that no record names is not part of the output.
//! Calls block; the sink offloads them.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::{clock, interval::Interval};

/// What the database holds. Times are milliseconds since 1970, UTC; `at` is RFC 3339.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS identity (
        key TEXT PRIMARY KEY, value TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS shard (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        rows_received INTEGER NOT NULL, rows_written INTEGER NOT NULL, rows_not_owned INTEGER NOT NULL,
        rows_duplicate INTEGER NOT NULL, rows_quarantined INTEGER NOT NULL,
        stale INTEGER NOT NULL DEFAULT 0, at TEXT NOT NULL, PRIMARY KEY (dataset, from_ms)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS file (
        path TEXT PRIMARY KEY, dataset TEXT NOT NULL, from_ms INTEGER NOT NULL,
        rows INTEGER NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
        FOREIGN KEY (dataset, from_ms) REFERENCES shard
    ) STRICT;
    CREATE TABLE IF NOT EXISTS split (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        reason TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (dataset, from_ms, to_ms)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS short (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        reason TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (dataset, from_ms)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS failure (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        reason TEXT NOT NULL, correlation TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (dataset, from_ms)
    ) STRICT;
";

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

/// Why the ledger did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite failed: disk full, locked, not a database.
    #[error("the ledger failed: {0}; free its disk or end the program that locks it, then run again")]
    Sqlite(#[from] rusqlite::Error),
    /// A record would overlap an earlier one: its rows would be doubled.
    #[error("the ledger refuses {dataset} {new}, since {old} is committed already: this is a bug, please report it")]
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

/// A handle to the ledger; its copies share one connection.
#[derive(Clone)]
pub struct Ledger(Arc<Mutex<Connection>>);

impl Ledger {
    /// Opens or creates the ledger at `path`.
    ///
    /// # Errors
    /// Where there is no database, or none that can be written.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::with(Connection::open(path)?)
    }

    /// A ledger that lives as long as its handles.
    ///
    /// # Errors
    /// Where SQLite finds no memory.
    pub fn in_memory() -> Result<Self, LedgerError> {
        Self::with(Connection::open_in_memory()?)
    }

    fn with(connection: Connection) -> Result<Self, LedgerError> {
        // a committed transaction survives a loss of power
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Holds the job that writes to this output against the one that wrote to it first.
    ///
    /// # Errors
    /// [`LedgerError::Identity`] with the first difference.
    pub fn identify(&self, identity: &BTreeMap<String, String>) -> Result<(), LedgerError> {
        self.transaction(|transaction| {
            for (key, new) in identity {
                let old: Option<String> = transaction
                    .query_row("SELECT value FROM identity WHERE key = ?1", [key], |row| row.get(0))
                    .optional()?;
                match old {
                    Some(old) if old != *new => {
                        return Err(LedgerError::Identity { key: key.clone(), old, new: new.clone() });
                    }
                    Some(_) => {}
                    None => {
                        transaction.execute("INSERT INTO identity VALUES (?1, ?2)", [key, new])?;
                    }
                }
            }
            Ok(())
        })
    }

    /// The committed intervals of a dataset, in order.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn committed(&self, dataset: &str) -> Result<Vec<Interval>, LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare("SELECT from_ms, to_ms FROM shard WHERE dataset = ?1 ORDER BY from_ms")?;
        let rows = query.query_map([dataset], |row| Ok(Interval::new(row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// The shards of a dataset that were set aside and are not committed since, in order.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn failures(&self, dataset: &str) -> Result<Vec<Failure>, LedgerError> {
        let connection = self.lock();
        let mut query = connection
            .prepare("SELECT from_ms, to_ms, reason, correlation FROM failure WHERE dataset = ?1 ORDER BY from_ms")?;
        let rows = query.query_map([dataset], |row| {
            Ok(Interval::new(row.get(0)?, row.get(1)?).map(|interval| (interval, row.get(2), row.get(3))))
        })?;
        rows.filter_map(Result::transpose)
            .map(|row| {
                let (interval, reason, correlation) = row?;
                Ok(Failure { dataset: dataset.to_owned(), interval, reason: reason?, correlation: correlation? })
            })
            .collect()
    }

    /// The path of every file that a record names.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn files(&self) -> Result<HashSet<String>, LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare("SELECT path FROM file")?;
        let rows = query.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The committed intervals whose files were being replaced when their run was killed: they may
    /// be of two minds, and are to be replaced again.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn stale(&self, dataset: &str) -> Result<Vec<Interval>, LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare("SELECT from_ms, to_ms FROM shard WHERE dataset = ?1 AND stale")?;
        let rows = query.query_map([dataset], |row| Ok(Interval::new(row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Notes that the files of a committed shard are about to be replaced.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn mark_stale(&self, dataset: &str, interval: Interval) -> Result<(), LedgerError> {
        let sql = "UPDATE shard SET stale = 1 WHERE dataset = ?1 AND from_ms = ?2";
        self.lock().execute(sql, params![dataset, interval.from_ms()])?;
        Ok(())
    }

    /// Records a shard with its files, in one transaction: the commit point (G3). One that
    /// `replaces` a committed shard takes its place. Returns the files that no record names any more.
    ///
    /// # Errors
    /// [`LedgerError::Overlap`] where a part of it is committed already.
    pub fn commit(&self, record: &ShardRecord, replaces: bool) -> Result<Vec<String>, LedgerError> {
        let (dataset, from, to) = (&record.dataset, record.interval.from_ms(), record.interval.to_ms());
        let counts = record.counts;
        self.transaction(|transaction| {
            let mut forgotten = if replaces { forget(transaction, dataset, record.interval)? } else { Vec::new() };
            forgotten.retain(|path| record.files.iter().all(|file| file.path != *path));
            refuse_overlap(transaction, dataset, record.interval)?;
            transaction.execute(
                "INSERT INTO shard VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9)",
                params![
                    dataset,
                    from,
                    to,
                    counts.received.cast_signed(),
                    counts.written.cast_signed(),
                    counts.not_owned.cast_signed(),
                    counts.duplicate.cast_signed(),
                    counts.quarantined.cast_signed(),
                    clock::now().to_string(),
                ],
            )?;
            for file in &record.files {
                transaction.execute(
                    "INSERT INTO file VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![file.path, dataset, from, file.rows.cast_signed(), file.bytes.cast_signed(), file.sha256],
                )?;
            }
            transaction.execute(
                "DELETE FROM failure WHERE dataset = ?1 AND from_ms >= ?2 AND to_ms <= ?3",
                params![dataset, from, to],
            )?;
            Ok(forgotten)
        })
    }

    /// Records that a shard was bisected. If it was to be replaced, it is committed no more: its
    /// halves will be. Returns the files that no record names any more.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn split(&self, dataset: &str, interval: Interval, reason: &str) -> Result<Vec<String>, LedgerError> {
        self.transaction(|transaction| {
            let forgotten = forget(transaction, dataset, interval)?;
            transaction.execute(
                "INSERT OR REPLACE INTO split VALUES (?1, ?2, ?3, ?4, ?5)",
                params![dataset, interval.from_ms(), interval.to_ms(), reason, clock::now().to_string()],
            )?;
            Ok(forgotten)
        })
    }

    /// Records that a shard was set aside.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn fail(&self, failure: &Failure) -> Result<(), LedgerError> {
        let Failure { dataset, interval, reason, correlation } = failure;
        self.lock().execute(
            "INSERT OR REPLACE INTO failure VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![dataset, interval.from_ms(), interval.to_ms(), reason, correlation, clock::now().to_string()],
        )?;
        Ok(())
    }

    /// Records that the platform counts more rows of a committed shard than it gave.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn short(&self, dataset: &str, interval: Interval, reason: &str) -> Result<(), LedgerError> {
        self.lock().execute(
            "INSERT OR REPLACE INTO short VALUES (?1, ?2, ?3, ?4, ?5)",
            params![dataset, interval.from_ms(), interval.to_ms(), reason, clock::now().to_string()],
        )?;
        Ok(())
    }

    fn transaction<T>(&self, work: impl FnOnce(&Transaction) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // a panic amid a transaction has rolled it back: the connection is sound
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a committed shard out, if there is just this one, and returns its files.
fn forget(transaction: &Transaction, dataset: &str, interval: Interval) -> Result<Vec<String>, LedgerError> {
    let whole = params![dataset, interval.from_ms(), interval.to_ms()];
    let known = "SELECT 1 FROM shard WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3";
    if transaction.query_row(known, whole, |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    let mut files = transaction.prepare("DELETE FROM file WHERE dataset = ?1 AND from_ms = ?2 RETURNING path")?;
    let paths = files.query_map(params![dataset, interval.from_ms()], |row| row.get(0))?.collect::<Result<_, _>>()?;
    transaction.execute("DELETE FROM shard WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3", whole)?;
    Ok(paths)
}

fn refuse_overlap(transaction: &Transaction, dataset: &str, new: Interval) -> Result<(), LedgerError> {
    let old = transaction
        .query_row(
            "SELECT from_ms, to_ms FROM shard WHERE dataset = ?1 AND from_ms < ?3 AND to_ms > ?2",
            params![dataset, new.from_ms(), new.to_ms()],
            |row| Ok(Interval::new(row.get(0)?, row.get(1)?)),
        )
        .optional()?
        .flatten();
    match old {
        Some(old) => Err(LedgerError::Overlap { dataset: dataset.to_owned(), new, old }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(from: i64, to: i64) -> Interval {
        Interval::new(from, to).unwrap()
    }

    fn record(from: i64, to: i64) -> ShardRecord {
        let file = FileRecord { path: format!("f{from}"), rows: 1, bytes: 2, sha256: "00".into() };
        ShardRecord { dataset: "d".into(), interval: interval(from, to), counts: Counts::default(), files: vec![file] }
    }

    #[test]
    fn a_record_that_overlaps_an_earlier_one_is_refused_whole() {
        let ledger = Ledger::in_memory().unwrap();
        ledger.commit(&record(10, 20), false).unwrap();
        for (from, to) in [(10, 20), (5, 11), (19, 25), (12, 15), (0, 30)] {
            assert!(matches!(ledger.commit(&record(from, to), false), Err(LedgerError::Overlap { .. })), "{from} {to}");
        }
        ledger.commit(&record(20, 30), false).unwrap();
        assert_eq!(ledger.committed("d").unwrap(), [interval(10, 20), interval(20, 30)]);
        assert_eq!(ledger.files().unwrap().len(), 2);
    }

    #[test]
    fn a_replacement_takes_the_place_of_just_its_shard() {
        let ledger = Ledger::in_memory().unwrap();
        ledger.commit(&record(10, 20), false).unwrap();
        ledger.mark_stale("d", interval(10, 20)).unwrap();
        assert_eq!(ledger.stale("d").unwrap(), [interval(10, 20)]);
        assert!(matches!(ledger.commit(&record(10, 15), true), Err(LedgerError::Overlap { .. })));
        let other = FileRecord { path: "other".into(), ..record(10, 20).files[0].clone() };
        let replacement = ShardRecord { files: vec![other], ..record(10, 20) };
        assert_eq!(ledger.commit(&replacement, true).unwrap(), ["f10"]);
        assert_eq!((ledger.stale("d").unwrap(), ledger.files().unwrap().len()), (vec![], 1));
    }

    #[test]
    fn a_failure_is_gone_once_its_shard_is_committed() {
        let ledger = Ledger::in_memory().unwrap();
        let failure =
            Failure { dataset: "d".into(), interval: interval(0, 5), reason: "no".into(), correlation: "c".into() };
        ledger.fail(&failure).unwrap();
        assert_eq!(ledger.failures("d").unwrap(), [failure]);
        ledger.commit(&record(0, 10), false).unwrap();
        assert_eq!(ledger.failures("d").unwrap(), []);
    }

    #[test]
    fn another_job_on_the_same_output_is_refused_with_the_difference() {
        let ledger = Ledger::in_memory().unwrap();
        let identity = |region: &str| BTreeMap::from([("source.region".to_owned(), region.to_owned())]);
        ledger.identify(&identity("eu-west-1")).unwrap();
        ledger.identify(&identity("eu-west-1")).unwrap();
        let error = ledger.identify(&identity("us-east-1")).unwrap_err().to_string();
        assert!(error.contains("source.region = eu-west-1, and now it is us-east-1"), "{error}");
    }
}

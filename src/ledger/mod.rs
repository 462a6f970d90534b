//! The ledger: what is committed, split and failed. An SQLite file that anyone can query.
//!
//! Its transaction is the commit point (G3): a file that no record names is not part of the output.
//! Calls block; the sink offloads them.

pub(crate) mod jobs;
pub(crate) mod reader;
pub(crate) mod records;
pub(crate) mod row_stats;

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

pub use self::records::RemoteJob;
pub(crate) use self::{
    records::{Counts, Failure, FileRecord, LedgerError, Probe, ShardRecord},
    row_stats::RowStats,
};
use crate::time::{clock, interval::Interval};

/// Its name in the output directory. The underscore hides it from readers of the data.
pub const LEDGER: &str = "_ledger.sqlite";

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
    CREATE TABLE IF NOT EXISTS probe (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        rows INTEGER NOT NULL, at TEXT NOT NULL, PRIMARY KEY (dataset, from_ms)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS job (
        path TEXT PRIMARY KEY, dataset TEXT NOT NULL, at TEXT NOT NULL
    ) STRICT;
";

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
        self.belongs(identity)?;
        self.transaction(|transaction| {
            for (key, new) in identity {
                transaction
                    .execute("INSERT OR IGNORE INTO identity VALUES (?1, ?2)", [key, new])?;
            }
            Ok(())
        })
    }

    /// The same for a job that writes nothing.
    ///
    /// # Errors
    /// As for [`identify`](Self::identify).
    pub fn belongs(&self, identity: &BTreeMap<String, String>) -> Result<(), LedgerError> {
        let connection = self.lock();
        for (key, new) in identity {
            let known = "SELECT value FROM identity WHERE key = ?1";
            let old: Option<String> =
                connection.query_row(known, [key], |row| row.get(0)).optional()?;
            if let Some(old) = old.filter(|old| old != new) {
                return Err(LedgerError::Identity { key: key.clone(), old, new: new.clone() });
            }
        }
        Ok(())
    }

    /// The committed intervals of a dataset, in order.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn committed(&self, dataset: &str) -> Result<Vec<Interval>, LedgerError> {
        intervals(
            &self.lock(),
            "SELECT from_ms, to_ms FROM shard WHERE dataset = ?1 ORDER BY from_ms",
            dataset,
        )
    }

    /// The shards of a dataset that were set aside and are not committed since, in order.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn failures(&self, dataset: &str) -> Result<Vec<Failure>, LedgerError> {
        failures(&self.lock(), dataset)
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
        intervals(
            &self.lock(),
            "SELECT from_ms, to_ms FROM shard WHERE dataset = ?1 AND stale",
            dataset,
        )
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
        let (dataset, from, to) =
            (&record.dataset, record.interval.from_ms(), record.interval.to_ms());
        let counts = record.counts;
        self.transaction(|transaction| {
            let mut forgotten =
                if replaces { forget(transaction, dataset, record.interval)? } else { Vec::new() };
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
                    params![
                        file.path,
                        dataset,
                        from,
                        file.rows.cast_signed(),
                        file.bytes.cast_signed(),
                        file.sha256
                    ],
                )?;
            }
            transaction.execute(
                "DELETE FROM short WHERE dataset = ?1 AND from_ms >= ?2 AND from_ms < ?3",
                params![dataset, from, to],
            )?;
            settle_failures(transaction, dataset)?;
            Ok(forgotten)
        })
    }

    /// Records that a shard was bisected. If it was to be replaced, it is committed no more: its
    /// halves will be. Returns the files that no record names any more.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn split(
        &self,
        dataset: &str,
        interval: Interval,
        reason: &str,
    ) -> Result<Vec<String>, LedgerError> {
        self.transaction(|transaction| {
            let forgotten = forget(transaction, dataset, interval)?;
            transaction.execute(
                "INSERT OR REPLACE INTO split VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    dataset,
                    interval.from_ms(),
                    interval.to_ms(),
                    reason,
                    clock::now().to_string()
                ],
            )?;
            Ok(forgotten)
        })
    }

    /// Records that a shard was set aside. What was known of its time before is forgotten; if it was to
    /// replace a committed one, that is still to be replaced.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn fail(&self, failure: &Failure) -> Result<(), LedgerError> {
        let Failure { dataset, interval, .. } = failure;
        self.transaction(|transaction| {
            for old in failures(transaction, dataset)?
                .into_iter()
                .filter(|old| old.interval.overlaps(*interval))
            {
                let place = params![dataset, old.interval.from_ms()];
                transaction
                    .execute("DELETE FROM failure WHERE dataset = ?1 AND from_ms = ?2", place)?;
                for rest in old.interval.subtract(&[*interval]) {
                    set_aside(transaction, &Failure { interval: rest, ..old.clone() })?;
                }
            }
            set_aside(transaction, failure)?;
            transaction.execute(
                "UPDATE shard SET stale = 1 WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3",
                params![dataset, interval.from_ms(), interval.to_ms()],
            )?;
            Ok(())
        })
    }

    /// Records that the platform counts more rows of a committed shard than it gave.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn short(
        &self,
        dataset: &str,
        interval: Interval,
        reason: &str,
    ) -> Result<(), LedgerError> {
        self.lock().execute(
            "INSERT OR REPLACE INTO short VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                dataset,
                interval.from_ms(),
                interval.to_ms(),
                reason,
                clock::now().to_string()
            ],
        )?;
        Ok(())
    }

    fn transaction<T>(
        &self,
        work: impl FnOnce(&Transaction) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
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

/// What was set aside of a dataset, in order.
fn failures(connection: &Connection, dataset: &str) -> Result<Vec<Failure>, LedgerError> {
    let mut query = connection
        .prepare("SELECT from_ms, to_ms, reason, correlation FROM failure WHERE dataset = ?1 ORDER BY from_ms")?;
    let rows = query.query_map([dataset], |row| {
        Ok(Interval::new(row.get(0)?, row.get(1)?)
            .map(|interval| (interval, row.get(2), row.get(3))))
    })?;
    rows.filter_map(Result::transpose)
        .map(|row| {
            let (interval, reason, correlation) = row?;
            Ok(Failure {
                dataset: dataset.to_owned(),
                interval,
                reason: reason?,
                correlation: correlation?,
            })
        })
        .collect()
}

fn set_aside(transaction: &Transaction, failure: &Failure) -> Result<(), LedgerError> {
    let Failure { dataset, interval, reason, correlation } = failure;
    transaction.execute(
        "INSERT OR REPLACE INTO failure VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            dataset,
            interval.from_ms(),
            interval.to_ms(),
            reason,
            correlation,
            clock::now().to_string()
        ],
    )?;
    Ok(())
}

/// The intervals that a query of a dataset gives.
fn intervals(
    connection: &Connection,
    sql: &str,
    dataset: &str,
) -> Result<Vec<Interval>, LedgerError> {
    let mut query = connection.prepare(sql)?;
    let rows = query.query_map([dataset], |row| Ok(Interval::new(row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Takes out the failures of which every part is committed by now.
fn settle_failures(transaction: &Transaction, dataset: &str) -> Result<(), LedgerError> {
    let failed =
        intervals(transaction, "SELECT from_ms, to_ms FROM failure WHERE dataset = ?1", dataset)?;
    for interval in failed {
        let committed = "SELECT from_ms, to_ms FROM shard WHERE dataset = ?1";
        if interval.subtract(&intervals(transaction, committed, dataset)?).is_empty() {
            let whole = params![dataset, interval.from_ms(), interval.to_ms()];
            transaction.execute(
                "DELETE FROM failure WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3",
                whole,
            )?;
        }
    }
    Ok(())
}

/// Takes a committed shard out, if there is just this one, and returns its files.
fn forget(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
) -> Result<Vec<String>, LedgerError> {
    let whole = params![dataset, interval.from_ms(), interval.to_ms()];
    let known = "SELECT 1 FROM shard WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3";
    if transaction.query_row(known, whole, |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    let mut files = transaction
        .prepare("DELETE FROM file WHERE dataset = ?1 AND from_ms = ?2 RETURNING path")?;
    let paths = files
        .query_map(params![dataset, interval.from_ms()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    transaction
        .execute("DELETE FROM shard WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3", whole)?;
    Ok(paths)
}

fn refuse_overlap(
    transaction: &Transaction,
    dataset: &str,
    new: Interval,
) -> Result<(), LedgerError> {
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
mod tests;

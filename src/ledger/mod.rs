//! The ledger: an SQLite file in the output that records what is committed, failed and doubtful.
//!
//! Its transaction is the commit point (G3): a file that no record names is not part of the output.
//! Its calls block, so async code runs them with [`offload`](crate::system::blocking::offload).
//! Start with `commit.rs`; `schema.rs` holds the tables, and `reader` reads without writing.

mod commit;
mod connection;
mod dataset_schema;
mod drift;
mod dropped;
mod events;
mod failures;
pub(crate) mod file_kind;
mod follow_ups;
mod gaps;
mod hour_sums;
mod identity;
mod jobs;
mod overlap;
mod prepared;
mod probes;
pub(crate) mod reader;
mod rebuild;
mod records;
mod row_stats;
mod runs;
mod schema;
mod stale;
mod start_steps;
mod upgrade;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OpenFlags, Params, Transaction};

pub use self::records::{Failure, Probe, RemoteJob};
pub(crate) use self::{
    commit::{Recorded, ShardFiles},
    dataset_schema::Columns,
    drift::{DriftRecord, DriftRecordKind},
    events::{EventRecord, FailedAttempt},
    file_kind::FileKind,
    follow_ups::FollowUp,
    gaps::{AcceptedInterval, DoubtfulInterval, GapKind, quarantine_doubt},
    identity::{
        CHANGING_LAYOUT, LAYOUT, compare_identity, is_job_key, is_policy_key, is_version_key,
        policy_key, policy_of, version_key, versioned_dataset,
    },
    jobs::JobWait,
    prepared::Replacement,
    rebuild::RebuiltRecords,
    records::{Counts, FileRecord, HourRecord, LedgerError, ShardCost, ShardDetails, ShardRecord},
    row_stats::RowStats,
    runs::{CommittedTotals, NewSamples, RunRecord},
    upgrade::{original_commit_id, upgraded_commit_id},
};
use crate::time::interval::Interval;

/// Name of the ledger in the output directory. Readers of the data skip names with an underscore.
pub const LEDGER: &str = "_ledger.sqlite";

/// Statements that stay prepared: more than a commit has.
const CACHED_STATEMENTS: usize = 64;

/// A handle to the ledger. Clones share one connection.
#[derive(Clone)]
pub struct Ledger(Arc<Mutex<Connection>>);

impl Ledger {
    /// Opens the ledger at `path`. Creates it if it is missing, and migrates an older version.
    ///
    /// # Errors
    /// [`LedgerError::Newer`] if a newer program wrote it, [`LedgerError::SymbolicLink`] if it or a
    /// file of SQLite beside it is one, [`LedgerError::Sqlite`] if the file cannot be written or is
    /// not a database.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        connection::open(path, flags)
            .map_err(LedgerError::from)
            .and_then(Self::from_connection)
            .map_err(|error| match connection::symbolic_link(path) {
                Some(link) => LedgerError::SymbolicLink(link),
                None => error.at(&path.display().to_string()),
            })
    }

    /// Creates a ledger in memory. It lives as long as its handles.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`] if there is not enough memory.
    pub fn in_memory() -> Result<Self, LedgerError> {
        Self::from_connection(Connection::open_in_memory()?)
    }

    fn from_connection(mut connection: Connection) -> Result<Self, LedgerError> {
        // a committed transaction survives a loss of power
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        schema::migrate(&mut connection)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    fn transaction<T>(
        &self,
        work: impl FnOnce(&Transaction) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut connection = self.lock();
        let path = connection.path().map(str::to_owned);
        let committed =
            connection.transaction().map_err(LedgerError::from).and_then(|transaction| {
                let value = work(&transaction)?;
                transaction.commit()?;
                Ok(value)
            });
        committed.map_err(|error| named(error, path.as_deref()))
    }

    /// Runs one statement that changes something.
    fn execute(&self, sql: &str, params: impl Params) -> Result<usize, LedgerError> {
        let connection = self.lock();
        let changed = connection.execute(sql, params);
        changed.map_err(|error| named(error.into(), connection.path()))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // a panic during a transaction has rolled it back: the connection is still usable
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of the ledger at `path`. A ledger in memory has none.
fn named(error: LedgerError, path: Option<&str>) -> LedgerError {
    match path.filter(|path| !path.is_empty()) {
        Some(path) => error.at(path),
        None => error,
    }
}

/// Runs one of the statements of a commit, which stays prepared for the next commit.
fn execute_prepared(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(params)
}

/// Runs a query whose first two columns are an interval.
fn intervals(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<Vec<Interval>, LedgerError> {
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map(params, |row| Ok(Interval::new(row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

//! What the ledger keeps beside commits: jobs that the platform holds for us, and what it counted.

use std::time::Duration;

use rusqlite::params;

use crate::{
    ledger::{Ledger, LedgerError, Probe, RemoteJob},
    time::{clock, interval::Interval},
};

impl Ledger {
    /// Records that the platform keeps a job for us, by the path that deletes it.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn submitted(&self, job: &RemoteJob) -> Result<(), LedgerError> {
        let values = params![job.path, job.dataset, clock::now().to_string()];
        self.lock().execute("INSERT OR REPLACE INTO job VALUES (?1, ?2, ?3)", values)?;
        Ok(())
    }

    /// Records that a job is deleted.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn deleted(&self, job: &RemoteJob) -> Result<(), LedgerError> {
        self.lock().execute("DELETE FROM job WHERE path = ?1", [&job.path])?;
        Ok(())
    }

    /// The jobs that are not deleted: while no run goes on, those that a killed one has left.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn orphans(&self) -> Result<Vec<RemoteJob>, LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare("SELECT path, dataset FROM job ORDER BY rowid")?;
        let rows =
            query.query_map([], |row| Ok(RemoteJob { path: row.get(0)?, dataset: row.get(1)? }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The rows of a dataset's committed shards, the size of their files in bytes, and the time that
    /// they are of.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn committed_size(&self, dataset: &str) -> Result<(u64, u64, Duration), LedgerError> {
        let sql = "SELECT (SELECT COALESCE(SUM(rows_written), 0) FROM shard WHERE dataset = ?1),
                          (SELECT COALESCE(SUM(bytes), 0) FROM file WHERE dataset = ?1),
                          (SELECT COALESCE(SUM(to_ms - from_ms), 0) FROM shard WHERE dataset = ?1)";
        let number = |row: &rusqlite::Row, at| row.get(at).map(i64::cast_unsigned);
        let sizes = |row: &rusqlite::Row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?));
        let (rows, bytes, ms) = self.lock().query_row(sql, [dataset], sizes)?;
        Ok((rows, bytes, Duration::from_millis(ms)))
    }

    /// Records what the platform counted.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn probed(&self, dataset: &str, probe: Probe) -> Result<(), LedgerError> {
        let Probe { interval, rows } = probe;
        let values = params![
            dataset,
            interval.from_ms(),
            interval.to_ms(),
            rows.cast_signed(),
            clock::now().to_string()
        ];
        self.lock().execute("INSERT OR REPLACE INTO probe VALUES (?1, ?2, ?3, ?4, ?5)", values)?;
        Ok(())
    }

    /// What the platform counted of a dataset, in order.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn probes(&self, dataset: &str) -> Result<Vec<Probe>, LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare(
            "SELECT from_ms, to_ms, rows FROM probe WHERE dataset = ?1 ORDER BY from_ms",
        )?;
        let rows = query.query_map([dataset], |row| {
            let rows: i64 = row.get(2)?;
            Ok(Interval::new(row.get(0)?, row.get(1)?)
                .map(|interval| Probe { interval, rows: rows.cast_unsigned() }))
        })?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}

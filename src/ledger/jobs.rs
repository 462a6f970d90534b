//! Jobs that the platform keeps until they are deleted.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use crate::{
    ledger::{Ledger, LedgerError, RemoteJob},
    time::clock,
};

impl Ledger {
    /// Records that a job was submitted.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn job_submitted(&self, job: &RemoteJob) -> Result<(), LedgerError> {
        self.execute(
            "INSERT OR REPLACE INTO job (path, dataset, at) VALUES (?1, ?2, ?3)",
            params![job.path, job.dataset, clock::now().to_string()],
        )?;
        Ok(())
    }

    /// Records that a job was deleted.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn job_deleted(&self, job: &RemoteJob) -> Result<(), LedgerError> {
        self.execute("DELETE FROM job WHERE path = ?1", [&job.path])?;
        Ok(())
    }

    /// How long to wait before the first poll of a dataset's jobs. `None` if none was polled yet.
    pub(crate) fn job_wait(&self, dataset: &str) -> Result<Option<Duration>, LedgerError> {
        let sql = "SELECT wait_ms FROM job_wait WHERE dataset = ?1";
        let wait: Option<i64> =
            self.lock().query_row(sql, [dataset], |row| row.get(0)).optional()?;
        Ok(wait.map(|ms| Duration::from_millis(ms.unsigned_abs())))
    }

    /// Records how long to wait before the first poll of a dataset's jobs.
    pub(crate) fn set_job_wait(&self, dataset: &str, wait: Duration) -> Result<(), LedgerError> {
        let ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let sql = "INSERT OR REPLACE INTO job_wait (dataset, wait_ms) VALUES (?1, ?2)";
        self.lock().execute(sql, params![dataset, ms])?;
        Ok(())
    }

    /// The jobs that were submitted and not deleted. If no run is active, killed runs left them.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn remote_jobs(&self) -> Result<Vec<RemoteJob>, LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare("SELECT path, dataset FROM job ORDER BY rowid")?;
        let jobs =
            query.query_map([], |row| Ok(RemoteJob { path: row.get(0)?, dataset: row.get(1)? }))?;
        Ok(jobs.collect::<Result<_, _>>()?)
    }
}

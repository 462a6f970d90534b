//! Jobs that the platform keeps until they are deleted.

use std::time::Duration;

use rusqlite::params;

use crate::{
    ledger::{Ledger, LedgerError, RemoteJob},
    time::clock,
};

/// How long to wait before the first poll of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JobWait {
    /// The width of the job: the power of two of days that its interval fits into.
    pub days: u32,
    pub wait: Duration,
    /// Jobs in a row that were done at their first poll.
    pub prompt: u32,
}

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

    /// How long to wait before the first poll of a dataset's jobs, by their width.
    pub(crate) fn job_waits(&self, dataset: &str) -> Result<Vec<JobWait>, LedgerError> {
        let connection = self.lock();
        let mut query =
            connection.prepare("SELECT days, wait_ms, prompt FROM job_wait WHERE dataset = ?1")?;
        let waits = query.query_map([dataset], |row| {
            let wait = Duration::from_millis(row.get(1).map(i64::unsigned_abs)?);
            Ok(JobWait { days: row.get(0)?, wait, prompt: row.get(2)? })
        })?;
        Ok(waits.collect::<Result<_, _>>()?)
    }

    /// Records how long to wait before the first poll of a dataset's jobs of a width.
    pub(crate) fn set_job_wait(&self, dataset: &str, job: JobWait) -> Result<(), LedgerError> {
        let ms = i64::try_from(job.wait.as_millis()).unwrap_or(i64::MAX);
        let sql = "INSERT OR REPLACE INTO job_wait (dataset, days, wait_ms, prompt)
                   VALUES (?1, ?2, ?3, ?4)";
        self.execute(sql, params![dataset, job.days, ms, job.prompt])?;
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

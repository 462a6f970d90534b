//! Jobs that the platform keeps until they are deleted.

use rusqlite::params;

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

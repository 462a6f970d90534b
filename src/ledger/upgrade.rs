//! Records the files that `upgrade` has rewritten with newer columns, and the ids of their commits.

use rusqlite::params;

use crate::ledger::{Columns, Ledger, LedgerError, ShardRecord, dataset_schema, version_key};

/// Between the id of a commit and the columns that an upgrade gave its files.
const SEPARATOR: char = '_';

/// The id of the commit that replaces the files of another one by files with these columns.
pub(crate) fn upgraded_commit_id(commit_id: &str, columns: &Columns) -> String {
    let original = original_commit_id(commit_id);
    format!("{original}{SEPARATOR}{:.8}", columns.fingerprint())
}

/// The id of the commit that fetched the rows. Empty if a program with a ledger of version 1
/// committed them.
pub(crate) fn original_commit_id(commit_id: &str) -> &str {
    commit_id.split(SEPARATOR).next().unwrap_or_default()
}

impl Ledger {
    /// Records the new files of a committed shard, which have the names, rows and counts of the old
    /// ones, in one transaction.
    pub(crate) fn record_upgrade(&self, new: &ShardRecord) -> Result<(), LedgerError> {
        self.transaction(|transaction| {
            transaction.execute(
                "UPDATE shard SET commit_id = ?3 WHERE dataset = ?1 AND from_ms = ?2",
                params![new.dataset, new.interval.from_ms(), new.commit_id],
            )?;
            for file in &new.files {
                transaction.execute(
                    "UPDATE file SET bytes = ?2, sha256 = ?3 WHERE path = ?1",
                    params![file.path, file.bytes.cast_signed(), file.sha256],
                )?;
            }
            transaction.execute("DELETE FROM intent WHERE commit_id = ?1", [&new.commit_id])?;
            Ok(())
        })
    }

    /// Records that all files of a dataset have the columns of this version now.
    pub(crate) fn record_version(
        &self,
        dataset: &str,
        version: u32,
        columns: &Columns,
    ) -> Result<(), LedgerError> {
        self.transaction(|transaction| {
            dataset_schema::insert(transaction, dataset, version, columns)?;
            transaction.execute(
                "INSERT OR REPLACE INTO identity (key, value) VALUES (?1, ?2)",
                params![version_key(dataset), version.to_string()],
            )?;
            Ok(())
        })
    }
}

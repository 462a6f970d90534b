//! Records the files that `upgrade` has rewritten with newer columns, and the ids of their commits.

use rusqlite::params;

use crate::ledger::{
    Columns, LAYOUT, Ledger, LedgerError, ShardRecord, commit, dataset_schema, version_key,
};

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
    /// Records the new files of a committed shard in place of the old ones, in one transaction. The
    /// rows and counts are the same. Returns the old files that are to be deleted, which are
    /// recorded as garbage.
    pub(crate) fn record_upgrade(&self, new: &ShardRecord) -> Result<Vec<String>, LedgerError> {
        self.transaction(|transaction| {
            transaction.execute(
                "UPDATE shard SET commit_id = ?3 WHERE dataset = ?1 AND from_ms = ?2",
                params![new.dataset, new.interval.from_ms(), new.commit_id],
            )?;
            let mut garbage =
                commit::delete_files(transaction, &new.dataset, new.interval.from_ms())?;
            garbage.retain(|path| new.files.iter().all(|file| file.path != *path));
            commit::insert_files(transaction, new)?;
            commit::insert_garbage(transaction, &garbage)?;
            transaction.execute("DELETE FROM intent WHERE commit_id = ?1", [&new.commit_id])?;
            Ok(garbage)
        })
    }

    /// Records the layout of the files, or that an upgrade is changing it.
    pub(crate) fn record_layout(&self, layout: &str) -> Result<(), LedgerError> {
        let sql = "INSERT OR REPLACE INTO identity (key, value) VALUES (?1, ?2)";
        self.execute(sql, [LAYOUT, layout]).map(drop)
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

//! Committed shards and the files that a commit writes or replaces (G3).

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Transaction, params};

use crate::{
    ledger::{Ledger, LedgerError, ShardRecord, failures, gaps, intervals},
    time::{clock, interval::Interval},
};

impl Ledger {
    /// The committed intervals of a dataset, in order.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn committed(&self, dataset: &str) -> Result<Vec<Interval>, LedgerError> {
        let sql = "SELECT from_ms, to_ms FROM shard WHERE dataset = ?1 ORDER BY from_ms";
        intervals(&self.lock(), sql, dataset)
    }

    /// The paths of all committed files.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn file_paths(&self) -> Result<HashSet<String>, LedgerError> {
        self.paths("SELECT path FROM file")
    }

    /// The committed intervals whose files are to be replaced, because a run started to replace
    /// them and did not finish.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn stale(&self, dataset: &str) -> Result<Vec<Interval>, LedgerError> {
        let sql = "SELECT from_ms, to_ms FROM shard WHERE dataset = ?1 AND stale ORDER BY from_ms";
        intervals(&self.lock(), sql, dataset)
    }

    /// Records that the files of a committed shard are about to be replaced.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn mark_stale(&self, dataset: &str, interval: Interval) -> Result<(), LedgerError> {
        let sql = "UPDATE shard SET stale = 1 WHERE dataset = ?1 AND from_ms = ?2";
        self.lock().execute(sql, params![dataset, interval.from_ms()])?;
        Ok(())
    }

    /// Records a shard with its files, in one transaction: the commit point (G3).
    ///
    /// If it `replaces` a committed shard of the same interval, it takes that one's place. Returns
    /// the files that no record names any more.
    ///
    /// # Errors
    /// [`LedgerError::Overlap`] if a part of the interval is committed already.
    pub fn commit(&self, record: &ShardRecord, replaces: bool) -> Result<Vec<String>, LedgerError> {
        let (dataset, interval) = (&record.dataset, record.interval);
        self.transaction(|transaction| {
            let mut replaced = match replaces {
                true => delete_shard(transaction, dataset, interval)?,
                false => Vec::new(),
            };
            replaced.retain(|path| record.files.iter().all(|file| file.path != *path));
            refuse_overlap(transaction, dataset, interval)?;
            insert_shard(transaction, record)?;
            transaction.execute(
                "DELETE FROM short WHERE dataset = ?1 AND from_ms >= ?2 AND from_ms < ?3",
                params![dataset, interval.from_ms(), interval.to_ms()],
            )?;
            transaction.execute("DELETE FROM intent WHERE commit_id = ?1", [&record.commit_id])?;
            gaps::delete_within(transaction, dataset, interval)?;
            failures::delete_committed(transaction, dataset)?;
            Ok(replaced)
        })
    }

    /// Records that a shard was split in two.
    ///
    /// If the shard is committed and was to be replaced, its record is deleted. Returns the files
    /// that no record names any more.
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
            let replaced = delete_shard(transaction, dataset, interval)?;
            transaction.execute(
                "INSERT OR REPLACE INTO split (dataset, from_ms, to_ms, reason, at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    dataset,
                    interval.from_ms(),
                    interval.to_ms(),
                    reason,
                    clock::now().to_string()
                ],
            )?;
            Ok(replaced)
        })
    }

    /// Records that the platform counts more rows in a committed shard than it returned.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn record_count_mismatch(
        &self,
        dataset: &str,
        interval: Interval,
        reason: &str,
    ) -> Result<(), LedgerError> {
        self.lock().execute(
            "INSERT OR REPLACE INTO short (dataset, from_ms, to_ms, reason, at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
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

    fn paths(&self, sql: &str) -> Result<HashSet<String>, LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare(sql)?;
        let paths = query.query_map([], |row| row.get(0))?;
        Ok(paths.collect::<Result<_, _>>()?)
    }
}

#[allow(dead_code)] // the sink and the start of a run will use these
impl Ledger {
    /// Records the files that a commit is about to write.
    pub(crate) fn intend(&self, commit_id: &str, paths: &[String]) -> Result<(), LedgerError> {
        self.transaction(|transaction| {
            let at = clock::now().to_string();
            let sql = "INSERT OR REPLACE INTO intent (path, commit_id, at) VALUES (?1, ?2, ?3)";
            for path in paths {
                transaction.execute(sql, [path, commit_id, &at])?;
            }
            Ok(())
        })
    }

    /// The files that commits intended to write and that are not committed.
    pub(crate) fn intents(&self) -> Result<HashSet<String>, LedgerError> {
        self.paths("SELECT path FROM intent")
    }

    /// The files that commits replaced and that are still to be deleted.
    pub(crate) fn garbage(&self) -> Result<HashSet<String>, LedgerError> {
        self.paths("SELECT path FROM garbage")
    }

    /// Records that files of `intents` or `garbage` are deleted.
    pub(crate) fn deleted_files(&self, paths: &[String]) -> Result<(), LedgerError> {
        self.transaction(|transaction| {
            for path in paths {
                transaction.execute("DELETE FROM intent WHERE path = ?1", [path])?;
                transaction.execute("DELETE FROM garbage WHERE path = ?1", [path])?;
            }
            Ok(())
        })
    }
}

fn insert_shard(transaction: &Transaction, record: &ShardRecord) -> Result<(), LedgerError> {
    let ShardRecord { dataset, interval, counts, files, commit_id, open_rows } = record;
    transaction.execute(
        "INSERT INTO shard (dataset, from_ms, to_ms, rows_received, rows_written, rows_not_owned,
                            rows_duplicate, rows_quarantined, commit_id, open_rows, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            dataset,
            interval.from_ms(),
            interval.to_ms(),
            counts.received.cast_signed(),
            counts.written.cast_signed(),
            counts.not_owned.cast_signed(),
            counts.duplicate.cast_signed(),
            counts.quarantined.cast_signed(),
            commit_id,
            open_rows.cast_signed(),
            clock::now().to_string(),
        ],
    )?;
    for file in files {
        transaction.execute(
            "INSERT INTO file (path, dataset, from_ms, rows, bytes, sha256)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                file.path,
                dataset,
                interval.from_ms(),
                file.rows.cast_signed(),
                file.bytes.cast_signed(),
                file.sha256
            ],
        )?;
    }
    Ok(())
}

/// Deletes the record of a committed shard of exactly this interval, and returns its files. Empty
/// if there is no such record.
fn delete_shard(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
) -> Result<Vec<String>, LedgerError> {
    let key = params![dataset, interval.from_ms(), interval.to_ms()];
    let exists = "SELECT 1 FROM shard WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3";
    if transaction.query_row(exists, key, |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    let mut delete_files = transaction
        .prepare("DELETE FROM file WHERE dataset = ?1 AND from_ms = ?2 RETURNING path")?;
    let paths = delete_files
        .query_map(params![dataset, interval.from_ms()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    transaction
        .execute("DELETE FROM shard WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3", key)?;
    Ok(paths)
}

fn refuse_overlap(
    transaction: &Transaction,
    dataset: &str,
    new: Interval,
) -> Result<(), LedgerError> {
    let committed = transaction
        .query_row(
            "SELECT from_ms, to_ms FROM shard WHERE dataset = ?1 AND from_ms < ?3 AND to_ms > ?2",
            params![dataset, new.from_ms(), new.to_ms()],
            |row| Ok(Interval::new(row.get(0)?, row.get(1)?)),
        )
        .optional()?
        .flatten();
    match committed {
        Some(old) => Err(LedgerError::Overlap { dataset: dataset.to_owned(), new, old }),
        None => Ok(()),
    }
}

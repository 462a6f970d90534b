//! Committed shards and the files that a commit writes or replaces (G3).

use std::collections::{BTreeSet, HashSet};

use rusqlite::{OptionalExtension, Transaction, params};

use crate::{
    ledger::{
        DoubtfulInterval, DriftRecord, Ledger, LedgerError, ShardRecord, drift, failures,
        follow_ups, gaps, intervals, stale,
    },
    time::{clock, interval::Interval},
};

/// What a commit changed beside the records of its shards.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The files that no record names any more. They are recorded as garbage.
    pub garbage: Vec<String>,
    /// Values that fit no column, at paths that are new to the output.
    pub new_fields: Vec<DriftRecord>,
}

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

    /// The paths of the files of the committed shards in an interval, and their rows. `None` if there
    /// are none, or if one reaches beyond the interval.
    pub(crate) fn shard_files(
        &self,
        dataset: &str,
        interval: Interval,
    ) -> Result<Option<(Vec<String>, u64)>, LedgerError> {
        let connection = self.lock();
        let key = params![dataset, interval.from_ms(), interval.to_ms()];
        let shards = "SELECT COUNT(*), MIN(from_ms), MAX(to_ms), SUM(rows_written) FROM shard
                      WHERE dataset = ?1 AND from_ms < ?3 AND to_ms > ?2";
        let (count, from, to, rows): (i64, Option<i64>, Option<i64>, Option<i64>) = connection
            .query_row(shards, key, |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
        let lies_within = from.is_some_and(|from| from >= interval.from_ms())
            && to.is_some_and(|to| to <= interval.to_ms());
        if count == 0 || !lies_within {
            return Ok(None);
        }
        let files = "SELECT path FROM file JOIN shard USING (dataset, from_ms)
                     WHERE dataset = ?1 AND from_ms < ?3 AND to_ms > ?2 ORDER BY path";
        let mut query = connection.prepare(files)?;
        let paths = query.query_map(key, |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(Some((paths, rows.unwrap_or_default().cast_unsigned())))
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

    /// Records shards of one dataset with their files, their doubts and the values that fit no
    /// column, in one transaction: the commit point (G3).
    ///
    /// If they replace committed shards, they take the place of all that their intervals cover
    /// together.
    ///
    /// # Errors
    /// [`LedgerError::Overlap`] if an interval overlaps a committed one that is not replaced.
    pub(crate) fn commit(
        &self,
        records: &[ShardRecord],
        doubts: &[DoubtfulInterval],
        fields: &[DriftRecord],
        replaces: bool,
    ) -> Result<Recorded, LedgerError> {
        let new: Vec<_> = records.iter().map(|record| record.interval).collect();
        self.transaction(|transaction| {
            let mut garbage = Vec::new();
            for record in records.iter().filter(|_| replaces) {
                garbage.extend(delete_covered(
                    transaction,
                    &record.dataset,
                    record.interval,
                    &new,
                )?);
            }
            for record in records {
                let (dataset, interval) = (&record.dataset, record.interval);
                refuse_overlap(transaction, dataset, interval)?;
                insert_shard(transaction, record)?;
                transaction.execute(
                    "DELETE FROM short WHERE dataset = ?1 AND from_ms >= ?2 AND from_ms < ?3",
                    params![dataset, interval.from_ms(), interval.to_ms()],
                )?;
                let intents = "DELETE FROM intent WHERE commit_id = ?1";
                transaction.execute(intents, [&record.commit_id])?;
                gaps::delete_within(transaction, dataset, interval)?;
                follow_ups::update(transaction, record, clock::now().as_millisecond())?;
            }
            for doubt in doubts {
                gaps::insert(transaction, doubt)?;
            }
            let datasets: BTreeSet<_> = records.iter().map(|record| &record.dataset).collect();
            for dataset in datasets {
                failures::delete_committed(transaction, dataset)?;
            }
            let is_named = |path: &String| {
                records.iter().flat_map(|record| &record.files).any(|file| file.path == *path)
            };
            garbage.retain(|path| !is_named(path));
            let at = clock::now().to_string();
            for path in &garbage {
                let sql = "INSERT OR REPLACE INTO garbage (path, at) VALUES (?1, ?2)";
                transaction.execute(sql, [path, &at])?;
            }
            Ok(Recorded { garbage, new_fields: drift::add(transaction, fields)? })
        })
    }

    /// Records that a shard was split in two. If it was to replace committed ones, those stay until
    /// both halves are there.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn split(
        &self,
        dataset: &str,
        interval: Interval,
        reason: &str,
    ) -> Result<(), LedgerError> {
        self.execute(
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
        Ok(())
    }

    fn paths(&self, sql: &str) -> Result<HashSet<String>, LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare(sql)?;
        let paths = query.query_map([], |row| row.get(0))?;
        Ok(paths.collect::<Result<_, _>>()?)
    }
}

impl Ledger {
    /// Records the files that commits are about to write, each with the id of its commit, and that
    /// the committed shards that overlap `stale` are about to be replaced: if they are not, a later
    /// run does it.
    pub(crate) fn intend(
        &self,
        dataset: &str,
        files: &[(String, String)],
        stale: Option<Interval>,
    ) -> Result<(), LedgerError> {
        self.transaction(|transaction| {
            let at = clock::now().to_string();
            for (path, commit_id) in files {
                let sql = "INSERT OR REPLACE INTO intent (path, commit_id, at) VALUES (?1, ?2, ?3)";
                transaction.execute(sql, [path, commit_id, &at])?;
            }
            match stale {
                Some(interval) => stale::mark_stale(transaction, dataset, interval),
                None => Ok(()),
            }
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

pub(super) fn insert_shard(
    transaction: &Transaction,
    record: &ShardRecord,
) -> Result<(), LedgerError> {
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

/// Deletes the records of committed shards that overlap an interval and lie within `new`, and
/// returns their files.
fn delete_covered(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
    new: &[Interval],
) -> Result<Vec<String>, LedgerError> {
    let mut overlapping = transaction.prepare(
        "SELECT from_ms, to_ms FROM shard WHERE dataset = ?1 AND from_ms < ?3 AND to_ms > ?2",
    )?;
    let key = params![dataset, interval.from_ms(), interval.to_ms()];
    let overlapping = overlapping
        .query_map(key, |row| Ok(Interval::new(row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut paths = Vec::new();
    for old in overlapping.into_iter().flatten() {
        if !old.subtract(new).is_empty() {
            continue;
        }
        let key = params![dataset, old.from_ms()];
        let mut delete_files = transaction
            .prepare("DELETE FROM file WHERE dataset = ?1 AND from_ms = ?2 RETURNING path")?;
        for path in delete_files.query_map(key, |row| row.get(0))? {
            paths.push(path?);
        }
        transaction.execute("DELETE FROM shard WHERE dataset = ?1 AND from_ms = ?2", key)?;
    }
    Ok(paths)
}

pub(super) fn refuse_overlap(
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

//! Committed shards and the files that a commit writes or replaces (G3).

use std::collections::HashSet;

use rusqlite::{Connection, Row, Transaction, params};

use crate::{
    ledger::{
        DoubtfulInterval, DriftRecord, EventRecord, FileRecord, Ledger, LedgerError, ShardRecord,
        drift, events, execute_prepared, failures, follow_ups, gaps, hour_sums, intervals,
        overlap::overlapping, stale,
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

/// The files of committed shards.
#[derive(Debug)]
pub(crate) struct ShardFiles {
    /// Each with the start of its shard.
    pub files: Vec<(FileRecord, i64)>,
    /// The rows that are written or quarantined.
    pub rows: u64,
    /// The rows that were left out because their ids were forgotten.
    pub forgotten: u64,
}

impl Ledger {
    /// The committed intervals of a dataset, in order.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn committed(&self, dataset: &str) -> Result<Vec<Interval>, LedgerError> {
        let sql = "SELECT from_ms, to_ms FROM shard WHERE dataset = ?1 ORDER BY from_ms";
        intervals(&self.lock(), sql, [dataset])
    }

    /// The committed intervals of a dataset that overlap an interval.
    pub(crate) fn committed_overlapping(
        &self,
        dataset: &str,
        interval: Interval,
    ) -> Result<Vec<Interval>, LedgerError> {
        overlapping_shards(&self.lock(), dataset, interval)
    }

    /// The paths of all committed files.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn file_paths(&self) -> Result<HashSet<String>, LedgerError> {
        self.paths("SELECT path FROM file")
    }

    /// The files of the committed shards in an interval. `None` if no shard is there, or if one
    /// reaches beyond the interval.
    pub(crate) fn shard_files(
        &self,
        dataset: &str,
        interval: Interval,
    ) -> Result<Option<ShardFiles>, LedgerError> {
        let connection = self.lock();
        let key = params![dataset, interval.from_ms(), interval.to_ms()];
        let shards = overlapping_shards(&connection, dataset, interval)?;
        let lies_within = |shard: &Interval| shard.intersect(interval) == Some(*shard);
        if shards.is_empty() || !shards.iter().all(lies_within) {
            return Ok(None);
        }
        let rows = concat!(
            "SELECT SUM(rows_written + rows_quarantined), SUM(rows_forgotten) FROM shard WHERE ",
            overlapping!("shard")
        );
        let (rows, forgotten) = connection.query_row(rows, key, |row| {
            let number = |column| row.get(column).map(i64::cast_unsigned);
            Ok((number(0)?, number(1)?))
        })?;
        let mut query = connection.prepare(concat!(
            "SELECT path, rows, bytes, sha256, from_ms FROM file WHERE dataset = ?1
             AND from_ms IN (SELECT from_ms FROM shard WHERE ",
            overlapping!("shard"),
            ") ORDER BY path"
        ))?;
        let file = |row: &Row| {
            let number = |column| row.get(column).map(i64::cast_unsigned);
            let (path, rows, bytes) = (row.get(0)?, number(1)?, number(2)?);
            Ok((FileRecord { path, rows, bytes, sha256: row.get(3)? }, row.get(4)?))
        };
        let files = query.query_map(key, file)?.collect::<Result<_, _>>()?;
        Ok(Some(ShardFiles { files, rows, forgotten }))
    }

    /// The committed intervals whose files are to be replaced, because a run started to replace
    /// them and did not finish.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn stale(&self, dataset: &str) -> Result<Vec<Interval>, LedgerError> {
        let sql = "SELECT from_ms, to_ms FROM shard WHERE dataset = ?1 AND stale ORDER BY from_ms";
        intervals(&self.lock(), sql, [dataset])
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
                execute_prepared(
                    transaction,
                    "DELETE FROM short WHERE dataset = ?1 AND from_ms >= ?2 AND from_ms < ?3",
                    params![dataset, interval.from_ms(), interval.to_ms()],
                )?;
                let intents = "DELETE FROM intent WHERE commit_id = ?1";
                execute_prepared(transaction, intents, [&record.commit_id])?;
                gaps::delete_within(transaction, dataset, interval, |_| true)?;
                follow_ups::update(transaction, record, clock::now().as_millisecond())?;
                events::insert(transaction, dataset, &EventRecord::commit(record))?;
            }
            for doubt in doubts {
                gaps::insert(transaction, doubt)?;
                let event = EventRecord::new("doubtful", doubt.interval, &doubt.reason);
                events::insert(transaction, &doubt.dataset, &event)?;
            }
            for record in records {
                failures::delete_committed(transaction, &record.dataset, record.interval)?;
            }
            let is_named = |path: &String| {
                records.iter().flat_map(|record| &record.files).any(|file| file.path == *path)
            };
            garbage.retain(|path| !is_named(path));
            insert_garbage(transaction, &garbage)?;
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
        self.transaction(|transaction| {
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
            events::insert(transaction, dataset, &EventRecord::new("split", interval, reason))
        })
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
                execute_prepared(transaction, sql, [path, commit_id, &at])?;
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

/// Records files that no record names any more and that are to be deleted.
pub(super) fn insert_garbage(
    transaction: &Transaction,
    paths: &[String],
) -> Result<(), LedgerError> {
    let at = clock::now().to_string();
    for path in paths {
        let sql = "INSERT OR REPLACE INTO garbage (path, at) VALUES (?1, ?2)";
        execute_prepared(transaction, sql, [path, &at])?;
    }
    Ok(())
}

pub(super) fn insert_shard(
    transaction: &Transaction,
    record: &ShardRecord,
) -> Result<(), LedgerError> {
    let ShardRecord { dataset, interval, counts, commit_id, open_rows, details, .. } = record;
    let cost = details.cost;
    execute_prepared(
        transaction,
        "INSERT INTO shard (dataset, from_ms, to_ms, rows_received, rows_written, rows_not_owned,
                            rows_duplicate, rows_quarantined, commit_id, open_rows, at, requests,
                            retries, duration_ms, rows_forgotten)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
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
            cost.map(|cost| cost.requests.cast_signed()),
            cost.map(|cost| cost.retries.cast_signed()),
            cost.map(|cost| cost.duration_ms.cast_signed()),
            counts.forgotten.cast_signed(),
        ],
    )?;
    hour_sums::insert(transaction, dataset, interval.from_ms(), &details.sums)?;
    insert_files(transaction, record)
}

/// Records the files of a shard.
pub(super) fn insert_files(
    transaction: &Transaction,
    record: &ShardRecord,
) -> Result<(), LedgerError> {
    let ShardRecord { dataset, interval, files, .. } = record;
    for file in files {
        execute_prepared(
            transaction,
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
pub(super) fn delete_covered(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
    new: &[Interval],
) -> Result<Vec<String>, LedgerError> {
    let mut paths = Vec::new();
    for old in overlapping_shards(transaction, dataset, interval)? {
        if !old.subtract(new).is_empty() {
            continue;
        }
        let key = params![dataset, old.from_ms()];
        paths.extend(delete_files(transaction, dataset, old.from_ms())?);
        let delete_shard = "DELETE FROM shard WHERE dataset = ?1 AND from_ms = ?2";
        execute_prepared(transaction, delete_shard, key)?;
    }
    Ok(paths)
}

/// Deletes the records of the files of a shard, and returns their paths.
pub(super) fn delete_files(
    transaction: &Transaction,
    dataset: &str,
    from_ms: i64,
) -> Result<Vec<String>, LedgerError> {
    let mut delete = transaction
        .prepare_cached("DELETE FROM file WHERE dataset = ?1 AND from_ms = ?2 RETURNING path")?;
    let paths = delete.query_map(params![dataset, from_ms], |row| row.get(0))?;
    Ok(paths.collect::<Result<_, _>>()?)
}

pub(super) fn refuse_overlap(
    transaction: &Transaction,
    dataset: &str,
    new: Interval,
) -> Result<(), LedgerError> {
    match overlapping_shards(transaction, dataset, new)?.first() {
        Some(&old) => Err(LedgerError::Overlap { dataset: dataset.to_owned(), new, old }),
        None => Ok(()),
    }
}

/// The committed intervals of a dataset that overlap an interval.
fn overlapping_shards(
    connection: &Connection,
    dataset: &str,
    interval: Interval,
) -> Result<Vec<Interval>, LedgerError> {
    let sql = concat!("SELECT from_ms, to_ms FROM shard WHERE ", overlapping!("shard"));
    intervals(connection, sql, params![dataset, interval.from_ms(), interval.to_ms()])
}

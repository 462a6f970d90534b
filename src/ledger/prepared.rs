//! Replacements of committed shards that the ledger records before the new files are renamed over
//! the old ones.
//!
//! A refresh renames a new file over the old one before the ledger records the new file: if it is
//! killed in between, the rows are fetched again. A rewrite (compact, forget) reads its rows from
//! the old files, so it cannot be repeated once one of them is overwritten. Therefore it
//! first records the whole replacement, and the next command that writes to the output completes it
//! (G3).

use rusqlite::{Transaction, params};
use serde::{Deserialize, Serialize};

use crate::{
    ledger::{
        EventRecord, Ledger, LedgerError, ShardRecord,
        commit::{delete_covered, insert_garbage, insert_shard, refuse_overlap},
        events, execute_prepared, follow_ups, gaps, intervals,
        overlap::overlapping,
        stale,
    },
    time::interval::Interval,
};

/// Committed shards of a dataset that are replaced by records of their own rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Replacement {
    /// Begins the ids of the commits of the records.
    pub commit_id: String,
    /// Name of the dataset.
    pub dataset: String,
    /// The interval of what is replaced, which the records cover together.
    pub interval: Interval,
    pub records: Vec<ShardRecord>,
    /// The renames that give their files their names, from and to.
    pub renames: Vec<(String, String)>,
    /// What happened to the rows, for the history: `merged` or `forgotten`.
    pub event: String,
}

impl Ledger {
    /// Records a replacement whose files are written. From now on it is completed, unless these
    /// files are lost.
    pub(crate) fn prepare(&self, replacement: &Replacement) -> Result<(), LedgerError> {
        let json = serde_json::to_string(replacement).unwrap_or_default();
        let sql = "INSERT INTO prepared (commit_id, replacement) VALUES (?1, ?2)";
        self.execute(sql, params![replacement.commit_id, json])?;
        Ok(())
    }

    /// The replacements that are decided and not recorded yet.
    pub(crate) fn prepared(&self) -> Result<Vec<Replacement>, LedgerError> {
        let connection = self.lock();
        let mut query =
            connection.prepare("SELECT replacement FROM prepared ORDER BY commit_id")?;
        let mut rows = query.query([])?;
        let mut prepared = Vec::new();
        while let Some(row) = rows.next()? {
            let json = serde_json::from_str(row.get_ref(0)?.as_str().unwrap_or_default());
            prepared.push(json.map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(
                    0,
                    rusqlite::types::Type::Text,
                    error.into(),
                )
            })?);
        }
        Ok(prepared)
    }

    /// Gives up a replacement whose files are lost. What it was to replace stays recorded, and the
    /// next run fetches the `stale` interval of a dataset again.
    pub(crate) fn abandon(
        &self,
        commit_id: &str,
        stale: Option<(String, Interval)>,
    ) -> Result<(), LedgerError> {
        self.transaction(|transaction| {
            if let Some((dataset, interval)) = stale {
                stale::mark_stale(transaction, &dataset, interval)?;
            }
            let prepared = "DELETE FROM prepared WHERE commit_id = ?1";
            execute_prepared(transaction, prepared, [commit_id])?;
            Ok(())
        })
    }

    /// Records a replacement whose files have their names, in one transaction. Follow-ups and
    /// whether the rows are to be fetched again are kept; doubts and acceptances belong to
    /// intervals and stay as they are. Returns the files that no record names any more, which are
    /// recorded as garbage.
    pub(crate) fn replace(&self, replacement: &Replacement) -> Result<Vec<String>, LedgerError> {
        let Replacement { commit_id, dataset, interval, records, event, .. } = replacement;
        self.transaction(|transaction| {
            let is_stale = is_stale(transaction, dataset, *interval)?;
            let mut garbage = delete_covered(transaction, dataset, *interval, &[*interval])?;
            for record in records {
                refuse_overlap(transaction, dataset, record.interval)?;
                insert_shard(transaction, record)?;
                let intents = "DELETE FROM intent WHERE commit_id = ?1";
                execute_prepared(transaction, intents, [&record.commit_id])?;
                gaps::update_quarantined(transaction, record)?;
                let event = EventRecord {
                    rows: Some(record.counts.written),
                    ..EventRecord::new(event, record.interval, "")
                };
                events::insert(transaction, dataset, &event)?;
            }
            if is_stale {
                stale::mark_stale(transaction, dataset, *interval)?;
            }
            follow_ups::keep(transaction, dataset, *interval, records)?;
            let prepared = "DELETE FROM prepared WHERE commit_id = ?1";
            execute_prepared(transaction, prepared, [commit_id])?;
            let is_named = |path: &String| {
                records.iter().flat_map(|record| &record.files).any(|file| file.path == *path)
            };
            garbage.retain(|path| !is_named(path));
            insert_garbage(transaction, &garbage)?;
            Ok(garbage)
        })
    }
}

/// Whether a committed shard that overlaps an interval is to be fetched again.
fn is_stale(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
) -> Result<bool, LedgerError> {
    let sql = concat!("SELECT from_ms, to_ms FROM shard WHERE stale AND ", overlapping!("shard"));
    let bounds = params![dataset, interval.from_ms(), interval.to_ms()];
    Ok(!intervals(transaction, sql, bounds)?.is_empty())
}

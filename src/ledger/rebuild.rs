//! Replaces the records of committed shards by what the files say.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;

use crate::{
    ledger::{
        HourRecord, Ledger, LedgerError, ShardRecord,
        commit::{insert_shard, refuse_overlap},
        dataset_schema::{self, Columns},
        failures,
        gaps::{self, DoubtfulInterval, GapKind},
        hour_sums,
    },
    time::interval::Interval,
};

/// What the files of an output say.
#[derive(Debug, Default)]
pub(crate) struct RebuiltRecords {
    /// The identity of the job that wrote the files.
    pub identity: BTreeMap<String, String>,
    /// Committed shards that the ledger records already: their dataset and start.
    pub kept: BTreeSet<(String, i64)>,
    /// Committed shards that are new to the ledger.
    pub added: Vec<ShardRecord>,
    /// Why those are doubtful, as far as their files say.
    pub doubts: Vec<DoubtfulInterval>,
    /// The datasets and intervals of those whose files say whether they were doubtful when they
    /// were committed. What the ledger knows of the others stays.
    pub told: Vec<(String, Interval)>,
    /// The rows of all these shards by hour and media type.
    pub sums: BTreeMap<(String, i64), Vec<HourRecord>>,
    /// The version and the columns of each dataset.
    pub columns: BTreeMap<String, (u32, Columns)>,
}

impl Ledger {
    /// Deletes the records of all committed shards but the kept ones, and records the added ones,
    /// in one transaction. Failures, accepted gaps and the history of runs stay, and so do the
    /// doubts that no file tells.
    pub(crate) fn rebuild(&self, rebuilt: &RebuiltRecords) -> Result<(), LedgerError> {
        self.check_identity(&rebuilt.identity)?;
        let RebuiltRecords { identity, kept, added, doubts, told, sums, columns } = rebuilt;
        self.transaction(|transaction| {
            for (key, value) in identity {
                let sql = "INSERT OR IGNORE INTO identity (key, value) VALUES (?1, ?2)";
                transaction.execute(sql, [key, value])?;
            }
            let recorded: Vec<(String, i64)> = transaction
                .prepare("SELECT dataset, from_ms FROM shard")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            for key in recorded.iter().filter(|key| !kept.contains(*key)) {
                for table in ["file", "shard"] {
                    let sql = format!("DELETE FROM {table} WHERE dataset = ?1 AND from_ms = ?2");
                    transaction.execute(&sql, params![key.0, key.1])?;
                }
            }
            for record in added {
                refuse_overlap(transaction, &record.dataset, record.interval)?;
                insert_shard(transaction, record)?;
                failures::delete_committed(transaction, &record.dataset, record.interval)?;
            }
            for (dataset, interval) in told {
                let is_told = GapKind::is_known_at_commit;
                gaps::delete_within(transaction, dataset, *interval, is_told)?;
            }
            for doubt in doubts {
                gaps::insert(transaction, doubt)?;
            }
            for ((dataset, from_ms), sums) in sums {
                hour_sums::replace(transaction, dataset, *from_ms, sums)?;
            }
            for (dataset, (version, columns)) in columns {
                dataset_schema::insert(transaction, dataset, *version, columns)?;
            }
            // every file has a record now or was moved away
            transaction.execute("DELETE FROM start_step", [])?;
            Ok(())
        })
    }
}

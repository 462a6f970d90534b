//! The history of runs.

use std::{collections::BTreeMap, ops::AddAssign};

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::{
    ledger::{Counts, Ledger, LedgerError},
    time::{
        clock,
        interval::{Interval, iso},
    },
};

/// A run, as the ledger recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Number of the run; later runs have larger ones.
    pub id: i64,
    /// When it started, RFC 3339.
    pub started: String,
    /// When it ended. `None` if it is still running or was killed.
    pub ended: Option<String>,
    /// How it ended. `None` if it has not.
    pub outcome: Option<String>,
    /// The interval that it was to fetch.
    pub interval: Option<Interval>,
    /// Its summary as JSON. `None` if it has not ended.
    pub summary: Option<String>,
}

/// What a run committed of a dataset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommittedTotals {
    /// What became of the rows of the committed shards.
    pub counts: Counts,
    /// Number of commits.
    pub shards: u64,
    /// Number of the new files.
    pub files: u64,
    /// Size of the new files in bytes.
    pub bytes: u64,
}

impl AddAssign for CommittedTotals {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.shards += other.shards;
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

impl Ledger {
    /// What was committed of each dataset at or after `time`, by the wall clock.
    pub(crate) fn committed_since(
        &self,
        time: Timestamp,
    ) -> Result<BTreeMap<String, CommittedTotals>, LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare(
            "SELECT shard.dataset, shard.at, rows_received, rows_written, rows_not_owned,
                    rows_duplicate, rows_quarantined, COUNT(path), COALESCE(SUM(bytes), 0)
             FROM shard LEFT JOIN file USING (dataset, from_ms)
             GROUP BY shard.dataset, from_ms",
        )?;
        let mut rows = query.query([])?;
        let mut totals: BTreeMap<String, CommittedTotals> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let at: String = row.get(1)?;
            if at.parse::<Timestamp>().is_ok_and(|at| at < time) {
                continue;
            }
            let number = |column| row.get(column).map(i64::cast_unsigned);
            *totals.entry(row.get(0)?).or_default() += CommittedTotals {
                counts: Counts {
                    received: number(2)?,
                    written: number(3)?,
                    not_owned: number(4)?,
                    duplicate: number(5)?,
                    quarantined: number(6)?,
                },
                shards: 1,
                files: number(7)?,
                bytes: number(8)?,
            };
        }
        Ok(totals)
    }

    /// Records that a run starts, at `now` in milliseconds since 1970, and returns its id.
    pub(crate) fn begin_run(&self, interval: Interval, now: i64) -> Result<i64, LedgerError> {
        let connection = self.lock();
        connection.execute(
            "INSERT INTO run (started, from_ms, to_ms) VALUES (?1, ?2, ?3)",
            params![iso(now), interval.from_ms(), interval.to_ms()],
        )?;
        Ok(connection.last_insert_rowid())
    }

    /// Records how a run ended.
    pub(crate) fn end_run(&self, id: i64, outcome: &str, summary: &str) -> Result<(), LedgerError> {
        self.execute(
            "UPDATE run SET ended = ?2, outcome = ?3, summary = ?4 WHERE id = ?1",
            params![id, clock::now().to_string(), outcome, summary],
        )?;
        Ok(())
    }

    /// All runs, the oldest first.
    #[cfg(test)]
    pub(crate) fn runs(&self) -> Result<Vec<RunRecord>, LedgerError> {
        Ok(runs(&self.lock())?)
    }
}

/// All runs, the oldest first.
pub(super) fn runs(connection: &Connection) -> Result<Vec<RunRecord>, rusqlite::Error> {
    let mut query = connection.prepare(
        "SELECT id, started, ended, outcome, summary, from_ms, to_ms FROM run ORDER BY id",
    )?;
    let runs = query.query_map([], |row| {
        let (from, to): (Option<i64>, Option<i64>) = (row.get(5)?, row.get(6)?);
        Ok(RunRecord {
            id: row.get(0)?,
            started: row.get(1)?,
            ended: row.get(2)?,
            outcome: row.get(3)?,
            summary: row.get(4)?,
            interval: from.zip(to).and_then(|(from, to)| Interval::new(from, to)),
        })
    })?;
    runs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_an_outcome_once_it_has_ended() {
        let ledger = Ledger::in_memory().unwrap();
        let interval = Interval::new(1, 2).unwrap();
        let (first, second) =
            (ledger.begin_run(interval, 0).unwrap(), ledger.begin_run(interval, 1).unwrap());
        ledger.end_run(second, "complete", "{}").unwrap();
        let runs = ledger.runs().unwrap();
        assert_eq!((runs[0].id, &runs[0].outcome, &runs[0].ended), (first, &None, &None));
        assert_eq!((runs[1].id, runs[1].outcome.as_deref()), (second, Some("complete")));
        assert_eq!((runs[1].interval, runs[1].summary.as_deref()), (Some(interval), Some("{}")));
    }
}

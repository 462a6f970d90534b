//! The history of runs.

use std::{
    collections::BTreeMap,
    ops::{AddAssign, SubAssign},
};

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::{
    ledger::{Counts, Ledger, LedgerError, events},
    system::process::Process,
    telemetry::metrics::Sample,
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
    /// Who runs it. `None` if that is not known.
    pub user: Option<String>,
    /// On which machine. `None` if that is not known.
    pub host: Option<String>,
    /// The number of its process there. `None` if an earlier program recorded the run.
    pub pid: Option<u32>,
    /// What its metrics said last, as the JSON of a
    /// [`MetricsSnapshot`](crate::telemetry::metrics::MetricsSnapshot). `None` for all but the last
    /// run.
    pub state: Option<String>,
}

/// The samples of a run that are new or have changed.
#[derive(Debug, Default)]
pub(crate) struct NewSamples<'s> {
    /// Whether they take the place of all earlier samples of the run.
    pub replace_all: bool,
    pub samples: &'s [Sample],
}

/// Samples of this many runs are kept (G8).
const RUNS_WITH_SAMPLES: i64 = 20;

/// What a run committed of a dataset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommittedTotals {
    /// What became of the rows of the committed shards.
    pub counts: Counts,
    /// Number of records: intervals of at most a UTC day each.
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

impl SubAssign for CommittedTotals {
    fn sub_assign(&mut self, other: Self) {
        self.counts -= other.counts;
        self.shards -= other.shards;
        self.files -= other.files;
        self.bytes -= other.bytes;
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
                    rows_duplicate, rows_quarantined, COUNT(path), COALESCE(SUM(bytes), 0),
                    rows_forgotten
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
                    forgotten: number(9)?,
                },
                shards: 1,
                files: number(7)?,
                bytes: number(8)?,
            };
        }
        Ok(totals)
    }

    /// Records that a run of this process starts, at `now` in milliseconds since 1970, and returns
    /// its id.
    pub(crate) fn begin_run(&self, interval: Interval, now: i64) -> Result<i64, LedgerError> {
        let Process { user, host, pid } = Process::current();
        self.transaction(|transaction| {
            transaction.execute("UPDATE run SET state = NULL WHERE state IS NOT NULL", [])?;
            transaction.execute(
                "INSERT INTO run (started, from_ms, to_ms, user, host, pid)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![iso(now), interval.from_ms(), interval.to_ms(), user, host, pid],
            )?;
            let id = transaction.last_insert_rowid();
            let sql = "DELETE FROM run_sample WHERE run <= ?1";
            transaction.execute(sql, [id - RUNS_WITH_SAMPLES])?;
            events::delete_old(transaction)?;
            Ok(id)
        })
    }

    /// Records what the metrics of a run say, as JSON, and its samples that are new.
    pub(crate) fn record_course(
        &self,
        id: i64,
        state: &str,
        new: &NewSamples<'_>,
    ) -> Result<(), LedgerError> {
        self.transaction(|transaction| {
            transaction.execute("UPDATE run SET state = ?2 WHERE id = ?1", params![id, state])?;
            if new.replace_all {
                transaction.execute("DELETE FROM run_sample WHERE run = ?1", [id])?;
            }
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO run_sample (run, at_ms, sample) VALUES (?1, ?2, ?3)",
            )?;
            for sample in new.samples {
                let at = sample.at.parse::<Timestamp>().unwrap_or_default().as_millisecond();
                let json = serde_json::to_string(sample).unwrap_or_default();
                insert.execute(params![id, at, json])?;
            }
            Ok(())
        })
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
        Ok(runs(&self.lock(), crate::ledger::schema::VERSION)?)
    }
}

/// All runs of a ledger of `version`, the oldest first.
pub(super) fn runs(
    connection: &Connection,
    version: u32,
) -> Result<Vec<RunRecord>, rusqlite::Error> {
    let process = if version >= 4 { "user, host, pid, state" } else { "NULL, NULL, NULL, NULL" };
    let mut query = connection.prepare(&format!(
        "SELECT id, started, ended, outcome, summary, from_ms, to_ms, {process}
         FROM run ORDER BY id",
    ))?;
    let runs = query.query_map([], |row| {
        let (from, to): (Option<i64>, Option<i64>) = (row.get(5)?, row.get(6)?);
        Ok(RunRecord {
            id: row.get(0)?,
            started: row.get(1)?,
            ended: row.get(2)?,
            outcome: row.get(3)?,
            summary: row.get(4)?,
            interval: from.zip(to).and_then(|(from, to)| Interval::new(from, to)),
            user: row.get(7)?,
            host: row.get(8)?,
            pid: row.get(9)?,
            state: row.get(10)?,
        })
    })?;
    runs.collect()
}

/// The samples of the last run, the oldest first.
pub(super) fn samples(view: &Connection) -> Result<Vec<Sample>, rusqlite::Error> {
    let mut query = view.prepare(
        "SELECT sample FROM run_sample WHERE run = (SELECT MAX(id) FROM run) ORDER BY at_ms",
    )?;
    let samples = query.query_map([], |row| row.get::<_, String>(0))?;
    let samples = samples.collect::<Result<Vec<_>, _>>()?;
    Ok(samples.iter().filter_map(|sample| serde_json::from_str(sample).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_of_a_run_are_replaced_where_they_changed() {
        let ledger = Ledger::in_memory().unwrap();
        let run = ledger.begin_run(Interval::new(1, 2).unwrap(), 0).unwrap();
        let sample =
            |second: i64, rows| Sample { at: iso(second * 1_000), rows, ..Sample::default() };
        let record = |replace_all, samples: &[Sample]| {
            ledger.record_course(run, "{}", &NewSamples { replace_all, samples }).unwrap();
            samples_of(&ledger)
        };
        assert_eq!(record(false, &[sample(1, 5), sample(2, 1)]), [(1, 5), (2, 1)]);
        assert_eq!(record(false, &[sample(2, 3), sample(3, 9)]), [(1, 5), (2, 3), (3, 9)]);
        assert_eq!(record(true, &[sample(1, 8), sample(3, 9)]), [(1, 8), (3, 9)]);
        assert_eq!(ledger.runs().unwrap()[0].state.as_deref(), Some("{}"));
        assert_eq!(ledger.runs().unwrap()[0].pid, Some(std::process::id()));
        ledger.begin_run(Interval::new(1, 2).unwrap(), 0).unwrap();
        assert_eq!(samples_of(&ledger), [], "those of the last run are read");
        assert_eq!(ledger.runs().unwrap()[0].state, None);
    }

    #[test]
    fn g8_samples_of_old_runs_are_deleted() {
        let ledger = Ledger::in_memory().unwrap();
        for _ in 0..RUNS_WITH_SAMPLES + 5 {
            let run = ledger.begin_run(Interval::new(1, 2).unwrap(), 0).unwrap();
            let samples = &[Sample { at: iso(1_000), ..Sample::default() }];
            ledger.record_course(run, "{}", &NewSamples { replace_all: false, samples }).unwrap();
        }
        let sql = "SELECT COUNT(DISTINCT run) FROM run_sample";
        let runs: i64 = ledger.lock().query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(runs, RUNS_WITH_SAMPLES);
    }

    /// The seconds and rows of the last run's samples.
    fn samples_of(ledger: &Ledger) -> Vec<(i64, u64)> {
        let samples = samples(&ledger.lock()).unwrap();
        let second = |sample: &Sample| sample.at.parse::<Timestamp>().unwrap().as_second();
        samples.iter().map(|sample| (second(sample), sample.rows)).collect()
    }

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

//! The history of runs.

use rusqlite::{Connection, params};

use crate::{
    ledger::{Ledger, LedgerError},
    time::{clock, interval::Interval},
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

#[allow(dead_code)] // the run and its report will use these
impl Ledger {
    /// Records that a run starts, and returns its id.
    pub(crate) fn begin_run(&self, interval: Interval) -> Result<i64, LedgerError> {
        let connection = self.lock();
        connection.execute(
            "INSERT INTO run (started, from_ms, to_ms) VALUES (?1, ?2, ?3)",
            params![clock::now().to_string(), interval.from_ms(), interval.to_ms()],
        )?;
        Ok(connection.last_insert_rowid())
    }

    /// Records how a run ended.
    pub(crate) fn end_run(&self, id: i64, outcome: &str, summary: &str) -> Result<(), LedgerError> {
        self.lock().execute(
            "UPDATE run SET ended = ?2, outcome = ?3, summary = ?4 WHERE id = ?1",
            params![id, clock::now().to_string(), outcome, summary],
        )?;
        Ok(())
    }

    /// All runs, the oldest first.
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
            (ledger.begin_run(interval).unwrap(), ledger.begin_run(interval).unwrap());
        ledger.end_run(second, "complete", "{}").unwrap();
        let runs = ledger.runs().unwrap();
        assert_eq!((runs[0].id, &runs[0].outcome, &runs[0].ended), (first, &None, &None));
        assert_eq!((runs[1].id, runs[1].outcome.as_deref()), (second, Some("complete")));
        assert_eq!((runs[1].interval, runs[1].summary.as_deref()), (Some(interval), Some("{}")));
    }
}

//! Intervals that are committed but doubtful, and those that a person accepted.

use rusqlite::{Connection, Params, Transaction, params};

use crate::{
    ledger::{Counts, Ledger, LedgerError, ShardRecord, execute_prepared},
    time::{clock, interval::Interval},
};

/// Why a committed interval is doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GapKind {
    /// Rows could not be decoded.
    Quarantined,
    /// The platform counts more rows than it returned, and its count is exact.
    CountMismatch,
    /// Rows were received, and the shards own none of them.
    NothingOwned,
    /// The times of the rows lie outside 1990 to 2100.
    ImplausibleTimes,
    /// The rows of some parents could not be fetched.
    FailedParents,
    /// Rows of the interval arrived after it was committed.
    OutOfOrder,
}

impl GapKind {
    const ALL: [Self; 6] = [
        Self::Quarantined,
        Self::CountMismatch,
        Self::NothingOwned,
        Self::ImplausibleTimes,
        Self::FailedParents,
        Self::OutOfOrder,
    ];

    /// Its name in the ledger and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::CountMismatch => "count-mismatch",
            Self::NothingOwned => "nothing-owned",
            Self::ImplausibleTimes => "implausible-times",
            Self::FailedParents => "failed-parents",
            Self::OutOfOrder => "out-of-order",
        }
    }

    /// Whether it is known when the interval is committed, so that the footers of its files say it.
    pub(crate) fn is_known_at_commit(self) -> bool {
        match self {
            Self::Quarantined
            | Self::CountMismatch
            | Self::ImplausibleTimes
            | Self::FailedParents => true,
            Self::NothingOwned | Self::OutOfOrder => false,
        }
    }

    /// `None` if this program does not know the name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Ends the reason of a doubt about quarantined rows of the interval itself.
const UNDECODABLE: &str = "rows cannot be decoded";

/// An interval that is committed but doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoubtfulInterval {
    /// Name of the dataset.
    pub dataset: String,
    pub interval: Interval,
    /// Why it is doubtful.
    pub kind: GapKind,
    /// What was observed.
    pub reason: String,
}

impl DoubtfulInterval {
    /// An interval of a dataset for each of these doubts.
    pub(crate) fn list(
        dataset: &str,
        interval: Interval,
        doubts: Vec<(GapKind, String)>,
    ) -> Vec<Self> {
        let dataset = || dataset.to_owned();
        let doubts = doubts.into_iter();
        doubts.map(|(kind, reason)| Self { dataset: dataset(), interval, kind, reason }).collect()
    }
}

/// Why a record is doubtful that has quarantined rows, or whose commit has quarantined rows in
/// other records that may belong to it: `without_own_day` is their number. `None` if it has none.
pub(crate) fn quarantine_doubt(counts: Counts, without_own_day: u64) -> Option<(GapKind, String)> {
    let reason = match (counts.quarantined, without_own_day) {
        (0, 0) => return None,
        (0, rows) => format!("{rows} rows beside it have no readable time and may belong to it"),
        (rows, _) => format!("{rows} {UNDECODABLE}"),
    };
    Some((GapKind::Quarantined, reason))
}

/// An interval whose gaps a person accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedInterval {
    /// Name of the dataset.
    pub dataset: String,
    pub interval: Interval,
    /// Why it was accepted, in the person's words.
    pub reason: String,
}

impl Ledger {
    /// Records that a committed interval is doubtful.
    pub(crate) fn record_doubt(&self, doubt: &DoubtfulInterval) -> Result<(), LedgerError> {
        insert(&self.lock(), doubt)
    }

    /// The doubtful intervals of a dataset, in order.
    pub fn doubtful(&self, dataset: &str) -> Result<Vec<DoubtfulInterval>, LedgerError> {
        doubtful(&self.lock(), dataset, "gap WHERE dataset = ?1", [dataset])
    }

    /// Records that a person accepted the gaps of an interval.
    pub(crate) fn accept(&self, accepted: &AcceptedInterval) -> Result<(), LedgerError> {
        self.transaction(|transaction| insert_accepted(transaction, accepted))
    }

    /// The accepted intervals of a dataset, in order.
    pub(crate) fn accepted(&self, dataset: &str) -> Result<Vec<AcceptedInterval>, LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare(
            "SELECT from_ms, to_ms, reason FROM accepted WHERE dataset = ?1 ORDER BY from_ms, to_ms",
        )?;
        let mut rows = query.query([dataset])?;
        let mut accepted = Vec::new();
        while let Some(row) = rows.next()? {
            if let Some(interval) = Interval::new(row.get(0)?, row.get(1)?) {
                let reason = row.get(2)?;
                accepted.push(AcceptedInterval { dataset: dataset.to_owned(), interval, reason });
            }
        }
        Ok(accepted)
    }
}

/// The gaps that overlap the interval from `?2` to `?3` of the dataset `?1`. Gaps may overlap each
/// other, but those that are wider than a day are few.
const OVERLAPPING: &str = "(
    SELECT * FROM gap
        WHERE dataset = ?1 AND from_ms > ?2 - 86400000 AND from_ms < ?3 AND to_ms > ?2
    UNION SELECT * FROM gap
        WHERE to_ms - from_ms > 86400000 AND dataset = ?1 AND from_ms < ?3 AND to_ms > ?2
)";

pub(super) fn insert_accepted(
    transaction: &Transaction,
    accepted: &AcceptedInterval,
) -> Result<(), LedgerError> {
    let AcceptedInterval { dataset, interval, reason } = accepted;
    let at = clock::now().to_string();
    transaction.execute(
        "INSERT OR REPLACE INTO accepted (dataset, from_ms, to_ms, reason, at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![dataset, interval.from_ms(), interval.to_ms(), reason, at],
    )?;
    Ok(())
}

pub(super) fn delete_accepted(
    transaction: &Transaction,
    accepted: &AcceptedInterval,
) -> Result<(), LedgerError> {
    let AcceptedInterval { dataset, interval, .. } = accepted;
    transaction.execute(
        "DELETE FROM accepted WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3",
        params![dataset, interval.from_ms(), interval.to_ms()],
    )?;
    Ok(())
}

/// Deletes the doubts of some kinds about an interval. What lies outside it stays.
pub(super) fn delete_within(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
    is_settled: impl Fn(GapKind) -> bool,
) -> Result<(), LedgerError> {
    let bounds = params![dataset, interval.from_ms(), interval.to_ms()];
    let overlapping = doubtful(transaction, dataset, OVERLAPPING, bounds)?;
    for old in overlapping.into_iter().filter(|old| is_settled(old.kind)) {
        let (from, to) = (old.interval.from_ms(), old.interval.to_ms());
        transaction.execute(
            "DELETE FROM gap WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3 AND kind = ?4",
            params![dataset, from, to, old.kind.name()],
        )?;
        for remainder in old.interval.subtract(&[interval]) {
            insert(transaction, &DoubtfulInterval { interval: remainder, ..old.clone() })?;
        }
    }
    Ok(())
}

/// Corrects the doubt of exactly the interval of a record, of which other rows are quarantined now
/// than when it was committed.
pub(super) fn update_quarantined(
    transaction: &Transaction,
    record: &ShardRecord,
) -> Result<(), LedgerError> {
    let (dataset, interval) = (&record.dataset, record.interval);
    let bounds =
        params![dataset, interval.from_ms(), interval.to_ms(), GapKind::Quarantined.name()];
    let same = "gap WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3 AND kind = ?4";
    let Some(old) = doubtful(transaction, dataset, same, bounds)?.pop() else { return Ok(()) };
    match quarantine_doubt(record.counts, 0) {
        Some((_, reason)) => insert(transaction, &DoubtfulInterval { reason, ..old }),
        // the reason is rows of other records that may belong to it
        None if !old.reason.ends_with(UNDECODABLE) => Ok(()),
        None => {
            execute_prepared(transaction, &format!("DELETE FROM {same}"), bounds)?;
            Ok(())
        }
    }
}

pub(super) fn insert(connection: &Connection, doubt: &DoubtfulInterval) -> Result<(), LedgerError> {
    let DoubtfulInterval { dataset, interval, kind, reason } = doubt;
    connection.execute(
        "INSERT OR REPLACE INTO gap (dataset, from_ms, to_ms, kind, reason, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            dataset,
            interval.from_ms(),
            interval.to_ms(),
            kind.name(),
            reason,
            clock::now().to_string()
        ],
    )?;
    Ok(())
}

fn doubtful(
    connection: &Connection,
    dataset: &str,
    from: &str,
    params: impl Params,
) -> Result<Vec<DoubtfulInterval>, LedgerError> {
    let sql = format!(
        "SELECT from_ms, to_ms, kind, reason FROM {from}
         ORDER BY from_ms, to_ms, kind"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let mut rows = query.query(params)?;
    let mut doubtful = Vec::new();
    while let Some(row) = rows.next()? {
        let interval = Interval::new(row.get(0)?, row.get(1)?);
        let kind = GapKind::from_name(row.get_ref(2)?.as_str().unwrap_or_default());
        if let (Some(interval), Some(kind)) = (interval, kind) {
            let reason = row.get(3)?;
            doubtful.push(DoubtfulInterval { dataset: dataset.to_owned(), interval, kind, reason });
        }
    }
    Ok(doubtful)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Counts, ShardDetails, ShardRecord};

    #[test]
    fn a_commit_settles_the_doubts_of_its_interval_and_no_others() {
        let ledger = Ledger::in_memory().unwrap();
        let interval = |from, to| Interval::new(from, to).unwrap();
        let doubt = |from, to, kind| DoubtfulInterval {
            dataset: "d".into(),
            interval: interval(from, to),
            kind,
            reason: "3 of 4 rows".into(),
        };
        ledger.record_doubt(&doubt(0, 30, GapKind::Quarantined)).unwrap();
        ledger.record_doubt(&doubt(10, 20, GapKind::NothingOwned)).unwrap();
        let record = ShardRecord {
            dataset: "d".into(),
            interval: interval(10, 20),
            counts: Counts::default(),
            files: Vec::new(),
            commit_id: "c".into(),
            open_rows: 0,
            details: ShardDetails::default(),
        };
        ledger.commit(&[record], &[], &[], false).unwrap();
        let left = [doubt(0, 10, GapKind::Quarantined), doubt(20, 30, GapKind::Quarantined)];
        assert_eq!(ledger.doubtful("d").unwrap(), left);
    }

    #[test]
    fn an_accepted_interval_reads_back() {
        let ledger = Ledger::in_memory().unwrap();
        let accepted = AcceptedInterval {
            dataset: "d".into(),
            interval: Interval::new(1, 2).unwrap(),
            reason: "the platform lost it".into(),
        };
        ledger.accept(&accepted).unwrap();
        assert_eq!(ledger.accepted("d").unwrap(), [accepted]);
    }
}

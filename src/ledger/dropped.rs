//! Intervals that are forgotten, as if no run had ever fetched them.

use rusqlite::params;

use crate::{
    ledger::{
        AcceptedInterval, EventRecord, Ledger, LedgerError, commit, events, failures, follow_ups,
        gaps,
    },
    time::interval::Interval,
};

impl Ledger {
    /// Forgets an interval of a dataset in one transaction: its committed shards, failures, doubts
    /// and accepted gaps. A shard that reaches beyond it stays. The files of the shards are
    /// recorded as garbage, and are to be deleted then.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub(crate) fn forget(&self, dataset: &str, interval: Interval) -> Result<(), LedgerError> {
        let accepted = self.accepted(dataset)?;
        self.transaction(|transaction| {
            let files = commit::delete_covered(transaction, dataset, interval, &[interval])?;
            commit::insert_garbage(transaction, &files)?;
            failures::delete_within(transaction, dataset, interval)?;
            gaps::delete_within(transaction, dataset, interval, |_| true)?;
            follow_ups::delete_within(transaction, dataset, interval)?;
            for old in accepted.iter().filter(|old| old.interval.overlaps(interval)) {
                gaps::delete_accepted(transaction, old)?;
                for interval in old.interval.subtract(&[interval]) {
                    gaps::insert_accepted(
                        transaction,
                        &AcceptedInterval { interval, ..old.clone() },
                    )?;
                }
            }
            transaction.execute(
                "DELETE FROM short WHERE dataset = ?1 AND from_ms >= ?2 AND from_ms < ?3",
                params![dataset, interval.from_ms(), interval.to_ms()],
            )?;
            let event = EventRecord::new("dropped", interval, "by `cxbackfill drop`");
            events::insert(transaction, dataset, &event)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{
        Counts, DoubtfulInterval, Failure, FileRecord, GapKind, ShardDetails, ShardRecord,
    };

    fn interval(from: i64, to: i64) -> Interval {
        Interval::new(from, to).unwrap()
    }

    #[test]
    fn only_what_lies_within_a_forgotten_interval_is_forgotten() {
        let ledger = Ledger::in_memory().unwrap();
        let dataset = || "d".to_owned();
        for (from, to) in [(0, 10), (10, 20), (20, 30)] {
            let path = format!("d/{from}.parquet");
            let file = FileRecord { path, rows: 1, bytes: 1, sha256: String::new() };
            let record = ShardRecord {
                dataset: dataset(),
                interval: interval(from, to),
                counts: Counts::default(),
                files: vec![file],
                commit_id: format!("c-{from}"),
                open_rows: 1,
                details: ShardDetails::default(),
            };
            ledger.commit(&[record], &[], &[], false).unwrap();
        }
        let reason = || "why".to_owned();
        let (correlation, kind) = (String::new(), GapKind::Quarantined);
        let all = interval(0, 60);
        ledger
            .fail(&Failure { dataset: dataset(), interval: all, reason: reason(), correlation })
            .unwrap();
        let doubt = DoubtfulInterval { dataset: dataset(), interval: all, kind, reason: reason() };
        ledger.record_doubt(&doubt).unwrap();
        let accepted = AcceptedInterval { dataset: dataset(), interval: all, reason: reason() };
        ledger.accept(&accepted).unwrap();

        ledger.forget("d", interval(10, 25)).unwrap();
        assert_eq!(ledger.committed("d").unwrap(), [interval(0, 10), interval(20, 30)]);
        assert_eq!(Vec::from_iter(ledger.garbage().unwrap()), ["d/10.parquet"]);
        assert_eq!(ledger.follow_ups("d").unwrap().len(), 2);
        let outside = [interval(0, 10), interval(25, 60)];
        let failures = ledger.failures("d").unwrap().into_iter().map(|it| it.interval);
        assert_eq!(failures.collect::<Vec<_>>(), outside);
        let doubts = ledger.doubtful("d").unwrap().into_iter().map(|it| it.interval);
        assert_eq!(doubts.collect::<Vec<_>>(), outside);
        let accepted = ledger.accepted("d").unwrap().into_iter().map(|it| it.interval);
        assert_eq!(accepted.collect::<Vec<_>>(), outside);
    }
}

//! What fetchers added to the output, in sum.

use std::{collections::BTreeMap, ops::AddAssign};

use crate::{
    ledger::{CommittedTotals, DoubtfulInterval, Failure, GapKind, ShardRecord},
    sink::Committed,
    time::interval::Interval,
};

/// What one or more fetchers added to the output, and what they could not add.
#[derive(Debug, Default)]
pub struct FetchTotals {
    /// What was added to each dataset.
    pub datasets: BTreeMap<String, DatasetTotals>,
    /// Shards that failed.
    pub failed: Vec<Failure>,
    /// Shards that the platform cannot give yet.
    pub not_yet_available: Vec<Failure>,
    /// Committed intervals that are doubtful.
    pub doubtful: Vec<DoubtfulInterval>,
    /// Datasets that the credentials may not read, with the platform's answer and what is missing.
    pub denied: BTreeMap<String, String>,
    /// Datasets that were given up because too many shards in a row failed, with the reason.
    pub given_up: BTreeMap<String, String>,
}

/// What was added to a dataset.
#[derive(Debug, Default, Clone)]
pub struct DatasetTotals {
    /// What was committed, as the sink counted.
    pub committed: CommittedTotals,
    /// Rows received for committed shards, as the fetchers counted. Must equal
    /// `committed.counts.received` (G5).
    pub received: u64,
    /// Rows of them that have nothing to do with the requested intervals.
    pub strays: u64,
    /// The committed intervals, in order and merged where they are adjacent.
    pub intervals: Vec<Interval>,
}

impl FetchTotals {
    /// What was committed, over all datasets.
    pub fn committed(&self) -> CommittedTotals {
        let mut sum = CommittedTotals::default();
        for totals in self.datasets.values() {
            sum += totals.committed;
        }
        sum
    }

    /// The number of committed shards with a count mismatch.
    pub fn count_mismatches(&self) -> u64 {
        let kinds = self.doubtful.iter().map(|doubtful| doubtful.kind);
        kinds.filter(|kind| *kind == GapKind::CountMismatch).count() as u64
    }

    /// Whether the sink has accounted for every row that the fetchers received, once (G5).
    pub fn balances(&self) -> bool {
        self.datasets.values().all(|totals| {
            let counts = totals.committed.counts;
            totals.received == counts.received && counts.balance()
        })
    }

    /// Adds a commit of `received` rows, of which `strays` have nothing to do with the request.
    pub fn add(
        &mut self,
        dataset: &str,
        interval: Interval,
        received: u64,
        strays: u64,
        committed: &Committed,
    ) {
        let totals = self.dataset(dataset);
        totals.received += received;
        interval.join_into(&mut totals.intervals);
        totals.strays += strays;
        totals.committed += CommittedTotals {
            counts: committed.counts,
            shards: committed.records,
            files: committed.files.len() as u64,
            bytes: committed.files.iter().map(|file| file.bytes).sum(),
        };
    }

    /// Takes a record out that was committed to replace others and is discarded, since the rest of
    /// its replacement is missing.
    pub(crate) fn remove(&mut self, discarded: &ShardRecord) {
        let ShardRecord { dataset, interval, counts, files, .. } = discarded;
        let totals = self.dataset(dataset);
        totals.received -= counts.received;
        totals.committed -= CommittedTotals {
            counts: *counts,
            shards: 1,
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.bytes).sum(),
        };
        totals.intervals =
            totals.intervals.iter().flat_map(|whole| whole.subtract(&[*interval])).collect();
        let (others, doubtful): (Vec<_>, Vec<_>) =
            self.doubtful.drain(..).partition(|doubt| doubt.dataset != *dataset);
        self.doubtful = others;
        for doubt in doubtful {
            for rest in doubt.interval.subtract(&[*interval]) {
                self.doubtful.push(DoubtfulInterval { interval: rest, ..doubt.clone() });
            }
        }
    }

    fn dataset(&mut self, name: &str) -> &mut DatasetTotals {
        self.datasets.entry(name.to_owned()).or_default()
    }
}

impl AddAssign for FetchTotals {
    fn add_assign(&mut self, other: Self) {
        for (name, totals) in other.datasets {
            *self.datasets.entry(name).or_default() += totals;
        }
        self.failed.extend(other.failed);
        self.not_yet_available.extend(other.not_yet_available);
        self.doubtful.extend(other.doubtful);
        self.denied.extend(other.denied);
        self.given_up.extend(other.given_up);
    }
}

impl AddAssign for DatasetTotals {
    fn add_assign(&mut self, other: Self) {
        self.committed += other.committed;
        self.received += other.received;
        self.strays += other.strays;
        for interval in other.intervals {
            interval.join_into(&mut self.intervals);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Counts, ShardDetails};

    #[test]
    fn a_discarded_record_is_no_longer_counted() {
        let day = |number: i64| Interval::day_of(number * 86_400_000);
        let two_days = Interval::new(day(0).from_ms(), day(1).to_ms()).unwrap();
        let counts = |rows| Counts { received: rows, written: rows, ..Counts::default() };
        let committed =
            Committed { counts: counts(5), records: 2, files: vec![], new_fields: vec![] };
        let mut totals = FetchTotals::default();
        totals.add("calls", two_days, 5, 0, &committed);
        assert_eq!(totals.committed().shards, 2, "a record a day");
        totals.remove(&ShardRecord {
            dataset: "calls".to_owned(),
            interval: day(0),
            counts: counts(3),
            files: Vec::new(),
            commit_id: String::new(),
            open_rows: 0,
            details: ShardDetails::default(),
        });
        let left = totals.committed();
        assert_eq!((left.shards, left.counts), (1, counts(2)));
        assert!(totals.balances());
        assert_eq!(totals.datasets["calls"].intervals, [day(1)]);
    }
}

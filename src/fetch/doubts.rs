//! Why a committed shard or dataset is doubtful: everything was received, but not all of it is
//! used.

use crate::{
    fetch::{FetchTotals, shard_progress::ShardProgress},
    ledger::{DoubtfulInterval, GapKind},
};

/// Why the part of a shard that is about to be committed is doubtful, with what was observed. Empty
/// if it is not. The sink knows which rows are quarantined. Only the last part of a shard can have
/// a count mismatch.
pub(super) fn doubts(progress: &ShardProgress, is_last_part: bool) -> Vec<(GapKind, String)> {
    let mut doubts = Vec::new();
    let implausible = progress.implausible_times();
    if implausible > 0 {
        let reason = format!("the times of {implausible} rows lie outside 1990 to 2100");
        doubts.push((GapKind::ImplausibleTimes, reason));
    }
    if let Some(change) = progress.pager.total_change() {
        doubts.push((GapKind::CountMismatch, format!("{change}, each time it was fetched")));
    }
    if let Some(parent) = &progress.pager.endpoint.parent
        && let Some(reason) = progress.failed_parents.reason(&parent.dataset)
    {
        doubts.push((GapKind::FailedParents, reason));
    }
    if is_last_part && let Some((total, received)) = progress.count_mismatch() {
        let reason = format!("the platform counts {total} rows and returned {received}, twice");
        doubts.push((GapKind::CountMismatch, reason));
    }
    doubts
}

impl FetchTotals {
    /// The committed intervals of datasets that own none of the rows that the whole run received,
    /// if some of these have nothing to do with what was requested: the platform seems to ignore
    /// the interval. Rows that began earlier and were not over when it began explain themselves.
    pub(crate) fn nothing_owned(&self) -> Vec<DoubtfulInterval> {
        let mut doubtful = Vec::new();
        for (dataset, totals) in &self.datasets {
            let counts = totals.committed.counts;
            if totals.strays == 0 || counts.not_owned < counts.received {
                continue;
            }
            let reason = format!("the run received {} rows and owns none of them", counts.received);
            doubtful.extend(totals.intervals.iter().map(|&interval| DoubtfulInterval {
                dataset: dataset.clone(),
                interval,
                kind: GapKind::NothingOwned,
                reason: reason.clone(),
            }));
        }
        doubtful
    }

    /// The datasets of which every row that the run received was quarantined, and the rows.
    pub(crate) fn all_quarantined(&self) -> impl Iterator<Item = (&str, u64)> {
        let datasets =
            self.datasets.iter().map(|(name, totals)| (name.as_str(), totals.committed.counts));
        datasets
            .filter(|(_, counts)| counts.received > 0 && counts.quarantined == counts.received)
            .map(|(name, counts)| (name, counts.received))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ledger::Counts, sink::Committed, time::interval::Interval};

    fn totals(commits: &[Counts]) -> FetchTotals {
        let mut totals = FetchTotals::default();
        for (day, &counts) in commits.iter().enumerate() {
            let interval = Interval::day_of(i64::try_from(day).unwrap() * 86_400_000);
            let committed = Committed { counts, records: 1, files: vec![], new_fields: vec![] };
            totals.add("calls", interval, counts.received, counts.not_owned, &committed);
        }
        totals
    }

    #[test]
    fn a_dataset_that_owns_no_row_of_a_whole_run_is_doubtful() {
        let foreign = Counts { received: 3, not_owned: 3, ..Counts::default() };
        let own = Counts { received: 1, written: 1, ..Counts::default() };
        let doubtful = totals(&[foreign, Counts::default(), foreign]).nothing_owned();
        assert_eq!(doubtful.len(), 1, "adjacent intervals are one: {doubtful:?}");
        assert_eq!(doubtful[0].interval.width().as_secs(), 3 * 86_400);
        assert_eq!(doubtful[0].reason, "the run received 6 rows and owns none of them");
        assert!(totals(&[foreign, own]).nothing_owned().is_empty());
        assert!(totals(&[Counts::default()]).nothing_owned().is_empty(), "no rows, no doubt");
        let mut explained = totals(&[foreign]);
        explained.datasets.get_mut("calls").unwrap().strays = 0;
        assert!(explained.nothing_owned().is_empty(), "all reach into the interval");
    }

    #[test]
    fn a_dataset_of_which_every_row_is_quarantined_is_named() {
        let bad = Counts { received: 2, quarantined: 2, ..Counts::default() };
        let own = Counts { received: 1, written: 1, ..Counts::default() };
        assert_eq!(totals(&[bad, bad]).all_quarantined().collect::<Vec<_>>(), [("calls", 4)]);
        assert_eq!(totals(&[bad, own]).all_quarantined().count(), 0);
    }
}

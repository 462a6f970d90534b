//! Records that replace committed ones and wait until everything that replaces those is there (G3).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::{
    ledger::{DoubtfulInterval, DriftRecord, ShardRecord},
    time::interval::Interval,
};

/// The folder of files that wait. The underscore hides it from readers of the data.
const FOLDER: &str = "_staging";

/// A record whose files are written but do not have their names yet.
#[derive(Debug)]
pub(super) struct StagedRecord {
    /// The record as it will be committed.
    pub record: ShardRecord,
    /// Why the record is doubtful. Empty if it is not.
    pub doubts: Vec<DoubtfulInterval>,
    /// Values of its rows that fit no column.
    pub fields: Vec<DriftRecord>,
    /// The renames that give its files their names, from and to.
    pub renames: Vec<(String, String)>,
}

/// The staged records of a run, by dataset.
#[derive(Default)]
pub(super) struct Staging {
    datasets: BTreeMap<String, StagedDataset>,
}

/// The staged records of a dataset.
#[derive(Default)]
struct StagedDataset {
    records: Vec<StagedRecord>,
    /// The committed intervals that the records overlap.
    replaced: BTreeSet<Interval>,
}

/// The path at which the file of a commit waits.
pub(super) fn staged_path(commit_id: &str, path: &str) -> String {
    format!("{FOLDER}/{commit_id}-{}", path.replace('/', "-"))
}

/// Removes the folder of an output if no file waits there. If that fails, an empty folder stays,
/// which harms nobody.
pub(super) fn remove_empty_folder(root: &Path) {
    // fails if it is not empty, and does not follow a symbolic link
    let _ = std::fs::remove_dir(root.join(FOLDER));
}

impl Staging {
    /// Adds the records that a shard was written as. `replaced` are the committed intervals that
    /// they overlap.
    pub(super) fn add(&mut self, dataset: &str, records: Vec<StagedRecord>, replaced: &[Interval]) {
        let staged = self.datasets.entry(dataset.to_owned()).or_default();
        staged.records.extend(records);
        staged.replaced.extend(replaced);
    }

    /// Takes all records.
    pub(super) fn take_all(&mut self) -> Vec<StagedRecord> {
        let datasets = std::mem::take(&mut self.datasets).into_values();
        datasets.flat_map(|staged| staged.records).collect()
    }

    /// Takes the records that can be switched: with them, every committed record that they overlap
    /// is replaced as a whole.
    pub(super) fn take_complete(&mut self, dataset: &str) -> Vec<StagedRecord> {
        let Some(StagedDataset { records, mut replaced }) = self.datasets.remove(dataset) else {
            return Vec::new();
        };
        let intervals: Vec<_> = records.iter().map(|staged| staged.record.interval).collect();
        let parts: Vec<_> = replaced.iter().chain(&intervals).copied().collect();
        let complete: Vec<_> = overlap_groups(parts)
            .into_iter()
            .filter(|group| group.subtract(&intervals).is_empty())
            .collect();
        let is_complete =
            |interval: Interval| complete.iter().any(|group| group.overlaps(interval));
        replaced.retain(|&interval| !is_complete(interval));
        let (complete, records): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|staged| is_complete(staged.record.interval));
        if !records.is_empty() {
            self.datasets.insert(dataset.to_owned(), StagedDataset { records, replaced });
        }
        complete
    }
}

/// The spans of intervals that overlap each other, directly or through others.
fn overlap_groups(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    let mut groups: Vec<Interval> = Vec::new();
    for interval in intervals {
        match groups.last_mut() {
            Some(group) if group.overlaps(interval) => {
                let end = group.to_ms().max(interval.to_ms());
                *group = Interval::new(group.from_ms(), end).unwrap_or(*group);
            }
            _ => groups.push(interval),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Counts, ShardDetails};

    fn interval(from: i64, to: i64) -> Interval {
        Interval::new(from, to).unwrap()
    }

    fn staged(from: i64, to: i64) -> StagedRecord {
        let record = ShardRecord {
            dataset: "d".into(),
            interval: interval(from, to),
            counts: Counts::default(),
            files: Vec::new(),
            commit_id: String::new(),
            open_rows: 0,
            details: ShardDetails::default(),
        };
        StagedRecord { record, doubts: Vec::new(), fields: Vec::new(), renames: Vec::new() }
    }

    /// Adds a staged record and returns the intervals of those that are complete then.
    fn add(staging: &mut Staging, record: StagedRecord, committed: &[Interval]) -> Vec<Interval> {
        let interval = record.record.interval;
        let replaced: Vec<_> =
            committed.iter().copied().filter(|old| old.overlaps(interval)).collect();
        staging.add("d", vec![record], &replaced);
        let complete = staging.take_complete("d");
        complete.into_iter().map(|staged| staged.record.interval).collect()
    }

    #[test]
    fn a_half_waits_until_the_other_half_is_staged_too() {
        let committed = [interval(0, 10), interval(10, 20), interval(20, 30)];
        let mut staging = Staging::default();
        assert_eq!(add(&mut staging, staged(0, 5), &committed), []);
        assert_eq!(add(&mut staging, staged(10, 20), &committed), [interval(10, 20)]);
        assert_eq!(add(&mut staging, staged(5, 10), &committed), [interval(0, 5), interval(5, 10)]);
    }

    #[test]
    fn a_wide_committed_record_waits_for_all_days_that_replace_it() {
        let committed = [interval(0, 30)];
        let mut staging = Staging::default();
        assert_eq!(add(&mut staging, staged(20, 30), &committed), []);
        assert_eq!(add(&mut staging, staged(0, 10), &committed), []);
        assert_eq!(add(&mut staging, staged(10, 20), &committed).len(), 3);
    }

    #[test]
    fn one_staged_record_replaces_several_committed_ones_at_once() {
        let committed = [interval(0, 5), interval(5, 10)];
        let mut staging = Staging::default();
        assert_eq!(add(&mut staging, staged(0, 10), &committed), [interval(0, 10)]);
    }
}

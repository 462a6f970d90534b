//! `compact`: merges the files of a day into fewer ones, on this machine, without requests.
//!
//! A run that ends within a day leaves a file for each part of the day that it committed. Committed
//! intervals that adjoin each other within a UTC day become one: their rows, of which the newest
//! copy of an id is kept, their counts and their quarantined rows. Each merge is one transaction of
//! the ledger (G3): `sink/rewrite` does it. Start with [`Compaction::prepare`].

use std::sync::Arc;

use crate::{
    catalog::Dataset,
    commands::locked_output::LockedOutput,
    config::BackfillScope,
    error::Error,
    ledger::ShardRecord,
    planning,
    sink::{RewriteReason, Rewriter},
    time::interval::Interval,
};

/// What the user wants to be merged.
#[derive(Debug)]
pub(crate) struct CompactRequest {
    /// The names of the datasets. Empty: all of the output.
    pub datasets: Vec<String>,
    /// Committed intervals that begin before this time, in milliseconds since 1970, are left alone.
    pub from_ms: Option<i64>,
    /// Those that end after this time are left alone.
    pub to_ms: Option<i64>,
    /// The most bytes that files merged into one have together.
    pub target_bytes: u64,
}

/// What is merged of a dataset.
#[derive(Debug)]
pub(crate) struct DatasetCompaction {
    /// The name of the dataset.
    pub name: String,
    /// The dataset. `None` if the catalog has none of this name: its files are left alone.
    pub dataset: Option<Arc<Dataset>>,
    /// Groups of committed intervals. Each group becomes one interval.
    groups: Vec<Vec<ShardRecord>>,
}

/// Files with rows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileTotals {
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

impl FileTotals {
    /// The files with rows of some records.
    fn of<'r>(records: impl IntoIterator<Item = &'r ShardRecord>) -> Self {
        let mut totals = Self::default();
        for file in records.into_iter().flat_map(ShardRecord::row_files) {
            totals.files += 1;
            totals.rows += file.rows;
            totals.bytes += file.bytes;
        }
        totals
    }
}

impl std::ops::AddAssign for FileTotals {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

impl DatasetCompaction {
    /// The files that are merged.
    pub(crate) fn merged(&self) -> FileTotals {
        FileTotals::of(self.groups.iter().flatten())
    }
}

/// A compaction that is about to start. The output is locked, and nothing is changed yet.
pub(crate) struct Compaction {
    /// The datasets that it is about.
    pub datasets: Vec<DatasetCompaction>,
    output: LockedOutput,
    rewriter: Rewriter,
}

impl Compaction {
    /// Finds out what is to be merged.
    ///
    /// # Errors
    /// If the output has no dataset of a name, if its files have other columns than the catalog
    /// says, or if another process writes to it.
    pub(crate) async fn prepare(
        scope: &BackfillScope,
        request: &CompactRequest,
    ) -> Result<Self, Error> {
        let output = LockedOutput::open(scope, &request.datasets).await?;
        let mut datasets = Vec::new();
        for (name, records) in &output.wanted {
            let dataset = scope.catalog.datasets.get(name).cloned();
            let mut groups = Vec::new();
            if let Some(dataset) = dataset.as_deref().filter(|dataset| is_mergeable(dataset)) {
                groups = self::groups(&records.shards, request);
                if !groups.is_empty() {
                    output.check_columns(scope, dataset).await?;
                }
            }
            datasets.push(DatasetCompaction { name: name.clone(), dataset, groups });
        }
        let rewriter = output.rewriter(scope, output.forgotten().await?);
        Ok(Self { datasets, output, rewriter })
    }

    /// Merges the files. Returns the new ones of each dataset.
    ///
    /// # Errors
    /// If a file is not the recorded one, or if the output or the ledger cannot be written. What
    /// was merged until then stays so.
    pub(crate) async fn execute(self) -> Result<Vec<FileTotals>, Error> {
        let Self { datasets, output, mut rewriter } = self;
        let mut written = Vec::with_capacity(datasets.len());
        for DatasetCompaction { name, dataset, groups } in datasets {
            let mut totals = FileTotals::default();
            if let Some(dataset) = dataset {
                for group in &groups {
                    let new = rewriter.replace(&dataset, group, RewriteReason::Merged).await?;
                    let merged = group.len();
                    let interval = new.first().map(|record| record.interval.to_string());
                    tracing::debug!(dataset = name, interval, merged, "merged committed intervals");
                    totals += FileTotals::of(&new);
                }
            }
            written.push(totals);
        }
        drop(output);
        Ok(written)
    }
}

/// Whether committed intervals of the dataset can be one. Not if rows take their time from the
/// requested interval, because then each interval has its own copy of them, and not for snapshots,
/// which belong to one day.
fn is_mergeable(dataset: &Dataset) -> bool {
    !dataset.snapshot && !planning::is_committed_whole(dataset)
}

/// The groups of at least two shards with rows that adjoin each other within a UTC day and whose
/// files together have at most the target size. The shards are in order of time.
fn groups(shards: &[ShardRecord], request: &CompactRequest) -> Vec<Vec<ShardRecord>> {
    let CompactRequest { from_ms, to_ms, target_bytes, .. } = request;
    let is_wanted = |shard: &&ShardRecord| {
        let interval = shard.interval;
        from_ms.is_none_or(|from| interval.from_ms() >= from)
            && to_ms.is_none_or(|to| interval.to_ms() <= to)
    };
    let (mut groups, mut bytes): (Vec<Vec<ShardRecord>>, u64) = (Vec::new(), 0);
    for shard in shards.iter().filter(is_wanted) {
        let of_shard = FileTotals::of([shard]).bytes;
        match groups.last_mut() {
            Some(group)
                if group.last().is_some_and(|last| adjoins(last.interval, shard.interval))
                    && bytes + of_shard <= *target_bytes =>
            {
                group.push(shard.clone());
                bytes += of_shard;
            }
            _ => {
                groups.push(vec![shard.clone()]);
                bytes = of_shard;
            }
        }
    }
    groups.retain(|group| {
        let with_rows = group.iter().filter(|shard| FileTotals::of([*shard]).files > 0);
        with_rows.count() > 1
    });
    groups
}

/// Whether the second interval begins where the first one ends, on the same UTC day.
fn adjoins(first: Interval, second: Interval) -> bool {
    let day = Interval::day_of(first.from_ms());
    first.to_ms() == second.from_ms()
        && day.contains(second.from_ms())
        && second.to_ms() <= day.to_ms()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Counts, FileRecord, ShardDetails};

    const HOUR_MS: i64 = 3_600_000;

    /// A shard from one hour to another with a file of this many bytes. Zero bytes are no file.
    fn shard(from_hour: i64, to_hour: i64, bytes: u64) -> ShardRecord {
        let file = FileRecord { path: "d/f.parquet".into(), rows: 1, bytes, sha256: String::new() };
        ShardRecord {
            dataset: "d".into(),
            interval: Interval::new(from_hour * HOUR_MS, to_hour * HOUR_MS).unwrap(),
            counts: Counts::default(),
            files: if bytes > 0 { vec![file] } else { Vec::new() },
            commit_id: String::new(),
            open_rows: 0,
            details: ShardDetails::default(),
        }
    }

    /// The hours at which the shards of each group begin.
    fn begin(shards: &[ShardRecord], from: Option<i64>, to: Option<i64>) -> Vec<Vec<i64>> {
        let (from_ms, to_ms) = (from.map(|hour| hour * HOUR_MS), to.map(|hour| hour * HOUR_MS));
        let request = CompactRequest { datasets: Vec::new(), from_ms, to_ms, target_bytes: 100 };
        let start = |shard: &ShardRecord| shard.interval.from_ms() / HOUR_MS;
        groups(shards, &request).iter().map(|group| group.iter().map(start).collect()).collect()
    }

    #[test]
    fn intervals_that_adjoin_each_other_within_a_day_become_one() {
        let day = [shard(0, 6, 10), shard(6, 7, 10), shard(7, 24, 10), shard(24, 30, 10)];
        assert_eq!(begin(&day, None, None), [[0, 6, 7]]);
        let with_gap = [shard(0, 6, 10), shard(6, 8, 10), shard(9, 10, 10), shard(10, 24, 10)];
        assert_eq!(begin(&with_gap, None, None), [[0, 6], [9, 10]]);
        let wide = [shard(0, 23, 10), shard(23, 48, 10), shard(48, 60, 10)];
        assert_eq!(begin(&wide, None, None), [[0; 0]; 0], "a shard of two days stays");
    }

    #[test]
    fn merged_files_are_no_larger_than_the_target() {
        let large = [shard(0, 1, 60), shard(1, 2, 40), shard(2, 3, 99), shard(3, 4, 2)];
        assert_eq!(begin(&large, None, None), [[0, 1]]);
    }

    #[test]
    fn intervals_without_rows_join_their_neighbours_but_are_no_reason_to_merge() {
        let shards =
            [shard(0, 1, 10), shard(1, 2, 0), shard(2, 3, 10), shard(25, 26, 10), shard(26, 27, 0)];
        assert_eq!(begin(&shards, None, None), [[0, 1, 2]]);
    }

    #[test]
    fn intervals_that_reach_beyond_the_bounds_stay() {
        let shards = [shard(0, 2, 10), shard(2, 4, 10), shard(4, 6, 10), shard(6, 8, 10)];
        assert_eq!(begin(&shards, Some(1), Some(7)), [[2, 4]]);
        assert_eq!(begin(&shards, Some(2), None), [[2, 4, 6]]);
    }
}

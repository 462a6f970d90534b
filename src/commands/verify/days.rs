//! Row counts of whole UTC days, to compare with the platform's own counts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    catalog::Dataset,
    ledger::{ShardRecord, reader::DatasetRecords},
    time::interval::{DAY_MS, Interval, iso},
};

/// The rows of a UTC day that is committed as a whole.
///
/// For a whole day the platform counts the rows that start on it, as this program does. For a part
/// of a day it also counts rows that only overlap it.
#[derive(Debug, Clone)]
pub(crate) struct DayCount {
    pub dataset: Arc<Dataset>,
    /// The day.
    pub interval: Interval,
    /// Rows in its files, and those that were left out because their ids were forgotten.
    pub rows: u64,
}

/// The days of `interval` that are committed as a whole.
pub(crate) fn committed_days(
    dataset: &Arc<Dataset>,
    records: &DatasetRecords,
    interval: Interval,
) -> Vec<DayCount> {
    let committed: Vec<_> = records.shards.iter().map(|shard| shard.interval).collect();
    let mut rows_by_date = BTreeMap::<&str, u64>::new();
    for file in records.shards.iter().flat_map(ShardRecord::row_files) {
        if let Some(date) = file.date() {
            *rows_by_date.entry(date).or_default() += file.rows;
        }
    }
    let forgotten = records.shards.iter().map(|shard| (shard.interval, shard.counts.forgotten));
    let mut forgotten_by_day = BTreeMap::<i64, u64>::new();
    for (interval, rows) in forgotten {
        *forgotten_by_day.entry(Interval::day_of(interval.from_ms()).from_ms()).or_default() +=
            rows;
    }
    let mut days = Vec::new();
    for day in interval.split(Duration::from_millis(DAY_MS.unsigned_abs())) {
        let is_whole = day == Interval::day_of(day.from_ms());
        if is_whole && day.subtract(&committed).is_empty() {
            let rows = rows_by_date.get(&iso(day.from_ms())[..10]).copied().unwrap_or(0);
            let rows = rows + forgotten_by_day.get(&day.from_ms()).copied().unwrap_or(0);
            days.push(DayCount { dataset: Arc::clone(dataset), interval: day, rows });
        }
    }
    days
}

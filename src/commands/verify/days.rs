//! What an output holds a UTC day, to be held against the platform's own counts.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    catalog::Dataset,
    ledger::reader::DatasetRecords,
    time::interval::{DAY_MS, Interval, iso},
};

/// A day that is committed as a whole. The platform's count of the rows of a whole UTC day is that of
/// the rows which started on it: for a part of one it counts others, too.
#[derive(Debug, Clone)]
pub(crate) struct DayCount {
    /// The dataset.
    pub dataset: Arc<Dataset>,
    /// The day.
    pub interval: Interval,
    /// Its rows in the files.
    pub rows: u64,
}

/// The whole days of `interval` that are committed.
pub(crate) fn days(
    dataset: &Arc<Dataset>,
    records: &DatasetRecords,
    interval: Interval,
) -> Vec<DayCount> {
    let committed: Vec<_> = records.shards.iter().map(|shard| shard.interval).collect();
    let mut rows = BTreeMap::<&str, u64>::new();
    for file in records.shards.iter().flat_map(|shard| &shard.files) {
        let date = file.path.split("/date=").nth(1).and_then(|rest| rest.split('/').next());
        *rows.entry(date.unwrap_or_default()).or_default() += file.rows;
    }
    let whole = interval.split(std::time::Duration::from_millis(DAY_MS.unsigned_abs()));
    whole
        .filter(|day| {
            *day == Interval::day_of(day.from_ms()) && day.subtract(&committed).is_empty()
        })
        .map(|interval| {
            let rows = rows.get(&iso(interval.from_ms())[..10]).copied().unwrap_or(0);
            DayCount { dataset: Arc::clone(dataset), interval, rows }
        })
        .collect()
}

//! A shard: the unit of fetching.

use std::{sync::Arc, time::Duration};

use crate::{
    catalog::Dataset,
    time::interval::{DAY_MS, Interval},
};

/// The rows of one dataset whose time lies in one interval: the unit of fetching.
#[derive(Debug, Clone)]
pub struct Shard {
    /// The dataset that is fetched.
    pub dataset: Arc<Dataset>,
    /// The time that the shard owns (G4).
    pub interval: Interval,
    /// The interval of the planned shard that this one is a piece of, or its own.
    pub planned: Interval,
    /// Whether the interval is committed already and its records are to be replaced. The committed
    /// rows stay until everything that replaces them is there (G3).
    pub replaces: bool,
    /// How many rows are requested, by their ids, if only the open rows of a committed interval are
    /// to be replaced. `None` if all rows of the interval are requested.
    pub open_rows: Option<u64>,
}

impl Shard {
    /// A planned shard.
    pub fn new(dataset: Arc<Dataset>, interval: Interval, replaces: bool) -> Self {
        Self { dataset, interval, planned: interval, replaces, open_rows: None }
    }

    /// Whether both are pieces of the same planned shard.
    pub(crate) fn has_same_plan(&self, other: &Self) -> bool {
        self.dataset.name == other.dataset.name && self.planned == other.planned
    }

    /// The intervals of the records that the shard is committed as: one for each UTC day that it
    /// touches, however wide it is.
    pub(crate) fn record_intervals(&self) -> Vec<Interval> {
        match is_committed_whole(&self.dataset) {
            true => vec![self.interval],
            false => self.interval.split(Duration::from_millis(DAY_MS.unsigned_abs())).collect(),
        }
    }
}

/// Whether a shard of the dataset is one record. Its rows belong to no day of the shard if their
/// time is synthesized from the requested interval, or if the platform aligns intervals to more
/// than a day.
pub(crate) fn is_committed_whole(dataset: &Dataset) -> bool {
    let day = u128::from(DAY_MS.unsigned_abs());
    let alignment = dataset.alignment.as_millis().max(1);
    dataset.synthesizes_time || day % alignment != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn a_shard_is_committed_as_one_record_a_day() {
        let dataset = catalog::test_dataset("conversations");
        let interval = "2024-01-01T12:00:00Z/2024-01-04T00:00:00Z".parse().unwrap();
        let mut shard = Shard::new(Arc::clone(dataset), interval, false);
        let records = shard.record_intervals();
        assert!(interval.is_covered_by(&records));
        assert_eq!(records.len(), 3);
        assert!(records.iter().all(|record| {
            Interval::day_of(record.from_ms()) == Interval::day_of(record.to_ms() - 1)
        }));

        let synthesized = Dataset { synthesizes_time: true, ..Dataset::clone(dataset) };
        shard.dataset = Arc::new(synthesized);
        assert_eq!(shard.record_intervals(), [interval]);
    }
}

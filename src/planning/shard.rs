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

    /// Keeps what lies before `at` and returns the rest, as a shard that is planned like this one.
    /// A piece of a planned shard leaves another piece. `None` if one of them would be empty.
    pub(crate) fn cut(&mut self, at: i64) -> Option<Self> {
        let (kept, rest) = self.interval.cut(at)?;
        let is_piece = self.interval != self.planned;
        let planned = |interval| if is_piece { self.planned } else { interval };
        let rest = Self { interval: rest, planned: planned(rest), ..self.clone() };
        (self.planned, self.interval) = (planned(kept), kept);
        Some(rest)
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
    fn a_cut_shard_is_planned_anew_and_a_cut_piece_is_not() {
        let dataset = catalog::test_dataset("conversations");
        let interval = |from, to| Interval::new(from, to).unwrap();
        let mut shard = Shard::new(Arc::clone(dataset), interval(0, 10), true);
        let rest = shard.cut(4).unwrap();
        assert_eq!((shard.interval, shard.planned), (interval(0, 4), interval(0, 4)));
        assert_eq!((rest.interval, rest.planned), (interval(4, 10), interval(4, 10)));
        let mut piece = Shard { interval: interval(4, 8), ..rest.clone() };
        let other = piece.cut(6).unwrap();
        assert!(piece.has_same_plan(&rest) && other.has_same_plan(&rest) && other.replaces);
        assert!(piece.cut(4).is_none() && piece.cut(6).is_none(), "a part would be empty");
    }

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

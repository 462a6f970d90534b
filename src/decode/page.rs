//! The rows of one page by outcome (G5).

use arrow::array::RecordBatch;

use crate::{
    decode::{Drift, RowKey, UndecodableRows},
    time::interval::Interval,
};

/// The rows of one page by outcome (G5): `received` is the sum of the rows of the batch,
/// `not_owned` and the number of `bad` rows.
#[derive(Debug)]
pub struct Page {
    /// The rows that the shard owns, in the order received, with the dataset's schema.
    pub batch: RecordBatch,
    /// The key of each row of the batch, in its order.
    pub keys: Vec<RowKey>,
    /// The number of rows in the page.
    pub received: u64,
    /// Rows that were decoded but dropped, since their time is outside the shard's interval (G4).
    pub not_owned: u64,
    /// Those rows, in the order received.
    pub(crate) left_out: Vec<LeftOutRow>,
    /// Rows that were decoded and whose time is not plausible, owned or not: see
    /// [`PLAUSIBLE_MS`](super::PLAUSIBLE_MS).
    pub implausible_times: u64,
    /// Rows that cannot be decoded, in the order received. The time of such a row may not be known,
    /// so two shards may report the same one.
    pub bad: UndecodableRows,
    /// What the rows of the batch have that fits no column.
    pub drift: Drift,
}

impl Page {
    /// A page of rows that are all decoded and owned, and have nothing that fits no column.
    pub(crate) fn of_rows(batch: RecordBatch, keys: Vec<RowKey>) -> Self {
        Self {
            received: keys.len() as u64,
            batch,
            keys,
            not_owned: 0,
            left_out: Vec::new(),
            implausible_times: 0,
            bad: UndecodableRows::default(),
            drift: Drift::default(),
        }
    }

    /// Takes the rows from index `at` on out of the page. What is counted beside its rows stays.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let keys = self.keys.split_off(at);
        let batch = self.batch.slice(at, keys.len());
        self.batch = self.batch.slice(0, at);
        let received = keys.len() as u64;
        self.received -= received;
        let (bad, drift) = (UndecodableRows::default(), Drift::default());
        Self {
            batch,
            keys,
            received,
            not_owned: 0,
            left_out: Vec::new(),
            implausible_times: 0,
            bad,
            drift,
        }
    }
}

/// A row that was decoded but dropped, since its time is outside the shard's interval (G4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeftOutRow {
    /// Its time in milliseconds since 1970.
    pub time_ms: i64,
    /// Its end in milliseconds since 1970: [`i64::MAX`] while it is open, its time if the rows of
    /// the dataset have no end.
    pub end_ms: i64,
    /// XXH3-64 of its JSON as received.
    pub digest: u64,
}

impl LeftOutRow {
    /// Whether the row is in the interval between its time and its end, so that a platform may
    /// return it for the interval although it belongs to an earlier one.
    pub(crate) fn reaches_into(&self, interval: Interval) -> bool {
        self.time_ms <= interval.to_ms() && self.end_ms >= interval.from_ms()
    }
}

//! The history of one interval of a dataset.

use std::path::Path;

use serde::Serialize;

use crate::{
    commands::gaps::TimeSpan,
    ledger::{EventRecord, reader},
    time::interval::Interval,
};

/// What happened to an interval of a dataset, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ShardHistory {
    pub dataset: String,
    pub interval: TimeSpan,
    /// At most a thousand, the newest.
    pub events: Vec<ShardEvent>,
}

/// Something that happened to a shard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ShardEvent {
    /// When.
    pub at: String,
    /// The run in which it happened. `None` if that is not known.
    pub run: Option<i64>,
    /// `committed`, `split`, `failed`, `doubtful`, or `retried` for a request that was sent again.
    pub kind: String,
    /// The interval of the shard.
    pub interval: TimeSpan,
    /// Why; empty if there is nothing to say.
    pub reason: String,
    /// The platform's correlation id of the request; empty if there is none.
    pub correlation: String,
    /// Rows that were written. `None` if the event is not a commit.
    pub rows: Option<u64>,
    /// Requests that it took, retries included. `None` if that is not known.
    pub requests: Option<u64>,
    /// Those of them that were sent again.
    pub retries: Option<u64>,
    /// Seconds that it took. `None` if that is not known.
    pub duration_s: Option<f64>,
}

impl ShardHistory {
    /// Reads the history of an interval from the ledger at `path`.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub(crate) fn read(
        path: &Path,
        dataset: &str,
        interval: Interval,
    ) -> Result<Self, reader::SnapshotError> {
        let events = reader::events(path, dataset, interval)?;
        Ok(Self {
            dataset: dataset.to_owned(),
            interval: interval.into(),
            events: events.into_iter().map(ShardEvent::from).collect(),
        })
    }
}

impl From<EventRecord> for ShardEvent {
    fn from(event: EventRecord) -> Self {
        let cost = event.cost;
        Self {
            at: event.at,
            run: event.run,
            kind: event.kind,
            interval: event.interval.into(),
            reason: event.reason,
            correlation: event.correlation,
            rows: event.rows,
            requests: cost.map(|cost| cost.requests),
            retries: cost.map(|cost| cost.retries),
            duration_s: cost.map(|cost| cost.duration_ms as f64 / 1e3),
        }
    }
}
